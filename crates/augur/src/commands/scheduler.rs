//! `augur scheduler`: the scheduler service against a cluster that is there already.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use augur_api::dto::Thresholds;
use augur_api::{
    Access, Check, CheckStatus, ModelOptions, SchedulerMetrics, Services, learner_router, scheduler_router,
};
use augur_clock::Clock;
use augur_core::predictor::NoModel;
use augur_history::{History, HistoryOptions};
use axum::Router;
use kube::Client;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cli::SchedulerArgs;
use crate::config::{self, Config};
use crate::engine::{Engine, EngineOptions, profile};
use crate::listen::listen;
use crate::output;
use crate::services::Backend;

/// The port of the scheduler service.
const PORT: u16 = 8080;

/// How long answers under way may take at the end.
const FAREWELL: Duration = Duration::from_millis(300);

/// Schedules until it is told to stop.
///
/// # Errors
/// When the configuration, the cluster, the data directory or a port cannot be used; the message names it.
pub async fn run(args: SchedulerArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let client = connect(args.kubeconfig.as_deref(), &config.kubernetes).await?;
    let host = match args.host {
        Some(host) => host,
        None => config.server.host.parse().with_context(|| format!("server.host: {}", config.server.host))?,
    };
    let port = args.port.or(config.server.port).unwrap_or(PORT);
    let listener = listen(host, port, "the scheduler service", "--port").await?;
    let learner = match args.learner_port {
        Some(port) => Some(listen(host, port, "the learner service", "--learner-port").await?),
        None => None,
    };
    let history = History::open(&HistoryOptions {
        window: config.metrics.cache_duration.0,
        ..HistoryOptions::new(&args.data_dir)
    })?;
    let counters = Arc::new(SchedulerMetrics::new());
    let clock = Clock::real();
    let engine = Engine::start(EngineOptions {
        client,
        clock: clock.clone(),
        profiles: args.scheduler_name.iter().map(|name| profile(name, &config.scheduler)).collect(),
        seed: args.seed,
        history: history.handle(),
        predictor: Arc::new(NoModel::default()),
        metrics_interval: config.metrics.collection_interval.0,
        metrics_timeout: config.metrics.api_timeout.0,
        counters: counters.clone(),
    })
    .context("cannot start the scheduler thread")?;
    let told_of_learner = match &learner {
        Some(_) => Check::new(CheckStatus::Healthy, "served by this process"),
        None => Check::new(CheckStatus::Degraded, "not served here; --learner-port PORT serves it"),
    };
    let thresholds = thresholds(&config);
    let services = Services {
        backend: Arc::new(Backend::new(engine.handle(), thresholds, told_of_learner)),
        history: history.handle(),
        clock,
        metrics: counters,
        access: match args.token {
            Some(token) => Access::Token(token),
            None if host.is_loopback() => Access::Loopback,
            None => Access::Closed,
        },
        thresholds,
        model: model_options(&config),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    output::line(&format!(
        "augur schedules pods of {}; http://{}/docs",
        args.scheduler_name.join(", "),
        listener.local_addr()?
    ))?;
    let mut servers = JoinSet::new();
    serve(&mut servers, listener, scheduler_router(services.clone()));
    if let Some(listener) = learner {
        serve(&mut servers, listener, learner_router(services));
    }
    let ended = tokio::select! {
        signal = stop_signal() => signal,
        Some(ended) = servers.join_next() => ended.context("a server panicked").and_then(|result| result),
    };
    engine.shutdown().await;
    // Streams of events never end by themselves.
    let _ = tokio::time::timeout(FAREWELL, servers.shutdown()).await;
    tokio::task::spawn_blocking(move || drop(history)).await.context("writing history")?;
    ended
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

fn serve(servers: &mut JoinSet<anyhow::Result<()>>, listener: TcpListener, router: Router) {
    servers.spawn(async move { Ok(axum::serve(listener, router).await?) });
}

/// Ends when the process is asked to stop.
async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

/// By the file given, else by the pod's service account or the configured file.
async fn connect(kubeconfig: Option<&Path>, config: &config::Kubernetes) -> anyhow::Result<Client> {
    let timeout = config.api_timeout.0;
    let configured = home(&config.kubeconfig_path);
    match kubeconfig {
        Some(path) => Ok(augur_kube::from_kubeconfig(path, timeout).await?),
        None if !config.in_cluster && configured.exists() => {
            Ok(augur_kube::from_kubeconfig(&configured, timeout).await?)
        }
        None => augur_kube::in_cluster_or_default(timeout)
            .await
            .context("name the cluster with --kubeconfig FILE or kubernetes.kubeconfig_path"),
    }
}

/// The path with a leading `~` put out in full.
fn home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}
