//! What a decision says: the node or the diagnosis, and how it came about.

use std::sync::Arc;

use super::diagnosis::Diagnosis;
use crate::enhanced::EnhancedScore;
use crate::object::{NodeName, PodDevices, PodVolumes};
use crate::plugins::{Code, PluginId};
use crate::predictor::{Fallback, NodePrediction};
use crate::time::Timestamp;

/// What a decision takes from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cycle {
    /// When.
    pub now: Timestamp,
    /// Decides among equally good nodes.
    pub seed: u64,
    /// How much is told about nodes.
    pub detail: Detail,
}

/// How much a decision tells about nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// The chosen node and the runner-up.
    #[default]
    Brief,
    /// Every node, feasible or not.
    Full,
}

/// How the score came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The plugins' scores and the enhanced score.
    EnhancedScoring,
    /// The same, moved by a model.
    MlPrediction,
}

impl Algorithm {
    /// The name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::EnhancedScoring => "enhanced_scoring",
            Algorithm::MlPrediction => "ml_prediction",
        }
    }
}

/// What is to become of the pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It goes to a node.
    Placed(NodeName),
    /// No node is feasible.
    Unschedulable(Diagnosis),
    /// It needs something that is not implemented, so that no node can be called feasible; the features by name.
    Refused(Vec<Arc<str>>),
    /// Its scheduling gates hold it back; their names.
    Gated(Vec<Arc<str>>),
    /// It does not enter the queue yet, for lack of something that it names.
    Held {
        /// The plugin that misses it.
        by: PluginId,
        /// What is missing, in kube-scheduler's words.
        why: String,
    },
    /// It could not be judged, as kube-scheduler could not; why.
    Failed(String),
}

/// A decision on one pod. Equal inputs give equal decisions.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What is to become of the pod.
    pub outcome: Outcome,
    /// How the score came about.
    pub algorithm: Algorithm,
    /// Why the model had no part; `None` if it had.
    pub fallback: Option<Fallback>,
    /// The model that had a part.
    pub model_id: Option<Arc<str>>,
    /// Points by which a model moves a total for each unit of log-odds, at full confidence: λ times the score's range.
    pub model_weight: f64,
    /// How clear the choice is, 0..1; see [`confidence`](super::confidence). 0 if no node was chosen.
    pub confidence: f64,
    /// The exact probability, over seeds, with which this node was chosen: 1 over the number of equally good ones, less what
    /// is spent on trying near-ties, or its part of that. 0 if none was.
    pub propensity: f64,
    /// Whether a near-tie was tried: the runner-up is the best node then.
    pub explored: bool,
    /// Nodes there are.
    pub total_nodes: usize,
    /// Nodes on which the pod fits.
    pub feasible_nodes: usize,
    /// The chosen node.
    pub chosen: Option<NodeReport>,
    /// The best of the others.
    pub runner_up: Option<NodeReport>,
    /// All nodes by name, if [`Detail::Full`] was asked for.
    pub nodes: Vec<NodeReport>,
    /// Wishes of the pod that had no part in the score because they are not implemented, by name.
    pub not_considered: Vec<Arc<str>>,
    /// What has to be done about the pod's claims before it can run on the chosen node.
    pub volumes: PodVolumes,
    /// What has to be done about its claims to devices first.
    pub devices: PodDevices,
    /// A sentence for people.
    pub reason: String,
    /// The cycle's seed and time.
    pub cycle: Cycle,
}

impl Decision {
    /// The chosen node.
    #[must_use]
    pub fn node(&self) -> Option<&NodeName> {
        match &self.outcome {
            Outcome::Placed(node) => Some(node),
            _ => None,
        }
    }

    /// Whether something has to be done before the pod can be bound (kube-scheduler's PreBind).
    #[must_use]
    pub fn needs_preparation(&self) -> bool {
        !self.volumes.is_empty() || !self.devices.is_empty()
    }
}

/// One node in a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeReport {
    /// The node.
    pub node: NodeName,
    /// Why the pod does not fit; `None` if it does.
    pub rejection: Option<NodeRejection>,
    /// Weighted scores of the plugins, in filter order. Empty unless at least two nodes are feasible.
    pub plugins: Vec<(PluginId, i64)>,
    /// Points from extenders, weight included, in the order in which they answered.
    pub extenders: Vec<(Arc<str>, i64)>,
    /// The enhanced score with its parts; of feasible nodes.
    pub enhanced: Option<EnhancedScore>,
    /// What the risk that was seen of the node takes from its score: at most as much as a model may move it by; 0 or less.
    pub risk_part: f64,
    /// What the model said, if it was asked about the node.
    pub prediction: Option<NodePrediction>,
    /// What the model moved the score by.
    pub model_part: f64,
    /// The final score; 0 for a node that is not feasible.
    pub total: f64,
}

/// Why a pod does not fit a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRejection {
    /// The first plugin that rejected it; none if it was left out before filters ran.
    pub plugin: Option<PluginId>,
    /// Whether evicting pods could help.
    pub code: Code,
    /// The reasons, as kube-scheduler words them, sorted.
    pub reasons: Vec<String>,
}
