//! Dry runs of many pods, and the outlook of one: answered on a copy of the cluster, off the scheduler thread.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use augur_api::ApiError;
use augur_api::dto::{
    BeforeAfter, Contributions, Outlook, OutlookFlip, OutlookNode, WhatIfAnswer, WhatIfBody, WhatIfDrain, WhatIfNode,
    WhatIfPod, WhatIfWorkload,
};
use augur_core::cycle::{Decision, NodeReport};
use augur_core::object::{Pod, WorkloadRef};
use augur_core::predictor::Predictor;
use augur_core::scheduler::{Rehearsal, Rehearsed, Remedy, lacking};
use augur_core::state::NodeView;
use augur_history::Rates;
use jiff::Timestamp;
use serde_json::json;

use super::read_pod;
use crate::engine::{Copied, Recorder};

/// How long pods are placed; what is not decided by then is told apart.
pub const PLACING_WITHIN: Duration = Duration::from_secs(10);
/// Nodes for which it is tried out what would make them feasible: those that lack least, and of those that are rejected for the same
/// reasons a few.
const TRIED: usize = 16;
const TRIED_OF_KIND: usize = 4;
/// Of these, how many are told.
const TOLD: usize = 3;
const MIB: f64 = 1_048_576.0;

/// Pods of the workloads as the API server would make them.
///
/// # Errors
/// 422 naming the workload and the field that cannot be understood.
pub fn pods_of(workloads: &[WhatIfWorkload]) -> Result<Vec<Pod>, ApiError> {
    let mut pods = Vec::new();
    for (place, workload) in workloads.iter().enumerate() {
        let WhatIfWorkload { namespace, kind, name, replicas, template } = workload;
        let named =
            |message: &str| ApiError::unprocessable("invalid_pod", format!("{kind} {namespace}/{name}: {message}"));
        let mut json: serde_json::Value =
            serde_json::from_str(template.get()).map_err(|error| named(&format!("template: {error}")))?;
        if !json["spec"].is_object() {
            return Err(named("template: spec is missing"));
        }
        // A pod that is said to be somewhere already is asked for anew.
        json["spec"].as_object_mut().map(|spec| spec.remove("nodeName"));
        let labels = json["metadata"]["labels"].take();
        let uid = format!("what-if-{place}");
        json["metadata"] = json!({ "name": name, "namespace": namespace, "uid": uid });
        if labels.is_object() {
            json["metadata"]["labels"] = labels;
        }
        json.as_object_mut().map(|pod| pod.remove("status"));
        let pod = read_pod(&json.to_string()).map_err(|error| named(&error.message))?;
        let workload = (kind != "Pod").then(|| WorkloadRef { kind: kind.as_str().into(), name: name.as_str().into() });
        pods.extend((0..*replicas).map(|number| Pod {
            uid: format!("what-if-{place}-{number}").into(),
            name: if kind == "Pod" && *replicas == 1 {
                name.as_str().into()
            } else {
                format!("{name}-{number}").into()
            },
            workload: workload.clone(),
            ..pod.clone()
        }));
    }
    Ok(pods)
}

/// What is requested on a node.
#[derive(Clone, Copy, PartialEq)]
struct Taken {
    pods: i64,
    cpu: i64,
    memory: i64,
}

fn taken(view: NodeView<'_>) -> Taken {
    let used = view.used();
    Taken { pods: used.pods, cpu: used.requested_cpu.get(), memory: used.requested_memory.get() }
}

