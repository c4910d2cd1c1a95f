//! What history remembers: decisions, observations of pods and nodes, outcomes, feedback.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

/// Milliseconds in an hour, the width of a counter's bucket.
pub(crate) const HOUR_MS: i64 = 3_600_000;
/// Milliseconds in a day.
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

impl UnixMillis {
    /// Hours since 1970; what a counter's bucket is named by.
    pub(crate) fn hour(self) -> u32 {
        u32::try_from(self.0.div_euclid(HOUR_MS)).unwrap_or(0)
    }

    /// Days since 1970 (UTC).
    pub fn day(self) -> u32 {
        u32::try_from(self.0.div_euclid(DAY_MS)).unwrap_or(0)
    }
}

/// Names one decision. Grows with time, so that newest first is a walk backwards; written as sixteen hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId(pub u64);

/// How many bits of a [`DecisionId`] number the decisions of one millisecond.
pub(crate) const ID_SEQUENCE_BITS: u32 = 20;

impl DecisionId {
    /// The smallest id that a decision taken at `at` can have.
    pub fn first_at(at: UnixMillis) -> Self {
        Self(u64::try_from(at.0).unwrap_or(0) << ID_SEQUENCE_BITS)
    }

    /// When the decision was taken, to the millisecond.
    pub fn at(self) -> UnixMillis {
        UnixMillis(i64::try_from(self.0 >> ID_SEQUENCE_BITS).unwrap_or(i64::MAX))
    }

    pub(crate) fn after(last: u64, at: UnixMillis) -> Self {
        Self(Self::first_at(at).0.max(last.saturating_add(1)))
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for DecisionId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("a decision_id is sixteen hexadecimal digits".to_owned());
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|e| e.to_string())
    }
}

impl Serialize for DecisionId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DecisionId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodKey {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Uid; empty for a pod that exists only in a request.
    #[serde(default)]
    pub uid: Arc<str>,
}

impl PodKey {
    pub(crate) fn name_and_namespace(&self) -> (Arc<str>, Arc<str>) {
        (self.name.clone(), self.namespace.clone())
    }
}

/// The workload a pod belongs to: the top of its owner chain, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkloadKey {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Kind, `Deployment` say; `Pod` for a pod without owner.
    pub kind: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// Whether a pod was really placed, or somebody asked what would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// An attempt to schedule a pod.
    Scheduling,
    /// A dry run for a client.
    Prediction,
    /// Another scheduler placed the pod; the record tells how the placement looked from here. Its `propensity` is that
    /// scheduler's and not known (0).
    Observed,
}

/// One plugin's part of a node's score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginPart {
    /// The plugin.
    pub plugin: Arc<str>,
    /// Its points, weight included.
    pub points: f64,
}

/// A candidate node with its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeScore {
    /// The node.
    pub node: Arc<str>,
    /// Its total.
    pub total: f64,
    /// What the plugins gave.
    pub parts: Vec<PluginPart>,
}

/// A decision, with all that is needed to explain it later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Its id.
    pub id: DecisionId,
    /// When it was taken.
    pub at: UnixMillis,
    /// Real or dry run.
    pub kind: DecisionKind,
    /// The pod.
    pub pod: PodKey,
    /// What the pod belongs to.
    pub workload: Option<WorkloadKey>,
    /// The scheduler profile.
    pub profile: Arc<str>,
    /// The node chosen; `None` when none fits.
    pub node: Option<Arc<str>>,
    /// In a sentence: why this node, or why none.
    pub reason: String,
    /// `enhanced_scoring` or `ml_prediction`.
    pub algorithm: Arc<str>,
    /// Why no model had a say.
    pub fallback_reason: Option<Arc<str>>,
    /// The model that had a say.
    pub model_id: Option<Arc<str>>,
    /// How sure the decision is, 0..1.
    pub confidence: Option<f64>,
    /// The model's probability that the pod goes bad there.
    pub p_bad: Option<f64>,
    /// The probability with which this node was chosen among the candidates.
    pub propensity: f64,
    /// The second best node.
    pub runner_up: Option<Arc<str>>,
    /// Nodes looked at.
    pub nodes: u32,
    /// Nodes that fit.
    pub feasible: u32,
    /// The best candidates, best first.
    pub scores: Vec<NodeScore>,
    /// Why nodes were rejected, with the number of nodes for each reason.
    pub rejections: BTreeMap<Arc<str>, u32>,
    /// The named features of the pod on the chosen node, in the order of the feature schema; `None` is "not known".
    pub features: Vec<Option<f64>>,
    /// How long the decision took.
    pub latency_us: u32,
    /// The runner-up, by which another policy is judged.
    #[serde(default)]
    pub alternative: Option<Alternative>,
    /// Attempts with the same answer; failed attempts of one pod with one reason are kept as one record.
    pub attempts: u32,
}

