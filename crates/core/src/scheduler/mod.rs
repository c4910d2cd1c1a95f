//! The scheduler as a state machine: [`Scheduler::step`] takes what happened, [`Scheduler::run_once`] takes one decision,
//! and both tell what is to be done. It knows no clock and does no I/O; one thread owns it.

mod advisor;
mod binding;
mod consult;
mod io;
mod preemption;
mod rehearsal;
mod volumes;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

pub use consult::{Answer, CONSULTATIONS, Party, Question};
pub use io::{BindResult, Effect, Input, Nomination};
pub use rehearsal::{Drained, Rehearsal, Rehearsed, Remedy, lacking};

use crate::cache::{AssumedPods, Belief, CONFIRM_WITHIN, Change, Healed};
use crate::cluster_event::ClusterEvent;
use crate::cycle::{self, Cycle, Decider, Decision, Detail, Outcome};
use crate::extender::Extender;
use crate::object::{Node, NodeName, Pod, PodSpec, PodUid, Related, RelatedKey, RelatedKind};
use crate::plugins::{PluginId, PluginSet};
use crate::predictor::Predictor;
use crate::profile::{Exploration, Profile};
use crate::queue::{PendingCounts, QueueConfig, QueuedPod, SchedulingQueue};
use crate::state::{ClusterState, mix, name_hash};
use crate::time::Timestamp;
use advisor::Hints;
use binding::Binding;
use consult::Consultations;
use volumes::AssumedVolumes;

/// Settings of the scheduler.
#[derive(Debug, Clone)]
pub struct SchedulerConfig {
    /// One profile for each scheduler name that is served; pods of other names are left alone.
    pub profiles: Vec<Profile>,
    /// Who is asked about pods besides, in this order.
    pub extenders: Vec<Extender>,
    /// Times of the queue.
    pub queue: QueueConfig,
    /// Decides, with pod and attempt, among equally good nodes.
    pub seed: u64,
    /// How long a successful binding may go unconfirmed by the watch before it is given up.
    pub confirm_within: Duration,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        SchedulerConfig {
            profiles: vec![Profile::default()],
            extenders: Vec::new(),
            queue: QueueConfig::default(),
            seed: 0,
            confirm_within: CONFIRM_WITHIN,
        }
    }
}

/// What happened so far, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Attempts to place a pod.
    pub attempts: u64,
    /// Attempts that chose a node.
    pub placed: u64,
    /// Attempts that found no node feasible.
    pub unschedulable: u64,
    /// Attempts on pods that need what is not implemented.
    pub refused: u64,
    /// Attempts that failed, and bindings that did not come about.
    pub errors: u64,
    /// Times that room was made for a pod.
    pub preemptions: u64,
    /// Pods evicted for that.
    pub victims: u64,
    /// Differences from the API server's view that a relist healed.
    pub healed: u64,
    /// Bindings that the API server confirmed and the watch never showed.
    pub expired: u64,
}

/// Places pods: owns the cluster state, the queue, and the books of assumed pods.
///
/// Its size is that of the API server's content: every pod and node in it is an object there.
pub struct Scheduler {
    profiles: HashMap<Arc<str>, Profile>,
    seed: u64,
    state: ClusterState,
    books: AssumedPods,
    queue: SchedulingQueue<ClusterEvent>,
    /// Pods of our profiles that are not known to be on a node by the API server's word, whether queued or being bound.
    pending: HashMap<PodUid, Arc<Pod>>,
    binding: HashMap<PodUid, Binding>,
    /// Of these, the ones that are being prepared.
    preparing: HashSet<PodUid>,
    /// Whether something happened that may matter to them.
    recheck_preparations: bool,
    assumed_volumes: AssumedVolumes,
    /// Nodes with bindings under way, where something came or changed that was not of our making.
    changed_nodes: BTreeSet<NodeName>,
    /// Pods that are being evicted, with those that they make room for, until the watch shows their end.
    evicting: HashMap<PodUid, PodUid>,
    /// Specs in use, so that pods of one template share theirs.
    specs: HashSet<Arc<PodSpec>>,
    /// How many were left when unused ones were dropped last.
    specs_swept: usize,
    decider: Decider,
    consultations: Consultations,
    counters: Counters,
}

