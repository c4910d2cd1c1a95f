//! Tables: the columns that kubectl users know.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::resource::Resource;

/// Which part of each object a table row carries (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata, as `PartialObjectMetadata`.
    Metadata,
    /// All of it.
    Object,
}

/// A `meta.k8s.io/v1` Table of the objects. `columns`: whether the column definitions are written (only the first table of
/// a watch has them, later ones have null). `metadata` is the list's (or, for one object, its resourceVersion).
#[must_use]
pub fn table(
    _resource: &Resource,
    _objects: &[Value],
    _include: IncludeObject,
    metadata: &Value,
    _columns: bool,
    _now: Timestamp,
) -> Value {
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": [], "rows": [] })
}
