//! Field ownership: `metadata.managedFields`, and server-side apply on top of it.
//!
//! [`track_update`] records an ordinary write, [`apply`] is server-side apply. Both see an object before admission and
//! before the rules that clear or set fields on writing, as the real API server does.

mod entries;
mod set;
mod walk;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::entries::{Entries, Entry, Operation};
use self::set::Set;
use self::walk::Shape;
use crate::error::ApiError;
use crate::schema::{self, Decoded, FieldValidation, Type};

/// Who writes.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// The `apiVersion` in which the write was made.
    pub api_version: &'a str,
    /// The subresource written through; empty for the object itself.
    pub subresource: &'a str,
    /// When.
    pub now: Timestamp,
}

impl Writer<'_> {
    fn entry(&self, operation: Operation, set: Set) -> Entry {
        Entry {
            manager: if self.manager.is_empty() { "unknown" } else { self.manager }.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
            time: Some(self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            set,
        }
    }
}

/// Records an ordinary write (create, update, patch): `new`, decoded and defaulted but not yet admitted, gets its
/// `managedFields`. `live` is the object before, none on creation.
///
/// The writer comes to own what it changed, others lose it. A write that changes nothing leaves the entries as they were.
/// An empty list of `managedFields`, or a list with one empty entry, ends the tracking.
pub fn track_update(ty: &'static Type, live: Option<&Value>, new: &mut Value, by: &Writer<'_>) {
    let given = take_managed_fields(new);
    let live_list = live.and_then(managed_fields);
    let of_live = || live_list.cloned().and_then(Entries::read).unwrap_or_default();
    let mut entries = match given {
        // Mostly the list came along unchanged.
        Some(list) if !by.subresource.is_empty() && Some(&list) != live_list => of_live(),
        Some(list) if is_reset(&list) => Entries::default(),
        Some(list) => Entries::read(list).unwrap_or_else(of_live),
        None => of_live(),
    };
    if entries.0.is_empty() && live.is_some() {
        return;
    }
    record(ty, live, new, &mut entries, by);
    entries.cap();
    entries.write(new);
}

/// Gives the writer what it changed between two objects, and takes it from the others.
fn record(ty: &'static Type, live: Option<&Value>, new: &Value, entries: &mut Entries, by: &Writer<'_>) {
    let nothing;
    let old = if let Some(live) = live {
        live
    } else {
        nothing = schema::zero_object(ty);
        &nothing
    };
    let mut diff = walk::diff(Shape::Struct(ty), Some(old), Some(new));
    for set in [&mut diff.added, &mut diff.removed, &mut diff.modified] {
        keep_writable(ty, by.subresource, set);
    }
    let mut changed = diff.modified;
    changed.union(diff.added);
    for entry in &mut entries.0 {
        entry.set.subtract(&changed);
        entry.set.subtract(&diff.removed);
    }
    entries.0.retain(|entry| !entry.set.is_empty());
    strip(&mut changed);
    if changed.is_empty() {
        return;
    }
    let mut own = by.entry(Operation::Update, changed);
    if let Some(at) = entries.position(&own) {
        own.set.union(std::mem::take(&mut entries.0[at].set));
        entries.0[at] = own;
    } else {
        entries.0.push(own);
    }
}

/// Records a write through the `scale` subresource: its writer comes to own the replicas, without a time, as the real API
/// server leaves it out there. `new` is the scaled object itself.
pub fn track_scale(live: &Value, new: &mut Value, by: &Writer<'_>) {
    take_managed_fields(new);
    let mut entries = managed_fields(live).cloned().and_then(Entries::read).unwrap_or_default();
    if live.pointer("/spec/replicas") != new.pointer("/spec/replicas") {
        let replicas = Set::of_path(&["spec", "replicas"]);
        for entry in &mut entries.0 {
            entry.set.subtract(&replicas);
        }
        entries.0.retain(|entry| !entry.set.is_empty());
        let mut own = by.entry(Operation::Update, replicas);
        own.time = None;
        "scale".clone_into(&mut own.subresource);
        entries.0.push(own);
    }
    entries.write(new);
}

