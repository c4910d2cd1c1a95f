//! Events, which two groups serve under different member names. Entry points: [`validate`] and [`validate_update`].

use serde_json::Value;

use super::metadata;
use super::names;
use super::path::{Errors, Path};
use super::value::{get, has, int, same, text};

/// The names of an event's members in one of the groups.
struct Members {
    subject: &'static str,
    message: &'static str,
    controller: &'static str,
    source: &'static str,
    first: &'static str,
    last: &'static str,
    count: &'static str,
}

const CORE: Members = Members {
    subject: "involvedObject",
    message: "message",
    controller: "reportingComponent",
    source: "source",
    first: "firstTimestamp",
    last: "lastTimestamp",
    count: "count",
};

const EVENTS: Members = Members {
    subject: "regarding",
    message: "note",
    controller: "reportingController",
    source: "deprecatedSource",
    first: "deprecatedFirstTimestamp",
    last: "deprecatedLastTimestamp",
    count: "deprecatedCount",
};

/// Events of `events.k8s.io` come here in the shape of either group.
fn shape(event: &Value) -> &'static Members {
    if has(event, CORE.subject) { &CORE } else { &EVENTS }
}

fn longer(value: &str, max: usize, path: &Path<'_>, errors: &mut Errors) {
    if value.len() > max {
        errors.invalid(path, "", &format!("can have at most {max} characters"));
    }
}

/// The rules of both groups.
fn common(event: &Value, members: &Members, controller_path: &str, errors: &mut Errors) {
    let namespace = text(get(event, "metadata"), "namespace");
    let subject = text(get(event, members.subject), "namespace");
    let subject_path = Path::new("involvedObject");
    let subject_path = subject_path.child("namespace");
    let mismatch = "does not match event.namespace";
    if !has(event, "eventTime") {
        let fits = if subject.is_empty() { matches!(namespace, "" | "default") } else { namespace == subject };
        if !fits {
            errors.invalid(&subject_path, subject, mismatch);
        }
    } else {
        if subject.is_empty() && !matches!(namespace, "default" | "kube-system") {
            errors.invalid(&subject_path, subject, mismatch);
        }
        let controller = text(event, members.controller);
        let path = Path::new(controller_path);
        if controller.is_empty() {
            errors.required(&path, "");
        }
        errors.invalid_each(&path, controller, names::qualified(controller));
        for (key, max) in [("reportingInstance", 128), ("action", 128), ("reason", 128)] {
            let (value, path) = (text(event, key), Path::new(key));
            if value.is_empty() {
                errors.required(&path, "");
            }
            longer(value, max, &path, errors);
        }
        longer(text(event, members.message), 1024, &Path::new("message"), errors);
    }
    errors.invalid_each(&Path::new("namespace"), namespace, names::subdomain(namespace));
}

fn series(event: &Value, errors: &mut Errors) {
    let series = get(event, "series");
    if series.is_null() {
        return;
    }
    if int(series, "count").unwrap_or(0) < 2 {
        errors.invalid(&Path::new("series.count"), "", "should be at least 2");
    }
    if !has(series, "lastObservedTime") {
        errors.required(&Path::new("series.lastObservedTime"), "");
    }
}

/// A new event of the core group.
pub(crate) fn validate_core(event: &Value, errors: &mut Errors) {
    common(event, &CORE, "reportingComponent", errors);
}

/// A changed event of the core group.
pub(crate) fn validate_core_update(_subresource: &str, event: &Value, _old: &Value, errors: &mut Errors) {
    common(event, &CORE, "reportingComponent", errors);
}

/// A new event of `events.k8s.io`, whose own rules are stricter.
pub(crate) fn validate(event: &Value, errors: &mut Errors) {
    let members = shape(event);
    common(event, members, "reportingController", errors);
    metadata::validate(event, true, names::subdomain, errors);
    series(event, errors);
    if !has(event, "eventTime") {
        errors.required(&Path::new("eventTime"), "");
    }
    let kind = text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.invalid(&Path::new("type"), "", &format!("has invalid value: {kind}"));
    }
    let unset = "needs to be unset";
    for (key, path) in [(members.first, "firstTimestamp"), (members.last, "lastTimestamp")] {
        if has(event, key) {
            errors.invalid(&Path::new(path), "", unset);
        }
    }
    if int(event, members.count).unwrap_or(0) != 0 {
        errors.invalid(&Path::new("count"), "", unset);
    }
    let source = get(event, members.source);
    if !text(source, "component").is_empty() || !text(source, "host").is_empty() {
        errors.invalid(&Path::new("source"), "", unset);
    }
}

/// A changed event of `events.k8s.io`: only its series may change.
pub(crate) fn validate_update(_subresource: &str, event: &Value, old: &Value, errors: &mut Errors) {
    let members = shape(event);
    common(event, members, "reportingController", errors);
    metadata::validate_update(event, old, errors);
    if !same(get(event, "series"), get(old, "series")) {
        series(event, errors);
    }
    for (key, path) in [
        (members.subject, "involvedObject"),
        ("reason", "reason"),
        (members.message, "message"),
        (members.source, "source"),
        (members.first, "firstTimestamp"),
        (members.last, "lastTimestamp"),
        (members.count, "count"),
        ("reason", "reason"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        (members.controller, "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ] {
        errors.immutable(&Path::new(path), get(event, key), get(old, key));
    }
}
