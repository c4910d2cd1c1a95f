//! The entries of `metadata.managedFields`: reading, writing, their order and their number; [`Entries`] is the entry point.

use serde_json::{Map, Value, json};

use super::set::Set;

/// How a manager came to own its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

/// What one manager owns.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub manager: String,
    pub operation: Operation,
    pub api_version: String,
    pub subresource: String,
    pub time: Option<String>,
    pub set: Set,
}

impl Entry {
    /// Whether both are of the same manager: appliers are told apart without regard to the version.
    fn is_of(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// The manager, as conflicts name it.
    pub fn shown(&self) -> String {
        let mut text = augur_notation::quote(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {}", augur_notation::quote(&self.subresource)));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// All entries of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries(pub Vec<Entry>);

/// More entries of ordinary writes than these are merged into one, oldest first.
const MAX_UPDATERS: usize = 10;
/// The manager of merged entries.
const ANCIENT: &str = "ancient-changes";

impl Entries {
    /// Reads `metadata.managedFields`; `None` when an entry is malformed.
    pub fn read(list: Vec<Value>) -> Option<Entries> {
        let mut entries = Entries(Vec::with_capacity(list.len() + 1));
        for value in list {
            let Value::Object(mut map) = value else { return None };
            let mut text = |name: &str| match map.remove(name) {
                Some(Value::String(text)) => text,
                _ => String::new(),
            };
            let operation = match text("operation").as_str() {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            if text("fieldsType") != "FieldsV1" {
                return None;
            }
            let (manager, api_version, subresource) = (text("manager"), text("apiVersion"), text("subresource"));
            if api_version.is_empty() {
                return None;
            }
            let time = Some(text("time")).filter(|time| !time.is_empty());
            let set = match map.remove("fieldsV1") {
                Some(fields) => Set::read(fields)?,
                None => Set::default(),
            };
            let entry = Entry { manager, operation, api_version, subresource, time, set };
            match entries.position(&entry) {
                Some(at) => entries.0[at] = entry,
                None => entries.0.push(entry),
            }
        }
        Some(entries)
    }

    /// Writes them into an object's metadata, or removes the member when there are none.
    pub fn write(mut self, object: &mut Value) {
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
        if self.0.is_empty() {
            metadata.remove("managedFields");
            return;
        }
        self.0.sort_by(|a, b| {
            let key = |e: &Entry| (e.operation, e.time.clone().unwrap_or_default());
            key(a)
                .cmp(&key(b))
                .then_with(|| a.manager.cmp(&b.manager))
                .then_with(|| a.api_version.cmp(&b.api_version))
                .then_with(|| a.subresource.cmp(&b.subresource))
        });
        let list = self.0.into_iter().map(entry_value).collect();
        metadata.insert("managedFields".to_owned(), Value::Array(list));
    }

    pub fn position(&self, entry: &Entry) -> Option<usize> {
        self.0.iter().position(|e| e.is_of(entry))
    }

    /// Merges the oldest entries of ordinary writes until there are few enough.
    pub fn cap(&mut self) {
        let mut updaters: Vec<usize> =
            (0..self.0.len()).filter(|i| self.0[*i].operation == Operation::Update).collect();
        let mut count = updaters.len();
        if count <= MAX_UPDATERS {
            return;
        }
        updaters.sort_by(|a, b| {
            let key = |i: usize| (self.0[i].time.clone().unwrap_or_default(), self.0[i].manager.clone());
            key(*a).cmp(&key(*b))
        });
        let mut first_of_version: Vec<(String, usize)> = Vec::new();
        let mut gone = vec![false; self.0.len()];
        for at in updaters {
            if count <= MAX_UPDATERS {
                break;
            }
            let version = self.0[at].api_version.clone();
            let Some((_, bucket)) = first_of_version.iter().find(|(v, _)| *v == version).cloned() else {
                first_of_version.push((version, at));
                continue;
            };
            let (set, time) = (std::mem::take(&mut self.0[at].set), self.0[at].time.clone());
            let into = &mut self.0[bucket];
            ANCIENT.clone_into(&mut into.manager);
            into.subresource.clear();
            into.set.union(set);
            into.time = time;
            gone[at] = true;
            count -= 1;
        }
        let mut gone = gone.into_iter();
        self.0.retain(|_| !gone.next().unwrap_or(false));
    }
}

fn entry_value(entry: Entry) -> Value {
    let mut map = Map::new();
    let operation = if entry.operation == Operation::Apply { "Apply" } else { "Update" };
    map.insert("manager".to_owned(), Value::String(entry.manager));
    map.insert("operation".to_owned(), json!(operation));
    map.insert("apiVersion".to_owned(), Value::String(entry.api_version));
    if let Some(time) = entry.time {
        map.insert("time".to_owned(), Value::String(time));
    }
    map.insert("fieldsType".to_owned(), json!("FieldsV1"));
    map.insert("fieldsV1".to_owned(), entry.set.write());
    if !entry.subresource.is_empty() {
        map.insert("subresource".to_owned(), Value::String(entry.subresource));
    }
    Value::Object(map)
}
