//! What a model has to say about nodes for a pod: the [`Predictor`] trait. The model itself lives elsewhere.

use std::fmt;
use std::sync::Arc;

use crate::object::Pod;
use crate::state::{ClusterSummary, NodeView};
use crate::time::Timestamp;

/// Why a decision was taken without the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fallback {
    /// There is no model yet.
    NotTrained,
    /// The model would have taken too long, or did.
    Deadline,
    /// The model is too old.
    Stale,
    /// The model was made for other features.
    SchemaMismatch,
    /// Features that the model needs are missing; which.
    MissingFeatures(Arc<str>),
    /// The pod was kept from the model by lot, so that what the model does can be told from what would have happened anyway.
    Holdback,
    /// Switched off: by configuration, or its weight is 0.
    Disabled,
    /// There was nothing to compare: fewer than two nodes were feasible.
    NothingToCompare,
    /// The model failed; how.
    Failed(Arc<str>),
}

impl Fallback {
    /// The code in answers and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Fallback::NotTrained => "not_trained",
            Fallback::Deadline => "deadline",
            Fallback::Stale => "stale",
            Fallback::SchemaMismatch => "schema_mismatch",
            Fallback::MissingFeatures(_) => "missing_features",
            Fallback::Holdback => "holdback",
            Fallback::Disabled => "disabled",
            Fallback::NothingToCompare => "nothing_to_compare",
            Fallback::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fallback::MissingFeatures(what) | Fallback::Failed(what) => write!(f, "{}: {what}", self.code()),
            _ => f.write_str(self.code()),
        }
    }
}

/// What a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct PredictRequest<'a> {
    /// The pod to be placed.
    pub pod: &'a Pod,
    /// The cluster as a whole.
    pub cluster: ClusterSummary,
    /// Feasible nodes, the best by score first.
    pub candidates: &'a [NodeView<'a>],
    /// When.
    pub now: Timestamp,
}

/// What a model says of one node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodePrediction {
    /// The probability that the pod comes to harm on the node, 0..1.
    pub p_bad: f64,
    /// How much that is to be trusted, 0..1; 0 leaves the node's score as it is.
    pub confidence: f64,
}

/// A model of what becomes of pods on nodes.
pub trait Predictor {
    /// Whether the model can be asked at all now; cheap.
    ///
    /// # Errors
    /// Why not.
    fn available(&self, now: Timestamp) -> Result<(), Fallback>;

    /// Fills `predictions` with one entry per candidate, in their order.
    ///
    /// # Errors
    /// The model has no answer for this pod; `predictions` is not looked at then.
    fn predict(&self, request: &PredictRequest<'_>, predictions: &mut Vec<NodePrediction>) -> Result<(), Fallback>;

    /// The model's id, for the record.
    fn model_id(&self) -> Option<Arc<str>>;

    /// The id of the model that answers for this pod, where not all pods have the same.
    fn model_for(&self, _pod: &Pod) -> Option<Arc<str>> {
        self.model_id()
    }
}

/// No model: every decision is the deterministic one, for the given reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoModel(pub Fallback);

impl Default for NoModel {
    fn default() -> Self {
        NoModel(Fallback::NotTrained)
    }
}

impl Predictor for NoModel {
    fn available(&self, _: Timestamp) -> Result<(), Fallback> {
        Err(self.0.clone())
    }

    fn predict(&self, _: &PredictRequest<'_>, _: &mut Vec<NodePrediction>) -> Result<(), Fallback> {
        Err(self.0.clone())
    }

    fn model_id(&self) -> Option<Arc<str>> {
        None
    }
}
