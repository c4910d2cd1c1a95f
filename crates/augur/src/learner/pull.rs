//! From the learner to decisions: [`pull`] fetches the promoted model when it has changed, checks it, and takes it into use.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use augur_api::{Check, CheckStatus, LAST_GOOD_HEADER, PROBATION_HEADER};
use augur_clock::Clock;
use augur_learn::{InUse, LearnedModel, Probation};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::client::HttpClient;
use super::swaps::Swaps;

/// How often the learner is asked.
const EVERY: Duration = Duration::from_secs(15);

/// How the learner elsewhere is doing. Cheap to clone.
#[derive(Clone)]
pub struct LearnerCheck(Arc<Mutex<Check>>);

impl LearnerCheck {
    /// Not asked yet.
    pub fn new(url: &str) -> Self {
        Self(Arc::new(Mutex::new(Check::new(CheckStatus::Degraded, format!("{url} has not been asked yet")))))
    }

    /// What was found last.
    pub fn get(&self) -> Check {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, check: Check) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = check;
    }
}

/// Fetches models until the process ends. A learner that does not answer, or answers wrongly, leaves what is in use as it is.
pub async fn pull(client: HttpClient, swaps: Swaps, clock: Clock, check: LearnerCheck) {
    loop {
        match refresh(&client, &swaps, &clock).await {
            Ok(message) => check.set(Check::new(CheckStatus::Healthy, message)),
            Err(error) => {
                tracing::warn!("no model from the learner: {error:#}");
                check.set(Check::new(CheckStatus::Degraded, format!("{error:#}")));
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn refresh(client: &HttpClient, swaps: &Swaps, clock: &Clock) -> anyhow::Result<String> {
    let url = client.url();
    let known = swaps.slot().get();
    let etag = known.champion.as_ref().map(|model| format!("\"{}\"", model.id));
    let mut headers = Vec::new();
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
        headers.push((header::IF_NONE_MATCH, etag));
    }
    let answer = client.call(Method::GET, "/model/snapshot", &headers, Bytes::new()).await?;
    let champion = match answer.status {
        StatusCode::OK => Arc::new(read(&answer.body, &answer.headers, "etag").context(url.to_owned())?),
        StatusCode::NOT_MODIFIED => known.champion.clone().context("the learner says that nothing has changed")?,
        StatusCode::SERVICE_UNAVAILABLE => {
            // It has none, or has taken the last one back.
            if known.champion.is_some() {
                swaps.set(InUse::default(), clock.now(), "learner");
            }
            return Ok(format!("{url} answers; it has promoted no model"));
        }
        status => bail!("{url}/model/snapshot answered {status}"),
    };
    let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let probation = text(PROBATION_HEADER).and_then(|value| {
        let (number, share) = value.split_once(';')?;
        Some(Probation { number: number.parse().ok()?, share: share.parse().ok()? })
    });
    let last_good = match text(LAST_GOOD_HEADER) {
        None => None,
        Some(id) => match known.last_good.iter().chain(&known.champion).find(|model| *model.id == *id) {
            Some(model) => Some(model.clone()),
            None => fetch_last_good(client).await?,
        },
    };
    let message = format!("{url} answers; model {} is in use", champion.id.get(..12).unwrap_or(&champion.id));
    swaps.set(InUse { champion: Some(champion), last_good, probation }, clock.now(), "learner");
    Ok(message)
}

async fn fetch_last_good(client: &HttpClient) -> anyhow::Result<Option<Arc<LearnedModel>>> {
    let answer = client.call(Method::GET, "/model/snapshot?which=last_good", &[], Bytes::new()).await?;
    match answer.status {
        StatusCode::OK => Ok(Some(Arc::new(read(&answer.body, &answer.headers, "etag")?))),
        _ => Ok(None),
    }
}

/// The model of an answer, whose hash must be the one of its ETag.
fn read(body: &[u8], headers: &HeaderMap, name: &str) -> anyhow::Result<LearnedModel> {
    let etag = headers.get(name).and_then(|value| value.to_str().ok()).map(|etag| etag.trim_matches('"'));
    Ok(LearnedModel::read(body, Some(etag.context("the answer has no ETag")?))?)
}
