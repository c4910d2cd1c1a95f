use std::path::PathBuf;

use augur_forest::synthetic::Synthetic;

use super::*;
use crate::table::{Column, Values};

/// A made-up table with a split, groups, a column of texts and one of too many kinds.
fn table(rows: usize) -> Table {
    let made = Synthetic::draw(rows, 5);
    let numbers = |values: &[f32]| Values::Numbers(values.iter().map(|v| f64::from(*v)).collect());
    let mut columns: Vec<Column> = made
        .names
        .iter()
        .zip(&made.columns)
        .map(|(name, c)| Column { name: name.clone(), values: numbers(c) })
        .collect();
    let texts = |f: &dyn Fn(usize) -> String| Values::Texts((0..rows).map(|row| Some(f(row))).collect());
    columns.push(Column { name: "label".to_owned(), values: numbers(&made.labels) });
    let split = |row: usize| if row * 4 < rows * 3 { "train".to_owned() } else { "test".to_owned() };
    columns.push(Column { name: "split".to_owned(), values: texts(&split) });
    columns.push(Column { name: "user".to_owned(), values: texts(&|row| format!("u{}", row % 40)) });
    columns.push(Column { name: "class".to_owned(), values: texts(&|row| format!("c{}", made.columns[6][row])) });
    columns.push(Column { name: "id".to_owned(), values: texts(&|row| format!("job-{row}")) });
    Table { columns, rows }
}

fn roles() -> Roles {
    Roles {
        task: Task::Probability,
        label: "label".to_owned(),
        group: Some("user".to_owned()),
        split: Some("split".to_owned()),
    }
}

#[test]
fn a_table_is_judged_on_rows_it_was_not_trained_on() {
    let prepared = prepare(&table(4_000), &roles(), true).unwrap();
    assert_eq!((prepared.train.labels.len(), prepared.test.labels.len()), (3_000, 1_000));
    assert_eq!(prepared.ignored.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["id"]);
    assert_eq!(prepared.kinds["class"].len(), 8);
    let (selection, seconds) = train_on(&prepared, false, 1).unwrap();
    let verdict = judge(&prepared, &selection, seconds, 1).unwrap();
    let figure = |key: &str| verdict.json[key].as_f64().unwrap();
    assert!(figure("auc") > 0.8, "{}", verdict.json["auc"]);
    assert!(figure("brier") < verdict.json["constant_rate"]["brier"].as_f64().unwrap());
    assert!(figure("ece") < 0.06, "{}", verdict.json["ece"]);
    let interval = &verdict.json["auc_interval"];
    assert!(interval[0].as_f64().unwrap() < figure("auc") && figure("auc") < interval[1].as_f64().unwrap());
    let counted: u64 =
        verdict.json["reliability"].as_array().unwrap().iter().map(|b| b["rows"].as_u64().unwrap()).sum();
    assert_eq!(counted, 1_000);
    let page = report::page("a <table>", &prepared, &verdict);
    assert!(page.contains("a &lt;table&gt;") && page.matches("<svg").count() == 4 && !page.contains("http"));
    assert!(report::text(&prepared, &verdict).contains("ignored column id"));
}

#[test]
fn without_a_split_the_later_rows_are_tested_on_and_a_note_says_so() {
    let table = table(1_000);
    let roles = Roles { split: None, ..roles() };
    let prepared = prepare(&table, &roles, true).unwrap();
    assert_eq!((prepared.train.labels.len(), prepared.test.labels.len()), (700, 300));
    assert!(prepared.notes[0].contains("order of time"));
    assert_eq!(prepare(&table, &roles, false).unwrap().train.labels.len(), 1_000);
}

