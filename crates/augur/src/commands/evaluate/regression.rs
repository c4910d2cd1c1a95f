//! A label that is a number: quantiles by a forest, with intervals that are widened or narrowed on rows it was not trained on until
//! they hold nine labels in ten. Entry points: [`evaluate`] and [`text`].

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::{Context as _, bail};
use augur_forest::{
    AdaptiveAlpha, BinnedRows, Bins, Conformal, ForestParams, MAX_BINS, Objective, QuantileForest, clustered_interval,
};
use serde_json::{Value, json};

use super::prepare::Prepared;
use super::report::{ended, interval, show};
use super::{DRAWS, LEVEL, count, ignored, round};

/// The share of labels that may lie outside of their intervals.
const OUTSIDE: f64 = 0.1;
/// The share of the rows to train on, the newest, that intervals are fitted on.
const FIT_SHARE: f64 = 0.3;
/// The fewest rows that intervals can be fitted on: below, none would promise nine in ten.
const FEWEST: usize = 20;
/// Trees of the forest.
const TREES: usize = 300;
/// How far one label moves the level of the adaptive intervals, as their authors advise.
const RATE: f64 = 0.005;

/// Lower end, median and upper end of rows.
struct Bounds {
    lower: Vec<f32>,
    median: Vec<f32>,
    upper: Vec<f32>,
}

fn bounds(forest: &QuantileForest, rows: &BinnedRows) -> anyhow::Result<Bounds> {
    let levels = [OUTSIDE / 2.0, 0.5, 1.0 - OUTSIDE / 2.0];
    let mut bounds = Bounds { lower: Vec::new(), median: Vec::new(), upper: Vec::new() };
    for index in 0..rows.len() {
        let row = rows.row(index).context("a row that was just encoded")?;
        let [lower, median, upper] = forest.quantiles(row, &levels)?[..] else {
            bail!("the forest gave another number of quantiles than it was asked for");
        };
        bounds.lower.push(lower);
        bounds.median.push(median);
        bounds.upper.push(upper);
    }
    Ok(bounds)
}

