//! Strategic-merge patches: lists merged by the keys that the types declare, and the directives `$patch`, `$retainKeys`,
//! `$deleteFromPrimitiveList/…` and `$setElementOrder/…`. [`apply`] is the entry point.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::schema::{Type, Wire};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// Why a patch cannot be applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A list item without the key by which items are matched.
    #[error("map: {} does not contain declared merge key: {key}", go_map(item))]
    NoMergeKey { item: Map<String, Value>, key: String },
    /// A directive that does not exist.
    #[error("unknown patch type: {} in map: {}", go_value(directive), go_map(item))]
    Directive { directive: Value, item: Map<String, Value> },
    /// A value of the wrong type.
    #[error("expected a {expected}, but received a {}", go_type(given))]
    Type { expected: &'static str, given: Value },
    /// `$patch: merge` within a list.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeInList,
    /// Lists of maps that declare no merge key.
    #[error("cannot merge lists without merge key for {0}")]
    NoDeclaredKey(String),
    /// A list whose items differ in type.
    #[error("list element types are not identical: {0}")]
    MixedList(String),
    /// Nothing to tell the type of items from.
    #[error("no elements in any of the given slices")]
    NoElements,
    /// A list patched together with an order that it does not follow.
    #[error("The order in patch list:\n{patch}\n doesn't match {SET_ORDER} list:\n{order}\n")]
    Order { patch: String, order: String },
    /// A field that the type does not have.
    #[error("unable to find api field in struct {holder} for the json field {field:?}")]
    NoField { holder: String, field: String },
    /// Items that are lists themselves.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// A malformed `$retainKeys`.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
}

impl Error {
    /// The failure that clients get; those that the real API server does not expect are 500.
    pub fn into_api_error(self) -> ApiError {
        match self {
            Error::RetainKeys => ApiError::bad_request(self.to_string()),
            Error::ListOfLists => super::rejected(),
            _ => ApiError::new(500, "", self.to_string()),
        }
    }
}

/// Merges a patch into an object.
pub(super) fn apply(ty: &'static Type, live: &Value, patch: Map<String, Value>) -> Result<Value, Error> {
    let live = live.as_object().cloned().unwrap_or_default();
    merge_maps(Meta::Struct(ty), live, patch).map(Value::Object)
}