#[test]
fn what_is_wrong_with_a_table_is_told_with_its_fix() {
    let refuse = |change: &dyn Fn(&mut Table, &mut Roles)| {
        let (mut table, mut roles) = (table(400), roles());
        change(&mut table, &mut roles);
        format!("{:#}", prepare(&table, &roles, true).map(|_| ()).unwrap_err())
    };
    let set = |table: &mut Table, name: &str, row: usize, value: f64| {
        let column = table.columns.iter_mut().find(|c| c.name == name).unwrap();
        let Values::Numbers(values) = &mut column.values else { panic!("{name} is numbers") };
        if row == usize::MAX { values.fill(value) } else { values[row] = value }
    };
    let error = refuse(&|_, roles| roles.label = "lable".to_owned());
    assert!(error.contains("\"lable\"") && error.contains("cpu_used"), "{error}");
    let error = refuse(&|table, _| set(table, "label", 6, 2.0));
    assert!(error.contains("row 7") && error.contains("0 or 1"), "{error}");
    let error = refuse(&|table, _| set(table, "label", 6, f64::NAN));
    assert!(error.contains("empty"), "{error}");
    let error = refuse(&|table, _| set(table, "label", usize::MAX, 1.0));
    assert!(error.contains("both 0 and 1"), "{error}");
    let error = refuse(&|_, roles| roles.split = Some("user".to_owned()));
    assert!(error.contains("train or test"), "{error}");
    let error = refuse(&|_, roles| roles.split = Some("pods".to_owned()));
    assert!(error.contains("no text"), "{error}");
    let error = refuse(&|table, _| {
        let column = table.columns.iter_mut().find(|c| c.name == "split").unwrap();
        column.values = Values::Texts(vec![Some("train".to_owned()); 400]);
    });
    assert!(error.contains("no rows to test"), "{error}");
    let error =
        refuse(&|table, _| table.columns.retain(|c| ["label", "split", "user", "id"].contains(&c.name.as_str())));
    assert!(error.contains("no column is left"), "{error}");
}

#[test]
fn a_model_file_is_written_whole_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (csv, out) = (folder.path().join("t.csv"), folder.path().join("m.augur"));
    let made = Synthetic::draw(300, 2);
    let mut text = format!("{},label\n", made.names.join(","));
    for row in 0..300 {
        let cells: Vec<String> = made.columns.iter().map(|c| c[row].to_string()).collect();
        text.push_str(&format!("{},{}\n", cells.join(","), made.labels[row]));
    }
    std::fs::write(&csv, text).unwrap();
    let args = TrainArgs { table: csv, label: "label".to_owned(), group: None, split: None, out: out.clone(), seed: 1 };
    train(&args).unwrap();
    let model = augur_forest::Model::from_bytes(&std::fs::read(&out).unwrap()).unwrap();
    assert!(model.expect_features(&made.names).is_ok());
    assert_eq!(model.metadata["rows"], "300");
    let missing = TrainArgs { table: PathBuf::from("/nowhere.csv"), ..args };
    assert!(format!("{:#}", train(&missing).unwrap_err()).contains("/nowhere.csv"));
}

fn evaluated(text: &str, change: impl Fn(&mut Roles)) -> anyhow::Result<Prepared> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, text).unwrap();
    let mut roles = Roles { label: "label".to_owned(), ..Roles::default() };
    change(&mut roles);
    prepare(&Table::read(&path)?, &roles, true)
}

