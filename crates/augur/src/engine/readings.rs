//! Readings of what nodes and pods use, on their way from the metrics source to the scheduler thread and to history.
//!
//! [`collect_for_ever`] asks, hands what pods use to history at once, and the nodes to the scheduler thread, which takes them in
//! piece by piece (`Owner::take_metrics`, `Owner::renew`), so that a round of five thousand nodes is no pause of deciding.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use augur_clock::Clock;
use augur_core::object::{Node, NodeName};
use augur_core::scheduler::Input;
use augur_core::state::NodeSignals;
use augur_history::{ContainerSample, HistoryHandle, NodeObservation, NodeSample, PodSample, UnixMillis, UsageRound};
use augur_kube::{Collected, MetricsError, Usage, UsageSource};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::owner::Owner;
use super::signals::{Shares, is_jump, shares, signals};

/// Nodes taken in during one turn: well under a millisecond of work.
const NODES_PER_TURN: usize = 128;

/// One round of readings, as the scheduler thread wants it.
pub struct Readings {
    /// When it was asked for.
    pub at: Timestamp,
    /// Who was asked.
    pub source: Arc<str>,
    /// Nodes.
    pub nodes: Result<HashMap<Arc<str>, Usage>, MetricsError>,
    /// How many pods were read.
    pub pods: Result<usize, MetricsError>,
    /// Readings that cannot be true, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Why the answer may be incomplete, in the source's words.
    pub warnings: Vec<String>,
}

/// How the source is asked.
pub struct Asking {
    /// Who is asked.
    pub source: UsageSource,
    /// The time.
    pub clock: Clock,
    /// How often.
    pub interval: Duration,
}

/// Asks round by round until nobody wants to know any more.
pub async fn collect_for_ever(asking: Asking, history: HistoryHandle, readings: mpsc::Sender<Readings>) {
    let Asking { source, clock, interval } = asking;
    loop {
        let collected = source.collect(clock.now()).await;
        let (round, for_owner) = split(collected);
        // What is dropped, history counts and its health tells.
        history.observe_usage(round);
        if readings.send(for_owner).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            () = clock.sleep(jittered(interval, clock.now())) => {}
            () = readings.closed() => return,
        }
    }
}

/// The interval up to a tenth shorter or longer, so that many schedulers do not ask at once for ever.
fn jittered(interval: Duration, now: Timestamp) -> Duration {
    let draw =
        (now.as_microsecond().unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1 << 24) as f64;
    interval.mul_f64(0.9 + 0.2 * draw)
}

fn split(collected: Collected) -> (UsageRound, Readings) {
    let at = UnixMillis(collected.at.as_millisecond());
    let nodes = collected.nodes.iter().flatten();
    let nodes = nodes.map(|(name, usage)| NodeSample { name: name.clone(), cpu: usage.cpu, memory: usage.memory });
    let nodes = nodes.collect();
    let (pods, count) = match collected.pods {
        Ok(pods) => {
            let count = pods.len();
            let container =
                |(name, usage): (Arc<str>, Usage)| ContainerSample { name, cpu: usage.cpu, memory: usage.memory };
            let pods = pods.into_iter().map(|pod| PodSample {
                namespace: pod.namespace,
                name: pod.name,
                containers: pod.containers.into_iter().map(container).collect(),
            });
            (pods.collect(), Ok(count))
        }
        Err(error) => (Vec::new(), Err(error)),
    };
    let Collected { at: asked, source, nodes: of_nodes, rejected, warnings, .. } = collected;
    let readings = Readings { at: asked, source, nodes: of_nodes, pods: count, rejected, warnings };
    (UsageRound { at, nodes, pods }, readings)
}

/// A round that is being taken in.
#[derive(Default)]
pub struct Renewal {
    at: Timestamp,
    usage: HashMap<Arc<str>, Usage>,
    /// Nodes whose turn is still to come.
    left: VecDeque<NodeName>,
    /// Ready nodes without a reading, and readings that jumped, in this round.
    unread: usize,
    jumps: u64,
}

