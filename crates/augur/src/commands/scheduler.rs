//! `augur scheduler`: the scheduler service against a cluster that is there already.

use std::path::{Path, PathBuf};

use anyhow::Context;
use augur_clock::Clock;
use augur_kube::{Denials, RequestLimit};
use kube::Client;

use crate::cli::SchedulerArgs;
use crate::config::{self, Settings};
use crate::election;
use crate::engine::Mode;
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
    let settings = settings(&args)?;
    if args.print_config {
        return Ok(output::line(&serde_json::to_string_pretty(&settings.configz())?)?);
    }
    settings.warn();
    let config = &settings.config;
    let connection = &settings.scheduler.client_connection;
    let denials = Denials::default();
    let client = connect(&connection.kubeconfig, &config.kubernetes, &denials).await?;
    let client = match RequestLimit::new(connection.qps, connection.burst) {
        Some(limit) => augur_kube::limited(client, limit),
        None => client,
    };
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
    let history = open_history(config, &args.data_dir)?;
    let mode = args.mode.unwrap_or(config.mode);
    // After the memory, whose lock keeps a second process from taking this identity.
    let election = election::lease(&settings.scheduler.leader_election, &args.data_dir)?;
    let extenders = settings.extenders(mode).await?;
    let profiles = settings.profiles();
    let names: Vec<&str> = profiles.iter().map(|profile| &*profile.scheduler_name).collect();
    let names = names.join(", ");
    let scheme = if args.serving.tls || args.serving.tls_cert_file.is_some() { "https" } else { "http" };
    let does = match mode {
        Mode::Scheduler => format!("schedules pods of {names}"),
        Mode::Shadow => "follows other schedulers and writes nothing".to_owned(),
        Mode::Extender => "answers kube-scheduler as an extender".to_owned(),
    };
    output::line(&format!("augur {does}; {scheme}://{}/docs", scheduler.local_addr()?))?;
    let mut system = System::start(SystemOptions {
        client,
        denials,
        clock: Clock::real(),
        config,
        profiles,
        extenders,
        queue: settings.scheduler.queue(),
        seed: args.seed,
        election,
        mode,
        history,
        scheduler,
        learner,
        serving: args.serving,
        token_review: args.token_review || config.server.token_review,
        configz: settings.configz(),
    })?;
    let ended = tokio::select! {
        signal = stop_signal() => signal,
        ended = system.ended() => ended,
    };
    system.stop().await?;
    ended
}

/// The settings of the file with the flags over them.
fn settings(args: &SchedulerArgs) -> anyhow::Result<Settings> {
    let settings = Settings::load(args.config.as_deref())?;
    let names = settings.scheduler_names(&args.scheduler_name);
    let mut settings = settings.with_scheduler_names(&names);
    args.metrics.apply(&mut settings.config.metrics);
    args.election.apply(&mut settings.scheduler.leader_election);
    let connection = &mut settings.scheduler.client_connection;
    if let Some(path) = &args.kubeconfig {
        connection.kubeconfig = path.display().to_string();
    }
    connection.qps = args.kube_api_qps.unwrap_or(connection.qps);
    connection.burst = args.kube_api_burst.unwrap_or(connection.burst);
    Ok(settings)
}

/// By the file given, else by the pod's service account or the configured file.
async fn connect(kubeconfig: &str, config: &config::Kubernetes, denials: &Denials) -> anyhow::Result<Client> {
    let timeout = config.api_timeout.0;
    let configured = home(&config.kubeconfig_path);
    match kubeconfig {
        path if !path.is_empty() => Ok(augur_kube::from_kubeconfig(Path::new(path), timeout, denials).await?),
        _ if !config.in_cluster && configured.exists() => {
            Ok(augur_kube::from_kubeconfig(&configured, timeout, denials).await?)
        }
        _ => augur_kube::in_cluster_or_default(timeout, denials)
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
