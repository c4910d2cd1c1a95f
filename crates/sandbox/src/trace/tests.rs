use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use augur_apiserver::{ApiServer, ApiServerOptions, DeleteOptions, LocalClient, LocalEventKind, PatchKind};
use augur_clock::Clock;
use serde_json::{Value, json};

use super::audit::{audit, reference};
use super::openb::{GPU, GPU_MILLI, Trace, TraceNode, TracePod, read};
use super::replay::{Tracker, without_counts};
use super::{Pace, PodSink, Progress, ReplayOptions, Summary, replay};
use crate::sim::{MIB, Resources};
use crate::{Sandbox, SandboxOptions};

const NODES: &str = "\
sn,cpu_milli,memory_mib,gpu,model
n-0,4000,8192,0,
n-1,8000,16384,2,T4
";

const PODS: &str = "\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time
p-0,3000,1024,0,0,,LS,Running,0,100,0
p-1,1000,1024,1,470,T4|P100|T4,BE,Running,5,50,6
p-2,1000,1024,1,1000,,LS,Pending,6,60,
p-3,1000,1024,1,1000,,LS,Pending,7,70,
p-4,1000,1024,1,1000,G2,LS,Pending,8,80,
";

/// A folder of files that is removed again.
struct Files(PathBuf);

impl Files {
    fn new(name: &str, files: &[(&str, &[u8])]) -> Files {
        let folder = std::env::temp_dir().join(format!("augur-trace-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, content) in files {
            std::fs::write(folder.join(name), content).unwrap();
        }
        Files(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load(name: &str, nodes: &str, pods: &str) -> Result<Trace, String> {
    let files = Files::new(name, &[("n.csv", nodes.as_bytes()), ("p.csv", pods.as_bytes())]);
    read(&files.path("n.csv"), &files.path("p.csv"))
        .map_err(|error| error.to_string().replace(&*files.0.to_string_lossy(), "DIR"))
}

fn small(name: &str) -> Trace {
    load(name, NODES, PODS).unwrap()
}

#[test]
fn rows_become_nodes_and_pods() {
    let trace = small("rows");
    assert_eq!((trace.nodes.len(), trace.pods.len()), (2, 5));
    let capacity = trace.nodes[1].capacity();
    assert_eq!((capacity.extended(GPU), capacity.extended(GPU_MILLI), capacity.memory), (2, 2_000, 16_384 * MIB));
    let share = &trace.pods[1];
    assert_eq!((share.models.as_slice(), share.times), (&["P100".to_owned(), "T4".to_owned()][..], Some((5, 50))));
    assert_eq!((share.requests().extended(GPU), share.requests().extended(GPU_MILLI)), (0, 470));
    assert_eq!((trace.pods[2].requests().extended(GPU), trace.pods[2].requests().extended(GPU_MILLI)), (1, 1_000));
    let object = share.object("trace", "augur");
    let resources = &object["spec"]["containers"][0]["resources"];
    assert_eq!(resources["requests"], serde_json::json!({"cpu": "1000m", "memory": "1024Mi", GPU_MILLI: "470"}));
    assert_eq!(resources["limits"], serde_json::json!({GPU_MILLI: "470"}));
    assert_eq!(object["spec"]["schedulerName"], "augur");
    assert_eq!(object["metadata"]["labels"]["alibabacloud.com/qos"], "BE");
    let scenario = trace.scenario();
    assert_eq!(scenario.nodes[1].labels["alibabacloud.com/gpu-card-model"], "T4");
}

#[test]
fn a_list_without_times_is_read_too() {
    let trace = load("short", NODES, "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np-0,1000,1024,1,500\n").unwrap();
    assert_eq!((trace.pods[0].times, trace.pods[0].models.len()), (None, 0));
}

#[test]
fn a_gzipped_list_is_unpacked() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(PODS.as_bytes()).unwrap();
    let files = Files::new("gz", &[("n.csv", NODES.as_bytes()), ("p.csv.gz", &packer.finish().unwrap())]);
    assert_eq!(read(&files.path("n.csv"), &files.path("p.csv.gz")).unwrap().pods.len(), 5);
}

#[test]
fn a_bad_row_is_named_by_file_line_and_column() {
    let refused = |name, nodes: &str, pods: &str| load(name, nodes, pods).unwrap_err();
    assert_eq!(
        refused("bad1", NODES, &PODS.replace("p-1,1000", "p-1,much")),
        "DIR/p.csv: line 3: column `cpu_milli`: `much` is not a whole number of thousandths of a core"
    );
    assert_eq!(
        refused("bad2", &NODES.replace("2,T4", "2,"), PODS),
        "DIR/n.csv: line 3: column `model`: `` is not a model, which a node with GPUs needs"
    );
    assert_eq!(
        refused("bad3", &NODES.replace("model", "modell"), PODS),
        "DIR/n.csv: line 1: the column `model` is missing; expected sn,cpu_milli,memory_mib,gpu,model"
    );
    assert_eq!(
        refused("bad4", NODES, &PODS.replace("p-2", "p-1")),
        "DIR/p.csv: line 4: column `name`: `p-1` is not a new name: it was there before"
    );
    assert_eq!(
        refused("bad5", NODES, &PODS.replace(",8,80,", ",8,7,")),
        "DIR/p.csv: line 6: column `deletion_time`: `7` is not at or after creation_time"
    );
    assert_eq!(
        refused("bad6", NODES, &PODS.replace("p-3,1000,1024,1,1000", "p-3,1000,1024,1,1500")),
        "DIR/p.csv: line 5: column `gpu_milli`: `1500` is not a whole number of thousandths of a GPU, at most 1000"
    );
    let short = refused("bad7", NODES, &PODS.replace("p-3,1000,1024,1,1000,,LS,Pending,7,70,", "p-3,1000"));
    assert!(short.starts_with("DIR/p.csv: CSV error: record 4 (line: 5"), "{short}");
    let missing = read(Path::new("/nonexistent/n.csv"), Path::new("/nonexistent/p.csv")).unwrap_err().to_string();
    assert!(missing.starts_with("/nonexistent/n.csv: "), "{missing}");
}

fn placed(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(pod, node)| ((*pod).to_owned(), (*node).to_owned())).collect()
}

fn pods<'a>(trace: &'a Trace, names: &[&str]) -> Vec<&'a TracePod> {
    trace.pods.iter().filter(|pod| names.contains(&pod.name.as_str())).collect()
}

