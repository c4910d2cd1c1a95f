//! The OpenAPI v3 documents that kubectl needs to validate, apply and explain.

use serde_json::{Value, json};

/// `/openapi/v3`: the paths of the documents with their hashes.
#[must_use]
pub fn index() -> Value {
    json!({ "paths": {} })
}

/// One document by its path below `/openapi/v3/`, such as `api/v1` or `apis/apps/v1`.
#[must_use]
pub fn document(_path: &str) -> Option<Value> {
    None
}
