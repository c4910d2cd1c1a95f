//! NodePorts: a port of a node goes to one pod.

use super::{Code, Context, Plugin, PluginId, Rejection, Scope};
use crate::cluster_event::ClusterEvent;
use crate::object::{Pod, PodSpec};
use crate::profile::PluginArguments;
use crate::state::NodeView;

pub(crate) struct NodePorts;

impl Plugin for NodePorts {
    fn id(&self) -> PluginId {
        PluginId::NodePorts
    }

    fn filter_scope(&self, pod: &Context) -> Scope {
        if pod.spec.host_ports.is_empty() { Scope::Skip } else { Scope::Node }
    }

    fn filter(&self, pod: &Context, node: NodeView<'_>) -> Result<(), Rejection> {
        let taken = &node.row().ports;
        if pod.spec.host_ports.iter().any(|port| taken.iter().any(|used| used.conflicts_with(port))) {
            return Err(Rejection { plugin: self.id(), code: Code::Unschedulable, reasons: 1 });
        }
        Ok(())
    }

    fn reason(&self, _: &PodSpec, _: u32) -> String {
        "node(s) didn't have free ports for the requested pod ports".to_owned()
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, _: &PluginArguments) -> bool {
        let pod = &*pod.spec;
        match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::PodRemoved(gone) => gone
                .spec
                .host_ports
                .iter()
                .any(|freed| pod.host_ports.iter().any(|wanted| freed.conflicts_with(wanted))),
            _ => false,
        }
    }
}
