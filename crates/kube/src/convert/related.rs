//! Objects besides nodes and pods: [`related`] reads one of any kind.

use std::sync::Arc;

use augur_core::object::{
    AccessModes, BindingMode, ClaimRef, CsiDriver, CsiNode, CsiStorageCapacity, InTree, PersistentVolume,
    PersistentVolumeClaim, PodSelector, Related, RelatedKind, Selects, StorageClass, TopologyTerm, VolumeAttachment,
    VolumeSource,
};
use augur_notation::{LabelSelector, Quantity};
use serde::Deserialize;

use super::affinity::{selector, term};
use super::devices::{device_class, resource_claim, resource_slice};
use super::{BAD_QUANTITY, NAMELESS, labels, some};
use crate::reflect::{MALFORMED, Skipped};
use crate::wire::{self, RelatedMeta, Text};

/// The reason for skipping an object with a selector that is none.
pub const BAD_SELECTOR: &str = "bad_selector";

/// The object of this kind in the text, and its revision.
///
/// # Errors
/// The text is no JSON of the kind, or the object has no name, or an amount or selector that is none.
pub fn related(kind: RelatedKind, json: &str) -> Result<(Related, String), Skipped> {
    match kind {
        RelatedKind::PersistentVolumeClaim => read(json, |claim: &wire::PersistentVolumeClaim<'_>| {
            Ok((Related::PersistentVolumeClaim(Arc::new(persistent_volume_claim(claim)?)), &claim.metadata))
        }),
        RelatedKind::PersistentVolume => read(json, |volume: &wire::PersistentVolume<'_>| {
            Ok((Related::PersistentVolume(Arc::new(persistent_volume(volume)?)), &volume.metadata))
        }),
        RelatedKind::StorageClass => read(json, |class: &wire::StorageClass<'_>| {
            Ok((Related::StorageClass(Arc::new(storage_class(class))), &class.metadata))
        }),
        RelatedKind::CsiNode => {
            read(json, |node: &wire::CsiNode<'_>| Ok((Related::CsiNode(Arc::new(csi_node(node))), &node.metadata)))
        }
        RelatedKind::CsiDriver => read(json, |driver: &wire::CsiDriver<'_>| {
            let storage_capacity = driver.spec.storage_capacity == Some(true);
            let read = CsiDriver { name: text(&driver.metadata.name), storage_capacity };
            Ok((Related::CsiDriver(Arc::new(read)), &driver.metadata))
        }),
        RelatedKind::CsiStorageCapacity => read(json, |room: &wire::CsiStorageCapacity<'_>| {
            Ok((Related::CsiStorageCapacity(Arc::new(csi_storage_capacity(room)?)), &room.metadata))
        }),
        RelatedKind::VolumeAttachment => read(json, |attachment: &wire::VolumeAttachment<'_>| {
            Ok((Related::VolumeAttachment(Arc::new(volume_attachment(attachment))), &attachment.metadata))
        }),
        RelatedKind::ResourceClaim => read(json, |claim: &wire::ResourceClaim<'_>| {
            Ok((Related::ResourceClaim(Arc::new(resource_claim(claim)?)), &claim.metadata))
        }),
        RelatedKind::ResourceSlice => read(json, |slice: &wire::ResourceSlice<'_>| {
            Ok((Related::ResourceSlice(Arc::new(resource_slice(slice)?)), &slice.metadata))
        }),
        RelatedKind::DeviceClass => read(json, |class: &wire::DeviceClass<'_>| {
            Ok((Related::DeviceClass(Arc::new(device_class(class))), &class.metadata))
        }),
        RelatedKind::Service => {
            read(json, |object: &wire::SelectsByLabels<'_>| Ok((Related::Service(by_labels(object)), &object.metadata)))
        }
        RelatedKind::ReplicationController => read(json, |object: &wire::SelectsByLabels<'_>| {
            Ok((Related::ReplicationController(by_labels(object)), &object.metadata))
        }),
        RelatedKind::ReplicaSet => read(json, |object: &wire::SelectsByConditions<'_>| {
            Ok((Related::ReplicaSet(by_conditions(object)), &object.metadata))
        }),
        RelatedKind::StatefulSet => read(json, |object: &wire::SelectsByConditions<'_>| {
            Ok((Related::StatefulSet(by_conditions(object)), &object.metadata))
        }),
    }
}

fn read<'j, T: Deserialize<'j>>(
    json: &'j str,
    convert: impl for<'t> Fn(&'t T) -> Result<(Related, &'t RelatedMeta<'j>), Skipped>,
) -> Result<(Related, String), Skipped> {
    let object: T = serde_json::from_str(json).map_err(|error| Skipped::new(MALFORMED, error.to_string()))?;
    let (related, meta) = convert(&object)?;
    if meta.name.is_empty() {
        return Err(Skipped::new(NAMELESS, "an object without a name"));
    }
    Ok((related, meta.resource_version.to_string()))
}

