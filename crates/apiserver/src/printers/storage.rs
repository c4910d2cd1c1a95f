//! Rows of volumes, claims and what provides them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{age_of, items, len, name, text, text_or};

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

fn access_modes(modes: &Value) -> String {
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let present: Vec<&str> =
        short.iter().filter(|(mode, _)| items(modes).iter().any(|m| m == mode)).map(|(_, short)| *short).collect();
    present.join(",")
}

fn class(object: &Value) -> &str {
    object["metadata"]["annotations"][CLASS_ANNOTATION]
        .as_str()
        .unwrap_or_else(|| text(&object["spec"]["storageClassName"]))
}

fn phase(object: &Value) -> &str {
    if object["metadata"]["deletionTimestamp"].is_null() { text(&object["status"]["phase"]) } else { "Terminating" }
}

fn unset(value: &Value) -> &str {
    value.as_str().unwrap_or("<unset>")
}

/// Cells of a PersistentVolume.
pub(super) fn persistent_volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let claim = match &spec["claimRef"] {
        Value::Null => String::new(),
        claim => format!("{}/{}", text(&claim["namespace"]), text(&claim["name"])),
    };
    vec![
        name(object),
        json!(text_or(&spec["capacity"]["storage"], "0")),
        json!(access_modes(&spec["accessModes"])),
        json!(text(&spec["persistentVolumeReclaimPolicy"])),
        json!(phase(object)),
        json!(claim),
        json!(class(object)),
        json!(unset(&spec["volumeAttributesClassName"])),
        json!(text(&object["status"]["reason"])),
        age_of(object, now),
        json!(unset(&spec["volumeMode"])),
    ]
}

/// Cells of a PersistentVolumeClaim.
pub(super) fn persistent_volume_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let volume = text(&spec["volumeName"]);
    let (capacity, modes) = if volume.is_empty() {
        ("", String::new())
    } else {
        (text_or(&status["capacity"]["storage"], "0"), access_modes(&status["accessModes"]))
    };
    vec![
        name(object),
        json!(phase(object)),
        json!(volume),
        json!(capacity),
        json!(modes),
        json!(class(object)),
        json!(unset(&spec["volumeAttributesClassName"])),
        age_of(object, now),
        json!(unset(&spec["volumeMode"])),
    ]
}

/// Cells of a StorageClass.
pub(super) fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let annotations = &object["metadata"]["annotations"];
    let mut shown = text(&object["metadata"]["name"]).to_owned();
    if annotations["storageclass.kubernetes.io/is-default-class"] == "true"
        || annotations["storageclass.beta.kubernetes.io/is-default-class"] == "true"
    {
        shown.push_str(" (default)");
    }
    vec![
        json!(shown),
        json!(text(&object["provisioner"])),
        json!(object["reclaimPolicy"].as_str().unwrap_or("Delete")),
        json!(object["volumeBindingMode"].as_str().unwrap_or("Immediate")),
        json!(object["allowVolumeExpansion"] == true),
        age_of(object, now),
    ]
}

/// Cells of a CSINode.
pub(super) fn csi_node(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(len(&object["spec"]["drivers"])), age_of(object, now)]
}

/// Cells of a CSIDriver.
pub(super) fn csi_driver(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let join = |list: &[Value], member: Option<&str>| {
        list.iter().map(|v| text(member.map_or(v, |m| &v[m]))).collect::<Vec<_>>().join(",")
    };
    let tokens = match &spec["tokenRequests"] {
        Value::Array(list) => join(list, Some("audience")),
        _ => "<unset>".to_owned(),
    };
    let modes = match join(items(&spec["volumeLifecycleModes"]), None) {
        modes if modes.is_empty() => "<none>".to_owned(),
        modes => modes,
    };
    vec![
        name(object),
        json!(spec["attachRequired"] != false),
        json!(spec["podInfoOnMount"] == true),
        json!(spec["storageCapacity"] == true),
        json!(tokens),
        json!(spec["requiresRepublish"] == true),
        json!(modes),
        age_of(object, now),
    ]
}

/// Cells of a CSIStorageCapacity.
pub(super) fn csi_storage_capacity(object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(text(&object["storageClassName"])), json!(unset(&object["capacity"]))]
}

/// Cells of a VolumeAttachment.
pub(super) fn volume_attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        json!(text(&spec["attacher"])),
        json!(text(&spec["source"]["persistentVolumeName"])),
        json!(text(&spec["nodeName"])),
        json!(object["status"]["attached"] == true),
        age_of(object, now),
    ]
}

/// Cells of a VolumeAttributesClass.
pub(super) fn volume_attributes_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(text(&object["driverName"])), age_of(object, now)]
}
