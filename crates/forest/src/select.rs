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
const SEARCH_ROWS: usize = 60_000;
/// Boosted trees are judged after every so many.
const STAGE: usize = 25;
/// Shares of the boosted trees that are tried in a blend.
const SHARES: [f32; 3] = [0.25, 0.5, 0.75];

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
        Self { trees: 300, seed: 1, threads: 1 }
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
    /// The calibrator's name: `none`, `platt` or `isotonic`.
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
    fn name(&self, features: usize) -> String {
        match self {
            Self::Forest(p) => format!("forest(min_leaf={}, mtry={} of {features})", p.min_leaf, p.mtry),
            Self::Boost(p) => format!("boosted(depth={}, rounds={})", p.max_depth, p.rounds),
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
    let search_rows = rows.select(&latest);
    let search_labels = &labels[skipped..];
    let folds = folds(search_labels);
    if folds.is_empty() {
        return unjudged(bins, rows, labels, params);
    }
    let recipes = recipes(bins.features().len(), params);
    let search = Search { bins, rows: &search_rows, labels: search_labels, folds: &folds };
    let tried = in_parallel(recipes.len(), params.threads, |index, (): &mut ()| search.judge(&recipes[index]));
    let mut judged = Vec::new();
    for tried in tried {
        judged.push(tried?);
    }
    judged.sort_by(|a, b| a.log_loss.total_cmp(&b.log_loss));
    let features = bins.features().len();
    let mut candidates: Vec<Candidate> =
        judged.iter().map(|j| Candidate { name: j.recipe.name(features), log_loss: j.log_loss }).collect();
    let forest = judged.iter().find(|j| matches!(j.recipe, Recipe::Forest(_)));
    let boosted = judged.iter().find(|j| matches!(j.recipe, Recipe::Boost(_)));
    let (Some(forest), Some(boosted)) = (forest, boosted) else {
        return unjudged(bins, rows, labels, params);
    };
    // Equal losses go to the simpler one: the forest, then the boosted trees, then blends.
    let mut best = (forest.log_loss, 0.0, forest.predictions.clone());
    if boosted.log_loss < best.0 {
        best = (boosted.log_loss, 1.0, boosted.predictions.clone());
    }
    for share in SHARES {
        let blend: Vec<f32> =
            forest.predictions.iter().zip(&boosted.predictions).map(|(f, b)| mix(*f, *b, share)).collect();
        let loss = search.loss(&blend)?;
        let name = format!(
            "blend({} × {}, {} × {})",
            1.0 - share,
            forest.recipe.name(features),
            share,
            boosted.recipe.name(features)
        );
        candidates.push(Candidate { name, log_loss: loss });
        if loss < best.0 {
            best = (loss, share, blend);
        }
    }
    candidates.sort_by(|a, b| a.log_loss.total_cmp(&b.log_loss));
    let (_, share, predictions) = best;
    let (calibrator, calibration) = search.calibrator(&predictions)?;
    let chosen = candidates.first().map(|c| c.name.clone()).unwrap_or_default();
    let (first, second) = if share >= 1.0 { (boosted, None) } else { (forest, Some(boosted).filter(|_| share > 0.0)) };
    let train = |recipe: &Recipe| match recipe {
        Recipe::Forest(p) => {
            let p = ForestParams { trees: params.trees, threads: params.threads, ..p.clone() };
            Forest::train(bins, rows, labels, &[], &p)
        }
        Recipe::Boost(p) => Forest::boost(bins, rows, labels, &[], p),
    };
    let blended = match second {
        Some(second) => Some(Blended { forest: train(&second.recipe)?, share }),
        None => None,
    };
    let forest = train(&first.recipe)?;
    let model = Model { bins: bins.clone(), forest, blended, calibrator, metadata: BTreeMap::new() };
    Ok(Selection { model, chosen, calibration, candidates, validated: search.labels_judged().len() })
}

fn recipes(features: usize, params: &SelectParams) -> Vec<Recipe> {
    let mut recipes = Vec::new();
    let root = (features as f64).sqrt().ceil() as usize;
    let mut mtries = vec![root, features.div_ceil(3).max(root)];
    mtries.dedup();
    for mtry in mtries {
        for min_leaf in [2.0, 5.0, 10.0, 20.0, 40.0] {
            recipes.push(Recipe::Forest(ForestParams {
                trees: params.trees.div_ceil(2),
                max_depth: 12,
                min_leaf,
                mtry,
                seed: params.seed,
                ..ForestParams::default()
            }));
        }
    }
    for max_depth in [2, 3, 5] {
        let rounds = 500;
        recipes.push(Recipe::Boost(BoostParams { rounds, max_depth, seed: params.seed, ..BoostParams::default() }));
    }
    recipes
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
                let log_loss = self.loss(&predictions)?;
                Ok(Judged { recipe: recipe.clone(), predictions, log_loss })
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
                    let log_loss = self.loss(&predictions)?;
                    if best.as_ref().is_none_or(|b| log_loss < b.log_loss) {
                        let rounds = ((index + 1) * STAGE).min(params.rounds);
                        let recipe = Recipe::Boost(BoostParams { rounds, ..params.clone() });
                        best = Some(Judged { recipe, predictions, log_loss });
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

    /// The log-loss after Platt's scaling, so that candidates are compared by what they know and not by how bold they are.
    fn loss(&self, predictions: &[f32]) -> Result<f64, ForestError> {
        let labels = self.labels_judged();
        let mut scaled = predictions.to_vec();
        if let Ok(calibrator) = Calibrator::platt(predictions, labels, &[]) {
            calibrator.apply_to(&mut scaled);
        }
        Ok(log_loss(labels, &scaled, &[]))
    }

    /// The calibrator that does best on each fold when fitted on those before it, fitted on all.
    fn calibrator(&self, predictions: &[f32]) -> Result<(Calibrator, &'static str), ForestError> {
        type Fit = fn(&[f32], &[f32], &[f32]) -> Result<Calibrator, ForestError>;
        let labels = self.labels_judged();
        let start = self.folds.first().map_or(0, |f| f.0);
        let ways: [(&'static str, Fit); 3] = [
            ("none", |_, _, _| Ok(Calibrator::Identity)),
            ("platt", Calibrator::platt),
            ("isotonic", Calibrator::isotonic),
        ];
        let mut best = (f64::INFINITY, Calibrator::Identity, "none");
        for (name, fit) in ways {
            let (mut sum, mut rows) = (0.0, 0);
            for (from, to) in self.folds.iter().skip(1).map(|(from, to)| (from - start, to - start)) {
                let Ok(calibrator) = fit(&predictions[..from], &labels[..from], &[]) else { continue };
                let mut later = predictions[from..to].to_vec();
                calibrator.apply_to(&mut later);
                sum += log_loss(&labels[from..to], &later, &[]) * (to - from) as f64;
                rows += to - from;
            }
            let loss = if rows == 0 { f64::INFINITY } else { sum / rows as f64 };
            if loss < best.0
                && let Ok(calibrator) = fit(predictions, labels, &[])
            {
                best = (loss, calibrator, name);
            }
        }
        Ok((best.1, best.2))
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
