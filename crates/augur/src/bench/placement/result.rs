//! What a run measured, and what runs over seeds say together. Entry points: [`RunResult`], [`Metric`], [`Estimate`].

use std::collections::BTreeMap;

use augur_sandbox::sim::Millis;
use serde::Serialize;

use super::ledger::Tally;

/// What one run measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RunResult {
    pub tally: Tally,
    /// By hour of placement.
    pub hourly: Vec<Tally>,
    /// Minutes of nodes that wanted more than nine tenths of the CPU that works.
    pub hot_minutes: f64,
    /// Sums over minutes, in thousandths of a core.
    pub cpu_wanted: f64,
    pub cpu_throttled: f64,
    pub evictions: u64,
    pub restarts: u64,
    /// Sum over minutes of nodes with pods, and the minutes.
    pub nodes_used: f64,
    pub minutes: f64,
    /// Pods that waited for a node at the end.
    pub unplaced: u64,
    /// Milliseconds that placed pods waited.
    pub waited: f64,
    /// What happened to models.
    pub moments: Vec<Moment>,
    /// Labels that history gave, by what really became of the placement: truth, label, placements.
    pub confusion: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Something that happened to a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// When, in milliseconds since 1970.
    pub at: Millis,
    pub kind: &'static str,
    pub text: String,
}

/// A column of the tables.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub key: &'static str,
    pub title: &'static str,
    pub of: fn(&RunResult) -> f64,
    /// Digits behind the point.
    pub digits: usize,
}

fn per_thousand(count: u64, run: &RunResult) -> f64 {
    1_000.0 * count as f64 / run.tally.placements.max(1) as f64
}

/// The columns, the first is the one that counts. All are better when smaller, but placements.
pub const METRICS: [Metric; 16] = [
    Metric { key: "bad", title: "bad per 1,000", of: |run| per_thousand(run.tally.all_bad(), run), digits: 1 },
    Metric { key: "bad_memory", title: "memory", of: |run| per_thousand(run.tally.bad[0], run), digits: 1 },
    Metric { key: "bad_disk", title: "disk", of: |run| per_thousand(run.tally.bad[1], run), digits: 1 },
    Metric { key: "bad_cpu", title: "cpu", of: |run| per_thousand(run.tally.bad[2], run), digits: 1 },
    Metric { key: "bad_power", title: "power", of: |run| per_thousand(run.tally.bad[3], run), digits: 1 },
    Metric { key: "bad_network", title: "network", of: |run| per_thousand(run.tally.bad[4], run), digits: 1 },
    Metric { key: "bad_late", title: "late", of: |run| per_thousand(run.tally.bad[5], run), digits: 1 },
    Metric {
        key: "app_faults",
        title: "app faults per 1,000",
        of: |run| per_thousand(run.tally.application, run),
        digits: 1,
    },
    Metric { key: "hot_node_minutes", title: "hot node minutes", of: |run| run.hot_minutes, digits: 0 },
    Metric {
        key: "throttled_cpu",
        title: "throttled CPU",
        of: |run| if run.cpu_wanted > 0.0 { run.cpu_throttled / run.cpu_wanted } else { 0.0 },
        digits: 4,
    },
    Metric { key: "evictions", title: "evictions", of: |run| run.evictions as f64, digits: 0 },
    Metric { key: "restarts", title: "restarts", of: |run| run.restarts as f64, digits: 0 },
    Metric { key: "nodes_used", title: "nodes used", of: |run| run.nodes_used / run.minutes.max(1.0), digits: 1 },
    Metric { key: "unplaced", title: "unplaced", of: |run| run.unplaced as f64, digits: 1 },
    Metric {
        key: "wait_seconds",
        title: "mean wait, s",
        of: |run| run.waited / 1e3 / run.tally.placements.max(1) as f64,
        digits: 1,
    },
    Metric { key: "placements", title: "placements", of: |run| run.tally.placements as f64, digits: 0 },
];

/// A mean over seeds with its 95 % interval (Student's t).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Estimate {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    /// Of one value a seed; the interval of a single value is the value.
    pub fn of(values: &[f64]) -> Estimate {
        let n = values.len() as f64;
        if values.is_empty() {
            return Estimate::default();
        }
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        let half = student(values.len() - 1) * (variance / n).sqrt();
        Estimate { mean, low: mean - half, high: mean + half }
    }

    /// Of the differences between two policies, seed by seed.
    pub fn paired(values: &[f64], against: &[f64]) -> Estimate {
        let differences: Vec<f64> = values.iter().zip(against).map(|(a, b)| a - b).collect();
        Estimate::of(&differences)
    }
}

/// The 97.5 % quantile of Student's t.
fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    match freedom {
        0 => 0.0,
        _ => TABLE.get(freedom - 1).copied().unwrap_or(1.96),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_students() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0]);
        assert!((estimate.mean - 2.0).abs() < 1e-9 && (estimate.high - 2.0 - 4.303 / 3f64.sqrt()).abs() < 1e-9);
        assert_eq!(Estimate::of(&[5.0]), Estimate { mean: 5.0, low: 5.0, high: 5.0 });
        let paired = Estimate::paired(&[3.0, 4.0], &[1.0, 2.0]);
        assert_eq!((paired.mean, paired.low, paired.high), (2.0, 2.0, 2.0));
    }
}
