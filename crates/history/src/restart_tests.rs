//! A restart in between must not show: a history that is closed and opened again every now and then says the same of nodes and
//! workloads, and gives the same outcomes, as one that was never closed.

use std::sync::Arc;

use serde_json::Value;

use crate::handle::HistoryOptions;
use crate::keeper::Keeper;
use crate::memory::{EventObservation, EventSubject};
use crate::store::Store;
use crate::types::*;
use crate::usage::{ContainerSample, NodeSample, PodSample, UsageRound};

const T0: i64 = 1_767_700_800_000;
const STEPS: u64 = 1_500;
const NODES: u64 = 6;
const PODS: usize = 40;

/// A history, its file, and what the API shows of each pod just now.
struct Run {
    dir: tempfile::TempDir,
    store: Option<Arc<Store>>,
    keeper: Option<Keeper>,
    seen: Vec<Option<PodObservation>>,
    decisions: u64,
}

fn dice(step: u64, what: u64) -> u64 {
    let mut x = (step << 8 | what).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// About six hours in all, some of it in leaps.
fn time(step: u64) -> UnixMillis {
    UnixMillis(T0 + (step * 12_000 + step / 500 * 3_600_000) as i64)
}

impl Run {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut run = Self { dir, store: None, keeper: None, seen: vec![None; PODS], decisions: 0 };
        run.open();
        run
    }

    fn open(&mut self) {
        let options = HistoryOptions::new(self.dir.path());
        let store = Arc::new(Store::open(&options.dir, options.cache_bytes).unwrap());
        let mut keeper = Keeper::load(&store, &options).unwrap();
        keeper.catch_up();
        self.keeper = Some(keeper);
        self.store = Some(store);
    }

    fn restart(&mut self, at: UnixMillis) {
        let mut keeper = self.keeper.take().unwrap();
        keeper.close();
        keeper.commit().unwrap();
        drop((keeper, self.store.take()));
        self.open();
        // What a watch lists at its start.
        let keeper = self.keeper.as_mut().unwrap();
        for seen in self.seen.iter().flatten() {
            keeper.pod(&PodObservation { at, ..seen.clone() });
        }
        keeper.listed(at);
    }

    fn step(&mut self, step: u64) {
        let (at, keeper) = (time(step), self.keeper.as_mut().unwrap());
        let slot = dice(step, 1) as usize % PODS;
        let node: Arc<str> = format!("n{}", dice(step, 2) % NODES).into();
        match (dice(step, 3) % 10, &mut self.seen[slot]) {
            (_, empty @ None) => {
                self.decisions += 1;
                let (uid, name) = (format!("u{step}"), format!("p{slot}"));
                let pod = PodKey { namespace: "shop".into(), name: name.into(), uid: uid.into() };
                let workload = WorkloadKey {
                    namespace: "shop".into(),
                    kind: "Deployment".into(),
                    name: format!("w{}", slot % 4).into(),
                };
                let id = DecisionId(DecisionId::first_at(at).0 + self.decisions);
                let mut record = crate::crash_tests::placed(step);
                (record.id, record.at, record.pod, record.node) = (id, at, pod.clone(), Some(node.clone()));
                record.workload = Some(workload.clone());
                keeper.decision(record);
                let seen = PodObservation {
                    pod,
                    workload,
                    revision: format!("r{}", step / 700).into(),
                    node: Some(node),
                    at,
                    ..PodObservation::default()
                };
                keeper.pod(&seen);
                *empty = Some(seen);
            }
            (0, full @ Some(_)) => {
                let seen = full.take().unwrap();
                keeper.pod(&PodObservation { gone: true, at, ..seen });
            }
            (what, Some(seen)) => {
                match what {
                    1 => {
                        seen.restarts += 1;
                        let (reason, exit_code) =
                            if step.is_multiple_of(2) { ("OOMKilled", 137) } else { ("Error", 1) };
                        seen.terminated = Some(Termination { reason: reason.into(), exit_code });
                    }
                    2 => seen.waiting = Some("ErrImagePull".into()),
                    _ => (seen.phase, seen.ready) = (PodPhase::Running, what != 3),
                }
                seen.at = at;
                keeper.pod(seen);
                if what == 4 {
                    let subject = EventSubject::Pod(seen.pod.uid.clone());
                    keeper.event(&EventObservation { subject, reason: "FailedMount".into(), at });
                }
            }
        }
        for i in 0..NODES {
            keeper.node(&NodeObservation {
                name: format!("n{i}").into(),
                class: "m5".into(),
                ready: !dice(step / 20, 10 + i).is_multiple_of(12),
                cpu: Some((dice(step, 20 + i) % 100) as f64 / 100.0),
                memory: Some(0.5),
                allocatable: Some((8.0, 3.2e10)),
                at,
                ..NodeObservation::default()
            });
        }
        let pods = self.seen.iter().flatten().map(|seen| PodSample {
            namespace: seen.pod.namespace.clone(),
            name: seen.pod.name.clone(),
            containers: vec![ContainerSample {
                name: "main".into(),
                cpu: (dice(step, 30) % 100) as f64 / 100.0,
                memory: 1e8 + (dice(step, 31) % 100) as f64 * 1e6,
            }],
        });
        let nodes = vec![NodeSample { name: "n0".into(), cpu: 2.0, memory: 8e9 }];
        keeper.usage(&UsageRound { at, nodes, pods: pods.collect() });
    }

    fn shown(&mut self) -> Value {
        let keeper = self.keeper.as_mut().unwrap();
        let rates = keeper.rates();
        let workloads: std::collections::BTreeMap<_, _> =
            rates.workloads.iter().map(|(key, known)| (format!("{key:?}"), known)).collect();
        let sorted = |known: &std::collections::HashMap<Arc<str>, Box<crate::rates::NodeRates>>| {
            serde_json::to_value(known.iter().collect::<std::collections::BTreeMap<_, _>>()).unwrap()
        };
        serde_json::json!({ "nodes": sorted(&rates.nodes), "workloads": workloads, "pods": rates.pods })
    }

    fn outcomes(&mut self) -> Vec<(u64, OutcomeState, OutcomeLabel, OutcomeLabel, Option<Cause>, String)> {
        self.keeper.as_mut().unwrap().commit().unwrap();
        let filter = DecisionFilter { limit: usize::MAX, ..DecisionFilter::default() };
        let found = self.store.as_ref().unwrap().decisions(&filter).unwrap();
        let outcomes = found.into_iter().filter_map(|(_, outcome)| outcome);
        outcomes
            .map(|o| (o.decision_id.0, o.state, o.label, o.day_label, o.cause, format!("{:.9}", o.weight)))
            .collect()
    }
}

/// Equal, but for the last digits of a decimal number that went to disk and back.
pub(crate) fn same(a: &Value, b: &Value, path: &str) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{path}");
            a.iter().for_each(|(key, value)| same(value, &b[key], &format!("{path}.{key}")));
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            a.iter().zip(b).enumerate().for_each(|(i, (a, b))| same(a, b, &format!("{path}[{i}]")));
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= 1e-6 * a.abs().max(1.0), "{path}: {a} without a restart, {b} with one");
        }
        _ => assert_eq!(a, b, "{path}"),
    }
}

#[test]
fn what_is_known_after_a_restart_is_what_was_known_before() {
    let (mut whole, mut parted) = (Run::new(), Run::new());
    for step in 0..STEPS {
        whole.step(step);
        parted.step(step);
        if step % 97 == 96 {
            let at = time(step);
            parted.restart(at);
            same(&whole.shown(), &parted.shown(), &format!("after step {step}: "));
        }
    }
    assert!(whole.decisions > 100);
    assert_eq!(whole.outcomes(), parted.outcomes());
}