/// Drains, places, and tells what became of it. Takes up to [`PLACING_WITHIN`] and the time that making a state of the copy takes.
///
/// # Errors
/// 404 for a node to drain that does not exist.
pub fn rehearse(
    copied: Copied,
    pods: Vec<Pod>,
    question: &WhatIfBody,
    predictor: &dyn Predictor,
) -> Result<WhatIfAnswer, ApiError> {
    let began = Instant::now();
    let now = copied.now;
    let mut rehearsal = Rehearsal::new(copied.config, copied.state.build(), now);
    let before: HashMap<Arc<str>, Taken> =
        rehearsal.state().nodes().map(|view| (view.name().clone(), taken(view))).collect();
    let mut drained = Vec::new();
    let mut from = Vec::new();
    let mut seen = HashSet::new();
    for name in question.drain.iter().filter(|name| seen.insert(name.as_str())) {
        let done = rehearsal
            .drain(name)
            .ok_or_else(|| ApiError::not_found("node_not_found", format!("node {name:?} does not exist")))?;
        from.extend(done.moved.iter().map(|_| name.clone()));
        drained.push(WhatIfDrain {
            name: name.clone(),
            moved: done.moved.len(),
            stay: done.stay.len(),
            lost: done.lost.iter().map(|pod| pod.full_name()).collect(),
        });
    }
    pods.into_iter().for_each(|pod| rehearsal.add(pod));
    let ends = rehearsal.run(predictor, || began.elapsed() < PLACING_WITHIN);
    let count = |is: &dyn Fn(&Rehearsed) -> bool| ends.iter().filter(|end| is(end)).count();
    let decision = ends.iter().find_map(|end| end.decision.as_ref());
    let after = rehearsal.state().nodes().filter_map(|view| {
        let (before, after) = (*before.get(view.name())?, taken(view));
        let is_drained = seen.contains(&**view.name());
        (before != after || is_drained).then(|| changed(view, is_drained, before, after))
    });
    let mut nodes: Vec<_> = after.collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(WhatIfAnswer {
        timestamp: timestamp(now),
        total_nodes: before.len(),
        total_pods: ends.len(),
        placed: count(&|end| end.node.is_some()),
        pending: count(&|end| end.node.is_none() && end.decision.is_some()),
        undecided: count(&|end| end.node.is_none() && end.decision.is_none()),
        evicted: ends.iter().map(|end| end.evicted.len()).sum(),
        model_id: decision.and_then(|decision| decision.model_id.as_ref()).map(ToString::to_string),
        fallback_reason: decision.and_then(|decision| decision.fallback.as_ref()).map(ToString::to_string),
        pods: ends.iter().enumerate().map(|(at, end)| rehearsed(end, from.get(at).cloned())).collect(),
        nodes,
        drained,
        took_ms: began.elapsed().as_secs_f64() * 1000.0,
    })
}

fn changed(view: NodeView<'_>, drained: bool, before: Taken, after: Taken) -> WhatIfNode {
    let used = view.used();
    let of = |allocatable: i64, before: i64, after: i64, unit: f64| BeforeAfter {
        allocatable: allocatable as f64 / unit,
        before: before as f64 / unit,
        after: after as f64 / unit,
    };
    WhatIfNode {
        name: view.name().to_string(),
        drained,
        pods: of(used.allowed_pods, before.pods, after.pods, 1.0),
        cpu: of(used.allocatable_cpu.get(), before.cpu, after.cpu, 1000.0),
        memory: of(used.allocatable_memory.get(), before.memory, after.memory, MIB),
    }
}

fn rehearsed(end: &Rehearsed, from_node: Option<String>) -> WhatIfPod {
    let chosen = end.decision.as_ref().and_then(|decision| decision.chosen.as_ref()).filter(|_| end.node.is_some());
    let several = end.decision.as_ref().is_some_and(|decision| decision.feasible_nodes > 1);
    WhatIfPod {
        namespace: end.pod.namespace.to_string(),
        name: end.pod.name.to_string(),
        workload: end.pod.workload.as_ref().map(|workload| format!("{}/{}", workload.kind, workload.name)),
        from_node,
        node_name: end.node.as_ref().map(ToString::to_string),
        reason: (!end.message.is_empty()).then(|| end.message.clone()),
        total_score: chosen.filter(|_| several).map(|report| round(report.total)),
        p_bad: chosen.and_then(|report| report.prediction).map(|prediction| prediction.p_bad),
        evicted: end.evicted.iter().map(|pod| pod.full_name()).collect(),
    }
}

/// Where the pod would go if it were placed now, and what would change that.
pub fn outlook(copied: Copied, pod: &Pod, predictor: &dyn Predictor) -> Outlook {
    let (now, rates, seed) = (copied.now, copied.rates, copied.config.seed);
    let mut rehearsal = Rehearsal::new(copied.config, copied.state.build(), now);
    let mut decision = rehearsal.judge(pod, predictor, seed);
    let mut reports = std::mem::take(&mut decision.nodes);
    let chosen = decision.node().cloned();
    reports.sort_by(|a, b| {
        let rank = |report: &NodeReport| (report.rejection.is_some(), Some(&report.node) != chosen.as_ref());
        let by_total = b.total.total_cmp(&a.total);
        rank(a).0.cmp(&rank(b).0).then(by_total).then(rank(a).1.cmp(&rank(b).1)).then_with(|| a.node.cmp(&b.node))
    });
    let best = reports.first().filter(|report| report.rejection.is_none()).map(|report| report.total);
    let recorder = Recorder::new();
    let nodes: Vec<OutlookNode> =
        reports.iter().map(|report| node_of(report, best, pod, &rehearsal, &rates, &recorder)).collect();
    let mut flip: Vec<OutlookFlip> = runner_up(&nodes).into_iter().collect();
    flip.extend(feasible_by(&mut rehearsal, pod, &nodes));
    Outlook {
        pod_name: pod.name.to_string(),
        pod_namespace: pod.namespace.to_string(),
        timestamp: timestamp(now),
        current_node: pod.node.as_ref().map(ToString::to_string),
        predicted_node: chosen.as_ref().map(ToString::to_string),
        confidence: chosen.is_some().then_some(round(decision.confidence)),
        algorithm: decision.algorithm.name().to_owned(),
        fallback_reason: decision.fallback.as_ref().map(ToString::to_string),
        model_id: decision.model_id.as_ref().map(ToString::to_string),
        reason: reason(&decision),
        nodes,
        flip,
    }
}

