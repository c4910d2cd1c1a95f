//! The Metrics API (`metrics.k8s.io/v1beta1`): what nodes and pods use now.
//!
//! [`collect`] asks once. What cannot be true (no number, negative, absurdly large, from the future, long ago) is left out and
//! counted by reason, so that a half broken metrics server yields what it still knows and never a wrong number.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use augur_notation::Quantity;
use http::Request;
use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::interned;
use crate::prometheus::{Prometheus, PrometheusError};
use crate::wire::{ObjectMeta, Text, null_is_default};

/// How far a reading may lie in the future: the clocks of two machines may differ by this much.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// How old a reading may be to say something about the present.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(300);
/// More CPU than any machine has, in cores.
pub(crate) const ABSURD_CPU: f64 = 100_000.0;
/// The name of the Metrics API in messages.
const METRICS_API: &str = "the Metrics API";
/// More memory than any machine has, in bytes (1 PiB).
pub(crate) const ABSURD_MEMORY: f64 = 1_125_899_906_842_624.0;

/// What something uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// CPU in cores.
    pub cpu: f64,
    /// Memory in bytes.
    pub memory: f64,
    /// When the reading ended.
    pub at: Timestamp,
}

/// Why there are no readings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// The cluster has no Metrics API.
    #[error("the cluster has no Metrics API: install metrics-server")]
    Absent,
    /// It did not answer in time.
    #[error("the Metrics API did not answer within {0:?}")]
    Slow(Duration),
    /// It refused or failed.
    #[error("the Metrics API failed: {0}")]
    Failed(String),
    /// Prometheus has no answer.
    #[error(transparent)]
    Prometheus(PrometheusError),
}

/// Where readings come from.
#[derive(Clone)]
pub enum UsageSource {
    /// The Metrics API of the cluster, and how long it may take.
    MetricsApi(Client, Duration),
    /// A Prometheus-compatible server.
    Prometheus(Prometheus),
}

impl UsageSource {
    /// Asks for the usage of all nodes and pods; `now` judges the age of the readings.
    pub async fn collect(&self, now: Timestamp) -> Collected {
        match self {
            UsageSource::MetricsApi(client, timeout) => collect(client, *timeout, now).await,
            UsageSource::Prometheus(prometheus) => prometheus.collect(now).await,
        }
    }

    /// Its name for messages.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        match self {
            UsageSource::MetricsApi(..) => METRICS_API.into(),
            UsageSource::Prometheus(prometheus) => prometheus.name().clone(),
        }
    }
}

/// The readings of nodes, by name.
pub type NodeUsage = HashMap<Arc<str>, Usage>;
/// What the containers of a pod use.
#[derive(Debug, Clone, PartialEq)]
pub struct PodReading {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Containers with their usage.
    pub containers: Vec<(Arc<str>, Usage)>,
}

/// What one collection brought.
#[derive(Debug, Clone)]
pub struct Collected {
    /// When it was asked for.
    pub at: Timestamp,
    /// Who was asked.
    pub source: Arc<str>,
    /// Nodes.
    pub nodes: Result<NodeUsage, MetricsError>,
    /// Pods.
    pub pods: Result<Vec<PodReading>, MetricsError>,
    /// Readings left out, by reason: `malformed`, `unnamed`, `not_an_amount`, `negative`, `absurd`, `future`, `stale`.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Why the answer may be incomplete, in the source's words.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reading<'a> {
    #[serde(borrow)]
    metadata: ObjectMeta<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    usage: Option<Amounts<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    containers: Vec<OfContainer<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OfContainer<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    usage: Amounts<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amounts<'a> {
    #[serde(borrow)]
    cpu: Text<'a>,
    #[serde(borrow)]
    memory: Text<'a>,
}

