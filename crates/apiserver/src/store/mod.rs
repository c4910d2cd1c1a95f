//! The objects: one global, strictly increasing revision; a shard per resource with its objects and a bounded history of
//! changes, from which watches are served and the past is reconstructed. Writers hold one shard's lock for the copy of one
//! object; readers copy references in small batches. Entry points: [`Store::insert`], [`Store::replace`], [`Store::remove`],
//! [`Store::get`], `list` and `watch` in the submodules.

mod entry;
mod file;
mod list;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch as signal;

pub(crate) use entry::{Change, Draft, Entry, TAIL};
#[cfg(test)]
use list::ListError;
pub(crate) use list::{Listing, Page};
pub(crate) use watch::{Cursor, Expired, Step};

use self::file::File;
use crate::error::ApiError;
use crate::resource::{self, RESOURCES, Resource, SHARDS};
use crate::selector::{self, Facts};

/// Changes kept per resource. A watcher that falls further behind is told to list again. At most this many, and at most
/// [`HISTORY_BYTES`] of states that are no longer current.
const HISTORY_EVENTS: usize = 65_536;
/// Bytes of superseded states kept per resource.
const HISTORY_BYTES: usize = 64 << 20;

/// A change as the history keeps it.
#[derive(Debug)]
pub(crate) struct Event {
    /// What happened.
    pub(crate) change: Change,
    /// `namespace/name`, or the name of a cluster-scoped object.
    pub(crate) key: Arc<str>,
    /// The new state; of a deleted object the last one, at the revision of the deletion.
    pub(crate) entry: Entry,
    /// The state before.
    pub(crate) before: Option<Entry>,
}

#[derive(Debug)]
struct Shard {
    objects: BTreeMap<Arc<str>, Entry>,
    history: VecDeque<Arc<Event>>,
    /// Sequence number of the first event in `history`.
    first: u64,
    /// Revision of the newest change that has been forgotten.
    floor: u64,
    /// Bytes of superseded states in `history`.
    bytes: usize,
}

/// Why a write did not happen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// The name is taken.
    Exists,
    /// The object is not there any more.
    Gone,
    /// Somebody else wrote in between.
    Stale,
}

/// The objects of all resources.
#[derive(Debug)]
pub(crate) struct Store {
    shards: Vec<Slot>,
    revision: AtomicU64,
    /// Where the objects are kept across restarts, if they are.
    file: Option<File>,
}

#[derive(Debug)]
struct Slot {
    shard: RwLock<Shard>,
    /// Moves with every change, to wake watchers.
    changed: signal::Sender<()>,
    kind_head: String,
    /// The resource's name in the file.
    qualified: String,
}

impl Store {
    /// An empty store at revision 0.
    pub(crate) fn new() -> Self {
        let mut shards = Vec::with_capacity(SHARDS);
        for resource in RESOURCES {
            shards.push(Slot {
                shard: RwLock::new(Shard {
                    objects: BTreeMap::new(),
                    history: VecDeque::new(),
                    first: 0,
                    floor: 0,
                    bytes: 0,
                }),
                changed: signal::Sender::new(()),
                kind_head: format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", resource.kind, resource.api_version()),
                qualified: resource.qualified(),
            });
        }
        Store { shards, revision: AtomicU64::new(0), file: None }
    }

    /// The store of a data directory.
    ///
    /// # Errors
    /// 500 that names the file: it cannot be read, or holds what this server does not know.
    pub(crate) fn open(dir: &Path) -> Result<Self, ApiError> {
        let (file, contents) = File::open(dir)?;
        let mut store = Store::new();
        for (qualified, key, object) in contents.objects {
            let known = resource::by_qualified(&qualified).zip(object["metadata"]["resourceVersion"].as_str());
            let Some((resource, Ok(revision))) = known.map(|(resource, text)| (resource, text.parse::<u64>())) else {
                let text = format!("{}: {qualified} {key} is not of this server's API", dir.display());
                return Err(ApiError::new(500, "InternalError", text));
            };
            let slot = store.slot(resource);
            let facts = Arc::new(selector::facts(resource, &object));
            let entry = Draft::encode(&object).finish(Change::Added, &slot.kind_head, revision, facts);
            write(slot).objects.insert(key.into(), entry);
        }
        store.revision = AtomicU64::new(contents.revision);
        // What happened before is not known.
        store.forget_history();
        store.file = Some(file);
        Ok(store)
    }

    /// Waits until all changes so far are on disk, if they are kept there.
    ///
    /// # Errors
    /// 500: the file cannot be written.
    pub(crate) async fn flushed(&self) -> Result<(), ApiError> {
        match &self.file {
            Some(file) => file.flushed().await,
            None => Ok(()),
        }
    }

    /// Called under the shard's write lock, so that the file sees the changes of an object in order.
    fn keep(&self, slot: &Slot, key: &str, entry: &Entry, gone: bool) {
        if let Some(file) = &self.file {
            file.push(&slot.qualified, key, (!gone).then(|| entry.object()), entry.revision);
        }
    }

