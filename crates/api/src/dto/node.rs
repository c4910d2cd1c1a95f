//! Nodes: what the scheduler sees of them now, joined to what history knows.

use std::sync::Arc;

use augur_history::{NodeRates, Rate, Rates};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ClusterSummary, SummaryBuilder, Thresholds, round};
use crate::backend::{Amounts, NodeCondition, NodeView};

const MIB: f64 = 1_048_576.0;

/// `GET /api/v1/metrics`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ClusterMetrics {
    /// By node, sorted by name.
    pub nodes: Vec<NodeMetrics>,
    /// All together.
    pub cluster: ClusterSummary,
}

/// A node in `GET /api/v1/metrics`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NodeMetrics {
    /// Name.
    pub name: String,
    /// CPU in use, in percent of allocatable.
    pub cpu_usage: Option<f64>,
    /// Memory in use, in percent of allocatable.
    pub memory_usage: Option<f64>,
    /// Why usage is `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_reason: Option<&'static str>,
    /// Whether its Ready condition is true.
    pub ready: bool,
    /// Its taints as `key=value:Effect`.
    pub taints: Vec<String>,
    /// CPU that the pods on it request, in cores.
    pub cpu_requested: f64,
    /// Memory that the pods on it request, in MiB.
    pub memory_requested: f64,
    /// Pods on it.
    pub pod_count: u64,
    /// Pods that failed or were evicted there within seven days.
    pub failed_pods: u64,
    /// `(1 - failure_rate) x share of time Ready`, 0..1.
    pub stability_score: Option<f64>,
    /// Probability that a pod placed there gets into trouble.
    pub failure_rate: Option<f64>,
    /// Probability that a pod placed there is restarted.
    pub restart_rate: Option<f64>,
    /// Why the three above are `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates_reason: Option<&'static str>,
    /// Expected peak of CPU use in percent of allocatable.
    pub predicted_peak_cpu: Option<f64>,
    /// Expected peak of memory use in percent of allocatable.
    pub predicted_peak_memory: Option<f64>,
    /// Why a peak is `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_peak_reason: Option<&'static str>,
    /// When the usage was sampled, or else when this was read.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
}

/// `GET /api/v1/nodes`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NodeList {
    /// Sorted by name.
    pub nodes: Vec<NodeDetail>,
}

/// Amounts of resources.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Resources {
    /// CPU in cores.
    pub cpu: f64,
    /// Memory in MiB.
    pub memory: f64,
    /// Number of pods; `null` in a sample of usage.
    pub pods: Option<i64>,
    /// Extended resources, and ephemeral storage in bytes.
    #[schema(value_type = Object)]
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub others: std::collections::BTreeMap<String, i64>,
}

/// A node in `GET /api/v1/nodes`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NodeDetail {
    /// Name.
    pub name: String,
    /// Whether its Ready condition is true.
    pub ready: bool,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Its taints as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Its conditions.
    pub conditions: Vec<NodeCondition>,
    /// What pods can request.
    pub allocatable: Resources,
    /// What the pods on it request.
    pub requested: Resources,
    /// What is in use.
    pub used: Option<Resources>,
    /// Why `used` is `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_reason: Option<&'static str>,
    /// Number of pods on it.
    pub pod_count: u64,
    /// The pods on it as `namespace/name`.
    pub pods: Vec<String>,
    /// What the last seven days showed; `null` until something was seen.
    pub history: Option<NodeHistory>,
}

/// A probability with what it rests on.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct RateView {
    /// The estimate, 0..1.
    pub value: f64,
    /// Lower end of the 90 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Pods seen.
    pub n: u64,
}

impl From<Rate> for RateView {
    fn from(rate: Rate) -> Self {
        Self { value: round(rate.value), low: round(rate.low), high: round(rate.high), n: rate.n }
    }
}

