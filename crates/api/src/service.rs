//! What both services share: their parts, access, bodies, answers and counting.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use augur_clock::Clock;
use augur_history::{HistoryHandle, UnixMillis};
use axum::extract::{MatchedPath, Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode, Uri, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::backend::SchedulerBackend;
use crate::dto::{Prediction, Thresholds};
use crate::error::ApiError;
use crate::learner_backend::LearnerBackend;
use crate::prometheus::{HttpMetrics, SchedulerMetrics};
use crate::unread;

/// Largest body of a request, in bytes; a PodSpec is far smaller.
pub(crate) const BODY_LIMIT: usize = 3 << 20;
/// Largest body of an extender request, which may carry 5,000 whole nodes.
pub(crate) const EXTENDER_BODY_LIMIT: usize = 64 << 20;

/// Who may change state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody who can connect: the service listens on loopback only.
    Loopback,
    /// Whoever presents this bearer token.
    Token(String),
    /// Whoever presents the bearer token that this file holds.
    TokenFile(PathBuf),
    /// Nobody: the service listens beyond loopback, and no token was configured.
    Closed,
}

/// What a cluster says of a bearer token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its user may change state.
    Allowed,
    /// Nobody is known by it.
    Unknown,
    /// Its user, who is named, may not.
    Forbidden(String),
}

/// Knows who may change state besides whoever presents the service's own token.
pub trait Reviewer: Send + Sync + 'static {
    /// Whether the token's user may `POST` to the path. Errors: why there is no answer; nobody is let in then.
    fn review(&self, token: &str, path: &str) -> BoxFuture<'static, Result<Verdict, String>>;
}

/// Settings of the model, as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOptions {
    /// `model.type`.
    pub kind: String,
    /// `model.max_depth`.
    pub max_depth: u32,
    /// `model.n_estimators`.
    pub n_estimators: u32,
    /// `model.random_state`.
    pub random_state: u64,
    /// `online_learning.feedback_threshold`.
    pub feedback_threshold: u64,
    /// `online_learning.performance_threshold`.
    pub performance_threshold: f64,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            kind: "random_forest".to_owned(),
            max_depth: 10,
            n_estimators: 100,
            random_state: 42,
            feedback_threshold: 10,
            performance_threshold: 0.8,
        }
    }
}

/// What the services are made of.
#[derive(Clone)]
pub struct Services {
    /// The engine.
    pub backend: Arc<dyn SchedulerBackend>,
    /// The learner, if it runs in this process.
    pub learner: Option<Arc<dyn LearnerBackend>>,
    /// Seven days of memory.
    pub history: HistoryHandle,
    /// The time.
    pub clock: Clock,
    /// What the engine counts.
    pub metrics: Arc<SchedulerMetrics>,
    /// Who may change state.
    pub access: Access,
    /// Who knows others that may; with it nobody may change state without a token.
    pub reviewer: Option<Arc<dyn Reviewer>>,
    /// Above which usage a node counts as under pressure.
    pub thresholds: Thresholds,
    /// Settings of the model.
    pub model: ModelOptions,
    /// Version of the program.
    pub version: String,
    /// The settings in effect, as `/configz` shows them.
    pub configz: Arc<serde_json::Value>,
}

/// One service.
pub(crate) struct Service {
    pub parts: Services,
    pub http: HttpMetrics,
    /// One export at a time.
    pub exports: Arc<Semaphore>,
    /// Feedback on decisions that had some.
    repeated_feedback: AtomicU64,
}

pub(crate) type Shared = State<Arc<Service>>;

impl std::ops::Deref for Service {
    type Target = Services;
    fn deref(&self) -> &Services {
        &self.parts
    }
}

impl Service {
    /// Over its parts, under the name that its metrics carry.
    pub fn new(parts: Services, name: &'static str) -> Self {
        Self {
            parts,
            http: HttpMetrics::new(name),
            exports: Arc::new(Semaphore::new(1)),
            repeated_feedback: AtomicU64::new(0),
        }
    }

    pub fn count_repeated_feedback(&self) {
        self.repeated_feedback.fetch_add(1, Ordering::Relaxed);
    }

    /// Feedback on decisions that had some, since the start.
    pub fn repeated_feedback(&self) -> u64 {
        self.repeated_feedback.load(Ordering::Relaxed)
    }

    pub fn now(&self) -> UnixMillis {
        UnixMillis(self.clock.now().as_millisecond())
    }

