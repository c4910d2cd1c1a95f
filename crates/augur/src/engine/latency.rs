//! [`Latencies`]: how long something takes, as quantiles over everything recorded.

use std::time::Duration;

/// Buckets for each doubling: a quantile is at most a sixteenth (6 %) above the truth.
const STEPS: u64 = 16;
/// Doublings from a microsecond; the last bucket begins beyond a week.
const DOUBLINGS: u64 = 40;

/// A histogram of durations from a microsecond up. It takes 5 KiB, however much is recorded.
#[derive(Debug, Clone)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    longest: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies { buckets: vec![0; ((DOUBLINGS + 1) * STEPS) as usize], count: 0, longest: Duration::ZERO }
    }
}

/// What is told of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LatencySummary {
    /// How many durations were recorded.
    pub count: u64,
    /// Half of them are not longer than this.
    pub p50: Duration,
    /// 99 in a hundred are not longer than this.
    pub p99: Duration,
    /// 999 in a thousand are not longer than this.
    pub p999: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Latencies {
    /// Adds a duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket(micros)) {
            *bucket += 1;
        }
        self.count += 1;
        self.longest = self.longest.max(duration);
    }

    /// The quantiles; all zero while nothing was recorded.
    pub fn summary(&self) -> LatencySummary {
        LatencySummary {
            count: self.count,
            p50: self.quantile(0.5),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            longest: self.longest,
        }
    }

    fn quantile(&self, q: f64) -> Duration {
        let rank = (self.count as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return Duration::from_micros(upper(index as u64)).min(self.longest);
            }
        }
        self.longest
    }
}

/// The bucket of a number of microseconds: exact below `STEPS`, then `STEPS` to each doubling.
fn bucket(micros: u64) -> usize {
    let doubling = micros.checked_ilog2().map_or(0, u64::from).saturating_sub(STEPS.ilog2().into()).min(DOUBLINGS - 1);
    let step = (micros >> doubling).min(2 * STEPS - 1);
    (doubling * STEPS + step) as usize
}

/// The largest number of microseconds in a bucket.
fn upper(index: u64) -> u64 {
    if index < 2 * STEPS {
        return index;
    }
    let doubling = index / STEPS - 1;
    ((STEPS + index % STEPS + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_within_its_bucket() {
        for micros in (0..5_000).chain([1 << 20, (1 << 20) - 1, 123_456_789]) {
            let top = upper(bucket(micros) as u64);
            assert!(top >= micros && top <= micros + micros / STEPS, "{micros} in a bucket up to {top}");
            assert!(bucket(micros) == 0 || upper(bucket(micros) as u64 - 1) < micros, "{micros}");
        }
        assert!(bucket(u64::MAX) < Latencies::default().buckets.len());
    }

    #[test]
    fn quantiles_are_of_all_that_was_recorded() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.summary(), LatencySummary::default());
        for millis in 1..=1000 {
            latencies.record(Duration::from_millis(millis));
        }
        let summary = latencies.summary();
        let near = |actual: Duration, millis: f64| (actual.as_secs_f64() * 1000.0 / millis - 1.0).abs() < 0.07;
        assert!(near(summary.p50, 500.0) && near(summary.p99, 990.0) && near(summary.p999, 999.0), "{summary:?}");
        assert_eq!((summary.count, summary.longest), (1000, Duration::from_secs(1)));
    }
}
