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

    /// A token that names its account. It opens nothing: whoever may reach this server may do everything.
    fn token(&self, target: Target<'_>, request: &Value) -> Result<Written, ApiError> {
        self.get(target)?;
        let lifetime = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(3600);
        if lifetime < 600 {
            let error = crate::error::FieldError::invalid(
                "spec.expirationSeconds",
                &json!(lifetime),
                "may not specify a duration less than 10 minutes",
            );
            return Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", &[error]));
        }
        let until = self.now().checked_add(jiff::SignedDuration::from_secs(lifetime)).unwrap_or(jiff::Timestamp::MAX);
        let [a, b] = self.random();
        let mut answer = request.clone();
        answer["metadata"]["name"] = json!(target.name);
        answer["metadata"]["namespace"] = json!(target.namespace);
        answer["metadata"]["creationTimestamp"] = json!(seconds(self.now()));
        answer["spec"]["expirationSeconds"] = json!(lifetime);
        answer["status"] = json!({
            "token": format!("augur:{}:{}:{a:016x}{b:016x}", target.namespace, target.name),
            "expirationTimestamp": seconds(until),
        });
        remove_meta(&mut answer, "managedFields");
        Ok(Written { answer: Answer::Value(answer), code: 201, warnings: Vec::new() })
    }
}
