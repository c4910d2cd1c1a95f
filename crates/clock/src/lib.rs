//! The one clock of Augur: real, scaled, stepped by hand, or simulated.
//!
//! Everything that has to know the time outside the pure crates holds a [`Clock`]. `augur up --speed 60` gives all of them
//! the same scaled clock, so that sixty simulated seconds pass in a real one for kubelets, controllers and scheduler alike.
//! Entry points: [`Clock::now`], [`Clock::sleep`].

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// A shared source of time. Cloning is cheap and all clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Real,
    /// Virtual time that started at `origin` when the process clock showed `started`, and runs `speed` times as fast.
    Scaled {
        origin: Timestamp,
        started: Instant,
        speed: f64,
    },
    /// Stands still until [`Clock::advance`].
    Manual {
        now: Mutex<Timestamp>,
        moved: watch::Sender<()>,
    },
    /// Follows the runtime's time, which a test may have paused, and may be set as a machine's clock may.
    Simulated {
        origin: Timestamp,
        started: tokio::time::Instant,
        error: Mutex<SignedDuration>,
    },
}

impl Clock {
    /// The wall clock.
    pub fn real() -> Self {
        Self(Arc::new(Kind::Real))
    }

    /// A clock that starts at the present and runs `speed` times as fast as real time. A speed that is not a finite number
    /// above zero counts as 1.
    pub fn scaled(speed: f64) -> Self {
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        Self(Arc::new(Kind::Scaled { origin: Timestamp::now(), started: Instant::now(), speed }))
    }

    /// A clock that shows `start` until it is advanced; for tests and for simulation by discrete events.
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Kind::Manual { now: Mutex::new(start), moved: watch::channel(()).0 }))
    }

    /// A clock that shows `start` now and goes on with the runtime's time; for tests that pause that.
    pub fn simulated(start: Timestamp) -> Self {
        let (started, error) = (tokio::time::Instant::now(), Mutex::new(SignedDuration::ZERO));
        Self(Arc::new(Kind::Simulated { origin: start, started, error }))
    }

    /// The time of the machine's own clock, however fast this one runs.
    pub fn wall(&self) -> Timestamp {
        match &*self.0 {
            Kind::Real | Kind::Scaled { .. } => Timestamp::now(),
            Kind::Manual { .. } | Kind::Simulated { .. } => self.now(),
        }
    }

    /// The present, in this clock's time.
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Kind::Real => Timestamp::now(),
            Kind::Scaled { origin, started, speed } => add(
                *origin,
                Duration::try_from_secs_f64(started.elapsed().as_secs_f64() * speed).unwrap_or(Duration::MAX),
            ),
            Kind::Manual { now, .. } => *lock(now),
            Kind::Simulated { origin, started, error } => {
                let shown = add(*origin, started.elapsed());
                shown.checked_add(*lock(error)).unwrap_or(shown)
            }
        }
    }

    /// How many seconds of this clock pass in a real second; 0 for a manual clock.
    pub fn speed(&self) -> f64 {
        match &*self.0 {
            Kind::Real | Kind::Simulated { .. } => 1.0,
            Kind::Scaled { speed, .. } => *speed,
            Kind::Manual { .. } => 0.0,
        }
    }

    /// Waits until `span` of this clock's time has passed.
    pub async fn sleep(&self, span: Duration) {
        match &*self.0 {
            Kind::Real | Kind::Simulated { .. } => tokio::time::sleep(span).await,
            Kind::Scaled { speed, .. } => tokio::time::sleep(span.div_f64(*speed)).await,
            Kind::Manual { now, moved } => {
                let mut moved = moved.subscribe();
                let until = add(*lock(now), span);
                while *lock(now) < until {
                    // The sender lives in `self`, so the channel cannot close while we wait.
                    let _ = moved.changed().await;
                }
            }
        }
    }

    /// Moves a manual clock forward and wakes its sleepers; no effect on the other kinds.
    pub fn advance(&self, span: Duration) {
        if let Kind::Manual { now, moved } = &*self.0 {
            let mut now = lock(now);
            *now = add(*now, span);
            drop(now);
            moved.send_replace(());
        }
    }

    /// Sets a simulated clock forward or back, which wakes no sleeper; no effect on the other kinds.
    pub fn set(&self, by: SignedDuration) {
        if let Kind::Simulated { error, .. } = &*self.0 {
            let mut error = lock(error);
            *error = error.saturating_add(by);
        }
    }
}

/// `t + span`, stopping at the last representable time instead of failing.
fn add(t: Timestamp, span: Duration) -> Timestamp {
    t.checked_add(span).unwrap_or(Timestamp::MAX)
}

fn lock<T>(now: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A time cannot be left half written, so a poisoned lock still holds a valid one.
    now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        clock.clone().advance(Duration::from_secs(90));
        assert_eq!(clock.now().as_second(), 90);
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(10)).await }
        });
        while !sleeper.is_finished() {
            clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
        assert!(clock.now().as_second() >= 10);
    }

    #[tokio::test]
    async fn a_simulated_clock_goes_on_and_can_be_set_back() {
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(2));
        clock.set(-SignedDuration::from_hours(1));
        let first = clock.now();
        assert_eq!((first.as_second(), clock.wall() >= first), (3600, true));
        clock.sleep(Duration::from_millis(1)).await;
        assert!(clock.now() > first);
    }

    #[test]
    fn a_scaled_clock_runs_ahead() {
        let clock = Clock::scaled(1e6);
        let first = clock.now();
        while clock.now() == first {}
        assert!(clock.now() > first);
        assert_eq!(Clock::scaled(f64::NAN).speed(), 1.0);
    }
}
