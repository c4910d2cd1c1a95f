//! From a table to what the forest takes: labels, groups, the split into rows to train on and to test on, and features.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

use crate::table::{Table, Values};

/// Texts of at most this many kinds are made a feature; more are ignored.
const KINDS: usize = 32;
/// Rows of the mean rate that a kind's own rate is shrunk by.
const SHRINKAGE: f64 = 20.0;
/// What is trained on when nothing says how to split.
const TRAIN_SHARE: f64 = 0.7;

/// The largest number that features take; sums of two of them are numbers still.
const LARGEST: f64 = 1e37;
/// What says that a label of two texts is 1.
const POSITIVE: [&str; 8] = ["1", "yes", "y", "true", "t", "positive", "pos", "1.0"];
/// What says that it is 0.
const NEGATIVE: [&str; 8] = ["0", "no", "n", "false", "f", "negative", "neg", "0.0"];

/// A feature of a time.
type TimePart = fn(jiff::civil::DateTime) -> f32;

/// What is predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Task {
    /// The probability of one of two classes.
    #[default]
    Probability,
    /// A number.
    Number,
}

/// Which columns mean what.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    /// What is predicted.
    pub task: Task,
    /// The column of labels.
    pub label: String,
    /// The column of rows that belong together.
    pub group: Option<String>,
    /// The column that says `train` or `test`.
    pub split: Option<String>,
}

/// Some of the rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// One column for each feature; NaN is missing.
    pub columns: Vec<Vec<f32>>,
    /// 0 or 1; any number for [`Task::Number`].
    pub labels: Vec<f32>,
    /// Numbers of the groups; each row its own when there is no group column.
    pub groups: Vec<u32>,
}

impl Prepared {
    /// Whether most test rows are of groups that no row to train on is of.
    pub fn groups_are_new(&self) -> bool {
        let known: std::collections::HashSet<u32> = self.train.groups.iter().copied().collect();
        let new = self.test.groups.iter().filter(|group| !known.contains(group)).count();
        2 * new > self.test.groups.len()
    }
}

impl Part {
    /// The columns as slices.
    pub fn slices(&self) -> Vec<&[f32]> {
        self.columns.iter().map(Vec::as_slice).collect()
    }

    /// The share of label 1.
    pub fn rate(&self) -> f64 {
        self.labels.iter().map(|l| f64::from(*l)).sum::<f64>() / self.labels.len().max(1) as f64
    }
}

/// A table made ready.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// Names of the features.
    pub names: Vec<String>,
    /// Rows to train on, in their order.
    pub train: Part,
    /// Rows to test on, in their order; empty when all are to be trained on.
    pub test: Part,
    /// Columns that are not used, with the reason.
    pub ignored: Vec<(String, String)>,
    /// Texts of features that are not numbers, in the order of their codes 0, 1, ….
    pub kinds: BTreeMap<String, Vec<String>>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Makes a table ready. With `judge`, a table without split column is split by row order; otherwise all its rows are trained on.
///
/// # Errors
/// When a column is missing, labels are not of two kinds, or no numbers, as the task has it, the split says other things than train and test, one of both has no rows or
/// one class only, or no feature remains.
pub fn prepare(table: &Table, roles: &Roles, judge: bool) -> anyhow::Result<Prepared> {
    let mut prepared = Prepared::default();
    let labels = match roles.task {
        Task::Probability => labels(table, &roles.label, &mut prepared.notes)?,
        Task::Number => numbers(table, &roles.label)?,
    };
    let groups = groups(table, roles.group.as_deref())?;
    let is_train = match &roles.split {
        Some(name) => split(table, name, &mut prepared.notes)?,
        None if judge => {
            let rows = (table.rows as f64 * TRAIN_SHARE).round() as usize;
            prepared.notes.push(format!(
                "no split column: the first {rows} rows are trained on and the rest is tested on, so rows should be in the \
                 order of time"
            ));
            (0..table.rows).map(|row| row < rows).collect()
        }
        None => vec![true; table.rows],
    };
    let pick = |part: bool| (0..table.rows).filter(|row| is_train[*row] == part).collect::<Vec<usize>>();
    let (train, test) = (pick(true), pick(false));
    check_part("train", &train, &labels, roles)?;
    if judge {
        check_part("test", &test, &labels, roles)?;
    }
    for (part, rows) in [(&mut prepared.train, &train), (&mut prepared.test, &test)] {
        part.labels = rows.iter().map(|row| labels[*row]).collect();
        part.groups = rows.iter().map(|row| groups[*row]).collect();
    }
    let taken = [Some(&roles.label), roles.group.as_ref(), roles.split.as_ref()];
    for column in table.columns.iter().filter(|c| !taken.contains(&Some(&c.name))) {
        let name = column.name.clone();
        let as_times = match &column.values {
            Values::Texts(values) => times(values),
            _ => None,
        };
        if let Some(times) = as_times {
            let parts: [(&str, TimePart); 3] =
                [("", time_seconds), (" (hour)", time_hour), (" (weekday)", time_weekday)];
            for (part, of) in parts {
                let values: Vec<f32> = times.iter().map(|time| time.map_or(f32::NAN, of)).collect();
                prepared.train.columns.push(train.iter().map(|row| values[*row]).collect());
                prepared.test.columns.push(test.iter().map(|row| values[*row]).collect());
                prepared.names.push(format!("{name}{part}"));
            }
            continue;
        }
        let numbers: Vec<f32> = match &column.values {
            Values::Numbers(values) => values.iter().map(|v| v.clamp(-LARGEST, LARGEST) as f32).collect(),
            Values::Texts(values) => match kinds(values, &train, &labels) {
                Ok(kinds) => {
                    let code = |text: &Option<String>| {
                        let index = text.as_ref().and_then(|text| kinds.iter().position(|kind| kind == text));
                        index.map_or(f32::NAN, |index| index as f32)
                    };
                    let codes = values.iter().map(code).collect();
                    prepared.kinds.insert(name.clone(), kinds);
                    codes
                }
                Err(found) => {
                    let why = format!("it holds {found} different texts, at most {KINDS} are made a feature");
                    prepared.ignored.push((name, why));
                    continue;
                }
            },
            Values::Other(why) => {
                prepared.ignored.push((name, why.clone()));
                continue;
            }
        };
        if train.iter().all(|row| numbers[*row].is_nan()) {
            prepared.ignored.push((name, "it has no value in the rows to train on".to_owned()));
            continue;
        }
        prepared.train.columns.push(train.iter().map(|row| numbers[*row]).collect());
        prepared.test.columns.push(test.iter().map(|row| numbers[*row]).collect());
        prepared.names.push(name);
    }
    if prepared.names.is_empty() {
        bail!("no column is left as a feature; the table needs columns of numbers beside label, group and split");
    }
    Ok(prepared)
}

