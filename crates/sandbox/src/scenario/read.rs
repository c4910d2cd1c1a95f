//! From YAML to a [`Scenario`]: the sections as they are written, their defaults, and their checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use augur_notation::{Quantity, nearest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    FaultKind, MetricsFault, PlannedFault, Scenario, ScenarioError, Spread, Workload, WorkloadKind, archetype, by_name,
    character, duration, taint,
};
use crate::sim::{Archetype, Behaviour, Character, EVICTION_MEMORY, Fault, GIB, Millis, NodeSpec, Resources};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Top {
    #[serde(default)]
    description: String,
    #[serde(default)]
    zones: Vec<String>,
    node_classes: Vec<Value>,
    #[serde(default)]
    workloads: Vec<Value>,
    #[serde(default)]
    faults: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NodeClass {
    name: String,
    count: u32,
    cpu: Value,
    memory: Value,
    #[serde(default = "default_pods")]
    pods: i64,
    #[serde(default)]
    disk: Value,
    #[serde(default)]
    resources: BTreeMap<String, i64>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    taints: Vec<String>,
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    characters: BTreeMap<String, u32>,
}

fn default_pods() -> i64 {
    110
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WorkloadText {
    kind: String,
    name: String,
    #[serde(default = "default_namespace")]
    namespace: String,
    #[serde(default)]
    at: Option<String>,
    #[serde(default)]
    every: Option<String>,
    #[serde(default)]
    times: Option<u32>,
    #[serde(default)]
    jitter: Option<String>,
    #[serde(default)]
    lifetime: Option<String>,
    #[serde(default = "one")]
    replicas: u32,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    cpu: Value,
    #[serde(default)]
    memory: Value,
    #[serde(default)]
    cpu_limit: Value,
    #[serde(default)]
    memory_limit: Value,
    #[serde(default)]
    resources: BTreeMap<String, i64>,
    #[serde(default)]
    archetype: Option<String>,
    #[serde(default)]
    duration: Option<String>,
    #[serde(default)]
    crash_after: Option<String>,
    #[serde(default)]
    leak_per_minute: Value,
    #[serde(default)]
    load: Option<f64>,
    #[serde(default)]
    failure_rate: f64,
    #[serde(default)]
    readiness: Option<Value>,
    #[serde(default)]
    node_selector: BTreeMap<String, String>,
    #[serde(default)]
    tolerations: Vec<String>,
    #[serde(default)]
    spread: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default = "default_grace")]
    grace_seconds: i64,
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn default_grace() -> i64 {
    30
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Readiness {
    #[serde(default)]
    initial_delay: Option<String>,
    #[serde(default)]
    period: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FaultText {
    at: String,
    kind: String,
    #[serde(default)]
    lasts: Option<String>,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    node_class: Option<String>,
    #[serde(default = "one")]
    count: u32,
}

const KINDS: [(&str, WorkloadKind); 5] = [
    ("Deployment", WorkloadKind::Deployment),
    ("StatefulSet", WorkloadKind::StatefulSet),
    ("DaemonSet", WorkloadKind::DaemonSet),
    ("Job", WorkloadKind::Job),
    ("Pod", WorkloadKind::Pod),
];

const FAULTS: [(&str, FaultKind); 8] = [
    ("die", FaultKind::Physical(Fault::Die)),
    ("disconnect", FaultKind::Physical(Fault::Disconnect)),
    ("starve", FaultKind::Physical(Fault::Starve)),
    ("heat", FaultKind::Physical(Fault::Heat)),
    ("slow-disk", FaultKind::Physical(Fault::SlowDisk)),
    ("metrics-absent", FaultKind::Metrics(MetricsFault::Absent)),
    ("metrics-stale", FaultKind::Metrics(MetricsFault::Stale)),
    ("metrics-lying", FaultKind::Metrics(MetricsFault::Lying)),
];

const SPREADS: [(&str, Spread); 2] = [("zone", Spread::Zone), ("node", Spread::Node)];

/// Most nodes that a scenario may have; a typing error must not fill the memory.
const MAX_NODES: usize = 20_000;

pub(super) fn scenario(text: &str) -> Result<Scenario, ScenarioError> {
    let value: Value = serde_saphyr::from_str(text).map_err(|error| ScenarioError(format!("not YAML: {error}")))?;
    if !value.is_object() {
        return Err(ScenarioError("a scenario is a mapping with the key `nodeClasses`".to_owned()));
    }
    let top: Top = section("", value)?;
    let zones = if top.zones.is_empty() { vec!["zone-a".to_owned()] } else { top.zones };
    let mut nodes: Vec<NodeSpec> = Vec::new();
    for (i, value) in top.node_classes.into_iter().enumerate() {
        node_class(&format!("nodeClasses[{i}]"), value, &zones, &mut nodes)?;
    }
    let mut workloads: Vec<Workload> = Vec::new();
    for (i, value) in top.workloads.into_iter().enumerate() {
        let path = format!("workloads[{i}]");
        let one = workload(&path, value)?;
        let same = |w: &Workload| w.kind == one.kind && w.name == one.name && w.namespace == one.namespace;
        if workloads.iter().any(same) {
            return Err(ScenarioError(format!("{path}.name: `{}` is there twice", one.name)));
        }
        workloads.push(one);
    }
    let mut faults = Vec::new();
    for (i, value) in top.faults.into_iter().enumerate() {
        fault(&format!("faults[{i}]"), value, &nodes, &mut faults)?;
    }
    Ok(Scenario { description: top.description, nodes, workloads, faults })
}

/// Reads a section; an unknown key is named with its path and the nearest known one.
fn section<T: DeserializeOwned>(path: &str, value: Value) -> Result<T, ScenarioError> {
    serde_json::from_value(value).map_err(|error| {
        let text = error.to_string();
        let words: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        let at = if path.is_empty() { String::new() } else { format!("{path}.") };
        match words.as_slice() {
            [unknown, known @ ..] if text.starts_with("unknown field") => {
                let hint = nearest(unknown, known.iter().copied())
                    .map(|word| format!("; the nearest known key is `{at}{word}`"))
                    .unwrap_or_default();
                ScenarioError(format!("unknown key `{at}{unknown}`{hint}"))
            }
            [missing] if text.starts_with("missing field") => {
                ScenarioError(format!("the key `{at}{missing}` is missing"))
            }
            _ if path.is_empty() => ScenarioError(text),
            _ => ScenarioError(format!("{path}: {text}")),
        }
    })
}

/// A quantity, given as text or number.
fn quantity(path: &str, value: &Value) -> Result<Option<Quantity>, ScenarioError> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => return Err(ScenarioError(format!("{path}: `{other}` is not a quantity such as 500m or 2Gi"))),
    };
    let quantity = Quantity::parse(&text)
        .map_err(|_| ScenarioError(format!("{path}: `{text}` is not a quantity such as 500m or 2Gi")))?;
    if quantity.is_negative() {
        return Err(ScenarioError(format!("{path}: `{text}` must not be negative")));
    }
    Ok(Some(quantity))
}

fn extended(path: &str, amounts: &BTreeMap<String, i64>) -> Result<Vec<(Arc<str>, i64)>, ScenarioError> {
    if let Some((name, _)) = amounts.iter().find(|(name, amount)| !name.contains('/') || **amount < 0) {
        return Err(ScenarioError(format!(
            "{path}.{name}: extended resources have a name such as nvidia.com/gpu and a whole amount"
        )));
    }
    Ok(amounts.iter().map(|(name, amount)| (Arc::from(name.as_str()), *amount)).collect())
}

fn check_name(path: &str, name: &str) -> Result<(), ScenarioError> {
    match augur_notation::dns_subdomain_problems(name).first() {
        None => Ok(()),
        Some(problem) => Err(ScenarioError(format!("{path}: `{name}` is no name for an object: {problem}"))),
    }
}

fn node_class(path: &str, value: Value, zones: &[String], nodes: &mut Vec<NodeSpec>) -> Result<(), ScenarioError> {
    let class: NodeClass = section(path, value)?;
    check_name(&format!("{path}.name"), &class.name)?;
    let need = |key: &str, value: &Value| {
        let path = format!("{path}.{key}");
        quantity(&path, value)?.ok_or_else(|| ScenarioError(format!("the key `{path}` is missing")))
    };
    let capacity = Resources {
        cpu_milli: need("cpu", &class.cpu)?.milli(),
        memory: need("memory", &class.memory)?.value(),
        extended: extended(&format!("{path}.resources"), &class.resources)?,
    };
    let disk = quantity(&format!("{path}.disk"), &class.disk)?.map_or(100 * GIB, Quantity::value);
    let mut taints = Vec::new();
    for (i, text) in class.taints.iter().enumerate() {
        taints.push(taint(&format!("{path}.taints[{i}]"), text)?);
    }
    let mut characters: Vec<Character> = Vec::new();
    for (name, count) in &class.characters {
        let one = character(&format!("{path}.characters"), name)?;
        characters.extend((0..(*count).min(class.count)).map(|_| one));
    }
    if characters.len() > class.count as usize {
        return Err(ScenarioError(format!("{path}.characters: they sum up to more than the {} nodes", class.count)));
    }
    if nodes.len() + class.count as usize > MAX_NODES {
        return Err(ScenarioError(format!("{path}.count: a scenario has at most {MAX_NODES} nodes")));
    }
    let count = class.count as usize;
    let width = count.to_string().len().max(2);
    for i in 0..count {
        let name = format!("{}-{:0width$}", class.name, i + 1);
        if nodes.iter().any(|node| *node.name == *name) {
            return Err(ScenarioError(format!("{path}.name: the node {name} is there twice")));
        }
        let zone = &zones[nodes.len() % zones.len()];
        let mut labels = BTreeMap::from(
            [
                ("kubernetes.io/hostname", name.as_str()),
                ("kubernetes.io/os", "linux"),
                ("kubernetes.io/arch", "amd64"),
                ("topology.kubernetes.io/region", "sandbox"),
                ("topology.kubernetes.io/zone", zone.as_str()),
                ("node.kubernetes.io/instance-type", class.name.as_str()),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        labels.extend(class.labels.clone());
        // The special ones are spread evenly over the class, so that they do not share a zone.
        let special = characters.len();
        let nth = (i * special).div_ceil(count.max(1));
        let is_special = special > 0 && nth < special && (nth * count) / special == i;
        let character = if is_special { characters[nth] } else { Character::Healthy };
        nodes.push(NodeSpec {
            name: Arc::from(name),
            labels,
            taints: taints.clone(),
            capacity: capacity.clone(),
            pods: class.pods,
            reserved_memory: EVICTION_MEMORY,
            disk,
            images: class.images.clone(),
            character,
        });
    }
    Ok(())
}

fn workload(path: &str, value: Value) -> Result<Workload, ScenarioError> {
    let text: WorkloadText = section(path, value)?;
    let kind = by_name(&KINDS, &format!("{path}.kind"), &text.kind)?;
    check_name(&format!("{path}.name"), &text.name)?;
    let span = |key: &str, value: &Option<String>| -> Result<Option<Millis>, ScenarioError> {
        value.as_ref().map(|text| duration(&format!("{path}.{key}"), text)).transpose()
    };
    let amount = |key: &str, value: &Value| quantity(&format!("{path}.{key}"), value);
    let archetype = match &text.archetype {
        Some(name) => archetype(&format!("{path}.archetype"), name)?,
        None if kind == WorkloadKind::Job => Archetype::Batch,
        None => Archetype::Steady,
    };
    let every = span("every", &text.every)?.unwrap_or(0);
    let times = text.times.unwrap_or(1).max(1);
    if times > 1 && every == 0 {
        return Err(ScenarioError(format!("{path}.times: needs `{path}.every`, the time between repetitions")));
    }
    let readiness = match text.readiness {
        None => None,
        Some(value) => {
            let path = format!("{path}.readiness");
            let probe: Readiness = section(&path, value)?;
            let span = |key: &str, value: &Option<String>, otherwise: Millis| {
                value.as_ref().map_or(Ok(otherwise), |text| duration(&format!("{path}.{key}"), text))
            };
            Some((span("initialDelay", &probe.initial_delay, 0)?, span("period", &probe.period, 10_000)?))
        }
    };
    let share = |key: &str, value: f64, max: f64| {
        let sound = value.is_finite() && (0.0..=max).contains(&value);
        if sound { Ok(value) } else { Err(ScenarioError(format!("{path}.{key}: must be from 0 to {max}"))) }
    };
    Ok(Workload {
        kind,
        namespace: text.namespace,
        at: span("at", &text.at)?.unwrap_or(0),
        every,
        times,
        jitter: span("jitter", &text.jitter)?.unwrap_or(0),
        lifetime: span("lifetime", &text.lifetime)?,
        replicas: text.replicas,
        image: text.image.unwrap_or_else(|| format!("registry.example/{}:1.0", text.name)),
        name: text.name,
        requests: Resources {
            cpu_milli: amount("cpu", &text.cpu)?.map_or(0, Quantity::milli),
            memory: amount("memory", &text.memory)?.map_or(0, Quantity::value),
            extended: extended(&format!("{path}.resources"), &text.resources)?,
        },
        cpu_limit: amount("cpuLimit", &text.cpu_limit)?.map(Quantity::milli),
        memory_limit: amount("memoryLimit", &text.memory_limit)?.map(Quantity::value),
        behaviour: Behaviour {
            archetype,
            duration: span("duration", &text.duration)?,
            crash_after: span("crashAfter", &text.crash_after)?,
            leak_per_minute: amount("leakPerMinute", &text.leak_per_minute)?.map(Quantity::value),
            load: text.load.map(|load| share("load", load, 20.0)).transpose()?,
            shape: None,
            failure_rate: share("failureRate", text.failure_rate, 1.0)?,
        },
        readiness,
        node_selector: text.node_selector,
        tolerations: text.tolerations,
        spread: text.spread.map(|name| by_name(&SPREADS, &format!("{path}.spread"), &name)).transpose()?,
        labels: text.labels,
        grace_seconds: text.grace_seconds.max(0),
    })
}

fn fault(path: &str, value: Value, nodes: &[NodeSpec], faults: &mut Vec<PlannedFault>) -> Result<(), ScenarioError> {
    let text: FaultText = section(path, value)?;
    let kind = by_name(&FAULTS, &format!("{path}.kind"), &text.kind)?;
    let at = duration(&format!("{path}.at"), &text.at)?;
    let lasts = text.lasts.map(|lasts| duration(&format!("{path}.lasts"), &lasts)).transpose()?;
    let named: Vec<Arc<str>> = match (&text.node, &text.node_class) {
        (Some(name), None) => nodes.iter().filter(|node| *node.name == **name).map(|node| node.name.clone()).collect(),
        (None, Some(class)) => nodes
            .iter()
            .filter(|node| node.labels.get("node.kubernetes.io/instance-type") == Some(class))
            .take(text.count as usize)
            .map(|node| node.name.clone())
            .collect(),
        _ => return Err(ScenarioError(format!("{path}: give either `node` or `nodeClass`"))),
    };
    if named.is_empty() {
        let what = text.node.or(text.node_class).unwrap_or_default();
        return Err(ScenarioError(format!("{path}: no node of the scenario is called `{what}` or of that class")));
    }
    faults.extend(named.into_iter().map(|node| PlannedFault { at, lasts, node, kind }));
    Ok(())
}
