//! The work queue: each key waits at most once, now or at a time; failures come back later and later.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use jiff::Timestamp;

/// First delay after a failure; doubled by each further one.
const FIRST_DELAY: Duration = Duration::from_millis(20);
/// Longest delay after a failure.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Keys to be worked on. Bounded by the number of objects that exist: a key waits once in `ready` and once in `later`.
#[derive(Debug)]
pub(super) struct WorkQueue<K> {
    ready: VecDeque<K>,
    waiting: HashSet<K>,
    later: BinaryHeap<Reverse<(Timestamp, K)>>,
    due: HashMap<K, Timestamp>,
    failures: HashMap<K, u32>,
}

impl<K: Clone + Eq + Hash + Ord> Default for WorkQueue<K> {
    fn default() -> Self {
        WorkQueue {
            ready: VecDeque::new(),
            waiting: HashSet::new(),
            later: BinaryHeap::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> WorkQueue<K> {
    /// Asks for work on the key.
    pub fn add(&mut self, key: K) {
        if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// Asks for work on the key at a time; an earlier appointment stands.
    pub fn add_at(&mut self, key: K, at: Timestamp) {
        if self.due.get(&key).is_none_or(|due| at < *due) {
            self.due.insert(key.clone(), at);
            self.later.push(Reverse((at, key)));
        }
    }

    /// Asks for work on a key that failed.
    pub fn add_failed(&mut self, key: K, now: Timestamp) {
        let count = self.failures.entry(key.clone()).or_insert(0);
        let delay =
            FIRST_DELAY.saturating_mul(1_u32.checked_shl((*count).min(20)).unwrap_or(u32::MAX)).min(LONGEST_DELAY);
        *count = count.saturating_add(1);
        self.add_at(key, now.checked_add(delay).unwrap_or(Timestamp::MAX));
    }

    /// Notes that work on the key succeeded.
    pub fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// The next key to work on, with what has become due by now.
    pub fn next(&mut self, now: Timestamp) -> Option<K> {
        while let Some(Reverse((at, _))) = self.later.peek()
            && *at <= now
        {
            let Some(Reverse((at, key))) = self.later.pop() else { break };
            // Only the earliest appointment of a key counts; others are left over in the heap.
            if self.due.get(&key) == Some(&at) {
                self.due.remove(&key);
                self.add(key);
            }
        }
        let key = self.ready.pop_front()?;
        self.waiting.remove(&key);
        Some(key)
    }

    /// When the next key becomes due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.later.peek().map(|Reverse((at, _))| *at)
    }

    /// Whether keys wait to be worked on now.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_key_waits_once_and_comes_when_due() {
        let mut queue = WorkQueue::default();
        queue.add("a");
        queue.add("a");
        queue.add_at("b", at(10));
        queue.add_at("b", at(5));
        queue.add_at("b", at(20));
        assert_eq!(queue.next(at(0)), Some("a"));
        assert_eq!(queue.next(at(0)), None);
        assert_eq!(queue.next_due(), Some(at(5)));
        assert_eq!(queue.next(at(5)), Some("b"));
        assert_eq!(queue.next(at(30)), None, "the later appointments were dropped");
    }

    #[test]
    fn failures_back_off() {
        let mut queue = WorkQueue::default();
        let due = |queue: &mut WorkQueue<&'static str>| {
            queue.add_failed("a", at(0));
            let due = queue.next_due().unwrap();
            assert_eq!(queue.next(due), Some("a"));
            due.as_millisecond()
        };
        assert_eq!([due(&mut queue), due(&mut queue), due(&mut queue)], [20, 40, 80]);
        for _ in 0..40 {
            due(&mut queue);
        }
        assert_eq!(due(&mut queue), 30_000);
        queue.succeeded(&"a");
        assert_eq!(due(&mut queue), 20);
    }
}
