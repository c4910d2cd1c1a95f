//! Decisions taken, their outcomes, and workloads.

use std::collections::BTreeMap;

use augur_history::{DecisionId, DecisionKind, DecisionRecord, Outcome, Rates, WorkloadKey, WorkloadRates};
use augur_learn::FEATURE_NAMES;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Contributions, RateView, round, timestamp};

/// `GET /api/v1/decisions`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DecisionList {
    /// Newest first.
    pub decisions: Vec<DecisionView>,
}

/// A decision with its outcome.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DecisionView {
    /// Its id.
    #[schema(value_type = String)]
    pub decision_id: DecisionId,
    /// When it was taken.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// `scheduling`, or `prediction` for a dry run.
    pub kind: &'static str,
    /// Name of the pod.
    pub pod_name: String,
    /// Namespace of the pod.
    pub pod_namespace: String,
    /// Uid of the pod; `null` for one that existed only in a request.
    pub pod_uid: Option<String>,
    /// The workload it belongs to, as `namespace/kind/name`.
    pub workload: Option<String>,
    /// The scheduler profile.
    pub profile: String,
    /// The node chosen; `null` when none fitted.
    pub predicted_node: Option<String>,
    /// In a sentence: why.
    pub reason: String,
    /// `enhanced_scoring` or `ml_prediction`.
    pub algorithm: String,
    /// Why no model had a say.
    pub fallback_reason: Option<String>,
    /// The model that had a say.
    pub model_id: Option<String>,
    /// How sure the choice was, 0..1.
    pub confidence: Option<f64>,
    /// The model's probability of going bad on the chosen node.
    pub p_bad: Option<f64>,
    /// The probability with which this node was chosen among the candidates.
    pub propensity: f64,
    /// Whether a near-tie was tried for the sake of learning; the runner-up is the best node then.
    pub explored: bool,
    /// The second best node.
    pub runner_up: Option<String>,
    /// Nodes looked at.
    pub nodes: u32,
    /// Nodes that fitted.
    pub feasible: u32,
    /// The best candidates, best first.
    pub scores: Vec<ScoreView>,
    /// Why nodes were rejected, with their number for each reason.
    #[schema(value_type = Object)]
    pub rejections: BTreeMap<String, u32>,
    /// The named features of the pod on the chosen node.
    #[schema(value_type = Object)]
    pub features: BTreeMap<&'static str, Option<f64>>,
    /// How long the decision took, in microseconds.
    pub latency_us: u32,
    /// Attempts with this same answer.
    pub attempts: u32,
    /// What became of it; `null` for a dry run and when no node fitted.
    pub outcome: Option<OutcomeView>,
    /// Why there is no outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome_reason: Option<&'static str>,
}

/// A candidate.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ScoreView {
    /// The node.
    pub node_name: String,
    /// Its total.
    pub total_score: f64,
    /// Points by plugin, weights included.
    pub contributions: Contributions,
}

/// What became of a decision.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OutcomeView {
    /// The decision.
    #[schema(value_type = String)]
    pub decision_id: DecisionId,
    /// Where the pod was.
    pub node: String,
    /// What has been seen so far: `starting`, `running`, `succeeded`, `bad`, `preempted`, `deleted`.
    #[schema(value_type = String)]
    pub state: augur_history::OutcomeState,
    /// What it is for training: `immature` until `matures_at`, then `good`, `bad`, `app_fault`, `preempted`, `censored`.
    #[schema(value_type = String)]
    pub label: augur_history::OutcomeLabel,
    /// What went wrong first.
    #[schema(value_type = Option<String>)]
    pub cause: Option<augur_history::Cause>,
    /// When the pod was first Ready.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ready_at: Option<Timestamp>,
    /// When state or label last changed.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When the label is or was given.
    #[schema(value_type = String, format = DateTime)]
    pub matures_at: Timestamp,
    /// What it is for training with the horizon of 24 h.
    #[schema(value_type = String)]
    pub day_label: augur_history::OutcomeLabel,
    /// When trouble came first.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub trouble_at: Option<Timestamp>,
}

impl From<&Outcome> for OutcomeView {
    fn from(o: &Outcome) -> Self {
        Self {
            decision_id: o.decision_id,
            node: o.node.to_string(),
            state: o.state,
            label: o.label,
            cause: o.cause,
            ready_at: o.ready_at.map(timestamp),
            at: timestamp(o.at),
            matures_at: timestamp(o.matures_at),
            day_label: o.day_label,
            trouble_at: o.trouble_at.map(timestamp),
        }
    }
}

/// Only a node that was tried is behind the runner-up and had another chance than to be taken; one that room was made on had none.
fn explored(r: &DecisionRecord) -> bool {
    let total =
        |name: &Option<std::sync::Arc<str>>| r.scores.iter().find(|s| Some(&s.node) == name.as_ref()).map(|s| s.total);
    r.propensity < 1.0 && total(&r.node).zip(total(&r.runner_up)).is_some_and(|(chosen, best)| chosen < best)
}

fn workload_name(key: &WorkloadKey) -> String {
    format!("{}/{}/{}", key.namespace, key.kind, key.name)
}

