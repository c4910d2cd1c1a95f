//! Feedback is what anybody may say: contradicting, repeated, in floods, or made up to turn the model round.

use augur_history::{DecisionId, Example, OutcomeLabel, UnixMillis};

use super::stream::{Stream, options};
use super::*;

/// Says of every decision the opposite of what the cluster showed.
fn say_the_opposite(stream: &mut Stream) -> usize {
    let said: Vec<(u64, bool)> = stream.learner.window.kept.iter().map(|(id, kept)| (*id, kept.bad)).collect();
    said.into_iter().filter(|(id, good)| stream.learner.feedback(*id, *good)).count()
}

fn plan(stream: &mut Stream) -> Plan {
    stream.learner.ask_for_training();
    stream.learner.due().unwrap().unwrap()
}

#[test]
fn feedback_against_what_the_cluster_showed_changes_no_model() {
    let run = |poisoned: bool| {
        let mut stream = Stream::new(2, options(), bad_fifth);
        stream.run(4 * 60);
        if poisoned {
            assert!(say_the_opposite(&mut stream) < 1_100, "only of what is still open");
            assert!(stream.learner.status().contradicting > 2_000, "it is visible");
        }
        plan(&mut stream).run(&mut ()).unwrap().model.id.clone()
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn repeated_feedback_counts_once_and_unknown_decisions_not_at_all() {
    let mut stream = Stream::new(2, options(), bad_fifth);
    stream.run(10);
    let id = *stream.learner.window.kept.keys().next().unwrap();
    assert!(stream.learner.feedback(id, true));
    for _ in 0..1_000 {
        assert!(!stream.learner.feedback(id, false));
        assert!(!stream.learner.feedback(7, false));
    }
    assert_eq!(stream.learner.window.kept[&id].feedback, Some(true));
    let status = stream.learner.status();
    assert_eq!((status.repeated, status.unknown), (1_000, 1_000), "both are visible");
}

/// A flood of decisions of which the cluster shows nothing, all said to have gone bad on the good nodes.
fn flood(stream: &mut Stream, pods: u64) {
    let template = stream.learner.window.kept.values().find(|kept| !kept.bad && kept.is_matured()).unwrap().clone();
    for number in 0..pods {
        let at = UnixMillis(stream.now - 3 * stream::HOUR - number as i64);
        let example = Example {
            decision_id: DecisionId(DecisionId::first_at(at).0 + 1 + number),
            at,
            node: "1".into(),
            workload: None,
            label: OutcomeLabel::Censored,
            cause: None,
            propensity: 1.0,
            features: template.row.iter().map(|v| (!v.is_nan()).then_some(f64::from(*v))).collect(),
            model_id: None,
            p_bad: None,
            holdback: false,
            until: Some(at),
            alternative: None,
            feedback: Some(false),
        };
        stream.learner.observe(&example).unwrap();
    }
}

#[test]
fn a_flood_has_a_twentieth_of_the_weight_and_no_say_in_the_judgement() {
    let mut stream = Stream::new(2, options(), bad_fifth);
    stream.run(4 * 60);
    let clean = plan(&mut stream);
    flood(&mut stream, 50_000);
    let flooded = plan(&mut stream);
    let weight = |plan: &Plan| plan.train.iter().map(|e| e.weight).sum::<f64>();
    assert!(flooded.by_feedback > 40_000);
    assert!(weight(&flooded) <= 1.051 * weight(&clean), "{} {}", weight(&flooded), weight(&clean));
    assert_eq!(flooded.test.len(), clean.test.len());
    assert_eq!(stream.learner.status().by_feedback, 50_000, "it is visible");
    // It moves what the model says of the row that it speaks of by little, and the ranking of the others hardly.
    let (before, after) = (clean.run(&mut ()).unwrap(), flooded.run(&mut ()).unwrap());
    let auc = |trained: &Trained| trained.evaluation.metrics.auc_within.unwrap();
    assert!(auc(&after) > auc(&before) - 0.1, "{} {}", auc(&before), auc(&after));
}

#[test]
fn a_model_that_poison_has_turned_round_does_not_pass_the_gates() {
    let mut stream = Stream::new(2, options(), bad_fifth);
    stream.run(4 * 60);
    let mut plan = plan(&mut stream);
    // The worst case: somebody got hold of every training label, but not of what the cluster shows afterwards.
    for example in &mut plan.train {
        example.bad = !example.bad;
    }
    let trained = plan.run(&mut ()).unwrap();
    assert!(!trained.evaluation.passed());
    let events = stream.learner.finish(trained, UnixMillis(stream.now));
    assert!(events.iter().any(|event| matches!(event, Event::Refused(..))));
}
