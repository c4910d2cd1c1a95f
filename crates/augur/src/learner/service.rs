//! The learner thread: it alone holds the loop, and everything reaches it over one bounded channel. Entry point:
//! [`LearnerService::start`].

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use augur_api::dto::{EvaluationView, JobState, JobView, ModelEntry, ModelState};
use augur_api::{Answer, ApiError, LearnerBackend, LearnerReport, Snapshot, Which};
use augur_clock::Clock;
use augur_history::{DecisionId, Example, UnixMillis};
use augur_learn::online::{By, Event, Known, Plan, TrainError, Trained, Watcher};
use augur_learn::{LearnedModel, Learner, LearnerOptions};
use bytes::Bytes;
use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::registry::{Registry, State};
use super::swaps::Swaps;

/// Messages that wait: batches of examples, and what clients ask.
const QUEUE: usize = 1024;
/// How often time passes for the loop.
const TICK: Duration = Duration::from_secs(1);
/// How often the report is made anew without need.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How often leaves that took in labels are written to disk.
const WRITE_REFRESHED_EVERY: Duration = Duration::from_secs(600);
/// Jobs remembered.
const JOBS: usize = 64;
/// The kind of a job that trains; others apply what waits.
const TRAIN: &str = "train";

type Reply<T> = oneshot::Sender<Result<T, ApiError>>;

enum Message {
    Examples(Vec<Example>),
    Feedback(DecisionId, bool),
    Train(String),
    Update(String),
    Promote(String, Reply<ModelEntry>),
    Rollback(Reply<Option<ModelEntry>>),
    Trained(Option<String>, Box<Result<Trained, TrainError>>),
    Stop,
}

/// What the thread shows.
struct Shown {
    report: Mutex<Arc<LearnerReport>>,
    jobs: Mutex<VecDeque<JobView>>,
    snapshots: Mutex<[Option<Snapshot>; 2]>,
    numbers: std::sync::atomic::AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is replaced whole, so that a panic elsewhere leaves nothing half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running learner.
pub struct LearnerService {
    sender: SyncSender<Message>,
    registry: Registry,
    shown: Arc<Shown>,
    clock: Clock,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LearnerService {
    /// Starts the learner with what the registry, `examples` and the `feedback` on decisions hold. Jobs that were accepted and not
    /// ended are begun again.
    ///
    /// # Errors
    /// When the registry cannot be read, or the thread not started.
    pub fn start(
        options: LearnerOptions,
        registry: Registry,
        examples: &[Example],
        feedback: &[(DecisionId, bool)],
        swaps: Swaps,
        clock: Clock,
    ) -> anyhow::Result<Arc<LearnerService>> {
        let state = registry.state()?;
        let mut learner = Learner::new(options);
        learner.restore(known(&registry, &state));
        for example in examples {
            // What is not sound is counted by the learner.
            let _counted = learner.observe(example);
        }
        for (decision, good) in feedback {
            learner.feedback(decision.0, *good);
        }
        learner.caught_up();
        let (sender, receiver) = sync_channel(QUEUE);
        let jobs: VecDeque<JobView> = registry.jobs().into();
        let report = Arc::new(report(&mut learner, &state, None));
        let shown = Arc::new(Shown {
            report: Mutex::new(report),
            jobs: Mutex::new(jobs.clone()),
            snapshots: Mutex::default(),
            numbers: std::sync::atomic::AtomicU64::new(1),
        });
        let mut owner = Owner {
            learner,
            registry: registry.clone(),
            state,
            swaps,
            clock: clock.clone(),
            shown: shown.clone(),
            sender: sender.clone(),
            training: None,
            last_error: None,
            reported: Instant::now(),
            written: Instant::now(),
        };
        owner.put_into_use();
        let thread = std::thread::Builder::new()
            .name("augur-learner".to_owned())
            .spawn(move || owner.run(&receiver))
            .context("cannot start the learner thread")?;
        let service = LearnerService { sender, registry, shown, clock, thread: Mutex::new(Some(thread)) };
        for job in jobs.iter().filter(|job| matches!(job.state, JobState::Queued | JobState::Running)) {
            with_job(&service.shown, &job.job_id, |job| {
                (job.state, job.progress) = (JobState::Queued, 0.0);
                job.step = "queued again after a restart".to_owned();
            });
            let id = job.job_id.clone();
            let message = if job.kind == TRAIN { Message::Train(id) } else { Message::Update(id) };
            // There are fewer jobs than places in the channel, and the thread has just begun.
            if service.post(message).is_err() {
                tracing::warn!(job = job.job_id, "a job could not be begun again");
            }
        }
        Ok(Arc::new(service))
    }

    /// Ends the thread when it has written what it holds. Blocks.
    pub fn stop(&self) {
        if self.sender.send(Message::Stop).is_ok()
            && let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the learner thread panicked");
        }
    }

