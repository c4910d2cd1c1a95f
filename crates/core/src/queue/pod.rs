//! What the queue remembers of one pod between attempts.

use std::sync::Arc;

use crate::plugins::{PluginId, PluginSet};
use crate::time::Timestamp;

/// A pod's uid, the key of everything that concerns one pod.
pub type PodUid = Arc<str>;

/// Where a pod of the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Ready to be tried.
    Active,
    /// Waiting out its backoff after a rejection.
    Backoff,
    /// Waiting out its backoff after an error that was nobody's rejection (the API server was away, say).
    ErrorBackoff,
    /// Rejected; waits for an event that can help, or for the flush.
    Unschedulable,
    /// Kept out by a plugin before any attempt (scheduling gates, a preemption under way).
    Gated,
    /// Popped; its attempt is under way.
    InFlight,
}

/// A pod in the queue, with the history that decides when it is tried again.
#[derive(Debug, Clone)]
pub struct QueuedPod {
    /// The pod.
    pub uid: PodUid,
    /// Its priority; higher goes first.
    pub priority: i32,
    /// When it last came into the queue: first arrival, or return from an attempt.
    pub timestamp: Timestamp,
    /// When it was first ready to be tried. Gated time does not count.
    pub first_ready: Option<Timestamp>,
    /// Attempts begun.
    pub attempts: u32,
    /// Attempts that ended in a rejection; the exponent of the backoff.
    pub rejections: u32,
    /// Attempts in a row that ended in an error; they have the word on the backoff while they last.
    pub errors_in_a_row: u32,
    /// Plugins that rejected it in its last attempt, and the one that gates it.
    pub rejected_by: PluginSet,
    /// Plugins that said "wait" in its last attempt. Their hint skips the backoff, for nothing was tried in vain.
    pub pending_on: PluginSet,
    /// The plugin that gates it.
    pub gated_by: Option<PluginId>,
    /// Whether the five-minute flush, and no event, brought it back. A success then means that a hint missed an event.
    pub flushed: bool,
    pub(super) place: Place,
    /// Breaks ties among equal timestamps in order of arrival.
    pub(super) sequence: u64,
    /// End of the backoff, aligned to the ordering window; set while in a backoff queue.
    pub(super) backoff_until: Timestamp,
}

impl QueuedPod {
    pub(super) fn new(uid: PodUid, priority: i32, now: Timestamp, sequence: u64) -> Self {
        QueuedPod {
            uid,
            priority,
            timestamp: now,
            first_ready: None,
            attempts: 0,
            rejections: 0,
            errors_in_a_row: 0,
            rejected_by: PluginSet::EMPTY,
            pending_on: PluginSet::EMPTY,
            gated_by: None,
            flushed: false,
            place: Place::InFlight,
            sequence,
            backoff_until: now,
        }
    }

    /// Where the pod is.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// All plugins whose hint can bring the pod back.
    #[must_use]
    pub fn rejectors(&self) -> PluginSet {
        self.rejected_by.union(self.pending_on)
    }
}
