//! Counts of predictions and how they turned out, by day.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One day's counts. A prediction counts on the day it was made, whenever its verdict comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct DayCounts {
    /// Pods for which a node was chosen by the scheduler.
    pub placements: u64,
    /// Pods for which no node fitted.
    pub unschedulable: u64,
    /// Dry runs answered.
    pub dry_runs: u64,
    /// Placements of other schedulers seen.
    #[serde(default)]
    pub observed: u64,
    /// Predictions with a verdict, from the cluster or else from feedback.
    pub judged: u64,
    /// Those that went well.
    pub successful: u64,
    /// Judged predictions whose verdict rests on feedback alone.
    pub from_feedback: u64,
    /// Judged predictions that carried a probability.
    pub with_probability: u64,
    /// Sum of squared errors of these probabilities.
    pub squared_error: f64,
    /// Sum of `-ln` of the probability given to what happened.
    pub log_loss: f64,
}

impl DayCounts {
    /// Placements and dry runs together.
    pub fn predictions(&self) -> u64 {
        self.placements + self.dry_runs
    }

    /// Share of judged predictions that went well.
    pub fn accuracy(&self) -> Option<f64> {
        (self.judged > 0).then(|| self.successful as f64 / self.judged as f64)
    }

    /// Mean squared error of the probabilities.
    pub fn brier(&self) -> Option<f64> {
        (self.with_probability > 0).then(|| self.squared_error / self.with_probability as f64)
    }

    /// Mean log loss of the probabilities.
    pub fn mean_log_loss(&self) -> Option<f64> {
        (self.with_probability > 0).then(|| self.log_loss / self.with_probability as f64)
    }

    /// Adds (`sign` 1) or takes back (`sign` -1) one verdict.
    pub(crate) fn judge(&mut self, good: bool, p_bad: Option<f64>, sign: i64) {
        let step = |count: &mut u64| *count = count.saturating_add_signed(sign);
        step(&mut self.judged);
        if good {
            step(&mut self.successful);
        }
        if let Some(p) = p_bad {
            step(&mut self.with_probability);
            let (happened, signed) = (if good { 0.0 } else { 1.0 }, sign as f64);
            let p = p.clamp(1e-6, 1.0 - 1e-6);
            self.squared_error += signed * (p - happened).powi(2);
            self.log_loss -= signed * (if good { 1.0 - p } else { p }).ln();
        }
    }

    fn merge(&mut self, o: &DayCounts) {
        self.placements += o.placements;
        self.unschedulable += o.unschedulable;
        self.dry_runs += o.dry_runs;
        self.observed += o.observed;
        self.judged += o.judged;
        self.successful += o.successful;
        self.from_feedback += o.from_feedback;
        self.with_probability += o.with_probability;
        self.squared_error += o.squared_error;
        self.log_loss += o.log_loss;
    }
}

/// Performance over the window.
#[derive(Debug, Clone, Default)]
pub struct Performance {
    /// By day since 1970 (UTC).
    pub days: BTreeMap<u32, DayCounts>,
    /// Feedback records kept.
    pub feedback: u64,
    /// Of these, how many contradict the cluster.
    pub contradicting: u64,
}

impl Performance {
    /// All days together.
    pub fn total(&self) -> DayCounts {
        let mut total = DayCounts::default();
        for day in self.days.values() {
            total.merge(day);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_taken_back_leaves_nothing() {
        let mut day = DayCounts::default();
        assert_eq!(day.accuracy(), None);
        day.judge(true, Some(0.2), 1);
        assert_eq!(day.accuracy(), Some(1.0));
        assert!((day.brier().unwrap() - 0.04).abs() < 1e-12);
        day.judge(true, Some(0.2), -1);
        day.judge(false, Some(0.2), 1);
        assert_eq!((day.judged, day.successful), (1, 0));
        assert!((day.brier().unwrap() - 0.64).abs() < 1e-12);
        assert!((day.mean_log_loss().unwrap() + 0.2f64.ln()).abs() < 1e-12);
    }
}
