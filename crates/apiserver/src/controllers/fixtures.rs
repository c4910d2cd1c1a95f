//! Fixtures of tests: objects from JSON, pods from short lines.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::view::{Depth, Entry};

/// `seconds` after the epoch.
pub(super) fn now(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// An object kept whole.
pub(super) fn object(value: Value) -> Arc<Entry> {
    Arc::new(Entry::of(value, Depth::Whole).unwrap())
}

/// Pods from lines `name state node ready-since [deleting]`, separated by `;`. States: pending, running, ready, failed,
/// succeeded. A node `-` is none.
pub(super) fn pods(lines: &str) -> Vec<Arc<Entry>> {
    lines.split(';').filter(|l| !l.trim().is_empty()).map(|line| pod(line, &json!({}))).collect()
}

/// A pod from such a line, with labels.
pub(super) fn pod(line: &str, labels: &Value) -> Arc<Entry> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let word = |i: usize| words.get(i).copied().unwrap_or_default();
    let since: i64 = word(3).parse().unwrap_or(0);
    let phase = match word(1) {
        "pending" => "Pending",
        "failed" => "Failed",
        "succeeded" => "Succeeded",
        _ => "Running",
    };
    let ready = if word(1) == "ready" { "True" } else { "False" };
    let mut value = json!({
        "metadata": {
            "namespace": "n", "name": word(0), "uid": format!("uid-{}", word(0)), "labels": labels,
            "creationTimestamp": now(since).to_string(),
        },
        "spec": {},
        "status": {
            "phase": phase,
            "conditions": [{ "type": "Ready", "status": ready, "lastTransitionTime": now(since).to_string() }],
        },
    });
    if !matches!(word(2), "-" | "") {
        value["spec"]["nodeName"] = json!(word(2));
    }
    if words.contains(&"deleting") {
        value["metadata"]["deletionTimestamp"] = json!(now(since).to_string());
    }
    Arc::new(Entry::of(value, Depth::Pod).unwrap())
}
