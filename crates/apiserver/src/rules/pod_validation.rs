//! What is wrong with a pod, or with the template of one. Entry points: [`create`], [`template`], [`metadata_and_spec`].

use serde_json::Value;

use super::containers;
use super::metadata;
use super::names;
use super::path::{Errors, Path};
use super::resources::{container_requirements, pod_level_consistency, pod_requirements};
use super::scheduling;
use super::security;
use super::value::{at, flag, get, has, int, items, opt_text, text};
use super::volumes;

/// What a spec stands in.
#[derive(Debug, Clone, Copy)]
enum Of<'a> {
    Pod { name: &'a str },
    Template,
}

/// A new pod.
pub(crate) fn create(pod: &Value, errors: &mut Errors) {
    metadata_and_spec(pod, errors);
    let spec = get(pod, "spec");
    let path = Path::new("spec");
    if !items(spec, "ephemeralContainers").is_empty() {
        errors.forbidden(&path.child("ephemeralContainers"), "cannot be set on create");
    }
    if !text(spec, "nodeName").is_empty() && !items(spec, "schedulingGates").is_empty() {
        errors.forbidden(&path.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
}

/// The part of a pod's rules that holds for new and for changed pods.
pub(crate) fn metadata_and_spec(pod: &Value, errors: &mut Errors) {
    metadata::validate(pod, true, names::subdomain, errors);
    let meta = get(pod, "metadata");
    let spec = get(pod, "spec");
    security::pod_annotations(get(meta, "annotations"), spec, &Path::new("metadata").child("annotations"), errors);
    let path = Path::new("spec");
    pod_spec(spec, Of::Pod { name: text(meta, "name") }, &path, errors);
    if text(spec, "serviceAccountName").is_empty() {
        let list = path.child("volumes");
        for (i, volume) in items(spec, "volumes").iter().enumerate() {
            for (j, source) in items(get(volume, "projected"), "sources").iter().enumerate() {
                if has(source, "serviceAccountToken") {
                    let volume_path = list.index(i);
                    let projected = volume_path.child("projected");
                    let sources = projected.child("sources");
                    let detail = "must not be specified when serviceAccountName is not set";
                    errors.forbidden(&sources.index(j).child("serviceAccountToken"), detail);
                }
            }
        }
    }
    containers::validate_for_pod(spec, &path, errors);
}

/// The template of a workload.
pub(crate) fn template(template: &Value, path: &Path<'_>, errors: &mut Errors) {
    let meta = get(template, "metadata");
    let spec = get(template, "spec");
    metadata::labels(get(meta, "labels"), &path.child("labels"), errors);
    metadata::annotations(get(meta, "annotations"), &path.child("annotations"), errors);
    security::pod_annotations(get(meta, "annotations"), spec, &path.child("annotations"), errors);
    let path = path.child("spec");
    pod_spec(spec, Of::Template, &path, errors);
    if !items(spec, "ephemeralContainers").is_empty() {
        errors.forbidden(&path.child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

fn pod_spec(spec: &Value, of: Of<'_>, path: &Path<'_>, errors: &mut Errors) {
    if !has(spec, "terminationGracePeriodSeconds") {
        errors.required(&path.child("terminationGracePeriodSeconds"), "");
    }
    let pod_name = match of {
        Of::Pod { name } => name,
        Of::Template => "",
    };
    let usable = volumes::validate(spec, pod_name, path, errors);
    resource_claims(spec, path, errors);
    containers::validate(spec, &usable, path, errors);
    pod_resources(spec, path, errors);
    containers::host_network(spec, matches!(of, Of::Pod { .. }), path, errors);
    one_of(spec, "restartPolicy", &["Always", "OnFailure", "Never"], path, errors);
    one_of(spec, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], path, errors);
    scheduling::node_labels(spec, path, errors);
    security::pod(spec, path, errors);
    scheduling::affinity(spec, path, errors);
    dns_config(spec, path, errors);
    let gates = path.child("readinessGates");
    for (i, gate) in items(spec, "readinessGates").iter().enumerate() {
        let kind = text(gate, "conditionType");
        errors.invalid_each(&gates.index(i).child("conditionType"), kind, names::qualified(kind));
    }
    scheduling::gates(spec, path, errors);
    scheduling::spread_constraints(spec, path, errors);
    security::host_users(spec, path, errors);
    host_names(spec, path, errors);
    for key in ["serviceAccountName", "nodeName"] {
        let name = text(spec, key);
        if !name.is_empty() {
            errors.invalid_each(&path.child(key), name, names::subdomain(name));
        }
    }
    if let Some(deadline) = int(spec, "activeDeadlineSeconds") {
        for detail in names::in_range(deadline, 1, i64::from(i32::MAX)) {
            errors.invalid(&path.child("activeDeadlineSeconds"), deadline, &detail);
        }
    }
    for key in ["hostname", "subdomain"] {
        let name = text(spec, key);
        if !name.is_empty() {
            errors.invalid_each(&path.child(key), name, names::label(name));
        }
    }
    scheduling::tolerations(items(spec, "tolerations"), &path.child("tolerations"), errors);
    host_aliases(spec, path, errors);
    let class = text(spec, "priorityClassName");
    if !class.is_empty() {
        errors.invalid_each(&path.child("priorityClassName"), class, names::subdomain(class));
    }
    security::runtime_class(spec, path, errors);
    preemption_policy(spec, path, errors);
    let overhead = get(spec, "overhead");
    if !overhead.is_null() {
        let limits = serde_json::json!({ "limits": overhead });
        container_requirements(&limits, &[], &path.child("overhead"), errors);
    }
    operating_system(spec, path, errors);
    containers::env_files(spec, path, errors);
}

fn one_of(spec: &Value, key: &str, supported: &[&str], path: &Path<'_>, errors: &mut Errors) {
    match text(spec, key) {
        "" => errors.required(&path.child(key), ""),
        value if supported.contains(&value) => {}
        value => errors.not_supported(&path.child(key), value, supported),
    }
}

/// A preemption policy, of a pod or of a priority class.
pub(crate) fn preemption_policy(holder: &Value, path: &Path<'_>, errors: &mut Errors) {
    if has(holder, "preemptionPolicy") {
        one_of(holder, "preemptionPolicy", &["PreemptLowerPriority", "Never"], path, errors);
    }
}

fn pod_resources(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let resources = get(spec, "resources");
    if resources.is_null() {
        return;
    }
    let path = path.child("resources");
    if text(get(spec, "os"), "name") == "windows" {
        errors.forbidden(&path, "may not be set for a windows pod");
        return;
    }
    if has(resources, "claims") {
        errors.forbidden(&path.child("claims"), "claims may not be set for Resources at pod-level");
    }
    pod_requirements(resources, items(spec, "resourceClaims"), &path, errors);
    pod_level_consistency(spec, &path, errors);
}

fn resource_claims(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let claims = items(spec, "resourceClaims");
    let list = path.child("resourceClaims");
    for (i, claim) in claims.iter().enumerate() {
        let path = list.index(i);
        let name = text(claim, "name");
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if claims.iter().take(i).any(|c| text(c, "name") == name) {
            errors.duplicate(&path.child("name"), name);
        } else {
            errors.invalid_each(&path.child("name"), name, names::label(name));
        }
        let keys = ["resourceClaimName", "resourceClaimTemplateName"];
        match keys.map(|key| has(claim, key)) {
            [true, true] => {
                let detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.invalid(&path, claim.clone(), detail);
            }
            [false, false] => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.invalid(&path, claim.clone(), detail);
            }
            _ => {}
        }
        for key in keys {
            if let Some(name) = opt_text(claim, key) {
                errors.invalid_each(&path.child(key), name, names::subdomain(name));
            }
        }
    }
}

fn dns_config(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let config = get(spec, "dnsConfig");
    let path = path.child("dnsConfig");
    let servers = items(config, "nameservers");
    if text(spec, "dnsPolicy") == "None" {
        if config.is_null() {
            errors.required(&path, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if servers.is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.required(&path.child("nameservers"), detail);
            return;
        }
    }
    if config.is_null() {
        return;
    }
    let list = path.child("nameservers");
    if servers.len() > 3 {
        errors.invalid(&list, get(config, "nameservers").clone(), "must not have more than 3 nameservers");
    }
    for (i, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        errors.invalid_each(&list.index(i), server, names::ip(server));
    }
    let searches = items(config, "searches");
    let list = path.child("searches");
    if searches.len() > 32 {
        errors.invalid(&list, get(config, "searches").clone(), "must not have more than 32 search paths");
    }
    let length: usize = searches.iter().filter_map(Value::as_str).map(|s| s.len() + 1).sum();
    if length > 2048 + 1 {
        let detail = "must not have more than 2048 characters (including spaces) in the search list";
        errors.invalid(&list, get(config, "searches").clone(), detail);
    }
    for (i, search) in searches.iter().filter_map(Value::as_str).enumerate() {
        if search != "." {
            let search = search.strip_suffix('.').unwrap_or(search);
            errors.invalid_each(&list.index(i), search, names::subdomain_with_underscore(search));
        }
    }
    let list = path.child("options");
    for (i, option) in items(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            errors.required(&list.index(i), "must not be empty");
        }
    }
}

fn host_names(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(name) = opt_text(spec, "hostnameOverride") else { return };
    let path = path.child("hostnameOverride");
    if flag(spec, "setHostnameAsFQDN") == Some(true) {
        errors.forbidden(&path, "may not be specified when setHostnameAsFQDN is true");
    }
    if flag(spec, "hostNetwork") == Some(true) {
        errors.forbidden(&path, "may not be specified when hostNetwork is true");
    }
    if name.len() > 64 {
        errors.too_long(&path, 64);
    }
    errors.invalid_each(&path, name, names::subdomain(name));
}

fn host_aliases(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("hostAliases");
    for (i, alias) in items(spec, "hostAliases").iter().enumerate() {
        let path = list.index(i);
        let ip = text(alias, "ip");
        errors.invalid_each(&path.child("ip"), ip, names::ip(ip));
        let hosts = path.child("hostnames");
        for (j, host) in items(alias, "hostnames").iter().filter_map(Value::as_str).enumerate() {
            errors.invalid_each(&hosts.index(j), host, names::subdomain(host));
        }
    }
}

fn operating_system(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let os = get(spec, "os");
    if os.is_null() {
        return;
    }
    match text(os, "name") {
        "" => errors.required(&path.child("os").child("name"), ""),
        "linux" => {
            if has(at(spec, &["securityContext"]), "windowsOptions") {
                let context = path.child("securityContext");
                let detail = "windows options cannot be set for a linux pod";
                errors.forbidden(&context.child("windowsOptions"), detail);
            }
        }
        "windows" => {}
        name => errors.not_supported(&path.child("os"), name, &["linux", "windows"]),
    }
}
