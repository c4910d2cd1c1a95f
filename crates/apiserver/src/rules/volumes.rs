//! Volumes of a pod and the paths in them. Entry points: [`validate`], [`mounts`], [`devices`].

use serde_json::Value;

use super::names::{self, subdomain};
use super::path::{Errors, Path};
use super::resources::quantity;
use super::storage;
use super::value::{flag, get, has, int, items, opt_text, text};

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const MORE_THAN_ONE: &str = "may not specify more than 1 volume type";
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Kinds of volumes in the order in which they are looked at.
const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// The volumes of a pod (or a template, which has no name) and which of them may be mounted: those without errors.
pub(crate) fn validate<'a>(spec: &'a Value, pod_name: &str, path: &Path<'_>, errors: &mut Errors) -> Vec<&'a Value> {
    let volumes = items(spec, "volumes");
    let list = path.child("volumes");
    let mut usable: Vec<&Value> = Vec::with_capacity(volumes.len());
    for (i, volume) in volumes.iter().enumerate() {
        let path = list.index(i);
        let before = errors.len();
        let name = text(volume, "name");
        source(volume, name, pod_name, &path, errors);
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else {
            errors.invalid_each(&path.child("name"), name, names::label(name));
        }
        if usable.iter().any(|v| text(v, "name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
        if errors.len() == before {
            usable.push(volume);
        }
        let claim = text(get(volume, "persistentVolumeClaim"), "claimName");
        if !claim.is_empty() && !pod_name.is_empty() {
            let made = volumes.iter().any(|v| {
                has(v, "ephemeral")
                    && claim.strip_prefix(pod_name).and_then(|c| c.strip_prefix('-')) == Some(text(v, "name"))
            });
            if made {
                let path = path.child("persistentVolumeClaim");
                let detail = "must not reference a PVC that gets created for an ephemeral volume";
                errors.invalid(&path.child("claimName"), claim, detail);
            }
        }
    }
    usable
}

fn source(volume: &Value, name: &str, pod_name: &str, path: &Path<'_>, errors: &mut Errors) {
    let mut found = false;
    for kind in SOURCES {
        let source = get(volume, kind);
        if source.is_null() {
            continue;
        }
        let path = path.child(kind);
        if found {
            errors.forbidden(&path, MORE_THAN_ONE);
            continue;
        }
        found = true;
        match kind {
            "emptyDir" if quantity(get(source, "sizeLimit")).is_negative() => {
                let detail = "SizeLimit field must be a valid resource quantity";
                errors.forbidden(&path.child("sizeLimit"), detail);
            }
            "hostPath" => host_path(source, &path, errors),
            "secret" => {
                required(source, "secretName", &path, errors);
                mode(source, "defaultMode", &path, errors);
                key_paths(source, &path, errors);
            }
            "configMap" => {
                required(source, "name", &path, errors);
                mode(source, "defaultMode", &path, errors);
                key_paths(source, &path, errors);
            }
            "nfs" => nfs(source, &path, errors),
            "persistentVolumeClaim" => required(source, "claimName", &path, errors),
            "downwardAPI" => {
                mode(source, "defaultMode", &path, errors);
                for file in items(source, "items") {
                    downward_file(file, &path, errors);
                }
            }
            "projected" => projected(source, &path, errors),
            "csi" => csi(source, &path, errors),
            "ephemeral" => {
                let template = get(source, "volumeClaimTemplate");
                if template.is_null() {
                    errors.required(&path.child("volumeClaimTemplate"), "");
                } else {
                    let path = path.child("volumeClaimTemplate");
                    let meta = get(template, "metadata");
                    super::metadata::annotations(get(meta, "annotations"), &path.child("annotations"), errors);
                    super::metadata::labels(get(meta, "labels"), &path.child("labels"), errors);
                    storage::claim_spec(get(template, "spec"), &path.child("spec"), errors);
                }
                if !pod_name.is_empty() && !name.is_empty() {
                    let claim = format!("{pod_name}-{name}");
                    for detail in subdomain(&claim) {
                        errors.invalid(&path.child("name"), name, &format!("PVC name \"{claim}\": {detail}"));
                    }
                }
            }
            "image" => {
                if text(source, "reference").is_empty() {
                    errors.required(&path.child("reference"), "");
                }
                let policy = text(source, "pullPolicy");
                if !matches!(policy, "Always" | "IfNotPresent" | "Never") {
                    errors.not_supported(&path.child("pullPolicy"), policy, &["Always", "IfNotPresent", "Never"]);
                }
            }
            // Volumes of cloud providers and of drivers that are gone: their own rules are out of scope.
            _ => {}
        }
    }
    if !found {
        errors.required(path, "must specify a volume type");
    }
}

fn required(value: &Value, key: &str, path: &Path<'_>, errors: &mut Errors) {
    if text(value, key).is_empty() {
        errors.required(&path.child(key), "");
    }
}

fn mode(value: &Value, key: &str, path: &Path<'_>, errors: &mut Errors) {
    if let Some(mode) = int(value, key).filter(|mode| !(0..=0o777).contains(mode)) {
        errors.invalid(&path.child(key), mode, MODE);
    }
}

/// A directory or file of the node.
pub(crate) fn host_path(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    let target = text(source, "path");
    if target.is_empty() {
        errors.required(&path.child("path"), "");
        return;
    }
    no_backsteps(target, &path.child("path"), errors);
    if let Some(kind) = opt_text(source, "type").filter(|kind| !HOST_PATH_TYPES.contains(kind)) {
        errors.not_supported(&path.child("type"), kind, &HOST_PATH_TYPES);
    }
}

/// A directory of a file server.
pub(crate) fn nfs(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    required(source, "server", path, errors);
    required(source, "path", path, errors);
    let target = text(source, "path");
    if !target.starts_with('/') {
        errors.invalid(&path.child("path"), target, "must be an absolute path");
    }
}

fn csi(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    driver_name(source, path, errors);
    let secret = get(source, "nodePublishSecretRef");
    if !secret.is_null() {
        let name = text(secret, "name");
        if name.is_empty() {
            errors.required(&path.child("nodePublishSecretRef").child("name"), "");
        } else {
            errors.invalid_each(&path.child("name"), name, subdomain(name));
        }
    }
}

/// Name of a CSI driver.
pub(crate) fn driver_name(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    let driver = text(source, "driver");
    let path = path.child("driver");
    if driver.is_empty() {
        errors.required(&path, "");
    }
    if driver.len() > 63 {
        errors.too_long(&path, 63);
    }
    if !driver.is_empty() {
        errors.invalid_each(&path, driver, subdomain(&driver.to_lowercase()));
    }
}

fn key_paths(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("items");
    for (i, item) in items(source, "items").iter().enumerate() {
        let path = list.index(i);
        required(item, "key", &path, errors);
        required(item, "path", &path, errors);
        file_path(text(item, "path"), &path.child("path"), errors);
        mode(item, "mode", &path, errors);
    }
}

fn downward_file(file: &Value, path: &Path<'_>, errors: &mut Errors) {
    required(file, "path", path, errors);
    file_path(text(file, "path"), &path.child("path"), errors);
    let (field, resource) = (get(file, "fieldRef"), get(file, "resourceFieldRef"));
    if !field.is_null() {
        let allowed =
            ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
        super::containers::field_reference(field, &allowed, &path.child("fieldRef"), errors);
        if !resource.is_null() {
            errors.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if !resource.is_null() {
        super::containers::resource_reference(resource, true, &path.child("resourceFieldRef"), errors);
    } else {
        errors.required(path, "one of fieldRef and resourceFieldRef is required");
    }
    mode(file, "mode", path, errors);
}

fn projected(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    let mut taken: Vec<&str> = Vec::new();
    let list = path.child("sources");
    for (i, projection) in items(source, "sources").iter().enumerate() {
        let item = list.index(i);
        let mut kinds = 0;
        for kind in ["secret", "configMap"] {
            let part = get(projection, kind);
            if part.is_null() {
                continue;
            }
            kinds += 1;
            let part_path = item.child(kind);
            required(part, "name", &part_path, errors);
            key_paths(part, &part_path, errors);
            for target in items(part, "items").iter().map(|i| text(i, "path")).filter(|p| !p.is_empty()) {
                conflict(&mut taken, target, text(part, "name"), path, errors);
            }
        }
        let part = get(projection, "downwardAPI");
        if !part.is_null() {
            kinds += 1;
            let part_path = item.child("downwardAPI");
            for file in items(part, "items") {
                downward_file(file, &part_path, errors);
                let target = text(file, "path");
                if !target.is_empty() {
                    conflict(&mut taken, target, target, path, errors);
                }
            }
        }
        let part = get(projection, "serviceAccountToken");
        if !part.is_null() {
            kinds += 1;
            let part_path = item.child("serviceAccountToken");
            let seconds = int(part, "expirationSeconds").unwrap_or(0);
            if seconds < 600 {
                let detail = "may not specify a duration less than 10 minutes";
                errors.invalid(&part_path.child("expirationSeconds"), seconds, detail);
            }
            if seconds > 1 << 32 {
                let detail = "may not specify a duration larger than 2^32 seconds";
                errors.invalid(&part_path.child("expirationSeconds"), seconds, detail);
            }
            let target = text(part, "path");
            if target.is_empty() {
                errors.required(&path.child("path"), "");
            } else {
                file_path(target, &path.child("path"), errors);
            }
        }
        for kind in ["clusterTrustBundle", "podCertificate"] {
            kinds += usize::from(has(projection, kind));
        }
        if kinds > 1 {
            errors.forbidden(&item, "may not specify more than 1 volume type per source");
        }
    }
}

fn conflict<'a>(taken: &mut Vec<&'a str>, target: &'a str, shown: &str, path: &Path<'_>, errors: &mut Errors) {
    if taken.contains(&target) {
        errors.invalid(path, shown, "conflicting duplicate paths");
    } else {
        taken.push(target);
    }
}

/// A relative path that stays inside.
pub(crate) fn descending_path(target: &str, path: &Path<'_>, errors: &mut Errors) {
    if target.starts_with('/') {
        errors.invalid(path, target, "must be a relative path");
    }
    no_backsteps(target, path, errors);
}

/// A path without `..`.
pub(crate) fn no_backsteps(target: &str, path: &Path<'_>, errors: &mut Errors) {
    if target.split('/').any(|part| part == "..") {
        errors.invalid(path, target, "must not contain '..'");
    }
}

fn file_path(target: &str, path: &Path<'_>, errors: &mut Errors) {
    descending_path(target, path, errors);
    if target.starts_with("..") && !target.starts_with("../") {
        errors.invalid(path, target, "must not start with '..'");
    }
}

/// Mounts of a container; `volumes` are those that may be mounted.
pub(crate) fn mounts(container: &Value, volumes: &[&Value], path: &Path<'_>, errors: &mut Errors) {
    let mounts = items(container, "volumeMounts");
    let devices = items(container, "volumeDevices");
    let list = path.child("volumeMounts");
    for (i, mount) in mounts.iter().enumerate() {
        let path = list.index(i);
        let (name, target) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        }
        if !volumes.iter().any(|v| text(v, "name") == name) {
            errors.not_found(&path.child("name"), name);
        }
        if target.is_empty() {
            errors.required(&path.child("mountPath"), "");
        }
        if mounts.iter().take(i).any(|m| text(m, "mountPath") == target) {
            errors.invalid(&path.child("mountPath"), target, "must be unique");
        }
        if devices.iter().any(|d| text(d, "name") == name) {
            errors.invalid(&path.child("name"), name, "must not already exist in volumeDevices");
        }
        if devices.iter().any(|d| text(d, "devicePath") == target) {
            errors.invalid(&path.child("mountPath"), target, "must not already exist as a path in volumeDevices");
        }
        let (sub_path, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
        if !sub_path.is_empty() {
            descending_path(sub_path, &list.child("subPath"), errors);
        }
        if !expression.is_empty() {
            if !sub_path.is_empty() {
                let detail = "subPathExpr and subPath are mutually exclusive";
                errors.invalid(&path.child("subPathExpr"), expression, detail);
            }
            descending_path(expression, &list.child("subPathExpr"), errors);
        }
        propagation(mount, container, &list, errors);
        recursive_read_only(mount, &list, errors);
    }
}

fn propagation(mount: &Value, container: &Value, list: &Path<'_>, errors: &mut Errors) {
    let Some(value) = opt_text(mount, "mountPropagation") else { return };
    let path = list.child("mountPropagation");
    let supported = ["Bidirectional", "HostToContainer", "None"];
    if !supported.contains(&value) {
        errors.not_supported(&path, value, &supported);
    }
    if value == "Bidirectional" && flag(get(container, "securityContext"), "privileged") != Some(true) {
        errors.forbidden(&path, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive_read_only(mount: &Value, list: &Path<'_>, errors: &mut Errors) {
    let Some(value) = opt_text(mount, "recursiveReadOnly") else { return };
    let path = list.child("recursiveReadOnly");
    match value {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if flag(mount, "readOnly") != Some(true) {
                errors.forbidden(&path, "may only be specified when readOnly is true");
            }
            if opt_text(mount, "mountPropagation").is_some_and(|p| p != "None") {
                errors.forbidden(&path, "may only be specified when mountPropagation is None or not specified");
            }
        }
        value => errors.not_supported(&path, value, &["Disabled", "Enabled", "IfPossible"]),
    }
}

/// Block devices of a container.
pub(crate) fn devices(container: &Value, volumes: &[&Value], path: &Path<'_>, errors: &mut Errors) {
    let devices = items(container, "volumeDevices");
    let mounts = items(container, "volumeMounts");
    let list = path.child("volumeDevices");
    for (i, device) in devices.iter().enumerate() {
        let path = list.index(i);
        let (name, target) = (text(device, "name"), text(device, "devicePath"));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if devices.iter().take(i).any(|d| text(d, "name") == name) {
            errors.invalid(&path.child("name"), name, "must be unique");
        }
        match volumes.iter().find(|v| text(v, "name") == name) {
            Some(volume) if !has(volume, "persistentVolumeClaim") && !has(volume, "ephemeral") => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.invalid(&path.child("name"), name, detail);
            }
            Some(_) => {}
            None => errors.not_found(&path.child("name"), name),
        }
        if target.is_empty() {
            errors.required(&path.child("devicePath"), "");
        }
        if devices.iter().take(i).any(|d| text(d, "devicePath") == target) {
            errors.invalid(&path.child("devicePath"), target, "must be unique");
        }
        if target.split('/').any(|part| part == "..") {
            errors.invalid(&path.child("devicePath"), target, "can not contain backsteps ('..')");
        }
        if mounts.iter().any(|m| text(m, "name") == name) {
            errors.invalid(&path.child("name"), name, "must not already exist in volumeMounts");
        }
        if mounts.iter().any(|m| text(m, "mountPath") == target) {
            errors.invalid(&path.child("devicePath"), target, "must not already exist as a path in volumeMounts");
        }
    }
}
