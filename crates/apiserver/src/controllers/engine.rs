//! The shell around the controllers: watches fill the cache, changes ask for work, one task does it key after key.
//!
//! All controllers share one task, so that what one writes the next one sees; the API's verbs are synchronous and quick.
//! Entry point: [`run`]. What a change asks for is in `route`, what a key does in `tasks`, writes in `execute`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use augur_clock::Clock;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::ControllerOptions;
use super::cache::{Cache, Change, Place};
use super::daemon_set::Backoff;
use super::pod_garbage;
use super::queue::WorkQueue;
use super::record::Recorder;
use super::resource_claim;
use super::view::{Depth, Entry};
use crate::local::{LocalClient, LocalEvent, LocalEventKind};
use crate::resource::{RESOURCES, Verbs};

/// Facts that wait to be taken in. When the controllers fall behind, the watches wait, and at last expire and list again.
const FACTS: usize = 1024;
/// Keys worked on before facts are taken in again.
const TURN: usize = 64;
/// Longest rest between two bouts of work.
const REST: Duration = Duration::from_millis(50);
/// Pause before a resource that could not be listed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The resources whose objects are kept, and how much of them.
pub(super) static WATCHED: LazyLock<Vec<(&'static str, Depth)>> = LazyLock::new(|| {
    RESOURCES
        .iter()
        .filter(|r| matches!(r.verbs, Verbs::All | Verbs::NoDeleteCollection) && r.plural != "events")
        .map(|r| {
            // Once for each row of the table of resources.
            let qualified: &'static str = r.qualified().leak();
            let depth = match qualified {
                "pods" => Depth::Pod,
                "namespaces"
                | "nodes"
                | "deployments.apps"
                | "replicasets.apps"
                | "statefulsets.apps"
                | "daemonsets.apps"
                | "controllerrevisions.apps"
                | "jobs.batch"
                | "cronjobs.batch"
                | resource_claim::CLAIMS
                | resource_claim::TEMPLATES
                | "poddisruptionbudgets.policy"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "storageclasses.storage.k8s.io" => Depth::Whole,
                _ => Depth::Meta,
            };
            (qualified, depth)
        })
        .collect()
});

/// The depth at which a resource's objects are kept; `None` if they are not.
pub(super) fn depth_of(resource: &str) -> Option<(&'static str, Depth)> {
    WATCHED.iter().find(|(name, _)| *name == resource).copied()
}

