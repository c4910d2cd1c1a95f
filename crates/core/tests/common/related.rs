//! Storage objects, services and controllers as JSON to the core's types.

use std::sync::Arc;

use augur_core::object::{
    AccessModes, BindingMode, ClaimRef, CsiDriver, CsiNode, CsiStorageCapacity, PersistentVolume,
    PersistentVolumeClaim, PodSelector, Related, RelatedKind, Selects, StorageClass, TopologyTerm, VolumeAttachment,
    VolumeSource,
};
use augur_notation::Quantity;
use serde_json::Value;

use super::{labels, list, node_term, selector, text};

/// All objects of a case besides nodes and pods.
pub fn all(case: &Value) -> Vec<Related> {
    let of = |key: &str, read: fn(&Value) -> Related| list(&case[key]).iter().map(read).collect::<Vec<_>>();
    [
        of("pvcs", |value| Related::PersistentVolumeClaim(Arc::new(claim(value)))),
        of("pvs", |value| Related::PersistentVolume(Arc::new(volume(value)))),
        of("storageClasses", |value| Related::StorageClass(Arc::new(storage_class(value)))),
        of("csiNodes", |value| Related::CsiNode(Arc::new(csi_node(value)))),
        of("csiDrivers", |value| Related::CsiDriver(Arc::new(csi_driver(value)))),
        of("csiStorageCapacities", |value| Related::CsiStorageCapacity(Arc::new(capacity(value)))),
        of("volumeAttachments", |value| Related::VolumeAttachment(Arc::new(attachment(value)))),
        of("services", |value| pods(value, RelatedKind::Service)),
        of("replicationControllers", |value| pods(value, RelatedKind::ReplicationController)),
        of("replicaSets", |value| pods(value, RelatedKind::ReplicaSet)),
        of("statefulSets", |value| pods(value, RelatedKind::StatefulSet)),
    ]
    .concat()
}

fn shared(value: &Value) -> Arc<str> {
    text(value).into()
}

fn some(value: &Value) -> Option<Arc<str>> {
    value.as_str().filter(|text| !text.is_empty()).map(Into::into)
}

fn size(value: &Value) -> Option<Quantity> {
    value.as_str().map(|text| Quantity::parse(text).expect("a legal quantity"))
}

fn modes(value: &Value) -> AccessModes {
    AccessModes::of(list(value).iter().map(text))
}

fn claim(value: &Value) -> PersistentVolumeClaim {
    let (metadata, spec) = (&value["metadata"], &value["spec"]);
    let annotations = &metadata["annotations"];
    let owners = list(&metadata["ownerReferences"]);
    PersistentVolumeClaim {
        namespace: shared(&metadata["namespace"]),
        name: shared(&metadata["name"]),
        uid: shared(&metadata["uid"]),
        controller: owners.iter().find(|owner| owner["controller"] == true).map(|owner| shared(&owner["uid"])),
        class: shared(&spec["storageClassName"]),
        volume: some(&spec["volumeName"]),
        bind_completed: annotations["pv.kubernetes.io/bind-completed"].is_string(),
        lost: text(&value["status"]["phase"]) == "Lost",
        terminating: metadata["deletionTimestamp"].is_string(),
        access_modes: modes(&spec["accessModes"]),
        block: text(&spec["volumeMode"]) == "Block",
        requested: size(&spec["resources"]["requests"]["storage"]),
        selector: selector(&spec["selector"]),
        attributes_class: shared(&spec["volumeAttributesClassName"]),
        selected_node: some(&annotations["volume.kubernetes.io/selected-node"]),
    }
}

