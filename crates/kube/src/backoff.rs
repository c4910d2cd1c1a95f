//! Pauses between attempts: they double up to a limit, and vary so that clients that failed together do not return together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The pauses of one series of attempts.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    random: RandomState,
    taken: u64,
}

impl Backoff {
    /// Pauses from `first` to `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Backoff { first, longest, next: first, random: RandomState::new(), taken: 0 }
    }

    /// The next pause: between a half and the whole of the current step.
    pub fn pause(&mut self) -> Duration {
        let step = self.next.min(self.longest);
        self.next = step.saturating_mul(2);
        self.taken += 1;
        let share = (self.random.hash_one(self.taken) >> 33) as f64 / f64::from(u32::MAX >> 1);
        step.mul_f64(0.5 + share.min(1.0) / 2.0)
    }

    /// An attempt went well: the next pause is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(400));
        for step in [100, 200, 400, 400] {
            let pause = backoff.pause().as_millis();
            assert!((step / 2..=step).contains(&pause), "{pause} of {step}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
    }
}
