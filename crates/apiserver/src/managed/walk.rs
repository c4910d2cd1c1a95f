//! Walks over objects along their types as field ownership sees them: [`diff`], [`field_set`], [`merge`], [`remove`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::set::Set;
use crate::schema::{Field, ListType, Type, Wire};

/// How a value is owned: as one, or in parts.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// As one value.
    Leaf(&'static Wire),
    /// By fields.
    Struct(&'static Type),
    /// By keys.
    Map(&'static Wire),
    /// By the scalars in it.
    Set(&'static Wire),
    /// By items that are told apart by keys.
    Items(&'static Wire, &'static [&'static str]),
}

impl Shape {
    pub fn of_field(field: &'static Field) -> Shape {
        match &field.wire {
            Wire::Struct(ty) if field.granular || !(field.atomic || ty.get().atomic) => Shape::Struct(ty.get()),
            Wire::Map(item, _) if !field.atomic => Shape::Map(item),
            Wire::List(item, _) => match &field.list {
                ListType::Atomic => Shape::Leaf(&field.wire),
                ListType::Set => Shape::Set(item),
                ListType::Map(keys) => Shape::Items(item, keys),
            },
            wire => Shape::Leaf(wire),
        }
    }

    pub fn of_item(wire: &'static Wire) -> Shape {
        match wire {
            Wire::Struct(ty) if !ty.get().atomic => Shape::Struct(ty.get()),
            Wire::Map(item, _) => Shape::Map(item),
            wire => Shape::Leaf(wire),
        }
    }

    fn child(self, name: &str) -> Shape {
        match self {
            Shape::Struct(ty) => ty.field(name).map_or(Shape::Leaf(&Wire::Any), Shape::of_field),
            Shape::Map(item) => Shape::of_item(item),
            other => other,
        }
    }
}

/// The differences between two values.
#[derive(Debug, Default)]
pub(super) struct Diff {
    pub added: Set,
    pub removed: Set,
    pub modified: Set,
}

impl Diff {
    fn put(&mut self, edge: impl Fn() -> String, below: Diff) {
        self.added.put(&edge, below.added);
        self.removed.put(&edge, below.removed);
        self.modified.put(&edge, below.modified);
    }

    fn mark(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, _) => self.added.member = true,
            (_, None) => self.removed.member = true,
            _ => {}
        }
    }
}

fn leaf_diff(old: Option<&Value>, new: Option<&Value>) -> Diff {
    let mut diff = Diff::default();
    diff.mark(old, new);
    diff.modified.member = old.is_some() && new.is_some() && old != new;
    diff
}

/// What was added, removed and modified from one value to the other.
pub(super) fn diff(shape: Shape, old: Option<&Value>, new: Option<&Value>) -> Diff {
    match shape {
        Shape::Leaf(_) => leaf_diff(old, new),
        Shape::Struct(_) | Shape::Map(_) => diff_maps(shape, old, new),
        Shape::Set(item) => diff_lists(item, &[], old, new),
        Shape::Items(item, keys) => diff_lists(item, keys, old, new),
    }
}

fn diff_maps(shape: Shape, old: Option<&Value>, new: Option<&Value>) -> Diff {
    let old_map = old.and_then(Value::as_object);
    let new_map = new.and_then(Value::as_object);
    if old_map.is_none_or(Map::is_empty) && new_map.is_none_or(Map::is_empty) {
        return leaf_diff(old, new);
    }
    let mut diff = Diff::default();
    for (name, value) in new_map.into_iter().flatten() {
        let before = old_map.and_then(|map| map.get(name));
        diff.put(|| edge_of_name(name), self::diff(shape.child(name), before, Some(value)));
    }
    for (name, value) in old_map.into_iter().flatten() {
        if new_map.is_none_or(|map| !map.contains_key(name)) {
            diff.put(|| edge_of_name(name), self::diff(shape.child(name), Some(value), None));
        }
    }
    diff.mark(old, new);
    diff
}

fn diff_lists(item: &'static Wire, keys: &[&str], old: Option<&Value>, new: Option<&Value>) -> Diff {
    let old_list = old.and_then(Value::as_array);
    let new_list = new.and_then(Value::as_array);
    if old_list.is_none_or(Vec::is_empty) && new_list.is_none_or(Vec::is_empty) {
        return leaf_diff(old, new);
    }
    let mut pairs: BTreeMap<String, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for value in old_list.into_iter().flatten() {
        if let Ok(edge) = edge_of_item(item, keys, value) {
            pairs.entry(edge).or_default().0.push(value);
        }
    }
    for value in new_list.into_iter().flatten() {
        if let Ok(edge) = edge_of_item(item, keys, value) {
            pairs.entry(edge).or_default().1.push(value);
        }
    }
    let shape = Shape::of_item(item);
    let mut diff = Diff::default();
    for (edge, (before, after)) in pairs {
        // Items that occur more than once are owned as one value.
        let mut below = match (before.as_slice(), after.as_slice()) {
            ([] | [_], [] | [_]) => self::diff(shape, before.first().copied(), after.first().copied()),
            ([_, _, ..], [_, _, ..]) => Diff { modified: Set::here(before != after), ..Diff::default() },
            ([_, _, ..], _) => after.first().map_or_else(Diff::default, |value| self::diff(shape, None, Some(*value))),
            _ => before.first().map_or_else(Diff::default, |value| self::diff(shape, Some(*value), None)),
        };
        below.removed.member |= before.len() > 1 && after.len() < 2;
        below.added.member |= after.len() > 1 && before.len() < 2;
        diff.put(|| edge.clone(), below);
    }
    diff.mark(old, new);
    diff
}

/// All fields that a configuration mentions.
pub(super) fn field_set(shape: Shape, value: &Value) -> Set {
    let mut set = Set::default();
    match (shape, value) {
        (Shape::Leaf(_), _) => set.member = true,
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) => {
            for (name, value) in map {
                let known = matches!(shape, Shape::Struct(ty) if ty.field(name).is_some());
                let mut below = field_set(shape.child(name), value);
                below.member |= !known || value.is_null() || value.as_object().is_some_and(Map::is_empty);
                set.put(|| edge_of_name(name), below);
            }
        }
        (Shape::Set(item) | Shape::Items(item, _), Value::Array(list)) => {
            let keys: &[&str] = if let Shape::Items(_, keys) = shape { keys } else { &[] };
            for value in list {
                if let Ok(edge) = edge_of_item(item, keys, value) {
                    let mut below = field_set(Shape::of_item(item), value);
                    below.member = true;
                    set.put_more(edge, below);
                }
            }
        }
        _ => {}
    }
    set
}

/// Puts a configuration over a value; lists take the order of the configuration where it says something.
pub(super) fn merge(shape: Shape, old: Option<&Value>, new: Option<&Value>) -> Option<Value> {
    let keep_new = || new.or(old).cloned();
    match shape {
        Shape::Leaf(_) => keep_new(),
        Shape::Struct(_) | Shape::Map(_) => {
            let old_map = old.and_then(Value::as_object);
            let new_map = new.and_then(Value::as_object);
            if old_map.is_none_or(Map::is_empty) && new_map.is_none_or(Map::is_empty) {
                return keep_new();
            }
            let mut out = Map::new();
            for (name, value) in old_map.into_iter().flatten() {
                let over = new_map.and_then(|map| map.get(name));
                if let Some(value) = merge(shape.child(name), Some(value), over) {
                    out.insert(name.clone(), value);
                }
            }
            for (name, value) in new_map.into_iter().flatten() {
                if old_map.is_none_or(|map| !map.contains_key(name))
                    && let Some(value) = merge(shape.child(name), None, Some(value))
                {
                    out.insert(name.clone(), value);
                }
            }
            if out.is_empty() { None } else { Some(Value::Object(out)) }
        }
        Shape::Set(item) => merge_lists(item, &[], old, new),
        Shape::Items(item, keys) => merge_lists(item, keys, old, new),
    }
}

fn merge_lists(item: &'static Wire, keys: &[&str], old: Option<&Value>, new: Option<&Value>) -> Option<Value> {
    let empty = Vec::new();
    let old_list = old.and_then(Value::as_array).unwrap_or(&empty);
    let new_list = new.and_then(Value::as_array).unwrap_or(&empty);
    if old_list.is_empty() && new_list.is_empty() {
        return new.or(old).cloned();
    }
    let edges = |list: &[Value]| -> Vec<String> {
        list.iter().map(|value| edge_of_item(item, keys, value).unwrap_or_else(|_| value.to_string())).collect()
    };
    let (old_edges, new_edges) = (edges(old_list), edges(new_list));
    let mut old_at: HashMap<&str, Option<&Value>> = HashMap::new();
    for (edge, value) in old_edges.iter().zip(old_list) {
        // Items that occur more than once are not merged into.
        old_at.entry(edge).and_modify(|seen| *seen = None).or_insert(Some(value));
    }
    let new_at: HashMap<&str, &Value> = new_edges.iter().map(String::as_str).zip(new_list).collect();
    let shape = Shape::of_item(item);
    let mut shared = new_edges.iter().filter(|edge| old_at.contains_key(edge.as_str()));
    let mut next_shared = shared.next();
    let mut merged: Vec<&str> = Vec::new();
    let mut out = Vec::with_capacity(old_list.len().max(new_list.len()));
    let (mut i, mut j) = (0, 0);
    while i < old_list.len() || j < new_list.len() {
        let both = old_edges.get(i).zip(new_edges.get(j));
        if let Some((before, after)) = both {
            if before == after {
                out.extend(merge(shape, old_at.get(before.as_str()).copied().flatten(), Some(&new_list[j])));
                merged.push(after);
                (i, j) = (i + 1, j + 1);
                next_shared = shared.next();
                continue;
            }
            if new_at.contains_key(before.as_str()) && next_shared.is_some_and(|edge| edge != before) {
                // Shared, but a later one in the configuration's order.
                i += 1;
                continue;
            }
        }
        if let Some(before) = old_edges.get(i) {
            if !new_at.contains_key(before.as_str()) {
                out.push(old_list[i].clone());
                i += 1;
                continue;
            }
            if merged.contains(&before.as_str()) {
                i += 1;
            }
        }
        if let Some(after) = new_edges.get(j) {
            out.extend(merge(shape, old_at.get(after.as_str()).copied().flatten(), Some(&new_list[j])));
            merged.push(after);
            j += 1;
            if next_shared == Some(after) {
                next_shared = shared.next();
            }
        }
    }
    if out.is_empty() { None } else { Some(Value::Array(out)) }
}

/// The value without the items and fields of the set; `None` when nothing is left.
pub(super) fn remove(shape: Shape, value: &Value, set: &Set) -> Option<Value> {
    match (shape, value) {
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) => {
            let (mut out, mut matched) = (Map::new(), false);
            for (name, value) in map {
                let below = set.child(&edge_of_name(name));
                if below.as_ref().is_some_and(|below| below.member) {
                    continue;
                }
                let left = match below {
                    None => value.clone(),
                    Some(below) => {
                        matched = true;
                        remove(shape.child(name), value, &below).unwrap_or_else(|| emptied(value))
                    }
                };
                out.insert(name.clone(), left);
            }
            if out.is_empty() && !matched { None } else { Some(Value::Object(out)) }
        }
        (Shape::Set(item) | Shape::Items(item, _), Value::Array(list)) => {
            let keys: &[&str] = if let Shape::Items(_, keys) = shape { keys } else { &[] };
            let (mut out, mut matched) = (Vec::new(), false);
            for value in list {
                let edge = edge_of_item(item, keys, value).unwrap_or_default();
                let below = set.child(&edge);
                if below.as_ref().is_some_and(|below| below.member) {
                    continue;
                }
                out.push(match below {
                    None => value.clone(),
                    Some(below) => {
                        matched = true;
                        remove(Shape::of_item(item), value, &below).unwrap_or_else(|| emptied(value))
                    }
                });
            }
            if out.is_empty() && !matched { None } else { Some(Value::Array(out)) }
        }
        (Shape::Leaf(_), Value::Array(_) | Value::Object(_)) => None,
        _ => Some(value.clone()),
    }
}

fn emptied(value: &Value) -> Value {
    match value {
        Value::Object(_) => Value::Object(Map::new()),
        Value::Array(_) => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

/// The set with every struct field that leads to a member as a member of its own.
pub(super) fn with_named_fields(shape: Shape, set: Set) -> Set {
    let mut out = Set::here(set.member);
    for (edge, below) in set.into_edges() {
        let name = edge.strip_prefix("f:");
        let named = matches!((shape, name), (Shape::Struct(ty), Some(name)) if ty.field(name).is_some());
        let child = match (shape, name) {
            (Shape::Set(item) | Shape::Items(item, _), _) => Shape::of_item(item),
            (_, name) => shape.child(name.unwrap_or_default()),
        };
        let mut below = with_named_fields(child, below);
        below.member |= named;
        out.put(|| edge, below);
    }
    out
}

/// What of a configuration does not fit its type, as `path: message`.
pub(super) fn validate(shape: Shape, value: &Value, path: &str, errors: &mut Vec<String>) {
    match (shape, value) {
        (_, Value::Null) => {}
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) => {
            for (name, value) in map {
                let path = format!("{path}.{name}");
                match shape {
                    Shape::Struct(ty) if ty.field(name).is_none() => {
                        errors.push(format!("{path}: field not declared in schema"));
                    }
                    _ => validate(shape.child(name), value, &path, errors),
                }
            }
        }
        (Shape::Struct(_) | Shape::Map(_), _) => errors.push(format!("{path}: expected map, got &{{{value}}}")),
        (Shape::Set(item) | Shape::Items(item, _), Value::Array(list)) => {
            let keys: &[&str] = if let Shape::Items(_, keys) = shape { keys } else { &[] };
            let mut seen = Set::default();
            for (index, value) in list.iter().enumerate() {
                match edge_of_item(item, keys, value) {
                    Err(why) => errors.push(format!("{path}: element {index}: {why}")),
                    Ok(edge) => {
                        let mut one = Set::default();
                        one.put(|| edge.clone(), Set::leaf());
                        let shown = one.paths().concat();
                        if seen.contains_edge(&edge) {
                            errors.push(format!("{path}: duplicate entries for key {shown}"));
                        }
                        seen.union(one);
                        validate(Shape::of_item(item), value, &format!("{path}{shown}"), errors);
                    }
                }
            }
        }
        (Shape::Set(_) | Shape::Items(..), _) => errors.push(format!("{path}: expected list, got &{{{value}}}")),
        (Shape::Leaf(wire), _) => validate_leaf(wire, value, path, errors),
    }
}

fn validate_leaf(wire: &'static Wire, value: &Value, path: &str, errors: &mut Vec<String>) {
    match (wire, value) {
        (Wire::List(item, _), Value::Array(list)) => {
            for (index, value) in list.iter().enumerate() {
                validate(Shape::of_item(item), value, &format!("{path}[{index}]"), errors);
            }
        }
        (Wire::Struct(ty), _) => validate(Shape::Struct(ty.get()), value, path, errors),
        (Wire::Map(item, _), _) => validate(Shape::Map(item), value, path, errors),
        (Wire::List(..), _) => errors.push(format!("{path}: expected list, got &{{{value}}}")),
        (Wire::String(_) | Wire::Time | Wire::MicroTime | Wire::Bytes, v) if !v.is_string() => {
            errors.push(format!("{path}: expected string, got &value.valueUnstructured{{Value:{value}}}"));
        }
        (Wire::I32 | Wire::I64 | Wire::F64, v) if !v.is_number() => {
            let got = if value.is_string() { "string" } else { "bool" };
            errors.push(format!("{path}: expected numeric (int or float), got {got}"));
        }
        (Wire::Bool, v) if !v.is_boolean() => errors.push(format!("{path}: expected boolean, got &{{{value}}}")),
        _ => {}
    }
}

fn edge_of_name(name: &str) -> String {
    let mut edge = String::with_capacity(name.len() + 2);
    edge.push_str("f:");
    edge.push_str(name);
    edge
}

/// The edge to a list item: by its value in sets, by its keys otherwise.
fn edge_of_item(item: &Wire, keys: &[&str], value: &Value) -> Result<String, String> {
    if keys.is_empty() {
        return match value {
            Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            scalar => Ok(format!("v:{scalar}")),
        };
    }
    let Value::Object(map) = value else {
        let what = if value.is_null() { "a null element" } else { "non-map elements" };
        return Err(format!("associative list with keys may not have {what}"));
    };
    let mut pairs: Vec<(&str, Cow<'_, Value>)> = Vec::with_capacity(keys.len());
    for key in keys {
        if let Some(value) = map.get(*key) {
            pairs.push((key, Cow::Borrowed(value)));
        } else if let Some(default) = item.element().and_then(|ty| ty.field(key)).and_then(|field| field.default) {
            pairs.push((key, Cow::Owned(Value::String(default.to_owned()))));
        }
    }
    if pairs.is_empty() {
        let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            keys.join(" ")
        ));
    }
    pairs.sort_unstable_by_key(|(key, _)| *key);
    let mut edge = String::from("k:{");
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            edge.push(',');
        }
        edge.push('"');
        edge.push_str(key);
        edge.push_str("\":");
        match value.as_ref() {
            Value::String(text) if text.bytes().all(|b| (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\') => {
                edge.push('"');
                edge.push_str(text);
                edge.push('"');
            }
            other => edge.push_str(&other.to_string()),
        }
    }
    edge.push('}');
    Ok(edge)
}
