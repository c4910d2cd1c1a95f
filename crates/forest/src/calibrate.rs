//! Probabilities that mean what they say: [`Calibrator::platt`] and [`Calibrator::isotonic`] learn from rows that the forest was
//! not trained on (out-of-bag or later ones) how to correct its predictions.

use crate::error::ForestError;

/// Predictions are held this far from 0 and 1 before their log-odds are taken.
const EDGE: f64 = 1e-4;
/// Isotonic regression keeps at most this many knots.
const KNOTS: usize = 256;

/// A rising function from predictions to probabilities.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Calibrator {
    /// Leaves predictions as they are.
    #[default]
    Identity,
    /// The logistic function of `slope · log-odds + intercept`.
    Platt {
        /// Factor on the log-odds, not negative.
        slope: f64,
        /// Added to them.
        intercept: f64,
    },
    /// Straight lines between knots.
    Isotonic {
        /// Predictions, ascending.
        inputs: Vec<f32>,
        /// Probabilities, ascending.
        outputs: Vec<f32>,
    },
}

impl Calibrator {
    /// Platt's scaling (1999) on log-odds, by Newton's method as Lin, Lin and Weng (2007) advise, with his smoothed targets.
    ///
    /// # Errors
    /// When sizes differ, there is one class only, or a prediction is not in [0, 1].
    pub fn platt(predictions: &[f32], labels: &[f32], weights: &[f32]) -> Result<Self, ForestError> {
        let rows = Odds::new(predictions, labels, weights, 0.0)?;
        let (slope, intercept) = rows.fit(true);
        Ok(Self::Platt { slope: slope.max(0.0), intercept })
    }

    /// Makes log-odds bolder or more cautious about those of `center`, the rate of label 1 that the model was trained on, and
    /// leaves `center` as it is: temperature scaling (Guo et al. 2017) about the base rate rather than one half. For rates that
    /// change with time in ways that the rows to calibrate with cannot foretell.
    ///
    /// # Errors
    /// As [`Calibrator::platt`].
    pub fn temperature(predictions: &[f32], labels: &[f32], weights: &[f32], center: f32) -> Result<Self, ForestError> {
        let center = log_odds(center);
        let rows = Odds::new(predictions, labels, weights, center)?;
        let (slope, _) = rows.fit(false);
        let slope = slope.max(0.0);
        Ok(Self::Platt { slope, intercept: center * (1.0 - slope) })
    }

    /// Isotonic regression by pooling adjacent violators (Ayer et al. 1955). Outputs keep away from 0 and 1 by one row in all
    /// rows, so that no finite number of rows makes certain.
    ///
    /// # Errors
    /// As [`Calibrator::platt`].
    pub fn isotonic(predictions: &[f32], labels: &[f32], weights: &[f32]) -> Result<Self, ForestError> {
        struct Block {
            inputs: f64,
            labels: f64,
            weight: f64,
        }
        let sums = check(predictions, labels, weights)?;
        let mut order: Vec<usize> = (0..predictions.len()).collect();
        order.sort_by(|a, b| predictions[*a].total_cmp(&predictions[*b]));
        let mut blocks: Vec<Block> = Vec::new();
        let mut last = f32::NAN;
        for row in order {
            let w = weight(weights, row);
            if w <= 0.0 {
                continue;
            }
            let (x, y) = (f64::from(predictions[row]), f64::from(labels[row]));
            match blocks.last_mut() {
                // Equal predictions cannot be told apart.
                Some(block) if predictions[row] == last => {
                    block.inputs += w * x;
                    block.labels += w * y;
                    block.weight += w;
                }
                _ => blocks.push(Block { inputs: w * x, labels: w * y, weight: w }),
            }
            last = predictions[row];
        }
        let mut pooled: Vec<Block> = Vec::new();
        for mut block in blocks {
            while let Some(before) = pooled.pop_if(|p| p.labels * block.weight >= block.labels * p.weight) {
                block.inputs += before.inputs;
                block.labels += before.labels;
                block.weight += before.weight;
            }
            pooled.push(block);
        }
        let edge = 1.0 / (sums.positive + sums.negative + 2.0);
        // Knots at the blocks' centres: between them the line rises, where steps would tie rows that the forest tells apart.
        let step = pooled.len().div_ceil(KNOTS).max(1);
        let mut inputs: Vec<f32> = Vec::new();
        let mut outputs: Vec<f32> = Vec::new();
        for chunk in pooled.chunks(step) {
            let weight: f64 = chunk.iter().map(|b| b.weight).sum();
            let input = (chunk.iter().map(|b| b.inputs).sum::<f64>() / weight) as f32;
            let output = (chunk.iter().map(|b| b.labels).sum::<f64>() / weight).clamp(edge, 1.0 - edge) as f32;
            match (inputs.last(), outputs.last_mut()) {
                // Rounding to f32 can let two centres meet.
                (Some(last), Some(known)) if input <= *last => *known = known.max(output),
                _ => {
                    inputs.push(input);
                    outputs.push(output);
                }
            }
        }
        Ok(Self::Isotonic { inputs, outputs })
    }

