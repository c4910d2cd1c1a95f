//! What is not our file, or only a part of it, is refused by name; nothing panics.

mod common;

use augur_history::*;
use common::*;

fn refused(dir: &std::path::Path) -> String {
    History::open(&HistoryOptions::new(dir)).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_foreign_file_is_refused_by_name_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(STORE_FILE);
    for content in ["SQLite format 3\0 and more", "x"] {
        std::fs::write(&file, content).unwrap();
        let message = refused(dir.path());
        assert!(message.contains(&file.display().to_string()) && message.contains("move it away"), "{message}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
    }
}

#[test]
fn a_file_in_use_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let _history = open(dir.path());
    let message = refused(dir.path());
    assert!(message.contains(STORE_FILE) && message.contains("another process"), "{message}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let message = refused(&dir.path().join("file/data"));
    assert!(message.contains("file/data"), "{message}");
}

#[test]
fn a_torn_file_is_set_aside_by_name_or_whole_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    {
        let history = open(dir.path());
        let h = history.handle();
        for i in 0..50 {
            h.record_decision(decision(&h, &format!("p{i}"), Some("n1"), at(i)));
            send(&h, feedback(None, "n1", true), at(i));
        }
    }
    let whole = std::fs::read(dir.path().join(STORE_FILE)).unwrap();
    let mut torn: Vec<Vec<u8>> = (0..16).map(|i| whole[..4 + whole.len() * i / 16].to_vec()).collect();
    torn.push(b"redb, or so it says, but not really".to_vec());
    torn.push(vec![0; 8192]);
    let mut set_aside = 0;
    for content in torn {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(STORE_FILE), &content).unwrap();
        let history = open(dir.path());
        let h = history.handle();
        match h.status().set_aside {
            None => assert_eq!(h.recent_feedback(100).unwrap().len(), 50, "{} bytes", content.len()),
            Some(file) => {
                set_aside += 1;
                assert_eq!(std::fs::read(&file).unwrap().len(), content.len());
                assert!(file.display().to_string().ends_with("history.redb.damaged-1"), "{}", file.display());
                assert_eq!(h.recent_feedback(100).unwrap(), [], "history starts anew");
                assert_eq!(send(&h, feedback(None, "n1", true), at(0)).total, 1);
            }
        }
    }
    assert!(set_aside >= 14, "{set_aside}");
}

/// A folder with a history file of an earlier version.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
fn unpacked(packed: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut file = std::fs::File::create(dir.path().join(STORE_FILE)).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut file).unwrap();
    dir
}

#[test]
fn a_file_of_version_1_is_brought_up_and_loses_nothing() {
    let dir = unpacked(include_bytes!("fixtures/history-v1.redb.gz"));
    // What `history-v1` was written with is told in docs/design/0005-history.md.
    for _ in 0..2 {
        let history = open(dir.path());
        let h = history.handle();
        assert_eq!(h.status().set_aside, None);
        let found = h.decisions(&DecisionFilter { limit: 100, ..DecisionFilter::default() }).unwrap();
        assert_eq!((found.len(), h.recent_feedback(10).unwrap().len()), (13, 1));
        let label = |name: &str| {
            let (_, outcome) = found.iter().find(|(record, _)| *record.pod.name == *name).unwrap();
            outcome.as_ref().map(|outcome| (outcome.label, outcome.day_label))
        };
        let immature = OutcomeLabel::Immature;
        assert_eq!(label("p0"), Some((OutcomeLabel::Good, immature)));
        assert_eq!(label("p2"), Some((OutcomeLabel::Bad, immature)));
        assert_eq!((label("p11"), label("big")), (Some((immature, immature)), None));
        let rates = h.rates();
        let web = &rates.workloads[&workload("web")];
        assert_eq!((web.n, web.restarts), (12, 1));
        assert!(web.failure_rate.unwrap().n_eff > 11.0, "counts go on: {web:?}");
        assert!((rates.nodes["n1"].mean_cpu.unwrap() - 0.5).abs() < 1e-9);
    }
    let history = open(dir.path());
    let h = history.handle();
    h.tick(at(26 * HOUR));
    let found = h.decisions(&DecisionFilter { limit: 100, ..DecisionFilter::default() }).unwrap();
    // Version 1 had forgotten the pod that was gone and judged; of all others the second label comes.
    let judged =
        |(_, o): &&(DecisionRecord, Option<Outcome>)| o.as_ref().is_some_and(|o| o.day_label != OutcomeLabel::Immature);
    assert_eq!(found.iter().filter(judged).count(), 11);
}

