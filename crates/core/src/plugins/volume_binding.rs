//! VolumeBinding: claims that have their volume keep the pod to nodes that reach it; claims that wait for their first
//! user get a volume that exists, or one that is to be made for the chosen node.
//!
//! [`pod_volumes`] tells what has to be bound or made before the pod can go to a node.

use super::{Code, Plugin, PluginId, Rejection, Stop, Survey, claims};
use crate::cluster_event::ClusterEvent;
use crate::object::{
    BindingMode, Labels, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodSpec, PodVolumes, Related, RelatedKey,
    StaticBinding, StorageClass, UnboundClaim,
};
use crate::profile::PluginArguments;
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
                    volumes.bindings.push(StaticBinding { claim: unbound(claim), volume: volume.name.clone() });
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
            volumes.provisions.push(unbound(claim));
        }
        Ok(())
    }
}

fn unbound(claim: &PersistentVolumeClaim) -> UnboundClaim {
    let key = RelatedKey { namespace: claim.namespace.clone(), name: claim.name.clone() };
    UnboundClaim { key, uid: claim.uid.clone() }
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

    fn survey<'a>(
        &self,
        pod: &'a Pod,
        state: &'a ClusterState,
        _: &PluginArguments,
    ) -> Option<Box<dyn Survey<'a> + 'a>> {
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

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, _: &PluginArguments) -> bool {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use augur_notation::{Format, LabelSelector, Quantity};

    use super::*;
    use crate::object::{
        AccessModes, ClaimRef, CsiDriver, CsiStorageCapacity, NodeSelectorTerm, PodVolume, VolumeSource,
    };
    use crate::samples;

    fn gibibytes(size: i64) -> Quantity {
        Quantity::of(size << 30, Format::BinarySi)
    }

    fn claim(name: &str, size: i64) -> PersistentVolumeClaim {
        PersistentVolumeClaim {
            namespace: "default".into(),
            name: name.into(),
            uid: format!("{name}-uid").into(),
            controller: None,
            class: "fast".into(),
            volume: None,
            bind_completed: false,
            lost: false,
            terminating: false,
            access_modes: AccessModes::of(["ReadWriteOnce"]),
            block: false,
            requested: Some(gibibytes(size)),
            selector: None,
            attributes_class: "".into(),
            selected_node: None,
        }
    }

    fn volume(name: &str, size: i64, zone: &str) -> PersistentVolume {
        PersistentVolume {
            name: name.into(),
            labels: Labels::default(),
            class: "fast".into(),
            claim: None,
            capacity: gibibytes(size),
            access_modes: AccessModes::of(["ReadWriteOnce", "ReadOnlyMany"]),
            block: false,
            attributes_class: "".into(),
            node_affinity: Some(vec![NodeSelectorTerm::new([("zone", "In", vec![zone])], [])]),
            available: true,
            terminating: false,
            source: VolumeSource::Other,
        }
    }

    fn class(provisioner: &str) -> StorageClass {
        StorageClass {
            name: "fast".into(),
            provisioner: provisioner.into(),
            binding_mode: Some(BindingMode::WaitForFirstConsumer),
            allowed_topologies: Vec::new(),
        }
    }

    fn cluster(
        class: StorageClass,
        claims: Vec<PersistentVolumeClaim>,
        volumes: Vec<PersistentVolume>,
    ) -> ClusterState {
        let mut state = ClusterState::new();
        state.apply_related(Related::StorageClass(Arc::new(class)));
        for claim in claims {
            state.apply_related(Related::PersistentVolumeClaim(Arc::new(claim)));
        }
        for volume in volumes {
            state.apply_related(Related::PersistentVolume(Arc::new(volume)));
        }
        state
    }

    fn pod(claims: &[&str]) -> Pod {
        let mut spec = PodSpec::clone(&samples::spec(2));
        spec.volumes = claims.iter().map(|name| PodVolume::Claim((*name).into())).collect();
        Pod::new("uid", "default", "web", Arc::new(spec))
    }

    fn node(zone: &str) -> Node {
        Node { name: zone.into(), labels: [("zone", zone)].into_iter().collect(), ..Node::default() }
    }

    /// What is chosen on a node of the zone: `claim=volume` for one that is there, `claim` for one to be made.
    fn chosen(state: &ClusterState, pod: &Pod, zone: &str) -> Vec<String> {
        let volumes = pod_volumes(pod, state, &node(zone));
        let bindings = volumes.bindings.iter().map(|it| format!("{}={}", it.claim.key.name, it.volume));
        bindings.chain(volumes.provisions.iter().map(|claim| claim.key.name.to_string())).collect()
    }

    #[test]
    fn each_claim_gets_the_smallest_volume_that_will_do_and_none_twice() {
        let volumes = vec![volume("v9", 9, "a"), volume("v3", 3, "a"), volume("v4", 4, "a"), volume("w2", 2, "b")];
        let state = cluster(class(NO_PROVISIONER), vec![claim("big", 3), claim("small", 2)], volumes);
        let pod = pod(&["big", "small"]);
        assert_eq!(chosen(&state, &pod, "a"), ["small=v3", "big=v4"]);
        assert_eq!(chosen(&state, &pod, "b"), [""; 0], "the only volume there is too small for the other claim");
    }

    #[test]
    fn a_volume_reserved_for_the_claim_goes_first_and_for_another_is_none() {
        let reserved = |name: &str| ClaimRef { namespace: "default".into(), name: name.into(), uid: "".into() };
        let mine = PersistentVolume { claim: Some(reserved("data")), ..volume("mine", 9, "a") };
        let theirs = PersistentVolume { claim: Some(reserved("other")), ..volume("theirs", 2, "a") };
        let state = cluster(class(NO_PROVISIONER), vec![claim("data", 1)], vec![volume("v1", 1, "a"), mine, theirs]);
        assert_eq!(chosen(&state, &pod(&["data"]), "a"), ["data=mine"]);
    }

    #[test]
    fn what_is_not_there_is_made_where_there_is_room() {
        let mut state = cluster(class("csi.example.com"), vec![claim("data", 5)], vec![volume("v1", 1, "a")]);
        assert_eq!(chosen(&state, &pod(&["data"]), "a"), ["data"]);
        let driver = CsiDriver { name: "csi.example.com".into(), storage_capacity: true };
        state.apply_related(Related::CsiDriver(Arc::new(driver)));
        let room = |zone: &str, size: i64| CsiStorageCapacity {
            namespace: "storage".into(),
            name: zone.into(),
            class: "fast".into(),
            nodes: LabelSelector::structured([("zone", zone)], []).ok(),
            limit: Some(size << 30),
        };
        for room in [room("a", 4), room("b", 5)] {
            state.apply_related(Related::CsiStorageCapacity(Arc::new(room)));
        }
        let pod = pod(&["data"]);
        let claims = Claims::of(&pod, state.related()).unwrap_or_default();
        let binder = Binder { claims, related: state.related() };
        assert_eq!(binder.find(&node("a")), Err(1 << NO_SPACE));
        assert_eq!(chosen(&state, &pod, "b"), ["data"]);
    }

    #[test]
    fn a_claim_that_is_being_provisioned_keeps_the_pod_to_its_node() {
        let selected = PersistentVolumeClaim { selected_node: Some("b".into()), ..claim("data", 1) };
        let state = cluster(class("csi.example.com"), vec![selected], vec![volume("v1", 1, "b")]);
        assert_eq!(chosen(&state, &pod(&["data"]), "a"), [""; 0]);
        assert_eq!(chosen(&state, &pod(&["data"]), "b"), ["data"]);
    }
}
