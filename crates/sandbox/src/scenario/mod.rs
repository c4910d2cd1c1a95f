//! Scenarios: what a simulated cluster consists of and what happens in it, as YAML (`docs/scenarios.md`).
//!
//! [`Scenario::load`] reads one, [`Scenario::builtin`] gives one of those that come with Augur. Every key is checked; an
//! unknown one is named together with the nearest known one.

mod objects;
mod read;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sim::{Archetype, Behaviour, Character, Fault, Millis, NodeSpec, Resources, Taint};

pub use objects::{Planned, workload_objects};
pub(crate) use objects::{cpu_text, memory_text, resource_list};

/// Annotation (or label) that gives a pod's archetype.
pub const ARCHETYPE: &str = "sandbox.augur.dev/archetype";
/// Annotation: how long batch work takes, such as `90s`.
pub const DURATION: &str = "sandbox.augur.dev/duration";
/// Annotation: how long a crash-looping container lives, such as `20s`.
pub const CRASH_AFTER: &str = "sandbox.augur.dev/crash-after";
/// Annotation: memory a leaker loses per minute, a quantity.
pub const LEAK_PER_MINUTE: &str = "sandbox.augur.dev/leak-per-minute";
/// Annotation: usual CPU usage as a share of the request, such as `0.5`.
pub const LOAD: &str = "sandbox.augur.dev/load";
/// Annotation: share of batch runs that exit with 1, such as `0.1`.
pub const FAILURE_RATE: &str = "sandbox.augur.dev/failure-rate";

const BUILTIN: [(&str, &str); 3] = [
    ("small", include_str!("../../../../config/scenarios/small.yaml")),
    ("mixed", include_str!("../../../../config/scenarios/mixed.yaml")),
    ("failing-nodes", include_str!("../../../../config/scenarios/failing-nodes.yaml")),
];

/// Why a scenario is refused: the place in it, what is wrong, what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScenarioError(pub(crate) String);

/// A cluster and what happens in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// One line for people.
    pub description: String,
    /// Nodes, ready to be registered.
    pub nodes: Vec<NodeSpec>,
    /// Workloads in the order of the file.
    pub workloads: Vec<Workload>,
    /// What befalls nodes, in the order of the file.
    pub faults: Vec<PlannedFault>,
}

/// The kinds of objects that a scenario can create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `batch/v1` Job.
    Job,
    /// Bare pods.
    Pod,
}

/// Pods of one kind, created at a time or again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Kind of the object.
    pub kind: WorkloadKind,
    /// Name; repeated workloads get a number behind it.
    pub name: String,
    /// Namespace, created when it is missing.
    pub namespace: String,
    /// First creation after the start of the scenario.
    pub at: Millis,
    /// Time between repetitions; 0: only once.
    pub every: Millis,
    /// How often it is created.
    pub times: u32,
    /// Random shift of each creation, at most this much later.
    pub jitter: Millis,
    /// Bare pods and other objects are deleted after this time; `None`: they stay.
    pub lifetime: Option<Millis>,
    /// Replicas, completions or bare pods.
    pub replicas: u32,
    /// Image of the container.
    pub image: String,
    /// Requests.
    pub requests: Resources,
    /// CPU limit.
    pub cpu_limit: Option<i64>,
    /// Memory limit.
    pub memory_limit: Option<i64>,
    /// How the pods behave.
    pub behaviour: Behaviour,
    /// Readiness probe: initial delay and period.
    pub readiness: Option<(Millis, Millis)>,
    /// Node selector.
    pub node_selector: BTreeMap<String, String>,
    /// Keys of taints that are tolerated; `*` tolerates all.
    pub tolerations: Vec<String>,
    /// Keys of topologies over which pods are kept apart or spread.
    pub spread: Option<Spread>,
    /// Extra labels.
    pub labels: BTreeMap<String, String>,
    /// Grace period in seconds.
    pub grace_seconds: i64,
}

/// How the replicas of a workload are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Evenly over zones, as far as possible.
    Zone,
    /// Evenly over nodes, as far as possible.
    Node,
}

/// What can befall a node in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Something physical.
    Physical(Fault),
    /// Metrics of the node and its pods are missing, old or wrong.
    Metrics(MetricsFault),
}

/// How metrics can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFault {
    /// There are none.
    Absent,
    /// They stand still.
    Stale,
    /// They are ten times too high.
    Lying,
}

/// Something that befalls a node at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFault {
    /// When, after the start of the scenario.
    pub at: Millis,
    /// For how long; `None`: for good.
    pub lasts: Option<Millis>,
    /// The node.
    pub node: Arc<str>,
    /// What.
    pub kind: FaultKind,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// Anything that is not understood, with its path.
    pub fn load(text: &str) -> Result<Scenario, ScenarioError> {
        read::scenario(text)
    }

    /// One of the scenarios that come with Augur.
    ///
    /// # Errors
    /// An unknown name, with the known ones.
    pub fn builtin(name: &str) -> Result<Scenario, ScenarioError> {
        let Some((_, text)) = BUILTIN.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = Self::names().collect();
            return Err(ScenarioError(format!(
                "unknown scenario `{name}`; there are {}, or give the path of a file",
                known.join(", ")
            )));
        };
        Self::load(text)
    }

    /// Names of the scenarios that come with Augur.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }
}

/// The name of a thing among named ones.
fn by_name<T: Copy>(names: &[(&'static str, T)], path: &str, name: &str) -> Result<T, ScenarioError> {
    names.iter().find(|(known, _)| *known == name).map(|(_, thing)| *thing).ok_or_else(|| {
        let known: Vec<&str> = names.iter().map(|(known, _)| *known).collect();
        ScenarioError(format!("{path}: `{name}` is unknown; it must be one of {}", known.join(", ")))
    })
}

/// Reads an archetype by its name.
///
/// # Errors
/// An unknown name, with the known ones.
pub fn archetype(path: &str, name: &str) -> Result<Archetype, ScenarioError> {
    by_name(&Archetype::NAMES, path, name)
}

fn character(path: &str, name: &str) -> Result<Character, ScenarioError> {
    by_name(&Character::NAMES, path, name)
}

/// Reads a span of time such as `90s`, `1m30s`, `2h` or `250ms`, in milliseconds.
///
/// # Errors
/// Anything else.
pub fn duration(path: &str, text: &str) -> Result<Millis, ScenarioError> {
    let wrong =
        || ScenarioError(format!("{path}: `{text}` is not a span of time; write it like 90s, 1m30s, 2h or 250ms"));
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
        let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
        rest = &rest[end..];
        let units = [("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 3.6e6), ("d", 8.64e7)];
        let (unit, factor) = units.iter().find(|(unit, _)| rest.starts_with(unit)).ok_or_else(wrong)?;
        rest = &rest[unit.len()..];
        total += number * factor;
    }
    Ok(total.round() as Millis)
}

/// A taint written as `key=value:Effect` or `key:Effect`.
fn taint(path: &str, text: &str) -> Result<Taint, ScenarioError> {
    let wrong = || ScenarioError(format!("{path}: `{text}` is not a taint; write it like key=value:NoSchedule"));
    let (head, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
    let (key, value) = head.split_once('=').unwrap_or((head, ""));
    if key.is_empty() || !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        return Err(wrong());
    }
    Ok(Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() })
}
