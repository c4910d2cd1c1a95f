//! Reading and changing JSON objects: every accessor treats a missing member, `null` and the zero value alike, as the API's
//! types do. [`same`] is the equality that decides whether something changed.

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// A member, or `null`.
pub(crate) fn get<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&NULL)
}

/// A member of a member, and so on.
pub(crate) fn at<'a>(value: &'a Value, keys: &[&str]) -> &'a Value {
    keys.iter().fold(value, |value, key| get(value, key))
}

/// Whether a member is there.
pub(crate) fn has(value: &Value, key: &str) -> bool {
    !get(value, key).is_null()
}

/// A string member; empty if missing.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    get(value, key).as_str().unwrap_or("")
}

/// A string member.
pub(crate) fn opt_text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    get(value, key).as_str()
}

/// An integer member.
pub(crate) fn int(value: &Value, key: &str) -> Option<i64> {
    get(value, key).as_i64()
}

/// A boolean member.
pub(crate) fn flag(value: &Value, key: &str) -> Option<bool> {
    get(value, key).as_bool()
}

/// The items of a list member; none if missing.
pub(crate) fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    get(value, key).as_array().map_or(&[], Vec::as_slice)
}

/// The entries of a map member; none if missing.
pub(crate) fn entries<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    get(value, key).as_object().into_iter().flatten()
}

/// Number of entries of a map member or of items of a list member.
pub(crate) fn count(value: &Value, key: &str) -> usize {
    match get(value, key) {
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    }
}

/// The object itself as a map; turns anything else into an empty object first.
pub(crate) fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made an object just above")
}

/// A member, made (as `null`) if missing.
pub(crate) fn entry<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    let map = object(value);
    if !map.contains_key(key) {
        map.insert(key.to_owned(), Value::Null);
    }
    map.entry(key).or_insert(Value::Null)
}

/// A member that is present and not null.
pub(crate) fn get_mut<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    value.get_mut(key).filter(|v| !v.is_null())
}

/// The items of a list member, to be changed.
pub(crate) fn items_mut<'a>(value: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    value.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Writes a member.
pub(crate) fn set(value: &mut Value, key: &str, new: impl Into<Value>) {
    object(value).insert(key.to_owned(), new.into());
}

/// Removes a member.
pub(crate) fn remove(value: &mut Value, key: &str) {
    if let Value::Object(map) = value {
        map.remove(key);
    }
}

/// Takes a member over from another object, or removes it if the other has none.
pub(crate) fn take_over(value: &mut Value, key: &str, from: &Value) {
    match from.get(key) {
        Some(member) => {
            if value.get(key) != Some(member) {
                set(value, key, member.clone());
            }
        }
        None => remove(value, key),
    }
}

/// Writes a member that is missing or null.
pub(crate) fn default_to(value: &mut Value, key: &str, new: impl Into<Value>) {
    if !has(value, key) {
        set(value, key, new);
    }
}

/// Writes a string member that is missing or empty.
pub(crate) fn default_text(value: &mut Value, key: &str, new: &str) {
    if text(value, key).is_empty() {
        set(value, key, new);
    }
}

/// Writes an integer member that is missing or zero.
pub(crate) fn default_int(value: &mut Value, key: &str, new: i64) {
    if int(value, key).unwrap_or(0) == 0 {
        set(value, key, new);
    }
}

fn nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether two values mean the same: missing, `null` and empty are one.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            x.iter().all(|(k, v)| match y.get(k) {
                Some(w) => same(v, w),
                None => nothing(v),
            }) && y.iter().all(|(k, w)| x.contains_key(k) || nothing(w))
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(v, w)| same(v, w)),
        _ => a == b || (nothing(a) && nothing(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_and_missing_are_the_same() {
        assert!(same(&json!({"a": 1, "b": {}}), &json!({"a": 1, "c": null, "d": []})));
        assert!(!same(&json!({"a": 1}), &json!({"a": 2})));
        assert!(!same(&json!({"a": [1]}), &json!({"a": [1, 2]})));
    }
}
