//! Binding pods to nodes through `pods/binding`, with bounded retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use http::Method;
use tokio::sync::Semaphore;

use crate::Backoff;
use crate::send::{Writer, push_string, send};

/// Attempts for one binding. Further ones would hold an assumed pod's room longer than a new decision costs.
const ATTEMPTS: u32 = 4;

/// The longest pause that a server may ask for between two attempts; more is not worth holding the room.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A decision to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The pod's namespace.
    pub namespace: Arc<str>,
    /// The pod's name.
    pub name: Arc<str>,
    /// The pod's uid, so that a namesake created meanwhile is not bound.
    pub uid: Arc<str>,
    /// The node.
    pub node: Arc<str>,
}

/// A binding's leave to be sent, which can be taken back until it is.
#[derive(Debug, Clone, Default)]
pub struct Ticket(Arc<AtomicU8>);

const UNSENT: u8 = 0;
const SENT: u8 = 1;
const RECALLED: u8 = 2;

impl Ticket {
    /// Takes the leave back; false if the binding was sent already.
    #[must_use]
    pub fn recall(&self) -> bool {
        self.0.compare_exchange(UNSENT, RECALLED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Uses the leave; false if it was taken back.
    fn send(&self) -> bool {
        self.0.compare_exchange(UNSENT, SENT, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
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
    /// It was recalled before it was sent.
    #[error("the node has changed since the decision")]
    Recalled,
    /// The request itself was rejected (permissions, validation), or this replica does not lead any more.
    #[error("binding rejected: {0}")]
    Rejected(String),
}

/// Sends bindings, a bounded number at a time.
#[derive(Clone)]
pub struct Binder {
    writer: Writer,
    in_flight: Arc<Semaphore>,
    most: usize,
    timeout: Duration,
}

impl Binder {
    /// A binder with at most `in_flight` requests under way, each given `timeout`.
    #[must_use]
    pub fn new(writer: impl Into<Writer>, in_flight: usize, timeout: Duration) -> Self {
        Binder { writer: writer.into(), in_flight: Arc::new(Semaphore::new(in_flight)), most: in_flight, timeout }
    }

    /// How many requests are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.most.saturating_sub(self.in_flight.available_permits())
    }

    /// Binds the pod; waits for a free place among the requests in flight first. Until then the ticket can be recalled.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(&self, binding: &Binding, ticket: &Ticket) -> Result<(), BindError> {
        // The semaphore is never closed, so that the permit is always granted in the end.
        let _permit = self.in_flight.acquire().await;
        if !ticket.send() {
            return Err(BindError::Recalled);
        }
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let path = format!("/api/v1/namespaces/{}/pods/{}/binding", binding.namespace, binding.name);
        for attempt in 1.. {
            let sent = send(&self.writer, Method::POST, &path, "application/json", body(binding), self.timeout).await;
            let Err(failure) = sent else { return Ok(()) };
            // An earlier attempt went through although its answer got lost.
            if failure.code == Some(409) && failure.message.contains(&format!("assigned to node \"{}\"", binding.node))
            {
                return Ok(());
            }
            if !failure.is_transient() {
                return Err(match failure.code {
                    Some(404 | 409) => BindError::Refused(failure.message),
                    _ => BindError::Rejected(failure.message),
                });
            }
            if attempt == ATTEMPTS {
                return Err(BindError::Unavailable(failure.message));
            }
            let asked = failure.retry_after.unwrap_or_default().min(LONGEST_PAUSE);
            tokio::time::sleep(backoff.pause().max(asked)).await;
        }
        Ok(())
    }
}

fn body(binding: &Binding) -> Vec<u8> {
    let mut json = Vec::with_capacity(256);
    json.extend_from_slice(br#"{"apiVersion":"v1","kind":"Binding","metadata":{"name":"#);
    push_string(&mut json, &binding.name);
    json.extend_from_slice(br#","namespace":"#);
    push_string(&mut json, &binding.namespace);
    json.extend_from_slice(br#","uid":"#);
    push_string(&mut json, &binding.uid);
    json.extend_from_slice(br#"},"target":{"apiVersion":"v1","kind":"Node","name":"#);
    push_string(&mut json, &binding.node);
    json.extend_from_slice(b"}}");
    json
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    async fn bind(code: u16, fail: u32) -> (Result<(), BindError>, u32) {
        bind_against("told so", code, fail).await
    }

    /// Binds against a server that answers the first `fail` requests with `code`; tells the result and the requests.
    async fn bind_against(message: &'static str, code: u16, fail: u32) -> (Result<(), BindError>, u32) {
        let requests = Arc::new(AtomicU32::new(0));
        let seen = requests.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let failing = seen.fetch_add(1, Ordering::SeqCst) < fail;
            let status = serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": if failing { "Failure" } else { "Success" },
                "message": message, "reason": "Any", "code": if failing { code } else { 201 },
            });
            let mut response = Response::new(Body::from(status.to_string().into_bytes()));
            *response.status_mut() = http::StatusCode::from_u16(if failing { code } else { 201 }).unwrap();
            async move { Ok::<_, std::io::Error>(response) }
        });
        let binder = Binder::new(crate::from_service(service), 8, Duration::from_secs(5));
        let result = binder.bind(&binding(), &Ticket::default()).await;
        (result, requests.load(Ordering::SeqCst))
    }

    fn binding() -> Binding {
        Binding { namespace: "default".into(), name: "web".into(), uid: "1".into(), node: "node-1".into() }
    }

    #[tokio::test]
    async fn a_conflict_is_final() {
        assert_eq!(bind(409, 1).await, (Err(BindError::Refused("told so".into())), 1));
    }

    #[tokio::test]
    async fn a_pod_that_is_on_the_node_already_is_bound() {
        let elsewhere = "pod web is already assigned to node \"node-10\"";
        assert_eq!(bind_against(elsewhere, 409, 1).await, (Err(BindError::Refused(elsewhere.into())), 1));
        assert_eq!(bind_against("pod web is already assigned to node \"node-1\"", 409, 1).await, (Ok(()), 1));
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

    #[tokio::test]
    async fn a_request_is_given_up_when_its_time_is_over() {
        let service =
            tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, std::io::Error>>());
        let binder = Binder::new(crate::from_service(service), 8, Duration::ZERO);
        assert_eq!(
            binder.bind(&binding(), &Ticket::default()).await,
            Err(BindError::Unavailable("no answer within 0ns".into()))
        );
    }

    #[tokio::test]
    async fn a_binding_can_be_recalled_until_it_is_sent() {
        let service = tower::service_fn(|_: Request<Body>| async {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = http::StatusCode::CREATED;
            Ok::<_, std::io::Error>(response)
        });
        let binder = Binder::new(crate::from_service(service), 8, Duration::from_secs(5));
        let ticket = Ticket::default();
        assert!(ticket.recall());
        assert_eq!(binder.bind(&binding(), &ticket).await, Err(BindError::Recalled));
        let ticket = Ticket::default();
        assert_eq!(binder.bind(&binding(), &ticket).await, Ok(()));
        assert!(!ticket.recall(), "it is on its way");
    }

    #[test]
    fn the_body_is_a_binding() {
        let body: serde_json::Value = serde_json::from_slice(&body(&binding())).unwrap();
        let expected = serde_json::json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "web", "namespace": "default", "uid": "1" },
            "target": { "apiVersion": "v1", "kind": "Node", "name": "node-1" },
        });
        assert_eq!(body, expected);
    }
}
