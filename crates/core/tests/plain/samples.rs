//! Small clusters made from numbers that a property test draws.

use std::sync::Arc;

use augur_core::object::{
    ContainerResources, ControllerRef, DisruptionBudget, Effect, HostPort, Node, NodeAffinity, NodeImage,
    NodeSelectorTerm, Pod, PodAffinities, PodAffinityTerm, PodResources, PodSelector, PodSpec, PreferredNodeTerm,
    PreferredPodTerm, Protocol, Related, Resources, Selects, SpreadConstraint, Taint, Toleration, TolerationOperator,
    WhenUnsatisfiable,
};
use augur_core::units::Bytes;
use augur_notation::{Format, LabelSelector, Quantity};

pub const HOSTNAME: &str = "kubernetes.io/hostname";
pub const ZONE: &str = "topology.kubernetes.io/zone";
const RACK: &str = "rack";
const APPS: [&str; 3] = ["app", "job", "db"];
pub const NAMESPACES: [&str; 3] = ["default", "other", "third"];

/// Draws small numbers from one large one, so that parts of a sample do not depend on each other.
struct Draw(u32);

impl Draw {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let mixed = ((self.0 >> ((self.0 >> 28) + 4)) ^ self.0).wrapping_mul(277_803_737);
        ((mixed >> 22) ^ mixed) % limit
    }

    fn one_in(&mut self, limit: u32) -> bool {
        self.below(limit) == 0
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u32) as usize]
    }
}

pub fn node_name(number: u8) -> String {
    format!("node-{number}")
}

pub fn taint(effect: Effect) -> Taint {
    Taint { key: "dedicated".into(), value: "db".into(), effect }
}

/// The node of this number, in one of many variants.
pub fn node(number: u8, variant: u32) -> Node {
    let mut draw = Draw(variant);
    let name = node_name(number);
    // Some nodes claim the name of another one, some have none.
    let host = if draw.one_in(12) { node_name(0) } else { name.clone() };
    let mut labels = vec![(HOSTNAME, host), (RACK, format!("r{}", draw.below(4)))];
    if draw.one_in(15) {
        labels.remove(0);
    }
    if !draw.one_in(6) {
        // An empty value is a legal one.
        labels.push((ZONE, if draw.one_in(10) { String::new() } else { format!("z{}", draw.below(3)) }));
    }
    let image = NodeImage { names: vec!["app:1".into()], size: Bytes(500 << 20) };
    Node {
        labels: labels.into_iter().collect(),
        taints: match draw.below(8) {
            0 => vec![taint(Effect::NoSchedule)],
            1 => vec![taint(Effect::PreferNoSchedule)],
            _ => Vec::new(),
        },
        unschedulable: draw.one_in(12),
        allocatable: Resources::of([
            ("cpu", Quantity::of_milli(1000 + 500 * i64::from(draw.below(3)))),
            ("memory", Quantity::of((2 + i64::from(draw.below(2))) << 30, Format::BinarySi)),
        ]),
        allowed_pods: 3 + i64::from(draw.below(4)),
        ready: true,
        images: if draw.one_in(2) { vec![image] } else { Vec::new() },
        name: name.into(),
        ..Node::default()
    }
}

fn selector(draw: &mut Draw) -> Option<LabelSelector> {
    let text = match draw.below(8) {
        0 => return None,
        1 => String::new(),
        2 => "kind in (app,db)".to_owned(),
        3 => "kind!=job".to_owned(),
        _ => format!("kind={}", draw.of(&APPS)),
    };
    LabelSelector::parse(&text).ok()
}

fn term(draw: &mut Draw) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: selector(draw),
        namespaces: if draw.one_in(4) { vec![draw.of(&NAMESPACES).into()] } else { Vec::new() },
        namespace_selector: match draw.below(6) {
            0 => LabelSelector::parse("team=a").ok(),
            1 => LabelSelector::parse("").ok(),
            _ => None,
        },
        topology_key: draw.of(&[HOSTNAME, ZONE, RACK]).into(),
    }
}

fn terms(draw: &mut Draw, often: u32) -> Vec<PodAffinityTerm> {
    let count = if draw.one_in(often) { 1 + draw.below(2) } else { 0 };
    (0..count).map(|_| term(draw)).collect()
}

fn preferred(draw: &mut Draw) -> Vec<PreferredPodTerm> {
    let wishes = terms(draw, 4);
    wishes.into_iter().map(|term| PreferredPodTerm { weight: 1 + draw.below(9) as i32, term }).collect()
}

