//! The schemas of a group's document: its kinds, their lists and all that they refer to.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::resource::RESOURCES;
use crate::schema::{Field, ListType, Type, Wire, type_by_id, type_of};

/// Short descriptions of types and fields, one a line: the name of the type, `.` and the name of the field if it is one, a
/// space, and the text.
pub(super) const DESCRIPTIONS: &str = include_str!("descriptions.txt");

static TEXTS: LazyLock<HashMap<&'static str, &'static str>> =
    LazyLock::new(|| DESCRIPTIONS.lines().filter_map(|line| line.split_once(' ')).collect());

/// Types without fields of their own.
const SCALARS: &[(&str, &str)] = &[
    (
        "io.k8s.apimachinery.pkg.api.resource.Quantity",
        r#"{"description":"An amount, such as 500m, 2 or 1.5Gi.","oneOf":[{"type":"string"},{"type":"number"}]}"#,
    ),
    (
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        r#"{"description":"A number, or a string such as a percentage or a port's name.","format":"int-or-string","oneOf":[{"type":"integer"},{"type":"string"}]}"#,
    ),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
        r#"{"description":"A time in RFC 3339, to the second.","type":"string","format":"date-time"}"#,
    ),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
        r#"{"description":"A time in RFC 3339, to the microsecond.","type":"string","format":"date-time"}"#,
    ),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        r#"{"description":"A set of fields as a tree.","type":"object"}"#,
    ),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
        r#"{"description":"A patch in the format that the content type names.","type":"object"}"#,
    ),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", r#"{"description":"An object of any kind.","type":"object"}"#),
];

/// The name of a type's schema.
pub(super) fn name_of(ty: &Type) -> String {
    match ty.id.strip_prefix("meta.") {
        Some(rest) => format!("io.k8s.apimachinery.pkg.apis.meta.{rest}"),
        None => format!("io.k8s.api.{}", ty.id),
    }
}

/// A reference to a schema.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// All schemas of a group and version.
pub(super) fn of_group(group: &str, version: &str) -> Map<String, Value> {
    let mut out: Map<String, Value> = Map::new();
    for (name, text) in SCALARS {
        out.insert((*name).to_owned(), serde_json::from_str(text).unwrap_or_default());
    }
    let mut done = BTreeSet::new();
    let mut todo: Vec<&'static Type> = ["DeleteOptions", "Status", "ListMeta", "ObjectMeta"]
        .iter()
        .filter_map(|name| type_by_id(&format!("meta.v1.{name}")))
        .collect();
    for resource in RESOURCES.iter().filter(|r| r.group == group && r.version == version) {
        if let Some(ty) = type_of(group, version, resource.kind) {
            todo.push(ty);
            if resource.verbs.names().contains(&"list") {
                out.insert(format!("{}List", name_of(ty)), list_of(ty));
            }
        }
        for part in resource.subresources {
            let (group, version) =
                if part.group.is_empty() { (resource.group, resource.version) } else { (part.group, part.version) };
            todo.extend(type_of(group, version, part.kind));
        }
    }
    if group == "metrics.k8s.io" {
        out.extend(metrics());
    }
    while let Some(ty) = todo.pop() {
        if done.insert(ty.id) {
            todo.extend(ty.fields.iter().filter_map(|field| field.wire.element()));
            out.insert(name_of(ty), schema(ty, group));
        }
    }
    out
}

fn schema(ty: &Type, of_group: &str) -> Value {
    let properties: Map<String, Value> =
        ty.fields.iter().map(|field| (field.name.to_owned(), property(ty, field))).collect();
    let required: Vec<&str> = ty.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if let Some(text) = TEXTS.get(ty.id) {
        schema["description"] = json!(text);
    }
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if ty.atomic {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    if ty.is_root() {
        let kinds = match ty.short_name() {
            // Options are of every group.
            "DeleteOptions" if !of_group.is_empty() => {
                vec![kind("", "v1", "DeleteOptions"), kind(of_group, "v1", "DeleteOptions")]
            }
            name if ty.id.starts_with("meta.") => vec![kind("", "v1", name)],
            name => vec![kind(ty.group(), "v1", name)],
        };
        schema["x-kubernetes-group-version-kind"] = json!(kinds);
    }
    schema
}

/// A kind as operations and schemas name it.
pub(super) fn kind(group: &str, version: &str, kind: &str) -> Value {
    json!({ "group": group, "version": version, "kind": kind })
}

fn property(ty: &Type, field: &Field) -> Value {
    let mut property = match field.name {
        "fieldsV1" => reference("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"),
        _ => of_wire(&field.wire),
    };
    if property.get("$ref").is_some() {
        property = json!({ "allOf": [property] });
    }
    if !field.pointer {
        match &field.wire {
            Wire::Struct(_) => property["default"] = json!({}),
            Wire::String(_) if !field.omit_empty => property["default"] = json!(""),
            Wire::Bool if !field.omit_empty => property["default"] = json!(false),
            Wire::I32 | Wire::I64 if !field.omit_empty => property["default"] = json!(0),
            _ => {}
        }
    }
    match (field.default, &field.wire) {
        (Some(default), Wire::String(_)) => property["default"] = json!(default),
        (Some(default), Wire::I32 | Wire::I64) => property["default"] = json!(default.parse::<i64>().ok()),
        _ => {}
    }
    if let Some(text) = describe(ty, field) {
        property["description"] = json!(text);
    }
    if matches!(field.wire, Wire::List(..)) {
        match &field.list {
            ListType::Atomic => property["x-kubernetes-list-type"] = json!("atomic"),
            ListType::Set => property["x-kubernetes-list-type"] = json!("set"),
            ListType::Map(keys) => {
                property["x-kubernetes-list-type"] = json!("map");
                property["x-kubernetes-list-map-keys"] = json!(keys);
            }
        }
    }
    match (field.atomic, field.granular) {
        (true, _) => property["x-kubernetes-map-type"] = json!("atomic"),
        (_, true) => property["x-kubernetes-map-type"] = json!("granular"),
        _ => {}
    }
    let strategies = [(field.merge, "merge"), (field.replace, "replace"), (field.retain_keys, "retainKeys")];
    let strategies: Vec<&str> = strategies.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
    if !strategies.is_empty() {
        property["x-kubernetes-patch-strategy"] = json!(strategies.join(","));
    }
    if let Some(key) = field.merge_key {
        property["x-kubernetes-patch-merge-key"] = json!(key);
    }
    property
}

/// The text of a field, or of the same field wherever it occurs.
fn describe(ty: &Type, field: &Field) -> Option<&'static str> {
    TEXTS
        .get(format!("{}.{}", ty.id, field.name).as_str())
        .or_else(|| TEXTS.get(format!("*.{}", field.name).as_str()))
        .or_else(|| TEXTS.get(field.wire.element()?.id))
        .copied()
}

