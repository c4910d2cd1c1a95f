//! Disruption budgets.

use augur_core::object::DisruptionBudget;

use super::{BAD_SELECTOR, NAMELESS, affinity};
use crate::reflect::Skipped;
use crate::wire;

/// The budget as the decision sees it.
///
/// # Errors
/// It has no name, or a selector that is none.
pub fn budget(budget: &wire::PodDisruptionBudget<'_>) -> Result<DisruptionBudget, Skipped> {
    let metadata = &budget.metadata;
    if metadata.name.is_empty() {
        return Err(Skipped::new(NAMELESS, "a PodDisruptionBudget without a name"));
    }
    let selector = budget.spec.selector.as_ref().map(|selector| affinity::selector(selector, &[])).transpose();
    Ok(DisruptionBudget {
        namespace: metadata.namespace.as_str().into(),
        name: metadata.name.as_str().into(),
        selector: selector.map_err(|error| Skipped::new(BAD_SELECTOR, format!("spec.selector: {error}")))?,
        allowed: budget.status.disruptions_allowed,
        disrupted: budget.status.disrupted_pods.keys().map(|name| name.as_str().into()).collect(),
    })
}
