//! Decisions in which extenders have a say.

use super::*;
use crate::extender::{Advice, Eviction, Extender, FilterAnswer};

/// A question that was asked.
struct Ask {
    number: u64,
    pod: PodUid,
    question: Question,
}

impl Ask {
    fn nodes(&self) -> Vec<&str> {
        match &self.question {
            Question::Nodes(nodes) => nodes.iter().map(|node| &**node).collect(),
            Question::Evictions(evictions) => evictions.iter().map(|eviction| &*eviction.node).collect(),
        }
    }
}

fn extender() -> Extender {
    Extender {
        name: "http://x".into(),
        filters: true,
        prioritizes: true,
        preempts: true,
        weight: 1,
        ..Extender::default()
    }
}

fn bench(extenders: Vec<Extender>) -> Bench {
    let config = SchedulerConfig { extenders, ..SchedulerConfig::default() };
    let mut bench = Bench { scheduler: Scheduler::new(config), effects: Vec::new(), now: Timestamp::EPOCH };
    bench.step(Input::BudgetsReset(Vec::new()));
    bench
}

fn asks(effects: &[Effect]) -> Vec<Ask> {
    let ask = |effect: &Effect| match effect {
        Effect::Consult { pod, number, question, .. } => {
            Some(Ask { number: *number, pod: pod.uid.clone(), question: question.clone() })
        }
        _ => None,
    };
    effects.iter().filter_map(ask).collect()
}

fn failed(pairs: &[(&str, &str)]) -> FilterAnswer {
    let failed = pairs.iter().map(|(node, why)| ((*node).to_owned(), (*why).to_owned())).collect();
    FilterAnswer { failed, ..FilterAnswer::default() }
}

impl Bench {
    /// The one question that was asked.
    fn asked(&mut self) -> Ask {
        let mut asks = asks(&self.run());
        assert_eq!(asks.len(), 1);
        asks.remove(0)
    }

    fn answer(&mut self, ask: &Ask, answer: Result<Answer, Arc<str>>) {
        self.step(Input::Consulted { number: ask.number, answer });
    }

    /// Lets all nodes pass but those that failed, with scores.
    fn advise(&mut self, ask: &Ask, filter: FilterAnswer, scores: &[(&str, i64)]) {
        let Question::Nodes(nodes) = &ask.question else { panic!("it is about evictions") };
        let passed = nodes.iter().filter(|node| !filter.failed.contains_key(&***node)).map(ToString::to_string);
        let filter = FilterAnswer { passed: passed.collect(), ..filter };
        let mut advice = Advice::about(nodes.clone());
        advice.filtered("http://x", &filter).unwrap();
        let scores: Vec<(String, i64)> = scores.iter().map(|(node, score)| ((*node).to_owned(), *score)).collect();
        advice.prioritized(&extender(), &scores);
        self.answer(ask, Ok(Answer::Nodes(advice)));
    }

    fn with_nodes(mut self, numbers: std::ops::Range<u8>) -> Bench {
        numbers.for_each(|number| self.step(Input::NodeApplied(samples::node(number, NODE))));
        self
    }
}

#[test]
fn a_pod_goes_where_extenders_want_it_among_the_nodes_that_they_let_pass() {
    let mut bench = bench(vec![extender()]).with_nodes(1..4);
    bench.step(Input::PodApplied(samples::pod(1, POD)));
    let ask = bench.asked();
    assert_eq!((&*ask.pod, ask.nodes()), ("uid-1", vec!["node-1", "node-2", "node-3"]));
    assert!(!bench.scheduler.has_work(), "it waits for the answer");
    bench.advise(&ask, failed(&[("node-3", "busy")]), &[("node-2", 9), ("node-3", 10)]);
    let effects = bench.run();
    assert_eq!(bound_to(&effects), [(uid(1), node_name(2))]);
    let Some(Effect::Bind { decision, .. }) = effects.first() else { panic!("it is bound") };
    let chosen = decision.chosen.as_ref().unwrap();
    assert_eq!(chosen.extenders, [("http://x".into(), 90)]);
    assert_eq!(decision.runner_up.as_ref().unwrap().node, node_name(1));
    assert_eq!((decision.feasible_nodes, bench.scheduler.counters().attempts), (2, 1));
}

