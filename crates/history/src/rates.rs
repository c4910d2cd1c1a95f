//! The written definitions of the rates and scores, and how they are shrunk.
//!
//! All are probabilities for a pod placed on the node or belonging to the workload, from counts whose weight halves every 48 h:
//!
//! * `failure_rate`: that it gets into trouble, which is: a container restarted after an error or OOM, not Ready in time, failed,
//!   refused or evicted by the kubelet, lost with its node.
//! * `restart_rate`: that at least one of its containers is restarted, for whatever reason.
//! * `oom_rate`: that at least one of its containers is killed for memory. `eviction_rate`: that the kubelet evicts it.
//! * `stability_score` of a node: `(1 - failure_rate) · ready_share`, where `ready_share` is the share of the watched time of
//!   the window (168 h) for which the node was Ready. 1 is a node on which nothing ever went wrong.
//!
//! **Shrinkage.** A rate of `x` in `n` (both decayed) is shrunk to the rate `p` of the level above it: `(x + k·p) / (n + k)`.
//! The levels are pod template (revision) → workload → namespace → cluster, and node → node class → cluster; the cluster's rate
//! has half a pod added on either side. `k` comes from the spread between the members of a level around the rates above them,
//! by the method of moments for the beta-binomial, bounded to 4..400; it is 20 while fewer than three members have pods. The
//! interval is Wilson's score interval (90 %) of the shrunk rate with `n + k` trials. Nothing seen (`n = 0`) is `None`, never the
//! rate above in disguise. In its namespace and in the cluster a workload counts as at most [`WORKLOAD_PODS`] pods, so that one
//! that never starts does not speak for all others. A pod counts as one trial however often it fails, and each further day that it runs makes it one again.
//!
//! **Whose fault.** Trouble that is found to be the workload's own (see `memory/recent.rs`) is not counted against the node.
//! Of the rest, what an application may bring upon itself counts against the node by the part that the workload's record on
//! *other* nodes does not explain: `1 - rate elsewhere`. And no workload counts on a node as more than [`CELL_PODS`] pods,
//! so that a pod that fails again and again in one place cannot quarantine a node on which others do well, while a node on
//! which several workloads fail stands out as soon as they do.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::WorkloadKey;
use crate::usage::UsagePercentiles;

/// One workload counts on one node as at most so many pods.
pub const CELL_PODS: f64 = 2.0;
/// One workload counts in its namespace and in the cluster as at most so many pods.
pub const WORKLOAD_PODS: f64 = 20.0;

/// A shrunk probability with what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// The estimate, 0..1.
    pub value: f64,
    /// Lower end of the 90 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Pods seen within the window.
    pub n: u64,
    /// Pods that it rests on, after decay (and, for a node, after the bound for each workload).
    pub n_eff: f64,
}

/// The four rates of one thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct RateSet {
    /// Probability of trouble.
    pub failure: Option<Rate>,
    /// Probability of a restart.
    pub restart: Option<Rate>,
    /// Probability of an OOM kill.
    pub oom: Option<Rate>,
    /// Probability of an eviction.
    pub eviction: Option<Rate>,
}

/// Pods that came to a node and trouble that it is blamed for, decayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Lately {
    /// Pods.
    pub pods: f64,
    /// Pods in trouble.
    pub trouble: f64,
}

/// Trouble that pods of several workloads have on a node within minutes. See `memory/ailing.rs` for what counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Ails {
    /// Workloads in trouble, with a half-life of eight minutes; each counts at most once, and the first by half.
    pub troubled: f64,
    /// Times that the node began to ail within a week.
    pub spells: f64,
    /// Hours in which that would have been seen: those for which it was watched, fewer the fewer pods it had.
    pub hours: f64,
    /// Spells an hour that are to be expected of it now (`memory/ailing/spells.rs`); `None` before any node was watched.
    pub spell_rate: Option<f64>,
    /// Minutes since it ailed last; `None` if it never has.
    pub quiet_minutes: Option<f64>,
}

impl Ails {
    /// The risk of a pod that comes to the node now, 0..1 relative to a node that is known to ail: that it ails, or begins to
    /// within the hour, `1 - exp(-(troubled + spell rate))`.
    pub fn risk(&self) -> f64 {
        1.0 - (-(self.troubled + self.spell_rate.unwrap_or(0.0))).exp()
    }
}

