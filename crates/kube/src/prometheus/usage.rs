//! Usage of nodes and containers from cAdvisor's series, as the Metrics API would tell it: [`Prometheus::collect`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::answer::Answer;
use super::labels::{NODE_INFO, NodeNames};
use super::{Prometheus, PrometheusError, promql};
use crate::metrics::{
    ABSURD_CPU, ABSURD_MEMORY, CLOCK_SKEW, Collected, MetricsError, NodeUsage, PodReading, STALE_AFTER, Usage,
    believable,
};

/// Series of real containers: not those of cgroups above them, and not the pause container.
const CONTAINERS: &str = r#"container!="",container!="POD",pod!="""#;
/// What tells containers apart. The highest of series that differ in more counts: a container that was started anew has two
/// for a moment, and of two servers that scrape the same both tell of it.
const BY_CONTAINER: &str = "max by (namespace, pod, container)";

/// Readings left out, by reason.
pub(super) type Rejected = BTreeMap<&'static str, u64>;

/// A container by namespace, pod and name.
pub(super) type ContainerKey = (Arc<str>, Arc<str>, Arc<str>);

/// Values of one kind by whose they are, with the time of each.
type Values<K> = HashMap<K, (i64, f64)>;

/// The queries for usage.
pub(super) struct UsageQueries {
    pub container_cpu: String,
    pub container_memory: String,
    pub node_cpu: String,
    pub node_memory: String,
    /// The same from the node exporter, for where cAdvisor's root is not scraped.
    pub exporter_cpu: String,
    pub exporter_memory: String,
}

