use std::time::Instant;

use augur_apiserver::{ApiServerOptions, DeleteOptions, LocalClient, MetricsSource};
use serde_json::{Value, json};

use super::*;
use crate::scenario::ARCHETYPE;
use crate::sim::{Fault, Input};

/// A cluster on a clock that is moved by hand.
struct Cluster {
    clock: Clock,
    client: LocalClient,
    handle: Option<SandboxHandle>,
    server: ApiServer,
}

impl Cluster {
    fn start(scenario: &str) -> Cluster {
        Self::with(scenario, |_| {})
    }

    fn with(scenario: &str, change: impl Fn(&mut SandboxOptions)) -> Cluster {
        let clock = Clock::manual("2026-01-05T08:00:00Z".parse().unwrap());
        let options = ApiServerOptions { clock: clock.clone(), ..ApiServerOptions::default() };
        let server = ApiServer::new(options).unwrap();
        let mut options = SandboxOptions::new(clock.clone(), "tests");
        change(&mut options);
        let handle = Sandbox::start(&server, Scenario::load(scenario).unwrap(), options).unwrap();
        Cluster { client: server.local("tests"), clock, handle: Some(handle), server }
    }

    /// Moves the clock in steps until something holds.
    fn until<T>(&self, what: &str, holds: impl Fn(&LocalClient) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(value) = holds(&self.client) {
                return value;
            }
            assert!(Instant::now() < deadline, "never: {what}");
            self.clock.advance(Duration::from_millis(500));
            std::thread::yield_now();
        }
    }

    fn pod(&self, name: &str, annotations: &Value, node: Option<&str>) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "annotations": annotations },
            "spec": { "terminationGracePeriodSeconds": 5, "containers": [{
                "name": "app", "image": "registry.example/app:1",
                "resources": { "requests": { "cpu": "500m", "memory": "256Mi" }, "limits": { "memory": "512Mi" } },
            }] },
        });
        self.client.create("pods", "default", pod).unwrap();
        if let Some(node) = node {
            self.bind(name, node);
        }
    }

    fn bind(&self, name: &str, node: &str) {
        let binding = json!({ "metadata": { "name": name }, "target": { "kind": "Node", "name": node } });
        self.client.create_subresource("pods", "default", name, "binding", binding).unwrap();
    }

    fn phase(&self, name: &str, phase: &str) -> Value {
        self.until(&format!("{name} {phase}"), |client| {
            client.get("pods", "default", name).ok().filter(|pod| pod["status"]["phase"] == phase)
        })
    }

    fn events(&self, reason: &str) -> Vec<Value> {
        let list = self.client.list("events", "", "", "").unwrap();
        let events = list.items.iter().map(|item| serde_json::from_slice::<Value>(item).unwrap());
        events.filter(|event| event["reason"] == reason).collect()
    }
}

const TWO: &str = "nodeClasses: [{name: a, count: 2, cpu: 4, memory: 8Gi, pods: 20, taints: [\"k=v:NoSchedule\"]}]\n";

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|c| c["type"] == kind).unwrap_or_else(|| panic!("{kind} is not among {conditions:?}"))
}

#[test]
fn nodes_are_registered_ready_and_keep_their_leases() {
    let cluster = Cluster::start(TWO);
    let node = cluster.client.get("nodes", "", "a-01").unwrap();
    assert_eq!(node["status"]["capacity"]["cpu"], "4");
    assert_eq!(node["status"]["allocatable"]["memory"], "8092Mi");
    assert_eq!(node["status"]["allocatable"]["pods"], "20");
    assert_eq!(condition(&node, "Ready")["status"], "True");
    assert_eq!(node["metadata"]["labels"]["topology.kubernetes.io/zone"], "zone-a");
    assert!(node["spec"]["taints"].as_array().unwrap().iter().any(|t| t["key"] == "k"), "{}", node["spec"]);
    let lease = |client: &LocalClient| {
        client.get("leases.coordination.k8s.io", "kube-node-lease", "a-02").unwrap()["spec"]["renewTime"].clone()
    };
    let first = lease(&cluster.client);
    cluster.until("a renewed lease", |client| (lease(client) != first).then_some(()));
}