/// `status.phase` of a pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodPhase {
    /// Not all containers have started.
    #[default]
    Pending,
    /// Started.
    Running,
    /// All containers ended with 0.
    Succeeded,
    /// A container ended otherwise, or the kubelet gave the pod up.
    Failed,
    /// The node does not say.
    Unknown,
}

/// How a container ended last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// `OOMKilled`, `Error`, `Completed`, …
    pub reason: Arc<str>,
    /// Exit code.
    pub exit_code: i32,
}

/// What a watch shows of a pod at one moment.
#[derive(Debug, Clone, Default)]
pub struct PodObservation {
    /// The pod.
    pub pod: PodKey,
    /// What it belongs to.
    pub workload: WorkloadKey,
    /// The revision of the workload's pod template (`pod-template-hash`, `controller-revision-hash`); empty when not known.
    pub revision: Arc<str>,
    /// Where it runs; observations of unplaced pods are ignored.
    pub node: Option<Arc<str>>,
    /// Phase.
    pub phase: PodPhase,
    /// Whether the `Ready` condition is true.
    pub ready: bool,
    /// Restarts of all its containers together.
    pub restarts: u32,
    /// The latest termination among its containers, the failed ones first.
    pub terminated: Option<Termination>,
    /// `status.reason`, `Evicted` say.
    pub reason: Option<Arc<str>>,
    /// Why a container waits (`ErrImagePull`, `CrashLoopBackOff`, …), the first that does.
    pub waiting: Option<Arc<str>>,
    /// The reason of a true `DisruptionTarget` condition: `PreemptionByScheduler`, `DeletionByTaintManager`, ….
    pub disruption: Option<Arc<str>>,
    /// Whether its deletion has been asked for; containers that end now were told to.
    pub terminating: bool,
    /// Whether it is gone from the API (a deletion).
    pub gone: bool,
    /// When this was seen.
    pub at: UnixMillis,
}

/// What is seen of a node at one moment.
#[derive(Debug, Clone, Default)]
pub struct NodeObservation {
    /// The node.
    pub name: Arc<str>,
    /// Its class, `node.kubernetes.io/instance-type` say: nodes of one class tell about each other. Empty when not known.
    pub class: Arc<str>,
    /// Whether its `Ready` condition is true.
    pub ready: bool,
    /// CPU in use as a fraction of allocatable; `None` without a fresh sample.
    pub cpu: Option<f64>,
    /// Memory in use as a fraction of allocatable; `None` without a fresh sample.
    pub memory: Option<f64>,
    /// Allocatable cores and bytes; `None` when not known.
    pub allocatable: Option<(f64, f64)>,
    /// Whether it is gone from the API.
    pub gone: bool,
    /// When this was seen.
    pub at: UnixMillis,
}

