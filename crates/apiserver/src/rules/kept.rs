//! What the kinds that the cluster only keeps must be: drivers, runtime classes, slices of endpoints, access rules, claims of
//! devices.

use serde_json::Value;

use super::metadata;
use super::names;
use super::path::{Errors, Path};
use super::resources;
use super::scheduling;
use super::value::{at, entries, get, has, int, items, opt_text, remove, same, text};

const RBAC: &str = "rbac.authorization.k8s.io";

/// What is wrong with a runtime class.
pub(crate) fn validate_runtime_class(class: &Value, errors: &mut Errors) {
    metadata::validate(class, false, names::subdomain, errors);
    let path = Path::new("handler");
    match text(class, "handler") {
        "" => errors.required(&path, ""),
        handler => errors.invalid_each(&path, handler, names::label(handler)),
    }
    let overhead = Path::new("overhead");
    let limits = overhead.child("limits");
    for (name, shown) in entries(get(class, "overhead"), "podFixed") {
        let path = limits.key(name);
        resources::container_resource_name(name, &path, errors);
        resources::amount(name, shown, resources::quantity(shown), &path, errors);
    }
    let path = Path::new("scheduling");
    let scheduling = get(class, "scheduling");
    metadata::labels(get(scheduling, "nodeSelector"), &path.child("nodeSelector"), errors);
    scheduling::tolerations(items(scheduling, "tolerations"), &path.child("tolerations"), errors);
}

/// What is wrong with a change of a runtime class.
pub(crate) fn validate_runtime_class_update(_subresource: &str, class: &Value, old: &Value, errors: &mut Errors) {
    validate_runtime_class(class, errors);
    metadata::validate_update(class, old, errors);
    errors.immutable(&Path::new("handler"), get(class, "handler"), get(old, "handler"));
}

/// What is wrong with the drivers of a node.
pub(crate) fn validate_node_drivers(node: &Value, errors: &mut Errors) {
    metadata::validate(node, false, names::subdomain, errors);
    let drivers = items(get(node, "spec"), "drivers");
    let path = Path::new("spec");
    let list = path.child("drivers");
    for (i, driver) in drivers.iter().enumerate() {
        let path = list.index(i);
        let name = text(driver, "name");
        driver_name(name, &path.child("name"), errors);
        if text(driver, "nodeID").is_empty() {
            errors.required(&path.child("nodeID"), "");
        }
        let allocatable = path.child("allocatable");
        errors.nonnegative(&allocatable.child("count"), int(get(driver, "allocatable"), "count"));
        if drivers.iter().take(i).any(|d| text(d, "name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
        let keys = items(driver, "topologyKeys");
        for (k, key) in keys.iter().enumerate() {
            let shown = key.as_str().unwrap_or("");
            if shown.is_empty() {
                errors.required(&path, "");
            }
            if keys.iter().take(k).any(|other| other == key) {
                errors.duplicate(&path, shown);
            }
            errors.invalid_each(&path, shown, names::qualified(shown));
        }
    }
}

fn driver_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
    }
    if name.len() > 63 {
        errors.too_long(path, 63);
    }
    errors.invalid_each(path, name, names::subdomain(&name.to_lowercase()));
}

/// What is wrong with a change of the drivers of a node: a driver that stays may only count its volumes anew.
pub(crate) fn validate_node_drivers_update(_subresource: &str, node: &Value, old: &Value, errors: &mut Errors) {
    validate_node_drivers(node, errors);
    let path = Path::new("spec");
    let path = path.child("drivers");
    let fixed = |driver: &Value| {
        let mut driver = driver.clone();
        remove(&mut driver, "allocatable");
        driver
    };
    for before in items(get(old, "spec"), "drivers") {
        for now in items(get(node, "spec"), "drivers").iter().filter(|d| text(d, "name") == text(before, "name")) {
            errors.immutable(&path, &fixed(now), &fixed(before));
        }
    }
}

/// What is wrong with a CSI driver.
pub(crate) fn validate_driver(driver: &Value, errors: &mut Errors) {
    metadata::validate(driver, false, names::subdomain, errors);
    driver_spec(get(driver, "spec"), errors);
}