#[test]
fn a_bound_pod_runs_and_keeps_the_scheduler_s_condition() {
    let cluster = Cluster::start(TWO);
    cluster.pod("p", &json!({}), Some("a-01"));
    let pod = cluster.phase("p", "Running");
    for kind in ["PodScheduled", "Initialized", "Ready", "ContainersReady"] {
        assert_eq!(condition(&pod, kind)["status"], "True", "{kind}");
    }
    let ready = condition(&pod, "Ready");
    assert!(ready["reason"].is_null() && ready["message"].is_null(), "{ready}");
    let status = &pod["status"];
    let container = &status["containerStatuses"][0];
    assert_eq!((&container["ready"], &container["restartCount"]), (&json!(true), &json!(0)));
    assert!(container["state"]["running"]["startedAt"].is_string());
    assert!(status["podIP"].as_str().unwrap().starts_with("10."), "{status}");
    let node = cluster.client.get("nodes", "", "a-01").unwrap();
    assert_eq!(status["hostIP"], node["status"]["addresses"][0]["address"]);
    for reason in ["Pulling", "Started"] {
        assert_eq!(cluster.events(reason)[0]["involvedObject"]["name"], "p");
    }
    cluster.until("the image is reported", |client| {
        let node = client.get("nodes", "", "a-01").unwrap();
        (node["status"]["images"][0]["names"][0] == "registry.example/app:1").then_some(())
    });
}

#[test]
fn pods_that_nobody_placed_are_left_alone() {
    let cluster = Cluster::start(TWO);
    cluster.pod("waits", &json!({}), None);
    cluster.pod("p", &json!({}), Some("a-01"));
    cluster.phase("p", "Running");
    assert!(cluster.client.get("pods", "default", "waits").unwrap()["status"]["startTime"].is_null());
    assert_eq!(cluster.handle.as_ref().unwrap().progress().counts.bound, 1);
}

#[test]
fn crashes_show_as_back_off_with_events_that_count() {
    let cluster = Cluster::start(TWO);
    cluster.pod("c", &json!({ ARCHETYPE: "crash-loop", "sandbox.augur.dev/crash-after": "2s" }), Some("a-01"));
    cluster.until("three restarts", |client| {
        let pod = client.get("pods", "default", "c").unwrap();
        let container = &pod["status"]["containerStatuses"][0];
        let waits = container["state"]["waiting"]["reason"] == "CrashLoopBackOff";
        (waits && container["restartCount"].as_u64() >= Some(3)).then(|| {
            assert_eq!(container["lastState"]["terminated"]["exitCode"], 1);
            assert_eq!(condition(&pod, "Ready")["reason"], "ContainersNotReady");
        })
    });
    let back_offs = cluster.events("BackOff");
    assert_eq!(back_offs.len(), 1, "repetitions are counted, not created");
    cluster.until("a higher count", |_| (cluster.events("BackOff")[0]["count"].as_u64() >= Some(2)).then_some(()));
}

#[test]
fn batch_pods_succeed() {
    let cluster = Cluster::start(TWO);
    let pod = json!({
        "metadata": { "name": "b", "annotations": { "sandbox.augur.dev/duration": "5s" } },
        "spec": { "restartPolicy": "Never", "containers": [{ "name": "app", "image": "i:1" }] },
    });
    cluster.client.create("pods", "default", pod).unwrap();
    cluster.bind("b", "a-02");
    let pod = cluster.phase("b", "Succeeded");
    assert_eq!(condition(&pod, "Ready")["reason"], "PodCompleted");
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
}

#[test]
fn a_deleted_pod_goes_when_its_containers_have_stopped() {
    let cluster = Cluster::start(TWO);
    cluster.pod("p", &json!({}), Some("a-01"));
    cluster.phase("p", "Running");
    cluster.client.delete("pods", "default", "p", &DeleteOptions::default()).unwrap();
    assert!(cluster.client.get("pods", "default", "p").unwrap()["metadata"]["deletionTimestamp"].is_string());
    cluster.until("the pod is gone", |client| client.get("pods", "default", "p").err());
    cluster
        .until("its room is free", |_| (cluster.handle.as_ref().unwrap().progress().counts.running == 0).then_some(()));
    assert_eq!(cluster.events("Killing")[0]["message"], "Stopping container app");
}

