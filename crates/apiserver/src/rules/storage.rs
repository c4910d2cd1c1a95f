//! Volumes of the cluster, claims to them and their classes: defaults, preparation, validation.

use serde_json::{Value, json};

use super::metadata::{self, label_selector};
use super::names;
use super::path::{Errors, Path};
use super::resources::{amount, positive, quantity};
use super::scheduling;
use super::value::{
    at, count, default_text, default_to, entries, entry, get, get_mut, has, items, opt_text, remove, same, set,
    take_over, text,
};
use super::volumes;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const RECLAIM_POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const MORE_THAN_ONE: &str = "may not specify more than 1 volume type";

/// Kinds of sources of a volume.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// Defaults of a claim.
pub(crate) fn default_claim(claim: &mut Value) {
    default_text(entry(claim, "status"), "phase", "Pending");
    default_to(entry(claim, "spec"), "volumeMode", "Filesystem");
}

/// Defaults of a volume.
pub(crate) fn default_volume(volume: &mut Value) {
    default_text(entry(volume, "status"), "phase", "Pending");
    let spec = entry(volume, "spec");
    default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
    default_to(spec, "volumeMode", "Filesystem");
    if let Some(host_path) = get_mut(spec, "hostPath") {
        default_to(host_path, "type", "");
    }
    let claim = get(spec, "claimRef");
    if !claim.is_null() && text(claim, "kind").is_empty() {
        let claim = entry(spec, "claimRef");
        set(claim, "kind", "PersistentVolumeClaim");
        default_text(claim, "apiVersion", "v1");
    }
}

/// Defaults of a class.
pub(crate) fn default_class(class: &mut Value) {
    default_to(class, "reclaimPolicy", "Delete");
    default_to(class, "volumeBindingMode", "Immediate");
}

/// A new claim: its status, and both of its data sources.
pub(crate) fn prepare_claim_create(claim: &mut Value) {
    set(claim, "status", json!({ "phase": "Pending" }));
    both_data_sources(entry(claim, "spec"));
}

/// Each of the two members for a data source follows the other.
fn both_data_sources(spec: &mut Value) {
    if has(spec, "dataSource") && !has(spec, "dataSourceRef") {
        take_over_as(spec, "dataSource", "dataSourceRef");
    } else if has(spec, "dataSourceRef")
        && !has(spec, "dataSource")
        && text(get(spec, "dataSourceRef"), "namespace").is_empty()
    {
        take_over_as(spec, "dataSourceRef", "dataSource");
        remove(entry(spec, "dataSource"), "namespace");
    }
}

fn take_over_as(spec: &mut Value, from: &str, to: &str) {
    let source = get(spec, from).clone();
    set(spec, to, source);
}

/// What an update of a claim keeps.
pub(crate) fn prepare_claim(subresource: &str, claim: &mut Value, old: &Value) {
    if subresource == "status" {
        take_over(claim, "spec", old);
    } else {
        take_over(claim, "status", old);
        both_data_sources(entry(claim, "spec"));
    }
}

/// A new volume: its status.
pub(crate) fn prepare_volume_create(volume: &mut Value) {
    let now = at(volume, &["metadata", "creationTimestamp"]).clone();
    let mut status = json!({ "phase": "Pending" });
    if !now.is_null() {
        set(&mut status, "lastPhaseTransitionTime", now);
    }
    set(volume, "status", status);
}

/// What an update of a volume keeps.
pub(crate) fn prepare_volume(subresource: &str, volume: &mut Value, old: &Value) {
    if subresource != "status" {
        take_over(volume, "status", old);
        return;
    }
    take_over(volume, "spec", old);
}

fn access_modes(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.child("accessModes");
    let modes = items(spec, "accessModes");
    for mode in modes.iter().filter_map(Value::as_str).filter(|mode| !ACCESS_MODES.contains(mode)) {
        errors.not_supported(&path, mode, &ACCESS_MODES);
    }
    let single = modes.iter().any(|m| m == "ReadWriteOncePod");
    let others = modes.iter().filter_map(Value::as_str).any(|m| m != "ReadWriteOncePod" && ACCESS_MODES.contains(&m));
    if single && others {
        errors.forbidden(&path, "may not use ReadWriteOncePod with other access modes");
    }
}

fn class_name(spec: &Value, key: &str, path: &Path<'_>, errors: &mut Errors) {
    let name = text(spec, key);
    if !name.is_empty() {
        errors.invalid_each(&path.child(key), name, names::subdomain(name));
    }
}

