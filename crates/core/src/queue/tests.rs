//! Text-sized scenarios for each transition, and a property test over random histories.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

/// Plugins that say what the test tells them to. An event is the set of plugins that it helps.
#[derive(Default)]
struct Told {
    gates: HashMap<PodUid, PluginId>,
}

impl Advisor<PluginSet> for Told {
    fn gate(&self, pod: &PodUid) -> Option<PluginId> {
        self.gates.get(pod).copied()
    }
    fn interested(&self, event: &PluginSet) -> PluginSet {
        *event
    }
    fn may_help(&self, _: &PodUid, plugin: PluginId, event: &PluginSet) -> bool {
        event.contains(plugin)
    }
    fn label(&self, _: &PluginSet) -> &'static str {
        "Told"
    }
}

const FIT: PluginSet = PluginSet::of(&[PluginId::NodeResourcesFit]);
const TAINT: PluginSet = PluginSet::of(&[PluginId::TaintToleration]);
const NONE: PluginSet = PluginSet::EMPTY;

fn uid(name: &str) -> PodUid {
    name.into()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn queue() -> SchedulingQueue<PluginSet> {
    SchedulingQueue::new(QueueConfig::default())
}

fn pop(queue: &mut SchedulingQueue<PluginSet>) -> Option<String> {
    queue.pop().map(|pod| pod.uid.to_string())
}

fn place(queue: &SchedulingQueue<PluginSet>, name: &str) -> Option<Place> {
    queue.get(&uid(name)).map(QueuedPod::place)
}

fn all(_: &QueuedPod) -> bool {
    true
}

#[test]
fn the_highest_priority_goes_first_then_the_longest_waiting() {
    let (mut q, told) = (queue(), Told::default());
    for (name, priority, time) in [("late", 0, 5), ("early", 0, 1), ("high", 10, 9), ("same", 0, 1)] {
        q.add(&uid(name), priority, at(time), &told);
    }
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut q)).collect();
    assert_eq!(order, ["high", "early", "same", "late"]);
}

#[test]
fn an_event_wakes_only_the_pods_it_can_help() {
    let (mut q, told) = (queue(), Told::default());
    for (name, by) in [("fit", FIT), ("taint", TAINT)] {
        q.add(&uid(name), 0, at(0), &told);
        q.pop();
        q.reject(&uid(name), by, NONE, at(0), &told);
    }
    q.on_event(&FIT, at(60), &told, all);
    assert_eq!(place(&q, "fit"), Some(Place::Active));
    assert_eq!(place(&q, "taint"), Some(Place::Unschedulable));
}

#[test]
fn an_event_during_the_attempt_counts_for_the_pod_that_comes_back() {
    let (mut q, told) = (queue(), Told::default());
    q.add(&uid("a"), 0, at(0), &told);
    q.pop();
    q.on_event(&TAINT, at(0), &told, all);
    q.on_event(&FIT, at(0), &told, all);
    assert_eq!(q.recorded_events(), 2);
    q.reject(&uid("a"), FIT, NONE, at(0), &told);
    assert_eq!(place(&q, "a"), Some(Place::Backoff));
    assert_eq!(q.recorded_events(), 0, "no attempt needs them any more");
}

#[test]
fn an_event_before_the_attempt_does_not() {
    let (mut q, told) = (queue(), Told::default());
    q.add(&uid("a"), 0, at(0), &told);
    q.add(&uid("b"), 0, at(1), &told);
    q.pop();
    q.on_event(&FIT, at(1), &told, all);
    q.pop();
    q.reject(&uid("b"), FIT, NONE, at(1), &told);
    assert_eq!(place(&q, "b"), Some(Place::Unschedulable));
    q.reject(&uid("a"), FIT, NONE, at(1), &told);
    assert_eq!(place(&q, "a"), Some(Place::Backoff));
}

