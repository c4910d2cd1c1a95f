//! The API server of a simulated history, what happens to it from outside, and what is known of it that no scheduler is told:
//! which node had which shape when, who was bound when, by whom.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use augur_apiserver::{ApiServer, ApiServerOptions, DeleteOptions, LocalClient, LocalEventKind, LocalWatch, PatchKind};
use augur_clock::Clock;
use axum::Router;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::model::{Pod, Shape, fits};

/// How old the knowledge may be on which a binding is decided and sent: the longest stall of a watch, the attempts at a binding
/// with their pauses, and a partition.
pub const STALE: Duration = Duration::from_secs(150);

/// Lines of the trace that are shown when something is wrong.
const SHOWN: usize = 150;

/// What happened, for comparing two runs and for reading one.
#[derive(Default)]
struct Trace {
    hash: DefaultHasher,
    lines: Vec<String>,
}

/// A shape of a node and from when it held; `None` from when the node was gone.
type Held = (Instant, Option<Shape>);

/// The cluster as it is.
pub struct World {
    pub router: Router,
    pub local: LocalClient,
    pub server: ApiServer,
    began: Instant,
    trace: Mutex<Trace>,
    /// The shapes of each node, in turn.
    shapes: Mutex<BTreeMap<String, Vec<Held>>>,
    /// Bindings carried out, by the pod's uid.
    bindings: Mutex<BTreeMap<String, u32>>,
    /// When foreign pods came, by uid.
    foreign: Mutex<BTreeMap<String, Instant>>,
    /// When pods of ours waited last, as far as that ended, with their priorities.
    waited: Mutex<Vec<(Instant, i64)>>,
    violations: Mutex<Vec<String>>,
    known: Mutex<Known>,
}

/// The pods as the API server has them, followed by a watch because reading all of them again takes its time.
#[derive(Default)]
struct Known {
    watch: Option<LocalWatch>,
    pods: BTreeMap<String, Pod>,
}

