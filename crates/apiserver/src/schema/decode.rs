//! Decoding of JSON into the form in which the API server shows objects, guided by the table of types, in one pass over
//! the text; [`decode`] is the entry point. It behaves as Go's decoder into the API's structs, followed by their encoding.

use std::borrow::Cow;

use augur_notation::quote as go_quote;
use serde_json::{Map, Number, Value};

use super::scalar;
use super::scan::{Scanner, SyntaxError};
use super::table::{Field, Type, Wire};

/// What became of a text.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The object; meaningless when there is an error.
    pub value: Value,
    /// The first value of a wrong type, if any.
    pub error: Option<String>,
    /// Unknown and duplicate fields, in order.
    pub strict: Vec<String>,
}

/// Decodes a text into a value of the type.
pub(super) fn decode(ty: &'static Type, raw: &[u8], strict: bool) -> Result<Outcome, SyntaxError> {
    let mut decoder = Decoder {
        scan: Scanner::new(raw),
        path: Vec::with_capacity(16),
        saved: None,
        fatal: None,
        strict: Vec::new(),
        strict_on: strict,
    };
    let value = match decoder.scan.peek()? {
        b'{' => decoder.object(ty)?,
        b'n' => {
            decoder.scan.literal("null")?;
            zero_struct(ty)
        }
        first => {
            decoder.scan.skip()?;
            decoder.saved = Some(first_is_no_object(first));
            Value::Null
        }
    };
    decoder.scan.finish()?;
    Ok(Outcome { value, error: decoder.fatal.or(decoder.saved), strict: decoder.strict })
}

/// Decodes a text of any type, noting duplicate fields only.
pub(super) fn decode_any(raw: &[u8]) -> Result<(Value, Vec<String>), SyntaxError> {
    let mut decoder = Decoder {
        scan: Scanner::new(raw),
        path: Vec::new(),
        saved: None,
        fatal: None,
        strict: Vec::new(),
        strict_on: true,
    };
    let value = decoder.any(true)?;
    decoder.scan.finish()?;
    Ok((value, decoder.strict))
}

fn first_is_no_object(first: u8) -> String {
    let what = match first {
        b'[' => "array",
        b'"' => "string",
        b't' | b'f' => "bool",
        _ => "number",
    };
    format!(
        "json: cannot unmarshal {what} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
    )
}

/// At most this many unknown and duplicate fields are reported.
const MAX_STRICT: usize = 100;

enum Segment {
    Field(&'static Type, &'static str),
    /// A map key, by the offsets of its text between the quotes.
    Key(usize, usize),
    Index(usize),
}

struct Decoder<'a> {
    scan: Scanner<'a>,
    path: Vec<Segment>,
    /// The first value of a wrong type.
    saved: Option<String>,
    /// The first value that its own type refused; it outranks `saved`, as it stops Go's decoder.
    fatal: Option<String>,
    strict: Vec<String>,
    strict_on: bool,
}