#[test]
fn pods_of_a_namespace_that_is_deleted_stop_without_complaints() {
    let cluster = Cluster::start(TWO);
    cluster.client.create("namespaces", "", json!({ "metadata": { "name": "going" } })).unwrap();
    let pod = json!({
        "metadata": { "name": "p" },
        "spec": { "nodeName": "a-01", "terminationGracePeriodSeconds": 5, "containers": [{ "name": "app", "image": "i:1" }] },
    });
    cluster.client.create("pods", "going", pod).unwrap();
    cluster.until("it runs", |client| {
        (client.get("pods", "going", "p").unwrap()["status"]["phase"] == "Running").then_some(())
    });
    cluster.client.delete("namespaces", "", "going", &DeleteOptions::default()).unwrap();
    assert!(cluster.client.get("namespaces", "", "going").unwrap()["metadata"]["deletionTimestamp"].is_string());
    cluster.client.delete("pods", "going", "p", &DeleteOptions::default()).unwrap();
    cluster.until("the pod is gone", |client| client.get("pods", "going", "p").err());
    assert_eq!(cluster.handle.as_ref().unwrap().progress().problems, 0);
}

#[test]
fn a_pod_on_the_wrong_node_is_refused() {
    let cluster = Cluster::start(TWO);
    for i in 0..9 {
        cluster.pod(&format!("p{i}"), &json!({}), Some("a-01"));
    }
    let pod = cluster.phase("p8", "Failed");
    assert_eq!(pod["status"]["reason"], "OutOfcpu");
    assert_eq!(
        pod["status"]["message"],
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 500, used: 4000, capacity: 4000"
    );
    assert_eq!(condition(&pod, "PodScheduled")["status"], "True");
}

#[test]
fn pods_of_a_removed_node_are_forgotten() {
    let cluster = Cluster::start(TWO);
    cluster.pod("p", &json!({}), Some("a-01"));
    cluster.phase("p", "Running");
    cluster.client.delete("nodes", "", "a-01", &DeleteOptions::default()).unwrap();
    cluster.until("one node left", |_| {
        let counts = cluster.handle.as_ref().unwrap().progress().counts;
        (counts.nodes == 1 && counts.running == 0).then_some(())
    });
}

#[test]
fn the_scenario_s_workloads_come_at_their_time_and_go_again() {
    let cluster = Cluster::start(&format!(
        "{TWO}workloads:\n  - {{kind: Deployment, name: web, namespace: shop, replicas: 3, cpu: 1}}\n  - {{kind: Pod, name: task, at: 1m, every: 1m, times: 2, lifetime: 3m, archetype: bursty}}\n"
    ));
    let web = cluster.until("the deployment", |client| client.get("deployments.apps", "shop", "web").ok());
    assert_eq!(web["spec"]["template"]["spec"]["schedulerName"], "tests");
    assert!(cluster.client.get("pods", "default", "task-1").is_err());
    let task = cluster.until("the second pod", |client| client.get("pods", "default", "task-2").ok());
    assert_eq!(task["metadata"]["annotations"][ARCHETYPE], "bursty");
    cluster.until("the first is gone", |client| client.get("pods", "default", "task-1").err());
    cluster.until("both are gone", |client| client.get("pods", "default", "task-2").err());
    cluster.until("all are counted", |_| {
        let progress = cluster.handle.as_ref().unwrap().progress();
        ((progress.objects_created, progress.pods_created, progress.problems) == (3, 2, 0)).then_some(())
    });
}

#[test]
fn the_scenario_s_faults_reach_the_nodes() {
    let cluster = Cluster::start(&format!("{TWO}faults: [{{at: 1m, kind: die, node: a-01}}]\n"));
    cluster.until("one silent node", |_| {
        let sim = lock(&cluster.handle.as_ref().unwrap().sim);
        (sim.node_usage(millis(cluster.clock.now())).len() == 1).then_some(())
    });
}

