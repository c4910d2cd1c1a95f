//! Events of kubelets: the first of its kind is created, repetitions only raise its count. Entry point: [`EventBook`].

use std::collections::{HashMap, VecDeque};

use augur_apiserver::{ApiError, LocalClient, PatchKind};
use serde_json::json;

use super::render;
use crate::sim::{EventReport, Subject, stream};

/// So many kinds of events are remembered; the oldest is forgotten first and would be created anew.
const REMEMBERED: usize = 4_096;

type Key = (Subject, &'static str, u64);

/// Events that were written lately.
#[derive(Debug, Default)]
pub(super) struct EventBook {
    known: HashMap<Key, (String, u64)>,
    order: VecDeque<Key>,
    made: u64,
}

impl EventBook {
    /// Writes an event.
    ///
    /// # Errors
    /// The API's answer.
    pub(super) fn write(&mut self, client: &LocalClient, report: &EventReport) -> Result<(), ApiError> {
        let key = (report.subject.clone(), report.reason, stream(&[&report.message]));
        let namespace = match &report.subject {
            Subject::Pod { namespace, .. } => &**namespace,
            Subject::Node(_) => "default",
        };
        if let Some((name, count)) = self.known.get_mut(&key) {
            *count += 1;
            let patch = json!({ "count": count, "lastTimestamp": render::time(report.at) });
            match client.patch("events", namespace, name, "", PatchKind::Merge, &patch) {
                // The API forgets events after a while.
                Err(error) if error.code == 404 => {}
                result => return result.map(|_| ()),
            }
        }
        let (subject, salt) = match &report.subject {
            Subject::Pod { name, uid, .. } => (name, &**uid),
            Subject::Node(name) => (name, ""),
        };
        self.made += 1;
        let name = format!("{subject}.{:016x}", stream(&[salt, report.reason, &self.made.to_string()]));
        client.create("events", namespace, render::event(report, &name))?;
        if self.known.insert(key.clone(), (name, 1)).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        Ok(())
    }
}
