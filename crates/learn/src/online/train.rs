//! One training: examples split by time, a forest trained on the older ones and calibrated out of bag, and judged on the newer
//! ones by gates. Entry points: [`Plan::run`], and [`Evaluation`] for what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use augur_forest::{
    BinnedRows, Bins, Blended, BoostParams, Calibrator, Forest, ForestError, ForestParams, Model, Monotone, Objective,
    permutation_importance,
};

use super::gates::{self, Gate};
use super::measure::{Judged, auc_within, bootstrap, ece, log_loss, mean};
use super::options::LearnerOptions;
use super::window::{FEEDBACK_SHARE, Kept, Onset, Other, Window};
use crate::features::{FEATURE_COUNT, FEATURE_NAMES, FEATURES, FeatureRow, SCHEMA};
use crate::model::{LearnedModel, ModelError, note};

/// Bins of a feature.
const MAX_BINS: usize = 128;
/// The share of the hold-out, its older part, that probabilities are calibrated on; the rest judges.
const CALIBRATE: f64 = 0.4;
/// Rows, and bad ones among them, without which probabilities are calibrated out of bag on the training set instead.
const LEAST_TO_CALIBRATE: (usize, usize) = (150, 15);
/// Rows from which on probabilities are calibrated by isotonic regression; below, by Platt's scaling.
const ISOTONIC_FROM: usize = 2_000;
/// Rounds of boosting: at the default rate, more gain little on some thousand rows.
const ROUNDS: usize = 150;
/// Kinds of models.
const FOREST: &str = "random_forest";
const BOOSTED: &str = "boosted_trees";
/// Rows that importance is measured on at most.
const IMPORTANCE_ROWS: usize = 2_000;

/// Why a training was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// For the first time there is enough to learn from.
    First,
    /// The update interval has passed.
    Interval,
    /// A detector says that the world has changed.
    Drift,
    /// Somebody asked for it.
    Asked,
}

impl Reason {
    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Reason::First => "first",
            Reason::Interval => "update_interval",
            Reason::Drift => "drift",
            Reason::Asked => "asked",
        }
    }
}

/// Why nothing could be trained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// There is not enough to learn from.
    #[error(
        "{matured} matured examples, {bad} of them bad; training needs {min_matured} and {min_bad}, and both kinds on \
         either side of the split"
    )]
    TooFew {
        /// Matured examples.
        matured: usize,
        /// Bad ones among them.
        bad: usize,
        /// As configured.
        min_matured: usize,
        /// As configured.
        min_bad: usize,
    },
    /// The forest could not be made.
    #[error("training failed: {0}")]
    Forest(#[from] ForestError),
    /// The model that came of it cannot be used.
    #[error("training failed: {0}")]
    Model(#[from] ModelError),
}

/// An example of a training set.
#[derive(Debug, Clone)]
pub(super) struct Labelled {
    pub row: FeatureRow,
    pub bad: bool,
    pub weight: f64,
    pub workload: u64,
    pub node: u64,
    pub propensity: f64,
    pub other: Option<Box<Other>>,
    /// What the champion said at the time.
    pub said: Option<f64>,
}

/// All that one training needs, apart from the learner, so that it can run elsewhere.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Why it was started.
    pub reason: Reason,
    pub(super) options: LearnerOptions,
    pub(super) now_ms: i64,
    pub(super) number: u64,
    pub(super) train: Vec<Labelled>,
    pub(super) calibrate: Vec<Labelled>,
    pub(super) test: Vec<Labelled>,
    pub(super) from_ms: i64,
    pub(super) champion: Option<Arc<LearnedModel>>,
    /// Labels of the training set that rest on feedback alone.
    pub(super) by_feedback: usize,
}

