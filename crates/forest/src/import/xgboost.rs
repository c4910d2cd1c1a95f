//! XGBoost's JSON files, as `Booster.save_model("….json")` writes them (versions 1.0 to 3).

use super::json::Json;
use super::{Foreign, Node};
use crate::error::ForestError;
use crate::file::Model;
use crate::forest::Output;

const FORMAT: &str = "XGBoost JSON";

/// Reads a model of `gbtree` for `binary:logistic` or regression by squared error. Categorical splits, several classes, `dart` and
/// `gblinear` are not supported.
///
/// # Errors
/// When the text is no such model; the message names what is missing or not supported.
pub fn xgboost(text: &str) -> Result<Model, ForestError> {
    let error = |what: String| Foreign::error(FORMAT, what);
    let file = Json::parse(text).map_err(error)?;
    let learner = need(&file, "learner")?;
    let parameters = need(learner, "learner_model_param")?;
    let objective = text_of(need(need(learner, "objective")?, "name")?);
    let booster = need(learner, "gradient_booster")?;
    if text_of(need(booster, "name")?) != "gbtree" {
        return Err(error("its booster is not gbtree".to_owned()));
    }
    if parameters.get("num_class").is_some_and(|n| !["0", "1"].contains(&text_of(n))) {
        return Err(error("it has several classes; one output is supported".to_owned()));
    }
    // Version 3 writes a list of one number.
    let base = text_of(need(parameters, "base_score")?).trim_matches(['[', ']']);
    let base: f64 = base.parse().map_err(|_| error(format!("its base_score is {base:?}")))?;
    let output = match objective {
        "binary:logistic" if base > 0.0 && base < 1.0 => Output::Logistic((base / (1.0 - base)).ln() as f32),
        "reg:squarederror" => Output::Sum(base as f32),
        other => return Err(error(format!("its objective is {other} with base_score {base}; not supported"))),
    };
    let model = need(booster, "model")?;
    let trees: Result<Vec<_>, _> =
        list(need(model, "trees")?)?.iter().enumerate().map(|(index, t)| tree(index, t)).collect();
    let count = text_of(need(parameters, "num_feature")?);
    let count: usize = count.parse().map_err(|_| error(format!("its num_feature is {count:?}")))?;
    let mut names: Vec<String> = match learner.get("feature_names") {
        Some(names) => list(names)?.iter().map(|n| text_of(n).to_owned()).collect(),
        None => Vec::new(),
    };
    if names.is_empty() {
        names = (0..count.min(1 << 16)).map(|index| format!("f{index}")).collect();
    }
    let fills = vec![f32::NAN; names.len()];
    Foreign { format: FORMAT, names, fills, trees: trees?, output }.into_model()
}

fn need<'a>(value: &'a Json, key: &str) -> Result<&'a Json, ForestError> {
    value.get(key).ok_or_else(|| Foreign::error(FORMAT, format!("it has no {key}")))
}

fn text_of(value: &Json) -> &str {
    if let Json::Text(text) = value { text } else { "" }
}

fn list(value: &Json) -> Result<&[Json], ForestError> {
    match value {
        Json::List(items) => Ok(items),
        _ => Err(Foreign::error(FORMAT, "a list is missing")),
    }
}

fn numbers(tree: usize, value: &Json, key: &str) -> Result<Vec<f64>, ForestError> {
    let number = |item: &Json| match item {
        Json::Number(number) => Some(*number),
        Json::Bool(yes) => Some(f64::from(u8::from(*yes))),
        _ => None,
    };
    let all: Option<Vec<f64>> = list(need(value, key)?)?.iter().map(number).collect();
    all.ok_or_else(|| Foreign::error(FORMAT, format!("tree {tree}: {key} is no list of numbers")))
}

fn tree(index: usize, value: &Json) -> Result<Vec<Node>, ForestError> {
    let error = |what: &str| Foreign::error(FORMAT, format!("tree {index}: {what}"));
    let lefts = numbers(index, value, "left_children")?;
    let rights = numbers(index, value, "right_children")?;
    let features = numbers(index, value, "split_indices")?;
    let conditions = numbers(index, value, "split_conditions")?;
    let defaults = numbers(index, value, "default_left")?;
    let gains = numbers(index, value, "loss_changes")?;
    let covers = numbers(index, value, "sum_hessian")?;
    let all = [&rights, &features, &conditions, &defaults, &gains, &covers];
    if all.iter().any(|other| other.len() != lefts.len()) || lefts.is_empty() {
        return Err(error("its lists have different lengths"));
    }
    if value.get("split_type").map(list).transpose()?.is_some_and(|types| types.contains(&Json::Number(1.0))) {
        return Err(error("a split is categorical, which is not supported"));
    }
    Ok((0..lefts.len())
        .map(|node| match lefts[node] {
            left if left < 0.0 => Node::Leaf { value: conditions[node] as f32, cover: covers[node] as f32 },
            left => Node::Split {
                feature: features[node] as usize,
                // Numbers below the condition go left, that is up to the one before it.
                edge: (conditions[node] as f32).next_down(),
                missing_left: defaults[node] != 0.0,
                left: left as usize,
                right: rights[node] as usize,
                gain: gains[node] as f32,
            },
        })
        .collect())
}
