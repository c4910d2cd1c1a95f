//! Why this row and not that one: exact Shapley values of the difference between two predictions ([`Forest::contrast`]).
//!
//! This is interventional SHAP (Lundberg et al. 2020, "independent") with the other row as its only reference. In each tree only
//! the leaves count that some mixture of both rows reaches; such a leaf is worth (p-1)! q! / (p+q)! of its value to each of the p
//! features it takes from the row and minus p! (q-1)! / (p+q)! to each of the q it takes from the reference.

use crate::error::ForestError;
use crate::forest::Forest;
use crate::tree::{Group, MAX_DEPTH};

/// How many features may differ between the two rows.
pub const MAX_CONTRAST: usize = 64;
/// Slots in which both rows have the same code.
const SAME: u8 = u8::MAX;

/// Memory of [`Forest::contrast`], kept from one call to the next.
#[derive(Debug, Clone, Default)]
pub struct Contrast {
    /// Each slot's bit in the masks, or [`SAME`].
    bits: Vec<u8>,
    /// The feature of each bit.
    features: Vec<usize>,
    /// What each bit got.
    values: Vec<f64>,
    open: Vec<(u32, u64, u64)>,
    shares: Vec<[(f64, f64); MAX_CONTRAST + 1]>,
}

impl Forest {
    /// Adds each feature's part in `predict(row) - predict(reference)` to `out`, which has one place for each feature; the parts
    /// add up to the difference. For boosted probabilities they are parts of the difference in log-odds.
    ///
    /// # Errors
    /// When a row is of another schema, `out` is not as long as there are features, or more than 64 features differ.
    pub fn contrast(
        &self,
        row: &[u8],
        reference: &[u8],
        work: &mut Contrast,
        out: &mut [f64],
    ) -> Result<(), ForestError> {
        for bytes in [row, reference] {
            if bytes.len() != self.stride {
                return Err(ForestError::shape("bytes of a row", self.stride, bytes.len()));
            }
        }
        if out.len() != self.features {
            return Err(ForestError::shape("places for features", self.features, out.len()));
        }
        work.prepare(self, row, reference)?;
        for (group, lane) in self.lanes() {
            work.walk(&self.groups[group], lane, row, reference);
        }
        let scale = match self.output {
            crate::Output::Mean => 1.0 / self.trees().max(1) as f64,
            crate::Output::Sum(_) | crate::Output::Logistic(_) => 1.0,
        };
        for (feature, value) in work.features.iter().zip(&work.values) {
            out[*feature] += value * scale;
        }
        Ok(())
    }
}

impl Contrast {
    fn prepare(&mut self, forest: &Forest, row: &[u8], reference: &[u8]) -> Result<(), ForestError> {
        self.bits.clear();
        self.bits.resize(forest.stride, SAME);
        self.features.clear();
        for (slot, feature) in forest.slot_features.iter().enumerate() {
            if row[slot] == reference[slot] {
                continue;
            }
            let feature = usize::from(*feature);
            // Slots of one feature are side by side.
            if self.features.last() != Some(&feature) {
                if self.features.len() == MAX_CONTRAST {
                    let found = self.features.len() + 1;
                    return Err(ForestError::shape("features that differ (at most)", MAX_CONTRAST, found));
                }
                self.features.push(feature);
            }
            self.bits[slot] = (self.features.len() - 1) as u8;
        }
        self.values.clear();
        self.values.resize(self.features.len(), 0.0);
        if self.shares.is_empty() {
            self.shares = shares();
        }
        Ok(())
    }

    fn walk(&mut self, group: &Group, lane: usize, row: &[u8], reference: &[u8]) {
        self.open.clear();
        self.open.push((u32::from(group.roots[lane]), 0, 0));
        while let Some((mut at, mut taken, left)) = self.open.pop() {
            loop {
                let word = group.word(at as usize);
                if word.is_leaf() {
                    break;
                }
                let slot = word.slot();
                let bit = self.bits.get(slot).copied().unwrap_or(SAME);
                let ours = u32::from(row.get(slot).copied().unwrap_or(0) > word.threshold());
                let theirs = u32::from(reference.get(slot).copied().unwrap_or(0) > word.threshold());
                let child = word.left() as u32;
                if ours == theirs {
                    at = child + ours;
                    continue;
                }
                let mask = 1u64 << (bit & 63);
                if taken & mask != 0 {
                    at = child + ours;
                } else if left & mask != 0 {
                    at = child + theirs;
                } else {
                    self.open.push((child + theirs, taken, left | mask));
                    at = child + ours;
                    taken |= mask;
                }
            }
            let value = f64::from(group.values[at as usize]);
            let (p, q) = (taken.count_ones() as usize, left.count_ones() as usize);
            let (gained, lost) = self.shares[p][q];
            each_bit(taken, |bit| self.values[bit] += gained * value);
            each_bit(left, |bit| self.values[bit] -= lost * value);
        }
    }
}

fn each_bit(mut mask: u64, mut visit: impl FnMut(usize)) {
    while mask != 0 {
        visit(mask.trailing_zeros() as usize);
        mask &= mask - 1;
    }
}

/// For p features of the row and q of the reference: ((p-1)! q! / (p+q)!, p! (q-1)! / (p+q)!).
fn shares() -> Vec<[(f64, f64); MAX_CONTRAST + 1]> {
    let mut logs = vec![0.0f64; 2 * MAX_DEPTH + 2 * MAX_CONTRAST + 2];
    for n in 1..logs.len() {
        logs[n] = logs[n - 1] + (n as f64).ln();
    }
    let share = |p: usize, q: usize| match (p, q) {
        (0, _) => 0.0,
        (p, q) => (logs[p - 1] + logs[q] - logs[p + q]).exp(),
    };
    let mut table = vec![[(0.0, 0.0); MAX_CONTRAST + 1]; MAX_CONTRAST + 1];
    for (p, row) in table.iter_mut().enumerate() {
        for (q, cell) in row.iter_mut().enumerate() {
            *cell = (share(p, q), share(q, p));
        }
    }
    table
}
