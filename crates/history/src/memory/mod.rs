//! All that history knows of pods, nodes and workloads, as plain data: no thread, no file, no clock. The history service keeps
//! one and writes its changes to disk; a simulation drives one of its own.
//!
//! How to drive it: [`Memory::place`] when a pod is placed (its [`DecisionId`] names it afterwards), [`Memory::pod`] and
//! [`Memory::node`] for every change that a watch shows, [`Memory::usage`] for every round of readings, [`Memory::advance`]
//! about every second of the driver's time. Every so often, [`Memory::drain`] hands out what changed, outcomes that got their
//! label among it (`label` after one hour, `day_label` after 24), and [`Memory::rates`] makes a consistent picture of all rates
//! as of now. Whatever `rates` answers rests on what came before, so features computed from it are point-in-time.

mod ailing;
mod cells;
mod censoring;
mod changes;
mod event;
mod forget;
pub(crate) mod kept;
mod lately;
mod load;
mod past;
pub(crate) mod pod;
mod rating;
pub(crate) mod recent;
pub(crate) mod rows;
pub(crate) mod tally;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::counters::{Bucket, Series};
use crate::rates::Usage;
use crate::types::{
    Cause, DAY_MS, DecisionId, HOUR_MS, NodeObservation, Outcome, OutcomeLabel, OutcomeState, PodKey, PodObservation,
    PodPhase, UnixMillis, WorkloadKey,
};
use crate::usage::{UsageMemory, WorkloadUsage};
use cells::Cells;
use censoring::Censoring;
pub use changes::Changes;
pub(crate) use changes::{Gone, Verdict};
pub use event::{EventObservation, EventSubject};
use lately::Lately;
pub use past::PastStep;
use pod::{News, READY_WITHIN_MS, Tracked, may_be_app};
use recent::{ClusterRecent, Failures, Revision, Trouble, Troubles, at_fault};
use rows::Rows;
use tally::{Tally, weight};

/// Pods followed at once. Twice the pods of the largest cluster that Kubernetes supports; what comes beyond it is counted.
const MAX_PODS: usize = 300_000;
/// Pods that are gone and whose second label is not due: two days of the densest placing that one scheduler manages.
const MAX_CLOSED: usize = 400_000;
/// Time between two observations of a node that still counts as watched.
const WATCHED_GAP_MS: i64 = 120_000;
/// Workloads remembered. Far more than a cluster has; but every pod without owner and every Job is one of its own.
const MAX_WORKLOADS: usize = 20_000;
/// Start latencies kept for each workload.
const STARTS: usize = 32;
/// Revisions of a workload told apart, the newest.
const REVISIONS: usize = 8;
/// Workloads told apart on one node; the others count together.
const CELLS: usize = 256;
/// A node that has not answered for so long is lost; shorter is a hiccup.
const NODE_DOWN_MS: i64 = 40_000;

/// What is known of a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeMemory {
    pub class: Arc<str>,
    /// Allocatable cores and bytes.
    pub allocatable: Option<(f64, f64)>,
    pub series: Series,
    pub cpu: Usage,
    pub memory: Usage,
    /// How it has done lately.
    pub lately: Lately,
    pub ailing: ailing::Ailing,
    pub last: Option<(UnixMillis, bool)>,
    /// Not Ready, or gone, since.
    down: Option<UnixMillis>,
    /// Pods that run there now.
    alive: u32,
    /// Troubles of its pods; `other` is the workload.
    troubles: Troubles,
    /// Counts by workload.
    pub cells: Cells,
}

/// What is known of a workload.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkloadMemory {
    pub series: Series,
    pub tally: Tally,
    /// The latest start latencies in ms, oldest first.
    starts: Vec<i64>,
    /// Nodes on which its pods ended with an error of their own, and when.
    failed_on: Failures,
    pub usage: Option<Box<WorkloadUsage>>,
    /// By revision, the newest last.
    revisions: Vec<(Arc<str>, Tally, Revision)>,
}

