//! The server on real sockets: a kube client with its watcher, TLS with a token, and stopping while watches are open.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::pin::pin;
use std::time::{Duration, Instant};

use augur_apiserver::{ApiServer, ApiServerOptions, Identity, serve, serve_tls};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

struct Running {
    server: ApiServer,
    url: String,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn start(options: ApiServerOptions, identity: Option<Identity>) -> Running {
    let server = ApiServer::new(options).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let router = server.router();
    let scheme = if identity.is_some() { "https" } else { "http" };
    let served = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        match identity {
            Some(identity) => serve_tls(listener, router, &identity, stopped).await,
            None => serve(listener, router, stopped).await,
        }
    });
    Running { server, url: format!("{scheme}://{address}"), stop, served }
}

fn client(running: &Running, token: Option<&str>) -> kube::Client {
    let mut config = kube::Config::new(running.url.parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info.token = token.map(|token| token.to_owned().into());
    kube::Client::try_from(config).unwrap()
}

fn pod(name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "app:v1" }] },
    }))
    .unwrap()
}

#[tokio::test]
async fn a_kube_client_writes_lists_and_watches() {
    let running = start(ApiServerOptions::default(), None).await;
    let pods: Api<Pod> = Api::namespaced(client(&running, None), "default");
    pods.create(&PostParams::default(), &pod("a")).await.unwrap();
    let mut events = pin!(watcher(pods.clone(), watcher::Config::default()).applied_objects());
    let first = events.next().await.unwrap().unwrap();
    assert_eq!(first.metadata.name.as_deref(), Some("a"));
    // What happens while it watches arrives, and a watch that expired recovers by listing.
    pods.create(&PostParams::default(), &pod("b")).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().metadata.name.as_deref(), Some("b"));
    let patch = json!({ "metadata": { "labels": { "x": "1" } } });
    pods.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().metadata.labels.unwrap()["x"], "1");
    let labelled = pods.list(&ListParams::default().labels("x=1")).await.unwrap();
    assert_eq!(labelled.items.len(), 1);
    pods.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(pods.get_opt("a").await.unwrap().is_none());
    let configuration = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "k": "v" },
    });
    let maps: Api<ConfigMap> = Api::namespaced(client(&running, None), "default");
    let applied = maps.patch("c", &PatchParams::apply("tests"), &Patch::Apply(configuration)).await.unwrap();
    assert_eq!(applied.data.unwrap()["k"], "v");
}

#[tokio::test]
async fn tls_and_tokens_keep_strangers_out() {
    let identity = Identity::self_signed(&["localhost", "127.0.0.1"]).unwrap();
    assert!(identity.certificate_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    let options = ApiServerOptions { tokens: vec!["secret".to_owned()], ..ApiServerOptions::default() };
    let running = start(options, Some(identity)).await;
    let known: Api<Pod> = Api::namespaced(client(&running, Some("secret")), "default");
    known.create(&PostParams::default(), &pod("a")).await.unwrap();
    let stranger: Api<Pod> = Api::namespaced(client(&running, None), "default");
    let error = stranger.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&error, kube::Error::Api(status) if status.code == 401), "{error}");
}

#[tokio::test]
async fn it_stops_while_watches_are_open() {
    let running = start(ApiServerOptions::default(), None).await;
    let pods: Api<Pod> = Api::all(client(&running, None));
    let mut events = pin!(watcher(pods.clone(), watcher::Config::default()).applied_objects());
    running.server.local("tests").create("pods", "default", serde_json::to_value(pod("a")).unwrap()).unwrap();
    events.next().await.unwrap().unwrap();
    let asked = Instant::now();
    running.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), running.served).await.unwrap().unwrap().unwrap();
    // A bound against hanging, not a measurement.
    assert!(asked.elapsed() < Duration::from_secs(5));
}
