//! Choosing a model for a table: [`select`] tries forests, boosted trees and blends of both.
//!
//! Candidates are judged by predictions of rows that they were not trained on. Rows in the order of time are predicted by forward
//! chaining: they are cut into blocks, and each block is predicted by what was trained on the blocks before it, as the model will be
//! used. Where rows are few, or groups of them will be new, each block is predicted by what was trained on all others ([`Order`]).
//! The log-loss of these predictions chooses the candidate and the calibrator, which is then fitted on all of them; the chosen
//! model is trained again on all rows. Nothing but the training rows is looked at.

use std::collections::BTreeMap;

use crate::bins::{BinnedRows, Bins};
use crate::calibrate::Calibrator;
use crate::error::ForestError;
use crate::file::{Blended, Model, mix};
use crate::forest::Forest;
use crate::metrics::log_loss;
use crate::train::{BoostParams, ForestParams, in_parallel};

/// Blocks that the rows are cut into; the first two are only trained on.
const BLOCKS: usize = 6;
const FIRST: usize = 2;
/// The fewest rows of either class that a fold may train on.
const MIN_CLASS: usize = 20;
/// The same where each block is predicted by all others.
const MIN_CLASS_OF_OTHERS: usize = 10;
/// Below this many rows each block is predicted by all others: what a third of them teaches says little of what all do, in
/// particular how bold the model will be, and that matters more than what time changes.
const FEW_ROWS: usize = 2_000;
/// The search looks at this many of the latest rows at most; the chosen model is trained on all.
const SEARCH_ROWS: usize = 20_000;
/// Boosted forests of different seeds that are pooled in the end: their mean varies less.
const BOOSTED: usize = 4;
/// Boosted trees are judged after every so many.
const STAGE: usize = 25;
/// Shares of the boosted trees that are tried in a blend, the most even first: it errs least when it errs.
const SHARES: [f32; 3] = [0.5, 0.0, 1.0];

/// Stretches of time that standard errors come from.
const STRETCHES: usize = 20;

/// What the order of rows means.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Order {
    /// Rows are in the order of time, and what is to be predicted comes after them.
    #[default]
    Time,
    /// What is to be predicted belongs to groups that are not among these, one number for each row: a group is predicted by what was
    /// trained on others.
    NewGroups(Vec<u32>),
}

/// What the search may do.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectParams {
    /// Trees of the chosen forest; half as many while searching.
    pub trees: usize,
    /// Determines every random choice.
    pub seed: u64,
    /// Threads; the result does not depend on it.
    pub threads: usize,
    /// What the order of rows means.
    pub order: Order,
}

impl Default for SelectParams {
    fn default() -> Self {
        Self { trees: 500, seed: 1, threads: 1, order: Order::Time }
    }
}

/// One way to train that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its parameters in words.
    pub name: String,
    /// The log-loss of its forward predictions after Platt's scaling.
    pub log_loss: f64,
}

/// The chosen model and why it was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Trained on all rows and calibrated.
    pub model: Model,
    /// What was chosen.
    pub chosen: String,
    /// The calibrator's name: `none`, `temperature`, `platt` or `isotonic`.
    pub calibration: &'static str,
    /// All that was tried, the best first; empty when the rows were too few to judge by.
    pub candidates: Vec<Candidate>,
    /// What predicted the rows that were judged by, in words.
    pub validated_by: &'static str,
    /// How many rows were predicted to judge by.
    pub validated: usize,
}

/// A way to train.
#[derive(Debug, Clone)]
enum Recipe {
    Forest(ForestParams),
    Boost(BoostParams),
}

impl Recipe {
    fn name(&self) -> String {
        match self {
            Self::Forest(p) => format!("forest(min_leaf={}, columns={})", p.min_leaf, p.columns),
            Self::Boost(p) => format!("boosted(depth={}, columns={}, rounds={})", p.max_depth, p.columns, p.rounds),
        }
    }
}

