//! What evicting pods would bring for a pod that fits nowhere: dry runs on copies of rows, by the rules of
//! [`crate::preemption`]. What a dry run found is kept with the spec, by the version of the node's pods.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::diagnosis::{PreemptionCandidate, PreemptionOutlook, nodes_message, texts};
use super::judgement::Judged;
use super::standing::Standing;
use super::trial::{Start, Trial};
use crate::object::{DisruptionBudget, NodeName, Pod, PodUid, PreemptionPolicy};
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

impl<'t, 'a: 't> DryRun for Victimless<'t, 'a> {
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

/// What came of a dry run on one node.
#[derive(Debug, Clone)]
enum Found {
    /// These have to go.
    Victims { pods: Arc<[PodUid]>, budget_violations: usize, cost: Cost, started: bool },
    /// It does not help; why.
    Nothing(NoCandidate<Rejection>),
}

/// Dry runs that were made for a spec, kept as long as nothing about the node's pods changes. Only those that depend on
/// nothing else are kept; at most one a node.
#[derive(Debug, Default)]
pub(super) struct DryRuns {
    budgets: u64,
    members: u64,
    /// With the version of the node's pods, and with the latest start of one of them.
    kept: HashMap<NodeId, (u64, Option<Timestamp>, Found)>,
}

impl DryRuns {
    fn refresh(&mut self, state: &ClusterState) {
        if (self.budgets, self.members) != (state.budgets_version(), state.members()) {
            (self.budgets, self.members) = (state.budgets_version(), state.members());
            self.kept.clear();
        }
    }

    /// A pod that has not started counts as started now: as long as all others started before, their order stands.
    fn get(&self, state: &ClusterState, id: NodeId, now: Timestamp) -> Option<Found> {
        let (version, latest, found) = self.kept.get(&id)?;
        (*version == state.tenancy(id) && latest.is_none_or(|latest| latest < now)).then(|| found.clone())
    }
}

/// What all dry runs of a decision share.
struct Search<'s, 'a> {
    state: &'a ClusterState,
    pod: &'s Pod,
    standing: &'s Standing,
    start: &'s Start<'a>,
    budgets: Vec<&'a DisruptionBudget>,
    allowed: Vec<i32>,
    now: Timestamp,
}

impl Search<'_, '_> {
    /// Finds the pods that have to go on the node; and the latest start of one that could.
    fn run(&self, id: NodeId, ahead: Vec<Arc<Pod>>) -> (Option<Timestamp>, Found) {
        let here = self.state.view(id).pods().iter();
        let mut pods: Vec<Arc<Pod>> =
            here.filter(|other| other.spec.priority < self.pod.spec.priority).cloned().collect();
        if pods.is_empty() {
            return (None, Found::Nothing(NoCandidate::NoVictims));
        }
        pods.sort_unstable_by(|a, b| a.uid.cmp(&b.uid));
        let counting = |other: &Arc<Pod>| -> Vec<usize> {
            (0..self.budgets.len()).filter(|&budget| self.budgets[budget].counts(other)).collect()
        };
        let protecting: Vec<Vec<usize>> = pods.iter().map(counting).collect();
        let potential: Vec<PotentialVictim<'_>> = pods
            .iter()
            .zip(&protecting)
            .map(|(other, budgets)| PotentialVictim {
                priority: other.spec.priority,
                started: other.started.unwrap_or(self.now),
                budgets,
            })
            .collect();
        let latest = pods.iter().filter_map(|other| other.started).max();
        let trial = Trial::new(self.standing, self.start, self.state, id, ahead);
        let chosen = preemption::select_victims(&potential, &self.allowed, &mut Victimless { trial, pods: &pods });
        let found = match chosen {
            Ok(chosen) => match Cost::of(&chosen, &potential) {
                Some(cost) => {
                    let victims = || chosen.pods.iter().map(|&victim| &pods[victim]);
                    let highest = victims().map(|victim| victim.spec.priority).max();
                    Found::Victims {
                        pods: victims().map(|victim| victim.uid.clone()).collect(),
                        budget_violations: chosen.budget_violations,
                        cost,
                        started: victims().any(|v| Some(v.spec.priority) == highest && v.started.is_some()),
                    }
                }
                None => Found::Nothing(NoCandidate::NothingToEvict),
            },
            Err(why) => Found::Nothing(why),
        };
        (latest, found)
    }
}

/// What evicting pods would bring.
pub(super) fn outlook<'a>(
    state: &'a ClusterState,
    pod: &Pod,
    standing: &mut Standing,
    start: &Start<'a>,
    by_name: &[NodeId],
    now: Timestamp,
) -> PreemptionOutlook {
    if !standing.plugins().post_filter().contains(PluginId::DefaultPreemption) {
        return PreemptionOutlook::Disabled;
    }
    if pod.spec.preemption_policy == PreemptionPolicy::Never {
        return PreemptionOutlook::Impossible(POLICY_NEVER.to_owned());
    }
    if waits_for_victims(state, pod, standing) {
        return PreemptionOutlook::Impossible(VICTIM_TERMINATING.to_owned());
    }
    let mut dry_runs = std::mem::take(&mut standing.dry_runs);
    dry_runs.refresh(state);
    let outlook = search(state, pod, standing, start, by_name, now, &mut dry_runs);
    standing.dry_runs = dry_runs;
    outlook
}

