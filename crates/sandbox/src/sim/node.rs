//! What happens to whole nodes: heartbeats, memory and disk pressure with evictions, stress from overload and heat, spells
//! without network, faults. [`Sim::check`] is the kubelet's housekeeping and runs only where something can happen.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::kubelet::Pod;
use super::report::{Effect, NodeCondition, NodeReport, Subject};
use super::rng::{self, Purpose};
use super::spec::{Character, EVICTION_MEMORY, GIB, MIB, Millis, NodeSpec, PodSpec, Resources};
use super::usage::{self, Usage};
use super::{Fault, HarmCause, Sim, Timer};

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;

/// Time between two looks at a node that is at risk.
const CHECK: Millis = 10 * SECOND;
/// How long a pressure condition stays after its cause has gone.
const PRESSURE_STAYS: Millis = 5 * MINUTE;
/// A kubelet reports an unchanged status this often.
const STATUS_PERIOD: Millis = 5 * MINUTE;

/// Why a node does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    Off,
    NoNetwork,
}

/// A machine with its kubelet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) spec: NodeSpec,
    pub(super) stream: u64,
    pub(super) pods: BTreeSet<u64>,
    /// Requests of the pods that hold resources.
    pub(super) requested: Resources,
    pub(super) allocatable: Resources,
    /// Pods that hold resources.
    pub(super) admitted: i64,
    /// When memory or disk was last short, while the condition holds.
    pub(super) memory_pressure: Option<Millis>,
    pub(super) disk_pressure: Option<Millis>,
    /// Pods whose status could not be reported.
    pub(super) held: BTreeSet<u64>,
    images: Vec<(Arc<str>, i64)>,
    image_bytes: i64,
    slots: BTreeSet<usize>,
    next_slot: usize,
    peak: Usage,
    checking: bool,
    removed: bool,
    absence: Option<Absence>,
    starved: bool,
    heated: bool,
    slowed: bool,
    /// Counts faults, so that the end of an earlier one is recognised.
    epoch: u32,
    spells: u64,
    booted: Millis,
    changed: [Millis; 3],
    stale_status: bool,
    last_status: Millis,
}

impl Node {
    /// Whether its kubelet can talk to the API.
    pub(super) fn reachable(&self) -> bool {
        self.absence.is_none() && !self.removed
    }

    /// Whether containers run on it.
    pub(super) fn powered(&self) -> bool {
        self.absence != Some(Absence::Off) && !self.removed
    }

    /// Whether its daemons take the memory.
    pub(super) fn starving(&self) -> bool {
        self.starved || self.spec.character == Character::MemoryStarved
    }

    /// Whether it throttles.
    pub(super) fn hot(&self) -> bool {
        self.heated || self.spec.character == Character::Hot
    }

    /// Whether its disk is slow and fills up.
    pub(super) fn slow_disk(&self) -> bool {
        self.slowed || self.spec.character == Character::SlowDisk
    }

    /// Cores that work: a hot machine throttles.
    pub(super) fn effective_cpu(&self) -> f64 {
        let share = if self.hot() { 0.55 } else { 1.0 };
        self.spec.capacity.cpu_milli as f64 * share
    }

    pub(super) fn has_image(&self, image: &str) -> bool {
        self.images.iter().any(|(name, _)| &**name == image)
    }

    pub(super) fn add_image(&mut self, image: &Arc<str>, size: i64) {
        if !self.has_image(image) {
            self.images.push((image.clone(), size));
            self.image_bytes += size;
            self.stale_status = true;
        }
    }

