//! Decisions in words: diagnoses, reports on nodes, sentences.

use super::company::Domains;
use super::decision::{Algorithm, Cycle, Decision, Detail, NodeRejection, NodeReport, Outcome};
use super::diagnosis::{Diagnosis, narrowed_reason};
use super::judgement::Judged;
use super::standing::Standing;
use super::trial::Start;
use super::{preempt, rejected_for_devices, unsupported};
use crate::object::{Pod, PodDevices, PodVolumes};
use crate::plugins::{Code, PluginId, PluginSet, dynamic_resources};
use crate::predictor::Fallback;
use crate::state::ClusterState;

/// A decision without a node.
pub(super) fn bare(state: &ClusterState, pod: &Pod, cycle: Cycle, outcome: Outcome, reason: String) -> Decision {
    Decision {
        outcome,
        algorithm: Algorithm::EnhancedScoring,
        fallback: Some(Fallback::NothingToCompare),
        model_id: None,
        model_weight: 0.0,
        confidence: 0.0,
        propensity: 0.0,
        explored: false,
        total_nodes: state.node_count(),
        feasible_nodes: 0,
        chosen: None,
        runner_up: None,
        nodes: Vec::new(),
        not_considered: unsupported::preferred(state, pod),
        volumes: PodVolumes::default(),
        devices: PodDevices::default(),
        reason,
        cycle,
    }
}

/// The decision on a pod that fits no node.
pub(super) fn unschedulable<'a>(
    standing: &mut Standing,
    start: &Start<'a>,
    domains: &mut Domains,
    state: &'a ClusterState,
    pod: &Pod,
    cycle: Cycle,
) -> Decision {
    let mut reasons = std::collections::BTreeMap::new();
    let mut plugins = PluginSet::EMPTY;
    for (rejection, nodes) in standing.rejections() {
        plugins.insert(rejection.plugin);
        for text in standing.texts(rejection) {
            *reasons.entry(text).or_default() += nodes;
        }
    }
    if let Some(narrowed) = standing.narrowed()
        && let outside @ 1.. = state.node_count() - standing.judged()
    {
        reasons.insert(narrowed_reason(narrowed.by), outside);
        plugins.insert(narrowed.by);
    }
    if state.node_count() == 0 {
        // A node that could hold the pod is what it waits for.
        plugins.insert(PluginId::NodeResourcesFit);
    }
    let preemption = preempt::outlook(state, pod, standing, start, &domains.by_name(state), cycle.now);
    let asks_for_claims = standing.plugins().post_filter().contains(PluginId::DynamicResources);
    let nodes = state.node_count();
    let (claims, freed) = dynamic_resources::aftermath(pod, state, rejected_for_devices(standing, state));
    let diagnosis =
        Diagnosis { nodes, reasons, plugins, turned_away: None, asks_for_claims, preemption, claims, freed };
    let reason = diagnosis.message();
    let mut decision = bare(state, pod, cycle, Outcome::Unschedulable(diagnosis), reason);
    if cycle.detail == Detail::Full {
        decision.nodes.extend(rejections(standing, state));
        decision.nodes.sort_by(|a, b| a.node.cmp(&b.node));
    }
    decision
}

/// Reports on all nodes that are not feasible.
pub(super) fn rejections<'a>(standing: &'a Standing, state: &'a ClusterState) -> impl Iterator<Item = NodeReport> + 'a {
    state.ids().filter_map(move |id| {
        let node = state.view(id).name().clone();
        let rejection = match (standing.status(id), standing.narrowed()) {
            (Judged::LeftOut, Some(narrowed)) => NodeRejection {
                plugin: None,
                code: Code::UnschedulableAndUnresolvable,
                reasons: vec![narrowed_reason(narrowed.by)],
            },
            (Judged::Rejected(rejection), _) => {
                let reasons = standing.texts(rejection);
                NodeRejection { plugin: Some(rejection.plugin), code: rejection.code, reasons }
            }
            (Judged::Feasible, _) | (Judged::LeftOut, None) => return None,
        };
        Some(NodeReport {
            node,
            rejection: Some(rejection),
            plugins: Vec::new(),
            extenders: Vec::new(),
            enhanced: None,
            prediction: None,
            risk_part: 0.0,
            model_part: 0.0,
            total: 0.0,
        })
    })
}

/// Why the chosen node was chosen.
pub(super) fn chosen_sentence(
    chosen: &NodeReport,
    runner_up: Option<&NodeReport>,
    feasible: usize,
    nodes: usize,
    equals: usize,
) -> String {
    let place = format!("{feasible} of {nodes} nodes can take the pod");
    match runner_up {
        None => format!("{} is the only one of {nodes} nodes that can take the pod", chosen.node),
        Some(second) if equals > 1 => format!(
            "{place}; {} was drawn from {equals} equally good ones (score {:.1}), {} among them",
            chosen.node, chosen.total, second.node
        ),
        Some(second) => {
            let (what, by) = main_difference(chosen, second);
            format!(
                "{place}; {} scores {:.1}, {:.1} more than {}, mostly by {what} ({by:+.1})",
                chosen.node,
                chosen.total,
                chosen.total - second.total,
                second.node
            )
        }
    }
}

/// Why a near-tie was chosen.
pub(super) fn explored_sentence(chosen: &NodeReport, best: &NodeReport, feasible: usize, nodes: usize) -> String {
    format!(
        "{feasible} of {nodes} nodes can take the pod; {} was tried for the sake of learning, {:.1} points behind {} (score {:.1})",
        chosen.node,
        best.total - chosen.total,
        best.node,
        best.total
    )
}

/// What speaks most for the first against the second, and by how much.
fn main_difference<'r>(first: &'r NodeReport, second: &NodeReport) -> (&'r str, f64) {
    let plugins = first.plugins.iter().map(|(plugin, score)| {
        let other = second.plugins.iter().find(|(known, _)| known == plugin).map_or(0, |(_, score)| *score);
        (plugin.name(), (score - other) as f64)
    });
    let of = |report: &NodeReport, name: &str| {
        report.extenders.iter().find(|(known, _)| **known == *name).map_or(0, |(_, score)| *score)
    };
    let extenders =
        first.extenders.iter().map(|(name, score)| (&**name, score.saturating_sub(of(second, name)) as f64));
    let total = |report: &NodeReport| report.enhanced.map_or(0.0, |enhanced| enhanced.total);
    plugins
        .chain(extenders)
        .chain([
            ("its live signals", total(first) - total(second)),
            ("less trouble seen there lately", first.risk_part - second.risk_part),
            ("the model", first.model_part - second.model_part),
        ])
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or(("nothing", 0.0))
}
