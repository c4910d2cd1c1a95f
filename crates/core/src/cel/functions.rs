//! Functions: conversions, quantities, versions, optionals, lists and sets. Those of texts are in [`strings`].

use std::cmp::Ordering;
use std::sync::Arc;

use augur_notation::{Format, Quantity};

use super::Semver;
use super::eval::NO_OVERLOAD;
use super::strings;
use super::value::Value;

type Evaluated = Result<Value, String>;

/// Calls a function, or a method of the target.
pub(super) fn call(target: Option<&Value>, name: &str, args: &[Value]) -> Evaluated {
    match target {
        None => function(name, args),
        Some(Value::Text(text)) => strings::method(text, name, args),
        Some(Value::Quantity(quantity)) => of_quantity(*quantity, name, args),
        Some(Value::Semver(version)) => of_version(version, name, args),
        Some(Value::Optional(value)) => of_optional(value.as_ref(), name, args),
        Some(Value::List(items)) => of_list(items, name, args),
        Some(_) => Err(unknown(name)),
    }
}

pub(super) fn unknown(name: &str) -> String {
    format!("function {name}() is not implemented for these arguments")
}

fn function(name: &str, args: &[Value]) -> Evaluated {
    match (name, args) {
        ("quantity", [Value::Text(text)]) => {
            Quantity::parse(text).map(Value::Quantity).map_err(|error| format!("{text:?} is no quantity: {error}"))
        }
        ("isQuantity", [Value::Text(text)]) => Ok(Value::Bool(Quantity::parse(text).is_ok())),
        ("semver", [Value::Text(text)]) => version(text, false),
        ("semver", [Value::Text(text), Value::Bool(lenient)]) => version(text, *lenient),
        ("isSemver", [Value::Text(text)]) => Ok(Value::Bool(version(text, false).is_ok())),
        ("isSemver", [Value::Text(text), Value::Bool(lenient)]) => Ok(Value::Bool(version(text, *lenient).is_ok())),
        ("dyn", [value]) => Ok(value.clone()),
        ("type", [value]) => Ok(Value::Type(value.type_name())),
        ("int", [value]) => to_int(value).map(Value::Int),
        ("uint", [value]) => to_uint(value).map(Value::Uint),
        ("double", [value]) => to_double(value).map(Value::Double),
        ("bool", [Value::Bool(value)]) => Ok(Value::Bool(*value)),
        ("bool", [Value::Text(text)]) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(format!("{text:?} is no boolean")),
        },
        ("string", [value @ (Value::Text(_) | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_))]) => {
            Ok(Value::Text(strings::shown(value).into()))
        }
        ("optional.none", []) => Ok(Value::Optional(None)),
        ("optional.of", [value]) => Ok(Value::some(value.clone())),
        ("optional.ofNonZeroValue", [value]) => {
            let zero = match value {
                Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) => true,
                Value::Double(value) => *value == 0.0,
                Value::Text(text) => text.is_empty(),
                Value::List(items) => items.is_empty(),
                Value::Map(entries) => entries.is_empty(),
                _ => false,
            };
            Ok(if zero { Value::Optional(None) } else { Value::some(value.clone()) })
        }
        ("sets.contains", [Value::List(all), Value::List(some)]) => Ok(Value::Bool(contains(all, some))),
        ("sets.equivalent", [Value::List(a), Value::List(b)]) => Ok(Value::Bool(contains(a, b) && contains(b, a))),
        ("sets.intersects", [Value::List(a), Value::List(b)]) => {
            Ok(Value::Bool(a.iter().any(|value| b.iter().any(|other| other.same(value)))))
        }
        _ => Err(unknown(name)),
    }
}

fn contains(all: &[Value], some: &[Value]) -> bool {
    some.iter().all(|value| all.iter().any(|other| other.same(value)))
}

fn version(text: &str, lenient: bool) -> Evaluated {
    let read = if lenient { Semver::parse_lenient(text) } else { Semver::parse(text) };
    read.map(|version| Value::Semver(Arc::new(version))).ok_or_else(|| format!("{text:?} is no semantic version"))
}

fn to_int(value: &Value) -> Result<i64, String> {
    let range = || "integer overflow".to_owned();
    match value {
        Value::Int(value) => Ok(*value),
        Value::Uint(value) => i64::try_from(*value).map_err(|_| range()),
        Value::Double(value) if value.is_finite() && value.abs() < i64::MAX as f64 => Ok(*value as i64),
        Value::Double(_) => Err(range()),
        Value::Text(text) => text.parse().map_err(|_| format!("{text:?} is no integer")),
        _ => Err(NO_OVERLOAD.to_owned()),
    }
}

fn to_uint(value: &Value) -> Result<u64, String> {
    let range = || "unsigned integer overflow".to_owned();
    match value {
        Value::Uint(value) => Ok(*value),
        Value::Int(value) => u64::try_from(*value).map_err(|_| range()),
        Value::Double(value) if *value >= 0.0 && *value < u64::MAX as f64 => Ok(*value as u64),
        Value::Double(_) => Err(range()),
        Value::Text(text) => text.parse().map_err(|_| format!("{text:?} is no unsigned integer")),
        _ => Err(NO_OVERLOAD.to_owned()),
    }
}

