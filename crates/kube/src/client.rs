//! The connection to the API server: by kubeconfig, from inside a cluster, or to a service of this process.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::{BoxError, Service, ServiceBuilder};

/// What may be under way of one answer: a page of a list comes without waiting for leave.
const STREAM_WINDOW: u32 = 2 << 20;
/// The same of all answers together.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// A connection without a word for so long is asked for one, and given up without an answer, as client-go does (30 s and 15 s).
const PING_AFTER: Duration = Duration::from_secs(30);
/// See [`PING_AFTER`].
const PONG_WITHIN: Duration = Duration::from_secs(15);

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
    // The rare cases are left to kube's own client.
    let rare = config.proxy_url.is_some() || config.tls_server_name.is_some();
    let client = if rare {
        ClientBuilder::try_from(config).map(|builder| builder.with_layer(denials).build())
    } else {
        connect(&config, denials)
    };
    client.map_err(|source| ClientError::Build(Box::new(source)))
}

/// A client that speaks HTTP/2 where the server does, which kube's own does not: watches and hundreds of requests at once then share
/// one connection. Over TLS only, since HTTP/2 is agreed upon in its handshake.
fn connect(config: &Config, denials: &Denials) -> Result<Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut tls = config.rustls_client_config()?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut connector = TimeoutConnector::new(HttpsConnector::from((tcp, tls)));
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let client: legacy::Client<_, Body> = legacy::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PONG_WITHIN)
        .http2_keep_alive_while_idle(true)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(denials.clone())
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(Client::new(service, config.default_namespace.clone()))
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
