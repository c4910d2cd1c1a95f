//! NodeResourcesFit: a node takes a pod only if what it requests is free, and is liked the more the more stays free, or
//! the more is taken, as the profile's strategy says.

use super::{Code, Context, Plugin, PluginId, Rejection, Scope};
use crate::cluster_event::ClusterEvent;
use crate::object::{Node, Pod, PodSpec, Related};
use crate::profile::{PluginArguments, ResourceWeight, ScoredResource};
use crate::state::{ClusterState, NodeView, asks_for_nothing};

pub(crate) struct NodeResourcesFit;

/// Reasons by bit; further bits are the pod's other resources, in their order.
const PODS: u32 = 0;
const CPU: u32 = 1;
const MEMORY: u32 = 2;
const STORAGE: u32 = 3;
const FIRST_SCALAR: u32 = 4;
/// Other resources beyond those that have a bit share the last one.
const LAST: u32 = 63;

fn scalar_bit(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(LAST).saturating_add(FIRST_SCALAR).min(LAST)
}

impl Plugin for NodeResourcesFit {
    fn id(&self) -> PluginId {
        PluginId::NodeResourcesFit
    }

    fn filter_scope(&self, _: &Context) -> Scope {
        Scope::Node
    }

    fn filter(&self, pod: &Context, node: NodeView<'_>) -> Result<(), Rejection> {
        let granted = &pod.spec.requests.granted;
        let used = node.used();
        let mut reasons = 0u64;
        let mut hopeless = false;
        if used.pods + 1 > used.allowed_pods {
            reasons |= 1 << PODS;
        }
        if !asks_for_nothing(granted) {
            let mut check = |bit: u32, wanted: i64, allocatable: i64, requested: i64| {
                if wanted > 0 && wanted > allocatable.saturating_sub(requested) {
                    reasons |= 1 << bit;
                    hopeless |= wanted > allocatable;
                }
            };
            check(CPU, granted.cpu.get(), used.allocatable_cpu.get(), used.requested_cpu.get());
            check(MEMORY, granted.memory.get(), used.allocatable_memory.get(), used.requested_memory.get());
            let storage = granted.ephemeral_storage.get();
            check(STORAGE, storage, used.allocatable_storage.get(), used.requested_storage.get());
            let fit = &pod.arguments().fit;
            let looked_at = granted.scalars.iter().enumerate().filter(|(_, (name, _))| !fit.ignores(name));
            for (index, (name, wanted)) in looked_at {
                let (allocatable, requested) = node.scalar(name);
                if allocatable <= 0 && pod.provided.contains(&index) {
                    // DynamicResources sees to it.
                    continue;
                }
                check(scalar_bit(index), *wanted, allocatable, requested);
            }
        }
        if reasons == 0 {
            return Ok(());
        }
        let code = if hopeless { Code::UnschedulableAndUnresolvable } else { Code::Unschedulable };
        Err(Rejection { plugin: self.id(), code, reasons })
    }

    fn reason(&self, pod: &PodSpec, bit: u32) -> String {
        match bit {
            PODS => "Too many pods".to_owned(),
            CPU => "Insufficient cpu".to_owned(),
            MEMORY => "Insufficient memory".to_owned(),
            STORAGE => "Insufficient ephemeral-storage".to_owned(),
            _ => {
                let name = pod.requests.granted.scalars.get((bit - FIRST_SCALAR) as usize);
                format!("Insufficient {}", name.map_or("", |(name, _)| name))
            }
        }
    }

    fn score_scope(&self, _: &Context) -> Result<Scope, String> {
        Ok(Scope::Node)
    }

    fn score(&self, pod: &Context, node: NodeView<'_>, _: &ClusterState) -> i64 {
        let used = node.used();
        let requests = &pod.spec.requests;
        let (cpu, memory) = requests.nonzero_to_place;
        let fit = &pod.arguments().fit;
        // CPU and memory that are not asked for count with their defaults, other resources as they are asked for.
        fit.strategy.score(fit.resources.iter().filter_map(|ResourceWeight { resource, weight }| {
            let (asked, allocatable, requested) = match resource {
                ScoredResource::Cpu => (cpu.get(), used.allocatable_cpu.get(), used.nonzero_cpu.get()),
                ScoredResource::Memory => (memory.get(), used.allocatable_memory.get(), used.nonzero_memory.get()),
                other => {
                    let asked = other.asked(&requests.granted);
                    if asked == 0 && matches!(other, ScoredResource::Other(_)) {
                        return None;
                    }
                    let (allocatable, requested) = other.on(node);
                    (asked, allocatable, requested)
                }
            };
            Some((*weight, requested.saturating_add(asked), allocatable))
        }))
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, _: &PluginArguments) -> bool {
        let pod = &*pod.spec;
        match event {
            // The class may provide what no node has.
            ClusterEvent::RelatedAdded(Related::DeviceClass(_))
            | ClusterEvent::RelatedChanged { object: Related::DeviceClass(_), .. } => !pod.extended.is_empty(),
            ClusterEvent::NodeAdded(node) => could_hold(pod, node),
            ClusterEvent::NodeChanged { before, node } => {
                (before.allocatable != node.allocatable || before.allowed_pods != node.allowed_pods)
                    && could_hold(pod, node)
            }
            // Every pod that goes frees at least one place; it helps if it frees anything the pod asks for.
            ClusterEvent::PodRemoved(gone) => {
                let (wanted, freed) = (&pod.requests.granted, &gone.requests().granted);
                asks_for_nothing(wanted)
                    || asks_for_nothing(freed)
                    || (wanted.cpu.get() > 0 && freed.cpu.get() > 0)
                    || (wanted.memory.get() > 0 && freed.memory.get() > 0)
                    || (wanted.ephemeral_storage.get() > 0 && freed.ephemeral_storage.get() > 0)
                    || wanted.scalars.iter().any(|(name, amount)| *amount > 0 && freed.scalar(name) > 0)
            }
            _ => false,
        }
    }
}

/// Whether an empty node of this size could hold the pod.
fn could_hold(pod: &PodSpec, node: &Node) -> bool {
    let (wanted, has) = (&pod.requests.granted, &node.allocatable);
    node.allowed_pods > 0
        && wanted.cpu <= has.cpu
        && wanted.memory <= has.memory
        && wanted.ephemeral_storage <= has.ephemeral_storage
        && wanted.scalars.iter().all(|(name, amount)| {
            // What the node has nothing of may be provided by a class of devices.
            *amount <= has.scalar(name) || (has.scalar(name) == 0 && pod.extended.iter().any(|e| e.resource == *name))
        })
}
