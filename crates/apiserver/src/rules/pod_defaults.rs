//! What a pod (or a pod template) is filled in with. Entry points: [`pod`] and [`template`].

use serde_json::{Map, Value, json};

use super::resources::{is_huge_page, is_pod_level, sum_of_containers};
use super::value::{
    count, default_int, default_text, default_to, entries, entry, flag, get, get_mut, has, int, items, items_mut,
    object, remove, set, text,
};

/// A pod: the defaults of its spec, and those that only pods have.
pub(crate) fn pod(pod: &mut Value) {
    let spec = entry(pod, "spec");
    for list in ["containers", "initContainers"] {
        for container in items_mut(spec, list) {
            requests_from_limits(container);
        }
    }
    pod_level(spec);
    default_to(spec, "enableServiceLinks", true);
    if flag(spec, "hostNetwork") == Some(true) {
        host_network_ports(spec);
    }
    pod_spec(spec);
    if let Some(status) = get_mut(pod, "status") {
        one_and_many_ips(status);
    }
}

/// `podIP` is the first of `podIPs`; where they differ, the single one counts.
fn one_and_many_ips(status: &mut Value) {
    let one = text(status, "podIP");
    let first = items(status, "podIPs").first().map_or("", |first| text(first, "ip"));
    if one == first {
        return;
    }
    if one.is_empty() {
        let first = first.to_owned();
        set(status, "podIP", first);
    } else {
        let all = json!([{ "ip": one }]);
        set(status, "podIPs", all);
    }
}

/// The pod template of a workload: requests, ports of the host network and service links are left to the pods.
pub(crate) fn template(template: &mut Value) {
    pod_spec(entry(template, "spec"));
}

fn host_network_ports(spec: &mut Value) {
    for list in ["containers", "initContainers"] {
        for container in items_mut(spec, list) {
            for port in items_mut(container, "ports") {
                let container_port = int(port, "containerPort").unwrap_or(0);
                if container_port != 0 {
                    default_int(port, "hostPort", container_port);
                }
            }
        }
    }
}

fn pod_spec(spec: &mut Value) {
    drop_disabled(spec);
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "restartPolicy", "Always");
    if !has(spec, "securityContext") {
        set(spec, "securityContext", Map::new());
    }
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_text(spec, "schedulerName", "default-scheduler");
    for volume in items_mut(spec, "volumes") {
        self::volume(volume);
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items_mut(spec, list) {
            self::container(container);
        }
    }
}

/// Members of features that are off are dropped.
fn drop_disabled(spec: &mut Value) {
    remove(spec, "schedulingGroup");
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items_mut(spec, list) {
            if let Some(lifecycle) = get_mut(container, "lifecycle")
                && has(lifecycle, "stopSignal")
            {
                remove(lifecycle, "stopSignal");
                if count(container, "lifecycle") == 0 {
                    remove(container, "lifecycle");
                }
            }
        }
    }
}

fn container(container: &mut Value) {
    if text(container, "imagePullPolicy").is_empty() {
        let policy = pull_policy(text(container, "image"));
        set(container, "imagePullPolicy", policy);
    }
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
    if !has(container, "resources") {
        set(container, "resources", Map::new());
    }
    for port in items_mut(container, "ports") {
        default_text(port, "protocol", "TCP");
    }
    for variable in items_mut(container, "env") {
        if let Some(source) = get_mut(variable, "valueFrom")
            && let Some(field) = get_mut(source, "fieldRef")
        {
            default_text(field, "apiVersion", "v1");
        }
        if let Some(source) = get_mut(variable, "valueFrom")
            && let Some(file) = get_mut(source, "fileKeyRef")
        {
            default_to(file, "optional", false);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = get_mut(container, probe) {
            default_int(probe, "timeoutSeconds", 1);
            default_int(probe, "periodSeconds", 10);
            default_int(probe, "successThreshold", 1);
            default_int(probe, "failureThreshold", 3);
            handler(probe);
            if let Some(grpc) = get_mut(probe, "grpc") {
                default_to(grpc, "service", "");
            }
        }
    }
    if let Some(lifecycle) = get_mut(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(hook) = get_mut(lifecycle, hook) {
                handler(hook);
            }
        }
    }
}

fn handler(handler: &mut Value) {
    if let Some(http) = get_mut(handler, "httpGet") {
        default_text(http, "path", "/");
        default_text(http, "scheme", "HTTP");
    }
}

/// `Always` for the tag `latest`, which stands when there is neither tag nor digest.
fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        // With a digest, `latest` counts only when it is written.
        let before = image.split('@').next().unwrap_or("");
        let name = before.rsplit('/').next().unwrap_or("");
        return if name.ends_with(":latest") { "Always" } else { "IfNotPresent" };
    }
    let name = image.rsplit('/').next().unwrap_or("");
    match name.rsplit_once(':') {
        Some((_, tag)) if tag != "latest" => "IfNotPresent",
        // Not a legal reference: no tag is read from it.
        _ if image.is_empty() || image.trim() != image || name.bytes().any(|b| b.is_ascii_uppercase()) => {
            "IfNotPresent"
        }
        _ => "Always",
    }
}

