//! A scheduler that is killed at a named point, and the one that comes after it.
//!
//! Killed means: from that point on nothing of it reaches the API server or comes back, and it is not told to stop.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::cluster::{Cluster, Point, until};

/// Kills an engine at the point, starts another, and sees that every pod is bound once and to a node that holds it.
async fn killed_at(point: Point) {
    let cluster = Cluster::new();
    for node in 0..2 {
        cluster.node(&format!("n{node}"), "4");
    }
    let (engine, link) = cluster.mortal(point);
    for pod in 0..8 {
        cluster.pod(&format!("web-{pod}"), "1");
    }
    until("it was killed", || link.dead.load(Ordering::SeqCst)).await;
    let next = cluster.engine();
    let bound = || (0..8).filter(|pod| cluster.node_of(&format!("web-{pod}")).is_some()).count();
    until("all pods are bound", || bound() == 8).await;
    for node in ["n0", "n1"] {
        let there = (0..8).filter(|pod| cluster.node_of(&format!("web-{pod}")).as_deref() == Some(node)).count();
        assert_eq!(there, 4, "{node}: four cores hold four pods");
    }
    // A binding is counted once its answer is there, a moment after it shows.
    until("all are counted", || (0..8).all(|pod| cluster.accepted_bindings_of(&format!("web-{pod}")) > 0)).await;
    for pod in 0..8 {
        assert_eq!(cluster.accepted_bindings_of(&format!("web-{pod}")), 1, "web-{pod}");
    }
    next.shutdown().await;
    drop(engine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_assumes_anything() {
    killed_at(Point::BeforeAssume).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_assuming_and_before_the_binding_is_sent() {
    killed_at(Point::AfterAssume).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_binding_and_its_confirmation() {
    killed_at(Point::BetweenBindAndConfirm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nomination_survives() {
    let cluster = Cluster::new();
    cluster.node("n0", "1");
    cluster.pod_with(
        "low",
        "1",
        &json!({ "schedulerName": "other", "nodeName": "n0", "priority": 0,
        "terminationGracePeriodSeconds": 300 }),
    );
    let class = json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": "high" },
        "value": 1000 });
    cluster.local.create("priorityclasses.scheduling.k8s.io", "", class).unwrap();
    let (engine, link) = cluster.mortal(Point::Never);
    cluster.pod_with("high", "1", &json!({ "priorityClassName": "high" }));
    let nominated = || cluster.get("high")["status"]["nominatedNodeName"] == "n0";
    until("room is being made", || nominated() && !cluster.get("low")["metadata"]["deletionTimestamp"].is_null()).await;
    link.dead.store(true, Ordering::SeqCst);
    // A pod of less importance that comes meanwhile must not take the place that is being made.
    let next = cluster.engine();
    until("the next has listed", || next.handle().status().ready).await;
    cluster.pod("late", "1");
    until("the late pod is told to wait", || cluster.scheduled("late")["status"] == "False").await;
    let now = augur_apiserver::DeleteOptions { grace_period_seconds: Some(0), ..Default::default() };
    cluster.local.delete("pods", "default", "low", &now).unwrap();
    until("the important pod is bound", || cluster.node_of("high").as_deref() == Some("n0")).await;
    assert_eq!((cluster.node_of("late"), cluster.accepted_bindings_of("high")), (None, 1));
    next.shutdown().await;
    drop(engine);
}
