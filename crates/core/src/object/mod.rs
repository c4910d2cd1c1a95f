//! Nodes and pods as the decision sees them: parsed once at the border, with only what bears on a decision.
//!
//! Start at [`Pod`] and [`Node`]. What pods made from one template share is in [`PodSpec`], which the cluster state
//! keeps once; names and labels are shared strings.

mod affinity;
mod budget;
mod devices;
mod labels;
mod related;
mod requests;
mod resources;
mod storage;
mod taint;

use std::sync::Arc;

pub use affinity::{
    NodeAffinity, NodeSelectorTerm, PodAffinities, PodAffinityTerm, PreferredNodeTerm, PreferredPodTerm,
    SpreadConstraint, WhenUnsatisfiable,
};
pub use budget::DisruptionBudget;
pub use devices::{
    AllocatedDevice, Amount, AttributeValue, CLASS_RESOURCE, ClaimAllocation, ClaimOrigin, ConstraintKind, CounterSet,
    Counters, Device, DeviceAllocation, DeviceAttribute, DeviceCapacity, DeviceClass, DeviceConfig, DeviceConstraint,
    DeviceId, DeviceRequest, DeviceSelector, DeviceTaint, DeviceToleration, ExactRequest, ExtendedClaim,
    ExtendedRequest, MOST_CONSUMERS, PodClaimRef, PodDevices, PoolId, QualifiedName, Reach, RequestPolicy,
    ResourceClaim, ResourceSlice, ValidRange, WrittenRequirement, WrittenSelector, WrittenTerm, is_extended_resource,
};
pub use labels::Labels;
pub use related::{PodSelector, Related, RelatedKey, RelatedKind, Selects};
pub use requests::{ContainerResources, PodRequests, PodResources, ResourceList, StatusResources};
pub use resources::{ResourceName, Resources};
pub use storage::{
    AccessModes, BindingMode, ClaimRef, CsiDriver, CsiNode, CsiStorageCapacity, Disk, InTree, PersistentVolume,
    PersistentVolumeClaim, PodVolumes, StaticBinding, StorageClass, TopologyTerm, UnboundClaim, VolumeAttachment,
    VolumeSource,
};
pub use taint::{Effect, Taint, Toleration, TolerationOperator};

pub use crate::cache::NodeName;
pub use crate::queue::PodUid;
use crate::time::Timestamp;
use crate::units::Bytes;

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its labels.
    pub labels: Labels,
    /// Its taints, in the order of the object.
    pub taints: Vec<Taint>,
    /// Whether it is cordoned (`spec.unschedulable`).
    pub unschedulable: bool,
    /// What its pods may request together.
    pub allocatable: Resources,
    /// How many pods it may hold (`allocatable.pods`).
    pub allowed_pods: i64,
    /// Whether its `Ready` condition is true. Bears on the score; what keeps pods away from a node that is not ready is
    /// its taint.
    pub ready: bool,
    /// Images it has.
    pub images: Vec<NodeImage>,
    /// Optional features that its kubelet declares (`status.declaredFeatures`), sorted.
    pub declared_features: Vec<Arc<str>>,
}

/// An image on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeImage {
    /// All names it goes by, as the node reports them.
    pub names: Vec<Arc<str>>,
    /// Its size.
    pub size: Bytes,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Accepted; not all containers have started.
    #[default]
    Pending,
    /// On its node, at least one container runs.
    Running,
    /// Every container ended well. It holds nothing any more.
    Succeeded,
    /// Every container ended, some badly. It holds nothing any more.
    Failed,
    /// Its node does not answer.
    Unknown,
}

impl Phase {
    /// Whether the pod has come to its end and holds no resources.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

/// What a pod belongs to, after following a ReplicaSet to its Deployment where the name tells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkloadRef {
    /// Kind, such as `Deployment`.
    pub kind: Arc<str>,
    /// Name in the pod's namespace.
    pub name: Arc<str>,
}