    /// The revision of the latest change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The revision of the latest change of a resource, or a later one.
    pub(crate) fn revision_of(&self, resource: &Resource) -> u64 {
        let shard = self.read(resource);
        shard.history.back().map_or(shard.floor, |event| event.entry.revision)
    }

    /// The object of a key.
    pub(crate) fn get(&self, resource: &Resource, key: &str) -> Option<Entry> {
        self.read(resource).objects.get(key).cloned()
    }

    /// Stores a new object.
    pub(crate) fn insert(
        &self,
        resource: &Resource,
        key: &str,
        draft: &Draft,
        facts: Arc<Facts>,
    ) -> Result<Entry, WriteError> {
        let slot = self.slot(resource);
        let mut shard = write(slot);
        if shard.objects.contains_key(key) {
            return Err(WriteError::Exists);
        }
        let key: Arc<str> = key.into();
        let entry = draft.finish(Change::Added, &slot.kind_head, self.next_revision(), facts);
        self.keep(slot, &key, &entry, false);
        shard.objects.insert(Arc::clone(&key), entry.clone());
        shard.record(Event { change: Change::Added, key, entry: entry.clone(), before: None });
        drop(shard);
        slot.changed.send_replace(());
        Ok(entry)
    }

    /// Replaces the state that was read at `expected`.
    pub(crate) fn replace(
        &self,
        resource: &Resource,
        key: &str,
        expected: u64,
        draft: &Draft,
        facts: Arc<Facts>,
    ) -> Result<Entry, WriteError> {
        let slot = self.slot(resource);
        let mut shard = write(slot);
        let (key, before) = shard.current(key, expected)?;
        // Most updates leave labels and selectable fields alone: share them with the state before.
        let facts = if *facts == *before.facts { Arc::clone(&before.facts) } else { facts };
        let entry = draft.finish(Change::Modified, &slot.kind_head, self.next_revision(), facts);
        self.keep(slot, &key, &entry, false);
        shard.objects.insert(Arc::clone(&key), entry.clone());
        shard.record(Event { change: Change::Modified, key, entry: entry.clone(), before: Some(before) });
        drop(shard);
        slot.changed.send_replace(());
        Ok(entry)
    }

    /// Removes the state that was read at `expected`.
    pub(crate) fn remove(&self, resource: &Resource, key: &str, expected: u64) -> Result<Entry, WriteError> {
        let slot = self.slot(resource);
        let mut shard = write(slot);
        let (key, before) = shard.current(key, expected)?;
        let entry = before.at_revision(Change::Deleted, self.next_revision());
        self.keep(slot, &key, &entry, true);
        shard.objects.remove(&key);
        shard.record(Event { change: Change::Deleted, key, entry: entry.clone(), before: Some(before) });
        drop(shard);
        slot.changed.send_replace(());
        Ok(entry)
    }

    /// Drops the history of all resources: older watches and lists of the past expire.
    pub(crate) fn forget_history(&self) {
        for slot in &self.shards {
            let mut shard = write(slot);
            shard.first += shard.history.len() as u64;
            shard.history.clear();
            shard.bytes = 0;
            // Under the shard's lock no change of this shard is under way, so none at or below the present is lost.
            shard.floor = self.revision();
        }
    }

    fn slot(&self, resource: &Resource) -> &Slot {
        &self.shards[resource.shard]
    }

    fn read(&self, resource: &Resource) -> RwLockReadGuard<'_, Shard> {
        // Nothing panics while it changes a shard, so a poisoned one is whole.
        self.slot(resource).shard.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called under a shard's write lock, so that revisions rise within each shard's history.
    fn next_revision(&self) -> u64 {
        self.revision.fetch_add(1, Ordering::AcqRel) + 1
    }
}

fn write(slot: &Slot) -> RwLockWriteGuard<'_, Shard> {
    slot.shard.write().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn current(&self, key: &str, expected: u64) -> Result<(Arc<str>, Entry), WriteError> {
        let (key, entry) = self.objects.get_key_value(key).ok_or(WriteError::Gone)?;
        if entry.revision != expected {
            return Err(WriteError::Stale);
        }
        Ok((Arc::clone(key), entry.clone()))
    }

    fn record(&mut self, event: Event) {
        self.bytes += event.before.as_ref().map_or(0, Entry::size);
        self.history.push_back(Arc::new(event));
        while self.history.len() > HISTORY_EVENTS || self.bytes > HISTORY_BYTES {
            let Some(oldest) = self.history.pop_front() else { break };
            self.first += 1;
            self.floor = oldest.entry.revision;
            self.bytes -= oldest.before.as_ref().map_or(0, Entry::size);
        }
    }

    /// Position in `history` of the first change after `revision`.
    fn after(&self, revision: u64) -> usize {
        self.history.partition_point(|e| e.entry.revision <= revision)
    }
}

#[cfg(test)]
mod tests;
