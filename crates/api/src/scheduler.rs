//! The scheduler service (port 8080). Entry point: [`router`].

use std::collections::BTreeMap;
use std::sync::Arc;

use augur_history::{DecisionFilter, DecisionKind, HistoryStatus, PastProgress, SeriesOf, UnixMillis, WorkloadKey};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::backend::{Check, CheckStatus, ModelStatus};
use crate::dto::{
    ClusterMetrics, DecisionList, DecisionView, NodeDetail, NodeList, PredictionAnswer, UsageList, WorkloadList,
    WorkloadView, hottest, summary, timestamp,
};
use crate::error::{ApiError, ErrorBody};
use crate::explain::{Explanation, model_part};
use crate::predict::PredictBody;
use crate::prometheus::{self, Gauges};
use crate::service::{
    BODY_LIMIT, Service, Services, Shared, answer, body, json, no_such_path, observe, prediction, query, wrong_method,
};
use crate::shadow::ShadowReport;
use crate::{events, export, extender, learner, model, openapi, what_if};

/// The scheduler service over its parts.
pub fn router(parts: Services) -> Router {
    let service = Arc::new(Service::new(parts, "scheduler"));
    Router::new()
        .route("/", get(openapi::index))
        .route("/docs", get(openapi::docs))
        .route("/openapi.json", get(openapi::scheduler))
        .route("/health", get(health))
        .route("/livez", get(livez))
        .route("/healthz", get(livez))
        .route("/readyz", get(readyz))
        .route("/configz", get(configz))
        .route("/metrics", get(prometheus_text))
        .route("/api/v1/metrics", get(metrics))
        .route("/api/v1/nodes", get(nodes))
        .route("/api/v1/nodes/{name}", get(node))
        .route("/api/v1/predict", post(predict))
        .route("/data/features", post(learner::data_features))
        .route("/api/v1/model/train", post(model::train_from_scheduler))
        .route("/api/v1/model/status", get(model_status))
        .route("/api/v1/decisions", get(decisions))
        .route("/api/v1/decisions/{id}", get(decision))
        .route("/api/v1/pods/{namespace}/{name}/explain", get(explain))
        .route("/api/v1/workloads", get(workloads))
        .route("/api/v1/workloads/{namespace}/{kind}/{name}", get(workload))
        .route("/api/v1/events", get(events))
        .route("/api/v1/shadow/report", get(shadow_report))
        .route("/api/v1/usage", get(usage))
        .route("/api/v1/export", get(export::list))
        .route("/api/v1/export/{table}/{day}", get(export::file))
        .route("/api/v1/what-if", post(what_if::what_if))
        .route("/api/v1/pods/{namespace}/{name}/outlook", get(what_if::outlook))
        .route("/extender/filter", post(extender::filter))
        .route("/extender/prioritize", post(extender::prioritize))
        .route("/extender/preempt", post(extender::preempt))
        .route("/extender/bind", post(extender::bind))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(service.clone(), observe))
        .with_state(service)
}

/// `GET /health` of the scheduler.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthAnswer {
    /// `healthy`, `degraded` (scheduling goes on) or `unhealthy` (it does not).
    status: CheckStatus,
    /// `ai-scheduler`.
    service: &'static str,
    /// Version of the program.
    version: String,
    /// When this was read.
    #[schema(value_type = String, format = DateTime)]
    timestamp: jiff::Timestamp,
    /// By part: `kubernetes`, `metrics_api`, `learner`, `model`, `history`, `leader`.
    #[schema(value_type = Object)]
    checks: BTreeMap<&'static str, Check>,
}

/// How long after the last dropped record history is still called degraded: long enough for a probe or a look to notice, and
/// not for good, because what comes now is remembered.
const DROPPED_FOR: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// What is lost, if it was lost lately. A drop that no tick has seen yet is as late as can be.
fn dropped_lately(status: &HistoryStatus, now: jiff::Timestamp) -> Option<String> {
    let lately = status.dropped_at.is_none_or(|at| now.duration_since(timestamp(at)) < DROPPED_FOR);
    (status.dropped > 0 && lately).then(|| {
        let (dropped, minutes) = (status.dropped, DROPPED_FOR.as_mins());
        format!("{dropped} records were dropped since the start because it could not keep up, the last one less than {minutes} minutes ago")
    })
}

