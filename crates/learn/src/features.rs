//! The named features: the thirteen of the contract in its order, then those that say more.
//!
//! [`FEATURES`] is the schema: name, meaning, unit, source and what stands for "not known". [`feature_row`] computes them for
//! a pod on a node from facts known at the moment of the decision and from nothing later. A fact that is not known is NaN in
//! a [`FeatureRow`] and `None` in a [`FeatureVector`], never a number that looks like one.

use std::sync::Arc;

use augur_core::object::{Node, Pod};
use augur_core::state::{ClusterSummary, NodeView};
use augur_core::time::Timestamp;
use augur_history::{Lately, NodeRates, Rates, WorkloadKey};

use crate::lifetime::Lifetimes;

/// Version of the feature schema: the number of features and their order.
pub const SCHEMA: &str = "augur-features/3";

/// How "not known" reaches a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The feature is always known.
    Never,
    /// `null` in JSON and the bin for missing values in a model.
    Null,
}

/// A feature of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Its name in the API and in model files.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Whether and how it can be missing.
    pub missing: Missing,
    /// Whether more of it can only make an outcome more likely to be bad (1), less likely (-1), or either (0).
    pub monotone: i8,
}

/// How many features the contract names; they come first.
pub const NAMED_COUNT: usize = 13;
/// How many features there are.
pub const FEATURE_COUNT: usize = 32;

/// A row of the table of features: name, unit, source, missing, monotone, meaning.
type Row = (&'static str, &'static str, &'static str, Missing, i8, &'static str);

const SPEC: &str = "pod spec";
const NODE: &str = "node object";
const STATE: &str = "cluster state";
const METRICS: &str = "Metrics API";
const HISTORY: &str = "history";

