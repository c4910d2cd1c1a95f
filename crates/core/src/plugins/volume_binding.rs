//! VolumeBinding: claims that have their volume keep the pod to nodes that reach it; claims that wait for their first
//! user get a volume that exists, or one that is to be made for the chosen node.
//!
//! [`pod_volumes`] tells what has to be bound or made before the pod can go to a node.

use super::{Code, Plugin, PluginId, Rejection, Stop, Survey, claims};
use crate::cluster_event::ClusterEvent;
use crate::object::{
    BindingMode, Labels, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodSpec, PodVolumes, Related, RelatedKey,
    StaticBinding, StorageClass,
};
use crate::state::{ClusterState, NodeView, RelatedObjects};

pub(crate) struct VolumeBinding;

const NODE_CONFLICT: u32 = 0;
const NO_VOLUME: u32 = 1;
const NO_SPACE: u32 = 2;
const VOLUME_GONE: u32 = 3;

/// The provisioner of classes for which no volumes are made.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// The claims of a pod, by what is to be done about them.
#[derive(Clone, Default)]
struct Claims<'a> {
    bound: Vec<&'a PersistentVolumeClaim>,
    /// Without a volume, which a controller was to have bound by now.
    immediate: bool,
    /// Without a volume until a pod uses them, with their class.
    waiting: Vec<(&'a PersistentVolumeClaim, &'a StorageClass)>,
}

impl<'a> Claims<'a> {
    fn of(pod: &Pod, related: &'a RelatedObjects) -> Result<Claims<'a>, Stop> {
        let mut found = Vec::new();
        for own in claims::all(pod) {
            let name = &own.name;
            let rejected = match own.find(pod, related) {
                None if own.ephemeral => {
                    format!("waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\"")
                }
                None => claims::not_found(name),
                Some(claim) if claim.lost => {
                    let volume = claim.volume.as_deref().unwrap_or_default();
                    format!("persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\"")
                }
                Some(claim) if claim.terminating => format!("persistentvolumeclaim \"{name}\" is being deleted"),
                Some(claim) if !own.is_for(pod, claim) => format!(
                    "PVC {}/{name} was not created for pod {} (pod is not owner)",
                    pod.namespace,
                    pod.full_name()
                ),
                Some(claim) => {
                    found.push(claim);
                    continue;
                }
            };
            return Err(Stop::Rejected(rejected));
        }
        let mut claims = Claims::default();
        for claim in found {
            if claim.is_bound() {
                claims.bound.push(claim);
                continue;
            }
            match related.storage_class(&claim.class).map(|class| (class, class.binding_mode)) {
                Some((class, None)) => {
                    return Err(Stop::Failed(format!("VolumeBindingMode not set for StorageClass \"{}\"", class.name)));
                }
                Some((class, Some(BindingMode::WaitForFirstConsumer))) if claim.volume.is_none() => {
                    claims.waiting.push((claim, class));
                }
                _ => claims.immediate = true,
            }
        }
        // The smallest first, so that each gets the smallest volume that will do.
        claims.waiting.sort_by_key(|(claim, _)| claim.requested);
        Ok(claims)
    }
}

/// The volume that a claim should get on a node of these labels: the one reserved for it, or the smallest that will do.
fn match_volume<'a>(
    claim: &PersistentVolumeClaim,
    volumes: impl Iterator<Item = &'a PersistentVolume>,
    labels: &Labels,
    taken: &[&PersistentVolume],
) -> Option<&'a PersistentVolume> {
    let mut smallest: Option<&PersistentVolume> = None;
    for volume in volumes {
        if taken.iter().any(|other| other.name == volume.name)
            || (volume.claim.is_some() && !volume.is_of(claim))
            || claim.requested.is_some_and(|size| volume.capacity < size)
            || volume.block != claim.block
            || volume.attributes_class != claim.attributes_class
            || volume.terminating
        {
            continue;
        }
        let reaches = volume.reaches(labels);
        if volume.is_of(claim) {
            return reaches.then_some(volume);
        }
        let wanted = claim.selector.as_ref().is_none_or(|selector| selector.matches(|key| volume.labels.get(key)));
        if volume.available
            && wanted
            && reaches
            && volume.access_modes.contain(claim.access_modes)
            && smallest.is_none_or(|smallest| volume.capacity < smallest.capacity)
        {
            smallest = Some(volume);
        }
    }
    smallest
}

/// Whether the driver has room for the claim's volume on a node of these labels. Only drivers that tell are asked.
fn has_space(claim: &PersistentVolumeClaim, class: &StorageClass, labels: &Labels, related: &RelatedObjects) -> bool {
    let Some(size) = claim.requested else { return true };
    if !related.csi_driver(&class.provisioner).is_some_and(|driver| driver.storage_capacity) {
        return true;
    }
    related.capacities_of_class(&class.name).any(|capacity| {
        capacity.limit.is_some_and(|limit| limit >= size.value())
            && capacity.nodes.as_ref().is_some_and(|nodes| nodes.matches(|key| labels.get(key)))
    })
}

#[derive(Clone)]
struct Binder<'a> {
    claims: Claims<'a>,
    related: &'a RelatedObjects,
}

