//! Namespaces, config maps, secrets, service accounts and endpoints: preparation, validation.

use serde_json::{Value, json};

use super::metadata;
use super::names;
use super::path::{Errors, Path};
use super::value::{
    at, default_text, entries, entry, flag, get, has, int, items, items_mut, opt_text, remove, same, set, take_over,
    text,
};

/// Most that a config map or a secret may hold, in bytes.
const MAX_SIZE: usize = 1024 * 1024;
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const IMMUTABLE: &str = "field is immutable when `immutable` is set";

/// A namespace is labelled with its name.
pub(crate) fn default_namespace(namespace: &mut Value) {
    let name = text(get(namespace, "metadata"), "name").to_owned();
    if !name.is_empty() {
        set(entry(entry(namespace, "metadata"), "labels"), NAME_LABEL, name);
    }
    default_text(entry(namespace, "status"), "phase", "Active");
}

/// A new namespace is active and holds on to its content.
pub(crate) fn prepare_namespace_create(namespace: &mut Value) {
    set(namespace, "status", json!({ "phase": "Active" }));
    // A name that the server made is known only now.
    default_namespace(namespace);
    let finalizers = entry(entry(namespace, "spec"), "finalizers");
    match finalizers.as_array_mut() {
        Some(list) if list.iter().any(|f| f == "kubernetes") => {}
        Some(list) => list.push(json!("kubernetes")),
        None => *finalizers = json!(["kubernetes"]),
    }
}

/// What an update of a namespace keeps.
pub(crate) fn prepare_namespace(subresource: &str, namespace: &mut Value, old: &Value) {
    match subresource {
        "status" => take_over(namespace, "spec", old),
        "finalize" => take_over(namespace, "status", old),
        _ => {
            take_over(namespace, "spec", old);
            take_over(namespace, "status", old);
        }
    }
}

/// What is wrong with a namespace.
pub(crate) fn validate_namespace(namespace: &Value, errors: &mut Errors) {
    metadata::validate(namespace, false, names::label, errors);
    let path = Path::new("spec");
    let path = path.child("finalizers");
    for finalizer in items(get(namespace, "spec"), "finalizers").iter().filter_map(Value::as_str) {
        errors.invalid_each(&path, finalizer, names::qualified(finalizer));
        metadata::finalizer_form(finalizer, &path, errors);
    }
}

/// What is wrong with a change of a namespace.
pub(crate) fn validate_namespace_update(subresource: &str, namespace: &Value, old: &Value, errors: &mut Errors) {
    if subresource.is_empty() {
        validate_namespace(namespace, errors);
    }
    metadata::validate_update(namespace, old, errors);
    if subresource == "status" {
        let deleting = has(get(namespace, "metadata"), "deletionTimestamp");
        let phase = text(get(namespace, "status"), "phase");
        let (expected, is_empty) = if deleting { ("Terminating", "not empty") } else { ("Active", "empty") };
        if phase != expected {
            let path = Path::new("status");
            let detail = format!("may only be '{expected}' if `deletionTimestamp` is {is_empty}");
            errors.invalid(&path.child("Phase"), phase, &detail);
        }
    }
}

fn key(key: &str, path: &Path<'_>, errors: &mut Errors) {
    errors.invalid_each(&path.key(key), key, names::config_key(key));
}