/// History's check.
pub(crate) fn history_check(service: &Service) -> Check {
    let status = service.history.status();
    if let Some(error) = status.last_error {
        let path = service.history.path().display();
        let message = format!(
            "cannot be written: {error}; scheduling goes on, what happens meanwhile is not remembered. See whether the disk of {path} \
             is full or read-only; history goes on by itself as soon as it can be written"
        );
        return Check::new(CheckStatus::Degraded, message);
    }
    if let Some(message) = dropped_lately(&status, service.clock.now()) {
        return Check::new(CheckStatus::Degraded, message);
    }
    if let Some(file) = status.set_aside {
        let message = format!("the file of before was damaged and is kept as {}; history began anew", file.display());
        return Check::new(CheckStatus::Degraded, message);
    }
    let path = service.history.path().display();
    match service.history.past_progress().filter(|progress| !progress.done) {
        Some(PastProgress { source, reached, error: Some(error), .. }) => {
            let reached = timestamp(reached);
            let message = format!("written to {path}; the days before are known up to {reached}: {source}: {error}");
            Check::new(CheckStatus::Degraded, message)
        }
        Some(PastProgress { source, from, reached, until, .. }) => {
            let (from, reached, until) = (timestamp(from), timestamp(reached), timestamp(until));
            let message = format!(
                "written to {path}; taking in the days before from {source}: {from} to {until}, now at {reached}"
            );
            Check::new(CheckStatus::Healthy, message)
        }
        None => Check::new(CheckStatus::Healthy, format!("written to {path}")),
    }
}

/// How the parts are doing.
#[utoipa::path(get, path = "/health", tag = "health",
    responses((status = 200, body = HealthAnswer), (status = 503, description = "unhealthy", body = HealthAnswer)))]
pub(crate) async fn health(State(service): Shared) -> Result<Response, ApiError> {
    let health = service.backend.health();
    let history = history_check(&service);
    let required = [health.kubernetes.status, health.metrics_api.status];
    let checks = BTreeMap::from([
        ("kubernetes", health.kubernetes),
        ("metrics_api", health.metrics_api),
        ("learner", health.learner),
        ("model", health.model),
        ("history", history),
        ("leader", health.leader),
    ]);
    // Without the Kubernetes API nothing is scheduled, and without readings nobody may want it to be; everything else leaves the deterministic score.
    let status = match checks.values().map(|check| check.status).max() {
        Some(CheckStatus::Healthy) | None => CheckStatus::Healthy,
        Some(_) if required.contains(&CheckStatus::Unhealthy) => CheckStatus::Unhealthy,
        Some(_) => CheckStatus::Degraded,
    };
    let code = if status == CheckStatus::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = HealthAnswer {
        status,
        service: "ai-scheduler",
        version: service.version.clone(),
        timestamp: service.clock.now(),
        checks,
    };
    answer(code, &body, 1_024)
}

/// Whether the process works; if not, only a restart helps.
#[utoipa::path(get, path = "/livez", tag = "health", params(("verbose" = Option<String>, Query)),
    responses((status = 200, body = String), (status = 503, body = ErrorBody)))]
pub(crate) async fn livez(State(service): Shared, uri: Uri) -> Result<String, ApiError> {
    let health = service.backend.health();
    told("livez", &uri, &[("ping", true), ("scheduler-thread", health.alive)], &health.kubernetes.message)
}

/// Whether the cluster has been read, so that pods are being scheduled, or would be if this replica led.
#[utoipa::path(get, path = "/readyz", tag = "health", params(("verbose" = Option<String>, Query)),
    responses((status = 200, body = String), (status = 503, body = ErrorBody)))]
pub(crate) async fn readyz(State(service): Shared, uri: Uri) -> Result<String, ApiError> {
    let health = service.backend.health();
    let checks = [("ping", true), ("scheduler-thread", health.alive), ("informer-sync", health.ready)];
    told("readyz", &uri, &checks, &health.kubernetes.message)
}

