//! From a scenario to what the API is asked for: the objects of a workload, and the time at which each comes and goes.
//! Entry points: [`Scenario::plan`], [`workload_objects`].

use serde_json::{Map, Value, json};

use super::{
    ARCHETYPE, CRASH_AFTER, DURATION, FAILURE_RATE, LEAK_PER_MINUTE, LOAD, Scenario, Spread, Workload, WorkloadKind,
};
use crate::sim::{Archetype, Millis, Purpose, Resources, Rng, stream};

/// One thing that a scenario does, in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    /// Create workload number `workload` for the `nth` time, from 0.
    Create {
        /// Index into [`Scenario::workloads`].
        workload: usize,
        /// Which repetition.
        nth: u32,
    },
    /// Delete what [`Planned::Create`] with the same numbers created.
    Delete {
        /// Index into [`Scenario::workloads`].
        workload: usize,
        /// Which repetition.
        nth: u32,
    },
    /// Begin fault number `fault`.
    Fault {
        /// Index into [`Scenario::faults`].
        fault: usize,
    },
}

impl Scenario {
    /// Everything that happens, by its time after the start. Jitter depends on `seed` only.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Vec<(Millis, Planned)> {
        let rng = Rng::new(seed);
        let mut plan = Vec::new();
        for (workload, one) in self.workloads.iter().enumerate() {
            let stream = stream(&[&one.namespace, &one.name]);
            for nth in 0..one.times {
                let shift = rng.between(stream, Purpose::Phase, u64::from(nth), 0.0, one.jitter as f64) as Millis;
                let at = one.at + one.every * Millis::from(nth) + shift;
                plan.push((at, Planned::Create { workload, nth }));
                if let Some(lifetime) = one.lifetime {
                    plan.push((at + lifetime, Planned::Delete { workload, nth }));
                }
            }
        }
        plan.extend(self.faults.iter().enumerate().map(|(fault, one)| (one.at, Planned::Fault { fault })));
        // Stable: what falls on the same moment keeps the order of the file.
        plan.sort_by_key(|(at, _)| *at);
        plan
    }
}

/// The objects of repetition `nth` of a workload, each with its resource as `LocalClient` names it.
#[must_use]
pub fn workload_objects(workload: &Workload, nth: u32, scheduler_name: &str) -> (&'static str, Vec<Value>) {
    let name = if workload.times > 1 { format!("{}-{}", workload.name, nth + 1) } else { workload.name.clone() };
    let labels = labels(workload, &name);
    let metadata = |name: &str| json!({ "name": name, "namespace": workload.namespace, "labels": labels });
    let selector = json!({ "matchLabels": { "app": name } });
    let template = |restart: &str| {
        let mut metadata = json!({ "labels": labels });
        annotate(&mut metadata, workload);
        json!({ "metadata": metadata, "spec": pod_spec(workload, &name, scheduler_name, restart) })
    };
    match workload.kind {
        WorkloadKind::Deployment => (
            "deployments.apps",
            vec![json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(&name),
                "spec": { "replicas": workload.replicas, "selector": selector, "template": template("Always") },
            })],
        ),
        WorkloadKind::StatefulSet => (
            "statefulsets.apps",
            vec![json!({
                "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata(&name),
                "spec": {
                    "replicas": workload.replicas, "serviceName": name, "selector": selector,
                    "template": template("Always"),
                },
            })],
        ),
        WorkloadKind::DaemonSet => (
            "daemonsets.apps",
            vec![json!({
                "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata(&name),
                "spec": { "selector": selector, "template": template("Always") },
            })],
        ),
        WorkloadKind::Job => (
            "jobs.batch",
            vec![json!({
                "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata(&name),
                "spec": {
                    "completions": workload.replicas, "parallelism": workload.replicas, "backoffLimit": 4,
                    "template": template("Never"),
                },
            })],
        ),
        WorkloadKind::Pod => {
            let batch = workload.behaviour.archetype == Archetype::Batch;
            let pods = (0..workload.replicas).map(|i| {
                let name = if workload.replicas > 1 { format!("{name}-{i}") } else { name.clone() };
                let mut metadata = metadata(&name);
                annotate(&mut metadata, workload);
                let restart = if batch { "Never" } else { "Always" };
                json!({
                    "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                    "spec": pod_spec(workload, &name, scheduler_name, restart),
                })
            });
            ("pods", pods.collect())
        }
    }
}