fn volume(value: &Value) -> PersistentVolume {
    let (metadata, spec) = (&value["metadata"], &value["spec"]);
    let reference = &spec["claimRef"];
    let required = &spec["nodeAffinity"]["required"];
    let csi = &spec["csi"];
    PersistentVolume {
        name: shared(&metadata["name"]),
        labels: labels(&metadata["labels"]),
        class: shared(&spec["storageClassName"]),
        claim: reference.is_object().then(|| ClaimRef {
            namespace: shared(&reference["namespace"]),
            name: shared(&reference["name"]),
            uid: shared(&reference["uid"]),
        }),
        capacity: size(&spec["capacity"]["storage"]).expect("a volume has a size"),
        access_modes: modes(&spec["accessModes"]),
        block: text(&spec["volumeMode"]) == "Block",
        attributes_class: shared(&spec["volumeAttributesClassName"]),
        node_affinity: required
            .is_object()
            .then(|| list(&required["nodeSelectorTerms"]).iter().map(node_term).collect()),
        available: text(&value["status"]["phase"]) == "Available",
        terminating: metadata["deletionTimestamp"].is_string(),
        source: match csi.is_object() {
            true => VolumeSource::Csi { driver: shared(&csi["driver"]), handle: shared(&csi["volumeHandle"]) },
            false => VolumeSource::Other,
        },
    }
}

fn storage_class(value: &Value) -> StorageClass {
    let expression = |value: &Value| (shared(&value["key"]), list(&value["values"]).iter().map(shared).collect());
    let term = |value: &Value| TopologyTerm(list(&value["matchLabelExpressions"]).iter().map(expression).collect());
    StorageClass {
        name: shared(&value["metadata"]["name"]),
        provisioner: shared(&value["provisioner"]),
        binding_mode: match text(&value["volumeBindingMode"]) {
            "Immediate" => Some(BindingMode::Immediate),
            "WaitForFirstConsumer" => Some(BindingMode::WaitForFirstConsumer),
            _ => None,
        },
        allowed_topologies: list(&value["allowedTopologies"]).iter().map(term).collect(),
    }
}

fn csi_node(value: &Value) -> CsiNode {
    let drivers = list(&value["spec"]["drivers"]).iter();
    CsiNode {
        name: shared(&value["metadata"]["name"]),
        limits: drivers
            .filter_map(|driver| Some((shared(&driver["name"]), driver["allocatable"]["count"].as_i64()?)))
            .collect(),
        migrated: Vec::new(),
    }
}

fn csi_driver(value: &Value) -> CsiDriver {
    CsiDriver { name: shared(&value["metadata"]["name"]), storage_capacity: value["spec"]["storageCapacity"] == true }
}

fn capacity(value: &Value) -> CsiStorageCapacity {
    CsiStorageCapacity {
        namespace: shared(&value["metadata"]["namespace"]),
        name: shared(&value["metadata"]["name"]),
        class: shared(&value["storageClassName"]),
        nodes: selector(&value["nodeTopology"]),
        limit: size(&value["maximumVolumeSize"]).or_else(|| size(&value["capacity"])).map(Quantity::value),
    }
}

fn attachment(value: &Value) -> VolumeAttachment {
    VolumeAttachment {
        name: shared(&value["metadata"]["name"]),
        attacher: shared(&value["spec"]["attacher"]),
        node: shared(&value["spec"]["nodeName"]),
        volume: some(&value["spec"]["source"]["persistentVolumeName"]),
    }
}

fn pods(value: &Value, kind: RelatedKind) -> Related {
    let wanted = &value["spec"]["selector"];
    let by_labels = if wanted.is_object() { Selects::Labels(labels(wanted)) } else { Selects::Nothing };
    let by_conditions = || selector(wanted).map_or(Selects::Nothing, Selects::Conditions);
    let new = |selects| {
        let metadata = &value["metadata"];
        Arc::new(PodSelector { namespace: shared(&metadata["namespace"]), name: shared(&metadata["name"]), selects })
    };
    match kind {
        RelatedKind::Service => Related::Service(new(by_labels)),
        RelatedKind::ReplicationController => Related::ReplicationController(new(by_labels)),
        RelatedKind::ReplicaSet => Related::ReplicaSet(new(by_conditions())),
        _ => Related::StatefulSet(new(by_conditions())),
    }
}
