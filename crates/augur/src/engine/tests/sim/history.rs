//! One random history: [`run`] makes it from its seed, plays it, waits until all is quiet, and checks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use augur_api::SchedulerMetrics;
use augur_clock::Clock;
use augur_core::predictor::NoModel;
use augur_history::HistoryHandle;
use augur_kube::{Denials, LeaseConfig, UsageSource};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::super::{Engine, EngineOptions, Mode, Traces, profile};
use super::link::Link;
use super::model::{Pod, Shape, fits};
use super::random::Random;
use super::world::{STALE, World};

/// How long all may take to come to rest once nothing goes wrong any more: a lease that has to end, the backoffs of pods, and the
/// end of victims; less than the five minutes after which the queue tries everything again, lest that hide a forgotten pod.
const QUIET_WITHIN: Duration = Duration::from_secs(120);

/// How long the last pods may take when nothing is wrong any more: a backoff, and the end of victims.
const PLACED_WITHIN: Duration = Duration::from_secs(30);

/// How often kubelets do something.
const KUBELETS: Duration = Duration::from_millis(900);

/// A replica of the scheduler.
struct Replica {
    link: Arc<Link>,
    clock: Clock,
    engine: Engine,
}

struct Player {
    world: Arc<World>,
    random: Random,
    history: HistoryHandle,
    replicas: [Option<Replica>; 2],
    /// Of a thousand requests, so many go wrong.
    faults: u64,
    started: u32,
    made: u32,
}

/// What came of a history.
pub struct Played {
    pub fingerprint: u64,
    pub violations: Vec<String>,
    pub told: String,
    /// Bindings, and requests that went wrong, for knowing that something was tested.
    pub bound: usize,
}

/// Plays the history of this seed. Everything runs on this thread and by simulated time.
pub fn run(seed: u64, history: &HistoryHandle, all: bool) -> Played {
    augur_kube::seed_pauses(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let world = World::new(seed);
        let random = Random::new(seed);
        let faults = [0, 20, 100, 250][usize::try_from(random.below(4)).unwrap()];
        let mut player = Player {
            world: world.clone(),
            random,
            history: history.clone(),
            replicas: [None, None],
            faults,
            started: 0,
            made: 0,
        };
        player.play().await;
        Played {
            fingerprint: world.fingerprint(),
            violations: world.violations(),
            told: world.told(all),
            bound: world.pods().iter().filter(|pod| pod.ours && pod.node.is_some()).count(),
        }
    })
}

impl Player {
    async fn play(&mut self) {
        let kubelets = tokio::task::spawn_local(kubelets(self.world.clone(), self.random.fork()));
        for _ in 0..2 + self.random.below(4) {
            self.add_node();
        }
        // Most histories begin with a leader, some with none that gets so far.
        let faults = self.faults;
        let led = self.random.in_thousand(800);
        self.faults = if led { 0 } else { faults };
        self.start(0);
        if self.random.in_thousand(600) {
            self.start(1);
        }
        if led {
            sleep(Duration::from_secs(4)).await;
            self.set_faults(faults);
        }
        for _ in 0..12 + self.random.below(30) {
            self.act().await;
            let most = if self.random.in_thousand(100) { 20_000 } else { 2500 };
            sleep(Duration::from_millis(self.random.below(most))).await;
            if !self.world.violations().is_empty() {
                return;
            }
        }
        self.world.trace("nothing goes wrong from here on");
        self.faults = 0;
        if self.replicas.iter().all(Option::is_none) {
            self.start(0);
        }
        self.replicas.iter().flatten().for_each(|replica| replica.link.calm());
        kubelets.abort();
        let kubelets = tokio::task::spawn_local(farewells(self.world.clone()));
        sleep(QUIET_WITHIN).await;
        self.check_quiet("at rest");
        // Whoever decides by now knows everything, so that nothing excuses a binding that does not fit.
        sleep(STALE.saturating_sub(QUIET_WITHIN)).await;
        self.world.add_node("last", Shape { cpu: 4, cordoned: false, zone: "a".to_owned() });
        for _ in 0..3 {
            self.add_pod();
        }
        sleep(PLACED_WITHIN).await;
        self.check_quiet("at last");
        kubelets.abort();
        for (slot, replica) in self.replicas.iter().enumerate() {
            if replica.as_ref().is_some_and(|replica| replica.engine.handle().status().stopped) {
                self.world.violation(format!("the scheduler thread of replica {slot} has ended"));
            }
        }
    }

