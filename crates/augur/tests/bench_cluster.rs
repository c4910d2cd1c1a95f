//! `augur bench cluster` from outside: whose bindings it measures, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn augur() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_augur"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// An API server, once it answers, and a kubeconfig file for it.
fn api_server(folder: &Path) -> (Running, std::path::PathBuf) {
    let port = free_port();
    let server = Running(augur().args(["apiserver", "--port", &port]).spawn().unwrap());
    let url = format!("http://127.0.0.1:{port}");
    wait_until("the API server is ready", || {
        augur().args(["health", "--url", &format!("{url}/readyz")]).status().unwrap().success()
    });
    let kubeconfig = folder.join("kubeconfig");
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, users: [],\n\
         clusters: [{{name: c, cluster: {{server: '{url}'}}}}], contexts: [{{name: c, context: {{cluster: c, user: ''}}}}]}}\n"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    (server, kubeconfig)
}

fn bench(kubeconfig: &Path, scheduler: &str) -> Command {
    let mut command = augur();
    command.args(["bench", "cluster", "--nodes", "1", "--pods", "1", "--scheduler-cmd", scheduler, "--kubeconfig"]);
    command.arg(kubeconfig);
    command
}

#[test]
fn pods_that_another_scheduler_binds_are_no_measurement() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, kubeconfig) = api_server(folder.path());
    let port = free_port();
    let mut other = augur();
    other.args(["scheduler", "--host", "127.0.0.1", "--port", &port, "--leader-elect=false", "--kubeconfig"]);
    other.arg(&kubeconfig).arg("--data-dir").arg(folder.path().join("data"));
    let _other = Running(other.spawn().unwrap());
    wait_until("the other scheduler is ready", || {
        augur().args(["health", "--url", &format!("http://127.0.0.1:{port}/readyz")]).status().unwrap().success()
    });
    let told = bench(&kubeconfig, "sleep 600").stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&told.stderr);
    assert!(!told.status.success() && text.contains("another scheduler binds the pods of augur"), "{text}");
}

#[test]
fn the_scheduler_under_test_ends_with_a_measurement_that_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, kubeconfig) = api_server(folder.path());
    let mark = folder.path().join("pid");
    // It binds nothing, and tells its number.
    let scheduler = format!("echo $$ > '{0}.new'; mv '{0}.new' '{0}'; exec sleep 600", mark.display());
    let mut measuring = Running(bench(&kubeconfig, &scheduler).spawn().unwrap());
    wait_until("the scheduler under test runs", || mark.exists());
    let pid = std::fs::read_to_string(&mark).unwrap();
    let sent = Command::new("kill").args(["-TERM", &measuring.0.id().to_string()]).status().unwrap();
    assert!(sent.success());
    wait_until("the measurement has ended", || measuring.0.try_wait().unwrap().is_some());
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "the scheduler under test is left behind");
}
