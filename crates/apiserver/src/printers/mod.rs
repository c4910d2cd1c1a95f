//! Tables: the columns that kubectl users know.
//!
//! [`table`] turns objects into a `meta.k8s.io` Table. Column definitions are in `columns`, the cells of each kind in the
//! modules named after what they print; kinds without a printer get their name and creation time.

mod age;
mod cells;
mod cluster;
mod columns;
mod network;
mod pod;
mod storage;
mod workloads;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::resource::Resource;
use columns::Column;

pub use age::human_duration;

/// Which part of each object a table row carries (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata, as `PartialObjectMetadata`.
    Metadata,
    /// All of it.
    Object,
}

/// How a table is to be written.
#[derive(Debug, Clone, Copy)]
pub struct TableOptions<'a> {
    /// What each row carries of its object.
    pub include: IncludeObject,
    /// Version of `meta.k8s.io` that was asked for: `v1` or `v1beta1`.
    pub version: &'a str,
    /// Whether the column definitions are written; only the first table of a watch has them, later ones have null.
    pub columns: bool,
    /// The present, for ages.
    pub now: Timestamp,
}

/// A `meta.k8s.io` Table of the objects. `metadata` is the list's (or, for one object, its resourceVersion).
#[must_use]
pub fn table(resource: &Resource, objects: &[Value], metadata: &Value, options: &TableOptions<'_>) -> Value {
    let scale = objects.first().is_some_and(|o| o["kind"] == "Scale");
    let (group, plural) = if scale { ("autoscaling", "scales") } else { (resource.group, resource.plural) };
    let printer = printer(group, plural);
    let api_version = format!("meta.k8s.io/{}", options.version);
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells = (printer.cells)(object, options.now);
            let shown = match options.include {
                IncludeObject::None => Value::Null,
                IncludeObject::Metadata => json!({
                    "kind": "PartialObjectMetadata",
                    "apiVersion": api_version,
                    "metadata": object["metadata"],
                }),
                IncludeObject::Object => with_type(resource, object),
            };
            let mut row = json!({ "cells": cells, "object": shown });
            if plural == "pods"
                && group.is_empty()
                && let Some(conditions) = pod::row_conditions(object)
            {
                row["conditions"] = conditions;
            }
            row
        })
        .collect();
    let definitions =
        if options.columns { printer.columns.iter().map(Column::definition).collect() } else { Value::Null };
    json!({
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn with_type(resource: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.entry("kind").or_insert_with(|| json!(resource.kind));
        map.entry("apiVersion").or_insert_with(|| json!(resource.api_version()));
    }
    object
}

/// Fills the cells of one row.
type Cells = fn(&Value, Timestamp) -> Vec<Value>;

/// The columns of a kind and the function that fills them.
struct Printer {
    columns: &'static [Column],
    cells: Cells,
}

fn printer(group: &str, plural: &str) -> Printer {
    let (columns, cells): (&'static [Column], Cells) = match (group, plural) {
        ("", "pods") => (columns::POD, pod::pod),
        ("", "podtemplates") => (columns::POD_TEMPLATE, workloads::pod_template),
        ("", "replicationcontrollers") => (columns::REPLICAS, workloads::replication_controller),
        ("", "nodes") => (columns::NODE, cluster::node),
        ("", "namespaces") => (columns::NAMESPACE, cluster::namespace),
        ("", "events") | ("events.k8s.io", "events") => (columns::EVENT, cluster::event),
        ("", "configmaps") => (columns::CONFIG_MAP, cluster::config_map),
        ("", "secrets") => (columns::SECRET, cluster::secret),
        ("", "resourcequotas") => (columns::RESOURCE_QUOTA, cluster::resource_quota),
        ("", "componentstatuses") => (columns::COMPONENT_STATUS, cluster::component_status),
        ("", "serviceaccounts")
        | ("resource.k8s.io", "deviceclasses" | "resourceclaimtemplates")
        | ("scheduling.k8s.io", "workloads") => (columns::NAME_AND_AGE, cluster::name_and_age),
        ("", "services") => (columns::SERVICE, network::service),
        ("", "endpoints") => (columns::ENDPOINTS, network::endpoints),
        ("", "persistentvolumes") => (columns::PERSISTENT_VOLUME, storage::persistent_volume),
        ("", "persistentvolumeclaims") => (columns::PERSISTENT_VOLUME_CLAIM, storage::persistent_volume_claim),
        ("apps", "deployments") => (columns::DEPLOYMENT, workloads::deployment),
        ("apps", "replicasets") => (columns::REPLICAS, workloads::replica_set),
        ("apps", "statefulsets") => (columns::STATEFUL_SET, workloads::stateful_set),
        ("apps", "daemonsets") => (columns::DAEMON_SET, workloads::daemon_set),
        ("apps", "controllerrevisions") => (columns::CONTROLLER_REVISION, workloads::controller_revision),
        ("batch", "jobs") => (columns::JOB, workloads::job),
        ("batch", "cronjobs") => (columns::CRON_JOB, workloads::cron_job),
        ("autoscaling", "scales") => (columns::SCALE, workloads::scale),
        ("policy", "poddisruptionbudgets") => (columns::POD_DISRUPTION_BUDGET, workloads::pod_disruption_budget),
        ("coordination.k8s.io", "leases") => (columns::LEASE, cluster::lease),
        ("coordination.k8s.io", "leasecandidates") => (columns::LEASE_CANDIDATE, cluster::lease_candidate),
        ("scheduling.k8s.io", "priorityclasses") => (columns::PRIORITY_CLASS, cluster::priority_class),
        ("node.k8s.io", "runtimeclasses") => (columns::RUNTIME_CLASS, cluster::runtime_class),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            (columns::ROLE_BINDING, cluster::role_binding)
        }
        ("resource.k8s.io", "resourceclaims") => (columns::RESOURCE_CLAIM, cluster::resource_claim),
        ("resource.k8s.io", "resourceslices") => (columns::RESOURCE_SLICE, cluster::resource_slice),
        ("discovery.k8s.io", "endpointslices") => (columns::ENDPOINT_SLICE, network::endpoint_slice),
        ("networking.k8s.io", "ingresses") => (columns::INGRESS, network::ingress),
        ("networking.k8s.io", "ingressclasses") => (columns::INGRESS_CLASS, network::ingress_class),
        ("networking.k8s.io", "networkpolicies") => (columns::NETWORK_POLICY, network::network_policy),
        ("networking.k8s.io", "servicecidrs") => (columns::SERVICE_CIDR, network::service_cidr),
        ("networking.k8s.io", "ipaddresses") => (columns::IP_ADDRESS, network::ip_address),
        ("storage.k8s.io", "storageclasses") => (columns::STORAGE_CLASS, storage::storage_class),
        ("storage.k8s.io", "csinodes") => (columns::CSI_NODE, storage::csi_node),
        ("storage.k8s.io", "csidrivers") => (columns::CSI_DRIVER, storage::csi_driver),
        ("storage.k8s.io", "csistoragecapacities") => (columns::CSI_STORAGE_CAPACITY, storage::csi_storage_capacity),
        ("storage.k8s.io", "volumeattachments") => (columns::VOLUME_ATTACHMENT, storage::volume_attachment),
        ("storage.k8s.io", "volumeattributesclasses") => {
            (columns::VOLUME_ATTRIBUTES_CLASS, storage::volume_attributes_class)
        }
        _ => (columns::NAME_AND_CREATED_AT, cluster::name_and_created_at),
    };
    Printer { columns, cells }
}

#[cfg(test)]
mod tests;
