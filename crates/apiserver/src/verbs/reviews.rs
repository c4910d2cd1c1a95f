//! Reviews of who may do what. There are no roles here: whoever is let in may do everything, and is told so.

use serde_json::{Value, json};

use super::create::match_namespace;
use super::{Answer, Target, WriteOptions, Written};
use crate::error::{ApiError, FieldError};
use crate::managed::{self, Writer};
use crate::resource::Resource;
use crate::server::ApiServer;

/// Who everybody is.
const USER: &str = "system:admin";

impl ApiServer {
    /// Answers a review of `authorization.k8s.io` or `authentication.k8s.io`.
    pub(crate) fn review(
        &self,
        resource: &'static Resource,
        namespace: &str,
        review: Value,
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        let mut answer = review;
        if resource.namespaced {
            match_namespace(Target::new(resource, namespace, ""), &mut answer)?;
        }
        let api_version = resource.api_version();
        let by = Writer { manager: options.manager, api_version: &api_version, subresource: "", now: self.now() };
        managed::track_update(Self::type_of(resource)?, None, &mut answer, &by);
        match resource.plural {
            "selfsubjectrulesreviews" => {
                if answer.pointer("/spec/namespace").and_then(Value::as_str).unwrap_or_default().is_empty() {
                    return Err(ApiError::bad_request("no namespace on request"));
                }
                answer["spec"] = json!({});
                answer["metadata"] = json!({});
                answer["status"] = rules();
            }
            "selfsubjectreviews" => {
                answer["status"] = json!({
                    "userInfo": { "username": USER, "groups": ["system:masters", "system:authenticated"] },
                });
            }
            "tokenreviews" => {
                let token = answer.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default();
                if token.is_empty() {
                    let error = FieldError::required("spec.token", "");
                    return Err(ApiError::invalid(resource.group, resource.kind, "", &[error]));
                }
                let known = self.0.options.tokens.is_empty() || self.0.options.tokens.iter().any(|t| t == token);
                answer["status"] = if known {
                    json!({ "authenticated": true, "user": { "username": USER, "groups": ["system:masters"] } })
                } else {
                    json!({ "user": {} })
                };
            }
            _ => {
                check_access(resource, namespace, &answer)?;
                answer["status"] = json!({ "allowed": true });
            }
        }
        Ok(Written { answer: Answer::Value(answer), code: 201, warnings: Vec::new() })
    }
}

fn check_access(resource: &Resource, namespace: &str, review: &Value) -> Result<(), ApiError> {
    let spec = &review["spec"];
    let has = |member: &str| spec.get(member).is_some_and(|v| !v.is_null());
    let mut errors = Vec::new();
    if has("resourceAttributes") == has("nonResourceAttributes") {
        let (field, value, detail) = if has("resourceAttributes") {
            (
                "spec.nonResourceAttributes",
                &spec["nonResourceAttributes"],
                "cannot be specified in combination with resourceAttributes",
            )
        } else {
            (
                "spec.resourceAttributes",
                &Value::Null,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )
        };
        errors.push(FieldError::invalid(field, value, detail));
    }
    let about_others = resource.plural != "selfsubjectaccessreviews";
    let groups = spec.get("groups").and_then(Value::as_array).is_some_and(|g| !g.is_empty());
    if about_others && spec["user"].as_str().unwrap_or_default().is_empty() && !groups {
        let detail = "at least one of user or group must be specified";
        errors.push(FieldError::invalid("spec.user", &json!(""), detail));
    }
    if resource.namespaced {
        let asked = spec.pointer("/resourceAttributes/namespace").and_then(Value::as_str).unwrap_or_default();
        if has("resourceAttributes") && asked != namespace {
            let detail = "must match metadata.namespace";
            errors.push(FieldError::invalid("spec.resourceAttributes.namespace", &json!(asked), detail));
        }
        if has("nonResourceAttributes") {
            let detail = "disallowed on this kind of request";
            errors.push(FieldError::invalid("spec.nonResourceAttributes", &spec["nonResourceAttributes"], detail));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let mut error = ApiError::invalid(resource.group, "", "", &errors);
    if let Some(details) = error.details.as_object_mut() {
        // A real server leaves the kind of these out.
        details.remove("kind");
    }
    Err(error)
}

fn rules() -> Value {
    json!({
        "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
        "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
        "incomplete": false,
    })
}