impl WorkloadMemory {
    fn recent(&self, revision: &str) -> Option<&Revision> {
        self.revisions.iter().find(|(name, _, _)| **name == *revision).map(|(_, _, recent)| recent)
    }

    fn revision(&mut self, revision: &Arc<str>) -> (&mut Tally, &mut Revision) {
        let index = self.revisions.iter().position(|(name, _, _)| name == revision).unwrap_or_else(|| {
            if self.revisions.len() >= REVISIONS {
                self.revisions.remove(0);
            }
            self.revisions.push((revision.clone(), Tally::default(), Revision::default()));
            self.revisions.len() - 1
        });
        let (_, tally, recent) = &mut self.revisions[index];
        (tally, recent)
    }

    /// How long its pods may take to be Ready.
    fn ready_within_ms(&self) -> i64 {
        READY_WITHIN_MS.max(2 * self.start_p95_ms().unwrap_or(0))
    }

    /// The 95th percentile of its latest starts.
    pub fn start_p95_ms(&self) -> Option<i64> {
        let mut starts = self.starts.clone();
        starts.sort_unstable();
        starts.get(starts.len().saturating_sub(1) * 95 / 100).copied()
    }
}

/// A pod was placed.
#[derive(Debug, Clone)]
pub struct Placement {
    /// Names the placement in its [`Outcome`].
    pub decision: DecisionId,
    /// The pod; its uid must be its own.
    pub pod: PodKey,
    /// What it belongs to.
    pub workload: WorkloadKey,
    /// Where it was placed.
    pub node: Arc<str>,
    /// When.
    pub at: UnixMillis,
    /// The model's probability that it goes bad there.
    pub p_bad: Option<f64>,
}

/// What happened, is counted, and is not judged yet. See the module.
#[derive(Debug, Clone)]
pub struct Memory {
    window_ms: i64,
    /// By uid; boxed, because a third of a map's places is empty.
    pub(crate) pods: HashMap<Arc<str>, Box<Tracked>>,
    closed: BTreeMap<(i64, Arc<str>), Outcome>,
    pub(crate) nodes: Rows<Arc<str>, NodeMemory>,
    pub(crate) workloads: Rows<WorkloadKey, WorkloadMemory>,
    pub(crate) usage: UsageMemory,
    recent: ClusterRecent,
    censoring: Censoring,
    /// Pods to look at again, soonest first.
    due: BinaryHeap<Reverse<(i64, Arc<str>)>>,
    pub(crate) changes: Changes,
    /// The latest time that any message has shown.
    now: UnixMillis,
    first_hour: u32,
    /// The time is the one at which the store was closed; the next message tells the present, be it earlier.
    resumed: bool,
    pub(crate) rates_stale: bool,
    untracked: u64,
}

impl Memory {
    /// A memory that reaches back so far (168 h in production).
    pub fn new(window: Duration) -> Self {
        Self {
            window_ms: i64::try_from(window.as_millis()).unwrap_or(i64::MAX / 2),
            pods: HashMap::new(),
            closed: BTreeMap::new(),
            nodes: Rows::default(),
            workloads: Rows::default(),
            usage: UsageMemory::default(),
            recent: ClusterRecent::default(),
            censoring: Censoring::default(),
            due: BinaryHeap::new(),
            changes: Changes::default(),
            now: UnixMillis(0),
            first_hour: 0,
            resumed: false,
            rates_stale: true,
            untracked: 0,
        }
    }

    /// The latest time that it was told.
    pub fn now(&self) -> UnixMillis {
        self.now
    }

    /// How far back it reaches, in milliseconds.
    pub(crate) fn window_ms(&self) -> i64 {
        self.window_ms
    }