/// Asks for the usage of all nodes and pods, each within `timeout`; `now` judges the age of the readings.
pub async fn collect(client: &Client, timeout: Duration, now: Timestamp) -> Collected {
    let mut rejected = BTreeMap::new();
    let (nodes, pods) = tokio::join!(list(client, "nodes", timeout), list(client, "pods", timeout));
    let nodes = nodes.and_then(|text| {
        let mut usage = NodeUsage::new();
        for (reading, used) in readings(&text, now, &mut rejected)? {
            usage.insert(reading.metadata.name.as_str().into(), used);
        }
        Ok(usage)
    });
    let pods = pods.and_then(|text| {
        // Names of namespaces and containers are few.
        let mut names: HashSet<Arc<str>> = HashSet::new();
        let mut pods = Vec::new();
        for (reading, used) in readings(&text, now, &mut rejected)? {
            let mut containers = Vec::with_capacity(reading.containers.len());
            for container in &reading.containers {
                // Read before without complaint.
                let usage = Usage {
                    cpu: amount(&container.usage.cpu, ABSURD_CPU).unwrap_or(0.0),
                    memory: amount(&container.usage.memory, ABSURD_MEMORY).unwrap_or(0.0),
                    at: used.at,
                };
                containers.push((interned(&mut names, &container.name), usage));
            }
            let namespace = interned(&mut names, &reading.metadata.namespace);
            pods.push(PodReading { namespace, name: reading.metadata.name.as_str().into(), containers });
        }
        Ok(pods)
    });
    Collected { at: now, source: METRICS_API.into(), nodes, pods, rejected, warnings: Vec::new() }
}

async fn list(client: &Client, kind: &str, timeout: Duration) -> Result<String, MetricsError> {
    let request = Request::get(format!("/apis/metrics.k8s.io/v1beta1/{kind}"))
        .header(http::header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|error| MetricsError::Failed(error.to_string()))?;
    match tokio::time::timeout(timeout, client.request_text(request)).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(MetricsError::Absent),
        Ok(Err(error)) => Err(MetricsError::Failed(error.to_string())),
        Err(_) => Err(MetricsError::Slow(timeout)),
    }
}

/// The believable readings of a list.
fn readings<'a>(
    text: &'a str,
    now: Timestamp,
    rejected: &mut BTreeMap<&'static str, u64>,
) -> Result<Vec<(Reading<'a>, Usage)>, MetricsError> {
    let list: List<'a> = serde_json::from_str(text).map_err(|error| MetricsError::Failed(error.to_string()))?;
    let mut believable = Vec::with_capacity(list.items.len());
    for item in list.items {
        let read = serde_json::from_str::<Reading<'a>>(item.get()).map_err(|_| "malformed").and_then(|reading| {
            let used = usage(&reading, now)?;
            Ok((reading, used))
        });
        match read {
            Ok(reading) => believable.push(reading),
            Err(reason) => *rejected.entry(reason).or_default() += 1,
        }
    }
    Ok(believable)
}

fn usage(reading: &Reading<'_>, now: Timestamp) -> Result<Usage, &'static str> {
    if reading.metadata.name.is_empty() {
        return Err("malformed");
    }
    let at: Timestamp = reading.timestamp.parse().map_err(|_| "malformed")?;
    if at.duration_since(now) > CLOCK_SKEW.try_into().unwrap_or(jiff::SignedDuration::MAX) {
        return Err("future");
    }
    if now.duration_since(at) > STALE_AFTER.try_into().unwrap_or(jiff::SignedDuration::MAX) {
        return Err("stale");
    }
    let mut used = Usage { cpu: 0.0, memory: 0.0, at };
    let containers = reading.containers.iter().map(|container| &container.usage);
    for amounts in reading.usage.iter().chain(containers) {
        used.cpu += amount(&amounts.cpu, ABSURD_CPU)?;
        used.memory += amount(&amounts.memory, ABSURD_MEMORY)?;
    }
    Ok(used)
}

fn amount(text: &str, absurd: f64) -> Result<f64, &'static str> {
    believable(Quantity::parse(text).map_err(|_| "not_an_amount")?.as_f64(), absurd)
}

/// The amount, or why it cannot be one.
pub(crate) fn believable(amount: f64, absurd: f64) -> Result<f64, &'static str> {
    match amount {
        _ if amount.is_nan() => Err("not_an_amount"),
        _ if amount < 0.0 => Err("negative"),
        _ if amount > absurd => Err("absurd"),
        _ => Ok(amount),
    }
}

#[cfg(test)]
mod tests {
    use http::{Response, StatusCode};
    use kube::client::Body;

    use super::*;

    /// A server that answers for nodes and pods with the given status and text.
    fn server(nodes: (u16, &'static str), pods: (u16, &'static str)) -> Client {
        crate::from_service(tower::service_fn(move |request: Request<Body>| async move {
            let (code, text) = if request.uri().path().ends_with("/nodes") { nodes } else { pods };
            let mut response = Response::new(Body::from(text.as_bytes().to_vec()));
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            Ok::<_, std::io::Error>(response)
        }))
    }

