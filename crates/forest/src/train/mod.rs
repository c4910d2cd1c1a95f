//! Training of a random forest: [`Forest::train`].
//!
//! Each tree has a random stream of its own, drawn from the seed and its number, and writes only its own result; threads take
//! whole trees. So the forest is the same to the last byte however many threads there are.

mod boost;
pub(crate) mod grow;
mod sample;
mod split;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bins::{BinnedRows, Bins};
use crate::error::ForestError;
use crate::forest::{Forest, Output};
use crate::random::Random;
use crate::tree::TreeNode;
pub use boost::BoostParams;
use grow::{Column, Shape, Workspace, columns, grow};
pub use sample::OutOfBag;
pub(crate) use sample::check_rows;
use sample::{Sampler, Target};

/// What is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The probability of label 1; labels are 0 or 1.
    Classification,
    /// The mean of the label, any finite number. Splits see it on a scale of 2^31 steps for the sum over all rows, so a label
    /// with a heavy tail is better given as its logarithm.
    Regression,
}

/// How the prediction may change as a feature's value rises, all others being equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Monotone {
    /// Both ways.
    #[default]
    Free,
    /// It must not fall.
    Increasing,
    /// It must not rise.
    Decreasing,
}

impl Monotone {
    pub(crate) fn sign(self) -> i8 {
        match self {
            Self::Free => 0,
            Self::Increasing => 1,
            Self::Decreasing => -1,
        }
    }
}

/// Parameters of a random forest.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestParams {
    /// What is learned.
    pub objective: Objective,
    /// How many trees.
    pub trees: usize,
    /// The longest way from a root to a leaf, at most 32.
    pub max_depth: usize,
    /// The least weight of a leaf, in weights of an average row.
    pub min_leaf: f64,
    /// Columns tried at each node; 0 is the square root of the tree's columns, rounded up. When none of them can be split, more are
    /// tried.
    pub mtry: usize,
    /// Features that a tree may use, drawn for each tree (Ho's random subspaces, 1998), as a share of all.
    pub columns: f64,
    /// Rows drawn for a tree, as a share of all rows.
    pub sample: f64,
    /// True draws with replacement (the bootstrap), false without.
    pub replacement: bool,
    /// Factors on the weights of rows with label 0 and with label 1.
    pub class_weights: [f64; 2],
    /// One constraint for each feature; empty when none is constrained.
    pub monotone: Vec<Monotone>,
    /// Determines every random choice.
    pub seed: u64,
    /// Threads that grow trees; the result does not depend on it.
    pub threads: usize,
}

impl Default for ForestParams {
    fn default() -> Self {
        Self {
            objective: Objective::Classification,
            trees: 100,
            max_depth: 10,
            min_leaf: 5.0,
            mtry: 0,
            columns: 1.0,
            sample: 1.0,
            replacement: true,
            class_weights: [1.0, 1.0],
            monotone: Vec::new(),
            seed: 1,
            threads: 1,
        }
    }
}

impl ForestParams {
    fn check(&self, bins: &Bins) -> Result<(), ForestError> {
        if self.trees == 0 || self.trees > 10_000 {
            return Err(ForestError::parameter("trees", self.trees, "between 1 and 10,000"));
        }
        if self.max_depth == 0 || self.max_depth > 32 {
            return Err(ForestError::parameter("max_depth", self.max_depth, "between 1 and 32"));
        }
        if !(self.sample > 0.0 && self.sample <= 1.0) {
            return Err(ForestError::parameter("sample", self.sample, "above 0 and at most 1"));
        }
        if !(self.columns > 0.0 && self.columns <= 1.0) {
            return Err(ForestError::parameter("columns", self.columns, "above 0 and at most 1"));
        }
        if !(self.min_leaf >= 0.0 && self.min_leaf.is_finite()) {
            return Err(ForestError::parameter("min_leaf", self.min_leaf, "0 or more"));
        }
        if !self.class_weights.iter().all(|w| *w > 0.0 && w.is_finite()) {
            return Err(ForestError::parameter("class_weights", format!("{:?}", self.class_weights), "above 0"));
        }
        if !self.monotone.is_empty() && self.monotone.len() != bins.features().len() {
            return Err(ForestError::shape("monotone constraints", bins.features().len(), self.monotone.len()));
        }
        Ok(())
    }
}