    /// What changed since this was called last.
    pub fn drain(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Pods that are being followed.
    pub fn pods_followed(&self) -> usize {
        self.pods.len()
    }

    /// Pods that could not be followed because too many are.
    pub fn untracked_pods(&self) -> u64 {
        self.untracked
    }

    /// Nodes with any memory.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Lets time pass: labels that are due are given, hours outside the window forgotten.
    pub fn advance(&mut self, at: UnixMillis) {
        if std::mem::take(&mut self.resumed) {
            self.now = self.now.min(at);
        }
        if at <= self.now {
            return;
        }
        loop {
            let pod = self.due.peek().map(|Reverse((due, _))| *due).filter(|due| *due <= at.0);
            let closed = self.closed.first_key_value().map(|((due, _), _)| *due).filter(|due| *due <= at.0);
            match (pod, closed) {
                (Some(due), closed) if closed.is_none_or(|other| due <= other) => {
                    let Some(Reverse((_, uid))) = self.due.pop() else { break };
                    // Judged as of when it was due, however late the news of it comes.
                    self.now = self.now.max(UnixMillis(due));
                    self.pod_due(&uid);
                }
                (_, Some(due)) => {
                    self.now = self.now.max(UnixMillis(due));
                    if let Some(((_, uid), outcome)) = self.closed.pop_first() {
                        self.changes.pods.insert(uid);
                        self.changes.outcomes.push(Outcome { at: self.now, ..outcome });
                    }
                }
                _ => break,
            }
        }
        // What counts as recent changes with the hour, even where nothing happens.
        self.rates_stale |= at.hour() != self.now.hour();
        self.now = at;
        let first = UnixMillis(at.0 - self.window_ms).hour();
        if first > self.first_hour {
            self.first_hour = first;
            self.expire_hours(first);
        }
    }

    /// A pod's time to be Ready, a horizon, or the hour after its trouble has passed; or another day.
    fn pod_due(&mut self, uid: &Arc<str>) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let (hour, day) = (pod.matures_at().0, pod.day_matures_at().0);
        if pod.label == OutcomeLabel::Immature && now.0 < hour {
            let within = self.workloads.get(&pod.workload).map_or(READY_WITHIN_MS, WorkloadMemory::ready_within_ms);
            let ready_by = pod.placed_at.0 + within;
            if now.0 < ready_by && ready_by < hour {
                pod.next_look = UnixMillis(ready_by);
                self.changes.pods.insert(uid.clone());
                self.due.push(Reverse((ready_by, uid.clone())));
                return;
            }
            pod.next_look = UnixMillis(hour);
            if pod.state == OutcomeState::Starting {
                self.changes.pods.insert(uid.clone());
            }
            self.due.push(Reverse((hour, uid.clone())));
            // A pod that was never seen is the watch's silence, not the node's fault.
            if pod.state == OutcomeState::Starting && pod.counted && pod.decision.is_some() {
                let lost = self.nodes.get(&pod.node).is_some_and(|node| node.is_down(now));
                let cause = if lost { Cause::NodeFailure } else { pod.hindered.unwrap_or(Cause::NotReady) };
                let mut news = News::default();
                pod.trouble(cause, now, &mut news);
                pod.changed_at = now;
                self.count(uid, news);
                self.remember(uid);
            }
            return;
        }
        if pod.label == OutcomeLabel::Immature {
            self.due.push(Reverse((day, uid.clone())));
            self.attribute(uid);
            self.label(uid);
        }
        let Some(pod) = self.pods.get_mut(uid) else { return };
        // Whose fault it was can be told for good once the hour after it has been seen.
        if pod.trouble_at.is_some_and(|at| now.0 == at.0 + HOUR_MS) {
            self.attribute(uid);
        }
        let Some(pod) = self.pods.get_mut(uid) else { return };
        if now.0 >= day {
            if pod.day_label == OutcomeLabel::Immature {
                self.label_day(uid);
            }
            self.another_day(uid);
        }
        self.close(uid);
    }