/// Trains on the older of the rows to train on, fits intervals on the newer, and judges on the test rows.
///
/// # Errors
/// When the rows are too few.
pub fn evaluate(prepared: &Prepared, seed: u64) -> anyhow::Result<Value> {
    let (train, test) = (&prepared.train, &prepared.test);
    let fit = (train.labels.len() as f64 * FIT_SHARE) as usize;
    let known = train.labels.len() - fit;
    if fit < FEWEST || known < FEWEST {
        bail!("{} rows to train on are too few for intervals; {} are needed", train.labels.len(), 4 * FEWEST);
    }
    let began = Instant::now();
    let older: Vec<&[f32]> = train.columns.iter().map(|column| &column[..known]).collect();
    let newer: Vec<&[f32]> = train.columns.iter().map(|column| &column[known..]).collect();
    let bins = Bins::fit(&prepared.names, &older, MAX_BINS)?;
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let params = ForestParams {
        objective: Objective::Regression,
        trees: TREES,
        max_depth: 16,
        min_leaf: 5.0,
        seed,
        threads,
        ..ForestParams::default()
    };
    let forest = QuantileForest::train(&bins, &bins.encode(&older)?, &train.labels[..known], &params)?;
    let fitted = bounds(&forest, &bins.encode(&newer)?)?;
    let conformal = Conformal::of_bounds(&fitted.lower, &fitted.upper, &train.labels[known..])?;
    let train_seconds = began.elapsed().as_secs_f64();

    let rows = bins.encode(&test.slices())?;
    let means = forest.forest().predict(&rows)?;
    let bounds = bounds(&forest, &rows)?;
    let labels = &test.labels;
    let mut adaptive = AdaptiveAlpha::new(OUTSIDE, RATE);
    let (mut plain, mut inside, mut adapted) = (Vec::new(), Vec::new(), Vec::new());
    let (mut widths, mut adapted_widths) = (Vec::new(), Vec::new());
    for (label, (lower, upper)) in labels.iter().zip(bounds.lower.iter().zip(&bounds.upper)) {
        let holds = |(from, to): (f32, f32)| f64::from(u8::from((from..=to).contains(label)));
        let width = |(from, to): (f32, f32)| f64::from(to) - f64::from(from);
        let fixed = conformal.interval(*lower, *upper, OUTSIDE);
        // Each in turn, as the labels come in.
        let moving = conformal.interval(*lower, *upper, adaptive.alpha());
        plain.push(holds((*lower, *upper)));
        inside.push(holds(fixed));
        adapted.push(holds(moving));
        widths.push(width(fixed));
        adapted_widths.push(width(moving));
        adaptive.observe(holds(moving) > 0.0);
    }
    let errors = |predicted: &[f32]| -> Vec<f64> {
        predicted.iter().zip(labels).map(|(p, label)| f64::from(*p) - f64::from(*label)).collect()
    };
    let (of_mean, of_median) = (errors(&means), errors(&bounds.median));
    let squares: Vec<f64> = of_mean.iter().map(|error| error * error).collect();
    let absolute: Vec<f64> = of_median.iter().map(|error| error.abs()).collect();
    let rate = test.rate();
    let variance: Vec<f64> = labels.iter().map(|label| (f64::from(*label) - rate).powi(2)).collect();
    let ends = |values: &[f64], of: &dyn Fn(f64) -> f64| {
        let metric = |weights: &[f32]| of(mean(values, weights));
        match clustered_interval(&test.groups, DRAWS, LEVEL, seed, &metric) {
            Some((low, high)) => json!([round(low, 4), round(high, 4)]),
            None => Value::Null,
        }
    };
    Ok(json!({
        "task": "regression",
        "mae": round(mean(&absolute, &[]), 5),
        "mae_interval": ends(&absolute, &|value| value),
        "rmse": round(mean(&squares, &[]).sqrt(), 5),
        "rmse_interval": ends(&squares, &f64::sqrt),
        "r2": round(1.0 - mean(&squares, &[]) / mean(&variance, &[]), 5),
        "interval_level": 1.0 - OUTSIDE,
        "coverage": round(mean(&inside, &[]), 5),
        "coverage_interval": ends(&inside, &|value| value),
        "coverage_before_calibration": round(mean(&plain, &[]), 5),
        "coverage_adaptive": round(mean(&adapted, &[]), 5),
        "median_width": round(median(widths), 5),
        "median_width_adaptive": round(median(adapted_widths), 5),
        "margin": round(f64::from(conformal.margin(OUTSIDE)), 5),
        "n_train": train.labels.len(),
        "n_calibrate": fit,
        "n_test": labels.len(),
        "test_groups": count(&test.groups),
        "train_seconds": round(train_seconds, 3),
        "features": prepared.names,
        "ignored_columns": ignored(prepared),
        "notes": prepared.notes,
    }))
}

/// The mean by weights; empty means that all weigh the same.
fn mean(values: &[f64], weights: &[f32]) -> f64 {
    let weight = |at: usize| weights.get(at).map_or(1.0, |weight| f64::from(*weight));
    let (sum, all) = values
        .iter()
        .enumerate()
        .fold((0.0, 0.0), |(sum, all), (at, value)| (sum + weight(at) * value, all + weight(at)));
    sum / all
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The result in lines.
pub fn text(prepared: &Prepared, json: &Value) -> String {
    let mut out = String::new();
    let mut line = |name: &str, key: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<28} {:>12}   {}", show(&json[key]), interval(json, key));
    };
    for (name, key) in [
        ("mean absolute error", "mae"),
        ("root mean squared error", "rmse"),
        ("R squared", "r2"),
        ("within 90 % intervals", "coverage"),
        ("  before calibration", "coverage_before_calibration"),
        ("  adapting as labels come", "coverage_adaptive"),
        ("median width", "median_width"),
    ] {
        line(name, key);
    }
    let counted = |key: &str| json[key].as_u64().unwrap_or(0);
    let _ = writeln!(
        out,
        "\ntrained on {} rows, the newest {} of them to fit intervals on; tested on {} rows of {} groups",
        counted("n_train"),
        counted("n_calibrate"),
        counted("n_test"),
        counted("test_groups")
    );
    ended(out, prepared)
}
