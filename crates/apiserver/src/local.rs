//! The client without HTTP that controllers and the sandbox use: the same verbs, called synchronously, and watches as
//! asynchronous streams. Entry point: [`LocalClient`].

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::error::ApiError;
use crate::resource::Resource;
use crate::schema::{self, FieldValidation};
use crate::selector::Selector;
use crate::server::{ApiServer, by_qualified};
use crate::store::{Change, Cursor, Event, Page, Step};
use crate::verbs::{DeleteOptions, PatchFormat, Target, WriteOptions};

/// How a patch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 7386.
    Merge,
    /// Strategic merge.
    Strategic,
    /// RFC 6902.
    Json,
}

/// The objects of a list.
#[derive(Debug, Clone)]
pub struct LocalList {
    /// The objects as JSON, by namespace and name.
    pub items: Vec<Bytes>,
    /// The revision that the list shows; a watch from it misses nothing.
    pub resource_version: u64,
}

/// What a watch tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalEventKind {
    /// The object is new.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone; its last state is shown.
    Deleted,
    /// The watch fell behind the history and ends: list again.
    Expired,
}

/// One change.
#[derive(Debug, Clone)]
pub struct LocalEvent {
    /// What happened.
    pub kind: LocalEventKind,
    /// The object as JSON; empty when the watch expired.
    pub object: Bytes,
    /// The revision of the change.
    pub resource_version: u64,
}

/// A client in the same process. Resources are named `plural`, or `plural.group` outside the core group.
#[derive(Debug, Clone)]
pub struct LocalClient {
    server: ApiServer,
    manager: Arc<str>,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a written object is the server's; callers have no use for it afterwards"
)]
impl LocalClient {
    pub(crate) fn new(server: ApiServer, user_agent: &str) -> Self {
        let manager = user_agent.split('/').next().unwrap_or(user_agent);
        LocalClient { server, manager: manager.into() }
    }

    fn options(&self) -> WriteOptions<'_> {
        WriteOptions { manager: &self.manager, ..WriteOptions::default() }
    }

    /// One object.
    ///
    /// # Errors
    /// 404 if it is not there.
    pub fn get(&self, qualified: &str, namespace: &str, name: &str) -> Result<Value, ApiError> {
        let target = Target::new(by_qualified(qualified)?, namespace, name);
        self.server.get(target).map(|entry| entry.value())
    }

    /// The objects of a namespace (empty: all) that pass both selectors (empty: everything passes).
    ///
    /// # Errors
    /// 400 for a selector that cannot be parsed.
    pub fn list(&self, qualified: &str, namespace: &str, labels: &str, fields: &str) -> Result<LocalList, ApiError> {
        let resource = by_qualified(qualified)?;
        let selector = Selector::parse(resource, labels, fields)?;
        let page = Page { namespace, ..Page::default() };
        let listing = self.server.present(resource, page)?;
        let items = listing
            .items
            .iter()
            .filter(|(key, entry)| selector.matches(key, &entry.facts))
            .map(|(_, entry)| entry.object())
            .collect();
        Ok(LocalList { items, resource_version: listing.revision })
    }

    fn decode(resource: &'static Resource, object: &Value) -> Result<Value, ApiError> {
        let ty = ApiServer::type_of(resource)?;
        Ok(schema::normalize(ty, object, FieldValidation::Ignore)?.object)
    }

    /// Creates an object; answers with what was stored.
    ///
    /// # Errors
    /// What the API answers: 409 for a name that is taken, 422 for an invalid object, and so on.
    pub fn create(&self, qualified: &str, namespace: &str, object: Value) -> Result<Value, ApiError> {
        let resource = by_qualified(qualified)?;
        let object = Self::decode(resource, &object)?;
        let target = Target::new(resource, namespace, "");
        self.server.create(target, object, &self.options()).map(|written| written.answer.into_value())
    }

    /// Replaces an object; its `resourceVersion`, if it has one, must be the present one.
    ///
    /// # Errors
    /// 409 for a stale object, 404, 422.
    pub fn update(&self, qualified: &str, namespace: &str, object: Value) -> Result<Value, ApiError> {
        self.update_part(qualified, namespace, "", &object)
    }

    /// Replaces an object's status.
    ///
    /// # Errors
    /// As [`LocalClient::update`].
    pub fn update_status(&self, qualified: &str, namespace: &str, object: Value) -> Result<Value, ApiError> {
        self.update_part(qualified, namespace, "status", &object)
    }

    fn update_part(
        &self,
        qualified: &str,
        namespace: &str,
        subresource: &str,
        object: &Value,
    ) -> Result<Value, ApiError> {
        let resource = by_qualified(qualified)?;
        let object = Self::decode(resource, object)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let target = Target::new(resource, namespace, &name).with_subresource(subresource);
        self.server.update(target, object, &self.options()).map(|written| written.answer.into_value())
    }

    /// Patches an object, or its `subresource` (empty, or `status`).
    ///
    /// # Errors
    /// 404, 409, 422; 400 for a patch that cannot be read.
    pub fn patch(
        &self,
        qualified: &str,
        namespace: &str,
        name: &str,
        subresource: &str,
        kind: PatchKind,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let target = Target::new(by_qualified(qualified)?, namespace, name).with_subresource(subresource);
        let format = match kind {
            PatchKind::Merge => PatchFormat::Merge,
            PatchKind::Strategic => PatchFormat::Strategic,
            PatchKind::Json => PatchFormat::Json,
        };
        let raw = body.to_string();
        self.server.patch(target, format, raw.as_bytes(), &self.options()).map(|written| written.answer.into_value())
    }

    /// Deletes an object, or begins to.
    ///
    /// # Errors
    /// 404; 409 if a precondition fails.
    pub fn delete(
        &self,
        qualified: &str,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<(), ApiError> {
        self.server.delete(Target::new(by_qualified(qualified)?, namespace, name), options).map(|_| ())
    }

    /// Creates through a subresource: `pods` `binding` and `eviction`.
    ///
    /// # Errors
    /// 409 if a pod cannot be bound, 429 if a budget forbids the eviction, 404.
    pub fn create_subresource(
        &self,
        qualified: &str,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: Value,
    ) -> Result<Value, ApiError> {
        let target = Target::new(by_qualified(qualified)?, namespace, name).with_subresource(subresource);
        self.server.post_subresource(target, &object, &self.options()).map(|written| written.answer.into_value())
    }

    /// The changes of a namespace (empty: all) after revision `since`, usually a list's `resource_version`.
    ///
    /// # Errors
    /// 404 for a resource that is not served.
    pub fn watch(&self, qualified: &str, namespace: &str, since: u64) -> Result<LocalWatch, ApiError> {
        let resource = by_qualified(qualified)?;
        let (cursor, expired) = match self.server.store().watch(resource, since) {
            Ok(cursor) => (Some(cursor), None),
            Err(expired) => (None, Some(expired.floor)),
        };
        let server = self.server.clone();
        Ok(LocalWatch { server, resource, namespace: namespace.to_owned(), cursor, expired, pending: Vec::new() })
    }
}