fn of_wire(wire: &Wire) -> Value {
    let scalar = |name: &str| reference(name);
    match wire {
        Wire::String(_) => json!({ "type": "string" }),
        Wire::Bool => json!({ "type": "boolean" }),
        Wire::I32 => json!({ "type": "integer", "format": "int32" }),
        Wire::I64 => json!({ "type": "integer", "format": "int64" }),
        Wire::F64 => json!({ "type": "number", "format": "double" }),
        Wire::Bytes => json!({ "type": "string", "format": "byte" }),
        Wire::Quantity { .. } => scalar("io.k8s.apimachinery.pkg.api.resource.Quantity"),
        Wire::IntOrString => scalar("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
        Wire::Time => scalar("io.k8s.apimachinery.pkg.apis.meta.v1.Time"),
        Wire::MicroTime => scalar("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"),
        Wire::Any => scalar("io.k8s.apimachinery.pkg.runtime.RawExtension"),
        Wire::Struct(ty) => reference(&name_of(ty.get())),
        Wire::List(item, _) => json!({ "type": "array", "items": of_wire(item) }),
        Wire::Map(item, _) => json!({ "type": "object", "additionalProperties": of_wire(item) }),
    }
}

fn list_of(ty: &Type) -> Value {
    list_schema(&name_of(ty), &kind(ty.group(), "v1", &format!("{}List", ty.short_name())))
}

fn list_schema(item: &str, kind: &Value) -> Value {
    let text = |name: &str| TEXTS.get(name).copied().unwrap_or_default();
    json!({
        "type": "object",
        "description": "A list of objects of one kind.",
        "properties": {
            "apiVersion": { "type": "string", "description": text("*.apiVersion") },
            "kind": { "type": "string", "description": text("*.kind") },
            "metadata": {
                "allOf": [reference("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")],
                "default": {},
                "description": "The list's version and, if it has more parts, where to go on.",
            },
            "items": { "type": "array", "items": reference(item), "description": "The objects." },
        },
        "required": ["items"],
        "x-kubernetes-group-version-kind": [kind],
    })
}

/// `metrics.k8s.io` is not in the table, as its objects are only ever written by the server.
fn metrics() -> Map<String, Value> {
    let time = reference("io.k8s.apimachinery.pkg.apis.meta.v1.Time");
    let quantity = reference("io.k8s.apimachinery.pkg.api.resource.Quantity");
    let usage =
        json!({ "type": "object", "additionalProperties": quantity, "description": "What is used, by resource." });
    let mut out = Map::new();
    let name = |kind: &str| format!("io.k8s.metrics.pkg.apis.metrics.v1beta1.{kind}");
    let container = json!({
        "type": "object",
        "description": "What one container uses.",
        "properties": { "name": { "type": "string", "default": "", "description": "The container." }, "usage": usage },
        "required": ["name", "usage"],
    });
    out.insert(name("ContainerMetrics"), container);
    let containers = json!({ "type": "array", "items": reference(&name("ContainerMetrics")), "description": "What each container uses." });
    for (of, member, value) in [("NodeMetrics", "usage", usage), ("PodMetrics", "containers", containers)] {
        let mut schema = json!({
            "type": "object",
            "description": "What was used in a window of time.",
            "properties": {
                "apiVersion": { "type": "string" },
                "kind": { "type": "string" },
                "metadata": { "allOf": [reference("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")], "default": {} },
                "timestamp": { "allOf": [time], "description": "The end of the window." },
                "window": { "type": "string", "description": "The length of the window." },
            },
            "required": ["timestamp", "window", member],
            "x-kubernetes-group-version-kind": [kind("metrics.k8s.io", "v1beta1", of)],
        });
        schema["properties"][member] = value;
        out.insert(name(of), schema);
        let list = kind("metrics.k8s.io", "v1beta1", &format!("{of}List"));
        out.insert(name(&format!("{of}List")), list_schema(&name(of), &list));
    }
    out
}
