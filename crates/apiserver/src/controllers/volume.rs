//! Persistent volumes and claims: which belongs to which, and the simulated provisioner of the classes that name [`PROVISIONER`].
//!
//! Entry points: [`claim`] and [`volume`], one step each. A claim whose class waits for its first user is bound once a scheduler
//! has written its name into a volume, or a node into the claim.

use std::sync::Arc;

use augur_notation::{LabelSelector, Quantity};
use serde_json::{Map, Value, json};

use super::action::{Action, Parent, delete};
use super::view::{Entry, items, selector_of, text};

/// Volumes.
pub(super) const VOLUME: Parent = Parent {
    resource: "persistentvolumes",
    api_version: "v1",
    kind: "PersistentVolume",
    component: "persistentvolume-controller",
};

/// Claims.
pub(super) const CLAIM: Parent = Parent {
    resource: "persistentvolumeclaims",
    api_version: "v1",
    kind: "PersistentVolumeClaim",
    component: "persistentvolume-controller",
};

/// Storage classes.
pub(super) const CLASS: &str = "storageclasses.storage.k8s.io";

/// The provisioner of this server: it makes volumes of nothing, at once, on the node that was selected.
pub const PROVISIONER: &str = "volumes.augur.sandbox";

/// The storage class of claims that name none, for a cluster that is to have one: [`PROVISIONER`] makes their volumes once a
/// pod that uses them has its node.
#[must_use]
pub fn default_storage_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "standard",
            "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    })
}

const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

fn class_of(object: &Entry) -> &str {
    let annotated = object.meta().annotations.get("volume.beta.kubernetes.io/storage-class");
    annotated.map_or_else(|| text(&object.value()["spec"]["storageClassName"]), String::as_str)
}

fn phase(parent: &Parent, object: &Entry, phase: &str) -> Option<Action> {
    let mut status = object.value()["status"].as_object().cloned().unwrap_or_default();
    status.insert("phase".to_owned(), json!(phase));
    parent.status(object, status)
}

/// Whether the volume is the claim's, or reserved for it.
fn is_of(volume: &Entry, claim: &Entry) -> bool {
    let (of, meta) = (&volume.value()["spec"]["claimRef"], claim.meta());
    text(&of["namespace"]) == &*meta.namespace
        && text(&of["name"]) == &*meta.name
        && (text(&of["uid"]).is_empty() || text(&of["uid"]) == &*meta.uid)
}

fn size(value: &Value) -> Option<Quantity> {
    Quantity::parse(text(value)).ok()
}

/// Whether a volume that is nobody's will do for the claim.
fn will_do(volume: &Entry, claim: &Entry) -> bool {
    let (has, wants) = (&volume.value()["spec"], &claim.value()["spec"]);
    let enough = match (size(&has["capacity"]["storage"]), size(&wants["resources"]["requests"]["storage"])) {
        (Some(has), Some(wants)) => has >= wants,
        (_, wants) => wants.is_none(),
    };
    let selector: Option<LabelSelector> = match &wants["selector"] {
        Value::Null => None,
        selector => selector_of(selector),
    };
    let mode = |spec: &Value| match text(&spec["volumeMode"]) {
        "" => "Filesystem".to_owned(),
        mode => mode.to_owned(),
    };
    has["claimRef"].is_null()
        && !volume.meta().deleting()
        && enough
        && class_of(volume) == class_of(claim)
        && mode(has) == mode(wants)
        && items(&wants["accessModes"]).iter().all(|mode| items(&has["accessModes"]).contains(mode))
        && (wants["selector"].is_null() || selector.is_some_and(|selector| volume.meta().matches(&selector)))
}

/// Lets go of an object that is being deleted.
fn unprotect(parent: &Parent, object: &Entry, finalizer: &str) -> Vec<Action> {
    if !object.meta().has_finalizer(finalizer) {
        return Vec::new();
    }
    let left: Vec<&String> = object.meta().finalizers.iter().filter(|name| *name != finalizer).collect();
    let patch = json!({ "metadata": { "finalizers": left } });
    vec![Action::Patch { place: parent.place(object), status: false, patch }]
}

