//! The published formulas of Trimaran (kubernetes-sigs/scheduler-plugins) with their default arguments, over a window of node
//! usage as its load watcher keeps it. Entry points: [`LoadWatcher`], [`target_load_packing`], [`load_variation_risk`].

use std::collections::VecDeque;

use augur_core::object::Pod;
use augur_core::state::NodeView;
use augur_sandbox::sim::Millis;

use super::world::MINUTE;

/// TargetLoadPacking: `TargetUtilization`, percent.
const TARGET: f64 = 40.0;
/// TargetLoadPacking: `DefaultRequestsMultiplier`, what a container without limits is taken to use of its request.
const MULTIPLIER: f64 = 1.5;
/// TargetLoadPacking: pods that came so shortly before the end of the window are not in the measurement.
const REPORTING: Millis = MINUTE;
/// The load watcher's longest window.
const WINDOW: Millis = 15 * MINUTE;
/// LoadVariationRiskBalancing: `SafeVarianceMargin`; `SafeVarianceSensitivity` is 1 by default too and leaves the deviation as it is.
const MARGIN: f64 = 1.0;

/// Usage of one node over the window, as shares of its capacity.
#[derive(Debug, Clone, Default)]
pub struct LoadWatcher {
    samples: VecDeque<(Millis, f64, f64)>,
    /// CPU requests in thousandths of a core of pods that came lately, with their time.
    placed: VecDeque<(Millis, i64)>,
}

/// Mean and standard deviation of CPU and memory over the window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    pub cpu: (f64, f64),
    pub memory: (f64, f64),
}

impl LoadWatcher {
    /// A measurement.
    pub fn sample(&mut self, at: Millis, cpu: f64, memory: f64) {
        self.samples.push_back((at, cpu, memory));
        while self.samples.front().is_some_and(|(first, ..)| *first <= at - WINDOW) {
            self.samples.pop_front();
        }
    }

    /// A pod was placed.
    pub fn placed(&mut self, at: Millis, request: i64) {
        self.placed.push_back((at, request));
        while self.placed.front().is_some_and(|(first, _)| *first <= at - WINDOW) {
            self.placed.pop_front();
        }
    }

    /// What the window says; nothing when the node was silent for its length.
    pub fn load(&self, now: Millis) -> Option<Load> {
        let fresh = self.samples.iter().filter(|(at, ..)| *at > now - WINDOW);
        let count = fresh.clone().count() as f64;
        if count < 1.0 {
            return None;
        }
        let spread = |of: fn(&(Millis, f64, f64)) -> f64| {
            let mean = fresh.clone().map(of).sum::<f64>() / count;
            let variance = fresh.clone().map(|sample| (of(sample) - mean).powi(2)).sum::<f64>() / count;
            (mean, variance.sqrt())
        };
        Some(Load { cpu: spread(|sample| sample.1), memory: spread(|sample| sample.2) })
    }

    /// CPU requests of pods that are not in the measurements yet.
    fn missing(&self) -> i64 {
        let last = self.samples.back().map_or(0, |(at, ..)| *at);
        self.placed.iter().filter(|(at, _)| *at > last - REPORTING).map(|(_, request)| request).sum()
    }
}

/// TargetLoadPacking: the score rises until the node's predicted CPU use reaches the target, then falls to zero. A node that
/// is not measured scores 0.
pub fn target_load_packing(pod: &Pod, node: NodeView<'_>, watcher: &LoadWatcher, now: Millis) -> f64 {
    let Some(load) = watcher.load(now) else { return 0.0 };
    let capacity = node.used().allocatable_cpu.get() as f64;
    if capacity <= 0.0 {
        return 0.0;
    }
    let own = (pod.requests().granted.cpu.get() as f64 * MULTIPLIER).round();
    let missing = (watcher.missing() as f64 * MULTIPLIER).round();
    let predicted = 100.0 * (load.cpu.0 + (own + missing) / capacity);
    if predicted > 100.0 {
        0.0
    } else if predicted > TARGET {
        (TARGET * (100.0 - predicted) / (100.0 - TARGET)).round()
    } else {
        ((100.0 - TARGET) * predicted / TARGET + TARGET).round()
    }
}

/// LoadVariationRiskBalancing: 100 less half of mean plus deviation, for the worse of CPU and memory; the mean includes the pod's request.
/// A node that is not measured scores 0.
pub fn load_variation_risk(pod: &Pod, node: NodeView<'_>, watcher: &LoadWatcher, now: Millis) -> f64 {
    let Some(load) = watcher.load(now) else { return 0.0 };
    let used = node.used();
    let granted = &pod.requests().granted;
    let score = |(mean, deviation): (f64, f64), request: i64, capacity: i64| {
        if capacity <= 0 {
            return 0.0;
        }
        let mu = (mean + request as f64 / capacity as f64).clamp(0.0, 1.0);
        let sigma = (MARGIN * deviation.clamp(0.0, 1.0)).clamp(0.0, 1.0);
        (1.0 - (mu + sigma) / 2.0) * 100.0
    };
    let cpu = score(load.cpu, granted.cpu.get(), used.allocatable_cpu.get());
    let memory = score(load.memory, granted.memory.get(), used.allocatable_memory.get());
    cpu.min(memory).round()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use augur_core::object::{Node, PodRequests, PodSpec, Resources};
    use augur_core::state::ClusterState;
    use augur_core::units::{Bytes, MilliCpu};

    use super::*;

    #[test]
    fn scores_follow_the_formulas() {
        let mut state = ClusterState::new();
        let allocatable = Resources { cpu: MilliCpu(10_000), memory: Bytes(1_000), ..Resources::default() };
        state.apply_node(Node { name: "n".into(), allocatable, allowed_pods: 10, ..Node::default() });
        let granted = Resources { cpu: MilliCpu(1_000), memory: Bytes(100), ..Resources::default() };
        let requests = PodRequests { granted, ..PodRequests::default() };
        let pod = Pod::new("u", "default", "p", Arc::new(PodSpec { requests, ..PodSpec::default() }));
        let node = state.node("n").unwrap();
        let mut watcher = LoadWatcher::default();
        assert_eq!(target_load_packing(&pod, node, &watcher, MINUTE), 0.0, "not measured");
        watcher.sample(10 * MINUTE, 0.10, 0.2);
        // 10 % and 1.5 cores of 10 are 25 %: 60 * 25 / 40 + 40.
        assert_eq!(target_load_packing(&pod, node, &watcher, 10 * MINUTE), 78.0);
        watcher.placed(10 * MINUTE + 1, 2_000);
        // 3 cores more that are not measured yet are 55 %: 40 * 45 / 60.
        assert_eq!(target_load_packing(&pod, node, &watcher, 11 * MINUTE), 30.0);
        watcher.sample(12 * MINUTE, 0.30, 0.2);
        // CPU: mean .2 + .1, deviation .1: risk .2; memory: .2 + .1, no deviation: risk .15.
        assert_eq!(load_variation_risk(&pod, node, &watcher, 12 * MINUTE), 80.0);
        assert_eq!(load_variation_risk(&pod, node, &watcher, 40 * MINUTE), 0.0, "silent for too long");
    }
}
