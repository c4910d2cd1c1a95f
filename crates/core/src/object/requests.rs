//! What a pod requests as a whole, from what its containers request: [`PodResources::requests`].

use augur_notation::Quantity;

use super::Resources;
use crate::units::{Bytes, MilliCpu};

/// Names and amounts, each name once.
pub type ResourceList = Vec<(std::sync::Arc<str>, Quantity)>;

/// What a container without a request counts as when nodes are compared.
const DEFAULT_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// What a pod requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PodRequests {
    /// What it is granted on its node.
    pub granted: Resources,
    /// CPU and memory that it counts for on its node when nodes are compared by use: containers without a request
    /// count with 100m and 200Mi.
    pub nonzero: (MilliCpu, Bytes),
    /// The same while it is to be placed: what is set for the pod as a whole does not count then, as
    /// kube-scheduler 1.36 has it.
    pub nonzero_to_place: (MilliCpu, Bytes),
}

/// Requests that the kubelet tells of a container or a pod during a resize in place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusResources {
    /// `resources.requests` of the status.
    pub requests: ResourceList,
    /// `allocatedResources`.
    pub allocated: ResourceList,
}

/// What one container requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerResources {
    /// `resources.requests`.
    pub requests: ResourceList,
    /// Whether it is an init container that goes on running (`restartPolicy: Always`).
    pub sidecar: bool,
    /// From its status, if that has `resources`.
    pub status: Option<StatusResources>,
}

/// All that bears on what a pod requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodResources {
    /// Init containers, in order.
    pub init_containers: Vec<ContainerResources>,
    /// Containers.
    pub containers: Vec<ContainerResources>,
    /// `spec.resources.requests`; `None` without `spec.resources`.
    pub pod_level: Option<ResourceList>,
    /// From the pod's status, if that has `resources`.
    pub pod_level_status: Option<StatusResources>,
    /// `spec.overhead`.
    pub overhead: ResourceList,
    /// Whether the kubelet reports that a wanted resize cannot be done, so that the spec's requests do not count.
    pub resize_infeasible: bool,
}

impl PodResources {
    /// What the pod requests: containers and sidecars together, or the largest step of the init phase, or what is set
    /// for the pod as a whole; and the overhead.
    #[must_use]
    pub fn requests(&self) -> PodRequests {
        let cpu: (std::sync::Arc<str>, Quantity) = ("cpu".into(), Quantity::of_milli(DEFAULT_CPU));
        let memory: (std::sync::Arc<str>, Quantity) =
            ("memory".into(), Quantity::of(DEFAULT_MEMORY, augur_notation::Format::DecimalSi));
        let granted = self.total(&[], true);
        let to_place = self.total(&[cpu.clone(), memory.clone()], false);
        let nonzero = if self.has_pod_level() {
            let missing: ResourceList =
                [cpu, memory].into_iter().filter(|(name, _)| get(&granted, name).is_none()).collect();
            self.total(&missing, true)
        } else {
            to_place.clone()
        };
        PodRequests {
            granted: Resources::of(granted.iter().map(|(name, amount)| (&**name, *amount))),
            nonzero: cpu_and_memory(&nonzero),
            nonzero_to_place: cpu_and_memory(&to_place),
        }
    }

    fn has_pod_level(&self) -> bool {
        self.pod_level.as_ref().is_some_and(|list| list.iter().any(|(name, _)| is_pod_level(name)))
    }

    /// The sum of requests, where a container that leaves out one of `defaults` counts with it; with what is set for
    /// the pod as a whole or without.
    fn total(&self, defaults: &[(std::sync::Arc<str>, Quantity)], with_pod_level: bool) -> ResourceList {
        let mut total = ResourceList::new();
        for container in &self.containers {
            add(&mut total, &self.of_container(container, defaults));
        }
        let mut sidecars = ResourceList::new();
        let mut largest = ResourceList::new();
        for container in &self.init_containers {
            let mut step = self.of_container(container, defaults);
            if container.sidecar {
                add(&mut total, &step);
                add(&mut sidecars, &step);
                raise(&mut largest, &sidecars);
            } else {
                add(&mut step, &sidecars);
                raise(&mut largest, &step);
            }
        }
        raise(&mut total, &largest);
        if let Some(pod_level) = self.pod_level.as_ref().filter(|_| with_pod_level) {
            let effective = self.with_status(pod_level, self.pod_level_status.as_ref());
            for (name, _) in pod_level.iter().filter(|(name, _)| is_pod_level(name)) {
                let amount = get(&effective, name).unwrap_or(Quantity::ZERO);
                match total.iter_mut().find(|(known, _)| known == name) {
                    Some(entry) => entry.1 = amount,
                    None => total.push((name.clone(), amount)),
                }
            }
        }
        add(&mut total, &self.overhead);
        total
    }

