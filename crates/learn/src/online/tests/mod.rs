//! The loop on simulated streams: it learns, refuses, takes back, and cannot be poisoned.

mod stream;

use stream::{HOUR, MINUTE, NODES, Stream, options};

use super::*;

/// A fifth of the nodes fails four pods of ten.
fn bad_fifth(node: usize, _: i64) -> f64 {
    if node % 5 == 0 { 0.4 } else { 0.03 }
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
            Event::Trained(t) => Some((at / MINUTE, &t.evaluation.gates, t.evaluation.n_train, t.evaluation.n_test)),
            _ => None,
        })
        .collect();
    assert!(promoted.is_some_and(|at| at <= 5 * HOUR), "{promoted:?} {gates:#?}");
    let (before, after) = (stream.bad_rate(0, 1, None), stream.bad_rate(6, 9, Some(true)));
    let without = stream.bad_rate(6, 9, Some(false));
    assert!(after < 0.5 * before && after < 0.6 * without, "{before} {after} {without}");
    let status = stream.learner.status();
    assert!(status.holdback.benefit > 100.0 && status.holdback.harm < 1.0, "{:?}", status.holdback);
    assert_eq!(stream.count(|event| matches!(event, Event::RolledBack { .. })), 0);
    assert!(stream.count(|event| matches!(event, Event::Refreshed(..))) > 10);
}
