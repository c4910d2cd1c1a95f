//! Devices as the decision sees them: claims, slices of pools, classes (`resource.k8s.io/v1`), and what a decision allocates.
//!
//! All are parsed at the border and shared; [`Related`](super::Related) is one of any kind.

use std::fmt;
use std::sync::Arc;

use augur_notation::Quantity;

use super::{Labels, NodeName, NodeSelectorTerm, RelatedKey};
use crate::cel::Program;
use crate::queue::PodUid;
use crate::time::Timestamp;

/// The name of an attribute or capacity: an identifier, with or without a domain in front. Without one it belongs to the driver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QualifiedName(Arc<str>);

impl QualifiedName {
    /// The domain, if the name has one.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.0.split_once('/').map(|(domain, _)| domain)
    }

    /// The identifier.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(_, id)| id)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for QualifiedName {
    fn from(name: &str) -> QualifiedName {
        QualifiedName(name.into())
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a value of that type")]
pub enum AttributeValue {
    Int(i64),
    Bool(bool),
    Text(Arc<str>),
    /// A semantic version, as written.
    Version(Arc<str>),
    /// Nothing that kube-scheduler 1.36 understands by default, such as a list.
    Unsupported,
}

/// An attribute of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAttribute {
    /// Its name.
    pub name: QualifiedName,
    /// What it says.
    pub value: AttributeValue,
}

/// How requests for a share of a capacity are rounded and what they may be (`requestPolicy`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestPolicy {
    /// What a request that says nothing takes.
    pub default: Option<Quantity>,
    /// Amounts that can be taken, ascending; empty for no such rule.
    pub valid_values: Vec<Quantity>,
    /// Amounts between two bounds.
    pub valid_range: Option<ValidRange>,
}

/// Amounts that can be taken: from the least on, in steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ValidRange {
    /// The least.
    pub min: Option<Quantity>,
    /// The most.
    pub max: Option<Quantity>,
    /// What lies between two of them.
    pub step: Option<Quantity>,
}

/// A capacity of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCapacity {
    /// Its name.
    pub name: QualifiedName,
    /// How much there is.
    pub value: Quantity,
    /// How it is shared, if the device can be allocated several times.
    pub policy: Option<RequestPolicy>,
}

/// Amounts by name.
pub type Counters = Vec<(Arc<str>, Quantity)>;

/// What a device takes of a set of shared counters, or what such a set holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterSet {
    /// The set's name in its pool.
    pub name: Arc<str>,
    /// Amounts.
    pub counters: Counters,
}

/// A taint of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceTaint {
    /// Key.
    pub key: Arc<str>,
    /// Value.
    pub value: Arc<str>,
    /// Effect; `NoSchedule` and `NoExecute` keep claims away, others do not.
    pub effect: Arc<str>,
}

/// A toleration of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceToleration {
    /// Key; empty for all.
    pub key: Arc<str>,
    /// `Equal`, which is also meant by nothing, or `Exists`.
    pub operator: Arc<str>,
    /// Value, for `Equal`.
    pub value: Arc<str>,
    /// Effect; empty for all.
    pub effect: Arc<str>,
    /// How long a `NoExecute` taint is borne, in seconds, as written.
    pub seconds: Option<i64>,
}

impl DeviceToleration {
    /// Whether it bears the taint.
    #[must_use]
    pub fn tolerates(&self, taint: &DeviceTaint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && match &*self.operator {
                "" | "Equal" => self.value == taint.value,
                "Exists" => true,
                _ => false,
            }
    }
}

/// A condition of a node selector as it is written: key, operator, values.
pub type WrittenRequirement = (Arc<str>, Arc<str>, Vec<Arc<str>>);

/// A node selector that is also written out again, into allocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenSelector {
    /// One of these must match.
    terms: Vec<NodeSelectorTerm>,
    written: Vec<WrittenTerm>,
}

/// A term of a node selector as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenTerm {
    /// `matchExpressions`.
    pub expressions: Vec<WrittenRequirement>,
    /// `matchFields`.
    pub fields: Vec<WrittenRequirement>,
}

