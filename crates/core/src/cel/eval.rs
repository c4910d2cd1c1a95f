//! Runs an expression on a device.

use std::cmp::Ordering;
use std::sync::Arc;

use super::parser::{Access, Each, Expr, Operator};
use super::semver::Semver;
use super::value::Value;
use super::{functions, strings};
use crate::object::{AttributeValue, Device, QualifiedName};

/// What running an expression may cost, in the API's units: about one a step, and one for ten bytes of text.
const MOST_COST: u64 = 1_000_000;

/// What two values of types that do not go together end in.
pub(super) const NO_OVERLOAD: &str = "no such overload";

type Evaluated = Result<Value, String>;

/// Runs the expression.
pub(super) fn run(expr: &Expr, driver: &str, device: &Device) -> Evaluated {
    Run { driver, device, variables: Vec::new(), cost: 0 }.eval(expr)
}

struct Run<'a> {
    driver: &'a str,
    device: &'a Device,
    /// The innermost last.
    variables: Vec<(Arc<str>, Value)>,
    cost: u64,
}

impl Run<'_> {
    fn charge(&mut self, cost: usize) -> Result<(), String> {
        self.cost = self.cost.saturating_add(cost as u64);
        if self.cost > MOST_COST {
            return Err("operation cancelled: actual cost limit exceeded".to_owned());
        }
        Ok(())
    }

    fn eval(&mut self, expr: &Expr) -> Evaluated {
        self.charge(1)?;
        match expr {
            Expr::Literal(value) => Ok(value.clone()),
            Expr::Ident(name) => self.ident(name),
            Expr::Select { operand, field, how } => {
                let operand = self.eval(operand)?;
                self.part(&operand, &Value::Text(field.clone()), *how, true)
            }
            Expr::Index { operand, index, how } => {
                let (operand, index) = (self.eval(operand)?, self.eval(index)?);
                self.part(&operand, &index, *how, false)
            }
            Expr::Call { target, name, args } => {
                let target = target.as_ref().map(|target| self.eval(target)).transpose()?;
                let args = args.iter().map(|arg| self.eval(arg)).collect::<Result<Vec<Value>, String>>()?;
                self.charge(target.iter().chain(&args).map(work).sum())?;
                self.call(target, name, args)
            }
            Expr::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (item, optional) in items {
                    match (self.eval(item)?, optional) {
                        (Value::Optional(None), true) => {}
                        (Value::Optional(Some(value)), true) => values.push(Value::clone(&value)),
                        (value, _) => values.push(value),
                    }
                }
                Ok(Value::list(values))
            }
            Expr::Map(entries) => {
                let mut values = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    values.push((self.eval(key)?, self.eval(value)?));
                }
                Ok(Value::Map(values.into()))
            }
            // Any part may settle it; an error counts only if none does.
            Expr::And(parts) => self.junction(parts, false),
            Expr::Or(parts) => self.junction(parts, true),
            Expr::Not(expr) => match self.eval(expr)? {
                Value::Bool(value) => Ok(Value::Bool(!value)),
                _ => Err(NO_OVERLOAD.to_owned()),
            },
            Expr::Negative(expr) => match self.eval(expr)? {
                Value::Int(value) => value.checked_neg().map(Value::Int).ok_or_else(|| "integer overflow".to_owned()),
                Value::Double(value) => Ok(Value::Double(-value)),
                _ => Err(NO_OVERLOAD.to_owned()),
            },
            Expr::If(parts) => {
                let [condition, yes, no] = &**parts;
                match self.eval(condition)? {
                    Value::Bool(true) => self.eval(yes),
                    Value::Bool(false) => self.eval(no),
                    _ => Err(NO_OVERLOAD.to_owned()),
                }
            }
            Expr::Binary(operator, left, right) => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                self.charge(work(&left).min(work(&right)))?;
                self.binary(*operator, &left, &right)
            }
            Expr::Each { what, range, variable, parts } => {
                let range = self.eval(range)?;
                self.each(*what, &range, variable, parts)
            }
            Expr::Bind { variable, value, body } => {
                let value = self.eval(value)?;
                self.with(variable, value, body)
            }
            Expr::OptionalMap { target, variable, body, flat } => match self.eval(target)? {
                Value::Optional(None) => Ok(Value::Optional(None)),
                Value::Optional(Some(value)) => {
                    let mapped = self.with(variable, Value::clone(&value), body)?;
                    Ok(if *flat { mapped } else { Value::some(mapped) })
                }
                _ => Err(NO_OVERLOAD.to_owned()),
            },
        }
    }

    fn with(&mut self, variable: &Arc<str>, value: Value, body: &Expr) -> Evaluated {
        self.variables.push((variable.clone(), value));
        let result = self.eval(body);
        self.variables.pop();
        result
    }

    fn junction(&mut self, parts: &[Expr], settles: bool) -> Evaluated {
        let mut error = None;
        for part in parts {
            match self.eval(part) {
                Ok(Value::Bool(value)) if value == settles => return Ok(Value::Bool(settles)),
                Ok(Value::Bool(_)) => {}
                other => {
                    error.get_or_insert_with(|| other.err().unwrap_or_else(|| NO_OVERLOAD.to_owned()));
                }
            }
        }
        error.map_or(Ok(Value::Bool(!settles)), Err)
    }

    fn ident(&self, name: &Arc<str>) -> Evaluated {
        if let Some((_, value)) = self.variables.iter().rev().find(|(known, _)| known == name) {
            return Ok(value.clone());
        }
        match &**name {
            "device" => Ok(Value::Device),
            "bool" => Ok(Value::Type("bool")),
            "int" => Ok(Value::Type("int")),
            "uint" => Ok(Value::Type("uint")),
            "double" => Ok(Value::Type("double")),
            "string" => Ok(Value::Type("string")),
            "list" => Ok(Value::Type("list")),
            "map" => Ok(Value::Type("map")),
            "null_type" => Ok(Value::Type("null_type")),
            _ => Err(format!("undeclared reference to '{name}'")),
        }
    }

    /// A field or an element.
    fn part(&self, operand: &Value, key: &Value, how: Access, field: bool) -> Evaluated {
        // An optional is looked into; what is asked of it is one again.
        if let Value::Optional(inner) = operand {
            return match (inner, how) {
                (None, Access::Test) => Ok(Value::Bool(false)),
                (None, _) => Ok(Value::Optional(None)),
                (Some(inner), Access::Test) => self.part(inner, key, Access::Test, field),
                (Some(inner), _) => self.part(inner, key, Access::Optional, field),
            };
        }
        let found = self.find(operand, key, field)?;
        match how {
            Access::Plain => found.ok_or_else(|| match (operand, key) {
                (Value::List(_), Value::Int(index)) => format!("index out of bounds: {index}"),
                (_, key) => format!("no such key: {}", strings::shown(key)),
            }),
            Access::Optional => Ok(Value::Optional(found.map(Arc::new))),
            Access::Test => Ok(Value::Bool(found.is_some())),
        }
    }

    fn find(&self, operand: &Value, key: &Value, field: bool) -> Result<Option<Value>, String> {
        let text = match key {
            Value::Text(text) => Some(text),
            _ => None,
        };
        Ok(match (operand, text) {
            (Value::Device, Some(name)) if field => Some(match &**name {
                "driver" => Value::text(self.driver),
                "allowMultipleAllocations" => Value::Bool(self.device.allow_multiple),
                "attributes" => Value::Attributes,
                "capacity" => Value::Capacity,
                name => return Err(format!("undefined field '{name}'")),
            }),
            // A domain that is not there is one without attributes.
            (Value::Attributes, Some(domain)) => Some(Value::AttributesOf(domain.clone())),
            (Value::Capacity, Some(domain)) => Some(Value::CapacityOf(domain.clone())),
            (Value::AttributesOf(domain), Some(id)) => self.attribute(domain, id),
            (Value::CapacityOf(domain), Some(id)) => self.capacity(domain, id),
            (Value::Map(entries), _) => {
                entries.iter().find(|(known, _)| known.same(key)).map(|(_, value)| value.clone())
            }
            (Value::List(items), None) if !field => match key {
                Value::Int(index) => usize::try_from(*index).ok().and_then(|index| items.get(index)).cloned(),
                Value::Uint(index) => usize::try_from(*index).ok().and_then(|index| items.get(index)).cloned(),
                _ => return Err(NO_OVERLOAD.to_owned()),
            },
            (Value::Attributes | Value::Capacity | Value::AttributesOf(_) | Value::CapacityOf(_), None) => None,
            _ => return Err(NO_OVERLOAD.to_owned()),
        })
    }

    fn is(&self, name: &QualifiedName, domain: &str, id: &str) -> bool {
        name.id() == id && name.domain().unwrap_or(self.driver) == domain
    }

    fn attribute(&self, domain: &str, id: &str) -> Option<Value> {
        let found = self.device.attributes.iter().find(|attribute| self.is(&attribute.name, domain, id))?;
        attribute_value(&found.value)
    }

    fn capacity(&self, domain: &str, id: &str) -> Option<Value> {
        let found = self.device.capacity.iter().find(|capacity| self.is(&capacity.name, domain, id))?;
        Some(Value::Quantity(found.value))
    }

    /// The keys of a map or the elements of a list.
    fn elements(&self, range: &Value) -> Result<Vec<Value>, String> {
        let mut attributes = self.device.attributes.iter().map(|attribute| &attribute.name);
        let mut capacities = self.device.capacity.iter().map(|capacity| &capacity.name);
        let mut names: Vec<&str> = match range {
            Value::List(items) => return Ok(items.to_vec()),
            Value::Map(entries) => return Ok(entries.iter().map(|(key, _)| key.clone()).collect()),
            Value::Attributes => attributes.map(|name| name.domain().unwrap_or(self.driver)).collect(),
            Value::Capacity => capacities.map(|name| name.domain().unwrap_or(self.driver)).collect(),
            Value::AttributesOf(domain) => {
                let of = |name: &&QualifiedName| name.domain().unwrap_or(self.driver) == &**domain;
                attributes.by_ref().filter(of).map(QualifiedName::id).collect()
            }
            Value::CapacityOf(domain) => {
                let of = |name: &&QualifiedName| name.domain().unwrap_or(self.driver) == &**domain;
                capacities.by_ref().filter(of).map(QualifiedName::id).collect()
            }
            _ => return Err(NO_OVERLOAD.to_owned()),
        };
        names.sort_unstable();
        names.dedup();
        Ok(names.into_iter().map(Value::text).collect())
    }

    fn each(&mut self, what: Each, range: &Value, variable: &Arc<str>, parts: &[Expr]) -> Evaluated {
        let [first, rest @ ..] = parts else { return Err(NO_OVERLOAD.to_owned()) };
        let elements = self.elements(range)?;
        let mut kept = Vec::new();
        let mut error = None;
        let mut found = 0;
        for element in elements {
            if what == Each::Map && rest.is_empty() {
                kept.push(self.with(variable, element, first)?);
                continue;
            }
            let holds = match self.with(variable, element.clone(), first) {
                Ok(Value::Bool(holds)) => holds,
                other => {
                    let failure = other.err().unwrap_or_else(|| NO_OVERLOAD.to_owned());
                    // The others may settle it.
                    if matches!(what, Each::All | Each::Exists) {
                        error.get_or_insert(failure);
                        continue;
                    }
                    return Err(failure);
                }
            };
            match what {
                Each::All if !holds => return Ok(Value::Bool(false)),
                Each::Exists if holds => return Ok(Value::Bool(true)),
                Each::ExistsOne => found += u32::from(holds),
                Each::Filter if holds => kept.push(element),
                Each::Map if holds => {
                    for mapped in rest {
                        kept.push(self.with(variable, element.clone(), mapped)?);
                    }
                }
                _ => {}
            }
        }
        match (what, error) {
            (Each::All | Each::Exists, Some(error)) => Err(error),
            (Each::All, None) => Ok(Value::Bool(true)),
            (Each::Exists, None) => Ok(Value::Bool(false)),
            (Each::ExistsOne, _) => Ok(Value::Bool(found == 1)),
            (Each::Filter | Each::Map, _) => Ok(Value::list(kept)),
        }
    }

    fn binary(&self, operator: Operator, left: &Value, right: &Value) -> Evaluated {
        let truth = |value| Ok(Value::Bool(value));
        let ordered = |holds: fn(Ordering) -> bool| {
            left.order(right).map(|order| Value::Bool(holds(order))).ok_or_else(|| NO_OVERLOAD.to_owned())
        };
        match operator {
            Operator::Equal => truth(left.same(right)),
            Operator::NotEqual => truth(!left.same(right)),
            Operator::Less => ordered(Ordering::is_lt),
            Operator::LessOrEqual => ordered(Ordering::is_le),
            Operator::Greater => ordered(Ordering::is_gt),
            Operator::GreaterOrEqual => ordered(Ordering::is_ge),
            Operator::In => truth(self.elements(right)?.iter().any(|element| element.same(left))),
            _ => arithmetic(operator, left, right),
        }
    }

    fn call(&self, target: Option<Value>, name: &str, args: Vec<Value>) -> Evaluated {
        if name == "size" {
            let of = target.or_else(|| args.into_iter().next()).ok_or_else(|| NO_OVERLOAD.to_owned())?;
            let size = match &of {
                Value::Text(text) => text.chars().count(),
                other => self.elements(other)?.len(),
            };
            return Ok(Value::Int(size as i64));
        }
        functions::call(target.as_ref(), name, &args)
    }
}