    fn report(&self, now: Millis) -> NodeReport {
        let pressure = |kind, state: Option<Millis>, since, words: [&'static str; 4]| NodeCondition {
            kind,
            holds: state.is_some(),
            reason: words[if state.is_some() { 0 } else { 1 }],
            message: words[if state.is_some() { 2 } else { 3 }],
            since,
        };
        let memory = [
            "KubeletHasInsufficientMemory",
            "KubeletHasSufficientMemory",
            "kubelet has insufficient memory available",
            "kubelet has sufficient memory available",
        ];
        let disk = [
            "KubeletHasDiskPressure",
            "KubeletHasNoDiskPressure",
            "kubelet has disk pressure",
            "kubelet has no disk pressure",
        ];
        let pid = ["", "KubeletHasSufficientPID", "", "kubelet has sufficient PID available"];
        let mut images = self.images.clone();
        images.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        NodeReport {
            name: self.spec.name.clone(),
            conditions: vec![
                pressure("MemoryPressure", self.memory_pressure, self.changed[0], memory),
                pressure("DiskPressure", self.disk_pressure, self.changed[1], disk),
                pressure("PIDPressure", None, self.booted, pid),
                NodeCondition {
                    kind: "Ready",
                    holds: true,
                    reason: "KubeletReady",
                    message: "kubelet is posting ready status",
                    since: self.changed[2],
                },
            ],
            images,
            at: now,
        }
    }
}

impl Sim {
    pub(super) fn add_node(&mut self, spec: NodeSpec) {
        if self.node_index.contains_key(&spec.name) {
            return;
        }
        let index = self.nodes.len();
        let now = self.now;
        let images: Vec<(Arc<str>, i64)> =
            spec.images.iter().map(|image| (Arc::from(image.as_str()), usage::image_size(self.rng, image))).collect();
        let node = Node {
            stream: rng::stream(&[&spec.name]),
            pods: BTreeSet::new(),
            requested: Resources::default(),
            allocatable: spec.allocatable(),
            admitted: 0,
            memory_pressure: None,
            disk_pressure: None,
            held: BTreeSet::new(),
            image_bytes: images.iter().map(|(_, size)| size).sum(),
            images,
            slots: BTreeSet::new(),
            next_slot: 0,
            peak: Usage::default(),
            checking: false,
            removed: false,
            absence: None,
            starved: false,
            heated: false,
            slowed: false,
            epoch: 0,
            spells: 0,
            booted: now,
            changed: [now; 3],
            stale_status: false,
            last_status: now,
            spec,
        };
        self.node_index.insert(node.spec.name.clone(), index);
        self.effects.push(Effect::NodeStatus(Box::new(node.report(now))));
        let (stream, character) = (node.stream, node.spec.character);
        self.nodes.push(node);
        if let Some(period) = self.options.heartbeat {
            let phase = self.rng.between(stream, Purpose::Phase, 0, 0.0, period as f64) as Millis;
            self.after(phase, Timer::Heartbeat { node: index });
        }
        if self.options.instant {
            return;
        }
        if character == Character::FlappingNetwork {
            let first = self.rng.between(stream, Purpose::Spell, 0, 60e3, 420e3) as Millis;
            self.after(first, Timer::Spell { node: index });
        }
        self.watch_over(index);
    }

    pub(super) fn remove_node(&mut self, name: &Arc<str>) {
        let Some(index) = self.node_index.remove(name) else { return };
        self.nodes[index].removed = true;
        for id in std::mem::take(&mut self.nodes[index].pods) {
            if let Some(uid) = self.pods.get(&id).map(|pod| pod.spec.uid.clone()) {
                self.drop_pod(&uid);
            }
        }
    }

    /// Takes resources for a pod; returns the slot its address comes from.
    pub(super) fn occupy(&mut self, index: usize, id: u64) -> usize {
        let Some(pod) = self.pods.get(&id) else { return 0 };
        let node = &mut self.nodes[index];
        node.pods.insert(id);
        node.admitted += 1;
        node.requested.add(&pod.spec.requests(), 1);
        add_peak(&mut node.peak, &pod.spec, 1);
        let slot = node.slots.pop_first().unwrap_or_else(|| {
            node.next_slot += 1;
            node.next_slot - 1
        });
        self.watch_over(index);
        slot
    }

    pub(super) fn vacate(&mut self, index: usize, id: u64, slot: usize) {
        let Some(pod) = self.pods.get(&id) else { return };
        release(&mut self.nodes[index], id, slot, &pod.spec);
    }

    pub(super) fn vacate_spec(&mut self, index: usize, id: u64, slot: usize, spec: &PodSpec) {
        release(&mut self.nodes[index], id, slot, spec);
    }

