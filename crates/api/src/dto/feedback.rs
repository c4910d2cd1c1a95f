//! Feedback, and how predictions have turned out.

use std::collections::BTreeMap;

use augur_history::{Agreement, DecisionId, FeedbackReceipt, FeedbackRecord};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{round, timestamp};
use crate::error::ApiError;
use crate::learner_backend::LearnerReport;

/// Body of `POST /feedback`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct Feedback {
    /// The prediction it speaks of; the answer of `/predict` may be given as it is.
    #[serde(default)]
    pub prediction_result: PredictionResult,
    /// The node the pod ran on.
    pub actual_node: String,
    /// Whether it went well. When it is left out, `pod_status` decides.
    #[serde(default)]
    pub success: Option<bool>,
    /// The pod's phase, or what the client makes of it.
    #[serde(default)]
    pub pod_status: Option<String>,
    /// What went wrong.
    #[serde(default)]
    pub cause: Option<String>,
}

/// The prediction that feedback speaks of. Other fields are ignored.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct PredictionResult {
    /// The node that was predicted.
    #[serde(default)]
    pub predicted_node: Option<String>,
    /// The confidence of the prediction.
    #[serde(default)]
    pub confidence: Option<f64>,
    /// The algorithm of the prediction.
    #[serde(default)]
    pub algorithm: Option<String>,
    /// The decision; feedback is kept once for each.
    #[serde(default)]
    pub decision_id: Option<String>,
    /// Name of the pod; finds the decision when there is no id.
    #[serde(default)]
    pub pod_name: Option<String>,
    /// Namespace of the pod.
    #[serde(default)]
    pub pod_namespace: Option<String>,
}

/// Feedback is kept for good, so its texts are bounded: names have up to 253 characters, a status or cause is a few words.
const LONGEST_TEXT: usize = 1024;

impl Feedback {
    /// Checks and turns it into what history keeps.
    ///
    /// # Errors
    /// 422 naming the field.
    pub fn into_history(self) -> Result<augur_history::Feedback, ApiError> {
        let invalid = |field: &str, why: &str| {
            ApiError::unprocessable("invalid_feedback", format!("{field}: {why}"))
                .with(serde_json::json!({ "field": field }))
        };
        let p = self.prediction_result;
        let decision_id = match p.decision_id.as_deref() {
            None | Some("") => None,
            Some(id) => Some(id.parse::<DecisionId>().map_err(|why| invalid("prediction_result.decision_id", &why))?),
        };
        if self.actual_node.is_empty() {
            return Err(invalid("actual_node", "must name the node the pod ran on"));
        }
        let texts = [
            ("actual_node", Some(&self.actual_node)),
            ("pod_status", self.pod_status.as_ref()),
            ("cause", self.cause.as_ref()),
            ("prediction_result.predicted_node", p.predicted_node.as_ref()),
            ("prediction_result.algorithm", p.algorithm.as_ref()),
            ("prediction_result.pod_name", p.pod_name.as_ref()),
            ("prediction_result.pod_namespace", p.pod_namespace.as_ref()),
        ];
        if let Some((field, _)) = texts.iter().find(|(_, text)| text.is_some_and(|text| text.len() > LONGEST_TEXT)) {
            return Err(invalid(field, &format!("must be no longer than {LONGEST_TEXT} bytes")));
        }
        if p.confidence.is_some_and(|c| !(0.0..=1.0).contains(&c)) {
            return Err(invalid("prediction_result.confidence", "must be between 0 and 1"));
        }
        let success = match (self.success, self.pod_status.as_deref()) {
            (Some(success), _) => success,
            (None, Some("Running" | "Succeeded")) => true,
            (None, Some("Failed")) => false,
            (None, _) => {
                return Err(invalid("success", "is required, unless pod_status is Running, Succeeded or Failed"));
            }
        };
        let pod = p.pod_name.map(|name| (p.pod_namespace.as_deref().unwrap_or("default").into(), name.into()));
        Ok(augur_history::Feedback {
            decision_id,
            pod,
            predicted_node: p.predicted_node.map(Into::into),
            actual_node: self.actual_node.into(),
            success,
            pod_status: self.pod_status,
            cause: self.cause,
            confidence: p.confidence,
            algorithm: p.algorithm,
        })
    }
}

