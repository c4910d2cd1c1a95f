//! A copy of the state, taken piece by piece: [`StateCopy`].
//!
//! Whoever owns the state hands over a bounded piece at a time and works on in between. What changed meanwhile is told by the
//! state's logs and handed over again, so that the finished copy is of one moment: that of the last piece.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::devices::Promises;
use super::{ClusterState, NodeId, NodeSignals};
use crate::object::{DisruptionBudget, Labels, Node, NodeName, Pod, Related, RelatedKey, RelatedKind};

/// A node with its pods, as they were.
#[derive(Debug)]
struct RowCopy {
    node: Arc<Node>,
    pods: Vec<Arc<Pod>>,
    signals: Option<NodeSignals>,
}

/// What is copied in one go at the end, because it is little.
#[derive(Debug, Default)]
struct Rest {
    strays: Vec<(Arc<Pod>, NodeName)>,
    namespaces: Vec<(Arc<str>, Labels)>,
    listed: Vec<RelatedKind>,
    promises: Promises,
    nominations: Vec<(Arc<Pod>, NodeName)>,
    budgets_listed: bool,
}

/// A copy of a [`ClusterState`] in the making. As large as the state's nodes and objects; pods are shared.
#[derive(Debug)]
pub struct StateCopy {
    /// By row.
    rows: Vec<Option<RowCopy>>,
    /// Rows that were copied and changed since.
    stale_rows: BTreeSet<NodeId>,
    rows_seen: u64,
    related: Vec<Related>,
    /// The kind that is being copied, and the last object of it that was.
    reached: (usize, Option<RelatedKey>),
    /// Objects that changed since the copy began.
    stale_related: BTreeSet<(RelatedKind, RelatedKey)>,
    related_seen: u64,
    /// How those turned out; `None` for one that is gone.
    late: Vec<((RelatedKind, RelatedKey), Option<Related>)>,
    budgets: Vec<DisruptionBudget>,
    /// The version of the budgets that are being copied.
    budgets_version: Option<u64>,
    rest: Option<Rest>,
}

impl StateCopy {
    /// Nothing copied yet.
    #[must_use]
    pub fn begin(state: &ClusterState) -> StateCopy {
        StateCopy {
            rows: Vec::new(),
            stale_rows: BTreeSet::new(),
            rows_seen: state.touched.next(),
            related: Vec::new(),
            reached: (0, None),
            stale_related: BTreeSet::new(),
            related_seen: state.related.changes().next(),
            late: Vec::new(),
            budgets: Vec::new(),
            budgets_version: None,
            rest: None,
        }
    }

    /// Copies about `amount` nodes, pods and objects more; true once nothing is left to copy. Between two calls the state may
    /// change. If it changes faster than it is copied, that never happens; the caller has to bound the number of calls.
    pub fn advance(&mut self, state: &ClusterState, amount: usize) -> bool {
        if self.rest.is_some() {
            return true;
        }
        if !self.note_changes(state) {
            // So much happened that the logs have forgotten some of it.
            *self = StateCopy::begin(state);
        }
        let mut left = amount;
        while left > 0 && self.rows.len() < state.row_count() {
            let id = NodeId::of_index(self.rows.len());
            let row = copy_row(state, id);
            left = left.saturating_sub(weight(&row));
            self.rows.push(row);
        }
        while left > 0
            && let Some(id) = self.stale_rows.pop_first()
        {
            let row = copy_row(state, id);
            left = left.saturating_sub(weight(&row));
            self.rows[id.index()] = row;
        }
        while left > 0
            && let Some(&kind) = RelatedKind::ALL.get(self.reached.0)
        {
            let before = self.related.len();
            self.related.extend(state.related.after(kind, self.reached.1.as_ref()).take(left).cloned());
            let copied = self.related.len() - before;
            self.reached = match self.related.last() {
                Some(last) if copied == left => (self.reached.0, Some(last.key())),
                _ => (self.reached.0 + 1, None),
            };
            left -= copied;
        }
        while left > 0
            && let Some((kind, key)) = self.stale_related.pop_first()
        {
            let now = state.related.get(kind, &key.namespace, &key.name).cloned();
            self.late.push(((kind, key), now));
            left -= 1;
        }
        if left > 0 {
            if self.budgets_version != Some(state.budgets_version()) {
                self.budgets.clear();
                self.budgets_version = Some(state.budgets_version());
            }
            let before = self.budgets.len();
            self.budgets.extend(state.budgets().skip(before).take(left).cloned());
            left -= self.budgets.len() - before;
        }
        if left > 0 {
            self.rest = Some(rest(state));
        }
        left > 0
    }

