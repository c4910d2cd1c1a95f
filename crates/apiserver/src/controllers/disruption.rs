//! PodDisruptionBudgets: how many of the pods that a budget guards are healthy, and how many may be evicted.
//!
//! Entry point: [`reconcile`].

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::action::{Outcome, Parent, condition, conditions};
use super::view::{Entry, Owner, Pod, int_or_percent, number, text, time, written};

/// The kind.
pub(super) const BUDGET: Parent = Parent {
    resource: "poddisruptionbudgets.policy",
    api_version: "policy/v1",
    kind: "PodDisruptionBudget",
    component: "controllermanager",
};

/// How long an evicted pod may take to get a deletion timestamp before it counts as healthy again.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);

/// Brings the status of a budget up to date. `pods` are those that its selector matches, `scale` gives the wanted number of
/// pods of what controls a pod.
pub(super) fn reconcile(
    budget: &Arc<Entry>,
    pods: &[Arc<Entry>],
    scale: impl Fn(&Owner) -> Option<(Arc<str>, i64)>,
    now: Timestamp,
) -> Outcome {
    let mut outcome = Outcome::default();
    let (spec, old) = (&budget.value()["spec"], &budget.value()["status"]);
    let expected_scale = || {
        let mut by_controller: BTreeMap<Arc<str>, i64> = BTreeMap::new();
        for pod in pods {
            if let Some(owner) = pod.meta().controller() {
                let (uid, wanted) =
                    scale(owner).ok_or_else(|| format!("found no controllers for pod \"{}\"", pod.meta().name))?;
                by_controller.insert(uid, wanted);
            }
        }
        Ok::<i64, String>(by_controller.values().sum())
    };
    let counted = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    let numbers = match (&spec["maxUnavailable"], &spec["minAvailable"]) {
        (Value::Null, Value::Null) => Ok((0, 0)),
        (Value::Null, Value::Number(least)) => Ok((counted, least.as_i64().unwrap_or(0))),
        (Value::Null, least) => expected_scale().map(|wanted| (wanted, int_or_percent(least, wanted, true, 0))),
        (most, _) => expected_scale().map(|wanted| (wanted, (wanted - int_or_percent(most, wanted, true, 0)).max(0))),
    };
    let mut list = conditions(budget);
    let generation = number(&budget.value()["metadata"]["generation"], 0);
    let (expected, desired) = match numbers {
        Ok(numbers) => numbers,
        Err(message) => {
            // Without knowing how many there should be, none may go.
            set_condition(&mut list, "False", "SyncFailed", &message, generation, now);
            let mut status = old.as_object().cloned().unwrap_or_default();
            status.insert("disruptionsAllowed".to_owned(), json!(0));
            status.insert("conditions".to_owned(), Value::Array(list));
            outcome.actions.extend(BUDGET.status(budget, status));
            return outcome;
        }
    };
    let mut disrupted = Map::new();
    for pod in pods.iter().filter(|p| !p.meta().deleting()) {
        let since = &old["disruptedPods"][&*pod.meta().name];
        if let Some(until) = time(since).and_then(|t| t.checked_add(DELETION_TIMEOUT).ok())
            && until >= now
        {
            disrupted.insert(pod.meta().name.to_string(), since.clone());
            outcome.again(until.checked_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX));
        }
    }
    let healthy = pods
        .iter()
        .filter(|p| !p.meta().deleting() && !disrupted.contains_key(&*p.meta().name) && p.pod().is_some_and(Pod::ready))
        .count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
    let (word, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    set_condition(&mut list, word, reason, "", generation, now);

    let mut status = Map::new();
    if generation != 0 {
        status.insert("observedGeneration".to_owned(), json!(generation));
    }
    if !disrupted.is_empty() {
        status.insert("disruptedPods".to_owned(), Value::Object(disrupted));
    }
    status.insert("disruptionsAllowed".to_owned(), json!(allowed));
    status.insert("currentHealthy".to_owned(), json!(healthy));
    status.insert("desiredHealthy".to_owned(), json!(desired));
    status.insert("expectedPods".to_owned(), json!(expected));
    status.insert("conditions".to_owned(), Value::Array(list));
    outcome.actions.extend(BUDGET.status(budget, status));
    outcome
}

