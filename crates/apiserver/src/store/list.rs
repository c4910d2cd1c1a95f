//! Lists: the present in batches that do not hold writers up, the past by undoing what the history recorded, pages by key.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{Entry, Shard, Store};
use crate::resource::Resource;

/// Objects copied under one hold of a shard's lock.
const BATCH: usize = 2_000;

/// What to list.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Page<'a> {
    /// Only this namespace; empty for all.
    pub(crate) namespace: &'a str,
    /// Only keys after this one.
    pub(crate) after: Option<&'a str>,
    /// The state at this revision instead of the present.
    pub(crate) at: Option<u64>,
}

/// Objects in the order of their keys, all as of one revision.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The objects.
    pub(crate) items: Vec<(Arc<str>, Entry)>,
    /// The revision.
    pub(crate) revision: u64,
}

/// Why there is no list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ListError {
    /// The history does not reach back to that revision.
    Expired,
}

impl Store {
    /// Lists a resource.
    pub(crate) fn list(&self, resource: &Resource, page: Page<'_>) -> Result<Listing, ListError> {
        let mut items: Vec<(Arc<str>, Entry)> = Vec::new();
        let mut pinned = page.at;
        loop {
            let shard = self.read(resource);
            let mut revision = *pinned.get_or_insert_with(|| self.revision());
            let resume = items.last().map(|(key, _)| Arc::clone(key));
            let (mut after, mut limit) = (resume.as_deref().or(page.after), BATCH);
            if shard.floor > revision && page.at.is_none() {
                // Overtaken by more changes than the history holds: take the present in one go.
                revision = self.revision();
                (after, limit) = (page.after, usize::MAX);
                items.clear();
            }
            let batch = shard.range(page.namespace, after, limit);
            let done = batch.len() < limit;
            items.extend(batch);
            if done {
                let undo = shard.undo(page, revision)?;
                drop(shard);
                return Ok(Listing { items: overlay(items, undo), revision });
            }
        }
    }

    /// Objects that have not been written after the revision.
    pub(crate) fn unchanged_since(&self, resource: &Resource, revision: u64) -> Vec<(Arc<str>, Entry)> {
        let old = |(_, entry): &(&Arc<str>, &Entry)| entry.revision <= revision;
        let shard = self.read(resource);
        shard.objects.iter().filter(old).map(|(key, entry)| (Arc::clone(key), entry.clone())).collect()
    }
}

impl Shard {
    fn range(&self, namespace: &str, after: Option<&str>, limit: usize) -> Vec<(Arc<str>, Entry)> {
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let start = match after {
            Some(key) if key >= prefix.as_str() => Bound::Excluded(key),
            _ => Bound::Included(prefix.as_str()),
        };
        self.objects
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(&prefix))
            .take(limit)
            .map(|(key, entry)| (Arc::clone(key), entry.clone()))
            .collect()
    }

    /// What objects that changed after `revision` were like then.
    fn undo(&self, page: Page<'_>, revision: u64) -> Result<BTreeMap<Arc<str>, Option<Entry>>, ListError> {
        if revision < self.floor {
            return Err(ListError::Expired);
        }
        let mut undo = BTreeMap::new();
        for event in self.history.range(self.after(revision)..) {
            let in_namespace = page.namespace.is_empty()
                || event.key.strip_prefix(page.namespace).is_some_and(|rest| rest.starts_with('/'));
            if in_namespace && page.after.is_none_or(|after| &*event.key > after) {
                undo.entry(Arc::clone(&event.key)).or_insert_with(|| event.before.clone());
            }
        }
        Ok(undo)
    }
}

fn overlay(items: Vec<(Arc<str>, Entry)>, mut undo: BTreeMap<Arc<str>, Option<Entry>>) -> Vec<(Arc<str>, Entry)> {
    if undo.is_empty() {
        return items;
    }
    let mut all: BTreeMap<Arc<str>, Entry> = items.into_iter().collect();
    while let Some((key, before)) = undo.pop_first() {
        match before {
            Some(entry) => all.insert(key, entry),
            None => all.remove(&key),
        };
    }
    all.into_iter().collect()
}