#[test]
fn metrics_follow_the_running_pods_and_the_faults() {
    let faults = "faults:\n  - {at: 10m, kind: metrics-absent, node: a-01, lasts: 5m}\n  - {at: 20m, kind: metrics-lying, node: a-01, lasts: 5m}\n  - {at: 30m, kind: metrics-stale, node: a-01}\n";
    let cluster = Cluster::start(&format!("{TWO}{faults}"));
    let start = cluster.clock.now();
    let handle = cluster.handle.as_ref().unwrap();
    let scenario = Scenario::load(&format!("{TWO}{faults}")).unwrap();
    let feed = metrics::MetricsFeed::new(handle.sim.clone(), cluster.clock.clone(), &scenario, millis(start));
    cluster.pod("p", &json!({}), Some("a-01"));
    cluster.phase("p", "Running");
    let until = |minute: u64| {
        let passed = cluster.clock.now().duration_since(start).as_millis() as u64;
        cluster.clock.advance(Duration::from_millis(minute * 60_000 - passed));
        let found = feed.nodes().into_iter().find(|node| node.name == "a-01");
        found.map(|node| (node.usage.memory_bytes, node.timestamp, feed.pods("default").len()))
    };
    let (memory, ..) = until(9).unwrap();
    assert_eq!(until(9).unwrap().2, 1);
    assert_eq!(until(11), None);
    let (lie, ..) = until(21).unwrap();
    assert!(lie > 8 * memory, "{lie} is no lie against {memory}");
    let (_, fresh, _) = until(29).unwrap();
    assert_eq!(fresh, cluster.clock.now());
    assert_eq!(until(35).unwrap().1, fresh);
    assert_eq!(feed.pods("elsewhere").len(), 0);
}

#[test]
fn a_silent_node_s_pods_are_told_of_when_it_is_back() {
    let cluster = Cluster::start(TWO);
    cluster.pod("p", &json!({}), Some("a-01"));
    cluster.phase("p", "Running");
    let fault = Input::Fault { node: Arc::from("a-01"), fault: Fault::Die, lasts: Some(120_000) };
    lock(&cluster.handle.as_ref().unwrap().sim).step(millis(cluster.clock.now()), fault);
    cluster.until("a restart", |client| {
        let pod = client.get("pods", "default", "p").unwrap();
        let container = &pod["status"]["containerStatuses"][0];
        (container["restartCount"] == 1 && container["ready"] == true).then_some(())
    });
    assert_eq!(cluster.events("Starting").len(), 1);
}

#[test]
fn a_restarted_sandbox_takes_over_what_is_there() {
    let mut cluster = Cluster::start(TWO);
    cluster.pod("p", &json!({}), Some("a-01"));
    cluster.phase("p", "Running");
    cluster.handle.take().unwrap().stop();
    cluster.client.delete("pods", "default", "p", &DeleteOptions::default()).unwrap();
    cluster.pod("q", &json!({}), Some("a-02"));
    let options = SandboxOptions::new(cluster.clock.clone(), "tests");
    cluster.handle = Some(Sandbox::start(&cluster.server, Scenario::load(TWO).unwrap(), options).unwrap());
    cluster.until("the deleted pod is gone", |client| client.get("pods", "default", "p").err());
    cluster.phase("q", "Running");
}

#[test]
fn a_lost_history_is_made_up_for() {
    let cluster = Cluster::start(TWO);
    cluster.pod("p", &json!({}), Some("a-01"));
    cluster.pod("q", &json!({}), Some("a-01"));
    cluster.phase("p", "Running");
    cluster.phase("q", "Running");
    let handle = cluster.handle.as_ref().unwrap();
    // While its lock is held the sandbox cannot follow.
    let sim = lock(&handle.sim);
    cluster.client.delete("pods", "default", "p", &DeleteOptions::grace(0)).unwrap();
    cluster.pod("r", &json!({}), Some("a-02"));
    cluster.server.forget_history();
    drop(sim);
    cluster.phase("r", "Running");
    cluster.until("the deleted pod is forgotten", |_| (handle.progress().counts.running == 2).then_some(()));
}

#[test]
fn instant_pods_cost_one_write() {
    let cluster = Cluster::with(TWO, |options| {
        options.instant = true;
        options.heartbeat = None;
    });
    cluster.pod("p", &json!({}), Some("a-01"));
    let bound: u64 = version(&cluster.client.get("pods", "default", "p").unwrap());
    let pod = cluster.phase("p", "Running");
    assert_eq!(condition(&pod, "Ready")["status"], "True");
    assert!(version(&pod) <= bound + 1, "{} after {bound}", version(&pod));
    cluster.client.delete("pods", "default", "p", &DeleteOptions::default()).unwrap();
    cluster.until("the pod is gone", |client| client.get("pods", "default", "p").err());
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}
