//! The sandbox's thread: events in, steps of the simulation, writes out. Entry point: [`Driver::run`].

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use augur_apiserver::{
    ApiError, DeleteOptions, LocalClient, LocalEvent, LocalEventKind, LocalWatch, PatchKind, Propagation,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::events::EventBook;
use super::wire::{self, Head};
use super::{SandboxError, SandboxOptions, Shared, lock, millis, render};
use crate::scenario::{FaultKind, Planned, Scenario, workload_objects};
use crate::sim::{Effect, Input, Millis, Sim};

/// Changes that are taken in before effects are written, so that neither waits long for the other.
const BATCH: usize = 256;

/// Longest sleep: the clock of a test may be moved by hand at any time, and a scaled one runs fast.
const NAP: Millis = 60_000;

pub(super) struct Driver {
    client: LocalClient,
    scenario: Scenario,
    options: SandboxOptions,
    sim: Arc<Mutex<Sim>>,
    shared: Arc<Shared>,
    /// What the scenario will do, the next one last.
    plan: Vec<(Millis, Planned)>,
    start: Millis,
    events: EventBook,
    nodes: HashSet<Arc<str>>,
    namespaces: HashSet<String>,
}

/// The watches of the thread.
pub(super) struct Watches {
    pods: LocalWatch,
    nodes: LocalWatch,
}

impl Driver {
    pub(super) fn new(
        client: LocalClient,
        scenario: Scenario,
        options: SandboxOptions,
        sim: Arc<Mutex<Sim>>,
        shared: Arc<Shared>,
        start: Millis,
    ) -> Self {
        let mut plan = scenario.plan(options.seed);
        plan.reverse();
        let nodes = HashSet::new();
        let (events, namespaces) = (EventBook::default(), HashSet::new());
        Driver { client, scenario, options, sim, shared, plan, start, events, nodes, namespaces }
    }

    /// Registers the nodes, with leases. Nodes that are there already get their status.
    pub(super) fn register(&mut self) -> Result<(), SandboxError> {
        for (index, spec) in self.scenario.nodes.iter().enumerate() {
            let failed = |error| SandboxError::Node { node: spec.name.to_string(), error: Box::new(error) };
            let effects = lock(&self.sim).step(self.start, Input::NodeAdded(Box::new(spec.clone())));
            let Some(report) = effects.iter().find_map(|effect| match effect {
                Effect::NodeStatus(report) => Some(report),
                _ => None,
            }) else {
                continue;
            };
            if self.options.heartbeat.is_some() {
                let lease = render::lease(&spec.name, self.start);
                if let Err(error) = self.client.create("leases.coordination.k8s.io", "kube-node-lease", lease)
                    && error.reason != "AlreadyExists"
                {
                    return Err(failed(error));
                }
            }
            let object = render::node(spec, index, report);
            match self.client.create("nodes", "", object.clone()) {
                Ok(stored) if !stored["status"]["capacity"].is_null() => {}
                Ok(_) => self.restore(&spec.name, &object).map_err(failed)?,
                Err(error) if error.reason == "AlreadyExists" => self.restore(&spec.name, &object).map_err(failed)?,
                Err(error) => return Err(failed(error)),
            }
            self.nodes.insert(spec.name.clone());
        }
        Ok(())
    }

    fn restore(&self, name: &str, object: &Value) -> Result<(), ApiError> {
        let body = json!({ "status": object["status"] });
        self.client.patch("nodes", "", name, "status", PatchKind::Strategic, &body).map(|_| ())
    }

    /// Takes over pods that are bound already, and watches from there.
    pub(super) fn watches(&mut self) -> Result<Watches, SandboxError> {
        let failed = |resource| move |error| SandboxError::Watch { resource, error: Box::new(error) };
        let list = self.client.list("nodes", "", "", "").map_err(failed("nodes"))?;
        let nodes = self.client.watch("nodes", "", list.resource_version).map_err(failed("nodes"))?;
        let pods = self.relist().map_err(failed("pods"))?;
        Ok(Watches { pods, nodes })
    }

    fn relist(&mut self) -> Result<LocalWatch, ApiError> {
        let list = self.client.list("pods", "", "", "")?;
        let mut effects = Vec::new();
        let mut there = HashSet::new();
        for object in &list.items {
            if let Ok(head) = Head::read(object) {
                there.insert(head.metadata.uid.into_owned());
            }
            self.pod_changed(object, &mut effects);
        }
        let mut sim = lock(&self.sim);
        let gone: Vec<Arc<str>> = sim.uids().filter(|uid| !there.contains(&***uid)).cloned().collect();
        let now = millis(self.options.clock.now());
        for uid in gone {
            effects.extend(sim.step(now, Input::PodGone { uid }));
        }
        drop(sim);
        self.carry_out(effects);
        self.client.watch("pods", "", list.resource_version)
    }

    pub(super) async fn run(mut self, mut watches: Watches, mut stop: watch::Receiver<bool>) {
        loop {
            let wait = self.until_next();
            let clock = self.options.clock.clone();
            let (mut first, mut node) = (None, None);
            let mut expired = false;
            tokio::select! {
                biased;
                _ = stop.changed() => return,
                event = watches.pods.next() => {
                    expired = event.is_none();
                    first = event;
                }
                event = watches.nodes.next() => node = event,
                () = clock.sleep(wait) => {}
            }
            while let Some(event) = node.take().or_else(|| watches.nodes.try_next()) {
                self.node_event(&event, &mut watches);
            }
            let mut effects = Vec::new();
            for _ in 0..BATCH {
                let Some(event) = first.take().or_else(|| watches.pods.try_next()) else { break };
                expired |= event.kind == LocalEventKind::Expired;
                self.pod_event(&event, &mut effects);
            }
            self.follow_plan(&mut effects);
            effects.extend(lock(&self.sim).step(millis(self.options.clock.now()), Input::Time));
            self.carry_out(effects);
            if expired {
                match self.relist() {
                    Ok(pods) => watches.pods = pods,
                    Err(error) => {
                        self.problem("watching pods", &error.message);
                        return;
                    }
                }
            }
        }
    }

    /// How long nothing will happen by itself.
    fn until_next(&self) -> Duration {
        let now = millis(self.options.clock.now());
        let timer = lock(&self.sim).next_timer();
        let planned = self.plan.last().map(|(at, _)| self.start + at);
        let wait = timer.into_iter().chain(planned).min().map_or(NAP, |at| at - now).clamp(1, NAP);
        Duration::from_millis(wait as u64)
    }

    fn problem(&self, what: &str, error: &str) {
        self.shared.problems.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(what, error, "sandbox");
    }

    /// Notes a refused write, unless its object has gone or is another one by now.
    fn check(&self, what: &str, result: Result<(), ApiError>) {
        if let Err(error) = result
            && error.code != 404
            && error.code != 409
        {
            self.problem(what, &error.message);
        }
    }

    fn node_event(&mut self, event: &LocalEvent, watches: &mut Watches) {
        match event.kind {
            LocalEventKind::Deleted => {
                let Ok(head) = Head::read(&event.object) else { return };
                let name: Arc<str> = Arc::from(&*head.metadata.name);
                if self.nodes.remove(&name) {
                    let now = millis(self.options.clock.now());
                    let effects = lock(&self.sim).step(now, Input::NodeRemoved(name));
                    self.carry_out(effects);
                }
            }
            LocalEventKind::Expired => {
                let again = self.client.list("nodes", "", "", "").and_then(|list| {
                    watches.nodes = self.client.watch("nodes", "", list.resource_version)?;
                    Ok(())
                });
                self.check("watching nodes", again);
            }
            LocalEventKind::Added | LocalEventKind::Modified => {}
        }
    }

    fn pod_event(&mut self, event: &LocalEvent, effects: &mut Vec<Effect>) {
        match event.kind {
            LocalEventKind::Added => {
                self.shared.pods_created.fetch_add(1, Ordering::Relaxed);
                self.pod_changed(&event.object, effects);
            }
            LocalEventKind::Modified => self.pod_changed(&event.object, effects),
            LocalEventKind::Deleted => {
                if let Ok(head) = Head::read(&event.object) {
                    let uid = Arc::from(&*head.metadata.uid);
                    let now = millis(self.options.clock.now());
                    effects.extend(lock(&self.sim).step(now, Input::PodGone { uid }));
                }
            }
            LocalEventKind::Expired => {}
        }
    }

    fn pod_changed(&mut self, object: &[u8], effects: &mut Vec<Effect>) {
        let head = match Head::read(object) {
            Ok(head) => head,
            Err(error) => return self.problem("reading a pod", &error.to_string()),
        };
        let Some(node) = head.node().filter(|node| self.nodes.contains(*node)) else { return };
        let now = millis(self.options.clock.now());
        let known = lock(&self.sim).knows(&head.metadata.uid);
        let stops = head.stops_within();
        if !known && (head.ended() || stops.is_some()) {
            // It ended before this sandbox began; nothing runs that would have to stop.
            if stops.is_some() {
                let (namespace, name) = (head.metadata.namespace.into(), head.metadata.name.into());
                effects.push(Effect::PodStopped { uid: head.metadata.uid.into(), namespace, name });
            }
            return;
        }
        if !known {
            match wire::pod(object) {
                Ok(spec) => effects.extend(lock(&self.sim).step(now, Input::PodBound(Box::new(spec)))),
                Err(error) => {
                    let what = format!("reading pod {} on node {node}", head.metadata.name);
                    self.problem(&what, &error);
                }
            }
        } else if let Some(seconds) = stops {
            let uid = Arc::from(&*head.metadata.uid);
            effects.extend(lock(&self.sim).step(now, Input::PodDeleted { uid, grace: seconds * 1_000 }));
        }
    }

    fn follow_plan(&mut self, effects: &mut Vec<Effect>) {
        let now = millis(self.options.clock.now());
        while let Some((_, planned)) = self.plan.pop_if(|(at, _)| self.start + *at <= now) {
            match planned {
                Planned::Create { workload, nth } => self.create(workload, nth),
                Planned::Delete { workload, nth } => self.delete(workload, nth),
                Planned::Fault { fault } => {
                    let fault = &self.scenario.faults[fault];
                    if let FaultKind::Physical(kind) = fault.kind {
                        let input = Input::Fault { node: fault.node.clone(), fault: kind, lasts: fault.lasts };
                        effects.extend(lock(&self.sim).step(now, input));
                    }
                }
            }
        }
    }

    fn create(&mut self, workload: usize, nth: u32) {
        let one = &self.scenario.workloads[workload];
        let namespace = one.namespace.clone();
        let (resource, objects) = workload_objects(one, nth, &self.options.scheduler_name);
        if self.namespaces.insert(namespace.clone()) && self.client.get("namespaces", "", &namespace).is_err() {
            let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
            let made = self.client.create("namespaces", "", object).map(|_| ());
            self.check("creating a namespace", made);
        }
        for object in objects {
            let result = self.client.create(resource, &namespace, object).map(|_| ());
            if result.is_ok() {
                self.shared.objects_created.fetch_add(1, Ordering::Relaxed);
            }
            // One that is there already is left from an earlier run with the same data folder.
            self.check(&format!("creating {resource} {}", self.scenario.workloads[workload].name), result);
        }
    }

    fn delete(&mut self, workload: usize, nth: u32) {
        let one = &self.scenario.workloads[workload];
        let (resource, objects) = workload_objects(one, nth, &self.options.scheduler_name);
        let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        for object in objects {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let result = self.client.delete(resource, &one.namespace, name, &options);
            self.check(&format!("deleting {resource} {name}"), result);
        }
    }

    /// Writes what follows from a round. Of several reports of one pod only the last is written, before the pod may go.
    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut last: HashMap<Arc<str>, usize> = HashMap::new();
        for (i, effect) in effects.iter().enumerate() {
            if let Effect::PodStatus(report) = effect {
                last.insert(report.uid.clone(), i);
            }
        }
        for (i, effect) in effects.into_iter().enumerate() {
            match effect {
                Effect::PodStatus(report) => {
                    if last.get(&report.uid) == Some(&i) {
                        let patch = render::pod_status(&report);
                        let (namespace, name) = (&report.namespace, &report.name);
                        let result = self.client.patch("pods", namespace, name, "status", PatchKind::Strategic, &patch);
                        self.check(&format!("writing the status of pod {namespace}/{name}"), result.map(|_| ()));
                    }
                }
                Effect::PodStopped { uid, namespace, name } => {
                    let options = DeleteOptions { uid: Some(uid.to_string()), ..DeleteOptions::grace(0) };
                    let result = self.client.delete("pods", &namespace, &name, &options);
                    self.check(&format!("deleting pod {namespace}/{name}"), result);
                }
                Effect::NodeStatus(report) => {
                    let patch = render::node_status(&report);
                    let result = self.client.patch("nodes", "", &report.name, "status", PatchKind::Strategic, &patch);
                    self.check(&format!("writing the status of node {}", report.name), result.map(|_| ()));
                }
                Effect::Heartbeat(node) => self.renew(&node),
                Effect::Event(report) => {
                    let mut result = self.events.write(&self.client, &report);
                    if result.as_ref().is_err_and(namespace_is_going) {
                        // Pods of a namespace that is deleted stop, and nobody can record that any more.
                        result = Ok(());
                    }
                    self.check(&format!("writing an event ({})", report.reason), result);
                }
            }
        }
    }

    fn renew(&mut self, node: &str) {
        let now = millis(self.options.clock.now());
        let leases = ("leases.coordination.k8s.io", "kube-node-lease");
        let renewed = self.client.patch(leases.0, leases.1, node, "", PatchKind::Merge, &render::renewal(now));
        let result = match renewed {
            Err(error) if error.code == 404 => self.client.create(leases.0, leases.1, render::lease(node, now)),
            other => other,
        };
        self.check(&format!("renewing the lease of node {node}"), result.map(|_| ()));
    }
}

/// Whether a write was refused because its namespace is being deleted.
fn namespace_is_going(error: &ApiError) -> bool {
    let causes = error.details["causes"].as_array();
    error.code == 403 && causes.is_some_and(|causes| causes.iter().any(|c| c["reason"] == "NamespaceTerminating"))
}
