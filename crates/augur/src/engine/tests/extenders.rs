//! Pods that are decided with extenders: real ones on the loopback, read from a `KubeSchedulerConfiguration`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use augur_apiserver::{Identity, serve, serve_tls};
use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::cluster::{Cluster, until};
use crate::config::Settings;
use crate::engine::{Engine, Mode};
use crate::serving::ServingArgs;
use crate::system::{System, SystemOptions, open_history};

/// What an extender does with a call: the answer, or `None` for never.
type Script = Arc<dyn Fn(&str, &Value) -> Option<Response> + Send + Sync>;

/// An extender on a port of its own, for as long as the runtime of the test lasts.
struct Stub {
    url: String,
    /// Verbs and arguments of all calls.
    calls: Arc<Mutex<Vec<(String, Value)>>>,
    certificate: String,
}

impl Stub {
    async fn start(tls: bool, script: impl Fn(&str, &Value) -> Option<Response> + Send + Sync + 'static) -> Stub {
        let (script, calls): (Script, Arc<Mutex<Vec<_>>>) = (Arc::new(script), Arc::default());
        let log = calls.clone();
        let answer = move |Path(verb): Path<String>, body: axum::body::Bytes| {
            let (script, log) = (script.clone(), log.clone());
            async move {
                let args: Value = serde_json::from_slice(&body).unwrap();
                log.lock().unwrap().push((verb.clone(), args.clone()));
                match script(&verb, &args) {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        };
        let router = Router::new().route("/x/{verb}", post(answer)).layer(axum::extract::DefaultBodyLimit::disable());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let identity = Identity::self_signed(&["127.0.0.1"]).unwrap();
        let certificate = identity.certificate_pem().to_owned();
        tokio::spawn(async move {
            match tls {
                true => serve_tls(listener, router, &identity, std::future::pending()).await,
                false => serve(listener, router, std::future::pending()).await,
            }
        });
        let scheme = if tls { "https" } else { "http" };
        Stub { url: format!("{scheme}://{address}/x"), calls, certificate }
    }

    fn calls(&self, verb: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(known, _)| known == verb).map(|(_, args)| args.clone()).collect()
    }
}

fn answer(value: &Value) -> Option<Response> {
    Some(axum::Json(value.clone()).into_response())
}

/// Lets only these nodes pass, whether names or objects are asked for.
fn pass(args: &Value, nodes: &[&str]) -> Option<Response> {
    let kept = |name: &str| nodes.contains(&name);
    if args["Nodes"].is_null() {
        let names = args["NodeNames"].as_array().unwrap().iter().filter_map(Value::as_str);
        let (passed, failed): (Vec<&str>, Vec<&str>) = names.partition(|name| kept(name));
        let failed: serde_json::Map<_, _> =
            failed.into_iter().map(|name| (name.to_owned(), json!("no licence"))).collect();
        return answer(&json!({ "NodeNames": passed, "FailedNodes": failed }));
    }
    let items = args["Nodes"]["items"].as_array().unwrap().iter().cloned();
    let (passed, failed): (Vec<Value>, Vec<Value>) =
        items.partition(|node| kept(node["metadata"]["name"].as_str().unwrap()));
    let failed: serde_json::Map<_, _> = failed
        .iter()
        .map(|node| (node["metadata"]["name"].as_str().unwrap().to_owned(), json!("no licence")))
        .collect();
    answer(&json!({ "Nodes": { "items": passed }, "FailedNodes": failed, "Error": "" }))
}

impl Cluster {
    /// An engine with extenders, each as the lines of its configuration.
    async fn engine_asking(&self, extenders: &[String]) -> Engine {
        let entries: String = extenders.iter().map(|extender| format!("- {{{extender}}}\n")).collect();
        let text = format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n- schedulerName: augur\n\
             extenders:\n{entries}"
        );
        let settings = Settings::parse(&text).unwrap();
        *self.extenders.lock().unwrap() = settings.extenders(Mode::Scheduler).await.unwrap();
        self.engine_with(settings.profiles())
    }

