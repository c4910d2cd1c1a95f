//! The main job from outside: the binary is started, real `kubectl` and `curl` speak to it, and it is stopped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running `augur up`, killed when dropped.
struct System {
    process: Child,
    data: tempfile::TempDir,
    scheduler: String,
    learner: String,
}

impl System {
    /// Of a scenario by name, or of one written out in YAML.
    fn start(scenario: &str) -> System {
        Self::start_by(&[], scenario)
    }

    /// By a command that begins with these words.
    fn start_by(by: &[&str], scenario: &str) -> System {
        let data = tempfile::tempdir().unwrap();
        let mut named = PathBuf::from(scenario);
        if scenario.contains('\n') {
            named = data.path().join("scenario.yaml");
            std::fs::write(&named, scenario).unwrap();
        }
        let [api, scheduler, learner] = free_ports();
        let words = [by, &[env!("CARGO_BIN_EXE_augur"), "up", "--quiet", "--scenario"]].concat();
        let process = Command::new(words[0])
            .args(&words[1..])
            .arg(named)
            .arg("--data-dir")
            .arg(data.path())
            .args(["--api-port", &api.to_string()])
            .args(["--port", &scheduler.to_string()])
            .args(["--learner-port", &learner.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let url = |port| format!("http://127.0.0.1:{port}");
        let mut system = System { process, data, scheduler: url(scheduler), learner: url(learner) };
        let ready = format!("{}/readyz", system.scheduler);
        wait_until("augur up is ready", || {
            assert!(system.process.try_wait().unwrap().is_none(), "augur up ended early");
            Command::new(env!("CARGO_BIN_EXE_augur"))
                .args(["health", "--url", &ready])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        });
        system
    }

    fn kubectl(&self, kubectl: &Path, args: &[&str]) -> Result<String, String> {
        let output = Command::new(kubectl)
            .arg("--kubeconfig")
            .arg(self.data.path().join("kubeconfig"))
            .args(args)
            .env("HOME", self.data.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    /// Interrupts the program as Ctrl-C does; tells how long it took to end, and whether it ended well.
    fn interrupt(mut self) -> (Duration, bool) {
        let asked = Instant::now();
        let sent = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let mut ended = None;
        wait_until("augur up has ended", || {
            ended = self.process.try_wait().unwrap();
            ended.is_some()
        });
        (asked.elapsed(), ended.is_some_and(|status| status.success()))
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// The `kubectl` to test with: `AUGUR_KUBECTL`, or the one on the path.
fn find_kubectl() -> Option<PathBuf> {
    let candidate = std::env::var_os("AUGUR_KUBECTL").map_or_else(|| PathBuf::from("kubectl"), PathBuf::from);
    let works = Command::new(&candidate).args(["version", "--client"]).output().is_ok_and(|out| out.status.success());
    works.then_some(candidate)
}

#[test]
fn kubectl_works_as_its_users_expect() {
    let Some(kubectl) = find_kubectl() else {
        println!("skipped: no kubectl; install one or set AUGUR_KUBECTL");
        return;
    };
    let system = System::start(STEADY);
    let run = |args: &[&str]| system.kubectl(&kubectl, args);
    let must = |args: &[&str], wanted: &[&str]| {
        let text = run(args).unwrap_or_else(|error| panic!("kubectl {}: {error}", args.join(" ")));
        for part in wanted {
            assert!(text.contains(part), "kubectl {}: no {part:?} in\n{text}", args.join(" "));
        }
        text
    };

    must(&["get", "nodes"], &["NAME", "STATUS", "ROLES", "AGE", "VERSION", "Ready"]);
    must(&["get", "nodes", "-o", "wide"], &["INTERNAL-IP", "OS-IMAGE"]);
    must(&["api-resources"], &["deployments", "deploy", "apps/v1"]);
    must(&["explain", "pod.spec.containers"], &["FIELDS", "image"]);
    must(&["explain", "deployment", "--recursive"], &["replicas", "template"]);

    must(&["create", "deployment", "web", "--image=web:1", "--replicas=3"], &["created"]);
    must(&["rollout", "status", "deployment/web", "--timeout=90s"], &["successfully rolled out"]);
    must(&["get", "deployments"], &["READY", "UP-TO-DATE", "AVAILABLE", "3/3"]);
    must(&["get", "pods", "-l", "app=web", "-o", "wide"], &["READY", "RESTARTS", "NODE", "1/1", "Running"]);
    must(&["get", "all"], &["deployment.apps/web", "replicaset.apps/web"]);
    must(&["describe", "deployment", "web"], &["RollingUpdateStrategy", "ScalingReplicaSet"]);
    must(&["scale", "deployment/web", "--replicas=5"], &["scaled"]);
    must(&["rollout", "status", "deployment/web", "--timeout=90s"], &["successfully rolled out"]);
    must(&["wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=60s"], &["condition met"]);

    let pod = must(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}"], &["web-"]);
    let node = must(&["get", "pod", &pod, "-o", "jsonpath={.spec.nodeName}"], &[]);
    must(&["describe", "pod", &pod], &["Scheduled", "Successfully assigned", &node]);
    must(&["describe", "node", &node], &["Allocatable", "Non-terminated Pods", &pod]);
    let logs = run(&["logs", &pod]).unwrap_or_else(|error| error);
    assert!(logs.contains("simulated"), "{logs}");
    wait_until("kubectl top has figures", || run(&["top", "nodes"]).is_ok_and(|text| text.contains(&node)));
    wait_until("kubectl top has pods", || run(&["top", "pods"]).is_ok_and(|text| text.contains(&pod)));

    must(&["cordon", &node], &["cordoned"]);
    must(&["get", "node", &node], &["SchedulingDisabled"]);
    must(&["drain", &node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s"], &["drained"]);
    wait_until("the drained pods run elsewhere", || {
        let places = must(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}"], &[]);
        places.split_whitespace().count() == 5 && !places.split_whitespace().any(|place| place == node)
    });
    must(&["uncordon", &node], &["uncordoned"]);
    must(&["taint", "node", &node, "dedicated=test:NoSchedule"], &["tainted"]);
    must(&["label", "node", &node, "tier=test"], &["labeled"]);
    must(&["get", "nodes", "-l", "tier=test"], &[&node]);

    let manifest = system.data.path().join("manifest.yaml");
    std::fs::write(&manifest, APPLIED).unwrap();
    let manifest = manifest.to_string_lossy().into_owned();
    must(&["apply", "-f", &manifest], &["deployment.apps/applied created", "configmap/applied created"]);
    must(&["apply", "-f", &manifest], &["deployment.apps/applied unchanged", "configmap/applied unchanged"]);
    must(
        &["apply", "--server-side", "--field-manager=test", "--force-conflicts", "-f", &manifest],
        &["serverside-applied"],
    );
    must(&["rollout", "status", "deployment/applied", "--timeout=90s"], &["successfully rolled out"]);
    must(&["set", "image", "deployment/applied", "app=app:2"], &["image updated"]);
    must(&["rollout", "status", "deployment/applied", "--timeout=90s"], &["successfully rolled out"]);
    must(&["rollout", "undo", "deployment/applied"], &["rolled back"]);
    let refused = run(&["apply", "-f", &write_broken(&system)]).unwrap_err();
    assert!(refused.contains("unknown field \"spec.replicaz\""), "{refused}");

    must(&["create", "job", "once", "--image=job:1"], &["created"]);
    must(&["get", "jobs"], &["COMPLETIONS", "once"]);
    must(&["run", "stuck", "--image=app:1", "--overrides", STUCK], &["created"]);
    wait_until("the event tells why", || {
        run(&["describe", "pod", "stuck"])
            .is_ok_and(|text| text.contains("nodes are available") && text.contains("Insufficient cpu"))
    });
    must(&["get", "events"], &["FailedScheduling", "Scheduled"]);
    must(&["get", "leases", "-n", "kube-node-lease"], &["HOLDER"]);
    must(&["delete", "deployment", "web", "applied"], &["deleted"]);
    wait_until("the dependents are gone", || {
        run(&["get", "pods", "-l", "app=web"]).is_ok_and(|text| text.contains("No resources found"))
    });
    must(&["create", "namespace", "team"], &["created"]);
    must(&["create", "configmap", "settings", "-n", "team", "--from-literal=a=b"], &["created"]);
    must(&["delete", "namespace", "team", "--timeout=60s"], &["deleted"]);
}

/// Nodes with no trouble of their own and every image there already: how long a rollout takes is then kubectl's and the
/// controllers' affair, not that of a pull over a simulated network that is down.
const STEADY: &str = "
zones: [a, b]
nodeClasses:
- {name: general, count: 4, cpu: 8, memory: 16Gi, images: [\"web:1\", \"app:1\", \"app:2\", \"job:1\"]}
";

const STUCK: &str =
    r#"{"spec":{"containers":[{"name":"stuck","image":"app:1","resources":{"requests":{"cpu":"4000"}}}]}}"#;

const APPLIED: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: applied
spec:
  replicas: 2
  selector: {matchLabels: {app: applied}}
  template:
    metadata: {labels: {app: applied}}
    spec:
      containers:
      - name: app
        image: app:1
        resources: {requests: {cpu: 100m, memory: 64Mi}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: applied}
data: {key: value}
";

fn write_broken(system: &System) -> String {
    let path = system.data.path().join("broken.yaml");
    std::fs::write(&path, APPLIED.replace("replicas:", "replicaz:")).unwrap();
    path.to_string_lossy().into_owned()
}

const MANY: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: many}
spec:
  replicas: 3
  template:
    metadata: {labels: {app: many}}
    spec: {containers: [{name: app, resources: {requests: {cpu: 10m, memory: 16Mi}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: giant}
spec: {containers: [{name: app, resources: {requests: {cpu: 4k}}}]}
";

#[test]
fn kubectl_augur_answers_as_kubectl_does() {
    let system = System::start("small");
    let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-augur"));
    let output = |url: &str, args: &[&str]| {
        // As `kubectl augur …` where there is a kubectl, which finds the plugin on the path.
        let kubectl = find_kubectl();
        let mut command = Command::new(kubectl.as_deref().unwrap_or(plugin));
        command.args(kubectl.iter().map(|_| "augur")).args(args);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", plugin.parent().unwrap().display()));
        command.env("AUGUR_URL", url).env("HOME", system.data.path()).env_remove("KUBECONFIG").stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let must = |args: &[&str], wanted: &[&str]| {
        let (well, text, error) = output(&system.scheduler, args);
        assert!(well, "kubectl augur {}: {error}", args.join(" "));
        for part in wanted {
            assert!(text.contains(part), "kubectl augur {}: no {part:?} in\n{text}", args.join(" "));
        }
        text
    };
    let must_not = |url: &str, args: &[&str], wanted: &[&str]| {
        let (well, _, error) = output(url, args);
        let told = wanted.iter().all(|part| error.contains(part));
        assert!(!well && told, "kubectl augur {}: {error}", args.join(" "));
    };
    let nodes = must(&["nodes"], &["NAME", "STATUS", "CPU-REQ", "STABILITY", "Ready"]);
    let node = nodes.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!(must(&["nodes", &node, "--no-headers"], &[&node]).lines().count(), 1);
    must(&["nodes", "-o", "wide"], &["TAINTS", "FAILURE"]);
    must(&["nodes", "-o", "yaml"], &["nodes:", "allocatable:"]);

    wait_until("something was decided", || {
        output(&system.scheduler, &["decisions", "-A", "--no-headers"]).1.contains('/')
    });
    must(&["decisions", "-A"], &["NAMESPACE", "AGE", "POD", "NODE", "FITTED", "OUTCOME"]);
    let json = must(&["decisions", "-A", "-o", "json", "--limit", "1"], &["decision_id"]);
    let field =
        |name: &str| json.split(&format!("\"{name}\": \"")).nth(1).unwrap().split('"').next().unwrap().to_owned();
    let pod = format!("{}/{}", field("pod_namespace"), field("pod_name"));
    must(&["explain", &pod], &["Name:", "Decision:", "Nodes if it were decided now:", "FITS", "What would change it:"]);
    let workload = field("workload");
    // Rates are shown every few seconds.
    wait_until("the workload is known", || {
        let name = workload.rsplit('/').next().unwrap();
        output(&system.scheduler, &["history", "-A"]).1.contains(name)
    });
    must(&["history", "-A"], &["NAMESPACE", "PODS", "FAILURE"]);
    let (namespace, resource) = workload.split_once('/').unwrap();
    must(&["history", resource, "-n", namespace], &["Name:", "Failure:", "POD", "AFTER-1H"]);
    must(&["history", &format!("pod/{}", field("pod_name")), "-n", namespace], &["NODE", "OUTCOME"]);

    let manifest = system.data.path().join("many.yaml");
    std::fs::write(&manifest, MANY).unwrap();
    let manifest = manifest.to_string_lossy().into_owned();
    must(
        &["what-if", "-f", &manifest],
        &["deployment/many", "pod/giant", "Insufficient cpu", "3 of 4 pods", "nothing was changed"],
    );
    must(&["what-if", "-f", &manifest, "--replicas", "5", "-o", "wide"], &["many-4", "5 of 10 pods"]);
    must(&["what-if", "--drain", &node], &[&format!("node/{node} drained"), "nothing was changed"]);
    must(&["nodes", &node, "--no-headers"], &["Ready  "]);
    must(&["shadow", "report"], &["Decisions of other schedulers:"]);
    must(&["model", "status"], &["Has a say:"]);
    must(&["completion", "bash"], &["complete -F", "kubectl-augur"]);
    must(&["man"], &[".TH kubectl-augur"]);

    must_not(&system.scheduler, &["explain", "nobody"], &["\"nobody\"", "-n"]);
    must_not(&system.scheduler, &["what-if", "--drain", "nowhere"], &["nowhere"]);
    must_not(&system.scheduler, &["what-if", "-f", "/no/such/file"], &["/no/such/file"]);
    let [closed] = free_ports();
    must_not(&format!("http://127.0.0.1:{closed}"), &["nodes"], &[&closed.to_string(), "--server-url", "AUGUR_URL"]);

    let history = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_augur")).arg("history").args(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    assert!(history(&["nodes", "--url", &system.scheduler]).0.contains(&node));
    assert!(history(&["workloads", "--url", &system.scheduler]).0.contains("FAILURE"));
    assert!(history(&["pod", &pod, "--url", &system.scheduler]).0.contains("OUTCOME"));
    // The folder is in use; that says how to ask whoever uses it.
    let folder = system.data.path().to_string_lossy().into_owned();
    let (_, error) = history(&["nodes", "--data-dir", &folder]);
    assert!(error.contains("in use") && error.contains("--url"), "{error}");
}

#[test]
fn every_call_of_the_contract_answers_and_an_interrupt_stops_cleanly() {
    let system = System::start("small");
    if Command::new("curl").arg("--version").output().is_ok() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/test_system.sh");
        let mut command = Command::new(script);
        command.args([&system.scheduler, &system.learner]).env("AUGUR_PLUGIN", env!("CARGO_BIN_EXE_kubectl-augur"));
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{text}");
        assert!(output.status.success(), "{text}");
    } else {
        println!("skipped: no curl");
    }
    let (took, well) = system.interrupt();
    assert!(well, "exit status after an interrupt");
    println!("stopped in {took:?}");
}

/// A disk without room: the process may write no file beyond its first bytes, which is what `RLIMIT_FSIZE` is for.
#[test]
fn a_full_disk_degrades_history_and_nothing_else() {
    if !Command::new("prlimit").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no prlimit (util-linux)");
        return;
    }
    // Writing beyond the limit is to be an error, as on a full disk, and not a signal. The log is a file on the same disk.
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    std::fs::write(&log, [b'\n'; 8192]).unwrap();
    let command = format!("trap '' XFSZ; exec \"$0\" \"$@\" 2>>'{}'", log.display());
    let system = System::start_by(&["sh", "-c", &command], "small");
    let limit = |bytes: &str| {
        let pid = system.process.id().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status().unwrap();
        assert!(set.success());
    };
    let get = |path: &str| {
        let url = format!("{}{path}", system.scheduler);
        let output = Command::new(env!("CARGO_BIN_EXE_augur")).args(["health", "--url", &url]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let health = || serde_json::from_str::<serde_json::Value>(&get("/health")).unwrap_or_default();
    let scheduled = || {
        let text = get("/metrics");
        let counts = text.lines().filter(|line| {
            line.starts_with("scheduler_schedule_attempts_total") && line.contains("result=\"scheduled\"")
        });
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let history = || health()["checks"]["history"].clone();

    wait_until("history is written", || history()["status"] == "healthy" && scheduled() > 0.0);
    limit("4096");
    wait_until("health tells of it", || history()["status"] == "degraded");
    let told = history()["message"].as_str().unwrap().to_owned();
    assert!(told.contains("cannot be written") && told.contains("full"), "{told}");
    assert_eq!(health()["status"], "degraded");
    let before = scheduled();
    wait_until("pods are scheduled all the same", || scheduled() > before + 3.0);
    limit("unlimited");
    wait_until("history is written again", || {
        history()["message"].as_str().is_some_and(|message| !message.contains("cannot be written"))
    });
    wait_until("decisions are remembered again", || !get("/api/v1/decisions?since=10s&limit=1").contains("[]"));
    let (_, well) = system.interrupt();
    assert!(well, "exit status after an interrupt");
}

#[test]
fn a_port_in_use_is_named_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = tempfile::tempdir().unwrap();
    for flag in ["--api-port", "--port", "--learner-port"] {
        let [a, b, c] = free_ports();
        let mut command = Command::new(env!("CARGO_BIN_EXE_augur"));
        command.args(["up", "--scenario", "small", "--quiet", "--data-dir"]).arg(data.path());
        for (other, free) in [("--api-port", a), ("--port", b), ("--learner-port", c)] {
            let number = if other == flag { port.clone() } else { free.to_string() };
            command.args([other, &number]);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(&port) && text.contains(flag), "{text}");
    }
}
