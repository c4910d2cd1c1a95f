//! Feeds the pods of a trace through the API and sums up what became of them. Entry point: [`replay`].
//!
//! Pods are created through a [`PodSink`], so that the caller decides which way they take (HTTP, as a user's would, or the
//! in-process client); what becomes of them is seen on a watch, as anybody could see it.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use augur_apiserver::{LocalClient, LocalEventKind};
use augur_clock::Clock;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::audit::{Findings, audit, reference};
use super::openb::{GPU_MILLI, Trace, TraceNode, TracePod};
use crate::sim::Resources;

/// The way that pods take into the API.
pub trait PodSink: Send + Sync + 'static {
    /// Creates a pod.
    ///
    /// # Errors
    /// The API's answer, for people.
    fn create(&self, namespace: &str, pod: Value) -> impl Future<Output = Result<(), String>> + Send;

    /// Deletes a pod; one that is gone already is no error.
    ///
    /// # Errors
    /// The API's answer, for people.
    fn delete(&self, namespace: &str, name: &str) -> impl Future<Output = Result<(), String>> + Send;
}

/// How fast pods come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as the API takes them, in trace order, so many requests at a time; nobody leaves.
    Full {
        /// Requests at a time; two that are under way together may arrive in either order.
        in_flight: usize,
    },
    /// Every pod at its time on the clock, and gone at its end.
    Timed,
}

/// What a replay needs to know.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The clock that everything runs on.
    pub clock: Clock,
    /// How fast pods come.
    pub pace: Pace,
    /// Namespace of the pods.
    pub namespace: String,
    /// `schedulerName` of the pods.
    pub scheduler_name: String,
}

/// How far a replay is; may be read at any time.
#[derive(Debug, Default)]
pub struct Progress {
    /// Pods that the replay will create.
    pub total: AtomicUsize,
    /// Pods created.
    pub created: AtomicUsize,
    /// Pods that were ever bound to a node.
    pub placed: AtomicUsize,
    /// Pods that wait and were found unschedulable.
    pub unschedulable: AtomicUsize,
}

/// Why a replay stops early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The API refused a request for a pod.
    #[error("replay: {action} pod {pod}: {error}")]
    Refused {
        /// `creating` or `deleting`.
        action: &'static str,
        /// The pod.
        pod: String,
        /// The API's answer.
        error: String,
    },
    /// The list of pods has no times.
    #[error("replay: this list of pods has no creation_time and deletion_time, so it can only be fed at full speed")]
    NoTimes,
    /// The watch on pods ended.
    #[error("replay: the watch on pods ended: {0}")]
    Watch(String),
    /// A task failed.
    #[error("replay: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Shares of what all nodes have that pods requested, from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Utilisation {
    /// CPU.
    pub cpu: f64,
    /// Memory.
    pub memory: f64,
    /// GPUs, in thousandths.
    pub gpu: f64,
}

/// What became of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Nodes of the trace.
    pub nodes: usize,
    /// Pods fed.
    pub pods: usize,
    /// Pods that were bound to a node.
    pub placed: usize,
    /// Pods that were not, grouped by the scheduler's reasons without their counts, most frequent first.
    pub unplaced: Vec<(String, usize)>,
    /// Highest utilisation; without departures that is the one at the end.
    pub utilisation: Utilisation,
    /// Real time from the first request to the last decision.
    pub wall: Duration,
    /// What an independent check found; `None` with departures, where the end says nothing about earlier moments.
    pub findings: Option<Findings>,
    /// No more than so many can be placed at once by anybody ([`Trace::feasible_bound`]).
    pub bound: usize,
    /// So many are placed by a plain reference in trace order ([`reference`](super::audit::reference)); without departures.
    pub reference: Option<usize>,
}

impl Summary {
    /// Pods decided per real second.
    #[must_use]
    pub fn pods_per_second(&self) -> f64 {
        self.pods as f64 / self.wall.as_secs_f64().max(1e-9)
    }
}