/// What is known of a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeRates {
    /// Its class; empty when not known.
    pub class: Arc<str>,
    /// Probability of trouble; see the module.
    pub failure_rate: Option<Rate>,
    /// Probability of a restart; see the module.
    pub restart_rate: Option<Rate>,
    /// Probability of an OOM kill; see the module.
    pub oom_rate: Option<Rate>,
    /// Probability of an eviction; see the module.
    pub eviction_rate: Option<Rate>,
    /// `(1 - failure_rate) · ready_share`.
    pub stability_score: Option<f64>,
    /// Share of the watched time for which the node was Ready.
    pub ready_share: Option<f64>,
    /// Pods seen within the window.
    pub pods: u64,
    /// Of these, how many failed or were evicted.
    pub failed_pods: u64,
    /// How many failed or were evicted in this clock hour and the one before, so in the last one to two hours: what tells
    /// of the node's present state, and recovers with it.
    pub recent_failed_pods: u64,
    /// How it has done lately, with a half-life of half an hour.
    pub hour: Lately,
    /// The same with a half-life of twelve hours.
    pub day: Lately,
    /// Whether it ails now, and how often it does.
    pub ails: Ails,
    /// Container restarts.
    pub restarts: u64,
    /// OOM kills.
    pub oom_kills: u64,
    /// Evictions.
    pub evictions: u64,
    /// Restarts for each pod, as counted.
    pub average_restarts: Option<f64>,
    /// Decayed mean of CPU use as a fraction of allocatable; `None` before ten samples.
    pub mean_cpu: Option<f64>,
    /// The same for memory.
    pub mean_memory: Option<f64>,
    /// Expected peak of CPU use as a fraction of allocatable: the larger of the decayed mean + [`PEAK_SIGMAS`] standard
    /// deviations, and of `expected_cpu` where the allocatable CPU is known (Bashir et al., "Take it to the Limit", EuroSys
    /// 2021); `None` before ten samples.
    pub peak_cpu: Option<f64>,
    /// The same for memory.
    pub peak_memory: Option<f64>,
    /// The 99th percentiles of the pods that are on the node, by their workloads, summed up, in cores; `None` before a reading.
    pub expected_cpu: Option<f64>,
    /// The same for memory, in bytes.
    pub expected_memory: Option<f64>,
}

/// What is known of a workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct WorkloadRates {
    /// Probability of trouble.
    pub failure_rate: Option<Rate>,
    /// Probability of a restart.
    pub restart_rate: Option<Rate>,
    /// Probability of an OOM kill.
    pub oom_rate: Option<Rate>,
    /// Probability of an eviction.
    pub eviction_rate: Option<Rate>,
    /// Pods seen.
    pub n: u64,
    /// Container restarts.
    pub restarts: u64,
    /// OOM kills.
    pub oom_kills: u64,
    /// Evictions.
    pub evictions: u64,
    /// Times that a running pod ceased to be Ready.
    pub unready: u64,
    /// 95th percentile of the latest starts, from placing to Ready, in milliseconds.
    pub start_p95_ms: Option<i64>,
    /// Whose counts weigh most in the rates: `workload`, `namespace` or `cluster`.
    pub backoff_level: &'static str,
    /// What its pods use; `None` before ten samples.
    pub usage: Option<UsagePercentiles>,
    /// By revision of its pod template, oldest first; only when more than one is known.
    pub templates: Vec<(Arc<str>, RateSet)>,
}

/// What a pod about to be placed is expected to do, from the nearest level that has seen its like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PodRates {
    /// The rates.
    pub rates: RateSet,
    /// The level they come from: `template`, `workload`, `namespace` or `cluster`.
    pub level: &'static str,
}

/// A consistent picture of all rates.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// By node name; boxed, because a map has up to twice as many places as it holds, and several pictures may be in use.
    pub nodes: HashMap<Arc<str>, Box<NodeRates>>,
    /// By class of nodes.
    pub classes: HashMap<Arc<str>, RateSet>,
    /// By workload.
    pub workloads: HashMap<WorkloadKey, WorkloadRates>,
    /// By namespace.
    pub namespaces: HashMap<Arc<str>, RateSet>,
    /// Of the cluster as a whole, all trouble included.
    pub cluster: RateSet,
    /// The cluster's probability of trouble, and the pods it rests on.
    pub cluster_failure_rate: Option<f64>,
    /// Pods seen in the cluster.
    pub pods: u64,
}

