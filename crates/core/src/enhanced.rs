//! Enhanced scoring: how a node fares by its live signals, 0..100, added to the plugins' score.
//!
//! Six parts with weights: use of CPU and memory, readiness, taints, failed pods, restarts. A part that is unknown on a
//! node takes the mean of the candidates that know it; one that no candidate knows adds the same to all. Without
//! signals the order of nodes is therefore exactly that of the plugins. Entry: [`EnhancedScorer`].

use crate::state::NodeSignals;

/// How many parts there are.
const PARTS: usize = 6;
const CPU: usize = 0;
const MEMORY: usize = 1;
const READY: usize = 2;
const TAINTS: usize = 3;
const FAILED: usize = 4;
const RESTARTS: usize = 5;

/// Steps of the risk between 0 and 1. Nodes on which nothing happened differ only by how long they were watched; without steps the
/// one that was watched for a second longer would get every pod.
const RISK_STEPS: f64 = 1000.0;

/// Weights and thresholds, with the defaults of the configuration file.
#[derive(Debug, Clone, PartialEq)]
pub struct EnhancedConfig {
    /// What the score of 0..100 is multiplied with; 0 switches enhanced scoring off.
    pub weight: f64,
    /// Weight of CPU in use.
    pub cpu_weight: f64,
    /// Weight of memory in use.
    pub memory_weight: f64,
    /// Weight of the node's readiness.
    pub node_ready_weight: f64,
    /// Weight of the node's taints.
    pub taint_weight: f64,
    /// Weight of failed pods.
    pub failed_pods_weight: f64,
    /// Weight of restarts.
    pub restart_weight: f64,
    /// Share of CPU in use (0..1) above which the part counts half.
    pub cpu_threshold: f64,
    /// Share of memory in use (0..1) above which the part counts half.
    pub memory_threshold: f64,
    /// So many failed pods make the part zero.
    pub failed_pods_threshold: f64,
    /// So many restarts a pod make the part zero.
    pub restart_threshold: f64,
    /// What a risk of 1 takes from a node's score, beside the parts: by default as much as a PreferNoSchedule taint, so that a
    /// node that is in trouble for certain fares like one that somebody marked as such.
    pub risk_weight: f64,
}

impl Default for EnhancedConfig {
    fn default() -> Self {
        EnhancedConfig {
            weight: 1.0,
            cpu_weight: 30.0,
            memory_weight: 30.0,
            node_ready_weight: 20.0,
            taint_weight: 10.0,
            failed_pods_weight: 5.0,
            restart_weight: 5.0,
            cpu_threshold: 0.8,
            memory_threshold: 0.8,
            failed_pods_threshold: 3.0,
            restart_threshold: 1.0,
            risk_weight: 300.0,
        }
    }
}

impl EnhancedConfig {
    fn weights(&self) -> [f64; PARTS] {
        [
            self.cpu_weight,
            self.memory_weight,
            self.node_ready_weight,
            self.taint_weight,
            self.failed_pods_weight,
            self.restart_weight,
        ]
        .map(|weight| if weight.is_finite() { weight.max(0.0) } else { 0.0 })
    }
}

/// The enhanced score of a node with its parts, each 0..100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnhancedScore {
    /// All parts by weight, a whole number.
    pub total: f64,
    /// CPU and memory in use.
    pub resource_score: f64,
    /// Readiness and taints.
    pub readiness_score: f64,
    /// Failed pods and restarts.
    pub stability_score: f64,
    /// The share of the weight whose part is known on this node itself, 0..1.
    pub coverage: f64,
}

/// What is known of one node, part by part, each 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EnhancedRow {
    parts: [f32; PARTS],
    /// One bit for each part that is known.
    known: u8,
    /// See [`NodeSignals::risk`].
    risk: Option<f32>,
}

impl EnhancedRow {
    /// The parts of a node with these signals and taints. Nothing is known of a node without signals, not even its
    /// taints: else taints alone would change the order of nodes that are otherwise unobserved.
    #[must_use]
    pub fn new(config: &EnhancedConfig, signals: Option<&NodeSignals>, taints: usize) -> EnhancedRow {
        let mut row = EnhancedRow::default();
        let Some(signals) = signals else { return row };
        let used = |share: f64, threshold: f64| {
            let free = (1.0 - share).clamp(0.0, 1.0);
            if share > threshold { free / 2.0 } else { free }
        };
        let below = |count: f64, threshold: f64| {
            if threshold > 0.0 { (1.0 - count / threshold).clamp(0.0, 1.0) } else { f64::from(u8::from(count <= 0.0)) }
        };
        let parts = [
            signals.cpu_usage.map(|share| used(share, config.cpu_threshold)),
            signals.memory_usage.map(|share| used(share, config.memory_threshold)),
            signals.ready.map(|ready| f64::from(u8::from(ready))),
            Some(1.0 / (1.0 + taints as f64)),
            signals.failed_pods.map(|count| below(f64::from(count), config.failed_pods_threshold)),
            signals.average_restarts.map(|count| below(count, config.restart_threshold)),
        ];
        let rounded = |risk: f64| (risk.clamp(0.0, 1.0) * RISK_STEPS).round() / RISK_STEPS;
        row.risk = signals.risk.filter(|risk| risk.is_finite()).map(|risk| rounded(risk) as f32);
        for (index, part) in parts.into_iter().enumerate() {
            if let Some(part) = part.filter(|part| part.is_finite()) {
                row.parts[index] = part as f32;
                row.known |= 1 << index;
            }
        }
        row
    }
}

