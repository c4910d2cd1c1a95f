//! One measurement: a cluster is set up, pods come one by one, and every decision is timed.

use std::time::{Duration, Instant};

use augur_core::object::Pod;
use augur_core::predictor::NoModel;
use augur_core::scheduler::{BindResult, Effect, Input, Scheduler, SchedulerConfig};
use augur_core::state::StateCopy;
use augur_core::time::Timestamp;

use super::cluster;
use crate::bench::process;
use crate::bench::sample::Sample;
use crate::cli::DecideWorkload;
use crate::engine::PIECE;

/// What a pod that made room waits at most before it is decided again, in the time of the scheduler.
const LONGEST_BACKOFF: Duration = Duration::from_secs(11);

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub nodes: usize,
    pub existing: usize,
    pub pods: usize,
    pub workload: DecideWorkload,
    pub templates: usize,
    pub zones: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Figures {
    /// Pods that came, by the time from the first to the last.
    pub decisions_per_s: f64,
    /// Durations of a decision: p50, p99, p999.
    pub percentiles_us: [f64; 3],
    pub cpu_us_per_pod: f64,
    pub peak_rss_mib: u64,
    /// What a pod that is there takes; nothing to tell without any.
    pub bytes_per_pod: Option<u64>,
    pub bytes_per_node: u64,
    pub decisions: usize,
    pub placed: usize,
    pub victims: usize,
}

/// What copying the cluster for a dry run takes.
#[derive(Debug)]
pub struct CopyFigures {
    /// Pieces, between which decisions go on.
    pub pieces: usize,
    /// How long one takes: p50, p95 and the longest, which on a busy machine is that of a switch to another process.
    pub piece_us: [f64; 3],
    /// Making a state of the copy, on another thread.
    pub build_ms: f64,
}

/// Copies the scheduler's cluster as the engine does for a dry run.
pub fn copy(scheduler: &Scheduler) -> CopyFigures {
    let micros = |duration: Duration| duration.as_nanos() as f64 / 1e3;
    let mut copy = StateCopy::begin(scheduler.state());
    let mut sample = Sample::default();
    loop {
        let began = Instant::now();
        let done = copy.advance(scheduler.state(), PIECE);
        sample.add(began.elapsed());
        if done {
            break;
        }
    }
    let began = Instant::now();
    let state = copy.build();
    let build_ms = micros(began.elapsed()) / 1e3;
    drop(state);
    CopyFigures { pieces: sample.len(), piece_us: sample.percentiles([0.5, 0.95, 1.0]).map(micros), build_ms }
}

/// Runs one measurement; also gives the scheduler back, as it is then.
pub fn measure(shape: &Shape) -> (Figures, Scheduler) {
    let mut run = Run {
        scheduler: Scheduler::new(SchedulerConfig::default()),
        effects: Vec::new(),
        placed: 0,
        victims: 0,
        now: Timestamp::EPOCH,
    };
    run.step(Input::BudgetsReset(Vec::new()));
    let before_nodes = process::resident_bytes().unwrap_or(0);
    for index in 0..shape.nodes {
        run.step(Input::NodeApplied(cluster::node(index, shape.zones)));
    }
    let before_pods = process::resident_bytes().unwrap_or(0);
    let existing = cluster::existing(shape.workload, shape.nodes, shape.existing);
    for index in 0..shape.existing {
        let node = Some(format!("node-{}", index % shape.nodes).into());
        run.step(Input::PodApplied(Pod { node, ..existing.pod(&format!("existing-{index}")) }));
    }
    let after_pods = process::resident_bytes().unwrap_or(0);
    let templates = cluster::templates(shape.workload, shape.templates, shape.zones);

    let mut sample = Sample::default();
    let cpu = process::cpu_time().unwrap_or_default();
    let began = Instant::now();
    for index in 0..shape.pods {
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
    let each = |bytes: u64, count: usize| (count > 0).then(|| bytes / count as u64);
    let figures = Figures {
        decisions_per_s: shape.pods as f64 / took.as_secs_f64(),
        percentiles_us: sample.percentiles([0.5, 0.99, 0.999]).map(micros),
        cpu_us_per_pod: micros(cpu) / shape.pods as f64,
        peak_rss_mib: process::peak_bytes().unwrap_or(0) >> 20,
        bytes_per_pod: each(after_pods.saturating_sub(before_pods), shape.existing),
        bytes_per_node: each(before_pods.saturating_sub(before_nodes), shape.nodes).unwrap_or(0),
        decisions: sample.len(),
        placed: run.placed,
        victims: run.victims,
    };
    (figures, run.scheduler)
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
                | Effect::ClearNomination { .. }
                | Effect::Prepare { .. }
                // There are no extenders here.
                | Effect::Consult { .. }
                | Effect::Abandoned { .. }
                | Effect::FreeClaim { .. }
                | Effect::Recall { .. } => {}
            }
        }
        if made_room {
            self.now = self.now + LONGEST_BACKOFF;
            self.step(Input::Tick);
        }
        Some(took)
    }
}
