use super::*;
use crate::server::ApiServerOptions;
use serde_json::json;

fn client() -> (ApiServer, LocalClient) {
    let server = ApiServer::new(ApiServerOptions::default()).unwrap();
    let client = server.local("tests/1");
    (server, client)
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "terminationGracePeriodSeconds": 30, "containers": [{ "name": "c", "image": "app:v1" }] },
    })
}

#[test]
fn a_pod_is_created_bound_listed_and_deleted() {
    let (_, client) = client();
    client.create("pods", "default", pod("a")).unwrap();
    assert_eq!(client.create("pods", "default", pod("a")).unwrap_err().reason, "AlreadyExists");
    let binding = json!({ "metadata": { "name": "a" }, "target": { "kind": "Node", "name": "n1" } });
    client.create_subresource("pods", "default", "a", "binding", binding.clone()).unwrap();
    let error = client.create_subresource("pods", "default", "a", "binding", binding).unwrap_err();
    assert!(error.message.ends_with("pod a is already assigned to node \"n1\""), "{}", error.message);
    let bound = client.list("pods", "", "app=a", "spec.nodeName=n1").unwrap();
    assert_eq!(bound.items.len(), 1);
    client.delete("pods", "default", "a", &DeleteOptions::default()).unwrap();
    assert!(client.get("pods", "default", "a").unwrap()["metadata"]["deletionTimestamp"].is_string());
    client.delete("pods", "default", "a", &DeleteOptions::grace(0)).unwrap();
    assert_eq!(client.get("pods", "default", "a").unwrap_err().code, 404);
}

#[tokio::test]
async fn a_watch_tells_every_change_of_its_namespace() {
    let (server, client) = client();
    client.create("namespaces", "", json!({ "metadata": { "name": "other" } })).unwrap();
    let since = client.list("pods", "", "", "").unwrap().resource_version;
    let mut watch = client.watch("pods", "default", since).unwrap();
    assert!(watch.try_next().is_none());
    client.create("pods", "other", pod("x")).unwrap();
    let writer = tokio::spawn({
        let client = client.clone();
        async move { client.create("pods", "default", pod("a")).unwrap() }
    });
    let event = watch.next().await.unwrap();
    writer.await.unwrap();
    let object: Value = serde_json::from_slice(&event.object).unwrap();
    assert_eq!((event.kind, object["metadata"]["name"].as_str()), (LocalEventKind::Added, Some("a")));
    assert_eq!(object["metadata"]["resourceVersion"], event.resource_version.to_string());
    server.forget_history();
    let mut late = client.watch("pods", "", since).unwrap();
    assert_eq!(late.next().await.unwrap().kind, LocalEventKind::Expired);
    assert!(late.next().await.is_none());
}
