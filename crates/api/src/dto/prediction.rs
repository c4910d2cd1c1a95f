//! The answer of `POST /predict`. Serialised straight into bytes: at 5,000 nodes it is more than a megabyte.

use std::sync::Arc;

use augur_history::DecisionId;
use augur_learn::{FEATURE_NAMES, FeatureVector};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{ClusterSummary, round};

/// Who had the last word on the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// A model had a say.
    MlPrediction,
    /// The deterministic score over live state alone.
    EnhancedScoring,
}

impl Algorithm {
    /// As the contract writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MlPrediction => "ml_prediction",
            Self::EnhancedScoring => "enhanced_scoring",
        }
    }
}

/// `{"prediction": …}` of `POST /api/v1/predict`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PredictionAnswer {
    /// The prediction.
    pub prediction: Prediction,
}

/// Where a pod would go, and why.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Prediction {
    /// Name of the pod.
    pub pod_name: String,
    /// Namespace of the pod.
    pub pod_namespace: String,
    /// The node; `null` when none fits.
    #[schema(value_type = Option<String>)]
    pub predicted_node: Option<Arc<str>>,
    /// How sure the choice is, 0..1.
    #[serde(serialize_with = "rounded")]
    pub confidence: Option<f64>,
    /// Why `confidence` is `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence_reason: Option<String>,
    /// What keeps `confidence` low, the most important first; empty when nothing does.
    pub confidence_reasons: Vec<String>,
    /// How many examples like this one the model's answer rests on, decayed ones counting less; `null` when no model had a say.
    #[serde(serialize_with = "rounded")]
    pub n_eff: Option<f64>,
    /// In a sentence: why this node, or why none.
    pub reason: String,
    /// Who had the last word.
    pub algorithm: Algorithm,
    /// Why no model had a say.
    #[schema(value_type = Option<String>)]
    pub fallback_reason: Option<Arc<str>>,
    /// The model that had a say.
    #[schema(value_type = Option<String>)]
    pub model_id: Option<Arc<str>>,
    /// Names this decision in `/feedback` and `/api/v1/decisions/{id}`; `null` when it was not recorded.
    #[schema(value_type = Option<String>, example = "0197a3b2c4d00001")]
    pub decision_id: Option<DecisionId>,
    /// The second best node.
    #[schema(value_type = Option<String>)]
    pub runner_up: Option<Arc<str>>,
    /// What the decision looked at.
    pub ai_features: AiFeatures,
    /// All nodes, best first, those that do not fit last.
    pub node_predictions: Vec<NodePrediction>,
}

/// What a decision looked at.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AiFeatures {
    /// What the pod requests.
    pub pod_requirements: PodRequirements,
    /// The cluster at that moment.
    pub cluster_state: ClusterSummary,
    /// The named features of the pod on the predicted node; those of a node are `null` when none fits.
    pub features: Features,
}

/// What a pod requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct PodRequirements {
    /// CPU in cores.
    pub cpu_request: f64,
    /// Memory in MiB.
    pub memory_request: f64,
}

/// Feature values by name, in the order of the schema.
#[derive(Debug, Clone, Copy, PartialEq, ToSchema)]
#[schema(value_type = Object)]
pub struct Features(pub FeatureVector);

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(FEATURE_NAMES.len()))?;
        for (name, value) in FEATURE_NAMES.iter().zip(self.0) {
            map.serialize_entry(name, &value.map(round))?;
        }
        map.end()
    }
}

/// Points by the plugin that gave them.
#[derive(Debug, Clone, Default, PartialEq, ToSchema)]
#[schema(value_type = Object)]
pub struct Contributions(pub Vec<(Arc<str>, f64)>);

impl Serialize for Contributions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, points) in &self.0 {
            map.serialize_entry(&**name, &round(*points))?;
        }
        map.end()
    }
}

