//! Nodes: conditions become taints, nodes that are not heard of become unknown, pods leave nodes whose taints they do not
//! tolerate.
//!
//! Entry points: [`node`] for one node, [`eviction`] for one pod on a node with `NoExecute` taints.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::action::{Action, Outcome, Parent, condition, conditions, delete};
use super::cache::Place;
use super::daemon_set::tolerates;
use super::view::{Entry, Pod, items, text, written};

/// The kind.
pub(super) const NODE: Parent =
    Parent { resource: "nodes", api_version: "v1", kind: "Node", component: "node-controller" };

const POD: Parent = Parent { resource: "pods", api_version: "v1", kind: "Pod", component: "taint-eviction-controller" };

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Conditions whose truth keeps pods away, with the taint that says so.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
];

/// Brings a node's taints in line with its conditions, after noting that it is not heard of any more. `heard`: when it last
/// was; `grace`: how long it may be silent, `None` for ever. `pods` are those bound to it.
pub(super) fn node<'a>(
    node: &Arc<Entry>,
    heard: Timestamp,
    grace: Option<Duration>,
    pods: impl Iterator<Item = &'a Arc<Entry>>,
    now: Timestamp,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut list = conditions(node);
    let mut silenced = false;
    if let Some(grace) = grace {
        let silent_at = heard.checked_add(grace).unwrap_or(Timestamp::MAX);
        if silent_at > now {
            outcome.again(silent_at);
        } else if condition(&list, "Ready").is_none_or(|c| c["status"] != "Unknown") {
            silenced = condition(&list, "Ready").is_some_and(|c| c["status"] == "True");
            become_unknown(node, &mut list, now);
            let status = json!({ "status": { "conditions": list } });
            outcome.actions.push(Action::Patch { place: NODE.place(node), status: true, patch: status });
        }
    }
    let ready = condition(&list, "Ready").map(|c| text(&c["status"]));
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    match ready {
        Some("False") => wanted.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
        Some("Unknown") => wanted.extend([(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]),
        // A node without the condition keeps the taint that its registration gave it.
        None if has_taint(node, NOT_READY) => wanted.push((NOT_READY, "NoSchedule")),
        _ => {}
    }
    for (kind, taint) in PRESSURES {
        if condition(&list, kind).is_some_and(|c| c["status"] == "True") {
            wanted.push((taint, "NoSchedule"));
        }
    }
    if node.value()["spec"]["unschedulable"] == true {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    outcome.actions.extend(taints(node, &wanted, now));
    if silenced {
        // Nobody on the node can say so, therefore its pods stop being ready here.
        for pod in pods.filter(|p| p.pod().is_some_and(Pod::ready)) {
            outcome.actions.push(Action::PodCondition {
                place: Place::of("pods", pod),
                condition: json!({ "type": "Ready", "status": "False", "lastTransitionTime": written(now) }),
                phase: None,
            });
        }
    }
    outcome
}

fn has_taint(node: &Entry, key: &str) -> bool {
    items(&node.value()["spec"]["taints"]).iter().any(|t| t["key"] == key)
}

fn become_unknown(node: &Entry, list: &mut Vec<Value>, now: Timestamp) {
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        match list.iter_mut().find(|c| c["type"] == kind) {
            Some(c) if c["status"] == "Unknown" => {}
            Some(c) => {
                c["status"] = json!("Unknown");
                c["reason"] = json!("NodeStatusUnknown");
                c["message"] = json!("Kubelet stopped posting node status.");
                c["lastTransitionTime"] = written(now);
            }
            None => list.push(json!({
                "type": kind,
                "status": "Unknown",
                "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.",
                "lastHeartbeatTime": node.meta().creation_timestamp.map_or(Value::Null, written),
                "lastTransitionTime": written(now),
            })),
        }
    }
}

/// The write that gives a node the wanted taints of ours and leaves those of others alone.
fn taints(node: &Entry, wanted: &[(&str, &str)], now: Timestamp) -> Option<Action> {
    let ours = |t: &Value| {
        let (key, effect) = (text(&t["key"]), text(&t["effect"]));
        match key {
            NOT_READY | UNREACHABLE => effect == "NoSchedule" || effect == "NoExecute",
            UNSCHEDULABLE => effect == "NoSchedule",
            _ => effect == "NoSchedule" && PRESSURES.iter().any(|(_, taint)| *taint == key),
        }
    };
    let is = |t: &Value, (key, effect): (&str, &str)| t["key"] == key && t["effect"] == effect;
    let old = items(&node.value()["spec"]["taints"]);
    let mut new: Vec<Value> = old.iter().filter(|t| !ours(t) || wanted.iter().any(|w| is(t, *w))).cloned().collect();
    for (key, effect) in wanted {
        if !old.iter().any(|t| is(t, (key, effect))) {
            new.push(json!({ "key": key, "effect": effect, "timeAdded": written(now) }));
        }
    }
    (new != old).then(|| Action::Patch {
        place: NODE.place(node),
        status: false,
        patch: json!({ "spec": { "taints": if new.is_empty() { Value::Null } else { Value::Array(new) } } }),
    })
}

/// Whether a node has taints that make pods leave.
pub(super) fn has_no_execute(node: &Entry) -> bool {
    items(&node.value()["spec"]["taints"]).iter().any(|t| t["effect"] == "NoExecute")
}

