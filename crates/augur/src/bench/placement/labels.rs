//! `augur bench labels`: what history's labels say, against what only the simulation knows. Entry point: [`run`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::policy::Policy;
use super::traces::Usage;
use crate::cli::BenchLabelsArgs;
use crate::output;

/// Labels that say something of the placement.
const JUDGED: [&str; 3] = ["good", "bad", "appfault"];

/// The label that a hidden truth deserves.
fn deserved(truth: &str) -> Option<&'static str> {
    match truth {
        "good" => Some("good"),
        "application" => Some("appfault"),
        // Deleted before it could show.
        "open" => None,
        _ => Some("bad"),
    }
}

/// Runs the worlds and prints the confusion table.
///
/// # Errors
/// When there is nothing to measure, or nothing can be printed.
pub fn run(args: &BenchLabelsArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.nodes >= 3 && args.seeds > 0 && args.hours > 1.0,
        "at least 3 nodes, a seed and more than an hour"
    );
    let measured = super::measure(
        args.scenario,
        args.nodes,
        args.hours,
        vec![Policy::Augur],
        1..args.seeds.saturating_add(1),
        Usage::generated(),
        &|_, _, _| {},
    );
    let mut table: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for run in measured.runs.iter().flatten() {
        for (truth, labels) in &run.confusion {
            for (label, count) in labels {
                *table.entry(truth.clone()).or_default().entry(label.clone()).or_default() += count;
            }
        }
    }
    let labels: BTreeSet<&String> = table.values().flat_map(BTreeMap::keys).collect();
    let mut header = format!("{:<14}", "hidden cause");
    labels.iter().for_each(|label| header.push_str(&format!("{label:>10}")));
    output::line(&header)?;
    let (mut agreed, mut judged) = (0, 0);
    for (truth, row) in &table {
        let mut line = format!("{truth:<14}");
        for label in &labels {
            line.push_str(&format!("{:>10}", row.get(*label).copied().unwrap_or(0)));
        }
        output::line(&line)?;
        let Some(deserved) = deserved(truth) else { continue };
        judged += JUDGED.iter().filter_map(|label| row.get(*label)).sum::<u64>();
        agreed += row.get(deserved).copied().unwrap_or(0);
    }
    let share = if judged > 0 { agreed as f64 / judged as f64 } else { 0.0 };
    output::line(&format!("{agreed} of {judged} judged placements agree: {:.2} %", 100.0 * share))?;
    output::line(&json!({ "labels": { "agreement": share, "judged": judged, "by_truth": table } }).to_string())?;
    Ok(())
}
