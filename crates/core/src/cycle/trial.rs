//! One node with other pods than it has, judged by all filters.

use std::sync::Arc;

use super::company::{Company, Shift};
use super::judgement::Surveys;
use super::standing::Standing;
use crate::object::{Node, Pod};
use crate::plugins::Rejection;
use crate::plugins::pod_topology_spread::Fewest;
use crate::state::{ClusterState, NodeId, NodeRow, NodeUse, NodeView};

/// What all trials of a decision start from.
pub(super) struct Start<'a> {
    pub(super) surveys: Surveys<'a>,
    fewest: Vec<Fewest>,
}

impl<'a> Start<'a> {
    pub(super) fn new(standing: &Standing, surveys: Surveys<'a>) -> Start<'a> {
        let fewest = standing.company.as_ref().map(|company| company.fewest(standing.hashes()));
        Start { surveys, fewest: fewest.unwrap_or_default() }
    }
}

/// A copy of one node's row, on which pods come and go.
pub(super) struct Trial<'t, 'a> {
    standing: &'t Standing,
    surveys: Surveys<'a>,
    shift: Option<Shift<'t>>,
    node: &'a Node,
    id: NodeId,
    row: (NodeUse, NodeRow),
    /// Pods that have a place on the node before the pod that is judged.
    ahead: Vec<Arc<Pod>>,
}

impl<'t, 'a: 't> Trial<'t, 'a> {
    pub(super) fn new(
        standing: &'t Standing,
        start: &Start<'a>,
        state: &'a ClusterState,
        id: NodeId,
        ahead: Vec<Arc<Pod>>,
    ) -> Trial<'t, 'a> {
        let shift = |company: &'t Company| Shift::new(company, state, id, &start.fewest);
        Trial {
            standing,
            surveys: start.surveys.copy(),
            shift: standing.company.as_ref().map(shift),
            node: &state.row(id).node,
            id,
            row: state.trial(id),
            ahead,
        }
    }

    pub(super) fn remove(&mut self, pod: &Arc<Pod>) {
        self.row.0.remove(pod.requests());
        self.row.1.remove_pod(pod);
        self.follow(pod, -1);
    }

    pub(super) fn add(&mut self, pod: &Arc<Pod>) {
        self.row.0.add(pod.requests());
        self.row.1.add_pod(pod.clone());
        self.follow(pod, 1);
    }

    fn follow(&mut self, pod: &Pod, by: i64) {
        self.surveys.follow(pod, self.node, by);
        if let Some(shift) = &mut self.shift {
            shift.follow(pod, by);
        }
    }

    /// Whether the pod fits the node as it is now.
    pub(super) fn fits(&self) -> Result<(), Rejection> {
        let node = NodeView::of_trial(self.id, &self.row);
        let alone = self.surveys.first(self.standing.filter(node), node, self.standing.plugins());
        let first = self.shift.as_ref().map_or(alone, |shift| shift.check(alone));
        first.map_or(Ok(()), Err)
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
