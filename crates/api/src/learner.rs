//! The learner service (port 5000). Entry point: [`router`].

use std::sync::Arc;

use augur_history::{Example, OutcomeLabel, PastProgress};
use augur_learn::{FEATURE_COUNT, FEATURE_NAMES, SCHEMA};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::backend::CheckStatus;
use crate::dto::{
    Features, Feedback, FeedbackAnswer, FeedbackList, FeedbackView, Performance, Prediction,
    performance as performance_of, timestamp,
};
use crate::error::{ApiError, ErrorBody};
use crate::model;
use crate::openapi;
use crate::predict::PredictBody;
use crate::prometheus::{self, Gauges};
use crate::scheduler::{cluster_metrics, history_check, history_gauges};
use crate::service::{
    BODY_LIMIT, Service, Services, Shared, answer, body, json, no_such_path, observe, prediction, query, wrong_method,
};

/// Examples in one batch.
const MAX_EXAMPLES: usize = 10_000;
/// Largest body of `POST /examples`, in bytes.
const EXAMPLES_BODY_LIMIT: usize = 16 << 20;

/// The learner service over its parts.
pub fn router(parts: Services) -> Router {
    let service = Arc::new(Service::new(parts, "learner"));
    Router::new()
        .route("/", get(openapi::index))
        .route("/docs", get(openapi::docs))
        .route("/openapi.json", get(openapi::learner))
        .route("/health", get(health))
        .route("/predict", post(predict))
        .route("/feedback", post(feedback))
        .route("/feedback/recent", get(recent_feedback))
        .route("/performance", get(performance))
        .route("/metrics", get(metrics))
        .route("/model/info", get(model::model_info))
        .route("/model/snapshot", get(model::model_snapshot))
        .route("/models", get(model::models))
        .route("/models/{id}/promote", post(model::promote))
        .route("/models/rollback", post(model::rollback))
        .route("/train", post(model::train))
        .route("/online/update", post(model::online_update))
        .route("/jobs/{id}", get(model::job))
        .route("/data/summary", get(data_summary))
        .route("/data/features", post(data_features))
        .route("/examples", post(examples))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(service.clone(), observe))
        .with_state(service)
}

/// `GET /health` of the learner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LearnerHealth {
    /// `healthy` or `degraded`.
    status: CheckStatus,
    /// When this was read.
    #[schema(value_type = String, format = DateTime)]
    timestamp: jiff::Timestamp,
    /// The scheduler service, under its old name.
    go_backend: &'static str,
    /// The scheduler service.
    scheduler: &'static str,
    /// Version of the program.
    version: String,
    /// Why the status is what it is.
    message: String,
}

/// How the learner and the scheduler service are doing.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = LearnerHealth)))]
pub(crate) async fn health(State(service): Shared) -> Result<Response, ApiError> {
    let kubernetes = service.backend.health().kubernetes;
    let scheduler = if kubernetes.status == CheckStatus::Unhealthy { "unhealthy" } else { "healthy" };
    let history = history_check(&service);
    let message = if scheduler == "unhealthy" { kubernetes.message } else { history.message };
    let message = match &service.learner {
        Some(learner) if scheduler == "healthy" => format!("{message}; {}", model::summary(&learner.report())),
        _ => message,
    };
    let degraded = scheduler == "unhealthy" || history.status != CheckStatus::Healthy;
    let body = LearnerHealth {
        status: if degraded { CheckStatus::Degraded } else { CheckStatus::Healthy },
        timestamp: service.clock.now(),
        go_backend: scheduler,
        scheduler,
        version: service.version.clone(),
        message,
    };
    answer(StatusCode::OK, &body, 512)
}

