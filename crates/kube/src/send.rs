//! Requests that change the cluster. Of these only success matters: no text is built from the answer unless it is a refusal. All
//! go through a [`Writer`], so that none is sent by a replica that does not lead.

use std::time::Duration;

use http::{Method, Request, header};
use http_body::Body as _;
use kube::Client;
use kube::client::Body;
use serde::de::DeserializeOwned;

use crate::lease::Fence;

/// The most that is read of a refusal.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The HTTP status; `None` when there was no answer.
    pub code: Option<u16>,
    /// The server's message, or what kept the answer away.
    pub message: String,
    /// The pause that the server asks for.
    pub retry_after: Option<Duration>,
    /// Whether the request was not sent, or cut off, because this replica does not lead.
    fenced: bool,
    /// Whether it may have reached the server.
    sent: bool,
}

impl Failure {
    fn without_answer(message: String) -> Self {
        Failure { code: None, message, retry_after: None, fenced: false, sent: true }
    }

    /// Whether the object that the request means is gone, or another of its name is there. Other conflicts pass.
    pub fn is_gone(&self) -> bool {
        self.code == Some(404) || (self.code == Some(409) && self.message.contains("UID"))
    }

    /// Whether the request may have been carried out nevertheless.
    pub fn leaves_doubt(&self) -> bool {
        self.sent && matches!(self.code, None | Some(500..=599))
    }

    /// Whether the same request may do better later.
    pub fn is_transient(&self) -> bool {
        !self.fenced && matches!(self.code, None | Some(429 | 500..=599))
    }
}

#[derive(serde::Deserialize)]
struct Refusal {
    message: String,
}

/// The way to the API server of a replica that may have to stop. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    fence: Fence,
}

impl Writer {
    /// A writer that sends while the fence permits.
    #[must_use]
    pub fn new(client: Client, fence: Fence) -> Self {
        Writer { client, fence }
    }
}

impl Writer {
    /// The outcome of something that changes the cluster by another way than the API server, if this replica leads all along;
    /// `None` with whether it may have begun otherwise.
    pub(crate) async fn while_leading<T>(&self, work: impl Future<Output = T>) -> Result<T, bool> {
        let Some(left) = self.fence.permit() else { return Err(false) };
        match self.fence.while_open(tokio::time::timeout(left, work)).await {
            Some(Ok(done)) => Ok(done),
            Some(Err(_)) | None => Err(true),
        }
    }
}

impl From<Client> for Writer {
    /// A writer without election.
    fn from(client: Client) -> Self {
        Writer::new(client, Fence::open())
    }
}

/// Sends the request and waits for its success, at most for `timeout`, and not beyond the end of the lease.
pub(crate) async fn send(
    Writer { client, fence }: &Writer,
    method: Method,
    path: &str,
    content_type: &'static str,
    body: Vec<u8>,
    timeout: Duration,
) -> Result<(), Failure> {
    let Some(left) = fence.permit() else {
        return Err(Failure {
            fenced: true,
            sent: false,
            ..Failure::without_answer("this replica does not lead any more".to_owned())
        });
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::ACCEPT, "application/json")
        .body(Body::from(body))
        .map_err(|error| Failure { code: Some(400), ..Failure::without_answer(error.to_string()) })?;
    let ended =
        || Failure { fenced: true, ..Failure::without_answer("the lease ended before an answer came".to_owned()) };
    match fence.while_open(tokio::time::timeout(timeout.min(left), answer(client, request))).await {
        Some(Ok(result)) => result,
        Some(Err(_)) if left >= timeout => Err(Failure::without_answer(format!("no answer within {timeout:?}"))),
        Some(Err(_)) | None => Err(ended()),
    }
}

async fn answer(client: &Client, request: Request<Body>) -> Result<(), Failure> {
    let response = client.send(request).await.map_err(|error| Failure::without_answer(error.to_string()))?;
    let (head, body) = response.into_parts();
    let mut body = std::pin::pin!(body);
    let mut refusal = Vec::new();
    // Also the answer to a success is read to its end, because only then the connection serves the next request.
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| Failure::without_answer(error.to_string()))?;
        if let (false, Ok(data)) = (head.status.is_success(), frame.into_data()) {
            refusal.extend_from_slice(&data[..data.len().min(REFUSAL_LIMIT - refusal.len())]);
        }
    }
    if head.status.is_success() {
        return Ok(());
    }
    let seconds = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Err(Failure {
        code: Some(head.status.as_u16()),
        message: match serde_json::from_slice::<Refusal>(&refusal) {
            Ok(refusal) => refusal.message,
            Err(_) => head.status.to_string(),
        },
        retry_after: seconds.map(Duration::from_secs),
        fenced: false,
        sent: true,
    })
}

/// Asks for an object; what is only read passes no fence.
pub(crate) async fn get<T: DeserializeOwned>(
    Writer { client, .. }: &Writer,
    path: &str,
    timeout: Duration,
) -> Result<T, Failure> {
    let refused = |code, message| Failure { code: Some(code), ..Failure::without_answer(message) };
    let request = Request::get(path).header(header::ACCEPT, "application/json").body(Vec::new());
    let request = request.map_err(|error| refused(400, error.to_string()))?;
    match tokio::time::timeout(timeout, client.request::<T>(request)).await {
        Ok(Ok(object)) => Ok(object),
        Ok(Err(kube::Error::Api(status))) => Err(refused(status.code, status.message.clone())),
        Ok(Err(error)) => Err(Failure::without_answer(error.to_string())),
        Err(_) => Err(Failure::without_answer(format!("no answer within {timeout:?}"))),
    }
}

/// Makes an object, within the fence; as the server made it.
pub(crate) async fn create<T: DeserializeOwned>(
    Writer { client, fence }: &Writer,
    path: &str,
    body: &serde_json::Value,
    timeout: Duration,
) -> Result<T, Failure> {
    let refused = |code, message| Failure { code: Some(code), ..Failure::without_answer(message) };
    let Some(left) = fence.permit() else {
        return Err(Failure {
            fenced: true,
            sent: false,
            ..Failure::without_answer("this replica does not lead".to_owned())
        });
    };
    let request =
        Request::post(path).header(header::CONTENT_TYPE, "application/json").body(body.to_string().into_bytes());
    let request = request.map_err(|error| refused(400, error.to_string()))?;
    match fence.while_open(tokio::time::timeout(timeout.min(left), client.request::<T>(request))).await {
        Some(Ok(Ok(object))) => Ok(object),
        Some(Ok(Err(kube::Error::Api(status)))) => Err(refused(status.code, status.message.clone())),
        Some(Ok(Err(error))) => Err(Failure::without_answer(error.to_string())),
        Some(Err(_)) => Err(Failure::without_answer(format!("no answer within {timeout:?}"))),
        None => {
            Err(Failure { fenced: true, ..Failure::without_answer("the lease ended before an answer came".to_owned()) })
        }
    }
}

/// Appends a JSON string.
pub(crate) fn push_string(json: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail, and a string is always JSON.
    let _ = serde_json::to_writer(json, text);
}

/// Appends a condition's member that tells which generation of the object it is about, where that is known.
pub(crate) fn push_observed(json: &mut Vec<u8>, generation: u32) {
    if generation > 0 {
        json.extend_from_slice(format!(r#","observedGeneration":{generation}"#).as_bytes());
    }
}
