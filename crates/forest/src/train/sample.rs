//! Labels and weights in the trainer's whole numbers, the draw of each tree's rows, and the estimate from rows not drawn.

use crate::bins::BinnedRows;
use crate::error::ForestError;
use crate::forest::Forest;
use crate::random::Random;
use crate::train::grow::{Packed, Units, pack};
use crate::train::{ForestParams, Objective, in_parallel};
use crate::tree::TreeNode;

/// The greatest sum of packed weights or products.
pub(crate) const SUM: f64 = ((1u32 << 31) - 1) as f64;
/// Rows that one thread predicts at a time.
const CHUNK: usize = 4_096;

/// Each row's weight and weight times label.
pub(crate) struct Target {
    weights: Vec<u32>,
    products: Vec<i32>,
    /// Labels and weights as given, for the values of leaves; empty when the whole numbers are exact.
    exact: Vec<(f32, f32)>,
    units: Units,
    /// The label that a product of 0 stands for.
    origin: f64,
    mean_weight: f64,
    binary: bool,
}

impl Target {
    pub fn new(rows: usize, labels: &[f32], weights: &[f32], params: &ForestParams) -> Result<Self, ForestError> {
        let binary = params.objective == Objective::Classification;
        check_rows(rows, labels, weights, binary)?;
        let weigh = |row: usize| {
            let class = if binary { params.class_weights[usize::from(labels[row] == 1.0)] } else { 1.0 };
            weights.get(row).map_or(1.0, |w| f64::from(*w)) * class
        };
        let positive: Vec<usize> = (0..rows).filter(|row| weigh(*row) > 0.0).collect();
        let total: f64 = positive.iter().map(|row| weigh(*row)).sum();
        let same = positive.iter().all(|row| weigh(*row) == weigh(0)) && positive.len() == rows;
        // Equal weights count as 1, which keeps every sum exact. Otherwise twice the expected sum of a draw, and twenty times the
        // greatest weight on top, has to fit: no draw comes near it.
        let greatest = positive.iter().map(|row| weigh(*row)).fold(0.0, f64::max);
        let mean_weight = total / rows as f64;
        let budget = 2.0 * draws(rows, params) as f64 * mean_weight + 20.0 * greatest;
        let units_weight = if same && binary { weigh(0) } else { budget / SUM };
        let (low, high) = positive
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), r| (l.min(labels[*r]), h.max(labels[*r])));
        let origin = if binary { 0.0 } else { f64::from(low) };
        let range = f64::from(high) - origin;
        let units_product = if binary || range == 0.0 { units_weight } else { units_weight * range };
        let mut target = Self {
            weights: Vec::with_capacity(rows),
            products: Vec::with_capacity(rows),
            exact: Vec::new(),
            units: Units { weight: units_weight, product: units_product },
            origin,
            mean_weight,
            binary,
        };
        for (row, label) in labels.iter().enumerate() {
            let weight = weigh(row);
            let whole = (weight / units_weight).round();
            let whole = if weight > 0.0 { whole.max(1.0) } else { 0.0 };
            target.weights.push(whole as u32);
            let product = whole * units_weight * (f64::from(*label) - origin) / units_product;
            target.products.push(product.round() as i32);
        }
        if !binary {
            target.exact = (0..rows).map(|row| (labels[row], weigh(row) as f32)).collect();
        }
        Ok(target)
    }

    pub fn binary(&self) -> bool {
        self.binary
    }

    /// A weight given in average rows, in packed units.
    pub fn in_units(&self, rows: f64) -> u32 {
        (rows * self.mean_weight / self.units.weight).round().min(SUM) as u32
    }

    /// Gives leaves their values and all nodes their covers in the units of labels and weights.
    pub fn settle(&self, rows: &BinnedRows, drawn: &[Packed], nodes: &mut [TreeNode]) {
        let scale = (self.units.product / self.units.weight) as f32;
        let weight = (self.units.weight / self.mean_weight) as f32;
        let origin = self.origin as f32;
        let gain = (self.units.product * self.units.product / self.units.weight) as f32;
        for node in nodes.iter_mut() {
            node.value = node.value * scale + origin;
            node.lower = node.lower * scale + origin;
            node.upper = node.upper * scale + origin;
            node.cover *= weight;
            node.gain *= gain;
        }
        if !self.exact.is_empty() {
            self.settle_exactly(rows, drawn, nodes);
        }
    }

    /// Means of labels as given, because those in whole numbers are rounded.
    fn settle_exactly(&self, rows: &BinnedRows, drawn: &[Packed], nodes: &mut [TreeNode]) {
        let mut sums = vec![(0.0f64, 0.0f64); nodes.len()];
        for (index, packed) in drawn.iter().enumerate().filter(|(_, p)| **p >> 32 != 0) {
            let (Some(row), Some((label, weight))) = (rows.row(index), self.exact.get(index)) else {
                continue;
            };
            let times = (packed >> 32) as f64 / f64::from(self.weights[index].max(1));
            let sum = &mut sums[leaf_of(nodes, row)];
            sum.0 += f64::from(*weight) * times;
            sum.1 += f64::from(*weight) * times * f64::from(*label);
        }
        for (node, (weight, product)) in nodes.iter_mut().zip(sums) {
            if node.left == 0 && weight > 0.0 {
                node.value = ((product / weight) as f32).clamp(node.lower, node.upper);
            }
        }
    }
}

