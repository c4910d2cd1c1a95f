//! Rows of pods: readiness, the one word of status, restarts.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::{human_duration, time};
use super::cells::{age_of, condition, items, name, number, text, text_or};

/// The `Completed` condition of a row whose pod has ended.
pub(super) fn row_conditions(pod: &Value) -> Option<Value> {
    let (reason, message) = match text(&pod["status"]["phase"]) {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{ "type": "Completed", "status": "True", "reason": reason, "message": message }]))
}

/// How often containers were restarted, and when one last was.
#[derive(Default, Clone, Copy)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += number(&status["restartCount"]);
        self.last = self.last.max(time(&status["lastState"]["terminated"]["finishedAt"]));
    }
}

/// What the init containers' statuses say of the pod.
struct Initialization {
    /// The word of status of an init container that has not done its work.
    reason: Option<String>,
    ready: i64,
    all: Restarts,
    /// Those of init containers that keep running (sidecars).
    sidecars: Restarts,
}

fn is_sidecar(init_container: &Value) -> bool {
    init_container["restartPolicy"] == "Always"
}

fn initialization(pod: &Value) -> Initialization {
    let specs = items(&pod["spec"]["initContainers"]);
    let mut found = Initialization { reason: None, ready: 0, all: Restarts::default(), sidecars: Restarts::default() };
    for (index, status) in items(&pod["status"]["initContainerStatuses"]).iter().enumerate() {
        let sidecar = specs.iter().any(|c| c["name"] == status["name"] && is_sidecar(c));
        found.all.add(status);
        if sidecar {
            found.sidecars.add(status);
        }
        let (terminated, waiting) = (&status["state"]["terminated"], &status["state"]["waiting"]);
        if terminated.is_object() && number(&terminated["exitCode"]) == 0 {
            continue;
        }
        if sidecar && status["started"] == true {
            found.ready += i64::from(status["ready"] == true);
            continue;
        }
        found.reason = Some(if terminated.is_object() {
            format!("Init:{}", termination(terminated))
        } else {
            match text(&waiting["reason"]) {
                "" | "PodInitializing" => format!("Init:{index}/{}", specs.len()),
                reason => format!("Init:{reason}"),
            }
        });
        break;
    }
    found
}

fn termination(terminated: &Value) -> String {
    let signal = number(&terminated["signal"]);
    match text(&terminated["reason"]) {
        "" if signal != 0 => format!("Signal:{signal}"),
        "" => format!("ExitCode:{}", number(&terminated["exitCode"])),
        reason => reason.to_owned(),
    }
}

/// The cells of a pod.
pub(super) fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let phase = text(&status["phase"]);
    let mut reason = text_or(&status["reason"], phase).to_owned();
    if items(&status["conditions"]).iter().any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated") {
        "SchedulingGated".clone_into(&mut reason);
    }

    let sidecars = items(&spec["initContainers"]).iter().filter(|c| is_sidecar(c)).count();
    let total = items(&spec["containers"]).len() + sidecars;
    let init = initialization(pod);
    let initializing = init.reason.is_some();
    let (mut ready, mut restarts) = (init.ready, init.all);
    if let Some(word) = init.reason {
        reason = word;
    }
    if !initializing || condition(&status["conditions"], "Initialized") == Some("True") {
        restarts = init.sidecars;
        let mut running = false;
        let mut error = String::new();
        for container in items(&status["containerStatuses"]).iter().rev() {
            restarts.add(container);
            let state = &container["state"];
            if !text(&state["waiting"]["reason"]).is_empty() {
                text(&state["waiting"]["reason"]).clone_into(&mut reason);
            } else if state["terminated"].is_object() {
                reason = termination(&state["terminated"]);
                if number(&state["terminated"]["exitCode"]) != 0 {
                    error.clone_from(&reason);
                }
            } else if container["ready"] == true && state["running"].is_object() {
                running = true;
                ready += 1;
            }
        }
        if reason == "Completed" {
            if running && condition(&status["conditions"], "Ready") == Some("True") {
                "Running".clone_into(&mut reason);
            } else if !error.is_empty() {
                reason = error;
            } else if running {
                "NotReady".clone_into(&mut reason);
            }
        }
    }

    if !pod["metadata"]["deletionTimestamp"].is_null() {
        if status["reason"] == "NodeLost" {
            "Unknown".clone_into(&mut reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut reason);
        }
    }

    let restarts = match restarts {
        Restarts { count, last: Some(last) } if count != 0 => {
            format!("{count} ({} ago)", human_duration(now.duration_since(last)))
        }
        Restarts { count, .. } => count.to_string(),
    };
    let gates = items(&spec["readinessGates"]);
    let open = gates
        .iter()
        .filter(|gate| condition(&status["conditions"], text(&gate["conditionType"])) == Some("True"))
        .count();
    let gates = if gates.is_empty() { "<none>".to_owned() } else { format!("{open}/{}", gates.len()) };
    vec![
        name(pod),
        json!(format!("{ready}/{total}")),
        json!(reason),
        json!(restarts),
        age_of(pod, now),
        json!(
            items(&status["podIPs"])
                .first()
                .map_or_else(|| text_or(&status["podIP"], "<none>"), |ip| text_or(&ip["ip"], "<none>"))
        ),
        json!(text_or(&spec["nodeName"], "<none>")),
        json!(text_or(&status["nominatedNodeName"], "<none>")),
        json!(gates),
    ]
}
