//! InterPodAffinity: pods want to be near some pods and away from others, as a must or as a wish, and those that are
//! there already have a say on those that come.

use std::collections::HashMap;

use super::{Code, Plugin, PluginId, Rejection, Survey};
use crate::cluster_event::ClusterEvent;
use crate::object::{Labels, Node, Pod, PodAffinityTerm, PodSpec};
use crate::profile::PluginArguments;
use crate::state::{ClusterState, NodeId, NodeView};

pub(crate) struct InterPodAffinity;

const AFFINITY: u32 = 0;
const ANTI_AFFINITY: u32 = 1;
const EXISTING: u32 = 2;

/// Counts by label and value.
type Domains<'a> = HashMap<(&'a str, &'a str), i64>;

/// Whether a term of `owner` selects the pod.
pub(crate) fn selects(term: &PodAffinityTerm, owner: &Pod, pod: &Pod, state: &ClusterState) -> bool {
    let in_namespace = term.namespaces.contains(&pod.namespace)
        || match &term.namespace_selector {
            None => term.namespaces.is_empty() && owner.namespace == pod.namespace,
            Some(all) if all.is_empty() => true,
            Some(selector) => {
                state.namespace(&pod.namespace).is_some_and(|labels| selector.matches(|key| labels.get(key)))
            }
        };
    in_namespace && term.selector.as_ref().is_some_and(|selector| selector.matches(|key| pod.labels.get(key)))
}

fn selects_by_all(terms: &[PodAffinityTerm], owner: &Pod, pod: &Pod, state: &ClusterState) -> bool {
    !terms.is_empty() && terms.iter().all(|term| selects(term, owner, pod, state))
}

fn add<'a>(domains: &mut Domains<'a>, key: &'a str, node: &'a Node, by: i64) {
    if let Some(value) = node.labels.get(key) {
        let count = domains.entry((key, value)).or_default();
        *count += by;
        if *count == 0 {
            domains.remove(&(key, value));
        }
    }
}

/// Adds to the node's domain. The keys of the map are the node's own strings, which outlive the term.
fn weigh<'a>(domains: &mut Domains<'a>, term: &PodAffinityTerm, labels: &'a Labels, by: i64) {
    if let Some(label) = labels.iter().find(|(key, _)| **key == *term.topology_key) {
        *domains.entry(label).or_default() += by;
    }
}

#[derive(Clone)]
struct Affinity<'a> {
    pod: &'a Pod,
    state: &'a ClusterState,
    /// Pods that all required terms select, for each term's domain.
    near: Domains<'a>,
    /// Pods that a required anti-affinity term selects.
    far: Domains<'a>,
    /// Pods there whose required anti-affinity selects the pod.
    repelling: Domains<'a>,
    /// Whether the pod is one of those that it wants to be near.
    likes_itself: bool,
}

impl<'a> Affinity<'a> {
    fn own(&mut self, other: &Pod, node: &'a Node, by: i64) {
        let affinities = &self.pod.spec.pod_affinities;
        if selects_by_all(&affinities.required, self.pod, other, self.state) {
            affinities.required.iter().for_each(|term| add(&mut self.near, &term.topology_key, node, by));
        }
        for term in &affinities.required_anti {
            if selects(term, self.pod, other, self.state) {
                add(&mut self.far, &term.topology_key, node, by);
            }
        }
    }

    /// The terms' keys must live as long as the counts: for a pod of the state they do.
    fn existing(&mut self, other: &'a Pod, node: &'a Node) {
        for term in &other.spec.pod_affinities.required_anti {
            if selects(term, other, self.pod, self.state) {
                add(&mut self.repelling, &term.topology_key, node, 1);
            }
        }
    }

    fn reject(code: Code, bit: u32) -> Result<(), Rejection> {
        Err(Rejection { plugin: PluginId::InterPodAffinity, code, reasons: 1 << bit })
    }
}

