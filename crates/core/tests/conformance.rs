//! The recorded answers of kube-scheduler 1.36 against [`augur_core::cycle::decide`].
//!
//! The cases of the categories that the plugins here cover are in `tests/conformance`. With `AUGUR_SHARED` naming a
//! folder that has `conformance/cases`, those of all other categories run too, as far as the plugins go: what needs more
//! must be refused, never answered otherwise.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use augur_core::cycle::{Cycle, Decision, Detail, Outcome, PreemptionOutlook, decide};
use augur_core::object::{Pod, RelatedKind};
use augur_core::plugins::{PluginId, gates_message};
use augur_core::predictor::NoModel;
use augur_core::profile::Profile;
use augur_core::state::ClusterState;
use augur_core::time::Timestamp;
use serde_json::Value;

/// Categories in which every answer must be right.
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

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn names(value: &Value) -> BTreeSet<&str> {
    list(value).iter().filter_map(Value::as_str).collect()
}

/// What differs from the expected answer.
struct Comparison<'a> {
    expected: &'a Value,
    decision: &'a Decision,
    differences: Vec<String>,
}

impl Comparison<'_> {
    #[expect(clippy::needless_pass_by_value, reason = "callers make the values for this")]
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, expected: T, got: T) {
        if expected != got {
            self.differences.push(format!("{what}: expected {expected:?}, got {got:?}"));
        }
    }

    fn filters(&mut self) {
        let decision = self.decision;
        let feasible = decision.nodes.iter().filter(|node| node.rejection.is_none()).map(|node| &*node.node);
        self.same("feasible", names(&self.expected["feasible"]), feasible.collect());
        for (node, wanted) in self.expected["filter"].as_object().into_iter().flatten() {
            let report = decision.nodes.iter().find(|report| *report.node == **node);
            let Some(rejection) = report.and_then(|report| report.rejection.as_ref()) else { continue };
            let wanted = (wanted["code"].as_str(), wanted["plugin"].as_str(), names(&wanted["reasons"]));
            let reasons = rejection.reasons.iter().map(String::as_str).collect();
            let got = (Some(rejection.code.name()), rejection.plugin.map(PluginId::name), reasons);
            self.same(&format!("filter of {node}"), wanted, got);
        }
    }

    fn scores(&mut self, selected: bool) {
        let decision = self.decision;
        for (node, wanted) in self.expected["scores"].as_object().into_iter().flatten() {
            let report = decision.nodes.iter().find(|report| *report.node == **node);
            // Device claims score 0 wherever a pod has none, which is everywhere here.
            let wanted: BTreeMap<&str, i64> = wanted["plugins"]
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(plugin, _)| *plugin != "DynamicResources")
                .filter_map(|(plugin, score)| Some((plugin.as_str(), score.as_i64()?)))
                .collect();
            let got = report.iter().flat_map(|report| &report.plugins);
            self.same(
                &format!("scores of {node}"),
                wanted,
                got.map(|(plugin, score)| (plugin.name(), *score)).collect(),
            );
        }
        let chosen = decision.node().map(|node| &**node);
        let right = match chosen {
            Some(node) => names(&self.expected["selected"]).contains(node),
            None => names(&self.expected["selected"]).is_empty(),
        };
        if selected && !right {
            self.differences.push(format!("selected: expected one of {}, got {chosen:?}", self.expected["selected"]));
        }
    }

    /// The message, and which nodes preemption could free.
    fn diagnosis(&mut self) {
        let Outcome::Unschedulable(diagnosis) = &self.decision.outcome else {
            self.differences.push(format!("expected no node, got {:?}", self.decision.outcome));
            return;
        };
        let turned_away = &self.expected["preFilter"];
        let reasons = diagnosis.turned_away.as_deref().into_iter().collect();
        self.same("preFilter reasons", names(&turned_away["reasons"]), reasons);
        if diagnosis.turned_away.is_some() {
            let by = turned_away["plugin"].as_str().into_iter().collect::<Vec<_>>();
            self.same("preFilter plugin", by, diagnosis.plugins.iter().map(PluginId::name).collect());
        }
        self.same("fitError", self.expected["fitError"].as_str(), Some(&diagnosis.message()));
        let after = &self.expected["postFilter"];
        if let PreemptionOutlook::Possible(candidates) = &diagnosis.preemption {
            self.same("postFilter.code", after["code"].as_str(), Some("Success"));
            if after["windowed"] == true {
                return;
            }
            let wanted = list(&after["candidates"]).iter().map(|c| (c["node"].as_str(), list(&c["victims"]).len()));
            let got = candidates.iter().map(|c| (Some(&*c.node), c.victims.len()));
            self.same("candidates", wanted.collect::<BTreeSet<_>>(), got.collect());
            let best = candidates.iter().filter(|c| c.best).map(|c| &*c.node);
            self.same("acceptable", names(&after["acceptable"]), best.collect());
        }
    }
}