/// Whether a pod that has not ended uses the claim.
pub(super) fn uses(pod: &Value, claim: &str) -> bool {
    let over = matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed");
    let name = text(&pod["metadata"]["name"]);
    !over
        && items(&pod["spec"]["volumes"]).iter().any(|volume| {
            text(&volume["persistentVolumeClaim"]["claimName"]) == claim
                || (!volume["ephemeral"].is_null() && format!("{name}-{}", text(&volume["name"])) == claim)
        })
}

/// The next step of a claim. `class` is its storage class; `used` tells whether a pod uses it.
pub(super) fn claim<'a>(
    entry: &Arc<Entry>,
    class: Option<&Arc<Entry>>,
    volumes: impl Iterator<Item = &'a Arc<Entry>> + Clone,
    used: impl FnOnce() -> bool,
) -> Vec<Action> {
    let (meta, spec) = (entry.meta(), &entry.value()["spec"]);
    if meta.deleting() && !used() {
        return unprotect(&CLAIM, entry, "kubernetes.io/pvc-protection");
    }
    let named = text(&spec["volumeName"]);
    if !named.is_empty() {
        let volume = volumes.clone().find(|volume| &*volume.meta().name == named);
        let bound = meta.annotations.contains_key(BIND_COMPLETED);
        return match volume {
            None if bound => phase(&CLAIM, entry, "Lost").into_iter().collect(),
            Some(volume) if volume.value()["spec"]["claimRef"].is_null() || is_of(volume, entry) => bind(entry, volume),
            Some(_) if bound => phase(&CLAIM, entry, "Lost").into_iter().collect(),
            _ => phase(&CLAIM, entry, "Pending").into_iter().collect(),
        };
    }
    if meta.deleting() {
        return Vec::new();
    }
    if let Some(volume) = volumes.clone().find(|volume| is_of(volume, entry)) {
        return bind(entry, volume);
    }
    let waits = class.is_some_and(|class| text(&class.value()["volumeBindingMode"]) == "WaitForFirstConsumer");
    let node = meta.annotations.get(SELECTED_NODE);
    if !waits {
        let fitting = volumes.filter(|volume| will_do(volume, entry));
        if let Some(volume) = fitting.min_by_key(|volume| size(&volume.value()["spec"]["capacity"]["storage"])) {
            return bind(entry, volume);
        }
    }
    match class.filter(|class| text(&class.value()["provisioner"]) == PROVISIONER && (!waits || node.is_some())) {
        Some(class) => vec![provision(entry, class, node.map(String::as_str))],
        None => phase(&CLAIM, entry, "Pending").into_iter().collect(),
    }
}

/// Brings both sides of a binding about, as far as they are not.
fn bind(claim: &Arc<Entry>, volume: &Arc<Entry>) -> Vec<Action> {
    let (meta, spec) = (claim.meta(), &volume.value()["spec"]);
    let mut actions = Vec::new();
    if text(&spec["claimRef"]["uid"]) != &*meta.uid {
        let mut patch = json!({ "spec": { "claimRef": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": meta.namespace, "name": meta.name,
            "uid": meta.uid,
        } } });
        if spec["claimRef"].is_null() {
            patch["metadata"] = json!({ "annotations": { BOUND_BY_CONTROLLER: "yes" } });
        }
        actions.push(Action::Patch { place: VOLUME.place(volume), status: false, patch });
    }
    actions.extend(phase(&VOLUME, volume, "Bound"));
    if text(&claim.value()["spec"]["volumeName"]).is_empty() || !meta.annotations.contains_key(BIND_COMPLETED) {
        let mut annotations = json!({ BIND_COMPLETED: "yes" });
        if text(&claim.value()["spec"]["volumeName"]).is_empty() {
            annotations[BOUND_BY_CONTROLLER] = json!("yes");
        }
        let patch = json!({ "metadata": { "annotations": annotations }, "spec": { "volumeName": volume.meta().name } });
        actions.push(Action::Patch { place: CLAIM.place(claim), status: false, patch });
    }
    let mut status = claim.value()["status"].as_object().cloned().unwrap_or_default();
    status.insert("phase".to_owned(), json!("Bound"));
    status.insert("accessModes".to_owned(), spec["accessModes"].clone());
    status.insert("capacity".to_owned(), spec["capacity"].clone());
    actions.extend(CLAIM.status(claim, status));
    actions
}

