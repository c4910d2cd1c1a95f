//! Reading the state: one node, or the cluster as a whole.

use std::sync::Arc;

use super::rows::{NodeRow, NodeSignals, NodeUse};
use super::{ClusterState, NodeId};
use crate::object::{Node, NodeName, Pod};

/// One node with its pods and signals.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a> {
    id: NodeId,
    stamp: u64,
    row: &'a NodeRow,
    used: &'a NodeUse,
}

impl<'a> NodeView<'a> {
    pub(crate) fn new(state: &'a ClusterState, id: NodeId) -> NodeView<'a> {
        NodeView { id, stamp: state.stamp(id), row: state.row(id), used: state.used(id) }
    }

    /// The node with other pods than it has.
    pub(crate) fn of_trial(id: NodeId, trial: &'a (NodeUse, NodeRow)) -> NodeView<'a> {
        NodeView { id, stamp: 0, row: &trial.1, used: &trial.0 }
    }

    /// The row's number.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Changes with everything of the node that this view shows but how its pods fare; never the same for another state of a
    /// row of the same cluster.
    #[must_use]
    pub fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a NodeName {
        &self.row.node.name
    }

    /// The node itself.
    #[must_use]
    pub fn node(&self) -> &'a Arc<Node> {
        &self.row.node
    }

    /// Common resources: what there is and what is taken.
    #[must_use]
    pub fn used(&self) -> &'a NodeUse {
        self.used
    }

    /// What there is of another resource, and what is taken.
    #[must_use]
    pub fn scalar(&self, name: &str) -> (i64, i64) {
        self.row.find_scalar(name).map_or((0, 0), |scalar| (scalar.allocatable, scalar.requested))
    }

    /// All other resources: name, what there is, what is taken.
    pub fn scalars(&self) -> impl Iterator<Item = (&'a str, i64, i64)> {
        self.row.scalars.iter().map(|scalar| (&*scalar.name, scalar.allocatable, scalar.requested))
    }

    /// Its pods, in no order that means anything.
    #[must_use]
    pub fn pods(&self) -> &'a [Arc<Pod>] {
        &self.row.pods
    }

    /// What is observed of it.
    #[must_use]
    pub fn signals(&self) -> Option<&'a NodeSignals> {
        self.row.signals.as_ref()
    }

    pub(crate) fn row(&self) -> &'a NodeRow {
        self.row
    }
}

/// The cluster as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClusterSummary {
    /// Nodes.
    pub total_nodes: usize,
    /// Nodes that are ready: by their signals if these say, else by the node object.
    pub ready_nodes: usize,
    /// Mean share of CPU in use over the nodes that know theirs.
    pub average_cpu_usage: Option<f64>,
    /// Mean share of memory in use over the nodes that know theirs.
    pub average_memory_usage: Option<f64>,
}

impl ClusterSummary {
    pub(crate) fn of<'a>(nodes: impl Iterator<Item = NodeView<'a>>) -> ClusterSummary {
        let mut summary = ClusterSummary::default();
        let (mut cpu, mut memory) = ((0.0, 0u32), (0.0, 0u32));
        for node in nodes {
            summary.total_nodes += 1;
            let signals = node.signals();
            summary.ready_nodes += usize::from(signals.and_then(|s| s.ready).unwrap_or(node.node().ready));
            for (share, (sum, count)) in
                [(signals.and_then(|s| s.cpu_usage), &mut cpu), (signals.and_then(|s| s.memory_usage), &mut memory)]
            {
                if let Some(share) = share {
                    *sum += share;
                    *count += 1;
                }
            }
        }
        let mean = |(sum, count): (f64, u32)| (count > 0).then(|| sum / f64::from(count));
        summary.average_cpu_usage = mean(cpu);
        summary.average_memory_usage = mean(memory);
        summary
    }
}
