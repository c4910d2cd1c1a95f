//! What would happen if: [`Rehearsal`] drains nodes and places pods on a copy of the cluster, by the same state machine that
//! schedules, and tells what would make a node feasible.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{BindResult, Effect, Input, Nomination, Scheduler, SchedulerConfig};
use crate::cycle::{Cycle, Decision, Detail, WithoutPods};
use crate::object::{Node, NodeName, Pod, PodUid, ResourceName, Taint, Toleration};
use crate::predictor::Predictor;
use crate::state::ClusterState;
use crate::time::Timestamp;

/// The taint that goes with a cordon.
const CORDON: &str = "node.kubernetes.io/unschedulable";
/// Changes of one node that are tried one after another: cordon, taints, room, and once more what comes to light then.
const ROUNDS: usize = 5;

/// Where a rehearsed pod ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The node; `None` if none fits.
    pub node: Option<NodeName>,
    /// Why it fits nowhere, as its event would say; empty for a pod that has a node.
    pub message: String,
    /// How it was judged last; `None` for a pod that was not looked at in time.
    pub decision: Option<Arc<Decision>>,
    /// Pods that were evicted for it.
    pub evicted: Vec<Arc<Pod>>,
}

/// What a drain does to the pods of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drained {
    /// Pods that their controllers make anew, elsewhere.
    pub moved: Vec<Arc<Pod>>,
    /// Pods that stay: those of daemon sets, and static ones.
    pub stay: Vec<Arc<Pod>>,
    /// Pods that nobody makes anew.
    pub lost: Vec<Arc<Pod>>,
}

/// A change of a node after which a pod fits there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// The node is uncordoned.
    Uncordon,
    /// The node loses the taint, or the pod tolerates it.
    Taint(Taint),
    /// So much more is free: CPU in thousandths of a core, memory and disk in bytes, pods and others in whole units.
    Free(ResourceName, i64),
}

/// The cluster as it was once, and what would become of it.
pub struct Rehearsal {
    scheduler: Scheduler,
    now: Timestamp,
    effects: Vec<Effect>,
    /// Pods to be placed, in the order in which they were given.
    pods: Vec<Arc<Pod>>,
    ends: HashMap<PodUid, Rehearsed>,
}

impl Rehearsal {
    /// Begins with a state; whatever waits for a node in the real cluster takes no part.
    #[must_use]
    pub fn new(config: SchedulerConfig, state: ClusterState, now: Timestamp) -> Rehearsal {
        let scheduler = Scheduler::over(config, state);
        Rehearsal { scheduler, now, effects: Vec::new(), pods: Vec::new(), ends: HashMap::new() }
    }

    /// The cluster as it is by now.
    #[must_use]
    pub fn state(&self) -> &ClusterState {
        self.scheduler.state()
    }

    /// Cordons the node and has its pods leave it; `None` if there is no such node. Disruption budgets delay a real drain and do
    /// not change where pods go, so they are not looked at.
    pub fn drain(&mut self, name: &str) -> Option<Drained> {
        let view = self.scheduler.state().node(name)?;
        let (node, pods) = (view.node().clone(), view.pods().to_vec());
        self.step(Input::NodeApplied(Node { unschedulable: true, ..Node::clone(&node) }));
        let mut drained = Drained::default();
        for pod in pods {
            let kind = pod.workload.as_ref().map(|workload| &*workload.kind);
            match kind {
                // A static pod belongs to its node.
                Some("DaemonSet" | "Node") => drained.stay.push(pod),
                _ => {
                    self.step(Input::PodDeleted(pod.uid.clone()));
                    if kind.is_some_and(|kind| kind != "Pod") { &mut drained.moved } else { &mut drained.lost }
                        .push(pod);
                }
            }
        }
        for (number, pod) in drained.moved.iter().enumerate() {
            self.add(Pod {
                uid: format!("drained-{}-{number}-{name}", self.pods.len()).into(),
                node: None,
                nominated_node: None,
                phase: crate::object::Phase::Pending,
                created: None,
                started: None,
                terminating: false,
                preempted: false,
                resized: None,
                ..Pod::clone(pod)
            });
        }
        Some(drained)
    }

