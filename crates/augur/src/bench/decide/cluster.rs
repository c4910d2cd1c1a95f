//! What is decided about: nodes, pods that are there, and templates of pods that come.

use std::sync::Arc;

use augur_core::object::{
    ContainerResources, Labels, Node, NodeAffinity, NodeSelectorTerm, Pod, PodAffinities, PodAffinityTerm,
    PodResources, PodSpec, PreferredNodeTerm, PreferredPodTerm, Resources, SpreadConstraint, WhenUnsatisfiable,
};
use augur_notation::{LabelSelector, Quantity};

use crate::cli::DecideWorkload;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";
/// What a node has for pods: cores, GiB, pods.
const NODE: (i64, i64, i64) = (64, 256, 250);

/// Pods of one kind that come.
#[derive(Debug, Clone)]
pub struct Template {
    pub spec: Arc<PodSpec>,
    pub labels: Labels,
}

impl Template {
    /// A pod of the template.
    pub fn pod(&self, name: &str) -> Pod {
        Pod { labels: self.labels.clone(), ..Pod::new(name, "default", name, self.spec.clone()) }
    }
}

fn amount(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or(Quantity::ZERO)
}

fn resources(milli_cpu: i64, memory: &str) -> PodSpec {
    let requests = vec![("cpu".into(), Quantity::of_milli(milli_cpu)), ("memory".into(), amount(memory))];
    let container = ContainerResources { requests, ..ContainerResources::default() };
    let resources = PodResources { containers: vec![container], ..PodResources::default() };
    PodSpec { scheduler_name: "default-scheduler".into(), requests: resources.requests(), ..PodSpec::default() }
}

/// A node of the given number, in one of so many zones.
pub fn node(index: usize, zones: usize) -> Node {
    let name = format!("node-{index}");
    let labels = [
        (HOSTNAME, name.clone()),
        (ZONE, format!("zone-{}", index % zones.max(1))),
        ("tier", if index.is_multiple_of(2) { "a" } else { "b" }.to_owned()),
    ];
    Node {
        labels: labels.into_iter().collect(),
        allocatable: Resources::of([
            ("cpu", amount(&NODE.0.to_string())),
            ("memory", amount(&format!("{}Gi", NODE.1))),
        ]),
        allowed_pods: NODE.2,
        ready: true,
        name: name.as_str().into(),
        ..Node::default()
    }
}

/// The template of pods that are there before. With [`DecideWorkload::Preemption`] they fill their nodes, so that a pod
/// that comes has to displace some.
pub fn existing(workload: DecideWorkload, nodes: usize, pods: usize) -> Template {
    let mut spec = resources(10, "16Mi");
    if workload == DecideWorkload::Preemption {
        let on_a_node = i64::try_from((pods / nodes.max(1)).max(1)).unwrap_or(i64::MAX);
        spec = resources(NODE.0 * 1000 / on_a_node, "16Mi");
        spec.priority = -10;
    }
    Template { spec: Arc::new(spec), labels: [("app", "existing")].into_iter().collect() }
}

/// The templates of pods that come.
pub fn templates(workload: DecideWorkload, count: usize, zones: usize) -> Vec<Template> {
    (0..count).map(|index| template(workload, index, zones)).collect()
}

fn template(workload: DecideWorkload, index: usize, zones: usize) -> Template {
    const MIX: [DecideWorkload; 7] = [
        DecideWorkload::Basic,
        DecideWorkload::Spread,
        DecideWorkload::PreferredSpread,
        DecideWorkload::Affinity,
        DecideWorkload::AntiAffinity,
        DecideWorkload::PreferredAffinity,
        DecideWorkload::NodeAffinity,
    ];
    if workload == DecideWorkload::Mixed {
        return template(MIX[index % MIX.len()], index, zones);
    }
    let app = format!("app-{index}");
    let step = i64::try_from(index).unwrap_or_default();
    let mut spec = resources(10 + step % 40, &format!("{}Mi", 16 + step % 50));
    spec.images = vec![format!("registry.example/{app}:1").into()];
    spec.image_containers = 1;
    let own = LabelSelector::structured([("app", app.as_str())], Vec::<(&str, &str, Vec<&str>)>::new()).ok();
    let near = |key: &str| PodAffinityTerm {
        selector: own.clone(),
        namespaces: Vec::new(),
        namespace_selector: None,
        topology_key: key.into(),
    };
    let spread = |when_unsatisfiable| SpreadConstraint {
        topology_key: ZONE.into(),
        max_skew: 1,
        when_unsatisfiable,
        selector: own.clone(),
        min_domains: None,
        honor_node_affinity: true,
        honor_taints: false,
    };
    match workload {
        DecideWorkload::Basic | DecideWorkload::Mixed => {}
        DecideWorkload::Spread => spec.spread = vec![spread(WhenUnsatisfiable::DoNotSchedule)],
        DecideWorkload::PreferredSpread => spec.spread = vec![spread(WhenUnsatisfiable::ScheduleAnyway)],
        DecideWorkload::Affinity => {
            spec.pod_affinities = PodAffinities { required: vec![near(ZONE)], ..PodAffinities::default() };
        }
        DecideWorkload::AntiAffinity => {
            spec.pod_affinities = PodAffinities { required_anti: vec![near(HOSTNAME)], ..PodAffinities::default() };
        }
        DecideWorkload::PreferredAffinity => {
            let preferred = vec![PreferredPodTerm { weight: 1, term: near(ZONE) }];
            spec.pod_affinities = PodAffinities { preferred, ..PodAffinities::default() };
        }
        DecideWorkload::NodeAffinity => {
            let zones: Vec<String> = (0..zones.max(2) - 1).map(|zone| format!("zone-{zone}")).collect();
            let none = Vec::new;
            let required =
                NodeSelectorTerm::new(vec![(ZONE, "In", zones.iter().map(String::as_str).collect())], none());
            let liked = NodeSelectorTerm::new(vec![("tier", "In", vec!["a"])], none());
            spec.node_affinity = NodeAffinity {
                required: Some(vec![required]),
                preferred: vec![PreferredNodeTerm { weight: 1, term: liked }],
            };
        }
        DecideWorkload::Preemption => {
            let mut large = resources(NODE.0 * 1000 / 4, "64Mi");
            (large.priority, large.images) = (10 + i32::try_from(index % 1000).unwrap_or_default(), spec.images);
            spec = large;
        }
    }
    Template { spec: Arc::new(spec), labels: [("app", app)].into_iter().collect() }
}
