//! Nodes: defaults, preparation, validation.

use serde_json::Value;

use super::metadata;
use super::names;
use super::path::{Errors, Path};
use super::resources::{amount, quantity};
use super::scheduling;
use super::value::{entries, get, get_mut, has, items, set, take_over, text};

/// What a node can give is all that it has, unless it says otherwise.
pub(crate) fn default(node: &mut Value) {
    if let Some(status) = get_mut(node, "status")
        && !has(status, "allocatable")
        && has(status, "capacity")
    {
        let capacity = get(status, "capacity").clone();
        set(status, "allocatable", capacity);
    }
    // `podCIDR` is the first of `podCIDRs`; where they differ, the single one counts.
    let Some(spec) = get_mut(node, "spec") else { return };
    let one = text(spec, "podCIDR").to_owned();
    let first = items(spec, "podCIDRs").first().and_then(Value::as_str).unwrap_or("").to_owned();
    if one.is_empty() && !first.is_empty() {
        set(spec, "podCIDR", first);
    } else if one != first {
        set(spec, "podCIDRs", serde_json::json!([one]));
    }
}

/// What an update keeps.
pub(crate) fn prepare(subresource: &str, node: &mut Value, old: &Value) {
    take_over(node, if subresource == "status" { "spec" } else { "status" }, old);
}

/// What is wrong with a node.
pub(crate) fn validate(node: &Value, errors: &mut Errors) {
    metadata::validate(node, false, names::subdomain, errors);
    let path = Path::new("metadata");
    let spec = get(node, "spec");
    scheduling::taints(items(spec, "taints"), &path.child("taints"), errors);
    resources(node, errors);
    declared_features(node, errors);
    let ranges = items(spec, "podCIDRs");
    let path = Path::new("spec");
    let path = path.child("podCIDRs");
    for (i, range) in ranges.iter().filter_map(Value::as_str).enumerate() {
        errors.invalid_each(&path.index(i), range, names::cidr(range));
    }
    if ranges.len() > 1 {
        let v4: Vec<bool> = ranges.iter().filter_map(Value::as_str).map(|range| !range.contains(':')).collect();
        if v4.len() > 2 || v4.iter().all(|v| *v) || !v4.iter().any(|v| *v) {
            let shown = get(spec, "podCIDRs").clone();
            errors.invalid(&path, shown, "may specify no more than one CIDR for each IP family");
        }
    }
}

fn resources(node: &Value, errors: &mut Errors) {
    let path = Path::new("status");
    for list in ["capacity", "allocatable"] {
        let path = path.child(list);
        for (name, shown) in entries(get(node, "status"), list) {
            amount(name, shown, quantity(shown), &path.child(name), errors);
        }
    }
}

fn declared_features(node: &Value, errors: &mut Errors) {
    let features = items(get(node, "status"), "declaredFeatures");
    let path = Path::new("status");
    let path = path.child("declaredFeatures");
    let names: Vec<&str> = features.iter().filter_map(Value::as_str).collect();
    for (i, pair) in names.windows(2).enumerate() {
        let [this, next] = pair else { continue };
        if this == next {
            errors.duplicate(&path.index(i + 1), *next);
        } else if this > next {
            errors.invalid(&path.index(i + 1), *next, "list must be sorted alphabetically");
        }
    }
}

/// What is wrong with a change of a node.
pub(crate) fn validate_update(subresource: &str, node: &Value, old: &Value, errors: &mut Errors) {
    if subresource != "status" {
        validate(node, errors);
    }
    metadata::validate_update(node, old, errors);
    resources(node, errors);
    declared_features(node, errors);
    let status = Path::new("status");
    let list = status.child("addresses");
    let addresses = items(get(node, "status"), "addresses");
    for (i, address) in addresses.iter().enumerate() {
        let of = |a: &Value| (text(a, "type").to_owned(), text(a, "address").to_owned());
        if addresses.iter().take(i).any(|a| of(a) == of(address)) {
            let shown = format!("{{\"Type\":{},\"Address\":{}}}", get(address, "type"), get(address, "address"));
            errors.duplicate_text(&list.index(i), &shown);
        }
    }
    let (spec, old_spec) = (get(node, "spec"), get(old, "spec"));
    let path = Path::new("spec");
    let ranges = items(old_spec, "podCIDRs");
    let detail = "node updates may not change podCIDR except from \"\" to valid";
    let now = items(spec, "podCIDRs");
    if !ranges.is_empty() {
        let changed =
            if ranges.len() == now.len() { ranges.iter().zip(now).filter(|(old, new)| old != new).count() } else { 1 };
        for _ in 0..changed {
            errors.forbidden(&path.child("podCIDRs"), detail);
        }
    }
    let provider = text(old_spec, "providerID");
    if !provider.is_empty() && provider != text(spec, "providerID") {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.forbidden(&path.child("providerID"), detail);
    }
    let meta = Path::new("metadata");
    scheduling::taints(items(spec, "taints"), &meta.child("taints"), errors);
    if text(spec, "externalID") != text(old_spec, "externalID") {
        errors.forbidden(&path.child("externalID"), "may not be updated");
    }
}
