//! Decisions as history keeps them: [`Recorder`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use augur_core::cycle::{Decision, NodeReport, Outcome};
use augur_core::object::Pod;
use augur_core::plugins::PluginId;
use augur_core::state::{ClusterState, ClusterSummary};
use augur_core::time::Timestamp;
use augur_history::{
    Alternative, DecisionId, DecisionKind, DecisionRecord, NodeScore, PluginPart, PodKey, UnixMillis, WorkloadKey,
};
use augur_learn::{FeatureVector, Past, features_of};

/// What surrounds a decision.
pub struct Surroundings<'a> {
    /// The cluster.
    pub state: &'a ClusterState,
    /// The cluster as a whole.
    pub summary: ClusterSummary,
    /// What is known of the past.
    pub past: &'a Past,
    /// When the decision was taken.
    pub now: Timestamp,
}

/// Makes records; holds the names that all of them share.
pub struct Recorder {
    plugins: Vec<Arc<str>>,
    enhanced: Arc<str>,
    model: Arc<str>,
}

impl Recorder {
    /// A recorder.
    pub fn new() -> Self {
        Recorder {
            plugins: PluginId::ALL.iter().map(|plugin| plugin.name().into()).collect(),
            enhanced: "EnhancedScoring".into(),
            model: "Model".into(),
        }
    }

    /// The record of a decision.
    pub fn record(
        &self,
        (id, at, kind): (DecisionId, UnixMillis, DecisionKind),
        pod: &Pod,
        decision: &Decision,
        latency: Duration,
        around: &Surroundings<'_>,
    ) -> DecisionRecord {
        let node = decision.node().cloned();
        DecisionRecord {
            id,
            at,
            kind,
            pod: PodKey { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() },
            workload: pod.workload.as_ref().map(|workload| WorkloadKey {
                namespace: pod.namespace.clone(),
                kind: workload.kind.clone(),
                name: workload.name.clone(),
            }),
            profile: pod.spec.scheduler_name.clone(),
            reason: decision.reason.clone(),
            algorithm: decision.algorithm.name().into(),
            fallback_reason: decision.fallback.as_ref().map(|fallback| fallback.code().into()),
            model_id: decision.model_id.clone(),
            confidence: node.is_some().then_some(decision.confidence),
            p_bad: decision.chosen.as_ref().and_then(|chosen| chosen.prediction).map(|prediction| prediction.p_bad),
            propensity: decision.propensity,
            runner_up: decision.runner_up.as_ref().map(|report| report.node.clone()),
            nodes: count(decision.total_nodes),
            feasible: count(decision.feasible_nodes),
            scores: [&decision.chosen, &decision.runner_up]
                .into_iter()
                .flatten()
                .map(|report| NodeScore { node: report.node.clone(), total: report.total, parts: self.parts(report) })
                .collect(),
            rejections: rejections(decision),
            features: features(pod, node.as_deref(), around).to_vec(),
            latency_us: u32::try_from(latency.as_micros()).unwrap_or(u32::MAX),
            alternative: alternative(pod, decision, around),
            attempts: 1,
            node,
        }
    }

    /// The record of a placement that another scheduler made.
    pub fn observed(
        &self,
        (id, at): (DecisionId, UnixMillis),
        pod: &Pod,
        node: &str,
        around: &Surroundings<'_>,
    ) -> DecisionRecord {
        DecisionRecord {
            id,
            at,
            kind: DecisionKind::Observed,
            pod: PodKey { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() },
            workload: pod.workload.as_ref().map(|workload| WorkloadKey {
                namespace: pod.namespace.clone(),
                kind: workload.kind.clone(),
                name: workload.name.clone(),
            }),
            profile: pod.spec.scheduler_name.clone(),
            reason: format!("placed by {}", pod.spec.scheduler_name),
            algorithm: "observed".into(),
            fallback_reason: None,
            model_id: None,
            confidence: None,
            p_bad: None,
            // Not known.
            propensity: 0.0,
            runner_up: None,
            nodes: count(around.summary.total_nodes),
            feasible: 0,
            scores: Vec::new(),
            rejections: BTreeMap::new(),
            features: features(pod, Some(node), around).to_vec(),
            latency_us: 0,
            alternative: None,
            attempts: 1,
            node: Some(node.into()),
        }
    }

    /// What the total of a node is made of.
    pub fn parts(&self, report: &NodeReport) -> Vec<PluginPart> {
        let part = |plugin: &Arc<str>, points: f64| PluginPart { plugin: plugin.clone(), points };
        let plugins = report
            .plugins
            .iter()
            .filter_map(|(plugin, points)| Some(part(self.plugins.get(plugin.index())?, *points as f64)));
        let extenders = report.extenders.iter().map(|(name, points)| part(name, *points as f64));
        let sum: i64 = report.plugins.iter().map(|(_, points)| points).sum();
        let sum = report.extenders.iter().fold(sum, |sum, (_, points)| sum.saturating_add(*points));
        // What the plugins and the model did not give, weight included.
        let enhanced = report.enhanced.map(|_| part(&self.enhanced, report.total - sum as f64 - report.model_part));
        let model = report.prediction.map(|_| part(&self.model, report.model_part));
        plugins.chain(extenders).chain(enhanced).chain(model).collect()
    }
}

/// The named features of the pod on a node, as they were known at the decision; those of the node are missing without one.
pub fn features(pod: &Pod, node: Option<&str>, around: &Surroundings<'_>) -> FeatureVector {
    let view = node.and_then(|name| around.state.node(name));
    features_of(pod, view, around.summary, around.past, around.now)
}

/// The runner-up with its features, of a decision that chose.
fn alternative(pod: &Pod, decision: &Decision, around: &Surroundings<'_>) -> Option<Alternative> {
    let (chosen, other) = (decision.chosen.as_ref()?, decision.runner_up.as_ref()?);
    let without_model = |report: &NodeReport| report.total - report.model_part;
    Some(Alternative {
        node: other.node.clone(),
        margin: without_model(chosen) - without_model(other),
        weight: decision.model_weight,
        features: features(pod, Some(&other.node), around).to_vec(),
        p_bad: other.prediction.map(|prediction| prediction.p_bad),
    })
}

/// Why nodes were rejected, with the number of nodes for each reason.
fn rejections(decision: &Decision) -> BTreeMap<Arc<str>, u32> {
    match &decision.outcome {
        Outcome::Unschedulable(diagnosis) => {
            diagnosis.reasons.iter().map(|(reason, nodes)| (reason.as_str().into(), count(*nodes))).collect()
        }
        _ => BTreeMap::new(),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
