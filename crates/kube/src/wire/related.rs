//! Storage objects, services and controllers of pods as the API writes them.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{LabelSelector, Map, NodeSelector, OwnerReference, Text, null_is_default};

/// The metadata of such an object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RelatedMeta<'a> {
    /// Name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Namespace; empty for what has none.
    #[serde(borrow)]
    pub namespace: Text<'a>,
    /// Uid.
    #[serde(borrow)]
    pub uid: Text<'a>,
    /// Revision.
    #[serde(borrow)]
    pub resource_version: Text<'a>,
    /// Labels.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub labels: Map<'a>,
    /// Annotations that decide.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub annotations: Annotations<'a>,
    /// When it was created (RFC 3339).
    #[serde(borrow)]
    pub creation_timestamp: Option<Text<'a>>,
    /// When its deletion was asked for (RFC 3339).
    #[serde(borrow)]
    pub deletion_timestamp: Option<Text<'a>>,
    /// Owners.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub owner_references: Vec<OwnerReference<'a>>,
}

/// Annotations of storage objects that decide.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Annotations<'a> {
    /// A claim's binding is complete.
    #[serde(borrow, rename = "pv.kubernetes.io/bind-completed")]
    pub bind_completed: Option<Text<'a>>,
    /// The node for which a claim's volume is being made.
    #[serde(borrow, rename = "volume.kubernetes.io/selected-node")]
    pub selected_node: Option<Text<'a>>,
    /// The class of a claim or volume, before there was a field for it.
    #[serde(borrow, rename = "volume.beta.kubernetes.io/storage-class")]
    pub storage_class: Option<Text<'a>>,
    /// Plugins that CSI drivers replace on a node, separated by commas.
    #[serde(borrow, rename = "storage.alpha.kubernetes.io/migrated-plugins")]
    pub migrated_plugins: Option<Text<'a>>,
    /// Whether a claim was made for the extended resources of a pod.
    #[serde(borrow, rename = "resource.kubernetes.io/extended-resource-claim")]
    pub extended_resource_claim: Option<Text<'a>>,
}

/// A claim to a volume.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeClaim<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// What is wanted.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: PersistentVolumeClaimSpec<'a>,
    /// How it is.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub status: Phase<'a>,
}

/// `spec` of a claim.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeClaimSpec<'a> {
    /// How it is to be mounted.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub access_modes: Vec<Text<'a>>,
    /// Labels that the volume must have.
    #[serde(borrow)]
    pub selector: Option<LabelSelector<'a>>,
    /// The size.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub resources: super::ResourceRequirements<'a>,
    /// The volume.
    #[serde(borrow)]
    pub volume_name: Text<'a>,
    /// The class.
    #[serde(borrow)]
    pub storage_class_name: Option<Text<'a>>,
    /// `Filesystem` or `Block`.
    #[serde(borrow)]
    pub volume_mode: Text<'a>,
    /// The class of attributes.
    #[serde(borrow)]
    pub volume_attributes_class_name: Option<Text<'a>>,
}

/// `status` of a claim or volume.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Phase<'a> {
    /// The phase.
    #[serde(borrow)]
    pub phase: Text<'a>,
}

/// A volume.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PersistentVolume<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// What it is.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: PersistentVolumeSpec<'a>,
    /// How it is.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub status: Phase<'a>,
}

/// `spec` of a volume.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeSpec<'a> {
    /// The size.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub capacity: Map<'a>,
    /// How it can be mounted.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub access_modes: Vec<Text<'a>>,
    /// The claim that it belongs to.
    #[serde(borrow)]
    pub claim_ref: Option<ClaimReference<'a>>,
    /// The class.
    #[serde(borrow)]
    pub storage_class_name: Text<'a>,
    /// `Filesystem` or `Block`.
    #[serde(borrow)]
    pub volume_mode: Text<'a>,
    /// The class of attributes.
    #[serde(borrow)]
    pub volume_attributes_class_name: Option<Text<'a>>,
    /// Nodes that reach it.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub node_affinity: VolumeNodeAffinity<'a>,
    /// A volume of a CSI driver.
    #[serde(borrow)]
    pub csi: Option<CsiSource<'a>>,
    /// A disk of a cloud.
    pub gce_persistent_disk: Option<IgnoredAny>,
    /// A disk of a cloud.
    pub aws_elastic_block_store: Option<IgnoredAny>,
    /// A disk of a cloud.
    pub azure_disk: Option<IgnoredAny>,
    /// A disk of a cloud.
    pub cinder: Option<IgnoredAny>,
    /// A volume of Portworx.
    pub portworx_volume: Option<IgnoredAny>,
}

