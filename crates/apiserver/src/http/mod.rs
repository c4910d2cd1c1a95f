//! The server over HTTP: one handler that reads a path, negotiates the answer's shape and calls a verb. Entry points:
//! [`ApiServer::router`], [`serve`].

mod discovery;
mod health;
mod list;
mod negotiate;
mod path;
mod query;
mod respond;
mod serve;
mod tls;
mod watch;
mod write;
mod yaml;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{ACCEPT, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request};

pub(crate) use query::{Query, decode};
pub use serve::serve;
pub use tls::{Identity, TlsError, serve_tls};

use self::negotiate::{Accepted, Discovery, Shape};
use self::path::{Path, ResourcePath};
use crate::access::{Attributes, AuthorizationMode, User, bearer};
use crate::error::ApiError;
use crate::kube_state_metrics;
use crate::openapi;
use crate::resource::Verbs;
use crate::server::ApiServer;
use crate::verbs::{Answer, Target};

/// What is known of a request beside its path.
struct Call<'a> {
    server: &'a ApiServer,
    query: Query,
    accepted: Accepted,
    /// Indent the answer.
    pretty: bool,
    user_agent: &'a str,
    /// Who asks.
    user: User,
}

impl ApiServer {
    /// The API as a service.
    pub fn router(&self) -> Router {
        Router::new().fallback(handle).with_state(self.clone())
    }
}

