//! Choosing a model for a table whose rows are in the order of time: [`select`] tries forests, boosted trees and blends of both.
//!
//! Candidates are judged by forward chaining: the rows are cut into blocks, and each block is predicted by what was trained on the
//! blocks before it, as the model will be used. The log-loss of these predictions chooses the candidate and the calibrator, which is
//! then fitted on all of them; the chosen model is trained again on all rows. Nothing but the training rows is looked at.

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
/// What the search may do.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectParams {
    /// Trees of the chosen forest; half as many while searching.
    pub trees: usize,
    /// Determines every random choice.
    pub seed: u64,
    /// Threads; the result does not depend on it.
    pub threads: usize,
}

impl Default for SelectParams {
    fn default() -> Self {
        Self { trees: 500, seed: 1, threads: 1 }
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
    /// How many rows were predicted by forward chaining.
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

/// Chooses and trains a model. Rows are in the order of time.
///
/// # Errors
/// When sizes do not fit, or the labels are not 0 and 1, both of them.
pub fn select(bins: &Bins, rows: &BinnedRows, labels: &[f32], params: &SelectParams) -> Result<Selection, ForestError> {
    crate::train::check_rows(rows.len(), labels, &[], true)?;
    let skipped = rows.len().saturating_sub(SEARCH_ROWS);
    let latest: Vec<usize> = (skipped..rows.len()).collect();
    let search_labels = &labels[skipped..];
    let folds = folds(search_labels);
    if folds.is_empty() {
        return unjudged(bins, rows, labels, params);
    }
    let search_rows = rows.select(&latest);
    let search = Search { bins, rows: &search_rows, labels: search_labels, folds: &folds };
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
    Ok(Selection { model, chosen: chosen.clone(), calibration, candidates, validated })
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

/// Folds as (end of training rows, end of rows to predict).
fn folds(labels: &[f32]) -> Vec<(usize, usize)> {
    let at = |block: usize| labels.len() * block / BLOCKS;
    let folds = (FIRST..BLOCKS).map(|block| (at(block), at(block + 1)));
    folds
        .filter(|(train, test)| {
            let ones = labels[..*train].iter().filter(|l| **l == 1.0).count();
            ones >= MIN_CLASS && train - ones >= MIN_CLASS && test > train
        })
        .collect()
}

struct Search<'a> {
    bins: &'a Bins,
    rows: &'a BinnedRows,
    labels: &'a [f32],
    folds: &'a [(usize, usize)],
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
            (Some(first), Some(last)) => &self.labels[first.0..last.1],
            _ => &[],
        }
    }

    fn judge(&self, recipe: &Recipe) -> Result<Judged, ForestError> {
        match recipe {
            Recipe::Forest(params) => {
                let mut predictions = Vec::new();
                for (train, test) in self.folds {
                    let (known, ahead) = self.parts(*train, *test);
                    let forest = Forest::train(self.bins, &known, &self.labels[..*train], &[], params)?;
                    predictions.extend(forest.predict(&ahead)?);
                }
                let (losses, log_loss) = self.losses(&predictions);
                Ok(Judged { recipe: recipe.clone(), predictions, losses, log_loss })
            }
            Recipe::Boost(params) => {
                let mut stages: Vec<Vec<f32>> = Vec::new();
                for (train, test) in self.folds {
                    let (known, ahead) = self.parts(*train, *test);
                    let forest = Forest::boost(self.bins, &known, &self.labels[..*train], &[], params)?;
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

    fn parts(&self, train: usize, test: usize) -> (BinnedRows, BinnedRows) {
        let known: Vec<usize> = (0..train).collect();
        let ahead: Vec<usize> = (train..test).collect();
        (self.rows.select(&known), self.rows.select(&ahead))
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
        type Fit<'a> = &'a dyn Fn(&[f32], &[f32]) -> Result<Calibrator, ForestError>;
        let labels = self.labels_judged();
        let start = self.folds.first().map_or(0, |f| f.0);
        let rate = self.labels.iter().sum::<f32>() / self.labels.len().max(1) as f32;
        // In order of preference: a changing base rate cannot be foretold, and many knots can be wrong in many places.
        let ways: [(&'static str, Fit); 4] = [
            ("temperature", &|p, l| Calibrator::temperature(p, l, &[], rate)),
            ("platt", &|p, l| Calibrator::platt(p, l, &[])),
            ("isotonic", &|p, l| Calibrator::isotonic(p, l, &[])),
            ("none", &|_, _| Ok(Calibrator::Identity)),
        ];
        let judge = |fit: Fit| {
            let mut losses = Vec::new();
            for (from, to) in self.folds.iter().skip(1).map(|(from, to)| (from - start, to - start)) {
                // A fold of one class only cannot be fitted; it is left as it is.
                let calibrator = fit(&predictions[..from], &labels[..from]).unwrap_or_default();
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
        Ok((fit(predictions, labels)?, name))
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
    Ok(Selection { model, chosen, calibration, candidates: Vec::new(), validated: 0 })
}
