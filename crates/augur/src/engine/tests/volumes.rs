//! Pods with claims, and what keeps them waiting.

use std::sync::atomic::Ordering;

use augur_apiserver::controllers::{self, ControllerOptions, ControllersHandle, PROVISIONER, default_storage_class};
use augur_apiserver::{DeleteOptions, PatchKind};
use serde_json::{Value, json};

use super::cluster::{Cluster, until};

fn zone(cluster: &Cluster, node: &str, zone: &str) {
    cluster.node(node, "4");
    let labels = json!({ "metadata": { "labels": { "zone": zone } } });
    cluster.local.patch("nodes", "", node, "", PatchKind::Merge, &labels).unwrap();
}

fn class(cluster: &Cluster, mode: &str) {
    class_of(cluster, "kubernetes.io/no-provisioner", mode);
}

fn class_of(cluster: &Cluster, provisioner: &str, mode: &str) {
    let class = json!({ "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": "fast" },
        "provisioner": provisioner, "volumeBindingMode": mode });
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
    assert_eq!(cluster.get("web")["status"]["nominatedNodeName"], "n2", "others know where it is going to be");
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

/// The controllers that bind and make volumes.
fn controllers(cluster: &Cluster) -> ControllersHandle {
    let options = ControllerOptions { node_monitor_grace: None, ..ControllerOptions::default() };
    controllers::spawn(&cluster.server, cluster.clock(), options)
}

fn hostname(cluster: &Cluster, node: &str) {
    let labels = json!({ "metadata": { "labels": { "kubernetes.io/hostname": node } } });
    cluster.local.patch("nodes", "", node, "", PatchKind::Merge, &labels).unwrap();
}

fn claim_of(cluster: &Cluster, name: &str) -> Value {
    cluster.local.get("persistentvolumeclaims", "default", name).unwrap()
}

fn annotate(cluster: &Cluster, name: &str, node: &Value) {
    let patch = json!({ "metadata": { "annotations": { "volume.kubernetes.io/selected-node": node } } });
    cluster.local.patch("persistentvolumeclaims", "default", name, "", PatchKind::Merge, &patch).unwrap();
}

