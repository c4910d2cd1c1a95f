//! JSON patch, merge patch and strategic-merge patch: [`json_patch`], [`merge_patch`], [`strategic_merge_patch`].
//!
//! Each takes the live object and the body of the request and gives the patched object, decoded by its type but not yet
//! defaulted, with the warnings of field validation.

mod json;
mod strategic;

use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::schema::{self, Decoded, FieldValidation, Type};

/// Applies an RFC 6902 patch.
///
/// # Errors
/// 400 for a body that is no patch, 413 for too many operations, 422 for operations that fail or results that do not fit
/// the type.
pub fn json_patch(
    ty: &'static Type,
    live: &Value,
    raw: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, ApiError> {
    let (operations, noted) = json::parse(raw)?;
    let mut object = live.clone();
    json::apply(&mut object, &operations).map_err(|json::Failed| rejected())?;
    schema::decode_patched(ty, &object, noted, validation, Value::to_string)
}

/// Applies an RFC 7386 patch.
///
/// # Errors
/// 400 for a body that is no JSON object, 422 for results that do not fit the type.
pub fn merge_patch(
    ty: &'static Type,
    live: &Value,
    raw: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, ApiError> {
    let wrong = |why: &str| ApiError::bad_request(format!("error decoding patch: {why}"));
    let (patch, noted) = schema::parse_json(raw).map_err(|why| wrong(&why))?;
    match &patch {
        Value::Object(_) => {}
        Value::Null => return Err(ApiError::bad_request("Invalid JSON Patch")),
        other => return Err(wrong(&not_a_map(other))),
    }
    let mut object = live.clone();
    merge(&mut object, patch);
    schema::decode_patched(ty, &object, noted, validation, Value::to_string)
}

/// Applies a strategic-merge patch with the merge keys and directives of the type.
///
/// # Errors
/// 400 for a body that is no JSON object or has malformed directives, 422 for results that do not fit the type, 500 for
/// list items without their merge key and unknown directives (as the real API server answers).
pub fn strategic_merge_patch(
    ty: &'static Type,
    live: &Value,
    raw: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, ApiError> {
    let (patch, noted) = schema::parse_json(raw).map_err(ApiError::bad_request)?;
    let patch = match patch {
        Value::Object(patch) => patch,
        Value::Null => Map::new(),
        other => return Err(ApiError::bad_request(not_a_map(&other))),
    };
    let shown = patch.clone();
    let mut object = strategic::apply(ty, live, patch).map_err(strategic::Error::into_api_error)?;
    // Whatever the patch says of kind and version is ignored.
    for name in ["kind", "apiVersion"] {
        if let (Some(map), Some(value)) = (object.as_object_mut(), live.get(name)) {
            map.insert(name.to_owned(), value.clone());
        }
    }
    schema::decode_patched(ty, &object, noted, validation, |_| strategic::go_map(&shown))
}

fn not_a_map(value: &Value) -> String {
    let what = match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        _ => "number",
    };
    format!("json: cannot unmarshal {what} into Go value of type map[string]interface {{}}")
}

/// 422 without saying why, as the real API server answers.
fn rejected() -> ApiError {
    ApiError::new(422, "Invalid", "the server rejected our request due to an error in our request")
        .with_details(Value::Object(Map::new()))
}

/// Merges as RFC 7386 says.
fn merge(object: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *object = patch;
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Value::Object(map) = object else { return };
    for (name, value) in patch {
        if value.is_null() {
            map.remove(&name);
        } else {
            merge(map.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests;
