//! The plugins there are, and at which extension points each has a say, as in kube-scheduler 1.36.

use augur_core::plugins::PluginId;

use crate::ExtensionPoint::{
    self, Bind, Filter, PlacementScore, PostFilter, PreBind, PreEnqueue, PreFilter, PreScore, QueueSort, Reserve, Score,
};

/// Augur as a plugin: scoring over live signals and the model.
pub const AUGUR: &str = "Augur";

/// A plugin that can be configured.
pub(crate) struct Registered {
    pub(crate) name: &'static str,
    /// `None` for [`AUGUR`], which is none of kube-scheduler's.
    pub(crate) id: Option<PluginId>,
    pub(crate) points: &'static [ExtensionPoint],
    /// Its weight in the default set, if one is given there.
    pub(crate) weight: Option<i32>,
}

const fn plugin(id: PluginId, weight: Option<i32>, points: &'static [ExtensionPoint]) -> Registered {
    Registered { name: id.name(), id: Some(id), points, weight }
}

/// All plugins, in the order of the default `multiPoint` set.
pub(crate) static REGISTRY: [Registered; 21] = [
    plugin(PluginId::SchedulingGates, None, &[PreEnqueue]),
    plugin(PluginId::PrioritySort, None, &[QueueSort]),
    plugin(PluginId::NodeUnschedulable, None, &[Filter]),
    plugin(PluginId::NodeName, None, &[Filter]),
    plugin(PluginId::TaintToleration, Some(3), &[Filter, PreScore, Score]),
    plugin(PluginId::NodeAffinity, Some(2), &[PreFilter, Filter, PreScore, Score]),
    plugin(PluginId::NodePorts, None, &[PreFilter, Filter]),
    plugin(PluginId::NodeResourcesFit, Some(1), &[PreFilter, Filter, PreScore, Score, PlacementScore]),
    plugin(PluginId::VolumeRestrictions, None, &[PreFilter, Filter]),
    plugin(PluginId::NodeVolumeLimits, None, &[PreFilter, Filter]),
    plugin(PluginId::VolumeBinding, None, &[PreFilter, Filter, Reserve, PreBind, PreScore, Score]),
    plugin(PluginId::VolumeZone, None, &[PreFilter, Filter]),
    plugin(PluginId::PodTopologySpread, Some(2), &[PreFilter, Filter, PreScore, Score]),
    plugin(PluginId::InterPodAffinity, Some(2), &[PreFilter, Filter, PreScore, Score]),
    plugin(PluginId::DynamicResources, Some(2), &[PreEnqueue, PreFilter, Filter, PostFilter, Score, Reserve, PreBind]),
    plugin(PluginId::DefaultPreemption, None, &[PostFilter, PreEnqueue]),
    plugin(PluginId::NodeResourcesBalancedAllocation, Some(1), &[PreScore, Score]),
    plugin(PluginId::ImageLocality, Some(1), &[Score]),
    plugin(PluginId::DefaultBinder, None, &[Bind]),
    plugin(PluginId::NodeDeclaredFeatures, None, &[PreFilter, Filter]),
    Registered { name: AUGUR, id: None, points: &[Score], weight: Some(1) },
];

/// The plugin of this name.
pub(crate) fn find(name: &str) -> Option<&'static Registered> {
    REGISTRY.iter().find(|plugin| plugin.name == name)
}

/// What is nearest to a name that does not exist, in words.
pub(crate) fn hint(name: &str) -> String {
    let nearest = augur_notation::nearest(name, REGISTRY.iter().map(|plugin| plugin.name));
    nearest.map(|nearest| format!(" (the nearest known plugin is {nearest:?})")).unwrap_or_default()
}
