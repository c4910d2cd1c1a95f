//! What was kept on disk comes back into a [`Memory`].

use std::cmp::Reverse;
use std::sync::Arc;

use super::Memory;
use super::pod::{READY_WITHIN_MS, Tracked};
use super::recent::Trouble;
use super::tally::Tally;
use crate::types::{DAY_MS, HOUR_MS, OutcomeLabel, WorkloadKey};

/// The name of a revision and its counts.
pub(crate) type RevisionTally = (Arc<str>, Tally);

impl Memory {
    pub(crate) fn load_pod(&mut self, uid: Arc<str>, pod: Tracked) {
        if pod.gone && pod.label != OutcomeLabel::Immature {
            if let Some(outcome) = pod.outcome() {
                self.close_until(&uid, &pod, outcome);
            }
            return;
        }
        let due = match (pod.label, pod.day_label) {
            (OutcomeLabel::Immature, _) => pod.placed_at.0 + READY_WITHIN_MS,
            (_, OutcomeLabel::Immature) => pod.day_matures_at().0,
            _ => pod.placed_at.0 + ((pod.changed_at.0 - pod.placed_at.0) / DAY_MS + 1) * DAY_MS,
        };
        self.due.push(Reverse((due, uid.clone())));
        if let Some(at) = pod.trouble_at {
            self.due.push(Reverse((at.0 + HOUR_MS, uid.clone())));
        }
        let node_id = self.nodes.id(&pod.node);
        let node = self.nodes.entry(&pod.node);
        node.alive += u32::from(pod.counted && !pod.ended);
        // A workload that was forgotten stays so.
        if let Some(workload_id) = self.workloads.find(&pod.workload) {
            let (_, recent) = self.workloads.entry(&pod.workload).revision(&pod.revision);
            recent.alive += u32::from(pod.counted && !pod.ended);
            if pod.counted && !pod.ended {
                self.usage.pod_came(&pod.pod.namespace, &pod.pod.name, workload_id, node_id);
            }
            if let (Some(at), Some(cause)) = (pod.trouble_at, pod.cause) {
                recent.troubles.add(Trouble { at: at.0, other: node_id, cause });
                node.troubles.add(Trouble { at: at.0, other: workload_id, cause });
            }
        }
        self.pods.insert(uid, pod);
    }

    pub(crate) fn load_cell(&mut self, node: &Arc<str>, workload: &WorkloadKey, tally: Tally) {
        let id = self.workloads.id(workload);
        self.nodes.entry(node).cells.insert(id, tally);
    }

    /// The tallies of a workload and of its revisions.
    pub(crate) fn load_tallies(&mut self, workload: &WorkloadKey, tally: Tally, revisions: Vec<RevisionTally>) {
        let memory = self.workloads.entry(workload);
        memory.tally = tally;
        for (revision, tally) in revisions {
            *memory.revision(&revision).0 = tally;
        }
    }

    /// The counts of a workload on a node.
    pub(crate) fn cell_of(&self, node: &Arc<str>, workload: &WorkloadKey) -> Option<Tally> {
        self.nodes.get(node)?.cells.get(&self.workloads.find(workload)?).copied()
    }

    /// What [`Memory::load_tallies`] wants.
    pub(crate) fn tallies_of(&self, workload: &WorkloadKey) -> Option<(Tally, Vec<RevisionTally>)> {
        let memory = self.workloads.get(workload)?;
        Some((memory.tally, memory.revisions.iter().map(|(name, tally, _)| (name.clone(), *tally)).collect()))
    }
}
