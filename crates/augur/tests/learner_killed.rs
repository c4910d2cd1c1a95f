//! The learner process is killed as by `kill -9` while it trains, promotes and takes feedback: what it acknowledged is there again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use augur_history::{DecisionId, Example, OutcomeLabel, UnixMillis, WorkloadKey};
use augur_learn::{FEATURE_COUNT, FEATURE_NAMES};
use serde_json::{Value, json};

/// Longer than anything here takes on a busy machine; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(120);
const CONFIG: &str = "model: {n_estimators: 20, max_depth: 5}\nonline_learning: {min_matured: 400, min_bad: 40}\n";
const EXAMPLES: usize = 1_500;

/// A learner process, killed when dropped.
struct Process {
    child: Child,
    port: u16,
}

impl Process {
    fn start(folder: &Path) -> Process {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = folder.join("augur.yaml");
        std::fs::write(&config, CONFIG).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_augur"))
            .args(["learner", "--host", "127.0.0.1", "--port", &port.to_string(), "--config"])
            .arg(config)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process { child, port };
        wait_until("the learner answers", || process.try_call("GET", "/health", None).is_some());
        process
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Status, headers in lower case, body; nothing when the process does not answer.
    fn try_call(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, String, Vec<u8>)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let body = body.map(ToString::to_string).unwrap_or_default();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, head, answer.split_off(end + 4)))
    }

    fn json(&self, method: &str, path: &str, body: Option<&Value>, status: u16) -> Value {
        let (found, _, answer) = self.try_call(method, path, body).unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(found, status, "{method} {path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The model that a job trained, when it has ended.
    fn trained_by(&self, job: &str) -> String {
        let mut view = Value::Null;
        wait_until("the job has ended", || {
            view = self.json("GET", &format!("/jobs/{job}"), None, 200);
            view["state"] == "succeeded" || view["state"] == "failed"
        });
        assert_eq!(view["state"], "succeeded", "{view}");
        view["result"]["model_id"].as_str().unwrap().to_owned()
    }

    /// The hash by which the model in use is known; its bytes are those of the hash.
    fn in_use(&self) -> Option<String> {
        let (status, head, bytes) = self.try_call("GET", "/model/snapshot", None).unwrap();
        if status != 200 {
            return None;
        }
        let hash: String = bytes[bytes.len() - 32..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(head.contains(&format!("etag: \"{hash}\"")), "{head}");
        Some(hash)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Placements of the last day, of which those on nodes that were bad lately went bad more often.
fn examples() -> Vec<Example> {
    let recent = FEATURE_NAMES.iter().position(|name| *name == "node_bad_rate_recent").unwrap();
    let first = now_ms() - 24 * 3_600_000;
    let example = |number: usize| {
        let at = UnixMillis(first + number as i64 * 50_000);
        let rate = (number * 7 % 10) as f64 / 10.0;
        let mut features = vec![Some(1.0); FEATURE_COUNT];
        features[recent] = Some(rate);
        let bad = (number * 13 % 100) as f64 / 100.0 < 0.7 * rate;
        Example {
            decision_id: DecisionId(DecisionId::first_at(at).0 + 1),
            at,
            node: format!("n{}", number % 10).into(),
            workload: Some(WorkloadKey { namespace: "shop".into(), kind: "Deployment".into(), name: "web".into() }),
            label: if bad { OutcomeLabel::Bad } else { OutcomeLabel::Good },
            cause: None,
            propensity: 1.0,
            features,
            model_id: None,
            p_bad: None,
            holdback: false,
            until: Some(UnixMillis(at.0 + 600_000)),
            alternative: None,
            feedback: None,
        }
    };
    (0..EXAMPLES).map(example).collect()
}

#[test]
fn what_was_acknowledged_outlives_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let examples = examples();
    let decision = examples[3].decision_id.to_string();

    // Killed while it trains, right after it took examples, feedback and the job.
    let learner = Process::start(folder.path());
    let taken = learner.json("POST", "/examples", Some(&json!({ "examples": examples })), 200);
    assert_eq!(taken["total_examples"], EXAMPLES);
    let feedback = json!({ "prediction_result": { "decision_id": decision }, "actual_node": "n3", "success": true });
    learner.json("POST", "/feedback", Some(&feedback), 200);
    let job = learner.json("POST", "/train", None, 202)["job_id"].as_str().unwrap().to_owned();
    learner.kill();

    let learner = Process::start(folder.path());
    let first = learner.trained_by(&job);
    let summary = learner.json("GET", "/data/summary", None, 200);
    assert_eq!((&summary["history"]["feedback"], &summary["training_set"]["examples"]), (&json!(1), &json!(EXAMPLES)));
    let again = learner.json("POST", "/feedback", Some(&feedback), 200);
    assert_eq!((&again["duplicate"], &again["total_feedback"]), (&json!(true), &json!(1)));
    let was = learner.in_use();

    // Killed right after it answered that a model is promoted.
    if was.is_none() {
        learner.json("POST", &format!("/models/{first}/promote"), None, 200);
    }
    let champion = learner.in_use().unwrap();
    learner.kill();

    // Killed at any moment of a promotion: the one model or the other is in use, whole, and the new one if that was answered.
    for wait in [0, 1, 3, 10, 40] {
        let learner = Process::start(folder.path());
        assert_eq!(learner.in_use().as_deref(), Some(&*champion), "before a promotion that was not answered");
        let job = learner.json("POST", "/train", None, 202)["job_id"].as_str().unwrap().to_owned();
        let second = learner.trained_by(&job);
        let before = learner.in_use().unwrap();
        let path = format!("/models/{second}/promote");
        let answered = std::thread::scope(|scope| {
            let promotion =
                scope.spawn(|| learner.try_call("POST", &path, None).is_some_and(|(status, ..)| status == 200));
            std::thread::park_timeout(Duration::from_millis(wait));
            let killed = Command::new("kill").args(["-KILL", &learner.child.id().to_string()]).status().unwrap();
            assert!(killed.success());
            promotion.join().unwrap()
        });
        drop(learner);
        let learner = Process::start(folder.path());
        let found = learner.in_use().unwrap();
        assert!(found == second || (found == before && !answered), "answered: {answered}");
        if found != champion {
            // The first champion again for the next round.
            learner.json("POST", &format!("/models/{champion}/promote"), None, 200);
        }
        learner.kill();
    }
}
