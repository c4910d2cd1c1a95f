//! Models trained elsewhere: [`lightgbm`] reads LightGBM's text files, [`xgboost`] XGBoost's JSON files.
//!
//! Thresholds become the edges of bins, rounded to the next number of 32 bits that divides such numbers in the same way; from
//! there on an imported model is like any other. Parity with the libraries is tested on models of theirs (`tests/import.rs`).

mod json;
mod lightgbm;
mod xgboost;

use std::collections::BTreeMap;

use crate::bins::{Bins, Feature};
use crate::calibrate::Calibrator;
use crate::error::ForestError;
use crate::file::Model;
use crate::forest::{Forest, Output};
use crate::tree::TreeNode;

pub use lightgbm::lightgbm;
pub use xgboost::xgboost;

/// A node as other programs have it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Node {
    Split {
        feature: usize,
        /// The greatest number that goes left.
        edge: f32,
        missing_left: bool,
        left: usize,
        right: usize,
        gain: f32,
    },
    Leaf {
        value: f32,
        cover: f32,
    },
}

/// What all formats come down to.
struct Foreign {
    format: &'static str,
    names: Vec<String>,
    /// What a missing value of each feature is read as; NaN when nodes say where it goes.
    fills: Vec<f32>,
    trees: Vec<Vec<Node>>,
    output: Output,
}

impl Foreign {
    fn error(format: &'static str, what: impl Into<String>) -> ForestError {
        ForestError::Import { format, what: what.into() }
    }

    fn into_model(self) -> Result<Model, ForestError> {
        let mut edges: Vec<Vec<f32>> = vec![Vec::new(); self.names.len()];
        for node in self.trees.iter().flatten() {
            if let Node::Split { feature, edge, .. } = node {
                let known = edges.get_mut(*feature).ok_or_else(|| {
                    Self::error(self.format, format!("it splits on feature {feature} of {}", self.names.len()))
                })?;
                known.push(*edge);
            }
        }
        let features = self.names.iter().zip(&self.fills).zip(edges).map(|((name, fill), mut edges)| {
            edges.sort_unstable_by(f32::total_cmp);
            // -0 and 0 divide alike.
            edges.dedup_by(|a, b| a == b);
            // A feature that is not used needs no place in rows.
            let fill = if edges.is_empty() { 0.0 } else { *fill };
            Feature { name: name.clone(), edges, fill }
        });
        let bins = Bins::from_features(features.collect())?;
        let trees: Result<Vec<_>, _> =
            self.trees.iter().enumerate().map(|(t, tree)| self.arrange(&bins, t, tree)).collect();
        let forest = Forest::from_trees(&bins, &trees?, self.output)?;
        let metadata = BTreeMap::from([("source".to_owned(), self.format.to_owned())]);
        Ok(Model { bins, forest, blended: None, calibrator: Calibrator::Identity, metadata })
    }

    /// A tree's nodes in breadth-first order, siblings side by side.
    fn arrange(&self, bins: &Bins, tree: usize, nodes: &[Node]) -> Result<Vec<TreeNode>, ForestError> {
        let mut order = vec![0usize];
        let mut out = Vec::with_capacity(nodes.len());
        let mut at = 0;
        while let Some(index) = order.get(at).copied() {
            at += 1;
            let node = nodes.get(index).filter(|_| order.len() <= nodes.len()).ok_or_else(|| {
                Self::error(self.format, format!("tree {tree}: its nodes are no tree at node {index}"))
            })?;
            out.push(match *node {
                Node::Leaf { value, cover } => TreeNode::leaf(value, cover),
                Node::Split { feature, edge, missing_left, left, right, gain } => {
                    let (slot, threshold) = bins.test(feature, edge, missing_left).ok_or_else(|| {
                        Self::error(
                            self.format,
                            format!("tree {tree}: node {index} tests feature {feature} for {edge}"),
                        )
                    })?;
                    let mut split = TreeNode::leaf(0.0, 0.0);
                    (split.slot, split.threshold, split.left, split.gain) = (slot, threshold, order.len() as u32, gain);
                    order.extend([left, right]);
                    split
                }
            });
        }
        Ok(out)
    }
}
