//! Points in time as the core sees them: microseconds since the Unix epoch, always an argument, never read from a clock.

use std::ops::Add;
use std::time::Duration;

/// A point in time, in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// The given number of microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// The given number of seconds after the epoch.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Timestamp(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The time that passed since `earlier`; zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The start of the window of the given length that contains this point. A window shorter than a microsecond
    /// counts as one.
    #[must_use]
    pub fn align_down(self, window: Duration) -> Self {
        let window = micros(window).max(1);
        Timestamp(self.0 - self.0.rem_euclid(window))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(micros(duration)))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_start_at_multiples_also_before_the_epoch() {
        let second = Duration::from_secs(1);
        assert_eq!(Timestamp::from_micros(2_999_999).align_down(second), Timestamp::from_secs(2));
        assert_eq!(Timestamp::from_secs(2).align_down(second), Timestamp::from_secs(2));
        assert_eq!(Timestamp::from_micros(-1).align_down(second), Timestamp::from_secs(-1));
    }

    #[test]
    fn a_difference_never_goes_below_zero() {
        assert_eq!(Timestamp::from_secs(1).since(Timestamp::from_secs(2)), Duration::ZERO);
        assert_eq!(Timestamp::from_secs(3).since(Timestamp::from_secs(2)), Duration::from_secs(1));
    }
}
