//! The table of kinds: what each is filled in with, how it is prepared, and what it is checked for. Entry point: [`strategy`].

use serde_json::{Value, json};

use super::path::{Errors, Path};
use super::value::{entry, get, has, set, take_over};
use super::{
    config, events, ingress, jobs, kept, metadata, names, node, other_kinds, pod_defaults, pod_update, pod_validation,
    policy, service, storage, warnings, workloads,
};
use crate::resource::Resource;

/// The rules of a kind.
pub(crate) struct Strategy {
    /// Fills in defaults.
    pub(crate) default: fn(&mut Value),
    /// Makes a new object of what a client sent.
    pub(crate) prepare_create: fn(&mut Value),
    /// Keeps what an update through a subresource (empty: the object itself) may not change.
    pub(crate) prepare_update: fn(&str, &mut Value, &Value),
    /// Finds what is wrong with a new object.
    pub(crate) validate_create: fn(&Value, &mut Errors),
    /// Finds what is wrong with an update.
    pub(crate) validate_update: fn(&str, &Value, &Value, &mut Errors),
    /// Finds what to warn of.
    pub(crate) warnings: fn(&Value, Option<&Value>, &mut Vec<String>),
    /// Whether `validate_create` checks the metadata.
    pub(crate) checks_metadata: bool,
}

/// Kinds of which nothing is known but that they have metadata, and perhaps a status.
const GENERIC: Strategy = Strategy {
    default: |_| {},
    prepare_create: |_| {},
    prepare_update: keep_other_part,
    validate_create: |_, _| {},
    validate_update: |_, object, old, errors| metadata::validate_update(object, old, errors),
    warnings: |_, _, _| {},
    checks_metadata: false,
};

/// The same for kinds that count their generations.
const GENERATIONS: Strategy = Strategy {
    prepare_create: |object| set(entry(object, "metadata"), "generation", 1),
    prepare_update: |subresource, object, old| {
        keep_other_part(subresource, object, old);
        if subresource.is_empty() {
            metadata::raise_if_spec_changed(object, old);
        }
    },
    ..GENERIC
};

const NAMED: Strategy = Strategy { checks_metadata: true, ..GENERIC };

fn keep_other_part(subresource: &str, object: &mut Value, old: &Value) {
    if subresource == "status" {
        take_over(object, "spec", old);
    } else if has(old, "status") {
        take_over(object, "status", old);
    }
}

const POD: Strategy = Strategy {
    default: pod_defaults::pod,
    prepare_create: |pod| {
        pod_update::prepare_create(pod);
        set(entry(pod, "metadata"), "generation", 1);
    },
    prepare_update: pod_update::prepare,
    validate_create: pod_validation::create,
    validate_update: pod_update::validate,
    warnings: warnings::pod,
    ..NAMED
};

const NODE: Strategy = Strategy {
    default: node::default,
    prepare_update: node::prepare,
    validate_create: node::validate,
    validate_update: node::validate_update,
    warnings: warnings::node,
    ..NAMED
};

const NAMESPACE: Strategy = Strategy {
    default: config::default_namespace,
    prepare_create: config::prepare_namespace_create,
    prepare_update: config::prepare_namespace,
    validate_create: config::validate_namespace,
    validate_update: config::validate_namespace_update,
    ..NAMED
};

const CONFIG_MAP: Strategy = Strategy {
    validate_create: config::validate_config_map,
    validate_update: config::validate_config_map_update,
    ..NAMED
};

const SECRET: Strategy = Strategy {
    default: config::default_secret,
    prepare_update: config::prepare_secret,
    validate_create: config::validate_secret,
    validate_update: config::validate_secret_update,
    ..NAMED
};

const SERVICE: Strategy = Strategy {
    default: service::default,
    prepare_create: service::prepare_create,
    prepare_update: service::prepare,
    validate_create: service::validate,
    validate_update: service::validate_update,
    warnings: warnings::service,
    ..NAMED
};

const ENDPOINTS: Strategy = Strategy {
    default: config::default_endpoints,
    validate_create: config::validate_endpoints,
    validate_update: config::validate_endpoints_update,
    ..NAMED
};

const CORE_EVENT: Strategy = Strategy {
    prepare_update: |_, _, _| {},
    validate_create: events::validate_core,
    validate_update: events::validate_core_update,
    ..GENERIC
};

const EVENT: Strategy =
    Strategy { validate_create: events::validate, validate_update: events::validate_update, ..CORE_EVENT };