/// Chooses and trains a model.
///
/// # Errors
/// When sizes do not fit, or the labels are not 0 and 1, both of them.
pub fn select(bins: &Bins, rows: &BinnedRows, labels: &[f32], params: &SelectParams) -> Result<Selection, ForestError> {
    crate::train::check_rows(rows.len(), labels, &[], true)?;
    let (order, folds) = folds(labels, &params.order)?;
    if folds.is_empty() {
        return unjudged(bins, rows, labels, params);
    }
    let search_rows = rows.select(&order);
    let search_labels: Vec<f32> = order.iter().map(|row| labels[*row]).collect();
    let search = Search { bins, rows: &search_rows, labels: &search_labels, folds: &folds };
    let judge = |recipes: Vec<Recipe>| -> Result<Vec<Judged>, ForestError> {
        in_parallel(recipes.len(), params.threads, |index, (): &mut ()| search.judge(&recipes[index]))
            .into_iter()
            .collect()
    };
    let forests = judge(forests(params))?;
    let boosted = judge(boosted(params))?;
    let mut candidates: Vec<Candidate> =
        forests.iter().chain(&boosted).map(|j| Candidate { name: j.recipe.name(), log_loss: j.log_loss }).collect();
    let (Some(forest), Some(boosted)) = (search.preferred(&forests), search.preferred(&boosted)) else {
        return unjudged(bins, rows, labels, params);
    };
    let mut blends = Vec::new();
    for share in SHARES {
        let predictions: Vec<f32> =
            forest.predictions.iter().zip(&boosted.predictions).map(|(f, b)| mix(*f, *b, share)).collect();
        let (losses, log_loss) = search.losses(&predictions);
        let name = match share {
            0.0 => forest.recipe.name(),
            1.0 => boosted.recipe.name(),
            _ => format!("{} of {}, {share} of {}", 1.0 - share, forest.recipe.name(), boosted.recipe.name()),
        };
        candidates.push(Candidate { name: name.clone(), log_loss });
        blends.push((predictions, losses, share, name));
    }
    candidates.sort_by(|a, b| a.log_loss.total_cmp(&b.log_loss));
    candidates.dedup_by(|a, b| a.name == b.name);
    let losses: Vec<&[f64]> = blends.iter().map(|(_, losses, ..)| losses.as_slice()).collect();
    let best = first_within_error(&losses).and_then(|index| blends.get(index));
    let Some((predictions, _, share, chosen)) = best else {
        return unjudged(bins, rows, labels, params);
    };
    let (calibrator, calibration) = search.calibrator(predictions)?;
    let train = |recipe: &Recipe| match recipe {
        Recipe::Forest(p) => {
            let p = ForestParams { trees: params.trees, threads: params.threads, ..p.clone() };
            Forest::train(bins, rows, labels, &[], &p)
        }
        Recipe::Boost(p) => {
            let grown = in_parallel(BOOSTED, params.threads, |index, (): &mut ()| {
                let seed = p.seed.wrapping_add(index as u64);
                Forest::boost(bins, rows, labels, &[], &BoostParams { seed, ..p.clone() })
            });
            Forest::pooled(bins, &grown.into_iter().collect::<Result<Vec<_>, ForestError>>()?)
        }
    };
    let model_forest = train(if *share >= 1.0 { &boosted.recipe } else { &forest.recipe })?;
    let blended = match *share > 0.0 && *share < 1.0 {
        true => Some(Blended { forest: train(&boosted.recipe)?, share: *share }),
        false => None,
    };
    let validated = search.labels_judged().len();
    let model = Model { bins: bins.clone(), forest: model_forest, blended, calibrator, metadata: BTreeMap::new() };
    let validated_by = match params.order {
        Order::NewGroups(_) => "what was trained on other groups",
        Order::Time if rows.len() < FEW_ROWS => "what was trained on the other rows",
        Order::Time => "what was trained on the rows before",
    };
    Ok(Selection { model, chosen: chosen.clone(), calibration, candidates, validated_by, validated })
}

