//! Why this node, why not the others, what change would flip it: read off a recorded decision.

use augur_history::{DecisionRecord, NodeScore, Outcome};
use augur_learn::{FEATURE_NAMES, Parts};
use serde::Serialize;
use utoipa::ToSchema;

use crate::dto::{Contributions, DecisionView, ScoreView};

/// `GET /api/v1/pods/{namespace}/{name}/explain`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Explanation {
    /// Name of the pod.
    pub pod_name: String,
    /// Namespace of the pod.
    pub pod_namespace: String,
    /// Why this node, or why none, in sentences.
    pub why: Vec<String>,
    /// The chosen node; `null` when none fitted.
    pub chosen: Option<ScoreView>,
    /// The next best nodes, and what put them behind.
    pub others: Vec<OtherNode>,
    /// Why nodes were rejected.
    pub rejected: Vec<Rejection>,
    /// What would change the answer.
    pub flip: Vec<Flip>,
    /// The model's part against the runner-up; `null` when no model had a say.
    pub model: Option<ModelPart>,
    /// The decision that is explained: the latest for this pod.
    pub decision: DecisionView,
}

/// A node that was not chosen.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OtherNode {
    /// The node.
    pub node_name: String,
    /// Its total.
    pub total_score: f64,
    /// Points behind the chosen node.
    pub behind: f64,
    /// By plugin: points that the chosen node has more; negative where this one has.
    pub because: Contributions,
}

/// A reason for which nodes were rejected.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Rejection {
    /// The reason in kube-scheduler's words.
    pub reason: String,
    /// Nodes rejected for it.
    pub nodes: u32,
}

/// A change that would lead to another answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Flip {
    /// The change, in a sentence.
    pub change: String,
    /// The node that would then be chosen, when it is a certain one.
    pub node_name: Option<String>,
    /// Points that it takes, when it is about points.
    pub points: Option<f64>,
}

/// Why the model sees less risk on the chosen node than on the runner-up, or more.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelPart {
    /// The model.
    pub model_id: String,
    /// The probability that the pod goes bad on the chosen node.
    pub p_bad: Option<f64>,
    /// What its confidence in that is made of; `null` when the model of that decision is not in use any more.
    pub confidence: Option<ConfidenceParts>,
    /// The node it is held against.
    pub runner_up: String,
    /// By feature: what it adds to the probability of trouble (of boosted trees, to its log-odds) on the chosen node less that on
    /// the runner-up, before calibration; exact Shapley values with the runner-up as the only reference, so that they add up. Negative speaks for
    /// the chosen node. The largest first.
    pub contributions: Vec<Contribution>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contributions_reason: Option<&'static str>,
}

/// A model's confidence in what it says of the chosen node: the least of its parts, each 0..1.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConfidenceParts {
    /// The least of the parts.
    pub confidence: f64,
    /// How many examples like this one it rests on, decayed ones counting less.
    pub n_eff: f64,
    /// n / (n + 5) for these.
    pub support: f64,
    /// Halved for each feature far outside what training saw.
    pub in_range: f64,
    /// 1 less the error of the mean over trees, in units of the deviation of a single outcome.
    pub agreement: f64,
    /// What the model has shown on its hold-out.
    pub skill: f64,
    /// The parts that keep it low in words, the lowest first.
    pub reasons: Vec<String>,
}

impl From<Parts> for ConfidenceParts {
    fn from(parts: Parts) -> Self {
        Self {
            confidence: parts.least(),
            n_eff: parts.n_eff,
            support: parts.support,
            in_range: parts.in_range,
            agreement: parts.agreement,
            skill: parts.skill,
            reasons: parts.reasons().into_iter().map(str::to_owned).collect(),
        }
    }
}

/// A feature's part.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Contribution {
    /// The feature.
    pub feature: String,
    /// Its value on the chosen node.
    pub value: Option<f64>,
    /// Its value on the runner-up.
    pub value_of_runner_up: Option<f64>,
    /// What it adds.
    pub contribution: f64,
}

