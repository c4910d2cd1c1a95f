//! Opening history, and the handle through which everybody else reaches it.
//!
//! [`History::open`] starts the one writing thread; [`HistoryHandle`] is cheap to clone.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::keeper::{Keeper, PastState};
use crate::memory::{EventObservation, PastStep};
use crate::performance::Performance;
use crate::rates::Rates;
use crate::store::{self, HistoryError, Store};
use crate::types::{
    DecisionFilter, DecisionId, DecisionRecord, Example, Feedback, FeedbackReceipt, FeedbackRecord, NodeObservation,
    Outcome, PodObservation, UnixMillis,
};
use crate::usage::UsageRound;
use crate::usage::series::{self, SeriesOf, UsageSeries};

/// Messages that may wait for the writing thread: a few seconds of the densest traffic, some 30 MB. When it is full,
/// observations and decisions are dropped and counted, feedback is refused.
const QUEUE: usize = 16_384;
/// How long what was recorded may wait for its commit.
const COMMIT_EVERY: Duration = Duration::from_millis(250);
/// Records that are committed at once without waiting longer: what waits for its commit is in memory twice.
const COMMIT_AT: usize = 1_024;
/// Rates are made anew at most so often.
const RATES_EVERY: Duration = Duration::from_secs(1);
/// Rates that are kept for those who still look at them: they are made once a second, and nobody looks for so long.
const RETIRED: usize = 4;
/// How long a reader waits for what was recorded before it asked.
const BARRIER: Duration = Duration::from_secs(2);

/// Where history is kept and how much of it.
#[derive(Debug, Clone)]
pub struct HistoryOptions {
    /// The data directory; made when it does not exist.
    pub dir: PathBuf,
    /// How far back memory reaches.
    pub window: Duration,
    /// Bytes that decisions may take; the oldest are removed first.
    pub byte_budget: u64,
    /// Bytes that series of usage may take; the oldest are removed first.
    pub usage_budget: u64,
    /// Bytes that labelled examples may take; the oldest are removed first.
    pub example_budget: u64,
    /// Memory for pages of the file, half of it at most for those of the present commit; a commit that has more of them writes
    /// some before its end. History is written far more than it is read, and what is read twice the system keeps as well.
    pub cache_bytes: usize,
}

impl HistoryOptions {
    /// Seven days in `dir`, within 4 GiB.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self::within(dir, 4 << 30)
    }

    /// Seven days in `dir`, within so many bytes of disk: three eighths for decisions, a quarter for series, an eighth for examples.
    /// The last quarter is for what is small and grows with the cluster (outcomes, indices, counts), and for pages that are free
    /// between two commits.
    pub fn within(dir: impl Into<PathBuf>, disk: u64) -> Self {
        Self {
            dir: dir.into(),
            window: Duration::from_secs(168 * 3600),
            byte_budget: disk / 8 * 3,
            usage_budget: disk / 4,
            example_budget: disk / 8,
            cache_bytes: 8 << 20,
        }
    }
}

/// Why feedback was not kept.
#[derive(Debug, thiserror::Error)]
pub enum FeedbackError {
    /// Too much waits to be written; come again.
    #[error("history is busy; send the feedback again")]
    Busy,
    /// It could not be written.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// What subscribers hear.
#[derive(Debug, Clone)]
pub enum HistoryEvent {
    /// A decision was recorded.
    Decision(Arc<DecisionRecord>),
    /// An outcome went bad, or was given its label.
    Outcome(Outcome),
}

/// How history is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryStatus {
    /// Messages dropped because the queue was full.
    pub dropped: u64,
    /// The latest [`HistoryHandle::tick`] before which messages had been dropped; `None` when there was none.
    pub dropped_at: Option<UnixMillis>,
    /// Commits that failed; what they held is lost.
    pub failed_commits: u64,
    /// Why the latest commit failed; `None` when it succeeded.
    pub last_error: Option<String>,
    /// Pods that could not be followed because too many are.
    pub untracked_pods: u64,
    /// What the file of before was renamed to, if it was damaged.
    pub set_aside: Option<PathBuf>,
}