fn reason(decision: &Decision) -> String {
    match &decision.outcome {
        augur_core::cycle::Outcome::Unschedulable(diagnosis) => diagnosis.message(),
        _ => decision.reason.clone(),
    }
}

fn node_of(
    report: &NodeReport,
    best: Option<f64>,
    pod: &Pod,
    rehearsal: &Rehearsal,
    rates: &Rates,
    recorder: &Recorder,
) -> OutlookNode {
    let feasible = report.rejection.is_none();
    let view = rehearsal.state().node(&report.node).filter(|_| !feasible);
    let in_units = |(name, amount): (Arc<str>, i64)| {
        let amount = match &*name {
            "cpu" => amount as f64 / 1000.0,
            "memory" | "ephemeral-storage" => (amount as f64 / MIB).ceil(),
            _ => amount as f64,
        };
        (name.to_string(), amount)
    };
    let parts = recorder.parts(report).into_iter().map(|part| (part.plugin, part.points));
    OutlookNode {
        node_name: report.node.to_string(),
        feasible,
        filter: report.rejection.as_ref().and_then(|rejection| rejection.plugin).map(|plugin| plugin.name().to_owned()),
        reasons: report.rejection.as_ref().map(|rejection| rejection.reasons.clone()).unwrap_or_default(),
        lacking: view.map(|view| lacking(pod, view).into_iter().map(in_units).collect()).unwrap_or_default(),
        total_score: feasible.then(|| round(report.total)),
        behind: best.filter(|_| feasible).map(|best| round(best - report.total)),
        contributions: Contributions(if feasible { parts.collect() } else { Vec::new() }),
        model_points: report.prediction.map(|_| round(report.model_part)),
        p_bad: report.prediction.map(|prediction| prediction.p_bad),
        stability_score: rates
            .nodes
            .get(&report.node)
            .and_then(|rates| rates.stability_score)
            .map(|score| (score * 1000.0).round() / 1000.0),
    }
}

/// What the second best node lacks, by plugin.
fn runner_up(nodes: &[OutlookNode]) -> Option<OutlookFlip> {
    let [best, next, ..] = nodes else { return None };
    let behind = next.behind.filter(|_| next.feasible)?;
    if behind <= 0.0 {
        let change = format!("any point more: it is level with {}, and one of both was drawn", best.node_name);
        return Some(flip(vec![change], &next.node_name, "chosen", Some(0.0)));
    }
    let points = |node: &OutlookNode| -> BTreeMap<Arc<str>, f64> { node.contributions.0.iter().cloned().collect() };
    let (of_best, of_next) = (points(best), points(next));
    let mut parts: Vec<(f64, &str)> = of_best
        .iter()
        .map(|(plugin, points)| (points - of_next.get(plugin).copied().unwrap_or(0.0), &**plugin))
        .filter(|(lead, _)| *lead > 0.005)
        .collect();
    parts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let parts: Vec<String> = parts.iter().take(3).map(|(lead, plugin)| format!("{plugin} {}", round(*lead))).collect();
    let mut change = format!("more than {behind} points for it");
    if !parts.is_empty() {
        change.push_str(&format!("; what puts it behind {}: {}", best.node_name, parts.join(", ")));
    }
    Some(flip(vec![change], &next.node_name, "chosen", Some(behind)))
}

