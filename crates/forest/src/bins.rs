//! Columns of numbers made into codes of one byte: [`Bins`] is fitted once, [`BinnedRows`] hold what it encoded.
//!
//! A number gets the count of edges below it, so `x <= edges[i]` is `code <= i`. A missing value (NaN) of a feature that was
//! missing while fitting has a code of its own, once above all others and once, in a second slot, below them: a tree then
//! sends it to either side by choosing the slot, and prediction needs no case for it. A feature that never was missing
//! while fitting takes the code of its median instead.

use std::sync::Arc;

use crate::error::ForestError;

/// The most bins of one feature, the missing code included.
pub const MAX_BINS: usize = 255;
/// The most slots (features, plus one more for each that can be missing) of one schema.
pub const MAX_SLOTS: usize = 256;
/// Rows that edges are fitted from; more would move a quantile by less than a bin's tenth.
const FIT_ROWS: usize = 65_536;

/// The most edges of one slot: their codes, and the two for missing values, fit a byte.
const SLOT_EDGES: usize = 253;

/// The code of a missing value in a slot that puts it above all numbers.
pub(crate) const MISSING_HIGH: u8 = 255;
/// The code of a missing value in a slot that puts it below all numbers.
pub(crate) const MISSING_LOW: u8 = 0;

/// What one byte of a row means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Index of the feature.
    pub feature: u16,
    /// The first of the feature's edges that this slot counts.
    pub first_edge: u32,
    /// How many of its edges this slot counts, at most 253.
    pub edges: u8,
    /// True when a missing value is below all numbers here; it is above them otherwise.
    pub missing_low: bool,
}

/// One feature's name and edges.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// The column's name.
    pub name: String,
    /// Upper bounds of its bins, ascending; numbers above the last have a bin of their own.
    pub edges: Vec<f32>,
    /// What stands in for a missing value when none was seen while fitting; NaN when missing values have their own code.
    pub fill: f32,
}

/// How features become bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    features: Arc<Vec<Feature>>,
    slots: Arc<Vec<Slot>>,
}

impl Bins {
    /// Fits edges to columns: midpoints between neighbouring values when there are few, quantiles otherwise. NaN is missing.
    /// `max_bins` counts the missing code and is at most [`MAX_BINS`].
    ///
    /// # Errors
    /// When names and columns differ in number, columns differ in length, there are none, or they need too many slots.
    pub fn fit<N: AsRef<str>>(names: &[N], columns: &[&[f32]], max_bins: usize) -> Result<Self, ForestError> {
        if !(2..=MAX_BINS).contains(&max_bins) {
            return Err(ForestError::parameter("max_bins", max_bins, "between 2 and 255"));
        }
        check_columns(names.len(), columns)?;
        let features = names
            .iter()
            .zip(columns)
            .map(|(name, column)| fit_feature(name.as_ref(), column, max_bins - 1))
            .collect::<Vec<_>>();
        Self::from_features(features)
    }

    /// Bins of given edges, as those of a model trained elsewhere. A feature of more than 253 edges takes several slots.
    ///
    /// # Errors
    /// When edges are not ascending or all features together take more than [`MAX_SLOTS`] slots.
    pub fn from_features(features: Vec<Feature>) -> Result<Self, ForestError> {
        if features.len() > usize::from(u16::MAX) {
            return Err(ForestError::shape("features (at most)", usize::from(u16::MAX), features.len()));
        }
        let mut slots = Vec::new();
        for (index, feature) in features.iter().enumerate() {
            if !feature.edges.windows(2).all(|pair| pair[0] < pair[1]) || feature.edges.iter().any(|e| e.is_nan()) {
                return Err(ForestError::Data(format!("edges of feature {} are not ascending", feature.name)));
            }
            if feature.edges.is_empty() && !feature.fill.is_nan() {
                // It tells nothing.
                continue;
            }
            let mut first = 0;
            loop {
                let edges = (feature.edges.len() - first).min(SLOT_EDGES);
                let slot =
                    Slot { feature: index as u16, first_edge: first as u32, edges: edges as u8, missing_low: false };
                slots.push(slot);
                if feature.fill.is_nan() {
                    slots.push(Slot { missing_low: true, ..slot });
                }
                first += edges;
                if first >= feature.edges.len() {
                    break;
                }
            }
        }
        if slots.len() > MAX_SLOTS {
            return Err(ForestError::shape("slots of all features (use fewer columns)", MAX_SLOTS, slots.len()));
        }
        Ok(Self { features: Arc::new(features), slots: Arc::new(slots) })
    }

