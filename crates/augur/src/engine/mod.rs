//! The scheduler service: watches in, decisions and their effects out.
//!
//! [`Engine::start`] runs the watches as tasks and the scheduler on a thread of its own; [`EngineHandle`] asks it. The thread's
//! loop is in [`owner`].

mod copy;
mod counts;
mod events;
mod extenders;
mod latency;
mod observe;
mod outbound;
mod owner;
mod readings;
mod record;
mod related;
mod seen;
pub mod signals;
mod status;
mod steady;
mod traces;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use augur_api::SchedulerMetrics;
use augur_clock::Clock;
use augur_core::cache::CONFIRM_WITHIN;
use augur_core::enhanced::EnhancedConfig;
use augur_core::predictor::{Fallback, Predictor};
use augur_core::profile::{Exploration, Profile};
use augur_core::queue::QueueConfig;
use augur_core::scheduler::{Scheduler, SchedulerConfig};
use augur_history::HistoryHandle;
use augur_kube::{
    BindError, Binder, Binding, Denials, Fence, Leadership, LeaseConfig, Source, Ticket, UsageSource, Writer,
    reflect_with,
};
use augur_learn::PastSlot;
use jiff::Timestamp;
use kube::Client;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

pub use copy::{Copied, CopyError, PIECE};
pub use extenders::{CalledExtender, Extenders};
pub use record::Recorder;
pub use status::{EngineStatus, Shared};
pub use traces::Traces;
pub use view::{DryRun, NodeSnapshot, View, taint as taint_text};

use crate::config;
use outbound::Outbound;
use owner::{Inboxes, Owner, Parts, Query};
use seen::{Reader, SeenNode, SeenPod};
use signals::core_time;

/// Changes of pods that wait for the scheduler thread: what a busy API server sends in half a second. When it is full the watch
/// waits, and the API server with it.
const POD_CHANGES: usize = 4096;
/// The same for nodes, which change seldom.
const NODE_CHANGES: usize = 512;
/// Changes of all other kinds that wait.
const RELATED_CHANGES: usize = 512;
/// Questions that wait. Whoever finds it full waits for a place.
const QUERIES: usize = 64;
/// How often nodes and pods are listed anew, so that what is known is compared with what there is.
const SELF_CHECK: Duration = Duration::from_secs(30 * 60);
/// How long the first list of pods waits for the first attempt at the lease.
const FIRST_ATTEMPT: Duration = Duration::from_secs(1);
/// How long the thread may take to end: bindings in flight are waited for, and one turn.
const END_WITHIN: Duration = Duration::from_millis(5500);

/// What the engine runs with.
pub struct EngineOptions {
    /// The cluster.
    pub client: Client,
    /// What the client was denied.
    pub denials: Denials,
    /// The time.
    pub clock: Clock,
    /// How pods are placed, by scheduler name; at least one.
    pub profiles: Vec<Profile>,
    /// Who is asked about pods besides, in this order.
    pub extenders: Vec<CalledExtender>,
    /// Times of the queue.
    pub queue: QueueConfig,
    /// Decides among equally good nodes.
    pub seed: u64,
    /// The memory.
    pub history: HistoryHandle,
    /// What decisions and the predictor know of the past.
    pub past: PastSlot,
    /// The model.
    pub predictor: Arc<dyn Predictor + Send + Sync>,
    /// Where readings of usage come from.
    pub usage: UsageSource,
    /// How often it is asked, in the clock's time.
    pub metrics_interval: Duration,
    /// Where attempts are counted.
    pub counters: Arc<SchedulerMetrics>,
    /// The lease that has to be held to decide; `None` for a scheduler without replicas.
    pub election: Option<LeaseConfig>,
    /// Whether pods are placed, or others' decisions are followed.
    pub mode: Mode,
    /// Where attempts are told of as spans.
    pub traces: Traces,
}

/// How the engine takes part in scheduling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It places the pods of its scheduler names.
    #[default]
    Scheduler,
    /// It writes nothing to the cluster; it decides for pods that others place, and records both.
    Shadow,
    /// It answers a kube-scheduler that asks it as an extender, and places nothing of its own accord.
    Extender,
}

