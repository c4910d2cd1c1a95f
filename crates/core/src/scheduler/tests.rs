mod consult;
mod devices;
mod preparation;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::object::{
    AccessModes, BindingMode, Labels, PersistentVolume, PersistentVolumeClaim, PodVolume, StorageClass, VolumeSource,
};
use crate::predictor::NoModel;
use crate::samples;

fn uid(number: u8) -> PodUid {
    format!("uid-{number}").into()
}

fn node_name(number: u8) -> NodeName {
    format!("node-{number}").into()
}

/// A scheduler with what it asks to be done.
struct Bench {
    scheduler: Scheduler,
    effects: Vec<Effect>,
    now: Timestamp,
}

impl Bench {
    fn new() -> Bench {
        let mut bench =
            Bench { scheduler: Scheduler::new(SchedulerConfig::default()), effects: Vec::new(), now: Timestamp::EPOCH };
        bench.step(Input::BudgetsReset(Vec::new()));
        bench
    }

    fn step(&mut self, input: Input) {
        self.scheduler.step(input, self.now, &mut self.effects);
    }

    fn run(&mut self) -> Vec<Effect> {
        while self.scheduler.run_once(&NoModel::default(), self.now, &mut self.effects) {}
        std::mem::take(&mut self.effects)
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.step(Input::Tick);
    }

    fn result(&mut self, number: u8, result: BindResult) {
        self.step(Input::BindResult { uid: uid(number), result });
    }
}

fn bound_to(effects: &[Effect]) -> Vec<(PodUid, NodeName)> {
    let bind = |effect: &Effect| match effect {
        Effect::Bind { pod, node, .. } => Some((pod.uid.clone(), node.clone())),
        _ => None,
    };
    effects.iter().filter_map(bind).collect()
}

fn messages(effects: &[Effect]) -> Vec<String> {
    let message = |effect: &Effect| match effect {
        Effect::Unschedulable { message, .. } => Some(message.clone()),
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

/// A node of variant 3 has no taint and takes 2.5 CPU; a pod of variant 6 asks for 600m and tolerates everything.
const NODE: u8 = 3;
const POD: u8 = 6;

#[test]
fn a_pod_is_decided_assumed_bound_and_confirmed() {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    bench.step(Input::PodApplied(samples::pod(1, POD)));
    let effects = bench.run();
    assert_eq!(bound_to(&effects), [(uid(1), node_name(1))]);
    assert_eq!(bench.scheduler.state().node("node-1").map(|node| node.used().pods), Some(1), "assumed at once");
    bench.result(1, BindResult::Bound);
    let bound = Pod { node: Some(node_name(1)), ..samples::pod(1, POD) };
    bench.step(Input::PodApplied(bound));
    bench.wait(60);
    assert_eq!(bench.run(), []);
    assert_eq!(bench.scheduler.state().pod("uid-1").map(|(_, node)| node.clone()), Some(node_name(1)));
    assert_eq!((bench.scheduler.counters().placed, bench.scheduler.counters().expired), (1, 0));
}

#[test]
fn a_pod_that_fits_nowhere_waits_for_what_can_help() {
    let mut bench = Bench::new();
    bench.step(Input::PodApplied(samples::pod(1, POD)));
    assert_eq!(messages(&bench.run()), ["no nodes available to schedule pods"]);
    // A node too small for it does not wake it, one that can hold it does.
    let small = Node { allowed_pods: 0, ..samples::node(1, NODE) };
    bench.step(Input::NodeApplied(small));
    bench.wait(20);
    assert!(!bench.scheduler.has_work());
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    assert_eq!(bound_to(&bench.run()), [(uid(1), node_name(1))]);
}

#[test]
fn the_end_of_a_pod_wakes_one_that_waits_for_room() {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(Node { allowed_pods: 1, ..samples::node(1, NODE) }));
    bench.step(Input::PodApplied(Pod { node: Some(node_name(1)), ..samples::pod(1, POD) }));
    bench.step(Input::PodApplied(samples::pod(2, POD)));
    assert_eq!(
        messages(&bench.run()),
        [
            "0/1 nodes are available: 1 Too many pods. no new claims to deallocate, preemption: 0/1 nodes are available: \
          1 No preemption victims found for incoming pod."
        ]
    );
    let over = Pod { phase: crate::object::Phase::Succeeded, ..samples::pod(1, POD) };
    bench.step(Input::PodApplied(Pod { node: Some(node_name(1)), ..over }));
    assert_eq!(bound_to(&bench.run()), [(uid(2), node_name(1))]);
}

#[test]
fn a_binding_that_fails_gives_the_room_back_and_is_tried_again_after_a_pause() {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(Node { allowed_pods: 1, ..samples::node(1, NODE) }));
    bench.step(Input::PodApplied(samples::pod(1, POD)));
    assert_eq!(bound_to(&bench.run()).len(), 1);
    bench.result(1, BindResult::Unavailable("no answer".into()));
    assert_eq!(messages(&bench.run()), ["binding to node node-1 failed: no answer"]);
    assert_eq!(bench.scheduler.state().pod_count(), 0);
    bench.wait(3);
    assert_eq!(bound_to(&bench.run()), [(uid(1), node_name(1))]);
}

