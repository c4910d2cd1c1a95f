//! Which pods occupy which node, ahead of what the API server has confirmed.
//!
//! [`AssumedPods`] is the bookkeeping alone: it knows where each pod is believed to be and why, and answers every
//! transition with the [`Change`] that the cluster state has to follow. Start at the drawing in its documentation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::queue::PodUid;
use crate::time::Timestamp;

/// A node's name.
pub type NodeName = Arc<str>;

/// How the cluster state has to follow a transition: first take the pod off a node, then put it on one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The node that no longer holds the pod.
    pub leave: Option<NodeName>,
    /// The node that holds it now.
    pub enter: Option<NodeName>,
}

/// Why a pod is believed to be on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// The scheduler decided so; the binding is under way.
    Assumed,
    /// The binding succeeded; the watch has not shown it yet. Holds until the given time.
    Bound {
        /// When the belief is given up unless the API confirms it.
        expires: Timestamp,
    },
    /// The API showed the pod on the node.
    Confirmed,
}

/// A refused transition; the books are as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The pod is assumed or confirmed already: deciding it again would place it twice.
    AlreadyPlaced,
    /// The pod is not assumed, so that there is nothing to forget or to finish.
    NotAssumed,
}

/// A difference between the books and the API's view that [`AssumedPods::reconcile`] healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healed {
    /// The API had the pod on the node; the books did not know it.
    Missing(PodUid, NodeName),
    /// The books had the pod confirmed on the node; the API does not.
    Ghost(PodUid, NodeName),
    /// Books and API named different nodes.
    Elsewhere {
        /// The pod.
        pod: PodUid,
        /// Where the books had it.
        believed: NodeName,
        /// Where it is.
        actual: NodeName,
    },
}

