//! Strict reading: [`Document`] is YAML without a key twice, [`Object`] reads fields and tells those that nobody asked for.

use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::ConfigError;

/// A YAML document (JSON is one too), in which no mapping has a key twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Document(Value);

/// The fields by which a document without kind is told for one that lacks it.
const TELLING: [&str; 6] =
    ["profiles", "leaderElection", "clientConnection", "percentageOfNodesToScore", "extenders", "parallelism"];

impl Document {
    /// Reads a document; an empty one is an empty mapping.
    ///
    /// # Errors
    /// When it is no YAML or has a key twice, naming the key.
    pub fn parse(text: &str) -> Result<Document, ConfigError> {
        let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---";
        if text.lines().all(blank) {
            return Ok(Document(Value::Object(Map::new())));
        }
        serde_saphyr::from_str(text).map(Document).map_err(|error| ConfigError::Yaml(error.to_string()))
    }

    /// Whether it says or shows that it is meant for kube-scheduler.
    #[must_use]
    pub fn is_kube_scheduler_configuration(&self) -> bool {
        let has = |key: &&str| self.0.get(*key).is_some();
        ["kind", "apiVersion"].iter().chain(&TELLING).any(has)
    }

    /// What it says.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0
    }
}

/// What is wrong with a document: values of the wrong type, and fields that do not exist.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    types: RefCell<Vec<String>>,
    unknown: RefCell<Vec<String>>,
}

impl Problems {
    pub(crate) fn wrong_type(&self, path: &str, what: impl std::fmt::Display) {
        self.types.borrow_mut().push(format!("{path}: {what}"));
    }

    /// Nothing, or the graver of both kinds.
    pub(crate) fn into_result(self) -> Result<(), ConfigError> {
        match (self.types.into_inner(), self.unknown.into_inner()) {
            (types, _) if !types.is_empty() => Err(ConfigError::Types(types)),
            (_, unknown) if !unknown.is_empty() => Err(ConfigError::Strict(unknown)),
            _ => Ok(()),
        }
    }
}

/// Fields that v1 no longer has, and what to use in their place.
const REMOVED: [(&str, &str); 4] = [
    ("healthzBindAddress", "removed in v1; use the flags --host and --port"),
    ("metricsBindAddress", "removed in v1; use the flags --host and --port"),
    ("algorithmSource", "removed in v1beta1; use profiles"),
    ("schedulerName", "a field of a profile; use profiles"),
];

/// A mapping, read field by field.
pub(crate) struct Object<'a> {
    path: String,
    fields: &'a Map<String, Value>,
    asked: Vec<&'static str>,
    problems: &'a Problems,
}

impl<'a> Object<'a> {
    /// The mapping at a place.
    pub(crate) fn over(path: String, fields: &'a Map<String, Value>, problems: &'a Problems) -> Object<'a> {
        Object { path, fields, asked: Vec::new(), problems }
    }

    /// The mapping at a place; `None` for nothing, and with a problem for anything else.
    pub(crate) fn of(path: String, value: Option<&'a Value>, problems: &'a Problems) -> Option<Object<'a>> {
        match value {
            None | Some(Value::Null) => None,
            Some(Value::Object(fields)) => Some(Object::over(path, fields, problems)),
            Some(_) => {
                problems.wrong_type(&path, "expected a mapping");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// The place of a field.
    pub(crate) fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a field as it is written; `None` for null too.
    pub(crate) fn raw(&mut self, key: &'static str) -> Option<&'a Value> {
        self.asked.push(key);
        self.fields.get(key).filter(|value| !value.is_null())
    }

    /// The value of a plain field.
    pub(crate) fn get<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let value = self.raw(key)?;
        match T::deserialize(value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.wrong_type(&self.place(key), error);
                None
            }
        }
    }

    /// A field that is a mapping.
    pub(crate) fn object(&mut self, key: &'static str) -> Option<Object<'a>> {
        let value = self.raw(key);
        Object::of(self.place(key), value, self.problems)
    }

    /// The mappings of a field that is a list, with their places in their paths. An empty or missing list has none.
    pub(crate) fn objects(&mut self, key: &'static str) -> Vec<Object<'a>> {
        let place = self.place(key);
        let list = match self.raw(key) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.problems.wrong_type(&place, "expected a list");
                return Vec::new();
            }
        };
        let element = |(index, value): (usize, &'a Value)| match value {
            Value::Null => {
                self.problems.wrong_type(&format!("{place}[{index}]"), "expected a mapping");
                None
            }
            value => Object::of(format!("{place}[{index}]"), Some(value), self.problems),
        };
        list.iter().enumerate().filter_map(element).collect()
    }

    /// Tells the fields that nobody asked for.
    pub(crate) fn finish(self) {
        for key in self.fields.keys().filter(|key| !self.asked.contains(&key.as_str())) {
            let removed = REMOVED.iter().find(|(name, _)| self.path.is_empty() && name == key);
            let hint = match (removed, augur_notation::nearest(key, self.asked.iter().copied())) {
                (Some((_, why)), _) => format!(" ({why})"),
                (None, Some(nearest)) => format!(" (the nearest known field is {:?})", self.place(nearest)),
                (None, None) => String::new(),
            };
            self.problems.unknown.borrow_mut().push(format!("unknown field {:?}{hint}", self.place(key)));
        }
    }
}
