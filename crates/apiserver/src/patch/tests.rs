use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema::type_of;

fn config_map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"a": "b"}}, "data": data})
}

type Patch = fn(&'static Type, &Value, &[u8], FieldValidation) -> Result<Decoded, ApiError>;

fn patched(patch: Patch, kind: (&str, &str), live: &Value, body: &Value) -> Value {
    let ty = type_of(kind.0, "v1", kind.1).unwrap();
    patch(ty, live, body.to_string().as_bytes(), FieldValidation::Warn).unwrap().object
}

fn refused(patch: Patch, kind: (&str, &str), live: &Value, body: &str, validation: FieldValidation) -> (u16, String) {
    let ty = type_of(kind.0, "v1", kind.1).unwrap();
    let error = patch(ty, live, body.as_bytes(), validation).unwrap_err();
    assert_eq!(
        error.reason,
        match error.code {
            400 => "BadRequest",
            422 => "Invalid",
            _ => "",
        }
    );
    (error.code, error.message)
}

const CONFIG_MAP: (&str, &str) = ("", "ConfigMap");
const POD: (&str, &str) = ("", "Pod");
const DEPLOYMENT: (&str, &str) = ("apps", "Deployment");

#[test]
fn json_patches_apply_in_order() {
    let live = config_map(&json!({"k": "1", "l": "3"}));
    let body = json!([
        {"op": "test", "path": "/data/k", "value": "1"},
        {"op": "replace", "path": "/data/k", "value": "2"},
        {"op": "move", "from": "/data/l", "path": "/data/m"},
        {"op": "copy", "from": "/data/m", "path": "/data/c"},
        {"op": "add", "path": "/metadata/annotations", "value": {"x.io/y": "1"}},
        {"op": "remove", "path": "/metadata/annotations/x.io~1y"},
    ]);
    let object = patched(json_patch, CONFIG_MAP, &live, &body);
    assert_eq!(object["data"], json!({"k": "2", "m": "3", "c": "3"}));
    assert!(object["metadata"].get("annotations").is_none());
    let finalizers = json!([
        {"op": "add", "path": "/metadata/finalizers", "value": ["a/a", "b/b"]},
        {"op": "add", "path": "/metadata/finalizers/-", "value": "c/c"},
        {"op": "remove", "path": "/metadata/finalizers/0"},
        {"op": "replace", "path": "/metadata/finalizers/-1", "value": "z/z"},
    ]);
    let object = patched(json_patch, CONFIG_MAP, &live, &finalizers);
    assert_eq!(object["metadata"]["finalizers"], json!(["b/b", "z/z"]));
}

#[test]
fn json_patches_that_fail_are_refused() {
    let live = config_map(&json!({"k": "1"}));
    let rejected = (422, "the server rejected our request due to an error in our request".to_owned());
    for body in [
        json!([{"op": "test", "path": "/data/k", "value": "wrong"}]),
        json!([{"op": "remove", "path": "/data/absent"}]),
        json!([{"op": "add", "path": "/nope/deep", "value": 1}]),
        json!([{"op": "frob", "path": "/data/k"}]),
        json!([{"op": "add"}]),
        json!([{"op": "copy", "path": "/data/x"}]),
    ] {
        assert_eq!(
            refused(json_patch, CONFIG_MAP, &live, &body.to_string(), FieldValidation::Warn),
            rejected,
            "{body}"
        );
    }
    let decoding = |body| refused(json_patch, CONFIG_MAP, &live, body, FieldValidation::Warn);
    let not_list = "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp";
    assert_eq!(decoding("{\"op\":\"test\"}"), (400, not_list.to_owned()));
    assert_eq!(decoding("[{"), (400, "error decoding patch: unexpected end of JSON input".to_owned()));
    let wrong_type = decoding("[{\"op\":\"add\",\"path\":\"/data/n\",\"value\":5}]");
    assert_eq!(wrong_type.0, 422);
    assert!(wrong_type.1.starts_with(" \"\" is invalid: patch: Invalid value: "), "{}", wrong_type.1);
    let unknown = r#"[{"op":"add","path":"/data/n","value":"1","x":1}]"#;
    let strict = refused(json_patch, CONFIG_MAP, &live, unknown, FieldValidation::Strict);
    assert!(strict.1.ends_with("strict decoding error: json patch unknown field \"[0].x\""), "{}", strict.1);
}

#[test]
fn json_patches_cannot_grow_without_end() {
    let live = config_map(&json!({"k": "1"}));
    let rejected = (422, "the server rejected our request due to an error in our request".to_owned());
    let doubling: Vec<Value> =
        (0..60).map(|n| json!({"op": "copy", "from": "/data", "path": format!("/data/x{n}")})).collect();
    let body = json!(doubling).to_string();
    assert_eq!(refused(json_patch, CONFIG_MAP, &live, &body, FieldValidation::Warn), rejected);
    let deeper: Vec<Value> = (1..300).map(|n| json!({"op": "add", "path": "/x".repeat(n), "value": {}})).collect();
    assert_eq!(refused(json_patch, CONFIG_MAP, &live, &json!(deeper).to_string(), FieldValidation::Warn), rejected);
}

#[test]
fn merge_patches_replace_and_delete() {
    let live = config_map(&json!({"k": "1", "l": "2"}));
    let body = json!({"data": {"k": null, "m": "3", "n": null}, "metadata": {"labels": {"a": null, "c": "d"}}, "immutable": true});
    let object = patched(merge_patch, CONFIG_MAP, &live, &body);
    assert_eq!(object["data"], json!({"l": "2", "m": "3"}));
    assert_eq!((&object["metadata"]["labels"], &object["immutable"]), (&json!({"c": "d"}), &json!(true)));
    assert_eq!(
        refused(merge_patch, CONFIG_MAP, &live, "{\"data\"", FieldValidation::Warn),
        (400, "error decoding patch: unexpected end of JSON input".to_owned())
    );
    let strict = refused(merge_patch, CONFIG_MAP, &live, r#"{"data":{"z":"1"},"bogus":1}"#, FieldValidation::Strict);
    assert_eq!(strict.0, 422);
    assert!(strict.1.ends_with("strict decoding error: unknown field \"bogus\""), "{}", strict.1);
    let ty = type_of("", "v1", "ConfigMap").unwrap();
    let warned = merge_patch(ty, &live, br#"{"data":{"z":"1"},"bogus":1}"#, FieldValidation::Warn).unwrap();
    assert_eq!(warned.warnings, ["unknown field \"bogus\""]);
}

fn names(object: &Value, pointer: &str) -> Vec<String> {
    let list = object.pointer(pointer).unwrap().as_array().unwrap();
    list.iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
}

fn deployment() -> Value {
    let containers = json!([
        {"name": "c", "image": "a:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
         "ports": [{"containerPort": 80, "protocol": "TCP"}]},
        {"name": "d", "image": "d:1"}]);
    let spec = json!({"containers": containers, "tolerations": [{"key": "a", "operator": "Exists"}],
        "volumes": [{"name": "v", "emptyDir": {}}]});
    json!({"metadata": {"name": "d", "labels": {"app": "web"}},
        "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, "template": {"spec": spec}}})
}

fn of_template(spec: &Value) -> Value {
    patched(strategic_merge_patch, DEPLOYMENT, &deployment(), &json!({"spec": {"template": {"spec": spec}}}))
}

#[test]
fn strategic_merge_patches_merge_lists_by_key() {
    let spec = json!({"containers": [{"name": "c", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
        "ports": [{"containerPort": 81, "name": "x"}]}], "tolerations": [{"key": "b", "operator": "Exists"}]});
    let object = of_template(&spec);
    let c = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(c["image"], "a:1");
    assert_eq!(
        c["env"],
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}])
    );
    assert_eq!(c["ports"], json!([{"containerPort": 81, "name": "x"}, {"containerPort": 80, "protocol": "TCP"}]));
    assert_eq!(object["spec"]["template"]["spec"]["tolerations"], json!([{"key": "b", "operator": "Exists"}]));
    assert_eq!(names(&object, "/spec/template/spec/containers"), ["c", "d"]);
}

#[test]
fn directives_delete_replace_retain_and_order() {
    let object = of_template(
        &json!({"containers": [{"name": "c", "env": [{"name": "A", "$patch": "delete"}]}, {"name": "d", "$patch": "delete"}]}),
    );
    assert_eq!(names(&object, "/spec/template/spec/containers"), ["c"]);
    assert_eq!(names(&object, "/spec/template/spec/containers/0/env"), ["B"]);
    let object = of_template(&json!({"containers": [{"$patch": "replace"}, {"name": "only", "image": "o:1"}]}));
    assert_eq!(names(&object, "/spec/template/spec/containers"), ["only"]);
    let order = json!({"$setElementOrder/containers": [{"name": "e"}, {"name": "c"}], "containers": [{"name": "e", "image": "e:1"}]});
    assert_eq!(names(&of_template(&order), "/spec/template/spec/containers"), ["e", "c", "d"]);
    let volumes = json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "emptyDir": null, "hostPath": {"path": "/x"}}]});
    let object = of_template(&volumes);
    assert_eq!(object["spec"]["template"]["spec"]["volumes"], json!([{"name": "v", "hostPath": {"path": "/x"}}]));
    let patch = json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}, "metadata": {"labels": {"$patch": "replace", "z": "1"}}});
    let object = patched(strategic_merge_patch, DEPLOYMENT, &deployment(), &patch);
    assert_eq!(object["spec"]["strategy"], json!({"type": "Recreate"}));
    assert_eq!(object["metadata"]["labels"], json!({"z": "1"}));
    let patch = json!({"metadata": {"annotations": {"a": "b", "n": null}, "labels": null}});
    let object = patched(strategic_merge_patch, DEPLOYMENT, &deployment(), &patch);
    assert_eq!(object["metadata"], json!({"name": "d", "annotations": {"a": "b"}}));
}

