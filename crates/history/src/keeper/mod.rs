//! What the writing thread knows: pods that are followed, counts, and what has to go to disk next.
//!
//! [`Keeper`] takes in one message after the other without writing; [`Keeper::commit`] writes all that has gathered in one
//! transaction and forgets what is too old.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use redb::ReadableTable as _;

mod commit;

use crate::counters::{Bucket, Series, Sums};
use crate::performance::DayCounts;
use crate::rates::{NodeRates, Prior, Rates, Usage, node_rates, workload_rates};
use crate::store::{self, HistoryError, Store, decode, storage};
use crate::track::{News, READY_WITHIN_MS, Tracked, may_be_app};
use crate::types::{
    Cause, DecisionId, DecisionKind, DecisionRecord, Example, FeedbackRecord, HOUR_MS, NodeObservation, Outcome,
    OutcomeLabel, OutcomeState, PodObservation, UnixMillis, WorkloadKey,
};

/// Pods followed at once. Twice the pods of the largest cluster that Kubernetes supports; what comes beyond it is counted.
const MAX_PODS: usize = 300_000;
/// Pods whose failed attempts are folded into one record; beyond it each attempt is a record of its own.
const MAX_FAILING: usize = 50_000;
/// Time between two observations of a node that still counts as watched.
const WATCHED_GAP_MS: i64 = 120_000;
/// Workloads remembered. Far more than a cluster has; but every pod without owner and every Job is one of its own.
const MAX_WORKLOADS: usize = 20_000;
/// Start latencies kept for each workload.
const STARTS: usize = 32;
/// A workload in trouble on so many nodes at once is taken to be at fault itself.
const APP_FAULT_NODES: usize = 3;

#[derive(Default)]
struct NodeMemory {
    series: Series,
    cpu: Usage,
    memory: Usage,
    usage_dirty: bool,
    last: Option<(UnixMillis, bool)>,
}

#[derive(Default)]
struct WorkloadMemory {
    series: Series,
    /// The latest start latencies in ms, oldest first.
    starts: Vec<i64>,
    /// Nodes on which it got into trouble, and when last.
    trouble: HashMap<Arc<str>, UnixMillis>,
}

impl WorkloadMemory {
    /// Whether it is in trouble wherever it runs: on three nodes or more within the horizon, and most of its pods.
    fn everywhere(&self, now: UnixMillis) -> bool {
        let nodes = self.trouble.values().filter(|at| now.0 - at.0 <= HOUR_MS).count();
        let recent = self.series.since(now.hour().saturating_sub(1));
        nodes >= APP_FAULT_NODES && recent.troubled * 2 >= recent.started
    }

    /// How long its pods may take to be Ready.
    fn ready_within_ms(&self) -> i64 {
        let mut starts = self.starts.clone();
        starts.sort_unstable();
        let p95 = starts.get(starts.len().saturating_sub(1) * 95 / 100).copied().unwrap_or(0);
        READY_WITHIN_MS.max(2 * p95)
    }
}

/// Numbers that are stored with the records they count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub decisions: u64,
    pub decision_bytes: u64,
    pub feedback: u64,
    pub contradicting: u64,
    pub last_feedback: u64,
}

/// What one commit writes besides dirty counters.
#[derive(Default)]
struct Pending {
    decisions: BTreeMap<u64, DecisionRecord>,
    outcomes: BTreeMap<u64, Outcome>,
    feedback: BTreeMap<u64, FeedbackRecord>,
    feedback_of: BTreeMap<u64, u64>,
    examples: BTreeMap<u64, Example>,
    pods: HashSet<Arc<str>>,
    days: BTreeSet<u32>,
    nodes: HashSet<Arc<str>>,
    workloads: HashSet<WorkloadKey>,
    hours_gone: Vec<(Gone, u32)>,
}

enum Gone {
    Node(Arc<str>),
    Workload(WorkloadKey),
}

pub(crate) struct Keeper {
    pub store: Arc<Store>,
    window_ms: i64,
    byte_budget: u64,
    pods: HashMap<Arc<str>, Tracked>,
    nodes: HashMap<Arc<str>, NodeMemory>,
    workloads: HashMap<WorkloadKey, WorkloadMemory>,
    days: BTreeMap<u32, DayCounts>,
    /// Pods to look at again, soonest first.
    due: BinaryHeap<Reverse<(i64, Arc<str>)>>,
    failing: HashMap<Arc<str>, DecisionRecord>,
    pending: Pending,
    pub totals: Totals,
    saved: Totals,
    /// The latest time that any message has shown.
    pub now: UnixMillis,
    first_hour: u32,
    retained_at: i64,
    pub rates_stale: bool,
    /// Outcomes that changed since they were last taken, for subscribers.
    pub told: Vec<Outcome>,
    pub untracked: u64,
}

