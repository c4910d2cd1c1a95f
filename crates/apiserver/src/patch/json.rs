//! RFC 6902, with the leniencies of the library that the API server uses: `replace` also adds, indices may be negative.

use serde_json::Value;

use crate::error::ApiError;
use crate::schema;

/// At most this many operations in one patch.
const MAX_OPERATIONS: usize = 10_000;

/// Bytes that all copies of one patch may make together, as each could double the object.
const MAX_COPIED: usize = 3 << 20;
/// Levels that an object may have on the way.
const MAX_DEPTH: usize = 200;

/// One operation.
pub(super) struct Operation {
    kind: String,
    path: Option<String>,
    from: Option<String>,
    value: Value,
}

/// An operation does not apply.
pub(super) struct Failed;

/// Reads a patch, with the unknown and duplicate fields of its operations.
pub(super) fn parse(raw: &[u8]) -> Result<(Vec<Operation>, Vec<String>), ApiError> {
    let wrong = |why: String| ApiError::bad_request(format!("error decoding patch: {why}"));
    let (patch, duplicates) = schema::parse_json(raw).map_err(wrong)?;
    let list = match patch {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        other => {
            let what = kind_of(&other);
            return Err(wrong(format!("json: cannot unmarshal {what} into Go value of type []handlers.jsonPatchOp")));
        }
    };
    let mut noted: Vec<String> = duplicates.iter().map(|note| format!("json patch {note}")).collect();
    let mut operations = Vec::with_capacity(list.len());
    for (index, item) in list.into_iter().enumerate() {
        let mut operation = Operation { kind: String::new(), path: None, from: None, value: Value::Null };
        let map = match item {
            Value::Object(map) => map,
            Value::Null => serde_json::Map::new(),
            other => {
                let what = kind_of(&other);
                return Err(wrong(format!("json: cannot unmarshal {what} into Go value of type handlers.jsonPatchOp")));
            }
        };
        for (name, value) in map {
            match (name.as_str(), value) {
                ("value", value) => operation.value = value,
                ("op", Value::String(text)) => operation.kind = text,
                ("path", Value::String(text)) => operation.path = Some(text),
                ("from", Value::String(text)) => operation.from = Some(text),
                ("op" | "path" | "from", Value::Null) => {}
                ("op" | "path" | "from", other) => {
                    let what = kind_of(&other);
                    return Err(wrong(format!(
                        "json: cannot unmarshal {what} into Go struct field jsonPatchOp.{name} of type string"
                    )));
                }
                (name, _) => noted.push(format!("json patch unknown field \"[{index}].{name}\"")),
            }
        }
        operations.push(operation);
    }
    if operations.len() > MAX_OPERATIONS {
        let message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        );
        return Err(ApiError::new(413, "RequestEntityTooLarge", message));
    }
    Ok((operations, noted))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Applies the operations of a patch, in order.
pub(super) fn apply(document: &mut Value, operations: &[Operation]) -> Result<(), Failed> {
    let mut copied = 0;
    operations.iter().try_for_each(|operation| apply_one(document, operation, &mut copied))
}

fn apply_one(document: &mut Value, operation: &Operation, copied: &mut usize) -> Result<(), Failed> {
    let path = operation.path.as_deref().ok_or(Failed)?;
    match operation.kind.as_str() {
        "add" => add(document, path, operation.value.clone()),
        "remove" => remove(document, path).map(drop),
        "replace" if path.is_empty() => {
            if !operation.value.is_object() && !operation.value.is_array() {
                return Err(Failed);
            }
            operation.value.clone_into(document);
            Ok(())
        }
        "replace" => {
            check_depth(path, &operation.value)?;
            let (holder, key) = find(document, path)?;
            match holder {
                Value::Object(map) => drop(map.insert(key, operation.value.clone())),
                Value::Array(list) => {
                    let at = index(&key, list.len())?;
                    *list.get_mut(at).ok_or(Failed)? = operation.value.clone();
                }
                _ => return Err(Failed),
            }
            Ok(())
        }
        "move" => {
            let from = operation.from.as_deref().ok_or(Failed)?;
            let value = remove(document, from)?;
            add(document, path, value)
        }
        "copy" => {
            let from = operation.from.as_deref().ok_or(Failed)?;
            let value = get(document, from)?.cloned().unwrap_or(Value::Null);
            *copied += value.to_string().len();
            if *copied > MAX_COPIED {
                return Err(Failed);
            }
            add(document, path, value)
        }
        "test" => {
            let found = if path.is_empty() { Some(&*document) } else { get(document, path)? };
            if *found.unwrap_or(&Value::Null) == operation.value { Ok(()) } else { Err(Failed) }
        }
        _ => Err(Failed),
    }
}

/// The value that holds what the path names, and the last part of the path.
fn find<'a>(document: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), Failed> {
    let mut parts = path.split('/').skip(1).map(unescape).peekable();
    let mut at = document;
    loop {
        let part = parts.next().ok_or(Failed)?;
        if parts.peek().is_none() {
            return Ok((at, part));
        }
        at = match at {
            Value::Object(map) => map.get_mut(&part).ok_or(Failed)?,
            Value::Array(list) => {
                let at = index(&part, list.len())?;
                list.get_mut(at).ok_or(Failed)?
            }
            _ => return Err(Failed),
        };
    }
}

fn unescape(part: &str) -> String {
    if part.contains('~') { part.replace("~1", "/").replace("~0", "~") } else { part.to_owned() }
}

/// A list index; negative ones count from the end.
fn index(text: &str, len: usize) -> Result<usize, Failed> {
    let number: i64 = text.parse().map_err(|_| Failed)?;
    let len = i64::try_from(len).map_err(|_| Failed)?;
    usize::try_from(if number < 0 { number + len } else { number }).map_err(|_| Failed)
}

/// `None` is a member that is absent; indices beyond a list fail.
fn get<'a>(document: &'a mut Value, path: &str) -> Result<Option<&'a Value>, Failed> {
    let (holder, key) = find(document, path)?;
    match holder {
        Value::Object(map) => Ok(map.get(&key)),
        Value::Array(list) => list.get(index(&key, list.len())?).map(Some).ok_or(Failed),
        _ => Err(Failed),
    }
}

/// Keeps objects from growing so deep that recursion over them would overflow.
fn check_depth(path: &str, value: &Value) -> Result<(), Failed> {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
            Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    if path.split('/').count() + depth(value) > MAX_DEPTH { Err(Failed) } else { Ok(()) }
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), Failed> {
    check_depth(path, &value)?;
    let (holder, key) = find(document, path)?;
    match holder {
        Value::Object(map) => drop(map.insert(key, value)),
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => {
            let at = index(&key, list.len() + 1)?;
            if at > list.len() {
                return Err(Failed);
            }
            list.insert(at, value);
        }
        _ => return Err(Failed),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str) -> Result<Value, Failed> {
    let (holder, key) = find(document, path)?;
    match holder {
        Value::Object(map) => map.remove(&key).ok_or(Failed),
        Value::Array(list) => {
            let at = index(&key, list.len())?;
            if at < list.len() { Ok(list.remove(at)) } else { Err(Failed) }
        }
        _ => Err(Failed),
    }
}
