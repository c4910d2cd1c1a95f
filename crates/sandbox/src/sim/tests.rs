use std::collections::BTreeMap;

use super::*;

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;

fn node(name: &str, character: Character) -> NodeSpec {
    NodeSpec {
        name: Arc::from(name),
        labels: BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
        taints: Vec::new(),
        capacity: Resources { cpu_milli: 4_000, memory: 8 * GIB, extended: vec![(Arc::from("nvidia.com/gpu"), 1)] },
        pods: 10,
        reserved_memory: 0,
        disk: 100 * GIB,
        images: Vec::new(),
        character,
    }
}

fn pod(name: &str, node: &str, archetype: Archetype) -> PodSpec {
    PodSpec {
        uid: Arc::from(format!("uid-{name}")),
        namespace: Arc::from("default"),
        name: Arc::from(name),
        node: Arc::from(node),
        priority: 0,
        restart: if archetype == Archetype::Batch { RestartPolicy::Never } else { RestartPolicy::Always },
        init: Vec::new(),
        containers: vec![ContainerSpec {
            name: Arc::from("app"),
            image: Arc::from("registry.example/app:1"),
            requests: Resources { cpu_milli: 500, memory: 512 * MIB, extended: Vec::new() },
            cpu_limit: None,
            memory_limit: None,
            readiness: None,
        }],
        demand: NodeDemand::default(),
        qos: Qos::Burstable,
        host_network: false,
        tolerates_memory_pressure: false,
        tolerates_disk_pressure: false,
        behaviour: Behaviour { archetype, ..Behaviour::default() },
    }
}

/// A simulation with everything it ever said.
struct Run {
    sim: Sim,
    now: Millis,
    effects: Vec<Effect>,
}

impl Run {
    fn new(seed: u64, nodes: &[(&str, Character)]) -> Self {
        let options = SimOptions { seed, heartbeat: Some(10 * SECOND), instant: false, truth: true };
        let mut run = Run { sim: Sim::new(options, 0), now: 0, effects: Vec::new() };
        for (name, character) in nodes {
            run.input(Input::NodeAdded(Box::new(node(name, *character))));
        }
        run
    }

    fn input(&mut self, input: Input) {
        self.effects.extend(self.sim.step(self.now, input));
    }

    fn bind(&mut self, spec: PodSpec) {
        self.input(Input::PodBound(Box::new(spec)));
    }

    /// Lets time pass from timer to timer.
    fn pass(&mut self, span: Millis) {
        let end = self.now + span;
        while let Some(at) = self.sim.next_timer().filter(|at| *at <= end) {
            self.now = at;
            self.input(Input::Time);
        }
        self.now = end;
    }

    fn reports(&self, name: &str) -> Vec<&PodReport> {
        let mut reports = Vec::new();
        for effect in &self.effects {
            if let Effect::PodStatus(report) = effect
                && &*report.name == name
            {
                reports.push(&**report);
            }
        }
        reports
    }

    fn last(&self, name: &str) -> &PodReport {
        self.reports(name).pop().expect("the pod was reported")
    }

    fn waits(&self, name: &str, reason: &str) -> bool {
        self.reports(name).iter().any(|report| {
            report
                .containers
                .iter()
                .any(|c| matches!(&c.state, ContainerState::Waiting { reason: r, .. } if *r == reason))
        })
    }

    fn events(&self, wanted: &str) -> usize {
        self.effects.iter().filter(|e| matches!(e, Effect::Event(event) if event.reason == wanted)).count()
    }

    fn heartbeats(&self, name: &str) -> usize {
        self.effects.iter().filter(|e| matches!(e, Effect::Heartbeat(node) if &**node == name)).count()
    }

    fn usage(&self) -> Usage {
        self.sim.pod_usage(self.now)[0].containers[0].1
    }
}

