//! `augur bench cluster`: a scheduler as a process of its own against an API server: latency, CPU and memory of the process while pods
//! arrive, and its rate with all pods waiting beside that of a bare loop of bindings on the same server. Start at [`run`].
//!
//! Any scheduler can be measured (`--scheduler-cmd`), so that two can be compared with the same objects on the same machine.

mod client;
mod objects;
mod subject;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use augur_kube::Denials;
use clap::{Args, ValueEnum};
use http::Method;
use kube::Client;
use serde_json::{Value, json};

use super::sample::{Sample, ms};
use crate::output;
use client::{Watcher, bind, call, each};
use objects::{MARK, NAMESPACE, Owner, node, pod};
use subject::Subject;

/// Requests of the measurement under way at once while it sets up and cleans away.
const WIDTH: usize = 32;
/// Bindings under way at once in the bare loop, as many as Augur has.
const BINDINGS: usize = 128;
/// Without a binding for so long, the scheduler under test is taken for stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// A pod that is bound within so long, while the scheduler under test does not run, is bound by another.
const ALONE: Duration = Duration::from_secs(2);

/// Arguments of `augur bench cluster`.
#[derive(Debug, Args)]
pub struct BenchClusterArgs {
    /// The cluster; without it an embedded API server is started for the measurement.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Nodes to create.
    #[arg(long, default_value_t = 5_000)]
    pub nodes: usize,
    /// Pods that are on the nodes before the scheduler starts.
    #[arg(long, default_value_t = 0)]
    pub existing: usize,
    /// Pods to be scheduled.
    #[arg(long, default_value_t = 10_000)]
    pub pods: usize,
    /// What the pods ask for.
    #[arg(long, value_enum, default_value_t = Workload::Basic)]
    pub workload: Workload,
    /// Connections that create pods.
    #[arg(long, default_value_t = 8)]
    pub clients: usize,
    /// The scheduler to measure, run by `sh` with KUBECONFIG set; without it, this program.
    #[arg(long, value_name = "COMMAND")]
    pub scheduler_cmd: Option<String>,
    /// The name of that scheduler in the pods.
    #[arg(long, default_value = "augur")]
    pub scheduler_name: String,
    /// Measures also on a cluster that has other nodes.
    #[arg(long)]
    pub beside_other_nodes: bool,
    /// Leaves nodes and pods there.
    #[arg(long)]
    pub keep: bool,
}

/// What the pods of `augur bench cluster` ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// CPU and memory.
    Basic,
    /// To be spread over zones, as a must.
    Spread,
    /// The zone of their like.
    Affinity,
    /// Nodes without their like.
    AntiAffinity,
}