/// What a training is told while it runs, and asks.
pub trait Watcher {
    /// A step has begun; `done` of 0..1.
    fn step(&mut self, name: &'static str, done: f64);

    /// A clock in nanoseconds, if time may be measured.
    fn nanos(&mut self) -> Option<u64> {
        None
    }
}

/// Nobody watches.
impl Watcher for () {
    fn step(&mut self, _: &'static str, _: f64) {}
}

/// Metrics on the hold-out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Metrics {
    /// Mean log loss.
    pub log_loss: f64,
    /// Mean squared error.
    pub brier: f64,
    /// Expected calibration error, 15 bins.
    pub ece: f64,
    /// Area under the ROC curve among pods of one workload.
    pub auc_within: Option<f64>,
    /// Area under the ROC curve among all.
    pub auc: Option<f64>,
    /// Share called right at one half.
    pub accuracy: f64,
}

/// How a model did on examples from after those that it was trained on.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Why it was trained.
    pub reason: Reason,
    /// `random_forest` or `boosted_trees`.
    pub kind: &'static str,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Examples that it was trained on.
    pub n_train: usize,
    /// Bad ones among them.
    pub bad_train: usize,
    /// Of the training examples, those whose label rests on feedback alone.
    pub by_feedback: usize,
    /// Examples that it was judged by.
    pub n_test: usize,
    /// Bad ones among them.
    pub bad_test: usize,
    /// Of the model.
    pub metrics: Metrics,
    /// Of what it is compared with, by name: the base rate, the workload's rate, the champion, and of forest and boosted trees
    /// the kind that was not taken.
    pub baselines: BTreeMap<&'static str, Metrics>,
    /// The gates with their figures.
    pub gates: Vec<Gate>,
    /// By feature: the rise of the log loss when its values are exchanged among pods of the same workload, the largest first.
    pub permutation: Vec<(&'static str, f64)>,
    /// By feature: its share of what all splits gained, the largest first.
    pub gain: Vec<(&'static str, f64)>,
    /// Name of the calibration.
    pub calibration: &'static str,
}

impl Evaluation {
    /// Whether every gate is passed.
    pub fn passed(&self) -> bool {
        self.gates.iter().all(|gate| gate.passed)
    }
}

/// A trained and judged model.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The model.
    pub model: Arc<LearnedModel>,
    /// How it did.
    pub evaluation: Box<Evaluation>,
    /// By feature, how the training rows fall into ten parts, for drift.
    pub(super) parts: Vec<super::reference::Parts>,
}

impl Plan {
    /// Splits the examples of a window; an error when there is not enough.
    pub(super) fn new(
        window: &Window,
        options: &LearnerOptions,
        now_ms: i64,
        number: u64,
        reason: Reason,
        champion: Option<(Arc<LearnedModel>, &[Arc<str>])>,
    ) -> Result<Plan, TrainError> {
        let said_by_champion = |kept: &Kept| {
            let (_, aliases) = champion.as_ref()?;
            kept.p_bad.filter(|_| kept.model.as_ref().is_some_and(|model| aliases.contains(model)))
        };
        let horizon = millis(options.horizon);
        let onset = Onset::of(window.kept.values(), horizon);
        // Good and bad of the same placements: what came to a bad end early waits for the others.
        let old_enough = |kept: &&Kept| kept.at_ms <= now_ms - horizon;
        let labelled: Vec<(&Kept, bool, f64)> = window
            .kept
            .values()
            .filter(old_enough)
            .filter_map(|kept| onset.target(kept).map(|(bad, weight)| (kept, bad, weight)))
            .collect();
        let solid: Vec<&(&Kept, bool, f64)> = labelled.iter().filter(|(kept, ..)| !Onset::by_feedback(kept)).collect();
        let bad = solid.iter().filter(|(_, bad, _)| *bad).count();
        let too_few = || TrainError::TooFew {
            matured: solid.len(),
            bad,
            min_matured: options.min_matured,
            min_bad: options.min_bad,
        };
        if solid.len() < options.min_matured || bad < options.min_bad {
            return Err(too_few());
        }
        let first_test = solid.len() - ((solid.len() as f64 * options.holdout) as usize).max(1);
        let Some(test_from) = solid.get(first_test).map(|(kept, ..)| kept.at_ms) else { return Err(too_few()) };
        let half_life = millis(options.half_life).max(1) as f64;
        let of = |(kept, bad, weight): &(&Kept, bool, f64)| Labelled {
            row: kept.row,
            bad: *bad,
            weight: *weight,
            workload: kept.workload,
            node: kept.node,
            propensity: kept.propensity,
            other: kept.other.clone(),
            said: said_by_champion(kept),
        };
        // Nothing that shows up after the first test decision may have been trained on.
        let before = |kept: &Kept| kept.at_ms <= test_from - horizon;
        let mut train: Vec<Labelled> = Vec::new();
        let (mut weight, mut said) = (0.0, Vec::new());
        for entry in labelled.iter().filter(|(kept, ..)| before(kept)) {
            let mut example = of(entry);
            example.weight *= (-((now_ms - entry.0.at_ms) as f64) / half_life).exp2();
            if Onset::by_feedback(entry.0) {
                said.push(example);
            } else {
                weight += example.weight;
                train.push(example);
            }
        }
        // However much of it there is, feedback has a bounded share.
        let by_feedback = said.len();
        let said_weight: f64 = said.iter().map(|example| example.weight).sum();
        let factor = (FEEDBACK_SHARE * weight / said_weight.max(1e-9)).min(1.0);
        train.extend(said.into_iter().map(|example| Labelled { weight: example.weight * factor, ..example }));
        let held: Vec<Labelled> =
            solid.iter().filter(|(kept, ..)| kept.at_ms >= test_from).map(|entry| of(entry)).collect();
        let (calibrate, test) = held.split_at((held.len() as f64 * CALIBRATE) as usize);
        let (calibrate, test) = (calibrate.to_vec(), test.to_vec());
        let both = |set: &[Labelled]| set.iter().any(|e| e.bad) && set.iter().any(|e| !e.bad);
        if train.len() * 4 < options.min_matured || !both(&train) || !both(&test) {
            return Err(too_few());
        }
        let from_ms = labelled.first().map_or(now_ms, |(kept, ..)| kept.at_ms);
        let options = options.clone();
        let champion = champion.map(|(model, _)| model);
        Ok(Plan { reason, options, now_ms, number, train, calibrate, test, from_ms, champion, by_feedback })
    }