    /// A new job, on disk before anybody is told of it.
    fn begin(&self, kind: &str) -> Result<JobView, ApiError> {
        let number = self.shown.numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let now = self.clock.now();
        let job = JobView {
            job_id: format!("{kind}-{}-{number}", now.as_millisecond()),
            kind: kind.to_owned(),
            state: JobState::Queued,
            step: "queued".to_owned(),
            progress: 0.0,
            created_at: now,
            finished_at: None,
            result: None,
            error: None,
        };
        let mut jobs = lock(&self.shown.jobs);
        jobs.push_back(job.clone());
        if jobs.len() > JOBS {
            jobs.pop_front();
        }
        self.registry.write_jobs(jobs.iter()).map_err(|error| {
            ApiError::unavailable("job_not_kept", format!("the job cannot be written to disk: {error:#}"))
        })?;
        Ok(job)
    }

    fn post(&self, message: Message) -> Result<(), ApiError> {
        self.sender.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => ApiError::unavailable("learner_busy", "the learner has much to do; try again"),
            TrySendError::Disconnected(_) => ApiError::unavailable("learner_ended", "the learner is ending"),
        })
    }

    fn ask<T: Send + 'static>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        let posted = self.post(message(reply));
        async move {
            posted?;
            answer.await.map_err(|_| ApiError::unavailable("learner_ended", "the learner is ending"))?
        }
        .boxed()
    }

    fn job_for(&self, kind: &'static str, message: fn(String) -> Message) -> Answer<JobView> {
        let begun = self.begin(kind).and_then(|job| self.post(message(job.job_id.clone())).map(|()| job));
        async move { begun }.boxed()
    }
}

impl LearnerBackend for LearnerService {
    fn report(&self) -> Arc<LearnerReport> {
        lock(&self.shown.report).clone()
    }

    fn snapshot(&self, which: Which) -> Option<Snapshot> {
        lock(&self.shown.snapshots)[usize::from(which == Which::LastGood)].clone()
    }

    fn train(&self) -> Answer<JobView> {
        self.job_for(TRAIN, Message::Train)
    }

    fn update(&self) -> Answer<JobView> {
        self.job_for("online_update", Message::Update)
    }

    fn job(&self, id: &str) -> Option<JobView> {
        lock(&self.shown.jobs).iter().find(|job| job.job_id == id).cloned()
    }

    fn promote(&self, id: String) -> Answer<ModelEntry> {
        self.ask(|reply| Message::Promote(id, reply))
    }

    fn rollback(&self) -> Answer<Option<ModelEntry>> {
        self.ask(Message::Rollback)
    }

    fn examples(&self, examples: Vec<Example>) {
        if self.post(Message::Examples(examples)).is_err() {
            tracing::warn!("the learner is behind; a batch of examples waits on disk for its next start");
        }
    }

    fn feedback(&self, decision: DecisionId, good: bool) {
        if self.post(Message::Feedback(decision, good)).is_err() {
            tracing::warn!("the learner is behind; feedback on {decision} is kept and not trained on");
        }
    }
}

/// The models of the registry that can be read; what cannot is told and left out.
fn known(registry: &Registry, state: &State) -> Known {
    let read = |id: &String| match registry.get(id) {
        Ok(model) => Some(model),
        Err(error) => {
            tracing::warn!("a model of the registry is not used: {error:#}");
            None
        }
    };
    let names = |ids: &[String]| ids.iter().map(|id| id.as_str().into()).collect();
    let mut good: Vec<Arc<LearnedModel>> = state.good.iter().filter_map(read).collect();
    // Where the file of the model in use is damaged, the last known good one takes its place.
    let champion = state.champion.as_ref().and_then(|id| read(id).or_else(|| good.pop()));
    let is_the_same = |model: &Arc<LearnedModel>| Some(&*model.id) == state.champion.as_deref();
    Known {
        on_probation: state.on_probation && champion.as_ref().is_some_and(is_the_same),
        champion,
        good,
        aliases: names(&state.aliases),
        harmful: names(&state.harmful),
        promotions: state.promotions,
        trainings: state.trainings,
        promoted_ms: state.promoted_ms,
        last_training_ms: state.last_training_ms,
    }
}