#[test]
fn the_audit_accepts_what_is_right() {
    let trace = small("audit");
    // p-3 finds 530 thousandths of two GPUs, p-4 no node with its model.
    let outcome = placed(&[("p-0", "n-0"), ("p-1", "n-1"), ("p-2", "n-1")]);
    let findings = audit(&trace, &outcome, &pods(&trace, &["p-3", "p-4"]));
    assert!(findings.is_clean(), "{findings:?}");
    assert_eq!(reference(&trace), 3);
    assert_eq!(trace.feasible_bound(), 3, "2470 thousandths are wanted by three pods, 3470 by four");
}

#[test]
fn the_audit_finds_what_is_wrong() {
    let trace = small("wrong");
    let outcome = placed(&[("p-0", "n-0"), ("p-1", "n-1")]);
    let findings = audit(&trace, &outcome, &pods(&trace, &["p-2"]));
    assert_eq!(findings.fits_left, [("p-2".to_owned(), "n-1".to_owned())]);
    let outcome = placed(&[("p-1", "n-1"), ("p-2", "n-1"), ("p-3", "n-1"), ("p-4", "n-1"), ("p-0", "n-7")]);
    let findings = audit(&trace, &outcome, &[]);
    assert_eq!(findings.overcommitted, [("n-1".to_owned(), GPU.to_owned())]);
    assert_eq!(findings.misplaced, [("p-0".to_owned(), "n-7".to_owned()), ("p-4".to_owned(), "n-1".to_owned())]);
}

