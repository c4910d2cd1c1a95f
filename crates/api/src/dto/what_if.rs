//! Dry runs of many pods, and where one pod would go now.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Contributions;

/// Pods asked for at most, over all workloads. Each takes tens of microseconds in a cluster of 5,000 nodes.
pub const MOST_PODS: u32 = 20_000;

/// `POST /api/v1/what-if`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatIfBody {
    /// What is to be placed.
    #[serde(default)]
    pub workloads: Vec<WhatIfWorkload>,
    /// Nodes that are to be drained first; their pods are placed along with the workloads'.
    #[serde(default)]
    pub drain: Vec<String>,
}

/// Pods of one template.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatIfWorkload {
    /// Its namespace.
    pub namespace: String,
    /// Its kind: `Pod`, `Deployment`, ….
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How many pods.
    pub replicas: u32,
    /// `{"metadata": {...}, "spec": {...}}`, as the template of a Deployment has it.
    #[schema(value_type = Object)]
    pub template: Box<RawValue>,
}

/// What would become of the pods. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WhatIfAnswer {
    /// When the cluster was as it was looked at.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// Nodes there are.
    pub total_nodes: usize,
    /// Pods that were to be placed, those of drained nodes included.
    pub total_pods: usize,
    /// Of these, the ones that fit.
    pub placed: usize,
    /// The ones that fit nowhere.
    pub pending: usize,
    /// The ones that were not decided, because the time was over.
    pub undecided: usize,
    /// Pods on nodes that would be evicted for others of higher priority.
    pub evicted: usize,
    /// What a model had to say; `null` with a reason when none had a say.
    pub model_id: Option<String>,
    /// Why no model had a say.
    pub fallback_reason: Option<String>,
    /// Each pod, in the order of the request; those of drained nodes first.
    pub pods: Vec<WhatIfPod>,
    /// The nodes on which something would change.
    pub nodes: Vec<WhatIfNode>,
    /// What draining does.
    pub drained: Vec<WhatIfDrain>,
    /// How long the cluster was copied and pods were placed, in milliseconds.
    pub took_ms: f64,
}

/// A pod of a dry run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WhatIfPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name; made up for one of a workload, that of the pod that it replaces for one of a drained node.
    pub name: String,
    /// What it belongs to, as `Kind/name`.
    pub workload: Option<String>,
    /// The drained node that it comes from.
    pub from_node: Option<String>,
    /// Where it would go; `null` if it fits nowhere.
    pub node_name: Option<String>,
    /// Why it fits nowhere, as its event would say.
    pub reason: Option<String>,
    /// The total that the node was ranked by; `null` when it was the only one.
    pub total_score: Option<f64>,
    /// The model's probability of going bad there.
    pub p_bad: Option<f64>,
    /// Pods that would be evicted for it, as `namespace/name`.
    pub evicted: Vec<String>,
}

/// What a node's pods request before and after.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct BeforeAfter {
    /// What there is.
    pub allocatable: f64,
    /// What is requested now.
    pub before: f64,
    /// What would be requested.
    pub after: f64,
}

/// A node on which something would change.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WhatIfNode {
    /// Its name.
    pub name: String,
    /// Whether it was drained.
    pub drained: bool,
    /// Pods.
    pub pods: BeforeAfter,
    /// CPU in cores.
    pub cpu: BeforeAfter,
    /// Memory in MiB.
    pub memory: BeforeAfter,
}

/// What draining a node does to its pods.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WhatIfDrain {
    /// The node.
    pub name: String,
    /// Pods that their controllers make anew.
    pub moved: usize,
    /// Pods that stay: those of daemon sets and static ones.
    pub stay: usize,
    /// Pods that nobody makes anew, as `namespace/name`.
    pub lost: Vec<String>,
}

/// `GET /api/v1/pods/{namespace}/{name}/outlook`: where the pod would go if it were placed now, and what keeps it from each node.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Outlook {
    /// Name of the pod.
    pub pod_name: String,
    /// Namespace of the pod.
    pub pod_namespace: String,
    /// When the cluster was as it was looked at.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// Where it is; `null` while it waits.
    pub current_node: Option<String>,
    /// Where it would go, were it not on a node yet; `null` if it fits nowhere.
    pub predicted_node: Option<String>,
    /// In a sentence: why.
    pub reason: String,
    /// `enhanced_scoring` or `ml_prediction`.
    pub algorithm: String,
    /// Why no model had a say.
    pub fallback_reason: Option<String>,
    /// The model that had a say.
    pub model_id: Option<String>,
    /// How sure the choice is, 0..1; `null` when no node was chosen.
    pub confidence: Option<f64>,
    /// All nodes: those that fit, best first, then the others by name.
    pub nodes: Vec<OutlookNode>,
    /// What would have to change so that another node is chosen or becomes feasible. What names a node was tried out on a copy.
    pub flip: Vec<OutlookFlip>,
}

/// A node in an [`Outlook`].
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OutlookNode {
    /// The node.
    pub node_name: String,
    /// Whether the pod fits there.
    pub feasible: bool,
    /// The first filter that rejects it.
    pub filter: Option<String>,
    /// Why it does not fit.
    pub reasons: Vec<String>,
    /// What the node lacks for it: `cpu` in cores, `memory` and `ephemeral-storage` in MiB, `pods` and others in units.
    pub lacking: BTreeMap<String, f64>,
    /// The total that nodes are ranked by; `null` when it does not fit.
    pub total_score: Option<f64>,
    /// Points behind the best node.
    pub behind: Option<f64>,
    /// Points by plugin, weights included.
    pub contributions: Contributions,
    /// What the model moved the total by.
    pub model_points: Option<f64>,
    /// The model's probability of going bad.
    pub p_bad: Option<f64>,
    /// `(1 - failure rate) x share of time Ready`, 0..1; `null` until a pod has been seen there.
    pub stability_score: Option<f64>,
}

/// A change that leads to another answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OutlookFlip {
    /// The changes, each in words; all are needed.
    pub changes: Vec<String>,
    /// The node that it is about.
    pub node_name: String,
    /// What then holds: `feasible` or `chosen`.
    pub then: &'static str,
    /// Points that it takes, when it is about points.
    pub points: Option<f64>,
}
