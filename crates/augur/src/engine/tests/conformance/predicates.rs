//! Which nodes a pod may go to.

use serde_json::{Value, json};

use super::everywhere;

fn asks(amounts: &Value) -> Value {
    json!({ "containers": [{ "name": "c", "image": "registry.k8s.io/pause:3.10", "resources": { "requests": amounts, "limits": amounts } }] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_beyond_the_cpu_of_nodes_are_not_allowed_to_run() {
    everywhere(|on| async move {
        let nodes = [on.node("a", json!({})).await, on.node("b", json!({})).await];
        // Three quarters of each node are filled, so that no node has room for more than the rest.
        for pod in ["first", "second"] {
            on.pod(pod, asks(&json!({ "cpu": "3" }))).await;
        }
        let mut taken = [on.bound("first").await, on.bound("second").await];
        taken.sort();
        assert_eq!(taken, nodes);
        on.pod("small", asks(&json!({ "cpu": "1" }))).await;
        on.bound("small").await;
        on.pod("large", asks(&json!({ "cpu": "2" }))).await;
        assert!(on.refused("large").await.contains("2 Insufficient cpu"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_beyond_the_ephemeral_storage_of_nodes_are_not_allowed_to_run() {
    everywhere(|on| async move {
        on.node("a", json!({})).await;
        on.pod("fills", asks(&json!({ "ephemeral-storage": "8Gi" }))).await;
        on.bound("fills").await;
        on.pod("more", asks(&json!({ "ephemeral-storage": "4Gi" }))).await;
        assert!(on.refused("more").await.contains("1 Insufficient ephemeral-storage"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_overhead_of_a_runtime_class_counts_beside_limits_of_an_extended_resource() {
    everywhere(|on| async move {
        let scarce = json!({ "example.com/beardsecond": "1000" });
        on.node("a", json!({ "status": { "allocatable": scarce, "capacity": scarce } })).await;
        let class = json!({ "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "any",
            "overhead": { "podFixed": { "example.com/beardsecond": "250" } } });
        let class = on.create_global("/apis/node.k8s.io/v1/runtimeclasses", "heavy", class).await;
        let filler = |amount: &str| {
            let mut spec = asks(&json!({ "example.com/beardsecond": amount }));
            spec["runtimeClassName"] = json!(class);
            spec
        };
        on.pod("filler", filler("700")).await;
        on.bound("filler").await;
        // Without the overhead there would be room for 300.
        on.pod("more", asks(&json!({ "example.com/beardsecond": "200" }))).await;
        assert!(on.refused("more").await.contains("1 Insufficient example.com/beardsecond"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_selector_that_matches_no_node_is_respected() {
    everywhere(|on| async move {
        on.node("a", json!({ "metadata": { "labels": { "disk": "slow" } } })).await;
        on.pod("picky", json!({ "nodeSelector": { "disk": "none" } })).await;
        assert!(on.refused("picky").await.contains("didn't match Pod's node affinity/selector"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_selector_that_matches_is_respected() {
    everywhere(|on| async move {
        on.node("a", json!({})).await;
        let fast = on.node("b", json!({ "metadata": { "labels": { "disk": "fast" } } })).await;
        on.node("c", json!({})).await;
        on.pod("picky", json!({ "nodeSelector": { "disk": "fast" } })).await;
        assert_eq!(on.bound("picky").await, fast);
    })
    .await;
}

fn required(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
        { "matchExpressions": [{ "key": key, "operator": operator, "values": values }] } ] } } } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_node_affinity_that_matches_no_node_is_respected() {
    everywhere(|on| async move {
        on.node("a", json!({ "metadata": { "labels": { "disk": "slow" } } })).await;
        on.pod("picky", required("disk", "In", &["fast", "faster"])).await;
        assert!(on.refused("picky").await.contains("didn't match Pod's node affinity/selector"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_node_affinity_that_matches_is_respected() {
    everywhere(|on| async move {
        on.node("a", json!({ "metadata": { "labels": { "disk": "slow" } } })).await;
        let fast = on.node("b", json!({ "metadata": { "labels": { "disk": "fast" } } })).await;
        on.pod("picky", required("disk", "NotIn", &["slow"])).await;
        assert_eq!(on.bound("picky").await, fast);
    })
    .await;
}

fn tainted() -> Value {
    json!({ "spec": { "taints": [{ "key": "kept-for", "value": "tests", "effect": "NoSchedule" }] } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taint_is_respected_that_the_pod_tolerates() {
    everywhere(|on| async move {
        let kept = on.node("a", tainted()).await;
        let toleration = json!({ "key": "kept-for", "operator": "Equal", "value": "tests", "effect": "NoSchedule" });
        on.pod("tolerant", json!({ "tolerations": [toleration] })).await;
        assert_eq!(on.bound("tolerant").await, kept);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taint_is_respected_that_the_pod_does_not_tolerate() {
    everywhere(|on| async move {
        let kept = on.node("a", tainted()).await;
        on.pod("intolerant", json!({ "tolerations": [{ "key": "kept-for", "operator": "Equal", "value": "others" }] }))
            .await;
        assert!(on.refused("intolerant").await.contains("had untolerated taint"));
        // The pod goes there once the taint is gone.
        let taints = on.get(&format!("/api/v1/nodes/{kept}")).await["spec"]["taints"].clone();
        let left: Vec<Value> =
            taints.as_array().unwrap().iter().filter(|taint| taint["key"] != "kept-for").cloned().collect();
        on.patch(&format!("/api/v1/nodes/{kept}"), json!({ "spec": { "taints": left } })).await;
        assert_eq!(on.bound("intolerant").await, kept);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_with_scheduling_gates_wait_until_the_last_gate_is_gone() {
    everywhere(|on| async move {
        on.node("a", json!({})).await;
        let gates = json!([{ "name": "example.com/foo" }, { "name": "example.com/bar" }]);
        on.pod("gated", json!({ "schedulingGates": gates })).await;
        let told = |pod: &Value| {
            let conditions = pod["status"]["conditions"].as_array()?;
            conditions.iter().any(|condition| condition["reason"] == "SchedulingGated").then_some(())
        };
        let path = on.pod_path("gated");
        on.wait("the gates are told of", &path, told).await;
        on.patch(&path, json!({ "spec": { "schedulingGates": [{ "name": "example.com/foo" }] } })).await;
        // One that came later and waits for nothing.
        on.pod("free", json!({})).await;
        on.bound("free").await;
        assert!(on.get(&path).await["spec"]["nodeName"].is_null());
        on.patch(&path, json!({ "spec": { "schedulingGates": [] } })).await;
        on.bound("gated").await;
    })
    .await;
}
