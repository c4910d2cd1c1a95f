//! What the measurement itself asks of the API server: creations, bindings, deletions, many at a time, and one watch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, bail};
use augur_kube::{Change, MALFORMED, Object, Skipped, Source, WatchStats};
use futures::StreamExt;
use http::{Method, Request};
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::objects::NAMESPACE;

/// Sends a JSON request and returns the answer's text.
///
/// # Errors
/// What the API server said.
pub async fn call(client: &Client, method: Method, path: &str, kind: &str, body: &Value) -> anyhow::Result<String> {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = Request::builder().method(method).uri(path).header("content-type", kind).body(body)?;
    client.request_text(request).await.with_context(|| format!("the API server refuses {path}"))
}

/// Runs `one` for the numbers below `count`, at most `width` at a time, and tells the first failure.
///
/// # Errors
/// The first that there was.
pub async fn each<F: Future<Output = anyhow::Result<()>>>(
    count: usize,
    width: usize,
    one: impl Fn(usize) -> F,
) -> anyhow::Result<()> {
    let mut running = futures::stream::iter((0..count).map(one)).buffer_unordered(width);
    while let Some(done) = running.next().await {
        done?;
    }
    Ok(())
}

/// Binds a pod as schedulers do.
///
/// # Errors
/// What the API server said.
pub async fn bind(client: &Client, pod: &str, node: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/binding");
    let body = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": pod, "namespace": NAMESPACE },
        "target": { "apiVersion": "v1", "kind": "Node", "name": node } });
    call(client, Method::POST, &path, "application/json", &body).await.map(drop)
}

/// A pod as the measurement sees it.
#[derive(Debug)]
struct Seen {
    name: String,
    bound: bool,
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    resource_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
}

impl Object for Seen {
    fn read(json: &str) -> Result<(Self, String), Skipped> {
        let Wire { metadata, spec } =
            serde_json::from_str(json).map_err(|error| Skipped::new(MALFORMED, error.to_string()))?;
        Ok((Seen { name: metadata.name, bound: spec.node_name.is_some() }, metadata.resource_version))
    }
}

/// When pods were seen bound, by name.
pub struct Watcher {
    bound: Arc<Mutex<HashMap<String, Instant>>>,
    count: watch::Receiver<usize>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Watcher {
    /// Watches all pods from now on.
    pub fn start(client: &Client) -> Watcher {
        let bound: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
        // As many as a busy API server sends in a moment.
        let (changes, mut inbox) = mpsc::channel::<Change<Seen>>(4096);
        let (tell, count) = watch::channel(0);
        let known = bound.clone();
        let client = client.clone();
        let watching = tokio::spawn(async move {
            let source = Source { path: "/api/v1/pods", narrowed: String::new() };
            augur_kube::reflect(client, source, changes, &WatchStats::default()).await;
        });
        let counting = tokio::spawn(async move {
            while let Some(change) = inbox.recv().await {
                let pods = match change {
                    Change::Applied(pod) => vec![pod],
                    Change::Reset(pods) => pods,
                    Change::Deleted(..) => continue,
                };
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                for pod in pods.into_iter().filter(|pod| pod.bound) {
                    known.entry(pod.name).or_insert_with(Instant::now);
                }
                tell.send_replace(known.len());
            }
        });
        Watcher { bound, count, tasks: [watching, counting] }
    }

    /// When the pod was seen bound.
    pub fn bound(&self, pod: &str) -> Option<Instant> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).get(pod).copied()
    }

    /// Bindings a second of these pods, from the first that was seen to the last.
    pub fn rate(&self, pods: impl Iterator<Item = String>) -> f64 {
        let known = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let times: Vec<Instant> = pods.filter_map(|pod| known.get(&pod).copied()).collect();
        let (first, last) = (times.iter().min(), times.iter().max());
        let took = first.zip(last).map_or(0.0, |(first, last)| (*last - *first).as_secs_f64());
        times.len().saturating_sub(1) as f64 / took.max(1e-9)
    }

    /// Waits until so many pods in all have been seen bound.
    ///
    /// # Errors
    /// When none was for `patience`.
    pub async fn until(&mut self, pods: usize, patience: std::time::Duration, what: &str) -> anyhow::Result<()> {
        loop {
            let there = *self.count.borrow_and_update();
            if there >= pods {
                return Ok(());
            }
            match tokio::time::timeout(patience, self.count.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => bail!("the watch of pods ended while waiting for {what}"),
                Err(_) => bail!("no pod was bound for {} s: {there} of {pods}; waiting for {what}", patience.as_secs()),
            }
        }
    }

    /// How many pods have been seen bound.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
