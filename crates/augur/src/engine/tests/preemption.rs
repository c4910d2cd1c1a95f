//! Making room for pods of high priority.

use augur_apiserver::DeleteOptions;
use serde_json::{Value, json};

use super::cluster::{Cluster, until};

fn pod(cluster: &Cluster, name: &str, cpu: &str, class: &str) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "schedulerName": "augur", "priorityClassName": class, "containers": [
            { "name": "c", "image": "c", "resources": { "requests": { "cpu": cpu } } } ] },
    });
    cluster.local.create("pods", "default", pod).unwrap();
}

fn condition(pod: &Value, kind: &str) -> Value {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_of_high_priority_gets_the_place_of_those_that_no_budget_protects() {
    let cluster = Cluster::new();
    for (name, value) in [("low", 1), ("high", 1000)] {
        let class = json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": name },
            "value": value });
        cluster.local.create("priorityclasses.scheduling.k8s.io", "", class).unwrap();
    }
    cluster.node("n1", "4");
    // Nothing counts the pods of the budget here, so that it allows no disruption.
    let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "kept" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "kept" } } } });
    cluster.local.create("poddisruptionbudgets.policy", "default", budget).unwrap();
    let low = ["kept", "given-1", "given-2"];
    pod(&cluster, "kept", "2", "low");
    pod(&cluster, "given-1", "1", "low");
    pod(&cluster, "given-2", "1", "low");
    let engine = cluster.engine();
    until("the node is full", || low.iter().all(|name| cluster.node_of(name).is_some())).await;

    pod(&cluster, "urgent", "2", "high");
    let ends = |name: &str| cluster.get(name)["metadata"]["deletionTimestamp"].is_string();
    until("two pods end", || ends("given-1") && ends("given-2")).await;
    let disrupted = condition(&cluster.get("given-1"), "DisruptionTarget");
    assert_eq!((&disrupted["status"], &disrupted["reason"]), (&json!("True"), &json!("PreemptionByScheduler")));
    until("the place is named", || cluster.get("urgent")["status"]["nominatedNodeName"] == "n1").await;
    assert_eq!(cluster.scheduled("urgent")["message"], "0/1 nodes are available: 1 Insufficient cpu.");
    assert_eq!(cluster.node_of("urgent"), None, "the victims have not ended yet");

    for name in ["given-1", "given-2"] {
        let at_once = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
        cluster.local.delete("pods", "default", name, &at_once).unwrap();
    }
    until("the pod is bound", || cluster.node_of("urgent").as_deref() == Some("n1")).await;
    assert!(!ends("kept") && cluster.bindings_of("urgent") == 1);
    let uid = cluster.get("urgent")["metadata"]["uid"].as_str().unwrap().to_owned();
    let expected = ("Preempted".to_owned(), format!("Preempted by pod {uid} on node n1"));
    until("the event is there", || cluster.events("given-1").contains(&expected)).await;
    engine.shutdown().await;
}
