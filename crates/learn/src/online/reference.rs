//! How the features of the training set were distributed, and how those of the latest decisions differ from it.

use super::drift::psi;
use crate::features::{FEATURE_COUNT, FEATURE_NAMES, FeatureRow};

/// Parts of equal size that the training set is split into, feature by feature; one more holds missing values.
const PARTS: usize = 10;

/// Above this stability index a feature has drifted, unless stretches of the training set were as far from all of it.
const DRIFTED: f64 = 0.25;
/// So many times further than the furthest stretch of the training set a feature has to be.
const BEYOND_USUAL: f64 = 1.5;

/// One feature's distribution.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    edges: Vec<f32>,
    counts: [u32; PARTS + 1],
    /// The largest stability index of a stretch of the training set against all of it: what a day's rhythm does is no drift.
    usual: f64,
}

/// How far a feature of the latest rows is from the training set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shift {
    pub name: &'static str,
    /// The stability index.
    pub index: f64,
    /// Above this it has drifted.
    pub limit: f64,
}

/// The distribution of every feature over rows in the order of time. `stretch` is how many rows are compared with it later.
pub(super) fn of(rows: &[&FeatureRow], stretch: usize) -> Vec<Parts> {
    (0..FEATURE_COUNT)
        .map(|feature| {
            let mut values: Vec<f32> = rows.iter().map(|row| row[feature]).filter(|value| !value.is_nan()).collect();
            values.sort_unstable_by(f32::total_cmp);
            let mut edges: Vec<f32> =
                (1..PARTS).filter_map(|part| values.get(values.len() * part / PARTS).copied()).collect();
            edges.dedup();
            let mut parts = Parts { edges, counts: [0; PARTS + 1], usual: 0.0 };
            parts.counts = parts.count(rows, feature);
            let stretches =
                rows.chunks_exact(stretch.max(1)).map(|rows| psi(&parts.counts, &parts.count(rows, feature)));
            parts.usual = stretches.fold(0.0, f64::max);
            parts
        })
        .collect()
}

impl Parts {
    fn part(&self, value: f32) -> usize {
        if value.is_nan() { PARTS } else { self.edges.partition_point(|edge| *edge < value) }
    }

    fn count(&self, rows: &[&FeatureRow], feature: usize) -> [u32; PARTS + 1] {
        let mut counts = [0; PARTS + 1];
        rows.iter().for_each(|row| counts[self.part(row[feature])] += 1);
        counts
    }
}

/// The stability index of every feature of the rows against the reference, the largest first.
pub(super) fn shift(reference: &[Parts], rows: &[&FeatureRow]) -> Vec<Shift> {
    let mut shifts: Vec<Shift> = FEATURE_NAMES
        .iter()
        .zip(reference)
        .enumerate()
        .map(|(feature, (name, parts))| {
            let index = psi(&parts.counts, &parts.count(rows, feature));
            Shift { name, index, limit: DRIFTED.max(BEYOND_USUAL * parts.usual) }
        })
        .collect();
    shifts.sort_by(|a, b| b.index.total_cmp(&a.index).then(a.name.cmp(b.name)));
    shifts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of so many hours, fifty an hour; the first feature follows the time of day, the second stays, the third is moved.
    fn rows(hours: std::ops::Range<usize>, moved: f32) -> Vec<FeatureRow> {
        let row = |index: usize| {
            let hour = (index / 50 % 24) as f32;
            let mut row = [0.0; FEATURE_COUNT];
            (row[0], row[1], row[2]) = (hour, (index % 50) as f32, (index % 50) as f32 + moved);
            row
        };
        (hours.start * 50..hours.end * 50).map(row).collect()
    }

    #[test]
    fn what_every_day_brings_is_no_drift_and_what_no_day_brought_is() {
        let (days, lately) = (rows(0..72, 0.0), rows(80..84, 40.0));
        let reference = of(&days.iter().collect::<Vec<_>>(), 200);
        let shifts = shift(&reference, &lately.iter().collect::<Vec<_>>());
        let of = |feature: usize| shifts.iter().find(|shift| shift.name == FEATURE_NAMES[feature]).copied().unwrap();
        let (daily, steady, moved) = (of(0), of(1), of(2));
        assert!(daily.index > 1.0 && daily.index <= daily.limit, "{daily:?}");
        assert!(steady.index < 0.05 && steady.limit == DRIFTED, "{steady:?}");
        assert!(moved.index > moved.limit, "{moved:?}");
    }
}
