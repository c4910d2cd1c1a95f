//! What the writing thread knows: the [`Memory`], and what has to go to disk next.
//!
//! [`Keeper`] takes in one message after the other without writing; [`Keeper::commit`] writes all that has gathered in one
//! transaction and forgets what is too old.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::thread::ScopedJoinHandle;

use redb::ReadableTable as _;

mod commit;
mod past;

use crate::counters::Bucket;
use crate::handle::HistoryOptions;
use crate::memory::kept::{KeptCluster, KeptNode, KeptWorkload, workload_of};
use crate::memory::pod::Tracked;
use crate::memory::tally::Tally;
use crate::memory::{EventObservation, Gone, Memory, Placement, Verdict};
use crate::performance::DayCounts;
use crate::rates::Rates;
use crate::store::{self, HistoryError, Store, decode, storage};
use crate::types::{
    DecisionId, DecisionKind, DecisionRecord, Example, FeedbackRecord, NodeObservation, Outcome, OutcomeLabel,
    OutcomeState, PodObservation, UnixMillis, WorkloadKey,
};
use crate::usage::journal::{self, Ghosts, Journal, PodEnded, Round};
use crate::usage::{Peak, Sealed, SeriesName, StoredUsage, UsageRound, WorkloadUsage, series};
use past::Past;
pub use past::PastState;

/// Pods whose failed attempts are folded into one record; beyond it each attempt is a record of its own.
const MAX_FAILING: usize = 50_000;

/// Numbers that are stored with the records they count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub decisions: u64,
    pub decision_bytes: u64,
    pub feedback: u64,
    pub contradicting: u64,
    pub last_feedback: u64,
    /// Bytes of all blocks of series.
    pub usage_bytes: u64,
    pub example_bytes: u64,
}

/// A thread that reads.
type Reading<'scope, T> = ScopedJoinHandle<'scope, Result<T, HistoryError>>;

/// What one commit writes besides dirty counters.
#[derive(Default)]
struct Pending {
    decisions: BTreeMap<u64, Arc<DecisionRecord>>,
    outcomes: BTreeMap<u64, Outcome>,
    feedback: BTreeMap<u64, FeedbackRecord>,
    feedback_of: BTreeMap<u64, u64>,
    examples: BTreeMap<u64, Example>,
    pods: HashSet<Arc<str>>,
    closed: HashMap<Arc<str>, Tracked>,
    days: BTreeSet<u32>,
    nodes: HashSet<Arc<str>>,
    workloads: HashSet<WorkloadKey>,
    cells: HashSet<(Arc<str>, WorkloadKey)>,
    hours_gone: Vec<(Gone, u32)>,
    series_created: Vec<(SeriesName, u32)>,
    series_ended: Vec<(SeriesName, u32)>,
    sealed: Vec<Sealed>,
    peaks: HashMap<String, Option<Peak>>,
    usage: HashMap<WorkloadKey, StoredUsage>,
    rounds: Vec<Round>,
    pods_ended: Vec<PodEnded>,
    journal_until: Option<i64>,
}

/// Names of series, hours and pods that wait for a disk that has room again, of each kind; what comes beyond is lost.
const MAX_LASTING: usize = 200_000;

impl Pending {
    /// What can be written later, because it says how things stand and not what happened.
    fn lasting(mut self) -> Self {
        self.series_created.truncate(MAX_LASTING);
        self.series_ended.truncate(MAX_LASTING);
        self.hours_gone.truncate(MAX_LASTING);
        self.pods = self.pods.into_iter().take(MAX_LASTING).collect();
        self.cells = self.cells.into_iter().take(MAX_LASTING).collect();
        self.peaks = self.peaks.into_iter().take(MAX_LASTING).collect();
        Self {
            pods: self.pods,
            days: self.days,
            nodes: self.nodes,
            workloads: self.workloads,
            cells: self.cells,
            hours_gone: self.hours_gone,
            series_created: self.series_created,
            series_ended: self.series_ended,
            peaks: self.peaks,
            usage: self.usage,
            journal_until: self.journal_until,
            ..Self::default()
        }
    }
}

