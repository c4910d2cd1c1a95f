use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::server::ApiServerOptions;

const GROUP: &str = "rbac.authorization.k8s.io";

/// A server with an administrator, a user of groups and one without any.
fn server() -> ApiServer {
    let users = read_token_file("root,admin,1,system:masters\njane-token,jane,1001,\"dev,ops\"\njoe-token,joe,1002\n");
    let options = ApiServerOptions {
        users: users.unwrap(),
        authorization: AuthorizationMode::Rbac,
        ..ApiServerOptions::default()
    };
    ApiServer::new(options).unwrap()
}

async fn send(server: &ApiServer, token: &str, method: Method, path: &str, body: &Value) -> (u16, Value) {
    send_as(server, token, &[], method, path, body).await
}

async fn send_as(
    server: &ApiServer,
    token: &str,
    headers: &[(&str, &str)],
    method: Method,
    path: &str,
    body: &Value,
) -> (u16, Value) {
    let media = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let mut request = Request::builder().method(method).uri(path).header("content-type", media);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let response = server.router().oneshot(request.body(body).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))))
}

fn role(server: &ApiServer, namespace: &str, name: &str, rules: &Value) {
    let plural = if namespace.is_empty() { "clusterroles" } else { "roles" };
    let role = json!({ "metadata": { "name": name }, "rules": rules });
    server.local("test").create(&format!("{plural}.{GROUP}"), namespace, role).unwrap();
}

fn bind(server: &ApiServer, namespace: &str, role: (&str, &str), subject: &Value) {
    let plural = if namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" };
    let binding = json!({ "metadata": { "name": format!("of-{}", role.1) }, "subjects": [subject],
        "roleRef": { "apiGroup": GROUP, "kind": role.0, "name": role.1 } });
    server.local("test").create(&format!("{plural}.{GROUP}"), namespace, binding).unwrap();
}

fn user(name: &str) -> Value {
    json!({ "kind": "User", "apiGroup": GROUP, "name": name })
}

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "containers": [{ "name": "c", "image": "app:v1" }] } })
}

#[test]
fn requests_ask_for_what_kubernetes_says_they_ask_for() {
    for (request, expected) in [
        ("GET /api/v1/pods", "list |pods|||"),
        ("GET /api/v1/pods?watch=true", "watch |pods|||"),
        ("GET /api/v1/pods?watch=0", "list |pods|||"),
        ("GET /api/v1/watch/namespaces/a/pods", "watch |pods||a|"),
        ("GET /api/v1/namespaces/a/pods/p", "get |pods||a|p"),
        ("HEAD /api/v1/namespaces/a/pods/p/log", "get |pods|log|a|p"),
        ("POST /api/v1/namespaces/a/pods/p/binding", "create |pods|binding|a|p"),
        ("POST /api/v1/namespaces/a/pods", "create |pods||a|"),
        ("PUT /api/v1/nodes/n/status", "update |nodes|status||n"),
        ("PATCH /apis/apps/v1/namespaces/a/deployments/d", "patch apps|deployments||a|d"),
        ("DELETE /api/v1/namespaces/a/pods/p", "delete |pods||a|p"),
        ("DELETE /api/v1/namespaces/a/pods", "deletecollection |pods||a|"),
        ("GET /api/v1/namespaces", "list |namespaces|||"),
        ("GET /api/v1/namespaces/a", "get |namespaces||a|a"),
        ("PUT /api/v1/namespaces/a/finalize", "update |namespaces|finalize|a|a"),
        ("GET /api/v1/nodes?fieldSelector=metadata.name%3Dn1", "list |nodes|||n1"),
        ("GET /api/v1/nodes?fieldSelector=spec.unschedulable%3Dfalse", "list |nodes|||"),
        ("GET /apis/metrics.k8s.io/v1beta1/nodes", "list metrics.k8s.io|nodes|||"),
        ("GET /api/v1/widgets", "list |widgets|||"),
        ("GET /api/v1", "get /api/v1"),
        ("GET /apis/apps/v1", "get /apis/apps/v1"),
        ("GET /healthz", "get /healthz"),
        ("POST /debug/x%20y", "post /debug/x y"),
    ] {
        let (method, url) = request.split_once(' ').unwrap();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let asked = Attributes::of(&method.parse().unwrap(), path, query);
        let shown = match &asked.about {
            About::Path(path) => format!("{} {path}", asked.verb),
            About::Resource { group, resource, subresource, namespace, name } => {
                format!("{} {group}|{resource}|{subresource}|{namespace}|{name}", asked.verb)
            }
        };
        assert_eq!(shown, expected, "{request}");
    }
}

