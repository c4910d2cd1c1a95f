//! What the service itself adds to a prediction: reading the body, and writing the answer for 50 and for 5,000 nodes.
//!
//! `cargo bench -p augur-api`. The engine behind it answers at once; `augur bench predict` measures the whole.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use augur_api::dto::{Outlook, Prediction, Thresholds, WhatIfAnswer, WhatIfBody};
use augur_api::*;
use augur_clock::Clock;
use augur_history::{History, HistoryOptions};
use common::{NOW, call, prediction, request, text};
use futures::FutureExt as _;

/// Answers every question with a copy of one prediction.
struct Canned(Prediction, common::Fake);

impl SchedulerBackend for Canned {
    fn health(&self) -> Health {
        self.1.health()
    }
    fn nodes(&self, with_pods: bool) -> Answer<Vec<NodeView>> {
        self.1.nodes(with_pods)
    }
    fn predict(&self, _query: PodQuery) -> Answer<Prediction> {
        let answer = self.0.clone();
        async move { Ok(answer) }.boxed()
    }
    fn what_if(&self, question: WhatIfBody) -> Answer<WhatIfAnswer> {
        self.1.what_if(question)
    }
    fn outlook(&self, namespace: String, name: String) -> Answer<Outlook> {
        self.1.outlook(namespace, name)
    }
    fn features(&self, query: PodQuery) -> Answer<Vec<(Arc<str>, augur_learn::FeatureVector)>> {
        self.1.features(query)
    }
    fn train(&self, token: Option<http::HeaderValue>) -> Answer<serde_json::Value> {
        self.1.train(token)
    }
    fn contrast(&self, _: &str, _: &[Option<f64>], _: &[Option<f64>]) -> Option<Vec<(&'static str, f64)>> {
        None
    }
    fn preempt(&self, pod: Box<serde_json::value::RawValue>, candidates: Vec<Candidate>) -> Answer<Vec<bool>> {
        self.1.preempt(pod, candidates)
    }
    fn bind(&self, binding: Binding) -> Answer<()> {
        self.1.bind(binding)
    }
    fn model(&self) -> ModelStatus {
        self.1.model()
    }
}

/// Time that this thread has had a processor, which other load does not stretch as it does the wall clock; Linux only.
fn on_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let body = r#"{"pod_name":"a","pod_namespace":"default","pod_spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"500m","memory":"256Mi"}}}]}}"#;
    for nodes in [50, 5_000] {
        let dir = tempfile::tempdir()?;
        let history = History::open(&HistoryOptions::new(dir.path()))?;
        let query =
            PodQuery { namespace: "default".into(), name: "a".into(), source: PodSource::Cluster, record: false };
        let fake = common::Fake { history: history.handle(), kubernetes: CheckStatus::Healthy };
        let router = learner_router(Services {
            backend: Arc::new(Canned(prediction(&query, None, nodes), fake)),
            learner: None,
            history: history.handle(),
            clock: Clock::manual(NOW.parse()?),
            metrics: Arc::new(SchedulerMetrics::new()),
            access: Access::Loopback,
            reviewer: None,
            configz: Arc::default(),
            thresholds: Thresholds::default(),
            model: ModelOptions::default(),
            version: String::new(),
        });
        let mut took = Vec::new();
        let mut cpu = Vec::new();
        let mut bytes = 0;
        for _ in 0..if nodes > 1_000 { 300 } else { 5_000 } {
            let (started, cpu_before) = (Instant::now(), on_cpu());
            let response = call(&router, request("POST", "/predict", body)).await;
            took.push(started.elapsed());
            cpu.extend(on_cpu().zip(cpu_before).map(|(after, before)| after - before));
            bytes = text(response).await.1.len();
        }
        for (what, mut times) in [("wall", took), ("cpu", cpu)] {
            times.sort_unstable();
            let at = |share: usize| times.get((times.len().max(1) - 1) * share / 100).copied().unwrap_or_default();
            println!("{nodes} nodes, {what}: p50 {:?}, p99 {:?}, {bytes} bytes", at(50), at(99));
        }
    }
    Ok(())
}
