//! Models of LightGBM and XGBoost predict here what they predict there. Fixtures come from `scripts/oracles/import_fixtures.py`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use augur_forest::{ForestError, Model, Random, import};

const PREDICTIONS: &str = include_str!("fixtures/predictions.csv");
const LIGHTGBM_BINARY: &str = include_str!("fixtures/lightgbm_binary.txt");
const XGBOOST_BINARY: &str = include_str!("fixtures/xgboost_binary.json");

/// Columns of inputs, and what the library predicted by the model of that name.
fn rows(model: &str) -> (Vec<Vec<f32>>, Vec<f64>) {
    let mut lines = PREDICTIONS.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let at = header.iter().position(|name| *name == model).unwrap();
    let mut inputs = vec![Vec::new(); 4];
    let mut expected = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        for (column, cell) in inputs.iter_mut().zip(&cells) {
            column.push(if cell.is_empty() { f32::NAN } else { cell.parse().unwrap() });
        }
        expected.push(cells[at].parse().unwrap());
    }
    (inputs, expected)
}

fn agrees(name: &str, model: &Model) {
    let (inputs, expected) = rows(name);
    let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let predicted = model.predict(&slices).unwrap();
    for (row, (ours, theirs)) in predicted.iter().zip(&expected).enumerate() {
        assert!((f64::from(*ours) - theirs).abs() < 2e-6, "{name}, row {row}: {ours} here, {theirs} there");
    }
    // The model file keeps it.
    assert_eq!(Model::from_bytes(&model.to_bytes()).unwrap().predict(&slices).unwrap(), predicted);
}

#[test]
fn models_of_lightgbm_predict_the_same() {
    agrees("lightgbm_binary", &import::lightgbm(LIGHTGBM_BINARY).unwrap());
    agrees("lightgbm_forest", &import::lightgbm(include_str!("fixtures/lightgbm_forest.txt")).unwrap());
    agrees("lightgbm_regression", &import::lightgbm(include_str!("fixtures/lightgbm_regression.txt")).unwrap());
}

#[test]
fn models_of_xgboost_predict_the_same() {
    agrees("xgboost_binary", &import::xgboost(XGBOOST_BINARY).unwrap());
    agrees("xgboost_forest", &import::xgboost(include_str!("fixtures/xgboost_forest.json")).unwrap());
    agrees("xgboost_regression", &import::xgboost(include_str!("fixtures/xgboost_regression.json")).unwrap());
}

#[test]
fn a_number_on_a_threshold_goes_where_the_library_sends_it() {
    // One split at 1.5: LightGBM sends it left, XGBoost right.
    let tree = "Tree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nsplit_gain=1\nthreshold=1.5\ndecision_type=2\n\
                left_child=-1\nright_child=-2\nleaf_value=-1 1\nleaf_weight=1 1\n";
    let text = format!("tree\nnum_class=1\nobjective=regression\nfeature_names=a\n\n{tree}\nend of trees\n");
    let line: &[f32] = &[1.4, 1.5, 1.6];
    assert_eq!(import::lightgbm(&text).unwrap().predict(&[line]).unwrap(), [-1.0, -1.0, 1.0]);
    let json = r#"{"learner":{"feature_names":[],"learner_model_param":{"base_score":"[0E0]","num_class":"0","num_feature":"1"},
        "objective":{"name":"reg:squarederror"},"gradient_booster":{"name":"gbtree","model":{"trees":[{"left_children":[1,-1,-1],
        "right_children":[2,-1,-1],"split_indices":[0,0,0],"split_conditions":[1.5,-1,1],"default_left":[0,0,0],
        "loss_changes":[1,0,0],"sum_hessian":[2,1,1]}]}}}}"#;
    assert_eq!(import::xgboost(json).unwrap().predict(&[line]).unwrap(), [-1.0, 1.0, 1.0]);
}