    /// Adds a pod to be placed. One that asks for a scheduler which is not served here is placed as if it asked for ours, if there
    /// is only one.
    pub fn add(&mut self, mut pod: Pod) {
        if self.scheduler.profile(&pod.spec.scheduler_name).is_none()
            && let Some(ours) = self.scheduler.profiles().min_by(|a, b| a.scheduler_name.cmp(&b.scheduler_name))
        {
            let mut spec = (*pod.spec).clone();
            spec.scheduler_name = ours.scheduler_name.clone();
            pod.spec = Arc::new(spec);
        }
        self.pods.push(Arc::new(pod.clone()));
        self.step(Input::PodApplied(pod));
    }

    /// Places the pods in the order of the queue, as long as `go_on` says so before each decision. What is evicted is gone at
    /// once. Tells where each pod ended, in the order in which they were given.
    pub fn run(&mut self, predictor: &dyn Predictor, mut go_on: impl FnMut() -> bool) -> Vec<Rehearsed> {
        loop {
            while self.scheduler.has_work() {
                if !go_on() {
                    return self.ends();
                }
                self.scheduler.run_once(predictor, self.now, &mut self.effects);
                self.follow();
            }
            // Only pods for which room was made have something to wait for.
            let made_room = self.ends.values().any(|end| end.node.is_none() && !end.evicted.is_empty());
            let Some(next) = self.scheduler.next_wakeup().filter(|_| made_room) else { return self.ends() };
            self.now = if next > self.now { next } else { self.now + Duration::from_secs(1) };
            self.step(Input::Tick);
            if !go_on() {
                return self.ends();
            }
        }
    }

    /// Decides for a pod as if it were next and not on a node yet, with a report on all nodes.
    #[must_use]
    pub fn judge(&mut self, pod: &Pod, predictor: &dyn Predictor, seed: u64) -> Decision {
        self.step(Input::PodDeleted(pod.uid.clone()));
        let cycle = Cycle { now: self.now, seed, detail: Detail::Full };
        self.scheduler.dry_run(&Pod { node: None, ..pod.clone() }, predictor, cycle)
    }

    /// The changes of the node after which the pod fits there; `None` if no changes of cordon, taints and room are enough. Tried
    /// out one after another on the copy, which is afterwards as before.
    pub fn remedies(&mut self, pod: &Pod, name: &str) -> Option<Vec<Remedy>> {
        let pod = Pod { node: None, ..pod.clone() };
        let original = self.scheduler.state().node(name)?.node().clone();
        let mut remedies = Vec::new();
        let mut enough = false;
        for _ in 0..ROUNDS {
            let place = [WithoutPods { node: name.into(), leaving: Vec::new() }];
            match self.scheduler.fits_without(&pod, &place, self.now).into_iter().next()? {
                Ok(()) => {
                    enough = true;
                    break;
                }
                Err(reasons) => {
                    let view = self.scheduler.state().node(name)?;
                    let mut node = Node::clone(view.node());
                    let found = remedies_for(&reasons, &pod, view, &mut node);
                    if found.is_empty() {
                        break;
                    }
                    remedies.extend(found);
                    self.step(Input::NodeApplied(node));
                }
            }
        }
        self.step(Input::NodeApplied(Node::clone(&original)));
        enough.then_some(remedies)
    }

    fn step(&mut self, input: Input) {
        self.scheduler.step(input, self.now, &mut self.effects);
        self.follow();
    }

