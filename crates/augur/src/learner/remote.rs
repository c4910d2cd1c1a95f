//! The scheduler service as a learner process of its own sees it: [`RemoteScheduler`] answers for its health, and
//! [`with_scheduler`] passes on what only the scheduler can answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use augur_api::dto::{Outlook, Prediction, WhatIfAnswer, WhatIfBody};
use augur_api::{
    Answer, ApiError, Binding, Candidate, Check, CheckStatus, Health, ModelStatus, NodeView, PodQuery, SchedulerBackend,
};
use augur_learn::FeatureVector;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderValue, Method, header};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tower::ServiceExt as _;

use super::client::HttpClient;

/// Largest body that is passed on.
const BODY_LIMIT: usize = 3 << 20;
/// How often the scheduler service is asked how it is.
const EVERY: Duration = Duration::from_secs(10);

/// The scheduler service at an address, or none.
#[derive(Clone)]
pub struct RemoteScheduler {
    client: Option<HttpClient>,
    check: Arc<Mutex<Check>>,
}

impl RemoteScheduler {
    /// The service behind a client.
    pub fn new(client: Option<HttpClient>) -> Self {
        let message = match &client {
            Some(client) => format!("{} has not been asked yet", client.url()),
            None => "no scheduler is configured; start with --scheduler-url URL".to_owned(),
        };
        RemoteScheduler { client, check: Arc::new(Mutex::new(Check::new(CheckStatus::Unhealthy, message))) }
    }

    /// Asks how it is until the process ends.
    pub async fn watch(self) {
        let Some(client) = self.client.clone() else { return };
        loop {
            let check = match client.call(Method::GET, "/health", &[], Bytes::new()).await {
                Ok(answer) if answer.status.is_success() => {
                    Check::new(CheckStatus::Healthy, format!("the scheduler at {} is well", client.url()))
                }
                Ok(answer) => {
                    let message = format!("the scheduler at {} answered {}", client.url(), answer.status);
                    Check::new(CheckStatus::Unhealthy, message)
                }
                Err(error) => Check::new(CheckStatus::Unhealthy, format!("{error:#}")),
            };
            *self.check.lock().unwrap_or_else(PoisonError::into_inner) = check;
            tokio::time::sleep(EVERY).await;
        }
    }

    fn elsewhere<T: Send + 'static>(&self) -> Answer<T> {
        let message = match &self.client {
            Some(client) => format!("ask the scheduler at {}", client.url()),
            None => "no scheduler is configured; start with --scheduler-url URL".to_owned(),
        };
        async move { Err(ApiError::unavailable("scheduler_elsewhere", message)) }.boxed()
    }
}

impl SchedulerBackend for RemoteScheduler {
    fn health(&self) -> Health {
        let kubernetes = self.check.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let elsewhere = || Check::new(kubernetes.status, "told by the scheduler");
        Health {
            metrics_api: elsewhere(),
            learner: Check::new(CheckStatus::Healthy, "this process"),
            model: elsewhere(),
            leader: elsewhere(),
            alive: true,
            leads: false,
            ready: kubernetes.status == CheckStatus::Healthy,
            kubernetes,
        }
    }

    fn nodes(&self, _: bool) -> Answer<Vec<NodeView>> {
        self.elsewhere()
    }

    fn predict(&self, _: PodQuery) -> Answer<Prediction> {
        self.elsewhere()
    }

    fn what_if(&self, _: WhatIfBody) -> Answer<WhatIfAnswer> {
        self.elsewhere()
    }

    fn outlook(&self, _: String, _: String) -> Answer<Outlook> {
        self.elsewhere()
    }

    fn features(&self, _: PodQuery) -> Answer<Vec<(Arc<str>, FeatureVector)>> {
        self.elsewhere()
    }

    fn preempt(&self, _: Box<RawValue>, _: Vec<Candidate>) -> Answer<Vec<bool>> {
        self.elsewhere()
    }

    fn bind(&self, _: Binding) -> Answer<()> {
        self.elsewhere()
    }

