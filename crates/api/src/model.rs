//! The model's side of the learner service: what is in use, the registry, trainings, promotion and rollback.

use std::collections::BTreeMap;
use std::sync::Arc;

use augur_history::UnixMillis;
use augur_learn::{FEATURE_COUNT, FEATURE_NAMES, FEATURES, Missing, SCHEMA};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::dto::{EvaluationView, Importance, JobView, MetricsView, ModelEntry, round};
use crate::error::{ApiError, ErrorBody};
use crate::learner_backend::{LearnerBackend, LearnerReport, Which};
use crate::prometheus::Gauges;
use crate::service::{Service, Shared, answer, json, query};

/// Header of a snapshot: `NUMBER;SHARE` while the model in use is on probation.
pub const PROBATION_HEADER: &str = "augur-probation";
/// Header of a snapshot: the id of the model that the other pods get while it is.
pub const LAST_GOOD_HEADER: &str = "augur-last-good";

/// A feature of the schema.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FeatureInfo {
    name: &'static str,
    meaning: &'static str,
    unit: &'static str,
    /// Where it comes from.
    source: &'static str,
    /// `null` when a missing value is `null`, else `never`.
    missing: Option<&'static str>,
}

/// The model in use, and what it will be trained with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelInfo {
    /// `model.type` of the configuration.
    model_type: String,
    /// Whether a model is in use.
    is_trained: bool,
    /// Why not.
    not_trained_reason: Option<String>,
    /// The settings of training.
    parameters: ModelParameters,
    /// Version of the feature schema.
    schema: &'static str,
    /// How many features.
    feature_count: usize,
    /// Their names in order.
    #[schema(value_type = Vec<String>)]
    feature_names: [&'static str; FEATURE_COUNT],
    /// Their meaning.
    features: Vec<FeatureInfo>,
    /// When the model was trained.
    #[schema(value_type = Option<String>, format = DateTime)]
    trained_at: Option<jiff::Timestamp>,
    /// Examples that the model was trained on.
    training_samples: Option<usize>,
    /// Examples that the learner holds.
    examples_held: u64,
    /// How much the model rests on each feature.
    feature_importance: Option<FeatureImportance>,
    /// How its probabilities are calibrated, and how well.
    calibration: Option<Calibration>,
    /// Metrics on the temporal hold-out.
    metrics: Option<MetricsView>,
    /// The same of what it is compared with.
    baselines: Option<BTreeMap<String, MetricsView>>,
    /// The model in use.
    champion: Option<ModelEntry>,
    /// The latest model that was trained and is not in use, with the gates that it failed.
    challenger: Option<ModelEntry>,
    /// Drift of features and of the model's errors.
    drift: Option<Drift>,
    /// What is left aside and why, and how much rests on feedback.
    #[schema(value_type = Object)]
    untrusted: serde_json::Value,
}

/// By permutation and by gain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FeatureImportance {
    permutation: Vec<Importance>,
    gain: Vec<Importance>,
}

/// How probabilities are calibrated.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Calibration {
    method: String,
    ece: f64,
}

/// What the detectors say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Drift {
    /// The detector whose alarm no training has answered yet: `adwin`, `page_hinkley` or `psi`.
    alarm: Option<&'static str>,
    /// Mean squared error of the probabilities over the window that ADWIN keeps.
    recent_brier: Option<f64>,
    /// Population stability index by feature, the largest first.
    psi: Vec<Importance>,
}

/// Settings of training.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelParameters {
    n_estimators: u32,
    max_depth: u32,
    random_state: u64,
}

const NOT_SERVED: &str = "no learner runs in this process; start `augur learner`, or the scheduler with --learner-port";

fn learner(service: &Service) -> Result<&Arc<dyn LearnerBackend>, ApiError> {
    service.learner.as_ref().ok_or_else(|| ApiError::unavailable("not_served", NOT_SERVED))
}

