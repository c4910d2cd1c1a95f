//! What is recorded is found again, judged when it is due, and forgotten when it is old.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use augur_history::*;
use common::*;

fn find(handle: &HistoryHandle, change: impl FnOnce(&mut DecisionFilter)) -> Vec<DecisionId> {
    let mut filter = DecisionFilter { limit: 100, ..DecisionFilter::default() };
    change(&mut filter);
    handle.decisions(&filter).unwrap().into_iter().map(|(record, _)| record.id).collect()
}

fn outcome(handle: &HistoryHandle, id: DecisionId) -> Outcome {
    handle.decision(id).unwrap().unwrap().1.unwrap()
}

#[test]
fn decisions_are_found_by_pod_node_time_and_id() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    let mut ids = Vec::new();
    for (i, (name, node)) in
        [("a", Some("n1")), ("b", Some("n2")), ("a", Some("n2")), ("c", None)].into_iter().enumerate()
    {
        let record = decision(&h, name, node, at(i as i64 * MINUTE));
        ids.push(record.id);
        assert!(h.record_decision(record));
    }
    assert!(ids.is_sorted());
    assert_eq!(find(&h, |_| {}), [ids[3], ids[2], ids[1], ids[0]]);
    assert_eq!(find(&h, |f| f.limit = 2), [ids[3], ids[2]]);
    assert_eq!(find(&h, |f| f.pod = Some("a".into())), [ids[2], ids[0]]);
    assert_eq!(find(&h, |f| f.pod = Some("default/a".into())), [ids[2], ids[0]]);
    assert_eq!(find(&h, |f| f.pod = Some("other/a".into())), []);
    assert_eq!(find(&h, |f| f.node = Some("n2".into())), [ids[2], ids[1]]);
    assert_eq!(find(&h, |f| (f.pod, f.node) = (Some("a".into()), Some("n2".into()))), [ids[2]]);
    assert_eq!(find(&h, |f| f.since = Some(at(2 * MINUTE))), [ids[3], ids[2]]);
    let (record, outcome) = h.decision(ids[1]).unwrap().unwrap();
    assert_eq!((&*record.pod.name, outcome.unwrap().state), ("b", OutcomeState::Starting));
    assert_eq!(h.decision(DecisionId(1)).unwrap(), None);
    let id: DecisionId = ids[1].to_string().parse().unwrap();
    assert_eq!(id, ids[1]);
}

#[test]
fn failed_attempts_with_one_reason_are_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    for i in 0..5 {
        h.record_decision(decision(&h, "big", None, at(i * MINUTE)));
        if i == 2 {
            h.flush();
        }
    }
    h.record_decision(decision(&h, "big", Some("n1"), at(9 * MINUTE)));
    let found = h.decisions(&DecisionFilter { limit: 10, ..DecisionFilter::default() }).unwrap();
    let attempts: Vec<_> = found.iter().map(|(r, _)| (r.node.is_some(), r.attempts)).collect();
    assert_eq!(attempts, [(true, 1), (false, 5)]);
}

#[test]
fn an_outcome_matures_at_the_horizon_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    let (good, bad, slow) = (
        decision(&h, "good", Some("n1"), at(0)),
        decision(&h, "bad", Some("n1"), at(0)),
        decision(&h, "slow", Some("n2"), at(0)),
    );
    let ids = [good.id, bad.id, slow.id];
    for record in [good, bad, slow] {
        h.record_decision(record);
    }
    h.observe_pod(observation("good", "n1", at(5_000)));
    h.observe_pod(oom("bad", "n1", at(5_000)));
    h.observe_pod(PodObservation { ready: false, phase: PodPhase::Pending, ..observation("slow", "n2", at(5_000)) });
    h.tick(at(HOUR - 1));
    let seen: Vec<_> = ids.iter().map(|id| outcome(&h, *id)).collect();
    assert!(seen.iter().all(|o| o.label == OutcomeLabel::Immature), "{seen:?}");
    assert_eq!(seen[1].cause, Some(Cause::OomKilled));
    assert_eq!(seen[2].cause, Some(Cause::NotReady), "two minutes are enough to start");
    assert_eq!(h.performance().total().judged, 0);
    h.tick(at(HOUR));
    let labels = ids.map(|id| outcome(&h, id).label);
    assert_eq!(labels, [OutcomeLabel::Good, OutcomeLabel::Bad, OutcomeLabel::Bad]);
    let total = h.performance().total();
    assert_eq!((total.placements, total.judged, total.successful), (3, 3, 1));
}

