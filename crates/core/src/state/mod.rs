//! The cluster as the decision sees it: one row a node, kept up to date change by change.
//!
//! Start at [`ClusterState::apply_node`], [`ClusterState::place`] and [`ClusterState::remove`]; [`NodeView`] reads a
//! row. Every change of what could alter a verdict on a node gives its row a new version, so that verdicts can be
//! kept as long as the version stands.

mod classes;
mod copy;
mod devices;
mod images;
mod kinds;
mod log;
mod nominations;
mod related;
mod rows;
mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use copy::StateCopy;
pub use related::RelatedObjects;
pub use rows::{NodeSignals, NodeUse};
pub use view::{ClusterSummary, NodeView};

use crate::object::{
    Labels, Node, NodeName, Pod, PodDevices, PodUid, PodVolume, Related, RelatedKey, RelatedKind, Resources,
};
pub(crate) use classes::{ClassId, Classes, HOSTNAME};
pub(crate) use devices::{Consumed, DeviceBook};
pub(crate) use images::{ImageId, Images};
pub(crate) use kinds::{KindId, PodKind, PodKinds};
pub(crate) use log::ChangeLog;
use nominations::Nominations;
use related::ClaimUsers;
use rows::PlacedPod;
pub(crate) use rows::{NodeRow, hash as name_hash, mix};

/// A row's number. Numbers of deleted nodes are used again, with a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// The row of this number. Rows are fewer than 2³²: as many nodes do not fit into memory.
    pub(crate) fn of_index(index: usize) -> NodeId {
        NodeId(index as u32)
    }

    /// As an index into columns.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// All nodes, the pods on them, and live signals.
///
/// Its size is that of the cluster: rows of deleted nodes are used again, and pods leave with their deletion.
#[derive(Debug, Default)]
pub struct ClusterState {
    rows: Vec<NodeRow>,
    /// What the scoring loop reads, apart from the rest so that it stays in cache.
    used: Vec<NodeUse>,
    /// The row's version; 0 for a free row.
    versions: Vec<u64>,
    /// As the version, and changes with the node's signals too.
    stamps: Vec<u64>,
    /// Changes with everything about the row's pods, also with what bears on no verdict but on who is evicted first.
    tenancies: Vec<u64>,
    /// A number made from the node's name alone, by which equally good nodes are told apart.
    name_hashes: Vec<u64>,
    free: Vec<NodeId>,
    by_name: HashMap<NodeName, NodeId>,
    pods: HashMap<PodUid, PlacedPod>,
    /// Pods on nodes that are not known (yet), by node.
    strays: HashMap<NodeName, Vec<PodUid>>,
    classes: Classes,
    images: Images,
    kinds: PodKinds,
    /// How many pods on known nodes there are of each priority.
    priorities: BTreeMap<i32, usize>,
    /// Rows by the order in which they got a new version.
    touched: ChangeLog<NodeId>,
    /// Pods of a kind that came to a row or left it.
    moves: ChangeLog<(KindId, NodeId, i64)>,
    /// Changes with the set of nodes.
    members: u64,
    /// Changes with the set of nodes, their labels and taints.
    topology: u64,
    /// Host names that several nodes claim.
    repeated_hosts: usize,
    hosts: HashMap<Arc<str>, usize>,
    /// Labels of namespaces.
    namespaces: HashMap<Arc<str>, Labels>,
    /// Changes with them.
    namespaces_version: u64,
    /// Changes with services and controllers.
    selectors_version: u64,
    related: RelatedObjects,
    claim_users: ClaimUsers,
    nominations: Nominations,
    clock: u64,
    /// Changes with every change of signals, of the number of a node's taints, and of the set of nodes.
    observed: u64,
}

impl ClusterState {
    /// An empty cluster.
    #[must_use]
    pub fn new() -> ClusterState {
        ClusterState::default()
    }

