//! One decision: [`decide`], the only way in which a node is chosen, for scheduling, dry runs and replay alike.
//!
//! The order is kube-scheduler's: gates, what is not implemented, narrowing, filters, scores; then enhanced scoring and
//! the model, and a seeded choice among equals. [`Decider`] is the same with what is known of all nodes for a pod spec
//! kept from decision to decision ([`standing`], which counts pods by domain with [`company`]). [`score`] chooses,
//! [`report`] puts into words.

mod company;
mod decision;
mod diagnosis;
mod explore;
mod judgement;
mod order;
mod preempt;
mod report;
mod score;
mod standing;
mod trial;
mod unsupported;
mod what_if;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use decision::{Algorithm, Cycle, Decision, Detail, NodeRejection, NodeReport, Outcome};
pub use diagnosis::{Diagnosis, PreemptionCandidate, PreemptionOutlook};
pub use what_if::{WithoutPods, fits_without};

use crate::extender::Advice;
use crate::object::{Node, NodeName, Pod};
use crate::plugins::{self, ClaimsAfter, PluginId, PluginSet, Rejection, Stop, dynamic_resources};
use crate::predictor::Predictor;
use crate::profile::Profile;
use crate::state::ClusterState;
use company::{Domains, Identities, Identity};
use judgement::{Judged, Surveys, judge_advised, judge_crowded};
use report::{bare, unschedulable};
use score::Scoring;
use standing::Standing;
use trial::Start;

/// So many specs are kept at most.
const MAX_SPECS: usize = 4096;
/// Rows that are kept at most, over all specs: at 30 to 50 bytes a row, more for pods with rules of company, this is
/// half a gigabyte. It is reached by 3,200 specs at 5,000 nodes, or by 16 at a million.
const MAX_ROWS: usize = 16_000_000;

/// Decides where the pod goes. Pure: equal arguments give equal decisions.
#[must_use]
pub fn decide(state: &ClusterState, pod: &Pod, profile: &Profile, predictor: &dyn Predictor, cycle: Cycle) -> Decision {
    Decider::new().decide(state, pod, profile, predictor, cycle)
}

/// How clear a choice is, 0..1: half for being chosen at all and half for the margin to the runner-up, which counts
/// fully from a tenth of the score's range on; times a half plus half the share of the signals' weight that is known on
/// the chosen node. A model's own confidence takes the place of the second factor when it had a part.
#[must_use]
pub fn confidence(margin: Option<f64>, range: f64, coverage: f64) -> f64 {
    let margin = match margin {
        Some(margin) if range > 0.0 => (margin / (range / 10.0)).clamp(0.0, 1.0),
        Some(_) => 0.0,
        None => 1.0,
    };
    (0.5 + 0.5 * margin) * (0.5 + 0.5 * coverage.clamp(0.0, 1.0))
}

/// What a decision takes from outside, besides the cluster.
#[derive(Clone, Copy)]
struct Outside<'o> {
    predictor: &'o dyn Predictor,
    /// What extenders said, if some were asked.
    advice: Option<&'o Advice>,
    cycle: Cycle,
}

/// What is kept is known by: the address of the spec, which is kept alive, and the identity among other pods.
type Key = (usize, Option<Arc<Identity>>);

/// [`decide`], with what can be kept between decisions. Of one state only, whose log tells what changed.
#[derive(Default)]
pub struct Decider {
    kept: HashMap<Key, Standing>,
    uses: u64,
    identities: Identities,
    domains: Domains,
    scoring: Scoring,
}

impl Decider {
    /// Nothing kept yet.
    #[must_use]
    pub fn new() -> Decider {
        Decider::default()
    }

    /// Decides where the pod goes; see [`decide`].
    #[must_use]
    pub fn decide(
        &mut self,
        state: &ClusterState,
        pod: &Pod,
        profile: &Profile,
        predictor: &dyn Predictor,
        cycle: Cycle,
    ) -> Decision {
        self.decide_advised(state, pod, profile, (predictor, None), cycle)
    }