fn set_condition(list: &mut Vec<Value>, status: &str, reason: &str, message: &str, generation: i64, now: Timestamp) {
    const KIND: &str = "DisruptionAllowed";
    let since = match condition(list, KIND) {
        Some(c) if c["status"] == status => {
            let same = text(&c["reason"]) == reason
                && text(&c["message"]) == message
                && number(&c["observedGeneration"], 0) == generation;
            if same {
                return;
            }
            c["lastTransitionTime"].clone()
        }
        _ => written(now),
    };
    list.retain(|c| c["type"] != KIND);
    let mut new = json!({
        "type": KIND,
        "status": status,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    });
    if generation != 0 {
        new["observedGeneration"] = json!(generation);
    }
    list.push(new);
}

#[cfg(test)]
mod tests {
    use super::super::action::Action;
    use super::super::fixtures::{now, object, pods};
    use super::*;

    fn status(spec: &Value, old: &Value, lines: &str, wanted: i64) -> Value {
        let budget = object(
            json!({ "metadata": { "namespace": "n", "name": "b", "generation": 1 }, "spec": spec, "status": old }),
        );
        let mut list = pods(lines);
        for entry in &mut list {
            let mut value = json!({ "metadata": {
                "namespace": "n", "name": entry.meta().name, "uid": entry.meta().uid,
                "ownerReferences": [{ "uid": "rs", "controller": true }] },
                "status": { "conditions": [{ "type": "Ready", "status": if entry.pod().unwrap().ready() { "True" } else { "False" } }] } });
            if entry.meta().deleting() {
                value["metadata"]["deletionTimestamp"] = json!(now(1).to_string());
            }
            *entry = Arc::new(Entry::of(value, super::super::view::Depth::Pod).unwrap());
        }
        let outcome = reconcile(&budget, &list, |owner| Some((Arc::clone(&owner.uid), wanted)), now(1000));
        match &outcome.actions[..] {
            [Action::Patch { patch, .. }] => patch["status"].clone(),
            other => panic!("{other:?}"),
        }
    }

    fn numbers(status: &Value) -> [i64; 4] {
        ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"].map(|n| status[n].as_i64().unwrap())
    }

    #[test]
    fn a_budget_counts_what_may_go() {
        let lines = "a ready n1 1; b ready n1 1; c running n1 1; d ready n1 1 deleting";
        assert_eq!(numbers(&status(&json!({ "minAvailable": 1 }), &json!({}), lines, 4)), [4, 1, 2, 1]);
        assert_eq!(numbers(&status(&json!({ "minAvailable": "50%" }), &json!({}), lines, 5)), [5, 3, 2, 0]);
        assert_eq!(numbers(&status(&json!({ "maxUnavailable": 3 }), &json!({}), lines, 4)), [4, 1, 2, 1]);
        assert_eq!(numbers(&status(&json!({ "maxUnavailable": "10%" }), &json!({}), lines, 4)), [4, 3, 2, 0]);
    }

    #[test]
    fn an_evicted_pod_is_not_healthy_until_its_eviction_is_overdue() {
        let old = |seconds: i64| json!({ "disruptedPods": { "a": now(seconds).to_string() } });
        let lines = "a ready n1 1; b ready n1 1";
        let fresh = status(&json!({ "minAvailable": 1 }), &old(950), lines, 2);
        assert_eq!(numbers(&fresh), [2, 1, 1, 0]);
        let overdue = status(&json!({ "minAvailable": 1 }), &old(800), lines, 2);
        assert_eq!(numbers(&overdue), [2, 1, 2, 1]);
        assert!(overdue["disruptedPods"].is_null());
    }
}
