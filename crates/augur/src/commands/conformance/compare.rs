//! What of an expected answer is asserted: everything that the corpus' description lists under "Assert".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use augur_core::cycle::{Decision, Diagnosis, Outcome, PreemptionOutlook};
use augur_core::plugins::{PluginId, gates_message};
use augur_core::state::ClusterState;
use serde_json::Value;

use super::case::list;

/// What differs from the expected answer, one a line: what, where, expected, got.
pub fn differences(expected: &Value, decision: &Decision, state: &ClusterState) -> Vec<String> {
    let mut comparison = Comparison { expected, decision, state, found: Vec::new() };
    match &decision.outcome {
        Outcome::Gated(gates) => {
            let gated = &expected["preEnqueue"];
            comparison.same("preEnqueue plugin", gated["plugin"].as_str(), Some("SchedulingGates"));
            comparison.same("preEnqueue reasons", names(&gated["reasons"]), BTreeSet::from([&*gates_message(gates)]));
        }
        Outcome::Held { by, why } => {
            let held = &expected["preEnqueue"];
            comparison.same("preEnqueue plugin", held["plugin"].as_str(), Some(by.name()));
            comparison.same("preEnqueue reasons", names(&held["reasons"]), BTreeSet::from([why.as_str()]));
        }
        // Its text is not asserted.
        Outcome::Failed(error) => {
            comparison.same("error", expected["error"].is_string().then_some("an error"), Some("an error"));
            if !comparison.found.is_empty() {
                comparison.found.push(format!("the error: {error}"));
            }
        }
        Outcome::Refused(features) => comparison.found.push(format!("refused, for lack of {}", features.join(", "))),
        outcome => {
            comparison.same("preEnqueue", None, expected["preEnqueue"]["plugin"].as_str());
            comparison.same("error", None, expected["error"].as_str());
            comparison.filters();
            comparison.scores();
            match outcome {
                Outcome::Unschedulable(diagnosis) => comparison.diagnosis(diagnosis),
                _ => comparison.same("fitError", expected["fitError"].as_str(), None),
            }
        }
    }
    comparison.found
}

struct Comparison<'a> {
    expected: &'a Value,
    decision: &'a Decision,
    state: &'a ClusterState,
    found: Vec<String>,
}

impl<'a> Comparison<'a> {
    #[expect(clippy::needless_pass_by_value, reason = "callers make the values for this")]
    fn same<T: PartialEq + Debug>(&mut self, what: &str, expected: T, got: T) {
        if expected != got {
            self.found.push(format!("{what}: expected {expected:?}, got {got:?}"));
        }
    }

    fn filters(&mut self) {
        let decision = self.decision;
        let feasible = decision.nodes.iter().filter(|node| node.rejection.is_none()).map(|node| &*node.node);
        self.same("feasible", names(&self.expected["feasible"]), feasible.collect());
        for (node, wanted) in entries(&self.expected["filter"]) {
            let report = decision.nodes.iter().find(|report| *report.node == *node);
            let Some(rejection) = report.and_then(|report| report.rejection.as_ref()) else { continue };
            let wanted = (wanted["code"].as_str(), wanted["plugin"].as_str(), names(&wanted["reasons"]));
            let reasons = rejection.reasons.iter().map(String::as_str).collect();
            let got = (Some(rejection.code.name()), rejection.plugin.map(PluginId::name), reasons);
            self.same(&format!("filter of {node}"), wanted, got);
        }
    }

    fn scores(&mut self) {
        let decision = self.decision;
        for (node, wanted) in entries(&self.expected["scores"]) {
            let report = decision.nodes.iter().find(|report| *report.node == *node);
            let got: BTreeMap<&str, i64> =
                report.iter().flat_map(|report| &report.plugins).map(|(id, score)| (id.name(), *score)).collect();
            for (plugin, score) in entries(&wanted["plugins"]) {
                // A plugin without a say is left out here, where kube-scheduler may list a zero.
                let got = got.get(plugin).copied().or((score.as_i64() == Some(0)).then_some(0));
                self.same(&format!("score of {node} by {plugin}"), score.as_i64(), got);
            }
            for plugin in got.keys().filter(|plugin| wanted["plugins"][**plugin].is_null()) {
                self.found.push(format!("score of {node} by {plugin}: expected none, got {}", got[plugin]));
            }
        }
        let chosen = decision.node().map(|node| &**node);
        let selected = names(&self.expected["selected"]);
        if !chosen.map_or(selected.is_empty(), |node| selected.contains(node)) {
            let wanted: Vec<&str> = selected.into_iter().collect();
            self.found.push(format!("selected: expected one of {}, got {chosen:?}", wanted.join(", ")));
        }
    }

    /// The message, and what preemption finds.
    fn diagnosis(&mut self, diagnosis: &Diagnosis) {
        let turned_away = &self.expected["preFilter"];
        self.same(
            "preFilter reasons",
            names(&turned_away["reasons"]),
            diagnosis.turned_away.as_deref().into_iter().collect(),
        );
        if diagnosis.turned_away.is_some() {
            let plugins: Vec<&str> = diagnosis.plugins.iter().map(PluginId::name).collect();
            self.same("preFilter plugin", turned_away["plugin"].as_str().into_iter().collect(), plugins);
        }
        self.same("fitError", self.expected["fitError"].as_str(), Some(&diagnosis.message()));
        let after = &self.expected["postFilter"];
        let PreemptionOutlook::Possible(candidates) = &diagnosis.preemption else {
            let possible = after["code"] == "Success";
            return self.same("postFilter: preemption helps", possible, false);
        };
        self.same("postFilter.code", after["code"].as_str(), Some("Success"));
        let best: BTreeSet<&str> = candidates.iter().filter(|c| c.best).map(|c| &*c.node).collect();
        let acceptable = names(&after["acceptable"]);
        if after["windowed"] == true {
            // Which nodes are tried is left to chance then.
            if !best.is_subset(&acceptable) {
                self.found.push(format!("acceptable: expected some of {acceptable:?}, got {best:?}"));
            }
            return;
        }
        self.same("acceptable", acceptable, best);
        let wanted: BTreeMap<&str, BTreeSet<&str>> = list(&after["candidates"])
            .iter()
            .map(|candidate| (candidate["node"].as_str().unwrap_or_default(), names(&candidate["victims"])))
            .collect();
        let state = self.state;
        let name = |uid: &str| state.pod(uid).map(|(pod, _)| pod.full_name()).unwrap_or_default();
        let got: BTreeMap<&str, Vec<String>> =
            candidates.iter().map(|c| (&*c.node, c.victims.iter().map(|uid| name(uid)).collect())).collect();
        for node in wanted.keys().chain(got.keys()).copied().collect::<BTreeSet<&str>>() {
            let got = got.get(node).map(|victims| victims.iter().map(String::as_str).collect());
            self.same(&format!("victims on {node}"), wanted.get(node).cloned(), got);
        }
    }
}

fn names(value: &Value) -> BTreeSet<&str> {
    list(value).iter().filter_map(Value::as_str).collect()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}
