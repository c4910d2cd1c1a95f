//! How a node has done lately: pods that came and trouble that it is blamed for, decayed within an hour and within a day
//! ([`Lately`]).

use serde::{Deserialize, Serialize};

/// Half-lives of the two counts, in milliseconds: half an hour and twelve hours.
const HALF_LIVES_MS: [f64; 2] = [1_800_000.0, 43_200_000.0];

/// Decayed counts of pods and of trouble.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lately {
    at: i64,
    /// Pods and trouble by half-life.
    counts: [(f64, f64); 2],
}

impl Lately {
    fn decay(age_ms: i64, half_life: f64) -> f64 {
        (-(age_ms.max(0) as f64) / half_life).exp2()
    }

    /// Pods and trouble as of `now`, by half-life.
    pub fn as_of(&self, now: i64) -> [(f64, f64); 2] {
        let mut counts = self.counts;
        for ((pods, trouble), half_life) in counts.iter_mut().zip(HALF_LIVES_MS) {
            let decay = Self::decay(now - self.at, half_life);
            (*pods, *trouble) = (*pods * decay, *trouble * decay);
        }
        counts
    }

    /// A pod came.
    pub fn came(&mut self, now: i64) {
        *self = Self { at: now.max(self.at), counts: self.as_of(now) };
        self.counts.iter_mut().for_each(|(pods, _)| *pods += 1.0);
    }

    /// A pod that came so long ago got into trouble. It counts as a pod in full.
    pub fn trouble(&mut self, now: i64, age_ms: i64) {
        *self = Self { at: now.max(self.at), counts: self.as_of(now) };
        for ((pods, trouble), half_life) in self.counts.iter_mut().zip(HALF_LIVES_MS) {
            *pods += 1.0 - Self::decay(age_ms, half_life);
            *trouble += 1.0;
        }
    }

    /// Adds what another has counted.
    pub fn take_in(&mut self, other: &Self, now: i64) {
        *self = Self { at: now.max(self.at), counts: self.as_of(now) };
        for ((pods, trouble), (more, worse)) in self.counts.iter_mut().zip(other.as_of(self.at)) {
            *pods += more;
            *trouble += worse;
        }
    }

    /// Trouble of so long ago is not the node's fault after all.
    pub fn cleared(&mut self, now: i64, age_ms: i64) {
        *self = Self { at: now.max(self.at), counts: self.as_of(now) };
        for ((_, trouble), half_life) in self.counts.iter_mut().zip(HALF_LIVES_MS) {
            *trouble = (*trouble - Self::decay(age_ms, half_life)).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_near_past_fades_within_hours_and_a_cleared_node_is_clear() {
        let mut lately = Lately::default();
        lately.came(0);
        lately.came(0);
        lately.trouble(0, 0);
        assert_eq!(lately.as_of(1_800_000)[0], (1.0, 0.5));
        assert!(lately.as_of(1_800_000)[1].0 > 1.9);
        lately.cleared(1_800_000, 1_800_000);
        assert!(lately.as_of(1_800_000).iter().all(|(_, trouble)| *trouble < 1e-9));
    }
}