impl EnhancedRow {
    /// Whether any part is known.
    #[must_use]
    pub fn knows_anything(&self) -> bool {
        self.known != 0
    }

    /// What is known of all these nodes together, where nothing of it tells one from another: each part has one value, and so has
    /// the risk, wherever they are known. A node of which a part is unknown takes the mean of the others, which is that value.
    pub(crate) fn common<'a>(rows: impl Iterator<Item = &'a EnhancedRow>) -> Option<EnhancedRow> {
        let mut common = EnhancedRow::default();
        for row in rows {
            for index in 0..PARTS {
                let bit = 1 << index;
                if row.known & bit == 0 {
                    continue;
                }
                if common.known & bit != 0 && common.parts[index] != row.parts[index] {
                    return None;
                }
                common.parts[index] = row.parts[index];
                common.known |= bit;
            }
            if let Some(risk) = row.risk
                && *common.risk.get_or_insert(risk) != risk
            {
                return None;
            }
        }
        Some(common)
    }
}

/// Scores the candidates of one decision: first every candidate is [seen](EnhancedScorer::see), then
/// [scored](EnhancedScorer::score).
#[derive(Debug, Clone)]
pub struct EnhancedScorer {
    weights: [f64; PARTS],
    sums: [f64; PARTS],
    counts: [u32; PARTS],
    means: [f64; PARTS],
    /// Sum, count and mean of the risks that are known.
    risk: (f64, u32, f64),
}

impl EnhancedScorer {
    /// A scorer that has seen no candidate.
    #[must_use]
    pub fn new(config: &EnhancedConfig) -> EnhancedScorer {
        EnhancedScorer {
            weights: config.weights(),
            sums: [0.0; PARTS],
            counts: [0; PARTS],
            means: [0.0; PARTS],
            risk: (0.0, 0, 0.0),
        }
    }

    /// Takes a candidate into the means.
    pub fn see(&mut self, row: &EnhancedRow) {
        if row.known == 0 {
            return;
        }
        if let Some(risk) = row.risk {
            self.risk.0 += f64::from(risk);
            self.risk.1 += 1;
        }
        for index in 0..PARTS {
            if row.known & (1 << index) != 0 {
                self.sums[index] += f64::from(row.parts[index]);
                self.counts[index] += 1;
            }
        }
    }

    /// Whether any candidate knows any part. If not, scoring has no effect on the order and can be left out.
    #[must_use]
    pub fn knows_anything(&self) -> bool {
        self.counts.iter().any(|count| *count > 0)
    }

    /// Whether each part, and the risk, is known of all candidates or of none, if so many have been seen; then no mean stands in
    /// for what is unknown, and a node's score does not depend on the other candidates.
    pub(crate) fn knows_all_alike(&self, candidates: usize) -> bool {
        let mut counts = self.counts.iter().chain([&self.risk.1]);
        counts.all(|count| *count == 0 || *count as usize == candidates)
    }

    /// To be called after the last [`EnhancedScorer::see`].
    pub fn close(&mut self) {
        let (sum, count, mean) = &mut self.risk;
        *mean = if *count == 0 { 0.0 } else { *sum / f64::from(*count) };
        for index in 0..PARTS {
            // A part that nobody knows adds half of its weight to all.
            self.means[index] =
                if self.counts[index] == 0 { 0.5 } else { self.sums[index] / f64::from(self.counts[index]) };
        }
    }

    fn part(&self, row: &EnhancedRow, index: usize) -> f64 {
        if row.known & (1 << index) != 0 { f64::from(row.parts[index]) } else { self.means[index] }
    }

    /// The whole number 0..100.
    #[must_use]
    pub fn total(&self, row: &EnhancedRow) -> f64 {
        self.mean(row, &[CPU, MEMORY, READY, TAINTS, FAILED, RESTARTS]).round()
    }

