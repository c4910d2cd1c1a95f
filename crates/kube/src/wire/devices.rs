//! Claims to devices, slices of pools of devices and classes of devices (`resource.k8s.io/v1`) as the API writes them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Map, NodeSelector, RelatedMeta, Text, null_is_default};

/// A claim to devices.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceClaim<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// What is wanted.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: ResourceClaimSpec<'a>,
    /// How it is.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub status: ResourceClaimStatus<'a>,
}

/// `spec` of a claim.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceClaimSpec<'a> {
    /// The devices.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub devices: DeviceClaim<'a>,
}

/// Which devices are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceClaim<'a> {
    /// Requests.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub requests: Vec<DeviceRequest<'a>>,
    /// Conditions on all of them together.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub constraints: Vec<DeviceConstraint<'a>>,
    /// Parameters for drivers.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub config: Vec<DeviceConfig<'a>>,
}

/// A request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceRequest<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Certain devices.
    #[serde(borrow)]
    pub exactly: Option<ExactRequest<'a>>,
    /// Alternatives, the most wanted first.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub first_available: Vec<ExactRequest<'a>>,
}

/// Certain devices. `name` is set in alternatives.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExactRequest<'a> {
    /// Name of an alternative.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Class.
    #[serde(borrow)]
    pub device_class_name: Text<'a>,
    /// Conditions.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub selectors: Vec<DeviceSelector<'a>>,
    /// `ExactCount` or `All`.
    #[serde(borrow)]
    pub allocation_mode: Text<'a>,
    /// How many.
    pub count: Option<i64>,
    /// Whether for administration.
    pub admin_access: Option<bool>,
    /// Taints that are borne.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub tolerations: Vec<DeviceToleration<'a>>,
    /// Shares of capacities.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub capacity: CapacityRequirements<'a>,
}

/// Shares of capacities.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CapacityRequirements<'a> {
    /// Amounts by name.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub requests: Map<'a>,
}

/// A condition on devices.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceSelector<'a> {
    /// In the Common Expression Language.
    #[serde(borrow)]
    pub cel: Option<CelSelector<'a>>,
}

/// An expression.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CelSelector<'a> {
    /// The expression.
    #[serde(borrow)]
    pub expression: Text<'a>,
}

/// A toleration of device taints.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceToleration<'a> {
    /// Key.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// `Exists` or `Equal`.
    #[serde(borrow)]
    pub operator: Text<'a>,
    /// Value.
    #[serde(borrow)]
    pub value: Text<'a>,
    /// Effect.
    #[serde(borrow)]
    pub effect: Text<'a>,
    /// How long.
    pub toleration_seconds: Option<i64>,
}

/// A condition on a claim's devices together.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceConstraint<'a> {
    /// Requests that are concerned.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub requests: Vec<Text<'a>>,
    /// An attribute that all have in common.
    #[serde(borrow)]
    pub match_attribute: Option<Text<'a>>,
    /// An attribute that is different on each.
    #[serde(borrow)]
    pub distinct_attribute: Option<Text<'a>>,
}

/// Parameters for drivers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceConfig<'a> {
    /// `FromClass` or `FromClaim`, in an allocation.
    #[serde(borrow)]
    pub source: Text<'a>,
    /// Requests that are concerned.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub requests: Vec<Text<'a>>,
    /// The parameters.
    #[serde(borrow)]
    pub opaque: Option<&'a RawValue>,
}

/// `status` of a claim.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceClaimStatus<'a> {
    /// The devices that it has.
    #[serde(borrow)]
    pub allocation: Option<Allocation<'a>>,
    /// For whom it is reserved.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub reserved_for: Vec<Consumer<'a>>,
    /// What drivers tell of devices.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub devices: Vec<DeviceStatus<'a>>,
}

/// Who uses a claim.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Consumer<'a> {
    /// Uid.
    #[serde(borrow)]
    pub uid: Text<'a>,
}

/// What a driver tells of a device.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceStatus<'a> {
    /// Driver.
    #[serde(borrow)]
    pub driver: Text<'a>,
    /// Pool.
    #[serde(borrow)]
    pub pool: Text<'a>,
    /// Device.
    #[serde(borrow)]
    pub device: Text<'a>,
    /// Conditions.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub conditions: Vec<super::PodCondition<'a>>,
}

/// The devices that a claim has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Allocation<'a> {
    /// The devices.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub devices: AllocatedDevices<'a>,
    /// Nodes that reach them.
    #[serde(borrow)]
    pub node_selector: Option<NodeSelector<'a>>,
    /// When it was made.
    #[serde(borrow)]
    pub allocation_timestamp: Option<Text<'a>>,
}

/// Devices of an allocation. Its parameters are not read: they are the drivers' business.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AllocatedDevices<'a> {
    /// One by one.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub results: Vec<AllocatedDevice<'a>>,
}

/// A device of an allocation.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllocatedDevice<'a> {
    /// Request, or `request/alternative`.
    #[serde(borrow)]
    pub request: Text<'a>,
    /// Driver.
    #[serde(borrow)]
    pub driver: Text<'a>,
    /// Pool.
    #[serde(borrow)]
    pub pool: Text<'a>,
    /// Device.
    #[serde(borrow)]
    pub device: Text<'a>,
    /// Whether for administration.
    pub admin_access: Option<bool>,
    /// Conditions before a pod is bound.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub binding_conditions: Vec<Text<'a>>,
    /// Conditions that say that they will not be met.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub binding_failure_conditions: Vec<Text<'a>>,
    /// Tells shares apart.
    #[serde(borrow, rename = "shareID")]
    pub share_id: Option<Text<'a>>,
    /// What is taken of capacities.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub consumed_capacity: Map<'a>,
}

