//! What is known of each API type: its fields, their wire types and list semantics.

use serde_json::Value;

use crate::error::ApiError;

/// A type of the table.
#[derive(Debug)]
pub struct Type {
    /// The Go name that error texts show, such as `v1.Pod`.
    pub name: String,
}

/// What to do with fields that the type does not have (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them.
    Ignore,
    /// Drop them and warn.
    Warn,
    /// Refuse the request.
    Strict,
}

/// An object as the API shows it, with what the client is to be warned of.
#[derive(Debug)]
pub struct Decoded {
    /// The object.
    pub object: Value,
    /// Texts of `Warning` headers.
    pub warnings: Vec<String>,
}

/// The type of a kind; `None` when it is not in the table.
#[must_use]
pub fn type_of(_group: &str, _version: &str, _kind: &str) -> Option<&'static Type> {
    None
}

/// Decodes a JSON body as a Go client's struct would: unknown fields by `validation`, quantities canonical, empty optional
/// fields left out, fields that are always written present.
pub fn decode_json(_ty: &'static Type, raw: &[u8], _validation: FieldValidation) -> Result<Decoded, ApiError> {
    let object = serde_json::from_slice(raw).map_err(|e| ApiError::bad_request(e.to_string()))?;
    Ok(Decoded { object, warnings: Vec::new() })
}

/// The same for an object that is parsed already, such as the result of a patch.
pub fn normalize(_ty: &'static Type, object: Value, _validation: FieldValidation) -> Result<Decoded, ApiError> {
    Ok(Decoded { object, warnings: Vec::new() })
}
