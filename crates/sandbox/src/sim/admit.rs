//! The kubelet's admission: what it refuses although the scheduler bound it. Entry point: [`verdict`].

use std::borrow::Cow;

use super::node::Node;
use super::spec::{PodSpec, Qos};

/// Why a pod is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `status.reason`.
    pub reason: Cow<'static, str>,
    /// `status.message`.
    pub message: String,
}

/// Whether a node takes the pod, given what it runs already.
pub fn verdict(node: &Node, pod: &PodSpec) -> Result<(), Refusal> {
    let refuse = |reason: &'static str, message: String| {
        Err(Refusal { reason: reason.into(), message: format!("Pod was rejected: {message}") })
    };
    if node.disk_pressure.is_some() && !pod.tolerates_disk_pressure {
        return refuse("Evicted", "The node had condition: [DiskPressure]. ".to_owned());
    }
    if node.memory_pressure.is_some() && pod.qos == Qos::BestEffort && !pod.tolerates_memory_pressure {
        return refuse("Evicted", "The node had condition: [MemoryPressure]. ".to_owned());
    }
    let requests = pod.requests();
    let lacks = |what: &str, requested: i64, used: i64, capacity: i64| {
        format!("Node didn't have enough resource: {what}, requested: {requested}, used: {used}, capacity: {capacity}")
    };
    let (used, capacity) = (&node.requested, &node.allocatable);
    if node.admitted + 1 > node.spec.pods {
        return refuse("OutOfpods", lacks("pods", 1, node.admitted, node.spec.pods));
    }
    if requests.cpu_milli > 0 && used.cpu_milli + requests.cpu_milli > capacity.cpu_milli {
        return refuse("OutOfcpu", lacks("cpu", requests.cpu_milli, used.cpu_milli, capacity.cpu_milli));
    }
    if requests.memory > 0 && used.memory + requests.memory > capacity.memory {
        return refuse("OutOfmemory", lacks("memory", requests.memory, used.memory, capacity.memory));
    }
    for (name, amount) in &requests.extended {
        let (used, capacity) = (used.extended(name), capacity.extended(name));
        if *amount > 0 && used + amount > capacity {
            let message = format!("Pod was rejected: {}", lacks(name, *amount, used, capacity));
            return Err(Refusal { reason: format!("OutOf{name}").into(), message });
        }
    }
    if !pod.demand.accepts(&node.spec) {
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return refuse("NodeAffinity", message.to_owned());
    }
    Ok(())
}
