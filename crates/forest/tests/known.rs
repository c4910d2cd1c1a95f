//! Results on small data that are known beforehand, or computed by scikit-learn 1.9.1 where said.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use augur_forest::{
    AdaptiveAlpha, BinnedRows, Bins, BoostParams, Calibrator, Conformal, Forest, ForestParams, Objective,
    QuantileForest, Random, Ranking, SelectParams, auc, average_precision, brier, clustered_interval,
    expected_calibration_error, log_loss, permutation_importance, reliability, select, synthetic::Synthetic,
};

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    let labels = [0.0, 0.0, 1.0, 1.0, 0.0, 1.0];
    let scores = [0.1, 0.4, 0.35, 0.8, 0.4, 0.4];
    // roc_auc_score, average_precision_score, brier_score_loss, log_loss.
    assert!(near(auc(&labels, &scores, &[]), 0.666_666_667));
    assert!(near(average_precision(&labels, &scores, &[]), 0.7));
    assert!(near(brier(&labels, &scores, &[]), 0.192_083_333));
    assert!(near(log_loss(&labels, &scores, &[]), 0.552_711_362));
    let weights = [1.0, 2.0, 1.0, 3.0, 1.0, 1.0];
    assert!(near(auc(&labels, &scores, &weights), 0.775));
    assert!(auc(&[1.0, 1.0], &[0.1, 0.2], &[]).is_nan());
    let ranking = Ranking::new(&labels, &scores);
    assert_eq!(ranking.roc_curve().first(), Some(&(0.0, 0.0)));
    assert_eq!(ranking.roc_curve().last(), Some(&(1.0, 1.0)));
    assert_eq!(ranking.precision_recall_curve()[0], (1.0 / 3.0, 1.0));
}

#[test]
fn calibration_error_is_the_distance_of_bins() {
    // One bin of 0.2 with a rate of one half, one bin of 0.9 with a rate of 1.
    let (labels, scores) = ([0.0, 1.0, 1.0, 1.0], [0.2, 0.2, 0.9, 0.9]);
    assert!(near(expected_calibration_error(&labels, &scores, &[], 15), (0.3 + 0.1) / 2.0));
    let table = reliability(&labels, &scores, &[], 15);
    assert_eq!((table.len(), table[3].rows, table[13].rows), (15, 2, 2));
    // A probability of 1 is in the last bin.
    assert_eq!(reliability(&[1.0], &[1.0], &[], 15)[14].rows, 1);
}

#[test]
fn isotonic_regression_pools_what_falls() {
    let predictions = [0.1, 0.2, 0.3, 0.4];
    let calibrator = Calibrator::isotonic(&predictions, &[0.0, 1.0, 0.0, 1.0], &[]).unwrap();
    // 0.2 and 0.3 are pooled to one half at 0.25; outer ones keep one row in six away from 0 and 1.
    for (x, y) in
        [(0.1, 1.0 / 6.0), (0.25, 0.5), (0.4, 5.0 / 6.0), (0.0, 1.0 / 6.0), (1.0, 5.0 / 6.0), (0.175, 1.0 / 3.0)]
    {
        assert!((calibrator.apply(x) - y).abs() < 1e-6, "{x}: {}", calibrator.apply(x));
    }
}

#[test]
fn calibrators_mend_boldness() {
    let mut random = Random::new(5);
    let truth: Vec<f32> = (0..20_000).map(|_| random.unit() as f32 * 0.8 + 0.1).collect();
    let labels: Vec<f32> = truth.iter().map(|p| f32::from(u8::from(random.unit() < f64::from(*p)))).collect();
    // Log-odds doubled: too bold.
    let bold: Vec<f32> = truth.iter().map(|p| p * p / (p * p + (1.0 - p) * (1.0 - p))).collect();
    let ways = [
        Calibrator::platt(&bold, &labels, &[]).unwrap(),
        Calibrator::temperature(&bold, &labels, &[], 0.5).unwrap(),
        Calibrator::isotonic(&bold, &labels, &[]).unwrap(),
    ];
    for calibrator in &ways {
        let mut mended = bold.clone();
        calibrator.apply_to(&mut mended);
        // At the ends isotonic regression has few rows to go by.
        let mut inner = mended.iter().zip(&truth).filter(|(_, t)| (0.2..0.8).contains(*t));
        assert!(inner.all(|(m, t)| (m - t).abs() < 0.06), "{calibrator:?}");
    }
    let Calibrator::Platt { slope, intercept } = ways[0] else { panic!("Platt's scaling") };
    assert!((slope - 0.5).abs() < 0.03 && intercept.abs() < 0.05, "{slope}, {intercept}");
    assert!(Calibrator::platt(&[0.5, 0.5], &[1.0, 1.0], &[]).is_err());
    assert!(Calibrator::isotonic(&[1.5, 0.5], &[1.0, 0.0], &[]).is_err());
}