/// What history holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Decisions in the window.
    pub decisions: u64,
    /// Their size in bytes.
    pub decision_bytes: u64,
    /// Size of the series of usage in bytes.
    pub usage_bytes: u64,
    /// Series of containers and nodes that go on.
    pub series: u64,
    /// Outcomes known, immature ones included.
    pub outcomes: u64,
    /// Feedback records.
    pub feedback: u64,
    /// Of these, how many contradict the cluster.
    pub contradicting: u64,
    /// Labelled examples that a scheduler has handed over.
    pub examples: u64,
    /// Pods being followed.
    pub pods: u64,
    /// Nodes with any memory.
    pub nodes: u64,
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// The oldest decision kept.
    pub oldest: Option<UnixMillis>,
}

type Reply<T> = Box<dyn FnOnce(T) + Send>;
type Subscriber = Box<dyn FnMut(&HistoryEvent) -> bool + Send>;

enum Message {
    Decision(Box<DecisionRecord>),
    BindFailed(DecisionId, Arc<str>, UnixMillis),
    Pod(Box<PodObservation>),
    Node(NodeObservation),
    Usage(Box<UsageRound>),
    Event(Box<EventObservation>),
    Listed(UnixMillis),
    Past(PastMessage, Reply<()>),
    Tick(UnixMillis),
    Feedback(Box<Feedback>, UnixMillis, Reply<Result<FeedbackReceipt, FeedbackError>>),
    Examples(Vec<Example>, Reply<Result<(), HistoryError>>),
    Subscribe(Subscriber),
    Barrier(SyncSender<()>),
    Close,
}

/// How far somebody is in telling the days before this history began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PastProgress {
    /// Who tells them.
    pub source: Arc<str>,
    /// Where they begin.
    pub from: UnixMillis,
    /// Where they end: the first start on an empty history.
    pub until: UnixMillis,
    /// Up to where they are told.
    pub reached: UnixMillis,
    /// Whether they are told to the end, and count.
    pub done: bool,
    /// Why it does not go on at present.
    pub error: Option<String>,
    /// Values that were left out because they cannot be true, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// What the source said of its own answers last.
    pub warning: Option<String>,
}

/// The days before this history began.
enum PastMessage {
    Begin(UnixMillis),
    Steps(Arc<[PastStep]>),
    End,
}

/// What the writing thread shows to readers.
#[derive(Default)]
struct Shown {
    rates: Mutex<Arc<Rates>>,
    performance: Mutex<Arc<Performance>>,
    status: Mutex<HistoryStatus>,
    past: Mutex<PastState>,
    telling: Mutex<Option<PastProgress>>,
    pods: AtomicU64,
    nodes: AtomicU64,
    dropped: AtomicU64,
    /// When so many messages had been dropped for the first time, as of the latest tick.
    dropped_at: Mutex<(u64, Option<UnixMillis>)>,
    last_id: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is guarded is replaced whole, so that a panic elsewhere leaves nothing half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Owns the writing thread; dropping it writes what is left and closes the file.
pub struct History {
    handle: HistoryHandle,
    thread: Option<JoinHandle<()>>,
}

/// Records and reads. Cheap to clone.
#[derive(Clone)]
pub struct HistoryHandle {
    sender: SyncSender<Message>,
    pub(crate) store: Arc<Store>,
    shown: Arc<Shown>,
}

fn load(options: &HistoryOptions) -> Result<(Arc<Store>, Keeper), HistoryError> {
    let store = Arc::new(Store::open(&options.dir, options.cache_bytes)?);
    let path = store.path().to_owned();
    let damaged = |why: String| HistoryError::Damaged { path, why };
    // redb panics at some kinds of damage, when it comes to the pages concerned.
    let read = std::panic::AssertUnwindSafe(|| Keeper::load(&store, options));
    match std::panic::catch_unwind(read) {
        Ok(Ok(keeper)) => Ok((store, keeper)),
        Ok(Err(HistoryError::Storage { why, .. })) => Err(damaged(why)),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            // What is left of it may panic again on its way out.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(store)));
            Err(damaged("its pages make no sense".to_owned()))
        }
    }
}

/// Renames a file to the first name that is free; answers with it.
fn set_file_aside(path: &std::path::Path) -> Result<PathBuf, HistoryError> {
    let name = |number: u32| path.with_extension(format!("redb.damaged-{number}"));
    let to = (1..).map(name).find(|to| !to.exists()).unwrap_or_else(|| name(0));
    std::fs::rename(path, &to).map_err(|source| HistoryError::SetAside { path: path.to_owned(), source })?;
    Ok(to)
}

