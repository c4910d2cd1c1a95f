//! PodDisruptionBudgets as the API writes them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{LabelSelector, ObjectMeta, Text, null_is_default};

/// A disruption budget.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodDisruptionBudget<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: ObjectMeta<'a>,
    /// What it protects.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: PodDisruptionBudgetSpec<'a>,
    /// What it allows.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub status: PodDisruptionBudgetStatus<'a>,
}

/// `spec` of a disruption budget.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodDisruptionBudgetSpec<'a> {
    /// The pods.
    #[serde(borrow)]
    pub selector: Option<LabelSelector<'a>>,
}

/// `status` of a disruption budget.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudgetStatus<'a> {
    /// How many more may be evicted.
    pub disruptions_allowed: i32,
    /// Pods whose eviction is accounted for, by name.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub disrupted_pods: BTreeMap<Text<'a>, IgnoredAny>,
}
