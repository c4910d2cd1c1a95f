//! Pods.

use std::sync::Arc;

use augur_core::object::{
    ContainerResources, ControllerRef, Disk, Effect, HostPort, Phase, Pod, PodResources, PodSpec, PodVolume,
    PreemptionPolicy, Protocol, StatusResources, Toleration, TolerationOperator, WorkloadRef,
};

use super::affinity::{node_affinity, pod_affinities, spread};
use super::devices::{extended_requests, pod_claim};
use super::{NAMELESS, amounts, labels, some, timestamp};
use crate::reflect::Skipped;
use crate::wire;

/// The pod as the decision sees it.
///
/// # Errors
/// It has no name or uid, or an amount that is none.
pub fn pod(pod: &wire::Pod<'_>) -> Result<Pod, Skipped> {
    let meta = &pod.metadata;
    if meta.name.is_empty() || meta.uid.is_empty() {
        return Err(Skipped::new(NAMELESS, "a pod without name or uid"));
    }
    let mut resources = pod_resources(&pod.spec).map_err(|skipped| skipped.within("spec"))?;
    let spec = spec_with(meta, &pod.spec, &resources);
    let status = &pod.status;
    let resized = if add_status(&mut resources, pod)? {
        let now = resources.requests();
        (now != spec.requests).then(|| Box::new(now))
    } else {
        None
    };
    let (kind, owner) = crate::workload(meta);
    Ok(Pod {
        uid: meta.uid.as_str().into(),
        namespace: meta.namespace.as_str().into(),
        name: meta.name.as_str().into(),
        labels: labels(&meta.labels),
        generation: u32::try_from(meta.generation).unwrap_or(0),
        spec: Arc::new(spec),
        node: some(&pod.spec.node_name),
        nominated_node: some(&status.nominated_node_name),
        phase: match status.phase.as_str() {
            "" | "Pending" => Phase::Pending,
            "Running" => Phase::Running,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            _ => Phase::Unknown,
        },
        created: timestamp(meta.creation_timestamp.as_ref()),
        started: timestamp(status.start_time.as_ref()),
        terminating: meta.deletion_timestamp.is_some(),
        preempted: status
            .conditions
            .iter()
            .any(|condition| &*condition.r#type == "DisruptionTarget" && &*condition.reason == "PreemptionByScheduler"),
        controller: controller(meta),
        workload: Some(WorkloadRef { kind: kind.into(), name: Arc::from(owner) }),
        resized,
        generated_claims: status
            .resource_claim_statuses
            .iter()
            .map(|claim| {
                let made = claim.resource_claim_name.as_ref().map(|name| name.as_str().into());
                (claim.name.as_str().into(), made)
            })
            .collect(),
    })
}

/// What a pod of this metadata and spec wants, for pods that exist only in a request.
///
/// # Errors
/// An amount that is none.
pub fn pod_spec(meta: &wire::ObjectMeta<'_>, spec: &wire::PodSpec<'_>) -> Result<PodSpec, Skipped> {
    let mut resources = pod_resources(spec)?;
    // As the API server fills in what is left out: who sets only a limit requests as much.
    let lists = [
        ("initContainers", &mut resources.init_containers, &spec.init_containers),
        ("containers", &mut resources.containers, &spec.containers),
    ];
    for (list, resources, containers) in lists {
        for (index, (resources, container)) in resources.iter_mut().zip(containers).enumerate() {
            let limits = amounts(&container.resources.limits, "resources.limits")
                .map_err(|skipped| skipped.within(&format!("{list}[{index}]")))?;
            for (name, limit) in limits {
                if !container.resources.requests.iter().any(|(requested, _)| requested.as_str() == &*name) {
                    resources.requests.extend([(name, limit)]);
                }
            }
        }
    }
    Ok(spec_with(meta, spec, &resources))
}

fn pod_resources(spec: &wire::PodSpec<'_>) -> Result<PodResources, Skipped> {
    let of = |(index, container): (usize, &wire::Container<'_>), list: &str| {
        Ok(ContainerResources {
            requests: amounts(&container.resources.requests, "resources.requests")
                .map_err(|skipped| skipped.within(&format!("{list}[{index}]")))?,
            sidecar: container.restart_policy.as_deref() == Some("Always"),
            status: None,
        })
    };
    let all = |containers: &[wire::Container<'_>], list: &str| {
        containers.iter().enumerate().map(|container| of(container, list)).collect::<Result<Vec<_>, Skipped>>()
    };
    Ok(PodResources {
        init_containers: all(&spec.init_containers, "initContainers")?,
        containers: all(&spec.containers, "containers")?,
        pod_level: spec
            .resources
            .as_ref()
            .map(|resources| amounts(&resources.requests, "resources.requests"))
            .transpose()?,
        pod_level_status: None,
        overhead: amounts(&spec.overhead, "overhead")?,
        resize_infeasible: false,
    })
}

/// Adds what the kubelet tells of a resize; whether there is anything.
fn add_status(resources: &mut PodResources, pod: &wire::Pod<'_>) -> Result<bool, Skipped> {
    let status = &pod.status;
    let mut any = false;
    let lists = [
        (&mut resources.init_containers, &pod.spec.init_containers, &status.init_container_statuses),
        (&mut resources.containers, &pod.spec.containers, &status.container_statuses),
    ];
    for (resources, containers, statuses) in lists {
        for (resources, container) in resources.iter_mut().zip(containers) {
            let Some(status) = statuses.iter().find(|status| status.name == container.name) else { continue };
            if let Some(now) = &status.resources {
                any = true;
                resources.status = Some(told(now, &status.allocated_resources)?);
            }
        }
    }
    if let Some(now) = &status.resources {
        any = true;
        resources.pod_level_status = Some(told(now, &status.allocated_resources)?);
    }
    resources.resize_infeasible = status.conditions.iter().any(|condition| {
        condition.r#type.as_str() == "PodResizePending"
            && condition.status.as_str() == "True"
            && condition.reason.as_str() == "Infeasible"
    });
    Ok(any)
}

fn told(now: &wire::ResourceRequirements<'_>, allocated: &wire::Map<'_>) -> Result<StatusResources, Skipped> {
    Ok(StatusResources {
        requests: amounts(&now.requests, "status resources.requests")?,
        allocated: amounts(allocated, "status allocatedResources")?,
    })
}

fn spec_with(meta: &wire::ObjectMeta<'_>, spec: &wire::PodSpec<'_>, resources: &PodResources) -> PodSpec {
    let mut not_understood = Vec::new();
    let containers = || spec.init_containers.iter().chain(&spec.containers);
    for (present, name) in
        [(spec.scheduling_group.is_some(), "schedulingGroup"), (spec.workload_ref.is_some(), "workloadRef")]
    {
        if present {
            not_understood.push(name.into());
        }
    }
    let image_volumes = spec.volumes.iter().filter_map(|volume| Some(&volume.image.as_ref()?.reference));
    PodSpec {
        scheduler_name: some(&spec.scheduler_name).unwrap_or_else(|| "default-scheduler".into()),
        priority: spec.priority.unwrap_or(0),
        preemption_policy: match spec.preemption_policy.as_deref() {
            Some("Never") => PreemptionPolicy::Never,
            _ => PreemptionPolicy::PreemptLowerPriority,
        },
        requests: resources.requests(),
        node_selector: labels(&spec.node_selector),
        node_affinity: node_affinity(&spec.affinity.node_affinity),
        pod_affinities: pod_affinities(&spec.affinity, &mut not_understood),
        spread: spread(meta, &spec.topology_spread_constraints, &mut not_understood),
        tolerations: spec.tolerations.iter().map(toleration).collect(),
        host_ports: spec
            .containers
            .iter()
            // Sidecars hold their ports as long as the pod lives; other init containers are not asked about theirs.
            .chain(spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always")))
            .flat_map(|container| &container.ports)
            .filter(|port| port.host_port > 0)
            .map(host_port)
            .collect(),
        scheduling_gates: spec.scheduling_gates.iter().map(|gate| gate.name.as_str().into()).collect(),
        volumes: spec.volumes.iter().filter_map(volume).collect(),
        device_claims: spec.resource_claims.iter().map(pod_claim).collect(),
        extended: extended_requests(spec),
        images: containers()
            .map(|container| &container.image)
            .chain(image_volumes)
            .map(|i| i.as_str().into())
            .collect(),
        image_containers: u32::try_from(containers().count()).unwrap_or(u32::MAX),
        required_features: required_features(spec),
        not_understood,
    }
}

/// Optional features of a kubelet that the pod makes use of.
fn required_features(spec: &wire::PodSpec<'_>) -> Vec<Arc<str>> {
    let mut features: Vec<Arc<str>> = Vec::new();
    let mut containers = spec.init_containers.iter().chain(&spec.containers);
    if containers.any(|c| c.restart_policy_rules.iter().any(|rule| rule.action.as_str() == "RestartAllContainers")) {
        features.push("RestartAllContainersOnContainerExits".into());
    }
    if spec.host_network == Some(true) && spec.host_users == Some(false) {
        features.push("UserNamespacesHostNetworkSupport".into());
    }
    features
}

fn toleration(toleration: &wire::Toleration<'_>) -> Toleration {
    Toleration {
        key: toleration.key.as_str().into(),
        operator: match toleration.operator.as_str() {
            "" | "Equal" => TolerationOperator::Equal,
            "Exists" => TolerationOperator::Exists,
            _ => TolerationOperator::Unknown,
        },
        value: toleration.value.as_str().into(),
        effect: (!toleration.effect.is_empty()).then(|| Effect::of(&toleration.effect)),
    }
}

fn host_port(port: &wire::ContainerPort<'_>) -> HostPort {
    HostPort {
        ip: port.host_ip.as_str().into(),
        protocol: match port.protocol.as_str() {
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            _ => Protocol::Tcp,
        },
        port: port.host_port,
    }
}

fn volume(volume: &wire::Volume<'_>) -> Option<PodVolume> {
    if let Some(claim) = &volume.persistent_volume_claim {
        return Some(PodVolume::Claim(claim.claim_name.as_str().into()));
    }
    if volume.ephemeral.is_some() {
        return Some(PodVolume::EphemeralClaim(volume.name.as_str().into()));
    }
    disk(volume).map(PodVolume::Disk)
}

fn disk(volume: &wire::Volume<'_>) -> Option<Disk> {
    let text = |text: &wire::Text<'_>| Arc::from(text.as_str());
    if let Some(disk) = &volume.gce_persistent_disk {
        return Some(Disk::GcePd { name: text(&disk.pd_name), read_only: disk.read_only });
    }
    if let Some(disk) = &volume.iscsi {
        return Some(Disk::Iscsi { iqn: text(&disk.iqn), read_only: disk.read_only });
    }
    if let Some(disk) = &volume.rbd {
        return Some(Disk::Rbd {
            monitors: disk.monitors.iter().map(text).collect(),
            pool: text(&disk.pool),
            image: text(&disk.image),
            read_only: disk.read_only,
        });
    }
    let by_id = |disk: &Option<wire::DiskSource<'_>>| disk.as_ref().map(|disk| text(&disk.volume_id));
    let ebs = by_id(&volume.aws_elastic_block_store).map(Disk::AwsEbs);
    ebs.or_else(|| by_id(&volume.cinder).map(Disk::Cinder))
        .or_else(|| by_id(&volume.portworx_volume).map(Disk::Portworx))
        .or_else(|| volume.azure_disk.as_ref().map(|disk| Disk::AzureDisk(text(&disk.disk_uri))))
}

fn controller(meta: &wire::ObjectMeta<'_>) -> Option<ControllerRef> {
    let owner = meta.owner_references.iter().find(|owner| owner.controller == Some(true))?;
    let name = Arc::from(owner.name.as_str());
    match (owner.api_version.as_str(), owner.kind.as_str()) {
        ("v1", "ReplicationController") => Some(ControllerRef::ReplicationController(name)),
        ("apps/v1", "ReplicaSet") => Some(ControllerRef::ReplicaSet(name)),
        ("apps/v1", "StatefulSet") => Some(ControllerRef::StatefulSet(name)),
        _ => None,
    }
}
