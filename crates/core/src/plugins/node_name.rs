//! NodeName: a pod that names its node goes nowhere else.

use super::{Code, Context, Plugin, PluginId, Rejection, Scope};
use crate::object::PodSpec;
use crate::state::NodeView;

pub(crate) struct NodeNamePlugin;

impl Plugin for NodeNamePlugin {
    fn id(&self) -> PluginId {
        PluginId::NodeName
    }

    fn filter_scope(&self, pod: &Context) -> Scope {
        if pod.node.is_some() { Scope::Node } else { Scope::Skip }
    }

    fn filter(&self, pod: &Context, node: NodeView<'_>) -> Result<(), Rejection> {
        if pod.node.as_ref().is_some_and(|name| name != node.name()) {
            return Err(Rejection { plugin: self.id(), code: Code::UnschedulableAndUnresolvable, reasons: 1 });
        }
        Ok(())
    }

    fn reason(&self, _: &PodSpec, _: u32) -> String {
        "node(s) didn't match the requested node name".to_owned()
    }
}