    fn start(&mut self, slot: usize) {
        self.started += 1;
        let name = format!("{}{}", ["a", "b"][slot], self.started);
        // A replica that starts on its old data folder has its old name.
        let identity = if self.random.in_thousand(500) { ["a", "b"][slot].to_owned() } else { name.clone() };
        self.world.trace(&format!("{name} starts as {identity}"));
        let link = Link::new(&self.world, &name, &identity, self.random.fork(), self.faults);
        let clock = Clock::simulated("2026-01-05T09:00:00Z".parse::<Timestamp>().unwrap());
        let client = link.client();
        let options = EngineOptions {
            usage: UsageSource::MetricsApi(client.clone(), Duration::from_secs(5)),
            client,
            denials: Denials::default(),
            clock: clock.clone(),
            profiles: vec![profile("augur", &crate::config::Scheduler::default())],
            extenders: Vec::new(),
            queue: augur_core::queue::QueueConfig::default(),
            seed: self.random.next(),
            history: self.history.clone(),
            past: augur_learn::PastSlot::default(),
            predictor: Arc::new(NoModel::default()),
            metrics_interval: Duration::from_secs(60),
            counters: Arc::new(SchedulerMetrics::new()),
            election: Some(LeaseConfig::new("kube-system", "augur", &identity)),
            mode: Mode::Scheduler,
            traces: Traces::default(),
        };
        let engine = Engine::start_with(options, |work| {
            tokio::task::spawn_local(work.run());
            Ok(())
        });
        self.replicas[slot] = Some(Replica { link, clock, engine: engine.unwrap() });
    }

    async fn act(&mut self) {
        match self.random.below(100) {
            0..=39 => {
                for _ in 0..1 + self.random.below(4) {
                    self.add_pod();
                }
            }
            40..=51 => {
                if let Some(pod) = self.random.of(&self.world.pods()) {
                    let grace = if self.random.in_thousand(500) { 0 } else { 30 };
                    self.world.delete_pod(&pod.name, grace);
                }
            }
            52..=57 => {
                let gated: Vec<Pod> =
                    self.world.pods().into_iter().filter(|pod| pod.gated && !pod.terminating).collect();
                if let Some(pod) = self.random.of(&gated) {
                    self.world.ungate(&pod.name);
                }
            }
            58..=61 => self.add_node(),
            62..=63 => {
                if let Some(node) = self.random.of(&self.world.nodes()) {
                    self.world.remove_node(node);
                }
            }
            64..=71 => self.reshape(),
            72..=77 => {
                let span = Duration::from_secs(1 + self.random.below(25));
                if let Some(replica) = self.some_replica() {
                    self.world.trace(&format!("{} is cut off for {span:?}", replica.link.name));
                    replica.link.partition(span);
                }
            }
            78..=83 => {
                let span = Duration::from_secs(1 + self.random.below(60));
                if let Some(replica) = self.some_replica() {
                    self.world.trace(&format!("the watches of {} are silent for {span:?}", replica.link.name));
                    replica.link.stall(span);
                }
            }
            84..=91 => {
                let slot = usize::try_from(self.random.below(2)).unwrap();
                match self.replicas[slot].take() {
                    None => self.start(slot),
                    Some(replica) => {
                        if self.random.in_thousand(500) {
                            self.world.trace(&format!("{} is killed", replica.link.name));
                            replica.link.dead.store(true, Ordering::SeqCst);
                            drop(replica);
                        } else {
                            self.world.trace(&format!("{} shuts down", replica.link.name));
                            replica.engine.shutdown().await;
                        }
                        if self.random.in_thousand(700) {
                            self.start(slot);
                        }
                    }
                }
            }
            92..=95 => {
                let seconds = [-3600, -40, 40, 3600][usize::try_from(self.random.below(4)).unwrap()];
                if let Some(replica) = self.some_replica() {
                    self.world.trace(&format!("the clock of {} is set by {seconds} s", replica.link.name));
                    replica.clock.set(SignedDuration::from_secs(seconds));
                }
            }
            96..=97 => {
                self.world.trace("compaction");
                self.world.server.forget_history();
            }
            _ => {
                let faults = self.random.below(300);
                self.set_faults(faults);
            }
        }
    }

