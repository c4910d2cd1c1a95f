//! Exporting from a service that runs.

mod common;

use augur_api::{Access, CheckStatus};
use common::*;

#[tokio::test]
async fn a_service_that_runs_hands_out_its_past_as_parquet() {
    let f = fixture();
    f.history.record_decision(decision(&f.history, "a", Some("n1")));
    let (status, list) = get(&f.scheduler, "/api/v1/export").await;
    let file = list["files"].as_array().unwrap().iter().find(|file| file["table"] == "decisions").unwrap().clone();
    assert_eq!((status, &file["day"]), (200, &"2026-01-06".into()));
    assert_eq!(file["path"], "decisions/day=2026-01-06/part-0.parquet");
    let answer = call(&f.scheduler, request("GET", "/api/v1/export/decisions/2026-01-06", "")).await;
    assert_eq!(answer.headers()["content-type"], "application/vnd.apache.parquet");
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{} bytes", bytes.len());

    for path in ["/api/v1/export/secrets/2026-01-06", "/api/v1/export/series/yesterday"] {
        assert_eq!(get(&f.scheduler, path).await.0, 404, "{path}");
    }
    assert_eq!(get(&f.scheduler, "/api/v1/export?since=yesterday").await.0, 400);
}

#[tokio::test]
async fn one_export_runs_at_a_time_and_ends_when_its_client_goes() {
    let f = fixture();
    f.history.record_decision(decision(&f.history, "a", Some("n1")));
    let path = "/api/v1/export/decisions/2026-01-06";
    let first = call(&f.scheduler, request("GET", path, "")).await;
    let second = call(&f.scheduler, request("GET", path, "")).await.status().as_u16();
    assert!(second == 429 || second == 200, "{second}");
    drop(first);
    while call(&f.scheduler, request("GET", path, "")).await.status() != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn exports_want_the_token() {
    let f = fixture_with(Access::Token("secret".to_owned()), CheckStatus::Healthy);
    for path in ["/api/v1/export", "/api/v1/export/decisions/2026-01-06"] {
        assert_eq!(get(&f.scheduler, path).await.0, 401, "{path}");
    }
}
