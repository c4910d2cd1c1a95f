//! Pauses between attempts: they double up to a limit, and vary so that clients that failed together do not return together.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

thread_local! {
    /// The state of the thread's random numbers (SplitMix64).
    static RANDOM: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8));
}

/// Makes this thread's pauses the same each time, so that a simulation on one thread can be replayed.
pub fn seed_pauses(seed: u64) {
    RANDOM.set(seed);
}

/// A random number in [0, 1).
fn random() -> f64 {
    let state = RANDOM.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    RANDOM.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The pauses of one series of attempts.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses from `first` to `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Backoff { first, longest, next: first }
    }

    /// The next pause: between a half and the whole of the current step.
    pub fn pause(&mut self) -> Duration {
        let step = self.next.min(self.longest);
        self.next = step.saturating_mul(2);
        step.mul_f64(0.5 + random() / 2.0)
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
        seed_pauses(7);
        let mut other = Backoff::new(Duration::from_millis(100), Duration::from_millis(400));
        let drawn = other.pause();
        seed_pauses(7);
        assert_eq!((backoff.pause(), other.pause() > drawn), (drawn, true));
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
    }
}
