use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn pod() -> &'static Type {
    type_of("", "v1", "Pod").unwrap()
}

fn decode(ty: &'static Type, text: &str) -> Decoded {
    decode_json(ty, text.as_bytes(), FieldValidation::Warn).unwrap()
}

fn error(ty: &'static Type, text: &str, validation: FieldValidation) -> String {
    let error = decode_json(ty, text.as_bytes(), validation).unwrap_err();
    assert_eq!((error.code, error.reason), (400, "BadRequest"));
    error.message
}

#[test]
fn bodies_that_are_no_objects_are_refused() {
    let head =
        "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: ";
    let go = "into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";
    for (text, tail) in [
        (
            r#"{"apiVersion":"v1","kind":"Pod","#,
            r#"unexpected end of JSON input ({"apiVersion":"v1","kind":"Pod ...)"#.to_owned(),
        ),
        ("", "unexpected end of JSON input (<empty>)".to_owned()),
        ("[]", format!("json: cannot unmarshal array {go} (5b5d)")),
        ("\"x\"", format!("json: cannot unmarshal string {go} (227822)")),
        (r#"{"kind":"Pod"} t"#, r#"invalid character 't' after top-level value ({"kind":"Pod"} t)"#.to_owned()),
    ] {
        assert_eq!(error(pod(), text, FieldValidation::Warn), format!("{head}{tail}"));
    }
    assert_eq!(
        decode(pod(), "null").object,
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {}, "spec": {"containers": null}, "status": {}})
    );
}

