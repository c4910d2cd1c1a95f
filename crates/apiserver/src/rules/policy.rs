//! Disruption budgets, priority classes, leases, quotas and limit ranges: what they are filled in with and must be.

use serde_json::Value;

use super::metadata::{self, label_selector};
use super::names;
use super::path::{Errors, Path};
use super::pod_validation::preemption_policy;
use super::resources::{amount, container_resource_name, is_quota_resource, quantity, resource_name};
use super::value::{
    at, count, default_text, entries, entry, flag, get, get_mut, has, int, items, items_mut, object, opt_text, remove,
    text,
};
use super::workloads::{at_most_100_percent, int_or_percent};

const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// What is wrong with a disruption budget; its metadata is checked with every object's.
pub(crate) fn validate_budget(budget: &Value, errors: &mut Errors) {
    let spec = get(budget, "spec");
    let path = Path::new("spec");
    let keys = ["minAvailable", "maxUnavailable"];
    if keys.iter().all(|key| has(spec, key)) {
        let shown = format!(
            "{{\"MinAvailable\":{},\"Selector\":{},\"MaxUnavailable\":{},\"UnhealthyPodEvictionPolicy\":{}}}",
            get(spec, "minAvailable"),
            get(spec, "selector"),
            get(spec, "maxUnavailable"),
            get(spec, "unhealthyPodEvictionPolicy"),
        );
        errors.invalid_text(&path, &shown, "minAvailable and maxUnavailable cannot be both set");
    }
    for key in keys {
        let value = get(spec, key);
        int_or_percent(value, &path.child(key), errors);
        at_most_100_percent(value, &path.child(key), errors);
    }
    label_selector(get(spec, "selector"), &path.child("selector"), errors);
    let policy = opt_text(spec, "unhealthyPodEvictionPolicy");
    if let Some(policy) = policy.filter(|p| !matches!(*p, "AlwaysAllow" | "IfHealthyBudget")) {
        let path = path.child("unhealthyPodEvictionPolicy");
        errors.not_supported(&path, policy, &["AlwaysAllow", "IfHealthyBudget"]);
    }
}

/// What is wrong with a change of a disruption budget.
pub(crate) fn validate_budget_update(subresource: &str, budget: &Value, _old: &Value, errors: &mut Errors) {
    if subresource != "status" {
        validate_budget(budget, errors);
        return;
    }
    let status = get(budget, "status");
    let path = Path::new("status");
    conditions(status, &path.child("conditions"), errors);
    for key in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        errors.nonnegative(&path.child(key), int(status, key));
    }
}

fn conditions(status: &Value, list: &Path<'_>, errors: &mut Errors) {
    let conditions = items(status, "conditions");
    for (i, condition) in conditions.iter().enumerate() {
        let path = list.index(i);
        let kind = text(condition, "type");
        if conditions.iter().take(i).any(|c| text(c, "type") == kind) {
            errors.duplicate(&path.child("type"), kind);
        }
        errors.invalid_each(&path.child("type"), kind, names::qualified(kind));
        let value = text(condition, "status");
        if !matches!(value, "True" | "False" | "Unknown") {
            errors.not_supported(&path.child("status"), value, &["False", "True", "Unknown"]);
        }
        if let Some(generation) = int(condition, "observedGeneration").filter(|g| *g < 0) {
            let detail = "must be greater than or equal to zero";
            errors.invalid(&path.child("observedGeneration"), generation, detail);
        }
        if !has(condition, "lastTransitionTime") {
            errors.required(&path.child("lastTransitionTime"), "");
        }
        let reason = text(condition, "reason");
        if reason.is_empty() {
            errors.required(&path.child("reason"), "");
        } else if !is_reason(reason) {
            errors.invalid(
                &path.child("reason"),
                reason,
                "a condition reason must start with alphabetic character, optionally followed by a string of \
                 alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  \
                 or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
                 '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')",
            );
        }
    }
}

fn is_reason(reason: &str) -> bool {
    let bytes = reason.as_bytes();
    let end = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(|b| end(*b))
        && bytes.iter().all(|b| end(*b) || matches!(b, b',' | b':'))
}

/// Defaults of a priority class.
pub(crate) fn default_priority_class(class: &mut Value) {
    default_text(class, "preemptionPolicy", "PreemptLowerPriority");
}