/// Answer of `POST /feedback`: it is on disk.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FeedbackAnswer {
    /// That it was kept.
    pub success: bool,
    /// Its id; of the first one, when the same decision had feedback before.
    pub feedback_id: u64,
    /// Feedback records kept.
    pub total_feedback: u64,
    /// Whether the decision had feedback before; then nothing was added.
    pub duplicate: bool,
    /// How it compares with what the cluster showed: `consistent`, `contradicts`, `unverified`.
    #[schema(value_type = String)]
    pub agreement: Agreement,
    /// What exactly agrees or not.
    pub agreement_reason: String,
}

impl From<FeedbackReceipt> for FeedbackAnswer {
    fn from(receipt: FeedbackReceipt) -> Self {
        Self {
            success: true,
            feedback_id: receipt.record.feedback_id,
            total_feedback: receipt.total,
            duplicate: receipt.duplicate,
            agreement: receipt.record.agreement,
            agreement_reason: receipt.record.agreement_reason,
        }
    }
}

/// Answer of `GET /feedback/recent`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FeedbackList {
    /// Newest first.
    pub feedback: Vec<FeedbackView>,
    /// Feedback records kept.
    pub total_feedback: u64,
}

/// Feedback as it is kept.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FeedbackView {
    /// Its id.
    pub feedback_id: u64,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// The decision it speaks of.
    #[schema(value_type = Option<String>)]
    pub decision_id: Option<DecisionId>,
    /// The node that was predicted.
    pub predicted_node: Option<String>,
    /// The node the pod ran on.
    pub actual_node: String,
    /// Whether it went well.
    pub success: bool,
    /// The pod's status in the client's words.
    pub pod_status: Option<String>,
    /// What went wrong, in the client's words.
    pub cause: Option<String>,
    /// The confidence of the prediction.
    pub confidence: Option<f64>,
    /// The algorithm of the prediction.
    pub algorithm: Option<String>,
    /// How it compares with what the cluster showed.
    #[schema(value_type = String)]
    pub agreement: Agreement,
    /// What exactly agrees or not.
    pub agreement_reason: String,
    /// Whether training may use it.
    pub trainable: bool,
}

impl From<FeedbackRecord> for FeedbackView {
    fn from(r: FeedbackRecord) -> Self {
        let f = r.feedback;
        Self {
            feedback_id: r.feedback_id,
            timestamp: timestamp(r.at),
            decision_id: f.decision_id,
            predicted_node: f.predicted_node.map(|n| n.to_string()),
            actual_node: f.actual_node.to_string(),
            success: f.success,
            pod_status: f.pod_status,
            cause: f.cause,
            confidence: f.confidence,
            algorithm: f.algorithm,
            agreement: r.agreement,
            agreement_reason: r.agreement_reason,
            trainable: r.trainable,
        }
    }
}

/// Answer of `GET /performance`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Performance {
    /// Placements and dry runs within seven days.
    pub total_predictions: u64,
    /// Those that turned out well, by the cluster or else by feedback.
    pub successful_predictions: u64,
    /// Predictions that have a verdict; the rest are immature, or nobody said.
    pub judged_predictions: u64,
    /// Of these, how many rest on feedback alone.
    pub judged_by_feedback: u64,
    /// `successful_predictions / judged_predictions`; `null` while nothing is judged.
    pub accuracy: Option<f64>,
    /// Why `accuracy` is `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_reason: Option<&'static str>,
    /// Attempts for which no node fitted.
    pub unschedulable: u64,
    /// Feedback records kept.
    pub feedback_count: u64,
    /// Of these, how many contradict the cluster.
    pub feedback_contradicting: u64,
    /// Models taken into use.
    pub model_updates: u64,
    /// When the last one was.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_update: Option<Timestamp>,
    /// Whether the rules of `online_learning` ask for training.
    pub should_update: bool,
    /// Which of them do.
    pub should_update_reasons: Vec<String>,
    /// By day, `YYYY-MM-DD` (UTC).
    pub daily_metrics: BTreeMap<String, DayMetrics>,
    /// Placements by the model against the random holdback; `null` while there is no model.
    #[schema(value_type = Option<Object>)]
    pub holdback: Option<serde_json::Value>,
    /// Why `holdback` is `null`.
    pub holdback_reason: Option<&'static str>,
}

