//! What a model must show on its hold-out before it is promoted. Every gate records its figures, passed or not.

use super::measure::{Interval, Judged, bootstrap, ece_by_chance, log_loss, mean};
use super::train::{Labelled, Metrics, Plan, probabilities};
use crate::model::LearnedModel;

/// Propensities are taken as at least this, so that one unlikely choice does not decide an estimate.
const LEAST_PROPENSITY: f64 = 0.05;
/// How much worse the doubly robust estimate of the share of bad outcomes may be.
const TOLERATED_RISK: f64 = 0.005;
/// How much worse the ranking within workloads may be than the champion's.
const TOLERATED_AUC: f64 = 0.005;

/// One condition and how it was met.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// Its name.
    pub name: &'static str,
    /// Whether it is met.
    pub passed: bool,
    /// What was found; `None` when it could not be.
    pub value: Option<f64>,
    /// What it is held against.
    pub limit: Option<f64>,
    /// The 90 % interval of what was found.
    pub interval: Option<[f64; 2]>,
    /// In words.
    pub detail: String,
}

#[expect(clippy::too_many_arguments, reason = "what the gates look at, passed through")]
pub(super) fn all(
    plan: &Plan,
    judged: &[Judged],
    p: &[f64],
    metrics: &Metrics,
    references: &[(&'static str, Vec<f64>)],
    model: &LearnedModel,
    latency: Option<f64>,
    seed: u64,
) -> Vec<Gate> {
    let options = &plan.options;
    let mut gates: Vec<Gate> = references.iter().map(|(name, other)| better(name, judged, p, other, seed)).collect();
    let by_chance = ece_by_chance(judged, p, seed);
    let limit = options.max_ece.max(by_chance);
    gates.push(Gate {
        name: "ece",
        passed: metrics.ece <= limit,
        value: Some(metrics.ece),
        limit: Some(limit),
        interval: None,
        detail: format!(
            "expected calibration error over 15 bins; {} is allowed, or what chance gives a perfect model of so few \
             examples ({by_chance:.4})",
            options.max_ece
        ),
    });
    let workloads = plan.workloads();
    let champion = references.iter().find(|(name, _)| *name == "champion").map(|(_, p)| p);
    let auc_of_champion = champion.and_then(|p| super::measure::auc_within(judged, p, &workloads));
    let least = auc_of_champion.map_or(0.5, |auc| (auc - TOLERATED_AUC).max(0.5));
    gates.push(Gate {
        name: "auc_within",
        passed: metrics.auc_within.is_some_and(|auc| auc > least),
        value: metrics.auc_within,
        limit: Some(least),
        interval: None,
        detail: "ranking of pods of one workload, which is what a choice of nodes can gain from".to_owned(),
    });
    let bad = mean(judged, |_, e| f64::from(u8::from(e.bad))).unwrap_or(0.0);
    let limit = options.performance_threshold.min(bad.max(1.0 - bad));
    gates.push(Gate {
        name: "performance_threshold",
        passed: metrics.accuracy >= limit - 1e-9,
        value: Some(metrics.accuracy),
        limit: Some(limit),
        interval: None,
        detail: format!(
            "share called right at one half; {} is configured, calling all of them the same would reach {:.3}",
            options.performance_threshold,
            bad.max(1.0 - bad)
        ),
    });
    gates.push(doubly_robust(plan, model, judged, champion, seed));
    gates.push(Gate {
        name: "latency",
        passed: latency.is_none_or(|nanos| nanos <= options.max_latency_ns),
        value: latency,
        limit: Some(options.max_latency_ns),
        interval: None,
        detail: if latency.is_some() { "nanoseconds a row, binning included" } else { "not measured: no clock" }
            .to_owned(),
    });
    gates
}

/// The paired difference of log losses, other less own, with the interval over groups.
fn better(name: &'static str, judged: &[Judged], p: &[f64], other: &[f64], seed: u64) -> Gate {
    let gains: Vec<f64> = judged
        .iter()
        .zip(p.iter().zip(other))
        .map(|(e, (own, other))| log_loss(*other, e.bad) - log_loss(*own, e.bad))
        .collect();
    let interval = bootstrap(judged, &gains, seed);
    let name = match name {
        "base_rate" => "log_loss_vs_base_rate",
        "workload_rate" => "log_loss_vs_workload_rate",
        _ => "log_loss_vs_champion",
    };
    Gate {
        name,
        passed: interval.is_some_and(|interval| interval.low > 0.0),
        value: interval.map(|interval| interval.mean),
        limit: Some(0.0),
        interval: interval.map(|interval| [interval.low, interval.high]),
        detail: format!(
            "gain in log loss, bootstrap over {} groups; the lower end must be above 0",
            interval.map_or(0, |interval| interval.groups)
        ),
    }
}

/// Whether choosing by the model would have brought more bad outcomes than what was chosen: Dudík, Langford & Li (2011). What
/// is known of each decision is the chosen node, its propensity, and the runner-up; the model's policy chooses between them.
/// The outcome model is the mean of model and champion, or else the share of bad outcomes: the model does not vouch for itself,
/// nor does the champion, which thinks ill of every node that it did not choose, judge alone. Refused is what is worse by more
/// than chance and by more than is tolerated.
fn doubly_robust(plan: &Plan, model: &LearnedModel, judged: &[Judged], champion: Option<&Vec<f64>>, seed: u64) -> Gate {
    let mut gate = Gate {
        name: "doubly_robust",
        passed: true,
        value: None,
        limit: Some(TOLERATED_RISK),
        interval: None,
        detail: "no decision of the hold-out has a recorded runner-up".to_owned(),
    };
    let pairs: Vec<(usize, &Labelled)> = plan.test.iter().enumerate().filter(|(_, e)| e.other.is_some()).collect();
    if pairs.is_empty() {
        return gate;
    }
    let rows = || pairs.iter().filter_map(|(_, e)| e.other.as_ref().map(|other| &other.row));
    let (Ok(chosen), Ok(others)) =
        (probabilities(&model.file, pairs.iter().map(|(_, e)| &e.row)), probabilities(&model.file, rows()))
    else {
        return Gate { passed: false, detail: "the model does not answer".to_owned(), ..gate };
    };
    let outcome_of_others = plan.champion.as_ref().and_then(|champion| probabilities(&champion.file, rows()).ok());
    let bad = mean(judged, |_, e| f64::from(u8::from(e.bad))).unwrap_or(0.0);
    let (mut values, mut of) = (Vec::with_capacity(pairs.len()), Vec::with_capacity(pairs.len()));
    let (mut weights, mut squares) = (0.0, 0.0);
    for (at, (index, e)) in pairs.iter().enumerate() {
        let Some(other) = &e.other else { continue };
        let truth = f64::from(u8::from(e.bad));
        let both = |champion: Option<&f64>, model: f64| champion.map_or(bad, |champion| (champion + model) / 2.0);
        let expected = both(champion.and_then(|p| p.get(*index)), chosen[at]);
        let expected_other = both(outcome_of_others.as_ref().and_then(|p| p.get(at)), others[at]);
        let stays = other.margin + other.weight * (logit(others[at]) - logit(chosen[at])).clamp(-4.0, 4.0) >= 0.0;
        // 1 over the probability of what was chosen, where the model would have chosen it too.
        let weight = if stays { 1.0 / e.propensity.max(LEAST_PROPENSITY) } else { 0.0 };
        let estimate = if stays { expected } else { expected_other } + weight * (truth - expected);
        weights += weight;
        squares += weight * weight;
        values.push(estimate - truth);
        of.push(judged[*index]);
    }
    let Some(Interval { mean, low, high, .. }) = bootstrap(&of, &values, seed) else { return gate };
    let effective = if squares > 0.0 { weights * weights / squares } else { 0.0 };
    gate.passed = mean <= TOLERATED_RISK || low <= 0.0;
    (gate.value, gate.interval) = (Some(mean), Some([low, high]));
    gate.detail = format!(
        "estimated share of bad outcomes of the model's choices less that of the choices made, over {} decisions with a \
         recorded runner-up, effective sample {effective:.0}",
        of.len()
    );
    gate
}

fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}
