//! What a [`Memory`] forgets: hours outside the window, and workloads that are too many.

use std::collections::HashMap;

use super::{Gone, MAX_WORKLOADS, Memory};
use crate::types::WorkloadKey;

impl Memory {
    /// Forgets a quarter of the workloads: pods without owner first, then those longest without news, then the smallest.
    pub(super) fn prune_workloads(&mut self) {
        let mut order: Vec<_> = self
            .workloads
            .iter()
            .map(|(_, key, memory)| {
                let (last, pods) = (memory.series.last_hour(), memory.series.sums().started);
                ((*key.kind != *"Pod", last, pods), key.clone())
            })
            .collect();
        order.sort_unstable();
        let pruned: Vec<_> = order.into_iter().take(MAX_WORKLOADS / 4).map(|(_, key)| key).collect();
        self.forget_workloads(&pruned);
    }

    fn forget_workloads(&mut self, keys: &[WorkloadKey]) {
        let mut ids: HashMap<u32, &WorkloadKey> = HashMap::with_capacity(keys.len());
        for key in keys {
            ids.extend(self.workloads.find(key).map(|id| (id, key)));
            if let Some(mut memory) = self.workloads.remove(key) {
                let hours = memory.series.expire(u32::MAX);
                self.changes.hours_gone.extend(hours.into_iter().map(|hour| (Gone::Workload(key.clone()), hour)));
                self.changes.workloads.insert(key.clone());
            }
        }
        self.usage.forget_workloads(&ids);
        let gone = &mut self.changes.cells_gone;
        for (name, memory) in self.nodes.iter_mut() {
            memory.cells.retain(|id| match ids.get(&id) {
                Some(key) => {
                    gone.push((name.clone(), (*key).clone()));
                    false
                }
                None => true,
            });
        }
    }

    pub(super) fn expire_hours(&mut self, first: u32) {
        for (_, memory) in self.nodes.iter_mut() {
            memory.series.carried = 0;
        }
        for (_, memory) in self.workloads.iter_mut() {
            memory.series.carried = 0;
        }
        for pod in self.pods.values().filter(|pod| pod.counted && !pod.gone && pod.placed_at.hour() < first) {
            self.nodes.entry(&pod.node).series.carried += 1;
            self.workloads.entry(&pod.workload).series.carried += 1;
        }
        let gone = &mut self.changes.hours_gone;
        for (name, memory) in self.nodes.iter_mut() {
            gone.extend(memory.series.expire(first).into_iter().map(|hour| (Gone::Node(name.clone()), hour)));
        }
        for (key, memory) in self.workloads.iter_mut() {
            gone.extend(memory.series.expire(first).into_iter().map(|hour| (Gone::Workload(key.clone()), hour)));
        }
        let empty: Vec<_> =
            self.workloads.iter().filter(|(_, _, m)| m.series.is_empty()).map(|(_, key, _)| key.clone()).collect();
        self.forget_workloads(&empty);
        // A node that went while nobody watched was seen last when it still was there.
        let unseen = |memory: &super::NodeMemory| memory.last.is_none_or(|(at, _)| at.hour() < first);
        let empty: Vec<_> = self
            .nodes
            .iter()
            .filter(|(_, _, memory)| unseen(memory) && memory.series.is_empty())
            .map(|(_, name, _)| name.clone())
            .collect();
        for name in empty {
            if let Some(memory) = self.nodes.remove(&name) {
                let keys = memory.cells.iter().filter_map(|(id, _)| self.workloads.key(*id));
                self.changes.cells_gone.extend(keys.map(|key| (name.clone(), key.clone())));
            }
            self.changes.nodes.insert(name);
        }
        self.rates_stale = true;
    }
}
