//! The plugins of kube-scheduler's default profile, one file each. [`PluginId`] names them; [`Plugin`] is what the
//! framework asks of one; [`filters`] and [`scorers`] list them in the order in which they run.
//!
//! A new plugin is a file with an implementation of [`Plugin`] and an entry in [`ALL`].

mod balanced_allocation;
mod claims;
pub(crate) mod dynamic_resources;
mod framework;
mod id;
mod image_locality;
pub(crate) mod inter_pod_affinity;
mod node_affinity;
mod node_declared_features;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
pub(crate) mod pod_topology_spread;
mod scheduling_gates;
mod survey;
mod taint_toleration;
pub(crate) mod volume_binding;
mod volume_restrictions;
mod volume_zone;

pub use dynamic_resources::ClaimsAfter;
pub use framework::{Code, Rejection};
pub(crate) use framework::{Context, Narrowed, Normalization, Plugin, Scope, Stop};
pub use id::{PluginId, PluginSet};
pub use scheduling_gates::gates_message;
pub(crate) use survey::Survey;

/// All plugins that filter or score, in the order in which filters run.
pub(crate) static ALL: [&dyn Plugin; 16] = [
    &node_unschedulable::NodeUnschedulable,
    &node_name::NodeNamePlugin,
    &taint_toleration::TaintToleration,
    &node_affinity::NodeAffinityPlugin,
    &node_ports::NodePorts,
    &node_resources_fit::NodeResourcesFit,
    &volume_restrictions::VolumeRestrictions,
    &node_volume_limits::NodeVolumeLimits,
    &volume_binding::VolumeBinding,
    &volume_zone::VolumeZone,
    &pod_topology_spread::PodTopologySpread,
    &inter_pod_affinity::InterPodAffinity,
    &dynamic_resources::DynamicResources,
    &node_declared_features::NodeDeclaredFeatures,
    &balanced_allocation::BalancedAllocation,
    &image_locality::ImageLocality,
];

/// The plugin of this name, if it filters or scores.
pub(crate) fn find(id: PluginId) -> Option<&'static dyn Plugin> {
    ALL.iter().copied().find(|plugin| plugin.id() == id)
}
