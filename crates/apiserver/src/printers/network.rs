//! Rows of services, endpoints, ingresses and network policies.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{age_of, first_three, items, labels, name, number, selector, text};

/// Cells of a Service.
pub(super) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let ports: Vec<String> = items(&spec["ports"])
        .iter()
        .map(|p| match number(&p["nodePort"]) {
            node_port if node_port > 0 => format!("{}:{node_port}/{}", number(&p["port"]), text(&p["protocol"])),
            _ => format!("{}/{}", number(&p["port"]), text(&p["protocol"])),
        })
        .collect();
    let ports = if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") };
    vec![
        name(object),
        json!(text(&spec["type"])),
        json!(items(&spec["clusterIPs"]).first().map_or("<none>", text)),
        json!(external_ip(object)),
        json!(ports),
        age_of(object, now),
        json!(labels(&spec["selector"])),
    ]
}

fn external_ip(service: &Value) -> String {
    let spec = &service["spec"];
    let external: Vec<&str> = items(&spec["externalIPs"]).iter().map(text).collect();
    match text(&spec["type"]) {
        "ClusterIP" | "NodePort" if external.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => external.join(","),
        "LoadBalancer" => {
            let balancer = load_balancer(&service["status"]["loadBalancer"]);
            match (balancer.is_empty(), external.is_empty()) {
                (true, true) => "<pending>".to_owned(),
                (true, false) => external.join(","),
                (false, true) => balancer,
                (false, false) => format!("{balancer},{}", external.join(",")),
            }
        }
        "ExternalName" => text(&spec["externalName"]).to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// Addresses of a load balancer, sorted, each once.
fn load_balancer(status: &Value) -> String {
    let addresses: BTreeSet<&str> = items(&status["ingress"])
        .iter()
        .map(|i| if text(&i["ip"]).is_empty() { text(&i["hostname"]) } else { text(&i["ip"]) })
        .filter(|address| !address.is_empty())
        .collect();
    addresses.into_iter().collect::<Vec<_>>().join(",")
}

/// Cells of an Endpoints object.
pub(super) fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let subsets = items(&object["subsets"]);
    let mut list = Vec::new();
    for subset in subsets {
        let addresses = items(&subset["addresses"]);
        let ports = items(&subset["ports"]);
        if ports.is_empty() {
            list.extend(addresses.iter().map(|a| text(&a["ip"]).to_owned()));
        }
        for port in ports {
            list.extend(addresses.iter().map(|a| match text(&a["ip"]) {
                ip if ip.contains(':') => format!("[{ip}]:{}", number(&port["port"])),
                ip => format!("{ip}:{}", number(&port["port"])),
            }));
        }
    }
    let written = match (subsets.is_empty(), list.is_empty()) {
        (true, _) => "<none>".to_owned(),
        (false, true) => String::new(),
        (false, false) => first_three(&list),
    };
    vec![name(object), json!(written), age_of(object, now)]
}

/// Cells of an EndpointSlice.
pub(super) fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = items(&object["ports"])
        .iter()
        .map(|p| match (p["port"].as_i64(), p["name"].as_str()) {
            (Some(port), _) => port.to_string(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => "*".to_owned(),
        })
        .collect();
    let addresses: Vec<String> =
        items(&object["endpoints"]).iter().flat_map(|e| items(&e["addresses"])).map(|a| text(a).to_owned()).collect();
    vec![
        name(object),
        json!(text(&object["addressType"])),
        json!(first_three(&ports)),
        json!(first_three(&addresses)),
        age_of(object, now),
    ]
}

/// Cells of an Ingress.
pub(super) fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        json!(spec["ingressClassName"].as_str().unwrap_or("<none>")),
        json!(hosts(items(&spec["rules"]))),
        json!(load_balancer(&object["status"]["loadBalancer"])),
        json!(if items(&spec["tls"]).is_empty() { "80" } else { "80, 443" }),
        age_of(object, now),
    ]
}

fn hosts(rules: &[Value]) -> String {
    let mut list: Vec<&str> = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= list.len() == 3;
        let host = text(&rule["host"]);
        if !more && !host.is_empty() {
            list.push(host);
        }
    }
    match (list.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (false, false) => list.join(","),
        (false, true) => format!("{} + {} more...", list.join(","), rules.len() - list.len()),
    }
}

/// Cells of an IngressClass.
pub(super) fn ingress_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut shown = text(&object["metadata"]["name"]).to_owned();
    if object["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"] == "true" {
        shown.push_str(" (default)");
    }
    let parameters = match &object["spec"]["parameters"] {
        Value::Null => "<none>".to_owned(),
        parameters => match parameters["apiGroup"].as_str() {
            Some(group) => format!("{}.{group}/{}", text(&parameters["kind"]), text(&parameters["name"])),
            None => format!("{}/{}", text(&parameters["kind"]), text(&parameters["name"])),
        },
    };
    vec![json!(shown), json!(text(&object["spec"]["controller"])), json!(parameters), age_of(object, now)]
}

/// Cells of a NetworkPolicy.
pub(super) fn network_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(selector(&object["spec"]["podSelector"])), age_of(object, now)]
}

/// Cells of a ServiceCIDR.
pub(super) fn service_cidr(object: &Value, now: Timestamp) -> Vec<Value> {
    let cidrs: Vec<&str> = items(&object["spec"]["cidrs"]).iter().map(text).collect();
    vec![name(object), json!(cidrs.join(",")), age_of(object, now)]
}

/// Cells of an IPAddress: one more than it has columns, as the real server sends them.
pub(super) fn ip_address(object: &Value, now: Timestamp) -> Vec<Value> {
    let parent = match &object["spec"]["parentRef"] {
        Value::Null => "<none>".to_owned(),
        parent => {
            let resource = text(&parent["resource"]).to_lowercase();
            let qualified = match text(&parent["group"]) {
                "" => resource,
                group => format!("{resource}.{}", group.to_lowercase()),
            };
            match text(&parent["namespace"]) {
                "" => format!("{qualified}/{}", text(&parent["name"])),
                namespace => format!("{qualified}/{namespace}/{}", text(&parent["name"])),
            }
        }
    };
    vec![name(object), json!(parent), age_of(object, now)]
}