impl Owner {
    /// Takes in what the source told; the signals of the nodes are renewed in the turns that follow.
    pub(super) fn take_metrics(&mut self, readings: Readings) {
        // A round that is still being taken in is finished first; a source that is faster than that is asked too often.
        while self.renew() {}
        let now = readings.at;
        self.metrics.latest_rejected.clone_from(&readings.rejected);
        for (reason, count) in readings.rejected {
            *self.metrics.rejected.entry(reason).or_default() += count;
        }
        self.metrics.asked = Some(now);
        self.metrics.source = readings.source;
        self.metrics.warnings = readings.warnings;
        self.metrics.readings.1 = *readings.pods.as_ref().unwrap_or(&0);
        self.metrics.pods_error = readings.pods.err();
        let usage = match readings.nodes {
            Ok(usage) => {
                self.metrics.nodes_error = None;
                if !usage.is_empty() {
                    self.metrics.told = Some(now);
                }
                usage
            }
            Err(error) => {
                self.metrics.nodes_error = Some(error);
                HashMap::new()
            }
        };
        self.metrics.readings.0 = usage.len();
        let left = self.scheduler.state().nodes().map(|view| view.node().name.clone()).collect();
        self.renewal = Renewal { at: now, usage, left, unread: 0, jumps: 0 };
    }

    /// Renews the signals of the next nodes; false when the round is taken in.
    pub(super) fn renew(&mut self) -> bool {
        if self.renewal.left.is_empty() {
            return false;
        }
        let now = self.renewal.at;
        let at = self.millis();
        let rates = self.history.rates();
        let mut renewed: Vec<(NodeName, Option<NodeSignals>)> = Vec::with_capacity(NODES_PER_TURN);
        for _ in 0..NODES_PER_TURN {
            let Some(name) = self.renewal.left.pop_front() else { break };
            let Some(view) = self.scheduler.state().node(&name) else { continue };
            let (node, pods) = (view.node(), view.pods().len());
            let mut usage = self.renewal.usage.get(&name).copied();
            let mut known = usage.as_ref().map(|usage| shares(node, usage));
            if let Some(note) = self.notes.get_mut(&name) {
                if known.is_some_and(|shares| is_jump(note.believed.as_ref(), shares, pods)) {
                    self.renewal.jumps += 1;
                    (usage, known) = (None, None);
                    if let Some(believed) = &mut note.believed {
                        believed.doubts += 1;
                    }
                } else if let Some(shares) = known {
                    note.believed = Some(super::signals::Believed { shares, pods, doubts: 0 });
                }
                (note.usage, note.shares) = (usage, known);
            }
            self.renewal.unread += usize::from(node.ready && known.is_none());
            let signals = signals(node, known, &rates, now);
            self.observe_node(&name, node.ready, known, false, at);
            renewed.push((name, signals));
        }
        self.step(Input::Signals(renewed));
        self.summary_stale = true;
        let over = self.renewal.left.is_empty();
        if over {
            self.metrics.unread = self.renewal.unread;
            if self.renewal.jumps > 0 {
                *self.metrics.rejected.entry("jump").or_default() += self.renewal.jumps;
                self.metrics.latest_rejected.insert("jump", self.renewal.jumps);
            }
        }
        !over
    }

    pub(super) fn observe_node(
        &self,
        name: &NodeName,
        ready: bool,
        shares: Option<Shares>,
        gone: bool,
        at: UnixMillis,
    ) {
        let (cpu, memory) = shares.map_or((None, None), |shares| (shares.cpu, shares.memory));
        let view = self.scheduler.state().node(name);
        let (class, allocatable) = match view {
            Some(view) => (class(view.node()), Some(allocatable(view.node()))),
            None => (Arc::default(), None),
        };
        let name = name.clone();
        self.history.observe_node(NodeObservation { name, class, ready, cpu, memory, allocatable, gone, at });
    }
}

fn allocatable(node: &Node) -> (f64, f64) {
    (node.allocatable.cpu.get() as f64 / 1000.0, node.allocatable.memory.get() as f64)
}

/// The class of a node: its machine type; empty when it has none.
fn class(node: &Node) -> Arc<str> {
    node.labels.get("node.kubernetes.io/instance-type").map_or_else(Arc::default, Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_do_not_keep_step() {
        let interval = Duration::from_secs(30);
        let at = |ms: i64| Timestamp::from_millisecond(1_767_700_800_000 + ms).expect("a time");
        let spans: Vec<_> = (0..50).map(|i| jittered(interval, at(i * 30_001))).collect();
        assert!(spans.iter().all(|span| (27.0..=33.0).contains(&span.as_secs_f64())), "{spans:?}");
        assert!(
            spans.iter().any(|span| span.as_secs_f64() < 29.0) && spans.iter().any(|span| span.as_secs_f64() > 31.0)
        );
    }
}
