//! Sending a request of which only success matters: no text is built from the answer unless it is a refusal.

use std::time::Duration;

use http::{Method, Request, header};
use http_body::Body as _;
use kube::Client;
use kube::client::Body;

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
}

impl Failure {
    fn without_answer(message: String) -> Self {
        Failure { code: None, message, retry_after: None }
    }

    /// Whether the same request may do better later.
    pub fn is_transient(&self) -> bool {
        matches!(self.code, None | Some(429 | 500..=599))
    }
}

#[derive(serde::Deserialize)]
struct Refusal {
    message: String,
}

/// Sends the request and waits for its success, at most for `timeout`.
pub(crate) async fn send(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &'static str,
    body: Vec<u8>,
    timeout: Duration,
) -> Result<(), Failure> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::ACCEPT, "application/json")
        .body(Body::from(body))
        .map_err(|error| Failure { code: Some(400), message: error.to_string(), retry_after: None })?;
    match tokio::time::timeout(timeout, answer(client, request)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::without_answer(format!("no answer within {timeout:?}"))),
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
    })
}

/// Appends a JSON string.
pub(crate) fn push_string(json: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail, and a string is always JSON.
    let _ = serde_json::to_writer(json, text);
}
