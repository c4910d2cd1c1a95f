//! What the check knows of feasibility: few rules, written down a second time and as plainly as can be.

use serde_json::Value;

/// A node, as far as the histories vary it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Allocatable cores.
    pub cpu: u64,
    pub cordoned: bool,
    pub zone: String,
}

/// A pod, as far as the histories vary it.
#[derive(Debug, Clone)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub node: Option<String>,
    pub cpu: u64,
    pub priority: i64,
    pub preempts: bool,
    pub port: Option<u64>,
    /// Shares no node with pods of this `app`.
    pub apart_from: Option<String>,
    pub app: String,
    pub zone: Option<String>,
    pub gated: bool,
    pub ours: bool,
    pub over: bool,
    pub terminating: bool,
    pub phase: String,
}

impl Pod {
    pub fn read(pod: &Value) -> Pod {
        let text = |at: &str| pod.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let container = &pod["spec"]["containers"][0];
        let phase = text("/status/phase").unwrap_or_default();
        let term = "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0";
        Pod {
            name: text("/metadata/name").unwrap_or_default(),
            uid: text("/metadata/uid").unwrap_or_default(),
            node: text("/spec/nodeName").filter(|node| !node.is_empty()),
            cpu: container["resources"]["requests"]["cpu"].as_str().map_or(0, |cpu| cpu.parse().unwrap()),
            priority: pod["spec"]["priority"].as_i64().unwrap_or(0),
            preempts: pod["spec"]["preemptionPolicy"] != "Never",
            port: container["ports"][0]["hostPort"].as_u64(),
            apart_from: text(&format!("{term}/labelSelector/matchLabels/app")),
            app: text("/metadata/labels/app").unwrap_or_default(),
            zone: text("/spec/nodeSelector/zone"),
            gated: pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()),
            ours: pod["spec"]["schedulerName"] == "augur",
            over: phase == "Succeeded" || phase == "Failed",
            terminating: pod["metadata"]["deletionTimestamp"].is_string(),
            phase,
        }
    }
}

/// Whether a pod fits on a node of this shape beside the others there.
///
/// # Errors
/// Why not.
pub fn fits(pod: &Pod, shape: &Shape, others: &[Pod]) -> Result<(), String> {
    let used: u64 = others.iter().map(|other| other.cpu).sum();
    let apart = |a: &Pod, b: &Pod| a.apart_from.as_ref().is_some_and(|app| *app == b.app);
    if used + pod.cpu > shape.cpu {
        Err(format!("{used} of {} cores are taken, {} are asked for", shape.cpu, pod.cpu))
    } else if shape.cordoned {
        Err("cordoned".to_owned())
    } else if pod.zone.as_ref().is_some_and(|zone| *zone != shape.zone) {
        Err(format!("in zone {}", shape.zone))
    } else if pod.port.is_some() && others.iter().any(|other| other.port == pod.port) {
        Err("the host port is taken".to_owned())
    } else if others.iter().any(|other| apart(pod, other) || apart(other, pod)) {
        Err("anti-affinity".to_owned())
    } else {
        Ok(())
    }
}