impl WrittenSelector {
    /// The selector of these terms.
    #[must_use]
    pub fn new(written: Vec<WrittenTerm>) -> WrittenSelector {
        fn requirements(list: &[WrittenRequirement]) -> impl Iterator<Item = (&str, &str, Vec<&str>)> {
            list.iter().map(|(key, operator, values)| (&**key, &**operator, values.iter().map(|v| &**v).collect()))
        }
        let term =
            |term: &WrittenTerm| NodeSelectorTerm::new(requirements(&term.expressions), requirements(&term.fields));
        WrittenSelector { terms: written.iter().map(term).collect(), written }
    }

    /// The selector of one node by its name.
    #[must_use]
    pub fn of_node(name: &NodeName) -> WrittenSelector {
        let fields = vec![("metadata.name".into(), "In".into(), vec![name.clone()])];
        WrittenSelector::new(vec![WrittenTerm { expressions: Vec::new(), fields }])
    }

    /// Whether a node of this name and these labels matches.
    #[must_use]
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        self.terms.iter().any(|term| term.matches(name, labels))
    }

    /// Its terms as they are written.
    #[must_use]
    pub fn written(&self) -> &[WrittenTerm] {
        &self.written
    }

    /// Why a term cannot be read.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.terms.iter().find_map(NodeSelectorTerm::error)
    }
}

/// From which nodes something can be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reach {
    /// From none: nothing was said that is understood.
    #[default]
    Nowhere,
    /// From the node of this name.
    Node(NodeName),
    /// From all nodes.
    Everywhere,
    /// From nodes that match.
    Selected(WrittenSelector),
    /// Each device says it for itself.
    PerDevice,
}

impl Reach {
    /// Whether the node is among them.
    #[must_use]
    pub fn contains(&self, node: &str, labels: &Labels) -> bool {
        match self {
            Reach::Nowhere | Reach::PerDevice => false,
            Reach::Node(name) => &**name == node,
            Reach::Everywhere => true,
            Reach::Selected(selector) => selector.matches(node, labels),
        }
    }
}

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// Its name in its pool.
    pub name: Arc<str>,
    /// Its attributes.
    pub attributes: Vec<DeviceAttribute>,
    /// Its capacities.
    pub capacity: Vec<DeviceCapacity>,
    /// What it takes of counters of its pool.
    pub consumes: Vec<CounterSet>,
    /// From where it can be reached, if its slice leaves that to its devices.
    pub reach: Reach,
    /// Its taints.
    pub taints: Vec<DeviceTaint>,
    /// Whether a claim that gets it is bound to the node.
    pub binds_to_node: bool,
    /// Conditions that must be met before a pod is bound.
    pub binding_conditions: Vec<Arc<str>>,
    /// Conditions that say that they will not be met.
    pub binding_failure_conditions: Vec<Arc<str>>,
    /// Whether several claims can have a share of it.
    pub allow_multiple: bool,
}

/// A pool of devices of a driver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId {
    /// The driver.
    pub driver: Arc<str>,
    /// The pool's name.
    pub pool: Arc<str>,
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.driver, self.pool)
    }
}

/// A part of a pool, as its driver publishes it.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceSlice {
    /// Its name.
    pub name: Arc<str>,
    /// Its pool.
    pub pool: PoolId,
    /// The pool's generation; older ones do not count.
    pub generation: i64,
    /// How many slices the pool has in this generation.
    pub slice_count: i64,
    /// From where its devices can be reached.
    pub reach: Reach,
    /// Its devices.
    pub devices: Vec<Device>,
    /// Sets of counters that devices of the pool share. A slice with any has no devices.
    pub counters: Vec<CounterSet>,
}

/// A condition on devices.
#[derive(Debug, Clone)]
pub struct DeviceSelector {
    /// The expression; `None` for a selector of an unknown kind.
    expression: Option<Arc<str>>,
    program: Result<Arc<Program>, Arc<str>>,
}

impl PartialEq for DeviceSelector {
    fn eq(&self, other: &DeviceSelector) -> bool {
        self.expression == other.expression
    }
}

impl DeviceSelector {
    /// The selector of a CEL expression; `None` for one of an unknown kind.
    #[must_use]
    pub fn new(expression: Option<&str>) -> DeviceSelector {
        DeviceSelector {
            expression: expression.map(Into::into),
            program: Program::parse(expression.unwrap_or_default()).map(Arc::new).map_err(Into::into),
        }
    }

