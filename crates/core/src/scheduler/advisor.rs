//! What the queue asks of the plugins: gates and queueing hints.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cluster_event::ClusterEvent;
use crate::object::{Pod, PodUid};
use crate::plugins::{self, PluginId, PluginSet};
use crate::profile::Profile;
use crate::queue::Advisor;

/// The hints of all plugins, for the pods that wait.
pub(super) struct Hints<'a> {
    pending: &'a HashMap<PodUid, Arc<Pod>>,
    profiles: &'a HashMap<Arc<str>, Profile>,
}

impl<'a> Hints<'a> {
    pub(super) fn of(pending: &'a HashMap<PodUid, Arc<Pod>>, profiles: &'a HashMap<Arc<str>, Profile>) -> Hints<'a> {
        Hints { pending, profiles }
    }
}

/// Plugins that look at volumes.
const OF_VOLUMES: PluginSet = PluginSet::of(&[
    PluginId::VolumeRestrictions,
    PluginId::NodeVolumeLimits,
    PluginId::VolumeBinding,
    PluginId::VolumeZone,
]);
/// Plugins for which a change of another object can matter.
const OF_RELATED: PluginSet =
    OF_VOLUMES.union(PluginSet::of(&[PluginId::DynamicResources, PluginId::NodeResourcesFit]));
/// Plugins for which a change of a node can matter.
const OF_NODES: PluginSet = OF_VOLUMES.union(PluginSet::of(&[
    PluginId::NodeUnschedulable,
    PluginId::TaintToleration,
    PluginId::NodeAffinity,
    PluginId::NodePorts,
    PluginId::NodeResourcesFit,
    PluginId::PodTopologySpread,
    PluginId::InterPodAffinity,
    PluginId::DynamicResources,
    PluginId::NodeDeclaredFeatures,
]));
/// Plugins for which a pod that comes to a node can matter.
const OF_PLACED: PluginSet = PluginSet::of(&[PluginId::PodTopologySpread, PluginId::InterPodAffinity]);
/// Plugins for which the end of a pod can matter.
const OF_REMOVED: PluginSet = OF_PLACED.union(PluginSet::of(&[
    PluginId::NodePorts,
    PluginId::NodeResourcesFit,
    PluginId::VolumeRestrictions,
    PluginId::NodeVolumeLimits,
    PluginId::DynamicResources,
]));
/// What an extender waits for nobody knows but itself: everything can matter.
const OF_EXTENDERS: PluginSet = PluginSet::of(&[PluginId::Extender]);

impl Advisor<ClusterEvent> for Hints<'_> {
    fn gate(&self, pod: &PodUid) -> Option<PluginId> {
        let gated = self.pending.get(pod).is_some_and(|pod| !pod.spec.scheduling_gates.is_empty());
        gated.then_some(PluginId::SchedulingGates)
    }

    fn interested(&self, event: &ClusterEvent) -> PluginSet {
        let plugins = match event {
            ClusterEvent::NodeAdded(_) | ClusterEvent::NodeChanged { .. } => OF_NODES,
            ClusterEvent::PodPlaced(_) => OF_PLACED,
            ClusterEvent::PodRemoved(_) => OF_REMOVED,
            ClusterEvent::RelatedAdded(_)
            | ClusterEvent::RelatedChanged { .. }
            | ClusterEvent::RelatedRemoved(_)
            | ClusterEvent::RelatedListed(_) => OF_RELATED,
            ClusterEvent::PodChanged => PluginSet::of(&PluginId::ALL),
        };
        plugins.union(OF_EXTENDERS)
    }

    fn may_help(&self, pod: &PodUid, plugin: PluginId, event: &ClusterEvent) -> bool {
        let Some(pod) = self.pending.get(pod) else { return false };
        match event {
            // What the pod wants is judged anew.
            ClusterEvent::PodChanged => true,
            _ if plugin == PluginId::Extender => true,
            _ => match self.profiles.get(&pod.spec.scheduler_name) {
                Some(profile) => {
                    plugins::find(plugin).is_some_and(|plugin| plugin.may_help(pod, event, profile.plugins.arguments()))
                }
                None => false,
            },
        }
    }

    fn label(&self, event: &ClusterEvent) -> &'static str {
        event.label()
    }
}