    /// Trains and judges. Equal plans give equal models, to the last byte, whatever the number of threads.
    ///
    /// # Errors
    /// When the forest cannot be made.
    pub fn run(&self, watcher: &mut dyn Watcher) -> Result<Trained, TrainError> {
        watcher.step("binning", 0.0);
        let columns: Vec<Vec<f32>> =
            (0..FEATURE_COUNT).map(|feature| self.train.iter().map(|e| e.row[feature]).collect()).collect();
        let columns: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
        let bins = Bins::fit(&FEATURE_NAMES, &columns, MAX_BINS)?;
        let rows = bins.encode(&columns)?;
        let labels: Vec<f32> = self.train.iter().map(|e| f32::from(u8::from(e.bad))).collect();
        let weights: Vec<f32> = self.train.iter().map(|e| e.weight as f32).collect();
        let seed = self.options.seed ^ self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let params = ForestParams {
            objective: Objective::Classification,
            trees: self.options.trees,
            max_depth: self.options.max_depth,
            min_leaf: 10.0,
            mtry: FEATURE_COUNT / 3,
            monotone: FEATURES.iter().map(|feature| monotone(feature.monotone)).collect(),
            seed,
            threads: self.options.threads,
            ..ForestParams::default()
        };
        watcher.step("training", 0.05);
        let (forest, out_of_bag) = Forest::train_out_of_bag(&bins, &rows, &labels, &weights, &params)?;
        watcher.step("boosting", 0.4);
        let bad = self.calibrate.iter().filter(|e| e.bad).count();
        let later = self.calibrate.len() >= LEAST_TO_CALIBRATE.0 && bad >= LEAST_TO_CALIBRATE.1;
        let boosted = match later && self.options.boosted {
            true => Some(Forest::boost(&bins, &rows, &labels, &weights, &self.boosting(seed))?),
            false => None,
        };
        watcher.step("calibrating", 0.6);
        let mut ahead = bins.rows();
        for example in self.calibrate.iter().filter(|_| later) {
            ahead.push(&bins, &example.row)?;
        }
        let (raw, truth, heavy): (Vec<f32>, Vec<f32>, Vec<f32>) = if later {
            let truth = self.calibrate.iter().map(|e| f32::from(u8::from(e.bad))).collect();
            (forest.predict(&ahead)?, truth, self.calibrate.iter().map(|e| e.weight as f32).collect())
        } else {
            let seen: Vec<usize> = (0..rows.len()).filter(|at| out_of_bag.predictions[*at].is_finite()).collect();
            let pick = |of: &[f32]| -> Vec<f32> { seen.iter().map(|at| of[*at]).collect() };
            (pick(&out_of_bag.predictions), pick(&labels), pick(&weights))
        };
        let isotonic = raw.len() >= ISOTONIC_FROM;
        let fit = |raw: &[f32]| match isotonic {
            true => Calibrator::isotonic(raw, &truth, &heavy),
            false => Calibrator::platt(raw, &truth, &heavy),
        };
        let calibrator = fit(&raw)?;
        let challenger = match boosted {
            Some(boosted) => {
                let by_boosted = boosted.predict(&ahead)?;
                let better = self.surely_better(&raw, &by_boosted, &truth, &heavy, seed)?;
                Some((boosted, fit(&by_boosted)?, better))
            }
            None => None,
        };
        let calibration = match (isotonic, later) {
            (true, true) => "isotonic, on later examples",
            (false, true) => "Platt, on later examples",
            (true, false) => "isotonic, out of bag",
            (false, false) => "Platt, out of bag",
        };

        watcher.step("judging", 0.65);
        let mut metadata = BTreeMap::new();
        for (key, value) in [
            (note::SCHEMA, SCHEMA.to_owned()),
            (note::TRAINED_AT, self.now_ms.to_string()),
            ("window_from_ms", self.from_ms.to_string()),
            ("seed", seed.to_string()),
            ("examples", self.train.len().to_string()),
            ("reason", self.reason.name().to_owned()),
            ("parent", self.champion.as_ref().map_or_else(String::new, |champion| champion.id.to_string())),
        ] {
            metadata.insert(key.to_owned(), value);
        }
        let mut file = Model { bins, forest, blended: None, calibrator, metadata };
        // Of both what is not taken is judged too, for the record.
        let mut other = None;
        if let Some((boosted, calibrator, better)) = challenger {
            let by_forest = file.clone();
            let by_boosted =
                Model { blended: Some(Blended { forest: boosted, share: 1.0 }), calibrator, ..file.clone() };
            let (taken, left, name) =
                if better { (by_boosted, by_forest, FOREST) } else { (by_forest, by_boosted, BOOSTED) };
            other = Some((name, answers(&left, &self.test)?));
            file = taken;
        }
        let kind = if file.blended.is_some() { BOOSTED } else { FOREST };
        file.metadata.insert("kind".to_owned(), kind.to_owned());
        let (p, latency) = self.timed(&file, watcher)?;
        let judged = self.judged();
        let metrics = measured(&judged, &p, &self.workloads());
        let skill = metrics.auc_within.map_or(0.0, |auc| ((auc - 0.5) / 0.1).clamp(0.0, 1.0));
        file.metadata.insert(note::SKILL.to_owned(), format!("{skill:.4}"));
        for (key, value) in [("log_loss", metrics.log_loss), ("brier", metrics.brier), ("ece", metrics.ece)] {
            file.metadata.insert(key.to_owned(), format!("{value:.6}"));
        }
        let model = Arc::new(LearnedModel::of_file(file)?);
        let base = base_rate(&self.train);
        let workload = FEATURE_NAMES.iter().position(|name| *name == "workload_bad_rate").unwrap_or(0);
        let by_workload: Vec<f64> = self
            .test
            .iter()
            .map(|e| Some(f64::from(e.row[workload])).filter(|p| p.is_finite()).unwrap_or(base))
            .collect();
        let mut references = vec![("base_rate", vec![base; self.test.len()]), ("workload_rate", by_workload)];
        if let Some(champion) = &self.champion {
            let now = answers(&champion.file, &self.test)?;
            references.push(("champion", self.test.iter().zip(now).map(|(e, now)| e.said.unwrap_or(now)).collect()));
        }
        watcher.step("gates", 0.8);
        let gates = gates::all(self, &judged, &p, &metrics, &references, &model, latency, seed);
        watcher.step("importance", 0.9);
        let permutation = named(&self.permutation(&model, &judged, seed)?);
        let splits = model.file.blended.as_ref().map_or(&model.file.forest, |boosted| &boosted.forest);
        let gain = named(&splits.gain_importance());
        let workloads = self.workloads();
        // Only now: it is no gate, what is taken having been chosen on other rows.
        references.extend(other);
        let baselines = references.iter().map(|(name, p)| (*name, measured(&judged, p, &workloads))).collect();
        let evaluation = Evaluation {
            reason: self.reason,
            kind,
            at_ms: self.now_ms,
            n_train: self.train.len(),
            bad_train: self.train.iter().filter(|e| e.bad).count(),
            by_feedback: self.by_feedback,
            n_test: self.test.len(),
            bad_test: self.test.iter().filter(|e| e.bad).count(),
            metrics,
            baselines,
            gates,
            permutation,
            gain,
            calibration,
        };
        watcher.step("done", 1.0);
        let parts = super::reference::of(&self.train.iter().map(|e| &e.row).collect::<Vec<_>>(), super::DRIFT_ROWS);
        Ok(Trained { model, evaluation: Box::new(evaluation), parts })
    }

