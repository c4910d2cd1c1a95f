//! What a dry run of many pods found.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{NotUnderstood, Show, and_more, read, risk};
use crate::answers::{BeforeAfter, WhatIf, WhatIfPod};
use crate::table::{Cell, Style, Table};
use crate::words;

/// Pods that are listed one by one, unless all are wanted.
const LISTED: usize = 10;

/// What `POST /api/v1/what-if` answers.
///
/// # Errors
/// When the answer is not understood.
pub fn what_if(answer: &Value, show: Show) -> Result<String, NotUnderstood> {
    let found: WhatIf = read(answer)?;
    let mut text = String::new();
    for drain in &found.drained {
        let mut line = format!("node/{} drained: {} pods move, {} stay", drain.name, drain.moved, drain.stay);
        if !drain.lost.is_empty() {
            line.push_str(&format!(
                ", {} are lost, because nothing makes them anew: {}",
                drain.lost.len(),
                few(&drain.lost)
            ));
        }
        text.push_str(&line);
        text.push('\n');
    }
    if !found.drained.is_empty() {
        text.push('\n');
    }
    if !found.pods.is_empty() {
        text.push_str(&groups(&found.pods).text(show.look));
    }
    if show.wide && !found.pods.is_empty() {
        text.push('\n');
        text.push_str(&pods(&found.pods).text(show.look));
    }
    if !found.nodes.is_empty() {
        text.push('\n');
        text.push_str(&nodes(&found, show));
    }
    let pending: Vec<&WhatIfPod> = found.pods.iter().filter(|pod| pod.reason.is_some()).collect();
    if !pending.is_empty() && !show.wide {
        text.push('\n');
        text.push_str(&reasons(&pending).text(show.look));
    }
    let evicted: Vec<&str> = found.pods.iter().flat_map(|pod| &pod.evicted).map(String::as_str).collect();
    if !evicted.is_empty() {
        text.push_str(&format!("\nEvicted for pods of higher priority: {}\n", few(&evicted)));
    }
    if found.undecided > 0 {
        text.push_str(&format!("\n{} pods were not decided: the time of a dry run was over\n", found.undecided));
    }
    let model = found.fallback_reason.as_ref().map_or(String::new(), |why| format!("; no model had a say ({why})"));
    let nodes: BTreeSet<&str> = found.pods.iter().filter_map(|pod| pod.node_name.as_deref()).collect();
    let (placed, all, count) = (found.placed, found.total_pods, nodes.len());
    let nodes = if count == 1 { "node" } else { "nodes" };
    text.push_str(&format!(
        "\n{placed} of {all} pods would be placed on {count} {nodes}{model}. A dry run: nothing was changed.\n"
    ));
    Ok(text)
}