/// The first whose loss is within two standard errors of the least. Selection is a source of error too, and a difference that
/// chance alone makes is no reason to leave the order of preference (after Breiman et al. 1984, who take one).
fn first_within_error(losses: &[&[f64]]) -> Option<usize> {
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    let best = losses.iter().min_by(|a, b| mean(a).total_cmp(&mean(b)))?;
    losses.iter().position(|other| {
        // Rows near each other in time fail together, so that means of stretches are what varies independently.
        let stretch = best.len().div_ceil(STRETCHES).max(1);
        let differences: Vec<f64> =
            other.chunks(stretch).zip(best.chunks(stretch)).map(|(a, b)| mean(a) - mean(b)).collect();
        let n = differences.len().max(1) as f64;
        let worse = mean(&differences);
        let variance = differences.iter().map(|d| (d - worse).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        worse <= 2.0 * (variance / n).sqrt()
    })
}

/// Random forests, the most regular first.
fn forests(params: &SelectParams) -> Vec<Recipe> {
    let mut recipes = Vec::new();
    for columns in [0.3, 0.6, 1.0] {
        for min_leaf in [20.0, 8.0, 3.0] {
            recipes.push(Recipe::Forest(ForestParams {
                trees: params.trees.div_ceil(2),
                max_depth: 14,
                min_leaf,
                columns,
                seed: params.seed,
                ..ForestParams::default()
            }));
        }
    }
    recipes
}

/// Boosted trees, the most regular first.
fn boosted(params: &SelectParams) -> Vec<Recipe> {
    let recipe = |(columns, max_depth)| {
        let (rounds, learning_rate, seed) = (500, 0.05, params.seed);
        Recipe::Boost(BoostParams { rounds, max_depth, learning_rate, columns, seed, ..BoostParams::default() })
    };
    [(0.15, 3), (0.4, 3), (0.4, 5), (1.0, 6)].map(recipe).to_vec()
}

/// Rows to predict, and those to train on for that; both by their place in the order of the search.
struct Fold {
    train: Vec<usize>,
    test: std::ops::Range<usize>,
}

/// The rows that are searched with, in the order of the search, and folds whose tests follow each other in it. No folds when the rows
/// are too few to judge by.
fn folds(labels: &[f32], order: &Order) -> Result<(Vec<usize>, Vec<Fold>), ForestError> {
    let latest: Vec<usize> = (labels.len().saturating_sub(SEARCH_ROWS)..labels.len()).collect();
    let at = |block: usize, rows: &[usize]| rows.len() * block / BLOCKS;
    let enough = |train: &[usize], rows: &[usize], least: usize| {
        let ones = train.iter().filter(|place| labels[rows[**place]] == 1.0).count();
        ones >= least && train.len() - ones >= least
    };
    let ends: Vec<usize> = match order {
        Order::Time if latest.len() >= FEW_ROWS => {
            let folds = (FIRST..BLOCKS).map(|block| Fold {
                train: (0..at(block, &latest)).collect(),
                test: at(block, &latest)..at(block + 1, &latest),
            });
            let folds = folds.filter(|fold| enough(&fold.train, &latest, MIN_CLASS) && !fold.test.is_empty()).collect();
            return Ok((latest, folds));
        }
        Order::Time => (1..=BLOCKS).map(|block| at(block, &latest)).collect(),
        Order::NewGroups(groups) => {
            if groups.len() != labels.len() {
                return Err(ForestError::shape("groups of rows", labels.len(), groups.len()));
            }
            return Ok(by_groups(latest, groups, |rows, ends| others(rows, ends, enough)));
        }
    };
    // Where a block has one class only, rows are ordered by it and not by time: every sixth row makes a block then.
    let mut rows = latest;
    let mut start = 0;
    let one_class = |block: &[usize]| block.iter().all(|row| labels[*row] == labels[block[0]]);
    let by_label = ends.iter().any(|end| {
        let block = &rows[start..*end];
        start = *end;
        !block.is_empty() && one_class(block)
    });
    if by_label {
        rows.sort_by_key(|row| row % BLOCKS);
    }
    let folds = others(&rows, &ends, enough);
    Ok((rows, folds))
}

/// Each block, given by where it ends, predicted by all others.
fn others(rows: &[usize], ends: &[usize], enough: impl Fn(&[usize], &[usize], usize) -> bool) -> Vec<Fold> {
    let mut start = 0;
    let folds: Vec<Fold> = ends
        .iter()
        .map(|end| {
            let test = std::mem::replace(&mut start, *end)..*end;
            Fold { train: (0..test.start).chain(test.end..rows.len()).collect(), test }
        })
        .filter(|fold| !fold.test.is_empty())
        .collect();
    if folds.iter().all(|fold| enough(&fold.train, rows, MIN_CLASS_OF_OTHERS)) { folds } else { Vec::new() }
}

/// Rows with whole groups side by side, dealt to blocks of about one size, the largest groups first.
fn by_groups(
    mut rows: Vec<usize>,
    groups: &[u32],
    folds: impl Fn(&[usize], &[usize]) -> Vec<Fold>,
) -> (Vec<usize>, Vec<Fold>) {
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *sizes.entry(groups[*row]).or_default() += 1);
    let mut by_size: Vec<(u32, usize)> = sizes.into_iter().collect();
    by_size.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let (mut filled, mut block_of) = ([0; BLOCKS], BTreeMap::new());
    for (group, size) in by_size {
        let least = (0..BLOCKS).min_by_key(|block| filled[*block]).unwrap_or(0);
        filled[least] += size;
        block_of.insert(group, least);
    }
    rows.sort_by_key(|row| block_of.get(&groups[*row]).copied().unwrap_or(0));
    let mut end = 0;
    let ends: Vec<usize> = filled
        .iter()
        .map(|size| {
            end += size;
            end
        })
        .collect();
    let folds = folds(&rows, &ends);
    (rows, folds)
}