/// What is known of the members of a map.
#[derive(Clone, Copy)]
enum Meta {
    Struct(&'static Type),
    Map(&'static Wire),
    Unknown,
}

/// What is known of one member: how it is merged, and what is below.
struct Member {
    merge: bool,
    replace: bool,
    key: Option<&'static str>,
    below: Meta,
    name: String,
}

impl Meta {
    fn of(wire: &'static Wire) -> Meta {
        match wire {
            Wire::Struct(ty) => Meta::Struct(ty.get()),
            Wire::Map(item, _) => Meta::Map(item),
            Wire::List(item, _) => Meta::of(item),
            _ => Meta::Unknown,
        }
    }

    fn member(self, name: &str) -> Result<Member, Error> {
        match self {
            Meta::Struct(ty) => {
                let Some(field) = ty.field(name) else {
                    return Err(Error::NoField { holder: ty.short_name().to_owned(), field: name.to_owned() });
                };
                let below = Meta::of(&field.wire);
                let shown = field.wire.element().map_or_else(|| field.wire.go_name(), |ty| ty.short_name().to_owned());
                Ok(Member { merge: field.merge, replace: field.replace, key: field.merge_key, below, name: shown })
            }
            Meta::Map(item) => {
                Ok(Member { merge: false, replace: false, key: None, below: Meta::of(item), name: item.go_name() })
            }
            Meta::Unknown => {
                Ok(Member { merge: false, replace: false, key: None, below: Meta::Unknown, name: String::new() })
            }
        }
    }
}

fn merge_maps(
    meta: Meta,
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    match patch.get(PATCH).and_then(Value::as_str) {
        _ if !patch.contains_key(PATCH) => {}
        Some("replace") => {
            patch.remove(PATCH);
            return Ok(patch);
        }
        Some("delete") => return Ok(Map::new()),
        _ => return Err(Error::Directive { directive: patch.get(PATCH).cloned().unwrap_or_default(), item: patch }),
    }
    retain_keys(&mut original, &mut patch)?;
    merge_ordered_lists(meta, &mut original, &mut patch)?;
    for (name, value) in patch {
        let (name, deletes) = match name.strip_prefix(DELETE_FROM) {
            Some(name) => (name.to_owned(), true),
            None => (name, false),
        };
        if value.is_null() {
            original.remove(&name);
            continue;
        }
        let merged = match (original.remove(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let member = meta.member(&name)?;
                Some(Value::Object(if member.replace { new } else { merge_maps(member.below, old, new)? }))
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                let member = meta.member(&name)?;
                Some(Value::Array(merge_member(&member, old, new, deletes)?))
            }
            (old, _) if deletes => old,
            (_, value) => without_directives(value),
        };
        if let Some(merged) = merged {
            original.insert(name, merged);
        }
    }
    Ok(original)
}

fn merge_member(member: &Member, old: Vec<Value>, new: Vec<Value>, deletes: bool) -> Result<Vec<Value>, Error> {
    if member.merge || deletes { merge_lists(member, old, new, deletes) } else { Ok(new) }
}

/// `$retainKeys`: the members of the original that it does not list go.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), Error> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = keys else { return Err(Error::RetainKeys) };
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let stray = patch.iter().any(|(name, value)| {
        !(value.is_null()
            || name.starts_with(DELETE_FROM)
            || name.starts_with(SET_ORDER)
            || keys.contains(name.as_str()))
    });
    if stray {
        return Err(Error::RetainKeys);
    }
    original.retain(|name, _| keys.contains(name.as_str()));
    Ok(())
}

/// `$setElementOrder/…`: merges the lists that it orders, so that only the other members are left in the patch.
fn merge_ordered_lists(
    meta: Meta,
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), Error> {
    let directives: Vec<String> = patch.keys().filter(|name| name.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let Some(order) = patch.remove(&directive) else { continue };
        let name = &directive[SET_ORDER.len()..];
        let Value::Array(order) = order else {
            return Err(Error::Type { expected: "[]interface {}", given: order });
        };
        let old = take_list(original, name)?;
        let new = take_list(patch, name)?;
        let member = meta.member(name)?;
        let new_items = new.clone().unwrap_or_default();
        follows_order(&new_items, &order, member.key)?;
        let old_items = old.clone().unwrap_or_default();
        let merged = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (None, Some(new)) => new.into_iter().filter_map(without_directives).collect(),
            (Some(old), Some(new)) => merge_member(&member, old, new, false)?,
        };
        let kind = item_kind(&old_items, &new_items)?.ok_or(Error::NoElements)?;
        let key = if kind == Kind::Map { member.key } else { None };
        let (listed, others) = partition(merged, &order, key)?;
        let ordered = in_order(listed, others, &order, &old_items, key)?;
        original.insert(name.to_owned(), Value::Array(ordered));
    }
    Ok(())
}

fn take_list(map: &mut Map<String, Value>, name: &str) -> Result<Option<Vec<Value>>, Error> {
    match map.remove(name) {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(given) => Err(Error::Type { expected: "[]interface {}", given }),
    }
}

/// The items of a patch must come in the order that it sets.
fn follows_order(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), Error> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut at = 0;
    for item in patch {
        if item.get(PATCH).is_some() {
            continue;
        }
        loop {
            let Some(expected) = order.get(at) else {
                let shown = |list: &[Value]| go_value(&Value::Array(list.to_vec()));
                return Err(Error::Order { patch: shown(patch), order: shown(order) });
            };
            at += 1;
            let same = match key {
                Some(key) => key_of(item, key)? == key_of(expected, key)?,
                None => item == expected,
            };
            if same {
                break;
            }
        }
    }
    Ok(())
}

fn key_of<'a>(item: &'a Value, key: &str) -> Result<&'a Value, Error> {
    let Value::Object(map) = item else {
        return Err(Error::Type { expected: "map[string]interface {}", given: item.clone() });
    };
    map.get(key).ok_or_else(|| Error::NoMergeKey { item: map.clone(), key: key.to_owned() })
}