    /// The features in their order.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The bytes of a row in their order.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot and the greatest code in it that says that a feature's value is not above one of its edges, or is missing.
    pub(crate) fn test(&self, feature: usize, edge: f32, missing_left: bool) -> Option<(u8, u8)> {
        let known = self.features.get(feature)?;
        let index = known.edges.iter().position(|e| *e == edge)?;
        let first_edge = (index / SLOT_EDGES * SLOT_EDGES) as u32;
        // Where missing values have no code of their own, they go where their stand-in does.
        let low = missing_left && known.fill.is_nan();
        let slot = self
            .slots
            .iter()
            .position(|s| usize::from(s.feature) == feature && s.first_edge == first_edge && s.missing_low == low)?;
        Some((slot as u8, (index % SLOT_EDGES) as u8 + u8::from(low)))
    }

    /// Bytes from one row to the next: the slots, filled up to 16, 32, 64, 128 or 256.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.slots.len().next_power_of_two().max(16)
    }

    /// Index of the feature of that name.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|f| f.name == name)
    }

    /// Encodes columns that are in the order of the features.
    ///
    /// # Errors
    /// When their number is not that of the features, or their lengths differ.
    pub fn encode(&self, columns: &[&[f32]]) -> Result<BinnedRows, ForestError> {
        check_columns(self.features.len(), columns)?;
        let rows = columns.first().map_or(0, |c| c.len());
        let mut binned = BinnedRows { stride: self.stride(), codes: vec![0; rows * self.stride()], rows };
        for (at, slot) in self.slots.iter().enumerate() {
            let (Some(feature), Some(column)) =
                (self.features.get(usize::from(slot.feature)), columns.get(usize::from(slot.feature)))
            else {
                continue;
            };
            let encoder = Encoder::new(feature, *slot);
            for (row, value) in binned.codes.chunks_exact_mut(binned.stride).zip(*column) {
                row[at] = encoder.code(*value);
            }
        }
        Ok(binned)
    }

    /// Encodes one row, its values in the order of the features, into [`Bins::stride`] bytes.
    ///
    /// # Errors
    /// When the number of values or bytes is not right.
    pub fn encode_row(&self, values: &[f32], into: &mut [u8]) -> Result<(), ForestError> {
        if values.len() != self.features.len() {
            return Err(ForestError::shape("values of a row", self.features.len(), values.len()));
        }
        if into.len() != self.stride() {
            return Err(ForestError::shape("bytes of a row", self.stride(), into.len()));
        }
        for (slot, code) in self.slots.iter().zip(into) {
            let index = usize::from(slot.feature);
            if let (Some(feature), Some(value)) = (self.features.get(index), values.get(index)) {
                *code = Encoder::new(feature, *slot).code(*value);
            }
        }
        Ok(())
    }

    /// No rows yet; for [`BinnedRows::push`].
    #[must_use]
    pub fn rows(&self) -> BinnedRows {
        BinnedRows { stride: self.stride(), codes: Vec::new(), rows: 0 }
    }
}

fn check_columns(features: usize, columns: &[&[f32]]) -> Result<(), ForestError> {
    if columns.len() != features {
        return Err(ForestError::shape("columns", features, columns.len()));
    }
    let Some(first) = columns.first() else {
        return Err(ForestError::Data("there are no columns".to_owned()));
    };
    match columns.iter().find(|c| c.len() != first.len()) {
        Some(other) => Err(ForestError::shape("rows of a column", first.len(), other.len())),
        None => Ok(()),
    }
}

fn fit_feature(name: &str, column: &[f32], value_bins: usize) -> Feature {
    let missing = column.iter().any(|v| v.is_nan());
    // A stride keeps the sample spread over time, which row order often is.
    let step = column.len().div_ceil(FIT_ROWS).max(1);
    let mut values: Vec<f32> = column.iter().step_by(step).copied().filter(|v| !v.is_nan()).collect();
    values.sort_unstable_by(f32::total_cmp);
    let median = values.get(values.len() / 2).copied().unwrap_or(0.0);
    let fill = if missing || values.is_empty() { f32::NAN } else { median };
    Feature { name: name.to_owned(), edges: edges_of(&values, value_bins), fill }
}