impl Forest {
    /// Trains a random forest. `weights` is empty when all rows weigh the same.
    ///
    /// # Errors
    /// When sizes do not fit, a parameter is out of range, a label is not 0 or 1 (classification) or not finite (regression), a
    /// weight is negative or not finite, or there is nothing to learn from: no rows of positive weight, or one class only.
    pub fn train(
        bins: &Bins,
        rows: &BinnedRows,
        labels: &[f32],
        weights: &[f32],
        params: &ForestParams,
    ) -> Result<Self, ForestError> {
        let (target, trees) = train_trees(bins, rows, labels, weights, params)?;
        let _ = target;
        Self::from_trees(bins, &trees, Output::Mean)
    }

    /// Trains a random forest as [`Forest::train`] does, and predicts each row by the trees that did not see it.
    ///
    /// # Errors
    /// As [`Forest::train`].
    pub fn train_out_of_bag(
        bins: &Bins,
        rows: &BinnedRows,
        labels: &[f32],
        weights: &[f32],
        params: &ForestParams,
    ) -> Result<(Self, OutOfBag), ForestError> {
        let (target, trees) = train_trees(bins, rows, labels, weights, params)?;
        let forest = Self::from_trees(bins, &trees, Output::Mean)?;
        let sampler = Sampler::new(&target, params);
        let out_of_bag = sample::out_of_bag(&forest, rows, &sampler, params.threads);
        Ok((forest, out_of_bag))
    }
}

fn train_trees(
    bins: &Bins,
    rows: &BinnedRows,
    labels: &[f32],
    weights: &[f32],
    params: &ForestParams,
) -> Result<(Target, Vec<Vec<TreeNode>>), ForestError> {
    params.check(bins)?;
    if rows.stride() != bins.stride() {
        return Err(ForestError::shape("bytes of a row", bins.stride(), rows.stride()));
    }
    let target = Target::new(rows.len(), labels, weights, params)?;
    let signs: Vec<i8> = params.monotone.iter().map(|m| m.sign()).collect();
    let columns = columns(bins, &signs);
    let columns: Vec<_> = columns.into_iter().filter(|c| c.codes > 1 || c.missing).collect();
    let per_tree = ((columns.len() as f64 * params.columns).ceil() as usize).max(1);
    let mtry = if params.mtry == 0 { (per_tree as f64).sqrt().ceil() as usize } else { params.mtry.min(per_tree) };
    let shape = Shape {
        max_depth: params.max_depth,
        min_weight: target.in_units(params.min_leaf),
        min_rows: 1,
        mtry,
        lambda: 0.0,
        min_gain: 0.0,
        pure_targets: target.binary(),
    };
    let sampler = Sampler::new(&target, params);
    let trees = in_parallel(params.trees, params.threads, |index, work: &mut (Workspace, Vec<u64>)| {
        let mut random = Random::stream(params.seed, index as u64);
        let (work, packed) = work;
        sampler.draw(&mut random, packed);
        let columns = draw_columns(&columns, per_tree, &mut random);
        let mut nodes = grow(rows, packed, &columns, &shape, &mut random, work);
        target.settle(rows, packed, &mut nodes);
        nodes
    });
    Ok((target, trees))
}

/// Some of the columns, in their order; all of them without a draw.
pub(crate) fn draw_columns(columns: &[Column], wanted: usize, random: &mut Random) -> Vec<Column> {
    if wanted >= columns.len() {
        return columns.to_vec();
    }
    let mut order: Vec<usize> = (0..columns.len()).collect();
    random.shuffle(&mut order);
    order.truncate(wanted);
    order.sort_unstable();
    order.into_iter().map(|index| columns[index]).collect()
}

/// Calls `make` for 0, 1, … on some threads, each with memory of its own, and returns the results in order.
pub(crate) fn in_parallel<T: Send, W: Default>(
    count: usize,
    threads: usize,
    make: impl Fn(usize, &mut W) -> T + Sync,
) -> Vec<T> {
    let threads = threads.clamp(1, count.max(1));
    if threads == 1 {
        let mut work = W::default();
        return (0..count).map(|index| make(index, &mut work)).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut work = W::default();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    let made = make(index, &mut work);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, made));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, made)| made).collect()
}
