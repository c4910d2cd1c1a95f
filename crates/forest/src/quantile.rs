//! Quantiles of a label: [`QuantileForest`] keeps, beside a regression forest, which labels came to each leaf.

use crate::bins::{BinnedRows, Bins};
use crate::error::ForestError;
use crate::forest::Forest;
use crate::train::{ForestParams, Objective};

/// Labels kept for a leaf: evenly spaced ranks of those that came, which a quantile of the whole forest hardly notices.
const KEPT: usize = 64;

/// A quantile regression forest (Meinshausen 2006): the distribution of a label is that of the training labels in the leaves that a
/// row comes to, each tree counting the same.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileForest {
    forest: Forest,
    /// For each group and node: where its labels start in `labels`, and one more at the end.
    starts: Vec<Vec<u32>>,
    /// Labels of the leaves, ascending within each.
    labels: Vec<Vec<f32>>,
}

impl QuantileForest {
    /// Trains a regression forest and drops every training row down every tree.
    ///
    /// # Errors
    /// As [`Forest::train`].
    pub fn train(bins: &Bins, rows: &BinnedRows, labels: &[f32], params: &ForestParams) -> Result<Self, ForestError> {
        let params = ForestParams { objective: Objective::Regression, ..params.clone() };
        let forest = Forest::train(bins, rows, labels, &[], &params)?;
        let (mut starts, mut kept) = (Vec::new(), Vec::new());
        for group in &forest.groups {
            let mut by_node: Vec<Vec<f32>> = vec![Vec::new(); group.words.len()];
            for lane in 0..group.trees {
                for (row, label) in rows.codes().chunks_exact(rows.stride()).zip(labels) {
                    by_node[group.leaf_of(lane, row)].push(*label);
                }
            }
            let mut start = vec![0u32];
            let mut all = Vec::new();
            for mut labels in by_node {
                labels.sort_unstable_by(f32::total_cmp);
                let count = labels.len().min(KEPT);
                // The middle of each of `count` equal parts.
                all.extend((0..count).map(|k| labels[(2 * k + 1) * labels.len() / (2 * count)]));
                start.push(all.len() as u32);
            }
            starts.push(start);
            kept.push(all);
        }
        Ok(Self { forest, starts, labels: kept })
    }

    /// The forest, which predicts the mean.
    #[must_use]
    pub fn forest(&self) -> &Forest {
        &self.forest
    }

    /// Quantiles of one row of codes, at levels within [0, 1].
    ///
    /// # Errors
    /// When the row is of another schema or a level is out of range.
    pub fn quantiles(&self, row: &[u8], levels: &[f64]) -> Result<Vec<f32>, ForestError> {
        if row.len() != self.forest.stride {
            return Err(ForestError::shape("bytes of a row", self.forest.stride, row.len()));
        }
        if let Some(level) = levels.iter().find(|level| !(0.0..=1.0).contains(*level)) {
            return Err(ForestError::parameter("level", level, "between 0 and 1"));
        }
        let mut weighted: Vec<(f32, f64)> = Vec::new();
        for (group, lane) in self.forest.lanes() {
            let leaf = self.forest.groups[group].leaf_of(lane, row);
            let (from, to) = (self.starts[group][leaf] as usize, self.starts[group][leaf + 1] as usize);
            let labels = &self.labels[group][from..to];
            weighted.extend(labels.iter().map(|label| (*label, 1.0 / labels.len() as f64)));
        }
        weighted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
        let at = |level: f64| {
            let mut passed = 0.0;
            let reached = weighted.iter().find(|(_, weight)| {
                passed += weight;
                passed >= level * total
            });
            reached.or(weighted.last()).map_or(f32::NAN, |(label, _)| *label)
        };
        Ok(levels.iter().map(|level| at(*level)).collect())
    }
}