impl History {
    /// Opens the file in the data directory, or makes it, and starts the writing thread.
    ///
    /// # Errors
    /// When the directory cannot be made, or the file is held by another process or not ours; the message names it. A file of
    /// ours that is torn or damaged is set aside (renamed, and its new name logged and told by [`HistoryHandle::status`]), and
    /// history starts anew.
    pub fn open(options: &HistoryOptions) -> Result<Self, HistoryError> {
        let mut set_aside = None;
        let (store, mut keeper) = match load(options) {
            Err(HistoryError::Damaged { path, why }) => {
                let to = set_file_aside(&path)?;
                tracing::error!(file = %to.display(), why, "the history was damaged: it is set aside, and history starts anew");
                set_aside = Some(to);
                load(options)?
            }
            other => other?,
        };
        let shown = Arc::new(Shown::default());
        let newest = store.decisions(&DecisionFilter { limit: 1, ..DecisionFilter::default() })?;
        shown.last_id.store(newest.first().map_or(0, |(record, _)| record.id.0), Ordering::Relaxed);
        lock(&shown.status).set_aside = set_aside;
        show(&mut keeper, &shown);
        let (sender, receiver) = sync_channel(QUEUE);
        let handle = HistoryHandle { sender, store, shown: shown.clone() };
        let thread = std::thread::Builder::new()
            .name("augur-history".to_owned())
            .spawn(move || Writer { keeper, shown, subscribers: Vec::new(), retired: VecDeque::new() }.run(&receiver))
            .map_err(HistoryError::Thread)?;
        Ok(Self { handle, thread: Some(thread) })
    }

    /// A handle.
    pub fn handle(&self) -> HistoryHandle {
        self.handle.clone()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        // A full queue empties as the thread works; it ends at `Close` and not before.
        if self.handle.sender.send(Message::Close).is_ok()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the history thread panicked");
        }
    }
}

impl HistoryHandle {
    /// An id for a decision taken now; grows with every call.
    pub fn next_id(&self, now: UnixMillis) -> DecisionId {
        let last = &self.shown.last_id;
        let mut before = last.load(Ordering::Relaxed);
        loop {
            let id = DecisionId::after(before, now);
            match last.compare_exchange_weak(before, id.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return id,
                Err(other) => before = other,
            }
        }
    }

    /// Records a decision. Never blocks; false when the queue was full and the decision was dropped and counted.
    ///
    /// A failed attempt at a pod for the same reason as the one before is added to that one's `attempts`, and its own id
    /// is not found later.
    pub fn record_decision(&self, record: DecisionRecord) -> bool {
        self.post(Message::Decision(Box::new(record)))
    }

    /// Records that the binding of a decision was refused. Never blocks.
    pub fn record_bind_failure(&self, id: DecisionId, pod_uid: &Arc<str>, at: UnixMillis) -> bool {
        self.post(Message::BindFailed(id, pod_uid.clone(), at))
    }

    /// Records what a watch shows of a pod. Never blocks.
    pub fn observe_pod(&self, observation: PodObservation) -> bool {
        if observation.node.is_none() && !observation.gone {
            return true;
        }
        self.post(Message::Pod(Box::new(observation)))
    }

    /// Records what is seen of a node. Never blocks.
    pub fn observe_node(&self, observation: NodeObservation) -> bool {
        self.post(Message::Node(observation))
    }

    /// Records one round of readings. Never blocks.
    pub fn observe_usage(&self, round: UsageRound) -> bool {
        self.post(Message::Usage(Box::new(round)))
    }

    /// Records an Event of the cluster. Never blocks.
    pub fn observe_event(&self, event: EventObservation) -> bool {
        self.post(Message::Event(Box::new(event)))
    }