#[test]
fn what_extenders_reject_is_told_in_their_words_and_any_change_wakes_the_pod() {
    let mut bench = bench(vec![extender()]).with_nodes(1..4);
    bench.step(Input::PodApplied(samples::pod(1, POD)));
    let ask = bench.asked();
    let broken = [("node-3".to_owned(), "broken".to_owned())].into_iter().collect();
    let filter = FilterAnswer { unresolvable: broken, ..failed(&[("node-1", "busy"), ("node-2", "busy")]) };
    let mut advice = Advice::about(vec![node_name(1), node_name(2), node_name(3)]);
    advice.filtered("http://x", &filter).unwrap();
    bench.answer(&ask, Ok(Answer::Nodes(advice)));
    assert_eq!(
        messages(&bench.run()),
        [
            "0/3 nodes are available: 1 broken, 2 busy. no new claims to deallocate, preemption: 0/3 nodes are available: \
          1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
        ]
    );
    bench.wait(20);
    assert!(!bench.scheduler.has_work());
    bench.step(Input::PodApplied(Pod { node: Some(node_name(1)), ..samples::pod(7, POD) }));
    assert_eq!(bench.asked().nodes(), ["node-1", "node-2", "node-3"]);
}

#[test]
fn an_error_fails_the_attempt_and_the_pod_is_tried_again_after_a_pause() {
    let mut bench = bench(vec![extender()]).with_nodes(1..2);
    bench.step(Input::PodApplied(samples::pod(1, POD)));
    let ask = bench.asked();
    bench.answer(&ask, Err("no answer".into()));
    let effects = bench.run();
    assert_eq!(messages(&effects), ["no answer"]);
    assert!(matches!(&effects[0], Effect::Unschedulable { reason: "SchedulerError", decision: Some(_), .. }));
    bench.wait(3);
    let ask = bench.asked();
    bench.advise(&ask, FilterAnswer::default(), &[]);
    assert_eq!(bound_to(&bench.run()), [(uid(1), node_name(1))]);
}

#[test]
fn pods_that_concern_no_extender_or_another_do_not_wait_for_a_slow_one() {
    let only = |resource: &str| Extender { managed_resources: vec![resource.into()], ..extender() };
    let mut bench = bench(vec![only("example.com/gpu"), only("example.com/nic")]);
    bench.step(Input::NodeApplied(Node { allowed_pods: 110, ..samples::node(1, 5) }));
    let with = |resource: &str| {
        let mut spec = PodSpec::clone(&samples::spec(0));
        spec.requests.granted.scalars = vec![(resource.into(), 0)];
        Arc::new(spec)
    };
    let apply = |bench: &mut Bench, number: usize, spec: &Arc<PodSpec>| {
        let name = format!("pod-{number}");
        bench.step(Input::PodApplied(Pod::new(&format!("uid-{number}"), "default", &name, spec.clone())));
    };
    let gpu = with("example.com/gpu");
    (0..CONSULTATIONS + 2).for_each(|number| apply(&mut bench, number, &gpu));
    let asked = asks(&bench.run());
    assert_eq!(asked.len(), CONSULTATIONS, "the others wait for a place");
    assert!(!bench.scheduler.has_work());
    apply(&mut bench, 200, &samples::spec(0));
    apply(&mut bench, 201, &with("example.com/nic"));
    let effects = bench.run();
    assert_eq!(bound_to(&effects), [("uid-200".into(), node_name(1))]);
    assert_eq!(&*asks(&effects)[0].pod, "uid-201");
    // One that went is not asked about, and each answer makes room for one.
    bench.step(Input::PodDeleted(format!("uid-{CONSULTATIONS}").into()));
    bench.advise(&asked[0], FilterAnswer::default(), &[]);
    let effects = bench.run();
    assert_eq!(bound_to(&effects), [("uid-0".into(), node_name(1))]);
    assert_eq!(asks(&effects).iter().map(|ask| &*ask.pod).collect::<Vec<_>>(), [format!("uid-{}", CONSULTATIONS + 1)]);
    assert_eq!(bench.scheduler.inconsistencies(), Vec::<String>::new());
}

#[test]
fn what_changed_while_extenders_were_asked_counts() {
    let mut bench = bench(vec![extender()]).with_nodes(1..2);
    bench.step(Input::PodApplied(samples::pod(1, POD)));
    let first = bench.asked();
    // The node that was asked about goes, another one comes.
    bench.step(Input::NodeDeleted(node_name(1)));
    bench.step(Input::NodeApplied(samples::node(2, NODE)));
    bench.advise(&first, FilterAnswer::default(), &[]);
    let second = bench.asked();
    assert_eq!(second.nodes(), ["node-2"]);
    bench.advise(&second, FilterAnswer::default(), &[]);
    assert_eq!(bound_to(&bench.run()), [(uid(1), node_name(2))]);
    // A pod that goes meanwhile is forgotten, and an answer about it too.
    bench.step(Input::PodApplied(samples::pod(2, POD)));
    let ask = bench.asked();
    bench.step(Input::PodDeleted(uid(2)));
    bench.advise(&ask, FilterAnswer::default(), &[]);
    assert_eq!(bench.run(), []);
}

