//! What evicting pods would bring for a pod that fits nowhere: dry runs on copies of rows, by the rules of
//! [`crate::preemption`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::diagnosis::{PreemptionCandidate, PreemptionOutlook, nodes_message, texts};
use super::judgement::Judgement;
use super::trial::Trial;
use crate::object::{DisruptionBudget, Pod, PreemptionPolicy};
use crate::plugins::{Code, PluginId, Rejection};
use crate::preemption::{
    self, Cost, DryRun, NO_VICTIMS_FOUND, NOT_HELPFUL, NoCandidate, POLICY_NEVER, PotentialVictim, VICTIM_TERMINATING,
};
use crate::profile::ProfilePlugins;
use crate::state::{ClusterState, NodeId};
use crate::time::Timestamp;

/// One node without some of its pods.
struct Victimless<'t, 'a> {
    trial: Trial<'t, 'a>,
    pods: &'t [Arc<Pod>],
}

impl DryRun for Victimless<'_, '_> {
    type Rejection = Rejection;

    fn remove(&mut self, victim: usize) {
        self.trial.remove(&self.pods[victim]);
    }

    fn restore(&mut self, victim: usize) {
        self.trial.add(&self.pods[victim]);
    }

    fn fits(&mut self) -> Result<(), Rejection> {
        self.trial.fits_with_nominated()?;
        self.trial.fits()
    }
}

/// What evicting pods would bring. `left_out` are nodes that the pod was kept from before filters ran.
pub(super) fn outlook<'a>(
    state: &'a ClusterState,
    pod: &Pod,
    judgement: &Judgement<'a>,
    left_out: impl Fn(NodeId) -> bool,
    now: Timestamp,
) -> PreemptionOutlook {
    let plugins = judgement.verdicts.plugins();
    if !plugins.post_filter().contains(PluginId::DefaultPreemption) {
        return PreemptionOutlook::Disabled;
    }
    if pod.spec.preemption_policy == PreemptionPolicy::Never {
        return PreemptionOutlook::Impossible(POLICY_NEVER.to_owned());
    }
    if waits_for_victims(state, pod, judgement) {
        return PreemptionOutlook::Impossible(VICTIM_TERMINATING.to_owned());
    }
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut candidates = Vec::new();
    let mut costs = Vec::new();
    let mut potential = Vec::new();
    for id in state.ids() {
        let helpless = |rejection: Rejection| rejection.code == Code::UnschedulableAndUnresolvable;
        if left_out(id) || judgement.status(id).is_some_and(helpless) {
            *reasons.entry(NOT_HELPFUL.to_owned()).or_default() += 1;
        } else {
            potential.push(id);
        }
    }
    // Trials follow the names, so that the choice does not depend on the order in which nodes came.
    potential.sort_unstable_by(|a, b| state.view(*a).name().cmp(state.view(*b).name()));
    let window = plugins.arguments().preemption;
    let budgets: Vec<&DisruptionBudget> = state.budgets().collect();
    let allowed: Vec<i32> = budgets.iter().map(|budget| budget.allowed).collect();
    let mut violating = 0;
    for &id in &potential {
        let mut pods: Vec<Arc<Pod>> =
            state.view(id).pods().iter().filter(|other| other.spec.priority < pod.spec.priority).cloned().collect();
        pods.sort_unstable_by(|a, b| a.uid.cmp(&b.uid));
        let protecting: Vec<Vec<usize>> = pods
            .iter()
            .map(|other| (0..budgets.len()).filter(|&budget| budgets[budget].counts(other)).collect())
            .collect();
        let victims: Vec<PotentialVictim<'_>> = pods
            .iter()
            .zip(&protecting)
            .map(|(other, budgets)| PotentialVictim {
                priority: other.spec.priority,
                started: other.started.unwrap_or(now),
                budgets,
            })
            .collect();
        let found = if victims.is_empty() {
            Err(NoCandidate::NoVictims)
        } else {
            let ahead = state.ahead_on(state.view(id).name(), pod);
            let mut node = Victimless { trial: Trial::new(judgement, state, id, ahead), pods: &pods };
            preemption::select_victims(&victims, &allowed, &mut node)
        };
        match found {
            Ok(chosen) => {
                costs.extend(Cost::of(&chosen, &victims));
                candidates.push(PreemptionCandidate {
                    node: state.view(id).name().clone(),
                    victims: chosen.pods.iter().map(|&victim| pods[victim].uid.clone()).collect(),
                    budget_violations: chosen.budget_violations,
                    best: false,
                });
                violating += usize::from(chosen.budget_violations > 0);
                if window.is_enough(potential.len(), candidates.len() - violating, violating) {
                    break;
                }
            }
            Err(NoCandidate::NoVictims) => *reasons.entry(NO_VICTIMS_FOUND.to_owned()).or_default() += 1,
            Err(NoCandidate::NothingToEvict) => {}
            Err(NoCandidate::DoesNotFit(rejection)) => {
                for text in texts(&pod.spec, rejection) {
                    *reasons.entry(text).or_default() += 1;
                }
            }
        }
    }
    if candidates.is_empty() {
        return PreemptionOutlook::Impossible(nodes_message(state.node_count(), &reasons));
    }
    for best in preemption::best(&costs) {
        candidates[best].best = true;
    }
    PreemptionOutlook::Possible(candidates)
}

/// What is said of evicting pods for one that was turned away before any node was looked at.
pub(super) fn hopeless(state: &ClusterState, pod: &Pod, plugins: &ProfilePlugins) -> PreemptionOutlook {
    if !plugins.post_filter().contains(PluginId::DefaultPreemption) {
        return PreemptionOutlook::Disabled;
    }
    if pod.spec.preemption_policy == PreemptionPolicy::Never {
        return PreemptionOutlook::Impossible(POLICY_NEVER.to_owned());
    }
    let nodes = state.node_count();
    PreemptionOutlook::Impossible(nodes_message(nodes, &BTreeMap::from([(NOT_HELPFUL.to_owned(), nodes)])))
}

/// Whether pods that were evicted for the pod are still ending on its nominated node, which may yet fit it.
fn waits_for_victims(state: &ClusterState, pod: &Pod, judgement: &Judgement<'_>) -> bool {
    let nominated = state.nomination(&pod.uid).or(pod.nominated_node.as_ref());
    let Some(node) = nominated.and_then(|name| state.node(name)) else { return false };
    let hopeless = judgement.status(node.id()).is_some_and(|r| r.code == Code::UnschedulableAndUnresolvable);
    !hopeless
        && node
            .pods()
            .iter()
            .any(|other| other.terminating && other.preempted && other.spec.priority < pod.spec.priority)
}
