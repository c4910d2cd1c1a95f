//! A cluster as plain lists of objects, from which a state can be built anew at any time.

use std::collections::BTreeMap;
use std::sync::Arc;

use augur_core::object::{
    ControllerRef, DisruptionBudget, Labels, Node, Pod, PodSelector, Related, RelatedKind, Selects,
};
use augur_core::state::{ClusterState, NodeSignals};

use super::samples::node_name;

/// What there is in a cluster.
#[derive(Clone, Default)]
pub struct World {
    pub nodes: BTreeMap<u8, Node>,
    /// With the number of the node that they are on, known or not.
    pub pods: BTreeMap<u8, (Arc<Pod>, u8)>,
    pub namespaces: BTreeMap<&'static str, Labels>,
    /// Services and controllers, by kind, namespace and name.
    pub selecting: BTreeMap<(usize, String, String), Related>,
    pub budget: Option<DisruptionBudget>,
    /// Waiting pods that room is made for, with the number of the node.
    pub nominated: BTreeMap<u8, (Arc<Pod>, u8)>,
    pub signals: BTreeMap<u8, NodeSignals>,
}

impl World {
    /// The state of it, with everything added in another order than it came.
    pub fn build(&self) -> ClusterState {
        let mut state = ClusterState::new();
        RelatedKind::ALL.into_iter().for_each(|kind| _ = state.set_listed(kind));
        for (pod, node) in self.pods.values().rev() {
            state.place(pod.clone(), &node_name(*node).into());
        }
        for (number, node) in self.nodes.iter().rev() {
            state.apply_node(node.clone());
            state.set_signals(&node_name(*number), self.signals.get(number).copied());
        }
        for (name, labels) in &self.namespaces {
            state.apply_namespace((*name).into(), labels.clone());
        }
        self.selecting.values().for_each(|object| _ = state.apply_related(object.clone()));
        self.budget.iter().for_each(|budget| state.apply_budget(budget.clone()));
        for (pod, node) in self.nominated.values() {
            state.nominate(pod.clone(), &node_name(*node).into());
        }
        state
    }

    /// The pods on a node.
    pub fn pods_on(&self, node: u8) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values().filter(move |(_, on)| *on == node).map(|(pod, _)| pod)
    }

    fn selectors(&self, kind: RelatedKind, namespace: &str) -> impl Iterator<Item = &PodSelector> {
        let of_kind = move |object: &&Related| object.kind() == kind && *object.key().namespace == *namespace;
        self.selecting.values().filter(of_kind).filter_map(|object| match object {
            Related::Service(it) | Related::ReplicaSet(it) => Some(&**it),
            _ => None,
        })
    }

    /// The selectors of the pod's services and of its controller: a pod is like it that all of them select.
    pub fn like(&self, pod: &Pod) -> Vec<&Selects> {
        let mine = |selector: &&PodSelector| selects(&selector.selects, &pod.labels);
        let services = self.selectors(RelatedKind::Service, &pod.namespace).filter(mine);
        let controller = self
            .selectors(RelatedKind::ReplicaSet, &pod.namespace)
            .filter(|set| matches!(&pod.controller, Some(ControllerRef::ReplicaSet(name)) if *name == set.name));
        services.chain(controller).map(|selector| &selector.selects).collect()
    }
}

/// Whether the selector of a service or controller selects pods of these labels.
pub fn selects(selector: &Selects, labels: &Labels) -> bool {
    match selector {
        Selects::Nothing => false,
        Selects::Labels(wanted) => wanted.iter().all(|(key, value)| labels.get(key) == Some(value)),
        Selects::Conditions(selector) => selector.matches(|key| labels.get(key)),
    }
}
