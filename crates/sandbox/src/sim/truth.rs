//! What only the simulation knows: why a pod came to harm, what a node is really like, what will be wanted of it. For scoring
//! and for oracles; nothing here is visible through the API. Entry points: [`Sim::take_harms`], [`Sim::node_truth`].

use std::sync::Arc;

use super::spec::{Character, Millis, PodSpec};
use super::usage::{self, Usage};
use super::{Sim, rng};

/// The hidden cause of a harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HarmCause {
    /// The application's own doing: it would have happened on any node.
    Application,
    /// The node ran out of memory: the kernel or the kubelet killed.
    Memory,
    /// The node's disk filled up.
    Disk,
    /// The node was overloaded or throttled.
    Cpu,
    /// The node lost its power.
    Power,
    /// The node lost its network.
    Network,
}

impl HarmCause {
    /// All causes with their names.
    pub const NAMES: [(&'static str, HarmCause); 6] = [
        ("application", HarmCause::Application),
        ("memory", HarmCause::Memory),
        ("disk", HarmCause::Disk),
        ("cpu", HarmCause::Cpu),
        ("power", HarmCause::Power),
        ("network", HarmCause::Network),
    ];
}

/// A container died, or could not start, for a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Harm {
    /// The pod.
    pub uid: Arc<str>,
    /// When.
    pub at: Millis,
    /// Why.
    pub cause: HarmCause,
}

/// The state of a node as it really is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeTruth {
    /// It throttles.
    pub hot: bool,
    /// Its daemons take the memory.
    pub starving: bool,
    /// Its disk is slow and fills up.
    pub slow_disk: bool,
    /// It is off or has no network.
    pub absent: bool,
    /// Its network comes and goes.
    pub flapping: bool,
    /// Cores that work, in thousandths.
    pub effective_cpu: f64,
    /// Memory that is there.
    pub memory: i64,
    /// What daemons and containers want.
    pub wanted: Usage,
}

impl Sim {
    /// Harms since the last call. They are kept only with [`SimOptions::truth`](super::SimOptions::truth).
    pub fn take_harms(&mut self) -> Vec<Harm> {
        std::mem::take(&mut self.harms)
    }

    pub(super) fn harm(&mut self, id: u64, cause: HarmCause) {
        if self.options.truth
            && let Some(pod) = self.pods.get(&id)
        {
            self.harms.push(Harm { uid: pod.spec.uid.clone(), at: self.now, cause });
        }
    }

    /// What a node is really like at `at`, if its pods stay as they are; `None` if there is no such node.
    #[must_use]
    pub fn node_truth(&self, name: &str, at: Millis) -> Option<NodeTruth> {
        let index = *self.node_index.get(name)?;
        let node = &self.nodes[index];
        Some(NodeTruth {
            hot: node.hot(),
            starving: node.starving(),
            slow_disk: node.slow_disk(),
            absent: !node.reachable(),
            flapping: node.spec.character == Character::FlappingNetwork,
            effective_cpu: node.effective_cpu(),
            memory: node.spec.capacity.memory,
            wanted: self.demand(index, at),
        })
    }

    /// What a pod that starts at `since` will want at `at`.
    #[must_use]
    pub fn pod_wants(&self, pod: &PodSpec, since: Millis, at: Millis) -> Usage {
        let stream = rng::stream(&[&pod.namespace, &pod.name]);
        let mut sum = Usage::default();
        for (index, container) in pod.containers.iter().enumerate() {
            sum += usage::container(self.rng, stream, index, container, &pod.behaviour, since, at);
        }
        sum
    }
}
