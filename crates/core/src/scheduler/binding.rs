//! From the decision to the binding: assume, prepare, bind, and give back what came to nothing.
//!
//! A pod whose decision asks for preparations ([`Decision::needs_preparation`]) is prepared first: [`Effect::Prepare`] has the
//! API server told, then the pod waits here until the watch shows that all is done, and is bound after a last look at its node.

use std::sync::Arc;

use super::advisor::Hints;
use super::volumes::Standing;
use super::{BindResult, Effect, Nomination, Scheduler};
use crate::cluster_event::ClusterEvent;
use crate::cycle::{self, Cycle, Decision, Detail};
use crate::object::{NodeName, Pod, PodUid, Related};
use crate::plugins::{ClaimsAfter, PluginSet, dynamic_resources};
use crate::predictor::NoModel;
use crate::queue::QueuedPod;
use crate::time::Timestamp;

/// A binding under way.
#[derive(Debug)]
pub(super) struct Binding {
    pod: Arc<Pod>,
    pub(super) node: NodeName,
    decision: Arc<Decision>,
    attempts: u32,
    /// Until it is sent.
    preparation: Option<Preparation>,
}

/// What goes before a binding.
#[derive(Debug)]
struct Preparation {
    /// As the queue had the pod, which leaves it for as long as the preparation takes.
    queued: Option<QueuedPod>,
    /// Once the API server was told: when the wait for what comes of it ends.
    deadline: Option<Timestamp>,
}

/// How a preparation stands.
enum Step {
    Wait,
    Bind,
    /// The plugin that has to give up, and why.
    GiveUp(&'static str, String),
}

impl Scheduler {
    pub(super) fn assume(
        &mut self,
        pod: &Arc<Pod>,
        node: &NodeName,
        decision: &Arc<Decision>,
        attempts: u32,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(change) = self.books.assume(&pod.uid, node) else {
            // It is on a node already, by the API server's word.
            self.queue.done(&pod.uid);
            return;
        };
        self.counters.placed += 1;
        if let Some(node) = change.enter {
            if self.state.nomination(&pod.uid).is_some_and(|nominated| *nominated != node) {
                self.vacate(pod, now);
            }
            self.state.place(pod.clone(), &node);
        }
        let (pod, node, decision) = (pod.clone(), node.clone(), decision.clone());
        self.state.promise_devices(&pod.uid, &decision.devices);
        let preparation = decision.needs_preparation().then(|| {
            let counted = self.assumed_volumes.assume(&pod.uid, &node, &decision.volumes, self.state.related());
            counted.into_iter().for_each(|object| drop(self.state.apply_related(object)));
            // Nothing from here on is a matter of the queue's hints, and it may take minutes.
            let queued = self.queue.get(&pod.uid).cloned();
            self.queue.done(&pod.uid);
            self.preparing.insert(pod.uid.clone());
            Preparation { queued, deadline: None }
        });
        let prepare = preparation.is_some();
        let binding =
            Binding { pod: pod.clone(), node: node.clone(), decision: decision.clone(), attempts, preparation };
        self.binding.insert(pod.uid.clone(), binding);
        effects.push(if prepare {
            Effect::Prepare { pod, node, decision, attempts }
        } else {
            Effect::Bind { pod, node, decision, attempts }
        });
    }

    /// What came of an [`Effect::Prepare`].
    pub(super) fn prepared(
        &mut self,
        uid: &PodUid,
        result: Result<(), Arc<str>>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let Some(binding) = self.binding.get_mut(uid) else { return };
        let Some(preparation) = &mut binding.preparation else { return };
        match result {
            Ok(()) => {
                let profile = self.profiles.get(&binding.pod.spec.scheduler_name);
                let patience = profile.map_or_else(Default::default, |profile| profile.volume_bind_timeout);
                preparation.deadline = Some(now + patience);
                self.recheck_preparations = true;
            }
            Err(why) => {
                let devices = binding.decision.volumes.is_empty();
                self.give_up(uid, if devices { "DynamicResources" } else { "VolumeBinding" }, &why, now, effects);
            }
        }
    }

    /// Takes the next step with each pod that is being prepared, if something happened that may matter.
    pub(super) fn advance(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let overdue = self.next_deadline().is_some_and(|deadline| deadline <= now);
        if !std::mem::take(&mut self.recheck_preparations) && !overdue {
            return;
        }
        let mut preparing: Vec<PodUid> = self.preparing.iter().cloned().collect();
        preparing.sort_unstable();
        for uid in preparing {
            match self.look_at(&uid, now) {
                Step::Wait => {}
                Step::Bind => self.send(&uid, now, effects),
                Step::GiveUp(plugin, why) => {
                    self.free_devices(&uid, effects);
                    self.give_up(&uid, plugin, &why, now, effects);
                }
            }
        }
    }