    /// The series of a pod, a node or everything since a moment. What was read in the last ten minutes is not among it yet.
    /// Blocks for the disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn usage_series(&self, of: SeriesOf<'_>, since: UnixMillis) -> Result<Vec<UsageSeries>, HistoryError> {
        self.flush();
        series::read(&self.store.read()?, of, since)
    }

    /// Bytes of series by kind: of the hours that are coarse, how many hours that are, and of what is kept in full. Reads all of
    /// them; blocks for the disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn usage_bytes(&self) -> Result<(u64, u64, u64), HistoryError> {
        self.flush();
        series::sizes(&self.store.read()?)
    }

    /// Tells that the first full list of pods has been observed: remembered pods that were not in it are gone.
    pub fn pods_listed(&self, at: UnixMillis) -> bool {
        self.post(Message::Listed(at))
    }

    /// How far the days before this history began are known.
    pub fn past_state(&self) -> PastState {
        *lock(&self.shown.past)
    }

    /// How far the telling of these days is; `None` when nobody has begun since the start of the process.
    pub fn past_progress(&self) -> Option<PastProgress> {
        lock(&self.shown.telling).clone()
    }

    /// Says how far it is.
    pub fn tell_past_progress(&self, progress: PastProgress) {
        *lock(&self.shown.telling) = Some(progress);
    }

    /// Begins to take in the days before `until`. Then come the steps, and [`HistoryHandle::end_past`]; what ends early leaves
    /// nothing behind. `done` is called when that is noted, on the writing thread; never when the queue is full (false).
    pub fn begin_past(&self, until: UnixMillis, done: impl FnOnce() + Send + 'static) -> bool {
        self.post_past(PastMessage::Begin(until), done)
    }

    /// Takes in what is known of some moments of these days, each later than the one before.
    pub fn past(&self, steps: Arc<[PastStep]>, done: impl FnOnce() + Send + 'static) -> bool {
        self.post_past(PastMessage::Steps(steps), done)
    }

    /// These days are told: adds them to what is known.
    pub fn end_past(&self, done: impl FnOnce() + Send + 'static) -> bool {
        self.post_past(PastMessage::End, done)
    }

    fn post_past(&self, message: PastMessage, done: impl FnOnce() + Send + 'static) -> bool {
        self.sender.try_send(Message::Past(message, Box::new(move |()| done()))).is_ok()
    }

    /// Lets time pass, so that outcomes mature while nothing is observed. Call it about every second.
    pub fn tick(&self, now: UnixMillis) -> bool {
        let posted = self.post(Message::Tick(now));
        let dropped = self.shown.dropped.load(Ordering::Relaxed);
        let mut known = lock(&self.shown.dropped_at);
        if known.0 != dropped {
            *known = (dropped, Some(now));
        }
        posted
    }

    /// Keeps feedback; `reply` is called when it is on disk, on the writing thread.
    pub fn feedback(
        &self,
        feedback: Feedback,
        now: UnixMillis,
        reply: impl FnOnce(Result<FeedbackReceipt, FeedbackError>) + Send + 'static,
    ) {
        match self.sender.try_send(Message::Feedback(Box::new(feedback), now, Box::new(reply))) {
            Ok(()) => {}
            Err(TrySendError::Full(Message::Feedback(_, _, reply))) => reply(Err(FeedbackError::Busy)),
            Err(TrySendError::Disconnected(Message::Feedback(_, _, reply))) => reply(Err(HistoryError::Closed.into())),
            Err(_) => {}
        }
    }

    /// Keeps labelled examples, at most one for each decision; `reply` is called when they are on disk.
    pub fn add_examples(&self, examples: Vec<Example>, reply: impl FnOnce(Result<(), HistoryError>) + Send + 'static) {
        match self.sender.try_send(Message::Examples(examples, Box::new(reply))) {
            Ok(()) => {}
            Err(
                TrySendError::Full(Message::Examples(_, reply))
                | TrySendError::Disconnected(Message::Examples(_, reply)),
            ) => {
                reply(Err(HistoryError::Closed));
            }
            Err(_) => {}
        }
    }

    /// Calls `subscriber` on the writing thread for every event until it answers false. It must not block.
    pub fn subscribe(&self, subscriber: impl FnMut(&HistoryEvent) -> bool + Send + 'static) -> bool {
        self.post(Message::Subscribe(Box::new(subscriber)))
    }

    fn post(&self, message: Message) -> bool {
        let posted = self.sender.try_send(message).is_ok();
        if !posted {
            self.shown.dropped.fetch_add(1, Ordering::Relaxed);
        }
        posted
    }

    /// Waits until what was recorded before is on disk, two seconds at most. Blocks.
    pub fn flush(&self) {
        let until = Instant::now() + BARRIER;
        let (sender, receiver) = sync_channel(1);
        let mut barrier = Message::Barrier(sender);
        while let Err(TrySendError::Full(back)) = self.sender.try_send(barrier) {
            barrier = back;
            if Instant::now() >= until {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if receiver.recv_timeout(until.saturating_duration_since(Instant::now())).is_err() {
            tracing::warn!("history is slow to write; the answer may miss the latest records");
        }
    }

    /// The decisions that `filter` wants, newest first, with their outcomes. Blocks for the disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn decisions(&self, filter: &DecisionFilter) -> Result<Vec<(DecisionRecord, Option<Outcome>)>, HistoryError> {
        self.flush();
        self.store.decisions(filter)
    }

    /// One decision with its outcome. Blocks for the disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn decision(&self, id: DecisionId) -> Result<Option<(DecisionRecord, Option<Outcome>)>, HistoryError> {
        self.flush();
        let Some(record) = self.store.decision(id)? else { return Ok(None) };
        Ok(Some((record, self.store.outcome(id)?)))
    }

    /// The latest feedback, newest first. Blocks for the disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn recent_feedback(&self, limit: usize) -> Result<Vec<FeedbackRecord>, HistoryError> {
        self.store.recent_feedback(limit)
    }

    /// Counts by day, as of the latest commit.
    pub fn performance(&self) -> Arc<Performance> {
        lock(&self.shown.performance).clone()
    }

    /// All rates, at most about a second old. Cheap.
    pub fn rates(&self) -> Arc<Rates> {
        lock(&self.shown.rates).clone()
    }

    /// How history is doing. Cheap.
    pub fn status(&self) -> HistoryStatus {
        let mut status = lock(&self.shown.status).clone();
        status.dropped = self.shown.dropped.load(Ordering::Relaxed);
        status.dropped_at = lock(&self.shown.dropped_at).1;
        status
    }

    /// The labelled examples kept, oldest first. Blocks for the disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn examples(&self) -> Result<Vec<Example>, HistoryError> {
        self.flush();
        self.store.examples()
    }

    /// What history holds. Blocks for the disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn summary(&self) -> Result<Summary, HistoryError> {
        self.flush();
        let meta = |name| self.store.meta(name).map(Option::unwrap_or_default);
        Ok(Summary {
            decisions: meta("decisions")?,
            decision_bytes: meta("decision_bytes")?,
            usage_bytes: meta("usage_bytes")?,
            series: self.store.count(series::SERIES_OPEN)?,
            outcomes: self.store.count(store::OUTCOMES)?,
            feedback: meta("feedback")?,
            contradicting: meta("contradicting")?,
            examples: self.store.count(store::EXAMPLES)?,
            pods: self.shown.pods.load(Ordering::Relaxed),
            nodes: self.shown.nodes.load(Ordering::Relaxed),
            file_bytes: self.store.file_bytes(),
            oldest: self.store.oldest_decision()?.map(DecisionId::at),
        })
    }

    /// The file.
    pub fn path(&self) -> &std::path::Path {
        self.store.path()
    }
}