/// Why no model is in use.
fn why_none(report: &LearnerReport) -> String {
    let status = &report.status;
    if let Some((_, why)) = &status.last_rollback {
        return format!("the last model was taken back: {why}");
    }
    if let Some(refused) = report.challenger.as_ref().and_then(|entry| entry.evaluation.as_ref()) {
        let failed: Vec<&str> = refused.gates.iter().filter(|g| !g.passed).map(|g| g.name.as_str()).collect();
        return format!("the last model was not promoted: {}", failed.join(", "));
    }
    report.last_error.clone().unwrap_or_else(|| {
        format!("{} matured examples so far, {} of them bad; not enough to train", status.labelled, status.bad)
    })
}

/// The learner in a sentence.
pub(crate) fn summary(report: &LearnerReport) -> String {
    match &report.champion {
        Some(champion) => format!("model {} is in use", champion.id.get(..12).unwrap_or(&champion.id)),
        None => format!("no model is in use: {}", why_none(report)),
    }
}

/// The model: its settings, features and state.
#[utoipa::path(get, path = "/model/info", tag = "model", responses((status = 200, body = ModelInfo)))]
pub(crate) async fn model_info(State(service): Shared) -> Result<Response, ApiError> {
    let summary = service.history(augur_history::HistoryHandle::summary).await?;
    let report = service.learner.as_ref().map(|learner| learner.report());
    let champion = report.as_ref().and_then(|report| report.champion.clone());
    let evaluation: Option<EvaluationView> = champion.as_ref().and_then(|entry| entry.evaluation.clone());
    let status = report.as_ref().map(|report| &report.status);
    let info = ModelInfo {
        model_type: service.model.kind.clone(),
        is_trained: champion.is_some(),
        not_trained_reason: match (&report, &champion) {
            (_, Some(_)) => None,
            (Some(report), None) => Some(why_none(report)),
            (None, None) => Some(NOT_SERVED.to_owned()),
        },
        parameters: ModelParameters {
            n_estimators: service.model.n_estimators,
            max_depth: service.model.max_depth,
            random_state: service.model.random_state,
        },
        schema: SCHEMA,
        feature_count: FEATURE_COUNT,
        feature_names: FEATURE_NAMES,
        features: FEATURES
            .iter()
            .map(|f| FeatureInfo {
                name: f.name,
                meaning: f.meaning,
                unit: f.unit,
                source: f.source,
                missing: (f.missing == Missing::Never).then_some("never"),
            })
            .collect(),
        trained_at: champion.as_ref().map(|entry| entry.trained_at),
        training_samples: evaluation.as_ref().map(|e| e.n_train),
        examples_held: status.map_or(summary.examples, |status| status.examples as u64),
        feature_importance: evaluation.as_ref().map(|e| FeatureImportance {
            permutation: e.permutation_importance.clone(),
            gain: e.gain_importance.clone(),
        }),
        calibration: evaluation.as_ref().map(|e| Calibration { method: e.calibration.clone(), ece: e.metrics.ece }),
        metrics: evaluation.as_ref().map(|e| e.metrics.clone()),
        baselines: evaluation.map(|e| e.baselines),
        champion,
        challenger: report.as_ref().and_then(|report| report.challenger.clone()),
        drift: status.map(|status| Drift {
            alarm: status.drift.alarm,
            recent_brier: status.drift.recent_brier.map(round),
            psi: status
                .drift
                .psi
                .iter()
                .map(|(feature, value)| Importance { feature: (*feature).to_owned(), value: round(*value) })
                .collect(),
        }),
        untrusted: serde_json::json!({
            "rejected_examples": status.map(|status| &status.rejected),
            "labels_by_feedback_alone": status.map(|status| status.by_feedback),
            "labels_replaced": status.map(|status| status.relabelled),
            "feedback_contradicting": summary.contradicting,
            "feedback_repeated": status.map(|status| status.repeated + service.repeated_feedback()),
            "feedback_on_unknown_decisions": status.map(|status| status.unknown),
        }),
    };
    json(&info, 16_384)
}