    /// Carries out what the scheduler asks for, as a cluster would in which everything succeeds at once.
    fn follow(&mut self) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    // What has to be prepared counts as assumed already.
                    Effect::Prepare { pod, node, decision, .. } => self.placed(pod, node, decision),
                    Effect::Bind { pod, node, decision, .. } => {
                        let uid = pod.uid.clone();
                        self.placed(pod, node, decision);
                        let input = Input::BindResult { uid, result: BindResult::Bound };
                        self.scheduler.step(input, self.now, &mut self.effects);
                    }
                    Effect::Unschedulable { pod, message, decision, nomination, .. } => {
                        let end = self.end(pod);
                        end.message = message;
                        end.decision = decision;
                        if nomination == Nomination::Cleared {
                            end.evicted.clear();
                        }
                    }
                    Effect::Evict { victim, preemptor, .. } => {
                        self.end(preemptor).evicted.push(victim.clone());
                        let result = Input::EvictionResult { uid: victim.uid.clone(), result: Ok(()) };
                        for input in [result, Input::PodDeleted(victim.uid.clone())] {
                            self.scheduler.step(input, self.now, &mut self.effects);
                        }
                    }
                    Effect::Abandoned { .. }
                    | Effect::Recall { .. }
                    // A rehearsal has no extenders.
                    | Effect::Consult { .. }
                    | Effect::FreeClaim { .. }
                    | Effect::ClearNomination { .. } => {}
                }
            }
        }
    }

    fn placed(&mut self, pod: Arc<Pod>, node: NodeName, decision: Arc<Decision>) {
        let end = self.end(pod);
        end.node = Some(node);
        end.message = String::new();
        end.decision = Some(decision);
    }

    fn end(&mut self, pod: Arc<Pod>) -> &mut Rehearsed {
        let end = Rehearsed { pod, node: None, message: String::new(), decision: None, evicted: Vec::new() };
        self.ends.entry(end.pod.uid.clone()).or_insert(end)
    }

    fn ends(&mut self) -> Vec<Rehearsed> {
        let mut ends = std::mem::take(&mut self.ends);
        let untouched =
            |pod: Arc<Pod>| Rehearsed { pod, node: None, message: String::new(), decision: None, evicted: Vec::new() };
        let mut end = |pod: Arc<Pod>| ends.remove(&pod.uid).unwrap_or_else(|| untouched(pod));
        std::mem::take(&mut self.pods).into_iter().map(&mut end).collect()
    }
}

/// How much more of each resource the node would need for the pod: CPU in thousandths of a core, memory and disk in bytes, pods and
/// others in whole units. Only what is lacking is listed.
#[must_use]
pub fn lacking(pod: &Pod, view: crate::state::NodeView<'_>) -> Vec<(ResourceName, i64)> {
    let (wanted, used) = (&pod.requests().granted, view.used());
    let common = [
        ("cpu", wanted.cpu.get(), used.allocatable_cpu.get() - used.requested_cpu.get()),
        ("memory", wanted.memory.get(), used.allocatable_memory.get() - used.requested_memory.get()),
        (
            "ephemeral-storage",
            wanted.ephemeral_storage.get(),
            used.allocatable_storage.get() - used.requested_storage.get(),
        ),
    ];
    // What is not asked for is not lacking, however much is overcommitted.
    let common = common
        .into_iter()
        .filter(|(_, wanted, _)| *wanted > 0)
        .map(|(name, wanted, free)| (name.into(), wanted - free));
    let others = wanted.scalars.iter().filter(|(_, wanted)| *wanted > 0).map(|(name, wanted)| {
        let (there_is, taken) = view.scalar(name);
        (name.clone(), wanted - (there_is - taken))
    });
    let pods = std::iter::once(("pods".into(), used.pods + 1 - used.allowed_pods));
    common.chain(others).chain(pods).filter(|(_, lack)| *lack > 0).collect()
}

