//! Services: defaults, allocation of addresses and ports, validation.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::Context;
use super::config::endpoint_ip;
use super::containers::{port_reference, protocol};
use super::metadata;
use super::names;
use super::path::{Errors, Path};
use super::value::{
    default_text, default_to, entry, get, has, int, items, items_mut, opt_text, remove, set, take_over, text,
};
use crate::error::{ApiError, FieldError};

/// The addresses that services may have: 10.0.0.0/16. Those below the first are left to services that ask for one.
const FIRST_ADDRESS: u32 = u32::from_be_bytes([10, 0, 16, 1]);
const LAST_ADDRESS: u32 = u32::from_be_bytes([10, 0, 255, 254]);
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;
const FAMILY_POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

fn is_externally_accessible(spec: &Value) -> bool {
    matches!(text(spec, "type"), "LoadBalancer" | "NodePort")
        || (text(spec, "type") == "ClusterIP" && !items(spec, "externalIPs").is_empty())
}

fn needs_health_check(spec: &Value) -> bool {
    text(spec, "type") == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

fn needs_node_ports(spec: &Value) -> bool {
    match text(spec, "type") {
        "NodePort" => true,
        "LoadBalancer" => get(spec, "allocateLoadBalancerNodePorts") != &Value::Bool(false),
        _ => false,
    }
}

fn is_headless(spec: &Value) -> bool {
    matches!(items(spec, "clusterIPs"), [only] if only == "None")
}

/// Defaults of a service.
pub(crate) fn default(service: &mut Value) {
    let spec = entry(service, "spec");
    default_text(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => remove(spec, "sessionAffinityConfig"),
        "ClientIP" => {
            let config = entry(entry(spec, "sessionAffinityConfig"), "clientIP");
            default_to(config, "timeoutSeconds", 10800);
        }
        _ => {}
    }
    default_text(spec, "type", "ClusterIP");
    for port in items_mut(spec, "ports") {
        default_text(port, "protocol", "TCP");
        let target = get(port, "targetPort");
        if target.is_null() || target == &json!(0) || target == &json!("") {
            let number = get(port, "port").clone();
            set(port, "targetPort", number);
        }
    }
    if is_externally_accessible(spec) {
        default_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(text(spec, "type"), "NodePort" | "LoadBalancer" | "ClusterIP") {
        default_to(spec, "internalTrafficPolicy", "Cluster");
    }
    if text(spec, "type") == "LoadBalancer" {
        default_to(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// A new service has no status.
pub(crate) fn prepare_create(service: &mut Value) {
    set(service, "status", json!({ "loadBalancer": {} }));
}

/// What an update keeps, what it may leave out, and what goes with a change of the type.
pub(crate) fn prepare(subresource: &str, service: &mut Value, old: &Value) {
    if subresource == "status" {
        take_over(service, "spec", old);
        return;
    }
    take_over(service, "status", old);
    let old_spec = get(old, "spec");
    let spec = entry(service, "spec");
    let needs_ip = |spec: &Value| text(spec, "type") != "ExternalName";
    if needs_ip(old_spec) && !needs_ip(spec) {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if get(spec, key) == get(old_spec, key) {
                remove(spec, key);
            }
        }
    }
    let on_nodes = |spec: &Value| matches!(text(spec, "type"), "NodePort" | "LoadBalancer");
    if on_nodes(old_spec) && !on_nodes(spec) {
        for port in items_mut(spec, "ports") {
            remove(port, "nodePort");
        }
    }
    if needs_health_check(old_spec) && !needs_health_check(spec) {
        remove(spec, "healthCheckNodePort");
    }
    if text(old_spec, "type") == "LoadBalancer" && text(spec, "type") != "LoadBalancer" {
        for key in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if get(spec, key) == get(old_spec, key) {
                remove(spec, key);
            }
        }
    }
    if is_externally_accessible(old_spec)
        && !is_externally_accessible(spec)
        && get(spec, "externalTrafficPolicy") == get(old_spec, "externalTrafficPolicy")
    {
        remove(spec, "externalTrafficPolicy");
    }
    if text(spec, "type") != "LoadBalancer" {
        set(service, "status", json!({ "loadBalancer": {} }));
    }
}

/// An update that leaves allocated values out keeps them.
pub(crate) fn keep_allocated(service: &mut Value, old: &Value) {
    let old_spec = get(old, "spec");
    let spec = entry(service, "spec");
    let has_ip = |spec: &Value| text(spec, "type") != "ExternalName";
    if has_ip(old_spec) && has_ip(spec) {
        if text(spec, "clusterIP").is_empty() {
            take_over(spec, "clusterIP", old_spec);
            if items(spec, "clusterIPs").is_empty() {
                take_over(spec, "clusterIPs", old_spec);
            }
        }
        for key in ["ipFamilies", "ipFamilyPolicy"] {
            if !has(spec, key) {
                take_over(spec, key, old_spec);
            }
        }
    }
    let on_nodes = |spec: &Value| matches!(text(spec, "type"), "NodePort" | "LoadBalancer");
    if on_nodes(old_spec) && on_nodes(spec) {
        let key = |port: &Value| (text(port, "protocol").to_owned(), int(port, "port"));
        let taken: Vec<Value> =
            items(spec, "ports").iter().map(|p| get(p, "nodePort").clone()).filter(|p| !p.is_null()).collect();
        for port in items_mut(spec, "ports") {
            if int(port, "nodePort").unwrap_or(0) == 0
                && let Some(before) = items(old_spec, "ports").iter().find(|p| key(p) == key(port))
                && !taken.contains(get(before, "nodePort"))
            {
                take_over(port, "nodePort", before);
            }
        }
    }
    if needs_health_check(old_spec) && needs_health_check(spec) && int(spec, "healthCheckNodePort").unwrap_or(0) == 0 {
        take_over(spec, "healthCheckNodePort", old_spec);
    }
    one_and_many(spec, old_spec);
}

/// `clusterIP` and `clusterIPs` say the same.
fn one_and_many(spec: &mut Value, old_spec: &Value) {
    let one = text(spec, "clusterIP").to_owned();
    let many = items(spec, "clusterIPs").first().and_then(Value::as_str).unwrap_or("").to_owned();
    let changed = !old_spec.is_null() && one != text(old_spec, "clusterIP");
    let kept = get(spec, "clusterIPs") == get(old_spec, "clusterIPs");
    if !one.is_empty() && (many.is_empty() || (changed && kept)) {
        set(spec, "clusterIPs", json!([one]));
    } else if one.is_empty() && changed && kept {
        remove(spec, "clusterIPs");
    }
}

fn refused(service: &Value, error: FieldError) -> ApiError {
    ApiError::invalid("", "Service", text(get(service, "metadata"), "name"), &[error])
}

/// Gives a service the addresses and ports that it needs and does not bring along.
pub(crate) fn allocate(service: &mut Value, old: &Value, context: &Context<'_>) -> Result<(), ApiError> {
    if text(get(service, "spec"), "type") == "ExternalName" {
        return Ok(());
    }
    if old.is_null() {
        one_and_many(entry(service, "spec"), &Value::Null);
    }
    let spec = entry(service, "spec");
    if !has(spec, "ipFamilyPolicy") {
        set(spec, "ipFamilyPolicy", "SingleStack");
    }
    if items(spec, "ipFamilies").is_empty() {
        set(spec, "ipFamilies", json!(["IPv4"]));
    }
    let taken = taken_by_others(service, context);
    allocate_address(service, old, &taken)?;
    allocate_ports(service, old, &taken)
}

struct Taken {
    addresses: Vec<String>,
    ports: Vec<i64>,
}

fn taken_by_others(service: &Value, context: &Context<'_>) -> Taken {
    let meta = get(service, "metadata");
    let mut taken = Taken { addresses: Vec::new(), ports: Vec::new() };
    for other in context.lookup.list("services", "") {
        let other_meta = get(&other, "metadata");
        if text(other_meta, "name") == text(meta, "name") && text(other_meta, "namespace") == context.namespace {
            continue;
        }
        let spec = get(&other, "spec");
        taken.addresses.extend(items(spec, "clusterIPs").iter().filter_map(Value::as_str).map(str::to_owned));
        taken.ports.extend(items(spec, "ports").iter().filter_map(|p| int(p, "nodePort")).filter(|p| *p != 0));
        taken.ports.extend(int(spec, "healthCheckNodePort").filter(|p| *p != 0));
    }
    taken
}

fn allocate_address(service: &mut Value, old: &Value, taken: &Taken) -> Result<(), ApiError> {
    let given: Vec<String> =
        items(get(service, "spec"), "clusterIPs").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if given.iter().any(|ip| ip == "None") || (!old.is_null() && !items(get(old, "spec"), "clusterIPs").is_empty()) {
        return Ok(());
    }
    for address in &given {
        // What is no address is told of by validation.
        let Some(ip) = names::parse_ip(address) else { return Ok(()) };
        let why = match ip {
            std::net::IpAddr::V4(v4) if v4.octets()[..2] == [10, 0] => {
                if !taken.addresses.contains(address) {
                    continue;
                }
                "provided IP is already allocated".to_owned()
            }
            _ => format!("the provided IP ({ip}) is not in the valid range. The range of valid IPs is 10.0.0.0/16"),
        };
        let detail = format!("failed to allocate IP {ip}: {why}");
        return Err(refused(service, FieldError::invalid("spec.clusterIPs", &json!(given), &detail)));
    }
    if given.is_empty() {
        let free = (FIRST_ADDRESS..=LAST_ADDRESS)
            .map(|bits| Ipv4Addr::from(bits).to_string())
            .find(|ip| !taken.addresses.contains(ip))
            .ok_or_else(|| ApiError::new(500, "InternalError", "Internal error occurred: no service IP is free"))?;
        let spec = entry(service, "spec");
        set(spec, "clusterIP", free.as_str());
        set(spec, "clusterIPs", json!([free]));
    }
    Ok(())
}

fn allocate_ports(service: &mut Value, old: &Value, taken: &Taken) -> Result<(), ApiError> {
    let spec = get(service, "spec");
    let mut used = taken.ports.clone();
    let before: Vec<i64> = items(get(old, "spec"), "ports").iter().filter_map(|p| int(p, "nodePort")).collect();
    for (i, port) in items(spec, "ports").iter().enumerate() {
        let number = int(port, "nodePort").unwrap_or(0);
        if number == 0 || before.contains(&number) {
            continue;
        }
        let why = if !NODE_PORTS.contains(&number) {
            "provided port is not in the valid range. The range of valid ports is 30000-32767"
        } else if taken.ports.contains(&number) {
            "provided port is already allocated"
        } else {
            used.push(number);
            continue;
        };
        if text(spec, "type") == "ClusterIP" {
            // Validation says that it may not be set at all.
            return Ok(());
        }
        let field = format!("spec.ports[{i}].nodePort");
        return Err(refused(service, FieldError::invalid(field, &json!(number), why)));
    }
    used.extend(before);
    let mut next = || {
        let free = NODE_PORTS.clone().find(|port| !used.contains(port));
        used.extend(free);
        free.ok_or_else(|| ApiError::new(500, "InternalError", "Internal error occurred: no node port is free"))
    };
    let spec = entry(service, "spec");
    if needs_node_ports(spec) {
        for port in items_mut(spec, "ports") {
            if int(port, "nodePort").unwrap_or(0) == 0 {
                set(port, "nodePort", next()?);
            }
        }
    }
    if needs_health_check(spec) && int(spec, "healthCheckNodePort").unwrap_or(0) == 0 {
        set(spec, "healthCheckNodePort", next()?);
    }
    Ok(())
}

/// What is wrong with a service.
pub(crate) fn validate(service: &Value, errors: &mut Errors) {
    metadata::validate(service, true, names::label, errors);
    form(service, &Value::Null, errors);
}

/// What is wrong with a change of a service.
pub(crate) fn validate_update(subresource: &str, service: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(service, old, errors);
    let (spec, old_spec) = (get(service, "spec"), get(old, "spec"));
    if subresource == "status" {
        load_balancer(service, errors);
        return;
    }
    let path = Path::new("spec");
    let external = [spec, old_spec].iter().any(|spec| text(spec, "type") == "ExternalName");
    let headless = is_headless(spec) && is_headless(old_spec);
    if !external && !headless {
        addresses_kept(spec, old_spec, &path, errors);
    }
    if !external && !is_headless(spec) && !is_headless(old_spec) {
        let families = path.child("ipFamilies");
        let (new, before) = (items(spec, "ipFamilies"), items(old_spec, "ipFamilies"));
        for (new, old) in new.iter().zip(before) {
            if new != old {
                errors.invalid(&families.index(0), get(spec, "ipFamilies").clone(), "may not change once set");
            }
        }
    }
    let class = |spec: &Value| get(spec, "loadBalancerClass").clone();
    let balanced = [spec, old_spec].iter().all(|spec| text(spec, "type") == "LoadBalancer");
    if balanced && class(spec) != class(old_spec) {
        errors.invalid(&path.child("loadBalancerClass"), class(spec), "may not change once set");
    }
    let health = |spec: &Value| int(spec, "healthCheckNodePort").unwrap_or(0);
    if needs_health_check(spec) && needs_health_check(old_spec) && health(spec) != health(old_spec) {
        errors.forbidden(&path.child("healthCheckNodePort"), "field is immutable");
    }
    form(service, old, errors);
}

fn addresses_kept(spec: &Value, old_spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("clusterIPs");
    let (new, before) = (items(spec, "clusterIPs"), items(old_spec, "clusterIPs"));
    let shown = get(spec, "clusterIPs").clone();
    let changed = "may not change once set";
    if new.len() == before.len() {
        for (i, (new, old)) in new.iter().zip(before).enumerate() {
            if new != old {
                errors.invalid(&list.index(i), shown.clone(), changed);
            }
        }
    } else if new.is_empty() {
        errors.invalid(&list.index(0), shown, "primary clusterIP can not be unset");
    } else {
        if before.first().is_some_and(|old| new.first() != Some(old)) {
            errors.invalid(&list.index(0), shown, changed);
        }
        if new.len() == 1 && text(spec, "ipFamilyPolicy") != "SingleStack" {
            let detail = "must be set to 'SingleStack' when releasing the secondary clusterIP";
            errors.invalid(&path.child("ipFamilyPolicy"), get(spec, "ipFamilyPolicy").clone(), detail);
        }
    }
}

fn form(service: &Value, old: &Value, errors: &mut Errors) {
    let spec = get(service, "spec");
    let path = Path::new("spec");
    let kind = text(spec, "type");
    let ports = items(spec, "ports");
    if ports.is_empty() && !is_headless(spec) && kind != "ExternalName" {
        errors.required(&path.child("ports"), "");
    }
    let addresses = path.child("clusterIPs");
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(spec) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.invalid(&addresses.index(0), "None", &detail);
        }
        "ExternalName" => {
            for key in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if has(spec, key) {
                    errors.forbidden(&path.child(key), "may not be set for ExternalName services");
                }
            }
            let name = text(spec, "externalName");
            let name = name.strip_suffix('.').unwrap_or(name);
            if name.is_empty() {
                errors.required(&path.child("externalName"), "");
            } else {
                errors.invalid_each(&path.child("externalName"), name, names::subdomain(name));
            }
        }
        _ => {}
    }
    let list = path.child("ports");
    for (i, port) in ports.iter().enumerate() {
        let path = list.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            errors.invalid_each(&path.child("name"), name, names::label(name));
            if ports.iter().take(i).any(|p| text(p, "name") == name) {
                errors.duplicate(&path.child("name"), name);
            }
        } else if ports.len() > 1 {
            errors.required(&path.child("name"), "");
        }
        let number = int(port, "port").unwrap_or(0);
        for detail in names::port_number(number) {
            errors.invalid(&path.child("port"), number, &detail);
        }
        protocol(port, &path, errors);
        port_reference(get(port, "targetPort"), &path.child("targetPort"), errors);
        if let Some(protocol) = opt_text(port, "appProtocol") {
            errors.invalid_each(&path.child("appProtocol"), protocol, names::qualified(protocol));
        }
    }
    metadata::labels(get(spec, "selector"), &path.child("selector"), errors);
    session_affinity(spec, &path, errors);
    if kind != "ExternalName" {
        cluster_addresses(spec, old, &path, errors);
    }
    let list = path.child("externalIPs");
    for (i, ip) in items(spec, "externalIPs").iter().filter_map(Value::as_str).enumerate() {
        let broken = names::ip(ip);
        if broken.is_empty() {
            endpoint_ip(ip, &list.index(i), errors);
        }
        errors.invalid_each(&list.index(i), ip, broken);
    }
    if kind.is_empty() {
        errors.required(&path.child("type"), "");
    } else if !TYPES.contains(&kind) {
        errors.not_supported(&path.child("type"), kind, &TYPES);
    }
    ports_apart(spec, &path, errors);
    traffic(spec, &path, errors);
}

