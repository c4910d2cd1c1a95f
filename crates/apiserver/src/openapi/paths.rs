//! The paths of a group's document, with the operations on each.

use serde_json::{Map, Value, json};

use super::schemas::{kind, name_of, reference};
use crate::resource::{RESOURCES, Resource};
use crate::schema::type_of;

/// All paths of a group and version.
pub(super) fn of_group(group: &str, version: &str) -> Map<String, Value> {
    let mut out = Map::new();
    for resource in RESOURCES.iter().filter(|r| r.group == group && r.version == version) {
        add_resource(&mut out, resource);
    }
    out
}

/// What the operations on a path are about.
struct About<'a> {
    resource: &'a Resource,
    /// `AppsV1NamespacedDeployment`, the end of operation names.
    id: String,
    tag: String,
    kind: Value,
    /// The schema that is exchanged, if it is in the table.
    schema: Option<String>,
}

impl About<'_> {
    fn operation(&self, verb: &str, action: &str, id: &str, parameters: &[&str]) -> Value {
        let mut operation = json!({
            "operationId": format!("{verb}{id}"),
            "tags": [self.tag],
            "parameters": parameters.iter().map(|name| parameter(name)).collect::<Vec<_>>(),
            "responses": { "200": self.response(action == "list"), "401": { "description": "Unauthorized" } },
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": self.kind,
        });
        let patch = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch".to_owned();
        let options = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions".to_owned();
        let (types, schema): (&[&str], _) = match action {
            "patch" => (PATCH_TYPES, Some(patch)),
            "delete" | "deletecollection" => (&["application/json"], Some(options)),
            "post" | "put" => (&["application/json"], self.schema.clone()),
            _ => return operation,
        };
        if let Some(schema) = schema {
            let content: Map<String, Value> =
                types.iter().map(|ty| ((*ty).to_owned(), json!({ "schema": reference(&schema) }))).collect();
            operation["requestBody"] = json!({ "content": content, "required": action != "delete" });
        }
        operation
    }

    fn response(&self, list: bool) -> Value {
        let Some(schema) = &self.schema else { return json!({ "description": "OK" }) };
        let schema = if list { format!("{schema}List") } else { schema.clone() };
        json!({ "description": "OK", "content": { "application/json": { "schema": reference(&schema) } } })
    }
}

const PATCH_TYPES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];
const LISTING: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const WRITING: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCHING: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETING: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];

/// Query parameters: name, type and what they do.
const PARAMETERS: &[(&str, &str, &str)] = &[
    (
        "allowWatchBookmarks",
        "boolean",
        "Whether the watch may send bookmarks, events that only tell a resourceVersion.",
    ),
    ("continue", "string", "Where the list goes on, as the part before told."),
    ("dryRun", "string", "With All, everything is done but storing."),
    ("fieldManager", "string", "Who is to own the fields that are written; required for apply."),
    ("fieldSelector", "string", "Only objects whose fields have these values."),
    (
        "fieldValidation",
        "string",
        "What happens with unknown and duplicate fields: Ignore, Warn (the default) or Strict.",
    ),
    ("force", "boolean", "Whether apply takes over fields that others own."),
    ("gracePeriodSeconds", "integer", "Seconds until the object is deleted; zero is at once."),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "How many objects one part of the list has at most."),
    ("orphanDependents", "boolean", "Whether dependents are kept; use propagationPolicy instead."),
    ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
    ("resourceVersion", "string", "The state that is asked for."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Whether the watch starts with the objects that exist."),
    ("timeoutSeconds", "integer", "How long the request may last."),
    ("watch", "boolean", "Whether changes are sent as they happen."),
];

fn parameter(name: &str) -> Value {
    let known = PARAMETERS.iter().find(|(n, ..)| *n == name);
    let (ty, text) = known.map_or(("string", ""), |(_, ty, text)| (*ty, *text));
    json!({ "name": name, "in": "query", "description": text, "schema": { "type": ty, "uniqueItems": true } })
}

fn path_parameter(name: &str, text: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": text, "schema": { "type": "string", "uniqueItems": true } })
}