#[test]
fn backoff_doubles_from_one_to_ten_seconds() {
    let (mut q, told) = (queue(), Told::default());
    q.add(&uid("a"), 0, at(0), &told);
    let mut now = at(0);
    for backoff in [1, 2, 4, 8, 10, 10] {
        q.pop().expect("the pod is ready");
        q.reject(&uid("a"), NONE, NONE, now, &told);
        assert_eq!(place(&q, "a"), Some(Place::ErrorBackoff));
        let wakeup = q.next_wakeup().expect("the backoff ends");
        assert_eq!(wakeup, now + Duration::from_secs(backoff + 1), "the end of the window in which it ends");
        q.tick(now + Duration::from_secs(backoff), &told);
        assert_eq!(place(&q, "a"), Some(Place::ErrorBackoff));
        q.tick(wakeup, &told);
        assert_eq!(place(&q, "a"), Some(Place::Active));
        now = wakeup;
    }
}

#[test]
fn an_idle_scheduler_takes_rejected_pods_out_of_backoff_but_not_failed_ones() {
    let (mut q, told) = (queue(), Told::default());
    for (name, by) in [("rejected", FIT), ("failed", NONE)] {
        q.add(&uid(name), 0, at(0), &told);
        q.pop();
        q.reject(&uid(name), by, NONE, at(0), &told);
    }
    q.on_event(&FIT, at(0), &told, all);
    assert_eq!(place(&q, "rejected"), Some(Place::Backoff));
    assert_eq!(pop(&mut q).as_deref(), Some("rejected"));
    assert_eq!(pop(&mut q), None);
}

#[test]
fn a_pending_plugin_skips_the_backoff() {
    let (mut q, told) = (queue(), Told::default());
    q.add(&uid("a"), 0, at(0), &told);
    q.pop();
    q.reject(&uid("a"), FIT, TAINT, at(0), &told);
    q.on_event(&TAINT.union(FIT), at(0), &told, all);
    assert_eq!(place(&q, "a"), Some(Place::Active));
}

#[test]
fn a_gated_pod_waits_for_its_gate_and_no_other_event() {
    let (mut q, mut told) = (queue(), Told::default());
    told.gates.insert(uid("a"), PluginId::TaintToleration);
    q.add(&uid("a"), 0, at(0), &told);
    assert_eq!(q.pending(), PendingCounts { gated: 1, ..PendingCounts::default() });
    q.on_event(&FIT, at(1), &told, all);
    assert_eq!(place(&q, "a"), Some(Place::Gated));
    told.gates.clear();
    q.update(&uid("a"), 0, [TAINT], at(2), &told);
    assert_eq!(place(&q, "a"), Some(Place::Active));
    assert_eq!(q.get(&uid("a")).and_then(|pod| pod.first_ready), Some(at(2)));
}

#[test]
fn after_five_minutes_a_pod_is_tried_without_an_event() {
    let (mut q, told) = (queue(), Told::default());
    q.add(&uid("a"), 0, at(0), &told);
    q.pop();
    q.reject(&uid("a"), FIT, NONE, at(0), &told);
    q.tick(at(300), &told);
    assert_eq!(place(&q, "a"), Some(Place::Unschedulable));
    q.tick(at(331), &told);
    assert_eq!(place(&q, "a"), Some(Place::Active));
    assert!(q.get(&uid("a")).is_some_and(|pod| pod.flushed));
}

#[test]
fn a_pod_that_always_fails_does_not_hold_up_the_others() {
    let (mut q, told) = (queue(), Told::default());
    q.add(&uid("poison"), 1_000, at(0), &told);
    q.add(&uid("plain"), 0, at(0), &told);
    assert_eq!(pop(&mut q).as_deref(), Some("poison"));
    q.reject(&uid("poison"), FIT, NONE, at(0), &told);
    q.on_event(&FIT, at(0), &told, all);
    assert_eq!(pop(&mut q).as_deref(), Some("plain"), "the poison pod waits out its backoff in spite of its priority");
}

#[test]
fn a_failed_binding_brings_the_pod_back_after_a_backoff() {
    let (mut q, told) = (queue(), Told::default());
    q.add(&uid("a"), 0, at(0), &told);
    let popped = q.pop().expect("the pod is ready");
    q.done(&uid("a"));
    assert_eq!(place(&q, "a"), None);
    q.restore(popped, at(1), &told);
    assert_eq!(place(&q, "a"), Some(Place::ErrorBackoff));
    q.tick(at(3), &told);
    assert_eq!(q.pop().map(|pod| pod.attempts), Some(2));
}

