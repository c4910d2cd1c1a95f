//! What seven days showed of nodes, workloads and pods.

use std::collections::HashMap;

use serde_json::Value;

use super::{NotUnderstood, Show, and_more, label, outcome, rate, read, stability};
use crate::answers::{Decision, Decisions, NamedHistory, NodeHistories, Series, Usage, Workload, Workloads};
use crate::table::{Cell, Facts, Table, sparkline};
use crate::words;

/// Nodes by what history knows of them, those that fail most first.
///
/// # Errors
/// When the answers are not understood.
pub fn node_history(nodes: &Value, usage: &Value, limit: usize, show: Show) -> Result<String, NotUnderstood> {
    let mut nodes = read::<NodeHistories>(nodes)?.nodes;
    let usage: Usage = read(usage)?;
    let series: HashMap<&str, &Series> = usage.series.iter().map(|one| (one.node.as_str(), one)).collect();
    nodes.sort_by(|a, b| {
        let failure = |node: &NamedHistory| {
            node.history.as_ref().and_then(|history| history.failure_rate).map_or(0.0, |rate| rate.value)
        };
        failure(b).total_cmp(&failure(a)).then_with(|| a.name.cmp(&b.name))
    });
    let headings = ["NODE", "PODS", "FAILURE", "RESTART", "OOM", "EVICTION", "STABILITY", "CPU", "CPU-PEAK", "CPU-24H"];
    let mut table = Table::new(headings);
    let more = nodes.len().saturating_sub(limit);
    for node in nodes.iter().take(limit) {
        let known = node.history.as_ref();
        table.row([
            node.name.clone().into(),
            known.map_or(0, |known| known.pods).to_string().into(),
            rate(known.and_then(|known| known.failure_rate)),
            rate(known.and_then(|known| known.restart_rate)),
            rate(known.and_then(|known| known.oom_rate)),
            rate(known.and_then(|known| known.eviction_rate)),
            stability(known.and_then(|known| known.stability_score)),
            words::percent(known.and_then(|known| known.avg_cpu_usage)).into(),
            words::percent(known.and_then(|known| known.predicted_peak_cpu)).into(),
            series.get(node.name.as_str()).map_or_else(String::new, |series| sparkline(&series.cpu)).into(),
        ]);
    }
    Ok(table.text(show.look) + &and_more(more, "--limit"))
}

/// Workloads, those with most pods first; with their namespaces if these are several.
///
/// # Errors
/// When the answer is not understood.
pub fn workloads(answer: &Value, namespaces: bool, limit: usize, show: Show) -> Result<String, NotUnderstood> {
    let mut workloads = read::<Workloads>(answer)?.workloads;
    workloads.sort_by(|a, b| {
        let name = |w: &Workload| (w.namespace.clone(), w.kind.clone(), w.name.clone());
        b.n.cmp(&a.n).then_with(|| name(a).cmp(&name(b)))
    });
    let mut headings = if namespaces { vec!["NAMESPACE"] } else { Vec::new() };
    headings.extend(["NAME", "PODS", "FAILURE", "RESTART", "OOM", "EVICTION", "CPU-P95", "MEM-P98"]);
    if show.wide {
        headings.extend(["RESTARTS", "OOM-KILLS", "EVICTIONS", "START-P95", "RATES-BY"]);
    }
    let mut table = Table::new(headings);
    let more = workloads.len().saturating_sub(limit);
    for workload in workloads.iter().take(limit) {
        let mut row: Vec<Cell> = if namespaces { vec![workload.namespace.clone().into()] } else { Vec::new() };
        row.extend([
            words::resource(&workload.kind, &workload.name).into(),
            workload.n.to_string().into(),
            rate(workload.failure_rate),
            rate(workload.restart_rate),
            rate(workload.oom_rate),
            rate(workload.eviction_rate),
            percentile(workload, "cpu_p95", words::cores),
            percentile(workload, "memory_p98", words::mebibytes),
        ]);
        if show.wide {
            row.extend([
                workload.restarts.to_string().into(),
                workload.oom_kills.to_string().into(),
                workload.evictions.to_string().into(),
                workload.start_p95_seconds.map_or(words::UNKNOWN.into(), |s| format!("{s:.1}s").into()),
                workload.backoff_level.clone().into(),
            ]);
        }
        table.row(row);
    }
    Ok(table.text(show.look) + &and_more(more, "--limit"))
}

fn percentile(workload: &Workload, name: &str, write: fn(f64) -> String) -> Cell {
    let value = workload.usage_percentiles.as_ref().and_then(|usage| usage.get(name));
    value.map_or(words::UNKNOWN.into(), |value| write(*value).into())
}

