//! `metrics.k8s.io`: what nodes and pods use, read from a [`MetricsSource`].

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::resource::Resource;
use crate::server::ApiServer;

/// CPU and memory in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Billionths of a core.
    pub cpu_nanocores: u64,
    /// Bytes of the working set.
    pub memory_bytes: u64,
}

impl Usage {
    fn to_json(self) -> Value {
        json!({ "cpu": format!("{}n", self.cpu_nanocores), "memory": format!("{}Ki", self.memory_bytes >> 10) })
    }
}

/// What a node uses.
#[derive(Debug, Clone)]
pub struct NodeMetrics {
    /// The node.
    pub name: String,
    /// End of the window that was measured.
    pub timestamp: Timestamp,
    /// Length of the window.
    pub window: Duration,
    /// Use of the whole node.
    pub usage: Usage,
}

/// What a pod uses.
#[derive(Debug, Clone)]
pub struct PodMetrics {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub name: String,
    /// End of the window that was measured.
    pub timestamp: Timestamp,
    /// Length of the window.
    pub window: Duration,
    /// Use by container.
    pub containers: Vec<(String, Usage)>,
}

/// Where the figures come from.
pub trait MetricsSource: Send + Sync {
    /// All nodes that were measured.
    fn nodes(&self) -> Vec<NodeMetrics>;
    /// All pods that were measured, of a namespace or, if it is empty, of all.
    fn pods(&self, namespace: &str) -> Vec<PodMetrics>;
    /// The page that the kubelet of this node serves at `/metrics/cadvisor`; `None` when there is none, or it does not answer.
    fn cadvisor(&self, node: &str) -> Option<String>;
}

/// All objects of `nodes` or `pods` of `metrics.k8s.io`, by namespace and name; labels are those of what is measured.
pub(crate) fn list(server: &ApiServer, resource: &Resource, namespace: &str) -> Vec<Value> {
    let Some(source) = server.metrics_source() else { return Vec::new() };
    let mut objects: Vec<(String, Value)> = if resource.plural == "nodes" {
        source.nodes().iter().map(|m| (m.name.clone(), node(server, m))).collect()
    } else {
        source.pods(namespace).iter().map(|m| (format!("{}/{}", m.namespace, m.name), pod(server, m))).collect()
    };
    objects.sort_by(|a, b| a.0.cmp(&b.0));
    objects.into_iter().map(|(_, object)| object).collect()
}

/// One object of `metrics.k8s.io`.
pub(crate) fn get(server: &ApiServer, resource: &Resource, namespace: &str, name: &str) -> Result<Value, ApiError> {
    list(server, resource, namespace)
        .into_iter()
        .find(|object| object["metadata"]["name"] == name)
        .ok_or_else(|| ApiError::not_found(resource, name))
}

fn node(server: &ApiServer, metrics: &NodeMetrics) -> Value {
    let mut object = head("NodeMetrics", &metrics.name, metrics.timestamp, metrics.window);
    object["metadata"]["labels"] = labels(server, "nodes", &metrics.name);
    object["usage"] = metrics.usage.to_json();
    object
}

fn pod(server: &ApiServer, metrics: &PodMetrics) -> Value {
    let mut object = head("PodMetrics", &metrics.name, metrics.timestamp, metrics.window);
    object["metadata"]["namespace"] = json!(metrics.namespace);
    object["metadata"]["labels"] = labels(server, "pods", &format!("{}/{}", metrics.namespace, metrics.name));
    let containers = metrics.containers.iter().map(|(name, u)| json!({ "name": name, "usage": u.to_json() }));
    object["containers"] = containers.collect();
    object
}

fn head(kind: &str, name: &str, timestamp: Timestamp, window: Duration) -> Value {
    let timestamp = crate::verbs::seconds(timestamp);
    json!({
        "kind": kind,
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": { "name": name, "creationTimestamp": timestamp },
        "timestamp": timestamp,
        "window": format!("{:.3}s", window.as_secs_f64()),
    })
}

fn labels(server: &ApiServer, qualified: &str, key: &str) -> Value {
    crate::resource::by_qualified(qualified)
        .and_then(|resource| server.store().get(resource, key))
        .map_or_else(|| json!({}), |entry| entry.facts.labels_json())
}
