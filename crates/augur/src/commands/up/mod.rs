//! `augur up`: a cluster on this machine, scheduled by Augur. [`run`] is the wiring, in start order.

mod screen;
mod trace;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::Context;
use augur_apiserver::controllers::{self, ControllerOptions};
use augur_apiserver::{ApiServer, ApiServerOptions, Identity};
use augur_clock::Clock;
use augur_kube::Denials;
use augur_sandbox::{Sandbox, SandboxHandle, SandboxOptions, Scenario};

use super::scheduler::PORT;
use crate::cli::{Speed, UpArgs};
use crate::config::Settings;
use crate::engine::Mode;
use crate::kubeconfig::{self, Access};
use crate::listen::{listen, reachable};
use crate::serving::ServingArgs;
use crate::system::{System, SystemOptions, open_history, stop_signal};
use screen::{Progress, Screen};

/// The pods of these scheduler names are placed: those that ask for Augur, and those that ask for nothing.
const SCHEDULER_NAMES: [&str; 2] = ["default-scheduler", "augur"];

/// Runs until it is told to stop, or until a trace is through if that was asked for.
///
/// # Errors
/// When a file, a port or the data directory cannot be used; the message names it and the flag.
pub async fn run(args: UpArgs) -> anyhow::Result<()> {
    let settings = Settings::load(args.config.as_deref())?.with_scheduler_names(&SCHEDULER_NAMES.map(str::to_owned));
    settings.warn();
    let config = settings.config.clone();
    if args.trace.is_some() && args.api.tls {
        anyhow::bail!("--trace feeds its pods over plain HTTP; leave out --tls");
    }
    let feed = args.trace.is_some().then(|| trace::read(&args)).transpose()?;
    let scenario = match &feed {
        Some(trace) => trace.scenario(),
        None => scenario(&args.scenario)?,
    };
    let replays = feed.is_some();
    let speed = match args.speed {
        Some(Speed::Times(times)) => times,
        Some(Speed::Max) if feed.is_none() => {
            anyhow::bail!("--speed max is for --trace; give a number, as in --speed 60")
        }
        Some(Speed::Max) | None => 1.0,
    };
    let clock = if speed == 1.0 { Clock::real() } else { Clock::scaled(speed) };

    let host = args.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let port = args.port.or(config.server.port).unwrap_or(PORT);
    let api = listen(args.api_host, args.api_port, "the Kubernetes API", "--api-port").await?;
    let scheduler = listen(host, port, "the scheduler service", "--port").await?;
    let learner = listen(host, args.learner_port, "the learner service", "--learner-port").await?;
    let addresses = [api.local_addr()?, scheduler.local_addr()?, learner.local_addr()?];
    std::fs::create_dir_all(&args.data_dir)
        .with_context(|| format!("cannot make {}; choose another folder with --data-dir", args.data_dir.display()))?;

    // Before anything is written there: the folder may be another's.
    let history = open_history(&config, &args.data_dir)?;

    let (api_options, token) = args.api.options()?;
    let server = ApiServer::new(ApiServerOptions { clock: clock.clone(), ..api_options })
        .map_err(|error| anyhow::anyhow!("cannot set up the API server: {}", error.message))?;
    let identity = match args.api.tls {
        true => {
            let host = reachable(addresses[0]).ip().to_string();
            Some(Identity::self_signed(&["localhost", &host])?)
        }
        false => None,
    };
    let access = Access {
        server: format!("{}://{}", if args.api.tls { "https" } else { "http" }, reachable(addresses[0])),
        token,
        certificate: identity.as_ref().map(|identity| identity.certificate_pem().to_owned()),
    };
    let kubeconfig = kubeconfig::write(&args.data_dir, &access)?;
    let description = scenario.description.clone();
    let nodes = scenario.nodes.len();
    server
        .local("augur")
        .create("storageclasses.storage.k8s.io", "", controllers::default_storage_class())
        .map_err(|error| anyhow::anyhow!("cannot make the default storage class: {}", error.message))?;
    let sandbox = start_sandbox(&server, scenario, &args, &clock, replays)?;
    let mut options = ControllerOptions::default();
    if replays {
        // Nodes send no heartbeats then, so nobody may miss them.
        options.node_monitor_grace = None;
    }
    let controllers = controllers::spawn(&server, clock.clone(), options);
    let denials = Denials::default();
    let client = augur_kube::from_kubeconfig(&kubeconfig, config.kubernetes.api_timeout.0, &denials).await?;
    let extenders = settings.extenders(Mode::Scheduler).await?;
    let mut system = System::start(SystemOptions {
        client,
        denials,
        clock: clock.clone(),
        config: &config,
        profiles: settings.profiles(),
        extenders,
        queue: settings.scheduler.queue(),
        seed: args.seed,
        election: None,
        mode: Mode::Scheduler,
        history,
        scheduler,
        learner: Some(learner),
        serving: ServingArgs::default(),
        token_review: config.server.token_review,
        configz: settings.configz(),
    })?;
    system.serve(api, server.router(), identity);

    let screen = Screen {
        nodes,
        server: &access.server,
        description: &description,
        speed,
        addresses: [addresses[1], addresses[2]].map(reachable),
        kubeconfig: &kubeconfig,
    };
    if !args.quiet {
        screen.print()?;
    }
    let ended = {
        let engine = system.engine();
        let work = async {
            if let Some(trace) = feed {
                let api = (reachable(addresses[0]), access.token.clone());
                trace::feed(trace, &server, api, &args, &clock, &engine).await?;
                if args.until_done {
                    return Ok(());
                }
            }
            if args.quiet { std::future::pending().await } else { Progress::new(&engine, &sandbox).show().await }
        };
        tokio::select! {
            signal = stop_signal() => signal,
            ended = system.ended() => ended,
            ended = work => ended,
            Err(error) = server.expire_events() => Err(anyhow::anyhow!("events do not expire: {}", error.message)),
        }
    };
    controllers.stop().await;
    sandbox.stop();
    system.stop().await?;
    ended
}

/// A scenario of Augur by its name, or of a file.
pub(super) fn scenario(name: &str) -> anyhow::Result<Scenario> {
    if Scenario::names().any(|known| known == name) {
        return Ok(Scenario::builtin(name)?);
    }
    let path = Path::new(name);
    let text = std::fs::read_to_string(path).with_context(|| {
        let known: Vec<_> = Scenario::names().collect();
        format!("--scenario {name} is neither a scenario of Augur ({}) nor a file that can be read", known.join(", "))
    })?;
    Scenario::load(&text).with_context(|| format!("in {}", path.display()))
}

fn start_sandbox(
    server: &ApiServer,
    scenario: Scenario,
    args: &UpArgs,
    clock: &Clock,
    replays: bool,
) -> anyhow::Result<SandboxHandle> {
    let mut options = SandboxOptions::new(clock.clone(), SCHEDULER_NAMES[1]);
    options.seed = args.seed;
    if replays {
        // A trace asks where pods go, not what becomes of them.
        options.heartbeat = None;
        options.instant = true;
    }
    Ok(Sandbox::start(server, scenario, options)?)
}
