//! DaemonSets: one pod on every node that is meant to have one.
//!
//! The pods name their node by node affinity and are bound by the scheduler. Entry point: [`reconcile`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use augur_notation::{Operator, Requirement};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::action::{Action, Outcome, Parent, count};
use super::history::{HASH_LABEL, Revisions};
use super::template::pod_of;
use super::view::{Entry, Pod, Toleration, int_or_percent, items, number, text};

/// The kind.
pub(super) const DAEMON_SET: Parent = Parent {
    resource: "daemonsets.apps",
    api_version: "apps/v1",
    kind: "DaemonSet",
    component: "daemonset-controller",
};

/// Most pods created or deleted in one go.
const BURST: usize = 250;

/// Taints that daemon pods always tolerate, and whether only by pods on the host network.
const TOLERATED: [(&str, &str, bool); 7] = [
    ("node.kubernetes.io/not-ready", "NoExecute", false),
    ("node.kubernetes.io/unreachable", "NoExecute", false),
    ("node.kubernetes.io/disk-pressure", "NoSchedule", false),
    ("node.kubernetes.io/memory-pressure", "NoSchedule", false),
    ("node.kubernetes.io/pid-pressure", "NoSchedule", false),
    ("node.kubernetes.io/unschedulable", "NoSchedule", false),
    ("node.kubernetes.io/network-unavailable", "NoSchedule", true),
];

/// Whether the set's pods belong on a node, and whether those that are there may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fit {
    run: bool,
    stay: bool,
}

const FIRST_BACKOFF: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_mins(15);
/// How many sets and nodes are remembered; beyond that, what is long past is forgotten.
const REMEMBERED: usize = 4096;

/// How long a pod that failed has to stay before it is replaced, by set and node: longer with each failure.
#[derive(Debug, Default)]
pub(super) struct Backoff(HashMap<(Arc<str>, Arc<str>), (Timestamp, SignedDuration)>);

impl Backoff {
    /// Whether the failed pod may be replaced now, or else when.
    fn replace(&mut self, set: &Entry, node: &Entry, now: Timestamp) -> Result<(), Timestamp> {
        let past = |since: Timestamp| now.duration_since(since) > LONGEST_BACKOFF + LONGEST_BACKOFF;
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, (since, _)| !past(*since));
        }
        let key = (Arc::clone(&set.meta().uid), Arc::clone(&node.meta().name));
        let delay = match self.0.get(&key) {
            Some((since, delay)) if !past(*since) => {
                let until = since.checked_add(*delay).unwrap_or(Timestamp::MAX);
                if until > now {
                    return Err(until);
                }
                (*delay + *delay).min(LONGEST_BACKOFF)
            }
            _ => FIRST_BACKOFF,
        };
        self.0.insert(key, (now, delay));
        Ok(())
    }
}

/// Takes the next step of a daemon set. `pods` are those it controls.
pub(super) fn reconcile<'a>(
    set: &Arc<Entry>,
    pods: &[Arc<Entry>],
    nodes: impl Iterator<Item = &'a Arc<Entry>>,
    revisions: &Revisions,
    backoff: &mut Backoff,
    now: Timestamp,
) -> Outcome {
    let mut outcome = Outcome::default();
    let template = template_with_tolerations(set);
    let mut by_node: BTreeMap<&str, Vec<&Arc<Entry>>> = BTreeMap::new();
    for pod in pods {
        if let Some(node) = pod.pod().and_then(Pod::target_node) {
            by_node.entry(node).or_default().push(pod);
        }
    }
    let tolerations: Vec<Toleration> = items(&template["spec"]["tolerations"])
        .iter()
        .filter_map(|t| serde::Deserialize::deserialize(t).ok())
        .collect();
    let nodes: Vec<(&Arc<Entry>, Fit)> = nodes.map(|node| (node, fit(node, &template["spec"], &tolerations))).collect();
    let known: BTreeSet<&str> = nodes.iter().map(|(node, _)| &*node.meta().name).collect();
    let min_ready = number(&set.value()["spec"]["minReadySeconds"], 0);

    let mut wanted: Vec<&str> = Vec::new();
    let mut unwanted: Vec<&Arc<Entry>> = Vec::new();
    for (node, pods) in &by_node {
        if !known.contains(node) {
            // Of nodes that are gone only pods that were never bound; pod garbage collection takes the others.
            unwanted.extend(pods.iter().filter(|p| p.pod().is_some_and(|pod| pod.node().is_none())));
        }
    }
    for (node, fit) in &nodes {
        let name: &str = &node.meta().name;
        let here = by_node.get(name).map_or(&[][..], Vec::as_slice);
        let live: Vec<&Arc<Entry>> = here.iter().filter(|p| !p.meta().deleting()).copied().collect();
        if !fit.run {
            if !fit.stay {
                unwanted.extend(live);
            }
            continue;
        }
        let (failed, mut running): (Vec<_>, Vec<_>) =
            live.into_iter().partition(|p| p.pod().is_some_and(Pod::finished));
        for pod in failed {
            match backoff.replace(set, node, now) {
                Ok(()) => unwanted.push(pod),
                Err(at) => outcome.again(at),
            }
        }
        running.sort_by_key(|p| (p.meta().creation_timestamp, Arc::clone(&p.meta().name)));
        unwanted.extend(running.iter().skip(1));
        // A pod that is going, or has failed, is replaced when it is gone.
        if here.is_empty() {
            wanted.push(name);
        }
    }
    if !set.meta().deleting() {
        unwanted.extend(outdated(set, &nodes, &by_node, revisions, now));
        for pod in unwanted.into_iter().filter(|p| !p.meta().deleting()).take(BURST) {
            outcome.actions.extend(DAEMON_SET.delete_pod(set, pod));
        }
        for node in wanted.iter().take(BURST) {
            let pod = pod_for(set, &template, node, &revisions.update);
            outcome.actions.push(DAEMON_SET.create_pod(set, pod));
        }
    }
    let (action, next) = status(set, &nodes, &by_node, &revisions.update, min_ready, now);
    outcome.actions.extend(action);
    if let Some(at) = next {
        outcome.again(at);
    }
    outcome
}

