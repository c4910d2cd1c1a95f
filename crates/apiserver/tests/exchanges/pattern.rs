//! Placeholders in recorded texts: what they stand for, binding them on first sight, putting bound values into requests.

use std::collections::HashMap;

use serde_json::Value;

/// What placeholders are bound to, and the answers that `<ref:…>` looks into.
#[derive(Default)]
pub struct Binder {
    pub bound: HashMap<String, String>,
    pub answers: Vec<Value>,
}

/// A placeholder at the start of `text`: its whole text and its kind.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let end = text.find('>')?;
    let inner = text.get(1..end)?;
    if !text.starts_with('<') || inner.contains('<') {
        return None;
    }
    let (kind, rest) = inner.split_once(':').map_or((inner, None), |(kind, rest)| (kind, Some(rest)));
    let numbered = matches!(kind, "rv" | "listrv" | "uid" | "continue" | "gen" | "ip" | "port" | "ref");
    let plain = matches!(kind, "time" | "age" | "n" | "any");
    let known = (numbered && rest.is_some_and(|r| !r.is_empty())) || (plain && rest.is_none());
    known.then(|| (&text[..=end], kind))
}

enum Part<'a> {
    Literal(&'a str),
    Placeholder(&'a str, &'a str),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < text.len() {
        if text.as_bytes()[at] == b'<'
            && let Some((whole, kind)) = placeholder(&text[at..])
        {
            if start < at {
                parts.push(Part::Literal(&text[start..at]));
            }
            parts.push(Part::Placeholder(whole, kind));
            at += whole.len();
            start = at;
        } else {
            at += 1;
        }
    }
    if start < text.len() {
        parts.push(Part::Literal(&text[start..]));
    }
    parts
}

/// Whether a text contains a placeholder.
pub fn has_placeholder(text: &str) -> bool {
    parts(text).iter().any(|part| matches!(part, Part::Placeholder(..)))
}

fn fits(kind: &str, text: &str) -> bool {
    match kind {
        "rv" | "listrv" => !text.is_empty() && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()),
        "uid" => {
            text.len() == 36
                && text.bytes().enumerate().all(|(i, b)| match i {
                    8 | 13 | 18 | 23 => b == b'-',
                    _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
                })
        }
        "continue" | "age" => !text.is_empty() && !text.contains(char::is_whitespace),
        "gen" => !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
        "ip" => !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':')),
        "port" | "n" => !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()),
        "time" => text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(),
        _ => true,
    }
}

fn matches<'t>(parts: &[Part<'_>], text: &'t str, found: &mut Vec<&'t str>) -> bool {
    match parts {
        [] => text.is_empty(),
        [Part::Literal(literal), rest @ ..] => {
            text.strip_prefix(literal).is_some_and(|text| matches(rest, text, found))
        }
        [Part::Placeholder(_, kind), rest @ ..] => {
            let mut ends: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
            ends.reverse();
            for end in ends {
                if fits(kind, &text[..end]) {
                    let known = found.len();
                    found.push(&text[..end]);
                    if matches(rest, &text[end..], found) {
                        return true;
                    }
                    found.truncate(known);
                }
            }
            false
        }
    }
}

impl Binder {
    fn bind(&mut self, whole: &str, value: &str) -> bool {
        if let Some(bound) = self.bound.get(whole) {
            return bound == value;
        }
        let kind = whole.split(':').next().unwrap_or(whole);
        let taken = matches!(kind, "<rv" | "<uid")
            && self.bound.iter().any(|(k, v)| v == value && k.split(':').next() == Some(kind));
        if !taken {
            self.bound.insert(whole.to_owned(), value.to_owned());
        }
        !taken
    }

    /// Whether an actual value is what the recorded text describes; binds what it meets for the first time.
    pub fn matches(&mut self, expected: &str, actual: &Value) -> bool {
        let parts = parts(expected);
        let text = match actual {
            Value::String(text) => text.clone(),
            Value::Number(n) if n.is_i64() && matches!(parts.as_slice(), [Part::Placeholder(..)]) => n.to_string(),
            _ => return false,
        };
        let mut found = Vec::new();
        if !matches(&parts, &text, &mut found) {
            return false;
        }
        let placeholders = parts.iter().filter_map(|part| match part {
            Part::Placeholder(whole, _) => Some(*whole),
            Part::Literal(_) => None,
        });
        placeholders.zip(found).all(|(whole, value)| !whole.contains(':') || self.bind(whole, value))
    }

    /// A recorded text with bound values in the place of placeholders.
    pub fn fill(&self, text: &str) -> String {
        parts(text)
            .iter()
            .map(|part| match part {
                Part::Literal(literal) => (*literal).to_owned(),
                Part::Placeholder(whole, "ref") => {
                    let inner = &whole["<ref:".len()..whole.len() - 1];
                    let (step, pointer) = inner.split_once(':').unwrap();
                    let value = self.answers[step.parse::<usize>().unwrap()].pointer(pointer);
                    value.and_then(Value::as_str).unwrap_or(whole).to_owned()
                }
                Part::Placeholder(whole, _) => self.bound.get(*whole).map_or(*whole, String::as_str).to_owned(),
            })
            .collect()
    }

    /// The same for every text in a value.
    pub fn fill_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill(text)),
            Value::Array(items) => items.iter().map(|item| self.fill_value(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(key, value)| (self.fill(key), self.fill_value(value))).collect()
            }
            other => other.clone(),
        }
    }
}

#[test]
fn placeholders_are_bound_once() {
    let mut binder = Binder::default();
    assert!(binder.matches("web-<gen:1>", &"web-abc12".into()));
    assert!(!binder.matches("web-<gen:1>", &"web-other".into()));
    assert!(binder.matches("<rv:1>", &"12".into()) && !binder.matches("<rv:2>", &"12".into()));
    assert!(binder.matches("at <time> <any>", &"at 2024-01-01T00:00:00Z or so".into()));
    assert_eq!(binder.fill("a/<gen:1>?<rv:1>"), "a/abc12?12");
}
