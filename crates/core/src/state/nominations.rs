//! Pods that wait for room on a node where others were evicted for them, and the budgets that evictions respect.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{ClusterState, NodeId};
use crate::object::{DisruptionBudget, NodeName, Pod, PodUid};

/// Pending pods that hold a place on a node, and disruption budgets. As large as the API server's content.
#[derive(Debug, Default)]
pub(super) struct Nominations {
    by_node: HashMap<NodeName, Vec<Arc<Pod>>>,
    by_pod: HashMap<PodUid, NodeName>,
    budgets: BTreeMap<(Arc<str>, Arc<str>), DisruptionBudget>,
    /// Changes with the budgets.
    budgets_version: u64,
    budgets_listed: bool,
}

impl Nominations {
    pub(super) fn withdraw(&mut self, uid: &str) -> Option<NodeName> {
        let node = self.by_pod.remove(uid)?;
        if let Some(pods) = self.by_node.get_mut(&node) {
            pods.retain(|pod| *pod.uid != *uid);
            if pods.is_empty() {
                self.by_node.remove(&node);
            }
        }
        Some(node)
    }
}

impl ClusterState {
    /// Notes that room is made for the pod on the node: pods of no higher priority leave it alone.
    pub fn nominate(&mut self, pod: Arc<Pod>, node: &NodeName) {
        self.nominations.withdraw(&pod.uid);
        self.nominations.by_pod.insert(pod.uid.clone(), node.clone());
        self.nominations.by_node.entry(node.clone()).or_default().push(pod);
    }

    /// Forgets that the pod has a place somewhere; the node where it had one.
    pub fn withdraw(&mut self, uid: &str) -> Option<NodeName> {
        self.nominations.withdraw(uid)
    }

    /// The node on which room is made for the pod.
    #[must_use]
    pub fn nomination(&self, uid: &str) -> Option<&NodeName> {
        self.nominations.by_pod.get(uid)
    }

    /// Pods that room is made for on the node.
    #[must_use]
    pub fn nominated(&self, node: &str) -> &[Arc<Pod>] {
        self.nominations.by_node.get(node).map_or(&[], Vec::as_slice)
    }

    /// All pods that room is made for, with their nodes.
    pub(super) fn nominations(&self) -> impl Iterator<Item = (&Arc<Pod>, &NodeName)> {
        self.nominations.by_node.iter().flat_map(|(node, pods)| pods.iter().map(move |pod| (pod, node)))
    }

    /// Known nodes with pods that come before the given one: nominated there, and of no lower priority.
    pub(crate) fn ahead_of<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = (NodeId, Vec<Arc<Pod>>)> + 'a {
        self.nominations.by_node.iter().filter_map(|(node, pods)| {
            let ahead: Vec<Arc<Pod>> = pods.iter().filter(|other| is_ahead(other, pod)).cloned().collect();
            let id = self.by_name.get(node)?;
            (!ahead.is_empty()).then_some((*id, ahead))
        })
    }

    /// Those of the node's nominated pods that come before the given one.
    pub(crate) fn ahead_on(&self, node: &str, pod: &Pod) -> Vec<Arc<Pod>> {
        self.nominated(node).iter().filter(|other| is_ahead(other, pod)).cloned().collect()
    }

    /// Adds a disruption budget, or follows its change.
    pub fn apply_budget(&mut self, budget: DisruptionBudget) {
        self.nominations.budgets_version += 1;
        self.nominations.budgets.insert((budget.namespace.clone(), budget.name.clone()), budget);
    }

    /// Forgets a disruption budget.
    pub fn remove_budget(&mut self, namespace: &str, name: &str) {
        self.nominations.budgets_version += 1;
        self.nominations.budgets.remove(&(namespace.into(), name.into()));
    }

    /// All disruption budgets there are.
    pub fn reset_budgets(&mut self, budgets: Vec<DisruptionBudget>) {
        self.nominations.budgets_version += 1;
        self.nominations.budgets.clear();
        self.nominations.budgets_listed = true;
        budgets.into_iter().for_each(|budget| self.apply_budget(budget));
    }

    /// Whether all budgets are known.
    #[must_use]
    pub fn knows_budgets(&self) -> bool {
        self.nominations.budgets_listed
    }

    /// Changes with the disruption budgets.
    pub(crate) fn budgets_version(&self) -> u64 {
        self.nominations.budgets_version
    }

    pub(crate) fn budgets(&self) -> impl Iterator<Item = &DisruptionBudget> {
        self.nominations.budgets.values()
    }
}

fn is_ahead(other: &Pod, pod: &Pod) -> bool {
    other.uid != pod.uid && other.spec.priority >= pod.spec.priority
}
