//! Objects that make no sense: each is skipped with a named reason, or treated as kube-scheduler treats it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use augur_core::cycle::{Cycle, Decision, Detail, Outcome, decide};
use augur_core::object::{Node, Pod};
use augur_core::predictor::NoModel;
use augur_core::profile::Profile;
use augur_core::state::ClusterState;
use augur_core::time::Timestamp;
use augur_kube::{Skipped, convert, wire};
use augur_notation::Quantity;

fn read_pod(json: &str) -> Result<Pod, Skipped> {
    convert::pod(&serde_json::from_str::<wire::Pod<'_>>(json).unwrap())
}

/// A pod with these members in its spec.
fn pod(spec: &str) -> Pod {
    let meta = r#"{"name":"p","namespace":"d","uid":"p","labels":{"a":"b"}}"#;
    read_pod(&format!(r#"{{"metadata":{meta},"spec":{{{spec}}}}}"#)).unwrap()
}

fn read_node(json: &str) -> Result<Node, Skipped> {
    convert::node(&serde_json::from_str::<wire::Node<'_>>(json).unwrap())
}

/// One node with these taints.
fn cluster(taints: &str) -> ClusterState {
    let node = read_node(&format!(
        r#"{{"metadata":{{"name":"n1","labels":{{"zone":"a","kubernetes.io/hostname":"n1"}}}},"spec":{{"taints":{taints}}},
            "status":{{"allocatable":{{"cpu":"4","memory":"8Gi","pods":"10"}}}}}}"#
    ));
    let mut state = ClusterState::new();
    state.apply_node(node.unwrap());
    state
}

fn run(state: &ClusterState, pod: &Pod) -> Decision {
    let cycle = Cycle { now: Timestamp::from_secs(1), seed: 1, detail: Detail::Full };
    decide(state, pod, &Profile::default(), &NoModel::default(), cycle)
}

/// A few hundred texts that are no quantities: wrong signs, points, suffixes, orders, letters, white space.
fn illegal_quantities() -> Vec<String> {
    let suffixes = "b B K g t p KI ki mi gI Gib GB kB Mb i ii Kii mm nu kM E+ e- ex e1e1 e1.5 e3Ki Ki1 m1 % /2 * _ ' cores CPU MiB";
    let mut suffixes: Vec<&str> = suffixes.split(' ').collect();
    suffixes.extend(["\t", "\n", " ", " m", "\"", "\u{b5}", "\u{a0}"]);
    let mut texts: Vec<String> = Vec::new();
    for number in ["1", "1.5", "0", "-3", "+7", ".5", "10"] {
        texts.extend(suffixes.iter().map(|suffix| format!("{number}{suffix}")));
    }
    let forms = ".. e --1 ++1 +-1 1- 1+ 1,000 1_000 0x10 1.2.3 1..2 NaN nan Inf -Inf infinity null true {} [] $1 1e one \
                 1e99999999999 1E--1 (1) 1; 1m; 1\\m";
    texts.extend(forms.split(' ').filter(|form| !form.is_empty()).map(str::to_owned));
    texts.extend(
        ["", " ", "1 2", " 1", "\u{0}", "\u{661}", "\u{ff11}", "\u{bd}", "\u{2160}", "\u{feff}1"].map(str::to_owned),
    );
    texts
}

#[test]
fn illegal_quantities_are_refused_everywhere_with_their_place() {
    let texts = illegal_quantities();
    assert!(texts.len() > 300, "{}", texts.len());
    let accepted: Vec<&String> = texts.iter().filter(|text| Quantity::parse(text).is_ok()).collect();
    assert!(accepted.is_empty(), "{accepted:?}");
    for text in texts {
        let json = serde_json::to_string(&text).unwrap();
        let containers = format!(r#"[{{}},{{"resources":{{"requests":{{"cpu":{json}}}}}}}]"#);
        let refused =
            read_pod(&format!(r#"{{"metadata":{{"name":"p","uid":"u"}},"spec":{{"containers":{containers}}}}}"#))
                .unwrap_err();
        assert_eq!(refused.reason, convert::BAD_QUANTITY, "{text:?}");
        assert!(refused.detail.starts_with("spec.containers[1].resources.requests.cpu: "), "{refused}");
        let refused =
            read_node(&format!(r#"{{"metadata":{{"name":"n"}},"status":{{"allocatable":{{"memory":{json}}}}}}}"#));
        assert_eq!(refused.unwrap_err().reason, convert::BAD_QUANTITY, "{text:?}");
    }
}

#[test]
fn every_legal_notation_is_understood() {
    let suffixes = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e0", "e3", "E3", "e-3",
        "E+6",
    ];
    for number in ["1", "0", "1.5", ".25", "2.", "+3", "007", "123456789012345678901234567890"] {
        for suffix in suffixes {
            let text = format!("{number}{suffix}");
            let pod = pod(&format!(r#""containers":[{{"resources":{{"requests":{{"memory":"{text}"}}}}}}]"#));
            assert!(pod.spec.requests.granted.memory.get() >= 0, "{text}");
        }
    }
    // What has no digits is nothing, as the API server reads it.
    for text in ["-", "+", ".", "m", "Ki", ".e1", "-.m"] {
        assert_eq!(Quantity::parse(text).map(Quantity::value), Ok(0), "{text}");
    }
    let written_as_number = pod(r#""containers":[{"resources":{"requests":{"cpu":2,"memory":1.5e9}}}]"#);
    let granted = &written_as_number.spec.requests.granted;
    assert_eq!((granted.cpu.get(), granted.memory.get()), (2000, 1_500_000_000));
}

#[test]
fn amounts_below_zero_are_refused_and_overflow_saturates() {
    for (place, spec) in [
        ("spec.containers[0].resources.requests.cpu", r#""containers":[{"resources":{"requests":{"cpu":"-100m"}}}]"#),
        (
            "spec.initContainers[0].resources.requests.gpu",
            r#""initContainers":[{"resources":{"requests":{"gpu":"-1"}}}]"#,
        ),
        ("spec.overhead.cpu", r#""overhead":{"cpu":"-1n"}"#),
        ("spec.resources.requests.cpu", r#""resources":{"requests":{"cpu":"-5"}}"#),
    ] {
        let refused = read_pod(&format!(r#"{{"metadata":{{"name":"p","uid":"u"}},"spec":{{{spec}}}}}"#)).unwrap_err();
        assert_eq!(refused.reason, convert::BAD_QUANTITY);
        assert!(refused.detail.starts_with(place) && refused.detail.ends_with("is below zero"), "{refused}");
    }
    let huge = r#"{"resources":{"requests":{"cpu":"9e99","memory":"9223372036854775807"}}}"#;
    let huge = pod(&format!(r#""containers":[{huge},{huge}]"#));
    assert_eq!(huge.spec.requests.granted.memory.get(), i64::MAX);
    let decision = run(&cluster("[]"), &huge);
    assert!(matches!(decision.outcome, Outcome::Unschedulable(_)), "{:?}", decision.outcome);
}

#[test]
fn taints_of_unknown_effects_do_nothing() {
    let plain = pod("");
    for effect in ["", "noschedule", "NOSCHEDULE", "Evict", "NoSchedule ", "PreferNoExecute", "\u{1f9e8}"] {
        let state = cluster(&format!(r#"[{{"key":"k","effect":"{effect}"}}]"#));
        assert_eq!(run(&state, &plain).feasible_nodes, 1, "{effect:?}");
    }
    assert_eq!(run(&cluster(r#"[{"key":"k","effect":"NoExecute"}]"#), &plain).feasible_nodes, 0);
    // A toleration of an operator that does not exist tolerates nothing.
    let odd = pod(r#""tolerations":[{"key":"k","operator":"Matches","effect":"NoSchedule"}]"#);
    assert_eq!(run(&cluster(r#"[{"key":"k","effect":"NoSchedule"}]"#), &odd).feasible_nodes, 0);
}

#[test]
fn node_selector_terms_that_cannot_be_read_match_nothing() {
    let state = cluster("[]");
    for requirement in [
        r#"{"key":"zone","operator":"Within","values":["a"]}"#,
        r#"{"key":"zone","operator":"","values":["a"]}"#,
        r#"{"key":"zone","operator":"in","values":["a"]}"#,
        r#"{"key":"zone","operator":"In"}"#,
        r#"{"key":"zone","operator":"Exists","values":["a"]}"#,
        r#"{"key":"zone","operator":"Gt","values":["x"]}"#,
        r#"{"key":"zone","operator":"Gt","values":["1","2"]}"#,
        r#"{"key":"a b","operator":"Exists"}"#,
        r#"{"key":"","operator":"Exists"}"#,
    ] {
        let terms = |other: &str| {
            let terms = format!(r#"[{{"matchExpressions":[{requirement}]}}{other}]"#);
            pod(&format!(
                r#""affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":{terms}}}}}}}"#
            ))
        };
        assert_eq!(run(&state, &terms("")).feasible_nodes, 0, "{requirement}");
        let other = r#",{"matchExpressions":[{"key":"zone","operator":"In","values":["a"]}]}"#;
        assert_eq!(run(&state, &terms(other)).feasible_nodes, 1, "the other term holds: {requirement}");
    }
}

#[test]
fn pod_affinity_that_cannot_be_read_keeps_the_pod_from_being_placed_on_a_guess() {
    let bad =
        r#"{"topologyKey":"zone","labelSelector":{"matchExpressions":[{"key":"a","operator":"Like","values":["b"]}]}}"#;
    let good = r#"{"topologyKey":"zone","labelSelector":{"matchLabels":{"a":"b"}}}"#;
    let anti = |terms: &str| {
        let required = format!(r#"{{"requiredDuringSchedulingIgnoredDuringExecution":[{terms}]}}"#);
        pod(&format!(r#""affinity":{{"podAntiAffinity":{required}}}"#))
    };
    let decision = run(&cluster("[]"), &anti(bad));
    assert!(
        matches!(&decision.outcome, Outcome::Refused(features) if features[0].starts_with("podAntiAffinity selector")),
        "{:?}",
        decision.outcome
    );
    // On a node, the list with such a term counts for nothing, as in kube-scheduler.
    for (terms, feasible) in [(good.to_owned(), 0), (format!("{good},{bad}"), 1), (format!("{bad},{good}"), 1)] {
        let mut state = cluster("[]");
        let there = Pod { uid: "there".into(), node: Some("n1".into()), ..anti(&terms) };
        state.place(Arc::new(there), &"n1".into());
        assert_eq!(run(&state, &pod("")).feasible_nodes, feasible, "{terms}");
    }
    let spread =
        pod(r#""topologySpreadConstraints":[{"topologyKey":"zone","maxSkew":1,"whenUnsatisfiable":"DoNotSchedule",
           "labelSelector":{"matchExpressions":[{"key":"a","operator":"Near"}]}}]"#);
    assert!(matches!(run(&cluster("[]"), &spread).outcome, Outcome::Refused(_)));
}

#[test]
fn owners_may_be_absent_cyclic_or_many() {
    let of = |owners: &str| {
        let meta = format!(r#"{{"name":"p","uid":"u","ownerReferences":{owners}}}"#);
        let pod = read_pod(&format!(r#"{{"metadata":{meta},"spec":{{}}}}"#)).unwrap();
        pod.workload.map(|workload| format!("{}/{}", workload.kind, workload.name)).unwrap()
    };
    assert_eq!(of("null"), "Pod/p");
    assert_eq!(of("[]"), "Pod/p");
    assert_eq!(of(r#"[{"kind":"Pod","name":"p","uid":"u","controller":true}]"#), "Pod/p", "its own owner");
    assert_eq!(of(r#"[{"kind":"ReplicaSet","name":"gone-1","controller":true}]"#), "ReplicaSet/gone-1");
    let both = r#"[{"kind":"Job","name":"a","controller":true},{"kind":"Job","name":"b","controller":true}]"#;
    assert_eq!(of(both), "Job/a", "the first controller counts");
    assert_eq!(of(r#"[{"controller":true}]"#), "/");
    let many = format!("[{}]", vec![r#"{"kind":"X","name":"y"}"#; 10_000].join(","));
    assert_eq!(of(&many), "Pod/p");
}

#[test]
fn ten_megabytes_of_labels_are_borne() {
    let value = "v".repeat(60);
    let labels: Vec<String> = (0..150_000).map(|number| format!(r#""key-{number}":"{value}""#)).collect();
    let labels = format!("{{{}}}", labels.join(","));
    assert!(labels.len() > 10 << 20);
    let large = read_pod(&format!(r#"{{"metadata":{{"name":"p","uid":"u","labels":{labels}}},"spec":{{}}}}"#)).unwrap();
    assert_eq!(large.labels.get("key-149999"), Some(value.as_str()));
    let node = read_node(&format!(
        r#"{{"metadata":{{"name":"n2","labels":{labels}}},"status":{{"allocatable":{{"cpu":"4","pods":"10"}}}}}}"#
    ));
    let mut state = cluster("[]");
    state.apply_node(node.unwrap());
    assert_eq!(run(&state, &large).feasible_nodes, 2);
}

#[test]
fn what_is_no_object_of_the_kind_is_told() {
    for json in
        ["[3]", "3", "\"x\"", r#"{"metadata":3}"#, r#"{"metadata":{"name":{}}}"#, r#"{"spec":{"containers":{}}}"#, "{"]
    {
        assert!(serde_json::from_str::<wire::Pod<'_>>(json).is_err(), "{json}");
    }
    for json in [r#"{"metadata":{"name":"p"}}"#, r#"{"metadata":{"uid":"u"}}"#, "{}"] {
        assert_eq!(read_pod(json).unwrap_err().reason, convert::NAMELESS, "{json}");
    }
}