const CLAIM: Strategy = Strategy {
    default: storage::default_claim,
    prepare_create: storage::prepare_claim_create,
    prepare_update: storage::prepare_claim,
    validate_create: storage::validate_claim,
    validate_update: storage::validate_claim_update,
    warnings: warnings::claim,
    ..NAMED
};

const VOLUME: Strategy = Strategy {
    default: storage::default_volume,
    prepare_create: storage::prepare_volume_create,
    prepare_update: storage::prepare_volume,
    validate_create: storage::validate_volume,
    validate_update: storage::validate_volume_update,
    warnings: warnings::volume,
    ..NAMED
};

const STORAGE_CLASS: Strategy = Strategy {
    default: storage::default_class,
    validate_create: storage::validate_class,
    validate_update: storage::validate_class_update,
    ..NAMED
};

const LIMIT_RANGE: Strategy = Strategy {
    default: policy::default_limit_range,
    validate_create: policy::validate_limit_range,
    validate_update: |_, range, old, errors| {
        metadata::validate_update(range, old, errors);
        policy::validate_limit_range(range, errors);
    },
    ..NAMED
};

const QUOTA: Strategy = Strategy {
    prepare_create: |quota| set(quota, "status", json!({})),
    validate_create: policy::validate_quota,
    validate_update: policy::validate_quota_update,
    ..NAMED
};

const SERVICE_ACCOUNT: Strategy = Strategy {
    validate_create: |account, errors| metadata::validate(account, true, names::subdomain, errors),
    validate_update: |_, account, old, errors| {
        metadata::validate_update(account, old, errors);
        metadata::validate(account, true, names::subdomain, errors);
    },
    ..NAMED
};

const REPLICATION_CONTROLLER: Strategy = Strategy {
    default: workloads::default_replication_controller,
    prepare_create: |object| workloads::prepare_create(object, json!({ "replicas": 0 })),
    validate_create: workloads::validate_replication_controller,
    validate_update: workloads::validate_replication_controller_update,
    checks_metadata: true,
    ..GENERATIONS
};

const POD_TEMPLATE: Strategy = Strategy {
    default: |object| {
        if has(object, "template") {
            pod_defaults::template(entry(object, "template"));
        }
    },
    prepare_update: |_, object, old| {
        if get(object, "template") != get(old, "template") {
            metadata::raise_generation(object, old);
        }
    },
    validate_create: |object, errors| {
        metadata::validate(object, true, names::subdomain, errors);
        pod_validation::template(get(object, "template"), &Path::new("template"), errors);
    },
    validate_update: |_, object, old, errors| {
        metadata::validate_update(object, old, errors);
        pod_validation::template(get(object, "template"), &Path::new("template"), errors);
    },
    checks_metadata: true,
    ..GENERATIONS
};

const DEPLOYMENT: Strategy = Strategy {
    default: workloads::default_deployment,
    prepare_create: |object| workloads::prepare_create(object, json!({})),
    prepare_update: workloads::prepare_deployment,
    validate_create: workloads::validate_deployment,
    validate_update: workloads::validate_deployment_update,
    warnings: warnings::named_workload,
    ..NAMED
};

const REPLICA_SET: Strategy = Strategy {
    default: workloads::default_replica_set,
    prepare_create: |object| workloads::prepare_create(object, json!({ "replicas": 0 })),
    prepare_update: workloads::prepare_spec_and_status,
    validate_create: workloads::validate_replica_set,
    validate_update: workloads::validate_replica_set_update,
    warnings: warnings::named_workload,
    ..NAMED
};

const DAEMON_SET: Strategy = Strategy {
    default: workloads::default_daemon_set,
    prepare_create: |object| {
        let status = json!({
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        });
        workloads::prepare_daemon_set_create(object, status);
    },
    prepare_update: workloads::prepare_daemon_set,
    validate_create: workloads::validate_daemon_set,
    validate_update: workloads::validate_daemon_set_update,
    warnings: warnings::daemon_set,
    ..NAMED
};

const STATEFUL_SET: Strategy = Strategy {
    default: workloads::default_stateful_set,
    prepare_create: |object| workloads::prepare_create(object, json!({ "replicas": 0, "availableReplicas": 0 })),
    prepare_update: workloads::prepare_spec_and_status,
    validate_create: workloads::validate_stateful_set,
    validate_update: workloads::validate_stateful_set_update,
    warnings: warnings::stateful_set,
    ..NAMED
};