/// Shows new rates; answers with the old ones.
fn show(keeper: &mut Keeper, shown: &Shown) -> Arc<Rates> {
    let rates = Arc::new(keeper.rates());
    show_counts(keeper, shown);
    std::mem::replace(&mut *lock(&shown.rates), rates)
}

fn show_counts(keeper: &Keeper, shown: &Shown) {
    *lock(&shown.performance) = Arc::new(Performance {
        days: keeper.days(),
        feedback: keeper.totals.feedback,
        contradicting: keeper.totals.contradicting,
    });
    *lock(&shown.past) = keeper.past.state;
    lock(&shown.status).untracked_pods = keeper.memory.untracked_pods();
    shown.pods.store(keeper.memory.pods_followed() as u64, Ordering::Relaxed);
    shown.nodes.store(keeper.memory.node_count() as u64, Ordering::Relaxed);
}

/// The writing thread.
struct Writer {
    keeper: Keeper,
    shown: Arc<Shown>,
    subscribers: Vec<Subscriber>,
    /// Rates that are no longer shown and that somebody still looks at. They are let go of here: whoever is last to do so frees
    /// the rates of all nodes, and that must not be the scheduler thread.
    retired: VecDeque<Arc<Rates>>,
}

/// Those who wait for the next commit.
#[derive(Default)]
struct Waiting {
    feedback: Vec<(FeedbackReceipt, Reply<Result<FeedbackReceipt, FeedbackError>>)>,
    examples: Vec<Reply<Result<(), HistoryError>>>,
    barriers: Vec<SyncSender<()>>,
    close: bool,
}