/// Runs the measurement and prints it.
///
/// # Errors
/// When the cluster has other nodes, refuses a request, or the scheduler does not bind.
pub async fn run(args: &BenchClusterArgs) -> anyhow::Result<()> {
    // Those that arrive, as many that wait, and the first.
    let nodes = 2 * args.pods + 1;
    if args.workload == Workload::AntiAffinity && nodes > args.nodes {
        bail!("--workload anti-affinity places one pod a node: --pods {} needs --nodes {nodes}", args.pods);
    }
    let folder = std::env::temp_dir().join(format!("augur-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Ended by a signal, a process would leave behind the scheduler that it started, which went on binding pods.
    let measured = tokio::select! {
        measured = measure(args, &folder) => measured,
        asked = crate::system::stop_signal() => {
            asked.and_then(|()| bail!("told to stop; the scheduler is stopped, nodes and pods are left there"))
        }
    };
    if measured.is_ok() {
        // What is left of it hurts nobody.
        let _ = std::fs::remove_dir_all(&folder);
    }
    measured.with_context(|| format!("the logs of the scheduler are in {}", folder.display()))
}

async fn measure(args: &BenchClusterArgs, folder: &Path) -> anyhow::Result<()> {
    let (server, kubeconfig) = match &args.kubeconfig {
        Some(file) => (None, file.clone()),
        None => {
            let (server, kubeconfig) = api_server(folder).await?;
            (Some(server), kubeconfig)
        }
    };
    let client = augur_kube::from_kubeconfig(&kubeconfig, Duration::from_secs(30), &Denials::default()).await?;
    check_nodes(&client, args.beside_other_nodes).await?;
    let bench = Bench { args, folder, kubeconfig: &kubeconfig, client: &client, server: server.as_ref() };
    let figures = bench.figures().await;
    if !args.keep && args.kubeconfig.is_some() {
        clean(&client).await?;
    }
    report(args, &figures?)
}

/// An API server of our own, ready to answer.
async fn api_server(folder: &Path) -> anyhow::Result<(Subject, PathBuf)> {
    // A free port: taken and given back just before it is used.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let access =
        crate::kubeconfig::Access { server: format!("http://127.0.0.1:{port}"), token: None, certificate: None };
    let kubeconfig = crate::kubeconfig::write(folder, &access)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["apiserver", "--port", &port.to_string()]);
    let mut server = Subject::start(&mut command, &folder.join("apiserver.log"))?;
    let client = augur_kube::from_kubeconfig(&kubeconfig, Duration::from_secs(5), &Denials::default()).await?;
    let began = Instant::now();
    while call(&client, Method::GET, "/readyz", "", &Value::Null).await.is_err() {
        if let Some(status) = server.ended()? {
            bail!("the API server ended with {status}");
        }
        if began.elapsed() > PATIENCE {
            bail!("the API server does not answer");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((server, kubeconfig))
}

/// Refuses a cluster whose nodes are not ours.
async fn check_nodes(client: &Client, beside: bool) -> anyhow::Result<()> {
    let path = format!("/api/v1/nodes?limit=1&labelSelector=%21{}", MARK.replace('/', "%2F"));
    let list: Value = serde_json::from_str(&call(client, Method::GET, &path, "", &Value::Null).await?)?;
    let other = list["items"][0]["metadata"]["name"].as_str();
    match other {
        Some(name) if !beside => bail!(
            "the cluster has nodes of its own, {name} among them; this measurement creates nodes and pods, so point it at an \
             empty API server, or say --beside-other-nodes"
        ),
        _ => Ok(()),
    }
}

/// What was measured.
struct Figures {
    list: Duration,
    arrivals: Arrivals,
    backlog: Rate,
    bare: Rate,
    apart: bool,
}

/// Bindings of pods that were all waiting.
struct Rate {
    per_s: f64,
    /// CPU time of a binding in ms: of the API server if it is ours, of the scheduler, and of this process, which watches and, in the
    /// bare loop, binds.
    server_ms: Option<f64>,
    scheduler_ms: f64,
    own_ms: f64,
}

/// What was measured while pods arrived.
struct Arrivals {
    cold_start: Duration,
    pods_per_s: f64,
    latency: [Duration; 2],
    cpu_ms_per_pod: f64,
    peak_mib: f64,
}

/// A measurement under way.
struct Bench<'a> {
    args: &'a BenchClusterArgs,
    folder: &'a Path,
    kubeconfig: &'a Path,
    client: &'a Client,
    /// The embedded API server, if it is that.
    server: Option<&'a Subject>,
}

impl Bench<'_> {
    async fn figures(&self) -> anyhow::Result<Figures> {
        let args = self.args;
        create_nodes(self.client, args.nodes).await?;
        let placed = |index| self.create(&format!("bench-before-{index}"), Owner::Node(index % args.nodes));
        each(args.existing, WIDTH, placed).await?;

        let began = Instant::now();
        for path in ["/api/v1/nodes", "/api/v1/pods"] {
            call(self.client, Method::GET, path, "", &Value::Null).await?;
        }
        let list = began.elapsed();

        let mut watcher = Watcher::start(self.client);
        watcher.until(args.existing, PATIENCE, "the pods that are there").await?;
        let arrivals = self.arrivals(&mut watcher).await?;
        // From here on the API server has a core of its own, if it is ours: what it can do is then the limit, whoever asks.
        let apart = self.server.is_some_and(Subject::set_apart);
        let backlog = self.backlog(&mut watcher).await?;
        let bare = self.bare(&mut watcher).await?;
        Ok(Figures { list, arrivals, backlog, bare, apart })
    }

    fn create<'a>(&'a self, name: &str, owner: Owner<'_>) -> impl Future<Output = anyhow::Result<()>> + use<'a> {
        let body = pod(name, self.args.workload, &owner);
        async move {
            let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
            call(self.client, Method::POST, &path, "application/json", &body).await.map(drop)
        }
    }

    fn start(&self) -> anyhow::Result<Subject> {
        Subject::start(&mut scheduler(self.args, self.folder, self.kubeconfig)?, &self.folder.join("scheduler.log"))
    }

    /// The scheduler starts and has one pod to bind, then pods arrive while it runs.
    async fn arrivals(&self, watcher: &mut Watcher) -> anyhow::Result<Arrivals> {
        let args = self.args;
        let ours = Owner::Scheduler(&args.scheduler_name);
        self.create("bench-first", ours).await?;
        // Else the scheduler under test may be a standby, whose figures say nothing.
        tokio::time::sleep(ALONE).await;
        if watcher.bound("bench-first").is_some() {
            bail!(
                "another scheduler binds the pods of {0}: stop it, or name the scheduler under test otherwise (--scheduler-name)",
                args.scheduler_name
            );
        }
        let started = Instant::now();
        let mut subject = self.start()?;
        subject.until(watcher.until(args.existing + 1, PATIENCE, "the first pod to be bound")).await?;
        let cold_start = watcher.bound("bench-first").map_or(Duration::ZERO, |at| at - started);

        let (cpu_before, bound_before) = (subject.cpu_time(), watcher.count());
        let created: Mutex<HashMap<usize, Instant>> = Mutex::new(HashMap::with_capacity(args.pods));
        let began = Instant::now();
        let creating = each(args.pods, args.clients, |index| {
            let create = self.create(&format!("bench-{index}"), ours);
            let created = &created;
            async move {
                create.await?;
                created.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(index, Instant::now());
                Ok(())
            }
        });
        let all = async {
            creating.await?;
            watcher.until(bound_before + args.pods, PATIENCE, "the pods to be bound").await
        };
        subject.until(all).await?;
        let (mut latency, mut last) = (Sample::default(), began);
        for (index, created) in created.into_inner().unwrap_or_default() {
            if let Some(bound) = watcher.bound(&format!("bench-{index}")) {
                latency.add(bound.saturating_duration_since(created));
                last = last.max(bound);
            }
        }
        // What it tells of its bindings afterwards is part of what they cost.
        subject.quiet().await;
        let cpu = subject.cpu_time().saturating_sub(cpu_before);
        let pods = args.pods.max(1) as f64;
        Ok(Arrivals {
            cold_start,
            pods_per_s: pods / (last - began).as_secs_f64().max(1e-9),
            latency: latency.percentiles([0.5, 0.99]),
            cpu_ms_per_pod: cpu.as_secs_f64() * 1e3 / pods,
            peak_mib: subject.peak_bytes() as f64 / f64::from(1 << 20),
        })
    }

    /// Bindings a second of a scheduler that starts with all pods waiting, from its first binding to its last.
    async fn backlog(&self, watcher: &mut Watcher) -> anyhow::Result<Rate> {
        let before = watcher.count();
        let name = |index| format!("bench-backlog-{index}");
        let ours = Owner::Scheduler(&self.args.scheduler_name);
        each(self.args.pods, WIDTH, |index| self.create(&name(index), ours)).await?;
        let mut subject = self.start()?;
        // What it takes to list the cluster first is no part of a binding.
        subject.until(watcher.until(before + 1, PATIENCE, "the first waiting pod to be bound")).await?;
        let cpu = Cpu::now(self.server, Some(&subject));
        subject.until(watcher.until(before + self.args.pods, PATIENCE, "the waiting pods to be bound")).await?;
        let cpu = Cpu::now(self.server, Some(&subject)).since(&cpu);
        Ok(cpu.rate(watcher.rate((0..self.args.pods).map(name)), self.args.pods))
    }

    /// Bindings a second of a loop that has nothing else to do, on as many pods.
    async fn bare(&self, watcher: &mut Watcher) -> anyhow::Result<Rate> {
        let (before, args) = (watcher.count(), self.args);
        let name = |index| format!("bench-bare-{index}");
        each(args.pods, WIDTH, |index| self.create(&name(index), Owner::Scheduler("nobody"))).await?;
        let cpu = Cpu::now(self.server, None);
        each(args.pods, BINDINGS, |index| async move {
            bind(self.client, &name(index), &format!("bench-node-{}", index % args.nodes)).await
        })
        .await?;
        watcher.until(before + args.pods, PATIENCE, "the bare bindings to be seen").await?;
        let cpu = Cpu::now(self.server, None).since(&cpu);
        Ok(cpu.rate(watcher.rate((0..args.pods).map(name)), args.pods))
    }
}

/// CPU time used so far, or between two moments.
struct Cpu {
    server: Option<Duration>,
    scheduler: Duration,
    own: Duration,
}

impl Cpu {
    fn now(server: Option<&Subject>, scheduler: Option<&Subject>) -> Cpu {
        Cpu {
            server: server.map(Subject::cpu_time),
            scheduler: scheduler.map_or(Duration::ZERO, Subject::cpu_time),
            own: subject::own_cpu_time(),
        }
    }

    fn since(&self, before: &Cpu) -> Cpu {
        let (now, then) = (self.server, before.server);
        Cpu {
            server: now.zip(then).map(|(now, then)| now.saturating_sub(then)),
            scheduler: self.scheduler.saturating_sub(before.scheduler),
            own: self.own.saturating_sub(before.own),
        }
    }

    fn rate(&self, per_s: f64, bindings: usize) -> Rate {
        let of_one = |all: Duration| all.as_secs_f64() * 1e3 / bindings.max(1) as f64;
        Rate {
            per_s,
            server_ms: self.server.map(of_one),
            scheduler_ms: of_one(self.scheduler),
            own_ms: of_one(self.own),
        }
    }
}

async fn create_nodes(client: &Client, nodes: usize) -> anyhow::Result<()> {
    each(nodes, WIDTH, |index| async move {
        call(client, Method::POST, "/api/v1/nodes", "application/json", &node(index)).await?;
        // Admission taints a new node until a controller, which need not run here, finds it ready.
        let path = format!("/api/v1/nodes/bench-node-{index}");
        let ready = json!({ "spec": { "taints": null } });
        call(client, Method::PATCH, &path, "application/merge-patch+json", &ready).await.map(drop)
    })
    .await
}

fn scheduler(args: &BenchClusterArgs, folder: &Path, kubeconfig: &Path) -> anyhow::Result<Command> {
    if let Some(line) = &args.scheduler_cmd {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("KUBECONFIG", kubeconfig);
        return Ok(command);
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("scheduler").arg("--kubeconfig").arg(kubeconfig);
    command.arg("--data-dir").arg(folder.join("data"));
    command.args(["--scheduler-name", &args.scheduler_name, "--host", "127.0.0.1", "--port", "0"]);
    Ok(command)
}

/// Deletes what was created.
async fn clean(client: &Client) -> anyhow::Result<()> {
    let marked = format!("labelSelector={}", MARK.replace('/', "%2F"));
    for path in [
        format!("/api/v1/namespaces/{NAMESPACE}/pods?{marked}&gracePeriodSeconds=0"),
        format!("/api/v1/nodes?{marked}"),
    ] {
        call(client, Method::DELETE, &path, "", &Value::Null).await?;
    }
    Ok(())
}

fn report(args: &BenchClusterArgs, figures: &Figures) -> anyhow::Result<()> {
    let Figures { list, arrivals, backlog, bare, apart } = figures;
    let Arrivals { cold_start, pods_per_s, latency: [p50, p99], cpu_ms_per_pod, peak_mib } = arrivals;
    let beyond = cold_start.saturating_sub(*list);
    let (backlog_per_s, bare_per_s) = (backlog.per_s, bare.per_s);
    let share = backlog_per_s / bare_per_s * 100.0;
    let server = |rate: &Rate| rate.server_ms.map_or(String::new(), |ms| format!("API server {ms:.3}, "));
    let what = args.scheduler_cmd.as_deref().unwrap_or("augur scheduler");
    let workload = args.workload.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let where_from = if *apart { "the API server on a core of its own" } else { "all on the same cores" };
    output::line(&format!(
        "{} pods ({workload}) on {} nodes with {} pods there before, by: {what}\n\
         as they arrive    {pods_per_s:.0}/s   (creation to binding p50 {}, p99 {})\n\
         CPU of a pod      {cpu_ms_per_pod:.3} ms\n\
         peak memory       {peak_mib:.0} MiB\n\
         start to binding  {:.2} s, {:.2} s beyond the {:.2} s of listing nodes and pods\n\
         with all waiting  {backlog_per_s:.0}/s, {share:.0} % of the {bare_per_s:.0}/s of a bare loop of bindings ({where_from})\n\
         CPU of a binding  {}scheduler {:.3}, measurement {:.3} ms; in the loop: {}loop and measurement {:.3} ms",
        args.pods,
        args.nodes,
        args.existing,
        ms(*p50),
        ms(*p99),
        cold_start.as_secs_f64(),
        beyond.as_secs_f64(),
        list.as_secs_f64(),
        server(backlog),
        backlog.scheduler_ms,
        backlog.own_ms,
        server(bare),
        bare.own_ms,
    ))?;
    output::line(
        &json!({
            "scheduler": what, "workload": workload, "nodes": args.nodes, "existing": args.existing, "pods": args.pods,
            "pods_per_s": pods_per_s, "backlog_per_s": backlog_per_s, "bare_bindings_per_s": bare_per_s,
            "backlog_scheduler_cpu_ms": backlog.scheduler_ms, "backlog_own_cpu_ms": backlog.own_ms,
            "backlog_server_cpu_ms": backlog.server_ms, "bare_own_cpu_ms": bare.own_ms, "bare_server_cpu_ms": bare.server_ms,
            "server_apart": apart, "p50_ms": p50.as_secs_f64() * 1e3,
            "p99_ms": p99.as_secs_f64() * 1e3, "cpu_ms_per_pod": cpu_ms_per_pod, "peak_rss_mib": peak_mib,
            "cold_start_s": cold_start.as_secs_f64(), "list_s": list.as_secs_f64(),
            "cold_start_beyond_list_s": beyond.as_secs_f64(),
        })
        .to_string(),
    )?;
    Ok(())
}