#[derive(Debug, Deserialize)]
pub(crate) struct SnapshotQuery {
    /// `champion` (when left out) or `last_good`.
    which: Option<String>,
}

/// The promoted model's bytes, with its hash as ETag; 304 when the client has it; 503 `not_trained` while there is none.
#[utoipa::path(get, path = "/model/snapshot", tag = "model",
    params(("which" = Option<String>, Query, description = "`champion` or `last_good`")),
    responses((status = 200, content_type = "application/octet-stream"), (status = 304), (status = 503, body = ErrorBody)))]
pub(crate) async fn model_snapshot(State(service): Shared, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let SnapshotQuery { which } = query(&uri)?;
    let which = match which.as_deref() {
        None | Some("champion") => Which::Champion,
        Some("last_good") => Which::LastGood,
        Some(other) => {
            let message = format!("which={other}: must be champion or last_good");
            return Err(ApiError::bad_request("invalid_query", message));
        }
    };
    let learner = learner(&service)?;
    let snapshot =
        learner.snapshot(which).ok_or_else(|| ApiError::unavailable("not_trained", why_none(&learner.report())))?;
    let etag = format!("\"{}\"", snapshot.id);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut answer = if known.is_some_and(|known| known.split(',').any(|one| one.trim() == etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/octet-stream")], snapshot.bytes).into_response()
    };
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    };
    set("etag", etag);
    if let Some((number, share)) = snapshot.probation {
        set(PROBATION_HEADER, format!("{number};{share}"));
    }
    if let Some(last_good) = &snapshot.last_good {
        set(LAST_GOOD_HEADER, last_good.to_string());
    }
    Ok(answer)
}

/// The registry.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// Models, the newest first.
    models: Vec<ModelEntry>,
    /// The model in use.
    champion: Option<String>,
    /// Why there is none.
    reason: Option<String>,
}

/// The models of the registry.
#[utoipa::path(get, path = "/models", tag = "model", responses((status = 200, body = ModelList)))]
pub(crate) async fn models(State(service): Shared) -> Result<Response, ApiError> {
    let list = match &service.learner {
        None => ModelList { models: Vec::new(), champion: None, reason: Some(NOT_SERVED.to_owned()) },
        Some(learner) => {
            let report = learner.report();
            let champion = report.champion.as_ref().map(|entry| entry.id.clone());
            let reason = champion.is_none().then(|| why_none(&report));
            ModelList { models: report.models.clone(), champion, reason }
        }
    };
    json(&list, 4_096 * (list.models.len() + 1))
}

/// Promotion by hand, whatever the gates say; the model is on probation like every other.
#[utoipa::path(post, path = "/models/{id}/promote", tag = "model", params(("id" = String, Path)),
    responses((status = 200, body = ModelEntry), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn promote(
    State(service): Shared,
    headers: HeaderMap,
    uri: Uri,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    service.authorize(&headers, &uri).await?;
    json(&learner(&service)?.promote(id).await?, 4_096)
}

/// What was gone back to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RolledBack {
    /// The model in use now; `null` means that placement is deterministic.
    champion: Option<ModelEntry>,
}

