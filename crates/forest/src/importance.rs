//! Which features matter: what permuting one costs ([`permutation_importance`]), and what splits on it gained
//! ([`Forest::gain_importance`]).

use crate::bins::{BinnedRows, Bins};
use crate::error::ForestError;
use crate::forest::Forest;
use crate::random::Random;

impl Forest {
    /// Each feature's share in the gain of all splits; all 0 for a forest without gains, as an imported one. It favours features
    /// of many values, so it is for debugging.
    #[must_use]
    pub fn gain_importance(&self) -> Vec<f64> {
        let mut gains = vec![0.0f64; self.features];
        for group in &self.groups {
            for (word, gain) in group.words.iter().zip(&group.gains).filter(|(word, _)| !word.is_leaf()) {
                let feature = self.slot_features.get(word.slot()).map_or(0, |f| usize::from(*f));
                if let Some(sum) = gains.get_mut(feature) {
                    *sum += f64::from(*gain).max(0.0);
                }
            }
        }
        let total: f64 = gains.iter().sum();
        if total > 0.0 {
            gains.iter_mut().for_each(|gain| *gain /= total);
        }
        gains
    }
}

/// How much `loss` of the predictions rises when a feature's values change places between rows, for each feature, as a mean over
/// `repeats`. With `groups`, values only change places within a group: among the candidate nodes of one pod, say, so that a
/// feature that is the same for all of them has no importance.
///
/// # Errors
/// When rows or groups do not fit.
pub fn permutation_importance(
    predict: &dyn Fn(&BinnedRows) -> Result<Vec<f32>, ForestError>,
    bins: &Bins,
    rows: &BinnedRows,
    groups: Option<&[u32]>,
    repeats: usize,
    seed: u64,
    loss: &dyn Fn(&[f32]) -> f64,
) -> Result<Vec<f64>, ForestError> {
    if let Some(groups) = groups
        && groups.len() != rows.len()
    {
        return Err(ForestError::shape("groups", rows.len(), groups.len()));
    }
    let base = loss(&predict(rows)?);
    (0..bins.features().len())
        .map(|feature| {
            let mut sum = 0.0;
            for repeat in 0..repeats.max(1) {
                let order = permutation(rows.len(), groups, seed, repeat);
                let mut changed = rows.clone();
                changed.permute(bins, feature, &order);
                sum += loss(&predict(&changed)?) - base;
            }
            Ok(sum / repeats.max(1) as f64)
        })
        .collect()
}

/// From which row each takes its value.
fn permutation(rows: usize, groups: Option<&[u32]>, seed: u64, repeat: usize) -> Vec<usize> {
    let mut random = Random::stream(seed, repeat as u64);
    let mut order: Vec<usize> = (0..rows).collect();
    let Some(groups) = groups else {
        random.shuffle(&mut order);
        return order;
    };
    // Rows by group; within each the values are dealt out anew.
    order.sort_by_key(|row| groups[*row]);
    let mut from = vec![0; rows];
    for members in order.chunk_by(|a, b| groups[*a] == groups[*b]) {
        let mut dealt = members.to_vec();
        random.shuffle(&mut dealt);
        for (row, source) in members.iter().zip(dealt) {
            from[*row] = source;
        }
    }
    from
}