    /// The same with what extenders said of nodes: only nodes that they were asked about and let pass can be chosen.
    #[must_use]
    pub fn decide_advised(
        &mut self,
        state: &ClusterState,
        pod: &Pod,
        profile: &Profile,
        (predictor, advice): (&dyn Predictor, Option<&Advice>),
        cycle: Cycle,
    ) -> Decision {
        if let Some(decision) = before_nodes(state, pod, profile, cycle) {
            return decision;
        }
        let outside = Outside { predictor, advice, cycle };
        self.with_standing(state, pod, profile, |decider, standing| {
            decider.decide_by(standing, state, pod, profile, outside)
        })
    }

    /// The nodes that the pod fits by all filters, by name: what extenders are to be asked about. `None` if the decision does
    /// not get as far as to nodes.
    #[must_use]
    pub fn fitting(
        &mut self,
        state: &ClusterState,
        pod: &Pod,
        profile: &Profile,
        cycle: Cycle,
    ) -> Option<Vec<NodeName>> {
        if before_nodes(state, pod, profile, cycle).is_some() {
            return None;
        }
        self.with_standing(state, pod, profile, |decider, standing| {
            drop(decider.judge(standing, state, pod, profile));
            let fitting = failure(standing, state, pod).is_none().then(|| {
                let fits = decider.domains.by_name(state);
                let fits = fits.iter().filter(|id| standing.fits(**id));
                fits.map(|id| state.view(*id).name().clone()).collect()
            });
            standing.restore();
            fitting
        })
    }

    fn with_standing<T>(
        &mut self,
        state: &ClusterState,
        pod: &Pod,
        profile: &Profile,
        work: impl FnOnce(&mut Decider, &mut Standing) -> T,
    ) -> T {
        let identity = self.identities.of(pod, state, profile);
        let new = |identity| Standing::new(&pod.spec, pod.node.as_ref(), identity, profile, state);
        // What a pod on a node asks for depends on the pod, not on its spec alone.
        if pod.node.is_some() {
            return work(self, &mut new(identity));
        }
        let key = (Arc::as_ptr(&pod.spec).addr(), identity);
        let kept = self.kept.remove(&key).filter(|kept| kept.is_of(profile));
        let mut standing = kept.unwrap_or_else(|| new(key.1.clone()));
        let done = work(self, &mut standing);
        // A pod that is for one node by name will hardly be followed by another one of its spec.
        if standing.narrowed().is_none() {
            self.keep(key, standing, state.row_count());
        }
        done
    }

    fn keep(&mut self, key: Key, mut standing: Standing, rows: usize) {
        self.uses += 1;
        standing.last_used = self.uses;
        let limit = (MAX_ROWS / rows.max(1)).clamp(1, MAX_SPECS);
        if self.kept.len() >= limit {
            // Half go at once, those not used for longest, so that the search for them is seldom.
            let mut uses: Vec<u64> = self.kept.values().map(|standing| standing.last_used).collect();
            uses.sort_unstable();
            let oldest_kept = uses[uses.len() / 2];
            self.kept.retain(|_, standing| standing.last_used > oldest_kept);
        }
        self.kept.insert(key, standing);
    }

    /// Judges all nodes by all filters. What this decision adds has to be undone by [`Standing::restore`].
    fn judge<'a>(
        &mut self,
        standing: &mut Standing,
        state: &'a ClusterState,
        pod: &'a Pod,
        profile: &Profile,
    ) -> Start<'a> {
        standing.refresh(state, &mut self.domains);
        standing.judge_groups();
        let start = Start::new(standing, Surveys::new(pod, state, &profile.plugins));
        start.surveys.judge(standing, state);
        judge_crowded(standing, &start, state, pod);
        start
    }

    fn decide_by(
        &mut self,
        standing: &mut Standing,
        state: &ClusterState,
        pod: &Pod,
        profile: &Profile,
        outside: Outside<'_>,
    ) -> Decision {
        let cycle = outside.cycle;
        let start = self.judge(standing, state, pod, profile);
        if let Some(advice) = outside.advice {
            judge_advised(standing, advice, state);
        }
        let feasible = standing.feasible();
        let decision = if let Some(error) = failure(standing, state, pod) {
            bare(state, pod, cycle, Outcome::Failed(error.clone()), error)
        } else if feasible == 0 {
            unschedulable(standing, &start, &mut self.domains, state, pod, cycle)
        } else if let (Some((plugin, error)), 2..) = (standing.score_error(), feasible) {
            let error = format!("running PreScore plugin \"{}\": {error}", plugin.name());
            bare(state, pod, cycle, Outcome::Failed(error.clone()), error)
        } else {
            self.scoring.place(standing, &mut self.domains, state, pod, profile, outside)
        };
        standing.restore();
        decision
    }
}