fn report(learner: &mut Learner, state: &State, last_error: Option<String>) -> LearnerReport {
    let models: Vec<ModelEntry> = state.models.iter().rev().cloned().collect();
    let champion = models.iter().find(|entry| entry.state == ModelState::Champion).cloned();
    LearnerReport {
        status: learner.status(),
        challenger: models.iter().find(|entry| entry.state == ModelState::Candidate).cloned(),
        promoted_at: champion.as_ref().and_then(|entry| entry.promoted_at),
        champion,
        models,
        days: learner.days(),
        last_error,
    }
}

struct Owner {
    learner: Learner,
    registry: Registry,
    state: State,
    swaps: Swaps,
    clock: Clock,
    shown: Arc<Shown>,
    sender: SyncSender<Message>,
    /// The job that a training under way belongs to, if somebody asked for it.
    training: Option<Option<String>>,
    last_error: Option<String>,
    reported: Instant,
    written: Instant,
}

impl Owner {
    fn run(&mut self, receiver: &Receiver<Message>) {
        // A job that waits from before a restart comes at once; it has to find the learner in the present.
        let events = self.learner.advance(self.now());
        self.carry_out(&events);
        let mut ticked = Instant::now();
        let mut asked: VecDeque<String> = VecDeque::new();
        loop {
            match receiver.recv_timeout(TICK.saturating_sub(ticked.elapsed())) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Message::Train(job)) => asked.push_back(job),
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(job) = asked.front()
                && self.training.is_none()
            {
                let job = job.clone();
                asked.pop_front();
                self.learner.ask_for_training();
                self.begin_training(Some(job));
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                let events = self.learner.advance(self.now());
                self.carry_out(&events);
                if self.training.is_none() {
                    self.begin_training(None);
                }
                if self.reported.elapsed() >= REPORT_EVERY {
                    self.publish();
                }
            }
        }
        self.write();
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.clock.now().as_millisecond())
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Examples(examples) => {
                for example in &examples {
                    if let Err(reason) = self.learner.observe(example) {
                        tracing::debug!(?reason, decision = %example.decision_id, "an example is left aside");
                    }
                }
            }
            Message::Feedback(decision, good) => {
                self.learner.feedback(decision.0, good);
            }
            Message::Update(job) => {
                let before = self.learner.status().pending;
                let events = self.learner.refresh_now(self.now());
                let refreshed = events.iter().any(|event| matches!(event, Event::Refreshed(..)));
                self.carry_out(&events);
                let result = serde_json::json!({ "pending_labels": before, "leaves_refreshed": refreshed });
                self.end_job(&job, Ok(result));
                self.publish();
            }
            Message::Promote(id, reply) => {
                let promoted = self.promote(&id);
                self.publish();
                let _gone = reply.send(promoted);
            }
            Message::Rollback(reply) => {
                let result = self.learner.rollback(self.now());
                let result = match result {
                    Ok(events) => {
                        self.carry_out(&events);
                        self.publish();
                        Ok(lock(&self.shown.report).champion.clone())
                    }
                    Err(refusal) => Err(ApiError::new(http::StatusCode::CONFLICT, "no_model", refusal.to_string())),
                };
                let _gone = reply.send(result);
            }
            Message::Trained(job, result) => self.trained(job, *result),
            // Both are the loop's.
            Message::Train(_) | Message::Stop => {}
        }
    }

    fn promote(&mut self, id: &str) -> Result<ModelEntry, ApiError> {
        let known = self.state.models.iter().any(|entry| entry.id == id);
        if !known {
            return Err(ApiError::not_found("model_not_found", format!("model {id:?} is not in the registry")));
        }
        let model = self.registry.get(id).map_err(|error| {
            ApiError::unprocessable("model_unreadable", format!("the model cannot be used: {error:#}"))
        })?;
        let events = self.learner.promote(&model, self.now());
        self.carry_out(&events);
        self.entry(id).ok_or_else(|| ApiError::not_found("model_not_found", "the model is gone"))
    }

    fn entry(&self, id: &str) -> Option<ModelEntry> {
        self.state.models.iter().find(|entry| entry.id == id).cloned()
    }

    /// Starts the training that is due, on a thread of its own.
    fn begin_training(&mut self, job: Option<String>) {
        match self.learner.due() {
            None => {}
            Some(Err(error)) => {
                self.last_error = Some(error.to_string());
                if let Some(job) = job {
                    self.end_job(&job, Err(error.to_string()));
                }
                self.publish();
            }
            Some(Ok(plan)) => {
                tracing::info!(reason = plan.reason.name(), "a training begins");
                self.training = Some(job.clone());
                let (shown, sender) = (self.shown.clone(), self.sender.clone());
                let spawned = std::thread::Builder::new()
                    .name("augur-training".to_owned())
                    .spawn(move || train(&plan, job, &shown, &sender));
                if let Err(error) = spawned {
                    let job = self.training.take().flatten();
                    self.last_error = Some(format!("the training thread could not be started: {error}"));
                    if let Some(job) = job {
                        self.end_job(&job, Err(error.to_string()));
                    }
                }
            }
        }
    }

    fn trained(&mut self, job: Option<String>, result: Result<Trained, TrainError>) {
        self.training = None;
        let told = match result {
            Ok(trained) => {
                let id = trained.model.id.clone();
                let evaluation = EvaluationView::from(&*trained.evaluation);
                let events = self.learner.finish(trained, self.now());
                self.last_error = None;
                self.carry_out(&events);
                let promoted = events.iter().any(|event| matches!(event, Event::Promoted(..)));
                Ok(serde_json::json!({ "model_id": &*id, "promoted": promoted, "evaluation": evaluation }))
            }
            Err(error) => {
                self.last_error = Some(error.to_string());
                Err(error.to_string())
            }
        };
        if let Some(job) = job {
            self.end_job(&job, told);
        }
        self.publish();
    }

    fn end_job(&self, id: &str, result: Result<serde_json::Value, String>) {
        let now = self.clock.now();
        with_job(&self.shown, id, |job| {
            job.finished_at = Some(now);
            (job.progress, job.step) = (1.0, "done".to_owned());
            match result {
                Ok(result) => (job.state, job.result) = (JobState::Succeeded, Some(result)),
                Err(error) => (job.state, job.error) = (JobState::Failed, Some(error)),
            }
        });
        if let Err(error) = self.registry.write_jobs(lock(&self.shown.jobs).iter()) {
            tracing::error!("the end of a job cannot be written: {error:#}");
        }
    }

    /// Follows what the loop decided: into the registry, the log, and into use.
    fn carry_out(&mut self, events: &[Event]) {
        let mut write = false;
        for event in events {
            match event {
                Event::Trained(trained) => {
                    write = true;
                    self.list(&trained.model, Some(EvaluationView::from(&*trained.evaluation)));
                    tracing::info!(model = %trained.model.id, passed = trained.evaluation.passed(), "a model was trained");
                }
                Event::Refused(id, failed) => {
                    tracing::info!(model = %id, failed = failed.join(", "), "a model is not promoted");
                }
                Event::NotTrained(error) => tracing::info!(%error, "nothing was trained"),
                Event::Drift(by) => tracing::info!(by, "the world has changed; a challenger will be trained"),
                Event::Promoted(id, by) => {
                    write = true;
                    let now = self.clock.now();
                    for entry in &mut self.state.models {
                        if entry.id == **id {
                            (entry.state, entry.promoted_at) = (ModelState::Champion, Some(now));
                        }
                    }
                    tracing::info!(model = %id, by_hand = *by == By::Hand, "a model is taken into use, on probation");
                }
                Event::Confirmed(id) => {
                    write = true;
                    tracing::info!(model = %id, "the model in use has stood its test");
                }
                Event::RolledBack { from, to, by, why } => {
                    write = true;
                    let to = to.as_deref().unwrap_or("none");
                    tracing::warn!(model = %from, to, by_hand = *by == By::Hand, why, "a model is taken back");
                    if let Some(entry) = self.state.models.iter_mut().find(|entry| entry.state == ModelState::Champion)
                    {
                        entry.state = ModelState::RolledBack;
                    }
                }
                Event::Refreshed(..) => {}
            }
        }
        if write || (!events.is_empty() && self.written.elapsed() >= WRITE_REFRESHED_EVERY) {
            self.write();
        }
        if !events.is_empty() {
            self.put_into_use();
        }
    }

    /// Puts a model into the registry.
    fn list(&mut self, model: &Arc<LearnedModel>, evaluation: Option<EvaluationView>) {
        let size_bytes = match self.registry.put(model) {
            Ok(size) => size,
            Err(error) => {
                tracing::error!("a model cannot be kept: {error:#}");
                return;
            }
        };
        let trained_at = Timestamp::from_millisecond(model.trained_at_ms).unwrap_or_default();
        self.state.models.retain(|entry| entry.id != *model.id);
        self.state.models.push(ModelEntry {
            id: model.id.to_string(),
            state: ModelState::Candidate,
            trained_at,
            promoted_at: None,
            size_bytes,
            evaluation,
        });
    }

    /// Writes what has changed to the registry. The model in use goes on under the hash of its refreshed leaves.
    fn write(&mut self) {
        self.written = Instant::now();
        let known = self.learner.known();
        let ids = |models: &[Arc<LearnedModel>]| models.iter().map(|model| model.id.to_string()).collect::<Vec<_>>();
        let good = ids(&known.good);
        let champion = known.champion.as_ref().map(|model| model.id.to_string());
        // An entry follows its model through the refreshes of its leaves; one training is told from another by its time.
        for entry in &mut self.state.models {
            let is_it = |model: &&Arc<LearnedModel>| model.trained_at_ms == entry.trained_at.as_millisecond();
            let in_use = known.champion.iter().find(is_it).map(|model| (model, ModelState::Champion));
            let Some((model, state)) =
                in_use.or_else(|| known.good.iter().find(is_it).map(|model| (model, ModelState::KnownGood)))
            else {
                if matches!(entry.state, ModelState::Champion | ModelState::KnownGood) {
                    entry.state = ModelState::Retired;
                }
                continue;
            };
            entry.state = state;
            if entry.id != *model.id {
                match self.registry.put(model) {
                    Ok(size) => (entry.id, entry.size_bytes) = (model.id.to_string(), size),
                    Err(error) => tracing::error!("refreshed leaves cannot be kept: {error:#}"),
                }
            }
        }
        let texts = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        self.state = State {
            models: std::mem::take(&mut self.state.models),
            champion,
            good,
            aliases: texts(&known.aliases[known.aliases.len().saturating_sub(200)..]),
            harmful: texts(&known.harmful[known.harmful.len().saturating_sub(200)..]),
            promotions: known.promotions,
            trainings: known.trainings,
            promoted_ms: known.promoted_ms,
            last_training_ms: known.last_training_ms,
            on_probation: known.on_probation,
        };
        self.registry.prune(&mut self.state);
        if let Err(error) = self.registry.write(&self.state) {
            tracing::error!("the registry cannot be written: {error:#}");
        }
    }

    /// Hands the models to decisions here and elsewhere.
    fn put_into_use(&mut self) {
        let models = self.learner.in_use();
        let probation = models.probation.map(|probation| (probation.number, probation.share));
        let last_good = models.last_good.as_ref().map(|model| model.id.clone());
        let snapshot = |model: &Arc<LearnedModel>| Snapshot {
            id: model.id.clone(),
            bytes: Bytes::from(model.file.to_bytes()),
            probation,
            last_good: last_good.clone(),
        };
        let shown = [models.champion.as_ref().map(snapshot), models.last_good.as_ref().map(snapshot)];
        *lock(&self.shown.snapshots) = shown;
        self.swaps.set(models, self.clock.now(), "learner");
    }

    fn publish(&mut self) {
        self.reported = Instant::now();
        let report = report(&mut self.learner, &self.state, self.last_error.clone());
        *lock(&self.shown.report) = Arc::new(report);
    }
}