/// One day of [`Performance`].
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DayMetrics {
    /// Placements and dry runs.
    pub predictions: u64,
    /// Those that turned out well.
    pub successful: u64,
    /// Those with a verdict.
    pub judged: u64,
    /// `successful / judged`.
    pub accuracy: Option<f64>,
    /// Mean squared error of the predicted probabilities; `null` while no model gives any.
    pub brier: Option<f64>,
    /// Mean log loss of the predicted probabilities.
    pub log_loss: Option<f64>,
    /// Area under the curve within workloads.
    pub auc_within: Option<f64>,
    /// Expected calibration error.
    pub ece: Option<f64>,
    /// Why the four above are `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability_reason: Option<&'static str>,
}

/// Sums up what history counted. `feedback_threshold` and `performance_threshold` are those of `online_learning`.
pub fn performance(
    history: &augur_history::Performance,
    feedback_threshold: u64,
    performance_threshold: f64,
) -> Performance {
    let total = history.total();
    let accuracy = total.accuracy().map(round);
    let trainable = history.feedback.saturating_sub(history.contradicting);
    let mut should_update_reasons = Vec::new();
    if trainable >= feedback_threshold {
        should_update_reasons
            .push(format!("{trainable} feedback records wait, feedback_threshold is {feedback_threshold}"));
    }
    if let Some(accuracy) = accuracy.filter(|a| *a < performance_threshold) {
        should_update_reasons
            .push(format!("accuracy {accuracy} is below performance_threshold {performance_threshold}"));
    }
    Performance {
        total_predictions: total.predictions(),
        successful_predictions: total.successful,
        judged_predictions: total.judged,
        judged_by_feedback: total.from_feedback,
        accuracy,
        accuracy_reason: accuracy.is_none().then_some("no prediction has matured or been reported on yet"),
        unschedulable: total.unschedulable,
        feedback_count: history.feedback,
        feedback_contradicting: history.contradicting,
        model_updates: 0,
        last_update: None,
        should_update: !should_update_reasons.is_empty(),
        should_update_reasons,
        daily_metrics: history
            .days
            .iter()
            .map(|(day, counts)| {
                let name = date(*day);
                let metrics = DayMetrics {
                    predictions: counts.predictions(),
                    successful: counts.successful,
                    judged: counts.judged,
                    accuracy: counts.accuracy().map(round),
                    brier: counts.brier().map(round),
                    log_loss: counts.mean_log_loss().map(round),
                    auc_within: None,
                    ece: None,
                    probability_reason: Some("no model gives probabilities yet"),
                };
                (name, metrics)
            })
            .collect(),
        holdback: None,
        holdback_reason: Some("no model is in use, so there is nothing to hold back from"),
    }
}

impl Performance {
    /// Adds what the learner knows.
    pub(crate) fn learned(&mut self, report: &LearnerReport) {
        let status = &report.status;
        self.model_updates = status.promotions;
        self.last_update = report.promoted_at;
        for (day, quality) in &report.days {
            if let Some(metrics) = self.daily_metrics.get_mut(&date(*day)) {
                metrics.auc_within = quality.auc_within.map(round);
                metrics.ece = Some(round(quality.ece));
                metrics.brier = metrics.brier.or(Some(round(quality.brier)));
                metrics.log_loss = metrics.log_loss.or(Some(round(quality.log_loss)));
                metrics.probability_reason = None;
            }
        }
        let arms = &status.holdback;
        if arms.model.placed == 0 {
            return;
        }
        let arm = |counts: &augur_learn::online::ArmCounts| serde_json::json!({ "placed": counts.placed, "bad": counts.bad, "bad_rate": counts.rate().map(round) });
        self.holdback = Some(serde_json::json!({
            "model": arm(&arms.model),
            "holdback": arm(&arms.holdback),
            "difference": arms.difference.map(|(difference, _)| round(difference)),
            "difference_interval": arms.difference.map(|(_, interval)| interval.map(round)),
            "harm_evidence": round(arms.harm),
            "benefit_evidence": round(arms.benefit),
            "last_rollback": status.last_rollback.as_ref().map(|(at, why)| {
                serde_json::json!({ "at": timestamp(augur_history::UnixMillis(*at)), "why": why })
            }),
        }));
        self.holdback_reason = None;
    }
}

fn date(day: u32) -> String {
    let at = augur_history::UnixMillis(i64::from(day) * 86_400_000);
    timestamp(at).to_string().chars().take(10).collect()
}
