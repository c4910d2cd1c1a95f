//! Kubernetes objects as JSON to the core's types, for the conformance cases.

use std::sync::Arc;

use augur_core::object::{
    ContainerResources, ControllerRef, Disk, DisruptionBudget, Effect, HostPort, Labels, Node, NodeAffinity, NodeImage,
    NodeSelectorTerm, Phase, Pod, PodAffinities, PodAffinityTerm, PodResources, PodSpec, PodVolume, PreemptionPolicy,
    PreferredNodeTerm, PreferredPodTerm, Protocol, ResourceList, Resources, SpreadConstraint, StatusResources, Taint,
    Toleration, TolerationOperator, WhenUnsatisfiable,
};
use augur_core::time::Timestamp;
use augur_core::units::Bytes;
use augur_notation::{LabelSelector, Quantity};
use serde_json::Value;

pub mod related;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn map(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn labels(value: &Value) -> Labels {
    map(value).map(|(key, value)| (key, text(value))).collect()
}

fn resource_list(value: &Value) -> ResourceList {
    map(value).map(|(name, amount)| (name.into(), Quantity::parse(text(amount)).expect("a legal quantity"))).collect()
}

fn taint(value: &Value) -> Taint {
    Taint {
        key: text(&value["key"]).into(),
        value: text(&value["value"]).into(),
        effect: Effect::of(text(&value["effect"])),
    }
}

pub fn node(value: &Value) -> Node {
    let allocatable = resource_list(&value["status"]["allocatable"]);
    let pods = allocatable.iter().find(|(name, _)| &**name == "pods").map_or(0, |(_, amount)| amount.value());
    let image = |image: &Value| NodeImage {
        names: list(&image["names"]).iter().map(|name| text(name).into()).collect(),
        size: Bytes(image["sizeBytes"].as_i64().unwrap_or(0)),
    };
    Node {
        name: text(&value["metadata"]["name"]).into(),
        labels: labels(&value["metadata"]["labels"]),
        taints: list(&value["spec"]["taints"]).iter().map(taint).collect(),
        unschedulable: value["spec"]["unschedulable"].as_bool().unwrap_or(false),
        allocatable: Resources::of(allocatable.iter().map(|(name, amount)| (&**name, *amount))),
        allowed_pods: pods,
        ready: true,
        images: list(&value["status"]["images"]).iter().map(image).collect(),
        declared_features: list(&value["status"]["declaredFeatures"]).iter().map(|name| text(name).into()).collect(),
    }
}

pub fn namespace(value: &Value) -> (Arc<str>, Labels) {
    (text(&value["metadata"]["name"]).into(), labels(&value["metadata"]["labels"]))
}

fn requirements(value: &Value) -> Vec<(&str, &str, Vec<&str>)> {
    list(value)
        .iter()
        .map(|r| (text(&r["key"]), text(&r["operator"]), list(&r["values"]).iter().map(text).collect()))
        .collect()
}

fn node_term(value: &Value) -> NodeSelectorTerm {
    NodeSelectorTerm::new(requirements(&value["matchExpressions"]), requirements(&value["matchFields"]))
}

fn node_affinity(value: &Value) -> NodeAffinity {
    let required = &value["requiredDuringSchedulingIgnoredDuringExecution"];
    let preferred = list(&value["preferredDuringSchedulingIgnoredDuringExecution"]);
    NodeAffinity {
        required: required.is_object().then(|| list(&required["nodeSelectorTerms"]).iter().map(node_term).collect()),
        preferred: preferred
            .iter()
            .map(|term| PreferredNodeTerm {
                weight: term["weight"].as_i64().unwrap_or(0) as i32,
                term: node_term(&term["preference"]),
            })
            .collect(),
    }
}

fn selector(value: &Value) -> Option<LabelSelector> {
    value.is_object().then(|| {
        LabelSelector::structured(
            map(&value["matchLabels"]).map(|(key, value)| (key, text(value))),
            requirements(&value["matchExpressions"]),
        )
        .expect("a legal selector")
    })
}

fn pod_term(value: &Value) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: selector(&value["labelSelector"]),
        namespaces: list(&value["namespaces"]).iter().map(|name| text(name).into()).collect(),
        namespace_selector: selector(&value["namespaceSelector"]),
        topology_key: text(&value["topologyKey"]).into(),
    }
}

fn pod_affinities(value: &Value) -> PodAffinities {
    let required = |value: &Value| -> Vec<PodAffinityTerm> {
        list(&value["requiredDuringSchedulingIgnoredDuringExecution"]).iter().map(pod_term).collect()
    };
    let preferred = |value: &Value| -> Vec<PreferredPodTerm> {
        list(&value["preferredDuringSchedulingIgnoredDuringExecution"])
            .iter()
            .map(|term| PreferredPodTerm {
                weight: term["weight"].as_i64().unwrap_or(0) as i32,
                term: pod_term(&term["podAffinityTerm"]),
            })
            .collect()
    };
    PodAffinities {
        required: required(&value["podAffinity"]),
        required_anti: required(&value["podAntiAffinity"]),
        preferred: preferred(&value["podAffinity"]),
        preferred_anti: preferred(&value["podAntiAffinity"]),
    }
}