fn text(text: &Text<'_>) -> Arc<str> {
    text.as_str().into()
}

/// A text that may be left out; empty if it is.
fn or_empty(value: Option<&Text<'_>>) -> Arc<str> {
    value.map_or_else(|| "".into(), text)
}

pub(super) fn size(value: &Text<'_>, place: &str) -> Result<Quantity, Skipped> {
    Quantity::parse(value).map_err(|error| Skipped::new(BAD_QUANTITY, format!("{place}: {}: {error}", value.as_str())))
}

fn conditions(wire: &wire::LabelSelector<'_>, place: &str) -> Result<LabelSelector, Skipped> {
    selector(wire, &[]).map_err(|error| Skipped::new(BAD_SELECTOR, format!("{place}: {error}")))
}

fn modes(names: &[Text<'_>]) -> AccessModes {
    AccessModes::of(names.iter().map(Text::as_str))
}

fn persistent_volume_claim(claim: &wire::PersistentVolumeClaim<'_>) -> Result<PersistentVolumeClaim, Skipped> {
    let (meta, spec) = (&claim.metadata, &claim.spec);
    let owners = &meta.owner_references;
    let requested = spec.resources.requests.iter().find(|(name, _)| name.as_str() == "storage");
    Ok(PersistentVolumeClaim {
        namespace: text(&meta.namespace),
        name: text(&meta.name),
        uid: text(&meta.uid),
        controller: owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| text(&owner.uid)),
        class: or_empty(meta.annotations.storage_class.as_ref().or(spec.storage_class_name.as_ref())),
        volume: some(&spec.volume_name),
        bind_completed: meta.annotations.bind_completed.is_some(),
        lost: claim.status.phase.as_str() == "Lost",
        terminating: meta.deletion_timestamp.is_some(),
        access_modes: modes(&spec.access_modes),
        block: spec.volume_mode.as_str() == "Block",
        requested: requested.map(|(_, amount)| size(amount, "spec.resources.requests.storage")).transpose()?,
        selector: spec.selector.as_ref().map(|wire| conditions(wire, "spec.selector")).transpose()?,
        attributes_class: or_empty(spec.volume_attributes_class_name.as_ref()),
        selected_node: meta.annotations.selected_node.as_ref().map(text),
    })
}

fn persistent_volume(volume: &wire::PersistentVolume<'_>) -> Result<PersistentVolume, Skipped> {
    let (meta, spec) = (&volume.metadata, &volume.spec);
    let capacity = spec.capacity.iter().find(|(name, _)| name.as_str() == "storage");
    let in_tree = [
        (&spec.gce_persistent_disk, InTree::GcePd),
        (&spec.aws_elastic_block_store, InTree::AwsEbs),
        (&spec.azure_disk, InTree::AzureDisk),
        (&spec.cinder, InTree::Cinder),
        (&spec.portworx_volume, InTree::Portworx),
    ];
    let source = match &spec.csi {
        Some(csi) => VolumeSource::Csi { driver: text(&csi.driver), handle: text(&csi.volume_handle) },
        None => in_tree
            .into_iter()
            .find(|(source, _)| source.is_some())
            .map_or(VolumeSource::Other, |(_, plugin)| VolumeSource::InTree(plugin)),
    };
    let required = spec.node_affinity.required.as_ref();
    Ok(PersistentVolume {
        name: text(&meta.name),
        labels: labels(&meta.labels),
        class: match &meta.annotations.storage_class {
            Some(class) => text(class),
            None => text(&spec.storage_class_name),
        },
        claim: spec.claim_ref.as_ref().map(|claim| ClaimRef {
            namespace: text(&claim.namespace),
            name: text(&claim.name),
            uid: text(&claim.uid),
        }),
        capacity: capacity
            .map(|(_, amount)| size(amount, "spec.capacity.storage"))
            .transpose()?
            .unwrap_or_else(|| Quantity::of_milli(0)),
        access_modes: modes(&spec.access_modes),
        block: spec.volume_mode.as_str() == "Block",
        attributes_class: or_empty(spec.volume_attributes_class_name.as_ref()),
        node_affinity: required.map(|required| required.node_selector_terms.iter().map(term).collect()),
        available: volume.status.phase.as_str() == "Available",
        terminating: meta.deletion_timestamp.is_some(),
        source,
    })
}

