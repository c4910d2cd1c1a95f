//! What queries see: the cluster between two turns of the scheduler thread, read only.

use std::sync::Arc;
use std::time::Instant;

use augur_api::dto::{ClusterSummary, SummaryBuilder, Thresholds};
use augur_api::{Amounts, NodeCondition, NodeUsage, NodeView};
use augur_core::cycle::{Cycle, Decision, Detail, WithoutPods};
use augur_core::object::{Effect, Node, Pod, Taint};
use augur_core::state::NodeUse;
use augur_history::{DecisionId, DecisionKind, Rates};
use augur_kube::Usage;
use augur_learn::FeatureVector;

use super::owner::Owner;
use super::record::{Surroundings, features};
use super::signals::core_time;

/// The cluster at one moment.
pub struct View<'a> {
    pub(super) owner: &'a Owner,
}

/// A decision that binds nothing, with what it was taken on.
pub struct DryRun {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The decision, with all nodes.
    pub decision: Decision,
    /// Under which it is found in history; `None` when it was not recorded.
    pub id: Option<DecisionId>,
    /// The named features on the chosen node.
    pub features: FeatureVector,
    /// The cluster as a whole.
    pub cluster: ClusterSummary,
    /// What history knew.
    pub rates: Arc<Rates>,
}

impl View<'_> {
    /// Whether nodes and pods have been listed.
    pub fn is_ready(&self) -> bool {
        self.owner.is_ready()
    }

    /// The pod of this name, waiting or placed.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.owner.scheduler.find_pod(namespace, name).cloned()
    }

    /// Decides for the pod as if it were next.
    pub fn dry_run(&self, pod: Arc<Pod>, thresholds: Thresholds, record: bool) -> DryRun {
        let owner = self.owner;
        let began = Instant::now();
        let now = core_time(owner.time.now());
        let cycle = Cycle { now, seed: owner.seed, detail: Detail::Full };
        let decision = owner.scheduler.dry_run(&pod, &*owner.predictor, cycle);
        let took = began.elapsed();
        let past = owner.past.get();
        let (state, summary) = (owner.scheduler.state(), owner.summary);
        let around = Surroundings { state, summary, past: &past, now };
        let id = record.then(|| {
            let at = owner.millis();
            let id = owner.history.next_id(at);
            let named = (id, at, DecisionKind::Prediction);
            owner.history.record_decision(owner.recorder.record(named, &pod, &decision, took, &around));
            id
        });
        let features = features(&pod, decision.node().map(|node| &**node), &around);
        DryRun { decision, id, features, cluster: self.cluster(thresholds), rates: past.rates.clone(), pod }
    }

    /// Whether the pod would fit each of the nodes if the named pods left it.
    pub fn fits_without(&self, pod: &Pod, nodes: &[WithoutPods]) -> Vec<Result<(), Vec<String>>> {
        self.owner.scheduler.fits_without(pod, nodes, core_time(self.owner.time.now()))
    }

    /// The named features of the pod on every node, sorted by name.
    pub fn features(&self, pod: &Pod) -> Vec<(Arc<str>, FeatureVector)> {
        let owner = self.owner;
        let (state, summary) = (owner.scheduler.state(), owner.summary);
        let past = owner.past.get();
        let around = Surroundings { state, summary, past: &past, now: core_time(owner.time.now()) };
        let row = |name: &Arc<str>| (name.clone(), features(pod, Some(name), &around));
        let mut rows: Vec<_> = state.nodes().map(|node| row(node.name())).collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        rows
    }

    /// The cluster in a few numbers.
    pub fn cluster(&self, thresholds: Thresholds) -> ClusterSummary {
        let mut summary = SummaryBuilder::new(thresholds);
        for node in self.owner.scheduler.state().nodes() {
            let signals = node.signals();
            let percent = |share: Option<f64>| share.map(|share| share * 100.0);
            summary.add(
                node.node().ready,
                percent(signals.and_then(|signals| signals.cpu_usage)),
                percent(signals.and_then(|signals| signals.memory_usage)),
            );
        }
        summary.build()
    }

    /// All nodes, with their pods if asked for. What is costly to make of them is left to [`NodeSnapshot::view`], off the
    /// scheduler thread.
    pub fn nodes(&self, with_pods: bool) -> Vec<NodeSnapshot> {
        let of = |view: augur_core::state::NodeView<'_>| {
            let note = self.owner.notes.get(view.name());
            NodeSnapshot {
                node: view.node().clone(),
                used: view.used().clone(),
                scalars: view.scalars().map(|(name, there_is, taken)| (name.into(), there_is, taken)).collect(),
                conditions: note.map(|note| note.conditions.clone()),
                usage: note.and_then(|note| note.usage),
                pods: if with_pods { view.pods().to_vec() } else { Vec::new() },
            }
        };
        self.owner.scheduler.state().nodes().map(of).collect()
    }
}

/// A node at one moment.
pub struct NodeSnapshot {
    node: Arc<Node>,
    used: NodeUse,
    /// Other resources: name, what there is, what is taken.
    scalars: Vec<(Arc<str>, i64, i64)>,
    conditions: Option<Arc<[NodeCondition]>>,
    usage: Option<Usage>,
    pods: Vec<Arc<Pod>>,
}

impl NodeSnapshot {
    /// As the services show it.
    pub fn view(self) -> NodeView {
        let NodeSnapshot { node, used, scalars, conditions, usage, pods } = self;
        let storage = |amount: i64| (amount != 0).then(|| (Arc::from("ephemeral-storage"), amount));
        let there_is = scalars.iter().map(|(name, there_is, _)| (name.clone(), *there_is));
        let taken = scalars.iter().map(|(name, _, taken)| (name.clone(), *taken));
        NodeView {
            name: node.name.clone(),
            ready: node.ready,
            unschedulable: node.unschedulable,
            taints: node.taints.iter().map(taint).collect(),
            conditions: conditions.map(|conditions| conditions.to_vec()).unwrap_or_default(),
            allocatable: Amounts {
                cpu_millis: used.allocatable_cpu.get(),
                memory_bytes: used.allocatable_memory.get(),
                pods: used.allowed_pods,
                others: there_is.chain(storage(used.allocatable_storage.get())).collect(),
            },
            requested: Amounts {
                cpu_millis: used.requested_cpu.get(),
                memory_bytes: used.requested_memory.get(),
                pods: used.pods,
                others: taken.chain(storage(used.requested_storage.get())).collect(),
            },
            used: usage.map(|usage| NodeUsage {
                cpu_millis: (usage.cpu * 1000.0).round() as i64,
                memory_bytes: usage.memory.round() as i64,
                at: usage.at,
            }),
            pod_count: u64::try_from(used.pods).unwrap_or(0),
            pods: pods.iter().map(|pod| pod.full_name()).collect(),
        }
    }
}

/// A taint as `kubectl describe node` writes it.
pub fn taint(taint: &Taint) -> String {
    let effect = match taint.effect {
        Effect::NoSchedule => "NoSchedule",
        Effect::PreferNoSchedule => "PreferNoSchedule",
        Effect::NoExecute => "NoExecute",
        Effect::Unknown => "",
    };
    match &*taint.value {
        "" => format!("{}:{effect}", taint.key),
        value => format!("{}={value}:{effect}", taint.key),
    }
}