fn spread(value: &Value) -> SpreadConstraint {
    SpreadConstraint {
        topology_key: text(&value["topologyKey"]).into(),
        max_skew: value["maxSkew"].as_i64().unwrap_or(0) as i32,
        when_unsatisfiable: match text(&value["whenUnsatisfiable"]) {
            "ScheduleAnyway" => WhenUnsatisfiable::ScheduleAnyway,
            _ => WhenUnsatisfiable::DoNotSchedule,
        },
        selector: selector(&value["labelSelector"]),
        min_domains: value["minDomains"].as_i64().map(|domains| domains as i32),
        honor_node_affinity: text(&value["nodeAffinityPolicy"]) != "Ignore",
        honor_taints: text(&value["nodeTaintsPolicy"]) == "Honor",
    }
}

fn toleration(value: &Value) -> Toleration {
    Toleration {
        key: text(&value["key"]).into(),
        operator: match text(&value["operator"]) {
            "" | "Equal" => TolerationOperator::Equal,
            "Exists" => TolerationOperator::Exists,
            _ => TolerationOperator::Unknown,
        },
        value: text(&value["value"]).into(),
        effect: value["effect"].as_str().filter(|effect| !effect.is_empty()).map(Effect::of),
    }
}

fn host_port(value: &Value) -> Option<HostPort> {
    let port = value["hostPort"].as_i64().filter(|port| *port > 0)?;
    let protocol = match text(&value["protocol"]) {
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    Some(HostPort { ip: text(&value["hostIP"]).into(), protocol, port: port as i32 })
}

fn volume(value: &Value) -> Option<PodVolume> {
    let (kind, source) = map(value).find(|(key, _)| *key != "name")?;
    match kind {
        "persistentVolumeClaim" => Some(PodVolume::Claim(text(&source["claimName"]).into())),
        "ephemeral" => Some(PodVolume::EphemeralClaim(text(&value["name"]).into())),
        "gcePersistentDisk" => Some(PodVolume::Disk(Disk::GcePd {
            name: text(&source["pdName"]).into(),
            read_only: source["readOnly"] == true,
        })),
        "awsElasticBlockStore" => Some(PodVolume::Disk(Disk::AwsEbs(text(&source["volumeID"]).into()))),
        "rbd" => Some(PodVolume::Disk(Disk::Rbd {
            monitors: list(&source["monitors"]).iter().map(|monitor| text(monitor).into()).collect(),
            pool: text(&source["pool"]).into(),
            image: text(&source["image"]).into(),
            read_only: source["readOnly"] == true,
        })),
        "iscsi" => Some(PodVolume::Disk(Disk::Iscsi {
            iqn: text(&source["iqn"]).into(),
            read_only: source["readOnly"] == true,
        })),
        // Nothing else bears on the node.
        _ => None,
    }
}

fn is_sidecar(container: &Value) -> bool {
    text(&container["restartPolicy"]) == "Always"
}

fn status_resources(value: &Value) -> Option<StatusResources> {
    value["resources"].is_object().then(|| StatusResources {
        requests: resource_list(&value["resources"]["requests"]),
        allocated: resource_list(&value["allocatedResources"]),
    })
}

fn container(container: &Value, init: bool, statuses: &Value) -> ContainerResources {
    let sidecar = init && is_sidecar(container);
    let status = list(statuses).iter().find(|status| status["name"] == container["name"]);
    ContainerResources {
        requests: resource_list(&container["resources"]["requests"]),
        sidecar,
        status: status.filter(|_| sidecar || !init).and_then(status_resources),
    }
}

fn pod_resources(value: &Value, with_status: bool) -> PodResources {
    let (spec, null) = (&value["spec"], Value::Null);
    let status = if with_status { &value["status"] } else { &null };
    let infeasible = |condition: &Value| {
        text(&condition["type"]) == "PodResizePending" && text(&condition["reason"]) == "Infeasible"
    };
    let containers = |key: &str, statuses: &str| -> Vec<ContainerResources> {
        list(&spec[key]).iter().map(|c| container(c, key == "initContainers", &status[statuses])).collect()
    };
    PodResources {
        init_containers: containers("initContainers", "initContainerStatuses"),
        containers: containers("containers", "containerStatuses"),
        pod_level: spec["resources"].is_object().then(|| resource_list(&spec["resources"]["requests"])),
        pod_level_status: status_resources(status),
        overhead: resource_list(&spec["overhead"]),
        resize_infeasible: list(&status["conditions"]).iter().any(infeasible),
    }
}

fn required_features(spec: &Value) -> Vec<Arc<str>> {
    let mut features: Vec<Arc<str>> = Vec::new();
    let restarts_all = |container: &Value| {
        list(&container["restartPolicyRules"]).iter().any(|rule| text(&rule["action"]) == "RestartAllContainers")
    };
    if list(&spec["containers"]).iter().chain(list(&spec["initContainers"])).any(restarts_all) {
        features.push("RestartAllContainersOnContainerExits".into());
    }
    if spec["hostNetwork"] == true && spec["hostUsers"] == false {
        features.push("UserNamespacesHostNetworkSupport".into());
    }
    features
}

fn pod_spec(value: &Value) -> PodSpec {
    let spec = &value["spec"];
    let (containers, init_containers) = (list(&spec["containers"]), list(&spec["initContainers"]));
    let with_ports = containers.iter().chain(init_containers.iter().filter(|c| is_sidecar(c)));
    let image_volumes = list(&spec["volumes"]).iter().filter_map(|volume| volume["image"]["reference"].as_str());
    let all = init_containers.iter().chain(containers);
    PodSpec {
        scheduler_name: text(&spec["schedulerName"]).into(),
        priority: spec["priority"].as_i64().unwrap_or(0) as i32,
        preemption_policy: match text(&spec["preemptionPolicy"]) {
            "Never" => PreemptionPolicy::Never,
            _ => PreemptionPolicy::PreemptLowerPriority,
        },
        requests: pod_resources(value, false).requests(),
        node_selector: labels(&spec["nodeSelector"]),
        node_affinity: node_affinity(&spec["affinity"]["nodeAffinity"]),
        pod_affinities: pod_affinities(&spec["affinity"]),
        spread: list(&spec["topologySpreadConstraints"]).iter().map(spread).collect(),
        tolerations: list(&spec["tolerations"]).iter().map(toleration).collect(),
        host_ports: with_ports.flat_map(|c| list(&c["ports"])).filter_map(host_port).collect(),
        scheduling_gates: list(&spec["schedulingGates"]).iter().map(|gate| text(&gate["name"]).into()).collect(),
        volumes: list(&spec["volumes"]).iter().filter_map(volume).collect(),
        device_claims: Vec::new(),
        extended: Vec::new(),
        images: all.map(|c| text(&c["image"])).chain(image_volumes).map(Into::into).collect(),
        image_containers: (containers.len() + init_containers.len()) as u32,
        required_features: required_features(spec),
        not_understood: Vec::new(),
    }
}

fn timestamp(value: &Value) -> Option<Timestamp> {
    // 2026-01-05T08:15:09Z; all cases are of one month.
    let text = value.as_str()?;
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<i64>().ok());
    let days = number(5..7)? * 31 + number(8..10)?;
    Some(Timestamp::from_secs(((days * 24 + number(11..13)?) * 60 + number(14..16)?) * 60 + number(17..19)?))
}