/// The first of them.
fn few<T: AsRef<str>>(names: &[T]) -> String {
    const NAMED: usize = 5;
    let named: Vec<&str> = names.iter().take(NAMED).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// What a pod is counted with.
fn group(pod: &WhatIfPod) -> (String, String, String) {
    let resource = match pod.workload.as_deref().and_then(|workload| workload.split_once('/')) {
        Some((kind, name)) => words::resource(kind, name),
        None => words::resource("pod", &pod.name),
    };
    (pod.from_node.clone().unwrap_or_default(), pod.namespace.clone(), resource)
}

fn groups(pods: &[WhatIfPod]) -> Table {
    let mut groups: BTreeMap<(String, String, String), Vec<&WhatIfPod>> = BTreeMap::new();
    for pod in pods {
        groups.entry(group(pod)).or_default().push(pod);
    }
    let drained = pods.iter().any(|pod| pod.from_node.is_some());
    let mut headings = vec!["NAMESPACE", "NAME"];
    if drained {
        headings.push("FROM");
    }
    headings.extend(["PODS", "PLACED", "PENDING", "NODES"]);
    let mut table = Table::new(headings);
    for ((from, namespace, resource), pods) in groups {
        let placed = pods.iter().filter(|pod| pod.node_name.is_some()).count();
        let pending = pods.len() - placed;
        let mut by_node: BTreeMap<&str, usize> = BTreeMap::new();
        for node in pods.iter().filter_map(|pod| pod.node_name.as_deref()) {
            *by_node.entry(node).or_default() += 1;
        }
        let mut row: Vec<Cell> = vec![namespace.into(), resource.into()];
        if drained {
            row.push(if from.is_empty() { "<new>".to_owned() } else { from }.into());
        }
        row.extend([
            pods.len().to_string().into(),
            Cell::styled(placed.to_string(), if pending == 0 { Style::Good } else { Style::Plain }),
            Cell::styled(pending.to_string(), if pending == 0 { Style::Plain } else { Style::Bad }),
            spread(&by_node).into(),
        ]);
        table.row(row);
    }
    table
}

/// Nodes with how many pods go there, those that take most first.
fn spread(by_node: &BTreeMap<&str, usize>) -> String {
    const NAMED: usize = 4;
    let mut nodes: Vec<_> = by_node.iter().collect();
    nodes.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let named: Vec<String> = nodes
        .iter()
        .take(NAMED)
        .map(|(name, count)| if **count == 1 { (**name).to_owned() } else { format!("{name} x{count}") })
        .collect();
    let more = nodes.len().saturating_sub(NAMED);
    match (named.is_empty(), more) {
        (true, _) => "<none>".to_owned(),
        (_, 0) => named.join(","),
        _ => format!("{} and {more} more", named.join(",")),
    }
}

fn pods(pods: &[WhatIfPod]) -> Table {
    let mut table = Table::new(["NAMESPACE", "POD", "FROM", "NODE", "TOTAL", "RISK", "REASON"]);
    for pod in pods {
        table.row([
            pod.namespace.clone().into(),
            pod.name.clone().into(),
            pod.from_node.as_deref().unwrap_or("<new>").into(),
            pod.node_name.as_deref().map_or(Cell::styled("<none>", Style::Bad), Cell::from),
            pod.total_score.map_or_else(|| words::UNKNOWN.to_owned(), words::points).into(),
            risk(pod.p_bad),
            pod.reason.as_deref().unwrap_or_default().into(),
        ]);
    }
    table
}

fn nodes(found: &WhatIf, show: Show) -> String {
    let mut table = Table::new(["NODE", "PODS", "CPU-REQ", "MEM-REQ"]);
    let listed = if show.wide { found.nodes.len() } else { found.nodes.len().min(3 * LISTED) };
    for node in found.nodes.iter().take(listed) {
        let cell = |values: &BeforeAfter, write: fn(f64) -> String| {
            let after = words::of(write(values.after), values.after, values.allocatable);
            if values.after == values.before { after } else { format!("{} -> {after}", write(values.before)) }
        };
        let name = if node.drained {
            Cell::styled(format!("{} (drained)", node.name), Style::Warn)
        } else {
            node.name.clone().into()
        };
        let pods = |value: f64| format!("{value}");
        let count = if node.pods.after == node.pods.before {
            pods(node.pods.after)
        } else {
            format!("{} -> {}", pods(node.pods.before), pods(node.pods.after))
        };
        table.row([
            name,
            count.into(),
            cell(&node.cpu, words::cores).into(),
            cell(&node.memory, words::mebibytes).into(),
        ]);
    }
    table.text(show.look) + &and_more(found.nodes.len() - listed, "-o wide")
}

/// Why pods fit nowhere, each reason once.
fn reasons(pending: &[&WhatIfPod]) -> Table {
    let mut by_reason: BTreeMap<&str, Vec<&WhatIfPod>> = BTreeMap::new();
    for pod in pending {
        by_reason.entry(pod.reason.as_deref().unwrap_or_default()).or_default().push(pod);
    }
    let mut rows: Vec<_> = by_reason.into_iter().collect();
    rows.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(b.0)));
    let mut table = Table::new(["PENDING", "FIRST", "REASON"]);
    for (reason, pods) in rows.into_iter().take(LISTED) {
        let first = pods.first().map_or(String::new(), |pod| pod.name.clone());
        table.row([Cell::styled(pods.len().to_string(), Style::Bad), first.into(), reason.into()]);
    }
    table
}
