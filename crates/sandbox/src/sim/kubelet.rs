//! The life of a pod on its node: admission, images, starts, probes, exits, restarts with back-off, stopping.
//! [`Sim::add_pod`] begins it, [`Sim::stop_pod`] or [`Sim::drop_pod`] ends it.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::report::{ContainerReport, ContainerState, Effect, Phase, PodReport, Subject, Termination};
use super::rng::{self, Purpose};
use super::spec::{Archetype, Character, Millis, PodSpec, RestartPolicy};
use super::{HarmCause, Sim, Timer, What, admit, usage};

const SECOND: Millis = 1_000;

/// First wait before a restart; it doubles up to [`MAX_BACK_OFF`].
const MIN_BACK_OFF: Millis = 10 * SECOND;
const MAX_BACK_OFF: Millis = 300 * SECOND;
/// A container that ran for so long starts again without a wait.
const BACK_OFF_RESET: Millis = 600 * SECOND;

/// Exit code of a process that was killed.
const KILLED: i32 = 137;

/// A container while its pod is on a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Container {
    pub(super) state: ContainerState,
    pub(super) last: Option<Termination>,
    pub(super) ready: bool,
    pub(super) restarts: u32,
    /// The wait before the next restart; 0: none yet.
    back_off: Millis,
    /// Counts starts and stops, so that timers of an earlier run are recognised.
    pub(super) run: u32,
    /// How often it was tried at all, for draws.
    attempts: u64,
}

impl Container {
    fn waiting(reason: &'static str) -> Self {
        Container {
            state: ContainerState::Waiting { reason, message: String::new() },
            last: None,
            ready: false,
            restarts: 0,
            back_off: 0,
            run: 0,
            attempts: 0,
        }
    }

    pub(super) fn running_since(&self) -> Option<Millis> {
        match self.state {
            ContainerState::Running { since } => Some(since),
            _ => None,
        }
    }
}

/// A pod on a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pod {
    pub(super) id: u64,
    pub(super) spec: PodSpec,
    pub(super) stream: u64,
    pub(super) node: usize,
    pub(super) phase: Phase,
    reason: Cow<'static, str>,
    message: String,
    evicted: bool,
    start_time: Millis,
    ip: Option<Ipv4Addr>,
    slot: usize,
    initialized: (bool, Millis),
    ready: (bool, Millis),
    init: Vec<Container>,
    pub(super) containers: Vec<Container>,
    /// Its kubelet has heard of it.
    seen: bool,
    /// It is being deleted, with this much time to stop.
    grace: Option<Millis>,
    /// Draws for stress that were made so far.
    pub(super) stressed: u64,
    pub(super) dirty: bool,
}

impl Pod {
    /// Running containers by index, with their start.
    pub(super) fn running(&self) -> impl Iterator<Item = (usize, Millis)> + '_ {
        self.containers.iter().enumerate().filter_map(|(i, c)| c.running_since().map(|since| (i, since)))
    }

    pub(super) fn subject(&self) -> Subject {
        Subject::Pod {
            uid: self.spec.uid.clone(),
            namespace: self.spec.namespace.clone(),
            name: self.spec.name.clone(),
        }
    }

    /// Whether it is being deleted.
    pub(super) fn stopping(&self) -> bool {
        self.grace.is_some()
    }

    /// Whether it holds resources.
    pub(super) fn active(&self) -> bool {
        matches!(self.phase, Phase::Pending | Phase::Running)
    }

    /// Notes since when readiness is what it is.
    pub(super) fn settle(&mut self, now: Millis) {
        let ready = self.active() && !self.containers.is_empty() && self.containers.iter().all(|c| c.ready);
        if ready != self.ready.0 {
            self.ready = (ready, now);
        }
    }

    pub(super) fn report(&self, node: usize) -> PodReport {
        let rows = |specs: &[super::ContainerSpec], containers: &[Container]| {
            specs
                .iter()
                .zip(containers)
                .map(|(spec, container)| ContainerReport {
                    name: spec.name.clone(),
                    image: spec.image.clone(),
                    state: container.state.clone(),
                    last: container.last.clone(),
                    ready: container.ready,
                    restarts: container.restarts,
                })
                .collect()
        };
        PodReport {
            uid: self.spec.uid.clone(),
            namespace: self.spec.namespace.clone(),
            name: self.spec.name.clone(),
            phase: self.phase,
            reason: self.reason.clone(),
            message: self.message.clone(),
            start_time: self.start_time,
            pod_ip: self.ip,
            host_ip: Sim::node_address(node),
            initialized: self.initialized,
            ready: self.ready,
            evicted: self.evicted,
            init: rows(&self.spec.init, &self.init),
            containers: rows(&self.spec.containers, &self.containers),
        }
    }
}