#[test]
fn nodes_that_never_stand_still_end_the_attempt() {
    let mut bench = bench(vec![extender()]).with_nodes(1..2);
    bench.step(Input::PodApplied(samples::pod(1, POD)));
    for number in 1..5 {
        let ask = bench.asked();
        assert_eq!(ask.nodes(), [format!("node-{number}")]);
        bench.step(Input::NodeDeleted(node_name(number)));
        bench.step(Input::NodeApplied(samples::node(number + 1, NODE)));
        bench.advise(&ask, FilterAnswer::default(), &[]);
    }
    assert_eq!(messages(&bench.run()), ["nodes change faster than extenders answer"]);
}

#[test]
fn the_nominated_node_is_asked_about_alone_first() {
    let mut bench = bench(vec![extender()]).with_nodes(1..4);
    let nominated = Pod { nominated_node: Some(node_name(3)), ..samples::pod(1, POD) };
    bench.step(Input::PodApplied(nominated));
    let ask = bench.asked();
    assert_eq!(ask.nodes(), ["node-3"]);
    bench.answer(&ask, Err("no answer".into()));
    let ask = bench.asked();
    assert_eq!(ask.nodes(), ["node-1", "node-2", "node-3"]);
    bench.answer(&ask, Err("no answer".into()));
    let effects = bench.run();
    let cleared = |effect: &Effect| matches!(effect, Effect::Unschedulable { nomination: Nomination::Cleared, .. });
    assert!(cleared(&effects[0]), "as kube-scheduler does after an error");
}

/// Two full nodes and a pod that would have to make room on one of them.
fn crowded() -> (Bench, Ask) {
    let mut bench = bench(vec![Extender { filters: false, prioritizes: false, ..extender() }]);
    let pod = |number: u8, priority: i32| {
        let spec = PodSpec { priority, ..PodSpec::clone(&samples::spec(0)) };
        Pod::new(uid(number).as_ref(), "default", &format!("pod-{number}"), Arc::new(spec))
    };
    for (node, victim) in [(1, 11), (2, 12)] {
        bench.step(Input::NodeApplied(Node { allowed_pods: 1, ..samples::node(node, NODE) }));
        bench.step(Input::PodApplied(Pod { node: Some(node_name(node)), ..pod(victim, i32::from(node)) }));
    }
    bench.step(Input::PodApplied(pod(1, 100)));
    let ask = bench.asked();
    (bench, ask)
}

fn evictions(effects: &[Effect]) -> Vec<(PodUid, NodeName)> {
    let evict = |effect: &Effect| match effect {
        Effect::Evict { victim, node, .. } => Some((victim.uid.clone(), node.clone())),
        _ => None,
    };
    effects.iter().filter_map(evict).collect()
}

#[test]
fn an_extender_has_a_say_in_who_is_evicted() {
    let (mut bench, ask) = crowded();
    assert_eq!(ask.nodes(), ["node-1", "node-2"]);
    let only = Eviction { node: node_name(2), victims: vec![uid(12)], budget_violations: 0 };
    bench.answer(&ask, Ok(Answer::Evictions(vec![only])));
    let effects = bench.run();
    assert_eq!(evictions(&effects), [(uid(12), node_name(2))], "although node-1 would be the cheaper one");
}

#[test]
fn without_a_candidate_nobody_is_evicted() {
    for (answer, why) in [
        (Ok(Answer::Evictions(Vec::new())), "no candidate node for preemption"),
        (Err("no answer".into()), "no answer"),
    ] {
        let (mut bench, ask) = crowded();
        bench.answer(&ask, answer);
        let effects = bench.run();
        let expected =
            format!("0/2 nodes are available: 2 Too many pods. no new claims to deallocate, preemption: {why}");
        assert_eq!((evictions(&effects), messages(&effects)), (Vec::new(), vec![expected]));
    }
}

#[test]
fn what_an_extender_says_of_pods_that_are_not_there_or_matter_more_evicts_nobody() {
    let (mut bench, ask) = crowded();
    let elsewhere = Eviction { node: node_name(2), victims: vec![uid(11)], budget_violations: 0 };
    bench.answer(&ask, Ok(Answer::Evictions(vec![elsewhere])));
    assert_eq!(evictions(&bench.run()), []);
}
