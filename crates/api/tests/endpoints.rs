//! Every endpoint of the contract exists, answers as it should, and is described.

mod common;

use common::*;
use serde_json::json;

const POD: &str = r#"{"pod_name":"a","pod_namespace":"default","pod_spec":{"containers":[],"unheardOf":1}}"#;
const FEEDBACK: &str = r#"{"prediction_result":{"predicted_node":"n1"},"actual_node":"n1","success":true}"#;
const EXTENDER: &str = r#"{"Pod":{"metadata":{"name":"a"}},"NodeNames":["n1"]}"#;

/// Method, path, body, status.
type Call = (&'static str, &'static str, &'static str, u16);

const SCHEDULER: &[Call] = &[
    ("GET", "/health", "", 200),
    ("GET", "/livez", "", 200),
    ("GET", "/readyz", "", 200),
    ("GET", "/configz", "", 200),
    ("GET", "/metrics", "", 200),
    ("GET", "/api/v1/metrics", "", 200),
    ("GET", "/api/v1/nodes", "", 200),
    ("GET", "/api/v1/nodes/n1", "", 200),
    ("POST", "/api/v1/predict", POD, 200),
    ("POST", "/api/v1/model/train", "", 503),
    ("GET", "/api/v1/model/status", "", 200),
    ("GET", "/api/v1/decisions?pod=a&node=n1&since=15m&limit=5", "", 200),
    ("GET", "/api/v1/decisions/0000000000000001", "", 404),
    ("GET", "/api/v1/pods/default/never-seen/explain", "", 404),
    ("GET", "/api/v1/workloads", "", 200),
    ("GET", "/api/v1/workloads/default/Deployment/never-seen", "", 404),
    ("GET", "/api/v1/events", "", 200),
    ("POST", "/data/features", POD, 200),
    ("GET", "/api/v1/shadow/report?since=2h", "", 200),
    ("GET", "/api/v1/usage?node=n1&since=2h&points=8", "", 200),
    ("GET", "/api/v1/export?since=24h", "", 200),
    ("GET", "/api/v1/export/decisions/2026-01-06", "", 200),
    ("POST", "/api/v1/what-if", WHAT_IF, 200),
    ("GET", "/api/v1/pods/default/a/outlook", "", 200),
    ("POST", "/extender/filter", EXTENDER, 200),
    ("POST", "/extender/prioritize", EXTENDER, 200),
    ("POST", "/extender/preempt", PREEMPTION, 200),
    ("POST", "/extender/bind", BINDING, 200),
];

const PREEMPTION: &str = r#"{"Pod":{"metadata":{"name":"a"}},"NodeNameToVictims":null,"NodeNameToMetaVictims":{}}"#;
const BINDING: &str = r#"{"PodName":"a","PodNamespace":"default","PodUID":"uid-a","Node":"n1"}"#;

const WHAT_IF: &str = r#"{"workloads":[{"namespace":"default","kind":"Deployment","name":"web","replicas":2,
    "template":{"metadata":{},"spec":{"containers":[]}}}]}"#;

