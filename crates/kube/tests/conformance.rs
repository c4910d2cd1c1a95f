//! The recorded answers of kube-scheduler 1.36, taken the way of a cluster's objects: wire types, conversion, decision.
//!
//! The cases are those in the core's `tests/conformance`; case and comparison are the ones of `augur conformance`.

#[path = "../../augur/src/commands/conformance/case.rs"]
mod case;
#[path = "../../augur/src/commands/conformance/compare.rs"]
mod compare;

use std::path::Path;

#[test]
fn objects_as_the_api_writes_them_are_answered_as_kube_scheduler_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/conformance");
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        for case in augur_testkit::read_json_lines_gz(&path) {
            let differences = match case::decide(&case) {
                Ok((state, decision)) => compare::differences(&case["expected"], &decision, &state),
                Err(problem) => vec![problem],
            };
            if !differences.is_empty() {
                wrong.push(format!("{}: {}", case["id"], differences.join("\n  ")));
            }
        }
    }
    let shown: Vec<&str> = wrong.iter().take(10).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} cases differ; the first:\n{}", wrong.len(), shown.join("\n"));
}
