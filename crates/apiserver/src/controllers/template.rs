//! From templates to pods: what a new pod looks like, whether two templates are the same, the hash that names them.

use serde_json::{Map, Value, json};

use super::action::Parent;
use super::view::Entry;

/// The label that tells the replica sets of a deployment apart.
pub(super) const TEMPLATE_HASH: &str = "pod-template-hash";

/// A pod made from the template in `spec.template` of its owner. The API server completes the generated name.
pub(super) fn pod_of(parent: &Parent, owner: &Entry) -> Value {
    pod_from(parent, owner, &owner.value()["spec"]["template"])
}

/// A pod made from a template.
pub(super) fn pod_from(parent: &Parent, owner: &Entry, template: &Value) -> Value {
    let mut metadata = Map::new();
    metadata.insert("generateName".to_owned(), json!(format!("{}-", owner.meta().name)));
    metadata.insert("namespace".to_owned(), json!(owner.meta().namespace));
    for member in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(member) {
            metadata.insert(member.to_owned(), value.clone());
        }
    }
    metadata.insert("ownerReferences".to_owned(), json!([parent.controller_reference(owner)]));
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] })
}

/// Whether two pod templates are the same but for the label that tells replica sets apart.
pub(super) fn same_template(a: &Value, b: &Value) -> bool {
    if a["spec"] != b["spec"] {
        return false;
    }
    let rest = |template: &Value| {
        let mut metadata = template["metadata"].as_object().cloned().unwrap_or_default();
        metadata.retain(|_, value| !value.is_null());
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove(TEMPLATE_HASH);
            if labels.is_empty() {
                metadata.remove("labels");
            }
        }
        metadata
    };
    rest(a) == rest(b)
}

/// A short name for a template: letters and digits that spell no words, different for different templates and for each
/// `collisions`.
pub(super) fn template_hash(template: &Value, collisions: Option<i64>) -> String {
    let mut hash = Fnv::new();
    hash.value(template);
    if let Some(collisions) = collisions {
        hash.bytes(&collisions.to_le_bytes());
    }
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    hash.0.to_string().bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// 32-bit FNV-1a over a value, members in order of their names.
struct Fnv(u32);

impl Fnv {
    fn new() -> Self {
        Fnv(0x811c_9dc5)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                let mut members: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
                members.sort_by_key(|(name, _)| *name);
                self.bytes(b"{");
                for (name, value) in members {
                    self.bytes(name.as_bytes());
                    self.bytes(b":");
                    self.value(value);
                }
            }
            Value::Array(list) => {
                self.bytes(b"[");
                for value in list {
                    self.value(value);
                    self.bytes(b",");
                }
            }
            other => self.bytes(other.to_string().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_differ_by_what_they_run_not_by_their_hash_label() {
        let a = json!({ "metadata": { "labels": { "app": "x" } }, "spec": { "containers": [{ "image": "i" }] } });
        let mut b = a.clone();
        b["metadata"]["labels"][TEMPLATE_HASH] = json!("abc");
        b["metadata"]["creationTimestamp"] = Value::Null;
        assert!(same_template(&a, &b));
        b["spec"]["containers"][0]["image"] = json!("j");
        assert!(!same_template(&a, &b));
        assert_ne!(template_hash(&a, None), template_hash(&b, None));
        assert_ne!(template_hash(&a, None), template_hash(&a, Some(1)));
        assert_eq!(template_hash(&a, None), template_hash(&a.clone(), None));
    }
}
