//! What the framework asks of a plugin: the [`Plugin`] trait, and the compact form of a rejection.

use std::sync::Arc;

use super::dynamic_resources::is_provided;
use super::{PluginId, Survey};
use crate::cluster_event::ClusterEvent;
use crate::object::{NodeName, Pod, PodSpec};
use crate::profile::{PluginArguments, ProfilePlugins};
use crate::state::{ClusterState, ImageId, NodeView};

/// Whether a rejection could be lifted by evicting pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// It could.
    Unschedulable,
    /// It could not.
    UnschedulableAndUnresolvable,
}

impl Code {
    /// kube-scheduler's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Code::Unschedulable => "Unschedulable",
            Code::UnschedulableAndUnresolvable => "UnschedulableAndUnresolvable",
        }
    }
}

/// Why a plugin rejects a node, in 16 bytes: the texts are made from the bits when somebody wants to read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rejection {
    /// The plugin.
    pub plugin: PluginId,
    /// Whether evicting pods could help.
    pub code: Code,
    /// The plugin's reasons, one bit each.
    pub reasons: u64,
}

/// What a verdict on a node depends on, besides the pod's spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Nothing: the plugin has no say on this pod.
    Skip,
    /// The node's class: labels but the host name, taints, cordon, declared features.
    Class,
    /// The node, its pods included.
    Node,
}

/// How raw scores become 0..100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normalization {
    /// They are already.
    None,
    /// As a share of the largest.
    OfLargest,
    /// 100 for nothing, 0 for the largest.
    ReversedOfLargest,
}

/// The nodes that a pod is limited to before filters run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Narrowed {
    pub(crate) names: Vec<NodeName>,
    pub(crate) by: PluginId,
}

/// Why a pod's attempt ends before any node is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It can be nowhere, and evicting pods would not help; the reason in kube-scheduler's words.
    Rejected(String),
    /// It cannot be judged; why.
    Failed(String),
}

/// What plugins see of the pod, with what is worth computing once a spec.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) spec: Arc<PodSpec>,
    /// The node that the pod names (or is on, when a bound pod is judged).
    pub(crate) node: Option<NodeName>,
    /// The images of the spec that some node has, with what having one is worth.
    pub(crate) images: Vec<(ImageId, i64)>,
    /// The plugins of the profile.
    plugins: Arc<ProfilePlugins>,
    /// Those of the spec's scalar resources, by place, that a class of devices provides where a node has none.
    pub(crate) provided: Vec<usize>,
}

impl Context {
    pub(crate) fn new(
        spec: &Arc<PodSpec>,
        node: Option<&NodeName>,
        state: &ClusterState,
        plugins: &Arc<ProfilePlugins>,
    ) -> Context {
        let found = spec.images.iter().filter_map(|name| state.images().find_as_written(name));
        let images = found.map(|image| (image, state.images().spread_size(image))).collect();
        let scalars = spec.requests.granted.scalars.iter().enumerate();
        let provided = match spec.extended.is_empty() {
            true => Vec::new(),
            false => scalars.filter(|(_, (name, _))| is_provided(name, state)).map(|(index, _)| index).collect(),
        };
        Context { spec: spec.clone(), node: node.cloned(), images, plugins: plugins.clone(), provided }
    }

    /// The plugins of the profile.
    pub(crate) fn plugins(&self) -> &Arc<ProfilePlugins> {
        &self.plugins
    }

    /// The arguments of the profile's plugins.
    pub(crate) fn arguments(&self) -> &PluginArguments {
        self.plugins.arguments()
    }
}

/// A plugin that filters, scores, or both. All methods are pure.
pub(crate) trait Plugin: Sync {
    fn id(&self) -> PluginId;

    /// Whether the pod can be judged node by node at all (PreFilter).
    ///
    /// # Errors
    /// It cannot.
    fn admit(&self, _pod: &Pod, _state: &ClusterState) -> Result<(), Stop> {
        Ok(())
    }

    /// Names that the pod is limited to, told before filters run (PreFilter).
    fn narrow(&self, _pod: &PodSpec) -> Option<Narrowed> {
        None
    }

    /// What the filter's verdict depends on for this pod; [`Scope::Skip`] if there is nothing to filter.
    fn filter_scope(&self, _pod: &Context) -> Scope {
        Scope::Skip
    }

    /// Whether the pod fits the node.
    fn filter(&self, _pod: &Context, _node: NodeView<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    /// The text of one of its reasons.
    fn reason(&self, _pod: &PodSpec, _bit: u32) -> String {
        String::new()
    }

    /// What the score depends on for this pod; [`Scope::Skip`] if there is nothing to score.
    ///
    /// # Errors
    /// The pod cannot be scored, which fails the whole attempt; why.
    fn score_scope(&self, _pod: &Context) -> Result<Scope, String> {
        Ok(Scope::Skip)
    }

    /// The raw score of a node.
    fn score(&self, _pod: &Context, _node: NodeView<'_>, _state: &ClusterState) -> i64 {
        0
    }

    /// How raw scores become 0..100.
    fn normalization(&self) -> Normalization {
        Normalization::None
    }

    /// What it works out from the whole cluster once a decision, if its filter has a say on this pod. It runs after
    /// the filters of all plugins that look at one node.
    fn survey<'a>(
        &self,
        _pod: &'a Pod,
        _state: &'a ClusterState,
        _arguments: &PluginArguments,
    ) -> Option<Box<dyn Survey<'a> + 'a>> {
        None
    }

    /// Whether the event may make it accept a pod that it rejected (queueing hint).
    fn may_help(&self, _pod: &Pod, _event: &ClusterEvent, _arguments: &PluginArguments) -> bool {
        false
    }
}
