//! Binding: the scheduler's write. It sets the node and the `PodScheduled` condition, unless the pod is gated, assigned
//! already or being deleted.

use serde_json::{Value, json};

use super::update::storage_conflict;
use super::{Answer, Target, WriteOptions, Written, meta_mut, meta_text, seconds};
use crate::error::ApiError;
use crate::rules;
use crate::server::ApiServer;
use crate::store::WriteError;

impl ApiServer {
    /// Binds the pod to the node that a `Binding` names.
    pub(super) fn bind(
        &self,
        target: Target<'_>,
        binding: &Value,
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        let node = check(binding)?;
        let named = meta_text(binding, "name");
        if !named.is_empty() && named != target.name {
            return Err(ApiError::bad_request("name in URL does not match name in Binding object"));
        }
        loop {
            let entry = self.get(target)?;
            let live = entry.value();
            let precondition = |what: &str, wanted: &str, actual: &str| {
                if wanted.is_empty() || wanted == actual {
                    return Ok(());
                }
                let why =
                    format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}");
                Err(storage_conflict(target, &why))
            };
            precondition("UID", meta_text(binding, "uid"), meta_text(&live, "uid"))?;
            precondition("ResourceVersion", meta_text(binding, "resourceVersion"), &entry.revision.to_string())?;
            let mut pod = live.clone();
            assign(&mut pod, node, binding, &seconds(self.now())).map_err(|why| refused(target.name, &why))?;
            if let Some(node) = rules::Lookup::get(self, "nodes", "", node) {
                rules::admit_binding(&mut pod, &node);
            }
            match self.commit(target, options, &entry, &live, pod, Vec::new()) {
                Ok(_) => {
                    let mut status = super::delete::success(Value::Null);
                    status["code"] = json!(201);
                    return Ok(Written { answer: Answer::Value(status), code: 201, warnings: Vec::new() });
                }
                Err(WriteError::Gone) => return Err(target.not_found()),
                Err(_) => {}
            }
        }
    }
}

/// The node that is named, if the `Binding` is valid.
fn check(binding: &Value) -> Result<&str, ApiError> {
    let target = |member: &str| binding["target"][member].as_str().unwrap_or_default();
    let kind = target("kind");
    let mut wrong = Vec::new();
    if !matches!(kind, "" | "Node") {
        wrong.push(format!("target.kind: Unsupported value: \"{kind}\": supported values: \"Node\", \"<empty>\""));
    }
    let node = target("name");
    if node.is_empty() {
        wrong.push("target.name: Required value".to_owned());
    }
    match wrong.as_slice() {
        [] => Ok(node),
        // A real server answers these with a 500 that has no reason.
        [one] => Err(ApiError::new(500, "", one.clone())),
        many => Err(ApiError::new(500, "", format!("[{}]", many.join(", ")))),
    }
}

fn refused(name: &str, why: &str) -> ApiError {
    ApiError::new(409, "Conflict", format!("Operation cannot be fulfilled on pods/binding \"{name}\": {why}"))
        .with_details(json!({ "name": name, "kind": "pods/binding" }))
}

fn assign(pod: &mut Value, node: &str, binding: &Value, now: &str) -> Result<(), String> {
    let name = meta_text(pod, "name").to_owned();
    if !meta_text(pod, "deletionTimestamp").is_empty() {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let assigned = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if !assigned.is_empty() {
        return Err(format!("pod {name} is already assigned to node \"{assigned}\""));
    }
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod["spec"]["nodeName"] = json!(node);
    for member in ["annotations", "labels"] {
        let Some(given) = binding["metadata"][member].as_object().filter(|m| !m.is_empty()) else { continue };
        if let Some(meta) = meta_mut(pod)
            && let Some(own) = meta.entry(member).or_insert_with(|| json!({})).as_object_mut()
        {
            own.extend(given.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
    }
    let condition = json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": now,
    });
    let Some(status) = pod.as_object_mut().and_then(|p| p.entry("status").or_insert_with(|| json!({})).as_object_mut())
    else {
        return Ok(());
    };
    // It is said by `spec.nodeName` now.
    status.remove("nominatedNodeName");
    if let Some(conditions) = status.entry("conditions").or_insert_with(|| json!([])).as_array_mut() {
        match conditions.iter_mut().find(|c| c["type"] == "PodScheduled") {
            Some(old) => *old = condition,
            None => conditions.push(condition),
        }
    }
    Ok(())
}
