//! What is judged node by node in every decision: surveys of plugins that look at more than kept results can tell, and
//! nodes where others have a place.

use super::standing::Standing;
use super::trial::{Start, Trial};
use crate::extender::Advice;
use crate::object::{Node, Pod};
use crate::plugins::{self, Code, Plugin, PluginId, Rejection, Survey};
use crate::profile::ProfilePlugins;
use crate::state::{ClusterState, NodeId, NodeView};

/// What becomes of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// The pod fits.
    Feasible,
    /// It does not.
    Rejected(Rejection),
    /// It was kept from the node before filters ran.
    LeftOut,
}

/// Surveys of the plugins that have a say, each with the plugin's place among the filters, rising.
pub(super) struct Surveys<'a>(Vec<(usize, Box<dyn Survey<'a> + 'a>)>);

impl<'a> Surveys<'a> {
    pub(super) fn new(pod: &'a Pod, state: &'a ClusterState, profile: &ProfilePlugins) -> Surveys<'a> {
        let of = |plugin: &'static dyn Plugin| {
            let survey = plugin.survey(pod, state, profile.arguments())?;
            Some((profile.place(plugin.id()), survey))
        };
        Surveys(profile.filter().iter().filter_map(|id| of(plugins::find(*id)?)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A copy for a trial.
    pub(super) fn copy(&self) -> Surveys<'a> {
        Surveys(self.0.iter().map(|(place, survey)| (*place, survey.copy())).collect())
    }

    /// Follows that a pod came to the node or left it.
    pub(super) fn follow(&mut self, moved: &Pod, node: &'a Node, by: i64) {
        self.0.iter_mut().for_each(|(_, survey)| survey.follow(moved, node, by));
    }

    /// The first rejection of the node, unless another filter rejects it before.
    pub(super) fn first(
        &self,
        other: Option<Rejection>,
        node: NodeView<'_>,
        profile: &ProfilePlugins,
    ) -> Option<Rejection> {
        let end = other.map_or(usize::MAX, |rejection| profile.place(rejection.plugin));
        let before = self.0.iter().take_while(|(place, _)| *place < end);
        before.map(|(_, survey)| survey).find_map(|survey| survey.filter(node).err()).or(other)
    }

    /// Rejects, for this decision, the nodes that do not pass.
    pub(super) fn judge(&self, standing: &mut Standing, state: &ClusterState) {
        if self.is_empty() {
            return;
        }
        for id in state.ids() {
            let other = match standing.status(id) {
                Judged::LeftOut => continue,
                Judged::Rejected(rejection) => Some(rejection),
                Judged::Feasible => None,
            };
            let first = self.first(other, state.view(id), standing.plugins());
            if let Some(rejection) = first.filter(|_| first != other) {
                standing.reject(id, rejection);
            }
        }
    }
}

/// Rejects, for this decision, nodes where others have a place and the pod does not fit with them.
pub(super) fn judge_crowded<'a>(standing: &mut Standing, start: &Start<'a>, state: &'a ClusterState, pod: &'a Pod) {
    let rejected: Vec<(NodeId, Rejection)> = state
        .ahead_of(pod)
        .filter_map(|(id, ahead)| {
            let rejection = Trial::new(standing, start, state, id, ahead).fits_with_nominated().err()?;
            Some((id, rejection))
        })
        .collect();
    for (id, rejection) in rejected {
        standing.reject(id, rejection);
    }
}

/// Rejects, for this decision, nodes that extenders did not let pass, and those that they were not asked about.
pub(super) fn judge_advised(standing: &mut Standing, advice: &Advice, state: &ClusterState) {
    for id in state.ids() {
        if !standing.fits(id) {
            continue;
        }
        let (code, reason) = match advice.of(state.view(id).name()) {
            Some(opinion) => match &opinion.rejection {
                Some((code, reason)) => (*code, reason.clone()),
                None => continue,
            },
            None => (Code::UnschedulableAndUnresolvable, None),
        };
        let reasons = standing.note_reason(reason);
        standing.reject(id, Rejection { plugin: PluginId::Extender, code, reasons });
    }
}