impl Rates {
    /// The rates of a pod of this workload and revision; `None` when no pod has ever been seen.
    pub fn of_pod(&self, workload: &WorkloadKey, revision: &str) -> Option<PodRates> {
        let known = |rates: RateSet, level| rates.failure.map(|_| PodRates { rates, level });
        let of_workload = self.workloads.get(workload);
        let template = of_workload.and_then(|w| w.templates.iter().find(|(name, _)| **name == *revision));
        template
            .and_then(|(_, rates)| known(*rates, "template"))
            .or_else(|| {
                let w = of_workload?;
                let rates = RateSet {
                    failure: w.failure_rate,
                    restart: w.restart_rate,
                    oom: w.oom_rate,
                    eviction: w.eviction_rate,
                };
                known(rates, "workload")
            })
            .or_else(|| known(*self.namespaces.get(&workload.namespace)?, "namespace"))
            .or_else(|| known(self.cluster, "cluster"))
    }
}

/// What a level says about a member of the level below.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prior {
    pub p: f64,
    pub k: f64,
}

pub(crate) const K_DEFAULT: f64 = 20.0;
const K_MIN: f64 = 4.0;
const K_MAX: f64 = 400.0;
/// Below so many decayed pods a member has none.
pub(crate) const NO_PODS: f64 = 1e-3;

/// The rate of a whole, from which everything below is shrunk.
pub(crate) fn root(events: f64, pods: f64) -> f64 {
    (events.min(pods) + 0.5) / (pods + 1.0)
}

/// The strength of the prior for a level: from triples (events, pods, rate of the level above).
pub(crate) fn strength(members: impl Iterator<Item = (f64, f64, f64)>) -> f64 {
    // Spread of the members' rates, weighted by pods, beyond what chance alone gives.
    let (mut groups, mut pods, mut spread, mut chance, mut variance) = (0u32, 0.0, 0.0, 0.0, 0.0);
    for (x, n, p) in members.filter(|&(_, n, _)| n > NO_PODS) {
        groups += 1;
        pods += n;
        spread += n * (x.min(n) / n - p).powi(2);
        chance += p * (1.0 - p);
        variance += n * p * (1.0 - p);
    }
    if groups < 3 {
        return K_DEFAULT;
    }
    let between = (spread - chance) / pods;
    let k = if between > 0.0 { variance / pods / between - 1.0 } else { K_MAX };
    k.clamp(K_MIN, K_MAX)
}

impl Prior {
    /// A rate of `x` in `n` pods shrunk to this prior; `seen` pods have been seen altogether. `None` without any.
    pub fn shrink(&self, x: f64, n: f64, seen: u64) -> Option<Rate> {
        if n <= NO_PODS {
            return None;
        }
        let weight = n + self.k;
        let value = ((x.clamp(0.0, n) + self.k * self.p) / weight).clamp(0.0, 1.0);
        let (low, high) = wilson(value, weight);
        Some(Rate { value, low, high, n: seen, n_eff: n })
    }
}

