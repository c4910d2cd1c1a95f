//! The controllers on a real API server, with a small kubelet and scheduler of the test's own.

use std::time::Duration;

use augur_clock::Clock;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ControllerOptions, ControllersHandle, spawn};
use crate::local::{LocalClient, PatchKind};
use crate::{ApiServer, ApiServerOptions, DeleteOptions, Propagation};

/// How long a condition may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Cluster {
    server: ApiServer,
    client: LocalClient,
    clock: Clock,
    controllers: ControllersHandle,
    kubelet: tokio::task::JoinHandle<()>,
}

impl Cluster {
    /// A cluster with nodes of these names and a clock that the test moves.
    fn start(nodes: &[&str]) -> Cluster {
        Self::with(nodes, ControllerOptions { node_monitor_grace: None, ..ControllerOptions::default() })
    }

    fn with(nodes: &[&str], options: ControllerOptions) -> Cluster {
        let clock = Clock::manual("2024-01-01T00:00:00Z".parse().unwrap());
        let server = ApiServer::new(ApiServerOptions { clock: clock.clone(), ..ApiServerOptions::default() }).unwrap();
        let client = server.local("tests");
        for name in nodes {
            client.create("nodes", "", json!({ "metadata": { "name": name } })).unwrap();
            let status = json!({ "status": { "conditions": [
                { "type": "Ready", "status": "True", "lastHeartbeatTime": "2024-01-01T00:00:00Z" }] } });
            client.patch("nodes", "", name, "status", PatchKind::Merge, &status).unwrap();
            // Registered as not ready; the test's scheduler does not come back to pods that found no node.
            client.patch("nodes", "", name, "", PatchKind::Merge, &json!({ "spec": { "taints": null } })).unwrap();
        }
        let since = client.list("pods", "", "", "").unwrap().resource_version;
        let kubelet = tokio::spawn(kubelet(server.local("kubelet"), since));
        let controllers = spawn(&server, clock.clone(), options);
        Cluster { server, client, clock, controllers, kubelet }
    }

    async fn stop(self) {
        self.kubelet.abort();
        self.controllers.stop().await;
    }

