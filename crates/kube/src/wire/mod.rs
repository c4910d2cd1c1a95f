//! Lean serde types: of each kind only the fields that Augur reads, borrowed from the JSON text where possible.
//!
//! Entry points: [`Pod`] and [`Node`]. Everything else of an object is skipped by the parser without being stored. There is no
//! `flatten` and no untagged enum here: both buffer whole objects.

mod affinity;
mod budget;
mod devices;
mod node;
mod pod;
mod related;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

pub use affinity::{
    Affinity, LabelSelector, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinity,
    PodAffinityTerm, PreferredSchedulingTerm, TopologySpreadConstraint, WeightedPodAffinityTerm,
};
pub use budget::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
pub use devices::{
    AllocatedDevice, AllocatedDevices, Allocation, CapacityRequirements, CelSelector, Consumer, Counter,
    CounterConsumption, CounterSet, Device, DeviceAttribute, DeviceCapacity, DeviceClaim, DeviceClass, DeviceClassSpec,
    DeviceConfig, DeviceConstraint, DeviceRequest, DeviceSelector, DeviceStatus, DeviceToleration, ExactRequest,
    PodResourceClaim, PodResourceClaimStatus, RequestPolicy, ResourceClaim, ResourceClaimSpec, ResourceClaimStatus,
    ResourcePool, ResourceSlice, ResourceSliceSpec, ValidRange,
};
pub use node::{ContainerImage, Node, NodeCondition, NodeSpec, NodeStatus, Taint};
pub use pod::{
    ClaimSource, Container, ContainerPort, ContainerState, ContainerStatus, DiskSource, ImageSource, Pod, PodCondition,
    PodSpec, PodStatus, ResourceRequirements, RestartPolicyRule, SchedulingGate, Terminated, Toleration, Volume,
    Waiting,
};
pub use related::{
    Annotations, AttachedVolume, ClaimReference, ConditionsSpec, CsiDriver, CsiDriverSpec, CsiNode, CsiNodeDriver,
    CsiNodeSpec, CsiSource, CsiStorageCapacity, LabelsSpec, PersistentVolume, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PersistentVolumeSpec, Phase, RelatedMeta, SelectsByConditions, SelectsByLabels,
    StorageClass, TopologyRequirement, TopologySelectorTerm, VolumeAttachment, VolumeAttachmentSpec, VolumeCount,
    VolumeNodeAffinity,
};
pub use text::Text;

/// Names to texts: labels, selectors, amounts of resources.
pub type Map<'a> = BTreeMap<Text<'a>, Text<'a>>;

/// The metadata of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta<'a> {
    /// Name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// What the API server made the name from; empty when it was given.
    #[serde(borrow)]
    pub generate_name: Text<'a>,
    /// Namespace; empty for what has none.
    #[serde(borrow)]
    pub namespace: Text<'a>,
    /// Uid.
    #[serde(borrow)]
    pub uid: Text<'a>,
    /// Revision.
    #[serde(borrow)]
    pub resource_version: Text<'a>,
    /// How often what is wanted of the object changed; 0 where the API server does not count.
    pub generation: i64,
    /// Labels.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub labels: Map<'a>,
    /// When the object was created (RFC 3339).
    #[serde(borrow)]
    pub creation_timestamp: Option<Text<'a>>,
    /// When its deletion was asked for (RFC 3339).
    #[serde(borrow)]
    pub deletion_timestamp: Option<Text<'a>>,
    /// Owners.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub owner_references: Vec<OwnerReference<'a>>,
}

/// What an object belongs to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference<'a> {
    /// Group and version of the owner.
    #[serde(borrow)]
    pub api_version: Text<'a>,
    /// Kind of the owner.
    #[serde(borrow)]
    pub kind: Text<'a>,
    /// Name of the owner.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Uid of the owner.
    #[serde(borrow)]
    pub uid: Text<'a>,
    /// Whether the owner manages the object.
    pub controller: Option<bool>,
}

/// Reads `null`, which Go writers leave for empty fields, as the default.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