struct Search<'a> {
    bins: &'a Bins,
    rows: &'a BinnedRows,
    labels: &'a [f32],
    folds: &'a [Fold],
}

struct Judged {
    recipe: Recipe,
    /// Of the rows of all folds, one fold after the other.
    predictions: Vec<f32>,
    /// Their losses after Platt's scaling, so that candidates are compared by what they know and not by how bold they are.
    losses: Vec<f64>,
    /// The mean of them.
    log_loss: f64,
}

impl Search<'_> {
    fn labels_judged(&self) -> &[f32] {
        match (self.folds.first(), self.folds.last()) {
            (Some(first), Some(last)) => &self.labels[first.test.start..last.test.end],
            _ => &[],
        }
    }

    fn judge(&self, recipe: &Recipe) -> Result<Judged, ForestError> {
        match recipe {
            Recipe::Forest(params) => {
                let mut predictions = Vec::new();
                for fold in self.folds {
                    let (known, labels, ahead) = self.parts(fold);
                    let forest = Forest::train(self.bins, &known, &labels, &[], params)?;
                    predictions.extend(forest.predict(&ahead)?);
                }
                let (losses, log_loss) = self.losses(&predictions);
                Ok(Judged { recipe: recipe.clone(), predictions, losses, log_loss })
            }
            Recipe::Boost(params) => {
                let mut stages: Vec<Vec<f32>> = Vec::new();
                for fold in self.folds {
                    let (known, labels, ahead) = self.parts(fold);
                    let forest = Forest::boost(self.bins, &known, &labels, &[], params)?;
                    let predicted = forest.predict_stages(&ahead, STAGE)?;
                    stages.resize_with(predicted.len(), Vec::new);
                    for (all, stage) in stages.iter_mut().zip(predicted) {
                        all.extend(stage);
                    }
                }
                let mut best: Option<Judged> = None;
                for (index, predictions) in stages.into_iter().enumerate() {
                    let (losses, log_loss) = self.losses(&predictions);
                    if best.as_ref().is_none_or(|b| log_loss < b.log_loss) {
                        let rounds = ((index + 1) * STAGE).min(params.rounds);
                        let recipe = Recipe::Boost(BoostParams { rounds, ..params.clone() });
                        best = Some(Judged { recipe, predictions, losses, log_loss });
                    }
                }
                best.ok_or_else(|| ForestError::Data("there are no rows to judge by".to_owned()))
            }
        }
    }

    /// Rows to train on with their labels, and rows to predict.
    fn parts(&self, fold: &Fold) -> (BinnedRows, Vec<f32>, BinnedRows) {
        let labels = fold.train.iter().map(|place| self.labels[*place]).collect();
        let ahead: Vec<usize> = fold.test.clone().collect();
        (self.rows.select(&fold.train), labels, self.rows.select(&ahead))
    }

    /// The loss of each prediction after Platt's scaling, and their mean.
    fn losses(&self, predictions: &[f32]) -> (Vec<f64>, f64) {
        let labels = self.labels_judged();
        let calibrator = Calibrator::platt(predictions, labels, &[]).unwrap_or_default();
        let loss = |(p, label): (&f32, &f32)| log_loss(&[*label], &[calibrator.apply(*p)], &[]);
        let losses: Vec<f64> = predictions.iter().zip(labels).map(loss).collect();
        let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        (losses, mean)
    }

    /// The first of those that do as well as the best.
    fn preferred<'b>(&self, judged: &'b [Judged]) -> Option<&'b Judged> {
        let losses: Vec<&[f64]> = judged.iter().map(|j| j.losses.as_slice()).collect();
        first_within_error(&losses).and_then(|index| judged.get(index))
    }

    /// The calibrator that does best on each fold when fitted on those before it, fitted on all.
    fn calibrator(&self, predictions: &[f32]) -> Result<(Calibrator, &'static str), ForestError> {
        type Fit<'a> = &'a dyn Fn(&[f32], &[f32], &[f32]) -> Result<Calibrator, ForestError>;
        let labels = self.labels_judged();
        let start = self.folds.first().map_or(0, |fold| fold.test.start);
        let rate = self.labels.iter().sum::<f32>() / self.labels.len().max(1) as f32;
        // What was trained on few rows is less sure of itself than the model will be: it counts less.
        let share = |fold: &Fold| (fold.train.len() as f32 / self.labels.len().max(1) as f32).powi(2);
        let weights: Vec<f32> =
            self.folds.iter().flat_map(|fold| std::iter::repeat_n(share(fold), fold.test.len())).collect();
        // In order of preference: a changing base rate cannot be foretold, and many knots can be wrong in many places.
        let ways: [(&'static str, Fit); 4] = [
            ("temperature", &|p, l, w| Calibrator::temperature(p, l, w, rate)),
            ("platt", &|p, l, w| Calibrator::platt(p, l, w)),
            ("isotonic", &|p, l, w| Calibrator::isotonic(p, l, w)),
            ("none", &|_, _, _| Ok(Calibrator::Identity)),
        ];
        let judge = |fit: Fit| {
            let mut losses = Vec::new();
            for fold in self.folds.iter().skip(1) {
                let (from, to) = (fold.test.start - start, fold.test.end - start);
                // A fold of one class only cannot be fitted; it is left as it is.
                let calibrator = fit(&predictions[..from], &labels[..from], &weights[..from]).unwrap_or_default();
                let rows = predictions[from..to].iter().zip(&labels[from..to]);
                losses.extend(rows.map(|(p, label)| log_loss(&[*label], &[calibrator.apply(*p)], &[])));
            }
            losses
        };
        let losses: Vec<Vec<f64>> = ways.iter().map(|(_, fit)| judge(fit)).collect();
        let losses: Vec<&[f64]> = losses.iter().map(Vec::as_slice).collect();
        let Some((name, fit)) = first_within_error(&losses).and_then(|index| ways.get(index)) else {
            return Ok((Calibrator::Identity, "none"));
        };
        Ok((fit(predictions, labels, &weights)?, name))
    }
}

