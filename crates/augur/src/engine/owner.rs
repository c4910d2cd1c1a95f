//! The scheduler thread: it alone holds the [`Scheduler`], and everything reaches it over bounded channels.
//!
//! A turn takes in what has come, then decides a bounded number of pods, then has the effects carried out. Start at
//! [`Owner::run`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use augur_api::{AttemptResult, NodeCondition, PendingPods, SchedulerMetrics};
use augur_clock::Clock;
use augur_core::cache::CONFIRM_WITHIN;
use augur_core::cycle::{Algorithm, Decision};
use augur_core::object::{NodeName, Pod, PodUid};
use augur_core::plugins::ClaimsAfter;
use augur_core::predictor::{Fallback, Predictor};
use augur_core::scheduler::{BindResult, Effect, Input, Scheduler};
use augur_core::state::ClusterSummary;
use augur_history::{DecisionId, DecisionKind, HistoryHandle, PodPhase, UnixMillis};
use augur_kube::{Change, Fence, Key, Leadership, Ticket, Usage};
use augur_learn::{Past, PastSlot};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

mod carry;
mod reread;
mod shadow;

use super::Mode;
use super::counts::tried_to_make_room;
use super::latency::Latencies;
use super::observe::{Fares, vanished};
use super::outbound::{BINDINGS_IN_FLIGHT, Back, EVICTIONS_IN_FLIGHT, Outbound, Told};
use super::readings::{Readings, Renewal};
use super::record::{Recorder, Surroundings};
use super::related;
use super::seen::{SeenNode, SeenPod};
use super::signals::{Believed, Shares, core_time};
use super::status::{Attempts, EngineStatus, MetricsStatus, Shared};
use super::steady::Steady;
use super::traces::{Attempt, Traces};
use super::view::View;

/// Inputs of one kind taken in before the next kind has its turn, so that a flood of pods cannot keep a result waiting.
const INPUTS_PER_TURN: usize = 512;

/// Pods decided in a turn: a few milliseconds of work, after which watches and queries have their say.
const DECISIONS_PER_TURN: usize = 32;

/// Queries answered in a turn: a flood of them slows scheduling, but does not stop it.
const QUERIES_PER_TURN: usize = 4;

/// The status is published at most so often.
const PUBLISH_EVERY: Duration = Duration::from_millis(50);

/// Observations handed to history at once during a list, a quarter of what its queue holds.
const LISTED_AT_ONCE: usize = 4096;

/// How long bindings in flight are waited for at a shutdown; an API server that answers takes milliseconds.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often a new leader looks whether it has caught up.
const CATCH_UP: Duration = Duration::from_millis(10);

