//! Making room: the victims of a diagnosis are evicted, and the pod holds the place until it is bound there.

use std::sync::Arc;

use super::advisor::Hints;
use super::{Effect, Nomination, Scheduler};
use crate::cluster_event::ClusterEvent;
use crate::cycle::PreemptionOutlook;
use crate::object::{NodeName, Pod, PodUid};
use crate::preemption::{POLICY_NEVER, VICTIM_TERMINATING};
use crate::state::name_hash;
use crate::time::Timestamp;

/// What is added to the message of a pod for which others would have to go, while it is not known whom a budget protects.
pub(super) const HELD_BACK: &str = " Nobody is evicted before poddisruptionbudgets have been listed.";

impl Scheduler {
    /// Has victims evicted if that helps the pod, and says what is to become of its nomination.
    pub(super) fn make_room(
        &mut self,
        pod: &Arc<Pod>,
        outlook: &PreemptionOutlook,
        seed: u64,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Nomination {
        let candidates = match outlook {
            PreemptionOutlook::Possible(candidates) => candidates,
            // Its victims are still ending, or it never asked for any.
            PreemptionOutlook::Impossible(why) if why == VICTIM_TERMINATING || why == POLICY_NEVER => {
                return Nomination::Unchanged;
            }
            PreemptionOutlook::Denied(_) => return Nomination::Unchanged,
            PreemptionOutlook::Impossible(_) | PreemptionOutlook::Disabled => {
                return self.clear_nomination(pod, now);
            }
        };
        let best = candidates.iter().filter(|candidate| candidate.best);
        let Some(chosen) = best.max_by_key(|candidate| (seed ^ name_hash(&candidate.node), &candidate.node)) else {
            return Nomination::Unchanged;
        };
        // Whom a budget protects is not known before the budgets are; see `HELD_BACK`.
        if !self.state.knows_budgets() {
            return Nomination::Unchanged;
        }
        self.counters.preemptions += 1;
        for uid in chosen.victims.iter() {
            let Some((victim, _)) = self.state.pod(uid) else { continue };
            let victim = victim.clone();
            if victim.terminating || self.evicting.contains_key(uid) {
                continue;
            }
            self.evicting.insert(uid.clone(), pod.uid.clone());
            // From now on it counts as ending, so that the pod waits for it and evicts no others.
            self.state.update_pod(Arc::new(ending(Pod::clone(&victim))));
            self.counters.victims += 1;
            effects.push(Effect::Evict { victim, preemptor: pod.clone(), node: chosen.node.clone() });
        }
        // Pods of lower priority that waited for this place look for another.
        let nominated = self.state.nominated(&chosen.node).iter();
        let displaced: Vec<_> = nominated.filter(|other| other.spec.priority < pod.spec.priority).cloned().collect();
        for other in displaced {
            self.state.withdraw(&other.uid);
            self.queue.activate(&other.uid, now, &Hints::of(&self.pending, &self.profiles));
            effects.push(Effect::ClearNomination { pod: other });
        }
        self.state.nominate(pod.clone(), &chosen.node);
        Nomination::Node(chosen.node.clone())
    }

    /// The pod gives up the place that it was nominated for, and its status is not to name one any more.
    pub(super) fn clear_nomination(&mut self, pod: &Arc<Pod>, now: Timestamp) -> Nomination {
        let had_one = self.vacate(pod, now) || pod.nominated_node.is_some();
        if had_one { Nomination::Cleared } else { Nomination::Unchanged }
    }

    /// The pod gives up the place that it was nominated for, if there is one: pods of no higher priority may have it now.
    pub(super) fn vacate(&mut self, pod: &Arc<Pod>, now: Timestamp) -> bool {
        let Some(node) = self.state.withdraw(&pod.uid) else { return false };
        let left = Arc::new(Pod { node: Some(node), ..Pod::clone(pod) });
        self.tell_queue(&ClusterEvent::PodRemoved(left), now);
        true
    }

    /// What came of an eviction. One that failed leaves the victim as it was, and the pod looks for room anew.
    pub(super) fn eviction_result(&mut self, uid: &PodUid, result: &Result<(), Arc<str>>, now: Timestamp) {
        if result.is_ok() || self.evicting.remove(uid).is_none() {
            // It is told apart by its end, which the watch shows.
            return;
        }
        self.counters.errors += 1;
        let Some((victim, _)) = self.state.pod(uid) else { return };
        let victim = Arc::new(Pod { terminating: false, preempted: false, ..Pod::clone(victim) });
        self.state.update_pod(victim.clone());
        self.tell_queue(&ClusterEvent::PodRemoved(victim), now);
    }

    /// The pod as it counts: one that is being evicted from its node is ending, although the watch may not show it yet.
    pub(super) fn as_it_counts(&self, pod: Pod) -> Pod {
        if pod.terminating || pod.node.is_none() || !self.evicting.contains_key(&pod.uid) { pod } else { ending(pod) }
    }

    /// Follows what the API server says of a waiting pod's nomination, unless more is known here.
    pub(super) fn follow_nomination(&mut self, pod: &Arc<Pod>, before: Option<&Arc<Pod>>, now: Timestamp) {
        let told = |pod: &Arc<Pod>| pod.nominated_node.clone();
        let previous: Option<NodeName> = before.and_then(told);
        if self.binding.contains_key(&pod.uid) {
            // It has its place already; others are told of it while that is prepared.
            return;
        }
        match told(pod) {
            Some(node) if Some(&node) != previous.as_ref() => self.state.nominate(pod.clone(), &node),
            None if previous.is_some() => {
                self.vacate(pod, now);
            }
            _ => {}
        }
    }
}

fn ending(pod: Pod) -> Pod {
    Pod { terminating: true, preempted: true, ..pod }
}