    /// The probability for a prediction.
    #[must_use]
    pub fn apply(&self, prediction: f32) -> f32 {
        match self {
            Self::Identity => prediction,
            Self::Platt { slope, intercept } => {
                (1.0 / (1.0 + (-(slope * log_odds(prediction) + intercept)).exp())) as f32
            }
            Self::Isotonic { inputs, outputs } => {
                let above = inputs.partition_point(|x| *x <= prediction);
                let (Some(x1), Some(y1)) = (inputs.get(above), outputs.get(above)) else {
                    return outputs.last().copied().unwrap_or(prediction);
                };
                let Some((x0, y0)) = above.checked_sub(1).and_then(|b| Some((inputs.get(b)?, outputs.get(b)?))) else {
                    return *y1;
                };
                y0 + (y1 - y0) * ((prediction - x0) / (x1 - x0))
            }
        }
    }

    /// Replaces predictions by probabilities.
    pub fn apply_to(&self, predictions: &mut [f32]) {
        if *self != Self::Identity {
            predictions.iter_mut().for_each(|p| *p = self.apply(*p));
        }
    }
}

/// Rows as (log-odds less those of a center, smoothed target, weight), and the center.
struct Odds(Vec<(f64, f64, f64)>, f64);

impl Odds {
    fn new(predictions: &[f32], labels: &[f32], weights: &[f32], center: f64) -> Result<Self, ForestError> {
        let sums = check(predictions, labels, weights)?;
        let (high, low) = ((sums.positive + 1.0) / (sums.positive + 2.0), 1.0 / (sums.negative + 2.0));
        let target = |label: f32| if label == 1.0 { high } else { low };
        let rows = predictions.iter().zip(labels).enumerate();
        let rows = rows.map(|(row, (p, label))| (log_odds(*p) - center, target(*label), weight(weights, row)));
        Ok(Self(rows.collect(), center))
    }

    fn loss(&self, slope: f64, intercept: f64) -> f64 {
        let loss = |(x, t, w): &(f64, f64, f64)| {
            let z = self.1 + slope * x + intercept;
            // ln(1 + e^z) - t z, without overflow.
            w * (z.max(0.0) + (-z.abs()).exp().ln_1p() - t * z)
        };
        self.0.iter().map(loss).sum()
    }

    /// Slope and intercept (0 unless it is `free`) of the least log-loss, by Newton's method with halved steps.
    fn fit(&self, free: bool) -> (f64, f64) {
        let (mut a, mut b) = (1.0, 0.0);
        let mut current = self.loss(a, b);
        for _ in 0..100 {
            let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 1e-9, 0.0, 1e-9);
            for (x, t, w) in &self.0 {
                let p = 1.0 / (1.0 + (-(self.1 + a * x + b)).exp());
                let (g, h) = (w * (p - t), w * p * (1.0 - p));
                ga += g * x;
                gb += g;
                haa += h * x * x;
                hab += h * x;
                hbb += h;
            }
            let determinant = haa * hbb - hab * hab;
            let (da, db) = match free {
                true => ((hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant),
                false => (ga / haa, 0.0),
            };
            let mut step = 1.0;
            while step > 1e-6 && self.loss(a - step * da, b - step * db) > current {
                step /= 2.0;
            }
            let next = self.loss(a - step * da, b - step * db);
            if !next.is_finite() || next > current - 1e-10 * current.abs() {
                break;
            }
            (a, b, current) = (a - step * da, b - step * db, next);
        }
        (a, b)
    }
}

struct Sums {
    positive: f64,
    negative: f64,
}

fn check(predictions: &[f32], labels: &[f32], weights: &[f32]) -> Result<Sums, ForestError> {
    if labels.len() != predictions.len() {
        return Err(ForestError::shape("labels to calibrate with", predictions.len(), labels.len()));
    }
    if !weights.is_empty() && weights.len() != predictions.len() {
        return Err(ForestError::shape("weights to calibrate with", predictions.len(), weights.len()));
    }
    if let Some(row) = predictions.iter().position(|p| !(0.0..=1.0).contains(p)) {
        let found = predictions[row].to_string();
        return Err(ForestError::Value { row, what: "prediction", found, expected: "between 0 and 1" });
    }
    let mut sums = Sums { positive: 0.0, negative: 0.0 };
    for (row, label) in labels.iter().enumerate() {
        let sum = if *label == 1.0 { &mut sums.positive } else { &mut sums.negative };
        *sum += weight(weights, row);
    }
    if sums.positive <= 0.0 || sums.negative <= 0.0 {
        return Err(ForestError::Data("the rows to calibrate with have one class only".to_owned()));
    }
    Ok(sums)
}

fn weight(weights: &[f32], row: usize) -> f64 {
    weights.get(row).map_or(1.0, |w| f64::from(*w))
}

fn log_odds(p: f32) -> f64 {
    let p = f64::from(p).clamp(EDGE, 1.0 - EDGE);
    (p / (1.0 - p)).ln()
}