fn told(cluster: &Cluster, pod: &str, text: &str) -> bool {
    cluster.events(pod).iter().any(|(reason, message)| reason == "FailedScheduling" && message.contains(text))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pods_get_two_volumes_and_a_third_waits() {
    let cluster = Cluster::new();
    zone(&cluster, "n1", "a");
    class(&cluster, "WaitForFirstConsumer");
    for n in 0..2 {
        volume(&cluster, &format!("disk-{n}"), "a");
    }
    let controllers = controllers(&cluster);
    for n in 0..3 {
        claim(&cluster, &format!("data-{n}"));
        cluster.pod_with(&format!("web-{n}"), "1", &with_claim(&format!("data-{n}")));
    }
    let engine = cluster.engine();
    let placed = || (0..3).filter(|n| cluster.node_of(&format!("web-{n}")).is_some()).count();
    until("two pods are bound", || placed() == 2).await;
    until("the third is told why", || {
        (0..3).any(|n| told(&cluster, &format!("web-{n}"), "didn't find available persistent volumes to bind"))
    })
    .await;
    let volumes: std::collections::HashSet<String> = (0..3)
        .filter_map(|n| Some(claim_of(&cluster, &format!("data-{n}"))["spec"]["volumeName"].as_str()?.to_owned()))
        .collect();
    assert_eq!(volumes.len(), 2, "no volume has two claims");
    volume(&cluster, "disk-2", "a");
    until("the third is bound", || placed() == 3).await;
    engine.shutdown().await;
    controllers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_is_made_for_the_node_that_was_chosen() {
    let cluster = Cluster::new();
    cluster.node("n1", "1");
    cluster.node("n2", "4");
    ["n1", "n2"].iter().for_each(|node| hostname(&cluster, node));
    class_of(&cluster, PROVISIONER, "WaitForFirstConsumer");
    claim(&cluster, "data");
    cluster.pod_with("web", "2", &with_claim("data"));
    let controllers = controllers(&cluster);
    let engine = cluster.engine();
    until("the pod is bound", || cluster.node_of("web").as_deref() == Some("n2")).await;
    let bound = claim_of(&cluster, "data");
    assert_eq!(bound["metadata"]["annotations"]["volume.kubernetes.io/selected-node"], "n2");
    assert_eq!(bound["status"]["phase"], "Bound");
    // A pod that uses the same claim is kept to that node.
    cluster.pod_with("beside", "1", &with_claim("data"));
    until("the pod beside it is bound", || cluster.node_of("beside").as_deref() == Some("n2")).await;
    assert_eq!(engine.handle().status().binding_errors, 0);
    engine.shutdown().await;
    controllers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_volume_from_being_made_has_the_pod_decided_anew() {
    let cluster = Cluster::new();
    zone(&cluster, "n1", "a");
    class_of(&cluster, "csi.example.com", "WaitForFirstConsumer");
    claim(&cluster, "data");
    cluster.pod_with("web", "1", &with_claim("data"));
    let engine = cluster.engine();
    let selected =
        || claim_of(&cluster, "data")["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "n1";
    until("the node is selected", selected).await;
    annotate(&cluster, "data", &Value::Null);
    until("the failure is told", || told(&cluster, "web", "provisioning failed for PVC \"data\"")).await;
    until("the node is selected again", selected).await;
    // The claim goes, and another of its name comes.
    cluster.local.delete("persistentvolumeclaims", "default", "data", &DeleteOptions::default()).unwrap();
    let unprotected = json!({ "metadata": { "finalizers": null } });
    cluster.local.patch("persistentvolumeclaims", "default", "data", "", PatchKind::Merge, &unprotected).unwrap();
    until("the loss is told", || told(&cluster, "web", "pvc \"default/data\" not found")).await;
    assert_eq!(cluster.node_of("web"), None);
    claim(&cluster, "data");
    until("the new claim has a node", selected).await;
    volume(&cluster, "made", "a");
    bind(&cluster, "data", "made");
    until("the pod is bound", || cluster.node_of("web").is_some()).await;
    assert_eq!(cluster.bindings_of("web"), 1);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_volumes_ends_and_holds_up_nobody() {
    let cluster = Cluster::new();
    cluster.node("n1", "4");
    class_of(&cluster, "csi.example.com", "WaitForFirstConsumer");
    claim(&cluster, "data");
    cluster.pod_with("web", "3", &with_claim("data"));
    let mut profile = super::super::profile("augur", &crate::config::Scheduler::default());
    profile.volume_bind_timeout = std::time::Duration::from_secs(5);
    let engine = cluster.engine_with(vec![profile]);
    until("the node is selected", || claim_of(&cluster, "data")["metadata"]["annotations"].is_object()).await;
    cluster.pod("plain", "1");
    until("another pod is bound", || cluster.node_of("plain").is_some()).await;
    until("the end of the wait is told", || told(&cluster, "web", "context deadline exceeded")).await;
    assert!(engine.handle().status().binding_errors > 0);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_was_taken_meanwhile_is_left_alone() {
    let cluster = Cluster::new();
    zone(&cluster, "n1", "a");
    class(&cluster, "WaitForFirstConsumer");
    volume(&cluster, "disk", "a");
    claim(&cluster, "data");
    claim(&cluster, "others");
    let others = claim_of(&cluster, "others")["metadata"]["uid"].clone();
    // Somebody takes it between the decision and the write.
    let reference = json!({ "spec": { "claimRef": {
        "kind": "PersistentVolumeClaim", "namespace": "default", "name": "others", "uid": others } } });
    *cluster.faults.before_volume_write.lock().unwrap() = Some(reference);
    cluster.pod_with("web", "1", &with_claim("data"));
    let engine = cluster.engine();
    until("the conflict is told", || told(&cluster, "web", "is bound to claim default/others already")).await;
    assert_eq!(cluster.node_of("web"), None);
    volume(&cluster, "second", "a");
    let second = || cluster.local.get("persistentvolumes", "", "second").unwrap()["spec"]["claimRef"]["name"] == "data";
    until("the other volume is taken", second).await;
    bind(&cluster, "data", "second");
    until("the pod is bound", || cluster.node_of("web").is_some()).await;
    engine.shutdown().await;
}

/// As users write it: the claims name no class.
const STATEFUL_SET: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      schedulerName: augur
      containers:
      - name: db
        image: postgres
        volumeMounts: [{name: data, mountPath: /var/lib/postgresql}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1Gi}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_set_gets_its_volumes_from_the_default_class() {
    let cluster = Cluster::new();
    ["n1", "n2"].iter().for_each(|node| {
        cluster.node(node, "4");
        hostname(&cluster, node);
    });
    cluster.local.create("storageclasses.storage.k8s.io", "", default_storage_class()).unwrap();
    let set = augur_config::Document::parse(STATEFUL_SET).unwrap().value().clone();
    cluster.local.create("statefulsets.apps", "default", set).unwrap();
    let controllers = controllers(&cluster);
    let engine = cluster.engine();
    let placed = |pod: &str| {
        let pod = cluster.local.get("pods", "default", pod).ok()?;
        pod["spec"]["nodeName"].as_str().map(str::to_owned)
    };
    until("the first pod is bound", || placed("db-0").is_some()).await;
    // The second waits until the first, which no kubelet runs here, is ready.
    let ready = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    cluster.local.patch("pods", "default", "db-0", "status", PatchKind::Merge, &ready).unwrap();
    until("the second pod is bound", || placed("db-1").is_some()).await;
    for pod in ["db-0", "db-1"] {
        let claim = claim_of(&cluster, &format!("data-{pod}"));
        assert_eq!(
            (&claim["spec"]["storageClassName"], &claim["status"]["phase"]),
            (&json!("standard"), &json!("Bound"))
        );
        assert_eq!(cluster.get(pod)["status"]["nominatedNodeName"], Value::Null, "it is said by its node now");
    }
    engine.shutdown().await;
    controllers.stop().await;
}