pub(crate) struct Keeper {
    pub store: Arc<Store>,
    byte_budget: u64,
    usage_budget: u64,
    example_budget: u64,
    pub memory: Memory,
    days: BTreeMap<u32, DayCounts>,
    failing: HashMap<Arc<str>, DecisionRecord>,
    pending: Pending,
    pub totals: Totals,
    saved: Totals,
    retained_at: i64,
    /// Old readings wait to be made coarse.
    compacting: bool,
    /// What the journal had when the file was opened.
    unplayed: Option<(Journal, Ghosts)>,
    /// The days before this history began.
    pub past: Past,
    /// Outcomes that changed since they were last taken, for subscribers.
    pub told: Vec<Outcome>,
}

impl Keeper {
    /// Reads what is needed in memory from the store.
    pub fn load(store: &Arc<Store>, options: &HistoryOptions) -> Result<Self, HistoryError> {
        std::thread::scope(|scope| {
            // What takes longest to read; nobody writes meanwhile.
            let pods = scope.spawn(|| read_pods(store));
            let series = scope.spawn(|| {
                let tx = store.read()?;
                Ok((series::open_series(&tx)?, journal::read(&tx)?))
            });
            Self::load_rest(store, options, pods, series)
        })
    }

    fn load_rest<'scope>(
        store: &Arc<Store>,
        options: &HistoryOptions,
        pods: Reading<'scope, Vec<Tracked>>,
        series: Reading<'scope, (HashMap<SeriesName, u32>, Journal)>,
    ) -> Result<Self, HistoryError> {
        let mut keeper = Self {
            byte_budget: options.byte_budget,
            usage_budget: options.usage_budget,
            example_budget: options.example_budget,
            memory: Memory::new(options.window),
            days: BTreeMap::new(),
            failing: HashMap::new(),
            pending: Pending::default(),
            totals: Totals::default(),
            saved: Totals::default(),
            retained_at: 0,
            compacting: false,
            unplayed: None,
            past: Past::default(),
            told: Vec::new(),
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
            usage_bytes: meta("usage_bytes")?,
            example_bytes: meta("example_bytes")?,
        };
        keeper.saved = keeper.totals;
        let memory = &mut keeper.memory;
        let mut ids: HashMap<Box<str>, u32> = HashMap::new();
        for row in tx.open_table(store::NODE_HOURS).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            let (hour, node) = key.value();
            let id = ids.get(node).copied().unwrap_or_else(|| {
                let id = memory.nodes.id(&node.into());
                ids.insert(node.into(), id);
                id
            });
            if let Some(node) = memory.nodes.at_mut(id) {
                node.series.load(hour, bucket(value.value())?);
            }
        }
        ids.clear();
        for row in tx.open_table(store::WORKLOAD_HOURS).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            let (hour, name) = key.value();
            let id = ids.get(name).copied().or_else(|| {
                let id = memory.workloads.id(&workload_of(name)?);
                ids.insert(name.into(), id);
                Some(id)
            });
            if let Some(workload) = id.and_then(|id| memory.workloads.at_mut(id)) {
                workload.series.load(hour, bucket(value.value())?);
            }
        }
        for row in tx.open_table(store::WORKLOAD_TALLIES).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            let kept: KeptWorkload = decode(value.value(), "workload")?;
            if let Some(workload) = workload_of(key.value()) {
                memory.load_workload(&workload, kept);
            }
        }
        for row in tx.open_table(store::NODE_CELLS).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            let (node, workload) = key.value();
            let tally = Tally::from_bytes(value.value()).ok_or_else(|| damaged("count", value.value()))?;
            if let Some(workload) = workload_of(workload) {
                memory.load_cell(&node.into(), &workload, tally);
            }
        }
        for row in tx.open_table(store::USAGE).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            let kept: KeptNode = decode(value.value(), "node")?;
            memory.load_node(&key.value().into(), kept);
        }
        for row in tx.open_table(store::WORKLOAD_USAGE).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            if let Some(workload) = workload_of(key.value()) {
                let stored = decode(value.value(), "histogram")?;
                memory.workloads.entry(&workload).usage = Some(Box::new(WorkloadUsage::load(&stored)));
            }
        }
        let (open, journal) = joined(series)?;
        memory.usage.resume(u32::try_from(meta("last_series")?).unwrap_or(0), open);
        for row in tx.open_table(store::DAYS).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            keeper.days.insert(key.value(), decode(value.value(), "day")?);
        }
        joined(pods)?.into_iter().for_each(|pod| memory.load_pod(pod));
        let ghosts = memory.raise(&journal);
        for row in tx.open_table(store::POD_PEAKS).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            memory.usage.load_peak(key.value(), value.value());
        }
        keeper.unplayed = Some((journal, ghosts));
        let memory = &mut keeper.memory;
        let table = tx.open_table(store::CLUSTER).map_err(storage(step))?;
        if let Some(value) = table.get("recent").map_err(storage(step))? {
            let kept: KeptCluster = decode(value.value(), "cluster")?;
            memory.resume(kept);
        }
        let empty = keeper.memory.node_count() == 0 && keeper.totals.decisions == 0;
        keeper.past.last_series = u32::try_from(meta("past_series")?).unwrap_or(0);
        keeper.past.state = match (store.meta("past_until")?, store.meta("past_known")?) {
            (_, Some(_)) => PastState::Known,
            (Some(until), None) => PastState::Interrupted(UnixMillis(i64::try_from(until).unwrap_or(i64::MAX))),
            (None, None) if empty => PastState::Unknown,
            (None, None) => PastState::Own,
        };
        Ok(keeper)
    }

    /// Plays the rounds again that the file has and that were not sealed. Comes before all else, but after the first answers, which
    /// need not wait for it.
    pub fn catch_up(&mut self) {
        if let Some((journal, ghosts)) = self.unplayed.take() {
            self.memory.replay(journal, ghosts);
            self.take_changes();
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, at: UnixMillis) {
        self.memory.advance(at);
        self.take_changes();
    }

    /// Notes for the next commit what the memory says has changed.
    fn take_changes(&mut self) {
        let changes = self.memory.drain();
        for verdict in changes.verdicts {
            self.judge_day(verdict);
        }
        for outcome in changes.outcomes {
            if outcome.label != OutcomeLabel::Immature || outcome.state == OutcomeState::Bad {
                self.told.push(outcome.clone());
            }
            self.pending.outcomes.insert(outcome.decision_id.0, outcome);
        }
        let pending = &mut self.pending;
        pending.pods.extend(changes.pods);
        pending.closed.extend(changes.closed.into_iter().map(|pod| (pod.pod.uid.clone(), pod)));
        pending.nodes.extend(changes.nodes);
        pending.workloads.extend(changes.workloads);
        pending.cells.extend(changes.cells);
        pending.cells.extend(changes.cells_gone);
        for (gone, hour) in changes.hours_gone {
            pending.hours_gone.push((gone, hour));
        }
        pending.series_created.extend(changes.series_created);
        pending.series_ended.extend(changes.series_ended);
        pending.sealed.extend(changes.sealed);
        pending.peaks.extend(changes.peaks);
        pending.usage.extend(changes.usage);
        pending.rounds.extend(changes.rounds);
        pending.pods_ended.extend(changes.pods_ended);
        pending.journal_until = pending.journal_until.max(changes.journal_until);
        let first_day = UnixMillis(self.memory.now().0 - self.memory.window_ms()).day();
        while let Some(day) = self.days.first_key_value().map(|(day, _)| *day).filter(|day| *day < first_day) {
            self.days.remove(&day);
            self.pending.days.insert(day);
        }
    }

    /// Counts a verdict of the cluster for the day of its decision; it replaces one from feedback.
    fn judge_day(&mut self, verdict: Verdict) {
        let day = self.day(verdict.decision.at());
        if let Some(said) = verdict.judged {
            day.judge(said, verdict.p_bad, -1);
            day.from_feedback = day.from_feedback.saturating_sub(1);
        }
        day.judge(verdict.good, verdict.p_bad, 1);
        if verdict.judged.is_some_and(|said| said != verdict.good) {
            self.contradict(verdict.decision, verdict.good);
        }
    }

    pub fn decision(&mut self, mut record: DecisionRecord) -> Arc<DecisionRecord> {
        self.advance(record.at);
        let day = self.day(record.at);
        match (record.kind, record.node.is_some()) {
            (DecisionKind::Prediction, _) => day.dry_runs += 1,
            (DecisionKind::Scheduling, true) => day.placements += 1,
            (DecisionKind::Scheduling, false) => day.unschedulable += u64::from(record.attempts <= 1),
            (DecisionKind::Observed, _) => day.observed += 1,
        }
        if record.kind != DecisionKind::Prediction {
            let uid = record.pod.uid.clone();
            if let Some(node) = record.node.clone() {
                self.failing.remove(&uid);
                self.memory.place(Placement {
                    decision: record.id,
                    pod: record.pod.clone(),
                    workload: record.workload.clone().unwrap_or_else(|| WorkloadKey {
                        namespace: record.pod.namespace.clone(),
                        kind: "Pod".into(),
                        name: record.pod.name.clone(),
                    }),
                    node,
                    at: record.at,
                    p_bad: record.p_bad,
                });
                self.take_changes();
            } else if let Some(before) = self.failing.get_mut(&uid).filter(|b| b.reason == record.reason) {
                before.attempts = before.attempts.saturating_add(record.attempts.max(1));
                record = before.clone();
            } else if self.failing.len() < MAX_FAILING {
                self.failing.insert(uid, record.clone());
            }
        }
        let record = Arc::new(record);
        self.pending.decisions.insert(record.id.0, record.clone());
        record
    }

    pub fn bind_failed(&mut self, id: DecisionId, uid: &Arc<str>, at: UnixMillis) {
        self.memory.bind_failed(id, uid, at);
        self.take_changes();
    }

    pub fn pod(&mut self, o: &PodObservation) {
        if o.gone {
            self.failing.remove(&o.pod.uid);
        }
        self.memory.pod(o);
        self.take_changes();
    }

    pub fn node(&mut self, o: &NodeObservation) {
        self.memory.node(o);
        self.take_changes();
    }

    /// Nothing comes any more.
    pub fn close(&mut self) {
        self.memory.seal();
        self.take_changes();
    }

    pub fn usage(&mut self, round: &UsageRound) {
        self.memory.usage(round);
        self.take_changes();
    }

    pub fn event(&mut self, event: &EventObservation) {
        self.memory.event(event);
        self.take_changes();
    }

    /// The initial list of pods is complete: remembered pods that were not in it are gone.
    pub fn listed(&mut self, at: UnixMillis) {
        self.memory.listed(at);
        self.take_changes();
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

    // Feedback looks at what is pending before it looks at the store.

    pub fn find_decision(&self, id: DecisionId) -> Result<Option<DecisionRecord>, HistoryError> {
        match self.pending.decisions.get(&id.0) {
            Some(record) => Ok(Some(DecisionRecord::clone(record))),
            None => self.store.decision(id),
        }
    }

    pub fn newest_decision_of(&self, pod: &(Arc<str>, Arc<str>)) -> Result<Option<DecisionRecord>, HistoryError> {
        let pending = self.pending.decisions.values().rev();
        let mut pending = pending.filter(|r| r.pod.namespace == pod.0 && r.pod.name == pod.1);
        if let Some(record) = pending.next() {
            return Ok(Some(DecisionRecord::clone(record)));
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
        let pod = self.memory.pods.get_mut(uid).filter(|pod| pod.decision == Some(record.id))?;
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
            && p.cells.is_empty()
            && p.hours_gone.is_empty()
            && p.series_created.is_empty()
            && p.series_ended.is_empty()
            && p.sealed.is_empty()
            && self.past.clear.is_none()
            && p.peaks.is_empty()
            && p.rounds.is_empty()
            && p.pods_ended.is_empty()
            && p.journal_until.is_none()
            && !self.compacting)
    }

    /// How many records wait, the measure of when to commit early.
    pub fn waiting(&self) -> usize {
        self.pending.decisions.len() + self.pending.pods.len()
    }

    /// All rates as of now.
    pub fn rates(&mut self) -> Rates {
        self.memory.rates()
    }
}

/// The pods that were followed.
fn read_pods(store: &Store) -> Result<Vec<Tracked>, HistoryError> {
    let step = "reading the pods";
    let mut pods = Vec::new();
    for row in store.read()?.open_table(store::PODS).map_err(storage(step))?.iter().map_err(storage(step))? {
        let (_, value) = row.map_err(storage(step))?;
        pods.push(decode(value.value(), "pod")?);
    }
    Ok(pods)
}

/// What a thread has read. It panics where redb did, which whoever opens the file takes for damage.
fn joined<T>(thread: Reading<'_, T>) -> Result<T, HistoryError> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn bucket(bytes: &[u8]) -> Result<Bucket, HistoryError> {
    Bucket::from_bytes(bytes).ok_or_else(|| damaged("counter", bytes))
}

fn damaged(what: &str, bytes: &[u8]) -> HistoryError {
    HistoryError::Storage { step: "reading the store", why: format!("a {what} has {} bytes", bytes.len()) }
}