/// Pods of an earlier template that may be replaced now.
fn outdated<'a>(
    set: &Entry,
    nodes: &[(&Arc<Entry>, Fit)],
    by_node: &BTreeMap<&str, Vec<&'a Arc<Entry>>>,
    revisions: &Revisions,
    now: Timestamp,
) -> Vec<&'a Arc<Entry>> {
    let spec = &set.value()["spec"];
    let strategy = &spec["updateStrategy"];
    if strategy["type"] == "OnDelete" {
        return Vec::new();
    }
    let min_ready = number(&spec["minReadySeconds"], 0);
    let wanted = i64::try_from(nodes.iter().filter(|(_, fit)| fit.run).count()).unwrap_or(i64::MAX);
    let allowed = int_or_percent(&strategy["rollingUpdate"]["maxUnavailable"], wanted, true, 1).max(1);
    let mut unavailable = 0;
    let (mut down, mut up) = (Vec::new(), Vec::new());
    for (node, _) in nodes.iter().filter(|(_, fit)| fit.run) {
        let here = by_node.get(&*node.meta().name).map_or(&[][..], Vec::as_slice);
        let Some(pod) = here.iter().find(|p| p.pod().is_some_and(Pod::active)) else {
            unavailable += 1;
            continue;
        };
        let available = pod.pod().is_some_and(|p| p.available(min_ready, now));
        let old = pod.meta().label(HASH_LABEL) != revisions.update;
        match (old, available) {
            (true, false) => down.push(*pod),
            (true, true) => up.push(*pod),
            (false, _) => {}
        }
        unavailable += i64::from(!available);
    }
    let room = usize::try_from(allowed - unavailable).unwrap_or(0);
    // Replacing a pod that is not available makes nothing worse.
    down.extend(up.into_iter().take(room));
    down
}

fn template_with_tolerations(set: &Entry) -> Value {
    let mut template = set.value()["spec"]["template"].clone();
    let host_network = template["spec"]["hostNetwork"] == true;
    let mut tolerations = items(&template["spec"]["tolerations"]).to_vec();
    for (key, effect, only_host) in TOLERATED {
        let present = tolerations.iter().any(|t| t["key"] == key && t["effect"] == effect && t["operator"] == "Exists");
        if !present && (host_network || !only_host) {
            tolerations.push(json!({ "key": key, "operator": "Exists", "effect": effect }));
        }
    }
    template["spec"]["tolerations"] = Value::Array(tolerations);
    template
}

