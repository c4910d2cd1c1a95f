//! Small clusters for tests, made from numbers that a property test draws.

use std::sync::Arc;

use augur_notation::{LabelSelector, Quantity};
use proptest::prelude::*;

use crate::object::{
    ContainerResources, Effect, HostPort, Node, NodeAffinity, NodeImage, NodeSelectorTerm, Pod, PodAffinities,
    PodAffinityTerm, PodResources, PodSpec, PreferredNodeTerm, PreferredPodTerm, Protocol, Resources, SpreadConstraint,
    Taint, Toleration, TolerationOperator, WhenUnsatisfiable,
};
use crate::state::NodeSignals;
use crate::time::Timestamp;
use crate::units::Bytes;

/// The node of this number, in one of several variants.
pub(crate) fn node(number: u8, variant: u8) -> Node {
    let name = format!("node-{number}");
    let taint = |effect| Taint { key: "dedicated".into(), value: "db".into(), effect };
    let image = NodeImage { names: vec!["app:1".into()], size: Bytes(500 << 20) };
    Node {
        labels: [
            ("kubernetes.io/hostname".to_owned(), name.clone()),
            ("zone".to_owned(), format!("z{}", variant % 3)),
            ("size".to_owned(), format!("{}", variant % 4)),
        ]
        .into_iter()
        .collect(),
        taints: match variant % 5 {
            0 => vec![taint(Effect::NoSchedule)],
            1 => vec![taint(Effect::PreferNoSchedule)],
            _ => Vec::new(),
        },
        unschedulable: variant.is_multiple_of(11),
        allocatable: Resources::of([
            ("cpu", Quantity::of_milli(1000 + 500 * i64::from(variant % 4))),
            ("memory", Quantity::of((2 + i64::from(variant % 3)) << 30, augur_notation::Format::BinarySi)),
            ("example.com/gpu", Quantity::of(i64::from(variant % 3), augur_notation::Format::DecimalSi)),
        ]),
        allowed_pods: 4,
        ready: true,
        images: if variant.is_multiple_of(2) { vec![image] } else { Vec::new() },
        name: name.into(),
        ..Node::default()
    }
}

/// A spec in one of several variants.
pub(crate) fn spec(variant: u8) -> Arc<PodSpec> {
    let mut requests = vec![("cpu".into(), Quantity::of_milli(100 * i64::from(variant % 7)))];
    if variant.is_multiple_of(3) {
        requests.push(("memory".into(), Quantity::of(300 << 20, augur_notation::Format::BinarySi)));
    }
    if variant % 9 == 4 {
        requests.push(("example.com/gpu".into(), Quantity::of(1, augur_notation::Format::DecimalSi)));
    }
    let container = ContainerResources { requests, ..ContainerResources::default() };
    let resources = PodResources { containers: vec![container], ..PodResources::default() };
    let term =
        |expressions: Vec<(&'static str, &'static str, Vec<&'static str>)>| NodeSelectorTerm::new(expressions, []);
    let hostname = "kubernetes.io/hostname";
    Arc::new(PodSpec {
        scheduler_name: "default-scheduler".into(),
        priority: i32::from(variant % 3),
        requests: resources.requests(),
        node_selector: if variant % 13 == 5 { [("zone", "z1")].into_iter().collect() } else { Default::default() },
        node_affinity: NodeAffinity {
            required: match variant % 17 {
                3 => Some(vec![term(vec![("size", "Gt", vec!["1"])]), term(vec![(hostname, "In", vec!["node-1"])])]),
                4 => Some(vec![NodeSelectorTerm::new([], [("metadata.name", "In", vec!["node-2"])])]),
                _ => None,
            },
            preferred: if variant % 4 == 1 {
                vec![PreferredNodeTerm { weight: 10, term: term(vec![("zone", "In", vec!["z0", "z2"])]) }]
            } else {
                Vec::new()
            },
        },
        tolerations: if variant.is_multiple_of(2) {
            vec![Toleration { operator: TolerationOperator::Exists, ..Toleration::default() }]
        } else {
            Vec::new()
        },
        host_ports: if variant % 8 == 7 {
            vec![HostPort { ip: "".into(), protocol: Protocol::Tcp, port: 80 }]
        } else {
            Vec::new()
        },
        pod_affinities: match variant % 19 {
            1 => PodAffinities { required: vec![pod_term("app", "zone")], ..PodAffinities::default() },
            2 => PodAffinities { required_anti: vec![pod_term("app", hostname)], ..PodAffinities::default() },
            3 => PodAffinities {
                preferred: vec![PreferredPodTerm { weight: 7, term: pod_term("app", "zone") }],
                ..PodAffinities::default()
            },
            _ => PodAffinities::default(),
        },
        spread: match variant % 23 {
            1 => vec![spread("zone", WhenUnsatisfiable::DoNotSchedule)],
            2 => vec![spread(hostname, WhenUnsatisfiable::ScheduleAnyway)],
            _ => Vec::new(),
        },
        images: vec!["app:1".into()],
        image_containers: 1,
        ..PodSpec::default()
    })
}

fn selector(app: &str) -> Option<LabelSelector> {
    LabelSelector::parse(&format!("kind={app}")).ok()
}

fn pod_term(app: &str, topology_key: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: selector(app),
        namespaces: Vec::new(),
        namespace_selector: None,
        topology_key: topology_key.into(),
    }
}

fn spread(topology_key: &str, when_unsatisfiable: WhenUnsatisfiable) -> SpreadConstraint {
    SpreadConstraint {
        topology_key: topology_key.into(),
        max_skew: 1,
        when_unsatisfiable,
        selector: selector("app"),
        min_domains: None,
        honor_node_affinity: true,
        honor_taints: false,
    }
}

/// The pod of this number.
pub(crate) fn pod(number: u8, variant: u8) -> Pod {
    let name = format!("pod-{number}");
    let labels = [("kind", if number.is_multiple_of(2) { "app" } else { "job" })].into_iter().collect();
    Pod { labels, ..Pod::new(&format!("uid-{number}"), "default", &name, spec(variant)) }
}

/// Signals of which any may be unknown.
pub(crate) fn signals() -> impl Strategy<Value = Option<NodeSignals>> {
    let share = || prop::option::of((0..120u8).prop_map(|percent| f64::from(percent) / 100.0));
    let counts = (prop::option::of(0..5u32), prop::option::of((0..30u8).prop_map(|tenths| f64::from(tenths) / 10.0)));
    let all = (share(), share(), prop::option::of(any::<bool>()), counts);
    prop::option::of(all.prop_map(|(cpu_usage, memory_usage, ready, (failed_pods, average_restarts))| NodeSignals {
        cpu_usage,
        memory_usage,
        ready,
        failed_pods,
        average_restarts,
        ..NodeSignals::at(Timestamp::EPOCH)
    }))
}