#[test]
fn labels_may_be_words_and_times_become_features() {
    let rows = |label: &dyn Fn(usize) -> &'static str| {
        let mut text = "label,started,constant,big,city\n".to_owned();
        for row in 0..40 {
            let big = if row == 3 { "1e300" } else { "?" };
            text.push_str(&format!(
                "{},2026-01-{:02} {:02}:30:00,7,{big},\"a, {}\"\n",
                label(row),
                1 + row / 24,
                row % 24,
                row % 3
            ));
        }
        text
    };
    let prepared = evaluated(&rows(&|row| if row % 3 == 0 { "Yes" } else { "no" }), |_| ()).unwrap();
    assert_eq!(prepared.names, ["started", "started (hour)", "started (weekday)", "constant", "big", "city"]);
    assert_eq!(prepared.train.labels[..4], [1.0, 0.0, 0.0, 1.0]);
    assert_eq!(prepared.train.columns[1][..2], [0.5, 1.5], "the hour");
    assert_eq!(prepared.train.columns[2][0], 3.0, "the first of January 2026 was a Thursday");
    assert!(prepared.train.columns[4][3].is_finite() && prepared.train.columns[4][0].is_nan());
    assert!(!prepared.notes.iter().any(|note| note.contains("counts as 1")), "that yes is 1 needs no note");
    // Every column goes through the forest, constant ones and the largest numbers too.
    assert!(train_on(&prepared, false, 1).unwrap().0.model.predict(&prepared.test.slices()).is_ok());
    let prepared = evaluated(&rows(&|row| if row % 3 == 0 { "benign" } else { "malignant" }), |_| ()).unwrap();
    assert!(
        prepared.train.labels[0] == 0.0 && prepared.notes.iter().any(|note| note.contains("\"malignant\" counts as 1"))
    );
    let prepared = evaluated(&rows(&|row| if row % 3 == 0 { "2" } else { "1" }), |_| ()).unwrap();
    assert!(
        prepared.train.labels[0] == 1.0 && prepared.notes.iter().any(|note| note.contains("the label 2 counts as 1"))
    );
    let error = |text: &str, change: &dyn Fn(&mut Roles)| format!("{:#}", evaluated(text, change).unwrap_err());
    let three = error(&rows(&|row| ["a", "b", "c"][row % 3]), &|_| ());
    assert!(three.contains("3 different labels"), "{three}");
    let numbers = error(&rows(&|row| ["1", "2", "3.5"][row % 3]), &|_| ());
    assert!(numbers.contains("one of 3 different ones") && numbers.contains("--regression"), "{numbers}");
    let absent =
        error(&rows(&|row| if row % 2 == 0 { "1" } else { "0" }), &|roles| roles.group = Some("usr".to_owned()));
    assert!(absent.contains("--group") && absent.contains("no column \"usr\"") && absent.contains("city"), "{absent}");
}

#[test]
fn rows_for_validation_are_trained_on_and_new_groups_are_noticed() {
    let mut text = "label,x,user,part\n".to_owned();
    for row in 0..60 {
        let part = ["training", "Validation", "TEST"][row / 20];
        text.push_str(&format!("{},{row},u{},{part}\n", row % 2, row / 10));
    }
    let roles = |roles: &mut Roles| {
        (roles.group, roles.split) = (Some("user".to_owned()), Some("part".to_owned()));
    };
    let prepared = evaluated(&text, roles).unwrap();
    assert_eq!((prepared.train.labels.len(), prepared.test.labels.len()), (40, 20));
    assert!(prepared.notes[0].starts_with("20 rows for validation"));
    assert!(prepared.groups_are_new());
    let same = text.replace("u5", "u1").replace("u4", "u0");
    assert!(!evaluated(&same, roles).unwrap().groups_are_new());
}

#[test]
fn a_number_is_predicted_with_intervals_that_hold_nine_in_ten() {
    let made = Synthetic::draw(4_000, 3);
    // What is not told by the features is as wide as the last of them is large.
    let mut random = augur_forest::Random::new(5);
    let labels: Vec<f32> = (0..4_000)
        .map(|row| 3.0 * made.columns[0][row] + (random.normal() as f32) * (0.2 + made.columns[1][row].abs()))
        .collect();
    let part = |rows: std::ops::Range<usize>| prepare::Part {
        columns: made.columns.iter().map(|column| column[rows.clone()].to_vec()).collect(),
        labels: labels[rows.clone()].to_vec(),
        groups: rows.map(|row| row as u32 % 50).collect(),
    };
    let prepared =
        Prepared { names: made.names.clone(), train: part(0..3_000), test: part(3_000..4_000), ..Prepared::default() };
    let json = regression::evaluate(&prepared, 1).unwrap();
    let figure = |key: &str| json[key].as_f64().unwrap();
    assert!((0.87..0.93).contains(&figure("coverage")), "{json}");
    assert!((0.87..0.93).contains(&figure("coverage_adaptive")), "{json}");
    assert!(figure("r2") > 0.3 && figure("mae") < figure("rmse") && figure("median_width") > 0.0, "{json}");
    assert!(regression::text(&prepared, &json).contains("within 90 % intervals"));
    let few = Prepared { train: part(0..50), ..prepared };
    assert!(regression::evaluate(&few, 1).unwrap_err().to_string().contains("too few"));
}
