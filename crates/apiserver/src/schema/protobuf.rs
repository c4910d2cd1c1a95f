//! Protobuf bodies, as kubectl's and other Go clients send them for the kinds that they know, turned into JSON along the
//! table of types; [`to_json`] is the entry point. Answers are never written in protobuf.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::table::{Field, Type, Wire, type_of};

/// Begins every protobuf body of Kubernetes.
const MAGIC: &[u8] = b"k8s\0";
/// Messages nest less deeply than this.
const MAX_DEPTH: usize = 64;

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// It does not begin as bodies in protobuf do.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoPrefix,
    /// It ends too early.
    #[error("unexpected EOF")]
    End,
    /// A field is of a type that does not exist or does not fit.
    #[error("proto: wrong wireType = {wire} for field {field}")]
    WireType { wire: u64, field: String },
    /// Messages within messages without end.
    #[error("proto: exceeded max recursion depth")]
    Depth,
}

/// The object in a body as JSON, with `kind` and `apiVersion`; of other kinds than expected only these two.
pub(super) fn to_json(expected: &'static Type, raw: &[u8]) -> Result<Value, Error> {
    let (mut head, mut object): (&[u8], &[u8]) = (&[], &[]);
    for part in Parts(raw.strip_prefix(MAGIC).ok_or(Error::NoPrefix)?) {
        match part? {
            (1, Payload::Bytes(bytes)) => head = bytes,
            (2, Payload::Bytes(bytes)) => object = bytes,
            _ => {}
        }
    }
    let (mut api_version, mut kind) = (String::new(), String::new());
    for part in Parts(head) {
        match part? {
            (1, Payload::Bytes(bytes)) => api_version = text(bytes),
            (2, Payload::Bytes(bytes)) => kind = text(bytes),
            _ => {}
        }
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let ty =
        if kind.is_empty() || kind == expected.short_name() { Some(expected) } else { type_of(group, version, &kind) };
    let mut value = match ty {
        Some(ty) => message(ty, object)?,
        None => json!({}),
    };
    for (name, text) in [("kind", kind), ("apiVersion", api_version)] {
        if !text.is_empty() {
            value[name] = json!(text);
        }
    }
    Ok(value)
}

fn message(ty: &'static Type, raw: &[u8]) -> Result<Value, Error> {
    let mut out = Map::new();
    fill(ty, "", raw, &mut out, 0)?;
    Ok(Value::Object(out))
}

/// Reads the fields of a struct, or, with a prefix such as `2.`, those of the struct embedded under that number.
fn fill(ty: &'static Type, prefix: &str, raw: &[u8], out: &mut Map<String, Value>, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::Depth);
    }
    for part in Parts(raw) {
        let (number, payload) = part?;
        let number = format!("{prefix}{number}");
        if let Some(field) = ty.fields.iter().find(|field| field.number == number) {
            put(field, payload, out, depth)?;
            continue;
        }
        let prefix = format!("{number}.");
        if let (true, Payload::Bytes(raw)) = (ty.fields.iter().any(|f| f.number.starts_with(&prefix)), payload) {
            fill(ty, &prefix, raw, out, depth + 1)?;
        }
    }
    Ok(())
}

fn put(field: &'static Field, payload: Payload<'_>, out: &mut Map<String, Value>, depth: usize) -> Result<(), Error> {
    match &field.wire {
        Wire::List(item, _) => {
            let list = out.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(list) = list else { return Ok(()) };
            match (item.as_ref(), payload) {
                (Wire::I32 | Wire::I64 | Wire::Bool, Payload::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        list.push(scalar(field, item, Payload::Varint(varint(&mut packed)?), depth)?);
                    }
                }
                (item, payload) => list.push(scalar(field, item, payload, depth)?),
            }
        }
        Wire::Map(item, _) => {
            let (mut key, mut value) = (String::new(), None);
            for part in Parts(payload.bytes(field)?) {
                match part? {
                    (1, Payload::Bytes(bytes)) => key = text(bytes),
                    (2, payload) => value = Some(scalar(field, item, payload, depth)?),
                    _ => {}
                }
            }
            let map = out.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(map) = map {
                map.insert(key, value.unwrap_or(Value::Null));
            }
        }
        wire => {
            let value = scalar(field, wire, payload, depth)?;
            out.insert(field.name.to_owned(), value);
        }
    }
    Ok(())
}

