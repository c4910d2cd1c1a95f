//! The written definitions of the rates and scores, and how they are shrunk.
//!
//! All are probabilities over the window (168 h), for a pod placed on the node or belonging to the workload:
//!
//! * `failure_rate`: that it gets into trouble, which is: a container restarted after an error or OOM, the pod failed, or evicted.
//! * `restart_rate`: that at least one of its containers is restarted, for whatever reason.
//! * `oom_rate`: OOM kills for each pod; `eviction_rate`: evictions for each pod. Both as counted, and at most 1.
//! * `stability_score` of a node: `(1 - failure_rate) · ready_share`, where `ready_share` is the share of the watched time for
//!   which the node was Ready. 1 is a node on which nothing ever went wrong.
//!
//! `n` is the number of pods seen there within the window, those that came before it and are still there included. A rate of
//! `x` in `n` is shrunk to the cluster's rate `p`: `(x + k·p) / (n + k)`. `p` is the cluster's with half a pod added on either
//! side; `k` comes from the spread between nodes (or workloads) by the method of moments, bounded to 4..400, and is 20 while
//! fewer than three of them have pods. Nothing seen (`n = 0`) is `None`, never the cluster's rate in disguise.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::counters::Sums;
use crate::types::WorkloadKey;

/// A shrunk probability with what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// The estimate, 0..1.
    pub value: f64,
    /// Lower end of the 90 % interval (normal approximation of the beta posterior).
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Pods seen.
    pub n: u64,
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeRates {
    /// Probability of trouble; see the module.
    pub failure_rate: Option<Rate>,
    /// Probability of a restart; see the module.
    pub restart_rate: Option<Rate>,
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
    /// Expected peak of CPU use as a fraction of allocatable: decayed mean + 2.33 standard deviations (one sample in a
    /// hundred lies above it if they are normal); `None` before ten samples.
    pub peak_cpu: Option<f64>,
    /// The same for memory.
    pub peak_memory: Option<f64>,
}

/// What is known of a workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkloadRates {
    /// Probability of trouble.
    pub failure_rate: Option<Rate>,
    /// Probability of a restart.
    pub restart_rate: Option<Rate>,
    /// OOM kills for each pod, at most 1.
    pub oom_rate: Option<f64>,
    /// Evictions for each pod, at most 1.
    pub eviction_rate: Option<f64>,
    /// Pods seen.
    pub n: u64,
    /// Container restarts.
    pub restarts: u64,
    /// Whose counts weigh most in the rates: `workload`, or `cluster` while fewer pods were seen than the prior is worth.
    pub backoff_level: &'static str,
}

/// A consistent picture of all rates.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// By node name.
    pub nodes: HashMap<Arc<str>, NodeRates>,
    /// By workload.
    pub workloads: HashMap<WorkloadKey, WorkloadRates>,
    /// The cluster's probability of trouble, and the pods it rests on.
    pub cluster_failure_rate: Option<f64>,
    /// Pods seen in the cluster.
    pub pods: u64,
}

/// What a group of nodes or workloads says about each of its members.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prior {
    pub p: f64,
    pub k: f64,
}

const K_DEFAULT: f64 = 20.0;
const K_MIN: f64 = 4.0;
const K_MAX: f64 = 400.0;

impl Prior {
    /// From pairs (events, pods).
    pub fn fit(members: impl Iterator<Item = (u64, u64)> + Clone) -> Self {
        let (events, pods) = members.clone().fold((0, 0), |(x, n), (a, b)| (x + a, n + b));
        let p = (events as f64 + 0.5) / (pods as f64 + 1.0);
        // Spread of the members' rates, weighted by pods, beyond what chance alone gives.
        let (mut groups, mut spread, mut chance) = (0u32, 0.0, 0.0);
        for (x, n) in members.filter(|&(_, n)| n > 0) {
            let n = n as f64;
            groups += 1;
            spread += n * (x as f64 / n - p).powi(2);
            chance += p * (1.0 - p);
        }
        if groups < 3 {
            return Self { p, k: K_DEFAULT };
        }
        let between = (spread - chance) / pods as f64;
        let k = if between > 0.0 { p * (1.0 - p) / between - 1.0 } else { K_MAX };
        Self { p, k: k.clamp(K_MIN, K_MAX) }
    }

