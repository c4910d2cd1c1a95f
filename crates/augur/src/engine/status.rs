//! How the engine is doing: [`EngineStatus`], published by the scheduler thread and read by anybody without waiting for it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use augur_core::queue::PendingCounts;
use augur_kube::{Denials, MetricsError, WatchStats};
use jiff::Timestamp;

use super::latency::LatencySummary;
use super::related::{RelatedStats, stats};

/// How scheduling attempts ended, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempts {
    /// With a node.
    pub scheduled: u64,
    /// With the finding that no node is feasible, or that the pod needs something that is not implemented.
    pub unschedulable: u64,
    /// With an error: the pod could not be judged.
    pub error: u64,
}

/// What the source of readings brought.
#[derive(Debug, Clone, Default)]
pub struct MetricsStatus {
    /// Its name; empty before it was asked.
    pub source: Arc<str>,
    /// Why the latest answer may be incomplete, in the source's words.
    pub warnings: Vec<String>,
    /// When it was last asked.
    pub asked: Option<Timestamp>,
    /// When it last told of a node.
    pub told: Option<Timestamp>,
    /// Why the latest attempt brought no readings of nodes; `None` when it did.
    pub nodes_error: Option<MetricsError>,
    /// The same for pods.
    pub pods_error: Option<MetricsError>,
    /// Nodes and pods with a reading.
    pub readings: (usize, usize),
    /// Readings that cannot be true, by reason, since the start.
    pub rejected: BTreeMap<&'static str, u64>,
    /// The same of the latest round.
    pub latest_rejected: BTreeMap<&'static str, u64>,
    /// Ready nodes of which the latest round told nothing that can be believed.
    pub unread: usize,
}

/// What the scheduler thread tells of itself.
#[derive(Debug, Clone, Default)]
pub struct EngineStatus {
    /// Whether nodes and pods were listed, so that decisions are being taken.
    pub ready: bool,
    /// Nodes known.
    pub nodes: usize,
    /// Of these, ready.
    pub ready_nodes: usize,
    /// Pods on nodes that have not ended.
    pub placed_pods: usize,
    /// Pods of our scheduler names that wait, by place.
    pub pending: PendingCounts,
    /// Bindings under way.
    pub binding: usize,
    /// How attempts ended.
    pub attempts: Attempts,
    /// Pods bound.
    pub bound: u64,
    /// Bindings that did not come about.
    pub binding_errors: u64,
    /// Pods that were bound and that their kubelet refused.
    pub rejections: u64,
    /// Bindings that were not sent because the node had changed after the decision.
    pub recalled: u64,
    /// Events that were lost.
    pub events_dropped: u64,
    /// Conditions that the API server did not accept.
    pub conditions_lost: u64,
    /// How long decisions took.
    pub decision_latency: LatencySummary,
    /// From the first sight of a pod to its binding.
    pub binding_latency: LatencySummary,
    /// The source of readings.
    pub metrics: MetricsStatus,
    /// Whether the scheduler thread has ended.
    pub stopped: bool,
}

/// Status shared between the scheduler thread and readers.
#[derive(Debug, Clone)]
pub struct Shared {
    status: Arc<Mutex<Arc<EngineStatus>>>,
    /// The watch of pods.
    pub pods: Arc<WatchStats>,
    /// The watch of nodes.
    pub nodes: Arc<WatchStats>,
    /// The watches of everything else.
    pub related: RelatedStats,
    /// What the API server has denied.
    pub denials: Denials,
}

impl Shared {
    /// Of an engine that has just been started; its client tells what it was denied.
    pub fn new(denials: Denials) -> Self {
        Shared { status: Arc::default(), pods: Arc::default(), nodes: Arc::default(), related: stats(), denials }
    }

    /// The latest status.
    pub fn status(&self) -> Arc<EngineStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the status.
    pub fn publish(&self, status: EngineStatus) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
    }

    /// Objects that could not be understood and were left out since the start: kind, reason, how many.
    pub fn skipped(&self) -> Vec<(&'static str, &'static str, u64)> {
        let related = self.related.iter().map(|(kind, stats)| (*kind, stats));
        let all = [("pods", &self.pods), ("nodes", &self.nodes)].into_iter().chain(related);
        all.flat_map(|(kind, stats)| stats.skipped().into_iter().map(move |(reason, count)| (kind, reason, count)))
            .collect()
    }

    /// Whether both watches are running.
    pub fn is_synced(&self) -> bool {
        self.pods.synced.load(Ordering::Relaxed) && self.nodes.synced.load(Ordering::Relaxed)
    }

    /// How long the API server has been silent on the quieter of the two watches; `None` before the first lists.
    pub fn silence(&self) -> Option<Duration> {
        Some(self.pods.silence()?.max(self.nodes.silence()?))
    }
}
