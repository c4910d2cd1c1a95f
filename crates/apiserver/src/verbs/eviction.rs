//! Eviction: a deletion that asks the pod's disruption budget first.

use augur_notation::LabelSelector;
use serde_json::{Value, json};

use super::delete::{options_from, success};
use super::update::Origin;
use super::{Answer, DeleteOptions, Target, WriteOptions, Written, meta_text, seconds};
use crate::error::ApiError;
use crate::rules::Lookup;
use crate::server::{ApiServer, by_qualified};

/// Evictions that a budget remembers until its controller has seen them.
const MAX_DISRUPTED_PODS: usize = 2000;

const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

impl ApiServer {
    /// Evicts a pod, if its budget allows it.
    pub(super) fn evict(
        &self,
        target: Target<'_>,
        eviction: &Value,
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        let named = meta_text(eviction, "name");
        if named != target.name {
            return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
        }
        let mut delete = options_from(eviction.get("deleteOptions").unwrap_or(&Value::Null))?;
        delete.dry_run |= options.dry_run;
        let target = target.with_subresource("");
        let pod = self.get(target)?.value();
        let phase = pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
        let disrupted_already =
            matches!(phase, "Succeeded" | "Failed" | "Pending") || !meta_text(&pod, "deletionTimestamp").is_empty();
        if disrupted_already {
            self.delete(target, &delete)?;
            return Ok(done());
        }
        let budgets: Vec<Value> = self
            .list("poddisruptionbudgets.policy", target.namespace)
            .into_iter()
            .filter(|budget| covers(budget, &pod))
            .collect();
        match budgets.as_slice() {
            [] => {}
            [budget] => {
                if !may_go_unhealthy(budget, &pod) {
                    self.spend(target, meta_text(budget, "name"), &delete)?;
                }
            }
            _ => {
                return Err(ApiError::new(
                    500,
                    "",
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        }
        self.mark_and_delete(target, &delete)?;
        Ok(done())
    }

    /// Takes one disruption from the budget.
    fn spend(&self, pod: Target<'_>, budget: &str, delete: &DeleteOptions) -> Result<(), ApiError> {
        let resource = by_qualified("poddisruptionbudgets.policy")?;
        let target = Target::new(resource, pod.namespace, budget).with_subresource("status");
        let now = seconds(self.now());
        let options = WriteOptions { dry_run: delete.dry_run, manager: "kube-apiserver", ..WriteOptions::default() };
        let written = self.write(target, &options, Origin::Patch, |live| {
            let mut budget = live.clone();
            take_one(&mut budget, pod.name, &now)?;
            Ok(budget)
        });
        written.map(|_| ())
    }

    /// Tells in the pod's status why it goes, then deletes it.
    fn mark_and_delete(&self, target: Target<'_>, delete: &DeleteOptions) -> Result<(), ApiError> {
        let mut delete = delete.clone();
        if !delete.dry_run {
            let now = seconds(self.now());
            let status = target.with_subresource("status");
            let options = WriteOptions { manager: "kube-apiserver", ..WriteOptions::default() };
            let entry = self.get(target)?;
            super::delete::check_preconditions(target.resource, &delete, &entry, &entry.value())?;
            let written = self.write(status, &options, Origin::Patch, |live| {
                let mut pod = live.clone();
                set_condition(
                    &mut pod["status"],
                    json!({
                        "type": "DisruptionTarget",
                        "status": "True",
                        "lastProbeTime": null,
                        "lastTransitionTime": now,
                        "reason": "EvictionByEvictionAPI",
                        "message": "Eviction API: evicting",
                    }),
                );
                Ok(pod)
            })?;
            if delete.resource_version.is_some()
                && let Answer::Stored(entry) = &written.answer
            {
                delete.resource_version = Some(entry.revision.to_string());
            }
        }
        self.delete(target, &delete).map(|_| ())
    }
}

fn done() -> Written {
    let mut status = success(Value::Null);
    status["code"] = json!(201);
    Written { answer: Answer::Value(status), code: 201, warnings: Vec::new() }
}

/// Whether the budget's selector matches the pod. A budget without a selector covers nothing, an empty one everything.
fn covers(budget: &Value, pod: &Value) -> bool {
    let Some(selector) = budget.pointer("/spec/selector") else { return false };
    let empty = serde_json::Map::new();
    let labels = selector.get("matchLabels").and_then(Value::as_object).unwrap_or(&empty);
    let equal = labels.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let set_based = expressions.iter().map(|e| {
        let text = |member: &str| e.get(member).and_then(Value::as_str).unwrap_or_default();
        let values = e.get("values").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        (text("key"), text("operator"), values.iter().filter_map(Value::as_str).collect())
    });
    let Ok(selector) = LabelSelector::structured(equal, set_based) else { return false };
    let labels = pod.pointer("/metadata/labels");
    selector.matches(|key| labels.and_then(|l| l.get(key)).and_then(Value::as_str))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn count(budget: &Value, member: &str) -> i64 {
    budget["status"][member].as_i64().unwrap_or(0)
}

/// Whether a pod that is not ready may go without spending the budget.
fn may_go_unhealthy(budget: &Value, pod: &Value) -> bool {
    if is_ready(pod) {
        return false;
    }
    let healthy = count(budget, "currentHealthy");
    let desired = count(budget, "desiredHealthy");
    budget.pointer("/spec/unhealthyPodEvictionPolicy") == Some(&json!("AlwaysAllow"))
        || (healthy >= desired && desired > 0)
}

fn too_many(cause: &str, retry_after: Option<u64>) -> ApiError {
    let mut details = json!({ "causes": [{ "reason": "DisruptionBudget", "message": cause }] });
    if let Some(seconds) = retry_after {
        details["retryAfterSeconds"] = json!(seconds);
    }
    ApiError::new(429, "TooManyRequests", REFUSED).with_details(details)
}

fn take_one(budget: &mut Value, pod: &str, now: &str) -> Result<(), ApiError> {
    let name = meta_text(budget, "name").to_owned();
    let generation = budget["metadata"]["generation"].as_i64().unwrap_or(0);
    if count(budget, "observedGeneration") < generation {
        return Err(too_many(
            &format!("The disruption budget {name} is still being processed by the server."),
            Some(10),
        ));
    }
    let forbidden = |why: &str| {
        ApiError::new(403, "Forbidden", format!("poddisruptionbudget.policy \"{name}\" is forbidden: {why}"))
            .with_details(json!({ "name": name, "group": "policy", "kind": "poddisruptionbudget" }))
    };
    let allowed = count(budget, "disruptionsAllowed");
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    if budget["status"]["disruptedPods"].as_object().is_some_and(|pods| pods.len() > MAX_DISRUPTED_PODS) {
        return Err(forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
    }
    if allowed == 0 {
        let conditions = budget.pointer("/status/conditions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let failed = conditions
            .iter()
            .find(|c| c["type"] == "DisruptionAllowed" && c["status"] == "False" && c["reason"] == "SyncFailed");
        let (healthy, desired) = (count(budget, "currentHealthy"), count(budget, "desiredHealthy"));
        let cause = match failed {
            Some(condition) => format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
                condition["message"].as_str().unwrap_or_default()
            ),
            None if healthy <= desired => {
                format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
            }
            None => format!("The disruption budget {name} does not allow evicting pods currently"),
        };
        return Err(too_many(&cause, None));
    }
    let status = &mut budget["status"];
    status["disruptionsAllowed"] = json!(allowed - 1);
    if allowed == 1 {
        let observed = status["observedGeneration"].clone();
        set_condition(
            status,
            json!({
                "type": "DisruptionAllowed",
                "status": "False",
                "observedGeneration": observed,
                "lastTransitionTime": now,
                "reason": "InsufficientPods",
                "message": "",
            }),
        );
    }
    if !status["disruptedPods"].is_object() {
        status["disruptedPods"] = json!({});
    }
    status["disruptedPods"][pod] = json!(now);
    Ok(())
}

/// Puts a condition into a status, by type; its transition time moves only with its status.
fn set_condition(status: &mut Value, mut condition: Value) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    match conditions.iter_mut().find(|c| c["type"] == condition["type"]) {
        Some(old) => {
            if old["status"] == condition["status"]
                && let Some(time) = old.get("lastTransitionTime")
            {
                condition["lastTransitionTime"] = time.clone();
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
}
