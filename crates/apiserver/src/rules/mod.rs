//! What the API server makes of an object before it is stored, kind by kind: defaults, admission, validation.

use jiff::Timestamp;
use serde_json::Value;

use crate::error::{ApiError, FieldError};
use crate::resource::Resource;

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
pub fn default(_resource: &Resource, _object: &mut Value) {}

/// Clears what a client may not set on creation (status), sets the generation, and the like.
pub fn prepare_create(_resource: &Resource, _object: &mut Value) {}

/// Keeps what this (sub)resource may not change, raises the generation when the spec changed, and the like.
pub fn prepare_update(_resource: &Resource, _subresource: &str, _object: &mut Value, _old: &Value) {}

/// Admission on creation (priority, default tolerations, limit ranges, protection finalizers, quotas).
pub fn admit_create(_resource: &Resource, _object: &mut Value, _context: &Context<'_>) -> Result<(), ApiError> {
    Ok(())
}

/// Admission on update; `subresource` is empty for the object itself.
pub fn admit_update(
    _resource: &Resource,
    _subresource: &str,
    _object: &mut Value,
    _old: &Value,
    _context: &Context<'_>,
) -> Result<(), ApiError> {
    Ok(())
}

/// Everything wrong with a new object.
#[must_use]
pub fn validate_create(_resource: &Resource, _object: &Value) -> Vec<FieldError> {
    Vec::new()
}

/// Everything wrong with a change.
#[must_use]
pub fn validate_update(_resource: &Resource, _subresource: &str, _object: &Value, _old: &Value) -> Vec<FieldError> {
    Vec::new()
}

/// Texts of `Warning` headers for an object that is valid.
#[must_use]
pub fn warnings(_resource: &Resource, _object: &Value, _old: Option<&Value>) -> Vec<String> {
    Vec::new()
}
