//! What shadow mode found: [`ShadowReport`], made of decisions that other schedulers took and that were looked at here.
//!
//! Shares have Wilson's score interval, means the percentile interval of a bootstrap over decisions; both at 95 %.

use augur_history::{DecisionKind, DecisionRecord, Outcome};
use augur_learn::FEATURES;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Samples of the bootstrap.
const RESAMPLES: usize = 1000;

/// The normal distribution's quantile for 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Totals closer than this are equal.
const SAME_TOTAL: f64 = 1e-9;

/// The feature that tells of a node's history.
const STABILITY: &str = "stability_score";

/// A share or mean with its 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// What it rests on: decisions, or matured outcomes.
    pub n: usize,
    /// How the interval was made: `wilson` or `bootstrap`.
    pub interval: String,
}

/// In how many decisions others and Augur differed, and what following Augur is expected to have changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShadowReport {
    /// Decisions that other schedulers took and that were looked at.
    pub decisions: usize,
    /// Of these: the same node.
    pub same_node: usize,
    /// Another node with an equal score: only chance told them apart.
    pub equal_score: usize,
    /// Another node with a better score.
    pub differed: usize,
    /// The other scheduler's node is not feasible by what Augur knew.
    pub not_feasible: usize,
    /// Augur found no node at all.
    pub no_node: usize,
    /// Share of decisions with another node and a better score, or with a node that is not feasible here.
    pub differing_share: Option<Estimate>,
    /// Mean lead of Augur's choice in points of the total, where both nodes are feasible.
    pub score_gain: Option<Estimate>,
    /// Mean of the model's probability of trouble on the node that was chosen, less that on Augur's, over all decisions in which
    /// a model spoke about both: how much trouble a pod would have been spared.
    pub risk_reduction_by_model: Option<Estimate>,
    /// The same by history: how much stabler (share of pods without trouble, times share of time ready) Augur's node was.
    pub stability_gain_by_history: Option<Estimate>,
    /// Share of pods that went bad where Augur would have chosen the same or an equal node.
    pub bad_when_agreed: Option<Estimate>,
    /// Share of pods that went bad where Augur would have chosen another. It tells of the nodes that were chosen, not of what
    /// Augur's would have done.
    pub bad_when_differed: Option<Estimate>,
}

/// How two choices compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agreement {
    Same,
    Equal,
    Differed,
    NotFeasible,
    NoNode,
}

fn agreement(record: &DecisionRecord) -> Agreement {
    let real = record.scores.first().filter(|score| Some(&score.node) == record.node.as_ref());
    match (&record.runner_up, real) {
        (None, Some(_)) => Agreement::Same,
        (None, None) => Agreement::NoNode,
        (Some(_), None) => Agreement::NotFeasible,
        (Some(_), Some(_)) if lead(record).is_some_and(|lead| lead.abs() < SAME_TOTAL) => Agreement::Equal,
        (Some(_), Some(_)) => Agreement::Differed,
    }
}

/// By how much the total of Augur's choice is larger.
fn lead(record: &DecisionRecord) -> Option<f64> {
    match &record.scores[..] {
        [real, ours, ..] if Some(&real.node) == record.node.as_ref() => Some(ours.total - real.total),
        _ => None,
    }
}

