//! Builders and a handle whose feedback can be waited for.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part of these helpers, which are all for tests"
)]

use std::path::Path;
use std::sync::mpsc::sync_channel;

use augur_history::*;

/// Tuesday, 2026-01-06, noon.
pub const T0: i64 = 1_767_700_800_000;
pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;

pub fn at(ms: i64) -> UnixMillis {
    UnixMillis(T0 + ms)
}

pub fn open(dir: &Path) -> History {
    History::open(&HistoryOptions::new(dir)).unwrap()
}

pub fn pod(name: &str) -> PodKey {
    PodKey { namespace: "default".into(), name: name.into(), uid: format!("uid-{name}").into() }
}

pub fn workload(name: &str) -> WorkloadKey {
    WorkloadKey { namespace: "default".into(), kind: "Deployment".into(), name: name.into() }
}

pub fn decision(handle: &HistoryHandle, pod_name: &str, node: Option<&str>, when: UnixMillis) -> DecisionRecord {
    DecisionRecord {
        id: handle.next_id(when),
        at: when,
        kind: DecisionKind::Scheduling,
        pod: pod(pod_name),
        workload: Some(workload("web")),
        profile: "default-scheduler".into(),
        node: node.map(Into::into),
        reason: if node.is_some() { "most room".into() } else { "0/2 nodes are available: 2 Insufficient cpu.".into() },
        algorithm: "enhanced_scoring".into(),
        fallback_reason: Some("not_trained".into()),
        model_id: None,
        confidence: Some(0.5),
        p_bad: None,
        propensity: 1.0,
        runner_up: None,
        nodes: 2,
        feasible: if node.is_some() { 2 } else { 0 },
        scores: Vec::new(),
        rejections: Default::default(),
        features: vec![Some(0.5), None],
        latency_us: 50,
        alternative: None,
        attempts: 1,
    }
}

pub fn observation(pod_name: &str, node: &str, when: UnixMillis) -> PodObservation {
    PodObservation {
        pod: pod(pod_name),
        workload: workload("web"),
        node: Some(node.into()),
        phase: PodPhase::Running,
        ready: true,
        at: when,
        ..PodObservation::default()
    }
}

pub fn oom(pod_name: &str, node: &str, when: UnixMillis) -> PodObservation {
    PodObservation {
        restarts: 1,
        terminated: Some(Termination { reason: "OOMKilled".into(), exit_code: 137 }),
        ..observation(pod_name, node, when)
    }
}

pub fn feedback(decision_id: Option<DecisionId>, node: &str, success: bool) -> Feedback {
    Feedback {
        decision_id,
        pod: None,
        predicted_node: Some(node.into()),
        actual_node: node.into(),
        success,
        pod_status: Some("Running".into()),
        cause: None,
        confidence: Some(0.5),
        algorithm: Some("enhanced_scoring".into()),
    }
}

/// Sends feedback and waits until it is on disk.
pub fn send(handle: &HistoryHandle, said: Feedback, when: UnixMillis) -> FeedbackReceipt {
    let (sender, receiver) = sync_channel(1);
    handle.feedback(said, when, move |result| sender.send(result).unwrap());
    receiver.recv().unwrap().unwrap()
}