impl Scheduler {
    /// An empty scheduler.
    #[must_use]
    pub fn new(config: SchedulerConfig) -> Scheduler {
        let profiles = config.profiles.into_iter().map(|profile| (profile.scheduler_name.clone(), profile)).collect();
        Scheduler {
            profiles,
            seed: config.seed,
            state: ClusterState::new(),
            books: AssumedPods::new(config.confirm_within),
            queue: SchedulingQueue::new(config.queue),
            pending: HashMap::new(),
            binding: HashMap::new(),
            preparing: HashSet::new(),
            recheck_preparations: false,
            assumed_volumes: AssumedVolumes::default(),
            changed_nodes: BTreeSet::new(),
            evicting: HashMap::new(),
            specs: HashSet::new(),
            specs_swept: 0,
            decider: Decider::new(),
            consultations: Consultations::new(config.extenders),
            counters: Counters::default(),
        }
    }

    /// A scheduler that goes on from a state, with nothing waiting.
    fn over(config: SchedulerConfig, state: ClusterState) -> Scheduler {
        let mut scheduler = Scheduler { state, ..Scheduler::new(config) };
        for (pod, node) in scheduler.state.pods() {
            scheduler.books.confirm(&pod.uid, node);
        }
        scheduler
    }

    /// Follows what happened. Takes no decision; see [`Scheduler::run_once`].
    pub fn step(&mut self, input: Input, now: Timestamp, effects: &mut Vec<Effect>) {
        match input {
            Input::NodeApplied(node) => self.apply_node(node, now),
            Input::NodeDeleted(name) => {
                self.state.remove_node(&name);
                self.recheck_preparations = true;
            }
            Input::NodesReset(nodes) => {
                let listed: HashSet<&NodeName> = nodes.iter().map(|node| &node.name).collect();
                let gone: Vec<NodeName> =
                    self.state.nodes().map(|node| node.name().clone()).filter(|name| !listed.contains(name)).collect();
                for name in &gone {
                    self.state.remove_node(name);
                }
                self.recheck_preparations = true;
                nodes.into_iter().for_each(|node| self.apply_node(node, now));
            }
            Input::PodApplied(pod) => self.apply_pod(pod, now),
            Input::PodDeleted(uid) => self.delete_pod(&uid, now),
            Input::PodsReset(pods) => self.reset_pods(pods, now),
            Input::NamespaceApplied { name, labels } => self.state.apply_namespace(name, labels),
            Input::NamespaceDeleted(name) => self.state.remove_namespace(&name),
            Input::NamespacesReset(namespaces) => self.state.reset_namespaces(namespaces),
            Input::RelatedApplied(object) => self.apply_related(object, now),
            Input::RelatedDeleted(kind, key) => self.delete_related(kind, &key, now),
            Input::RelatedReset(kind, objects) => self.reset_related(kind, objects, now),
            Input::Signals(signals) => {
                for (node, signals) in signals {
                    self.state.set_signals(&node, signals);
                }
            }
            Input::Prepared { uid, result } => self.prepared(&uid, result, now, effects),
            Input::BindResult { uid, result } => self.bind_result(&uid, result, now, effects),
            Input::EvictionResult { uid, result } => self.eviction_result(&uid, &result, now),
            Input::Consulted { number, answer } => self.consultations.answer(number, answer, now),
            Input::BudgetApplied(budget) => self.state.apply_budget(budget),
            Input::BudgetDeleted { namespace, name } => self.state.remove_budget(&namespace, &name),
            Input::BudgetsReset(budgets) => self.state.reset_budgets(budgets),
            Input::Tick => self.tick(now),
        }
        self.advance(now, effects);
        if !self.changed_nodes.is_empty() {
            self.recheck(now, effects);
        }
    }

