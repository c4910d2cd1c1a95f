//! The recorded answers of kube-scheduler 1.36 against [`augur_core::cycle::decide`].
//!
//! The cases are in `tests/conformance`; what is compared is told by `augur conformance`. Cases with claims to devices run where
//! objects are converted as the API writes them, in `augur-kube`.

mod case {
    //! What the comparison wants to know of a case.

    /// The objects of the list, if the case has it.
    pub fn list(value: &serde_json::Value) -> &[serde_json::Value] {
        value.as_array().map_or(&[], Vec::as_slice)
    }
}
mod common;
#[path = "../../augur/src/commands/conformance/compare.rs"]
mod compare;

use std::path::Path;
use std::sync::Arc;

use augur_core::cycle::{Cycle, Detail, decide};
use augur_core::object::{Pod, RelatedKind};
use augur_core::predictor::NoModel;
use augur_core::profile::Profile;
use augur_core::state::ClusterState;
use augur_core::time::Timestamp;
use case::list;
use serde_json::Value;

/// The categories.
const COVERED: [&str; 25] = [
    "balanced-allocation",
    "image-locality",
    "interpod-affinity",
    "large",
    "mixed",
    "node-affinity",
    "node-features",
    "node-name",
    "node-ports",
    "node-unschedulable",
    "nominated",
    "preemption",
    "preemption-mixed",
    "resources-extended",
    "resources-fit",
    "resources-inplace",
    "resources-shapes",
    "scheduling-gates",
    "spread-defaults",
    "taints",
    "topology-spread",
    "volume-binding",
    "volume-limits",
    "volume-restrictions",
    "volume-zone",
];

fn state(case: &Value) -> ClusterState {
    let mut state = ClusterState::new();
    for node in list(&case["nodes"]) {
        state.apply_node(common::node(node));
    }
    for namespace in list(&case["namespaces"]) {
        let (name, labels) = common::namespace(namespace);
        state.apply_namespace(name, labels);
    }
    for budget in list(&case["pdbs"]) {
        state.apply_budget(common::budget(budget));
    }
    for object in common::related::all(case) {
        state.apply_related(object);
    }
    for kind in RelatedKind::ALL {
        state.set_listed(kind);
    }
    for pod in list(&case["pods"]) {
        let pod: Pod = common::pod(pod);
        if let (Some(node), false) = (pod.node.clone(), pod.phase.is_over()) {
            state.place(Arc::new(pod), &node);
        }
    }
    state
}

/// What is answered otherwise than kube-scheduler does; empty when all is well.
fn differences(case: &Value) -> Vec<String> {
    let state = state(case);
    let pod = common::pod(&case["pod"]);
    // Placing by live signals or a model is not what the cases are about; both are silent without input.
    let cycle = Cycle { now: Timestamp::EPOCH, seed: case["seed"].as_u64().unwrap_or(0), detail: Detail::Full };
    let decision = decide(&state, &pod, &Profile::default(), &NoModel::default(), cycle);
    compare::differences(&case["expected"], &decision, &state)
}

#[test]
fn covered_categories_answer_as_kube_scheduler() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut all = Vec::new();
    for category in COVERED {
        let (mut passed, mut failed) = (0, 0);
        for case in augur_testkit::read_json_lines_gz(&folder.join(format!("{category}.jsonl.gz"))) {
            let differences = differences(&case);
            if differences.is_empty() {
                passed += 1;
            } else {
                failed += 1;
                all.push(format!("{}:\n  {}", case["id"], differences.join("\n  ")));
            }
        }
        println!("{category}: {passed} passed, {failed} failed");
    }
    let shown: Vec<&str> = all.iter().take(10).map(String::as_str).collect();
    assert!(all.is_empty(), "{} cases differ; the first:\n{}", all.len(), shown.join("\n"));
}