const TABLE: [Row; FEATURE_COUNT] = [
    (
        "pod_cpu_request",
        "cores",
        SPEC,
        Missing::Never,
        0,
        "CPU that the pod requests, init containers and overhead included.",
    ),
    ("pod_memory_request", "MiB", SPEC, Missing::Never, 0, "Memory that the pod requests, likewise."),
    (
        "node_cpu_usage",
        "percent",
        METRICS,
        Missing::Null,
        0,
        "CPU in use on the node as a part of its allocatable CPU; missing without a fresh sample.",
    ),
    (
        "node_memory_usage",
        "percent",
        METRICS,
        Missing::Null,
        0,
        "Memory in use on the node as a part of its allocatable memory; missing without a fresh sample.",
    ),
    ("node_ready", "0 or 1", NODE, Missing::Never, 0, "Whether the node's Ready condition is true."),
    ("node_taint_count", "taints", NODE, Missing::Never, 0, "Taints on the node, of every effect."),
    (
        "stability_score",
        "0..1",
        HISTORY,
        Missing::Null,
        0,
        "(1 - failure rate) x share of time Ready, over seven days; missing until a pod has been seen on the node.",
    ),
    (
        "avg_cpu_usage",
        "percent",
        HISTORY,
        Missing::Null,
        0,
        "Decayed mean of the node's CPU use (half-life 24 h); missing before ten samples.",
    ),
    (
        "avg_memory_usage",
        "percent",
        HISTORY,
        Missing::Null,
        0,
        "Decayed mean of the node's memory use (half-life 24 h); missing before ten samples.",
    ),
    ("cluster_total_nodes", "nodes", STATE, Missing::Never, 0, "Nodes in the cluster."),
    ("cluster_ready_nodes", "nodes", STATE, Missing::Never, 0, "Nodes whose Ready condition is true."),
    (
        "cluster_avg_cpu",
        "percent",
        METRICS,
        Missing::Null,
        0,
        "Mean of node_cpu_usage over the nodes for which it is known.",
    ),
    (
        "cluster_avg_memory",
        "percent",
        METRICS,
        Missing::Null,
        0,
        "Mean of node_memory_usage over the nodes for which it is known.",
    ),
    (
        "node_cpu_requested_after",
        "percent",
        STATE,
        Missing::Null,
        0,
        "CPU that the pods of the node request, this one included, as a part of its allocatable CPU; missing where that is 0.",
    ),
    (
        "node_memory_requested_after",
        "percent",
        STATE,
        Missing::Null,
        0,
        "Memory that the pods of the node request, this one included, as a part of its allocatable memory; missing where \
         that is 0.",
    ),
    ("node_pod_count", "pods", STATE, Missing::Never, 0, "Pods on the node before this one."),
    ("node_cpu_capacity", "cores", NODE, Missing::Never, 0, "Allocatable CPU of the node."),
    ("node_memory_capacity", "GiB", NODE, Missing::Never, 0, "Allocatable memory of the node."),
    (
        "node_peak_cpu_after",
        "percent",
        HISTORY,
        Missing::Null,
        1,
        "Expected peak of the node's CPU use with the pod on it: the node's peak and the peak of the pod's workload (its \
         request while that is not known), as a part of allocatable CPU; missing before ten samples of the node.",
    ),
    ("node_peak_memory_after", "percent", HISTORY, Missing::Null, 1, "The same for memory."),
    (
        "node_bad_rate_recent",
        "0..1",
        HISTORY,
        Missing::Null,
        1,
        "Share of the pods that came to the node lately (half-life 30 minutes) and got into trouble that it is blamed for, \
         shrunk to its rate over a day; missing until a pod has been seen on the node.",
    ),
    (
        "node_bad_rate_day",
        "0..1",
        HISTORY,
        Missing::Null,
        1,
        "The same with a half-life of 12 hours, shrunk to the cluster's rate.",
    ),
    ("node_placements_day", "pods", HISTORY, Missing::Null, 0, "Pods that the rate over a day rests on, decayed."),
    (
        "workload_bad_rate",
        "0..1",
        HISTORY,
        Missing::Null,
        1,
        "Share of the pods of the pod's workload that got into trouble over seven days, shrunk to the namespace's and the \
         cluster's rate; missing until any pod has been seen.",
    ),
    (
        "workload_placements",
        "pods",
        HISTORY,
        Missing::Never,
        0,
        "Pods of the workload that history has seen; 0 for a new one.",
    ),
    (
        "image_present",
        "0..1",
        NODE,
        Missing::Null,
        -1,
        "Share of the pod's images that the node has; missing when the pod names none or the node tells none.",
    ),
    (
        "workload_replicas_on_node",
        "pods",
        STATE,
        Missing::Never,
        0,
        "Pods of the same workload on the node before this one.",
    ),
    ("node_starts_5m", "pods", STATE, Missing::Never, 0, "Pods that the node took on within the last five minutes."),
    (
        "pod_lifetime",
        "minutes",
        HISTORY,
        Missing::Null,
        0,
        "Expected lifetime of the pod by the survival curve of its workload, or of what it backs off to; missing until any \
         lifetime has been seen.",
    ),
    (
        "node_troubled_workloads",
        "workloads",
        HISTORY,
        Missing::Null,
        1,
        "Workloads in trouble on the node within minutes (half-life 8 minutes), each counted once at most and the first by \
         half; missing for a node that history does not know.",
    ),
    (
        "node_spell_rate",
        "1/hour",
        HISTORY,
        Missing::Null,
        1,
        "How often several workloads are expected to get into trouble on the node at once, by its record of a week since it last \
         seems to have changed; missing likewise.",
    ),
    (
        "node_quiet_minutes",
        "minutes",
        HISTORY,
        Missing::Null,
        0,
        "Time since several workloads were in trouble on the node at once; missing if they never were.",
    ),
];

/// The schema, in the order of every feature row.
pub const FEATURES: [Feature; FEATURE_COUNT] = {
    let nothing = Feature { name: "", meaning: "", unit: "", source: "", missing: Missing::Never, monotone: 0 };
    let mut features = [nothing; FEATURE_COUNT];
    let mut i = 0;
    while i < FEATURE_COUNT {
        let (name, unit, source, missing, monotone, meaning) = TABLE[i];
        features[i] = Feature { name, meaning, unit, source, missing, monotone };
        i += 1;
    }
    features
};

/// The names alone, in order.
pub const FEATURE_NAMES: [&str; FEATURE_COUNT] = {
    let mut names = [""; FEATURE_COUNT];
    let mut i = 0;
    while i < FEATURE_COUNT {
        names[i] = FEATURES[i].name;
        i += 1;
    }
    names
};

