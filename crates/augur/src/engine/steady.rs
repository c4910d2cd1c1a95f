//! The time by which the scheduler waits: [`Steady`]. The wall clock, but not set back with it, for else a pod would wait out its
//! backoff and the hour that the clock lost.

use std::cell::Cell;
use std::time::Duration;

use augur_clock::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Further behind than this the clock was set; less is its ordinary correction.
const SET_BACK: SignedDuration = SignedDuration::from_secs(1);

/// The clock's time, which goes on as if the clock were never set back.
pub struct Steady {
    clock: Clock,
    state: Cell<State>,
}

#[derive(Clone, Copy)]
struct State {
    shown: Timestamp,
    at: Instant,
    /// What the clock was set back by, in all.
    behind: SignedDuration,
}

impl Steady {
    /// Begins with the clock's present.
    pub fn new(clock: Clock) -> Self {
        let state = State { shown: clock.now(), at: Instant::now(), behind: SignedDuration::ZERO };
        Steady { clock, state: Cell::new(state) }
    }

    /// The present; never earlier than the one before.
    pub fn now(&self) -> Timestamp {
        let State { shown, at, behind } = self.state.get();
        let (wall, instant) = (self.clock.now(), Instant::now());
        let passed = Duration::try_from_secs_f64(instant.duration_since(at).as_secs_f64() * self.clock.speed());
        let expected = shown.saturating_add(passed.unwrap_or_default()).unwrap_or(shown);
        let corrected = wall.saturating_add(behind).unwrap_or(wall);
        let lost = expected.duration_since(corrected);
        let (now, behind) = if lost > SET_BACK {
            tracing::warn!(by = ?lost, "the clock was set back");
            (expected, behind.saturating_add(lost))
        } else {
            (corrected.max(shown), behind)
        };
        self.state.set(State { shown: now, at: instant, behind });
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_follows_the_clock_but_not_back() {
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        let time = Steady::new(clock.clone());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(time.now().as_second(), 10);
        clock.set(-SignedDuration::from_hours(1));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(time.now().as_second(), 20);
        clock.set(SignedDuration::from_secs(100));
        assert_eq!(time.now().as_second(), 120);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(time.now().as_second(), 121);
    }
}
