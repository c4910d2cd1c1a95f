//! The bodies of answers: names and nesting of the contract, over a fake engine and a real history.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use augur_history::*;
use common::*;
use http::header;
use serde_json::{Value, json};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn has(value: &Value, names: &str) {
    for name in names.split_whitespace() {
        assert!(value.get(name).is_some(), "{name} is not among {:?}", keys(value));
    }
}

#[tokio::test]
async fn a_prediction_has_the_names_of_the_contract_on_both_services() {
    let f = fixture();
    let body = json!({"pod_name": "a", "pod_namespace": "default", "pod_spec": {"containers": [{"name": "c"}]}});
    let (_, direct) = post(&f.learner, "/predict", &body).await;
    let (_, wrapped) = post(&f.scheduler, "/api/v1/predict", json!({"pod_name": "a", "namespace": "default"})).await;
    for p in [&direct, &wrapped["prediction"]] {
        has(
            p,
            "pod_name pod_namespace predicted_node confidence reason algorithm fallback_reason model_id decision_id runner_up ai_features node_predictions",
        );
        has(&p["ai_features"], "pod_requirements cluster_state features");
        has(&p["ai_features"]["pod_requirements"], "cpu_request memory_request");
        has(
            &p["ai_features"]["cluster_state"],
            "total_nodes ready_nodes avg_cpu_usage avg_memory_usage health_score resource_pressure",
        );
        assert_eq!(p["ai_features"]["features"].as_object().unwrap().len(), augur_learn::FEATURE_COUNT);
        for node in p["node_predictions"].as_array().unwrap() {
            has(
                node,
                "node_name feasible reasons resource_score readiness_score stability_score ml_confidence ml_prediction ml_probabilities p_bad total_score contributions",
            );
        }
        assert_eq!((&p["algorithm"], &p["predicted_node"]), (&json!("enhanced_scoring"), &json!("n1")));
        assert_eq!(p["node_predictions"][0]["total_score"], json!(80.1225));
        assert_eq!(p["node_predictions"][0]["contributions"]["TaintToleration"], json!(16.0247));
        assert_eq!(p["node_predictions"][1]["total_score"], Value::Null);
        // What is not known says why.
        assert!(p["confidence"].is_null() && p["confidence_reason"].is_string());
        assert!(p["ai_features"]["cluster_state"]["usage_reason"].is_string());
    }
    let (status, decision) =
        get(&f.scheduler, &format!("/api/v1/decisions/{}", direct["decision_id"].as_str().unwrap())).await;
    assert_eq!((status, &decision["kind"], &decision["outcome"]), (200, &json!("prediction"), &Value::Null));
    assert_eq!(decision["outcome_reason"], "a dry run binds nothing");
}

