//! Pods as the API writes them.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{
    Affinity, Map, ObjectMeta, PodResourceClaim, PodResourceClaimStatus, Text, TopologySpreadConstraint,
    null_is_default,
};

/// A pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: ObjectMeta<'a>,
    /// What is wanted.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: PodSpec<'a>,
    /// How it is.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub status: PodStatus<'a>,
}

/// `spec` of a pod. Fields of type [`IgnoredAny`] are noticed, not read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec<'a> {
    /// Where it is bound; empty while it is not.
    #[serde(borrow)]
    pub node_name: Text<'a>,
    /// Which scheduler is to place it.
    #[serde(borrow)]
    pub scheduler_name: Text<'a>,
    /// Priority, as admission resolved it.
    pub priority: Option<i32>,
    /// `Never` or `PreemptLowerPriority`.
    #[serde(borrow)]
    pub preemption_policy: Option<Text<'a>>,
    /// Containers.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub containers: Vec<Container<'a>>,
    /// Containers that run before, and sidecars.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub init_containers: Vec<Container<'a>>,
    /// Amounts that the pod as a whole asks for.
    #[serde(borrow)]
    pub resources: Option<ResourceRequirements<'a>>,
    /// Amounts that the sandbox around the containers takes.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub overhead: Map<'a>,
    /// Labels that the node must have.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub node_selector: Map<'a>,
    /// Affinities.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub affinity: Affinity<'a>,
    /// Tolerations.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub tolerations: Vec<Toleration<'a>>,
    /// How its kind is to be spread.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint<'a>>,
    /// What keeps it from being scheduled.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub scheduling_gates: Vec<SchedulingGate<'a>>,
    /// Volumes.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub volumes: Vec<Volume<'a>>,
    /// Claims to devices.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub resource_claims: Vec<PodResourceClaim<'a>>,
    /// Whether it shares the node's network.
    pub host_network: Option<bool>,
    /// Whether it shares the node's users, as it does unless this says no.
    pub host_users: Option<bool>,
    /// The group that it is to be scheduled with.
    pub scheduling_group: Option<IgnoredAny>,
    /// The workload object that it is to be scheduled with.
    pub workload_ref: Option<IgnoredAny>,
}

/// A container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container<'a> {
    /// Name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Image.
    #[serde(borrow)]
    pub image: Text<'a>,
    /// Amounts.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub resources: ResourceRequirements<'a>,
    /// Ports.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub ports: Vec<ContainerPort<'a>>,
    /// `Always` makes an init container a sidecar.
    #[serde(borrow)]
    pub restart_policy: Option<Text<'a>>,
    /// What becomes of the pod by how the container ends.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub restart_policy_rules: Vec<RestartPolicyRule<'a>>,
}

/// A rule of restarting.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RestartPolicyRule<'a> {
    /// `Restart`, `RestartAllContainers`.
    #[serde(borrow)]
    pub action: Text<'a>,
}

/// Amounts asked for. Limits do not count: admission copies them to the requests that are left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceRequirements<'a> {
    /// What is set aside.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub requests: Map<'a>,
    /// What must not be exceeded.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub limits: Map<'a>,
}

/// A port of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerPort<'a> {
    /// Port on the node; 0 for none.
    #[serde(rename = "hostPort", deserialize_with = "null_is_default")]
    pub host_port: i32,
    /// Address on the node; empty for all.
    #[serde(borrow, rename = "hostIP")]
    pub host_ip: Text<'a>,
    /// `TCP` (also when empty), `UDP` or `SCTP`.
    #[serde(borrow)]
    pub protocol: Text<'a>,
}

/// A toleration.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration<'a> {
    /// Key; empty for all.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// `Equal` (also when empty) or `Exists`.
    #[serde(borrow)]
    pub operator: Text<'a>,
    /// Value.
    #[serde(borrow)]
    pub value: Text<'a>,
    /// Effect; empty for all.
    #[serde(borrow)]
    pub effect: Text<'a>,
}

/// What keeps a pod from being scheduled.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SchedulingGate<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Text<'a>,
}

