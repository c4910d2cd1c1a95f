//! The loop on simulated streams: it learns, refuses, takes back, and cannot be poisoned.

mod boosted;
mod poison;
mod stream;

use stream::{HOUR, MINUTE, Stream, options};

use std::collections::BTreeMap;

use super::*;

/// A fifth of the nodes fails four pods of ten.
fn bad_fifth(node: usize, _: i64) -> f64 {
    if node.is_multiple_of(5) { 0.4 } else { 0.03 }
}

fn failed(trained: &Trained) -> Vec<(&'static str, Option<f64>, Option<f64>)> {
    let gates = trained.evaluation.gates.iter().filter(|gate| !gate.passed);
    gates.map(|gate| (gate.name, gate.value, gate.limit)).collect()
}

#[test]
fn it_learns_which_nodes_are_bad() {
    let mut stream = Stream::new(1, options(), bad_fifth);
    stream.run(9 * 60);
    let promoted = stream.first(|event| matches!(event, Event::Promoted(..)));
    let gates: Vec<_> = stream
        .events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Trained(t) => Some((at / MINUTE, failed(t), t.evaluation.n_train, t.evaluation.n_test)),
            _ => None,
        })
        .collect();
    assert!(promoted.is_some_and(|at| at <= 5 * HOUR), "{promoted:?} {gates:?}");
    let (before, after) = (stream.bad_rate(0, 1, None), stream.bad_rate(6, 9, Some(true)));
    let without = stream.bad_rate(6, 9, Some(false));
    assert!(after < 0.5 * before && after < 0.6 * without, "{before} {after} {without}");
    let status = stream.learner.status();
    assert!(status.holdback.benefit > 100.0 && status.holdback.harm < 1.0, "{:?}", status.holdback);
    assert_eq!(stream.count(|event| matches!(event, Event::RolledBack { .. })), 0);
    assert!(stream.count(|event| matches!(event, Event::Refreshed(..))) > 10);
}

/// A model trained on the opposite of what happened.
fn sabotaged(stream: &mut Stream) -> Arc<LearnedModel> {
    stream.learner.ask_for_training();
    let mut plan = stream.learner.due().unwrap().unwrap();
    for example in plan.train.iter_mut().chain(&mut plan.calibrate).chain(&mut plan.test) {
        example.bad = !example.bad;
    }
    plan.run(&mut ()).unwrap().model
}

#[test]
fn where_there_is_nothing_to_learn_nothing_is_promoted() {
    for seed in 0..3 {
        let mut stream = Stream::new(seed, options(), |_, _| 0.1);
        stream.run(8 * 60);
        assert!(stream.count(|event| matches!(event, Event::Refused(..))) > 3);
        assert_eq!(stream.count(|event| matches!(event, Event::Promoted(..))), 0, "seed {seed}");
    }
}

/// What features may mean bounds what a model can be made to believe, so that one trained on lies does little harm; what it
/// does is bounded whether it is seen within half an hour (then the model is taken back) or not. That harm which shows is
/// caught in that time is tested at the guard.
#[test]
fn a_sabotaged_model_promoted_by_force_does_little_harm_or_is_taken_back() {
    for seed in 0..4 {
        let mut stream = Stream::new(seed, options(), bad_fifth);
        stream.run(7 * 60);
        let good = stream.learner.in_use().champion.map(|model| model.trained_at_ms);
        assert!(good.is_some() && stream.learner.in_use().probation.is_none(), "seed {seed}");
        let bad = sabotaged(&mut stream);
        let now = UnixMillis(stream.now);
        let promoted = stream.learner.promote(&bad, now);
        assert!(matches!(promoted[..], [Event::Promoted(_, By::Hand)]));
        let before = stream.hours.clone();
        // What was taken back earlier is no news.
        stream.events.clear();
        stream.run(30);
        let back = stream.first(|event| matches!(event, Event::RolledBack { by: By::Itself, .. }));
        // Half of the pods got it, for half an hour at most.
        let bad_pods = |hours: &BTreeMap<(i64, bool), (u32, u32)>| hours.values().map(|counts| counts.1).sum::<u32>();
        let lost = bad_pods(&stream.hours) - bad_pods(&before);
        assert!(lost < 130, "{lost} of 450 pods went bad");
        if back.is_some() {
            let now_used = stream.learner.in_use().champion.map(|model| model.trained_at_ms);
            assert_eq!(now_used, good, "the last known good model is back");
            assert!(stream.learner.harmful.contains(&bad.id));
        } else if stream.learner.aliases.contains(&bad.id) {
            // Bad nodes fail four pods of ten; a model that sought them out would show far more.
            let (model, reference) = (stream.learner.guard.model(), stream.learner.guard.reference());
            let more = model.rate().unwrap() - reference.rate().unwrap();
            assert!(more < 0.06 && model.placed > 50, "seed {seed}: {model:?} {reference:?}");
        }
    }
}

/// The first fifth of the nodes fails pods for five hours, then another fifth does.
fn shifting(node: usize, hour: i64) -> f64 {
    let fifth = if hour < 7 { 0 } else { 1 };
    if node % 5 == fifth { 0.4 } else { 0.03 }
}

#[test]
fn it_recovers_within_two_hours_when_good_and_bad_nodes_change_places() {
    let mut stream = Stream::new(5, options(), shifting);
    stream.run(11 * 60);
    let (before, after) = (stream.bad_rate(5, 7, Some(true)), stream.bad_rate(9, 11, Some(true)));
    let without = stream.bad_rate(7, 11, Some(false));
    // The rate that came of the shift has gone back to where it was, but for what another two hours of noise explain.
    assert!(after < before + 0.35 * (0.104 - before), "{before} {after}");
    for hour in 3..11 {
        let with = stream.bad_rate(hour, hour + 1, None);
        assert!(with < without * 1.05 + 0.02, "hour {hour}: {with} against {without}");
    }
}

#[test]
fn threads_and_repetition_change_nothing() {
    let ids = |threads: usize| {
        let mut stream = Stream::new(3, LearnerOptions { threads, ..options() }, bad_fifth);
        stream.run(4 * 60);
        stream
            .events
            .iter()
            .filter_map(|(at, event)| match event {
                Event::Trained(trained) => Some((*at, trained.model.id.clone())),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let one = ids(1);
    assert!(!one.is_empty());
    assert_eq!(one, ids(2));
}

#[test]
fn too_little_is_refused_with_the_figures() {
    let mut stream = Stream::new(1, LearnerOptions::default(), bad_fifth);
    stream.run(90);
    stream.learner.ask_for_training();
    let error = stream.learner.due().unwrap().unwrap_err();
    let TrainError::TooFew { matured, bad, min_matured: 2_000, min_bad: 100 } = error else { panic!("{error}") };
    assert!((400..500).contains(&matured) && bad > 20, "{matured} {bad}");
}