    /// Predictions for the hold-out, and nanoseconds a row if there is a clock.
    fn timed(&self, file: &Model, watcher: &mut dyn Watcher) -> Result<(Vec<f64>, Option<f64>), ForestError> {
        let before = watcher.nanos();
        let p = answers(file, &self.test)?;
        let took = before.zip(watcher.nanos()).map(|(before, after)| after.saturating_sub(before));
        Ok((p, took.map(|nanos| nanos as f64 / self.test.len().max(1) as f64)))
    }

    /// How boosted trees are grown on the same bins, under the same constraints.
    fn boosting(&self, seed: u64) -> BoostParams {
        BoostParams {
            rounds: ROUNDS,
            monotone: FEATURES.iter().map(|feature| monotone(feature.monotone)).collect(),
            seed,
            ..BoostParams::default()
        }
    }

    /// Whether the second predictions of the rows to calibrate on have the lower log loss after Platt's scaling, the lower end of the
    /// interval of the gain being above 0.
    fn surely_better(
        &self,
        first: &[f32],
        second: &[f32],
        truth: &[f32],
        weights: &[f32],
        seed: u64,
    ) -> Result<bool, ForestError> {
        let scaled = |raw: &[f32]| -> Result<Vec<f64>, ForestError> {
            let calibrator = Calibrator::platt(raw, truth, weights)?;
            Ok(raw.iter().map(|p| f64::from(calibrator.apply(*p))).collect())
        };
        let (first, second) = (scaled(first)?, scaled(second)?);
        let gains: Vec<f64> = self
            .calibrate
            .iter()
            .zip(first.iter().zip(&second))
            .map(|(e, (first, second))| log_loss(*first, e.bad) - log_loss(*second, e.bad))
            .collect();
        Ok(bootstrap(&judged(&self.calibrate), &gains, seed).is_some_and(|interval| interval.low > 0.0))
    }

