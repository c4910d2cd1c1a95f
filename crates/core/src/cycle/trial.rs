//! One node with other pods than it has, judged by all filters.

use std::sync::Arc;

use super::judgement::{Judgement, Surveys, follow};
use crate::object::{Node, Pod};
use crate::plugins::Rejection;
use crate::state::{ClusterState, NodeId, NodeRow, NodeUse, NodeView};

/// A copy of one node's row, on which pods come and go.
pub(super) struct Trial<'t, 'a> {
    judgement: &'t Judgement<'a>,
    surveys: Surveys<'a>,
    node: &'a Node,
    id: NodeId,
    row: (NodeUse, NodeRow),
    /// Pods that have a place on the node before the pod that is judged.
    ahead: Vec<Arc<Pod>>,
}

impl<'t, 'a> Trial<'t, 'a> {
    pub(super) fn new(
        judgement: &'t Judgement<'a>,
        state: &'a ClusterState,
        id: NodeId,
        ahead: Vec<Arc<Pod>>,
    ) -> Trial<'t, 'a> {
        let (surveys, node) = (judgement.surveys(), &*state.row(id).node);
        Trial { judgement, surveys, node, id, row: state.trial(id), ahead }
    }

    pub(super) fn remove(&mut self, pod: &Arc<Pod>) {
        self.row.0.remove(pod.requests());
        self.row.1.remove_pod(pod);
        follow(&mut self.surveys, pod, self.node, -1);
    }

    pub(super) fn add(&mut self, pod: &Arc<Pod>) {
        self.row.0.add(pod.requests());
        self.row.1.add_pod(pod.clone());
        follow(&mut self.surveys, pod, self.node, 1);
    }

    /// Whether the pod fits the node as it is now.
    pub(super) fn fits(&self) -> Result<(), Rejection> {
        self.judgement.fits(&self.surveys, NodeView::of_trial(self.id, &self.row))
    }

    /// Whether the pod fits when those that are nominated before it are there too.
    pub(super) fn fits_with_nominated(&mut self) -> Result<(), Rejection> {
        if self.ahead.is_empty() {
            return Ok(());
        }
        let ahead = std::mem::take(&mut self.ahead);
        ahead.iter().for_each(|pod| self.add(pod));
        let fits = self.fits();
        ahead.iter().for_each(|pod| self.remove(pod));
        self.ahead = ahead;
        fits
    }
}
