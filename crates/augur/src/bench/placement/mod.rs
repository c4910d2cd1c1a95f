//! `augur bench placement`: policies in the same simulated worlds, by virtual time; what became of their placements, with
//! intervals over seeds. Entry point: [`run`]; one run of one policy is [`run::run`].

mod dice;
mod eyes;
pub mod labels;
mod ledger;
mod mind;
mod oracle;
mod policy;
mod report;
mod result;
mod run;
mod shift;
mod table;
#[cfg(test)]
mod tests;
mod traces;
mod trimaran;
mod world;

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};

use crate::cli::{BenchPlacementArgs, PlacementFormat};
use crate::output;
pub use policy::Policy;
use result::RunResult;
use traces::Usage;
pub use world::Scenario;
use world::World;

/// Runs at once at most: one for each core of a small machine.
const WORKERS: usize = 2;

/// What all runs measured.
struct Measured {
    scenario: Scenario,
    nodes: usize,
    hours: f64,
    policies: Vec<Policy>,
    seeds: Vec<u64>,
    /// By policy, then by seed.
    runs: Vec<Vec<RunResult>>,
    /// Of `shift`, the same in worlds whose nodes were from the start as they are after the shift.
    settled: Vec<Vec<RunResult>>,
    /// Where workloads' usage came from.
    usage: Usage,
    seconds: f64,
}

impl Measured {
    /// A column of one policy, by seed.
    fn values(&self, policy: usize, of: fn(&RunResult) -> f64) -> Vec<f64> {
        self.runs[policy].iter().map(of).collect()
    }

    /// The place of a policy, if it took part.
    fn find(&self, policy: Policy) -> Option<usize> {
        self.policies.iter().position(|known| *known == policy)
    }
}

/// Runs the measurement, prints it, and writes the report.
///
/// # Errors
/// When there is nothing to measure, or something cannot be written.
pub fn run(args: &BenchPlacementArgs) -> anyhow::Result<()> {
    if args.nodes < 3 || args.seeds == 0 || !(args.hours > 0.0 && args.hours <= 1_000.0) {
        bail!("a measurement needs at least 3 nodes, one seed, and from 0 to 1000 hours");
    }
    let mut policies = args.policies.clone();
    let mut seen = std::collections::BTreeSet::new();
    policies.retain(|policy| seen.insert(*policy));
    let seeds = args.first_seed..args.first_seed.saturating_add(args.seeds);
    let usage = usage(args.traces.as_deref())?;
    let measured = measure(args.scenario, args.nodes, args.hours, policies, seeds, usage, &|done, of, text| {
        // Progress goes to standard error, so that standard output can be read by programs.
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "[{done:>3}/{of}] {text}");
    });
    if let Some(path) = &args.report {
        std::fs::write(path, report::html(&measured)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.format == PlacementFormat::Text {
        output::line(&table::text(&measured))?;
    }
    output::line(&table::json(&measured).to_string())?;
    Ok(())
}

/// Usage by `--traces`: a folder, `off`, or, when nothing is said, what `AUGUR_SHARED` has.
fn usage(traces: Option<&Path>) -> anyhow::Result<Usage> {
    match (traces, std::env::var_os("AUGUR_SHARED")) {
        (Some(off), _) if off == Path::new("off") => Ok(Usage::generated()),
        (Some(folder), _) => Usage::load(folder, true),
        (None, Some(shared)) => Usage::load(&Path::new(&shared).join("traces"), false),
        (None, None) => Ok(Usage::generated()),
    }
}

fn measure(
    scenario: Scenario,
    nodes: usize,
    hours: f64,
    policies: Vec<Policy>,
    seeds: Range<u64>,
    usage: Usage,
    progress: &(dyn Fn(usize, usize, String) + Sync),
) -> Measured {
    let began = Instant::now();
    let seeds: Vec<u64> = seeds.collect();
    let worlds = if scenario == Scenario::Shift { 2 } else { 1 };
    let jobs: Vec<(usize, usize, usize)> = (0..seeds.len())
        .flat_map(|seed| (0..policies.len()).flat_map(move |policy| (0..worlds).map(move |of| (seed, policy, of))))
        .collect();
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let results = Mutex::new(vec![vec![vec![None::<RunResult>; seeds.len()]; policies.len()]; worlds]);
    let work = || {
        while let Some(&(seed, policy, of)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            let make = if of == 0 { World::new } else { World::settled };
            let world = make(scenario, nodes, hours, seeds[seed], &usage);
            let result = run::run(&world, policies[policy]);
            let text = format!(
                "seed {:>2} {:<16} {:>6} placements, {:>5.1} bad per 1,000, {:.1} s{}",
                seeds[seed],
                policies[policy].name(),
                result.tally.placements,
                (result::METRICS[0].of)(&result),
                started.elapsed().as_secs_f64(),
                if of == 0 { "" } else { " (settled)" }
            );
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len(), text);
            // A poisoned lock means that the other worker panicked, which ends the scope too.
            if let Ok(mut results) = results.lock() {
                results[of][policy][seed] = Some(result);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let by_seed = |by_seed: Vec<Option<RunResult>>| by_seed.into_iter().flatten().collect();
    let mut results = results.into_iter().map(|by_policy| by_policy.into_iter().map(by_seed).collect());
    let (runs, settled) = (results.next().unwrap_or_default(), results.next().unwrap_or_default());
    Measured { scenario, nodes, hours, policies, seeds, runs, settled, usage, seconds: began.elapsed().as_secs_f64() }
}
