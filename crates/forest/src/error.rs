//! What can be wrong with the data, parameters or bytes handed to this crate.

use thiserror::Error;

/// An error of training, prediction or of reading a model; the message names the thing that is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ForestError {
    /// Columns, labels, weights or rows whose sizes do not fit each other.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// What was measured.
        what: String,
        /// The size that fits.
        expected: usize,
        /// The size that was given.
        found: usize,
    },
    /// A parameter outside its range.
    #[error("parameter {name} is {found}; it must be {expected}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// Its value.
        found: String,
        /// The range.
        expected: &'static str,
    },
    /// A label or weight that cannot be used.
    #[error("row {row}: {what} is {found}; it must be {expected}")]
    Value {
        /// Index of the row, from 0.
        row: usize,
        /// Label or weight.
        what: &'static str,
        /// Its value.
        found: String,
        /// The range.
        expected: &'static str,
    },
    /// Nothing can be learned from these rows.
    #[error("{0}")]
    Data(String),
    /// The model is of another kind than the operation needs.
    #[error("{0}")]
    Kind(String),
    /// Bytes that are not a whole model file of this version.
    #[error("model file: {0}")]
    File(String),
    /// A model of another program that cannot be read.
    #[error("{format} model: {what}")]
    Import {
        /// The format's name.
        format: &'static str,
        /// The place in it and what is wrong there.
        what: String,
    },
}

impl ForestError {
    pub(crate) fn shape(what: impl Into<String>, expected: usize, found: usize) -> Self {
        Self::Shape { what: what.into(), expected, found }
    }

    pub(crate) fn parameter(name: &'static str, found: impl std::fmt::Display, expected: &'static str) -> Self {
        Self::Parameter { name, found: found.to_string(), expected }
    }
}
