//! `augur bench forest`: training, prediction, explanation and re-scoring of the forest, on a table from a seed.
//!
//! 200,000 rows of 13 columns to train on and 50,000 to judge by (`augur_forest::synthetic`). Times are the least of several
//! runs, because other work on the machine only ever adds to them.

use std::time::{Duration, Instant};

use anyhow::Context;
use augur_forest::synthetic::Synthetic;
use augur_forest::{BinnedRows, Bins, BoostParams, Contrast, Forest, ForestParams, MAX_BINS, Path, auc, brier};
use serde_json::json;

use super::score;
use crate::cli::BenchForestArgs;
use crate::output;

/// Columns that differ between nodes, as many as of the thirteen named features; the others belong to the pod or the cluster.
const NODE_COLUMNS: [usize; 7] = [0, 1, 2, 3, 4, 5, 6];

/// Runs the measurement and prints it.
///
/// # Errors
/// When training fails or the output cannot be written.
pub fn run(args: &BenchForestArgs) -> anyhow::Result<()> {
    if args.rows < 20_000 {
        anyhow::bail!("a measurement needs 20,000 rows or more, a quarter of which are scored as nodes");
    }
    if let Some(path) = &args.write_table {
        return write_table(args, path);
    }
    let (table, test) = (Synthetic::draw(args.rows, args.seed), Synthetic::draw(args.rows / 4, args.seed + 1));
    let columns = table.slices();
    let least_of = |what: &dyn Fn() -> anyhow::Result<()>| least(args.repeats, what);

    let binning = least_of(&|| {
        Bins::fit(&table.names, &columns, MAX_BINS)?.encode(&columns)?;
        Ok(())
    })?;
    let bins = Bins::fit(&table.names, &columns, MAX_BINS)?;
    let rows = bins.encode(&columns)?;
    let params = |threads| ForestParams { threads, seed: args.seed, ..ForestParams::default() };
    let train = |threads| {
        least_of(&|| {
            Forest::train(&bins, &rows, &table.labels, &[], &params(threads))?;
            Ok(())
        })
    };
    let (one, two) = (train(1)?, train(2)?);
    let forest = Forest::train(&bins, &rows, &table.labels, &[], &params(2))?;
    let began = Instant::now();
    let boosted =
        Forest::boost(&bins, &rows, &table.labels, &[], &BoostParams { columns: 1.0, ..BoostParams::default() })?;
    let boost = began.elapsed();

    let judged = bins.encode(&test.slices())?;
    let (predicted, by_boosted) = (forest.predict(&judged)?, boosted.predict(&judged)?);
    let nodes = judged.select(&(0..5_000.min(judged.len())).collect::<Vec<_>>());
    let avx2 = per_row(&forest, Path::Fastest, &nodes, args.repeats)?;
    let portable = per_row(&forest, Path::Portable, &nodes, args.repeats)?;
    let (shap, additivity) = contrast(&forest, &bins, &test, args.repeats)?;
    let rescore = rescore(&forest, &bins, &nodes, &test, args.repeats)?;
    let asked = score::measure(args.seed, args.repeats)?;
    let refresh = refresh(&forest, &nodes, &test.labels, args.repeats)?;

    let seconds = |d: Duration| (d.as_secs_f64() * 1e4).round() / 1e4;
    let micros = |d: Duration| (d.as_secs_f64() * 1e8).round() / 100.0;
    let round = |x: f64| (x * 1e5).round() / 1e5;
    let json = json!({
        "bench": "forest",
        "rows": args.rows,
        "columns": table.names.len(),
        "trees": forest.trees(),
        "depth": forest.depth(),
        "leaves": forest.leaves(),
        "binning_seconds": seconds(binning),
        "train_seconds_1_thread": seconds(one),
        "train_seconds_2_threads": seconds(two),
        "boost_seconds_200_rounds": seconds(boost),
        "predict_ns_per_row": avx2.round(),
        "predict_ns_per_row_portable": portable.round(),
        "shap_microseconds": micros(shap),
        "shap_additivity_error": additivity,
        "rescore_1_percent_of_5000_microseconds": micros(rescore),
        "predictor_5000_nodes_1_percent_changed_microseconds": micros(asked.changed),
        "predictor_5000_nodes_unchanged_microseconds": micros(asked.unchanged),
        "leaf_refresh_microseconds_per_row": micros(refresh),
        "auc": round(auc(&test.labels, &predicted, &[])),
        "brier": round(brier(&test.labels, &predicted, &[])),
        "auc_boosted": round(auc(&test.labels, &by_boosted, &[])),
        "auc_of_the_truth": round(auc(&test.labels, &test.truth, &[])),
    });
    for (name, value) in json.as_object().into_iter().flatten() {
        output::line(&format!("{name:<42} {value}"))?;
    }
    output::line(&json.to_string())?;
    Ok(())
}

