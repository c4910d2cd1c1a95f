//! Why a pod is where it is, why not on another node, and what would change that.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{NotUnderstood, Show, and_more, read, risk, stability};
use crate::answers::{Explanation, ModelPart, Outlook, OutlookNode};
use crate::table::{Cell, Facts, Style, Table};
use crate::words;

/// Features of the model that are told.
const FEATURES: usize = 3;
/// Points that are no difference.
const NOTHING: f64 = 0.005;

/// A pod by `GET …/explain` (how it was decided) and `GET …/outlook` (how it would be decided now). Each may be missing: a pod that
/// another scheduler placed has no decision, and one that is gone no outlook. Of nodes, `limit` are shown.
///
/// # Errors
/// When the answers are not understood.
pub fn explain(
    pod: (&str, &str),
    decided: Option<&Value>,
    outlook: Option<&Value>,
    limit: usize,
    show: Show,
) -> Result<String, NotUnderstood> {
    let decided: Option<Explanation> = decided.map(read).transpose()?;
    let outlook: Option<Outlook> = outlook.map(read).transpose()?;
    let mut facts = Facts::new();
    facts.add("Name", pod.1);
    facts.add("Namespace", pod.0);
    if let Some(outlook) = &outlook {
        facts.add("Node", outlook.current_node.as_deref().unwrap_or("<none>, it waits"));
    }
    match &decided {
        Some(decided) => decision_facts(&mut facts, decided, show),
        None => facts
            .add("Decision", "none is remembered: another scheduler placed it, or it came before the last seven days"),
    }
    if let Some(outlook) = &outlook {
        now_facts(&mut facts, outlook);
    }
    let mut text = facts.text();
    if let Some(decided) = decided.as_ref().filter(|decided| decided.chosen.is_some()) {
        text.push_str("\nNodes when it was decided, the best of those that fitted:\n");
        text.push_str(&candidates(decided, show).text(show.look));
    }
    if let Some(decided) = decided.as_ref().filter(|decided| !decided.rejected.is_empty()) {
        text.push_str("\nNodes that did not fit when it was decided:\n");
        let mut table = Table::new(["NODES", "REASON"]);
        for rejection in &decided.rejected {
            table.row([rejection.nodes.to_string().into(), rejection.reason.clone().into()]);
        }
        text.push_str(&table.text(show.look));
    }
    if let Some(outlook) = &outlook {
        text.push_str("\nNodes if it were decided now:\n");
        let limit = if show.wide { usize::MAX } else { limit };
        text.push_str(&now_table(outlook, limit, show).text(show.look));
        text.push_str(&and_more(outlook.nodes.len().saturating_sub(limit), "-o wide"));
    }
    let flips = flips(decided.as_ref(), outlook.as_ref());
    if !flips.is_empty() {
        text.push_str("\nWhat would change it:\n");
        flips.iter().for_each(|flip| text.push_str(&format!("  {flip}\n")));
    }
    Ok(text)
}

fn decision_facts(facts: &mut Facts, decided: &Explanation, show: Show) {
    let decision = &decided.decision;
    let by = match decision.kind.as_str() {
        "observed" => ", taken by another scheduler and followed here",
        "prediction" => ", a dry run",
        _ => "",
    };
    let confidence = decision.confidence.map_or(String::new(), |confidence| format!(", confidence {confidence:.2}"));
    let node = decision.predicted_node.as_deref().unwrap_or("<none>");
    let ago = words::age(decision.timestamp, show.now);
    let attempts = if decision.attempts > 1 { format!(", {} attempts", decision.attempts) } else { String::new() };
    facts.add("Decision", format!("{node}, {ago} ago{by}{confidence}{attempts} ({})", decision.decision_id));
    let mut name = "Why";
    // What it says of the model has a line of its own.
    for why in decided.why.iter().filter(|why| !why.starts_with("no model had a say")) {
        facts.add(name, why);
        name = "";
    }
    match &decided.model {
        Some(model) => model_facts(facts, model),
        None => facts.add("Model", no_model(decision.fallback_reason.as_deref())),
    }
    match &decision.outcome {
        Some(outcome) => {
            let cause = outcome.cause.as_ref().map_or(String::new(), |cause| format!(" ({cause})"));
            let label = match outcome.label.as_str() {
                "immature" => format!("to be judged in {}", words::age(show.now, outcome.matures_at)),
                label => format!("judged {label}"),
            };
            facts.add("Outcome", format!("{}{cause}, {label}", outcome.state));
        }
        None => facts.add("Outcome", "nothing has been seen of it since"),
    }
}

fn no_model(reason: Option<&str>) -> String {
    reason.map_or_else(|| "none had a say".to_owned(), |reason| format!("none had a say: {reason}"))
}

fn model_facts(facts: &mut Facts, model: &ModelPart) {
    let risk = words::share(model.p_bad);
    facts.add("Model", format!("{} gives a risk of {risk} here", words::short(&model.model_id)));
    if let Some(reason) = &model.contributions_reason {
        facts.add("", format!("what it rests on is not known any more: {reason}"));
    }
    let value = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), words::points);
    for part in model.contributions.iter().filter(|part| part.contribution.abs() >= 0.0005).take(FEATURES) {
        let (here, there) = (value(part.value), value(part.value_of_runner_up));
        let points = part.contribution * 100.0;
        let other = &model.runner_up;
        facts.add(
            "",
            format!("{points:+.1} points of risk against {other} by {} ({here} here, {there} there)", part.feature),
        );
    }
}

