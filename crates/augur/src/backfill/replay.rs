//! What series tell, as the watches would have shown it: [`Replay::steps`].
//!
//! The state of every pod and node is carried from one span to the next. An observation is made when something of a pod changes,
//! at the step at which that shows. A pod that is missing from one list is gone; a list that is much shorter than the one before
//! is taken for a server that missed something, until that has lasted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use augur_history::{
    ContainerSample, NodeObservation, NodeSample, PastStep, PodKey, PodObservation, PodPhase, PodSample, Termination,
    UnixMillis, UsageRound, WorkloadKey,
};
use augur_kube::{NodeUsage, PastHours, PastPod, PastPodNews, PodReading};

use crate::engine::signals::{Believed, Shares, is_jump};

/// Lists in a row that are too short to be believed; an hour at the usual step.
const DOUBTS: u32 = 12;
/// An exit code that is not known; it is not 0, and not one that a program chooses.
const UNKNOWN_CODE: i32 = -1;
/// A node cannot use much more than it has.
const ABSURD_SHARE: f64 = 2.0;

/// Namespace, name and uid.
type Key = (Arc<str>, Arc<str>, Arc<str>);

/// Reason and exit code, as far as they are told.
type End = (Option<Arc<str>>, Option<i32>);

/// A pod that is there.
#[derive(Debug, Clone)]
struct Known {
    pod: PastPod,
    restarts: BTreeMap<Arc<str>, u32>,
    /// Reason and exit code of the last end of a container.
    ends: HashMap<Arc<str>, End>,
    /// The container that was restarted last.
    latest: Option<Arc<str>>,
    ended: Option<Arc<str>>,
    reason: Option<Arc<str>>,
    over: Option<bool>,
    ready: bool,
    was_ready: bool,
    /// History has heard of it.
    told: bool,
}

/// A node that is there.
#[derive(Debug, Clone, Default)]
struct KnownNode {
    allocatable: Option<(f64, f64)>,
    believed: Option<Believed>,
    /// Pods on it as of the latest list.
    pods: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Replay {
    pods: HashMap<Key, Known>,
    unready: HashSet<Key>,
    nodes: BTreeMap<Arc<str>, KnownNode>,
    /// Whether a list of pods has been seen: restarts that the first one tells of happened before.
    began: bool,
    /// Short lists in a row, of pods and of nodes.
    doubts: [u32; 2],
    rejected: BTreeMap<&'static str, u64>,
}

impl Replay {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Readings that were not believed since this was asked last, by reason.
    pub fn take_rejected(&mut self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.rejected)
    }

    /// The steps of a span that follows the one before.
    pub fn steps(&mut self, mut hours: PastHours) -> Vec<PastStep> {
        let keys: Vec<Key> =
            hours.pods.iter().map(|pod| (pod.namespace.clone(), pod.name.clone(), pod.uid.clone())).collect();
        for (node, amounts) in &hours.allocatable {
            self.nodes.entry(node.clone()).or_default().allocatable = Some(*amounts);
        }
        let events = hours.events.iter().map(|event| event.at);
        let times: BTreeSet<i64> = hours
            .present
            .keys()
            .chain(hours.unready.keys())
            .chain(hours.nodes.keys())
            .chain(hours.usage.keys())
            .copied()
            .chain(events)
            .collect();
        let mut events = hours.events.iter().peekable();
        let mut steps = Vec::with_capacity(times.len());
        for at in times {
            let mut touched: BTreeSet<Key> = BTreeSet::new();
            let present = hours.present.get(&at);
            if let Some(present) = present {
                for place in present {
                    self.meet(&hours.pods[*place], &keys[*place], &mut touched);
                }
            }
            while let Some(event) = events.next_if(|event| event.at <= at) {
                self.meet(&hours.pods[event.pod], &keys[event.pod], &mut touched);
                if let Some(known) = self.pods.get_mut(&keys[event.pod])
                    && known.hear(&event.news)
                {
                    touched.insert(keys[event.pod].clone());
                }
            }
            if let Some(unready) = hours.unready.get(&at) {
                self.judge_readiness(unready.iter().map(|place| keys[*place].clone()).collect(), &mut touched);
            }
            let mut step = PastStep { at: UnixMillis(at), ..PastStep::default() };
            for key in touched {
                if let Some(known) = self.pods.get_mut(&key) {
                    known.tell(self.began, step.at, &mut step.pods);
                }
            }
            if let Some(present) = present {
                self.part(&present.iter().map(|place| &keys[*place]).collect(), &mut step);
                self.began = true;
            }
            let usage = hours.usage.remove(&at);
            if let Some(nodes) = hours.nodes.get(&at) {
                self.watch_nodes(nodes, usage.as_ref().map(|(nodes, _)| nodes), &mut step);
            }
            step.usage = usage.map(|(nodes, pods)| round(step.at, &nodes, pods));
            steps.push(step);
        }
        steps
    }