/// When a pod has to leave a node because of the node's taints, if they stay; `None` if it may stay.
pub(super) fn leaves_after(pod: &Pod, node: &Entry) -> Option<Duration> {
    let mut shortest: Option<u64> = None;
    let mut any = false;
    for taint in items(&node.value()["spec"]["taints"]).iter().filter(|t| t["effect"] == "NoExecute") {
        any = true;
        let mut covering = pod.tolerations().iter().filter(|t| tolerates(t, taint)).peekable();
        if covering.peek().is_none() {
            return Some(Duration::ZERO);
        }
        for seconds in covering.filter_map(|t| t.toleration_seconds) {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            shortest = Some(shortest.map_or(seconds, |s| s.min(seconds)));
        }
    }
    shortest.filter(|_| any).map(Duration::from_secs)
}

/// The writes that make a pod leave because of a taint.
pub(super) fn eviction(pod: &Entry, now: Timestamp) -> Vec<Action> {
    let meta = pod.meta();
    let message = format!("Marking for deletion Pod {}/{}", meta.namespace, meta.name);
    vec![
        Action::Event(POD.note(pod, "Normal", "TaintManagerEviction", message)),
        Action::PodCondition {
            place: Place::of("pods", pod),
            condition: json!({
                "type": "DisruptionTarget",
                "status": "True",
                "lastTransitionTime": written(now),
                "reason": "DeletionByTaintManager",
                "message": "Taint manager: deleting due to NoExecute taint",
            }),
            phase: None,
        },
        delete("pods", pod),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{now, object, pods};
    use super::super::view::Depth;
    use super::*;

    fn a_node(ready: &str, spec: &Value) -> Arc<Entry> {
        object(json!({
            "metadata": { "name": "n1", "uid": "u" },
            "spec": spec,
            "status": { "conditions": [
                { "type": "Ready", "status": ready }, { "type": "DiskPressure", "status": "True" }] },
        }))
    }

    fn new_taints(outcome: &Outcome) -> Vec<String> {
        outcome
            .actions
            .iter()
            .filter_map(|a| match a {
                Action::Patch { status: false, patch, .. } => Some(items(&patch["spec"]["taints"])),
                _ => None,
            })
            .flatten()
            .map(|t| format!("{}:{}", text(&t["key"]).trim_start_matches("node.kubernetes.io/"), text(&t["effect"])))
            .collect()
    }

    #[test]
    fn conditions_and_cordons_become_taints() {
        let grace = Some(Duration::from_secs(50));
        let healthy = a_node(
            "True",
            &json!({ "unschedulable": true, "taints": [
            { "key": "mine", "effect": "NoSchedule" }, { "key": UNREACHABLE, "effect": "NoExecute" }] }),
        );
        let outcome = node(&healthy, now(100), grace, [].iter(), now(120));
        assert_eq!(new_taints(&outcome), ["mine:NoSchedule", "disk-pressure:NoSchedule", "unschedulable:NoSchedule"]);
        assert_eq!(outcome.again_at, Some(now(150)));
        let failed = node(&a_node("False", &json!({})), now(100), grace, [].iter(), now(120));
        assert_eq!(new_taints(&failed), ["not-ready:NoSchedule", "not-ready:NoExecute", "disk-pressure:NoSchedule"]);
    }

    #[test]
    fn a_silent_node_becomes_unknown_and_its_pods_unready() {
        let on_it = pods("a ready n1 1; b running n1 1");
        let outcome =
            node(&a_node("True", &json!({})), now(100), Some(Duration::from_secs(50)), on_it.iter(), now(150));
        let Action::Patch { patch, status: true, .. } = &outcome.actions[0] else { panic!("{outcome:?}") };
        assert_eq!(patch["status"]["conditions"][0]["reason"], "NodeStatusUnknown");
        assert_eq!(new_taints(&outcome), ["unreachable:NoSchedule", "unreachable:NoExecute"]);
        let unready: Vec<&str> = outcome
            .actions
            .iter()
            .filter_map(|a| match a {
                Action::PodCondition { place, .. } => Some(&*place.name),
                _ => None,
            })
            .collect();
        assert_eq!(unready, ["a"]);
        let tolerated = node(&a_node("True", &json!({})), now(100), None, on_it.iter(), now(9_999));
        assert!(new_taints(&tolerated).iter().all(|t| t.starts_with("disk")));
    }

    #[test]
    fn pods_leave_when_their_toleration_ends() {
        let tainted = a_node("Unknown", &json!({ "taints": [{ "key": UNREACHABLE, "effect": "NoExecute" }] }));
        let pod = |tolerations: Value| {
            let value = json!({ "metadata": { "name": "p", "uid": "p" }, "spec": { "tolerations": tolerations } });
            Entry::of(value, Depth::Pod).unwrap()
        };
        let leaves = |tolerations: Value| leaves_after(pod(tolerations).pod().unwrap(), &tainted);
        assert_eq!(leaves(json!([])), Some(Duration::ZERO));
        let exists = json!({ "key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute" });
        assert_eq!(leaves(json!([exists])), None);
        let mut bounded = exists;
        bounded["tolerationSeconds"] = json!(300);
        assert_eq!(leaves(json!([bounded])), Some(Duration::from_secs(300)));
        assert_eq!(leaves(json!([{ "operator": "Exists" }])), None);
    }
}
