//! Compares recorded answers with actual ones: pointers that must match, pointers that may differ, subsets.

use serde_json::{Map, Value};

use crate::pattern::{Binder, has_placeholder};

/// How strictly answers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What a faithful server must match.
    Must,
    /// Everything but texts that show the insides of Go.
    Full,
}

/// One comparison.
pub struct Comparison<'a> {
    pub binder: &'a mut Binder,
    /// Pointers that are compared; none: everything.
    pub must: Option<Vec<String>>,
    /// Pointers that are not.
    pub loose: Vec<String>,
    /// More members and elements than recorded are allowed.
    pub subset: bool,
    pub level: Level,
    pub problems: Vec<String>,
}

fn elements(pointer: &str) -> Vec<&str> {
    pointer.split('/').skip(1).collect()
}

fn agrees(pattern: &[&str], parts: &[&str]) -> bool {
    pattern.iter().zip(parts).all(|(a, b)| *a == "*" || a == b)
}

/// Whether a pointer equals one of the patterns or lies below it.
fn covered(patterns: &[String], pointer: &str) -> bool {
    let parts = elements(pointer);
    patterns.iter().any(|pattern| {
        let pattern = elements(pattern);
        pattern.len() <= parts.len() && agrees(&pattern, &parts)
    })
}

/// Whether a pointer is a proper ancestor of one of the patterns.
fn above(patterns: &[String], pointer: &str) -> bool {
    let parts = elements(pointer);
    patterns.iter().any(|pattern| {
        let pattern = elements(pattern);
        pattern.len() > parts.len() && agrees(&pattern, &parts)
    })
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.len() < 200 { text } else { format!("{}…", text.chars().take(200).collect::<String>()) }
}

fn sort_key(value: &Value, members: &[&str]) -> Vec<String> {
    members.iter().map(|m| value[*m].as_str().unwrap_or_default().to_owned()).collect()
}

fn sorted(list: &[Value], members: &[&str]) -> Vec<Value> {
    let mut list = list.to_vec();
    list.sort_by_key(|value| sort_key(value, members));
    list
}

/// The element of a list that a recorded one is to be compared with.
fn partner<'v>(expected: &Value, actual: &'v [Value]) -> Option<&'v Value> {
    if !expected.is_object() {
        return actual.iter().find(|a| *a == expected);
    }
    for key in ["name", "groupVersion", "version", "resource", "subresource", "clientCIDR", "kind"] {
        if expected[key].is_string() {
            return actual.iter().find(|a| a[key] == expected[key]);
        }
    }
    let name = &expected["metadata"]["name"];
    if name.is_string() {
        return actual.iter().find(|a| a["metadata"]["name"] == *name);
    }
    actual.first()
}

impl Comparison<'_> {
    fn wanted(&self, pointer: &str) -> bool {
        self.must.as_ref().is_none_or(|must| covered(must, pointer))
    }

    fn leads_to_wanted(&self, pointer: &str) -> bool {
        self.must.as_ref().is_some_and(|must| above(must, pointer))
    }

    fn skipped(&self, key: &str) -> bool {
        self.level == Level::Must && key == "managedFields"
    }

    pub fn compare(&mut self, expected: &Value, actual: &Value, pointer: &str) {
        if covered(&self.loose, pointer) {
            return;
        }
        if expected == "<managedFields>" {
            if !actual.is_array() && self.wanted(pointer) {
                self.problems.push(format!("{pointer}: managedFields absent"));
            }
            return;
        }
        if !self.wanted(pointer) && !self.leads_to_wanted(pointer) {
            return;
        }
        match (expected, actual) {
            (Value::Object(expected), Value::Object(actual)) => self.objects(expected, actual, pointer),
            (Value::Array(expected), Value::Array(actual)) => self.arrays(expected, actual, pointer),
            (Value::String(text), actual) => {
                if !self.binder.matches(text, actual) {
                    let bound = self.binder.fill(text);
                    self.problems.push(format!("{pointer}: expected {text:?} ({bound}), got {}", short(actual)));
                }
            }
            (expected, actual) => {
                if expected != actual {
                    self.problems.push(format!("{pointer}: expected {}, got {}", short(expected), short(actual)));
                }
            }
        }
    }

    fn objects(&mut self, expected: &Map<String, Value>, actual: &Map<String, Value>, pointer: &str) {
        let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
        let mut known = Vec::new();
        for (key, value) in expected {
            let actual_key = if has_placeholder(key) { self.binder.fill(key) } else { key.clone() };
            known.push(actual_key.clone());
            if self.skipped(key) {
                continue;
            }
            let below = format!("{pointer}/{}", escape(key));
            match actual.get(&actual_key) {
                Some(actual) => self.compare(value, actual, &below),
                None if covered(&self.loose, &below) => {}
                None if self.wanted(&below) || self.leads_to_wanted(&below) => {
                    self.problems.push(format!("{below}: missing (expected {})", short(value)));
                }
                None => {}
            }
        }
        if self.subset {
            return;
        }
        for (key, value) in actual {
            let below = format!("{pointer}/{}", escape(key));
            if !known.contains(key) && !self.skipped(key) && self.wanted(&below) && !covered(&self.loose, &below) {
                self.problems.push(format!("{below}: unexpected {}", short(value)));
            }
        }
    }

    fn arrays(&mut self, expected: &[Value], actual: &[Value], pointer: &str) {
        if self.subset {
            for (i, element) in expected.iter().enumerate() {
                match partner(element, actual) {
                    Some(actual) => self.compare(element, actual, &format!("{pointer}/{i}")),
                    None => self.problems.push(format!("{pointer}/{i}: no such element {}", short(element))),
                }
            }
            return;
        }
        if expected.len() != actual.len() {
            let actual = Value::Array(actual.to_vec());
            self.problems.push(format!("{pointer}: {} elements expected, got {}", expected.len(), short(&actual)));
            return;
        }
        let order: &[&str] = if pointer.ends_with("/managedFields") {
            &["manager", "operation", "subresource", "apiVersion"]
        } else if pointer.ends_with("/causes") {
            &["field", "reason", "message"]
        } else {
            &[]
        };
        let (expected, actual) = if order.is_empty() {
            (expected.to_vec(), actual.to_vec())
        } else {
            (sorted(expected, order), sorted(actual, order))
        };
        for (i, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
            self.compare(expected, actual, &format!("{pointer}/{i}"));
        }
    }
}
