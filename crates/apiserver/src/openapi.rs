//! The OpenAPI v3 documents by which kubectl validates, applies and explains, made from the table of types and the table
//! of resources, one per group and version; [`index`] lists them, [`document`] gives one.

mod paths;
mod schemas;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{LazyLock, OnceLock};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::resource::GROUPS;

/// One document, made when it is first asked for.
struct Document {
    group: &'static str,
    version: &'static str,
    text: OnceLock<Bytes>,
}

/// The documents by their path below `/openapi/v3/`.
static DOCUMENTS: LazyLock<BTreeMap<String, Document>> = LazyLock::new(|| {
    let core = std::iter::once(("", "v1"));
    let groups = core.chain(GROUPS.iter().map(|g| (g.name, g.version)));
    groups
        .map(|(group, version)| (prefix(group, version), Document { group, version, text: OnceLock::new() }))
        .collect()
});

/// The hash that clients cache the documents by; one for all, as all come from the same tables.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = Sha256::new();
    for text in [env!("CARGO_PKG_VERSION"), include_str!("schema/types.txt"), schemas::DESCRIPTIONS] {
        hasher.update(text.as_bytes());
    }
    hasher.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02X}");
        hex
    })
});

/// `/openapi/v3`: the paths of the documents with their hashes.
#[must_use]
pub fn index() -> Value {
    let paths: Map<String, Value> = DOCUMENTS
        .keys()
        .map(|path| {
            let url = format!("/openapi/v3/{path}?hash={}", HASH.as_str());
            (path.clone(), json!({ "serverRelativeURL": url }))
        })
        .collect();
    json!({ "paths": paths })
}

/// One document as JSON, by its path below `/openapi/v3/`, such as `api/v1` or `apis/apps/v1`; `None` when there is none.
#[must_use]
pub fn document(path: &str) -> Option<Bytes> {
    let document = DOCUMENTS.get(path)?;
    let text = document.text.get_or_init(|| {
        let paths = paths::of_group(document.group, document.version);
        let schemas = schemas::of_group(document.group, document.version);
        let value = json!({
            "openapi": "3.0.0",
            "info": { "title": "Kubernetes", "version": "unversioned" },
            "paths": paths,
            "components": { "schemas": schemas },
        });
        Bytes::from(value.to_string())
    });
    Some(text.clone())
}

/// The path of a group and version, without a leading slash.
fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> Value {
        serde_json::from_slice(&document(path).unwrap()).unwrap()
    }

    fn references(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    out.push(target.clone());
                }
                map.values().for_each(|v| references(v, out));
            }
            Value::Array(list) => list.iter().for_each(|v| references(v, out)),
            _ => {}
        }
    }

    #[test]
    fn every_document_is_complete_in_itself() {
        let index = index();
        let paths = index["paths"].as_object().unwrap();
        assert!(paths.contains_key("api/v1") && paths.contains_key("apis/apps/v1"));
        for path in paths.keys() {
            let document = parsed(path);
            let mut targets = Vec::new();
            references(&document, &mut targets);
            for target in targets {
                let name = target.strip_prefix("#/components/schemas/").unwrap();
                assert!(document["components"]["schemas"].get(name).is_some(), "{path}: {target}");
            }
        }
        assert!(document("apis/none/v1").is_none());
    }

    #[test]
    fn patches_say_that_fields_are_validated() {
        let document = parsed("apis/apps/v1");
        let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
        assert_eq!(patch["x-kubernetes-group-version-kind"], kind);
        assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
        assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
        let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"];
        assert_eq!(scale["x-kubernetes-group-version-kind"]["kind"], "Scale");
    }

    #[test]
    fn schemas_carry_list_semantics() {
        let document = parsed("api/v1");
        let schemas = &document["components"]["schemas"];
        let env = &schemas["io.k8s.api.core.v1.Container"]["properties"]["env"];
        assert_eq!(env["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(env["x-kubernetes-list-map-keys"], json!(["name"]));
        assert_eq!(schemas["io.k8s.api.core.v1.PodSpec"]["required"], json!(["containers"]));
        let pod = &schemas["io.k8s.api.core.v1.Pod"];
        assert_eq!(pod["x-kubernetes-group-version-kind"], json!([{"group": "", "version": "v1", "kind": "Pod"}]));
        assert!(schemas["io.k8s.api.core.v1.PodList"]["properties"]["items"]["description"].is_string());
    }
}