    /// A pod that still runs is as much exposed as one that has just come.
    fn another_day(&mut self, uid: &Arc<str>) {
        let now = self.now.0;
        let Some(pod) = self.pods.get(uid).filter(|pod| pod.counted && !pod.ended) else { return };
        if now < pod.day_matures_at().0 || (now - pod.placed_at.0) % DAY_MS != 0 {
            return;
        }
        self.due.push(Reverse((now + DAY_MS, uid.clone())));
        if pod.trouble_at.is_none() {
            let (node, workload, revision) = (pod.node.clone(), pod.workload.clone(), pod.revision.clone());
            self.tallies(&node, &workload, &revision, &Tally { pods: 1.0 - weight(DAY_MS), ..Tally::default() });
        }
    }

    /// Finds out whose fault the pod's trouble is, as far as that is known now, and holds it against the node or takes that back.
    fn attribute(&mut self, uid: &Arc<str>) {
        let Some(pod) = self.pods.get(uid) else { return };
        let Some(at) = pod.trouble_at else { return };
        let fault = at_fault(pod, &self.workloads, &self.nodes, &self.recent);
        let Some(pod) = self.pods.get_mut(uid).filter(|pod| pod.app_fault != fault) else { return };
        pod.app_fault = fault;
        let own = pod.cause.is_some_and(may_be_app);
        let changed = match (fault, pod.blamed_at) {
            (true, Some(_)) => -1.0,
            (false, None) if pod.counted && own => 1.0,
            _ => 0.0,
        };
        self.changes.pods.insert(uid.clone());
        if changed == 0.0 {
            return;
        }
        pod.blamed_at = (!fault).then_some(at);
        let (node, workload) = (pod.node.clone(), pod.workload.clone());
        let now = self.now.0;
        let bucket = self.nodes.entry(&node).series.at(at.hour());
        bucket.troubled = if fault { bucket.troubled.saturating_sub(1) } else { bucket.troubled.saturating_add(1) };
        let (lately, age) = (&mut self.nodes.entry(&node).lately, now - at.0);
        if fault {
            lately.cleared(now, age);
        } else {
            lately.trouble(now, age);
        }
        let cell = self.cell(&node, &workload).touch(now);
        cell.failures = (cell.failures + changed * weight(now - at.0)).max(0.0);
        self.changes.nodes.insert(node);
        self.rates_stale = true;
    }