fn session_affinity(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let affinity = text(spec, "sessionAffinity");
    match affinity {
        "" => errors.required(&path.child("sessionAffinity"), ""),
        "None" | "ClientIP" => {}
        affinity => {
            errors.not_supported(&path.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
        }
    }
    let path = path.child("sessionAffinityConfig");
    let seconds = int(get(get(spec, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds");
    if affinity == "ClientIP"
        && let Some(seconds) = seconds.filter(|s| !(1..=86400).contains(s))
    {
        let path = path.child("clientIP");
        errors.invalid(&path.child("timeoutSeconds"), seconds, "must be greater than 0 and less than 86400");
    }
}

fn cluster_addresses(spec: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("clusterIPs");
    let many = items(spec, "clusterIPs");
    let one = text(spec, "clusterIP");
    let shown = || get(spec, "clusterIPs").clone();
    if one.is_empty() {
        if !many.is_empty() {
            errors.invalid(&list, shown(), "must be empty when `clusterIP` is not specified");
        }
    } else if many.is_empty() {
        errors.required(&list, "");
    } else if many.first().is_some_and(|first| first != one) {
        errors.invalid(&list, shown(), "first value must match `clusterIP`");
    }
    let families = items(spec, "ipFamilies");
    let families_path = path.child("ipFamilies");
    for (i, family) in families.iter().enumerate() {
        if family != "IPv4" && family != "IPv6" {
            errors.not_supported(&families_path.index(i), family.clone(), &["IPv4", "IPv6"]);
        }
        if families.iter().take(i).any(|f| f == family) {
            errors.duplicate(&families_path.index(i), family.clone());
        }
    }
    if let Some(policy) = opt_text(spec, "ipFamilyPolicy").filter(|p| !FAMILY_POLICIES.contains(p)) {
        errors.not_supported(&path.child("ipFamilyPolicy"), policy, &FAMILY_POLICIES);
    }
    let before = errors.len();
    let known = items(get(old, "spec"), "clusterIPs");
    for (i, ip) in many.iter().filter_map(Value::as_str).enumerate() {
        if i == 0 && ip == "None" {
            if many.len() > 1 {
                errors.invalid(&list, shown(), "'None' must be the first and only value");
            }
        } else if !known.iter().any(|k| k == ip) {
            errors.invalid_each(&list.index(i), ip, names::ip(ip));
        }
    }
    if many.len() > 2 {
        errors.invalid(&list, shown(), "may only hold up to 2 values");
    }
    if errors.len() > before {
        return;
    }
    let is_v6 = |ip: &Value| ip.as_str().is_some_and(|ip| ip.contains(':'));
    if let [first, second] = many
        && is_v6(first) == is_v6(second)
    {
        errors.invalid(&list, shown(), "may specify no more than one IP for each IP family");
    }
    if !is_headless(spec) {
        for (i, (ip, family)) in many.iter().zip(families).enumerate() {
            let family = family.as_str().unwrap_or("");
            if (family == "IPv4") == is_v6(ip) {
                let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
                errors.invalid(&list.index(i), ip.clone(), &detail);
            }
        }
    }
}

fn ports_apart(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let ports = items(spec, "ports");
    let list = path.child("ports");
    let node_port = |port: &Value| int(port, "nodePort").unwrap_or(0);
    if text(spec, "type") == "ClusterIP" {
        for (i, port) in ports.iter().enumerate() {
            if node_port(port) != 0 {
                let detail = "may not be used when `type` is 'ClusterIP'";
                errors.forbidden(&list.index(i).child("nodePort"), detail);
            }
        }
    }
    let alike = |a: &Value, b: &Value, number: fn(&Value) -> i64| {
        number(a) != 0 && text(a, "protocol") == text(b, "protocol") && number(a) == number(b)
    };
    for (i, port) in ports.iter().enumerate() {
        if ports.iter().take(i).any(|p| alike(port, p, |p| int(p, "nodePort").unwrap_or(0))) {
            errors.duplicate(&list.index(i).child("nodePort"), node_port(port));
        }
    }
    for (i, port) in ports.iter().enumerate() {
        if ports.iter().take(i).any(|p| alike(port, p, |p| int(p, "port").unwrap_or(0))) {
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                get(port, "protocol"),
                get(port, "port"),
            );
            errors.duplicate_text(&list.index(i), &shown);
        }
    }
}

fn traffic(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let balanced = text(spec, "type") == "LoadBalancer";
    let only = "may only be used when `type` is 'LoadBalancer'";
    let ranges = items(spec, "loadBalancerSourceRanges");
    let list = path.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() && !balanced {
        errors.forbidden(&list, only);
    }
    for (i, range) in ranges.iter().filter_map(Value::as_str).enumerate() {
        errors.invalid_each(&list.index(i), range.trim(), names::cidr(range.trim()));
    }
    if has(spec, "allocateLoadBalancerNodePorts") && !balanced {
        errors.forbidden(&path.child("allocateLoadBalancerNodePorts"), only);
    }
    if let Some(class) = opt_text(spec, "loadBalancerClass") {
        let path = path.child("loadBalancerClass");
        if balanced {
            errors.invalid_each(&path, class, names::qualified(class));
        } else {
            errors.forbidden(&path, only);
        }
    }
    let policy = text(spec, "externalTrafficPolicy");
    let policy_path = path.child("externalTrafficPolicy");
    if !is_externally_accessible(spec) {
        if !policy.is_empty() {
            errors.invalid(&policy_path, policy, "may only be set for externally-accessible services");
        }
    } else if policy.is_empty() {
        errors.required(&policy_path, "");
    } else if !matches!(policy, "Cluster" | "Local") {
        errors.not_supported(&policy_path, policy, &["Cluster", "Local"]);
    }
    let health = int(spec, "healthCheckNodePort").unwrap_or(0);
    if health != 0 && !needs_health_check(spec) {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.invalid(&path.child("healthCheckNodePort"), health, detail);
    }
    match opt_text(spec, "internalTrafficPolicy") {
        None if text(spec, "type") != "ExternalName" => errors.required(&path.child("internalTrafficPolicy"), ""),
        Some("Cluster" | "Local") | None => {}
        Some(policy) => {
            errors.not_supported(&path.child("internalTrafficPolicy"), policy, &["Cluster", "Local"]);
        }
    }
    let distributions = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    if let Some(distribution) = opt_text(spec, "trafficDistribution").filter(|d| !distributions.contains(d)) {
        errors.not_supported(&path.child("trafficDistribution"), distribution, &distributions);
    }
}

fn load_balancer(service: &Value, errors: &mut Errors) {
    let ingress = items(get(get(service, "status"), "loadBalancer"), "ingress");
    let path = Path::new("status");
    let path = path.child("loadBalancer");
    let list = path.child("ingress");
    if !ingress.is_empty() && text(get(service, "spec"), "type") != "LoadBalancer" {
        errors.forbidden(&list, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for (i, point) in ingress.iter().enumerate() {
        let path = list.index(i);
        let (ip, host) = (text(point, "ip"), text(point, "hostname"));
        if !ip.is_empty() {
            errors.invalid_each(&path.child("ip"), ip, names::ip(ip));
        }
        if !host.is_empty() {
            errors.invalid_each(&path.child("hostname"), host, names::subdomain(host));
            if names::parse_ip(host).is_some() {
                errors.invalid(&path.child("hostname"), host, "must be a DNS name, not an IP address");
            }
        }
    }
}
