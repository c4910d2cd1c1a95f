//! NodeVolumeLimits: a node can have so many volumes of a CSI driver attached.

use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Plugin, PluginId, Rejection, Survey, claims};
use crate::cluster_event::ClusterEvent;
use crate::object::{
    CsiNode, Disk, InTree, Node, PersistentVolumeClaim, Pod, PodSpec, PodVolume, Related, VolumeSource,
};
use crate::profile::PluginArguments;
use crate::state::{ClusterState, NodeView, RelatedObjects};

pub(crate) struct NodeVolumeLimits;

/// Provisioners that were part of Kubernetes and whose volumes are not counted.
const NOT_COUNTED: [&str; 2] = ["kubernetes.io/azure-file", "kubernetes.io/vsphere-volume"];

/// What tells one volume of a driver from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Handle<'a> {
    /// The driver's name of it.
    Named(&'a str),
    /// It is not made yet: the claim for which it will be, by namespace and name.
    OfClaim(&'a str, &'a str),
    /// A volume of a plugin that the driver replaces.
    Migrated(InTree, &'a str),
}

/// A volume by driver and handle.
type Volume<'a> = (&'a str, Handle<'a>);

/// The driver that takes the plugin's place on the node, if one does.
fn migrated(plugin: InTree, node: &CsiNode) -> Option<&'static str> {
    node.migrated.contains(&plugin).then(|| plugin.driver())
}

/// The volume of a claim, made or to be made, if a CSI driver attaches it.
fn of_claim<'a>(claim: &'a PersistentVolumeClaim, node: &CsiNode, related: &'a RelatedObjects) -> Option<Volume<'a>> {
    if let Some(volume) = claim.volume.as_ref().and_then(|name| related.volume(name)) {
        return match &volume.source {
            VolumeSource::Csi { driver, handle } if !driver.is_empty() && !handle.is_empty() => {
                Some((driver, Handle::Named(handle)))
            }
            VolumeSource::InTree(plugin) => {
                Some((migrated(*plugin, node)?, Handle::Migrated(*plugin, volume.name.as_ref())))
            }
            _ => None,
        };
    }
    let class = related.storage_class(&claim.class)?;
    let driver = match InTree::of_name(&class.provisioner) {
        Some(plugin) => migrated(plugin, node)?,
        None if NOT_COUNTED.contains(&&*class.provisioner) || class.provisioner.is_empty() => return None,
        None => &*class.provisioner,
    };
    Some((driver, Handle::OfClaim(&claim.namespace, &claim.name)))
}

/// Adds the volumes of the pod that CSI drivers attach.
fn add_volumes<'a>(pod: &'a Pod, node: &CsiNode, related: &'a RelatedObjects, volumes: &mut BTreeSet<Volume<'a>>) {
    for claim in claims::all(pod) {
        if let Some(found) = claim.find(pod, related)
            && claim.is_for(pod, found)
        {
            volumes.extend(of_claim(found, node, related));
        }
    }
    for volume in &pod.spec.volumes {
        if let PodVolume::Disk(disk) = volume
            && let Some((plugin, id)) = disk.migratable()
            && let Some(driver) = migrated(plugin, node)
        {
            volumes.insert((driver, Handle::Migrated(plugin, id)));
        }
    }
}

/// Whether any of the pod's volumes may count.
fn may_count(pod: &Pod) -> bool {
    pod.spec.volumes.iter().any(|volume| match volume {
        PodVolume::Claim(_) | PodVolume::EphemeralClaim(_) => true,
        PodVolume::Disk(disk) => Disk::migratable(disk).is_some(),
    })
}

#[derive(Clone)]
struct Limits<'a> {
    pod: &'a Pod,
    related: &'a RelatedObjects,
}

impl<'a> Survey<'a> for Limits<'a> {
    fn filter(&self, node: NodeView<'_>) -> Result<(), Rejection> {
        let related = self.related;
        let Some(drivers) = related.csi_node(node.name()).filter(|drivers| !drivers.limits.is_empty()) else {
            return Ok(());
        };
        let mut new = BTreeSet::new();
        add_volumes(self.pod, drivers, related, &mut new);
        if new.is_empty() {
            return Ok(());
        }
        let mut attached = BTreeSet::new();
        node.pods().iter().for_each(|pod| add_volumes(pod, drivers, related, &mut attached));
        new.retain(|volume| !attached.contains(volume));
        for attachment in related.attachments_of_node(node.name()) {
            let volume = attachment.volume.as_ref().and_then(|name| related.volume(name));
            if let Some(VolumeSource::Csi { handle, .. }) = volume.map(|volume| &volume.source)
                && !attachment.attacher.is_empty()
            {
                attached.insert((&*attachment.attacher, Handle::Named(handle)));
            }
        }
        let count = |volumes: &BTreeSet<Volume<'_>>, driver: &str| {
            volumes.iter().filter(|(of, _)| *of == driver).count() as i64
        };
        // The last word on a driver counts.
        let limits: BTreeMap<&str, i64> = drivers.limits.iter().map(|(driver, limit)| (&**driver, *limit)).collect();
        let exceeded = limits.iter().any(|(driver, limit)| {
            let more = count(&new, driver);
            more > 0 && count(&attached, driver) + more > *limit
        });
        if exceeded {
            return Err(Rejection { plugin: PluginId::NodeVolumeLimits, code: Code::Unschedulable, reasons: 1 });
        }
        Ok(())
    }

    /// Pods are counted on the node itself.
    fn follow(&mut self, _: &Pod, _: &'a Node, _: i64) {}

    fn copy(&self) -> Box<dyn Survey<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Plugin for NodeVolumeLimits {
    fn id(&self) -> PluginId {
        PluginId::NodeVolumeLimits
    }

    fn survey<'a>(
        &self,
        pod: &'a Pod,
        state: &'a ClusterState,
        _: &PluginArguments,
    ) -> Option<Box<dyn Survey<'a> + 'a>> {
        may_count(pod).then(|| Box::new(Limits { pod, related: state.related() }) as Box<dyn Survey<'a> + 'a>)
    }

    fn reason(&self, _: &PodSpec, _: u32) -> String {
        "node(s) exceed max volume count".to_owned()
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, _: &PluginArguments) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) | ClusterEvent::PodChanged | ClusterEvent::RelatedListed(_) => true,
            ClusterEvent::PodRemoved(other) => may_count(other),
            ClusterEvent::RelatedAdded(Related::CsiNode(_)) => true,
            ClusterEvent::RelatedAdded(object) => claims::is_of(object, pod, true),
            ClusterEvent::RelatedRemoved(Related::VolumeAttachment(_)) => true,
            ClusterEvent::RelatedChanged { before: Related::CsiNode(before), object: Related::CsiNode(node) } => {
                let limit = |node: &CsiNode, driver: &str| {
                    node.limits.iter().rev().find(|(known, _)| **known == *driver).map_or(0, |(_, limit)| *limit)
                };
                node.limits.iter().any(|(driver, more)| *more > limit(before, driver))
            }
            _ => false,
        }
    }
}