fn position(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    match key {
        Some(key) => list.iter().position(|other| other.get(key) == item.get(key)),
        None => list.iter().position(|other| other == item),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Map,
    Scalar(&'static str),
}

/// The kind that all items share; `None` when there are no items.
fn item_kind(first: &[Value], second: &[Value]) -> Result<Option<Kind>, Error> {
    let mut kind = None;
    for item in first.iter().chain(second) {
        let this = match item {
            Value::Array(_) => return Err(Error::ListOfLists),
            Value::Object(_) => Kind::Map,
            scalar => Kind::Scalar(go_type(scalar)),
        };
        if kind.is_some_and(|kind| kind != this) {
            let lists = Value::Array(vec![Value::Array(first.to_vec()), Value::Array(second.to_vec())]);
            return Err(Error::MixedList(go_value(&lists)));
        }
        kind = Some(this);
    }
    Ok(kind)
}

fn merge_lists(member: &Member, old: Vec<Value>, new: Vec<Value>, deletes: bool) -> Result<Vec<Value>, Error> {
    let Some(kind) = item_kind(&old, &new)? else { return Ok(old) };
    if kind != Kind::Map {
        if deletes {
            return Ok(old.into_iter().filter(|item| !new.contains(item)).collect());
        }
        let mut merged: Vec<Value> = Vec::with_capacity(old.len() + new.len());
        for item in old.iter().chain(&new) {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        let (listed, others) = partition(merged, &new, None)?;
        return in_order(listed, others, &new, &old, None);
    }
    let Some(key) = member.key else { return Err(Error::NoDeclaredKey(member.name.clone())) };
    let (old, new) = list_directives(old, new, key)?;
    let mut merged = old.clone();
    for item in &new {
        let value = key_of(item, key)?;
        let Value::Object(over) = item.clone() else { continue };
        match merged.iter_mut().find(|other| other.get(key) == Some(value)) {
            Some(Value::Object(under)) => *under = merge_maps(member.below, std::mem::take(under), over)?,
            _ => merged.push(Value::Object(over)),
        }
    }
    let (listed, others) = partition(merged, &new, Some(key))?;
    in_order(listed, others, &new, &old, Some(key))
}

/// Carries out `$patch` in list items: what is left of the old list, and the items to merge.
fn list_directives(mut old: Vec<Value>, new: Vec<Value>, key: &str) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let mut plain = Vec::with_capacity(new.len());
    let mut replaces = false;
    for item in new {
        match item.get(PATCH) {
            None => plain.push(item),
            Some(directive) => match directive.as_str() {
                Some("delete") => {
                    let value = key_of(&item, key)?;
                    old.retain(|other| other.get(key) != Some(value));
                }
                Some("replace") => replaces = true,
                Some("merge") => return Err(Error::MergeInList),
                _ => {
                    let item = item.as_object().cloned().unwrap_or_default();
                    return Err(Error::Directive { directive: item.get(PATCH).cloned().unwrap_or_default(), item });
                }
            },
        }
    }
    Ok(if replaces { (plain, Vec::new()) } else { (old, plain) })
}

/// The items that the other list has, and those that it has not.
fn partition(items: Vec<Value>, by: &[Value], key: Option<&str>) -> Result<(Vec<Value>, Vec<Value>), Error> {
    if let Some(key) = key {
        for item in &items {
            key_of(item, key)?;
        }
    }
    Ok(items.into_iter().partition(|item| position(by, item, key).is_some()))
}

/// Items of the patch in its order, with the others put among them by the order of the live list.
fn in_order(
    mut listed: Vec<Value>,
    mut others: Vec<Value>,
    order: &[Value],
    live: &[Value],
    key: Option<&str>,
) -> Result<Vec<Value>, Error> {
    if let Some(key) = key {
        for item in order {
            key_of(item, key)?;
        }
    }
    let place = |list: &[Value], item: &Value| position(list, item, key).unwrap_or(usize::MAX);
    listed.sort_by_key(|item| place(order, item));
    others.sort_by_key(|item| place(live, item));
    let mut out = Vec::with_capacity(listed.len() + others.len());
    let (mut listed, mut others) = (listed.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let other_first = match (others.peek(), listed.peek()) {
            (Some(other), Some(item)) => {
                position(live, other, key).zip(position(live, item, key)).is_some_and(|(a, b)| a < b)
            }
            (Some(_), None) => true,
            (None, _) => false,
        };
        match if other_first { others.next() } else { listed.next() } {
            Some(item) => out.push(item),
            None => return Ok(out),
        }
    }
}

/// A value that is new to the object: without nulls and directives; `None` when it is a directive itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) => {
            if map.contains_key(PATCH) {
                return None;
            }
            let members = map.into_iter().filter(|(_, value)| !value.is_null());
            Some(Value::Object(members.filter_map(|(name, v)| Some((name, without_directives(v)?))).collect()))
        }
        Value::Array(list) => Some(Value::Array(list.into_iter().filter_map(without_directives).collect())),
        scalar => Some(scalar),
    }
}

/// A map as Go's `%v` shows it.
pub(super) fn go_map(map: &Map<String, Value>) -> String {
    let members: Vec<String> = map.iter().map(|(name, value)| format!("{name}:{}", go_value(value))).collect();
    format!("map[{}]", members.join(" "))
}

fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => go_map(map),
        other => other.to_string(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