fn with_job(shown: &Shown, id: &str, change: impl FnOnce(&mut JobView)) {
    if let Some(job) = lock(&shown.jobs).iter_mut().find(|job| job.job_id == id) {
        change(job);
    }
}

/// Shows how far a training has come.
struct Progress<'a> {
    job: Option<&'a str>,
    shown: &'a Shown,
    began: Instant,
}

impl Watcher for Progress<'_> {
    fn step(&mut self, name: &'static str, done: f64) {
        if let Some(id) = self.job {
            with_job(self.shown, id, |job| {
                (job.state, job.step, job.progress) = (JobState::Running, name.to_owned(), done);
            });
        }
    }

    fn nanos(&mut self) -> Option<u64> {
        u64::try_from(self.began.elapsed().as_nanos()).ok()
    }
}

fn train(plan: &Plan, job: Option<String>, shown: &Shown, sender: &SyncSender<Message>) {
    // Of a thread and those it starts: decisions and answers go first. Where that is not allowed, training competes with them.
    let _ = rustix::process::nice(10);
    let result = plan.run(&mut Progress { job: job.as_deref(), shown, began: Instant::now() });
    // The learner may have ended meanwhile; nobody waits for the model then.
    let _gone = sender.send(Message::Trained(job, Box::new(result)));
}