/// What is wrong with a priority class.
pub(crate) fn validate_priority_class(class: &Value, errors: &mut Errors) {
    metadata::validate(class, false, names::subdomain, errors);
    let name = text(get(class, "metadata"), "name");
    let value = int(class, "value").unwrap_or(0);
    if name.starts_with("system-") {
        let why = match SYSTEM_CLASSES.iter().find(|(system, _)| *system == name) {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, fixed)) if *fixed != value => Some(format!("value of {name} PriorityClass must be {fixed}")),
            Some(_) if flag(class, "globalDefault") == Some(true) => {
                Some(format!("globalDefault of {name} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(why) = why {
            let detail =
                format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
            errors.forbidden(&Path::new("metadata").child("name"), &detail);
        }
    } else if value > HIGHEST_USER_PRIORITY {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}");
        errors.forbidden(&Path::new("value"), &detail);
    }
    preemption_policy(class, &Path::ROOT, errors);
}

/// What is wrong with a change of a priority class.
pub(crate) fn validate_priority_class_update(_subresource: &str, class: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(class, old, errors);
    if int(class, "value").unwrap_or(0) != int(old, "value").unwrap_or(0) {
        errors.forbidden(&Path::new("value"), "may not be changed in an update.");
    }
    let key = "preemptionPolicy";
    errors.immutable(&Path::new(key), get(class, key), get(old, key));
}

/// Leases that several candidates coordinate are not served: what is only for them is dropped.
pub(crate) fn prepare_lease(lease: &mut Value) {
    if let Some(spec) = get_mut(lease, "spec") {
        remove(spec, "strategy");
        remove(spec, "preferredHolder");
    }
}

/// What is wrong with a lease.
pub(crate) fn validate_lease(lease: &Value, errors: &mut Errors) {
    metadata::validate_plain(lease, true, names::subdomain, errors);
    lease_spec(lease, errors);
}

/// What is wrong with a change of a lease.
pub(crate) fn validate_lease_update(_subresource: &str, lease: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_plain_update(lease, old, errors);
    lease_spec(lease, errors);
}

fn lease_spec(lease: &Value, errors: &mut Errors) {
    let spec = get(lease, "spec");
    let path = Path::new("spec");
    if let Some(seconds) = int(spec, "leaseDurationSeconds").filter(|s| *s <= 0) {
        errors.invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    errors.nonnegative(&path.child("leaseTransitions"), int(spec, "leaseTransitions"));
}

/// Limits of containers follow their maxima, requests follow limits and minima.
pub(crate) fn default_limit_range(range: &mut Value) {
    let Some(spec) = get_mut(range, "spec") else { return };
    for item in items_mut(spec, "limits") {
        if text(item, "type") != "Container" {
            continue;
        }
        for (to, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
            let source = get(item, from).clone();
            let missing = source.as_object().into_iter().flatten();
            let target = object(entry(item, to));
            for (name, amount) in missing {
                target.entry(name.clone()).or_insert_with(|| amount.clone());
            }
        }
    }
}

/// What is wrong with a limit range.
pub(crate) fn validate_limit_range(range: &Value, errors: &mut Errors) {
    metadata::validate(range, true, names::subdomain, errors);
    let path = Path::new("spec");
    let list = path.child("limits");
    let limits = items(get(range, "spec"), "limits");
    for (i, limit) in limits.iter().enumerate() {
        let path = list.index(i);
        let kind = text(limit, "type");
        let broken = names::qualified(kind);
        if broken.is_empty() && !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
            let detail = "must be a standard limit type or fully qualified";
            errors.invalid(&path.child("type"), kind, detail);
        }
        errors.invalid_each(&path.child("type"), kind, broken);
        if limits.iter().take(i).any(|l| text(l, "type") == kind) {
            errors.duplicate(&path.child("type"), kind);
        }
        limit_bounds(limit, kind, &path, errors);
    }
}