#[test]
fn the_published_lists_are_read() {
    let Some(shared) = std::env::var_os("AUGUR_SHARED") else {
        eprintln!("skipped: AUGUR_SHARED is not set");
        return;
    };
    let folder = Path::new(&shared).join("traces/openb");
    let nodes = folder.join("openb_node_list_all_node.csv");
    let trace = read(&nodes, &folder.join("openb_pod_list_default.csv.gz")).unwrap();
    assert_eq!((trace.nodes.len(), trace.pods.len()), (1_523, 8_152));
    assert_eq!(trace.nodes.iter().map(|node| node.gpus).sum::<i64>(), 6_212);
    assert_eq!(trace.pods.iter().map(|pod| pod.gpus * pod.gpu_milli).sum::<i64>(), 6_086_800);
    assert!(trace.feasible_bound() <= trace.pods.len() && trace.feasible_bound() >= reference(&trace));
    for list in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = list.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("openb_pod_list_") {
            let trace = read(&nodes, &list).unwrap_or_else(|error| panic!("{error}"));
            assert!(trace.pods.len() > 7_000, "{name}");
        }
    }
}

#[test]
fn reasons_are_grouped_without_their_counts() {
    let message = "0/5 nodes are available: 2 Insufficient memory, 3 Insufficient cpu. preemption: 0/5 nodes are available: 5 No preemption victims found for incoming pod.";
    assert_eq!(without_counts(message), "Insufficient cpu, Insufficient memory");
    let message = "0/19 nodes are available: 16 Insufficient nvidia.com/gpu, 3 Insufficient cpu. no new claims to deallocate, preemption: 0/19 nodes are available: 19 Preemption is not helpful for scheduling.";
    assert_eq!(without_counts(message), "Insufficient cpu, Insufficient nvidia.com/gpu");
    assert_eq!(
        without_counts("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
        "node(s) didn't match Pod's node affinity/selector"
    );
    assert_eq!(without_counts("no such volume"), "no such volume");
}

#[test]
fn the_tracker_follows_a_pod_to_its_end() {
    let trace = small("tracker");
    let mut tracker = Tracker::new(&trace);
    let seen = |name: &str, node: &str, waits: &str| {
        let conditions = if waits.is_empty() {
            json!([])
        } else {
            json!([{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": waits }])
        };
        json!({ "metadata": { "name": name }, "spec": { "nodeName": node }, "status": { "conditions": conditions } })
            .to_string()
    };
    tracker.observe(false, seen("p-0", "", "").as_bytes());
    tracker.observe(false, b"no pod");
    tracker.observe(false, seen("stranger", "n-0", "").as_bytes());
    assert_eq!(tracker.undecided(), 5);
    tracker.observe(false, seen("p-0", "", "0/2 nodes are available: 2 Insufficient cpu.").as_bytes());
    tracker.observe(false, seen("p-0", "n-0", "").as_bytes());
    tracker.observe(true, seen("p-0", "n-0", "").as_bytes());
    tracker.observe(false, seen("p-1", "", "0/2 nodes are available: 2 Insufficient cpu.").as_bytes());
    tracker.observe(true, seen("p-1", "", "").as_bytes());
    assert_eq!(tracker.undecided(), 3);
    let summary = tracker.summary(&trace, Pace::Timed, Duration::from_secs(2));
    assert_eq!((summary.placed, summary.unplaced), (1, vec![("Insufficient cpu".to_owned(), 1)]));
    assert_eq!(summary.utilisation.cpu, 0.25);
    assert!(summary.findings.is_none());
}

/// The short way into the API server of this process.
struct LocalSink(LocalClient);

impl PodSink for LocalSink {
    async fn create(&self, namespace: &str, pod: Value) -> Result<(), String> {
        self.0.create("pods", namespace, pod).map(|_| ()).map_err(|error| error.message)
    }

    async fn delete(&self, namespace: &str, name: &str) -> Result<(), String> {
        self.0.delete("pods", namespace, name, &DeleteOptions::default()).map_err(|error| error.message)
    }
}

/// Places every pod on the first node that has room, like a scheduler would through the API.
async fn first_fit(client: LocalClient, trace: Arc<Trace>) {
    let mut free: Vec<Resources> = trace.nodes.iter().map(TraceNode::capacity).collect();
    let mut homes: HashMap<String, usize> = HashMap::new();
    let mut watch = client.watch("pods", "", 1).unwrap();
    while let Some(event) = watch.next().await {
        let object: Value = serde_json::from_slice(&event.object).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap();
        let pod = trace.pods.iter().find(|pod| pod.name == name).unwrap();
        let requests = pod.requests();
        match event.kind {
            LocalEventKind::Added => {
                let room = free.iter().zip(&trace.nodes).position(|(free, node)| {
                    requests.cpu_milli <= free.cpu_milli
                        && [GPU, GPU_MILLI].iter().all(|gpu| requests.extended(gpu) <= free.extended(gpu))
                        && (pod.models.is_empty() || pod.models.contains(&node.model))
                });
                if let Some(home) = room {
                    free[home].add(&requests, -1);
                    homes.insert(name.to_owned(), home);
                    let node = &trace.nodes[home].name;
                    let binding = json!({ "metadata": { "name": name }, "target": { "kind": "Node", "name": node } });
                    client.create_subresource("pods", "default", name, "binding", binding).unwrap();
                } else {
                    let message = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.";
                    let condition = json!({ "type": "PodScheduled", "status": "False", "message": message });
                    let patch = json!({ "status": { "conditions": [condition] } });
                    client.patch("pods", "default", name, "status", PatchKind::Strategic, &patch).unwrap();
                }
            }
            LocalEventKind::Deleted => {
                if let Some(home) = homes.remove(name) {
                    free[home].add(&requests, 1);
                }
            }
            LocalEventKind::Modified | LocalEventKind::Expired => {}
        }
    }
}

async fn run(trace: Trace, pace: Pace) -> (Summary, Arc<Progress>) {
    let clock = Clock::manual("2026-01-05T08:00:00Z".parse().unwrap());
    let server = ApiServer::new(ApiServerOptions { clock: clock.clone(), ..ApiServerOptions::default() }).unwrap();
    let mut options = SandboxOptions::new(clock.clone(), "tests");
    options.instant = true;
    options.heartbeat = None;
    let sandbox = Sandbox::start(&server, trace.scenario(), options).unwrap();
    let trace = Arc::new(trace);
    let scheduler = tokio::spawn(first_fit(server.local("scheduler"), trace.clone()));
    let progress = Arc::new(Progress::default());
    let feeding = tokio::spawn({
        let (client, progress) = (server.local("replay"), progress.clone());
        let options = options_of(clock.clone(), pace);
        async move { replay(&trace, Arc::new(LocalSink(client.clone())), &client, &options, progress).await }
    });
    while !feeding.is_finished() {
        clock.advance(Duration::from_secs(1));
        // All tasks share this thread: after some rounds each has done what it could.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    let summary = feeding.await.unwrap().unwrap();
    scheduler.abort();
    drop(sandbox);
    (summary, progress)
}

fn options_of(clock: Clock, pace: Pace) -> ReplayOptions {
    ReplayOptions { clock, pace, namespace: "default".to_owned(), scheduler_name: "tests".to_owned() }
}

#[tokio::test]
async fn a_trace_at_full_speed_is_placed_and_audited() {
    let (summary, progress) = run(small("full"), Pace::Full { in_flight: 4 }).await;
    assert_eq!((summary.pods, summary.placed, summary.nodes), (5, 3, 2));
    assert_eq!(summary.unplaced, [("Insufficient nvidia.com/gpu".to_owned(), 2)]);
    let findings = summary.findings.clone().unwrap();
    assert!(findings.is_clean(), "{findings:?}");
    assert_eq!((summary.bound, summary.reference), (3, Some(3)));
    assert_eq!(progress.created.load(Ordering::Relaxed), 5);
    assert_eq!(progress.placed.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn with_times_pods_leave_and_make_room() {
    // p-3 comes after p-2 has left.
    let pods = PODS.replace(",7,70,", ",65,70,");
    let trace = load("timed", NODES, &pods).unwrap();
    let (summary, _) = run(trace, Pace::Timed).await;
    assert_eq!((summary.placed, summary.findings.is_some()), (4, false));
    assert_eq!(summary.unplaced.iter().map(|(_, count)| count).sum::<usize>(), 1);
}

#[tokio::test]
async fn a_list_without_times_cannot_be_replayed_with_times() {
    let trace = load("untimed", NODES, "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np-0,1000,1024,1,500\n").unwrap();
    let server = ApiServer::new(ApiServerOptions::default()).unwrap();
    let client = server.local("replay");
    let options = options_of(Clock::real(), Pace::Timed);
    let error = replay(&Arc::new(trace), Arc::new(LocalSink(client.clone())), &client, &options, Arc::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("can only be fed at full speed"), "{error}");
}