    /// Adds a node, or follows its change. Pods that were there before the node are on it from now on.
    pub fn apply_node(&mut self, node: Node) -> NodeId {
        let id = match self.by_name.get(&node.name) {
            Some(&id) => {
                let row = &mut self.rows[id.index()];
                if *row.node == node {
                    return id;
                }
                self.observed += u64::from(row.node.taints.len() != node.taints.len());
                let relabelled = row.node.labels != node.labels;
                self.topology += u64::from(relabelled || row.node.taints != node.taints);
                if relabelled {
                    let before = row.node.clone();
                    self.leave_host(&before);
                    self.enter_host(&node);
                }
                let row = &mut self.rows[id.index()];
                self.classes.leave(row.class);
                self.images.remove_node(&mut row.images);
                row.class = self.classes.enter(&node);
                row.images = self.images.add_node(&node.images);
                self.used[id.index()].set_allocatable(&node.allocatable, node.allowed_pods);
                row.set_allocatable(&node.allocatable);
                row.node = Arc::new(node);
                id
            }
            None => {
                let id = self.free.pop().unwrap_or_else(|| {
                    self.rows.push(NodeRow::default());
                    self.used.push(NodeUse::default());
                    self.versions.push(0);
                    self.stamps.push(0);
                    self.tenancies.push(0);
                    self.name_hashes.push(0);
                    NodeId::of_index(self.rows.len() - 1)
                });
                self.by_name.insert(node.name.clone(), id);
                let class = self.classes.enter(&node);
                let images = self.images.add_node(&node.images);
                let mut used = NodeUse::default();
                used.set_allocatable(&node.allocatable, node.allowed_pods);
                let mut row = NodeRow::new(node, class, images);
                let allocatable = row.node.allocatable.clone();
                row.set_allocatable(&allocatable);
                let name = row.node.name.clone();
                self.name_hashes[id.index()] = name_hash(&name);
                self.rows[id.index()] = row;
                self.used[id.index()] = used;
                self.images.set_nodes(self.by_name.len());
                self.enter_host(&self.rows[id.index()].node.clone());
                self.observed += 1;
                self.members += 1;
                self.topology += 1;
                for uid in self.strays.remove(&name).unwrap_or_default() {
                    self.settle(&uid, id);
                }
                id
            }
        };
        self.touch(id);
        id
    }

    /// Removes a node. Its pods stay known, for the case that it comes back.
    pub fn remove_node(&mut self, name: &str) -> bool {
        let Some(id) = self.by_name.remove(name) else { return false };
        let row = std::mem::take(&mut self.rows[id.index()]);
        self.used[id.index()] = NodeUse::default();
        self.versions[id.index()] = 0;
        self.touched.push(id);
        self.free.push(id);
        self.leave_host(&row.node);
        self.members += 1;
        self.topology += 1;
        self.classes.leave(row.class);
        let mut images = row.images;
        self.images.remove_node(&mut images);
        self.images.set_nodes(self.by_name.len());
        for pod in row.pods {
            self.release_claims(&pod);
            if let Some(placed) = self.pods.get_mut(&pod.uid)
                && let Some((_, kind)) = placed.at.take()
            {
                self.kinds.leave(kind);
                count_priority(&mut self.priorities, &pod, false);
            }
            self.strays.entry(row.node.name.clone()).or_default().push(pod.uid.clone());
        }
        self.observed += 1;
        true
    }

    /// Puts a pod on a node, known or not. A pod that is somewhere already is moved.
    pub fn place(&mut self, pod: Arc<Pod>, node: &NodeName) {
        let uid = pod.uid.clone();
        self.remove(&uid);
        self.nominations.withdraw(&uid);
        self.pods.insert(uid.clone(), PlacedPod { pod, node: node.clone(), at: None });
        match self.by_name.get(node) {
            Some(&id) => self.settle(&uid, id),
            None => self.strays.entry(node.clone()).or_default().push(uid),
        }
    }

