//! Making room for pods of higher priority.

use serde_json::{Value, json};

use super::{Target, everywhere};

/// The priority classes of a test.
pub struct Classes {
    pub low: String,
    pub medium: String,
    pub high: String,
    /// As `high`, but evicting nobody.
    pub polite: String,
}

const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";

impl Target {
    pub async fn classes(&self) -> Classes {
        let class = |value: i32, policy: &str| json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": value, "preemptionPolicy": policy });
        Classes {
            low: self.create_global(CLASSES, "low", class(1, "PreemptLowerPriority")).await,
            medium: self.create_global(CLASSES, "medium", class(100, "PreemptLowerPriority")).await,
            high: self.create_global(CLASSES, "high", class(1000, "PreemptLowerPriority")).await,
            polite: self.create_global(CLASSES, "polite", class(1000, "Never")).await,
        }
    }
}

fn of(class: &str, cpu: &str) -> Value {
    json!({ "priorityClassName": class, "containers": [{ "name": "c", "image": "registry.k8s.io/pause:3.10",
        "resources": { "requests": { "cpu": cpu } } }] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn basic_preemption_works() {
    everywhere(|on| async move {
        let classes = on.classes().await;
        let nodes = [on.node("a", json!({})).await, on.node("b", json!({})).await];
        // One node is held by a pod of low priority, the other by one of medium priority.
        on.pod("low", of(&classes.low, "3")).await;
        let of_low = on.bound("low").await;
        on.pod("medium", of(&classes.medium, "3")).await;
        assert!(nodes.contains(&on.bound("medium").await));
        on.pod("preemptor", of(&classes.high, "3")).await;
        assert_eq!(on.bound("preemptor").await, of_low);
        on.evicted("low").await;
        assert!(on.stays("medium").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_pod_preempts_one_of_lower_priority() {
    everywhere(|on| async move {
        let classes = on.classes().await;
        let node = on.node("a", json!({})).await;
        on.pod("low", of(&classes.low, "3")).await;
        on.bound("low").await;
        on.pod("critical", of("system-cluster-critical", "3")).await;
        assert_eq!(on.bound("critical").await, node);
        on.evicted("low").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_condition_of_a_disruption_is_added_to_the_preempted_pod() {
    everywhere(|on| async move {
        let classes = on.classes().await;
        on.node("a", json!({})).await;
        // A finalizer keeps it there to be looked at.
        let mut victim = on.pod_of("victim", &of(&classes.low, "3"));
        victim["metadata"]["finalizers"] = json!(["example.com/keep"]);
        on.create(&on.within("pods"), victim).await;
        on.bound("victim").await;
        on.pod("preemptor", of(&classes.high, "3")).await;
        let path = on.pod_path("victim");
        let disrupted = |pod: &Value| {
            let conditions = pod["status"]["conditions"].as_array()?;
            let found = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget")?;
            Some((found["status"].clone(), found["reason"].clone()))
        };
        let told = on.wait("the condition is there", &path, disrupted).await;
        assert_eq!(told, (json!("True"), json!("PreemptionByScheduler")));
        on.evicted("victim").await;
        on.patch(&path, json!({ "metadata": { "finalizers": null } })).await;
        on.bound("preemptor").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_preempts_nobody_waits_before_those_of_lower_priority() {
    everywhere(|on| async move {
        let classes = on.classes().await;
        on.node("a", json!({})).await;
        on.pod("low", of(&classes.low, "3")).await;
        on.bound("low").await;
        on.pod("polite", of(&classes.polite, "3")).await;
        let told = on.refused("polite").await;
        assert!(told.contains("Insufficient cpu"), "{told}");
        assert!(on.stays("low").await);
        on.ask("DELETE", &on.pod_path("low"), None).await.unwrap();
        on.bound("polite").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_several_priorities_preempts_the_one_below() {
    everywhere(|on| async move {
        let classes = on.classes().await;
        on.node("a", json!({})).await;
        let mut before = None;
        for (pod, class) in [("first", &classes.low), ("second", &classes.medium), ("third", &classes.high)] {
            on.pod(pod, of(class, "3")).await;
            on.bound(pod).await;
            if let Some(before) = before.replace(pod) {
                on.evicted(before).await;
            }
        }
        on.pod("late", of(&classes.medium, "3")).await;
        on.refused("late").await;
        assert!(on.stays("third").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_no_budget_protects_goes_first() {
    everywhere(|on| async move {
        let classes = on.classes().await;
        on.node("a", json!({})).await;
        let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "kept" },
            "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "kept" } } } });
        on.create(&format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", on.namespace), budget).await;
        for pod in ["kept", "given"] {
            on.pod(pod, of(&classes.low, "2")).await;
            on.bound(pod).await;
        }
        on.pod("preemptor", of(&classes.high, "2")).await;
        on.bound("preemptor").await;
        on.evicted("given").await;
        assert!(on.stays("kept").await);
        // Where nothing else helps, a budget does not hold either.
        on.pod("second", of(&classes.high, "2")).await;
        on.bound("second").await;
        on.evicted("kept").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoints_of_priority_classes_work_and_a_value_never_changes() {
    everywhere(|on| async move {
        let classes = on.classes().await;
        let path = format!("{CLASSES}/{}", classes.low);
        let read = on.get(&path).await;
        assert_eq!((&read["value"], &read["preemptionPolicy"]), (&json!(1), &json!("PreemptLowerPriority")));
        let patched = on.patch(&path, json!({ "description": "new" })).await;
        assert_eq!(patched["description"], "new");
        assert_eq!(on.ask("PATCH", &path, Some(&json!({ "value": 2 }))).await, Err(422));
        let mut replaced = on.get(&path).await;
        replaced["value"] = json!(7);
        assert_eq!(on.ask("PUT", &path, Some(&replaced)).await, Err(422));
        replaced["value"] = json!(1);
        replaced["metadata"]["labels"] = json!({ "of": on.run });
        on.ask("PUT", &path, Some(&replaced)).await.unwrap();
        let list = on.get(&format!("{CLASSES}?labelSelector=of%3D{}", on.run)).await;
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
        on.ask("DELETE", &format!("{CLASSES}?labelSelector=of%3D{}", on.run), None).await.unwrap();
        assert_eq!(on.ask("GET", &path, None).await, Err(404));
    })
    .await;
}