    /// Whether anything can happen on this node at all.
    fn at_risk(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        let capacity = &node.spec.capacity;
        node.starving()
            || node.hot()
            || node.slow_disk()
            || node.memory_pressure.is_some()
            || node.disk_pressure.is_some()
            || node.peak.memory + capacity.memory / 20 + 300 * MIB > capacity.memory - EVICTION_MEMORY
            || node.peak.cpu_milli > capacity.cpu_milli as f64 * 0.9
    }

    fn watch_over(&mut self, index: usize) {
        if !self.options.instant && !self.nodes[index].checking && self.at_risk(index) {
            self.nodes[index].checking = true;
            self.after(CHECK, Timer::Check { node: index });
        }
    }

    pub(super) fn heartbeat(&mut self, index: usize) {
        let Some(period) = self.options.heartbeat else { return };
        let now = self.now;
        let node = &mut self.nodes[index];
        if node.removed {
            return;
        }
        if node.reachable() {
            self.effects.push(Effect::Heartbeat(node.spec.name.clone()));
            if node.stale_status || now - node.last_status >= STATUS_PERIOD {
                node.stale_status = false;
                node.last_status = now;
                self.effects.push(Effect::NodeStatus(Box::new(node.report(now))));
            }
        }
        // After a leap of the clock one heartbeat stands for all that were missed.
        let missed = (self.target - now).max(0) / period;
        self.after(period * (missed + 1), Timer::Heartbeat { node: index });
    }

    /// The kubelet's housekeeping.
    pub(super) fn check(&mut self, index: usize) {
        self.nodes[index].checking = false;
        if self.nodes[index].removed {
            return;
        }
        if self.nodes[index].powered() {
            self.check_memory(index);
            self.check_disk(index);
            self.check_stress(index);
        }
        self.watch_over(index);
    }

    fn check_memory(&mut self, index: usize) {
        let now = self.now;
        let capacity = self.nodes[index].spec.capacity.memory;
        let mut available = capacity - self.demand(index, now).memory;
        while available < 0 {
            // The kernel did not wait for the kubelet.
            let Some((id, usage)) = self.worst(index, |sim, pod| {
                let usage = sim.pod_demand(pod, now).memory;
                let score = usage as f64 / capacity.max(1) as f64;
                (std::cmp::Reverse(pod.spec.qos), (score * 1e6) as i64, usage)
            }) else {
                break;
            };
            let Some((container, _)) = self.pods.get(&id).and_then(|pod| pod.running().next()) else { break };
            self.harm(id, HarmCause::Memory);
            self.oom(id, container);
            let name = self.nodes[index].spec.name.clone();
            self.event(index, Subject::Node(name), true, "SystemOOM", "System OOM encountered".to_owned());
            available += usage.max(1);
        }
        if available < EVICTION_MEMORY {
            self.set_pressure(index, true, true);
            if let Some((id, _)) = self.worst(index, |sim, pod| {
                let usage = sim.pod_demand(pod, now).memory;
                let over = usage - pod.spec.requests().memory;
                (over > 0, std::cmp::Reverse(pod.spec.priority), over)
            }) {
                self.harm(id, HarmCause::Memory);
                let message = self.eviction_message(id, "memory", EVICTION_MEMORY, available.max(0));
                self.evict(id, message);
            }
        } else {
            self.set_pressure(index, true, false);
        }
    }

    fn check_disk(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let threshold = node.spec.disk / 10;
        let pods = node.pods.len();
        let mut available = node.spec.disk
            - node.image_bytes
            - usage::disk(self.rng, node.stream, &node.spec, node.slow_disk(), pods, now);
        if available < threshold {
            // Images that no pod uses go first.
            let used: BTreeSet<Arc<str>> = node
                .pods
                .iter()
                .filter_map(|id| self.pods.get(id))
                .flat_map(|pod| pod.spec.containers.iter().map(|c| c.image.clone()))
                .collect();
            let node = &mut self.nodes[index];
            let before = node.image_bytes;
            node.images.retain(|(image, _)| used.contains(image));
            node.image_bytes = node.images.iter().map(|(_, size)| size).sum();
            available += before - node.image_bytes;
            node.stale_status |= before != node.image_bytes;
        }
        if available < threshold {
            self.set_pressure(index, false, true);
            if let Some((id, _)) =
                self.worst(index, |_, pod| (std::cmp::Reverse(pod.spec.priority), std::cmp::Reverse(pod.id), 0))
            {
                self.harm(id, HarmCause::Disk);
                let message = self.eviction_message(id, "ephemeral-storage", threshold, available.max(0));
                self.evict(id, message);
            }
        } else {
            self.set_pressure(index, false, false);
        }
    }

