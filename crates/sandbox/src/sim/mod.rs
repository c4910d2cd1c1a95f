//! The physics of a simulated cluster: kubelets, containers, pressure, failing nodes. Pure: time comes in, effects come out.
//!
//! Entry point: [`Sim::step`]. Work happens only when something changes (a heap of timers); usage is a function of time that
//! is evaluated when asked for. `kubelet` holds the life of a pod, `node` what happens to whole nodes.

mod admit;
mod kubelet;
mod node;
mod report;
mod rng;
mod shape;
mod spec;
mod truth;
mod usage;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

pub use report::{
    ContainerReport, ContainerState, Effect, EventReport, NodeCondition, NodeReport, Phase, PodReport, Subject,
    Termination,
};
pub use rng::{Purpose, Rng, stream};
pub use shape::{Curve, Fitted, KNOTS, PROBABILITIES, Shape, ShapeClass, fitted, pick, quantile};
pub use spec::{
    Archetype, Behaviour, Character, ContainerSpec, EVICTION_MEMORY, GIB, MIB, Millis, NodeDemand, NodeSpec, PodSpec,
    Probe, Qos, Resources, RestartPolicy, Taint,
};
pub use truth::{Harm, HarmCause, NodeTruth};
pub use usage::Usage;

use kubelet::Pod;
use node::Node;

/// How the simulation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimOptions {
    /// All randomness comes from here.
    pub seed: u64,
    /// Time between heartbeats of a node; `None`: no heartbeats.
    pub heartbeat: Option<Millis>,
    /// Pods start at once and nothing ever happens to them; admission still holds. For traces at full speed.
    pub instant: bool,
    /// Harms are kept with their hidden cause for [`Sim::take_harms`], which then has to be called now and again.
    pub truth: bool,
}

/// What happens to the simulated cluster from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A machine is there; one that is known already is ignored.
    NodeAdded(Box<NodeSpec>),
    /// A machine is gone with all its pods.
    NodeRemoved(Arc<str>),
    /// A pod is bound to a node; one that is known already is ignored.
    PodBound(Box<PodSpec>),
    /// A pod is being deleted: its containers have `grace` to stop.
    PodDeleted {
        /// UID of the pod.
        uid: Arc<str>,
        /// Time to stop.
        grace: Millis,
    },
    /// The object of a pod is gone, whatever its containers do.
    PodGone {
        /// UID of the pod.
        uid: Arc<str>,
    },
    /// Something befalls a node.
    Fault {
        /// The node.
        node: Arc<str>,
        /// What.
        fault: Fault,
        /// For how long; `None`: for good.
        lasts: Option<Millis>,
    },
    /// Nothing but the passing of time.
    Time,
}

/// What can befall a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The machine is off: containers stop, nothing is reported. When it comes back, containers start again.
    Die,
    /// No network: containers go on, nothing is reported.
    Disconnect,
    /// Daemons take the memory, as on a node of that character.
    Starve,
    /// Throttles, as a node of the character `hot`.
    Heat,
    /// The disk is slow and fills up, as on a node of the character `slow-disk`.
    SlowDisk,
}

/// How many pods are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nodes.
    pub nodes: usize,
    /// Pods that were ever bound to a node.
    pub bound: u64,
    /// Pods on nodes now, by phase.
    pub pending: usize,
    /// Running now.
    pub running: usize,
    /// Pods that ever succeeded.
    pub succeeded: u64,
    /// Pods that ever failed, evictions and refusals included.
    pub failed: u64,
    /// Evictions so far.
    pub evicted: u64,
    /// Refusals at admission so far.
    pub rejected: u64,
    /// Containers killed for memory so far.
    pub oom_killed: u64,
    /// Restarts of containers so far.
    pub restarts: u64,
}

/// Usage of one container of a running pod.
#[derive(Debug, Clone, PartialEq)]
pub struct PodUsage {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// The node it runs on.
    pub node: Arc<str>,
    /// Running containers with their usage.
    pub containers: Vec<(Arc<str>, Usage)>,
}

/// One run of a container, as its cgroup shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerCgroup {
    /// Namespace.
    pub namespace: Arc<str>,
    /// The pod.
    pub pod: Arc<str>,
    /// The pod's uid.
    pub uid: Arc<str>,
    /// The container.
    pub container: Arc<str>,
    /// Its image.
    pub image: Arc<str>,
    /// When it was started.
    pub since: Millis,
    /// What it uses.
    pub usage: Usage,
    /// CPU limit in thousandths of a core.
    pub cpu_limit: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Heartbeat { node: usize },
    Check { node: usize },
    Spell { node: usize },
    FaultEnds { node: usize, epoch: u32 },
    Container { pod: u64, index: usize, run: u32, what: What },
    Stopped { pod: u64 },
}

/// What a timer of a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Try the image again.
    Pull,
    /// It runs.
    Start,
    /// The readiness probe succeeds.
    Ready,
    /// It exits by itself with this code.
    Exit(i32),
    /// It fails soon after its start because its node is hot or overloaded.
    Stressed,
    /// It reaches its memory limit.
    OutOfMemory,
    /// The back-off is over.
    Restart,
    /// An init container is through.
    InitDone,
}