/// What is wrong with the spec of a claim.
pub(crate) fn claim_spec(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    if items(spec, "accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "at least 1 access mode is required");
    }
    label_selector(get(spec, "selector"), &path.child("selector"), errors);
    access_modes(spec, path, errors);
    let resources = path.child("resources");
    let size_path = resources.key("storage");
    let size = at(spec, &["resources", "requests", "storage"]);
    if size.is_null() {
        errors.required(&size_path, "");
    } else if positive(size, &size_path, errors) {
        amount("storage", size, quantity(size), &size_path, errors);
    }
    class_name(spec, "storageClassName", path, errors);
    if let Some(mode) = opt_text(spec, "volumeMode").filter(|m| !matches!(*m, "Block" | "Filesystem")) {
        errors.not_supported(&path.child("volumeMode"), mode, &["Block", "Filesystem"]);
    }
    for key in ["dataSource", "dataSourceRef"] {
        data_source(get(spec, key), &path.child(key), errors);
    }
    class_name(spec, "volumeAttributesClassName", path, errors);
}

fn data_source(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    if source.is_null() {
        return;
    }
    for key in ["name", "kind"] {
        if text(source, key).is_empty() {
            errors.required(&path.child(key), "");
        }
    }
    let (group, kind) = (text(source, "apiGroup"), text(source, "kind"));
    if group.is_empty() {
        if kind != "PersistentVolumeClaim" {
            let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.invalid(path, kind, detail);
        }
    } else {
        errors.invalid_each(&path.child("apiGroup"), group, names::subdomain(group));
    }
    let namespace = text(source, "namespace");
    if !namespace.is_empty() {
        errors.invalid_each(&path.child("namespace"), namespace, names::label(namespace));
    }
}

/// What is wrong with a claim.
pub(crate) fn validate_claim(claim: &Value, errors: &mut Errors) {
    metadata::validate(claim, true, names::subdomain, errors);
    claim_spec(get(claim, "spec"), &Path::new("spec"), errors);
}

/// What is wrong with a change of a claim.
pub(crate) fn validate_claim_update(subresource: &str, claim: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(claim, old, errors);
    let (spec, old_spec) = (get(claim, "spec"), get(old, "spec"));
    if subresource == "status" {
        let path = Path::new("status");
        let path = path.child("capacity");
        for (name, shown) in entries(get(claim, "status"), "capacity") {
            let value = quantity(shown);
            if value.is_negative() {
                errors.invalid(&path.key(name), value.value(), "must be a valid resource quantity");
            }
        }
        return;
    }
    validate_claim(claim, errors);
    let annotation = |claim| at(claim, &["metadata", "annotations"]).get(BETA_CLASS).cloned().unwrap_or(Value::Null);
    let (class, old_class) = (annotation(claim), annotation(old));
    if class != old_class {
        let path = Path::new("metadata");
        let path = path.child("annotations");
        errors.invalid(&path.key(BETA_CLASS), class, "field is immutable");
    }
    let mut changed = spec.clone();
    if text(old_spec, "volumeName").is_empty() {
        take_over(&mut changed, "volumeName", old_spec);
    }
    if !has(old_spec, "storageClassName") && !text(spec, "storageClassName").is_empty() && old_class.is_null() {
        remove(&mut changed, "storageClassName");
    }
    if text(get(claim, "status"), "phase") == "Bound" {
        if has(get(&changed, "resources"), "requests") {
            let size = at(old_spec, &["resources", "requests", "storage"]).clone();
            set(entry(entry(&mut changed, "resources"), "requests"), "storage", size);
        }
        take_over(&mut changed, "volumeAttributesClassName", old_spec);
    }
    let path = Path::new("spec");
    if !same(&changed, old_spec) {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                      bound claims\n";
        errors.forbidden(&path, detail);
    }
    let size = |spec: &Value| quantity(at(spec, &["resources", "requests", "storage"]));
    let capacity = quantity(at(old, &["status", "capacity", "storage"]));
    if size(spec) < size(old_spec) && size(spec) <= capacity {
        let path = path.child("resources");
        let path = path.child("requests");
        errors.forbidden(&path.child("storage"), "field can not be less than status.capacity");
    }
    errors.immutable(&Path::new("volumeMode"), get(spec, "volumeMode"), get(old_spec, "volumeMode"));
}