impl Decoder<'_> {
    fn object(&mut self, ty: &'static Type) -> Result<Value, SyntaxError> {
        let mut map = Map::new();
        let mut seen = 0_u128;
        self.scan.open()?;
        let mut more = self.scan.first_member()?;
        while more {
            let key = self.scan.key()?;
            if let Some(index) = ty.position(&key) {
                let field = &ty.fields[index];
                let bit = 1_u128 << (index & 127);
                let again = seen & bit != 0;
                if again {
                    self.note("duplicate field", field.name);
                }
                seen |= bit;
                self.path.push(Segment::Field(ty, field.name));
                let value = self.value(&field.wire, field.pointer)?;
                self.path.pop();
                match value {
                    Some(value) if again => put_again(&mut map, field, value),
                    Some(value) if shown(field, &value) => {
                        map.insert(field.name.to_owned(), value);
                    }
                    Some(_) => {}
                    None => {
                        map.remove(field.name);
                    }
                }
            } else {
                if self.strict_on {
                    self.note("unknown field", &key);
                }
                self.scan.skip()?;
            }
            more = self.scan.next_member()?;
        }
        for field in ty.fields.iter().filter(|f| always(f)) {
            if !map.contains_key(field.name) {
                map.insert(field.name.to_owned(), zero(&field.wire, field.pointer));
            }
        }
        Ok(Value::Object(map))
    }

    /// `None` is Go's nil.
    fn value(&mut self, wire: &'static Wire, pointer: bool) -> Result<Option<Value>, SyntaxError> {
        match self.scan.peek()? {
            b'"' => {
                let text = self.scan.string()?;
                Ok(self.string(wire, text))
            }
            b'-' | b'0'..=b'9' => {
                let text = self.scan.number()?;
                Ok(self.number(wire, text))
            }
            b'{' => match wire {
                Wire::Struct(ty) => self.object(ty.get()).map(Some),
                Wire::Map(item, _) => self.map(item).map(Some),
                Wire::Any => self.any(false).map(Some),
                _ => self.wrong_composite("object", wire),
            },
            b'[' => match wire {
                Wire::List(item, _) => self.list(item).map(Some),
                Wire::Any => self.any(false).map(Some),
                _ => self.wrong_composite("array", wire),
            },
            b'n' => {
                self.scan.literal("null")?;
                let nil = pointer || matches!(wire, Wire::List(..) | Wire::Map(..) | Wire::Any | Wire::Bytes);
                Ok(if nil { None } else { Some(zero(wire, false)) })
            }
            b't' => {
                self.scan.literal("true")?;
                Ok(self.bool(wire, true))
            }
            b'f' => {
                self.scan.literal("false")?;
                Ok(self.bool(wire, false))
            }
            _ => Err(self.scan.unexpected("looking for beginning of value")),
        }
    }

    fn string(&mut self, wire: &Wire, text: Cow<'_, str>) -> Option<Value> {
        let canonical = match wire {
            Wire::String(_) | Wire::IntOrString | Wire::Any => return Some(Value::String(text.into_owned())),
            Wire::Quantity { resource } => scalar::quantity(&text, *resource),
            Wire::Time => scalar::time(&text),
            Wire::MicroTime => scalar::micro_time(&text),
            Wire::Bytes => {
                return match scalar::bytes(&text) {
                    Ok(text) => Some(Value::String(text)),
                    Err(error) => {
                        self.saved.get_or_insert(error);
                        None
                    }
                };
            }
            _ => return self.mismatch("string", wire),
        };
        match canonical {
            Ok(text) => Some(Value::String(text)),
            Err(error) => self.refuse(error),
        }
    }

    fn number(&mut self, wire: &Wire, text: &str) -> Option<Value> {
        match wire {
            Wire::I32 => match text.parse::<i32>() {
                Ok(number) => Some(Value::from(number)),
                Err(_) => self.mismatch(&format!("number {text}"), wire),
            },
            Wire::I64 => match text.parse::<i64>() {
                Ok(number) => Some(Value::from(number)),
                Err(_) => self.mismatch(&format!("number {text}"), wire),
            },
            Wire::F64 => match text.parse::<f64>().ok().and_then(Number::from_f64) {
                Some(number) => Some(Value::Number(number)),
                None => self.mismatch(&format!("number {text}"), wire),
            },
            Wire::IntOrString => match text.parse::<i32>() {
                Ok(number) => Some(Value::from(number)),
                Err(_) => self.refuse(format!("json: cannot unmarshal number {text} into Go value of type int32")),
            },
            Wire::Quantity { resource } => match scalar::quantity(text, *resource) {
                Ok(text) => Some(Value::String(text)),
                Err(error) => self.refuse(error),
            },
            Wire::Time | Wire::MicroTime => self.refuse(not_a_time("number")),
            Wire::Any => Some(any_number(text)),
            _ => self.mismatch("number", wire),
        }
    }

    fn bool(&mut self, wire: &Wire, value: bool) -> Option<Value> {
        match wire {
            Wire::Bool | Wire::Any => Some(Value::Bool(value)),
            Wire::IntOrString => self.refuse("json: cannot unmarshal bool into Go value of type int32".to_owned()),
            Wire::Quantity { resource } => match scalar::quantity(if value { "true" } else { "false" }, *resource) {
                Ok(text) => Some(Value::String(text)),
                Err(error) => self.refuse(error),
            },
            Wire::Time | Wire::MicroTime => self.refuse(not_a_time("bool")),
            _ => self.mismatch("bool", wire),
        }
    }

    fn wrong_composite(&mut self, what: &str, wire: &Wire) -> Result<Option<Value>, SyntaxError> {
        self.scan.skip()?;
        Ok(match wire {
            Wire::IntOrString => self.refuse(format!("json: cannot unmarshal {what} into Go value of type int32")),
            Wire::Quantity { resource } => match scalar::quantity("{}", *resource) {
                Ok(text) => Some(Value::String(text)),
                Err(error) => self.refuse(error),
            },
            Wire::Time | Wire::MicroTime => self.refuse(not_a_time(what)),
            _ => self.mismatch(what, wire),
        })
    }

    fn list(&mut self, item: &'static Wire) -> Result<Value, SyntaxError> {
        let mut items = Vec::new();
        self.scan.open()?;
        let mut more = self.scan.first_item()?;
        while more {
            self.path.push(Segment::Index(items.len()));
            let value = self.value(item, false)?;
            self.path.pop();
            items.push(value.unwrap_or(Value::Null));
            more = self.scan.next_item()?;
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, item: &'static Wire) -> Result<Value, SyntaxError> {
        let mut map = Map::new();
        self.scan.open()?;
        let mut more = self.scan.first_member()?;
        while more {
            self.scan.peek()?;
            let start = self.scan.offset() + 1;
            let key = self.scan.key()?;
            if self.strict_on && map.contains_key(key.as_ref()) {
                self.note("duplicate field", &key);
            }
            self.path.push(Segment::Key(start, start + key.len()));
            let value = self.value(item, false)?;
            self.path.pop();
            let value = match (value, item) {
                (Some(value), _) => value,
                (None, Wire::Bytes) => Value::String(String::new()),
                (None, _) => Value::Null,
            };
            map.insert(key.into_owned(), value);
            more = self.scan.next_member()?;
        }
        Ok(Value::Object(map))
    }

    fn any(&mut self, strict: bool) -> Result<Value, SyntaxError> {
        match self.scan.peek()? {
            b'"' => Ok(Value::String(self.scan.string()?.into_owned())),
            b'-' | b'0'..=b'9' => Ok(any_number(self.scan.number()?)),
            b't' => self.scan.literal("true").map(|()| Value::Bool(true)),
            b'f' => self.scan.literal("false").map(|()| Value::Bool(false)),
            b'n' => self.scan.literal("null").map(|()| Value::Null),
            b'[' => {
                let mut items = Vec::new();
                self.scan.open()?;
                let mut more = self.scan.first_item()?;
                while more {
                    self.path.push(Segment::Index(items.len()));
                    items.push(self.any(strict)?);
                    self.path.pop();
                    more = self.scan.next_item()?;
                }
                Ok(Value::Array(items))
            }
            b'{' => {
                let mut map = Map::new();
                self.scan.open()?;
                let mut more = self.scan.first_member()?;
                while more {
                    self.scan.peek()?;
                    let start = self.scan.offset() + 1;
                    let key = self.scan.key()?;
                    if strict && map.contains_key(key.as_ref()) {
                        self.note("duplicate field", &key);
                    }
                    self.path.push(Segment::Key(start, start + key.len()));
                    let value = self.any(strict)?;
                    self.path.pop();
                    map.insert(key.into_owned(), value);
                    more = self.scan.next_member()?;
                }
                Ok(Value::Object(map))
            }
            _ => Err(self.scan.unexpected("looking for beginning of value")),
        }
    }

    fn mismatch(&mut self, what: &str, wire: &Wire) -> Option<Value> {
        if self.saved.is_none() {
            let mut holder = "";
            let mut fields = Vec::new();
            for segment in &self.path {
                if let Segment::Field(ty, name) = segment {
                    holder = ty.short_name();
                    fields.push(*name);
                }
            }
            let (fields, go) = (fields.join("."), wire.go_name());
            self.saved =
                Some(format!("json: cannot unmarshal {what} into Go struct field {holder}.{fields} of type {go}"));
        }
        None
    }

    fn refuse(&mut self, error: String) -> Option<Value> {
        self.fatal.get_or_insert(error);
        None
    }

    fn note(&mut self, what: &str, field: &str) {
        if !self.strict_on || self.strict.len() >= MAX_STRICT {
            return;
        }
        let mut path = String::new();
        for segment in &self.path {
            match segment {
                Segment::Index(index) => path.push_str(&format!("[{index}]")),
                Segment::Field(_, name) => push_name(&mut path, name),
                Segment::Key(from, to) => push_name(&mut path, &String::from_utf8_lossy(self.scan.text(*from, *to))),
            }
        }
        push_name(&mut path, field);
        let note = format!("{what} {}", go_quote(&path));
        if !self.strict.contains(&note) {
            self.strict.push(note);
        }
    }
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

fn not_a_time(what: &str) -> String {
    format!("json: cannot unmarshal {what} into Go value of type string")
}

fn any_number(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return Value::from(number);
    }
    text.parse::<f64>().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

/// A field given twice: structs and maps are filled further, anything else is replaced.
fn put_again(map: &mut Map<String, Value>, field: &Field, value: Value) {
    match (map.get_mut(field.name), value) {
        (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
        (_, value) if shown(field, &value) => {
            map.insert(field.name.to_owned(), value);
        }
        _ => {
            map.remove(field.name);
        }
    }
}

/// Whether Go's encoder writes the field with this value.
fn shown(field: &Field, value: &Value) -> bool {
    if field.pointer {
        return true;
    }
    if field.omit_zero && (value.is_null() || value.as_object().is_some_and(Map::is_empty)) {
        return false;
    }
    match &field.wire {
        // Lists and maps that are empty come back from the store as nil.
        // (An empty list of managed fields is an order to forget them.)
        Wire::List(..) => value.as_array().is_some_and(|list| !list.is_empty() || field.name == "managedFields"),
        Wire::Map(..) => value.as_object().is_some_and(|map| !map.is_empty()),
        _ if !field.omit_empty => true,
        Wire::String(_) | Wire::Bytes => value.as_str() != Some(""),
        Wire::Bool => value.as_bool() != Some(false),
        Wire::I32 | Wire::I64 => value.as_i64() != Some(0),
        Wire::F64 => value.as_f64() != Some(0.0),
        _ => true,
    }
}

/// Whether Go's encoder writes the field even when it is zero.
fn always(field: &Field) -> bool {
    if field.omit_zero {
        return false;
    }
    let omittable = field.pointer
        || matches!(
            field.wire,
            Wire::String(_)
                | Wire::Bool
                | Wire::I32
                | Wire::I64
                | Wire::F64
                | Wire::Bytes
                | Wire::List(..)
                | Wire::Map(..)
        );
    !(field.omit_empty && omittable)
}

fn zero(wire: &Wire, pointer: bool) -> Value {
    if pointer {
        return Value::Null;
    }
    match wire {
        Wire::String(_) => Value::String(String::new()),
        Wire::Bool => Value::Bool(false),
        Wire::I32 | Wire::I64 | Wire::F64 | Wire::IntOrString => Value::from(0),
        Wire::Quantity { .. } => Value::String("0".to_owned()),
        Wire::Struct(ty) => zero_struct(ty.get()),
        Wire::Time | Wire::MicroTime | Wire::Any | Wire::Bytes | Wire::List(..) | Wire::Map(..) => Value::Null,
    }
}

pub(super) fn zero_struct(ty: &Type) -> Value {
    Value::Object(
        ty.fields
            .iter()
            .filter(|field| always(field))
            .map(|field| (field.name.to_owned(), zero(&field.wire, field.pointer)))
            .collect(),
    )
}