/// The answer in the manner of Kubernetes' components: `ok`, a line a check with `?verbose`, or what failed and why.
fn told(name: &str, uri: &Uri, checks: &[(&str, bool)], why: &str) -> Result<String, ApiError> {
    let failed: Vec<&str> = checks.iter().filter(|(_, ok)| !ok).map(|(check, _)| *check).collect();
    if !failed.is_empty() {
        let message = format!("{name} check failed: {}: {why}", failed.join(", "));
        return Err(ApiError::unavailable("not_ready", message));
    }
    if uri.query().is_none_or(|query| !query.split('&').any(|key| key == "verbose" || key.starts_with("verbose="))) {
        return Ok("ok".to_owned());
    }
    let lines: String = checks.iter().map(|(check, _)| format!("[+]{check} ok\n")).collect();
    Ok(format!("{lines}{name} check passed\n"))
}

/// The settings in effect, as kube-scheduler shows its own; what is secret is not among them.
#[utoipa::path(get, path = "/configz", tag = "health", responses((status = 200, body = Object)))]
pub(crate) async fn configz(State(service): Shared) -> Result<Response, ApiError> {
    json(&*service.configz, 4_096)
}

/// Nodes that `/metrics` names: a cluster may have thousands.
const HOT_NODES: usize = 20;

/// Metrics in Prometheus' text format, or in OpenMetrics' if asked for.
#[utoipa::path(get, path = "/metrics", tag = "metrics",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn prometheus_text(State(service): Shared, headers: HeaderMap) -> Result<Response, ApiError> {
    let mut gauges = Gauges::default();
    // Before the cluster is known its gauges are absent, as they should be; all other metrics are there.
    if let Ok(nodes) = service.backend.nodes(false).await {
        let cluster = summary(&nodes, service.thresholds);
        gauges.add("augur_nodes", "Nodes", Some(cluster.total_nodes as f64));
        gauges.add("augur_nodes_ready", "Nodes that are Ready", Some(cluster.ready_nodes as f64));
        gauges.add("augur_cluster_cpu_usage_percent", "Mean CPU use of the nodes", cluster.avg_cpu_usage);
        gauges.add("augur_cluster_memory_usage_percent", "Mean memory use of the nodes", cluster.avg_memory_usage);
        gauges.add("augur_cluster_health_score", "Share of nodes Ready and under no pressure", cluster.health_score);
        for node in hottest(&nodes, &service.history.rates(), HOT_NODES) {
            let mut add = |name, help, value: Option<f64>| {
                if let Some(value) = value {
                    gauges.add_labelled(name, help, ("node", &node.name), value);
                }
            };
            let help = "Larger of CPU and memory use in percent of allocatable, of the 20 hottest nodes";
            add("augur_hot_node_usage_percent", help, node.usage);
            let help =
                "Larger of the expected peaks of CPU and memory in percent of allocatable, of the 20 hottest nodes";
            add("augur_hot_node_predicted_peak_percent", help, node.peak);
        }
    }
    let leads = service.backend.health().leads;
    let master = "Whether this replica leads";
    gauges.add_labelled("leader_election_master_status", master, ("name", "augur"), f64::from(u8::from(leads)));
    crate::process::gauges(&mut gauges);
    gauges.add(
        "augur_model_in_use",
        "Whether a model has a say",
        Some(f64::from(u8::from(service.backend.model().model_id.is_some()))),
    );
    let age = service.backend.model().age_seconds;
    gauges.add("augur_model_age_seconds", "Age of the model in use, since its training", age);
    history_gauges(&service, &mut gauges);
    prometheus::answer(&headers, Some(&service.metrics), &service.http, &gauges)
}

/// What both services tell of history.
pub(crate) fn history_gauges(service: &Service, gauges: &mut Gauges) {
    let status = service.history.status();
    let performance = service.history.performance();
    let total = performance.total();
    gauges.add_counter("augur_history_dropped", "Records dropped because history could not keep up", status.dropped);
    gauges.add_counter("augur_history_failed_commits", "Writes of history that failed", status.failed_commits);
    gauges.add("augur_feedback_kept", "Feedback records kept", Some(performance.feedback as f64));
    let contradicting = Some(performance.contradicting as f64);
    gauges.add("augur_feedback_contradicting", "Of these, contradicting the cluster, left aside", contradicting);
    gauges.add("augur_predictions_judged", "Predictions of seven days with a verdict", Some(total.judged as f64));
    gauges.add("augur_prediction_accuracy", "Share of judged predictions that went well", total.accuracy());
}

