//! Deletion: preconditions, grace periods of pods, finalizers, propagation, namespaces, collections.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{Answer, Target, WriteOptions, Written, has_finalizers, meta_text, seconds, set_meta};
use crate::error::{ApiError, FieldError};
use crate::resource::Resource;
use crate::server::ApiServer;
use crate::store::{Entry, WriteError};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a client is told that deletes a job without saying what becomes of its pods.
const PODS_STAY: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
    remove them or set propagationPolicy=Orphan to suppress this warning";

/// What becomes of the objects that an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted first.
    Foreground,
    /// They are deleted afterwards.
    Background,
    /// They stay.
    Orphan,
}

/// How to delete.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Seconds a pod may take to stop; its own grace period if not given.
    pub grace_period_seconds: Option<i64>,
    /// What becomes of dependents; the kind's default if not given.
    pub propagation: Option<Propagation>,
    /// The old form of `propagation`.
    pub orphan_dependents: Option<bool>,
    /// Only if the object has this UID.
    pub uid: Option<String>,
    /// Only if the object is at this version.
    pub resource_version: Option<String>,
    /// Everything but the deletion.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// With a grace period in seconds.
    #[must_use]
    pub fn grace(seconds: i64) -> Self {
        DeleteOptions { grace_period_seconds: Some(seconds), ..DeleteOptions::default() }
    }
}

/// What `BeforeDelete` of the generic registry decides.
enum Grace {
    /// Remove at once, as far as grace is concerned.
    None,
    /// Mark with this grace period; 0 removes after marking.
    Mark(i64),
    /// Marked already; nothing to do.
    Pending,
}

impl ApiServer {
    /// Deletes one object.
    pub(crate) fn delete(&self, target: Target<'_>, options: &DeleteOptions) -> Result<Written, ApiError> {
        check_immortal(target)?;
        let mut before: Option<Entry> = None;
        loop {
            let entry = match (self.get(target), before) {
                (Ok(entry), _) => entry,
                // A pod that is marked with a grace period of 0 may be removed by its kubelet first: it is gone, as asked.
                (Err(error), Some(before)) if error.code == 404 => return Ok(self.gone(target, Answer::Stored(before))),
                (Err(error), _) => return Err(error),
            };
            let live = entry.value();
            match self.delete_once(target, options, &entry, live)? {
                Ok(mut written) => {
                    let silent = options.propagation.is_some() || options.orphan_dependents.is_some();
                    if target.resource.is("batch", "jobs") && !silent {
                        written.warnings.push(PODS_STAY.to_owned());
                    }
                    return Ok(written);
                }
                Err(_) => before = Some(entry),
            }
        }
    }

