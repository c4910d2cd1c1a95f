//! `augur learner`: the learner service as a process of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use augur_api::{SchedulerMetrics, Services, learner_router};
use augur_apiserver::{serve, serve_tls};
use augur_clock::Clock;
use axum::Router;

use crate::cli::LearnerArgs;
use crate::config::Settings;
use crate::learner::{HttpClient, RemoteScheduler, Swaps, with_scheduler};
use crate::listen::listen;
use crate::output;
use crate::system::{model_options, open_history, start_learner, stop_signal, thresholds};

/// How long the scheduler may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until it is told to stop.
///
/// # Errors
/// When the configuration, the data folder or the port cannot be used; the message names it.
pub async fn run(args: LearnerArgs) -> anyhow::Result<()> {
    let settings = Settings::load(args.config.as_deref())?;
    let config = &settings.config;
    let host = match args.host {
        Some(host) => host,
        None => config.server.host.parse().with_context(|| format!("server.host: {}", config.server.host))?,
    };
    let listener = listen(host, args.port, "the learner service", "--port").await?;
    let address = listener.local_addr()?;
    let history = open_history(config, &args.data_dir)?;
    let clock = Clock::real();
    let learner = start_learner(config, &args.data_dir, &history, &Swaps::default(), &clock)?;
    let client = match &args.scheduler_url {
        Some(url) => Some(HttpClient::new(url, args.serving.bearer()?.as_deref(), TIMEOUT).context("--scheduler-url")?),
        None => None,
    };
    let scheduler = RemoteScheduler::new(client.clone());
    let watch = tokio::spawn(scheduler.clone().watch());
    let router = learner_router(Services {
        backend: Arc::new(scheduler),
        learner: Some(learner.clone()),
        history: history.handle(),
        clock,
        metrics: Arc::new(SchedulerMetrics::new()),
        access: args.serving.access(address.ip()),
        // It has no account in the cluster.
        reviewer: None,
        configz: Arc::new(serde_json::to_value(config)?),
        thresholds: thresholds(config),
        model: model_options(config),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    let router: Router = match client {
        Some(client) => with_scheduler(router, client),
        None => router,
    };
    output::line(&format!("augur learns; http://{address}/docs"))?;
    let stopped = async {
        // Without signals the service runs until it is killed.
        if stop_signal().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let served = match args.serving.identity(address.ip())? {
        Some(identity) => serve_tls(listener, router, &identity, stopped).await,
        None => serve(listener, router, stopped).await,
    };
    watch.abort();
    let write = move || {
        learner.stop();
        drop(history);
    };
    tokio::task::spawn_blocking(write).await.context("writing what was learned")?;
    Ok(served?)
}
