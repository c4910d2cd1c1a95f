//! Who may know whom: the table of `docs/design/0001-house.md`, checked against what cargo resolves.
//!
//! Direct dependencies between our crates come from the manifests; what the pure crates reach at any depth comes from
//! `cargo tree`, which, unlike `Cargo.lock`, tells dependencies of the library from those of its tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Violation;

/// Each crate of ours, and the ones of ours it may use outside its tests.
pub const TABLE: &[(&str, &[&str])] = &[
    ("augur-clock", &[]),
    ("augur-notation", &[]),
    ("augur-forest", &[]),
    ("augur-core", &["augur-notation"]),
    ("augur-config", &["augur-core", "augur-notation"]),
    ("augur-history", &["augur-core"]),
    ("augur-learn", &["augur-core", "augur-history", "augur-forest"]),
    ("augur-kube", &["augur-core", "augur-clock", "augur-notation"]),
    ("augur-apiserver", &["augur-clock", "augur-notation"]),
    ("augur-sandbox", &["augur-apiserver", "augur-clock", "augur-notation"]),
    ("augur-api", &["augur-core", "augur-history", "augur-learn", "augur-clock"]),
    ("augur-kubectl", &[]),
    (
        "augur",
        &[
            "augur-clock",
            "augur-notation",
            "augur-forest",
            "augur-config",
            "augur-core",
            "augur-history",
            "augur-learn",
            "augur-kube",
            "augur-apiserver",
            "augur-sandbox",
            "augur-api",
            "augur-kubectl",
        ],
    ),
    ("augur-testkit", &[]),
    ("xtask", &[]),
];

/// The crates that decide and predict: time, randomness and I/O reach them only as arguments.
pub const PURE: &[&str] = &["augur-core", "augur-forest"];

/// What a pure crate must not reach at any depth: runtimes, clients, randomness, clocks, serialisation.
const IMPURE: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "futures",
    "kube",
    "kube-client",
    "k8s-openapi",
    "hyper",
    "axum",
    "reqwest",
    "rand",
    "rand_core",
    "fastrand",
    "getrandom",
    "serde",
    "serde_core",
    "serde_json",
    "jiff",
    "chrono",
    "time",
    "quanta",
    "web-time",
    "augur-clock",
];

/// A crate of the workspace with its direct dependencies by purpose.
#[derive(Debug, Default)]
pub struct Member {
    /// For the library or binary itself, or its build script.
    pub normal: BTreeSet<String>,
    /// For its tests and benchmarks only.
    pub dev: BTreeSet<String>,
}

/// Runs the checks of this module over the checkout at `root`.
///
/// # Errors
/// When cargo cannot describe the workspace.
pub fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let members = members(&cargo(root, &["metadata", "--no-deps", "--format-version", "1"])?)?;
    let mut found = direction(&members);
    for pure in PURE {
        let args = ["tree", "--package", pure, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
        found.extend(purity(pure, &cargo(root, &args)?));
    }
    Ok(found)
}

fn cargo(root: &Path, args: &[&str]) -> Result<String, String> {
    let out = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .args(args)
        .arg("--offline")
        .output()
        .map_err(|e| format!("cargo {}: {e}", args[0]))?;
    if !out.status.success() {
        return Err(format!("cargo {}: {}", args[0], String::from_utf8_lossy(&out.stderr)));
    }
    String::from_utf8(out.stdout).map_err(|e| format!("cargo {}: {e}", args[0]))
}

fn members(metadata: &str) -> Result<BTreeMap<String, Member>, String> {
    let metadata: Value = serde_json::from_str(metadata).map_err(|e| format!("cargo metadata: {e}"))?;
    let mut members = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let mut member = Member::default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or_default().to_owned();
            if dependency["kind"] == "dev" { &mut member.dev } else { &mut member.normal }.insert(name);
        }
        members.insert(package["name"].as_str().unwrap_or_default().to_owned(), member);
    }
    Ok(members)
}

/// Every direct dependency between crates of ours must be in [`TABLE`].
fn direction(members: &BTreeMap<String, Member>) -> Vec<Violation> {
    let table: BTreeMap<_, _> = TABLE.iter().copied().collect();
    let mut found = Vec::new();
    for name in table.keys().filter(|name| !members.contains_key(**name)) {
        found.push(Violation::new(*name, "is in the table of crates, but not in the workspace"));
    }
    for (name, member) in members {
        let Some(allowed) = table.get(name.as_str()) else {
            found.push(Violation::new(
                name,
                "is not in the table of crates (docs/design/0001-house.md, xtask/src/deps.rs)",
            ));
            continue;
        };
        for dependency in member.normal.iter().filter(|d| members.contains_key(*d)) {
            if dependency == "augur-testkit" {
                found.push(Violation::new(name, "may use augur-testkit in its tests only"));
            } else if !allowed.contains(&dependency.as_str()) {
                found.push(Violation::new(name, format!("must not depend on {dependency}")));
            }
        }
        // The tests of a library may use the testkit; beyond that they see no more of the house than the library does.
        for dependency in member.dev.iter().filter(|d| members.contains_key(*d)) {
            if dependency != "augur-testkit" && !allowed.contains(&dependency.as_str()) {
                found.push(Violation::new(name, format!("must not depend on {dependency}, not even in its tests")));
            }
        }
    }
    found
}

/// `tree` is what `cargo tree --prefix none` prints: one `name vX.Y.Z …` per line.
fn purity(name: &str, tree: &str) -> Vec<Violation> {
    let reached: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    IMPURE
        .iter()
        .filter(|impure| reached.contains(*impure))
        .map(|impure| Violation::new(name, format!("must not reach {impure}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_keeps_its_direction_and_its_pure_crates_pure() {
        crate::assert_none(&check(&crate::workspace_root()).unwrap());
    }

    fn workspace(extra: &str) -> BTreeMap<String, Member> {
        let mut members: BTreeMap<String, Member> =
            TABLE.iter().map(|(name, _)| ((*name).to_owned(), Member::default())).collect();
        members.extend(super::members(extra).unwrap());
        members
    }

    #[test]
    fn a_dependency_against_the_direction_is_found() {
        let members = workspace(
            r#"{"packages": [{"name": "augur-core", "dependencies": [
                {"name": "augur-clock", "kind": null}, {"name": "augur-testkit", "kind": "dev"}, {"name": "proptest", "kind": "dev"}]}]}"#,
        );
        assert_eq!(direction(&members), [Violation::new("augur-core", "must not depend on augur-clock")]);
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let members = workspace(
            r#"{"packages": [{"name": "augur-api", "dependencies": [{"name": "augur-testkit", "kind": null}]}]}"#,
        );
        assert_eq!(direction(&members), [Violation::new("augur-api", "may use augur-testkit in its tests only")]);
    }

    #[test]
    fn an_unlisted_crate_is_found() {
        let members = workspace(r#"{"packages": [{"name": "augur-extra", "dependencies": []}]}"#);
        assert!(direction(&members).iter().any(|v| v.place == "augur-extra"));
    }

    #[test]
    fn an_impure_crate_is_found_at_any_depth() {
        let tree = "augur-core v0.1.0 (/somewhere)\nahash v0.8.1\ngetrandom v0.3.4\nahash v0.8.1 (*)\n";
        assert_eq!(purity("augur-core", tree), [Violation::new("augur-core", "must not reach getrandom")]);
        assert!(purity("augur-core", "augur-core v0.1.0\nrandom_forest v1.0.0\n").is_empty());
    }
}
