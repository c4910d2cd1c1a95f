//! Claims to devices: those that pods have made from templates, and what becomes of claims when their pods end.
//!
//! Entry points: [`for_pod`] and [`for_claim`]. Devices are given by the scheduler.

use std::sync::Arc;

use serde_json::{Value, json};

use super::action::{Action, Outcome, Parent};
use super::cache::Place;
use super::view::{Entry, items, text};

/// The resource of claims.
pub(super) const CLAIMS: &str = "resourceclaims.resource.k8s.io";
/// The resource of templates.
pub(super) const TEMPLATES: &str = "resourceclaimtemplates.resource.k8s.io";

const POD: Parent = Parent { resource: "pods", api_version: "v1", kind: "Pod", component: "resource_claim" };

/// Which of a pod's claims a claim was made for.
const POD_CLAIM_NAME: &str = "resource.kubernetes.io/pod-claim-name";

/// Keeps a claim from going while it has devices.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

/// Makes the claims that the pod wants from templates, and tells their names in its status. `owned` are the claims that it controls.
pub(super) fn for_pod(entry: &Entry, owned: &[Arc<Entry>], template: impl Fn(&str) -> Option<Arc<Entry>>) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(pod) = entry.pod().filter(|pod| pod.active()) else { return outcome };
    let mut statuses = Vec::new();
    let mut all_there = true;
    for (name, from) in pod.claims_from_templates() {
        let made = owned.iter().find(|claim| {
            claim.meta().annotations.get(POD_CLAIM_NAME).is_some_and(|of| of == name) && !claim.meta().deleting()
        });
        if let Some(made) = made {
            statuses.push(json!({ "name": name, "resourceClaimName": made.meta().name }));
            continue;
        }
        all_there = false;
        let Some(template) = template(from) else {
            let message = format!("resourceclaimtemplates.resource.k8s.io \"{from}\" not found");
            outcome.actions.push(Action::Event(POD.note(entry, "Warning", "FailedResourceClaimCreation", message)));
            continue;
        };
        outcome.actions.push(Action::Create {
            resource: CLAIMS,
            namespace: Arc::clone(&entry.meta().namespace),
            object: made_from(&template, entry, name),
            note: None,
        });
    }
    if all_there && statuses.len() > pod.claims_told() {
        let patch = json!({ "status": { "resourceClaimStatuses": statuses } });
        outcome.actions.push(Action::Patch { place: Place::of("pods", entry), status: true, patch });
    }
    outcome
}

fn made_from(template: &Entry, pod: &Entry, name: &str) -> Value {
    let spec = &template.value()["spec"];
    let mut metadata = spec["metadata"].as_object().cloned().unwrap_or_default();
    let mut annotations = metadata.get("annotations").and_then(Value::as_object).cloned().unwrap_or_default();
    annotations.insert(POD_CLAIM_NAME.to_owned(), name.into());
    metadata.insert("annotations".to_owned(), annotations.into());
    metadata.insert("generateName".to_owned(), format!("{}-{name}-", pod.meta().name).into());
    metadata.insert("ownerReferences".to_owned(), json!([POD.controller_reference(pod)]));
    json!({ "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": metadata, "spec": spec["spec"] })
}