fn add_resource(out: &mut Map<String, Value>, resource: &Resource) {
    let prefix = format!("/{}", super::prefix(resource.group, resource.version));
    let base = if resource.namespaced {
        format!("{prefix}/namespaces/{{namespace}}/{}", resource.plural)
    } else {
        format!("{prefix}/{}", resource.plural)
    };
    let of_kind = |kind: &str| type_of(resource.group, resource.version, kind).map(name_of);
    let schema = if resource.group == "metrics.k8s.io" {
        Some(format!("io.k8s.metrics.pkg.apis.metrics.v1beta1.{}", resource.kind))
    } else {
        of_kind(resource.kind)
    };
    let group = camel(resource.group.split('.').next().filter(|g| !g.is_empty()).unwrap_or("core"));
    let version = camel(resource.version);
    let scope = if resource.namespaced { "Namespaced" } else { "" };
    let about = About {
        resource,
        id: format!("{group}{version}{scope}{}", resource.kind),
        tag: format!("{}_{}", group.to_lowercase(), resource.version),
        kind: kind(resource.group, resource.version, resource.kind),
        schema,
    };
    let verbs = resource.verbs.names();
    let has = |verb: &str| verbs.contains(&verb);
    let id = &about.id;

    let mut collection = Map::new();
    if has("list") {
        collection.insert("get".to_owned(), about.operation("list", "list", id, LISTING));
    }
    if has("create") {
        collection.insert("post".to_owned(), about.operation("create", "post", id, WRITING));
    }
    if has("deletecollection") {
        let id = format!("{group}{version}Collection{scope}{}", resource.kind);
        let parameters = [LISTING, DELETING].concat();
        collection.insert("delete".to_owned(), about.operation("delete", "deletecollection", &id, &parameters));
    }
    put(out, &about, &base, collection, false);

    let mut item = Map::new();
    for (verb, method, word, action, parameters) in [
        ("get", "get", "read", "get", &[] as &[&str]),
        ("update", "put", "replace", "put", WRITING),
        ("patch", "patch", "patch", "patch", PATCHING),
        ("delete", "delete", "delete", "delete", DELETING),
    ] {
        if has(verb) {
            item.insert(method.to_owned(), about.operation(word, action, id, parameters));
        }
    }
    put(out, &about, &format!("{base}/{{name}}"), item, true);

    if resource.namespaced && has("list") {
        let id = format!("{group}{version}{}ForAllNamespaces", resource.kind);
        let all = Map::from_iter([("get".to_owned(), about.operation("list", "list", &id, LISTING))]);
        out.insert(format!("{prefix}/{}", resource.plural), Value::Object(all));
    }
    for part in resource.subresources {
        add_part(out, &about, &base, part);
    }
}

fn add_part(out: &mut Map<String, Value>, of: &About<'_>, base: &str, part: &crate::resource::Subresource) {
    let resource = of.resource;
    let (group, version) =
        if part.group.is_empty() { (resource.group, resource.version) } else { (part.group, part.version) };
    let about = About {
        resource,
        id: format!("{}{}", of.id, camel(part.name)),
        tag: of.tag.clone(),
        kind: kind(group, version, part.kind),
        schema: type_of(group, version, part.kind).map(name_of),
    };
    let mut operations = Map::new();
    for (verb, method, word, action, parameters) in [
        ("create", "post", "create", "post", WRITING),
        ("get", "get", "read", "get", &[] as &[&str]),
        ("update", "put", "replace", "put", WRITING),
        ("patch", "patch", "patch", "patch", PATCHING),
        ("delete", "delete", "delete", "delete", DELETING),
    ] {
        if part.verbs.contains(&verb) {
            operations.insert(method.to_owned(), about.operation(word, action, &about.id, parameters));
        }
    }
    put(out, &about, &format!("{base}/{{name}}/{}", part.name), operations, true);
}

fn put(out: &mut Map<String, Value>, about: &About<'_>, path: &str, mut operations: Map<String, Value>, named: bool) {
    if operations.is_empty() {
        return;
    }
    let mut parameters = Vec::new();
    if named {
        parameters.push(path_parameter("name", &format!("The {}'s name.", about.resource.kind)));
    }
    if about.resource.namespaced {
        parameters.push(path_parameter("namespace", "The namespace."));
    }
    operations.insert("parameters".to_owned(), Value::Array(parameters));
    out.insert(path.to_owned(), Value::Object(operations));
}

fn camel(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