/// A new volume for the claim, reachable from the selected node alone if there is one.
fn provision(claim: &Entry, class: &Entry, node: Option<&str>) -> Action {
    let (meta, spec) = (claim.meta(), &claim.value()["spec"]);
    let name = format!("pvc-{}", meta.uid);
    let mut of = Map::new();
    of.insert("capacity".to_owned(), json!({ "storage": spec["resources"]["requests"]["storage"] }));
    of.insert("accessModes".to_owned(), spec["accessModes"].clone());
    if !spec["volumeMode"].is_null() {
        of.insert("volumeMode".to_owned(), spec["volumeMode"].clone());
    }
    of.insert("storageClassName".to_owned(), json!(class.meta().name));
    of.insert(
        "persistentVolumeReclaimPolicy".to_owned(),
        json!(match text(&class.value()["reclaimPolicy"]) {
            "" => "Delete",
            policy => policy,
        }),
    );
    of.insert("csi".to_owned(), json!({ "driver": PROVISIONER, "volumeHandle": name }));
    of.insert(
        "claimRef".to_owned(),
        json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": meta.namespace, "name": meta.name,
            "uid": meta.uid }),
    );
    if let Some(node) = node {
        let requirement = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] });
        of.insert(
            "nodeAffinity".to_owned(),
            json!({ "required": { "nodeSelectorTerms": [{ "matchExpressions": [requirement] }] } }),
        );
    }
    let object = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": name, "annotations": { PROVISIONED_BY: PROVISIONER } },
        "spec": of,
    });
    let message = "Successfully provisioned volume ".to_owned();
    let note = Some(CLAIM.note(claim, "Normal", "ProvisioningSucceeded", message));
    Action::Create { resource: VOLUME.resource, namespace: "".into(), object, note }
}

