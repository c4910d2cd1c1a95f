//! `augur bench decide`: the decision loop alone, state updates included, without HTTP, on one thread.
//!
//! Every pod takes its whole way through the state machine: added, decided, assumed, bound and confirmed; victims of preemption go
//! at once.

mod cluster;

use std::time::{Duration, Instant};

use anyhow::bail;
use augur_core::object::Pod;
use augur_core::predictor::NoModel;
use augur_core::scheduler::{BindResult, Effect, Input, Scheduler, SchedulerConfig};
use augur_core::time::Timestamp;
use serde_json::json;

use super::process;
use super::sample::Sample;
use crate::cli::BenchDecideArgs;
use crate::output;

/// What a pod that made room waits at most before it is decided again, in the time of the scheduler.
const LONGEST_BACKOFF: Duration = Duration::from_secs(11);

/// Runs the measurement and prints it.
///
/// # Errors
/// When there is nothing to measure, or the output cannot be written.
pub fn run(args: &BenchDecideArgs) -> anyhow::Result<()> {
    if args.nodes == 0 || args.pods == 0 || args.templates == 0 {
        bail!("a measurement needs nodes, pods and templates: at least one of each");
    }
    let mut run = Run {
        scheduler: Scheduler::new(SchedulerConfig::default()),
        effects: Vec::new(),
        placed: 0,
        victims: 0,
        now: Timestamp::EPOCH,
    };
    let before_nodes = process::resident_bytes().unwrap_or(0);
    for index in 0..args.nodes {
        run.step(Input::NodeApplied(cluster::node(index)));
    }
    let before_pods = process::resident_bytes().unwrap_or(0);
    let existing = cluster::existing(args.workload, args.nodes, args.existing);
    for index in 0..args.existing {
        let node = Some(format!("node-{}", index % args.nodes).into());
        run.step(Input::PodApplied(Pod { node, ..existing.pod(&format!("existing-{index}")) }));
    }
    let after_pods = process::resident_bytes().unwrap_or(0);
    let templates = cluster::templates(args.workload, args.templates);

    let mut sample = Sample::default();
    let cpu = process::cpu_time().unwrap_or_default();
    let began = Instant::now();
    for index in 0..args.pods {
        let pod = templates[index % templates.len()].pod(&format!("pod-{index}"));
        run.step(Input::PodApplied(pod));
        // A pod that makes room for itself comes back when its victims are gone.
        while let Some(took) = run.decide() {
            sample.add(took);
        }
    }
    let took = began.elapsed();
    let cpu = process::cpu_time().unwrap_or_default().saturating_sub(cpu);

    let micros = |duration: Duration| duration.as_nanos() as f64 / 1e3;
    let [p50, p99, p999] = sample.percentiles([0.5, 0.99, 0.999]).map(micros);
    let rate = args.pods as f64 / took.as_secs_f64();
    let each = |bytes: u64, count: usize| bytes / count.max(1) as u64;
    output::line(&format!(
        "{:?}: {} nodes, {} pods there, {} pods come in {} templates: {rate:.0} pods/s, a decision takes {p50:.1} µs \
         (p99 {p99:.1} µs), {} placed",
        args.workload, args.nodes, args.existing, args.pods, args.templates, run.placed
    ))?;
    let figures = json!({
        "decisions_per_s": rate.round(),
        "p50_us": p50, "p99_us": p99, "p999_us": p999,
        "cpu_us_per_pod": micros(cpu) / args.pods as f64,
        "peak_rss_mib": process::peak_bytes().unwrap_or(0) >> 20,
        "bytes_per_pod": each(after_pods.saturating_sub(before_pods), args.existing),
        "bytes_per_node": each(before_pods.saturating_sub(before_nodes), args.nodes),
        "nodes": args.nodes, "existing": args.existing, "pods": args.pods, "templates": args.templates,
        "workload": format!("{:?}", args.workload), "decisions": sample.len(), "placed": run.placed,
        "victims": run.victims,
    });
    output::line(&figures.to_string())?;
    Ok(())
}

/// The scheduler, and what became of its decisions.
struct Run {
    scheduler: Scheduler,
    effects: Vec<Effect>,
    placed: usize,
    victims: usize,
    now: Timestamp,
}

impl Run {
    fn step(&mut self, input: Input) {
        self.scheduler.step(input, self.now, &mut self.effects);
    }

    /// Takes a decision and carries it out; how long the decision took, or nothing if none was due.
    fn decide(&mut self) -> Option<Duration> {
        let began = Instant::now();
        if !self.scheduler.run_once(&NoModel::default(), self.now, &mut self.effects) {
            return None;
        }
        let took = began.elapsed();
        let mut made_room = false;
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Bind { pod, node, .. } => {
                    self.placed += 1;
                    self.step(Input::BindResult { uid: pod.uid.clone(), result: BindResult::Bound });
                    self.step(Input::PodApplied(Pod { node: Some(node), ..Pod::clone(&pod) }));
                }
                Effect::Evict { victim, .. } => {
                    self.victims += 1;
                    made_room = true;
                    self.step(Input::EvictionResult { uid: victim.uid.clone(), result: Ok(()) });
                    self.step(Input::PodDeleted(victim.uid.clone()));
                }
                Effect::Unschedulable { .. }
                | Effect::Prepare { .. }
                | Effect::Abandoned { .. }
                | Effect::FreeClaim { .. } => {}
            }
        }
        if made_room {
            self.now = self.now + LONGEST_BACKOFF;
            self.step(Input::Tick);
        }
        Some(took)
    }
}
