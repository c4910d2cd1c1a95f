//! A cluster of one API server in this process, spoken to through a proxy that counts and fails requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use augur_api::SchedulerMetrics;
use augur_apiserver::access::Attributes;
use augur_apiserver::{ApiServer, ApiServerOptions, AuthorizationMode, LocalClient, PatchKind};
use augur_clock::Clock;
use augur_core::predictor::NoModel;
use augur_core::profile::Profile;
use augur_history::{History, HistoryOptions};
use augur_kube::{Denials, LeaseConfig};
use futures::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::{Layer, ServiceExt};

use super::super::{CalledExtender, Engine, EngineOptions, Mode, Traces, profile};
use crate::services::NewPredictor;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Predictors without a model, for dry runs on copies.
pub fn no_model() -> NewPredictor {
    Arc::new(|| Box::new(NoModel::default()))
}

/// What the proxy does wrong.
#[derive(Default)]
pub struct Faults {
    /// So many watches of pods begin with their end: the revision has expired.
    pub expired_watches: AtomicU32,
    /// So many bindings are carried out, but answered with a 500.
    pub lost_answers: AtomicU32,
    /// So many bindings are refused with a 403.
    pub forbidden: AtomicU32,
    /// So many lists of CSI nodes are refused with a 403.
    pub unlisted: AtomicU32,
    /// What somebody else writes into a volume just before the scheduler does, once.
    pub before_volume_write: Mutex<Option<Value>>,
}

/// One replica's way to the API server.
#[derive(Default)]
pub struct Link {
    /// Bindings that it asked for.
    pub bindings: AtomicU32,
    /// Whether its requests about the lease have no answer; all others have.
    pub leases_hang: AtomicBool,
    /// Whether its watches of pods show nothing more; its lists do.
    pub pods_stand_still: AtomicBool,
    /// Where it is killed.
    pub killed_at: Point,
    /// Whether it was: nothing reaches the API server, and nothing comes back.
    pub dead: AtomicBool,
}

/// A point at which a scheduler is killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Point {
    /// Only when the test says so.
    #[default]
    Never,
    /// Before it has seen a pod.
    BeforeAssume,
    /// When the first binding is about to be sent.
    AfterAssume,
    /// When the first binding has been carried out, before its answer.
    BetweenBindAndConfirm,
}

/// An engine in a runtime of its own, which ends without a farewell when this is dropped.
pub struct Mortal {
    runtime: Option<tokio::runtime::Runtime>,
    /// Kept, because a dropped one is told to stop.
    _engine: Engine,
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub struct Cluster {
    pub server: ApiServer,
    pub local: LocalClient,
    pub history: History,
    pub faults: Arc<Faults>,
    /// Bindings asked for, by path.
    pub bindings: Arc<Mutex<BTreeMap<String, u32>>>,
    /// Of these, the ones that were carried out.
    accepted: Arc<Mutex<BTreeMap<String, u32>>>,
    /// What engines asked for.
    pub asked: Arc<Mutex<BTreeSet<Attributes>>>,
    /// What the API server denied them.
    pub denials: Denials,
    /// Whom engines ask besides.
    pub extenders: Mutex<Vec<CalledExtender>>,
    /// The bearer token that engines present.
    pub token: Mutex<Option<String>>,
    pub clock: Clock,
    _dir: TempDir,
}

impl Cluster {
    /// Without nodes; its clock runs so fast that backoffs pass within a moment.
    pub fn new() -> Self {
        Cluster::with(AuthorizationMode::AlwaysAllow)
    }

    /// The same with an authorizer.
    pub fn with(authorization: AuthorizationMode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::scaled(20.0);
        let server =
            ApiServer::new(ApiServerOptions { clock: clock.clone(), authorization, ..Default::default() }).unwrap();
        Cluster {
            local: server.local("test"),
            server,
            history: History::open(&HistoryOptions::new(dir.path())).unwrap(),
            faults: Arc::default(),
            bindings: Arc::default(),
            accepted: Arc::default(),
            asked: Arc::default(),
            denials: Denials::default(),
            extenders: Mutex::default(),
            token: Mutex::default(),
            clock,
            _dir: dir,
        }
    }

    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    pub fn engine(&self) -> Engine {
        self.engine_with(vec![profile("augur", &crate::config::Scheduler::default())])
    }

    pub fn engine_with(&self, profiles: Vec<Profile>) -> Engine {
        self.start(self.client(Arc::default()), None, profiles, Mode::Scheduler)
    }

    /// An engine that follows others, for pods of any scheduler name.
    pub fn follower(&self, mode: Mode) -> Engine {
        let profiles = vec![profile("nobody", &crate::config::Scheduler::default())];
        self.start(self.client(Arc::default()), None, profiles, mode)
    }

