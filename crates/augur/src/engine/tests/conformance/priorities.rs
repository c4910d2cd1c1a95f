//! Which of several nodes a pod goes to.

use serde_json::{Value, json};

use super::everywhere;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_goes_to_a_node_that_does_not_match_its_anti_affinity() {
    everywhere(|on| async move {
        on.node("a", json!({})).await;
        on.node("b", json!({})).await;
        on.pod("there", json!({})).await;
        let taken = on.bound("there").await;
        for kind in ["required", "preferred"] {
            let term =
                json!({ "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "there" } } });
            let terms = match kind {
                "required" => json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] }),
                _ => json!({ "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 100, "podAffinityTerm": term }] }),
            };
            on.pod(kind, json!({ "affinity": { "podAntiAffinity": terms } })).await;
            assert_ne!(on.bound(kind).await, taken, "{kind}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_preferably_put_on_a_node_whose_taints_it_tolerates() {
    everywhere(|on| async move {
        let taints = |who: &str| -> Value {
            let taint = |n: u32| json!({ "key": format!("{who}-{n}"), "value": "tests", "effect": "PreferNoSchedule" });
            json!({ "spec": { "taints": (0..5).map(taint).collect::<Vec<_>>() } })
        };
        let tolerated = on.node("a", taints("known")).await;
        for name in ["b", "c"] {
            on.node(name, taints(name)).await;
        }
        let tolerations: Vec<Value> =
            (0..5).map(|n| json!({ "key": format!("known-{n}"), "operator": "Exists" })).collect();
        on.pod("tolerant", json!({ "tolerations": tolerations })).await;
        assert_eq!(on.bound("tolerant").await, tolerated);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_preferably_put_on_a_node_of_its_preferred_affinity() {
    everywhere(|on| async move {
        on.node("a", json!({})).await;
        let liked = on.node("b", json!({ "metadata": { "labels": { "disk": "fast" } } })).await;
        let term = json!({ "matchExpressions": [{ "key": "disk", "operator": "Exists" }] });
        let wish =
            json!({ "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 100, "preference": term }] });
        on.pod("picky", json!({ "affinity": { "nodeAffinity": wish } })).await;
        assert_eq!(on.bound("picky").await, liked);
    })
    .await;
}
