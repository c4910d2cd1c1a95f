//! The kube-scheduler extender wire format: Go structs without JSON names, so keys are capitalised.
//!
//! `filter` and `prioritize` come from the same decision as everything else, `preempt` from the same filters, and `bind` goes the
//! way of Augur's own bindings. Each answers within [`DEADLINE`]; what is not known by then changes nothing for kube-scheduler.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::backend::{Binding, Candidate, PodQuery, PodSource};
use crate::dto::{NodePrediction, Prediction};
use crate::error::{ApiError, ErrorBody};
use crate::service::{EXTENDER_BODY_LIMIT, Service, Shared, body, json};

/// How long an answer may take: well below the five seconds that kube-scheduler waits by default.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long a binding may take. It is not given up lightly: kube-scheduler would not know whether it came about.
const BIND_DEADLINE: Duration = Duration::from_secs(4);

/// The best score that an extender can give.
const BEST: f64 = 10.0;

/// Points between the best and the worst candidate, on the plugins' scale of 0 to 100, from which on the full range of scores
/// is used. Below, a difference counts for what it is, so that noise does not decide.
const FULL_SPREAD: f64 = 20.0;

/// Parts of the total that kube-scheduler does not compute itself.
const OWN_PARTS: [&str; 2] = ["EnhancedScoring", "Model"];

/// `ExtenderArgs`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderArgs {
    /// The pod.
    #[schema(value_type = Object)]
    pub pod: Box<RawValue>,
    /// Candidates as whole nodes, for an extender with `nodeCacheCapable: false`.
    #[serde(default)]
    pub nodes: Option<ExtenderNodes>,
    /// Candidates by name, for an extender with `nodeCacheCapable: true`.
    #[serde(default)]
    pub node_names: Option<Vec<String>>,
}

/// A v1.NodeList.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct ExtenderNodes {
    /// The nodes.
    #[serde(default, deserialize_with = "null_is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<Box<RawValue>>,
}

/// Go writes a list without elements as null.
fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Box<RawValue>>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `ExtenderFilterResult`.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderFilterResult {
    /// Nodes that fit, when whole nodes were given.
    pub nodes: Option<ExtenderNodes>,
    /// Names of nodes that fit, when names were given.
    pub node_names: Option<Vec<String>>,
    /// Nodes that do not fit, with the reason.
    #[schema(value_type = Object)]
    pub failed_nodes: BTreeMap<String, String>,
    /// Nodes that would not fit either if other pods were removed.
    #[schema(value_type = Object)]
    pub failed_and_unresolvable_nodes: BTreeMap<String, String>,
    /// Why no answer is possible; empty otherwise.
    pub error: String,
}

/// `HostPriority`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct HostPriority {
    /// The node.
    pub host: String,
    /// 0 to 10.
    pub score: i64,
}

/// `ExtenderBindingArgs`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderBindingArgs {
    /// The pod's name.
    pub pod_name: String,
    /// Its namespace.
    pub pod_namespace: String,
    /// Its uid.
    #[serde(rename = "PodUID")]
    pub pod_uid: String,
    /// The node.
    pub node: String,
}

/// `ExtenderBindingResult`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderBindingResult {
    /// Why the pod was not bound; empty if it was.
    pub error: String,
}

/// `ExtenderPreemptionArgs`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderPreemptionArgs {
    /// The pod that needs room.
    #[schema(value_type = Object)]
    pub pod: Box<RawValue>,
    /// Victims as whole pods by node, for an extender with `nodeCacheCapable: false`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub node_name_to_victims: Option<BTreeMap<String, Option<Victims>>>,
    /// Victims by uid by node, for an extender with `nodeCacheCapable: true`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub node_name_to_meta_victims: Option<BTreeMap<String, Option<MetaVictims>>>,
}

/// `Victims`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Victims {
    /// The pods.
    #[serde(rename = "Pods")]
    #[schema(value_type = Vec<Object>)]
    pub pods: Option<Vec<Box<RawValue>>>,
    /// How many disruption budgets they violate.
    #[serde(rename = "NumPDBViolations", default)]
    pub violations: i64,
}

/// `MetaVictims`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MetaVictims {
    /// The pods.
    #[serde(rename = "Pods")]
    pub pods: Option<Vec<MetaPod>>,
    /// How many disruption budgets they violate.
    #[serde(rename = "NumPDBViolations", default)]
    pub violations: i64,
}

/// `MetaPod`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MetaPod {
    /// Its uid.
    #[serde(rename = "UID")]
    pub uid: String,
}

/// `ExtenderPreemptionResult`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderPreemptionResult {
    /// Nodes on which the pod fits once the victims are gone.
    #[schema(value_type = Object)]
    pub node_name_to_meta_victims: BTreeMap<String, MetaVictims>,
}

#[derive(Deserialize)]
struct Named {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    uid: String,
}