/// The simulated cluster.
#[derive(Debug)]
pub struct Sim {
    options: SimOptions,
    rng: Rng,
    now: Millis,
    /// The time that the present step leads to.
    target: Millis,
    nodes: Vec<Node>,
    node_index: HashMap<Arc<str>, usize>,
    pods: HashMap<u64, Pod>,
    pod_index: HashMap<Arc<str>, u64>,
    next_pod: u64,
    /// Bounded by the number of live containers and nodes: each has at most a few timers, stale ones are dropped when due.
    timers: BinaryHeap<Reverse<(Millis, u64, Timer)>>,
    next_timer: u64,
    dirty: Vec<u64>,
    effects: Vec<Effect>,
    harms: Vec<Harm>,
    counts: Counts,
}

impl Sim {
    /// An empty cluster at `now`.
    #[must_use]
    pub fn new(options: SimOptions, now: Millis) -> Self {
        Sim {
            options,
            rng: Rng::new(options.seed),
            now,
            target: now,
            nodes: Vec::new(),
            node_index: HashMap::new(),
            pods: HashMap::new(),
            pod_index: HashMap::new(),
            next_pod: 0,
            timers: BinaryHeap::new(),
            next_timer: 0,
            dirty: Vec::new(),
            effects: Vec::new(),
            harms: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Lets time pass until `now`, takes `input`, and says what follows. Time that lies in the past counts as the present.
    pub fn step(&mut self, now: Millis, input: Input) -> Vec<Effect> {
        self.pass(now);
        match input {
            Input::NodeAdded(spec) => self.add_node(*spec),
            Input::NodeRemoved(name) => self.remove_node(&name),
            Input::PodBound(spec) => self.add_pod(*spec),
            Input::PodDeleted { uid, grace } => self.stop_pod(&uid, grace),
            Input::PodGone { uid } => self.drop_pod(&uid),
            Input::Fault { node, fault, lasts } => self.fault(&node, fault, lasts),
            Input::Time => {}
        }
        self.report_dirty();
        std::mem::take(&mut self.effects)
    }

    /// When something happens by itself next.
    #[must_use]
    pub fn next_timer(&self) -> Option<Millis> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// How many pods are in which state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { nodes: self.node_index.len(), ..self.counts }
    }

    /// Whether the pod with this UID is known.
    #[must_use]
    pub fn knows(&self, uid: &str) -> bool {
        self.pod_index.contains_key(uid)
    }

    /// UIDs of all known pods, in no order.
    pub fn uids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pod_index.keys()
    }

    /// Nodes that report metrics at `now`, with their usage.
    #[must_use]
    pub fn node_usage(&self, now: Millis) -> Vec<(Arc<str>, Usage)> {
        self.node_index_sorted()
            .into_iter()
            .filter(|index| self.nodes[*index].reachable())
            .map(|index| {
                let node = &self.nodes[index];
                let mut usage = self.demand(index, now);
                usage.cpu_milli = usage.cpu_milli.min(node.effective_cpu());
                usage.memory = usage.memory.min(node.spec.capacity.memory);
                (node.spec.name.clone(), usage)
            })
            .collect()
    }

    /// Running pods on nodes that report metrics at `now`, in order of node and arrival. Where a node's CPU does not suffice,
    /// each gets its share.
    #[must_use]
    pub fn pod_usage(&self, now: Millis) -> Vec<PodUsage> {
        let mut all: Vec<PodUsage> = Vec::new();
        for index in self.node_index_sorted() {
            let node = &self.nodes[index];
            if !node.reachable() {
                continue;
            }
            let mut demand = usage::daemons(self.rng, node.stream, &node.spec, node.starving(), now).cpu_milli;
            let first = all.len();
            for pod in node.pods.iter().filter_map(|id| self.pods.get(id)) {
                let mut containers = Vec::with_capacity(pod.containers.len());
                for (i, since) in pod.running() {
                    let usage = self.container_usage(pod, i, since, now);
                    demand += usage.cpu_milli;
                    containers.push((pod.spec.containers[i].name.clone(), usage));
                }
                if !containers.is_empty() {
                    let (namespace, name) = (pod.spec.namespace.clone(), pod.spec.name.clone());
                    all.push(PodUsage { namespace, name, node: node.spec.name.clone(), containers });
                }
            }
            let squeeze = (node.effective_cpu() / demand.max(1.0)).min(1.0);
            for (_, usage) in all[first..].iter_mut().flat_map(|pod| &mut pod.containers) {
                usage.cpu_milli *= squeeze;
            }
        }
        all
    }