    fn now() -> Timestamp {
        "2026-01-01T00:01:00Z".parse().unwrap()
    }

    async fn collected(nodes: (u16, &'static str), pods: (u16, &'static str)) -> Collected {
        collect(&server(nodes, pods), Duration::from_secs(5), now()).await
    }

    const NONE: (u16, &str) = (200, r#"{"items":null}"#);

    #[tokio::test]
    async fn amounts_are_read_in_their_units_and_containers_add_up() {
        let nodes = r#"{"items":[{"metadata":{"name":"n1"},"timestamp":"2026-01-01T00:00:30Z","window":"10s",
            "usage":{"cpu":"1500m","memory":"2Ki"}}]}"#;
        let pods = r#"{"items":[{"metadata":{"name":"web","namespace":"shop"},"timestamp":"2026-01-01T00:00:30Z",
            "containers":[{"name":"a","usage":{"cpu":"250000000n","memory":"1Mi"}},{"name":"b","usage":{"cpu":"1","memory":"1Mi"}}]}]}"#;
        let collected = collected((200, nodes), (200, pods)).await;
        let at = "2026-01-01T00:00:30Z".parse().unwrap();
        assert_eq!(collected.nodes.unwrap()["n1"], Usage { cpu: 1.5, memory: 2048.0, at });
        let pods = collected.pods.unwrap();
        let usage = |cpu, memory| Usage { cpu, memory, at };
        let containers = vec![("a".into(), usage(0.25, 1_048_576.0)), ("b".into(), usage(1.0, 1_048_576.0))];
        assert_eq!(pods, [PodReading { namespace: "shop".into(), name: "web".into(), containers }]);
        assert!(collected.rejected.is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_true_is_left_out_and_counted() {
        let nodes = r#"{"items":[
            {"metadata":{"name":"nan"},"timestamp":"2026-01-01T00:00:30Z","usage":{"cpu":"NaN","memory":"1"}},
            {"metadata":{"name":"negative"},"timestamp":"2026-01-01T00:00:30Z","usage":{"cpu":"-1","memory":"1"}},
            {"metadata":{"name":"absurd"},"timestamp":"2026-01-01T00:00:30Z","usage":{"cpu":"1","memory":"9E"}},
            {"metadata":{"name":"future"},"timestamp":"2027-01-01T00:00:30Z","usage":{"cpu":"1","memory":"1"}},
            {"metadata":{"name":"stale"},"timestamp":"2025-12-31T23:00:00Z","usage":{"cpu":"1","memory":"1"}},
            {"metadata":{"name":"when"},"timestamp":null,"usage":{"cpu":"1","memory":"1"}},
            {"metadata":{},"timestamp":"2026-01-01T00:00:30Z","usage":{"cpu":"1","memory":"1"}},
            {"metadata":{"name":"good"},"timestamp":"2026-01-01T00:00:30Z","usage":{"cpu":"1","memory":"1"}},
            7]}"#;
        let collected = collected((200, nodes), NONE).await;
        assert_eq!(collected.nodes.unwrap().keys().map(|name| &**name).collect::<Vec<_>>(), ["good"]);
        let expected =
            [("absurd", 1), ("future", 1), ("malformed", 3), ("negative", 1), ("not_an_amount", 1), ("stale", 1)];
        assert_eq!(collected.rejected, BTreeMap::from(expected));
    }

    #[tokio::test]
    async fn half_an_api_gives_half_the_answers() {
        let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"not found","reason":"NotFound","code":404}"#;
        let collected = collected(NONE, (404, status)).await;
        assert_eq!((collected.nodes.map(|n| n.len()), collected.pods), (Ok(0), Err(MetricsError::Absent)));
    }

    #[tokio::test]
    async fn nonsense_and_silence_are_told_apart() {
        let collected = collected((200, "<html>"), NONE).await;
        assert!(matches!(collected.nodes, Err(MetricsError::Failed(_))), "{:?}", collected.nodes);
        let silent = crate::from_service(tower::service_fn(|_: Request<Body>| {
            std::future::pending::<Result<Response<Body>, std::io::Error>>()
        }));
        let timeout = Duration::from_millis(1);
        assert_eq!(collect(&silent, timeout, now()).await.nodes, Err(MetricsError::Slow(timeout)));
    }
}
