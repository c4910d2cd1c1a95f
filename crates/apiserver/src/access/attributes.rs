//! What a request asks for, as authorizers see it: a verb and a resource or a path, by the rules of Kubernetes' request info.
//! Entry point: [`Attributes::of`].

use http::Method;
use serde_json::json;

use super::User;
use crate::error::ApiError;
use crate::http::{Query, decode};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attributes {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, … of a resource; the HTTP method in lower
    /// case for a path.
    pub verb: String,
    /// What it is about.
    pub about: About,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// Objects of the API.
    Resource {
        /// API group; empty for the core group.
        group: String,
        /// Plural name.
        resource: String,
        /// Part of the object; empty for the object itself.
        subresource: String,
        /// Empty for all namespaces and for resources without one.
        namespace: String,
        /// Empty for all objects.
        name: String,
    },
    /// A path that is none of a resource.
    Path(String),
}

impl Attributes {
    /// What a request of the method at a path with a query (encoded both) asks for.
    #[must_use]
    pub fn of(method: &Method, path: &str, query: &str) -> Attributes {
        let path = decode(path, false);
        let elements: Vec<&str> = path.split('/').filter(|element| !element.is_empty()).collect();
        let (group, rest) = match elements.as_slice() {
            ["api", _, rest @ ..] if !rest.is_empty() => ("", rest),
            ["apis", group, _, rest @ ..] if !rest.is_empty() => (*group, rest),
            _ => return Attributes { verb: method.as_str().to_lowercase(), about: About::Path(path) },
        };
        let query = Query::parse(query);
        let (special, rest) = match rest {
            [verb @ ("proxy" | "watch"), rest @ ..] if !rest.is_empty() => (Some(*verb), rest),
            rest => (None, rest),
        };
        let verb = special.unwrap_or(match method.as_str() {
            "POST" => "create",
            "GET" | "HEAD" => "get",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => "",
        });
        let (namespace, parts) = match rest {
            ["namespaces", namespace, part, ..] if !matches!(*part, "status" | "finalize") => {
                (*namespace, rest.get(2..).unwrap_or_default())
            }
            ["namespaces", namespace, ..] => (*namespace, rest),
            _ => ("", rest),
        };
        let part = |at: usize| parts.get(at).copied().unwrap_or_default();
        let subresource = if verb == "proxy" { "" } else { part(2) };
        let mut name = part(1).to_owned();
        let verb = match verb {
            "get" if name.is_empty() => {
                name = exact_name(query.text("fieldSelector")).unwrap_or_default().to_owned();
                if query.flag("watch") { "watch" } else { "list" }
            }
            "delete" if name.is_empty() => "deletecollection",
            verb => verb,
        };
        Attributes {
            verb: verb.to_owned(),
            about: About::Resource {
                group: group.to_owned(),
                resource: part(0).to_owned(),
                subresource: subresource.to_owned(),
                namespace: namespace.to_owned(),
                name,
            },
        }
    }

    /// What the answer says to somebody who may not; `reason` (may be empty) is the authorizer's.
    pub(crate) fn forbidden(&self, user: &User, reason: &str) -> ApiError {
        let mut why = self.refusal(user);
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        let (head, details) = match &self.about {
            About::Path(_) => (String::new(), json!({})),
            About::Resource { group, resource, name, .. } => {
                let mut details = json!({});
                for (key, value) in [("name", name), ("group", group), ("kind", resource)] {
                    if !value.is_empty() {
                        details[key] = json!(value);
                    }
                }
                let qualified = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
                let named = if name.is_empty() { qualified } else { format!("{qualified} \"{name}\"") };
                (format!("{named} is "), details)
            }
        };
        ApiError::new(403, "Forbidden", format!("{head}forbidden: {why}")).with_details(details)
    }

    /// That the user may not, in kube-apiserver's words.
    pub(crate) fn refusal(&self, user: &User) -> String {
        let (user, verb) = (&user.name, &self.verb);
        let text = match &self.about {
            About::Path(path) => format!("User {user:?} cannot {verb} path {path:?}"),
            About::Resource { group, resource, subresource, namespace, .. } => {
                let part = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
                let scope = match namespace.as_str() {
                    "" => "at the cluster scope".to_owned(),
                    namespace => format!("in the namespace {namespace:?}"),
                };
                format!("User {user:?} cannot {verb} resource {part:?} in API group {group:?} {scope}")
            }
        };
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }
}

/// The one name that a field selector leaves.
fn exact_name(selector: &str) -> Option<&str> {
    let name = selector.split(',').find_map(|term| {
        let (field, name) = term.split_once("==").or_else(|| term.split_once('='))?;
        (field == "metadata.name").then_some(name)
    })?;
    (!name.contains('/') && !name.contains('%') && name != "." && name != "..").then_some(name)
}