    /// Takes the next decision, or a step of one, if a pod is ready: true if so. The caller decides how many to take before it
    /// looks at inputs again.
    pub fn run_once(&mut self, predictor: &dyn Predictor, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        let Some(turn) = self.next_turn() else { return false };
        let Some(pod) = self.pending.get(&turn.uid).cloned() else {
            self.queue.done(&turn.uid);
            return true;
        };
        if !self.profiles.contains_key(&pod.spec.scheduler_name) {
            self.queue.done(&turn.uid);
            return true;
        }
        let attempts = turn.attempts;
        let seed = mix(self.seed ^ name_hash(&pod.uid) ^ u64::from(attempts));
        let cycle = Cycle { now, seed, detail: Detail::Brief };
        let Some(decision) = self.decide(turn, &pod, predictor, cycle, effects) else { return true };
        let decision = Arc::new(decision);
        self.counters.attempts += 1;
        match &decision.outcome {
            Outcome::Placed(node) => self.assume(&pod, node, &decision, attempts, now, effects),
            Outcome::Unschedulable(diagnosis) => {
                self.counters.unschedulable += 1;
                let (plugins, mut message) = (diagnosis.plugins, diagnosis.message());
                if matches!(diagnosis.preemption, cycle::PreemptionOutlook::Possible(_)) && !self.state.knows_budgets()
                {
                    message.push_str(preemption::HELD_BACK);
                }
                let nomination = self.make_room(&pod, &diagnosis.preemption, seed, now, effects);
                self.queue.reject(&pod.uid, plugins, PluginSet::EMPTY, now, &Hints::of(&self.pending, &self.profiles));
                if let Some(claim) = diagnosis.freed.clone() {
                    effects.push(Effect::FreeClaim { pod: pod.clone(), claim, after: diagnosis.claims });
                }
                let decision = Some(decision);
                effects.push(Effect::Unschedulable { pod, reason: "Unschedulable", message, decision, nomination });
            }
            Outcome::Refused(features) => {
                self.counters.refused += 1;
                let refused_by = |profile| cycle::refused_by(&self.state, &pod, profile);
                let mut plugins = self.profiles.get(&pod.spec.scheduler_name).map_or(PluginSet::EMPTY, refused_by);
                // What the border did not understand belongs to no plugin; the pod waits for its own change.
                plugins.insert(PluginId::SchedulingGates);
                let message = format!(
                    "0/{} nodes are available: the pod needs what Augur does not implement: {}.",
                    decision.total_nodes,
                    features.join(", ")
                );
                self.set_aside(&pod, plugins, "Unschedulable", message, Some(decision), now, effects);
            }
            Outcome::Held { by, why } => {
                let (plugins, message) = (PluginSet::of(&[*by]), why.clone());
                self.set_aside(&pod, plugins, "Unschedulable", message, Some(decision), now, effects);
            }
            Outcome::Gated(_) => {
                let mut plugins = PluginSet::EMPTY;
                plugins.insert(PluginId::SchedulingGates);
                self.queue.reject(&pod.uid, plugins, PluginSet::EMPTY, now, &Hints::of(&self.pending, &self.profiles));
            }
            Outcome::Failed(error) => {
                self.counters.errors += 1;
                let message = error.clone();
                let nomination = self.clear_nomination(&pod, now);
                let none = PluginSet::EMPTY;
                self.queue.reject(&pod.uid, none, none, now, &Hints::of(&self.pending, &self.profiles));
                let decision = Some(decision);
                effects.push(Effect::Unschedulable { pod, reason: "SchedulerError", message, decision, nomination });
            }
        }
        true
    }