fn controller(owner: &Value) -> Option<ControllerRef> {
    let name = text(&owner["name"]).into();
    match (text(&owner["apiVersion"]), text(&owner["kind"])) {
        ("v1", "ReplicationController") => Some(ControllerRef::ReplicationController(name)),
        ("apps/v1", "ReplicaSet") => Some(ControllerRef::ReplicaSet(name)),
        ("apps/v1", "StatefulSet") => Some(ControllerRef::StatefulSet(name)),
        _ => None,
    }
}

pub fn pod(value: &Value) -> Pod {
    let (metadata, status) = (&value["metadata"], &value["status"]);
    let spec = pod_spec(value);
    let resized = pod_resources(value, true).requests();
    Pod {
        labels: labels(&metadata["labels"]),
        node: value["spec"]["nodeName"].as_str().map(Into::into),
        nominated_node: status["nominatedNodeName"].as_str().map(Into::into),
        phase: match text(&status["phase"]) {
            "Running" => Phase::Running,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            _ => Phase::Pending,
        },
        started: timestamp(&status["startTime"]),
        terminating: metadata["deletionTimestamp"].is_string(),
        preempted: list(&status["conditions"]).iter().any(|condition| {
            text(&condition["type"]) == "DisruptionTarget" && text(&condition["reason"]) == "PreemptionByScheduler"
        }),
        controller: list(&metadata["ownerReferences"])
            .iter()
            .find(|owner| owner["controller"] == true)
            .and_then(controller),
        resized: (resized != spec.requests).then(|| Box::new(resized)),
        generated_claims: Vec::new(),
        ..Pod::new(text(&metadata["uid"]), text(&metadata["namespace"]), text(&metadata["name"]), Arc::new(spec))
    }
}

pub fn budget(value: &Value) -> DisruptionBudget {
    let (metadata, status) = (&value["metadata"], &value["status"]);
    DisruptionBudget {
        namespace: text(&metadata["namespace"]).into(),
        name: text(&metadata["name"]).into(),
        selector: selector(&value["spec"]["selector"]),
        allowed: status["disruptionsAllowed"].as_i64().unwrap_or(0) as i32,
        disrupted: map(&status["disruptedPods"]).map(|(name, _)| name.into()).collect(),
    }
}
