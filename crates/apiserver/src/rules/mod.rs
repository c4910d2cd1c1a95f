//! What the API server makes of an object before it is stored, kind by kind: defaults, admission, validation.
//!
//! A creation goes through [`default`], [`admit_create`], [`prepare_create`], [`validate_create`] and [`check_create`] in this
//! order, an update through their namesakes; [`warnings`] come last. The table in `strategy` says which functions a kind has.

mod admission;
mod config;
mod containers;
mod cron;
mod events;
mod ingress;
mod jobs;
mod kept;
mod metadata;
mod names;
mod node;
mod other_kinds;
mod path;
mod pod_defaults;
mod pod_update;
mod pod_validation;
mod policy;
mod resources;
mod scheduling;
mod security;
mod service;
mod storage;
mod strategy;
#[cfg(test)]
mod tests;
mod value;
mod volumes;
mod warnings;
mod workloads;

use jiff::Timestamp;
use serde_json::Value;

use crate::error::{ApiError, FieldError};
use crate::resource::Resource;
use path::Errors;
use strategy::strategy;

/// What rules may look up of other objects.
pub trait Lookup {
    /// An object by the resource's plural (with `.group` outside the core group), namespace (empty if none) and name.
    fn get(&self, qualified: &str, namespace: &str, name: &str) -> Option<Value>;
    /// All objects of a resource in a namespace (all namespaces when empty).
    fn list(&self, qualified: &str, namespace: &str) -> Vec<Value>;
}

/// What a request brings along.
pub struct Context<'a> {
    /// The present.
    pub now: Timestamp,
    /// The namespace of the request; empty if none.
    pub namespace: &'a str,
    /// Other objects.
    pub lookup: &'a dyn Lookup,
}

/// Fills in defaults, as the API does on every decode.
pub fn default(resource: &Resource, object: &mut Value) {
    (strategy(resource).default)(object);
}

/// Clears what a client may not set on creation (status), sets the generation, and the like. Name, UID and time of creation
/// are set before.
pub fn prepare_create(resource: &Resource, object: &mut Value) {
    value::remove(value::entry(object, "metadata"), "generation");
    (strategy(resource).prepare_create)(object);
}

/// Keeps what this (sub)resource may not change, raises the generation when the spec changed, and the like.
pub fn prepare_update(resource: &Resource, subresource: &str, object: &mut Value, old: &Value) {
    metadata::keep_generation(object, old);
    (strategy(resource).prepare_update)(subresource, object, old);
    metadata::keep_server_fields(object, old);
}

/// Admission on creation (priority, default tolerations, limit ranges, protection finalizers, allocation of service IPs).
///
/// # Errors
/// What admission refuses: 403, or 422 for an address or a port that is taken.
pub fn admit_create(resource: &Resource, object: &mut Value, context: &Context<'_>) -> Result<(), ApiError> {
    admission::create(resource, object, context)
}

/// Admission on update; `subresource` is empty for the object itself.
///
/// # Errors
/// What admission refuses.
pub fn admit_update(
    resource: &Resource,
    subresource: &str,
    object: &mut Value,
    old: &Value,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    admission::update(resource, subresource, object, old, context)
}

/// What admission refuses of a new object that is valid (bounds of limit ranges, a second default class).
///
/// # Errors
/// 403.
pub fn check_create(resource: &Resource, object: &Value, context: &Context<'_>) -> Result<(), ApiError> {
    admission::check_create(resource, object, context)
}

/// What admission refuses of an update that is valid.
///
/// # Errors
/// 403.
pub fn check_update(
    resource: &Resource,
    subresource: &str,
    object: &Value,
    old: &Value,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    admission::check_update(resource, subresource, object, old, context)
}

/// Puts the labels of a node's place on a pod that is bound to it, as admission does with bindings.
pub fn admit_binding(pod: &mut Value, node: &Value) {
    pod_update::copy_topology_labels(pod, node);
}

/// Everything wrong with a new object.
#[must_use]
pub fn validate_create(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let strategy = strategy(resource);
    (strategy.validate_create)(object, &mut errors);
    if errors.is_empty() && !strategy.checks_metadata {
        metadata::validate(object, resource.namespaced, names::path_segment, &mut errors);
    }
    errors.0
}

/// Everything wrong with a change.
#[must_use]
pub fn validate_update(resource: &Resource, subresource: &str, object: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::default();
    metadata::validate_common_update(object, old, resource.namespaced, &mut errors);
    (strategy(resource).validate_update)(subresource, object, old, &mut errors);
    errors.0
}

/// The answer to an object that breaks rules.
#[must_use]
pub fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> ApiError {
    // Both groups of events share one type, that of the core group.
    let group = if resource.group == "events.k8s.io" { "" } else { resource.group };
    ApiError::invalid(group, resource.kind, name, errors)
}

/// Texts of `Warning` headers for an object that is valid.
#[must_use]
pub fn warnings(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<String> {
    let mut texts = Vec::new();
    (strategy(resource).warnings)(object, old, &mut texts);
    texts
}
