//! Elections against a store of one lease that keeps resource versions as an API server does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The API server.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Option<Value>>>);

impl Store {
    fn lease(&self) -> Value {
        self.0.lock().unwrap().clone().unwrap_or_default()
    }

    fn holder(&self) -> String {
        self.lease()["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }

    /// A client that has no answer once it is cut off.
    fn client(&self, cut: Arc<AtomicBool>) -> Client {
        let store = self.clone();
        crate::from_service(tower::service_fn(move |request: Request<Body>| {
            let (store, cut) = (store.clone(), cut.clone());
            async move {
                let method = request.method().clone();
                let body = request.into_body().collect().await?.to_bytes();
                if cut.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                let (code, answer) = store.answer(&method, &body);
                let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
                *response.status_mut() = code;
                Ok::<_, tower::BoxError>(response)
            }
        }))
    }

    fn answer(&self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        let refusal = |code: StatusCode, reason: &str| {
            (
                code,
                json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code.as_u16(),
                "reason": reason, "message": reason }),
            )
        };
        let mut stored = self.0.lock().unwrap();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
        let current = stored.as_ref().map(version);
        if *method == Method::GET {
            return stored
                .clone()
                .map_or_else(|| refusal(StatusCode::NOT_FOUND, "NotFound"), |lease| (StatusCode::OK, lease));
        }
        let mut lease: Value = serde_json::from_slice(body).unwrap();
        match (method, &current) {
            (&Method::POST, Some(_)) => return refusal(StatusCode::CONFLICT, "AlreadyExists"),
            (&Method::PUT, Some(current)) if version(&lease) != *current => {
                return refusal(StatusCode::CONFLICT, "Conflict");
            }
            _ => {}
        }
        let next = current.map_or(1, |version| version.parse::<u64>().unwrap() + 1);
        lease["metadata"]["resourceVersion"] = json!(next.to_string());
        *stored = Some(lease.clone());
        (StatusCode::OK, lease)
    }
}

/// One replica.
struct Replica {
    fence: Fence,
    told: watch::Receiver<Leadership>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    cut: Arc<AtomicBool>,
}

impl Replica {
    fn start(store: &Store, identity: &str) -> Self {
        let config = LeaseConfig {
            lease_duration: Duration::from_secs(1),
            renew_deadline: Duration::from_millis(500),
            retry_period: Duration::from_millis(50),
            ..LeaseConfig::new("kube-system", "augur", identity)
        };
        config.validate().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let (fence, (stop, stopped)) = (Fence::closed(&config, Clock::real()), watch::channel(false));
        let (tell, told) = watch::channel(Leadership::Standby { holder: None, error: None });
        let task =
            tokio::spawn(campaign(store.client(cut.clone()), config, fence.clone(), Arc::new(tell), || {}, stopped));
        Replica { fence, told, stop, task, cut }
    }

    async fn leads(&mut self) {
        tokio::time::timeout(PATIENCE, self.told.wait_for(Leadership::leads)).await.expect("leads in time").unwrap();
    }

    async fn stands_by(&mut self) -> Leadership {
        let told = tokio::time::timeout(PATIENCE, self.told.wait_for(|told| !told.leads())).await;
        told.expect("stands by in time").unwrap().clone()
    }

    async fn retire(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn one_leads_and_the_next_takes_over_when_it_is_given_back() {
    let store = Store::default();
    let mut first = Replica::start(&store, "a");
    first.leads().await;
    assert!(first.fence.permit().is_some_and(|left| left <= Duration::from_secs(1)));
    let mut second = Replica::start(&store, "b");
    let seen = second.told.wait_for(|told| matches!(told, Leadership::Standby { holder: Some(_), .. })).await.unwrap();
    assert_eq!(*seen, Leadership::Standby { holder: Some("a".to_owned()), error: None });
    drop(seen);
    assert_eq!((second.fence.permit(), store.holder().as_str()), (None, "a"));
    let fence = first.fence.clone();
    first.retire().await;
    assert_eq!(fence.permit(), None);
    second.leads().await;
    let lease = store.lease();
    assert_eq!((&lease["spec"]["holderIdentity"], &lease["spec"]["leaseTransitions"]), (&json!("b"), &json!(1)));
    second.retire().await;
    assert_eq!(store.holder(), "");
}

#[tokio::test]
async fn a_leader_without_answers_stops_before_another_may_start() {
    let store = Store::default();
    let mut first = Replica::start(&store, "a");
    first.leads().await;
    let mut second = Replica::start(&store, "b");
    second.stands_by().await;
    first.cut.store(true, Ordering::SeqCst);
    let began = Instant::now();
    while second.fence.permit().is_none() {
        assert!(began.elapsed() < PATIENCE, "nobody took over");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // By then even a request that the first had under way is cut off.
    assert_eq!(first.fence.permit(), None);
    let state = first.stands_by().await;
    assert!(
        matches!(&state, Leadership::Standby { error: Some(error), .. } if error.contains("no answer")),
        "{state:?}"
    );
    // It comes back as a standby, and learns who leads.
    first.cut.store(false, Ordering::SeqCst);
    let learnt = |told: &Leadership| *told == Leadership::Standby { holder: Some("b".to_owned()), error: None };
    tokio::time::timeout(PATIENCE, first.told.wait_for(learnt)).await.expect("learns in time").unwrap();
    second.retire().await;
}

#[tokio::test]
async fn a_replica_that_comes_back_under_its_name_need_not_wait() {
    let store = Store::default();
    let mut first = Replica::start(&store, "a");
    first.leads().await;
    first.task.abort();
    let before = store.lease();
    let mut again = Replica::start(&store, "a");
    again.leads().await;
    let after = store.lease();
    assert_eq!(after["spec"]["leaseTransitions"], before["spec"]["leaseTransitions"]);
    assert_eq!(after["spec"]["acquireTime"], before["spec"]["acquireTime"]);
    again.retire().await;
}

#[test]
fn timings_that_cannot_work_are_refused() {
    let config = LeaseConfig::new("kube-system", "augur", "a");
    assert_eq!(config.validate(), Ok(()));
    let longer = LeaseConfig { renew_deadline: Duration::from_secs(15), ..config.clone() };
    assert!(longer.validate().unwrap_err().contains("leaseDuration 15s must be longer than renewDeadline 15s"));
    let slow = LeaseConfig { retry_period: Duration::from_secs(9), ..config.clone() };
    assert!(slow.validate().unwrap_err().contains("retryPeriod 9s"));
    assert!(LeaseConfig { name: String::new(), ..config }.validate().unwrap_err().contains("resourceName"));
}

#[test]
fn without_an_election_everything_may_be_sent() {
    assert_eq!(Fence::open().permit(), Some(Duration::MAX));
}
