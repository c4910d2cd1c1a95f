//! From API objects to the simulation: only the fields a kubelet acts on are read. Entry points: [`Head::read`] (cheap, for
//! every event), [`pod`] (once per pod).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use augur_notation::{Operator, Quantity, Requirement};
use serde::Deserialize;

use crate::scenario::{self, ARCHETYPE, CRASH_AFTER, DURATION, FAILURE_RATE, LEAK_PER_MINUTE, LOAD};
use crate::sim::{
    Archetype, Behaviour, ContainerSpec, NodeDemand, PodSpec, Probe, Qos, Resources, RestartPolicy, stream,
};

/// What every event of a pod is looked at for.
#[derive(Debug, Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow)]
    pub(super) metadata: HeadMetadata<'a>,
    #[serde(borrow, default)]
    spec: HeadSpec<'a>,
    #[serde(borrow, default)]
    status: HeadStatus<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HeadMetadata<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) uid: Cow<'a, str>,
    #[serde(borrow, default)]
    deletion_timestamp: Option<Cow<'a, str>>,
    #[serde(default)]
    deletion_grace_period_seconds: Option<i64>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct HeadSpec<'a> {
    #[serde(borrow, default)]
    node_name: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize, Default)]
struct HeadStatus<'a> {
    #[serde(borrow, default)]
    phase: Option<Cow<'a, str>>,
}

