//! Gradient boosting on the same codes and by the same tree grower: [`Forest::boost`], the forest's challenger.
//!
//! Newton boosting (Friedman 2001; Chen and Guestrin 2016): each tree fits the gradients of the loss, weighted by its second
//! derivatives, on a random part of the rows and of the columns.

use crate::bins::{BinnedRows, Bins};
use crate::error::ForestError;
use crate::forest::{Forest, Output};
use crate::random::Random;
use crate::train::grow::{Shape, Workspace, columns, grow, pack};
use crate::train::sample::{SUM, check_rows, leaf_of};
use crate::train::{Monotone, Objective, draw_columns};
use crate::tree::TreeNode;

/// Parameters of gradient boosting.
#[derive(Debug, Clone, PartialEq)]
pub struct BoostParams {
    /// What is learned: log-odds by log-loss, or numbers by squared error.
    pub objective: Objective,
    /// How many trees.
    pub rounds: usize,
    /// What share of its step each tree takes.
    pub learning_rate: f64,
    /// The longest way from a root to a leaf, at most 32.
    pub max_depth: usize,
    /// The fewest rows of a leaf.
    pub min_rows: usize,
    /// Added to the sum of second derivatives of a leaf.
    pub lambda: f64,
    /// Rows drawn for each tree without replacement, as a share of all.
    pub sample: f64,
    /// Features that a tree may use, drawn for each tree, as a share of all.
    pub columns: f64,
    /// One constraint for each feature; empty when none is constrained.
    pub monotone: Vec<Monotone>,
    /// Determines every random choice.
    pub seed: u64,
}

impl Default for BoostParams {
    fn default() -> Self {
        Self {
            objective: Objective::Classification,
            rounds: 200,
            learning_rate: 0.05,
            max_depth: 4,
            min_rows: 20,
            lambda: 1.0,
            sample: 0.8,
            columns: 0.5,
            monotone: Vec::new(),
            seed: 1,
        }
    }
}

impl BoostParams {
    fn check(&self, bins: &Bins) -> Result<(), ForestError> {
        if self.rounds == 0 || self.rounds > 10_000 {
            return Err(ForestError::parameter("rounds", self.rounds, "between 1 and 10,000"));
        }
        if self.max_depth == 0 || self.max_depth > 32 {
            return Err(ForestError::parameter("max_depth", self.max_depth, "between 1 and 32"));
        }
        let shares = [("learning_rate", self.learning_rate), ("sample", self.sample), ("columns", self.columns)];
        if let Some((name, found)) = shares.into_iter().find(|(_, share)| !(*share > 0.0 && *share <= 1.0)) {
            return Err(ForestError::parameter(name, found, "above 0 and at most 1"));
        }
        if !(self.lambda >= 0.0 && self.lambda.is_finite()) {
            return Err(ForestError::parameter("lambda", self.lambda, "0 or more"));
        }
        if !self.monotone.is_empty() && self.monotone.len() != bins.features().len() {
            return Err(ForestError::shape("monotone constraints", bins.features().len(), self.monotone.len()));
        }
        Ok(())
    }
}

impl Forest {
    /// Trains boosted trees. `weights` is empty when all rows weigh the same.
    ///
    /// # Errors
    /// As [`Forest::train`].
    pub fn boost(
        bins: &Bins,
        rows: &BinnedRows,
        labels: &[f32],
        weights: &[f32],
        params: &BoostParams,
    ) -> Result<Self, ForestError> {
        params.check(bins)?;
        if rows.stride() != bins.stride() {
            return Err(ForestError::shape("bytes of a row", bins.stride(), rows.stride()));
        }
        let binary = params.objective == Objective::Classification;
        check_rows(rows.len(), labels, weights, binary)?;
        let weight = |row: usize| weights.get(row).map_or(1.0, |w| f64::from(*w));
        let total: f64 = (0..rows.len()).map(weight).sum();
        let mean = (0..rows.len()).map(|row| weight(row) * f64::from(labels[row])).sum::<f64>() / total;
        let start = if binary { (mean / (1.0 - mean)).ln() } else { mean };

        let signs: Vec<i8> = params.monotone.iter().map(|m| m.sign()).collect();
        let columns: Vec<_> = columns(bins, &signs).into_iter().filter(|c| c.codes > 1 || c.missing).collect();
        let per_tree = ((columns.len() as f64 * params.columns).ceil() as usize).max(1);
        let mut scores = vec![start as f32; rows.len()];
        let mut packed = vec![0; rows.len()];
        let mut work = Workspace::default();
        let mut trees: Vec<Vec<TreeNode>> = Vec::with_capacity(params.rounds);
        for round in 0..params.rounds {
            let mut random = Random::stream(params.seed, round as u64);
            // The negative gradient is at most this times the second derivative's bound, 1, for log-odds.
            let greatest = match binary {
                true => 1.0,
                false => (labels.iter().zip(&scores)).map(|(y, s)| f64::from((y - s).abs())).fold(1e-30, f64::max),
            };
            let unit = total / SUM;
            for (row, packed) in packed.iter_mut().enumerate() {
                let (score, label, w) = (f64::from(scores[row]), f64::from(labels[row]), weight(row));
                let drawn = params.sample >= 1.0 || random.unit() < params.sample;
                let (pull, curve) = if binary {
                    let p = 1.0 / (1.0 + (-score).exp());
                    (label - p, p * (1.0 - p))
                } else {
                    ((label - score) / greatest, 1.0)
                };
                let whole = (w * curve / unit).round().max(1.0);
                *packed = if drawn && w > 0.0 { pack(whole as u32, (w * pull / unit).round() as i32) } else { 0 };
            }
            let shape = Shape {
                max_depth: params.max_depth,
                min_weight: 1,
                min_rows: params.min_rows.max(1),
                mtry: per_tree,
                lambda: (params.lambda / unit) as f32,
                min_gain: 1e-6,
                pure_targets: false,
            };
            let columns = draw_columns(&columns, per_tree, &mut random);
            let mut nodes = grow(rows, &packed, &columns, &shape, &mut random, &mut work);
            let step = (params.learning_rate * greatest) as f32;
            for node in &mut nodes {
                node.value *= step;
                node.lower *= step;
                node.upper *= step;
                node.cover *= unit as f32;
                node.gain *= (unit * greatest * greatest) as f32;
            }
            for (score, row) in scores.iter_mut().zip(rows.codes().chunks_exact(rows.stride())) {
                *score += nodes[leaf_of(&nodes, row)].value;
            }
            trees.push(nodes);
        }
        let start = start as f32;
        Self::from_trees(bins, &trees, if binary { Output::Logistic(start) } else { Output::Sum(start) })
    }

    /// Predictions of the first `every`, `2 · every`, … trees, up to all of them: how a boosted forest would predict had it been
    /// stopped there.
    ///
    /// # Errors
    /// When the rows are of another schema.
    pub fn predict_stages(&self, rows: &BinnedRows, every: usize) -> Result<Vec<Vec<f32>>, ForestError> {
        self.check(rows)?;
        let mut sums = vec![0.0f32; rows.len()];
        let mut stages = Vec::new();
        for (done, (group, lane)) in self.lanes().enumerate() {
            let group = &self.groups[group];
            for (sum, row) in sums.iter_mut().zip(rows.codes().chunks_exact(rows.stride())) {
                *sum += group.values[group.leaf_of(lane, row)];
            }
            if (done + 1) % every.max(1) == 0 || done + 1 == self.trees() {
                let mut stage = sums.clone();
                self.finish(&mut stage, done + 1);
                stages.push(stage);
            }
        }
        Ok(stages)
    }
}
