//! What a pod asks of the nodes it may run on: tolerations, affinity, spreading, gates. Entry point: [`validate`].

use serde_json::{Value, json};

use super::metadata::{label_selector, labels};
use super::names;
use super::path::{Errors, Path};
use super::value::{entries, get, has, int, items, opt_text, text};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Affinity.
pub(crate) fn affinity(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let affinity = get(spec, "affinity");
    if affinity.is_null() {
        return;
    }
    let path = path.child("affinity");
    let node = get(affinity, "nodeAffinity");
    if !node.is_null() {
        let path = path.child("nodeAffinity");
        if has(node, REQUIRED) {
            node_selector(get(node, REQUIRED), &path.child(REQUIRED), errors);
        }
        let preferred = path.child(PREFERRED);
        for (i, term) in items(node, PREFERRED).iter().enumerate() {
            let path = preferred.index(i);
            weight(term, &path, errors);
            node_selector_term(get(term, "preference"), false, &path.child("preference"), errors);
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pod = get(affinity, kind);
        let path = path.child(kind);
        let required = path.child(REQUIRED);
        for (i, term) in items(pod, REQUIRED).iter().enumerate() {
            pod_affinity_term(term, &required.index(i), errors);
        }
        let preferred = path.child(PREFERRED);
        for (i, term) in items(pod, PREFERRED).iter().enumerate() {
            let path = preferred.index(i);
            weight(term, &path, errors);
            pod_affinity_term(get(term, "podAffinityTerm"), &path.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Value, path: &Path<'_>, errors: &mut Errors) {
    let weight = int(term, "weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

/// A required node selector, as of a pod or a volume.
pub(crate) fn node_selector(selector: &Value, path: &Path<'_>, errors: &mut Errors) {
    let terms = items(selector, "nodeSelectorTerms");
    let path = path.child("nodeSelectorTerms");
    if terms.is_empty() {
        errors.required(&path, "must have at least one node selector term");
    }
    for (i, term) in terms.iter().enumerate() {
        node_selector_term(term, true, &path.index(i), errors);
    }
}

fn node_selector_term(term: &Value, check_values: bool, path: &Path<'_>, errors: &mut Errors) {
    let expressions = path.child("matchExpressions");
    for (i, expression) in items(term, "matchExpressions").iter().enumerate() {
        let path = expressions.index(i);
        let values = items(expression, "values");
        let values_path = path.child("values");
        match text(expression, "operator") {
            "In" | "NotIn" => {
                if values.is_empty() {
                    errors.required(&values_path, "must be specified when `operator` is 'In' or 'NotIn'");
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.forbidden(&values_path, detail);
                }
            }
            "Gt" | "Lt" => {
                if values.len() != 1 {
                    errors.required(&values_path, "must be specified single value when `operator` is 'Lt' or 'Gt'");
                }
            }
            operator => errors.invalid(&path.child("operator"), operator, "not a valid selector operator"),
        }
        let key = text(expression, "key");
        errors.invalid_each(&path.child("key"), key, names::qualified(key));
        if check_values {
            for (i, value) in values.iter().filter_map(Value::as_str).enumerate() {
                errors.invalid_each(&values_path.index(i), value, names::label_value(value));
            }
        }
    }
    let fields = path.child("matchFields");
    for (i, field) in items(term, "matchFields").iter().enumerate() {
        let path = fields.index(i);
        let values = items(field, "values");
        match text(field, "operator") {
            "In" | "NotIn" => {
                if values.len() != 1 {
                    let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                    errors.required(&path.child("values"), detail);
                }
            }
            operator => errors.invalid(&path.child("operator"), operator, "not a valid selector operator"),
        }
        match text(field, "key") {
            "metadata.name" => {
                let values_path = path.child("values");
                for (i, value) in values.iter().filter_map(Value::as_str).enumerate() {
                    errors.invalid_each(&values_path.index(i), value, names::subdomain(value));
                }
            }
            key => errors.invalid(&path.child("key"), key, "not a valid field selector key"),
        }
    }
}

fn pod_affinity_term(term: &Value, path: &Path<'_>, errors: &mut Errors) {
    label_selector(get(term, "labelSelector"), &path.child("labelSelector"), errors);
    label_selector(get(term, "namespaceSelector"), &path.child("namespaceSelector"), errors);
    for name in items(term, "namespaces").iter().filter_map(Value::as_str) {
        errors.invalid_each(&path.child("namespace"), name, names::label(name));
    }
    match_label_keys(term, path, errors);
    let key = text(term, "topologyKey");
    if key.is_empty() {
        errors.required(&path.child("topologyKey"), "can not be empty");
    }
    errors.invalid_each(&path.child("topologyKey"), key, names::qualified(key));
}

fn match_label_keys(term: &Value, path: &Path<'_>, errors: &mut Errors) {
    let selector = get(term, "labelSelector");
    for list in ["matchLabelKeys", "mismatchLabelKeys"] {
        let keys = items(term, list);
        let path = path.child(list);
        if !keys.is_empty() && selector.is_null() {
            errors.forbidden(&path, "must not be specified when labelSelector is not set");
            continue;
        }
        for (i, key) in keys.iter().filter_map(Value::as_str).enumerate() {
            errors.invalid_each(&path.index(i), key, names::qualified(key));
        }
    }
    let keys = items(term, "matchLabelKeys");
    // A key may stand in one requirement, the one made of it on creation; a second one contradicts it.
    let mut seen: Vec<&str> = entries(selector, "matchLabels").map(|(key, _)| key.as_str()).collect();
    for key in items(selector, "matchExpressions").iter().map(|e| text(e, "key")) {
        if let Some(i) = keys.iter().position(|k| k == key)
            && seen.contains(&key)
        {
            errors.invalid(&path.index(i), key, "exists in both matchLabelKeys and labelSelector");
        }
        seen.push(key);
    }
    let path = path.child("matchLabelKeys");
    for (i, key) in keys.iter().enumerate() {
        if items(term, "mismatchLabelKeys").contains(key) {
            errors.invalid(&path.index(i), key.clone(), "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

/// Topology spread constraints.
pub(crate) fn spread_constraints(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let constraints = items(spec, "topologySpreadConstraints");
    let list = path.child("topologySpreadConstraints");
    for (i, constraint) in constraints.iter().enumerate() {
        let path = list.index(i);
        let skew = int(constraint, "maxSkew").unwrap_or(0);
        if skew <= 0 {
            errors.invalid(&path.child("maxSkew"), skew, "must be greater than zero");
        }
        let (key, when) = (text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable"));
        if key.is_empty() {
            errors.required(&path.child("topologyKey"), "can not be empty");
        }
        if !matches!(when, "DoNotSchedule" | "ScheduleAnyway") {
            errors.not_supported(&path.child("whenUnsatisfiable"), when, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        let repeated = constraints
            .iter()
            .skip(i + 1)
            .any(|other| text(other, "topologyKey") == key && text(other, "whenUnsatisfiable") == when);
        if repeated {
            errors.duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {when}}}"));
        }
        if let Some(domains) = int(constraint, "minDomains") {
            if domains <= 0 {
                errors.invalid(&path.child("minDomains"), domains, "must be greater than zero");
            }
            if when != "DoNotSchedule" {
                let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}");
                errors.invalid(&path.child("minDomains"), domains, &detail);
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if let Some(value) = opt_text(constraint, policy).filter(|v| !matches!(*v, "Honor" | "Ignore")) {
                errors.not_supported(&path.child(policy), value, &["Honor", "Ignore"]);
            }
        }
        match_label_keys(constraint, &path, errors);
        label_selector(get(constraint, "labelSelector"), &path.child("labelSelector"), errors);
    }
}

/// Scheduling gates.
pub(crate) fn gates(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let gates = items(spec, "schedulingGates");
    let path = path.child("schedulingGates");
    for (i, gate) in gates.iter().enumerate() {
        let name = text(gate, "name");
        errors.invalid_each(&path.index(i), name, names::qualified(name));
        if gates.iter().take(i).any(|g| text(g, "name") == name) {
            errors.duplicate(&path.index(i), name);
        }
    }
}

/// Tolerations.
pub(crate) fn tolerations(tolerations: &[Value], path: &Path<'_>, errors: &mut Errors) {
    for (i, toleration) in tolerations.iter().enumerate() {
        let path = path.index(i);
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        let (value, effect) = (text(toleration, "value"), text(toleration, "effect"));
        if !key.is_empty() {
            errors.invalid_each(&path.child("key"), key, names::qualified(key));
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&path.child("operator"), operator, detail);
        }
        if has(toleration, "tolerationSeconds") && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.invalid(&path.child("effect"), effect, detail);
        }
        match operator {
            "Equal" | "" => {
                let broken = names::label_value(value);
                if !broken.is_empty() {
                    errors.invalid(&path.child("operator"), value, &broken.join(";"));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    let detail = "value must be empty when `operator` is 'Exists'";
                    errors.invalid(&path.child("operator"), value, detail);
                }
            }
            "Lt" | "Gt" => {
                errors.not_supported(&path.child("operator"), operator, &["Equal", "Exists", "Lt", "Gt"]);
            }
            _ => errors.not_supported(&path.child("operator"), operator, &["Equal", "Exists"]),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            errors.not_supported(&path.child("effect"), effect, &EFFECTS);
        }
    }
}

/// Taints of a node.
pub(crate) fn taints(taints: &[Value], path: &Path<'_>, errors: &mut Errors) {
    for (i, taint) in taints.iter().enumerate() {
        let path = path.index(i);
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        errors.invalid_each(&path.child("key"), key, names::qualified(key));
        let broken = names::label_value(value);
        if !broken.is_empty() {
            errors.invalid(&path.child("value"), value, &broken.join(";"));
        }
        if effect.is_empty() {
            errors.required(&path.child("effect"), "");
        } else if !EFFECTS.contains(&effect) {
            errors.not_supported(&path.child("effect"), effect, &EFFECTS);
        }
        if taints.iter().take(i).any(|t| text(t, "key") == key && text(t, "effect") == effect) {
            let shown = format!(
                "{{\"Key\":{},\"Value\":{},\"Effect\":{},\"TimeAdded\":{}}}",
                json!(key),
                json!(value),
                json!(effect),
                get(taint, "timeAdded")
            );
            errors.duplicate_text(&path, &shown);
            errors.detail("taints must be unique by key and effect pair");
        }
    }
}

/// Only additions may be made to a gated pod's node selector.
pub(crate) fn node_selector_tightened(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let kept = entries(old, "nodeSelector").all(|(key, value)| get(new, "nodeSelector").get(key) == Some(value));
    if !kept {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        let shown = get(new, "nodeSelector").clone();
        errors.invalid(&path.child("nodeSelector"), shown, detail);
    }
}

/// Only additions may be made to the terms of a gated pod's node affinity.
pub(crate) fn node_affinity_tightened(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let of = |affinity: &Value| get(get(affinity, REQUIRED), "nodeSelectorTerms").clone();
    if !has(old, REQUIRED) {
        return;
    }
    let (old_terms, new_terms) = (of(old), of(new));
    let old_terms = old_terms.as_array().map_or(&[][..], Vec::as_slice);
    let terms = new_terms.as_array().map_or(&[][..], Vec::as_slice);
    let path = path.child(REQUIRED);
    let path = path.child("nodeSelectorTerms");
    if !old_terms.is_empty() && old_terms.len() != terms.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.invalid(&path, shown_terms(terms), detail);
        return;
    }
    for (i, (new, old)) in terms.iter().zip(old_terms).enumerate() {
        if !only_added_to(new, old) {
            let detail = "only additions are allowed (no mutations or deletions)";
            errors.invalid(&path.index(i), shown_term(new), detail);
        }
    }
}

fn only_added_to(new: &Value, old: &Value) -> bool {
    let lists = ["matchExpressions", "matchFields"];
    let empty = lists.iter().all(|list| items(old, list).is_empty());
    if empty {
        return lists.iter().all(|list| items(new, list).is_empty());
    }
    lists.iter().all(|list| {
        let (new, old) = (items(new, list), items(old, list));
        new.len() >= old.len() && new.iter().zip(old).all(|(n, o)| super::value::same(n, o))
    })
}

fn shown_terms(terms: &[Value]) -> Value {
    if terms.is_empty() { Value::Null } else { Value::Array(terms.iter().map(shown_term).collect()) }
}

/// A term as the server's own types are written.
fn shown_term(term: &Value) -> Value {
    let list = |key: &str| {
        let list = items(term, key);
        if list.is_empty() {
            return Value::Null;
        }
        let shown = list
            .iter()
            .map(|r| json!({ "Key": get(r, "key"), "Operator": get(r, "operator"), "Values": get(r, "values") }));
        Value::Array(shown.collect())
    };
    json!({ "MatchExpressions": list("matchExpressions"), "MatchFields": list("matchFields") })
}

/// The node selector of a pod.
pub(crate) fn node_labels(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    labels(get(spec, "nodeSelector"), &path.child("nodeSelector"), errors);
}
