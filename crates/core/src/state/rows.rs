//! One node's row: what it has, what its pods take, and what is observed of it.

use std::sync::Arc;

use super::classes::ClassId;
use super::images::ImageId;
use super::kinds::KindId;
use crate::cache::NodeName;
use crate::object::{HostPort, Node, Pod, PodRequests, ResourceName, Resources};
use crate::time::Timestamp;
use crate::units::{Bytes, MilliCpu};

/// What is observed of a node. What is not known is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeSignals {
    /// When it was observed.
    pub observed: Timestamp,
    /// CPU in use, as a share of what is allocatable; may be above 1.
    pub cpu_usage: Option<f64>,
    /// Memory in use, as a share of what is allocatable; may be above 1.
    pub memory_usage: Option<f64>,
    /// Whether the node is ready.
    pub ready: Option<bool>,
    /// Pods on it that failed lately.
    pub failed_pods: Option<u32>,
    /// Restarts a pod on it.
    pub average_restarts: Option<f64>,
    /// How stable it was over the history, 0..1. Not part of the enhanced score; models read it.
    pub stability: Option<f64>,
    /// The risk that a pod which comes to it now gets into trouble, by what happened to others lately: 0 none, 1 that of a node
    /// that is known to be in trouble.
    pub risk: Option<f64>,
}

impl NodeSignals {
    /// Nothing known, observed at the given time.
    #[must_use]
    pub fn at(observed: Timestamp) -> NodeSignals {
        NodeSignals {
            observed,
            cpu_usage: None,
            memory_usage: None,
            ready: None,
            failed_pods: None,
            average_restarts: None,
            stability: None,
            risk: None,
        }
    }
}

/// The common resources of a node: what there is and what its pods take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeUse {
    /// CPU for pods.
    pub allocatable_cpu: MilliCpu,
    /// Memory for pods.
    pub allocatable_memory: Bytes,
    /// Disk for pods.
    pub allocatable_storage: Bytes,
    /// CPU that pods request.
    pub requested_cpu: MilliCpu,
    /// Memory that pods request.
    pub requested_memory: Bytes,
    /// Disk that pods request.
    pub requested_storage: Bytes,
    /// CPU that pods request, where a container without a request counts as 100m.
    pub nonzero_cpu: MilliCpu,
    /// Memory that pods request, where a container without a request counts as 200Mi.
    pub nonzero_memory: Bytes,
    /// Pods.
    pub pods: i64,
    /// Pods that it may hold.
    pub allowed_pods: i64,
}

impl NodeUse {
    pub(crate) fn set_allocatable(&mut self, allocatable: &Resources, allowed_pods: i64) {
        self.allocatable_cpu = allocatable.cpu;
        self.allocatable_memory = allocatable.memory;
        self.allocatable_storage = allocatable.ephemeral_storage;
        self.allowed_pods = allowed_pods;
    }

    pub(crate) fn add(&mut self, requests: &PodRequests) {
        self.requested_cpu += requests.granted.cpu;
        self.requested_memory += requests.granted.memory;
        self.requested_storage += requests.granted.ephemeral_storage;
        self.nonzero_cpu += requests.nonzero.0;
        self.nonzero_memory += requests.nonzero.1;
        self.pods += 1;
    }

    pub(crate) fn remove(&mut self, requests: &PodRequests) {
        self.requested_cpu -= requests.granted.cpu;
        self.requested_memory -= requests.granted.memory;
        self.requested_storage -= requests.granted.ephemeral_storage;
        self.nonzero_cpu -= requests.nonzero.0;
        self.nonzero_memory -= requests.nonzero.1;
        self.pods -= 1;
    }
}

/// A resource beyond the common ones on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScalarUse {
    pub(crate) name: ResourceName,
    pub(crate) allocatable: i64,
    pub(crate) requested: i64,
}

