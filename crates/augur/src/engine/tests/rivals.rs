//! Beside other schedulers: conflicts, refusals of kubelets, shadow mode, binding for an extender.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use augur_api::{Binding, SchedulerBackend, ShadowReport};
use augur_apiserver::{DeleteOptions, PatchKind};
use augur_history::{DecisionFilter, DecisionKind};
use serde_json::{Value, json};

use super::super::{Engine, Mode, profile};
use super::cluster::{Cluster, no_model, until};
use crate::learner::{LearnerPlace, Swaps};
use crate::services::Backend;

fn named(cluster: &Cluster, name: &str) -> Engine {
    cluster.engine_with(vec![profile(name, &crate::config::Scheduler::default())])
}

fn pod_of(cluster: &Cluster, scheduler: &str, name: &str) {
    cluster.pod_with(name, "1", &json!({ "schedulerName": scheduler }));
}

fn pods(cluster: &Cluster) -> Vec<Value> {
    let list = cluster.local.list("pods", "default", "", "").unwrap();
    list.items.iter().map(|item| serde_json::from_slice(item).unwrap()).collect()
}

/// A kubelet as far as admission goes: pods that come to a node beyond its CPU are refused, in the order of their binding.
fn admit(cluster: &Cluster, cores: usize, admitted: &mut BTreeMap<String, usize>, seen: &mut Vec<String>) -> usize {
    let mut refused = 0;
    for pod in pods(cluster) {
        let (Some(node), Some(uid)) = (pod["spec"]["nodeName"].as_str(), pod["metadata"]["uid"].as_str()) else {
            continue;
        };
        if seen.iter().any(|known| known == uid) {
            continue;
        }
        seen.push(uid.to_owned());
        let on_node = admitted.entry(node.to_owned()).or_default();
        let status = if *on_node < cores {
            *on_node += 1;
            json!({ "status": { "phase": "Running" } })
        } else {
            refused += 1;
            json!({ "status": { "phase": "Failed", "reason": "OutOfcpu", "message": "Node didn\'t have enough resource: cpu" } })
        };
        let name = pod["metadata"]["name"].as_str().unwrap();
        cluster.local.patch("pods", "default", name, "status", PatchKind::Merge, &status).unwrap();
    }
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_that_fight_over_a_full_cluster_overcommit_no_node() {
    const NODES: usize = 8;
    const CORES: usize = 4;
    let cluster = Cluster::new();
    for node in 0..NODES {
        cluster.node(&format!("n{node}"), &CORES.to_string());
    }
    let engines = [named(&cluster, "left"), named(&cluster, "right")];
    let (mut admitted, mut seen, mut refused) = (BTreeMap::new(), Vec::new(), 0);
    let mut created = 0;
    // Both get as many pods as the cluster holds, so that they meet on every node; refused pods are made anew, as a controller
    // would.
    for round in 0..NODES * CORES {
        for scheduler in ["left", "right"] {
            pod_of(&cluster, scheduler, &format!("{scheduler}-{round}"));
            created += 1;
        }
        refused += admit(&cluster, CORES, &mut admitted, &mut seen);
    }
    let full = || {
        let running = pods(&cluster).iter().filter(|pod| pod["status"]["phase"] == "Running").count();
        running == NODES * CORES
    };
    let began = std::time::Instant::now();
    while !full() {
        assert!(began.elapsed() < Duration::from_secs(60), "the cluster did not fill");
        refused += admit(&cluster, CORES, &mut admitted, &mut seen);
        let waiting = pods(&cluster).iter().filter(|pod| pod["spec"]["nodeName"].is_null()).count();
        if waiting == 0 {
            pod_of(&cluster, "left", &format!("more-{created}"));
            created += 1;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let status = engines.each_ref().map(|engine| engine.handle().status());
    until("the refusals were counted", || {
        engines.iter().all(|engine| engine.handle().status().rejections == refused as u64)
    })
    .await;
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    for pod in pods(&cluster) {
        if pod["status"]["phase"] == "Running" {
            *used.entry(pod["spec"]["nodeName"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert!(used.values().all(|pods| *pods <= CORES), "{used:?}");
    let recalled: u64 = status.iter().map(|status| status.recalled).sum();
    println!(
        "conflicts of two schedulers on {} places: {refused} of {} bindings refused by the kubelet, {recalled} recalled",
        NODES * CORES,
        seen.len()
    );
    for engine in engines {
        engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_kubelet_is_counted_and_remembered() {
    let cluster = Cluster::new();
    cluster.node("n1", "4");
    pod_of(&cluster, "augur", "web");
    let engine = cluster.engine();
    until("the pod is bound", || cluster.node_of("web").is_some()).await;
    let refused = json!({ "status": { "phase": "Failed", "reason": "UnexpectedAdmissionError" } });
    cluster.local.patch("pods", "default", "web", "status", PatchKind::Merge, &refused).unwrap();
    until("the refusal is counted", || engine.handle().status().rejections == 1).await;
    let cause = || {
        let found =
            cluster.history.handle().decisions(&DecisionFilter { limit: 10, ..DecisionFilter::default() }).unwrap();
        found.into_iter().find_map(|(_, outcome)| outcome?.cause)
    };
    until("the outcome says so", || cause() == Some(augur_history::Cause::Rejected)).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_writes_nothing_and_records_both_choices() {
    let cluster = Cluster::new();
    cluster.node("n1", "4");
    cluster.node("n2", "8");
    let shadow = cluster.follower(Mode::Shadow);
    until("the shadow has listed", || shadow.handle().status().ready).await;
    pod_of(&cluster, "nobody", "ours");
    pod_of(&cluster, "by-hand", "on-purpose");
    pod_of(&cluster, "by-hand", "worst");
    cluster.pod_with("mirror", "1", &json!({ "nodeName": "n1", "schedulerName": "by-hand" }));
    for (pod, node) in [("on-purpose", "n2"), ("worst", "n1")] {
        let events = || shadow.handle().watches().pods.events.load(Ordering::Relaxed);
        until("the shadow has seen the pods", || events() >= 4).await;
        let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": pod },
            "target": { "kind": "Node", "name": node } });
        cluster.bind_by_hand(pod, &binding).await;
    }
    let observed = || {
        cluster.history.handle().flush();
        let filter = DecisionFilter { limit: 100, ..DecisionFilter::default() };
        let mut found = cluster.history.handle().decisions(&filter).unwrap();
        found.retain(|(record, _)| record.kind == DecisionKind::Observed);
        found
    };
    until("both placements were looked at", || observed().len() == 2).await;
    let found = observed();
    let of = |pod: &str| found.iter().map(|(record, _)| record).find(|record| &*record.pod.name == pod).unwrap();
    assert_eq!((of("on-purpose").node.as_deref(), of("on-purpose").runner_up.as_deref()), (Some("n2"), None));
    assert_eq!((of("worst").node.as_deref(), of("worst").runner_up.as_deref()), (Some("n1"), Some("n2")));
    assert_eq!(of("worst").propensity, 0.0, "how the other scheduler chooses is not known");
    let report = ShadowReport::of(found.iter().map(|(record, outcome)| (record, outcome.as_ref())));
    assert_eq!((report.decisions, report.same_node, report.differed), (2, 1, 1), "{report:?}");
    assert!(report.score_gain.unwrap().value > 0.0);
    // Nothing was written: no binding, no event, no condition.
    assert_eq!((cluster.node_of("ours"), cluster.bindings_of("ours")), (None, 0));
    assert!(cluster.scheduled("ours").is_null() && cluster.events("ours").is_empty());
    // What really became of the pod is the outcome.
    let refused = json!({ "status": { "phase": "Failed", "reason": "OutOfcpu" } });
    cluster.local.patch("pods", "default", "worst", "status", PatchKind::Merge, &refused).unwrap();
    until("the outcome is known", || {
        observed().iter().any(|(record, outcome)| {
            &*record.pod.name == "worst" && outcome.as_ref().is_some_and(|outcome| outcome.cause.is_some())
        })
    })
    .await;
    shadow.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_follows_another_scheduler() {
    let cluster = Cluster::new();
    for node in 0..3 {
        cluster.node(&format!("n{node}"), "4");
    }
    let shadow = cluster.follower(Mode::Shadow);
    until("the shadow has listed", || shadow.handle().status().ready).await;
    let other = named(&cluster, "other");
    for pod in 0..9 {
        pod_of(&cluster, "other", &format!("web-{pod}"));
    }
    until("all pods are bound", || (0..9).all(|pod| cluster.node_of(&format!("web-{pod}")).is_some())).await;
    let report = || {
        cluster.history.handle().flush();
        let filter = DecisionFilter { limit: 100, ..DecisionFilter::default() };
        let found = cluster.history.handle().decisions(&filter).unwrap();
        ShadowReport::of(found.iter().map(|(record, outcome)| (record, outcome.as_ref())))
    };
    until("all bindings that it saw coming were looked at", || report().decisions >= 8).await;
    let report = report();
    // Both decide by the same rules; what was bound in one go may be seen one at a time.
    assert_eq!(report.no_node + report.not_feasible, 0, "{report:?}");
    assert_eq!(shadow.handle().status().bound, 0);
    other.shutdown().await;
    shadow.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extender_binds_for_another_scheduler_behind_the_fence() {
    let cluster = Cluster::new();
    cluster.node("n1", "2");
    for pod in ["first", "second", "third"] {
        pod_of(&cluster, "default-scheduler", pod);
    }
    let backend = |engine: &Engine| {
        let thresholds = augur_api::dto::Thresholds::default();
        Backend::new(engine.handle(), thresholds, Swaps::default(), LearnerPlace::Nowhere, true, no_model())
    };
    let binding = |pod: &str| Binding {
        namespace: "default".to_owned(),
        name: pod.to_owned(),
        uid: cluster.get(pod)["metadata"]["uid"].as_str().unwrap().to_owned(),
        node: "n1".to_owned(),
    };
    let engine = cluster.follower(Mode::Extender);
    until("it has listed", || engine.handle().status().ready).await;
    let extender = backend(&engine);
    for pod in ["first", "second"] {
        extender.bind(binding(pod)).await.unwrap();
        until("the pod is known to be there", || engine.handle().status().placed_pods > usize::from(pod == "second"))
            .await;
    }
    let refused = extender.bind(binding("third")).await.unwrap_err();
    assert_eq!(refused.message, "node n1 cannot take the pod: Insufficient cpu");
    let again = extender.bind(binding("first")).await.unwrap_err();
    assert!(again.message.contains("already assigned to node"), "{}", again.message);
    let namesake = Binding { uid: "another".to_owned(), ..binding("third") };
    assert!(extender.bind(namesake).await.is_err());
    // Victims make room on paper; whoever asked evicts them.
    let pod = serde_json::value::to_raw_value(&cluster.get("third")).unwrap();
    let victims = vec![cluster.get("first")["metadata"]["uid"].as_str().unwrap().to_owned()];
    let candidates = vec![
        augur_api::Candidate { node: "n1".to_owned(), victims },
        augur_api::Candidate { node: "n1".to_owned(), victims: Vec::new() },
    ];
    assert_eq!(extender.preempt(pod, candidates).await.unwrap(), [true, false]);
    engine.shutdown().await;
    // A shadow never binds, whoever asks.
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    cluster.local.delete("pods", "default", "first", &now).unwrap();
    let shadow = cluster.follower(Mode::Shadow);
    until("it has listed", || shadow.handle().status().ready).await;
    assert!(backend(&shadow).bind(binding("third")).await.is_err());
    assert_eq!(cluster.node_of("third"), None);
    shadow.shutdown().await;
}
