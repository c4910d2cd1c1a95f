//! What is known at a decision rests on what came before it and on nothing else: whatever happened, rates made at the moment of a
//! decision equal those that a memory makes which has seen only the past of that moment.

mod common;

use std::time::Duration;

use augur_history::*;
use common::*;
use proptest::prelude::*;

/// Something that happens to one of ten pods of three workloads on four nodes.
#[derive(Debug, Clone)]
enum Happens {
    Placed(u8, u8),
    Ready(u8),
    Restarts(u8, bool),
    Fails(u8, bool),
    Gone(u8),
    Node(u8, bool, u8),
    Read(u8, u8),
    Event(u8),
}

fn happens() -> impl Strategy<Value = Happens> {
    let pod = 0u8..10;
    prop_oneof![
        4 => (pod.clone(), 0u8..4).prop_map(|(pod, node)| Happens::Placed(pod, node)),
        4 => pod.clone().prop_map(Happens::Ready),
        2 => (pod.clone(), any::<bool>()).prop_map(|(pod, oom)| Happens::Restarts(pod, oom)),
        1 => (pod.clone(), any::<bool>()).prop_map(|(pod, evicted)| Happens::Fails(pod, evicted)),
        2 => pod.clone().prop_map(Happens::Gone),
        2 => (0u8..4, any::<bool>(), 0u8..100).prop_map(|(node, ready, cpu)| Happens::Node(node, ready, cpu)),
        2 => (pod.clone(), 1u8..100).prop_map(|(pod, cpu)| Happens::Read(pod, cpu)),
        1 => pod.prop_map(Happens::Event),
    ]
}

/// Tells a memory of the happenings before `until`; hands itself to `at_decision` before every placement.
fn tell(happenings: &[(u32, Happens)], until: usize, mut at_decision: impl FnMut(usize, &mut Memory)) -> Memory {
    let mut memory = Memory::new(Duration::from_secs(168 * 3600));
    let mut seen: Vec<PodObservation> = (0..10)
        .map(|i| PodObservation {
            workload: workload(["web", "api", "job"][i % 3]),
            node: None,
            ..observation(&format!("p{i}"), "n0", at(0))
        })
        .collect();
    let mut now = 0;
    for (index, (wait, what)) in happenings.iter().enumerate().take(until) {
        now += i64::from(*wait) * 1000;
        let when = at(now);
        memory.advance(when);
        match what {
            Happens::Placed(pod, node) => {
                at_decision(index, &mut memory);
                let pod = &mut seen[usize::from(*pod)];
                let node: std::sync::Arc<str> = format!("n{node}").into();
                let uid = format!("{}-{index}", pod.pod.name).into();
                let key = PodKey { uid, ..pod.pod.clone() };
                *pod = PodObservation {
                    pod: key.clone(),
                    workload: pod.workload.clone(),
                    node: Some(node.clone()),
                    ..PodObservation::default()
                };
                let decision = DecisionId(DecisionId::first_at(when).0 + index as u64);
                memory.place(Placement {
                    decision,
                    pod: key,
                    workload: pod.workload.clone(),
                    node,
                    at: when,
                    p_bad: None,
                });
            }
            Happens::Node(node, ready, cpu) => memory.node(&NodeObservation {
                name: format!("n{node}").into(),
                class: if node % 2 == 0 { "small".into() } else { "large".into() },
                ready: *ready,
                cpu: Some(f64::from(*cpu) / 100.0),
                at: when,
                ..NodeObservation::default()
            }),
            Happens::Read(pod, cpu) => {
                let name = format!("p{pod}").into();
                let containers = vec![ContainerSample {
                    name: "main".into(),
                    cpu: f64::from(*cpu) / 50.0,
                    memory: 1e8 * f64::from(*cpu),
                }];
                let pods = vec![PodSample { namespace: "default".into(), name, containers }];
                memory.usage(&UsageRound { at: when, nodes: Vec::new(), pods });
            }
            Happens::Event(pod) => {
                let subject = EventSubject::Pod(seen[usize::from(*pod)].pod.uid.clone());
                memory.event(&EventObservation { subject, reason: "FailedMount".into(), at: when });
            }
            Happens::Ready(pod) | Happens::Restarts(pod, _) | Happens::Fails(pod, _) | Happens::Gone(pod) => {
                let pod = &mut seen[usize::from(*pod)];
                pod.at = when;
                match what {
                    Happens::Restarts(_, oom) => {
                        pod.restarts += 1;
                        let reason = if *oom { "OOMKilled" } else { "Error" };
                        pod.terminated = Some(Termination { reason: reason.into(), exit_code: 137 });
                    }
                    Happens::Fails(_, evicted) => {
                        (pod.phase, pod.ready) = (PodPhase::Failed, false);
                        pod.reason = evicted.then(|| "Evicted".into());
                    }
                    Happens::Gone(_) => pod.gone = true,
                    _ => (pod.phase, pod.ready) = (PodPhase::Running, true),
                }
                memory.pod(&pod.clone());
            }
        }
        // Whoever keeps a memory takes what changed every now and then; that must not matter.
        if index % 7 == 0 {
            drop(memory.drain());
        }
    }
    memory
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn rates_at_a_decision_are_made_of_its_past(
        happenings in proptest::collection::vec((0u32..2_000, happens()), 20..150),
        tail in proptest::collection::vec((0u32..20_000, happens()), 0..40),
    ) {
        let mut all = happenings;
        all.extend(tail);
        let mut known: Vec<(usize, UnixMillis, Rates)> = Vec::new();
        let memory = tell(&all, all.len(), |index, memory| known.push((index, memory.now(), memory.rates())));
        for (index, now, then) in known {
            let mut past = tell(&all, index, |_, _| {});
            past.advance(now);
            let again = past.rates();
            prop_assert_eq!(&again.nodes, &then.nodes);
            prop_assert_eq!(&again.workloads, &then.workloads);
            prop_assert_eq!(&again.classes, &then.classes);
            prop_assert_eq!(&again.namespaces, &then.namespaces);
        }
        // No outcome has a label before its time.
        let mut memory = memory;
        let now = memory.now();
        for outcome in memory.drain().outcomes {
            prop_assert!(outcome.day_label == OutcomeLabel::Immature || outcome.matures_at.0 + 23 * HOUR <= now.0);
        }
    }
}