/// Where a pod would go. Binds nothing.
#[utoipa::path(post, path = "/predict", tag = "predict", request_body = PredictBody,
    responses((status = 200, body = Prediction), (status = 400, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(crate) async fn predict(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let query = body::<PredictBody>(request, BODY_LIMIT).await?.query(true, true)?;
    prediction(service.predict(query).await?, "", "")
}

/// What became of a prediction. Answered when it is on disk.
#[utoipa::path(post, path = "/feedback", tag = "feedback", request_body = Feedback,
    responses((status = 200, body = FeedbackAnswer), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn feedback(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    service.authorize(request.headers(), request.uri()).await?;
    let feedback = body::<Feedback>(request, BODY_LIMIT).await?.into_history()?;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    service.history.feedback(feedback, service.now(), move |result| {
        // The client may have gone away; the feedback is kept all the same.
        let _gone = sender.send(result);
    });
    let closed = || ApiError::unavailable("history_unavailable", "history is closing");
    let receipt = receiver
        .await
        .map_err(|_| closed())?
        .map_err(|error| ApiError::unavailable("history_unavailable", error.to_string()))?;
    if receipt.duplicate {
        service.count_repeated_feedback();
    }
    if let (Some(learner), Some(decision)) = (&service.learner, receipt.record.feedback.decision_id)
        && receipt.record.trainable
        && !receipt.duplicate
    {
        learner.feedback(decision, receipt.record.feedback.success);
    }
    json(&FeedbackAnswer::from(receipt), 256)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RecentQuery {
    /// At most so many; 10 when left out, 1,000 at most.
    limit: Option<usize>,
}

/// The latest feedback.
#[utoipa::path(get, path = "/feedback/recent", tag = "feedback", params(RecentQuery),
    responses((status = 200, body = FeedbackList), (status = 400, body = ErrorBody)))]
pub(crate) async fn recent_feedback(State(service): Shared, uri: Uri) -> Result<Response, ApiError> {
    let RecentQuery { limit } = query(&uri)?;
    let limit = limit.unwrap_or(10).min(1_000);
    let found = service.history(move |history| history.recent_feedback(limit)).await?;
    let list = FeedbackList {
        feedback: found.into_iter().map(FeedbackView::from).collect(),
        total_feedback: service.history.performance().feedback,
    };
    json(&list, 512 * list.feedback.len() + 64)
}

/// How predictions have turned out within seven days.
#[utoipa::path(get, path = "/performance", tag = "feedback", responses((status = 200, body = Performance)))]
pub(crate) async fn performance(State(service): Shared) -> Result<Response, ApiError> {
    let model = &service.model;
    let history = service.history.performance();
    let mut performance = performance_of(&history, model.feedback_threshold, model.performance_threshold);
    if let Some(learner) = &service.learner {
        performance.learned(&learner.report());
    }
    json(&performance, 2_048)
}

/// Metrics in Prometheus' text format; the cluster's as JSON, as on the scheduler service, for `Accept: application/json`.
#[utoipa::path(get, path = "/metrics", tag = "metrics",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(service): Shared, headers: HeaderMap) -> Result<Response, ApiError> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if accept.split(',').any(|kind| kind.split(';').next().is_some_and(|k| k.trim() == "application/json")) {
        return cluster_metrics(&service).await;
    }
    let mut gauges = Gauges::default();
    history_gauges(&service, &mut gauges);
    let summary = service.history(augur_history::HistoryHandle::summary).await?;
    gauges.add("augur_examples_kept", "Labelled examples kept for training", Some(summary.examples as f64));
    gauges.add("augur_outcomes_kept", "Outcomes kept", Some(summary.outcomes as f64));
    let repeated = service.repeated_feedback();
    gauges.add_counter("augur_feedback_repeated", "Feedback on decisions that had some, since the start", repeated);
    gauges.add("augur_history_file_bytes", "Size of the history file", Some(summary.file_bytes as f64));
    if let Some(learner) = &service.learner {
        model::gauges(&learner.report(), service.now(), &mut gauges);
    }
    prometheus::answer(&headers, None, &service.http, &gauges)
}

/// What history and training set hold.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DataSummary {
    /// What history holds.
    history: HistorySummary,
    /// What training would start from.
    training_set: TrainingSet,
    /// The feature schema.
    schema: &'static str,
    /// How many features.
    feature_count: usize,
    /// Their names in order.
    #[schema(value_type = Vec<String>)]
    feature_names: [&'static str; FEATURE_COUNT],
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistorySummary {
    /// Decisions kept.
    decisions: u64,
    /// Their size in bytes.
    decision_bytes: u64,
    /// When the oldest was taken.
    #[schema(value_type = Option<String>, format = DateTime)]
    oldest_decision: Option<jiff::Timestamp>,
    /// Outcomes known, immature ones included.
    outcomes: u64,
    /// Feedback records.
    feedback: u64,
    /// Of these, how many contradict the cluster.
    feedback_contradicting: u64,
    /// Pods being followed.
    pods: u64,
    /// Nodes with any memory.
    nodes: u64,
    /// Workloads with any memory.
    workloads: usize,
    /// Size of the file in bytes.
    file_bytes: u64,
    /// The days before the first start, taken in from a Prometheus-compatible server; `null` when this process asks for none.
    past: Option<PastSummary>,
}

/// How far the days before the first start are taken in. They count once all of them are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PastSummary {
    /// Who is asked.
    source: String,
    /// Where they begin.
    #[schema(value_type = String, format = DateTime)]
    from: jiff::Timestamp,
    /// Where they end: the first start.
    #[schema(value_type = String, format = DateTime)]
    until: jiff::Timestamp,
    /// Up to where they are taken in.
    #[schema(value_type = String, format = DateTime)]
    reached: jiff::Timestamp,
    /// Whether they count.
    done: bool,
    /// Why it does not go on at present.
    error: Option<String>,
    /// Values left out because they cannot be true, by reason.
    #[schema(value_type = Object)]
    rejected: std::collections::BTreeMap<&'static str, u64>,
    /// What the source said of its own answers last.
    warning: Option<String>,
}