/// Seven days of a node.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NodeHistory {
    /// Probability that a pod placed there gets into trouble; `null` until a pod was seen there.
    pub failure_rate: Option<RateView>,
    /// Probability that a pod placed there is restarted.
    pub restart_rate: Option<RateView>,
    /// Probability that a container of a pod on it is killed for memory.
    pub oom_rate: Option<RateView>,
    /// Probability that the kubelet evicts a pod on it.
    pub eviction_rate: Option<RateView>,
    /// `(1 - failure_rate) x ready_share`.
    pub stability_score: Option<f64>,
    /// Share of the watched time for which the node was Ready.
    pub ready_share: Option<f64>,
    /// Pods seen.
    pub pods: u64,
    /// Of these, failed or evicted.
    pub failed_pods: u64,
    /// Container restarts.
    pub restarts: u64,
    /// OOM kills.
    pub oom_kills: u64,
    /// Evictions.
    pub evictions: u64,
    /// Decayed mean of CPU use in percent of allocatable; `null` before ten samples.
    pub avg_cpu_usage: Option<f64>,
    /// Decayed mean of memory use in percent of allocatable.
    pub avg_memory_usage: Option<f64>,
    /// Expected peak of CPU use in percent of allocatable.
    pub predicted_peak_cpu: Option<f64>,
    /// Expected peak of memory use in percent of allocatable.
    pub predicted_peak_memory: Option<f64>,
}

fn percent(fraction: Option<f64>) -> Option<f64> {
    fraction.map(|f| round(f * 100.0))
}

impl From<&NodeRates> for NodeHistory {
    fn from(r: &NodeRates) -> Self {
        Self {
            failure_rate: r.failure_rate.map(RateView::from),
            restart_rate: r.restart_rate.map(RateView::from),
            oom_rate: r.oom_rate.map(RateView::from),
            eviction_rate: r.eviction_rate.map(RateView::from),
            stability_score: r.stability_score.map(round),
            ready_share: r.ready_share.map(round),
            pods: r.pods,
            failed_pods: r.failed_pods,
            restarts: r.restarts,
            oom_kills: r.oom_kills,
            evictions: r.evictions,
            avg_cpu_usage: percent(r.mean_cpu),
            avg_memory_usage: percent(r.mean_memory),
            predicted_peak_cpu: percent(r.peak_cpu),
            predicted_peak_memory: percent(r.peak_memory),
        }
    }
}

impl Resources {
    fn of(amounts: &Amounts) -> Self {
        Self {
            cpu: amounts.cpu_millis as f64 / 1000.0,
            memory: round(amounts.memory_bytes as f64 / MIB),
            pods: Some(amounts.pods),
            others: amounts.others.iter().map(|(name, amount)| (name.to_string(), *amount)).collect(),
        }
    }
}

impl NodeView {
    /// CPU in use, in percent of allocatable; `None` without a sample or allocatable CPU.
    pub fn cpu_percent(&self) -> Option<f64> {
        ratio(self.used?.cpu_millis, self.allocatable.cpu_millis)
    }

    /// Memory in use, in percent of allocatable; `None` without a sample or allocatable memory.
    pub fn memory_percent(&self) -> Option<f64> {
        ratio(self.used?.memory_bytes, self.allocatable.memory_bytes)
    }
}

fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| round(part as f64 * 100.0 / whole as f64))
}

const NO_SAMPLE: &str = "no fresh usage sample from the Metrics API";
const NO_PODS: &str = "no pod has been seen on this node yet";
const FEW_SAMPLES: &str = "fewer than ten usage samples so far";

/// Sums up the cluster.
pub(crate) fn summary(nodes: &[NodeView], thresholds: Thresholds) -> ClusterSummary {
    let mut summary = SummaryBuilder::new(thresholds);
    for node in nodes {
        summary.add(node.ready, node.cpu_percent(), node.memory_percent());
    }
    summary.build()
}

/// A node among those that use, or are expected to use, most of what they have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HotNode {
    /// Name.
    pub name: Arc<str>,
    /// The larger of its CPU and memory use now, in percent of allocatable.
    pub usage: Option<f64>,
    /// The larger of their expected peaks, in percent of allocatable.
    pub peak: Option<f64>,
}

/// The hottest nodes by what is larger of use and expected peak, at most `limit`; those of which nothing is known are left out.
pub(crate) fn hottest(nodes: &[NodeView], rates: &Rates, limit: usize) -> Vec<HotNode> {
    let larger = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
    let hot = nodes.iter().map(|node| {
        let known = rates.nodes.get(&node.name);
        HotNode {
            name: node.name.clone(),
            usage: larger(node.cpu_percent(), node.memory_percent()),
            peak: larger(percent(known.and_then(|r| r.peak_cpu)), percent(known.and_then(|r| r.peak_memory))),
        }
    });
    let heat = |node: &HotNode| larger(node.usage, node.peak).unwrap_or(f64::NEG_INFINITY);
    let mut hot: Vec<HotNode> = hot.filter(|node| node.usage.or(node.peak).is_some()).collect();
    hot.sort_unstable_by(|a, b| heat(b).total_cmp(&heat(a)).then_with(|| a.name.cmp(&b.name)));
    hot.truncate(limit);
    hot
}

