//! What if pods left a node: [`fits_without`] judges nodes by all filters without some of their pods.

use std::sync::Arc;

use super::company::{Domains, Identities};
use super::diagnosis::texts;
use super::judgement::Surveys;
use super::standing::Standing;
use super::trial::{Start, Trial};
use super::{turned_away, unsupported};
use crate::cycle::{Cycle, Detail};
use crate::object::{NodeName, Pod, PodUid};
use crate::profile::Profile;
use crate::state::ClusterState;
use crate::time::Timestamp;

/// A node, and pods that might leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutPods {
    /// The node.
    pub node: NodeName,
    /// The pods; those that are not on it are passed over.
    pub leaving: Vec<PodUid>,
}

/// Whether the pod would fit each of the nodes if the named pods left it; the reasons against it otherwise. Pods with a
/// claim to the node that come before it (nominated, of higher or equal priority) keep their place.
#[must_use]
pub fn fits_without(
    state: &ClusterState,
    pod: &Pod,
    profile: &Profile,
    nodes: &[WithoutPods],
    now: Timestamp,
) -> Vec<Result<(), Vec<String>>> {
    let (refused, _) = unsupported::required(state, pod, &profile.plugins);
    let cycle = Cycle { now, seed: 0, detail: Detail::Brief };
    let never = if refused.is_empty() {
        turned_away(state, pod, profile, cycle).map(|decision| vec![decision.reason])
    } else {
        Some(refused.iter().map(ToString::to_string).collect())
    };
    if let Some(reasons) = never {
        return vec![Err(reasons); nodes.len()];
    }
    let (mut identities, mut domains) = (Identities::default(), Domains::default());
    let identity = identities.of(pod, state, profile);
    let mut standing = Standing::new(&pod.spec, None, identity, profile, state);
    standing.refresh(state, &mut domains);
    standing.judge_groups();
    let start = Start::new(&standing, Surveys::new(pod, state, &profile.plugins));
    let judge = |without: &WithoutPods| {
        let Some(view) = state.node(&without.node) else {
            return Err(vec![format!("node {} is not known", without.node)]);
        };
        if standing.narrowed().is_some_and(|narrowed| narrowed.names.binary_search(&without.node).is_err()) {
            return Err(vec!["the pod is kept to other nodes".to_owned()]);
        }
        let leaving: Vec<Arc<Pod>> =
            view.pods().iter().filter(|pod| without.leaving.contains(&pod.uid)).cloned().collect();
        let ahead = state.ahead_on(&without.node, pod);
        let mut trial = Trial::new(&standing, &start, state, view.id(), ahead);
        leaving.iter().for_each(|pod| trial.remove(pod));
        let fits = trial.fits_with_nominated().and_then(|()| trial.fits());
        fits.map_err(|rejection| texts(&pod.spec, rejection))
    };
    nodes.iter().map(judge).collect()
}
