//! `augur bench predict`: `POST /predict` over HTTP on a kept connection, against clusters of several sizes.
//!
//! The whole system runs in this process: API server, nodes with their metrics, engine, history, learner service.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use augur_apiserver::controllers::{self, ControllerOptions};
use augur_apiserver::{ApiServer, ApiServerOptions};
use augur_clock::Clock;
use augur_kube::Denials;
use augur_sandbox::{Sandbox, SandboxOptions, Scenario};
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;

use super::http1::Connection;
use super::sample::{Sample, ms};
use crate::cli::BenchPredictArgs;
use crate::config::Settings;
use crate::engine::Mode;
use crate::kubeconfig::{self, Access};
use crate::output;
use crate::serving::ServingArgs;
use crate::system::{System, SystemOptions, open_history};

/// Pods on each node, so that nodes differ in what is requested and used.
const PODS_A_NODE: usize = 4;
/// Longer than any cluster here takes to be known.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the measurement for each size and prints it.
///
/// # Errors
/// When the system cannot be started or a request is refused.
pub async fn run(args: &BenchPredictArgs) -> anyhow::Result<()> {
    let mut results = Vec::new();
    for &nodes in &args.nodes {
        let folder = Folder::new()?;
        let (mut sample, bytes) = measure(nodes, args.requests, &folder.0).await?;
        let [p50, p99, worst] = sample.percentiles([0.5, 0.99, 1.0]);
        output::line(&format!(
            "{nodes:>6} nodes   p50 {}   p99 {}   longest {}   answer {} KiB",
            ms(p50),
            ms(p99),
            ms(worst),
            bytes / 1024
        ))?;
        results.push(json!({
            "nodes": nodes, "requests": args.requests, "p50_us": p50.as_micros() as u64,
            "p99_us": p99.as_micros() as u64, "max_us": worst.as_micros() as u64, "answer_bytes": bytes,
        }));
    }
    output::line(&json!({ "predict": results }).to_string())?;
    Ok(())
}

async fn measure(nodes: usize, requests: usize, folder: &Path) -> anyhow::Result<(Sample, usize)> {
    let clock = Clock::real();
    let server = ApiServer::new(ApiServerOptions::default())
        .map_err(|error| anyhow::anyhow!("cannot set up the API server: {}", error.message))?;
    let mut options = SandboxOptions::new(clock.clone(), "augur");
    options.heartbeat = None;
    options.instant = true;
    let sandbox = Sandbox::start(&server, Scenario::load(&scenario(nodes))?, options)?;
    // They take the taint of new nodes away; heartbeats are not sent, so none may be missed.
    let controllers = controllers::spawn(
        &server,
        clock.clone(),
        ControllerOptions { node_monitor_grace: None, ..ControllerOptions::default() },
    );
    let api = TcpListener::bind("127.0.0.1:0").await?;
    let access = Access { server: format!("http://{}", api.local_addr()?), token: None, certificate: None };
    let (kubeconfig, denials) = (kubeconfig::write(folder, &access)?, Denials::default());
    let client = augur_kube::from_kubeconfig(&kubeconfig, Duration::from_secs(30), &denials).await?;
    let learner = TcpListener::bind("127.0.0.1:0").await?;
    let address = learner.local_addr()?;
    let settings = Settings::default().with_scheduler_names(&["augur".to_owned()]);
    let config = settings.config.clone();
    let mut system = System::start(SystemOptions {
        client,
        denials,
        clock,
        config: &config,
        profiles: settings.profiles(),
        extenders: Vec::new(),
        queue: settings.scheduler.queue(),
        seed: 1,
        election: None,
        mode: Mode::Scheduler,
        history: open_history(&config, folder)?,
        scheduler: TcpListener::bind("127.0.0.1:0").await?,
        learner: Some(learner),
        serving: ServingArgs::default(),
        token_review: false,
        configz: settings.configz(),
    })?;
    system.serve(api, server.router(), None);
    let engine = system.engine();
    until(|| {
        let status = engine.status();
        let readings = status.metrics.readings.0;
        let known = status.nodes == nodes && status.placed_pods >= nodes * PODS_A_NODE && readings > 0;
        known.then_some(()).ok_or_else(|| {
            format!(
                "of {nodes} nodes {} are known and {readings} have metrics; {} pods placed",
                status.nodes, status.placed_pods
            )
        })
    })
    .await?;
    let answers = ask(address, requests).await;
    controllers.stop().await;
    sandbox.stop();
    system.stop().await?;
    answers
}

/// Two kinds of nodes, and pods that the scheduler places on them first.
fn scenario(nodes: usize) -> String {
    let small = nodes / 2;
    json!({
        "description": "nodes for a measurement",
        "zones": ["zone-a", "zone-b", "zone-c"],
        "nodeClasses": [
            { "name": "small", "count": small, "cpu": 8, "memory": "32Gi" },
            { "name": "large", "count": nodes - small, "cpu": 16, "memory": "64Gi", "taints": ["tier=large:PreferNoSchedule"] },
        ],
        "workloads": [
            { "kind": "Pod", "name": "load", "replicas": nodes * PODS_A_NODE, "cpu": "500m", "memory": "1Gi" },
        ],
    })
    .to_string()
}

/// Asks one request after the other; returns the durations and the size of an answer.
async fn ask(address: SocketAddr, requests: usize) -> anyhow::Result<(Sample, usize)> {
    let mut connection = Connection::open(address).await?;
    let (mut sample, mut bytes) = (Sample::default(), 0);
    for number in 0..requests + requests / 10 {
        let body = json!({
            "pod_name": format!("probe-{number}"),
            "pod_namespace": "default",
            "pod_spec": { "containers": [{
                "name": "app",
                "resources": { "requests": { "cpu": format!("{}m", 100 + number % 400), "memory": "256Mi" } },
            }] },
        });
        let started = Instant::now();
        let (status, answer) = connection.call("POST", "/predict", Bytes::from(body.to_string())).await?;
        let took = started.elapsed();
        if status != StatusCode::OK {
            bail!("request {number} was answered {status} {}", String::from_utf8_lossy(&answer));
        }
        bytes = answer.len();
        if number >= requests / 10 {
            sample.add(took);
        }
    }
    Ok((sample, bytes))
}

/// Waits until nothing is left to wait for; the condition tells what is.
async fn until(condition: impl Fn() -> Result<(), String>) -> anyhow::Result<()> {
    let started = Instant::now();
    while let Err(left) = condition() {
        if started.elapsed() > PATIENCE {
            bail!("the cluster did not get ready: {left}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A folder for the measurement's history, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Folder> {
        let path = std::env::temp_dir().join(format!("augur-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever clears the temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