    fn delete_once(
        &self,
        target: Target<'_>,
        options: &DeleteOptions,
        entry: &Entry,
        live: Value,
    ) -> Result<Result<Written, WriteError>, ApiError> {
        let resource = target.resource;
        if resource.is("", "namespaces") {
            check_namespace_preconditions(target, options, entry, &live)?;
            let finalizers = live.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty());
            if meta_text(&live, "deletionTimestamp").is_empty() {
                return Ok(self.mark_namespace(target, options, entry, live));
            }
            if finalizers {
                return Ok(Ok(shown(Answer::Stored(entry.clone()))));
            }
        }
        check_preconditions(resource, options, entry, &live)?;
        let mut object = live.clone();
        let grace = self.grace(resource, options, &mut object);
        if matches!(grace, Grace::Pending) {
            return Ok(Ok(shown(Answer::Stored(entry.clone()))));
        }
        let finalizers_change = set_finalizers(resource, options, &mut object);
        let held = has_finalizers(&object);
        let graceful = matches!(grace, Grace::Mark(_));
        let mut current = entry.clone();
        if graceful || held || finalizers_change {
            if !graceful && held {
                self.mark_deleting(&mut object);
            }
            if graceful || held {
                let write = WriteOptions { dry_run: options.dry_run, ..WriteOptions::default() };
                // A grace period of 0 is marked first, so that watchers see it, and removed then.
                let marked = match self.mark(target, &write, entry, &object) {
                    Ok(marked) => marked,
                    Err(error) => return Ok(Err(error)),
                };
                if held || matches!(grace, Grace::Mark(seconds) if seconds > 0) {
                    return Ok(Ok(shown(marked)));
                }
                match marked {
                    Answer::Stored(entry) => current = entry,
                    answer @ Answer::Value(_) => return Ok(Ok(self.gone(target, answer))),
                }
            }
        }
        if !options.dry_run {
            current = match self.store().remove(resource, &target.key(), current.revision) {
                Ok(last) => last,
                Err(error) => return Ok(Err(error)),
            };
        }
        Ok(Ok(self.gone(target, Answer::Stored(current))))
    }

    fn mark(
        &self,
        target: Target<'_>,
        options: &WriteOptions<'_>,
        entry: &Entry,
        object: &Value,
    ) -> Result<Answer, WriteError> {
        let (draft, facts) = Self::draft(target.resource, object);
        if draft.equals(entry) {
            return Ok(Answer::Stored(entry.clone()));
        }
        if options.dry_run {
            return Ok(Answer::Value(object.clone()));
        }
        self.store().replace(target.resource, &target.key(), entry.revision, &draft, facts).map(Answer::Stored)
    }

    /// The answer for an object that is gone.
    fn gone(&self, target: Target<'_>, last: Answer) -> Written {
        if target.resource.returns_deleted_object() {
            return shown(last);
        }
        let last = last.into_value();
        let mut details = json!({
            "name": target.name,
            "kind": target.resource.plural,
            "uid": meta_text(&last, "uid"),
        });
        if !target.resource.group.is_empty() {
            details["group"] = json!(target.resource.group);
        }
        shown(Answer::Value(success(details)))
    }

    fn mark_namespace(
        &self,
        target: Target<'_>,
        options: &DeleteOptions,
        entry: &Entry,
        mut object: Value,
    ) -> Result<Written, WriteError> {
        set_meta(&mut object, "deletionTimestamp", seconds(self.now()));
        object["status"]["phase"] = json!("Terminating");
        set_finalizers(target.resource, options, &mut object);
        let write = WriteOptions { dry_run: options.dry_run, ..WriteOptions::default() };
        self.mark(target, &write, entry, &object).map(shown)
    }

    /// Marks an object that waits for its finalizers and knows no grace period.
    fn mark_deleting(&self, object: &mut Value) {
        let now = self.now();
        let before = meta_text(object, "deletionTimestamp").to_owned();
        if before.is_empty() {
            raise_generation(object);
        }
        if before.parse::<Timestamp>().map_or(true, |time| time > now) {
            set_meta(object, "deletionTimestamp", seconds(now));
        }
        set_meta(object, "deletionGracePeriodSeconds", 0);
    }

    /// Decides on the grace period, and marks the object accordingly.
    fn grace(&self, resource: &Resource, options: &DeleteOptions, object: &mut Value) -> Grace {
        if !resource.is("", "pods") {
            return Grace::None;
        }
        let asked = options.grace_period_seconds.map(|s| if s < 0 { 1 } else { s });
        let marked = meta_text(object, "deletionTimestamp").to_owned();
        if !marked.is_empty() {
            let current = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
            return match asked {
                _ if current == 0 => Grace::None,
                Some(asked) if asked < current => {
                    if let Ok(time) = marked.parse::<Timestamp>() {
                        let earlier = time.checked_sub(SignedDuration::from_secs(current - asked)).unwrap_or(time);
                        set_meta(object, "deletionTimestamp", seconds(earlier));
                    }
                    set_meta(object, "deletionGracePeriodSeconds", asked);
                    Grace::Mark(asked)
                }
                _ => Grace::Pending,
            };
        }
        let phase = object.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
        let unbound = object.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default().is_empty();
        let own = object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
        let period = match asked {
            _ if unbound || matches!(phase, "Succeeded" | "Failed") => 0,
            Some(asked) => asked,
            None if own < 0 => 1,
            None => own,
        };
        let until = self.now().checked_add(SignedDuration::from_secs(period)).unwrap_or(Timestamp::MAX);
        set_meta(object, "deletionTimestamp", seconds(until));
        set_meta(object, "deletionGracePeriodSeconds", period);
        raise_generation(object);
        Grace::Mark(period)
    }
}

fn shown(answer: Answer) -> Written {
    Written { answer, code: 200, warnings: Vec::new() }
}

/// A `Status` that says that a request succeeded.
pub(crate) fn success(details: Value) -> Value {
    let mut status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
    if !details.is_null() {
        status["details"] = details;
    }
    status
}

fn raise_generation(object: &mut Value) {
    if let Some(generation) = object.pointer("/metadata/generation").and_then(Value::as_i64)
        && generation > 0
    {
        set_meta(object, "generation", generation + 1);
    }
}

fn check_immortal(target: Target<'_>) -> Result<(), ApiError> {
    if target.resource.is("", "namespaces") && matches!(target.name, "default" | "kube-system" | "kube-public") {
        return Err(ApiError::forbidden(target.resource, target.name, "this namespace may not be deleted"));
    }
    Ok(())
}

