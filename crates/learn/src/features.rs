//! The thirteen named features, in the order of the contract.
//!
//! [`FEATURES`] is the schema: name, meaning, unit and what stands for "not known". [`feature_vector`] computes them for a
//! pod on a node from facts known at the moment of the decision and from nothing later. A fact that is not known is `None`,
//! never a number that looks like one.

use augur_core::object::Pod;
use augur_core::state::{ClusterSummary, NodeView};
use augur_history::NodeRates;

/// Version of the feature schema: the number of features and their order.
pub const SCHEMA: &str = "augur-features/1";

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
    /// Whether and how it can be missing.
    pub missing: Missing,
}

/// How many features there are.
pub const FEATURE_COUNT: usize = 13;

const fn feature(name: &'static str, unit: &'static str, missing: Missing, meaning: &'static str) -> Feature {
    Feature { name, meaning, unit, missing }
}

/// The schema, in the order of every feature vector.
pub const FEATURES: [Feature; FEATURE_COUNT] = [
    feature(
        "pod_cpu_request",
        "cores",
        Missing::Never,
        "CPU that the pod requests, init containers and overhead included.",
    ),
    feature("pod_memory_request", "MiB", Missing::Never, "Memory that the pod requests, likewise."),
    feature("node_cpu_usage", "percent", Missing::Null, "CPU in use on the node as a part of its allocatable CPU."),
    feature(
        "node_memory_usage",
        "percent",
        Missing::Null,
        "Memory in use on the node as a part of its allocatable memory.",
    ),
    feature("node_ready", "0 or 1", Missing::Never, "Whether the node's Ready condition is true."),
    feature("node_taint_count", "taints", Missing::Never, "Taints on the node, of every effect."),
    feature(
        "stability_score",
        "0..1",
        Missing::Null,
        "(1 - failure rate) x share of time Ready, over seven days; missing until a pod has been seen on the node.",
    ),
    feature(
        "avg_cpu_usage",
        "percent",
        Missing::Null,
        "Decayed mean of the node's CPU use (half-life 24 h); missing before ten samples.",
    ),
    feature(
        "avg_memory_usage",
        "percent",
        Missing::Null,
        "Decayed mean of the node's memory use (half-life 24 h); missing before ten samples.",
    ),
    feature("cluster_total_nodes", "nodes", Missing::Never, "Nodes in the cluster."),
    feature("cluster_ready_nodes", "nodes", Missing::Never, "Nodes whose Ready condition is true."),
    feature(
        "cluster_avg_cpu",
        "percent",
        Missing::Null,
        "Mean of node_cpu_usage over the nodes for which it is known.",
    ),
    feature(
        "cluster_avg_memory",
        "percent",
        Missing::Null,
        "Mean of node_memory_usage over the nodes for which it is known.",
    ),
];

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

/// What a decision knows of the pod.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodFacts {
    /// CPU that it requests, in cores.
    pub cpu_request: f64,
    /// Memory that it requests, in MiB.
    pub memory_request: f64,
}

impl PodFacts {
    /// Of a pod that is to be placed.
    pub fn of(pod: &Pod) -> Self {
        let granted = &pod.requests().granted;
        Self {
            cpu_request: granted.cpu.get() as f64 / 1000.0,
            memory_request: granted.memory.get() as f64 / 1_048_576.0,
        }
    }
}

/// What a decision knows of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeFacts<'a> {
    /// CPU in use, in percent of allocatable; `None` without a fresh sample.
    pub cpu_usage: Option<f64>,
    /// Memory in use, in percent of allocatable; `None` without a fresh sample.
    pub memory_usage: Option<f64>,
    /// Whether it is Ready.
    pub ready: bool,
    /// How many taints it has.
    pub taints: usize,
    /// What history says of it.
    pub rates: Option<&'a NodeRates>,
}

