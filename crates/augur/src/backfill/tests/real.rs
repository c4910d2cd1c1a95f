//! The same with a real Prometheus, where `AUGUR_PROMETHEUS` and `AUGUR_PROMTOOL` name its programs: a week from `promtool`'s
//! blocks, and the sandbox scraped for a minute while Augur looks at it directly. And the week once more with VictoriaMetrics,
//! where `AUGUR_VICTORIA_METRICS` names that.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use augur_apiserver::controllers::{self, ControllerOptions};
use augur_apiserver::{ApiServer, ApiServerOptions, LocalClient};
use augur_history::{HistoryHandle, Rates, SeriesOf};
use augur_sandbox::{Sandbox, SandboxOptions, Scenario};
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;
use crate::config::Settings;
use crate::engine::Mode;
use crate::serving::ServingArgs;
use crate::system::{System, SystemOptions};
use week::{HOUR, workload};

fn program(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    path
}

/// A running Prometheus, which ends with this.
struct RealPrometheus {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for RealPrometheus {
    fn drop(&mut self) {
        // It may have ended by itself, and then the test says why it failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts one with this configuration over what `fill` puts into its data folder, and waits until it answers.
async fn prometheus(program: PathBuf, config: &str, fill: impl FnOnce(&Path)) -> RealPrometheus {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("prometheus.yml"), folder.path().join("data"));
    std::fs::write(&file, config).unwrap();
    std::fs::create_dir(&data).unwrap();
    fill(&data);
    let port = free_port();
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--log.level=error");
    answering(command, port, folder).await
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts it, and waits until it answers.
async fn answering(mut command: Command, port: u16, folder: tempfile::TempDir) -> RealPrometheus {
    let process = command.stdout(Stdio::null()).spawn().unwrap();
    let running = RealPrometheus { process, url: format!("http://127.0.0.1:{port}"), _folder: folder };
    let client = Prometheus::new(&options(&running.url)).unwrap();
    let began = Instant::now();
    while client.query("vector(1)").await.is_err() {
        assert!(began.elapsed() < PATIENCE, "Prometheus does not answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_of_a_real_prometheus() {
    let (Some(server), Some(promtool)) = (program("AUGUR_PROMETHEUS"), program("AUGUR_PROMTOOL")) else { return };
    // On the grid of steps, so that the week begins where the window does.
    let now = Timestamp::now().as_second().div_euclid(300) * 300;
    let began = now - 7 * DAY;
    let fill = |data: &Path| {
        let page = data.with_file_name("week.om");
        // Samples older than the window too, as there would be.
        std::fs::write(&page, week::open_metrics(began, 7 * DAY, 120)).unwrap();
        let made = Command::new(promtool)
            .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
            .args([&page, data])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let real = prometheus(server, "global: {}\n", fill).await;
    told_by(&real.url, now, began).await;
}

/// Has history told of the week from `began` to `now` by the server at `url`, and checks what it knows then.
async fn told_by(url: &str, now: i64, began: i64) {
    let folder = tempfile::tempdir().unwrap();
    let history = open(folder.path());
    let told =
        Backfill { clock: Clock::manual(Timestamp::from_second(now).unwrap()), ..backfill(&options(url), &history) };
    told.run().await;
    let handle = history.handle();
    handle.tick(UnixMillis(now * 1000));
    until("the week counts", || !week::is_empty(&handle.rates())).await;
    week::check(&handle.rates(), &handle, began);
    let progress = handle.past_progress().unwrap();
    assert!(progress.rejected.is_empty() && progress.warning.is_none(), "{progress:?}");
}

/// Sends a request to a server on this machine and wants its answer to be a success.
fn post(port: u16, path: &str, body: &str) {
    use std::io::Read as _;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{path}: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_of_a_real_victoria_metrics() {
    let Some(server) = program("AUGUR_VICTORIA_METRICS") else { return };
    let now = Timestamp::now().as_second().div_euclid(300) * 300;
    let began = now - 7 * DAY;
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut command = Command::new(server);
    command
        .arg(format!("-storageDataPath={}", folder.path().join("data").display()))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .arg("-loggerLevel=ERROR");
    let real = answering(command, port, folder).await;
    // Its times are milliseconds, those of OpenMetrics seconds.
    let page: String = week::open_metrics(began, 7 * DAY, 120)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}000\n"))
        .collect();
    post(port, "/api/v1/import/prometheus", &page);
    post(port, "/internal/force_flush", "");
    told_by(&real.url, now, began).await;
}

const SCENARIO: &str = r#"
description: three workloads on two nodes
zones: [zone-a]
nodeClasses:
  - { name: node, count: 2, cpu: 4, memory: 8Gi, images: ["registry.example/all:1.0"] }
workloads:
  - { kind: Deployment, name: web, replicas: 3, image: "registry.example/all:1.0", cpu: 500m, memory: 256Mi, load: 0.5 }
  - { kind: Deployment, name: broken, replicas: 1, image: "registry.example/all:1.0", cpu: 100m, memory: 64Mi, archetype: crash-loop, crashAfter: 3s }
  - { kind: Deployment, name: leaky, replicas: 1, image: "registry.example/all:1.0", cpu: 100m, memory: 64Mi, memoryLimit: 96Mi, archetype: leaker, leakPerMinute: 600Mi }
  - { kind: Pod, name: lone, replicas: 2, image: "registry.example/all:1.0", cpu: 50m, memory: 32Mi, load: 0.2, labels: { "app.kubernetes.io/name": lonely } }
"#;

/// Restarts of all containers, as the API shows them.
fn restarts(client: &LocalClient) -> f64 {
    let pods = client.list("pods", "", "", "").unwrap().items;
    let pods = pods.iter().map(|pod| serde_json::from_slice::<Value>(pod).unwrap());
    let statuses = pods.flat_map(|pod| pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default());
    statuses.filter_map(|status| status["restartCount"].as_f64()).sum()
}

/// Restarts and OOM kills of each workload, and pods seen.
fn counts(rates: &Rates) -> Vec<(String, u64, u64, u64)> {
    let mut counts: Vec<_> = rates
        .workloads
        .iter()
        .map(|(key, rates)| (format!("{}/{}", key.kind, key.name), rates.n, rates.restarts, rates.oom_kills))
        .collect();
    counts.sort();
    counts
}

/// Waits until the one value that a query finds is so high.
async fn scraped(client: &Prometheus, query: &str, wanted: f64) {
    let began = Instant::now();
    loop {
        let answer = client.query(query).await.unwrap();
        if answer.series.first().and_then(|series| series.points.last()).is_some_and(|(_, value)| *value >= wanted) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "Prometheus does not see {query} >= {wanted}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Labels and changes of all series of a metric in the last three minutes, for a test that fails.
async fn changes(client: &Prometheus, metric: &str) -> Vec<(String, Vec<(i64, f64)>)> {
    let (end, step) = (Timestamp::now(), Duration::from_secs(1));
    let answer = client.query_range(metric, end - Duration::from_secs(180), end, step).await.unwrap();
    let series = answer.series.into_iter().map(|mut series| {
        series.points.dedup_by_key(|(_, value)| *value);
        (format!("{}/{}", series.label("pod"), series.label("container")), series.points)
    });
    series.collect()
}

fn scrape_config(api: std::net::SocketAddr) -> String {
    let nodes = ["node-01", "node-02"].map(|node| {
        let path = format!("/api/v1/nodes/{node}/proxy/metrics/cadvisor");
        format!("{{targets: ['{api}'], labels: {{__metrics_path__: {path}, node: {node}}}}}")
    });
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: cadvisor\n  static_configs: [{}]\n\
         - job_name: kube-state-metrics\n  honor_labels: true\n  metrics_path: /kube-state-metrics/metrics\n  \
         static_configs: [{{targets: ['{api}']}}]\n",
        nodes.join(", ")
    )
}

fn check_page(promtool: &Path, page: &[u8]) {
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(page).unwrap();
    let output = check.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_that_a_real_prometheus_scraped_is_known_as_if_it_had_been_seen() {
    let (Some(program), Some(promtool)) = (program("AUGUR_PROMETHEUS"), program("AUGUR_PROMTOOL")) else { return };
    let clock = Clock::real();
    let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = ApiServer::new(ApiServerOptions { clock: clock.clone(), ..ApiServerOptions::default() }).unwrap();
    let listener = listen().await;
    let api = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, server.router(), std::future::pending()));
    let real = prometheus(program, &scrape_config(api), |_| {}).await;
    // It takes some seconds to find its targets, and is to be there when the pods come.
    let client = Prometheus::new(&options(&real.url)).unwrap();
    scraped(&client, r#"up{job="kube-state-metrics"}"#, 1.0).await;
    let controllers = controllers::spawn(&server, clock.clone(), ControllerOptions::default());
    let scenario = Scenario::load(SCENARIO).unwrap();
    let sandbox = Sandbox::start(&server, scenario, SandboxOptions::new(clock.clone(), "augur")).unwrap();
    // One history is filled by an engine that watches and reads the Metrics API.
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = crate::kubeconfig::write(
        folder.path(),
        &crate::kubeconfig::Access { server: format!("http://{api}"), token: None, certificate: None },
    )
    .unwrap();
    let settings = Settings::parse("metrics: {collection_interval: 1s}").unwrap();
    let direct = open(folder.path());
    let seen = direct.handle();
    let denials = augur_kube::Denials::default();
    let system = System::start(SystemOptions {
        client: augur_kube::from_kubeconfig(&kubeconfig, Duration::from_secs(10), &denials).await.unwrap(),
        denials,
        clock: clock.clone(),
        config: &settings.config,
        profiles: settings.clone().with_scheduler_names(&["augur".to_owned()]).profiles(),
        extenders: Vec::new(),
        queue: settings.scheduler.queue(),
        seed: 1,
        election: None,
        mode: Mode::Scheduler,
        history: direct,
        scheduler: listen().await,
        learner: None,
        serving: ServingArgs::default(),
        token_review: false,
        configz: settings.configz(),
    })
    .unwrap();
    let of = |handle: &HistoryHandle, name: &str| {
        handle.rates().workloads.get(&workload("default", "Deployment", name)).cloned().unwrap_or_default()
    };
    until("things happen", || {
        let usage = of(&seen, "web").usage.is_some_and(|usage| usage.samples >= 3 * 20);
        usage && of(&seen, "broken").restarts >= 2 && of(&seen, "leaky").oom_kills >= 1
    })
    .await;
    // The world stands still, so that both can be told the same.
    sandbox.stop();
    let local = server.local("test");
    let all = restarts(&local);
    until("the engine has seen all of it", || {
        counts(&seen.rates()).iter().map(|(_, _, restarts, _)| *restarts as f64).sum::<f64>() >= all
    })
    .await;
    scraped(&client, "sum(kube_pod_container_status_restarts_total)", all).await;
    for path in ["/api/v1/nodes/node-01/proxy/metrics/cadvisor", "/kube-state-metrics/metrics"] {
        use tower::ServiceExt as _;
        let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let answer = server.router().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        check_page(&promtool, &axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap());
    }
    // Another one hears of it from Prometheus alone.
    let elsewhere = tempfile::tempdir().unwrap();
    let told = open(elsewhere.path());
    let rate_window = Duration::from_secs(5);
    // What has just been scraped is to lie before the last step.
    let scraped_at = Timestamp::now();
    until("the last scrape is past", || Timestamp::now() - Duration::from_secs(5) > scraped_at).await;
    Backfill {
        clock: clock.clone(),
        step: Duration::from_secs(2),
        window: Duration::from_secs(HOUR as u64),
        ..backfill(&PrometheusOptions { rate_window, ..options(&real.url) }, &told)
    }
    .run()
    .await;
    let heard = told.handle();
    until("it counts", || !week::is_empty(&heard.rates())).await;
    let scraped = changes(&client, "kube_pod_container_status_restarts_total").await;
    assert_eq!(counts(&heard.rates()), counts(&seen.rates()), "workload, pods, restarts, OOM kills; {scraped:#?}");
    let lone = workload("default", "Pod", "app=lone,app.kubernetes.io/name=lonely");
    assert_eq!(heard.rates().workloads[&lone].n, 2, "pods that nobody owns, by their labels");
    let (rates_seen, rates_heard) = (seen.rates(), heard.rates());
    for (name, node) in &rates_seen.nodes {
        let past = &rates_heard.nodes[name];
        assert_eq!((node.restarts, node.oom_kills), (past.restarts, past.oom_kills), "{name}");
        assert_eq!(past.ready_share, Some(1.0), "{name}");
    }
    let usage = |handle: &HistoryHandle| {
        let usage = of(handle, "web").usage.unwrap();
        ("a pod of web".to_owned(), usage.cpu_p50, usage.memory_p50)
    };
    let (mut direct, mut past) = (vec![usage(&seen)], vec![usage(&heard)]);
    drop((seen, heard, told));
    system.stop().await.unwrap();
    controllers.stop().await;
    // Closed, so that the readings of the last minutes are on disk.
    direct.extend(latest_of_nodes(folder.path()));
    past.extend(latest_of_nodes(elsewhere.path()));
    assert_eq!(direct.len(), 3);
    // The Metrics API has a measurement every fifteen seconds, Prometheus the mean of five seconds every two.
    let near = |seen: f64, heard: f64| (seen - heard).abs() <= 0.2 * seen;
    let far = direct.iter().zip(&past).any(|(a, b)| a.0 != b.0 || !near(a.1, b.1) || !near(a.2, b.2));
    assert!(!far && past.len() == 3, "within a fifth: seen {direct:?}, heard {past:?}");
}

/// The latest readings of nodes: name, cores and bytes.
fn latest_of_nodes(folder: &Path) -> Vec<(String, f64, f64)> {
    let history = open(folder);
    let series = history.handle().usage_series(SeriesOf::All, UnixMillis(0)).unwrap();
    let nodes = series.iter().filter(|series| series.pod.is_empty());
    let latest = nodes.map(|series| {
        let last = series.points.last().unwrap();
        (series.node.to_string(), last.cpu.unwrap(), last.memory.unwrap())
    });
    latest.collect()
}