#[test]
fn rules_match_as_in_kubernetes() {
    let resource = |verb: &str, group: &str, resource: &str, part: &str, name: &str| Attributes {
        verb: verb.to_owned(),
        about: About::Resource {
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: part.to_owned(),
            namespace: "default".to_owned(),
            name: name.to_owned(),
        },
    };
    let path = |path: &str| Attributes { verb: "get".to_owned(), about: About::Path(path.to_owned()) };
    let rule = |rule: Value| serde_json::from_value::<Rule>(rule).unwrap();
    let of_pods = |verbs: &[&str], resources: &[&str], names: &[&str]| {
        rule(json!({ "verbs": verbs, "apiGroups": [""], "resources": resources, "resourceNames": names }))
    };
    for (rule, asked, allowed) in [
        (of_pods(&["get"], &["pods"], &[]), resource("get", "", "pods", "", "p"), true),
        (of_pods(&["get"], &["pods"], &[]), resource("list", "", "pods", "", ""), false),
        (of_pods(&["get"], &["pods"], &[]), resource("get", "apps", "pods", "", "p"), false),
        (of_pods(&["*"], &["pods"], &[]), resource("get", "", "pods", "log", "p"), false),
        (of_pods(&["*"], &["pods/log"], &[]), resource("get", "", "pods", "log", "p"), true),
        (of_pods(&["*"], &["pods/log"], &[]), resource("get", "", "pods", "", "p"), false),
        (of_pods(&["*"], &["*/log"], &[]), resource("get", "", "pods", "log", "p"), true),
        (of_pods(&["*"], &["*/log"], &[]), resource("get", "", "pods", "status", "p"), false),
        (of_pods(&["*"], &["pods/*"], &[]), resource("get", "", "pods", "log", "p"), false),
        (of_pods(&["*"], &["*"], &[]), resource("get", "", "pods", "log", "p"), true),
        (of_pods(&["get"], &["pods"], &["p"]), resource("get", "", "pods", "", "p"), true),
        (of_pods(&["get"], &["pods"], &["p"]), resource("get", "", "pods", "", "q"), false),
        // A list has no name, so that no name can be enough for it, unless a field selector gives one.
        (of_pods(&["list"], &["pods"], &["p"]), resource("list", "", "pods", "", ""), false),
        (of_pods(&["list"], &["pods"], &["p"]), resource("list", "", "pods", "", "p"), true),
        (
            rule(json!({ "verbs": ["get"], "apiGroups": ["*"], "resources": ["x"] })),
            resource("get", "g", "x", "", ""),
            true,
        ),
        (rule(json!({ "verbs": ["get"], "nonResourceURLs": ["/apis/*"] })), path("/apis/apps"), true),
        (rule(json!({ "verbs": ["get"], "nonResourceURLs": ["/apis/*"] })), path("/apis"), false),
        (rule(json!({ "verbs": ["get"], "nonResourceURLs": ["/apis*"] })), path("/apisx"), true),
        (rule(json!({ "verbs": ["get"], "nonResourceURLs": ["*"] })), path("/x"), true),
        (rule(json!({ "verbs": ["post"], "nonResourceURLs": ["*"] })), path("/x"), false),
        (of_pods(&["*"], &["*"], &[]), path("/x"), false),
    ] {
        assert_eq!(rule.allows(&asked), allowed, "{rule:?} {asked:?}");
    }
}

#[tokio::test]
async fn refusals_are_worded_as_kube_apiserver_words_them() {
    let server = server();
    for (token, method, path, code, message, details) in [
        ("wrong", Method::GET, "/api/v1/pods", 401, "Unauthorized", Value::Null),
        ("wrong", Method::GET, "/healthz", 401, "Unauthorized", Value::Null),
        (
            "joe-token",
            Method::GET,
            "/api/v1/pods",
            403,
            r#"pods is forbidden: User "joe" cannot list resource "pods" in API group "" at the cluster scope"#,
            json!({ "kind": "pods" }),
        ),
        (
            "joe-token",
            Method::POST,
            "/api/v1/namespaces/default/pods/p/binding",
            403,
            r#"pods "p" is forbidden: User "joe" cannot create resource "pods/binding" in API group "" in the namespace "default""#,
            json!({ "kind": "pods", "name": "p" }),
        ),
        (
            "",
            Method::GET,
            "/apis/apps/v1/deployments?watch=1",
            403,
            r#"deployments.apps is forbidden: User "system:anonymous" cannot watch resource "deployments" in API group "apps" at the cluster scope"#,
            json!({ "kind": "deployments", "group": "apps" }),
        ),
        ("", Method::GET, "/apis", 403, r#"forbidden: User "system:anonymous" cannot get path "/apis""#, json!({})),
        (
            "joe-token",
            Method::GET,
            "/api/v1/widgets",
            403,
            r#"widgets is forbidden: User "joe" cannot list resource "widgets" in API group "" at the cluster scope"#,
            json!({ "kind": "widgets" }),
        ),
    ] {
        let (got, body) = send(&server, token, method, path, &Value::Null).await;
        let reason = if code == 401 { "Unauthorized" } else { "Forbidden" };
        let mut expected = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code });
        if !details.is_null() {
            expected["details"] = details;
        }
        assert_eq!((got, body), (code, expected), "{token} {path}");
    }
    // Everybody may see how the server is, whoever has a name may discover, and an administrator may do everything.
    for (token, path) in [("", "/readyz"), ("", "/version"), ("joe-token", "/apis"), ("root", "/api/v1/secrets")] {
        assert_eq!(send(&server, token, Method::GET, path, &Value::Null).await.0, 200, "{token} {path}");
    }
}