/// Usage, requests, rates and predicted peaks of all nodes, and the cluster in six numbers.
#[utoipa::path(get, path = "/api/v1/metrics", tag = "cluster",
    responses((status = 200, body = ClusterMetrics), (status = 503, body = ErrorBody)))]
pub(crate) async fn metrics(State(service): Shared) -> Result<Response, ApiError> {
    cluster_metrics(&service).await
}

pub(crate) async fn cluster_metrics(service: &Service) -> Result<Response, ApiError> {
    let nodes = service.backend.nodes(false).await?;
    let metrics = ClusterMetrics::new(nodes, &service.history.rates(), service.thresholds, service.clock.now());
    json(&metrics, 512 * metrics.nodes.len() + 512)
}

/// All nodes with what is on them and seven days of history.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "cluster",
    responses((status = 200, body = NodeList), (status = 503, body = ErrorBody)))]
pub(crate) async fn nodes(State(service): Shared) -> Result<Response, ApiError> {
    let mut nodes = service.backend.nodes(true).await?;
    nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let rates = service.history.rates();
    let list = NodeList { nodes: nodes.into_iter().map(|node| NodeDetail::new(node, &rates)).collect() };
    json(&list, 2_048 * list.nodes.len() + 64)
}

/// One node.
#[utoipa::path(get, path = "/api/v1/nodes/{name}", tag = "cluster", params(("name" = String, Path)),
    responses((status = 200, body = NodeDetail), (status = 404, body = ErrorBody)))]
pub(crate) async fn node(State(service): Shared, Path(name): Path<String>) -> Result<Response, ApiError> {
    let nodes = service.backend.nodes(true).await?;
    let node = nodes.into_iter().find(|node| *node.name == *name);
    let node = node.ok_or_else(|| ApiError::not_found("node_not_found", format!("node {name:?} does not exist")))?;
    json(&NodeDetail::new(node, &service.history.rates()), 4_096)
}

/// Where a pod would go. Binds nothing.
#[utoipa::path(post, path = "/api/v1/predict", tag = "predict", request_body = PredictBody,
    responses((status = 200, body = PredictionAnswer), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(crate) async fn predict(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let query = body::<PredictBody>(request, BODY_LIMIT).await?.query(false, true)?;
    prediction(service.predict(query).await?, "{\"prediction\":", "}")
}

/// The model in use.
#[utoipa::path(get, path = "/api/v1/model/status", tag = "model", responses((status = 200, body = ModelStatus)))]
pub(crate) async fn model_status(State(service): Shared) -> Result<Response, ApiError> {
    json(&service.backend.model(), 512)
}

/// Which decisions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DecisionQuery {
    /// Name of the pod, or `namespace/name`.
    pod: Option<String>,
    /// Namespace of the pod.
    namespace: Option<String>,
    /// The chosen node.
    node: Option<String>,
    /// What the pod belongs to, as `namespace/kind/name`.
    workload: Option<String>,
    /// Not older than this: a time (`2026-01-31T12:00:00Z`) or a span before now (`15m`).
    since: Option<String>,
    /// At most so many; 100 when left out, 1,000 at most.
    limit: Option<usize>,
}

/// What `since` says as a point in time.
pub(crate) fn since(text: &str, now: jiff::Timestamp) -> Result<UnixMillis, ApiError> {
    let at = match text.parse::<jiff::Timestamp>() {
        Ok(at) => Some(at),
        Err(_) => text.parse::<jiff::SignedDuration>().ok().and_then(|span| now.checked_sub(span).ok()),
    };
    let at = at.ok_or_else(|| {
        let message = format!("since: {text:?} is neither a time like 2026-01-31T12:00:00Z nor a span like 15m");
        ApiError::bad_request("invalid_query", message)
    })?;
    Ok(UnixMillis(at.as_millisecond()))
}

/// `namespace/kind/name`.
fn workload_key(text: &str) -> Result<WorkloadKey, ApiError> {
    match text.split('/').collect::<Vec<_>>()[..] {
        [namespace, kind, name] => {
            Ok(WorkloadKey { namespace: namespace.into(), kind: kind.into(), name: name.into() })
        }
        _ => Err(ApiError::bad_request("invalid_query", format!("workload: {text:?} is not namespace/kind/name"))),
    }
}