/// How a case went.
enum Verdict {
    Passed,
    Refused,
    Failed(Vec<String>),
}

fn run(case: &Value, strict: bool) -> Verdict {
    let state = state(case);
    let pod = common::pod(&case["pod"]);
    // Placing by live signals or a model is not what the cases are about; both are silent without input.
    let cycle = Cycle { now: Timestamp::EPOCH, seed: case["seed"].as_u64().unwrap_or(0), detail: Detail::Full };
    let decision = decide(&state, &pod, &Profile::default(), &NoModel::default(), cycle);
    let expected = &case["expected"];
    let mut comparison = Comparison { expected, decision: &decision, differences: Vec::new() };
    match &decision.outcome {
        Outcome::Gated(gates) => {
            let gated = &expected["preEnqueue"];
            comparison.same("preEnqueue", gated["plugin"].as_str(), Some("SchedulingGates"));
            comparison.same("preEnqueue", names(&gated["reasons"]), BTreeSet::from([&*gates_message(gates)]));
        }
        Outcome::Failed(error) => comparison.same("error", expected["error"].as_str(), Some(error)),
        Outcome::Refused(_) if !strict => return Verdict::Refused,
        Outcome::Refused(features) => comparison.differences.push(format!("refused for {features:?}")),
        Outcome::Unschedulable(_) | Outcome::Placed(_) => {
            comparison.same("preEnqueue", None, expected["preEnqueue"].as_object());
            comparison.filters();
            if strict {
                comparison.scores(true);
                if expected["fitError"].is_string() {
                    comparison.diagnosis();
                }
            }
        }
    }
    let differences = comparison.differences;
    if differences.is_empty() { Verdict::Passed } else { Verdict::Failed(differences) }
}

/// Runs the cases of a file; the failures, and how many were refused.
fn run_file(path: &Path, strict: bool) -> (usize, usize, Vec<String>) {
    let (mut passed, mut refused, mut failures) = (0, 0, Vec::new());
    for case in augur_testkit::read_json_lines_gz(path) {
        match run(&case, strict) {
            Verdict::Passed => passed += 1,
            Verdict::Refused => refused += 1,
            Verdict::Failed(differences) => {
                failures.push(format!("{}:\n  {}", case["id"], differences.join("\n  ")));
            }
        }
    }
    (passed, refused, failures)
}

#[test]
fn covered_categories_answer_as_kube_scheduler() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut all = Vec::new();
    for category in COVERED {
        let (passed, _, failures) = run_file(&folder.join(format!("{category}.jsonl.gz")), true);
        println!("{category}: {passed} passed, {} failed", failures.len());
        all.extend(failures);
    }
    let shown: Vec<&str> = all.iter().take(10).map(String::as_str).collect();
    assert!(all.is_empty(), "{} cases differ; the first:\n{}", all.len(), shown.join("\n"));
}

#[test]
fn what_is_not_implemented_is_refused_and_never_guessed() {
    let Some(shared) = std::env::var_os("AUGUR_SHARED") else {
        println!("skipped: AUGUR_SHARED does not name the folder with conformance/cases");
        return;
    };
    let folder = Path::new(&shared).join("conformance/cases");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let category = name.trim_end_matches(".jsonl.gz");
        if COVERED.contains(&category) {
            continue;
        }
        let (passed, refused, failures) = run_file(&path, false);
        println!("{category}: {passed} passed, {refused} refused, {} failed", failures.len());
        all.extend(failures);
    }
    let shown: Vec<&str> = all.iter().take(10).map(String::as_str).collect();
    assert!(all.is_empty(), "{} cases are answered wrongly; the first:\n{}", all.len(), shown.join("\n"));
}