/// Wilson's score interval of 90 % for a rate in so many trials.
fn wilson(rate: f64, trials: f64) -> (f64, f64) {
    const Z: f64 = 1.645;
    let z2 = Z * Z / trials;
    let centre = (rate + z2 / 2.0) / (1.0 + z2);
    let half = Z / (1.0 + z2) * (rate * (1.0 - rate) / trials + z2 / (4.0 * trials)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// Exponentially decayed mean and variance of a node's usage; half of the weight lies in the last day of samples.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    samples: u32,
    weight: f64,
    mean: f64,
    variance: f64,
    last_ms: i64,
}

const USAGE_HALF_LIFE_MS: f64 = 24.0 * 3_600_000.0;
const USAGE_MIN_SAMPLES: u32 = 10;
/// Standard deviations between the mean and the peak: if readings are normal, one in 740 lies above, the highest of about six
/// hours of them.
pub const PEAK_SIGMAS: f64 = 3.0;

impl Usage {
    pub fn add(&mut self, value: f64, at_ms: i64) {
        if !value.is_finite() || value < 0.0 || at_ms <= self.last_ms {
            return;
        }
        let decay =
            if self.samples == 0 { 0.0 } else { (-((at_ms - self.last_ms) as f64) / USAGE_HALF_LIFE_MS).exp2() };
        self.last_ms = at_ms;
        self.samples = self.samples.saturating_add(1);
        self.weight = self.weight * decay + 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.weight;
        self.variance += (delta * (value - self.mean) - self.variance) / self.weight;
    }

    /// Adds what another has seen, as of the later of the two.
    pub fn take_in(&mut self, other: &Self) {
        let (early, late) = if other.last_ms < self.last_ms { (other, &*self) } else { (&*self, other) };
        let faded = early.weight * (-((late.last_ms - early.last_ms) as f64) / USAGE_HALF_LIFE_MS).exp2();
        let weight = faded + late.weight;
        if early.samples == 0 || weight <= 0.0 {
            *self = *late;
            return;
        }
        let mean = (faded * early.mean + late.weight * late.mean) / weight;
        let square = |usage: &Self| usage.variance + (usage.mean - mean).powi(2);
        let variance = (faded * square(early) + late.weight * square(late)) / weight;
        let samples = early.samples.saturating_add(late.samples);
        *self = Self { samples, weight, mean, variance, last_ms: late.last_ms };
    }

    pub fn mean(&self) -> Option<f64> {
        (self.samples >= USAGE_MIN_SAMPLES).then_some(self.mean)
    }

    pub fn peak(&self) -> Option<f64> {
        (self.samples >= USAGE_MIN_SAMPLES).then(|| self.mean + PEAK_SIGMAS * self.variance.max(0.0).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(members: &[(f64, f64)]) -> Prior {
        let (x, n) = members.iter().fold((0.0, 0.0), |(x, n), (a, b)| (x + a, n + b));
        let p = root(x, n);
        Prior { p, k: strength(members.iter().map(|&(x, n)| (x, n, p))) }
    }

    #[test]
    fn nothing_seen_is_not_known() {
        assert_eq!(flat(&[(0.0, 0.0)]).shrink(0.0, 0.0, 0), None);
    }

    #[test]
    fn a_bad_node_among_good_ones_stands_out_and_a_single_pod_does_not_condemn() {
        let prior = flat(&[(40.0, 100.0), (2.0, 100.0), (1.0, 100.0), (3.0, 100.0), (1.0, 1.0)]);
        let bad = prior.shrink(40.0, 100.0, 100).unwrap();
        let good = prior.shrink(2.0, 100.0, 100).unwrap();
        let single = prior.shrink(1.0, 1.0, 1).unwrap();
        assert!(bad.value > 0.3 && good.value < 0.08, "{bad:?} {good:?}");
        assert!(single.value < bad.value, "one failure in one pod must weigh less than 40 in 100: {single:?}");
        for rate in [bad, good, single] {
            assert!(rate.low < rate.value && rate.value < rate.high, "{rate:?}");
        }
    }

    #[test]
    fn equal_nodes_are_shrunk_hard() {
        let prior = flat(&[(5.0, 100.0), (5.0, 100.0), (5.0, 100.0), (5.0, 100.0)]);
        assert_eq!(prior.k, K_MAX);
        assert!((prior.shrink(5.0, 100.0, 100).unwrap().value - 0.05).abs() < 0.005);
    }

    #[test]
    fn the_interval_covers_what_it_should() {
        // Its ends are where the rate lies 1.645 standard errors of the end from it.
        let (low, high) = wilson(0.05, 100.0);
        for end in [low, high] {
            let errors = (0.05 - end).abs() / (end * (1.0 - end) / 100.0).sqrt();
            assert!((errors - 1.645).abs() < 1e-6, "{low} {high}");
        }
        assert!(wilson(0.0, 10.0).1 > 0.1, "no failure in ten pods proves little");
    }

    #[test]
    fn a_peak_needs_ten_sane_samples() {
        let mut usage = Usage::default();
        for i in 0..9 {
            usage.add(0.5, 1000 * (i + 1));
        }
        usage.add(f64::NAN, 20_000);
        usage.add(-1.0, 20_000);
        assert_eq!(usage.peak(), None);
        usage.add(0.9, 20_000);
        let peak = usage.peak().unwrap();
        assert!((0.6..1.0).contains(&peak), "{peak}");
    }
}
