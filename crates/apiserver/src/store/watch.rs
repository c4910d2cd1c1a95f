//! Watches: a cursor into a resource's history. Watchers pull; the history is the only queue, so a slow watcher costs nothing
//! and is told that it expired once the history has moved past it.

use std::sync::Arc;

use tokio::sync::watch as signal;

use super::{Event, Store};
use crate::resource::Resource;

/// Changes handed over under one hold of the lock.
const BATCH: usize = 512;

/// The history no longer reaches back that far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// The newest revision that is forgotten.
    pub(crate) floor: u64,
}

/// What a cursor yields.
#[derive(Debug)]
pub(crate) enum Step {
    /// The next changes, in order; none if there are none yet.
    Changes(Vec<Arc<Event>>),
    /// The watcher has fallen behind the history.
    Expired(Expired),
}

/// A place in a resource's history.
#[derive(Debug)]
pub(crate) struct Cursor {
    next: u64,
    /// Changes up to this revision are not shown: a watch may start in the future.
    since: u64,
    changed: signal::Receiver<()>,
}

impl Store {
    /// A cursor at the first change after `since`.
    pub(crate) fn watch(&self, resource: &Resource, since: u64) -> Result<Cursor, Expired> {
        let changed = self.slot(resource).changed.subscribe();
        let shard = self.read(resource);
        if since < shard.floor {
            return Err(Expired { floor: shard.floor });
        }
        Ok(Cursor { next: shard.first + shard.after(since) as u64, since, changed })
    }

    /// The changes at the cursor, and the revision up to which they are complete.
    pub(crate) fn step(&self, resource: &Resource, cursor: &mut Cursor) -> (Step, u64) {
        // Marked before reading: a change that comes later wakes the watcher again.
        cursor.changed.mark_unchanged();
        let shard = self.read(resource);
        let revision = self.revision();
        let Some(position) = cursor.next.checked_sub(shard.first) else {
            return (Step::Expired(Expired { floor: shard.floor }), revision);
        };
        let position = usize::try_from(position).unwrap_or(usize::MAX).min(shard.history.len());
        let events: Vec<Arc<Event>> = shard.history.range(position..).take(BATCH).cloned().collect();
        let complete = position + events.len() == shard.history.len();
        drop(shard);
        cursor.next += events.len() as u64;
        let revision = if complete { revision } else { events.last().map_or(revision, |e| e.entry.revision) };
        let since = cursor.since;
        let events = if events.first().is_some_and(|e| e.entry.revision <= since) {
            events.into_iter().filter(|e| e.entry.revision > since).collect()
        } else {
            events
        };
        (Step::Changes(events), revision)
    }
}

impl Cursor {
    /// Waits until there may be more. `false` when the store is gone.
    pub(crate) async fn changed(&mut self) -> bool {
        self.changed.changed().await.is_ok()
    }
}
