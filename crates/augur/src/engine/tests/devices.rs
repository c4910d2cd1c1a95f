//! Pods with claims to devices.

use augur_apiserver::DeleteOptions;
use augur_apiserver::controllers::{self, ControllerOptions};
use serde_json::{Value, json};

use super::cluster::{Cluster, until};

const CLAIMS: &str = "resourceclaims.resource.k8s.io";

/// A cluster of one node with one device, and a template of claims to one.
fn with_one_device() -> Cluster {
    let cluster = Cluster::new();
    cluster.node("n1", "4");
    cluster.node("n2", "4");
    let class = json!({ "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": { "name": "gpu" },
        "spec": { "selectors": [{ "cel": { "expression": "device.driver == \"gpu.example.com\"" } }] } });
    cluster.local.create("deviceclasses.resource.k8s.io", "", class).unwrap();
    let slice = json!({ "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": { "name": "n2-gpu" },
        "spec": { "driver": "gpu.example.com", "nodeName": "n2",
            "pool": { "name": "n2", "generation": 1, "resourceSliceCount": 1 },
            "devices": [{ "name": "gpu-0", "attributes": { "model": { "string": "large" } } }] } });
    cluster.local.create("resourceslices.resource.k8s.io", "", slice).unwrap();
    let template = json!({ "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
        "metadata": { "name": "one-gpu" },
        "spec": { "spec": { "devices": { "requests": [
            { "name": "gpu", "exactly": { "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1 } }] } } } });
    cluster.local.create("resourceclaimtemplates.resource.k8s.io", "default", template).unwrap();
    cluster
}

fn with_claim() -> Value {
    json!({ "resourceClaims": [{ "name": "gpu", "resourceClaimTemplateName": "one-gpu" }] })
}

fn claims(cluster: &Cluster) -> Vec<Value> {
    let list = cluster.local.list(CLAIMS, "default", "", "").unwrap();
    list.items.iter().map(|claim| serde_json::from_slice(claim).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_pods_that_want_one_device_the_second_waits_for_the_end_of_the_first() {
    let cluster = with_one_device();
    let options = ControllerOptions { node_monitor_grace: None, ..ControllerOptions::default() };
    let controllers = controllers::spawn(&cluster.server, cluster.clock(), options);
    let engine = cluster.engine();
    cluster.pod_with("first", "1", &with_claim());
    until("the first is bound", || cluster.node_of("first").as_deref() == Some("n2")).await;
    let claim = claims(&cluster).remove(0);
    assert_eq!(claim["status"]["allocation"]["devices"]["results"][0]["device"], "gpu-0");
    assert_eq!(claim["status"]["reservedFor"][0]["name"], "first");
    assert_eq!(claim["metadata"]["finalizers"], json!(["resource.kubernetes.io/delete-protection"]));
    cluster.pod_with("second", "1", &with_claim());
    until("the second waits", || {
        let message = cluster.scheduled("second")["message"].as_str().unwrap_or_default().to_owned();
        message.starts_with("0/2 nodes are available: 2 cannot allocate all claims. still not schedulable")
    })
    .await;
    assert_eq!(cluster.node_of("second"), None);
    let at_once = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    cluster.local.delete("pods", "default", "first", &at_once).unwrap();
    until("the second has the device", || cluster.node_of("second").as_deref() == Some("n2")).await;
    until("the first one's claim is gone", || claims(&cluster).len() == 1).await;
    assert_eq!(claims(&cluster)[0]["status"]["reservedFor"][0]["name"], "second");
    engine.shutdown().await;
    controllers.stop().await;
}