/// What a model's features add to the difference between two rows.
type Contrast = Option<Vec<(&'static str, f64)>>;

/// The model's part in a decision.
pub(crate) fn model_part(
    record: &DecisionRecord,
    contrast: impl Fn(&str, &[Option<f64>], &[Option<f64>]) -> Contrast,
    confidence: impl Fn(&str, &[Option<f64>]) -> Option<Parts>,
) -> Option<ModelPart> {
    let (model_id, other) = (record.model_id.as_ref()?, record.alternative.as_ref()?);
    let parts = contrast(model_id, &record.features, &other.features);
    let at = |row: &[Option<f64>], name: &str| {
        let index = FEATURE_NAMES.iter().position(|known| *known == name)?;
        row.get(index).copied().flatten()
    };
    Some(ModelPart {
        model_id: model_id.to_string(),
        p_bad: record.p_bad,
        confidence: confidence(model_id, &record.features).map(ConfidenceParts::from),
        runner_up: other.node.to_string(),
        contributions_reason: parts.is_none().then_some("the model of that decision is not in use any more"),
        contributions: parts
            .unwrap_or_default()
            .into_iter()
            .map(|(feature, contribution)| Contribution {
                feature: feature.to_owned(),
                value: at(&record.features, feature),
                value_of_runner_up: at(&other.features, feature),
                contribution,
            })
            .collect(),
    })
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

impl Explanation {
    /// Explains a decision.
    pub fn new(record: &DecisionRecord, outcome: Option<&Outcome>) -> Self {
        let decision = DecisionView::new(record, outcome);
        let chosen = record.node.as_ref().and_then(|node| record.scores.iter().find(|s| s.node == *node));
        let others: Vec<_> = match chosen {
            Some(chosen) => record.scores.iter().filter(|s| s.node != chosen.node).map(|s| other(chosen, s)).collect(),
            None => Vec::new(),
        };
        let mut rejected: Vec<_> = record
            .rejections
            .iter()
            .map(|(reason, nodes)| Rejection { reason: reason.to_string(), nodes: *nodes })
            .collect();
        rejected.sort_by(|a, b| b.nodes.cmp(&a.nodes).then_with(|| a.reason.cmp(&b.reason)));
        let flip = match chosen {
            Some(chosen) => flip_chosen(chosen, &others),
            None => rejected.iter().map(flip_rejection).collect(),
        };
        Self {
            pod_name: decision.pod_name.clone(),
            pod_namespace: decision.pod_namespace.clone(),
            why: why(record, chosen),
            chosen: chosen.and_then(|c| decision.scores.iter().find(|s| s.node_name == *c.node)).cloned(),
            others,
            rejected,
            flip,
            model: None,
            decision,
        }
    }
}

fn why(record: &DecisionRecord, chosen: Option<&NodeScore>) -> Vec<String> {
    let mut why = vec![record.reason.clone()];
    if let Some(chosen) = chosen {
        let mut parts: Vec<_> = chosen.parts.iter().filter(|p| p.points > 0.0).collect();
        parts.sort_by(|a, b| b.points.total_cmp(&a.points));
        let parts: Vec<_> = parts.iter().take(3).map(|p| format!("{} {}", p.plugin, round(p.points))).collect();
        if !parts.is_empty() {
            why.push(format!("most of its {} points come from {}", round(chosen.total), parts.join(", ")));
        }
    }
    if let Some(reason) = &record.fallback_reason {
        why.push(format!("no model had a say: {reason}"));
    }
    why
}

fn other(chosen: &NodeScore, other: &NodeScore) -> OtherNode {
    let given =
        |score: &NodeScore, plugin: &str| score.parts.iter().find(|p| *p.plugin == *plugin).map_or(0.0, |p| p.points);
    let mut plugins: Vec<_> = chosen.parts.iter().chain(&other.parts).map(|p| p.plugin.clone()).collect();
    plugins.sort_unstable();
    plugins.dedup();
    let mut because: Vec<_> = plugins
        .into_iter()
        .map(|plugin| {
            let difference = given(chosen, &plugin) - given(other, &plugin);
            (plugin, difference)
        })
        .filter(|(_, difference)| difference.abs() >= 0.005)
        .collect();
    because.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    OtherNode {
        node_name: other.node.to_string(),
        total_score: round(other.total),
        behind: round(chosen.total - other.total),
        because: Contributions(because),
    }
}

fn flip_chosen(chosen: &NodeScore, others: &[OtherNode]) -> Vec<Flip> {
    let Some(next) = others.first() else {
        let change = format!("none by points: {} was the only node that fitted", chosen.node);
        return vec![Flip { change, node_name: None, points: None }];
    };
    let lead = next.because.0.iter().find(|(_, difference)| *difference > 0.0);
    let change = match lead {
        _ if next.behind <= 0.0 => format!("{} is level with {}: any point more for it", next.node_name, chosen.node),
        Some((plugin, difference)) => format!(
            "more than {} points for {}; {plugin} alone puts it {} behind {}",
            next.behind,
            next.node_name,
            round(*difference),
            chosen.node
        ),
        None => format!("more than {} points for {}", next.behind, next.node_name),
    };
    vec![Flip { change, node_name: Some(next.node_name.clone()), points: Some(next.behind) }]
}

/// What would lift a rejection, by kube-scheduler's words for it.
fn flip_rejection(rejection: &Rejection) -> Flip {
    let Rejection { reason, nodes } = rejection;
    let lower = reason.to_lowercase();
    let on = if *nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
    let what = if let Some(resource) = reason.strip_prefix("Insufficient ") {
        format!("free {resource} on, or a smaller request than any of")
    } else if lower.contains("too many pods") {
        "fewer pods on".to_owned()
    } else if lower.contains("untolerated taint") {
        "a toleration in the pod for the taint of, or the taint removed from,".to_owned()
    } else if lower.contains("affinity") || lower.contains("selector") {
        "a nodeSelector or affinity in the pod that matches, or other labels on,".to_owned()
    } else if lower.contains("unschedulable") {
        "`kubectl uncordon` of".to_owned()
    } else if lower.contains("free ports") {
        "another host port in the pod, or the port freed on".to_owned()
    } else {
        format!("\"{reason}\" lifted on")
    };
    Flip { change: format!("{what} {on}"), node_name: None, points: None }
}