/// The decisions taken, newest first.
#[utoipa::path(get, path = "/api/v1/decisions", tag = "decisions", params(DecisionQuery),
    responses((status = 200, body = DecisionList), (status = 400, body = ErrorBody)))]
pub(crate) async fn decisions(State(service): Shared, uri: Uri) -> Result<Response, ApiError> {
    let q: DecisionQuery = query(&uri)?;
    let since = q.since.as_deref().map(|text| since(text, service.clock.now())).transpose()?;
    let workload = q.workload.as_deref().map(workload_key).transpose()?;
    let limit = q.limit.unwrap_or(100).min(1_000);
    let filter = DecisionFilter { pod: q.pod, namespace: q.namespace, node: q.node, workload, since, limit };
    let found = service.history(move |history| history.decisions(&filter)).await?;
    let list = DecisionList { decisions: found.iter().map(|(r, o)| DecisionView::new(r, o.as_ref())).collect() };
    json(&list, 2_048 * list.decisions.len() + 64)
}

/// Decisions that a report is made of at most: those of a week on a cluster of middle size.
const REPORTED: usize = 200_000;

/// In how many decisions other schedulers and Augur differed, and what following Augur is expected to have changed. Of decisions
/// that were followed in the modes `shadow` and `extender`.
#[utoipa::path(get, path = "/api/v1/shadow/report", tag = "decisions", params(("since" = Option<String>, Query)),
    responses((status = 200, body = ShadowReport), (status = 400, body = ErrorBody)))]
pub(crate) async fn shadow_report(State(service): Shared, uri: Uri) -> Result<Response, ApiError> {
    let q: ReportQuery = query(&uri)?;
    let since = q.since.as_deref().map(|text| since(text, service.clock.now())).transpose()?;
    let filter = DecisionFilter { since, limit: REPORTED, ..DecisionFilter::default() };
    let found = service.history(move |history| history.decisions(&filter)).await?;
    json(&ShadowReport::of(found.iter().map(|(record, outcome)| (record, outcome.as_ref()))), 2_048)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportQuery {
    since: Option<String>,
}

/// One decision.
#[utoipa::path(get, path = "/api/v1/decisions/{id}", tag = "decisions", params(("id" = String, Path)),
    responses((status = 200, body = DecisionView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn decision(State(service): Shared, Path(id): Path<String>) -> Result<Response, ApiError> {
    let parsed =
        id.parse().map_err(|why: String| ApiError::bad_request("invalid_decision_id", format!("{id:?}: {why}")))?;
    let found = service.history(move |history| history.decision(parsed)).await?;
    let (record, outcome) = found.ok_or_else(|| {
        ApiError::not_found("decision_not_found", format!("decision {id} is not in the history of the last seven days"))
    })?;
    json(&DecisionView::new(&record, outcome.as_ref()), 4_096)
}

/// Why this node, why not the others, what change would flip it.
#[utoipa::path(get, path = "/api/v1/pods/{namespace}/{name}/explain", tag = "decisions",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Explanation), (status = 404, body = ErrorBody)))]
pub(crate) async fn explain(
    State(service): Shared,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    // A few, because dry runs for the same pod may have come after its placement.
    let filter = DecisionFilter { pod: Some(format!("{namespace}/{name}")), limit: 50, ..DecisionFilter::default() };
    let found = service.history(move |history| history.decisions(&filter)).await?;
    let real = found.iter().find(|(record, _)| record.kind == DecisionKind::Scheduling);
    let (record, outcome) = real.or(found.first()).ok_or_else(|| {
        let message = format!(
            "no decision about pod {namespace}/{name} in the last seven days; was it placed by another scheduler, or is it younger than a second?"
        );
        ApiError::not_found("decision_not_found", message)
    })?;
    let mut explanation = Explanation::new(record, outcome.as_ref());
    explanation.model = model_part(
        record,
        |id, row, other| service.backend.contrast(id, row, other),
        |id, row| service.backend.confidence(id, row),
    );
    json(&explanation, 8_192)
}

/// Whose usage.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// A node.
    node: Option<String>,
    /// A pod, as `name` or `namespace/name`; without pod or node, all nodes.
    pod: Option<String>,
    /// Not older than this: a time or a span before now; `24h` when left out.
    since: Option<String>,
    /// Spans that the time is divided into; 32 when left out, 1,000 at most.
    points: Option<usize>,
}

/// Usage over time, of nodes or of a pod's containers, up to about ten minutes ago.
#[utoipa::path(get, path = "/api/v1/usage", tag = "cluster", params(UsageQuery),
    responses((status = 200, body = UsageList), (status = 400, body = ErrorBody)))]