fn named(raw: &RawValue, what: &str) -> Result<Metadata, ApiError> {
    serde_json::from_str::<Named>(raw.get())
        .map(|named| named.metadata)
        .map_err(|e| ApiError::unprocessable("invalid_body", format!("{what}: {e}")))
}

impl ExtenderArgs {
    /// Names of the candidates, in their order.
    fn candidates(&self) -> Result<Vec<String>, ApiError> {
        match (&self.node_names, &self.nodes) {
            (Some(names), _) => Ok(names.clone()),
            (None, Some(nodes)) => nodes.items.iter().map(|node| Ok(named(node, "Nodes.items")?.name)).collect(),
            (None, None) => Err(ApiError::unprocessable("invalid_body", "one of NodeNames and Nodes is required")),
        }
    }
}

impl Service {
    async fn evaluate(&self, pod: &RawValue) -> Result<Prediction, ApiError> {
        let Metadata { name, namespace, .. } = named(pod, "Pod")?;
        let namespace = if namespace.is_empty() { "default".to_owned() } else { namespace };
        let source = PodSource::Pod(pod.to_owned());
        within(DEADLINE, self.predict(PodQuery { namespace, name, source, record: false })).await
    }

    /// Whether kube-scheduler is to go on as if there were no extender.
    fn steps_aside(&self, verb: &'static str, error: &ApiError) -> bool {
        let aside = error.status == StatusCode::SERVICE_UNAVAILABLE;
        if aside {
            self.metrics.extender_fallback(verb, error.code);
        }
        aside
    }
}

/// The answer, or an error if it takes too long.
async fn within<T>(limit: Duration, answer: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(ApiError::unavailable("deadline", format!("no answer within {limit:?}"))),
    }
}

fn by_name(prediction: &Prediction) -> HashMap<&str, &NodePrediction> {
    prediction.node_predictions.iter().map(|node| (&*node.node_name, node)).collect()
}

/// Which candidates the pod fits on; all of them when that cannot be told in time.
#[utoipa::path(post, path = "/extender/filter", tag = "extender", request_body = ExtenderArgs,
    responses((status = 200, body = ExtenderFilterResult), (status = 422, body = ErrorBody)))]
pub(crate) async fn filter(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let args: ExtenderArgs = body(request, EXTENDER_BODY_LIMIT).await?;
    let candidates = args.candidates()?;
    let prediction = match service.evaluate(&args.pod).await {
        Ok(prediction) => prediction,
        Err(error) if service.steps_aside("filter", &error) => {
            let all = if args.node_names.is_some() {
                ExtenderFilterResult { node_names: Some(candidates), ..ExtenderFilterResult::default() }
            } else {
                ExtenderFilterResult { nodes: args.nodes, ..ExtenderFilterResult::default() }
            };
            return json(&all, 4_096);
        }
        Err(error) => {
            return json(&ExtenderFilterResult { error: error.message, ..ExtenderFilterResult::default() }, 256);
        }
    };
    let nodes = by_name(&prediction);
    let mut result = ExtenderFilterResult::default();
    let mut fits = vec![false; candidates.len()];
    for (name, fits) in candidates.iter().zip(&mut fits) {
        match nodes.get(name.as_str()) {
            Some(node) if node.feasible => *fits = true,
            Some(node) => {
                let failed = if node.unresolvable {
                    &mut result.failed_and_unresolvable_nodes
                } else {
                    &mut result.failed_nodes
                };
                failed.insert(name.clone(), join(&node.reasons));
            }
            None => {
                let why = "the node is not known to augur (yet)".to_owned();
                result.failed_nodes.insert(name.clone(), why);
            }
        }
    }
    let mut keep = fits.iter();
    if args.node_names.is_some() {
        let mut names = candidates;
        names.retain(|_| keep.next().is_some_and(|fits| *fits));
        result.node_names = Some(names);
    } else if let Some(mut list) = args.nodes {
        list.items.retain(|_| keep.next().is_some_and(|fits| *fits));
        result.nodes = Some(list);
    }
    json(&result, 4_096)
}

fn join(reasons: &[Arc<str>]) -> String {
    reasons.iter().map(|r| &**r).collect::<Vec<_>>().join("; ")
}

/// How good the candidates are by what kube-scheduler does not know: live usage, history and the model. The worst gets 0; when
/// nothing tells them apart, or nothing is known in time, all do.
#[utoipa::path(post, path = "/extender/prioritize", tag = "extender", request_body = ExtenderArgs,
    responses((status = 200, body = Vec<HostPriority>), (status = 422, body = ErrorBody)))]
pub(crate) async fn prioritize(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let args: ExtenderArgs = body(request, EXTENDER_BODY_LIMIT).await?;
    let candidates = args.candidates()?;
    let points: Vec<Option<f64>> = match service.evaluate(&args.pod).await {
        Ok(prediction) => {
            let nodes = by_name(&prediction);
            candidates.iter().map(|name| own_points(nodes.get(name.as_str())?)).collect()
        }
        Err(error) if service.steps_aside("prioritize", &error) => Vec::new(),
        Err(error) => return Err(error),
    };
    let scores = priorities(&points);
    let list: Vec<HostPriority> = candidates
        .into_iter()
        .enumerate()
        .map(|(place, host)| HostPriority { host, score: scores.get(place).copied().unwrap_or(0) })
        .collect();
    json(&list, 64 * list.len() + 16)
}