/// Nodes that reach a volume.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeNodeAffinity<'a> {
    /// What the node must match.
    #[serde(borrow)]
    pub required: Option<NodeSelector<'a>>,
}

/// Names a claim.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClaimReference<'a> {
    /// Namespace.
    #[serde(borrow)]
    pub namespace: Text<'a>,
    /// Name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Uid.
    #[serde(borrow)]
    pub uid: Text<'a>,
}

/// A volume of a CSI driver.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiSource<'a> {
    /// The driver.
    #[serde(borrow)]
    pub driver: Text<'a>,
    /// The driver's name of it.
    #[serde(borrow)]
    pub volume_handle: Text<'a>,
}

/// A class of volumes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageClass<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// Who makes volumes.
    #[serde(borrow)]
    pub provisioner: Text<'a>,
    /// `Immediate` or `WaitForFirstConsumer`.
    #[serde(borrow)]
    pub volume_binding_mode: Option<Text<'a>>,
    /// Where volumes can be made.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub allowed_topologies: Vec<TopologySelectorTerm<'a>>,
}

/// Labels that a node must have.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySelectorTerm<'a> {
    /// All of these.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub match_label_expressions: Vec<TopologyRequirement<'a>>,
}

/// A label with one of some values.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TopologyRequirement<'a> {
    /// The label.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// The values.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub values: Vec<Text<'a>>,
}

/// What CSI drivers tell of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiNode<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// The drivers.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: CsiNodeSpec<'a>,
}

/// `spec` of a CSINode.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiNodeSpec<'a> {
    /// The drivers.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub drivers: Vec<CsiNodeDriver<'a>>,
}

/// A driver on a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiNodeDriver<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// How many volumes the node can have.
    #[serde(deserialize_with = "null_is_default")]
    pub allocatable: VolumeCount,
}

/// How many volumes a node can have.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeCount {
    /// That many.
    pub count: Option<i64>,
}

/// A CSI driver.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiDriver<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// What it can do.
    #[serde(deserialize_with = "null_is_default")]
    pub spec: CsiDriverSpec,
}

/// `spec` of a CSI driver.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiDriverSpec {
    /// Whether it tells how much room there is.
    pub storage_capacity: Option<bool>,
}

/// How much room there is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiStorageCapacity<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// For which class.
    #[serde(borrow)]
    pub storage_class_name: Text<'a>,
    /// For which nodes.
    #[serde(borrow)]
    pub node_topology: Option<LabelSelector<'a>>,
    /// In all.
    #[serde(borrow)]
    pub capacity: Option<Text<'a>>,
    /// For one volume.
    #[serde(borrow)]
    pub maximum_volume_size: Option<Text<'a>>,
}

/// A volume that is attached to a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeAttachment<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// What is attached where.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: VolumeAttachmentSpec<'a>,
}

/// `spec` of an attachment.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeAttachmentSpec<'a> {
    /// The driver.
    #[serde(borrow)]
    pub attacher: Text<'a>,
    /// The node.
    #[serde(borrow)]
    pub node_name: Text<'a>,
    /// The volume.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub source: AttachedVolume<'a>,
}

/// The volume of an attachment.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttachedVolume<'a> {
    /// By name.
    #[serde(borrow)]
    pub persistent_volume_name: Option<Text<'a>>,
}

/// A service or replication controller: it selects pods by labels.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SelectsByLabels<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// What is wanted.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: LabelsSpec<'a>,
}

/// Its `spec`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LabelsSpec<'a> {
    /// Labels that pods must have.
    #[serde(borrow)]
    pub selector: Option<Map<'a>>,
}

/// A replica set or stateful set: it selects pods by conditions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SelectsByConditions<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// What is wanted.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: ConditionsSpec<'a>,
}

/// Its `spec`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConditionsSpec<'a> {
    /// Conditions on pods.
    #[serde(borrow)]
    pub selector: Option<LabelSelector<'a>>,
}