/// What is wrong with a volume.
pub(crate) fn validate_volume(volume: &Value, errors: &mut Errors) {
    metadata::validate(volume, false, names::subdomain, errors);
    let spec = get(volume, "spec");
    let path = Path::new("spec");
    if items(spec, "accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "");
    }
    access_modes(spec, &path, errors);
    let capacity = get(spec, "capacity");
    let capacity_path = path.child("capacity");
    if count(spec, "capacity") == 0 {
        errors.required(&capacity_path, "");
    }
    if !has(capacity, "storage") || count(spec, "capacity") > 1 {
        errors.not_supported(&capacity_path, capacity.clone(), &["storage"]);
    }
    for (name, shown) in entries(spec, "capacity") {
        let value = quantity(shown);
        let path = capacity_path.key(name);
        if value.is_negative() {
            errors.invalid(&path, value.value(), "must be a valid resource quantity");
        }
        positive(shown, &path, errors);
    }
    let policy = text(spec, "persistentVolumeReclaimPolicy");
    if !policy.is_empty() && !RECLAIM_POLICIES.contains(&policy) {
        errors.not_supported(&path.child("persistentVolumeReclaimPolicy"), policy, &RECLAIM_POLICIES);
    }
    let affinity = get(spec, "nodeAffinity");
    if !affinity.is_null() {
        let path = path.child("nodeAffinity");
        if has(affinity, "required") {
            scheduling::node_selector(get(affinity, "required"), &path.child("required"), errors);
        } else {
            errors.required(&path.child("required"), "must specify required node constraints");
        }
    }
    volume_source(spec, &path, errors);
    if text(get(spec, "hostPath"), "path") == "/" && policy == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.forbidden(&path.child("persistentVolumeReclaimPolicy"), detail);
    }
    class_name(spec, "storageClassName", &path, errors);
    if let Some(mode) = opt_text(spec, "volumeMode").filter(|m| !matches!(*m, "Block" | "Filesystem")) {
        errors.not_supported(&path.child("volumeMode"), mode, &["Block", "Filesystem"]);
    }
}

fn volume_source(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut found = false;
    for kind in SOURCES {
        let source = get(spec, kind);
        if source.is_null() {
            continue;
        }
        let source_path = path.child(kind);
        if found {
            errors.forbidden(&source_path, MORE_THAN_ONE);
            continue;
        }
        found = true;
        match kind {
            "hostPath" => volumes::host_path(source, &source_path, errors),
            "nfs" => volumes::nfs(source, &source_path, errors),
            "local" => {
                let target = text(source, "path");
                if target.is_empty() {
                    errors.required(&source_path.child("path"), "");
                }
                volumes::no_backsteps(target, &source_path.child("path"), errors);
                if !has(spec, "nodeAffinity") {
                    errors.required(&path.child("nodeAffinity"), "Local volume requires node affinity");
                }
            }
            "csi" => {
                volumes::driver_name(source, &source_path, errors);
                if text(source, "volumeHandle").is_empty() {
                    errors.required(&source_path.child("volumeHandle"), "");
                }
            }
            _ => {}
        }
    }
    if !found {
        errors.required(path, "must specify a volume type");
    }
}

/// What is wrong with a change of a volume.
pub(crate) fn validate_volume_update(subresource: &str, volume: &Value, old: &Value, errors: &mut Errors) {
    if subresource == "status" {
        metadata::validate_update(volume, old, errors);
        return;
    }
    validate_volume(volume, errors);
    let (spec, old_spec) = (get(volume, "spec"), get(old, "spec"));
    if SOURCES.iter().any(|kind| !same(get(spec, kind), get(old_spec, kind))) {
        let path = Path::new("spec");
        let detail = "spec.persistentvolumesource is immutable after creation\n";
        errors.forbidden(&path.child("persistentvolumesource"), detail);
    }
    errors.immutable(&Path::new("volumeMode"), get(spec, "volumeMode"), get(old_spec, "volumeMode"));
    let (affinity, old_affinity) = (get(spec, "nodeAffinity"), get(old_spec, "nodeAffinity"));
    if !old_affinity.is_null() && !same(affinity, old_affinity) {
        let detail = "field is immutable, except for updating from beta label to GA";
        errors.invalid(&Path::new("nodeAffinity"), affinity.clone(), detail);
    }
}

/// What is wrong with a class.
pub(crate) fn validate_class(class: &Value, errors: &mut Errors) {
    metadata::validate(class, false, names::subdomain, errors);
    let provisioner = text(class, "provisioner");
    let path = Path::new("provisioner");
    if provisioner.is_empty() {
        errors.required(&path, "");
    } else {
        let lower = provisioner.to_lowercase();
        errors.invalid_each(&path, &lower, names::qualified(&lower));
    }
    let policy = text(class, "reclaimPolicy");
    if !policy.is_empty() && !matches!(policy, "Delete" | "Retain") {
        errors.not_supported(&Path::new("reclaimPolicy"), policy, &["Delete", "Retain"]);
    }
    let mode = text(class, "volumeBindingMode");
    if !has(class, "volumeBindingMode") {
        errors.required(&Path::new("volumeBindingMode"), "");
    } else if !matches!(mode, "Immediate" | "WaitForFirstConsumer") {
        let supported = ["Immediate", "WaitForFirstConsumer"];
        errors.not_supported(&Path::new("volumeBindingMode"), mode, &supported);
    }
}

/// What is wrong with a change of a class.
pub(crate) fn validate_class_update(_subresource: &str, class: &Value, old: &Value, errors: &mut Errors) {
    validate_class(class, errors);
    metadata::validate_update(class, old, errors);
    for key in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
        errors.immutable(&Path::new(key), get(class, key), get(old, key));
    }
}
