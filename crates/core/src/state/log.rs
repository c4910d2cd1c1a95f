//! What changed lately, for those who keep what they made of the state: [`ChangeLog`].

use std::collections::VecDeque;

/// So many changes are remembered. Who looks less often than that starts anew, which costs as much as this many changes
/// in a cluster of that many nodes; in memory it is two megabytes at most.
const LENGTH: usize = 1 << 16;

/// The last changes, each with its number.
#[derive(Debug)]
pub(crate) struct ChangeLog<T> {
    entries: VecDeque<T>,
    /// The number of the next change.
    next: u64,
}

impl<T> Default for ChangeLog<T> {
    fn default() -> Self {
        ChangeLog { entries: VecDeque::new(), next: 0 }
    }
}

impl<T> ChangeLog<T> {
    pub(super) fn push(&mut self, change: T) {
        if self.entries.len() == LENGTH {
            self.entries.pop_front();
        }
        self.entries.push_back(change);
        self.next += 1;
    }

    /// The number of the next change.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The changes from the one of this number on; nothing if some of them are forgotten, or if
    /// there never was such a number.
    pub(crate) fn since(&self, number: u64) -> Option<impl Iterator<Item = &T>> {
        if number > self.next {
            return None;
        }
        let first = self.next - self.entries.len() as u64;
        let skipped = usize::try_from(number.checked_sub(first)?).ok()?;
        Some(self.entries.range(skipped..))
    }
}
