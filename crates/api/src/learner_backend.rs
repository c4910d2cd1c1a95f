//! What the learner service needs from the learner: [`LearnerBackend`], implemented by the binary over its learner thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use augur_history::{DecisionId, Example};
use augur_learn::online::{DayQuality, LearnerStatus};
use bytes::Bytes;
use jiff::Timestamp;

use crate::backend::Answer;
use crate::dto::{JobView, ModelEntry};

/// The learner as the HTTP service sees it.
pub trait LearnerBackend: Send + Sync + 'static {
    /// How it is doing, at most some seconds old. Cheap.
    fn report(&self) -> Arc<LearnerReport>;

    /// The file of the model in use, or of the one to go back to. Cheap.
    fn snapshot(&self, which: Which) -> Option<Snapshot>;

    /// Starts a training. Errors: 503 while the learner ends.
    fn train(&self) -> Answer<JobView>;

    /// Adds pending labels to the leaves of the model in use, now.
    fn update(&self) -> Answer<JobView>;

    /// A job. Cheap.
    fn job(&self, id: &str) -> Option<JobView>;

    /// Takes a model of the registry into use. Errors: 404 `model_not_found`, 422 for one that cannot be read.
    fn promote(&self, id: String) -> Answer<ModelEntry>;

    /// Goes back to the last known good model, or to none. Errors: 409 `no_model`.
    fn rollback(&self) -> Answer<Option<ModelEntry>>;

    /// Examples that are on disk.
    fn examples(&self, examples: Vec<Example>);

    /// Feedback on a decision that does not contradict the cluster.
    fn feedback(&self, decision: DecisionId, good: bool);
}

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The model in use.
    Champion,
    /// The model to go back to; on probation some pods get it.
    LastGood,
}

/// A model's file.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its id.
    pub id: Arc<str>,
    /// Its bytes.
    pub bytes: Bytes,
    /// The number of the promotion and the share of pods that get the model in use, while it is on probation.
    pub probation: Option<(u64, f64)>,
    /// The model that the others get; none means no model.
    pub last_good: Option<Arc<str>>,
}

/// How the learner is doing.
#[derive(Debug, Clone)]
pub struct LearnerReport {
    /// What the loop says.
    pub status: LearnerStatus,
    /// The registry, the newest first.
    pub models: Vec<ModelEntry>,
    /// The model in use.
    pub champion: Option<ModelEntry>,
    /// The latest model that was trained and is not in use.
    pub challenger: Option<ModelEntry>,
    /// When the model in use was taken into use.
    pub promoted_at: Option<Timestamp>,
    /// Probabilities against what happened, by day since 1970 (UTC).
    pub days: BTreeMap<u32, DayQuality>,
    /// Why the last training brought nothing, if it did not.
    pub last_error: Option<String>,
}
