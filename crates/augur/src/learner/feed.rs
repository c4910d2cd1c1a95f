//! From history to the learner: [`feed`] turns decisions and what becomes of them into examples, and hands them over in batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use augur_api::LearnerBackend;
use augur_clock::Clock;
use augur_history::{
    DecisionFilter, DecisionId, DecisionKind, DecisionRecord, Example, HistoryEvent, HistoryHandle, Outcome,
    OutcomeLabel, OutcomeState, UnixMillis, WorkloadKey,
};
use augur_learn::lifetime::Lifetimes;
use augur_learn::{Past, PastSlot, example_of};
use http::Method;
use tokio::sync::mpsc;

use super::client::HttpClient;

/// Events that wait; a busy scheduler makes some hundreds a second. What does not fit is sent at the next start.
const EVENTS: usize = 65_536;
/// Decisions followed until a day has passed; twice what the largest cluster has pods. Beyond it the oldest are dropped.
const FOLLOWED: usize = 300_000;
/// Examples in one batch.
const BATCH: usize = 1_000;
/// Examples that wait for a learner that does not answer; the oldest are dropped, and sent again after a restart.
const WAITING: usize = 100_000;
/// How long a batch gathers.
const GATHER: Duration = Duration::from_secs(1);
/// How long a learner that did not answer is left alone.
const RETRY: Duration = Duration::from_secs(5);
/// Decisions from so long before the start are sent again: what came while the learner was away.
const REPLAY_MS: i64 = 26 * 3_600_000;
/// At most so many of them.
const REPLAY: usize = 100_000;
/// How often the survival curves are shown to decisions.
const SHOW_LIFETIMES_EVERY: Duration = Duration::from_secs(30);

/// Where examples go.
pub enum Sink {
    /// The learner in this process; what has its label is kept in history first.
    Here(Arc<dyn LearnerBackend>),
    /// A learner elsewhere.
    There(Box<HttpClient>),
    /// Nowhere: only lifetimes are learned.
    Nowhere,
}

/// What is kept of a decision that was placed.
struct Followed {
    /// Until its label is known, if somebody learns from it.
    record: Option<Arc<DecisionRecord>>,
    workload: Option<WorkloadKey>,
    at: UnixMillis,
}

/// Follows history until the process ends.
pub async fn feed(history: HistoryHandle, sink: Sink, past: PastSlot, clock: Clock) {
    let (sender, mut events) = mpsc::channel(EVENTS);
    history.subscribe(move |event| match sender.try_send(event.clone()) {
        Ok(()) => true,
        Err(mpsc::error::TrySendError::Full(_)) => {
            tracing::warn!("the learner's feed is full; an event is sent after the next start");
            true
        }
        Err(mpsc::error::TrySendError::Closed(_)) => false,
    });
    let teaches = !matches!(sink, Sink::Nowhere);
    let mut feed = Feed { teaches, followed: BTreeMap::new(), lifetimes: Lifetimes::default(), waiting: Vec::new() };
    let since = UnixMillis(clock.now().as_millisecond() - REPLAY_MS);
    let filter = DecisionFilter { since: Some(since), limit: REPLAY, ..DecisionFilter::default() };
    let reading = history.clone();
    if let Ok(Ok(decisions)) = tokio::task::spawn_blocking(move || reading.decisions(&filter)).await {
        for (record, outcome) in decisions.into_iter().rev() {
            feed.decision(Arc::new(record));
            if let Some(outcome) = outcome {
                feed.outcome(&outcome);
            }
        }
    }
    let mut shown = tokio::time::Instant::now();
    let mut batch = Vec::new();
    loop {
        let gathered = tokio::time::timeout(GATHER, events.recv_many(&mut batch, BATCH)).await;
        if matches!(gathered, Ok(0)) {
            return;
        }
        for event in batch.drain(..) {
            match event {
                HistoryEvent::Decision(record) => feed.decision(record),
                HistoryEvent::Outcome(outcome) => feed.outcome(&outcome),
            }
        }
        feed.send(&sink, &history).await;
        if shown.elapsed() >= SHOW_LIFETIMES_EVERY {
            shown = tokio::time::Instant::now();
            let rates = past.get().rates.clone();
            past.set(Past { rates, lifetimes: Arc::new(feed.lifetimes.clone()) });
        }
    }
}

