//! A backend with two nodes, and a service over it with a history of its own.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part of these helpers, which are all for tests"
)]

use std::sync::Arc;

use augur_api::dto::*;
use augur_api::*;
use augur_clock::Clock;
use augur_history::*;
use augur_learn::{FEATURE_COUNT, FEATURE_NAMES, FeatureVector};
use axum::Router;
use axum::body::Body;
use futures::FutureExt as _;
use http::{Request, Response};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

pub const NOW: &str = "2026-01-06T12:00:00Z";

pub fn now() -> UnixMillis {
    UnixMillis(NOW.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// Two nodes: `n1` fits and has a usage sample, `n2` does not fit and has none.
pub struct Fake {
    pub history: HistoryHandle,
    pub kubernetes: CheckStatus,
}

pub fn decision(history: &HistoryHandle, pod: &str, node: Option<&str>) -> DecisionRecord {
    let part = |plugin: &str, points| PluginPart { plugin: plugin.into(), points };
    let scores = vec![
        NodeScore {
            node: "n1".into(),
            total: 80.0,
            parts: vec![part("NodeResourcesFit", 60.0), part("TaintToleration", 20.0)],
        },
        NodeScore {
            node: "n3".into(),
            total: 75.5,
            parts: vec![part("NodeResourcesFit", 55.5), part("TaintToleration", 20.0)],
        },
    ];
    DecisionRecord {
        id: history.next_id(now()),
        at: now(),
        kind: DecisionKind::Scheduling,
        pod: PodKey { namespace: "default".into(), name: pod.into(), uid: format!("uid-{pod}").into() },
        workload: Some(WorkloadKey { namespace: "default".into(), kind: "Deployment".into(), name: "web".into() }),
        profile: "default-scheduler".into(),
        node: node.map(Into::into),
        reason: if node.is_some() { "n1 has the most room".into() } else { "0/3 nodes are available".into() },
        algorithm: "enhanced_scoring".into(),
        fallback_reason: Some("not_trained".into()),
        model_id: None,
        confidence: None,
        p_bad: None,
        propensity: 1.0,
        runner_up: node.map(|_| "n3".into()),
        nodes: 3,
        feasible: if node.is_some() { 2 } else { 0 },
        scores: if node.is_some() { scores } else { Vec::new() },
        rejections: [("Insufficient cpu".into(), 2), ("node(s) were unschedulable".into(), 1)].into(),
        features: vec![Some(0.5); FEATURE_COUNT],
        latency_us: 40,
        alternative: None,
        attempts: 1,
    }
}

impl SchedulerBackend for Fake {
    fn health(&self) -> Health {
        let ok = || Check::new(CheckStatus::Healthy, "works");
        Health {
            kubernetes: Check::new(self.kubernetes, "connected"),
            metrics_api: ok(),
            learner: ok(),
            model: ok(),
            leader: ok(),
            ready: self.kubernetes != CheckStatus::Unhealthy,
            alive: true,
            leads: true,
        }
    }

    fn nodes(&self, with_pods: bool) -> Answer<Vec<NodeView>> {
        let node = |name: &str, used| NodeView {
            name: name.into(),
            ready: true,
            unschedulable: false,
            taints: vec!["dedicated=gpu:NoSchedule".to_owned()],
            conditions: vec![NodeCondition {
                kind: "Ready".into(),
                status: "True".into(),
                reason: "KubeletReady".into(),
            }],
            allocatable: Amounts { cpu_millis: 4_000, memory_bytes: 8 << 30, pods: 110, others: Vec::new() },
            requested: Amounts { cpu_millis: 1_500, memory_bytes: 1 << 30, pods: 1, others: Vec::new() },
            used,
            pod_count: 1,
            pods: if with_pods { vec!["default/a".to_owned()] } else { Vec::new() },
        };
        let sample = NodeUsage { cpu_millis: 1_000, memory_bytes: 2 << 30, at: NOW.parse().unwrap() };
        let nodes = vec![node("n2", None), node("n1", Some(sample))];
        async move { Ok(nodes) }.boxed()
    }

    fn preempt(&self, _: Box<serde_json::value::RawValue>, candidates: Vec<Candidate>) -> Answer<Vec<bool>> {
        // It fits on `n1` once somebody leaves it.
        let fits = candidates.iter().map(|it| it.node == "n1" && !it.victims.is_empty()).collect();
        async move { Ok(fits) }.boxed()
    }

    fn bind(&self, binding: Binding) -> Answer<()> {
        let known = Binding {
            namespace: "default".to_owned(),
            name: "a".to_owned(),
            uid: "uid-a".to_owned(),
            node: "n1".to_owned(),
        };
        let refusal = ApiError::new(http::StatusCode::CONFLICT, "not_bound", "node n2: Insufficient cpu");
        let result = if binding == known { Ok(()) } else { Err(refusal) };
        async move { result }.boxed()
    }

    fn predict(&self, query: PodQuery) -> Answer<Prediction> {
        if query.name == "slow" {
            return futures::future::pending().boxed();
        }
        if query.name == "missing" {
            return async { Err(ApiError::not_found("pod_not_found", "pod default/missing does not exist")) }.boxed();
        }
        let mut record = decision(&self.history, &query.name, Some("n1"));
        record.kind = DecisionKind::Prediction;
        record.pod.uid = "".into();
        let decision_id = query.record.then_some(record.id);
        if query.record {
            self.history.record_decision(record);
        }
        async move { Ok(prediction(&query, decision_id, 2)) }.boxed()
    }

    fn features(&self, _query: PodQuery) -> Answer<Vec<(Arc<str>, FeatureVector)>> {
        let row = |usage| {
            let known = |name: &str| match name {
                "pod_cpu_request" => Some(0.5),
                "node_cpu_usage" => usage,
                "node_taint_count" => Some(1.0),
                "cluster_total_nodes" => Some(2.0),
                _ => None,
            };
            FEATURE_NAMES.map(known)
        };
        let rows = vec![("n1".into(), row(Some(25.0))), ("n2".into(), row(None))];
        async move { Ok(rows) }.boxed()
    }

    fn what_if(&self, question: WhatIfBody) -> Answer<WhatIfAnswer> {
        if let Some(node) = question.drain.first() {
            let error = ApiError::not_found("node_not_found", format!("node {node:?} does not exist"));
            return async { Err(error) }.boxed();
        }
        let pods: Vec<_> = question
            .workloads
            .iter()
            .flat_map(|workload| (0..workload.replicas).map(move |number| (workload, number)))
            .map(|(workload, number)| WhatIfPod {
                namespace: workload.namespace.clone(),
                name: format!("{}-{number}", workload.name),
                workload: Some(format!("{}/{}", workload.kind, workload.name)),
                from_node: None,
                node_name: Some("n1".to_owned()),
                reason: None,
                total_score: Some(80.0),
                p_bad: None,
                evicted: Vec::new(),
            })
            .collect();
        let answer = WhatIfAnswer {
            timestamp: NOW.parse().unwrap(),
            total_nodes: 2,
            total_pods: pods.len(),
            placed: pods.len(),
            pending: 0,
            undecided: 0,
            evicted: 0,
            model_id: None,
            fallback_reason: Some("not_trained".to_owned()),
            pods,
            nodes: Vec::new(),
            drained: Vec::new(),
            took_ms: 1.0,
        };
        async move { Ok(answer) }.boxed()
    }

    fn outlook(&self, namespace: String, name: String) -> Answer<Outlook> {
        let outlook = Outlook {
            pod_name: name,
            pod_namespace: namespace,
            timestamp: NOW.parse().unwrap(),
            current_node: None,
            predicted_node: Some("n1".to_owned()),
            reason: "n1 has the most room".to_owned(),
            algorithm: "enhanced_scoring".to_owned(),
            fallback_reason: Some("not_trained".to_owned()),
            model_id: None,
            confidence: Some(0.5),
            nodes: Vec::new(),
            flip: Vec::new(),
        };
        async move { Ok(outlook) }.boxed()
    }

    fn train(&self, _token: Option<http::HeaderValue>) -> Answer<serde_json::Value> {
        async { Err(ApiError::unavailable("not_served", "no learner runs in this process")) }.boxed()
    }

    fn contrast(&self, _: &str, _: &[Option<f64>], _: &[Option<f64>]) -> Option<Vec<(&'static str, f64)>> {
        None
    }

    fn model(&self) -> ModelStatus {
        ModelStatus {
            model_id: None,
            schema: augur_learn::SCHEMA.to_owned(),
            trained_at: None,
            age_seconds: None,
            source: None,
            last_swap: None,
            fallback_reason: Some("not_trained".to_owned()),
        }
    }
}

/// A prediction over `nodes` nodes, of which the first fits best and the last does not fit.
pub fn prediction(query: &PodQuery, decision_id: Option<DecisionId>, nodes: usize) -> Prediction {
    let mut summary = SummaryBuilder::new(Thresholds::default());
    let parts: Vec<Arc<str>> = ["NodeResourcesFit", "BalancedAllocation", "TaintToleration", "NodeAffinity", "Usage"]
        .into_iter()
        .map(Into::into)
        .collect();
    let node_predictions = (1..=nodes)
        .map(|i| {
            summary.add(true, Some(25.0), None);
            let feasible = i < nodes;
            let score = feasible.then_some(80.123_456_789 - i as f64 / 1000.0);
            NodePrediction {
                node_name: format!("n{i}").into(),
                feasible,
                reasons: if feasible { Vec::new() } else { vec!["Insufficient cpu".into()] },
                unresolvable: false,
                resource_score: score.map(|s| s / 2.0),
                readiness_score: score.map(|s| s / 4.0),
                stability_score: None,
                stability_score_reason: Some("no pod has been seen on this node yet"),
                ml_confidence: None,
                ml_prediction: None,
                ml_probabilities: None,
                p_bad: None,
                total_score: score,
                contributions: Contributions(if feasible {
                    parts.iter().map(|p| (p.clone(), 16.024_691)).collect()
                } else {
                    Vec::new()
                }),
            }
        })
        .collect();
    Prediction {
        pod_name: query.name.clone(),
        pod_namespace: query.namespace.clone(),
        predicted_node: Some("n1".into()),
        confidence: None,
        confidence_reason: Some("the only node that fits".to_owned()),
        confidence_reasons: Vec::new(),
        n_eff: None,
        reason: "n1 has the most room".to_owned(),
        algorithm: Algorithm::EnhancedScoring,
        fallback_reason: Some("not_trained".into()),
        model_id: None,
        decision_id,
        runner_up: None,
        ai_features: AiFeatures {
            pod_requirements: PodRequirements { cpu_request: 0.5, memory_request: 256.0 },
            cluster_state: summary.build(),
            features: Features([Some(0.5); FEATURE_COUNT]),
        },
        node_predictions,
    }
}

pub struct Fixture {
    pub scheduler: Router,
    pub learner: Router,
    pub history: HistoryHandle,
    pub metrics: Arc<SchedulerMetrics>,
    // Last, so that the file is closed before its folder goes.
    pub open: History,
    pub dir: TempDir,
}

pub fn fixture() -> Fixture {
    fixture_with(Access::Loopback, CheckStatus::Healthy)
}

pub fn fixture_with(access: Access, kubernetes: CheckStatus) -> Fixture {
    fixture_of(access, kubernetes, None)
}

pub fn fixture_of(access: Access, kubernetes: CheckStatus, reviewer: Option<Arc<dyn augur_api::Reviewer>>) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let open = History::open(&HistoryOptions::new(dir.path())).unwrap();
    let history = open.handle();
    let metrics = Arc::new(SchedulerMetrics::new());
    let services = Services {
        backend: Arc::new(Fake { history: history.clone(), kubernetes }),
        learner: None,
        history: history.clone(),
        clock: Clock::manual(NOW.parse().unwrap()),
        metrics: metrics.clone(),
        access,
        reviewer,
        thresholds: Thresholds::default(),
        model: ModelOptions::default(),
        version: "1.2.3".to_owned(),
        configz: Arc::new(serde_json::json!({ "kubescheduler.config.k8s.io/v1": {} })),
    };
    Fixture {
        scheduler: scheduler_router(services.clone()),
        learner: learner_router(services),
        history,
        metrics,
        open,
        dir,
    }
}

pub async fn call(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

pub fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(path).body(body.into()).unwrap()
}

pub async fn text(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

pub async fn get(router: &Router, path: &str) -> (u16, Value) {
    let (status, body) = text(call(router, request("GET", path, "")).await).await;
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

pub async fn post(router: &Router, path: &str, body: impl ToString) -> (u16, Value) {
    let (status, body) = text(call(router, request("POST", path, body.to_string())).await).await;
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}
