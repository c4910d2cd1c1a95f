//! Where the learner is, as the scheduler sees it: [`LearnerPlace`].

use std::sync::Arc;

use augur_api::dto::JobView;
use augur_api::{Answer, ApiError, Check, CheckStatus, LearnerBackend};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderValue, Method, StatusCode, header};

use super::client::HttpClient;
use super::feed::Sink;
use super::pull::LearnerCheck;
use super::service::LearnerService;

/// Where the learner is.
#[derive(Clone)]
pub enum LearnerPlace {
    /// In this process.
    Here(Arc<LearnerService>),
    /// Behind an address, and how it is doing.
    There(Box<HttpClient>, LearnerCheck),
    /// There is none.
    Nowhere,
}

impl LearnerPlace {
    /// The learner of this process.
    pub fn here(&self) -> Option<Arc<LearnerService>> {
        match self {
            LearnerPlace::Here(service) => Some(service.clone()),
            _ => None,
        }
    }

    /// The same, as the HTTP service sees it.
    pub fn backend(&self) -> Option<Arc<dyn LearnerBackend>> {
        self.here().map(|service| service as Arc<dyn LearnerBackend>)
    }

    /// Where examples go.
    pub fn sink(&self) -> Sink {
        match self {
            LearnerPlace::Here(service) => Sink::Here(service.clone()),
            LearnerPlace::There(client, _) => Sink::There(client.clone()),
            LearnerPlace::Nowhere => Sink::Nowhere,
        }
    }

    /// How it is doing.
    pub fn check(&self) -> Check {
        match self {
            LearnerPlace::Here(_) => Check::new(CheckStatus::Healthy, "served by this process"),
            LearnerPlace::There(_, check) => check.get(),
            LearnerPlace::Nowhere => Check::new(
                CheckStatus::Degraded,
                "none; --learner-port PORT serves one here, scheduler.ai_api_url names one elsewhere",
            ),
        }
    }

    /// Asks it to train.
    pub fn train(&self, token: Option<HeaderValue>) -> Answer<serde_json::Value> {
        match self {
            LearnerPlace::Here(service) => {
                let job = service.train();
                async move {
                    let job: JobView = job.await?;
                    serde_json::to_value(&job).map_err(|error| ApiError::unavailable("internal", error.to_string()))
                }
                .boxed()
            }
            LearnerPlace::There(client, _) => train_there(HttpClient::clone(client), token).boxed(),
            LearnerPlace::Nowhere => {
                let message = "there is no learner; start `augur learner` and name it in scheduler.ai_api_url, or start the \
                               scheduler with --learner-port";
                async move { Err(ApiError::unavailable("no_learner", message)) }.boxed()
            }
        }
    }
}

async fn train_there(client: HttpClient, token: Option<HeaderValue>) -> Result<serde_json::Value, ApiError> {
    let headers: Vec<_> = token.into_iter().map(|token| (header::AUTHORIZATION, token)).collect();
    let answer = client.call(Method::POST, "/train", &headers, Bytes::new()).await;
    let answer = answer.map_err(|error| ApiError::unavailable("learner_unavailable", format!("{error:#}")))?;
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status != StatusCode::ACCEPTED {
        let message = format!("the learner at {} answered {}: {text}", client.url(), answer.status);
        return Err(ApiError::unavailable("learner_refused", message));
    }
    serde_json::from_str(&text).map_err(|error| ApiError::unavailable("learner_unavailable", error.to_string()))
}