    fn set_faults(&mut self, faults: u64) {
        self.faults = faults;
        self.replicas.iter().flatten().for_each(|replica| replica.link.faults.store(faults, Ordering::SeqCst));
    }

    fn some_replica(&self) -> Option<&Replica> {
        self.replicas[usize::try_from(self.random.below(2)).unwrap()].as_ref()
    }

    fn add_node(&mut self) {
        self.made += 1;
        let zone = self.random.of(&["a", "b"]).unwrap().to_string();
        self.world.add_node(&format!("n{}", self.made), Shape { cpu: 2 + self.random.below(7), cordoned: false, zone });
    }

    fn reshape(&self) {
        let nodes = self.world.nodes();
        let Some(node) = self.random.of(&nodes) else { return };
        let Some(mut shape) = self.world.shape(node) else { return };
        match self.random.below(4) {
            0 => shape.cpu = 1 + self.random.below(10),
            1 => shape.zone = self.random.of(&["a", "b"]).unwrap().to_string(),
            _ => shape.cordoned = !shape.cordoned,
        }
        self.world.reshape_node(node, shape);
    }

    fn add_pod(&mut self) {
        self.made += 1;
        let name = format!("p{}", self.made);
        let cpu = if self.random.in_thousand(700) { 1 } else { 2 + self.random.below(3) };
        let cpu = cpu.to_string();
        let mut container = json!({ "name": "c", "image": "c", "resources": { "requests": { "cpu": cpu } } });
        let mut spec = json!({ "schedulerName": "augur" });
        match self.random.below(10) {
            0 => spec["priorityClassName"] = json!("low"),
            1 => spec["priorityClassName"] = json!("high"),
            2 => spec["priorityClassName"] = json!("polite"),
            _ => {}
        }
        let app = self.random.of(&["web", "db"]).unwrap().to_string();
        match self.random.below(12) {
            0 => container["ports"] = json!([{ "containerPort": 80, "hostPort": 8080 }]),
            1 => spec["nodeSelector"] = json!({ "zone": self.random.of(&["a", "b"]).unwrap() }),
            2 => {
                spec["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
                    "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": app } } }] } });
            }
            3 | 4 => spec["schedulingGates"] = json!([{ "name": "example.com/wait" }]),
            _ => {}
        }
        if self.random.in_thousand(30)
            && let Some(node) = self.random.of(&self.world.nodes())
        {
            (spec["schedulerName"], spec["nodeName"]) = (json!("other"), json!(node));
            spec.as_object_mut().unwrap().remove("schedulingGates");
        }
        spec["containers"] = Value::Array(vec![container]);
        self.world.add_pod(&name, &spec, &json!({ "app": app }));
    }

    /// No pod may wait that has a place, or could be given one.
    fn check_quiet(&self, when: &str) {
        let pods = self.world.pods();
        for pod in pods.iter().filter(|pod| pod.ours && pod.node.is_none() && !pod.gated && !pod.terminating) {
            for node in self.world.nodes() {
                let Some(shape) = self.world.shape(&node) else { continue };
                let there = pods.iter().filter(|other| other.node.as_ref() == Some(&node));
                let stays = |other: &&Pod| !pod.preempts || other.priority >= pod.priority;
                let there: Vec<Pod> = there.filter(stays).cloned().collect();
                if fits(pod, &shape, &there).is_ok() {
                    self.world.violation(format!("{when}: pod {} waits although {node} has a place for it", pod.name));
                    break;
                }
            }
        }
    }
}

/// Kubelets: pods begin to run, some end, those that are to go do.
async fn kubelets(world: Arc<World>, random: Random) {
    loop {
        sleep(KUBELETS).await;
        for pod in world.pods() {
            if pod.node.is_none() || random.in_thousand(600) {
                continue;
            }
            if pod.terminating {
                world.delete_pod(&pod.name, 0);
            } else if pod.phase == "Pending" {
                world.set_phase(&pod.name, "Running");
            } else if random.in_thousand(50) {
                world.set_phase(&pod.name, "Succeeded");
            }
        }
    }
}

/// What kubelets do when all is quiet: those that are to go do.
async fn farewells(world: Arc<World>) {
    loop {
        sleep(KUBELETS).await;
        for pod in world.pods().iter().filter(|pod| pod.node.is_some() && pod.terminating) {
            world.delete_pod(&pod.name, 0);
        }
    }
}
