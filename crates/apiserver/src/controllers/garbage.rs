//! Owners and dependents: what is left without owners is deleted, what is deleted in the foreground waits for its
//! dependents, what is orphaned lets them go.
//!
//! Entry points: [`owner`] for an object that is being deleted, [`dependent`] for one that has owners.

use std::sync::Arc;

use serde_json::{Value, json};

use super::action::Action;
use super::cache::{Cache, Place};
use super::claim::{owners_patch, reference};
use super::view::{Entry, Owner};
use crate::Propagation;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a deletion that waits for `orphan` or `foregroundDeletion` needs.
pub(super) fn owner(cache: &Cache, place: &Place) -> Vec<Action> {
    let Some(entry) = cache.at(place).filter(|e| e.meta().deleting()) else { return Vec::new() };
    let meta = entry.meta();
    let dependents: Vec<(&Place, &Arc<Entry>)> =
        cache.dependents(&meta.uid).filter_map(|p| cache.at(p).map(|e| (p, e))).collect();
    if meta.has_finalizer(ORPHAN) {
        let mut actions: Vec<Action> = dependents
            .into_iter()
            .map(|(place, dependent)| {
                let rest = dependent.meta().owner_references.iter().filter(|o| o.uid != meta.uid).map(reference);
                owners_patch(place.resource, dependent, rest.collect())
            })
            .collect();
        actions.push(without_finalizer(place, entry, ORPHAN));
        return actions;
    }
    if !meta.has_finalizer(FOREGROUND) {
        return Vec::new();
    }
    let blocks = |dependent: &Entry| {
        dependent.meta().owner_references.iter().any(|o| o.uid == meta.uid && o.block_owner_deletion == Some(true))
    };
    if !dependents.iter().any(|(_, dependent)| blocks(dependent)) {
        return vec![without_finalizer(place, entry, FOREGROUND)];
    }
    dependents
        .into_iter()
        .filter(|(_, dependent)| !dependent.meta().deleting())
        .flat_map(|(place, _)| self::dependent(cache, place, |_, _| true))
        .collect()
}

/// What becomes of an object that has owners. `exists` asks the API server about an owner that the cache does not know.
pub(super) fn dependent(cache: &Cache, place: &Place, exists: impl Fn(&Owner, &str) -> bool) -> Vec<Action> {
    let Some(entry) = cache.at(place).filter(|e| !e.meta().deleting()) else { return Vec::new() };
    let meta = entry.meta();
    let (mut solid, mut waiting) = (Vec::new(), 0_usize);
    for reference in &meta.owner_references {
        match cache.by_uid(&reference.uid).and_then(|place| cache.at(place)) {
            Some(owner) if owner.meta().deleting() && owner.meta().has_finalizer(FOREGROUND) => waiting += 1,
            Some(_) => solid.push(reference),
            None if exists(reference, &place.namespace) => solid.push(reference),
            None => {}
        }
    }
    if solid.len() == meta.owner_references.len() {
        return Vec::new();
    }
    if !solid.is_empty() {
        let rest: Vec<Value> = solid.into_iter().map(reference).collect();
        return vec![owners_patch(place.resource, entry, rest)];
    }
    let has_dependents = cache.dependents(&meta.uid).next().is_some();
    let propagation = if meta.has_finalizer(ORPHAN) {
        Propagation::Orphan
    } else if meta.has_finalizer(FOREGROUND) || waiting > 0 && has_dependents {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    vec![Action::Delete {
        place: place.clone(),
        uid: Arc::clone(&meta.uid),
        grace_period_seconds: None,
        propagation: Some(propagation),
    }]
}

fn without_finalizer(place: &Place, entry: &Entry, finalizer: &str) -> Action {
    let rest: Vec<&String> = entry.meta().finalizers.iter().filter(|f| *f != finalizer).collect();
    let rest = if rest.is_empty() { Value::Null } else { json!(rest) };
    Action::Patch {
        place: place.clone(),
        status: false,
        patch: json!({ "metadata": { "uid": entry.meta().uid, "finalizers": rest } }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::Depth;
    use super::*;

    fn put(cache: &mut Cache, resource: &'static str, name: &str, owners: &[&str], more: &Value) -> Place {
        let owners: Vec<Value> = owners
            .iter()
            .map(|uid| json!({ "uid": uid, "name": uid, "kind": "X", "apiVersion": "v1", "blockOwnerDeletion": true }))
            .collect();
        let mut metadata = json!({
            "namespace": "n", "name": name, "uid": name, "resourceVersion": "1", "ownerReferences": owners,
        });
        for (member, value) in more.as_object().unwrap() {
            metadata[member] = value.clone();
        }
        let entry = Entry::of(json!({ "metadata": metadata }), Depth::Meta).unwrap();
        let place = Place::of(resource, &entry);
        cache.put(resource, entry);
        place
    }

    fn deleting(finalizer: &str) -> Value {
        json!({ "deletionTimestamp": "2024-01-01T00:00:00Z", "finalizers": [finalizer] })
    }

    #[test]
    fn what_has_lost_its_owners_goes_and_what_has_one_left_stays() {
        let mut cache = Cache::default();
        put(&mut cache, "configmaps", "owner", &[], &json!({}));
        let lost = put(&mut cache, "pods", "lost", &["gone"], &json!({}));
        let half = put(&mut cache, "pods", "half", &["gone", "owner"], &json!({}));
        let kept = put(&mut cache, "pods", "kept", &["owner"], &json!({}));
        assert!(matches!(
            &dependent(&cache, &lost, |_, _| false)[..],
            [Action::Delete { propagation: Some(Propagation::Background), .. }]
        ));
        assert!(dependent(&cache, &lost, |_, _| true).is_empty(), "the owner is only not seen yet");
        let actions = dependent(&cache, &half, |_, _| false);
        let [Action::Patch { patch, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(patch["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
        assert!(dependent(&cache, &kept, |_, _| false).is_empty());
    }

    #[test]
    fn foreground_deletion_waits_for_dependents_down_the_line() {
        let mut cache = Cache::default();
        let top = put(&mut cache, "deployments.apps", "top", &[], &deleting(FOREGROUND));
        put(&mut cache, "replicasets.apps", "middle", &["top"], &json!({}));
        put(&mut cache, "pods", "leaf", &["middle"], &json!({}));
        assert!(matches!(
            &owner(&cache, &top)[..],
            [Action::Delete { propagation: Some(Propagation::Foreground), .. }]
        ));
        cache.remove("replicasets.apps", "n", "middle", "middle", false);
        let actions = owner(&cache, &top);
        let [Action::Patch { patch, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert!(patch["metadata"]["finalizers"].is_null());
    }

    #[test]
    fn orphans_are_let_go_of_before_their_owner_goes() {
        let mut cache = Cache::default();
        let top = put(&mut cache, "deployments.apps", "top", &[], &deleting(ORPHAN));
        put(&mut cache, "replicasets.apps", "middle", &["top"], &json!({}));
        let actions = owner(&cache, &top);
        let [Action::Patch { place, patch, .. }, Action::Patch { place: last, .. }] = &actions[..] else {
            panic!("{actions:?}")
        };
        assert_eq!(&*place.name, "middle");
        assert!(patch["metadata"]["ownerReferences"].is_null());
        assert_eq!(last, &top);
    }
}
