//! Histograms of one node's rows by code, and the best split they show.

use crate::train::grow::{Column, Packed, Shape, unpack};

/// Sums of packed targets by code.
pub(crate) struct Histogram {
    cells: [Packed; 256],
    /// Running sums, and what a split after each code gains.
    sums: [Packed; 256],
    gains: [f32; 256],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { cells: [0; 256], sums: [0; 256], gains: [0.0; 256] }
    }
}

impl Histogram {
    /// Empties the cells of that many codes, and the one of missing values.
    pub fn clear(&mut self, codes: usize) {
        let end = codes.min(255);
        self.cells[..end].fill(0);
        self.cells[255] = 0;
    }

    pub fn add(&mut self, code: u8, target: Packed) {
        let cell = &mut self.cells[usize::from(code)];
        *cell = cell.wrapping_add(target);
    }
}

/// The best split of a node so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Best {
    /// Index of the column.
    pub column: usize,
    /// The largest code that goes left, as the slot with missing values above counts them.
    pub threshold: u8,
    pub missing_left: bool,
    pub gain: f32,
    /// Sums of what goes left.
    pub left: Packed,
}

/// Looks for a better split in one column. The gain is what splitting adds to the sum of products squared by weights: for
/// labels of 0 and 1 the decrease of Gini's impurity, for numbers that of variance, for gradients Newton's gain.
pub(crate) fn best_split(
    histogram: &mut Histogram,
    column: &Column,
    index: usize,
    total: Packed,
    bounds: (f32, f32),
    shape: &Shape,
    best: &mut Option<Best>,
) {
    let missing = if column.missing { histogram.cells[255] } else { 0 };
    let codes = column.codes.min(255);
    // Two ways only when there is something missing here; one of them may also part the missing from all numbers.
    for missing_left in [false, true] {
        if missing_left && missing == 0 {
            continue;
        }
        let mut sum = if missing_left { missing } else { 0 };
        for (cell, out) in histogram.cells[..codes].iter().zip(&mut histogram.sums) {
            sum = sum.wrapping_add(*cell);
            *out = sum;
        }
        // After the last code only missing values remain, and these only when they go right.
        let candidates = if missing != 0 && !missing_left { codes } else { codes - 1 };
        if candidates == 0 {
            continue;
        }
        let sums = &histogram.sums[..candidates];
        let gains = &mut histogram.gains[..candidates];
        let greatest = match column.monotone {
            0 => gains_free(sums, total, shape, gains),
            sign => gains_monotone(sums, total, bounds, f32::from(sign), shape, gains),
        };
        if greatest > best.map_or(shape.min_gain, |b| b.gain)
            && let Some(at) = gains.iter().position(|g| *g == greatest)
        {
            let left = histogram.sums[at];
            *best = Some(Best { column: index, threshold: at as u8, missing_left, gain: greatest, left });
        }
    }
}

/// Gains after each code; -1 where a side would be too small. Returns the greatest.
fn gains_free(sums: &[Packed], total: Packed, shape: &Shape, gains: &mut [f32]) -> f32 {
    let (weight, product) = unpack(total);
    let (weight, product) = (weight as i32, product);
    let parent = square(product as f32, weight as f32 + shape.lambda);
    let min = (shape.min_weight as i32).max(1);
    let lambda = shape.lambda;
    for (gain, sum) in gains.iter_mut().zip(sums) {
        let p = *sum as u32 as i32;
        let w = (sum.wrapping_sub(i64::from(p) as u64) >> 32) as i32;
        let (wr, pr) = (weight - w, product - p);
        let both = square(p as f32, w as f32 + lambda) + square(pr as f32, wr as f32 + lambda) - parent;
        *gain = if (w >= min) & (wr >= min) { both } else { -1.0 };
    }
    greatest(gains)
}

/// As [`gains_free`], with the children's values held in the node's bounds, and -1 where they are in the wrong order.
fn gains_monotone(
    sums: &[Packed],
    total: Packed,
    bounds: (f32, f32),
    sign: f32,
    shape: &Shape,
    gains: &mut [f32],
) -> f32 {
    let (weight, product) = unpack(total);
    let min = (shape.min_weight as i32).max(1);
    let side = |w: f32, p: f32| {
        let value = (p / (w + shape.lambda)).clamp(bounds.0, bounds.1);
        // What a leaf of this value is worth; p²/w when no bound moved it.
        (value, value * (2.0 * p - value * (w + shape.lambda)))
    };
    let (_, parent) = side(weight as f32, product as f32);
    for (gain, sum) in gains.iter_mut().zip(sums) {
        let (w, p) = unpack(*sum);
        let (w, wr, pr) = (w as i32, weight as i32 - w as i32, product - p);
        let (left, worth) = side(w as f32, p as f32);
        let (right, worth_right) = side(wr as f32, pr as f32);
        let allowed = w >= min && wr >= min && (right - left) * sign >= 0.0;
        *gain = if allowed { worth + worth_right - parent } else { -1.0 };
    }
    greatest(gains)
}

fn square(product: f32, weight: f32) -> f32 {
    product * product / weight
}

fn greatest(gains: &[f32]) -> f32 {
    let mut lanes = [-1.0f32; 8];
    let (chunks, rest) = gains.as_chunks::<8>();
    for chunk in chunks {
        for (lane, gain) in lanes.iter_mut().zip(chunk) {
            *lane = if *gain > *lane { *gain } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(-1.0, |a, b| if *b > a { *b } else { a })
}
