//! The RBAC authorizer: roles and bindings as they are stored, matched as Kubernetes matches them. Rules only add rights. Of
//! cluster roles that aggregate others, the rules in the object count; nothing fills them in here. Entry point: [`Policy`].

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{About, Attributes, Decision, User};
use crate::server::ApiServer;

/// One rule of a role, under its names in the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    /// Verbs; `*` for all.
    pub verbs: Vec<String>,
    /// API groups; `*` for all, empty text for the core group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// Plural names, `resource/subresource`, `*/subresource`, or `*` for all with all their parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Names of objects; none for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths outside the resources; `*` at the end stands for any rest.
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
}

impl Rule {
    /// Whether the rule alone permits it.
    #[must_use]
    pub fn allows(&self, asked: &Attributes) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|entry| entry == "*" || entry == wanted);
        if !has(&self.verbs, &asked.verb) {
            return false;
        }
        match &asked.about {
            About::Path(path) => self.non_resource_urls.iter().any(|url| {
                url == "*" || url == path || url.ends_with('*') && path.starts_with(url.trim_end_matches('*'))
            }),
            About::Resource { group, resource, subresource, name, .. } => {
                let listed = |entry: &String| match (entry.split_once('/'), subresource.as_str()) {
                    _ if entry == "*" => true,
                    (None, "") => entry == resource,
                    (Some((of, part)), subresource) => {
                        !subresource.is_empty() && part == subresource && (of == "*" || of == resource)
                    }
                    (None, _) => false,
                };
                has(&self.api_groups, group)
                    && self.resources.iter().any(listed)
                    && (self.resource_names.is_empty() || self.resource_names.contains(name))
            }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    name: String,
    namespace: String,
}

#[derive(Debug, Deserialize)]
struct Role {
    metadata: Meta,
    #[serde(default)]
    rules: Option<Vec<Rule>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

impl Subject {
    /// Whether it is the user; `namespace` is the binding's.
    fn is(&self, user: &User, namespace: &str) -> bool {
        match self.kind.as_str() {
            "User" => user.name == self.name,
            "Group" => user.groups.contains(&self.name),
            "ServiceAccount" => {
                let namespace = if self.namespace.is_empty() { namespace } else { &self.namespace };
                !namespace.is_empty() && user.service_account() == Some((namespace, &self.name))
            }
            _ => false,
        }
    }

    fn described(&self, namespace: &str) -> String {
        match self.kind.as_str() {
            "ServiceAccount" => {
                let namespace = if self.namespace.is_empty() { namespace } else { &self.namespace };
                format!("{} \"{}/{namespace}\"", self.kind, self.name)
            }
            kind => format!("{kind} {:?}", self.name),
        }
    }
}

#[derive(Debug, Deserialize)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    metadata: Meta,
    role_ref: RoleRef,
    #[serde(default)]
    subjects: Option<Vec<Subject>>,
}

impl Binding {
    fn described(&self, subject: &Subject) -> String {
        let (kind, name) = match self.metadata.namespace.as_str() {
            "" => ("ClusterRoleBinding", self.metadata.name.clone()),
            namespace => ("RoleBinding", format!("{}/{namespace}", self.metadata.name)),
        };
        let (role, subject) = (&self.role_ref, subject.described(&self.metadata.namespace));
        format!("{kind} {name:?} of {} {:?} to {subject}", role.kind, role.name)
    }
}

/// Roles and bindings at one moment.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    cluster_roles: HashMap<String, Vec<Rule>>,
    /// By namespace and name.
    roles: HashMap<(String, String), Vec<Rule>>,
    cluster_bindings: Vec<Binding>,
    /// By namespace.
    bindings: BTreeMap<String, Vec<Binding>>,
}

/// The resources that a policy is read from.
pub(crate) const RESOURCES: [&str; 4] = [
    "clusterroles.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
];