    /// What cgroups of this node tell at `now`: its own usage, then that of each running container. `None` when there is no such
    /// node, or it does not answer.
    #[must_use]
    pub fn cgroups(&self, node: &str, now: Millis) -> Option<(NodeSpec, Usage, Vec<ContainerCgroup>)> {
        let index = *self.node_index.get(node)?;
        let node = Some(&self.nodes[index]).filter(|node| node.reachable())?;
        let mut all = self.demand(index, now);
        let squeeze = (node.effective_cpu() / all.cpu_milli.max(1.0)).min(1.0);
        all.cpu_milli = all.cpu_milli.min(node.effective_cpu());
        all.memory = all.memory.min(node.spec.capacity.memory);
        let mut cgroups = Vec::new();
        for pod in node.pods.iter().filter_map(|id| self.pods.get(id)) {
            for (place, since) in pod.running() {
                let mut usage = self.container_usage(pod, place, since, now);
                usage.cpu_milli *= squeeze;
                let spec = &pod.spec.containers[place];
                cgroups.push(ContainerCgroup {
                    namespace: pod.spec.namespace.clone(),
                    pod: pod.spec.name.clone(),
                    uid: pod.spec.uid.clone(),
                    container: spec.name.clone(),
                    image: spec.image.clone(),
                    since,
                    usage,
                    cpu_limit: spec.cpu_limit,
                });
            }
        }
        Some((node.spec.clone(), all, cgroups))
    }

    /// The address of a node.
    #[must_use]
    pub fn node_address(index: usize) -> Ipv4Addr {
        Ipv4Addr::from(0xac10_0000u32.wrapping_add(index as u32 % 0xf_ffff).wrapping_add(1))
    }

    fn node_index_sorted(&self) -> Vec<usize> {
        let mut indices: Vec<usize> = self.node_index.values().copied().collect();
        indices.sort_unstable();
        indices
    }

    fn container_usage(&self, pod: &Pod, index: usize, since: Millis, now: Millis) -> Usage {
        usage::container(self.rng, pod.stream, index, &pod.spec.containers[index], &pod.spec.behaviour, since, now)
    }

    fn pod_demand(&self, pod: &Pod, now: Millis) -> Usage {
        let mut sum = Usage::default();
        for (index, since) in pod.running() {
            sum += self.container_usage(pod, index, since, now);
        }
        sum
    }

    /// What daemons and containers of a node want.
    fn demand(&self, index: usize, now: Millis) -> Usage {
        let node = &self.nodes[index];
        let mut sum = usage::daemons(self.rng, node.stream, &node.spec, node.starving(), now);
        for pod in node.pods.iter().filter_map(|id| self.pods.get(id)) {
            sum += self.pod_demand(pod, now);
        }
        sum
    }

    /// CPU wanted over CPU there.
    fn contention(&self, index: usize, now: Millis) -> f64 {
        self.demand(index, now).cpu_milli / self.nodes[index].effective_cpu().max(1.0)
    }

    fn pass(&mut self, now: Millis) {
        self.target = self.target.max(now);
        while let Some(Reverse((at, _, timer))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            self.now = self.now.max(at);
            match timer {
                Timer::Heartbeat { node } => self.heartbeat(node),
                Timer::Check { node } => self.check(node),
                Timer::Spell { node } => self.spell(node),
                Timer::FaultEnds { node, epoch } => self.fault_ends(node, epoch),
                Timer::Container { pod, index, run, what } => self.container_timer(pod, index, run, what),
                Timer::Stopped { pod } => self.stopped(pod),
            }
        }
        self.now = self.now.max(now);
    }

    fn after(&mut self, delay: Millis, timer: Timer) {
        self.next_timer += 1;
        self.timers.push(Reverse((self.now + delay.max(0), self.next_timer, timer)));
    }

    fn touch(&mut self, pod: u64) {
        if let Some(pod) = self.pods.get_mut(&pod)
            && !pod.dirty
        {
            pod.dirty = true;
            self.dirty.push(pod.id);
        }
    }

    /// Turns touched pods into reports; those on nodes without network wait until it is back.
    fn report_dirty(&mut self) {
        for id in std::mem::take(&mut self.dirty) {
            let now = self.now;
            let Some(pod) = self.pods.get_mut(&id) else { continue };
            pod.settle(now);
            let node = &self.nodes[pod.node];
            if !node.reachable() {
                // Stays dirty and is reported when the node is back.
                self.nodes[pod.node].held.insert(id);
                continue;
            }
            pod.dirty = false;
            let report = pod.report(pod.node);
            self.effects.push(Effect::PodStatus(Box::new(report)));
        }
    }

    fn event(&mut self, node: usize, subject: Subject, warning: bool, reason: &'static str, message: String) {
        if self.options.instant || !self.nodes[node].reachable() {
            return;
        }
        let node = self.nodes[node].spec.name.clone();
        self.effects.push(Effect::Event(Box::new(EventReport {
            subject,
            node,
            warning,
            reason,
            message,
            at: self.now,
        })));
    }

    fn pod_event(&mut self, id: u64, warning: bool, reason: &'static str, message: String) {
        if let Some(pod) = self.pods.get(&id) {
            let (subject, node) = (pod.subject(), pod.node);
            self.event(node, subject, warning, reason, message);
        }
    }
}
