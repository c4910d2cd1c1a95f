//! `augur evaluate` and `augur train`: a model for a table, judged on the rows it has not seen, or written to a file.
//!
//! What is chosen, and how it is calibrated, is decided on the rows to train on alone (`augur_forest::select`).

mod prepare;
mod regression;
mod report;

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use augur_forest::{
    BinnedRows, Bins, MAX_BINS, Order, RELIABILITY_BINS, Ranking, SelectParams, Selection, brier, clustered_interval,
    expected_calibration_error, log_loss, permutation_importance, reliability, select,
};
use serde_json::{Value, json};

use crate::cli::{EvaluateArgs, EvaluateFormat, TrainArgs};
use crate::output;
use crate::table::Table;
use prepare::{Prepared, Roles, Task, prepare};

/// Draws of groups that intervals come from.
const DRAWS: usize = 1_000;
/// Test rows that permutation importance looks at.
const IMPORTANCE_ROWS: usize = 5_000;
/// The share of draws that an interval holds.
const LEVEL: f64 = 0.95;

/// Trains on the train rows, judges on the test rows and prints the result.
///
/// # Errors
/// When the table cannot be used, naming the thing and the fix, or a report cannot be written.
pub fn evaluate(args: &EvaluateArgs) -> anyhow::Result<()> {
    let task = if args.regression { Task::Number } else { Task::Probability };
    let roles = Roles { task, label: args.label.clone(), group: args.group.clone(), split: args.split.clone() };
    let table = Table::read(&args.table)?;
    let prepared = prepare(&table, &roles, true)?;
    drop(table);
    if args.regression {
        let json = regression::evaluate(&prepared, args.seed)?;
        output::line(&match args.format {
            EvaluateFormat::Json => serde_json::to_string_pretty(&json)?,
            EvaluateFormat::Text => regression::text(&prepared, &json),
        })?;
        return Ok(());
    }
    // Without a column of groups each row is its own, which says nothing.
    let new_groups = args.group.is_some() && prepared.groups_are_new();
    let (selection, train_seconds) = train_on(&prepared, new_groups, args.seed)?;
    let verdict = judge(&prepared, &selection, train_seconds, args.seed)?;
    if let Some(path) = &args.report {
        let title = args.table.file_name().unwrap_or_default().to_string_lossy();
        let page = report::page(&title, &prepared, &verdict);
        std::fs::write(path, page).with_context(|| format!("cannot write the report {}", path.display()))?;
    }
    match args.format {
        EvaluateFormat::Json => output::line(&serde_json::to_string_pretty(&verdict.json)?)?,
        EvaluateFormat::Text => output::line(&report::text(&prepared, &verdict))?,
    }
    Ok(())
}

/// Trains on the train rows, or on all when there is no split column, and writes a model file.
///
/// # Errors
/// When the table cannot be used, naming the thing and the fix, or the file cannot be written.
pub fn train(args: &TrainArgs) -> anyhow::Result<()> {
    let roles = Roles {
        task: Task::Probability,
        label: args.label.clone(),
        group: args.group.clone(),
        split: args.split.clone(),
    };
    let table = Table::read(&args.table)?;
    let prepared = prepare(&table, &roles, false)?;
    let (selection, train_seconds) = train_on(&prepared, false, args.seed)?;
    let mut model = selection.model;
    let notes = [
        ("label", args.label.clone()),
        ("rows", prepared.train.labels.len().to_string()),
        ("rate", prepared.train.rate().to_string()),
        ("seed", args.seed.to_string()),
        ("chosen", selection.chosen.clone()),
        ("calibration", selection.calibration.to_owned()),
    ];
    model.metadata.extend(notes.map(|(key, value)| (key.to_owned(), value)));
    for (column, kinds) in &prepared.kinds {
        model.metadata.insert(format!("kinds.{column}"), serde_json::to_string(kinds)?);
    }
    let bytes = model.to_bytes();
    write_whole(&args.out, &bytes).with_context(|| format!("cannot write the model {}", args.out.display()))?;
    let schema: String = model.schema().iter().map(|byte| format!("{byte:02x}")).collect();
    let summary = json!({
        "out": args.out,
        "bytes": bytes.len(),
        "schema": schema,
        "model": selection.chosen,
        "calibration": selection.calibration,
        "n_train": prepared.train.labels.len(),
        "features": prepared.names,
        "ignored_columns": ignored(&prepared),
        "train_seconds": round(train_seconds, 3),
    });
    output::line(&serde_json::to_string_pretty(&summary)?)?;
    Ok(())
}

/// Writes beside the file and renames, so that nobody reads half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    std::fs::write(&beside, bytes)?;
    std::fs::rename(&beside, path)
}

/// The chosen model and the seconds that took; `new_groups` when it will be asked about groups that it has not seen.
fn train_on(prepared: &Prepared, new_groups: bool, seed: u64) -> anyhow::Result<(Selection, f64)> {
    let began = Instant::now();
    let columns = prepared.train.slices();
    let bins = Bins::fit(&prepared.names, &columns, MAX_BINS)?;
    let rows = bins.encode(&columns)?;
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let order = if new_groups { Order::NewGroups(prepared.train.groups.clone()) } else { Order::Time };
    let params = SelectParams { seed, threads, order, ..SelectParams::default() };
    let selection = select(&bins, &rows, &prepared.train.labels, &params)?;
    Ok((selection, began.elapsed().as_secs_f64()))
}

