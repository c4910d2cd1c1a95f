//! Sets of field paths in the form of `FieldsV1`: a tree whose edges are `f:name`, `k:{keys}` and `v:value`;
//! [`Set`] has their algebra, on the JSON itself, so that entries need no translation.

use augur_notation::quote;
use serde_json::{Map, Value};

/// A node of the tree below the root: an empty one is a member; others are when they have a `.`.
type Node = Map<String, Value>;

/// A set of field paths: whether the path to here is in it, and the sets below.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Set {
    pub member: bool,
    /// Without a `.` of its own.
    below: Node,
}

impl Set {
    /// The set of the path to here alone.
    pub fn leaf() -> Self {
        Set::here(true)
    }

    /// The set of the path to here, or of nothing.
    pub fn here(member: bool) -> Self {
        Set { member, below: Node::new() }
    }

    /// The set that holds the path of the given field names.
    pub fn of_path(names: &[&str]) -> Self {
        names.iter().rev().fold(Set::leaf(), |below, name| {
            let mut set = Set::default();
            set.put(|| format!("f:{name}"), below);
            set
        })
    }

    pub fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }

    /// Puts a set below an edge; empty sets are left out.
    pub fn put(&mut self, edge: impl FnOnce() -> String, below: Set) {
        if !below.is_empty() {
            self.below.insert(edge(), below.into_node());
        }
    }

    /// Unites what is below an edge with a set.
    pub fn put_more(&mut self, edge: String, below: Set) {
        match self.below.get_mut(&edge) {
            Some(Value::Object(ours)) => unite(ours, &below.into_node()),
            _ => self.put(|| edge, below),
        }
    }

    fn into_node(mut self) -> Value {
        if self.member && !self.below.is_empty() {
            self.below.insert(".".to_owned(), Value::Object(Node::new()));
        }
        Value::Object(self.below)
    }

    pub fn contains_edge(&self, edge: &str) -> bool {
        self.below.contains_key(edge)
    }

    /// Removes everything below an edge.
    pub fn remove_edge(&mut self, edge: &str) {
        self.below.remove(edge);
    }

    /// Removes edges from the node below an edge.
    pub fn remove_below(&mut self, edge: &str, edges: &[&str]) {
        let Some(Value::Object(node)) = self.below.get_mut(edge) else { return };
        let member = is_member(node);
        for name in edges {
            node.remove(*name);
        }
        if !settle(node, member) {
            self.below.remove(edge);
        }
    }

    /// Removes the path of an edge, but nothing below it.
    pub fn remove_member(&mut self, edge: &str) {
        let Some(Value::Object(node)) = self.below.get_mut(edge) else { return };
        if !settle(node, false) {
            self.below.remove(edge);
        }
    }

    /// What is below an edge.
    pub fn child(&self, edge: &str) -> Option<Set> {
        let node = self.below.get(edge)?.as_object()?;
        let mut below = node.clone();
        below.remove(".");
        Some(Set { member: is_member(node), below })
    }

    pub fn union(&mut self, other: Set) {
        self.member |= other.member;
        if self.below.is_empty() {
            self.below = other.below;
        } else {
            unite_below(&mut self.below, &other.below);
        }
    }

    /// Removes the paths that are in the other set.
    pub fn subtract(&mut self, other: &Set) {
        self.member &= !other.member;
        subtract_below(&mut self.below, &other.below);
    }

    pub fn intersection(&self, other: &Set) -> Set {
        fn walk(ours: &Node, theirs: &Node) -> Node {
            let mut out = Node::new();
            for (edge, a) in ours.iter().filter(|(edge, _)| *edge != ".") {
                if let (Value::Object(a), Some(Value::Object(b))) = (a, theirs.get(edge)) {
                    let mut both = walk(a, b);
                    if settle(&mut both, is_member(a) && is_member(b)) {
                        out.insert(edge.clone(), Value::Object(both));
                    }
                }
            }
            out
        }
        Set { member: self.member && other.member, below: walk(&self.below, &other.below) }
    }

    /// Takes `fieldsV1`; `None` when it is malformed.
    pub fn read(fields: Value) -> Option<Set> {
        fn is_well_formed(node: &Node) -> bool {
            node.iter().all(|(edge, value)| {
                edge == "."
                    || (matches!(edge.get(..2), Some("f:" | "k:" | "v:" | "i:"))
                        && value.as_object().is_some_and(is_well_formed))
            })
        }
        match fields {
            Value::Object(mut below) if is_well_formed(&below) => {
                let member = below.remove(".").is_some();
                Some(Set { member, below })
            }
            _ => None,
        }
    }

    /// Gives `fieldsV1`.
    pub fn write(self) -> Value {
        self.into_node()
    }

    /// The paths, as conflict messages show them.
    pub fn paths(&self) -> Vec<String> {
        fn walk(node: &Node, path: &str, out: &mut Vec<String>) {
            let below = || node.iter().filter(|(edge, _)| *edge != ".");
            // Members of a level come before what is below them.
            for (edge, value) in below() {
                if value.as_object().is_some_and(is_member) {
                    out.push(format!("{path}{}", shown(edge)));
                }
            }
            for (edge, value) in below() {
                if let Value::Object(node) = value {
                    walk(node, &format!("{path}{}", shown(edge)), out);
                }
            }
        }
        let mut out = Vec::new();
        walk(&self.below, "", &mut out);
        out
    }

    /// The edges with the sets below them.
    pub fn into_edges(self) -> impl Iterator<Item = (String, Set)> {
        self.below.into_iter().filter_map(|(edge, value)| match value {
            Value::Object(mut below) => {
                let member = is_member(&below);
                below.remove(".");
                Some((edge, Set { member, below }))
            }
            _ => None,
        })
    }
}

