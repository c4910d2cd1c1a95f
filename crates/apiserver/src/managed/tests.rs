use serde_json::{Value, json};

use super::*;
use crate::schema::{decode_json, type_of};

fn by<'a>(ty: &'static Type, manager: &'a str, version: &'a str, subresource: &'a str) -> Writer<'a> {
    assert_eq!(ty.api_version(), version);
    Writer { manager, api_version: version, subresource, now: "2024-01-01T00:00:00Z".parse().unwrap() }
}

fn config_map() -> &'static Type {
    type_of("", "v1", "ConfigMap").unwrap()
}

fn decoded(ty: &'static Type, value: &Value) -> Value {
    decode_json(ty, value.to_string().as_bytes(), FieldValidation::Strict).unwrap().object
}

/// Manager, operation, subresource, whether there is a time, and the fields.
fn owners(object: &Value) -> Vec<Value> {
    let list = managed_fields(object).cloned().unwrap_or_default();
    list.iter()
        .map(|e| json!([e["manager"], e["operation"], e["subresource"], e["time"].is_string(), e["fieldsV1"]]))
        .collect()
}

fn write(live: &Value, manager: &str, data: &Value) -> Value {
    let mut new = live.clone();
    let map = new["data"].as_object_mut().unwrap();
    for (name, value) in data.as_object().unwrap() {
        if value.is_null() {
            map.remove(name);
        } else {
            map.insert(name.clone(), value.clone());
        }
    }
    track_update(config_map(), Some(live), &mut new, &by(config_map(), manager, "v1", ""));
    new
}

#[test]
fn ordinary_writes_move_fields_between_managers() {
    let mut a = decoded(config_map(), &json!({"metadata": {"name": "a", "labels": {"l": "1"}}, "data": {"k": "1"}}));
    track_update(config_map(), None, &mut a, &by(config_map(), "recorder", "v1", ""));
    let labels = json!({"f:labels": {".": {}, "f:l": {}}});
    let created = json!({"f:data": {".": {}, "f:k": {}}, "f:metadata": labels});
    assert_eq!(owners(&a), [json!(["recorder", "Update", null, true, created])]);

    let a = write(&a, "recorder", &json!({"k2": "2"}));
    let both = json!({"f:data": {".": {}, "f:k": {}, "f:k2": {}}, "f:metadata": labels});
    assert_eq!(owners(&a), [json!(["recorder", "Update", null, true, both])]);

    let a = write(&a, "other", &json!({"k": "9"}));
    let other = json!(["other", "Update", null, true, {"f:data": {"f:k": {}}}]);
    let rest = json!({"f:data": {".": {}, "f:k2": {}}, "f:metadata": labels});
    assert_eq!(owners(&a), [other.clone(), json!(["recorder", "Update", null, true, rest])]);

    let again = write(&a, "third", &json!({"k": "9"}));
    assert_eq!(again, a, "a write that changes nothing");

    let a = write(&a, "other", &json!({"k2": null}));
    let rest = json!({"f:data": {}, "f:metadata": labels});
    assert_eq!(owners(&a), [other, json!(["recorder", "Update", null, true, rest])]);

    for reset in [json!([{}]), json!([])] {
        let mut new = a.clone();
        new["metadata"]["managedFields"] = reset;
        track_update(config_map(), Some(&a), &mut new, &by(config_map(), "other", "v1", ""));
        assert!(managed_fields(&new).is_none());
        let untracked = write(&new, "other", &json!({"n": "1"}));
        assert!(managed_fields(&untracked).is_none());
    }
}

