//! The `scale` subresource: the replicas of a workload, the same way for every kind.

use serde_json::{Value, json};

use super::patch::apply_patch;
use super::update::Origin;
use super::{Answer, PatchFormat, Target, WriteOptions, Written, meta_text, set_meta};
use crate::error::{ApiError, FieldError};
use crate::managed::{self, Writer};
use crate::resource::Resource;
use crate::server::ApiServer;

impl ApiServer {
    /// The scale of a workload.
    pub(crate) fn get_scale(&self, target: Target<'_>) -> Result<Value, ApiError> {
        Ok(scale_of(target.resource, &self.get(target)?.value()))
    }

    /// Replaces the scale of a workload.
    pub(crate) fn update_scale(
        &self,
        target: Target<'_>,
        scale: &Value,
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        let name = meta_text(scale, "name");
        if name != target.name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                target.name
            )));
        }
        self.write_scale(target, options, |_| Ok(scale.clone()))
    }

    /// Patches the scale of a workload.
    pub(crate) fn patch_scale(
        &self,
        target: Target<'_>,
        format: PatchFormat,
        raw: &[u8],
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        let ty = Self::type_at(target)?;
        // An apply is merged: who owns the replicas is recorded with the workload.
        let format = if format == PatchFormat::Apply { PatchFormat::Merge } else { format };
        self.write_scale(target, options, |live| {
            apply_patch(ty, format, live, raw, options.validation).map(|decoded| decoded.object)
        })
    }

    fn write_scale(
        &self,
        target: Target<'_>,
        options: &WriteOptions<'_>,
        mut change: impl FnMut(&Value) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        let resource = target.resource;
        let api_version = resource.api_version();
        let now = self.now();
        let by = Writer { manager: options.manager, api_version: &api_version, subresource: "scale", now };
        let written = self.write(target, options, Origin::Apply, |live| {
            let scale = change(&scale_of(resource, live))?;
            let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
            if replicas < 0 {
                let error =
                    FieldError::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
                return Err(ApiError::invalid("autoscaling", "Scale", target.name, &[error]));
            }
            let uid = meta_text(&scale, "uid");
            let actual = meta_text(live, "uid");
            if !uid.is_empty() && uid != actual {
                let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {actual}");
                return Err(ApiError::conflict(resource, target.name, &why));
            }
            let mut object = live.clone();
            object["spec"]["replicas"] = json!(replicas);
            managed::track_scale(live, &mut object, &by);
            let version = meta_text(&scale, "resourceVersion").to_owned();
            set_meta(&mut object, "resourceVersion", version);
            Ok(object)
        })?;
        let scale = scale_of(resource, &written.answer.into_value());
        Ok(Written { answer: Answer::Value(scale), code: written.code, warnings: written.warnings })
    }
}

fn scale_of(resource: &Resource, object: &Value) -> Value {
    let mut metadata = json!({});
    for member in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(member) {
            metadata[member] = value.clone();
        }
    }
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let mut status = json!({ "replicas": number("/status/replicas") });
    let selector = selector_text(resource, object);
    if !selector.is_empty() {
        status["selector"] = json!(selector);
    }
    // A Go struct leaves a zero out.
    let replicas = number("/spec/replicas");
    let spec = if replicas == 0 { json!({}) } else { json!({ "replicas": replicas }) };
    json!({ "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status })
}

/// The workload's selector in text form, terms sorted.
fn selector_text(resource: &Resource, object: &Value) -> String {
    let empty = serde_json::Map::new();
    let selector = &object["spec"]["selector"];
    let labels = if resource.plural == "replicationcontrollers" { selector } else { &selector["matchLabels"] };
    let mut terms: Vec<String> = labels
        .as_object()
        .unwrap_or(&empty)
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in selector["matchExpressions"].as_array().map_or(&[][..], Vec::as_slice) {
        let key = expression["key"].as_str().unwrap_or_default();
        let mut values: Vec<&str> = expression["values"]
            .as_array()
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        values.sort_unstable();
        terms.push(match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({})", values.join(",")),
            Some("NotIn") => format!("{key} notin ({})", values.join(",")),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    terms.sort_unstable();
    terms.join(",")
}