/// A value as large as it is for whoever looks through it.
fn work(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len().div_ceil(10),
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        _ => 0,
    }
}

fn attribute_value(value: &AttributeValue) -> Option<Value> {
    match value {
        AttributeValue::Int(value) => Some(Value::Int(*value)),
        AttributeValue::Bool(value) => Some(Value::Bool(*value)),
        AttributeValue::Text(text) => Some(Value::Text(text.clone())),
        AttributeValue::Version(text) => Semver::parse(text).map(|version| Value::Semver(Arc::new(version))),
        AttributeValue::Unsupported => None,
    }
}

fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Evaluated {
    let overflow = || "integer overflow".to_owned();
    match (operator, left, right) {
        (Operator::Plus, Value::Text(a), Value::Text(b)) => Ok(Value::Text(format!("{a}{b}").into())),
        (Operator::Plus, Value::List(a), Value::List(b)) => {
            Ok(Value::List(a.iter().chain(b.iter()).cloned().collect()))
        }
        (Operator::Divided | Operator::Rest, Value::Int(_), Value::Int(0))
        | (Operator::Divided | Operator::Rest, Value::Uint(_), Value::Uint(0)) => {
            Err(if operator == Operator::Divided { "division by zero" } else { "modulus by zero" }.to_owned())
        }
        (_, Value::Int(a), Value::Int(b)) => match operator {
            Operator::Plus => a.checked_add(*b),
            Operator::Minus => a.checked_sub(*b),
            Operator::Times => a.checked_mul(*b),
            Operator::Divided => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Value::Int)
        .ok_or_else(overflow),
        (_, Value::Uint(a), Value::Uint(b)) => match operator {
            Operator::Plus => a.checked_add(*b),
            Operator::Minus => a.checked_sub(*b),
            Operator::Times => a.checked_mul(*b),
            Operator::Divided => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Value::Uint)
        .ok_or_else(overflow),
        (Operator::Plus, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Operator::Minus, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Operator::Times, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        (Operator::Divided, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        _ => Err(NO_OVERLOAD.to_owned()),
    }
}
