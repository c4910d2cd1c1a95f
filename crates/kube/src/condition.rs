//! The `PodScheduled` condition of pods that were not placed.
//!
//! [`ConditionReporter::report`] never waits; what finds the queue full or is refused comes back over the channel of lost
//! reports, so that whoever remembers what a pod's condition says can report it anew.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::Method;
use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc};

use crate::events::PodRef;
use crate::send::{Writer, push_observed, push_string, send};

/// Reports that wait to be sent: as many as pods may fail in a burst before the first comes back from its backoff.
const QUEUE: usize = 8192;

/// Requests under way; few, as for events.
const IN_FLIGHT: usize = 4;

/// How long the API server may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A condition to be set to `False`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotScheduled {
    /// The pod.
    pub pod: PodRef,
    /// The generation of the pod that was judged; 0 where the API server does not count.
    pub generation: u32,
    /// `Unschedulable`, `SchedulerError` or `SchedulingGated`.
    pub reason: &'static str,
    /// The diagnosis.
    pub message: Arc<str>,
    /// When it was made.
    pub at: Timestamp,
    /// The node to be named in `status.nominatedNodeName`; empty to take it back, `None` to leave it.
    pub nominated_node: Option<Arc<str>>,
}

/// The reports about one pod. Those that share it are sent one after the other, and may be withdrawn together.
#[derive(Debug, Clone, Default)]
pub struct Receipt(Arc<Mutex<bool>>);

impl Receipt {
    /// Sees to it that none of the reports is sent any more: waits for one that is under way, drops those that wait. To be
    /// called before the pod is bound, or a late report would deny what has become true.
    pub async fn withdraw(&self) {
        *self.0.lock().await = true;
    }
}

/// Takes reports; a task sends them, a few at a time.
#[derive(Clone)]
pub struct ConditionReporter {
    queue: mpsc::Sender<(NotScheduled, Receipt)>,
}

impl ConditionReporter {
    /// A reporter, and the task that sends what it takes and calls `lost` with the pod of each report that the API server
    /// did not accept. The task ends when the last reporter is dropped.
    pub fn new(
        writer: impl Into<Writer>,
        lost: impl Fn(PodRef) + Send + Sync + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, reports) = mpsc::channel(QUEUE);
        (ConditionReporter { queue }, send_all(writer.into(), reports, lost))
    }

    /// Queues a report; `false` when the queue is full.
    #[must_use]
    pub fn report(&self, report: NotScheduled, receipt: Receipt) -> bool {
        self.queue.try_send((report, receipt)).is_ok()
    }
}

/// Names a node in the pod's `status.nominatedNodeName`, or takes back what is there. What fails is told in the log only: the
/// field is advice to others.
pub async fn nominate(writer: &Writer, pod: &PodRef, node: Option<&str>) {
    let path = format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name);
    let mut json = Vec::with_capacity(128);
    // The uid makes the server refuse the patch for a namesake created meanwhile.
    json.extend_from_slice(br#"{"metadata":{"uid":"#);
    push_string(&mut json, &pod.uid);
    json.extend_from_slice(br#"},"status":{"nominatedNodeName":"#);
    match node {
        Some(node) => push_string(&mut json, node),
        None => json.extend_from_slice(b"null"),
    }
    json.extend_from_slice(b"}}");
    if let Err(failure) = send(writer, Method::PATCH, &path, "application/merge-patch+json", json, TIMEOUT).await {
        tracing::debug!(code = failure.code, message = failure.message, "a nomination was not written");
    }
}

async fn send_all(
    writer: Writer,
    mut reports: mpsc::Receiver<(NotScheduled, Receipt)>,
    lost: impl Fn(PodRef) + Send + Sync,
) {
    let (writer, lost) = (&writer, &lost);
    futures::stream::poll_fn(|cx| reports.poll_recv(cx))
        .for_each_concurrent(IN_FLIGHT, |(report, receipt)| async move {
            let withdrawn = receipt.0.lock().await;
            if *withdrawn {
                return;
            }
            let path = format!("/api/v1/namespaces/{}/pods/{}/status", report.pod.namespace, report.pod.name);
            let patch = "application/strategic-merge-patch+json";
            if let Err(failure) = send(writer, Method::PATCH, &path, patch, body(&report), TIMEOUT).await {
                tracing::debug!(code = failure.code, message = failure.message, "a condition was not accepted");
                lost(report.pod);
            }
        })
        .await;
}

fn body(report: &NotScheduled) -> Vec<u8> {
    let mut json = Vec::with_capacity(256 + report.message.len());
    let mut put = |key: &str, text: &str| {
        json.extend_from_slice(key.as_bytes());
        push_string(&mut json, text);
    };
    // The uid makes the server refuse the patch for a namesake created meanwhile.
    put(r#"{"metadata":{"uid":"#, &report.pod.uid);
    put(r#"},"status":{"conditions":[{"type":"PodScheduled","status":"False","reason":"#, report.reason);
    put(r#","message":"#, &report.message);
    put(r#","lastTransitionTime":"#, &format!("{:.0}", report.at));
    push_observed(&mut json, report.generation);
    json.extend_from_slice(b"}]");
    if let Some(node) = &report.nominated_node {
        json.extend_from_slice(br#","nominatedNodeName":"#);
        push_string(&mut json, node);
    }
    json.extend_from_slice(b"}}");
    json
}

#[cfg(test)]
mod tests {
    use http::{Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    fn report(name: &str) -> NotScheduled {
        NotScheduled {
            pod: PodRef { namespace: "shop".into(), name: name.into(), uid: "u".into() },
            generation: 0,
            reason: "Unschedulable",
            message: "0/1 nodes are available".into(),
            at: Timestamp::UNIX_EPOCH,
            nominated_node: None,
        }
    }

    #[test]
    fn the_patch_names_the_pod_it_means() {
        let body: Value = serde_json::from_slice(&body(&report("web"))).unwrap();
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        });
        assert_eq!(body, json!({ "metadata": { "uid": "u" }, "status": { "conditions": [condition] } }));
        let nominated = NotScheduled { nominated_node: Some("n1".into()), ..report("web") };
        let body: Value = serde_json::from_slice(&super::body(&nominated)).unwrap();
        assert_eq!(body["status"]["nominatedNodeName"], "n1");
        let counted = NotScheduled { generation: 3, ..report("web") };
        let body: Value = serde_json::from_slice(&super::body(&counted)).unwrap();
        assert_eq!(body["status"]["conditions"][0]["observedGeneration"], 3);
    }

    #[tokio::test]
    async fn a_refused_report_is_given_back() {
        let service = tower::service_fn(|request: Request<Body>| async move {
            let mut response = Response::new(Body::empty());
            if request.uri().path().contains("refused") {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            Ok::<_, std::io::Error>(response)
        });
        let lost = Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = lost.clone();
        let (reporter, task) =
            ConditionReporter::new(crate::from_service(service), move |pod| log.lock().unwrap().push(pod.name));
        let receipt = Receipt::default();
        assert!(reporter.report(report("accepted"), Receipt::default()));
        assert!(reporter.report(report("refused"), Receipt::default()));
        assert!(reporter.report(report("refused, but withdrawn"), receipt.clone()));
        receipt.withdraw().await;
        drop(reporter);
        task.await;
        assert_eq!(*lost.lock().unwrap(), ["refused".into()]);
    }
}
