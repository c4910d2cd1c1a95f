//! The one protobuf message that is read: kubectl sends `auth can-i` as protobuf only. Anything else in protobuf is refused.

use serde_json::{Map, Value, json};

/// Begins every protobuf body of Kubernetes.
const MAGIC: &[u8] = b"k8s\0";

/// A `SelfSubjectAccessReview` from a protobuf body; `None` if it is none.
pub(super) fn access_review(content_type: Option<&str>, raw: &[u8]) -> Option<Value> {
    if !content_type?.trim_start().starts_with("application/vnd.kubernetes.protobuf") {
        return None;
    }
    // runtime.Unknown: 2 is the object. SelfSubjectAccessReview: 2 is the spec.
    let object = message(raw.strip_prefix(MAGIC)?, 2)?;
    let spec = message(object, 2)?;
    let mut review = Map::new();
    let resource =
        [(1, "namespace"), (2, "verb"), (3, "group"), (4, "version"), (5, "resource"), (6, "subresource"), (7, "name")];
    for (number, member, names) in
        [(1, "resourceAttributes", &resource[..]), (2, "nonResourceAttributes", &[(1, "path"), (2, "verb")])]
    {
        if let Some(attributes) = message(spec, number) {
            review.insert(member.to_owned(), texts(attributes, names)?);
        }
    }
    Some(json!({
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": review,
    }))
}

fn texts(message_bytes: &[u8], names: &[(u64, &str)]) -> Option<Value> {
    let mut members = Map::new();
    for (number, name) in names {
        if let Some(text) = message(message_bytes, *number).filter(|text| !text.is_empty()) {
            members.insert((*name).to_owned(), std::str::from_utf8(text).ok()?.into());
        }
    }
    Some(Value::Object(members))
}

/// The last length-delimited field of a number.
fn message(mut bytes: &[u8], number: u64) -> Option<&[u8]> {
    let mut found = None;
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        match key & 7 {
            0 => {
                varint(&mut bytes)?;
            }
            1 => bytes = bytes.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let value = bytes.get(..length)?;
                bytes = &bytes[length..];
                if key >> 3 == number {
                    found = Some(value);
                }
            }
            5 => bytes = bytes.get(4..)?,
            _ => return None,
        }
    }
    found
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(value.len()).unwrap()];
        bytes.extend_from_slice(value);
        bytes
    }

    #[test]
    fn an_access_review_is_read_and_nonsense_is_not() {
        let attributes = [field(1, b"default"), field(2, b"create"), field(5, b"pods")].concat();
        let object = [field(1, b""), field(2, &field(1, &attributes))].concat();
        let raw = [MAGIC, &field(1, &field(1, b"v1")), &field(2, &object)].concat();
        let protobuf = Some("application/vnd.kubernetes.protobuf");
        let review = access_review(protobuf, &raw).unwrap();
        assert_eq!(
            review["spec"]["resourceAttributes"],
            json!({ "namespace": "default", "verb": "create", "resource": "pods" })
        );
        assert_eq!(access_review(Some("application/json"), &raw), None);
        for cut in 0..raw.len() {
            let _ = access_review(protobuf, &raw[..cut]);
        }
        assert_eq!(access_review(protobuf, b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }
}