    /// Waits until `holds` says so of the objects of a resource.
    async fn until(&self, what: &str, resource: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let wait = async {
            loop {
                let list = self.client.list(resource, "", "", "").unwrap();
                let objects: Vec<Value> = list.items.iter().map(|b| serde_json::from_slice(b).unwrap()).collect();
                if holds(&objects) {
                    return objects;
                }
                let mut changes = self.client.watch(resource, "", list.resource_version).unwrap();
                changes.next().await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(objects) => objects,
            Err(_) => {
                let list = self.client.list(resource, "", "", "").unwrap();
                let objects: Vec<String> = list.items.iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect();
                panic!("{what} did not come about:\n{}", objects.join("\n"))
            }
        }
    }

    fn create(&self, resource: &str, object: Value) -> Value {
        self.client.create(resource, "default", object).unwrap()
    }

    fn patch(&self, resource: &str, name: &str, patch: &Value) {
        self.client.patch(resource, "default", name, "", PatchKind::Merge, patch).unwrap();
    }

    fn delete(&self, resource: &str, name: &str, propagation: Propagation) {
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        self.client.delete(resource, "default", name, &options).unwrap();
    }

    async fn rolled_out(&self, what: &str, replicas: i64) {
        self.until(what, "deployments.apps", |list| {
            let [d] = list else { return false };
            let status = &d["status"];
            status["observedGeneration"] == d["metadata"]["generation"]
                && ["updatedReplicas", "replicas", "availableReplicas"]
                    .iter()
                    .all(|n| status[*n].as_i64().unwrap_or(0) == replicas)
                && status["conditions"]
                    .as_array()
                    .is_some_and(|c| c.iter().any(|c| c["reason"] == "NewReplicaSetAvailable"))
        })
        .await;
    }
}

/// Binds pods to the nodes in turn, runs what is bound, and ends what is deleted. Pods labelled `ends` end with that phase.
async fn kubelet(client: LocalClient, since: u64) {
    let mut changes = client.watch("pods", "", since).unwrap();
    let mut turn = 0;
    while let Some(event) = changes.next().await {
        let Ok(pod) = serde_json::from_slice::<Value>(&event.object) else { continue };
        let namespace = pod["metadata"]["namespace"].as_str().unwrap();
        let name = pod["metadata"]["name"].as_str().unwrap();
        // What is gone in the meantime cannot be acted upon, hence results are dropped.
        if pod["metadata"]["deletionTimestamp"].is_string() {
            if pod["metadata"]["deletionGracePeriodSeconds"] != 0 {
                let _ = client.delete("pods", namespace, name, &DeleteOptions::grace(0));
            }
        } else if pod["spec"]["nodeName"].is_null() {
            let nodes = client.list("nodes", "", "", "").unwrap();
            let wanted = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
                ["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
                .as_str();
            let free: Vec<Value> = nodes
                .items
                .iter()
                .map(|b| serde_json::from_slice::<Value>(b).unwrap())
                .filter(|n| n["spec"]["unschedulable"] != true && n["spec"]["taints"].is_null())
                .filter(|n| wanted.is_none_or(|wanted| n["metadata"]["name"] == wanted))
                .collect();
            if !free.is_empty() {
                turn += 1;
                let node = &free[turn % free.len()]["metadata"]["name"];
                let binding = json!({ "metadata": { "name": name }, "target": { "kind": "Node", "name": node } });
                let _ = client.create_subresource("pods", namespace, name, "binding", binding);
            }
        } else if matches!(pod["status"]["phase"].as_str(), None | Some("Pending")) {
            let phase = pod["metadata"]["labels"]["ends"].as_str().unwrap_or("Running");
            let ready = if phase == "Running" { "True" } else { "False" };
            let status = json!({ "status": { "phase": phase, "conditions": [
                { "type": "Ready", "status": ready, "lastTransitionTime": "2024-01-01T00:00:00Z" }] } });
            let _ = client.patch("pods", namespace, name, "status", PatchKind::Strategic, &status);
        }
    }
}

fn template(image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "terminationGracePeriodSeconds": 30, "containers": [{ "name": "c", "image": image }] },
    })
}

fn deployment(replicas: i64) -> Value {
    json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": "web" } }, "template": template("a"),
            "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
        },
    })
}

