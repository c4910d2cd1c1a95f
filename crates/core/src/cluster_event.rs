//! Changes of the cluster that may let a pod fit that did not: what queueing hints are asked about.

use std::sync::Arc;

use crate::object::{Node, Pod, Related, RelatedKind};

/// A change of the cluster, or of the waiting pod itself.
#[derive(Debug, Clone, PartialEq)]
pub enum ClusterEvent {
    /// A node is new.
    NodeAdded(Arc<Node>),
    /// A node changed.
    NodeChanged {
        /// As it was.
        before: Arc<Node>,
        /// As it is.
        node: Arc<Node>,
    },
    /// A pod is on a node now.
    PodPlaced(Arc<Pod>),
    /// A pod left its node, or came to its end there.
    PodRemoved(Arc<Pod>),
    /// An object besides nodes and pods is new.
    RelatedAdded(Related),
    /// An object besides nodes and pods changed.
    RelatedChanged {
        /// As it was.
        before: Related,
        /// As it is.
        object: Related,
    },
    /// An object besides nodes and pods is gone.
    RelatedRemoved(Related),
    /// All objects of a kind are known from now on.
    RelatedListed(RelatedKind),
    /// The waiting pod itself wants something else now.
    PodChanged,
}

impl ClusterEvent {
    /// What kube-scheduler calls it in its metrics. Of a change it tells more there: what changed.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            ClusterEvent::NodeAdded(_) => "NodeAdd",
            ClusterEvent::NodeChanged { .. } => "NodeUpdate",
            ClusterEvent::PodPlaced(_) => "AssignedPodAdd",
            ClusterEvent::PodRemoved(_) => "AssignedPodDelete",
            ClusterEvent::PodChanged => "UnschedulablePodUpdate",
            ClusterEvent::RelatedAdded(object) => labels(object.kind())[0],
            ClusterEvent::RelatedChanged { object, .. } => labels(object.kind())[1],
            ClusterEvent::RelatedRemoved(object) => labels(object.kind())[2],
            ClusterEvent::RelatedListed(kind) => labels(*kind)[0],
        }
    }
}

/// What the addition, the change and the end of an object of the kind are called.
fn labels(kind: RelatedKind) -> [&'static str; 3] {
    macro_rules! of {
        ($resource:literal) => {
            [concat!($resource, "Add"), concat!($resource, "Update"), concat!($resource, "Delete")]
        };
    }
    match kind {
        RelatedKind::PersistentVolumeClaim => of!("PersistentVolumeClaim"),
        RelatedKind::PersistentVolume => of!("PersistentVolume"),
        RelatedKind::StorageClass => of!("storage.k8s.io/StorageClass"),
        RelatedKind::CsiNode => of!("storage.k8s.io/CSINode"),
        RelatedKind::CsiDriver => of!("storage.k8s.io/CSIDriver"),
        RelatedKind::CsiStorageCapacity => of!("storage.k8s.io/CSIStorageCapacity"),
        RelatedKind::VolumeAttachment => of!("storage.k8s.io/VolumeAttachment"),
        RelatedKind::Service => of!("Service"),
        RelatedKind::ReplicationController => of!("ReplicationController"),
        RelatedKind::ReplicaSet => of!("apps/ReplicaSet"),
        RelatedKind::StatefulSet => of!("apps/StatefulSet"),
        RelatedKind::ResourceClaim => of!("resource.k8s.io/ResourceClaim"),
        RelatedKind::ResourceSlice => of!("resource.k8s.io/ResourceSlice"),
        RelatedKind::DeviceClass => of!("resource.k8s.io/DeviceClass"),
    }
}
