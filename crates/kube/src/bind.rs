//! Binding pods to nodes through `pods/binding`, with bounded retries.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use kube::Client;
use tokio::sync::Semaphore;

use crate::Backoff;

/// Attempts for one binding. Further ones would hold an assumed pod's room longer than a new decision costs.
const ATTEMPTS: u32 = 4;

/// A decision to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's uid, so that a namesake created meanwhile is not bound.
    pub uid: String,
    /// The node.
    pub node: String,
}

/// Why a binding did not come about. In each case the pod's assumed place is to be given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The pod is bound already, deleted, or another pod of the same name: there is nothing more to do for it.
    #[error("the API server refuses the binding: {0}")]
    Refused(String),
    /// The API server did not carry it out in time; the pod is to be tried again. It may still have been bound, which
    /// the watch will show.
    #[error("binding failed after {ATTEMPTS} attempts: {0}")]
    Unavailable(String),
    /// The request itself was rejected (permissions, validation).
    #[error("binding rejected: {0}")]
    Rejected(String),
}

/// Sends bindings, a bounded number at a time.
#[derive(Clone)]
pub struct Binder {
    client: Client,
    in_flight: Arc<Semaphore>,
    timeout: Duration,
}

/// What an answer means for the binding.
enum Verdict {
    Retry(String),
    Stop(BindError),
}

impl Binder {
    /// A binder with at most `in_flight` requests under way, each given `timeout`.
    #[must_use]
    pub fn new(client: Client, in_flight: usize, timeout: Duration) -> Self {
        Binder { client, in_flight: Arc::new(Semaphore::new(in_flight)), timeout }
    }

    /// Binds the pod; waits for a free place among the requests in flight first.
    pub async fn bind(&self, binding: &Binding) -> Result<(), BindError> {
        // The semaphore is never closed, so that the permit is always granted in the end.
        let _permit = self.in_flight.acquire().await;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let mut last = String::new();
        for attempt in 1..=ATTEMPTS {
            let request = request(binding).map_err(|error| BindError::Rejected(error.to_string()))?;
            let verdict = match tokio::time::timeout(self.timeout, self.client.request_text(request)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => judge(&error),
                Err(_) => Verdict::Retry(format!("no answer within {:?}", self.timeout)),
            };
            match verdict {
                Verdict::Stop(error) => return Err(error),
                Verdict::Retry(message) => last = message,
            }
            if attempt < ATTEMPTS {
                tokio::time::sleep(backoff.pause()).await;
            }
        }
        Err(BindError::Unavailable(last))
    }
}

fn request(binding: &Binding) -> Result<Request<Vec<u8>>, http::Error> {
    let body = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": { "name": binding.name, "namespace": binding.namespace, "uid": binding.uid },
        "target": { "apiVersion": "v1", "kind": "Node", "name": binding.node },
    });
    Request::post(format!("/api/v1/namespaces/{}/pods/{}/binding", binding.namespace, binding.name))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes())
}

fn judge(error: &kube::Error) -> Verdict {
    match error {
        kube::Error::Api(status) => match status.code {
            404 | 409 => Verdict::Stop(BindError::Refused(status.message.clone())),
            429 | 500..=599 => Verdict::Retry(status.message.clone()),
            _ => Verdict::Stop(BindError::Rejected(status.message.clone())),
        },
        other => Verdict::Retry(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use http::Response;
    use kube::client::Body;

    use super::*;

    /// Binds against a server that answers the first `fail` requests with `code`; tells the result and the requests.
    async fn bind(code: u16, fail: u32) -> (Result<(), BindError>, u32) {
        let requests = Arc::new(AtomicU32::new(0));
        let seen = requests.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let failing = seen.fetch_add(1, Ordering::SeqCst) < fail;
            let status = serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": if failing { "Failure" } else { "Success" },
                "message": "told so", "reason": "Any", "code": if failing { code } else { 201 },
            });
            let mut response = Response::new(Body::from(status.to_string().into_bytes()));
            *response.status_mut() = http::StatusCode::from_u16(if failing { code } else { 201 }).unwrap();
            async move { Ok::<_, std::io::Error>(response) }
        });
        let binder = Binder::new(crate::from_service(service), 8, Duration::from_secs(5));
        let binding =
            Binding { namespace: "default".into(), name: "web".into(), uid: "1".into(), node: "node-1".into() };
        let result = binder.bind(&binding).await;
        (result, requests.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_conflict_is_final() {
        assert_eq!(bind(409, 1).await, (Err(BindError::Refused("told so".into())), 1));
    }

    #[tokio::test]
    async fn a_missing_permission_is_final() {
        assert_eq!(bind(403, 1).await, (Err(BindError::Rejected("told so".into())), 1));
    }

    #[tokio::test]
    async fn a_server_error_is_tried_again() {
        assert_eq!(bind(500, 1).await, (Ok(()), 2));
    }

    #[tokio::test]
    async fn attempts_are_bounded() {
        assert_eq!(bind(500, u32::MAX).await, (Err(BindError::Unavailable("told so".into())), ATTEMPTS));
    }
}