/// The values of [`FEATURES`], in their order; `None` is "not known".
pub type FeatureVector = [Option<f64>; FEATURE_COUNT];

/// The values of [`FEATURES`] as a model reads them; NaN is "not known".
pub type FeatureRow = [f32; FEATURE_COUNT];

/// A row of what was recorded; `None` if it is not of this schema.
pub fn row_of(values: &[Option<f64>]) -> Option<FeatureRow> {
    let values: &[Option<f64>; FEATURE_COUNT] = values.try_into().ok()?;
    Some(values.map(|value| value.map_or(f32::NAN, |value| value as f32)))
}

/// What a decision knows of the pod.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodFacts {
    /// CPU that it requests, in cores.
    pub cpu_request: f64,
    /// Memory that it requests, in MiB.
    pub memory_request: f64,
    /// The rate at which its workload, or what it backs off to, gets into trouble.
    pub bad_rate: Option<f64>,
    /// Pods of its workload that history has seen.
    pub placements: u64,
    /// Its expected lifetime in minutes.
    pub lifetime: Option<f64>,
}

impl PodFacts {
    /// Of a pod that is to be placed, with what history says of its workload.
    pub fn of(pod: &Pod, rates: &Rates, lifetime: Option<f64>) -> Self {
        let granted = &pod.requests().granted;
        let key = workload_key(pod);
        Self {
            cpu_request: granted.cpu.get() as f64 / 1000.0,
            memory_request: granted.memory.get() as f64 / MIB,
            bad_rate: rates.of_pod(&key, "").and_then(|known| known.rates.failure).map(|rate| rate.value),
            placements: rates.workloads.get(&key).map_or(0, |workload| workload.n),
            lifetime,
        }
    }
}

/// What a decision knows of a node, whatever the pod.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeFacts {
    /// CPU in use, in percent of allocatable; `None` without a fresh sample.
    pub cpu_usage: Option<f64>,
    /// Memory in use, in percent of allocatable; `None` without a fresh sample.
    pub memory_usage: Option<f64>,
    /// Whether it is Ready.
    pub ready: bool,
    /// How many taints it has.
    pub taints: usize,
    /// Allocatable CPU in cores.
    pub cpu_capacity: f64,
    /// Allocatable memory in MiB.
    pub memory_capacity: f64,
    /// CPU that its pods request, in cores.
    pub cpu_requested: f64,
    /// Memory that its pods request, in MiB.
    pub memory_requested: f64,
    /// Pods on it.
    pub pods: usize,
    /// Pods that it took on within the last five minutes.
    pub starts_5m: usize,
    /// What history says of it.
    pub past: NodePast,
}

/// What history says of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NodePast {
    /// See the feature of this name.
    pub stability_score: Option<f64>,
    /// Decayed mean of CPU use in percent.
    pub mean_cpu: Option<f64>,
    /// Decayed mean of memory use in percent.
    pub mean_memory: Option<f64>,
    /// Expected peak of CPU use in percent.
    pub peak_cpu: Option<f64>,
    /// Expected peak of memory use in percent.
    pub peak_memory: Option<f64>,
    /// Share of recent pods that got into trouble.
    pub bad_rate_recent: Option<f64>,
    /// The same over a day.
    pub bad_rate_day: Option<f64>,
    /// What that rests on.
    pub placements_day: Option<f64>,
    /// See the features of these names.
    pub troubled: Option<f64>,
    /// Spells of trouble an hour.
    pub spell_rate: Option<f64>,
    /// Minutes since the last.
    pub quiet_minutes: Option<f64>,
}

impl NodePast {
    /// From history, where a pod of the cluster gets into trouble with probability `cluster`.
    pub fn of(rates: &NodeRates, cluster: f64) -> Self {
        let day = (rates.pods > 0).then(|| shrunk(rates.day, cluster, DAY_PRIOR));
        Self {
            stability_score: rates.stability_score,
            mean_cpu: percent(rates.mean_cpu),
            mean_memory: percent(rates.mean_memory),
            peak_cpu: percent(rates.peak_cpu),
            peak_memory: percent(rates.peak_memory),
            bad_rate_recent: day.map(|day| shrunk(rates.hour, day, HOUR_PRIOR)),
            bad_rate_day: day,
            placements_day: day.map(|_| rates.day.pods),
            troubled: Some(rates.ails.troubled),
            spell_rate: rates.ails.spell_rate,
            quiet_minutes: rates.ails.quiet_minutes,
        }
    }
}