#[tokio::test]
async fn the_answer_of_predict_can_be_sent_back_as_feedback_and_is_on_disk() {
    let f = fixture();
    let body = json!({"pod_name": "a", "pod_spec": {}});
    let (_, prediction) = post(&f.learner, "/predict", &body).await;
    let feedback =
        json!({"prediction_result": prediction, "actual_node": "n1", "success": true, "pod_status": "Running"});
    let (status, first) = post(&f.learner, "/feedback", &feedback).await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(
        (&first["success"], &first["feedback_id"], &first["total_feedback"], &first["duplicate"]),
        (&json!(true), &json!(1), &json!(1), &json!(false))
    );
    let (_, again) = post(&f.learner, "/feedback", &feedback).await;
    assert_eq!(
        (&again["feedback_id"], &again["total_feedback"], &again["duplicate"]),
        (&json!(1), &json!(1), &json!(true))
    );

    let (_, recent) = get(&f.learner, "/feedback/recent?limit=5").await;
    assert_eq!(recent["feedback"][0]["decision_id"], prediction["decision_id"]);
    let (_, performance) = get(&f.learner, "/performance").await;
    has(
        &performance,
        "total_predictions successful_predictions accuracy feedback_count model_updates last_update should_update daily_metrics holdback",
    );
    assert_eq!(
        (&performance["total_predictions"], &performance["successful_predictions"], &performance["accuracy"]),
        (&json!(1), &json!(1), &json!(1.0))
    );
    let day = &performance["daily_metrics"]["2026-01-06"];
    has(day, "predictions successful accuracy brier log_loss auc_within ece");
    assert_eq!((&day["predictions"], &day["brier"]), (&json!(1), &Value::Null));
    let (_, summary) = get(&f.learner, "/data/summary").await;
    assert_eq!((&summary["history"]["feedback"], &summary["history"]["decisions"]), (&json!(1), &json!(1)));

    // A copy of the file as it is now, without closing anything, holds it.
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(f.dir.path().join(STORE_FILE), copy.path().join(STORE_FILE)).unwrap();
    let reopened = History::open(&HistoryOptions::new(copy.path())).unwrap();
    assert_eq!(reopened.handle().recent_feedback(10).unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_judged_yet_is_null_with_a_reason() {
    let f = fixture();
    let (_, performance) = get(&f.learner, "/performance").await;
    assert!(performance["accuracy"].is_null() && performance["accuracy_reason"].is_string());
    assert!(performance["holdback"].is_null() && performance["holdback_reason"].is_string());
    assert_eq!(performance["should_update"], json!(false));
    for i in 0..10 {
        let body = json!({"actual_node": "n1", "success": i < 5});
        assert_eq!(post(&f.learner, "/feedback", body).await.0, 200);
    }
    let (_, performance) = get(&f.learner, "/performance").await;
    assert_eq!((&performance["accuracy"], &performance["should_update"]), (&json!(0.5), &json!(true)));
    assert_eq!(performance["should_update_reasons"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn cluster_metrics_are_json_on_one_service_and_by_accept_on_the_other() {
    let f = fixture();
    let (_, metrics) = get(&f.scheduler, "/api/v1/metrics").await;
    let mut request = request("GET", "/metrics", "");
    request.headers_mut().insert(header::ACCEPT, "application/json".parse().unwrap());
    let (_, body) = text(call(&f.learner, request).await).await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), metrics);
    has(&metrics["cluster"], "total_nodes ready_nodes avg_cpu_usage avg_memory_usage health_score resource_pressure");
    let (n1, n2) = (&metrics["nodes"][0], &metrics["nodes"][1]);
    for node in [n1, n2] {
        has(
            node,
            "name cpu_usage memory_usage ready taints cpu_requested memory_requested pod_count failed_pods stability_score failure_rate restart_rate predicted_peak_cpu predicted_peak_memory timestamp",
        );
    }
    assert_eq!((&n1["name"], &n1["cpu_usage"], &n1["memory_usage"]), (&json!("n1"), &json!(25.0), &json!(25.0)));
    assert_eq!((&n1["cpu_requested"], &n1["memory_requested"]), (&json!(1.5), &json!(1024.0)));
    assert!(n2["cpu_usage"].is_null() && n2["usage_reason"].is_string());
    assert!(n2["stability_score"].is_null() && n2["rates_reason"].is_string());
    assert!(n1["predicted_peak_cpu"].is_null() && n1["predicted_peak_reason"].is_string());
    for (router, metric) in [
        (&f.scheduler, "augur_nodes_ready 2"),
        (&f.scheduler, "augur_hot_node_usage_percent{node=\"n1\"} 25"),
        (&f.learner, "augur_examples_kept 0"),
    ] {
        let (status, text) = text(call(router, common::request("GET", "/metrics", "")).await).await;
        assert!(status == 200 && text.contains(metric) && !text.contains("# EOF"), "{text}");
        let mut asked = common::request("GET", "/metrics", "");
        asked.headers_mut().insert("accept", "application/openmetrics-text;version=1.0.0".parse().unwrap());
        let answer = call(router, asked).await;
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
        assert!(common::text(answer).await.1.ends_with("# EOF\n"));
    }
    let (_, nodes) = get(&f.scheduler, "/api/v1/nodes").await;
    has(&nodes["nodes"][0], "name allocatable requested used pods conditions history");
    assert_eq!(nodes["nodes"][0]["pods"], json!(["default/a"]));
    assert!(nodes["nodes"][1]["used"].is_null() && nodes["nodes"][1]["used_reason"].is_string());
}

#[tokio::test]
async fn features_come_for_every_node_without_a_decision() {
    let f = fixture();
    let (_, table) = post(&f.learner, "/data/features", json!({"pod_name": "a", "pod_spec": {}})).await;
    let (n1, n2) = (&table["nodes"][0]["features"], &table["nodes"][1]["features"]);
    assert_eq!(
        (&n1["pod_cpu_request"], &n1["node_cpu_usage"], &n1["node_taint_count"]),
        (&json!(0.5), &json!(25.0), &json!(1.0))
    );
    assert_eq!((&n2["node_cpu_usage"], &n2["cluster_total_nodes"]), (&Value::Null, &json!(2.0)));
    assert_eq!(f.history.summary().unwrap().decisions, 0);
}

#[tokio::test]
async fn the_extender_filters_and_prioritizes_by_name_and_by_node() {
    let f = fixture();
    let pod = json!({"metadata": {"name": "a", "namespace": "default"}, "spec": {}});
    let by_name = json!({"Pod": pod, "Nodes": null, "NodeNames": ["n1", "n2", "n7"]});
    let (_, result) = post(&f.scheduler, "/extender/filter", &by_name).await;
    assert_eq!(result["NodeNames"], json!(["n1"]));
    assert_eq!((&result["Nodes"], &result["Error"]), (&Value::Null, &json!("")));
    assert_eq!(result["FailedNodes"]["n2"], "Insufficient cpu");
    assert!(result["FailedNodes"]["n7"].as_str().unwrap().contains("not known"));

    let node = |name: &str| json!({"metadata": {"name": name}, "spec": {"anything": 1}});
    let by_node = json!({"Pod": pod, "Nodes": {"metadata": {}, "items": [node("n1"), node("n2")]}});
    let (_, result) = post(&f.scheduler, "/extender/filter", &by_node).await;
    assert_eq!((&result["Nodes"]["items"], &result["NodeNames"]), (&json!([node("n1")]), &Value::Null));

    let (_, scores) = post(&f.scheduler, "/extender/prioritize", &by_name).await;
    // What kube-scheduler computes itself is not counted twice.
    assert_eq!(scores[0], json!({"Host": "n1", "Score": 0}));
    assert_eq!(scores[1], json!({"Host": "n2", "Score": 0}));

    let unknown = json!({"Pod": {"metadata": {"name": "missing"}}, "NodeNames": ["n1"]});
    let (status, result) = post(&f.scheduler, "/extender/filter", &unknown).await;
    assert_eq!((status, result["Error"].as_str().unwrap()), (200, "pod default/missing does not exist"));
    assert_eq!(post(&f.scheduler, "/extender/prioritize", &unknown).await.0, 404);
}

#[tokio::test]
async fn a_placement_and_a_refusal_are_explained() {
    let f = fixture();
    f.history.record_decision(decision(&f.history, "placed", Some("n1")));
    f.history.record_decision(decision(&f.history, "waits", None));
    // A later dry run does not hide the placement.
    post(&f.scheduler, "/api/v1/predict", json!({"pod_name": "placed"})).await;
    let (status, why) = get(&f.scheduler, "/api/v1/pods/default/placed/explain").await;
    assert_eq!((status, &why["decision"]["kind"]), (200, &json!("scheduling")));
    assert_eq!((&why["chosen"]["node_name"], &why["others"][0]["node_name"]), (&json!("n1"), &json!("n3")));
    assert_eq!(
        (&why["others"][0]["behind"], &why["others"][0]["because"]),
        (&json!(4.5), &json!({"NodeResourcesFit": 4.5}))
    );
    assert_eq!((&why["flip"][0]["node_name"], &why["flip"][0]["points"]), (&json!("n3"), &json!(4.5)));
    let (_, why) = get(&f.scheduler, "/api/v1/pods/default/waits/explain").await;
    assert_eq!((&why["chosen"], &why["rejected"][0]["nodes"]), (&Value::Null, &json!(2)));
    assert_eq!(why["flip"][0]["change"], "free cpu on, or a smaller request than any of 2 nodes");
    assert_eq!(why["flip"][1]["change"], "`kubectl uncordon` of 1 node");
}

#[tokio::test]
async fn events_tell_of_decisions_and_outcomes() {
    use futures::StreamExt as _;
    let f = fixture();
    let response = call(&f.scheduler, request("GET", "/api/v1/events", "")).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let record = decision(&f.history, "a", Some("n1"));
    let (pod, id) = (record.pod.clone(), record.id);
    let workload = record.workload.clone().unwrap();
    f.history.record_decision(record);
    f.history.observe_pod(PodObservation {
        pod,
        workload,
        node: Some("n1".into()),
        phase: PodPhase::Running,
        ready: true,
        restarts: 1,
        terminated: Some(Termination { reason: "OOMKilled".into(), exit_code: 137 }),
        at: now(),
        ..PodObservation::default()
    });
    let mut stream = response.into_body().into_data_stream();
    let mut seen = String::new();
    while !seen.contains("oom_killed") {
        seen.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    assert!(seen.starts_with("event: decision\n") && seen.contains("event: outcome\n"), "{seen}");
    assert!(seen.contains(&id.to_string()), "{seen}");
}

#[tokio::test]
async fn workloads_and_decisions_come_from_history() {
    let f = fixture();
    let record = decision(&f.history, "a", Some("n1"));
    let (pod, id, workload) = (record.pod.clone(), record.id, record.workload.clone().unwrap());
    f.history.record_decision(record);
    f.history.observe_pod(PodObservation {
        pod,
        workload,
        node: Some("n1".into()),
        phase: PodPhase::Running,
        ready: true,
        at: now(),
        ..PodObservation::default()
    });
    let (_, list) = get(&f.scheduler, "/api/v1/decisions?pod=default/a&node=n1&since=2026-01-06T11:00:00Z").await;
    let found = &list["decisions"][0];
    assert_eq!((&found["decision_id"], &found["outcome"]["label"]), (&json!(id.to_string()), &json!("immature")));
    assert_eq!((&found["outcome"]["state"], &found["features"]["node_ready"]), (&json!("running"), &json!(0.5)));
    let (_, list) = get(&f.scheduler, "/api/v1/decisions?since=2026-01-06T12:00:01Z").await;
    assert_eq!(list["decisions"], json!([]));
    // Rates are made anew about every second.
    loop {
        let (status, workload) = get(&f.scheduler, "/api/v1/workloads/default/deployment/web").await;
        if status == 200 {
            has(&workload, "restart_rate failure_rate oom_rate usage_percentiles n backoff_level");
            assert_eq!((&workload["n"], &workload["failure_rate"]["n"]), (&json!(1), &json!(1)));
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(get(&f.scheduler, "/api/v1/workloads").await.1["workloads"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn examples_are_kept_once() {
    let f = fixture();
    let example = json!({"decision_id": "0000000000000001", "at": 1, "node": "n1", "label": "good", "propensity": 1.0,
        "features": vec![Some(1.0); augur_learn::FEATURE_COUNT]});
    for _ in 0..2 {
        let (status, answer) = post(&f.learner, "/examples", json!({"examples": [example]})).await;
        assert_eq!((status, &answer["accepted"], &answer["total_examples"]), (200, &json!(1), &json!(1)), "{answer}");
    }
}