impl<'a> Survey<'a> for Affinity<'a> {
    fn filter(&self, node: NodeView<'_>) -> Result<(), Rejection> {
        let labels = &node.node().labels;
        let affinities = &self.pod.spec.pod_affinities;
        let mut all_near = true;
        for term in &affinities.required {
            match labels.get(&term.topology_key) {
                None => return Self::reject(Code::UnschedulableAndUnresolvable, AFFINITY),
                Some(value) => all_near &= self.near.get(&(&*term.topology_key, value)).is_some_and(|count| *count > 0),
            }
        }
        // The first of pods that want to be together may go anywhere.
        let is_first = self.near.is_empty() && self.likes_itself;
        if !all_near && !is_first {
            return Self::reject(Code::UnschedulableAndUnresolvable, AFFINITY);
        }
        let near_far = |term: &PodAffinityTerm| {
            let value = labels.get(&term.topology_key);
            value.is_some_and(|value| self.far.get(&(&*term.topology_key, value)).is_some_and(|count| *count > 0))
        };
        if affinities.required_anti.iter().any(near_far) {
            return Self::reject(Code::Unschedulable, ANTI_AFFINITY);
        }
        if !self.repelling.is_empty()
            && labels.iter().any(|label| self.repelling.get(&label).is_some_and(|count| *count > 0))
        {
            return Self::reject(Code::Unschedulable, EXISTING);
        }
        Ok(())
    }

    fn follow(&mut self, moved: &Pod, node: &'a Node, by: i64) {
        self.own(moved, node, by);
        for term in &moved.spec.pod_affinities.required_anti {
            if selects(term, moved, self.pod, self.state) {
                weigh(&mut self.repelling, term, &node.labels, by);
            }
        }
    }

    fn copy(&self) -> Box<dyn Survey<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Plugin for InterPodAffinity {
    fn id(&self) -> PluginId {
        PluginId::InterPodAffinity
    }

    fn survey<'a>(
        &self,
        pod: &'a Pod,
        state: &'a ClusterState,
        _: &PluginArguments,
    ) -> Option<Box<dyn Survey<'a> + 'a>> {
        let affinities = &pod.spec.pod_affinities;
        let mut affinity = Affinity {
            pod,
            state,
            near: Domains::new(),
            far: Domains::new(),
            repelling: Domains::new(),
            likes_itself: selects_by_all(&affinities.required, pod, pod, state),
        };
        for (other, node) in state.pods_with_affinities() {
            affinity.existing(other, node);
        }
        if !affinities.required.is_empty() || !affinities.required_anti.is_empty() {
            for node in state.nodes() {
                node.pods().iter().for_each(|other| affinity.own(other, node.node(), 1));
            }
        } else if affinity.repelling.is_empty() {
            return None;
        }
        Some(Box::new(affinity))
    }

    fn reason(&self, _: &PodSpec, bit: u32) -> String {
        match bit {
            AFFINITY => "node(s) didn't match pod affinity rules",
            ANTI_AFFINITY => "node(s) didn't match pod anti-affinity rules",
            _ => "node(s) didn't satisfy existing pods anti-affinity rules",
        }
        .to_owned()
    }

    fn survey_scores(
        &self,
        pod: &Pod,
        state: &ClusterState,
        candidates: &[NodeId],
        arguments: &PluginArguments,
    ) -> Option<Vec<i64>> {
        let own = &pod.spec.pod_affinities;
        let arguments = &arguments.inter_pod_affinity;
        if arguments.ignore_preferred_terms_of_existing_pods
            && own.preferred.is_empty()
            && own.preferred_anti.is_empty()
        {
            return None;
        }
        let hard_weight = arguments.hard_pod_affinity_weight;
        let mut domains: Domains<'_> = Domains::new();
        if !own.preferred.is_empty() || !own.preferred_anti.is_empty() {
            for node in state.nodes() {
                let labels = &state.row(node.id()).node.labels;
                for other in node.pods() {
                    let signed = [(&own.preferred, 1), (&own.preferred_anti, -1)];
                    for (preference, sign) in signed.iter().flat_map(|(all, sign)| all.iter().map(move |p| (p, *sign)))
                    {
                        if selects(&preference.term, pod, other, state) {
                            let weight = sign * i64::from(preference.weight);
                            weigh(&mut domains, &preference.term, labels, weight);
                        }
                    }
                }
            }
        }
        for (other, node) in state.pods_with_affinities() {
            let labels = &node.labels;
            let theirs = &other.spec.pod_affinities;
            let counted = if hard_weight > 0 { theirs.required.as_slice() } else { &[] };
            let required = counted.iter().map(|term| (term, hard_weight));
            let liked = theirs.preferred.iter().map(|p| (&p.term, i64::from(p.weight)));
            let disliked = theirs.preferred_anti.iter().map(|p| (&p.term, -i64::from(p.weight)));
            for (term, weight) in required.chain(liked).chain(disliked) {
                if selects(term, other, pod, state) {
                    weigh(&mut domains, term, labels, weight);
                }
            }
        }
        if domains.is_empty() {
            return None;
        }
        let raw: Vec<i64> = candidates
            .iter()
            .map(|id| {
                let labels = &state.row(*id).node.labels;
                labels.iter().filter_map(|label| domains.get(&label)).sum()
            })
            .collect();
        let least = raw.iter().min().copied().unwrap_or(0);
        let most = raw.iter().max().copied().unwrap_or(0);
        let span = (most - least) as f64;
        let normal = |raw: i64| if most > least { (100.0 * ((raw - least) as f64 / span)) as i64 } else { 0 };
        Some(raw.into_iter().map(normal).collect())
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