/// Pods that the cluster's rate counts as in a node's rate over a day.
const DAY_PRIOR: f64 = 10.0;
/// Pods that a node's rate over a day counts as in its recent rate.
const HOUR_PRIOR: f64 = 5.0;

fn shrunk(lately: Lately, prior: f64, weight: f64) -> f64 {
    ((lately.trouble.min(lately.pods) + weight * prior) / (lately.pods + weight)).clamp(0.0, 1.0)
}

const MIB: f64 = 1_048_576.0;
/// What counts as a start that is not long ago.
const RECENT_START: std::time::Duration = std::time::Duration::from_secs(300);

impl NodeFacts {
    /// Of a node in the cluster state, and what history says of it. A pod of the given uid is left out, so that the facts are
    /// those from before it was placed.
    pub fn of(node: NodeView<'_>, rates: &Rates, now: Timestamp, without: Option<&Pod>) -> Self {
        let signals = node.signals();
        let used = node.used();
        let present = without.filter(|pod| node.pods().iter().any(|there| there.uid == pod.uid));
        let (cpu, memory) = present.map_or((0, 0), |pod| {
            let granted = &pod.requests().granted;
            (granted.cpu.get(), granted.memory.get())
        });
        let recent = |pod: &Pod| pod.started.is_some_and(|at| now.since(at) <= RECENT_START && at <= now);
        Self {
            cpu_usage: percent(signals.and_then(|s| s.cpu_usage)),
            memory_usage: percent(signals.and_then(|s| s.memory_usage)),
            ready: signals.and_then(|s| s.ready).unwrap_or(node.node().ready),
            taints: node.node().taints.len(),
            cpu_capacity: used.allocatable_cpu.get() as f64 / 1000.0,
            memory_capacity: used.allocatable_memory.get() as f64 / MIB,
            cpu_requested: (used.requested_cpu.get() - cpu) as f64 / 1000.0,
            memory_requested: (used.requested_memory.get() - memory) as f64 / MIB,
            pods: node.pods().len() - usize::from(present.is_some()),
            starts_5m: node.pods().iter().filter(|pod| recent(pod)).count(),
            past: past_of(node.name(), rates),
        }
    }
}

/// What history says of the node of this name.
pub fn past_of(node: &str, rates: &Rates) -> NodePast {
    let cluster = rates.cluster.failure.map_or(0.0, |rate| rate.value);
    rates.nodes.get(node).map(|known| NodePast::of(known, cluster)).unwrap_or_default()
}

/// What a decision knows of a pod and a node together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PairFacts {
    /// Share of the pod's images that the node has.
    pub image_present: Option<f64>,
    /// Pods of the same workload on the node.
    pub replicas: usize,
}

impl PairFacts {
    /// Of a pod and a node of the cluster state; the pod itself is left out.
    pub fn of(pod: &Pod, node: NodeView<'_>) -> Self {
        let alike = |other: &Pod| {
            other.workload.is_some()
                && other.workload == pod.workload
                && other.namespace == pod.namespace
                && other.uid != pod.uid
        };
        Self {
            image_present: image_share(pod, node.node()),
            replicas: if pod.workload.is_some() { node.pods().iter().filter(|other| alike(other)).count() } else { 0 },
        }
    }
}

fn image_share(pod: &Pod, node: &Node) -> Option<f64> {
    let images = &pod.spec.images;
    if images.is_empty() || node.images.is_empty() {
        return None;
    }
    let there = |wanted: &str| node.images.iter().any(|image| image.names.iter().any(|name| **name == *wanted));
    Some(images.iter().filter(|image| there(image)).count() as f64 / images.len() as f64)
}

/// What a decision knows of the cluster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusterFacts {
    /// Nodes.
    pub total_nodes: usize,
    /// Nodes that are Ready.
    pub ready_nodes: usize,
    /// Mean CPU use in percent, of the nodes for which it is known.
    pub avg_cpu_usage: Option<f64>,
    /// Mean memory use in percent, of the nodes for which it is known.
    pub avg_memory_usage: Option<f64>,
}

