//! Values while an expression runs.

use std::cmp::Ordering;
use std::sync::Arc;

use augur_notation::Quantity;

use super::Semver;

/// A value. Those of the device are named, not copied.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    List(Arc<[Value]>),
    Map(Arc<[(Value, Value)]>),
    Quantity(Quantity),
    Semver(Arc<Semver>),
    Optional(Option<Arc<Value>>),
    /// The name of a type.
    Type(&'static str),
    /// `device`.
    Device,
    /// `device.attributes`.
    Attributes,
    /// The attributes of a domain.
    AttributesOf(Arc<str>),
    /// `device.capacity`.
    Capacity,
    /// The capacities of a domain.
    CapacityOf(Arc<str>),
}

impl Value {
    pub(super) fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    pub(super) fn list(values: Vec<Value>) -> Value {
        Value::List(values.into())
    }

    pub(super) fn some(value: Value) -> Value {
        Value::Optional(Some(Arc::new(value)))
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::Text(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) | Value::Attributes | Value::AttributesOf(_) | Value::Capacity | Value::CapacityOf(_) => {
                "map"
            }
            Value::Quantity(_) => "kubernetes.Quantity",
            Value::Semver(_) => "kubernetes.Semver",
            Value::Optional(_) => "optional_type",
            Value::Type(_) => "type",
            Value::Device => "kubernetes.DRADevice",
        }
    }

    /// Whether both are the same. Numbers are compared by value whatever their types, other values of different types are not
    /// the same.
    pub(super) fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.same(b)),
            (Value::Map(a), Value::Map(b)) => {
                let found = |key: &Value| b.iter().find(|(known, _)| known.same(key)).map(|(_, value)| value);
                a.len() == b.len() && a.iter().all(|(key, value)| found(key).is_some_and(|other| other.same(value)))
            }
            (Value::Optional(Some(a)), Value::Optional(Some(b))) => a.same(b),
            _ => self.number_order(other).map_or_else(|| self == other, Ordering::is_eq),
        }
    }

    /// How two numbers compare; nothing if one is none.
    fn number_order(&self, other: &Value) -> Option<Ordering> {
        let whole = |value: &Value| match value {
            Value::Int(value) => Some(i128::from(*value)),
            Value::Uint(value) => Some(i128::from(*value)),
            _ => None,
        };
        match (whole(self), whole(other)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => self.as_f64()?.partial_cmp(&other.as_f64()?),
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(*value as f64),
            Value::Uint(value) => Some(*value as f64),
            Value::Double(value) => Some(*value),
            _ => None,
        }
    }

    /// How both compare by `<`; nothing if they cannot be compared.
    pub(super) fn order(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            _ => self.number_order(other),
        }
    }
}