    fn of_container(
        &self,
        container: &ContainerResources,
        defaults: &[(std::sync::Arc<str>, Quantity)],
    ) -> ResourceList {
        // The status of a plain init container does not count.
        let status = container.status.as_ref();
        let mut requests = self.with_status(&container.requests, status);
        for (name, amount) in defaults {
            if get(&requests, name).is_none() {
                requests.push((name.clone(), *amount));
            }
        }
        requests
    }

    fn with_status(&self, spec: &ResourceList, status: Option<&StatusResources>) -> ResourceList {
        match status {
            None => spec.clone(),
            Some(status) => {
                let mut requests = if self.resize_infeasible { ResourceList::new() } else { spec.clone() };
                raise(&mut requests, &status.requests);
                raise(&mut requests, &status.allocated);
                requests
            }
        }
    }
}

/// Whether the resource can be requested for a pod as a whole.
fn is_pod_level(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.starts_with("hugepages-")
}

fn get(list: &ResourceList, name: &str) -> Option<Quantity> {
    list.iter().find(|(known, _)| &**known == name).map(|(_, amount)| *amount)
}

fn add(to: &mut ResourceList, from: &ResourceList) {
    for (name, amount) in from {
        match to.iter_mut().find(|(known, _)| known == name) {
            Some(entry) => entry.1 = entry.1.plus(*amount),
            None => to.push((name.clone(), *amount)),
        }
    }
}

fn raise(to: &mut ResourceList, from: &ResourceList) {
    for (name, amount) in from {
        match to.iter_mut().find(|(known, _)| known == name) {
            Some(entry) => entry.1 = entry.1.max(*amount),
            None => to.push((name.clone(), *amount)),
        }
    }
}

fn cpu_and_memory(list: &ResourceList) -> (MilliCpu, Bytes) {
    let amount = |name| get(list, name).unwrap_or(Quantity::ZERO);
    (MilliCpu(amount("cpu").milli()), Bytes(amount("memory").value()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(amounts: &[(&str, &str)]) -> ResourceList {
        amounts.iter().map(|(name, amount)| ((*name).into(), amount.parse().expect("legal"))).collect()
    }

    fn container(cpu: &str) -> ContainerResources {
        ContainerResources { requests: list(&[("cpu", cpu)]), ..ContainerResources::default() }
    }

    fn sidecar(cpu: &str) -> ContainerResources {
        ContainerResources { sidecar: true, ..container(cpu) }
    }

    fn cpu(pod: &PodResources) -> i64 {
        pod.requests().granted.cpu.get()
    }

    #[test]
    fn sidecars_add_to_the_sum_and_to_later_steps() {
        let containers = vec![container("100m"), container("200m")];
        let pod =
            |init_containers| PodResources { containers: containers.clone(), init_containers, ..Default::default() };
        assert_eq!(cpu(&pod(vec![])), 300);
        assert_eq!(cpu(&pod(vec![container("250m")])), 300);
        assert_eq!(cpu(&pod(vec![container("500m")])), 500);
        assert_eq!(cpu(&pod(vec![sidecar("300m"), container("500m")])), 800);
        assert_eq!(cpu(&pod(vec![container("500m"), sidecar("300m")])), 600);
    }

    #[test]
    fn what_is_set_for_the_pod_replaces_the_sum_and_overhead_comes_on_top() {
        let pod = PodResources {
            containers: vec![container("100m"), ContainerResources::default()],
            pod_level: Some(list(&[("cpu", "1"), ("example.com/x", "5")])),
            overhead: list(&[("cpu", "50m"), ("memory", "1Mi")]),
            ..Default::default()
        };
        let requests = pod.requests();
        assert_eq!((requests.granted.cpu.get(), requests.granted.memory.get()), (1050, 1 << 20));
        assert_eq!(requests.granted.scalar("example.com/x"), 0, "not a resource that a pod as a whole can have");
        assert_eq!(requests.nonzero, (MilliCpu(1050), Bytes(1 << 20)), "memory is there, by the overhead");
        assert_eq!(requests.nonzero_to_place, (MilliCpu(250), Bytes(2 * DEFAULT_MEMORY + (1 << 20))));
    }

    #[test]
    fn containers_without_a_request_count_when_nodes_are_compared() {
        let pod =
            PodResources { containers: vec![container("0"), ContainerResources::default()], ..Default::default() };
        let requests = pod.requests();
        assert_eq!(requests.granted.cpu.get(), 0);
        assert_eq!(requests.nonzero, (MilliCpu(DEFAULT_CPU), Bytes(2 * DEFAULT_MEMORY)));
    }

    #[test]
    fn during_a_resize_the_largest_counts_unless_it_cannot_be_done() {
        let status = StatusResources { requests: list(&[("cpu", "1")]), allocated: list(&[("cpu", "1500m")]) };
        let resized = ContainerResources { status: Some(status), ..container("2") };
        let mut pod = PodResources { containers: vec![resized], ..Default::default() };
        assert_eq!(cpu(&pod), 2000);
        pod.resize_infeasible = true;
        assert_eq!(cpu(&pod), 1500);
    }
}