/// What Augur alone adds to a node's total; nothing for a node that is not feasible.
fn own_points(node: &NodePrediction) -> Option<f64> {
    node.total_score?;
    let own = node.contributions.0.iter().filter(|(part, _)| OWN_PARTS.contains(&&**part));
    Some(own.map(|(_, points)| points).sum())
}

/// Scores from points: proportional to the lead over the worst. Nodes without points get 0.
fn priorities(points: &[Option<f64>]) -> Vec<i64> {
    let known = || points.iter().flatten().copied();
    let worst = known().fold(f64::INFINITY, f64::min);
    let spread = (known().fold(f64::NEG_INFINITY, f64::max) - worst).max(FULL_SPREAD);
    let score = |points: &Option<f64>| points.map_or(0.0, |points| (BEST * (points - worst) / spread).clamp(0.0, BEST));
    points.iter().map(|points| score(points).round() as i64).collect()
}

/// On which nodes the pod fits once the victims are gone; all of them when that cannot be told in time. Victims are never
/// changed: they are kube-scheduler's choice.
#[utoipa::path(post, path = "/extender/preempt", tag = "extender", request_body = ExtenderPreemptionArgs,
    responses((status = 200, body = ExtenderPreemptionResult), (status = 422, body = ErrorBody)))]
pub(crate) async fn preempt(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let args: ExtenderPreemptionArgs = body(request, EXTENDER_BODY_LIMIT).await?;
    let mut nodes: Vec<(String, MetaVictims)> = Vec::new();
    match (args.node_name_to_meta_victims, args.node_name_to_victims) {
        (Some(victims), _) => {
            let none = || MetaVictims { pods: None, violations: 0 };
            nodes.extend(victims.into_iter().map(|(node, victims)| (node, victims.unwrap_or_else(none))));
        }
        (None, Some(victims)) => {
            for (node, victims) in victims {
                let Victims { pods, violations } = victims.unwrap_or(Victims { pods: None, violations: 0 });
                let uid = |pod: &RawValue| Ok(MetaPod { uid: named(pod, "NodeNameToVictims.Pods")?.uid });
                let pods = pods.unwrap_or_default().iter().map(|pod| uid(pod)).collect::<Result<_, ApiError>>()?;
                nodes.push((node, MetaVictims { pods: Some(pods), violations }));
            }
        }
        (None, None) => {
            let message = "one of NodeNameToMetaVictims and NodeNameToVictims is required";
            return Err(ApiError::unprocessable("invalid_body", message));
        }
    }
    let candidate = |(node, victims): &(String, MetaVictims)| Candidate {
        node: node.clone(),
        victims: victims.pods.iter().flatten().map(|pod| pod.uid.clone()).collect(),
    };
    let candidates = nodes.iter().map(candidate).collect();
    let fits = match within(DEADLINE, service.backend.preempt(args.pod, candidates)).await {
        Ok(fits) => fits,
        Err(error) if service.steps_aside("preempt", &error) => vec![true; nodes.len()],
        Err(error) => return Err(error),
    };
    let kept = nodes.into_iter().zip(fits).filter(|(_, fits)| *fits);
    let result = ExtenderPreemptionResult { node_name_to_meta_victims: kept.map(|(node, _)| node).collect() };
    json(&result, 4_096)
}

/// Binds a pod, behind the same fence as Augur's own bindings. The wire format carries a refusal in `Error`.
#[utoipa::path(post, path = "/extender/bind", tag = "extender", request_body = ExtenderBindingArgs,
    responses((status = 200, body = ExtenderBindingResult), (status = 403, body = ErrorBody)))]
pub(crate) async fn bind(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    service.authorize(request.headers(), request.uri()).await?;
    let ExtenderBindingArgs { pod_name: name, pod_namespace: namespace, pod_uid: uid, node } =
        body(request, EXTENDER_BODY_LIMIT).await?;
    let bound = within(BIND_DEADLINE, service.backend.bind(Binding { namespace, name, uid, node })).await;
    let error = bound.err().map(|error| error.message).unwrap_or_default();
    json(&ExtenderBindingResult { error }, 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_proportional_to_the_lead_and_nothing_known_moves_nothing() {
        assert_eq!(priorities(&[Some(40.0), Some(90.0), Some(65.0), None]), [0, 10, 5, 0]);
        assert_eq!(priorities(&[Some(50.0), Some(54.0)]), [0, 2], "a small lead counts for little");
        assert_eq!(priorities(&[Some(50.0), Some(50.0)]), [0, 0]);
        assert_eq!(priorities(&[None, None]), [0, 0]);
    }
}
