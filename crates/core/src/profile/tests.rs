//! What the settings of a profile change in decisions; the numbers are those of kube-scheduler's rules.

use std::sync::Arc;

use augur_notation::{Format, LabelSelector, Quantity};

use super::*;
use crate::cycle::{Cycle, Decider, Decision, Detail, Outcome, decide};
use crate::object::{
    ContainerResources, Node, NodeAffinity, NodeSelectorTerm, Pod, PodAffinityTerm, PodResources, PodSelector, PodSpec,
    PreferredNodeTerm, PreferredPodTerm, Related, RelatedKind, Resources, Selects, SpreadConstraint, WhenUnsatisfiable,
};
use crate::predictor::NoModel;
use crate::preemption::Window;
use crate::state::ClusterState;
use crate::time::Timestamp;

const GPU: &str = "example.com/gpu";

fn amounts(amounts: &[(&str, i64)]) -> Vec<(Arc<str>, Quantity)> {
    let of = |name: &str, amount| {
        if name == "cpu" { Quantity::of_milli(amount) } else { Quantity::of(amount, Format::DecimalSi) }
    };
    amounts.iter().map(|&(name, amount)| (name.into(), of(name, amount))).collect()
}

fn node(name: &str, allocatable: &[(&str, i64)]) -> Node {
    let listed = amounts(allocatable);
    Node {
        name: name.into(),
        labels: [("kubernetes.io/hostname", name), ("zone", &name[..1])].into_iter().collect(),
        allocatable: Resources::of(listed.iter().map(|(name, amount)| (&**name, *amount))),
        allowed_pods: 110,
        ready: true,
        ..Node::default()
    }
}

fn spec(requests: &[(&str, i64)]) -> PodSpec {
    let container = ContainerResources { requests: amounts(requests), ..ContainerResources::default() };
    let resources = PodResources { containers: vec![container], ..PodResources::default() };
    PodSpec { scheduler_name: "default-scheduler".into(), requests: resources.requests(), ..PodSpec::default() }
}

fn pod(name: &str, spec: PodSpec) -> Pod {
    Pod { labels: [("app", "web")].into_iter().collect(), ..Pod::new(name, "default", name, Arc::new(spec)) }
}

fn state(nodes: Vec<Node>, placed: Vec<(&str, Pod)>) -> ClusterState {
    let mut state = ClusterState::new();
    for node in nodes {
        state.apply_node(node);
    }
    for (node, pod) in placed {
        let node = node.into();
        state.place(Arc::new(Pod { node: Some(Arc::clone(&node)), ..pod }), &node);
    }
    state
}

fn profile(arguments: PluginArguments) -> Profile {
    Profile { plugins: Arc::new(ProfilePlugins::with_arguments(arguments)), ..Profile::default() }
}

fn cycle() -> Cycle {
    Cycle { now: Timestamp::from_secs(0), seed: 1, detail: Detail::Full }
}

fn run(state: &ClusterState, pod: &Pod, profile: &Profile) -> Decision {
    decide(state, pod, profile, &NoModel::default(), cycle())
}

/// The plugin's weighted score on each node, by name.
fn scores(state: &ClusterState, pod: &Pod, profile: &Profile, plugin: PluginId) -> Vec<i64> {
    let decision = run(state, pod, profile);
    let of = |parts: &[(PluginId, i64)]| parts.iter().find(|(id, _)| *id == plugin).map_or(0, |(_, score)| *score);
    decision.nodes.iter().map(|report| of(&report.plugins)).collect()
}

fn message(decision: &Decision) -> String {
    match &decision.outcome {
        Outcome::Unschedulable(diagnosis) => diagnosis.message(),
        other => format!("{other:?}"),
    }
}

fn resources(weights: &[(&str, i64)]) -> Vec<ResourceWeight> {
    weights.iter().map(|&(name, weight)| ResourceWeight { resource: ScoredResource::of(name), weight }).collect()
}