#[test]
fn wrong_types_are_named_with_their_go_fields() {
    let head = "Pod in version \"v1\" cannot be handled as a Pod: ";
    for (text, tail) in [
        (
            r#"{"metadata":{"name":5}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            r#"{"spec":{"containers":{}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            r#"{"spec":{"priority":"high"}}"#,
            "json: cannot unmarshal string into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            r#"{"spec":{"priority":99999999999}}"#,
            "json: cannot unmarshal number 99999999999 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            r#"{"metadata":{"labels":{"a":1}}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (r#"{"spec":"x"}"#, "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"),
        (
            r#"{"spec":{"containers":[{"ports":[{"containerPort":"80"}]}]}}"#,
            "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (r#"{"metadata":{"creationTimestamp":5}}"#, "json: cannot unmarshal number into Go value of type string"),
        (
            r#"{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":1.5}}}]}}"#,
            "json: cannot unmarshal number 1.5 into Go value of type int32",
        ),
    ] {
        assert_eq!(error(pod(), text, FieldValidation::Strict), format!("{head}{tail}"), "{text}");
    }
}

#[test]
fn other_kinds_and_versions_are_refused() {
    let config_map = type_of("", "v1", "ConfigMap").unwrap();
    let deployment = type_of("apps", "v1", "Deployment").unwrap();
    let no_kind = "is registered for version \"v2\" in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"";
    for (ty, text, expected) in [
        (config_map, r#"{"apiVersion":"v1","kind":"Pod"}"#, "Pod in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion".to_owned()),
        (pod(), r#"{"apiVersion":"v2","kind":"Pod"}"#, format!("Pod in version \"v2\" cannot be handled as a Pod: no kind \"Pod\" {no_kind}")),
        (deployment, r#"{"apiVersion":"apps/v1beta1","kind":"Deployment"}"#, "the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)".to_owned()),
        (pod(), r#"{"apiVersion":"a/b/c"}"#, "the object provided is unrecognized (must be of type Pod): unexpected GroupVersion string: a/b/c ({\"apiVersion\":\"a/b/c\"})".to_owned()),
    ] {
        assert_eq!(error(ty, text, FieldValidation::Warn), expected);
    }
    let list = error(pod(), r#"{"apiVersion":"v1","kind":"List"}"#, FieldValidation::Warn);
    assert_eq!(
        list,
        "List in version \"v1\" cannot be handled as a Pod: converting (v1.List) to (core.Pod): unknown conversion"
    );
    let number = error(pod(), r#"{"kind":5}"#, FieldValidation::Warn);
    let expected = "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of type string ({\"kind\":5})";
    assert_eq!(number, expected);
    let eviction = type_of("policy", "v1", "Eviction").unwrap();
    assert_eq!(decode(eviction, r#"{"apiVersion":"policy/v1beta1","kind":"Eviction"}"#).object["kind"], "Eviction");
    let options = type_of("meta.k8s.io", "v1", "DeleteOptions").unwrap();
    assert_eq!(
        decode(options, r#"{"apiVersion":"policy/v1","kind":"DeleteOptions","gracePeriodSeconds":0}"#).object["gracePeriodSeconds"],
        0
    );
}

#[test]
fn unknown_and_duplicate_fields_are_reported_in_order() {
    let config_map = type_of("", "v1", "ConfigMap").unwrap();
    let text = r#"{"metadata":{"name":"dup","foo":1,"name":"dup2"},"data":{"a":"1","a":"2"},"extra":true}"#;
    let decoded = decode(config_map, text);
    let expected = [
        "unknown field \"metadata.foo\"",
        "duplicate field \"metadata.name\"",
        "duplicate field \"data.a\"",
        "unknown field \"extra\"",
    ];
    assert_eq!(decoded.warnings, expected);
    assert_eq!(
        decoded.object,
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "dup2"}, "data": {"a": "2"}})
    );
    assert_eq!(
        error(config_map, text, FieldValidation::Strict),
        format!(
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: {}",
            expected.join(", ")
        )
    );
    assert!(decode_json(config_map, text.as_bytes(), FieldValidation::Ignore).unwrap().warnings.is_empty());
    let text = r#"{"spec":{"containers":[{"name":"c","imagee":"x"}],"nodename":"n"}}"#;
    assert_eq!(
        decode(pod(), text).warnings,
        ["unknown field \"spec.containers[0].imagee\"", "unknown field \"spec.nodename\""]
    );
}

#[test]
fn empty_values_are_left_out_and_structs_written() {
    let text = r#"{"metadata":{"name":"p","labels":{},"finalizers":[],"creationTimestamp":null},
        "spec":{"hostNetwork":false,"priority":0,"nodeName":"","tolerations":null,"securityContext":{},
                "containers":[{"name":"c","env":[{"name":"A","value":""}]}]},
        "status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
    let expected = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"},
        "spec": {"priority": 0, "securityContext": {}, "containers": [{"name": "c", "env": [{"name": "A"}], "resources": {}}]},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": null}]}});
    assert_eq!(decode(pod(), text).object, expected);
    let node = decode(type_of("", "v1", "Node").unwrap(), "{}").object;
    assert_eq!(node["status"]["daemonEndpoints"], json!({"kubeletEndpoint": {"Port": 0}}));
    assert_eq!(node["status"]["nodeInfo"]["machineID"], "");
    let deployment = decode(type_of("apps", "v1", "Deployment").unwrap(), "{}").object;
    assert_eq!(deployment["spec"]["selector"], Value::Null);
    assert_eq!(deployment["spec"]["strategy"], json!({}));
    let secret = decode(type_of("", "v1", "Secret").unwrap(), r#"{"data":{"a":null,"b":"eA=="}}"#).object;
    assert_eq!(secret["data"], json!({"a": "", "b": "eA=="}));
}

#[test]
fn yaml_is_read() {
    let text = "metadata:\n  name: p\nspec:\n  containers:\n  - name: c\n    image: a:1\n  priority: 5\n";
    let object = decode_yaml(pod(), text.as_bytes(), FieldValidation::Strict).unwrap().object;
    assert_eq!(object["spec"]["containers"][0]["image"], "a:1");
    assert_eq!(object["spec"]["priority"], 5);
}

#[test]
fn results_of_patches_are_refused_as_invalid() {
    let object = json!({"metadata": {"name": "p"}, "spec": {"priority": "x", "containers": []}});
    let error = decode_patched(pod(), &object, Vec::new(), FieldValidation::Warn, Value::to_string).unwrap_err();
    assert_eq!((error.code, error.reason), (422, "Invalid"));
    assert!(error.message.starts_with(" \"\" is invalid: patch: Invalid value: \"{"), "{}", error.message);
    assert_eq!(error.details["causes"][0]["field"], "patch");
    assert!(error.details.get("kind").is_none());
}

#[test]
fn decoding_is_idempotent() {
    let text = r#"{"metadata":{"name":"n","labels":{"a":"b"}},"spec":{"taints":[{"key":"k","effect":"NoSchedule"}]},
        "status":{"capacity":{"cpu":"4","memory":"16Gi"},"conditions":[{"type":"Ready","status":"True","lastHeartbeatTime":"2024-01-01T00:00:00Z"}]}}"#;
    let node = type_of("", "v1", "Node").unwrap();
    let once = decode(node, text).object;
    let again = normalize(node, &once, FieldValidation::Strict).unwrap();
    assert_eq!(again.object, once);
    assert!(again.warnings.is_empty());
}

#[test]
fn quantities_are_canonical() {
    let text = r#"{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":0.5,"memory":"1024Mi"}},
        "env":[{"name":"A","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu"}}}]}]}}"#;
    let object = decode(pod(), text).object;
    let container = &object["spec"]["containers"][0];
    assert_eq!(container["resources"]["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
    assert_eq!(container["env"][0]["valueFrom"]["resourceFieldRef"]["divisor"], "0");
    let text = r#"{"spec":{"containers":[{"resources":{"requests":{"cpu":"abc"}}}],"priority":"x"}}"#;
    let text = error(pod(), text, FieldValidation::Strict);
    assert!(
        text.starts_with("Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular"),
        "{text}"
    );
}

/// Puts values in the place of what the recordings leave open.
fn fill(value: &mut Value) {
    match value {
        Value::String(text) if text == "<time>" => "2024-01-01T00:00:00Z".clone_into(text),
        Value::Array(list) => list.iter_mut().for_each(fill),
        Value::Object(map) => {
            map.retain(|_, v| v != "<managedFields>");
            map.values_mut().for_each(fill);
        }
        _ => {}
    }
}

/// Objects as a real API server showed them are decoded to themselves.
#[test]
fn recorded_objects_are_in_their_form_already() {
    let Ok(shared) = std::env::var("AUGUR_SHARED") else {
        // Nothing to compare with: AUGUR_SHARED names the folder of the recordings.
        return;
    };
    let mut compared = 0;
    for file in std::fs::read_dir(format!("{shared}/apiserver-exchanges/scenarios")).unwrap() {
        let scenario: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        for (index, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
            let mut object = step["response"]["body"].clone();
            let text = |name: &str| object[name].as_str().unwrap_or("");
            let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
            let Some(ty) = type_of(group, version, text("kind")) else { continue };
            if ty.name == "v1.Status" || step["setup"] == true {
                continue;
            }
            fill(&mut object);
            let decoded = normalize(ty, &object, FieldValidation::Strict);
            let shown = format!("{} step {index}", scenario["name"]);
            assert_eq!(decoded.unwrap_or_else(|e| panic!("{shown}: {}", e.message)).object, object, "{shown}");
            compared += 1;
        }
    }
    assert!(compared > 100, "only {compared} objects");
}

proptest! {
    #[test]
    fn whatever_is_sent_there_is_an_answer(body in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..400_usize) {
        let text = br#"{"metadata":{"name":"p","creationTimestamp":"2024-01-01T00:00:00.5+01:00"},"spec":{"containers":[{"name":"c","image":"\u00e9",
            "resources":{"requests":{"cpu":1.5e3}},"ports":[{"containerPort":80}]}],"priority":-5},"status":{"phase":null}}"#;
        let torn = &text[..cut.min(text.len())];
        for body in [body.as_slice(), torn, &[torn, &body].concat(), &[b"k8s\0", body.as_slice()].concat()] {
            for ty in [pod(), type_of("", "v1", "Secret").unwrap()] {
                let _ = decode_json(ty, body, FieldValidation::Strict);
                let _ = decode_yaml(ty, body, FieldValidation::Warn);
                let _ = decode_protobuf(ty, body, FieldValidation::Warn);
            }
        }
    }

    /// What the decoder writes, it reads to the same.
    #[test]
    fn decoding_twice_is_decoding_once(
        labels in proptest::collection::btree_map("[a-c]", "[a-z]{0,3}", 0..3),
        priority in proptest::option::of(any::<i32>()),
        cpu in "[0-9]{1,4}(m|k|Mi)?",
        seconds in 0..2_000_000_000_i64,
    ) {
        let time = jiff::Timestamp::new(seconds, 0).unwrap().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let body = json!({"metadata": {"name": "p", "labels": labels, "creationTimestamp": time}, "spec": {"priority": priority,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
        let once = normalize(pod(), &body, FieldValidation::Strict).unwrap().object;
        prop_assert_eq!(normalize(pod(), &once, FieldValidation::Strict).unwrap().object, once);
    }
}
