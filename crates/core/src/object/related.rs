//! Objects besides nodes and pods that bear on where a pod can go: [`Related`] is one of any kind.

use std::sync::Arc;

use augur_notation::LabelSelector;

use super::{
    CsiDriver, CsiNode, CsiStorageCapacity, DeviceClass, Labels, PersistentVolume, PersistentVolumeClaim,
    ResourceClaim, ResourceSlice, StorageClass, VolumeAttachment,
};

/// A kind of related objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the kind of that name")]
pub enum RelatedKind {
    PersistentVolumeClaim,
    PersistentVolume,
    StorageClass,
    CsiNode,
    CsiDriver,
    CsiStorageCapacity,
    VolumeAttachment,
    Service,
    ReplicationController,
    ReplicaSet,
    StatefulSet,
    ResourceClaim,
    ResourceSlice,
    DeviceClass,
}

impl RelatedKind {
    /// All kinds.
    pub const ALL: [RelatedKind; 14] = [
        RelatedKind::PersistentVolumeClaim,
        RelatedKind::PersistentVolume,
        RelatedKind::StorageClass,
        RelatedKind::CsiNode,
        RelatedKind::CsiDriver,
        RelatedKind::CsiStorageCapacity,
        RelatedKind::VolumeAttachment,
        RelatedKind::Service,
        RelatedKind::ReplicationController,
        RelatedKind::ReplicaSet,
        RelatedKind::StatefulSet,
        RelatedKind::ResourceClaim,
        RelatedKind::ResourceSlice,
        RelatedKind::DeviceClass,
    ];
    /// Kinds without which claims cannot be judged.
    pub const OF_STORAGE: [RelatedKind; 7] = [
        RelatedKind::PersistentVolumeClaim,
        RelatedKind::PersistentVolume,
        RelatedKind::StorageClass,
        RelatedKind::CsiNode,
        RelatedKind::CsiDriver,
        RelatedKind::CsiStorageCapacity,
        RelatedKind::VolumeAttachment,
    ];
    /// Kinds without which claims to devices cannot be judged.
    pub const OF_DEVICES: [RelatedKind; 3] =
        [RelatedKind::ResourceClaim, RelatedKind::ResourceSlice, RelatedKind::DeviceClass];
    /// Kinds whose selectors tell which pods are alike.
    pub const OF_SELECTORS: [RelatedKind; 4] =
        [RelatedKind::Service, RelatedKind::ReplicationController, RelatedKind::ReplicaSet, RelatedKind::StatefulSet];

    /// The resource's name in the API.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            RelatedKind::PersistentVolumeClaim => "persistentvolumeclaims",
            RelatedKind::PersistentVolume => "persistentvolumes",
            RelatedKind::StorageClass => "storageclasses",
            RelatedKind::CsiNode => "csinodes",
            RelatedKind::CsiDriver => "csidrivers",
            RelatedKind::CsiStorageCapacity => "csistoragecapacities",
            RelatedKind::VolumeAttachment => "volumeattachments",
            RelatedKind::Service => "services",
            RelatedKind::ReplicationController => "replicationcontrollers",
            RelatedKind::ReplicaSet => "replicasets",
            RelatedKind::StatefulSet => "statefulsets",
            RelatedKind::ResourceClaim => "resourceclaims",
            RelatedKind::ResourceSlice => "resourceslices",
            RelatedKind::DeviceClass => "deviceclasses",
        }
    }

    /// Its place in [`RelatedKind::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Names a related object of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelatedKey {
    /// Its namespace; empty for a kind without.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// Which pods are alike: the selector of a service or of a controller of pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSelector {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The pods of the namespace that it selects.
    pub selects: Selects,
}

/// How an object selects pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selects {
    /// None at all.
    Nothing,
    /// By labels that a pod must have: services and replication controllers.
    Labels(Labels),
    /// By conditions: replica sets and stateful sets.
    Conditions(LabelSelector),
}

/// An object besides nodes and pods that bears on where a pod can go. Cloning shares.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each holds an object of the kind of that name")]
pub enum Related {
    PersistentVolumeClaim(Arc<PersistentVolumeClaim>),
    PersistentVolume(Arc<PersistentVolume>),
    StorageClass(Arc<StorageClass>),
    CsiNode(Arc<CsiNode>),
    CsiDriver(Arc<CsiDriver>),
    CsiStorageCapacity(Arc<CsiStorageCapacity>),
    VolumeAttachment(Arc<VolumeAttachment>),
    Service(Arc<PodSelector>),
    ReplicationController(Arc<PodSelector>),
    ReplicaSet(Arc<PodSelector>),
    StatefulSet(Arc<PodSelector>),
    ResourceClaim(Arc<ResourceClaim>),
    ResourceSlice(Arc<ResourceSlice>),
    DeviceClass(Arc<DeviceClass>),
}

impl Related {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> RelatedKind {
        match self {
            Related::PersistentVolumeClaim(_) => RelatedKind::PersistentVolumeClaim,
            Related::PersistentVolume(_) => RelatedKind::PersistentVolume,
            Related::StorageClass(_) => RelatedKind::StorageClass,
            Related::CsiNode(_) => RelatedKind::CsiNode,
            Related::CsiDriver(_) => RelatedKind::CsiDriver,
            Related::CsiStorageCapacity(_) => RelatedKind::CsiStorageCapacity,
            Related::VolumeAttachment(_) => RelatedKind::VolumeAttachment,
            Related::Service(_) => RelatedKind::Service,
            Related::ReplicationController(_) => RelatedKind::ReplicationController,
            Related::ReplicaSet(_) => RelatedKind::ReplicaSet,
            Related::StatefulSet(_) => RelatedKind::StatefulSet,
            Related::ResourceClaim(_) => RelatedKind::ResourceClaim,
            Related::ResourceSlice(_) => RelatedKind::ResourceSlice,
            Related::DeviceClass(_) => RelatedKind::DeviceClass,
        }
    }

    /// Its name among those of its kind.
    #[must_use]
    pub fn key(&self) -> RelatedKey {
        let (namespace, name) = match self {
            Related::PersistentVolumeClaim(it) => (it.namespace.clone(), &it.name),
            Related::PersistentVolume(it) => ("".into(), &it.name),
            Related::StorageClass(it) => ("".into(), &it.name),
            Related::CsiNode(it) => ("".into(), &it.name),
            Related::CsiDriver(it) => ("".into(), &it.name),
            Related::CsiStorageCapacity(it) => (it.namespace.clone(), &it.name),
            Related::VolumeAttachment(it) => ("".into(), &it.name),
            Related::ResourceClaim(it) => (it.namespace.clone(), &it.name),
            Related::ResourceSlice(it) => ("".into(), &it.name),
            Related::DeviceClass(it) => ("".into(), &it.name),
            Related::Service(it)
            | Related::ReplicationController(it)
            | Related::ReplicaSet(it)
            | Related::StatefulSet(it) => (it.namespace.clone(), &it.name),
        };
        RelatedKey { namespace, name: name.clone() }
    }
}
