//! Sets of field paths in the form of `FieldsV1`: a tree whose edges are `f:name`, `k:{keys}` and `v:value`;
//! [`Set`] has their algebra.

use std::collections::BTreeMap;

use augur_notation::quote;
use serde_json::{Map, Value};

/// A set of field paths: whether the path to here is in it, and the sets below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub member: bool,
    pub children: BTreeMap<String, Set>,
}

impl Set {
    /// The set of the path to here alone.
    pub fn leaf() -> Self {
        Set { member: true, children: BTreeMap::new() }
    }

    /// The set that holds the path of the given field names.
    pub fn of_path(names: &[&str]) -> Self {
        names.iter().rev().fold(Set::leaf(), |below, name| Set {
            member: false,
            children: BTreeMap::from([(format!("f:{name}"), below)]),
        })
    }

    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// Puts a set below an edge; empty sets are left out.
    pub fn put(&mut self, edge: impl FnOnce() -> String, below: Set) {
        if !below.is_empty() {
            self.children.insert(edge(), below);
        }
    }

    pub fn union(&mut self, other: Set) {
        self.member |= other.member;
        if self.children.is_empty() {
            self.children = other.children;
            return;
        }
        for (edge, below) in other.children {
            self.children.entry(edge).or_default().union(below);
        }
    }

    /// Removes the paths that are in the other set.
    pub fn subtract(&mut self, other: &Set) {
        self.member &= !other.member;
        if self.children.is_empty() {
            return;
        }
        for (edge, theirs) in &other.children {
            if let Some(ours) = self.children.get_mut(edge) {
                ours.subtract(theirs);
                if ours.is_empty() {
                    self.children.remove(edge);
                }
            }
        }
    }

    /// Removes the paths that are in the other set, and all below them.
    pub fn subtract_below(&mut self, other: &Set) {
        if other.member {
            *self = Set::default();
            return;
        }
        for (edge, theirs) in &other.children {
            if let Some(ours) = self.children.get_mut(edge) {
                ours.subtract_below(theirs);
                if ours.is_empty() {
                    self.children.remove(edge);
                }
            }
        }
    }

    pub fn intersection(&self, other: &Set) -> Set {
        let mut both = Set { member: self.member && other.member, children: BTreeMap::new() };
        for (edge, ours) in &self.children {
            if let Some(theirs) = other.children.get(edge) {
                both.put(|| edge.clone(), ours.intersection(theirs));
            }
        }
        both
    }

    /// Reads `fieldsV1`; `None` when it is malformed.
    pub fn read(fields: &Value) -> Option<Set> {
        fn below(map: &Map<String, Value>) -> Option<Set> {
            let mut set = Set { member: map.is_empty(), children: BTreeMap::new() };
            for (edge, value) in map {
                if edge == "." {
                    set.member = true;
                    continue;
                }
                if !matches!(edge.get(..2), Some("f:" | "k:" | "v:" | "i:")) {
                    return None;
                }
                set.children.insert(edge.clone(), below(value.as_object()?)?);
            }
            Some(set)
        }
        let mut set = below(fields.as_object()?)?;
        set.member &= fields.get(".").is_some();
        Some(set)
    }

    /// Writes `fieldsV1`.
    pub fn write(self) -> Value {
        let mut map: Map<String, Value> =
            self.children.into_iter().map(|(edge, below)| (edge, below.write())).collect();
        if self.member && !map.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        Value::Object(map)
    }

    /// The paths, as conflict messages show them.
    pub fn paths(&self) -> Vec<String> {
        fn walk(set: &Set, path: &str, out: &mut Vec<String>) {
            // Members of a level come before what is below them.
            for (edge, below) in &set.children {
                if below.member {
                    out.push(format!("{path}{}", shown(edge)));
                }
            }
            for (edge, below) in &set.children {
                walk(below, &format!("{path}{}", shown(edge)), out);
            }
        }
        let mut out = Vec::new();
        walk(self, "", &mut out);
        out
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
        Set::read(fields).unwrap()
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
        assert!(Set::read(&json!({"data": {}})).is_none());
    }

    #[test]
    fn sets_have_their_algebra() {
        let a = set(&json!({"f:a": {".": {}, "f:x": {}, "f:y": {}}, "f:b": {}}));
        let b = set(&json!({"f:a": {"f:x": {}}, "f:b": {}}));
        let mut difference = a.clone();
        difference.subtract(&b);
        assert_eq!(difference.write(), json!({"f:a": {".": {}, "f:y": {}}}));
        assert_eq!(a.intersection(&b).write(), json!({"f:a": {"f:x": {}}, "f:b": {}}));
        let mut below = a.clone();
        below.subtract_below(&Set::of_path(&["a"]));
        assert_eq!(below.write(), json!({"f:b": {}}));
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