/// A question, answered between two turns.
pub type Query = Box<dyn FnOnce(&View<'_>) + Send>;

/// The channels by which the thread is reached.
pub struct Inboxes {
    /// From the watch of pods.
    pub pods: mpsc::Receiver<Change<SeenPod>>,
    /// From the watch of nodes.
    pub nodes: mpsc::Receiver<Change<SeenNode>>,
    /// From the watches of everything else.
    pub related: mpsc::Receiver<Input>,
    /// From what was carried out.
    pub back: mpsc::Receiver<Back>,
    /// From the Metrics API.
    pub metrics: mpsc::Receiver<Readings>,
    /// From the services.
    pub queries: mpsc::Receiver<Query>,
    /// Whether this replica leads.
    pub leadership: watch::Receiver<Leadership>,
    /// True once the thread is to end.
    pub stop: watch::Receiver<bool>,
}

/// What the thread waited for.
enum Woken {
    Pod(Box<Change<SeenPod>>),
    Node(Box<Change<SeenNode>>),
    Related(Box<Input>),
    Back(Back),
    Metrics(Box<Readings>),
    Query(Query),
    Time,
    Stop,
}

/// A pod of ours that is not bound.
struct Waiting {
    since: Instant,
    told: Option<Told>,
}

/// A binding under way.
struct InFlight {
    pod: Arc<Pod>,
    node: NodeName,
    decision: DecisionId,
    attempts: u32,
    began: Instant,
    /// How long its decision took.
    took: Duration,
    /// Whether the API server is being asked for something; otherwise the pod waits for what others do about its volumes.
    asking: bool,
    /// To take the binding back as long as it is not sent.
    ticket: Option<Ticket>,
}

/// What is kept of a node beside the scheduler.
#[derive(Default)]
pub struct NodeNote {
    /// All its conditions.
    pub conditions: Arc<[NodeCondition]>,
    /// The latest reading.
    pub usage: Option<Usage>,
    pub(super) shares: Option<Shares>,
    /// The latest reading that was believed.
    pub(super) believed: Option<Believed>,
    /// How often the watches told of the node or of a pod on it.
    changes: u64,
    /// Whether it is being read again.
    rereading: bool,
}

/// The thread's own.
pub struct Owner {
    pub(super) scheduler: Scheduler,
    pub(super) seed: u64,
    pub(super) predictor: Arc<dyn Predictor + Send + Sync>,
    pub(super) clock: Clock,
    pub(super) time: Steady,
    pub(super) history: HistoryHandle,
    pub(super) mode: Mode,
    /// What decisions and the predictor know of the past.
    pub(super) past: PastSlot,
    pub(super) outbound: Outbound,
    pub(super) shared: Shared,
    pub(super) recorder: Recorder,
    pub(super) notes: HashMap<NodeName, NodeNote>,
    pub(super) summary: ClusterSummary,
    pub(super) counters: Arc<SchedulerMetrics>,
    fence: Fence,
    /// Whether all is known that was bound before this replica led.
    caught_up: bool,
    waiting: HashMap<PodUid, Waiting>,
    in_flight: HashMap<PodUid, InFlight>,
    /// Of these, the ones for which the API server is being asked for something.
    asking: usize,
    /// Evictions under way.
    evicting: usize,
    /// Pods without a node that others may place; only when that is watched. They are objects of the API server.
    unplaced: HashSet<PodUid>,
    rejections: u64,
    recalled: u64,
    listed: (bool, bool),
    related_answered: bool,
    pub(super) summary_stale: bool,
    attempts: Attempts,
    bound: u64,
    binding_errors: u64,
    conditions_lost: u64,
    decisions: Latencies,
    bindings: Latencies,
    pub(super) metrics: MetricsStatus,
    pub(super) renewal: Renewal,
    traces: Traces,
    published: Option<Instant>,
    ticked: Option<Timestamp>,
    /// When pods were last listed because a binding was not confirmed.
    listed_for_overdue: Option<Instant>,
    pub(super) seconds: u32,
}

/// What the thread starts with.
pub struct Parts {
    pub scheduler: Scheduler,
    pub seed: u64,
    pub predictor: Arc<dyn Predictor + Send + Sync>,
    pub clock: Clock,
    pub history: HistoryHandle,
    pub past: PastSlot,
    pub outbound: Outbound,
    pub shared: Shared,
    pub counters: Arc<SchedulerMetrics>,
    pub fence: Fence,
    pub mode: Mode,
    pub traces: Traces,
}

impl Owner {
    /// An owner that has seen nothing yet.
    pub fn new(parts: Parts) -> Self {
        Owner {
            scheduler: parts.scheduler,
            seed: parts.seed,
            predictor: parts.predictor,
            time: Steady::new(parts.clock.clone()),
            clock: parts.clock,
            history: parts.history,
            mode: parts.mode,
            past: parts.past,
            outbound: parts.outbound,
            shared: parts.shared,
            counters: parts.counters,
            fence: parts.fence,
            caught_up: false,
            recorder: Recorder::new(),
            notes: HashMap::new(),
            summary: ClusterSummary::default(),
            waiting: HashMap::new(),
            in_flight: HashMap::new(),
            asking: 0,
            evicting: 0,
            unplaced: HashSet::new(),
            rejections: 0,
            recalled: 0,
            listed: (false, false),
            related_answered: false,
            summary_stale: true,
            attempts: Attempts::default(),
            bound: 0,
            binding_errors: 0,
            conditions_lost: 0,
            decisions: Latencies::default(),
            bindings: Latencies::default(),
            metrics: MetricsStatus::default(),
            renewal: Renewal::default(),
            traces: parts.traces,
            published: None,
            ticked: None,
            listed_for_overdue: None,
            seconds: 0,
        }
    }

    /// Works until it is told to stop, then waits a moment for the bindings under way.
    pub async fn run(mut self, mut inboxes: Inboxes) {
        loop {
            if *inboxes.stop.borrow() {
                break;
            }
            let worked = self.turn(&mut inboxes);
            self.publish(!worked);
            if !worked {
                match self.wait(&mut inboxes).await {
                    Woken::Stop => break,
                    woken => self.take(woken),
                }
            }
        }
        let until = Instant::now() + FAREWELL;
        while self.asking > 0 {
            let left = until.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, inboxes.back.recv()).await {
                Ok(Some(back)) => self.take_back(back),
                _ => break,
            }
        }
        self.publish(true);
    }

    /// Takes in what has come and decides what can be decided; false when there was nothing to do.
    fn turn(&mut self, inboxes: &mut Inboxes) -> bool {
        let mut worked = false;
        for _ in 0..INPUTS_PER_TURN {
            let Ok(back) = inboxes.back.try_recv() else { break };
            self.take_back(back);
            worked = true;
        }
        for _ in 0..INPUTS_PER_TURN {
            let Ok(change) = inboxes.nodes.try_recv() else { break };
            self.take_node(change);
            worked = true;
        }
        let fresh = self.shared.pods.is_fresh();
        for _ in 0..INPUTS_PER_TURN {
            let Ok(change) = inboxes.pods.try_recv() else { break };
            self.take_pod(change);
            worked = true;
        }
        // A list that was asked for is taken in once the channel has been seen empty after it.
        self.caught_up = fresh && (self.caught_up || inboxes.pods.is_empty());
        for _ in 0..INPUTS_PER_TURN {
            let Ok(input) = inboxes.related.try_recv() else { break };
            self.step(input);
            worked = true;
        }
        // Before nodes are known readings would be nobody's, and the next come only after an interval.
        if self.is_ready()
            && let Ok(collected) = inboxes.metrics.try_recv()
        {
            self.take_metrics(collected);
            worked = true;
        }
        worked |= self.renew();
        for _ in 0..QUERIES_PER_TURN {
            let Ok(query) = inboxes.queries.try_recv() else { break };
            self.answer(query);
            worked = true;
        }
        self.tick();
        // A standby follows everything and decides nothing.
        if self.mode == Mode::Scheduler
            && self.is_ready()
            && self.leads()
            && self.caught_up
            && self.related_have_answered()
        {
            for _ in 0..DECISIONS_PER_TURN {
                // What is beyond waits in the queue, where priorities still count.
                let busy = self.asking >= BINDINGS_IN_FLIGHT || self.evicting >= EVICTIONS_IN_FLIGHT;
                if busy || !self.decide() {
                    break;
                }
                worked = true;
            }
        }
        worked
    }

    async fn wait(&self, inboxes: &mut Inboxes) -> Woken {
        let now = self.time.now();
        let tick = Duration::from_secs(1);
        let sleep = match self.scheduler.next_wakeup() {
            Some(at) => at.since(core_time(now)).min(tick),
            None => tick,
        };
        // The list that makes a new leader ready is told of by no message of its own.
        let sleep = if self.leads() && !self.caught_up { sleep.min(CATCH_UP) } else { sleep };
        tokio::select! {
            biased;
            _ = inboxes.stop.wait_for(|stop| *stop) => Woken::Stop,
            Some(back) = inboxes.back.recv() => Woken::Back(back),
            Some(change) = inboxes.nodes.recv() => Woken::Node(Box::new(change)),
            Some(change) = inboxes.pods.recv() => Woken::Pod(Box::new(change)),
            Some(input) = inboxes.related.recv() => Woken::Related(Box::new(input)),
            Some(query) = inboxes.queries.recv() => Woken::Query(query),
            Some(collected) = inboxes.metrics.recv(), if self.is_ready() => Woken::Metrics(Box::new(collected)),
            Ok(()) = inboxes.leadership.changed() => Woken::Time,
            () = self.clock.sleep(sleep) => Woken::Time,
        }
    }

    fn take(&mut self, woken: Woken) {
        match woken {
            Woken::Pod(change) => self.take_pod(*change),
            Woken::Node(change) => self.take_node(*change),
            Woken::Related(input) => self.step(*input),
            Woken::Back(back) => self.take_back(back),
            Woken::Metrics(collected) => self.take_metrics(*collected),
            Woken::Query(query) => self.answer(query),
            Woken::Time | Woken::Stop => {}
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.listed == (true, true)
    }

    /// Whether this replica may change the cluster.
    fn leads(&self) -> bool {
        self.fence.permit().is_some()
    }

    /// Whether it is known what else bears on pods, or that it may take long to be known.
    fn related_have_answered(&mut self) -> bool {
        if !self.related_answered {
            let known = self.scheduler.state().related();
            self.related_answered = related::have_answered(&self.shared.related, |kind| known.is_listed(kind));
        }
        self.related_answered
    }

    pub(super) fn step(&mut self, input: Input) {
        let now = core_time(self.time.now());
        let mut effects = Vec::new();
        self.scheduler.step(input, now, &mut effects);
        self.carry_out(effects, Duration::ZERO);
    }

    /// Decides the next pod; false when none is due.
    fn decide(&mut self) -> bool {
        if self.summary_stale {
            self.summary = self.scheduler.state().summary();
            self.summary_stale = false;
        }
        self.renew_past();
        let began = Instant::now();
        let now = core_time(self.time.now());
        let mut effects = Vec::new();
        if !self.scheduler.run_once(&*self.predictor, now, &mut effects) {
            return false;
        }
        let took = began.elapsed();
        self.decisions.record(took);
        self.carry_out(effects, took);
        true
    }

    /// Takes over the rates that history shows by now.
    fn renew_past(&self) {
        let (known, rates) = (self.past.get(), self.history.rates());
        if !Arc::ptr_eq(&known.rates, &rates) {
            self.past.set(Past { rates, lifetimes: known.lifetimes.clone() });
        }
    }

    fn take_pod(&mut self, change: Change<SeenPod>) {
        let at = self.millis();
        match change {
            Change::Applied(SeenPod { pod, fares }) => {
                self.watch_others(&pod, false);
                self.watch_rejections(&pod, &fares);
                self.note_change(pod.node.as_ref());
                self.history.observe_pod(fares.observation(&pod, false, at));
                self.wait_for(&pod);
                self.step(Input::PodApplied(pod));
            }
            Change::Deleted(Key { uid, .. }, last) => {
                let uid: PodUid = uid.into();
                let seen = last.map(|last| last.fares.observation(&last.pod, true, at));
                let unseen = || self.scheduler.state().pod(&uid).map(|(pod, _)| vanished(pod, at));
                if let Some(observation) = seen.or_else(unseen) {
                    self.history.observe_pod(observation);
                }
                let node = self.scheduler.state().pod(&uid).map(|(_, node)| node.clone());
                self.note_change(node.as_ref());
                self.unplaced.remove(&uid);
                self.waiting.remove(&uid);
                self.step(Input::PodDeleted(uid));
            }
            Change::Reset(all) => {
                let present: HashSet<PodUid> = all.iter().map(|seen| seen.pod.uid.clone()).collect();
                for (pod, _) in self.scheduler.state().pods().filter(|(pod, _)| !present.contains(&pod.uid)) {
                    self.history.observe_pod(vanished(pod, at));
                }
                self.waiting.retain(|uid, _| present.contains(uid));
                self.unplaced.retain(|uid| present.contains(uid));
                self.notes.values_mut().for_each(|note| note.changes += 1);
                let pods = all.into_iter().enumerate().map(|(index, SeenPod { pod, fares })| {
                    if index % LISTED_AT_ONCE == LISTED_AT_ONCE - 1 {
                        // A list may be longer than history's queue; nothing of it may be lost.
                        self.history.flush();
                    }
                    self.watch_others(&pod, true);
                    self.history.observe_pod(fares.observation(&pod, false, at));
                    self.wait_for(&pod);
                    pod
                });
                // In the place of the list, which is large.
                let pods = pods.collect();
                self.history.pods_listed(at);
                self.step(Input::PodsReset(pods));
                self.listed.0 = true;
            }
        }
    }

    /// Follows whether the pod is one of ours that waits.
    fn wait_for(&mut self, pod: &Pod) {
        let ours = self.scheduler.profile(&pod.spec.scheduler_name).is_some();
        if ours && pod.node.is_none() && !pod.phase.is_over() {
            self.waiting.entry(pod.uid.clone()).or_insert_with(|| Waiting { since: Instant::now(), told: None });
        } else if !self.in_flight.contains_key(&pod.uid) {
            self.waiting.remove(&pod.uid);
        }
    }

    fn take_node(&mut self, change: Change<SeenNode>) {
        self.summary_stale = true;
        let at = self.millis();
        match change {
            Change::Applied(SeenNode { node, conditions }) => {
                let before = self.scheduler.state().node(&node.name).map(|view| view.node().ready);
                if before != Some(node.ready) {
                    self.observe_node(&node.name, node.ready, None, false, at);
                }
                let note = self.notes.entry(node.name.clone()).or_default();
                note.conditions = conditions;
                note.changes += 1;
                self.step(Input::NodeApplied(node));
            }
            Change::Deleted(Key { name, .. }, _) => {
                let name: NodeName = name.into();
                self.notes.remove(&name);
                self.observe_node(&name, false, None, true, at);
                self.step(Input::NodeDeleted(name));
            }
            Change::Reset(all) => {
                let mut notes = HashMap::with_capacity(all.len());
                let mut nodes = Vec::with_capacity(all.len());
                for SeenNode { node, conditions } in all {
                    self.observe_node(&node.name, node.ready, None, false, at);
                    let note = self.notes.remove(&node.name).unwrap_or_default();
                    notes.insert(node.name.clone(), NodeNote { conditions, ..note });
                    nodes.push(node);
                }
                for gone in std::mem::replace(&mut self.notes, notes).into_keys() {
                    self.observe_node(&gone, false, None, true, at);
                }
                self.step(Input::NodesReset(nodes));
                self.listed.1 = true;
            }
        }
    }

    /// Lets time pass for the scheduler and for history, about every second.
    fn tick(&mut self) {
        let now = self.time.now();
        let due = self.scheduler.next_wakeup().is_some_and(|at| at <= core_time(now));
        let second = self.ticked.is_none_or(|ticked| now.duration_since(ticked).as_secs() >= 1);
        if due || second {
            self.step(Input::Tick);
        }
        if second {
            self.check_overdue(now);
            self.ticked = Some(now);
            self.count_queue();
            self.history.tick(self.millis());
        }
    }

    /// Has pods listed when the watch should have shown a binding long ago.
    fn check_overdue(&mut self, now: Timestamp) {
        let asked = self.listed_for_overdue.is_some_and(|asked| asked.elapsed() < CONFIRM_WITHIN);
        if !asked && self.scheduler.is_overdue(core_time(now)) {
            self.listed_for_overdue = Some(Instant::now());
            self.shared.pods.ask_for_check();
        }
    }

    fn answer(&mut self, query: Query) {
        if self.summary_stale {
            self.summary = self.scheduler.state().summary();
            self.summary_stale = false;
        }
        self.renew_past();
        query(&View { owner: self });
    }

    pub(super) fn millis(&self) -> UnixMillis {
        UnixMillis(self.clock.now().as_millisecond())
    }

    /// Tells how things are; `now` also when that was told a moment ago.
    fn publish(&mut self, now: bool) {
        if !now && self.published.is_some_and(|published| published.elapsed() < PUBLISH_EVERY) {
            return;
        }
        self.published = Some(Instant::now());
        let state = self.scheduler.state();
        let pending = self.scheduler.waiting();
        self.counters.pending(PendingPods {
            active: pending.active,
            backoff: pending.backoff,
            unschedulable: pending.unschedulable,
            gated: pending.gated,
        });
        self.shared.publish(EngineStatus {
            ready: self.is_ready(),
            nodes: state.node_count(),
            ready_nodes: self.summary.ready_nodes,
            placed_pods: state.pod_count(),
            pending,
            binding: self.in_flight.len(),
            attempts: self.attempts,
            bound: self.bound,
            binding_errors: self.binding_errors,
            rejections: self.rejections,
            recalled: self.recalled,
            events_dropped: self.outbound.events_dropped(),
            conditions_lost: self.conditions_lost,
            decision_latency: self.decisions.summary(),
            binding_latency: self.bindings.summary(),
            metrics: self.metrics.clone(),
            stopped: false,
        });
    }
}
