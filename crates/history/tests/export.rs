//! Export as Parquet, read back with the library's own reader. `scripts/read_export.py` reads the same with pandas and DuckDB.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use augur_history::export::{ExportError, ExportOptions, ExportTable, ExportedFile, Folder};
use augur_history::*;
use common::*;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

const DAY: i64 = 24 * HOUR;

fn export(h: &HistoryHandle, dir: &Path, since: UnixMillis) -> Vec<ExportedFile> {
    let options = ExportOptions {
        tables: ExportTable::ALL.to_vec(),
        since,
        features: vec!["cpu_request".to_owned(), "node.age".to_owned()],
    };
    let mut files = Vec::new();
    h.export(&options, &mut Folder::new(dir).unwrap(), |file| files.push(file.clone())).unwrap();
    files
}

fn read(dir: &Path, path: &str) -> Vec<BTreeMap<String, Field>> {
    let reader = SerializedFileReader::new(std::fs::File::open(dir.join(path)).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().into_columns().into_iter().collect()).collect()
}

#[test]
fn a_past_is_exported_by_table_and_day_while_history_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let history = open(data.path());
    let h = history.handle();
    let first = decision(&h, "a", Some("n1"), at(0));
    let (first_id, second) = (first.id, decision(&h, "b", Some("n2"), at(DAY)));
    h.record_decision(first);
    h.observe_pod(observation("a", "n1", at(1_000)));
    h.observe_pod(oom("a", "n1", at(5 * MINUTE)));
    h.tick(at(2 * HOUR));
    let (sender, receiver) = sync_channel(1);
    let example = Example {
        decision_id: first_id,
        at: at(0),
        node: "n1".into(),
        workload: Some(workload("web")),
        label: OutcomeLabel::Bad,
        cause: Some(Cause::OomKilled),
        propensity: 0.9,
        features: vec![Some(0.25), None],
        model_id: None,
        p_bad: Some(0.125),
        holdback: true,
        until: Some(at(5 * MINUTE)),
        alternative: None,
        feedback: None,
    };
    h.add_examples(vec![example], move |kept| sender.send(kept.is_ok()).unwrap());
    assert!(receiver.recv().unwrap());
    h.record_decision(second);
    h.observe_pod(observation("b", "n2", at(DAY)));
    for round in 0..30 {
        let containers = vec![ContainerSample { name: "main".into(), cpu: 0.5, memory: 1e8 }];
        let pods = vec![PodSample { namespace: "default".into(), name: "b".into(), containers }];
        let nodes = vec![NodeSample { name: "n2".into(), cpu: 2.0, memory: 4e9 }];
        h.observe_usage(UsageRound { at: at(DAY + round * 30_000), nodes, pods });
    }

    let out = tempfile::tempdir().unwrap();
    let files = export(&h, out.path(), UnixMillis(0));
    let paths: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.rows)).collect();
    assert_eq!(
        paths,
        [
            ("series/day=2026-01-07/part-0.parquet", 40),
            ("decisions/day=2026-01-06/part-0.parquet", 1),
            ("decisions/day=2026-01-07/part-0.parquet", 1),
            ("examples/day=2026-01-06/part-0.parquet", 1),
        ]
    );
    assert!(files.iter().all(|file| file.bytes == std::fs::metadata(out.path().join(&file.path)).unwrap().len()));

    let decided = &read(out.path(), paths[1].0)[0];
    let text = |text: &str| Field::Str(text.to_owned());
    assert_eq!(decided["decision_id"], text(&first_id.to_string()));
    assert_eq!((&decided["decided_at"], &decided["node"]), (&Field::TimestampMillis(T0), &text("n1")));
    assert_eq!((&decided["outcome_label"], &decided["outcome_cause"]), (&text("bad"), &text("oom_killed")));
    assert_eq!((&decided["trouble_at"], &decided["p_bad"]), (&Field::TimestampMillis(T0 + 5 * MINUTE), &Field::Null));
    assert_eq!((&decided["f_cpu_request"], &decided["f_node_age"]), (&Field::Double(0.5), &Field::Null));
    let example = &read(out.path(), paths[3].0)[0];
    assert_eq!((&example["label"], &example["holdback"]), (&text("bad"), &Field::Bool(true)));
    assert_eq!((&example["outcome_state"], &example["f_cpu_request"]), (&text("bad"), &Field::Double(0.25)));
    let points = read(out.path(), paths[0].0);
    let of_pod: Vec<_> = points.iter().filter(|row| row["pod"] == text("b")).collect();
    assert_eq!((of_pod.len(), &of_pod[1]["sampled_at"]), (20, &Field::TimestampMillis(T0 + DAY + 30_000)));
    let Field::Double(cores) = of_pod[0]["cpu_cores"] else { panic!("{:?}", of_pod[0]) };
    assert!((cores - 0.5).abs() < 0.005);
    assert_eq!(points.iter().filter(|row| row["pod"] == Field::Null && row["node"] == text("n2")).count(), 20);

    // History goes on, and what is exported again replaces what was there.
    assert!(h.record_decision(decision(&h, "c", Some("n1"), at(DAY + HOUR))));
    let again = export(&h, out.path(), at(DAY));
    let paths: Vec<_> = again.iter().map(|file| (file.path.as_str(), file.rows)).collect();
    assert!(paths.contains(&("decisions/day=2026-01-07/part-0.parquet", 2)), "{paths:?}");
    assert!(!paths.iter().any(|(path, _)| path.contains("2026-01-06")), "{paths:?}");
    let left = std::fs::read_dir(out.path()).unwrap().count();
    assert_eq!(left, 3, "nothing but the three tables is left");
}

#[test]
fn a_place_that_cannot_be_written_to_is_named() {
    let data = tempfile::tempdir().unwrap();
    let history = open(data.path());
    let h = history.handle();
    h.record_decision(decision(&h, "a", Some("n1"), at(0)));
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join("decisions"), "in the way").unwrap();
    let options = ExportOptions { tables: ExportTable::ALL.to_vec(), since: UnixMillis(0), features: Vec::new() };
    let failed = h.export(&options, &mut Folder::new(out.path()).unwrap(), |_| {}).unwrap_err();
    assert!(matches!(&failed, ExportError::Write { path, .. } if path == "decisions/day=2026-01-06/part-0.parquet"));
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1, "no half file is left");
}
