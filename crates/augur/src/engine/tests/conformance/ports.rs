//! Host ports.

use serde_json::{Value, json};

use super::everywhere;

fn with_port(ip: &str, protocol: &str) -> Value {
    json!({ "containers": [{ "name": "c", "image": "registry.k8s.io/pause:3.10",
        "ports": [{ "containerPort": 80, "hostPort": 54321, "protocol": protocol, "hostIP": ip }] }] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_conflict_between_pods_with_the_same_host_port_but_another_address_or_protocol() {
    everywhere(|on| async move {
        let node = on.node("a", json!({})).await;
        for (pod, ip, protocol) in
            [("one", "127.0.0.1", "TCP"), ("two", "10.0.0.7", "TCP"), ("three", "10.0.0.7", "UDP")]
        {
            on.pod(pod, with_port(ip, protocol)).await;
            assert_eq!(on.bound(pod).await, node);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_a_conflict_between_pods_with_the_same_host_port_if_one_uses_all_addresses() {
    everywhere(|on| async move {
        on.node("a", json!({})).await;
        on.pod("all", with_port("0.0.0.0", "TCP")).await;
        on.bound("all").await;
        on.pod("one", with_port("127.0.0.1", "TCP")).await;
        assert!(on.refused("one").await.contains("didn't have free ports"));
    })
    .await;
}