#[test]
fn selectors_of_disruption_budgets_are_replaced() {
    let live = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}});
    let body = json!({"spec": {"selector": {"matchLabels": {"c": "d"}}}});
    let object = patched(strategic_merge_patch, ("policy", "PodDisruptionBudget"), &live, &body);
    assert_eq!(object["spec"], json!({"minAvailable": 1, "selector": {"matchLabels": {"c": "d"}}}));
}

#[test]
fn kinds_in_patches_are_ignored_or_refused() {
    let live = config_map(&json!({"k": "1"}));
    let body = json!({"kind": "Pod", "data": {"k": "2"}});
    let object = patched(strategic_merge_patch, CONFIG_MAP, &live, &body);
    assert_eq!((&object["kind"], &object["data"]["k"]), (&json!("ConfigMap"), &json!("2")));
    let refusal = refused(merge_patch, CONFIG_MAP, &live, &body.to_string(), FieldValidation::Warn);
    assert!(refusal.0 == 422 && refusal.1.ends_with("unknown conversion"), "{}", refusal.1);
}

#[test]
fn primitive_lists_are_merged_and_deleted_from() {
    let pod =
        json!({"metadata": {"name": "p", "finalizers": ["example.com/f"]}, "spec": {"containers": [{"name": "c"}]}});
    let merged = patched(
        strategic_merge_patch,
        POD,
        &pod,
        &json!({"metadata": {"finalizers": ["example.com/g", "example.com/f"]}}),
    );
    assert_eq!(merged["metadata"]["finalizers"], json!(["example.com/g", "example.com/f"]));
    let delete = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/f"]}});
    let object = patched(strategic_merge_patch, POD, &merged, &delete);
    assert_eq!(object["metadata"]["finalizers"], json!(["example.com/g"]));
    let order = json!({"metadata": {"$setElementOrder/finalizers": ["example.com/f", "example.com/g"]}});
    let object = patched(strategic_merge_patch, POD, &merged, &order);
    assert_eq!(object["metadata"]["finalizers"], json!(["example.com/f", "example.com/g"]));
}

