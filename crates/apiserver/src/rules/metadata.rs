//! Rules of `metadata` that every kind shares, and of label selectors. Entry points: [`validate`] and [`validate_update`].

use augur_notation::LabelSelector;
use serde_json::Value;

use super::names::{self, NameCheck};
use super::path::{Errors, Path};
use super::value::{at, entries, flag, get, has, int, items, same, text};

const MAX_ANNOTATIONS: usize = 256 * 1024;

/// What is wrong with the metadata of a new object of a kind whose names follow `name_check`.
pub(crate) fn validate(object: &Value, namespaced: bool, name_check: NameCheck, errors: &mut Errors) {
    common(object, namespaced, name_check, errors);
    let meta = get(object, "metadata");
    validate_finalizer_forms(meta, &Path::new("metadata"), errors);
}

/// The same for kinds whose finalizers need no known name.
pub(crate) fn validate_plain(object: &Value, namespaced: bool, name_check: NameCheck, errors: &mut Errors) {
    common(object, namespaced, name_check, errors);
}

/// What of the metadata may not change, for kinds whose finalizers need no known name.
pub(crate) fn validate_plain_update(object: &Value, old: &Value, errors: &mut Errors) {
    unchanged(object, old, errors);
}

fn common(object: &Value, namespaced: bool, name_check: NameCheck, errors: &mut Errors) {
    let meta = get(object, "metadata");
    let path = Path::new("metadata");
    let generate_name = text(meta, "generateName");
    if !generate_name.is_empty() {
        let masked = names::masked_prefix(generate_name);
        errors.invalid_each(&path.child("generateName"), generate_name, name_check(&masked));
    }
    let name = text(meta, "name");
    if name.is_empty() {
        errors.required(&path.child("name"), "name or generateName is required");
    } else {
        errors.invalid_each(&path.child("name"), name, name_check(name));
    }
    let namespace = text(meta, "namespace");
    if namespaced {
        if namespace.is_empty() {
            errors.required(&path.child("namespace"), "");
        } else {
            errors.invalid_each(&path.child("namespace"), namespace, names::label(namespace));
        }
    } else if !namespace.is_empty() {
        errors.forbidden(&path.child("namespace"), "not allowed on this type");
    }
    errors.nonnegative(&path.child("generation"), int(meta, "generation"));
    labels(get(meta, "labels"), &path.child("labels"), errors);
    annotations(get(meta, "annotations"), &path.child("annotations"), errors);
    owner_references(meta, &path.child("ownerReferences"), errors);
    finalizers(meta, &path.child("finalizers"), errors);
}

/// What every kind's update is checked for before its own rules: the metadata as such, and what of it may not change.
pub(crate) fn validate_common_update(object: &Value, old: &Value, namespaced: bool, errors: &mut Errors) {
    common(object, namespaced, names::path_segment, errors);
    unchanged(object, old, errors);
}

/// What of the metadata may not change, as each kind's own update rules have it.
pub(crate) fn validate_update(object: &Value, old: &Value, errors: &mut Errors) {
    unchanged(object, old, errors);
    validate_finalizer_forms(get(object, "metadata"), &Path::new("metadata"), errors);
}

fn unchanged(object: &Value, old: &Value, errors: &mut Errors) {
    let (meta, old_meta) = (get(object, "metadata"), get(old, "metadata"));
    let path = Path::new("metadata");
    if has(old_meta, "deletionTimestamp") {
        let mut added: Vec<&str> = items(meta, "finalizers")
            .iter()
            .filter(|f| !items(old_meta, "finalizers").contains(f))
            .filter_map(Value::as_str)
            .collect();
        if !added.is_empty() {
            added.sort_unstable();
            added.dedup();
            let list: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            );
            errors.forbidden(&path.child("finalizers"), &detail);
        }
    }
    if text(meta, "resourceVersion").is_empty() {
        errors.invalid(&path.child("resourceVersion"), "", "must be specified for an update");
    }
    let generation = int(meta, "generation").unwrap_or(0);
    if generation < int(old_meta, "generation").unwrap_or(0) {
        errors.invalid(&path.child("generation"), generation, "must not be decremented");
    }
    for key in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        errors.immutable(&path.child(key), get(meta, key), get(old_meta, key));
    }
    labels(get(meta, "labels"), &path.child("labels"), errors);
    annotations(get(meta, "annotations"), &path.child("annotations"), errors);
    owner_references(meta, &path.child("ownerReferences"), errors);
}

/// Labels, or a node selector.
pub(crate) fn labels(labels: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        errors.invalid_each(path, key, names::qualified(key));
        let value = value.as_str().unwrap_or("");
        errors.invalid_each(path, value, names::label_value(value));
    }
}

/// Annotations.
pub(crate) fn annotations(annotations: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        let broken = if key.bytes().any(|b| b.is_ascii_uppercase()) {
            names::qualified(&key.to_lowercase())
        } else {
            names::qualified(key)
        };
        errors.invalid_each(path, key, broken);
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATIONS {
        errors.too_long(path, MAX_ANNOTATIONS);
    }
}

