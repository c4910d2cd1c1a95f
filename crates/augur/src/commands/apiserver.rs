//! `augur apiserver`: the bare embedded Kubernetes API server.

use anyhow::Context;
use augur_apiserver::{ApiServer, ApiServerOptions, Identity, serve, serve_tls};

use crate::cli::ApiserverArgs;
use crate::listen::listen;
use crate::output;
use crate::system::stop_signal;

/// Serves until it is told to stop.
///
/// # Errors
/// When the port or the data directory cannot be used.
pub async fn run(args: ApiserverArgs) -> anyhow::Result<()> {
    let server = ApiServer::new(ApiServerOptions {
        debug_token: args.debug_token,
        tokens: args.api.token.into_iter().collect(),
        data_dir: args.data_dir,
        ..ApiServerOptions::default()
    })
    .map_err(|error| anyhow::anyhow!("cannot set up the API server: {}", error.message))?;
    let listener = listen(args.host, args.port, "the Kubernetes API", "--port").await?;
    let scheme = if args.api.tls { "https" } else { "http" };
    output::line(&format!("Kubernetes API at {scheme}://{}", listener.local_addr()?))?;
    let stop = async {
        if let Err(error) = stop_signal().await {
            tracing::error!(%error, "no signals");
        }
    };
    if args.api.tls {
        let host = args.host.to_string();
        let identity = Identity::self_signed(&["localhost", "127.0.0.1", &host])?;
        return serve_tls(listener, server.router(), &identity, stop)
            .await
            .context("serving the Kubernetes API over TLS");
    }
    serve(listener, server.router(), stop).await.context("serving the Kubernetes API")
}
