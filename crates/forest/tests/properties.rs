//! What holds for every table: threads do not matter, both ways of predicting agree, SHAP adds up, constraints hold, files
//! survive the round trip and no damage.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use augur_forest::synthetic::Synthetic;
use augur_forest::{
    BinnedRows, Bins, Blended, BoostParams, Calibrator, Contrast, Forest, ForestError, ForestParams, Model, Monotone,
    Objective, Path, Random,
};
use proptest::prelude::*;

/// A small table with missing values, ties and weights, all of them from one seed.
fn table(seed: u64, rows: usize, features: usize) -> (Bins, BinnedRows, Vec<f32>, Vec<f32>) {
    let mut random = Random::new(seed);
    let columns: Vec<Vec<f32>> = (0..features)
        .map(|feature| {
            (0..rows)
                .map(|_| match (feature % 3, random.below(8)) {
                    (0, 0) => f32::NAN,
                    (1, _) => random.below(4) as f32,
                    _ => random.normal() as f32,
                })
                .collect()
        })
        .collect();
    let labels = (0..rows)
        .map(|row| {
            let x = columns[0][row];
            let signal = if x.is_nan() { 0.9 } else { x } + columns[features - 1][row] * 0.5;
            if f64::from(signal) + random.normal() > 0.3 { 1.0 } else { 0.0 }
        })
        .collect();
    let weights = (0..rows).map(|_| random.unit() as f32 + 0.01).collect();
    let names: Vec<String> = (0..features).map(|f| format!("f{f}")).collect();
    let slices: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
    let bins = Bins::fit(&names, &slices, 255).unwrap();
    let rows = bins.encode(&slices).unwrap();
    (bins, rows, labels, weights)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn threads_change_no_byte(seed in 0u64..1_000_000, threads in 2usize..5, weighted: bool, regression: bool) {
        let (bins, rows, labels, weights) = table(seed, 300, 5);
        let weights = if weighted { weights } else { Vec::new() };
        let objective = if regression { Objective::Regression } else { Objective::Classification };
        let params = ForestParams { objective, trees: 11, max_depth: 6, seed, ..ForestParams::default() };
        let (one, bag) = Forest::train_out_of_bag(&bins, &rows, &labels, &weights, &params).unwrap();
        let params = ForestParams { threads, ..params };
        let (many, bag_many) = Forest::train_out_of_bag(&bins, &rows, &labels, &weights, &params).unwrap();
        prop_assert_eq!(one, many);
        prop_assert_eq!(bits(&bag.predictions), bits(&bag_many.predictions));
    }

    #[test]
    fn both_paths_agree_to_the_bit(seed in 0u64..1_000_000, features in 1usize..70, trees in 1usize..20, rows in 1usize..300) {
        let (bins, all, labels, _) = table(seed, 300, features);
        let params = ForestParams { trees, max_depth: 1 + trees % 11, min_leaf: 1.0, seed, ..ForestParams::default() };
        let forest = Forest::train(&bins, &all, &labels, &[], &params).unwrap();
        let some = all.select(&(0..rows).collect::<Vec<_>>());
        let (mut fast, mut portable) = (vec![0.0; rows], vec![0.0; rows]);
        forest.predict_by(Path::Fastest, &some, &mut fast).unwrap();
        forest.predict_by(Path::Portable, &some, &mut portable).unwrap();
        prop_assert_eq!(bits(&fast), bits(&portable));
        let (mut supports, mut by_portable) = (Vec::new(), Vec::new());
        forest.supports(Path::Fastest, &some, &mut supports).unwrap();
        forest.supports(Path::Portable, &some, &mut by_portable).unwrap();
        prop_assert_eq!(&supports, &by_portable);
        let means: Vec<f32> = supports.iter().map(|support| support.mean).collect();
        prop_assert!(means.iter().zip(&portable).all(|(mean, p)| (mean - p).abs() < 1e-5));
        prop_assert_eq!(supports[0], forest.support(some.row(0).unwrap()).unwrap());
    }

    #[test]
    fn contrast_adds_up_and_same_features_get_nothing(seed in 0u64..1_000_000, features in 1usize..12) {
        let (bins, rows, labels, _) = table(seed, 200, features);
        let params = ForestParams { trees: 10, max_depth: 8, min_leaf: 1.0, seed, ..ForestParams::default() };
        let forest = Forest::train(&bins, &rows, &labels, &[], &params).unwrap();
        let mut work = Contrast::default();
        for (a, b) in [(0, 1), (2, 3), (5, 5)] {
            let (row, reference) = (rows.row(a).unwrap(), rows.row(b).unwrap());
            let mut parts = vec![0.0; features];
            forest.contrast(row, reference, &mut work, &mut parts).unwrap();
            let difference = f64::from(forest.predict_row(row).unwrap()) - f64::from(forest.predict_row(reference).unwrap());
            prop_assert!((parts.iter().sum::<f64>() - difference).abs() < 1e-6);
            for (slot, meaning) in bins.slots().iter().enumerate() {
                if row[slot] == reference[slot] && bins.slots().iter().enumerate()
                    .all(|(s, m)| m.feature != meaning.feature || row[s] == reference[s]) {
                    prop_assert_eq!(parts[usize::from(meaning.feature)], 0.0);
                }
            }
        }
    }

    #[test]
    fn constrained_forests_are_monotone_also_after_refreshing(seed in 0u64..1_000_000, falling: bool) {
        let (bins, rows, labels, _) = table(seed, 300, 4);
        let sign = if falling { Monotone::Decreasing } else { Monotone::Increasing };
        let monotone = vec![Monotone::Free, Monotone::Free, sign, Monotone::Free];
        let params = ForestParams { trees: 9, max_depth: 7, min_leaf: 2.0, monotone, seed, ..ForestParams::default() };
        let mut forest = Forest::train(&bins, &rows, &labels, &[], &params).unwrap();
        let mut random = Random::new(seed);
        for refreshed in [false, true] {
            if refreshed {
                let noise: Vec<f32> = (0..rows.len()).map(|_| random.below(2) as f32).collect();
                forest.decay(0.5).unwrap();
                forest.refresh(&rows, &noise, &[]).unwrap();
            }
            for _ in 0..10 {
                let base = [random.normal() as f32, random.below(4) as f32, 0.0, f32::NAN];
                let mut line = bins.rows();
                for step in 0..60 {
                    line.push(&bins, &[base[0], base[1], step as f32 / 10.0 - 3.0, base[3]]).unwrap();
                }
                let values = forest.predict(&line).unwrap();
                let ordered = values.windows(2).all(|v| if falling { v[0] >= v[1] - 1e-6 } else { v[0] <= v[1] + 1e-6 });
                prop_assert!(ordered, "{:?}", values);
            }
        }
    }

    #[test]
    fn files_come_back_as_they_were(seed in 0u64..1_000_000, constrained: bool, kind in 0usize..3) {
        let model = small_model(seed, constrained, kind);
        let bytes = model.to_bytes();
        let read = Model::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&read.to_bytes(), &bytes);
        prop_assert_eq!(read.forest, model.forest);
        prop_assert_eq!(read.blended, model.blended);
        prop_assert_eq!(read.calibrator, model.calibrator);
        prop_assert_eq!(read.metadata, model.metadata);
    }

    #[test]
    fn foreign_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), magic: bool) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 12 {
            bytes[..12].copy_from_slice(b"AUGURFST\x01\0\0\0");
        }
        prop_assert!(Model::from_bytes(&bytes).is_err());
    }
}

