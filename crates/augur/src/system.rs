//! Both services on one engine and one memory: what `augur up` and `augur scheduler` start and stop.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use augur_api::dto::Thresholds;
use augur_api::{ModelOptions, Reviewer, SchedulerMetrics, Services, learner_router, scheduler_router};
use augur_apiserver::{Identity, serve, serve_tls};
use augur_clock::Clock;
use augur_core::profile::Profile;
use augur_core::queue::QueueConfig;
use augur_history::{History, HistoryOptions};
use augur_kube::{Denials, LeaseConfig};
use augur_learn::{Budget, Lots, ModelPredictor, PastSlot};
use axum::Router;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::backfill;
use crate::config::Config;
use crate::engine::{CalledExtender, Engine, EngineHandle, EngineOptions, Mode, Traces};
use crate::learner::{self, HttpClient, LearnerCheck, LearnerPlace, LearnerService, Registry, Swaps, feed, pull};
use crate::services::{Backend, NewPredictor};
use crate::serving::ServingArgs;
use crate::token_review::TokenReviewer;

/// How long servers may take to end; streams of events never end by themselves.
const FAREWELL: Duration = Duration::from_millis(800);

/// How long the API server may take for an answer about a token, at most.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

/// What a system is started with.
pub struct SystemOptions<'a> {
    /// The cluster.
    pub client: Client,
    /// What the client was denied.
    pub denials: Denials,
    /// The time.
    pub clock: Clock,
    /// The settings.
    pub config: &'a Config,
    /// How pods are placed, by scheduler name.
    pub profiles: Vec<Profile>,
    /// Who is asked about pods besides, in this order.
    pub extenders: Vec<CalledExtender>,
    /// Times of the queue.
    pub queue: QueueConfig,
    /// Decides among equally good nodes.
    pub seed: u64,
    /// The lease that has to be held to decide, if there are to be replicas.
    pub election: Option<LeaseConfig>,
    /// Whether pods are placed, or others' decisions are followed.
    pub mode: Mode,
    /// The memory.
    pub history: History,
    /// Where the scheduler service listens.
    pub scheduler: TcpListener,
    /// Where the learner service listens, if it is served here.
    pub learner: Option<TcpListener>,
    /// How the services are protected.
    pub serving: ServingArgs,
    /// Whether users of the cluster may change state whom it permits to.
    pub token_review: bool,
    /// The settings in effect, for `/configz`.
    pub configz: serde_json::Value,
}

/// Opens the memory in a data folder, which no other process may use as long.
///
/// # Errors
/// When it is in use, damaged or cannot be written.
pub fn open_history(config: &Config, data_dir: &Path) -> anyhow::Result<History> {
    let window = config.metrics.cache_duration.0;
    let disk = u64::from(config.metrics.cache_mib) << 20;
    Ok(History::open(&HistoryOptions { window, ..HistoryOptions::within(data_dir, disk) })?)
}

/// Running services.
pub struct System {
    engine: Engine,
    history: History,
    learner: Option<Arc<LearnerService>>,
    /// What carries examples to the learner and models from it.
    tasks: JoinSet<()>,
    servers: JoinSet<std::io::Result<()>>,
    stop: watch::Sender<bool>,
}

impl System {
    /// Starts engine and servers.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(options: SystemOptions<'_>) -> anyhow::Result<System> {
        let config = options.config;
        let history = options.history;
        let counters = Arc::new(SchedulerMetrics::new());
        let (swaps, past) = (Swaps::default(), PastSlot::default());
        let learning = learner::options(config);
        let lots = Lots { seed: learning.seed, holdback: learning.holdback };
        let (slot, known, window) = (swaps.slot(), past.clone(), learning.window);
        let new_predictor: NewPredictor =
            Arc::new(move || Box::new(ModelPredictor::new(slot.clone(), known.clone(), lots, window)));
        let predictor = ModelPredictor::new(swaps.slot(), past.clone(), lots, learning.window)
            .with_budget(Budget { most: INFERENCE_BUDGET, nanos: monotonic_nanos });
        let prometheus = backfill::prometheus(&config.metrics)?;
        let usage = backfill::usage_source(&config.metrics, &options.client, prometheus.as_ref())?;
        let engine = Engine::start(EngineOptions {
            client: options.client.clone(),
            denials: options.denials,
            clock: options.clock.clone(),
            profiles: options.profiles,
            extenders: options.extenders,
            queue: options.queue,
            seed: options.seed,
            history: history.handle(),
            past: past.clone(),
            predictor: Arc::new(predictor),
            usage,
            metrics_interval: config.metrics.collection_interval.0,
            counters: counters.clone(),
            election: options.election,
            mode: options.mode,
            traces: Traces::from_env()?,
        })
        .context("cannot start the scheduler thread")?;
        let timeout = config.metrics.api_timeout.0;
        let token = options.serving.bearer()?;
        let learner = match (&options.learner, &config.scheduler.ai_api_url) {
            (Some(_), _) => {
                let data_dir = history.handle().path().parent().map(Path::to_owned).unwrap_or_default();
                let service = start_learner(config, &data_dir, &history, &swaps, &options.clock)?;
                LearnerPlace::Here(service)
            }
            (None, Some(url)) => {
                let client = HttpClient::new(url, token.as_deref(), timeout).context("scheduler.ai_api_url")?;
                LearnerPlace::There(Box::new(client), LearnerCheck::new(url))
            }
            (None, None) => LearnerPlace::Nowhere,
        };
        let listens = options.scheduler.local_addr()?.ip();
        let identity = options.serving.identity(listens)?;
        let thresholds = thresholds(config);
        let reviewer = options.token_review.then(|| {
            let reviewer = TokenReviewer::new(options.client, config.kubernetes.api_timeout.0.min(REVIEW_TIMEOUT));
            Arc::new(reviewer) as Arc<dyn Reviewer>
        });
        let services = Services {
            backend: Arc::new(Backend::new(
                engine.handle(),
                thresholds,
                swaps.clone(),
                learner.clone(),
                config.metrics.enable_fallback,
                new_predictor,
            )),
            learner: learner.backend(),
            history: history.handle(),
            clock: options.clock.clone(),
            metrics: counters,
            access: options.serving.access(listens),
            reviewer,
            configz: Arc::new(options.configz),
            thresholds,
            model: model_options(config),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let (stop, _) = watch::channel(false);
        let mut system =
            System { engine, history, learner: learner.here(), tasks: JoinSet::new(), servers: JoinSet::new(), stop };
        system.tasks.spawn(feed(system.history.handle(), learner.sink(), past, options.clock.clone()));
        if let Some(prometheus) = prometheus.filter(|_| config.metrics.prometheus.backfill) {
            let backfill = backfill::Backfill {
                prometheus,
                history: system.history.handle(),
                clock: options.clock.clone(),
                window: config.metrics.cache_duration.0,
                step: config.metrics.prometheus.backfill_step.0,
            };
            system.tasks.spawn(backfill.run());
        }
        if let LearnerPlace::There(client, check) = learner {
            system.tasks.spawn(pull(*client, swaps, options.clock, check));
        }
        system.serve(options.scheduler, scheduler_router(services.clone()), identity.clone());
        if let Some(listener) = options.learner {
            system.serve(listener, learner_router(services), identity);
        }
        Ok(system)
    }

