//! `augur bench history`: what seven days of memory cost at the size of a large cluster.
//!
//! Rounds of readings are made up (slow waves and noise, another for each container) and handed to a history as the engine hands
//! them. After some hours a copy of the open file, which is what a crash leaves, is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use augur_history::{
    ContainerSample, History, HistoryHandle, HistoryOptions, NodeObservation, NodeRates, NodeSample, PodKey,
    PodObservation, PodPhase, PodSample, Rates, UnixMillis, UsageRound, WorkloadKey,
};
use serde_json::json;

use super::process;
use crate::cli::BenchHistoryArgs;
use crate::output;

/// Tuesday, 2026-01-06, noon.
const START: i64 = 1_767_700_800_000;
const ROUND_MS: i64 = 30_000;
/// Pods of one workload.
const REPLICAS: usize = 30;
/// Nodes handed over in one turn of the scheduler thread, as the engine does.
const NODES_PER_TURN: usize = 128;
/// Nodes that change between two rounds: pods come, go and fail on them.
const CHANGED: usize = 100;

/// Runs the measurement and prints it.
///
/// # Errors
/// When the history cannot be opened or read.
pub fn run(args: &BenchHistoryArgs) -> anyhow::Result<()> {
    let folder = Folder::new("bench")?;
    let cluster = Cluster::new(args);
    let before = process::resident_bytes().unwrap_or(0);
    let history = History::open(&HistoryOptions::new(&folder.0))?;
    let h = history.handle();
    cluster.come(&h);
    let rounds = i64::from(args.hours) * 3_600_000 / ROUND_MS;
    let cpu_before = history_cpu();
    let mut longest_post = Duration::ZERO;
    for round in 0..rounds {
        longest_post = longest_post.max(cluster.round(&h, round));
        h.flush();
    }
    settle(&h, &cluster, rounds)?;
    let round_cpu = (history_cpu() - cpu_before) / u32::try_from(rounds.max(1))?;
    let resident = process::resident_bytes().unwrap_or(0).saturating_sub(before);
    let summary = h.summary()?;
    // Hours that are coarse by now, and the full ones, which are always six to eight.
    let (coarse, full) = shares(&h, &cluster)?;
    let seven_days = coarse * 168 + full;
    let features = features(&h, &cluster, rounds);
    let (image, decisions) = (folder.crash()?, summary.decisions);
    let began = Instant::now();
    let again = History::open(&HistoryOptions::new(&image.0))?;
    let known = again.handle().rates();
    let reopening = began.elapsed();
    anyhow::ensure!(known.nodes.len() == args.nodes, "{} nodes after the crash", known.nodes.len());
    drop(again);
    drop((history, h));

    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    output::line(&format!(
        "{} nodes, {} pods, {} h of rounds\n\
         a round            {:.0} ms CPU; the scheduler thread is held for {:.2} ms at most\n\
         disk, seven days   {:.0} MiB of series ({:.1} MiB an hour when coarse, {:.0} MiB of full readings)\n\
         memory             {:.0} MiB beyond the names of the cluster\n\
         features           {:.1} µs for a pod on all nodes, {CHANGED} of them changed since the last one\n\
         reopening          {:.2} s after a crash ({:.0} MiB, {decisions} decisions)",
        args.nodes,
        args.pods,
        args.hours,
        round_cpu.as_secs_f64() * 1e3,
        longest_post.as_secs_f64() * 1e3,
        mib(seven_days),
        mib(coarse),
        mib(full),
        mib(resident),
        features.as_secs_f64() * 1e6,
        reopening.as_secs_f64(),
        mib(summary.file_bytes),
    ))?;
    output::line(
        &json!({
            "history": {
                "nodes": args.nodes, "pods": args.pods, "hours": args.hours, "dropped": summary_dropped(&image)?,
                "round_cpu_ms": round_cpu.as_micros() as f64 / 1e3, "longest_post_us": longest_post.as_micros() as u64,
                "seven_days_bytes": seven_days, "file_bytes": summary.file_bytes, "resident_bytes": resident,
                "features_us": features.as_nanos() as f64 / 1e3, "reopen_ms": reopening.as_millis() as u64,
            }
        })
        .to_string(),
    )?;
    Ok(())
}

