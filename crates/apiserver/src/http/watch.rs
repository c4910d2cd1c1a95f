//! Watches: changes as lines of JSON until the client leaves, the time is up or the watcher falls behind the history.
//! An object that enters or leaves the selector shows up as ADDED or DELETED.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Call;
use super::list::{page, revision, wait_for};
use super::negotiate::{Shape, not_acceptable};
use super::path::ResourcePath;
use super::query::List;
use super::respond;
use crate::error::ApiError;
use crate::printers::{self, IncludeObject, TableOptions};
use crate::resource::Resource;
use crate::schema::{self, FieldValidation};
use crate::selector::Selector;
use crate::server::ApiServer;
use crate::store::{Change, Cursor, Entry, Event, Expired, Step, TAIL};
use crate::verbs::shown_shape;

/// A watch without `timeoutSeconds` ends after between once and twice this time, so that not all end together.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1800);
/// How often a watch that wants bookmarks gets one.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// Lines that are ready together are sent together, up to this size.
const FRAME: usize = 64 << 10;

const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Answers a watch.
pub(super) async fn watch(call: &Call<'_>, path: &ResourcePath<'_>, options: &List<'_>) -> Result<Response, ApiError> {
    let resource = path.resource;
    if call.accepted.yaml {
        // YAML documents cannot be told apart in a stream.
        return Err(not_acceptable());
    }
    let selector = Selector::parse(resource, options.labels, options.fields)?;
    let since = match options.version {
        "" => 0,
        // A real server answers this one with a 500 that has no reason.
        text => revision(text).map_err(|why| ApiError::new(500, "", why))?,
    };
    let mut lines = Lines {
        resource,
        shape: call.accepted.shape,
        include: respond::include_object(call)?,
        columns_sent: false,
        server: call.server.clone(),
    };
    let mut ready = VecDeque::new();
    let initial = match options.initial_events {
        Some(initial) => initial,
        None => since == 0,
    };
    let start = if initial {
        wait_for(call.server, since).await?;
        let query = List { limit: None, version: "", continues: "", version_match: "", ..*options };
        let listed = page(call.server, path, &query, &selector).await?;
        for (_, entry) in &listed.items {
            ready.push_back(lines.line(Change::Added, entry));
        }
        if options.initial_events == Some(true) && options.bookmarks {
            ready.push_back(lines.bookmark(listed.revision, true));
        }
        Ok(listed.revision)
    } else if options.initial_events.is_some() && since == 0 {
        Ok(call.server.store().revision())
    } else {
        Ok(since)
    };
    let cursor = start.and_then(|start| call.server.store().watch(resource, start));
    let cursor = match cursor {
        Ok(cursor) => Some(cursor),
        Err(expired) => {
            ready.push_back(error_line(&too_old(since, &expired)));
            None
        }
    };
    let timeout = match options.timeout_seconds {
        Some(seconds) => Duration::from_secs(seconds),
        None => {
            let [random, _] = call.server.random();
            DEFAULT_TIMEOUT + DEFAULT_TIMEOUT.mul_f64((random % 1000) as f64 / 1000.0)
        }
    };
    let now = Instant::now();
    let state = Watch {
        lines,
        selector,
        namespace: path.namespace.to_owned(),
        cursor,
        ready,
        deadline: now + timeout,
        next_bookmark: options.bookmarks.then(|| now + BOOKMARK_INTERVAL),
        shown: 0,
    };
    let frames = stream::unfold(state, |mut state| async move {
        state.next().await.map(|frame| (Ok::<_, Infallible>(frame), state))
    });
    Ok(respond::with_type(200, respond::content_type(call), Body::from_stream(frames)))
}

fn too_old(since: u64, expired: &Expired) -> ApiError {
    ApiError::new(410, "Expired", format!("too old resource version: {since} ({})", expired.floor))
}

fn error_line(error: &ApiError) -> Bytes {
    format!("{}\n", json!({ "type": "ERROR", "object": error.to_status() })).into()
}

/// The state of a watch.
struct Watch {
    lines: Lines,
    selector: Selector,
    namespace: String,
    /// `None` once the watch has failed.
    cursor: Option<Cursor>,
    /// Lines that have not been sent; at most one step's.
    ready: VecDeque<Bytes>,
    deadline: Instant,
    next_bookmark: Option<Instant>,
    /// The revision up to which the client has seen everything.
    shown: u64,
}