#[test]
fn a_node_is_scored_over_the_configured_resources() {
    let nodes = vec![
        node("a", &[("cpu", 4000), ("memory", 10_000), (GPU, 4)]),
        node("b", &[("cpu", 6000), ("memory", 10_000), (GPU, 8)]),
    ];
    let state = state(nodes, vec![("a", pod("there", spec(&[("cpu", 1000), ("memory", 2000), (GPU, 2)])))]);
    let wanted = [("cpu", 2000), ("memory", 3000), (GPU, 1)];
    let asking = pod("new", spec(&wanted));
    let fit = |strategy, weights: &[(&str, i64)]| {
        let fit = FitArguments { strategy, resources: resources(weights), ..FitArguments::default() };
        profile(PluginArguments { fit, ..PluginArguments::default() })
    };
    let scored = |profile: &Profile| scores(&state, &asking, profile, PluginId::NodeResourcesFit);
    let both = [("cpu", 1), ("memory", 1)];
    // Taken with the pod: a 3000/4000 and 5000/10000, b 2000/6000 and 3000/10000.
    assert_eq!(scored(&fit(ScoringStrategy::LeastAllocated, &both)), [37, 68]);
    assert_eq!(scored(&fit(ScoringStrategy::MostAllocated, &both)), [62, 31]);
    // Gpu: a 3/4, b 1/8, with three times the weight of cpu.
    assert_eq!(scored(&fit(ScoringStrategy::MostAllocated, &[("cpu", 1), (GPU, 3)])), [75, 17]);
    let pack = ScoringStrategy::RequestedToCapacityRatio(vec![
        ShapePoint { utilization: 0, score: 0 },
        ShapePoint { utilization: 100, score: 10 },
    ]);
    assert_eq!(scored(&fit(pack, &both)), [63, 32], "62.5 and 31.5 are rounded");
    let without = pod("without", spec(&[("cpu", 2000)]));
    let by_gpu = fit(ScoringStrategy::MostAllocated, &[(GPU, 1)]);
    assert_eq!(
        scores(&state, &without, &by_gpu, PluginId::NodeResourcesFit),
        [0, 0],
        "a resource that the pod does not ask for has no part"
    );
}

#[test]
fn balance_is_over_the_configured_resources() {
    let nodes = vec![
        node("a", &[("cpu", 4000), ("memory", 10_000), (GPU, 4)]),
        node("b", &[("cpu", 4000), ("memory", 10_000), (GPU, 1)]),
    ];
    let state = state(nodes, vec![]);
    let names = ["cpu", "memory", GPU].map(ScoredResource::of).into();
    let profile = profile(PluginArguments { balanced: BalancedResources(names), ..PluginArguments::default() });
    let plugin = PluginId::NodeResourcesBalancedAllocation;
    let cpu = pod("cpu", spec(&[("cpu", 2000)]));
    // Shares 0.5 and 0: the deviation is 0.25, 50 + (50 + 75 - 100) / 2 = 62.
    assert_eq!(scores(&state, &cpu, &profile, plugin), [62, 62]);
    let gpu = pod("gpu", spec(&[("cpu", 1000), (GPU, 1)]));
    // On a 0.25, 0, 0.25: deviation 0.118, 50 + (50 + 88 - 100) / 2. On b 0.25, 0, 1: deviation 0.425, 57.
    assert_eq!(scores(&state, &gpu, &profile, plugin), [69, 53]);
}

#[test]
fn ignored_resources_are_not_looked_at() {
    let state = state(vec![node("a", &[("cpu", 4000)])], vec![]);
    let asking = pod("new", spec(&[("cpu", 100), (GPU, 1), ("other.io/x", 1)]));
    assert!(
        message(&run(&state, &asking, &Profile::default()))
            .contains("1 Insufficient example.com/gpu, 1 Insufficient other.io/x")
    );
    let fit = FitArguments { ignored_resources: [GPU.into()].into(), ..FitArguments::default() };
    let one = profile(PluginArguments { fit: fit.clone(), ..PluginArguments::default() });
    assert!(message(&run(&state, &asking, &one)).starts_with("0/1 nodes are available: 1 Insufficient other.io/x."));
    let fit = FitArguments { ignored_groups: ["other.io".into()].into(), ..fit };
    let both = profile(PluginArguments { fit, ..PluginArguments::default() });
    assert_eq!(run(&state, &asking, &both).feasible_nodes, 1);
}

#[test]
fn added_affinity_filters_and_scores() {
    let nodes = ["a1", "a2", "b1"].map(|name| node(name, &[("cpu", 4000)]));
    let state = state(nodes.into(), vec![]);
    let zone = |zone| NodeSelectorTerm::new([("zone", "In", vec![zone])], []);
    let name = NodeSelectorTerm::new([], [("metadata.name", "In", vec!["a2"])]);
    let added =
        NodeAffinity { required: Some(vec![zone("a")]), preferred: vec![PreferredNodeTerm { weight: 10, term: name }] };
    let enforced = profile(PluginArguments { added_affinity: AddedAffinity(added), ..PluginArguments::default() });
    let any = pod("any", spec(&[("cpu", 100)]));
    let decision = run(&state, &any, &enforced);
    assert_eq!(decision.feasible_nodes, 2);
    let rejection = decision.nodes[2].rejection.as_ref().expect("b1 is not admitted");
    assert_eq!(rejection.reasons, ["node(s) didn't match scheduler-enforced node affinity"]);
    assert_eq!(scores(&state, &any, &enforced, PluginId::NodeAffinity)[..2], [0, 200], "weight 2");
    let mut elsewhere = spec(&[]);
    elsewhere.node_affinity.required = Some(vec![zone("b")]);
    let decision = run(&state, &pod("elsewhere", elsewhere), &enforced);
    assert_eq!(
        message(&decision),
        "0/3 nodes are available: 1 node(s) didn't match scheduler-enforced node affinity, 2 node(s) didn't match Pod's \
         node affinity/selector. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not \
         helpful for scheduling."
    );
}

