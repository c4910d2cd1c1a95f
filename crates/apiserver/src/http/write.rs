//! Writes over HTTP: bodies and options are read, verbs called, outcomes shown.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;

use super::Call;
use super::negotiate::{BodyFormat, body_format};
use super::path::ResourcePath;
use super::query::Write;
use super::{header, respond};
use crate::error::ApiError;
use crate::resource::Verbs;
use crate::schema::{self, Decoded, Type};
use crate::selector::Selector;
use crate::server::ApiServer;
use crate::verbs::{DeleteOptions, PatchFormat, Target, WriteOptions, Written, delete_options_from};

/// Bytes that a body may have.
const BODY_LIMIT: usize = 3 << 20;

async fn read(body: Body) -> Result<Bytes, ApiError> {
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(ApiError::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {BODY_LIMIT}"))
                .with_details(json!({})))
        }
        Err(error) => Err(ApiError::bad_request(format!("the body cannot be read: {error}"))),
    }
}

/// What a path addresses, for the verbs.
fn target<'a>(path: &ResourcePath<'a>) -> Target<'a> {
    Target::new(path.resource, path.namespace, path.name).with_subresource(path.subresource)
}

fn write_options<'a>(call: &'a Call<'_>, write: &'a Write) -> WriteOptions<'a> {
    let agent = call.user_agent.split('/').next().unwrap_or_default();
    let manager = if write.manager.is_empty() { agent } else { &write.manager };
    let manager = if manager.is_empty() { "unknown" } else { manager };
    let Write { dry_run, validation, force, .. } = *write;
    WriteOptions { dry_run, manager, validation, force, user: Some(&call.user) }
}

fn decode(ty: &'static Type, format: BodyFormat, raw: &[u8], write: &Write) -> Result<Decoded, ApiError> {
    match format {
        BodyFormat::Json => schema::decode_json(ty, raw, write.validation),
        BodyFormat::Yaml => schema::decode_yaml(ty, raw, write.validation),
        BodyFormat::Protobuf => schema::decode_protobuf(ty, raw, write.validation),
    }
}

fn shown(call: &Call<'_>, path: &ResourcePath<'_>, written: Written, mut warnings: Vec<String>) -> Response {
    warnings.extend(written.warnings);
    respond::object(call, path.resource, written.code, written.answer, &warnings)
}

/// What has no processes behind it.
pub(super) fn not_simulated(part: &str) -> ApiError {
    let text = format!("{part} is not simulated: the containers of this cluster run no programs");
    ApiError::new(501, "NotImplemented", text).with_details(json!({}))
}

/// POST.
pub(super) async fn create(
    call: &Call<'_>,
    path: &ResourcePath<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let resource = path.resource;
    let part = resource.subresource(path.subresource);
    if path.subresource.is_empty() {
        if resource.namespaced && path.namespace.is_empty() {
            return Err(respond::method_not_allowed());
        }
    } else if !part.is_some_and(|p| p.verbs.contains(&"create")) {
        return Err(respond::method_not_allowed());
    }
    if matches!(path.subresource, "attach" | "exec" | "portforward" | "proxy") {
        call.server.get(Target::new(resource, path.namespace, path.name))?;
        return Err(not_simulated(path.subresource));
    }
    let raw = read(body).await?;
    let write = call.query.write_options("CreateOptions", false)?;
    let options = write_options(call, &write);
    let target = target(path);
    let server = call.server;
    let format = body_format(header(headers, &CONTENT_TYPE))?;
    let ty = ApiServer::type_at(target)?;
    let decoded = decode(ty, format, &raw, &write)?;
    let written = if !path.subresource.is_empty() {
        server.post_subresource(target, &decoded.object, &options)?
    } else if resource.verbs == Verbs::Create && resource.plural == "bindings" {
        server.post_binding(path.namespace, &decoded.object, &options)?
    } else if resource.verbs == Verbs::Create {
        server.review(resource, path.namespace, decoded.object, &options, &call.user)?
    } else {
        server.create(target, decoded.object, &options)?
    };
    Ok(shown(call, path, written, decoded.warnings))
}