impl ShadowReport {
    /// The report on these decisions; others than observed ones are passed over.
    pub fn of<'a>(decisions: impl IntoIterator<Item = (&'a DecisionRecord, Option<&'a Outcome>)>) -> ShadowReport {
        let stability = FEATURES.iter().position(|feature| feature.name == STABILITY);
        let mut counts = [0; 5];
        let (mut gains, mut risks, mut stabler) = (Vec::new(), Vec::new(), Vec::new());
        // Bad and all, agreed and differed.
        let mut outcomes = [(0, 0), (0, 0)];
        for (record, outcome) in decisions {
            if record.kind != DecisionKind::Observed {
                continue;
            }
            let agreement = agreement(record);
            counts[agreement as usize] += 1;
            let agreed = matches!(agreement, Agreement::Same | Agreement::Equal);
            match agreement {
                Agreement::Same => gains.push(0.0),
                _ => gains.extend(lead(record)),
            }
            let ours = record.alternative.as_ref();
            let of_node = |features: &[Option<f64>]| features.get(stability?).copied().flatten();
            if agreement == Agreement::Same {
                risks.extend(record.p_bad.map(|_| 0.0));
                stabler.extend(of_node(&record.features).map(|_| 0.0));
            } else if let Some(ours) = ours {
                risks.extend(record.p_bad.zip(ours.p_bad).map(|(real, ours)| real - ours));
                stabler.extend(of_node(&record.features).zip(of_node(&ours.features)).map(|(real, ours)| ours - real));
            }
            let side = &mut outcomes[usize::from(!agreed)];
            if let Some(good) = outcome.and_then(Outcome::verdict) {
                *side = (side.0 + usize::from(!good), side.1 + 1);
            }
        }
        let [same_node, equal_score, differed, not_feasible, no_node] = counts;
        let decisions = counts.iter().sum();
        ShadowReport {
            decisions,
            same_node,
            equal_score,
            differed,
            not_feasible,
            no_node,
            differing_share: wilson(differed + not_feasible, decisions),
            score_gain: bootstrap(&gains),
            risk_reduction_by_model: bootstrap(&risks),
            stability_gain_by_history: bootstrap(&stabler),
            bad_when_agreed: wilson(outcomes[0].0, outcomes[0].1),
            bad_when_differed: wilson(outcomes[1].0, outcomes[1].1),
        }
    }
}

/// A share with Wilson's score interval (E. B. Wilson, 1927).
fn wilson(hits: usize, n: usize) -> Option<Estimate> {
    if n == 0 {
        return None;
    }
    let (value, size) = (hits as f64 / n as f64, n as f64);
    let centre = (value + Z * Z / (2.0 * size)) / (1.0 + Z * Z / size);
    let half = Z / (1.0 + Z * Z / size) * (value * (1.0 - value) / size + Z * Z / (4.0 * size * size)).sqrt();
    let (low, high) = ((centre - half).max(0.0), (centre + half).min(1.0));
    Some(Estimate { value, low, high, n, interval: "wilson".to_owned() })
}

/// A mean with the percentile interval of a bootstrap. The draws follow from a fixed seed: the same decisions give the same
/// interval.
fn bootstrap(values: &[f64]) -> Option<Estimate> {
    if values.is_empty() {
        return None;
    }
    let mean = |sum: f64| sum / values.len() as f64;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    // SplitMix64 (Steele, Lea, Flood, 2014).
    let mut draw = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as usize % values.len()
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean((0..values.len()).map(|_| values[draw()]).sum())).collect();
    means.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| means[((RESAMPLES - 1) as f64 * share).round() as usize];
    Some(Estimate {
        value: mean(values.iter().sum()),
        low: at(0.025),
        high: at(0.975),
        n: values.len(),
        interval: "bootstrap".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_enclose_what_they_should() {
        let share = wilson(5, 50).unwrap();
        // By hand: 0.0435..0.2136.
        assert!((share.low - 0.043_5).abs() < 5e-4 && (share.high - 0.213_6).abs() < 5e-4, "{share:?}");
        assert_eq!(wilson(0, 10).unwrap().low, 0.0);
        assert_eq!(wilson(0, 0), None);
        let mean = bootstrap(&[0.0, 1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(mean.value, 2.0);
        assert!(mean.low < 1.2 && mean.low > 0.2 && mean.high > 2.8 && mean.high < 3.8, "{mean:?}");
        assert_eq!(bootstrap(&[1.5; 4]).map(|mean| (mean.low, mean.high)), Some((1.5, 1.5)));
    }
}