/// Feeds the trace and waits until every pod is decided: bound, or found unschedulable. With times, until the last one has
/// left. Nodes have to be there already ([`Trace::scenario`]).
///
/// # Errors
/// A request that the API refuses, and a list without times that is to be replayed with times.
pub async fn replay<S: PodSink>(
    trace: &Arc<Trace>,
    sink: Arc<S>,
    client: &LocalClient,
    options: &ReplayOptions,
    progress: Arc<Progress>,
) -> Result<Summary, ReplayError> {
    if options.pace == Pace::Timed && trace.pods.iter().any(|pod| pod.times.is_none()) {
        return Err(ReplayError::NoTimes);
    }
    progress.total.store(trace.pods.len(), Ordering::Relaxed);
    let watch_failed = |error: augur_apiserver::error::ApiError| ReplayError::Watch(error.message);
    let start = client.list("pods", &options.namespace, "", "").map_err(watch_failed)?.resource_version;
    let mut watch = client.watch("pods", &options.namespace, start).map_err(watch_failed)?;
    let mut tracker = Tracker::new(trace);
    let started = Instant::now();
    // Dropped, and thereby stopped, together with this future.
    let mut feeder = JoinSet::new();
    feeder.spawn(feed(trace.clone(), sink, options.clone(), progress.clone()));
    let mut feeding = true;
    while feeding || tracker.undecided() > 0 {
        tokio::select! {
            event = watch.next() => {
                let Some(event) = event else { return Err(ReplayError::Watch("closed".to_owned())) };
                match event.kind {
                    LocalEventKind::Expired => {
                        return Err(ReplayError::Watch("fell behind".to_owned()));
                    }
                    kind => tracker.observe(kind == LocalEventKind::Deleted, &event.object),
                }
                progress.placed.store(tracker.placed, Ordering::Relaxed);
                progress.unschedulable.store(tracker.waiting, Ordering::Relaxed);
            }
            Some(done) = feeder.join_next(), if feeding => {
                done??;
                feeding = false;
            }
        }
    }
    let wall = started.elapsed();
    Ok(tracker.summary(trace, options.pace, wall))
}

async fn feed<S: PodSink>(
    trace: Arc<Trace>,
    sink: Arc<S>,
    options: ReplayOptions,
    progress: Arc<Progress>,
) -> Result<(), ReplayError> {
    match options.pace {
        Pace::Full { in_flight } => {
            // The semaphore bounds the tasks: no more are spawned than there are permits.
            let permits = Arc::new(Semaphore::new(in_flight.max(1)));
            let mut requests: JoinSet<Result<(), ReplayError>> = JoinSet::new();
            for pod in &trace.pods {
                let Ok(permit) = permits.clone().acquire_owned().await else { break };
                while let Some(done) = requests.try_join_next() {
                    done??;
                }
                let object = pod.object(&options.namespace, &options.scheduler_name);
                let (sink, progress) = (sink.clone(), progress.clone());
                let (namespace, name) = (options.namespace.clone(), pod.name.clone());
                requests.spawn(async move {
                    let result = sink.create(&namespace, object).await;
                    drop(permit);
                    progress.created.fetch_add(1, Ordering::Relaxed);
                    result.map_err(|error| ReplayError::Refused { action: "creating", pod: name, error })
                });
            }
            while let Some(done) = requests.join_next().await {
                done??;
            }
        }
        Pace::Timed => {
            let mut steps: Vec<(i64, bool, &TracePod)> = Vec::with_capacity(trace.pods.len() * 2);
            for pod in &trace.pods {
                if let Some((created, deleted)) = pod.times {
                    steps.push((created, false, pod));
                    steps.push((deleted, true, pod));
                }
            }
            // Stable and arrivals first, so that a pod of no duration comes before it goes.
            steps.sort_by_key(|(at, leaves, _)| (*at, *leaves));
            let first = steps.first().map_or(0, |(at, ..)| *at);
            let origin = options.clock.now();
            for (at, leaves, pod) in steps {
                wait_until(&options.clock, origin, at - first).await;
                let action = if leaves { "deleting" } else { "creating" };
                let result = if leaves {
                    sink.delete(&options.namespace, &pod.name).await
                } else {
                    progress.created.fetch_add(1, Ordering::Relaxed);
                    sink.create(&options.namespace, pod.object(&options.namespace, &options.scheduler_name)).await
                };
                result.map_err(|error| ReplayError::Refused { action, pod: pod.name.clone(), error })?;
            }
        }
    }
    Ok(())
}

/// Waits until so many seconds have passed on the clock since `origin`.
async fn wait_until(clock: &Clock, origin: Timestamp, seconds: i64) {
    let passed = clock.now().duration_since(origin).as_secs_f64();
    let left = seconds as f64 - passed;
    if left > 0.0 {
        clock.sleep(Duration::from_secs_f64(left)).await;
    }
}

#[derive(Deserialize)]
struct Seen {
    metadata: SeenMetadata,
    #[serde(default)]
    spec: SeenSpec,
    #[serde(default)]
    status: SeenStatus,
}