impl ClusterMetrics {
    /// Joins nodes to history.
    pub fn new(mut nodes: Vec<NodeView>, rates: &Rates, thresholds: Thresholds, now: Timestamp) -> Self {
        nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let cluster = summary(&nodes, thresholds);
        let nodes = nodes.into_iter().map(|node| NodeMetrics::new(node, rates, now)).collect();
        Self { nodes, cluster }
    }
}

impl NodeMetrics {
    fn new(node: NodeView, rates: &Rates, now: Timestamp) -> Self {
        let (cpu_usage, memory_usage) = (node.cpu_percent(), node.memory_percent());
        let known = rates.nodes.get(&node.name);
        let stability_score = known.and_then(|r| r.stability_score).map(round);
        let failure_rate = known.and_then(|r| r.failure_rate).map(|r| round(r.value));
        let restart_rate = known.and_then(|r| r.restart_rate).map(|r| round(r.value));
        let predicted_peak_cpu = percent(known.and_then(|r| r.peak_cpu));
        let predicted_peak_memory = percent(known.and_then(|r| r.peak_memory));
        let unless = |known: bool, why| (!known).then_some(why);
        Self {
            cpu_usage,
            memory_usage,
            usage_reason: unless(cpu_usage.is_some() && memory_usage.is_some(), NO_SAMPLE),
            ready: node.ready,
            cpu_requested: node.requested.cpu_millis as f64 / 1000.0,
            memory_requested: round(node.requested.memory_bytes as f64 / MIB),
            pod_count: node.pod_count,
            failed_pods: known.map_or(0, |r| r.failed_pods),
            stability_score,
            failure_rate,
            restart_rate,
            rates_reason: unless(stability_score.is_some() && failure_rate.is_some(), NO_PODS),
            predicted_peak_cpu,
            predicted_peak_memory,
            predicted_peak_reason: unless(predicted_peak_cpu.is_some() && predicted_peak_memory.is_some(), FEW_SAMPLES),
            timestamp: node.used.map_or(now, |used| used.at),
            name: node.name.to_string(),
            taints: node.taints,
        }
    }
}

impl NodeDetail {
    /// Joins a node to history.
    pub fn new(node: NodeView, rates: &Rates) -> Self {
        let used = node.used.map(|used| Resources {
            cpu: used.cpu_millis as f64 / 1000.0,
            memory: round(used.memory_bytes as f64 / MIB),
            pods: None,
            others: std::collections::BTreeMap::new(),
        });
        Self {
            ready: node.ready,
            unschedulable: node.unschedulable,
            allocatable: Resources::of(&node.allocatable),
            requested: Resources::of(&node.requested),
            used_reason: used.is_none().then_some(NO_SAMPLE),
            used,
            pod_count: node.pod_count,
            history: rates.nodes.get(&node.name).map(|known| NodeHistory::from(&**known)),
            name: node.name.to_string(),
            taints: node.taints,
            conditions: node.conditions,
            pods: node.pods,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::NodeUsage;

    #[test]
    fn of_many_nodes_the_hottest_are_told() {
        let node = |n: i64| NodeView {
            name: format!("n{n:02}").into(),
            ready: true,
            unschedulable: false,
            taints: Vec::new(),
            conditions: Vec::new(),
            allocatable: Amounts { cpu_millis: 100, memory_bytes: 100, pods: 10, others: Vec::new() },
            requested: Amounts::default(),
            used: (n > 0).then_some(NodeUsage { cpu_millis: 1, memory_bytes: n, at: Timestamp::UNIX_EPOCH }),
            pod_count: 0,
            pods: Vec::new(),
        };
        let nodes: Vec<NodeView> = (0..40).map(node).collect();
        let hot = hottest(&nodes, &Rates::default(), 20);
        assert_eq!((hot.len(), &*hot[0].name, hot[0].usage, hot[0].peak), (20, "n39", Some(39.0), None));
        assert_eq!(&*hot[19].name, "n20");
        assert_eq!(hottest(&nodes[..1], &Rates::default(), 20), [], "of the first nothing is known");
    }
}