    /// Follows a change of a pod that is on a node. What only tells how it fares leaves verdicts on the node as they are.
    pub fn update_pod(&mut self, pod: Arc<Pod>) {
        let Some(placed) = self.pods.get_mut(&pod.uid) else { return };
        let before = &placed.pod;
        if before.spec != pod.spec || before.resized != pod.resized || before.labels != pod.labels {
            let node = placed.node.clone();
            self.place(pod, &node);
            return;
        }
        let ends = before.terminating != pod.terminating;
        placed.pod = pod.clone();
        let Some((id, kind)) = placed.at else { return };
        let row = &mut self.rows[id.index()];
        if let Some(here) = row.pods.iter_mut().find(|here| here.uid == pod.uid) {
            *here = pod.clone();
        }
        if ends {
            // A pod that is ending is not counted when pods are spread.
            let now = self.kinds.enter(&pod);
            placed.at = Some((id, now));
            row.count_kind(kind, -1);
            row.count_kind(now, 1);
            self.kinds.leave(kind);
            self.moves.push((kind, id, -1));
            self.moves.push((now, id, 1));
            self.touch(id);
        } else {
            self.clock += 1;
            self.tenancies[id.index()] = self.clock;
        }
    }

    /// Takes a pod off its node; nothing if it is on none.
    pub fn remove(&mut self, uid: &str) -> Option<Arc<Pod>> {
        let placed = self.pods.remove(uid)?;
        match placed.at {
            Some((id, kind)) => {
                self.release_claims(&placed.pod);
                self.rows[id.index()].remove_pod(&placed.pod);
                self.rows[id.index()].count_kind(kind, -1);
                self.kinds.leave(kind);
                self.moves.push((kind, id, -1));
                count_priority(&mut self.priorities, &placed.pod, false);
                self.used[id.index()].remove(placed.pod.requests());
                self.touch(id);
            }
            None => {
                if let Some(strays) = self.strays.get_mut(&placed.node) {
                    strays.retain(|stray| **stray != *uid);
                    if strays.is_empty() {
                        self.strays.remove(&placed.node);
                    }
                }
            }
        }
        Some(placed.pod)
    }

    /// Sets or forgets the signals of a node; false if there is no such node.
    pub fn set_signals(&mut self, node: &str, signals: Option<NodeSignals>) -> bool {
        let Some(&id) = self.by_name.get(node) else { return false };
        self.rows[id.index()].signals = signals;
        self.observed += 1;
        self.clock += 1;
        self.stamps[id.index()] = self.clock;
        true
    }

