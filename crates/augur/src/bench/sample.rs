//! A sample of durations and its percentiles.

use std::time::Duration;

/// Durations of one kind of call.
#[derive(Debug, Default)]
pub struct Sample(Vec<Duration>);

impl Sample {
    /// Adds a duration.
    pub fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds those of another sample.
    pub fn merge(&mut self, other: Sample) {
        self.0.extend(other.0);
    }

    /// The durations below which the given shares (0..1) of the sample lie, by nearest rank; zeros for an empty sample.
    pub fn percentiles<const N: usize>(&mut self, shares: [f64; N]) -> [Duration; N] {
        self.0.sort_unstable();
        shares.map(|share| {
            let rank = (share * self.0.len() as f64).ceil() as usize;
            self.0.get(rank.max(1) - 1).or(self.0.last()).copied().unwrap_or_default()
        })
    }
}

/// Milliseconds with two decimals, for tables.
#[must_use]
pub fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut sample = Sample::default();
        assert_eq!(sample.percentiles([0.5]), [Duration::ZERO]);
        for n in (1..=100).rev() {
            sample.add(Duration::from_millis(n));
        }
        assert_eq!(sample.percentiles([0.5, 0.99, 1.0]), [50, 99, 100].map(Duration::from_millis));
    }
}
