//! Feedback is kept once for each decision, compared with what the cluster showed, and survives the death of the process.

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use augur_history::*;
use common::*;

#[test]
fn feedback_is_idempotent_by_decision() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    let record = decision(&h, "a", Some("n1"), at(0));
    let id = record.id;
    h.record_decision(record);
    let first = send(&h, feedback(Some(id), "n1", true), at(1));
    let again = send(&h, feedback(Some(id), "n1", false), at(2));
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert_eq!((again.record, again.total), (first.record, 1));
    // Without an id the pod finds the decision.
    let by_pod = Feedback { pod: Some(("default".into(), "a".into())), ..feedback(None, "n1", true) };
    assert!(send(&h, by_pod, at(3)).duplicate);
    // Feedback that names nothing cannot be recognised.
    assert!(!send(&h, feedback(None, "n1", true), at(4)).duplicate);
    assert!(!send(&h, feedback(None, "n1", true), at(4)).duplicate);
    assert_eq!(h.recent_feedback(10).unwrap().len(), 3);
    assert_eq!(h.recent_feedback(1).unwrap()[0].feedback_id, 3);
}

#[test]
fn feedback_against_the_cluster_is_kept_and_marked() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    let ids: Vec<_> = ["ok", "oom", "elsewhere", "open"]
        .into_iter()
        .map(|name| {
            let record = decision(&h, name, Some("n1"), at(0));
            let id = record.id;
            h.record_decision(record);
            id
        })
        .collect();
    h.observe_pod(observation("ok", "n1", at(1_000)));
    h.observe_pod(oom("oom", "n1", at(1_000)));
    h.observe_pod(observation("elsewhere", "n2", at(1_000)));
    h.observe_pod(observation("open", "n1", at(1_000)));
    let said = |id, success| send(&h, feedback(Some(id), "n1", success), at(2_000)).record;
    let agreements = [
        said(ids[0], true).agreement,
        said(ids[1], true).agreement,
        said(ids[2], true).agreement,
        said(ids[3], false).agreement,
    ];
    assert_eq!(
        agreements,
        [Agreement::Consistent, Agreement::Contradicts, Agreement::Contradicts, Agreement::Unverified]
    );
    let performance = h.performance();
    assert_eq!((performance.feedback, performance.contradicting), (4, 2));
    let total = performance.total();
    assert_eq!((total.judged, total.successful, total.from_feedback), (2, 1, 2), "what contradicts is not counted");

    // The cluster has the last word.
    h.tick(at(HOUR));
    h.flush();
    let total = h.performance().total();
    assert_eq!((total.judged, total.successful, total.from_feedback), (4, 3, 0));
    let open = h.recent_feedback(10).unwrap().into_iter().find(|r| r.feedback.decision_id == Some(ids[3])).unwrap();
    assert_eq!((open.agreement, open.trainable), (Agreement::Contradicts, false), "{}", open.agreement_reason);
    assert_eq!(h.performance().contradicting, 3);
}

#[test]
fn a_dry_run_is_judged_by_feedback_when_it_was_followed() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let h = history.handle();
    let dry = |name: &str| {
        let record = DecisionRecord { kind: DecisionKind::Prediction, ..decision(&h, name, Some("n1"), at(0)) };
        let id = record.id;
        h.record_decision(record);
        id
    };
    let (followed, ignored, other) = (dry("a"), dry("b"), dry("c"));
    assert_eq!(send(&h, feedback(Some(followed), "n1", true), at(1)).record.agreement, Agreement::Unverified);
    send(&h, Feedback { actual_node: "n2".into(), ..feedback(Some(ignored), "n1", false) }, at(1));
    let wrong = send(&h, feedback(Some(other), "n9", true), at(1)).record;
    assert_eq!(wrong.agreement, Agreement::Contradicts, "{}", wrong.agreement_reason);
    let total = h.performance().total();
    assert_eq!((total.dry_runs, total.judged, total.successful), (3, 1, 1));
}

/// Runs as a child of the test below: acknowledges feedback until it is killed.
#[test]
fn child_that_is_killed() {
    let Some(dir) = std::env::var_os("AUGUR_HISTORY_KILLED_CHILD") else { return };
    let history = open(dir.as_ref());
    let h = history.handle();
    loop {
        let record = decision(&h, "a", Some("n1"), at(0));
        h.record_decision(record);
        let receipt = send(&h, feedback(None, "n1", true), at(1));
        println!("kept {}", receipt.record.feedback_id);
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn acknowledged_feedback_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_killed", "--nocapture", "--test-threads=1"])
            .env("AUGUR_HISTORY_KILLED_CHILD", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut last = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(id) = line.split_once("kept ").and_then(|(_, id)| id.parse::<u64>().ok()) {
                last = id;
            }
            if last >= round * 20 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(last >= round * 20, "the child ended by itself");
        let history = open(dir.path());
        let kept: Vec<_> = history.handle().recent_feedback(10_000).unwrap().iter().map(|r| r.feedback_id).collect();
        assert!(kept.len() as u64 >= last && kept.contains(&last), "acknowledged {last}, found {}", kept.len());
    }
}
