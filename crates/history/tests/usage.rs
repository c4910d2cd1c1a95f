//! Usage: what was read comes back, full for hours and coarse after, and gives percentiles and peaks.

mod common;

use augur_history::*;
use common::*;

const CONTAINER_CPU: f64 = 0.5;

fn round(when: i64, pods: &[(&str, f64, f64)]) -> UsageRound {
    let pod = |(name, cpu, memory): &(&str, f64, f64)| PodSample {
        namespace: "default".into(),
        name: (*name).into(),
        containers: vec![ContainerSample { name: "main".into(), cpu: *cpu, memory: *memory }],
    };
    UsageRound {
        at: at(when),
        nodes: vec![NodeSample { name: "n1".into(), cpu: 2.0, memory: 8e9 }],
        pods: pods.iter().map(pod).collect(),
    }
}

/// Readings of one pod every 30 s for so long; its memory has a peak in the first hour.
fn read_for(h: &HistoryHandle, from: i64, span: i64) {
    let mut when = from;
    while when < from + span {
        let memory = if when < HOUR { 2e9 } else { 1e9 };
        assert!(h.observe_usage(round(when, &[("a", CONTAINER_CPU, memory), ("stranger", 1.0, 1.0)])));
        h.tick(at(when + 1));
        when += 30_000;
        if when % (10 * MINUTE) == 0 {
            h.flush();
        }
    }
    h.flush();
}

#[test]
fn series_are_full_for_hours_and_coarse_after_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    h.observe_pod(observation("a", "n1", at(0)));
    read_for(&h, 0, 10 * HOUR);
    drop((history, h));
    let history = open(dir.path());
    let h = history.handle();
    h.observe_pod(observation("a", "n1", at(10 * HOUR)));
    h.pods_listed(at(10 * HOUR));
    read_for(&h, 10 * HOUR, HOUR);
    let series = h.usage_series(SeriesOf::Pod("a"), at(0)).unwrap();
    assert_eq!(series.len(), 1, "one container, before and after the restart: {series:?}");
    let points = &series[0].points;
    assert!(points.is_sorted_by_key(|point| point.at));
    let (coarse, full): (Vec<UsagePoint>, Vec<UsagePoint>) =
        points.iter().copied().partition(|point| point.span_ms > 30_000);
    assert!(coarse.len() >= 36 && full.len() >= 5 * 120, "{} {}", coarse.len(), full.len());
    // Nothing is missing but the ten minutes that are not sealed yet.
    let covered: i64 = points.iter().map(|point| point.span_ms).sum();
    assert!(covered >= 11 * HOUR - 10 * MINUTE, "{covered}");
    assert!(points.iter().all(|point| (point.cpu.unwrap() / CONTAINER_CPU - 1.0).abs() < 0.02));
    assert!((coarse[0].memory_max.unwrap() / 2e9 - 1.0).abs() < 0.02);
    assert_eq!(h.usage_series(SeriesOf::Node("n1"), at(0)).unwrap().len(), 1);
    assert_eq!(h.usage_series(SeriesOf::All, at(10 * HOUR)).unwrap().len(), 2);
    assert_eq!(h.usage_series(SeriesOf::Pod("stranger"), at(0)).unwrap(), []);

    // And after the window nothing is left, names included.
    h.observe_pod(PodObservation { gone: true, ..observation("a", "n1", at(11 * HOUR)) });
    for hour in 0..8 * 24 {
        h.tick(at((12 + hour) * HOUR));
        h.flush();
    }
    assert_eq!(h.usage_series(SeriesOf::Pod("a"), at(0)).unwrap(), []);
    let summary = h.summary().unwrap();
    assert_eq!((summary.usage_bytes, summary.series), (0, 1), "the node's series goes on: {summary:?}");
}

#[test]
fn series_stay_within_their_budget() {
    let dir = tempfile::tempdir().unwrap();
    let options = HistoryOptions { usage_budget: 2_000, ..HistoryOptions::new(dir.path()) };
    let history = History::open(&options).unwrap();
    let h = history.handle();
    h.observe_pod(observation("a", "n1", at(0)));
    read_for(&h, 0, 8 * HOUR);
    let summary = h.summary().unwrap();
    assert!(summary.usage_bytes > 0 && summary.usage_bytes <= 2_000, "{summary:?}");
    let series = h.usage_series(SeriesOf::Pod("a"), at(0)).unwrap();
    assert!(series[0].points.first().unwrap().at > at(HOUR), "the oldest went first");
}

#[test]
fn percentiles_of_a_workload_and_the_peak_of_its_node() {
    let mut memory = Memory::new(std::time::Duration::from_secs(168 * 3600));
    for name in ["a", "b"] {
        memory.pod(&observation(name, "n1", at(0)));
    }
    for i in 0..200 {
        let when = i * 30_000;
        // One sample in twenty is high.
        let cpu = if i % 20 == 0 { 2.0 } else { 0.5 };
        memory.usage(&round(when, &[("a", cpu, 1e9), ("b", 0.5, 3e9)]));
        memory.node(&NodeObservation {
            name: "n1".into(),
            ready: true,
            cpu: Some(0.1),
            memory: Some(0.1),
            allocatable: Some((8.0, 10e9)),
            at: at(when),
            ..NodeObservation::default()
        });
    }
    let rates = memory.rates();
    let usage = rates.workloads[&workload("web")].usage.unwrap();
    assert_eq!(usage.samples, 400);
    let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.06;
    assert!(near(usage.cpu_p50, 0.5) && near(usage.cpu_p95, 0.5) && near(usage.cpu_p99, 2.0), "{usage:?}");
    assert!(near(usage.memory_p98, 3e9), "daily peaks of two pods: {usage:?}");
    let node = &rates.nodes["n1"];
    assert!(near(node.expected_cpu.unwrap(), 4.0), "two pods of that workload: {node:?}");
    assert!(near(node.peak_cpu.unwrap(), 0.5), "more than its own mean and spread: {node:?}");
    assert!(near(node.peak_memory.unwrap(), 0.6), "{node:?}");
    // Without its pods only its own readings speak.
    for name in ["a", "b"] {
        memory.pod(&PodObservation { gone: true, ..observation(name, "n1", at(2 * HOUR)) });
    }
    memory.usage(&round(2 * HOUR, &[]));
    assert!(memory.rates().nodes["n1"].peak_cpu.unwrap() < 0.2);
}

#[test]
fn readings_that_are_no_amounts_are_no_samples() {
    let mut memory = Memory::new(std::time::Duration::from_secs(168 * 3600));
    memory.pod(&observation("a", "n1", at(0)));
    for (i, cpu) in [f64::NAN, -1.0, f64::INFINITY, 0.5].into_iter().enumerate() {
        for repeat in 0..10 {
            memory.usage(&round((i as i64 * 10 + repeat) * 30_000, &[("a", cpu, 1e9)]));
        }
    }
    assert_eq!(memory.rates().workloads[&workload("web")].usage.unwrap().samples, 10);
    // A round from the past changes nothing.
    memory.usage(&round(0, &[("a", 100.0, 1e9)]));
    assert!(memory.rates().workloads[&workload("web")].usage.unwrap().cpu_p99 < 1.0);
}
