//! Decisions, newest first.

use serde_json::Value;

use super::{NotUnderstood, Show, label, outcome, read, risk};
use crate::answers::{Decision, Decisions};
use crate::table::{Cell, Style, Table};
use crate::words;

/// The decisions of `GET /api/v1/decisions`; with the namespaces of their pods if these are several.
///
/// # Errors
/// When the answer is not understood.
pub fn decisions(answer: &Value, namespaces: bool, show: Show) -> Result<String, NotUnderstood> {
    let decisions = read::<Decisions>(answer)?.decisions;
    let mut headings = if namespaces { vec!["NAMESPACE"] } else { Vec::new() };
    headings.extend(["AGE", "POD", "NODE", "FITTED", "RISK", "OUTCOME", "AFTER-1H"]);
    if show.wide {
        headings.extend(["AFTER-24H", "KIND", "RUNNER-UP", "CONFIDENCE", "LATENCY", "ATTEMPTS", "MODEL", "ID"]);
    }
    headings.push("REASON");
    let mut table = Table::new(headings);
    for decision in &decisions {
        let mut row: Vec<Cell> = if namespaces { vec![decision.pod_namespace.clone().into()] } else { Vec::new() };
        row.extend([
            words::age(decision.timestamp, show.now).into(),
            decision.pod_name.clone().into(),
            node(decision),
            format!("{}/{}", decision.feasible, decision.nodes).into(),
            risk(decision.p_bad),
            outcome(decision.outcome.as_ref()),
            label(decision.outcome.as_ref().map(|outcome| outcome.label.as_str())),
        ]);
        if show.wide {
            row.extend([
                label(decision.outcome.as_ref().map(|outcome| outcome.day_label.as_str())),
                decision.kind.clone().into(),
                decision.runner_up.as_deref().unwrap_or(words::UNKNOWN).into(),
                decision.confidence.map_or(words::UNKNOWN.into(), |confidence| format!("{confidence:.2}").into()),
                format!("{}µs", decision.latency_us).into(),
                decision.attempts.to_string().into(),
                decision.model_id.as_deref().map_or(words::UNKNOWN, words::short).into(),
                decision.decision_id.clone().into(),
            ]);
        }
        row.push(decision.reason.clone().into());
        table.row(row);
    }
    Ok(table.text(show.look))
}

fn node(decision: &Decision) -> Cell {
    match &decision.predicted_node {
        Some(node) => node.clone().into(),
        None => Cell::styled("<none>", Style::Bad),
    }
}
