//! Rows of nodes, namespaces, events, configuration and the other kinds that belong to the cluster itself.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::since;
use super::cells::{age_of, items, len, name, number, text, text_or};

/// Cells of kinds that have a name and an age only.
pub(super) fn name_and_age(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age_of(object, now)]
}

/// Cells of kinds without a printer of their own.
pub(super) fn name_and_created_at(object: &Value, _now: Timestamp) -> Vec<Value> {
    // Go's zero time is what an object without a creation time shows.
    vec![name(object), json!(text_or(&object["metadata"]["creationTimestamp"], "0001-01-01T00:00:00Z"))]
}

/// Cells of a Node.
pub(super) fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = &object["status"];
    // The last condition of a type counts, as in a map.
    let ready = items(&status["conditions"]).iter().rev().find(|c| c["type"] == "Ready").map(|c| text(&c["status"]));
    let mut word = match ready {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object["spec"]["unschedulable"] == true {
        word.push_str(",SchedulingDisabled");
    }
    let roles: BTreeSet<&str> = object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    let roles = if roles.is_empty() { "<none>".to_owned() } else { roles.into_iter().collect::<Vec<_>>().join(",") };
    let info = &status["nodeInfo"];
    let address = |kind: &str| {
        let found = items(&status["addresses"]).iter().find(|a| a["type"] == kind);
        json!(found.map_or("<none>", |a| text(&a["address"])))
    };
    let kernel = text_or(&info["kernelVersion"], "<unknown>");
    let kernel = match text(&info["architecture"]) {
        "" => kernel.to_owned(),
        architecture => format!("{kernel} ({architecture})"),
    };
    vec![
        name(object),
        json!(word),
        json!(roles),
        age_of(object, now),
        json!(text(&info["kubeletVersion"])),
        address("InternalIP"),
        address("ExternalIP"),
        json!(text_or(&info["osImage"], "<unknown>")),
        json!(kernel),
        json!(text_or(&info["containerRuntimeVersion"], "<unknown>")),
    ]
}

/// Cells of a Namespace.
pub(super) fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(text(&object["status"]["phase"])), age_of(object, now)]
}

/// Cells of an Event of either group, which name the same things differently.
pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let of = |core: &str, events: &str| if object[core].is_null() { &object[events] } else { &object[core] };
    let about = of("involvedObject", "regarding");
    let source = of("source", "deprecatedSource");
    let first = of("firstTimestamp", "deprecatedFirstTimestamp");
    let last = of("lastTimestamp", "deprecatedLastTimestamp");
    let count = number(of("count", "deprecatedCount"));

    let first = since(if first.is_null() { &object["eventTime"] } else { first }, now);
    let last = if last.is_null() { first.clone() } else { since(last, now) };
    let (last, count) = match &object["series"] {
        Value::Null => (last, if count == 0 { 1 } else { count }),
        series => (since(&series["lastObservedTime"], now), number(&series["count"])),
    };
    let kind = text(&about["kind"]).to_lowercase();
    let target = match text(&about["name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = text_or(&source["component"], text(of("reportingComponent", "reportingController")));
    let instance = text_or(&source["host"], text(&object["reportingInstance"]));
    let source = if instance.is_empty() { component.to_owned() } else { format!("{component}, {instance}") };
    vec![
        json!(last),
        json!(text(&object["type"])),
        json!(text(&object["reason"])),
        json!(target),
        json!(text(&about["fieldPath"])),
        json!(source),
        json!(text(of("message", "note")).trim()),
        json!(first),
        json!(count),
        name(object),
    ]
}

/// Cells of a ConfigMap.
pub(super) fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(len(&object["data"]) + len(&object["binaryData"])), age_of(object, now)]
}

/// Cells of a Secret.
pub(super) fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(text(&object["type"])), json!(len(&object["data"])), age_of(object, now)]
}

/// Cells of a ResourceQuota.
pub(super) fn resource_quota(object: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let hard: BTreeMap<&String, &Value> = object["status"]["hard"].as_object().into_iter().flatten().collect();
    for (resource, hard) in hard {
        let used = text_or(&object["status"]["used"][resource], "0");
        let list = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        list.push(format!("{resource}: {used}/{}", text(hard)));
    }
    vec![name(object), json!(requests.join(", ")), json!(limits.join(", ")), age_of(object, now)]
}

/// Cells of a ComponentStatus.
pub(super) fn component_status(object: &Value, _now: Timestamp) -> Vec<Value> {
    let healthy = items(&object["conditions"]).iter().find(|c| c["type"] == "Healthy");
    let word = match healthy.map(|c| text(&c["status"])) {
        Some("True") => "Healthy",
        Some(_) => "Unhealthy",
        None => "Unknown",
    };
    let of = |member: &str| json!(healthy.map_or("", |c| text(&c[member])));
    vec![name(object), json!(word), of("message"), of("error")]
}

/// Cells of a Lease.
pub(super) fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(text(&object["spec"]["holderIdentity"])), age_of(object, now)]
}

/// Cells of a LeaseCandidate.
pub(super) fn lease_candidate(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        json!(text(&spec["leaseName"])),
        json!(text(&spec["binaryVersion"])),
        json!(text(&spec["emulationVersion"])),
        age_of(object, now),
    ]
}

/// Cells of a PriorityClass.
pub(super) fn priority_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        json!(number(&object["value"])),
        json!(object["globalDefault"] == true),
        age_of(object, now),
        json!(text(&object["preemptionPolicy"])),
    ]
}

/// Cells of a RuntimeClass.
pub(super) fn runtime_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(text(&object["handler"])), age_of(object, now)]
}

/// Cells of a RoleBinding or ClusterRoleBinding.
pub(super) fn role_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = format!("{}/{}", text(&object["roleRef"]["kind"]), text(&object["roleRef"]["name"]));
    let of = |kind: &str| {
        let names: Vec<String> = items(&object["subjects"])
            .iter()
            .filter(|s| s["kind"] == kind)
            .map(|s| match (kind, text(&s["namespace"])) {
                ("ServiceAccount", namespace) if !namespace.is_empty() => format!("{namespace}/{}", text(&s["name"])),
                _ => text(&s["name"]).to_owned(),
            })
            .collect();
        json!(names.join(", "))
    };
    vec![name(object), json!(role), age_of(object, now), of("User"), of("Group"), of("ServiceAccount")]
}

/// Cells of a ResourceClaim.
pub(super) fn resource_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let deleted = !object["metadata"]["deletionTimestamp"].is_null();
    let mut states = Vec::new();
    if deleted {
        states.push("deleted");
    }
    if object["status"]["allocation"].is_object() {
        states.push("allocated");
        if !items(&object["status"]["reservedFor"]).is_empty() {
            states.push("reserved");
        }
    } else if !deleted {
        states.push("pending");
    }
    vec![name(object), json!(states.join(",")), age_of(object, now)]
}

/// Cells of a ResourceSlice.
pub(super) fn resource_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        json!(text(&spec["nodeName"])),
        json!(text(&spec["driver"])),
        json!(text(&spec["pool"]["name"])),
        age_of(object, now),
    ]
}
