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

/// Which columns mean what.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    /// The column of labels, 0 and 1.
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
    /// 0 or 1.
    pub labels: Vec<f32>,
    /// Numbers of the groups; each row its own when there is no group column.
    pub groups: Vec<u32>,
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
/// When a column is missing, a label is not 0 or 1, the split says other things than train and test, one of both has no rows or
/// one class only, or no feature remains.
pub fn prepare(table: &Table, roles: &Roles, judge: bool) -> anyhow::Result<Prepared> {
    let labels = labels(table, &roles.label)?;
    let groups = groups(table, roles.group.as_deref())?;
    let mut prepared = Prepared::default();
    let is_train = match &roles.split {
        Some(name) => split(table, name)?,
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
    classes("train", &train, &labels, roles)?;
    if judge {
        classes("test", &test, &labels, roles)?;
    }
    for (part, rows) in [(&mut prepared.train, &train), (&mut prepared.test, &test)] {
        part.labels = rows.iter().map(|row| labels[*row]).collect();
        part.groups = rows.iter().map(|row| groups[*row]).collect();
    }
    let taken = [Some(&roles.label), roles.group.as_ref(), roles.split.as_ref()];
    for column in table.columns.iter().filter(|c| !taken.contains(&Some(&c.name))) {
        let name = column.name.clone();
        let numbers: Vec<f32> = match &column.values {
            Values::Numbers(values) => values.iter().map(|v| *v as f32).collect(),
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

fn labels(table: &Table, name: &str) -> anyhow::Result<Vec<f32>> {
    let column = table.column(name).context("--label")?;
    let wrong = |row: usize, found: &str| {
        format!("column {name:?}, row {}: the label is {found}; labels must be 0 or 1", row + 1)
    };
    let numbers = match &column.values {
        Values::Numbers(numbers) => numbers,
        Values::Texts(texts) => {
            let is_label = |t: &Option<String>| matches!(t.as_deref(), Some("0" | "1"));
            let row = texts.iter().position(|t| !is_label(t)).unwrap_or(0);
            bail!(wrong(row, texts[row].as_deref().map_or("empty".to_owned(), |t| format!("{t:?}")).as_str()));
        }
        Values::Other(why) => bail!("column {name:?} cannot be the label: {why}"),
    };
    for (row, label) in numbers.iter().enumerate() {
        if label.is_nan() {
            bail!(wrong(row, "empty"));
        }
        if *label != 0.0 && *label != 1.0 {
            bail!(wrong(row, &label.to_string()));
        }
    }
    Ok(numbers.iter().map(|l| *l as f32).collect())
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

fn split(table: &Table, name: &str) -> anyhow::Result<Vec<bool>> {
    let expected = "the split column must say train or test in every row";
    let Values::Texts(texts) = &table.column(name).context("--split")?.values else {
        bail!("column {name:?} is no text; {expected}");
    };
    texts
        .iter()
        .enumerate()
        .map(|(row, text)| match text.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("train") => Ok(true),
            Some("test") => Ok(false),
            _ => bail!("column {name:?}, row {}: it says {:?}; {expected}", row + 1, text.as_deref().unwrap_or("")),
        })
        .collect()
}

fn classes(part: &str, rows: &[usize], labels: &[f32], roles: &Roles) -> anyhow::Result<()> {
    let ones = rows.iter().filter(|row| labels[**row] == 1.0).count();
    if rows.is_empty() {
        bail!(
            "there are no rows to {part} on: column {:?} never says {part}",
            roles.split.as_deref().unwrap_or("split")
        );
    }
    if ones == 0 || ones == rows.len() {
        let only = u8::from(ones > 0);
        bail!(
            "all {} {part} rows have the label {only}; both 0 and 1 are needed in column {:?}",
            rows.len(),
            roles.label
        );
    }
    Ok(())
}

/// The different texts in the rows to train on, ordered by their rate of label 1 there: for a tree the best order of kinds
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
