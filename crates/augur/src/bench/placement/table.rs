//! What was measured, as a table for people and as one JSON line.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value, json};

use super::policy::Policy;
use super::result::{Estimate, METRICS, Metric, RunResult};
use super::{Measured, Scenario, shift};

/// What the reader has to know, wherever the figures stand.
pub const CAVEAT: &str = "Out-of-memory kills, contention and the troubles of nodes are simulated (docs/scenarios.md tells from \
which traces their character comes); the figures compare policies with each other, they do not predict a real cluster.";

/// The table.
pub fn text(measured: &Measured) -> String {
    let mut out = format!(
        "{}: {} nodes, {} simulated hours, {} seeds, {:.0} s; means with 95 % intervals over seeds\n\n",
        measured.scenario.name(),
        measured.nodes,
        measured.hours,
        measured.seeds.len(),
        measured.seconds
    );
    for part in [&METRICS[..8], &METRICS[8..]] {
        out += &format!("{:<16}", "policy");
        part.iter().for_each(|metric| out += &format!(" {:>21}", metric.title));
        out += "\n";
        for (at, policy) in measured.policies.iter().enumerate() {
            out += &format!("{:<16}", policy.name());
            for metric in part {
                let estimate = Estimate::of(&measured.values(at, metric.of));
                let half = estimate.high - estimate.mean;
                let digits = metric.digits;
                out += &format!(" {:>21}", format!("{:.digits$} ± {half:.digits$}", estimate.mean));
            }
            out += "\n";
        }
        out += "\n";
    }
    if let Some(base) = measured.find(Policy::Default) {
        out += "bad per 1,000 less that of default, seed by seed:\n";
        for (at, policy) in measured.policies.iter().enumerate().filter(|(at, _)| *at != base) {
            let difference = paired(measured, at, base, &METRICS[0]);
            let relative = relative(measured, at, base);
            out += &format!(
                "{:<16} {:>+8.1} [{:+.1}, {:+.1}]  {:+.1} %\n",
                policy.name(),
                difference.mean,
                difference.low,
                difference.high,
                100.0 * relative
            );
        }
        out += "\n";
    }
    if measured.scenario == Scenario::Shift {
        out += &shift::text(measured);
    }
    out + CAVEAT + "\n" + &measured.usage.to_string()
}

/// Placements and bad ones among them in some hours, over all seeds.
pub fn pooled(runs: &[RunResult], hours: Range<usize>) -> (u64, u64) {
    let tallies = runs.iter().flat_map(|run| run.hourly.get(hours.clone()).unwrap_or_default());
    tallies.fold((0, 0), |(placed, bad), tally| (placed + tally.placements, bad + tally.all_bad()))
}

pub fn per_thousand((placed, bad): (u64, u64)) -> f64 {
    1_000.0 * bad as f64 / placed.max(1) as f64
}

/// The difference of a column to another policy, seed by seed.
pub fn paired(measured: &Measured, policy: usize, base: usize, metric: &Metric) -> Estimate {
    Estimate::paired(&measured.values(policy, metric.of), &measured.values(base, metric.of))
}

/// The difference of bad outcomes to another policy, as a share of the other's.
pub fn relative(measured: &Measured, policy: usize, base: usize) -> f64 {
    let mean = |at| Estimate::of(&measured.values(at, METRICS[0].of)).mean;
    if mean(base) > 0.0 { mean(policy) / mean(base) - 1.0 } else { 0.0 }
}

/// Everything, for programs.
pub fn json(measured: &Measured) -> Value {
    let base = measured.find(Policy::Default);
    let mut policies = Map::new();
    for (at, policy) in measured.policies.iter().enumerate() {
        let mut columns = Map::new();
        for metric in &METRICS {
            let mut column = json!(Estimate::of(&measured.values(at, metric.of)));
            if let Some(base) = base.filter(|base| *base != at) {
                column["minus_default"] = json!(paired(measured, at, base, metric));
            }
            columns.insert(metric.key.to_owned(), column);
        }
        if let Some(base) = base {
            columns.insert("bad_relative_to_default".to_owned(), json!(relative(measured, at, base)));
        }
        let hours = measured.runs[at].iter().map(|run| run.hourly.len()).max().unwrap_or(0);
        let by_hour = (0..hours).map(|hour| pooled(&measured.runs[at], hour..hour + 1));
        let (placed, bad): (Vec<u64>, Vec<u64>) = by_hour.unzip();
        columns.insert("by_hour".to_owned(), json!({ "placements": placed, "bad": bad }));
        if measured.scenario == Scenario::Shift {
            columns.insert("after_shift".to_owned(), json!(shift::by_hour(measured, at)));
        }
        let moments: Vec<_> = measured.runs[at].iter().map(|run| &run.moments).collect();
        if moments.iter().any(|moments| !moments.is_empty()) {
            columns.insert("moments".to_owned(), json!(moments));
            columns.insert("labels_by_truth".to_owned(), json!(confusion(&measured.runs[at])));
        }
        policies.insert(policy.name(), Value::Object(columns));
    }
    json!({
        "bench": "placement",
        "scenario": measured.scenario.name(),
        "nodes": measured.nodes,
        "hours": measured.hours,
        "seeds": measured.seeds.len(),
        "usage": measured.usage.json(),
        "seconds": measured.seconds,
        "policies": policies,
    })
}

/// Labels that history gave, by what really became of the placements, over all seeds.
fn confusion(runs: &[RunResult]) -> BTreeMap<&str, BTreeMap<&str, u64>> {
    let mut sum: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for (truth, labels) in runs.iter().flat_map(|run| &run.confusion) {
        for (label, count) in labels {
            *sum.entry(truth).or_default().entry(label).or_default() += count;
        }
    }
    sum
}