fn now_facts(facts: &mut Facts, outlook: &Outlook) {
    let node = outlook.predicted_node.as_deref();
    let place = match (node, outlook.current_node.as_deref()) {
        (Some(node), Some(here)) if node == here => format!("{node} again"),
        (Some(node), _) => node.to_owned(),
        (None, _) => "<none>".to_owned(),
    };
    let confidence = outlook.confidence.map_or(String::new(), |confidence| format!(", confidence {confidence:.2}"));
    facts.add("Now", format!("{place}{confidence}: {}", outlook.reason));
    match &outlook.model_id {
        Some(model) => facts.add("", format!("model {} has a say", words::short(model))),
        None => facts.add("", format!("model: {}", no_model(outlook.fallback_reason.as_deref()))),
    }
}

/// The chosen node and the next best, by plugin; only plugins that tell them apart, unless all are wanted.
fn candidates(decided: &Explanation, show: Show) -> Table {
    let Some(chosen) = &decided.chosen else { return Table::new(["NODE"]) };
    let apart: BTreeSet<&str> = if show.wide {
        chosen.contributions.keys().map(String::as_str).collect()
    } else {
        let parts = decided.others.iter().flat_map(|other| &other.because);
        parts.filter(|(_, lead)| lead.abs() >= NOTHING).map(|(plugin, _)| plugin.as_str()).collect()
    };
    let mut table = Table::new(["NODE", "TOTAL", "BEHIND"].into_iter().chain(apart.iter().copied()));
    let of_chosen = |plugin: &&str| chosen.contributions.get(*plugin).copied().unwrap_or(0.0);
    let first = [
        Cell::styled(chosen.node_name.clone(), Style::Good),
        words::points(chosen.total_score).into(),
        words::UNKNOWN.into(),
    ];
    table.row(first.into_iter().chain(apart.iter().map(|plugin| words::points(of_chosen(plugin)).into())));
    for other in &decided.others {
        let first = [
            other.node_name.clone().into(),
            words::points(other.total_score).into(),
            words::points(other.behind).into(),
        ];
        let parts = apart.iter().map(|plugin| {
            let lead = other.because.get(*plugin).copied().unwrap_or(0.0);
            words::points(of_chosen(plugin) - lead).into()
        });
        table.row(first.into_iter().chain(parts));
    }
    table
}

/// Node by filter and score.
fn now_table(outlook: &Outlook, limit: usize, show: Show) -> Table {
    let feasible = || outlook.nodes.iter().filter(|node| node.feasible);
    let plugins: BTreeSet<&str> = feasible().flat_map(|node| node.contributions.keys().map(String::as_str)).collect();
    let points = |node: &OutlookNode, plugin: &str| node.contributions.get(plugin).copied().unwrap_or(0.0);
    let differ = |plugin: &&str| {
        let mut all = feasible().map(|node| points(node, plugin));
        all.next().is_some_and(|first| all.any(|other| (other - first).abs() >= NOTHING))
    };
    let plugins: Vec<&str> = plugins.into_iter().filter(|plugin| show.wide || differ(plugin)).collect();
    let has = |what: fn(&OutlookNode) -> bool| outlook.nodes.iter().any(what);
    let (model, filters) = (has(|node| node.p_bad.is_some()), has(|node| !node.feasible));
    let mut headings = vec!["NODE", "FITS", "TOTAL", "BEHIND"];
    headings.extend(&plugins);
    if model {
        headings.extend(["RISK", "BY-MODEL"]);
    }
    headings.push("STABILITY");
    if filters {
        headings.extend(["FILTER", "REASON"]);
    }
    let mut table = Table::new(headings);
    let number = |value: Option<f64>| Cell::from(value.map_or_else(|| words::UNKNOWN.to_owned(), words::points));
    for node in outlook.nodes.iter().take(limit) {
        let chosen = Some(&node.node_name) == outlook.predicted_node.as_ref();
        let name = Cell::styled(node.node_name.clone(), if chosen { Style::Good } else { Style::Plain });
        let fits = if node.feasible { Cell::styled("yes", Style::Good) } else { Cell::styled("no", Style::Bad) };
        let mut row = vec![name, fits, number(node.total_score), number(node.behind)];
        row.extend(plugins.iter().map(|plugin| number(node.feasible.then(|| points(node, plugin)))));
        if model {
            row.extend([risk(node.p_bad), number(node.model_points)]);
        }
        row.push(stability(node.stability_score));
        if filters {
            row.push(node.filter.as_deref().unwrap_or_default().into());
            row.push(reasons(node).into());
        }
        table.row(row);
    }
    table
}

/// Reasons in kube-scheduler's words, with what is lacking.
fn reasons(node: &OutlookNode) -> String {
    let lacking: Vec<String> = node
        .lacking
        .iter()
        .map(|(name, lack)| match name.as_str() {
            "cpu" => format!("{} cpu", words::cores(*lack)),
            "memory" | "ephemeral-storage" => format!("{} {name}", words::mebibytes(*lack)),
            _ => format!("{lack} {name}"),
        })
        .collect();
    let reasons = node.reasons.join(", ");
    if lacking.is_empty() { reasons } else { format!("{reasons} (lacks {})", lacking.join(", ")) }
}

fn flips(decided: Option<&Explanation>, outlook: Option<&Outlook>) -> Vec<String> {
    let then =
        decided.map_or(&[][..], |decided| &decided.flip).iter().map(|flip| format!("At the decision: {}", flip.change));
    let now = outlook.map_or(&[][..], |outlook| &outlook.flip).iter().map(|flip| {
        let changes = flip.changes.join("; and ");
        format!("Now: {} would be {} with {changes}", flip.node_name, flip.then)
    });
    then.chain(now).collect()
}