/// What made a placement bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A container was killed for memory.
    OomKilled,
    /// A container ended with an error and was restarted.
    Restarted,
    /// The kubelet evicted the pod.
    Evicted,
    /// The pod failed for another reason.
    Failed,
    /// The pod was not Ready in time: 120 s, or twice what nearly all pods of its workload need.
    NotReady,
    /// An image could not be pulled.
    ImagePull,
    /// The pod was deleted because its node failed.
    NodeFailure,
    /// The binding was refused.
    BindFailed,
    /// The kubelet refused the pod (`OutOfcpu`, `NodeAffinity`, `UnexpectedAdmissionError`, …).
    Rejected,
    /// A volume could not be mounted in time.
    VolumeMount,
}

/// How far a placement has come, as far as has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeState {
    /// Placed, not Ready yet.
    Starting,
    /// Ready, and no trouble so far.
    Running,
    /// Ended with 0.
    Succeeded,
    /// In trouble; see the cause.
    Bad,
    /// Removed to make room for a pod of higher priority.
    Preempted,
    /// Deleted before it could show how it does.
    Deleted,
}

/// What a placement is for training: given once, when the horizon has passed since the decision, so that quick failures do
/// not come earlier into the data than slow successes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeLabel {
    /// The horizon has not passed.
    #[default]
    Immature,
    /// Survived the horizon, or ended with 0.
    Good,
    /// Got into trouble; see the cause.
    Bad,
    /// Got into trouble as its workload does everywhere; says nothing about the node.
    AppFault,
    /// Preempted: the scheduler's own policy.
    Preempted,
    /// Deleted without trouble before the horizon.
    Censored,
}

/// What became of a decision, at two horizons: one hour ([`Outcome::label`]) and a day ([`Outcome::day_label`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The decision.
    pub decision_id: DecisionId,
    /// Where the pod really was.
    pub node: Arc<str>,
    /// What has been seen so far.
    pub state: OutcomeState,
    /// What it is for training.
    pub label: OutcomeLabel,
    /// What went wrong first.
    pub cause: Option<Cause>,
    /// When it was first Ready.
    pub ready_at: Option<UnixMillis>,
    /// When state or label last changed.
    pub at: UnixMillis,
    /// When the label is or was given.
    pub matures_at: UnixMillis,
    /// What it is for training with the horizon of 24 h; given when these have passed, never before.
    #[serde(default)]
    pub day_label: OutcomeLabel,
    /// When trouble came first.
    #[serde(default)]
    pub trouble_at: Option<UnixMillis>,
    /// When it was first seen to be over: completed, failed, or gone.
    #[serde(default)]
    pub ended_at: Option<UnixMillis>,
    /// The weight that makes up for censored placements: one over the probability (Kaplan–Meier, over the placements judged
    /// before) of not being deleted before this one's fate showed. 1 until the label is given.
    #[serde(default = "one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}

impl Outcome {
    /// `Some(true)` when the placement turned out well, `Some(false)` when it turned out bad, `None` when that is open or
    /// says nothing about the node.
    pub fn verdict(&self) -> Option<bool> {
        match self.label {
            OutcomeLabel::Good => Some(true),
            OutcomeLabel::Bad => Some(false),
            _ => None,
        }
    }
}

/// What a client reports about a prediction. Untrusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// The decision it speaks of.
    pub decision_id: Option<DecisionId>,
    /// Namespace and name of the pod, which find the decision when its id is not given.
    pub pod: Option<(Arc<str>, Arc<str>)>,
    /// The node that was predicted.
    pub predicted_node: Option<Arc<str>>,
    /// The node the pod ran on.
    pub actual_node: Arc<str>,
    /// Whether it went well.
    pub success: bool,
    /// The pod's status in the client's words.
    pub pod_status: Option<String>,
    /// What went wrong, in the client's words.
    pub cause: Option<String>,
    /// The confidence of the prediction, 0..1.
    pub confidence: Option<f64>,
    /// The algorithm of the prediction.
    pub algorithm: Option<String>,
}

