//! How an object is kept: as the line of the watch event that announced it, so that one serialisation serves the writer's
//! answer, lists and all watchers. Entry points: [`Draft::encode`], [`Entry`].

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::selector::Facts;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    /// The beginning of an event's line.
    pub(crate) fn head(self) -> &'static str {
        match self {
            Change::Added => "{\"type\":\"ADDED\",\"object\":",
            Change::Modified => "{\"type\":\"MODIFIED\",\"object\":",
            Change::Deleted => "{\"type\":\"DELETED\",\"object\":",
        }
    }
}

/// The end of an event's line.
pub(crate) const TAIL: &str = "}\n";

/// An object that is serialised but for its resourceVersion, which is known only when it is stored.
#[derive(Debug)]
pub(crate) struct Draft {
    /// `"metadata":{…}…}` without `kind` and `apiVersion`; the resourceVersion is an empty string.
    bytes: Vec<u8>,
    /// Where the resourceVersion goes.
    version_at: usize,
}

impl Draft {
    /// Serialises an object; its resourceVersion, `kind` and `apiVersion` are left out.
    pub(crate) fn encode(object: &Value) -> Self {
        let mut bytes = Vec::with_capacity(2048);
        let mut version_at = 0;
        bytes.push(b'{');
        let empty = serde_json::Map::new();
        let top = object.as_object().unwrap_or(&empty);
        // Metadata come first, as in the answers of a real server.
        write_key(&mut bytes, "metadata");
        bytes.push(b'{');
        for (key, value) in top.get("metadata").and_then(Value::as_object).unwrap_or(&empty) {
            if key != "resourceVersion" {
                write_key(&mut bytes, key);
                write_value(&mut bytes, value);
                bytes.push(b',');
            }
        }
        bytes.extend_from_slice(b"\"resourceVersion\":\"");
        version_at += bytes.len();
        bytes.extend_from_slice(b"\"}");
        for (key, value) in top {
            if !matches!(key.as_str(), "metadata" | "kind" | "apiVersion") {
                bytes.push(b',');
                write_key(&mut bytes, key);
                write_value(&mut bytes, value);
            }
        }
        bytes.push(b'}');
        Draft { bytes, version_at }
    }

    /// The finished entry. `kind_head` is `{"kind":…,"apiVersion":…,`.
    pub(crate) fn finish(&self, change: Change, kind_head: &str, revision: u64, facts: Arc<Facts>) -> Entry {
        line(change, kind_head, &self.bytes[1..self.version_at], revision, &self.bytes[self.version_at..], facts)
    }

    /// Whether the entry holds the same object, resourceVersion apart.
    pub(crate) fn equals(&self, entry: &Entry) -> bool {
        let stored = entry.members();
        let version_end = entry.version_end();
        let before = entry.version_at - entry.members_at;
        let (ours, theirs) = (&self.bytes[1..], stored);
        let cut = self.version_at - 1;
        cut == before && ours[..cut] == theirs[..before] && ours[cut..] == theirs[version_end - entry.members_at..]
    }
}

fn write_key(out: &mut Vec<u8>, key: &str) {
    // Writing to a vector cannot fail, and strings always serialise.
    let _ = serde_json::to_writer(&mut *out, key);
    out.push(b':');
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    // As above: a `Value` has only string keys, so it always serialises.
    let _ = serde_json::to_writer(out, value);
}

fn line(change: Change, kind_head: &str, before: &[u8], revision: u64, after: &[u8], facts: Arc<Facts>) -> Entry {
    let head = change.head();
    let digits = revision.to_string();
    let mut line =
        Vec::with_capacity(head.len() + kind_head.len() + before.len() + digits.len() + after.len() + TAIL.len());
    line.extend_from_slice(head.as_bytes());
    line.extend_from_slice(kind_head.as_bytes());
    let members_at = line.len();
    line.extend_from_slice(before);
    let version_at = line.len();
    line.extend_from_slice(digits.as_bytes());
    line.extend_from_slice(after);
    line.extend_from_slice(TAIL.as_bytes());
    Entry { line: line.into(), object_at: head.len(), members_at, version_at, revision, facts }
}

/// A stored object. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    line: Bytes,
    object_at: usize,
    members_at: usize,
    version_at: usize,
    /// Its resourceVersion.
    pub(crate) revision: u64,
    /// What selectors look at.
    pub(crate) facts: Arc<Facts>,
}

impl Entry {
    /// The whole line of the event that announced it.
    pub(crate) fn line(&self) -> Bytes {
        self.line.clone()
    }

    /// The object as JSON, with `kind` and `apiVersion`.
    pub(crate) fn object(&self) -> Bytes {
        self.line.slice(self.object_at..self.line.len() - TAIL.len())
    }

    /// The object's members without `kind` and `apiVersion` and without the opening brace.
    pub(crate) fn members(&self) -> &[u8] {
        &self.line[self.members_at..self.line.len() - TAIL.len()]
    }

    /// The object, parsed.
    pub(crate) fn value(&self) -> Value {
        // What the store serialised parses again.
        serde_json::from_slice(&self.line[self.object_at..self.line.len() - TAIL.len()]).unwrap_or(Value::Null)
    }

    /// Bytes of memory of the line.
    pub(crate) fn size(&self) -> usize {
        self.line.len()
    }

    fn version_end(&self) -> usize {
        self.version_at + decimal_digits(self.revision)
    }

    /// The same object in the state `change` at a later revision.
    pub(crate) fn at_revision(&self, change: Change, revision: u64) -> Entry {
        let kind_head = std::str::from_utf8(&self.line[self.object_at..self.members_at]).unwrap_or("{");
        line(
            change,
            kind_head,
            &self.line[self.members_at..self.version_at],
            revision,
            &self.line[self.version_end()..self.line.len() - TAIL.len()],
            Arc::clone(&self.facts),
        )
    }
}

fn decimal_digits(n: u64) -> usize {
    n.checked_ilog10().map_or(1, |d| d as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::by_qualified;
    use crate::selector::facts;
    use serde_json::json;

    #[test]
    fn a_draft_becomes_an_event_line_and_moves_to_other_revisions() {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "a", "resourceVersion": "old" },
            "data": { "resourceVersion": "" },
        });
        let facts = Arc::new(facts(by_qualified("configmaps").unwrap(), &object));
        let draft = Draft::encode(&object);
        let entry = draft.finish(Change::Added, "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",", 99, facts);
        assert_eq!(
            entry.object(),
            "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"99\"},\
             \"data\":{\"resourceVersion\":\"\"}}"
        );
        assert!(draft.equals(&entry));
        let later = entry.at_revision(Change::Deleted, 100);
        assert!(later.line().starts_with(b"{\"type\":\"DELETED\",\"object\":{\"kind\""));
        assert_eq!(later.value()["metadata"]["resourceVersion"], "100");
        assert!(draft.equals(&later));
    }
}