/// PUT.
pub(super) async fn update(
    call: &Call<'_>,
    path: &ResourcePath<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    if path.resource.subresource(path.subresource).is_some_and(|p| !p.verbs.contains(&"update")) {
        return Err(respond::method_not_allowed());
    }
    if path.subresource == "proxy" {
        return Err(not_simulated(path.subresource));
    }
    let raw = read(body).await?;
    let write = call.query.write_options("UpdateOptions", false)?;
    let options = write_options(call, &write);
    let format = body_format(header(headers, &CONTENT_TYPE))?;
    let target = target(path);
    let decoded = decode(ApiServer::type_at(target)?, format, &raw, &write)?;
    let written = if path.subresource == "scale" {
        call.server.update_scale(target, &decoded.object, &options)?
    } else {
        call.server.update(target, decoded.object, &options)?
    };
    Ok(shown(call, path, written, decoded.warnings))
}

/// PATCH.
pub(super) async fn patch(
    call: &Call<'_>,
    path: &ResourcePath<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    if path.resource.subresource(path.subresource).is_some_and(|p| !p.verbs.contains(&"patch")) {
        return Err(respond::method_not_allowed());
    }
    if path.subresource == "proxy" {
        return Err(not_simulated(path.subresource));
    }
    let media = header(headers, &CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let format = match media {
        "application/json-patch+json" => PatchFormat::Json,
        "application/merge-patch+json" => PatchFormat::Merge,
        "application/strategic-merge-patch+json" => PatchFormat::Strategic,
        "application/apply-patch+yaml" => PatchFormat::Apply,
        _ => {
            let error = ApiError::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
            return Err(error.with_details(json!({})));
        }
    };
    let raw = read(body).await?;
    let write = call.query.write_options("PatchOptions", format == PatchFormat::Apply)?;
    let options = write_options(call, &write);
    let target = target(path);
    let written = if path.subresource == "scale" {
        call.server.patch_scale(target, format, &raw, &options)?
    } else {
        call.server.patch(target, format, &raw, &options)?
    };
    Ok(shown(call, path, written, Vec::new()))
}

/// The options of a deletion: the body, or the query if there is no body.
async fn delete_options(call: &Call<'_>, headers: &HeaderMap, body: Body) -> Result<DeleteOptions, ApiError> {
    let raw = read(body).await?;
    let options = if raw.is_empty() {
        call.query.delete_options()?
    } else {
        let format = body_format(header(headers, &CONTENT_TYPE))?;
        let ty = schema::type_of("meta.k8s.io", "v1", "DeleteOptions")
            .ok_or_else(|| ApiError::new(500, "InternalError", "no type is known for DeleteOptions"))?;
        let validation = schema::FieldValidation::Ignore;
        match format {
            BodyFormat::Json => schema::decode_json(ty, &raw, validation)?.object,
            BodyFormat::Yaml => schema::decode_yaml(ty, &raw, validation)?.object,
            BodyFormat::Protobuf => schema::decode_protobuf(ty, &raw, validation)?.object,
        }
    };
    delete_options_from(&options)
}

/// DELETE of an object.
pub(super) async fn delete(
    call: &Call<'_>,
    path: &ResourcePath<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let options = delete_options(call, headers, body).await?;
    let written = call.server.delete(target(path), &options)?;
    Ok(shown(call, path, written, Vec::new()))
}

/// DELETE of a collection: what it held is shown.
pub(super) async fn delete_collection(
    call: &Call<'_>,
    path: &ResourcePath<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let list = call.query.list_options(false)?;
    let options = delete_options(call, headers, body).await?;
    let resource = path.resource;
    let selector = Selector::parse(resource, list.labels, list.fields)?;
    let listed = super::list::page(call.server, path, &list, &selector).await?;
    for (key, _) in &listed.items {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        match call.server.delete(Target::new(resource, namespace, name), &options) {
            // Somebody else was faster.
            Err(error) if error.code == 404 => {}
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    super::list::shaped(call, resource, &listed)
}