/// The leaf that a row comes to in a tree that is not packed yet.
pub(crate) fn leaf_of(nodes: &[TreeNode], row: &[u8]) -> usize {
    let mut at = 0;
    while nodes[at].left != 0 {
        at = nodes[at].left as usize + usize::from(row[usize::from(nodes[at].slot)] > nodes[at].threshold);
    }
    at
}

/// Refuses labels and weights that cannot be learned from.
pub(crate) fn check_rows(rows: usize, labels: &[f32], weights: &[f32], binary: bool) -> Result<(), ForestError> {
    if rows == 0 {
        return Err(ForestError::Data("there are no rows to train on".to_owned()));
    }
    if labels.len() != rows {
        return Err(ForestError::shape("labels", rows, labels.len()));
    }
    if !weights.is_empty() && weights.len() != rows {
        return Err(ForestError::shape("weights", rows, weights.len()));
    }
    let good = |label: f32| if binary { label == 0.0 || label == 1.0 } else { label.is_finite() };
    if let Some(row) = labels.iter().position(|l| !good(*l)) {
        let expected = if binary { "0 or 1" } else { "finite" };
        return Err(ForestError::Value { row, what: "label", found: labels[row].to_string(), expected });
    }
    if let Some(row) = weights.iter().position(|w| !(*w >= 0.0 && w.is_finite())) {
        let found = weights[row].to_string();
        return Err(ForestError::Value { row, what: "weight", found, expected: "0 or more and finite" });
    }
    let mut counted = (0..rows).filter(|row| weights.get(*row).is_none_or(|w| *w > 0.0));
    let Some(first) = counted.next() else {
        return Err(ForestError::Data("no row has a positive weight".to_owned()));
    };
    if binary && counted.all(|row| labels[row] == labels[first]) {
        let class = labels[first];
        return Err(ForestError::Data(format!("all rows to train on have the label {class}; both 0 and 1 are needed")));
    }
    Ok(())
}

/// How many rows a tree draws.
fn draws(rows: usize, params: &ForestParams) -> usize {
    ((rows as f64 * params.sample).round() as usize).clamp(1, rows.max(1))
}

/// Draws rows for trees.
pub(crate) struct Sampler<'a> {
    target: &'a Target,
    draws: usize,
    replacement: bool,
    seed: u64,
}

impl<'a> Sampler<'a> {
    pub fn new(target: &'a Target, params: &ForestParams) -> Self {
        let draws = draws(target.weights.len(), params);
        Self { target, draws, replacement: params.replacement, seed: params.seed }
    }

    /// Each row's packed target times how often it was drawn.
    pub fn draw(&self, random: &mut Random, packed: &mut Vec<Packed>) {
        let counts = self.counts(random);
        packed.clear();
        let rows = self.target.weights.iter().zip(&self.target.products).zip(counts);
        packed.extend(rows.map(|((weight, product), count)| {
            pack(weight.wrapping_mul(u32::from(count)), product.wrapping_mul(i32::from(count)))
        }));
    }

    fn counts(&self, random: &mut Random) -> Vec<u8> {
        let rows = self.target.weights.len();
        let mut counts = vec![0u8; rows];
        if self.replacement {
            for _ in 0..self.draws {
                let count = &mut counts[random.below(rows as u32) as usize];
                *count = count.saturating_add(1);
            }
        } else {
            // Selection sampling (Knuth, 3.4.2, algorithm S).
            let mut wanted = self.draws;
            for (index, count) in counts.iter_mut().enumerate() {
                if (random.below((rows - index) as u32) as usize) < wanted {
                    *count = 1;
                    wanted -= 1;
                }
            }
        }
        counts
    }
}

/// Predictions of training rows by the trees that did not draw them.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfBag {
    /// One for each row; NaN for a row that every tree drew.
    pub predictions: Vec<f32>,
    /// How many trees each comes from.
    pub trees: Vec<u16>,
}

pub(crate) fn out_of_bag(forest: &Forest, rows: &BinnedRows, sampler: &Sampler<'_>, threads: usize) -> OutOfBag {
    let lanes: Vec<(usize, usize)> = forest.lanes().collect();
    // A bit for each tree and row; drawn again rather than kept by training, which has no other use for them.
    let unseen: Vec<Vec<u64>> = in_parallel(lanes.len(), threads, |tree, (): &mut ()| {
        let counts = sampler.counts(&mut Random::stream(sampler.seed, tree as u64));
        let bits = |chunk: &[u8]| chunk.iter().enumerate().fold(0, |word, (i, c)| word | u64::from(*c == 0) << i);
        counts.chunks(64).map(bits).collect()
    });
    let parts = in_parallel(rows.len().div_ceil(CHUNK), threads, |chunk, (): &mut ()| {
        let start = chunk * CHUNK;
        let end = (start + CHUNK).min(rows.len());
        let mut sums = vec![(0.0f32, 0u16); end - start];
        for (unseen, (group, lane)) in unseen.iter().zip(&lanes) {
            let group = &forest.groups[*group];
            for (offset, sum) in sums.iter_mut().enumerate() {
                let index = start + offset;
                if unseen[index / 64] >> (index % 64) & 1 == 1
                    && let Some(row) = rows.row(index)
                {
                    sum.0 += group.values[group.leaf_of(*lane, row)];
                    sum.1 += 1;
                }
            }
        }
        sums
    });
    let all = parts.into_iter().flatten();
    let (predictions, trees) = all.map(|(sum, trees)| (sum / f32::from(trees), trees)).unzip();
    OutOfBag { predictions, trees }
}
