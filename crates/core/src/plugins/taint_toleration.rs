//! TaintToleration: hard taints keep pods away that do not tolerate them; soft ones make a node less liked.

use super::{Code, Context, Normalization, Plugin, PluginId, Rejection, Scope};
use crate::cluster_event::ClusterEvent;
use crate::object::{Effect, Node, Pod, PodSpec, Taint, Toleration};
use crate::profile::PluginArguments;
use crate::state::{ClusterState, NodeView};

pub(crate) struct TaintToleration;

fn is_kept_away(pod: &PodSpec, taints: &[Taint]) -> bool {
    taints.iter().any(|taint| taint.effect.is_hard() && !Toleration::any_covers(&pod.tolerations, taint))
}

/// Soft taints that the pod does not tolerate. A toleration for hard taints alone does not count here.
fn disliked(pod: &PodSpec, node: &Node) -> usize {
    let soft = node.taints.iter().filter(|taint| taint.effect == Effect::PreferNoSchedule);
    soft.filter(|taint| !Toleration::any_covers(&pod.tolerations, taint)).count()
}

impl Plugin for TaintToleration {
    fn id(&self) -> PluginId {
        PluginId::TaintToleration
    }

    fn filter_scope(&self, _: &Context) -> Scope {
        Scope::Class
    }

    fn filter(&self, pod: &Context, node: NodeView<'_>) -> Result<(), Rejection> {
        if is_kept_away(&pod.spec, &node.node().taints) {
            return Err(Rejection { plugin: self.id(), code: Code::UnschedulableAndUnresolvable, reasons: 1 });
        }
        Ok(())
    }

    fn reason(&self, _: &PodSpec, _: u32) -> String {
        "node(s) had untolerated taint(s)".to_owned()
    }

    fn score_scope(&self, _: &Context) -> Result<Scope, String> {
        Ok(Scope::Class)
    }

    fn score(&self, pod: &Context, node: NodeView<'_>, _: &ClusterState) -> i64 {
        disliked(&pod.spec, node.node()) as i64
    }

    fn normalization(&self) -> Normalization {
        Normalization::ReversedOfLargest
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, _: &PluginArguments) -> bool {
        let pod = &*pod.spec;
        match event {
            ClusterEvent::NodeAdded(node) => !is_kept_away(pod, &node.taints),
            ClusterEvent::NodeChanged { before, node } => {
                is_kept_away(pod, &before.taints) && !is_kept_away(pod, &node.taints)
            }
            _ => false,
        }
    }
}