impl From<ClusterSummary> for ClusterFacts {
    fn from(summary: ClusterSummary) -> Self {
        Self {
            total_nodes: summary.total_nodes,
            ready_nodes: summary.ready_nodes,
            avg_cpu_usage: percent(summary.average_cpu_usage),
            avg_memory_usage: percent(summary.average_memory_usage),
        }
    }
}

fn percent(share: Option<f64>) -> Option<f64> {
    share.map(|share| share * 100.0)
}

/// The features of a pod on a node.
pub fn feature_vector(pod: &PodFacts, node: &NodeFacts, pair: &PairFacts, cluster: &ClusterFacts) -> FeatureVector {
    let mut row = [None; FEATURE_COUNT];
    decision_part(pod, cluster, &mut row);
    node_part(node, &mut row);
    pair_part(pod, node, pair, &mut row);
    row
}

/// Fills in what is the same for every node.
pub(crate) fn decision_part(pod: &PodFacts, cluster: &ClusterFacts, row: &mut FeatureVector) {
    row[0] = Some(pod.cpu_request);
    row[1] = Some(pod.memory_request);
    row[9] = Some(cluster.total_nodes as f64);
    row[10] = Some(cluster.ready_nodes as f64);
    row[11] = cluster.avg_cpu_usage;
    row[12] = cluster.avg_memory_usage;
    row[23] = pod.bad_rate;
    row[24] = Some(pod.placements as f64);
    row[28] = pod.lifetime;
}

/// Fills in what depends on the node alone.
pub(crate) fn node_part(node: &NodeFacts, row: &mut FeatureVector) {
    row[2] = node.cpu_usage;
    row[3] = node.memory_usage;
    row[4] = Some(f64::from(u8::from(node.ready)));
    row[5] = Some(node.taints as f64);
    row[6] = node.past.stability_score;
    row[7] = node.past.mean_cpu;
    row[8] = node.past.mean_memory;
    row[15] = Some(node.pods as f64);
    row[16] = Some(node.cpu_capacity);
    row[17] = Some(node.memory_capacity / 1024.0);
    row[20] = node.past.bad_rate_recent;
    row[21] = node.past.bad_rate_day;
    row[22] = node.past.placements_day;
    row[27] = Some(node.starts_5m as f64);
    row[29] = node.past.troubled;
    row[30] = node.past.spell_rate;
    row[31] = node.past.quiet_minutes;
}

/// Fills in what needs both.
pub(crate) fn pair_part(pod: &PodFacts, node: &NodeFacts, pair: &PairFacts, row: &mut FeatureVector) {
    let part = |amount: f64, of: f64| (of > 0.0).then(|| 100.0 * amount / of);
    row[13] = part(node.cpu_requested + pod.cpu_request, node.cpu_capacity);
    row[14] = part(node.memory_requested + pod.memory_request, node.memory_capacity);
    let after = |peak: Option<f64>, added: Option<f64>| Some(peak? + added?);
    row[18] = after(node.past.peak_cpu, part(pod.cpu_request, node.cpu_capacity));
    row[19] = after(node.past.peak_memory, part(pod.memory_request, node.memory_capacity));
    row[25] = pair.image_present;
    row[26] = Some(pair.replicas as f64);
}

/// What is known of the past at one moment.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Rates of nodes and workloads.
    pub rates: Arc<Rates>,
    /// How long pods live.
    pub lifetimes: Arc<Lifetimes>,
}

impl Past {
    /// The expected lifetime of a pod in minutes.
    pub fn lifetime(&self, pod: &Pod) -> Option<f64> {
        self.lifetimes.expected_minutes(&workload_key(pod), 0.0).map(|(minutes, _)| minutes)
    }
}

/// The workload that history knows the pod under.
pub fn workload_key(pod: &Pod) -> WorkloadKey {
    let (kind, name) = match &pod.workload {
        Some(workload) => (workload.kind.clone(), workload.name.clone()),
        None => ("Pod".into(), pod.name.clone()),
    };
    WorkloadKey { namespace: pod.namespace.clone(), kind, name }
}