/// Every archetype on every kind of node, for a while.
fn everything(seed: u64) -> Run {
    let nodes: Vec<(&str, Character)> = Character::NAMES.to_vec();
    let mut run = Run::new(seed, &nodes);
    for (node, _) in &nodes {
        for (archetype, kind) in Archetype::NAMES {
            run.bind(pod(&format!("{archetype}-{node}"), node, kind));
            run.pass(7 * SECOND);
        }
    }
    run.pass(30 * MINUTE);
    run
}

#[test]
fn the_same_seed_gives_the_same_effects() {
    let (first, again, other) = (everything(1), everything(1), everything(2));
    assert!(first.effects.len() > 500, "{}", first.effects.len());
    assert_eq!(first.effects, again.effects);
    assert_eq!(first.sim.node_usage(first.now), again.sim.node_usage(again.now));
    assert_ne!(first.effects, other.effects);
}

#[test]
fn a_service_starts_becomes_ready_and_stays_below_its_requests() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    let mut spec = pod("web", "a", Archetype::Steady);
    spec.containers[0].readiness = Some(Probe { initial_delay: 2_000, period: 2_000, success_threshold: 1 });
    run.bind(spec);
    let first = run.last("web");
    assert_eq!((first.phase, first.ready.0), (Phase::Pending, false));
    assert!(run.waits("web", "ContainerCreating"));
    run.pass(MINUTE);
    let last = run.last("web");
    assert_eq!((last.phase, last.ready.0, last.containers[0].restarts), (Phase::Running, true, 0));
    assert!(
        run.reports("web").iter().any(|r| r.phase == Phase::Running && !r.ready.0),
        "ready at once despite its probe"
    );
    assert_eq!((run.events("Pulling"), run.events("Started")), (1, 1));
    let mut seen = Vec::new();
    for _ in 0..48 {
        run.pass(30 * MINUTE);
        seen.push(run.usage());
    }
    assert!(seen.iter().all(|u| u.cpu_milli > 10.0 && u.cpu_milli <= 500.0 && u.memory <= 512 * MIB));
    let most = seen.iter().map(|u| u.cpu_milli).fold(0.0, f64::max);
    let least = seen.iter().map(|u| u.cpu_milli).fold(f64::MAX, f64::min);
    assert!(most > 1.4 * least, "no daily curve: {least} to {most}");
}

#[test]
fn a_second_pod_finds_the_image_already_there() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    run.bind(pod("one", "a", Archetype::Steady));
    run.pass(MINUTE);
    run.bind(pod("two", "a", Archetype::Steady));
    run.pass(MINUTE);
    assert_eq!((run.events("Pulling"), run.events("Pulled"), run.events("Started")), (1, 1, 2));
}

#[test]
fn bursts_exceed_requests_and_idle_between() {
    let mut run = Run::new(3, &[("a", Character::Healthy)]);
    run.bind(pod("b", "a", Archetype::Bursty));
    run.pass(MINUTE);
    let mut spikes = 0;
    for _ in 0..100 {
        run.pass(45 * SECOND);
        let cpu = run.usage().cpu_milli;
        assert!(!(120.0..550.0).contains(&cpu), "neither idle nor a spike: {cpu}");
        spikes += usize::from(cpu > 550.0);
    }
    assert!((3..30).contains(&spikes), "{spikes}");
}

#[test]
fn batch_work_ends_and_can_fail() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    let mut good = pod("good", "a", Archetype::Batch);
    good.behaviour.duration = Some(30 * SECOND);
    let mut bad = pod("bad", "a", Archetype::Batch);
    bad.behaviour = Behaviour { failure_rate: 1.0, ..good.behaviour };
    run.bind(good);
    run.bind(bad);
    run.pass(2 * MINUTE);
    assert_eq!(run.last("good").phase, Phase::Succeeded);
    assert_eq!(run.last("bad").phase, Phase::Failed);
    let ContainerState::Terminated(end) = &run.last("good").containers[0].state else { panic!("it runs") };
    assert_eq!((end.exit_code, end.reason, end.finished - end.started), (0, "Completed", 30 * SECOND));
    assert!(run.sim.pod_usage(run.now).is_empty());
}