#[test]
fn what_is_followed_is_followed_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (stays, leaves);
    {
        let history = open(dir.path());
        let h = history.handle();
        let (a, b) = (decision(&h, "stays", Some("n1"), at(0)), decision(&h, "leaves", Some("n1"), at(0)));
        (stays, leaves) = (a.id, b.id);
        h.record_decision(a);
        h.record_decision(b);
        h.observe_pod(observation("stays", "n1", at(1_000)));
        h.observe_pod(observation("leaves", "n1", at(1_000)));
    }
    let history = open(dir.path());
    let h = history.handle();
    assert!(h.next_id(at(0)) > leaves, "ids go on where they were");
    h.observe_pod(observation("stays", "n1", at(2 * MINUTE)));
    h.pods_listed(at(2 * MINUTE));
    h.tick(at(HOUR + 1));
    assert_eq!(outcome(&h, stays).label, OutcomeLabel::Good);
    assert_eq!(outcome(&h, leaves).label, OutcomeLabel::Censored);
    let summary = h.summary().unwrap();
    assert_eq!((summary.decisions, summary.outcomes, summary.pods), (2, 2, 1));
    let rates = h.rates();
    assert_eq!(rates.nodes["n1"].pods, 2, "a pod is not counted twice: {rates:?}");
}

/// Waits for rates that satisfy `wanted`; they are made anew about every second.
fn rates_when(h: &HistoryHandle, wanted: impl Fn(&Rates) -> bool) -> std::sync::Arc<Rates> {
    for _ in 0..3_000 {
        let rates = h.rates();
        if wanted(&rates) {
            return rates;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the rates never came: {:?}", h.rates().nodes.get("n1"));
}

#[test]
fn failed_pods_of_the_past_are_not_recent() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    let seen =
        |name: &str, when| PodObservation { phase: PodPhase::Failed, ready: false, ..observation(name, "n1", when) };
    let counts = |r: &Rates| r.nodes.get("n1").map(|n| (n.failed_pods, n.recent_failed_pods));
    h.observe_pod(seen("a", at(MINUTE)));
    h.observe_pod(seen("b", at(MINUTE)));
    rates_when(&h, |r| counts(r) == Some((2, 2)));
    h.tick(at(3 * HOUR));
    rates_when(&h, |r| counts(r) == Some((2, 0)));
    h.observe_pod(seen("c", at(3 * HOUR + MINUTE)));
    rates_when(&h, |r| counts(r) == Some((3, 1)));
}

#[test]
fn a_bad_node_stands_out_and_a_bad_workload_stains_no_node() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    for n in 0..6 {
        for p in 0..20 {
            let (name, node) = (format!("p-{n}-{p}"), format!("n{n}"));
            let mut seen =
                if n == 5 && p % 2 == 0 { oom(&name, &node, at(2_000)) } else { observation(&name, &node, at(2_000)) };
            // A workload of its own each, so that only the node can be to blame.
            seen.workload = workload(&name);
            let mut first = observation(&name, &node, at(1_000));
            first.workload = workload(&name);
            h.observe_pod(first);
            h.observe_pod(seen);
        }
    }
    let rates = rates_when(&h, |r| r.nodes.get("n5").is_some_and(|n| n.oom_kills == 10));
    let failure = |rates: &Rates, node: &str| rates.nodes[node].failure_rate.unwrap().value;
    assert!(failure(&rates, "n5") > 0.3 && failure(&rates, "n0") < 0.1, "{:?}", rates.nodes);

    // One workload that crashes on every node.
    let before = failure(&rates, "n4");
    for n in 0..5 {
        for p in 0..20 {
            let (name, node) = (format!("poison-{n}-{p}"), format!("n{n}"));
            for mut seen in [observation(&name, &node, at(3_000)), oom(&name, &node, at(4_000))] {
                seen.workload = workload("poison");
                h.observe_pod(seen);
            }
        }
    }
    let rates = rates_when(&h, |r| r.workloads.get(&workload("poison")).is_some_and(|w| w.n == 100));
    assert!(rates.workloads[&workload("poison")].failure_rate.unwrap().value > 0.9);
    let unstained = |rates: &Rates| (0..5).all(|n| failure(rates, &format!("n{n}")) < before + 0.02);
    assert!(unstained(&rates), "{:?}", rates.nodes);
    assert!(failure(&rates, "n5") > 0.25, "and a bad node stays one: {:?}", rates.nodes["n5"]);
    h.tick(at(HOUR + 10_000));
    rates_when(&h, |r| unstained(r) && (0..5).all(|n| r.nodes[&*format!("n{n}")].oom_kills == 20));
}