fn storage_class(class: &wire::StorageClass<'_>) -> StorageClass {
    let expression =
        |label: &wire::TopologyRequirement<'_>| (text(&label.key), label.values.iter().map(text).collect());
    let topology = |term: &wire::TopologySelectorTerm<'_>| {
        TopologyTerm(term.match_label_expressions.iter().map(expression).collect())
    };
    StorageClass {
        name: text(&class.metadata.name),
        provisioner: text(&class.provisioner),
        binding_mode: class.volume_binding_mode.as_ref().map(|mode| match mode.as_str() {
            "WaitForFirstConsumer" => BindingMode::WaitForFirstConsumer,
            _ => BindingMode::Immediate,
        }),
        allowed_topologies: class.allowed_topologies.iter().map(topology).collect(),
    }
}

fn csi_node(node: &wire::CsiNode<'_>) -> CsiNode {
    let limit = |driver: &wire::CsiNodeDriver<'_>| Some((text(&driver.name), driver.allocatable.count?));
    let migrated = node.metadata.annotations.migrated_plugins.as_ref().map_or("", |plugins| plugins.as_str());
    CsiNode {
        name: text(&node.metadata.name),
        limits: node.spec.drivers.iter().filter_map(limit).collect(),
        migrated: migrated.split(',').filter_map(InTree::of_name).collect(),
    }
}

fn csi_storage_capacity(room: &wire::CsiStorageCapacity<'_>) -> Result<CsiStorageCapacity, Skipped> {
    let limit = match (&room.maximum_volume_size, &room.capacity) {
        (Some(largest), _) => Some(size(largest, "maximumVolumeSize")?),
        (None, all) => all.as_ref().map(|all| size(all, "capacity")).transpose()?,
    };
    Ok(CsiStorageCapacity {
        namespace: text(&room.metadata.namespace),
        name: text(&room.metadata.name),
        class: text(&room.storage_class_name),
        nodes: room.node_topology.as_ref().map(|wire| conditions(wire, "nodeTopology")).transpose()?,
        limit: limit.map(Quantity::value),
    })
}

fn volume_attachment(attachment: &wire::VolumeAttachment<'_>) -> VolumeAttachment {
    VolumeAttachment {
        name: text(&attachment.metadata.name),
        attacher: text(&attachment.spec.attacher),
        node: text(&attachment.spec.node_name),
        volume: attachment.spec.source.persistent_volume_name.as_ref().map(text),
    }
}

fn by_labels(object: &wire::SelectsByLabels<'_>) -> Arc<PodSelector> {
    let selects = object.spec.selector.as_ref().map_or(Selects::Nothing, |wanted| Selects::Labels(labels(wanted)));
    pod_selector(&object.metadata, selects)
}

/// A selector that cannot be read selects nothing, as it does for kube-scheduler.
fn by_conditions(object: &wire::SelectsByConditions<'_>) -> Arc<PodSelector> {
    let wanted = object.spec.selector.as_ref().and_then(|wire| selector(wire, &[]).ok());
    pod_selector(&object.metadata, wanted.map_or(Selects::Nothing, Selects::Conditions))
}