fn owner_references(meta: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut controller: Option<String> = None;
    for reference in items(meta, "ownerReferences") {
        let api_version = text(reference, "apiVersion");
        let version = api_version.rsplit_once('/').map_or(api_version, |(_, version)| version);
        if version.is_empty() {
            errors.invalid(&path.child("apiVersion"), api_version, "version must not be empty");
        }
        for key in ["kind", "name", "uid"] {
            if text(reference, key).is_empty() {
                errors.invalid(&path.child(key), "", "must not be empty");
            }
        }
        if api_version == "v1" && text(reference, "kind") == "Event" {
            errors.invalid(path, reference.clone(), "/v1, Kind=Event is disallowed from being an owner");
        }
        if flag(reference, "controller") == Some(true) {
            let this = format!("{}/{}", text(reference, "kind"), text(reference, "name"));
            match &controller {
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    errors.invalid(path, get(meta, "ownerReferences").clone(), &detail);
                }
                None => controller = Some(this),
            }
        }
    }
}

fn finalizers(meta: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = items(meta, "finalizers");
    for finalizer in list.iter().filter_map(Value::as_str) {
        errors.invalid_each(path, finalizer, names::qualified(finalizer));
    }
    let held = |name: &str| list.iter().any(|f| f == name);
    if held("orphan") && held("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.invalid(path, get(meta, "finalizers").clone(), detail);
    }
}

/// Finalizers without a domain must be those of Kubernetes itself.
fn validate_finalizer_forms(meta: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.child("finalizers");
    for (i, finalizer) in items(meta, "finalizers").iter().filter_map(Value::as_str).enumerate() {
        finalizer_form(finalizer, &path.index(i), errors);
    }
}

/// A finalizer without a domain must be one of Kubernetes' own.
pub(crate) fn finalizer_form(finalizer: &str, path: &Path<'_>, errors: &mut Errors) {
    if !finalizer.contains('/') && !matches!(finalizer, "kubernetes" | "orphan" | "foregroundDeletion") {
        errors.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

/// A label selector; nothing is wrong with none.
pub(crate) fn label_selector(selector: &Value, path: &Path<'_>, errors: &mut Errors) {
    labels(get(selector, "matchLabels"), &path.child("matchLabels"), errors);
    let expressions = path.child("matchExpressions");
    for (i, expression) in items(selector, "matchExpressions").iter().enumerate() {
        let path = expressions.index(i);
        let values = items(expression, "values");
        match text(expression, "operator") {
            "In" | "NotIn" => {
                if values.is_empty() {
                    errors.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.forbidden(&path.child("values"), detail);
                }
            }
            operator => errors.invalid(&path.child("operator"), operator, "not a valid selector operator"),
        }
        let key = text(expression, "key");
        errors.invalid_each(&path.child("key"), key, names::qualified(key));
        let values_path = path.child("values");
        for (i, value) in values.iter().filter_map(Value::as_str).enumerate() {
            errors.invalid_each(&values_path.index(i), value, names::label_value(value));
        }
    }
}

/// Whether a selector selects by anything at all.
pub(crate) fn selector_is_empty(selector: &Value) -> bool {
    at(selector, &["matchLabels"]).as_object().is_none_or(serde_json::Map::is_empty)
        && items(selector, "matchExpressions").is_empty()
}

/// Whether a selector matches labels; `None` when its form is broken. No selector matches nothing.
pub(crate) fn selector_matches(selector: &Value, labels: &Value) -> Option<bool> {
    if selector.is_null() {
        return Some(false);
    }
    let equal = entries(selector, "matchLabels").map(|(key, value)| (key.as_str(), value.as_str().unwrap_or("")));
    let expressions = items(selector, "matchExpressions").iter().map(|expression| {
        let values = items(expression, "values").iter().filter_map(Value::as_str).collect();
        (text(expression, "key"), text(expression, "operator"), values)
    });
    let selector = LabelSelector::structured(equal, expressions).ok()?;
    Some(selector.matches(|key| labels.get(key).and_then(Value::as_str)))
}

/// Before the kind's own preparation of an update: the generation is the server's.
pub(crate) fn keep_generation(object: &mut Value, old: &Value) {
    let meta = super::value::entry(object, "metadata");
    super::value::take_over(meta, "generation", get(old, "metadata"));
}

/// After the kind's own preparation of an update: what of the metadata is the server's.
pub(crate) fn keep_server_fields(object: &mut Value, old: &Value) {
    let old_meta = get(old, "metadata");
    let meta = super::value::entry(object, "metadata");
    if text(meta, "uid").is_empty() {
        super::value::take_over(meta, "uid", old_meta);
    }
    super::value::take_over(meta, "creationTimestamp", old_meta);
    if has(old_meta, "deletionTimestamp") {
        super::value::take_over(meta, "deletionTimestamp", old_meta);
    }
    if has(old_meta, "deletionGracePeriodSeconds") && !has(meta, "deletionGracePeriodSeconds") {
        super::value::take_over(meta, "deletionGracePeriodSeconds", old_meta);
    }
}

/// Raises the generation over the old one.
pub(crate) fn raise_generation(object: &mut Value, old: &Value) {
    let generation = int(get(old, "metadata"), "generation").unwrap_or(0) + 1;
    super::value::set(super::value::entry(object, "metadata"), "generation", generation);
}

/// Raises the generation if `spec` changed.
pub(crate) fn raise_if_spec_changed(object: &mut Value, old: &Value) {
    if !same(get(object, "spec"), get(old, "spec")) {
        raise_generation(object, old);
    }
}
