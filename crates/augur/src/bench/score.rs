//! What asking a model about 5,000 nodes takes for a pod of a kind seen before: [`measure`], part of `augur bench forest`.
//!
//! The predictor's whole way: looking through the nodes, taking the facts of the changed ones anew, features, codes, probabilities
//! and confidence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use augur_core::object::{Node, Pod, PodSpec, Resources};
use augur_core::predictor::{PredictRequest, Predictor as _};
use augur_core::state::{ClusterState, NodeSignals, NodeView};
use augur_core::time::Timestamp;
use augur_core::units::{Bytes, MilliCpu};
use augur_forest::{Bins, Calibrator, Forest, ForestParams, Model, Random};
use augur_learn::{
    FEATURE_COUNT, FEATURE_NAMES, InUse, LearnedModel, Lots, ModelPredictor, ModelSlot, PastSlot, SCHEMA,
};

/// Nodes of the cluster.
const NODES: usize = 5_000;
/// Nodes that change between two questions.
const CHANGED: usize = NODES / 100;
/// Rows that the model is trained on.
const ROWS: usize = 20_000;

/// The least times that were found.
pub struct Times {
    /// No node has changed.
    pub unchanged: Duration,
    /// One in a hundred has.
    pub changed: Duration,
}

/// Asks again and again while nodes change.
///
/// # Errors
/// When the model cannot be made, or does not answer.
pub fn measure(seed: u64, repeats: usize) -> anyhow::Result<Times> {
    let mut state = ClusterState::new();
    let names: Vec<String> = (0..NODES).map(|number| format!("node-{number}")).collect();
    for name in &names {
        let allocatable = Resources { cpu: MilliCpu(16_000), memory: Bytes(64 << 30), ..Resources::default() };
        state.apply_node(Node { name: name.as_str().into(), ready: true, allocatable, ..Node::default() });
    }
    let slot = ModelSlot::default();
    slot.set(InUse { champion: Some(Arc::new(model(seed)?)), ..InUse::default() });
    let predictor =
        ModelPredictor::new(slot, PastSlot::default(), Lots { seed, holdback: 0.0 }, Duration::from_secs(3600));
    let pod = Pod::new("uid", "default", "asked", Arc::new(PodSpec::default()));
    let mut times = Times { unchanged: Duration::MAX, changed: Duration::MAX };
    let mut predictions = Vec::with_capacity(NODES);
    for round in 0..=20 * repeats.max(1) {
        for place in 0..CHANGED {
            let name = &names[(round * CHANGED + place * 97) % NODES];
            let usage = (round + place) % 100;
            let signals = NodeSignals { cpu_usage: Some(usage as f64 / 100.0), ..NodeSignals::at(Timestamp::EPOCH) };
            state.set_signals(name, Some(signals));
        }
        let candidates: Vec<NodeView<'_>> = names.iter().filter_map(|name| state.node(name)).collect();
        // What the cluster as a whole shows would be another question; here only nodes change.
        let mut cluster = state.summary();
        (cluster.average_cpu_usage, cluster.average_memory_usage) = (Some(0.5), Some(0.5));
        let request = PredictRequest { pod: &pod, cluster, candidates: &candidates, now: Timestamp::EPOCH };
        for best in [&mut times.changed, &mut times.unchanged] {
            predictions.clear();
            let began = Instant::now();
            let asked = predictor.predict(&request, &mut predictions);
            let took = began.elapsed();
            asked.map_err(|fallback| anyhow!("the model does not answer: {fallback}"))?;
            // In the first round all nodes are new.
            if round > 0 {
                *best = took.min(*best);
            }
        }
        if predictions.len() != NODES {
            return Err(anyhow!("{} answers for {NODES} nodes", predictions.len()));
        }
    }
    Ok(times)
}

/// A forest of the feature schema, of 100 trees and depth 10.
fn model(seed: u64) -> anyhow::Result<LearnedModel> {
    let mut random = Random::new(seed);
    let columns: Vec<Vec<f32>> =
        (0..FEATURE_COUNT).map(|_| (0..ROWS).map(|_| 100.0 * random.unit() as f32).collect()).collect();
    let columns: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
    let labels: Vec<f32> =
        (0..ROWS).map(|row| f32::from(u8::from(100.0 * random.unit() as f32 * 2.0 < columns[2][row]))).collect();
    let bins = Bins::fit(&FEATURE_NAMES, &columns, 128)?;
    let params = ForestParams { seed, threads: 2, ..ForestParams::default() };
    let forest = Forest::train(&bins, &bins.encode(&columns)?, &labels, &[], &params)?;
    let metadata = BTreeMap::from([("schema".to_owned(), SCHEMA.to_owned()), ("skill".to_owned(), "1".to_owned())]);
    LearnedModel::of_file(Model { bins, forest, blended: None, calibrator: Calibrator::Identity, metadata })
        .context("the model of the measurement")
}