async fn handle(State(server): State<ApiServer>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let user_agent = header(headers, &USER_AGENT).unwrap_or_default();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let plain = Accepted { shape: Shape::Plain, yaml: false };
    let pretty = query.pretty(user_agent);
    let mut call = Call { server: &server, query, accepted: plain, pretty, user_agent, user: User::anonymous() };
    let decoded: Vec<String> =
        parts.uri.path().split('/').filter(|e| !e.is_empty()).map(|e| query::decode(e, false)).collect();
    let elements: Vec<&str> = decoded.iter().map(String::as_str).collect();
    if let Some(response) = debugging(&call, &parts.method, &elements, headers) {
        return response;
    }
    let asked = Attributes::of(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default());
    let admitted = server.admitted(&asked, headers);
    // Without roles nobody is asked for a token who only wants to know how the server is.
    if (admitted.is_ok() || server.0.options.authorization == AuthorizationMode::AlwaysAllow)
        && let Some(response) = outside_the_api(&call, &elements)
    {
        return response;
    }
    match admitted {
        Ok(user) => call.user = user,
        Err(error) => return respond::error(&call, &error),
    }
    if let Some(response) = scraped(&call, &parts.method, &elements) {
        return response;
    }
    let accept = header(headers, &ACCEPT);
    match path::parse(&elements) {
        Path::Nowhere => openapi_document(&call, &elements).unwrap_or_else(respond::page_not_found),
        Path::NoResource => respond::error(&call, &respond::no_resource()),
        Path::Resource(path) => {
            match negotiate::accept(accept) {
                Ok(accepted) => call.accepted = accepted,
                Err(error) => return respond::error(&call, &error),
            }
            let answered = on_resource(&call, &parts.method, &path, headers, body).await;
            // A write is answered when it is on disk, if objects are kept there.
            let answered = match answered {
                Ok(response) if parts.method != Method::GET => server.store().flushed().await.map(|()| response),
                answered => answered,
            };
            answered.unwrap_or_else(|error| respond::error(&call, &error))
        }
        document => discovery(&call, &parts.method, &document, headers),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Health and version.
fn outside_the_api(call: &Call<'_>, elements: &[&str]) -> Option<Response> {
    match elements {
        [endpoint @ ("healthz" | "livez" | "readyz")] => {
            let verbose = call.query.get("verbose").is_some();
            Some(health::check(endpoint, None, verbose).map_or_else(respond::page_not_found, |t| respond::text(200, t)))
        }
        [endpoint @ ("healthz" | "livez" | "readyz"), check] => Some(
            health::check(endpoint, Some(check), false)
                .map_or_else(respond::page_not_found, |text| respond::text(200, text)),
        ),
        ["version"] => Some(respond::document(call, 200, &health::version())),
        _ => None,
    }
}

/// What Prometheus scrapes: cAdvisor's page of a node, which its kubelet serves behind the proxy, and that of kube-state-metrics
/// at a path of this server's own.
fn scraped(call: &Call<'_>, method: &Method, elements: &[&str]) -> Option<Response> {
    let page = match elements {
        ["api", "v1", "nodes", node, "proxy", "metrics", "cadvisor"] => {
            let source = call.server.metrics_source();
            let unavailable =
                || ApiError::new(503, "ServiceUnavailable", format!("the kubelet of {node} does not answer"));
            source.and_then(|source| source.cadvisor(node)).ok_or_else(unavailable)
        }
        ["kube-state-metrics", "metrics"] => kube_state_metrics::page(call.server),
        _ => return None,
    };
    let page = if *method == Method::GET { page } else { Err(respond::method_not_allowed()) };
    Some(match page {
        Ok(page) => respond::with_type(200, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"), page),
        Err(error) => respond::error(call, &error),
    })
}

/// What has a token of its own.
fn debugging(call: &Call<'_>, method: &Method, elements: &[&str], headers: &HeaderMap) -> Option<Response> {
    let ["debug", "forget-history"] = elements else { return None };
    let token = call.server.0.options.debug_token.as_deref()?;
    if *method != Method::POST {
        return Some(respond::error(call, &respond::method_not_allowed()));
    }
    if bearer(headers) != Some(token) {
        return Some(respond::error(call, &ApiError::new(401, "Unauthorized", "Unauthorized")));
    }
    call.server.forget_history();
    Some(respond::text(200, "ok"))
}

fn openapi_document(call: &Call<'_>, elements: &[&str]) -> Option<Response> {
    match elements {
        // A real server serves the index as plain text.
        ["openapi", "v3"] => Some(respond::text(200, respond::serialize(call, &openapi::index()))),
        ["openapi", "v3", rest @ ..] => {
            openapi::document(&rest.join("/")).map(|document| respond::json_bytes(200, document))
        }
        _ => None,
    }
}

fn discovery(call: &Call<'_>, method: &Method, path: &Path<'_>, headers: &HeaderMap) -> Response {
    if *method != Method::GET {
        return respond::error(call, &respond::method_not_allowed());
    }
    let asked = negotiate::discovery(header(headers, &ACCEPT));
    let legacy = |document: Option<serde_json::Value>| match document {
        Some(document) => respond::document(call, 200, &document),
        None => respond::page_not_found(),
    };
    match (path, asked) {
        (Path::CoreVersions, Discovery::Aggregated(api)) => aggregated(call, api, &discovery::aggregated_core(api)),
        (Path::Groups, Discovery::Aggregated(api)) => aggregated(call, api, &discovery::aggregated_groups(api)),
        (Path::CoreVersions, Discovery::Legacy) => {
            legacy(Some(discovery::core_versions(header(headers, &HOST).unwrap_or_default())))
        }
        (Path::Groups, Discovery::Legacy) => legacy(Some(discovery::groups())),
        (Path::Group(name), _) => legacy(discovery::group(name)),
        (Path::GroupVersion(group, version), _) => legacy(Some(discovery::resources(group, version))),
        (Path::Resource(_) | Path::NoResource | Path::Nowhere, _) => respond::page_not_found(),
    }
}

fn aggregated(call: &Call<'_>, api: &str, document: &serde_json::Value) -> Response {
    let content_type = if api == "v2" {
        HeaderValue::from_static("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    } else {
        HeaderValue::from_static("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList")
    };
    respond::with_type(200, content_type, respond::serialize(call, document))
}

async fn on_resource(
    call: &Call<'_>,
    method: &Method,
    path: &ResourcePath<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let resource = path.resource;
    if path.watch && (*method != Method::GET || !path.subresource.is_empty()) {
        return Err(respond::method_not_allowed());
    }
    let stored = matches!(resource.verbs, Verbs::All | Verbs::NoDeleteCollection);
    match (method.as_str(), path.name, path.subresource) {
        ("GET" | "HEAD", "", _) | ("GET", _, "") if path.name.is_empty() || path.watch => {
            if resource.verbs == Verbs::Create {
                return Err(respond::method_not_allowed());
            }
            let name_field = format!("metadata.name={}", path.name);
            let mut options = call.query.list_options(path.watch)?;
            if !path.name.is_empty() {
                options.fields = &name_field;
            }
            if options.watch && resource.verbs != Verbs::Read {
                watch::watch(call, path, &options).await
            } else {
                list::list(call, path, &options).await
            }
        }
        ("GET" | "HEAD", _, part) => get(call, path, part).await,
        ("POST", "", _) if resource.verbs != Verbs::Read => write::create(call, path, headers, body).await,
        ("POST", _, part) if !part.is_empty() => write::create(call, path, headers, body).await,
        ("PUT", name, _) if stored && !name.is_empty() => write::update(call, path, headers, body).await,
        ("PATCH", name, _) if stored && !name.is_empty() => write::patch(call, path, headers, body).await,
        ("DELETE", "", _) if resource.verbs == Verbs::All => write::delete_collection(call, path, headers, body).await,
        ("DELETE", name, "") if stored && !name.is_empty() => write::delete(call, path, headers, body).await,
        _ => Err(respond::method_not_allowed()),
    }
}

async fn get(call: &Call<'_>, path: &ResourcePath<'_>, part: &str) -> Result<Response, ApiError> {
    let resource = path.resource;
    if let Some(subresource) = resource.subresource(part)
        && !subresource.verbs.contains(&"get")
    {
        return Err(respond::method_not_allowed());
    }
    let target = Target::new(resource, path.namespace, path.name);
    let answer = match (resource.verbs, part) {
        (Verbs::Create, _) => return Err(respond::method_not_allowed()),
        (Verbs::Read, _) => Answer::Value(crate::metrics::get(call.server, resource, path.namespace, path.name)?),
        (_, "scale") => Answer::Value(call.server.get_scale(target)?),
        (_, "log") => {
            call.server.get(target)?;
            let text = format!(
                "Logs are not simulated: the containers of {} in namespace {} run no programs.\n",
                path.name, path.namespace
            );
            return Ok(respond::text(200, text));
        }
        (_, "attach" | "exec" | "portforward" | "proxy") => {
            call.server.get(target)?;
            return Err(write::not_simulated(part));
        }
        (_, _) => {
            let version = call.query.text("resourceVersion");
            if !version.is_empty() {
                let wanted = list::revision(version)
                    .map_err(|why| ApiError::bad_request(format!("invalid resource version: {why}")))?;
                list::wait_for(call.server, wanted).await?;
            }
            Answer::Stored(call.server.get(target)?)
        }
    };
    Ok(respond::object(call, resource, 200, answer, &[]))
}

#[cfg(test)]
mod tests;
