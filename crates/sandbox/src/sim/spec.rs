//! What the simulation is told: nodes and the pods bound to them, in plain units.
//! Start at [`NodeSpec`] and [`PodSpec`]; how a pod behaves is its [`Behaviour`].

use std::collections::BTreeMap;
use std::sync::Arc;

use augur_notation::Requirement;

use super::shape::Shape;

/// Milliseconds; a point in time counts them from the Unix epoch.
pub type Millis = i64;

/// One mebibyte in bytes.
pub const MIB: i64 = 1 << 20;

/// One gibibyte in bytes.
pub const GIB: i64 = 1 << 30;

/// Amounts of what pods ask for and nodes have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_milli: i64,
    /// Bytes.
    pub memory: i64,
    /// Everything else by name, such as `nvidia.com/gpu`, in whole units.
    pub extended: Vec<(Arc<str>, i64)>,
}

impl Resources {
    /// The amount of an extended resource; 0 when there is none.
    #[must_use]
    pub fn extended(&self, name: &str) -> i64 {
        self.extended.iter().find(|(n, _)| &**n == name).map_or(0, |(_, amount)| *amount)
    }

    /// Adds `other`, `sign` times.
    pub fn add(&mut self, other: &Resources, sign: i64) {
        self.cpu_milli += sign * other.cpu_milli;
        self.memory += sign * other.memory;
        for (name, amount) in &other.extended {
            match self.extended.iter_mut().find(|(n, _)| n == name) {
                Some((_, mine)) => *mine += sign * amount,
                None => self.extended.push((name.clone(), sign * amount)),
            }
        }
    }

    /// Raises every amount to at least that of `other`.
    pub fn raise(&mut self, other: &Resources) {
        self.cpu_milli = self.cpu_milli.max(other.cpu_milli);
        self.memory = self.memory.max(other.memory);
        for (name, amount) in &other.extended {
            match self.extended.iter_mut().find(|(n, _)| n == name) {
                Some((_, mine)) => *mine = (*mine).max(*amount),
                None => self.extended.push((name.clone(), *amount)),
            }
        }
    }
}

/// What a node is like below its specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Character {
    /// Does what it should.
    #[default]
    Healthy,
    /// Pulls and starts take several times as long; logs fill the disk now and then.
    SlowDisk,
    /// System daemons take a growing share of the memory, let go, and start again.
    MemoryStarved,
    /// Loses its network for minutes: no heartbeats, no reports, failing image pulls.
    FlappingNetwork,
    /// Throttles its CPU: slow starts, failing probes, containers that die under load.
    Hot,
}

impl Character {
    /// All characters with the names that scenarios use.
    pub const NAMES: [(&'static str, Character); 5] = [
        ("healthy", Character::Healthy),
        ("slow-disk", Character::SlowDisk),
        ("memory-starved", Character::MemoryStarved),
        ("flapping-network", Character::FlappingNetwork),
        ("hot", Character::Hot),
    ];
}

/// A taint as the node object carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value; empty when there is none.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Name of the node object.
    pub name: Arc<str>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Taints at registration.
    pub taints: Vec<Taint>,
    /// What the machine has.
    pub capacity: Resources,
    /// How many pods the kubelet admits.
    pub pods: i64,
    /// Memory that pods may not request, in bytes.
    pub reserved_memory: i64,
    /// Size of the disk in bytes.
    pub disk: i64,
    /// Images that are there from the start.
    pub images: Vec<String>,
    /// What it is really like.
    pub character: Character,
}

/// Memory that must stay available before the kubelet evicts pods, in bytes (its default, `memory.available<100Mi`).
pub const EVICTION_MEMORY: i64 = 100 * MIB;

impl NodeSpec {
    /// What pods may request.
    #[must_use]
    pub fn allocatable(&self) -> Resources {
        let mut allocatable = self.capacity.clone();
        allocatable.memory = (allocatable.memory - self.reserved_memory).max(0);
        allocatable
    }
}

/// How the load of a pod develops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Archetype {
    /// A service with a daily curve, below its requests.
    #[default]
    Steady,
    /// Mostly idle, with spikes of up to three times its CPU request.
    Bursty,
    /// Works at full load for a while and ends.
    Batch,
    /// Its memory grows until something kills it.
    Leaker,
    /// Exits with an error soon after every start.
    CrashLoop,
    /// Uses several times its CPU request and more memory than it asked for.
    Noisy,
}