    /// An engine that is killed at the point, or when its link is made dead.
    pub fn mortal(&self, killed_at: Point) -> (Mortal, Arc<Link>) {
        let link = Arc::new(Link { killed_at, ..Link::default() });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let profiles = vec![profile("augur", &crate::config::Scheduler::default())];
        let inside = runtime.enter();
        let engine = self.start(self.client(link.clone()), None, profiles, Mode::Scheduler);
        drop(inside);
        (Mortal { runtime: Some(runtime), _engine: engine }, link)
    }

    /// An engine that stands for election, and what it writes.
    pub fn replica(&self, identity: &str) -> (Engine, Arc<Link>) {
        self.candidate("kube-system", identity)
    }

    /// The same for the lease of a namespace.
    pub fn candidate(&self, namespace: &str, identity: &str) -> (Engine, Arc<Link>) {
        let link = Arc::<Link>::default();
        let election = LeaseConfig {
            lease_duration: Duration::from_secs(1),
            renew_deadline: Duration::from_millis(600),
            retry_period: Duration::from_millis(50),
            ..LeaseConfig::new(namespace, "augur", identity)
        };
        let profiles = vec![profile("augur", &crate::config::Scheduler::default())];
        (self.start(self.client(link.clone()), Some(election), profiles, Mode::Scheduler), link)
    }

    pub fn start(
        &self,
        client: kube::Client,
        election: Option<LeaseConfig>,
        profiles: Vec<Profile>,
        mode: Mode,
    ) -> Engine {
        Engine::start(EngineOptions {
            usage: augur_kube::UsageSource::MetricsApi(client.clone(), Duration::from_secs(5)),
            client,
            denials: self.denials.clone(),
            clock: self.clock.clone(),
            profiles,
            extenders: self.extenders.lock().unwrap().clone(),
            queue: augur_core::queue::QueueConfig::default(),
            seed: 1,
            history: self.history.handle(),
            past: augur_learn::PastSlot::default(),
            predictor: Arc::new(NoModel::default()),
            metrics_interval: Duration::from_secs(5),
            counters: Arc::new(SchedulerMetrics::new()),
            election,
            mode,
            traces: Traces::default(),
        })
        .unwrap()
    }

    pub fn client(&self, link: Arc<Link>) -> kube::Client {
        let (asked, token) = (self.asked.clone(), self.token.lock().unwrap().clone());
        let (router, faults, bindings) = (self.server.router(), self.faults.clone(), self.bindings.clone());
        let other = self.server.local("somebody else");
        let accepted = self.accepted.clone();
        augur_kube::from_service(self.denials.layer(tower::service_fn(
            move |mut request: Request<kube::client::Body>| {
                let query = request.uri().query().unwrap_or_default();
                asked.lock().unwrap().insert(Attributes::of(request.method(), request.uri().path(), query));
                if let Some(token) = &token {
                    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
                }
                let (other, accepted) = (other.clone(), accepted.clone());
                let (router, faults, bindings) = (router.clone(), faults.clone(), bindings.clone());
                let link = link.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let query = request.uri().query().unwrap_or_default().to_owned();
                    if link.killed_at == Point::BeforeAssume && path == "/api/v1/pods" {
                        link.dead.store(true, Ordering::SeqCst);
                    }
                    if link.dead.load(Ordering::SeqCst) {
                        std::future::pending::<()>().await;
                    }
                    if path == "/api/v1/pods" && query.contains("watch=true") && take(&faults.expired_watches) {
                        let line = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#;
                        return Ok(Response::new(axum::body::Body::from(format!("{line}\n"))));
                    }
                    if let Some(name) = path.strip_prefix("/api/v1/persistentvolumes/")
                        && request.method() == Method::PATCH
                        && let Some(patch) = faults.before_volume_write.lock().unwrap().take()
                    {
                        other.patch("persistentvolumes", "", name, "", PatchKind::Merge, &patch).unwrap();
                    }
                    if path.ends_with("/csinodes") && take(&faults.unlisted) {
                        return Ok(refusal(StatusCode::FORBIDDEN));
                    }
                    if path.ends_with("/leases/augur") && link.leases_hang.load(Ordering::SeqCst) {
                        std::future::pending::<()>().await;
                    }
                    let binding = request.method() == Method::POST && path.ends_with("/binding");
                    if binding {
                        link.bindings.fetch_add(1, Ordering::SeqCst);
                        *bindings.lock().unwrap().entry(path.clone()).or_default() += 1;
                        if take(&faults.forbidden) {
                            return Ok(refusal(StatusCode::FORBIDDEN));
                        }
                        if link.killed_at == Point::AfterAssume {
                            link.dead.store(true, Ordering::SeqCst);
                            std::future::pending::<()>().await;
                        }
                    }
                    let answer = router.oneshot(request.map(axum::body::Body::new)).await?;
                    if binding && answer.status().is_success() {
                        *accepted.lock().unwrap().entry(path.clone()).or_default() += 1;
                        if link.killed_at == Point::BetweenBindAndConfirm {
                            link.dead.store(true, Ordering::SeqCst);
                            std::future::pending::<()>().await;
                        }
                    }
                    if path == "/api/v1/pods" && query.contains("watch=true") {
                        let (head, body) = answer.into_parts();
                        let body = body.into_data_stream().take_while(move |_| {
                            let still =
                                link.pods_stand_still.load(Ordering::SeqCst) || link.dead.load(Ordering::SeqCst);
                            async move { if still { std::future::pending().await } else { true } }
                        });
                        return Ok(Response::from_parts(head, axum::body::Body::from_stream(body)));
                    }
                    let lost = binding && answer.status().is_success() && take(&faults.lost_answers);
                    Ok::<_, std::convert::Infallible>(if lost {
                        refusal(StatusCode::INTERNAL_SERVER_ERROR)
                    } else {
                        answer
                    })
                }
            },
        )))
    }