/// The decision on a pod for which nodes do not matter.
fn before_nodes(state: &ClusterState, pod: &Pod, profile: &Profile, cycle: Cycle) -> Option<Decision> {
    let bare = |outcome, reason| Some(bare(state, pod, cycle, outcome, reason));
    if !pod.spec.scheduling_gates.is_empty() {
        let gates = pod.spec.scheduling_gates.clone();
        return bare(Outcome::Gated(gates), "its scheduling gates hold it back".to_owned());
    }
    let (refused, _) = unsupported::required(state, pod, &profile.plugins);
    if !refused.is_empty() {
        let reason = format!("it needs what is not implemented: {}", refused.join(", "));
        return bare(Outcome::Refused(refused), reason);
    }
    if profile.plugins.pre_filter().contains(&PluginId::DynamicResources)
        && let Some(why) = dynamic_resources::held_back(pod, state)
    {
        return bare(Outcome::Held { by: PluginId::DynamicResources, why: why.clone() }, why);
    }
    turned_away(state, pod, profile, cycle)
}

/// The decision on a pod that could not be judged; why.
pub(crate) fn failed(state: &ClusterState, pod: &Pod, cycle: Cycle, error: &str) -> Decision {
    bare(state, pod, cycle, Outcome::Failed(error.to_owned()), error.to_owned())
}

/// The decision on a pod that a plugin turns away before any node is looked at.
fn turned_away(state: &ClusterState, pod: &Pod, profile: &Profile, cycle: Cycle) -> Option<Decision> {
    if state.node_count() == 0 {
        return None;
    }
    let stopped = |id: &PluginId| Some((*id, plugins::find(*id)?.admit(pod, state).err()?));
    let (plugin, stop) = profile.plugins.pre_filter().iter().find_map(stopped)?;
    let why = match stop {
        Stop::Rejected(why) => why,
        Stop::Failed(error) => {
            let error = format!("running PreFilter plugin \"{}\": {error}", plugin.name());
            return Some(bare(state, pod, cycle, Outcome::Failed(error.clone()), error));
        }
    };
    let diagnosis = Diagnosis {
        nodes: state.node_count(),
        reasons: BTreeMap::from([(why.clone(), state.node_count())]),
        plugins: PluginSet::of(&[plugin]),
        asks_for_claims: profile.plugins.post_filter().contains(PluginId::DynamicResources),
        preemption: preempt::hopeless(state, pod, &profile.plugins),
        turned_away: Some(why),
        claims: ClaimsAfter::None,
        freed: None,
    };
    let reason = diagnosis.message();
    Some(bare(state, pod, cycle, Outcome::Unschedulable(diagnosis), reason))
}

/// Why the attempt failed as a whole while nodes were judged, if it did; of several nodes, on the first by name.
fn failure(standing: &Standing, state: &ClusterState, pod: &Pod) -> Option<String> {
    if pod.spec.device_claims.is_empty() && pod.spec.extended.is_empty() {
        return None;
    }
    let failed = rejected_for_devices(standing, state)
        .filter_map(|(node, rejection)| Some((&node.name, dynamic_resources::failure(pod, state, node, rejection)?)));
    let (_, error) = failed.min_by(|(a, _), (b, _)| a.cmp(b))?;
    Some(format!("running \"{}\" filter plugin: {error}", PluginId::DynamicResources.name()))
}

/// Nodes that were rejected by DynamicResources.
fn rejected_for_devices<'a>(
    standing: &'a Standing,
    state: &'a ClusterState,
) -> impl Iterator<Item = (&'a Node, Rejection)> + 'a {
    state.ids().filter_map(|id| match standing.status(id) {
        Judged::Rejected(rejection) if rejection.plugin == PluginId::DynamicResources => {
            Some((&**state.view(id).node(), rejection))
        }
        _ => None,
    })
}

/// The plugins whose judgement a refused pod lacks: it waits for what concerns them.
pub(crate) fn refused_by(state: &ClusterState, pod: &Pod, profile: &Profile) -> PluginSet {
    unsupported::required(state, pod, &profile.plugins).1
}