/// How feedback compares with what the cluster showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// The cluster showed the same.
    Consistent,
    /// The cluster showed something else: kept, never trained on.
    Contradicts,
    /// The cluster showed nothing about it (yet).
    Unverified,
}

/// Feedback as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedbackRecord {
    /// Its id, from 1.
    pub feedback_id: u64,
    /// When it came.
    pub at: UnixMillis,
    /// What it says.
    pub feedback: Feedback,
    /// How it compares with what the cluster showed.
    pub agreement: Agreement,
    /// What exactly agrees or not.
    pub agreement_reason: String,
    /// Whether training may use it.
    pub trainable: bool,
}

/// The answer to feedback that is on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedbackReceipt {
    /// The feedback as kept.
    pub record: FeedbackRecord,
    /// Feedback records kept altogether.
    pub total: u64,
    /// Whether the same feedback had come before.
    pub duplicate: bool,
}

/// A labelled placement for training, as a scheduler hands it to a learner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The decision; a second example of the same decision replaces the first.
    pub decision_id: DecisionId,
    /// When the decision was taken.
    pub at: UnixMillis,
    /// The node the pod ran on.
    pub node: Arc<str>,
    /// What the pod belongs to.
    #[serde(default)]
    pub workload: Option<WorkloadKey>,
    /// What became of it.
    pub label: OutcomeLabel,
    /// What went wrong.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// The probability with which the node was chosen.
    pub propensity: f64,
    /// The named features, in the order of the feature schema.
    pub features: Vec<Option<f64>>,
    /// The model that had a say.
    #[serde(default)]
    pub model_id: Option<Arc<str>>,
    /// What it said: the probability that the pod goes bad there.
    #[serde(default)]
    pub p_bad: Option<f64>,
    /// Whether the pod was kept from every model by lot.
    #[serde(default)]
    pub holdback: bool,
    /// When trouble was first seen, or else the end, or else the maturity of the label; what is known of its time at risk.
    #[serde(default)]
    pub until: Option<UnixMillis>,
    /// The node that would have been next.
    #[serde(default)]
    pub alternative: Option<Alternative>,
    /// What a client says became of it, where the cluster itself showed nothing. Untrusted.
    #[serde(default)]
    pub feedback: Option<bool>,
}

/// The runner-up of a decision, by which another policy is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// The node.
    pub node: Arc<str>,
    /// By how many points the chosen node's total was larger, what the model gave left out.
    pub margin: f64,
    /// Points that a model moves a total by for each unit of log-odds at full confidence.
    pub weight: f64,
    /// The named features of the pod there.
    pub features: Vec<Option<f64>>,
    /// The model's probability that the pod goes bad there.
    #[serde(default)]
    pub p_bad: Option<f64>,
}

/// Which decisions to list.
#[derive(Debug, Clone, Default)]
pub struct DecisionFilter {
    /// Pod name, or `namespace/name`.
    pub pod: Option<String>,
    /// Namespace of the pod.
    pub namespace: Option<String>,
    /// Chosen node.
    pub node: Option<String>,
    /// What the pod belongs to.
    pub workload: Option<WorkloadKey>,
    /// Not older than this.
    pub since: Option<UnixMillis>,
    /// At most so many.
    pub limit: usize,
}

impl DecisionFilter {
    pub(crate) fn wants(&self, record: &DecisionRecord) -> bool {
        let pod = match self.pod.as_deref() {
            None => true,
            Some(wanted) => match wanted.split_once('/') {
                Some((namespace, name)) => *record.pod.namespace == *namespace && *record.pod.name == *name,
                None => *record.pod.name == *wanted,
            },
        };
        let workload = self.workload.as_ref().is_none_or(|wanted| record.workload.as_ref() == Some(wanted));
        let namespace = self.namespace.as_deref().is_none_or(|namespace| *record.pod.namespace == *namespace);
        pod && namespace && workload && self.node.as_deref().is_none_or(|node| record.node.as_deref() == Some(node))
    }
}