/// A pod on one node.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodePrediction {
    /// The node.
    #[schema(value_type = String)]
    pub node_name: Arc<str>,
    /// Whether the pod fits there.
    pub feasible: bool,
    /// Why it does not.
    #[schema(value_type = Vec<String>)]
    pub reasons: Vec<Arc<str>>,
    /// Removing other pods would not make it fit. Not part of the answer; the extender tells it to kube-scheduler.
    #[serde(skip)]
    pub unresolvable: bool,
    /// CPU and memory in use, 0..100 by the contract's weights; `null` when the pod does not fit.
    #[serde(serialize_with = "rounded")]
    pub resource_score: Option<f64>,
    /// Readiness and taints, 0..100; `null` when the pod does not fit.
    #[serde(serialize_with = "rounded")]
    pub readiness_score: Option<f64>,
    /// `(1 - failure rate) x share of time Ready`, 0..1, over seven days; `null` until a pod has been seen there.
    #[serde(serialize_with = "rounded")]
    pub stability_score: Option<f64>,
    /// Why `stability_score` is `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stability_score_reason: Option<&'static str>,
    /// How sure the model is, 0..1; `null` without a model, see `fallback_reason` above.
    #[serde(serialize_with = "rounded")]
    pub ml_confidence: Option<f64>,
    /// 1: the model expects it to go well; 0: it does not.
    pub ml_prediction: Option<u8>,
    /// The model's probabilities of going bad and of going well.
    pub ml_probabilities: Option<[f64; 2]>,
    /// The model's probability of going bad, calibrated.
    #[serde(serialize_with = "rounded")]
    pub p_bad: Option<f64>,
    /// The total that nodes are ranked by; `null` when it does not fit.
    #[serde(serialize_with = "rounded")]
    pub total_score: Option<f64>,
    /// Points by plugin, weights included.
    pub contributions: Contributions,
}

fn rounded<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(round).serialize(serializer)
}

impl Prediction {
    /// Its JSON between `before` and `after`, in one buffer of about the right size.
    ///
    /// # Errors
    /// None in practice: it consists of strings, numbers and maps with string keys.
    pub fn into_json(mut self, before: &str, after: &str) -> Result<Vec<u8>, serde_json::Error> {
        let contributions = self.node_predictions.first().map_or(0, |n| n.contributions.0.len());
        let size = 2_048 + self.node_predictions.len() * (420 + contributions * 36);
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(before.as_bytes());
        let nodes = std::mem::take(&mut self.node_predictions);
        serde_json::to_writer(&mut out, &self)?;
        // The list of nodes is the last field, and empty.
        out.truncate(out.len() - "[]}".len());
        super::write::nodes(&mut out, &nodes)?;
        out.push(b'}');
        out.extend_from_slice(after.as_bytes());
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dto::{SummaryBuilder, Thresholds};

    #[test]
    fn written_by_hand_or_not_it_is_the_same() {
        let node = NodePrediction {
            node_name: "n1".into(),
            feasible: true,
            reasons: Vec::new(),
            unresolvable: false,
            resource_score: Some(50.0),
            readiness_score: Some(100.0),
            stability_score: None,
            stability_score_reason: Some("nothing seen"),
            ml_confidence: None,
            ml_prediction: None,
            ml_probabilities: None,
            p_bad: None,
            total_score: Some(80.5),
            contributions: Contributions(vec![("NodeResourcesFit".into(), 80.5)]),
        };
        for nodes in [Vec::new(), vec![node.clone(), node]] {
            let prediction = Prediction {
                pod_name: "a".to_owned(),
                pod_namespace: "default".to_owned(),
                predicted_node: Some("n1".into()),
                confidence: Some(0.75),
                confidence_reason: None,
                confidence_reasons: vec!["few examples like this one".to_owned()],
                n_eff: Some(3.25),
                reason: "most \"room\"".to_owned(),
                algorithm: Algorithm::EnhancedScoring,
                fallback_reason: Some("not_trained".into()),
                model_id: None,
                decision_id: Some(DecisionId(7)),
                runner_up: None,
                ai_features: AiFeatures {
                    pod_requirements: PodRequirements { cpu_request: 0.5, memory_request: 256.0 },
                    cluster_state: SummaryBuilder::new(Thresholds::default()).build(),
                    features: Features([None; FEATURE_NAMES.len()]),
                },
                node_predictions: nodes,
            };
            let general = serde_json::to_string(&PredictionAnswer { prediction: prediction.clone() }).unwrap();
            let by_hand = prediction.into_json("{\"prediction\":", "}").unwrap();
            assert_eq!(String::from_utf8(by_hand).unwrap(), general);
        }
    }
}
