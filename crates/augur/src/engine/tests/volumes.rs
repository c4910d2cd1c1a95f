//! Pods with claims, and what keeps them waiting.

use std::sync::atomic::Ordering;

use augur_apiserver::PatchKind;
use serde_json::{Value, json};

use super::cluster::{Cluster, until};

fn zone(cluster: &Cluster, node: &str, zone: &str) {
    cluster.node(node, "4");
    let labels = json!({ "metadata": { "labels": { "zone": zone } } });
    cluster.local.patch("nodes", "", node, "", PatchKind::Merge, &labels).unwrap();
}

fn class(cluster: &Cluster, mode: &str) {
    let class = json!({ "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": "fast" },
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": mode });
    cluster.local.create("storageclasses.storage.k8s.io", "", class).unwrap();
}

/// A volume that only nodes of the zone reach.
fn volume(cluster: &Cluster, name: &str, zone: &str) {
    let volume = json!({ "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name }, "spec": {
        "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
        "local": { "path": "/disk" },
        "nodeAffinity": { "required": { "nodeSelectorTerms": [
            { "matchExpressions": [{ "key": "zone", "operator": "In", "values": [zone] }] } ] } },
    } });
    cluster.local.create("persistentvolumes", "", volume).unwrap();
    let available = json!({ "status": { "phase": "Available" } });
    cluster.local.patch("persistentvolumes", "", name, "status", PatchKind::Merge, &available).unwrap();
}

fn claim(cluster: &Cluster, name: &str) {
    let claim = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name }, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": { "requests": { "storage": "1Gi" } } } });
    cluster.local.create("persistentvolumeclaims", "default", claim).unwrap();
}

fn bind(cluster: &Cluster, claim: &str, volume: &str) {
    let bound = json!({ "metadata": { "annotations": { "pv.kubernetes.io/bind-completed": "yes" } },
        "spec": { "volumeName": volume } });
    cluster.local.patch("persistentvolumeclaims", "default", claim, "", PatchKind::Merge, &bound).unwrap();
}

fn with_claim(claim: &str) -> Value {
    json!({ "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_goes_where_its_volume_can_be_reached() {
    let cluster = Cluster::new();
    for (node, of) in [("n1", "a"), ("n2", "b"), ("n3", "c")] {
        zone(&cluster, node, of);
    }
    class(&cluster, "Immediate");
    volume(&cluster, "disk", "b");
    claim(&cluster, "data");
    cluster.pod_with("web", "1", &with_claim("data"));
    let engine = cluster.engine();
    until("the pod waits for its volume", || {
        let message = cluster.scheduled("web")["message"].as_str().unwrap_or_default().to_owned();
        message == "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
    })
    .await;
    bind(&cluster, "data", "disk");
    until("the pod is bound", || cluster.node_of("web").as_deref() == Some("n2")).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_bound_once_its_volume_is() {
    let cluster = Cluster::new();
    zone(&cluster, "n1", "a");
    zone(&cluster, "n2", "b");
    class(&cluster, "WaitForFirstConsumer");
    volume(&cluster, "disk", "b");
    claim(&cluster, "data");
    cluster.pod_with("web", "1", &with_claim("data"));
    let engine = cluster.engine();
    let disk = || cluster.local.get("persistentvolumes", "", "disk").unwrap();
    until("the volume has its claim", || disk()["spec"]["claimRef"]["name"] == "data").await;
    assert_eq!(disk()["metadata"]["annotations"]["pv.kubernetes.io/bound-by-controller"], "yes");
    assert_eq!(cluster.node_of("web"), None, "the claim is not bound");
    bind(&cluster, "data", "disk");
    until("the pod is bound", || cluster.node_of("web").as_deref() == Some("n2")).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_leave_to_list_a_kind_pods_with_claims_are_refused_by_name() {
    let cluster = Cluster::new();
    cluster.faults.unlisted.store(2, Ordering::SeqCst);
    cluster.node("n1", "4");
    class(&cluster, "Immediate");
    claim(&cluster, "data");
    cluster.pod_with("web", "1", &with_claim("data"));
    cluster.pod("plain", "1");
    let engine = cluster.engine();
    until("the other pod is bound", || cluster.node_of("plain").is_some()).await;
    let refused = "0/1 nodes are available: the pod needs what Augur does not implement: persistent volume claims \
                   without a list of csinodes.";
    let told = |text: &'static str| {
        let events = cluster.events("web");
        move || events.iter().any(|(_, message)| message == text)
    };
    until("the pod is refused", || told(refused)()).await;
    until("the kind is listed after all", || {
        told("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found")()
    })
    .await;
    engine.shutdown().await;
}
