//! How long a thread is held that does what the scheduler thread does ([`Pauses`]).
//!
//! Two figures for each piece of work: by the clock, and without the time in which the thread was ready to run and another one
//! had its core, which is the machine's load and not history's doing. What remains is work and waiting, for locks say.

use std::time::{Duration, Instant};

/// The longest pieces of work so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pauses {
    /// By the clock.
    pub clock: Duration,
    /// Without waiting for a core.
    pub held: Duration,
}

impl Pauses {
    /// Does a piece of work and notes how long the thread was held by it.
    pub fn of<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (queued, began) = (waited_for_core(), Instant::now());
        let result = work();
        let clock = began.elapsed();
        let queued = waited_for_core().saturating_sub(queued);
        self.clock = self.clock.max(clock);
        self.held = self.held.max(clock.saturating_sub(queued));
        result
    }
}

/// For how long this thread was ready and did not run, as the kernel tells; nothing where it does not.
fn waited_for_core() -> Duration {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(line.split(' ').nth(1).and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}
