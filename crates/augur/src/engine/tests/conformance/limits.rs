//! Limits and defaults of a namespace, as far as they decide what the scheduler sees.

use serde_json::{Value, json};

use super::{Target, everywhere};

async fn range(on: &Target) -> Value {
    let limit = json!({ "type": "Container",
        "min": { "cpu": "50m", "memory": "100Mi" }, "max": { "cpu": "500m", "memory": "500Mi" },
        "default": { "cpu": "500m", "memory": "500Mi" }, "defaultRequest": { "cpu": "100m", "memory": "200Mi" } });
    let range = json!({ "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "limits" }, "spec": { "limits": [limit] } });
    on.create(&on.within("limitranges"), range).await
}

fn pod(on: &Target, name: &str, resources: &Value) -> Value {
    let container = json!({ "name": "c", "image": "registry.k8s.io/pause:3.10", "resources": resources });
    on.pod_of(name, &json!({ "containers": [container] }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_range_gives_pods_defaults_by_which_they_are_scheduled() {
    everywhere(|on| async move {
        on.node("a", json!({ "status": { "allocatable": { "cpu": "250m" }, "capacity": { "cpu": "250m" } } })).await;
        range(&on).await;
        let created = on.create(&on.within("pods"), pod(&on, "bare", &json!({}))).await;
        let expected =
            json!({ "requests": { "cpu": "100m", "memory": "200Mi" }, "limits": { "cpu": "500m", "memory": "500Mi" } });
        assert_eq!(created["spec"]["containers"][0]["resources"], expected);
        // A limit of its own is its request too, as far as there is none.
        let own = json!({ "requests": { "memory": "150Mi" }, "limits": { "cpu": "300m", "memory": "300Mi" } });
        let merged = on.create(&on.within("pods"), pod(&on, "own", &own)).await;
        let requests = &merged["spec"]["containers"][0]["resources"]["requests"];
        assert_eq!(requests, &json!({ "cpu": "300m", "memory": "150Mi" }));
        // By its defaults the first fits on the node, and the second does not.
        on.bound("bare").await;
        assert!(on.refused("own").await.contains("Insufficient cpu"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_range_refuses_pods_below_and_above_it() {
    everywhere(|on| async move {
        range(&on).await;
        let below = json!({ "requests": { "cpu": "10m", "memory": "50Mi" } });
        let above = json!({ "requests": { "cpu": "600m" }, "limits": { "cpu": "600m" } });
        for (name, resources) in [("below", below), ("above", above)] {
            assert_eq!(on.ask("POST", &on.within("pods"), Some(&pod(&on, name, &resources))).await, Err(403), "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_range_can_be_listed_changed_and_deleted_as_a_collection() {
    everywhere(|on| async move {
        range(&on).await;
        let path = on.within("limitranges/limits");
        let least =
            json!({ "spec": { "limits": [{ "type": "Container", "min": { "cpu": "5m", "memory": "10Mi" } }] } });
        on.patch(&path, least).await;
        let below = json!({ "requests": { "cpu": "10m", "memory": "50Mi" } });
        on.create(&on.within("pods"), pod(&on, "small", &below)).await;
        on.patch(&path, json!({ "metadata": { "labels": { "of": "test" } } })).await;
        let selected = format!("{}?labelSelector=of%3Dtest", on.within("limitranges"));
        assert_eq!(on.get(&selected).await["items"].as_array().unwrap().len(), 1);
        on.ask("DELETE", &selected, None).await.unwrap();
        assert_eq!(on.ask("GET", &path, None).await, Err(404));
    })
    .await;
}