fn volume(volume: &mut Value) {
    let has_source =
        volume.as_object().is_some_and(|v| v.iter().any(|(key, source)| key != "name" && !source.is_null()));
    if !has_source {
        set(volume, "emptyDir", Map::new());
        return;
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = get_mut(volume, source) {
            default_to(source, "defaultMode", 0o644);
            field_references(source);
        }
    }
    if let Some(projected) = get_mut(volume, "projected") {
        for source in items_mut(projected, "sources") {
            if let Some(token) = get_mut(source, "serviceAccountToken") {
                default_to(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = get_mut(source, "downwardAPI") {
                field_references(downward);
            }
        }
    }
    if let Some(host_path) = get_mut(volume, "hostPath") {
        default_to(host_path, "type", "");
    }
    if let Some(image) = get_mut(volume, "image") {
        let policy = pull_policy(text(image, "reference"));
        default_text(image, "pullPolicy", policy);
    }
    if let Some(ephemeral) = get_mut(volume, "ephemeral")
        && let Some(template) = get_mut(ephemeral, "volumeClaimTemplate")
    {
        default_to(entry(template, "spec"), "volumeMode", "Filesystem");
    }
    if let Some(iscsi) = get_mut(volume, "iscsi") {
        default_text(iscsi, "iscsiInterface", "default");
    }
    if let Some(rbd) = get_mut(volume, "rbd") {
        default_text(rbd, "pool", "rbd");
        default_text(rbd, "user", "admin");
        default_text(rbd, "keyring", "/etc/ceph/keyring");
    }
    if let Some(disk) = get_mut(volume, "azureDisk") {
        default_text(disk, "cachingMode", "ReadWrite");
        default_text(disk, "kind", "Shared");
        default_text(disk, "fsType", "ext4");
        default_to(disk, "readOnly", false);
    }
}

fn field_references(source: &mut Value) {
    for item in items_mut(source, "items") {
        if let Some(field) = get_mut(item, "fieldRef") {
            default_text(field, "apiVersion", "v1");
        }
    }
}

fn requests_from_limits(container: &mut Value) {
    let Some(resources) = get_mut(container, "resources") else { return };
    let missing: Vec<(String, Value)> = entries(resources, "limits")
        .filter(|(name, _)| get(resources, "requests").get(name.as_str()).is_none())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !missing.is_empty() {
        object(entry(resources, "requests")).extend(missing);
    }
}

/// A pod's own requests follow its containers' and its own limits; its limits of huge pages follow its containers'.
fn pod_level(spec: &mut Value) {
    if !has(spec, "resources") {
        return;
    }
    let own = get(spec, "resources");
    let (has_limits, has_requests) = (count(own, "limits") > 0, count(own, "requests") > 0);
    if !has_limits && !has_requests {
        return;
    }
    let mut limits: Vec<(String, Value)> = Vec::new();
    for (name, sum) in sum_of_containers(spec, "limits") {
        if is_huge_page(name) && !has(get(own, "requests"), name) && !has(get(own, "limits"), name) {
            limits.push((name.to_owned(), json!(sum.to_string())));
        }
    }
    let mut requests: Vec<(String, Value)> = Vec::new();
    if has_limits || !limits.is_empty() {
        for (name, sum) in sum_of_containers(spec, "requests") {
            if is_pod_level(name) && !is_huge_page(name) && !has(get(own, "requests"), name) {
                requests.push((name.to_owned(), json!(sum.to_string())));
            }
        }
        for (name, value) in entries(own, "limits").chain(limits.iter().map(|(name, value)| (name, value))) {
            let given = has(get(own, "requests"), name) || requests.iter().any(|(n, _)| n == name);
            if is_pod_level(name) && !given {
                requests.push((name.clone(), value.clone()));
            }
        }
    }
    let own = entry(spec, "resources");
    if !limits.is_empty() {
        object(entry(own, "limits")).extend(limits);
    }
    if !requests.is_empty() {
        object(entry(own, "requests")).extend(requests);
    }
}

/// What makes the pod's spec on creation: label keys to match become part of the selectors they stand beside.
pub(crate) fn merge_match_label_keys(pod: &mut Value) {
    let uses_keys =
        |term: &Value| !items(term, "matchLabelKeys").is_empty() || !items(term, "mismatchLabelKeys").is_empty();
    let spec = get(pod, "spec");
    let mut any = items(spec, "topologySpreadConstraints").iter().any(uses_keys);
    for kind in ["podAffinity", "podAntiAffinity"] {
        let affinity = super::value::at(spec, &["affinity", kind]);
        any |= items(affinity, "requiredDuringSchedulingIgnoredDuringExecution").iter().any(uses_keys);
        any |= items(affinity, "preferredDuringSchedulingIgnoredDuringExecution")
            .iter()
            .any(|term| uses_keys(get(term, "podAffinityTerm")));
    }
    if !any {
        return;
    }
    let labels = super::value::at(pod, &["metadata", "labels"]).clone();
    let spec = entry(pod, "spec");
    for constraint in items_mut(spec, "topologySpreadConstraints") {
        merge_keys(constraint, &labels);
    }
    if let Some(affinity) = get_mut(spec, "affinity") {
        for kind in ["podAffinity", "podAntiAffinity"] {
            let Some(affinity) = get_mut(affinity, kind) else { continue };
            for term in items_mut(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
                if let Some(term) = get_mut(term, "podAffinityTerm") {
                    merge_keys(term, &labels);
                }
            }
            for term in items_mut(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
                merge_keys(term, &labels);
            }
        }
    }
}

fn merge_keys(term: &mut Value, labels: &Value) {
    if !has(term, "labelSelector") {
        return;
    }
    let mut added: Vec<Value> = Vec::new();
    for (list, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in items(term, list).iter().filter_map(Value::as_str) {
            if let Some(value) = labels.get(key) {
                added.push(json!({ "key": key, "operator": operator, "values": [value] }));
            }
        }
    }
    if added.is_empty() {
        return;
    }
    let expressions = entry(entry(term, "labelSelector"), "matchExpressions");
    match expressions.as_array_mut() {
        Some(list) => list.extend(added),
        None => *expressions = Value::Array(added),
    }
}