fn labels(workload: &Workload, name: &str) -> Value {
    let mut labels: Map<String, Value> = workload.labels.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    labels.insert("app".to_owned(), json!(name));
    Value::Object(labels)
}

/// Writes the archetype and its numbers as annotations.
fn annotate(metadata: &mut Value, workload: &Workload) {
    let behaviour = &workload.behaviour;
    let mut notes = Map::new();
    let mut note = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            notes.insert(key.to_owned(), Value::String(value));
        }
    };
    note(ARCHETYPE, Some(behaviour.archetype.name().to_owned()));
    note(DURATION, behaviour.duration.map(|ms| format!("{ms}ms")));
    note(CRASH_AFTER, behaviour.crash_after.map(|ms| format!("{ms}ms")));
    note(LEAK_PER_MINUTE, behaviour.leak_per_minute.map(|bytes| bytes.to_string()));
    note(LOAD, behaviour.load.map(|load| load.to_string()));
    note(FAILURE_RATE, (behaviour.failure_rate > 0.0).then(|| behaviour.failure_rate.to_string()));
    metadata["annotations"] = Value::Object(notes);
}

/// A resource list as the API writes it.
pub(crate) fn resource_list(amounts: &Resources) -> Map<String, Value> {
    let mut list = Map::new();
    if amounts.cpu_milli > 0 {
        list.insert("cpu".to_owned(), json!(cpu_text(amounts.cpu_milli)));
    }
    if amounts.memory > 0 {
        list.insert("memory".to_owned(), json!(memory_text(amounts.memory)));
    }
    for (name, amount) in &amounts.extended {
        list.insert(name.to_string(), json!(amount.to_string()));
    }
    list
}

pub(crate) fn cpu_text(milli: i64) -> String {
    if milli % 1_000 == 0 { (milli / 1_000).to_string() } else { format!("{milli}m") }
}

pub(crate) fn memory_text(bytes: i64) -> String {
    for (unit, size) in [("Gi", 1i64 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if bytes > 0 && bytes % size == 0 {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

fn pod_spec(workload: &Workload, name: &str, scheduler_name: &str, restart: &str) -> Value {
    let mut limits = resource_list(&Resources {
        cpu_milli: workload.cpu_limit.unwrap_or(0),
        memory: workload.memory_limit.unwrap_or(0),
        // Extended resources cannot be overcommitted: limit and request are one.
        extended: workload.requests.extended.clone(),
    });
    let mut resources = json!({ "requests": resource_list(&workload.requests) });
    if !limits.is_empty() {
        resources["limits"] = Value::Object(std::mem::take(&mut limits));
    }
    let mut container = json!({ "name": "app", "image": workload.image, "resources": resources });
    if let Some((delay, period)) = workload.readiness {
        container["readinessProbe"] = json!({
            "httpGet": { "path": "/ready", "port": 8080 },
            "initialDelaySeconds": delay / 1_000,
            "periodSeconds": (period / 1_000).max(1),
        });
    }
    let mut spec = json!({
        "schedulerName": scheduler_name,
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": workload.grace_seconds,
        "containers": [container],
    });
    if !workload.node_selector.is_empty() {
        spec["nodeSelector"] = json!(workload.node_selector);
    }
    if !workload.tolerations.is_empty() {
        let tolerations = workload.tolerations.iter().map(|key| {
            if key == "*" { json!({ "operator": "Exists" }) } else { json!({ "key": key, "operator": "Exists" }) }
        });
        spec["tolerations"] = tolerations.collect();
    }
    let key = match workload.spread {
        None => return spec,
        Some(Spread::Zone) => "topology.kubernetes.io/zone",
        Some(Spread::Node) => "kubernetes.io/hostname",
    };
    spec["topologySpreadConstraints"] = json!([{
        "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": { "matchLabels": { "app": name } },
    }]);
    spec
}