/// A value of any type that is not a list or map of a field.
fn scalar(field: &'static Field, wire: &'static Wire, payload: Payload<'_>, depth: usize) -> Result<Value, Error> {
    Ok(match wire {
        Wire::String(_) => Value::String(text(payload.bytes(field)?)),
        Wire::Bytes => Value::String(STANDARD.encode(payload.bytes(field)?)),
        Wire::Bool => Value::Bool(payload.varint(field)? != 0),
        // Negative numbers are sign-extended to 64 bits.
        Wire::I32 | Wire::I64 => Value::from(payload.varint(field)?.cast_signed()),
        Wire::F64 => match payload {
            Payload::Fixed(bits) => Value::from(f64::from_bits(bits)),
            other => return Err(other.unfit(field)),
        },
        Wire::Struct(ty) => {
            let mut map = Map::new();
            fill(ty.get(), "", payload.bytes(field)?, &mut map, depth + 1)?;
            Value::Object(map)
        }
        Wire::Quantity { .. } => {
            let amount = last_bytes(payload.bytes(field)?, 1)?.map_or_else(|| "0".to_owned(), text);
            Value::String(if amount.is_empty() { "0".to_owned() } else { amount })
        }
        Wire::Time | Wire::MicroTime => time(payload.bytes(field)?, matches!(wire, Wire::MicroTime))?,
        Wire::IntOrString => {
            let raw = payload.bytes(field)?;
            if last_varint(raw, 1)?.unwrap_or(0) == 1 {
                Value::String(last_bytes(raw, 3)?.map_or_else(String::new, text))
            } else {
                Value::from(last_varint(raw, 2)?.unwrap_or(0).cast_signed())
            }
        }
        Wire::Any => {
            let raw = last_bytes(payload.bytes(field)?, 1)?.unwrap_or_default();
            serde_json::from_slice(raw).unwrap_or_default()
        }
        // Named lists, and lists in maps, are messages that hold their items.
        Wire::List(item, _) => {
            let mut list = Vec::new();
            for part in Parts(payload.bytes(field)?) {
                if let (1, payload) = part? {
                    list.push(scalar(field, item, payload, depth + 1)?);
                }
            }
            Value::Array(list)
        }
        Wire::Map(..) => Value::Null,
    })
}

/// Seconds and nanoseconds; nothing, or zero, is no time.
fn time(raw: &[u8], micro: bool) -> Result<Value, Error> {
    let seconds = last_varint(raw, 1)?.unwrap_or(0).cast_signed();
    let nanos = last_varint(raw, 2)?.unwrap_or(0).cast_signed();
    if seconds == 0 && nanos == 0 {
        return Ok(Value::Null);
    }
    let nanos = i32::try_from(nanos).unwrap_or(0);
    let Ok(time) = Timestamp::new(seconds, nanos) else { return Ok(Value::Null) };
    let layout = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Ok(Value::String(time.strftime(layout).to_string()))
}

fn last_bytes(raw: &[u8], number: u64) -> Result<Option<&[u8]>, Error> {
    let mut found = None;
    for part in Parts(raw) {
        match part? {
            (n, Payload::Bytes(bytes)) if n == number => found = Some(bytes),
            _ => {}
        }
    }
    Ok(found)
}

fn last_varint(raw: &[u8], number: u64) -> Result<Option<u64>, Error> {
    let mut found = None;
    for part in Parts(raw) {
        match part? {
            (n, Payload::Varint(value)) if n == number => found = Some(value),
            _ => {}
        }
    }
    Ok(found)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What one field of a message holds.
#[derive(Debug, Clone, Copy)]
enum Payload<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Payload<'a> {
    fn unfit(self, field: &Field) -> Error {
        let wire = match self {
            Payload::Varint(_) => 0,
            Payload::Fixed(_) => 1,
            Payload::Bytes(_) => 2,
        };
        Error::WireType { wire, field: field.name.to_owned() }
    }

    fn bytes(self, field: &Field) -> Result<&'a [u8], Error> {
        if let Payload::Bytes(bytes) = self { Ok(bytes) } else { Err(self.unfit(field)) }
    }

    fn varint(self, field: &Field) -> Result<u64, Error> {
        if let Payload::Varint(value) = self { Ok(value) } else { Err(self.unfit(field)) }
    }
}

/// The fields of a message with their numbers; after an error it ends.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = Result<(u64, Payload<'a>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let part = part(&mut self.0);
        if part.is_err() {
            self.0 = &[];
        }
        Some(part)
    }
}