    fn told(&self, pod: &str) -> (String, String) {
        let condition = self.scheduled(pod);
        let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        (text("reason"), text("message"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_goes_where_extenders_let_it_and_like_it_best() {
    for knows_nodes in [true, false] {
        let cluster = Cluster::new();
        ["n1", "n2", "n3"].iter().for_each(|node| cluster.node(node, "4"));
        let script = |verb: &str, args: &Value| match verb {
            "filter" if args["Pod"]["metadata"]["name"] == "nowhere" => pass(args, &[]),
            "filter" => pass(args, &["n1", "n2"]),
            _ => answer(&json!([{ "Host": "n2", "Score": 10 }, { "Host": "n1", "Score": 0 }])),
        };
        let stub = Stub::start(false, script).await;
        let extender = format!(
            "urlPrefix: '{}', filterVerb: filter, prioritizeVerb: prioritize, weight: 1, nodeCacheCapable: {knows_nodes}",
            stub.url
        );
        let engine = cluster.engine_asking(&[extender]).await;
        for pod in ["a", "b", "c"] {
            cluster.pod(pod, "1");
            until("the pod is bound", || cluster.node_of(pod).is_some()).await;
            assert_eq!(cluster.node_of(pod).as_deref(), Some("n2"), "{pod}: a hundred points outweigh the room left");
        }
        cluster.pod("nowhere", "1");
        until("the pod is told", || cluster.scheduled("nowhere")["status"] == "False").await;
        let text = "0/3 nodes are available: 3 no licence. no new claims to deallocate, preemption: 0/3 nodes are \
                    available: 3 No preemption victims found for incoming pod.";
        assert_eq!(cluster.told("nowhere"), ("Unschedulable".to_owned(), text.to_owned()));
        let asked = &stub.calls("filter")[0];
        // The whole pod, with what no decision of ours reads.
        assert_eq!(asked["Pod"]["spec"]["restartPolicy"], "Always");
        match knows_nodes {
            true => assert_eq!((&asked["NodeNames"], &asked["Nodes"]), (&json!(["n1", "n2", "n3"]), &Value::Null)),
            false => assert_eq!(asked["Nodes"]["items"][2]["status"]["capacity"]["memory"], "64Gi"),
        }
        assert_eq!(stub.calls("prioritize").len(), 3, "where nothing is left there is nothing to compare");
        engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_fail_the_attempt_unless_the_extender_is_ignorable() {
    let cluster = Cluster::new();
    cluster.node("n1", "4");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let script = |verb: &str, args: &Value| match (verb, args["Pod"]["metadata"]["name"].as_str().unwrap()) {
        (_, "broken") => Some(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
        (_, "said") => answer(&json!({ "Error": "out of licences" })),
        (_, "foreign") => answer(&json!({ "NodeNames": ["n9"] })),
        (_, "nonsense") => answer(&json!(["what"])),
        (_, "slow") => None,
        _ => pass(args, &["n1"]),
    };
    let stub = Stub::start(false, script).await;
    let extender = format!("urlPrefix: '{}', filterVerb: filter, nodeCacheCapable: true, httpTimeout: 300ms", stub.url);
    let dead = format!("urlPrefix: 'http://{closed}', filterVerb: filter, nodeCacheCapable: true, ignorable: true");
    // One that nobody answers for is skipped, and asked last although it comes first.
    let engine = cluster.engine_asking(&[dead.clone(), extender.clone()]).await;
    let url = &stub.url;
    let expected = [
        ("broken", format!("failed filter with extender at URL {url}/filter, code 500")),
        ("said", "out of licences".to_owned()),
        (
            "foreign",
            format!("extender {url:?} claims a filtered node \"n9\" which is not found in the input node list"),
        ),
        ("slow", format!("extender at {url}/filter did not answer within 300ms")),
    ];
    expected.iter().for_each(|(pod, _)| cluster.pod(pod, "100m"));
    cluster.pod("nonsense", "100m");
    for (pod, text) in expected {
        until("the pod is told", || cluster.scheduled(pod)["status"] == "False").await;
        assert_eq!(cluster.told(pod), ("SchedulerError".to_owned(), text));
    }
    until("the pod is told", || cluster.scheduled("nonsense")["status"] == "False").await;
    assert!(cluster.told("nonsense").1.contains("something else than an ExtenderFilterResult"));
    cluster.pod("fine", "100m");
    until("the pod is bound", || cluster.node_of("fine").is_some()).await;
    engine.shutdown().await;

    // The same extender, ignorable now.
    let engine = cluster.engine_asking(&[dead, format!("{extender}, ignorable: true")]).await;
    for pod in ["broken", "said", "foreign", "slow", "nonsense"] {
        until("the pod is bound", || cluster.node_of(pod).is_some()).await;
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_extender_holds_up_only_the_pods_that_are_its_business() {
    let cluster = Cluster::new();
    cluster.node("n1", "40");
    let stub = Stub::start(false, |_, _| None).await;
    let extender = format!(
        "urlPrefix: '{}', filterVerb: filter, nodeCacheCapable: true, httpTimeout: 1h, managedResources: [{{name: \
         example.com/licence, ignoredByScheduler: true}}]",
        stub.url
    );
    let engine = cluster.engine_asking(&[extender]).await;
    let needs = json!({ "containers": [{ "name": "c", "image": "c", "resources": {
        "requests": { "example.com/licence": "1" }, "limits": { "example.com/licence": "1" } } }] });
    for pod in 0..40 {
        cluster.pod_with(&format!("held-{pod}"), "1", &needs);
    }
    until("as many are asked about as may be", || stub.calls("filter").len() == augur_core::scheduler::CONSULTATIONS)
        .await;
    for pod in 0..20 {
        cluster.pod(&format!("free-{pod}"), "1");
    }
    until("the others are bound", || (0..20).all(|pod| cluster.node_of(&format!("free-{pod}")).is_some())).await;
    // No node has that resource, and yet they got as far as to be asked about.
    assert!((0..40).all(|pod| cluster.node_of(&format!("held-{pod}")).is_none()));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extender_binds_in_our_place() {
    let cluster = Cluster::new();
    cluster.node("n1", "4");
    let refusals = Arc::new(AtomicUsize::new(0));
    let (there, refused) = (cluster.server.local("the extender"), refusals.clone());
    let script = move |_: &str, args: &Value| {
        if args["PodName"] == "refused" && refused.fetch_add(1, Ordering::SeqCst) == 0 {
            return answer(&json!({ "Error": "not today" }));
        }
        let name = args["PodName"].as_str().unwrap();
        let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "kind": "Node", "name": args["Node"] } });
        there.create_subresource("pods", "default", name, "binding", binding).unwrap();
        // It did what it was asked for, but says that it failed.
        if name == "doubt" { Some(StatusCode::BAD_GATEWAY.into_response()) } else { answer(&json!({ "Error": "" })) }
    };
    let stub = Stub::start(false, script).await;
    let engine = cluster.engine_asking(&[format!("urlPrefix: '{}', bindVerb: bind", stub.url)]).await;
    let handle = engine.handle();
    for pod in ["plain", "doubt", "refused"] {
        cluster.pod(pod, "1");
        until("the pod is bound", || cluster.node_of(pod).is_some()).await;
    }
    until("the results are in", || handle.status().bound == 3).await;
    let uid = cluster.get("plain")["metadata"]["uid"].clone();
    let args = json!({ "PodName": "plain", "PodNamespace": "default", "PodUID": uid, "Node": "n1" });
    assert_eq!(stub.calls("bind")[0], args);
    for pod in ["plain", "doubt", "refused"] {
        assert_eq!(cluster.bindings_of(pod), 0, "{pod}: the engine bound nothing itself");
    }
    until("the refusal was told", || {
        cluster
            .events("refused")
            .contains(&("FailedScheduling".to_owned(), "binding to node n1 failed: not today".to_owned()))
    })
    .await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extender_says_where_room_is_made() {
    for knows_nodes in [true, false] {
        let cluster = Cluster::new();
        let class = json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": "high" }, "value": 1000 });
        cluster.local.create("priorityclasses.scheduling.k8s.io", "", class).unwrap();
        for node in ["n1", "n2"] {
            cluster.node(node, "1");
            cluster.pod_with(&format!("on-{node}"), "1", &json!({ "nodeName": node }));
        }
        // Two on the second node would be dearer: kube-scheduler would take the first.
        let script = move |_: &str, args: &Value| {
            let given = if knows_nodes { &args["NodeNameToMetaVictims"] } else { &args["NodeNameToVictims"] };
            assert_eq!(given.as_object().unwrap().len(), 2);
            let victim = &given["n2"]["Pods"][0];
            let uid = if knows_nodes { &victim["UID"] } else { &victim["metadata"]["uid"] };
            let meta = json!({ "Pods": [{ "UID": uid }], "NumPDBViolations": 0 });
            answer(&json!({ "NodeNameToMetaVictims": { "n2": meta } }))
        };
        let stub = Stub::start(false, script).await;
        let extender = format!("urlPrefix: '{}', preemptVerb: preempt, nodeCacheCapable: {knows_nodes}", stub.url);
        let engine = cluster.engine_asking(&[extender]).await;
        cluster.pod_with("urgent", "1", &json!({ "priorityClassName": "high" }));
        let deleted = |pod: &str| {
            cluster
                .local
                .get("pods", "default", pod)
                .map_or(true, |pod| !pod["metadata"]["deletionTimestamp"].is_null())
        };
        until("room is made", || deleted("on-n2")).await;
        assert!(!deleted("on-n1"));
        engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_checked_as_the_configuration_says() {
    use base64::Engine as _;
    let cluster = Cluster::new();
    cluster.node("n1", "4");
    let stub = Stub::start(true, |_, args| pass(args, &["n1"])).await;
    let ca = base64::engine::general_purpose::STANDARD.encode(&stub.certificate);
    let extender =
        |more: &str| format!("urlPrefix: '{}', filterVerb: filter, nodeCacheCapable: true, {more}", stub.url);
    for (pod, good) in [
        ("trusted", format!("tlsConfig: {{caData: {ca}}}")),
        ("unchecked", "tlsConfig: {insecure: true}".to_owned()),
        ("as-kube-scheduler", "enableHTTPS: true".to_owned()),
    ] {
        let engine = cluster.engine_asking(&[extender(&good)]).await;
        cluster.pod(pod, "100m");
        until("the pod is bound", || cluster.node_of(pod).is_some()).await;
        engine.shutdown().await;
    }
    let engine =
        cluster.engine_asking(&[extender(&format!("tlsConfig: {{caData: {ca}, serverName: example.com}}"))]).await;
    cluster.pod("another-name", "100m");
    until("the pod is told", || cluster.scheduled("another-name")["status"] == "False").await;
    assert!(cluster.told("another-name").1.contains("cannot be reached"), "{:?}", cluster.told("another-name"));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn augur_asks_augur() {
    let cluster = Cluster::new();
    [("n1", "1"), ("n2", "4")].iter().for_each(|(node, cpu)| cluster.node(node, cpu));
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::default().with_scheduler_names(&["asked".to_owned()]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = System::start(SystemOptions {
        client: cluster.client(Arc::default()),
        denials: cluster.denials.clone(),
        clock: cluster.clock(),
        config: &settings.config,
        profiles: settings.profiles(),
        extenders: Vec::new(),
        queue: settings.scheduler.queue(),
        seed: 1,
        election: None,
        mode: Mode::Extender,
        history: open_history(&settings.config, folder.path()).unwrap(),
        scheduler: listener,
        learner: None,
        serving: ServingArgs::default(),
        token_review: false,
        configz: settings.configz(),
    })
    .unwrap();
    until("the extender knows the nodes", || asked.engine().status().nodes == 2).await;
    let engine = cluster
        .engine_asking(&[format!(
            "urlPrefix: 'http://{address}/extender', filterVerb: filter, prioritizeVerb: prioritize, preemptVerb: preempt, \
             bindVerb: bind, weight: 1"
        )])
        .await;
    for pod in 0..4 {
        cluster.pod(&format!("p{pod}"), "1");
    }
    until("the pods are bound", || (0..4).all(|pod| cluster.node_of(&format!("p{pod}")).is_some())).await;
    until("the results are in", || engine.handle().status().bound == 4).await;
    cluster.pod("large", "8");
    until("the pod is told", || cluster.scheduled("large")["status"] == "False").await;
    assert!(
        cluster.told("large").1.starts_with("0/2 nodes are available: 2 Insufficient cpu."),
        "{:?}",
        cluster.told("large")
    );
    assert!((0..4).all(|pod| cluster.accepted_bindings_of(&format!("p{pod}")) == 1));
    engine.shutdown().await;
    asked.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_used_names_the_extender() {
    let text = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nextenders:\n- {urlPrefix: \
                'https://x', filterVerb: f}\n- {urlPrefix: 'https://y', filterVerb: f, tlsConfig: {caFile: /none/such}}\n";
    let settings = Settings::parse(text).unwrap();
    let error = settings.extenders(Mode::Scheduler).await.err().unwrap();
    assert!(format!("{error:#}").starts_with("extenders[1]: cannot use the extender at https://y: "), "{error:#}");
    let error = settings.extenders(Mode::Shadow).await.err().unwrap();
    assert!(format!("{error:#}").starts_with("extenders: in this mode"), "{error:#}");
}
