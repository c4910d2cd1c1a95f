//! How good probabilities are on examples that the model has not seen: losses, calibration, ranking within workloads, and what
//! a policy would have brought.

use crate::arms::Random;

/// Probabilities are kept this far from 0 and 1 when their logarithm is taken.
const FLOOR: f64 = 1e-4;
/// Resamples of a bootstrap.
const RESAMPLES: usize = 400;

/// An example as it is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Whether it went bad.
    pub bad: bool,
    /// What it counts.
    pub weight: f64,
    /// Examples of one group rise and fall together: pods of one workload, or of one node.
    pub group: u64,
}

/// The log loss of one probability.
pub fn log_loss(p: f64, bad: bool) -> f64 {
    let p = p.clamp(FLOOR, 1.0 - FLOOR);
    -(if bad { p } else { 1.0 - p }).ln()
}

/// The weighted mean of `value` over examples; `None` when they weigh nothing.
pub fn mean(judged: &[Judged], value: impl Fn(usize, &Judged) -> f64) -> Option<f64> {
    let mut sum = (0.0, 0.0);
    for (index, example) in judged.iter().enumerate() {
        sum = (sum.0 + example.weight * value(index, example), sum.1 + example.weight);
    }
    (sum.1 > 0.0).then(|| sum.0 / sum.1)
}

/// The expected calibration error over 15 bins of equal width.
pub fn ece(judged: &[Judged], p: &[f64]) -> Option<f64> {
    let mut bins = [(0.0, 0.0, 0.0); 15];
    for (example, p) in judged.iter().zip(p) {
        let bin = &mut bins[((p * 15.0) as usize).min(14)];
        let w = example.weight;
        *bin = (bin.0 + w, bin.1 + w * p, bin.2 + w * f64::from(u8::from(example.bad)));
    }
    let all: f64 = bins.iter().map(|bin| bin.0).sum();
    (all > 0.0).then(|| bins.iter().map(|(_, p, bad)| (p - bad).abs()).sum::<f64>() / all)
}

/// What [`ece`] a perfectly calibrated model would show on as many examples in 19 of 20 cases: outcomes are drawn with its
/// own probabilities.
pub fn ece_by_chance(judged: &[Judged], p: &[f64], seed: u64) -> f64 {
    const DRAWS: usize = 100;
    let mut random = Random::new(seed);
    let mut drawn = judged.to_vec();
    let mut errors: Vec<f64> = (0..DRAWS)
        .filter_map(|_| {
            for (example, p) in drawn.iter_mut().zip(p) {
                example.bad = random.unit() < *p;
            }
            ece(&drawn, p)
        })
        .collect();
    errors.sort_unstable_by(f64::total_cmp);
    errors.get(errors.len() * 95 / 100).copied().unwrap_or(0.0)
}

/// The area under the ROC curve among pairs of one workload: the probability that of two pods of a workload, one bad and one
/// good, the bad one had the larger probability. What differs between workloads, placement cannot change. `None` without such a
/// pair.
pub fn auc_within(judged: &[Judged], p: &[f64], workloads: &[u64]) -> Option<f64> {
    let mut order: Vec<usize> = (0..judged.len().min(p.len()).min(workloads.len())).collect();
    order.sort_by(|a, b| workloads[*a].cmp(&workloads[*b]).then(p[*a].total_cmp(&p[*b])));
    let (mut won, mut pairs) = (0.0, 0.0);
    for workload in order.chunk_by(|a, b| workloads[*a] == workloads[*b]) {
        let weight = |bad: bool, among: &[usize]| -> f64 {
            among.iter().filter(|at| judged[**at].bad == bad).map(|at| judged[*at].weight).sum()
        };
        let (mut good_below, all_good) = (0.0, weight(false, workload));
        for equal in workload.chunk_by(|a, b| p[*a] == p[*b]) {
            let (bad, good) = (weight(true, equal), weight(false, equal));
            won += bad * (good_below + good / 2.0);
            pairs += bad * all_good;
            good_below += good;
        }
    }
    (pairs > 0.0).then(|| won / pairs)
}

/// A mean with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The weighted mean.
    pub mean: f64,
    /// Lower end of the 90 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Groups that were resampled.
    pub groups: usize,
}

/// The weighted mean of `values` with its 90 % bootstrap interval, whole groups being drawn with replacement.
pub fn bootstrap(judged: &[Judged], values: &[f64], seed: u64) -> Option<Interval> {
    let mut order: Vec<usize> = (0..judged.len().min(values.len())).collect();
    order.sort_by_key(|at| judged[*at].group);
    let groups: Vec<(f64, f64)> = order
        .chunk_by(|a, b| judged[*a].group == judged[*b].group)
        .map(|group| {
            group.iter().fold((0.0, 0.0), |(sum, weight), at| {
                (sum + judged[*at].weight * values[*at], weight + judged[*at].weight)
            })
        })
        .collect();
    let ratio = |(sum, weight): (f64, f64)| (weight > 0.0).then(|| sum / weight);
    let add = |a: (f64, f64), b: &(f64, f64)| (a.0 + b.0, a.1 + b.1);
    let mean = ratio(groups.iter().fold((0.0, 0.0), add))?;
    let mut random = Random::new(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let drawn = (0..groups.len()).map(|_| &groups[random.below(groups.len())]);
            ratio(drawn.fold((0.0, 0.0), add))
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| means.get(((means.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(mean);
    Some(Interval { mean, low: at(0.05), high: at(0.95), groups: groups.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(bad: &[u8]) -> Vec<Judged> {
        bad.iter().enumerate().map(|(i, bad)| Judged { bad: *bad == 1, weight: 1.0, group: i as u64 }).collect()
    }

    #[test]
    fn what_differs_between_workloads_does_not_count() {
        let examples = judged(&[1, 1, 0, 0, 0, 1]);
        let by_workload = [0.9, 0.9, 0.9, 0.1, 0.1, 0.1];
        let workloads = [1, 1, 1, 2, 2, 2];
        assert_eq!(auc_within(&examples, &by_workload, &workloads), Some(0.5));
        assert_eq!(auc_within(&examples, &[0.8, 0.7, 0.1, 0.2, 0.1, 0.3], &workloads), Some(1.0));
        assert_eq!(auc_within(&examples, &by_workload, &[1, 2, 3, 4, 5, 6]), None);
    }

    #[test]
    fn calibration_is_measured_in_bins() {
        let examples = judged(&[1, 0, 1, 0]);
        assert_eq!(ece(&examples, &[0.5; 4]), Some(0.0));
        assert_eq!(ece(&examples, &[1.0, 0.0, 1.0, 0.0]), Some(0.0));
        assert_eq!(ece(&examples, &[0.0, 1.0, 0.0, 1.0]), Some(1.0));
        assert_eq!(ece(&[], &[]), None);
    }

    #[test]
    fn the_interval_widens_when_examples_come_in_groups() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i / 100 % 2)).collect();
        let alone: Vec<Judged> = (0..400).map(|i| Judged { bad: false, weight: 1.0, group: i }).collect();
        let grouped: Vec<Judged> = alone.iter().map(|j| Judged { group: j.group / 100, ..*j }).collect();
        let width = |judged| bootstrap(judged, &values, 1).map(|i| (i.mean, i.high - i.low)).unwrap();
        let ((mean, narrow), (same, wide)) = (width(&alone), width(&grouped));
        assert!((mean - 0.5).abs() < 1e-12 && mean == same && wide > 4.0 * narrow, "{narrow} {wide}");
    }
}