fn labels(table: &Table, name: &str, notes: &mut Vec<String>) -> anyhow::Result<Vec<f32>> {
    let column = table.column(name).context("--label")?;
    let empty =
        |row: usize| format!("column {name:?}, row {}: the label is empty; fill it or leave the row out", row + 1);
    match &column.values {
        Values::Numbers(numbers) => {
            if let Some(row) = numbers.iter().position(|label| label.is_nan()) {
                bail!(empty(row));
            }
            let mut kinds: Vec<f64> = numbers.iter().copied().take(table.rows).collect();
            kinds.sort_by(f64::total_cmp);
            kinds.dedup();
            let one = match kinds[..] {
                // One class alone is told of later, with the part that has it.
                [only] if only == 0.0 || only == 1.0 => 1.0,
                [0.0, 1.0] => 1.0,
                [low, high] => {
                    notes.push(format!("the label {high} counts as 1 and {low} as 0"));
                    high
                }
                _ => {
                    let row = numbers.iter().position(|label| *label != 0.0 && *label != 1.0).unwrap_or(0);
                    bail!(
                        "column {name:?}, row {}: the label is {}, one of {} different ones; labels must be 0 or 1, or two of a \
                         kind (--regression predicts a number)",
                        row + 1,
                        numbers.get(row).copied().unwrap_or_default(),
                        kinds.len()
                    )
                }
            };
            Ok(numbers.iter().map(|label| f32::from(u8::from(*label == one))).collect())
        }
        Values::Texts(texts) => {
            if let Some(row) = texts.iter().position(Option::is_none) {
                bail!(empty(row));
            }
            let kinds: std::collections::BTreeSet<&str> = texts.iter().flatten().map(String::as_str).collect();
            let says = |kind: &str, words: &[&str]| words.contains(&kind.to_ascii_lowercase().as_str());
            let kinds: Vec<&str> = kinds.into_iter().collect();
            let [low, high] = kinds[..] else {
                bail!("column {name:?} has {} different labels; two are needed, as 0 and 1 or no and yes", kinds.len())
            };
            let (zero, one) = match says(low, &POSITIVE) && says(high, &NEGATIVE) {
                true => (high, low),
                false => (low, high),
            };
            if !(says(one, &POSITIVE) && says(zero, &NEGATIVE)) {
                notes.push(format!("the label {one:?} counts as 1 and {zero:?} as 0, by the alphabet"));
            }
            Ok(texts.iter().map(|text| f32::from(u8::from(text.as_deref() == Some(one)))).collect())
        }
        Values::Other(why) => bail!("column {name:?} cannot be the label: {why}"),
    }
}

/// Labels that are numbers.
fn numbers(table: &Table, name: &str) -> anyhow::Result<Vec<f32>> {
    let Values::Numbers(numbers) = &table.column(name).context("--label")?.values else {
        bail!("column {name:?} is not numbers; without --regression two classes are told apart");
    };
    if let Some(row) = numbers.iter().position(|label| label.is_nan()) {
        bail!("column {name:?}, row {}: the label is empty; fill it or leave the row out", row + 1);
    }
    Ok(numbers.iter().map(|label| label.clamp(-LARGEST, LARGEST) as f32).collect())
}