    /// When [`Input::Tick`] is next due; `None` if only an input can change anything.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        [self.queue.next_wakeup(), self.next_deadline()].into_iter().flatten().min()
    }

    /// Whether a binding has gone unconfirmed for so long that pods should be listed.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.books.is_overdue(now)
    }

    /// Whether [`Scheduler::run_once`] would take a decision.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.queue.has_next() || self.consultations.has_work()
    }

    /// The cluster as decisions see it, assumed pods included.
    #[must_use]
    pub fn state(&self) -> &ClusterState {
        &self.state
    }

    /// How many pods wait, by place.
    #[must_use]
    pub fn waiting(&self) -> PendingCounts {
        self.queue.pending()
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &SchedulingQueue<ClusterEvent> {
        &self.queue
    }

    /// A pod that is not known to be on a node.
    #[must_use]
    pub fn pending(&self, uid: &PodUid) -> Option<&Arc<Pod>> {
        self.pending.get(uid)
    }

    /// Bindings under way.
    #[must_use]
    pub fn binding(&self) -> usize {
        self.binding.len()
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { healed: self.books.healed(), expired: self.books.expired(), ..self.counters }
    }

    /// The profile of a scheduler name.
    #[must_use]
    pub fn profile(&self, scheduler_name: &str) -> Option<&Profile> {
        self.profiles.get(scheduler_name)
    }

    /// All profiles, in no order.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.values()
    }

    /// A pod by namespace and name, pending or on a node. Looks through all pods.
    #[must_use]
    pub fn find_pod(&self, namespace: &str, name: &str) -> Option<&Arc<Pod>> {
        let pending = self.pending.values();
        pending
            .chain(self.state.pods().map(|(pod, _)| pod))
            .find(|pod| &*pod.name == name && &*pod.namespace == namespace)
    }

    /// What the queue remembers of a pod.
    #[must_use]
    pub fn queued(&self, uid: &PodUid) -> Option<&QueuedPod> {
        self.queue.get(uid)
    }

    /// Decides for a pod without doing anything about it and without asking extenders, with a report on every node. The pod may be one that waits or
    /// one that was never seen; one that names a node goes nowhere else.
    #[must_use]
    pub fn dry_run(&self, pod: &Pod, predictor: &dyn Predictor, cycle: Cycle) -> Decision {
        // Who asks wants to know the best; nothing is placed by which a model could learn.
        self.with_profile(pod, |profile| {
            let profile = Profile { exploration: Exploration::OFF, ..profile.clone() };
            cycle::decide(&self.state, pod, &profile, predictor, cycle)
        })
    }

    /// Whether the pod would fit each of the nodes if the named pods left it; see [`cycle::fits_without`].
    #[must_use]
    pub fn fits_without(
        &self,
        pod: &Pod,
        nodes: &[cycle::WithoutPods],
        now: Timestamp,
    ) -> Vec<Result<(), Vec<String>>> {
        self.with_profile(pod, |profile| cycle::fits_without(&self.state, pod, profile, nodes, now))
    }

    /// The profile of a pod; kube-scheduler's for one of another scheduler, unless there is only one here.
    fn with_profile<T>(&self, pod: &Pod, use_it: impl FnOnce(&Profile) -> T) -> T {
        let only = || self.profiles.values().next().filter(|_| self.profiles.len() == 1);
        match self.profiles.get(&pod.spec.scheduler_name).or_else(only) {
            Some(profile) => use_it(profile),
            None => use_it(&Profile::default()),
        }
    }

    /// Breaks of the invariants between queue, books and state; empty when all is well.
    #[must_use]
    pub fn inconsistencies(&self) -> Vec<String> {
        let mut problems = self.queue.inconsistencies();
        problems.extend(self.state.inconsistencies());
        for (pod, node) in self.state.pods() {
            if self.books.get(&pod.uid).map(|(known, _)| known) != Some(node) {
                problems.push(format!("pod {} is on {node} but not in the books", pod.uid));
            }
        }
        for queued in self.queue.iter() {
            if !self.pending.contains_key(&queued.uid) {
                problems.push(format!("pod {} is queued but not pending", queued.uid));
            }
        }
        problems
    }

    fn apply_node(&mut self, node: Node, now: Timestamp) {
        let name = node.name.clone();
        let before = self.state.node(&name).map(|known| known.node().clone());
        self.state.apply_node(node);
        let Some(node) = self.state.node(&name).map(|known| known.node().clone()) else { return };
        let event = match before {
            None => ClusterEvent::NodeAdded(node),
            Some(before) if Arc::ptr_eq(&before, &node) => return,
            Some(before) => ClusterEvent::NodeChanged { before, node },
        };
        self.note_change(&name);
        self.tell_queue(&event, now);
    }

    /// Bindings to the node that are under way have to be looked at again.
    fn note_change(&mut self, node: &NodeName) {
        if self.binding.values().any(|binding| binding.node == *node) {
            self.changed_nodes.insert(node.clone());
        }
    }

    fn apply_related(&mut self, object: Related, now: Timestamp) {
        let object = self.assumed_volumes.as_it_counts(object);
        self.recheck_preparations |= !self.preparing.is_empty();
        self.count_related(object, now);
    }

    fn delete_related(&mut self, kind: RelatedKind, key: &RelatedKey, now: Timestamp) {
        self.assumed_volumes.gone(kind, key);
        self.recheck_preparations |= !self.preparing.is_empty();
        if let Some(gone) = self.state.remove_related(kind, key) {
            self.tell_queue(&ClusterEvent::RelatedRemoved(gone), now);
        }
    }

    fn reset_related(&mut self, kind: RelatedKind, objects: Vec<Related>, now: Timestamp) {
        let objects: Vec<Related> = objects.into_iter().filter(|object| object.kind() == kind).collect();
        let listed: HashSet<RelatedKey> = objects.iter().map(Related::key).collect();
        let gone: Vec<RelatedKey> = self.state.related().keys(kind).filter(|key| !listed.contains(key)).collect();
        gone.iter().for_each(|key| self.delete_related(kind, key, now));
        objects.into_iter().for_each(|object| self.apply_related(object, now));
        if self.state.set_listed(kind) {
            self.tell_queue(&ClusterEvent::RelatedListed(kind), now);
        }
    }

    fn tell_queue(&mut self, event: &ClusterEvent, now: Timestamp) {
        self.queue.on_event(event, now, &Hints::of(&self.pending, &self.profiles), |_| true);
    }

    /// The pod with its spec shared.
    fn share(&mut self, mut pod: Pod) -> Arc<Pod> {
        match self.specs.get(&pod.spec) {
            Some(known) => pod.spec = known.clone(),
            None => {
                self.specs.insert(pod.spec.clone());
            }
        }
        if self.specs.len() > 2 * self.specs_swept + 1024 {
            self.specs.retain(|spec| Arc::strong_count(spec) > 1);
            self.specs_swept = self.specs.len();
        }
        Arc::new(pod)
    }

    fn apply_pod(&mut self, pod: Pod, now: Timestamp) {
        let pod = self.as_it_counts(pod);
        let pod = self.share(pod);
        let uid = pod.uid.clone();
        if pod.phase.is_over() {
            self.evicting.remove(&uid);
            self.forget_pending(&uid, now);
            let change = self.books.remove(&uid);
            self.follow(&pod, change, now);
            return;
        }
        if let Some(node) = pod.node.clone() {
            self.forget_pending(&uid, now);
            let change = self.books.confirm(&uid, &node);
            if change == Change::default() {
                let assumed = self.state.pod(&uid).is_some_and(|(known, _)| known.node.is_none());
                self.state.update_pod(pod.clone());
                if assumed {
                    self.tell_queue(&ClusterEvent::PodPlaced(pod), now);
                }
            } else {
                self.follow(&pod, change, now);
                self.note_change(&node);
            }
            return;
        }
        let ours = self.profiles.contains_key(&pod.spec.scheduler_name);
        if !ours || pod.terminating {
            self.forget_pending(&uid, now);
            return;
        }
        if let Some((_, Belief::Bound { .. } | Belief::Confirmed)) = self.books.get(&uid) {
            // The watch is behind: the pod is bound.
            return;
        }
        let priority = pod.spec.priority;
        let before = self.pending.insert(uid.clone(), pod.clone());
        self.follow_nomination(&pod, before.as_ref(), now);
        if self.binding.contains_key(&uid) {
            return;
        }
        let hints = Hints::of(&self.pending, &self.profiles);
        match before {
            None => self.queue.add(&uid, priority, now, &hints),
            Some(before)
                if Arc::ptr_eq(&before.spec, &pod.spec)
                    && before.labels == pod.labels
                    && before.generated_claims == pod.generated_claims => {}
            Some(_) => self.queue.update(&uid, priority, [ClusterEvent::PodChanged], now, &hints),
        }
    }

    fn delete_pod(&mut self, uid: &PodUid, now: Timestamp) {
        let pending = self.pending.get(uid).cloned();
        self.evicting.remove(uid);
        self.forget_pending(uid, now);
        let change = self.books.remove(uid);
        let known = self.state.pod(uid).map(|(pod, _)| pod.clone()).or(pending);
        if let Some(pod) = known {
            self.follow(&pod, change, now);
        }
    }

    fn reset_pods(&mut self, pods: Vec<Pod>, now: Timestamp) {
        let listed: HashMap<&PodUid, &Pod> = pods.iter().map(|pod| (&pod.uid, pod)).collect();
        let on_nodes = pods.iter().filter(|pod| !pod.phase.is_over());
        let healed = self.books.reconcile(on_nodes.filter_map(|pod| Some((&pod.uid, pod.node.as_ref()?))));
        for difference in &healed {
            let known = self.state.pod(difference.pod()).map(|(pod, _)| pod.clone());
            let pod = match (difference, listed.get(difference.pod())) {
                (Healed::Ghost(..), _) | (_, None) => known,
                (_, Some(pod)) => Some(Arc::new((*pod).clone())),
            };
            if let Some(pod) = pod {
                self.follow(&pod, difference.change(), now);
            }
        }
        let gone: Vec<PodUid> = self
            .pending
            .keys()
            .chain(self.state.pods().map(|(pod, _)| &pod.uid))
            .filter(|uid| !listed.contains_key(uid))
            .cloned()
            .collect();
        gone.iter().for_each(|uid| self.delete_pod(uid, now));
        let unplaced = |uid: &PodUid| listed.get(uid).is_some_and(|pod| pod.node.is_none());
        let given_up = self.books.expire(unplaced, now);
        for (uid, change) in given_up {
            if let Some(pod) = self.pending.get(&uid).cloned() {
                self.follow(&pod, change, now);
                self.queue.add(&uid, pod.spec.priority, now, &Hints::of(&self.pending, &self.profiles));
            } else if let Some(pod) = self.state.pod(&uid).map(|(pod, _)| pod.clone()) {
                self.follow(&pod, change, now);
            }
        }
        pods.into_iter().for_each(|pod| self.apply_pod(pod, now));
    }

    /// The pod no longer waits for us, whoever placed or ended it. A binding under way is answered later, to nobody.
    fn forget_pending(&mut self, uid: &PodUid, now: Timestamp) {
        if let Some(pod) = self.pending.remove(uid) {
            self.vacate(&pod, now);
        }
        self.recheck_preparations |= self.preparing.contains(uid);
        self.consultations.forget(uid);
        self.queue.delete(uid);
    }

    /// Lets the state follow the books, and the queue hear of what became free.
    fn follow(&mut self, pod: &Arc<Pod>, change: Change, now: Timestamp) {
        if change.leave.is_some()
            && let Some(left) = self.state.remove(&pod.uid)
        {
            self.tell_queue(&ClusterEvent::PodRemoved(left), now);
        }
        if let Some(node) = change.enter {
            self.state.place(pod.clone(), &node);
            self.tell_queue(&ClusterEvent::PodPlaced(pod.clone()), now);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one effect")]
    fn set_aside(
        &mut self,
        pod: &Arc<Pod>,
        plugins: PluginSet,
        reason: &'static str,
        message: String,
        decision: Option<Arc<Decision>>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        self.queue.reject(&pod.uid, plugins, PluginSet::EMPTY, now, &Hints::of(&self.pending, &self.profiles));
        let nomination = Nomination::Unchanged;
        effects.push(Effect::Unschedulable { pod: pod.clone(), reason, message, decision, nomination });
    }

    fn tick(&mut self, now: Timestamp) {
        self.queue.tick(now, &Hints::of(&self.pending, &self.profiles));
    }
}