    pub fn shrink(&self, x: u64, n: u64) -> Option<Rate> {
        if n == 0 {
            return None;
        }
        let weight = n as f64 + self.k;
        // A pod that came before the window can get into trouble within it twice (two nodes); never above 1.
        let value = ((x.min(n) as f64 + self.k * self.p) / weight).clamp(0.0, 1.0);
        let half = 1.645 * (value * (1.0 - value) / (weight + 1.0)).sqrt();
        Some(Rate { value, low: (value - half).max(0.0), high: (value + half).min(1.0), n })
    }
}

pub(crate) fn node_rates(
    sums: &Sums,
    recent: &Sums,
    failure: Prior,
    restart: Prior,
    cpu: &Usage,
    memory: &Usage,
) -> NodeRates {
    let failure_rate = failure.shrink(sums.troubled, sums.started);
    let ready_share = (sums.watched_ms > 0).then(|| sums.ready_ms as f64 / sums.watched_ms as f64);
    NodeRates {
        failure_rate,
        restart_rate: restart.shrink(sums.restarted, sums.started),
        stability_score: failure_rate.zip(ready_share).map(|(rate, ready)| (1.0 - rate.value) * ready),
        ready_share,
        pods: sums.started,
        failed_pods: sums.failed,
        recent_failed_pods: recent.failed,
        restarts: sums.restarts,
        oom_kills: sums.oom,
        evictions: sums.evicted,
        average_restarts: (sums.started > 0).then(|| sums.restarts as f64 / sums.started as f64),
        mean_cpu: cpu.mean(),
        mean_memory: memory.mean(),
        peak_cpu: cpu.peak(),
        peak_memory: memory.peak(),
    }
}

pub(crate) fn workload_rates(sums: &Sums, failure: Prior, restart: Prior) -> WorkloadRates {
    let share = |x: u64| (sums.started > 0).then(|| (x as f64 / sums.started as f64).min(1.0));
    WorkloadRates {
        failure_rate: failure.shrink(sums.troubled, sums.started),
        restart_rate: restart.shrink(sums.restarted, sums.started),
        oom_rate: share(sums.oom),
        eviction_rate: share(sums.evicted),
        n: sums.started,
        restarts: sums.restarts,
        backoff_level: if sums.started as f64 >= failure.k { "workload" } else { "cluster" },
    }
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

    pub fn mean(&self) -> Option<f64> {
        (self.samples >= USAGE_MIN_SAMPLES).then_some(self.mean)
    }

    pub fn peak(&self) -> Option<f64> {
        (self.samples >= USAGE_MIN_SAMPLES).then(|| self.mean + 2.33 * self.variance.max(0.0).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_seen_is_not_known() {
        let prior = Prior::fit([(0, 0)].into_iter());
        assert_eq!(prior.shrink(0, 0), None);
    }

    #[test]
    fn a_bad_node_among_good_ones_stands_out_and_a_single_pod_does_not_condemn() {
        let nodes = [(40u64, 100u64), (2, 100), (1, 100), (3, 100), (1, 1)];
        let prior = Prior::fit(nodes.into_iter());
        let bad = prior.shrink(40, 100).unwrap();
        let good = prior.shrink(2, 100).unwrap();
        let single = prior.shrink(1, 1).unwrap();
        assert!(bad.value > 0.3 && good.value < 0.08, "{bad:?} {good:?}");
        assert!(single.value < bad.value, "one failure in one pod must weigh less than 40 in 100: {single:?}");
        assert!(single.low < single.value && single.value < single.high);
    }

    #[test]
    fn equal_nodes_are_shrunk_hard() {
        let prior = Prior::fit([(5, 100), (5, 100), (5, 100), (5, 100)].into_iter());
        assert_eq!(prior.k, K_MAX);
        assert!((prior.shrink(5, 100).unwrap().value - 0.05).abs() < 0.005);
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
