//! The report of shadow mode, and the model in use.

use serde_json::Value;

use super::{NotUnderstood, Show, read};
use crate::answers::{Estimate, ModelStatus, ShadowReport};
use crate::table::Facts;
use crate::words;

/// What `GET /api/v1/shadow/report` answers.
///
/// # Errors
/// When the answer is not understood.
pub fn shadow_report(answer: &Value) -> Result<String, NotUnderstood> {
    let report: ShadowReport = read(answer)?;
    let mut facts = Facts::new();
    facts.add("Decisions of other schedulers", report.decisions.to_string());
    facts.add("  the same node", report.same_node.to_string());
    facts.add("  another node with an equal score", report.equal_score.to_string());
    facts.add("  a better node by Augur's score", report.differed.to_string());
    facts.add("  a node that is not feasible by what it knew", report.not_feasible.to_string());
    facts.add("  no node found here", report.no_node.to_string());
    let share = |estimate: &Estimate| {
        let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(|share| share * 100.0);
        format!("{value:.1}% ({low:.1}% to {high:.1}%, 95% {}, n={})", estimate.interval, estimate.n)
    };
    let points = |estimate: &Estimate| {
        let Estimate { value, low, high, n, interval } = estimate;
        format!("{value:+.3} ({low:+.3} to {high:+.3}, 95% {interval}, n={n})")
    };
    let or_unknown = |estimate: &Option<Estimate>, write: &dyn Fn(&Estimate) -> String| {
        estimate.as_ref().map_or_else(|| "not known".to_owned(), write)
    };
    facts.add("Differing decisions", or_unknown(&report.differing_share, &share));
    facts.add("Score gained a decision, in points", or_unknown(&report.score_gain, &points));
    facts.add("Risk avoided a decision, by the model", or_unknown(&report.risk_reduction_by_model, &points));
    facts.add("Stability gained a decision, by history", or_unknown(&report.stability_gain_by_history, &points));
    facts.add("Went bad where both agreed", or_unknown(&report.bad_when_agreed, &share));
    facts.add("Went bad where they differed", or_unknown(&report.bad_when_differed, &share));
    Ok(facts.text())
}

/// What `GET /api/v1/model/status` answers.
///
/// # Errors
/// When the answer is not understood.
pub fn model_status(answer: &Value, show: Show) -> Result<String, NotUnderstood> {
    let model: ModelStatus = read(answer)?;
    let ago = |at: Option<jiff::Timestamp>| match at {
        Some(at) => format!("{at} ({} ago)", words::age(at, show.now)),
        None => words::UNKNOWN.to_owned(),
    };
    let mut facts = Facts::new();
    facts.add("Model", model.model_id.as_deref().unwrap_or("<none>"));
    facts.add("Has a say", model.fallback_reason.map_or_else(|| "yes".to_owned(), |reason| format!("no: {reason}")));
    facts.add("Trained", ago(model.trained_at));
    facts.add("In use since", ago(model.last_swap));
    facts.add("Source", model.source.as_deref().unwrap_or(words::UNKNOWN));
    facts.add("Features", model.schema);
    Ok(facts.text())
}
