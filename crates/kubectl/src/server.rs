//! The way to the scheduler: [`Server::find`], then [`Server::get`] and [`Server::post`].
//!
//! Named by its own address, or found as a Service in the cluster and asked by way of the API server's proxy, with the user's own
//! credentials for the cluster.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use kube::client::Body;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::Common;

/// Where a scheduler on this machine listens.
const LOCAL: &str = "http://127.0.0.1:8080";
/// The labels of the scheduler's Service, as the chart sets them.
const SELECTOR: &str = "app.kubernetes.io/part-of=augur,app.kubernetes.io/component=scheduler";
/// Bytes of an answer at most: 20,000 pods or 5,000 nodes with all their figures are a fraction of it.
const LIMIT: usize = 256 << 20;
/// How long an answer may take where nobody says.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const HINT: &str = "Name the scheduler with --server-url URL or AUGUR_URL; a port of one in a cluster is had by `kubectl -n augur \
    port-forward service/augur 8080`";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The kubeconfig cannot be used.
    #[error("kubeconfig: {0}")]
    Kubeconfig(String),
    /// An address cannot be used.
    #[error("{0}")]
    Address(String),
    /// Services of Augur: which, and what to do.
    #[error("{0}")]
    Discovery(String),
    /// Nothing answers.
    #[error("no answer from the scheduler at {place}: {why}\n{hint}")]
    Unreachable {
        /// Where it was looked for.
        place: String,
        /// What happened.
        why: String,
        /// What to do.
        hint: String,
    },
    /// The scheduler says no.
    #[error("{message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Its code, `pod_not_found` say.
        code: String,
        /// In its words.
        message: String,
    },
}

impl ServerError {
    /// Whether the scheduler says that what is asked about does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ServerError::Refused { status: StatusCode::NOT_FOUND, code, .. } if code != "no_such_path")
    }
}

/// A scheduler that can be asked.
pub struct Server {
    client: Client,
    /// Before each path.
    prefix: String,
    /// For messages.
    place: String,
    hint: String,
    patience: Duration,
    namespace: String,
    /// Something that the user should know about the choice.
    note: Option<String>,
}

impl Server {
    /// Finds the scheduler: see the module.
    ///
    /// # Errors
    /// When what is named cannot be used, or several are found.
    pub async fn find(common: &Common) -> Result<Server, ServerError> {
        let kubeconfig = read_kubeconfig(common);
        let namespace = common.namespace.clone().or_else(|| {
            let config = kubeconfig.as_ref().ok()?;
            let name = common.context.as_ref().or(config.current_context.as_ref())?;
            config.contexts.iter().find(|context| context.name == *name)?.context.as_ref()?.namespace.clone()
        });
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        let patience = Duration::from_secs(common.request_timeout.max(1));
        if let Some(url) = common.server_url.as_ref().filter(|url| !url.is_empty()) {
            let hint = "That is what --server-url or AUGUR_URL says; a port of a scheduler in a cluster is had by \
                `kubectl -n augur port-forward service/augur 8080`";
            return Server::direct(common, url, namespace, patience, hint.to_owned()).await;
        }
        let asked_for = common.kubeconfig.is_some() || common.context.is_some() || common.service.is_some();
        let why = match kubeconfig {
            Err(error) if asked_for => return Err(error),
            Err(error) => error.to_string(),
            Ok(config) => {
                let context = common.context.clone().or_else(|| config.current_context.clone()).unwrap_or_default();
                match through_cluster(config, common, &namespace, patience).await? {
                    Found::Server(server) => return Ok(*server),
                    Found::Nothing(why) => format!("context {context:?}: {why}"),
                }
            }
        };
        let hint =
            format!("That address was tried because none is named and the cluster tells of none ({why}). {HINT}");
        let mut server = Server::direct(common, LOCAL, namespace, patience, hint).await?;
        server.note = Some(format!("note: {why}; asking {LOCAL}"));
        Ok(server)
    }

    /// The scheduler at this address; the file holds a bearer token.
    ///
    /// # Errors
    /// When it is no address.
    pub async fn at(url: &str, token_file: Option<&Path>) -> Result<Server, ServerError> {
        let hint = "A scheduler has to run there".to_owned();
        let common = Common { token_file: token_file.map(Path::to_owned), ..Common::default() };
        Server::direct(&common, url, "default".to_owned(), PATIENCE, hint).await
    }

    async fn direct(
        common: &Common,
        url: &str,
        namespace: String,
        patience: Duration,
        hint: String,
    ) -> Result<Server, ServerError> {
        let address: http::Uri = url.parse().map_err(|error| {
            ServerError::Address(format!("--server-url {url:?} is not a URL ({error}), as http://127.0.0.1:8080 is"))
        })?;
        if !matches!(address.scheme_str(), Some("http" | "https")) {
            let message = format!("--server-url {url:?} has to begin with http:// or https://");
            return Err(ServerError::Address(message));
        }
        let authority = common.certificate_authority.as_ref().map(|file| file.display().to_string());
        let cluster = Cluster { server: Some(url.to_owned()), certificate_authority: authority, ..Cluster::default() };
        let token_file = common.token_file.as_ref().map(|file| file.display().to_string());
        let user = AuthInfo { token_file, ..AuthInfo::default() };
        let context = Context { cluster: "it".to_owned(), user: Some("it".to_owned()), ..Context::default() };
        let named = |error: &dyn std::fmt::Display| ServerError::Address(format!("{url}: {error}"));
        let kubeconfig = Kubeconfig {
            clusters: vec![NamedCluster { name: "it".to_owned(), cluster: Some(cluster), ..NamedCluster::default() }],
            auth_infos: vec![NamedAuthInfo {
                name: "it".to_owned(),
                auth_info: Some(user),
                ..NamedAuthInfo::default()
            }],
            contexts: vec![NamedContext { name: "it".to_owned(), context: Some(context), ..NamedContext::default() }],
            current_context: Some("it".to_owned()),
            ..Kubeconfig::default()
        };
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let client = client(config.map_err(|error| named(&error))?).map_err(|error| named(&error))?;
        let place = url.trim_end_matches('/').to_owned();
        Ok(Server { client, prefix: String::new(), place, hint, patience, namespace, note: None })
    }

    /// The namespace of pods and workloads that are named without one.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The time by the scheduler's clock, by which ages are told; by that of this machine if it does not say.
    pub async fn now(&self) -> Timestamp {
        let told = self.get("/health").await.ok().and_then(|health| health["timestamp"].as_str()?.parse().ok());
        told.unwrap_or_else(Timestamp::now)
    }

    /// Something that the user should know about how the scheduler was found.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// What the scheduler answers at a path.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn get(&self, path: &str) -> Result<Value, ServerError> {
        self.ask(Request::get(format!("{}{path}", self.prefix)).body(Body::empty())).await
    }

    /// What the scheduler answers to a body at a path.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ServerError> {
        let request = Request::post(format!("{}{path}", self.prefix));
        let request = request.header(http::header::CONTENT_TYPE, "application/json");
        self.ask(request.body(Body::from(body.to_string().into_bytes()))).await
    }

    /// Writes what the scheduler answers at a path as it comes; answers with the bytes written. As long as something comes it may
    /// take its time.
    ///
    /// # Errors
    /// See [`ServerError`]; also when it breaks off, or cannot be written.
    pub async fn download(&self, path: &str, out: &mut impl Write) -> Result<u64, ServerError> {
        let lost = |why: String| ServerError::Unreachable { place: self.place.clone(), why, hint: self.hint.clone() };
        let late = |_| lost(format!("nothing came for {} s", self.patience.as_secs()));
        let request = Request::get(format!("{}{path}", self.prefix)).body(Body::empty());
        let request = request.map_err(|error| ServerError::Address(error.to_string()))?;
        let answer = tokio::time::timeout(self.patience, self.client.send(request)).await.map_err(late)?;
        let answer = answer.map_err(|error| lost(root(&error)))?;
        let (status, mut body) = (answer.status(), answer.into_body());
        if !status.is_success() {
            let told = tokio::time::timeout(self.patience, Limited::new(body, LIMIT).collect()).await.map_err(late)?;
            return Err(self.refusal(status, &told.map(http_body_util::Collected::to_bytes).unwrap_or_default()));
        }
        let mut written = 0;
        while let Some(frame) = tokio::time::timeout(self.patience, body.frame()).await.map_err(late)? {
            let frame = frame.map_err(|error| lost(format!("its answer breaks off: {}", root(&error))))?;
            if let Ok(bytes) = frame.into_data() {
                out.write_all(&bytes).map_err(|error| lost(format!("its answer cannot be written: {error}")))?;
                written += bytes.len() as u64;
            }
        }
        Ok(written)
    }

    async fn ask(&self, request: Result<Request<Body>, http::Error>) -> Result<Value, ServerError> {
        let lost = |why: String| ServerError::Unreachable { place: self.place.clone(), why, hint: self.hint.clone() };
        let request = request.map_err(|error| ServerError::Address(error.to_string()))?;
        let (status, body) = answer(&self.client, request, self.patience).await.map_err(lost)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| {
                let why = format!("it answers something else than Augur's JSON ({error})");
                ServerError::Unreachable { place: self.place.clone(), why, hint: self.hint.clone() }
            });
        }
        Err(self.refusal(status, &body))
    }

    /// What an answer that is no success says: in the scheduler's words, in those of the API server before it, or in none.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> ServerError {
        #[derive(Deserialize)]
        struct Spoken {
            error: Option<String>,
            code: Option<Value>,
            message: Option<String>,
        }
        let spoken = serde_json::from_slice::<Spoken>(body).ok();
        match spoken {
            Some(Spoken { error: Some(error), code, .. }) => {
                let code = code.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
                let old = "the scheduler there is older than this program and does not know the question";
                let message = if code == "no_such_path" { format!("{}: {old}: {error}", self.place) } else { error };
                ServerError::Refused { status, code, message }
            }
            Some(Spoken { message: Some(message), .. }) => {
                let why = format!("the API server answers {status}: {message}");
                ServerError::Unreachable { place: self.place.clone(), why, hint: self.hint.clone() }
            }
            _ => {
                let text = String::from_utf8_lossy(body.get(..200).unwrap_or(body)).trim().to_owned();
                let why = if text.is_empty() {
                    format!("it answers {status}")
                } else {
                    format!("it answers {status}: {text}")
                };
                ServerError::Unreachable { place: self.place.clone(), why, hint: self.hint.clone() }
            }
        }
    }
}

fn client(mut config: Config) -> Result<Client, kube::Error> {
    config.connect_timeout = Some(CONNECT_WITHIN);
    config.default_retry = false;
    Client::try_from(config)
}

/// Status and body of an answer, or why there is none.
async fn answer(
    client: &Client,
    request: Request<Body>,
    patience: Duration,
) -> Result<(StatusCode, bytes::Bytes), String> {
    let ask = async {
        let answer = client.send(request).await.map_err(|error| root(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LIMIT).collect().await;
        Ok((status, body.map_err(|error| format!("its answer breaks off: {error}"))?.to_bytes()))
    };
    let late = format!("it did not answer within {} s (--request-timeout)", patience.as_secs());
    tokio::time::timeout(patience, ask).await.unwrap_or(Err(late))
}

/// The last cause of an error, which is the one that says what happened.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn read_kubeconfig(common: &Common) -> Result<Kubeconfig, ServerError> {
    let read = match &common.kubeconfig {
        Some(file) => Kubeconfig::read_from(file).map_err(|error| format!("{}: {}", file.display(), root(&error))),
        None => Kubeconfig::read().map_err(|error| root(&error)),
    };
    read.map_err(ServerError::Kubeconfig)
}

enum Found {
    Server(Box<Server>),
    Nothing(String),
}

/// A Service with what is needed to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    namespace: String,
    name: String,
    /// A port's number or name; empty for the only one.
    port: String,
    tls: bool,
}

impl Service {
    fn of_flag(text: &str) -> Result<Service, ServerError> {
        let wrong = || ServerError::Address(format!("--service {text:?} is not NAMESPACE/NAME or NAMESPACE/NAME:PORT"));
        let (namespace, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (name, port) = rest.split_once(':').unwrap_or((rest, ""));
        let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
        if namespace.is_empty() || name.is_empty() || ![namespace, name, port].into_iter().all(is_name) {
            return Err(wrong());
        }
        let [namespace, name, port] = [namespace, name, port].map(str::to_owned);
        Ok(Service { tls: port == "https" || port == "443", namespace, name, port })
    }

    fn proxy(&self) -> String {
        let Service { namespace, name, port, tls } = self;
        let target = match (tls, port.as_str()) {
            (true, port) => format!("https:{name}:{port}"),
            (false, "") => name.clone(),
            (false, port) => format!("{name}:{port}"),
        };
        format!("/api/v1/namespaces/{namespace}/services/{target}/proxy")
    }
}

/// Services of the list, with the port that is called `http` or `https`, or the first.
fn services(list: &Value) -> Vec<Service> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    let of = |item: &Value| {
        let ports = item["spec"]["ports"].as_array().map_or(&[][..], Vec::as_slice);
        let named = ports.iter().find(|port| matches!(port["name"].as_str(), Some("http" | "https")));
        let port = named.or(ports.first()).unwrap_or(&Value::Null);
        Service {
            namespace: text(&item["metadata"]["namespace"]),
            name: text(&item["metadata"]["name"]),
            port: port["port"].as_u64().map(|port| port.to_string()).unwrap_or_default(),
            tls: port["name"] == "https" || port["appProtocol"] == "https",
        }
    };
    items.iter().map(of).collect()
}

/// The scheduler behind the API server's proxy.
async fn through_cluster(
    kubeconfig: Kubeconfig,
    common: &Common,
    namespace: &str,
    patience: Duration,
) -> Result<Found, ServerError> {
    let options = KubeConfigOptions { context: common.context.clone(), ..KubeConfigOptions::default() };
    let unusable = |error: &dyn std::error::Error| ServerError::Kubeconfig(root(error));
    let config = match Config::from_custom_kubeconfig(kubeconfig, &options).await {
        Ok(config) => config,
        Err(error) if common.context.is_some() || common.kubeconfig.is_some() => return Err(unusable(&error)),
        Err(error) => return Ok(Found::Nothing(root(&error))),
    };
    let api = config.cluster_url.to_string();
    let client = client(config).map_err(|error| unusable(&error))?;
    let service = match &common.service {
        Some(text) => Service::of_flag(text)?,
        None => match discover(&client, namespace, patience).await {
            Ok(mut found) if found.len() == 1 => found.remove(0),
            Ok(found) if found.is_empty() => {
                return Ok(Found::Nothing(format!("no Service has the labels {SELECTOR}")));
            }
            Ok(found) => {
                let names: Vec<_> = found.iter().map(|it| format!("{}/{}", it.namespace, it.name)).collect();
                let message = format!("several schedulers were found; choose one with --service: {}", names.join(", "));
                return Err(ServerError::Discovery(message));
            }
            Err(why) => return Ok(Found::Nothing(why)),
        },
    };
    let place = format!("service {}/{} of {}", service.namespace, service.name, api.trim_end_matches('/'));
    let hint = format!("It is asked by way of the API server, which has to let you `get` `services/proxy`. {HINT}");
    let namespace = namespace.to_owned();
    let prefix = service.proxy();
    Ok(Found::Server(Box::new(Server { client, prefix, place, hint, patience, namespace, note: None })))
}

/// The Services of Augur in all namespaces or, where these may not be listed, in the usual one and in that of the context.
async fn discover(client: &Client, namespace: &str, patience: Duration) -> Result<Vec<Service>, String> {
    let selector = SELECTOR.replace('/', "%2F").replace('=', "%3D").replace(',', "%2C");
    let mut refused = String::new();
    let mut places = vec!["/api/v1/services".to_owned(), "/api/v1/namespaces/augur/services".to_owned()];
    if namespace != "augur" {
        places.push(format!("/api/v1/namespaces/{namespace}/services"));
    }
    for place in places {
        let request = Request::get(format!("{place}?labelSelector={selector}")).body(Body::empty());
        let request = request.map_err(|error| error.to_string())?;
        let (status, body) = answer(client, request, patience.min(CONNECT_WITHIN * 2)).await?;
        let list: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                refused = format!("Services cannot be listed: {}", list["message"].as_str().unwrap_or("forbidden"));
            }
            status if status.is_success() => {
                let found = services(&list);
                // All namespaces were looked at, or something was found in one.
                if place == "/api/v1/services" || !found.is_empty() {
                    return Ok(found);
                }
            }
            status => return Err(format!("the API server answers {status} to a list of Services")),
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_become_paths_of_the_proxy() {
        let list = json!({ "items": [
            { "metadata": { "namespace": "augur", "name": "augur" },
              "spec": { "ports": [{ "name": "learner", "port": 5000 }, { "name": "http", "port": 8080 }] } },
            { "metadata": { "namespace": "b", "name": "tls" }, "spec": { "ports": [{ "name": "https", "port": 443 }] } },
            { "metadata": { "namespace": "c", "name": "bare" } },
        ]});
        let paths: Vec<_> = services(&list).iter().map(Service::proxy).collect();
        assert_eq!(
            paths,
            [
                "/api/v1/namespaces/augur/services/augur:8080/proxy",
                "/api/v1/namespaces/b/services/https:tls:443/proxy",
                "/api/v1/namespaces/c/services/bare/proxy",
            ]
        );
        assert_eq!(services(&json!({})), []);
    }

    #[test]
    fn a_service_is_named_with_its_namespace() {
        assert_eq!(Service::of_flag("a/b:80").unwrap().proxy(), "/api/v1/namespaces/a/services/b:80/proxy");
        assert_eq!(Service::of_flag("a/b").unwrap().proxy(), "/api/v1/namespaces/a/services/b/proxy");
        for wrong in ["b", "/b", "a/", "a/b/../c", "a/b?c"] {
            assert!(Service::of_flag(wrong).is_err(), "{wrong}");
        }
    }
}