#[test]
fn a_pod_that_is_deleted_or_bound_by_others_while_in_flight_is_left_to_them() {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    bench.step(Input::PodApplied(samples::pod(1, POD)));
    bench.step(Input::PodApplied(samples::pod(2, POD)));
    assert_eq!(bound_to(&bench.run()).len(), 2);
    bench.step(Input::PodDeleted(uid(1)));
    bench.step(Input::PodApplied(Pod { node: Some(node_name(9)), ..samples::pod(2, POD) }));
    bench.result(1, BindResult::Refused("not found".into()));
    bench.result(2, BindResult::Refused("already assigned".into()));
    bench.wait(60);
    assert_eq!(bench.run(), []);
    assert_eq!(bench.scheduler.state().node("node-1").map(|node| node.used().pods), Some(0));
    assert_eq!(bench.scheduler.state().pod("uid-2").map(|(_, node)| node.clone()), Some(node_name(9)));
    assert_eq!(bench.scheduler.inconsistencies(), Vec::<String>::new());
}

#[test]
fn gates_hold_a_pod_back_until_they_are_gone() {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    let spec = PodSpec { scheduling_gates: vec!["wait".into()], ..PodSpec::clone(&samples::spec(POD)) };
    bench.step(Input::PodApplied(Pod::new("uid-1", "default", "pod-1", Arc::new(spec))));
    assert_eq!((bench.run(), bench.scheduler.waiting().gated), (vec![], 1));
    bench.step(Input::PodApplied(samples::pod(1, POD)));
    assert_eq!(bound_to(&bench.run()), [(uid(1), node_name(1))]);
}

#[test]
fn pods_of_other_schedulers_and_pods_that_end_are_not_ours() {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    let spec = PodSpec { scheduler_name: "other".into(), ..PodSpec::clone(&samples::spec(POD)) };
    bench.step(Input::PodApplied(Pod::new("uid-1", "default", "pod-1", Arc::new(spec))));
    bench.step(Input::PodApplied(Pod { terminating: true, ..samples::pod(2, POD) }));
    assert_eq!(bench.run(), []);
}

#[test]
fn a_dry_run_changes_nothing_and_holds_a_pod_to_the_node_that_it_names() {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    bench.step(Input::NodeApplied(samples::node(2, NODE)));
    let bound = Pod { node: Some(node_name(1)), ..samples::pod(1, POD) };
    bench.step(Input::PodApplied(bound.clone()));
    let cycle = Cycle { now: bench.now, seed: 1, detail: Detail::Full };
    for (node, feasible) in [(None, 2), (Some(node_name(1)), 1)] {
        let pod = Pod { node, ..bound.clone() };
        let decision = bench.scheduler.dry_run(&pod, &NoModel::default(), cycle);
        assert_eq!((decision.feasible_nodes, decision.nodes.len()), (feasible, 2));
    }
    assert_eq!(bench.scheduler.counters().attempts, 0);
    assert_eq!(bench.scheduler.find_pod("default", "pod-1").map(|pod| pod.uid.clone()), Some(uid(1)));
}