/// A part of a pool.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceSlice<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// Its devices.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: ResourceSliceSpec<'a>,
}

/// `spec` of a slice.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceSliceSpec<'a> {
    /// Driver.
    #[serde(borrow)]
    pub driver: Text<'a>,
    /// Pool.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub pool: ResourcePool<'a>,
    /// The node that reaches the devices.
    #[serde(borrow)]
    pub node_name: Text<'a>,
    /// Nodes that reach them.
    #[serde(borrow)]
    pub node_selector: Option<NodeSelector<'a>>,
    /// Whether all nodes do.
    pub all_nodes: Option<bool>,
    /// Whether each device tells.
    pub per_device_node_selection: Option<bool>,
    /// Devices.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub devices: Vec<Device<'a>>,
    /// Counters that devices share.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub shared_counters: Vec<CounterSet<'a>>,
}

/// Which part of a pool a slice is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourcePool<'a> {
    /// Name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Generation.
    #[serde(deserialize_with = "null_is_default")]
    pub generation: i64,
    /// Slices of the generation.
    #[serde(deserialize_with = "null_is_default")]
    pub resource_slice_count: i64,
}

/// A device.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Device<'a> {
    /// Name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Attributes.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub attributes: std::collections::BTreeMap<Text<'a>, DeviceAttribute<'a>>,
    /// Capacities.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub capacity: std::collections::BTreeMap<Text<'a>, DeviceCapacity<'a>>,
    /// What it takes of counters.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub consumes_counters: Vec<CounterConsumption<'a>>,
    /// The node that reaches it.
    #[serde(borrow)]
    pub node_name: Text<'a>,
    /// Nodes that reach it.
    #[serde(borrow)]
    pub node_selector: Option<NodeSelector<'a>>,
    /// Whether all nodes do.
    pub all_nodes: Option<bool>,
    /// Taints.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub taints: Vec<super::Taint<'a>>,
    /// Whether a claim that gets it is bound to the node.
    pub binds_to_node: Option<bool>,
    /// Conditions before a pod is bound.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub binding_conditions: Vec<Text<'a>>,
    /// Conditions that say that they will not be met.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub binding_failure_conditions: Vec<Text<'a>>,
    /// Whether several claims can have a share.
    pub allow_multiple_allocations: Option<bool>,
}

/// The value of an attribute: one of the fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceAttribute<'a> {
    /// A number.
    pub int: Option<i64>,
    /// A boolean.
    pub bool: Option<bool>,
    /// A text.
    #[serde(borrow)]
    pub string: Option<Text<'a>>,
    /// A semantic version.
    #[serde(borrow)]
    pub version: Option<Text<'a>>,
}

/// A capacity.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceCapacity<'a> {
    /// How much there is.
    #[serde(borrow)]
    pub value: Text<'a>,
    /// How it is shared.
    #[serde(borrow)]
    pub request_policy: Option<RequestPolicy<'a>>,
}

/// How a capacity is shared.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestPolicy<'a> {
    /// What who says nothing takes.
    #[serde(borrow)]
    pub default: Option<Text<'a>>,
    /// Amounts that can be taken.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub valid_values: Vec<Text<'a>>,
    /// Amounts between two bounds.
    #[serde(borrow)]
    pub valid_range: Option<ValidRange<'a>>,
}

/// Amounts between two bounds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ValidRange<'a> {
    /// The least.
    #[serde(borrow)]
    pub min: Option<Text<'a>>,
    /// The most.
    #[serde(borrow)]
    pub max: Option<Text<'a>>,
    /// Between two of them.
    #[serde(borrow)]
    pub step: Option<Text<'a>>,
}

/// A set of counters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CounterSet<'a> {
    /// Name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Counters.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub counters: std::collections::BTreeMap<Text<'a>, Counter<'a>>,
}

/// What a device takes of a set of counters.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CounterConsumption<'a> {
    /// The set.
    #[serde(borrow)]
    pub counter_set: Text<'a>,
    /// Counters.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub counters: std::collections::BTreeMap<Text<'a>, Counter<'a>>,
}

/// A counter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Counter<'a> {
    /// How much.
    #[serde(borrow)]
    pub value: Text<'a>,
}

/// A class of devices.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceClass<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: RelatedMeta<'a>,
    /// What its devices are.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: DeviceClassSpec<'a>,
}

/// `spec` of a class.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceClassSpec<'a> {
    /// Conditions.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub selectors: Vec<DeviceSelector<'a>>,
    /// Parameters for drivers.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub config: Vec<DeviceConfig<'a>>,
    /// The extended resource that stands for it.
    #[serde(borrow)]
    pub extended_resource_name: Option<Text<'a>>,
}

/// A claim that a pod makes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodResourceClaim<'a> {
    /// Its name in the pod.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// The claim's name.
    #[serde(borrow)]
    pub resource_claim_name: Option<Text<'a>>,
    /// The template from which it is made.
    #[serde(borrow)]
    pub resource_claim_template_name: Option<Text<'a>>,
}

/// A claim that was made for a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodResourceClaimStatus<'a> {
    /// Its name in the pod.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// The claim's name.
    #[serde(borrow)]
    pub resource_claim_name: Option<Text<'a>>,
}
