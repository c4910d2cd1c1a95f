//! The cluster that history is told of: pods that run for ever, others that come, run for half an hour and end, and readings of
//! all (slow waves and noise, another for each container).

use std::collections::VecDeque;
use std::sync::Arc;

use augur_history::{
    Alternative, ContainerSample, DecisionKind, DecisionRecord, HistoryHandle, NodeObservation, NodeSample, NodeScore,
    PluginPart, PodKey, PodObservation, PodPhase, PodSample, Termination, UnixMillis, UsageRound, WorkloadKey,
};

/// Tuesday, 2026-01-06, noon.
pub const START: i64 = 1_767_700_800_000;
pub const ROUND_MS: i64 = 30_000;
/// Pods of one workload.
const REPLICAS: usize = 30;
/// How long a pod that is placed runs.
const RUN_MS: i64 = 30 * 60_000;
/// Of so many pods that are placed one is killed for memory.
const ONE_DIES_OF: u64 = 20;
/// Named features of a decision.
const FEATURES: usize = 29;

/// The names of a cluster, as the scheduler has them anyway, and the pods that were placed lately.
pub struct Cluster {
    pub nodes: Vec<Arc<str>>,
    pub workloads: Vec<WorkloadKey>,
    pods: Vec<(Arc<str>, Arc<str>, Arc<str>)>,
    namespace: Arc<str>,
    container: Arc<str>,
    plugins: Vec<Arc<str>>,
    placed: u64,
    running: VecDeque<PodObservation>,
    /// Messages that history had no room for.
    pub refused: u64,
}

impl Cluster {
    pub fn new(nodes: usize, pods: usize) -> Self {
        let workload = |i: usize| WorkloadKey {
            namespace: "shop".into(),
            kind: "Deployment".into(),
            name: format!("service-{i}").into(),
        };
        let nodes: Vec<Arc<str>> = (0..nodes.max(1)).map(|i| format!("node-{i}").into()).collect();
        let names = (0..pods).map(|i| {
            let name = format!("service-{}-5d8f9c7b6-{i:05}", i / REPLICAS).into();
            (name, format!("00000000-0000-4000-8000-{i:012}").into(), nodes[i % nodes.len()].clone())
        });
        let plugins = ["TaintToleration", "NodeAffinity", "NodeResourcesFit", "PodTopologySpread", "EnhancedScoring"];
        Self {
            pods: names.collect(),
            nodes,
            workloads: (0..=pods / REPLICAS).map(workload).collect(),
            namespace: "shop".into(),
            container: "main".into(),
            plugins: plugins.map(Arc::from).to_vec(),
            placed: 0,
            running: VecDeque::new(),
            refused: 0,
        }
    }

    /// The pods that run for ever are seen.
    pub fn come(&mut self, h: &HistoryHandle) {
        for index in 0..self.pods.len() {
            let (name, uid, node) = &self.pods[index];
            let pod = PodKey { namespace: self.namespace.clone(), name: name.clone(), uid: uid.clone() };
            let seen = running(pod, &self.workloads[index / REPLICAS], node, UnixMillis(START));
            self.refused += u64::from(!h.observe_pod(seen));
            if index % 4_096 == 0 {
                h.flush();
            }
        }
        h.flush();
    }

    /// A round of readings of everything that runs.
    pub fn readings(&self, round: i64) -> UsageRound {
        let wave = |i: usize| {
            let phase = i as f64 * 0.7;
            let noise = hash(i as u64 ^ ((round as u64) << 24)) - 0.5;
            (1.0 + 0.4 * (round as f64 / 500.0 + phase).sin()) * (1.0 + 0.1 * noise)
        };
        let pod = |i: usize, name: &Arc<str>| PodSample {
            namespace: self.namespace.clone(),
            name: name.clone(),
            containers: vec![ContainerSample {
                name: self.container.clone(),
                cpu: 0.2 * wave(i),
                memory: 3e8 * (1.0 + 0.02 * (wave(i + 7) - 1.0)),
            }],
        };
        let nodes = self.nodes.iter().enumerate().map(|(i, name)| NodeSample {
            name: name.clone(),
            cpu: 8.0 * wave(i),
            memory: 2e10 * (1.0 + 0.1 * (wave(i + 3) - 1.0)),
        });
        let names = self.pods.iter().map(|(name, ..)| name).chain(self.running.iter().map(|seen| &seen.pod.name));
        UsageRound {
            at: at(round),
            nodes: nodes.collect(),
            pods: names.enumerate().map(|(i, name)| pod(i, name)).collect(),
        }
    }