/// What a watch has to tell.
enum Fact {
    /// All objects of a resource.
    List(&'static str, Vec<Entry>),
    /// An object's state.
    Put(&'static str, Entry),
    /// An object that is gone.
    Gone(&'static str, Entry),
}

/// The kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Task {
    /// An object that is being deleted with its dependents.
    Owner,
    /// A pod whose claims to devices are made from templates.
    PodClaims,
    /// A claim to devices.
    ResourceClaim,
    /// An object that may have lost its owners.
    Dependent,
    /// A namespace that is new or being deleted.
    Namespace,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
    Budget,
    Volume,
    Claim,
    Node,
    /// A pod on a node with `NoExecute` taints.
    Leaving,
    /// A pod of a job that may be gone.
    JobPod,
    /// The round of pod garbage collection; its place is empty.
    Sweep,
}

pub(super) type Key = (Task, Place);

/// Everything that the task has.
pub(super) struct Engine {
    pub client: LocalClient,
    pub clock: Clock,
    pub options: ControllerOptions,
    pub cache: Cache,
    pub queue: WorkQueue<Key>,
    pub recorder: Recorder,
    /// When each node was last heard of: its lease renewed or its status written.
    pub heard: HashMap<Arc<str>, Timestamp>,
    /// When pods leave because of their nodes' taints.
    pub leaving: HashMap<Place, Timestamp>,
    /// Since when nodes that pods are bound to have been gone.
    pub missing: HashMap<Arc<str>, Timestamp>,
    /// How long failed daemon pods have to wait.
    pub backoff: Backoff,
    /// Namespaces whose content has been told to go, and when.
    pub emptied: HashMap<Arc<str>, Timestamp>,
}

/// Runs the controllers until `stop` says so or is dropped.
pub(super) async fn run(
    client: LocalClient,
    clock: Clock,
    options: ControllerOptions,
    mut stop: watch::Receiver<bool>,
) {
    let (sender, mut facts) = mpsc::channel(FACTS);
    let mut feeds = tokio::task::JoinSet::new();
    for (resource, depth) in WATCHED.iter().copied() {
        feeds.spawn(feed(client.clone(), clock.clone(), resource, depth, sender.clone()));
    }
    drop(sender);
    let mut engine = Engine {
        client,
        clock,
        options,
        cache: Cache::default(),
        queue: WorkQueue::default(),
        recorder: Recorder::default(),
        heard: HashMap::new(),
        leaving: HashMap::new(),
        missing: HashMap::new(),
        backoff: Backoff::default(),
        emptied: HashMap::new(),
    };
    // Nothing is decided before everything has been listed once: what is not seen yet is not missing.
    let mut unlisted: HashSet<&'static str> = WATCHED.iter().map(|(resource, _)| *resource).collect();
    let mut before_sync = Vec::new();
    while !unlisted.is_empty() {
        let fact = tokio::select! {
            () = stopped(&mut stop) => return,
            fact = facts.recv() => fact,
        };
        let Some(fact) = fact else { return };
        if let Fact::List(resource, _) = &fact {
            unlisted.remove(resource);
        }
        before_sync.append(&mut engine.take_in(fact));
    }
    for (resource, change) in before_sync {
        engine.on_change(resource, &change);
    }
    let now = engine.clock.now();
    engine.queue.add_at(sweep_key(), now.checked_add(pod_garbage::INTERVAL).unwrap_or(now));

    loop {
        let started = Instant::now();
        loop {
            while let Ok(fact) = facts.try_recv() {
                engine.believe(fact);
            }
            if !engine.turn() || *stop.borrow() {
                break;
            }
            // Others may run between two turns, the feeds among them.
            tokio::task::yield_now().await;
        }
        // Rests as long as it worked: what takes long, such as a look at thousands of pods, is then done for many changes at
        // once instead of for each. This is about the processor's time, not the cluster's.
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            () = tokio::time::sleep(started.elapsed().min(REST)) => {}
        }
        let due = engine.queue.next_due();
        let clock = engine.clock.clone();
        let until_due = async {
            match due {
                Some(at) => {
                    let span = Duration::try_from(at.duration_since(clock.now())).unwrap_or(Duration::ZERO);
                    clock.sleep(span).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            fact = facts.recv() => match fact {
                Some(fact) => engine.believe(fact),
                None => break,
            },
            () = until_due => {}
        }
    }
    feeds.shutdown().await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the handle was dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The key of the round of pod garbage collection.
pub(super) fn sweep_key() -> Key {
    (Task::Sweep, Place { resource: "pods", namespace: "".into(), name: "".into() })
}

/// Lists and watches a resource for ever, listing again when the watch ends.
async fn feed(client: LocalClient, clock: Clock, resource: &'static str, depth: Depth, facts: mpsc::Sender<Fact>) {
    loop {
        let (list, mut changes) = match client
            .list(resource, "", "", "")
            .and_then(|list| client.watch(resource, "", list.resource_version).map(|watch| (list, watch)))
        {
            Ok(both) => both,
            Err(error) => {
                tracing::warn!(resource, error = %error.message, "controllers cannot list; trying again");
                clock.sleep(RETRY).await;
                continue;
            }
        };
        let entries = list.items.iter().filter_map(|bytes| read(resource, bytes, depth)).collect();
        if facts.send(Fact::List(resource, entries)).await.is_err() {
            return;
        }
        while let Some(LocalEvent { kind, object, .. }) = changes.next().await {
            if kind == LocalEventKind::Expired {
                break;
            }
            let Some(entry) = read(resource, &object, depth) else { continue };
            let fact = match kind {
                LocalEventKind::Deleted => Fact::Gone(resource, entry),
                _ => Fact::Put(resource, entry),
            };
            if facts.send(fact).await.is_err() {
                return;
            }
        }
    }
}

fn read(resource: &str, bytes: &[u8], depth: Depth) -> Option<Entry> {
    match Entry::read(bytes, depth) {
        Ok(entry) => Some(entry),
        Err(error) => {
            tracing::warn!(resource, %error, "controllers cannot read an object; it is left out");
            None
        }
    }
}

impl Engine {
    /// Takes a fact into the cache; answers with what changed.
    fn take_in(&mut self, fact: Fact) -> Vec<(&'static str, Change)> {
        match fact {
            Fact::List(resource, entries) => {
                self.cache.replace(resource, entries).into_iter().map(|change| (resource, change)).collect()
            }
            Fact::Put(resource, entry) => self.cache.put(resource, entry).map(|c| (resource, c)).into_iter().collect(),
            Fact::Gone(resource, entry) => {
                let meta = entry.meta();
                let change = self.cache.remove(resource, &meta.namespace, &meta.name, &meta.uid, false);
                change.map(|c| (resource, c)).into_iter().collect()
            }
        }
    }

    fn believe(&mut self, fact: Fact) {
        for (resource, change) in self.take_in(fact) {
            self.on_change(resource, &change);
        }
    }

    /// Works on a few keys; whether more wait.
    fn turn(&mut self) -> bool {
        for _ in 0..TURN {
            let now = self.clock.now();
            let Some(key) = self.queue.next(now) else { return false };
            match self.work(&key, now) {
                Ok(()) => self.queue.succeeded(&key),
                Err(error) => {
                    tracing::debug!(
                        task = ?key.0, namespace = %key.1.namespace, name = %key.1.name, error = %error.message,
                        "a controller could not finish; it will try again"
                    );
                    self.queue.add_failed(key, now);
                }
            }
        }
        self.queue.is_ready()
    }
}
