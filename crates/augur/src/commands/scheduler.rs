//! `augur scheduler`: the scheduler service against a cluster that is there already.

use std::path::{Path, PathBuf};

use anyhow::Context;
use augur_clock::Clock;
use kube::Client;

use crate::cli::SchedulerArgs;
use crate::config::{self, Config};
use crate::listen::listen;
use crate::output;
use crate::system::{System, SystemOptions, open_history, stop_signal};

/// The port of the scheduler service.
pub const PORT: u16 = 8080;

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
    let scheduler = listen(host, port, "the scheduler service", "--port").await?;
    let learner = match args.learner_port {
        Some(port) => Some(listen(host, port, "the learner service", "--learner-port").await?),
        None => None,
    };
    let history = open_history(&config, &args.data_dir)?;
    // After the memory, whose lock keeps a second process from taking this identity.
    let election = args.election.lease(&args.data_dir)?;
    let names = args.scheduler_name.join(", ");
    output::line(&format!("augur schedules pods of {names}; http://{}/docs", scheduler.local_addr()?))?;
    let mut system = System::start(SystemOptions {
        client,
        clock: Clock::real(),
        config: &config,
        scheduler_names: &args.scheduler_name,
        seed: args.seed,
        election,
        history,
        scheduler,
        learner,
        token: args.token,
    })?;
    let ended = tokio::select! {
        signal = stop_signal() => signal,
        ended = system.ended() => ended,
    };
    system.stop().await?;
    ended
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
