//! NodeUnschedulable: a cordoned node takes only pods that tolerate it.

use super::{Code, Context, Plugin, PluginId, Rejection, Scope};
use crate::cluster_event::ClusterEvent;
use crate::object::{Effect, Pod, PodSpec};
use crate::profile::PluginArguments;
use crate::state::NodeView;

/// The taint that a cordon stands for.
const KEY: &str = "node.kubernetes.io/unschedulable";

pub(crate) struct NodeUnschedulable;

fn tolerates(pod: &PodSpec) -> bool {
    pod.tolerations.iter().any(|toleration| toleration.covers(KEY, "", Effect::NoSchedule))
}

impl Plugin for NodeUnschedulable {
    fn id(&self) -> PluginId {
        PluginId::NodeUnschedulable
    }

    fn filter_scope(&self, pod: &Context) -> Scope {
        if tolerates(&pod.spec) { Scope::Skip } else { Scope::Class }
    }

    fn filter(&self, _: &Context, node: NodeView<'_>) -> Result<(), Rejection> {
        if node.node().unschedulable {
            return Err(Rejection { plugin: self.id(), code: Code::UnschedulableAndUnresolvable, reasons: 1 });
        }
        Ok(())
    }

    fn reason(&self, _: &PodSpec, _: u32) -> String {
        "node(s) were unschedulable".to_owned()
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, _: &PluginArguments) -> bool {
        let pod = &*pod.spec;
        match event {
            ClusterEvent::NodeAdded(node) => !node.unschedulable || tolerates(pod),
            ClusterEvent::NodeChanged { before, node } => {
                (before.unschedulable && !node.unschedulable) || (before.taints != node.taints && tolerates(pod))
            }
            _ => false,
        }
    }
}