/// How a model did on the test rows.
struct Verdict {
    /// All figures, as they are printed.
    json: Value,
    predictions: Vec<f32>,
    /// Features with what permuting them costs in log-loss, the most important first.
    importance: Vec<(String, f64)>,
}

fn judge(prepared: &Prepared, selection: &Selection, train_seconds: f64, seed: u64) -> anyhow::Result<Verdict> {
    let test = &prepared.test;
    let rows = selection.model.bins.encode(&test.slices())?;
    let began = Instant::now();
    let predictions = selection.model.predict_rows(&rows)?;
    let predict_ns = began.elapsed().as_nanos() as f64 / predictions.len().max(1) as f64;
    if predictions.iter().any(|p| !p.is_finite()) {
        bail!("the model gave a prediction that is no number: please report this with the table");
    }
    let labels = &test.labels;
    let ranking = Ranking::new(labels, &predictions);
    let ece = |weights: &[f32]| expected_calibration_error(labels, &predictions, weights, RELIABILITY_BINS);
    let interval = |metric: &dyn Fn(&[f32]) -> f64| match clustered_interval(&test.groups, DRAWS, LEVEL, seed, metric) {
        Some((low, high)) => json!([round(low, 4), round(high, 4)]),
        None => Value::Null,
    };
    let base = constant(prepared);
    let importance = importance(prepared, selection, &rows, seed)?;
    let table = reliability(labels, &predictions, &[], RELIABILITY_BINS);
    let candidates = selection.candidates.iter();
    let json = json!({
        "auc": round(ranking.auc(&[]), 5),
        "average_precision": round(ranking.average_precision(&[]), 5),
        "brier": round(brier(labels, &predictions, &[]), 5),
        "log_loss": round(log_loss(labels, &predictions, &[]), 5),
        "ece": round(ece(&[]), 5),
        "auc_interval": interval(&|w| ranking.auc(w)),
        "average_precision_interval": interval(&|w| ranking.average_precision(w)),
        "brier_interval": interval(&|w| brier(labels, &predictions, w)),
        "log_loss_interval": interval(&|w| log_loss(labels, &predictions, w)),
        "ece_interval": interval(&ece),
        "brier_skill": round(1.0 - brier(labels, &predictions, &[]) / base.0, 5),
        "constant_rate": { "brier": round(base.0, 5), "log_loss": round(base.1, 5) },
        "n_train": prepared.train.labels.len(),
        "n_test": labels.len(),
        "train_rate": round(prepared.train.rate(), 5),
        "test_rate": round(test.rate(), 5),
        "mean_prediction": round(predictions.iter().map(|p| f64::from(*p)).sum::<f64>() / labels.len() as f64, 5),
        "test_groups": count(&test.groups),
        "train_seconds": round(train_seconds, 3),
        "predict_ns_per_row": predict_ns.round(),
        "model": selection.chosen,
        "calibration": selection.calibration,
        "validated_rows": selection.validated,
        "validated_by": selection.validated_by,
        "candidates": candidates.map(|c| json!({ "model": c.name, "validated_log_loss": round(c.log_loss, 5) }))
            .collect::<Vec<_>>(),
        "features": prepared.names,
        "ignored_columns": ignored(prepared),
        "notes": prepared.notes,
        "reliability": table.iter().map(|b| json!({
            "from": round(b.from, 4), "to": round(b.to, 4), "rows": b.rows,
            "predicted": round(b.predicted, 5), "observed": round(b.observed, 5),
        })).collect::<Vec<_>>(),
        "importance": importance.iter().map(|(name, cost)| json!({ "feature": name, "log_loss_rise": round(*cost, 6) }))
            .collect::<Vec<_>>(),
    });
    Ok(Verdict { json, predictions, importance })
}

/// Brier score and log-loss of predicting the rate of the train rows for every test row.
fn constant(prepared: &Prepared) -> (f64, f64) {
    let constant = vec![prepared.train.rate() as f32; prepared.test.labels.len()];
    (brier(&prepared.test.labels, &constant, &[]), log_loss(&prepared.test.labels, &constant, &[]))
}

fn importance(
    prepared: &Prepared,
    selection: &Selection,
    rows: &BinnedRows,
    seed: u64,
) -> anyhow::Result<Vec<(String, f64)>> {
    // Rows spread over the whole time when there are many.
    let step = rows.len().div_ceil(IMPORTANCE_ROWS).max(1);
    let chosen: Vec<usize> = (0..rows.len()).step_by(step).collect();
    let labels: Vec<f32> = chosen.iter().map(|row| prepared.test.labels[*row]).collect();
    let predict = |rows: &BinnedRows| selection.model.predict_rows(rows);
    let loss = |predictions: &[f32]| log_loss(&labels, predictions, &[]);
    let costs = permutation_importance(&predict, &selection.model.bins, &rows.select(&chosen), None, 1, seed, &loss)?;
    let mut named: Vec<(String, f64)> = prepared.names.iter().cloned().zip(costs).collect();
    named.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(named)
}

fn ignored(prepared: &Prepared) -> Vec<Value> {
    prepared.ignored.iter().map(|(name, why)| json!({ "column": name, "why": why })).collect()
}

fn count(groups: &[u32]) -> usize {
    groups.iter().collect::<std::collections::BTreeSet<_>>().len()
}

/// Rounded for reading; null for what is no number.
fn round(value: f64, digits: i32) -> Value {
    let scale = 10f64.powi(digits);
    if value.is_finite() { json!((value * scale).round() / scale) } else { Value::Null }
}

#[cfg(test)]
mod tests;