    /// Refuses whoever may not change state, and pages of other sites in the browser of somebody who may.
    pub async fn authorize(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
        let text = |name| headers.get(name).and_then(|v: &http::HeaderValue| v.to_str().ok());
        if let Some(origin) = text(header::ORIGIN)
            && origin.split_once("://").map(|(_, host)| host) != text(header::HOST)
        {
            let message = format!("a page of {origin} may not change state here");
            return Err(ApiError::new(StatusCode::FORBIDDEN, "cross_origin", message));
        }
        let Some(reviewer) = &self.reviewer else { return self.by_own_token(headers) };
        let own = matches!(self.access, Access::Token(_) | Access::TokenFile(_));
        if own && self.by_own_token(headers).is_ok() {
            return Ok(());
        }
        let token = bearer(headers).ok_or_else(token_required)?;
        match reviewer.review(token, uri.path()).await {
            Ok(Verdict::Allowed) => Ok(()),
            Ok(Verdict::Unknown) => {
                let message = "neither this service nor the cluster knows the bearer token";
                Err(ApiError::new(StatusCode::UNAUTHORIZED, "unknown_token", message))
            }
            Ok(Verdict::Forbidden(user)) => {
                let path = uri.path();
                let message = format!(
                    "{user} may not post to {path}: bind a ClusterRole to them with nonResourceURLs [\"{path}\"] and verbs [\"post\"]"
                );
                Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message))
            }
            Err(why) => Err(ApiError::unavailable(
                "token_review_failed",
                format!("the cluster cannot be asked about the token: {why}"),
            )),
        }
    }

    fn by_own_token(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match &self.access {
            Access::Loopback => Ok(()),
            Access::Closed => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "no_token_configured",
                "this service listens beyond loopback and was started without a token; start it with one to change state",
            )),
            Access::Token(token) => presents(headers, token),
            Access::TokenFile(file) => match std::fs::read_to_string(file) {
                Ok(token) if !token.trim().is_empty() => presents(headers, token.trim()),
                found => {
                    let why = found.map_or_else(|error| error.to_string(), |_| "it is empty".to_owned());
                    let message = format!("the token file {} cannot be used: {why}", file.display());
                    Err(ApiError::unavailable("no_token", message))
                }
            },
        }
    }

    /// Reads history off the async threads.
    pub async fn history<T: Send + 'static>(
        &self,
        read: impl FnOnce(&HistoryHandle) -> Result<T, augur_history::HistoryError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let history = self.history.clone();
        match tokio::task::spawn_blocking(move || read(&history)).await {
            Ok(result) => Ok(result?),
            Err(error) => Err(ApiError::unavailable("history_unavailable", format!("reading history failed: {error}"))),
        }
    }
}

/// Refuses a request without this bearer token.
fn presents(headers: &HeaderMap, token: &str) -> Result<(), ApiError> {
    match bearer(headers) {
        Some(given) if equal(given.as_bytes(), token.as_bytes()) => Ok(()),
        Some(_) => Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_token", "the bearer token is wrong")),
        None => Err(token_required()),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

fn token_required() -> ApiError {
    let message = "this endpoint changes state; send the header `Authorization: Bearer TOKEN`";
    ApiError::new(StatusCode::UNAUTHORIZED, "token_required", message)
}

/// Compares without telling by its time how much was right.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

/// Reads a JSON body of at most `limit` bytes.
pub(crate) async fn body<T: DeserializeOwned>(request: Request, limit: usize) -> Result<T, ApiError> {
    let mut stream = request.into_body().into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|e| ApiError::bad_request("body_unreadable", format!("the body cannot be read: {e}")))?;
        if bytes.len() + chunk.len() > limit {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body is larger than {limit} bytes"),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).map_err(|e| {
        let details = serde_json::json!({ "line": e.line(), "column": e.column() });
        match e.classify() {
            serde_json::error::Category::Data => ApiError::unprocessable("invalid_body", e.to_string()),
            _ => ApiError::bad_request("malformed_json", format!("malformed JSON: {e}")),
        }
        .with(details)
    })
}

/// Reads the query of a request.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, ApiError> {
    Query::try_from_uri(uri).map(|Query(value)| value).map_err(|e| {
        ApiError::bad_request(
            "invalid_query",
            format!("{}: {uri}", e.body_text().trim_start_matches("Failed to deserialize query string: ")),
        )
    })
}

/// A JSON answer, serialised straight into one buffer of about the right size.
pub(crate) fn json<T: Serialize>(value: &T, size: usize) -> Result<Response, ApiError> {
    answer(StatusCode::OK, value, size)
}

/// A JSON answer of any status.
pub(crate) fn answer<T: Serialize>(status: StatusCode, value: &T, size: usize) -> Result<Response, ApiError> {
    let mut bytes = Vec::with_capacity(size);
    serde_json::to_writer(&mut bytes, value).map_err(|e| unwritable(&e))?;
    Ok((status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// A prediction between `before` and `after`.
pub(crate) fn prediction(prediction: Prediction, before: &str, after: &str) -> Result<Response, ApiError> {
    let bytes = prediction.into_json(before, after).map_err(|e| unwritable(&e))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

fn unwritable(error: &serde_json::Error) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("the answer cannot be written: {error}"))
}

/// Counts and times every request, and has it read to its end ([`unread`]).
pub(crate) async fn observe(State(service): Shared, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    // Unknown paths share one label, so that nobody can fill the memory with them.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let (request, rest) = unread::lend(request);
    let response = next.run(request).await;
    let method = if route == "unmatched" { "any" } else { method.as_str() };
    service.http.request(method, &route, response.status().as_u16(), started.elapsed());
    rest.read().await;
    response
}

pub(crate) async fn no_such_path(uri: Uri) -> ApiError {
    ApiError::not_found("no_such_path", format!("{} does not exist; /docs lists what does", uri.path()))
}

pub(crate) async fn wrong_method(method: http::Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} does not answer {method}; /docs lists what it does", uri.path()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_equal_only_when_they_are() {
        assert!(equal(b"abc", b"abc"));
        assert!(!equal(b"abc", b"abd"));
        assert!(!equal(b"abc", b"ab"));
    }
}
