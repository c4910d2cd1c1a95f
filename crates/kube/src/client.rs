//! The connection to the API server: by kubeconfig, from inside a cluster, or to a service of this process.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::{BoxError, Service};

use crate::Denials;

/// Why no connection could be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig file is unreadable or incomplete.
    #[error("cannot read the kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: Box<kube::config::KubeconfigError>,
    },
    /// There is neither a kubeconfig nor a service account.
    #[error("found no cluster to connect to: {0}")]
    Infer(#[source] Box<kube::config::InferConfigError>),
    /// The address, certificates or credentials cannot be used.
    #[error("cannot set up the Kubernetes client: {0}")]
    Build(#[source] Box<kube::Error>),
}

/// A client for the current context of a kubeconfig file; what it is denied is noted.
pub async fn from_kubeconfig(path: &Path, timeout: Duration, denials: &Denials) -> Result<Client, ClientError> {
    let named = |source| ClientError::Kubeconfig { path: path.display().to_string(), source: Box::new(source) };
    let kubeconfig = Kubeconfig::read_from(path).map_err(named)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(named)?;
    build(config, timeout, denials)
}

/// A client for the pod's service account, or, outside a cluster, for the user's own kubeconfig; what it is denied is noted.
pub async fn in_cluster_or_default(timeout: Duration, denials: &Denials) -> Result<Client, ClientError> {
    let config = Config::infer().await.map_err(|source| ClientError::Infer(Box::new(source)))?;
    build(config, timeout, denials)
}

pub(crate) fn build(mut config: Config, timeout: Duration, denials: &Denials) -> Result<Client, ClientError> {
    config.connect_timeout = Some(timeout);
    // Whoever sends knows better whether and how long to try again than a layer that knows only the request.
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config).map_err(|source| ClientError::Build(Box::new(source)))?;
    Ok(builder.with_layer(denials).build())
}

/// A client for a service of this process, such as the router of the embedded API server.
pub fn from_service<S, B>(service: S) -> Client
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Client::new(service, "default")
}