#[test]
fn usage_gives_a_mean_and_a_peak_after_ten_samples_and_readiness_counts_time() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    let sample = |i: i64| NodeObservation {
        name: "n1".into(),
        ready: i < 5,
        cpu: Some(0.5),
        memory: (i != 3).then_some(0.25),
        at: at(i * 30_000),
        ..NodeObservation::default()
    };
    for i in 0..10 {
        h.observe_node(sample(i));
    }
    let rates = rates_when(&h, |r| r.nodes.get("n1").is_some_and(|n| n.mean_cpu.is_some()));
    let n1 = &rates.nodes["n1"];
    assert!((n1.mean_cpu.unwrap() - 0.5).abs() < 1e-9 && n1.peak_cpu.unwrap() >= 0.5);
    assert_eq!((n1.mean_memory, n1.peak_memory), (None, None), "nine samples are too few");
    assert_eq!((n1.failure_rate, n1.stability_score), (None, None), "no pod has been seen there");
    assert!((n1.ready_share.unwrap() - 5.0 / 9.0).abs() < 1e-9, "{n1:?}");
}

#[test]
fn memory_ends_with_the_window_and_with_the_byte_budget() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    h.record_decision(decision(&h, "old", Some("n1"), at(0)));
    h.observe_pod(observation("old", "n1", at(1_000)));
    h.observe_pod(PodObservation { gone: true, ..observation("old", "n1", at(2_000)) });
    send(&h, feedback(None, "n1", true), at(3_000));
    let newer = decision(&h, "new", Some("n1"), at(8 * 24 * HOUR));
    let id = newer.id;
    h.record_decision(newer);
    assert_eq!(find(&h, |_| {}), [id]);
    assert_eq!(find(&h, |f| f.pod = Some("old".into())), []);
    let summary = h.summary().unwrap();
    assert_eq!((summary.decisions, summary.outcomes, summary.feedback), (1, 1, 0));
    rates_when(&h, |r| r.pods == 0);
    drop((history, h));

    let options = HistoryOptions { byte_budget: 20_000, ..HistoryOptions::new(dir.path()) };
    let history = History::open(&options).unwrap();
    let h = history.handle();
    for i in 0..200 {
        h.record_decision(decision(&h, &format!("p{i}"), Some("n1"), at(8 * 24 * HOUR + i)));
    }
    let kept = find(&h, |_| {});
    let summary = h.summary().unwrap();
    assert!(summary.decision_bytes <= 20_000 && summary.decisions as usize == kept.len(), "{summary:?}");
    assert!(kept.len() > 10 && !kept.contains(&id), "the oldest go first: {summary:?}");
}