fn pod_selector(meta: &RelatedMeta<'_>, selects: Selects) -> Arc<PodSelector> {
    Arc::new(PodSelector { namespace: text(&meta.namespace), name: text(&meta.name), selects })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(kind: RelatedKind, json: &str) -> Related {
        related(kind, json).unwrap().0
    }

    #[test]
    fn a_claim_keeps_what_decides() {
        let json = r#"{"metadata":{"namespace":"a","name":"data","uid":"u","resourceVersion":"7",
            "annotations":{"pv.kubernetes.io/bind-completed":"yes","other":"x"},
            "ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"pod-uid","controller":true}]},
            "spec":{"accessModes":["ReadWriteOncePod"],"resources":{"requests":{"storage":"1Gi"}},
            "storageClassName":"fast","volumeName":"pv-1","volumeMode":"Block","selector":{"matchLabels":{"a":"b"}}},
            "status":{"phase":"Bound"}}"#;
        let (object, revision) = related(RelatedKind::PersistentVolumeClaim, json).unwrap();
        let Related::PersistentVolumeClaim(claim) = object else { panic!("a claim") };
        assert_eq!((revision.as_str(), &*claim.class, claim.volume.as_deref()), ("7", "fast", Some("pv-1")));
        assert_eq!(claim.controller.as_deref(), Some("pod-uid"));
        assert!(claim.is_bound() && claim.block && !claim.lost && !claim.terminating);
        assert!(claim.access_modes.contain(AccessModes::READ_WRITE_ONCE_POD));
        assert_eq!(claim.requested.map(Quantity::value), Some(1 << 30));
    }

    #[test]
    fn a_volume_says_where_it_can_be_reached() {
        let json = r#"{"metadata":{"name":"pv-1"},"spec":{"capacity":{"storage":"5Gi"},"storageClassName":"fast",
            "csi":{"driver":"csi.example.com","volumeHandle":"h"},"claimRef":{"namespace":"a","name":"data"},
            "nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[
              {"key":"zone","operator":"In","values":["z1"]}]}]}}},"status":{"phase":"Bound"}}"#;
        let Related::PersistentVolume(volume) = read_one(RelatedKind::PersistentVolume, json) else {
            panic!("a volume")
        };
        assert!(volume.reaches(&[("zone", "z1")].into_iter().collect()));
        assert!(!volume.reaches(&[("zone", "z2")].into_iter().collect()));
        assert_eq!(volume.source, VolumeSource::Csi { driver: "csi.example.com".into(), handle: "h".into() });
        assert_eq!(volume.claim.as_ref().map(|claim| &*claim.uid), Some(""));
        let in_tree = r#"{"metadata":{"name":"old"},"spec":{"gcePersistentDisk":{"pdName":"x"}}}"#;
        let Related::PersistentVolume(old) = read_one(RelatedKind::PersistentVolume, in_tree) else {
            panic!("a volume")
        };
        assert_eq!(old.source, VolumeSource::InTree(InTree::GcePd));
    }

    #[test]
    fn classes_drivers_and_room() {
        let class = r#"{"metadata":{"name":"fast"},"provisioner":"csi.example.com",
            "volumeBindingMode":"WaitForFirstConsumer",
            "allowedTopologies":[{"matchLabelExpressions":[{"key":"zone","values":["z1","z2"]}]}]}"#;
        let Related::StorageClass(class) = read_one(RelatedKind::StorageClass, class) else { panic!("a class") };
        assert_eq!(class.binding_mode, Some(BindingMode::WaitForFirstConsumer));
        assert!(class.allowed_topologies[0].matches(&[("zone", "z2")].into_iter().collect()));
        let node = r#"{"metadata":{"name":"n1","annotations":
            {"storage.alpha.kubernetes.io/migrated-plugins":"kubernetes.io/gce-pd,kubernetes.io/none"}},
            "spec":{"drivers":[{"name":"a","nodeID":"x","allocatable":{"count":3}},{"name":"b","nodeID":"x"}]}}"#;
        let Related::CsiNode(node) = read_one(RelatedKind::CsiNode, node) else { panic!("a node") };
        assert_eq!((&node.limits, &node.migrated), (&vec![("a".into(), 3)], &vec![InTree::GcePd]));
        let room = r#"{"metadata":{"namespace":"s","name":"c"},"storageClassName":"fast","capacity":"10Gi",
            "maximumVolumeSize":"1Gi","nodeTopology":{"matchLabels":{"zone":"z1"}}}"#;
        let Related::CsiStorageCapacity(room) = read_one(RelatedKind::CsiStorageCapacity, room) else { panic!("room") };
        assert_eq!((room.limit, room.nodes.is_some()), (Some(1 << 30), true));
    }

    #[test]
    fn selectors_of_pods() {
        let service = r#"{"metadata":{"namespace":"a","name":"s"},"spec":{"selector":{"app":"web"}}}"#;
        let Related::Service(service) = read_one(RelatedKind::Service, service) else { panic!("a service") };
        assert_eq!(service.selects, Selects::Labels([("app", "web")].into_iter().collect()));
        let without = r#"{"metadata":{"namespace":"a","name":"s"},"spec":{}}"#;
        let Related::Service(service) = read_one(RelatedKind::Service, without) else { panic!("a service") };
        assert_eq!(service.selects, Selects::Nothing);
        let wrong =
            r#"{"metadata":{"name":"r"},"spec":{"selector":{"matchExpressions":[{"key":"a","operator":"Like"}]}}}"#;
        let Related::ReplicaSet(set) = read_one(RelatedKind::ReplicaSet, wrong) else { panic!("a replica set") };
        assert_eq!(set.selects, Selects::Nothing);
    }

    #[test]
    fn what_cannot_be_understood_is_refused_by_name() {
        let reason = |kind, json: &str| related(kind, json).unwrap_err().reason;
        assert_eq!(reason(RelatedKind::StorageClass, "{}"), NAMELESS);
        assert_eq!(reason(RelatedKind::StorageClass, r#"{"metadata":7}"#), MALFORMED);
        let volume = r#"{"metadata":{"name":"v"},"spec":{"capacity":{"storage":"lots"}}}"#;
        assert_eq!(reason(RelatedKind::PersistentVolume, volume), BAD_QUANTITY);
        let claim =
            r#"{"metadata":{"name":"c"},"spec":{"selector":{"matchExpressions":[{"key":"a","operator":"Like"}]}}}"#;
        assert_eq!(reason(RelatedKind::PersistentVolumeClaim, claim), BAD_SELECTOR);
    }
}
