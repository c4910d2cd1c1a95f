//! How the features of the training set were distributed, and how those of the latest decisions differ from it.

use super::drift::psi;
use crate::features::{FEATURE_COUNT, FEATURE_NAMES, FeatureRow};

/// Parts of equal size that the training set is split into, feature by feature; one more holds missing values.
const PARTS: usize = 10;

/// One feature's distribution.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    edges: Vec<f32>,
    counts: [u32; PARTS + 1],
}

/// The distribution of every feature over rows.
pub(super) fn of(rows: &[&FeatureRow]) -> Vec<Parts> {
    (0..FEATURE_COUNT)
        .map(|feature| {
            let mut values: Vec<f32> = rows.iter().map(|row| row[feature]).filter(|value| !value.is_nan()).collect();
            values.sort_unstable_by(f32::total_cmp);
            let mut edges: Vec<f32> =
                (1..PARTS).filter_map(|part| values.get(values.len() * part / PARTS).copied()).collect();
            edges.dedup();
            let mut parts = Parts { edges, counts: [0; PARTS + 1] };
            rows.iter().for_each(|row| parts.counts[parts.part(row[feature])] += 1);
            parts
        })
        .collect()
}

impl Parts {
    fn part(&self, value: f32) -> usize {
        if value.is_nan() { PARTS } else { self.edges.partition_point(|edge| *edge < value) }
    }
}

/// The stability index of every feature of the rows against the reference, the largest first.
pub(super) fn shift(reference: &[Parts], rows: &[&FeatureRow]) -> Vec<(&'static str, f64)> {
    let mut shifts: Vec<(&'static str, f64)> = FEATURE_NAMES
        .iter()
        .zip(reference)
        .enumerate()
        .map(|(feature, (name, parts))| {
            let mut counts = [0u32; PARTS + 1];
            rows.iter().for_each(|row| counts[parts.part(row[feature])] += 1);
            (*name, psi(&parts.counts, &counts))
        })
        .collect();
    shifts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    shifts
}
