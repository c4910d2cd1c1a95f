//! Watches of what bears on pods besides nodes and pods: storage objects, services, controllers, namespaces.
//!
//! [`watch_all`] starts them; what they tell arrives on one channel as [`Input`]s. A kind that cannot be listed is asked for
//! again and again, and pods that need it are refused by name until then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use augur_core::object::{DisruptionBudget, Labels, Related, RelatedKey, RelatedKind};
use augur_core::scheduler::Input;
use augur_kube::{Change, Key, MALFORMED, Skipped, Source, WatchStats, convert, reflect_with, wire};
use kube::Client;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Changes of one kind on their way; these kinds change seldom.
const CHANGES: usize = 64;

/// How these watches are doing, by plural name.
pub type RelatedStats = BTreeMap<&'static str, Arc<WatchStats>>;

const NAMESPACES: &str = "namespaces";
const BUDGETS: &str = "poddisruptionbudgets";

/// Where a kind is.
fn path(kind: RelatedKind) -> &'static str {
    match kind {
        RelatedKind::PersistentVolumeClaim => "/api/v1/persistentvolumeclaims",
        RelatedKind::PersistentVolume => "/api/v1/persistentvolumes",
        RelatedKind::Service => "/api/v1/services",
        RelatedKind::ReplicationController => "/api/v1/replicationcontrollers",
        RelatedKind::ReplicaSet => "/apis/apps/v1/replicasets",
        RelatedKind::StatefulSet => "/apis/apps/v1/statefulsets",
        RelatedKind::StorageClass => "/apis/storage.k8s.io/v1/storageclasses",
        RelatedKind::CsiNode => "/apis/storage.k8s.io/v1/csinodes",
        RelatedKind::CsiDriver => "/apis/storage.k8s.io/v1/csidrivers",
        RelatedKind::CsiStorageCapacity => "/apis/storage.k8s.io/v1/csistoragecapacities",
        RelatedKind::ResourceClaim => "/apis/resource.k8s.io/v1/resourceclaims",
        RelatedKind::ResourceSlice => "/apis/resource.k8s.io/v1/resourceslices",
        RelatedKind::DeviceClass => "/apis/resource.k8s.io/v1/deviceclasses",
        RelatedKind::VolumeAttachment => "/apis/storage.k8s.io/v1/volumeattachments",
    }
}

/// Stats for all kinds.
pub fn stats() -> RelatedStats {
    RelatedKind::ALL
        .iter()
        .map(|kind| kind.plural())
        .chain([NAMESPACES, BUDGETS])
        .map(|name| (name, Arc::default()))
        .collect()
}

/// Whether each watch has listed or has failed to: what is not known by then may take long.
pub fn have_answered(stats: &RelatedStats, is_listed: impl Fn(RelatedKind) -> bool) -> bool {
    let failed = |name: &str| stats.get(name).is_none_or(|stats| stats.errors.load(Ordering::Relaxed) > 0);
    let listed = |name: &str| stats.get(name).is_none_or(|stats| stats.lists.load(Ordering::Relaxed) > 0);
    [NAMESPACES, BUDGETS].into_iter().all(|name| listed(name) || failed(name))
        && RelatedKind::ALL.into_iter().all(|kind| is_listed(kind) || failed(kind.plural()))
}

/// Starts all watches.
pub fn watch_all(runtime: &Handle, client: &Client, stats: &RelatedStats, inputs: &mpsc::Sender<Input>) {
    for kind in RelatedKind::ALL {
        let read = move |json: &str| convert::related(kind, json);
        let input = move |change| match change {
            Change::Applied(object) => Input::RelatedApplied(object),
            Change::Deleted(Key { namespace, name, .. }, _) => {
                Input::RelatedDeleted(kind, RelatedKey { namespace: namespace.into(), name: name.into() })
            }
            Change::Reset(objects) => Input::RelatedReset(kind, objects),
        };
        if let Some(stats) = stats.get(kind.plural()) {
            watch::<Related>(runtime, client, path(kind), read, input, stats.clone(), inputs.clone());
        }
    }
    let input = |change| match change {
        Change::Applied((name, labels)) => Input::NamespaceApplied { name, labels },
        Change::Deleted(Key { name, .. }, _) => Input::NamespaceDeleted(name.into()),
        Change::Reset(all) => Input::NamespacesReset(all),
    };
    if let Some(stats) = stats.get(NAMESPACES) {
        watch(runtime, client, "/api/v1/namespaces", namespace, input, stats.clone(), inputs.clone());
    }
    let input = |change| match change {
        Change::Applied(budget) => Input::BudgetApplied(budget),
        Change::Deleted(Key { namespace, name, .. }, _) => {
            Input::BudgetDeleted { namespace: namespace.into(), name: name.into() }
        }
        Change::Reset(all) => Input::BudgetsReset(all),
    };
    if let Some(stats) = stats.get(BUDGETS) {
        let path = "/apis/policy/v1/poddisruptionbudgets";
        watch(runtime, client, path, budget, input, stats.clone(), inputs.clone());
    }
}

fn watch<T: Send + 'static>(
    runtime: &Handle,
    client: &Client,
    path: &'static str,
    read: impl Fn(&str) -> Result<(T, String), Skipped> + Send + Sync + 'static,
    input: impl Fn(Change<T>) -> Input + Send + 'static,
    stats: Arc<WatchStats>,
    inputs: mpsc::Sender<Input>,
) {
    let (changes, mut changed) = mpsc::channel(CHANGES);
    let (client, source) = (client.clone(), Source { path, narrowed: String::new() });
    runtime.spawn(async move { reflect_with(client, source, read, changes, &stats).await });
    runtime.spawn(async move {
        loop {
            // The watch ends when nobody takes its changes any more.
            let change = tokio::select! {
                biased;
                change = changed.recv() => change,
                () = inputs.closed() => return,
            };
            let Some(change) = change else { return };
            if inputs.send(input(change)).await.is_err() {
                return;
            }
        }
    });
}

fn namespace(json: &str) -> Result<((Arc<str>, Labels), String), Skipped> {
    #[derive(serde::Deserialize)]
    struct Namespace<'a> {
        #[serde(borrow, default)]
        metadata: wire::RelatedMeta<'a>,
    }
    let read: Namespace<'_> = serde_json::from_str(json).map_err(|error| Skipped::new(MALFORMED, error.to_string()))?;
    let meta = read.metadata;
    let labels = meta.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    Ok(((meta.name.as_str().into(), labels), meta.resource_version.to_string()))
}

fn budget(json: &str) -> Result<(DisruptionBudget, String), Skipped> {
    let read: wire::PodDisruptionBudget<'_> =
        serde_json::from_str(json).map_err(|error| Skipped::new(MALFORMED, error.to_string()))?;
    Ok((convert::budget(&read)?, read.metadata.resource_version.to_string()))
}