#[test]
fn a_leak_runs_into_the_limit_and_is_killed() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    let mut spec = pod("leak", "a", Archetype::Leaker);
    spec.containers[0].memory_limit = Some(GIB);
    spec.behaviour.leak_per_minute = Some(200 * MIB);
    run.bind(spec);
    run.pass(3 * MINUTE);
    let before = run.usage().memory;
    assert!(before > 700 * MIB && before < GIB, "{before}");
    run.pass(2 * MINUTE);
    let last = &run.last("leak").containers[0];
    let end = last.last.as_ref().expect("it was killed");
    assert_eq!((end.exit_code, end.reason, last.restarts), (137, "OOMKilled", 1));
    assert!(run.usage().memory < 900 * MIB, "a new start forgets the leak");
}

#[test]
fn crashes_back_off_from_ten_seconds_to_five_minutes() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    let mut spec = pod("crash", "a", Archetype::CrashLoop);
    spec.behaviour.crash_after = Some(SECOND);
    run.bind(spec);
    run.pass(40 * MINUTE);
    let mut waits: Vec<String> = Vec::new();
    for report in run.reports("crash") {
        if let ContainerState::Waiting { reason: "CrashLoopBackOff", message } = &report.containers[0].state {
            waits.push(message.clone());
        }
    }
    let spans: Vec<&str> = waits.iter().filter_map(|m| m.split(' ').nth(1)).collect();
    assert_eq!(spans[..7], ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]);
    assert_eq!(waits[0], "back-off 10s restarting failed container=app pod=crash_default(uid-crash)");
    assert!(run.events("BackOff") >= 7);
}

#[test]
fn a_noisy_neighbour_squeezes_the_node() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    run.bind(pod("web", "a", Archetype::Steady));
    for i in 0..4 {
        run.bind(pod(&format!("noisy-{i}"), "a", Archetype::Noisy));
    }
    run.pass(20 * MINUTE);
    let node = run.sim.node_usage(run.now)[0].1;
    assert_eq!(node.cpu_milli, 4_000.0, "the node has no more than that");
    let noisy: f64 = run
        .sim
        .pod_usage(run.now)
        .iter()
        .filter(|p| p.name.starts_with("noisy"))
        .map(|p| p.containers[0].1.cpu_milli)
        .sum();
    assert!(noisy > 2_000.0, "{noisy}");
    assert!(run.events("Unhealthy") + run.events("Killing") > 0, "overload had no effect");
}

#[test]
fn the_kubelet_refuses_what_does_not_fit() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    let with = |name: &str, change: &dyn Fn(&mut PodSpec)| {
        let mut spec = pod(name, "a", Archetype::Steady);
        change(&mut spec);
        spec
    };
    run.bind(with("cpu", &|s| s.containers[0].requests.cpu_milli = 4_500));
    run.bind(with("memory", &|s| s.containers[0].requests.memory = 9 * GIB));
    run.bind(with("gpu", &|s| s.containers[0].requests.extended = vec![(Arc::from("nvidia.com/gpu"), 2)]));
    run.bind(with("label", &|s| s.demand.selector = vec![("disk".to_owned(), "hdd".to_owned())]));
    for i in 0..11 {
        run.bind(with(&format!("many-{i}"), &|s| s.containers[0].requests.cpu_milli = 10));
    }
    let reasons: Vec<&str> = ["cpu", "memory", "gpu", "label", "many-10"].map(|name| &*run.last(name).reason).to_vec();
    assert_eq!(reasons, ["OutOfcpu", "OutOfmemory", "OutOfnvidia.com/gpu", "NodeAffinity", "OutOfpods"]);
    assert_eq!(
        run.last("cpu").message,
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 4500, used: 0, capacity: 4000"
    );
    assert_eq!(run.last("cpu").phase, Phase::Failed);
    assert_eq!(run.last("many-9").phase, Phase::Pending);
    assert_eq!(run.sim.counts().rejected, 5);
}