/// Changes of the node that meet the reasons; they are made to `node`.
fn remedies_for(reasons: &[String], pod: &Pod, view: crate::state::NodeView<'_>, node: &mut Node) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    let says = |part: &str| reasons.iter().any(|reason| reason.contains(part));
    let untolerated = |taint: &Taint| taint.effect.is_hard() && !Toleration::any_covers(&pod.spec.tolerations, taint);
    let cordoned = node.unschedulable || node.taints.iter().any(|taint| &*taint.key == CORDON && untolerated(taint));
    if cordoned && (says("were unschedulable") || says("untolerated taint")) {
        node.unschedulable = false;
        node.taints.retain(|taint| &*taint.key != CORDON);
        remedies.push(Remedy::Uncordon);
    } else if says("untolerated taint") {
        let (gone, kept) = std::mem::take(&mut node.taints).into_iter().partition(untolerated);
        node.taints = kept;
        remedies.extend(Vec::into_iter(gone).map(Remedy::Taint));
    } else if says("Insufficient") || says("Too many pods") {
        for (name, lack) in lacking(pod, view) {
            let allocatable = &mut node.allocatable;
            match &*name {
                "cpu" => allocatable.cpu += crate::units::MilliCpu(lack),
                "memory" => allocatable.memory += crate::units::Bytes(lack),
                "ephemeral-storage" => allocatable.ephemeral_storage += crate::units::Bytes(lack),
                "pods" => node.allowed_pods += lack,
                _ => match allocatable.scalars.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, amount)) => *amount += lack,
                    // A node without such devices gets none by freeing them.
                    None => return Vec::new(),
                },
            }
            remedies.push(Remedy::Free(name, lack));
        }
    }
    remedies
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cycle;
    use crate::object::{PodSelector, Related, RelatedKind, Selects};
    use crate::predictor::NoModel;
    use crate::samples;
    use crate::state::StateCopy;

    fn cluster(nodes: &[(u8, u8)], pods: &[(u8, u8, u8)]) -> ClusterState {
        let mut state = ClusterState::new();
        for (number, variant) in nodes {
            state.apply_node(samples::node(*number, *variant));
        }
        for (number, variant, node) in pods {
            state.place(Arc::new(samples::pod(*number, *variant)), &format!("node-{node}").into());
        }
        state.reset_budgets(Vec::new());
        state
    }

    fn rehearsal(state: ClusterState) -> Rehearsal {
        Rehearsal::new(SchedulerConfig::default(), state, Timestamp::EPOCH)
    }

    fn copied(state: &ClusterState, amount: usize) -> ClusterState {
        let mut copy = StateCopy::begin(state);
        while !copy.advance(state, amount) {}
        copy.build()
    }

    proptest! {
        /// A copy decides as the original, in whatever pieces it was taken and whatever happened between them.
        #[test]
        fn a_copy_decides_as_the_original(
            nodes in prop::collection::vec((0..6u8, any::<u8>()), 1..8),
            pods in prop::collection::vec((0..20u8, any::<u8>(), 0..7u8), 0..20),
            changes in prop::collection::vec((0..20u8, any::<u8>(), 0..6u8, 0..4u8), 0..12),
            amount in 1..6usize,
            asked in prop::collection::vec(any::<u8>(), 1..4),
        ) {
            let mut state = cluster(&nodes, &pods);
            let mut copy = StateCopy::begin(&state);
            for (number, variant, node, what) in changes {
                copy.advance(&state, amount);
                match what {
                    0 => _ = state.apply_node(samples::node(node, variant)),
                    1 => _ = state.remove_node(&format!("node-{node}")),
                    2 => state.place(Arc::new(samples::pod(number, variant)), &format!("node-{node}").into()),
                    _ => drop(state.remove(&samples::pod(number, variant).uid)),
                }
                // What is whole stays as it is.
                if copy.advance(&state, 0) {
                    copy = StateCopy::begin(&state);
                }
            }
            let mut calls = 0;
            while !copy.advance(&state, amount) {
                calls += 1;
                prop_assert!(calls < 1_000);
            }
            let copy = copy.build();
            prop_assert_eq!(copy.inconsistencies(), Vec::<String>::new());
            for variant in asked {
                let pod = samples::pod(100, variant);
                let cycle = Cycle { now: Timestamp::EPOCH, seed: 7, detail: Detail::Full };
                let decide = |state| cycle::decide(state, &pod, &Default::default(), &NoModel::default(), cycle);
                prop_assert_eq!(decide(&copy), decide(&state));
            }
        }
    }

    #[test]
    fn a_copy_has_all_related_objects_as_they_were_at_its_end() {
        let service = |namespace: u8, name: u8| {
            let (namespace, name) = (format!("ns-{namespace}").into(), format!("s-{name}").into());
            Related::Service(Arc::new(PodSelector { namespace, name, selects: Selects::Nothing }))
        };
        let mut state = ClusterState::new();
        for number in 0..12 {
            state.apply_related(service(number % 4, number));
        }
        let mut copy = StateCopy::begin(&state);
        assert!(!copy.advance(&state, 5));
        // Before and behind what was copied; a whole namespace goes.
        state.apply_related(service(0, 100));
        state.apply_related(service(3, 100));
        for name in [1, 5, 9] {
            state.remove_related(RelatedKind::Service, &service(1, name).key());
        }
        state.set_listed(RelatedKind::Service);
        while !copy.advance(&state, 1) {}
        let copy = copy.build();
        let keys = |state: &ClusterState| {
            let mut keys: Vec<_> = state.related().keys(RelatedKind::Service).collect();
            keys.sort();
            keys
        };
        assert_eq!(keys(&copy).len(), 11);
        assert_eq!(keys(&copy), keys(&state));
        assert!(copy.related().is_listed(RelatedKind::Service));
    }

    /// A node of variant 3 has no taint and takes 2.5 CPU and four pods; a pod of variant 6 asks for 600m and tolerates everything.
    const NODE: u8 = 3;
    const POD: u8 = 6;

    #[test]
    fn pods_are_placed_beside_each_other_until_nothing_fits() {
        let state = cluster(&[(1, NODE), (2, NODE)], &[]);
        let mut rehearsal = rehearsal(copied(&state, 1));
        (0..9).for_each(|number| rehearsal.add(samples::pod(number, POD)));
        let ends = rehearsal.run(&NoModel::default(), || true);
        let on = |node: &str| ends.iter().filter(|end| end.node.as_deref() == Some(node)).count();
        assert_eq!((on("node-1"), on("node-2"), ends.len()), (4, 4, 9));
        let left = ends.iter().find(|end| end.node.is_none()).unwrap();
        assert!(left.message.contains("2 Too many pods"), "{}", left.message);
        assert_eq!(state.pod_count(), 0, "the original is as it was");
    }

    #[test]
    fn a_drain_moves_what_has_a_controller() {
        let mut state = cluster(&[(1, NODE), (2, NODE)], &[(1, POD, 1)]);
        let owned = |number, kind: &str| {
            let workload = crate::object::WorkloadRef { kind: kind.into(), name: "w".into() };
            Arc::new(Pod { workload: Some(workload), ..samples::pod(number, POD) })
        };
        state.place(owned(2, "Deployment"), &"node-1".into());
        state.place(owned(3, "DaemonSet"), &"node-1".into());
        let mut rehearsal = rehearsal(state);
        assert!(rehearsal.drain("nowhere").is_none());
        let drained = rehearsal.drain("node-1").unwrap();
        assert_eq!((drained.moved.len(), drained.stay.len(), drained.lost.len()), (1, 1, 1));
        // It tolerates everything, and so the cordon too.
        let ends = rehearsal.run(&NoModel::default(), || true);
        assert_eq!(ends.len(), 1);
        assert_eq!((&ends[0].pod.name, ends[0].node.is_some()), (&samples::pod(2, POD).name, true));
        assert_eq!(rehearsal.state().pod_count(), 2);
    }

    #[test]
    fn the_important_evict_and_take_the_place() {
        let state = cluster(&[(1, NODE)], &[(1, 9, 1), (2, 9, 1), (3, 9, 1), (4, 9, 1)]);
        let mut rehearsal = rehearsal(state);
        // Variant 8 has priority 2, variant 9 has 0.
        rehearsal.add(samples::pod(5, 8));
        let ends = rehearsal.run(&NoModel::default(), || true);
        assert_eq!((ends[0].node.as_deref(), ends[0].evicted.len()), (Some("node-1"), 1), "{:?}", ends[0].message);
        assert_eq!(rehearsal.state().pod_count(), 4);
    }

    #[test]
    fn what_is_not_decided_in_time_is_told_apart() {
        let mut rehearsal = rehearsal(cluster(&[(1, NODE)], &[]));
        (0..3).for_each(|number| rehearsal.add(samples::pod(number, POD)));
        let mut left = 2;
        let ends = rehearsal.run(&NoModel::default(), || {
            left -= 1;
            left >= 0
        });
        assert_eq!(ends.iter().filter(|end| end.decision.is_none()).count(), 1);
    }

    #[test]
    fn remedies_are_tried_out_and_taken_back() {
        let mut state = cluster(&[(1, NODE)], &[(1, POD, 1), (2, POD, 1), (3, POD, 1), (4, POD, 1)]);
        let taint = |key: &str| Taint { key: key.into(), value: "".into(), effect: crate::object::Effect::NoSchedule };
        let node = Node { unschedulable: true, taints: vec![taint(CORDON), taint("a")], ..samples::node(1, NODE) };
        state.apply_node(node.clone());
        let mut rehearsal = rehearsal(state);
        // Variant 11 asks for 400m and tolerates nothing.
        let pod = samples::pod(9, 11);
        let remedies = rehearsal.remedies(&pod, "node-1").unwrap();
        assert_eq!(
            remedies,
            [
                Remedy::Uncordon,
                Remedy::Taint(taint("a")),
                Remedy::Free("cpu".into(), 300),
                Remedy::Free("pods".into(), 1)
            ]
        );
        assert_eq!(**rehearsal.state().node("node-1").unwrap().node(), node);
        assert_eq!(rehearsal.remedies(&pod, "nowhere"), None);
    }
}
