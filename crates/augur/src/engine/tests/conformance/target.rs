//! A cluster to test against: [`everywhere`] runs a test on the embedded API server, and on a real one where there is one.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use augur_clock::Clock;
use augur_kube::Denials;
use futures::FutureExt as _;
use kube::Client;
use serde_json::{Value, json};

use super::super::super::{Engine, EngineHandle, Mode, NodeSnapshot, profile};
use super::super::cluster::Cluster;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Label and taint of the nodes of a test.
const OURS: &str = "augur.test/run";

const NODES: &str = "/api/v1/nodes";

/// A cluster with a scheduler of its own for this test.
pub struct Target {
    client: Client,
    pub namespace: String,
    /// Sets apart what belongs to this test.
    pub run: String,
    /// What has to be removed that no namespace takes with it.
    made: Mutex<Vec<String>>,
    /// The scheduler, once it runs.
    engine: OnceLock<EngineHandle>,
}

/// Runs the test on each cluster there is.
pub async fn everywhere<F: Future<Output = ()>>(test: impl Fn(Arc<Target>) -> F) {
    let mut embedded = Cluster::new();
    let client = embedded.client(Arc::default());
    on(&embedded, client, false, &test).await;
    let Ok(kubeconfig) = std::env::var("AUGUR_TEST_KUBECONFIG") else {
        println!("AUGUR_TEST_KUBECONFIG is not set: run against the embedded API server only");
        return;
    };
    embedded.clock = Clock::real();
    let (path, denials) = (Path::new(&kubeconfig), Denials::default());
    let client = augur_kube::from_kubeconfig(path, Duration::from_secs(10), &denials).await.unwrap();
    on(&embedded, client, true, &test).await;
}

