//! The table of resources that are served: names, verbs, subresources. The rows are in [`table`]; entry points: [`find`],
//! [`by_qualified`], [`GROUPS`].

mod table;

pub(crate) use table::SHARDS;
pub use table::{GROUPS, RESOURCES};

/// What may be done with a resource's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbs {
    /// Everything.
    All,
    /// Everything but `deletecollection`.
    NoDeleteCollection,
    /// `create` only: the answer is computed, nothing is stored.
    Create,
    /// `get` and `list` of something that is computed.
    Read,
}

impl Verbs {
    /// The verbs as discovery lists them.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Verbs::All => &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            Verbs::NoDeleteCollection => &["create", "delete", "get", "list", "patch", "update", "watch"],
            Verbs::Create => &["create"],
            Verbs::Read => &["get", "list"],
        }
    }
}

/// A part of an object that has its own path.
#[derive(Debug, Clone, Copy)]
pub struct Subresource {
    /// Last element of the path.
    pub name: &'static str,
    /// Group of what is exchanged; empty if it is the resource's own.
    pub group: &'static str,
    /// Version of what is exchanged; empty if it is the resource's own.
    pub version: &'static str,
    /// Kind of what is exchanged.
    pub kind: &'static str,
    /// Verbs as discovery lists them.
    pub verbs: &'static [&'static str],
}

/// One resource in one group and version.
#[derive(Debug)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version, such as `v1`.
    pub version: &'static str,
    /// Plural name, as in paths.
    pub plural: &'static str,
    /// Singular name.
    pub singular: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Short names for command lines.
    pub short_names: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
    /// What may be done.
    pub verbs: Verbs,
    /// Parts with their own path.
    pub subresources: &'static [Subresource],
    /// Discovery's hash of the stored version, as a real server of 1.36 shows it; empty if it is not known.
    pub storage_version_hash: &'static str,
    /// Number of the store's shard; resources that show the same objects in different shapes share one.
    pub(crate) shard: usize,
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.group == other.group && self.plural == other.plural
    }
}

impl Resource {
    /// `group/version`, or the version alone in the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `plural.group`, as error texts name it.
    #[must_use]
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The subresource of this name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Whether it is `plural` of `group`.
    #[must_use]
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    /// Whether a PUT of an absent object creates it.
    pub(crate) fn allows_create_on_update(&self) -> bool {
        matches!(
            (self.group, self.plural),
            ("", "events" | "services" | "endpoints" | "limitranges")
                | ("events.k8s.io", _)
                | ("coordination.k8s.io", "leases")
                | ("node.k8s.io", _)
                | ("rbac.authorization.k8s.io", _)
        )
    }

    /// Whether a PUT may leave the resourceVersion out.
    pub(crate) fn allows_unconditional_update(&self) -> bool {
        !matches!(
            (self.group, self.plural),
            ("coordination.k8s.io", _)
                | ("policy", _)
                | ("node.k8s.io", _)
                | ("storage.k8s.io", "csinodes" | "csidrivers" | "csistoragecapacities" | "volumeattachments")
        )
    }

    /// Whether DELETE answers with the object rather than with a `Status`.
    pub(crate) fn returns_deleted_object(&self) -> bool {
        matches!(
            (self.group, self.plural),
            (
                "",
                "pods"
                    | "services"
                    | "persistentvolumes"
                    | "persistentvolumeclaims"
                    | "podtemplates"
                    | "resourcequotas"
                    | "serviceaccounts"
            ) | (
                "storage.k8s.io",
                "storageclasses" | "volumeattachments" | "csinodes" | "csidrivers" | "volumeattributesclasses"
            ) | ("resource.k8s.io", _)
        )
    }

    /// The directory below `/registry/` that storage errors name.
    pub(crate) fn registry_directory(&self) -> &'static str {
        match (self.group, self.plural) {
            ("", "nodes") => "minions",
            ("", "services") => "services/specs",
            ("", "endpoints") => "services/endpoints",
            ("", "replicationcontrollers") => "controllers",
            ("networking.k8s.io", "ingresses") => "ingress",
            (_, plural) => plural,
        }
    }
}

/// A group of the API with its one version.
#[derive(Debug)]
pub struct Group {
    /// Name; never empty (the core group is apart).
    pub name: &'static str,
    /// Version.
    pub version: &'static str,
}

/// The resource `plural` of a group (empty: core) in a version.
#[must_use]
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|r| r.plural == plural && r.group == group && r.version == version)
}

/// The resource by `plural` or `plural.group`.
#[must_use]
pub fn by_qualified(qualified: &str) -> Option<&'static Resource> {
    let (plural, group) = qualified.split_once('.').unwrap_or((qualified, ""));
    RESOURCES.iter().find(|r| r.plural == plural && r.group == group)
}

/// The resource whose objects are of this kind.
#[must_use]
pub fn by_kind(api_version: &str, kind: &str) -> Option<&'static Resource> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    RESOURCES.iter().find(|r| r.kind == kind && r.group == group && r.version == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_shards_are_shared_only_by_events() {
        for (i, a) in RESOURCES.iter().enumerate() {
            for b in &RESOURCES[i + 1..] {
                assert!(a != b, "{} is listed twice", a.qualified());
                assert!(a.shard != b.shard || (a.plural == "events" && b.plural == "events"), "{}", b.qualified());
            }
            assert_eq!(by_qualified(&a.qualified()), Some(a));
            assert!(a.group.is_empty() || GROUPS.iter().any(|g| g.name == a.group), "{}", a.qualified());
        }
    }
}
