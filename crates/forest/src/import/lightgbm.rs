//! LightGBM's text files, as `Booster.save_model` writes them (versions 3 and 4).

use std::collections::BTreeMap;

use super::{Foreign, Node};
use crate::error::ForestError;
use crate::file::Model;
use crate::forest::Output;

const FORMAT: &str = "LightGBM text";

/// Reads a model for binary classification or regression, boosted or a random forest. Categorical splits, several classes and
/// `zero_as_missing` are not supported.
///
/// # Errors
/// When the text is no such model; the message names what is missing or not supported.
pub fn lightgbm(text: &str) -> Result<Model, ForestError> {
    let error = |what: String| Foreign::error(FORMAT, what);
    let mut sections = text.split("\n\n").map(pairs);
    let header = sections.next().unwrap_or_default();
    if !text.starts_with("tree\n") && !text.starts_with("tree\r\n") {
        return Err(error("it does not begin with `tree`: save it by save_model, not as JSON or pickle".to_owned()));
    }
    if header.get("num_class").is_some_and(|n| *n != "1") {
        return Err(error("it has several classes; one output is supported".to_owned()));
    }
    let names: Vec<String> = need(&header, "feature_names", "the header")?.split(' ').map(str::to_owned).collect();
    let mut words = need(&header, "objective", "the header")?.split(' ');
    let (objective, mut scale) = (words.next().unwrap_or_default(), 1.0f64);
    let logistic = match objective {
        "binary" | "cross_entropy" => true,
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" => false,
        other => {
            return Err(error(format!("its objective is {other}; binary, cross_entropy and regression are supported")));
        }
    };
    for word in words {
        match word.split_once(':') {
            Some(("sigmoid", factor)) => scale = number(factor, "the objective's sigmoid")?,
            _ if word == "sqrt" => return Err(error("its objective is a regression of square roots".to_owned())),
            _ => {}
        }
    }
    let mut fills = vec![f32::NAN; names.len()];
    let mut trees = Vec::new();
    for section in sections.filter(|s| s.contains_key("Tree")) {
        trees.push(tree(&section, &mut fills)?);
    }
    if header.contains_key("average_output") {
        scale /= trees.len().max(1) as f64;
    }
    for node in trees.iter_mut().flatten() {
        if let Node::Leaf { value, .. } = node {
            *value = (f64::from(*value) * scale) as f32;
        }
    }
    let output = if logistic { Output::Logistic(0.0) } else { Output::Sum(0.0) };
    Foreign { format: FORMAT, names, fills, trees, output }.into_model()
}

/// Lines `key=value`, and lines without value.
fn pairs(section: &str) -> BTreeMap<&str, &str> {
    section.lines().map(|line| line.split_once('=').unwrap_or((line.trim(), ""))).collect()
}

fn need<'a>(section: &BTreeMap<&str, &'a str>, key: &str, place: &str) -> Result<&'a str, ForestError> {
    section.get(key).copied().ok_or_else(|| Foreign::error(FORMAT, format!("{place} has no {key}")))
}

fn number<T: std::str::FromStr>(text: &str, place: &str) -> Result<T, ForestError> {
    text.parse().map_err(|_| Foreign::error(FORMAT, format!("{place} is {text:?}, no such number")))
}

fn numbers<T: std::str::FromStr>(
    section: &BTreeMap<&str, &str>,
    key: &str,
    tree: &str,
    count: usize,
) -> Result<Vec<T>, ForestError> {
    let place = format!("tree {tree}: {key}");
    let all: Vec<T> = need(section, key, &format!("tree {tree}"))?
        .split_whitespace()
        .map(|n| number(n, &place))
        .collect::<Result<_, _>>()?;
    if all.len() == count {
        Ok(all)
    } else {
        Err(Foreign::error(FORMAT, format!("{place} has {} numbers, expected {count}: the file is torn", all.len())))
    }
}

fn tree(section: &BTreeMap<&str, &str>, fills: &mut [f32]) -> Result<Vec<Node>, ForestError> {
    let name = need(section, "Tree", "a tree")?;
    let leaves: usize = number(need(section, "num_leaves", name)?, "num_leaves")?;
    if leaves == 0 || section.get("num_cat").is_some_and(|n| *n != "0") {
        return Err(Foreign::error(
            FORMAT,
            format!("tree {name} has categorical splits or no leaves; neither is supported"),
        ));
    }
    let splits = leaves - 1;
    let values: Vec<f64> = numbers(section, "leaf_value", name, leaves)?;
    let covers: Vec<f32> = match section.get("leaf_weight") {
        Some(text) if !text.is_empty() => numbers(section, "leaf_weight", name, leaves)?,
        _ => vec![0.0; leaves],
    };
    let leaf = |index: usize| Node::Leaf { value: values[index] as f32, cover: covers[index] };
    if splits == 0 {
        return Ok(vec![leaf(0)]);
    }
    let features: Vec<usize> = numbers(section, "split_feature", name, splits)?;
    let thresholds: Vec<f64> = numbers(section, "threshold", name, splits)?;
    let decisions: Vec<u8> = numbers(section, "decision_type", name, splits)?;
    let lefts: Vec<i64> = numbers(section, "left_child", name, splits)?;
    let rights: Vec<i64> = numbers(section, "right_child", name, splits)?;
    let gains: Vec<f32> = numbers(section, "split_gain", name, splits)?;
    // Splits first, then leaves; a negative child is the complement of a leaf's number.
    let place = |child: i64| if child < 0 { splits.saturating_add((!child) as usize) } else { child as usize };
    let mut nodes = Vec::with_capacity(splits + leaves);
    for split in 0..splits {
        let (decision, feature) = (decisions[split], features[split]);
        let unsupported = |what: &str| Err(Foreign::error(FORMAT, format!("tree {name}: {what}")));
        if decision & 1 != 0 {
            return unsupported("a split is categorical, which is not supported");
        }
        match decision >> 2 & 3 {
            // NaN is read as 0 where training saw none.
            0 => fills.iter_mut().skip(feature).take(1).for_each(|fill| *fill = 0.0),
            2 => {}
            _ => return unsupported("it was trained with zero_as_missing, which is not supported"),
        }
        nodes.push(Node::Split {
            feature,
            edge: down(thresholds[split]),
            missing_left: decision & 2 != 0,
            left: place(lefts[split]),
            right: place(rights[split]),
            gain: gains[split],
        });
    }
    nodes.extend((0..leaves).map(leaf));
    Ok(nodes)
}

/// The greatest number of 32 bits that is not above: it divides such numbers as the threshold does.
fn down(threshold: f64) -> f32 {
    let near = threshold as f32;
    if f64::from(near) > threshold { near.next_down() } else { near }
}