/// The image opened once more must hold nothing that was dropped or damaged.
fn summary_dropped(image: &Folder) -> anyhow::Result<u64> {
    let history = History::open(&HistoryOptions::new(&image.0))?;
    let status = history.handle().status();
    anyhow::ensure!(status.set_aside.is_none(), "the image of the crash was damaged");
    Ok(status.dropped)
}

/// The names of a cluster, as the scheduler has them anyway.
struct Cluster {
    nodes: Vec<Arc<str>>,
    pods: Vec<(Arc<str>, Arc<str>, Arc<str>)>,
    workloads: Vec<WorkloadKey>,
    namespace: Arc<str>,
    container: Arc<str>,
}

impl Cluster {
    fn new(args: &BenchHistoryArgs) -> Self {
        let workload = |i: usize| WorkloadKey {
            namespace: "shop".into(),
            kind: "Deployment".into(),
            name: format!("service-{i}").into(),
        };
        let nodes: Vec<Arc<str>> = (0..args.nodes.max(1)).map(|i| format!("node-{i}").into()).collect();
        let pods = (0..args.pods).map(|i| {
            let name = format!("service-{}-5d8f9c7b6-{i:05}", i / REPLICAS).into();
            (name, format!("00000000-0000-4000-8000-{i:012}").into(), nodes[i % nodes.len()].clone())
        });
        Self {
            pods: pods.collect(),
            nodes,
            workloads: (0..=args.pods / REPLICAS).map(workload).collect(),
            namespace: "shop".into(),
            container: "main".into(),
        }
    }

    fn observation(&self, index: usize, at: UnixMillis) -> PodObservation {
        let (name, uid, node) = &self.pods[index];
        PodObservation {
            pod: PodKey { namespace: self.namespace.clone(), name: name.clone(), uid: uid.clone() },
            workload: self.workloads[index / REPLICAS].clone(),
            revision: "5d8f9c7b6".into(),
            node: Some(node.clone()),
            phase: PodPhase::Running,
            ready: true,
            at,
            ..PodObservation::default()
        }
    }

    fn come(&self, h: &HistoryHandle) {
        for index in 0..self.pods.len() {
            h.observe_pod(self.observation(index, UnixMillis(START)));
            if index % 4_096 == 0 {
                h.flush();
            }
        }
        h.flush();
    }

    /// Hands over a round; answers how long the scheduler thread was held at a time.
    fn round(&self, h: &HistoryHandle, round: i64) -> Duration {
        let at = UnixMillis(START + round * ROUND_MS);
        let wave = |i: usize| {
            let phase = i as f64 * 0.7;
            let noise = hash(i as u64 ^ ((round as u64) << 24)) - 0.5;
            (1.0 + 0.4 * (round as f64 / 500.0 + phase).sin()) * (1.0 + 0.1 * noise)
        };
        let pods = self.pods.iter().enumerate().map(|(i, (name, ..))| PodSample {
            namespace: self.namespace.clone(),
            name: name.clone(),
            containers: vec![ContainerSample {
                name: self.container.clone(),
                cpu: 0.2 * wave(i),
                memory: 3e8 * (1.0 + 0.02 * (wave(i + 7) - 1.0)),
            }],
        });
        let nodes = self.nodes.iter().enumerate().map(|(i, name)| NodeSample {
            name: name.clone(),
            cpu: 8.0 * wave(i),
            memory: 2e10 * (1.0 + 0.1 * (wave(i + 3) - 1.0)),
        });
        h.observe_usage(UsageRound { at, nodes: nodes.collect(), pods: pods.collect() });
        let mut longest = Duration::ZERO;
        for (turn, names) in self.nodes.chunks(NODES_PER_TURN).enumerate() {
            let began = Instant::now();
            for (i, name) in names.iter().enumerate() {
                h.observe_node(NodeObservation {
                    name: name.clone(),
                    ready: true,
                    cpu: Some(0.5 * wave(turn * NODES_PER_TURN + i)),
                    memory: Some(0.5),
                    allocatable: Some((16.0, 6.4e10)),
                    at,
                    ..NodeObservation::default()
                });
            }
            longest = longest.max(began.elapsed());
        }
        h.tick(at);
        longest
    }
}

/// A number from 0 to 1 that looks random.
fn hash(value: u64) -> f64 {
    let mut x = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x >> 11) as f64 / (1u64 << 53) as f64
}