#[test]
fn intervals_hold_what_they_promise() {
    let mut random = Random::new(3);
    let mut draw = |n: usize| (0..n).map(|_| random.normal() as f32).collect::<Vec<f32>>();
    let (known, new) = (draw(999), draw(20_000));
    let conformal = Conformal::of_means(&[0.0; 999], &known).unwrap();
    let (from, to) = conformal.interval(0.0, 0.0, 0.1);
    let outside = new.iter().filter(|y| **y < from || **y > to).count() as f64 / 20_000.0;
    assert!((outside - 0.1).abs() < 0.02, "{outside}");
    assert_eq!(Conformal::of_means(&[0.0; 5], &known[..5]).unwrap().margin(0.01), f32::INFINITY);
    // The adaptive level finds a margin for labels that spread twice as far.
    let mut alpha = AdaptiveAlpha::new(0.1, 0.01);
    let mut missed = 0;
    for y in &new[..10_000] {
        let (from, to) = conformal.interval(0.0, 0.0, alpha.alpha());
        let covered = (from..=to).contains(&(2.0 * y));
        missed += usize::from(!covered);
        alpha.observe(covered);
    }
    assert!((missed as f64 / 10_000.0 - 0.1).abs() < 0.02, "{missed}");
}

#[test]
fn clustered_intervals_are_wider_when_groups_agree() {
    let labels: Vec<f32> = (0..400).map(|row| f32::from(u8::from(row / 20 % 2 == 0))).collect();
    let scores: Vec<f32> = labels.iter().enumerate().map(|(row, l)| l * 0.3 + (row * 7 % 10) as f32 / 10.0).collect();
    let by_row: Vec<u32> = (0..400).collect();
    let by_group: Vec<u32> = (0..400).map(|row| row / 20).collect();
    let loss = |w: &[f32]| brier(&labels, &scores, w);
    let width = |groups: &[u32]| clustered_interval(groups, 500, 0.95, 1, loss).map(|(a, b)| b - a).unwrap();
    assert!(width(&by_group) > 1.5 * width(&by_row));
}

/// A step at 0 in the first column; the second is noise.
fn step(rows: usize) -> (Bins, BinnedRows, Vec<f32>, Vec<f32>) {
    let mut random = Random::new(9);
    let x: Vec<f32> = (0..rows).map(|_| random.normal() as f32).collect();
    let noise: Vec<f32> = (0..rows).map(|_| random.normal() as f32).collect();
    let y = x.iter().map(|x| if *x > 0.0 { 10.0 } else { 2.0 } + random.normal() as f32).collect();
    let bins = Bins::fit(&["x", "noise"], &[&x, &noise], 255).unwrap();
    let rows = bins.encode(&[&x, &noise]).unwrap();
    (bins, rows, y, x)
}

#[test]
fn regression_finds_means_and_quantiles() {
    let (bins, rows, y, _) = step(4_000);
    let params = ForestParams { objective: Objective::Regression, min_leaf: 50.0, mtry: 2, ..ForestParams::default() };
    let forest = Forest::train(&bins, &rows, &y, &[], &params).unwrap();
    let boosted = Forest::boost(
        &bins,
        &rows,
        &y,
        &[],
        &BoostParams {
            objective: Objective::Regression,
            columns: 1.0,
            rounds: 100,
            learning_rate: 0.1,
            ..BoostParams::default()
        },
    )
    .unwrap();
    let quantiles = QuantileForest::train(&bins, &rows, &y, &params).unwrap();
    for (x, mean) in [(-1.0, 2.0), (1.0, 10.0)] {
        let mut row = vec![0; bins.stride()];
        bins.encode_row(&[x, 0.0], &mut row).unwrap();
        assert!((forest.predict_row(&row).unwrap() - mean).abs() < 0.3);
        assert!((boosted.predict_row(&row).unwrap() - mean).abs() < 0.3);
        let found = quantiles.quantiles(&row, &[0.05, 0.5, 0.95]).unwrap();
        for (found, expected) in found.iter().zip([-1.645, 0.0, 1.645]) {
            assert!((found - mean - expected).abs() < 0.35, "{found}");
        }
    }
    assert!(quantiles.quantiles(&vec![0; bins.stride()], &[1.5]).is_err());
}

#[test]
fn weights_move_the_rate_and_class_weights_too() {
    let (bins, rows, _, x) = step(2_000);
    let labels: Vec<f32> = (0..2_000).map(|row| f32::from(u8::from(row % 4 == 0))).collect();
    let mean = |weights: &[f32], class_weights: [f64; 2]| {
        let params = ForestParams { trees: 20, max_depth: 1, class_weights, ..ForestParams::default() };
        let forest = Forest::train(&bins, &rows, &labels, weights, &params).unwrap();
        forest.predict(&rows).unwrap().iter().map(|p| f64::from(*p)).sum::<f64>() / x.len() as f64
    };
    assert!((mean(&[], [1.0, 1.0]) - 0.25).abs() < 0.02);
    assert!((mean(&[], [1.0, 3.0]) - 0.5).abs() < 0.02);
    let weights: Vec<f32> = labels.iter().map(|l| 1.0 + 2.0 * l).collect();
    assert!((mean(&weights, [1.0, 1.0]) - 0.5).abs() < 0.02);
}