/// The least time of some runs.
fn least(repeats: usize, mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..repeats.max(1) {
        let began = Instant::now();
        run()?;
        best = best.min(began.elapsed());
    }
    Ok(best)
}

fn per_row(forest: &Forest, path: Path, rows: &BinnedRows, repeats: usize) -> anyhow::Result<f64> {
    let mut out = vec![0.0; rows.len()];
    let best = least(repeats * 10, || Ok(forest.predict_by(path, rows, &mut out)?))?;
    Ok(best.as_nanos() as f64 / rows.len().max(1) as f64)
}

/// The mean time of explaining one node against another for the same pod, and the greatest error of the parts' sum.
fn contrast(forest: &Forest, bins: &Bins, test: &Synthetic, repeats: usize) -> anyhow::Result<(Duration, f64)> {
    let mut rows = bins.rows();
    let pairs = 200;
    for pair in 0..pairs {
        let pod: Vec<f32> = test.columns.iter().map(|c| c[3 * pair]).collect();
        for node in [3 * pair, 3 * pair + 1] {
            let mut values = pod.clone();
            NODE_COLUMNS.iter().for_each(|column| values[*column] = test.columns[*column][node]);
            rows.push(bins, &values)?;
        }
    }
    let mut work = Contrast::default();
    let mut parts = vec![0.0; test.names.len()];
    let pair = |pair: usize| rows.row(2 * pair).zip(rows.row(2 * pair + 1)).context("rows of the pair");
    let best = least(repeats, || {
        for index in 0..pairs {
            let (row, reference) = pair(index)?;
            forest.contrast(row, reference, &mut work, &mut parts)?;
        }
        Ok(())
    })?;
    let mut error = 0f64;
    for index in 0..pairs {
        let (row, reference) = pair(index)?;
        parts.fill(0.0);
        forest.contrast(row, reference, &mut work, &mut parts)?;
        let difference = f64::from(forest.predict_row(row)?) - f64::from(forest.predict_row(reference)?);
        error = error.max((parts.iter().sum::<f64>() - difference).abs());
    }
    Ok((best / pairs as u32, error))
}

/// What a pod seen before costs when 1 % of the nodes changed: their rows encoded again, predicted, and put among the kept scores.
fn rescore(
    forest: &Forest,
    bins: &Bins,
    nodes: &BinnedRows,
    test: &Synthetic,
    repeats: usize,
) -> anyhow::Result<Duration> {
    let mut scores = forest.predict(nodes)?;
    let changed: Vec<usize> = (0..nodes.len() / 100).map(|index| index * 97 % nodes.len()).collect();
    let values: Vec<Vec<f32>> = changed.iter().map(|row| test.columns.iter().map(|c| c[*row]).collect()).collect();
    let mut dirty = nodes.select(&changed);
    let mut fresh = vec![0.0; changed.len()];
    least(repeats * 10, || {
        for (place, values) in values.iter().enumerate() {
            dirty.set(bins, place, values)?;
        }
        forest.predict_into(&dirty, &mut fresh)?;
        for (node, score) in changed.iter().zip(&fresh) {
            scores[*node] = *score;
        }
        Ok(())
    })
}

/// The time that one matured label takes.
fn refresh(forest: &Forest, nodes: &BinnedRows, labels: &[f32], repeats: usize) -> anyhow::Result<Duration> {
    let mut forest = forest.clone();
    let labels = &labels[..nodes.len()];
    let best = least(repeats, || Ok(forest.refresh(nodes, labels, &[])?))?;
    Ok(best / nodes.len().max(1) as u32)
}

/// Writes the table as CSV with a split column, for other programs to be measured on the same data.
fn write_table(args: &BenchForestArgs, path: &std::path::Path) -> anyhow::Result<()> {
    let mut out = csv::Writer::from_path(path).with_context(|| format!("cannot write {}", path.display()))?;
    let parts =
        [("train", Synthetic::draw(args.rows, args.seed)), ("test", Synthetic::draw(args.rows / 4, args.seed + 1))];
    let (_, first) = &parts[0];
    let header = ["split", "label", "truth"].into_iter().chain(first.names.iter().map(String::as_str));
    out.write_record(header)?;
    for (split, table) in &parts {
        for row in 0..table.labels.len() {
            let cells = [(*split).to_owned(), table.labels[row].to_string(), table.truth[row].to_string()];
            out.write_record(cells.into_iter().chain(table.columns.iter().map(|c| c[row].to_string())))?;
        }
    }
    out.flush()?;
    Ok(())
}