impl Healed {
    /// What the cluster state has to follow.
    #[must_use]
    pub fn change(&self) -> Change {
        match self {
            Healed::Missing(_, node) => Change { leave: None, enter: Some(node.clone()) },
            Healed::Ghost(_, node) => Change { leave: Some(node.clone()), enter: None },
            Healed::Elsewhere { believed, actual, .. } => {
                Change { leave: Some(believed.clone()), enter: Some(actual.clone()) }
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    node: NodeName,
    belief: Belief,
    /// Whether a list contradicted the belief after its time.
    doubted: bool,
}

/// The books of who is where.
///
/// ```text
///              assume            bound              confirm
///   (unknown) ───────▶ Assumed ─────────▶ Bound ───────────────▶ Confirmed ─┐
///       ▲  ▲              │  └─────────────────────── confirm ──▶    ▲  ▲   │ confirm (update)
///       │  └── forget ────┘                 │                        │  └───┘
///       │                                   │ expire                 │
///       ├───────────────────────────────────┘                        │
///       ├──────────────────── confirm (bound by someone else) ───────┘
///       └◀─────────────────── remove (from any state)
/// ```
///
/// The API always wins: `confirm` on another node than the assumed one moves the pod there. A pod whose binding is
/// under way is never touched by [`AssumedPods::reconcile`], because the API cannot know it yet. `Bound` exists only
/// to give up a belief that the watch should have confirmed long ago, and that a lost event would keep for ever. Time alone gives
/// nothing up: a watch may be silent for long, and a clock may be set forward.
#[derive(Debug)]
pub struct AssumedPods {
    confirm_within: Duration,
    pods: HashMap<PodUid, Entry>,
    /// Beliefs that want to be confirmed, the most urgent first.
    expiring: BTreeMap<(Timestamp, PodUid), ()>,
    healed: u64,
    reconciled: bool,
    expired: u64,
}

/// How long a successful binding may go unconfirmed before lists are asked for. Far beyond any watch delay that a working API
/// server shows.
pub const CONFIRM_WITHIN: Duration = Duration::from_secs(30);

impl Default for AssumedPods {
    fn default() -> Self {
        AssumedPods::new(CONFIRM_WITHIN)
    }
}

impl AssumedPods {
    /// Empty books; a successful binding may go unconfirmed for the given time, usually [`CONFIRM_WITHIN`], before it is doubted.
    #[must_use]
    pub fn new(confirm_within: Duration) -> Self {
        AssumedPods {
            confirm_within,
            pods: HashMap::new(),
            expiring: BTreeMap::new(),
            reconciled: false,
            healed: 0,
            expired: 0,
        }
    }

    /// The scheduler chose a node.
    ///
    /// # Errors
    /// The pod is placed already.
    pub fn assume(&mut self, pod: &PodUid, node: &NodeName) -> Result<Change, Refused> {
        if self.pods.contains_key(pod) {
            return Err(Refused::AlreadyPlaced);
        }
        self.pods.insert(pod.clone(), Entry { node: node.clone(), belief: Belief::Assumed, doubted: false });
        Ok(Change { leave: None, enter: Some(node.clone()) })
    }

    /// The binding succeeded.
    ///
    /// # Errors
    /// The pod is neither assumed nor, which is fine, confirmed already.
    pub fn bound(&mut self, pod: &PodUid, now: Timestamp) -> Result<(), Refused> {
        let entry = self.pods.get_mut(pod).ok_or(Refused::NotAssumed)?;
        if entry.belief == Belief::Assumed {
            let expires = now + self.confirm_within;
            entry.belief = Belief::Bound { expires };
            self.expiring.insert((expires, pod.clone()), ());
        }
        Ok(())
    }

    /// The binding failed, or the assumed pod was deleted: its place is free again.
    ///
    /// # Errors
    /// The pod is not assumed. A confirmed pod stays: the API has it on its node, whatever the binder heard.
    pub fn forget(&mut self, pod: &PodUid) -> Result<Change, Refused> {
        match self.pods.get(pod) {
            Some(entry) if entry.belief != Belief::Confirmed => Ok(self.remove(pod)),
            _ => Err(Refused::NotAssumed),
        }
    }

    /// The API shows the pod on a node.
    pub fn confirm(&mut self, pod: &PodUid, node: &NodeName) -> Change {
        let confirmed = Entry { node: node.clone(), belief: Belief::Confirmed, doubted: false };
        match self.pods.insert(pod.clone(), confirmed) {
            None => Change { leave: None, enter: Some(node.clone()) },
            Some(before) => {
                self.unschedule(pod, &before);
                if before.node == *node {
                    Change::default()
                } else {
                    Change { leave: Some(before.node), enter: Some(node.clone()) }
                }
            }
        }
    }

    /// The pod is gone, or came to an end and holds nothing any more.
    pub fn remove(&mut self, pod: &PodUid) -> Change {
        match self.pods.remove(pod) {
            None => Change::default(),
            Some(before) => {
                self.unschedule(pod, &before);
                Change { leave: Some(before.node), enter: None }
            }
        }
    }

    /// A list shows pods `unplaced`. Gives up the beliefs that are overdue and that a second such list contradicts: lists come one
    /// after the other, so that the second began after the binding. Each with what the cluster state has to follow.
    pub fn expire(&mut self, unplaced: impl Fn(&PodUid) -> bool, now: Timestamp) -> Vec<(PodUid, Change)> {
        let overdue = self.expiring.keys().take_while(|(expires, _)| *expires <= now);
        let overdue: Vec<PodUid> = overdue.map(|(_, pod)| pod).filter(|pod| unplaced(pod)).cloned().collect();
        let mut given_up = Vec::new();
        for pod in overdue {
            match self.pods.get_mut(&pod) {
                Some(entry) if !entry.doubted => entry.doubted = true,
                _ => {
                    let change = self.remove(&pod);
                    self.expired += 1;
                    given_up.push((pod, change));
                }
            }
        }
        given_up
    }

    /// Compares the books with all pods that the API has on nodes, and makes them agree. The cluster state must
    /// follow [`Healed::change`] of each difference. Beliefs of bindings under way are left alone.
    pub fn reconcile<'a>(&mut self, api: impl IntoIterator<Item = (&'a PodUid, &'a NodeName)>) -> Vec<Healed> {
        let actual: HashMap<&PodUid, &NodeName> = api.into_iter().collect();
        let mut healed: Vec<Healed> = self
            .pods
            .iter()
            .filter(|(pod, entry)| entry.belief == Belief::Confirmed && !actual.contains_key(*pod))
            .map(|(pod, entry)| Healed::Ghost(pod.clone(), entry.node.clone()))
            .collect();
        for (pod, node) in actual {
            match self.pods.get(pod) {
                None => healed.push(Healed::Missing(pod.clone(), node.clone())),
                Some(entry) if entry.node != *node => healed.push(Healed::Elsewhere {
                    pod: pod.clone(),
                    believed: entry.node.clone(),
                    actual: node.clone(),
                }),
                Some(_) => {}
            }
        }
        healed.sort_by(|a, b| a.pod().cmp(b.pod()));
        for difference in &healed {
            match difference {
                Healed::Ghost(pod, _) => drop(self.remove(pod)),
                Healed::Missing(pod, node) | Healed::Elsewhere { pod, actual: node, .. } => {
                    drop(self.confirm(pod, node));
                }
            }
        }
        // What the first list has is news, not a difference.
        if std::mem::replace(&mut self.reconciled, true) {
            self.healed += healed.len() as u64;
        }
        healed
    }

    /// The node and belief of a pod.
    #[must_use]
    pub fn get(&self, pod: &PodUid) -> Option<(&NodeName, Belief)> {
        self.pods.get(pod).map(|entry| (&entry.node, entry.belief))
    }

    /// Whether a binding should have been confirmed by now.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.expiring.first_key_value().is_some_and(|((expires, _), ())| *expires <= now)
    }

    /// Differences healed so far.
    #[must_use]
    pub fn healed(&self) -> u64 {
        self.healed
    }

    /// Beliefs given up so far.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired
    }