#[test]
fn lists_and_defaults_of_a_pod_are_owned_by_its_creator() {
    let pod = type_of("", "v1", "Pod").unwrap();
    let body = json!({"metadata": {"name": "p"}, "status": {"phase": "Pending"}, "spec": {"restartPolicy": "Always",
        "securityContext": {}, "containers": [{"name": "c", "image": "app:v1", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}});
    let mut p = decoded(pod, &body);
    track_update(pod, None, &mut p, &by(pod, "creator", "v1", ""));
    let port = json!({".": {}, "f:containerPort": {}, "f:protocol": {}});
    let container = json!({".": {}, "f:image": {}, "f:name": {}, "f:resources": {},
        "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": port}});
    let spec =
        json!({"f:containers": {"k:{\"name\":\"c\"}": container}, "f:restartPolicy": {}, "f:securityContext": {}});
    let creator = json!(["creator", "Update", null, true, {"f:spec": spec}]);
    assert_eq!(owners(&p), std::slice::from_ref(&creator));

    let status = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let applied = |live: &Value, manager, ready: &str| {
        let mut config = status.clone();
        config["status"]["conditions"][0]["status"] = json!(ready);
        let raw = config.to_string();
        apply(pod, Some(live), raw.as_bytes(), FieldValidation::Warn, false, &by(pod, manager, "v1", "status"))
    };
    let p = applied(&p, "kubelet", "True").unwrap().object;
    let condition = json!({".": {}, "f:status": {}, "f:type": {}});
    let fields = json!({"f:status": {"f:conditions": {"k:{\"type\":\"Ready\"}": condition}}});
    assert_eq!(owners(&p), [json!(["kubelet", "Apply", "status", true, fields]), creator]);

    let error = applied(&p, "other", "False").unwrap_err();
    let field = ".status.conditions[type=\"Ready\"].status";
    assert_eq!(
        error.message,
        format!("Apply failed with 1 conflict: conflict with \"kubelet\" with subresource \"status\": {field}")
    );
    let cause = json!({"reason": "FieldManagerConflict", "message": "conflict with \"kubelet\" with subresource \"status\"", "field": field});
    assert_eq!((error.code, error.reason, error.details), (409, "Conflict", json!({"causes": [cause]})));
}

fn apply_data(live: Option<&Value>, manager: &str, data: &Value, force: bool) -> Result<Value, ApiError> {
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
    let raw = config.to_string();
    let by = by(config_map(), manager, "v1", "");
    apply(config_map(), live, raw.as_bytes(), FieldValidation::Warn, force, &by).map(|d| d.object)
}

#[test]
fn configurations_are_applied_shared_forced_and_given_up() {
    let a = apply_data(None, "m1", &json!({"x": "1", "y": "1"}), false).unwrap();
    assert_eq!(owners(&a), [json!(["m1", "Apply", null, true, {"f:data": {"f:x": {}, "f:y": {}}}])]);
    assert_eq!(apply_data(Some(&a), "m1", &json!({"x": "1", "y": "1"}), false).unwrap(), a);
    let a = apply_data(Some(&a), "m1", &json!({"x": "2"}), false).unwrap();
    assert_eq!(a["data"], json!({"x": "2"}));
    let error = apply_data(Some(&a), "m2", &json!({"x": "3"}), false).unwrap_err();
    assert_eq!(error.message, "Apply failed with 1 conflict: conflict with \"m1\": .data.x");

    let m2 = json!(["m2", "Apply", null, true, {"f:data": {"f:x": {}, "f:z": {}}}]);
    let a = apply_data(Some(&a), "m2", &json!({"x": "2", "z": "1"}), false).unwrap();
    assert_eq!(owners(&a), [json!(["m1", "Apply", null, true, {"f:data": {"f:x": {}}}]), m2.clone()]);
    let a = apply_data(Some(&a), "m2", &json!({"x": "3", "z": "1"}), true).unwrap();
    assert_eq!(owners(&a), std::slice::from_ref(&m2));
    let a = apply_data(Some(&a), "m1", &json!({}), false).unwrap();
    let m1 = json!(["m1", "Apply", null, false, {"f:data": {}}]);
    assert_eq!(owners(&a), [m1.clone(), m2]);
    let a = apply_data(Some(&a), "m2", &json!({"z": "1"}), false).unwrap();
    assert_eq!(a["data"], json!({"z": "1"}));

    let a = write(&a, "updater", &json!({"u": "1"}));
    let updater = json!(["updater", "Update", null, true, {"f:data": {"f:u": {}}}]);
    assert_eq!(owners(&a), [m1, json!(["m2", "Apply", null, true, {"f:data": {"f:z": {}}}]), updater]);
    let error = apply_data(Some(&a), "m1", &json!({"u": "2", "z": "2"}), false).unwrap_err();
    assert_eq!(
        error.message,
        "Apply failed with 2 conflicts: conflicts with \"m2\":\n- .data.z\nconflicts with \"updater\" using v1:\n- .data.u"
    );
}

#[test]
fn configurations_that_cannot_be_applied_are_refused() {
    let refused = |config: Value| {
        let by = by(config_map(), "m1", "v1", "");
        let raw = config.to_string();
        let error = apply(config_map(), None, raw.as_bytes(), FieldValidation::Warn, false, &by).unwrap_err();
        (error.code, error.message)
    };
    let head = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let with = |name: &str, value: Value| {
        let mut config = head.clone();
        config[name] = value;
        config
    };
    assert_eq!(refused(json!({"data": {}})), (400, "invalid object type: /, Kind=".to_owned()));
    assert_eq!(
        refused(json!({"apiVersion": "apps/v1", "kind": "Deployment"})),
        (400, "invalid object type: apps/v1, Kind=Deployment".to_owned())
    );
    assert_eq!(
        refused(with("metadata", json!({"name": "a", "managedFields": [{"manager": "x"}]}))),
        (400, "metadata.managedFields must be nil".to_owned())
    );
    assert_eq!(
        refused(with("spec", json!({}))),
        (
            500,
            "failed to create typed patch object (/; /v1, Kind=ConfigMap): .spec: field not declared in schema"
                .to_owned()
        )
    );
    assert_eq!(refused(json!([])).0, 400);
}

#[test]
fn list_items_are_added_removed_and_ordered() {
    let deployment = type_of("apps", "v1", "Deployment").unwrap();
    let applied = |live: Option<&Value>, manager: &str, containers: Value| {
        let template = json!({"metadata": {"labels": {"app": "w"}}, "spec": {"containers": containers}});
        let config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"selector": {"matchLabels": {"app": "w"}}, "template": template}});
        let by = by(deployment, manager, "apps/v1", "");
        apply(deployment, live, config.to_string().as_bytes(), FieldValidation::Strict, false, &by).unwrap().object
    };
    let names = |object: &Value| -> Vec<String> {
        let list = object.pointer("/spec/template/spec/containers").unwrap().as_array().unwrap();
        list.iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
    };
    let d = applied(None, "one", json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]));
    let fields = json!({"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:containers": {
        "k:{\"name\":\"a\"}": {".": {}, "f:image": {}, "f:name": {}}, "k:{\"name\":\"b\"}": {".": {}, "f:image": {}, "f:name": {}}}}});
    assert_eq!(owners(&d), [json!(["one", "Apply", null, true, {"f:spec": {"f:selector": {}, "f:template": fields}}])]);
    let d = applied(Some(&d), "two", json!([{"name": "c", "image": "c:1"}]));
    assert_eq!(names(&d), ["a", "b", "c"]);
    let d = applied(Some(&d), "one", json!([{"name": "b", "image": "b:1"}]));
    assert_eq!(names(&d), ["b", "c"]);
    let d = applied(Some(&d), "one", json!([{"name": "n", "image": "n:1"}, {"name": "b", "image": "b:1"}]));
    assert_eq!(names(&d), ["n", "b", "c"]);
    let d = applied(Some(&d), "two", json!([]));
    assert_eq!(names(&d), ["n", "b"]);
}

