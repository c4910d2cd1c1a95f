//! Reviews: who a token's user is, and what somebody may do. Answers are those that requests get.

use serde_json::{Value, json};

use super::create::match_namespace;
use super::{Answer, Target, WriteOptions, Written};
use crate::access::{About, Attributes, Rule, User};
use crate::error::{ApiError, FieldError};
use crate::managed::{self, Writer};
use crate::resource::Resource;
use crate::server::ApiServer;

impl ApiServer {
    /// Answers a review of `authorization.k8s.io` or `authentication.k8s.io`.
    pub(crate) fn review(
        &self,
        resource: &'static Resource,
        namespace: &str,
        review: Value,
        options: &WriteOptions<'_>,
        user: &User,
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
                let namespace = answer.pointer("/spec/namespace").and_then(Value::as_str).unwrap_or_default();
                if namespace.is_empty() {
                    return Err(ApiError::bad_request("no namespace on request"));
                }
                let status = rules(&self.rules_of(user, namespace));
                answer["spec"] = json!({});
                answer["metadata"] = json!({});
                answer["status"] = status;
            }
            "selfsubjectreviews" => answer["status"] = json!({ "userInfo": shown(user) }),
            "tokenreviews" => {
                let token = answer.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default();
                if token.is_empty() {
                    return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
                }
                let audiences = answer.pointer("/spec/audiences").and_then(Value::as_array);
                let audiences: Vec<&str> = audiences.into_iter().flatten().filter_map(Value::as_str).collect();
                answer["status"] = match self.review_token(token, &audiences) {
                    Some((user, audiences)) => {
                        json!({ "authenticated": true, "user": shown(&user), "audiences": audiences })
                    }
                    None => json!({ "user": {}, "error": "invalid bearer token" }),
                };
            }
            _ => {
                check_access(resource, namespace, &answer)?;
                let about_others = resource.plural != "selfsubjectaccessreviews";
                let decision = match about_others {
                    true => self.authorize(&subject(&answer["spec"]), &asked(&answer["spec"])),
                    false => self.authorize(user, &asked(&answer["spec"])),
                };
                answer["status"] = json!({ "allowed": decision.allowed });
                if !decision.reason.is_empty() {
                    answer["status"]["reason"] = json!(decision.reason);
                }
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

/// A user as reviews show one.
fn shown(user: &User) -> Value {
    let mut shown = json!({ "username": user.name, "groups": user.groups });
    if !user.uid.is_empty() {
        shown["uid"] = json!(user.uid);
    }
    shown
}

/// Whom a review is about.
fn subject(spec: &Value) -> User {
    let text = |member: &str| spec[member].as_str().unwrap_or_default().to_owned();
    let groups = spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str);
    User { name: text("user"), uid: text("uid"), groups: groups.map(str::to_owned).collect() }
}

/// What a review is about; it has passed [`check_access`].
fn asked(spec: &Value) -> Attributes {
    let of = |member: &str| {
        let attributes = [&spec["resourceAttributes"], &spec["nonResourceAttributes"]];
        let found = attributes.iter().find_map(|attributes| attributes[member].as_str());
        found.unwrap_or_default().to_owned()
    };
    let about = match spec["resourceAttributes"].is_null() {
        true => About::Path(of("path")),
        false => About::Resource {
            group: of("group"),
            resource: of("resource"),
            subresource: of("subresource"),
            namespace: of("namespace"),
            name: of("name"),
        },
    };
    Attributes { verb: of("verb"), about }
}

fn rules(rules: &[Rule]) -> Value {
    let resources: Vec<Value> = rules
        .iter()
        .filter(|rule| !rule.resources.is_empty())
        .map(|rule| json!(Rule { non_resource_urls: Vec::new(), ..rule.clone() }))
        .collect();
    let paths: Vec<Value> = rules
        .iter()
        .filter(|rule| !rule.non_resource_urls.is_empty())
        .map(|rule| json!({ "verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls }))
        .collect();
    json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": false })
}