#[tokio::test]
async fn roles_count_as_soon_as_they_are_stored_and_only_where_they_are_bound() {
    let server = server();
    let local = server.local("test");
    local.create("namespaces", "", json!({ "metadata": { "name": "other" } })).unwrap();
    let list = |token: &'static str, namespace: &'static str| {
        let (server, path) = (server.clone(), format!("/api/v1/namespaces/{namespace}/pods"));
        async move { send(&server, token, Method::GET, &path, &Value::Null).await.0 }
    };
    assert_eq!(list("jane-token", "default").await, 403);
    role(&server, "", "reader", &json!([{ "verbs": ["list"], "apiGroups": [""], "resources": ["pods"] }]));
    bind(&server, "default", ("ClusterRole", "reader"), &json!({ "kind": "Group", "apiGroup": GROUP, "name": "ops" }));
    assert_eq!((list("jane-token", "default").await, list("jane-token", "other").await), (200, 403));
    assert_eq!(list("joe-token", "default").await, 403, "is in no group");
    bind(&server, "", ("ClusterRole", "reader"), &user("joe"));
    assert_eq!((list("joe-token", "default").await, list("joe-token", "other").await), (200, 200));
    local.delete(&format!("clusterroles.{GROUP}"), "", "reader", &crate::DeleteOptions::default()).unwrap();
    let (code, body) = send(&server, "joe-token", Method::GET, PODS, &Value::Null).await;
    let expected = r#"pods is forbidden: User "joe" cannot list resource "pods" in API group "" in the namespace "default": RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found"#;
    assert_eq!((code, body["message"].as_str()), (403, Some(expected)));
}

#[tokio::test]
async fn reviews_answer_what_requests_would_get() {
    let server = server();
    role(
        &server,
        "default",
        "editor",
        &json!([{ "verbs": ["create", "get"], "apiGroups": [""], "resources": ["pods"] }]),
    );
    bind(&server, "default", ("Role", "editor"), &user("joe"));
    let asked = json!({ "resourceAttributes": { "verb": "create", "resource": "pods", "namespace": "default" } });
    let own = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let (code, body) = send(&server, "joe-token", Method::POST, own, &json!({ "spec": asked })).await;
    let by = r#"RBAC: allowed by RoleBinding "of-editor/default" of Role "editor" to User "joe""#;
    assert_eq!((code, &body["status"]), (201, &json!({ "allowed": true, "reason": by })));
    assert_eq!(send(&server, "joe-token", Method::POST, PODS, &pod("a")).await.0, 201);
    let (_, body) = send(&server, "jane-token", Method::POST, own, &json!({ "spec": asked })).await;
    assert_eq!(body["status"], json!({ "allowed": false }));
    // About others only who may ask.
    let mut about_joe = asked.clone();
    about_joe["user"] = json!("joe");
    let others = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert_eq!(send(&server, "joe-token", Method::POST, others, &json!({ "spec": about_joe })).await.0, 403);
    let (_, body) = send(&server, "root", Method::POST, others, &json!({ "spec": about_joe })).await;
    assert_eq!(body["status"]["allowed"], true);
    let path = json!({ "user": "jane", "groups": ["system:authenticated"],
        "nonResourceAttributes": { "path": "/openapi/v3", "verb": "get" } });
    let (_, body) = send(&server, "root", Method::POST, others, &json!({ "spec": path })).await;
    assert_eq!(body["status"]["allowed"], true);
    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let (_, body) =
        send(&server, "joe-token", Method::POST, rules, &json!({ "spec": { "namespace": "default" } })).await;
    let listed = body["status"]["resourceRules"].as_array().unwrap();
    assert!(
        listed.contains(&json!({ "verbs": ["create", "get"], "apiGroups": [""], "resources": ["pods"] })),
        "{body}"
    );
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (_, body) = send(&server, "jane-token", Method::POST, whoami, &json!({})).await;
    let expected = json!({ "username": "jane", "uid": "1001", "groups": ["dev", "ops", "system:authenticated"] });
    assert_eq!(body["status"]["userInfo"], expected);
}

