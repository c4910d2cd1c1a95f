//! `augur bench decide`: the decision loop alone, state updates included, without HTTP, on one thread.
//!
//! Every pod takes its whole way through the state machine: added, decided, assumed, bound and confirmed; victims of preemption go
//! at once.

mod cluster;
mod curve;
mod measure;

use anyhow::bail;
use clap::ValueEnum;
use serde_json::json;

use crate::cli::{BenchDecideArgs, DecideWorkload};
use crate::output;
use measure::{Shape, copy, measure};

/// Runs the measurement and prints it.
///
/// # Errors
/// When there is nothing to measure, or the output cannot be written.
pub fn run(args: &BenchDecideArgs) -> anyhow::Result<()> {
    if let Some(file) = &args.curve {
        return curve::run(file);
    }
    let BenchDecideArgs { nodes, existing, pods, workload, templates, zones, .. } = *args;
    if nodes == 0 || pods == 0 || templates == 0 || zones == 0 {
        bail!("a measurement needs nodes, pods, templates and zones: at least one of each");
    }
    let (figures, scheduler) = measure(&Shape { nodes, existing, pods, workload, templates, zones });
    let (rate, [p50, p99, p999]) = (figures.decisions_per_s, figures.percentiles_us);
    output::line(&format!(
        "{}: {nodes} nodes, {existing} pods there, {pods} pods come in {templates} templates: {rate:.0} pods/s, a decision \
         takes {p50:.1} µs (p99 {p99:.1} µs), {} placed",
        name(workload),
        figures.placed
    ))?;
    let copied = copy(&scheduler);
    let [half, most, longest] = copied.piece_us;
    output::line(&format!(
        "copied for a dry run in {} pieces between decisions: {half:.0} µs each (p95 {most:.0} µs, longest {longest:.0} µs); made a \
         state of in {:.0} ms on another thread",
        copied.pieces, copied.build_ms
    ))?;
    let figures = json!({
        "decisions_per_s": rate.round(),
        "p50_us": p50, "p99_us": p99, "p999_us": p999,
        "cpu_us_per_pod": figures.cpu_us_per_pod,
        "peak_rss_mib": figures.peak_rss_mib,
        "bytes_per_pod": figures.bytes_per_pod,
        "bytes_per_node": figures.bytes_per_node,
        "nodes": nodes, "existing": existing, "pods": pods, "templates": templates, "zones": zones,
        "workload": name(workload), "decisions": figures.decisions, "placed": figures.placed,
        "victims": figures.victims,
        "copy_pieces": copied.pieces, "copy_piece_p50_us": half, "copy_piece_p95_us": most, "copy_longest_us": longest, "copy_build_ms": copied.build_ms,
    });
    output::line(&figures.to_string())?;
    Ok(())
}

/// The name of a workload on the command line.
fn name(workload: DecideWorkload) -> String {
    workload.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
