//! What controllers decide to do: writes to the API and events that tell users of them.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::cache::Place;
use super::view::{Entry, items, text, written};
use crate::Propagation;

/// An event to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Note {
    /// Who reports, such as `deployment-controller`.
    pub component: &'static str,
    /// `Normal` or `Warning`.
    pub kind: &'static str,
    /// The reason, such as `ScalingReplicaSet`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What the event is about: kind, apiVersion, namespace, name, uid, resourceVersion.
    pub about: Value,
}

/// A write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Creates an object. The note's message is completed by the name.
    Create { resource: &'static str, namespace: Arc<str>, object: Value, note: Option<Note> },
    /// Applies a merge patch to the object, or to its status.
    Patch { place: Place, status: bool, patch: Value },
    /// Sets one condition of a pod, and its phase if given.
    PodCondition { place: Place, condition: Value, phase: Option<&'static str> },
    /// Deletes an object, if it still has that UID.
    Delete { place: Place, uid: Arc<str>, grace_period_seconds: Option<i64>, propagation: Option<Propagation> },
    /// Gives a namespace free, now that nothing is left in it.
    Finalize { namespace: Arc<str> },
    /// Records an event.
    Event(Note),
}

/// What a controller wants to be done, and when it wants to look again.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Writes, in order; the first failure ends them.
    pub actions: Vec<Action>,
    /// The time at which something changes by itself.
    pub again_at: Option<Timestamp>,
}

impl Outcome {
    /// Asks to look again at `at`, unless an earlier look is asked for already.
    pub fn again(&mut self, at: Timestamp) {
        self.again_at = Some(self.again_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// The kind of a controller's objects, as references name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parent {
    pub resource: &'static str,
    pub api_version: &'static str,
    pub kind: &'static str,
    /// The name under which the controller reports events.
    pub component: &'static str,
}

impl Parent {
    /// The owner reference of a dependent that this object controls.
    pub fn controller_reference(&self, owner: &Entry) -> Value {
        json!({
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": owner.meta().name,
            "uid": owner.meta().uid,
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    /// An event about the object.
    pub fn note(&self, about: &Entry, kind: &'static str, reason: &'static str, message: String) -> Note {
        let meta = about.meta();
        let about = json!({
            "kind": self.kind,
            "apiVersion": self.api_version,
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
            "resourceVersion": meta.revision().to_string(),
        });
        Note { component: self.component, kind, reason, message, about }
    }

    /// Where the object is.
    pub fn place(&self, object: &Entry) -> Place {
        Place::of(self.resource, object)
    }

    /// The patch that makes the status `new`; nothing when it is that already.
    pub fn status(&self, object: &Entry, new: Map<String, Value>) -> Option<Action> {
        let old = &object.value()["status"];
        let mut patch = Map::new();
        for name in old.as_object().into_iter().flat_map(Map::keys) {
            if !new.contains_key(name) {
                patch.insert(name.clone(), Value::Null);
            }
        }
        for (name, value) in new {
            if old[&name] != value {
                // A merge patch would keep members of maps that are to go; name them.
                let value = match (&old[&name], value) {
                    (Value::Object(before), Value::Object(mut after)) => {
                        for key in before.keys() {
                            after.entry(key.clone()).or_insert(Value::Null);
                        }
                        Value::Object(after)
                    }
                    (_, value) => value,
                };
                patch.insert(name, value);
            }
        }
        let place = self.place(object);
        (!patch.is_empty()).then(|| Action::Patch { place, status: true, patch: json!({ "status": patch }) })
    }

    /// The deletion of a dependent pod, with the event that tells of it.
    pub fn delete_pod(&self, owner: &Entry, pod: &Entry) -> [Action; 2] {
        let note = self.note(owner, "Normal", "SuccessfulDelete", format!("Deleted pod: {}", pod.meta().name));
        [delete("pods", pod), Action::Event(note)]
    }

    /// The creation of a dependent pod, with the event that tells of it.
    pub fn create_pod(&self, owner: &Entry, pod: Value) -> Action {
        Action::Create {
            resource: "pods",
            namespace: Arc::clone(&owner.meta().namespace),
            object: pod,
            note: Some(self.note(owner, "Normal", "SuccessfulCreate", "Created pod: ".to_owned())),
        }
    }
}

/// An ordinary deletion.
pub(super) fn delete(resource: &'static str, object: &Entry) -> Action {
    Action::Delete {
        place: Place::of(resource, object),
        uid: Arc::clone(&object.meta().uid),
        grace_period_seconds: None,
        propagation: None,
    }
}

/// A deletion without grace.
pub(super) fn delete_now(resource: &'static str, object: &Entry) -> Action {
    Action::Delete {
        place: Place::of(resource, object),
        uid: Arc::clone(&object.meta().uid),
        grace_period_seconds: Some(0),
        propagation: None,
    }
}

/// Adds a member unless it is zero, as the API leaves such out.
pub(super) fn count(status: &mut Map<String, Value>, name: &str, value: i64) {
    if value != 0 {
        status.insert(name.to_owned(), json!(value));
    }
}

/// A condition of a list, by type.
pub(super) fn condition<'a>(conditions: &'a [Value], kind: &str) -> Option<&'a Value> {
    conditions.iter().find(|c| c["type"] == kind)
}

/// The conditions of an object.
pub(super) fn conditions(object: &Entry) -> Vec<Value> {
    items(&object.value()["status"]["conditions"]).to_vec()
}

/// Sets a condition that has `lastTransitionTime` only; nothing changes while status and reason stay.
pub(super) fn set_condition(
    list: &mut Vec<Value>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> bool {
    if let Some(current) = condition(list, kind)
        && current["status"] == status
        && text(&current["reason"]) == reason
    {
        return false;
    }
    list.retain(|c| c["type"] != kind);
    list.push(json!({
        "type": kind,
        "status": status,
        "lastTransitionTime": written(now),
        "reason": reason,
        "message": message,
    }));
    true
}