fn limit_bounds(limit: &Value, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let of_pods = kind == "Pod";
    for bound in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let bound_path = path.child(bound);
        if of_pods && bound.starts_with("default") {
            if count(limit, bound) > 0 {
                errors.forbidden(&bound_path, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        for (name, _) in entries(limit, bound) {
            let path = bound_path.key(name);
            if of_pods || kind == "Container" {
                container_resource_name(name, &path, errors);
            } else {
                resource_name(name, &path, errors);
            }
        }
    }
    let of_storage = |bound| has(get(limit, bound), "storage");
    if kind == "PersistentVolumeClaim" && !of_storage("min") && !of_storage("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.required(&path.child("limits"), detail);
    }
    // Lower bound, upper bound, which of them is to blame, which value is shown, and their names in the text.
    let orders = [
        ("min", "max", "min", "min", "min", "max"),
        ("min", "defaultRequest", "defaultRequest", "defaultRequest", "min", "default request"),
        ("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request", "max"),
        ("defaultRequest", "default", "defaultRequest", "defaultRequest", "default request", "default limit"),
        ("min", "default", "default", "min", "min", "default"),
        ("default", "max", "default", "max", "default", "max"),
    ];
    for (low, high, blamed, shown, low_name, high_name) in orders {
        if of_pods && (low.starts_with("default") || high.starts_with("default")) {
            continue;
        }
        let blamed_path = path.child(blamed);
        for (name, value) in entries(limit, low) {
            let other = at(limit, &[high, name]);
            if !other.is_null() && quantity(value) > quantity(other) {
                let (below, above) = (value.as_str().unwrap_or(""), other.as_str().unwrap_or(""));
                let detail = format!("{low_name} value {below} is greater than {high_name} value {above}");
                let shown = if shown == low { value } else { other };
                errors.invalid(&blamed_path.key(name), shown.clone(), &detail);
            }
        }
    }
    let ratio_path = path.child("maxLimitRequestRatio");
    for (name, ratio) in entries(limit, "maxLimitRequestRatio") {
        if quantity(ratio) < quantity(&Value::from("1")) {
            let detail = format!("ratio {} is less than 1", ratio.as_str().unwrap_or(""));
            errors.invalid(&ratio_path.key(name), ratio.clone(), &detail);
        }
    }
}

/// What is wrong with a quota.
pub(crate) fn validate_quota(quota: &Value, errors: &mut Errors) {
    metadata::validate(quota, true, names::subdomain, errors);
    let spec = get(quota, "spec");
    let path = Path::new("spec");
    quota_amounts(spec, "hard", &path, errors);
    let scopes = items(spec, "scopes");
    let scopes_path = path.child("scopes");
    let shown = || Value::from(scopes.to_vec());
    for scope in scopes.iter().filter_map(Value::as_str) {
        if !is_quota_scope(scope) {
            errors.invalid(&scopes_path, shown(), "unsupported scope");
        }
        for (name, _) in entries(spec, "hard") {
            if is_quota_resource(name) && !scope_covers(scope, name) {
                errors.invalid(&scopes_path, shown(), "unsupported scope applied to resource");
            }
        }
    }
    let named = |name: &str| scopes.iter().any(|s| s.as_str() == Some(name));
    for (one, other) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if named(one) && named(other) {
            errors.invalid(&scopes_path, shown(), "conflicting scopes");
        }
    }
}

/// What is wrong with a change of a quota or of its status.
pub(crate) fn validate_quota_update(subresource: &str, quota: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(quota, old, errors);
    if subresource == "status" {
        let status = get(quota, "status");
        let path = Path::new("status");
        quota_amounts(status, "hard", &path, errors);
        quota_amounts(status, "used", &path, errors);
        return;
    }
    validate_quota(quota, errors);
    let sorted = |object| {
        let mut scopes: Vec<_> = items(get(object, "spec"), "scopes").iter().filter_map(Value::as_str).collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    };
    if sorted(quota) != sorted(old) {
        let path = Path::new("spec");
        errors.invalid(&path.child("scopes"), at(quota, &["spec", "scopes"]).clone(), "field is immutable");
    }
}

fn quota_amounts(holder: &Value, key: &str, path: &Path<'_>, errors: &mut Errors) {
    let path = path.child(key);
    for (name, shown) in entries(holder, key) {
        let path = path.key(name);
        resource_name(name, &path, errors);
        if !name.contains('/') && !is_quota_resource(name) {
            errors.invalid(&path, name.as_str(), "must be a standard resource for quota");
        }
        amount(name, shown, quantity(shown), &path, errors);
    }
}

fn is_quota_scope(scope: &str) -> bool {
    matches!(
        scope,
        "Terminating"
            | "NotTerminating"
            | "BestEffort"
            | "NotBestEffort"
            | "PriorityClass"
            | "CrossNamespacePodAffinity"
            | "VolumeAttributesClass"
    )
}

/// Whether a quota with a scope can count a resource.
fn scope_covers(scope: &str, resource: &str) -> bool {
    let is_compute =
        matches!(resource, "cpu" | "memory" | "limits.cpu" | "limits.memory" | "requests.cpu" | "requests.memory");
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        scope if is_quota_scope(scope) => resource == "pods" || is_compute,
        _ => true,
    }
}
