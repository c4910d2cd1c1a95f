//! What can be created through a subresource, and what such a request is decoded as.

use serde_json::{Value, json};

use super::{Answer, Target, WriteOptions, Written, meta_text, remove_meta, seconds};
use crate::error::ApiError;
use crate::schema::{self, Type};
use crate::server::ApiServer;

impl ApiServer {
    /// The type of what is exchanged at a target.
    pub(crate) fn type_at(target: Target<'_>) -> Result<&'static Type, ApiError> {
        let resource = target.resource;
        match resource.subresource(target.subresource) {
            Some(part) if !part.group.is_empty() => schema::type_of(part.group, part.version, part.kind),
            Some(part) => schema::type_of(resource.group, resource.version, part.kind),
            None => return Self::type_of(resource),
        }
        .ok_or_else(|| super::internal(format!("no type is known for {}", target.subresource)))
    }

    /// Creates through a subresource.
    pub(crate) fn post_subresource(
        &self,
        target: Target<'_>,
        object: &Value,
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        match (target.resource.plural, target.subresource) {
            ("pods", "binding") => self.bind(target, object, options),
            ("pods", "eviction") => self.evict(target, object, options),
            ("serviceaccounts", "token") => self.token(target, object),
            (_, part) => Err(ApiError::new(
                501,
                "NotImplemented",
                format!("{part} is not simulated: there are no processes behind the pods and services of this server"),
            )),
        }
    }

    /// Binds through the old `bindings` collection: the binding is named after the pod.
    pub(crate) fn post_binding(
        &self,
        namespace: &str,
        binding: &Value,
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        let pods = crate::server::by_qualified("pods")?;
        let target = Target::new(pods, namespace, meta_text(binding, "name")).with_subresource("binding");
        self.bind(target, binding, options)
    }

    /// A token of a service account, which holds as long as this process and the account.
    fn token(&self, target: Target<'_>, request: &Value) -> Result<Written, ApiError> {
        let account = self.get(target)?.value();
        let lifetime = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(3600);
        if lifetime < 600 {
            let error = crate::error::FieldError::invalid(
                "spec.expirationSeconds",
                &json!(lifetime),
                "may not specify a duration less than 10 minutes",
            );
            return Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", &[error]));
        }
        let now = self.now();
        let until = now.checked_add(jiff::SignedDuration::from_secs(lifetime)).unwrap_or(jiff::Timestamp::MAX);
        let audiences = request.pointer("/spec/audiences").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let audiences = audiences.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let token = self
            .sign_token(&account, audiences, now, until)
            .ok_or_else(|| super::internal("the system has no randomness for a key"))?;
        let mut answer = request.clone();
        answer["metadata"]["name"] = json!(target.name);
        answer["metadata"]["namespace"] = json!(target.namespace);
        answer["metadata"]["creationTimestamp"] = json!(seconds(now));
        answer["spec"]["expirationSeconds"] = json!(lifetime);
        answer["status"] = json!({
            "token": token,
            "expirationTimestamp": seconds(until),
        });
        remove_meta(&mut answer, "managedFields");
        Ok(Written { answer: Answer::Value(answer), code: 201, warnings: Vec::new() })
    }
}
