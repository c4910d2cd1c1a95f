//! Warnings that kubelets and controllers write as Events, for history: what no status tells (mounts, pulls, refusals).
//!
//! [`follow`] watches them and hands them on; they never reach the scheduler thread.

use std::sync::Arc;

use augur_history::{EventObservation, EventSubject, HistoryHandle, UnixMillis};
use augur_kube::{Change, MALFORMED, Object, Skipped, Source, WatchStats, reflect};
use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use tokio::sync::mpsc;

/// Events that wait for history's queue: they are small, and history takes them without waiting.
const EVENTS: usize = 256;

/// A warning about a pod or a node.
struct SeenEvent(Option<EventObservation>);

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    metadata: Meta,
    involved_object: Involved,
    reason: Option<String>,
    message: Option<String>,
    last_timestamp: Option<String>,
    event_time: Option<String>,
    series: Option<Series>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    resource_version: Option<String>,
    creation_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Involved {
    kind: Option<String>,
    name: Option<String>,
    uid: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    last_observed_time: Option<String>,
}

impl Object for SeenEvent {
    fn read(json: &str) -> Result<(Self, String), Skipped> {
        let wire: Wire = serde_json::from_str(json).map_err(|error| Skipped::new(MALFORMED, error.to_string()))?;
        let revision = wire.metadata.resource_version.clone().unwrap_or_default();
        Ok((SeenEvent(observation(&wire)), revision))
    }
}

fn observation(wire: &Wire) -> Option<EventObservation> {
    let involved = &wire.involved_object;
    let subject = match involved.kind.as_deref()? {
        "Pod" => EventSubject::Pod(involved.uid.as_deref()?.into()),
        "Node" => EventSubject::Node(involved.name.as_deref()?.into()),
        _ => return None,
    };
    let reason = wire.reason.as_deref().unwrap_or_default();
    let message = wire.message.as_deref().unwrap_or_default();
    // The kubelet tells of images under a reason that says nothing.
    let pull = reason == "Failed" && (message.contains("ErrImagePull") || message.contains("Failed to pull image"));
    let observed = wire.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let at =
        [observed, wire.last_timestamp.as_ref(), wire.event_time.as_ref(), wire.metadata.creation_timestamp.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|text| text.parse::<Timestamp>().ok())?;
    let reason: Arc<str> = if pull { "ErrImagePull".into() } else { reason.into() };
    Some(EventObservation { subject, reason, at: UnixMillis(at.as_millisecond()) })
}

/// Hands warnings to history for as long as it is polled. Those of the first list are of the past and left out.
pub async fn follow(client: Client, history: HistoryHandle) {
    let (sender, mut changes) = mpsc::channel(EVENTS);
    let stats = WatchStats::default();
    let source = Source { path: "/api/v1/events", narrowed: "fieldSelector=type%3DWarning".to_owned() };
    let watching = reflect::<SeenEvent>(client, source, sender, &stats);
    let telling = async {
        while let Some(change) = changes.recv().await {
            if let Change::Applied(SeenEvent(Some(event))) = change {
                // What is dropped, history counts and its health tells.
                history.observe_event(event);
            }
        }
    };
    tokio::join!(watching, telling);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<EventObservation> {
        SeenEvent::read(json).expect("an event").0.0
    }

    #[test]
    fn what_bears_on_pods_and_nodes_is_read() {
        let pull = read(
            r#"{"metadata":{"resourceVersion":"7"},"involvedObject":{"kind":"Pod","name":"a","uid":"u"},"reason":"Failed",
                "message":"Failed to pull image \"x\": i/o timeout","lastTimestamp":"2026-01-06T12:00:00Z"}"#,
        )
        .expect("a warning");
        assert_eq!((&pull.subject, &*pull.reason), (&EventSubject::Pod("u".into()), "ErrImagePull"));
        assert_eq!(pull.at, UnixMillis(1_767_700_800_000));
        let node = read(
            r#"{"involvedObject":{"kind":"Node","name":"n1","uid":"n1"},"reason":"NodeNotReady","lastTimestamp":null,
                "eventTime":"2026-01-06T12:00:00.5Z"}"#,
        );
        assert_eq!(node.map(|event| event.subject), Some(EventSubject::Node("n1".into())));
        assert_eq!(read(r#"{"involvedObject":{"kind":"Job","name":"j","uid":"j"},"reason":"BackOff"}"#), None);
        assert_eq!(read(r#"{"involvedObject":{"kind":"Pod","uid":"u"},"reason":"BackOff"}"#), None, "no time");
        assert!(SeenEvent::read("[").is_err());
    }
}
