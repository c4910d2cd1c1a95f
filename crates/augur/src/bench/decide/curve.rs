//! `augur bench decide --curve FILE`: how the cost of a decision grows, measured and drawn.

use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::measure::{Shape, measure};
use super::name;
use crate::cli::DecideWorkload::{self, Affinity, Basic, Mixed, Preemption, PreferredSpread, Spread};
use crate::output;
use crate::plot::{Line, Panel, svg};

/// Pods that come at each point. What a first decision on a template costs is in the rate, spread over them.
const PODS: usize = 20_000;

/// One panel: what grows, and for each workload the shapes.
struct Series {
    title: &'static str,
    x: &'static str,
    /// The part of a shape that grows.
    grows: fn(&mut Shape, usize),
    lines: Vec<(DecideWorkload, Vec<usize>)>,
}

fn series() -> Vec<Series> {
    let nodes = |most: usize| [100, 1_000, 5_000, 20_000, 100_000, 1_000_000].into_iter().filter(move |n| *n <= most);
    vec![
        Series {
            title: "nodes (two pods on each before)",
            x: "nodes",
            grows: |shape, nodes| (shape.nodes, shape.existing) = (nodes, 2 * nodes.min(100_000)),
            lines: vec![
                (Basic, nodes(1_000_000).collect()),
                (Spread, nodes(100_000).collect()),
                (Affinity, nodes(100_000).collect()),
                (Preemption, vec![1_000, 5_000, 20_000]),
            ],
        },
        Series {
            title: "pods on 5,000 nodes before",
            x: "pods",
            grows: |shape, pods| shape.existing = pods,
            lines: [Basic, Spread, Affinity].map(|workload| (workload, vec![100, 1_000, 10_000, 150_000])).into(),
        },
        Series {
            title: "templates in turn, 5,000 nodes",
            x: "templates",
            grows: |shape, templates| shape.templates = templates,
            lines: [Basic, Mixed].map(|workload| (workload, vec![1, 10, 100, 1_000])).into(),
        },
        Series {
            title: "zones of 5,000 nodes",
            x: "zones",
            grows: |shape, zones| shape.zones = zones,
            lines: [Basic, Spread, PreferredSpread].map(|workload| (workload, vec![3, 30, 300, 3_000])).into(),
        },
    ]
}

/// Measures, prints every point, and draws all into the file. The rate is by CPU time, so that other load on the machine
/// does not show.
///
/// # Errors
/// When the output or the file cannot be written.
pub fn run(file: &Path) -> anyhow::Result<()> {
    let mut panels = Vec::new();
    let mut points = Vec::new();
    for series in series() {
        let mut panel = Panel { title: series.title.to_owned(), x: series.x.to_owned(), lines: Vec::new() };
        for (workload, values) in series.lines {
            let mut line = Line { name: name(workload), points: Vec::new() };
            for value in values {
                let mut shape = Shape { nodes: 5_000, existing: 10_000, pods: PODS, workload, templates: 1, zones: 3 };
                (series.grows)(&mut shape, value);
                if workload == Preemption {
                    // Nodes must be full, and there is so much room to be made.
                    (shape.existing, shape.pods) = (4 * shape.nodes, PODS.min(2 * shape.nodes));
                }
                let (figures, _) = measure(&shape);
                let rate = 1e6 / figures.cpu_us_per_pod.max(1e-3);
                let p50 = figures.percentiles_us[0];
                output::line(&format!(
                    "{:<18} {:>9} {:<10} {rate:>9.0} pods/s of CPU time, a decision takes {p50:.1} µs",
                    line.name, value, series.x
                ))?;
                points.push(
                    json!({ "workload": line.name, series.x: value, "pods_per_cpu_s": rate.round(), "p50_us": p50 }),
                );
                line.points.push((value as f64, rate));
            }
            panel.lines.push(line);
        }
        panels.push(panel);
    }
    let drawing = svg("Decisions on one core", "pods/s of CPU time", &panels);
    std::fs::write(file, drawing).with_context(|| format!("writing {}", file.display()))?;
    output::line(&json!({ "file": file.display().to_string(), "points": points }).to_string())?;
    Ok(())
}
