//! What the HTTP services need from the engine.
//!
//! [`SchedulerBackend`] is implemented by the binary over the scheduler thread. What history knows, the services read from
//! history themselves, and join it to what the backend shows.

use std::sync::Arc;

use augur_learn::{FeatureVector, Parts};
use futures::future::BoxFuture;
use http::HeaderValue;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::dto::{Outlook, Prediction, WhatIfAnswer, WhatIfBody};
use crate::error::ApiError;

/// An answer that may have to wait for the scheduler thread.
pub type Answer<T> = BoxFuture<'static, Result<T, ApiError>>;

/// The scheduler as the HTTP services see it.
pub trait SchedulerBackend: Send + Sync + 'static {
    /// How the parts are doing. Cheap: answered from what is at hand, without waiting for the scheduler thread.
    fn health(&self) -> Health;

    /// All nodes, in any order. `with_pods`: fill [`NodeView::pods`].
    fn nodes(&self, with_pods: bool) -> Answer<Vec<NodeView>>;

    /// Decides for a pod without binding it. Errors: 404 `pod_not_found`; 422 naming the field of the pod that cannot be
    /// understood; 503 while the cluster is not yet known.
    fn predict(&self, query: PodQuery) -> Answer<Prediction>;

    /// The named features of a pod on every node, sorted by name; errors as [`SchedulerBackend::predict`].
    fn features(&self, query: PodQuery) -> Answer<Vec<(Arc<str>, FeatureVector)>>;

    /// Places many pods on a copy of the cluster. Errors: 404 `node_not_found` for a node to drain; 422 naming the field of a
    /// template that cannot be understood; 503 while the cluster is not yet known, or when too many ask at once.
    fn what_if(&self, question: WhatIfBody) -> Answer<WhatIfAnswer>;

    /// Where the pod of that name would go if it were placed now. Errors as of [`SchedulerBackend::predict`].
    fn outlook(&self, namespace: String, name: String) -> Answer<Outlook>;

    /// Asks the learner to train, here or at the address that is configured; `token` is the client's `Authorization`. Errors:
    /// 503 when there is none, or it does not answer.
    fn train(&self, token: Option<HeaderValue>) -> Answer<serde_json::Value>;

    /// What each feature adds to the difference of the probabilities that the model says of two rows, the largest first;
    /// `None` when the model is not at hand.
    fn contrast(&self, model_id: &str, row: &[Option<f64>], other: &[Option<f64>]) -> Option<Vec<(&'static str, f64)>>;

    /// What the model's confidence in its answer for a row is made of; `None` when the model is not at hand.
    fn confidence(&self, _model_id: &str, _row: &[Option<f64>]) -> Option<Parts> {
        None
    }

    /// On which of the candidates the pod would fit if their victims left, by place. Errors as of
    /// [`SchedulerBackend::predict`].
    fn preempt(&self, pod: Box<RawValue>, candidates: Vec<Candidate>) -> Answer<Vec<bool>>;

    /// Binds a pod that another scheduler has decided about. Errors: 409 when the node cannot take it by what is known, or the
    /// API server refuses; 503 when this replica does not lead, or the API server does not answer.
    fn bind(&self, binding: Binding) -> Answer<()>;

    /// The model in use. Cheap.
    fn model(&self) -> ModelStatus;
}

/// A node on which another scheduler would evict pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: String,
    /// Uids of the pods.
    pub victims: Vec<String>,
}

/// A pod that is to be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Where it is to go.
    pub node: String,
}

/// Which pod to decide for.
#[derive(Debug, Clone)]
pub struct PodQuery {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Where its specification comes from.
    pub source: PodSource,
    /// Whether the decision is recorded in history as a dry run, so that feedback can refer to it.
    pub record: bool,
}

/// Where the specification of a pod comes from.
#[derive(Debug, Clone)]
pub enum PodSource {
    /// From the pod of that name in the cluster.
    Cluster,
    /// A PodSpec as JSON.
    Spec(Box<RawValue>),
    /// A whole Pod as JSON.
    Pod(Box<RawValue>),
}

/// How a part is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// Works.
    Healthy,
    /// Works with less than it should have; scheduling goes on.
    Degraded,
    /// Does not work.
    Unhealthy,
}

/// One check of `/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// How it is doing.
    pub status: CheckStatus,
    /// In a sentence: why.
    pub message: String,
}

impl Check {
    /// A check.
    pub fn new(status: CheckStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// The checks that the backend answers for; `history` is added by the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The Kubernetes API: connected and synced.
    pub kubernetes: Check,
    /// The Metrics API: samples are fresh.
    pub metrics_api: Check,
    /// The learner service.
    pub learner: Check,
    /// The model in use.
    pub model: Check,
    /// Leader election.
    pub leader: Check,
    /// Whether the first lists have been taken in, so that decisions can be made; also true of a standby.
    pub ready: bool,
    /// Whether the scheduler thread runs; if not, only a restart helps.
    pub alive: bool,
    /// Whether this replica decides.
    pub leads: bool,
}

/// A node as the scheduler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Name.
    pub name: Arc<str>,
    /// Whether its `Ready` condition is true.
    pub ready: bool,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Its taints as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Its conditions.
    pub conditions: Vec<NodeCondition>,
    /// What pods can request.
    pub allocatable: Amounts,
    /// What the pods on it request.
    pub requested: Amounts,
    /// The latest sample of its usage; `None` when there is none or it is too old.
    pub used: Option<NodeUsage>,
    /// Pods on it.
    pub pod_count: u64,
    /// Pods on it as `namespace/name`, when asked for.
    pub pods: Vec<String>,
}

/// A condition of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub struct NodeCondition {
    /// `Ready`, `MemoryPressure`, ….
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in a word; empty when the node does not say.
    pub reason: String,
}

/// Amounts of resources.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Amounts {
    /// CPU in thousandths of a core.
    pub cpu_millis: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Number of pods.
    pub pods: i64,
    /// Extended resources by name, and ephemeral storage.
    pub others: Vec<(Arc<str>, i64)>,
}

/// A sample of a node's usage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeUsage {
    /// CPU in thousandths of a core.
    pub cpu_millis: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// When it was taken.
    pub at: Timestamp,
}

/// The model in use by the scheduler.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelStatus {
    /// Hash of the model file; `null` while there is none.
    pub model_id: Option<String>,
    /// The feature schema that decisions are recorded with.
    pub schema: String,
    /// When it was trained.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub trained_at: Option<Timestamp>,
    /// Its age in seconds.
    pub age_seconds: Option<f64>,
    /// Where it came from: `learner`, `file`, ….
    pub source: Option<String>,
    /// When it was taken into use.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_swap: Option<Timestamp>,
    /// Why decisions are made without a model; `null` when one has a say.
    pub fallback_reason: Option<String>,
}
