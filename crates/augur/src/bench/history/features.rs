//! What the features of one pod cost: a row for each node, of which those that changed are renewed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use augur_history::{HistoryHandle, NodeRates, Rates};

use super::world::Cluster;

/// Nodes that change between two rounds: pods come, go and fail on them.
pub const CHANGED: usize = 100;

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
pub fn features(h: &HistoryHandle, cluster: &Cluster) -> Duration {
    let rates: Arc<Rates> = h.rates();
    let mut columns = Columns { rows: Default::default(), values: Vec::new() };
    for (index, name) in cluster.nodes.iter().enumerate() {
        columns.rows.insert(name.clone(), index);
        columns.values.push(rates.nodes.get(name).map_or([f32::NAN; 8], |rates| row(rates)));
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
        let workload = &cluster.workloads[(pod * 7) % cluster.workloads.len()];
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