fn pod_for(set: &Entry, template: &Value, node: &str, hash: &str) -> Value {
    let mut pod = pod_of(&DAEMON_SET, set);
    pod["spec"] = template["spec"].clone();
    pod["metadata"]["labels"][HASH_LABEL] = json!(hash);
    pod["metadata"]["labels"]["pod-template-generation"] =
        json!(number(&set.value()["metadata"]["generation"], 1).to_string());
    let field = json!({ "key": "metadata.name", "operator": "In", "values": [node] });
    let affinity = &mut pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    match affinity["nodeSelectorTerms"].as_array_mut() {
        Some(terms) if !terms.is_empty() => {
            for term in terms {
                term["matchFields"] = json!([field]);
            }
        }
        _ => *affinity = json!({ "nodeSelectorTerms": [{ "matchFields": [field] }] }),
    }
    pod
}

/// Whether a toleration covers a taint.
pub(super) fn tolerates(toleration: &Toleration, taint: &Value) -> bool {
    let effect = toleration.effect.is_empty() || taint["effect"] == toleration.effect.as_str();
    let key = toleration.key.is_empty() || taint["key"] == toleration.key.as_str();
    effect
        && key
        && match toleration.operator.as_str() {
            "Exists" => true,
            "" | "Equal" => !toleration.key.is_empty() && text(&taint["value"]) == toleration.value,
            _ => false,
        }
}

fn fit(node: &Entry, pod: &Value, tolerations: &[Toleration]) -> Fit {
    let name: &str = &node.meta().name;
    if pod["nodeName"].as_str().is_some_and(|wanted| !wanted.is_empty() && wanted != name) {
        return Fit { run: false, stay: false };
    }
    let selected = pod["nodeSelector"]
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| node.meta().labels.get(key).map(String::as_str) == value.as_str());
    let required = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let required = required.is_null() || items(&required["nodeSelectorTerms"]).iter().any(|term| term_fits(term, node));
    if !selected || !required {
        return Fit { run: false, stay: false };
    }
    let taints = items(&node.value()["spec"]["taints"]);
    let untolerated = |effect: &str| {
        taints.iter().any(|t| t["effect"] == effect && !tolerations.iter().any(|toleration| tolerates(toleration, t)))
    };
    Fit { run: !untolerated("NoSchedule") && !untolerated("NoExecute"), stay: !untolerated("NoExecute") }
}

fn term_fits(term: &Value, node: &Entry) -> bool {
    let (expressions, fields) = (items(&term["matchExpressions"]), items(&term["matchFields"]));
    let holds = |e: &Value, value: Option<&str>| {
        let values: Vec<&str> = items(&e["values"]).iter().map(text).collect();
        Operator::of_node_selector(text(&e["operator"]))
            .and_then(|operator| Requirement::new(text(&e["key"]), operator, values))
            .is_ok_and(|requirement| requirement.matches_value(value))
    };
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|e| holds(e, node.meta().labels.get(text(&e["key"])).map(String::as_str)))
        && fields.iter().all(|e| holds(e, Some(&node.meta().name)))
}