/// The features of a pod on a node of the cluster state as they were before the pod was placed; without a node, those of pod
/// and cluster.
pub fn features_of(
    pod: &Pod,
    node: Option<NodeView<'_>>,
    cluster: ClusterSummary,
    past: &Past,
    now: Timestamp,
) -> FeatureVector {
    let rates = &past.rates;
    let pod_facts = PodFacts::of(pod, rates, past.lifetime(pod));
    let mut row = [None; FEATURE_COUNT];
    decision_part(&pod_facts, &cluster.into(), &mut row);
    if let Some(view) = node {
        let facts = NodeFacts::of(view, rates, now, Some(pod));
        node_part(&facts, &mut row);
        pair_part(&pod_facts, &facts, &PairFacts::of(pod, view), &mut row);
    }
    row
}

#[cfg(test)]
mod tests {
    use augur_core::object::{Effect, PodRequests, PodSpec, Resources, Taint, WorkloadRef};
    use augur_core::state::{ClusterState, NodeSignals};
    use augur_core::units::{Bytes, MilliCpu};

    use super::*;

    const CLUSTER: ClusterFacts =
        ClusterFacts { total_nodes: 3, ready_nodes: 2, avg_cpu_usage: Some(40.0), avg_memory_usage: None };
    const NODE: NodeFacts = NodeFacts {
        cpu_usage: None,
        memory_usage: None,
        ready: true,
        taints: 2,
        cpu_capacity: 4.0,
        memory_capacity: 2048.0,
        cpu_requested: 1.0,
        memory_requested: 512.0,
        pods: 3,
        starts_5m: 1,
        past: NodePast {
            stability_score: None,
            mean_cpu: None,
            mean_memory: None,
            peak_cpu: None,
            peak_memory: None,
            bad_rate_recent: None,
            bad_rate_day: None,
            placements_day: None,
            troubled: None,
            spell_rate: None,
            quiet_minutes: None,
        },
    };
    const POD: PodFacts =
        PodFacts { cpu_request: 1.0, memory_request: 512.0, bad_rate: None, placements: 0, lifetime: None };

    /// Where the features that depend on the node alone stand, as against those of pod, cluster and pair.
    const OF_THE_NODE: [usize; 17] = [2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 20, 21, 22, 27, 29, 30, 31];
    /// Where the features of pod and cluster stand: the same for every node of a decision.
    const OF_THE_DECISION: [usize; 9] = [0, 1, 9, 10, 11, 12, 23, 24, 28];
    /// Where those that need pod and node stand.
    const OF_THE_PAIR: [usize; 6] = [13, 14, 18, 19, 25, 26];

    fn at(row: &FeatureVector, name: &str) -> Option<f64> {
        row[FEATURE_NAMES.iter().position(|known| *known == name).unwrap()]
    }

    #[test]
    fn the_first_thirteen_are_the_contract_in_its_order() {
        let contract = "pod_cpu_request, pod_memory_request, node_cpu_usage, node_memory_usage, node_ready, \
                        node_taint_count, stability_score, avg_cpu_usage, avg_memory_usage, cluster_total_nodes, \
                        cluster_ready_nodes, cluster_avg_cpu, cluster_avg_memory";
        assert_eq!(FEATURE_NAMES[..NAMED_COUNT].join(", "), contract);
    }

