//! Intervals that hold a new label with a chosen probability, whatever the model: split-conformal prediction, and its adaptive
//! form under drift.

use crate::error::ForestError;

/// A margin learned from rows that the model was not trained on. The interval holds the label of a new exchangeable row with
/// probability of at least `1 - alpha` (Vovk et al. 2005; Lei et al. 2018).
#[derive(Debug, Clone, PartialEq)]
pub struct Conformal {
    /// How far labels lay outside, ascending; negative when inside.
    scores: Vec<f32>,
}

impl Conformal {
    /// From predictions of a mean: scores are absolute residuals.
    ///
    /// # Errors
    /// When sizes differ, there are no rows or a value is not finite.
    pub fn of_means(predictions: &[f32], labels: &[f32]) -> Result<Self, ForestError> {
        Self::of_bounds(predictions, predictions, labels)
    }

    /// From predictions of a lower and an upper quantile (Romano, Patterson and Candès 2019): scores say how far the label is
    /// outside of both, and are negative inside.
    ///
    /// # Errors
    /// As [`Conformal::of_means`].
    pub fn of_bounds(lower: &[f32], upper: &[f32], labels: &[f32]) -> Result<Self, ForestError> {
        if lower.len() != labels.len() || upper.len() != labels.len() {
            return Err(ForestError::shape(
                "predictions to fit intervals with",
                labels.len(),
                lower.len().min(upper.len()),
            ));
        }
        let mut scores: Vec<f32> =
            labels.iter().zip(lower.iter().zip(upper)).map(|(y, (l, u))| (l - y).max(y - u)).collect();
        if scores.is_empty() || scores.iter().any(|s| !s.is_finite()) {
            return Err(ForestError::Data("intervals need rows with finite labels and predictions".to_owned()));
        }
        scores.sort_unstable_by(f32::total_cmp);
        Ok(Self { scores })
    }

    /// What to add on either side so that at most `alpha` of labels lie outside. Infinite when the rows are too few to promise it.
    #[must_use]
    pub fn margin(&self, alpha: f64) -> f32 {
        let n = self.scores.len();
        let rank = ((n as f64 + 1.0) * (1.0 - alpha)).ceil().max(1.0) as usize;
        self.scores.get(rank - 1).copied().unwrap_or(f32::INFINITY)
    }

    /// The interval about a predicted mean (give it twice) or a pair of quantiles.
    #[must_use]
    pub fn interval(&self, lower: f32, upper: f32, alpha: f64) -> (f32, f32) {
        let margin = self.margin(alpha);
        let (from, to) = (lower - margin, upper + margin);
        // A negative margin can let narrow quantiles cross.
        if from <= to { (from, to) } else { (f32::midpoint(from, to), f32::midpoint(from, to)) }
    }
}

/// Adaptive conformal inference (Gibbs and Candès 2021): alpha moves with what is covered, so that coverage holds in the long run
/// under drift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveAlpha {
    target: f64,
    rate: f64,
    alpha: f64,
}

impl AdaptiveAlpha {
    /// Starts at the share of labels that may lie outside. `rate` is how far one label moves it, usually 0.005.
    #[must_use]
    pub fn new(target: f64, rate: f64) -> Self {
        Self { target, rate, alpha: target }
    }

    /// What to give [`Conformal::margin`] now; held within [0, 1].
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha.clamp(0.0, 1.0)
    }

    /// Learns whether the latest label lay in its interval.
    pub fn observe(&mut self, covered: bool) {
        self.alpha += self.rate * (self.target - if covered { 0.0 } else { 1.0 });
    }
}
