//! Events and the `PodScheduled` condition: what users read of a decision.
//!
//! [`EventRecorder::record`] never waits: a full queue drops the event and counts it, so that events cannot slow binding.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Request;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Events that wait to be sent. A second's worth at the rate of a busy API server; what is beyond is better dropped.
const QUEUE: usize = 4096;

/// The longest note that the API accepts.
const NOTE_LIMIT: usize = 1024;

/// The pod that an event or a condition is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
}

/// What is told of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It was bound to this node.
    Scheduled(String),
    /// It was not placed; the diagnosis.
    Failed(String),
}

/// Takes events and sends them one after the other.
#[derive(Clone)]
pub struct EventRecorder {
    queue: mpsc::Sender<Value>,
    dropped: Arc<AtomicU64>,
    component: Arc<str>,
    sequence: Arc<AtomicU64>,
}

impl EventRecorder {
    /// A recorder, and the task that sends what it takes; the task ends when the last recorder is dropped.
    pub fn new(client: Client, component: &str) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, events) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let recorder = EventRecorder {
            queue,
            dropped: dropped.clone(),
            component: component.into(),
            sequence: Arc::new(AtomicU64::new(0)),
        };
        (recorder, send_all(client, events, dropped))
    }

    /// Queues an event about the pod.
    pub fn record(&self, pod: &PodRef, news: &News, now: Timestamp) {
        let number = self.sequence.fetch_add(1, Ordering::Relaxed);
        let event = event(&self.component, pod, news, now, number);
        if self.queue.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that were lost: the queue was full, or the API server refused them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn send_all(client: Client, mut events: mpsc::Receiver<Value>, dropped: Arc<AtomicU64>) {
    while let Some(event) = events.recv().await {
        let namespace = event["metadata"]["namespace"].as_str().unwrap_or("default");
        let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        let request = Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(event.to_string().into_bytes());
        let sent = match request {
            Ok(request) => client.request_text(request).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            dropped.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "an event was not accepted");
        }
    }
}

fn event(component: &str, pod: &PodRef, news: &News, now: Timestamp, number: u64) -> Value {
    let PodRef { namespace, name, uid } = pod;
    let (kind, reason, action, note) = match news {
        News::Scheduled(node) => {
            ("Normal", "Scheduled", "Binding", format!("Successfully assigned {namespace}/{name} to {node}"))
        }
        News::Failed(diagnosis) => ("Warning", "FailedScheduling", "Scheduling", diagnosis.clone()),
    };
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": format!("{name}.{:x}.{number:x}", now.as_nanosecond()), "namespace": namespace },
        "eventTime": format!("{now:.6}"),
        "type": kind,
        "reason": reason,
        "action": action,
        "note": shorten(&note),
        "regarding": { "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": uid },
        "reportingController": component,
        "reportingInstance": component,
    })
}

/// Cuts a note to what the API accepts, at the end of a character.
fn shorten(note: &str) -> String {
    if note.len() <= NOTE_LIMIT {
        return note.to_owned();
    }
    let mut end = NOTE_LIMIT - 4;
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ...", &note[..end])
}

/// Sets the pod's `PodScheduled` condition to `False` with the diagnosis. To be called only when the text changed.
pub async fn report_unschedulable(
    client: &Client,
    pod: &PodRef,
    reason: &str,
    diagnosis: &str,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let body = json!({
        // The uid makes the server refuse the patch for a namesake created meanwhile.
        "metadata": { "uid": pod.uid },
        "status": { "conditions": [{
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": diagnosis,
            "lastTransitionTime": format!("{now:.0}"),
        }]},
    });
    let request = Request::patch(format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name))
        .header(http::header::CONTENT_TYPE, "application/strategic-merge-patch+json")
        .body(body.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    client.request_text(request).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> PodRef {
        PodRef { namespace: "shop".into(), name: "web".into(), uid: "u".into() }
    }

    #[test]
    fn events_use_the_wording_that_users_know() {
        let bound = event("augur", &pod(), &News::Scheduled("n1".into()), Timestamp::UNIX_EPOCH, 0);
        assert_eq!(bound["note"], "Successfully assigned shop/web to n1");
        assert_eq!(bound["action"], "Binding");
        assert_eq!(bound["eventTime"], "1970-01-01T00:00:00.000000Z");
        let failed = event("augur", &pod(), &News::Failed("0/1 nodes are available".into()), Timestamp::UNIX_EPOCH, 1);
        assert_eq!((&failed["type"], &failed["reason"]), (&json!("Warning"), &json!("FailedScheduling")));
        assert_ne!(bound["metadata"]["name"], failed["metadata"]["name"]);
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = shorten(&"ä".repeat(600));
        assert!(note.len() <= NOTE_LIMIT && note.ends_with(" ..."), "{}", note.len());
        assert_eq!(shorten("short"), "short");
    }
}