/// A profile of kube-scheduler's plugins and the configured enhanced scoring, for pods of this scheduler name.
pub fn profile(scheduler_name: &str, config: &config::Scheduler) -> Profile {
    let (scoring, thresholds) = (&config.scoring, &config.thresholds);
    let mut profile = Profile::new(scheduler_name);
    profile.enhanced = EnhancedConfig {
        weight: profile.enhanced.weight,
        risk_weight: scoring.risk_weight,
        cpu_weight: scoring.cpu_weight.into(),
        memory_weight: scoring.memory_weight.into(),
        node_ready_weight: scoring.node_ready_weight.into(),
        taint_weight: scoring.taint_weight.into(),
        failed_pods_weight: scoring.failed_pods_weight.into(),
        restart_weight: scoring.restart_weight.into(),
        cpu_threshold: thresholds.cpu_usage_threshold / 100.0,
        memory_threshold: thresholds.memory_usage_threshold / 100.0,
        failed_pods_threshold: thresholds.failed_pods_threshold.into(),
        restart_threshold: thresholds.avg_restart_threshold,
    };
    profile.model_share = scoring.model_weight;
    let exploration = &config.exploration;
    profile.exploration =
        Exploration { share: exploration.share, points: exploration.points, max_priority: exploration.max_priority };
    profile
}

/// Why a query has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the scheduler thread has ended")]
pub struct QueryError;

/// The running scheduler service. [`Engine::shutdown`] ends it with a farewell; dropped, it ends at once.
pub struct Engine {
    handle: EngineHandle,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<Ended>,
    election: Option<Election>,
}

/// How the thread ended.
enum Ended {
    Orderly,
    Panicked,
}

/// What the scheduler thread does from its start to its end.
struct Work {
    owner: Owner,
    inboxes: Inboxes,
    end: End,
}

impl Work {
    async fn run(self) {
        // Also when it panics, so that health never tells of a scheduler that is gone.
        let _end = self.end;
        self.owner.run(self.inboxes).await;
    }
}

/// A running candidacy.
struct Election {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// Asks the engine. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    client: Client,
    queries: mpsc::Sender<Query>,
    shared: Shared,
    predictor: Arc<dyn Predictor + Send + Sync>,
    clock: Clock,
    leadership: watch::Receiver<Leadership>,
    binder: Binder,
    mode: Mode,
}