impl Sim {
    pub(super) fn add_pod(&mut self, spec: PodSpec) {
        let Some(index) = self.node_index.get(&spec.node).copied() else { return };
        if self.pod_index.contains_key(&spec.uid) {
            return;
        }
        self.next_pod += 1;
        let id = self.next_pod;
        let now = self.now;
        let first = if spec.init.is_empty() { "ContainerCreating" } else { "PodInitializing" };
        let pod = Pod {
            id,
            stream: rng::stream(&[&spec.namespace, &spec.name]),
            node: index,
            phase: Phase::Pending,
            reason: Cow::Borrowed(""),
            message: String::new(),
            evicted: false,
            start_time: now,
            ip: None,
            slot: 0,
            initialized: (spec.init.is_empty(), now),
            ready: (false, now),
            init: spec.init.iter().map(|_| Container::waiting("PodInitializing")).collect(),
            containers: spec.containers.iter().map(|_| Container::waiting(first)).collect(),
            seen: false,
            grace: None,
            stressed: 0,
            dirty: false,
            spec,
        };
        self.counts.bound += 1;
        self.pod_index.insert(pod.spec.uid.clone(), id);
        let verdict = admit::verdict(&self.nodes[index], &pod.spec);
        self.pods.insert(id, pod);
        if let Err(refusal) = verdict {
            self.counts.rejected += 1;
            self.counts.failed += 1;
            if let Some(pod) = self.pods.get_mut(&id) {
                pod.phase = Phase::Failed;
                pod.reason = refusal.reason.clone();
                pod.message.clone_from(&refusal.message);
                pod.containers.clear();
                pod.init.clear();
            }
            self.touch(id);
            if let Some(pod) = self.pods.get(&id) {
                // The reason of an event is a fixed word; the exact one is in the status.
                let reason = if pod.reason == "Evicted" { "Evicted" } else { "FailedAdmission" };
                self.pod_event(id, true, reason, refusal.message);
            }
            return;
        }
        self.counts.pending += 1;
        let slot = self.occupy(index, id);
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.slot = slot;
            pod.ip = Some(if pod.spec.host_network {
                Sim::node_address(index)
            } else {
                // A /24 per node; what does not fit into it starts over, which only the trace's instant pods can reach.
                Ipv4Addr::from(0x0a00_0000u32 + (index as u32 % 0xffff) * 256 + 2 + (slot % 253) as u32)
            });
        }
        self.touch(id);
        self.notice(id);
    }

    /// The kubelet hears of a pod, at once or when its network is back, and starts it.
    pub(super) fn notice(&mut self, id: u64) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(&id).filter(|pod| !pod.seen && pod.grace.is_none()) else { return };
        if self.nodes[pod.node].reachable() {
            pod.seen = true;
            pod.start_time = now;
            self.begin(id);
        }
    }

    /// Starts what runs first: init containers, or all containers.
    fn begin(&mut self, id: u64) {
        let Some(pod) = self.pods.get(&id) else { return };
        if self.options.instant {
            let containers = pod.containers.len();
            for index in 0..containers {
                self.started(id, index);
            }
        } else if pod.initialized.0 {
            for index in 0..pod.containers.len() {
                self.pull(id, index);
            }
        } else {
            self.begin_init(id, 0);
        }
    }

    fn begin_init(&mut self, id: u64, index: usize) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let Some(container) = pod.init.get_mut(index) else {
            pod.initialized = (true, now);
            for container in &mut pod.containers {
                container.state = ContainerState::Waiting { reason: "PodInitializing", message: String::new() };
            }
            for index in 0..pod.containers.len() {
                self.pull(id, index);
            }
            return;
        };
        container.state = ContainerState::Running { since: now };
        container.run += 1;
        let run = container.run;
        let takes = self.rng.between(pod.stream, Purpose::Duration, 1_000 + index as u64, 500.0, 3_000.0) as Millis;
        self.after(takes, Timer::Container { pod: id, index, run, what: What::InitDone });
        self.touch(id);
    }

    /// Gets the image, then starts the container.
    fn pull(&mut self, id: u64, index: usize) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let Some(container) = pod.containers.get_mut(index) else { return };
        container.run += 1;
        container.attempts += 1;
        let (run, attempt, stream, node_index) = (container.run, container.attempts, pod.stream, pod.node);
        let image = pod.spec.containers[index].image.clone();
        let name = pod.spec.containers[index].name.clone();
        let draw = attempt * 64 + index as u64;
        let node = &self.nodes[node_index];
        let slow = if node.slow_disk() { 5.0 } else { 1.0 };
        let mut delay = 0;
        if node.has_image(&image) {
            let text = format!("Container image \"{image}\" already present on machine and can be accessed by the pod");
            self.pod_event(id, false, "Pulled", text);
        } else {
            let flaky = node.spec.character == Character::FlappingNetwork;
            if flaky && self.rng.unit(stream, Purpose::PullFails, draw) < 0.35 {
                self.harm(id, HarmCause::Network);
                self.pull_failed(id, index, run, &image);
                return;
            }
            let size = usage::image_size(self.rng, &image);
            let rate =
                self.rng.between(stream, Purpose::Pull, draw, 40e6, 120e6) / slow / if flaky { 3.0 } else { 1.0 };
            delay = 400 + (size as f64 / rate * 1e3) as Millis;
            self.pod_event(id, false, "Pulling", format!("Pulling image \"{image}\""));
        }
        let crowded = self.contention(node_index, self.now);
        let hot = if self.nodes[node_index].hot() { 2.5 } else { 1.0 };
        let base = self.rng.between(stream, Purpose::Start, draw, 150.0, 900.0);
        delay += (base * slow.sqrt() * hot * (1.0 + 3.0 * (crowded - 0.7).max(0.0))) as Millis;
        self.after(delay, Timer::Container { pod: id, index, run, what: What::Start });
        let _ = name;
    }

    fn pull_failed(&mut self, id: u64, index: usize, run: u32, image: &str) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let Some(container) = pod.containers.get_mut(index) else { return };
        let again =
            matches!(&container.state, ContainerState::Waiting { reason: "ErrImagePull" | "ImagePullBackOff", .. });
        let error = format!("failed to pull and unpack image \"{image}\": dial tcp: i/o timeout");
        container.state = if again {
            let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {error}");
            ContainerState::Waiting { reason: "ImagePullBackOff", message }
        } else {
            ContainerState::Waiting { reason: "ErrImagePull", message: error.clone() }
        };
        container.back_off = (container.back_off * 2).clamp(MIN_BACK_OFF, MAX_BACK_OFF);
        let wait = container.back_off;
        self.after(wait, Timer::Container { pod: id, index, run, what: What::Pull });
        self.touch(id);
        self.pod_event(id, true, "Failed", format!("Failed to pull image \"{image}\": {error}"));
    }

    fn started(&mut self, id: u64, index: usize) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let Some(container) = pod.containers.get_mut(index) else { return };
        if matches!(container.state, ContainerState::Waiting { reason: "ErrImagePull" | "ImagePullBackOff", .. }) {
            container.back_off = 0;
        }
        container.state = ContainerState::Running { since: now };
        if pod.phase == Phase::Pending {
            pod.phase = Phase::Running;
            self.counts.pending = self.counts.pending.saturating_sub(1);
            self.counts.running += 1;
        }
        let spec = &pod.spec.containers[index];
        let (run, attempt) = (container.run, container.attempts);
        let timer = |what| Timer::Container { pod: id, index, run, what };
        let (node_index, stream, probe) = (pod.node, pod.stream, spec.readiness);
        container.ready = self.options.instant || probe.is_none();
        let (image, name) = (spec.image.clone(), spec.name.clone());
        let behaviour = pod.spec.behaviour;
        let limit = usage::reaches_limit(self.rng, stream, index, spec, &behaviour);
        self.touch(id);
        if self.options.instant {
            return;
        }
        self.nodes[node_index].add_image(&image, usage::image_size(self.rng, &image));
        self.pod_event(id, false, "Started", format!("Started container {name}"));
        if let Some(probe) = probe {
            let wait = probe.initial_delay + probe.period * probe.success_threshold.max(1) / 2;
            self.after(wait.max(SECOND), timer(What::Ready));
        }
        if let Some(at) = limit {
            self.after(at, timer(What::OutOfMemory));
        }
        // On a hot or overloaded node a start can fail outright.
        let contention = self.contention(node_index, now);
        let hot = self.nodes[node_index].hot();
        let risk = 0.1 * (contention - 1.0).clamp(0.0, 2.0) + if hot { 0.08 * contention.min(1.5) } else { 0.0 };
        let draw = attempt * 64 + index as u64;
        if self.rng.unit(stream, Purpose::StartFails, draw) < risk {
            let after = self.rng.between(stream, Purpose::StartFails, draw ^ (1 << 40), 500.0, 4_000.0) as Millis;
            self.after(after, timer(What::Stressed));
            return;
        }
        match behaviour.archetype {
            Archetype::Batch => {
                let takes = behaviour.duration.map_or_else(
                    || self.rng.between(stream, Purpose::Duration, index as u64, 60e3, 600e3),
                    |duration| duration as f64,
                );
                let slow = if self.nodes[node_index].slow_disk() { 1.5 } else { 1.0 };
                let squeezed = contention.max(1.0);
                let code = i32::from(self.rng.unit(stream, Purpose::Outcome, draw) < behaviour.failure_rate);
                self.after((takes * slow * squeezed) as Millis, timer(What::Exit(code)));
            }
            Archetype::CrashLoop => {
                let takes = behaviour
                    .crash_after
                    .map_or_else(|| self.rng.between(stream, Purpose::Duration, draw, 3e3, 30e3), |after| after as f64);
                self.after(takes as Millis, timer(What::Exit(1)));
            }
            Archetype::Steady | Archetype::Bursty | Archetype::Leaker | Archetype::Noisy => {}
        }
    }

    pub(super) fn container_timer(&mut self, id: u64, index: usize, run: u32, what: What) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        if what == What::InitDone {
            let now = self.now;
            let Some(container) = pod.init.get_mut(index).filter(|c| c.run == run) else { return };
            let Some(started) = container.running_since() else { return };
            container.state =
                ContainerState::Terminated(Termination { exit_code: 0, reason: "Completed", started, finished: now });
            container.ready = true;
            self.touch(id);
            self.begin_init(id, index + 1);
            return;
        }
        let Some(container) = pod.containers.get_mut(index).filter(|c| c.run == run) else { return };
        match what {
            What::Pull | What::Restart => {
                if what == What::Restart {
                    container.restarts += 1;
                    self.counts.restarts += 1;
                }
                self.pull(id, index);
            }
            What::Start => self.started(id, index),
            What::Ready => {
                container.ready = true;
                self.touch(id);
            }
            What::Exit(0) => self.exited(id, index, 0, "Completed"),
            What::Exit(code) => {
                self.harm(id, HarmCause::Application);
                self.exited(id, index, code, "Error");
            }
            What::Stressed => {
                self.harm(id, HarmCause::Cpu);
                self.exited(id, index, 1, "Error");
            }
            What::OutOfMemory => {
                self.harm(id, HarmCause::Application);
                self.oom(id, index);
            }
            What::InitDone => {}
        }
    }

    /// The kernel kills a container for memory.
    pub(super) fn oom(&mut self, id: u64, index: usize) {
        self.counts.oom_killed += 1;
        self.exited(id, index, KILLED, "OOMKilled");
    }

    /// A container ended; what follows depends on the pod's restart policy.
    pub(super) fn exited(&mut self, id: u64, index: usize, exit_code: i32, reason: &'static str) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let Some(container) = pod.containers.get_mut(index) else { return };
        let Some(started) = container.running_since() else { return };
        let termination = Termination { exit_code, reason, started, finished: now };
        container.ready = false;
        container.run += 1;
        let again = pod.grace.is_none()
            && match pod.spec.restart {
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure => exit_code != 0,
                RestartPolicy::Never => false,
            };
        let run = container.run;
        if !again {
            container.state = ContainerState::Terminated(termination);
            self.finish_if_done(id);
            self.touch(id);
            return;
        }
        if now - started >= BACK_OFF_RESET {
            container.back_off = 0;
        }
        let wait = container.back_off;
        container.back_off = (wait * 2).clamp(MIN_BACK_OFF, MAX_BACK_OFF);
        container.last = Some(termination.clone());
        let restart = Timer::Container { pod: id, index, run, what: What::Restart };
        if wait == 0 {
            // The first restart comes at once; the exit is still seen for a moment.
            container.state = ContainerState::Terminated(termination);
            self.after(SECOND, restart);
        } else {
            let (name, uid) = (&pod.spec.containers[index].name, &pod.spec.uid);
            let place = format!("{name} pod={}_{}({uid})", pod.spec.name, pod.spec.namespace);
            let span = shown_span(wait);
            let message = format!("back-off {span} restarting failed container={place}");
            let text = format!(
                "Back-off restarting failed container {name} in pod {}_{}({uid})",
                pod.spec.name, pod.spec.namespace
            );
            container.state = ContainerState::Waiting { reason: "CrashLoopBackOff", message };
            self.after(wait, restart);
            self.pod_event(id, true, "BackOff", text);
        }
        self.touch(id);
    }

    /// Sets the final phase when no container will run again.
    fn finish_if_done(&mut self, id: u64) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let mut failed = false;
        for container in &pod.containers {
            match &container.state {
                ContainerState::Terminated(end) if end.exit_code != 0 => failed = true,
                ContainerState::Terminated(_) => {}
                _ => return,
            }
        }
        self.finish(id, if failed { Phase::Failed } else { Phase::Succeeded }, "", String::new());
    }

    /// Ends a pod for good; its object stays until somebody deletes it.
    fn finish(&mut self, id: u64, phase: Phase, reason: &'static str, message: String) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        match pod.phase {
            Phase::Pending => self.counts.pending = self.counts.pending.saturating_sub(1),
            Phase::Running => self.counts.running = self.counts.running.saturating_sub(1),
            Phase::Succeeded | Phase::Failed => return,
        }
        match phase {
            Phase::Succeeded => self.counts.succeeded += 1,
            _ => self.counts.failed += 1,
        }
        pod.phase = phase;
        pod.reason = Cow::Borrowed(reason);
        pod.message = message;
        for container in &mut pod.containers {
            container.ready = false;
        }
        let (node, slot) = (pod.node, pod.slot);
        self.vacate(node, id, slot);
        self.touch(id);
    }

    /// The kubelet evicts a pod: its containers are killed, the pod has failed.
    pub(super) fn evict(&mut self, id: u64, message: String) {
        self.counts.evicted += 1;
        let now = self.now;
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.evicted = true;
            for container in &mut pod.containers {
                container.run += 1;
                if let Some(started) = container.running_since() {
                    let end = Termination { exit_code: KILLED, reason: "Error", started, finished: now };
                    container.state = ContainerState::Terminated(end);
                }
            }
        }
        self.pod_event(id, true, "Evicted", message.clone());
        self.finish(id, Phase::Failed, "Evicted", message);
    }

    /// A probe failed: the containers of the pod are not ready for a while.
    pub(super) fn unready(&mut self, id: u64, lasts: Millis) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let mut timers = Vec::new();
        for (index, container) in pod.containers.iter_mut().enumerate().filter(|(_, c)| c.ready) {
            container.ready = false;
            timers.push(Timer::Container { pod: id, index, run: container.run, what: What::Ready });
        }
        for timer in timers {
            self.after(lasts, timer);
        }
        self.touch(id);
        let text = "Readiness probe failed: context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        self.pod_event(id, true, "Unhealthy", text.to_owned());
    }

    pub(super) fn stop_pod(&mut self, uid: &str, grace: Millis) {
        let Some(id) = self.pod_index.get(uid).copied() else { return };
        let Some(pod) = self.pods.get_mut(&id) else { return };
        // Only a shorter time to stop is news.
        if pod.grace.is_some_and(|before| before <= grace) {
            return;
        }
        pod.grace = Some(grace);
        let (node, stream) = (pod.node, pod.stream);
        if !self.nodes[node].reachable() {
            // Its kubelet hears of it when the network is back.
            return;
        }
        let busy = pod.running().next().is_some();
        let names: Vec<_> = pod.running().map(|(i, _)| pod.spec.containers[i].name.clone()).collect();
        let takes = if self.options.instant || !busy {
            0
        } else {
            // Most programs end soon after SIGTERM; some have to be killed when the grace period is over.
            let stubborn = self.rng.unit(stream, Purpose::Stop, 0) < 0.05;
            if stubborn {
                grace
            } else {
                grace.min(self.rng.between(stream, Purpose::Stop, 1, 100.0, 2_500.0) as Millis)
            }
        };
        for name in names {
            self.pod_event(id, false, "Killing", format!("Stopping container {name}"));
        }
        self.after(takes, Timer::Stopped { pod: id });
        if takes == 0 {
            self.pass(self.now);
        }
    }

    pub(super) fn stopped(&mut self, id: u64) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(&id) else { return };
        if !self.nodes[pod.node].reachable() {
            return;
        }
        for container in &mut pod.containers {
            container.run += 1;
            if let Some(started) = container.running_since() {
                let end = Termination { exit_code: 0, reason: "Completed", started, finished: now };
                container.state = ContainerState::Terminated(end);
            }
        }
        if pod.active() && !pod.containers.is_empty() && !self.options.instant {
            let done = pod.containers.iter().all(|c| matches!(c.state, ContainerState::Terminated(_)));
            self.finish(id, if done { Phase::Succeeded } else { Phase::Failed }, "", String::new());
            self.report_dirty();
        }
        if let Some(pod) = self.pods.get(&id) {
            let (uid, namespace, name) = (pod.spec.uid.clone(), pod.spec.namespace.clone(), pod.spec.name.clone());
            self.effects.push(Effect::PodStopped { uid, namespace, name });
        }
    }

    pub(super) fn drop_pod(&mut self, uid: &Arc<str>) {
        let Some(id) = self.pod_index.remove(uid) else { return };
        let Some(pod) = self.pods.remove(&id) else { return };
        match pod.phase {
            Phase::Pending => self.counts.pending = self.counts.pending.saturating_sub(1),
            Phase::Running => self.counts.running = self.counts.running.saturating_sub(1),
            Phase::Succeeded | Phase::Failed => return,
        }
        self.vacate_spec(pod.node, id, pod.slot, &pod.spec);
    }

    /// The machine is off: nothing runs any more, and timers of containers are void.
    pub(super) fn power_off(&mut self, id: u64) {
        if let Some(pod) = self.pods.get_mut(&id) {
            for container in pod.init.iter_mut().chain(&mut pod.containers) {
                container.run += 1;
            }
        }
    }

    /// The machine is on again: what ran starts anew.
    pub(super) fn power_on(&mut self, id: u64) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(&id) else { return };
        if pod.grace.is_some() || !pod.active() {
            return;
        }
        let mut restarts = 0;
        pod.seen = true;
        for container in &mut pod.containers {
            if let Some(started) = container.running_since() {
                container.last = Some(Termination { exit_code: 255, reason: "Unknown", started, finished: now });
                container.restarts += 1;
                restarts += 1;
            }
            container.ready = false;
            container.state = ContainerState::Waiting { reason: "ContainerCreating", message: String::new() };
        }
        self.counts.restarts += restarts;
        self.touch(id);
        self.begin(id);
    }
}

/// A wait as the kubelet prints it: `10s`, `1m20s`, `5m0s`.
fn shown_span(wait: Millis) -> String {
    let seconds = wait / SECOND;
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