    #[test]
    fn every_feature_stands_in_one_part_and_is_described() {
        let mut all: Vec<usize> = [&OF_THE_NODE[..], &OF_THE_DECISION, &OF_THE_PAIR].concat();
        all.sort_unstable();
        assert_eq!(all, (0..FEATURE_COUNT).collect::<Vec<_>>());
        let mut names = FEATURE_NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FEATURE_COUNT);
        assert!(FEATURES.iter().all(|f| f.meaning.ends_with('.') && !f.unit.is_empty() && !f.source.is_empty()));
    }

    #[test]
    fn facts_are_read_off_the_cluster_state() {
        let mut state = ClusterState::new();
        let taint = Taint { key: "dedicated".into(), value: "db".into(), effect: Effect::NoSchedule };
        let allocatable = Resources { cpu: MilliCpu(2000), memory: Bytes(1 << 30), ..Resources::default() };
        for (name, taints) in [("n1", vec![taint]), ("n2", Vec::new())] {
            let node = Node { name: name.into(), ready: true, taints, ..Node::default() };
            state.apply_node(Node { allocatable: allocatable.clone(), ..node });
        }
        let signals = NodeSignals { cpu_usage: Some(0.5), ready: Some(false), ..NodeSignals::at(Timestamp::EPOCH) };
        assert!(state.set_signals("n1", Some(signals)));
        let granted = Resources { cpu: MilliCpu(250), memory: Bytes(64 << 20), ..Resources::default() };
        let spec = PodSpec { requests: PodRequests { granted, ..PodRequests::default() }, ..PodSpec::default() };
        let workload = Some(WorkloadRef { kind: "Deployment".into(), name: "web".into() });
        let mut pod = Pod::new("u", "default", "a", spec.into());
        pod.workload = workload;
        let other = Pod { uid: "v".into(), started: Some(Timestamp::from_secs(10)), ..pod.clone() };
        state.place(other.into(), &"n1".into());
        let rates = Past::default();
        let now = Timestamp::from_secs(60);
        let of = |state: &ClusterState, name| features_of(&pod, state.node(name), state.summary(), &rates, now);
        let before = [of(&state, "n1"), of(&state, "n2")];
        let named = [Some(0.25), Some(64.0), Some(50.0), None, Some(0.0), Some(1.0), None, None, None];
        assert_eq!(before[0][..9], named);
        assert_eq!(before[0][9..NAMED_COUNT], [Some(2.0), Some(1.0), Some(50.0), None]);
        let values = |row: &FeatureVector| {
            let names = ["node_cpu_requested_after", "node_memory_requested_after", "node_pod_count", "node_starts_5m"];
            let replicas = at(row, "workload_replicas_on_node");
            [names.map(|name| at(row, name)).to_vec(), vec![replicas]].concat()
        };
        assert_eq!(values(&before[0]), [Some(25.0), Some(12.5), Some(1.0), Some(1.0), Some(1.0)]);
        assert_eq!(values(&before[1]), [Some(12.5), Some(6.25), Some(0.0), Some(0.0), Some(0.0)]);
        state.place(pod.clone().into(), &"n1".into());
        assert_eq!(of(&state, "n1"), before[0], "what came of the decision is not part of what it was taken on");
        let without_node = features_of(&pod, None, state.summary(), &rates, now);
        assert!(OF_THE_NODE.iter().chain(&OF_THE_PAIR).all(|index| without_node[*index].is_none()));
    }

    #[test]
    fn what_is_not_known_is_missing_exactly_where_the_schema_allows_it() {
        let cluster = ClusterFacts { avg_cpu_usage: None, ..CLUSTER };
        let nowhere = NodeFacts { cpu_capacity: 0.0, memory_capacity: 0.0, ..NODE };
        let row = feature_vector(&POD, &nowhere, &PairFacts::default(), &cluster);
        for (value, feature) in row.iter().zip(FEATURES) {
            assert_eq!(value.is_none(), feature.missing == Missing::Null, "{}", feature.name);
        }
        let row = row_of(&row).unwrap();
        assert!(row.iter().zip(FEATURES).all(|(value, f)| value.is_nan() == (f.missing == Missing::Null)));
        assert_eq!(row_of(&[None; NAMED_COUNT]), None);
    }

    #[test]
    fn history_counts_in_fractions_and_features_in_percent() {
        let past = NodePast {
            stability_score: Some(0.9),
            mean_cpu: Some(25.0),
            mean_memory: Some(50.0),
            peak_cpu: Some(30.0),
            peak_memory: Some(60.0),
            ..NodePast::default()
        };
        let node = NodeFacts { cpu_usage: Some(30.0), memory_usage: Some(60.0), ready: false, taints: 0, past, ..NODE };
        let values = feature_vector(&POD, &node, &PairFacts::default(), &CLUSTER);
        let expected = [1.0, 512.0, 30.0, 60.0, 0.0, 0.0, 0.9, 25.0, 50.0, 3.0, 2.0, 40.0];
        assert_eq!(values[..12], expected.map(Some));
        assert_eq!(values[12], None);
        assert_eq!(at(&values, "node_peak_cpu_after"), Some(55.0), "a core of four on top of 30 %");
        assert_eq!(at(&values, "node_peak_memory_after"), Some(85.0));
    }
}