    /// The running pod with the highest rank, and the last part of its rank.
    fn worst<A: Ord, B: Ord>(&self, index: usize, rank: impl Fn(&Sim, &Pod) -> (A, B, i64)) -> Option<(u64, i64)> {
        let candidates = self.nodes[index].pods.iter().filter_map(|id| self.pods.get(id));
        candidates
            .filter(|pod| !pod.stopping() && pod.running().next().is_some())
            .map(|pod| (rank(self, pod), pod.id))
            .max()
            .map(|((_, _, last), id)| (id, last))
    }

    fn eviction_message(&self, id: u64, resource: &str, threshold: i64, available: i64) -> String {
        let mut message = format!(
            "The node was low on resource: {resource}. Threshold quantity: {}, available: {}. ",
            shown_bytes(threshold),
            shown_kib(available)
        );
        if resource == "memory"
            && let Some(pod) = self.pods.get(&id)
        {
            for (i, since) in pod.running() {
                let spec = &pod.spec.containers[i];
                let used = self.container_usage(pod, i, since, self.now).memory;
                if used > spec.requests.memory {
                    message.push_str(&format!(
                        "Container {} was using {}, request is {}, has larger consumption of {resource}. ",
                        spec.name,
                        shown_kib(used),
                        shown_bytes(spec.requests.memory)
                    ));
                }
            }
        }
        message
    }