    /// What the scheduler thread tells of a slice of the nodes in one turn.
    pub fn turn(&self, h: &HistoryHandle, round: i64, nodes: std::ops::Range<usize>) -> u64 {
        let mut refused = 0;
        for i in nodes.start..nodes.end.min(self.nodes.len()) {
            let said = h.observe_node(NodeObservation {
                name: self.nodes[i].clone(),
                ready: true,
                cpu: Some(0.4 + 0.2 * hash(i as u64 ^ ((round as u64) << 20))),
                memory: Some(0.5),
                allocatable: Some((16.0, 6.4e10)),
                at: at(round),
                ..NodeObservation::default()
            });
            refused += u64::from(!said);
        }
        refused
    }

    /// Pods that ran for long enough end.
    pub fn end(&mut self, h: &HistoryHandle, round: i64) {
        while self.running.front().is_some_and(|seen| at(round).0 - seen.at.0 >= RUN_MS) {
            let Some(seen) = self.running.pop_front() else { break };
            let ended = PodObservation { phase: PodPhase::Succeeded, ready: false, gone: true, at: at(round), ..seen };
            self.refused += u64::from(!h.observe_pod(ended));
        }
    }

    /// The next decision with what is seen of its pod: as much as the scheduler thread tells of one.
    pub fn place(&mut self, h: &HistoryHandle, round: i64) {
        let (n, when) = (self.placed, at(round));
        self.placed += 1;
        let workload = self.workloads[n as usize % self.workloads.len()].clone();
        let node = self.nodes[(hash(n) * self.nodes.len() as f64) as usize % self.nodes.len()].clone();
        let other = self.nodes[(hash(n + 1) * self.nodes.len() as f64) as usize % self.nodes.len()].clone();
        let pod = PodKey {
            namespace: self.namespace.clone(),
            name: format!("run-{n:08}").into(),
            uid: format!("00000000-0000-4000-9000-{n:012}").into(),
        };
        let score = |node: &Arc<str>| NodeScore {
            node: node.clone(),
            total: 300.0 * hash(n),
            parts: self.plugins.iter().map(|p| PluginPart { plugin: p.clone(), points: 100.0 * hash(n ^ 7) }).collect(),
        };
        let features = |salt: u64| (0..FEATURES as u64).map(|i| Some(hash(n ^ salt ^ (i << 40)))).collect::<Vec<_>>();
        let record = DecisionRecord {
            id: h.next_id(when),
            at: when,
            kind: DecisionKind::Scheduling,
            pod: pod.clone(),
            workload: Some(workload.clone()),
            profile: "default-scheduler".into(),
            node: Some(node.clone()),
            reason: format!("{node} has the most room left"),
            algorithm: "enhanced_scoring".into(),
            fallback_reason: None,
            model_id: None,
            confidence: Some(hash(n ^ 3)),
            p_bad: Some(hash(n ^ 5)),
            propensity: 0.9,
            runner_up: Some(other.clone()),
            nodes: self.nodes.len() as u32,
            feasible: 100,
            scores: vec![score(&node), score(&other)],
            rejections: Default::default(),
            features: features(1),
            latency_us: 90,
            alternative: Some(Alternative {
                node: other,
                margin: hash(n ^ 9),
                weight: 10.0,
                features: features(2),
                p_bad: None,
            }),
            attempts: 1,
        };
        let mut refused = u64::from(!h.record_decision(record));
        let seen = running(pod, &workload, &node, when);
        refused += u64::from(!h.observe_pod(PodObservation { phase: PodPhase::Pending, ready: false, ..seen.clone() }));
        refused += u64::from(!h.observe_pod(seen.clone()));
        if n.is_multiple_of(ONE_DIES_OF) {
            let end = Termination { reason: "OOMKilled".into(), exit_code: 137 };
            refused += u64::from(!h.observe_pod(PodObservation { restarts: 1, terminated: Some(end), ..seen.clone() }));
        }
        self.refused += refused;
        self.running.push_back(seen);
    }
}

fn running(pod: PodKey, workload: &WorkloadKey, node: &Arc<str>, at: UnixMillis) -> PodObservation {
    PodObservation {
        pod,
        workload: workload.clone(),
        revision: "5d8f9c7b6".into(),
        node: Some(node.clone()),
        phase: PodPhase::Running,
        ready: true,
        at,
        ..PodObservation::default()
    }
}

/// When a round is.
pub fn at(round: i64) -> UnixMillis {
    UnixMillis(START + round * ROUND_MS)
}

/// A number from 0 to 1 that looks random.
fn hash(value: u64) -> f64 {
    let mut x = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x >> 11) as f64 / (1u64 << 53) as f64
}