impl World {
    pub fn new(seed: u64) -> Arc<Self> {
        let clock = Clock::simulated("2026-01-05T09:00:00Z".parse::<Timestamp>().unwrap());
        let options = ApiServerOptions { clock, seed: Some(seed), ..ApiServerOptions::default() };
        let server = ApiServer::new(options).unwrap();
        let local = server.local("world");
        for (name, value, policy) in
            [("low", 10, "PreemptLowerPriority"), ("high", 1000, "PreemptLowerPriority"), ("polite", 1000, "Never")]
        {
            let class = json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
                "metadata": { "name": name }, "value": value, "preemptionPolicy": policy });
            local.create("priorityclasses.scheduling.k8s.io", "", class).unwrap();
        }
        Arc::new(World {
            router: server.router(),
            local,
            server,
            began: Instant::now(),
            trace: Mutex::default(),
            shapes: Mutex::default(),
            bindings: Mutex::default(),
            foreign: Mutex::default(),
            waited: Mutex::default(),
            violations: Mutex::default(),
            known: Mutex::default(),
        })
    }

    pub fn trace(&self, line: &str) {
        let line = format!("{:10.3} {line}", self.began.elapsed().as_secs_f64());
        let mut trace = self.trace.lock().unwrap();
        line.hash(&mut trace.hash);
        trace.lines.push(line);
    }

    /// Stands for all that happened.
    pub fn fingerprint(&self) -> u64 {
        self.trace.lock().unwrap().hash.finish()
    }

    /// The lines of the trace; the last ones only, unless all are wanted.
    pub fn told(&self, all: bool) -> String {
        let trace = self.trace.lock().unwrap();
        let from = if all { 0 } else { trace.lines.len().saturating_sub(SHOWN) };
        trace.lines[from..].join("\n")
    }

    pub fn violation(&self, text: String) {
        self.trace(&format!("VIOLATION {text}"));
        self.violations.lock().unwrap().push(text);
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    fn shape_node(&self, name: &str, shape: Option<Shape>) {
        self.trace(&format!("node {name} {shape:?}"));
        self.shapes.lock().unwrap().entry(name.to_owned()).or_default().push((Instant::now(), shape));
    }

    /// The shape of a node now.
    pub fn shape(&self, name: &str) -> Option<Shape> {
        self.shapes.lock().unwrap().get(name)?.last()?.1.clone()
    }

    /// The nodes there are.
    pub fn nodes(&self) -> Vec<String> {
        let shapes = self.shapes.lock().unwrap();
        shapes
            .iter()
            .filter(|(_, all)| all.last().is_some_and(|(_, shape)| shape.is_some()))
            .map(|(name, _)| name.clone())
            .collect()
    }

    pub fn add_node(&self, name: &str, shape: Shape) {
        let node = json!({ "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": { "zone": shape.zone, "kubernetes.io/hostname": name } },
            "status": {
                "allocatable": { "cpu": shape.cpu.to_string(), "memory": "64Gi", "pods": "110" },
                "capacity": { "cpu": shape.cpu.to_string(), "memory": "64Gi", "pods": "110" },
                "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }],
            } });
        self.local.create("nodes", "", node).unwrap();
        // Admission taints a new node until the node controller, which does not run here, finds it ready.
        let ready = json!({ "spec": { "taints": null } });
        self.local.patch("nodes", "", name, "", PatchKind::Merge, &ready).unwrap();
        self.shape_node(name, Some(shape));
    }

    pub fn reshape_node(&self, name: &str, shape: Shape) {
        let spec =
            json!({ "metadata": { "labels": { "zone": shape.zone } }, "spec": { "unschedulable": shape.cordoned } });
        self.local.patch("nodes", "", name, "", PatchKind::Merge, &spec).unwrap();
        let cpu = shape.cpu.to_string();
        let status = json!({ "status": { "allocatable": { "cpu": cpu }, "capacity": { "cpu": cpu } } });
        self.local.patch("nodes", "", name, "status", PatchKind::Merge, &status).unwrap();
        self.shape_node(name, Some(shape));
    }

    /// Removes a node, and its pods as the garbage collector does.
    pub fn remove_node(&self, name: &str) {
        self.local.delete("nodes", "", name, &DeleteOptions::default()).unwrap();
        self.shape_node(name, None);
        for pod in self.pods().iter().filter(|pod| pod.node.as_deref() == Some(name)) {
            self.delete_pod(&pod.name, 0);
        }
    }

    pub fn add_pod(&self, name: &str, spec: &Value, labels: &Value) {
        self.trace(&format!("pod {name} {spec}"));
        let pod =
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": labels }, "spec": spec });
        let made = self.local.create("pods", "default", pod).unwrap();
        if made["spec"]["schedulerName"] != "augur" {
            let uid = made["metadata"]["uid"].as_str().unwrap().to_owned();
            self.foreign.lock().unwrap().insert(uid, Instant::now());
        }
    }

    pub fn delete_pod(&self, name: &str, grace: i64) {
        self.trace(&format!("delete pod {name} grace {grace}"));
        if let Some(pod) = self.pods().iter().find(|pod| pod.name == name && pod.node.is_none()) {
            self.waited.lock().unwrap().push((Instant::now(), pod.priority));
        }
        let options = DeleteOptions { grace_period_seconds: Some(grace), ..DeleteOptions::default() };
        // It may have gone by itself.
        let _ = self.local.delete("pods", "default", name, &options);
    }

    pub fn ungate(&self, name: &str) {
        self.trace(&format!("ungate pod {name}"));
        let open = json!({ "spec": { "schedulingGates": [] } });
        self.local.patch("pods", "default", name, "", PatchKind::Merge, &open).unwrap();
    }

    /// Sets the phase of a pod, as its kubelet does.
    pub fn set_phase(&self, name: &str, phase: &str) {
        self.trace(&format!("pod {name} is {phase}"));
        let status = json!({ "status": { "phase": phase } });
        self.local.patch("pods", "default", name, "status", PatchKind::Merge, &status).unwrap();
    }

    /// All pods that have not ended.
    pub fn pods(&self) -> Vec<Pod> {
        let mut known = self.known.lock().unwrap();
        let Known { watch, pods } = &mut *known;
        while let Some(event) = watch.as_mut().and_then(LocalWatch::try_next) {
            if event.kind == LocalEventKind::Expired {
                *watch = None;
                break;
            }
            let pod = Pod::read(&serde_json::from_slice(&event.object).unwrap());
            match event.kind {
                LocalEventKind::Deleted => pods.remove(&pod.name),
                _ => pods.insert(pod.name.clone(), pod),
            };
        }
        if watch.is_none() {
            let list = self.local.list("pods", "default", "", "").unwrap();
            let read = list.items.iter().map(|item| Pod::read(&serde_json::from_slice(item).unwrap()));
            *pods = read.map(|pod| (pod.name.clone(), pod)).collect();
            *watch = self.local.watch("pods", "default", list.resource_version).ok();
        }
        pods.values().filter(|pod| !pod.over).cloned().collect()
    }

    /// Only the holder of the lease may change the cluster.
    pub fn check_holder(&self, identity: &str, what: &str) {
        let lease = self.local.get("leases.coordination.k8s.io", "kube-system", "augur").unwrap_or_default();
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        if holder != identity {
            self.violation(format!("{what}: sent while {holder:?} holds the lease"));
        }
    }

    /// A pod may be evicted only for one of higher priority.
    pub fn check_eviction(&self, path: &str) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let pods = self.pods();
        let Some(victim) = pods.iter().find(|pod| pod.name == name) else { return };
        let now = Instant::now();
        let waits = pods.iter().filter(|pod| pod.node.is_none() && pod.ours).map(|pod| pod.priority);
        // What it was for may have been bound or deleted meanwhile.
        let waited = self.waited.lock().unwrap();
        let waited = waited.iter().filter(|(at, _)| now.duration_since(*at) <= STALE).map(|(_, priority)| *priority);
        let highest = waits.chain(waited).max();
        self.trace(&format!("evicting {name} of priority {} for one of {highest:?}", victim.priority));
        if highest.is_none_or(|highest| highest <= victim.priority) {
            self.violation(format!("pod {name} is evicted although no pod of higher priority waits"));
        }
    }

    /// A binding was carried out: it must be the pod's only one, and one that was feasible by what could be known.
    pub fn note_binding(&self, by: &str, path: &str, body: &[u8]) {
        let binding: Value = serde_json::from_slice(body).unwrap();
        let node = binding["target"]["name"].as_str().unwrap_or_default();
        let name = path.rsplit('/').nth(1).unwrap_or_default();
        self.trace(&format!("BOUND {name} to {node} by {by}"));
        let Ok(object) = self.local.get("pods", "default", name) else { return };
        let pod = Pod::read(&object);
        self.waited.lock().unwrap().push((Instant::now(), pod.priority));
        let times = {
            let mut bindings = self.bindings.lock().unwrap();
            let times = bindings.entry(pod.uid.clone()).or_default();
            *times += 1;
            *times
        };
        if times > 1 {
            self.violation(format!("pod {name} was bound {times} times"));
        }
        if pod.gated {
            self.violation(format!("gated pod {name} was bound"));
        }
        let now = Instant::now();
        let known_foreign = |other: &Pod| {
            let foreign = self.foreign.lock().unwrap();
            other.ours || foreign.get(&other.uid).is_none_or(|came| now.duration_since(*came) > STALE)
        };
        let others: Vec<Pod> = self
            .pods()
            .into_iter()
            .filter(|other| other.node.as_deref() == Some(node) && other.uid != pod.uid && known_foreign(other))
            .collect();
        let shapes = self.shapes.lock().unwrap().get(node).cloned().unwrap_or_default();
        // A shape held until the next one came.
        let ends = shapes.iter().skip(1).map(|(at, _)| *at).chain([now]);
        let recent = shapes.iter().zip(ends).filter(|(_, end)| now.duration_since(*end) <= STALE);
        let refusals: Vec<String> = recent
            .filter_map(|((_, shape), _)| shape.as_ref())
            .map(|shape| fits(&pod, shape, &others).err().unwrap_or_default())
            .collect();
        if refusals.iter().all(|refusal| !refusal.is_empty()) {
            self.violation(format!("pod {name} was bound to {node}, where it does not fit: {refusals:?}"));
        }
    }
}