    /// Has the API server take back what it was told about the claims of a pod that is not going to be bound.
    fn free_devices(&self, uid: &PodUid, effects: &mut Vec<Effect>) {
        let Some(binding) = self.binding.get(uid) else { return };
        let (pod, devices) = (&binding.pod, &binding.decision.devices);
        let mut free = |claim, after| effects.push(Effect::FreeClaim { pod: pod.clone(), claim, after });
        let allocated = devices.allocations.iter().map(|claim| &claim.claim);
        allocated.chain(&devices.reservations).for_each(|claim| free(claim.clone(), ClaimsAfter::Deallocated));
        if devices.extended.is_some() {
            let made = self.state.related().claims_for_extended_resources(&pod.namespace, uid);
            made.for_each(|claim| free(claim.key(), ClaimsAfter::Deleted));
        }
    }

    /// Has bindings recalled that no longer fit on nodes where something came or changed that was not of our making.
    pub(super) fn recheck(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for node in std::mem::take(&mut self.changed_nodes) {
            // One that the watch has shown elsewhere is on that node no more, whatever its binding says.
            let there = |uid: &PodUid| self.state.pod(uid).is_some_and(|(_, at)| *at == node);
            let sent = |(uid, binding): (&PodUid, &Binding)| {
                (binding.node == node && there(uid) && !self.preparing.contains(uid)).then(|| binding.pod.clone())
            };
            let mut pods: Vec<Arc<Pod>> = self.binding.iter().filter_map(sent).collect();
            // The least important goes first.
            pods.sort_unstable_by(|a, b| (a.spec.priority, &a.uid).cmp(&(b.spec.priority, &b.uid)));
            let mut recalled = Vec::new();
            for pod in pods {
                if let Err(why) = self.still_fits(&pod, &node, now) {
                    effects.push(Effect::Recall { uid: pod.uid.clone(), why: why.into() });
                    // Those that are looked at after it must not suffer for it.
                    recalled.extend(self.state.remove(&pod.uid));
                }
            }
            // Until the answer is there it may be on its way.
            recalled.into_iter().for_each(|pod| self.state.place(pod, &node));
        }
    }

    /// When the first wait for a preparation ends.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let preparations = self.preparing.iter().filter_map(|uid| self.binding.get(uid)?.preparation.as_ref());
        preparations.filter_map(|preparation| preparation.deadline).min()
    }

    fn look_at(&self, uid: &PodUid, now: Timestamp) -> Step {
        let Some(binding) = self.binding.get(uid) else { return Step::Wait };
        // Until the answer is there nothing is known that would allow a retry.
        let Some(deadline) = binding.preparation.as_ref().and_then(|preparation| preparation.deadline) else {
            return Step::Wait;
        };
        if !self.pending.contains_key(uid) {
            return Step::GiveUp("VolumeBinding", "binding volumes: pod does not exist any more".to_owned());
        }
        let Some(node) = self.state.node(&binding.node) else {
            return Step::GiveUp("VolumeBinding", format!("binding volumes: failed to get node {:?}", binding.node));
        };
        match self.assumed_volumes.check(&binding.decision.volumes, node.node(), self.state.related()) {
            Ok(Standing::Bound) => {}
            Ok(Standing::Unbound) if deadline <= now => {
                return Step::GiveUp("VolumeBinding", "binding volumes: context deadline exceeded".to_owned());
            }
            Ok(Standing::Unbound) => return Step::Wait,
            Err(why) => return Step::GiveUp("VolumeBinding", format!("binding volumes: {why}")),
        }
        match dynamic_resources::standing(&binding.pod, &binding.decision.devices, self.state.related()) {
            Ok(true) => Step::Bind,
            Ok(false) if deadline <= now => {
                Step::GiveUp("DynamicResources", "device binding timeout: context deadline exceeded".to_owned())
            }
            Ok(false) => Step::Wait,
            Err(why) => Step::GiveUp("DynamicResources", why),
        }
    }

    /// Binds a pod whose preparation is done, unless its node has changed so that it no longer fits there.
    fn send(&mut self, uid: &PodUid, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(binding) = self.binding.get(uid) else { return };
        let (pod, node) = (binding.pod.clone(), binding.node.clone());
        if let Err(why) = self.still_fits(&pod, &node, now) {
            let message = format!("node {node} is no longer feasible: {why}");
            self.free_devices(uid, effects);
            self.abandon(uid, message, now, effects);
            return;
        }
        self.preparing.remove(uid);
        let Some(binding) = self.binding.get_mut(uid) else { return };
        // The queue's memory is kept until the binding has come about.
        if let Some(preparation) = &mut binding.preparation {
            preparation.deadline = None;
        }
        let (decision, attempts) = (binding.decision.clone(), binding.attempts);
        effects.push(Effect::Bind { pod, node, decision, attempts });
    }