/// At most `bins - 1` edges between the sorted values, so that bins hold about as many values each; a value that fills a bin
/// alone gets one of its own, and what remains is shared out among the rest.
fn edges_of(sorted: &[f32], bins: usize) -> Vec<f32> {
    let mut counts: Vec<(f32, usize)> = Vec::new();
    for value in sorted {
        match counts.last_mut() {
            // -0 and 0 are one value.
            Some((last, count)) if *last == *value => *count += 1,
            _ => counts.push((*value, 1)),
        }
    }
    let mut edges = Vec::new();
    let (mut left, mut free, mut held) = (sorted.len(), bins, 0);
    for pair in counts.windows(2) {
        let ((value, count), (next, next_count)) = (pair[0], pair[1]);
        held += count;
        if free <= 1 {
            break;
        }
        let target = left as f64 / free as f64;
        let few = counts.len() <= bins;
        if few || held as f64 >= target || (next_count as f64 >= target && held as f64 >= target / 2.0) {
            let middle = value + (next - value) / 2.0;
            edges.push(if middle.is_finite() && middle >= value && middle < next { middle } else { value });
            left -= held;
            free -= 1;
            held = 0;
        }
    }
    edges
}

/// One slot's way from a number to its code.
struct Encoder<'a> {
    edges: &'a [f32],
    missing: u8,
    fill: f32,
    base: u8,
}

impl<'a> Encoder<'a> {
    fn new(feature: &'a Feature, slot: Slot) -> Self {
        let first = (slot.first_edge as usize).min(feature.edges.len());
        let last = (first + usize::from(slot.edges)).min(feature.edges.len());
        Self {
            edges: &feature.edges[first..last],
            missing: if slot.missing_low { MISSING_LOW } else { MISSING_HIGH },
            fill: feature.fill,
            base: u8::from(slot.missing_low),
        }
    }

    fn code(&self, value: f32) -> u8 {
        let value = if value.is_nan() { self.fill } else { value };
        if value.is_nan() {
            return self.missing;
        }
        self.edges.partition_point(|edge| *edge < value) as u8 + self.base
    }
}

/// Rows of codes, ready for training and prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinnedRows {
    stride: usize,
    codes: Vec<u8>,
    rows: usize,
}

impl BinnedRows {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes from one row to the next.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// All codes, row after row.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// One row's codes.
    #[must_use]
    pub fn row(&self, index: usize) -> Option<&[u8]> {
        self.codes.get(index * self.stride..(index + 1) * self.stride)
    }

    /// Appends one row of values in the order of the features of `bins`, which must be those the rows were made by.
    ///
    /// # Errors
    /// When the number of values is not that of the features, or the rows are of another schema.
    pub fn push(&mut self, bins: &Bins, values: &[f32]) -> Result<(), ForestError> {
        self.check(bins)?;
        let start = self.codes.len();
        self.codes.resize(start + self.stride, 0);
        let result = bins.encode_row(values, &mut self.codes[start..]);
        match result {
            Ok(()) => self.rows += 1,
            Err(_) => self.codes.truncate(start),
        }
        result
    }

    /// Replaces one row, as when a node's features changed.
    ///
    /// # Errors
    /// When there is no such row, or as [`BinnedRows::push`].
    pub fn set(&mut self, bins: &Bins, index: usize, values: &[f32]) -> Result<(), ForestError> {
        self.check(bins)?;
        let (rows, stride) = (self.rows, self.stride);
        let row = self
            .codes
            .get_mut(index * stride..(index + 1) * stride)
            .ok_or_else(|| ForestError::shape("index of a row (at most)", rows.saturating_sub(1), index))?;
        bins.encode_row(values, row)
    }

    /// The rows of these indices in their order; indices beyond the end are left out.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut codes = Vec::with_capacity(indices.len() * self.stride);
        for row in indices.iter().filter_map(|i| self.row(*i)) {
            codes.extend_from_slice(row);
        }
        Self { stride: self.stride, rows: codes.len() / self.stride, codes }
    }

    /// Exchanges the values of one feature between rows: row `i` takes it from row `from[i]`. For permutation importance.
    pub(crate) fn permute(&mut self, bins: &Bins, feature: usize, from: &[usize]) {
        for (slot, _) in bins.slots().iter().enumerate().filter(|(_, s)| usize::from(s.feature) == feature) {
            let column: Vec<u8> = self.codes.iter().skip(slot).step_by(self.stride).copied().collect();
            for (row, source) in self.codes.chunks_exact_mut(self.stride).zip(from) {
                if let Some(code) = column.get(*source) {
                    row[slot] = *code;
                }
            }
        }
    }

    fn check(&self, bins: &Bins) -> Result<(), ForestError> {
        if self.stride == bins.stride() {
            Ok(())
        } else {
            Err(ForestError::shape("bytes of a row", bins.stride(), self.stride))
        }
    }
}
