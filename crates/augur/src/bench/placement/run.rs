//! One run: a world, a policy, and virtual time, on one thread. The simulation of the sandbox is the cluster; the core decides;
//! small stand-ins for the controllers recreate pods and taint nodes. Entry point: [`run`].

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use augur_core::cycle::{Cycle, Decider, Decision, Detail};
use augur_core::object::{Effect as TaintEffect, Node, NodeImage, Pod, Taint};
use augur_core::predictor::{NoModel, Predictor};
use augur_core::profile::Profile;
use augur_core::state::ClusterState;
use augur_core::time::Timestamp;
use augur_core::units::Bytes;
use augur_sandbox::sim::{
    ContainerSpec, Effect, Harm, HarmCause, Input, Millis, NodeDemand, NodeReport, Phase, PodReport, PodSpec, Purpose,
    Qos, RestartPolicy, Rng, Sim, SimOptions, stream,
};

use augur_history::PodPhase;
use augur_learn::workload_key;

use super::eyes::Eyes;
use super::ledger::{HORIZON, Ledger, READY_WITHIN};
use super::mind::Mind;
use super::oracle::Oracle;
use super::policy::Policy;
use super::result::RunResult;
use super::trimaran::{self, LoadWatcher};
use super::world::{Arrival, MINUTE, SECOND, START, World};

/// How often the stand-ins for controllers look, and pods that fit nowhere are tried again.
const CONTROL: Millis = 10 * SECOND;
/// The node lifecycle controller's grace period, after which a silent node is not ready.
const SILENT: Millis = 40 * SECOND;
/// After so long on a node that is not ready pods are deleted (`tolerationSeconds` of the default toleration).
const TOLERATED: Millis = 300 * SECOND;
/// A Job tries a failed pod again after this time.
const RETRY: Millis = 10 * SECOND;
/// How often a Job tries a failed pod again.
const RETRIES: u32 = 1;
/// Time between two pods of a service that are replaced by a new revision.
const ROLL: Millis = 20 * SECOND;
/// Time that a pod has to stop.
const GRACE: Millis = 30 * SECOND;
/// CPU wanted above this share of what works makes a node hot.
const HOT: f64 = 0.9;

/// Whose pod it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Service { template: usize, slot: usize },
    Task { template: usize, arrival: usize, index: usize, tries: u32, duration: Millis },
}

impl Owner {
    fn template(self) -> usize {
        match self {
            Owner::Service { template, .. } | Owner::Task { template, .. } => template,
        }
    }
}

/// A pod on a node.
#[derive(Debug)]
struct Live {
    owner: Owner,
    node: usize,
    since: Millis,
    stopping: bool,
}

/// A place of a service: how many pods it had, and the present one.
type Slot = (u32, Option<Arc<str>>);

/// A pod that waits for a node.
#[derive(Debug)]
struct Waiting {
    pod: Arc<Pod>,
    owner: Owner,
    since: Millis,
    attempts: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Control,
    Metrics,
    Spell(usize),
    Arrival(usize),
    Replace { template: usize, slot: usize },
    Retry { template: usize, arrival: usize, index: usize, tries: u32, duration: Millis },
    CheckReady(Arc<str>),
    Mature(Arc<str>),
}

/// What the node lifecycle controller and the kubelets say of a node.
#[derive(Debug, Clone)]
struct NodeState {
    object: Node,
    heard: Millis,
    unready_since: Option<Millis>,
    memory_pressure: bool,
    disk_pressure: bool,
}

/// Runs a policy in a world.
pub fn run(world: &World, policy: Policy) -> RunResult {
    let mut run = Run::new(world, policy);
    run.go();
    run.finish()
}

struct Run<'w> {
    world: &'w World,
    policy: Policy,
    profile: Profile,
    sim: Sim,
    state: ClusterState,
    decider: Decider,
    oracle: Oracle,
    /// Of policies that look at live signals.
    eyes: Option<Eyes>,
    /// Of the policy that learns.
    mind: Option<Mind>,
    now: Millis,
    events: BinaryHeap<Reverse<(Millis, u64, Event)>>,
    sequence: u64,
    nodes: Vec<NodeState>,
    watchers: Vec<LoadWatcher>,
    by_name: HashMap<Arc<str>, usize>,
    live: HashMap<Arc<str>, Live>,
    waiting: Vec<Waiting>,
    /// By service and number.
    slots: HashMap<(usize, usize), Slot>,
    created: Vec<bool>,
    ledger: Ledger,
    result: RunResult,
}

