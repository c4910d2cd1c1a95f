use super::*;
use crate::sim::GIB;

fn refused(text: &str) -> String {
    Scenario::load(text).unwrap_err().to_string()
}

const NODES: &str = "nodeClasses: [{name: a, count: 2, cpu: 2, memory: 4Gi}]\n";

#[test]
fn the_scenarios_that_come_along_are_sound() {
    let sizes: Vec<(&str, usize)> =
        Scenario::names().map(|name| (name, Scenario::builtin(name).unwrap().nodes.len())).collect();
    assert_eq!(sizes, [("small", 10), ("mixed", 50), ("failing-nodes", 30)]);
    let mixed = Scenario::builtin("mixed").unwrap();
    let zones: std::collections::BTreeSet<&String> =
        mixed.nodes.iter().map(|node| &node.labels["topology.kubernetes.io/zone"]).collect();
    assert_eq!(zones.len(), 3);
    let hot = mixed.nodes.iter().filter(|node| node.character == Character::Hot).count();
    assert_eq!(hot, 4);
}

#[test]
fn an_unknown_scenario_is_told_with_the_known_ones() {
    assert_eq!(
        Scenario::builtin("large").unwrap_err().to_string(),
        "unknown scenario `large`; there are small, mixed, failing-nodes, or give the path of a file"
    );
}

#[test]
fn an_unknown_key_is_named_with_the_nearest() {
    assert_eq!(refused("nodeClases: []"), "unknown key `nodeClases`; the nearest known key is `nodeClasses`");
    let workload = format!("{NODES}workloads: [{{kind: Deployment, name: web, replcas: 2}}]");
    assert_eq!(
        refused(&workload),
        "unknown key `workloads[0].replcas`; the nearest known key is `workloads[0].replicas`"
    );
    let probe = format!("{NODES}workloads: [{{kind: Pod, name: web, readiness: {{perod: 2s}}}}]");
    assert_eq!(
        refused(&probe),
        "unknown key `workloads[0].readiness.perod`; the nearest known key is `workloads[0].readiness.period`"
    );
}

#[test]
fn bad_values_are_told_with_their_path() {
    assert_eq!(
        refused("nodeClasses: [{name: a, count: 1, memory: 4Gi, cpu: fast}]"),
        "nodeClasses[0].cpu: `fast` is not a quantity such as 500m or 2Gi"
    );
    assert_eq!(refused("nodeClasses: [{name: a, count: 1, cpu: 1}]"), "the key `nodeClasses[0].memory` is missing");
    assert_eq!(refused("- a"), "a scenario is a mapping with the key `nodeClasses`");
    assert!(refused("a: [").starts_with("not YAML: "));
    let with = |workload: &str| refused(&format!("{NODES}workloads: [{{name: w, {workload}}}]"));
    assert_eq!(
        with("kind: CronJob"),
        "workloads[0].kind: `CronJob` is unknown; it must be one of Deployment, StatefulSet, DaemonSet, Job, Pod"
    );
    assert_eq!(
        with("kind: Pod, at: soon"),
        "workloads[0].at: `soon` is not a span of time; write it like 90s, 1m30s, 2h or 250ms"
    );
    assert_eq!(
        with("kind: Pod, times: 3"),
        "workloads[0].times: needs `workloads[0].every`, the time between repetitions"
    );
    assert_eq!(with("kind: Pod, failureRate: 2"), "workloads[0].failureRate: must be from 0 to 1");
    assert_eq!(
        refused(&format!("{NODES}faults: [{{at: 1m, kind: die, node: b-01}}]")),
        "faults[0]: no node of the scenario is called `b-01` or of that class"
    );
}

#[test]
fn spans_of_time() {
    let read = |text| duration("x", text);
    assert_eq!(read("1m30s"), Ok(90_000));
    assert_eq!(read("250ms"), Ok(250));
    assert_eq!(read("1.5h"), Ok(5_400_000));
    assert!(read("10").is_err() && read("").is_err() && read("5x").is_err());
}

#[test]
fn nodes_have_labels_taints_and_characters() {
    let scenario = Scenario::load(
        "zones: [north, south]\nnodeClasses: [{name: a, count: 4, cpu: 500m, memory: 1Gi, taints: [\"k=v:NoSchedule\"], characters: {hot: 2}}]",
    )
    .unwrap();
    let hot: Vec<&str> = scenario.nodes.iter().filter(|n| n.character == Character::Hot).map(|n| &*n.name).collect();
    assert_eq!(hot, ["a-01", "a-03"]);
    let node = &scenario.nodes[1];
    assert_eq!((node.capacity.cpu_milli, node.capacity.memory), (500, GIB));
    assert_eq!(node.labels["topology.kubernetes.io/zone"], "south");
    assert_eq!(node.taints[0].value, "v");
}

#[test]
fn the_plan_is_in_order_and_depends_on_the_seed() {
    let scenario = Scenario::builtin("small").unwrap();
    let plan = scenario.plan(1);
    assert!(plan.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    assert_eq!(plan, scenario.plan(1));
    assert_ne!(plan, scenario.plan(2));
}

#[test]
fn objects_carry_archetype_scheduler_and_resources() {
    let scenario = Scenario::load(&format!(
        "{NODES}workloads:\n  - {{kind: Job, name: j, every: 1m, times: 2, replicas: 3, cpu: 1500m, memory: 1Gi, memoryLimit: 2Gi, duration: 90s, resources: {{nvidia.com/gpu: 1}}}}\n"
    ))
    .unwrap();
    let (resource, objects) = workload_objects(&scenario.workloads[0], 1, "augur");
    assert_eq!(resource, "jobs.batch");
    let job = &objects[0];
    assert_eq!(job["metadata"]["name"], "j-2");
    assert_eq!(job["spec"]["completions"], 3);
    let template = &job["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"][ARCHETYPE], "batch");
    assert_eq!(template["metadata"]["annotations"][DURATION], "90000ms");
    assert_eq!(template["spec"]["schedulerName"], "augur");
    let resources = &template["spec"]["containers"][0]["resources"];
    assert_eq!(resources["requests"], serde_json::json!({"cpu": "1500m", "memory": "1Gi", "nvidia.com/gpu": "1"}));
    assert_eq!(resources["limits"], serde_json::json!({"memory": "2Gi", "nvidia.com/gpu": "1"}));
}
