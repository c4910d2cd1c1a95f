//! What is created on the cluster under test: nodes, and pods of one workload.

use serde_json::{Value, json};

use super::Workload;

/// The label that marks what this measurement created.
pub const MARK: &str = "augur.dev/bench";

/// The namespace of its pods.
pub const NAMESPACE: &str = "default";

/// Zones of the cluster.
const ZONES: usize = 3;

/// A node of 64 cores, 256 GiB and 250 pods.
pub fn node(index: usize) -> Value {
    let name = format!("bench-node-{index}");
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": {
            MARK: "true",
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": "bench.16xlarge",
            "topology.kubernetes.io/zone": format!("zone-{}", index % ZONES),
        } },
        "status": {
            "capacity": { "cpu": "64", "memory": "256Gi", "pods": "250" },
            "allocatable": { "cpu": "64", "memory": "256Gi", "pods": "250" },
            "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }],
        },
    })
}

/// Whose pod it is.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// It waits for the scheduler of this name.
    Scheduler(&'a str),
    /// It is on the node of this number from the start.
    Node(usize),
}

/// A small pod as deployments make them. Pods with a node are of no workload.
pub fn pod(name: &str, workload: Workload, owner: &Owner<'_>) -> Value {
    let app = if matches!(owner, Owner::Node(_)) { "there-before" } else { "bench" };
    let mut spec = json!({
        "containers": [{
            "name": "app",
            "image": "registry.example/bench:1",
            "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
        }],
        // Of what admission adds to the pods of a cluster.
        "terminationGracePeriodSeconds": 0,
    });
    match owner {
        Owner::Node(index) => spec["nodeName"] = json!(format!("bench-node-{index}")),
        Owner::Scheduler(name) => {
            spec["schedulerName"] = json!(name);
            let own = json!({ "matchLabels": { "app": app } });
            match workload {
                Workload::Basic => {}
                Workload::Spread => {
                    spec["topologySpreadConstraints"] = json!([{ "maxSkew": 1, "labelSelector": own,
                        "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule" }]);
                }
                Workload::Affinity => {
                    spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                        json!([{ "labelSelector": own, "topologyKey": "topology.kubernetes.io/zone" }]);
                }
                Workload::AntiAffinity => {
                    spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                        json!([{ "labelSelector": own, "topologyKey": "kubernetes.io/hostname" }]);
                }
            }
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { MARK: "true", "app": app, "pod-template-hash": "5d59d67564" } },
        "spec": spec,
    })
}
