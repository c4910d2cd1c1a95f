//! The server itself: its store, clock and options, and what it holds when it starts (the default namespaces and priority
//! classes). Entry points: [`ApiServer::new`], [`ApiServer::router`], [`ApiServer::local`].

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use augur_clock::Clock;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::access::{Access, AuthorizationMode, User};
use crate::error::ApiError;
use crate::local::LocalClient;
use crate::metrics::MetricsSource;
use crate::resource::{self, Resource};
use crate::store::Store;
use crate::verbs::{Target, WriteOptions};

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct ApiServerOptions {
    /// The clock that stamps objects.
    pub clock: Clock,
    /// Bearer token of `POST /debug/forget-history`; without one that path does not exist.
    pub debug_token: Option<String>,
    /// Bearer tokens of whoever may do everything.
    pub tokens: Vec<String>,
    /// Bearer tokens of users. If there are no tokens at all and nothing is authorized, everybody may do everything.
    pub users: Vec<(String, User)>,
    /// What decides who may do what.
    pub authorization: AuthorizationMode,
    /// Where objects are kept across restarts; without it they are in memory only.
    pub data_dir: Option<PathBuf>,
    /// Where uids and generated names come from, so that a simulation can be replayed; `None` for what nobody can foresee.
    pub seed: Option<u64>,
}

impl Default for ApiServerOptions {
    fn default() -> Self {
        ApiServerOptions {
            clock: Clock::real(),
            debug_token: None,
            tokens: Vec::new(),
            users: Vec::new(),
            authorization: AuthorizationMode::default(),
            data_dir: None,
            seed: None,
        }
    }
}

/// An API server. Clones share everything.
#[derive(Clone)]
pub struct ApiServer(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) options: ApiServerOptions,
    pub(crate) access: Access,
    metrics: RwLock<Option<Arc<dyn MetricsSource>>>,
    seed: Seed,
    made: AtomicU64,
}

/// Where random numbers come from.
enum Seed {
    Secret([RandomState; 2]),
    Fixed(u64),
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").field("revision", &self.0.store.revision()).finish_non_exhaustive()
    }
}

impl ApiServer {
    /// A server that holds the default namespaces and priority classes, and what the data directory has.
    ///
    /// # Errors
    /// The data directory cannot be used, or its file is damaged; the message names it.
    pub fn new(options: ApiServerOptions) -> Result<Self, ApiError> {
        let store = match &options.data_dir {
            Some(dir) => Store::open(dir)?,
            None => Store::new(),
        };
        let seed = match options.seed {
            Some(seed) => Seed::Fixed(seed),
            None => Seed::Secret([RandomState::new(), RandomState::new()]),
        };
        let server = ApiServer(Arc::new(Inner {
            store,
            options,
            access: Access::new(),
            metrics: RwLock::new(None),
            seed,
            made: AtomicU64::new(0),
        }));
        server.bootstrap()?;
        Ok(server)
    }

    /// A client without HTTP; `user_agent` names the field manager of its writes, up to the first `/`.
    #[must_use]
    pub fn local(&self, user_agent: &str) -> LocalClient {
        LocalClient::new(self.clone(), user_agent)
    }

    /// Where `metrics.k8s.io` takes its figures from; without a source its lists are empty.
    pub fn set_metrics_source(&self, source: Arc<dyn MetricsSource>) {
        *self.0.metrics.write().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Drops the history of changes, as compaction does: older watches, continue tokens and lists of the past expire.
    pub fn forget_history(&self) {
        self.0.store.forget_history();
    }

    pub(crate) fn metrics_source(&self) -> Option<Arc<dyn MetricsSource>> {
        self.0.metrics.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.options.clock.now()
    }

    fn bootstrap(&self) -> Result<(), ApiError> {
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            self.ensure("namespaces", "", json!({ "metadata": { "name": name } }))?;
        }
        for (name, value, text) in [
            (
                "system-node-critical",
                2_000_001_000,
                "Used for system critical pods that must not be moved from their current node.",
            ),
            (
                "system-cluster-critical",
                2_000_000_000,
                "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
            ),
        ] {
            let class = json!({ "metadata": { "name": name }, "value": value, "description": text });
            self.ensure("priorityclasses.scheduling.k8s.io", "", class)?;
        }
        self.bootstrap_roles()
    }

    /// Creates an object unless there is one of its name.
    pub(crate) fn ensure(&self, qualified: &str, namespace: &str, mut object: Value) -> Result<(), ApiError> {
        let resource = by_qualified(qualified)?;
        object["apiVersion"] = json!(resource.api_version());
        object["kind"] = json!(resource.kind);
        let options = WriteOptions { manager: "kube-apiserver", ..WriteOptions::default() };
        match self.create(Target::new(resource, namespace, ""), object, &options) {
            Err(error) if error.reason != "AlreadyExists" => Err(error),
            _ => Ok(()),
        }
    }

    /// A new UID: random, but not secret.
    pub(crate) fn new_uid(&self) -> String {
        let [a, b] = self.random();
        // Version 4, variant 1.
        let (b1, b2) = ((b >> 48 & 0x3fff) | 0x8000, b & 0xffff_ffff_ffff);
        format!("{:08x}-{:04x}-4{:03x}-{b1:04x}-{b2:012x}", a >> 32, a >> 16 & 0xffff, a & 0xfff)
    }

    /// The random end of a generated name.
    pub(crate) fn new_suffix(&self) -> String {
        const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        let [mut n, _] = self.random();
        let mut suffix = String::with_capacity(5);
        for _ in 0..5 {
            suffix.push(char::from(LETTERS[(n % 27) as usize]));
            n /= 27;
        }
        suffix
    }

    /// Two numbers that nobody can foresee who does not know the process's hash keys.
    pub(crate) fn random(&self) -> [u64; 2] {
        let n = self.0.made.fetch_add(1, Ordering::Relaxed);
        match &self.0.seed {
            Seed::Secret(keys) => keys.each_ref().map(|key| key.hash_one(n)),
            Seed::Fixed(seed) => [0, 1].map(|half| {
                let mut hasher = DefaultHasher::new();
                (seed, n, half).hash(&mut hasher);
                hasher.finish()
            }),
        }
    }
}

/// The resource, or the error of a client that names one that is not served.
pub(crate) fn by_qualified(qualified: &str) -> Result<&'static Resource, ApiError> {
    resource::by_qualified(qualified).ok_or_else(|| {
        ApiError::new(404, "NotFound", "the server could not find the requested resource").with_details(json!({}))
    })
}
