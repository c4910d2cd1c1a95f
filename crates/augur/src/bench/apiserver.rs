//! `augur bench apiserver`: pods created over HTTP while watchers follow all of them.
//!
//! Server and clients share the process and its cores, so that the figures include the clients' part.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use augur_apiserver::{ApiServer, ApiServerOptions};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::json;

use super::http1::Connection;
use super::process::{cpu_time, resident_bytes};
use super::sample::{Sample, ms};
use crate::cli::BenchApiserverArgs;
use crate::output;

/// Runs the measurement and prints it.
///
/// # Errors
/// When the server cannot be started or refuses a request.
pub async fn run(args: &BenchApiserverArgs) -> anyhow::Result<()> {
    let server = ApiServer::new(ApiServerOptions::default())
        .map_err(|error| anyhow::anyhow!("cannot set up the API server: {}", error.message))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(augur_apiserver::serve(listener, server.router(), std::future::pending()));

    let seen: Arc<Vec<AtomicUsize>> = Arc::new((0..args.watchers).map(|_| AtomicUsize::new(0)).collect());
    for watcher in 0..args.watchers {
        let body = open_watch(address).await?;
        tokio::spawn(follow(body, seen.clone(), watcher));
    }
    let (memory_before, cpu_before) = (resident_bytes(), cpu_time());
    let started = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..args.clients {
        clients.spawn(create(address, next.clone(), args.pods));
    }
    let (mut latency, mut json_bytes) = (Sample::default(), 0u64);
    while let Some(created) = clients.join_next().await {
        let (sample, bytes) = created??;
        latency.merge(sample);
        json_bytes += bytes;
    }
    let created_in = started.elapsed();
    let deadline = started + created_in + Duration::from_secs(60);
    while seen.iter().any(|seen| seen.load(Ordering::Relaxed) < args.pods) {
        if Instant::now() > deadline {
            bail!("a watcher did not see all pods within a minute of the last creation");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let seen_in = started.elapsed();
    serving.abort();

    let pods = args.pods.max(1) as f64;
    let rate = pods / created_in.as_secs_f64();
    let with_watchers = pods / seen_in.as_secs_f64();
    let json_each = json_bytes as f64 / pods;
    let grown = memory_before.zip(resident_bytes()).map(|(before, after)| after.saturating_sub(before) as f64 / pods);
    let cpu = cpu_before.zip(cpu_time()).map(|(before, after)| (after - before).as_secs_f64() * 1e6 / pods);
    let [p50, p99] = latency.percentiles([0.5, 0.99]);
    output::line(&format!(
        "{} pods created over HTTP by {} clients, followed by {} watchers\n\
         created           {rate:.0}/s   (p50 {}, p99 {})\n\
         seen by all       {with_watchers:.0}/s\n\
         JSON of a pod     {json_each:.0} bytes",
        args.pods,
        args.clients,
        args.watchers,
        ms(p50),
        ms(p99),
    ))?;
    if let Some(grown) = grown {
        output::line(&format!("memory of a pod   {:.0} bytes beyond its JSON", grown - json_each))?;
    }
    if let Some(cpu) = cpu {
        output::line(&format!("CPU of a pod      {cpu:.0} us, clients and watchers included"))?;
    }
    output::line(
        &json!({
            "creates_per_s": rate, "seen_by_all_per_s": with_watchers, "p50_us": p50.as_micros() as u64,
            "p99_us": p99.as_micros() as u64, "json_bytes_per_pod": json_each,
            "rss_bytes_per_pod_beyond_json": grown.map(|grown| grown - json_each), "cpu_us_per_pod": cpu,
            "pods": args.pods, "watchers": args.watchers, "clients": args.clients,
        })
        .to_string(),
    )?;
    Ok(())
}

/// Creates pods until none is left; returns the latencies and the bytes of the objects that came back.
async fn create(address: SocketAddr, next: Arc<AtomicUsize>, pods: usize) -> anyhow::Result<(Sample, u64)> {
    let mut connection = Connection::open(address).await?;
    let (mut sample, mut bytes) = (Sample::default(), 0);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= pods {
            return Ok((sample, bytes));
        }
        let body = Bytes::from(pod(number).to_string());
        let started = Instant::now();
        let (status, answer) = connection.call("POST", "/api/v1/namespaces/default/pods", body).await?;
        sample.add(started.elapsed());
        if status != StatusCode::CREATED {
            bail!("pod {number} was not created: {status} {}", String::from_utf8_lossy(&answer));
        }
        bytes += answer.len() as u64;
    }
}

/// A pod as deployments make them: labels, owner, two containers' worth of fields that people set.
fn pod(number: usize) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("web-{number}"),
            "labels": { "app": "web", "pod-template-hash": "5d59d67564", "tier": "frontend" },
        },
        "spec": {
            "schedulerName": "augur",
            "containers": [{
                "name": "app",
                "image": "registry.example/web:1.27.3",
                "ports": [{ "containerPort": 8080, "name": "http" }],
                "env": [{ "name": "MODE", "value": "production" }],
                "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
                "readinessProbe": { "httpGet": { "path": "/ready", "port": "http" } },
            }],
        },
    })
}

async fn open_watch(address: SocketAddr) -> anyhow::Result<(Connection, hyper::body::Incoming)> {
    let mut connection = Connection::open(address).await?;
    let path = "/api/v1/pods?watch=true&resourceVersion=0&timeoutSeconds=3600";
    let (status, body) = connection.send("GET", path, Bytes::new()).await?;
    if status != StatusCode::OK {
        bail!("the watch was answered {status}");
    }
    Ok((connection, body))
}

/// Counts the events of a watch, one a line, until it ends.
async fn follow(
    (_connection, mut body): (Connection, hyper::body::Incoming),
    seen: Arc<Vec<AtomicUsize>>,
    watcher: usize,
) -> anyhow::Result<()> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.context("the watch broke off")?.into_data() {
            let events = data.iter().filter(|byte| **byte == b'\n').count();
            seen[watcher].fetch_add(events, Ordering::Relaxed);
        }
    }
    Ok(())
}