fn driver_spec(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let policy = text(spec, "fsGroupPolicy");
    if !matches!(policy, "ReadWriteOnceWithFSType" | "File" | "None") {
        errors.not_supported(&path.child("fsGroupPolicy"), policy, &["File", "None", "ReadWriteOnceWithFSType"]);
    }
    for mode in items(spec, "volumeLifecycleModes").iter().filter_map(Value::as_str) {
        if !matches!(mode, "Persistent" | "Ephemeral") {
            errors.not_supported(&path.child("volumeLifecycleModes"), mode, &["Ephemeral", "Persistent"]);
        }
    }
    if let Some(seconds) = int(spec, "nodeAllocatableUpdatePeriodSeconds").filter(|s| *s < 10) {
        let detail = "must be greater than or equal to 10 seconds";
        errors.invalid(&path.child("nodeAllocatableUpdatePeriodSeconds"), seconds, detail);
    }
}

/// What is wrong with a change of a CSI driver.
pub(crate) fn validate_driver_update(_subresource: &str, driver: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(driver, old, errors);
    let (spec, before) = (get(driver, "spec"), get(old, "spec"));
    driver_spec(spec, errors);
    let path = Path::new("spec");
    for (key, shown) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")] {
        errors.immutable(&path.child(shown), get(spec, key), get(before, key));
    }
}

/// What is wrong with a slice of endpoints.
pub(crate) fn validate_endpoint_slice(slice: &Value, errors: &mut Errors) {
    metadata::validate(slice, true, names::subdomain, errors);
    let path = Path::new("addressType");
    let family = text(slice, "addressType");
    match family {
        "IPv4" | "IPv6" | "FQDN" => {}
        "" => errors.required(&path, ""),
        other => errors.not_supported(&path, other, &["FQDN", "IPv4", "IPv6"]),
    }
    let list = Path::new("endpoints");
    for (i, endpoint) in items(slice, "endpoints").iter().enumerate() {
        let path = list.index(i);
        let addresses_path = path.child("addresses");
        let addresses = items(endpoint, "addresses");
        if addresses.is_empty() {
            errors.required(&addresses_path, "must contain at least 1 address");
        } else if addresses.len() > 100 {
            errors.too_many(&addresses_path, addresses.len(), 100);
        }
        for (a, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
            if family != "IPv4" && family != "IPv6" {
                continue;
            }
            let broken = names::ip(address);
            if !broken.is_empty() {
                errors.invalid_each(&addresses_path.index(a), address, broken);
                continue;
            }
            if names::parse_ip(address).is_some_and(|ip| ip.is_ipv4() != (family == "IPv4")) {
                errors.invalid(&addresses_path, address, &format!("must be an {family} address"));
            }
            super::config::endpoint_ip(address, &addresses_path.index(a), errors);
        }
        if let Some(hostname) = opt_text(endpoint, "hostname") {
            errors.invalid_each(&path.child("hostname"), hostname, names::label(hostname));
        }
        if let Some(node) = opt_text(endpoint, "nodeName") {
            errors.invalid_each(&path.child("nodeName"), node, names::subdomain(node));
        }
    }
    slice_ports(items(slice, "ports"), errors);
}

fn slice_ports(ports: &[Value], errors: &mut Errors) {
    let list = Path::new("ports");
    for (i, port) in ports.iter().enumerate() {
        let path = list.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            errors.invalid_each(&path.child("name"), name, names::label(name));
        }
        if ports.iter().take(i).any(|p| text(p, "name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
        let protocol = text(port, "protocol");
        if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
            errors.not_supported(&path.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]);
        }
        if let Some(protocol) = opt_text(port, "appProtocol") {
            errors.invalid_each(&path.child("appProtocol"), protocol, names::qualified(protocol));
        }
    }
}

/// What is wrong with a change of a slice of endpoints.
pub(crate) fn validate_endpoint_slice_update(_subresource: &str, slice: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(slice, old, errors);
    validate_endpoint_slice(slice, errors);
    let key = "addressType";
    errors.immutable(&Path::new(key), get(slice, key), get(old, key));
}

/// What is wrong with a role of a namespace.
pub(crate) fn validate_role(role: &Value, errors: &mut Errors) {
    metadata::validate(role, true, names::path_segment, errors);
    rules(role, true, errors);
}