/// Waits until what is due is coarse.
fn settle(h: &HistoryHandle, cluster: &Cluster, rounds: i64) -> anyhow::Result<()> {
    let mut last = u64::MAX;
    for more in 0..200 {
        h.tick(UnixMillis(START + rounds * ROUND_MS + more));
        h.observe_pod(cluster.observation(0, UnixMillis(START + rounds * ROUND_MS + more)));
        h.flush();
        let held = h.summary()?.usage_bytes;
        if held == last {
            break;
        }
        last = held;
    }
    Ok(())
}

/// Bytes of an hour of coarse series, and of all full ones.
fn shares(h: &HistoryHandle, cluster: &Cluster) -> anyhow::Result<(u64, u64)> {
    let (coarse, hours, full) = h.usage_bytes()?;
    anyhow::ensure!(
        hours > 0,
        "no hour is coarse yet; more than eight --hours are needed ({} pods)",
        cluster.pods.len()
    );
    Ok((coarse / hours, full))
}

/// What history says of each node, as columns that a predictor reads.
struct Columns {
    rows: std::collections::HashMap<Arc<str>, usize>,
    values: Vec<[f32; 8]>,
}

fn row(rates: &NodeRates) -> [f32; 8] {
    let rate = |rate: Option<augur_history::Rate>| rate.map_or(f32::NAN, |rate| rate.value as f32);
    let value = |value: Option<f64>| value.map_or(f32::NAN, |value| value as f32);
    [
        rate(rates.failure_rate),
        rate(rates.restart_rate),
        rate(rates.oom_rate),
        rate(rates.eviction_rate),
        value(rates.stability_score),
        value(rates.mean_cpu),
        value(rates.peak_cpu),
        value(rates.peak_memory),
    ]
}

/// The features of one pod on all nodes, from columns in which the nodes that changed are renewed.
fn features(h: &HistoryHandle, cluster: &Cluster, rounds: i64) -> Duration {
    let rates: Arc<Rates> = h.rates();
    let mut columns = Columns { rows: Default::default(), values: Vec::new() };
    for (index, name) in cluster.nodes.iter().enumerate() {
        columns.rows.insert(name.clone(), index);
        columns.values.push(rates.nodes.get(name).map_or([f32::NAN; 8], row));
    }
    let mut best = Duration::MAX;
    let mut matrix: Vec<[f32; 12]> = vec![[0.0; 12]; columns.values.len()];
    for pod in 0..200usize {
        let changed: Vec<_> = (0..CHANGED).map(|i| &cluster.nodes[(pod * 97 + i * 31) % cluster.nodes.len()]).collect();
        let began = Instant::now();
        for name in changed {
            if let (Some(index), Some(rates)) = (columns.rows.get(name), rates.nodes.get(name)) {
                columns.values[*index] = row(rates);
            }
        }
        let workload = &cluster.workloads[(pod + rounds as usize) % cluster.workloads.len()];
        let of_pod = rates.of_pod(workload, "5d8f9c7b6");
        let known = rates.workloads.get(workload).and_then(|w| w.usage);
        let of_pod = [
            of_pod.and_then(|p| p.rates.failure).map_or(f32::NAN, |r| r.value as f32),
            of_pod.and_then(|p| p.rates.oom).map_or(f32::NAN, |r| r.value as f32),
            known.map_or(f32::NAN, |u| u.cpu_p95 as f32),
            known.map_or(f32::NAN, |u| u.memory_p98 as f32),
        ];
        for (features, node) in matrix.iter_mut().zip(&columns.values) {
            features[..8].copy_from_slice(node);
            features[8..].copy_from_slice(&of_pod);
        }
        best = best.min(began.elapsed());
        std::hint::black_box(&matrix);
    }
    best
}

/// CPU time of history's thread so far.
fn history_cpu() -> Duration {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").trim() == "augur-history" {
            nanos += read("schedstat").split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Duration::from_nanos(nanos)
}

/// A folder of this process that goes when it does.
struct Folder(PathBuf);

impl Folder {
    fn new(what: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("augur-history-{what}-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// A copy of the open file as a crash would leave it.
    fn crash(&self) -> anyhow::Result<Self> {
        let image = Self::new("crash")?;
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            std::fs::copy(entry.path(), image.0.join(entry.file_name())).context("cannot copy the file")?;
        }
        Ok(image)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