    /// Notes a pod that is seen for the first time.
    fn meet(&mut self, pod: &PastPod, key: &Key, touched: &mut BTreeSet<Key>) {
        if !self.pods.contains_key(key) {
            self.pods.insert(key.clone(), Known::new(pod.clone()));
            touched.insert(key.clone());
        }
    }

    fn judge_readiness(&mut self, unready: HashSet<Key>, touched: &mut BTreeSet<Key>) {
        // A pod is ready when it is there, goes on, and is not among those that are not ready.
        let changed: Vec<Key> = self
            .pods
            .iter()
            .filter(|(key, known)| known.over.is_none() && known.ready == unready.contains(*key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in changed {
            if let Some(known) = self.pods.get_mut(&key) {
                known.ready = !known.ready;
                known.was_ready |= known.ready;
            }
            touched.insert(key);
        }
        self.unready = unready;
    }

    /// Parts from pods that are not there any more.
    fn part(&mut self, present: &HashSet<&Key>, step: &mut PastStep) {
        if is_short(present.len(), self.pods.len(), &mut self.doubts[0]) {
            return;
        }
        let mut gone: Vec<Key> = self.pods.keys().filter(|key| !present.contains(key)).cloned().collect();
        gone.sort_unstable();
        for key in gone {
            if let Some(known) = self.pods.remove(&key) {
                step.pods.push(PodObservation { gone: true, ..known.observation(step.at) });
            }
        }
        self.nodes.values_mut().for_each(|node| node.pods = 0);
        for known in self.pods.values().filter(|known| known.over.is_none()) {
            if let Some(node) = self.nodes.get_mut(&known.pod.node) {
                node.pods += 1;
            }
        }
    }

    fn watch_nodes(&mut self, nodes: &[(Arc<str>, bool)], usage: Option<&NodeUsage>, step: &mut PastStep) {
        for (name, ready) in nodes {
            let known = self.nodes.entry(name.clone()).or_default();
            let used = usage.and_then(|usage| usage.get(name));
            let mut shares = used.zip(known.allocatable).map(|(used, (cpu, memory))| {
                let share = |used: f64, of: f64| Some(used / of).filter(|s| s.is_finite() && *s <= ABSURD_SHARE);
                Shares { cpu: share(used.cpu, cpu), memory: share(used.memory, memory) }
            });
            match (shares, &mut known.believed) {
                (Some(now), Some(believed)) if is_jump(Some(believed), now, known.pods) => {
                    believed.doubts += 1;
                    shares = None;
                    *self.rejected.entry("jump").or_default() += 1;
                }
                (Some(shares), believed) => *believed = Some(Believed { shares, pods: known.pods, doubts: 0 }),
                (None, _) => {}
            }
            step.nodes.push(NodeObservation {
                name: name.clone(),
                ready: *ready,
                cpu: shares.and_then(|shares| shares.cpu),
                memory: shares.and_then(|shares| shares.memory),
                allocatable: known.allocatable,
                at: step.at,
                ..NodeObservation::default()
            });
        }
        if is_short(nodes.len(), self.nodes.len(), &mut self.doubts[1]) {
            return;
        }
        let there: HashSet<&Arc<str>> = nodes.iter().map(|(name, _)| name).collect();
        let gone: Vec<Arc<str>> = self.nodes.keys().filter(|name| !there.contains(name)).cloned().collect();
        for name in gone {
            self.nodes.remove(&name);
            step.nodes.push(NodeObservation { name, gone: true, at: step.at, ..NodeObservation::default() });
        }
    }
}

/// Whether a list of what is there is too short to be believed, after so many were known.
fn is_short(listed: usize, known: usize, doubts: &mut u32) -> bool {
    let short = listed * 2 < known && known >= 10 && *doubts < DOUBTS;
    *doubts = if short { *doubts + 1 } else { 0 };
    short
}

impl Known {
    fn new(pod: PastPod) -> Self {
        Known {
            pod,
            restarts: BTreeMap::new(),
            ends: HashMap::new(),
            latest: None,
            ended: None,
            reason: None,
            over: None,
            ready: false,
            was_ready: false,
            told: false,
        }
    }

    /// Takes in a piece of news; whether it is one.
    fn hear(&mut self, news: &PastPodNews) -> bool {
        match news {
            PastPodNews::LastEnd { container, reason } => {
                self.ends.entry(container.clone()).or_default().0 = Some(reason.clone());
                false
            }
            PastPodNews::LastExitCode { container, code } => {
                self.ends.entry(container.clone()).or_default().1 = Some(*code);
                false
            }
            PastPodNews::Ended { reason } => {
                // Of several containers one that failed tells more.
                if self.ended.as_deref().is_none_or(|before| before == "Completed") {
                    self.ended = Some(reason.clone());
                }
                false
            }
            PastPodNews::Reason(reason) => self.reason.replace(reason.clone()).as_ref() != Some(reason),
            PastPodNews::Restarts { container, count } => {
                let before = self.restarts.insert(container.clone(), *count).unwrap_or(0);
                if *count > before {
                    self.latest = Some(container.clone());
                }
                *count != before
            }
            PastPodNews::Over { succeeded } => self.over.replace(*succeeded) != Some(*succeeded),
        }
    }

    /// Tells history how it is now. Of a pod that came while we watched, what happened since it came has happened to it; before
    /// `began` nobody watched.
    fn tell(&mut self, began: bool, at: UnixMillis, pods: &mut Vec<PodObservation>) {
        let now = self.observation(at);
        if began && !std::mem::replace(&mut self.told, true) && (now.restarts > 0 || now.phase != PodPhase::Pending) {
            let fresh = PodObservation {
                phase: PodPhase::Pending,
                ready: false,
                restarts: 0,
                terminated: None,
                reason: None,
                ..now.clone()
            };
            pods.push(fresh);
        }
        self.told = true;
        pods.push(now);
    }

    fn observation(&self, at: UnixMillis) -> PodObservation {
        let pod = &self.pod;
        // Where it is not told, namespace and name have to do; they do not meet a real uid.
        let uid = if pod.uid.is_empty() { format!("{}/{}", pod.namespace, pod.name).into() } else { pod.uid.clone() };
        let last = self.latest.as_ref().and_then(|container| self.ends.get(container));
        let last = last.and_then(|(reason, code)| Some((reason.clone()?, *code)));
        let ended = self.over.and(self.ended.clone()).map(|reason| (reason, None));
        PodObservation {
            pod: PodKey { namespace: pod.namespace.clone(), name: pod.name.clone(), uid },
            workload: WorkloadKey { namespace: pod.namespace.clone(), kind: pod.kind.clone(), name: pod.owner.clone() },
            revision: pod.revision.clone(),
            node: Some(pod.node.clone()),
            phase: match self.over {
                Some(true) => PodPhase::Succeeded,
                Some(false) => PodPhase::Failed,
                None if self.was_ready => PodPhase::Running,
                None => PodPhase::Pending,
            },
            ready: self.ready && self.over.is_none(),
            restarts: self.restarts.values().fold(0, |sum, count| sum.saturating_add(*count)),
            terminated: ended.or(last).map(|(reason, code)| Termination {
                exit_code: code.unwrap_or(match &*reason {
                    "OOMKilled" => 137,
                    "Completed" => 0,
                    _ => UNKNOWN_CODE,
                }),
                reason,
            }),
            reason: self.reason.clone(),
            at,
            ..PodObservation::default()
        }
    }
}

fn round(at: UnixMillis, nodes: &NodeUsage, pods: Vec<PodReading>) -> UsageRound {
    let mut nodes: Vec<NodeSample> = nodes
        .iter()
        .map(|(name, usage)| NodeSample { name: name.clone(), cpu: usage.cpu, memory: usage.memory })
        .collect();
    nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let pods = pods.into_iter().map(|pod| PodSample {
        namespace: pod.namespace,
        name: pod.name,
        containers: pod
            .containers
            .into_iter()
            .map(|(name, usage)| ContainerSample { name, cpu: usage.cpu, memory: usage.memory })
            .collect(),
    });
    UsageRound { at, nodes, pods: pods.collect() }
}