#[test]
fn memory_pressure_evicts_the_pod_that_exceeds_its_request() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    run.bind(pod("web", "a", Archetype::Steady));
    let mut leak = pod("leak", "a", Archetype::Leaker);
    leak.behaviour.leak_per_minute = Some(500 * MIB);
    run.bind(leak);
    run.pass(30 * MINUTE);
    let evicted = run.reports("leak").into_iter().find(|r| r.evicted).expect("it was evicted");
    assert_eq!((evicted.phase, &*evicted.reason), (Phase::Failed, "Evicted"));
    assert!(
        evicted.message.starts_with("The node was low on resource: memory. Threshold quantity: 100Mi, available: "),
        "{}",
        evicted.message
    );
    assert!(evicted.message.contains("Container app was using "), "{}", evicted.message);
    assert_eq!(run.last("web").phase, Phase::Running);
    let pressure = |effect: &Effect| match effect {
        Effect::NodeStatus(report) => report.conditions.iter().find(|c| c.kind == "MemoryPressure").map(|c| c.holds),
        _ => None,
    };
    let states: Vec<bool> = run.effects.iter().filter_map(pressure).collect();
    assert!(states.contains(&true));
    assert_eq!(states.last(), Some(&false), "the pressure passes");
}

#[test]
fn under_memory_pressure_best_effort_pods_are_refused() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    let mut leak = pod("leak", "a", Archetype::Leaker);
    leak.behaviour.leak_per_minute = Some(500 * MIB);
    run.bind(leak);
    while run.sim.counts().evicted == 0 {
        run.pass(10 * SECOND);
    }
    let mut modest = pod("modest", "a", Archetype::Steady);
    modest.qos = Qos::BestEffort;
    modest.containers[0].requests = Resources::default();
    run.bind(modest);
    assert_eq!(&*run.last("modest").reason, "Evicted");
    assert_eq!(run.last("modest").message, "Pod was rejected: The node had condition: [MemoryPressure]. ");
}

#[test]
fn a_sudden_demand_is_killed_by_the_kernel() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    let mut leak = pod("leak", "a", Archetype::Leaker);
    leak.behaviour.leak_per_minute = Some(60 * GIB);
    run.bind(leak);
    run.pass(2 * MINUTE);
    assert!(run.sim.counts().oom_killed > 0);
    assert!(run.events("SystemOOM") > 0);
    let end = run.last("leak").containers[0].last.clone().expect("it ended");
    assert_eq!(end.reason, "OOMKilled");
}

#[test]
fn starved_nodes_come_under_pressure_and_healthy_ones_do_not() {
    let mut run = Run::new(1, &[("starved", Character::MemoryStarved), ("healthy", Character::Healthy)]);
    for node in ["starved", "healthy"] {
        for i in 0..7 {
            let mut spec = pod(&format!("{node}-{i}"), node, Archetype::Steady);
            spec.containers[0].requests.memory = GIB;
            run.bind(spec);
        }
    }
    run.pass(60 * MINUTE);
    let evicted = |node: &str| (0..7).filter(|i| run.last(&format!("{node}-{i}")).evicted).count();
    assert!(evicted("starved") > 0);
    assert_eq!(evicted("healthy"), 0);
}

#[test]
fn slow_disks_start_pods_late_and_fill_up() {
    let mut run = Run::new(1, &[("slow", Character::SlowDisk), ("healthy", Character::Healthy)]);
    run.bind(pod("p", "slow", Archetype::Steady));
    run.bind(pod("q", "healthy", Archetype::Steady));
    run.pass(5 * MINUTE);
    let started = |name: &str| match run.last(name).containers[0].state {
        ContainerState::Running { since } => since,
        _ => panic!("{name} does not run"),
    };
    assert!(started("p") > 2 * started("q"), "{} and {}", started("p"), started("q"));
    run.pass(120 * MINUTE);
    assert!(run.events("NodeHasDiskPressure") > 0);
    assert!(run.last("p").message.starts_with("The node was low on resource: ephemeral-storage."));
    assert_eq!(run.last("q").phase, Phase::Running);
}

