//! What clients can do, as synchronous functions: the HTTP layer and [`LocalClient`](crate::LocalClient) both call these.
//! A write reads the live state, computes the new one without any lock, and stores it if nobody wrote in between; otherwise
//! it starts again. Entry points: `ApiServer::{get, create, update, patch, delete, delete_collection, post_subresource}`.

mod binding;
mod convert;
mod create;
mod delete;
mod events;
mod eviction;
mod patch;
mod reviews;
mod scale;
mod subresource;
mod update;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde_json::Value;

pub(crate) use delete::options_from as delete_options_from;
pub use delete::{DeleteOptions, Propagation};
pub(crate) use events::{shown_shape, stored_shape};
pub(crate) use patch::PatchFormat;

use crate::access::User;
use crate::error::ApiError;
use crate::resource::Resource;
use crate::rules::Lookup;
use crate::schema::{self, FieldValidation, Type};
use crate::selector::facts;
use crate::server::ApiServer;
use crate::store::{Draft, Entry, Listing, Page};

/// What a request addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) resource: &'static Resource,
    /// Empty for cluster-scoped resources.
    pub(crate) namespace: &'a str,
    /// Empty for the collection.
    pub(crate) name: &'a str,
    /// Empty for the object itself.
    pub(crate) subresource: &'a str,
}

impl<'a> Target<'a> {
    pub(crate) fn new(resource: &'static Resource, namespace: &'a str, name: &'a str) -> Self {
        Target { resource, namespace, name, subresource: "" }
    }

    pub(crate) fn with_subresource(self, subresource: &'a str) -> Self {
        Target { subresource, ..self }
    }

    /// The store's key.
    pub(crate) fn key(&self) -> String {
        key(self.resource, self.namespace, self.name)
    }

    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(self.resource, self.name)
    }
}

/// The store's key of an object.
pub(crate) fn key(resource: &Resource, namespace: &str, name: &str) -> String {
    if resource.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
}

/// How a write is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteOptions<'a> {
    /// Everything but the storing.
    pub(crate) dry_run: bool,
    /// The field manager.
    pub(crate) manager: &'a str,
    /// What becomes of unknown fields.
    pub(crate) validation: FieldValidation,
    /// Apply over other managers' fields.
    pub(crate) force: bool,
    /// Who writes, if what is written matters for whether they may; `None` for the server itself.
    pub(crate) user: Option<&'a User>,
}

impl Default for WriteOptions<'_> {
    fn default() -> Self {
        WriteOptions {
            dry_run: false,
            manager: "unknown",
            validation: FieldValidation::Ignore,
            force: false,
            user: None,
        }
    }
}

/// An object in an answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// As stored.
    Stored(Entry),
    /// Computed.
    Value(Value),
}

impl Answer {
    /// The object, parsed.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Answer::Stored(entry) => entry.value(),
            Answer::Value(value) => value,
        }
    }

    /// The object as JSON.
    pub(crate) fn into_json(self) -> Bytes {
        match self {
            Answer::Stored(entry) => entry.object(),
            // A `Value` has only string keys, so it always serialises.
            Answer::Value(value) => serde_json::to_vec(&value).unwrap_or_default().into(),
        }
    }
}

/// The outcome of a write.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) answer: Answer,
    /// HTTP status.
    pub(crate) code: u16,
    /// Texts of `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

/// Times are stored to the second.
pub(crate) fn seconds(time: Timestamp) -> String {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    let mut text = String::with_capacity(20);
    // Writing to a string cannot fail.
    let _ = DateTimePrinter::new().print_timestamp(&whole, &mut text);
    text
}

/// A member of `metadata` that is text; empty if absent.
pub(crate) fn meta_text<'a>(object: &'a Value, member: &str) -> &'a str {
    object.get("metadata").and_then(|m| m.get(member)).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata`, made if it is missing. `None` if the object or its metadata are no objects.
pub(crate) fn meta_mut(object: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    object.as_object_mut()?.entry("metadata").or_insert_with(|| Value::Object(serde_json::Map::new())).as_object_mut()
}

/// Sets a member of `metadata`.
pub(crate) fn set_meta(object: &mut Value, member: &str, value: impl Into<Value>) {
    if let Some(meta) = meta_mut(object) {
        meta.insert(member.to_owned(), value.into());
    }
}

/// Removes a member of `metadata`.
pub(crate) fn remove_meta(object: &mut Value, member: &str) {
    if let Some(meta) = meta_mut(object) {
        meta.remove(member);
    }
}

/// Whether the list `metadata.finalizers` has entries.
pub(crate) fn has_finalizers(object: &Value) -> bool {
    object.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty())
}

/// A failure of the server itself.
pub(crate) fn internal(message: impl Into<String>) -> ApiError {
    let message = message.into();
    let details = serde_json::json!({ "causes": [{ "message": message }] });
    ApiError::new(500, "InternalError", format!("Internal error occurred: {message}")).with_details(details)
}

impl ApiServer {
    /// Reads one object.
    pub(crate) fn get(&self, target: Target<'_>) -> Result<Entry, ApiError> {
        self.store().get(target.resource, &target.key()).ok_or_else(|| target.not_found())
    }

    /// Lists the present; that cannot expire, whatever the history holds.
    pub(crate) fn present(&self, resource: &Resource, page: Page<'_>) -> Result<Listing, ApiError> {
        self.store().list(resource, page).map_err(|_| internal("the history was overtaken while listing"))
    }

    /// The table's type of a resource.
    pub(crate) fn type_of(resource: &Resource) -> Result<&'static Type, ApiError> {
        schema::type_of(resource.group, resource.version, resource.kind)
            .ok_or_else(|| internal(format!("no type is known for {}", resource.kind)))
    }

    /// Serialises an object with what selectors need of it.
    pub(crate) fn draft(resource: &Resource, object: &Value) -> (Draft, Arc<crate::selector::Facts>) {
        (Draft::encode(object), Arc::new(facts(resource, object)))
    }

    /// Whether a namespace is on its way out; `None` if there is no such namespace.
    pub(crate) fn namespace_is_terminating(&self, name: &str) -> Option<bool> {
        let namespaces = crate::resource::by_qualified("namespaces")?;
        self.store().get(namespaces, name).map(|entry| entry.facts.field(0) == "Terminating")
    }
}

impl Lookup for ApiServer {
    fn get(&self, qualified: &str, namespace: &str, name: &str) -> Option<Value> {
        let resource = crate::resource::by_qualified(qualified)?;
        self.store().get(resource, &key(resource, namespace, name)).map(|entry| entry.value())
    }

    fn list(&self, qualified: &str, namespace: &str) -> Vec<Value> {
        let Some(resource) = crate::resource::by_qualified(qualified) else { return Vec::new() };
        let page = Page { namespace, ..Page::default() };
        self.store()
            .list(resource, page)
            .map(|listing| listing.items.iter().map(|(_, entry)| entry.value()).collect())
            .unwrap_or_default()
    }
}