impl<'a> NodeFacts<'a> {
    /// Of a node in the cluster state, and what history says of it.
    pub fn of(node: NodeView<'_>, rates: Option<&'a NodeRates>) -> Self {
        let signals = node.signals();
        Self {
            cpu_usage: percent(signals.and_then(|s| s.cpu_usage)),
            memory_usage: percent(signals.and_then(|s| s.memory_usage)),
            ready: signals.and_then(|s| s.ready).unwrap_or(node.node().ready),
            taints: node.node().taints.len(),
            rates,
        }
    }
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
pub fn feature_vector(pod: PodFacts, node: &NodeFacts<'_>, cluster: &ClusterFacts) -> FeatureVector {
    [
        Some(pod.cpu_request),
        Some(pod.memory_request),
        node.cpu_usage,
        node.memory_usage,
        Some(f64::from(u8::from(node.ready))),
        Some(node.taints as f64),
        node.rates.and_then(|r| r.stability_score),
        percent(node.rates.and_then(|r| r.mean_cpu)),
        percent(node.rates.and_then(|r| r.mean_memory)),
        Some(cluster.total_nodes as f64),
        Some(cluster.ready_nodes as f64),
        cluster.avg_cpu_usage,
        cluster.avg_memory_usage,
    ]
}

#[cfg(test)]
mod tests {
    use augur_core::object::{Effect, Node, PodRequests, PodSpec, Resources, Taint};
    use augur_core::state::{ClusterState, NodeSignals};
    use augur_core::time::Timestamp;
    use augur_core::units::{Bytes, MilliCpu};

    use super::*;

    const CLUSTER: ClusterFacts =
        ClusterFacts { total_nodes: 3, ready_nodes: 2, avg_cpu_usage: Some(40.0), avg_memory_usage: None };

    #[test]
    fn names_and_order_are_the_contract() {
        let contract = "pod_cpu_request, pod_memory_request, node_cpu_usage, node_memory_usage, node_ready, \
                        node_taint_count, stability_score, avg_cpu_usage, avg_memory_usage, cluster_total_nodes, \
                        cluster_ready_nodes, cluster_avg_cpu, cluster_avg_memory";
        assert_eq!(FEATURE_NAMES.join(", "), contract);
    }

    #[test]
    fn facts_are_read_off_the_cluster_state() {
        let mut state = ClusterState::new();
        let taint = Taint { key: "dedicated".into(), value: "db".into(), effect: Effect::NoSchedule };
        for (name, taints) in [("n1", vec![taint]), ("n2", Vec::new())] {
            state.apply_node(Node { name: name.into(), ready: true, taints, ..Node::default() });
        }
        let signals = NodeSignals { cpu_usage: Some(0.5), ready: Some(false), ..NodeSignals::at(Timestamp::EPOCH) };
        assert!(state.set_signals("n1", Some(signals)));
        let granted = Resources { cpu: MilliCpu(250), memory: Bytes(64 << 20), ..Resources::default() };
        let spec = PodSpec { requests: PodRequests { granted, ..PodRequests::default() }, ..PodSpec::default() };
        let pod = Pod::new("u", "default", "a", spec.into());
        let of = |name| {
            let facts = NodeFacts::of(state.node(name).unwrap(), None);
            feature_vector(PodFacts::of(&pod), &facts, &state.summary().into())
        };
        let cluster = [Some(2.0), Some(1.0), Some(50.0), None];
        let known = |pod_and_node: [Option<f64>; 6]| [&pod_and_node[..], &[None; 3], &cluster].concat();
        assert_eq!(of("n1")[..], known([Some(0.25), Some(64.0), Some(50.0), None, Some(0.0), Some(1.0)]));
        assert_eq!(of("n2")[..], known([Some(0.25), Some(64.0), None, None, Some(1.0), Some(0.0)]));
    }

    #[test]
    fn what_is_not_known_is_missing_exactly_where_the_schema_allows_it() {
        let pod = PodFacts { cpu_request: 0.5, memory_request: 256.0 };
        let node = NodeFacts { cpu_usage: None, memory_usage: None, ready: true, taints: 2, rates: None };
        let cluster = ClusterFacts { avg_cpu_usage: None, ..CLUSTER };
        for (value, feature) in feature_vector(pod, &node, &cluster).iter().zip(FEATURES) {
            assert_eq!(value.is_none(), feature.missing == Missing::Null, "{}", feature.name);
        }
    }

    #[test]
    fn history_counts_in_fractions_and_features_in_percent() {
        let rates = NodeRates {
            stability_score: Some(0.9),
            pods: 1,
            mean_cpu: Some(0.25),
            mean_memory: Some(0.5),
            ..NodeRates::default()
        };
        let pod = PodFacts { cpu_request: 1.0, memory_request: 1.0 };
        let node =
            NodeFacts { cpu_usage: Some(30.0), memory_usage: Some(60.0), ready: false, taints: 0, rates: Some(&rates) };
        let values = feature_vector(pod, &node, &CLUSTER);
        let expected = [1.0, 1.0, 30.0, 60.0, 0.0, 0.0, 0.9, 25.0, 50.0, 3.0, 2.0, 40.0];
        assert_eq!(values[..12], expected.map(Some));
        assert_eq!(values[12], None);
    }
}
