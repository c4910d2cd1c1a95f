//! The series of kube-state-metrics, read off the stored objects: [`page`]. Names, labels and values are those of
//! kube-state-metrics 2; of its families only those are there that somebody who follows pods and nodes asks for.

use augur_notation::Quantity;
use jiff::Timestamp;
use serde_json::Value;

use crate::error::ApiError;
use crate::exposition::Exposition;
use crate::server::ApiServer;

const PHASES: [&str; 5] = ["Pending", "Succeeded", "Failed", "Unknown", "Running"];
const REASONS: [&str; 5] = ["Evicted", "NodeAffinity", "NodeLost", "Shutdown", "UnexpectedAdmissionError"];
const STATUSES: [&str; 3] = ["true", "false", "unknown"];

/// The page of all pods, nodes, ReplicaSets and Jobs as they are now.
///
/// # Errors
/// A resource that is not served, which none of these is.
pub(crate) fn page(server: &ApiServer) -> Result<String, ApiError> {
    let client = server.local("kube-state-metrics");
    let objects = |kind: &str| -> Result<Vec<Value>, ApiError> {
        let list = client.list(kind, "", "", "")?;
        Ok(list.items.iter().filter_map(|item| serde_json::from_slice(item).ok()).collect())
    };
    let mut page = Exposition::default();
    nodes(&mut page, &objects("nodes")?);
    pods(&mut page, &objects("pods")?);
    owners(&mut page, &objects("replicasets.apps")?, "kube_replicaset_owner", "replicaset");
    owners(&mut page, &objects("jobs.batch")?, "kube_job_owner", "job_name");
    Ok(page.into_text())
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn seconds(object: &Value, pointer: &str) -> Option<f64> {
    text(object, pointer).parse::<Timestamp>().ok().map(|at| at.as_second() as f64)
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|condition| condition["type"] == kind)
}

fn nodes(page: &mut Exposition, nodes: &[Value]) {
    page.family("kube_node_info", "gauge", "Information about a cluster node.");
    for node in nodes {
        let address = |kind: &str| {
            let found = list(node, "/status/addresses").iter().find(|address| address["type"] == kind);
            found.map_or("", |address| text(address, "/address"))
        };
        let info = |key: &str| text(node, &format!("/status/nodeInfo/{key}"));
        let labels = [
            ("container_runtime_version", info("containerRuntimeVersion")),
            ("internal_ip", address("InternalIP")),
            ("kernel_version", info("kernelVersion")),
            ("kubelet_version", info("kubeletVersion")),
            ("node", name(node)),
            ("os_image", info("osImage")),
            ("provider_id", text(node, "/spec/providerID")),
        ];
        page.sample(&labels, 1.0);
    }
    page.family("kube_node_created", "gauge", "Unix creation timestamp.");
    for node in nodes {
        if let Some(at) = seconds(node, "/metadata/creationTimestamp") {
            page.sample(&[("node", name(node))], at);
        }
    }
    page.family("kube_node_spec_unschedulable", "gauge", "Whether a node can schedule new pods.");
    for node in nodes {
        page.sample(&[("node", name(node))], flag(node["spec"]["unschedulable"] == true));
    }
    page.family("kube_node_status_condition", "gauge", "The condition of a cluster node.");
    for node in nodes {
        for condition in list(node, "/status/conditions") {
            let (kind, now) = (text(condition, "/type"), text(condition, "/status").to_lowercase());
            for status in STATUSES {
                page.sample(&[("condition", kind), ("node", name(node)), ("status", status)], flag(now == status));
            }
        }
    }
    for (family, field, help) in [
        ("kube_node_status_capacity", "capacity", "The total amount of resources available for a node."),
        ("kube_node_status_allocatable", "allocatable", "The amount of resources allocatable for pods."),
    ] {
        page.family(family, "gauge", help);
        for node in nodes {
            for (resource, amount) in node["status"][field].as_object().into_iter().flatten() {
                let Ok(amount) = Quantity::parse(amount.as_str().unwrap_or_default()) else { continue };
                let unit = match resource.as_str() {
                    "cpu" => "core",
                    "memory" | "ephemeral-storage" => "byte",
                    _ => "integer",
                };
                // Characters that a label's value of kube-state-metrics does not have.
                let resource = resource.replace(['.', '/', '-'], "_");
                page.sample(&[("node", name(node)), ("resource", &resource), ("unit", unit)], amount.as_f64());
            }
        }
    }
}

fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The labels that every series of a pod has.
fn of_pod(pod: &Value) -> [(&'static str, &str); 3] {
    [("namespace", text(pod, "/metadata/namespace")), ("pod", name(pod)), ("uid", text(pod, "/metadata/uid"))]
}

/// An object's labels as kube-state-metrics names them when it is told to show all: `label_` and the key in small letters, with
/// `_` before each that had been a capital one after a small one, and for whatever is neither letter nor digit. Keys that would
/// be the same get `_conflict1`, `_conflict2`, ….
fn label_names(object: &Value) -> Vec<(String, &str)> {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    let mut named: Vec<(String, &str)> = labels
        .map(|(key, value)| {
            let mut name = "label_".to_owned();
            let mut small = false;
            for c in key.chars() {
                if small && c.is_ascii_uppercase() {
                    name.push('_');
                }
                small = c.is_ascii_lowercase() || c.is_ascii_digit();
                name.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
            }
            (name, value.as_str().unwrap_or_default())
        })
        .collect();
    named.sort();
    for same in named.chunk_by_mut(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
        for (place, (name, _)) in same.iter_mut().enumerate() {
            name.push_str(&format!("_conflict{}", place + 1));
        }
    }
    named
}

/// The controlling owner, or the first one; `<none>` without.
fn owner(object: &Value) -> (&str, &str, bool) {
    let owners = list(object, "/metadata/ownerReferences");
    let owner = owners.iter().find(|owner| owner["controller"] == true).or(owners.first());
    owner.map_or(("<none>", "<none>", false), |owner| {
        (text(owner, "/kind"), text(owner, "/name"), owner["controller"] == true)
    })
}

fn pods(page: &mut Exposition, pods: &[Value]) {
    page.family("kube_pod_info", "gauge", "Information about pod.");
    for pod in pods {
        let ([namespace, name, uid], (kind, owner, controls)) = (of_pod(pod), owner(pod));
        let (kind, owner) = if controls { (kind, owner) } else { ("<none>", "<none>") };
        let labels = [
            ("created_by_kind", kind),
            ("created_by_name", owner),
            ("host_ip", text(pod, "/status/hostIP")),
            ("host_network", if pod["spec"]["hostNetwork"] == true { "true" } else { "false" }),
            namespace,
            ("node", text(pod, "/spec/nodeName")),
            name,
            ("pod_ip", text(pod, "/status/podIP")),
            ("priority_class", text(pod, "/spec/priorityClassName")),
            uid,
        ];
        page.sample(&labels, 1.0);
    }
    page.family("kube_pod_labels", "gauge", "Kubernetes labels converted to Prometheus labels.");
    for pod in pods {
        let ([namespace, name, uid], own) = (of_pod(pod), label_names(pod));
        let labels = own.iter().map(|(name, value)| (name.as_str(), *value));
        page.sample(&labels.chain([namespace, name, uid]).collect::<Vec<_>>(), 1.0);
    }
    page.family("kube_pod_owner", "gauge", "Information about the pod's owner.");
    for pod in pods {
        let ([namespace, name, uid], (kind, owner, controls)) = (of_pod(pod), owner(pod));
        let controls = if controls { "true" } else { "false" };
        let labels =
            [namespace, ("owner_is_controller", controls), ("owner_kind", kind), ("owner_name", owner), name, uid];
        page.sample(&labels, 1.0);
    }
    for (family, pointer, help) in [
        ("kube_pod_created", "/metadata/creationTimestamp", "Unix creation timestamp."),
        ("kube_pod_start_time", "/status/startTime", "Start time in unix timestamp for a pod."),
    ] {
        page.family(family, "gauge", help);
        for pod in pods {
            if let Some(at) = seconds(pod, pointer) {
                page.sample(&of_pod(pod), at);
            }
        }
    }
    page.family("kube_pod_status_phase", "gauge", "The pods current phase.");
    for pod in pods {
        let [namespace, name, uid] = of_pod(pod);
        for phase in PHASES {
            page.sample(&[namespace, ("phase", phase), name, uid], flag(pod["status"]["phase"] == phase));
        }
    }
    page.family("kube_pod_status_ready", "gauge", "Describes whether the pod is ready to serve requests.");
    for pod in pods {
        let Some(ready) = condition(pod, "Ready") else { continue };
        let ([namespace, name, uid], now) = (of_pod(pod), text(ready, "/status").to_lowercase());
        for status in STATUSES {
            page.sample(&[("condition", status), namespace, name, uid], flag(now == status));
        }
    }
    page.family("kube_pod_status_reason", "gauge", "The pod status reasons.");
    for pod in pods {
        let [namespace, name, uid] = of_pod(pod);
        for reason in REASONS {
            page.sample(&[namespace, name, ("reason", reason), uid], flag(pod["status"]["reason"] == reason));
        }
    }
    containers(page, pods);
}

fn containers(page: &mut Exposition, pods: &[Value]) {
    // Name, what it tells, and the value of a container's status; none where there is nothing to tell.
    type Read = fn(&Value) -> Option<f64>;
    let plain: [(&'static str, &'static str, &'static str, Read); 4] = [
        (
            "kube_pod_container_status_restarts_total",
            "counter",
            "The number of container restarts per container.",
            |status| status["restartCount"].as_f64(),
        ),
        (
            "kube_pod_container_status_ready",
            "gauge",
            "Describes whether the containers readiness check succeeded.",
            |status| Some(flag(status["ready"] == true)),
        ),
        (
            "kube_pod_container_status_running",
            "gauge",
            "Describes whether the container is currently in running state.",
            |status| Some(flag(!status["state"]["running"].is_null())),
        ),
        (
            "kube_pod_container_status_last_terminated_exitcode",
            "gauge",
            "Describes the exit code for the last container in terminated state.",
            |status| status["lastState"]["terminated"]["exitCode"].as_f64(),
        ),
    ];
    for (family, kind, help, read) in plain {
        page.family(family, kind, help);
        for (pod, status) in statuses(pods) {
            let [namespace, name, uid] = of_pod(pod);
            if let Some(value) = read(status) {
                page.sample(&[("container", text(status, "/name")), namespace, name, uid], value);
            }
        }
    }
    for (family, pointer, help) in [
        (
            "kube_pod_container_status_last_terminated_reason",
            "/lastState/terminated/reason",
            "Describes the last reason the container was in terminated state.",
        ),
        (
            "kube_pod_container_status_terminated_reason",
            "/state/terminated/reason",
            "Describes the reason the container is currently in terminated state.",
        ),
        (
            "kube_pod_container_status_waiting_reason",
            "/state/waiting/reason",
            "Describes the reason the container is currently in waiting state.",
        ),
    ] {
        page.family(family, "gauge", help);
        for (pod, status) in statuses(pods) {
            let ([namespace, name, uid], reason) = (of_pod(pod), text(status, pointer));
            if !reason.is_empty() {
                let container = text(status, "/name");
                page.sample(&[("container", container), namespace, name, ("reason", reason), uid], 1.0);
            }
        }
    }
}

fn statuses(pods: &[Value]) -> impl Iterator<Item = (&Value, &Value)> {
    pods.iter().flat_map(|pod| list(pod, "/status/containerStatuses").iter().map(move |status| (pod, status)))
}

fn owners(page: &mut Exposition, objects: &[Value], family: &'static str, label: &'static str) {
    page.family(family, "gauge", "Information about the owner.");
    for object in objects {
        let (kind, owner, controls) = owner(object);
        let controls = if controls { "true" } else { "false" };
        let labels = [
            (label, name(object)),
            ("namespace", text(object, "/metadata/namespace")),
            ("owner_is_controller", controls),
            ("owner_kind", kind),
            ("owner_name", owner),
        ];
        page.sample(&labels, 1.0);
    }
}