/// Texts that are all times, as `2026-01-31 23:59:59` or `2026-01-31T23:59:59Z`, by the clock on the wall.
fn times(values: &[Option<String>]) -> Option<Vec<Option<jiff::civil::DateTime>>> {
    let time = |text: &String| {
        let instant = || text.parse::<jiff::Timestamp>().map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).datetime());
        // Whole numbers are read as dates by some standards; they are no times here.
        let plausible = text.len() >= 8 && text.contains(['-', ':']);
        plausible.then(|| instant().or_else(|_| text.parse::<jiff::civil::DateTime>()).ok()).flatten()
    };
    let mut times = Vec::with_capacity(values.len());
    for value in values {
        times.push(match value {
            Some(text) => Some(time(text)?),
            None => None,
        });
    }
    times.iter().any(Option::is_some).then_some(times)
}

fn time_seconds(time: jiff::civil::DateTime) -> f32 {
    time.to_zoned(jiff::tz::TimeZone::UTC).map_or(f32::NAN, |at| at.timestamp().as_second() as f32)
}

fn time_hour(time: jiff::civil::DateTime) -> f32 {
    f32::from(time.hour()) + f32::from(time.minute()) / 60.0
}

fn time_weekday(time: jiff::civil::DateTime) -> f32 {
    f32::from(time.weekday().to_monday_zero_offset())
}

fn groups(table: &Table, name: Option<&str>) -> anyhow::Result<Vec<u32>> {
    let Some(name) = name else {
        return Ok((0..table.rows as u32).collect());
    };
    let keys: Vec<String> = match &table.column(name).context("--group")?.values {
        Values::Numbers(numbers) => numbers.iter().map(f64::to_string).collect(),
        Values::Texts(texts) => texts.iter().map(|t| t.clone().unwrap_or_default()).collect(),
        Values::Other(why) => bail!("column {name:?} cannot be the group: {why}"),
    };
    let mut numbers = BTreeMap::new();
    Ok(keys
        .into_iter()
        .map(|key| {
            let next = numbers.len() as u32;
            *numbers.entry(key).or_insert(next)
        })
        .collect())
}

fn split(table: &Table, name: &str, notes: &mut Vec<String>) -> anyhow::Result<Vec<bool>> {
    let expected = "the split column must say train or test in every row";
    let Values::Texts(texts) = &table.column(name).context("--split")?.values else {
        bail!("column {name:?} is no text; {expected}");
    };
    let mut validation = 0;
    let parts = texts.iter().enumerate().map(|(row, text)| {
        match text.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("train" | "training") => Ok(true),
            // What is calibrated and chosen is so within the rows to train on; these are among them.
            Some("validation" | "valid" | "val" | "dev" | "calibration") => {
                validation += 1;
                Ok(true)
            }
            Some("test" | "testing" | "holdout" | "hold-out") => Ok(false),
            _ => bail!("column {name:?}, row {}: it says {:?}; {expected}", row + 1, text.as_deref().unwrap_or("")),
        }
    });
    let parts = parts.collect::<anyhow::Result<Vec<bool>>>()?;
    if validation > 0 {
        notes.push(format!(
            "{validation} rows for validation are trained on, where calibration has its own share of rows"
        ));
    }
    Ok(parts)
}

fn check_part(part: &str, rows: &[usize], labels: &[f32], roles: &Roles) -> anyhow::Result<()> {
    if rows.is_empty() {
        bail!(
            "there are no rows to {part} on: column {:?} never says {part}",
            roles.split.as_deref().unwrap_or("split")
        );
    }
    let ones = rows.iter().filter(|row| labels[**row] == 1.0).count();
    if roles.task == Task::Probability && (ones == 0 || ones == rows.len()) {
        let only = u8::from(ones > 0);
        bail!(
            "all {} {part} rows have the label {only}; both 0 and 1 are needed in column {:?}",
            rows.len(),
            roles.label
        );
    }
    Ok(())
}

/// The different texts in the rows to train on, ordered by their mean label there: for a tree the best order of kinds
/// (Breiman et al. 1984). Rare kinds stay near the mean. The number of kinds when there are too many.
fn kinds(values: &[Option<String>], train: &[usize], labels: &[f32]) -> Result<Vec<String>, usize> {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for row in train {
        if let Some(text) = &values[*row] {
            let sum = sums.entry(text).or_default();
            sum.0 += 1.0;
            sum.1 += f64::from(labels[*row]);
        }
    }
    if sums.len() > KINDS {
        return Err(sums.len());
    }
    let (rows, ones) = sums.values().fold((0.0, 0.0), |(n, s), sum| (n + sum.0, s + sum.1));
    let mean: f64 = ones / f64::max(rows, 1.0);
    let mut ordered: Vec<(f64, &str)> =
        sums.into_iter().map(|(kind, (n, s))| ((s + SHRINKAGE * mean) / (n + SHRINKAGE), kind)).collect();
    ordered.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
    Ok(ordered.into_iter().map(|(_, kind)| kind.to_owned()).collect())
}
