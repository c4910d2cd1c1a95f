//! The way to the scheduler: by its address, as a Service through the API server's proxy, or on this machine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use augur_kubectl::{Common, Server};
use serde_json::{Value, json};

const LIST: &str = "/api/v1/services?labelSelector=app.kubernetes.io%2Fpart-of%3Daugur%2C\
    app.kubernetes.io%2Fcomponent%3Dscheduler";
const PROXY: &str = "/api/v1/namespaces/augur/services/augur:8080/proxy";

/// An API server that knows some paths, and what it was asked.
struct Fake {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    kubeconfig: PathBuf,
}

impl Fake {
    fn new(answers: Vec<(String, u16, Value)>) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = asked.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                        break;
                    }
                    lines.push(line.trim().to_owned());
                }
                let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)) else { continue };
                let length = |line: &String| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned);
                if let Some(length) = lines.iter().find_map(length) {
                    let mut body = vec![0; length.parse().unwrap()];
                    stream.read_exact(&mut body).unwrap();
                }
                seen.lock().unwrap().push(path.to_owned());
                let unknown = (404, json!({ "kind": "Status", "message": "the server could not find it" }));
                let found = answers.iter().find(|(known, ..)| known == path);
                let (status, body) = found.map_or(unknown, |(_, status, body)| (*status, body.clone()));
                let body = body.to_string();
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.get_mut().write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
        });
        let port = url.rsplit(':').next().unwrap();
        let kubeconfig = std::env::temp_dir().join(format!("kubectl-augur-{}-{port}", std::process::id()));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{ "name": "it", "cluster": { "server": url } }],
            "users": [{ "name": "it", "user": {} }],
            "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it", "namespace": "team" } }],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        Fake { url, asked, kubeconfig }
    }

    fn common(&self) -> Common {
        Common { kubeconfig: Some(self.kubeconfig.clone()), ..Common::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

fn service(namespace: &str) -> Value {
    json!({ "metadata": { "namespace": namespace, "name": "augur" },
        "spec": { "ports": [{ "name": "http", "port": 8080 }] } })
}

fn list(items: &[Value]) -> Value {
    json!({ "kind": "ServiceList", "items": items })
}

#[tokio::test]
async fn a_service_of_the_cluster_is_asked_by_way_of_the_api_server() {
    let answer = json!({ "model_id": null });
    let fake = Fake::new(vec![
        (LIST.to_owned(), 200, list(&[service("augur")])),
        (format!("{PROXY}/api/v1/model/status"), 200, answer.clone()),
        (
            format!("{PROXY}/api/v1/what-if"),
            422,
            json!({ "error": "nothing is asked", "code": "invalid_body", "details": {} }),
        ),
    ]);
    let server = Server::find(&fake.common()).await.unwrap();
    assert_eq!((server.namespace(), server.note()), ("team", None));
    assert_eq!(server.get("/api/v1/model/status").await.unwrap(), answer);
    let refused = server.post("/api/v1/what-if", &json!({})).await.unwrap_err();
    assert_eq!((refused.to_string().as_str(), refused.is_not_found()), ("nothing is asked", false));
    // What the API server says, not the scheduler.
    let lost = server.get("/nowhere").await.unwrap_err().to_string();
    for part in ["service augur/augur of", "404", "could not find it", "services/proxy", "--server-url"] {
        assert!(lost.contains(part), "no {part:?} in {lost}");
    }
    assert_eq!(fake.asked()[0], LIST);
}

#[tokio::test]
async fn where_services_may_not_be_listed_the_usual_namespaces_are_looked_at() {
    let refusal = || json!({ "kind": "Status", "message": "services is forbidden" });
    let selector = LIST.split_once('?').unwrap().1;
    let fake = Fake::new(vec![
        (LIST.to_owned(), 403, refusal()),
        (format!("/api/v1/namespaces/augur/services?{selector}"), 200, list(&[service("augur")])),
        (format!("{PROXY}/x"), 200, json!(1)),
    ]);
    let server = Server::find(&fake.common()).await.unwrap();
    assert_eq!(server.get("/x").await.unwrap(), json!(1));
    let named = Common { service: Some("augur/augur:8080".to_owned()), ..fake.common() };
    assert_eq!(Server::find(&named).await.unwrap().get("/x").await.unwrap(), json!(1));
}

#[tokio::test]
async fn several_schedulers_have_to_be_chosen_from() {
    let fake = Fake::new(vec![(LIST.to_owned(), 200, list(&[service("a"), service("b")]))]);
    let error = Server::find(&fake.common()).await.err().unwrap().to_string();
    assert!(error.contains("--service: a/augur, b/augur"), "{error}");
}

#[tokio::test]
async fn a_cluster_without_augur_is_told_apart_from_this_machine() {
    let fake = Fake::new(vec![(LIST.to_owned(), 200, list(&[]))]);
    let server = Server::find(&fake.common()).await.unwrap();
    let note = server.note().unwrap();
    assert!(note.contains("context \"it\"") && note.contains("asking http://127.0.0.1:8080"), "{note}");
}

#[tokio::test]
async fn an_address_is_taken_as_it_is_and_named_when_nothing_answers() {
    let fake = Fake::new(vec![("/prefix/api/v1/nodes".to_owned(), 200, json!({ "nodes": [] }))]);
    let common =
        Common { server_url: Some(format!("{}/prefix", fake.url)), namespace: Some("x".into()), ..fake.common() };
    let server = Server::find(&common).await.unwrap();
    assert_eq!(server.namespace(), "x");
    assert_eq!(server.get("/api/v1/nodes").await.unwrap(), json!({ "nodes": [] }));
    assert_eq!(fake.asked(), ["/prefix/api/v1/nodes"], "the cluster is not asked");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Server::at(&format!("http://{closed}"), None).await.unwrap().get("/").await.unwrap_err().to_string();
    assert!(error.contains(&closed.to_string()) && error.to_lowercase().contains("refused"), "{error}");
    for wrong in ["127.0.0.1:8080", "ftp://x", "http://"] {
        let common = Common { server_url: Some(wrong.to_owned()), ..Common::default() };
        let error = Server::find(&common).await.err().unwrap().to_string();
        assert!(error.contains(wrong), "{error}");
    }
}
