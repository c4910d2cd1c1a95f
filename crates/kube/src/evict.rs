//! Evicting pods to make room for others: the condition that says why, then the deletion, with bounded retries.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::Backoff;
use crate::events::PodRef;
use crate::send::{Failure, Writer, push_observed, push_string, send};

/// Attempts for each of the two requests. What fails longer is decided anew.
const ATTEMPTS: u32 = 4;

/// The longest pause that a server may ask for between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A pod that has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    /// The pod.
    pub victim: PodRef,
    /// The generation of the pod that was judged; 0 where the API server does not count.
    pub generation: u32,
    /// The scheduler that evicts it.
    pub scheduler_name: Arc<str>,
    /// When that was decided.
    pub at: Timestamp,
}

/// Why a pod was not evicted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the API server did not evict pod {pod}: {message}")]
pub struct EvictError {
    /// `namespace/name`.
    pub pod: String,
    /// What it said.
    pub message: String,
}

/// Sends evictions, a bounded number at a time.
#[derive(Clone)]
pub struct Evictor {
    writer: Writer,
    in_flight: Arc<Semaphore>,
    timeout: Duration,
}

impl Evictor {
    /// An evictor with at most `in_flight` requests under way, each given `timeout`.
    #[must_use]
    pub fn new(writer: impl Into<Writer>, in_flight: usize, timeout: Duration) -> Self {
        Evictor { writer: writer.into(), in_flight: Arc::new(Semaphore::new(in_flight)), timeout }
    }

    /// Evicts the pod; waits for a free place among the requests in flight first. One that is gone already counts as evicted.
    ///
    /// # Errors
    /// The API server refuses it, or did not carry it out after several attempts.
    pub async fn evict(&self, eviction: &Eviction) -> Result<(), EvictError> {
        // The semaphore is never closed, so that the permit is always granted in the end.
        let _permit = self.in_flight.acquire().await;
        let PodRef { namespace, name, .. } = &eviction.victim;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let status = format!("{path}/status");
        let patch = "application/strategic-merge-patch+json";
        let told = self.carry_out(Method::PATCH, &status, patch, &condition(eviction)).await;
        let done = match told {
            Ok(()) => self.carry_out(Method::DELETE, &path, "application/json", &options(&eviction.victim)).await,
            failed => failed,
        };
        match done {
            // Gone, or another pod of that name.
            Err(failure) if failure.is_gone() => Ok(()),
            Ok(()) => Ok(()),
            Err(failure) => Err(EvictError { pod: format!("{namespace}/{name}"), message: failure.message }),
        }
    }

    async fn carry_out(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: &[u8],
    ) -> Result<(), Failure> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let mut attempt = 1;
        loop {
            let sent = send(&self.writer, method.clone(), path, content_type, body.to_vec(), self.timeout).await;
            let Err(failure) = sent else { return Ok(()) };
            let passes = failure.is_transient() || (failure.code == Some(409) && !failure.is_gone());
            if !passes || attempt == ATTEMPTS {
                return Err(failure);
            }
            attempt += 1;
            let asked = failure.retry_after.unwrap_or_default().min(LONGEST_PAUSE);
            tokio::time::sleep(backoff.pause().max(asked)).await;
        }
    }
}

fn condition(eviction: &Eviction) -> Vec<u8> {
    let mut json = Vec::with_capacity(384);
    let mut put = |key: &str, text: &str| {
        json.extend_from_slice(key.as_bytes());
        push_string(&mut json, text);
    };
    let message = format!("{}: preempting to accommodate a higher priority pod", eviction.scheduler_name);
    // The uid makes the server refuse the patch for a namesake created meanwhile.
    put(r#"{"metadata":{"uid":"#, &eviction.victim.uid);
    put(
        r#"},"status":{"conditions":[{"type":"DisruptionTarget","status":"True","reason":"PreemptionByScheduler","message":"#,
        &message,
    );
    put(r#","lastTransitionTime":"#, &format!("{:.0}", eviction.at));
    push_observed(&mut json, eviction.generation);
    json.extend_from_slice(b"}]}}");
    json
}

fn options(victim: &PodRef) -> Vec<u8> {
    let mut json = br#"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"#.to_vec();
    push_string(&mut json, &victim.uid);
    json.extend_from_slice(b"}}");
    json
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    /// Evicts against a server that answers with these statuses in turn, then with 200; the result and the requests.
    async fn evict(answers: &'static [u16]) -> (Result<(), EvictError>, Vec<String>) {
        evict_against(answers, "told so").await
    }

    async fn evict_against(answers: &'static [u16], message: &'static str) -> (Result<(), EvictError>, Vec<String>) {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let mut seen = seen.lock().unwrap();
            let code = answers.get(seen.len()).copied().unwrap_or(200);
            seen.push(format!("{} {}", request.method(), request.uri().path()));
            let mut response = Response::new(Body::from(format!("{{\"message\":{message:?}}}").into_bytes()));
            *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
            async move { Ok::<_, std::io::Error>(response) }
        });
        let evictor = Evictor::new(crate::from_service(service), 8, Duration::from_secs(5));
        let result = evictor.evict(&eviction()).await;
        let requests = requests.lock().unwrap().clone();
        (result, requests)
    }

    fn eviction() -> Eviction {
        Eviction {
            victim: PodRef { namespace: "shop".into(), name: "web".into(), uid: "u".into() },
            generation: 2,
            scheduler_name: "augur".into(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    const PATCH: &str = "PATCH /api/v1/namespaces/shop/pods/web/status";
    const DELETE: &str = "DELETE /api/v1/namespaces/shop/pods/web";

    #[tokio::test]
    async fn the_condition_comes_before_the_end_and_both_are_tried_again() {
        assert_eq!(evict(&[503, 200, 500]).await, (Ok(()), [PATCH, PATCH, DELETE, DELETE].map(str::to_owned).to_vec()));
    }

    #[test]
    fn the_condition_tells_which_version_of_the_pod_was_judged() {
        let body: serde_json::Value = serde_json::from_slice(&condition(&eviction())).unwrap();
        assert_eq!(body["status"]["conditions"][0]["observedGeneration"], 2);
    }

    #[tokio::test]
    async fn a_pod_that_is_gone_counts_as_evicted_and_a_refusal_does_not() {
        assert_eq!(evict(&[404]).await, (Ok(()), vec![PATCH.to_owned()]));
        let (result, requests) = evict(&[200, 403]).await;
        assert_eq!(result.unwrap_err().to_string(), "the API server did not evict pod shop/web: told so");
        assert_eq!(requests, [PATCH, DELETE]);
        assert!(evict(&[503; 9]).await.0.is_err());
    }

    #[tokio::test]
    async fn a_namesake_counts_as_gone_and_a_conflict_of_the_moment_does_not() {
        let namesake = "the UID in the precondition (u) does not match the UID in record (v)";
        assert_eq!(evict_against(&[200, 409], namesake).await, (Ok(()), [PATCH, DELETE].map(str::to_owned).to_vec()));
        let (result, requests) = evict_against(&[200, 409], "the object has been modified").await;
        assert_eq!((result, requests.len()), (Ok(()), 3));
    }

    #[test]
    fn the_condition_says_who_evicts() {
        let condition: serde_json::Value = serde_json::from_slice(&condition(&eviction())).unwrap();
        assert_eq!(condition["metadata"]["uid"], "u");
        let told = &condition["status"]["conditions"][0];
        assert_eq!(told["message"], "augur: preempting to accommodate a higher priority pod");
        assert_eq!(told["lastTransitionTime"], "1970-01-01T00:00:00Z");
    }
}
