//! Adoption: a controller takes in what its selector matches and nobody controls, and lets go of what it no longer matches.

use std::sync::Arc;

use augur_notation::LabelSelector;
use serde_json::{Value, json};

use super::action::{Action, Parent};
use super::cache::{Cache, Place};
use super::view::Entry;

/// The dependents that a controller's object has, and the writes that make it so.
pub(super) struct Claimed {
    /// Dependents that match the selector and are controlled already.
    pub kept: Vec<Arc<Entry>>,
    /// Adoptions and releases.
    pub actions: Vec<Action>,
}

/// Sorts out the dependents of `owner` among the objects of `resource`.
pub(super) fn claim(
    cache: &Cache,
    parent: &Parent,
    owner: &Entry,
    selector: &LabelSelector,
    resource: &'static str,
) -> Claimed {
    let mut claimed = Claimed { kept: Vec::new(), actions: Vec::new() };
    let deleting = owner.meta().deleting();
    for entry in cache.controlled(resource, &owner.meta().uid) {
        if entry.meta().matches(selector) {
            claimed.kept.push(entry);
        } else if !deleting {
            let rest: Vec<Value> = entry
                .meta()
                .owner_references
                .iter()
                .filter(|reference| reference.uid != owner.meta().uid)
                .map(reference)
                .collect();
            claimed.actions.push(owners_patch(resource, &entry, rest));
        }
    }
    if !deleting && !selector.is_empty() {
        for entry in cache.orphans(resource, &owner.meta().namespace) {
            if entry.meta().matches(selector) && !entry.meta().deleting() {
                let mut references: Vec<Value> = entry.meta().owner_references.iter().map(reference).collect();
                references.push(parent.controller_reference(owner));
                claimed.actions.push(owners_patch(resource, entry, references));
            }
        }
    }
    claimed
}

/// A reference as it is written.
pub(super) fn reference(owner: &super::view::Owner) -> Value {
    let mut reference = json!({
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
    });
    if let Some(controller) = owner.controller {
        reference["controller"] = json!(controller);
    }
    if let Some(block) = owner.block_owner_deletion {
        reference["blockOwnerDeletion"] = json!(block);
    }
    reference
}

/// A patch that sets the owners of that very object.
pub(super) fn owners_patch(resource: &'static str, entry: &Entry, references: Vec<Value>) -> Action {
    let references = if references.is_empty() { Value::Null } else { Value::Array(references) };
    Action::Patch {
        place: Place::of(resource, entry),
        status: false,
        patch: json!({ "metadata": { "uid": entry.meta().uid, "ownerReferences": references } }),
    }
}