    /// Notes what of the copy is stale; false if that cannot be told any more.
    fn note_changes(&mut self, state: &ClusterState) -> bool {
        let copied = self.rows.len();
        let Some(touched) = state.touched.since(self.rows_seen) else { return false };
        self.stale_rows.extend(touched.filter(|id| id.index() < copied).copied());
        let Some(changed) = state.related.changes().since(self.related_seen) else { return false };
        self.stale_related.extend(changed.cloned());
        self.rows_seen = state.touched.next();
        self.related_seen = state.related.changes().next();
        true
    }

    /// The state as it was at the last call of [`StateCopy::advance`], which has to have said that nothing is left; what was not
    /// copied is missing. Costs as much as taking the cluster in anew, so it is for another thread than the owner's.
    #[must_use]
    pub fn build(self) -> ClusterState {
        let mut state = ClusterState::new();
        let rest = self.rest.unwrap_or_default();
        for row in self.rows.into_iter().flatten() {
            let name = row.node.name.clone();
            state.apply_node(Node::clone(&row.node));
            row.pods.into_iter().for_each(|pod| state.place(pod, &name));
            state.set_signals(&name, row.signals);
        }
        rest.strays.into_iter().for_each(|(pod, node)| state.place(pod, &node));
        state.reset_namespaces(rest.namespaces);
        for object in self.related {
            state.apply_related(object);
        }
        for ((kind, key), object) in self.late {
            match object {
                Some(object) => drop(state.apply_related(object)),
                None => drop(state.remove_related(kind, &key)),
            }
        }
        for kind in rest.listed {
            state.set_listed(kind);
        }
        state.related.devices_mut().restore(rest.promises);
        if rest.budgets_listed {
            state.reset_budgets(self.budgets);
        } else {
            self.budgets.into_iter().for_each(|budget| state.apply_budget(budget));
        }
        for (pod, node) in rest.nominations {
            state.nominate(pod, &node);
        }
        state
    }
}

fn copy_row(state: &ClusterState, id: NodeId) -> Option<RowCopy> {
    if state.versions[id.index()] == 0 {
        return None;
    }
    let row = state.row(id);
    Some(RowCopy { node: row.node.clone(), pods: row.pods.clone(), signals: row.signals })
}

/// What copying the row cost.
fn weight(row: &Option<RowCopy>) -> usize {
    1 + row.as_ref().map_or(0, |row| row.pods.len())
}

fn rest(state: &ClusterState) -> Rest {
    let strays = state.strays.iter().flat_map(|(node, pods)| pods.iter().map(move |uid| (uid, node)));
    Rest {
        strays: strays.filter_map(|(uid, node)| Some((state.pods.get(uid)?.pod.clone(), node.clone()))).collect(),
        namespaces: state.namespaces.iter().map(|(name, labels)| (name.clone(), labels.clone())).collect(),
        listed: RelatedKind::ALL.into_iter().filter(|kind| state.related.is_listed(*kind)).collect(),
        promises: state.related.devices().promised(),
        nominations: state.nominations().map(|(pod, node)| (pod.clone(), node.clone())).collect(),
        budgets_listed: state.knows_budgets(),
    }
}
