//! What a scheduler sees of the cluster over time: history's memory fed from watches and readings, the rates made of it, and the
//! signals that scoring reads. Nothing hidden passes through here. Entry point: [`Eyes`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use augur_core::object::{Node, Pod};
use augur_core::state::NodeSignals;
use augur_history::{
    Changes, DecisionId, Memory, NodeObservation, Placement, PodKey, PodObservation, PodPhase, Rates, Termination,
    UnixMillis, WorkloadKey,
};
use augur_learn::workload_key;
use augur_sandbox::sim::{ContainerReport, ContainerState, Millis, Phase, PodReport};
use jiff::Timestamp;

use crate::engine::signals::{Shares, signals};

/// As long as history remembers in production.
const WINDOW: Duration = Duration::from_secs(168 * 3_600);

/// Memory of what was seen.
#[derive(Debug)]
pub struct Eyes {
    memory: Memory,
    rates: Arc<Rates>,
    placed: HashMap<Arc<str>, (PodKey, WorkloadKey, Arc<str>)>,
    decisions: u64,
}

impl Default for Eyes {
    fn default() -> Self {
        Eyes { memory: Memory::new(WINDOW), rates: Arc::default(), placed: HashMap::new(), decisions: 0 }
    }
}

impl Eyes {
    /// A pod is bound; the decision's id.
    pub fn placed(&mut self, pod: &Pod, node: &Arc<str>, p_bad: Option<f64>, now: Millis) -> DecisionId {
        self.decisions += 1;
        let at = UnixMillis(now);
        // Ids grow with time; the lower bits tell decisions of one millisecond apart.
        let decision = DecisionId(DecisionId::first_at(at).0 + (self.decisions & 0xf_ffff));
        let key = PodKey { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() };
        let workload = workload_key(pod);
        self.placed.insert(pod.uid.clone(), (key.clone(), workload.clone(), node.clone()));
        self.memory.place(Placement { decision, pod: key, workload, node: node.clone(), at, p_bad });
        decision
    }

    /// A kubelet reports a pod.
    pub fn pod(&mut self, report: &PodReport, terminating: bool, now: Millis) {
        let Some(observation) = self.observation(&report.uid, now) else { return };
        let waiting = report.containers.iter().find_map(|container| match &container.state {
            ContainerState::Waiting { reason, .. } => Some(Arc::from(*reason)),
            _ => None,
        });
        self.memory.pod(&PodObservation {
            phase: match report.phase {
                Phase::Pending => PodPhase::Pending,
                Phase::Running => PodPhase::Running,
                Phase::Succeeded => PodPhase::Succeeded,
                Phase::Failed => PodPhase::Failed,
            },
            ready: report.ready.0,
            restarts: report.containers.iter().map(|container| container.restarts).sum(),
            terminated: worst_end(&report.containers),
            reason: (!report.reason.is_empty()).then(|| Arc::from(&*report.reason)),
            waiting,
            terminating,
            ..observation
        });
    }

    /// The object of a pod is gone, as it was reported last or, with `disruption`, for that reason.
    pub fn gone(&mut self, uid: &Arc<str>, phase: PodPhase, disruption: Option<&str>, now: Millis) {
        let Some(observation) = self.observation(uid, now) else { return };
        let disruption = disruption.map(Arc::from);
        self.memory.pod(&PodObservation { phase, disruption, terminating: true, gone: true, ..observation });
        self.placed.remove(uid);
    }

    fn observation(&self, uid: &Arc<str>, now: Millis) -> Option<PodObservation> {
        let (pod, workload, node) = self.placed.get(uid)?;
        Some(PodObservation {
            pod: pod.clone(),
            workload: workload.clone(),
            node: Some(node.clone()),
            at: UnixMillis(now),
            ..PodObservation::default()
        })
    }

    /// A node, with its usage if it answers.
    pub fn node(&mut self, node: &Node, usage: Option<(f64, f64)>, now: Millis) {
        self.memory.node(&NodeObservation {
            name: node.name.clone(),
            class: node.labels.get("node.kubernetes.io/instance-type").unwrap_or_default().into(),
            ready: node.ready,
            cpu: usage.map(|(cpu, _)| cpu),
            memory: usage.map(|(_, memory)| memory),
            allocatable: Some((node.allocatable.cpu.get() as f64 / 1_000.0, node.allocatable.memory.get() as f64)),
            gone: false,
            at: UnixMillis(now),
        });
    }

    /// Lets time pass, and tells what changed.
    pub fn advance(&mut self, now: Millis) -> Changes {
        self.memory.advance(UnixMillis(now));
        self.memory.drain()
    }

    /// Makes all rates anew.
    pub fn renew(&mut self) -> Arc<Rates> {
        self.rates = Arc::new(self.memory.rates());
        self.rates.clone()
    }

    /// What scoring reads of a node.
    pub fn signals(&self, node: &Node, usage: Option<(f64, f64)>, now: Millis) -> Option<NodeSignals> {
        let shares = usage.map(|(cpu, memory)| Shares { cpu: Some(cpu), memory: Some(memory) });
        let at = Timestamp::from_millisecond(now).unwrap_or(Timestamp::UNIX_EPOCH);
        signals(node, shares, &self.rates, at)
    }
}

/// The latest termination among the containers; one that failed goes before one that did not.
fn worst_end(containers: &[ContainerReport]) -> Option<Termination> {
    containers
        .iter()
        .flat_map(|container| {
            let now = match &container.state {
                ContainerState::Terminated(end) => Some(end),
                _ => None,
            };
            [now, container.last.as_ref()]
        })
        .flatten()
        .max_by_key(|end| (end.exit_code != 0, end.finished))
        .map(|end| Termination { reason: end.reason.into(), exit_code: end.exit_code })
}