/// The API server and the ways to it: what is, and what the scheduler has not heard yet.
#[derive(Default)]
struct Api {
    pods: BTreeMap<u8, (u8, Option<NodeName>)>,
    nodes: BTreeMap<u8, u8>,
    unheard: Vec<Input>,
    binding: BTreeMap<u8, NodeName>,
}

impl Api {
    fn pod(&self, number: u8) -> Option<Pod> {
        let (variant, node) = self.pods.get(&number)?;
        Some(Pod { node: node.clone(), ..samples::pod(number, *variant) })
    }

    fn tell_pod(&mut self, number: u8) {
        let told = self.pod(number).map_or(Input::PodDeleted(uid(number)), Input::PodApplied);
        self.unheard.push(told);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Pod(u8, u8),
    DeletePod(u8),
    Node(u8, u8),
    DeleteNode(u8),
    Foreign(u8, u8),
    Decide(u8),
    Answer(u8, u8),
    Hear(u8),
    Relist,
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (pod, node) = (0..12u8, 0..4u8);
    prop_oneof![
        4 => (pod.clone(), any::<u8>()).prop_map(|(pod, variant)| Step::Pod(pod, variant)),
        1 => pod.clone().prop_map(Step::DeletePod),
        2 => (node.clone(), any::<u8>()).prop_map(|(node, variant)| Step::Node(node, variant)),
        1 => node.clone().prop_map(Step::DeleteNode),
        1 => (pod.clone(), node).prop_map(|(pod, node)| Step::Foreign(pod, node)),
        4 => (1..4u8).prop_map(Step::Decide),
        4 => (pod, 0..6u8).prop_map(|(pod, how)| Step::Answer(pod, how)),
        4 => (1..6u8).prop_map(Step::Hear),
        1 => Just(Step::Relist),
        2 => (0..20u8).prop_map(Step::Wait),
    ]
}

fn hear(bench: &mut Bench, api: &mut Api, count: usize) {
    let count = count.min(api.unheard.len());
    for input in api.unheard.drain(..count).collect::<Vec<_>>() {
        bench.step(input);
    }
}

/// The bindings that the effects ask for; none may be under way twice, and each fits its node.
fn take_binds(bench: &mut Bench, api: &mut Api) -> Result<(), TestCaseError> {
    for (pod, node) in bound_to(&std::mem::take(&mut bench.effects)) {
        let number: u8 = pod.trim_start_matches("uid-").parse().expect("a number");
        prop_assert!(api.binding.insert(number, node.clone()).is_none(), "pod {} is being bound twice", number);
        let state = bench.scheduler.state();
        let used = state.node(&node).expect("a known node").used();
        prop_assert!(used.pods <= used.allowed_pods);
        // A node that shrank is no obstacle to a pod that asks for nothing.
        let asks = state.pod(&pod).is_some_and(|(pod, _)| pod.requests().granted.cpu.get() > 0);
        prop_assert!(!asks || used.requested_cpu <= used.allocatable_cpu);
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_no_pod_is_lost_or_placed_twice(steps in prop::collection::vec(step(), 1..80)) {
        let (mut bench, mut api) = (Bench::new(), Api::default());
        for step in steps {
            match step {
                Step::Pod(number, variant) => {
                    api.pods.entry(number).or_insert((variant, None));
                    api.tell_pod(number);
                }
                Step::DeletePod(number) => {
                    api.pods.remove(&number);
                    api.tell_pod(number);
                }
                Step::Node(number, variant) => {
                    api.nodes.insert(number, variant);
                    api.unheard.push(Input::NodeApplied(samples::node(number, variant)));
                }
                Step::DeleteNode(number) => {
                    api.nodes.remove(&number);
                    api.unheard.push(Input::NodeDeleted(node_name(number)));
                }
                Step::Foreign(number, node) => {
                    if let Some((_, at @ None)) = api.pods.get_mut(&number) {
                        *at = Some(node_name(node));
                        api.tell_pod(number);
                    }
                }
                Step::Decide(count) => {
                    for _ in 0..count {
                        bench.scheduler.run_once(&NoModel::default(), bench.now, &mut bench.effects);
                        take_binds(&mut bench, &mut api)?;
                    }
                }
                Step::Answer(number, how) => {
                    let Some(node) = api.binding.remove(&number) else { continue };
                    let result = match (api.pods.get_mut(&number), how) {
                        (Some((_, at @ None)), 0..=3) => {
                            *at = Some(node);
                            api.tell_pod(number);
                            BindResult::Bound
                        }
                        (Some((_, None)), _) => BindResult::Unavailable("no answer".into()),
                        _ => BindResult::Refused("conflict".into()),
                    };
                    bench.result(number, result);
                }
                Step::Hear(count) => hear(&mut bench, &mut api, usize::from(count)),
                Step::Relist => {
                    api.unheard.clear();
                    let nodes = api.nodes.iter().map(|(number, variant)| samples::node(*number, *variant)).collect();
                    bench.step(Input::NodesReset(nodes));
                    let pods = api.pods.keys().filter_map(|number| api.pod(*number)).collect();
                    bench.step(Input::PodsReset(pods));
                }
                Step::Wait(seconds) => bench.wait(u64::from(seconds)),
            }
            prop_assert_eq!(bench.scheduler.inconsistencies(), Vec::<String>::new());
        }
        // In the end everything is heard and answered, and the scheduler agrees with the API server.
        hear(&mut bench, &mut api, usize::MAX);
        for (number, node) in std::mem::take(&mut api.binding) {
            let result = match api.pods.get_mut(&number) {
                Some((_, at @ None)) => {
                    *at = Some(node);
                    BindResult::Bound
                }
                _ => BindResult::Refused("conflict".into()),
            };
            bench.result(number, result);
            api.tell_pod(number);
        }
        hear(&mut bench, &mut api, usize::MAX);
        prop_assert_eq!(bench.scheduler.inconsistencies(), Vec::<String>::new());
        for (number, (_, node)) in &api.pods {
            let placed = bench.scheduler.state().pod(&uid(*number)).map(|(_, node)| node.clone());
            prop_assert_eq!(&placed, node, "pod {}", number);
            prop_assert_eq!(bench.scheduler.queued(&uid(*number)).is_some(), node.is_none(), "pod {} waits", number);
        }
        prop_assert_eq!(bench.scheduler.state().pod_count(), api.pods.values().filter(|(_, node)| node.is_some()).count());
        prop_assert_eq!(bench.scheduler.binding(), 0);
    }
}

fn claim(volume: Option<&str>) -> Related {
    Related::PersistentVolumeClaim(Arc::new(PersistentVolumeClaim {
        namespace: "default".into(),
        name: "data".into(),
        uid: "claim-uid".into(),
        controller: None,
        class: "fast".into(),
        volume: volume.map(Into::into),
        bind_completed: volume.is_some(),
        lost: false,
        terminating: false,
        access_modes: AccessModes::of(["ReadWriteOncePod"]),
        block: false,
        requested: None,
        selector: None,
        attributes_class: "".into(),
        selected_node: None,
    }))
}

fn volume() -> Related {
    Related::PersistentVolume(Arc::new(PersistentVolume {
        name: "disk".into(),
        labels: Labels::default(),
        class: "fast".into(),
        claim: None,
        capacity: augur_notation::Quantity::of_milli(0),
        access_modes: AccessModes::of(["ReadWriteOncePod"]),
        block: false,
        attributes_class: "".into(),
        node_affinity: None,
        available: true,
        terminating: false,
        source: VolumeSource::Other,
    }))
}

fn class(binding_mode: BindingMode) -> Related {
    Related::StorageClass(Arc::new(StorageClass {
        name: "fast".into(),
        provisioner: "kubernetes.io/no-provisioner".into(),
        binding_mode: Some(binding_mode),
        allowed_topologies: Vec::new(),
    }))
}

fn with_claim(number: u8) -> Pod {
    let pod = samples::pod(number, POD);
    let mut spec = PodSpec::clone(&pod.spec);
    spec.volumes.push(PodVolume::Claim("data".into()));
    Pod { namespace: "default".into(), spec: Arc::new(spec), ..pod }
}

#[test]
fn a_pod_with_a_claim_waits_for_what_concerns_it_and_nothing_else() {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    bench.step(Input::PodApplied(with_claim(1)));
    assert!(messages(&bench.run())[0].contains("persistent volume claims without a list of"));
    for kind in RelatedKind::ALL {
        bench.step(Input::RelatedReset(kind, Vec::new()));
    }
    bench.wait(20);
    let missing = "0/1 nodes are available: persistentvolumeclaim \"data\" not found. not found";
    assert_eq!(messages(&bench.run()), [missing]);
    bench.step(Input::RelatedApplied(volume()));
    bench.wait(20);
    assert!(bench.run().is_empty(), "a volume does not make the claim be there");
    bench.step(Input::RelatedApplied(class(BindingMode::WaitForFirstConsumer)));
    bench.step(Input::RelatedApplied(claim(None)));
    bench.wait(20);
    assert!(matches!(&bench.run()[..], [Effect::Prepare { decision, .. }] if decision.volumes.bindings.len() == 1));
}

#[test]
fn a_claim_for_one_pod_is_free_when_that_pod_is_gone() {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    for kind in RelatedKind::ALL {
        bench.step(Input::RelatedReset(kind, Vec::new()));
    }
    for object in [volume(), class(BindingMode::Immediate), claim(Some("disk"))] {
        bench.step(Input::RelatedApplied(object));
    }
    bench.step(Input::PodApplied(with_claim(1)));
    assert_eq!(bound_to(&bench.run()), [(uid(1), node_name(1))]);
    bench.result(1, BindResult::Bound);
    bench.step(Input::PodApplied(with_claim(2)));
    assert!(messages(&bench.run())[0].contains("ReadWriteOncePod access mode already in-use"));
    bench.step(Input::PodDeleted(uid(1)));
    bench.wait(20);
    assert_eq!(bound_to(&bench.run()), [(uid(2), node_name(1))]);
}

#[test]
fn a_reset_forgets_what_is_not_in_it() {
    let mut bench = Bench::new();
    bench.step(Input::RelatedReset(RelatedKind::PersistentVolume, vec![volume(), claim(None)]));
    let related = bench.scheduler.state().related();
    assert!(related.volume("disk").is_some() && related.claim("default", "data").is_none());
    assert!(related.is_listed(RelatedKind::PersistentVolume));
    assert_eq!(related.volumes_of_class("fast").count(), 1);
    bench.step(Input::RelatedReset(RelatedKind::PersistentVolume, Vec::new()));
    let related = bench.scheduler.state().related();
    assert!(related.volume("disk").is_none() && related.volumes_of_class("fast").next().is_none());
}

/// A pod that asks for the given CPU and says how important it is.
fn important(number: u8, milli_cpu: i64, priority: i32) -> Pod {
    let container = crate::object::ContainerResources {
        requests: vec![("cpu".into(), augur_notation::Quantity::of_milli(milli_cpu))],
        ..Default::default()
    };
    let resources = crate::object::PodResources { containers: vec![container], ..Default::default() };
    let spec = PodSpec {
        scheduler_name: "default-scheduler".into(),
        priority,
        requests: resources.requests(),
        ..PodSpec::default()
    };
    Pod::new(&uid(number), "default", &format!("pod-{number}"), Arc::new(spec))
}

/// One node with two pods of no importance that fill it, and one that has come to displace one; the effects of that.
fn displaced() -> (Bench, Vec<Effect>) {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    for number in [1, 2] {
        let pod = Pod { node: Some(node_name(1)), ..important(number, 1200, 0) };
        bench.step(Input::PodApplied(pod));
    }
    bench.step(Input::PodApplied(important(3, 1200, 10)));
    let effects = bench.run();
    (bench, effects)
}

fn evicted(effects: &[Effect]) -> Vec<PodUid> {
    let evicted = |effect: &Effect| match effect {
        Effect::Evict { victim, .. } => Some(victim.uid.clone()),
        _ => None,
    };
    effects.iter().filter_map(evicted).collect()
}

#[test]
fn a_pod_gets_the_place_of_a_less_important_one_when_that_is_gone() {
    let (mut bench, effects) = displaced();
    let victims = evicted(&effects);
    assert_eq!(victims.len(), 1);
    let nominated = |effect: &Effect| matches!(effect, Effect::Unschedulable { nomination: Nomination::Node(node), .. } if *node == node_name(1));
    assert!(effects.iter().any(nominated), "{effects:?}");
    bench.step(Input::EvictionResult { uid: victims[0].clone(), result: Ok(()) });
    // A less important pod does not get the place meanwhile, nor does a change of another pod lead to more victims.
    bench.step(Input::PodApplied(important(4, 600, 0)));
    bench.step(Input::PodApplied(Pod {
        node: Some(node_name(1)),
        phase: crate::object::Phase::Running,
        ..important(2, 1200, 0)
    }));
    bench.wait(400);
    assert_eq!(evicted(&bench.run()), [""; 0].map(PodUid::from));
    bench.step(Input::PodDeleted(victims[0].clone()));
    bench.wait(400);
    assert_eq!(bound_to(&bench.run()), [(uid(3), node_name(1))]);
    assert_eq!(bench.scheduler.inconsistencies(), [""; 0]);
}

#[test]
fn a_pod_of_lower_priority_loses_the_place_that_it_waited_for() {
    let (mut bench, effects) = displaced();
    let victims = evicted(&effects);
    // While the place becomes free, a pod comes that is more important than the one it is for.
    bench.step(Input::PodApplied(important(4, 2400, 20)));
    let effects = bench.run();
    let cleared = |effect: &Effect| matches!(effect, Effect::ClearNomination { pod } if pod.uid == uid(3));
    assert!(effects.iter().any(cleared), "{effects:?}");
    let node = node_name(1);
    let nominated: Vec<_> = bench.scheduler.state().nominated(&node).iter().map(|pod| pod.uid.clone()).collect();
    assert_eq!(nominated, [uid(4)]);
    assert_eq!(victims.len(), 1);
}

#[test]
fn nobody_is_evicted_before_it_is_known_whom_a_budget_protects() {
    let mut bench = Bench { scheduler: Scheduler::new(SchedulerConfig::default()), ..Bench::new() };
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    bench.step(Input::PodApplied(Pod { node: Some(node_name(1)), ..important(1, 2400, 0) }));
    bench.step(Input::PodApplied(important(2, 1200, 10)));
    let effects = bench.run();
    assert_eq!(evicted(&effects).len(), 0);
    assert!(messages(&effects)[0].ends_with("before poddisruptionbudgets have been listed."), "{effects:?}");
    bench.step(Input::BudgetsReset(Vec::new()));
    bench.wait(400);
    assert_eq!(evicted(&bench.run()), [uid(1)]);
}

#[test]
fn an_eviction_that_fails_is_tried_again() {
    let (mut bench, effects) = displaced();
    let victims = evicted(&effects);
    bench.step(Input::EvictionResult { uid: victims[0].clone(), result: Err("no answer".into()) });
    bench.wait(15);
    assert_eq!(evicted(&bench.run()), victims);
}

#[test]
fn a_pod_that_must_not_preempt_waits() {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    bench.step(Input::PodApplied(Pod { node: Some(node_name(1)), ..important(1, 2400, 0) }));
    let mut pod = important(2, 1200, 10);
    let policy = crate::object::PreemptionPolicy::Never;
    pod.spec = Arc::new(PodSpec { preemption_policy: policy, ..PodSpec::clone(&pod.spec) });
    bench.step(Input::PodApplied(pod));
    let effects = bench.run();
    assert_eq!(evicted(&effects).len(), 0);
    assert!(messages(&effects)[0].ends_with("preemption: not eligible due to preemptionPolicy=Never."), "{effects:?}");
}
