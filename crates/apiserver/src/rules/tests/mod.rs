//! The rules by example: each paragraph of the text files is an object, perhaps a change of it, and what is made of it.
//!
//! The first line names the resource (`plural.group`, with `/subresource`) and the case. Then follow `new {…}`, a new object;
//! `patch {…}`, a merge patch of it; `! field: message`, an expected error (all of them, in order); `= /pointer value`, a value
//! in the result (`-` for none); `~ text`, an expected warning (all of them).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::resource::by_qualified;

mod admission;

/// Other objects, by resource.
#[derive(Default)]
struct Others(BTreeMap<String, Vec<Value>>);

impl Lookup for Others {
    fn get(&self, qualified: &str, namespace: &str, name: &str) -> Option<Value> {
        self.list(qualified, namespace).into_iter().find(|o| o["metadata"]["name"] == name)
    }

    fn list(&self, qualified: &str, namespace: &str) -> Vec<Value> {
        let all = self.0.get(qualified).cloned().unwrap_or_default();
        all.into_iter().filter(|o| namespace.is_empty() || o["metadata"]["namespace"] == namespace).collect()
    }
}

fn resource(qualified: &str) -> &'static Resource {
    by_qualified(qualified).unwrap_or_else(|| panic!("{qualified} is no resource"))
}

/// A new object as the server has it before admission.
fn received(resource: &Resource, mut object: Value) -> Value {
    let meta = value::entry(&mut object, "metadata");
    value::default_to(meta, "name", "p");
    if resource.namespaced {
        value::default_to(meta, "namespace", "ns");
    }
    value::default_to(meta, "uid", "u-1");
    value::default_to(meta, "creationTimestamp", "2024-01-01T00:00:00Z");
    default(resource, &mut object);
    object
}

fn merge(object: &mut Value, patch: &Value) {
    match patch {
        Value::Object(members) => {
            for (key, member) in members {
                if member.is_null() {
                    value::remove(object, key);
                } else {
                    merge(value::entry(object, key), member);
                }
            }
        }
        patch => *object = patch.clone(),
    }
}

struct Outcome {
    object: Value,
    errors: Vec<String>,
    warnings: Vec<String>,
}

fn outcome(resource: &Resource, object: Value, old: Option<&Value>, errors: Vec<FieldError>) -> Outcome {
    let warnings = if errors.is_empty() { warnings(resource, &object, old) } else { Vec::new() };
    let errors = errors.into_iter().map(|e| format!("{}: {}", e.field, e.message)).collect();
    Outcome { object, errors, warnings }
}

fn create(resource: &Resource, object: Value, others: &Others) -> Result<Outcome, ApiError> {
    let mut object = received(resource, object);
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "ns", lookup: others };
    admit_create(resource, &mut object, &context)?;
    prepare_create(resource, &mut object);
    let errors = validate_create(resource, &object);
    if errors.is_empty() {
        check_create(resource, &object, &context)?;
    }
    Ok(outcome(resource, object, None, errors))
}

fn update(
    resource: &Resource,
    subresource: &str,
    old: &Value,
    patch: &Value,
    others: &Others,
) -> Result<Outcome, ApiError> {
    let mut object = old.clone();
    value::set(value::entry(&mut object, "metadata"), "resourceVersion", "7");
    merge(&mut object, patch);
    default(resource, &mut object);
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "ns", lookup: others };
    admit_update(resource, subresource, &mut object, old, &context)?;
    prepare_update(resource, subresource, &mut object, old);
    let errors = validate_update(resource, subresource, &object, old);
    if errors.is_empty() {
        check_update(resource, subresource, &object, old, &context)?;
    }
    Ok(outcome(resource, object, Some(old), errors))
}

/// Runs one paragraph; what is wrong with it.
fn run(case: &str) -> Result<(), String> {
    let mut lines = case.lines();
    let title = lines.next().unwrap_or("");
    let (target, _) = title.split_once(' ').unwrap_or((title, ""));
    let (qualified, subresource) = target.split_once('/').unwrap_or((target, ""));
    let resource = resource(qualified);
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|why| format!("{title}: {why} in {text}"));
    let others = Others::default();
    let mut now: Option<Outcome> = None;
    let mut expected_errors: Vec<String> = Vec::new();
    let mut expected_warnings: Vec<&str> = Vec::new();
    let mut wrong: Vec<String> = Vec::new();
    for line in lines {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let refused =
            |error: ApiError| Outcome { object: json!({}), errors: vec![error.message], warnings: Vec::new() };
        match kind {
            "new" => now = Some(create(resource, parse(rest)?, &others).unwrap_or_else(refused)),
            "patch" => {
                let old = now.take().ok_or_else(|| format!("{title}: a patch of nothing"))?;
                if !old.errors.is_empty() {
                    return Err(format!("{title}: the object to be patched has errors: {:?}", old.errors));
                }
                let patch = parse(rest)?;
                now = Some(update(resource, subresource, &old.object, &patch, &others).unwrap_or_else(refused));
            }
            "!" => expected_errors.push(rest.replace("\\n", "\n")),
            "~" => expected_warnings.push(rest),
            "=" => {
                let (pointer, expected) = rest.split_once(' ').unwrap_or((rest, ""));
                let object = now.as_ref().map_or(&Value::Null, |now| &now.object);
                let actual = object.pointer(pointer);
                let expected = if expected == "-" { None } else { Some(parse(expected)?) };
                if actual != expected.as_ref() {
                    wrong.push(format!("{title}: {pointer} is {actual:?}, not {expected:?}"));
                }
            }
            other => return Err(format!("{title}: line of unknown kind {other}")),
        }
    }
    let now = now.ok_or_else(|| format!("{title}: nothing is created"))?;
    if now.errors != expected_errors {
        wrong.push(format!("{title}: errors\n  {}", now.errors.join("\n  ")));
    }
    if now.warnings != expected_warnings {
        wrong.push(format!("{title}: warnings\n  {}", now.warnings.join("\n  ")));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn run_all(text: &str) {
    let wrong: Vec<String> =
        text.split("\n\n").map(str::trim).filter(|case| !case.is_empty()).filter_map(|case| run(case).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn defaults_by_example() {
    run_all(include_str!("defaults.txt"));
}

#[test]
fn invalid_objects_by_example() {
    run_all(include_str!("invalid.txt"));
}

#[test]
fn updates_by_example() {
    run_all(include_str!("updates.txt"));
}

#[test]
fn a_wrong_expectation_is_noticed() {
    let case = "configmaps nothing wrong with it\nnew {}\n! metadata.name: Required value";
    assert!(run(case).is_err());
}