#[test]
fn wrong_strategic_patches_are_refused() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
    for (body, code, message) in [
        (
            json!({"spec": {"containers": [{"image": "a:2"}]}}),
            500,
            "map: map[image:a:2] does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"containers": [{"name": "c", "$patch": "frob"}]}}),
            500,
            "unknown patch type: frob in map: map[$patch:frob name:c]",
        ),
        (json!({"spec": {"$patch": "frob"}}), 500, "unknown patch type: frob in map: map[$patch:frob]"),
        (json!({"spec": {"volumes": [{"name": "v", "$retainKeys": "x"}]}}), 400, "invalid patch format of retainKeys"),
        (
            json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "emptyDir": {}}]}}),
            400,
            "invalid patch format of retainKeys",
        ),
        (json!([]), 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ] {
        let refusal = refused(strategic_merge_patch, POD, &pod, &body.to_string(), FieldValidation::Warn);
        assert_eq!(refusal, (code, message.to_owned()), "{body}");
    }
    assert_eq!(
        refused(strategic_merge_patch, POD, &pod, "{", FieldValidation::Warn),
        (400, "unexpected end of JSON input".to_owned())
    );
    let wrong = refused(strategic_merge_patch, POD, &pod, r#"{"spec":{"priority":"x"}}"#, FieldValidation::Warn);
    assert!(
        wrong.1.starts_with(" \"\" is invalid: patch: Invalid value: \"map[spec:map[priority:x]]\": "),
        "{}",
        wrong.1
    );
}