#[test]
fn leaves_learn_and_forget() {
    let (bins, rows, _, x) = step(2_000);
    let labels: Vec<f32> = x.iter().map(|x| f32::from(u8::from(*x > 0.0))).collect();
    let mut forest = Forest::train(&bins, &rows, &labels, &[], &ForestParams::default()).unwrap();
    let before = brier(&labels, &forest.predict(&rows).unwrap(), &[]);
    let unchanged = forest.predict(&rows).unwrap();
    forest.decay(0.01).unwrap();
    assert_eq!(forest.predict(&rows).unwrap(), unchanged);
    // Good turns bad and the reverse.
    let turned: Vec<f32> = labels.iter().map(|l| 1.0 - l).collect();
    forest.refresh(&rows, &turned, &[]).unwrap();
    let after = brier(&turned, &forest.predict(&rows).unwrap(), &[]);
    assert!(before < 0.02 && after < 0.02, "{before}, {after}");
    let support = forest.support(rows.row(0).unwrap()).unwrap();
    assert!((support.mean - forest.predict_row(rows.row(0).unwrap()).unwrap()).abs() < 1e-5 && support.cover > 1.0);
    let boosted =
        Forest::boost(&bins, &rows, &labels, &[], &BoostParams { rounds: 2, ..BoostParams::default() }).unwrap();
    assert!(boosted.clone().refresh(&rows, &labels, &[]).is_err() && boosted.support(rows.row(0).unwrap()).is_err());
}

#[test]
fn importance_finds_the_column_that_matters_and_groups_take_it_away() {
    let (bins, rows, _, x) = step(1_000);
    let labels: Vec<f32> = x.iter().map(|x| f32::from(u8::from(*x > 0.0))).collect();
    let forest = Forest::train(&bins, &rows, &labels, &[], &ForestParams::default()).unwrap();
    let gains = forest.gain_importance();
    assert!(gains[0] > 0.8 && (gains.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let loss = |p: &[f32]| brier(&labels, p, &[]);
    let costs = |groups: Option<&[u32]>| {
        permutation_importance(&|r| forest.predict(r), &bins, &rows, groups, 3, 1, &loss).unwrap()
    };
    let free = costs(None);
    assert!(free[0] > 0.2 && free[1].abs() < 0.02, "{free:?}");
    // Within groups of one sign the column tells nothing more.
    let signs: Vec<u32> = x.iter().map(|x| u32::from(*x > 0.0)).collect();
    assert!(costs(Some(&signs))[0] < 0.02);
}

#[test]
fn a_missing_value_goes_where_it_belongs() {
    let x: Vec<f32> = (0..400).map(|row| if row % 4 == 0 { f32::NAN } else { (row % 4) as f32 }).collect();
    let labels: Vec<f32> = (0..400).map(|row| f32::from(u8::from(row % 4 < 2))).collect();
    let bins = Bins::fit(&["x"], &[&x], 255).unwrap();
    let rows = bins.encode(&[&x]).unwrap();
    let params = ForestParams { trees: 5, max_depth: 1, min_leaf: 1.0, ..ForestParams::default() };
    let forest = Forest::train(&bins, &rows, &labels, &[], &params).unwrap();
    // Missing belongs to the low values: one split parts {missing, 1} from {2, 3}.
    let shown = bins.encode(&[&[f32::NAN, 1.0, 2.0, 3.0]]).unwrap();
    assert_eq!(forest.predict(&shown).unwrap(), [1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn a_chosen_model_beats_the_base_rate_and_threads_do_not_matter() {
    let (train, test) = (Synthetic::draw(1_500, 8), Synthetic::draw(2_000, 9));
    let bins = Bins::fit(&train.names, &train.slices(), 255).unwrap();
    let rows = bins.encode(&train.slices()).unwrap();
    let choose = |threads| {
        let params = SelectParams { trees: 40, seed: 3, threads, ..SelectParams::default() };
        select(&bins, &rows, &train.labels, &params).unwrap()
    };
    let (one, two) = (choose(1), choose(2));
    assert_eq!(one, two);
    let predicted = one.model.predict(&test.slices()).unwrap();
    let rate = vec![train.labels.iter().sum::<f32>() / 1_500.0; 2_000];
    assert!(log_loss(&test.labels, &predicted, &[]) < 0.85 * log_loss(&test.labels, &rate, &[]));
    assert!(one.validated == 1_500 && !one.candidates.is_empty());
    // Too few rows to judge by: a forest by default parameters.
    let few: Vec<usize> = (0..25).collect();
    let selection = select(&bins, &rows.select(&few), &train.labels[..25], &SelectParams::default()).unwrap();
    assert!(selection.candidates.is_empty() && selection.validated_by == "the trees that had not seen them");
}
