//! Why a configuration is refused: [`ConfigError`], and errors of fields in Kubernetes' words.

use std::collections::BTreeSet;
use std::fmt::Display;

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is no YAML, or has a key twice.
    #[error("{0}")]
    Yaml(String),
    /// It is of another kind or version.
    #[error("{0}")]
    Kind(String),
    /// Values of the wrong type, with their places.
    #[error("{}", aggregate(.0))]
    Types(Vec<String>),
    /// Fields that do not exist, with their places.
    #[error("strict decoding error: {}", .0.join(", "))]
    Strict(Vec<String>),
    /// What kube-scheduler refuses too.
    #[error("{}", aggregate(.0))]
    Invalid(Vec<String>),
    /// What kube-scheduler would do and Augur does not.
    #[error("not supported by Augur: {}", .0.join("; "))]
    Unsupported(Vec<String>),
}

/// Several messages as Kubernetes joins them: each once.
fn aggregate(messages: &[String]) -> String {
    let mut seen = BTreeSet::new();
    let once: Vec<&str> = messages.iter().map(String::as_str).filter(|message| seen.insert(*message)).collect();
    match once.as_slice() {
        [one] => (*one).to_owned(),
        all => format!("[{}]", all.join(", ")),
    }
}

/// Messages on fields.
#[derive(Debug, Default)]
pub(crate) struct FieldErrors(pub(crate) Vec<String>);

impl FieldErrors {
    /// A value of a number, boolean or other plain type that is not allowed.
    pub(crate) fn invalid(&mut self, path: &str, value: impl Display, detail: &str) {
        self.0.push(format!("{path}: Invalid value: {value}: {detail}"));
    }

    /// A text that is not allowed.
    pub(crate) fn invalid_text(&mut self, path: &str, value: &str, detail: &str) {
        self.invalid(path, format!("{value:?}"), detail);
    }

    pub(crate) fn required(&mut self, path: &str, detail: &str) {
        self.0.push(match detail {
            "" => format!("{path}: Required value"),
            detail => format!("{path}: Required value: {detail}"),
        });
    }

    pub(crate) fn forbidden(&mut self, path: &str, detail: &str) {
        self.0.push(format!("{path}: Forbidden: {detail}"));
    }

    pub(crate) fn duplicate(&mut self, path: &str, value: &str) {
        self.0.push(format!("{path}: Duplicate value: {value}"));
    }

    pub(crate) fn unsupported(&mut self, path: &str, value: &str, supported: &[&str]) {
        let supported: Vec<String> = supported.iter().map(|name| format!("{name:?}")).collect();
        self.0.push(format!("{path}: Unsupported value: {value:?}: supported values: {}", supported.join(", ")));
    }
}
