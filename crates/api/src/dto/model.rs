//! Models, how they did, and the jobs that make them. What is written to a registry is read back, so these are read too.

use std::collections::BTreeMap;

use augur_learn::online::{Evaluation, Gate, Metrics};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::round;

/// A condition of promotion and how it was met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GateView {
    /// Its name.
    pub name: String,
    /// Whether it is met.
    pub passed: bool,
    /// What was found.
    pub value: Option<f64>,
    /// What it is held against.
    pub limit: Option<f64>,
    /// The 90 % interval of what was found.
    pub interval: Option<[f64; 2]>,
    /// In words.
    pub detail: String,
}

impl From<&Gate> for GateView {
    fn from(gate: &Gate) -> Self {
        Self {
            name: gate.name.to_owned(),
            passed: gate.passed,
            value: gate.value,
            limit: gate.limit,
            interval: gate.interval,
            detail: gate.detail.clone(),
        }
    }
}

/// Metrics on the temporal hold-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricsView {
    /// Mean log loss.
    pub log_loss: f64,
    /// Mean squared error.
    pub brier: f64,
    /// Expected calibration error over 15 bins.
    pub ece: f64,
    /// Area under the ROC curve among pods of one workload; `null` when no workload had both outcomes.
    pub auc_within: Option<f64>,
    /// Area under the ROC curve among all pods.
    pub auc: Option<f64>,
    /// Share called right at one half.
    pub accuracy: f64,
}

impl From<&Metrics> for MetricsView {
    fn from(m: &Metrics) -> Self {
        Self {
            log_loss: round(m.log_loss),
            brier: round(m.brier),
            ece: round(m.ece),
            auc_within: m.auc_within.map(round),
            auc: m.auc.map(round),
            accuracy: round(m.accuracy),
        }
    }
}

/// How much a model rests on a feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Importance {
    /// The feature.
    pub feature: String,
    /// The figure.
    pub value: f64,
}

fn importance(by: &[(&'static str, f64)]) -> Vec<Importance> {
    by.iter().map(|(feature, value)| Importance { feature: (*feature).to_owned(), value: *value }).collect()
}

/// How a model did on examples from after those that it was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationView {
    /// Why it was trained.
    pub reason: String,
    /// `random_forest`, or `boosted_trees` where these were surely better.
    #[serde(default)]
    pub kind: String,
    /// Examples that it was trained on.
    pub n_train: usize,
    /// Bad ones among them.
    pub bad_train: usize,
    /// Of the training examples, those whose label rests on feedback alone; together they have a twentieth of the weight at
    /// most.
    pub by_feedback: usize,
    /// Examples that it was judged by.
    pub n_test: usize,
    /// Bad ones among them.
    pub bad_test: usize,
    /// Of the model.
    pub metrics: MetricsView,
    /// Of what it is compared with: the base rate, the workload's rate, the champion, and of forest and boosted trees the kind that
    /// was not taken.
    pub baselines: BTreeMap<String, MetricsView>,
    /// Every condition of promotion.
    pub gates: Vec<GateView>,
    /// Rise of the log loss when a feature's values are exchanged among pods of one workload, the largest first.
    pub permutation_importance: Vec<Importance>,
    /// Share of what all splits gained, the largest first.
    pub gain_importance: Vec<Importance>,
    /// How probabilities are calibrated.
    pub calibration: String,
}

impl From<&Evaluation> for EvaluationView {
    fn from(e: &Evaluation) -> Self {
        Self {
            reason: e.reason.name().to_owned(),
            kind: e.kind.to_owned(),
            n_train: e.n_train,
            bad_train: e.bad_train,
            by_feedback: e.by_feedback,
            n_test: e.n_test,
            bad_test: e.bad_test,
            metrics: (&e.metrics).into(),
            baselines: e.baselines.iter().map(|(name, metrics)| ((*name).to_owned(), metrics.into())).collect(),
            gates: e.gates.iter().map(GateView::from).collect(),
            permutation_importance: importance(&e.permutation),
            gain_importance: importance(&e.gain),
            calibration: e.calibration.to_owned(),
        }
    }
}

/// What a model of the registry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// In use.
    Champion,
    /// It was in use, stood its test, and can be gone back to.
    KnownGood,
    /// It did not pass all gates, or has not been promoted.
    Candidate,
    /// It was taken back.
    RolledBack,
    /// It was replaced before it had stood its test, or long ago.
    Retired,
}

/// A model of the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelEntry {
    /// The SHA-256 of its file.
    pub id: String,
    /// What it is.
    pub state: ModelState,
    /// When it was trained.
    #[schema(value_type = String, format = DateTime)]
    pub trained_at: Timestamp,
    /// When it was last taken into use.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub promoted_at: Option<Timestamp>,
    /// Size of its file.
    pub size_bytes: u64,
    /// How it did; `null` for a model that was not trained here.
    pub evaluation: Option<EvaluationView>,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// It has ended; see the result.
    Succeeded,
    /// It has ended without a result; see the error.
    Failed,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its id.
    pub job_id: String,
    /// `train` or `online_update`.
    pub kind: String,
    /// How far it has come.
    pub state: JobState,
    /// What it does now.
    pub step: String,
    /// How much of it is done, 0..1.
    pub progress: f64,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// What came of it.
    #[schema(value_type = Option<Object>)]
    pub result: Option<serde_json::Value>,
    /// Why nothing came of it.
    pub error: Option<String>,
}
