//! The verdicts of one decision: what is kept of each node, and what takes a look at the whole cluster.

use super::trial::Trial;
use super::verdicts::Verdicts;
use crate::object::{Node, Pod};
use crate::plugins::{self, Rejection, Survey};
use crate::state::{ClusterState, NodeId, NodeView};

/// Surveys of the plugins that have a say, in filter order.
pub(super) type Surveys<'a> = Vec<Box<dyn Survey<'a> + 'a>>;

/// The verdicts of one decision.
pub(super) struct Judgement<'a> {
    pub(super) verdicts: &'a Verdicts,
    surveys: Surveys<'a>,
    /// Places of the plugins with surveys among the filters, rising.
    places: Vec<usize>,
    /// Rejections by surveys, by row; empty without surveys.
    late: Vec<Option<Rejection>>,
}

impl<'a> Judgement<'a> {
    /// Surveys the cluster for the pod, and takes nodes out of `feasible` that do not pass.
    pub(super) fn new(
        verdicts: &'a Verdicts,
        pod: &'a Pod,
        state: &'a ClusterState,
        feasible: &mut Vec<NodeId>,
    ) -> Judgement<'a> {
        let filters = verdicts.plugins();
        let mut surveys: Surveys<'a> = Vec::new();
        let mut places = Vec::new();
        for plugin in filters.filter().iter().filter_map(|id| plugins::find(*id)) {
            if let Some(survey) = plugin.survey(pod, state, filters.arguments()) {
                surveys.push(survey);
                places.push(filters.place(plugin.id()));
            }
        }
        let mut late = Vec::new();
        if !surveys.is_empty() {
            late = vec![None; state.row_count()];
            for id in state.ids() {
                // A plugin that comes after those with surveys does not hide what these say.
                let end = verdicts.status(id).map_or(usize::MAX, |rejection| filters.place(rejection.plugin));
                if places[0] < end {
                    late[id.index()] = pass(&surveys, &places, end, state.view(id)).err();
                }
            }
            feasible.retain(|id| late[id.index()].is_none());
        }
        let mut judgement = Judgement { verdicts, surveys, places, late };
        // Where others have a place, the pod must fit with them and without them.
        let mut crowded = false;
        for (id, ahead) in state.ahead_of(pod) {
            if let Err(rejection) = Trial::new(&judgement, state, id, ahead).fits_with_nominated() {
                judgement.late.resize(state.row_count(), None);
                judgement.late[id.index()] = Some(rejection);
                crowded = true;
            }
        }
        if crowded {
            feasible.retain(|id| judgement.late[id.index()].is_none());
        }
        judgement
    }

    /// Why the pod does not fit the node, if it does not.
    pub(super) fn status(&self, id: NodeId) -> Option<Rejection> {
        self.late.get(id.index()).copied().flatten().or_else(|| self.verdicts.status(id))
    }

    /// Copies of the surveys, for a trial.
    pub(super) fn surveys(&self) -> Surveys<'a> {
        self.surveys.iter().map(|survey| survey.copy()).collect()
    }

    /// Whether the pod would fit the node as given, by all filters and the given surveys.
    pub(super) fn fits(&self, surveys: &Surveys<'a>, node: NodeView<'_>) -> Result<(), Rejection> {
        let alone = self.verdicts.fits(node);
        let end = alone.err().map_or(usize::MAX, |rejection| self.verdicts.plugins().place(rejection.plugin));
        pass(surveys, &self.places, end, node)?;
        alone
    }
}

/// What the surveys before the place `end` say of the node.
fn pass(surveys: &Surveys<'_>, places: &[usize], end: usize, node: NodeView<'_>) -> Result<(), Rejection> {
    let before = surveys.iter().zip(places).take_while(|(_, place)| **place < end);
    before.map(|(survey, _)| survey).try_for_each(|survey| survey.filter(node))
}

/// Lets surveys follow that a pod came to the node or left it.
pub(super) fn follow<'a>(surveys: &mut Surveys<'a>, moved: &Pod, node: &'a Node, by: i64) {
    surveys.iter_mut().for_each(|survey| survey.follow(moved, node, by));
}