impl Binder<'_> {
    /// What has to be bound or made for the pod to run on the node; reasons against the node, one bit each.
    fn find(&self, node: &Node) -> Result<PodVolumes, u64> {
        let mut reasons = 0;
        for claim in &self.claims.bound {
            match claim.volume.as_ref().and_then(|name| self.related.volume(name)) {
                None => {
                    reasons |= 1 << VOLUME_GONE;
                    break;
                }
                Some(volume) if !volume.reaches(&node.labels) => {
                    reasons |= 1 << NODE_CONFLICT;
                    break;
                }
                Some(_) => {}
            }
        }
        let mut volumes = PodVolumes::default();
        if let Err(reason) = self.find_waiting(node, &mut volumes) {
            reasons |= 1 << reason;
        }
        if reasons == 0 { Ok(volumes) } else { Err(reasons) }
    }

    fn find_waiting(&self, node: &Node, volumes: &mut PodVolumes) -> Result<(), u32> {
        let mut to_make = Vec::new();
        for (claim, class) in &self.claims.waiting {
            match &claim.selected_node {
                Some(selected) if *selected != node.name => return Err(NO_VOLUME),
                Some(_) => to_make.push((*claim, *class)),
                None => {}
            }
        }
        let mut taken = Vec::new();
        for (claim, class) in self.claims.waiting.iter().filter(|(claim, _)| claim.selected_node.is_none()) {
            match match_volume(claim, self.related.volumes_of_class(&class.name), &node.labels, &taken) {
                Some(volume) => {
                    taken.push(volume);
                    volumes.bindings.push(StaticBinding { claim: key(claim), volume: volume.name.clone() });
                }
                None => to_make.push((claim, class)),
            }
        }
        for (claim, class) in to_make {
            if matches!(&*class.provisioner, "" | NO_PROVISIONER) {
                return Err(NO_VOLUME);
            }
            let topologies = &class.allowed_topologies;
            if !topologies.is_empty() && !topologies.iter().any(|term| term.matches(&node.labels)) {
                return Err(NO_VOLUME);
            }
            if !has_space(claim, class, &node.labels, self.related) {
                return Err(NO_SPACE);
            }
            volumes.provisions.push(key(claim));
        }
        Ok(())
    }
}

fn key(claim: &PersistentVolumeClaim) -> RelatedKey {
    RelatedKey { namespace: claim.namespace.clone(), name: claim.name.clone() }
}

impl<'a> Survey<'a> for Binder<'a> {
    fn filter(&self, node: NodeView<'_>) -> Result<(), Rejection> {
        let code = Code::UnschedulableAndUnresolvable;
        self.find(node.node()).map(|_| ()).map_err(|reasons| Rejection {
            plugin: PluginId::VolumeBinding,
            code,
            reasons,
        })
    }

    /// Pods do not matter.
    fn follow(&mut self, _: &Pod, _: &'a Node, _: i64) {}

    fn copy(&self) -> Box<dyn Survey<'a> + 'a> {
        Box::new(self.clone())
    }
}

/// What has to be bound or made before the pod can go to the node; nothing if all its claims are bound, or if it
/// cannot go there.
pub(crate) fn pod_volumes(pod: &Pod, state: &ClusterState, node: &Node) -> PodVolumes {
    let related = state.related();
    match Claims::of(pod, related) {
        Ok(claims) if !claims.waiting.is_empty() => Binder { claims, related }.find(node).unwrap_or_default(),
        _ => PodVolumes::default(),
    }
}

impl Plugin for VolumeBinding {
    fn id(&self) -> PluginId {
        PluginId::VolumeBinding
    }

    fn admit(&self, pod: &Pod, state: &ClusterState) -> Result<(), Stop> {
        if Claims::of(pod, state.related())?.immediate {
            return Err(Stop::Rejected("pod has unbound immediate PersistentVolumeClaims".to_owned()));
        }
        Ok(())
    }

    fn survey<'a>(&self, pod: &'a Pod, state: &'a ClusterState) -> Option<Box<dyn Survey<'a> + 'a>> {
        let related = state.related();
        // What is rejected was told by `admit`.
        let claims = Claims::of(pod, related).ok()?;
        if claims.bound.is_empty() && claims.waiting.is_empty() {
            return None;
        }
        Some(Box::new(Binder { claims, related }))
    }

    fn reason(&self, _: &PodSpec, bit: u32) -> String {
        match bit {
            NODE_CONFLICT => "node(s) didn't match PersistentVolume's node affinity",
            NO_VOLUME => "node(s) didn't find available persistent volumes to bind",
            NO_SPACE => "node(s) did not have enough free storage",
            _ => "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
        }
        .to_owned()
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) | ClusterEvent::PodChanged | ClusterEvent::RelatedListed(_) => true,
            ClusterEvent::NodeChanged { before, node } => before.labels != node.labels,
            ClusterEvent::RelatedAdded(object) => match object {
                Related::StorageClass(_)
                | Related::PersistentVolume(_)
                | Related::CsiNode(_)
                | Related::CsiStorageCapacity(_) => true,
                object => claims::is_of(object, pod, true),
            },
            ClusterEvent::RelatedChanged { before, object } => match (before, object) {
                (_, Related::PersistentVolume(_)) => true,
                (Related::StorageClass(before), Related::StorageClass(class)) => {
                    before.allowed_topologies != class.allowed_topologies
                }
                (Related::CsiNode(before), Related::CsiNode(node)) => before.migrated != node.migrated,
                (Related::CsiDriver(before), Related::CsiDriver(driver)) => {
                    before.storage_capacity && !driver.storage_capacity
                }
                (Related::CsiStorageCapacity(before), Related::CsiStorageCapacity(capacity)) => {
                    capacity.limit > before.limit
                }
                (_, object) => claims::is_of(object, pod, true),
            },
            _ => false,
        }
    }
}