#[test]
fn examples_leave_with_their_bytes_the_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let options = HistoryOptions { example_budget: 10_000, ..HistoryOptions::new(dir.path()) };
    let history = History::open(&options).unwrap();
    let h = history.handle();
    let example = |i: i64| Example {
        decision_id: DecisionId(DecisionId::first_at(at(i)).0 + 1),
        at: at(i),
        node: "n1".into(),
        workload: None,
        label: OutcomeLabel::Good,
        cause: None,
        propensity: 1.0,
        features: vec![Some(0.5); 10],
        model_id: None,
        p_bad: None,
        holdback: false,
        until: None,
        alternative: None,
        feedback: None,
    };
    for i in 0..200 {
        h.add_examples(vec![example(i)], |kept| kept.unwrap());
    }
    let kept = h.examples().unwrap();
    // An example has more than 60 bytes, however well it deflates.
    assert!((10..10_000 / 60).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().map(|e| e.at), Some(at(199)), "the newest stay");
    drop((history, h));
    // The bytes are counted on, also those of an example that comes a second time.
    let history = History::open(&options).unwrap();
    let h = history.handle();
    h.add_examples((0..50).map(|_| example(500)).collect(), |kept| kept.unwrap());
    assert!(h.examples().unwrap().len() + 1 >= kept.len(), "one more of the same size takes the place of at most one");
}

#[test]
fn pods_without_owner_do_not_fill_the_memory_of_workloads() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    h.observe_pod(observation("of-a-deployment", "n1", at(0)));
    for i in 0..21_000 {
        let name = format!("bare-{i}");
        let owner = WorkloadKey { namespace: "default".into(), kind: "Pod".into(), name: name.as_str().into() };
        h.observe_pod(PodObservation { workload: owner, ..observation(&name, "n1", at(i)) });
        if i % 2_000 == 0 {
            h.flush();
        }
    }
    let rates = rates_when(&h, |r| r.pods == 21_001);
    assert!((10_000..20_001).contains(&rates.workloads.len()), "{}", rates.workloads.len());
    assert!(rates.workloads.contains_key(&workload("web")));
    drop((history, h));
    let kept = open(dir.path()).handle().rates().workloads.len();
    assert_eq!(kept, rates.workloads.len(), "what is forgotten is forgotten on disk");
}

#[test]
fn a_full_queue_drops_and_counts_and_refuses_feedback() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    let (enter, entered) = std::sync::mpsc::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    h.subscribe(move |_| {
        enter.send(()).unwrap();
        held.recv().is_ok()
    });
    h.record_decision(decision(&h, "first", Some("n1"), at(0)));
    entered.recv().unwrap();
    // The writing thread stands still inside the subscriber.
    let mut accepted = 0;
    while h.observe_node(NodeObservation { name: "n1".into(), ready: true, at: at(1), ..NodeObservation::default() }) {
        accepted += 1;
        assert!(accepted < 1_000_000, "the queue must be bounded");
    }
    let status = h.status();
    assert_eq!((status.dropped, status.dropped_at), (1, None));
    assert!(!h.tick(at(2)), "a tick is dropped too");
    let status = h.status();
    assert_eq!((status.dropped, status.dropped_at), (2, Some(at(2))));
    let (sender, receiver) = std::sync::mpsc::channel();
    h.feedback(feedback(None, "n1", true), at(2), move |result| sender.send(result).unwrap());
    assert!(matches!(receiver.recv().unwrap(), Err(FeedbackError::Busy)));
    drop(release);
    h.flush();
    assert_eq!(send(&h, feedback(None, "n1", true), at(3)).total, 1);
    assert!(h.tick(at(4)));
    let status = h.status();
    assert_eq!((status.dropped, status.dropped_at), (2, Some(at(2))), "nothing more was dropped");
}
