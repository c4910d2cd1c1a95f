//! Affinities, selectors and rules of spreading as the API writes them.

use serde::Deserialize;

use super::{Map, Text, null_is_default};

/// Affinities to nodes and to pods.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity<'a> {
    /// To nodes.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub node_affinity: NodeAffinity<'a>,
    /// To pods.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub pod_affinity: PodAffinity<'a>,
    /// Away from pods.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub pod_anti_affinity: PodAffinity<'a>,
}

/// Affinity to nodes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeAffinity<'a> {
    /// What the node must match.
    #[serde(borrow, rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<NodeSelector<'a>>,
    /// What the node should match.
    #[serde(borrow, rename = "preferredDuringSchedulingIgnoredDuringExecution", deserialize_with = "null_is_default")]
    pub preferred: Vec<PreferredSchedulingTerm<'a>>,
}

/// Terms of which one must match.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector<'a> {
    /// The terms.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub node_selector_terms: Vec<NodeSelectorTerm<'a>>,
}

/// Requirements that must all hold; one without any matches nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelectorTerm<'a> {
    /// On labels.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub match_expressions: Vec<NodeSelectorRequirement<'a>>,
    /// On fields.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub match_fields: Vec<NodeSelectorRequirement<'a>>,
}

/// A requirement on a label or a field, also of a label selector.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSelectorRequirement<'a> {
    /// Label or field.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.
    #[serde(borrow)]
    pub operator: Text<'a>,
    /// Values.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub values: Vec<Text<'a>>,
}

/// A term with what a match is worth.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PreferredSchedulingTerm<'a> {
    /// 1 to 100.
    pub weight: i32,
    /// The term.
    #[serde(borrow)]
    pub preference: NodeSelectorTerm<'a>,
}

/// Affinity to pods or away from them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodAffinity<'a> {
    /// What must hold.
    #[serde(borrow, rename = "requiredDuringSchedulingIgnoredDuringExecution", deserialize_with = "null_is_default")]
    pub required: Vec<PodAffinityTerm<'a>>,
    /// What should hold.
    #[serde(borrow, rename = "preferredDuringSchedulingIgnoredDuringExecution", deserialize_with = "null_is_default")]
    pub preferred: Vec<WeightedPodAffinityTerm<'a>>,
}

/// Which pods in which domains.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinityTerm<'a> {
    /// Labels of the pods.
    #[serde(borrow)]
    pub label_selector: Option<LabelSelector<'a>>,
    /// Namespaces by name.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub namespaces: Vec<Text<'a>>,
    /// Namespaces by label.
    #[serde(borrow)]
    pub namespace_selector: Option<LabelSelector<'a>>,
    /// Label of the nodes whose value is the domain.
    #[serde(borrow)]
    pub topology_key: Text<'a>,
}

/// A term with what it is worth.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightedPodAffinityTerm<'a> {
    /// 1 to 100.
    pub weight: i32,
    /// The term.
    #[serde(borrow)]
    pub pod_affinity_term: PodAffinityTerm<'a>,
}

/// A selector of labels; empty it selects everything.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector<'a> {
    /// Labels with their values.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub match_labels: Map<'a>,
    /// Requirements.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub match_expressions: Vec<NodeSelectorRequirement<'a>>,
}

/// A rule of spreading.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySpreadConstraint<'a> {
    /// Label of the nodes whose value is the domain.
    #[serde(borrow)]
    pub topology_key: Text<'a>,
    /// How far counts may be apart.
    pub max_skew: i32,
    /// `DoNotSchedule` (also when empty) or `ScheduleAnyway`.
    #[serde(borrow)]
    pub when_unsatisfiable: Text<'a>,
    /// Pods that count.
    #[serde(borrow)]
    pub label_selector: Option<LabelSelector<'a>>,
    /// Labels of the pod whose values the pods that count must share.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub match_label_keys: Vec<Text<'a>>,
    /// Domains wanted at least.
    pub min_domains: Option<i32>,
    /// `Honor` (also when empty) or `Ignore`.
    #[serde(borrow)]
    pub node_affinity_policy: Text<'a>,
    /// `Honor` or `Ignore` (also when empty).
    #[serde(borrow)]
    pub node_taints_policy: Text<'a>,
}