impl Engine {
    /// Starts watches and thread on the current runtime.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(options: EngineOptions) -> std::io::Result<Engine> {
        let runtime = Handle::current();
        Engine::start_with(options, |work| {
            let thread = std::thread::Builder::new().name("augur-scheduler".to_owned());
            thread.spawn(move || runtime.block_on(work.run())).map(drop)
        })
    }

    /// Starts watches on the current runtime, and the scheduler's work as `begin` says.
    fn start_with(options: EngineOptions, begin: impl FnOnce(Work) -> std::io::Result<()>) -> std::io::Result<Engine> {
        let runtime = Handle::current();
        let shared = Shared::new(options.denials.clone());
        let (pods, pod_changes) = mpsc::channel(POD_CHANGES);
        let (nodes, node_changes) = mpsc::channel(NODE_CHANGES);
        let (related, related_changes) = mpsc::channel(RELATED_CHANGES);
        let (queries, asked) = mpsc::channel(QUERIES);
        // One collection waits at most; the next is not asked for before it is taken in.
        let (metrics, collections) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(false);
        let (checked, mut ends) = (shared.clone(), stopped.clone());
        runtime.spawn(async move {
            while tokio::time::timeout(SELF_CHECK, ends.wait_for(|stop| *stop)).await.is_err() {
                checked.nodes.ask_for_check();
                checked.pods.ask_for_check();
            }
        });
        let (fence, leadership, election) = campaign(&runtime, &options, &shared);
        let writer = Writer::new(options.client.clone(), fence.clone());
        let extenders = Extenders::start(options.extenders, options.client.clone(), &runtime, options.counters.clone());
        let (outbound, back) = Outbound::start(&options.client, &writer, extenders.clone(), runtime.clone());
        watch_nodes(&runtime, &options.client, nodes, shared.nodes.clone());
        watch_pods(&runtime, &options.client, pods, shared.pods.clone(), leadership.clone());
        related::watch_all(&runtime, &options.client, &shared.related, &related);
        let asking = readings::Asking {
            source: options.usage,
            clock: options.clock.clone(),
            interval: options.metrics_interval,
        };
        let (following, mut over) = (events::follow(options.client.clone(), options.history.clone()), stopped.clone());
        runtime.spawn(async move {
            tokio::select! { () = following => {}, _ = over.wait_for(|stop| *stop) => {} }
        });
        runtime.spawn(readings::collect_for_ever(asking, options.history.clone(), metrics));
        let handle = EngineHandle {
            client: options.client.clone(),
            queries,
            shared: shared.clone(),
            predictor: options.predictor.clone(),
            clock: options.clock.clone(),
            leadership: leadership.clone(),
            binder: Binder::new(writer.clone(), outbound::BINDINGS_IN_FLIGHT, outbound::BINDING_TIMEOUT),
            mode: options.mode,
        };
        let owner = Owner::new(Parts {
            scheduler: Scheduler::new(SchedulerConfig {
                profiles: options.profiles,
                extenders: extenders.known(),
                queue: options.queue,
                seed: options.seed,
                // The watch is as fast as the machine, however fast the clock runs.
                confirm_within: Duration::try_from_secs_f64(
                    CONFIRM_WITHIN.as_secs_f64() * options.clock.speed().max(1.0),
                )
                .unwrap_or(Duration::MAX),
            }),
            seed: options.seed,
            predictor: options.predictor,
            clock: options.clock,
            history: options.history,
            mode: options.mode,
            past: options.past,
            outbound,
            shared: shared.clone(),
            counters: options.counters,
            fence,
            traces: options.traces,
        });
        let inboxes = Inboxes {
            pods: pod_changes,
            nodes: node_changes,
            related: related_changes,
            back,
            metrics: collections,
            queries: asked,
            leadership,
            stop: stopped,
        };
        let (told, ended) = oneshot::channel();
        begin(Work { owner, inboxes, end: End { shared, told: Some(told) } })?;
        Ok(Engine { handle, stop, ended, election })
    }

    /// A handle.
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// Stops deciding, waits a moment for the bindings under way, ends the thread, and gives the lease back.
    pub async fn shutdown(self) {
        // The receiver is gone if the thread has ended by itself.
        let _ = self.stop.send(true);
        match tokio::time::timeout(END_WITHIN, self.ended).await {
            Ok(Ok(Ended::Orderly)) => {}
            Ok(_) => tracing::error!("the scheduler thread panicked"),
            Err(_) => tracing::warn!("the scheduler thread did not end in time"),
        }
        // Only now, so that the next leader finds nothing of ours under way.
        if let Some(Election { stop, task }) = self.election {
            stop.send_replace(true);
            if task.await.is_err() {
                tracing::error!("the task of the leader election panicked");
            }
        }
    }
}

/// Begins to compete for the lease, if there is one. Tells what has to be asked before a write, and how things stand.
fn campaign(
    runtime: &Handle,
    options: &EngineOptions,
    shared: &Shared,
) -> (Fence, watch::Receiver<Leadership>, Option<Election>) {
    if options.mode == Mode::Shadow {
        // A fence that nobody opens: nothing can be written, whatever asks for it.
        let never = Fence::closed(&LeaseConfig::new("", "", ""), options.clock.clone());
        return (never, watch::channel(Leadership::Alone).1, None);
    }
    let Some(config) = options.election.clone() else {
        return (Fence::open(), watch::channel(Leadership::Alone).1, None);
    };
    let (fence, (stop, stopped)) = (Fence::closed(&config, options.clock.clone()), watch::channel(false));
    let (tell, told) = watch::channel(Leadership::Standby { holder: None, error: None });
    // What the leader before bound last may not have come over the watch yet; a list is sure to have it.
    let pods = shared.pods.clone();
    let elected = move || pods.ask_for_list();
    let campaign =
        augur_kube::campaign(options.client.clone(), config, fence.clone(), Arc::new(tell), elected, stopped);
    (fence, told, Some(Election { stop, task: runtime.spawn(campaign) }))
}