#[test]
fn fields_of_the_time_before_the_first_apply_are_kept() {
    let a = decoded(config_map(), &json!({"metadata": {"name": "a"}, "data": {"old": "1"}}));
    let error = apply_data(Some(&a), "m1", &json!({"old": "2"}), false).unwrap_err();
    assert_eq!(error.message, "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.old");
    let a = apply_data(Some(&a), "m1", &json!({"new": "1"}), false).unwrap();
    assert_eq!(a["data"], json!({"new": "1", "old": "1"}));
    assert_eq!(owners(&a)[1], json!(["before-first-apply", "Update", null, true, {"f:data": {".": {}, "f:old": {}}}]));
}

#[test]
fn scaling_takes_the_replicas() {
    let deployment = type_of("apps", "v1", "Deployment").unwrap();
    let mut d = decoded(deployment, &json!({"metadata": {"name": "d"}, "spec": {"replicas": 2}}));
    track_update(deployment, None, &mut d, &by(deployment, "creator", "apps/v1", ""));
    let mut scaled = d.clone();
    scaled["spec"]["replicas"] = json!(4);
    track_scale(&d, &mut scaled, &by(deployment, "hpa", "apps/v1", "scale"));
    let hpa = json!(["hpa", "Update", "scale", false, {"f:spec": {"f:replicas": {}}}]);
    assert!(owners(&scaled).contains(&hpa));
    assert!(!owners(&scaled).iter().any(|o| o[0] == "creator" && o[4].pointer("/f:spec/f:replicas").is_some()));
}

#[test]
fn old_updaters_are_merged() {
    let mut a = decoded(config_map(), &json!({"metadata": {"name": "a"}, "data": {"k": "1"}}));
    track_update(config_map(), None, &mut a, &by(config_map(), "m0", "v1", ""));
    for n in 1..15 {
        a = write(&a, &format!("m{n}"), &json!({format!("k{n}"): "1"}));
    }
    let managers = owners(&a);
    assert_eq!(managers.len(), 10);
    assert!(managers.iter().any(|owner| owner[0] == "ancient-changes"));
}