async fn on<F: Future<Output = ()>>(
    cluster: &Cluster,
    client: Client,
    with_controllers: bool,
    test: &impl Fn(Arc<Target>) -> F,
) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = format!("augur-test-{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": run } });
    let target = Arc::new(Target {
        client: client.clone(),
        namespace: run.clone(),
        run: run.clone(),
        made: Mutex::default(),
        engine: OnceLock::new(),
    });
    target.create("/api/v1/namespaces", namespace).await;
    let account = target.within("serviceaccounts/default");
    // A controller makes it, and no pod is accepted before.
    while with_controllers && target.ask("GET", &account, None).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let profiles = vec![profile(&run, &crate::config::Scheduler::default())];
    let engine: Engine = cluster.start(client, None, profiles, Mode::Scheduler);
    let _ = target.engine.set(engine.handle());
    let kubelets = tokio::spawn({
        let target = target.clone();
        async move { target.kubelets().await }
    });
    // What a test that fails leaves behind is removed all the same.
    let outcome = std::panic::AssertUnwindSafe(test(target.clone())).catch_unwind().await;
    kubelets.abort();
    engine.shutdown().await;
    target.clean_up().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Target {
    /// Sends a request; the answer, or the status of the refusal.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, u16> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
        match self.client.request::<Value>(request.body(body).unwrap()).await {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => Err(status.code),
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    /// Makes an object; it must be accepted.
    pub async fn create(&self, collection: &str, object: Value) -> Value {
        let made = self.ask("POST", collection, Some(&object)).await;
        made.unwrap_or_else(|code| panic!("POST {collection} {object}: {code}"))
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None).await.unwrap_or_else(|code| panic!("GET {path}: {code}"))
    }

    pub async fn patch(&self, path: &str, patch: Value) -> Value {
        self.ask("PATCH", path, Some(&patch)).await.unwrap_or_else(|code| panic!("PATCH {path} {patch}: {code}"))
    }

    /// Notes an object that no namespace takes with it.
    fn note(&self, path: String) {
        self.made.lock().unwrap().push(path);
    }

    /// Makes an object outside of namespaces, under a name of this test.
    pub async fn create_global(&self, collection: &str, name: &str, mut object: Value) -> String {
        let name = format!("{}-{name}", self.run);
        object["metadata"] = json!({ "name": name });
        self.create(collection, object).await;
        self.note(format!("{collection}/{name}"));
        name
    }

    /// Where objects of a kind of the core group are in the test's namespace.
    pub fn within(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.namespace)
    }

    pub fn pod_path(&self, name: &str) -> String {
        self.within(&format!("pods/{name}"))
    }

    /// Makes a node of four cores on which only pods of this test land; `more` is merged into it.
    pub async fn node(&self, name: &str, more: Value) -> String {
        let amounts = json!({ "cpu": "4", "memory": "16Gi", "ephemeral-storage": "10Gi", "pods": "30" });
        let name = format!("{}-{name}", self.run);
        let mut node = json!({ "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": { OURS: self.run, "kubernetes.io/hostname": name } },
            "status": { "allocatable": amounts, "capacity": amounts,
                "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }] } });
        let mut taints = vec![json!({ "key": OURS, "value": self.run, "effect": "NoSchedule" })];
        taints.extend(more["spec"]["taints"].as_array().cloned().unwrap_or_default());
        merge(&mut node, &more);
        self.create(NODES, node).await;
        self.note(format!("{NODES}/{name}"));
        // Admission taints a new node until it is found ready.
        self.patch(&format!("{NODES}/{name}"), json!({ "spec": { "taints": taints } })).await;
        // A pod that comes next is to be decided with all nodes in view.
        let began = Instant::now();
        while !self.knows(&name).await {
            assert!(began.elapsed() < PATIENCE, "waited in vain until the scheduler knows {name}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        name
    }

    /// Whether the scheduler has seen the node as it was made in the end.
    async fn knows(&self, node: &str) -> bool {
        let (Some(engine), name) = (self.engine.get(), node.to_owned()) else { return false };
        let seen = engine.query(move |view| {
            let nodes = view.nodes(false).into_iter().map(NodeSnapshot::view);
            nodes.filter(|node| *node.name == *name).any(|node| node.taints.iter().any(|taint| taint.starts_with(OURS)))
        });
        seen.await.unwrap()
    }

    /// Makes a pod of half a core for the scheduler under test; `more` is merged into its spec.
    pub async fn pod(&self, name: &str, more: Value) {
        let pod = self.pod_of(name, &more);
        self.create(&self.within("pods"), pod).await;
    }

    pub fn pod_of(&self, name: &str, more: &Value) -> Value {
        let tolerated = [OURS, "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
        let mut tolerations: Vec<Value> =
            tolerated.iter().map(|key| json!({ "key": key, "operator": "Exists" })).collect();
        tolerations.extend(more["tolerations"].as_array().cloned().unwrap_or_default());
        let mut spec = json!({ "schedulerName": self.run, "nodeSelector": { OURS: self.run },
            "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false,
            "containers": [{ "name": "c", "image": "registry.k8s.io/pause:3.10",
                "resources": { "requests": { "cpu": "500m" } } }] });
        merge(&mut spec, more);
        spec["tolerations"] = json!(tolerations);
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": name } }, "spec": spec })
    }

    /// Waits until the pod is bound; the node.
    pub async fn bound(&self, pod: &str) -> String {
        let path = self.pod_path(pod);
        let node = |pod: &Value| pod["spec"]["nodeName"].as_str().map(str::to_owned);
        self.wait(&format!("{pod} is bound"), &path, node).await
    }

    /// Waits until the pod is told that there is no place for it; what it is told.
    pub async fn refused(&self, pod: &str) -> String {
        let path = self.pod_path(pod);
        let told = |pod: &Value| {
            let conditions = pod["status"]["conditions"].as_array()?;
            let scheduled = conditions.iter().find(|condition| condition["type"] == "PodScheduled")?;
            let unschedulable = scheduled["status"] == "False" && scheduled["reason"] == "Unschedulable";
            // A condition says which version of the pod it is about.
            let told = scheduled["observedGeneration"] == pod["metadata"]["generation"];
            (unschedulable && told).then(|| scheduled["message"].as_str().unwrap_or_default().to_owned())
        };
        self.wait(&format!("{pod} is refused"), &path, told).await
    }

    /// Waits until the pod is to go or has gone; its conditions, if there is one.
    pub async fn evicted(&self, pod: &str) {
        let began = Instant::now();
        while let Ok(found) = self.ask("GET", &self.pod_path(pod), None).await
            && !found["metadata"]["deletionTimestamp"].is_string()
        {
            assert!(began.elapsed() < PATIENCE, "waited in vain until {pod} is evicted");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether the pod is there and is not to go.
    pub async fn stays(&self, pod: &str) -> bool {
        let found = self.ask("GET", &self.pod_path(pod), None).await;
        found.is_ok_and(|pod| !pod["metadata"]["deletionTimestamp"].is_string())
    }

    /// Waits until the object shows what is looked for.
    pub async fn wait<T>(&self, what: &str, path: &str, shows: impl Fn(&Value) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            let object = self.get(path).await;
            if let Some(shown) = shows(&object) {
                return shown;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain until {what}: {object}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The nodes of the test have no kubelet: what is to go is ended for it.
    async fn kubelets(&self) {
        let now = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0 });
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let Ok(list) = self.ask("GET", &self.within("pods"), None).await else { continue };
            let pods = list["items"].as_array().into_iter().flatten();
            for pod in pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_string()) {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                let held = pod["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
                if !held {
                    // It may have gone meanwhile.
                    let _ = self.ask("DELETE", &self.pod_path(name), Some(&now)).await;
                }
            }
        }
    }

    async fn clean_up(&self) {
        let now = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0 });
        let _ = self.ask("DELETE", &self.within("pods"), Some(&now)).await;
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        for path in made.iter().rev() {
            let _ = self.ask("DELETE", path, None).await;
        }
        let _ = self.ask("DELETE", &format!("/api/v1/namespaces/{}", self.namespace), None).await;
    }
}

/// Merges objects member by member; of everything else the second counts.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
