//! The kube-scheduler extender wire format: Go structs without JSON names, so keys are capitalised.
//!
//! `filter` and `prioritize` come from the same decision as everything else; `preempt` and `bind` are refused by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::backend::{PodQuery, PodSource};
use crate::dto::{NodePrediction, Prediction};
use crate::error::{ApiError, ErrorBody};
use crate::service::{EXTENDER_BODY_LIMIT, Service, Shared, body, json};

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
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<Box<RawValue>>,
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

/// `ExtenderBindingResult`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderBindingResult {
    /// Why the pod was not bound.
    pub error: String,
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
        let Metadata { name, namespace } = named(pod, "Pod")?;
        let namespace = if namespace.is_empty() { "default".to_owned() } else { namespace };
        let source = PodSource::Pod(pod.to_owned());
        self.predict(PodQuery { namespace, name, source, record: false }).await
    }
}

fn by_name(prediction: &Prediction) -> HashMap<&str, &NodePrediction> {
    prediction.node_predictions.iter().map(|node| (&*node.node_name, node)).collect()
}

/// Which candidates the pod fits on.
#[utoipa::path(post, path = "/extender/filter", tag = "extender", request_body = ExtenderArgs,
    responses((status = 200, body = ExtenderFilterResult), (status = 422, body = ErrorBody)))]
pub(crate) async fn filter(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let args: ExtenderArgs = body(request, EXTENDER_BODY_LIMIT).await?;
    let candidates = args.candidates()?;
    let prediction = match service.evaluate(&args.pod).await {
        Ok(prediction) => prediction,
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

/// How good the candidates are: the best gets 10, the others in proportion to their total score.
#[utoipa::path(post, path = "/extender/prioritize", tag = "extender", request_body = ExtenderArgs,
    responses((status = 200, body = Vec<HostPriority>), (status = 422, body = ErrorBody)))]
pub(crate) async fn prioritize(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let args: ExtenderArgs = body(request, EXTENDER_BODY_LIMIT).await?;
    let candidates = args.candidates()?;
    let prediction = service.evaluate(&args.pod).await?;
    let nodes = by_name(&prediction);
    let total = |name: &String| nodes.get(name.as_str()).and_then(|n| n.total_score).map_or(0.0, |t| t.max(0.0));
    let best = candidates.iter().map(total).fold(0.0, f64::max);
    let scores: Vec<_> = candidates
        .iter()
        .map(|name| HostPriority {
            host: name.clone(),
            score: if best > 0.0 { (10.0 * total(name) / best).round() as i64 } else { 0 },
        })
        .collect();
    json(&scores, 64 * scores.len() + 16)
}

/// Not in this release: preemption through the extender.
#[utoipa::path(post, path = "/extender/preempt", tag = "extender", responses((status = 503, body = ErrorBody)))]
pub(crate) async fn preempt() -> ApiError {
    ApiError::unavailable(
        "not_supported",
        "preemption through the extender comes with a later release; leave preemptVerb out of the extender's configuration",
    )
}

/// Not in this release: binding through the extender. The wire format carries the refusal in `Error`.
#[utoipa::path(post, path = "/extender/bind", tag = "extender",
    responses((status = 200, body = ExtenderBindingResult)))]
pub(crate) async fn bind() -> Result<Response, ApiError> {
    let error =
        "binding through the extender comes with a later release; leave bindVerb out of the extender's configuration";
    json(&ExtenderBindingResult { error: error.to_owned() }, 256)
}
