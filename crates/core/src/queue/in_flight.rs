//! Events that arrive while pods are in their attempt.
//!
//! A pod that comes back rejected was judged on the state before these events, so that each must be asked whether it
//! helps, as if the pod had been waiting when it came.

use std::collections::{HashMap, VecDeque};

use super::PodUid;

/// The log of events since the oldest attempt under way began.
///
/// Its bound: nothing is kept while no pod is in flight, an event is dropped when the last attempt that began before
/// it ends, and an attempt lasts as long as one decision.
#[derive(Debug)]
pub(super) struct InFlight<E> {
    /// For each pod in flight, the number of the first event after its attempt began.
    began: HashMap<PodUid, u64>,
    events: VecDeque<E>,
    /// The number of `events[0]`.
    first: u64,
}

impl<E> InFlight<E> {
    pub(super) fn new() -> Self {
        InFlight { began: HashMap::new(), events: VecDeque::new(), first: 0 }
    }

    pub(super) fn begin(&mut self, pod: PodUid) {
        let next = self.first + self.events.len() as u64;
        self.began.insert(pod, next);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.began.is_empty()
    }

    pub(super) fn record(&mut self, event: E) {
        if !self.began.is_empty() {
            self.events.push_back(event);
        }
    }

    /// The events since the pod's attempt began.
    pub(super) fn events_since<'a>(&'a self, pod: &PodUid) -> impl Iterator<Item = &'a E> {
        let skip = self.began.get(pod).map_or(self.events.len(), |began| (began - self.first) as usize);
        self.events.iter().skip(skip)
    }

    pub(super) fn end(&mut self, pod: &PodUid) {
        if self.began.remove(pod).is_none() {
            return;
        }
        match self.began.values().min() {
            None => {
                self.first += self.events.len() as u64;
                self.events.clear();
            }
            Some(&oldest) => {
                let unneeded = (oldest - self.first) as usize;
                self.events.drain(..unneeded);
                self.first = oldest;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn recorded(&self) -> usize {
        self.events.len()
    }
}
