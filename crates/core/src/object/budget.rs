//! Disruption budgets, which say how many pods of a kind may be evicted.

use std::sync::Arc;

use augur_notation::LabelSelector;

use super::Pod;

/// A PodDisruptionBudget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DisruptionBudget {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The pods that it protects; without a selector, or with an empty one, none.
    pub selector: Option<LabelSelector>,
    /// How many more may be evicted now (`status.disruptionsAllowed`).
    pub allowed: i32,
    /// Names of pods whose eviction is accounted for already (`status.disruptedPods`).
    pub disrupted: Vec<Arc<str>>,
}

impl DisruptionBudget {
    /// Whether evicting the pod would use up some of it.
    #[must_use]
    pub fn counts(&self, pod: &Pod) -> bool {
        let selects = |selector: &LabelSelector| !selector.is_empty() && selector.matches(|key| pod.labels.get(key));
        self.namespace == pod.namespace
            && pod.labels.iter().next().is_some()
            && self.selector.as_ref().is_some_and(selects)
            && !self.disrupted.contains(&pod.name)
    }
}
