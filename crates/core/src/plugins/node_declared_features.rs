//! NodeDeclaredFeatures: a pod that needs an optional feature of the kubelet goes only to nodes that declare it.

use super::{Code, Context, Plugin, PluginId, Rejection, Scope};
use crate::cluster_event::ClusterEvent;
use crate::object::{Node, Pod, PodSpec};
use crate::profile::PluginArguments;
use crate::state::NodeView;

pub(crate) struct NodeDeclaredFeatures;

fn has_all(pod: &PodSpec, node: &Node) -> bool {
    pod.required_features.iter().all(|feature| node.declared_features.contains(feature))
}

impl Plugin for NodeDeclaredFeatures {
    fn id(&self) -> PluginId {
        PluginId::NodeDeclaredFeatures
    }

    fn filter_scope(&self, pod: &Context) -> Scope {
        if pod.spec.required_features.is_empty() { Scope::Skip } else { Scope::Class }
    }

    fn filter(&self, pod: &Context, node: NodeView<'_>) -> Result<(), Rejection> {
        if has_all(&pod.spec, node.node()) {
            return Ok(());
        }
        Err(Rejection { plugin: self.id(), code: Code::UnschedulableAndUnresolvable, reasons: 1 })
    }

    fn reason(&self, _: &PodSpec, _: u32) -> String {
        "node(s) didn't match Pod's required features".to_owned()
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, _: &PluginArguments) -> bool {
        let pod = &*pod.spec;
        match event {
            ClusterEvent::NodeAdded(node) => has_all(pod, node),
            ClusterEvent::NodeChanged { before, node } => !has_all(pod, before) && has_all(pod, node),
            _ => false,
        }
    }
}