const JOB: Strategy = Strategy {
    default: jobs::default_job,
    prepare_create: jobs::prepare_create,
    prepare_update: workloads::prepare_spec_and_status,
    validate_create: jobs::validate_job,
    validate_update: jobs::validate_job_update,
    warnings: warnings::named_workload,
    ..NAMED
};

const CRON_JOB: Strategy = Strategy {
    default: jobs::default_cron_job,
    prepare_create: |object| workloads::prepare_create(object, json!({})),
    prepare_update: workloads::prepare_spec_and_status,
    validate_create: jobs::validate_cron_job,
    validate_update: jobs::validate_cron_job_update,
    warnings: warnings::cron_job,
    ..NAMED
};

const BUDGET: Strategy = Strategy {
    prepare_create: |object| {
        let status = json!({
            "disruptionsAllowed": 0,
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "expectedPods": 0,
        });
        workloads::prepare_create(object, status);
    },
    prepare_update: workloads::prepare_spec_and_status,
    validate_create: policy::validate_budget,
    validate_update: policy::validate_budget_update,
    ..GENERIC
};

const PRIORITY_CLASS: Strategy = Strategy {
    default: policy::default_priority_class,
    prepare_create: |class| set(entry(class, "metadata"), "generation", 1),
    validate_create: policy::validate_priority_class,
    validate_update: policy::validate_priority_class_update,
    ..NAMED
};

const LEASE: Strategy = Strategy {
    prepare_create: policy::prepare_lease,
    prepare_update: |_, lease, _| policy::prepare_lease(lease),
    validate_create: policy::validate_lease,
    validate_update: policy::validate_lease_update,
    ..NAMED
};

/// Cluster-wide kinds with ordinary names.
const SUBDOMAIN_NAMED: Strategy =
    Strategy { validate_create: |object, errors| metadata::validate(object, false, names::subdomain, errors), ..NAMED };

const REVISION: Strategy = Strategy {
    validate_create: other_kinds::validate_revision,
    validate_update: other_kinds::validate_revision_update,
    ..NAMED
};

const NETWORK_POLICY: Strategy = Strategy {
    default: other_kinds::default_network_policy,
    validate_create: |policy, errors| metadata::validate(policy, true, names::subdomain, errors),
    checks_metadata: true,
    ..GENERATIONS
};

const INGRESS: Strategy = Strategy {
    prepare_create: other_kinds::prepare_ingress_create,
    validate_create: ingress::validate,
    validate_update: ingress::validate_update,
    checks_metadata: true,
    ..GENERATIONS
};

const INGRESS_CLASS: Strategy = Strategy {
    default: other_kinds::default_ingress_class,
    validate_create: |class, errors| metadata::validate(class, false, names::subdomain, errors),
    validate_update: kept::validate_ingress_class_update,
    checks_metadata: true,
    ..GENERATIONS
};

const ENDPOINT_SLICE: Strategy = Strategy {
    default: other_kinds::default_endpoint_slice,
    prepare_update: other_kinds::prepare_endpoint_slice,
    validate_create: kept::validate_endpoint_slice,
    validate_update: kept::validate_endpoint_slice_update,
    checks_metadata: true,
    ..GENERATIONS
};

const DRIVER: Strategy = Strategy {
    default: other_kinds::default_driver,
    validate_create: kept::validate_driver,
    validate_update: kept::validate_driver_update,
    ..NAMED
};

const NODE_DRIVERS: Strategy = Strategy {
    validate_create: kept::validate_node_drivers,
    validate_update: kept::validate_node_drivers_update,
    ..NAMED
};

const RUNTIME_CLASS: Strategy = Strategy {
    validate_create: kept::validate_runtime_class,
    validate_update: kept::validate_runtime_class_update,
    ..NAMED
};

const ROLE: Strategy = Strategy {
    validate_create: kept::validate_role,
    validate_update: |_, role, old, errors| {
        kept::validate_role(role, errors);
        metadata::validate_update(role, old, errors);
    },
    ..NAMED
};

const CLUSTER_ROLE: Strategy = Strategy {
    validate_create: kept::validate_cluster_role,
    validate_update: |_, role, old, errors| {
        kept::validate_cluster_role(role, errors);
        metadata::validate_update(role, old, errors);
    },
    ..NAMED
};

const ROLE_BINDING: Strategy = Strategy {
    default: other_kinds::default_role_binding,
    validate_create: kept::validate_role_binding,
    validate_update: |_, binding, old, errors| {
        kept::validate_role_binding(binding, errors);
        other_kinds::validate_same_role(binding, old, errors);
    },
    ..NAMED
};