    /// Whether it is of a kind that is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.expression.is_some()
    }

    /// Whether the device of the driver matches.
    ///
    /// # Errors
    /// The expression cannot be read or fails; what went wrong.
    pub fn matches(&self, driver: &str, device: &Device) -> Result<bool, String> {
        match &self.program {
            Ok(program) => program.matches(driver, device).map_err(|error| format!("CEL runtime error: {error}")),
            Err(error) => Err(format!("CEL compile error: {error}")),
        }
    }
}

/// A class of devices.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceClass {
    /// Its name.
    pub name: Arc<str>,
    /// Conditions that its devices meet.
    pub selectors: Vec<DeviceSelector>,
    /// Parameters for drivers, each an opaque JSON text.
    pub config: Vec<Arc<str>>,
    /// The extended resource that pods can request instead of claiming devices of the class.
    pub extended_resource: Option<Arc<str>>,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// How many devices are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(i64),
    /// All that match.
    All,
    /// A mode of this name, which is not known.
    Unknown(Arc<str>),
}

/// Devices that a claim wants: a request, or one of its alternatives.
#[derive(Debug, Clone, PartialEq)]
pub struct ExactRequest {
    /// Its name; of an alternative, within its request.
    pub name: Arc<str>,
    /// The class.
    pub class: Arc<str>,
    /// Conditions.
    pub selectors: Vec<DeviceSelector>,
    /// How many.
    pub amount: Amount,
    /// Whether devices are wanted for administration, even those that others have; `None` if it says nothing.
    pub admin_access: Option<bool>,
    /// Taints that are borne.
    pub tolerations: Vec<DeviceToleration>,
    /// Shares of capacities that are wanted.
    pub capacity: Vec<(QualifiedName, Quantity)>,
}

/// A request of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum DeviceRequest {
    /// For certain devices.
    Exactly(ExactRequest),
    /// For the first of several alternatives that there is.
    FirstAvailable {
        /// The request's name.
        name: Arc<str>,
        /// The alternatives, the most wanted first.
        alternatives: Vec<ExactRequest>,
    },
    /// Of a kind that is not known.
    Unknown {
        /// The request's name.
        name: Arc<str>,
    },
}

impl DeviceRequest {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        match self {
            DeviceRequest::Exactly(request) => &request.name,
            DeviceRequest::FirstAvailable { name, .. } | DeviceRequest::Unknown { name } => name,
        }
    }
}

/// What is asked of a claim's devices together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstraintKind {
    /// An attribute has the same value on all.
    Match,
    /// An attribute has another value on each.
    Distinct,
    /// Something that is not known.
    Unknown,
}

/// A condition on a claim's devices together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceConstraint {
    /// What is asked.
    pub kind: ConstraintKind,
    /// The attribute, with its domain.
    pub attribute: Arc<str>,
    /// Requests, or alternatives as `request/alternative`, that are concerned; empty for all.
    pub requests: Vec<Arc<str>>,
}

/// Parameters for a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Whether they come from a class and not from the claim.
    pub from_class: bool,
    /// Requests that are concerned; empty for all.
    pub requests: Vec<Arc<str>>,
    /// The parameters, an opaque JSON text.
    pub parameters: Arc<str>,
}

/// A device in an allocation.
#[derive(Debug, Clone, PartialEq)]
pub struct AllocatedDevice {
    /// The request, or `request/alternative`.
    pub request: Arc<str>,
    /// The device.
    pub id: DeviceId,
    /// Whether it is for administration, so that it is not taken from others.
    pub admin_access: Option<bool>,
    /// Taints that are borne.
    pub tolerations: Vec<DeviceToleration>,
    /// Conditions that must be met before a pod is bound.
    pub binding_conditions: Vec<Arc<str>>,
    /// Conditions that say that they will not be met.
    pub binding_failure_conditions: Vec<Arc<str>>,
    /// Tells shares of a device apart; of devices that are not shared, nothing.
    pub share: Option<Arc<str>>,
    /// What is taken of its capacities.
    pub consumed: Vec<(QualifiedName, Quantity)>,
}