impl Keeper {
    /// Reads what is needed in memory from the store.
    pub fn load(store: &Arc<Store>, window_ms: i64, byte_budget: u64) -> Result<Self, HistoryError> {
        let mut keeper = Self {
            window_ms,
            byte_budget,
            pods: HashMap::new(),
            nodes: HashMap::new(),
            workloads: HashMap::new(),
            days: BTreeMap::new(),
            due: BinaryHeap::new(),
            failing: HashMap::new(),
            pending: Pending::default(),
            totals: Totals::default(),
            saved: Totals::default(),
            now: UnixMillis(0),
            first_hour: 0,
            retained_at: 0,
            rates_stale: true,
            told: Vec::new(),
            untracked: 0,
            store: store.clone(),
        };
        let step = "reading the store";
        let tx = store.read()?;
        let meta = |name| store.meta(name).map(Option::unwrap_or_default);
        keeper.totals = Totals {
            decisions: meta("decisions")?,
            decision_bytes: meta("decision_bytes")?,
            feedback: meta("feedback")?,
            contradicting: meta("contradicting")?,
            last_feedback: meta("last_feedback")?,
        };
        keeper.saved = keeper.totals;
        for row in tx.open_table(store::NODE_HOURS).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            let (node, hour) = key.value();
            keeper.nodes.entry(node.into()).or_default().series.load(hour, bucket(value.value())?);
        }
        for row in tx.open_table(store::WORKLOAD_HOURS).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            let (workload, hour) = key.value();
            if let Some(workload) = workload_of(workload) {
                keeper.workloads.entry(workload).or_default().series.load(hour, bucket(value.value())?);
            }
        }
        for row in tx.open_table(store::USAGE).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            let node = keeper.nodes.entry(key.value().into()).or_default();
            (node.cpu, node.memory) = decode(value.value(), "usage")?;
        }
        for row in tx.open_table(store::DAYS).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            keeper.days.insert(key.value(), decode(value.value(), "day")?);
        }
        for row in tx.open_table(store::PODS).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            let pod: Tracked = decode(value.value(), "pod")?;
            let uid: Arc<str> = key.value().into();
            if pod.label == OutcomeLabel::Immature {
                keeper.due.push(Reverse((pod.placed_at.0 + READY_WITHIN_MS, uid.clone())));
            }
            keeper.pods.insert(uid, pod);
        }
        Ok(keeper)
    }

    /// Lets time pass: labels that are due are given, hours outside the window forgotten.
    pub fn advance(&mut self, at: UnixMillis) {
        if at <= self.now {
            return;
        }
        while let Some(Reverse((due, _))) = self.due.peek() {
            if *due > at.0 {
                break;
            }
            if let Some(Reverse((due, uid))) = self.due.pop() {
                // Judged as of when it was due, however late the news of it comes.
                self.now = self.now.max(UnixMillis(due));
                self.pod_due(&uid);
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

    /// A pod's time to be Ready, or its horizon, has passed.
    fn pod_due(&mut self, uid: &Arc<str>) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(uid) else { return };
        if pod.label != OutcomeLabel::Immature {
            return;
        }
        let matures = pod.matures_at().0;
        if now.0 < matures {
            let within = self.workloads.get(&pod.workload).map_or(READY_WITHIN_MS, WorkloadMemory::ready_within_ms);
            let ready_by = pod.placed_at.0 + within;
            if now.0 < ready_by && ready_by < matures {
                self.due.push(Reverse((ready_by, uid.clone())));
                return;
            }
            self.due.push(Reverse((matures, uid.clone())));
            // A pod that was never seen is the watch's silence, not the node's fault.
            if pod.state == OutcomeState::Starting && pod.counted && pod.decision.is_some() {
                let mut news = News::default();
                pod.trouble(Cause::NotReady, &mut news);
                pod.changed_at = now;
                self.count(uid, news);
                self.remember(uid);
            }
            return;
        }
        self.label(uid);
    }

    fn label(&mut self, uid: &Arc<str>) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.mature(self.workloads.get(&pod.workload).is_some_and(|w| w.everywhere(now)), now);
        let (judged, p_bad, decision) = (pod.judged, pod.p_bad, pod.decision);
        if let (Some(id), Some(good)) = (decision, pod.outcome().and_then(|o| o.verdict())) {
            pod.judged = None;
            let day = self.day(id.at());
            if let Some(said) = judged {
                day.judge(said, p_bad, -1);
                day.from_feedback = day.from_feedback.saturating_sub(1);
            }
            day.judge(good, p_bad, 1);
            if judged.is_some_and(|said| said != good) {
                self.contradict(id, good);
            }
        }
        if let Some(pod) = self.pods.get_mut(uid).filter(|pod| pod.label == OutcomeLabel::AppFault)
            && let Some(hour) = pod.blamed_hour.take()
            && let Some(memory) = self.nodes.get_mut(&pod.node)
        {
            let bucket = memory.series.at(hour);
            bucket.troubled = bucket.troubled.saturating_sub(1);
            self.pending.nodes.insert(pod.node.clone());
            self.rates_stale = true;
        }
        self.remember(uid);
        if self.pods.get(uid).is_some_and(|pod| pod.gone) {
            self.drop_pod(uid);
        }
    }

    /// Changes to a pod go to disk and, when it has a decision, to the decision's outcome.
    fn remember(&mut self, uid: &Arc<str>) {
        self.pending.pods.insert(uid.clone());
        if let Some(outcome) = self.pods.get(uid).and_then(Tracked::outcome) {
            if outcome.label != OutcomeLabel::Immature || outcome.state == OutcomeState::Bad {
                self.told.push(outcome.clone());
            }
            self.pending.outcomes.insert(outcome.decision_id.0, outcome);
        }
    }

    fn drop_pod(&mut self, uid: &Arc<str>) {
        if self.pods.remove(uid).is_some() {
            self.pending.pods.insert(uid.clone());
        }
    }

    pub fn decision(&mut self, mut record: DecisionRecord) -> DecisionRecord {
        self.advance(record.at);
        let day = self.day(record.at);
        match (record.kind, record.node.is_some()) {
            (DecisionKind::Prediction, _) => day.dry_runs += 1,
            (DecisionKind::Scheduling, true) => day.placements += 1,
            (DecisionKind::Scheduling, false) => day.unschedulable += u64::from(record.attempts <= 1),
        }
        if record.kind == DecisionKind::Scheduling {
            let uid = record.pod.uid.clone();
            if record.node.is_some() {
                self.failing.remove(&uid);
                self.place(&record);
            } else if let Some(before) = self.failing.get_mut(&uid).filter(|b| b.reason == record.reason) {
                before.attempts = before.attempts.saturating_add(record.attempts.max(1));
                record = before.clone();
            } else if self.failing.len() < MAX_FAILING {
                self.failing.insert(uid, record.clone());
            }
        }
        self.pending.decisions.insert(record.id.0, record.clone());
        record
    }

    fn place(&mut self, record: &DecisionRecord) {
        let Some(node) = record.node.clone() else { return };
        let uid = record.pod.uid.clone();
        if self.pods.get(&uid).is_some_and(|p| p.label == OutcomeLabel::Immature && p.decision.is_some()) {
            // Decided again: the earlier placement never came to be, and nothing more will be seen of it.
            self.label(&uid);
        }
        if self.pods.len() >= MAX_PODS && !self.pods.contains_key(&uid) {
            self.untracked += 1;
            return;
        }
        let workload = record.workload.clone().unwrap_or_else(|| WorkloadKey {
            namespace: record.pod.namespace.clone(),
            kind: "Pod".into(),
            name: record.pod.name.clone(),
        });
        let mut pod = Tracked::new(record.pod.clone(), workload, node, record.at);
        (pod.decision, pod.p_bad, pod.seen) = (Some(record.id), record.p_bad, true);
        self.due.push(Reverse((record.at.0 + READY_WITHIN_MS, uid.clone())));
        self.pods.insert(uid.clone(), pod);
        self.remember(&uid);
    }

    pub fn bind_failed(&mut self, id: DecisionId, uid: &Arc<str>, at: UnixMillis) {
        self.advance(at);
        let Some(pod) = self.pods.get_mut(uid).filter(|pod| pod.decision == Some(id)) else { return };
        pod.trouble(Cause::BindFailed, &mut News::default());
        (pod.gone, pod.changed_at) = (true, at);
        self.remember(uid);
    }

    pub fn pod(&mut self, o: &PodObservation) {
        self.advance(o.at);
        let uid = &o.pod.uid;
        if o.gone {
            self.failing.remove(uid);
        }
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
            self.due.push(Reverse((pod.matures_at().0, uid.clone())));
            self.pods.insert(uid.clone(), pod);
        }
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let news = pod.observe(o);
        let first = !std::mem::replace(&mut pod.counted, true);
        if first {
            let (node, workload) = (pod.node.clone(), pod.workload.clone());
            self.node_hour(&node).started += 1;
            self.workload_hour(&workload).started += 1;
        }
        if news.changed || first {
            self.count(uid, news);
            self.remember(uid);
        }
        let over = self.pods.get(uid).is_some_and(|p| p.gone && p.label != OutcomeLabel::Immature);
        if over {
            self.drop_pod(uid);
        }
    }

    fn count(&mut self, uid: &Arc<str>, news: News) {
        let Some(pod) = self.pods.get(uid) else { return };
        let (node, workload, now) = (pod.node.clone(), pod.workload.clone(), self.now);
        let memory = self.workloads.entry(workload.clone()).or_default();
        if let Some(ms) = news.ready_after_ms.filter(|_| pod.decision.is_some()) {
            if memory.starts.len() >= STARTS {
                memory.starts.remove(0);
            }
            memory.starts.push(ms);
        }
        if news.trouble.is_some() {
            memory.trouble.retain(|_, at| now.0 - at.0 <= HOUR_MS);
            memory.trouble.insert(node.clone(), now);
        }
        let add = |bucket: &mut Bucket, troubled: bool| {
            bucket.troubled += u32::from(troubled);
            bucket.restarts = bucket.restarts.saturating_add(news.restarts);
            bucket.restarted += u32::from(news.first_restart);
            bucket.oom += u32::from(news.oom);
            bucket.evicted += u32::from(news.evicted);
            bucket.failed += u32::from(news.failed);
        };
        add(self.workload_hour(&workload), news.trouble.is_some());
        // A workload that fails everywhere does not stain the node.
        let blame = news.trouble.is_some_and(|cause| {
            let everywhere = self.workloads.get(&workload).is_some_and(|w| w.everywhere(now));
            cause != Cause::ImagePull && !(everywhere && may_be_app(cause))
        });
        add(self.node_hour(&node), blame);
        if let Some(pod) = self.pods.get_mut(uid).filter(|_| blame) {
            pod.blamed_hour = Some(now.hour());
        }
    }

    pub fn node(&mut self, o: &NodeObservation) {
        self.advance(o.at);
        let (hour, name) = (o.at.hour(), o.name.clone());
        let memory = self.nodes.entry(name.clone()).or_default();
        if let Some((last, ready)) = memory.last {
            let passed = u32::try_from((o.at.0 - last.0).clamp(0, WATCHED_GAP_MS)).unwrap_or(0);
            if passed > 0 {
                let bucket = memory.series.at(hour);
                bucket.watched_ms = bucket.watched_ms.saturating_add(passed);
                bucket.ready_ms = bucket.ready_ms.saturating_add(if ready { passed } else { 0 });
                self.pending.nodes.insert(name.clone());
            }
        }
        memory.last = (!o.gone).then_some((o.at, o.ready));
        for (usage, value) in [(&mut memory.cpu, o.cpu), (&mut memory.memory, o.memory)] {
            if let Some(value) = value {
                usage.add(value, o.at.0);
                memory.usage_dirty = true;
                self.pending.nodes.insert(name.clone());
            }
        }
        self.rates_stale = true;
    }

    /// The initial list of pods is complete: remembered pods that were not in it are gone.
    pub fn listed(&mut self, at: UnixMillis) {
        self.advance(at);
        let missing: Vec<_> =
            self.pods.iter().filter(|(_, pod)| !pod.seen && !pod.gone).map(|(uid, _)| uid.clone()).collect();
        for uid in missing {
            let Some(pod) = self.pods.get_mut(&uid) else { continue };
            pod.gone = true;
            if matches!(pod.state, OutcomeState::Starting | OutcomeState::Running) {
                (pod.state, pod.changed_at) = (OutcomeState::Deleted, at);
            }
            let over = pod.label != OutcomeLabel::Immature;
            self.remember(&uid);
            if over {
                self.drop_pod(&uid);
            }
        }
    }

    pub fn example(&mut self, example: Example) {
        self.pending.examples.insert(example.decision_id.0, example);
    }

    pub(crate) fn day(&mut self, at: UnixMillis) -> &mut DayCounts {
        self.pending.days.insert(at.day());
        self.days.entry(at.day()).or_default()
    }

    pub fn days(&self) -> BTreeMap<u32, DayCounts> {
        self.days.clone()
    }

    fn node_hour(&mut self, node: &Arc<str>) -> &mut Bucket {
        self.rates_stale = true;
        self.pending.nodes.insert(node.clone());
        self.nodes.entry(node.clone()).or_default().series.at(self.now.hour())
    }

    /// Forgets a quarter of the workloads: pods without owner first, then those longest without news, then the smallest.
    fn prune_workloads(&mut self) {
        let mut order: Vec<_> = self
            .workloads
            .iter()
            .map(|(key, memory)| {
                let (last, pods) = (memory.series.last_hour(), memory.series.sums().started);
                ((*key.kind != *"Pod", last, pods), key.clone())
            })
            .collect();
        order.sort_unstable();
        for (_, key) in order.into_iter().take(MAX_WORKLOADS / 4) {
            if let Some(mut memory) = self.workloads.remove(&key) {
                let hours = memory.series.expire(u32::MAX);
                self.pending.hours_gone.extend(hours.into_iter().map(|hour| (Gone::Workload(key.clone()), hour)));
            }
        }
    }

    fn workload_hour(&mut self, workload: &WorkloadKey) -> &mut Bucket {
        if self.workloads.len() >= MAX_WORKLOADS && !self.workloads.contains_key(workload) {
            self.prune_workloads();
        }
        self.rates_stale = true;
        self.pending.workloads.insert(workload.clone());
        self.workloads.entry(workload.clone()).or_default().series.at(self.now.hour())
    }

    fn expire_hours(&mut self, first: u32) {
        for memory in self.nodes.values_mut() {
            memory.series.carried = 0;
        }
        for memory in self.workloads.values_mut() {
            memory.series.carried = 0;
        }
        for pod in self.pods.values().filter(|pod| pod.counted && !pod.gone && pod.placed_at.hour() < first) {
            self.nodes.entry(pod.node.clone()).or_default().series.carried += 1;
            self.workloads.entry(pod.workload.clone()).or_default().series.carried += 1;
        }
        let gone = &mut self.pending.hours_gone;
        for (name, memory) in &mut self.nodes {
            gone.extend(memory.series.expire(first).into_iter().map(|hour| (Gone::Node(name.clone()), hour)));
        }
        for (key, memory) in &mut self.workloads {
            gone.extend(memory.series.expire(first).into_iter().map(|hour| (Gone::Workload(key.clone()), hour)));
        }
        self.workloads.retain(|_, memory| !memory.series.is_empty());
        let pending = &mut self.pending.nodes;
        self.nodes.retain(|name, memory| {
            let kept = memory.last.is_some() || !memory.series.is_empty();
            if !kept {
                pending.insert(name.clone());
            }
            kept
        });
        let first_day = first / 24;
        for day in self.days.range(..first_day).map(|(day, _)| *day).collect::<Vec<_>>() {
            self.days.remove(&day);
            self.pending.days.insert(day);
        }
        self.rates_stale = true;
    }

    // Feedback looks at what is pending before it looks at the store.

    pub fn find_decision(&self, id: DecisionId) -> Result<Option<DecisionRecord>, HistoryError> {
        match self.pending.decisions.get(&id.0) {
            Some(record) => Ok(Some(record.clone())),
            None => self.store.decision(id),
        }
    }

    pub fn newest_decision_of(&self, pod: &(Arc<str>, Arc<str>)) -> Result<Option<DecisionRecord>, HistoryError> {
        let pending = self.pending.decisions.values().rev();
        let mut pending = pending.filter(|r| r.pod.namespace == pod.0 && r.pod.name == pod.1);
        if let Some(record) = pending.next() {
            return Ok(Some(record.clone()));
        }
        let filter =
            crate::types::DecisionFilter { pod: Some(format!("{}/{}", pod.0, pod.1)), limit: 1, ..Default::default() };
        Ok(self.store.decisions(&filter)?.pop().map(|(record, _)| record))
    }

    pub fn find_outcome(&self, id: DecisionId) -> Result<Option<Outcome>, HistoryError> {
        match self.pending.outcomes.get(&id.0) {
            Some(outcome) => Ok(Some(outcome.clone())),
            None => self.store.outcome(id),
        }
    }

    pub fn find_feedback_of(&self, id: DecisionId) -> Result<Option<FeedbackRecord>, HistoryError> {
        match self.pending.feedback_of.get(&id.0).and_then(|id| self.pending.feedback.get(id)) {
            Some(record) => Ok(Some(record.clone())),
            None => self.store.feedback_of(id),
        }
    }

    pub fn tracked_mut(&mut self, record: &DecisionRecord) -> Option<&mut Tracked> {
        let uid = &record.pod.uid;
        let pod = self.pods.get_mut(uid).filter(|pod| pod.decision == Some(record.id))?;
        self.pending.pods.insert(uid.clone());
        Some(pod)
    }

    pub fn keep_feedback(&mut self, record: FeedbackRecord) {
        if let Some(decision) = record.feedback.decision_id {
            self.pending.feedback_of.insert(decision.0, record.feedback_id);
        }
        self.pending.feedback.insert(record.feedback_id, record);
    }

    /// Whether anything waits to be written.
    pub fn is_dirty(&self) -> bool {
        let p = &self.pending;
        !(p.decisions.is_empty()
            && p.outcomes.is_empty()
            && p.feedback.is_empty()
            && p.examples.is_empty()
            && p.pods.is_empty()
            && p.days.is_empty()
            && p.nodes.is_empty()
            && p.workloads.is_empty()
            && p.hours_gone.is_empty())
    }

    /// How many records wait, the measure of when to commit early.
    pub fn waiting(&self) -> usize {
        self.pending.decisions.len() + self.pending.pods.len()
    }

    /// All rates as of now.
    pub fn rates(&mut self) -> Rates {
        self.rates_stale = false;
        let nodes: Vec<_> = self.nodes.iter().map(|(name, memory)| (name, memory, memory.series.sums())).collect();
        let failure = Prior::fit(nodes.iter().map(|(_, _, s)| (s.troubled, s.started)));
        let restart = Prior::fit(nodes.iter().map(|(_, _, s)| (s.restarted, s.started)));
        let mut total = Sums::default();
        let mut by_node: HashMap<Arc<str>, NodeRates> = HashMap::with_capacity(nodes.len());
        for (name, memory, sums) in &nodes {
            total.merge(sums);
            let recent = memory.series.since(self.now.hour().saturating_sub(1));
            let rates = node_rates(sums, &recent, failure, restart, &memory.cpu, &memory.memory);
            by_node.insert((*name).clone(), rates);
        }
        let workloads: Vec<_> = self.workloads.iter().map(|(key, memory)| (key, memory.series.sums())).collect();
        let failure = Prior::fit(workloads.iter().map(|(_, s)| (s.troubled, s.started)));
        let restart = Prior::fit(workloads.iter().map(|(_, s)| (s.restarted, s.started)));
        Rates {
            nodes: by_node,
            workloads: workloads
                .iter()
                .map(|(key, sums)| ((*key).clone(), workload_rates(sums, failure, restart)))
                .collect(),
            cluster_failure_rate: (total.started > 0).then(|| total.troubled as f64 / total.started as f64),
            pods: total.started,
        }
    }

    /// Pods that are being followed.
    pub fn pods_followed(&self) -> usize {
        self.pods.len()
    }

    /// Nodes with any memory.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }
}

fn bucket(bytes: &[u8]) -> Result<Bucket, HistoryError> {
    Bucket::from_bytes(bytes).ok_or_else(|| HistoryError::Storage {
        step: "reading the store",
        why: format!("a counter has {} bytes", bytes.len()),
    })
}

fn workload_name(key: &WorkloadKey) -> String {
    format!("{}/{}/{}", key.namespace, key.kind, key.name)
}

fn workload_of(name: &str) -> Option<WorkloadKey> {
    let mut parts = name.splitn(3, '/');
    Some(WorkloadKey { namespace: parts.next()?.into(), kind: parts.next()?.into(), name: parts.next()?.into() })
}
