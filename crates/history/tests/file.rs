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
    for content in ["SQLite format 3\0 and more", "x", "redb, or so it says, but not really"] {
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
fn a_torn_file_is_refused_or_whole_and_never_a_panic() {
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
    let torn = tempfile::tempdir().unwrap();
    let file = torn.path().join(STORE_FILE);
    let mut refusals = 0;
    for cut in (0..40).map(|i| 1 + whole.len() * i / 40) {
        std::fs::write(&file, &whole[..cut]).unwrap();
        match History::open(&HistoryOptions::new(torn.path())) {
            Ok(history) => assert_eq!(history.handle().recent_feedback(100).unwrap().len(), 50, "cut at {cut}"),
            Err(error) => {
                refusals += 1;
                assert!(error.to_string().contains(&file.display().to_string()), "{error}");
            }
        }
    }
    assert!(refusals >= 35, "{refusals}");
}
