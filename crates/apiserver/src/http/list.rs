//! Lists: resourceVersion semantics, pages with continue tokens, the shapes of the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Call;
use super::negotiate::Shape;
use super::path::ResourcePath;
use super::query::List;
use super::respond;
use crate::error::ApiError;
use crate::resource::{Resource, Verbs};
use crate::selector::Selector;
use crate::server::ApiServer;
use crate::store::{Entry, Page};
use crate::verbs::shown_shape;

/// How long a list waits for a revision that has not been reached.
const FUTURE_WAIT: Duration = Duration::from_secs(3);
/// A list is sent in pieces of about this size.
const CHUNK: usize = 256 << 10;

const EXPIRED_TOKEN: &str = "The provided continue parameter is too old to display a consistent list result. You can start \
    a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
    results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
    deleted between the time the first chunk was returned and now may show up in the list.";

/// Where a paged list goes on.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    v: String,
    /// The revision that all pages show; -1: the present.
    rv: i64,
    /// Continue after this key.
    start: String,
}

impl Token {
    fn encode(rv: i64, after: &str) -> String {
        let token = Token { v: "meta.k8s.io/v1".to_owned(), rv, start: format!("{after}\0") };
        // Plain strings and numbers always serialise.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        let invalid =
            |why: String| ApiError::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) => at,
                _ => text.len(),
            };
            invalid(format!("illegal base64 data at input byte {at}"))
        })?;
        let mut token: Token = serde_json::from_slice(&bytes).map_err(|e| invalid(e.to_string()))?;
        if token.v != "meta.k8s.io/v1" {
            return Err(invalid(format!("server does not recognize this encoded version \"{}\"", token.v)));
        }
        if token.rv == 0 {
            return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned()));
        }
        token.start.truncate(token.start.trim_end_matches('\0').len());
        Ok(token)
    }
}

/// One page of a list.
pub(super) struct Listed {
    pub(super) items: Vec<(Arc<str>, Entry)>,
    pub(super) revision: u64,
    continues: Option<String>,
    remaining: Option<usize>,
}

/// Reads a resourceVersion.
pub(super) fn revision(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        format!("resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax")
    })
}

