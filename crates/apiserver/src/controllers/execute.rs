//! Writes of the controllers, and what they do to the cache. Entry point: `Engine::apply`.

use serde_json::{Value, json};

use super::action::Action;
use super::cache::Place;
use super::engine::{Engine, depth_of};
use super::record::completed;
use super::view::Entry;
use crate::DeleteOptions;
use crate::error::ApiError;
use crate::local::PatchKind;

impl Engine {
    /// Carries out actions in order, up to the first that fails.
    pub(super) fn apply(&mut self, actions: &[Action]) -> Result<(), ApiError> {
        actions.iter().try_for_each(|action| self.apply_one(action))
    }

    fn apply_one(&mut self, action: &Action) -> Result<(), ApiError> {
        match action {
            Action::Event(note) => {
                let now = self.clock.now();
                self.recorder.record(&self.client, note, now);
                Ok(())
            }
            Action::Create { resource, namespace, object, note } => {
                let created = self.client.create(resource, namespace, object.clone())?;
                if let Some(note) = note {
                    let now = self.clock.now();
                    self.recorder.record(&self.client, &completed(note, &created), now);
                }
                self.learn(resource, created);
                Ok(())
            }
            Action::Patch { place, status, patch } => {
                self.patch(place, if *status { "status" } else { "" }, PatchKind::Merge, patch)
            }
            Action::PodCondition { place, condition, phase } => {
                let mut status = json!({ "conditions": [condition] });
                if let Some(phase) = phase {
                    status["phase"] = json!(phase);
                }
                self.patch(place, "status", PatchKind::Strategic, &json!({ "status": status }))
            }
            Action::Delete { place, uid, grace_period_seconds, propagation } => {
                let options = DeleteOptions {
                    grace_period_seconds: *grace_period_seconds,
                    propagation: *propagation,
                    uid: Some(uid.to_string()),
                    ..DeleteOptions::default()
                };
                match self.client.delete(place.resource, &place.namespace, &place.name, &options) {
                    // Another object has the name by now; the one that was meant is gone.
                    Err(error) if error.reason == "Conflict" => Ok(()),
                    Err(error) if error.code != 404 => Err(error),
                    _ => {
                        self.look(place, uid);
                        Ok(())
                    }
                }
            }
            Action::Finalize { namespace } => {
                let place = Place { resource: "namespaces", namespace: "".into(), name: namespace.clone() };
                self.patch(&place, "finalize", PatchKind::Merge, &json!({ "spec": { "finalizers": null } }))
            }
        }
    }

    fn patch(&mut self, place: &Place, part: &str, kind: PatchKind, body: &Value) -> Result<(), ApiError> {
        match self.client.patch(place.resource, &place.namespace, &place.name, part, kind, body) {
            Ok(object) => {
                let held = object["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
                if object["metadata"]["deletionTimestamp"].is_string() && !held {
                    // That may have been what it waited for.
                    let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                    self.look(place, &uid);
                } else {
                    self.learn(place.resource, object);
                }
                Ok(())
            }
            // The watch will tell that it is gone.
            Err(error) if error.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes a written object into the cache before the watch reports it.
    fn learn(&mut self, resource: &str, object: Value) {
        let Some((resource, depth)) = depth_of(resource) else { return };
        let change = Entry::of(object, depth).ok().and_then(|entry| self.cache.put(resource, entry));
        if let Some(change) = change {
            self.on_change(resource, &change);
        }
    }

    /// Sees what became of an object that was deleted or let go of.
    fn look(&mut self, place: &Place, uid: &str) {
        match self.client.get(place.resource, &place.namespace, &place.name) {
            Ok(object) if object["metadata"]["uid"] == uid => self.learn(place.resource, object),
            Err(error) if error.code != 404 => {}
            _ => {
                let known = self.cache.at(place).is_some_and(|e| *e.meta().uid == *uid);
                if known
                    && let Some(change) = self.cache.remove(place.resource, &place.namespace, &place.name, uid, true)
                {
                    self.on_change(place.resource, &change);
                }
            }
        }
    }
}
