//! `augur sandbox`: the embedded cluster alone, for a scheduler and a learner that run elsewhere, as in containers. Start at [`run`].

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context;
use augur_apiserver::controllers::{self, ControllerOptions};
use augur_apiserver::{ApiServer, ApiServerOptions, Identity, serve, serve_tls};
use augur_clock::Clock;
use augur_sandbox::{Sandbox, SandboxOptions};
use clap::Args;

use super::up::scenario;
use crate::api_security::ApiSecurity;
use crate::kubeconfig::{self, Access};
use crate::listen::{listen, reachable};
use crate::output;
use crate::system::stop_signal;

/// Arguments of `augur sandbox`.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// The simulated cluster: `small`, `mixed`, `failing-nodes`, or a scenario file.
    #[arg(long, default_value = "mixed")]
    pub scenario: String,
    /// The schedulerName that the scenario's pods ask for.
    #[arg(long, default_value = "augur")]
    pub scheduler_name: String,
    /// Seed of the simulation.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Where the kubeconfig file is written. The cluster itself is kept in memory only.
    #[arg(long, default_value = "./augur-data")]
    pub data_dir: PathBuf,
    /// The address to listen at.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// The port to listen at.
    #[arg(long, default_value_t = 8001)]
    pub port: u16,
    /// The name by which others reach this machine, for the kubeconfig file. [default: the address listened at]
    #[arg(long, value_name = "NAME")]
    pub advertise: Option<String>,
    /// How the API is protected.
    #[command(flatten)]
    pub api: ApiSecurity,
}

/// Serves until it is told to stop.
///
/// # Errors
/// When the scenario, the port or the data folder cannot be used.
pub async fn run(args: SandboxArgs) -> anyhow::Result<()> {
    let scenario = scenario(&args.scenario)?;
    let clock = Clock::real();
    let listener = listen(args.host, args.port, "the Kubernetes API", "--port").await?;
    let address = reachable(listener.local_addr()?);
    std::fs::create_dir_all(&args.data_dir)
        .with_context(|| format!("cannot make {}; choose another folder with --data-dir", args.data_dir.display()))?;
    let (api, token) = args.api.options()?;
    let server = ApiServer::new(ApiServerOptions { clock: clock.clone(), ..api })
        .map_err(|error| anyhow::anyhow!("cannot set up the API server: {}", error.message))?;
    let name = args.advertise.unwrap_or_else(|| address.ip().to_string());
    let identity = match args.api.tls {
        true => Some(Identity::self_signed(&["localhost", "127.0.0.1", &name])?),
        false => None,
    };
    let scheme = if args.api.tls { "https" } else { "http" };
    let options = SandboxOptions { seed: args.seed, ..SandboxOptions::new(clock.clone(), &args.scheduler_name) };
    let sandbox = Sandbox::start(&server, scenario, options)?;
    let controllers = controllers::spawn(&server, clock, ControllerOptions::default());
    // Last, because others wait for the file.
    let access = Access {
        server: format!("{scheme}://{}", authority(&name, address.port())),
        token,
        certificate: identity.as_ref().map(|identity| identity.certificate_pem().to_owned()),
    };
    let kubeconfig = kubeconfig::write(&args.data_dir, &access)?;
    output::line(&format!("Kubernetes API at {}; KUBECONFIG={}", access.server, kubeconfig.display()))?;
    let stop = async {
        if let Err(error) = stop_signal().await {
            tracing::error!(%error, "no signals");
        }
    };
    let serving = async {
        match identity {
            Some(identity) => serve_tls(listener, server.router(), &identity, stop).await,
            None => serve(listener, server.router(), stop).await,
        }
        .context("serving the Kubernetes API")
    };
    let ended = tokio::select! {
        ended = serving => ended,
        Err(error) = server.expire_events() => Err(anyhow::anyhow!("events do not expire: {}", error.message)),
    };
    controllers.stop().await;
    sandbox.stop();
    ended
}

/// Name and port; IPv6 addresses are put into brackets.
fn authority(name: &str, port: u16) -> String {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{name}]:{port}"),
        _ => format!("{name}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_put_before_the_port() {
        for (name, whole) in [("cluster", "cluster:8001"), ("10.0.0.1", "10.0.0.1:8001"), ("::1", "[::1]:8001")] {
            assert_eq!(authority(name, 8001), whole);
        }
    }
}
