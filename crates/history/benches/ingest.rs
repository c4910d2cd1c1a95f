//! What a placed pod costs history: its decision, three observations, and all that goes to disk for them.
//!
//! `cargo bench -p augur-history`. Also tells how long reopening and listing take.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use augur_history::*;
use common::{at, decision, observation, open};

/// Processor time of all threads so far, which other load does not stretch as it does the wall clock; Linux only.
fn on_cpu() -> Option<Duration> {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        sum += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(sum))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PODS: u32 = 20_000;
    let dir = tempfile::tempdir()?;
    let history = open(dir.path());
    let h = history.handle();
    let (started, cpu) = (Instant::now(), on_cpu());
    for i in 0..PODS {
        let (name, node) = (format!("pod-{i}"), format!("node-{}", i % 1_000));
        let when = i64::from(i) / 2;
        let mut record = decision(&h, &name, Some(&node), at(when));
        let part = |plugin: &str| PluginPart { plugin: plugin.into(), points: 61.5 };
        let parts: Vec<_> = ["TaintToleration", "NodeResourcesFit", "EnhancedScoring"].map(part).into();
        record.scores = vec![NodeScore { node: node.as_str().into(), total: 184.5, parts }; 2];
        record.features = vec![Some(0.5); 13];
        let pending = PodObservation { phase: PodPhase::Pending, ready: false, ..observation(&name, &node, at(when)) };
        let running = observation(&name, &node, at(when + 1));
        let ended =
            PodObservation { phase: PodPhase::Succeeded, ready: false, ..observation(&name, &node, at(when + 2)) };
        let mut posted = h.record_decision(record);
        for seen in [pending, running, ended] {
            posted &= h.observe_pod(seen);
        }
        if !posted || i % 2_000 == 0 {
            h.flush();
        }
    }
    h.flush();
    let wall = started.elapsed() / PODS;
    let cpu = on_cpu().zip(cpu).map(|(after, before)| (after - before) / PODS);
    let summary = h.summary()?;
    println!(
        "a pod: {wall:?} wall, {cpu:?} cpu, {} bytes of file; dropped {}",
        summary.file_bytes / u64::from(PODS),
        h.status().dropped
    );
    drop((history, h));
    let started = Instant::now();
    let history = open(dir.path());
    println!("reopening {} decisions: {:?}", summary.decisions, started.elapsed());
    let started = Instant::now();
    let found = history.handle().decisions(&DecisionFilter { limit: 100, ..DecisionFilter::default() })?;
    println!("listing {}: {:?}", found.len(), started.elapsed());
    Ok(())
}