/// A stream of changes.
#[derive(Debug)]
pub struct LocalWatch {
    server: ApiServer,
    resource: &'static Resource,
    namespace: String,
    /// `None` once the watch has expired.
    cursor: Option<Cursor>,
    /// The forgotten revision of a watch that had expired before it began.
    expired: Option<u64>,
    /// Changes that are read but not handed over, the next one last; at most one step's.
    pending: Vec<Arc<Event>>,
}

impl LocalWatch {
    /// The next change; the last event of a watch that fell behind is `Expired`, `None` follows. Safe to cancel.
    pub async fn next(&mut self) -> Option<LocalEvent> {
        loop {
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if !self.cursor.as_mut()?.changed().await {
                return None;
            }
        }
    }

    /// The next change if there is one already.
    pub fn try_next(&mut self) -> Option<LocalEvent> {
        if let Some(floor) = self.expired.take() {
            return Some(expired_event(floor));
        }
        loop {
            while let Some(event) = self.pending.pop() {
                if self.shows(&event.key) {
                    return Some(local(&event));
                }
            }
            let cursor = self.cursor.as_mut()?;
            match self.server.store().step(self.resource, cursor) {
                (Step::Changes(events), _) if events.is_empty() => return None,
                (Step::Changes(mut events), _) => {
                    events.reverse();
                    self.pending = events;
                }
                (Step::Expired(expired), _) => {
                    self.cursor = None;
                    return Some(expired_event(expired.floor));
                }
            }
        }
    }

    fn shows(&self, key: &str) -> bool {
        self.namespace.is_empty() || key.strip_prefix(&self.namespace).is_some_and(|rest| rest.starts_with('/'))
    }
}

fn expired_event(floor: u64) -> LocalEvent {
    LocalEvent { kind: LocalEventKind::Expired, object: Bytes::new(), resource_version: floor }
}

fn local(event: &Event) -> LocalEvent {
    let kind = match event.change {
        Change::Added => LocalEventKind::Added,
        Change::Modified => LocalEventKind::Modified,
        Change::Deleted => LocalEventKind::Deleted,
    };
    LocalEvent { kind, object: event.entry.object(), resource_version: event.entry.revision }
}

#[cfg(test)]
mod tests;