/// The next step of a volume. `claims` finds one by namespace and name.
pub(super) fn volume<'a>(entry: &Arc<Entry>, claims: impl Fn(&str, &str) -> Option<&'a Arc<Entry>>) -> Vec<Action> {
    let of = &entry.value()["spec"]["claimRef"];
    let claim = claims(text(&of["namespace"]), text(&of["name"])).filter(|claim| is_of(entry, claim));
    if entry.meta().deleting() && claim.is_none() {
        return unprotect(&VOLUME, entry, "kubernetes.io/pv-protection");
    }
    if of.is_null() {
        return phase(&VOLUME, entry, "Available").into_iter().collect();
    }
    match claim {
        // The claim takes the next step.
        Some(_) => Vec::new(),
        // Reserved for a claim that is yet to come.
        _ if text(&of["uid"]).is_empty() => phase(&VOLUME, entry, "Available").into_iter().collect(),
        _ if text(&entry.value()["spec"]["persistentVolumeReclaimPolicy"]) == "Delete"
            && text(&entry.value()["spec"]["csi"]["driver"]) == PROVISIONER =>
        {
            vec![delete(VOLUME.resource, entry)]
        }
        _ => phase(&VOLUME, entry, "Released").into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::object;
    use super::*;

    fn a_claim(more: &Value) -> Arc<Entry> {
        let mut claim = json!({ "metadata": { "namespace": "n", "name": "data", "uid": "c1" }, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
            "resources": { "requests": { "storage": "2Gi" } } } });
        merge(&mut claim, more);
        object(claim)
    }

    fn a_volume(name: &str, size: &str, more: &Value) -> Arc<Entry> {
        let mut volume = json!({ "metadata": { "name": name, "uid": name }, "spec": {
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "storageClassName": "fast", "capacity": { "storage": size } } });
        merge(&mut volume, more);
        object(volume)
    }

    fn merge(into: &mut Value, more: &Value) {
        for (part, members) in more.as_object().unwrap() {
            for (key, value) in members.as_object().unwrap() {
                into[part][key] = value.clone();
            }
        }
    }

    fn a_class(provisioner: &str, mode: &str) -> Arc<Entry> {
        object(json!({ "metadata": { "name": "fast" }, "provisioner": provisioner, "volumeBindingMode": mode }))
    }

    fn patches(actions: &[Action]) -> Vec<(String, bool)> {
        let patch = |action: &Action| match action {
            Action::Patch { place, status, .. } => Some((place.name.to_string(), *status)),
            _ => None,
        };
        actions.iter().filter_map(patch).collect()
    }

    #[test]
    fn a_claim_of_a_class_that_binds_at_once_gets_the_smallest_volume_that_will_do() {
        let volumes =
            [a_volume("v9", "9Gi", &json!({})), a_volume("v1", "1Gi", &json!({})), a_volume("v3", "3Gi", &json!({}))];
        let actions = claim(&a_claim(&json!({})), Some(&a_class("other", "Immediate")), volumes.iter(), || true);
        let both = [("v3", false), ("v3", true), ("data", false), ("data", true)];
        assert_eq!(patches(&actions), both.map(|(name, status)| (name.to_owned(), status)));
    }

    #[test]
    fn a_claim_that_waits_for_its_first_user_gets_what_the_scheduler_wrote() {
        let (waiting, class) = (a_claim(&json!({})), a_class(PROVISIONER, "WaitForFirstConsumer"));
        let free = [a_volume("v3", "3Gi", &json!({}))];
        assert_eq!(
            patches(&claim(&waiting, Some(&class), free.iter(), || true)),
            [("data".to_owned(), true)],
            "only pending"
        );
        let reference = json!({ "spec": { "claimRef": { "namespace": "n", "name": "data", "uid": "c1" } } });
        let written = [a_volume("v3", "3Gi", &reference)];
        assert!(patches(&claim(&waiting, Some(&class), written.iter(), || true)).contains(&("data".to_owned(), false)));
        let selected = a_claim(&json!({ "metadata": { "namespace": "n", "name": "data", "uid": "c1",
            "annotations": { SELECTED_NODE: "n1" } } }));
        let actions = claim(&selected, Some(&class), free.iter(), || true);
        let [Action::Create { object, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(object["spec"]["claimRef"]["uid"], "c1");
        assert!(object["spec"]["nodeAffinity"].to_string().contains("n1"));
        let others = a_class("csi.example.com", "WaitForFirstConsumer");
        assert_eq!(patches(&claim(&selected, Some(&others), free.iter(), || true)), [("data".to_owned(), true)]);
    }

    #[test]
    fn a_volume_whose_claim_is_gone_is_released_or_deleted() {
        let reference = json!({ "spec": { "claimRef": { "namespace": "n", "name": "data", "uid": "c1" } } });
        let kept = a_volume("v3", "3Gi", &reference);
        let actions = volume(&kept, |_, _| None);
        assert!(matches!(&actions[..], [Action::Patch { patch, .. }] if patch["status"]["phase"] == "Released"));
        let known = a_claim(&json!({}));
        assert!(volume(&kept, |_, _| Some(&known)).is_empty());
        let made = json!({ "spec": { "claimRef": reference["spec"]["claimRef"], "csi": { "driver": PROVISIONER },
            "persistentVolumeReclaimPolicy": "Delete" } });
        let actions = volume(&a_volume("v3", "3Gi", &made), |_, _| None);
        assert!(matches!(&actions[..], [Action::Delete { .. }]));
        let deleting = a_claim(&json!({ "metadata": { "namespace": "n", "name": "data", "uid": "c1",
            "finalizers": ["kubernetes.io/pvc-protection"], "deletionTimestamp": "2024-01-01T00:00:00Z" } }));
        let actions = claim(&deleting, None, std::iter::empty(), || false);
        assert!(matches!(&actions[..], [Action::Patch { patch, .. }] if patch["metadata"]["finalizers"] == json!([])));
        assert!(claim(&deleting, None, std::iter::empty(), || true).is_empty(), "a pod uses it");
        let actions = volume(&a_volume("v3", "3Gi", &json!({})), |_, _| None);
        assert!(matches!(&actions[..], [Action::Patch { patch, .. }] if patch["status"]["phase"] == "Available"));
    }
}
