//! What `augur up` shows: a first screen that helps, and a live line of progress.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use augur_sandbox::SandboxHandle;
use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::{EngineHandle, EngineStatus};
use crate::output;

/// How often the line is drawn anew on a terminal.
const FRAME: Duration = Duration::from_millis(500);
/// How often a line is written where there is no terminal.
const LOG_LINE: Duration = Duration::from_secs(10);

/// The first screen.
pub struct Screen<'a> {
    /// Nodes of the cluster.
    pub nodes: usize,
    /// What it shows.
    pub description: &'a str,
    /// How fast time passes.
    pub speed: f64,
    /// The URL of the Kubernetes API.
    pub server: &'a str,
    /// Scheduler, learner.
    pub addresses: [SocketAddr; 2],
    /// The file for `kubectl`.
    pub kubeconfig: &'a Path,
}

impl Screen<'_> {
    /// Prints it.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print(&self) -> std::io::Result<()> {
        let [scheduler, learner] = self.addresses;
        let speed =
            if self.speed == 1.0 { String::new() } else { format!(", {} times as fast as real time", self.speed) };
        output::line(&format!(
            "Augur is up: {nodes} nodes{speed}. {description}\n\
             \n\
             \x20 Kubernetes API   {server}\n\
             \x20 Scheduler        http://{scheduler}   (described at /docs)\n\
             \x20 Learner          http://{learner}   (described at /docs)\n\
             \n\
             Point kubectl at it, and try:\n\
             \n\
             \x20 export KUBECONFIG={kubeconfig}\n\
             \x20 kubectl get pods -A -o wide\n\
             \x20 kubectl create deployment hello --image=hello:1 --replicas=5 && kubectl rollout status deployment/hello\n\
             \x20 curl -s 'http://{scheduler}/api/v1/decisions?limit=1'\n\
             \n\
             Ctrl-C stops it.",
            nodes = self.nodes,
            server = self.server,
            description = self.description,
            kubeconfig = self.kubeconfig.display(),
        ))
    }
}

/// The live line.
pub struct Progress<'a> {
    engine: &'a EngineHandle,
    sandbox: &'a SandboxHandle,
    decided: u64,
}

impl<'a> Progress<'a> {
    /// A line about this engine and sandbox.
    pub fn new(engine: &'a EngineHandle, sandbox: &'a SandboxHandle) -> Self {
        Progress { engine, sandbox, decided: decided(&engine.status()) }
    }

    /// Shows it until it is dropped: redrawn in place on a terminal, else a line from time to time.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub async fn show(mut self) -> anyhow::Result<()> {
        if !std::io::stderr().is_terminal() {
            loop {
                tokio::time::sleep(LOG_LINE).await;
                output::line(&self.line(LOG_LINE))?;
            }
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        loop {
            bar.set_message(self.line(FRAME));
            bar.tick();
            tokio::time::sleep(FRAME).await;
        }
    }

    fn line(&mut self, since: Duration) -> String {
        let status = self.engine.status();
        let counts = self.sandbox.progress().counts;
        let now = decided(&status);
        let rate = (now - self.decided) as f64 / since.as_secs_f64();
        self.decided = now;
        let pending = status.pending;
        let waiting = pending.active + pending.backoff + pending.unschedulable + pending.gated + counts.pending;
        format!(
            "nodes {}/{} ready · pods {} running, {waiting} pending, {} done, {} failed · {rate:.1} decisions/s · p99 {:.2} ms",
            status.ready_nodes,
            status.nodes,
            counts.running,
            counts.succeeded,
            counts.failed,
            status.decision_latency.p99.as_secs_f64() * 1e3,
        )
    }
}

fn decided(status: &EngineStatus) -> u64 {
    status.attempts.scheduled + status.attempts.unschedulable + status.attempts.error
}
