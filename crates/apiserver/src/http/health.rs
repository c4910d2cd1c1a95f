//! `/healthz`, `/livez`, `/readyz` with their single checks, and `/version`.

use serde_json::{Value, json};

/// The checks. Each holds as long as the server answers at all: the objects are in its own memory.
const CHECKS: &[&str] = &["ping", "log", "etcd"];

/// The text for a health path and its query; `None` where there is no such check.
pub(super) fn check(endpoint: &str, name: Option<&str>, verbose: bool) -> Option<String> {
    match name {
        Some(name) if CHECKS.contains(&name) => Some("ok".to_owned()),
        Some(_) => None,
        None if verbose => {
            let lines: String = CHECKS.iter().map(|name| format!("[+]{name} ok\n")).collect();
            Some(format!("{lines}{endpoint} check passed\n"))
        }
        None => Some("ok".to_owned()),
    }
}

/// `/version`: the Kubernetes version that the API follows.
pub(super) fn version() -> Value {
    json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": concat!("v1.36.0+augur-", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, arch()),
    })
}

/// The architecture as Go names it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