fn image_of(object: &Value) -> &str {
    let spec =
        object["spec"]["template"]["spec"].as_object().map_or(&object["spec"], |_| &object["spec"]["template"]["spec"]);
    spec["containers"][0]["image"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_rolls_out_scales_goes_back_and_is_deleted() {
    let cluster = Cluster::start(&["n1", "n2"]);
    cluster.create("deployments.apps", deployment(3));
    cluster.rolled_out("the first rollout", 3).await;

    cluster.patch("deployments.apps", "web", &json!({ "spec": { "replicas": 6 } }));
    cluster.rolled_out("scaling", 6).await;

    cluster.patch("deployments.apps", "web", &json!({ "spec": { "template": template("b") } }));
    cluster.rolled_out("the second rollout", 6).await;
    let pods = cluster.until("pods of the new template", "pods", |pods| pods.len() == 6).await;
    assert!(pods.iter().all(|p| image_of(p) == "b"));
    let sets = cluster.client.list("replicasets.apps", "default", "", "").unwrap();
    assert_eq!(sets.items.len(), 2, "the old replica set stays for going back");

    cluster.patch("deployments.apps", "web", &json!({ "spec": { "template": template("a") } }));
    cluster.rolled_out("going back", 6).await;
    let live = cluster.client.get("deployments.apps", "default", "web").unwrap();
    assert_eq!(live["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    assert_eq!(cluster.client.list("replicasets.apps", "default", "", "").unwrap().items.len(), 2);

    cluster.delete("deployments.apps", "web", Propagation::Background);
    cluster.until("the end of the replica sets", "replicasets.apps", <[Value]>::is_empty).await;
    cluster.until("the end of the pods", "pods", <[Value]>::is_empty).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreground_deletion_and_orphaning() {
    let cluster = Cluster::start(&["n1"]);
    cluster.create("deployments.apps", deployment(2));
    cluster.rolled_out("the rollout", 2).await;
    cluster.delete("deployments.apps", "web", Propagation::Orphan);
    cluster.until("the end of the deployment", "deployments.apps", <[Value]>::is_empty).await;
    let sets = cluster
        .until("an orphaned replica set", "replicasets.apps", |s| {
            s.len() == 1 && s[0]["metadata"]["ownerReferences"].is_null()
        })
        .await;

    cluster.create("deployments.apps", deployment(2));
    cluster
        .until("adoption", "replicasets.apps", |s| {
            s.len() == 1
                && s[0]["metadata"]["ownerReferences"][0]["name"] == "web"
                && s[0]["metadata"]["uid"] == sets[0]["metadata"]["uid"]
        })
        .await;
    cluster.rolled_out("the adopted rollout", 2).await;

    cluster.delete("deployments.apps", "web", Propagation::Foreground);
    cluster.until("the end of the deployment", "deployments.apps", <[Value]>::is_empty).await;
    assert!(cluster.client.list("replicasets.apps", "default", "", "").unwrap().items.is_empty());
    assert!(cluster.client.list("pods", "default", "", "").unwrap().items.is_empty());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_completes_and_its_pods_are_let_go_of() {
    let cluster = Cluster::start(&["n1"]);
    let mut pod = template("a");
    pod["metadata"]["labels"] = json!({ "ends": "Succeeded", "job": "j" });
    pod["spec"]["restartPolicy"] = json!("Never");
    cluster.create(
        "jobs.batch",
        json!({
            "metadata": { "name": "j" },
            "spec": { "completions": 4, "parallelism": 2, "backoffLimit": 6, "template": pod },
        }),
    );
    let jobs = cluster
        .until("completion", "jobs.batch", |jobs| {
            jobs[0]["status"]["conditions"].as_array().is_some_and(|c| c.iter().any(|c| c["type"] == "Complete"))
        })
        .await;
    assert_eq!(jobs[0]["status"]["succeeded"], 4);
    assert!(jobs[0]["status"]["completionTime"].is_string());
    cluster
        .until("pods without finalizers", "pods", |pods| {
            pods.len() == 4 && pods.iter().all(|p| p["metadata"]["finalizers"].is_null())
        })
        .await;
    cluster.delete("jobs.batch", "j", Propagation::Background);
    cluster.until("the end of the pods", "pods", <[Value]>::is_empty).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemon_and_stateful_sets_run_where_and_in_the_order_they_should() {
    let cluster = Cluster::start(&["n1", "n2", "n3"]);
    cluster.create(
        "daemonsets.apps",
        json!({
            "metadata": { "name": "agent" },
            "spec": { "selector": { "matchLabels": { "app": "web" } }, "template": template("a"), "revisionHistoryLimit": 10,
                "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } } },
        }),
    );
    let pods = cluster
        .until("a pod on every node", "pods", |pods| {
            pods.len() == 3 && pods.iter().all(|p| p["spec"]["nodeName"].is_string())
        })
        .await;
    let mut nodes: Vec<&str> = pods.iter().filter_map(|p| p["spec"]["nodeName"].as_str()).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["n1", "n2", "n3"]);
    cluster.patch("daemonsets.apps", "agent", &json!({ "spec": { "template": template("b") } }));
    cluster
        .until("the update", "daemonsets.apps", |sets| {
            let status = &sets[0]["status"];
            status["updatedNumberScheduled"] == 3
                && status["numberAvailable"] == 3
                && status["observedGeneration"] == sets[0]["metadata"]["generation"]
        })
        .await;
    cluster.delete("daemonsets.apps", "agent", Propagation::Background);
    cluster.until("the end of its pods", "pods", <[Value]>::is_empty).await;

    cluster.create(
        "statefulsets.apps",
        json!({
            "metadata": { "name": "db" },
            "spec": { "replicas": 3, "serviceName": "db", "selector": { "matchLabels": { "app": "web" } },
                "template": template("a"), "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
                "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } } },
        }),
    );
    let ready = |sets: &[Value]| sets[0]["status"]["readyReplicas"] == 3;
    cluster.until("three pods", "statefulsets.apps", ready).await;
    let names =
        |pods: &[Value]| pods.iter().map(|p| p["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&cluster.until("pods", "pods", |p| p.len() == 3).await), ["db-0", "db-1", "db-2"]);
    cluster.patch("statefulsets.apps", "db", &json!({ "spec": { "template": template("b") } }));
    cluster
        .until("the update", "statefulsets.apps", |sets| {
            let status = &sets[0]["status"];
            status["updatedReplicas"] == 3
                && status["readyReplicas"] == 3
                && status["currentRevision"] == status["updateRevision"]
        })
        .await;
    cluster.patch("statefulsets.apps", "db", &json!({ "spec": { "replicas": 1 } }));
    assert_eq!(names(&cluster.until("one pod", "pods", |p| p.len() == 1).await), ["db-0"]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_goes_as_fast_as_the_budget_allows() {
    let cluster = Cluster::start(&["n1", "n2"]);
    cluster.create("deployments.apps", deployment(4));
    cluster.rolled_out("the rollout", 4).await;
    cluster.create(
        "poddisruptionbudgets.policy",
        json!({ "metadata": { "name": "b" }, "spec": { "minAvailable": 3, "selector": { "matchLabels": { "app": "web" } } } }),
    );
    let one_may_go =
        |list: &[Value]| list[0]["status"]["disruptionsAllowed"] == 1 && list[0]["status"]["currentHealthy"] == 4;
    cluster.until("a budget of one", "poddisruptionbudgets.policy", one_may_go).await;
    cluster
        .client
        .patch("nodes", "", "n1", "", PatchKind::Merge, &json!({ "spec": { "unschedulable": true } }))
        .unwrap();
    cluster
        .until("the cordon's taint", "nodes", |nodes| {
            nodes[0]["spec"]["taints"][0]["key"] == "node.kubernetes.io/unschedulable"
        })
        .await;
    let on_n1 = || -> Vec<String> {
        let list = cluster.client.list("pods", "default", "", "spec.nodeName=n1").unwrap();
        list.items
            .iter()
            .map(|b| serde_json::from_slice::<Value>(b).unwrap()["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(!on_n1().is_empty());
    for pod in on_n1() {
        cluster.until("a budget of one", "poddisruptionbudgets.policy", one_may_go).await;
        let eviction = json!({ "metadata": { "name": pod, "namespace": "default" } });
        cluster.client.create_subresource("pods", "default", &pod, "eviction", eviction).unwrap();
    }
    cluster
        .until("all pods on the other node", "pods", |pods| {
            pods.len() == 4 && pods.iter().all(|p| p["spec"]["nodeName"] == "n2")
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_loses_its_pods_after_their_tolerations() {
    let options =
        ControllerOptions { node_monitor_grace: Some(Duration::from_secs(50)), ..ControllerOptions::default() };
    let cluster = Cluster::with(&["n1"], options);
    let mut object = deployment(1);
    object["spec"]["template"]["spec"]["tolerations"] = json!([{ "key": "node.kubernetes.io/unreachable",
        "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }]);
    cluster.create("deployments.apps", object);
    // The controllers have seen the pod run when they say so.
    cluster.rolled_out("the rollout", 1).await;
    let pods = cluster.until("the pod", "pods", |pods| pods.len() == 1).await;
    let uid = &pods[0]["metadata"]["uid"];
    cluster.clock.advance(Duration::from_secs(51));
    cluster
        .until("an unreachable node", "nodes", |nodes| {
            let taints = nodes[0]["spec"]["taints"].as_array();
            taints.is_some_and(|t| {
                t.iter().any(|t| t["key"] == "node.kubernetes.io/unreachable" && t["effect"] == "NoExecute")
            })
        })
        .await;
    let pods = cluster
        .until("a pod that is not ready", "pods", |pods| {
            let list = pods[0]["status"]["conditions"].as_array();
            list.is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "False"))
        })
        .await;
    assert!(pods[0]["metadata"]["uid"] == *uid && pods[0]["metadata"]["deletionTimestamp"].is_null());
    // The appointment is made when the taint is seen: time has to move on until then, and by the toleration after it.
    let replaced = async {
        loop {
            let list = cluster.client.list("pods", "", "", "").unwrap();
            let pods: Vec<Value> = list.items.iter().map(|b| serde_json::from_slice(b).unwrap()).collect();
            if pods.iter().all(|p| p["metadata"]["uid"] != *uid) && !pods.is_empty() {
                break;
            }
            cluster.clock.advance(Duration::from_secs(100));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, replaced).await.expect("the pod is replaced");
    assert!(cluster.clock.now().duration_since(start()).as_secs() >= 351);
    cluster.stop().await;
}

fn start() -> Timestamp {
    "2024-01-01T00:00:00Z".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let cluster = Cluster::start(&["n1"]);
    cluster.client.create("namespaces", "", json!({ "metadata": { "name": "team" } })).unwrap();
    cluster
        .until("its service account", "serviceaccounts", |l| l.iter().any(|a| a["metadata"]["namespace"] == "team"))
        .await;
    cluster.client.create("deployments.apps", "team", deployment(2)).unwrap();
    cluster.rolled_out("a rollout in it", 2).await;
    cluster.client.create("configmaps", "team", json!({ "metadata": { "name": "c" } })).unwrap();
    cluster.client.delete("namespaces", "", "team", &DeleteOptions::default()).unwrap();
    cluster.until("its end", "namespaces", |list| list.iter().all(|n| n["metadata"]["name"] != "team")).await;
    for resource in ["pods", "deployments.apps", "replicasets.apps", "configmaps", "serviceaccounts", "events"] {
        assert!(cluster.client.list(resource, "team", "", "").unwrap().items.is_empty(), "{resource}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllers_start_again_where_others_stopped() {
    let Cluster { server, client, clock, controllers, kubelet } = Cluster::start(&["n1"]);
    client.create("deployments.apps", "default", deployment(2)).unwrap();
    controllers.stop().await;
    // What happens in between is found in the lists, and what is forgotten is not missed.
    client
        .create(
            "configmaps",
            "default",
            json!({ "metadata": { "name": "left", "ownerReferences": [
        { "apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "gone" }] } }),
        )
        .unwrap();
    server.forget_history();
    let options = ControllerOptions { node_monitor_grace: None, ..ControllerOptions::default() };
    let controllers = spawn(&server, clock.clone(), options);
    let cluster = Cluster { server, client, clock, controllers, kubelet };
    cluster
        .until("the end of what has no owner", "configmaps", |l| l.iter().all(|c| c["metadata"]["name"] != "left"))
        .await;
    let account = |list: &[Value]| list.iter().any(|a| a["metadata"]["namespace"] == "default");
    cluster.until("a service account", "serviceaccounts", account).await;
    cluster.client.delete("serviceaccounts", "default", "default", &DeleteOptions::default()).unwrap();
    cluster.until("a new service account", "serviceaccounts", account).await;
    cluster.server.forget_history();
    cluster.patch("deployments.apps", "web", &json!({ "spec": { "replicas": 3 } }));
    cluster.until("three pods", "replicasets.apps", |sets| sets.iter().any(|s| s["status"]["replicas"] == 3)).await;
    cluster.stop().await;
}
