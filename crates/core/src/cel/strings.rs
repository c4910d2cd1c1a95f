//! Functions of texts, by characters and not by bytes.

use super::functions::unknown;
use super::value::Value;

type Evaluated = Result<Value, String>;

/// A value as text.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        other => other.type_name().to_owned(),
    }
}

pub(super) fn join(items: &[Value], args: &[Value]) -> Evaluated {
    let separator = match args {
        [] => "",
        [Value::Text(separator)] => separator,
        _ => return Err(unknown("join")),
    };
    let texts = items.iter().map(|item| match item {
        Value::Text(text) => Ok(&**text),
        _ => Err(unknown("join")),
    });
    Ok(Value::Text(texts.collect::<Result<Vec<&str>, String>>()?.join(separator).into()))
}

/// The byte at which the character of this number begins; the end for the one behind the last.
fn byte_of(text: &str, at: i64) -> Option<usize> {
    let at = usize::try_from(at).ok()?;
    text.char_indices().map(|(byte, _)| byte).chain([text.len()]).nth(at)
}

fn out_of_range(at: i64) -> String {
    format!("index out of range: {at}")
}

/// The number of the character that begins at the byte; -1 for none.
fn place(text: &str, byte: Option<usize>) -> Value {
    Value::Int(byte.map_or(-1, |byte| text[..byte].chars().count() as i64))
}

pub(super) fn method(text: &str, name: &str, args: &[Value]) -> Evaluated {
    let owned = |text: String| Ok(Value::Text(text.into()));
    match (name, args) {
        ("startsWith", [Value::Text(start)]) => Ok(Value::Bool(text.starts_with(&**start))),
        ("endsWith", [Value::Text(end)]) => Ok(Value::Bool(text.ends_with(&**end))),
        ("contains", [Value::Text(part)]) => Ok(Value::Bool(text.contains(&**part))),
        ("lowerAscii", []) => owned(text.to_ascii_lowercase()),
        ("upperAscii", []) => owned(text.to_ascii_uppercase()),
        ("trim", []) => Ok(Value::text(text.trim())),
        ("reverse", []) => owned(text.chars().rev().collect()),
        ("charAt", [Value::Int(at)]) => {
            let byte = byte_of(text, *at).ok_or_else(|| out_of_range(*at))?;
            owned(text[byte..].chars().take(1).collect())
        }
        ("indexOf", [Value::Text(part)]) => Ok(place(text, text.find(&**part))),
        ("indexOf", [Value::Text(part), Value::Int(from)]) => {
            let from = byte_of(text, *from).ok_or_else(|| out_of_range(*from))?;
            Ok(place(text, text[from..].find(&**part).map(|at| from + at)))
        }
        ("lastIndexOf", [Value::Text(part)]) => Ok(place(text, text.rfind(&**part))),
        ("substring", [Value::Int(from)]) => {
            let from = byte_of(text, *from).ok_or_else(|| out_of_range(*from))?;
            Ok(Value::text(&text[from..]))
        }
        ("substring", [Value::Int(from), Value::Int(to)]) => {
            let start = byte_of(text, *from).ok_or_else(|| out_of_range(*from))?;
            let end = byte_of(text, *to).ok_or_else(|| out_of_range(*to))?;
            text.get(start..end).map(Value::text).ok_or_else(|| out_of_range(*to))
        }
        ("replace", [Value::Text(from), Value::Text(to)]) => owned(text.replace(&**from, to)),
        ("replace", [Value::Text(from), Value::Text(to), Value::Int(times)]) => owned(match usize::try_from(*times) {
            Ok(times) => text.replacen(&**from, to, times),
            Err(_) => text.replace(&**from, to),
        }),
        ("split", [Value::Text(by)]) => Ok(Value::list(split(text, by, None))),
        ("split", [Value::Text(by), Value::Int(0)]) if !by.is_empty() => Ok(Value::list(Vec::new())),
        ("split", [Value::Text(by), Value::Int(most)]) => Ok(Value::list(split(text, by, usize::try_from(*most).ok()))),
        _ => Err(unknown(name)),
    }
}

fn split(text: &str, by: &str, most: Option<usize>) -> Vec<Value> {
    if by.is_empty() {
        let characters = text.chars().map(|character| Value::text(character.encode_utf8(&mut [0; 4])));
        return characters.take(most.unwrap_or(usize::MAX)).collect();
    }
    match most {
        Some(most) => text.splitn(most, by).map(Value::text).collect(),
        None => text.split(by).map(Value::text).collect(),
    }
}