impl Archetype {
    /// All archetypes with the names that annotations and scenarios use.
    pub const NAMES: [(&'static str, Archetype); 6] = [
        ("steady", Archetype::Steady),
        ("bursty", Archetype::Bursty),
        ("batch", Archetype::Batch),
        ("leaker", Archetype::Leaker),
        ("crash-loop", Archetype::CrashLoop),
        ("noisy", Archetype::Noisy),
    ];

    /// The name that annotations and scenarios use.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, archetype)| *archetype == self).map_or("steady", |(name, _)| name)
    }
}

/// The archetype of a pod with its numbers; what is `None` is drawn at random within sensible bounds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Behaviour {
    /// How the load develops.
    pub archetype: Archetype,
    /// How long batch work takes on a healthy node.
    pub duration: Option<Millis>,
    /// How long a crash-looping container lives.
    pub crash_after: Option<Millis>,
    /// Bytes per minute that a leaker loses.
    pub leak_per_minute: Option<i64>,
    /// Usual CPU usage as a share of the request.
    pub load: Option<f64>,
    /// Share of batch runs that exit with 1.
    pub failure_rate: f64,
    /// Usage by a shape instead of the archetype's.
    pub shape: Option<Shape>,
}

/// A readiness probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Wait before the first probe.
    pub initial_delay: Millis,
    /// Time between probes.
    pub period: Millis,
    /// Successes in a row that make the container ready.
    pub success_threshold: i64,
}

/// A container as the kubelet needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSpec {
    /// Name.
    pub name: Arc<str>,
    /// Image reference.
    pub image: Arc<str>,
    /// Requests.
    pub requests: Resources,
    /// CPU limit in thousandths of a core.
    pub cpu_limit: Option<i64>,
    /// Memory limit in bytes.
    pub memory_limit: Option<i64>,
    /// Readiness probe.
    pub readiness: Option<Probe>,
}

/// When a container is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// After every exit.
    Always,
    /// After an exit with an error.
    OnFailure,
    /// Never.
    Never,
}

/// What a pod demands of its node's labels and name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeDemand {
    /// `nodeSelector`: all must be equal.
    pub selector: Vec<(String, String)>,
    /// Required node affinity: requirements on labels and on the node's name (key `metadata.name`); one term must hold.
    pub terms: Option<Vec<Vec<Requirement>>>,
}

impl NodeDemand {
    /// Whether the node meets it.
    #[must_use]
    pub fn accepts(&self, node: &NodeSpec) -> bool {
        let selected = self.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
        selected && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| Self::term(term, node)))
    }

    fn term(term: &[Requirement], node: &NodeSpec) -> bool {
        let value = |key: &str| {
            if key == "metadata.name" { Some(&*node.name) } else { node.labels.get(key).map(String::as_str) }
        };
        !term.is_empty() && term.iter().all(|requirement| requirement.matches(value))
    }
}

/// Quality of service, which ranks victims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// No requests and no limits.
    BestEffort,
    /// Something in between.
    Burstable,
    /// Requests equal limits everywhere.
    Guaranteed,
}

/// A pod that is bound to a node.
#[derive(Debug, Clone, PartialEq)]
pub struct PodSpec {
    /// UID of the object.
    pub uid: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// The node it is bound to.
    pub node: Arc<str>,
    /// Priority.
    pub priority: i32,
    /// When containers restart.
    pub restart: RestartPolicy,
    /// Containers that run one after the other before the others.
    pub init: Vec<ContainerSpec>,
    /// Containers.
    pub containers: Vec<ContainerSpec>,
    /// What it demands of its node.
    pub demand: NodeDemand,
    /// Quality of service.
    pub qos: Qos,
    /// Whether it uses the node's address.
    pub host_network: bool,
    /// Whether it tolerates the taint of memory pressure.
    pub tolerates_memory_pressure: bool,
    /// Whether it tolerates the taint of disk pressure.
    pub tolerates_disk_pressure: bool,
    /// How it behaves.
    pub behaviour: Behaviour,
}

impl PodSpec {
    /// What it asks for: the sum over containers, at least the largest init container.
    #[must_use]
    pub fn requests(&self) -> Resources {
        let mut sum = Resources::default();
        for container in &self.containers {
            sum.add(&container.requests, 1);
        }
        for container in &self.init {
            sum.raise(&container.requests);
        }
        sum
    }
}
