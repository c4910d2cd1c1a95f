//! `augur apiserver`: the bare embedded Kubernetes API server.

use anyhow::Context;
use augur_apiserver::{ApiServer, ApiServerOptions, Identity, serve, serve_tls};

use crate::cli::ApiserverArgs;
use crate::kubeconfig::{self, Access};
use crate::listen::{listen, reachable};
use crate::output;
use crate::system::stop_signal;

/// Serves until it is told to stop.
///
/// # Errors
/// When the port or the data directory cannot be used.
pub async fn run(args: ApiserverArgs) -> anyhow::Result<()> {
    let (options, token) = args.api.options()?;
    let server =
        ApiServer::new(ApiServerOptions { debug_token: args.debug_token, data_dir: args.data_dir.clone(), ..options })
            .map_err(|error| anyhow::anyhow!("cannot set up the API server: {}", error.message))?;
    let listener = listen(args.host, args.port, "the Kubernetes API", "--port").await?;
    let address = reachable(listener.local_addr()?);
    let identity = match args.api.tls {
        true => Some(Identity::self_signed(&["localhost", "127.0.0.1", &address.ip().to_string()])?),
        false => None,
    };
    let scheme = if args.api.tls { "https" } else { "http" };
    output::line(&format!("Kubernetes API at {scheme}://{address}"))?;
    if let Some(folder) = &args.data_dir {
        let access = Access {
            server: format!("{scheme}://{address}"),
            token,
            certificate: identity.as_ref().map(|identity| identity.certificate_pem().to_owned()),
        };
        let kubeconfig = kubeconfig::write(folder, &access)?;
        output::line(&format!("For kubectl: export KUBECONFIG={}", kubeconfig.display()))?;
    }
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
    tokio::select! {
        ended = serving => ended,
        Err(error) = server.expire_events() => Err(anyhow::anyhow!("events do not expire: {}", error.message)),
    }
}
