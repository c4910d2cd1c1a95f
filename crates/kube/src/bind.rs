//! Binding pods to nodes through `pods/binding`, with bounded retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use http::Method;
use tokio::sync::Semaphore;

use crate::send::{Writer, get, push_string, send};
use crate::{Backoff, ExtenderClient};

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
    /// The extender that binds did not, for this reason; the pod is to be tried again.
    #[error("{0}")]
    Extender(String),
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
        let mut doubt = false;
        for attempt in 1.. {
            let sent = send(&self.writer, Method::POST, &path, "application/json", body(binding), self.timeout).await;
            let Err(failure) = sent else { return Ok(()) };
            // An earlier attempt went through although its answer got lost.
            if failure.code == Some(409) && failure.message.contains(&format!("assigned to node \"{}\"", binding.node))
            {
                return Ok(());
            }
            doubt |= failure.leaves_doubt();
            if !failure.is_transient() || attempt == ATTEMPTS {
                // To give the pod's place away while it may have it would overcommit the node.
                if doubt && let Some(outcome) = self.look_up(binding).await {
                    return outcome;
                }
                return Err(match failure.code {
                    Some(404 | 409) => BindError::Refused(failure.message),
                    _ if failure.is_transient() => BindError::Unavailable(failure.message),
                    _ => BindError::Rejected(failure.message),
                });
            }
            let asked = failure.retry_after.unwrap_or_default().min(LONGEST_PAUSE);
            tokio::time::sleep(backoff.pause().max(asked)).await;
        }
        Ok(())
    }

    /// Has an extender bind the pod, as [`Binder::bind`] does it; without an answer it is asked what became of the pod. An extender
    /// that can be done without has the pod bound by the API server when it fails.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind_through(
        &self,
        extender: &ExtenderClient,
        ignorable: bool,
        binding: &Binding,
        ticket: &Ticket,
    ) -> Result<(), BindError> {
        // See `bind`.
        let permit = self.in_flight.acquire().await;
        if !ticket.send() {
            return Err(BindError::Recalled);
        }
        let lost = || BindError::Rejected("this replica does not lead any more".to_owned());
        let error = match self.writer.while_leading(extender.bind(binding)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(false) => return Err(lost()),
            Err(true) => return self.look_up(binding).await.unwrap_or_else(|| Err(lost())),
        };
        // It may have bound the pod although it says that it failed, or says nothing.
        if let Some(outcome) = self.look_up(binding).await {
            return outcome;
        }
        if !ignorable {
            return Err(BindError::Extender(error));
        }
        tracing::info!(extender = extender.name(), %error, "skipped at binding, as it may be");
        drop(permit);
        self.bind(binding, &Ticket::default()).await
    }

    /// What became of a binding that may or may not have been carried out, as soon as the API server says it; `None` when it was
    /// not carried out.
    async fn look_up(&self, binding: &Binding) -> Option<Result<(), BindError>> {
        let path = format!("/api/v1/namespaces/{}/pods/{}", binding.namespace, binding.name);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));
        loop {
            match get::<Placed>(&self.writer, &path, self.timeout).await {
                Ok(Placed { metadata, .. }) if metadata.uid != *binding.uid => {
                    return Some(Err(BindError::Refused("the pod is gone; there is another of its name".to_owned())));
                }
                Ok(Placed { spec: PlacedSpec { node_name: Some(node) }, .. }) if !node.is_empty() => {
                    let elsewhere = || BindError::Refused(format!("the pod is assigned to node {node:?}"));
                    return Some(if *node == *binding.node { Ok(()) } else { Err(elsewhere()) });
                }
                Ok(_) => return None,
                Err(failure) if failure.is_gone() => return Some(Err(BindError::Refused(failure.message))),
                // Asking again will not help; the watch has to tell.
                Err(failure) if matches!(failure.code, Some(401 | 403)) => return None,
                Err(failure) => {
                    let asked = failure.retry_after.unwrap_or_default().min(LONGEST_PAUSE);
                    tokio::time::sleep(backoff.pause().max(asked)).await;
                }
            }
        }
    }
}

/// Of a pod, where it is.
#[derive(serde::Deserialize)]
struct Placed {
    metadata: PlacedMeta,
    spec: PlacedSpec,
}

#[derive(serde::Deserialize)]
struct PlacedMeta {
    uid: String,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlacedSpec {
    node_name: Option<String>,
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
        let code = move |request: u32| if request < fail { code } else { 201 };
        bind_in_doubt(code, message, r#"{"metadata":{"uid":"1"},"spec":{}}"#).await
    }

    /// The same against a server that answers each binding with the status of its number, and says `pod` when it is asked for
    /// the pod, after it failed to once.
    async fn bind_in_doubt(
        code: impl Fn(u32) -> u16 + Clone + Send + 'static,
        message: &'static str,
        pod: &'static str,
    ) -> (Result<(), BindError>, u32) {
        let (requests, looked) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let seen = requests.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let code = match *request.method() {
                Method::GET if looked.fetch_add(1, Ordering::SeqCst) == 0 => 503,
                Method::GET => 200,
                _ => code(seen.fetch_add(1, Ordering::SeqCst)),
            };
            let status = serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": if code < 300 { "Success" } else { "Failure" },
                "message": message, "reason": "Any", "code": code,
            });
            let body = if code == 200 { pod.as_bytes().to_vec() } else { status.to_string().into_bytes() };
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
            async move { Ok::<_, std::io::Error>(response) }
        });
        let binder = Binder::new(crate::from_service(service), 8, Duration::from_secs(5));
        let result = binder.bind(&binding(), &Ticket::default()).await;
        (result, requests.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_binding_in_doubt_is_looked_up_before_its_place_is_given_away() {
        let (there, elsewhere, another) = (
            r#"{"metadata":{"uid":"1"},"spec":{"nodeName":"node-1"}}"#,
            r#"{"metadata":{"uid":"1"},"spec":{"nodeName":"node-2"}}"#,
            r#"{"metadata":{"uid":"2"},"spec":{}}"#,
        );
        let down = |_| 500;
        assert_eq!(bind_in_doubt(down, "down", there).await, (Ok(()), ATTEMPTS));
        let told = BindError::Refused("the pod is assigned to node \"node-2\"".to_owned());
        assert_eq!(bind_in_doubt(down, "down", elsewhere).await.0, Err(told));
        assert!(matches!(bind_in_doubt(down, "down", another).await.0, Err(BindError::Refused(_))));
        // Carried out although the answer got lost, then a conflict that has another cause.
        let conflict = |request| if request == 0 { 500 } else { 409 };
        assert_eq!(bind_in_doubt(conflict, "the object has been modified", there).await, (Ok(()), 2));
        // Nothing was sent that could have been carried out.
        assert!(matches!(bind_in_doubt(|_| 429, "busy", there).await.0, Err(BindError::Unavailable(_))));
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
        let service = tower::service_fn(|request: Request<Body>| async move {
            if request.method() == Method::POST {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::io::Error>(Response::new(Body::from(br#"{"metadata":{"uid":"1"},"spec":{}}"#.to_vec())))
        });
        let binder = Binder::new(crate::from_service(service), 8, Duration::from_millis(20));
        assert_eq!(
            binder.bind(&binding(), &Ticket::default()).await,
            Err(BindError::Unavailable("no answer within 20ms".into()))
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
