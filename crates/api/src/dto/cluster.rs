//! The cluster in six numbers.

use augur_learn::ClusterFacts;
use serde::Serialize;
use utoipa::ToSchema;

use super::round;

/// Above which usage a node counts as under pressure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// CPU in percent of allocatable.
    pub cpu_usage: f64,
    /// Memory in percent of allocatable.
    pub memory_usage: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { cpu_usage: 80.0, memory_usage: 80.0 }
    }
}

/// The cluster at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ClusterSummary {
    /// Nodes.
    pub total_nodes: usize,
    /// Nodes whose Ready condition is true.
    pub ready_nodes: usize,
    /// Mean CPU use in percent of allocatable, of the nodes for which it is known.
    pub avg_cpu_usage: Option<f64>,
    /// Mean memory use in percent of allocatable, of the nodes for which it is known.
    pub avg_memory_usage: Option<f64>,
    /// Why a mean is `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_reason: Option<String>,
    /// Share of nodes that are Ready and under no pressure, 0..1; `null` without nodes.
    pub health_score: Option<f64>,
    /// Share of the nodes with known usage that are above a threshold of CPU or memory, 0..1.
    pub resource_pressure: Option<f64>,
}

impl ClusterSummary {
    /// What features need of it.
    pub fn facts(&self) -> ClusterFacts {
        ClusterFacts {
            total_nodes: self.total_nodes,
            ready_nodes: self.ready_nodes,
            avg_cpu_usage: self.avg_cpu_usage,
            avg_memory_usage: self.avg_memory_usage,
        }
    }
}

/// Adds nodes up to a [`ClusterSummary`].
#[derive(Debug, Clone)]
pub struct SummaryBuilder {
    thresholds: Thresholds,
    total: usize,
    ready: usize,
    healthy: usize,
    pressed: usize,
    known: usize,
    cpu: (f64, usize),
    memory: (f64, usize),
}

impl SummaryBuilder {
    /// No nodes yet.
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, total: 0, ready: 0, healthy: 0, pressed: 0, known: 0, cpu: (0.0, 0), memory: (0.0, 0) }
    }

    /// Adds a node with its usage in percent of allocatable, as far as it is known.
    pub fn add(&mut self, ready: bool, cpu: Option<f64>, memory: Option<f64>) {
        let pressed = cpu.is_some_and(|v| v > self.thresholds.cpu_usage)
            || memory.is_some_and(|v| v > self.thresholds.memory_usage);
        self.total += 1;
        self.ready += usize::from(ready);
        self.healthy += usize::from(ready && !pressed);
        self.pressed += usize::from(pressed);
        self.known += usize::from(cpu.is_some() || memory.is_some());
        for (sum, value) in [(&mut self.cpu, cpu), (&mut self.memory, memory)] {
            if let Some(value) = value {
                sum.0 += value;
                sum.1 += 1;
            }
        }
    }

    /// The summary.
    pub fn build(&self) -> ClusterSummary {
        let share = |part: f64, whole: usize| (whole > 0).then(|| round(part / whole as f64));
        let (cpu, memory) = (share(self.cpu.0, self.cpu.1), share(self.memory.0, self.memory.1));
        let usage_reason = match (cpu, memory) {
            (Some(_), Some(_)) => None,
            _ if self.total == 0 => Some("there are no nodes".to_owned()),
            _ => Some("no fresh usage samples from the Metrics API".to_owned()),
        };
        ClusterSummary {
            total_nodes: self.total,
            ready_nodes: self.ready,
            avg_cpu_usage: cpu,
            avg_memory_usage: memory,
            usage_reason,
            health_score: share(self.healthy as f64, self.total),
            resource_pressure: share(self.pressed as f64, self.known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_known_is_null_and_means_are_over_what_is_known() {
        let mut summary = SummaryBuilder::new(Thresholds::default());
        let empty = summary.build();
        assert_eq!((empty.health_score, empty.avg_cpu_usage, empty.resource_pressure), (None, None, None));
        assert!(empty.usage_reason.is_some());
        summary.add(true, Some(90.0), Some(10.0));
        summary.add(true, Some(30.0), None);
        summary.add(false, None, None);
        let s = summary.build();
        assert_eq!((s.total_nodes, s.ready_nodes), (3, 2));
        assert_eq!((s.avg_cpu_usage, s.avg_memory_usage), (Some(60.0), Some(10.0)));
        assert_eq!((s.health_score, s.resource_pressure), (Some(0.3333), Some(0.5)));
        assert_eq!(s.usage_reason, None);
    }
}
