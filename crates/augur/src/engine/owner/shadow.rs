//! What other schedulers decide, beside what would have been decided here: for shadow mode and beside a stock kube-scheduler.
//!
//! [`Owner::observe_placement`] takes the decision on the state just before the binding became known, and records it as
//! [`DecisionKind::Observed`]: `node` is where the pod really went, `runner_up` and `alternative` are our choice if it was
//! another, `scores` begins with the real node unless that one is not feasible by what is known here.

use augur_core::cycle::{Cycle, Detail, NodeReport, Outcome};

use super::*;

impl Owner {
    /// Takes note of a pod that the watch shows, in a list or as a change, and records it if another scheduler has just bound it, so
    /// that its outcome teaches too.
    ///
    /// Beside others only pods count that were seen without a node: those were put on theirs by a scheduler, and are decided here too.
    /// A scheduler sees others' pods with their node first as often as not, and does not spend a decision on each.
    pub(super) fn watch_others(&mut self, pod: &Pod, listed: bool) {
        if pod.phase.is_over() {
            return;
        }
        match (&pod.node, self.mode) {
            (None, Mode::Scheduler) => {}
            (None, _) => drop(self.unplaced.insert(pod.uid.clone())),
            (Some(node), Mode::Scheduler) => {
                let known = self.in_flight.contains_key(&pod.uid) || self.scheduler.state().pod(&pod.uid).is_some();
                if !listed && !known && self.is_ready() {
                    self.record_placement(pod, node);
                }
            }
            (Some(_), _) => {
                if self.unplaced.remove(&pod.uid) && self.is_ready() {
                    self.observe_placement(pod);
                }
            }
        }
    }

    /// Records how a placement by another scheduler looks from here.
    fn record_placement(&self, pod: &Pod, node: &NodeName) {
        let (at, past) = (self.millis(), self.past.get());
        let now = core_time(self.time.now());
        let around = Surroundings { state: self.scheduler.state(), summary: self.summary, past: &past, now };
        self.history.record_decision(self.recorder.observed((self.history.next_id(at), at), pod, node, &around));
    }

    fn observe_placement(&mut self, pod: &Pod) {
        let Some(node) = pod.node.clone() else { return };
        let began = Instant::now();
        self.renew_past();
        if self.summary_stale {
            self.summary = self.scheduler.state().summary();
            self.summary_stale = false;
        }
        let now = core_time(self.time.now());
        let unplaced = Pod { node: None, nominated_node: None, ..pod.clone() };
        let cycle = Cycle { now, seed: self.seed, detail: Detail::Full };
        let mut decision = self.scheduler.dry_run(&unplaced, &*self.predictor, cycle);
        let took = began.elapsed();
        self.decisions.record(took);
        let real =
            decision.nodes.iter().position(|report| report.node == node).map(|at| decision.nodes.swap_remove(at));
        let feasible = real.filter(|report| report.rejection.is_none());
        let ours = decision.chosen.take();
        decision.reason = compare(&node, feasible.as_ref(), ours.as_ref(), &decision.reason);
        decision.runner_up = ours.filter(|ours| ours.node != node);
        decision.chosen = feasible;
        decision.outcome = Outcome::Placed(node);
        // How sure and how random the other scheduler was is not known.
        (decision.propensity, decision.confidence) = (0.0, 0.0);
        let at = self.millis();
        let id = self.history.next_id(at);
        let past = self.past.get();
        let around = Surroundings { state: self.scheduler.state(), summary: self.summary, past: &past, now };
        let record = self.recorder.record((id, at, DecisionKind::Observed), pod, &decision, took, &around);
        self.history.record_decision(record);
    }
}

fn compare(node: &NodeName, real: Option<&NodeReport>, ours: Option<&NodeReport>, none: &str) -> String {
    match (real, ours) {
        (_, None) => format!("another scheduler chose {node}; here: {none}"),
        (Some(_), Some(ours)) if ours.node == *node => format!("another scheduler chose {node}, as augur would have"),
        (Some(real), Some(ours)) => {
            let lead = ours.total - real.total;
            format!("another scheduler chose {node}; augur would have chosen {} by {lead:.2} points", ours.node)
        }
        (None, Some(ours)) => {
            let chosen = &ours.node;
            format!(
                "another scheduler chose {node}, which is not feasible by what is known here; augur would have chosen {chosen}"
            )
        }
    }
}