    /// The node of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<NodeView<'_>> {
        self.by_name.get(name).map(|&id| self.view(id))
    }

    /// All nodes, in no order that means anything.
    pub fn nodes(&self) -> impl Iterator<Item = NodeView<'_>> {
        self.ids().map(|id| self.view(id))
    }

    /// How many nodes there are.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.by_name.len()
    }

    /// How many pods are on nodes, known or not.
    #[must_use]
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// A pod that is on a node, and the node's name.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<(&Arc<Pod>, &NodeName)> {
        self.pods.get(uid).map(|placed| (&placed.pod, &placed.node))
    }

    /// All pods on nodes, known or not, in no order.
    pub fn pods(&self) -> impl Iterator<Item = (&Arc<Pod>, &NodeName)> {
        self.pods.values().map(|placed| (&placed.pod, &placed.node))
    }

    /// The cluster as a whole.
    #[must_use]
    pub fn summary(&self) -> ClusterSummary {
        ClusterSummary::of(self.nodes())
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.versions.iter().enumerate().filter(|(_, version)| **version != 0).map(|(index, _)| NodeId::of_index(index))
    }

    pub(crate) fn view(&self, id: NodeId) -> NodeView<'_> {
        NodeView::new(self, id)
    }

    pub(crate) fn row(&self, id: NodeId) -> &NodeRow {
        &self.rows[id.index()]
    }

    pub(crate) fn used(&self, id: NodeId) -> &NodeUse {
        &self.used[id.index()]
    }

    pub(crate) fn stamp(&self, id: NodeId) -> u64 {
        self.stamps[id.index()]
    }

    pub(crate) fn name_hash(&self, id: NodeId) -> u64 {
        self.name_hashes[id.index()]
    }

    /// The version of each row by its number; 0 for a row without a node.
    pub(crate) fn versions(&self) -> &[u64] {
        &self.versions
    }

    pub(crate) fn classes(&self) -> &Classes {
        &self.classes
    }

    pub(crate) fn images(&self) -> &Images {
        &self.images
    }

    /// How many rows there are, with and without a node.
    pub(crate) fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Changes with everything that enhanced scoring reads.
    pub(crate) fn observed(&self) -> u64 {
        self.observed
    }

    /// Kinds of pods on known nodes.
    pub(crate) fn kinds(&self) -> &PodKinds {
        &self.kinds
    }

    /// The lowest priority of a pod on a known node, if there is one.
    pub(crate) fn lowest_priority(&self) -> Option<i32> {
        self.priorities.first_key_value().map(|(priority, _)| *priority)
    }

    /// Rows by the order in which they got a new version.
    pub(crate) fn touched(&self) -> &ChangeLog<NodeId> {
        &self.touched
    }

    /// Pods of a kind that came to a row (1) or left it (-1). What node changes do is not in it: they change
    /// [`ClusterState::topology`].
    pub(crate) fn moves(&self) -> &ChangeLog<(KindId, NodeId, i64)> {
        &self.moves
    }

    /// Changes with everything about the row's pods.
    pub(crate) fn tenancy(&self, id: NodeId) -> u64 {
        self.tenancies[id.index()]
    }

    /// Changes with the set of nodes.
    pub(crate) fn members(&self) -> u64 {
        self.members
    }

    /// Changes with the set of nodes, their labels and taints.
    pub(crate) fn topology(&self) -> u64 {
        self.topology
    }

    /// Whether no two nodes claim one host name, so that the host name as a domain is the node itself.
    pub(crate) fn hosts_are_nodes(&self) -> bool {
        self.repeated_hosts == 0
    }

    /// The row of the node of this name.
    pub(crate) fn find(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    /// Follows the labels of a namespace.
    pub fn apply_namespace(&mut self, name: Arc<str>, labels: Labels) {
        self.namespaces_version += 1;
        self.namespaces.insert(name, labels);
    }

    /// Forgets a namespace.
    pub fn remove_namespace(&mut self, name: &str) {
        self.namespaces_version += 1;
        self.namespaces.remove(name);
    }

    /// Changes with the labels of namespaces.
    pub(crate) fn namespaces_version(&self) -> u64 {
        self.namespaces_version
    }

    /// Changes with services and controllers, by whose selectors pods are alike.
    pub(crate) fn selectors_version(&self) -> u64 {
        self.selectors_version
    }

    /// All namespaces there are.
    pub fn reset_namespaces(&mut self, namespaces: Vec<(Arc<str>, Labels)>) {
        self.namespaces_version += 1;
        self.namespaces = namespaces.into_iter().collect();
    }

    /// The labels of a namespace, if it is known.
    pub(crate) fn namespace(&self, name: &str) -> Option<&Labels> {
        self.namespaces.get(name)
    }

    /// Whether any namespace is known.
    pub(crate) fn knows_namespaces(&self) -> bool {
        !self.namespaces.is_empty()
    }

    /// Objects besides nodes and pods.
    #[must_use]
    pub fn related(&self) -> &RelatedObjects {
        &self.related
    }

    /// Adds an object besides nodes and pods, or follows its change; as it was before.
    pub fn apply_related(&mut self, object: Related) -> Option<Related> {
        self.selectors_version += u64::from(RelatedKind::OF_SELECTORS.contains(&object.kind()));
        self.related.apply(object)
    }

    /// Removes an object besides nodes and pods; as it was.
    pub fn remove_related(&mut self, kind: RelatedKind, key: &RelatedKey) -> Option<Related> {
        self.selectors_version += u64::from(RelatedKind::OF_SELECTORS.contains(&kind));
        self.related.remove(kind, key)
    }

    /// Notes what a decision gives to the claims of a pod, so that no other gets it.
    pub fn promise_devices(&mut self, pod: &PodUid, devices: &PodDevices) {
        self.related.devices_mut().promise(pod, devices);
    }

    /// Takes back what was promised to the pod and has not come about.
    pub fn withdraw_devices(&mut self, pod: &PodUid) {
        self.related.devices_mut().withdraw(pod);
    }

    /// Notes that all objects of the kind were given to [`ClusterState::apply_related`]; whether that is new.
    pub fn set_listed(&mut self, kind: RelatedKind) -> bool {
        self.related.set_listed(kind)
    }

    /// How many pods on known nodes name the claim.
    pub(crate) fn claim_users(&self, namespace: &str, claim: &str) -> usize {
        self.claim_users.count(namespace, claim)
    }

    /// The row as it would be without some of its pods, for trials of preemption.
    pub(crate) fn trial(&self, id: NodeId) -> (NodeUse, NodeRow) {
        (self.used[id.index()].clone(), self.rows[id.index()].clone())
    }

    fn settle(&mut self, uid: &PodUid, id: NodeId) {
        let Some(placed) = self.pods.get_mut(uid) else { return };
        let pod = placed.pod.clone();
        let kind = self.kinds.enter(&pod);
        placed.at = Some((id, kind));
        self.rows[id.index()].count_kind(kind, 1);
        self.moves.push((kind, id, 1));
        count_priority(&mut self.priorities, &pod, true);
        for claim in claims_of(&pod) {
            self.claim_users.add(&pod.namespace, claim);
        }
        self.used[id.index()].add(pod.requests());
        self.rows[id.index()].add_pod(pod);
        self.touch(id);
    }

    fn release_claims(&mut self, pod: &Pod) {
        for claim in claims_of(pod) {
            self.claim_users.remove(&pod.namespace, claim);
        }
    }

    fn touch(&mut self, id: NodeId) {
        self.clock += 1;
        self.versions[id.index()] = self.clock;
        self.stamps[id.index()] = self.clock;
        self.tenancies[id.index()] = self.clock;
        self.touched.push(id);
    }

    fn enter_host(&mut self, node: &Node) {
        let Some(host) = node.labels.shared(HOSTNAME) else { return };
        let nodes = self.hosts.entry(host.clone()).or_default();
        *nodes += 1;
        self.repeated_hosts += usize::from(*nodes == 2);
    }

    fn leave_host(&mut self, node: &Node) {
        let Some(host) = node.labels.shared(HOSTNAME) else { return };
        let Some(nodes) = self.hosts.get_mut(host) else { return };
        *nodes -= 1;
        self.repeated_hosts -= usize::from(*nodes == 1);
        if *nodes == 0 {
            self.hosts.remove(host);
        }
    }

    /// Differences between the kept sums and sums made anew from the pods; empty when all is well.
    #[must_use]
    pub fn inconsistencies(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for id in self.ids() {
            let row = self.row(id);
            let mut fresh = NodeUse::default();
            fresh.set_allocatable(&row.node.allocatable, row.node.allowed_pods);
            let mut bare = NodeRow::new(Node::clone(&row.node), row.class, row.images.clone());
            bare.set_allocatable(&row.node.allocatable);
            for pod in &row.pods {
                fresh.add(pod.requests());
                bare.add_pod(pod.clone());
            }
            if fresh != *self.used(id) || !bare.same_use(row) {
                problems.push(format!("node {}: sums differ from its pods", row.node.name));
            }
        }
        for (uid, placed) in &self.pods {
            let on_row = placed.at.is_some_and(|(id, _)| self.row(id).pods.iter().any(|pod| pod.uid == *uid));
            let stray = self.strays.get(&placed.node).is_some_and(|strays| strays.contains(uid));
            if on_row == stray {
                problems.push(format!("pod {uid} is on {} rows", u8::from(on_row) + u8::from(stray)));
            }
        }
        problems
    }
}

/// A pod comes to a known node or leaves it.
fn count_priority(priorities: &mut BTreeMap<i32, usize>, pod: &Pod, comes: bool) {
    let pods = priorities.entry(pod.spec.priority).or_default();
    *pods = if comes { *pods + 1 } else { pods.saturating_sub(1) };
    if *pods == 0 {
        priorities.remove(&pod.spec.priority);
    }
}

/// Claims that the pod names. Those made for it have no other user.
fn claims_of(pod: &Pod) -> impl Iterator<Item = &Arc<str>> {
    pod.spec.volumes.iter().filter_map(|volume| match volume {
        PodVolume::Claim(name) => Some(name),
        _ => None,
    })
}

/// Whether a pod of these requests asks for nothing at all.
pub(crate) fn asks_for_nothing(granted: &Resources) -> bool {
    granted.cpu.get() == 0
        && granted.memory.get() == 0
        && granted.ephemeral_storage.get() == 0
        && granted.scalars.is_empty()
}