fn to_double(value: &Value) -> Result<f64, String> {
    match value {
        Value::Double(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Uint(value) => Ok(*value as f64),
        Value::Text(text) => text.parse().map_err(|_| format!("{text:?} is no number")),
        _ => Err(NO_OVERLOAD.to_owned()),
    }
}

fn sign(order: Ordering) -> Value {
    Value::Int(order as i64)
}

fn of_quantity(quantity: Quantity, name: &str, args: &[Value]) -> Evaluated {
    let as_quantity = |value: &Value| match value {
        Value::Quantity(other) => Some(*other),
        Value::Int(value) => Some(Quantity::of(*value, Format::DecimalSi)),
        _ => None,
    };
    match (name, args) {
        ("compareTo", [Value::Quantity(other)]) => Ok(sign(quantity.cmp(other))),
        ("isGreaterThan", [Value::Quantity(other)]) => Ok(Value::Bool(quantity > *other)),
        ("isLessThan", [Value::Quantity(other)]) => Ok(Value::Bool(quantity < *other)),
        ("sign", []) => Ok(sign(quantity.cmp(&Quantity::ZERO))),
        ("isInteger", []) => Ok(Value::Bool(as_integer(quantity).is_some())),
        ("asInteger", []) => {
            as_integer(quantity).map(Value::Int).ok_or_else(|| "cannot convert value to integer".to_owned())
        }
        ("asApproximateFloat", []) => Ok(Value::Double(quantity.as_f64())),
        ("add", [other]) => {
            as_quantity(other).map(|other| Value::Quantity(quantity.plus(other))).ok_or_else(|| NO_OVERLOAD.to_owned())
        }
        ("sub", [other]) => as_quantity(other)
            .map(|other| Value::Quantity(quantity.plus(other.negated())))
            .ok_or_else(|| NO_OVERLOAD.to_owned()),
        _ => Err(unknown(name)),
    }
}

fn as_integer(quantity: Quantity) -> Option<i64> {
    let value = quantity.value();
    (Quantity::of(value, Format::DecimalSi) == quantity).then_some(value)
}

fn of_version(version: &Semver, name: &str, args: &[Value]) -> Evaluated {
    let whole = |value: u64| Value::Int(i64::try_from(value).unwrap_or(i64::MAX));
    match (name, args) {
        ("compareTo", [Value::Semver(other)]) => Ok(sign(version.cmp(other))),
        ("isGreaterThan", [Value::Semver(other)]) => Ok(Value::Bool(version > other)),
        ("isLessThan", [Value::Semver(other)]) => Ok(Value::Bool(version < other)),
        ("major", []) => Ok(whole(version.major)),
        ("minor", []) => Ok(whole(version.minor)),
        ("patch", []) => Ok(whole(version.patch)),
        _ => Err(unknown(name)),
    }
}

fn of_optional(value: Option<&Arc<Value>>, name: &str, args: &[Value]) -> Evaluated {
    match (name, args, value) {
        ("hasValue", [], _) => Ok(Value::Bool(value.is_some())),
        ("value", [], Some(value)) | ("orValue", [_], Some(value)) => Ok(Value::clone(value)),
        ("value", [], None) => Err("optional.none() dereference".to_owned()),
        ("orValue", [other], None) | ("or", [other @ Value::Optional(_)], None) => Ok(other.clone()),
        ("or", [Value::Optional(_)], Some(value)) => Ok(Value::Optional(Some(value.clone()))),
        _ => Err(unknown(name)),
    }
}

fn of_list(items: &[Value], name: &str, args: &[Value]) -> Evaluated {
    let place = |found: Option<usize>| Ok(Value::Int(found.map_or(-1, |at| at as i64)));
    let extreme = |wanted: Ordering| {
        let mut best = items.first().ok_or_else(|| format!("{name} called on empty list"))?;
        for item in items {
            if item.order(best).ok_or_else(|| NO_OVERLOAD.to_owned())? == wanted {
                best = item;
            }
        }
        Ok(best.clone())
    };
    match (name, args) {
        ("indexOf", [value]) => place(items.iter().position(|item| item.same(value))),
        ("lastIndexOf", [value]) => place(items.iter().rposition(|item| item.same(value))),
        ("min", []) => extreme(Ordering::Less),
        ("max", []) => extreme(Ordering::Greater),
        ("isSorted", []) => {
            let mut sorted = true;
            for pair in items.windows(2) {
                sorted &= pair[0].order(&pair[1]).ok_or_else(|| NO_OVERLOAD.to_owned())?.is_le();
            }
            Ok(Value::Bool(sorted))
        }
        ("sum", []) => items.iter().try_fold(Value::Int(0), |sum, item| match (sum, item) {
            (Value::Int(sum), Value::Int(value)) => {
                sum.checked_add(*value).map(Value::Int).ok_or_else(|| "integer overflow".to_owned())
            }
            (Value::Int(0), Value::Double(value)) => Ok(Value::Double(*value)),
            (Value::Double(sum), Value::Double(value)) => Ok(Value::Double(sum + value)),
            _ => Err(NO_OVERLOAD.to_owned()),
        }),
        ("join", _) => strings::join(items, args),
        _ => Err(unknown(name)),
    }
}
