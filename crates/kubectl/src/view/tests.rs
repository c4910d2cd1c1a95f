//! What is shown, to the letter: `golden/NAME.txt` for the answers in `golden/NAME.json`. `AUGUR_GOLDEN=write` writes the texts
//! anew, to be looked at before they are kept.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::cli::SortNodes;

fn golden(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/view/golden").join(file)
}

fn answer(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden(&format!("{name}.json"))).unwrap()).unwrap()
}

fn show(wide: bool) -> Show {
    Show { look: Look::default(), wide, now: "2026-01-06T12:00:00Z".parse().unwrap() }
}

fn check(name: &str, text: &str) {
    let path = golden(&format!("{name}.txt"));
    if std::env::var_os("AUGUR_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, expected, "{name}: set AUGUR_GOLDEN=write if that is what it should be");
}

#[test]
fn nodes_are_shown() {
    let (list, usage) = (answer("nodes"), answer("usage"));
    check("nodes", &nodes(&list, &usage, SortNodes::Name, show(false)).unwrap());
    check("nodes-wide", &nodes(&list, &usage, SortNodes::Stability, show(true)).unwrap());
    check("node-history", &node_history(&list, &usage, 2, show(false)).unwrap());
}

#[test]
fn decisions_are_shown() {
    let list = answer("decisions");
    check("decisions", &decisions(&list, false, show(false)).unwrap());
    check("decisions-wide", &decisions(&list, true, show(true)).unwrap());
}

#[test]
fn workloads_and_pods_are_shown() {
    let (list, placed, usage) = (answer("workloads"), answer("decisions"), answer("pod-usage"));
    check("workloads", &workloads(&list, true, 30, show(false)).unwrap());
    check("workloads-wide", &workloads(&list, false, 1, show(true)).unwrap());
    let one = &list["workloads"][0];
    check("workload", &workload(one, &placed, std::slice::from_ref(&usage), show(false)).unwrap());
    check("pod-history", &pod_history(&placed, &usage, show(false)).unwrap());
}

#[test]
fn a_pod_is_explained() {
    let (decided, outlook) = (answer("explain"), answer("outlook"));
    let pod = ("default", "web-1");
    check("explain", &explain(pod, Some(&decided), Some(&outlook), 3, show(false)).unwrap());
    check("explain-wide", &explain(pod, Some(&decided), Some(&outlook), 3, show(true)).unwrap());
    // Placed by another scheduler; and gone from the cluster.
    check("explain-foreign", &explain(pod, None, Some(&outlook), 9, show(false)).unwrap());
    check("explain-gone", &explain(pod, Some(&decided), None, 9, show(false)).unwrap());
}

#[test]
fn a_dry_run_is_shown() {
    let found = answer("what-if");
    check("what-if", &what_if(&found, show(false)).unwrap());
    check("what-if-wide", &what_if(&found, show(true)).unwrap());
}

#[test]
fn the_rest_is_shown() {
    check("shadow-report", &shadow_report(&answer("shadow-report")).unwrap());
    check("model-status", &model_status(&answer("model-status"), show(false)).unwrap());
    let none = json!({ "model_id": null, "schema": "s", "trained_at": null, "source": null, "last_swap": null,
        "fallback_reason": "not_trained" });
    check("model-none", &model_status(&none, show(false)).unwrap());
}

#[test]
fn another_version_is_told() {
    let error = nodes(&json!({ "nodes": [{ "name": 7 }] }), &json!({ "series": [] }), SortNodes::Name, show(false));
    assert!(error.unwrap_err().to_string().contains("should be of one version"));
}
