//! NodeAffinity: `nodeSelector` and required node affinity filter, preferred node affinity scores; the profile may add
//! affinity of its own.

use super::{Code, Context, Narrowed, Normalization, Plugin, PluginId, Rejection, Scope, Stop};
use crate::cluster_event::ClusterEvent;
use crate::object::{Node, NodeName, Pod, PodSpec};
use crate::profile::PluginArguments;
use crate::state::{ClusterState, HOSTNAME, NodeView};

pub(crate) struct NodeAffinityPlugin;

/// Whether the node has the labels that the pod requires.
pub(super) fn matches(pod: &PodSpec, node: &Node) -> bool {
    pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && pod
            .node_affinity
            .required
            .as_ref()
            .is_none_or(|terms| terms.iter().any(|term| term.matches(&node.name, &node.labels)))
}

/// The bit of a rejection by the profile's own affinity.
const ENFORCED: u32 = 1;

fn scope<'a>(mut terms: impl Iterator<Item = &'a crate::object::NodeSelectorTerm>) -> Scope {
    if terms.any(|term| term.tells_apart(HOSTNAME)) { Scope::Node } else { Scope::Class }
}

impl Plugin for NodeAffinityPlugin {
    fn id(&self) -> PluginId {
        PluginId::NodeAffinity
    }

    fn admit(&self, pod: &Pod, _: &ClusterState) -> Result<(), Stop> {
        match self.narrow(&pod.spec) {
            Some(narrowed) if narrowed.names.is_empty() => {
                Err(Stop::Rejected("pod affinity terms conflict".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Only if every term pins names: the pod can be nowhere else.
    fn narrow(&self, pod: &PodSpec) -> Option<Narrowed> {
        let terms = pod.node_affinity.required.as_ref().filter(|terms| !terms.is_empty())?;
        let mut names: Vec<NodeName> = Vec::new();
        for term in terms {
            names.extend(term.pinned_names()?);
        }
        names.sort_unstable();
        names.dedup();
        Some(Narrowed { names, by: self.id() })
    }

    fn filter_scope(&self, pod: &Context) -> Scope {
        let added = &pod.arguments().added_affinity.0.required;
        match &pod.spec.node_affinity.required {
            None if pod.spec.node_selector.is_empty() && added.is_none() => Scope::Skip,
            _ if pod.spec.node_selector.get(HOSTNAME).is_some() => Scope::Node,
            required => scope(required.iter().chain(added).flatten()),
        }
    }

    fn filter(&self, pod: &Context, node: NodeView<'_>) -> Result<(), Rejection> {
        let reasons = if !pod.arguments().added_affinity.admits(node.node()) {
            1 << ENFORCED
        } else if !matches(&pod.spec, node.node()) {
            1
        } else {
            return Ok(());
        };
        Err(Rejection { plugin: self.id(), code: Code::UnschedulableAndUnresolvable, reasons })
    }

    fn reason(&self, _: &PodSpec, bit: u32) -> String {
        match bit {
            ENFORCED => "node(s) didn't match scheduler-enforced node affinity".to_owned(),
            _ => "node(s) didn't match Pod's node affinity/selector".to_owned(),
        }
    }

    fn score_scope(&self, pod: &Context) -> Result<Scope, String> {
        let preferred = &pod.spec.node_affinity.preferred;
        let added = &pod.arguments().added_affinity.0.preferred;
        if preferred.is_empty() && added.is_empty() {
            return Ok(Scope::Skip);
        }
        for (index, preference) in preferred.iter().enumerate() {
            if preference.weight != 0
                && let Some(error) = preference.term.error()
            {
                return Err(format!("[{index}].{error}"));
            }
        }
        Ok(scope(preferred.iter().chain(added).map(|preference| &preference.term)))
    }

    fn score(&self, pod: &Context, node: NodeView<'_>, _: &ClusterState) -> i64 {
        let node = node.node();
        let preferred = pod.spec.node_affinity.preferred.iter().chain(&pod.arguments().added_affinity.0.preferred);
        let matching = preferred.filter(|preference| preference.term.matches(&node.name, &node.labels));
        matching.map(|preference| i64::from(preference.weight)).sum()
    }

    fn normalization(&self) -> Normalization {
        Normalization::OfLargest
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, arguments: &PluginArguments) -> bool {
        let pod = &*pod.spec;
        let matches = |pod, node: &Node| arguments.added_affinity.admits(node) && matches(pod, node);
        match event {
            ClusterEvent::NodeAdded(node) => matches(pod, node),
            ClusterEvent::NodeChanged { before, node } => !matches(pod, before) && matches(pod, node),
            _ => false,
        }
    }
}