/// All of a node but its common resources.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeRow {
    pub(crate) node: Arc<Node>,
    pub(crate) class: ClassId,
    pub(crate) images: Vec<ImageId>,
    /// By name.
    pub(crate) scalars: Vec<ScalarUse>,
    pub(crate) pods: Vec<Arc<Pod>>,
    /// The kinds of its pods, with how many there are of each.
    pub(crate) kinds: Vec<(KindId, u32)>,
    /// Ports of its pods, each as often as it is used.
    pub(crate) ports: Vec<HostPort>,
    pub(crate) signals: Option<NodeSignals>,
}

impl NodeRow {
    pub(crate) fn new(node: Node, class: ClassId, images: Vec<ImageId>) -> NodeRow {
        NodeRow { node: Arc::new(node), class, images, ..NodeRow::default() }
    }

    pub(crate) fn set_allocatable(&mut self, allocatable: &Resources) {
        for scalar in &mut self.scalars {
            scalar.allocatable = 0;
        }
        for (name, amount) in &allocatable.scalars {
            self.scalar(name).allocatable = *amount;
        }
        self.scalars.retain(|scalar| scalar.allocatable != 0 || scalar.requested != 0);
    }

    fn scalar(&mut self, name: &ResourceName) -> &mut ScalarUse {
        let at = match self.scalars.binary_search_by(|scalar| scalar.name.cmp(name)) {
            Ok(at) => at,
            Err(at) => {
                self.scalars.insert(at, ScalarUse { name: name.clone(), allocatable: 0, requested: 0 });
                at
            }
        };
        &mut self.scalars[at]
    }

    pub(crate) fn find_scalar(&self, name: &str) -> Option<&ScalarUse> {
        let at = self.scalars.binary_search_by(|scalar| (*scalar.name).cmp(name)).ok()?;
        self.scalars.get(at)
    }

    pub(crate) fn add_pod(&mut self, pod: Arc<Pod>) {
        for (name, amount) in &pod.requests().granted.scalars {
            let scalar = self.scalar(name);
            scalar.requested = scalar.requested.saturating_add(*amount);
        }
        self.ports.extend(pod.spec.host_ports.iter().cloned());
        self.pods.push(pod);
    }

    pub(crate) fn remove_pod(&mut self, pod: &Pod) {
        for (name, amount) in &pod.requests().granted.scalars {
            let scalar = self.scalar(name);
            scalar.requested = scalar.requested.saturating_sub(*amount);
        }
        self.scalars.retain(|scalar| scalar.allocatable != 0 || scalar.requested != 0);
        for port in &pod.spec.host_ports {
            if let Some(at) = self.ports.iter().position(|used| used == port) {
                self.ports.swap_remove(at);
            }
        }
        if let Some(at) = self.pods.iter().position(|known| known.uid == pod.uid) {
            self.pods.swap_remove(at);
        }
    }

    /// A pod of the kind comes (1) or goes (-1).
    pub(crate) fn count_kind(&mut self, kind: KindId, by: i64) {
        match self.kinds.iter().position(|(known, _)| *known == kind) {
            Some(at) => {
                self.kinds[at].1 = self.kinds[at].1.saturating_add_signed(by as i32);
                if self.kinds[at].1 == 0 {
                    self.kinds.swap_remove(at);
                }
            }
            None if by > 0 => self.kinds.push((kind, 1)),
            None => {}
        }
    }

    /// Whether both hold the same, in any order.
    pub(crate) fn same_use(&self, other: &NodeRow) -> bool {
        self.scalars == other.scalars
            && self.ports.len() == other.ports.len()
            && self.ports.iter().all(|port| {
                let count = |row: &NodeRow| row.ports.iter().filter(|used| *used == port).count();
                count(self) == count(other)
            })
    }
}

/// A pod that is on a node.
#[derive(Debug, Clone)]
pub(crate) struct PlacedPod {
    pub(crate) pod: Arc<Pod>,
    pub(crate) node: NodeName,
    /// Its row and kind; none while the node is not known.
    pub(crate) at: Option<(super::NodeId, KindId)>,
}

/// FNV-1a, then mixed: the same on every machine and in every run.
pub(crate) fn hash(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mix(hash)
}

/// The finaliser of SplitMix64: spreads every bit over all.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