#[derive(Deserialize)]
struct SeenMetadata {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct SeenSpec {
    node_name: Option<String>,
}

#[derive(Deserialize, Default)]
struct SeenStatus {
    #[serde(default)]
    conditions: Vec<SeenCondition>,
}

#[derive(Deserialize)]
struct SeenCondition {
    r#type: String,
    status: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Fate {
    /// Not decided yet.
    Open,
    /// Found unschedulable, with the message.
    Waiting(String),
    Placed(String),
    /// Left after it had been placed, or before, with the last message.
    Left(Option<String>),
}

/// What has been seen of each pod.
pub(super) struct Tracker {
    pods: HashMap<String, (usize, Fate)>,
    requests: Vec<Resources>,
    open: usize,
    placed: usize,
    waiting: usize,
    used: Resources,
    capacity: Resources,
    peak: Utilisation,
}

impl Tracker {
    pub(super) fn new(trace: &Trace) -> Self {
        let mut capacity = Resources::default();
        for node in &trace.nodes {
            capacity.add(&TraceNode::capacity(node), 1);
        }
        Tracker {
            pods: trace.pods.iter().enumerate().map(|(i, pod)| (pod.name.clone(), (i, Fate::Open))).collect(),
            requests: trace.pods.iter().map(TracePod::requests).collect(),
            open: trace.pods.len(),
            placed: 0,
            waiting: 0,
            used: Resources::default(),
            capacity,
            peak: Utilisation::default(),
        }
    }

    /// Pods of which nothing is known yet.
    pub(super) fn undecided(&self) -> usize {
        self.open
    }

    /// Takes notice of an event; objects that are no pods of the trace do not count.
    pub(super) fn observe(&mut self, gone: bool, object: &[u8]) {
        let Ok(seen) = serde_json::from_slice::<Seen>(object) else { return };
        let Some((index, fate)) = self.pods.get_mut(&seen.metadata.name) else { return };
        let unschedulable = seen
            .status
            .conditions
            .iter()
            .find(|c| c.r#type == "PodScheduled" && c.status == "False")
            .map(|c| &c.message);
        let next = match (&*fate, seen.spec.node_name.filter(|node| !node.is_empty())) {
            (Fate::Left(_), _) => return,
            (Fate::Placed(_), _) if gone => Fate::Left(None),
            (Fate::Placed(_), _) => return,
            (_, Some(node)) => Fate::Placed(node),
            (Fate::Waiting(message), None) if gone => Fate::Left(Some(message.clone())),
            (Fate::Open, None) if gone => Fate::Left(Some("deleted before a decision".to_owned())),
            (_, None) => match unschedulable {
                Some(message) => Fate::Waiting(message.clone()),
                None => return,
            },
        };
        match fate {
            Fate::Open => self.open -= 1,
            Fate::Waiting(_) => self.waiting -= 1,
            Fate::Placed(_) => self.used.add(&self.requests[*index], -1),
            Fate::Left(_) => {}
        }
        match &next {
            Fate::Placed(_) => {
                self.placed += 1;
                self.used.add(&self.requests[*index], 1);
                let share = |used: i64, all: i64| used as f64 / all.max(1) as f64;
                let gpu = share(self.used.extended(GPU_MILLI), self.capacity.extended(GPU_MILLI));
                self.peak.cpu = self.peak.cpu.max(share(self.used.cpu_milli, self.capacity.cpu_milli));
                self.peak.memory = self.peak.memory.max(share(self.used.memory, self.capacity.memory));
                self.peak.gpu = self.peak.gpu.max(gpu);
            }
            Fate::Waiting(_) => self.waiting += 1,
            Fate::Open | Fate::Left(_) => {}
        }
        *fate = next;
    }

    pub(super) fn summary(&self, trace: &Trace, pace: Pace, wall: Duration) -> Summary {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let mut placed = HashMap::new();
        let mut unplaced = Vec::new();
        for pod in &trace.pods {
            let Some((_, fate)) = self.pods.get(&pod.name) else { continue };
            match fate {
                Fate::Placed(node) => {
                    placed.insert(pod.name.clone(), node.clone());
                }
                Fate::Waiting(message) | Fate::Left(Some(message)) => {
                    *reasons.entry(without_counts(message)).or_default() += 1;
                    unplaced.push(pod);
                }
                Fate::Open | Fate::Left(None) => {}
            }
        }
        let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let full = matches!(pace, Pace::Full { .. });
        Summary {
            nodes: trace.nodes.len(),
            pods: trace.pods.len(),
            placed: self.placed,
            unplaced: reasons,
            utilisation: self.peak,
            wall,
            findings: full.then(|| audit(trace, &placed, &unplaced)),
            bound: trace.feasible_bound(),
            reference: full.then(|| reference(trace)),
        }
    }
}

/// `0/5 nodes are available: 2 Insufficient memory, 3 Insufficient cpu. no new claims to deallocate, preemption: …` as
/// `Insufficient cpu, Insufficient memory`, so that equal reasons on different numbers of nodes are one group.
pub(super) fn without_counts(message: &str) -> String {
    let Some((_, reasons)) = message.split_once(" nodes are available: ") else { return message.to_owned() };
    // Names of resources hold dots too, but only a sentence's end has a space after it.
    let reasons = reasons.split(". ").next().unwrap_or(reasons).trim_end_matches('.');
    let mut parts: Vec<&str> =
        reasons.split(", ").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start()).collect();
    parts.sort_unstable();
    parts.dedup();
    parts.join(", ")
}
