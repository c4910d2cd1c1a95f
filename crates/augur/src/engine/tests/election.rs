//! Replicas that compete for the lease.

use std::sync::atomic::Ordering;

use augur_kube::Leadership;
use serde_json::json;

use super::cluster::{Cluster, until};

/// Pods `prefix-0` to `prefix-9`, of one core each.
fn ten(cluster: &Cluster, prefix: &str) -> Vec<String> {
    let names: Vec<_> = (0..10).map(|n| format!("{prefix}-{n}")).collect();
    names.iter().for_each(|name| cluster.pod(name, "1"));
    names
}

fn all_bound_once(cluster: &Cluster, pods: &[String]) {
    for pod in pods {
        assert_eq!((cluster.bindings_of(pod), cluster.node_of(pod).is_some()), (1, true), "{pod}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standby_follows_and_takes_over_when_the_lease_is_given_back() {
    let cluster = Cluster::new();
    cluster.node("n", "100");
    let (first, first_link) = cluster.replica("first");
    until("the first leads", || first.handle().leadership() == Leadership::Leader).await;
    let (second, second_link) = cluster.replica("second");
    let pods = ten(&cluster, "early");
    until("the first has bound them", || first.handle().status().bound == 10).await;
    // It is warm: it knows the node, the pods, and that there is nothing left to do.
    let handle = second.handle();
    until("the second has followed", || {
        let status = handle.status();
        status.placed_pods == 10 && status.nodes == 1 && status.pending.active == 0
    })
    .await;
    let standby = Leadership::Standby { holder: Some("first".to_owned()), error: None };
    assert_eq!((handle.leadership(), second_link.bindings.load(Ordering::SeqCst)), (standby, 0));
    // A gate is its leader's business to tell, too.
    cluster.pod_with("gated", "1", &json!({ "schedulingGates": [{ "name": "wait" }] }));
    first.shutdown().await;
    assert_eq!(
        cluster.local.get("leases.coordination.k8s.io", "kube-system", "augur").unwrap()["spec"]["holderIdentity"],
        ""
    );
    let later = ten(&cluster, "late");
    until("the second has bound what came later", || handle.status().bound == 10).await;
    all_bound_once(&cluster, &[pods, later].concat());
    assert_eq!((first_link.bindings.load(Ordering::SeqCst), second_link.bindings.load(Ordering::SeqCst)), (10, 10));
    assert_eq!(cluster.node_of("gated"), None);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_cannot_renew_binds_nothing_more() {
    let cluster = Cluster::new();
    cluster.node("n", "100");
    let (first, first_link) = cluster.replica("first");
    until("the first leads", || first.handle().leadership() == Leadership::Leader).await;
    let (second, second_link) = cluster.replica("second");
    let pods = ten(&cluster, "early");
    until("the first has bound them", || first.handle().status().bound == 10).await;
    // Only the lease is out of its reach: its watches and bindings still work.
    first_link.leases_hang.store(true, Ordering::SeqCst);
    until("the second leads", || second.handle().leadership() == Leadership::Leader).await;
    let before = first_link.bindings.load(Ordering::SeqCst);
    let later = ten(&cluster, "late");
    until("all are bound", || later.iter().all(|pod| cluster.node_of(pod).is_some())).await;
    all_bound_once(&cluster, &[pods, later].concat());
    assert_eq!((first_link.bindings.load(Ordering::SeqCst), second_link.bindings.load(Ordering::SeqCst)), (before, 10));
    let told = first.handle().leadership();
    assert!(matches!(&told, Leadership::Standby { error: Some(_), .. }), "{told:?}");
    // It comes back as a standby, and takes over in its turn.
    first_link.leases_hang.store(false, Ordering::SeqCst);
    second.shutdown().await;
    until("the first leads again", || first.handle().leadership() == Leadership::Leader).await;
    let last = ten(&cluster, "last");
    until("the first has bound the last", || last.iter().all(|pod| cluster.node_of(pod).is_some())).await;
    all_bound_once(&cluster, &last);
    first.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_first_learns_what_the_one_before_bound_last() {
    let cluster = Cluster::new();
    for node in 0..5 {
        cluster.node(&format!("n{node}"), "2");
    }
    let (first, _) = cluster.replica("first");
    until("the first leads", || first.handle().leadership() == Leadership::Leader).await;
    let (second, link) = cluster.replica("second");
    let handle = second.handle();
    until("the second has listed", || handle.status().ready).await;
    link.pods_stand_still.store(true, Ordering::SeqCst);
    // All room is taken, and the second does not see it.
    let pods = ten(&cluster, "early");
    until("the first has bound them", || first.handle().status().bound == 10).await;
    // These have to be in the list that it makes when it leads, for its watch will not show them.
    link.leases_hang.store(true, Ordering::SeqCst);
    first.shutdown().await;
    let late = ten(&cluster, "late");
    link.leases_hang.store(false, Ordering::SeqCst);
    until("the second has tried them", || late.iter().all(|pod| cluster.scheduled(pod)["status"] == "False")).await;
    all_bound_once(&cluster, &pods);
    assert!(late.iter().all(|pod| cluster.bindings_of(pod) == 0), "there is no room for any of them");
    second.shutdown().await;
}