/// Marks the thread as ended.
struct End {
    shared: Shared,
    told: Option<oneshot::Sender<Ended>>,
}

impl Drop for End {
    fn drop(&mut self) {
        let mut status = EngineStatus::clone(&self.shared.status());
        status.stopped = true;
        self.shared.publish(status);
        if let Some(told) = self.told.take() {
            // The engine may have been dropped.
            let _ = told.send(if std::thread::panicking() { Ended::Panicked } else { Ended::Orderly });
        }
    }
}

fn watch_nodes(
    runtime: &Handle,
    client: &Client,
    changes: mpsc::Sender<augur_kube::Change<SeenNode>>,
    stats: Arc<augur_kube::WatchStats>,
) {
    let client = client.clone();
    let source = Source { path: "/api/v1/nodes", narrowed: String::new() };
    let reader = Reader::default();
    runtime.spawn(async move { reflect_with(client, source, |json: &str| reader.node(json), changes, &stats).await });
}

/// Watches pods, once the first attempt at the lease has been made: its first list then serves a leader at once.
fn watch_pods(
    runtime: &Handle,
    client: &Client,
    changes: mpsc::Sender<augur_kube::Change<SeenPod>>,
    stats: Arc<augur_kube::WatchStats>,
    mut leadership: watch::Receiver<Leadership>,
) {
    let client = client.clone();
    let source = Source { path: "/api/v1/pods", narrowed: String::new() };
    runtime.spawn(async move {
        if !leadership.borrow_and_update().leads() {
            // Whatever comes of it; it need not come soon.
            let _ = tokio::time::timeout(FIRST_ATTEMPT, leadership.changed()).await;
        }
        let reader = Reader::default();
        reflect_with(client, source, |json: &str| reader.pod(json), changes, &stats).await;
    });
}

impl EngineHandle {
    /// Asks something of the cluster as the scheduler thread knows it, between two of its turns.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn query<T: Send + 'static>(
        &self,
        question: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, QueryError>> + Send + 'static {
        let queries = self.queries.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            // Whoever asked may have gone away meanwhile.
            let query: Query = Box::new(move |view| drop(reply.send(question(view))));
            queries.send(query).await.map_err(|_| QueryError)?;
            answer.await.map_err(|_| QueryError)
        }
    }

    /// Binds a pod as another scheduler has decided, by the same fence and with the same retries as our own.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(&self, binding: &Binding) -> Result<(), BindError> {
        self.binder.bind(binding, &Ticket::default()).await
    }

    /// How the engine takes part in scheduling.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A pod as the API server has it, as JSON; `None` if there is none.
    ///
    /// # Errors
    /// The API server does not answer, or refuses.
    pub async fn fetch_pod(&self, namespace: &str, name: &str) -> Result<Option<String>, kube::Error> {
        // What cannot be a name names nothing; in a path it could mean something else.
        let is_name = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
        if !is_name(namespace) || !is_name(name) || namespace.is_empty() || name.is_empty() {
            return Ok(None);
        }
        let request = http::Request::get(format!("/api/v1/namespaces/{namespace}/pods/{name}"))
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        match self.client.request_text(request).await {
            Ok(json) => Ok(Some(json)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How the engine is doing, at most some 50 ms old. Never waits.
    pub fn status(&self) -> Arc<EngineStatus> {
        self.shared.status()
    }

    /// Whether this replica leads.
    pub fn leadership(&self) -> Leadership {
        self.leadership.borrow().clone()
    }

    /// How the watches are doing.
    pub fn watches(&self) -> &Shared {
        &self.shared
    }

    /// The time by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The model's id, and why it has no say now.
    pub fn model(&self) -> (Option<Arc<str>>, Option<Fallback>) {
        let now: Timestamp = self.clock.now();
        (self.predictor.model_id(), self.predictor.available(core_time(now)).err())
    }
}