/// Takes back the reservations of pods that have ended, then the devices, then what keeps the claim from going. `ended` tells it of
/// a pod by name and uid.
pub(super) fn for_claim(claim: &Entry, ended: impl Fn(&str, &str) -> bool) -> Vec<Action> {
    let place = Place::of(CLAIMS, claim);
    let status = &claim.value()["status"];
    let consumers = items(&status["reservedFor"]);
    let is_pod = |consumer: &Value| text(&consumer["apiGroup"]).is_empty() && consumer["resource"] == "pods";
    let stays = |consumer: &&Value| !is_pod(consumer) || !ended(text(&consumer["name"]), text(&consumer["uid"]));
    let rest: Vec<Value> = consumers.iter().filter(stays).cloned().collect();
    let has_devices = status["allocation"].is_object();
    let nobody = rest.is_empty();
    if rest.len() < consumers.len() || (has_devices && nobody && claim.meta().deleting()) {
        let patch = match nobody {
            true => json!({ "status": { "allocation": null, "devices": null, "reservedFor": null } }),
            false => json!({ "status": { "reservedFor": rest } }),
        };
        return vec![Action::Patch { place, status: true, patch }];
    }
    if !has_devices && claim.meta().has_finalizer(FINALIZER) {
        let finalizers: Vec<&String> = claim.meta().finalizers.iter().filter(|name| *name != FINALIZER).collect();
        let going = claim.meta().deleting();
        let patch = json!({ "metadata": { "finalizers": finalizers } });
        return if going { vec![Action::Patch { place, status: false, patch }] } else { Vec::new() };
    }
    // One that was made for a pod goes when the pod has ended.
    let made_for = claim.meta().controller().filter(|owner| owner.kind == "Pod");
    let over = made_for.is_some_and(|owner| ended(&owner.name, &owner.uid));
    if over && nobody && !claim.meta().deleting() {
        let uid = Arc::clone(&claim.meta().uid);
        return vec![Action::Delete { place, uid, grace_period_seconds: None, propagation: None }];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::super::view::Depth;
    use super::*;

    fn entry(value: Value, depth: Depth) -> Arc<Entry> {
        Arc::new(Entry::of(value, depth).unwrap())
    }

    fn pod(status: &Value) -> Arc<Entry> {
        let pod = json!({ "metadata": { "namespace": "default", "name": "web", "uid": "p" },
            "spec": { "resourceClaims": [{ "name": "gpu", "resourceClaimTemplateName": "one" },
                { "name": "own", "resourceClaimName": "mine" }] }, "status": status });
        entry(pod, Depth::Pod)
    }

    fn claim(meta: &Value, status: &Value) -> Arc<Entry> {
        let mut metadata = json!({ "namespace": "default", "name": "web-gpu-x", "uid": "c" });
        metadata.as_object_mut().unwrap().extend(meta.as_object().cloned().unwrap());
        entry(json!({ "metadata": metadata, "spec": {}, "status": status }), Depth::Whole)
    }

    #[test]
    fn a_pod_gets_its_claims_from_templates() {
        let template = json!({ "metadata": { "namespace": "default", "name": "one" }, "spec": {
            "metadata": { "labels": { "a": "b" } }, "spec": { "devices": { "requests": [] } } } });
        let template = entry(template, Depth::Whole);
        let waiting = pod(&json!({}));
        let made = for_pod(&waiting, &[], |_| Some(template.clone()));
        let [Action::Create { object, .. }] = &made.actions[..] else { panic!("{:?}", made.actions) };
        assert_eq!(object["metadata"]["generateName"], "web-gpu-");
        assert_eq!(object["metadata"]["labels"]["a"], "b");
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "p");
        assert!(matches!(&for_pod(&waiting, &[], |_| None).actions[..], [Action::Event(_)]));
        let claim = claim(&json!({ "annotations": { POD_CLAIM_NAME: "gpu" } }), &json!({}));
        let told = for_pod(&waiting, std::slice::from_ref(&claim), |_| None);
        let [Action::Patch { patch, status: true, .. }] = &told.actions[..] else { panic!("{:?}", told.actions) };
        assert_eq!(patch["status"]["resourceClaimStatuses"][0]["resourceClaimName"], "web-gpu-x");
        let done = pod(&json!({ "resourceClaimStatuses": [{ "name": "gpu", "resourceClaimName": "web-gpu-x" }] }));
        assert!(for_pod(&done, &[claim], |_| None).actions.is_empty());
        assert!(for_pod(&pod(&json!({ "phase": "Failed" })), &[], |_| None).actions.is_empty());
    }

    #[test]
    fn devices_come_back_when_the_last_pod_has_ended() {
        let status = json!({ "allocation": {}, "reservedFor": [
            { "resource": "pods", "name": "web", "uid": "p" }, { "resource": "pods", "name": "other", "uid": "q" }] });
        let used = claim(&json!({ "finalizers": [FINALIZER] }), &status);
        assert!(for_claim(&used, |_, _| false).is_empty());
        let [Action::Patch { patch, .. }] = &for_claim(&used, |_, uid| uid == "p")[..] else { panic!("a patch") };
        assert_eq!(patch["status"]["reservedFor"].as_array().map(Vec::len), Some(1));
        let [Action::Patch { patch, .. }] = &for_claim(&used, |_, _| true)[..] else { panic!("a patch") };
        assert_eq!(patch["status"]["allocation"], Value::Null);
        let deleted = json!({ "finalizers": [FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z" });
        let [Action::Patch { patch, status: false, .. }] = &for_claim(&claim(&deleted, &json!({})), |_, _| true)[..]
        else {
            panic!("a patch")
        };
        assert_eq!(patch["metadata"]["finalizers"], json!([]));
        let owner = json!({ "ownerReferences": [{ "kind": "Pod", "name": "web", "uid": "p", "controller": true }] });
        assert!(matches!(&for_claim(&claim(&owner, &json!({})), |_, _| true)[..], [Action::Delete { .. }]));
    }
}