impl Policy {
    /// What is stored now.
    pub(crate) fn read(server: &ApiServer) -> Policy {
        let [cluster_roles, roles, cluster_bindings, bindings] = RESOURCES;
        let cluster_roles = objects::<Role>(server, cluster_roles);
        let roles = objects::<Role>(server, roles);
        let mut policy = Policy {
            cluster_roles: cluster_roles.map(|role| (role.metadata.name, role.rules.unwrap_or_default())).collect(),
            roles: roles
                .map(|role| ((role.metadata.namespace, role.metadata.name), role.rules.unwrap_or_default()))
                .collect(),
            cluster_bindings: objects(server, cluster_bindings).collect(),
            bindings: BTreeMap::new(),
        };
        for binding in objects::<Binding>(server, bindings) {
            policy.bindings.entry(binding.metadata.namespace.clone()).or_default().push(binding);
        }
        policy
    }

    /// Whether a binding permits it, and which one.
    pub(crate) fn decide(&self, user: &User, asked: &Attributes) -> Decision {
        let namespace = match &asked.about {
            About::Resource { namespace, .. } => namespace.as_str(),
            About::Path(_) => "",
        };
        let mut missing = Vec::new();
        let found = self.visit(user, namespace, |found| match found {
            Ok((binding, subject, rule)) if rule.allows(asked) => ControlFlow::Break(binding.described(subject)),
            Ok(_) => ControlFlow::Continue(()),
            Err(absent) => {
                missing.push(absent);
                ControlFlow::Continue(())
            }
        });
        match found {
            ControlFlow::Break(by) => Decision { allowed: true, reason: format!("RBAC: allowed by {by}") },
            ControlFlow::Continue(()) => {
                let reason = match missing.as_slice() {
                    [] => String::new(),
                    [one] => format!("RBAC: {one}"),
                    many => format!("RBAC: [{}]", many.join(", ")),
                };
                Decision { allowed: false, reason }
            }
        }
    }

    /// The rules that hold for a user in a namespace.
    pub(crate) fn rules_of(&self, user: &User, namespace: &str) -> Vec<&Rule> {
        let mut rules = Vec::new();
        // The visitor never breaks off.
        let _ = self.visit(user, namespace, |found| {
            rules.extend(found.ok().map(|(_, _, rule)| rule));
            ControlFlow::<()>::Continue(())
        });
        rules
    }

    /// Shows each rule that holds for the user with its binding and subject, and each role that is named but not there.
    fn visit<'p, B>(
        &'p self,
        user: &User,
        namespace: &str,
        mut visitor: impl FnMut(Result<(&'p Binding, &'p Subject, &'p Rule), String>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let local = self.bindings.get(namespace).map_or(&[][..], Vec::as_slice);
        for binding in self.cluster_bindings.iter().chain(local) {
            let namespace = &binding.metadata.namespace;
            let subject = binding.subjects.iter().flatten().find(|subject| subject.is(user, namespace));
            let Some(subject) = subject else { continue };
            let RoleRef { kind, name } = &binding.role_ref;
            let rules = match kind.as_str() {
                "ClusterRole" => self.cluster_roles.get(name),
                _ => self.roles.get(&(namespace.clone(), name.clone())),
            };
            match rules {
                Some(rules) => {
                    for rule in rules {
                        visitor(Ok((binding, subject, rule)))?;
                    }
                }
                None => {
                    visitor(Err(format!("{}.rbac.authorization.k8s.io {name:?} not found", kind.to_lowercase())))?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn objects<T: DeserializeOwned>(server: &ApiServer, qualified: &str) -> impl Iterator<Item = T> {
    let items = server.local("kube-apiserver").list(qualified, "", "", "").map(|list| list.items).unwrap_or_default();
    items.into_iter().filter_map(|item| match serde_json::from_slice(&item) {
        Ok(object) => Some(object),
        // What is stored has passed the schema, so that this takes a file that somebody else wrote.
        Err(error) => {
            tracing::warn!(%error, "a role or binding is malformed and grants nothing");
            None
        }
    })
}