impl DecisionView {
    /// A decision with what became of it.
    pub fn new(r: &DecisionRecord, outcome: Option<&Outcome>) -> Self {
        let text = |s: &Option<std::sync::Arc<str>>| s.as_ref().map(ToString::to_string);
        let outcome_reason = match (outcome, r.kind, &r.node) {
            (Some(_), ..) => None,
            (None, DecisionKind::Prediction, _) => Some("a dry run binds nothing"),
            (None, DecisionKind::Scheduling, None) => Some("no node fitted"),
            (None, DecisionKind::Observed, None) => Some("it names no node"),
            (None, DecisionKind::Scheduling | DecisionKind::Observed, Some(_)) => {
                Some("nothing has been seen of the pod since")
            }
        };
        Self {
            decision_id: r.id,
            timestamp: timestamp(r.at),
            kind: match r.kind {
                DecisionKind::Scheduling => "scheduling",
                DecisionKind::Prediction => "prediction",
                DecisionKind::Observed => "observed",
            },
            pod_name: r.pod.name.to_string(),
            pod_namespace: r.pod.namespace.to_string(),
            pod_uid: (!r.pod.uid.is_empty()).then(|| r.pod.uid.to_string()),
            workload: r.workload.as_ref().map(workload_name),
            profile: r.profile.to_string(),
            predicted_node: text(&r.node),
            reason: r.reason.clone(),
            algorithm: r.algorithm.to_string(),
            fallback_reason: text(&r.fallback_reason),
            model_id: text(&r.model_id),
            confidence: r.confidence.map(round),
            p_bad: r.p_bad.map(round),
            propensity: r.propensity,
            explored: explored(r),
            runner_up: text(&r.runner_up),
            nodes: r.nodes,
            feasible: r.feasible,
            scores: r
                .scores
                .iter()
                .map(|s| ScoreView {
                    node_name: s.node.to_string(),
                    total_score: round(s.total),
                    contributions: Contributions(s.parts.iter().map(|p| (p.plugin.clone(), p.points)).collect()),
                })
                .collect(),
            rejections: r.rejections.iter().map(|(reason, n)| (reason.to_string(), *n)).collect(),
            features: FEATURE_NAMES.iter().zip(&r.features).map(|(name, value)| (*name, value.map(round))).collect(),
            latency_us: r.latency_us,
            attempts: r.attempts,
            outcome: outcome.map(OutcomeView::from),
            outcome_reason,
        }
    }
}

/// `GET /api/v1/workloads`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkloadList {
    /// Sorted by namespace, kind and name.
    pub workloads: Vec<WorkloadView>,
}

/// Seven days of a workload.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkloadView {
    /// Namespace.
    pub namespace: String,
    /// Kind, `Deployment` say; `Pod` for pods without owner.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Probability that a pod of it is restarted; `null` until one was seen.
    pub restart_rate: Option<RateView>,
    /// Probability that a pod of it gets into trouble.
    pub failure_rate: Option<RateView>,
    /// Probability that a container of a pod of it is killed for memory.
    pub oom_rate: Option<RateView>,
    /// Probability that the kubelet evicts a pod of it.
    pub eviction_rate: Option<RateView>,
    /// Usage of its pods, all containers together, by percentile: `cpu_p50`, `cpu_p95`, `cpu_p99` in cores, `memory_p50`,
    /// `memory_p98`, `memory_p99` of daily peaks in MiB, and `samples`; `null` before ten of them.
    #[schema(value_type = Option<Object>)]
    pub usage_percentiles: Option<BTreeMap<String, f64>>,
    /// Why `usage_percentiles` is `null`.
    pub usage_percentiles_reason: Option<&'static str>,
    /// Pods seen.
    pub n: u64,
    /// Container restarts.
    pub restarts: u64,
    /// OOM kills.
    pub oom_kills: u64,
    /// Evictions.
    pub evictions: u64,
    /// Times that a running pod ceased to be Ready.
    pub unready: u64,
    /// 95th percentile of the latest starts, from placing to Ready; `null` before one was seen.
    pub start_p95_seconds: Option<f64>,
    /// Whose counts weigh most in the rates: `workload`, `namespace` or `cluster`.
    pub backoff_level: &'static str,
}

impl WorkloadView {
    /// One workload.
    pub fn new(key: &WorkloadKey, r: &WorkloadRates) -> Self {
        Self {
            namespace: key.namespace.to_string(),
            kind: key.kind.to_string(),
            name: key.name.to_string(),
            restart_rate: r.restart_rate.map(RateView::from),
            failure_rate: r.failure_rate.map(RateView::from),
            oom_rate: r.oom_rate.map(RateView::from),
            eviction_rate: r.eviction_rate.map(RateView::from),
            usage_percentiles: r.usage.map(|usage| {
                let mib = |bytes: f64| round(bytes / 1_048_576.0);
                BTreeMap::from([
                    ("cpu_p50".to_owned(), round(usage.cpu_p50)),
                    ("cpu_p95".to_owned(), round(usage.cpu_p95)),
                    ("cpu_p99".to_owned(), round(usage.cpu_p99)),
                    ("memory_p50".to_owned(), mib(usage.memory_p50)),
                    ("memory_p98".to_owned(), mib(usage.memory_p98)),
                    ("memory_p99".to_owned(), mib(usage.memory_p99)),
                    ("samples".to_owned(), usage.samples as f64),
                ])
            }),
            usage_percentiles_reason: r.usage.is_none().then_some("fewer than ten usage samples so far"),
            oom_kills: r.oom_kills,
            evictions: r.evictions,
            unready: r.unready,
            start_p95_seconds: r.start_p95_ms.map(|ms| ms as f64 / 1000.0),
            n: r.n,
            restarts: r.restarts,
            backoff_level: r.backoff_level,
        }
    }
}

impl WorkloadList {
    /// All workloads.
    pub fn new(rates: &Rates) -> Self {
        let mut keys: Vec<_> = rates.workloads.iter().collect();
        keys.sort_unstable_by_key(|(key, _)| *key);
        Self { workloads: keys.into_iter().map(|(key, rates)| WorkloadView::new(key, rates)).collect() }
    }
}
