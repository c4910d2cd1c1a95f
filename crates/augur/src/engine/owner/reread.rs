//! Pods that a kubelet refused although they were bound to it: counted by reason, and the node is read again, for something about
//! it must be unknown here.

use super::super::outbound::Reread;
use super::*;

/// Reasons of refusals that have a label of their own; others are extended resources, which anybody may name.
const REASONS: [&str; 18] = [
    "OutOfcpu",
    "OutOfmemory",
    "OutOfpods",
    "OutOfephemeral-storage",
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "UnexpectedAdmissionError",
    "TopologyAffinityError",
    "Taint",
    "PodOSNotSupported",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "InvalidNodeInfo",
    "UnexpectedPredicateFailureType",
    "AppArmor",
    "SysctlForbidden",
    "PodFeatureUnsupported",
    "SMTAlignmentError",
];

impl Owner {
    /// Takes note of a pod that has just failed because its kubelet refused it.
    pub(super) fn watch_rejections(&mut self, pod: &Pod, fares: &Fares) {
        let Some(node) = pod.node.as_ref().filter(|_| fares.phase == PodPhase::Failed) else { return };
        let reason = fares.reason();
        if !augur_history::is_rejection(reason) || self.scheduler.state().pod(&pod.uid).is_none() {
            return;
        }
        let label = REASONS.into_iter().find(|known| *known == reason).unwrap_or("OutOfExtendedResource");
        self.counters.kubelet_rejection(label);
        self.rejections += 1;
        tracing::warn!(pod = %pod.full_name(), %node, reason, "refused by the kubelet");
        let Some(note) = self.notes.get_mut(node) else { return };
        if !std::mem::replace(&mut note.rereading, true) {
            self.outbound.reread(node.clone(), note.changes);
        }
    }

    /// The node, or a pod on it, is known anew.
    pub(super) fn note_change(&mut self, node: Option<&NodeName>) {
        if let Some(note) = node.and_then(|node| self.notes.get_mut(node)) {
            note.changes += 1;
        }
    }

    /// Takes over what was read of a node, unless the watch told of it meanwhile: then it is the watch that is ahead.
    pub(super) fn take_reread(&mut self, reread: Reread) {
        let Some(note) = self.notes.get_mut(&reread.node) else { return };
        note.rereading = false;
        if note.changes != reread.changes {
            return;
        }
        let Ok((seen, pods)) = reread.seen else { return };
        let known = self.scheduler.state().node(&reread.node);
        let differs = known.as_ref().is_none_or(|known| **known.node() != seen.node);
        let listed: HashSet<&PodUid> = pods.iter().map(|seen| &seen.pod.uid).collect();
        // What is assumed the API server need not know yet.
        let confirmed = |pod: &&Arc<Pod>| pod.node.is_some() && !listed.contains(&pod.uid);
        let gone: Vec<Arc<Pod>> =
            known.iter().flat_map(augur_core::state::NodeView::pods).filter(confirmed).cloned().collect();
        let state = self.scheduler.state();
        let new: Vec<SeenPod> =
            pods.into_iter().filter(|seen| !seen.pod.phase.is_over() && state.pod(&seen.pod.uid).is_none()).collect();
        if differs || !gone.is_empty() || !new.is_empty() {
            tracing::warn!(
                node = %reread.node, changed = differs, missing = new.len(), gone = gone.len(),
                "the node was not what it seemed; the watch had not told"
            );
        }
        if differs {
            self.take_node(Change::Applied(seen));
        }
        for pod in gone {
            let key =
                Key { namespace: pod.namespace.to_string(), name: pod.name.to_string(), uid: pod.uid.to_string() };
            self.take_pod(Change::Deleted(key, None));
        }
        new.into_iter().for_each(|seen| self.take_pod(Change::Applied(seen)));
    }
}
