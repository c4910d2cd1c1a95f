//! The simulation behind the API: registers nodes, plays kubelet for the pods bound to them, creates the workloads of a
//! scenario, feeds `metrics.k8s.io`. Entry point: [`Sandbox::start`].
//!
//! One thread of its own watches, steps [`Sim`] and writes; it reaches the API only through `LocalClient`. Writes of one
//! round are coalesced, so a pod that starts at once costs one status write.

mod cadvisor;
mod events;
mod metrics;
mod render;
mod run;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use augur_apiserver::{ApiError, ApiServer};
use augur_clock::Clock;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::scenario::Scenario;
use crate::sim::{Counts, Millis, Sim, SimOptions};

/// How a sandbox runs.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The clock that everything runs on.
    pub clock: Clock,
    /// Same seed, same physics.
    pub seed: u64,
    /// `schedulerName` of the pods that the scenario creates.
    pub scheduler_name: String,
    /// Time between heartbeats of a node; `None`: nodes send none, so nothing may be watching for them.
    pub heartbeat: Option<Duration>,
    /// Pods start at once and nothing ever happens to them; for traces at full speed.
    pub instant: bool,
}

impl SandboxOptions {
    /// The usual physics on this clock, for the scheduler of this name.
    #[must_use]
    pub fn new(clock: Clock, scheduler_name: &str) -> Self {
        SandboxOptions {
            clock,
            seed: 1,
            scheduler_name: scheduler_name.to_owned(),
            heartbeat: Some(Duration::from_secs(10)),
            instant: false,
        }
    }
}

/// Why a sandbox cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A node is refused by the API.
    #[error("sandbox: registering node {node}: {}", error.message)]
    Node {
        /// The node.
        node: String,
        /// The API's answer.
        error: Box<ApiError>,
    },
    /// Pods or nodes cannot be watched.
    #[error("sandbox: watching {resource}: {}", error.message)]
    Watch {
        /// The resource.
        resource: &'static str,
        /// The API's answer.
        error: Box<ApiError>,
    },
    /// The thread or its runtime cannot be made.
    #[error("sandbox: starting its thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// How far a sandbox is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SandboxProgress {
    /// What the kubelets count.
    pub counts: Counts,
    /// Pods that came into being, whoever made them.
    pub pods_created: u64,
    /// Objects that the scenario created.
    pub objects_created: u64,
    /// Writes that the API refused for another reason than that the object had gone, and pods that could not be read.
    pub problems: u64,
}

#[derive(Debug, Default)]
struct Shared {
    pods_created: AtomicU64,
    objects_created: AtomicU64,
    problems: AtomicU64,
}

/// The simulated cluster; see [`Sandbox::start`].
#[derive(Debug)]
pub struct Sandbox;

/// A running sandbox. Dropping it stops it.
#[derive(Debug)]
pub struct SandboxHandle {
    sim: Arc<Mutex<Sim>>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Registers the nodes of the scenario, becomes the source of `metrics.k8s.io`, and starts to play kubelet and to create
    /// workloads. When it returns, all nodes are there and ready.
    ///
    /// # Errors
    /// A node that the API refuses; no thread.
    pub fn start(
        server: &ApiServer,
        scenario: Scenario,
        options: SandboxOptions,
    ) -> Result<SandboxHandle, SandboxError> {
        let start = millis(options.clock.now());
        let heartbeat = options.heartbeat.map(|span| (span.as_millis() as Millis).max(1));
        let sim = Sim::new(SimOptions { seed: options.seed, heartbeat, instant: options.instant, truth: false }, start);
        let sim = Arc::new(Mutex::new(sim));
        let feed = metrics::MetricsFeed::new(sim.clone(), options.clock.clone(), &scenario, start);
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = watch::channel(false);
        let client = server.local("kubelet");
        let mut driver = run::Driver::new(client, scenario, options, sim.clone(), shared.clone(), start);
        driver.register()?;
        let watches = driver.watches()?;
        server.set_metrics_source(Arc::new(feed));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(move || runtime.block_on(driver.run(watches, stopped)))?;
        Ok(SandboxHandle { sim, shared, stop, thread: Some(thread) })
    }
}

impl SandboxHandle {
    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> SandboxProgress {
        SandboxProgress {
            counts: lock(&self.sim).counts(),
            pods_created: self.shared.pods_created.load(Ordering::Relaxed),
            objects_created: self.shared.objects_created.load(Ordering::Relaxed),
            problems: self.shared.problems.load(Ordering::Relaxed),
        }
    }

    /// Stops it and waits for its thread, which takes milliseconds. Objects stay as they are.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sandbox's thread ended with a panic");
        }
    }
}

impl Drop for SandboxHandle {
    fn drop(&mut self) {
        self.halt();
    }
}

fn millis(at: Timestamp) -> Millis {
    at.as_millisecond()
}

/// Nothing is left half done under these locks by a panic that another thread could misread: they hold plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
