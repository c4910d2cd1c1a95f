//! Why this row and not that one: exact Shapley values of the difference between two predictions ([`Forest::contrast`]).
//!
//! This is interventional SHAP (Lundberg et al. 2020, "independent") with the other row as its only reference. In each tree only
//! the leaves count that some mixture of both rows reaches; such a leaf is worth (p-1)! q! / (p+q)! of its value to each of the p
//! features it takes from the row and minus p! (q-1)! / (p+q)! to each of the q it takes from the reference. A leaf is worth the
//! same to all of them, so sums are carried up and given to a feature once, at the node where the mixtures part by it.

use crate::bins::MAX_SLOTS;
use crate::error::ForestError;
use crate::forest::{Forest, Output};
use crate::tree::Group;

/// How many features may differ between the two rows.
pub const MAX_CONTRAST: usize = 64;

/// By the number of features taken from the row and from the reference: what a leaf is worth to each of either.
type Shares = [[(f64, f64); MAX_CONTRAST + 1]; MAX_CONTRAST + 1];

/// A mixture of both rows on its way down a tree.
#[derive(Debug, Clone, Copy, Default)]
struct Mixture {
    /// The node it is at.
    at: u32,
    /// Where its sum goes: twice the number of the fork it came from, and one more for the side of the reference.
    side: u32,
    /// Features it has from the row, and from the reference.
    taken: u64,
    left: u64,
    /// How many these are.
    counts: [u16; 2],
}

/// Memory of [`Forest::contrast`], kept from one call to the next.
#[derive(Debug, Clone)]
pub struct Contrast {
    /// Each slot's codes in the row and in the reference.
    codes: [[u8; 2]; MAX_SLOTS],
    /// Each slot's bit in the masks, where the two differ.
    bits: [u8; MAX_SLOTS],
    /// The feature of each bit.
    features: Vec<usize>,
    /// What each bit got.
    values: [f64; MAX_CONTRAST],
    mixtures: Vec<Mixture>,
    /// Each fork's bit, and the side that its sum goes to.
    forks: Vec<(u8, u32)>,
    /// The sums of each fork's sides: worth to what is taken from the row, and from the reference.
    sums: Vec<(f64, f64)>,
    shares: Box<Shares>,
}

impl Default for Contrast {
    fn default() -> Self {
        Self {
            codes: [[0; 2]; MAX_SLOTS],
            bits: [0; MAX_SLOTS],
            features: Vec::new(),
            values: [0.0; MAX_CONTRAST],
            mixtures: Vec::new(),
            forks: Vec::new(),
            sums: Vec::new(),
            shares: shares(),
        }
    }
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
            let group = &self.groups[group];
            work.walk(group, group.roots[lane]);
        }
        let scale = match self.output {
            Output::Mean => 1.0 / self.trees().max(1) as f64,
            Output::Sum(_) | Output::Logistic(_) => 1.0,
        };
        for (feature, value) in work.features.iter().zip(&work.values) {
            out[*feature] += value * scale;
        }
        Ok(())
    }
}

impl Contrast {
    fn prepare(&mut self, forest: &Forest, row: &[u8], reference: &[u8]) -> Result<(), ForestError> {
        self.features.clear();
        for (slot, feature) in forest.slot_features.iter().enumerate() {
            self.codes[slot] = [row[slot], reference[slot]];
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
        self.values.fill(0.0);
        Ok(())
    }

    /// Adds one tree's part to `values`.
    ///
    /// All mixtures go down level by level, so that the fetches of one do not wait for those of another, and without jumps that
    /// depend on whether the rows part at a node, which cannot be foreseen. Mixtures at a leaf stay there.
    fn walk(&mut self, group: &Group, root: u16) {
        let (mut mixtures, mut forks) = (1, 1);
        self.grow(1, 1);
        self.mixtures[0] = Mixture { at: u32::from(root), ..Mixture::default() };
        for _ in 0..group.depth {
            self.grow(mixtures, forks);
            let (all, all_forks) = (self.mixtures.as_mut_slice(), self.forks.as_mut_slice());
            let here = mixtures;
            for index in 0..here {
                let now = all[index];
                let word = group.word(now.at as usize);
                let slot = word.slot() & 0xFF;
                let [ours, theirs] = self.codes[slot].map(|code| u32::from(code > word.threshold()));
                let (bit, child) = (self.bits[slot] & 63, word.left() as u32);
                let fork = u32::from((ours != theirs) & ((now.taken | now.left) >> bit & 1 == 0));
                let mask = u64::from(fork) << bit;
                // 2 * forks when it forks, its side when not.
                let side = now.side ^ ((now.side ^ (2 * forks as u32)) & fork.wrapping_neg());
                let from_reference = (now.left >> bit & 1) as u32;
                all[index] = Mixture {
                    at: child + (ours & (1 - from_reference) | theirs & from_reference),
                    side,
                    taken: now.taken | mask,
                    left: now.left,
                    counts: [now.counts[0] + fork as u16, now.counts[1]],
                };
                // Written in any case, and kept only when the count moves on.
                all[mixtures] = Mixture {
                    at: child + theirs,
                    side: side | 1,
                    taken: now.taken,
                    left: now.left | mask,
                    counts: [now.counts[0], now.counts[1] + 1],
                };
                all_forks[forks] = (bit, now.side);
                mixtures += fork as usize;
                forks += fork as usize;
            }
        }
        self.sums.resize(self.sums.len().max(2 * forks), (0.0, 0.0));
        for mixture in &self.mixtures[..mixtures] {
            let value = f64::from(group.values[mixture.at as usize]);
            let (gained, lost) = self.shares[usize::from(mixture.counts[0])][usize::from(mixture.counts[1])];
            self.sums[mixture.side as usize] = (gained * value, lost * value);
        }
        // Every side has its sum from one leaf or from one later fork.
        for fork in (1..forks).rev() {
            let (mine, other) = (self.sums[2 * fork], self.sums[2 * fork + 1]);
            let (bit, side) = self.forks[fork];
            self.values[usize::from(bit)] += mine.0 - other.1;
            self.sums[side as usize] = (mine.0 + other.0, mine.1 + other.1);
        }
    }

    /// Makes room for each mixture to fork, and for one more that is written but not kept.
    fn grow(&mut self, mixtures: usize, forks: usize) {
        if self.mixtures.len() < 2 * mixtures + 1 {
            self.mixtures.resize(2 * mixtures + 1, Mixture::default());
        }
        if self.forks.len() < forks + mixtures + 1 {
            self.forks.resize(forks + mixtures + 1, (0, 0));
        }
    }
}

/// For p features of the row and q of the reference: ((p-1)! q! / (p+q)!, p! (q-1)! / (p+q)!).
fn shares() -> Box<Shares> {
    let mut logs = vec![0.0f64; 2 * MAX_CONTRAST + 2];
    for n in 1..logs.len() {
        logs[n] = logs[n - 1] + (n as f64).ln();
    }
    let share = |p: usize, q: usize| match (p, q) {
        (0, _) => 0.0,
        (p, q) => (logs[p - 1] + logs[q] - logs[p + q]).exp(),
    };
    let mut table = Box::new([[(0.0, 0.0); MAX_CONTRAST + 1]; MAX_CONTRAST + 1]);
    for (p, row) in table.iter_mut().enumerate() {
        for (q, cell) in row.iter_mut().enumerate() {
            *cell = (share(p, q), share(q, p));
        }
    }
    table
}
