//! Discovery: which groups, versions and resources there are, in one document or in many.

use serde_json::{Value, json};

use crate::resource::{GROUPS, RESOURCES, Resource, Verbs};

/// `/api`.
pub(super) fn core_versions(host: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": host }],
    })
}

/// `/apis`.
pub(super) fn groups() -> Value {
    let groups: Vec<Value> = GROUPS.iter().map(|g| group_entry(g.name, g.version)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/GROUP`.
pub(super) fn group(name: &str) -> Option<Value> {
    let group = GROUPS.iter().find(|g| g.name == name)?;
    let mut document = group_entry(group.name, group.version);
    document["kind"] = json!("APIGroup");
    document["apiVersion"] = json!("v1");
    Some(document)
}

fn group_entry(name: &str, version: &str) -> Value {
    let version = json!({ "groupVersion": format!("{name}/{version}"), "version": version });
    json!({ "name": name, "versions": [version], "preferredVersion": version })
}

fn members(group: &str) -> impl Iterator<Item = &'static Resource> {
    RESOURCES.iter().filter(move |r| r.group == group)
}

/// `/api/v1` or `/apis/GROUP/VERSION`.
pub(super) fn resources(group: &str, version: &str) -> Value {
    let mut list = Vec::new();
    for resource in members(group) {
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": resource.verbs.names(),
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        if !resource.storage_version_hash.is_empty() {
            entry["storageVersionHash"] = json!(resource.storage_version_hash);
        }
        list.push(entry);
        for part in resource.subresources {
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, part.name),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": part.kind,
                "verbs": part.verbs,
            });
            if !part.group.is_empty() {
                entry["group"] = json!(part.group);
                entry["version"] = json!(part.version);
            }
            list.push(entry);
        }
    }
    if group.is_empty() {
        // A real server leaves the apiVersion out for the core group.
        json!({ "kind": "APIResourceList", "groupVersion": version, "resources": list })
    } else {
        json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": format!("{group}/{version}"),
            "resources": list,
        })
    }
}

/// `/api` in one document.
pub(super) fn aggregated_core(api: &str) -> Value {
    aggregate(api, &[aggregated_group("", "v1")])
}

/// `/apis` in one document.
pub(super) fn aggregated_groups(api: &str) -> Value {
    aggregate(api, &GROUPS.iter().map(|g| aggregated_group(g.name, g.version)).collect::<Vec<_>>())
}

fn aggregate(api: &str, items: &[Value]) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{api}"),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(group: &str, version: &str) -> Value {
    let resources: Vec<Value> = members(group).map(aggregated_resource).collect();
    let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
    json!({
        "metadata": metadata,
        "versions": [{ "version": version, "resources": resources, "freshness": "Current" }],
    })
}

fn aggregated_resource(resource: &Resource) -> Value {
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": { "group": "", "version": "", "kind": resource.kind },
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs.names(),
    });
    if resource.verbs == Verbs::Read {
        entry["responseKind"] = json!({ "group": resource.group, "version": resource.version, "kind": resource.kind });
    }
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    if !resource.subresources.is_empty() {
        let parts = resource.subresources.iter().map(|part| {
            json!({
                "subresource": part.name,
                "responseKind": { "group": part.group, "version": part.version, "kind": part.kind },
                "verbs": part.verbs,
            })
        });
        entry["subresources"] = parts.collect();
    }
    entry
}
