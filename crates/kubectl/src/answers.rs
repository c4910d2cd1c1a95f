//! The parts of the scheduler's answers that are shown; everything else in them is passed over.
//! Fields are named and meant as in the API (`/openapi.json`); entry points are the structs that name an endpoint.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// `GET /api/v1/nodes`.
#[derive(Debug, Deserialize)]
pub struct Nodes {
    pub nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
pub struct Node {
    pub name: String,
    pub ready: bool,
    pub unschedulable: bool,
    pub taints: Vec<String>,
    pub allocatable: Resources,
    pub requested: Resources,
    pub used: Option<Resources>,
    pub pod_count: u64,
    pub history: Option<NodeHistory>,
}

#[derive(Debug, Deserialize)]
pub struct Resources {
    pub cpu: f64,
    pub memory: f64,
    #[serde(default)]
    pub pods: Option<i64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Rate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// What seven days showed of a node.
#[derive(Debug, Deserialize)]
pub struct NodeHistory {
    pub failure_rate: Option<Rate>,
    pub restart_rate: Option<Rate>,
    pub oom_rate: Option<Rate>,
    pub eviction_rate: Option<Rate>,
    pub stability_score: Option<f64>,
    pub pods: u64,
    pub avg_cpu_usage: Option<f64>,
    pub predicted_peak_cpu: Option<f64>,
    pub predicted_peak_memory: Option<f64>,
}

/// Nodes by their history alone, as `augur history` has them from a data folder too.
#[derive(Debug, Deserialize)]
pub struct NodeHistories {
    pub nodes: Vec<NamedHistory>,
}

#[derive(Debug, Deserialize)]
pub struct NamedHistory {
    pub name: String,
    pub history: Option<NodeHistory>,
}

/// `GET /api/v1/usage`.
#[derive(Debug, Deserialize)]
pub struct Usage {
    pub series: Vec<Series>,
}

#[derive(Debug, Deserialize)]
pub struct Series {
    pub namespace: Option<String>,
    pub pod: Option<String>,
    pub container: Option<String>,
    pub node: String,
    pub cpu: Vec<Option<f64>>,
    pub memory: Vec<Option<f64>>,
    pub cpu_highest: Option<f64>,
    pub memory_highest: Option<f64>,
}

/// `GET /api/v1/workloads`.
#[derive(Debug, Deserialize)]
pub struct Workloads {
    pub workloads: Vec<Workload>,
}

#[derive(Debug, Deserialize)]
pub struct Workload {
    pub namespace: String,
    pub kind: String,
    pub name: String,
    pub restart_rate: Option<Rate>,
    pub failure_rate: Option<Rate>,
    pub oom_rate: Option<Rate>,
    pub eviction_rate: Option<Rate>,
    pub usage_percentiles: Option<BTreeMap<String, f64>>,
    pub n: u64,
    pub restarts: u64,
    pub oom_kills: u64,
    pub evictions: u64,
    pub start_p95_seconds: Option<f64>,
    pub backoff_level: String,
}

/// `GET /api/v1/decisions`.
#[derive(Debug, Deserialize)]
pub struct Decisions {
    pub decisions: Vec<Decision>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Decision {
    pub decision_id: String,
    pub timestamp: Timestamp,
    pub kind: String,
    pub pod_name: String,
    pub pod_namespace: String,
    pub predicted_node: Option<String>,
    pub reason: String,
    pub fallback_reason: Option<String>,
    pub model_id: Option<String>,
    pub confidence: Option<f64>,
    pub p_bad: Option<f64>,
    pub runner_up: Option<String>,
    pub nodes: u64,
    pub feasible: u64,
    pub latency_us: u64,
    pub attempts: u64,
    pub outcome: Option<Outcome>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Outcome {
    pub state: String,
    pub label: String,
    pub day_label: String,
    pub cause: Option<String>,
    pub matures_at: Timestamp,
}

/// `GET /api/v1/pods/{namespace}/{name}/explain`.
#[derive(Debug, Deserialize)]
pub struct Explanation {
    pub why: Vec<String>,
    pub chosen: Option<Scored>,
    pub others: Vec<Other>,
    pub rejected: Vec<Rejection>,
    pub flip: Vec<Flip>,
    pub model: Option<ModelPart>,
    pub decision: Decision,
}

#[derive(Debug, Deserialize)]
pub struct Scored {
    pub node_name: String,
    pub total_score: f64,
    pub contributions: BTreeMap<String, f64>,
}

#[derive(Debug, Deserialize)]
pub struct Other {
    pub node_name: String,
    pub total_score: f64,
    pub behind: f64,
    /// What the chosen node has more.
    pub because: BTreeMap<String, f64>,
}

#[derive(Debug, Deserialize)]
pub struct Rejection {
    pub reason: String,
    pub nodes: u64,
}

#[derive(Debug, Deserialize)]
pub struct Flip {
    pub change: String,
}

#[derive(Debug, Deserialize)]
pub struct ModelPart {
    pub model_id: String,
    pub p_bad: Option<f64>,
    pub runner_up: String,
    pub contributions: Vec<Contribution>,
    pub contributions_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Contribution {
    pub feature: String,
    pub value: Option<f64>,
    pub value_of_runner_up: Option<f64>,
    pub contribution: f64,
}

/// `GET /api/v1/pods/{namespace}/{name}/outlook`.
#[derive(Debug, Deserialize)]
pub struct Outlook {
    pub current_node: Option<String>,
    pub predicted_node: Option<String>,
    pub reason: String,
    pub fallback_reason: Option<String>,
    pub model_id: Option<String>,
    pub confidence: Option<f64>,
    pub nodes: Vec<OutlookNode>,
    pub flip: Vec<OutlookFlip>,
}

#[derive(Debug, Deserialize)]
pub struct OutlookNode {
    pub node_name: String,
    pub feasible: bool,
    pub filter: Option<String>,
    pub reasons: Vec<String>,
    pub lacking: BTreeMap<String, f64>,
    pub total_score: Option<f64>,
    pub behind: Option<f64>,
    pub contributions: BTreeMap<String, f64>,
    pub model_points: Option<f64>,
    pub p_bad: Option<f64>,
    pub stability_score: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub struct OutlookFlip {
    pub changes: Vec<String>,
    pub node_name: String,
    pub then: String,
}

/// `POST /api/v1/what-if`.
#[derive(Debug, Deserialize)]
pub struct WhatIf {
    pub total_pods: u64,
    pub placed: u64,
    pub undecided: u64,
    pub fallback_reason: Option<String>,
    pub pods: Vec<WhatIfPod>,
    pub nodes: Vec<WhatIfNode>,
    pub drained: Vec<WhatIfDrain>,
}

#[derive(Debug, Deserialize)]
pub struct WhatIfPod {
    pub namespace: String,
    pub name: String,
    pub workload: Option<String>,
    pub from_node: Option<String>,
    pub node_name: Option<String>,
    pub reason: Option<String>,
    pub total_score: Option<f64>,
    pub p_bad: Option<f64>,
    pub evicted: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct WhatIfNode {
    pub name: String,
    pub drained: bool,
    pub pods: BeforeAfter,
    pub cpu: BeforeAfter,
    pub memory: BeforeAfter,
}

#[derive(Debug, Deserialize)]
pub struct BeforeAfter {
    pub allocatable: f64,
    pub before: f64,
    pub after: f64,
}

#[derive(Debug, Deserialize)]
pub struct WhatIfDrain {
    pub name: String,
    pub moved: u64,
    pub stay: u64,
    pub lost: Vec<String>,
}

/// `GET /api/v1/shadow/report`.
#[derive(Debug, Deserialize)]
pub struct ShadowReport {
    pub decisions: u64,
    pub same_node: u64,
    pub equal_score: u64,
    pub differed: u64,
    pub not_feasible: u64,
    pub no_node: u64,
    pub differing_share: Option<Estimate>,
    pub score_gain: Option<Estimate>,
    pub risk_reduction_by_model: Option<Estimate>,
    pub stability_gain_by_history: Option<Estimate>,
    pub bad_when_agreed: Option<Estimate>,
    pub bad_when_differed: Option<Estimate>,
}

#[derive(Debug, Deserialize)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    pub n: u64,
    pub interval: String,
}

/// `GET /api/v1/model/status`.
#[derive(Debug, Deserialize)]
pub struct ModelStatus {
    pub model_id: Option<String>,
    pub schema: String,
    pub trained_at: Option<Timestamp>,
    pub source: Option<String>,
    pub last_swap: Option<Timestamp>,
    pub fallback_reason: Option<String>,
}