#[test]
fn hot_nodes_hurt_their_pods() {
    let mut run = Run::new(1, &[("hot", Character::Hot), ("cool", Character::Healthy)]);
    for node in ["hot", "cool"] {
        for i in 0..6 {
            run.bind(pod(&format!("{node}-{i}"), node, Archetype::Steady));
        }
    }
    run.pass(4 * 60 * MINUTE);
    let restarts =
        |node: &str| -> u32 { (0..6).map(|i| run.last(&format!("{node}-{i}")).containers[0].restarts).sum() };
    assert!(restarts("hot") > 3, "{}", restarts("hot"));
    assert_eq!(restarts("cool"), 0);
}

#[test]
fn a_flapping_node_falls_silent_and_comes_back() {
    let mut run = Run::new(1, &[("flap", Character::FlappingNetwork), ("good", Character::Healthy)]);
    run.bind(pod("p", "flap", Archetype::Steady));
    let mut silent = 0;
    for _ in 0..120 {
        let before = run.heartbeats("flap");
        run.pass(MINUTE);
        let beats = run.heartbeats("flap") - before;
        silent += usize::from(beats == 0);
        if beats == 0 {
            assert_eq!(run.sim.node_usage(run.now).len(), 1, "no metrics without network");
        }
    }
    assert!((4..60).contains(&silent), "{silent}");
    assert!(run.heartbeats("good") >= 719);
    assert_eq!(run.last("p").phase, Phase::Running);
}

#[test]
fn a_dead_node_says_nothing_and_its_pods_start_anew_when_it_is_back() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    run.bind(pod("p", "a", Archetype::Steady));
    run.bind(pod("q", "a", Archetype::Steady));
    run.pass(MINUTE);
    run.input(Input::Fault { node: Arc::from("a"), fault: Fault::Die, lasts: Some(2 * MINUTE) });
    let said = run.effects.len();
    run.input(Input::PodDeleted { uid: Arc::from("uid-q"), grace: 30 * SECOND });
    run.pass(119 * SECOND);
    assert_eq!(run.effects.len(), said, "a dead node spoke");
    run.pass(MINUTE);
    let container = &run.last("p").containers[0];
    assert_eq!((container.restarts, container.last.as_ref().map(|e| e.exit_code)), (1, Some(255)));
    assert!(run.last("p").ready.0);
    let stopped = |e: &Effect| matches!(e, Effect::PodStopped { name, .. } if &**name == "q");
    assert!(run.effects.iter().any(stopped), "the deletion was forgotten");
}

#[test]
fn a_kubelet_without_network_hears_of_new_pods_later() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    run.input(Input::Fault { node: Arc::from("a"), fault: Fault::Disconnect, lasts: Some(2 * MINUTE) });
    run.bind(pod("p", "a", Archetype::Steady));
    run.pass(MINUTE);
    assert_eq!(run.sim.counts().running, 0, "it started without being told");
    run.pass(2 * MINUTE);
    assert_eq!(run.last("p").phase, Phase::Running);
    assert_eq!(run.last("p").start_time, 2 * MINUTE);
}

#[test]
fn a_leap_of_the_clock_gives_one_heartbeat() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    run.now = 60 * MINUTE;
    run.input(Input::Time);
    assert_eq!(run.heartbeats("a"), 1);
    run.pass(MINUTE);
    assert_eq!(run.heartbeats("a"), 7);
}

