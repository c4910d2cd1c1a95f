//! [`Forest`]: trained or imported trees over the codes of one schema, and what can be asked of them.

use crate::bins::{BinnedRows, Bins};
use crate::error::ForestError;
use crate::predict::{self, Path};
use crate::tree::{self, Group, TreeNode};

/// How leaves become a prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    /// The mean of the trees: a probability or a number. The output of a random forest.
    Mean,
    /// The sum of the trees and this start.
    Sum(f32),
    /// The logistic function of the sum of the trees and this start. The output of boosting for probabilities.
    Logistic(f32),
}

/// Trees over the codes of one schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    pub(crate) groups: Vec<Group>,
    pub(crate) output: Output,
    pub(crate) stride: usize,
    /// The feature of each slot.
    pub(crate) slot_features: Vec<u16>,
    pub(crate) features: usize,
}

impl Forest {
    /// A forest of given trees over the slots of `bins`.
    ///
    /// # Errors
    /// When something is not a tree, has 65,536 nodes or more, tests a slot that there is not, or a leaf is not finite.
    pub fn from_trees(bins: &Bins, trees: &[Vec<TreeNode>], output: Output) -> Result<Self, ForestError> {
        if trees.is_empty() {
            return Err(ForestError::Data("a forest needs at least one tree".to_owned()));
        }
        Ok(Self {
            groups: tree::pack(trees, bins.slots().len())?,
            output,
            stride: bins.stride(),
            slot_features: bins.slots().iter().map(|s| s.feature).collect(),
            features: bins.features().len(),
        })
    }

    /// The mean of several forests of one kind over the same slots, as one forest: of their predictions, which for random forests
    /// have the same number of trees, or of their log-odds.
    ///
    /// # Errors
    /// When there are none, or they are of different kinds.
    pub fn pooled(bins: &Bins, forests: &[Self]) -> Result<Self, ForestError> {
        let Some(first) = forests.first() else {
            return Err(ForestError::Data("there is no forest to pool".to_owned()));
        };
        let share = 1.0 / forests.len() as f32;
        let (mut start, mut scale) = (0.0, share);
        for forest in forests {
            match (first.output, forest.output) {
                (Output::Mean, Output::Mean) => scale = 1.0,
                (Output::Sum(_), Output::Sum(s)) | (Output::Logistic(_), Output::Logistic(s)) => start += s * share,
                _ => return Err(ForestError::Kind("forests of different kinds cannot be pooled".to_owned())),
            }
        }
        let output = match first.output {
            Output::Mean => Output::Mean,
            Output::Sum(_) => Output::Sum(start),
            Output::Logistic(_) => Output::Logistic(start),
        };
        let mut trees: Vec<Vec<TreeNode>> = forests.iter().flat_map(Self::to_trees).collect();
        for node in trees.iter_mut().flatten() {
            node.value *= scale;
        }
        Self::from_trees(bins, &trees, output)
    }

    /// How many trees there are.
    #[must_use]
    pub fn trees(&self) -> usize {
        self.groups.iter().map(|g| g.trees).sum()
    }

    /// How many leaves all trees have together.
    #[must_use]
    pub fn leaves(&self) -> usize {
        let spare = |group: &Group| usize::from(group.trees < tree::LANES);
        self.groups.iter().map(|g| g.words.iter().filter(|w| w.is_leaf()).count() - spare(g)).sum()
    }

    /// The longest way from a root to a leaf.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.groups.iter().map(|g| g.depth).max().unwrap_or(0)
    }

    /// How leaves become a prediction.
    #[must_use]
    pub fn output(&self) -> Output {
        self.output
    }

    /// Predicts every row, by the fastest code of this machine.
    ///
    /// # Errors
    /// When the rows are of another schema, or `out` is not as long as there are rows.
    pub fn predict_into(&self, rows: &BinnedRows, out: &mut [f32]) -> Result<(), ForestError> {
        self.predict_by(Path::Fastest, rows, out)
    }

    /// Predicts every row by a chosen code; both give equal results.
    ///
    /// # Errors
    /// As [`Forest::predict_into`].
    pub fn predict_by(&self, path: Path, rows: &BinnedRows, out: &mut [f32]) -> Result<(), ForestError> {
        self.check(rows)?;
        if out.len() != rows.len() {
            return Err(ForestError::shape("places for predictions", rows.len(), out.len()));
        }
        self.predict_codes(path, rows.codes(), out);
        Ok(())
    }

    /// Predicts every row.
    ///
    /// # Errors
    /// When the rows are of another schema.
    pub fn predict(&self, rows: &BinnedRows) -> Result<Vec<f32>, ForestError> {
        let mut out = vec![0.0; rows.len()];
        self.predict_into(rows, &mut out)?;
        Ok(out)
    }

    /// Predicts one row of codes, as [`Bins::encode_row`] makes it.
    ///
    /// # Errors
    /// When the row is of another schema.
    pub fn predict_row(&self, row: &[u8]) -> Result<f32, ForestError> {
        if row.len() != self.stride {
            return Err(ForestError::shape("bytes of a row", self.stride, row.len()));
        }
        let mut out = [0.0];
        self.predict_codes(Path::Fastest, row, &mut out);
        Ok(out[0])
    }

    fn predict_codes(&self, path: Path, codes: &[u8], out: &mut [f32]) {
        predict::sums(&self.groups, codes, self.stride, path, out);
        self.finish(out, self.trees());
    }

    /// Makes sums over so many trees predictions.
    pub(crate) fn finish(&self, out: &mut [f32], trees: usize) {
        let mean = 1.0 / trees.max(1) as f32;
        match self.output {
            Output::Mean => out.iter_mut().for_each(|v| *v *= mean),
            Output::Sum(start) => out.iter_mut().for_each(|v| *v += start),
            Output::Logistic(start) => out.iter_mut().for_each(|v| *v = logistic(*v + start)),
        }
    }

    pub(crate) fn check(&self, rows: &BinnedRows) -> Result<(), ForestError> {
        if rows.stride() == self.stride {
            Ok(())
        } else {
            Err(ForestError::shape("bytes of a row", self.stride, rows.stride()))
        }
    }

    /// The trees as they were before packing, in breadth-first order.
    pub(crate) fn to_trees(&self) -> impl Iterator<Item = Vec<TreeNode>> {
        self.lanes().map(|(group, lane)| self.groups[group].unpack(lane))
    }

    /// Each lane that holds a tree: the group and the lane, in the order of the trees.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (usize, usize)> {
        self.groups.iter().enumerate().flat_map(|(g, group)| (0..group.trees).map(move |lane| (g, lane)))
    }
}

/// 1 / (1 + e^-x).
#[must_use]
pub fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