    pub(super) fn judged(&self) -> Vec<Judged> {
        judged(&self.test)
    }

    pub(super) fn workloads(&self) -> Vec<u64> {
        self.test.iter().map(|e| e.workload).collect()
    }

    /// The rise of the log loss when a feature's values are exchanged among test pods of the same workload.
    fn permutation(&self, model: &LearnedModel, judged: &[Judged], seed: u64) -> Result<Vec<f64>, ForestError> {
        let first = self.test.len() - self.test.len().min(IMPORTANCE_ROWS);
        let (test, judged) = (&self.test[first..], &judged[first..]);
        let mut rows = model.file.bins.rows();
        for example in test {
            rows.push(&model.file.bins, &example.row)?;
        }
        let mut numbers: BTreeMap<u64, u32> = BTreeMap::new();
        let groups: Vec<u32> = test
            .iter()
            .map(|example| {
                let next = numbers.len() as u32;
                *numbers.entry(example.workload).or_insert(next)
            })
            .collect();
        let loss = |p: &[f32]| mean(judged, |at, e| log_loss(f64::from(p[at]), e.bad)).unwrap_or(0.0);
        let predict = |rows: &BinnedRows| model.file.predict_rows(rows);
        permutation_importance(&predict, &model.file.bins, &rows, Some(&groups), 1, seed, &loss)
    }
}

fn judged(examples: &[Labelled]) -> Vec<Judged> {
    // Pods of one workload rise and fall together; with few workloads, so do those of one node.
    let mut workloads: Vec<u64> = examples.iter().map(|e| e.workload).collect();
    workloads.sort_unstable();
    workloads.dedup();
    let by_workload = workloads.len() >= 10;
    let group = |e: &Labelled| if by_workload { e.workload } else { e.node };
    examples.iter().map(|e| Judged { bad: e.bad, weight: e.weight, group: group(e) }).collect()
}

fn monotone(sign: i8) -> Monotone {
    match sign {
        1 => Monotone::Increasing,
        -1 => Monotone::Decreasing,
        _ => Monotone::Free,
    }
}

/// Values by feature name, the largest first.
fn named(values: &[f64]) -> Vec<(&'static str, f64)> {
    let mut named: Vec<_> = FEATURE_NAMES.iter().copied().zip(values.iter().copied()).collect();
    named.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    named
}

fn base_rate(examples: &[Labelled]) -> f64 {
    let (bad, all) =
        examples.iter().fold((0.5, 1.0), |(bad, all), e| (bad + e.weight * f64::from(u8::from(e.bad)), all + e.weight));
    bad / all
}

/// Calibrated probabilities.
pub(super) fn answers(file: &Model, examples: &[Labelled]) -> Result<Vec<f64>, ForestError> {
    probabilities(file, examples.iter().map(|e| &e.row))
}

/// Calibrated probabilities of rows.
pub(super) fn probabilities<'a>(
    file: &Model,
    rows: impl Iterator<Item = &'a FeatureRow>,
) -> Result<Vec<f64>, ForestError> {
    let mut binned: BinnedRows = file.bins.rows();
    for row in rows {
        binned.push(&file.bins, row)?;
    }
    Ok(file.predict_rows(&binned)?.into_iter().map(f64::from).collect())
}

pub(super) fn measured(judged: &[Judged], p: &[f64], workloads: &[u64]) -> Metrics {
    let truth = |e: &Judged| f64::from(u8::from(e.bad));
    Metrics {
        log_loss: mean(judged, |at, e| log_loss(p[at], e.bad)).unwrap_or(0.0),
        brier: mean(judged, |at, e| (p[at] - truth(e)).powi(2)).unwrap_or(0.0),
        ece: ece(judged, p).unwrap_or(0.0),
        auc_within: auc_within(judged, p, workloads),
        auc: auc_within(judged, p, &vec![0; p.len()]),
        accuracy: mean(judged, |at, e| f64::from(u8::from((p[at] >= 0.5) == e.bad))).unwrap_or(0.0),
    }
}

/// Milliseconds of a span.
pub(super) fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 4)
}
