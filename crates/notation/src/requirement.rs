//! One condition on labels: a key, an operator and values.

use std::fmt;

use crate::names::{label_value_problems, qualified_name_problems};
use crate::quote;

/// How a label is compared with the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The label is there with one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// As [`Operator::In`] with one value, written `=`.
    Equals,
    /// As [`Operator::In`] with one value, written `==`.
    DoubleEquals,
    /// As [`Operator::NotIn`] with one value, written `!=`.
    NotEquals,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The label is an integer above the value.
    GreaterThan,
    /// The label is an integer below the value.
    LessThan,
}

impl Operator {
    /// The operator of a `matchExpressions` entry of a label selector (`In`, `NotIn`, `Exists`, `DoesNotExist`).
    ///
    /// # Errors
    /// Any other name.
    pub fn of_label_selector(name: &str) -> Result<Operator, SelectorError> {
        match name {
            "In" => Ok(Operator::In),
            "NotIn" => Ok(Operator::NotIn),
            "Exists" => Ok(Operator::Exists),
            "DoesNotExist" => Ok(Operator::DoesNotExist),
            other => Err(SelectorError::new(format!("{} is not a valid label selector operator", quote(other)))),
        }
    }

    /// The operator of a node selector's entry: those of a label selector, and `Gt` and `Lt`.
    ///
    /// # Errors
    /// Any other name.
    pub fn of_node_selector(name: &str) -> Result<Operator, SelectorError> {
        match name {
            "Gt" => Ok(Operator::GreaterThan),
            "Lt" => Ok(Operator::LessThan),
            other => Operator::of_label_selector(other)
                .map_err(|_| SelectorError::new(format!("{} is not a valid node selector operator", quote(other)))),
        }
    }
}

/// Why a selector is refused, in the words of the API.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SelectorError(String);

impl SelectorError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        SelectorError(message.into())
    }

    /// One error for several; nothing for none. Equal texts are told once.
    pub(crate) fn of_all(problems: Vec<String>) -> Option<Self> {
        let mut distinct: Vec<String> = Vec::new();
        for problem in problems {
            if !distinct.contains(&problem) {
                distinct.push(problem);
            }
        }
        match distinct.len() {
            0 => None,
            1 => distinct.pop().map(SelectorError),
            _ => Some(SelectorError(format!("[{}]", distinct.join(", ")))),
        }
    }
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SelectorError {}

/// A condition on labels that is known to be well formed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: String,
    operator: Operator,
    /// Sorted, each once.
    values: Vec<String>,
    /// The value of `GreaterThan` and `LessThan`.
    bound: i64,
}

impl Requirement {
    /// A condition, checked.
    ///
    /// # Errors
    /// A key or value that no label can have, too many or too few values for the operator, or a value that had to be
    /// an integer. All problems are told, with their path below the requirement.
    pub fn new<V: Into<String>>(
        key: impl Into<String>,
        operator: Operator,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Requirement, SelectorError> {
        let key = key.into();
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        let mut problems = Vec::new();
        let of_key = qualified_name_problems(&key);
        if !of_key.is_empty() {
            problems.push(format!("key: Invalid value: {}: {}", quote(&key), of_key.join("; ")));
        }
        let wrong_count = match operator {
            Operator::In | Operator::NotIn => {
                values.is_empty().then_some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals => {
                (values.len() != 1).then_some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist => {
                (!values.is_empty()).then_some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan => {
                (values.len() != 1).then_some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
        };
        if let Some(problem) = wrong_count {
            let listed: Vec<String> = values.iter().map(|value| quote(value)).collect();
            problems.push(format!("values: Invalid value: [{}]: {problem}", listed.join(",")));
        }
        let mut bound = 0;
        if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
            for (index, value) in values.iter().enumerate() {
                match value.parse() {
                    Ok(parsed) => bound = parsed,
                    Err(_) => problems.push(format!(
                        "values[{index}]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer",
                        quote(value)
                    )),
                }
            }
        }
        for (index, value) in values.iter().enumerate() {
            let of_value = label_value_problems(value);
            if !of_value.is_empty() {
                problems.push(format!(
                    "values[{index}][{key}]: Invalid value: {}: {}",
                    quote(value),
                    of_value.join("; ")
                ));
            }
        }
        match SelectorError::of_all(problems) {
            Some(error) => Err(error),
            None => Ok(Requirement::checked(key, operator, values, bound)),
        }
    }

    fn checked(key: String, operator: Operator, mut values: Vec<String>, bound: i64) -> Requirement {
        values.sort_unstable();
        values.dedup();
        Requirement { key, operator, values, bound }
    }

    /// The label's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The operator.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values, sorted, each once.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Whether a label of this value, or no label, satisfies the condition.
    #[must_use]
    pub fn matches_value(&self, value: Option<&str>) -> bool {
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(|value| self.has(value)),
            Operator::NotIn | Operator::NotEquals => value.is_none_or(|value| !self.has(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => value.and_then(integer).is_some_and(|value| value > self.bound),
            Operator::LessThan => value.and_then(integer).is_some_and(|value| value < self.bound),
        }
    }

    /// Whether the labels, given by a look-up of their values, satisfy the condition.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.matches_value(lookup(&self.key))
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|known| known == value)
    }
}

/// An integer in a label; a sign is legal there.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let values = self.values.join(",");
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}