const CLUSTER_ROLE_BINDING: Strategy = Strategy {
    default: other_kinds::default_role_binding,
    validate_create: kept::validate_cluster_role_binding,
    validate_update: |_, binding, old, errors| {
        kept::validate_cluster_role_binding(binding, errors);
        other_kinds::validate_same_role(binding, old, errors);
    },
    ..NAMED
};

const RESOURCE_CLAIM: Strategy = Strategy {
    default: |claim| other_kinds::default_device_requests(entry(claim, "spec")),
    prepare_create: other_kinds::empty_status,
    validate_update: kept::validate_device_claim_update,
    ..GENERIC
};

const CLAIM_TEMPLATE: Strategy = Strategy {
    default: |template| other_kinds::default_device_requests(entry(entry(template, "spec"), "spec")),
    validate_update: kept::validate_device_claim_update,
    ..GENERIC
};

const VOLUME_ATTACHMENT: Strategy =
    Strategy { prepare_create: |object| set(object, "status", json!({ "attached": false })), ..SUBDOMAIN_NAMED };

/// The rules of a resource.
pub(crate) fn strategy(resource: &Resource) -> &'static Strategy {
    match (resource.group, resource.plural) {
        ("", "pods") => &POD,
        ("", "nodes") => &NODE,
        ("", "namespaces") => &NAMESPACE,
        ("", "configmaps") => &CONFIG_MAP,
        ("", "secrets") => &SECRET,
        ("", "services") => &SERVICE,
        ("", "endpoints") => &ENDPOINTS,
        ("", "events") => &CORE_EVENT,
        ("events.k8s.io", "events") => &EVENT,
        ("", "persistentvolumeclaims") => &CLAIM,
        ("", "persistentvolumes") => &VOLUME,
        ("", "limitranges") => &LIMIT_RANGE,
        ("", "resourcequotas") => &QUOTA,
        ("", "serviceaccounts") => &SERVICE_ACCOUNT,
        ("", "replicationcontrollers") => &REPLICATION_CONTROLLER,
        ("", "podtemplates") => &POD_TEMPLATE,
        ("apps", "deployments") => &DEPLOYMENT,
        ("apps", "replicasets") => &REPLICA_SET,
        ("apps", "daemonsets") => &DAEMON_SET,
        ("apps", "statefulsets") => &STATEFUL_SET,
        ("batch", "jobs") => &JOB,
        ("batch", "cronjobs") => &CRON_JOB,
        ("policy", "poddisruptionbudgets") => &BUDGET,
        ("scheduling.k8s.io", "priorityclasses") => &PRIORITY_CLASS,
        ("coordination.k8s.io", "leases") => &LEASE,
        ("storage.k8s.io", "storageclasses") => &STORAGE_CLASS,
        ("apps", "controllerrevisions") => &REVISION,
        ("networking.k8s.io", "networkpolicies") => &NETWORK_POLICY,
        ("networking.k8s.io", "ingresses") => &INGRESS,
        ("networking.k8s.io", "ingressclasses") => &INGRESS_CLASS,
        ("discovery.k8s.io", "endpointslices") => &ENDPOINT_SLICE,
        ("storage.k8s.io", "csidrivers") => &DRIVER,
        ("storage.k8s.io", "volumeattachments") => &VOLUME_ATTACHMENT,
        ("storage.k8s.io", "csinodes") => &NODE_DRIVERS,
        ("storage.k8s.io", "volumeattributesclasses") => &SUBDOMAIN_NAMED,
        ("node.k8s.io", "runtimeclasses") => &RUNTIME_CLASS,
        ("rbac.authorization.k8s.io", "roles") => &ROLE,
        ("rbac.authorization.k8s.io", "clusterroles") => &CLUSTER_ROLE,
        ("rbac.authorization.k8s.io", "rolebindings") => &ROLE_BINDING,
        ("rbac.authorization.k8s.io", "clusterrolebindings") => &CLUSTER_ROLE_BINDING,
        ("resource.k8s.io", "resourceclaimtemplates") => &CLAIM_TEMPLATE,
        ("resource.k8s.io", "resourceclaims") => &RESOURCE_CLAIM,
        ("resource.k8s.io", "deviceclasses" | "resourceslices") => &GENERATIONS,
        _ => &GENERIC,
    }
}