    fn train(&self, _: Option<HeaderValue>) -> Answer<serde_json::Value> {
        self.elsewhere()
    }

    fn contrast(&self, _: &str, _: &[Option<f64>], _: &[Option<f64>]) -> Option<Vec<(&'static str, f64)>> {
        None
    }

    fn model(&self) -> ModelStatus {
        ModelStatus {
            model_id: None,
            schema: augur_learn::SCHEMA.to_owned(),
            trained_at: None,
            age_seconds: None,
            source: None,
            last_swap: None,
            fallback_reason: Some("the scheduler decides elsewhere".to_owned()),
        }
    }
}

/// The learner's routes, where predictions and features are asked of the scheduler service.
pub fn with_scheduler(learner: Router, client: HttpClient) -> Router {
    Router::new()
        .route("/predict", post(predict))
        .route("/data/features", post(features))
        .route("/metrics", get(metrics))
        .with_state(Front { client, learner: learner.clone() })
        .fallback_service(learner)
}

/// What is asked of the scheduler service, and the learner for everything else.
#[derive(Clone)]
struct Front {
    client: HttpClient,
    learner: Router,
}

/// Whether a body names a specification, which the learner's contract asks for and the scheduler's does not.
#[derive(Deserialize)]
struct Specified {
    pod_spec: Option<IgnoredAny>,
}

async fn predict(State(front): State<Front>, request: Request) -> Response {
    let answer = async {
        let body = whole(request).await?;
        if serde_json::from_slice::<Specified>(&body).is_ok_and(|body| body.pod_spec.is_none()) {
            return Err(ApiError::unprocessable("invalid_body", "pod_spec: is required"));
        }
        ask(&front.client, Method::POST, "/api/v1/predict", body).await
    };
    match answer.await {
        Ok(answer) => unwrapped(answer),
        Err(error) => error.into_response(),
    }
}

/// The learner's own numbers; the cluster's, for who asks for JSON, are with the scheduler.
async fn metrics(State(front): State<Front>, request: Request) -> Response {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !accept.contains("application/json") {
        let Ok(answer) = front.learner.oneshot(request).await;
        return answer;
    }
    ask(&front.client, Method::GET, "/api/v1/metrics", Bytes::new()).await.unwrap_or_else(IntoResponse::into_response)
}

async fn features(State(front): State<Front>, request: Request) -> Response {
    let answer = async {
        let body = whole(request).await?;
        ask(&front.client, Method::POST, "/data/features", body).await
    };
    match answer.await {
        Ok(answer) => answer,
        Err(error) => error.into_response(),
    }
}

/// The prediction out of its envelope: `{"prediction": X}` is X here.
fn unwrapped(answer: Response) -> Response {
    let (parts, body) = answer.into_parts();
    if !parts.status.is_success() {
        return Response::from_parts(parts, body);
    }
    let collected = body.collect();
    // The body is whole already, so that this is ready at once.
    let Some(Ok(bytes)) = collected.now_or_never().map(|whole| whole.map(http_body_util::Collected::to_bytes)) else {
        return ApiError::unavailable("scheduler_unavailable", "the scheduler's answer cannot be read").into_response();
    };
    let text = bytes.strip_prefix(b"{\"prediction\":").and_then(|rest| rest.strip_suffix(b"}"));
    let inner = text.map_or_else(|| bytes.clone(), |inner| bytes.slice_ref(inner));
    ([(header::CONTENT_TYPE, "application/json")], inner).into_response()
}

async fn whole(request: Request) -> Result<Bytes, ApiError> {
    let body = Limited::new(request.into_body(), BODY_LIMIT).collect().await;
    Ok(body.map_err(|error| ApiError::bad_request("body_unreadable", error.to_string()))?.to_bytes())
}

async fn ask(client: &HttpClient, method: Method, path: &str, body: Bytes) -> Result<Response, ApiError> {
    let answer = client.call(method, path, &[], body).await;
    let answer = answer.map_err(|error| ApiError::unavailable("scheduler_unavailable", format!("{error:#}")))?;
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    if let Some(kind) = answer.headers.get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    Ok(response)
}