    pub fn node(&self, name: &str, cpu: &str) {
        self.local
            .create(
                "nodes",
                "",
                json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "status": {
                    "allocatable": { "cpu": cpu, "memory": "64Gi", "pods": "110" },
                    "capacity": { "cpu": cpu, "memory": "64Gi", "pods": "110" },
                    "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }],
                } }),
            )
            .unwrap();
        // Admission taints a new node until the node controller, which does not run here, finds it ready.
        let ready = json!({ "spec": { "taints": null } });
        self.local.patch("nodes", "", name, "", PatchKind::Merge, &ready).unwrap();
    }

    pub fn pod(&self, name: &str, cpu: &str) {
        self.pod_with(name, cpu, &json!({}));
    }

    /// A pod with more members in its spec.
    pub fn pod_with(&self, name: &str, cpu: &str, more: &Value) {
        let mut spec = json!({ "schedulerName": "augur", "containers": [
            { "name": "c", "image": "c", "resources": { "requests": { "cpu": cpu } } } ] });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec });
        self.local.create("pods", "default", pod).unwrap();
    }

    pub fn get(&self, name: &str) -> Value {
        self.local.get("pods", "default", name).unwrap()
    }

    /// The node that a pod is bound to.
    pub fn node_of(&self, name: &str) -> Option<String> {
        self.get(name)["spec"]["nodeName"].as_str().map(str::to_owned)
    }

    /// The `PodScheduled` condition.
    pub fn scheduled(&self, name: &str) -> Value {
        let pod = self.get(name);
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == "PodScheduled").unwrap_or_default()
    }

    /// Reasons and texts of the events about a pod.
    pub fn events(&self, pod: &str) -> Vec<(String, String)> {
        let list = self.local.list("events", "default", "", "").unwrap();
        let events = list.items.iter().map(|item| serde_json::from_slice::<Value>(item).unwrap());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        events
            .filter(|event| event["involvedObject"]["name"] == pod)
            .map(|event| (text(&event["reason"]), text(&event["message"])))
            .collect()
    }

    /// Binds a pod as somebody without a scheduler does.
    pub async fn bind_by_hand(&self, pod: &str, binding: &Value) {
        let path = format!("/api/v1/namespaces/default/pods/{pod}/binding");
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(binding.to_string().into_bytes()).unwrap();
        self.client(Arc::default()).request_text(request).await.unwrap();
    }

    /// How often a binding of the pod was carried out.
    pub fn accepted_bindings_of(&self, pod: &str) -> u32 {
        let path = format!("/api/v1/namespaces/default/pods/{pod}/binding");
        self.accepted.lock().unwrap().get(&path).copied().unwrap_or(0)
    }

    /// How often a binding of the pod was asked for.
    pub fn bindings_of(&self, pod: &str) -> u32 {
        let path = format!("/api/v1/namespaces/default/pods/{pod}/binding");
        self.bindings.lock().unwrap().get(&path).copied().unwrap_or(0)
    }
}

/// Waits until the condition holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Takes one of what is left.
fn take(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn refusal(status: StatusCode) -> Response<axum::body::Body> {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(), "message": "told so" });
    let mut response = Response::new(axum::body::Body::from(body.to_string()));
    *response.status_mut() = status;
    response
}
