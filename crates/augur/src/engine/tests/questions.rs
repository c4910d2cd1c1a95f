//! What the services ask of the engine, against the embedded API server.

use std::sync::Arc;
use std::time::Duration;

use augur_api::dto::{Thresholds, WhatIfBody};
use augur_api::{CheckStatus, PodQuery, PodSource, SchedulerBackend};
use augur_apiserver::{MetricsSource, NodeMetrics, PodMetrics, Usage};
use augur_clock::Clock;
use augur_history::{DecisionFilter, DecisionKind};
use serde_json::value::RawValue;

use super::cluster::{Cluster, no_model, until};
use crate::engine::Engine;
use crate::learner::{LearnerPlace, Swaps};
use crate::services::Backend;

fn backend(engine: &Engine) -> Backend {
    Backend::new(engine.handle(), Thresholds::default(), Swaps::default(), LearnerPlace::Nowhere, true, no_model())
}

fn query(name: &str, source: PodSource, record: bool) -> PodQuery {
    PodQuery { namespace: "default".to_owned(), name: name.to_owned(), source, record }
}

fn spec(json: &str) -> PodSource {
    PodSource::Spec(RawValue::from_string(json.to_owned()).unwrap())
}

/// Nodes that use a share of two cores and of 64 GiB, in percent.
struct Readings(Clock, Vec<(&'static str, u64)>);

impl MetricsSource for Readings {
    fn cadvisor(&self, _: &str) -> Option<String> {
        None
    }

    fn nodes(&self) -> Vec<NodeMetrics> {
        let of = |(name, percent): &(&'static str, u64)| NodeMetrics {
            name: (*name).to_owned(),
            timestamp: self.0.now(),
            window: Duration::from_secs(10),
            usage: Usage { cpu_nanocores: percent * 20_000_000, memory_bytes: (percent << 36) / 100 },
        };
        self.1.iter().map(of).collect()
    }
    fn pods(&self, _: &str) -> Vec<PodMetrics> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prediction_decides_and_binds_nothing() {
    let cluster = Cluster::new();
    cluster.node("small", "1");
    cluster.node("large", "8");
    cluster.pod_with("foreign", "2", &serde_json::json!({ "schedulerName": "other" }));
    let engine = cluster.engine();
    let handle = engine.handle();
    until("the engine is ready", || handle.status().ready).await;
    let backend = backend(&engine);
    let request = r#"{"containers":[{"name":"c","resources":{"requests":{"cpu":"2","memory":"1Gi"}}}]}"#;
    let predicted = backend.predict(query("new", spec(request), true)).await.unwrap();
    assert_eq!(predicted.predicted_node.as_deref(), Some("large"));
    assert_eq!(
        (predicted.algorithm.as_str(), predicted.fallback_reason.as_deref()),
        ("enhanced_scoring", Some("not_trained"))
    );
    assert_eq!(predicted.ai_features.pod_requirements.memory_request, 1024.0);
    assert_eq!(predicted.ai_features.cluster_state.total_nodes, 2);
    let nodes: Vec<_> = predicted.node_predictions.iter().map(|node| (&*node.node_name, node.feasible)).collect();
    assert_eq!(nodes, [("large", true), ("small", false)]);
    assert_eq!(&*predicted.node_predictions[1].reasons[0], "Insufficient cpu");
    let predicted = backend.predict(query("foreign", PodSource::Cluster, false)).await.unwrap();
    assert_eq!((predicted.predicted_node.as_deref(), predicted.decision_id), (Some("large"), None));
    assert_eq!(handle.status().attempts.scheduled, 0);
    let kept = cluster.history.handle().decisions(&DecisionFilter { limit: 9, ..Default::default() }).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].0.kind, kept[0].0.node.as_deref()), (DecisionKind::Prediction, Some("large")));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_cannot_be_answered_says_why() {
    let cluster = Cluster::new();
    cluster.node("n", "1");
    let engine = cluster.engine();
    let handle = engine.handle();
    until("the engine is ready", || handle.status().ready).await;
    let backend = backend(&engine);
    for nobody in ["nobody", "", "..", "a/b?c"] {
        let error = backend.predict(query(nobody, PodSource::Cluster, false)).await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code), (404, "pod_not_found"));
    }
    let amount = r#"{"containers":[{"resources":{"requests":{"cpu":"many"}}}]}"#;
    let error = backend.predict(query("new", spec(amount), false)).await.unwrap_err();
    assert_eq!(error.status.as_u16(), 422);
    assert!(error.message.starts_with("pod_spec.containers[0].resources.requests.cpu: many"), "{}", error.message);
    let kind = r#"{"containers":[{"name":"c"}],"tolerations":"all"}"#;
    let error = backend.predict(query("new", spec(kind), false)).await.unwrap_err();
    assert!(error.message.starts_with("pod_spec: field tolerations: "), "{}", error.message);
    let nowhere = r#"{"containers":[{"resources":{"requests":{"cpu":"9"}}}]}"#;
    let answer = backend.predict(query("new", spec(nowhere), false)).await.unwrap();
    assert_eq!((answer.predicted_node, answer.confidence), (None, None));
    assert!(answer.reason.contains("Insufficient cpu"), "{}", answer.reason);
    engine.shutdown().await;
    let error = backend.predict(query("new", spec(nowhere), false)).await.unwrap_err();
    assert_eq!(error.status.as_u16(), 503);
    assert_eq!(backend.health().kubernetes.status, CheckStatus::Unhealthy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_of_the_metrics_api_reach_nodes_scores_and_features() {
    let cluster = Cluster::new();
    cluster.server.set_metrics_source(Arc::new(Readings(cluster.clock(), vec![("busy", 95), ("idle", 5)])));
    cluster.node("busy", "2");
    cluster.node("idle", "2");
    let engine = cluster.engine();
    let handle = engine.handle();
    until("readings are in", || handle.status().metrics.readings.0 == 2).await;
    let backend = backend(&engine);
    let mut nodes = backend.nodes(true).await.unwrap();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(nodes.iter().map(augur_api::NodeView::cpu_percent).collect::<Vec<_>>(), [Some(95.0), Some(5.0)]);
    assert_eq!(nodes[0].conditions[0].reason, "KubeletReady");
    let request = r#"{"containers":[{"resources":{"requests":{"cpu":"100m"}}}]}"#;
    let answer = backend.predict(query("new", spec(request), false)).await.unwrap();
    assert_eq!(answer.predicted_node.as_deref(), Some("idle"));
    assert_eq!(answer.ai_features.features.0[2], Some(5.0), "CPU of the node in percent");
    assert_eq!(answer.ai_features.cluster_state.avg_cpu_usage, Some(50.0));
    let health = backend.health();
    assert_eq!((health.metrics_api.status, health.kubernetes.status), (CheckStatus::Healthy, CheckStatus::Healthy));
    assert!(health.ready);
    assert_eq!(health.kubernetes.message, "watches in sync; 2 nodes, 0 pods on them; 0 bound, 0 being bound");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_and_what_became_of_them_are_remembered() {
    let cluster = Cluster::new();
    cluster.node("n", "4");
    cluster.pod("web", "1");
    let engine = cluster.engine();
    let handle = engine.handle();
    until("the pod is bound", || handle.status().bound == 1).await;
    let running =
        serde_json::json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    cluster.local.patch("pods", "default", "web", "status", augur_apiserver::PatchKind::Strategic, &running).unwrap();
    let history = cluster.history.handle();
    let kept = || history.decisions(&DecisionFilter { limit: 9, ..Default::default() }).unwrap();
    until("the outcome is known", || {
        kept().iter().any(|(_, outcome)| outcome.as_ref().is_some_and(|o| o.ready_at.is_some()))
    })
    .await;
    let (record, outcome) = kept().remove(0);
    assert_eq!((record.kind, record.node.as_deref()), (DecisionKind::Scheduling, Some("n")));
    assert_eq!((&*record.pod.name, record.nodes, record.feasible), ("web", 1, 1));
    assert_eq!(record.features[0], Some(1.0), "cores that the pod requests");
    assert_eq!(&*outcome.unwrap().node, "n");
    engine.shutdown().await;
}

fn what_if(json: &str) -> WhatIfBody {
    serde_json::from_str(json).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pods_are_placed_on_a_copy_and_nothing_is_changed() {
    let cluster = Cluster::new();
    cluster.node("n1", "4");
    cluster.node("n2", "2");
    let owner = serde_json::json!([{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true }]);
    cluster.pod("db-0", "1");
    let owned = serde_json::json!({ "metadata": { "ownerReferences": owner } });
    cluster.local.patch("pods", "default", "db-0", "", augur_apiserver::PatchKind::Merge, &owned).unwrap();
    let engine = cluster.engine();
    let handle = engine.handle();
    until("the pod is bound", || handle.status().bound == 1).await;
    let home = cluster.node_of("db-0").unwrap();
    let backend = backend(&engine);
    // Whether the watch has shown the owner by now shows in what a drain does.
    let drain = what_if(&format!(r#"{{"drain": ["{home}"]}}"#));
    loop {
        let answer = backend.what_if(drain.clone()).await.unwrap();
        if answer.drained[0].moved == 1 {
            assert_eq!((answer.placed, answer.pods[0].from_node.as_deref()), (1, Some(&*home)));
            assert_ne!(answer.pods[0].node_name.as_deref(), Some(&*home));
            assert!(answer.nodes.iter().any(|node| node.name == home && node.drained && node.pods.after == 0.0));
            break;
        }
        tokio::task::yield_now().await;
    }
    let many = r#"{"workloads": [{"namespace": "default", "kind": "Deployment", "name": "web", "replicas": 7,
        "template": {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}}}]}"#;
    let answer = backend.what_if(what_if(many)).await.unwrap();
    assert_eq!((answer.total_pods, answer.placed, answer.pending, answer.undecided), (7, 5, 2, 0));
    let reason = answer.pods.iter().find_map(|pod| pod.reason.clone()).unwrap();
    assert!(reason.starts_with("0/2 nodes are available: 2 Insufficient cpu."), "{reason}");
    let full = |node: &augur_api::dto::WhatIfNode| node.cpu.after == node.cpu.allocatable;
    assert!(answer.nodes.len() == 2 && answer.nodes.iter().all(full), "{:?}", answer.nodes);
    assert_eq!(handle.status().bound, 1, "nothing was bound");
    let error = backend.what_if(what_if(r#"{"drain": ["n9"]}"#)).await.unwrap_err();
    assert_eq!((error.status.as_u16(), error.code), (404, "node_not_found"));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outlook_tells_what_would_change_it() {
    let cluster = Cluster::new();
    cluster.node("large", "4");
    cluster.node("small", "1");
    cluster.pod("web", "3");
    let engine = cluster.engine();
    let handle = engine.handle();
    until("the pod is bound", || handle.status().bound == 1).await;
    let backend = backend(&engine);
    let mut outlook = backend.outlook("default".to_owned(), "web".to_owned()).await.unwrap();
    // The watch tells of the binding after its answer.
    while outlook.current_node.is_none() {
        tokio::task::yield_now().await;
        outlook = backend.outlook("default".to_owned(), "web".to_owned()).await.unwrap();
    }
    // It does not stand in its own way.
    assert_eq!((outlook.current_node.as_deref(), outlook.predicted_node.as_deref()), (Some("large"), Some("large")));
    let small = &outlook.nodes[1];
    assert_eq!((small.node_name.as_str(), small.feasible, small.lacking["cpu"]), ("small", false, 2.0));
    assert_eq!((small.filter.as_deref(), &*small.reasons[0]), (Some("NodeResourcesFit"), "Insufficient cpu"));
    let flip = &outlook.flip[0];
    assert_eq!((flip.node_name.as_str(), flip.then), ("small", "feasible"));
    assert_eq!(flip.changes, ["2000m cpu more free there, or requested less"]);
    let error = backend.outlook("default".to_owned(), "nobody".to_owned()).await.unwrap_err();
    assert_eq!((error.status.as_u16(), error.code), (404, "pod_not_found"));
    engine.shutdown().await;
}