/// A forest by default parameters for rows too few to judge by, calibrated out of bag when that can be fitted.
fn unjudged(bins: &Bins, rows: &BinnedRows, labels: &[f32], params: &SelectParams) -> Result<Selection, ForestError> {
    let forest_params =
        ForestParams { trees: params.trees, seed: params.seed, threads: params.threads, ..ForestParams::default() };
    let (forest, bag) = Forest::train_out_of_bag(bins, rows, labels, &[], &forest_params)?;
    let (predictions, known): (Vec<f32>, Vec<f32>) =
        bag.predictions.iter().zip(labels).filter(|(p, _)| !p.is_nan()).map(|(p, l)| (*p, *l)).unzip();
    let (calibrator, calibration) = match Calibrator::platt(&predictions, &known, &[]) {
        Ok(calibrator) => (calibrator, "platt"),
        Err(_) => (Calibrator::Identity, "none"),
    };
    let model = Model { bins: bins.clone(), forest, blended: None, calibrator, metadata: BTreeMap::new() };
    let chosen = "forest by default parameters".to_owned();
    let validated_by = "the trees that had not seen them";
    Ok(Selection { model, chosen, calibration, candidates: Vec::new(), validated_by, validated: predictions.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The folds of labels by some rule; what each row is predicted by is checked in general.
    fn folds_of(labels: &[f32], order: &Order) -> (Vec<usize>, Vec<Fold>) {
        let (rows, folds) = folds(labels, order).unwrap();
        let mut next = folds.first().map_or(0, |fold| fold.test.start);
        for fold in &folds {
            assert_eq!(fold.test.start, next, "tests follow each other");
            assert!(fold.train.iter().all(|place| !fold.test.contains(place)));
            next = fold.test.end;
        }
        let mut sorted = rows.clone();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|two| two[0] < two[1]), "every row once");
        (rows, folds)
    }

    fn labels(rows: usize, one: impl Fn(usize) -> bool) -> Vec<f32> {
        (0..rows).map(|row| f32::from(u8::from(one(row)))).collect()
    }

    #[test]
    fn many_rows_are_predicted_by_those_before_and_few_by_all_others() {
        let (_, folds) = folds_of(&labels(6_000, |row| row % 3 == 0), &Order::Time);
        assert_eq!(folds.len(), 4);
        assert!(folds.iter().all(|fold| fold.train.iter().all(|place| *place < fold.test.start)));
        let (rows, folds) = folds_of(&labels(600, |row| row % 3 == 0), &Order::Time);
        assert_eq!((folds.len(), folds[0].test.clone(), folds[0].train.len()), (6, 0..100, 500));
        assert_eq!(rows, (0..600).collect::<Vec<_>>());
        let (_, folds) = folds_of(&labels(40, |row| row == 3), &Order::Time);
        assert!(folds.is_empty(), "one row of a class teaches nothing");
    }

    #[test]
    fn rows_in_the_order_of_their_labels_are_dealt_out() {
        let labels = labels(300, |row| row < 100);
        let (rows, folds) = folds_of(&labels, &Order::Time);
        let ones = |fold: &Fold| fold.test.clone().filter(|place| labels[rows[*place]] == 1.0).count();
        assert!(folds.iter().all(|fold| (15..=18).contains(&ones(fold))));
    }

    #[test]
    fn a_group_is_predicted_by_others_alone() {
        let groups: Vec<u32> = (0..3_000).map(|row: u32| row * row % 37).collect();
        let (rows, folds) = folds_of(&labels(3_000, |row| row % 4 == 0), &Order::NewGroups(groups.clone()));
        assert_eq!(folds.len(), 6);
        for fold in &folds {
            let of = |places: &mut dyn Iterator<Item = usize>| -> std::collections::BTreeSet<u32> {
                places.map(|place| groups[rows[place]]).collect()
            };
            assert!(of(&mut fold.test.clone()).is_disjoint(&of(&mut fold.train.iter().copied())));
            assert!(fold.test.len() > 250, "blocks are of about one size");
        }
        assert!(folds.iter().map(|fold| fold.test.len()).sum::<usize>() == 3_000);
        let short = Order::NewGroups(vec![1]);
        assert!(super::folds(&[0.0, 1.0], &short).is_err());
    }
}
