//! ControllerRevisions: the templates that a stateful set or daemon set has had, for `kubectl rollout history` and `undo`.
//!
//! Entry point: [`sync`].

use std::sync::Arc;

use serde_json::{Value, json};

use super::action::{Action, Parent, delete};
use super::template::template_hash;
use super::view::{Entry, number};

/// The label by which a pod tells of which revision it is.
pub(super) const HASH_LABEL: &str = "controller-revision-hash";
/// The resource.
pub(super) const REVISIONS: &str = "controllerrevisions.apps";

/// The revisions of an object.
#[derive(Debug, Default)]
pub(super) struct Revisions {
    /// What pods are to be made of: the hash alone for daemon sets, the revision's name for stateful sets.
    pub update: String,
    /// Name of the revision of the present template.
    pub update_name: String,
    /// Writes: the present template's revision, and deletions beyond `revisionHistoryLimit`.
    pub actions: Vec<Action>,
}

/// Makes sure that the present template has a revision, the newest one. `in_use` tells whether pods of a revision (by hash
/// label) still exist. `by_name`: pods are labelled with the revision's name instead of the bare hash.
pub(super) fn sync(
    parent: &Parent,
    owner: &Entry,
    existing: &[Arc<Entry>],
    by_name: bool,
    in_use: impl Fn(&str) -> bool,
) -> Revisions {
    let object = owner.value();
    let mut template = object["spec"]["template"].clone();
    if let Some(template) = template.as_object_mut() {
        template.insert("$patch".to_owned(), json!("replace"));
    }
    let data = json!({ "spec": { "template": template } });
    let mut sorted: Vec<&Arc<Entry>> = existing.iter().collect();
    sorted.sort_by_key(|r| number(&r.value()["revision"], 0));
    let newest = sorted.last().map_or(0, |r| number(&r.value()["revision"], 0));
    let mut found = Revisions::default();
    let label = |hash: &str, name: &str| if by_name { name.to_owned() } else { hash.to_owned() };
    if let Some(current) = sorted.iter().rev().find(|r| r.value()["data"] == data) {
        let meta = current.meta();
        found.update_name = meta.name.to_string();
        found.update = label(meta.label(HASH_LABEL), &meta.name);
        if number(&current.value()["revision"], 0) < newest {
            found.actions.push(Action::Patch {
                place: super::cache::Place::of(REVISIONS, current),
                status: false,
                patch: json!({ "revision": newest + 1 }),
            });
        }
    } else {
        let hash = template_hash(&data, object["status"]["collisionCount"].as_i64());
        found.update_name = format!("{}-{hash}", owner.meta().name);
        found.update = label(&hash, &found.update_name);
        let mut labels = object["spec"]["template"]["metadata"]["labels"].clone();
        if !labels.is_object() {
            labels = json!({});
        }
        labels[HASH_LABEL] = json!(hash);
        found.actions.push(Action::Create {
            resource: REVISIONS,
            namespace: Arc::clone(&owner.meta().namespace),
            object: json!({
                "apiVersion": "apps/v1",
                "kind": "ControllerRevision",
                "metadata": {
                    "name": found.update_name,
                    "namespace": owner.meta().namespace,
                    "labels": labels,
                    "annotations": object["metadata"]["annotations"],
                    "ownerReferences": [parent.controller_reference(owner)],
                },
                "data": data,
                "revision": newest + 1,
            }),
            note: None,
        });
    }
    let limit = usize::try_from(number(&object["spec"]["revisionHistoryLimit"], 10)).unwrap_or(0);
    let history: Vec<&&Arc<Entry>> = sorted
        .iter()
        .filter(|r| {
            let meta = r.meta();
            *meta.name != *found.update_name && !in_use(&label(meta.label(HASH_LABEL), &meta.name))
        })
        .collect();
    let surplus = history.len().saturating_sub(limit);
    let old: Vec<Action> = history.into_iter().take(surplus).map(|r| delete(REVISIONS, r)).collect();
    found.actions.extend(old);
    found
}

/// The template of a revision, by name.
pub(super) fn template<'a>(existing: &'a [Arc<Entry>], name: &str) -> Option<&'a Value> {
    let revision = existing.iter().find(|r| *r.meta().name == *name)?;
    Some(&revision.value()["data"]["spec"]["template"])
}