/// Takes the times of the entries back to those of `live` when nothing else differs, so that such a write is none: a
/// configuration may say the same as the object in other words, such as `0.5` for `500m`.
fn settle_times(live: &Value, new: &mut Value) {
    let (Some(old_list), Some(new_list)) = (managed_fields(live), managed_fields(new)) else { return };
    if old_list.len() != new_list.len() || old_list == new_list {
        return;
    }
    let without_time = |entry: &Value| -> Map<String, Value> {
        let mut map = entry.as_object().cloned().unwrap_or_default();
        map.remove("time");
        map
    };
    let same_entries = old_list.iter().all(|old| new_list.iter().any(|new| without_time(old) == without_time(new)));
    if !same_entries || !same_but_for_entries(live, new) {
        return;
    }
    let old_list = old_list.to_vec();
    new["metadata"]["managedFields"] = Value::Array(old_list);
}

fn same_but_for_entries(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    let metadata = |map: &Map<String, Value>| -> Vec<(String, Value)> {
        let members = map.get("metadata").and_then(Value::as_object).into_iter().flatten();
        let members = members.filter(|(name, _)| !matches!(name.as_str(), "managedFields" | "resourceVersion"));
        members.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    a.len() == b.len()
        && a.iter().all(|(name, value)| name == "metadata" || b.get(name) == Some(value))
        && metadata(a) == metadata(b)
}

/// Applies a configuration (the body of a server-side apply, YAML or JSON) to the live object, or to none. The result is
/// decoded but not defaulted, and carries its `managedFields`.
///
/// # Errors
/// 400 for a body that is not an object of the type or that has `managedFields`; 500 for fields that the type does not
/// have (as the real API server answers); 409 with the conflicting fields as causes, unless `force`.
pub fn apply(
    ty: &'static Type,
    live: Option<&Value>,
    raw: &[u8],
    validation: FieldValidation,
    force: bool,
    by: &Writer<'_>,
) -> Result<Decoded, ApiError> {
    let (config, duplicates) =
        schema::parse_yaml(raw).map_err(|why| ApiError::bad_request(format!("error decoding YAML: {HEAD}{why}")))?;
    check_config(ty, &config, by)?;
    let nothing;
    let live = if let Some(live) = live {
        live
    } else {
        nothing = schema::zero_object(ty);
        &nothing
    };
    let mut entries = managed_fields(live).cloned().and_then(Entries::read).unwrap_or_default();
    if entries.0.is_empty() {
        let before = Writer { manager: "before-first-apply", ..*by };
        record(ty, None, live, &mut entries, &before);
    }
    let shape = Shape::Struct(ty);
    let merged = walk::merge(shape, Some(live), Some(&config)).unwrap_or_else(|| live.clone());
    let mut set = walk::field_set(shape, &config);
    keep_writable(ty, by.subresource, &mut set);
    let mut own = by.entry(Operation::Apply, set);
    own.time = None;
    let before = entries.position(&own).map(|at| entries.0.remove(at));
    let mut result = match &before {
        Some(before) if !before.set.is_empty() => prune(shape, &merged, &before.set, &own.set, &entries),
        _ => merged,
    };
    let mut diff = walk::diff(shape, Some(live), Some(&result));
    for set in [&mut diff.added, &mut diff.removed, &mut diff.modified] {
        keep_writable(ty, by.subresource, set);
    }
    let mut changed = diff.modified;
    changed.union(diff.added);
    if !force {
        let allowed = if by.manager == "kubectl" { last_applied(ty, live) } else { None };
        refuse_conflicts(&entries, &changed, allowed.as_ref())?;
    }
    for entry in &mut entries.0 {
        entry.set.subtract(&changed);
        entry.set.subtract(&diff.removed);
    }
    let effective = result != *live;
    strip(&mut own.set);
    own.time = if effective { by.entry(Operation::Apply, Set::default()).time } else { before.and_then(|e| e.time) };
    entries.0.push(own);
    entries.0.retain(|entry| !entry.set.is_empty());
    if !effective {
        result = live.clone();
    }
    if by.manager == "kubectl" {
        renew_last_applied(&mut result, &config);
    }
    if let (Some(why), FieldValidation::Strict) = (&duplicates, validation) {
        return Err(ApiError::bad_request(format!("error strict decoding YAML: {HEAD}{why}")));
    }
    take_managed_fields(&mut result);
    let mut decoded = schema::normalize(ty, &result, validation)?;
    if validation == FieldValidation::Warn {
        decoded.warnings.extend(duplicates.map(|why| format!("{HEAD}{why}")));
    }
    entries.write(&mut decoded.object);
    settle_times(live, &mut decoded.object);
    Ok(decoded)
}

/// Begins what is said about malformed configurations.
const HEAD: &str = "error converting YAML to JSON: ";

/// The checks of a configuration before it is merged.
fn check_config(ty: &'static Type, config: &Value, by: &Writer<'_>) -> Result<(), ApiError> {
    let text = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or("");
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = format!("{group}/{version}, Kind={kind}");
    if !config.is_object() {
        let what = match config {
            Value::Null => return Err(ApiError::bad_request("invalid object type: /, Kind=")),
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            _ => "number",
        };
        return Err(ApiError::bad_request(format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {what} into Go value of type map[string]interface {{}}"
        )));
    }
    if kind != ty.short_name() || api_version != by.api_version {
        return Err(ApiError::bad_request(format!("invalid object type: {gvk}")));
    }
    if managed_fields(config).is_some() {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let mut errors = Vec::new();
    walk::validate(Shape::Struct(ty), config, "", &mut errors);
    if errors.is_empty() {
        return Ok(());
    }
    let why = match errors.as_slice() {
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let metadata = |name: &str| config.pointer(&format!("/metadata/{name}")).and_then(Value::as_str).unwrap_or("");
    let message =
        format!("failed to create typed patch object ({}/{}; {gvk}): {why}", metadata("namespace"), metadata("name"));
    Err(ApiError::new(500, "", message))
}

/// Removes what the manager applied before but not now, unless others own it or it never was the manager's alone.
fn prune(shape: Shape, merged: &Value, last: &Set, now: &Set, others: &Entries) -> Value {
    let last = walk::with_named_fields(shape, last.clone());
    let without = |set: &Set| walk::remove(shape, merged, set).unwrap_or_else(|| json!({}));
    let owned_fields = |value: &Value| walk::with_named_fields(shape, walk::field_set(shape, value));
    let all = owned_fields(merged);

    let mut managed = now.clone();
    for entry in &others.0 {
        managed.union(entry.set.clone());
    }
    let mut gone = all.clone();
    gone.subtract(&owned_fields(&without(&last)));
    gone.subtract(&walk::with_named_fields(shape, managed));
    let pruned = without(&gone);

    let mut gone = all;
    gone.subtract(&owned_fields(&pruned));
    without(&gone.intersection(&last))
}

/// 409 when others own what was changed, unless it is among the allowed fields.
fn refuse_conflicts(entries: &Entries, changed: &Set, allowed: Option<&Set>) -> Result<(), ApiError> {
    let mut conflicts: Vec<(String, Vec<String>)> = Vec::new();
    let mut forgiven = true;
    let mut entries: Vec<&Entry> = entries.0.iter().collect();
    entries.sort_by_key(|e| (&e.manager, e.operation, &e.api_version, &e.subresource));
    for entry in entries {
        let mut conflict = entry.set.intersection(changed);
        if let Some(allowed) = allowed {
            conflict.subtract(allowed);
        }
        forgiven &= conflict.is_empty();
        if !conflict.is_empty() {
            conflicts.push((entry.shown(), conflict.paths()));
        }
    }
    if forgiven {
        return Ok(());
    }
    let count: usize = conflicts.iter().map(|(_, paths)| paths.len()).sum();
    let text = match conflicts.as_slice() {
        [(manager, paths)] if paths.len() == 1 => format!("1 conflict: conflict with {manager}: {}", paths[0]),
        many => {
            let mut lines = Vec::new();
            for (manager, paths) in many {
                lines.push(format!("conflicts with {manager}:"));
                lines.extend(paths.iter().map(|path| format!("- {path}")));
            }
            format!("{count} conflicts: {}", lines.join("\n"))
        }
    };
    let causes: Vec<Value> = conflicts
        .iter()
        .flat_map(|(manager, paths)| paths.iter().map(move |path| (manager, path)))
        .map(|(manager, path)| {
            json!({ "reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": path })
        })
        .collect();
    Err(ApiError::new(409, "Conflict", format!("Apply failed with {text}")).with_details(json!({ "causes": causes })))
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn annotations(object: &Value) -> Option<&Map<String, Value>> {
    object.get("metadata")?.get("annotations")?.as_object()
}

/// The fields that `kubectl apply` set on the client's side and that still hold: `kubectl apply --server-side` may take
/// them over.
fn last_applied(ty: &'static Type, live: &Value) -> Option<Set> {
    let config: Value = serde_json::from_str(annotations(live)?.get(LAST_APPLIED)?.as_str()?).ok()?;
    if config.get("apiVersion").and_then(Value::as_str) != Some(&ty.api_version()) {
        return None;
    }
    let shape = Shape::Struct(ty);
    let mut set = walk::field_set(shape, &config);
    let diff = walk::diff(shape, Some(&config), Some(live));
    set.subtract(&diff.modified);
    set.subtract(&diff.added);
    set.subtract(&diff.removed);
    Some(set)
}

/// Keeps the annotation of client-side apply, where there is one, in step with a server-side apply by kubectl.
fn renew_last_applied(result: &mut Value, config: &Value) {
    if annotations(result).is_none_or(|map| !map.contains_key(LAST_APPLIED)) {
        return;
    }
    let mut config = config.clone();
    if let Some(map) = config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        map.remove(LAST_APPLIED);
    }
    result["metadata"]["annotations"][LAST_APPLIED] = json!(format!("{config}\n"));
}

fn managed_fields(object: &Value) -> Option<&Vec<Value>> {
    object.get("metadata")?.get("managedFields")?.as_array()
}

fn take_managed_fields(object: &mut Value) -> Option<Vec<Value>> {
    match object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")? {
        Value::Array(list) => Some(list),
        _ => None,
    }
}

fn is_reset(list: &[Value]) -> bool {
    match list {
        [] => true,
        [one] => one.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

/// Edges below the metadata that nobody owns, as they identify the object or are the API server's own.
const NOT_OWNED: &[&str] = &[
    "f:name",
    "f:namespace",
    "f:creationTimestamp",
    "f:selfLink",
    "f:uid",
    "f:clusterName",
    "f:generation",
    "f:managedFields",
    "f:resourceVersion",
];

fn strip(set: &mut Set) {
    set.remove_edge("f:apiVersion");
    set.remove_edge("f:kind");
    set.remove_below("f:metadata", NOT_OWNED);
    set.remove_member("f:metadata");
}

/// Takes from a set what writes through the subresource cannot change, and so do not come to own.
fn keep_writable(ty: &'static Type, subresource: &str, set: &mut Set) {
    match subresource {
        // The real API server does not filter these, whatever they drop afterwards.
        "ephemeralcontainers" | "resize" => {}
        "status" => {
            set.remove_edge("f:spec");
            match ty.id {
                "core.v1.Pod" => set.remove_below("f:metadata", &["f:deletionTimestamp", "f:ownerReferences"]),
                "apps.v1.Deployment" => set.remove_below("f:metadata", &["f:labels"]),
                "resource.v1.ResourceClaim" => set.remove_edge("f:metadata"),
                _ => {}
            }
        }
        _ if ty.field("status").is_some() => set.remove_edge("f:status"),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