/// Back to the last known good model, or to none.
#[utoipa::path(post, path = "/models/rollback", tag = "model",
    responses((status = 200, body = RolledBack), (status = 401, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(crate) async fn rollback(State(service): Shared, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    service.authorize(&headers, &uri).await?;
    json(&RolledBack { champion: learner(&service)?.rollback().await? }, 4_096)
}

/// Trains now; the job tells what comes of it.
#[utoipa::path(post, path = "/train", tag = "model",
    responses((status = 202, body = JobView), (status = 401, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn train(State(service): Shared, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    service.authorize(&headers, &uri).await?;
    accepted(&learner(&service)?.train().await?)
}

/// Asks the learner to train; its job is found at the learner.
#[utoipa::path(post, path = "/api/v1/model/train", tag = "model",
    responses((status = 202, body = JobView), (status = 401, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn train_from_scheduler(
    State(service): Shared,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    service.authorize(&headers, &uri).await?;
    // Tokens of the cluster's users are not for the learner, which is asked in this service's own name then.
    let token = headers.get(header::AUTHORIZATION).filter(|_| service.reviewer.is_none());
    let job = service.backend.train(token.cloned()).await?;
    answer(StatusCode::ACCEPTED, &job, 512)
}

/// Applies pending feedback and labels now.
#[utoipa::path(post, path = "/online/update", tag = "model",
    responses((status = 202, body = JobView), (status = 401, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn online_update(State(service): Shared, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    service.authorize(&headers, &uri).await?;
    accepted(&learner(&service)?.update().await?)
}

fn accepted(job: &JobView) -> Result<Response, ApiError> {
    answer(StatusCode::ACCEPTED, job, 512)
}

/// Progress of a job.
#[utoipa::path(get, path = "/jobs/{id}", tag = "model", params(("id" = String, Path)),
    responses((status = 200, body = JobView), (status = 404, body = ErrorBody)))]
pub(crate) async fn job(State(service): Shared, Path(id): Path<String>) -> Result<Response, ApiError> {
    let job = service.learner.as_ref().and_then(|learner| learner.job(&id));
    let job = job.ok_or_else(|| ApiError::not_found("job_not_found", format!("job {id:?} does not exist")))?;
    json(&job, 4_096)
}

/// The learner's state as metrics.
pub(crate) fn gauges(report: &LearnerReport, now: UnixMillis, gauges: &mut Gauges) {
    let status = &report.status;
    let count = |count: usize| Some(count as f64);
    gauges.add("augur_learner_examples", "Examples that the learner holds", count(status.examples));
    gauges.add("augur_learner_labelled_examples", "Of these, with a label of use for training", count(status.labelled));
    gauges.add("augur_learner_bad_examples", "Of these, bad", count(status.bad));
    gauges.add("augur_learner_feedback_labels", "Labels that rest on feedback alone", count(status.by_feedback));
    gauges.add("augur_learner_pending_labels", "Labels that wait for the leaves", count(status.pending));
    gauges.add_counter("augur_learner_trainings", "Trainings since the start", status.trainings);
    gauges.add_counter("augur_learner_promotions", "Models taken into use", status.promotions);
    gauges.add_counter("augur_learner_labels_replaced", "Labels that another label replaced", status.relabelled);
    gauges.add_counter("augur_learner_feedback_unknown", "Feedback on decisions not in the window", status.unknown);
    for (reason, count) in &status.rejected {
        let name = "augur_learner_rejected_examples";
        gauges.add_labelled(name, "Examples left aside", ("reason", reason), *count as f64);
    }
    let age = |at: jiff::Timestamp| (now.0 - at.as_millisecond()) as f64 / 1000.0;
    let trained = report.champion.as_ref().map(|champion| age(champion.trained_at));
    gauges.add("augur_model_age_seconds", "Age of the model in use", trained);
    gauges.add("augur_model_harm_evidence", "Evidence against the model in use; 1 is none", Some(status.harm));
    gauges.add("augur_holdback_harm_evidence", "Evidence that models do harm", Some(status.holdback.harm));
    gauges.add("augur_holdback_benefit_evidence", "Evidence that models help", Some(status.holdback.benefit));
    let arms = [("model", status.holdback.model), ("holdback", status.holdback.holdback)];
    for (arm, counts) in arms {
        gauges.add_labelled("augur_arm_placed", "Pods placed", ("arm", arm), counts.placed as f64);
        gauges.add_labelled("augur_arm_bad", "Of these, gone bad", ("arm", arm), counts.bad as f64);
    }
}
