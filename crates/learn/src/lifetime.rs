//! How long pods live: survival curves over buckets of the logarithm, by workload, with back-off to namespace and cluster.
//!
//! Ends that were no choice of the workload (a failed node, an eviction) and pods that still run are censored: they count as
//! alive up to there (Kaplan & Meier, JASA 1958, on the buckets). Counts decay, so that what a workload was is forgotten.
//! Entry point: [`Lifetimes::expected_minutes`].

use std::collections::HashMap;
use std::sync::Arc;

use augur_history::WorkloadKey;

/// Buckets: the first ends at half a minute, each is twice as long as the one before; the last is open, from 45 days on.
const BUCKETS: usize = 18;
/// End of the first bucket in minutes.
const FIRST: f64 = 0.5;
/// Pods that make a curve of its own; below that it is mixed with the next level's in proportion.
const OWN: f64 = 10.0;
/// Curves that are kept: more than a cluster has workloads that matter. The rest share the namespace's curve.
const MAX_CURVES: usize = 20_000;
/// With every end that is seen, older ones of the same curve lose this share of their weight: about the last 200 count.
const FADE: f64 = 1.0 / 200.0;

/// Whose curve an expectation rests on mostly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// The workload's own.
    Workload,
    /// That of its namespace.
    Namespace,
    /// That of the cluster.
    Cluster,
}

#[derive(Debug, Clone, Default)]
struct Curve {
    /// Ends by bucket.
    ended: [f64; BUCKETS],
    /// Censored by bucket.
    censored: [f64; BUCKETS],
}

impl Curve {
    fn add(&mut self, minutes: f64, ended: bool) {
        for count in self.ended.iter_mut().chain(&mut self.censored) {
            *count *= 1.0 - FADE;
        }
        let at = bucket(minutes);
        if ended {
            self.ended[at] += 1.0;
        } else {
            self.censored[at] += 1.0;
        }
    }

    fn weight(&self) -> f64 {
        self.ended.iter().sum()
    }

    /// The expected lifetime from `uptime` on, in minutes, restricted to what has been seen; `None` if nothing of the curve
    /// lies beyond `uptime`.
    fn expected(&self, uptime: f64) -> Option<f64> {
        let first = bucket(uptime);
        let counts = || self.ended.iter().zip(&self.censored).map(|(ended, censored)| ended + censored);
        let last = BUCKETS - 1 - counts().rev().position(|count| count > 1e-9)?;
        if last < first {
            return None;
        }
        let mut at_risk: f64 = counts().skip(first).sum();
        let (mut alive, mut expected) = (1.0, 0.0);
        for (at, (ended, censored)) in self.ended.iter().zip(&self.censored).enumerate().take(last + 1).skip(first) {
            let begin = if at == 0 { 0.0 } else { end_of(at - 1) }.max(uptime);
            // Those that are censored within the bucket were at risk for half of it.
            let exposed = at_risk - censored / 2.0;
            let hazard = if exposed > 1e-9 { (ended / exposed).min(1.0) } else { 0.0 };
            // Those that end within the bucket do so in its middle on average.
            expected += alive * (end_of(at) - begin) * (1.0 - hazard / 2.0);
            alive *= 1.0 - hazard;
            at_risk -= ended + censored;
        }
        Some(expected)
    }
}

fn bucket(minutes: f64) -> usize {
    if minutes.is_nan() || minutes <= FIRST {
        return 0;
    }
    ((minutes / FIRST).log2().ceil() as usize).min(BUCKETS - 1)
}

/// Where a bucket ends, in minutes.
fn end_of(bucket: usize) -> f64 {
    FIRST * (1u64 << bucket) as f64
}

/// What is known of lifetimes.
#[derive(Debug, Clone, Default)]
pub struct Lifetimes {
    cluster: Curve,
    namespaces: HashMap<Arc<str>, Curve>,
    workloads: HashMap<WorkloadKey, Curve>,
}