    /// The risk of the node, 0..1; of one that nothing is known of, the mean of the others.
    #[must_use]
    pub fn risk(&self, row: &EnhancedRow) -> f64 {
        row.risk.map_or(self.risk.2, f64::from)
    }

    /// The score with its parts.
    #[must_use]
    pub fn score(&self, row: &EnhancedRow) -> EnhancedScore {
        let all: f64 = self.weights.iter().sum();
        let known = (0..PARTS)
            .filter(|index| row.known & (1 << index) != 0)
            .fold(0.0, |known, index| known + self.weights[index]);
        EnhancedScore {
            total: self.total(row),
            resource_score: self.mean(row, &[CPU, MEMORY]),
            readiness_score: self.mean(row, &[READY, TAINTS]),
            stability_score: self.mean(row, &[FAILED, RESTARTS]),
            coverage: if all > 0.0 { known / all } else { 0.0 },
        }
    }

    /// The weighted mean of some parts, 0..100; 0 if none of them has a weight.
    fn mean(&self, row: &EnhancedRow, parts: &[usize]) -> f64 {
        let mut sum = 0.0;
        let mut weight = 0.0;
        for &index in parts {
            sum += self.weights[index] * self.part(row, index);
            weight += self.weights[index];
        }
        if weight > 0.0 { 100.0 * sum / weight } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn signals(cpu: Option<f64>, failed: Option<u32>) -> NodeSignals {
        NodeSignals { cpu_usage: cpu, failed_pods: failed, ..NodeSignals::at(Timestamp::EPOCH) }
    }

    fn scores(nodes: &[Option<NodeSignals>]) -> Vec<f64> {
        let config = EnhancedConfig::default();
        let rows: Vec<EnhancedRow> = nodes.iter().map(|node| EnhancedRow::new(&config, node.as_ref(), 0)).collect();
        let mut scorer = EnhancedScorer::new(&config);
        rows.iter().for_each(|row| scorer.see(row));
        scorer.close();
        rows.iter().map(|row| scorer.total(row)).collect()
    }

    #[test]
    fn a_node_that_knows_nothing_is_as_good_as_the_mean() {
        let all = scores(&[Some(signals(Some(0.2), Some(0))), Some(signals(Some(0.6), Some(3))), None]);
        assert!(all[0] > all[2] && all[2] > all[1], "{all:?}");
        assert_eq!(scores(&[None, None]), [50.0, 50.0]);
    }

    #[test]
    fn nodes_are_alike_where_nothing_that_is_known_tells_them_apart() {
        let config = EnhancedConfig::default();
        let rows = |nodes: &[Option<NodeSignals>]| {
            nodes.iter().map(|node| EnhancedRow::new(&config, node.as_ref(), 0)).collect::<Vec<_>>()
        };
        let risky = |risk| NodeSignals { risk: Some(risk), ..signals(None, Some(0)) };
        let common = |nodes: &[Option<NodeSignals>]| EnhancedRow::common(rows(nodes).iter());
        let alike = [Some(signals(Some(0.5), None)), None, Some(signals(None, Some(0)))];
        assert_eq!(common(&alike), Some(EnhancedRow::new(&config, Some(&signals(Some(0.5), Some(0))), 0)));
        assert_eq!(common(&[Some(signals(Some(0.5), None)), Some(signals(Some(0.6), None))]), None);
        assert_eq!(common(&[Some(risky(0.0)), Some(risky(0.1))]), None);
        assert!(common(&[Some(risky(0.010_1)), Some(risky(0.010_2))]).is_some(), "watched for a second longer");
        let all_alike = |nodes: &[Option<NodeSignals>]| {
            let mut scorer = EnhancedScorer::new(&config);
            rows(nodes).iter().for_each(|row| scorer.see(row));
            scorer.knows_all_alike(nodes.len())
        };
        assert!(all_alike(&[Some(risky(0.0)), Some(risky(0.1))]));
        assert!(!all_alike(&alike));
    }

    #[test]
    fn above_its_threshold_use_counts_twice() {
        let config = EnhancedConfig::default();
        let part = |share| EnhancedRow::new(&config, Some(&signals(Some(share), None)), 0).parts[CPU];
        assert!((part(0.8) - 0.2).abs() < 1e-6 && (part(0.9) - 0.05).abs() < 1e-6);
        assert!(part(1.5).abs() < 1e-6, "more than all is none left");
    }

    #[test]
    fn a_signal_that_is_no_number_is_unknown() {
        let row = EnhancedRow::new(&EnhancedConfig::default(), Some(&signals(Some(f64::NAN), Some(1))), 1);
        assert_eq!(row.known, (1 << TAINTS) | (1 << FAILED));
    }
}
