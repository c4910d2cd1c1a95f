//! What the printers share: reading members, joining lists, writing selectors.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;

/// A string member's text; empty when it is missing.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A string member's text, or `other` when it is missing or empty.
pub(super) fn text_or<'a>(value: &'a Value, other: &'a str) -> &'a str {
    value.as_str().filter(|t| !t.is_empty()).unwrap_or(other)
}

/// A whole number; 0 when it is missing.
pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// The items of an array; none when it is missing.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// How many members an object, or items an array, has.
pub(super) fn len(value: &Value) -> i64 {
    let count = match value {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    };
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The object's name.
pub(super) fn name(object: &Value) -> Value {
    json!(text(&object["metadata"]["name"]))
}

/// The object's age.
pub(super) fn age_of(object: &Value, now: Timestamp) -> Value {
    json!(age::since(&object["metadata"]["creationTimestamp"], now))
}

/// Names and images of the containers of a pod spec, each joined by commas.
pub(super) fn containers(pod_spec: &Value) -> [Value; 2] {
    let join = |member: &str| {
        let parts: Vec<&str> = items(&pod_spec["containers"]).iter().map(|c| text(&c[member])).collect();
        json!(parts.join(","))
    };
    [join("name"), join("image")]
}

/// A map of labels as `k=v,k2=v2`, sorted; `<none>` when there are none.
pub(super) fn labels(map: &Value) -> String {
    let mut pairs: Vec<String> =
        map.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", text(v))).collect();
    pairs.sort_unstable();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// A label selector as a query shows it; empty when it selects everything or nothing.
pub(super) fn selector_text(selector: &Value) -> String {
    crate::controllers::selector_of(selector).map_or_else(String::new, |selector| selector.to_string())
}

/// A label selector as a query shows it; `<none>` when it selects everything or nothing.
pub(super) fn selector(value: &Value) -> String {
    let written = selector_text(value);
    if written.is_empty() { "<none>".to_owned() } else { written }
}

/// The first three entries, then how many more there are; `<unset>` when there are none.
pub(super) fn first_three(entries: &[String]) -> String {
    match entries {
        [] => "<unset>".to_owned(),
        [a, b, c, rest @ ..] if !rest.is_empty() => format!("{a},{b},{c} + {} more...", rest.len()),
        all => all.join(","),
    }
}

/// A number or string that stands for one of both (`IntOrString`), or `other` when it is missing.
pub(super) fn int_or_string(value: &Value, other: &str) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => other.to_owned(),
    }
}

/// The status of a condition, if the list has it.
pub(super) fn condition<'a>(conditions: &'a Value, kind: &str) -> Option<&'a str> {
    items(conditions).iter().find(|c| c["type"] == kind).map(|c| text(&c["status"]))
}
