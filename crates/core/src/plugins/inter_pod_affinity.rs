//! InterPodAffinity: pods want to be near some pods and away from others, as a must or as a wish, and those that are
//! there already have a say on those that come. The rules alone: the cycle counts pods by domain.

use super::{Code, Plugin, PluginId, Rejection};
use crate::cluster_event::ClusterEvent;
use crate::object::{Labels, Pod, PodAffinityTerm, PodSpec};
use crate::profile::PluginArguments;
use crate::state::ClusterState;

pub(crate) struct InterPodAffinity;

const AFFINITY: u32 = 0;
const ANTI_AFFINITY: u32 = 1;
const EXISTING: u32 = 2;

/// Whether a term of a pod of the namespace `owner` selects pods of the given namespace and labels.
pub(crate) fn selects(
    term: &PodAffinityTerm,
    owner: &str,
    (namespace, labels): (&str, &Labels),
    state: &ClusterState,
) -> bool {
    let in_namespace = term.namespaces.iter().any(|named| **named == *namespace)
        || match &term.namespace_selector {
            None => term.namespaces.is_empty() && owner == namespace,
            Some(all) if all.is_empty() => true,
            Some(selector) => state.namespace(namespace).is_some_and(|of| selector.matches(|key| of.get(key))),
        };
    in_namespace && term.selector.as_ref().is_some_and(|selector| selector.matches(|key| labels.get(key)))
}

/// What is known of a node's domains when pods are to be near some pods and far from others.
pub(crate) struct Neighbours {
    /// Whether the node lacks the label of a required term.
    pub(crate) without_domain: bool,
    /// Whether each required term finds, in its domain, a pod that all of them select.
    pub(crate) all_near: bool,
    /// Whether no domain anywhere has such a pod, but the pod itself is one.
    pub(crate) is_first: bool,
    /// Whether a required anti-affinity term finds a pod in its domain.
    pub(crate) any_far: bool,
    /// Whether a pod in one of the domains wants to be far from the pod.
    pub(crate) repelled: bool,
}

impl Neighbours {
    /// Whether the pod fits the node.
    pub(crate) fn check(&self) -> Result<(), Rejection> {
        // The first of pods that want to be together may go anywhere where there are domains.
        let (code, bit) = if self.without_domain || !(self.all_near || self.is_first) {
            (Code::UnschedulableAndUnresolvable, AFFINITY)
        } else if self.any_far {
            (Code::Unschedulable, ANTI_AFFINITY)
        } else if self.repelled {
            (Code::Unschedulable, EXISTING)
        } else {
            return Ok(());
        };
        Err(Rejection { plugin: PluginId::InterPodAffinity, code, reasons: 1 << bit })
    }
}

/// The score 0..100 of a raw score, among candidates of which the least and the largest raw scores are given.
pub(crate) fn normalize(raw: i64, least: i64, most: i64) -> i64 {
    let span = (most - least) as f64;
    if most > least { (100.0 * ((raw - least) as f64 / span)) as i64 } else { 0 }
}

impl Plugin for InterPodAffinity {
    fn id(&self) -> PluginId {
        PluginId::InterPodAffinity
    }

    fn reason(&self, _: &PodSpec, bit: u32) -> String {
        match bit {
            AFFINITY => "node(s) didn't match pod affinity rules",
            ANTI_AFFINITY => "node(s) didn't match pod anti-affinity rules",
            _ => "node(s) didn't satisfy existing pods anti-affinity rules",
        }
        .to_owned()
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, _: &PluginArguments) -> bool {
        // Namespaces chosen by label count as chosen: a hint may be wrong in that direction.
        let concerns = |terms: &[PodAffinityTerm], owner: &Pod, other: &Pod| {
            terms.iter().any(|term| {
                let in_namespace = term.namespace_selector.is_some()
                    || term.namespaces.contains(&other.namespace)
                    || (term.namespaces.is_empty() && owner.namespace == other.namespace);
                in_namespace && term.selector.as_ref().is_some_and(|s| s.matches(|key| other.labels.get(key)))
            })
        };
        let own = &pod.spec.pod_affinities;
        match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::NodeChanged { before, node } => before.labels != node.labels,
            ClusterEvent::PodPlaced(other) => concerns(&own.required, pod, other),
            ClusterEvent::PodRemoved(other) => {
                concerns(&own.required_anti, pod, other)
                    || concerns(&other.spec.pod_affinities.required_anti, other, pod)
            }
            ClusterEvent::PodChanged => true,
            ClusterEvent::RelatedAdded(_)
            | ClusterEvent::RelatedChanged { .. }
            | ClusterEvent::RelatedRemoved(_)
            | ClusterEvent::RelatedListed(_) => false,
        }
    }
}
