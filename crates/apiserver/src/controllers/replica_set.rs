//! ReplicaSets: as many pods as asked for.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::action::{Action, Parent, conditions, count, set_condition};
use super::template::pod_of;
use super::view::{Entry, Pod, number};

/// The kind.
pub(super) const REPLICA_SET: Parent = Parent {
    resource: "replicasets.apps",
    api_version: "apps/v1",
    kind: "ReplicaSet",
    component: "replicaset-controller",
};

/// Most pods that are created or deleted in one go.
const BURST: usize = 500;
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Creations or deletions that bring the number of pods to `spec.replicas`. `pods` are those it controls, `siblings` those
/// of replica sets with the same owner, which tell how crowded nodes are.
pub(super) fn manage(set: &Entry, pods: &[Arc<Entry>], siblings: &[Arc<Entry>]) -> Vec<Action> {
    if set.meta().deleting() {
        return Vec::new();
    }
    let active: Vec<&Arc<Entry>> = pods.iter().filter(|p| p.pod().is_some_and(Pod::active)).collect();
    let wanted = usize::try_from(number(&set.value()["spec"]["replicas"], 1)).unwrap_or(0);
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(BURST);
        let pod = pod_of(&REPLICA_SET, set);
        return (0..missing).map(|_| REPLICA_SET.create_pod(set, pod.clone())).collect();
    }
    let surplus = (active.len() - wanted).min(BURST);
    if surplus == 0 {
        return Vec::new();
    }
    let mut ranked = active;
    if surplus < ranked.len() {
        rank_for_deletion(&mut ranked, siblings);
    }
    ranked.into_iter().take(surplus).flat_map(|pod| REPLICA_SET.delete_pod(set, pod)).collect()
}

/// Orders pods so that those to be deleted first come first: unbound, then not running, not ready, cheap, crowded,
/// ready for a shorter time, restarted more often, younger.
pub(super) fn rank_for_deletion(pods: &mut [&Arc<Entry>], siblings: &[Arc<Entry>]) {
    let mut crowd: HashMap<&str, i64> = HashMap::new();
    for pod in siblings.iter().filter_map(|e| e.pod()).filter(|p| p.active() && p.ready()) {
        if let Some(node) = pod.node() {
            *crowd.entry(node).or_default() += 1;
        }
    }
    pods.sort_by_cached_key(|entry| {
        let pod = entry.pod();
        let phase = match pod.map_or("", Pod::phase) {
            "Running" => 2,
            "Unknown" => 1,
            _ => 0,
        };
        let cost = entry.meta().annotations.get(DELETION_COST).and_then(|c| c.parse::<i64>().ok()).unwrap_or(0);
        let node = pod.and_then(Pod::node);
        (
            node.is_some(),
            phase,
            pod.is_some_and(Pod::ready),
            cost,
            Reverse(node.and_then(|n| crowd.get(&**n)).copied().unwrap_or(0)),
            Reverse(pod.and_then(Pod::ready_since)),
            Reverse(pod.map_or(0, Pod::max_restarts)),
            Reverse(entry.meta().creation_timestamp),
            Arc::clone(&entry.meta().uid),
        )
    });
}

/// The status that the pods make, and when it changes by itself because pods become available. `error`: why the last
/// creation or deletion failed.
pub(super) fn status(
    set: &Entry,
    pods: &[Arc<Entry>],
    error: Option<&str>,
    now: Timestamp,
) -> (Option<Action>, Option<Timestamp>) {
    let spec = &set.value()["spec"];
    let min_ready = number(&spec["minReadySeconds"], 0);
    let template_labels = spec["template"]["metadata"]["labels"].as_object();
    let (mut replicas, mut labeled, mut ready, mut available, mut terminating) = (0, 0, 0, 0, 0);
    let mut next = None;
    for (entry, pod) in pods.iter().filter_map(|e| e.pod().map(|pod| (e, pod))) {
        if entry.meta().deleting() {
            terminating += i64::from(!pod.finished());
            continue;
        }
        if pod.finished() {
            continue;
        }
        replicas += 1;
        let meta = entry.meta();
        if template_labels.is_none_or(|labels| labels.iter().all(|(k, v)| v.as_str() == Some(meta.label(k)))) {
            labeled += 1;
        }
        ready += i64::from(pod.ready());
        match pod.available_at(min_ready) {
            Some(at) if at <= now => available += 1,
            Some(at) => next = Some(next.map_or(at, |n: Timestamp| n.min(at))),
            None => {}
        }
    }
    let mut list = conditions(set);
    match error {
        None => list.retain(|c| c["type"] != "ReplicaFailure"),
        Some(message) => {
            let reason = if replicas < number(&spec["replicas"], 1) { "FailedCreate" } else { "FailedDelete" };
            set_condition(&mut list, "ReplicaFailure", "True", reason, message, now);
        }
    }
    let mut status = Map::new();
    status.insert("replicas".to_owned(), json!(replicas));
    count(&mut status, "fullyLabeledReplicas", labeled);
    count(&mut status, "readyReplicas", ready);
    count(&mut status, "availableReplicas", available);
    status.insert("terminatingReplicas".to_owned(), json!(terminating));
    count(&mut status, "observedGeneration", number(&set.value()["metadata"]["generation"], 0));
    if !list.is_empty() {
        status.insert("conditions".to_owned(), Value::Array(list));
    }
    (REPLICA_SET.status(set, status), next)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{now, object, pods};
    use super::*;

    fn set(replicas: i64) -> Arc<Entry> {
        object(json!({
            "metadata": { "namespace": "n", "name": "web", "uid": "u", "generation": 2 },
            "spec": { "replicas": replicas, "minReadySeconds": 10,
                "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [] } } },
        }))
    }

    #[test]
    fn missing_pods_are_created_from_the_template() {
        let actions = manage(&set(3), &pods("a ready n1 1000; b failed n1; c ready n1 deleting"), &[]);
        assert_eq!(actions.len(), 2, "failed and terminating pods do not count");
        let Action::Create { object, .. } = &actions[0] else { panic!("{actions:?}") };
        assert_eq!(object["metadata"]["generateName"], "web-");
        assert_eq!(object["metadata"]["labels"]["app"], "web");
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "u");
    }

    #[test]
    fn surplus_pods_go_in_the_order_of_the_real_controller() {
        let list = pods(
            "old ready n1 100; young ready n1 900; waiting pending -; unready running n2; crowded ready n3 100; other ready n3 100",
        );
        let order: Vec<String> = manage(&set(0), &list[..0], &list).iter().map(|a| format!("{a:?}")).collect();
        assert!(order.is_empty());
        let deleted: Vec<String> = manage(&set(1), &list, &list)
            .into_iter()
            .filter_map(|a| match a {
                Action::Delete { place, .. } => Some(place.name.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(deleted, ["waiting", "unready", "young", "crowded", "old"]);
    }

    #[test]
    fn status_counts_pods_and_knows_when_one_becomes_available() {
        let list = pods("a ready n1 100; b ready n1 995; c running n1; d ready n1 100 deleting");
        let (action, next) = status(&set(3), &list, Some("quota"), now(1000));
        let Some(Action::Patch { patch, .. }) = action else { panic!() };
        let status = &patch["status"];
        assert_eq!(status["replicas"], 3);
        assert_eq!(status["readyReplicas"], 2);
        assert_eq!(status["availableReplicas"], 1);
        assert_eq!(status["terminatingReplicas"], 1);
        assert_eq!(status["observedGeneration"], 2);
        assert_eq!(status["conditions"][0]["message"], "quota");
        assert_eq!(next, Some(now(1005)));
    }
}