fn small_model(seed: u64, constrained: bool, kind: usize) -> Model {
    let (bins, rows, labels, weights) = table(seed, 120, 3);
    let monotone = if constrained { vec![Monotone::Increasing; 3] } else { Vec::new() };
    let params = ForestParams { trees: 3, max_depth: 3, monotone, seed, ..ForestParams::default() };
    let forest = Forest::train(&bins, &rows, &labels, &weights, &params).unwrap();
    let predictions = forest.predict(&rows).unwrap();
    let calibrator = match kind {
        0 => Calibrator::Identity,
        1 => Calibrator::platt(&predictions, &labels, &[]).unwrap(),
        _ => Calibrator::isotonic(&predictions, &labels, &[]).unwrap(),
    };
    let metadata = BTreeMap::from([("seed".to_owned(), seed.to_string())]);
    let boosted = BoostParams { rounds: 3, max_depth: 2, min_rows: 5, seed, ..BoostParams::default() };
    let blended = (kind == 1)
        .then(|| Blended { forest: Forest::boost(&bins, &rows, &labels, &weights, &boosted).unwrap(), share: 0.25 });
    Model { bins, forest, blended, calibrator, metadata }
}

#[test]
fn every_changed_byte_and_every_cut_is_refused() {
    let bytes = small_model(7, true, 2).to_bytes();
    assert!(Model::from_bytes(&bytes).is_ok());
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(matches!(Model::from_bytes(&damaged), Err(ForestError::File(_))), "byte {at}");
        assert!(matches!(Model::from_bytes(&bytes[..at]), Err(ForestError::File(_))), "cut at {at}");
    }
    let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
    assert!(Model::from_bytes(&longer).is_err());
}

