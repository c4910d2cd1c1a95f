//! JSON patch, merge patch and strategic-merge patch.

use serde_json::Value;

use crate::error::ApiError;
use crate::schema::Type;

/// Applies an RFC 6902 patch.
pub fn json_patch(live: &Value, _raw: &[u8]) -> Result<Value, ApiError> {
    Ok(live.clone())
}

/// Applies an RFC 7386 patch.
pub fn merge_patch(live: &Value, _raw: &[u8]) -> Result<Value, ApiError> {
    Ok(live.clone())
}

/// Applies a strategic-merge patch with the merge keys and directives of the type.
pub fn strategic_merge_patch(_ty: &'static Type, live: &Value, _raw: &[u8]) -> Result<Value, ApiError> {
    Ok(live.clone())
}