#[test]
fn times_are_settled_when_nothing_else_differs() {
    let mut a = decoded(config_map(), &json!({"metadata": {"name": "a"}, "data": {"k": "1"}}));
    track_update(config_map(), None, &mut a, &by(config_map(), "m0", "v1", ""));
    let mut later = a.clone();
    later["metadata"]["managedFields"][0]["time"] = json!("2025-01-01T00:00:00Z");
    let mut changed = later.clone();
    changed["data"]["k"] = json!("2");
    settle_times(&a, &mut later);
    assert_eq!(later, a);
    settle_times(&a, &mut changed);
    assert_eq!(changed["metadata"]["managedFields"][0]["time"], "2025-01-01T00:00:00Z");
}

#[test]
fn the_same_in_other_words_is_no_change() {
    let deployment = type_of("apps", "v1", "Deployment").unwrap();
    let applied = |live: Option<&Value>, cpu: Value, now: &str| {
        let container = json!({"name": "c", "image": "a:1", "resources": {"requests": {"cpu": cpu}}});
        let config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"template": {"spec": {"containers": [container]}}}});
        let by = Writer { now: now.parse().unwrap(), ..by(deployment, "one", "apps/v1", "") };
        apply(deployment, live, config.to_string().as_bytes(), FieldValidation::Strict, false, &by).unwrap().object
    };
    let once = applied(None, json!("0.5"), "2024-01-01T00:00:00Z");
    assert_eq!(applied(Some(&once), json!(0.5), "2024-01-02T00:00:00Z"), once);
    assert_ne!(applied(Some(&once), json!("600m"), "2024-01-02T00:00:00Z"), once);
}

#[test]
fn duplicate_keys_of_configurations_are_reported() {
    let by = by(config_map(), "m1", "v1", "");
    let raw = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: '1'\n  a: '2'\n";
    let decoded = apply(config_map(), None, raw, FieldValidation::Warn, false, &by).unwrap();
    assert_eq!((&decoded.object["data"]["a"], decoded.warnings.len()), (&json!("2"), 1));
    let raw = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"1","a":"2"}}"#;
    let error = apply(config_map(), None, raw, FieldValidation::Strict, false, &by).unwrap_err();
    let text = "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 1: key \"a\" already set in map";
    assert_eq!((error.code, error.message.as_str()), (400, text));
}

#[test]
fn writes_through_a_subresource_own_what_they_can_change() {
    let pod = type_of("", "v1", "Pod").unwrap();
    let body = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a:1"}]}});
    let mut live = decoded(pod, &body);
    track_update(pod, None, &mut live, &by(pod, "creator", "v1", ""));
    let mut new = live.clone();
    new["spec"]["containers"][0]["image"] = json!("a:2");
    new["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "u"}]);
    new["status"]["phase"] = json!("Running");
    let mut by_status = new.clone();
    track_update(pod, Some(&live), &mut by_status, &by(pod, "kubelet", "v1", "status"));
    let kubelet = json!(["kubelet", "Update", "status", true, {"f:status": {"f:phase": {}}}]);
    assert_eq!(owners(&by_status), [owners(&live)[0].clone(), kubelet]);
    track_update(pod, Some(&live), &mut new, &by(pod, "other", "v1", ""));
    let owner = json!({".": {}, "k:{\"uid\":\"u\"}": {}});
    let fields = json!({"f:metadata": {"f:ownerReferences": owner}, "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}}});
    assert!(owners(&new).contains(&json!(["other", "Update", null, true, fields])), "{:?}", owners(&new));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn data() -> impl Strategy<Value = Value> {
        proptest::collection::btree_map("[a-d]", "[x-z]", 0..4).prop_map(|map| json!(map))
    }

    proptest! {
        #[test]
        fn applying_again_changes_nothing(first in data(), second in data()) {
            let a = apply_data(None, "m1", &first, false).unwrap();
            let b = apply_data(Some(&a), "m2", &second, true).unwrap();
            let again = apply_data(Some(&b), "m2", &second, true).unwrap();
            prop_assert_eq!(&again, &b);
            for (name, value) in second.as_object().unwrap() {
                prop_assert_eq!(&b["data"][name], value);
            }
        }

        #[test]
        fn what_is_applied_and_given_up_is_gone(first in data(), second in data()) {
            let a = apply_data(None, "m1", &first, false).unwrap();
            let b = apply_data(Some(&a), "m1", &second, false).unwrap();
            let left = b.get("data").cloned().unwrap_or(json!({}));
            prop_assert_eq!(left, second);
        }
    }
}
