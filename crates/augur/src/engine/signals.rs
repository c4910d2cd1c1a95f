//! What the Metrics API and history say of nodes, as the signals that scoring reads.

use augur_core::object::Node;
use augur_core::state::NodeSignals;
use augur_core::time;
use augur_history::Rates;
use augur_kube::Usage;
use jiff::Timestamp;

/// A node cannot use much more than it has; a reading beyond this share of it is a lie.
const ABSURD_SHARE: f64 = 2.0;

/// What a node uses, as shares of what is allocatable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// CPU.
    pub cpu: Option<f64>,
    /// Memory.
    pub memory: Option<f64>,
}

/// From one believed reading to the next, both amounts grow at most so many times unless pods come.
const JUMP: f64 = 5.0;
/// Below this share nothing is a jump: an idle node may well do five times as much.
const JUMP_FROM: f64 = 0.01;
/// Readings in a row that are not believed; what is told for longer is true after all.
const DOUBTS: u32 = 40;

/// The latest reading of a node that was believed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Believed {
    /// The reading.
    pub shares: Shares,
    /// Pods that were on the node.
    pub pods: usize,
    /// Readings since that were not believed.
    pub doubts: u32,
}

/// Whether a reading of a node with so many pods cannot be believed: CPU and memory both jumped, and no pods came to explain it.
pub fn is_jump(before: Option<&Believed>, now: Shares, pods: usize) -> bool {
    let jumped = |before: Option<f64>, now: Option<f64>| match (before, now) {
        (Some(before), Some(now)) => now > JUMP * before.max(JUMP_FROM),
        // Not even as a share of what is there.
        (Some(_), None) => true,
        _ => false,
    };
    before.is_some_and(|before| {
        jumped(before.shares.cpu, now.cpu)
            && jumped(before.shares.memory, now.memory)
            && pods <= before.pods + before.pods / 4
            && before.doubts < DOUBTS
    })
}

/// The reading of a node as shares of what is allocatable; `None` for a share of nothing and for what cannot be true.
pub fn shares(node: &Node, usage: &Usage) -> Shares {
    let share = |used: f64, of: f64| Some(used / of).filter(|share| share.is_finite() && *share <= ABSURD_SHARE);
    Shares {
        cpu: share(usage.cpu, node.allocatable.cpu.get() as f64 / 1000.0),
        memory: share(usage.memory, node.allocatable.memory.get() as f64),
    }
}

/// The signals of a node. Failed pods are those of the last one to two hours: the count of the whole window passes any threshold
/// on a busy node sooner or later, however healthy it is, and would never recover. `None` when neither a reading nor history says anything, so that scoring stays as it is without them.
pub fn signals(node: &Node, shares: Option<Shares>, rates: &Rates, now: Timestamp) -> Option<NodeSignals> {
    let rates = rates.nodes.get(&node.name);
    if shares.is_none() && rates.is_none() {
        return None;
    }
    Some(NodeSignals {
        cpu_usage: shares.and_then(|shares| shares.cpu),
        memory_usage: shares.and_then(|shares| shares.memory),
        ready: Some(node.ready),
        failed_pods: rates.map(|rates| u32::try_from(rates.recent_failed_pods).unwrap_or(u32::MAX)),
        average_restarts: rates.and_then(|rates| rates.average_restarts),
        stability: rates.and_then(|rates| rates.stability_score),
        risk: rates.map(|rates| rates.ails.risk()),
        ..NodeSignals::at(core_time(now))
    })
}

/// A point in time as the core has it.
pub fn core_time(at: Timestamp) -> time::Timestamp {
    time::Timestamp::from_micros(at.as_microsecond())
}

#[cfg(test)]
mod tests {
    use augur_core::units::{Bytes, MilliCpu};

    use super::*;

    fn node() -> Node {
        let mut node = Node { ready: true, ..Node::default() };
        node.allocatable.cpu = MilliCpu(2000);
        node.allocatable.memory = Bytes(1000);
        node
    }

    #[test]
    fn a_reading_becomes_shares_unless_it_cannot_be_true() {
        let reading = |cpu, memory| shares(&node(), &Usage { cpu, memory, at: Timestamp::UNIX_EPOCH });
        assert_eq!(reading(1.0, 250.0), Shares { cpu: Some(0.5), memory: Some(0.25) });
        assert_eq!(reading(90.0, 250.0).cpu, None, "45 times what the node has");
        assert_eq!(shares(&Node::default(), &Usage { cpu: 1.0, memory: 1.0, at: Timestamp::UNIX_EPOCH }).cpu, None);
    }

    #[test]
    fn ten_times_as_much_without_new_pods_is_a_lie_until_it_lasts() {
        let shares = |cpu, memory| Shares { cpu: Some(cpu), memory: Some(memory) };
        let mut before = Believed { shares: shares(0.08, 0.1), pods: 8, doubts: 0 };
        assert!(is_jump(Some(&before), shares(0.8, 1.0), 8));
        assert!(is_jump(Some(&before), Shares { cpu: Some(0.8), memory: None }, 8), "ten times the memory there is");
        assert!(!is_jump(Some(&before), shares(0.8, 0.12), 8), "a busy hour");
        assert!(!is_jump(Some(&before), shares(0.8, 1.0), 30), "pods came");
        assert!(!is_jump(None, shares(0.8, 1.0), 8));
        before.doubts = DOUBTS;
        assert!(!is_jump(Some(&before), shares(0.8, 1.0), 8), "it is told for so long");
    }

    #[test]
    fn nothing_known_is_no_signal() {
        assert_eq!(signals(&node(), None, &Rates::default(), Timestamp::UNIX_EPOCH), None);
        let known =
            signals(&node(), Some(Shares { cpu: Some(0.5), memory: None }), &Rates::default(), Timestamp::UNIX_EPOCH);
        let known = known.expect("a reading");
        assert_eq!((known.cpu_usage, known.memory_usage, known.ready), (Some(0.5), None, Some(true)));
        assert_eq!((known.failed_pods, known.stability), (None, None));
    }
}