impl PastSummary {
    fn new(progress: PastProgress) -> Self {
        Self {
            source: progress.source.to_string(),
            from: timestamp(progress.from),
            until: timestamp(progress.until),
            reached: timestamp(progress.reached),
            done: progress.done,
            error: progress.error,
            rejected: progress.rejected,
            warning: progress.warning,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrainingSet {
    /// Labelled examples handed over through `/examples`.
    examples: u64,
    /// Feedback that training may use: what does not contradict the cluster.
    trainable_feedback: u64,
}

/// What history and training set hold.
#[utoipa::path(get, path = "/data/summary", tag = "data", responses((status = 200, body = DataSummary)))]
pub(crate) async fn data_summary(State(service): Shared) -> Result<Response, ApiError> {
    let s = service.history(augur_history::HistoryHandle::summary).await?;
    let body = DataSummary {
        history: HistorySummary {
            decisions: s.decisions,
            decision_bytes: s.decision_bytes,
            oldest_decision: s.oldest.map(timestamp),
            outcomes: s.outcomes,
            feedback: s.feedback,
            feedback_contradicting: s.contradicting,
            pods: s.pods,
            nodes: s.nodes,
            workloads: service.history.rates().workloads.len(),
            file_bytes: s.file_bytes,
            past: service.history.past_progress().map(PastSummary::new),
        },
        training_set: TrainingSet {
            examples: s.examples,
            trainable_feedback: s.feedback.saturating_sub(s.contradicting),
        },
        schema: SCHEMA,
        feature_count: FEATURE_COUNT,
        feature_names: FEATURE_NAMES,
    };
    json(&body, 1_024)
}

/// Features of a pod on every node.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FeatureTable {
    /// Name of the pod.
    pod_name: String,
    /// Namespace of the pod.
    pod_namespace: String,
    /// The feature schema.
    schema: &'static str,
    /// Sorted by name.
    nodes: Vec<NodeFeatures>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodeFeatures {
    /// The node.
    node_name: String,
    /// The features by name.
    features: Features,
}

/// Features for a pod on every node, without deciding.
#[utoipa::path(post, path = "/data/features", tag = "data", request_body = PredictBody,
    responses((status = 200, body = FeatureTable), (status = 422, body = ErrorBody)))]
pub(crate) async fn data_features(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let query = body::<PredictBody>(request, BODY_LIMIT).await?.query(false, false)?;
    let (pod_name, pod_namespace) = (query.name.clone(), query.namespace.clone());
    let rows = service.backend.features(query).await?;
    let nodes = rows
        .into_iter()
        .map(|(name, values)| NodeFeatures { node_name: name.to_string(), features: Features(values) })
        .collect();
    let table = FeatureTable { pod_name, pod_namespace, schema: SCHEMA, nodes };
    json(&table, 1_024 * table.nodes.len() + 256)
}

/// Body of `POST /examples`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ExampleBatch {
    /// At most 10,000.
    #[schema(value_type = Vec<Object>)]
    examples: Vec<Example>,
}

/// Answer of `POST /examples`: they are on disk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExamplesAnswer {
    /// Examples of this batch.
    accepted: usize,
    /// Examples kept.
    total_examples: u64,
}

fn check(index: usize, example: &Example) -> Result<(), ApiError> {
    let invalid = |field: &str, why: &str| {
        let field = format!("examples[{index}].{field}");
        ApiError::unprocessable("invalid_example", format!("{field}: {why}"))
            .with(serde_json::json!({ "field": field }))
    };
    if example.features.len() != FEATURE_COUNT {
        return Err(invalid("features", &format!("must be {FEATURE_COUNT} values, as in schema {SCHEMA}")));
    }
    if !(example.propensity > 0.0 && example.propensity <= 1.0) {
        return Err(invalid("propensity", "must be above 0 and at most 1"));
    }
    Ok(())
}

/// Takes labelled examples from a scheduler. A batch that comes twice changes nothing.
#[utoipa::path(post, path = "/examples", tag = "data", request_body = ExampleBatch,
    responses((status = 200, body = ExamplesAnswer), (status = 401, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(crate) async fn examples(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    service.authorize(request.headers(), request.uri()).await?;
    let batch: ExampleBatch = body(request, EXAMPLES_BODY_LIMIT).await?;
    if batch.examples.len() > MAX_EXAMPLES {
        let message = format!("a batch has at most {MAX_EXAMPLES} examples, this one {}", batch.examples.len());
        return Err(ApiError::unprocessable("batch_too_large", message));
    }
    for (index, example) in batch.examples.iter().enumerate() {
        check(index, example)?;
    }
    let accepted = batch.examples.len();
    // A pod that was placed, or has got into trouble, is news for the comparison of arms; only what has its label is kept.
    let matured: Vec<Example> =
        batch.examples.iter().filter(|example| example.label != OutcomeLabel::Immature).cloned().collect();
    if !matured.is_empty() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        service.history.add_examples(matured, move |result| {
            let _gone = sender.send(result);
        });
        let closed = || ApiError::unavailable("history_unavailable", "history is closing");
        receiver.await.map_err(|_| closed())??;
    }
    if let Some(learner) = &service.learner {
        learner.examples(batch.examples);
    }
    let summary = service.history(augur_history::HistoryHandle::summary).await?;
    json(&ExamplesAnswer { accepted, total_examples: summary.examples }, 128)
}