/// The controller of a pod, where it says by a selector which pods are alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ControllerRef {
    /// A replication controller of this name.
    ReplicationController(Arc<str>),
    /// A replica set of this name.
    ReplicaSet(Arc<str>),
    /// A stateful set of this name.
    StatefulSet(Arc<str>),
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its uid.
    pub uid: PodUid,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// `metadata.generation`: which version of its spec this is; 0 where the API server does not count.
    pub generation: u32,
    /// What it wants; equal for all pods of a template.
    pub spec: Arc<PodSpec>,
    /// The node it is bound to.
    pub node: Option<NodeName>,
    /// The node on which preemption makes room for it.
    pub nominated_node: Option<NodeName>,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When its node took it on.
    pub started: Option<Timestamp>,
    /// Whether its deletion was asked for.
    pub terminating: bool,
    /// Whether that was to make room for another pod (condition `DisruptionTarget` with the reason
    /// `PreemptionByScheduler`).
    pub preempted: bool,
    /// What it belongs to.
    pub workload: Option<WorkloadRef>,
    /// What controls it, if that is of a kind that says which pods are alike.
    pub controller: Option<ControllerRef>,
    /// What it holds where that differs from the spec, during a resize in place.
    pub resized: Option<Box<PodRequests>>,
    /// Claims to devices that were made for it, by its own name of each (`status.resourceClaimStatuses`); `None` for one
    /// that turned out not to be needed.
    pub generated_claims: Vec<(Arc<str>, Option<Arc<str>>)>,
}

impl Pod {
    /// A pending pod without labels or owner.
    #[must_use]
    pub fn new(uid: &str, namespace: &str, name: &str, spec: Arc<PodSpec>) -> Pod {
        Pod {
            uid: uid.into(),
            namespace: namespace.into(),
            name: name.into(),
            labels: Labels::default(),
            generation: 0,
            spec,
            node: None,
            nominated_node: None,
            phase: Phase::Pending,
            created: None,
            started: None,
            terminating: false,
            preempted: false,
            workload: None,
            controller: None,
            resized: None,
            generated_claims: Vec::new(),
        }
    }

    /// What it holds on a node.
    #[must_use]
    pub fn requests(&self) -> &PodRequests {
        self.resized.as_deref().unwrap_or(&self.spec.requests)
    }

    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Whether a pod may evict others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum PreemptionPolicy {
    /// It may.
    #[default]
    PreemptLowerPriority,
    /// It may not.
    Never,
}

/// What a pod wants: the part of its spec that bears on the choice of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PodSpec {
    /// The scheduler that is to place it.
    pub scheduler_name: Arc<str>,
    /// Its priority, resolved.
    pub priority: i32,
    /// Whether it may evict others.
    pub preemption_policy: PreemptionPolicy,
    /// What it requests.
    pub requests: PodRequests,
    /// Labels that the node must have (`nodeSelector`), by key.
    pub node_selector: Labels,
    /// Affinity to nodes.
    pub node_affinity: NodeAffinity,
    /// Affinity to pods and away from them.
    pub pod_affinities: PodAffinities,
    /// How it and its like are to be spread.
    pub spread: Vec<SpreadConstraint>,
    /// Taints that it bears.
    pub tolerations: Vec<Toleration>,
    /// Ports that it occupies on its node.
    pub host_ports: Vec<HostPort>,
    /// Names of the gates that hold it back.
    pub scheduling_gates: Vec<Arc<str>>,
    /// Volumes that bear on the node.
    pub volumes: Vec<PodVolume>,
    /// Claims to devices (`resourceClaims`).
    pub device_claims: Vec<PodClaimRef>,
    /// Extended resources that its containers request, which may stand for devices.
    pub extended: Vec<ExtendedRequest>,
    /// Images of its init containers, containers and image volumes, as written.
    pub images: Vec<Arc<str>>,
    /// How many of the images belong to containers of any kind, and not to volumes.
    pub image_containers: u32,
    /// Optional kubelet features without which it cannot run, sorted.
    pub required_features: Vec<Arc<str>>,
    /// What the border found in the spec that bears on the node and that nothing here represents, by name.
    pub not_understood: Vec<Arc<str>>,
}

/// A port that a pod occupies on its node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The address; empty means all.
    pub ip: Arc<str>,
    /// The protocol.
    pub protocol: Protocol,
    /// The port, above zero.
    pub port: i32,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, also when the object leaves it out.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl HostPort {
    /// Whether both cannot be on one node.
    #[must_use]
    pub fn conflicts_with(&self, other: &HostPort) -> bool {
        fn any(ip: &str) -> bool {
            ip.is_empty() || ip == "0.0.0.0"
        }
        self.port == other.port
            && self.protocol == other.protocol
            && (any(&self.ip) || any(&other.ip) || self.ip == other.ip)
    }
}

/// A volume that bears on the choice of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PodVolume {
    /// A claim of this name.
    Claim(Arc<str>),
    /// A claim that is made for the pod, for the volume of this name.
    EphemeralClaim(Arc<str>),
    /// A disk named in the pod, which it may have to have for itself or which counts against a node's limit.
    Disk(Disk),
}
