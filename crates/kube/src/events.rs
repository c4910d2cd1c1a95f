//! Events about pods: what users read of a decision in `kubectl describe`.
//!
//! [`EventRecorder::record`] never waits: a full queue drops the event and counts it. While many bindings are under way events
//! only trickle out, since the API server takes as long for an event as for a binding.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use http::Method;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::send::{Writer, push_string, send};

/// Events that wait to be sent: those of a burst of so many pods, at a few megabytes. What is beyond is dropped.
const QUEUE: usize = 32_768;

/// Requests under way. Few, so that bindings always find the API server less busy with events than with them.
const IN_FLIGHT: usize = 4;

/// With more bindings than these under way, events wait for [`PAUSE`] each.
const BUSY: usize = 8;

/// Makes about 200 events a second, at most, of the [`IN_FLIGHT`] ones; kube-scheduler sends 50.
const PAUSE: Duration = Duration::from_millis(20);

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
    /// A recorder, and the task that sends what it takes, slowly while `bindings` tells of many under way; the task ends when the
    /// last recorder is dropped.
    pub fn new(
        writer: impl Into<Writer>,
        bindings: impl Fn() -> usize + Send + Sync + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, events) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let recorder = EventRecorder { queue, dropped: dropped.clone(), sequence: Arc::new(AtomicU64::new(0)) };
        (recorder, send_all(writer.into(), events, bindings, dropped))
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

async fn send_all(
    writer: Writer,
    mut events: mpsc::Receiver<Event>,
    bindings: impl Fn() -> usize,
    dropped: Arc<AtomicU64>,
) {
    let (writer, dropped, bindings) = (&writer, &dropped, &bindings);
    futures::stream::poll_fn(|cx| events.poll_recv(cx))
        .for_each_concurrent(IN_FLIGHT, |event| async move {
            if bindings() > BUSY {
                tokio::time::sleep(PAUSE).await;
            }
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

    #[tokio::test(start_paused = true)]
    async fn events_trickle_while_bindings_are_under_way() {
        let sent = Arc::new(AtomicU64::new(0));
        let seen = sent.clone();
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
            seen.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, std::io::Error>(http::Response::new(kube::client::Body::empty())) }
        });
        let bindings = Arc::new(AtomicU64::new(100));
        let under_way = bindings.clone();
        let (recorder, sending) = EventRecorder::new(crate::from_service(service), move || {
            usize::try_from(under_way.load(Ordering::SeqCst)).unwrap()
        });
        let pod = PodRef { namespace: "shop".into(), name: "web".into(), uid: "u".into() };
        for _ in 0..1000 {
            recorder.record(&"augur".into(), pod.clone(), News::Scheduled("n1".into()), Timestamp::UNIX_EPOCH);
        }
        let mut sending = std::pin::pin!(sending);
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut sending).await.is_err());
        let trickled = sent.load(Ordering::SeqCst);
        assert!((100..=200).contains(&trickled), "{trickled} in a second");
        bindings.store(1, Ordering::SeqCst);
        drop(recorder);
        let calm = tokio::time::Instant::now();
        sending.await;
        assert_eq!(sent.load(Ordering::SeqCst), 1000);
        assert!(calm.elapsed() <= PAUSE, "the rest at once");
    }

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