struct Feed {
    /// Whether examples go anywhere.
    teaches: bool,
    followed: BTreeMap<DecisionId, Followed>,
    lifetimes: Lifetimes,
    waiting: Vec<Example>,
}

impl Feed {
    fn decision(&mut self, record: Arc<DecisionRecord>) {
        if record.kind != DecisionKind::Scheduling || record.node.is_none() {
            return;
        }
        if self.teaches {
            self.waiting.extend(example_of(&record, None));
        }
        if self.followed.len() >= FOLLOWED {
            self.followed.pop_first();
        }
        let (id, workload, at) = (record.id, record.workload.clone(), record.at);
        self.followed.insert(id, Followed { record: self.teaches.then_some(record), workload, at });
    }

    fn outcome(&mut self, outcome: &Outcome) {
        let id = outcome.decision_id;
        let Some(followed) = self.followed.get_mut(&id) else { return };
        if let Some(record) = &followed.record {
            self.waiting.extend(example_of(record, Some(outcome)));
            if outcome.label != OutcomeLabel::Immature {
                // All that is left to see is how long it lives.
                followed.record = None;
            }
        }
        let lasted = |until: UnixMillis| (until.0 - followed.at.0).max(0) as f64 / 60_000.0;
        let seen = match (outcome.ended_at, outcome.day_label) {
            _ if outcome.label == OutcomeLabel::Immature => None,
            // An end that the pod did not choose says only that it would have lived longer.
            (Some(at), _) => {
                Some((lasted(at), matches!(outcome.state, OutcomeState::Succeeded | OutcomeState::Deleted)))
            }
            (None, OutcomeLabel::Immature) => None,
            (None, _) => Some((lasted(outcome.at), false)),
        };
        if let Some((minutes, ended)) = seen {
            if let Some(workload) = &followed.workload {
                self.lifetimes.observe(workload, minutes, ended);
            }
            self.followed.remove(&id);
        }
    }

    /// Hands over what waits.
    async fn send(&mut self, sink: &Sink, history: &HistoryHandle) {
        match sink {
            Sink::Nowhere => {}
            Sink::Here(learner) => {
                let examples = std::mem::take(&mut self.waiting);
                if examples.is_empty() {
                    return;
                }
                let matured: Vec<Example> =
                    examples.iter().filter(|example| example.label != OutcomeLabel::Immature).cloned().collect();
                if !matured.is_empty() {
                    history.add_examples(matured, |result| {
                        if let Err(error) = result {
                            tracing::error!(%error, "examples cannot be kept");
                        }
                    });
                }
                learner.examples(examples);
            }
            Sink::There(client) => {
                while !self.waiting.is_empty() {
                    let count = self.waiting.len().min(BATCH);
                    if let Err(error) = push(client, &self.waiting[..count]).await {
                        tracing::warn!("examples wait for the learner: {error:#}");
                        let excess = self.waiting.len().saturating_sub(WAITING);
                        self.waiting.drain(..excess);
                        tokio::time::sleep(RETRY).await;
                        return;
                    }
                    self.waiting.drain(..count);
                }
            }
        }
    }
}

/// Sends one batch; one that came twice changes nothing.
async fn push(client: &HttpClient, examples: &[Example]) -> anyhow::Result<()> {
    let body = serde_json::to_vec(&serde_json::json!({ "examples": examples }))?;
    let answer = client.call(Method::POST, "/examples", &[], body.into()).await?;
    if answer.status.is_success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&answer.body);
    // A batch that is refused once will be refused again.
    if answer.status == http::StatusCode::UNPROCESSABLE_ENTITY {
        tracing::error!(%text, "the learner refuses a batch of examples; it is dropped");
        return Ok(());
    }
    anyhow::bail!("{}/examples answered {}: {text}", client.url(), answer.status)
}