    fn unschedule(&mut self, pod: &PodUid, entry: &Entry) {
        if let Belief::Bound { expires } = entry.belief {
            self.expiring.remove(&(expires, pod.clone()));
        }
    }
}

impl Healed {
    /// The pod.
    #[must_use]
    pub fn pod(&self) -> &PodUid {
        match self {
            Healed::Missing(pod, _) | Healed::Ghost(pod, _) | Healed::Elsewhere { pod, .. } => pod,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn pod(n: u8) -> PodUid {
        format!("pod-{n}").into()
    }

    fn node(n: u8) -> NodeName {
        format!("node-{n}").into()
    }

    #[test]
    fn the_api_has_the_last_word_on_the_node() {
        let mut books = AssumedPods::default();
        books.assume(&pod(1), &node(1)).expect("unknown before");
        assert_eq!(
            books.confirm(&pod(1), &node(2)),
            Change { leave: Some(node(1)), enter: Some(node(2)) },
            "someone else bound it elsewhere"
        );
        assert_eq!(books.forget(&pod(1)), Err(Refused::NotAssumed), "our own failed binding changes nothing then");
    }

    #[test]
    fn a_pod_is_not_assumed_twice() {
        let mut books = AssumedPods::default();
        books.assume(&pod(1), &node(1)).expect("unknown before");
        assert_eq!(books.assume(&pod(1), &node(2)), Err(Refused::AlreadyPlaced));
    }

    #[test]
    fn a_binding_that_two_lists_contradict_is_given_up_but_one_under_way_is_not() {
        let mut books = AssumedPods::default();
        for n in [1, 2, 3] {
            books.assume(&pod(n), &node(n)).expect("unknown before");
        }
        books.bound(&pod(1), Timestamp::from_secs(0)).expect("assumed");
        books.bound(&pod(2), Timestamp::from_secs(0)).expect("assumed");
        books.confirm(&pod(2), &node(2));
        let (early, late) = (Timestamp::from_secs(29), Timestamp::from_secs(30));
        assert!(!books.is_overdue(early) && books.is_overdue(late));
        assert_eq!((books.expire(|_| true, early), books.expire(|_| true, early)), (vec![], vec![]), "in time");
        assert_eq!(books.expire(|_| false, late), [], "the list has it on its node, or has it no more");
        assert_eq!(books.expire(|_| true, late), [], "this list may have begun before the binding");
        assert_eq!(books.expire(|_| true, late), [(pod(1), Change { leave: Some(node(1)), enter: None })]);
        assert_eq!((books.expired(), books.is_overdue(late)), (1, false));
        assert!(books.get(&pod(3)).is_some());
    }

    #[test]
    fn the_self_check_heals_and_counts_what_differs() {
        let mut books = AssumedPods::default();
        assert!(books.reconcile([]).is_empty(), "the first list is news");
        books.confirm(&pod(1), &node(1));
        books.confirm(&pod(2), &node(2));
        books.assume(&pod(3), &node(3)).expect("unknown before");
        let (p2, p4, n1, n4) = (pod(2), pod(4), node(1), node(4));
        let healed = books.reconcile([(&p2, &n1), (&p4, &n4)]);
        assert_eq!(
            healed,
            [
                Healed::Ghost(pod(1), node(1)),
                Healed::Elsewhere { pod: pod(2), believed: node(2), actual: node(1) },
                Healed::Missing(pod(4), node(4)),
            ]
        );
        assert_eq!(books.healed(), 3);
        assert_eq!(books.reconcile([(&p2, &n1), (&p4, &n4)]), []);
        assert_eq!(books.get(&pod(3)), Some((&node(3), Belief::Assumed)), "its binding is under way");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Assume(u8, u8),
        Bound(u8),
        Forget(u8),
        Confirm(u8, u8),
        Remove(u8),
        Wait(u8),
        Reconcile(Vec<(u8, u8)>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (p, n) = (0..5u8, 0..3u8);
        prop_oneof![
            3 => (p.clone(), n.clone()).prop_map(|(p, n)| Step::Assume(p, n)),
            2 => p.clone().prop_map(Step::Bound),
            1 => p.clone().prop_map(Step::Forget),
            2 => (p.clone(), n.clone()).prop_map(|(p, n)| Step::Confirm(p, n)),
            1 => p.clone().prop_map(Step::Remove),
            1 => (0..40u8).prop_map(Step::Wait),
            1 => prop::collection::vec((p, n), 0..4).prop_map(Step::Reconcile),
        ]
    }

    /// What a cluster state that follows the changes ends up with.
    fn follow(state: &mut HashMap<PodUid, NodeName>, pod: &PodUid, change: Change) -> Result<(), TestCaseError> {
        if let Some(node) = change.leave {
            prop_assert_eq!(state.remove(pod), Some(node), "a pod leaves only the node it is on");
        }
        if let Some(node) = change.enter {
            prop_assert_eq!(state.insert(pod.clone(), node), None, "a pod is on one node at most");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_state_that_follows_the_changes_agrees_with_the_books(steps in prop::collection::vec(step(), 1..80)) {
            let mut books = AssumedPods::default();
            let mut state = HashMap::new();
            let mut now = Timestamp::EPOCH;
            for step in steps {
                match step {
                    Step::Assume(p, n) => if let Ok(change) = books.assume(&pod(p), &node(n)) { follow(&mut state, &pod(p), change)?; },
                    Step::Bound(p) => { let known = books.get(&pod(p)).is_some(); prop_assert_eq!(books.bound(&pod(p), now).is_ok(), known); }
                    Step::Forget(p) => if let Ok(change) = books.forget(&pod(p)) { follow(&mut state, &pod(p), change)?; },
                    Step::Confirm(p, n) => { let change = books.confirm(&pod(p), &node(n)); follow(&mut state, &pod(p), change)?; }
                    Step::Remove(p) => { let change = books.remove(&pod(p)); follow(&mut state, &pod(p), change)?; }
                    Step::Wait(secs) => {
                        now = now + Duration::from_secs(u64::from(secs));
                        for _ in 0..2 {
                            for (p, change) in books.expire(|_| true, now) { follow(&mut state, &p, change)?; }
                        }
                        prop_assert!(!books.is_overdue(now));
                    }
                    Step::Reconcile(view) => {
                        let view: HashMap<PodUid, NodeName> = view.into_iter().map(|(p, n)| (pod(p), node(n))).collect();
                        for healed in books.reconcile(view.iter()) { follow(&mut state, healed.pod(), healed.change())?; }
                        for (p, n) in &view { prop_assert_eq!(state.get(p), Some(n)); }
                    }
                }
                for n in 0..5 {
                    prop_assert_eq!(books.get(&pod(n)).map(|(node, _)| node), state.get(&pod(n)));
                }
            }
        }
    }
}
