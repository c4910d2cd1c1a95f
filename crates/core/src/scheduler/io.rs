//! What goes into the scheduler and what comes out: [`Input`] and [`Effect`].

use std::sync::Arc;

use super::consult::{Answer, Party, Question};
use crate::cycle::Decision;
use crate::object::{DisruptionBudget, Labels, Node, NodeName, Pod, PodUid, Related, RelatedKey, RelatedKind};
use crate::plugins::ClaimsAfter;
use crate::state::NodeSignals;

/// Something that happened outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A node is new or changed.
    NodeApplied(Node),
    /// A node is gone.
    NodeDeleted(NodeName),
    /// All nodes there are; what is not among them is gone.
    NodesReset(Vec<Node>),
    /// A pod is new or changed, whoever schedules it.
    PodApplied(Pod),
    /// A pod is gone.
    PodDeleted(PodUid),
    /// All pods there are; what is not among them is gone.
    PodsReset(Vec<Pod>),
    /// A namespace is new or has other labels. Namespaces are needed only for affinity terms that choose them by label;
    /// while none is known, pods with such terms are refused.
    NamespaceApplied {
        /// Its name.
        name: Arc<str>,
        /// Its labels.
        labels: Labels,
    },
    /// A namespace is gone.
    NamespaceDeleted(Arc<str>),
    /// All namespaces there are, with their labels.
    NamespacesReset(Vec<(Arc<str>, Labels)>),
    /// An object besides nodes and pods is new or changed.
    RelatedApplied(Related),
    /// An object besides nodes and pods is gone.
    RelatedDeleted(RelatedKind, RelatedKey),
    /// All objects of the kind there are; others in the list are passed over. Pods that need a kind which was never
    /// listed are refused.
    RelatedReset(RelatedKind, Vec<Related>),
    /// New signals of nodes; `None` forgets those of a node.
    Signals(Vec<(NodeName, Option<NodeSignals>)>),
    /// What came of an [`Effect::Prepare`].
    Prepared {
        /// The pod.
        uid: PodUid,
        /// Why the API server could not be told, if it could not.
        result: Result<(), Arc<str>>,
    },
    /// What came of an [`Effect::Bind`].
    BindResult {
        /// The pod.
        uid: PodUid,
        /// How it went.
        result: BindResult,
    },
    /// What came of an [`Effect::Evict`].
    EvictionResult {
        /// The pod that was to be evicted.
        uid: PodUid,
        /// The reason why it was not, if it was not.
        result: Result<(), Arc<str>>,
    },
    /// What came of an [`Effect::Consult`].
    Consulted {
        /// Its number.
        number: u64,
        /// The answer, or why extenders that cannot be done without gave none.
        answer: Result<Answer, Arc<str>>,
    },
    /// A disruption budget is new or changed.
    BudgetApplied(DisruptionBudget),
    /// A disruption budget is gone.
    BudgetDeleted {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
    /// All disruption budgets there are.
    BudgetsReset(Vec<DisruptionBudget>),
    /// Time passed: backoffs end, beliefs expire.
    Tick,
}

/// What came of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindResult {
    /// The pod is bound.
    Bound,
    /// The API server refuses it for good: the pod is bound, gone, or another. Nothing more is to be done unless the
    /// watch shows otherwise.
    Refused(Arc<str>),
    /// It did not come about for now; the pod is tried again after a backoff.
    Unavailable(Arc<str>),
}

/// What is to become of a pod's nomination (`status.nominatedNodeName`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Nomination {
    /// It stays as it is.
    #[default]
    Unchanged,
    /// It is taken back: no room can be made there.
    Cleared,
    /// Room is made on this node.
    Node(NodeName),
}

/// Something that is to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Tell the API server what has to be done before the pod can be bound to the node (kube-scheduler's PreBind):
    /// [`Decision::volumes`]. Exactly one [`Input::Prepared`] has to come back; [`Effect::Bind`] or [`Effect::Abandoned`]
    /// follows.
    Prepare {
        /// The pod.
        pod: Arc<Pod>,
        /// The node.
        node: NodeName,
        /// How it was chosen.
        decision: Arc<Decision>,
        /// Attempts so far, this one included.
        attempts: u32,
    },
    /// A pod that was being prepared is not bound after all; it is tried again.
    Abandoned {
        /// The pod.
        uid: PodUid,
        /// Why.
        error: Arc<str>,
    },
    /// Do not send a binding that was asked for by [`Effect::Bind`], if it is not sent yet: its node has changed so that the pod
    /// no longer fits. [`Input::BindResult`] comes back in any case.
    Recall {
        /// The pod.
        uid: PodUid,
        /// Why it no longer fits.
        why: Arc<str>,
    },
    /// Ask extenders about the pod. Exactly one [`Input::Consulted`] with the same number has to come back.
    Consult {
        /// The pod.
        pod: Arc<Pod>,
        /// Tells this question from others.
        number: u64,
        /// Who is asked, by place among [`SchedulerConfig::extenders`](super::SchedulerConfig::extenders).
        extenders: Party,
        /// What they are asked.
        question: Question,
    },
    /// Bind the pod to the node. Exactly one [`Input::BindResult`] has to come back.
    Bind {
        /// The pod.
        pod: Arc<Pod>,
        /// The node.
        node: NodeName,
        /// How it was chosen.
        decision: Arc<Decision>,
        /// Attempts so far, this one included.
        attempts: u32,
    },
    /// The pod cannot be placed now: an event and the `PodScheduled` condition have to say so.
    Unschedulable {
        /// The pod.
        pod: Arc<Pod>,
        /// The condition's reason: `Unschedulable` or `SchedulerError`.
        reason: &'static str,
        /// The text of the event and the condition.
        message: String,
        /// How it was judged; `None` if its binding failed.
        decision: Option<Arc<Decision>>,
        /// What its status has to say of the node where room is made for it.
        nomination: Nomination,
    },
    /// Take the devices of a claim back, or delete the claim: the pod, which has it for itself, fits nowhere with it. What
    /// comes of it is seen by the watch.
    FreeClaim {
        /// The pod.
        pod: Arc<Pod>,
        /// The claim.
        claim: RelatedKey,
        /// [`ClaimsAfter::Deallocated`] or [`ClaimsAfter::Deleted`].
        after: ClaimsAfter,
    },
    /// Evict the pod to make room for another. Exactly one [`Input::EvictionResult`] has to come back.
    Evict {
        /// The pod that has to go.
        victim: Arc<Pod>,
        /// The pod that gets its place.
        preemptor: Arc<Pod>,
        /// Where.
        node: NodeName,
    },
    /// Take back `status.nominatedNodeName` of a pod: one of higher priority gets the place that it waited for.
    ClearNomination {
        /// The pod that loses its place.
        pod: Arc<Pod>,
    },
}
