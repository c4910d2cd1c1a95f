//! The engine against the embedded API server.

mod cluster;
mod conformance;
mod devices;
mod election;
mod extenders;
mod preemption;
mod questions;
mod restart;
mod rights;
mod rivals;
mod sim;
mod sockets;
mod volumes;

use std::sync::atomic::Ordering;

use serde_json::json;

use cluster::{Cluster, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pod_is_bound_once_and_nodes_hold_what_they_can() {
    let cluster = Cluster::new();
    for node in 0..3 {
        cluster.node(&format!("n{node}"), "10");
    }
    for pod in 0..20 {
        cluster.pod(&format!("before-{pod}"), "1");
    }
    let engine = cluster.engine();
    for pod in 0..10 {
        cluster.pod(&format!("after-{pod}"), "1");
    }
    let pods: Vec<String> =
        (0..20).map(|n| format!("before-{n}")).chain((0..10).map(|n| format!("after-{n}"))).collect();
    until("all pods are bound", || pods.iter().all(|pod| cluster.node_of(pod).is_some())).await;
    let handle = engine.handle();
    until("the results are in", || handle.status().bound == 30).await;
    for pod in &pods {
        assert_eq!(cluster.bindings_of(pod), 1, "{pod}");
        assert_eq!(cluster.scheduled(pod)["status"], "True");
    }
    for node in 0..3 {
        let node = format!("n{node}");
        let there = pods.iter().filter(|pod| cluster.node_of(pod).as_ref() == Some(&node)).count();
        assert_eq!(there, 10, "ten cores hold ten pods of one core");
    }
    until("the event is there", || !cluster.events("after-1").is_empty()).await;
    let node = cluster.node_of("after-1").unwrap();
    let expected = ("Scheduled".to_owned(), format!("Successfully assigned default/after-1 to {node}"));
    assert_eq!(cluster.events("after-1"), [expected]);
    let status = handle.status();
    assert_eq!((status.attempts.scheduled, status.binding_errors, status.binding), (30, 0, 0));
    assert_eq!((status.decision_latency.count, status.binding_latency.count), (30, 30));
    engine.shutdown().await;
    assert!(handle.status().stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_without_room_is_told_so_and_is_bound_when_there_is_room() {
    let cluster = Cluster::new();
    cluster.node("small", "1");
    cluster.pod("big", "2");
    let engine = cluster.engine();
    let text = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: \
                0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    until("the condition is set", || cluster.scheduled("big")["status"] == "False").await;
    let condition = cluster.scheduled("big");
    assert_eq!((&condition["reason"], &condition["message"]), (&json!("Unschedulable"), &json!(text)));
    until("the event is there", || !cluster.events("big").is_empty()).await;
    assert_eq!(cluster.events("big")[0], ("FailedScheduling".to_owned(), text.to_owned()));
    cluster.node("large", "8");
    until("the pod is bound", || cluster.node_of("big").as_deref() == Some("large")).await;
    assert_eq!(cluster.scheduled("big")["status"], "True");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_diagnosis_is_told_once() {
    let cluster = Cluster::new();
    cluster.node("small", "1");
    cluster.pod("big", "2");
    let engine = cluster.engine();
    let handle = engine.handle();
    until("the condition is set", || cluster.scheduled("big")["status"] == "False").await;
    let revision = cluster.get("big")["metadata"]["resourceVersion"].clone();
    // Each new node that is too small is a reason to try again, with the same words but for the number of nodes.
    let attempts = handle.status().attempts.unschedulable;
    cluster
        .local
        .patch(
            "nodes",
            "",
            "small",
            "",
            augur_apiserver::PatchKind::Merge,
            &json!({
        "metadata": { "labels": { "changed": "yes" } } }),
        )
        .unwrap();
    cluster.pod("witness", "3");
    until("the witness is told", || cluster.scheduled("witness")["status"] == "False").await;
    assert!(handle.status().attempts.unschedulable >= attempts);
    assert_eq!(cluster.get("big")["metadata"]["resourceVersion"], revision, "nothing new was to be said");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_neither_binds_twice_nor_forgets() {
    let cluster = Cluster::new();
    cluster.node("n", "4");
    cluster.pod("early", "1");
    cluster.pod("waiting", "4");
    let engine = cluster.engine();
    until("the first pod is bound", || cluster.node_of("early").is_some()).await;
    until("the second is told to wait", || cluster.scheduled("waiting")["status"] == "False").await;
    engine.shutdown().await;
    cluster.pod("meanwhile", "3");
    let engine = cluster.engine();
    until("the pod of meanwhile is bound", || cluster.node_of("meanwhile").is_some()).await;
    cluster.node("more", "4");
    until("the waiting pod is bound", || cluster.node_of("waiting").as_deref() == Some("more")).await;
    for pod in ["early", "waiting", "meanwhile"] {
        assert_eq!(cluster.bindings_of(pod), 1, "{pod}");
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_watch_lists_again_without_binding_twice() {
    let cluster = Cluster::new();
    cluster.node("n", "8");
    cluster.pod("one", "1");
    cluster.faults.expired_watches.store(2, Ordering::SeqCst);
    let engine = cluster.engine();
    let handle = engine.handle();
    until("the pods were listed three times", || handle.watches().pods.lists.load(Ordering::Relaxed) >= 3).await;
    cluster.pod("two", "1");
    until("both are bound", || cluster.node_of("one").is_some() && cluster.node_of("two").is_some()).await;
    assert_eq!((cluster.bindings_of("one"), cluster.bindings_of("two")), (1, 1));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_whose_answer_is_lost_counts_as_done() {
    let cluster = Cluster::new();
    cluster.node("n", "1");
    cluster.faults.lost_answers.store(1, Ordering::SeqCst);
    cluster.pod("one", "1");
    let engine = cluster.engine();
    let handle = engine.handle();
    until("the result is in", || handle.status().bound == 1).await;
    assert_eq!((cluster.bindings_of("one"), handle.status().binding_errors), (2, 0));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_binding_is_tried_again_after_its_backoff() {
    let cluster = Cluster::new();
    cluster.node("n", "1");
    cluster.faults.forbidden.store(2, Ordering::SeqCst);
    cluster.pod("one", "1");
    let engine = cluster.engine();
    let handle = engine.handle();
    until("the pod is bound", || handle.status().bound == 1).await;
    assert_eq!((cluster.bindings_of("one"), handle.status().binding_errors), (3, 2));
    until("the error was told", || cluster.events("one").iter().any(|(reason, _)| reason == "FailedScheduling")).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gated_and_foreign_pods_are_left_alone_but_count() {
    let cluster = Cluster::new();
    cluster.node("n", "4");
    cluster.pod_with("gated", "1", &json!({ "schedulingGates": [{ "name": "example.com/wait" }] }));
    cluster.pod_with("foreign", "1", &json!({ "schedulerName": "other" }));
    cluster.pod_with("placed", "3", &json!({ "schedulerName": "other", "nodeName": "n" }));
    cluster.pod("ours", "1");
    let engine = cluster.engine();
    until("our pod is bound", || cluster.node_of("ours").is_some()).await;
    cluster.pod("late", "1");
    until("the pod that came late is told to wait", || cluster.scheduled("late")["status"] == "False").await;
    assert_eq!((cluster.node_of("gated"), cluster.node_of("foreign")), (None, None));
    cluster.node("more", "4");
    let gates = json!({ "spec": { "schedulingGates": [] } });
    cluster.local.patch("pods", "default", "gated", "", augur_apiserver::PatchKind::Merge, &gates).unwrap();
    until("the pod is bound without its gate", || cluster.node_of("gated").as_deref() == Some("more")).await;
    assert_eq!(cluster.node_of("foreign"), None);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_pod_makes_room() {
    let cluster = Cluster::new();
    cluster.node("n", "1");
    cluster.pod("first", "1");
    let engine = cluster.engine();
    until("the first pod is bound", || cluster.node_of("first").is_some()).await;
    cluster.pod("second", "1");
    until("the second is told to wait", || cluster.scheduled("second")["status"] == "False").await;
    let now = augur_apiserver::DeleteOptions { grace_period_seconds: Some(0), ..Default::default() };
    cluster.local.delete("pods", "default", "first", &now).unwrap();
    until("the second is bound", || cluster.node_of("second").is_some()).await;
    engine.shutdown().await;
}