    /// Serves a router until the system stops, over TLS when there is an identity.
    pub fn serve(&mut self, listener: TcpListener, router: Router, identity: Option<Identity>) {
        let mut stopped = self.stop.subscribe();
        self.servers.spawn(async move {
            let stopped = async move {
                // The sender is dropped only after the servers have ended.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            match identity {
                Some(identity) => serve_tls(listener, router, &identity, stopped).await,
                None => serve(listener, router, stopped).await,
            }
        });
    }

    /// The engine.
    pub fn engine(&self) -> EngineHandle {
        self.engine.handle()
    }

    /// Completes when a server has ended by itself, which none should.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        match self.servers.join_next().await {
            Some(ended) => Ok(ended.context("a server panicked")??),
            None => std::future::pending().await,
        }
    }

    /// Stops deciding, ends the servers, and writes what the memory still holds.
    ///
    /// # Errors
    /// When the memory cannot be written.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.engine.shutdown().await;
        self.stop.send_replace(true);
        let servers = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, servers).await.is_err() {
            self.servers.abort_all();
        }
        self.tasks.abort_all();
        let (history, learner) = (self.history, self.learner);
        let write = move || {
            learner.iter().for_each(|learner| learner.stop());
            drop(history);
        };
        tokio::task::spawn_blocking(write).await.context("writing history")
    }
}

/// Starts the learner in this process, with what its data folder holds.
///
/// # Errors
/// When the registry or the examples cannot be read.
pub fn start_learner(
    config: &Config,
    data_dir: &Path,
    history: &History,
    swaps: &Swaps,
    clock: &Clock,
) -> anyhow::Result<Arc<LearnerService>> {
    let registry = Registry::open(data_dir)?;
    let examples = history.handle().examples()?;
    let feedback: Vec<_> = history
        .handle()
        .recent_feedback(FEEDBACK_TAKEN_UP)?
        .into_iter()
        .filter(|record| record.trainable)
        .filter_map(|record| Some((record.feedback.decision_id?, record.feedback.success)))
        .collect();
    LearnerService::start(learner::options(config), registry, &examples, &feedback, swaps.clone(), clock.clone())
}

/// Feedback that a learner takes up at its start, the latest: all of it has a twentieth of a training set's weight at most.
const FEEDBACK_TAKEN_UP: usize = 50_000;

/// What one answer of a model may take; what took longer is not used.
const INFERENCE_BUDGET: Duration = Duration::from_millis(5);

/// Nanoseconds since the first call.
fn monotonic_nanos() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Above which usage a node counts as under pressure, as configured.
pub fn thresholds(config: &Config) -> Thresholds {
    let thresholds = &config.scheduler.thresholds;
    Thresholds { cpu_usage: thresholds.cpu_usage_threshold, memory_usage: thresholds.memory_usage_threshold }
}

/// Settings of the model, as configured.
pub fn model_options(config: &Config) -> ModelOptions {
    ModelOptions {
        kind: config.model.r#type.clone(),
        max_depth: config.model.max_depth,
        n_estimators: config.model.n_estimators,
        random_state: config.model.random_state,
        feedback_threshold: config.online_learning.feedback_threshold.into(),
        performance_threshold: config.online_learning.performance_threshold,
    }
}

/// Completes when the process is asked to stop.
///
/// # Errors
/// When signals cannot be listened for.
pub async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