fn is_member(node: &Node) -> bool {
    node.is_empty() || node.contains_key(".")
}

/// Brings a node into its form; false when nothing of it is left.
fn settle(node: &mut Node, member: bool) -> bool {
    let marked = node.contains_key(".");
    let has_children = node.len() > usize::from(marked);
    if member && has_children && !marked {
        node.insert(".".to_owned(), Value::Object(Node::new()));
    } else if marked && !(member && has_children) {
        node.remove(".");
    }
    member || has_children
}

fn subtract_below(ours: &mut Node, theirs: &Node) {
    for (edge, theirs) in theirs.iter().filter(|(edge, _)| *edge != ".") {
        let (Some(Value::Object(node)), Value::Object(theirs)) = (ours.get_mut(edge), theirs) else { continue };
        let member = is_member(node) && !is_member(theirs);
        subtract_below(node, theirs);
        if !settle(node, member) {
            ours.remove(edge);
        }
    }
}

fn unite(ours: &mut Node, theirs: &Value) {
    let Value::Object(theirs) = theirs else { return };
    let member = is_member(ours) || is_member(theirs);
    unite_below(ours, theirs);
    settle(ours, member);
}

fn unite_below(ours: &mut Node, theirs: &Node) {
    for (edge, theirs) in theirs.iter().filter(|(edge, _)| *edge != ".") {
        match ours.get_mut(edge) {
            Some(Value::Object(node)) => unite(node, theirs),
            _ => drop(ours.insert(edge.clone(), theirs.clone())),
        }
    }
}

fn shown(edge: &str) -> String {
    let (mark, rest) = edge.split_at(edge.len().min(2));
    match mark {
        "f:" => format!(".{rest}"),
        "k:" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={}", scalar(value))).collect();
            format!("[{}]", keys.join(","))
        }
        "v:" => format!("[={}]", scalar(&serde_json::from_str(rest).unwrap_or(Value::Null))),
        _ => format!("[{rest}]"),
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), quote)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(fields: &Value) -> Set {
        Set::read(fields.clone()).unwrap()
    }

    #[test]
    fn fields_are_read_and_written_alike() {
        for fields in [
            json!({}),
            json!({"f:data": {}}),
            json!({"f:data": {".": {}, "f:k": {}}, "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}}}),
        ] {
            assert_eq!(set(&fields).write(), fields);
        }
        assert!(Set::read(json!({"data": {}})).is_none());
    }

    #[test]
    fn sets_have_their_algebra() {
        let a = set(&json!({"f:a": {".": {}, "f:x": {}, "f:y": {}}, "f:b": {}}));
        let b = set(&json!({"f:a": {"f:x": {}}, "f:b": {}}));
        let mut difference = a.clone();
        difference.subtract(&b);
        assert_eq!(difference.write(), json!({"f:a": {".": {}, "f:y": {}}}));
        assert_eq!(a.intersection(&b).write(), json!({"f:a": {"f:x": {}}, "f:b": {}}));
        let mut union = b;
        union.union(a.clone());
        assert_eq!(union, a);
    }

    #[test]
    fn paths_are_shown_as_in_conflicts() {
        let fields = json!({"f:m": {".": {}, "f:l.io/x": {}}, "f:s": {"k:{\"port\":80,\"type\":\"R\"}": {"f:v": {}}, "v:\"a\"": {}}});
        assert_eq!(set(&fields).paths(), [".m", ".m.l.io/x", ".s[=\"a\"]", ".s[port=80,type=\"R\"].v"]);
    }
}
