//! What the scheduler thread counts for `/metrics` about once a second: [`Owner::count_queue`].

use std::collections::HashMap;

use augur_core::cycle::{Decision, Outcome, PreemptionOutlook};
use augur_core::queue::Place;

use super::owner::Owner;

/// Every so many seconds it is counted which plugins the waiting pods wait for.
const UNSCHEDULABLE_EVERY: u32 = 5;

impl Owner {
    /// Renews what is told of the queue.
    pub(super) fn count_queue(&mut self) {
        let queue = self.scheduler.queue();
        for ((event, place), total) in queue.incoming() {
            let place = match place {
                Place::Active => "active",
                Place::Backoff | Place::ErrorBackoff => "backoff",
                Place::Unschedulable => "unschedulable",
                Place::Gated => "gated",
                Place::InFlight => continue,
            };
            self.counters.incoming(event, place, *total);
        }
        self.counters.cached(
            self.scheduler.state().node_count(),
            self.scheduler.state().pod_count(),
            self.scheduler.binding(),
        );
        let counters = self.scheduler.counters();
        self.counters.checked(counters.healed, counters.expired);
        for (kind, reason, total) in self.shared.skipped() {
            self.counters.skipped(kind, reason, total);
        }
        for (right, total) in self.shared.denials.counts() {
            self.counters.denied(&right.verb, &right.group, &right.resource, total);
        }
        // Looking through all that waits takes its time when there is much of it.
        self.seconds += 1;
        if !self.seconds.is_multiple_of(UNSCHEDULABLE_EVERY) {
            return;
        }
        let mut waiting: HashMap<(&'static str, String), usize> = HashMap::new();
        for queued in queue.iter().filter(|queued| matches!(queued.place(), Place::Unschedulable | Place::Gated)) {
            let Some(pod) = self.scheduler.pending(&queued.uid) else { continue };
            for plugin in queued.rejectors().iter() {
                *waiting.entry((plugin.name(), pod.spec.scheduler_name.to_string())).or_default() += 1;
            }
        }
        self.counters.unschedulable(waiting);
    }
}

/// Whether it was looked for pods to evict.
pub(super) fn tried_to_make_room(decision: &Decision) -> bool {
    matches!(&decision.outcome, Outcome::Unschedulable(diagnosis) if diagnosis.preemption != PreemptionOutlook::Disabled)
}