const LEARNER: &[Call] = &[
    ("GET", "/health", "", 200),
    ("POST", "/predict", POD, 200),
    ("POST", "/feedback", FEEDBACK, 200),
    ("GET", "/feedback/recent?limit=5", "", 200),
    ("GET", "/performance", "", 200),
    ("GET", "/metrics", "", 200),
    ("GET", "/model/info", "", 200),
    ("GET", "/model/snapshot", "", 503),
    ("GET", "/models", "", 200),
    ("POST", "/models/m1/promote", "", 503),
    ("POST", "/models/rollback", "", 503),
    ("POST", "/train", "", 503),
    ("POST", "/online/update", "", 503),
    ("GET", "/jobs/j1", "", 404),
    ("GET", "/data/summary", "", 200),
    ("POST", "/data/features", POD, 200),
    ("POST", "/examples", r#"{"examples":[]}"#, 200),
];

#[tokio::test]
async fn every_endpoint_of_the_contract_answers_and_is_described() {
    let f = fixture();
    for (router, calls) in [(&f.scheduler, SCHEDULER), (&f.learner, LEARNER)] {
        let (status, openapi) = get(router, "/openapi.json").await;
        assert_eq!(status, 200);
        assert!(openapi["openapi"].as_str().unwrap().starts_with("3.1"), "{}", openapi["openapi"]);
        for (method, path, body, expected) in calls {
            let response = call(router, request(method, path, *body)).await;
            assert_eq!(response.status().as_u16(), *expected, "{method} {path}");
            if *expected >= 400 {
                let (_, body) = text(response).await;
                assert!(!body.contains("no_such_path"), "{method} {path}: {body}");
            }
            let plain = path.split('?').next().unwrap();
            let described = openapi["paths"].as_object().unwrap().iter().any(|(pattern, item)| {
                let same = |(p, s): (&str, &str)| p == s || p.starts_with('{');
                pattern.split('/').count() == plain.split('/').count()
                    && pattern.split('/').zip(plain.split('/')).all(same)
                    && item.get(method.to_lowercase()).is_some()
            });
            assert!(described, "{method} {path} is not in /openapi.json");
        }
        assert_eq!(openapi["paths"].as_object().unwrap().len(), calls.len(), "described, but not in this table");
        assert_eq!(call(router, request("GET", "/", "")).await.status().as_u16(), 307);
        let (status, page) = text(call(router, request("GET", "/docs", "")).await).await;
        assert!(status == 200 && page.contains("/openapi.json"));
        for foreign in ["http://", "https://", "src=\"//"] {
            assert!(!page.contains(foreign), "the page asks for {foreign}");
        }
    }
}

#[tokio::test]
async fn what_needs_a_model_says_so() {
    let f = fixture();
    for (router, path) in [
        (&f.scheduler, "/api/v1/model/train"),
        (&f.learner, "/train"),
        (&f.learner, "/online/update"),
        (&f.learner, "/models/rollback"),
        (&f.learner, "/models/m1/promote"),
    ] {
        let (status, body) = post(router, path, "").await;
        assert_eq!((status, &body["code"]), (503, &json!("not_served")), "{path}");
        assert!(body["error"].is_string() && body["details"].is_object(), "{body}");
    }
    let (_, info) = get(&f.learner, "/model/info").await;
    assert_eq!((&info["is_trained"], &info["trained_at"]), (&json!(false), &json!(null)));
    assert_eq!(info["feature_names"].as_array().unwrap().len(), augur_learn::FEATURE_COUNT);
    let (_, status) = get(&f.scheduler, "/api/v1/model/status").await;
    assert_eq!((&status["model_id"], &status["fallback_reason"]), (&json!(null), &json!("not_trained")));
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let f = fixture();
    let long_status = json!({"actual_node": "n1", "success": true, "pod_status": "x".repeat(2_000)}).to_string();
    let cases = [
        ("/predict", "{\"pod_name\": \"a\",\n oops}", 400, "malformed_json", "line 2 column 2"),
        ("/predict", "", 400, "malformed_json", "EOF"),
        ("/predict", r#"{"pod_namespace":"default"}"#, 422, "invalid_body", "pod_name"),
        ("/predict", r#"{"pod_name":"a"}"#, 422, "invalid_body", "pod_spec"),
        ("/predict", r#"{"pod_name":"a","pod_spec":[]}"#, 422, "invalid_body", "pod_spec"),
        ("/predict", r#"{"pod_name":7,"pod_spec":{}}"#, 422, "invalid_body", "line 1"),
        ("/predict", r#"{"pod_name":"missing","pod_spec":{}}"#, 404, "pod_not_found", "missing"),
        ("/feedback", r#"{"prediction_result":{},"success":true}"#, 422, "invalid_body", "actual_node"),
        ("/feedback", r#"{"actual_node":"n1"}"#, 422, "invalid_feedback", "success"),
        ("/feedback", &long_status, 422, "invalid_feedback", "pod_status"),
        (
            "/feedback",
            r#"{"actual_node":"n1","success":true,"prediction_result":{"confidence":7}}"#,
            422,
            "invalid_feedback",
            "confidence",
        ),
        (
            "/feedback",
            r#"{"actual_node":"n1","success":true,"prediction_result":{"decision_id":"x"}}"#,
            422,
            "invalid_feedback",
            "decision_id",
        ),
        (
            "/examples",
            r#"{"examples":[{"decision_id":"0000000000000001","at":1,"node":"n1","label":"immature","propensity":1,"features":[]}]}"#,
            422,
            "invalid_example",
            "examples[0].features",
        ),
        ("/nothing", "", 404, "no_such_path", "/nothing"),
        ("/health", "", 405, "method_not_allowed", "POST"),
    ];
    for (path, body, status, code, names) in cases {
        let (got, answer) = post(&f.learner, path, body).await;
        assert_eq!((got, answer["code"].as_str().unwrap()), (status, code), "{path} {body}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(names), "{path} {body}: {answer}");
    }
    let (status, answer) = post(&f.learner, "/predict", "x".repeat((3 << 20) + 1)).await;
    assert_eq!((status, &answer["code"]), (413, &json!("body_too_large")));
    for query in ["limit=many", "since=yesterday"] {
        let (status, answer) = get(&f.scheduler, &format!("/api/v1/decisions?{query}")).await;
        assert_eq!((status, &answer["code"]), (400, &json!("invalid_query")), "{query}: {answer}");
    }
    let (status, answer) = get(&f.scheduler, "/api/v1/nodes/n9").await;
    assert_eq!((status, &answer["code"]), (404, &json!("node_not_found")));
}

#[tokio::test]
async fn state_changes_need_the_token_beyond_loopback() {
    use augur_api::{Access, CheckStatus};
    let with = |token: Option<&str>| {
        let mut request = request("POST", "/feedback", FEEDBACK);
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    };
    let f = fixture_with(Access::Token("secret".to_owned()), CheckStatus::Healthy);
    for (token, status) in [(None, 401), (Some("wrong"), 403), (Some("secret"), 200)] {
        assert_eq!(call(&f.learner, with(token)).await.status().as_u16(), status, "{token:?}");
    }
    let (status, _) = post(&f.learner, "/predict", POD).await;
    assert_eq!(status, 200, "a prediction changes nothing");
    for path in ["/examples", "/train", "/online/update", "/models/rollback", "/models/m/promote"] {
        assert_eq!(post(&f.learner, path, "{}").await.0, 401, "{path}");
    }
    assert_eq!(post(&f.scheduler, "/api/v1/model/train", "").await.0, 401);
    let f = fixture_with(Access::Closed, CheckStatus::Healthy);
    assert_eq!(call(&f.learner, with(Some("any"))).await.status().as_u16(), 403);
}

/// A cluster that knows two users, of whom one may give feedback, and that does not always answer.
struct Users;

impl augur_api::Reviewer for Users {
    fn review(
        &self,
        token: &str,
        path: &str,
    ) -> futures::future::BoxFuture<'static, Result<augur_api::Verdict, String>> {
        use augur_api::Verdict;
        let verdict = match (token, path) {
            ("jane", "/feedback") => Ok(Verdict::Allowed),
            ("jane" | "joe", _) => Ok(Verdict::Forbidden(token.to_owned())),
            ("slow", _) => Err("no answer".to_owned()),
            _ => Ok(Verdict::Unknown),
        };
        Box::pin(async move { verdict })
    }
}

#[tokio::test]
async fn users_of_the_cluster_change_state_where_it_permits_them_to() {
    use augur_api::{Access, CheckStatus};
    let own = Access::Token("own".to_owned());
    for (access, own_token) in [(own, 200), (Access::Closed, 401), (Access::Loopback, 401)] {
        let f = common::fixture_of(access.clone(), CheckStatus::Healthy, Some(std::sync::Arc::new(Users)));
        for (token, path, expected, code) in [
            ("jane", "/feedback", 200, ""),
            ("joe", "/feedback", 403, "forbidden"),
            ("jane", "/train", 403, "forbidden"),
            ("stranger", "/feedback", 401, "unknown_token"),
            ("slow", "/feedback", 503, "token_review_failed"),
            ("", "/feedback", 401, "token_required"),
            ("own", "/feedback", own_token, ""),
        ] {
            let mut request = request("POST", path, FEEDBACK);
            if !token.is_empty() {
                request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            }
            let (status, body) = common::text(call(&f.learner, request).await).await;
            assert!(status == expected && body.contains(code), "{access:?} {token} {path}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_send_feedback() {
    let f = fixture();
    for (origin, status) in [("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:5000", 200)] {
        let mut request = request("POST", "/feedback", FEEDBACK);
        request.headers_mut().insert("host", "127.0.0.1:5000".parse().unwrap());
        request.headers_mut().insert("origin", origin.parse().unwrap());
        assert_eq!(call(&f.learner, request).await.status().as_u16(), status, "{origin}");
    }
}

#[tokio::test]
async fn a_token_file_is_read_anew_at_each_request() {
    use augur_api::{Access, CheckStatus};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let f = fixture_with(Access::TokenFile(file.clone()), CheckStatus::Healthy);
    let ask = async |token: &str| {
        let mut request = common::request("POST", "/feedback", FEEDBACK);
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        call(&f.learner, request).await.status().as_u16()
    };
    assert_eq!(ask("first").await, 503, "there is no file yet");
    std::fs::write(&file, "first\n").unwrap();
    assert_eq!((ask("first").await, ask("second").await), (200, 403));
    std::fs::write(&file, "second").unwrap();
    assert_eq!((ask("first").await, ask("second").await), (403, 200));
}

#[tokio::test]
async fn health_is_503_only_without_kubernetes() {
    use augur_api::{Access, CheckStatus};
    for (kubernetes, code, status, learner) in [
        (CheckStatus::Healthy, 200, "healthy", "healthy"),
        (CheckStatus::Degraded, 200, "degraded", "healthy"),
        (CheckStatus::Unhealthy, 503, "unhealthy", "degraded"),
    ] {
        let f = fixture_with(Access::Loopback, kubernetes);
        let (got, body) = get(&f.scheduler, "/health").await;
        assert_eq!((got, body["status"].as_str().unwrap()), (code, status));
        assert_eq!(body["service"], "ai-scheduler");
        for check in ["kubernetes", "metrics_api", "learner", "model", "history", "leader"] {
            assert!(body["checks"][check]["status"].is_string(), "{check}: {body}");
        }
        let (_, body) = get(&f.learner, "/health").await;
        assert_eq!((body["status"].as_str().unwrap(), body["version"].as_str().unwrap()), (learner, "1.2.3"));
        assert_eq!(body["go_backend"], body["scheduler"]);
    }
    let f = fixture_with(Access::Loopback, CheckStatus::Unhealthy);
    assert_eq!(get(&f.scheduler, "/readyz").await.0, 503);
    assert_eq!(get(&f.scheduler, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_dry_run_is_bounded_and_asks_for_something() {
    let f = fixture();
    let workload = |replicas: u32| {
        json!({"workloads": [{"namespace": "default", "kind": "Deployment", "name": "web", "replicas": replicas,
            "template": {"spec": {}}}]})
    };
    let cases = [
        (json!({}), 422, "invalid_body", "nothing is asked"),
        (workload(20_001), 422, "too_many_pods", "at most 20000"),
        (json!({"workload": []}), 422, "invalid_body", "unknown field `workload`"),
        (json!({"drain": ["n9"]}), 404, "node_not_found", "n9"),
    ];
    for (body, status, code, part) in cases {
        let (got, answer) = post(&f.scheduler, "/api/v1/what-if", &body).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{body}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
    }
    let (_, answer) = post(&f.scheduler, "/api/v1/what-if", workload(2)).await;
    assert_eq!((&answer["placed"], answer["pods"].as_array().unwrap().len()), (&json!(2), 2));
    for wrong in ["/api/v1/usage?points=many", "/api/v1/usage?since=yesterday", "/api/v1/decisions?workload=web"] {
        let (status, answer) = get(&f.scheduler, wrong).await;
        assert_eq!((status, &answer["code"]), (400, &json!("invalid_query")), "{wrong}: {answer}");
    }
}