impl<'w> Run<'w> {
    fn new(world: &'w World, policy: Policy) -> Run<'w> {
        let options = SimOptions { seed: world.seed, heartbeat: Some(10 * SECOND), instant: false, truth: true };
        let node = |node: &super::world::WorldNode| NodeState {
            object: node.object.clone(),
            heard: START,
            unready_since: None,
            memory_pressure: false,
            disk_pressure: false,
        };
        let mut run = Run {
            world,
            policy,
            profile: policy.profile(),
            sim: Sim::new(options, START),
            state: ClusterState::new(),
            decider: Decider::new(),
            oracle: Oracle::new(world),
            eyes: matches!(policy, Policy::Enhanced | Policy::Augur).then(Eyes::default),
            mind: (policy == Policy::Augur).then(|| Mind::new(world)),
            now: START,
            events: BinaryHeap::new(),
            sequence: 0,
            nodes: world.nodes.iter().map(node).collect(),
            watchers: vec![LoadWatcher::default(); world.nodes.len()],
            by_name: world.nodes.iter().enumerate().map(|(at, node)| (node.spec.name.clone(), at)).collect(),
            live: HashMap::new(),
            waiting: Vec::new(),
            slots: HashMap::new(),
            created: vec![false; world.templates.len()],
            ledger: Ledger::default(),
            result: RunResult::default(),
        };
        for node in &world.nodes {
            run.state.apply_node(node.object.clone());
            run.tell(Input::NodeAdded(Box::new(node.spec.clone())));
        }
        run.at(START + CONTROL, Event::Control);
        run.at(START + MINUTE, Event::Metrics);
        for (index, spell) in world.spells.iter().enumerate() {
            run.at(spell.at, Event::Spell(index));
        }
        for (index, (at, _)) in world.arrivals.iter().enumerate() {
            run.at(*at, Event::Arrival(index));
        }
        run
    }

    fn at(&mut self, at: Millis, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn go(&mut self) {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at >= self.world.end {
                break;
            }
            self.now = at;
            self.tell(Input::Time);
            match event {
                Event::Control => self.control(),
                Event::Metrics => self.metrics(),
                Event::Spell(index) => self.spell(index),
                Event::Arrival(index) => self.arrive(index),
                Event::Replace { template, slot } => self.replace(template, slot),
                Event::Retry { template, arrival, index, tries, duration } => {
                    self.create(Owner::Task { template, arrival, index, tries, duration });
                }
                Event::CheckReady(uid) => self.ledger.check_ready(&uid, self.now),
                Event::Mature(uid) => self.ledger.mature(&uid),
            }
        }
    }

    fn finish(mut self) -> RunResult {
        self.now = self.world.end;
        self.tell(Input::Time);
        self.ledger.close();
        let counts = self.sim.counts();
        self.result.evictions = counts.evicted;
        self.result.restarts = counts.restarts;
        self.result.unplaced = self.waiting.len() as u64;
        if let Some(mind) = self.mind.take() {
            self.result.moments = mind.moments;
            for (uid, label) in mind.labels {
                if let Some(truth) = self.ledger.judged.get(&uid) {
                    let row = self.result.confusion.entry(truth.name().to_owned()).or_default();
                    *row.entry(format!("{label:?}").to_lowercase()).or_default() += 1;
                }
            }
        }
        self.result.tally = self.ledger.all;
        self.result.hourly = std::mem::take(&mut self.ledger.hourly);
        self.result
    }

    /// Tells the simulation something, and follows what it answers.
    fn tell(&mut self, input: Input) {
        let effects = self.sim.step(self.now, input);
        for harm in self.sim.take_harms() {
            self.ledger.harmed(&harm);
        }
        for effect in effects {
            match effect {
                Effect::PodStatus(report) => self.pod_status(&report),
                Effect::PodStopped { uid, .. } => self.gone(&uid, PodPhase::Running, None),
                Effect::NodeStatus(report) => self.node_status(&report),
                Effect::Heartbeat(name) => self.heartbeat(&name),
                Effect::Event(_) => {}
            }
        }
    }

    fn pod_status(&mut self, report: &PodReport) {
        let Some(live) = self.live.get(&report.uid) else { return };
        if report.ready.0 {
            self.ledger.ready(&report.uid);
        }
        let (owner, stopping) = (live.owner, live.stopping);
        if let Some(eyes) = &mut self.eyes {
            eyes.pod(report, stopping, self.now);
        }
        if stopping {
            return;
        }
        match report.phase {
            Phase::Succeeded => {
                self.ledger.succeeded(&report.uid, self.now);
                self.gone(&report.uid, PodPhase::Succeeded, None);
            }
            Phase::Failed => {
                self.gone(&report.uid, PodPhase::Failed, None);
                self.again(owner);
            }
            Phase::Pending | Phase::Running => {}
        }
    }

    /// What the controller of a pod does when it is lost.
    fn again(&mut self, owner: Owner) {
        match owner {
            Owner::Service { .. } => self.create(owner),
            Owner::Task { template, arrival, index, tries, duration } if tries < RETRIES => {
                let retry = Event::Retry { template, arrival, index, tries: tries + 1, duration };
                self.at(self.now + RETRY, retry);
            }
            Owner::Task { .. } => {}
        }
    }

    /// The object of a pod is gone.
    fn gone(&mut self, uid: &Arc<str>, phase: PodPhase, disruption: Option<&str>) {
        if let Some(live) = self.live.remove(uid) {
            if let Some(mind) = &mut self.mind
                && let Some((pod, _)) = self.state.pod(uid)
            {
                mind.lived(&workload_key(pod), self.now - live.since, phase == PodPhase::Succeeded || live.stopping);
            }
            if let Some(eyes) = &mut self.eyes {
                eyes.gone(uid, phase, disruption, self.now);
            }
            self.state.remove(uid);
            self.tell(Input::PodGone { uid: uid.clone() });
        }
    }

    fn heartbeat(&mut self, name: &Arc<str>) {
        let Some(&node) = self.by_name.get(name) else { return };
        self.nodes[node].heard = self.now;
        if self.nodes[node].unready_since.take().is_some() {
            self.apply_node(node);
        }
    }

    fn node_status(&mut self, report: &NodeReport) {
        let Some(&node) = self.by_name.get(&report.name) else { return };
        let state = &mut self.nodes[node];
        let holds = |kind| report.conditions.iter().any(|condition| condition.kind == kind && condition.holds);
        state.memory_pressure = holds("MemoryPressure");
        state.disk_pressure = holds("DiskPressure");
        // Kubelets report the 50 largest.
        let images = report.images.iter().take(50);
        state.object.images =
            images.map(|(name, size)| NodeImage { names: vec![name.clone()], size: Bytes(*size) }).collect();
        self.apply_node(node);
    }

    /// Shows a node to the scheduler as the API would.
    fn apply_node(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        let unready = state.unready_since.is_some();
        let taints = [
            (unready, "node.kubernetes.io/unreachable", TaintEffect::NoSchedule),
            (unready, "node.kubernetes.io/unreachable", TaintEffect::NoExecute),
            (state.memory_pressure, "node.kubernetes.io/memory-pressure", TaintEffect::NoSchedule),
            (state.disk_pressure, "node.kubernetes.io/disk-pressure", TaintEffect::NoSchedule),
        ];
        state.object.ready = !unready;
        state.object.taints = taints
            .into_iter()
            .filter(|(holds, ..)| *holds)
            .map(|(_, key, effect)| Taint { key: key.into(), value: "".into(), effect })
            .collect();
        self.state.apply_node(state.object.clone());
        if let Some(eyes) = &mut self.eyes {
            eyes.node(&state.object, None, self.now);
        }
    }

    fn spell(&mut self, index: usize) {
        let spell = self.world.spells[index];
        self.oracle.spell_ends(spell.node, self.now + spell.lasts);
        let node = self.world.nodes[spell.node].spec.name.clone();
        self.tell(Input::Fault { node, fault: spell.kind, lasts: Some(spell.lasts) });
    }

    fn control(&mut self) {
        self.at(self.now + CONTROL, Event::Control);
        if let Some(eyes) = &mut self.eyes {
            let changes = eyes.advance(self.now);
            if let Some(mind) = &mut self.mind {
                mind.follow(changes);
                mind.advance(self.now);
            }
        }
        for node in 0..self.nodes.len() {
            let state = &mut self.nodes[node];
            match state.unready_since {
                None if self.now - state.heard > SILENT => {
                    state.unready_since = Some(self.now);
                    self.apply_node(node);
                }
                Some(since) if self.now - since > TOLERATED => self.give_up(node),
                _ => {}
            }
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain_mut(|one| !self.place(one));
        waiting.append(&mut self.waiting);
        self.waiting = waiting;
    }

    /// The taint manager deletes the pods of a node that does not come back.
    fn give_up(&mut self, node: usize) {
        let mut lost: Vec<(Arc<str>, Owner, bool)> = self
            .live
            .iter()
            .filter(|(_, live)| live.node == node)
            .map(|(uid, live)| (uid.clone(), live.owner, live.stopping))
            .collect();
        lost.sort_by(|a, b| a.0.cmp(&b.0));
        for (uid, owner, stopping) in lost {
            self.ledger.harmed(&Harm { uid: uid.clone(), at: self.now, cause: HarmCause::Network });
            self.gone(&uid, PodPhase::Running, Some("DeletionByTaintManager"));
            if !stopping {
                self.again(owner);
            }
        }
    }

    fn metrics(&mut self) {
        self.at(self.now + MINUTE, Event::Metrics);
        let mut usages = vec![None; self.nodes.len()];
        for (name, usage) in self.sim.node_usage(self.now) {
            let Some(&node) = self.by_name.get(&name) else { continue };
            let capacity = &self.world.nodes[node].spec.capacity;
            let cpu = usage.cpu_milli / capacity.cpu_milli.max(1) as f64;
            let memory = usage.memory as f64 / capacity.memory.max(1) as f64;
            self.watchers[node].sample(self.now, cpu, memory);
            usages[node] = Some((cpu, memory));
        }
        self.look(&usages);
        let mut used = 0;
        for node in &self.world.nodes {
            if let Some(truth) = self.sim.node_truth(&node.spec.name, self.now).filter(|truth| !truth.absent) {
                let wanted = truth.wanted.cpu_milli;
                self.result.hot_minutes += f64::from(u8::from(wanted > HOT * truth.effective_cpu));
                self.result.cpu_wanted += wanted;
                self.result.cpu_throttled += (wanted - truth.effective_cpu).max(0.0);
            }
            used += usize::from(self.state.node(&node.spec.name).is_some_and(|view| view.used().pods > 0));
        }
        self.result.nodes_used += used as f64;
        self.result.minutes += 1.0;
    }

    /// Renews what policies with eyes know of nodes.
    fn look(&mut self, usages: &[Option<(f64, f64)>]) {
        let Some(eyes) = &mut self.eyes else { return };
        for (node, usage) in self.nodes.iter().zip(usages) {
            eyes.node(&node.object, *usage, self.now);
        }
        let rates = eyes.renew();
        if let Some(mind) = &mut self.mind {
            mind.renew(rates);
        }
        for (node, usage) in self.nodes.iter().zip(usages) {
            let signals = eyes.signals(&node.object, *usage, self.now);
            self.state.set_signals(&node.object.name, signals);
        }
    }

    fn arrive(&mut self, index: usize) {
        match &self.world.arrivals[index].1 {
            Arrival::Service { template } => {
                let replicas = self.world.templates[*template].replicas;
                for slot in 0..replicas {
                    if self.created[*template] {
                        let at = self.now + slot as Millis * ROLL;
                        self.at(at, Event::Replace { template: *template, slot });
                    } else {
                        self.create(Owner::Service { template: *template, slot });
                    }
                }
                self.created[*template] = true;
            }
            Arrival::Tasks { template, durations } => {
                for (at, duration) in durations.iter().enumerate() {
                    let (template, duration) = (*template, *duration);
                    self.create(Owner::Task { template, arrival: index, index: at, tries: 0, duration });
                }
            }
        }
    }

    /// A new revision takes the place of a pod.
    fn replace(&mut self, template: usize, slot: usize) {
        let Some((_, Some(uid))) = self.slots.get(&(template, slot)).cloned() else { return };
        let Some(live) = self.live.get_mut(&uid) else { return };
        live.stopping = true;
        self.ledger.deleted(&uid, self.now);
        self.create(Owner::Service { template, slot });
        self.tell(Input::PodDeleted { uid, grace: GRACE });
    }

    fn create(&mut self, owner: Owner) {
        let template = &self.world.templates[owner.template()];
        let name = match owner {
            Owner::Service { template: at, slot } => {
                let entry = self.slots.entry((at, slot)).or_default();
                entry.0 += 1;
                let name = format!("{}-{slot}-{}", template.name, entry.0);
                entry.1 = Some(name.as_str().into());
                name
            }
            Owner::Task { arrival, index, tries, .. } => format!("{}-{arrival}-{index}-{tries}", template.name),
        };
        let pod = Pod {
            labels: template.labels.clone(),
            created: Some(core_time(self.now)),
            workload: Some(template.workload.clone()),
            ..Pod::new(&name, "default", &name, template.core.clone())
        };
        let mut waiting = Waiting { pod: Arc::new(pod), owner, since: self.now, attempts: 0 };
        if !self.place(&mut waiting) {
            self.waiting.push(waiting);
        }
    }

    /// Decides on a pod and binds it; false if it fits nowhere now.
    fn place(&mut self, waiting: &mut Waiting) -> bool {
        waiting.attempts += 1;
        let pod = &waiting.pod;
        let seed = Rng::new(self.world.seed).bits(stream(&[&pod.uid]), Purpose::Phase, u64::from(waiting.attempts));
        let detail = if self.policy.is_profile() { Detail::Brief } else { Detail::Full };
        let cycle = Cycle { now: core_time(self.now), seed, detail };
        let no_model = NoModel::default();
        let predictor: &dyn Predictor = self.mind.as_ref().map_or(&no_model, |mind| &mind.predictor);
        let decision = self.decider.decide(&self.state, pod, &self.profile, predictor, cycle);
        let mut spec = self.spec(waiting);
        let chosen = if self.policy.is_profile() {
            decision.node().and_then(|name| self.by_name.get(name).copied())
        } else {
            self.choose(&decision, pod, &spec, seed)
        };
        let Some(node) = chosen else { return false };
        spec.node = self.world.nodes[node].spec.name.clone();
        let example =
            self.mind.as_ref().and_then(|mind| mind.example(&self.state, pod, &decision, core_time(self.now)));
        let bound = Pod { node: Some(spec.node.clone()), started: Some(core_time(self.now)), ..Pod::clone(pod) };
        self.state.place(Arc::new(bound), &spec.node);
        self.watchers[node].placed(self.now, spec.containers[0].requests.cpu_milli);
        let uid = spec.uid.clone();
        if let Some(eyes) = &mut self.eyes {
            let p_bad = example.as_ref().and_then(|example| example.p_bad);
            let id = eyes.placed(&waiting.pod, &spec.node, p_bad, self.now);
            if let (Some(mind), Some(example)) = (&mut self.mind, example) {
                mind.placed(id, example, &uid);
            }
        }
        self.live.insert(uid.clone(), Live { owner: waiting.owner, node, since: self.now, stopping: false });
        self.ledger.placed(&uid, self.now);
        self.result.waited += (self.now - waiting.since) as f64;
        self.at(self.now + READY_WITHIN, Event::CheckReady(uid.clone()));
        self.at(self.now + HORIZON, Event::Mature(uid));
        self.tell(Input::PodBound(Box::new(spec)));
        true
    }

    /// The choice of a policy that is not a profile: the highest score of its own, and among equals by lot.
    fn choose(&mut self, decision: &Decision, pod: &Pod, spec: &PodSpec, seed: u64) -> Option<usize> {
        let mut best: Option<(f64, u64, usize)> = None;
        for report in decision.nodes.iter().filter(|report| report.rejection.is_none()) {
            let Some(&node) = self.by_name.get(&report.node) else { continue };
            let Some(view) = self.state.node(&report.node) else { continue };
            let score = match self.policy {
                Policy::TrimaranTlp => {
                    report.total + trimaran::target_load_packing(pod, view, &self.watchers[node], self.now)
                }
                Policy::TrimaranLvrb => {
                    report.total + trimaran::load_variation_risk(pod, view, &self.watchers[node], self.now)
                }
                Policy::Oracle => {
                    let pods = view.pods().len();
                    let harm = self.oracle.harm(self.world, &self.sim, node, pods, spec, self.now);
                    // A hundredth of a placement is worth more than all else together.
                    report.total - 1e5 * harm
                }
                _ => 0.0,
            };
            let lot = Rng::new(seed).bits(stream(&[&report.node]), Purpose::Phase, 0);
            if best.is_none_or(|(high, drawn, _)| score > high || (score == high && lot > drawn)) {
                best = Some((score, lot, node));
            }
        }
        best.map(|(.., node)| node)
    }

    /// The pod as its kubelet will have it.
    fn spec(&self, waiting: &Waiting) -> PodSpec {
        let template = &self.world.templates[waiting.owner.template()];
        let mut behaviour = template.behaviour;
        let mut restart = RestartPolicy::Always;
        if let Owner::Task { duration, .. } = waiting.owner {
            behaviour.duration = Some(duration);
            restart = RestartPolicy::Never;
        }
        let container = ContainerSpec {
            name: "app".into(),
            image: template.image.clone(),
            requests: template.requests.clone(),
            cpu_limit: None,
            memory_limit: None,
            readiness: None,
        };
        PodSpec {
            uid: waiting.pod.uid.clone(),
            namespace: waiting.pod.namespace.clone(),
            name: waiting.pod.name.clone(),
            node: "".into(),
            priority: 0,
            restart,
            init: Vec::new(),
            containers: vec![container],
            demand: NodeDemand::default(),
            qos: Qos::Burstable,
            host_network: false,
            tolerates_memory_pressure: false,
            tolerates_disk_pressure: false,
            behaviour,
        }
    }
}

fn core_time(at: Millis) -> Timestamp {
    Timestamp::from_micros(at.saturating_mul(1_000))
}