/// What is wrong with a role of the cluster.
pub(crate) fn validate_cluster_role(role: &Value, errors: &mut Errors) {
    metadata::validate(role, false, names::path_segment, errors);
    rules(role, false, errors);
    if has(role, "aggregationRule") && items(get(role, "aggregationRule"), "clusterRoleSelectors").is_empty() {
        let path = Path::new("aggregationRule");
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.required(&path.child("clusterRoleSelectors"), detail);
    }
}

fn rules(role: &Value, namespaced: bool, errors: &mut Errors) {
    let list = Path::new("rules");
    for (i, rule) in items(role, "rules").iter().enumerate() {
        let path = list.index(i);
        if items(rule, "verbs").is_empty() {
            errors.required(&path.child("verbs"), "verbs must contain at least one value");
        }
        if !items(rule, "nonResourceURLs").is_empty() {
            let path = path.child("nonResourceURLs");
            let shown = get(rule, "nonResourceURLs");
            if namespaced {
                errors.invalid(&path, shown.clone(), "namespaced rules cannot apply to non-resource URLs");
            }
            if ["apiGroups", "resources", "resourceNames"].iter().any(|key| !items(rule, key).is_empty()) {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                errors.invalid(&path, shown.clone(), detail);
            }
            continue;
        }
        if items(rule, "apiGroups").is_empty() {
            errors.required(&path.child("apiGroups"), "resource rules must supply at least one api group");
        }
        if items(rule, "resources").is_empty() {
            errors.required(&path.child("resources"), "resource rules must supply at least one resource");
        }
    }
}

/// What is wrong with a binding of a role in a namespace.
pub(crate) fn validate_role_binding(binding: &Value, errors: &mut Errors) {
    metadata::validate(binding, true, names::path_segment, errors);
    role_binding(binding, &["Role", "ClusterRole"], errors);
}

/// What is wrong with a binding of a role in the cluster.
pub(crate) fn validate_cluster_role_binding(binding: &Value, errors: &mut Errors) {
    metadata::validate(binding, false, names::path_segment, errors);
    role_binding(binding, &["ClusterRole"], errors);
}

fn role_binding(binding: &Value, kinds: &[&str], errors: &mut Errors) {
    let path = Path::new("roleRef");
    let role = get(binding, "roleRef");
    if text(role, "apiGroup") != RBAC {
        errors.not_supported(&path.child("apiGroup"), text(role, "apiGroup"), &[RBAC]);
    }
    if !kinds.contains(&text(role, "kind")) {
        errors.not_supported(&path.child("kind"), text(role, "kind"), kinds);
    }
    match text(role, "name") {
        "" => errors.required(&path.child("name"), ""),
        name => errors.invalid_each(&path.child("name"), name, names::path_segment(name)),
    }
    let list = Path::new("subjects");
    for (i, subject) in items(binding, "subjects").iter().enumerate() {
        let path = list.index(i);
        let name = text(subject, "name");
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        }
        let group = text(subject, "apiGroup");
        match text(subject, "kind") {
            "ServiceAccount" => {
                if !name.is_empty() {
                    errors.invalid_each(&path.child("name"), name, names::subdomain(name));
                }
                if !group.is_empty() {
                    errors.not_supported(&path.child("apiGroup"), group, &[""]);
                }
                if kinds.len() == 1 && text(subject, "namespace").is_empty() {
                    errors.required(&path.child("namespace"), "");
                }
            }
            "User" | "Group" => {
                if group != RBAC {
                    errors.not_supported(&path.child("apiGroup"), group, &[RBAC]);
                }
            }
            kind => errors.not_supported(&path.child("kind"), kind, &["ServiceAccount", "User", "Group"]),
        }
    }
}

/// What is wrong with a change of a claim of devices: what it asks for stays.
pub(crate) fn validate_device_claim_update(subresource: &str, claim: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(claim, old, errors);
    let (new, old) = (get(claim, "spec"), get(old, "spec"));
    if subresource.is_empty() && !same(new, old) {
        errors.invalid(&Path::new("spec"), new.clone(), "field is immutable");
    }
}

/// What is wrong with a change of an ingress class: another controller makes it another class.
pub(crate) fn validate_ingress_class_update(_subresource: &str, class: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(class, old, errors);
    let path = Path::new("spec");
    let controller = ["spec", "controller"];
    errors.immutable(&path.child("controller"), at(class, &controller), at(old, &controller));
    metadata::validate(class, false, names::subdomain, errors);
}
