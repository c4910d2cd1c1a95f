//! What a path addresses, by the rules of Kubernetes' request info.

use crate::resource::{self, Resource};

/// A path below `/api` or `/apis`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Path<'a> {
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(&'a str),
    /// `/api/v1` or `/apis/GROUP/VERSION`.
    GroupVersion(&'a str, &'a str),
    /// A collection, an object or a part of one.
    Resource(ResourcePath<'a>),
    /// A group and version that are served, but no such resource.
    NoResource,
    /// Nothing of the API.
    Nowhere,
}

/// A collection, an object, or a part of one.
#[derive(Debug, PartialEq)]
pub(super) struct ResourcePath<'a> {
    pub(super) resource: &'static Resource,
    /// Empty: all namespaces, or a cluster-scoped resource.
    pub(super) namespace: &'a str,
    /// Empty: the collection.
    pub(super) name: &'a str,
    /// Empty: the object itself.
    pub(super) subresource: &'a str,
    /// The old form of watching, by a `watch` element in the path.
    pub(super) watch: bool,
}

impl Eq for ResourcePath<'_> {}

/// Reads a path whose elements are decoded.
pub(super) fn parse<'a>(elements: &[&'a str]) -> Path<'a> {
    let (group, version, rest) = match elements {
        ["api"] => return Path::CoreVersions,
        ["apis"] => return Path::Groups,
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group] => return Path::Group(group),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Path::Nowhere,
    };
    let served = if group.is_empty() {
        version == "v1"
    } else {
        resource::GROUPS.iter().any(|g| g.name == group && g.version == version)
    };
    if !served {
        return Path::Nowhere;
    }
    let (watch, rest) = match rest {
        [] => return Path::GroupVersion(group, version),
        ["watch", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (namespace, rest) = match rest {
        // A namespace's own parts are not resources in it.
        ["namespaces", _, "status" | "finalize", ..] => ("", rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let [plural, rest @ ..] = rest else { return Path::NoResource };
    let Some(resource) = resource::find(group, version, plural) else { return Path::NoResource };
    if !namespace.is_empty() && !resource.namespaced {
        return Path::NoResource;
    }
    let (name, subresource) = match rest {
        [] => ("", ""),
        [name] => (*name, ""),
        [name, subresource] => (*name, *subresource),
        // What is proxied has a path of its own.
        [name, "proxy", ..] => (*name, "proxy"),
        _ => return Path::NoResource,
    };
    if resource.namespaced && namespace.is_empty() && !name.is_empty() {
        return Path::NoResource;
    }
    if !subresource.is_empty() && resource.subresource(subresource).is_none() {
        return Path::NoResource;
    }
    Path::Resource(ResourcePath { resource, namespace, name, subresource, watch })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str) -> String {
        let elements: Vec<&str> = path.split('/').filter(|e| !e.is_empty()).collect();
        match parse(&elements) {
            Path::Resource(p) => {
                let watch = if p.watch { " watch" } else { "" };
                format!("{} {} {} {}{watch}", p.resource.qualified(), p.namespace, p.name, p.subresource)
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn paths_name_resources() {
        for (path, expected) in [
            ("/api/v1/pods", "pods   "),
            ("/api/v1/namespaces", "namespaces   "),
            ("/api/v1/namespaces/a", "namespaces  a "),
            ("/api/v1/namespaces/a/finalize", "namespaces  a finalize"),
            ("/api/v1/namespaces/a/pods/p/binding", "pods a p binding"),
            ("/api/v1/watch/namespaces/a/pods", "pods a   watch"),
            ("/apis/apps/v1/namespaces/a/deployments/d/scale", "deployments.apps a d scale"),
            ("/api/v1/nodes/n/status", "nodes  n status"),
            ("/api/v1/foos", "NoResource"),
            ("/api/v1/namespaces/a/nodes", "NoResource"),
            ("/api/v1/pods/p", "NoResource"),
            ("/apis/nope.example.com/v1/things", "Nowhere"),
            ("/apis/apps", "Group(\"apps\")"),
            ("/apis/apps/v1", "GroupVersion(\"apps\", \"v1\")"),
        ] {
            assert_eq!(shown(path), expected, "{path}");
        }
    }
}
