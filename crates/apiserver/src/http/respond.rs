//! Answers: objects and errors as JSON, in the shape that was asked for, with `Warning` headers.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::negotiate::Shape;
use super::{Call, yaml};
use crate::error::ApiError;
use crate::printers::{self, IncludeObject, TableOptions};
use crate::resource::Resource;
use crate::verbs::{Answer, shown_shape};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer with a JSON body.
pub(super) fn json_bytes(code: u16, body: impl Into<Body>) -> Response {
    with_type(code, JSON, body)
}

/// An answer with a body of the given type.
pub(super) fn with_type(code: u16, content_type: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A plain text.
pub(super) fn text(code: u16, text: impl Into<Body>) -> Response {
    let mut response = with_type(code, HeaderValue::from_static("text/plain; charset=utf-8"), text);
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// 404 for a path outside the API.
pub(super) fn page_not_found() -> Response {
    text(404, "404 page not found\n")
}

/// A failure.
pub(super) fn error(call: &Call<'_>, error: &ApiError) -> Response {
    let body = serialize(call, &error.to_status());
    let mut response = with_type(error.code, content_type(call), body);
    if let Some(seconds) = error.details.get("retryAfterSeconds").and_then(Value::as_u64) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if error.code == 401 {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The failure for a method that the path does not have. As on a real server, no `Allow` header goes with it.
pub(super) fn method_not_allowed() -> ApiError {
    ApiError::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        .with_details(json!({}))
}

/// The failure for a resource that is not served.
pub(super) fn no_resource() -> ApiError {
    ApiError::new(404, "NotFound", "the server could not find the requested resource").with_details(json!({}))
}

pub(super) fn content_type(call: &Call<'_>) -> HeaderValue {
    if call.accepted.yaml { HeaderValue::from_static("application/yaml") } else { JSON }
}

/// Serialises a value, indented if that was asked for.
pub(super) fn serialize(call: &Call<'_>, value: &Value) -> Vec<u8> {
    if call.accepted.yaml {
        return yaml::write(value).into_bytes();
    }
    // A `Value` has only string keys, so it always serialises.
    if call.pretty {
        let mut body = serde_json::to_vec_pretty(value).unwrap_or_default();
        body.push(b'\n');
        body
    } else {
        serde_json::to_vec(value).unwrap_or_default()
    }
}

/// A document that has only one shape.
pub(super) fn document(call: &Call<'_>, code: u16, value: &Value) -> Response {
    with_type(code, content_type(call), serialize(call, value))
}

/// One object, in the shape that was asked for.
pub(super) fn object(call: &Call<'_>, resource: &Resource, code: u16, answer: Answer, warnings: &[String]) -> Response {
    let newer_event = is_newer_event(resource);
    let plain = matches!(call.accepted.shape, Shape::Plain) && !call.pretty && !call.accepted.yaml && !newer_event;
    let body: Bytes = if plain {
        answer.into_json()
    } else {
        let value = shown_shape(resource, answer.into_value());
        let is_status = value["kind"] == "Status";
        let shaped = match call.accepted.shape {
            _ if is_status => value,
            Shape::Plain => value,
            Shape::Table(version) => {
                let metadata = json!({ "resourceVersion": value["metadata"]["resourceVersion"] });
                match table(call, resource, &[value], &metadata, version, true) {
                    Ok(table) => table,
                    Err(failure) => return error(call, &failure),
                }
            }
            Shape::Metadata(version) => partial(&value, version),
            Shape::MetadataList(_) => {
                let why = format!(
                    "you requested PartialObjectMetadataList, but the requested object is not a list (*core.{})",
                    resource.kind
                );
                return error(call, &ApiError::new(406, "NotAcceptable", why));
            }
        };
        serialize(call, &shaped).into()
    };
    warned(with_type(code, content_type(call), body), warnings)
}

/// Adds `Warning` headers.
pub(super) fn warned(mut response: Response, warnings: &[String]) -> Response {
    let mut seen: Vec<&String> = Vec::new();
    for warning in warnings {
        if seen.contains(&warning) {
            continue;
        }
        seen.push(warning);
        let escaped: String = warning
            .chars()
            .flat_map(|c| match c {
                '"' => vec!['\\', '"'],
                '\\' => vec!['\\', '\\'],
                c if c.is_control() => vec![' '],
                c => vec![c],
            })
            .collect();
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{escaped}\"").as_bytes()) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

/// Whether objects of the resource are stored in another shape than they are shown.
pub(super) fn is_newer_event(resource: &Resource) -> bool {
    resource.is("events.k8s.io", "events")
}

/// The metadata of an object on their own.
pub(super) fn partial(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object["metadata"],
    })
}

/// A table of objects.
///
/// # Errors
/// 400 for an unknown `includeObject`.
pub(super) fn table(
    call: &Call<'_>,
    resource: &Resource,
    objects: &[Value],
    metadata: &Value,
    version: &'static str,
    columns: bool,
) -> Result<Value, ApiError> {
    let include = include_object(call)?;
    let options = TableOptions { include, version, columns, now: call.server.now() };
    Ok(printers::table(resource, objects, metadata, &options))
}

/// What `includeObject` asks for.
pub(super) fn include_object(call: &Call<'_>) -> Result<IncludeObject, ApiError> {
    match call.query.text("includeObject") {
        "" | "Metadata" => Ok(IncludeObject::Metadata),
        "None" => Ok(IncludeObject::None),
        "Object" => Ok(IncludeObject::Object),
        other => Err(ApiError::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: \"{other}\": must be 'Metadata', \
             'Object', 'None', or empty"
        ))),
    }
}