#[tokio::test]
async fn service_accounts_have_tokens_that_end_with_them() {
    let server = server();
    let local = server.local("test");
    let account = json!({ "metadata": { "name": "robot" } });
    local.create("serviceaccounts", "default", account.clone()).unwrap();
    role(&server, "default", "reader", &json!([{ "verbs": ["list"], "apiGroups": [""], "resources": ["pods"] }]));
    // The namespace of a service account is the binding's, unless it is given.
    bind(&server, "default", ("Role", "reader"), &json!({ "kind": "ServiceAccount", "name": "robot" }));
    let path = "/api/v1/namespaces/default/serviceaccounts/robot/token";
    let issue = |spec: Value| {
        let server = server.clone();
        async move {
            let (code, body) = send(&server, "root", Method::POST, path, &json!({ "spec": spec })).await;
            assert_eq!(code, 201, "{body}");
            body["status"]["token"].as_str().unwrap().to_owned()
        }
    };
    let token = issue(json!({})).await;
    assert_eq!(send(&server, &token, Method::GET, PODS, &Value::Null).await.0, 200);
    assert_eq!(send(&server, &token, Method::GET, "/api/v1/nodes", &Value::Null).await.0, 403);
    let review = |token: &str, audiences: Value| {
        let spec = json!({ "spec": { "token": token, "audiences": audiences } });
        let server = server.clone();
        async move {
            let path = "/apis/authentication.k8s.io/v1/tokenreviews";
            let (code, mut body) = send(&server, "root", Method::POST, path, &spec).await;
            assert_eq!(code, 201, "{body}");
            body["status"].take()
        }
    };
    let status = review(&token, json!([])).await;
    assert_eq!(status["authenticated"], true);
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:robot");
    let groups = json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]);
    assert_eq!(status["user"]["groups"], groups);
    // A token for somebody else opens nothing here, and is known to whom it is for.
    let elsewhere = issue(json!({ "audiences": ["augur"] })).await;
    assert_eq!(send(&server, &elsewhere, Method::GET, PODS, &Value::Null).await.0, 401);
    assert_eq!(review(&elsewhere, json!(["augur"])).await["audiences"], json!(["augur"]));
    let unknown = json!({ "user": {}, "error": "invalid bearer token" });
    assert_eq!(review(&elsewhere, json!([])).await, unknown);
    assert_eq!(review("wrong", json!([])).await, unknown);
    let (signed, tag) = token.rsplit_once('.').unwrap();
    assert_eq!(review(&format!("{signed}.{}", &tag[1..]), json!([])).await, unknown);
    // An account of the same name is another one.
    local.delete("serviceaccounts", "default", "robot", &crate::DeleteOptions::default()).unwrap();
    local.create("serviceaccounts", "default", account).unwrap();
    assert_eq!(send(&server, &token, Method::GET, PODS, &Value::Null).await.0, 401);
}

#[tokio::test]
async fn only_who_may_acts_as_somebody_else() {
    let server = server();
    let as_joe = [("impersonate-user", "joe")];
    let (code, body) = send_as(&server, "jane-token", &as_joe, Method::GET, PODS, &Value::Null).await;
    let expected = r#"users "joe" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope"#;
    assert_eq!((code, body["message"].as_str()), (403, Some(expected)));
    let (code, body) = send_as(&server, "root", &as_joe, Method::GET, PODS, &Value::Null).await;
    assert!(code == 403 && body["message"].as_str().unwrap().contains(r#"User "joe" cannot list"#), "{body}");
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let account = [("impersonate-user", "system:serviceaccount:a:b")];
    let (_, body) = send_as(&server, "root", &account, Method::POST, whoami, &json!({})).await;
    let groups = json!(["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"]);
    assert_eq!(body["status"]["userInfo"]["groups"], groups);
    let grouped = [("impersonate-user", "joe"), ("impersonate-group", "x")];
    let (_, body) = send_as(&server, "root", &grouped, Method::POST, whoami, &json!({})).await;
    assert_eq!(body["status"]["userInfo"]["groups"], json!(["x", "system:authenticated"]));
}

#[test]
fn token_files_that_are_wrong_are_told_by_their_line() {
    for (text, expected) in [
        ("a,b,c\nd,e\n", "token file, line 2: must have at least 3 columns"),
        (",b,c\n", "token file, line 1: the token is empty"),
    ] {
        let error = read_token_file(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let tokens = read_token_file("a,jane,1\na,joe,2,\"x,y\"\n").unwrap();
    assert_eq!(tokens.len(), 1);
    assert_eq!((tokens[0].1.name.as_str(), tokens[0].1.groups.len()), ("joe", 2));
}