/// A volume: only the kinds that bear on the choice of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume<'a> {
    /// Name within the pod.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// A claim.
    #[serde(borrow)]
    pub persistent_volume_claim: Option<ClaimSource<'a>>,
    /// A claim made for the pod.
    pub ephemeral: Option<IgnoredAny>,
    /// Content of an image.
    #[serde(borrow)]
    pub image: Option<ImageSource<'a>>,
    /// A disk of Google Compute Engine.
    #[serde(borrow)]
    pub gce_persistent_disk: Option<DiskSource<'a>>,
    /// A volume of Amazon Elastic Block Store.
    #[serde(borrow)]
    pub aws_elastic_block_store: Option<DiskSource<'a>>,
    /// A disk of Azure.
    #[serde(borrow)]
    pub azure_disk: Option<DiskSource<'a>>,
    /// A volume of OpenStack.
    #[serde(borrow)]
    pub cinder: Option<DiskSource<'a>>,
    /// A volume of Portworx.
    #[serde(borrow)]
    pub portworx_volume: Option<DiskSource<'a>>,
    /// An image of Ceph.
    #[serde(borrow)]
    pub rbd: Option<DiskSource<'a>>,
    /// A block device over the network.
    #[serde(borrow)]
    pub iscsi: Option<DiskSource<'a>>,
}

/// A disk by name: the fields of all kinds, of which one kind has some.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DiskSource<'a> {
    /// Name of a disk of Google Compute Engine.
    #[serde(borrow)]
    pub pd_name: Text<'a>,
    /// Id of a volume of a cloud.
    #[serde(borrow, rename = "volumeID")]
    pub volume_id: Text<'a>,
    /// URI of a disk of Azure.
    #[serde(borrow, rename = "diskURI")]
    pub disk_uri: Text<'a>,
    /// Monitors of Ceph.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub monitors: Vec<Text<'a>>,
    /// Pool of Ceph.
    #[serde(borrow)]
    pub pool: Text<'a>,
    /// Image of Ceph.
    #[serde(borrow)]
    pub image: Text<'a>,
    /// Target of a block device over the network.
    #[serde(borrow)]
    pub iqn: Text<'a>,
    /// Whether it is only read.
    #[serde(deserialize_with = "null_is_default")]
    pub read_only: bool,
}

/// A claim by name.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSource<'a> {
    /// Name of the claim.
    #[serde(borrow)]
    pub claim_name: Text<'a>,
}

/// An image by name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageSource<'a> {
    /// The image.
    #[serde(borrow)]
    pub reference: Text<'a>,
}

/// `status` of a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus<'a> {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(borrow)]
    pub phase: Text<'a>,
    /// `Evicted`, `OutOfcpu`, ….
    #[serde(borrow)]
    pub reason: Text<'a>,
    /// Where preemption makes room for it.
    #[serde(borrow)]
    pub nominated_node_name: Text<'a>,
    /// When the kubelet took it on (RFC 3339).
    #[serde(borrow)]
    pub start_time: Option<Text<'a>>,
    /// Conditions.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub conditions: Vec<PodCondition<'a>>,
    /// Containers.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub container_statuses: Vec<ContainerStatus<'a>>,
    /// Init containers.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub init_container_statuses: Vec<ContainerStatus<'a>>,
    /// Claims to devices that were made for it.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub resource_claim_statuses: Vec<PodResourceClaimStatus<'a>>,
    /// Amounts that the pod as a whole has now.
    #[serde(borrow)]
    pub resources: Option<ResourceRequirements<'a>>,
    /// Amounts that the kubelet set aside for the pod as a whole.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub allocated_resources: Map<'a>,
}

/// A condition of a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodCondition<'a> {
    /// `Ready`, `PodScheduled`, ….
    #[serde(borrow)]
    pub r#type: Text<'a>,
    /// `True`, `False` or `Unknown`.
    #[serde(borrow)]
    pub status: Text<'a>,
    /// Why, in a word.
    #[serde(borrow)]
    pub reason: Text<'a>,
}

/// How a container is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus<'a> {
    /// Name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Restarts so far.
    #[serde(deserialize_with = "null_is_default")]
    pub restart_count: i64,
    /// Now.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub state: ContainerState<'a>,
    /// Before the last restart.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub last_state: ContainerState<'a>,
    /// Amounts that it has now.
    #[serde(borrow)]
    pub resources: Option<ResourceRequirements<'a>>,
    /// Amounts that the kubelet set aside for it.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub allocated_resources: Map<'a>,
}

/// A state of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState<'a> {
    /// Set when it has ended.
    #[serde(borrow)]
    pub terminated: Option<Terminated<'a>>,
    /// Set when it waits.
    #[serde(borrow)]
    pub waiting: Option<Waiting<'a>>,
}

/// How a container ended.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated<'a> {
    /// Exit code.
    #[serde(deserialize_with = "null_is_default")]
    pub exit_code: i32,
    /// `OOMKilled`, `Error`, `Completed`, ….
    #[serde(borrow)]
    pub reason: Text<'a>,
    /// When (RFC 3339).
    #[serde(borrow)]
    pub finished_at: Option<Text<'a>>,
}

/// What a container waits for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Waiting<'a> {
    /// `CrashLoopBackOff`, `ImagePullBackOff`, ….
    #[serde(borrow)]
    pub reason: Text<'a>,
}
