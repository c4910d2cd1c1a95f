//! How likely a placement is to be deleted before its fate shows ([`Censoring`]), for weighting the others.
//!
//! The Kaplan–Meier estimator with deletions as events: the probability of not being deleted before `t` is the product over
//! the minutes before `t` of `1 - deleted / still observed`. A placement whose fate showed at `t` weighs one over it.

use serde::{Deserialize, Serialize};

use crate::types::HOUR_MS;

/// Minutes in the first horizon.
const MINUTES: usize = 60;
/// A weight is never larger than this, so that a single late survivor does not outvote a whole day.
const MAX_WEIGHT: f64 = 10.0;

/// Counts of placements by the minute in which they ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Censoring {
    /// Placements whose fate showed in that minute; the last entry: at the horizon.
    shown: Vec<u64>,
    /// Placements deleted in that minute.
    deleted: Vec<u64>,
}

impl Default for Censoring {
    fn default() -> Self {
        Self { shown: vec![0; MINUTES + 1], deleted: vec![0; MINUTES + 1] }
    }
}

impl Censoring {
    fn minute(after_ms: i64) -> usize {
        usize::try_from(after_ms.clamp(0, HOUR_MS) / 60_000).unwrap_or(MINUTES).min(MINUTES)
    }

    /// Takes in a placement that ended `after_ms` after it was made.
    pub fn add(&mut self, after_ms: i64, deleted: bool) {
        let counts = if deleted { &mut self.deleted } else { &mut self.shown };
        if let Some(count) = counts.get_mut(Self::minute(after_ms)) {
            *count += 1;
        }
    }

    /// The weight of a placement whose fate showed `after_ms` after it was made, 1..10.
    pub fn weight(&self, after_ms: i64) -> f64 {
        let mut left: u64 = self.shown.iter().chain(&self.deleted).sum();
        let mut kept = 1.0;
        for (shown, deleted) in self.shown.iter().zip(&self.deleted).take(Self::minute(after_ms)) {
            if left > 0 {
                kept *= 1.0 - *deleted as f64 / left as f64;
            }
            left -= shown + deleted;
        }
        (1.0 / kept.max(1e-9)).min(MAX_WEIGHT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_survives_stands_for_those_that_were_deleted() {
        let mut censoring = Censoring::default();
        assert_eq!(censoring.weight(HOUR_MS), 1.0);
        for _ in 0..10 {
            censoring.add(30 * 60_000, true);
            censoring.add(HOUR_MS, false);
        }
        assert!((censoring.weight(HOUR_MS) - 2.0).abs() < 1e-9, "half were deleted");
        assert_eq!(censoring.weight(10 * 60_000), 1.0, "nobody had been deleted by then");
        for _ in 0..10_000 {
            censoring.add(1, true);
        }
        assert_eq!(censoring.weight(HOUR_MS), MAX_WEIGHT);
    }
}
