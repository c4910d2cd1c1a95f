//! From reports of the simulation to what kubelets write into the API. Entry points: [`pod_status`], [`node`],
//! [`node_status`], [`lease`], [`event`].

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::scenario::{cpu_text, memory_text, resource_list};
use crate::sim::{
    ContainerReport, ContainerState, EventReport, Millis, NodeReport, NodeSpec, Phase, PodReport, Purpose, Rng, Sim,
    Subject, Termination, stream,
};

/// Seconds without a renewed lease after which a node counts as gone.
const LEASE_SECONDS: i64 = 40;

/// A time as the API writes it, in whole seconds.
pub(super) fn time(at: Millis) -> String {
    stamp(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn micro_time(at: Millis) -> String {
    stamp(at).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

pub(super) fn stamp(at: Millis) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::MAX)
}

/// A patch (strategic) of `pods/status`. Conditions merge by type, so that `PodScheduled` stays as it is.
pub(super) fn pod_status(report: &PodReport) -> Value {
    let mut status = Map::new();
    let mut put = |key: &str, value: Value| status.insert(key.to_owned(), value);
    put("phase", json!(report.phase.as_str()));
    put("startTime", json!(time(report.start_time)));
    if !report.reason.is_empty() {
        put("reason", json!(report.reason));
        put("message", json!(report.message));
    }
    // A refused pod never got anything.
    if !report.containers.is_empty() {
        put("conditions", conditions(report));
        let address = report.host_ip.to_string();
        put("hostIP", json!(address));
        put("hostIPs", json!([{ "ip": address }]));
        if let Some(ip) = report.pod_ip {
            let address = ip.to_string();
            put("podIP", json!(address));
            put("podIPs", json!([{ "ip": address }]));
        }
        let rows = |reports: &[ContainerReport]| -> Value { reports.iter().map(|c| container(report, c)).collect() };
        put("containerStatuses", rows(&report.containers));
        if !report.init.is_empty() {
            put("initContainerStatuses", rows(&report.init));
        }
    }
    json!({ "metadata": { "uid": report.uid }, "status": status })
}

fn conditions(report: &PodReport) -> Value {
    let condition = |kind: &str, (holds, since): (bool, Millis), reason: &str, message: String| {
        // Null takes away what an earlier patch gave.
        let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        json!({
            "type": kind,
            "status": if holds { "True" } else { "False" },
            "lastProbeTime": null,
            "lastTransitionTime": time(since),
            "reason": text(reason),
            "message": text(&message),
        })
    };
    let done = report.phase == Phase::Succeeded;
    let names = |all: &[ContainerReport]| {
        all.iter().filter(|c| !c.ready).map(|c| c.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    let (reason, message) = match report.phase {
        _ if report.ready.0 => ("", String::new()),
        Phase::Succeeded => ("PodCompleted", String::new()),
        Phase::Failed => ("PodFailed", String::new()),
        Phase::Pending | Phase::Running => {
            ("ContainersNotReady", format!("containers with unready status: [{}]", names(&report.containers)))
        }
    };
    let (init_reason, init_message) = if report.initialized.0 {
        (if done { "PodCompleted" } else { "" }, String::new())
    } else {
        ("ContainersNotInitialized", format!("containers with incomplete status: [{}]", names(&report.init)))
    };
    let sandbox = !matches!(report.phase, Phase::Succeeded | Phase::Failed);
    let mut all = vec![
        condition("PodReadyToStartContainers", (sandbox, report.start_time), "", String::new()),
        condition("Initialized", report.initialized, init_reason, init_message),
        condition("Ready", report.ready, reason, message.clone()),
        condition("ContainersReady", report.ready, reason, message),
    ];
    if report.evicted {
        let message = report.message.clone();
        all.push(condition("DisruptionTarget", (true, report.ready.1), "TerminationByKubelet", message));
    }
    Value::Array(all)
}

fn container(pod: &PodReport, container: &ContainerReport) -> Value {
    let id = |restarts: u32| {
        let stream = stream(&[&pod.uid, &container.name]);
        let words = [0, 1, 2, 3].map(|n| Rng::new(u64::from(restarts)).bits(stream, Purpose::Image, n));
        format!("containerd://{:016x}{:016x}{:016x}{:016x}", words[0], words[1], words[2], words[3])
    };
    let ended = |end: &Termination, restarts: u32| {
        json!({ "terminated": {
            "exitCode": end.exit_code, "reason": end.reason,
            "startedAt": time(end.started), "finishedAt": time(end.finished),
            "containerID": id(restarts),
        } })
    };
    let running = matches!(container.state, ContainerState::Running { .. });
    let state = match &container.state {
        ContainerState::Waiting { reason, message } if message.is_empty() => json!({ "waiting": { "reason": reason } }),
        ContainerState::Waiting { reason, message } => json!({ "waiting": { "reason": reason, "message": message } }),
        ContainerState::Running { since } => json!({ "running": { "startedAt": time(*since) } }),
        ContainerState::Terminated(end) => ended(end, container.restarts),
    };
    let mut status = json!({
        "name": container.name, "image": container.image, "imageID": "",
        "ready": container.ready, "started": running, "restartCount": container.restarts,
        "state": state,
        "lastState": container.last.as_ref().map_or_else(|| json!({}), |end| ended(end, container.restarts.saturating_sub(1))),
    });
    if running || matches!(container.state, ContainerState::Terminated(_)) {
        status["containerID"] = json!(id(container.restarts));
        let digest = Rng::new(0).bits(stream(&[&container.image]), Purpose::Image, 1);
        status["imageID"] = json!(format!("{}@sha256:{digest:016x}", container.image));
    }
    status
}

/// The node object that a kubelet registers, number `index` of the cluster.
pub(super) fn node(spec: &NodeSpec, index: usize, report: &NodeReport) -> Value {
    let amounts = |resources| {
        let mut list = resource_list(resources);
        list.insert("pods".to_owned(), json!(spec.pods.to_string()));
        list.insert("ephemeral-storage".to_owned(), json!(memory_text(spec.disk)));
        list.entry("cpu").or_insert_with(|| json!(cpu_text(0)));
        list.entry("memory").or_insert_with(|| json!(memory_text(0)));
        Value::Object(list)
    };
    let taints: Vec<Value> = spec
        .taints
        .iter()
        .map(|taint| {
            let mut object = json!({ "key": taint.key, "effect": taint.effect });
            if !taint.value.is_empty() {
                object["value"] = json!(taint.value);
            }
            object
        })
        .collect();
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": spec.name,
            "labels": spec.labels,
            "annotations": { "sandbox.augur.dev/simulated": "true" },
        },
        "spec": {},
        "status": {
            "capacity": amounts(&spec.capacity),
            "allocatable": amounts(&spec.allocatable()),
            "addresses": [
                { "type": "InternalIP", "address": Sim::node_address(index).to_string() },
                { "type": "Hostname", "address": spec.name },
            ],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
            "nodeInfo": {
                "machineID": format!("{index:032x}"), "systemUUID": format!("{index:032x}"),
                "bootID": format!("{index:032x}"), "kernelVersion": "6.12.0-simulated",
                "osImage": "Augur sandbox", "containerRuntimeVersion": "containerd://2.1.0",
                "kubeletVersion": "v1.36.2", "kubeProxyVersion": "",
                "operatingSystem": "linux", "architecture": "amd64",
            },
        },
    });
    if !taints.is_empty() {
        object["spec"]["taints"] = Value::Array(taints);
    }
    let changing = node_status(report);
    for key in ["conditions", "images"] {
        object["status"][key] = changing["status"][key].clone();
    }
    object
}

