//! `augur up --trace`: a public trace through the same API, over HTTP, with a progress bar and a summary.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use augur_apiserver::ApiServer;
use augur_clock::Clock;
use augur_sandbox::trace::openb::Trace;
use augur_sandbox::trace::{self, Pace, PodSink, Progress, ReplayOptions, Summary};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::cli::{Speed, UpArgs};
use crate::engine::EngineHandle;
use crate::output;

/// Requests at a time at full speed: enough to keep two cores busy, few enough that pods arrive nearly in trace order.
const IN_FLIGHT: usize = 16;

/// Reads the trace that the arguments name.
///
/// # Errors
/// The first thing that is not understood, with file, line and column.
pub fn read(args: &UpArgs) -> anyhow::Result<Arc<Trace>> {
    let (Some(nodes), Some(pods)) = (&args.nodes, &args.pods) else {
        anyhow::bail!("--trace needs --nodes NODES.csv and --pods PODS.csv");
    };
    Ok(Arc::new(trace::openb::read(nodes, pods)?))
}

/// Feeds the trace and prints what became of it.
///
/// # Errors
/// When the API refuses a request.
pub async fn feed(
    trace: Arc<Trace>,
    server: &ApiServer,
    api: (SocketAddr, Option<String>),
    args: &UpArgs,
    clock: &Clock,
    engine: &EngineHandle,
) -> anyhow::Result<()> {
    wait_for_nodes(engine, trace.nodes.len()).await;
    let options = ReplayOptions {
        clock: clock.clone(),
        pace: match args.speed {
            Some(Speed::Times(_)) => Pace::Timed,
            Some(Speed::Max) | None => Pace::Full { in_flight: IN_FLIGHT },
        },
        namespace: "default".to_owned(),
        scheduler_name: "augur".to_owned(),
    };
    let progress = Arc::new(Progress::default());
    let sink = Arc::new(HttpSink::new(api.0, api.1));
    let client = server.local("augur-trace");
    let replay = trace::replay(&trace, sink, &client, &options, progress.clone());
    let summary = if args.quiet {
        replay.await
    } else {
        tokio::select! {
            summary = replay => summary,
            never = draw(&progress) => match never {},
        }
    }?;
    if !args.quiet {
        report(&summary, engine)?;
    }
    Ok(())
}

/// The figures are about placing pods, so the clock starts when the scheduler knows the nodes.
async fn wait_for_nodes(engine: &EngineHandle, nodes: usize) {
    while engine.status().nodes < nodes || !engine.status().ready {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Draws the bar until it is dropped.
async fn draw(progress: &Progress) -> std::convert::Infallible {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} pods decided · {msg} · {eta} left") {
        bar.set_style(style);
    }
    loop {
        let (placed, unschedulable) =
            (progress.placed.load(Ordering::Relaxed), progress.unschedulable.load(Ordering::Relaxed));
        bar.set_length(progress.total.load(Ordering::Relaxed) as u64);
        bar.set_position((placed + unschedulable) as u64);
        bar.set_message(format!("{placed} placed, {unschedulable} unschedulable"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn report(summary: &Summary, engine: &EngineHandle) -> std::io::Result<()> {
    let status = engine.status();
    let (decision, binding) = (status.decision_latency, status.binding_latency);
    let ms = |duration: Duration| format!("{:.2} ms", duration.as_secs_f64() * 1e3);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    output::line(&format!(
        "\n{} nodes, {} pods in {:.2} s: {:.0} pods/s\n\
         \x20 placed        {} (nobody can place more than {} at once{})\n\
         \x20 unplaced      {}",
        summary.nodes,
        summary.pods,
        summary.wall.as_secs_f64(),
        summary.pods_per_second(),
        summary.placed,
        summary.bound,
        summary.reference.map(|n| format!("; one by one in trace order: {n}")).unwrap_or_default(),
        summary.pods - summary.placed,
    ))?;
    for (reasons, pods) in &summary.unplaced {
        output::line(&format!("    {pods:>6}  {reasons}"))?;
    }
    output::line(&format!(
        "\x20 requested     cpu {}, memory {}, gpu {}\n\
         \x20 decision      p50 {}, p99 {}\n\
         \x20 seen to bound p50 {}, p99 {}",
        percent(summary.utilisation.cpu),
        percent(summary.utilisation.memory),
        percent(summary.utilisation.gpu),
        ms(decision.p50),
        ms(decision.p99),
        ms(binding.p50),
        ms(binding.p99),
    ))?;
    match &summary.findings {
        None => Ok(()),
        Some(findings) if findings.is_clean() => {
            output::line("\x20 check         every unplaced pod fits no node; no node holds more than it has")
        }
        Some(findings) => output::line(&format!(
            "\x20 check         FAILED: {} pods that fit were left, {} nodes overcommitted, {} pods misplaced; first: {:?}",
            findings.fits_left.len(),
            findings.overcommitted.len(),
            findings.misplaced.len(),
            findings.fits_left.first().or(findings.overcommitted.first()).or(findings.misplaced.first()),
        )),
    }
}

/// Pods into the API over HTTP, as any client's.
struct HttpSink {
    client: Client<HttpConnector, Full<bytes::Bytes>>,
    server: String,
    token: Option<String>,
}

impl HttpSink {
    fn new(server: SocketAddr, token: Option<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        HttpSink { client, server: format!("http://{server}"), token }
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<(StatusCode, bytes::Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::USER_AGENT, "augur-trace");
        if let Some(token) = &self.token {
            request = request.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let answer = self.client.request(request.body(Full::new(body.into()))?).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await.context("reading the answer")?.to_bytes()))
    }
}

impl PodSink for HttpSink {
    async fn create(&self, namespace: &str, pod: Value) -> Result<(), String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        match self.call(Method::POST, &path, pod.to_string().into_bytes()).await {
            Ok((status, _)) if status.is_success() => Ok(()),
            Ok((status, body)) => Err(format!("{status} {}", String::from_utf8_lossy(&body))),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    async fn delete(&self, namespace: &str, name: &str) -> Result<(), String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        match self.call(Method::DELETE, &path, Vec::new()).await {
            Ok((status, _)) if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            Ok((status, body)) => Err(format!("{status} {}", String::from_utf8_lossy(&body))),
            Err(error) => Err(format!("{error:#}")),
        }
    }
}
