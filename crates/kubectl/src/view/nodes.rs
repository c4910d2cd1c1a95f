//! Nodes as they are now, with what history knows of them.

use std::collections::HashMap;

use serde_json::Value;

use super::{NotUnderstood, Show, rate, read, stability};
use crate::answers::{Node, Nodes, Usage};
use crate::cli::SortNodes;
use crate::table::{Cell, Style, Table, sparkline};
use crate::words;

/// From here on, in percent, what is requested or used is to be looked at.
const HIGH: f64 = 80.0;
const FULL: f64 = 95.0;

/// The nodes of `GET /api/v1/nodes` with a day of `GET /api/v1/usage`.
///
/// # Errors
/// When the answers are not understood.
pub fn nodes(answer: &Value, usage: &Value, order: SortNodes, show: Show) -> Result<String, NotUnderstood> {
    let mut nodes = read::<Nodes>(answer)?.nodes;
    let usage: Usage = read(usage)?;
    let series: HashMap<&str, _> = usage.series.iter().map(|series| (series.node.as_str(), series)).collect();
    let used = |node: &Node, part: fn(&crate::answers::Resources) -> f64| {
        node.used.as_ref().map_or(-1.0, |used| part(used) / part(&node.allocatable).max(f64::MIN_POSITIVE))
    };
    let stable = |node: &Node| node.history.as_ref().and_then(|history| history.stability_score).unwrap_or(f64::MAX);
    nodes.sort_by(|a, b| {
        let first = match order {
            SortNodes::Name => std::cmp::Ordering::Equal,
            SortNodes::Stability => stable(a).total_cmp(&stable(b)),
            SortNodes::Cpu => used(b, |r| r.cpu).total_cmp(&used(a, |r| r.cpu)),
            SortNodes::Memory => used(b, |r| r.memory).total_cmp(&used(a, |r| r.memory)),
        };
        first.then_with(|| a.name.cmp(&b.name))
    });
    let mut headings = vec![
        "NAME",
        "STATUS",
        "PODS",
        "CPU-REQ",
        "CPU-USED",
        "CPU-PEAK",
        "MEM-REQ",
        "MEM-USED",
        "MEM-PEAK",
        "STABILITY",
    ];
    if show.wide {
        headings.extend(["FAILURE", "RESTART", "OOM", "EVICTION", "MEM-24H"]);
    }
    headings.push("CPU-24H");
    if show.wide {
        headings.push("TAINTS");
    }
    let mut table = Table::new(headings);
    for node in &nodes {
        let history = node.history.as_ref();
        let (cpu, memory) = (node.allocatable.cpu, node.allocatable.memory);
        let used = node.used.as_ref();
        let mut row = vec![
            node.name.clone().into(),
            status(node),
            pods(node),
            amount(words::cores(node.requested.cpu), node.requested.cpu, cpu),
            used.map_or(words::UNKNOWN.into(), |used| amount(words::cores(used.cpu), used.cpu, cpu)),
            peak(history.and_then(|history| history.predicted_peak_cpu)),
            amount(words::mebibytes(node.requested.memory), node.requested.memory, memory),
            used.map_or(words::UNKNOWN.into(), |used| amount(words::mebibytes(used.memory), used.memory, memory)),
            peak(history.and_then(|history| history.predicted_peak_memory)),
            stability(history.and_then(|history| history.stability_score)),
        ];
        let series = series.get(node.name.as_str());
        if show.wide {
            row.push(rate(history.and_then(|history| history.failure_rate)));
            row.push(rate(history.and_then(|history| history.restart_rate)));
            row.push(rate(history.and_then(|history| history.oom_rate)));
            row.push(rate(history.and_then(|history| history.eviction_rate)));
            row.push(series.map_or_else(String::new, |series| sparkline(&series.memory)).into());
        }
        row.push(series.map_or_else(String::new, |series| sparkline(&series.cpu)).into());
        if show.wide {
            let none = || "<none>".to_owned();
            row.push(if node.taints.is_empty() { none() } else { node.taints.join(",") }.into());
        }
        table.row(row);
    }
    Ok(table.text(show.look))
}

fn status(node: &Node) -> Cell {
    match (node.ready, node.unschedulable) {
        (true, false) => Cell::styled("Ready", Style::Good),
        (true, true) => Cell::styled("Ready,SchedulingDisabled", Style::Warn),
        (false, false) => Cell::styled("NotReady", Style::Bad),
        (false, true) => Cell::styled("NotReady,SchedulingDisabled", Style::Bad),
    }
}

fn pods(node: &Node) -> Cell {
    node.allocatable.pods.map_or_else(|| node.pod_count.to_string(), |may| format!("{}/{may}", node.pod_count)).into()
}

fn amount(text: String, part: f64, whole: f64) -> Cell {
    Cell::styled(words::of(text, part, whole), pressure(part / whole.max(f64::MIN_POSITIVE) * 100.0))
}

fn peak(percent: Option<f64>) -> Cell {
    Cell::styled(words::percent(percent), percent.map_or(Style::Plain, pressure))
}

fn pressure(percent: f64) -> Style {
    match percent {
        percent if percent >= FULL => Style::Bad,
        percent if percent >= HIGH => Style::Warn,
        _ => Style::Plain,
    }
}