impl UsageQueries {
    pub fn new(names: &NodeNames, window: std::time::Duration) -> Self {
        let (by, window) = (names.by(), promql(window));
        UsageQueries {
            container_cpu: format!(
                "{BY_CONTAINER} (rate(container_cpu_usage_seconds_total{{{CONTAINERS}}}[{window}]))"
            ),
            container_memory: format!("{BY_CONTAINER} (container_memory_working_set_bytes{{{CONTAINERS}}})"),
            node_cpu: format!(r#"max by ({by}) (rate(container_cpu_usage_seconds_total{{id="/"}}[{window}]))"#),
            node_memory: format!(r#"max by ({by}) (container_memory_working_set_bytes{{id="/"}})"#),
            exporter_cpu: format!(
                r#"sum by ({by}) (rate(node_cpu_seconds_total{{mode!~"idle|iowait|steal|guest.*"}}[{window}]))"#
            ),
            exporter_memory: format!("max by ({by}) (node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes)"),
        }
    }
}

impl Prometheus {
    /// Asks for the usage of all nodes and containers; `now` judges the age of what is told.
    pub async fn collect(&self, now: Timestamp) -> Collected {
        let mut rejected = Rejected::new();
        let mut warnings = Vec::new();
        let names = NodeNames::new(self.node_label.clone());
        let queries = UsageQueries::new(&names, self.rate_window);
        let (nodes, cpu, memory) = tokio::join!(
            self.nodes(names, &queries),
            self.query(&queries.container_cpu),
            self.query(&queries.container_memory),
        );
        let nodes = nodes.map(|(names, cpu, memory)| {
            let values = |answer: &Answer, absurd, rejected: &mut Rejected| {
                let key = |series: &super::Series| names.of(series);
                values(answer, key, (now, absurd), rejected)
            };
            note(&cpu, &mut warnings, &mut rejected);
            note(&memory, &mut warnings, &mut rejected);
            let cpu = values(&cpu, ABSURD_CPU, &mut rejected);
            let memory = values(&memory, ABSURD_MEMORY, &mut rejected);
            joined(cpu, &memory).collect::<NodeUsage>()
        });
        let pods = cpu.and_then(|cpu| Ok((cpu, memory?))).map(|(cpu, memory)| {
            note(&cpu, &mut warnings, &mut rejected);
            note(&memory, &mut warnings, &mut rejected);
            let cpu = values(&cpu, container, (now, ABSURD_CPU), &mut rejected);
            let memory = values(&memory, container, (now, ABSURD_MEMORY), &mut rejected);
            readings(joined(cpu, &memory))
        });
        warnings.dedup();
        Collected {
            at: now,
            source: self.name().clone(),
            nodes: nodes.map_err(MetricsError::Prometheus),
            pods: pods.map_err(MetricsError::Prometheus),
            rejected,
            warnings,
        }
    }

    /// CPU and memory of nodes with what finds their names.
    async fn nodes(
        &self,
        mut names: NodeNames,
        queries: &UsageQueries,
    ) -> Result<(NodeNames, Answer, Answer), PrometheusError> {
        let (cpu, memory) = tokio::join!(self.query(&queries.node_cpu), self.query(&queries.node_memory));
        let (mut cpu, mut memory) = (cpu?, memory?);
        if cpu.series.is_empty() || memory.series.is_empty() {
            let (of_exporter, rest) =
                tokio::join!(self.query(&queries.exporter_cpu), self.query(&queries.exporter_memory));
            (cpu, memory) = (of_exporter?, rest?);
        }
        if names.needs_addresses(&cpu) || names.needs_addresses(&memory) {
            names.addresses(&self.query(NODE_INFO).await?);
        }
        Ok((names, cpu, memory))
    }
}

/// What the server says of its own answer.
fn note(answer: &Answer, warnings: &mut Vec<String>, rejected: &mut Rejected) {
    warnings.extend(answer.warnings.iter().cloned());
    if answer.malformed > 0 {
        *rejected.entry("malformed").or_default() += answer.malformed;
    }
}

pub(super) fn container(series: &super::Series) -> Option<ContainerKey> {
    let key = (series.label("namespace"), series.label("pod"), series.label("container"));
    (!key.0.is_empty() && !key.1.is_empty() && !key.2.is_empty()).then_some(key)
}

/// The believable values of an answer. `judge`: the present, and what is absurd.
fn values<K: std::hash::Hash + Eq>(
    answer: &Answer,
    key: impl Fn(&super::Series) -> Option<K>,
    judge: (Timestamp, f64),
    rejected: &mut Rejected,
) -> Values<K> {
    let (now, absurd) = (judge.0.as_millisecond(), judge.1);
    let mut values = Values::with_capacity(answer.series.len());
    let mut reject = |reason| *rejected.entry(reason).or_default() += 1;
    for series in &answer.series {
        let Some(key) = key(series) else {
            reject("unnamed");
            continue;
        };
        let Some(&(at, value)) = series.points.last() else { continue };
        if at - now > CLOCK_SKEW.as_millis() as i64 {
            reject("future");
            continue;
        }
        if now - at > STALE_AFTER.as_millis() as i64 {
            reject("stale");
            continue;
        }
        match believable(value, absurd) {
            Err(reason) => reject(reason),
            // Of two the higher one is nearer to the truth: the other is of a container that has ended, or of a server that
            // missed a scrape.
            Ok(value) => {
                let known = values.entry(key).or_insert((at, value));
                known.1 = known.1.max(value);
            }
        }
    }
    values
}

/// What has both CPU and memory; a container that has just started has no rate of CPU yet.
fn joined<K: std::hash::Hash + Eq>(cpu: Values<K>, memory: &Values<K>) -> impl Iterator<Item = (K, Usage)> {
    cpu.into_iter().filter_map(|(key, (at, cpu))| {
        let (_, memory) = *memory.get(&key)?;
        let at = Timestamp::from_millisecond(at).ok()?;
        Some((key, Usage { cpu, memory, at }))
    })
}

/// Containers as readings of their pods, in the order of names.
pub(super) fn readings(containers: impl Iterator<Item = (ContainerKey, Usage)>) -> Vec<PodReading> {
    let mut containers: Vec<(ContainerKey, Usage)> = containers.collect();
    containers.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut pods: Vec<PodReading> = Vec::new();
    for ((namespace, name, container), usage) in containers {
        match pods.last_mut() {
            Some(pod) if pod.namespace == namespace && pod.name == name => pod.containers.push((container, usage)),
            _ => pods.push(PodReading { namespace, name, containers: vec![(container, usage)] }),
        }
    }
    pods
}