impl Watch {
    /// The next piece of the answer; `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.take_ready() {
                return Some(frame);
            }
            self.read();
            if !self.ready.is_empty() {
                continue;
            }
            let cursor = self.cursor.as_mut()?;
            let wake = self.next_bookmark.map_or(self.deadline, |bookmark| bookmark.min(self.deadline));
            tokio::select! {
                biased;
                open = cursor.changed() => {
                    if !open {
                        return None;
                    }
                }
                () = tokio::time::sleep_until(wake) => {
                    let now = Instant::now();
                    if now >= self.deadline {
                        return None;
                    }
                    // Read once more: the bookmark must not overtake a change.
                    self.read();
                    self.ready.push_back(self.lines.bookmark(self.shown, false));
                    self.next_bookmark = Some(now + BOOKMARK_INTERVAL);
                }
            }
        }
    }

    /// Takes what the history has.
    fn read(&mut self) {
        let Some(cursor) = self.cursor.as_mut() else { return };
        match self.lines.server.store().step(self.lines.resource, cursor) {
            (Step::Changes(events), revision) => {
                for event in &events {
                    if let Some((change, entry)) = self.seen(event) {
                        let line = self.lines.line(change, &entry);
                        self.ready.push_back(line);
                    }
                }
                self.shown = revision;
            }
            (Step::Expired(expired), _) => {
                self.ready.push_back(error_line(&too_old(self.shown, &expired)));
                self.cursor = None;
            }
        }
    }

    /// How a change looks through the selector; `None` if it is not seen.
    fn seen(&self, event: &Event) -> Option<(Change, Entry)> {
        let in_namespace = self.namespace.is_empty()
            || event.key.strip_prefix(self.namespace.as_str()).is_some_and(|rest| rest.starts_with('/'));
        if !in_namespace {
            return None;
        }
        if self.selector.is_empty() {
            return Some((event.change, event.entry.clone()));
        }
        let passes = |entry: &Entry| self.selector.matches(&event.key, &entry.facts);
        let before = event.before.as_ref().filter(|entry| passes(entry));
        let after = event.change != Change::Deleted && passes(&event.entry);
        match (before, after) {
            (None, false) => None,
            (None, true) => Some((Change::Added, event.entry.clone())),
            (Some(_), true) => Some((Change::Modified, event.entry.clone())),
            (Some(_), false) if event.change == Change::Deleted => Some((Change::Deleted, event.entry.clone())),
            // It left the selector: its state before, at the revision of the change.
            (Some(before), false) => Some((Change::Deleted, before.at_revision(Change::Deleted, event.entry.revision))),
        }
    }

    fn take_ready(&mut self) -> Option<Bytes> {
        let first = self.ready.pop_front()?;
        if self.ready.front().is_none_or(|second| first.len() + second.len() > FRAME) {
            return Some(first);
        }
        let mut frame = BytesMut::with_capacity(FRAME);
        frame.extend_from_slice(&first);
        while let Some(line) = self.ready.pop_front_if(|line| frame.len() + line.len() <= FRAME) {
            frame.extend_from_slice(&line);
        }
        Some(frame.freeze())
    }
}

/// How changes are written.
struct Lines {
    resource: &'static Resource,
    shape: Shape,
    include: IncludeObject,
    /// Only the first table has column definitions.
    columns_sent: bool,
    server: ApiServer,
}

impl Lines {
    fn line(&mut self, change: Change, entry: &Entry) -> Bytes {
        if matches!(self.shape, Shape::Plain) && !respond::is_newer_event(self.resource) {
            let line = entry.line();
            if line.starts_with(change.head().as_bytes()) {
                return line;
            }
            return [change.head().as_bytes(), &entry.object(), TAIL.as_bytes()].concat().into();
        }
        let object = shown_shape(self.resource, entry.value());
        [change.head().as_bytes(), self.shaped(object).to_string().as_bytes(), TAIL.as_bytes()].concat().into()
    }

    fn shaped(&mut self, object: Value) -> Value {
        match self.shape {
            Shape::Plain | Shape::MetadataList(_) => object,
            Shape::Metadata(version) => respond::partial(&object, version),
            Shape::Table(version) => {
                let columns = !std::mem::replace(&mut self.columns_sent, true);
                let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
                let options = TableOptions { include: self.include, version, columns, now: self.server.now() };
                printers::table(self.resource, &[object], &metadata, &options)
            }
        }
    }

    /// A bookmark: everything up to `revision` has been shown.
    fn bookmark(&mut self, revision: u64, initial_end: bool) -> Bytes {
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if initial_end {
            metadata["annotations"] = json!({ INITIAL_EVENTS_END: "true" });
        }
        let empty = json!({ "metadata": metadata });
        // An object of the kind with nothing in it, as a Go struct shows it.
        let object = ApiServer::type_of(self.resource)
            .and_then(|ty| schema::normalize(ty, &empty, FieldValidation::Ignore))
            .map_or(empty, |decoded| decoded.object);
        let object = match self.shape {
            Shape::Table(_) if !self.columns_sent => {
                // A table bookmark does not use up the column definitions.
                let shaped = self.shaped(object);
                self.columns_sent = false;
                shaped
            }
            _ => self.shaped(object),
        };
        format!("{}\n", json!({ "type": "BOOKMARK", "object": object })).into()
    }
}