    /// Whether an assumed pod still passes all filters on its node, with everything that became known since.
    pub(super) fn still_fits(&mut self, pod: &Arc<Pod>, node: &NodeName, now: Timestamp) -> Result<(), String> {
        let Some(profile) = self.profiles.get(&pod.spec.scheduler_name) else { return Ok(()) };
        // It must not stand in its own way.
        let Some(placed) = self.state.remove(&pod.uid) else { return Ok(()) };
        let alone = Pod { node: Some(node.clone()), ..(**pod).clone() };
        let cycle = Cycle { now, seed: self.seed, detail: Detail::Full };
        let decision = cycle::decide(&self.state, &alone, profile, &NoModel::default(), cycle);
        self.state.place(placed, node);
        if decision.node() == Some(node) {
            return Ok(());
        }
        let report = decision.nodes.iter().find(|report| report.node == *node);
        Err(match report.and_then(|report| report.rejection.as_ref()) {
            Some(rejection) => rejection.reasons.join(", "),
            None => decision.reason,
        })
    }

    fn give_up(&mut self, uid: &PodUid, plugin: &str, why: &str, now: Timestamp, effects: &mut Vec<Effect>) {
        self.abandon(uid, format!("running PreBind plugin \"{plugin}\": {why}"), now, effects);
    }

    /// Gives a binding up that was not sent: the pod is tried again after its backoff.
    fn abandon(&mut self, uid: &PodUid, message: String, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(binding) = self.binding.remove(uid) else { return };
        effects.push(Effect::Abandoned { uid: uid.clone(), error: message.as_str().into() });
        self.give_back(binding, message, false, now, effects);
    }

    pub(super) fn bind_result(&mut self, uid: &PodUid, result: BindResult, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(binding) = self.binding.remove(uid) else { return };
        let (message, refused) = match result {
            BindResult::Bound => {
                // An error means that the pod is gone meanwhile, which the books know.
                let _ = self.books.bound(uid, now);
                self.queue.done(uid);
                self.release(uid, &binding.decision, now);
                return;
            }
            BindResult::Refused(message) => (message, true),
            BindResult::Unavailable(message) => (message, false),
        };
        let message = format!("binding to node {} failed: {message}", binding.node);
        self.give_back(binding, message, refused, now, effects);
    }

    /// Gives back what was assumed for a binding that did not come about.
    fn give_back(
        &mut self,
        binding: Binding,
        message: String,
        refused: bool,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let uid = &binding.pod.uid;
        self.counters.errors += 1;
        self.release(uid, &binding.decision, now);
        if let Ok(change) = self.books.forget(uid) {
            self.follow(&binding.pod, change, now);
        }
        // If the pod is bound or gone, the watch has said so or will; until then it is tried again behind its backoff.
        let Some(pod) = self.pending.get(uid).cloned() else { return };
        // A preparation told others where the pod was going to be, whether the watch has shown that yet or not.
        let nomination = match (self.clear_nomination(&pod, now), &binding.preparation) {
            (_, Some(_)) => Nomination::Cleared,
            (nomination, None) => nomination,
        };
        let hints = Hints::of(&self.pending, &self.profiles);
        match binding.preparation.and_then(|preparation| preparation.queued) {
            Some(queued) if self.queue.get(uid).is_none() => self.queue.restore(queued, now, &hints),
            // It went and came back while it was being bound.
            _ if self.queue.get(uid).is_none() => {
                self.queue.add(uid, pod.spec.priority, now, &hints);
                return;
            }
            _ => self.queue.reject(uid, PluginSet::EMPTY, PluginSet::EMPTY, now, &hints),
        }
        if !refused {
            let reason = "SchedulerError";
            effects.push(Effect::Unschedulable { pod, reason, message, decision: None, nomination });
        }
    }

    /// Ends the assumptions about a pod's volumes.
    fn release(&mut self, uid: &PodUid, decision: &Decision, now: Timestamp) {
        self.preparing.remove(uid);
        self.state.withdraw_devices(uid);
        for object in self.assumed_volumes.release(uid, &decision.volumes) {
            self.count_related(object, now);
        }
    }

    /// Lets the state follow an object as it counts, and the queue hear of it.
    pub(super) fn count_related(&mut self, object: Related, now: Timestamp) {
        let event = match self.state.apply_related(object.clone()) {
            None => ClusterEvent::RelatedAdded(object),
            Some(before) if before == object => return,
            Some(before) => ClusterEvent::RelatedChanged { before, object },
        };
        self.tell_queue(&event, now);
    }
}
