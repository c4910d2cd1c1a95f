//! Figures of training and prediction in seconds of building: `cargo run --release -p augur-forest --example speed`.
#![expect(clippy::print_stdout, reason = "a program that prints")]

use std::time::Instant;

use augur_forest::synthetic::Synthetic;
use augur_forest::{Bins, Forest, ForestError, ForestParams, Path, auc};

fn main() -> Result<(), ForestError> {
    let table = Synthetic::draw(200_000, 1);
    let test = Synthetic::draw(50_000, 2);
    let columns = table.slices();
    for threads in [1, 2] {
        let best = (0..5).map(|_| {
            let start = Instant::now();
            let bins = Bins::fit(&table.names, &columns, 255)?;
            let rows = bins.encode(&columns)?;
            let binned = start.elapsed();
            let params = ForestParams { threads, ..ForestParams::default() };
            let forest = Forest::train(&bins, &rows, &table.labels, &[], &params)?;
            Ok((start.elapsed(), binned, bins, forest))
        });
        let runs = best.collect::<Result<Vec<_>, ForestError>>()?;
        let Some((all, binned, bins, forest)) = runs.into_iter().min_by_key(|run| run.0) else { continue };
        println!(
            "{threads} threads: {all:?} of which {binned:?} binning; {} leaves, depth {}",
            forest.leaves(),
            forest.depth()
        );
        let rows = bins.encode(&test.slices())?;
        println!(
            "AUC {:.5}, truth {:.5}",
            auc(&test.labels, &forest.predict(&rows)?, &[]),
            auc(&test.labels, &test.truth, &[])
        );
        let few = rows.select(&(0..5_000).collect::<Vec<_>>());
        for path in [Path::Fastest, Path::Portable] {
            let mut out = vec![0.0; few.len()];
            let mut best = u128::MAX;
            for _ in 0..50 {
                let start = Instant::now();
                forest.predict_by(path, &few, &mut out)?;
                best = best.min(start.elapsed().as_nanos());
            }
            println!("{path:?}: {} ns a row", best / 5_000);
        }
    }
    Ok(())
}