/// Bytes that a base64 text stands for.
fn decoded_length(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// What is wrong with a config map.
pub(crate) fn validate_config_map(map: &Value, errors: &mut Errors) {
    metadata::validate(map, true, names::subdomain, errors);
    let mut size = 0;
    let path = Path::new("data");
    for (name, value) in entries(map, "data") {
        key(name, &path, errors);
        if get(map, "binaryData").get(name).is_some() {
            errors.invalid(&path.key(name), name.as_str(), "duplicate of key present in binaryData");
        }
        size += value.as_str().map_or(0, str::len);
    }
    let path = Path::new("binaryData");
    for (name, value) in entries(map, "binaryData") {
        key(name, &path, errors);
        size += value.as_str().map_or(0, decoded_length);
    }
    if size > MAX_SIZE {
        errors.too_long(&Path::new(""), MAX_SIZE);
    }
}

fn unchanged_if_immutable(object: &Value, old: &Value, members: &[&str], errors: &mut Errors) {
    if flag(old, "immutable") != Some(true) {
        return;
    }
    if flag(object, "immutable") != Some(true) {
        errors.forbidden(&Path::new("immutable"), IMMUTABLE);
    }
    for member in members {
        if !same(get(object, member), get(old, member)) {
            errors.forbidden(&Path::new(member), IMMUTABLE);
        }
    }
}

/// What is wrong with a change of a config map.
pub(crate) fn validate_config_map_update(_subresource: &str, map: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(map, old, errors);
    unchanged_if_immutable(map, old, &["data", "binaryData"], errors);
    validate_config_map(map, errors);
}

/// A secret's type; what is given as text is kept encoded.
pub(crate) fn default_secret(secret: &mut Value) {
    default_text(secret, "type", "Opaque");
    if !has(secret, "stringData") {
        return;
    }
    use base64::Engine;
    let given: Vec<(String, String)> = entries(secret, "stringData")
        .map(|(key, value)| {
            let text = value.as_str().unwrap_or("");
            (key.clone(), base64::engine::general_purpose::STANDARD.encode(text))
        })
        .collect();
    remove(secret, "stringData");
    for (key, value) in given {
        set(entry(secret, "data"), &key, value);
    }
}

/// What an update of a secret keeps.
pub(crate) fn prepare_secret(_subresource: &str, secret: &mut Value, old: &Value) {
    if text(secret, "type").is_empty() {
        take_over(secret, "type", old);
    }
}

/// What is wrong with a secret.
pub(crate) fn validate_secret(secret: &Value, errors: &mut Errors) {
    metadata::validate(secret, true, names::subdomain, errors);
    let path = Path::new("data");
    let mut size = 0;
    for (name, value) in entries(secret, "data") {
        key(name, &path, errors);
        size += value.as_str().map_or(0, decoded_length);
    }
    if size > MAX_SIZE {
        errors.too_long(&path, MAX_SIZE);
    }
    let data = get(secret, "data");
    let mut needs = |name: &str| {
        if !has(data, name) {
            errors.required(&path.key(name), "");
        }
    };
    match text(secret, "type") {
        "kubernetes.io/service-account-token" => {
            let name = "kubernetes.io/service-account.name";
            if text(at(secret, &["metadata", "annotations"]), name).is_empty() {
                let path = Path::new("metadata");
                let path = path.child("annotations");
                errors.required(&path.key(name), "");
            }
        }
        "kubernetes.io/dockercfg" => docker_config(data, ".dockercfg", &path, errors),
        "kubernetes.io/dockerconfigjson" => docker_config(data, ".dockerconfigjson", &path, errors),
        "kubernetes.io/basic-auth" if !has(data, "username") && !has(data, "password") => {
            needs("username");
            needs("password");
        }
        "kubernetes.io/ssh-auth" if text(data, "ssh-privatekey").is_empty() => {
            errors.required(&path.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            needs("tls.crt");
            needs("tls.key");
        }
        _ => {}
    }
}

fn docker_config(data: &Value, name: &str, path: &Path<'_>, errors: &mut Errors) {
    use base64::Engine;
    let Some(encoded) = opt_text(data, name) else {
        errors.required(&path.key(name), "");
        return;
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
    if let Err(why) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes) {
        errors.invalid(&path.key(name), "<secret contents redacted>", &why.to_string());
    }
}

/// What is wrong with a change of a secret.
pub(crate) fn validate_secret_update(_subresource: &str, secret: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(secret, old, errors);
    errors.immutable(&Path::new("type"), get(secret, "type"), get(old, "type"));
    unchanged_if_immutable(secret, old, &["data"], errors);
    validate_secret(secret, errors);
}

/// Defaults of endpoints.
pub(crate) fn default_endpoints(endpoints: &mut Value) {
    for subset in items_mut(endpoints, "subsets") {
        for port in items_mut(subset, "ports") {
            default_text(port, "protocol", "TCP");
        }
    }
}

/// What is wrong with endpoints.
pub(crate) fn validate_endpoints(endpoints: &Value, errors: &mut Errors) {
    metadata::validate(endpoints, true, names::subdomain, errors);
    let list = Path::new("subsets");
    for (i, subset) in items(endpoints, "subsets").iter().enumerate() {
        let path = list.index(i);
        let lists = ["addresses", "notReadyAddresses"];
        if lists.iter().all(|list| items(subset, list).is_empty()) {
            errors.required(&path, "must specify `addresses` or `notReadyAddresses`");
        }
        for list in lists {
            let list_path = path.child(list);
            for (j, address) in items(subset, list).iter().enumerate() {
                endpoint_address(address, &list_path.index(j), errors);
            }
        }
        let ports = items(subset, "ports");
        let list_path = path.child("ports");
        for (j, port) in ports.iter().enumerate() {
            let path = list_path.index(j);
            let name = text(port, "name");
            if !name.is_empty() {
                errors.invalid_each(&path.child("name"), name, names::label(name));
            } else if ports.len() > 1 {
                errors.required(&path.child("name"), "");
            }
            let number = int(port, "port").unwrap_or(0);
            for detail in names::port_number(number) {
                errors.invalid(&path.child("port"), number, &detail);
            }
            super::containers::protocol(port, &path, errors);
            if let Some(protocol) = opt_text(port, "appProtocol") {
                errors.invalid_each(&path.child("appProtocol"), protocol, names::qualified(protocol));
            }
        }
    }
}

fn endpoint_address(address: &Value, path: &Path<'_>, errors: &mut Errors) {
    let ip = text(address, "ip");
    errors.invalid_each(&path.child("ip"), ip, names::ip(ip));
    let host = text(address, "hostname");
    if !host.is_empty() {
        errors.invalid_each(&path.child("hostname"), host, names::label(host));
    }
    if let Some(node) = opt_text(address, "nodeName") {
        errors.invalid_each(&path.child("nodeName"), node, names::subdomain(node));
    }
    endpoint_ip(ip, &path.child("ip"), errors);
}

/// An address that can be reached from elsewhere.
pub(crate) fn endpoint_ip(ip_text: &str, path: &Path<'_>, errors: &mut Errors) {
    let Some(ip) = names::parse_ip(ip_text) else {
        errors.invalid(path, ip_text, "must be a valid IP address");
        return;
    };
    let (link_local, link_local_multicast) = match ip {
        std::net::IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        std::net::IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] == 0xff02),
    };
    if ip.is_unspecified() {
        errors.invalid(path, ip_text, &format!("may not be unspecified ({ip_text})"));
    }
    if ip.is_loopback() {
        errors.invalid(path, ip_text, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if link_local {
        errors.invalid(path, ip_text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_local_multicast {
        errors.invalid(path, ip_text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// What is wrong with a change of endpoints.
pub(crate) fn validate_endpoints_update(_subresource: &str, endpoints: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(endpoints, old, errors);
    validate_endpoints(endpoints, errors);
}