fn status(
    set: &Entry,
    nodes: &[(&Arc<Entry>, Fit)],
    by_node: &BTreeMap<&str, Vec<&Arc<Entry>>>,
    hash: &str,
    min_ready: i64,
    now: Timestamp,
) -> (Option<Action>, Option<Timestamp>) {
    let (mut desired, mut current, mut misplaced, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0, 0);
    let mut next: Option<Timestamp> = None;
    for (node, fit) in nodes {
        let here = by_node.get(&*node.meta().name).map_or(&[][..], Vec::as_slice);
        if !fit.run {
            misplaced += i64::from(!here.is_empty());
            continue;
        }
        desired += 1;
        let oldest = here
            .iter()
            .filter(|p| !p.meta().deleting())
            .min_by_key(|p| (p.meta().creation_timestamp, Arc::clone(&p.meta().name)));
        let Some((entry, pod)) = oldest.and_then(|e| e.pod().map(|pod| (e, pod))) else { continue };
        current += 1;
        ready += i64::from(pod.ready());
        match pod.available_at(min_ready) {
            Some(at) if at <= now => available += 1,
            Some(at) => next = Some(next.map_or(at, |n| n.min(at))),
            None => {}
        }
        updated += i64::from(entry.meta().label(HASH_LABEL) == hash);
    }
    let mut status = Map::new();
    status.insert("currentNumberScheduled".to_owned(), json!(current));
    status.insert("numberMisscheduled".to_owned(), json!(misplaced));
    status.insert("desiredNumberScheduled".to_owned(), json!(desired));
    status.insert("numberReady".to_owned(), json!(ready));
    count(&mut status, "observedGeneration", number(&set.value()["metadata"]["generation"], 0));
    count(&mut status, "updatedNumberScheduled", updated);
    count(&mut status, "numberAvailable", available);
    count(&mut status, "numberUnavailable", desired - available);
    for member in ["collisionCount", "conditions"] {
        if let Some(kept) = set.value()["status"].get(member) {
            status.insert(member.to_owned(), kept.clone());
        }
    }
    (DAEMON_SET.status(set, status), next)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{now, object, pod};
    use super::*;

    fn node(name: &str, labels: &Value, taints: &Value) -> Arc<Entry> {
        object(json!({ "metadata": { "name": name, "uid": name, "labels": labels }, "spec": { "taints": taints } }))
    }

    fn set(spec: &Value) -> Arc<Entry> {
        let mut value = json!({
            "metadata": { "namespace": "n", "name": "agent", "uid": "u", "generation": 1 },
            "spec": { "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [] } },
                "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1 } } },
        });
        for (name, member) in spec.as_object().unwrap() {
            value["spec"]["template"]["spec"][name] = member.clone();
        }
        object(value)
    }

    fn revisions() -> Revisions {
        Revisions { update: "h2".to_owned(), ..Revisions::default() }
    }

    /// What a step does: `+node` for a creation, `-pod` for a deletion.
    fn steps(set: &Arc<Entry>, pods: &[Arc<Entry>], nodes: &[Arc<Entry>]) -> Vec<String> {
        reconcile(set, pods, nodes.iter(), &revisions(), &mut Backoff::default(), now(1000))
            .actions
            .iter()
            .filter_map(|a| match a {
                Action::Create { object, .. } => {
                    let pod = Entry::of(object.clone(), super::super::view::Depth::Pod).unwrap();
                    Some(format!("+{}", pod.pod().unwrap().target_node().unwrap()))
                }
                Action::Delete { place, .. } => Some(format!("-{}", place.name)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn every_node_that_fits_gets_a_pod_and_others_lose_theirs() {
        let nodes = [
            node("a", &json!({ "disk": "ssd" }), &json!([])),
            node("b", &json!({}), &json!([])),
            node("c", &json!({ "disk": "ssd" }), &json!([{ "key": "gpu", "effect": "NoSchedule" }])),
            node(
                "d",
                &json!({ "disk": "ssd" }),
                &json!([{ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }]),
            ),
        ];
        let set = set(&json!({ "nodeSelector": { "disk": "ssd" } }));
        assert_eq!(steps(&set, &[], &nodes), ["+a", "+d"]);
        let here = json!({ HASH_LABEL: "h2" });
        let pods = [pod("x ready a 1", &here), pod("y ready b 1", &here), pod("z ready c 1", &here)];
        assert_eq!(steps(&set, &pods, &nodes), ["-y", "+d"]);
    }

    #[test]
    fn a_new_template_replaces_one_pod_at_a_time() {
        let nodes: Vec<_> = ["a", "b", "c"].map(|n| node(n, &json!({}), &json!([]))).into();
        let old = |line: &str| pod(line, &json!({ HASH_LABEL: "h1" }));
        let all = [old("x ready a 1"), old("y ready b 1"), old("z ready c 1")];
        assert_eq!(steps(&set(&json!({})), &all, &nodes), ["-x"]);
        let one_down = [pod("n running a 1", &json!({ HASH_LABEL: "h2" })), old("y ready b 1"), old("z ready c 1")];
        assert_eq!(steps(&set(&json!({})), &one_down, &nodes), Vec::<String>::new());
        let broken = [pod("n running a 1", &json!({ HASH_LABEL: "h2" })), old("y running b 1"), old("z ready c 1")];
        assert_eq!(steps(&set(&json!({})), &broken, &nodes), ["-y"]);
    }

    #[test]
    fn a_failed_pod_is_deleted_and_replaced_when_it_is_gone() {
        let nodes = [node("a", &json!({}), &json!([]))];
        let failed = [pod("x failed a 1", &json!({ HASH_LABEL: "h2" }))];
        assert_eq!(steps(&set(&json!({})), &failed, &nodes), ["-x"]);
        let mut backoff = Backoff::default();
        let mut again = |seconds: i64| {
            reconcile(&set(&json!({})), &failed, nodes.iter(), &revisions(), &mut backoff, now(seconds)).again_at
        };
        // Replaced at once, then after one second, then after two.
        assert_eq!([again(10), again(10), again(11), again(12)], [None, Some(now(11)), None, Some(now(13))]);
        let going = [pod("x failed a 1 deleting", &json!({ HASH_LABEL: "h2" }))];
        assert_eq!(steps(&set(&json!({})), &going, &nodes), Vec::<String>::new());
    }
}
