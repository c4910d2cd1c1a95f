//! Boosted trees beside the forest: trained on the same bins, taken only where they are surely better, judged by the same gates.

use super::stream::{Stream, options};
use super::*;
use crate::features::{FEATURES, FeatureRow};

fn plan(seed: u64, change: impl Fn(&mut LearnerOptions)) -> Plan {
    let mut options = options();
    change(&mut options);
    let mut stream = Stream::new(seed, options, bad_fifth);
    stream.run(4 * 60);
    stream.learner.ask_for_training();
    stream.learner.due().unwrap().unwrap()
}

/// Labels anew by what one split of a tree cannot tell: whether just one of two features is high.
fn only_in_depth(plan: &mut Plan) {
    let free = FEATURES.iter().enumerate().filter(|(_, feature)| feature.monotone == 0).map(|(at, _)| at);
    let [a, b] = free.skip(2).take(2).collect::<Vec<_>>()[..] else { panic!("two features without constraint") };
    let mut random = crate::arms::Random::new(7);
    for example in plan.train.iter_mut().chain(&mut plan.calibrate).chain(&mut plan.test) {
        let high = [random.below(2) == 1, random.below(2) == 1];
        (example.row[a], example.row[b]) = (f32::from(u8::from(high[0])), f32::from(u8::from(high[1])));
        example.bad = random.unit() < if high[0] == high[1] { 0.05 } else { 0.6 };
    }
}

#[test]
fn a_forest_that_learns_nothing_is_replaced_and_the_gates_judge_what_replaces_it() {
    let mut plan = plan(2, |options| (options.trees, options.max_depth) = (1, 1));
    only_in_depth(&mut plan);
    let trained = plan.run(&mut ()).unwrap();
    let evaluation = &trained.evaluation;
    assert_eq!(evaluation.kind, "boosted_trees");
    assert!(evaluation.metrics.log_loss < evaluation.baselines["random_forest"].log_loss);
    assert!(evaluation.gates.iter().all(|gate| gate.name != "log_loss_vs_random_forest"));
    // It goes the same way as a forest: through a file, with confidence and contributions.
    let read = LearnedModel::read(&trained.model.file.to_bytes(), Some(&trained.model.id)).unwrap();
    let rows: Vec<FeatureRow> = plan.test.iter().take(200).map(|e| e.row).collect();
    let answers: Vec<_> = rows.iter().map(|row| read.answer(row).unwrap().0).collect();
    assert!(answers.iter().any(|answer| answer.confidence > 0.0));
    let [least, most] = [f64::min, f64::max].map(|f| answers.iter().map(|a| a.p_bad).reduce(f).unwrap());
    assert!(most > 2.0 * least, "{least} {most}");
    let at = |p: f64| rows[answers.iter().position(|answer| answer.p_bad == p).unwrap()];
    let parts = read.contrast(&at(most), &at(least)).unwrap();
    assert!(parts.iter().map(|(_, part)| part).sum::<f64>() > 0.0, "{parts:?}");
}

#[test]
fn a_forest_that_does_as_well_stays_and_what_was_left_is_on_record() {
    let trained = plan(2, |_| ()).run(&mut ()).unwrap();
    let evaluation = &trained.evaluation;
    assert_eq!((evaluation.kind, trained.model.file.blended.is_some()), ("random_forest", false));
    assert!(evaluation.baselines.contains_key("boosted_trees"));
    let without = plan(2, |options| options.boosted = false).run(&mut ()).unwrap();
    assert!(!without.evaluation.baselines.contains_key("boosted_trees"));
}
