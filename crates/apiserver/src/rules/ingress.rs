//! What an ingress must be: hosts, paths and the backends they lead to. Entry point: [`validate`].

use serde_json::Value;

use super::metadata;
use super::names;
use super::path::{Errors, Path};
use super::value::{get, has, int, items, opt_text, text};

/// What is wrong with an ingress.
pub(crate) fn validate(ingress: &Value, errors: &mut Errors) {
    metadata::validate(ingress, true, names::subdomain, errors);
    let spec = get(ingress, "spec");
    let path = Path::new("spec");
    let default = get(spec, "defaultBackend");
    let rules = items(spec, "rules");
    if rules.is_empty() && default.is_null() {
        errors.invalid(&path, Value::Null, "either `defaultBackend` or `rules` must be specified");
    }
    if !default.is_null() {
        backend(default, &path.child("defaultBackend"), errors);
    }
    let list = path.child("rules");
    for (i, rule) in rules.iter().enumerate() {
        let path = list.index(i);
        let host = text(rule, "host");
        if names::parse_ip(host).is_some() {
            errors.invalid(&path.child("host"), host, "must be a DNS name, not an IP address");
        }
        if !host.is_empty() && !host.contains('*') {
            errors.invalid_each(&path.child("host"), host, names::subdomain(host));
        }
        let http = get(rule, "http");
        if !http.is_null() {
            let path = path.child("http");
            routes(items(http, "paths"), &path.child("paths"), errors);
        }
    }
    if let Some(class) = opt_text(spec, "ingressClassName") {
        errors.invalid_each(&path.child("ingressClassName"), class, names::subdomain(class));
    }
}

/// What is wrong with a change of an ingress.
pub(crate) fn validate_update(subresource: &str, ingress: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(ingress, old, errors);
    if subresource.is_empty() {
        validate(ingress, errors);
    }
}

fn routes(routes: &[Value], list: &Path<'_>, errors: &mut Errors) {
    if routes.is_empty() {
        errors.required(list, "");
    }
    for (i, route) in routes.iter().enumerate() {
        let path = list.index(i);
        let Some(kind) = opt_text(route, "pathType") else {
            errors.required(&path.child("pathType"), "pathType must be specified");
            continue;
        };
        let shown = text(route, "path");
        let shown_path = path.child("path");
        match kind {
            "Exact" | "Prefix" => {
                if !shown.starts_with('/') {
                    errors.invalid(&shown_path, shown, "must be an absolute path");
                }
                for sequence in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|s| shown.contains(**s)) {
                    errors.invalid(&shown_path, shown, &format!("must not contain '{sequence}'"));
                }
                for suffix in ["/..", "/."].iter().filter(|s| shown.ends_with(**s)) {
                    errors.invalid(&shown_path, shown, &format!("cannot end with '{suffix}'"));
                }
            }
            "ImplementationSpecific" => {
                if !shown.is_empty() && !shown.starts_with('/') {
                    errors.invalid(&shown_path, shown, "must be an absolute path");
                }
            }
            kind => {
                errors.not_supported(&path.child("pathType"), kind, &["Exact", "ImplementationSpecific", "Prefix"]);
            }
        }
        backend(get(route, "backend"), &path.child("backend"), errors);
    }
}

fn backend(backend: &Value, path: &Path<'_>, errors: &mut Errors) {
    let service = get(backend, "service");
    match (has(backend, "resource"), service.is_null()) {
        (true, false) => errors.invalid(path, "", "cannot set both resource and service backends"),
        (true, true) => {}
        (false, true) => errors.invalid(path, "", "resource or service backend is required"),
        (false, false) => service_backend(service, path, errors),
    }
}

fn service_backend(service: &Value, path: &Path<'_>, errors: &mut Errors) {
    let service_path = path.child("service");
    match text(service, "name") {
        "" => errors.required(&service_path.child("name"), ""),
        name => errors.invalid_each(&service_path.child("name"), name, names::label(name)),
    }
    let port = get(service, "port");
    let port_path = service_path.child("port");
    match (text(port, "name"), int(port, "number").unwrap_or(0)) {
        ("", 0) => errors.required(path, "port name or number is required"),
        ("", number) => {
            for detail in names::port_number(number) {
                errors.invalid(&port_path.child("number"), number, &detail);
            }
        }
        (name, 0) => errors.invalid_each(&port_path.child("name"), name, names::port_name(name)),
        _ => errors.invalid(path, "", "cannot set both port name & port number"),
    }
}