#[test]
fn a_file_of_version_2_goes_on_with_what_it_knew() {
    let dir = unpacked(include_bytes!("fixtures/history-v2.redb.gz"));
    // What `history-v2` was written with is told in docs/design/0005-history.md.
    for _ in 0..2 {
        let history = open(dir.path());
        let h = history.handle();
        assert_eq!(h.status().set_aside, None);
        let found = h.decisions(&DecisionFilter { limit: 100, ..DecisionFilter::default() }).unwrap();
        assert_eq!((found.len(), h.recent_feedback(10).unwrap().len()), (13, 1));
        let rates = h.rates();
        let web = &rates.workloads[&workload("web")];
        assert_eq!((web.n, web.restarts, web.usage.map(|usage| usage.samples)), (12, 1, Some(150)));
        assert!((web.failure_rate.unwrap().n_eff - 11.84).abs() < 0.2, "{web:?}");
        let n3 = &rates.nodes["n3"];
        assert_eq!((&*n3.class, n3.oom_kills, n3.mean_cpu), ("m5", 1, Some(0.5)));
        let series = h.usage_series(SeriesOf::Pod("p0"), UnixMillis(0)).unwrap();
        assert_eq!(series.iter().map(|one| one.points.len()).collect::<Vec<_>>(), [50]);
    }
    // The trouble on n3 is remembered: two more nodes within the hour show that it is the workload's own.
    let history = open(dir.path());
    let h = history.handle();
    for (name, node) in [("p0", "n1"), ("p4", "n2"), ("p3", "n1"), ("p6", "n1"), ("p7", "n2"), ("p9", "n1")] {
        h.observe_pod(PodObservation { revision: "r1".into(), ..oom(name, node, at(64 * MINUTE)) });
    }
    h.tick(at(72 * MINUTE));
    let found = h.decisions(&DecisionFilter { limit: 100, ..DecisionFilter::default() }).unwrap();
    let label = |name: &str| {
        let (_, outcome) = found.iter().find(|(record, _)| *record.pod.name == *name).unwrap();
        outcome.as_ref().unwrap().label
    };
    assert_eq!((label("p9"), label("p2")), (OutcomeLabel::AppFault, OutcomeLabel::Bad));
}

#[test]
fn a_file_of_version_3_goes_on_with_what_it_knew() {
    let dir = unpacked(include_bytes!("fixtures/history-v3.redb.gz"));
    // What `history-v3` was written with is told in docs/design/0005-history.md.
    for _ in 0..2 {
        let history = open(dir.path());
        let h = history.handle();
        assert_eq!(h.status().set_aside, None);
        let found = h.decisions(&DecisionFilter { limit: 100, ..DecisionFilter::default() }).unwrap();
        assert_eq!((found.len(), h.recent_feedback(10).unwrap().len()), (13, 1));
        let label = |name: &str| {
            let (_, outcome) = found.iter().find(|(record, _)| *record.pod.name == *name).unwrap();
            outcome.as_ref().map(|outcome| outcome.label)
        };
        assert_eq!((label("p0"), label("p2")), (Some(OutcomeLabel::Good), Some(OutcomeLabel::Bad)));
        assert_eq!((label("p11"), label("big")), (Some(OutcomeLabel::Immature), None));
        let rates = h.rates();
        let web = &rates.workloads[&workload("web")];
        assert_eq!((web.n, web.restarts, web.oom_kills, web.usage.map(|usage| usage.samples)), (12, 1, 1, Some(150)));
        let n3 = &rates.nodes["n3"];
        assert_eq!((&*n3.class, n3.pods, n3.oom_kills, n3.mean_cpu), ("m5", 4, 1, Some(0.5)));
        assert_eq!((n3.ready_share, n3.average_restarts), (Some(1.0), Some(0.25)));
        let series = h.usage_series(SeriesOf::Pod("p0"), UnixMillis(0)).unwrap();
        assert_eq!(series.iter().map(|one| one.points.len()).collect::<Vec<_>>(), [50]);
    }
}