fn rule(draw: &mut Draw) -> SpreadConstraint {
    let hard = draw.one_in(2);
    SpreadConstraint {
        topology_key: draw.of(&[HOSTNAME, ZONE, RACK]).into(),
        max_skew: 1 + draw.below(2) as i32,
        when_unsatisfiable: if hard { WhenUnsatisfiable::DoNotSchedule } else { WhenUnsatisfiable::ScheduleAnyway },
        selector: selector(draw),
        min_domains: (hard && draw.one_in(4)).then_some(3),
        honor_node_affinity: !draw.one_in(4),
        honor_taints: draw.one_in(3),
    }
}

/// A spec in one of many variants.
pub fn spec(variant: u32) -> Arc<PodSpec> {
    let mut draw = Draw(variant ^ 0x5bec);
    let mut requests = vec![("cpu".into(), Quantity::of_milli(150 * i64::from(draw.below(6))))];
    if draw.one_in(3) {
        requests.push(("memory".into(), Quantity::of(600 << 20, Format::BinarySi)));
    }
    let container = ContainerResources { requests, ..ContainerResources::default() };
    let resources = PodResources { containers: vec![container], ..PodResources::default() };
    let node_term = |key: &'static str, values: Vec<&'static str>| NodeSelectorTerm::new([(key, "In", values)], []);
    let company = draw.one_in(2);
    let any = |wanted: bool, often: u32| if wanted { often } else { u32::MAX };
    Arc::new(PodSpec {
        scheduler_name: "default-scheduler".into(),
        priority: draw.below(4) as i32,
        requests: resources.requests(),
        node_selector: if draw.one_in(10) { [(RACK, "r1")].into_iter().collect() } else { Default::default() },
        node_affinity: NodeAffinity {
            required: match draw.below(16) {
                0 => Some(vec![node_term(ZONE, vec!["z0", "z1"]), node_term(HOSTNAME, vec!["node-1"])]),
                1 => Some(vec![NodeSelectorTerm::new([], [("metadata.name", "In", vec!["node-2"])])]),
                _ => None,
            },
            preferred: if draw.one_in(4) {
                vec![PreferredNodeTerm { weight: 10, term: node_term(ZONE, vec!["z0", "z2"]) }]
            } else {
                Vec::new()
            },
        },
        tolerations: if draw.one_in(3) {
            vec![Toleration { operator: TolerationOperator::Exists, ..Toleration::default() }]
        } else {
            Vec::new()
        },
        host_ports: if draw.one_in(9) {
            vec![HostPort { ip: "".into(), protocol: Protocol::Tcp, port: 80 }]
        } else {
            Vec::new()
        },
        pod_affinities: PodAffinities {
            required: terms(&mut draw, any(company, 4)),
            required_anti: terms(&mut draw, any(company, 3)),
            preferred: if company { preferred(&mut draw) } else { Vec::new() },
            preferred_anti: if company { preferred(&mut draw) } else { Vec::new() },
        },
        spread: if draw.one_in(3) { (0..1 + draw.below(2)).map(|_| rule(&mut draw)).collect() } else { Vec::new() },
        images: vec!["app:1".into()],
        image_containers: 1,
        ..PodSpec::default()
    })
}

/// A pod of the spec. Its labels follow from its number, but for one that no two pods share.
pub fn pod(number: u8, spec: &Arc<PodSpec>) -> Pod {
    let mut draw = Draw(u32::from(number));
    let name = format!("pod-{number}");
    let labels = [("kind", draw.of(&APPS).to_owned()), ("unique", name.clone())].into_iter().collect();
    let namespace = NAMESPACES[usize::from(number) % 2];
    let controller = draw.one_in(3).then(|| ControllerRef::ReplicaSet("set".into()));
    Pod { labels, controller, ..Pod::new(&format!("uid-{number}"), namespace, &name, spec.clone()) }
}

/// A service or a replica set.
pub fn selecting(variant: u8) -> Related {
    let mut draw = Draw(u32::from(variant));
    let namespace: Arc<str> = draw.of(&NAMESPACES).into();
    let app = draw.of(&APPS);
    if draw.one_in(2) {
        let selects = Selects::Labels([("kind", app)].into_iter().collect());
        Related::Service(Arc::new(PodSelector {
            namespace,
            name: format!("service-{}", variant % 3).as_str().into(),
            selects,
        }))
    } else {
        let conditions = LabelSelector::parse(&format!("kind={app}")).expect("a legal selector");
        let selects = Selects::Conditions(conditions);
        Related::ReplicaSet(Arc::new(PodSelector { namespace, name: "set".into(), selects }))
    }
}

/// A budget for the pods of an app.
pub fn budget(variant: u8) -> DisruptionBudget {
    let mut draw = Draw(u32::from(variant));
    let selector = LabelSelector::parse(&format!("kind={}", draw.of(&APPS))).ok();
    DisruptionBudget {
        namespace: NAMESPACES[usize::from(variant % 2)].into(),
        name: "budget".into(),
        selector,
        allowed: draw.below(2) as i32,
        ..DisruptionBudget::default()
    }
}
