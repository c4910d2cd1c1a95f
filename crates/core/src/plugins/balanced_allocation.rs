//! NodeResourcesBalancedAllocation: a node is liked if the pod brings the use of its CPU and memory closer together.

use super::{Context, Plugin, PluginId, Scope};
use crate::state::{ClusterState, NodeView};

pub(crate) struct BalancedAllocation;

/// 100 for equal shares, less the further they are apart.
fn balance(shares: [Option<f64>; 2]) -> i64 {
    let apart = match shares {
        [Some(a), Some(b)] => ((a - b) / 2.0).abs(),
        _ => 0.0,
    };
    ((1.0 - apart) * 100.0) as i64
}

fn share(requested: i64, allocatable: i64) -> Option<f64> {
    (allocatable != 0).then(|| (requested as f64 / allocatable as f64).min(1.0))
}

impl Plugin for BalancedAllocation {
    fn id(&self) -> PluginId {
        PluginId::NodeResourcesBalancedAllocation
    }

    fn score_scope(&self, pod: &Context) -> Result<Scope, String> {
        let granted = &pod.spec.requests.granted;
        Ok(if granted.cpu.get() == 0 && granted.memory.get() == 0 { Scope::Skip } else { Scope::Node })
    }

    fn score(&self, pod: &Context, node: NodeView<'_>, _: &ClusterState) -> i64 {
        let used = node.used();
        let granted = &pod.spec.requests.granted;
        let (cpu, memory) = (used.requested_cpu.get(), used.requested_memory.get());
        let (all_cpu, all_memory) = (used.allocatable_cpu.get(), used.allocatable_memory.get());
        let before = balance([share(cpu, all_cpu), share(memory, all_memory)]);
        let after = balance([
            share(cpu.saturating_add(granted.cpu.get()), all_cpu),
            share(memory.saturating_add(granted.memory.get()), all_memory),
        ]);
        50 + (50 + after - before) / 2
    }
}
