//! The extender as kube-scheduler speaks to it: bodies as Go writes and reads them.

mod common;

use common::*;
use serde_json::{Value, json};

/// A pod as it travels, with what no decision reads.
const POD: &str = r#"{"metadata":{"name":"a","namespace":"default","uid":"uid-a","creationTimestamp":null},
    "spec":{"containers":[{"name":"c","image":"i","resources":{}}]},"status":{}}"#;

fn args(members: &str) -> String {
    format!(r#"{{"Pod":{POD},{members}}}"#)
}

#[tokio::test]
async fn lists_that_go_writes_as_null_are_empty() {
    let f = fixture();
    for members in [r#""Nodes":null,"NodeNames":[]"#, r#""Nodes":{"metadata":{},"items":null},"NodeNames":null"#] {
        let (status, result) = post(&f.scheduler, "/extender/filter", args(members)).await;
        assert_eq!((status, &result["Error"]), (200, &json!("")), "{members}");
        assert_eq!(post(&f.scheduler, "/extender/prioritize", args(members)).await.1, json!([]));
    }
}

#[tokio::test]
async fn answers_have_exactly_the_members_of_the_go_types() {
    let f = fixture();
    let (_, result) = post(&f.scheduler, "/extender/filter", args(r#""Nodes":null,"NodeNames":["n1","n2"]"#)).await;
    let expected = json!({ "Nodes": null, "NodeNames": ["n1"], "FailedNodes": { "n2": "Insufficient cpu" },
        "FailedAndUnresolvableNodes": {}, "Error": "" });
    assert_eq!(result, expected);
    let (_, result) = post(&f.scheduler, "/extender/prioritize", args(r#""NodeNames":["n2"]"#)).await;
    assert_eq!(result, json!([{ "Host": "n2", "Score": 0 }]));
}

#[tokio::test]
async fn preemption_keeps_the_nodes_on_which_the_victims_make_room() {
    let f = fixture();
    let by_uid = r#""NodeNameToVictims":null,"NodeNameToMetaVictims":{
        "n1":{"Pods":[{"UID":"u1"},{"UID":"u2"}],"NumPDBViolations":1},"n2":{"Pods":[{"UID":"u3"}],"NumPDBViolations":0},
        "n3":{"Pods":null,"NumPDBViolations":0}}"#;
    let kept = json!({ "NodeNameToMetaVictims": {
        "n1": { "Pods": [{ "UID": "u1" }, { "UID": "u2" }], "NumPDBViolations": 1 } } });
    assert_eq!(post(&f.scheduler, "/extender/preempt", args(by_uid)).await, (200, kept.clone()));
    let by_pod = r#""NodeNameToMetaVictims":null,"NodeNameToVictims":{"n1":{"Pods":[
        {"metadata":{"name":"x","uid":"u1"},"spec":{}},{"metadata":{"name":"y","uid":"u2"}}],"NumPDBViolations":1}}"#;
    assert_eq!(post(&f.scheduler, "/extender/preempt", args(by_pod)).await, (200, kept));
    assert_eq!(post(&f.scheduler, "/extender/preempt", args(r#""Nodes":null"#)).await.0, 422);
}

#[tokio::test]
async fn a_binding_comes_about_or_says_why_not() {
    let f = fixture();
    let binding = json!({ "PodName": "a", "PodNamespace": "default", "PodUID": "uid-a", "Node": "n1" });
    assert_eq!(post(&f.scheduler, "/extender/bind", binding.clone()).await, (200, json!({ "Error": "" })));
    let elsewhere = json!({ "PodName": "a", "PodNamespace": "default", "PodUID": "uid-a", "Node": "n2" });
    let refused = json!({ "Error": "node n2: Insufficient cpu" });
    assert_eq!(post(&f.scheduler, "/extender/bind", elsewhere).await, (200, refused));
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_in_time_the_extender_stands_aside() {
    let f = fixture();
    let slow = |nodes: Value| {
        let mut args = json!({ "Pod": { "metadata": { "name": "slow" } } });
        args.as_object_mut().unwrap().extend(nodes.as_object().unwrap().clone());
        args
    };
    let names = slow(json!({ "NodeNames": ["n1", "n2", "n7"] }));
    let (_, result) = post(&f.scheduler, "/extender/filter", names.clone()).await;
    assert_eq!((&result["NodeNames"], &result["Error"]), (&json!(["n1", "n2", "n7"]), &json!("")));
    let whole = slow(json!({ "Nodes": { "items": [{ "metadata": { "name": "n1" }, "spec": { "x": 1 } }] } }));
    let (_, result) = post(&f.scheduler, "/extender/filter", whole.clone()).await;
    assert_eq!(result["Nodes"]["items"], whole["Nodes"]["items"]);
    let (status, scores) = post(&f.scheduler, "/extender/prioritize", names).await;
    let zero = |host: &str| json!({ "Host": host, "Score": 0 });
    assert_eq!((status, scores), (200, json!([zero("n1"), zero("n2"), zero("n7")])));
    let (_, metrics) = text(call(&f.scheduler, request("GET", "/metrics", "")).await).await;
    assert!(metrics.contains(r#"augur_extender_fallbacks_total{verb="filter",reason="deadline"} 2"#), "{metrics}");
}