impl<'a> Head<'a> {
    pub(super) fn read(object: &'a [u8]) -> Result<Head<'a>, serde_json::Error> {
        serde_json::from_slice(object)
    }

    /// The node it is bound to.
    pub(super) fn node(&self) -> Option<&str> {
        self.spec.node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// Whether its status says that it has ended.
    pub(super) fn ended(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// Seconds it has to stop, when it is being deleted.
    pub(super) fn stops_within(&self) -> Option<i64> {
        self.metadata.deletion_timestamp.as_ref()?;
        Some(self.metadata.deletion_grace_period_seconds.unwrap_or(0).max(0))
    }
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    uid: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: String,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    restart_policy: String,
    #[serde(default)]
    init_containers: Vec<Container>,
    containers: Vec<Container>,
    #[serde(default)]
    node_selector: BTreeMap<String, String>,
    #[serde(default)]
    affinity: Affinity,
    #[serde(default)]
    tolerations: Vec<Toleration>,
    #[serde(default)]
    host_network: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    resources: ContainerResources,
    #[serde(default)]
    readiness_probe: Option<WireProbe>,
}

#[derive(Deserialize, Default)]
struct ContainerResources {
    #[serde(default)]
    requests: BTreeMap<String, String>,
    #[serde(default)]
    limits: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireProbe {
    #[serde(default)]
    initial_delay_seconds: i64,
    #[serde(default)]
    period_seconds: i64,
    #[serde(default)]
    success_threshold: i64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Affinity {
    #[serde(default)]
    node_affinity: Option<NodeAffinity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeAffinity {
    #[serde(default)]
    required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeSelector {
    #[serde(default)]
    node_selector_terms: Vec<Term>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Term {
    #[serde(default)]
    match_expressions: Vec<Expression>,
    #[serde(default)]
    match_fields: Vec<Expression>,
}

#[derive(Deserialize)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Deserialize)]
struct Toleration {
    #[serde(default)]
    key: String,
    #[serde(default)]
    operator: String,
}

/// Reads a pod that is bound to a node.
///
/// # Errors
/// What about it cannot be understood, for people.
pub(super) fn pod(object: &[u8]) -> Result<PodSpec, String> {
    let pod: Pod = serde_json::from_slice(object).map_err(|error| error.to_string())?;
    let spec = pod.spec;
    let restart = match spec.restart_policy.as_str() {
        "Never" => RestartPolicy::Never,
        "OnFailure" => RestartPolicy::OnFailure,
        _ => RestartPolicy::Always,
    };
    let tolerates =
        |taint: &str| spec.tolerations.iter().any(|t| t.key == taint || (t.key.is_empty() && t.operator == "Exists"));
    let (tolerates_memory_pressure, tolerates_disk_pressure) =
        (tolerates("node.kubernetes.io/memory-pressure"), tolerates("node.kubernetes.io/disk-pressure"));
    let behaviour = behaviour(&pod.metadata, restart)?;
    let qos = qos(&spec.containers);
    Ok(PodSpec {
        uid: Arc::from(pod.metadata.uid),
        namespace: Arc::from(pod.metadata.namespace),
        name: Arc::from(pod.metadata.name),
        node: Arc::from(spec.node_name),
        priority: spec.priority,
        restart,
        init: spec.init_containers.iter().map(container).collect::<Result<_, _>>()?,
        containers: spec.containers.iter().map(container).collect::<Result<_, _>>()?,
        demand: demand(spec.node_selector, spec.affinity)?,
        qos,
        host_network: spec.host_network,
        tolerates_memory_pressure,
        tolerates_disk_pressure,
        behaviour,
    })
}

fn amount(name: &str, text: &str) -> Result<Quantity, String> {
    Quantity::parse(text).map_err(|error| format!("{name}: `{text}`: {error}"))
}

fn container(container: &Container) -> Result<ContainerSpec, String> {
    let mut requests = Resources::default();
    for (name, text) in &container.resources.requests {
        let amount = amount(name, text)?;
        match name.as_str() {
            "cpu" => requests.cpu_milli = amount.milli(),
            "memory" => requests.memory = amount.value(),
            // Disk space is simulated per node, not per pod.
            "ephemeral-storage" => {}
            other => requests.extended.push((Arc::from(other), amount.value())),
        }
    }
    let limit = |name: &str| container.resources.limits.get(name).map(|text| amount(name, text)).transpose();
    Ok(ContainerSpec {
        name: Arc::from(container.name.as_str()),
        image: Arc::from(container.image.as_str()),
        requests,
        cpu_limit: limit("cpu")?.map(Quantity::milli),
        memory_limit: limit("memory")?.map(Quantity::value),
        readiness: container.readiness_probe.as_ref().map(|probe| Probe {
            initial_delay: probe.initial_delay_seconds.max(0) * 1_000,
            period: probe.period_seconds.max(1) * 1_000,
            success_threshold: probe.success_threshold,
        }),
    })
}

fn demand(selector: BTreeMap<String, String>, affinity: Affinity) -> Result<NodeDemand, String> {
    let required = affinity.node_affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution);
    let terms = match required {
        None => None,
        Some(selector) => {
            let mut terms = Vec::new();
            for term in selector.node_selector_terms {
                let expressions = term.match_expressions.into_iter().chain(term.match_fields);
                terms.push(expressions.map(requirement).collect::<Result<Vec<_>, _>>()?);
            }
            Some(terms)
        }
    };
    Ok(NodeDemand { selector: selector.into_iter().collect(), terms })
}

fn requirement(expression: Expression) -> Result<Requirement, String> {
    let operator = Operator::of_node_selector(&expression.operator).map_err(|error| error.to_string())?;
    Requirement::new(expression.key, operator, expression.values).map_err(|error| error.to_string())
}

fn qos(containers: &[Container]) -> Qos {
    let bare = |c: &Container| c.resources.requests.is_empty() && c.resources.limits.is_empty();
    let full = |c: &Container| {
        ["cpu", "memory"].into_iter().all(|name| {
            c.resources.limits.get(name).is_some_and(|limit| c.resources.requests.get(name).is_none_or(|r| r == limit))
        })
    };
    if containers.iter().all(bare) {
        Qos::BestEffort
    } else if containers.iter().all(full) {
        Qos::Guaranteed
    } else {
        Qos::Burstable
    }
}

/// How long the batch work of a pod takes that says nothing, shortest and longest: long enough to be seen at work, short
/// enough to be waited for.
const UNTOLD_BATCH: (i64, u64) = (10_000, 20_000);

/// The behaviour that annotations, or else labels, ask for. A pod that says nothing is a steady service, or, when it is not to
/// be restarted after a success, batch work that ends after 10 to 30 seconds. Pods of scenarios name their archetype.
fn behaviour(metadata: &Metadata, restart: RestartPolicy) -> Result<Behaviour, String> {
    let note = |key: &str| metadata.annotations.get(key).or_else(|| metadata.labels.get(key)).map(String::as_str);
    let told = |error: scenario::ScenarioError| error.to_string();
    let number = |key: &str| {
        note(key)
            .map(|text| text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0).ok_or((key, text)))
            .transpose()
            .map_err(|(key, text)| format!("{key}: `{text}` is not a number such as 0.5"))
    };
    let otherwise = if restart == RestartPolicy::Always { Archetype::Steady } else { Archetype::Batch };
    Ok(Behaviour {
        archetype: note(ARCHETYPE).map_or(Ok(otherwise), |name| scenario::archetype(ARCHETYPE, name)).map_err(told)?,
        duration: match note(DURATION) {
            Some(text) => Some(scenario::duration(DURATION, text).map_err(told)?),
            None if note(ARCHETYPE).is_none() && otherwise == Archetype::Batch => Some(untold_batch(&metadata.uid)),
            None => None,
        },
        crash_after: note(CRASH_AFTER).map(|text| scenario::duration(CRASH_AFTER, text)).transpose().map_err(told)?,
        leak_per_minute: note(LEAK_PER_MINUTE)
            .map(|text| amount(LEAK_PER_MINUTE, text))
            .transpose()?
            .map(Quantity::value),
        load: number(LOAD)?,
        failure_rate: number(FAILURE_RATE)?.unwrap_or(0.0),
        shape: None,
    })
}

/// By the pod, so that the pods of a Job end one after the other, and the same ones always alike.
fn untold_batch(uid: &str) -> i64 {
    let (shortest, span) = UNTOLD_BATCH;
    shortest + i64::try_from(stream(&[uid, "duration"]) % span).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::MIB;
    use serde_json::{Value, json};

    fn read(change: impl Fn(&mut Value)) -> Result<PodSpec, String> {
        let mut object = json!({
            "metadata": { "name": "p", "namespace": "n", "uid": "u", "annotations": {} },
            "spec": {
                "nodeName": "node-1", "restartPolicy": "Always",
                "containers": [{ "name": "c", "image": "i", "resources": {
                    "requests": { "cpu": "250m", "memory": "64Mi", "nvidia.com/gpu": "2" },
                    "limits": { "memory": "128Mi" },
                } }],
            },
        });
        change(&mut object);
        pod(object.to_string().as_bytes())
    }

    #[test]
    fn amounts_and_policies_are_read() {
        let spec = read(|_| {}).unwrap();
        let container = &spec.containers[0];
        assert_eq!((container.requests.cpu_milli, container.requests.memory), (250, 64 * MIB));
        assert_eq!((container.requests.extended("nvidia.com/gpu"), container.memory_limit), (2, Some(128 * MIB)));
        assert_eq!((spec.qos, spec.behaviour.archetype), (Qos::Burstable, Archetype::Steady));
    }

    #[test]
    fn annotations_give_the_behaviour() {
        let spec = read(|o| {
            o["metadata"]["annotations"] = json!({ ARCHETYPE: "leaker", LEAK_PER_MINUTE: "10Mi", LOAD: "0.5" });
        });
        let behaviour = spec.unwrap().behaviour;
        assert_eq!((behaviour.archetype, behaviour.leak_per_minute), (Archetype::Leaker, Some(10 * MIB)));
        assert_eq!(behaviour.load, Some(0.5));
        let batch = read(|o| o["spec"]["restartPolicy"] = json!("Never")).unwrap();
        assert_eq!(batch.behaviour.archetype, Archetype::Batch);
        assert!((10_000..30_000).contains(&batch.behaviour.duration.unwrap()), "{:?}", batch.behaviour);
        let told = read(|o| o["metadata"]["annotations"] = json!({ ARCHETYPE: "batch" })).unwrap();
        assert_eq!(told.behaviour.duration, None, "a scenario's own draw");
        let error = read(|o| o["metadata"]["annotations"] = json!({ ARCHETYPE: "lazy" })).unwrap_err();
        assert!(
            error.starts_with("sandbox.augur.dev/archetype: `lazy` is unknown; it must be one of steady"),
            "{error}"
        );
    }

    #[test]
    fn demands_on_the_node_are_read() {
        let spec = read(|o| {
            o["spec"]["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchFields": [
                    { "key": "metadata.name", "operator": "In", "values": ["node-1"] },
                ] }],
            } } });
        });
        assert_eq!(spec.unwrap().demand.terms.unwrap()[0][0].key(), "metadata.name");
    }

    #[test]
    fn the_head_tells_binding_and_deletion() {
        let text = br#"{"metadata":{"name":"p","uid":"u","deletionTimestamp":"2026-01-01T00:00:00Z",
            "deletionGracePeriodSeconds":5},"spec":{"nodeName":"a"},"status":{"phase":"Failed"}}"#;
        let head = Head::read(text).unwrap();
        assert_eq!((head.node(), head.stops_within(), head.ended()), (Some("a"), Some(5), true));
        let head = Head::read(br#"{"metadata":{"name":"p","uid":"u"},"spec":{}}"#).unwrap();
        assert_eq!((head.node(), head.stops_within(), head.ended()), (None, None, false));
    }
}
