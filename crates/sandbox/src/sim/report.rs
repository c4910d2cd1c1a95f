//! What the simulation wants told to the API: status of pods and nodes, heartbeats, events. Start at [`Effect`].

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::spec::Millis;

/// Something that the outside has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The status of a pod changed; a later report of the same pod replaces an earlier one.
    PodStatus(Box<PodReport>),
    /// The containers of a pod that is being deleted have stopped: the object may go.
    PodStopped {
        /// UID of the pod.
        uid: Arc<str>,
        /// Namespace.
        namespace: Arc<str>,
        /// Name.
        name: Arc<str>,
    },
    /// Conditions or images of a node changed.
    NodeStatus(Box<NodeReport>),
    /// A node is alive: renew its lease.
    Heartbeat(Arc<str>),
    /// Something worth an event.
    Event(Box<EventReport>),
}

/// A pod's phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, but not all containers have run.
    Pending,
    /// At least one container runs or will run again.
    Running,
    /// All ended well.
    Succeeded,
    /// All ended, at least one badly; or the kubelet refused or evicted the pod.
    Failed,
}

impl Phase {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// Exit code.
    pub exit_code: i32,
    /// `Completed`, `Error` or `OOMKilled`.
    pub reason: &'static str,
    /// When it had started.
    pub started: Millis,
    /// When it ended.
    pub finished: Millis,
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Not running, for a reason such as `ContainerCreating` or `CrashLoopBackOff`.
    Waiting {
        /// Reason.
        reason: &'static str,
        /// For people; may be empty.
        message: String,
    },
    /// Running.
    Running {
        /// Since when.
        since: Millis,
    },
    /// Ended.
    Terminated(Termination),
}

/// A container's part of a pod's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerReport {
    /// Name.
    pub name: Arc<str>,
    /// Image reference.
    pub image: Arc<str>,
    /// What it is doing.
    pub state: ContainerState,
    /// How it ended last time.
    pub last: Option<Termination>,
    /// Whether it is ready.
    pub ready: bool,
    /// How often it was started again.
    pub restarts: u32,
}

/// The status of a pod as its kubelet sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct PodReport {
    /// UID of the object.
    pub uid: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Phase.
    pub phase: Phase,
    /// Why it failed, such as `Evicted` or `OutOfcpu`; empty otherwise.
    pub reason: Cow<'static, str>,
    /// The same for people.
    pub message: String,
    /// When the kubelet took it on.
    pub start_time: Millis,
    /// Its address, once it has one.
    pub pod_ip: Option<Ipv4Addr>,
    /// The node's address.
    pub host_ip: Ipv4Addr,
    /// Whether the init containers are through, and since when.
    pub initialized: (bool, Millis),
    /// Whether all containers are ready, and since when.
    pub ready: (bool, Millis),
    /// Whether the kubelet evicted it.
    pub evicted: bool,
    /// Init containers in order.
    pub init: Vec<ContainerReport>,
    /// Containers in order.
    pub containers: Vec<ContainerReport>,
}

/// A condition of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCondition {
    /// `Ready`, `MemoryPressure`, `DiskPressure` or `PIDPressure`.
    pub kind: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// Reason as the kubelet writes it.
    pub reason: &'static str,
    /// The same for people.
    pub message: &'static str,
    /// Since when.
    pub since: Millis,
}

/// The status of a node as its kubelet sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeReport {
    /// Name.
    pub name: Arc<str>,
    /// Conditions in the order in which kubelets write them.
    pub conditions: Vec<NodeCondition>,
    /// Images with their sizes in bytes, the largest first.
    pub images: Vec<(Arc<str>, i64)>,
    /// The time of the report.
    pub at: Millis,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A pod.
    Pod {
        /// UID.
        uid: Arc<str>,
        /// Namespace.
        namespace: Arc<str>,
        /// Name.
        name: Arc<str>,
    },
    /// A node.
    Node(Arc<str>),
}

/// An event as a kubelet writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventReport {
    /// What it is about.
    pub subject: Subject,
    /// The node whose kubelet says it.
    pub node: Arc<str>,
    /// `Warning` instead of `Normal`.
    pub warning: bool,
    /// Reason.
    pub reason: &'static str,
    /// Text.
    pub message: String,
    /// When.
    pub at: Millis,
}