#[test]
fn a_second_deletion_can_shorten_the_first() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    run.bind(pod("p", "a", Archetype::Steady));
    run.pass(MINUTE);
    run.input(Input::PodDeleted { uid: Arc::from("uid-p"), grace: 30 * SECOND });
    run.input(Input::PodDeleted { uid: Arc::from("uid-p"), grace: 0 });
    assert!(run.effects.iter().any(|e| matches!(e, Effect::PodStopped { .. })));
}

#[test]
fn stopping_takes_no_longer_than_the_grace_period() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    for i in 0..10 {
        let mut spec = pod(&format!("p{i}"), "a", Archetype::Steady);
        spec.containers[0].requests.cpu_milli = 100;
        run.bind(spec);
    }
    run.pass(MINUTE);
    for i in 0..10 {
        run.input(Input::PodDeleted { uid: Arc::from(format!("uid-p{i}")), grace: SECOND });
    }
    let stopped = |run: &Run| run.effects.iter().filter(|e| matches!(e, Effect::PodStopped { .. })).count();
    assert_eq!(stopped(&run), 0, "containers need a moment to stop");
    run.pass(SECOND);
    assert_eq!(stopped(&run), 10);
    for i in 0..10 {
        run.input(Input::PodGone { uid: Arc::from(format!("uid-p{i}")) });
    }
    assert_eq!(run.sim.counts().running, 0);
    run.bind(pod("again", "a", Archetype::Steady));
    assert_eq!(run.last("again").phase, Phase::Pending, "the room was given back");
}

#[test]
fn init_containers_come_first() {
    let mut run = Run::new(1, &[("a", Character::Healthy)]);
    let mut spec = pod("p", "a", Archetype::Steady);
    spec.init = spec.containers.clone();
    run.bind(spec);
    assert!(!run.last("p").initialized.0);
    run.pass(MINUTE);
    let last = run.last("p");
    assert!(last.initialized.0 && last.ready.0);
    assert!(matches!(&last.init[0].state, ContainerState::Terminated(end) if end.exit_code == 0));
}

#[test]
fn instant_pods_run_after_a_single_report() {
    let mut sim = Sim::new(SimOptions { seed: 1, heartbeat: None, instant: true, truth: false }, 0);
    sim.step(0, Input::NodeAdded(Box::new(node("a", Character::Healthy))));
    let effects = sim.step(1, Input::PodBound(Box::new(pod("p", "a", Archetype::Steady))));
    let [Effect::PodStatus(report)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((report.phase, report.ready.0), (Phase::Running, true));
    assert_eq!(sim.next_timer(), None);
    let effects = sim.step(2, Input::PodDeleted { uid: Arc::from("uid-p"), grace: 30 * SECOND });
    assert!(matches!(effects.as_slice(), [Effect::PodStopped { .. }]), "{effects:?}");
}

#[test]
fn heat_passes_and_harms_have_their_hidden_cause() {
    let mut run = Run::new(5, &[("n1", Character::Healthy)]);
    run.bind(pod("crash", "n1", Archetype::CrashLoop));
    run.pass(MINUTE);
    let causes: Vec<HarmCause> = run.sim.take_harms().iter().map(|harm| harm.cause).collect();
    assert!(!causes.is_empty() && causes.iter().all(|cause| *cause == HarmCause::Application), "{causes:?}");
    let fault = |fault| Input::Fault { node: Arc::from("n1"), fault, lasts: Some(MINUTE) };
    run.input(fault(Fault::Heat));
    assert!(run.sim.node_truth("n1", run.now).is_some_and(|truth| truth.hot && truth.effective_cpu < 3_000.0));
    run.pass(MINUTE + SECOND);
    assert!(run.sim.node_truth("n1", run.now).is_some_and(|truth| !truth.hot));
    run.bind(pod("steady", "n1", Archetype::Steady));
    run.pass(10 * SECOND);
    run.input(fault(Fault::Die));
    let harms = run.sim.take_harms();
    assert!(harms.iter().any(|harm| *harm.uid == *"uid-steady" && harm.cause == HarmCause::Power), "{harms:?}");
}
