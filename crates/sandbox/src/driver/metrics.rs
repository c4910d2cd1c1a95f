//! `metrics.k8s.io` from the simulation: measured like metrics-server does, every fifteen seconds, and as wrong as the
//! scenario wants it. Entry point: [`MetricsFeed`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use augur_apiserver::{MetricsSource, NodeMetrics, PodMetrics, Usage as ApiUsage};
use augur_clock::Clock;

use super::cadvisor::Counters;
use super::render::stamp;
use super::{lock, millis};
use crate::scenario::{FaultKind, MetricsFault, Scenario};
use crate::sim::{Millis, Sim, Usage};

/// Time between two measurements, and the window that each covers.
const RESOLUTION: Millis = 15_000;

/// A span in which the metrics of a node are wrong.
#[derive(Debug)]
struct Distortion {
    node: Arc<str>,
    from: Millis,
    until: Millis,
    kind: MetricsFault,
}

/// What was measured last.
#[derive(Debug, Default)]
struct Snapshot {
    at: Option<Millis>,
    nodes: HashMap<Arc<str>, NodeMetrics>,
    /// By node.
    pods: HashMap<Arc<str>, Vec<PodMetrics>>,
}

/// Usage of nodes and pods as the metrics API shows it.
pub(super) struct MetricsFeed {
    sim: Arc<Mutex<Sim>>,
    clock: Clock,
    distortions: Vec<Distortion>,
    snapshot: Mutex<Snapshot>,
    counters: Mutex<HashMap<Arc<str>, Counters>>,
}

impl MetricsFeed {
    pub(super) fn new(sim: Arc<Mutex<Sim>>, clock: Clock, scenario: &Scenario, start: Millis) -> Self {
        let distortions = scenario.faults.iter().filter_map(|fault| match fault.kind {
            FaultKind::Physical(_) => None,
            FaultKind::Metrics(kind) => {
                let from = start + fault.at;
                let until = fault.lasts.map_or(Millis::MAX, |lasts| from + lasts);
                Some(Distortion { node: fault.node.clone(), from, until, kind })
            }
        });
        MetricsFeed {
            sim,
            clock,
            distortions: distortions.collect(),
            snapshot: Mutex::default(),
            counters: Mutex::default(),
        }
    }

    fn distortion(&self, node: &str, at: Millis) -> Option<MetricsFault> {
        let hit = |d: &&Distortion| *d.node == *node && d.from <= at && at < d.until;
        self.distortions.iter().find(hit).map(|d| d.kind)
    }

    /// Measures, unless that was done a moment ago.
    fn refresh(&self, snapshot: &mut Snapshot) {
        let now = millis(self.clock.now());
        if snapshot.at.is_some_and(|at| now - at < RESOLUTION) {
            return;
        }
        let sim = lock(&self.sim);
        let nodes = sim.node_usage(now);
        let pods = sim.pod_usage(now);
        drop(sim);
        let before = std::mem::take(snapshot);
        snapshot.at = Some(now);
        let window = Duration::from_millis(RESOLUTION as u64);
        let timestamp = stamp(now);
        let mut factors: HashMap<Arc<str>, f64> = HashMap::with_capacity(nodes.len());
        for (name, usage) in nodes {
            let factor = match self.distortion(&name, now) {
                Some(MetricsFault::Absent) => continue,
                Some(MetricsFault::Stale) if before.nodes.contains_key(&name) => {
                    let old = (before.nodes.get(&name).cloned(), before.pods.get(&name).cloned());
                    snapshot.nodes.extend(old.0.map(|metrics| (name.clone(), metrics)));
                    snapshot.pods.extend(old.1.map(|metrics| (name.clone(), metrics)));
                    continue;
                }
                Some(MetricsFault::Lying) => 10.0,
                Some(MetricsFault::Stale) | None => 1.0,
            };
            factors.insert(name.clone(), factor);
            let usage = shown(usage, factor);
            let metrics = NodeMetrics { name: name.to_string(), timestamp, window, usage };
            snapshot.nodes.insert(name, metrics);
        }
        for pod in pods {
            let Some(factor) = factors.get(&pod.node) else { continue };
            let containers = pod.containers.iter().map(|(name, usage)| (name.to_string(), shown(*usage, *factor)));
            snapshot.pods.entry(pod.node.clone()).or_default().push(PodMetrics {
                namespace: pod.namespace.to_string(),
                name: pod.name.to_string(),
                timestamp,
                window,
                containers: containers.collect(),
            });
        }
    }
}

fn shown(usage: Usage, factor: f64) -> ApiUsage {
    ApiUsage {
        cpu_nanocores: (usage.cpu_milli * factor * 1e6).max(0.0) as u64,
        memory_bytes: (usage.memory as f64 * factor).max(0.0) as u64,
    }
}

impl MetricsSource for MetricsFeed {
    fn nodes(&self) -> Vec<NodeMetrics> {
        let mut snapshot = lock(&self.snapshot);
        self.refresh(&mut snapshot);
        snapshot.nodes.values().cloned().collect()
    }

    fn cadvisor(&self, node: &str) -> Option<String> {
        let now = millis(self.clock.now());
        let mut counters = lock(&self.counters);
        let factor = match self.distortion(node, now) {
            Some(MetricsFault::Absent) => return None,
            Some(MetricsFault::Stale) => return counters.get(node).map(Counters::page),
            Some(MetricsFault::Lying) => 10.0,
            None => 1.0,
        };
        let (spec, used, cgroups) = lock(&self.sim).cgroups(node, now)?;
        let counters = counters.entry(spec.name.clone()).or_default();
        counters.count(&spec, used, cgroups, factor, now);
        Some(counters.page())
    }

    fn pods(&self, namespace: &str) -> Vec<PodMetrics> {
        let mut snapshot = lock(&self.snapshot);
        self.refresh(&mut snapshot);
        let wanted = |pod: &&PodMetrics| namespace.is_empty() || pod.namespace == namespace;
        snapshot.pods.values().flatten().filter(wanted).cloned().collect()
    }
}
