//! Field paths, such as `spec.containers[0].name`, and the list of errors that validation collects.
//!
//! A path is a chain on the stack; text is made of it only when an error is recorded, so that valid objects cost nothing.

use std::fmt;

use serde_json::Value;

use crate::error::FieldError;

#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    Nothing,
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

/// A place in an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    part: Part<'a>,
}

impl<'a> Path<'a> {
    /// The object itself; its children have no prefix.
    pub(crate) const ROOT: Path<'static> = Path { parent: None, part: Part::Nothing };

    /// A path that starts with a field of the object.
    pub(crate) fn new(name: &'a str) -> Self {
        Path { parent: None, part: Part::Name(name) }
    }

    /// A field below this place.
    pub(crate) fn child<'b>(&'b self, name: &'b str) -> Path<'b> {
        Path { parent: Some(self), part: Part::Name(name) }
    }

    /// An item of the list at this place.
    pub(crate) fn index(&self, index: usize) -> Path<'_> {
        Path { parent: Some(self), part: Part::Index(index) }
    }

    /// An entry of the map at this place.
    pub(crate) fn key<'b>(&'b self, key: &'b str) -> Path<'b> {
        Path { parent: Some(self), part: Part::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = match self.parent {
            Some(parent) => {
                parent.fmt(f)?;
                !matches!(parent.part, Part::Nothing)
            }
            None => false,
        };
        match self.part {
            Part::Nothing => Ok(()),
            Part::Name(name) if below => write!(f, ".{name}"),
            Part::Name(name) => f.write_str(name),
            Part::Index(index) => write!(f, "[{index}]"),
            Part::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// What validation found.
#[derive(Debug, Default)]
pub(crate) struct Errors(pub(crate) Vec<FieldError>);

impl Errors {
    /// A value is missing.
    pub(crate) fn required(&mut self, at: &Path<'_>, detail: &str) {
        self.0.push(FieldError::required(at.to_string(), detail));
    }

    /// A value breaks a rule.
    pub(crate) fn invalid(&mut self, at: &Path<'_>, value: impl Into<Value>, detail: &str) {
        self.0.push(FieldError::invalid(at.to_string(), &value.into(), detail));
    }

    /// A value breaks each of some rules.
    pub(crate) fn invalid_each(&mut self, at: &Path<'_>, value: &str, details: Vec<String>) {
        for detail in details {
            self.invalid(at, value, &detail);
        }
    }

    /// A value, shown as `text`, breaks a rule.
    pub(crate) fn invalid_text(&mut self, at: &Path<'_>, text: &str, detail: &str) {
        self.0.push(FieldError::invalid_text(at.to_string(), text, detail));
    }

    /// A rule is broken and the value is not shown.
    pub(crate) fn invalid_unshown(&mut self, at: &Path<'_>, detail: &str) {
        self.0.push(FieldError::invalid_unshown(at.to_string(), detail));
    }

    /// A value outside a fixed set, shown in the given order.
    pub(crate) fn not_supported(&mut self, at: &Path<'_>, value: impl Into<Value>, supported: &[&str]) {
        self.0.push(FieldError::not_supported(at.to_string(), &value.into(), supported));
    }

    /// A value occurs twice.
    pub(crate) fn duplicate(&mut self, at: &Path<'_>, value: impl Into<Value>) {
        self.0.push(FieldError::duplicate(at.to_string(), &value.into()));
    }

    /// A value, shown as `text`, occurs twice.
    pub(crate) fn duplicate_text(&mut self, at: &Path<'_>, text: &str) {
        self.0.push(FieldError::duplicate_text(at.to_string(), text));
    }

    /// A value may not be given here.
    pub(crate) fn forbidden(&mut self, at: &Path<'_>, detail: &str) {
        self.0.push(FieldError::forbidden(at.to_string(), detail));
    }

    /// A value is longer than `max` bytes.
    pub(crate) fn too_long(&mut self, at: &Path<'_>, max: usize) {
        self.0.push(FieldError::too_long(at.to_string(), max));
    }

    /// A list has more than `max` items.
    pub(crate) fn too_many(&mut self, at: &Path<'_>, actual: usize, max: usize) {
        self.0.push(FieldError::too_many(at.to_string(), actual, max));
    }

    /// A reference leads nowhere.
    pub(crate) fn not_found(&mut self, at: &Path<'_>, value: impl Into<Value>) {
        self.0.push(FieldError::not_found(at.to_string(), &value.into()));
    }

    /// Puts a detail behind the last error.
    pub(crate) fn detail(&mut self, detail: &str) {
        if let Some(last) = self.0.last_mut() {
            last.message.push_str(": ");
            last.message.push_str(detail);
        }
    }

    /// An integer that must not be negative.
    pub(crate) fn nonnegative(&mut self, at: &Path<'_>, value: Option<i64>) {
        if let Some(value) = value.filter(|v| *v < 0) {
            self.invalid(at, value, "must be greater than or equal to 0");
        }
    }

    /// A value that may not differ from the old one; `null` stands for absent.
    pub(crate) fn immutable(&mut self, at: &Path<'_>, new: &Value, old: &Value) {
        if !super::value::same(new, old) {
            self.invalid(at, new.clone(), "field is immutable");
        }
    }

    /// Whether nothing was found so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much was found so far.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_the_api() {
        let spec = Path::new("spec");
        let containers = spec.child("containers");
        let first = containers.index(0);
        assert_eq!(first.child("name").to_string(), "spec.containers[0].name");
        let data = Path::ROOT.child("data");
        assert_eq!(data.key("a b").to_string(), "data[a b]");
    }
}