fn part<'a>(raw: &mut &'a [u8]) -> Result<(u64, Payload<'a>), Error> {
    let key = varint(raw)?;
    let payload = match key & 7 {
        0 => Payload::Varint(varint(raw)?),
        1 => Payload::Fixed(u64::from_le_bytes(take(raw, 8)?.try_into().map_err(|_| Error::End)?)),
        2 => {
            let length = usize::try_from(varint(raw)?).map_err(|_| Error::End)?;
            Payload::Bytes(take(raw, length)?)
        }
        5 => Payload::Fixed(take(raw, 4)?.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte))),
        wire => return Err(Error::WireType { wire, field: (key >> 3).to_string() }),
    };
    Ok((key >> 3, payload))
}

fn take<'a>(raw: &mut &'a [u8], length: usize) -> Result<&'a [u8], Error> {
    let (head, rest) = raw.split_at_checked(length).ok_or(Error::End)?;
    *raw = rest;
    Ok(head)
}

fn varint(raw: &mut &[u8]) -> Result<u64, Error> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = raw.split_first().ok_or(Error::End)?;
        *raw = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Error::End)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(value.len()).unwrap()];
        out.extend_from_slice(value);
        out
    }

    fn number(field: u8, value: u8) -> Vec<u8> {
        vec![field << 3, value]
    }

    fn body(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
        let head = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [MAGIC, &bytes(1, &head), &bytes(2, object)].concat()
    }

    fn pod() -> &'static Type {
        type_of("", "v1", "Pod").unwrap()
    }

    fn pod_body() -> Vec<u8> {
        let metadata =
            [bytes(1, b"p"), bytes(8, &bytes(1, &[0])), bytes(11, &[bytes(1, b"app"), bytes(2, b"w")].concat())]
                .concat();
        let requests = [bytes(1, b"cpu"), bytes(2, &bytes(1, b"500m"))].concat();
        let action = [bytes(1, b"/"), bytes(2, &[number(1, 0), number(2, 80)].concat())].concat();
        let probe = [bytes(1, &bytes(2, &action)), number(4, 5)].concat();
        let port = [bytes(1, b""), number(3, 80), bytes(4, b"TCP")].concat();
        let container = [
            bytes(1, b"c"),
            bytes(2, b"a:1"),
            bytes(4, b"-x"),
            bytes(4, b"-y"),
            bytes(6, &port),
            bytes(8, &bytes(2, &requests)),
            bytes(10, &probe),
        ];
        let volume = [bytes(1, b"v"), bytes(2, &bytes(2, &bytes(1, b"Memory")))].concat();
        let spec = [bytes(1, &volume), bytes(2, &container.concat()), number(4, 30)].concat();
        body("v1", "Pod", &[bytes(1, &metadata), bytes(2, &spec), bytes(3, b"")].concat())
    }

    #[test]
    fn a_pod_is_read() {
        let value = to_json(pod(), &pod_body()).unwrap();
        let probe = json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5});
        let container = json!({"name": "c", "image": "a:1", "args": ["-x", "-y"], "livenessProbe": probe,
            "ports": [{"name": "", "containerPort": 80, "protocol": "TCP"}], "resources": {"requests": {"cpu": "500m"}}});
        let spec = json!({"containers": [container], "terminationGracePeriodSeconds": 30,
            "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]});
        assert_eq!((&value["spec"], &value["kind"]), (&spec, &json!("Pod")));
        assert_eq!(value["metadata"]["labels"], json!({"app": "w"}));
    }

    #[test]
    fn torn_and_foreign_bodies_are_errors_or_other_kinds() {
        let body_of_pod = pod_body();
        for cut in 0..body_of_pod.len() {
            // Whatever is cut off, there is an answer.
            let _ = to_json(pod(), &body_of_pod[..cut]);
        }
        assert_eq!(to_json(pod(), b"{}"), Err(Error::NoPrefix));
        assert_eq!(to_json(pod(), b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Err(Error::End));
        assert_eq!(
            to_json(pod(), &body("v1", "Nothing", &[0xff])).unwrap(),
            json!({"kind": "Nothing", "apiVersion": "v1"})
        );
        let options = type_of("meta.k8s.io", "v1", "DeleteOptions").unwrap();
        let value = to_json(options, &body("policy/v1", "DeleteOptions", &number(1, 7))).unwrap();
        assert_eq!(value["gracePeriodSeconds"], 7);
    }

    #[test]
    fn every_field_has_a_number_of_its_own() {
        for ty in super::super::table::all_types() {
            let mut numbers: Vec<&str> = ty.fields.iter().map(|f| f.number).filter(|n| !n.is_empty()).collect();
            let all = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), all, "{}", ty.id);
        }
    }
}
