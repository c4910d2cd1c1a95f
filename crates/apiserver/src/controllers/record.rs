//! Events for users: equal ones are counted on one object, and no object is talked of too much.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::action::Note;
use super::view::{text, written};
use crate::local::{LocalClient, PatchKind};

/// How many events about one object may come at once.
const BURST: i64 = 25;
/// After which time one more may.
const REFILL: SignedDuration = SignedDuration::from_mins(5);
/// How many objects and events are remembered; beyond that, memory starts anew.
const REMEMBERED: usize = 4096;

/// Writes events.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// Events left for each object, and since when.
    budgets: HashMap<String, (i64, Timestamp)>,
    /// Name and count of the event that says something of an object.
    written: HashMap<(String, &'static str, String), (Arc<str>, i64)>,
    made: u64,
}

impl Recorder {
    /// Records an event. That one cannot be written is no failure of what it tells of.
    pub fn record(&mut self, client: &LocalClient, note: &Note, now: Timestamp) {
        let uid = text(&note.about["uid"]).to_owned();
        if !self.may(&uid, now) {
            return;
        }
        let namespace = match text(&note.about["namespace"]) {
            "" => "default",
            namespace => namespace,
        };
        let key = (uid, note.reason, note.message.clone());
        if let Some((name, count)) = self.written.get_mut(&key) {
            *count += 1;
            let patch = json!({ "count": *count, "lastTimestamp": written(now) });
            if client.patch("events", namespace, name, "", PatchKind::Merge, &patch).is_ok() {
                return;
            }
        }
        self.made += 1;
        let suffix = u64::try_from(now.as_nanosecond()).unwrap_or(0).wrapping_add(self.made);
        let name = format!("{}.{suffix:016x}", text(&note.about["name"]));
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": name, "namespace": namespace },
            "involvedObject": note.about,
            "reason": note.reason,
            "message": note.message,
            "type": note.kind,
            "source": { "component": note.component },
            "reportingComponent": note.component,
            "firstTimestamp": written(now),
            "lastTimestamp": written(now),
            "count": 1,
        });
        match client.create("events", namespace, event) {
            Ok(_) => {
                if self.written.len() >= REMEMBERED {
                    self.written.clear();
                }
                self.written.insert(key, (name.into(), 1));
            }
            Err(error) => tracing::debug!(reason = note.reason, error = %error.message, "an event was not written"),
        }
    }

    fn may(&mut self, uid: &str, now: Timestamp) -> bool {
        if self.budgets.len() >= REMEMBERED && !self.budgets.contains_key(uid) {
            self.budgets.clear();
        }
        let (left, since) = self.budgets.entry(uid.to_owned()).or_insert((BURST, now));
        let refilled = now.duration_since(*since).as_secs() / REFILL.as_secs();
        if refilled > 0 {
            *left = (*left + refilled).min(BURST);
            *since = now;
        }
        if *left == 0 {
            return false;
        }
        *left -= 1;
        true
    }
}

/// Completes a note by the name of what was created.
pub(super) fn completed(note: &Note, created: &Value) -> Note {
    Note { message: format!("{}{}", note.message, text(&created["metadata"]["name"])), ..note.clone() }
}