pub(super) fn check_preconditions(
    resource: &Resource,
    options: &DeleteOptions,
    entry: &Entry,
    live: &Value,
) -> Result<(), ApiError> {
    let name = meta_text(live, "name");
    let conflict = |why: String| {
        let kind = if resource.group.is_empty() {
            resource.kind.to_owned()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let mut details = Map::new();
        details.insert("name".to_owned(), json!(name));
        if !resource.group.is_empty() {
            details.insert("group".to_owned(), json!(resource.group));
        }
        details.insert("kind".to_owned(), json!(resource.kind));
        ApiError::new(409, "Conflict", format!("Operation cannot be fulfilled on {kind} \"{name}\": {why}"))
            .with_details(Value::Object(details))
    };
    let uid = meta_text(live, "uid");
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        return Err(conflict(format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been \
             deleted and then recreated"
        )));
    }
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != entry.revision.to_string()) {
        return Err(conflict(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({}). The \
             object might have been modified",
            entry.revision
        )));
    }
    Ok(())
}

fn check_namespace_preconditions(
    target: Target<'_>,
    options: &DeleteOptions,
    entry: &Entry,
    live: &Value,
) -> Result<(), ApiError> {
    let uid = meta_text(live, "uid");
    let failed = |what: &str, wanted: &str, actual: &str| {
        let why = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}");
        Err(ApiError::conflict(target.resource, target.name, &why))
    };
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        return failed("UID", wanted, uid);
    }
    let version = entry.revision.to_string();
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != version) {
        return failed("ResourceVersion", wanted, &version);
    }
    Ok(())
}

/// Puts the finalizers of the chosen propagation in place; whether that changed anything.
fn set_finalizers(resource: &Resource, options: &DeleteOptions, object: &mut Value) -> bool {
    if resource.plural == "events" {
        return false;
    }
    let old: Vec<String> = object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let has = |name: &str| old.iter().any(|f| f == name);
    let by_default = matches!((resource.group, resource.plural), ("batch", "jobs") | ("", "replicationcontrollers"));
    let (orphan, foreground) = match (options.orphan_dependents, options.propagation) {
        (Some(orphan), _) => (orphan, false),
        (None, Some(propagation)) => (propagation == Propagation::Orphan, propagation == Propagation::Foreground),
        (None, None) if has(ORPHAN) => (true, false),
        (None, None) if has(FOREGROUND) => (false, true),
        (None, None) => (by_default, false),
    };
    let mut new: Vec<&str> = old.iter().map(String::as_str).filter(|f| *f != ORPHAN && *f != FOREGROUND).collect();
    if orphan {
        new.push(ORPHAN);
    }
    if foreground {
        new.push(FOREGROUND);
    }
    let changed = new.len() != old.len() || new.iter().any(|f| !has(f));
    if changed {
        let new = json!(new);
        set_meta(object, "finalizers", new);
    }
    changed
}

/// Reads `DeleteOptions` from the members of a body, without those that are not given.
///
/// # Errors
/// 422 with the offending field.
pub(crate) fn options_from(body: &Value) -> Result<DeleteOptions, ApiError> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let mut options = DeleteOptions {
        grace_period_seconds: body.get("gracePeriodSeconds").and_then(Value::as_i64),
        propagation: None,
        orphan_dependents: body.get("orphanDependents").and_then(Value::as_bool),
        uid: text("/preconditions/uid"),
        resource_version: text("/preconditions/resourceVersion"),
        dry_run: false,
    };
    let mut errors = Vec::new();
    if let Some(policy) = body.get("propagationPolicy").and_then(Value::as_str) {
        options.propagation = match policy {
            "Foreground" => Some(Propagation::Foreground),
            "Background" => Some(Propagation::Background),
            "Orphan" => Some(Propagation::Orphan),
            _ => None,
        };
        if options.orphan_dependents.is_some() {
            errors.push(FieldError::invalid(
                "propagationPolicy",
                &json!(policy),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        if options.propagation.is_none() {
            errors.push(FieldError::not_supported(
                "propagationPolicy",
                &json!(policy),
                &["Foreground", "Background", "Orphan", "nil"],
            ));
        }
    }
    match body.get("dryRun") {
        None | Some(Value::Null) => {}
        Some(Value::Array(list)) if list.is_empty() => {}
        Some(Value::Array(list)) if list.iter().all(|v| v == "All") => options.dry_run = true,
        Some(other) => errors.push(FieldError::not_supported("dryRun", other, &["All"])),
    }
    if errors.is_empty() { Ok(options) } else { Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", &errors)) }
}