    fn label(&mut self, uid: &Arc<str>) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(uid) else { return };
        // What runs on a node that does not answer has not shown that it survived.
        let lost = pod.state == OutcomeState::Running
            && !pod.gone
            && self.nodes.get(&pod.node).is_some_and(|node| node.is_down(now));
        if lost {
            let mut news = News::default();
            pod.trouble(Cause::NodeFailure, now, &mut news);
            self.count(uid, news);
        }
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.label = pod.label_now();
        let deleted = pod.state == OutcomeState::Deleted;
        let shown = pod.trouble_at.unwrap_or(if deleted { pod.changed_at } else { now });
        pod.changed_at = now;
        if pod.counted {
            let after = shown.0 - pod.placed_at.0;
            pod.weight = self.censoring.weight(after);
            self.censoring.add(after, pod.label == OutcomeLabel::Censored);
        }
        if let Some(outcome) = pod.outcome()
            && let Some(good) = outcome.verdict()
        {
            let judged = pod.judged.take();
            let verdict = Verdict { decision: outcome.decision_id, p_bad: pod.p_bad, judged, good };
            self.changes.verdicts.push(verdict);
        }
        self.remember(uid);
        self.close(uid);
    }

    fn label_day(&mut self, uid: &Arc<str>) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.day_label = pod.label_now();
        pod.changed_at = now;
        self.remember(uid);
    }

    /// A pod that is gone and labelled needs no place among those that are followed.
    fn close(&mut self, uid: &Arc<str>) {
        let now = self.now.0;
        let open = |pod: &&Tracked| {
            !pod.gone
                || pod.label == OutcomeLabel::Immature
                // Its workload may yet turn out to be at fault.
                || pod.trouble_at.is_some_and(|at| now < at.0 + HOUR_MS && now < pod.day_matures_at().0)
        };
        if self.pods.get(uid).map(Box::as_ref).as_ref().is_none_or(open) {
            return;
        }
        let Some(pod) = self.pods.remove(uid) else { return };
        self.changes.pods.insert(uid.clone());
        if pod.day_label == OutcomeLabel::Immature
            && self.closed.len() < MAX_CLOSED
            && let Some(outcome) = pod.outcome()
        {
            self.close_until(uid, &pod, outcome);
            self.changes.closed.push(*pod);
        }
    }

    fn close_until(&mut self, uid: &Arc<str>, pod: &Tracked, outcome: Outcome) {
        let due = pod.day_matures_at().0;
        self.closed.insert((due, uid.clone()), Outcome { day_label: pod.label_now(), ..outcome });
    }

    /// Changes to a pod go to disk and, when it has a decision, to the decision's outcome.
    fn remember(&mut self, uid: &Arc<str>) {
        self.changes.pods.insert(uid.clone());
        self.changes.outcomes.extend(self.pods.get(uid).and_then(|pod| pod.outcome()));
    }

    /// A pod has been placed: its fate will be that of `placement.decision`.
    pub fn place(&mut self, placement: Placement) {
        self.advance(placement.at);
        let uid = placement.pod.uid.clone();
        match self.pods.get_mut(&uid) {
            Some(before) if before.decision.is_none() && before.label == OutcomeLabel::Immature && !before.gone => {
                // Seen on its node before the word of its placing came.
                (before.decision, before.p_bad) = (Some(placement.decision), placement.p_bad);
                before.placed_at = placement.at;
                if before.ready_at.is_some_and(|at| at < placement.at) {
                    before.ready_at = Some(placement.at);
                }
                self.due.push(Reverse((placement.at.0 + READY_WITHIN_MS, uid.clone())));
                self.remember(&uid);
                return;
            }
            Some(before) if before.label == OutcomeLabel::Immature && before.decision.is_some() => {
                // Decided again: the earlier placement never came to be, and nothing more will be seen of it.
                before.gone = true;
                self.label(&uid);
            }
            _ => {}
        }
        if self.pods.len() >= MAX_PODS && !self.pods.contains_key(&uid) {
            self.untracked += 1;
            return;
        }
        let mut pod = Tracked::new(placement.pod, placement.workload, placement.node, placement.at);
        self.share_names(&mut pod);
        (pod.decision, pod.p_bad, pod.seen) = (Some(placement.decision), placement.p_bad, true);
        self.due.push(Reverse((placement.at.0 + READY_WITHIN_MS, uid.clone())));
        self.pods.insert(uid.clone(), Box::new(pod));
        self.remember(&uid);
    }

    /// Names that many pods have in common are kept once.
    pub(crate) fn share_names(&self, pod: &mut Tracked) {
        if let Some(known) = self.nodes.find(&pod.node).and_then(|id| self.nodes.key(id)) {
            pod.node = known.clone();
        }
        if let Some(id) = self.workloads.find(&pod.workload) {
            if let Some(known) = self.workloads.key(id) {
                pod.workload = known.clone();
            }
            let revisions = self.workloads.at(id).map_or(&[][..], |memory| &memory.revisions);
            if let Some((known, ..)) = revisions.iter().find(|(name, ..)| *name == pod.revision) {
                pod.revision = known.clone();
            }
        }
        if pod.pod.namespace == pod.workload.namespace {
            pod.pod.namespace = pod.workload.namespace.clone();
        }
    }

    /// The binding of a decision was refused.
    pub fn bind_failed(&mut self, decision: DecisionId, uid: &Arc<str>, at: UnixMillis) {
        self.advance(at);
        let Some(pod) = self.pods.get_mut(uid).filter(|pod| pod.decision == Some(decision)) else { return };
        pod.trouble(Cause::BindFailed, at, &mut News::default());
        (pod.gone, pod.changed_at) = (true, at);
        self.remember(uid);
    }

    /// Takes in what a watch shows of a pod; one that is on no node is ignored.
    pub fn pod(&mut self, o: &PodObservation) {
        self.advance(o.at);
        let uid = &o.pod.uid;
        let Some(node) = &o.node else { return };
        if !self.pods.contains_key(uid) {
            if o.gone {
                return;
            }
            if self.pods.len() >= MAX_PODS {
                self.untracked += 1;
                return;
            }
            let mut pod = Tracked::new(o.pod.clone(), o.workload.clone(), node.clone(), o.at);
            // Placed by somebody else or before this store was made: its restarts so far happened unwatched.
            pod.restarts = o.restarts;
            pod.revision = o.revision.clone();
            self.share_names(&mut pod);
            self.due.push(Reverse((pod.matures_at().0, uid.clone())));
            self.pods.insert(uid.clone(), Box::new(pod));
        }
        let down = self.nodes.get(node).is_some_and(|node| node.is_down(o.at));
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let news = pod.observe(o, down);
        let first = !std::mem::replace(&mut pod.counted, true);
        let over = pod.gone || matches!(o.phase, PodPhase::Succeeded | PodPhase::Failed);
        let ended = over && !pod.ended;
        pod.ended |= over;
        if ended {
            pod.ended_at = Some(o.at);
        }
        let (node, workload, revision) = (pod.node.clone(), pod.workload.clone(), pod.revision.clone());
        if first {
            self.node_hour(&node).started += 1;
            self.workload_hour(&workload).started += 1;
            self.tallies(&node, &workload, &revision, &Tally { pods: 1.0, ..Tally::default() });
            let memory = self.nodes.entry(&node);
            memory.alive += 1;
            memory.lately.came(o.at.0);
            self.workloads.entry(&workload).revision(&revision).1.alive += 1;
            if !over {
                let (node_id, workload_id) = (self.nodes.id(&node), self.workloads.id(&workload));
                self.usage.pod_came(&o.pod.namespace, &o.pod.name, workload_id, node_id);
            }
        }
        if ended {
            let memory = self.nodes.entry(&node);
            memory.alive = memory.alive.saturating_sub(1);
            let (_, recent) = self.workloads.entry(&workload).revision(&revision);
            recent.alive = recent.alive.saturating_sub(1);
            recent.ended.add(o.at.0);
            self.usage_ends(&o.pod.namespace, &o.pod.name);
        }
        if news.changed || first {
            self.count(uid, news);
            self.remember(uid);
        }
        self.close(uid);
    }

    fn count(&mut self, uid: &Arc<str>, news: News) {
        let Some(pod) = self.pods.get(uid) else { return };
        let (node, workload, revision, now) = (pod.node.clone(), pod.workload.clone(), pod.revision.clone(), self.now);
        let (decided, placed_at) = (pod.decision.is_some(), pod.placed_at);
        let exposed = weight(now.0 - placed_at.0);
        let node_id = self.nodes.id(&node);
        let workload_id = self.workloads.id(&workload);
        if let Some(ms) = news.ready_after_ms {
            self.recent.ready.add(now.0);
            let memory = self.workloads.entry(&workload);
            memory.revision(&revision).1.became_ready(node_id, now.0);
            if decided {
                if memory.starts.len() >= STARTS {
                    memory.starts.remove(0);
                }
                memory.starts.push(ms);
            }
        }
        if let Some(cause) = news.trouble {
            let at = now.0;
            self.workloads.entry(&workload).revision(&revision).1.troubles.add(Trouble { at, other: node_id, cause });
            self.nodes.entry(&node).troubles.add(Trouble { at, other: workload_id, cause });
            if cause == Cause::ImagePull {
                self.recent.pulls.add(at);
            }
            if pod.ended_by_itself() {
                self.workloads.entry(&workload).failed_on.add(node_id, at);
            }
            // When all has been seen that bears on whose fault it is.
            self.due.push(Reverse((at + HOUR_MS, uid.clone())));
        }
        let add = |bucket: &mut Bucket, troubled: bool| {
            bucket.troubled += u32::from(troubled);
            bucket.restarts = bucket.restarts.saturating_add(news.restarts);
            bucket.restarted += u32::from(news.first_restart);
            bucket.oom += u32::from(news.oom);
            bucket.evicted += u32::from(news.evicted);
            bucket.failed += u32::from(news.failed);
            bucket.unready += u32::from(news.unready);
        };
        add(self.workload_hour(&workload), news.trouble.is_some());
        // A workload that fails everywhere does not stain the node; what comes to light later corrects this.
        let fault = news.trouble.is_some()
            && self.pods.get(uid).is_some_and(|pod| at_fault(pod, &self.workloads, &self.nodes, &self.recent));
        let blame = news.trouble.is_some() && !fault;
        add(self.node_hour(&node), blame);
        if blame {
            self.nodes.entry(&node).lately.trouble(now.0, now.0 - placed_at.0);
        }
        let one = |yes: bool| f64::from(u8::from(yes));
        let own = news.trouble.is_some_and(may_be_app);
        let mut tally = Tally {
            at: now.0,
            // A pod in trouble counts as a pod in full, however long ago it came.
            pods: if news.trouble.is_some() { 1.0 - exposed } else { 0.0 },
            failures: one(own),
            node_failures: one(news.trouble.is_some() && !own),
            restarted: one(news.first_restart),
            oom: one(news.first_oom),
            evicted: one(news.evicted),
        };
        let memory = self.workloads.entry(&workload);
        memory.tally.touch(now.0).add(&tally);
        memory.revision(&revision).0.touch(now.0).add(&tally);
        if !blame {
            (tally.failures, tally.node_failures) = (0.0, 0.0);
        }
        self.cell(&node, &workload).touch(now.0).add(&tally);
        if let Some(pod) = self.pods.get_mut(uid).filter(|_| news.trouble.is_some()) {
            (pod.app_fault, pod.blamed_at) = (fault, blame.then_some(now));
        }
        self.ails(uid, news, now);
    }

    /// Adds to all that a pod counts for.
    fn tallies(&mut self, node: &Arc<str>, workload: &WorkloadKey, revision: &Arc<str>, add: &Tally) {
        let now = self.now.0;
        let memory = self.workloads.entry(workload);
        memory.tally.touch(now).add(add);
        memory.revision(revision).0.touch(now).add(add);
        self.cell(node, workload).touch(now).add(add);
        self.changes.workloads.insert(workload.clone());
        self.rates_stale = true;
    }

    /// The counts of a workload on a node.
    fn cell(&mut self, node: &Arc<str>, workload: &WorkloadKey) -> &mut Tally {
        let id = self.workloads.id(workload);
        let cells = &mut self.nodes.entry(node).cells;
        if cells.len() >= CELLS && cells.get(id).is_none() {
            // What has faded most makes room.
            let now = self.now.0;
            let faded = cells.iter().map(|(id, cell)| (cell.as_of(now).pods, *id)).min_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((_, least)) = faded {
                cells.remove(least);
                if let Some(key) = self.workloads.key(least) {
                    self.changes.cells_gone.push((node.clone(), key.clone()));
                }
            }
        }
        self.changes.cells.insert((node.clone(), workload.clone()));
        self.nodes.entry(node).cells.entry(id)
    }

    /// Takes in what is seen of a node.
    pub fn node(&mut self, o: &NodeObservation) {
        self.advance(o.at);
        let (hour, name) = (o.at.hour(), &o.name);
        let memory = self.nodes.entry(name);
        if !o.class.is_empty() {
            memory.class = o.class.clone();
        }
        memory.allocatable = o.allocatable.or(memory.allocatable);
        if let Some((last, ready)) = memory.last {
            let passed = u32::try_from((o.at.0 - last.0).clamp(0, WATCHED_GAP_MS)).unwrap_or(0);
            if passed > 0 {
                let bucket = memory.series.at(hour);
                bucket.watched_ms = bucket.watched_ms.saturating_add(passed);
                bucket.ready_ms = bucket.ready_ms.saturating_add(if ready { passed } else { 0 });
                memory.ailing.watched(o.at.0, passed, memory.alive);
                self.changes.nodes.insert(name.clone());
            }
        }
        if !o.ready && !o.gone && memory.last.is_some_and(|(_, ready)| ready) {
            memory.ailing.trouble(o.at.0, None, 2.0);
        }
        memory.last = (!o.gone).then_some((o.at, o.ready));
        memory.down = if o.ready && !o.gone { None } else { memory.down.or(Some(o.at)) };
        for (usage, value) in [(&mut memory.cpu, o.cpu), (&mut memory.memory, o.memory)] {
            if let Some(value) = value {
                usage.add(value, o.at.0);
                self.changes.nodes.insert(name.clone());
            }
        }
        self.rates_stale = true;
    }

    /// The initial list of pods is complete: remembered pods that were not in it are gone.
    pub fn listed(&mut self, at: UnixMillis) {
        self.advance(at);
        let mut missing: Vec<_> =
            self.pods.iter().filter(|(_, pod)| !pod.seen && !pod.gone).map(|(uid, _)| uid.clone()).collect();
        missing.sort_unstable();
        // A pod of a StatefulSet has the name of the one before it.
        let names: HashSet<(Arc<str>, Arc<str>)> = match missing.is_empty() {
            true => HashSet::new(),
            false => self.pods.values().filter(|p| p.seen && !p.gone).map(|p| p.pod.name_and_namespace()).collect(),
        };
        for uid in missing {
            let Some(pod) = self.pods.get_mut(&uid) else { continue };
            let name = pod.pod.name_and_namespace();
            pod.gone = true;
            let ended = !std::mem::replace(&mut pod.ended, true) && pod.counted;
            if matches!(pod.state, OutcomeState::Starting | OutcomeState::Running) {
                (pod.state, pod.changed_at) = (OutcomeState::Deleted, at);
            }
            if ended {
                let (node, workload, revision) = (pod.node.clone(), pod.workload.clone(), pod.revision.clone());
                let memory = self.nodes.entry(&node);
                memory.alive = memory.alive.saturating_sub(1);
                let (_, recent) = self.workloads.entry(&workload).revision(&revision);
                recent.alive = recent.alive.saturating_sub(1);
                if !names.contains(&name) {
                    self.usage_ends(&name.1, &name.0);
                }
            }
            self.remember(&uid);
            self.close(&uid);
        }
        let lost = self.usage.lost();
        self.changes.series_ended.extend(lost);
    }

    fn node_hour(&mut self, node: &Arc<str>) -> &mut Bucket {
        self.rates_stale = true;
        self.changes.nodes.insert(node.clone());
        self.nodes.entry(node).series.at(self.now.hour())
    }

    fn workload_hour(&mut self, workload: &WorkloadKey) -> &mut Bucket {
        if self.workloads.len() >= MAX_WORKLOADS && self.workloads.find(workload).is_none() {
            self.prune_workloads();
        }
        self.rates_stale = true;
        self.changes.workloads.insert(workload.clone());
        self.workloads.entry(workload).series.at(self.now.hour())
    }
}

impl NodeMemory {
    /// Whether it has not answered for longer than a hiccup.
    fn is_down(&self, now: UnixMillis) -> bool {
        self.down.is_some_and(|since| now.0 - since.0 >= NODE_DOWN_MS)
    }
}