impl Waiting {
    fn nobody(&self) -> bool {
        self.feedback.is_empty() && self.examples.is_empty() && self.barriers.is_empty() && !self.close
    }
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        self.keeper.catch_up();
        let mut committed = Instant::now();
        let mut rated = Instant::now();
        loop {
            let mut waiting = Waiting::default();
            match receiver.recv_timeout(COMMIT_EVERY.saturating_sub(committed.elapsed())) {
                Ok(message) => self.take(message, &mut waiting),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => waiting.close = true,
            }
            // Whoever came meanwhile shares the commit.
            while !waiting.close && self.keeper.waiting() < COMMIT_AT {
                let Ok(message) = receiver.try_recv() else { break };
                self.take(message, &mut waiting);
            }
            for outcome in std::mem::take(&mut self.keeper.told) {
                self.tell(&HistoryEvent::Outcome(outcome));
            }
            let due = committed.elapsed() >= COMMIT_EVERY || self.keeper.waiting() >= COMMIT_AT;
            let close = waiting.close;
            if due || !waiting.nobody() {
                self.commit(waiting);
                committed = Instant::now();
            }
            if self.keeper.memory.rates_stale && rated.elapsed() >= RATES_EVERY {
                self.retired.push_back(show(&mut self.keeper, &self.shown));
                rated = Instant::now();
            }
            self.retired.retain(|rates| Arc::strong_count(rates) > 1);
            if self.retired.len() > RETIRED {
                self.retired.pop_front();
            }
            if close {
                return;
            }
        }
    }

    fn take(&mut self, message: Message, waiting: &mut Waiting) {
        match message {
            Message::Decision(record) => {
                let record = self.keeper.decision(*record);
                if !self.subscribers.is_empty() {
                    self.tell(&HistoryEvent::Decision(record));
                }
            }
            Message::BindFailed(id, uid, at) => self.keeper.bind_failed(id, &uid, at),
            Message::Pod(observation) => self.keeper.pod(&observation),
            Message::Node(observation) => self.keeper.node(&observation),
            Message::Usage(round) => self.keeper.usage(&round),
            Message::Event(event) => self.keeper.event(&event),
            Message::Listed(at) => self.keeper.listed(at),
            Message::Past(message, reply) => {
                match message {
                    PastMessage::Begin(until) => self.keeper.begin_past(until),
                    PastMessage::Steps(steps) => self.keeper.past(&steps),
                    PastMessage::End => self.keeper.end_past(),
                }
                reply(());
            }
            Message::Tick(at) => self.keeper.advance(at),
            Message::Feedback(feedback, at, reply) => match self.keeper.feedback(*feedback, at) {
                Ok(receipt) => waiting.feedback.push((receipt, reply)),
                Err(error) => reply(Err(error.into())),
            },
            Message::Examples(examples, reply) => {
                for example in examples {
                    self.keeper.example(example);
                }
                waiting.examples.push(reply);
            }
            Message::Subscribe(subscriber) => self.subscribers.push(subscriber),
            Message::Barrier(sender) => waiting.barriers.push(sender),
            Message::Close => {
                self.keeper.close();
                waiting.close = true;
            }
        }
    }

    fn tell(&mut self, event: &HistoryEvent) {
        self.subscribers.retain_mut(|subscriber| subscriber(event));
    }

    fn commit(&mut self, waiting: Waiting) {
        let result = if self.keeper.is_dirty() { self.keeper.commit() } else { Ok(()) };
        let why = result.err().map(|error| error.to_string());
        if let Some(error) = &why {
            // Four times a second would be too often.
            if lock(&self.shown.status).last_error != why {
                tracing::error!(%error, "history could not be written; it is tried again until it can be");
            }
            // After an error of the disk redb wants to be opened anew; when there is room again, history goes on.
            if let Err(error) = self.keeper.store.reopen() {
                tracing::debug!(%error, "history could not be opened again");
            }
        } else if lock(&self.shown.status).last_error.is_some() {
            tracing::info!("history can be written again");
        }
        {
            let mut status = lock(&self.shown.status);
            status.failed_commits += u64::from(why.is_some());
            status.last_error.clone_from(&why);
        }
        show_counts(&self.keeper, &self.shown);
        let failed = |why: &String| HistoryError::Storage { step: "writing history", why: why.clone() };
        for (receipt, reply) in waiting.feedback {
            reply(why.as_ref().map_or(Ok(receipt), |why| Err(failed(why).into())));
        }
        for reply in waiting.examples {
            reply(why.as_ref().map_or(Ok(()), |why| Err(failed(why))));
        }
        for barrier in waiting.barriers {
            // Whoever asked may have stopped waiting.
            let _gone = barrier.send(());
        }
    }
}