#[test]
fn a_model_for_other_columns_is_refused_by_name() {
    let model = small_model(1, false, 0);
    assert!(model.expect_features(&["f0", "f1", "f2"]).is_ok());
    let error = model.expect_features(&["f0", "other", "f2"]).unwrap_err().to_string();
    assert!(error.contains("f1") && error.contains("other"), "{error}");
    assert!(model.expect_features(&["f0"]).is_err());
}

#[test]
fn a_forest_learns_what_can_be_known() {
    let (train, test) = (Synthetic::draw(20_000, 3), Synthetic::draw(10_000, 4));
    let bins = Bins::fit(&train.names, &train.slices(), 255).unwrap();
    let rows = bins.encode(&train.slices()).unwrap();
    let (forest, bag) = Forest::train_out_of_bag(&bins, &rows, &train.labels, &[], &ForestParams::default()).unwrap();
    let predicted = forest.predict(&bins.encode(&test.slices()).unwrap()).unwrap();
    let (auc, possible) =
        (augur_forest::auc(&test.labels, &predicted, &[]), augur_forest::auc(&test.labels, &test.truth, &[]));
    assert!(auc > possible - 0.03, "AUC {auc}, possible {possible}");
    let held_out = augur_forest::auc(&train.labels, &bag.predictions, &[]);
    assert!((auc - held_out).abs() < 0.015, "out of bag {held_out}, on new rows {auc}");
}

#[test]
fn bad_input_is_told() {
    let (bins, rows, labels, _) = table(1, 50, 3);
    let params = ForestParams::default();
    let train = |labels: &[f32], weights: &[f32]| Forest::train(&bins, &rows, labels, weights, &params).unwrap_err();
    assert!(train(&labels[1..], &[]).to_string().contains("labels: expected 50, found 49"));
    assert!(train(&[1.0; 50], &[]).to_string().contains("both 0 and 1"));
    assert!(train(&[0.5; 50], &[]).to_string().contains("0 or 1"));
    assert!(train(&labels, &[-1.0; 50]).to_string().contains("weight is -1"));
    assert!(train(&labels, &[0.0; 50]).to_string().contains("positive weight"));
    let deep = ForestParams { max_depth: 99, ..ForestParams::default() };
    assert!(Forest::train(&bins, &rows, &labels, &[], &deep).unwrap_err().to_string().contains("max_depth"));
}