#[derive(Debug, Clone)]
enum Step {
    Add(u8, i32),
    Update(u8, i32),
    Delete(u8),
    Gate(u8, bool),
    Pop,
    Done(u8),
    Reject(u8, bool, bool),
    Event(bool),
    Activate(u8),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let pod = 0..6u8;
    prop_oneof![
        3 => (pod.clone(), -2..3).prop_map(|(pod, priority)| Step::Add(pod, priority)),
        1 => (pod.clone(), -2..3).prop_map(|(pod, priority)| Step::Update(pod, priority)),
        1 => pod.clone().prop_map(Step::Delete),
        1 => (pod.clone(), any::<bool>()).prop_map(|(pod, closed)| Step::Gate(pod, closed)),
        4 => Just(Step::Pop),
        1 => pod.clone().prop_map(Step::Done),
        3 => (pod.clone(), any::<bool>(), any::<bool>()).prop_map(|(pod, fit, taint)| Step::Reject(pod, fit, taint)),
        2 => any::<bool>().prop_map(Step::Event),
        1 => pod.prop_map(Step::Activate),
        2 => (0..400u16).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn no_pod_is_lost_or_doubled_and_none_is_popped_twice(steps in prop::collection::vec(step(), 1..120)) {
        let (mut q, mut told) = (queue(), Told::default());
        let mut known: HashSet<PodUid> = HashSet::new();
        let mut now = at(1_000);
        for step in steps {
            let name = |pod: u8| uid(&format!("pod-{pod}"));
            let in_flight = |q: &SchedulingQueue<PluginSet>, pod| q.get(&name(pod)).map(QueuedPod::place) == Some(Place::InFlight);
            match step {
                Step::Add(pod, priority) => { q.add(&name(pod), priority, now, &told); known.insert(name(pod)); }
                Step::Update(pod, priority) => { q.update(&name(pod), priority, [FIT], now, &told); known.insert(name(pod)); }
                Step::Delete(pod) => { q.delete(&name(pod)); known.remove(&name(pod)); }
                Step::Gate(pod, true) => { told.gates.insert(name(pod), PluginId::SchedulingGates); }
                Step::Gate(pod, false) => { told.gates.remove(&name(pod)); }
                Step::Pop => {
                    let best = q.iter().filter(|pod| pod.place() == Place::Active).map(|pod| pod.priority).max();
                    let popped = q.pop();
                    prop_assert_eq!(popped.is_some(), best.is_some() || popped.is_some());
                    if let (Some(best), Some(popped)) = (best, popped) {
                        prop_assert_eq!(popped.priority, best);
                    }
                }
                Step::Done(pod) => if in_flight(&q, pod) { q.done(&name(pod)); known.remove(&name(pod)); },
                Step::Reject(pod, fit, taint) => {
                    let by = [(fit, FIT), (taint, TAINT)].iter().filter(|(is, _)| *is).fold(NONE, |set, (_, by)| set.union(*by));
                    q.reject(&name(pod), by, NONE, now, &told);
                }
                Step::Event(fit) => q.on_event(if fit { &FIT } else { &TAINT }, now, &told, all),
                Step::Activate(pod) => q.activate(&name(pod), now, &told),
                Step::Wait(secs) => { now = now + Duration::from_secs(u64::from(secs)); q.tick(now, &told); }
            }
            prop_assert_eq!(q.inconsistencies(), Vec::<String>::new());
            let held: HashSet<PodUid> = q.iter().map(|pod| pod.uid.clone()).collect();
            prop_assert_eq!(&held, &known);
        }
        // Whatever happened, every pod that is not gated or in flight is ready within backoff plus flush.
        told.gates.clear();
        q.tick(now + Duration::from_secs(400), &told);
        q.tick(now + Duration::from_secs(450), &told);
        for pod in q.iter() {
            prop_assert!(matches!(pod.place(), Place::Active | Place::InFlight), "{:?}", pod);
        }
    }
}
