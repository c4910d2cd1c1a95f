//! Leaves that go on learning: [`Forest::refresh`] adds matured labels to decayed counts; and how sure a forest can be of a row.

use crate::bins::BinnedRows;
use crate::error::ForestError;
use crate::forest::{Forest, Output};
use crate::predict::{Path, spreads};

/// What a prediction rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Support {
    /// The mean of the trees.
    pub mean: f32,
    /// The standard deviation between trees: 0 when they agree.
    pub deviation: f32,
    /// The mean weight of the row's leaves, in rows (decayed ones count less).
    pub cover: f32,
}

impl Forest {
    /// Adds labels to the leaves their rows come to: a leaf's value becomes the mean of what it holds and the label, by their
    /// weights, within the bounds that keep the forest monotone. Weights are in rows; empty means 1 each. About 2 µs a row of 100 trees.
    ///
    /// # Errors
    /// When sizes do not fit, a label or weight is not finite, or this is no random forest.
    pub fn refresh(&mut self, rows: &BinnedRows, labels: &[f32], weights: &[f32]) -> Result<(), ForestError> {
        self.check(rows)?;
        self.only_means("leaves of boosted trees cannot be refreshed: train again")?;
        if labels.len() != rows.len() || !(weights.is_empty() || weights.len() == rows.len()) {
            return Err(ForestError::shape("labels and weights to refresh with", rows.len(), labels.len()));
        }
        let weight = |row: usize| weights.get(row).copied().unwrap_or(1.0);
        let bad = |(row, label): (usize, &f32)| !label.is_finite() || !weight(row).is_finite() || weight(row) < 0.0;
        if let Some(row) = labels.iter().enumerate().position(bad) {
            let found = format!("{} with weight {}", labels[row], weight(row));
            return Err(ForestError::Value { row, what: "label", found, expected: "finite, its weight too" });
        }
        for group in &mut self.groups {
            for lane in 0..group.trees {
                for (index, label) in labels.iter().enumerate() {
                    let Some(row) = rows.row(index) else { continue };
                    let leaf = group.leaf_of(lane, row);
                    let cover = group.covers[leaf] + weight(index);
                    if cover > 0.0 {
                        let share = weight(index) / cover;
                        let value = group.values[leaf] + (label - group.values[leaf]) * share;
                        let (lower, upper) =
                            group.bounds.get(leaf).copied().unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
                        group.values[leaf] = value.clamp(lower, upper);
                        group.covers[leaf] = cover;
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes all that leaves have seen so far count less, by a factor in (0, 1]: half after a half-life. Predictions do not
    /// change.
    ///
    /// # Errors
    /// When the factor is out of range or this is no random forest.
    pub fn decay(&mut self, factor: f32) -> Result<(), ForestError> {
        self.only_means("leaves of boosted trees hold no counts")?;
        if !(factor > 0.0 && factor <= 1.0) {
            return Err(ForestError::parameter("factor", factor, "above 0 and at most 1"));
        }
        for cover in self.groups.iter_mut().flat_map(|g| &mut g.covers) {
            *cover *= factor;
        }
        Ok(())
    }

    /// What the prediction of one row of codes rests on.
    ///
    /// # Errors
    /// When the row is of another schema or this is no random forest.
    pub fn support(&self, row: &[u8]) -> Result<Support, ForestError> {
        if row.len() != self.stride {
            return Err(ForestError::shape("bytes of a row", self.stride, row.len()));
        }
        let mut supports = Vec::with_capacity(1);
        self.supports_of(Path::Fastest, row, 1, &mut supports)?;
        supports.pop().ok_or_else(|| ForestError::shape("rows", 1, 0))
    }

    /// The same of many rows, by a chosen code; both give equal results. `into` is emptied first.
    ///
    /// # Errors
    /// As [`Forest::support`].
    pub fn supports(&self, path: Path, rows: &BinnedRows, into: &mut Vec<Support>) -> Result<(), ForestError> {
        self.check(rows)?;
        self.supports_of(path, rows.codes(), rows.len(), into)
    }

    fn supports_of(&self, path: Path, codes: &[u8], rows: usize, into: &mut Vec<Support>) -> Result<(), ForestError> {
        self.only_means("boosted trees have no support by leaves")?;
        let mut sums = vec![[0.0; 3]; rows];
        spreads(&self.groups, codes, self.stride, path, &mut sums);
        let trees = self.trees().max(1) as f32;
        into.clear();
        into.extend(sums.iter().map(|[sum, squares, cover]| {
            let mean = sum / trees;
            Support { mean, deviation: (squares / trees - mean * mean).max(0.0).sqrt(), cover: cover / trees }
        }));
        Ok(())
    }

    fn only_means(&self, otherwise: &str) -> Result<(), ForestError> {
        if self.output == Output::Mean { Ok(()) } else { Err(ForestError::Kind(otherwise.to_owned())) }
    }
}
