//! How good probabilities are: ranking ([`auc`], [`average_precision`]), error ([`brier`], [`log_loss`]) and calibration
//! ([`expected_calibration_error`], [`reliability`]). Weights are empty when all rows weigh the same.

/// Equal-width bins of the expected calibration error and of the reliability table.
pub const RELIABILITY_BINS: usize = 15;

/// Rows of labels and scores put in order once, for metrics under several weightings of the rows.
#[derive(Debug, Clone)]
pub struct Ranking<'a> {
    labels: &'a [f32],
    /// Rows by falling score, each with whether its score differs from the one before.
    order: Vec<(u32, bool)>,
    scores: &'a [f32],
}

impl<'a> Ranking<'a> {
    /// Orders rows by score. The shorter of both slices counts.
    #[must_use]
    pub fn new(labels: &'a [f32], scores: &'a [f32]) -> Self {
        let rows = labels.len().min(scores.len());
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
        let mut last = f32::NAN;
        let order = order.into_iter().map(|row| {
            let score = scores[row as usize];
            let new = score != last;
            last = score;
            (row, new)
        });
        Self { labels, order: order.collect(), scores }
    }

    /// Calls `visit` with (score, weight of label 1, weight of label 0) of the rows of each score, from the highest.
    fn each(&self, weights: &[f32], mut visit: impl FnMut(f32, f64, f64)) {
        let (mut score, mut one, mut zero) = (f32::NAN, 0.0, 0.0);
        for (row, new) in &self.order {
            let row = *row as usize;
            if *new {
                if one + zero > 0.0 {
                    visit(score, one, zero);
                }
                (score, one, zero) = (self.scores[row], 0.0, 0.0);
            }
            let weight = weight(weights, row);
            let positive = f64::from(self.labels[row]) * weight;
            one += positive;
            zero += weight - positive;
        }
        if one + zero > 0.0 {
            visit(score, one, zero);
        }
    }

    /// The area under the receiver operating characteristic: the probability that a row of label 1 scores above one of label
    /// 0, ties counting half. NaN when there is one class only.
    #[must_use]
    pub fn auc(&self, weights: &[f32]) -> f64 {
        let (mut above, mut won, mut negative) = (0.0, 0.0, 0.0);
        self.each(weights, |_, one, zero| {
            won += zero * (above + one / 2.0);
            above += one;
            negative += zero;
        });
        won / (above * negative)
    }

    /// Average precision: the sum over thresholds of precision times the recall gained, without interpolation. NaN when no row
    /// has label 1.
    #[must_use]
    pub fn average_precision(&self, weights: &[f32]) -> f64 {
        let (mut hits, mut all, mut sum) = (0.0, 0.0, 0.0);
        self.each(weights, |_, one, zero| {
            hits += one;
            all += one + zero;
            sum += one * hits / all;
        });
        sum / hits
    }

    /// Points (false positive rate, true positive rate) from (0, 0) to (1, 1).
    #[must_use]
    pub fn roc_curve(&self) -> Vec<(f64, f64)> {
        let mut points = vec![(0.0, 0.0)];
        let (mut one, mut zero) = (0.0, 0.0);
        self.each(&[], |_, ones, zeros| {
            one += ones;
            zero += zeros;
            points.push((zero, one));
        });
        points.iter().map(|(x, y)| (x / zero, y / one)).collect()
    }

    /// Points (recall, precision) by falling threshold.
    #[must_use]
    pub fn precision_recall_curve(&self) -> Vec<(f64, f64)> {
        let mut points = Vec::new();
        let (mut one, mut all) = (0.0, 0.0);
        self.each(&[], |_, ones, zeros| {
            one += ones;
            all += ones + zeros;
            points.push((one, one / all));
        });
        points.iter().map(|(hits, precision)| (hits / one, *precision)).collect()
    }
}

fn weight(weights: &[f32], row: usize) -> f64 {
    weights.get(row).map_or(1.0, |w| f64::from(*w))
}

/// See [`Ranking::auc`].
#[must_use]
pub fn auc(labels: &[f32], scores: &[f32], weights: &[f32]) -> f64 {
    Ranking::new(labels, scores).auc(weights)
}

/// See [`Ranking::average_precision`].
#[must_use]
pub fn average_precision(labels: &[f32], scores: &[f32], weights: &[f32]) -> f64 {
    Ranking::new(labels, scores).average_precision(weights)
}

fn mean(labels: &[f32], scores: &[f32], weights: &[f32], loss: impl Fn(f64, f64) -> f64) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for (row, (label, score)) in labels.iter().zip(scores).enumerate() {
        let weight = weight(weights, row);
        sum += weight * loss(f64::from(*label), f64::from(*score));
        total += weight;
    }
    sum / total
}

/// The Brier score: the mean squared difference between probability and label.
#[must_use]
pub fn brier(labels: &[f32], scores: &[f32], weights: &[f32]) -> f64 {
    mean(labels, scores, weights, |label, score| (label - score).powi(2))
}

/// The mean negative logarithm of the probability given to what happened, in nats; probabilities are held 1e-7 away from 0 and 1.
#[must_use]
pub fn log_loss(labels: &[f32], scores: &[f32], weights: &[f32]) -> f64 {
    mean(labels, scores, weights, |label, score| {
        let p = score.clamp(1e-7, 1.0 - 1e-7);
        -(label * p.ln() + (1.0 - label) * (1.0 - p).ln())
    })
}

/// One bin of a reliability table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// The least probability of the bin.
    pub from: f64,
    /// The probability that it ends before (the last bin holds 1 too).
    pub to: f64,
    /// Rows in it.
    pub rows: usize,
    /// Their weight.
    pub weight: f64,
    /// The mean probability; NaN without rows.
    pub predicted: f64,
    /// The share of label 1; NaN without rows.
    pub observed: f64,
}

/// Probabilities against what happened, in bins of equal width.
#[must_use]
pub fn reliability(labels: &[f32], scores: &[f32], weights: &[f32], bins: usize) -> Vec<ReliabilityBin> {
    let bins = bins.max(1);
    let mut sums = vec![(0usize, 0.0, 0.0, 0.0); bins];
    for (row, (label, score)) in labels.iter().zip(scores).enumerate() {
        let weight = weight(weights, row);
        let bin = ((f64::from(*score) * bins as f64) as usize).min(bins - 1);
        let sum = &mut sums[bin];
        sum.0 += 1;
        sum.1 += weight;
        sum.2 += weight * f64::from(*score);
        sum.3 += weight * f64::from(*label);
    }
    let width = 1.0 / bins as f64;
    let bin = |(index, (rows, weight, predicted, observed)): (usize, (usize, f64, f64, f64))| ReliabilityBin {
        from: index as f64 * width,
        to: (index + 1) as f64 * width,
        rows,
        weight,
        predicted: predicted / weight,
        observed: observed / weight,
    };
    sums.into_iter().enumerate().map(bin).collect()
}

/// The expected calibration error: the mean, over bins of equal width and by weight, of how far the mean probability is from the
/// share of label 1.
#[must_use]
pub fn expected_calibration_error(labels: &[f32], scores: &[f32], weights: &[f32], bins: usize) -> f64 {
    let table = reliability(labels, scores, weights, bins);
    let total: f64 = table.iter().map(|b| b.weight).sum();
    let used = table.iter().filter(|b| b.weight > 0.0);
    used.map(|b| b.weight * (b.predicted - b.observed).abs()).sum::<f64>() / total
}
