//! Events have two shapes, that of the core group and that of `events.k8s.io`; the core shape is stored.

use serde_json::{Map, Value};

use crate::resource::Resource;

/// Members with their names in the core group and in `events.k8s.io`.
const MEMBERS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// An object as it is stored, from the shape in which the resource shows it.
pub(crate) fn stored_shape(resource: &Resource, object: Value) -> Value {
    if resource.is("events.k8s.io", "events") { to_core(object) } else { object }
}

/// An object as the resource shows it, from the shape in which it is stored.
pub(crate) fn shown_shape(resource: &Resource, object: Value) -> Value {
    if resource.is("events.k8s.io", "events") && object["kind"] == "Event" { to_new(object) } else { object }
}

/// The core shape of an event of `events.k8s.io`.
fn to_core(event: Value) -> Value {
    let mut event = renamed(event, |name| MEMBERS.iter().find(|(_, new)| *new == name).map(|(core, _)| *core));
    for member in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        event.entry(member).or_insert(Value::Null);
    }
    for member in ["involvedObject", "source"] {
        event.entry(member).or_insert_with(|| Value::Object(Map::new()));
    }
    // Go writes these even when they are empty.
    for member in ["reportingComponent", "reportingInstance"] {
        event.entry(member).or_insert_with(|| Value::from(""));
    }
    event.insert("apiVersion".to_owned(), Value::from("v1"));
    Value::Object(event)
}

/// The shape of `events.k8s.io` of a core event.
fn to_new(event: Value) -> Value {
    let mut event = renamed(event, |name| MEMBERS.iter().find(|(core, _)| *core == name).map(|(_, new)| *new));
    for member in ["reportingController", "reportingInstance"] {
        if event.get(member).is_some_and(|value| value == "") {
            event.remove(member);
        }
    }
    event.entry("eventTime").or_insert(Value::Null);
    event.insert("apiVersion".to_owned(), Value::from("events.k8s.io/v1"));
    Value::Object(event)
}

fn renamed(event: Value, rename: impl Fn(&str) -> Option<&'static str>) -> Map<String, Value> {
    let Value::Object(event) = event else { return Map::new() };
    event
        .into_iter()
        .map(|(name, value)| match rename(&name) {
            Some(other) => (other.to_owned(), value),
            None => (name, value),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_survives_both_conversions() {
        let core = json!({
            "kind": "Event", "apiVersion": "v1", "metadata": { "name": "e" },
            "involvedObject": { "kind": "Pod" }, "message": "m", "reason": "r", "type": "Normal",
            "source": { "component": "kubelet" }, "count": 2, "eventTime": null,
            "firstTimestamp": "2024-01-01T00:00:00Z", "lastTimestamp": null,
            "reportingComponent": "", "reportingInstance": "",
        });
        let new = to_new(core.clone());
        assert_eq!(new["note"], "m");
        assert_eq!(new["deprecatedSource"]["component"], "kubelet");
        assert_eq!(new.get("reportingController"), None);
        assert_eq!(to_core(new), core);
    }
}
