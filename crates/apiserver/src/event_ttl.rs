//! Events live for an hour after they were last written, as with kube-apiserver's `--event-ttl`, so that a long-running
//! cluster does not grow. Once a minute the revision that the store had an hour ago is looked up, and events that have not
//! been written since are removed; watchers see `DELETED`. Entry point: [`ApiServer::expire_events`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::error::ApiError;
use crate::resource::Resource;
use crate::server::{ApiServer, by_qualified};
use crate::store::Entry;

/// How long an event stays after its last write, as kube-apiserver's default.
const TTL: SignedDuration = SignedDuration::from_hours(1);

/// Time between sweeps.
const EVERY: Duration = Duration::from_secs(60);

impl ApiServer {
    /// Removes events an hour (of the server's clock) after their last write, for as long as it is polled.
    ///
    /// # Errors
    /// None in practice: events are among the resources that are served.
    pub async fn expire_events(&self) -> Result<Infallible, ApiError> {
        let mut expiry = Expiry::new(self)?;
        loop {
            self.0.options.clock.sleep(EVERY).await;
            expiry.sweep(self);
        }
    }
}

/// What the store's revision was at the sweeps of the last hour.
struct Expiry {
    events: &'static Resource,
    /// Oldest first; a sweep a minute and only the last hour, so about 60.
    marks: VecDeque<(Timestamp, u64)>,
}

impl Expiry {
    /// Starts now. What a data directory brought along and is older than an hour by its own time stamps goes at once.
    fn new(server: &ApiServer) -> Result<Self, ApiError> {
        let events = by_qualified("events")?;
        let (now, revision) = (server.now(), server.store().revision());
        let mut expiry = Expiry { events, marks: VecDeque::from([(now, revision)]) };
        expiry.remove(server, revision, |event| now.duration_since(last_seen(event).unwrap_or(now)) >= TTL);
        Ok(expiry)
    }

    fn sweep(&mut self, server: &ApiServer) {
        let now = server.now();
        let mut due = None;
        while let Some((_, revision)) = self.marks.pop_front_if(|(at, _)| now.duration_since(*at) >= TTL) {
            due = Some(revision);
        }
        self.marks.push_back((now, server.store().revision()));
        if let Some(revision) = due {
            self.remove(server, revision, |_| true);
        }
    }

    /// Removes events that were last written at or before the revision.
    fn remove(&mut self, server: &ApiServer, revision: u64, goes: impl Fn(&Entry) -> bool) {
        let store = server.store();
        for (key, entry) in store.unchanged_since(self.events, revision) {
            if goes(&entry) {
                // One that was written or deleted meanwhile is somebody else's.
                let _ = store.remove(self.events, &key, entry.revision);
            }
        }
    }
}

/// When an event was seen last, by what it says itself.
fn last_seen(event: &Entry) -> Option<Timestamp> {
    let event = event.value();
    ["/metadata/creationTimestamp", "/lastTimestamp", "/series/lastObservedTime"]
        .iter()
        .filter_map(|path| event.pointer(path)?.as_str()?.parse().ok())
        .max()
}

#[cfg(test)]
mod tests {
    use augur_clock::Clock;
    use serde_json::{Value, json};

    use super::*;
    use crate::local::{LocalClient, LocalEventKind, PatchKind};
    use crate::server::ApiServerOptions;

    const MINUTE: Duration = Duration::from_secs(60);

    fn server(clock: &Clock) -> (ApiServer, LocalClient) {
        let server = ApiServer::new(ApiServerOptions { clock: clock.clone(), ..ApiServerOptions::default() }).unwrap();
        let client = server.local("tests");
        (server, client)
    }

    fn manual() -> Clock {
        Clock::manual("2026-01-05T08:00:00Z".parse().unwrap())
    }

    fn event(client: &LocalClient, name: &str) {
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "name": name },
            "involvedObject": { "kind": "Pod", "namespace": "default", "name": "p" }, "reason": "Started",
        });
        client.create("events", "default", event).unwrap();
    }

    fn names(client: &LocalClient) -> Vec<String> {
        let list = client.list("events", "", "", "").unwrap();
        let name = |object: &[u8]| serde_json::from_slice::<Value>(object).unwrap()["metadata"]["name"].to_string();
        list.items.iter().map(|object| name(object).trim_matches('"').to_owned()).collect()
    }

    #[test]
    fn an_event_goes_an_hour_after_its_last_write() {
        let clock = manual();
        let (server, client) = server(&clock);
        let mut expiry = Expiry::new(&server).unwrap();
        event(&client, "once");
        event(&client, "again");
        let mut pass = |minutes: u32| {
            for _ in 0..minutes {
                clock.advance(MINUTE);
                expiry.sweep(&server);
            }
        };
        pass(30);
        client.patch("events", "default", "again", "", PatchKind::Merge, &json!({ "count": 2 })).unwrap();
        pass(30);
        assert_eq!(names(&client), ["again", "once"], "written after the sweep that is an hour ago");
        pass(1);
        assert_eq!(names(&client), ["again"]);
        pass(30);
        assert!(names(&client).is_empty());
        pass(200);
        assert!(expiry.marks.len() <= 61, "{}", expiry.marks.len());
    }

    #[test]
    fn what_is_old_already_goes_at_the_start() {
        let clock = manual();
        let (server, client) = server(&clock);
        event(&client, "old");
        clock.advance(MINUTE * 59);
        event(&client, "young");
        clock.advance(MINUTE);
        Expiry::new(&server).unwrap();
        assert_eq!(names(&client), ["young"]);
    }

    #[tokio::test]
    async fn a_watch_tells_that_an_event_has_gone() {
        let clock = manual();
        let (server, client) = server(&clock);
        event(&client, "e");
        let created = client.get("events", "default", "e").unwrap();
        let since = client.list("events", "", "", "").unwrap().resource_version;
        let mut watch = client.watch("events", "default", since).unwrap();
        let expiring = tokio::spawn(async move { server.expire_events().await });
        let told = loop {
            clock.advance(MINUTE);
            tokio::task::yield_now().await;
            if let Some(told) = watch.try_next() {
                break told;
            }
        };
        expiring.abort();
        assert_eq!(told.kind, LocalEventKind::Deleted);
        let object: Value = serde_json::from_slice(&told.object).unwrap();
        assert_eq!(object["metadata"]["uid"], created["metadata"]["uid"]);
        assert!(told.resource_version > since);
    }
}
