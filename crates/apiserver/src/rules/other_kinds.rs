//! Kinds that the cluster only keeps: networking, access rules, drivers, revisions. They get their defaults and generations; of
//! their forms, names and labels are checked.

use serde_json::{Map, Value, json};

use super::metadata;
use super::names;
use super::path::{Errors, Path};
use super::value::{
    at, default_text, default_to, entry, get, get_mut, has, int, items, items_mut, object, remove, same, set, text,
};

const RBAC: &str = "rbac.authorization.k8s.io";

/// A network policy is one of incoming traffic, unless it says what it is.
pub(crate) fn default_network_policy(policy: &mut Value) {
    let Some(spec) = get_mut(policy, "spec") else { return };
    for list in ["ingress", "egress"] {
        for rule in items_mut(spec, list) {
            for port in items_mut(rule, "ports") {
                default_to(port, "protocol", "TCP");
            }
        }
    }
    if items(spec, "policyTypes").is_empty() {
        let types = if items(spec, "egress").is_empty() { json!(["Ingress"]) } else { json!(["Ingress", "Egress"]) };
        set(spec, "policyTypes", types);
    }
}

/// Parameters of an ingress class are those of the cluster.
pub(crate) fn default_ingress_class(class: &mut Value) {
    if let Some(spec) = get_mut(class, "spec")
        && let Some(parameters) = get_mut(spec, "parameters")
    {
        default_to(parameters, "scope", "Cluster");
    }
}

/// Ports of a slice of endpoints.
pub(crate) fn default_endpoint_slice(slice: &mut Value) {
    for port in items_mut(slice, "ports") {
        default_to(port, "name", "");
        default_to(port, "protocol", "TCP");
    }
}

/// A new slice of endpoints.
pub(crate) fn prepare_endpoint_slice(_subresource: &str, slice: &mut Value, old: &Value) {
    let without_metadata = |value: &Value| {
        let mut value = value.clone();
        remove(&mut value, "metadata");
        value
    };
    let labels = |value| at(value, &["metadata", "labels"]);
    if !same(&without_metadata(slice), &without_metadata(old)) || !same(labels(slice), labels(old)) {
        metadata::raise_generation(slice, old);
    }
}

/// Defaults of a CSI driver.
pub(crate) fn default_driver(driver: &mut Value) {
    let spec = entry(driver, "spec");
    default_to(spec, "attachRequired", true);
    for key in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        default_to(spec, key, false);
    }
    default_to(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if items(spec, "volumeLifecycleModes").is_empty() {
        set(spec, "volumeLifecycleModes", json!(["Persistent"]));
    }
}

/// Groups of the role and of the subjects of a binding.
pub(crate) fn default_role_binding(binding: &mut Value) {
    if let Some(role) = get_mut(binding, "roleRef") {
        default_text(role, "apiGroup", RBAC);
    }
    for subject in items_mut(binding, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            default_text(subject, "apiGroup", RBAC);
        }
    }
}

/// What is wrong with a change of a binding: another role makes it another binding.
pub(crate) fn validate_same_role(binding: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(binding, old, errors);
    let role = get(binding, "roleRef");
    if !same(role, get(old, "roleRef")) {
        errors.invalid(&Path::new("roleRef"), role.clone(), "cannot change roleRef");
    }
}

/// A request for devices asks for one of them, unless it says what it asks for.
pub(crate) fn default_device_requests(spec: &mut Value) {
    let Some(devices) = get_mut(spec, "devices") else { return };
    for request in items_mut(devices, "requests") {
        if let Some(exactly) = get_mut(request, "exactly") {
            default_device_count(exactly);
        }
        items_mut(request, "firstAvailable").for_each(default_device_count);
    }
}

fn default_device_count(request: &mut Value) {
    default_text(request, "allocationMode", "ExactCount");
    if text(request, "allocationMode") == "ExactCount" && int(request, "count").unwrap_or(0) == 0 {
        set(request, "count", 1);
    }
}

/// A new object whose status starts empty.
pub(crate) fn empty_status(object: &mut Value) {
    set(object, "status", Map::new());
}

/// A new ingress.
pub(crate) fn prepare_ingress_create(ingress: &mut Value) {
    set(ingress, "status", json!({ "loadBalancer": {} }));
    object(entry(ingress, "metadata")).insert("generation".to_owned(), json!(1));
}

/// What is wrong with a revision of a workload.
pub(crate) fn validate_revision(revision: &Value, errors: &mut Errors) {
    metadata::validate(revision, true, names::subdomain, errors);
    errors.nonnegative(&Path::new("revision"), int(revision, "revision"));
    match get(revision, "data") {
        Value::Object(_) => {}
        Value::Null => errors.required(&Path::new("data"), "data is mandatory"),
        _ => errors.required(&Path::new("data"), "data must be a valid JSON object"),
    }
}

/// What is wrong with a change of a revision: what it keeps is kept.
pub(crate) fn validate_revision_update(_subresource: &str, revision: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(revision, old, errors);
    metadata::validate(revision, true, names::subdomain, errors);
    errors.nonnegative(&Path::new("revision"), int(revision, "revision"));
    if has(old, "data") {
        errors.immutable(&Path::new("data"), get(revision, "data"), get(old, "data"));
    }
}
