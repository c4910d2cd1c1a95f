//! Pods that nobody cleans up: too many that have ended, those of nodes that are gone, those that were to be deleted before
//! they were bound. Entry point: [`sweep`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::action::{Action, delete_now};
use super::cache::{Cache, Place};
use super::view::{Entry, written};

/// How often to sweep.
pub(super) const INTERVAL: Duration = Duration::from_secs(20);
/// How long a node must be gone before its pods follow.
const QUARANTINE: Duration = Duration::from_secs(40);

/// Finds pods to be cleaned up. `missing` remembers since when nodes that pods are bound to have been gone; `limit` is the
/// number of ended pods that may stay.
pub(super) fn sweep(
    cache: &Cache,
    missing: &mut HashMap<Arc<str>, Timestamp>,
    limit: usize,
    now: Timestamp,
) -> Vec<Action> {
    let mut actions = Vec::new();
    let gone: Vec<&Arc<str>> = cache.nodes_of_pods().filter(|n| cache.get("nodes", "", n).is_none()).collect();
    missing.retain(|node, _| gone.contains(&node));
    for node in gone {
        let since = *missing.entry(Arc::clone(node)).or_insert(now);
        if since.checked_add(QUARANTINE).is_ok_and(|end| end <= now) {
            for pod in cache.pods_on(node).filter_map(|place| cache.at(place)) {
                actions.extend(orphaned(pod, now));
            }
        }
    }
    let mut ended: Vec<&Arc<Entry>> = Vec::new();
    for entry in cache.all("pods") {
        let Some(pod) = entry.pod() else { continue };
        if pod.node().is_none() && entry.meta().deleting() {
            actions.push(delete_now("pods", entry));
        } else if pod.finished() {
            ended.push(entry);
        }
    }
    let surplus = ended.len().saturating_sub(limit);
    if surplus > 0 {
        ended.sort_by_key(|e| (e.meta().creation_timestamp, Arc::clone(&e.meta().name)));
        actions.extend(ended.into_iter().take(surplus).map(|e| delete_now("pods", e)));
    }
    actions
}

fn orphaned(pod: &Entry, now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    if pod.pod().is_some_and(|p| !p.finished()) {
        actions.push(Action::PodCondition {
            place: Place::of("pods", pod),
            condition: json!({
                "type": "DisruptionTarget",
                "status": "True",
                "lastTransitionTime": written(now),
                "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists",
            }),
            phase: Some("Failed"),
        });
    }
    actions.push(delete_now("pods", pod));
    actions
}

#[cfg(test)]
mod tests {
    use super::super::view::Depth;
    use super::*;
    use crate::controllers::fixtures::now;

    fn cache(pods: &[(&str, &str, &str)]) -> Cache {
        let mut cache = Cache::default();
        cache.put("nodes", Entry::of(json!({ "metadata": { "name": "here", "uid": "here" } }), Depth::Whole).unwrap());
        for (i, (name, node, phase)) in pods.iter().enumerate() {
            let created = now(i64::try_from(i).unwrap()).to_string();
            let value = json!({
                "metadata": { "namespace": "n", "name": name, "uid": name, "creationTimestamp": created },
                "spec": { "nodeName": node }, "status": { "phase": phase },
            });
            cache.put("pods", Entry::of(value, Depth::Pod).unwrap());
        }
        cache
    }

    fn deleted(actions: &[Action]) -> Vec<&str> {
        actions
            .iter()
            .filter_map(|a| match a {
                Action::Delete { place, .. } => Some(&*place.name),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn pods_of_a_node_that_is_gone_go_after_a_while() {
        let cache = cache(&[("a", "here", "Running"), ("b", "there", "Running"), ("c", "", "Pending")]);
        let mut missing = HashMap::new();
        assert!(sweep(&cache, &mut missing, 10, now(100)).is_empty());
        assert!(sweep(&cache, &mut missing, 10, now(139)).is_empty());
        let actions = sweep(&cache, &mut missing, 10, now(140));
        assert_eq!(deleted(&actions), ["b"]);
        assert!(matches!(&actions[0], Action::PodCondition { phase: Some("Failed"), .. }));
    }

    #[test]
    fn the_oldest_ended_pods_go_beyond_the_limit() {
        let cache = cache(&[("old", "here", "Failed"), ("new", "here", "Succeeded"), ("run", "here", "Running")]);
        assert_eq!(deleted(&sweep(&cache, &mut HashMap::new(), 1, now(100))), ["old"]);
    }
}