impl Lifetimes {
    /// A pod lived so long; `ended` by its own completion or deletion, else it is only known to have lived that long.
    pub fn observe(&mut self, workload: &WorkloadKey, minutes: f64, ended: bool) {
        if !minutes.is_finite() || minutes < 0.0 {
            return;
        }
        self.cluster.add(minutes, ended);
        let known = self.namespaces.len() + self.workloads.len();
        if known < MAX_CURVES || self.namespaces.contains_key(&workload.namespace) {
            self.namespaces.entry(workload.namespace.clone()).or_default().add(minutes, ended);
        }
        // A pod without a controller has no like.
        if &*workload.kind != "Pod" && (known < MAX_CURVES || self.workloads.contains_key(workload)) {
            self.workloads.entry(workload.clone()).or_default().add(minutes, ended);
        }
    }

    /// The expected lifetime from now of a pod of this workload that has run for `uptime` minutes, E[T - u | T > u], and the
    /// level that it rests on mostly; `None` until any end has been seen.
    pub fn expected_minutes(&self, workload: &WorkloadKey, uptime: f64) -> Option<(f64, Level)> {
        if self.cluster.weight() <= 0.0 {
            return None;
        }
        let levels = [
            (self.workloads.get(workload), Level::Workload),
            (self.namespaces.get(&workload.namespace), Level::Namespace),
            (Some(&self.cluster), Level::Cluster),
        ];
        let (mut left, mut sum, mut given, mut heaviest) = (1.0, 0.0, 0.0, (0.0, Level::Cluster));
        for (curve, level) in levels {
            let Some((curve, expected)) = curve.and_then(|curve| Some((curve, curve.expected(uptime.max(0.0))?)))
            else {
                continue;
            };
            let share = match level {
                Level::Cluster => left,
                _ => left * curve.weight() / (curve.weight() + OWN),
            };
            left -= share;
            given += share;
            sum += share * expected;
            if share > heaviest.0 {
                heaviest = (share, level);
            }
        }
        // A pod that has outlived everything seen: as long again is the usual guess (Lindy).
        Some(if given > 0.0 { (sum / given, heaviest.1) } else { (uptime, Level::Cluster) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(kind: &str, name: &str) -> WorkloadKey {
        WorkloadKey { namespace: "shop".into(), kind: kind.into(), name: name.into() }
    }

    #[test]
    fn a_workload_is_told_from_its_namespace_and_a_new_one_backs_off() {
        let mut lifetimes = Lifetimes::default();
        let (short, long) = (workload("Job", "short"), workload("Job", "long"));
        assert_eq!(lifetimes.expected_minutes(&short, 0.0), None);
        for _ in 0..100 {
            lifetimes.observe(&short, 2.0, true);
            lifetimes.observe(&long, 300.0, true);
        }
        let of = |key: &WorkloadKey| lifetimes.expected_minutes(key, 0.0).unwrap();
        let ((brief, level), (lasting, _)) = (of(&short), of(&long));
        assert_eq!(level, Level::Workload);
        assert!((1.0..60.0).contains(&brief) && (150.0..400.0).contains(&lasting), "{brief} {lasting}");
        let (new, level) = of(&workload("Job", "new"));
        assert_eq!(level, Level::Namespace);
        assert!(brief < new && new < lasting, "{new}");
        let elsewhere = WorkloadKey { namespace: "other".into(), ..workload("Job", "new") };
        assert_eq!(of(&elsewhere).1, Level::Cluster);
    }

    #[test]
    fn a_pod_that_has_outlived_the_short_ones_is_expected_to_last() {
        let mut lifetimes = Lifetimes::default();
        let mixed = workload("Deployment", "mixed");
        for at in 0..200 {
            lifetimes.observe(&mixed, if at % 2 == 0 { 1.0 } else { 500.0 }, true);
        }
        let expected = |uptime| lifetimes.expected_minutes(&mixed, uptime).unwrap().0;
        assert!(expected(5.0) > 1.5 * expected(0.0), "{} {}", expected(5.0), expected(0.0));
    }

    #[test]
    fn the_censored_count_as_alive() {
        let (mut seen, mut blind) = (Lifetimes::default(), Lifetimes::default());
        let key = workload("Deployment", "web");
        for at in 0..200 {
            let early = at % 2 == 0;
            seen.observe(&key, if early { 3.0 } else { 40.0 }, !early);
            blind.observe(&key, if early { 3.0 } else { 40.0 }, true);
        }
        let of = |lifetimes: &Lifetimes| lifetimes.expected_minutes(&key, 0.0).unwrap().0;
        assert!(of(&seen) > 1.3 * of(&blind), "{} {}", of(&seen), of(&blind));
    }
}