fn data() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-d]", "[x-z]", 0..4).prop_map(|map| json!(map))
}

proptest! {
    #[test]
    fn merge_patch_of_an_object_onto_itself_changes_nothing(map in data()) {
        let once = patched(merge_patch, CONFIG_MAP, &config_map(&map), &json!({}));
        let again = patched(merge_patch, CONFIG_MAP, &once, &once);
        prop_assert_eq!(&again, &once);
        let strategic = patched(strategic_merge_patch, CONFIG_MAP, &once, &once);
        prop_assert_eq!(&strategic, &once);
    }

    #[test]
    fn whatever_is_sent_there_is_an_answer(body in "[\\[{\"a$\\]}:,0-9nulpatchop/ ~.-]{0,60}") {
        let ty = type_of("", "v1", "ConfigMap").unwrap();
        for patch in [json_patch as Patch, merge_patch, strategic_merge_patch] {
            let _ = patch(ty, &config_map(&json!({"a": "b"})), body.as_bytes(), FieldValidation::Strict);
        }
    }

    #[test]
    fn without_lists_strategic_and_merge_patches_agree(map in data(), over in data(), gone in "[a-d]") {
        let mut over = over;
        over[gone] = Value::Null;
        let live = config_map(&map);
        let body = json!({"data": over});
        let merged = patched(merge_patch, CONFIG_MAP, &live, &body);
        prop_assert_eq!(patched(strategic_merge_patch, CONFIG_MAP, &live, &body), merged);
    }

    #[test]
    fn lists_hold_every_key_once(old in proptest::collection::btree_set("[a-e]", 1..5), new in proptest::collection::btree_set("[a-e]", 1..5)) {
        let items = |set: &std::collections::BTreeSet<String>| -> Vec<Value> { set.iter().map(|name| json!({"name": name})).collect() };
        let live = json!({"metadata": {"name": "p"}, "spec": {"containers": items(&old)}});
        let object = patched(strategic_merge_patch, POD, &live, &json!({"spec": {"containers": items(&new)}}));
        let mut found = names(&object, "/spec/containers");
        found.sort();
        let all: Vec<String> = old.union(&new).cloned().collect();
        prop_assert_eq!(found, all);
    }
}
