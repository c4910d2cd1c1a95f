use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::server::{ApiServer, ApiServerOptions};

async fn send(server: &ApiServer, method: Method, path: &str, token: &str, body: impl Into<Body>) -> (u16, Vec<u8>) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", "application/json")
        .header("Authorization", format!("Bearer {token}"))
        .body(body.into())
        .unwrap();
    let response = server.router().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    (code, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

fn object(name: &str, filling: usize) -> String {
    json!({ "metadata": { "name": name }, "data": { "k": "v".repeat(filling) } }).to_string()
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_list_that_is_sent_in_pieces_is_one_document() {
    let server = ApiServer::new(ApiServerOptions::default()).unwrap();
    for i in 0..20 {
        let (code, _) = send(&server, Method::POST, MAPS, "", object(&format!("c{i:02}"), 60_000)).await;
        assert_eq!(code, 201);
    }
    let (_, body) = send(&server, Method::GET, MAPS, "", "").await;
    assert!(body.len() > 1 << 20);
    let list: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(list["kind"], "ConfigMapList");
    let names: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap()).collect();
    assert!(names.len() == 20 && names.is_sorted());
}

#[tokio::test]
async fn a_body_that_is_too_long_changes_nothing() {
    let server = ApiServer::new(ApiServerOptions::default()).unwrap();
    let before = server.store().revision();
    let (code, body) = send(&server, Method::POST, MAPS, "", object("big", 4 << 20)).await;
    let status: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((code, &status["reason"]), (413, &json!("RequestEntityTooLarge")));
    assert_eq!(server.store().revision(), before);
}

#[tokio::test]
async fn history_is_forgotten_only_for_who_has_the_debug_token() {
    let path = "/debug/forget-history";
    let closed = ApiServer::new(ApiServerOptions::default()).unwrap();
    assert_eq!(send(&closed, Method::POST, path, "secret", "").await.0, 404);
    let options = ApiServerOptions { debug_token: Some("secret".to_owned()), ..ApiServerOptions::default() };
    let server = ApiServer::new(options).unwrap();
    assert_eq!(send(&server, Method::POST, path, "wrong", "").await.0, 401);
    assert_eq!(send(&server, Method::GET, path, "secret", "").await.0, 405);
    assert_eq!(send(&server, Method::POST, path, "secret", "").await.0, 200);
    let (code, body) = send(&server, Method::GET, "/api/v1/namespaces?watch=1&resourceVersion=1", "", "").await;
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((code, &event["type"], &event["object"]["code"]), (200, &json!("ERROR"), &json!(410)));
}

#[tokio::test]
async fn nonsense_is_answered_and_changes_nothing() {
    let server = ApiServer::new(ApiServerOptions::default()).unwrap();
    let before = server.store().revision();
    for (method, path, body) in [
        (Method::GET, "/api/v1/pods?limit=%ff&continue=%00", ""),
        (Method::GET, "/api//v1/%2e%2e/pods?labelSelector=((((", ""),
        (Method::GET, "/api/v1/pods?watch=1&resourceVersion=99999999999999999999999", ""),
        (Method::POST, MAPS, "{\"metadata\":{\"name\":[]}}"),
        (Method::POST, MAPS, "\u{0}\u{1}"),
        (Method::POST, "/api/v1/namespaces/default/pods/x/binding", "{}"),
        (Method::PUT, "/api/v1/namespaces/default/configmaps/x", "{\"metadata\":{\"name\":\"y\"}}"),
        (Method::PATCH, "/api/v1/nodes/x", "[]"),
        (Method::DELETE, "/api/v1/namespaces/default/pods/x", "{\"preconditions\":7}"),
        (Method::OPTIONS, "/api/v1/pods", ""),
    ] {
        let (code, _) = send(&server, method.clone(), path, "", body).await;
        assert!((400..=500).contains(&code), "{method} {path}: {code}");
    }
    assert_eq!(server.store().revision(), before);
}
