//! What Events tell that no status does ([`Memory::event`]). They are best effort, so they only ever add to what is known.

use std::sync::Arc;

use super::Memory;
use super::pod::{News, is_rejection};
use crate::types::{Cause, OutcomeState, UnixMillis};

/// What an Event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSubject {
    /// The pod of this uid.
    Pod(Arc<str>),
    /// The node of this name.
    Node(Arc<str>),
}

/// An Event of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventObservation {
    /// What it is about.
    pub subject: EventSubject,
    /// Its reason: `FailedMount`, `FailedAttachVolume`, `ErrImagePull`, `Evicted`, `NodeNotReady`, `OutOfcpu`, ….
    pub reason: Arc<str>,
    /// When it happened last.
    pub at: UnixMillis,
}

impl Memory {
    /// Takes in an Event; one of a pod that is not followed is ignored.
    pub fn event(&mut self, event: &EventObservation) {
        // Events come late, so their own time is not the present.
        let at = event.at.max(self.now);
        self.advance(at);
        match &event.subject {
            EventSubject::Node(name) => {
                let known = self.nodes.find(name).is_some();
                if known && *event.reason == *"NodeNotReady" {
                    let node = self.nodes.entry(name);
                    node.down = node.down.or(Some(event.at));
                    self.changes.nodes.insert(name.clone());
                }
            }
            EventSubject::Pod(uid) => self.pod_event(uid, &event.reason, at),
        }
    }

    fn pod_event(&mut self, uid: &Arc<str>, reason: &str, at: UnixMillis) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let mut news = News::default();
        match reason {
            "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => pod.hindered = Some(Cause::VolumeMount),
            "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => {
                pod.hindered = Some(Cause::ImagePull);
            }
            "Evicted" => {
                news.evicted = pod.state != OutcomeState::Bad;
                news.failed = news.evicted;
                pod.trouble(Cause::Evicted, at, &mut news);
            }
            "FailedAdmission" => pod.trouble(Cause::Rejected, at, &mut news),
            other if is_rejection(other) => pod.trouble(Cause::Rejected, at, &mut news),
            _ => return,
        }
        if news.trouble.is_some() {
            pod.changed_at = at;
            news.failed |= news.trouble == Some(Cause::Rejected);
            self.count(uid, news);
        }
        self.remember(uid);
    }
}
