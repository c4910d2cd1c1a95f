//! Topology spread: as a rule, as a wish, and when room is made.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Target, everywhere};

async fn zones(on: &Target, names: &[&str]) -> Vec<String> {
    let mut nodes = Vec::new();
    for name in names {
        nodes.push(on.node(name, json!({ "metadata": { "labels": { "zone": name } } })).await);
    }
    nodes
}

fn constraint(when: &str) -> Value {
    json!([{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": when,
        "labelSelector": { "matchLabels": { "group": "spread" } } }])
}

async fn pod(on: &Target, name: &str, spec: Value) {
    let mut pod = on.pod_of(name, &spec);
    pod["metadata"]["labels"]["group"] = json!("spread");
    on.create(&on.within("pods"), pod).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_pods_with_a_skew_of_one_are_spread_evenly_over_two_zones() {
    everywhere(|on| async move {
        let nodes = zones(&on, &["a", "b"]).await;
        for n in 0..4 {
            pod(&on, &format!("p{n}"), json!({ "topologySpreadConstraints": constraint("DoNotSchedule") })).await;
        }
        let mut there: BTreeMap<String, u32> = BTreeMap::new();
        for n in 0..4 {
            *there.entry(on.bound(&format!("p{n}")).await).or_default() += 1;
        }
        assert_eq!(there, nodes.into_iter().map(|node| (node, 2)).collect());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_preferably_put_where_it_makes_its_kind_more_evenly_distributed() {
    everywhere(|on| async move {
        let nodes = zones(&on, &["a", "b"]).await;
        // They ask for next to nothing, so that nothing but their number speaks.
        let small = json!({ "requests": { "cpu": "1m" } });
        let small = json!([{ "name": "c", "image": "registry.k8s.io/pause:3.10", "resources": small }]);
        for n in 0..4 {
            let spec = json!({ "nodeSelector": { "zone": "a" }, "containers": small });
            pod(&on, &format!("there-{n}"), spec).await;
        }
        for n in 0..4 {
            on.bound(&format!("there-{n}")).await;
        }
        let wish = json!({ "topologySpreadConstraints": constraint("ScheduleAnyway"), "containers": small });
        pod(&on, "next", wish).await;
        assert_eq!(on.bound("next").await, nodes[1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_pods_are_preempted_for_a_pod_that_has_to_be_spread() {
    everywhere(|on| async move {
        let nodes = zones(&on, &["a", "b"]).await;
        let classes = on.classes().await;
        let asks = |cpu: &str| {
            json!([{ "name": "c", "image": "registry.k8s.io/pause:3.10", "resources": { "requests": { "cpu": cpu } } }])
        };
        // Zone a is held by one important pod of the kind, zone b by three unimportant ones.
        let important = json!({ "priorityClassName": classes.high, "nodeSelector": { "zone": "a" }, "containers": asks("3") });
        pod(&on, "important", important).await;
        assert_eq!(on.bound("important").await, nodes[0]);
        for n in 0..3 {
            let spec = json!({ "priorityClassName": classes.low, "nodeSelector": { "zone": "b" }, "containers": asks("1") });
            pod(&on, &format!("low-{n}"), spec).await;
            on.bound(&format!("low-{n}")).await;
        }
        let spec = json!({ "priorityClassName": classes.medium, "containers": asks("3"),
            "topologySpreadConstraints": constraint("DoNotSchedule") });
        pod(&on, "medium", spec).await;
        // Only zone b can be cleared for it, and two thirds of it have to go.
        assert_eq!(on.bound("medium").await, nodes[1]);
        let mut left = 0;
        for n in 0..3 {
            left += u32::from(on.stays(&format!("low-{n}")).await);
        }
        assert_eq!((left, on.stays("important").await), (1, true));
    })
    .await;
}
