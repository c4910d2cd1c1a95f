//! Intervals of a metric by the bootstrap: [`clustered_interval`] draws whole groups, because rows of one group (a user, a
//! workload) tell much the same.

use std::collections::BTreeMap;

use crate::random::Random;

/// The interval that holds the middle `level` (as 0.95) of `metric` over `draws` draws of the groups with replacement. The
/// metric is given each row's weight: how often its group was drawn. Draws that give no finite metric (one class only) are left
/// out. None when fewer than half of them remain.
pub fn clustered_interval(
    groups: &[u32],
    draws: usize,
    level: f64,
    seed: u64,
    mut metric: impl FnMut(&[f32]) -> f64,
) -> Option<(f64, f64)> {
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    for group in groups {
        let next = numbers.len() as u32;
        numbers.entry(*group).or_insert(next);
    }
    let rows: Vec<u32> = groups.iter().filter_map(|g| numbers.get(g).copied()).collect();
    let mut random = Random::new(seed);
    let mut weights = vec![0.0f32; rows.len()];
    let mut values = Vec::with_capacity(draws);
    for _ in 0..draws {
        let mut counts = vec![0.0f32; numbers.len()];
        for _ in 0..counts.len() {
            let drawn = random.below(counts.len() as u32) as usize;
            counts[drawn] += 1.0;
        }
        for (weight, group) in weights.iter_mut().zip(&rows) {
            *weight = counts[*group as usize];
        }
        let value = metric(&weights);
        if value.is_finite() {
            values.push(value);
        }
    }
    if values.len() * 2 < draws.max(1) {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len() - 1) as f64 * share).round() as usize).copied();
    Some((at((1.0 - level) / 2.0)?, at((1.0 + level) / 2.0)?))
}