/// A cluster in which a service selects the pods, which are two in zone a and none in zone b.
fn with_service() -> ClusterState {
    let nodes = ["a1", "b1"].map(|name| node(name, &[("cpu", 4000)]));
    let mut state = state(nodes.into(), vec![("a1", pod("p1", spec(&[]))), ("a1", pod("p2", spec(&[])))]);
    for kind in RelatedKind::OF_SELECTORS {
        state.set_listed(kind);
    }
    state.apply_related(Related::Service(Arc::new(PodSelector {
        namespace: "default".into(),
        name: "web".into(),
        selects: Selects::Labels([("app", "web")].into_iter().collect()),
    })));
    state
}

fn over_zones(when_unsatisfiable: WhenUnsatisfiable) -> PluginArguments {
    let rule = SpreadConstraint {
        topology_key: "zone".into(),
        max_skew: 1,
        when_unsatisfiable,
        selector: None,
        min_domains: None,
        honor_node_affinity: true,
        honor_taints: false,
    };
    PluginArguments { spread_defaults: SpreadDefaults::List(vec![rule]), ..PluginArguments::default() }
}

#[test]
fn default_constraints_spread_pods_that_have_none() {
    let state = with_service();
    let new = pod("new", spec(&[]));
    let hard = profile(over_zones(WhenUnsatisfiable::DoNotSchedule));
    let decision = run(&state, &new, &hard);
    assert_eq!((decision.feasible_nodes, decision.node().map(|node| &**node)), (1, Some("b1")));
    let rejection = decision.nodes[0].rejection.as_ref().expect("a1 has two already");
    assert_eq!(rejection.reasons, ["node(s) didn't match pod topology spread constraints"]);
    // Counts 2 and 0 in two domains: raw 3 and 0, of which 100·(3 + 0 - raw)/3.
    let soft = profile(over_zones(WhenUnsatisfiable::ScheduleAnyway));
    assert_eq!(scores(&state, &new, &soft, PluginId::PodTopologySpread), [0, 200]);
    let none = PluginArguments { spread_defaults: SpreadDefaults::List(vec![]), ..PluginArguments::default() };
    assert_eq!(scores(&state, &new, &profile(none), PluginId::PodTopologySpread), [0, 0]);
    // A pod that nothing selects has no rules.
    let alone = Pod { labels: Default::default(), ..new };
    assert_eq!(run(&state, &alone, &hard).feasible_nodes, 2);
}

#[test]
fn hard_default_constraints_need_the_objects_that_say_which_pods_are_alike() {
    let state = state(vec![node("a1", &[("cpu", 4000)])], vec![]);
    let hard = profile(over_zones(WhenUnsatisfiable::DoNotSchedule));
    let decision = run(&state, &pod("new", spec(&[])), &hard);
    assert!(matches!(&decision.outcome, Outcome::Refused(features) if &*features[0] == "topology spread by default"));
}

#[test]
fn terms_of_pods_that_are_there_count_as_configured() {
    let term = |app: &str| PodAffinityTerm {
        selector: LabelSelector::parse(&format!("app={app}")).ok(),
        namespaces: Vec::new(),
        namespace_selector: None,
        topology_key: "zone".into(),
    };
    let mut required = spec(&[]);
    required.pod_affinities.required = vec![term("web")];
    let mut preferred = spec(&[]);
    preferred.pod_affinities.preferred = vec![PreferredPodTerm { weight: 10, term: term("web") }];
    let nodes = ["a1", "b1", "c1"].map(|name| node(name, &[("cpu", 4000)]));
    let state = state(nodes.into(), vec![("a1", pod("must", required)), ("b1", pod("may", preferred))]);
    let new = pod("new", spec(&[]));
    let weighed = |hard_pod_affinity_weight, ignore_preferred_terms_of_existing_pods| {
        let inter_pod_affinity =
            InterPodAffinityArguments { hard_pod_affinity_weight, ignore_preferred_terms_of_existing_pods };
        let profile = profile(PluginArguments { inter_pod_affinity, ..PluginArguments::default() });
        scores(&state, &new, &profile, PluginId::InterPodAffinity)
    };
    assert_eq!(weighed(1, false), [20, 200, 0], "1 and 10 of at most 10, weight 2");
    assert_eq!(weighed(100, false), [200, 20, 0]);
    assert_eq!(weighed(0, false), [0, 200, 0]);
    assert_eq!(weighed(100, true), [0, 0, 0]);
}