    /// Notes whether a resource is short now; the condition outlasts its cause.
    fn set_pressure(&mut self, index: usize, memory: bool, short: bool) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let slot = if memory { &mut node.memory_pressure } else { &mut node.disk_pressure };
        let before = slot.is_some();
        if short {
            *slot = Some(now);
        } else if slot.is_some_and(|last| now - last >= PRESSURE_STAYS) {
            *slot = None;
        }
        let after = slot.is_some();
        if before == after {
            return;
        }
        node.changed[usize::from(!memory)] = now;
        node.last_status = now;
        if node.reachable() {
            let report = node.report(now);
            self.effects.push(Effect::NodeStatus(Box::new(report)));
        } else {
            node.stale_status = true;
        }
        let name = self.nodes[index].spec.name.clone();
        let reason = match (memory, after) {
            (true, true) => "NodeHasInsufficientMemory",
            (true, false) => "NodeHasSufficientMemory",
            (false, true) => "NodeHasDiskPressure",
            (false, false) => "NodeHasNoDiskPressure",
        };
        let message = format!("Node {name} status is now: {reason}");
        self.event(index, Subject::Node(name), false, reason, message);
    }

    /// Overload and heat make probes fail and containers die.
    fn check_stress(&mut self, index: usize) {
        let contention = self.contention(index, self.now);
        let hot = self.nodes[index].hot();
        let stress = (contention - 0.95).clamp(0.0, 2.0) + if hot { 0.05 + 0.4 * contention.min(1.5) } else { 0.0 };
        let risk = (0.06 * stress).min(0.04);
        if risk <= 0.0 {
            return;
        }
        let ids: Vec<u64> = self.nodes[index].pods.iter().copied().collect();
        for id in ids {
            let Some(pod) = self.pods.get_mut(&id) else { continue };
            if pod.stopping() {
                continue;
            }
            pod.stressed += 1;
            let (stream, number) = (pod.stream, pod.stressed);
            let Some((container, _)) = pod.running().next() else { continue };
            let draw = self.rng.unit(stream, Purpose::Stress, number);
            if draw < risk / 2.0 {
                let lasts = self.rng.between(stream, Purpose::Stress, number ^ (1 << 40), 10e3, 60e3) as Millis;
                self.unready(id, lasts);
            } else if draw < risk {
                if let Some(pod) = self.pods.get(&id) {
                    let name = &pod.spec.containers[container].name;
                    let text = format!("Container {name} failed liveness probe, will be restarted");
                    self.pod_event(id, false, "Killing", text);
                }
                self.harm(id, HarmCause::Cpu);
                self.exited(id, container, 137, "Error");
            }
        }
    }

    /// A flapping node loses its network, or gets it back.
    pub(super) fn spell(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.removed {
            return;
        }
        node.spells += 1;
        let (stream, number) = (node.stream, node.spells);
        let lasts = match node.absence {
            None => {
                node.absence = Some(Absence::NoNetwork);
                self.rng.between(stream, Purpose::Spell, number, 60e3, 240e3)
            }
            Some(Absence::NoNetwork) => {
                self.back(index);
                self.rng.between(stream, Purpose::Spell, number, 240e3, 900e3)
            }
            Some(Absence::Off) => 60e3,
        };
        self.after(lasts as Millis, Timer::Spell { node: index });
    }

    pub(super) fn fault(&mut self, name: &Arc<str>, fault: Fault, lasts: Option<Millis>) {
        let Some(index) = self.node_index.get(name).copied() else { return };
        let node = &mut self.nodes[index];
        node.epoch += 1;
        let epoch = node.epoch;
        match fault {
            Fault::Die => {
                if node.powered() {
                    let ids: Vec<u64> = node.pods.iter().copied().collect();
                    node.absence = Some(Absence::Off);
                    for id in ids {
                        self.harm(id, HarmCause::Power);
                        self.power_off(id);
                    }
                }
            }
            Fault::Disconnect => {
                node.absence.get_or_insert(Absence::NoNetwork);
            }
            Fault::Starve => node.starved = true,
            Fault::Heat => node.heated = true,
            Fault::SlowDisk => node.slowed = true,
        }
        self.watch_over(index);
        if let Some(lasts) = lasts {
            self.after(lasts, Timer::FaultEnds { node: index, epoch });
        }
    }

    pub(super) fn fault_ends(&mut self, index: usize, epoch: u32) {
        let node = &mut self.nodes[index];
        if node.removed || node.epoch != epoch {
            return;
        }
        (node.starved, node.heated, node.slowed) = (false, false, false);
        if node.absence.is_some() {
            self.back(index);
        }
    }

    /// A node answers again: it reports itself, and what it could not report before.
    fn back(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let was_off = node.absence == Some(Absence::Off);
        node.absence = None;
        node.changed[2] = now;
        node.last_status = now;
        if was_off {
            node.booted = now;
        }
        let ids: Vec<u64> = node.pods.iter().copied().collect();
        let held = std::mem::take(&mut node.held);
        let report = node.report(now);
        let name = node.spec.name.clone();
        self.effects.push(Effect::Heartbeat(name.clone()));
        self.effects.push(Effect::NodeStatus(Box::new(report)));
        if was_off {
            self.event(index, Subject::Node(name), false, "Starting", "Starting kubelet.".to_owned());
        }
        // A finished pod is no longer among the pods of its node, but its end may still be untold.
        self.dirty.extend(held);
        for id in ids {
            if was_off {
                self.power_on(id);
            } else {
                self.notice(id);
            }
            self.touch(id);
            if self.pods.get(&id).is_some_and(Pod::stopping) {
                self.after(SECOND, Timer::Stopped { pod: id });
            }
        }
    }
}

fn add_peak(peak: &mut Usage, spec: &PodSpec, sign: i64) {
    for container in &spec.containers {
        let one = usage::peak(container, &spec.behaviour);
        peak.cpu_milli += sign as f64 * one.cpu_milli;
        peak.memory += sign * one.memory;
    }
}

fn release(node: &mut Node, id: u64, slot: usize, spec: &PodSpec) {
    if node.pods.remove(&id) {
        node.admitted -= 1;
        node.requested.add(&spec.requests(), -1);
        add_peak(&mut node.peak, spec, -1);
        node.slots.insert(slot);
    }
}

/// Bytes as a short quantity.
fn shown_bytes(bytes: i64) -> String {
    if bytes > 0 && bytes % GIB == 0 {
        format!("{}Gi", bytes / GIB)
    } else if bytes > 0 && bytes % MIB == 0 {
        format!("{}Mi", bytes / MIB)
    } else {
        bytes.to_string()
    }
}

/// Bytes as the kubelet measures them.
fn shown_kib(bytes: i64) -> String {
    format!("{}Ki", bytes / 1024)
}