pub(crate) async fn usage(State(service): Shared, uri: Uri) -> Result<Response, ApiError> {
    let q: UsageQuery = query(&uri)?;
    let now = service.clock.now();
    let (from, until) = (since(q.since.as_deref().unwrap_or("24h"), now)?, UnixMillis(now.as_millisecond()));
    let points = q.points.unwrap_or(32).clamp(1, 1_000);
    let found = service
        .history(move |history| {
            let mut series = match (&q.pod, &q.node) {
                (Some(pod), _) => {
                    let (namespace, name) = pod.rsplit_once('/').map_or((None, &**pod), |(ns, name)| (Some(ns), name));
                    let mut series = history.usage_series(SeriesOf::Pod(name), from)?;
                    series.retain(|one| namespace.is_none_or(|namespace| *one.namespace == *namespace));
                    series
                }
                (None, Some(node)) => history.usage_series(SeriesOf::Node(node), from)?,
                (None, None) => history.usage_series(SeriesOf::Nodes, from)?,
            };
            if let (Some(_), Some(node)) = (&q.pod, &q.node) {
                series.retain(|one| *one.node == **node);
            }
            Ok(series)
        })
        .await?;
    json(&UsageList::new(&found, from, until, points), 256 + found.len() * (160 + 16 * points))
}

/// Seven days of every workload.
#[utoipa::path(get, path = "/api/v1/workloads", tag = "cluster", responses((status = 200, body = WorkloadList)))]
pub(crate) async fn workloads(State(service): Shared) -> Result<Response, ApiError> {
    let list = WorkloadList::new(&service.history.rates());
    json(&list, 512 * list.workloads.len() + 64)
}

/// Seven days of one workload.
#[utoipa::path(get, path = "/api/v1/workloads/{namespace}/{kind}/{name}", tag = "cluster",
    params(("namespace" = String, Path), ("kind" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = WorkloadView), (status = 404, body = ErrorBody)))]
pub(crate) async fn workload(
    State(service): Shared,
    Path((namespace, kind, name)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let rates = service.history.rates();
    let found = rates.workloads.iter().find(|(key, _)| {
        let WorkloadKey { namespace: ns, kind: k, name: n } = key;
        **ns == *namespace && k.eq_ignore_ascii_case(&kind) && **n == *name
    });
    let (key, rates) = found.ok_or_else(|| {
        let message = format!("no pod of {kind} {namespace}/{name} has been seen in the last seven days");
        ApiError::not_found("workload_not_found", message)
    })?;
    json(&WorkloadView::new(key, rates), 1_024)
}

/// Decisions and outcomes as server-sent events (`decision`, `outcome`, `missed`).
#[utoipa::path(get, path = "/api/v1/events", tag = "decisions",
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 503, body = ErrorBody)))]
pub(crate) async fn events(State(service): Shared) -> Result<Response, ApiError> {
    events::stream(&service.history)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_records_degrade_history_for_a_while_and_not_for_good() {
        let second = |second| jiff::Timestamp::from_second(second).unwrap();
        let told = |dropped, dropped_at: Option<i64>, now| {
            let status = HistoryStatus { dropped, dropped_at: dropped_at.map(UnixMillis), ..HistoryStatus::default() };
            dropped_lately(&status, second(now))
        };
        assert_eq!(told(0, None, 1000), None);
        assert!(told(1, None, 1000).is_some(), "no tick has come since");
        assert!(told(2, Some(1_000_000), 1599).unwrap().starts_with("2 records were dropped"));
        assert_eq!(told(2, Some(1_000_000), 1600), None, "ten minutes without another");
        assert!(told(3, Some(1_700_000), 1701).is_some());
    }
}