/// The nodes that least keeps from being feasible, by what was tried out.
fn feasible_by(rehearsal: &mut Rehearsal, pod: &Pod, nodes: &[OutlookNode]) -> Vec<OutlookFlip> {
    let state = rehearsal.state();
    let share = |node: &OutlookNode| -> f64 {
        let Some(view) = state.node(&node.node_name) else { return f64::INFINITY };
        let share = |(name, lack): (Arc<str>, i64)| {
            let there_is = match &*name {
                "cpu" => view.used().allocatable_cpu.get(),
                "memory" => view.used().allocatable_memory.get(),
                "ephemeral-storage" => view.used().allocatable_storage.get(),
                "pods" => view.used().allowed_pods,
                other => view.scalar(other).0,
            };
            if there_is > 0 { lack as f64 / there_is as f64 } else { f64::INFINITY }
        };
        lacking(pod, view).into_iter().map(share).sum()
    };
    let mut rejected: Vec<(f64, &OutlookNode)> =
        nodes.iter().filter(|node| !node.feasible).map(|node| (share(node), node)).collect();
    rejected.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.node_name.cmp(&b.1.node_name)));
    // Some of each kind of rejection, so that many nodes of one kind do not hide another.
    let mut of_kind: HashMap<&[String], usize> = HashMap::new();
    rejected.retain(|(share, node)| {
        let tried = of_kind.entry(&node.reasons).or_default();
        *tried += 1;
        share.is_finite() && *tried <= TRIED_OF_KIND
    });
    let tried = rejected.into_iter().map(|(_, node)| node).take(TRIED);
    let mut found: Vec<(usize, Vec<String>, OutlookFlip)> = tried
        .filter_map(|node| {
            let remedies = rehearsal.remedies(pod, &node.node_name)?;
            let changes = remedies.iter().map(|remedy| in_words(remedy, &node.node_name)).collect();
            let kinds = remedies.iter().map(kind).collect();
            Some((remedies.len(), kinds, flip(changes, &node.node_name, "feasible", None)))
        })
        .collect();
    // The fewest changes first; among equals, what lacks least; each kind of change once.
    found.sort_by_key(|(changes, ..)| *changes);
    let mut told = HashSet::new();
    found.retain(|(_, kinds, _)| told.insert(kinds.clone()));
    found.into_iter().take(TOLD).map(|(.., flip)| flip).collect()
}

fn kind(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Uncordon => "uncordon".to_owned(),
        Remedy::Taint(taint) => format!("taint {}", taint.key),
        Remedy::Free(name, _) => name.to_string(),
    }
}

fn flip(changes: Vec<String>, node: &str, then: &'static str, points: Option<f64>) -> OutlookFlip {
    OutlookFlip { changes, node_name: node.to_owned(), then, points }
}

fn in_words(remedy: &Remedy, node: &str) -> String {
    match remedy {
        Remedy::Uncordon => format!("kubectl uncordon {node}"),
        Remedy::Taint(taint) => {
            let taint = crate::engine::taint_text(taint);
            format!("a toleration of {taint}, or the taint removed")
        }
        Remedy::Free(name, amount) => match &**name {
            "cpu" => format!("{amount}m cpu more free there, or requested less"),
            "memory" | "ephemeral-storage" => {
                format!("{}Mi {name} more free there, or requested less", (*amount as f64 / MIB).ceil())
            }
            "pods" => format!("{amount} {} fewer there", if *amount == 1 { "pod" } else { "pods" }),
            _ => format!("{amount} {name} more free there, or requested less"),
        },
    }
}

fn timestamp(at: augur_core::time::Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_micros()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn workload(kind: &str, replicas: u32, template: &str) -> WhatIfWorkload {
        WhatIfWorkload {
            namespace: "team".to_owned(),
            kind: kind.to_owned(),
            name: "web".to_owned(),
            replicas,
            template: RawValue::from_string(template.to_owned()).unwrap(),
        }
    }

    #[test]
    fn templates_become_pods() {
        let template = r#"{"metadata":{"name":"x","labels":{"app":"web"}},"status":{"phase":"Succeeded"},
            "spec":{"nodeName":"n1","containers":[{"name":"c","resources":{"requests":{"cpu":"2"}}}]}}"#;
        let pods = pods_of(&[workload("Deployment", 2, template), workload("Pod", 1, template)]).unwrap();
        let names: Vec<_> = pods.iter().map(|pod| (&*pod.name, &*pod.uid, pod.workload.is_some())).collect();
        assert_eq!(
            names,
            [("web-0", "what-if-0-0", true), ("web-1", "what-if-0-1", true), ("web", "what-if-1-0", false)]
        );
        assert!(
            pods.iter()
                .all(|pod| pod.node.is_none() && &*pod.namespace == "team" && pod.labels.get("app") == Some("web"))
        );
        assert_eq!(pods[0].requests().granted.cpu.get(), 2000);
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (template, part) in [
            ("{}", "Deployment team/web: template: spec is missing"),
            (r#"{"spec":{"containers":[{"resources":{"requests":{"cpu":"much"}}}]}}"#, "requests.cpu: much"),
            (r#"{"spec":{"containers":7}}"#, "containers"),
        ] {
            let error = pods_of(&[workload("Deployment", 1, template)]).unwrap_err();
            assert_eq!(error.status.as_u16(), 422);
            assert!(error.message.contains(part), "{}", error.message);
        }
    }
}
