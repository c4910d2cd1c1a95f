//! Examples from what history recorded: a decision, and what has been seen of it so far. Entry point: [`example_of`].

use augur_history::{DecisionKind, DecisionRecord, Example, Outcome, OutcomeLabel};

/// The example of a decision; `None` when it placed no pod. Without an outcome it tells that the pod was placed, and no more.
pub fn example_of(record: &DecisionRecord, outcome: Option<&Outcome>) -> Option<Example> {
    let node = record.node.clone()?;
    if record.kind != DecisionKind::Scheduling {
        return None;
    }
    Some(Example {
        decision_id: record.id,
        at: record.at,
        node: outcome.map_or(node, |outcome| outcome.node.clone()),
        workload: record.workload.clone(),
        label: outcome.map_or(OutcomeLabel::Immature, |outcome| outcome.label),
        cause: outcome.and_then(|outcome| outcome.cause),
        propensity: record.propensity,
        features: record.features.clone(),
        model_id: record.model_id.clone(),
        p_bad: record.p_bad,
        holdback: record.fallback_reason.as_deref() == Some("holdback"),
        until: outcome.and_then(|outcome| {
            let matured = (outcome.label != OutcomeLabel::Immature).then_some(outcome.matures_at);
            outcome.trouble_at.or(outcome.ended_at).or(matured)
        }),
        alternative: record.alternative.clone(),
        feedback: None,
    })
}