/// A device by driver, pool and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    /// Driver and pool.
    pub pool: PoolId,
    /// Its name in the pool.
    pub device: Arc<str>,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.device)
    }
}

/// The devices that a claim has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceAllocation {
    /// The devices.
    pub devices: Vec<AllocatedDevice>,
    /// Parameters for drivers.
    pub config: Vec<DeviceConfig>,
    /// Nodes from which all can be reached; `None` for all nodes.
    pub nodes: Option<WrittenSelector>,
    /// When it was made.
    pub at: Option<Timestamp>,
}

/// A claim to devices.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceClaim {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Arc<str>,
    /// Uid of the object that controls it.
    pub controller: Option<Arc<str>>,
    /// Whether it was made for the extended resources of the pod that controls it.
    pub for_extended_resources: bool,
    /// Whether its deletion was asked for.
    pub terminating: bool,
    /// What is wanted.
    pub requests: Vec<DeviceRequest>,
    /// Conditions on the devices together.
    pub constraints: Vec<DeviceConstraint>,
    /// Parameters for drivers.
    pub config: Vec<DeviceConfig>,
    /// The devices that it has.
    pub allocation: Option<DeviceAllocation>,
    /// Uids of those for which it is reserved.
    pub reserved_for: Vec<Arc<str>>,
    /// Conditions that drivers tell of its devices and that are true.
    pub conditions: Vec<(DeviceId, Arc<str>)>,
}

/// How many pods a claim can be reserved for at once.
pub const MOST_CONSUMERS: usize = 256;

impl ResourceClaim {
    /// Its name among claims.
    #[must_use]
    pub fn key(&self) -> RelatedKey {
        RelatedKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// Whether it is reserved for the pod.
    #[must_use]
    pub fn is_reserved_for(&self, pod: &PodUid) -> bool {
        self.reserved_for.contains(pod)
    }
}

/// Where the claim of a pod comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClaimOrigin {
    /// It has this name.
    Named(Arc<str>),
    /// It is made for the pod.
    Template,
    /// It is told in a way that is not known.
    Unknown,
}

/// A claim that a pod makes (`spec.resourceClaims`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodClaimRef {
    /// Its name in the pod.
    pub name: Arc<str>,
    /// Where it comes from.
    pub origin: ClaimOrigin,
}

/// An extended resource that a container requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExtendedRequest {
    /// The container's place among init containers and containers.
    pub container: usize,
    /// The container's name.
    pub container_name: Arc<str>,
    /// Whether it ends before others begin: an init container that is no sidecar.
    pub short_lived: bool,
    /// The resource.
    pub resource: Arc<str>,
    /// Its place among the names of all that the container requests, sorted.
    pub place: usize,
    /// How much.
    pub amount: i64,
}

/// What a decision allocates to the claims of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodDevices {
    /// Claims that get devices.
    pub allocations: Vec<ClaimAllocation>,
    /// Claims that have devices already, and are to be reserved for the pod.
    pub reservations: Vec<RelatedKey>,
    /// The claim that is to be made for the pod's extended resources, with what it gets.
    pub extended: Option<ExtendedClaim>,
}

impl PodDevices {
    /// Whether nothing has to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allocations.is_empty() && self.reservations.is_empty() && self.extended.is_none()
    }
}

/// A claim with the devices that it gets.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimAllocation {
    /// The claim.
    pub claim: RelatedKey,
    /// Its uid.
    pub uid: Arc<str>,
    /// Its devices.
    pub allocation: DeviceAllocation,
}

/// A claim that is made for extended resources.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtendedClaim {
    /// What it wants.
    pub requests: Vec<ExactRequest>,
    /// Its devices.
    pub allocation: DeviceAllocation,
    /// Container, resource and request that belong together.
    pub mappings: Vec<(Arc<str>, Arc<str>, Arc<str>)>,
}

/// Whether a resource of this name can stand for devices: one beyond those of Kubernetes itself, or one of a class.
#[must_use]
pub fn is_extended_resource(name: &str) -> bool {
    name.starts_with(CLASS_RESOURCE)
        || (name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests."))
}

/// What the extended resources of classes begin with; the class's name follows.
pub const CLASS_RESOURCE: &str = "deviceclass.resource.kubernetes.io/";