/// A patch (strategic) of `nodes/status` with what changes while a node lives.
pub(super) fn node_status(report: &NodeReport) -> Value {
    let conditions: Vec<Value> = report
        .conditions
        .iter()
        .map(|condition| {
            json!({
                "type": condition.kind,
                "status": if condition.holds { "True" } else { "False" },
                "reason": condition.reason,
                "message": condition.message,
                "lastHeartbeatTime": time(report.at),
                "lastTransitionTime": time(condition.since),
            })
        })
        .collect();
    // Kubelets report the fifty largest.
    let images: Vec<Value> =
        report.images.iter().take(50).map(|(name, size)| json!({ "names": [name], "sizeBytes": size })).collect();
    json!({ "status": { "conditions": conditions, "images": images } })
}

/// A node's lease, renewed at `at`.
pub(super) fn lease(node: &str, at: Millis) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": node, "namespace": "kube-node-lease" },
        "spec": { "holderIdentity": node, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": micro_time(at) },
    })
}

/// A patch (merge) that renews a lease.
pub(super) fn renewal(at: Millis) -> Value {
    json!({ "spec": { "renewTime": micro_time(at) } })
}

/// An event object with the given name.
pub(super) fn event(report: &EventReport, name: &str) -> Value {
    let (namespace, involved) = match &report.subject {
        Subject::Pod { uid, namespace, name } => {
            let involved =
                json!({ "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": uid });
            (&**namespace, involved)
        }
        Subject::Node(name) => ("default", json!({ "apiVersion": "v1", "kind": "Node", "name": name, "uid": name })),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": name, "namespace": namespace },
        "involvedObject": involved,
        "type": if report.warning { "Warning" } else { "Normal" },
        "reason": report.reason,
        "message": report.message,
        "source": { "component": "kubelet", "host": report.node },
        "reportingComponent": "kubelet",
        "reportingInstance": report.node,
        "firstTimestamp": time(report.at),
        "lastTimestamp": time(report.at),
        "count": 1,
    })
}