fn search<'a>(
    state: &'a ClusterState,
    pod: &Pod,
    standing: &Standing,
    start: &Start<'a>,
    by_name: &[NodeId],
    now: Timestamp,
    dry_runs: &mut DryRuns,
) -> PreemptionOutlook {
    let helpless = |rejection: &Rejection| rejection.code == Code::UnschedulableAndUnresolvable;
    let hopeless: usize =
        standing.rejections().filter(|(rejection, _)| helpless(rejection)).map(|(_, rows)| rows).sum();
    let not_helped = hopeless + (state.node_count() - standing.judged());
    let potential = state.node_count() - not_helped;
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    if not_helped > 0 {
        reasons.insert(NOT_HELPFUL.to_owned(), not_helped);
    }
    if state.lowest_priority().is_none_or(|lowest| lowest >= pod.spec.priority) {
        // No need to look at nodes: there is nothing to evict on any.
        if potential > 0 {
            reasons.insert(NO_VICTIMS_FOUND.to_owned(), potential);
        }
        return PreemptionOutlook::Impossible(nodes_message(state.node_count(), &reasons));
    }
    let window = standing.plugins().arguments().preemption;
    let budgets: Vec<&DisruptionBudget> = state.budgets().collect();
    let allowed = budgets.iter().map(|budget| budget.allowed).collect();
    let search = Search { state, pod, standing, start, budgets, allowed, now };
    // What depends on other nodes, or on more than versions tell, is not kept.
    let keeps = start.surveys.is_empty() && standing.company.as_ref().is_none_or(|company| !company.filters());
    let (mut candidates, mut costs, mut violating) = (Vec::new(), Vec::new(), 0);
    let mut nothing_to_evict = Vec::new();
    // Trials follow the names, so that the choice does not depend on the order in which nodes came.
    for &id in by_name {
        match standing.status(id) {
            Judged::LeftOut => continue,
            Judged::Rejected(rejection) if helpless(&rejection) => continue,
            Judged::Rejected(_) | Judged::Feasible => {}
        }
        let name = state.view(id).name();
        let ahead = state.ahead_on(name, pod);
        let keeps = keeps && ahead.is_empty();
        // That there is nothing to evict on a node depends on its pods alone.
        let stands = |found: &Found| keeps || matches!(found, Found::Nothing(NoCandidate::NoVictims));
        let found = match dry_runs.get(state, id, now).filter(stands) {
            Some(found) => found,
            None => {
                let (latest, found) = search.run(id, ahead);
                if stands(&found) && latest.is_none_or(|latest| latest < now) {
                    dry_runs.kept.insert(id, (state.tenancy(id), latest, found.clone()));
                }
                found
            }
        };
        match found {
            Found::Victims { pods, budget_violations, cost, started } => {
                costs.push(if started { cost } else { cost.started_at(now) });
                candidates.push(PreemptionCandidate {
                    node: name.clone(),
                    victims: pods,
                    budget_violations,
                    best: false,
                });
                violating += usize::from(budget_violations > 0);
                if window.is_enough(potential, candidates.len() - violating, violating) {
                    break;
                }
            }
            Found::Nothing(NoCandidate::NoVictims) => *reasons.entry(NO_VICTIMS_FOUND.to_owned()).or_default() += 1,
            // The filters let it pass: an extender does not, which evicting pods cannot change.
            Found::Nothing(NoCandidate::NothingToEvict) => nothing_to_evict.push(name),
            Found::Nothing(NoCandidate::DoesNotFit(rejection)) => {
                for text in texts(&pod.spec, rejection) {
                    *reasons.entry(text).or_default() += 1;
                }
            }
        }
    }
    if candidates.is_empty() && !nothing_to_evict.is_empty() {
        return PreemptionOutlook::Impossible(no_victim(&nothing_to_evict));
    }
    if candidates.is_empty() {
        return PreemptionOutlook::Impossible(nodes_message(state.node_count(), &reasons));
    }
    for best in preemption::best(&costs) {
        candidates[best].best = true;
    }
    PreemptionOutlook::Possible(candidates)
}

/// What kube-scheduler says when the pod fits these nodes with everything that is there. A text of thousands of names would
/// be cut off by whoever shows it.
fn no_victim(nodes: &[&NodeName]) -> String {
    const NAMED: usize = 16;
    let named = nodes.iter().take(NAMED);
    let mut errors: Vec<String> =
        named.map(|node| format!("expected at least one victim pod on node {:?}", &***node)).collect();
    if let Some(more @ 1..) = nodes.len().checked_sub(NAMED) {
        errors.push(format!("and on {more} more"));
    }
    match errors.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
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
fn waits_for_victims(state: &ClusterState, pod: &Pod, standing: &Standing) -> bool {
    let nominated = state.nomination(&pod.uid).or(pod.nominated_node.as_ref());
    let Some(node) = nominated.and_then(|name| state.node(name)) else { return false };
    let hopeless = match standing.status(node.id()) {
        Judged::Rejected(rejection) => rejection.code == Code::UnschedulableAndUnresolvable,
        // It does not have the name that the pod asks for.
        Judged::LeftOut => true,
        Judged::Feasible => false,
    };
    !hopeless
        && node
            .pods()
            .iter()
            .any(|other| other.terminating && other.preempted && other.spec.priority < pod.spec.priority)
}
