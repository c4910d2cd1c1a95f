//! Disruption budgets, priority classes, leases, quotas and limit ranges: what they are filled in with and must be.

use serde_json::Value;

use super::metadata::{self, label_selector};
use super::names;
use super::path::{Errors, Path};
use super::pod_validation::preemption_policy;
use super::resources::{amount, quantity};
use super::value::{
    at, default_text, entries, entry, flag, get, get_mut, has, int, items, items_mut, object, opt_text, remove, text,
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
        errors.invalid_each(&path.child("type"), kind, names::qualified(kind));
        if !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
            let detail = "must be a standard limit type or fully qualified";
            errors.invalid(&path.child("type"), kind, detail);
        }
        if limits.iter().take(i).any(|l| text(l, "type") == kind) {
            errors.duplicate(&path.child("type"), kind);
        }
        for bound in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            let bound_path = path.child(bound);
            for (name, shown) in entries(limit, bound) {
                let path = bound_path.key(name);
                errors.invalid_each(&path, name, names::qualified(name));
                amount(name, shown, quantity(shown), &path, errors);
            }
        }
        for (low, high) in [("min", "max"), ("min", "defaultRequest"), ("defaultRequest", "max"), ("default", "max")] {
            let low_path = path.child(low);
            for (name, shown) in entries(limit, low) {
                let other = at(limit, &[high, name]);
                if !other.is_null() && quantity(shown) > quantity(other) {
                    let (shown, other) = (shown.as_str().unwrap_or(""), other.as_str().unwrap_or(""));
                    let detail = format!("{low} value {shown} is greater than {high} value {other}");
                    errors.invalid(&low_path.key(name), shown, &detail);
                }
            }
        }
    }
}

/// What is wrong with a quota.
pub(crate) fn validate_quota(quota: &Value, errors: &mut Errors) {
    metadata::validate(quota, true, names::subdomain, errors);
    let path = Path::new("spec");
    let path = path.child("hard");
    for (name, shown) in entries(get(quota, "spec"), "hard") {
        errors.invalid_each(&path.key(name), name, names::qualified(name));
        amount(name, shown, quantity(shown), &path.key(name), errors);
    }
}