#[test]
fn more_thresholds_than_a_byte_counts_take_several_slots() {
    let leaves = 601;
    let list = |make: &dyn Fn(i64) -> String| (0..leaves - 1).map(make).collect::<Vec<_>>().join(" ");
    // A chain of splits at 0, 1, 2, …: the leaf's number is the count of thresholds below.
    let chain = format!(
        "tree\nnum_class=1\nobjective=regression\nfeature_names=a\n\nTree=0\nnum_leaves={leaves}\nnum_cat=0\n\
         split_feature={}\nsplit_gain={}\nthreshold={}\ndecision_type={}\nleft_child={}\nright_child={}\nleaf_value={}\n\n",
        list(&|_| "0".to_owned()),
        list(&|_| "1".to_owned()),
        list(&|i| i.to_string()),
        list(&|_| "8".to_owned()),
        list(&|i| format!("-{}", i + 1)),
        list(&|i| if i == leaves - 2 { format!("-{leaves}") } else { (i + 1).to_string() }),
        (0..leaves).map(|i| i.to_string()).collect::<Vec<_>>().join(" "),
    );
    let split = |cut: i64| {
        format!(
            "Tree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nsplit_gain=1\nthreshold={cut}\ndecision_type=8\nleft_child=-1\n\
             right_child=-2\nleaf_value=0 1\n\n"
        )
    };
    let stumps: String = (0..600).map(split).collect();
    let text = format!("tree\nnum_class=1\nobjective=regression\nfeature_names=a\n\n{stumps}end of trees\n");
    let chain = import::lightgbm(&chain).unwrap();
    let model = import::lightgbm(&text).unwrap();
    let values: Vec<f32> = vec![-1.0, 0.0, 0.5, 252.0, 252.5, 253.0, 253.5, 254.0, 599.0, 600.0, f32::NAN];
    let expected = [0.0, 0.0, 1.0, 252.0, 253.0, 253.0, 254.0, 254.0, 599.0, 600.0, 600.0];
    assert_eq!(model.predict(&[&values]).unwrap(), expected);
    assert_eq!(chain.predict(&[&values]).unwrap(), expected);
}

#[test]
fn what_is_no_model_or_not_supported_is_told() {
    let refused = |model: Result<Model, ForestError>, what: &str| {
        let error = model.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    refused(import::lightgbm("{}"), "does not begin with `tree`");
    refused(import::lightgbm(&LIGHTGBM_BINARY.replace("num_class=1", "num_class=3")), "several classes");
    refused(import::lightgbm(&LIGHTGBM_BINARY.replace("objective=binary", "objective=lambdarank")), "lambdarank");
    refused(import::lightgbm(&LIGHTGBM_BINARY.replacen("num_cat=0", "num_cat=1", 1)), "categorical");
    refused(import::lightgbm(&LIGHTGBM_BINARY.replacen("left_child=", "left_child=9", 1)), "tree");
    let cut = LIGHTGBM_BINARY.find("Tree=3").unwrap();
    refused(import::lightgbm(&LIGHTGBM_BINARY[..cut + 60]), "has no");
    refused(import::xgboost("binf"), "expected a value");
    refused(import::xgboost(&XGBOOST_BINARY[..XGBOOST_BINARY.len() / 2]), "expected");
    refused(import::xgboost(&XGBOOST_BINARY.replace("\"gbtree\"", "\"dart\"")), "not gbtree");
    refused(import::xgboost(&XGBOOST_BINARY.replace("binary:logistic", "rank:pairwise")), "rank:pairwise");
    refused(import::xgboost(&"[".repeat(100_000)), "less nesting");
}

#[test]
fn damaged_models_are_refused_or_read_but_never_fatal() {
    let mut random = Random::new(1);
    for text in [LIGHTGBM_BINARY, XGBOOST_BINARY] {
        for _ in 0..600 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..3 {
                let at = random.below(bytes.len() as u32) as usize;
                bytes[at] = b"0123456789-.,:=[]{} \n\"e"[random.below(23) as usize];
            }
            let damaged = String::from_utf8(bytes).unwrap();
            for model in [import::lightgbm(&damaged), import::xgboost(&damaged)].into_iter().flatten() {
                let columns = vec![[0.5f32, f32::NAN]; model.bins.features().len()];
                let slices: Vec<&[f32]> = columns.iter().map(<[f32; 2]>::as_slice).collect();
                assert_eq!(model.predict(&slices).unwrap().len(), 2);
            }
        }
    }
}