#[test]
fn plugins_run_where_and_in_the_order_in_which_they_are_listed() {
    let mut tainted = node("a1", &[("cpu", 100)]);
    tainted.unschedulable = true;
    let state = state(vec![tainted], vec![]);
    let large = pod("large", spec(&[("cpu", 200)]));
    let with = |filter: &[PluginId], post_filter: &[PluginId]| {
        let plugins =
            ProfilePlugins::new(filter.into(), filter.into(), PluginSet::of(post_filter), PluginArguments::default());
        message(&run(&state, &large, &Profile { plugins: Arc::new(plugins), ..Profile::default() }))
    };
    let (cordon, fit) = (PluginId::NodeUnschedulable, PluginId::NodeResourcesFit);
    assert_eq!(with(&[cordon, fit], &[]), "0/1 nodes are available: 1 node(s) were unschedulable.");
    assert_eq!(with(&[fit, cordon], &[]), "0/1 nodes are available: 1 Insufficient cpu.");
    assert_eq!(
        with(&[fit], &[PluginId::DynamicResources]),
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate"
    );
    assert_eq!(
        with(&[fit], &[PluginId::DefaultPreemption]),
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful \
         for scheduling."
    );
    assert!(with(&[], &[]).contains("Placed"));
}

#[test]
fn a_survey_before_other_filters_is_told_first() {
    let state = with_service();
    let huge = pod("huge", spec(&[("cpu", 9000)]));
    let (spread, fit) = (PluginId::PodTopologySpread, PluginId::NodeResourcesFit);
    let with = |filter: &[PluginId]| {
        let arguments = over_zones(WhenUnsatisfiable::DoNotSchedule);
        let plugins = ProfilePlugins::new(filter.into(), filter.into(), PluginSet::EMPTY, arguments);
        message(&run(&state, &huge, &Profile { plugins: Arc::new(plugins), ..Profile::default() }))
    };
    assert_eq!(with(&[fit, spread]), "0/2 nodes are available: 2 Insufficient cpu.");
    assert_eq!(
        with(&[spread, fit]),
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints."
    );
}

#[test]
fn the_search_for_victims_ends_as_configured() {
    let nodes: Vec<Node> = (0..9).map(|number| node(&format!("n{number}"), &[("cpu", 1000)])).collect();
    let names: Vec<String> = (0..9).map(|number| format!("n{number}")).collect();
    let small = || spec(&[("cpu", 1000)]);
    let placed = names.iter().map(|name| (name.as_str(), pod(&format!("on-{name}"), small()))).collect();
    let state = state(nodes, placed);
    let important = pod("important", PodSpec { priority: 10, ..small() });
    let candidates = |min_percentage, min_absolute| {
        let preemption = Window { min_percentage, min_absolute };
        let decision = run(&state, &important, &profile(PluginArguments { preemption, ..PluginArguments::default() }));
        match decision.outcome {
            Outcome::Unschedulable(diagnosis) => match diagnosis.preemption {
                crate::cycle::PreemptionOutlook::Possible(candidates) => candidates.len(),
                _ => 0,
            },
            _ => 0,
        }
    };
    assert_eq!([candidates(10, 100), candidates(0, 1), candidates(50, 1)], [9, 1, 4]);
}

#[test]
fn kept_verdicts_belong_to_a_profile() {
    let state = with_service();
    let new = pod("new", spec(&[("cpu", 100)]));
    let most = FitArguments { strategy: ScoringStrategy::MostAllocated, ..FitArguments::default() };
    let mut heavy = profile(PluginArguments { fit: most, ..PluginArguments::default() });
    heavy.weights[PluginId::NodeResourcesFit.index()] = 7;
    let profiles = [Profile::default(), heavy, profile(over_zones(WhenUnsatisfiable::DoNotSchedule))];
    let mut kept = Decider::new();
    for turn in 0..6 {
        let profile = &profiles[turn % 3];
        let decision = kept.decide(&state, &new, profile, &NoModel::default(), cycle());
        assert_eq!(decision, run(&state, &new, profile), "turn {turn}");
    }
}