/// One workload: its rates and percentiles, and what became of its pods. `usage` holds answers of `GET /api/v1/usage` about some
/// of these.
///
/// # Errors
/// When the answers are not understood.
pub fn workload(answer: &Value, decisions: &Value, usage: &[Value], show: Show) -> Result<String, NotUnderstood> {
    let workload: Workload = read(answer)?;
    let decisions = read::<Decisions>(decisions)?.decisions;
    let usage: Vec<Usage> = usage.iter().map(read).collect::<Result<_, _>>()?;
    let mut facts = Facts::new();
    facts.add("Name", words::resource(&workload.kind, &workload.name));
    facts.add("Namespace", &*workload.namespace);
    facts.add("Pods", format!("{} in seven days", workload.n));
    let by = |what: &str, rate: Option<crate::answers::Rate>, seen: String| {
        let rate = rate.map_or(words::UNKNOWN.to_owned(), |rate| {
            let [value, low, high] = [rate.value, rate.low, rate.high].map(|share| share * 100.0);
            format!("{value:.1}% of pods (90% interval {low:.1}% to {high:.1}%)")
        });
        (what.to_owned(), if seen.is_empty() { rate } else { format!("{rate}, {seen}") })
    };
    for (name, value) in [
        by("Failure", workload.failure_rate, String::new()),
        by("Restart", workload.restart_rate, format!("{} restarts", workload.restarts)),
        by("OOM", workload.oom_rate, format!("{} kills", workload.oom_kills)),
        by("Eviction", workload.eviction_rate, format!("{} evictions", workload.evictions)),
    ] {
        facts.add(&name, value);
    }
    if workload.n > 0 && workload.backoff_level != "workload" {
        facts.add("", format!("(rates rest mostly on its {}, for lack of pods)", workload.backoff_level));
    }
    let start = workload.start_p95_seconds.map_or(words::UNKNOWN.to_owned(), |seconds| format!("{seconds:.1}s (p95)"));
    facts.add("Start", start);
    match &workload.usage_percentiles {
        Some(usage) => {
            let of =
                |name: &str, write: fn(f64) -> String| usage.get(name).map_or(words::UNKNOWN.to_owned(), |v| write(*v));
            let [p50, p95, p99] = ["cpu_p50", "cpu_p95", "cpu_p99"].map(|name| of(name, words::cores));
            facts.add("CPU", format!("p50 {p50}, p95 {p95}, p99 {p99}"));
            let [p50, p98, p99] = ["memory_p50", "memory_p98", "memory_p99"].map(|name| of(name, words::mebibytes));
            facts.add("Memory", format!("p50 {p50}, p98 {p98}, p99 {p99} (daily peaks)"));
        }
        None => facts.add("Usage", "fewer than ten samples so far"),
    }
    let mut text = facts.text();
    text.push('\n');
    text.push_str(&placements(&decisions, &usage, true, show));
    Ok(text)
}

/// Placements with what became of them, and a day of usage where that is known.
fn placements(decisions: &[Decision], usage: &[Usage], pods: bool, show: Show) -> String {
    let mut headings = vec!["AGE"];
    if pods {
        headings.push("POD");
    }
    headings.extend(["NODE", "RISK", "OUTCOME", "AFTER-1H", "AFTER-24H", "CPU-24H"]);
    let mut table = Table::new(headings);
    for decision in decisions {
        let mut row: Vec<Cell> = vec![words::age(decision.timestamp, show.now).into()];
        if pods {
            row.push(decision.pod_name.clone().into());
        }
        let outcome_of = decision.outcome.as_ref();
        let series = usage.iter().flat_map(|usage| &usage.series).find(|series| {
            series.pod.as_deref() == Some(&*decision.pod_name)
                && series.namespace.as_deref() == Some(&*decision.pod_namespace)
                && Some(&*series.node) == decision.predicted_node.as_deref()
        });
        row.extend([
            decision.predicted_node.as_deref().unwrap_or("<none>").into(),
            super::risk(decision.p_bad),
            outcome(outcome_of),
            label(outcome_of.map(|outcome| outcome.label.as_str())),
            label(outcome_of.map(|outcome| outcome.day_label.as_str())),
            series.map_or_else(String::new, |series| sparkline(&series.cpu)).into(),
        ]);
        table.row(row);
    }
    if table.is_empty() { "No placements are remembered.\n".to_owned() } else { table.text(show.look) }
}

/// One pod: its placements and the usage of its containers.
///
/// # Errors
/// When the answers are not understood.
pub fn pod_history(decisions: &Value, usage: &Value, show: Show) -> Result<String, NotUnderstood> {
    let decisions = read::<Decisions>(decisions)?.decisions;
    let usage: Usage = read(usage)?;
    let mut text = placements(&decisions, &[], false, show);
    if !usage.series.is_empty() {
        let mut table = Table::new(["CONTAINER", "NODE", "CPU-7D", "CPU-HIGHEST", "MEM-7D", "MEM-HIGHEST"]);
        for series in &usage.series {
            table.row([
                series.container.as_deref().unwrap_or_default().into(),
                series.node.clone().into(),
                sparkline(&series.cpu).into(),
                series.cpu_highest.map_or(words::UNKNOWN.into(), |cpu| words::cores(cpu).into()),
                sparkline(&series.memory).into(),
                series.memory_highest.map_or(words::UNKNOWN.into(), |memory| words::mebibytes(memory).into()),
            ]);
        }
        text.push('\n');
        text.push_str(&table.text(show.look));
    }
    let is_app_fault = |decision: &Decision| decision.outcome.as_ref().is_some_and(|o| o.label == "app_fault");
    if decisions.iter().any(is_app_fault) {
        text.push_str("\napp_fault: its replicas failed on many nodes; the node is not to blame\n");
    }
    Ok(text)
}
