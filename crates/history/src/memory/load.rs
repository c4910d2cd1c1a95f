//! What was kept on disk comes back into a [`Memory`].

use std::cmp::Reverse;
use std::sync::Arc;

use super::Memory;
use super::pod::{READY_WITHIN_MS, Tracked};
use super::tally::Tally;
use crate::types::{DAY_MS, HOUR_MS, OutcomeLabel, WorkloadKey};

impl Memory {
    pub(crate) fn load_pod(&mut self, mut pod: Tracked) {
        self.share_names(&mut pod);
        let uid = pod.pod.uid.clone();
        if pod.gone && pod.label != OutcomeLabel::Immature {
            if let Some(outcome) = pod.outcome() {
                self.close_until(&uid, &pod, outcome);
            }
            return;
        }
        let due = match (pod.label, pod.day_label) {
            (OutcomeLabel::Immature, _) => pod.next_look.0.max(pod.placed_at.0 + READY_WITHIN_MS),
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
        }
        self.pods.insert(uid, Box::new(pod));
    }

    pub(crate) fn load_cell(&mut self, node: &Arc<str>, workload: &WorkloadKey, tally: Tally) {
        let id = self.workloads.id(workload);
        *self.nodes.entry(node).cells.entry(id) = tally;
    }

    /// The counts of a workload on a node.
    pub(crate) fn cell_of(&self, node: &Arc<str>, workload: &WorkloadKey) -> Option<Tally> {
        self.nodes.get(node)?.cells.get(self.workloads.find(workload)?).copied()
    }
}
