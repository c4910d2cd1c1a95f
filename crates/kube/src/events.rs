//! Events about pods: what users read of a decision in `kubectl describe`.
//!
//! [`EventRecorder::record`] never waits: a full queue drops the event and counts it, so that events cannot slow binding.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use http::Method;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::send::{Writer, push_string, send};

/// Events that wait to be sent. Some seconds' worth at the rate of a busy API server; what is beyond is better dropped.
const QUEUE: usize = 8192;

/// Requests under way. Few, so that bindings always find the API server less busy with events than with them.
const IN_FLIGHT: usize = 4;

/// How long the API server may take for an event.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest note that the API accepts.
const NOTE_LIMIT: usize = 1024;

/// What of a pod's name goes into the name of an event, so that it stays under the limit of 253 with the numbers added.
const NAME_LIMIT: usize = 200;

/// The pod that an event or a condition is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRef {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Uid.
    pub uid: Arc<str>,
}

/// What is told of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It was bound to this node.
    Scheduled(Arc<str>),
    /// It was not placed; the diagnosis.
    Failed(Arc<str>),
    /// It had to go for a pod of higher priority.
    Preempted {
        /// That pod's uid.
        by: Arc<str>,
        /// Where.
        node: Arc<str>,
    },
}

/// An event to be sent.
struct Event {
    pod: PodRef,
    news: News,
    at: Timestamp,
    number: u64,
    component: Arc<str>,
}

/// Takes events; a task sends them, a few at a time.
#[derive(Clone)]
pub struct EventRecorder {
    queue: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
    sequence: Arc<AtomicU64>,
}

impl EventRecorder {
    /// A recorder, and the task that sends what it takes; the task ends when the last recorder is dropped.
    pub fn new(writer: impl Into<Writer>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, events) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let recorder = EventRecorder { queue, dropped: dropped.clone(), sequence: Arc::new(AtomicU64::new(0)) };
        (recorder, send_all(writer.into(), events, dropped))
    }

    /// Queues an event about the pod, in the name of `component` (the pod's scheduler).
    pub fn record(&self, component: &Arc<str>, pod: PodRef, news: News, at: Timestamp) {
        let number = self.sequence.fetch_add(1, Ordering::Relaxed);
        let event = Event { pod, news, at, number, component: component.clone() };
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

async fn send_all(writer: Writer, mut events: mpsc::Receiver<Event>, dropped: Arc<AtomicU64>) {
    let (writer, dropped) = (&writer, &dropped);
    futures::stream::poll_fn(|cx| events.poll_recv(cx))
        .for_each_concurrent(IN_FLIGHT, |event| async move {
            let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", event.pod.namespace);
            if let Err(failure) = send(writer, Method::POST, &path, "application/json", event.body(), TIMEOUT).await {
                dropped.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(code = failure.code, message = failure.message, "an event was not accepted");
            }
        })
        .await;
}

impl Event {
    fn body(&self) -> Vec<u8> {
        let PodRef { namespace, name, uid } = &self.pod;
        let (kind, reason, action, note) = match &self.news {
            News::Scheduled(node) => {
                ("Normal", "Scheduled", "Binding", format!("Successfully assigned {namespace}/{name} to {node}"))
            }
            News::Preempted { by, node } => {
                ("Normal", "Preempted", "Preempting", format!("Preempted by pod {by} on node {node}"))
            }
            News::Failed(diagnosis) => ("Warning", "FailedScheduling", "Scheduling", shorten(diagnosis)),
        };
        let own_name = format!(
            "{}.{:x}.{:x}",
            &name[..name.floor_char_boundary(NAME_LIMIT)],
            self.at.as_nanosecond(),
            self.number
        );
        let at = format!("{:.6}", self.at);
        let mut json = Vec::with_capacity(640 + note.len());
        let mut put = |key: &str, text: &str| {
            json.extend_from_slice(key.as_bytes());
            push_string(&mut json, text);
        };
        put(r#"{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"#, &own_name);
        put(r#","namespace":"#, namespace);
        put(r#"},"eventTime":"#, &at);
        put(r#","type":"#, kind);
        put(r#","reason":"#, reason);
        put(r#","action":"#, action);
        put(r#","note":"#, &note);
        put(r#","regarding":{"apiVersion":"v1","kind":"Pod","namespace":"#, namespace);
        put(r#","name":"#, name);
        put(r#","uid":"#, uid);
        put(r#"},"reportingController":"#, &self.component);
        put(r#","reportingInstance":"#, &self.component);
        json.push(b'}');
        json
    }
}

/// Cuts a note to what the API accepts, at the end of a character.
fn shorten(note: &str) -> String {
    if note.len() <= NOTE_LIMIT {
        return note.to_owned();
    }
    format!("{} ...", &note[..note.floor_char_boundary(NOTE_LIMIT - 4)])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(name: &str, news: News, number: u64) -> Value {
        let pod = PodRef { namespace: "shop".into(), name: name.into(), uid: "u".into() };
        let event = Event { pod, news, at: Timestamp::UNIX_EPOCH, number, component: "augur".into() };
        serde_json::from_slice(&event.body()).unwrap()
    }

    #[test]
    fn events_use_the_wording_that_users_know() {
        let bound = event("web", News::Scheduled("n1".into()), 0);
        assert_eq!(bound["note"], "Successfully assigned shop/web to n1");
        assert_eq!(bound["action"], "Binding");
        assert_eq!(bound["eventTime"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            bound["regarding"],
            json!({ "apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web", "uid": "u" })
        );
        let failed = event("web", News::Failed("0/1 nodes are \"available\"".into()), 1);
        assert_eq!((&failed["type"], &failed["reason"]), (&json!("Warning"), &json!("FailedScheduling")));
        assert_eq!(failed["note"], "0/1 nodes are \"available\"");
        assert_ne!(bound["metadata"]["name"], failed["metadata"]["name"]);
    }

    #[test]
    fn the_name_of_an_event_stays_a_name() {
        let long = event(&"a".repeat(253), News::Scheduled("n1".into()), u64::MAX);
        assert!(long["metadata"]["name"].as_str().unwrap().len() <= 253);
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = shorten(&"ä".repeat(600));
        assert!(note.len() <= NOTE_LIMIT && note.ends_with(" ..."), "{}", note.len());
        assert_eq!(shorten("short"), "short");
    }
}