/// Waits until a revision has been reached, for a while.
pub(super) async fn wait_for(server: &ApiServer, revision: u64) -> Result<(), ApiError> {
    let deadline = tokio::time::Instant::now() + FUTURE_WAIT;
    while server.store().revision() < revision {
        if tokio::time::Instant::now() >= deadline {
            let current = server.store().revision();
            let message = format!("Timeout: Too large resource version: {revision}, current: {current}");
            let cause = json!({ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" });
            let details = json!({ "causes": [cause], "retryAfterSeconds": 1 });
            return Err(ApiError::new(504, "Timeout", message).with_details(details));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Answers a list.
pub(super) async fn list(call: &Call<'_>, path: &ResourcePath<'_>, options: &List<'_>) -> Result<Response, ApiError> {
    let resource = path.resource;
    if resource.verbs == Verbs::Read {
        return measured(call, path, options);
    }
    if let Shape::Metadata(_) = call.accepted.shape {
        let package =
            if resource.group.is_empty() { "core" } else { resource.group.split('.').next().unwrap_or("core") };
        let why = format!(
            "you requested PartialObjectMetadata, but the requested object is a list (*{package}.{}List)",
            resource.kind
        );
        return Err(ApiError::new(406, "NotAcceptable", why));
    }
    let selector = Selector::parse(resource, options.labels, options.fields)?;
    let listed = page(call.server, path, options, &selector).await?;
    shaped(call, resource, &listed)
}

/// Collects the objects of one page.
pub(super) async fn page(
    server: &ApiServer,
    path: &ResourcePath<'_>,
    options: &List<'_>,
    selector: &Selector,
) -> Result<Listed, ApiError> {
    let invalid = |why| ApiError::bad_request(format!("invalid resource version: {why}"));
    let token = if options.continues.is_empty() {
        None
    } else {
        if !matches!(options.version, "" | "0") {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        Some(Token::decode(options.continues)?)
    };
    let wanted = if options.version.is_empty() { 0 } else { revision(options.version).map_err(invalid)? };
    wait_for(server, wanted).await?;
    let exact = options.version_match == "Exact";
    // The watch cache of a real server answers "any version" with everything.
    let limit = if options.version == "0" { None } else { options.limit };
    let at = match &token {
        Some(token) => u64::try_from(token.rv).ok(),
        None if exact => Some(wanted),
        None => None,
    };
    let after = token.as_ref().map(|t| t.start.as_str());
    let query = Page { namespace: path.namespace, after, at };
    let listing = server.store().list(path.resource, query).map_err(|_| expired(token.as_ref()))?;
    let mut items: Vec<(Arc<str>, Entry)> =
        listing.items.into_iter().filter(|(key, entry)| selector.matches(key, &entry.facts)).collect();
    let mut listed = Listed { items: Vec::new(), revision: listing.revision, continues: None, remaining: None };
    if let Some(limit) = limit
        && items.len() > limit
    {
        let left = items.len() - limit;
        items.truncate(limit);
        let last = items.last().map_or("", |(key, _)| key);
        let pinned = if token.as_ref().is_some_and(|t| t.rv < 0) {
            -1
        } else {
            i64::try_from(listing.revision).unwrap_or(i64::MAX)
        };
        listed.continues = Some(Token::encode(pinned, last));
        // With a selector a real server does not know how many are left.
        listed.remaining = selector.is_empty().then_some(left);
    }
    listed.items = items;
    Ok(listed)
}

fn expired(token: Option<&Token>) -> ApiError {
    let Some(token) = token else {
        return ApiError::new(410, "Expired", "The resourceVersion for the provided list is too old.");
    };
    ApiError::new(410, "Expired", EXPIRED_TOKEN).with_continue(Token::encode(-1, &token.start))
}

fn list_metadata(listed: &Listed) -> Value {
    let mut metadata = json!({ "resourceVersion": listed.revision.to_string() });
    if let Some(token) = &listed.continues {
        metadata["continue"] = json!(token);
    }
    if let Some(remaining) = listed.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    metadata
}

fn shown(resource: &Resource, entry: &Entry) -> Value {
    shown_shape(resource, entry.value())
}

pub(super) fn shaped(call: &Call<'_>, resource: &'static Resource, listed: &Listed) -> Result<Response, ApiError> {
    let metadata = list_metadata(listed);
    let values = || listed.items.iter().map(|(_, entry)| shown(resource, entry));
    let document = match call.accepted.shape {
        Shape::Table(version) => {
            let objects: Vec<Value> = values().collect();
            respond::table(call, resource, &objects, &metadata, version, true)?
        }
        Shape::MetadataList(version) => {
            let items: Vec<Value> = values().map(|object| respond::partial(&object, version)).collect();
            json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": metadata,
                // A Go slice without elements.
                "items": if items.is_empty() { Value::Null } else { Value::Array(items) },
            })
        }
        _ if call.pretty || call.accepted.yaml || respond::is_newer_event(resource) => {
            let items: Vec<Value> = values()
                .map(|mut object| {
                    if let Some(members) = object.as_object_mut() {
                        members.remove("kind");
                        members.remove("apiVersion");
                    }
                    object
                })
                .collect();
            json!({
                "kind": format!("{}List", resource.kind),
                "apiVersion": resource.api_version(),
                "metadata": metadata,
                "items": items,
            })
        }
        _ => return Ok(streamed(call, resource, &metadata, listed.items.clone())),
    };
    Ok(respond::document(call, 200, &document))
}

/// The list as it is, copied together from the stored objects; a long one is sent in pieces.
fn streamed(call: &Call<'_>, resource: &Resource, metadata: &Value, items: Vec<(Arc<str>, Entry)>) -> Response {
    let head = format!(
        "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
        resource.kind,
        resource.api_version()
    );
    let mut items = items.into_iter();
    let mut buffer = head.into_bytes();
    let mut first = true;
    let mut piece = move || -> Option<Bytes> {
        if buffer.is_empty() && items.len() == 0 {
            return None;
        }
        for (_, entry) in items.by_ref() {
            if !std::mem::take(&mut first) {
                buffer.push(b',');
            }
            buffer.push(b'{');
            buffer.extend_from_slice(entry.members());
            if buffer.len() >= CHUNK {
                break;
            }
        }
        if items.len() == 0 {
            buffer.extend_from_slice(b"]}\n");
        }
        Some(std::mem::take(&mut buffer).into())
    };
    let Some(start) = piece() else { return respond::json_bytes(200, Body::empty()) };
    if start.ends_with(b"]}\n") {
        return respond::with_type(200, respond::content_type(call), start);
    }
    let pieces = std::iter::once(start).chain(std::iter::from_fn(piece)).map(Ok::<_, std::convert::Infallible>);
    respond::with_type(200, respond::content_type(call), Body::from_stream(stream::iter(pieces)))
}

/// A list of `metrics.k8s.io`.
fn measured(call: &Call<'_>, path: &ResourcePath<'_>, options: &List<'_>) -> Result<Response, ApiError> {
    if options.watch {
        return Err(respond::method_not_allowed());
    }
    let resource = path.resource;
    let selector = Selector::parse(resource, options.labels, options.fields)?;
    let mut items = crate::metrics::list(call.server, resource, path.namespace);
    items.retain(|object| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let key = crate::verbs::key(resource, namespace, name);
        selector.matches(&key, &crate::selector::facts(resource, object))
    });
    let document = match call.accepted.shape {
        Shape::Table(version) => respond::table(call, resource, &items, &json!({}), version, true)?,
        _ => json!({
            "kind": format!("{}List", resource.kind),
            "apiVersion": resource.api_version(),
            "metadata": {},
            "items": items,
        }),
    };
    Ok(respond::document(call, 200, &document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_way_to_the_client_and_back() {
        let token = Token::decode(&Token::encode(7, "ns/a")).unwrap();
        assert_eq!((token.rv, token.start.as_str()), (7, "ns/a"));
        assert_eq!(
            Token::decode("garbage!").unwrap_err().message,
            "invalid continue token: continue key is not valid: illegal base64 data at input byte 7"
        );
    }
}
