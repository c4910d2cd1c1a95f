//! The days before are taken in as if they had been lived through.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use augur_history::{
    ContainerSample, History, HistoryHandle, HistoryOptions, NodeObservation, NodeSample, PastState, PastStep, PodKey,
    PodObservation, PodPhase, PodSample, Rates, SeriesOf, Termination, UnixMillis, UsageRound, WorkloadKey,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// The moment at which Augur was first started.
const START: i64 = 490_000 * HOUR;

fn pod(index: i64, at: i64, restarts: u32) -> PodObservation {
    PodObservation {
        pod: PodKey { namespace: "shop".into(), name: format!("web-{index}").into(), uid: format!("u{index}").into() },
        workload: WorkloadKey { namespace: "shop".into(), kind: "Deployment".into(), name: "web".into() },
        revision: "r1".into(),
        node: Some(format!("n{}", index % 3).into()),
        phase: PodPhase::Running,
        ready: true,
        restarts,
        terminated: (restarts > 0).then(|| Termination { reason: "OOMKilled".into(), exit_code: 137 }),
        at: UnixMillis(at),
        ..PodObservation::default()
    }
}

/// What is seen in the minute `at`: three pods, of which one is killed for memory every seven hours, on three nodes, of which one
/// is not ready in the first minutes of every hour.
fn minute(at: i64) -> PastStep {
    let hours = (at - (START - 48 * HOUR)) / HOUR;
    let new = at % HOUR == 0;
    let pods = (0..3).filter(|_| new).map(|index| pod(index, at, if index == 1 { (hours / 7) as u32 } else { 0 }));
    let nodes = (0..3).map(|index| NodeObservation {
        name: format!("n{index}").into(),
        ready: index != 2 || at % HOUR > 5 * MINUTE,
        cpu: Some(0.25),
        memory: Some(0.5),
        allocatable: Some((4.0, 8e9)),
        at: UnixMillis(at),
        ..NodeObservation::default()
    });
    let usage = UsageRound {
        at: UnixMillis(at),
        nodes: (0..3).map(|i| NodeSample { name: format!("n{i}").into(), cpu: 1.0, memory: 4e9 }).collect(),
        pods: (0..3)
            .map(|i| PodSample {
                namespace: "shop".into(),
                name: format!("web-{i}").into(),
                containers: vec![ContainerSample { name: "main".into(), cpu: 0.3, memory: 2e8 }],
            })
            .collect(),
    };
    PastStep { at: UnixMillis(at), nodes: nodes.collect(), pods: pods.collect(), usage: Some(usage) }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "still waiting: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Watches the minutes of a span as a scheduler does.
fn watch(handle: &HistoryHandle, from: i64, until: i64) {
    for at in (from..until).step_by(MINUTE as usize) {
        let step = minute(at);
        // The queue holds some hours of this; it is given time to empty.
        if at % (4 * HOUR) == 0 {
            handle.flush();
        }
        step.nodes.into_iter().for_each(|node| assert!(handle.observe_node(node)));
        step.pods.into_iter().for_each(|pod| assert!(handle.observe_pod(pod)));
        assert!(handle.observe_usage(step.usage.unwrap()));
    }
}

fn tell(post: impl Fn(Box<dyn FnOnce() + Send>) -> bool) {
    let (sender, done) = std::sync::mpsc::sync_channel(1);
    assert!(post(Box::new(move || sender.send(()).unwrap())));
    done.recv().unwrap();
}

fn rates(handle: &HistoryHandle) -> Arc<Rates> {
    let now = UnixMillis(START + 6 * HOUR);
    handle.tick(now);
    handle.flush();
    // Rates are made anew about every second.
    std::thread::sleep(Duration::from_millis(5));
    wait_for("the rates are new", || {
        handle.tick(now);
        handle.rates().nodes.len() == 3 && handle.rates().workloads.values().all(|w| w.restarts >= 6)
    });
    handle.rates()
}

fn near(what: &str, a: f64, b: f64) {
    assert!((a - b).abs() <= 0.02 * a.abs().max(0.01), "{what}: lived {a}, told {b}");
}

#[test]
fn two_days_that_are_told_count_as_two_days_that_were_lived_through() {
    let (lived, told) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lived = History::open(&HistoryOptions::new(lived.path())).unwrap();
    watch(&lived.handle(), START - 48 * HOUR, START + 6 * HOUR);
    let lived = rates(&lived.handle());

    let history = History::open(&HistoryOptions::new(told.path())).unwrap();
    let handle = history.handle();
    assert_eq!(handle.past_state(), PastState::Unknown);
    // The present goes on while the days before are told.
    watch(&handle, START, START + 3 * HOUR);
    tell(|done| handle.begin_past(UnixMillis(START), done));
    for hour in 0..48 {
        let from = START + (hour - 48) * HOUR;
        let steps: Arc<[PastStep]> = (from..from + HOUR).step_by(MINUTE as usize).map(minute).collect();
        tell(|done| handle.past(steps.clone(), done));
    }
    tell(|done| handle.end_past(done));
    watch(&handle, START + 3 * HOUR, START + 6 * HOUR);
    let now = rates(&handle);
    assert_eq!(handle.past_state(), PastState::Known);

    let key = WorkloadKey { namespace: "shop".into(), kind: "Deployment".into(), name: "web".into() };
    let (a, b) = (&lived.workloads[&key], &now.workloads[&key]);
    // The restart that fell into the first hour of the present was the first sight of it, and happened unwatched.
    assert_eq!((a.n, a.oom_kills - a.restarts), (b.n, b.oom_kills - b.restarts));
    assert!(a.restarts - b.restarts <= 1, "{} {}", a.restarts, b.restarts);
    near("restart rate", a.restart_rate.unwrap().value, b.restart_rate.unwrap().value);
    near("OOM rate", a.oom_rate.unwrap().value, b.oom_rate.unwrap().value);
    let (usage, other) = (a.usage.unwrap(), b.usage.unwrap());
    assert_eq!(usage.samples, other.samples);
    near("CPU", usage.cpu_p95, other.cpu_p95);
    near("memory", usage.memory_p98, other.memory_p98);
    for (name, node) in &lived.nodes {
        let other = &now.nodes[name];
        near("ready share", node.ready_share.unwrap(), other.ready_share.unwrap());
        near("mean CPU", node.mean_cpu.unwrap(), other.mean_cpu.unwrap());
        near("failures", node.failure_rate.unwrap().value, other.failure_rate.unwrap().value);
        assert_eq!(node.pods, other.pods, "{name}");
    }
    // Each point once, at its own time.
    let series = handle.usage_series(SeriesOf::Pod("web-0"), UnixMillis(0)).unwrap();
    assert_eq!(series.len(), 1, "past and present of a container are one series");
    assert!(series[0].points.is_sorted_by_key(|point| point.at));
    let first = series[0].points.first().unwrap().at;
    assert_eq!(first.0, START - 48 * HOUR);
    drop((handle, history));
    let again = History::open(&HistoryOptions::new(told.path())).unwrap();
    assert_eq!(again.handle().past_state(), PastState::Known);
    assert_eq!(rates(&again.handle()).workloads[&key].restarts, b.restarts);
}
