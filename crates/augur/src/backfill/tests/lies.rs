//! What cannot be true, and what is not told, while the past is played through.

use std::collections::BTreeMap;

use augur_history::{PastStep, PodPhase};
use augur_kube::{PastHours, PastPod, PastPodEvent, PastPodNews, PodReading, Usage};
use jiff::Timestamp;

use super::super::replay::Replay;

fn pod(name: &str, uid: &str) -> PastPod {
    PastPod {
        namespace: "shop".into(),
        name: name.into(),
        uid: uid.into(),
        node: "n1".into(),
        kind: "Deployment".into(),
        owner: "web".into(),
        revision: "5d8f9".into(),
    }
}

/// Pods of these names, there at these steps of five minutes.
fn hours(names: &[&str], steps: impl IntoIterator<Item = i64>) -> PastHours {
    let pods: Vec<PastPod> = names.iter().map(|name| pod(name, &format!("uid-{name}"))).collect();
    let present = steps.into_iter().map(|step| (step * 300_000, (0..pods.len()).collect())).collect();
    PastHours { pods, present, ..PastHours::default() }
}

fn restarts(at: i64, count: u32) -> PastPodEvent {
    PastPodEvent { at, pod: 0, news: PastPodNews::Restarts { container: "main".into(), count } }
}

/// Name, restarts and whether it is gone, of all observations.
fn told(steps: &[PastStep]) -> Vec<(String, u32, bool)> {
    let all = steps.iter().flat_map(|step| &step.pods);
    all.map(|pod| (pod.pod.name.to_string(), pod.restarts, pod.gone)).collect()
}

#[test]
fn restarts_before_anybody_watched_are_where_it_starts_and_a_counter_that_falls_starts_anew() {
    let mut replay = Replay::new();
    let mut first = hours(&["a"], 0..4);
    first.events = vec![restarts(0, 5), restarts(300_000, 6), restarts(600_000, 1), restarts(900_000, 2)];
    let web = |restarts| ("a".to_owned(), restarts, false);
    assert_eq!(told(&replay.steps(first)), [web(5), web(6), web(1), web(2)]);
    // The next span repeats what held at its beginning.
    let mut second = hours(&["a", "b"], 4..6);
    second.events = vec![restarts(1_200_000, 2)];
    second.events.push(PastPodEvent { pod: 1, ..restarts(1_200_000, 1) });
    // One that came while we watched began without a restart.
    assert_eq!(told(&replay.steps(second)), [("b".to_owned(), 0, false), ("b".to_owned(), 1, false)]);
}

#[test]
fn a_server_that_misses_a_scrape_deletes_no_pods_and_one_pod_that_is_missing_is_gone() {
    let names: Vec<String> = (0..12).map(|n| format!("p{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut replay = Replay::new();
    assert_eq!(replay.steps(hours(&names, 0..1)).iter().map(|step| step.pods.len()).sum::<usize>(), 12);
    assert!(told(&replay.steps(hours(&names[..3], 1..2))).is_empty(), "three of twelve");
    assert!(told(&replay.steps(PastHours::default())).is_empty(), "silence");
    let gone = told(&replay.steps(hours(&names[..11], 2..3)));
    assert_eq!(gone, [("p11".to_owned(), 0, true)]);
    let gone = told(&replay.steps(hours(&names[..3], 3..20)));
    assert_eq!(gone.len(), 8, "an hour of it is the truth: {gone:?}");
}

#[test]
fn how_a_pod_ended_is_told_as_far_as_it_is_known() {
    let mut replay = Replay::new();
    replay.steps(hours(&["a"], 0..1));
    let mut then = hours(&["a"], 1..4);
    let event = |at, news| PastPodEvent { at, pod: 0, news };
    let end = |reason: &str| PastPodNews::LastEnd { container: "main".into(), reason: reason.into() };
    then.events = vec![
        event(300_000, end("OOMKilled")),
        restarts(300_000, 1),
        event(600_000, end("Error")),
        restarts(600_000, 2),
        event(900_000, PastPodNews::Reason("Evicted".into())),
        event(900_000, PastPodNews::Over { succeeded: false }),
    ];
    then.unready = BTreeMap::from([(300_000, vec![]), (600_000, vec![0])]);
    let steps = replay.steps(then);
    let pods: Vec<_> = steps.iter().flat_map(|step| &step.pods).collect();
    let end = |place: usize| pods[place].terminated.as_ref().map(|end| (&*end.reason, end.exit_code));
    assert_eq!((end(0), pods[0].ready, pods[0].phase), (Some(("OOMKilled", 137)), true, PodPhase::Running));
    assert_eq!((end(1), pods[1].ready), (Some(("Error", -1)), false), "the code is not told");
    assert_eq!((pods[2].phase, pods[2].reason.as_deref()), (PodPhase::Failed, Some("Evicted")));
    assert_eq!(pods.len(), 3);
}

#[test]
fn ten_times_as_much_at_once_is_not_believed_and_what_is_not_allocatable_has_no_share() {
    let mut replay = Replay::new();
    let at = |step: i64| step * 300_000;
    let used = |cpu, memory| Usage { cpu, memory, at: Timestamp::UNIX_EPOCH };
    let mut hours = hours(&["a"], 0..3);
    hours.allocatable.insert("n1".into(), (4.0, 8e9));
    for (step, usage) in [(0, used(0.4, 1e9)), (1, used(4.0, 1e10)), (2, used(0.4, 1e9))] {
        hours.nodes.insert(at(step), vec![("n1".into(), true), ("n2".into(), step != 1)]);
        let pods = vec![PodReading { namespace: "shop".into(), name: "a".into(), containers: Vec::new() }];
        let nodes = [("n1".into(), usage), ("n2".into(), used(1.0, 1.0))].into();
        hours.usage.insert(at(step), (nodes, pods));
    }
    let steps = replay.steps(hours);
    let cpu: Vec<_> = steps.iter().map(|step| step.nodes.iter().map(|node| node.cpu).collect::<Vec<_>>()).collect();
    assert_eq!(cpu, [vec![Some(0.1), None], vec![None, None], vec![Some(0.1), None]]);
    assert_eq!(replay.take_rejected(), [("jump", 1)].into());
    let ready: Vec<_> = steps.iter().map(|step| step.nodes[1].ready).collect();
    assert_eq!(ready, [true, false, true]);
}
