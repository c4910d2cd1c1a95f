//! Containers of a pod: names, images, ports, environment, probes, hooks. Entry point: [`validate`].

use serde_json::Value;

use super::names;
use super::path::{Errors, Path};
use super::resources::container_requirements;
use super::security;
use super::value::{at, flag, get, has, int, items, opt_text, text};
use super::volumes;

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const COMPUTE: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

struct Surroundings<'a> {
    spec: &'a Value,
    volumes: &'a [&'a Value],
    host_users: bool,
}

/// All containers of a pod's spec; `volumes` are those that may be mounted.
pub(crate) fn validate(spec: &Value, volumes: &[&Value], path: &Path<'_>, errors: &mut Errors) {
    let around = Surroundings { spec, volumes, host_users: security::uses_host_users(spec) };
    let containers = items(spec, "containers");
    let list = path.child("containers");
    if containers.is_empty() {
        errors.required(&list, "");
    }
    for (i, container) in containers.iter().enumerate() {
        let path = list.index(i);
        common(container, &around, &path, errors);
        let name = text(container, "name");
        if containers.iter().take(i).any(|c| text(c, "name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
        lifecycle(container, &around, &path, errors);
        probes(container, &around, &path, errors);
        restart_policy(container, &path, errors);
    }
    if !containers.is_empty() {
        host_ports(containers, &list, errors);
    }
    init_containers(&around, path, errors);
    ephemeral_containers(&around, path, errors);
}

fn init_containers(around: &Surroundings<'_>, path: &Path<'_>, errors: &mut Errors) {
    let containers = items(around.spec, "initContainers");
    let list = path.child("initContainers");
    for (i, container) in containers.iter().enumerate() {
        let path = list.index(i);
        common(container, around, &path, errors);
        restart_policy(container, &path, errors);
        let name = text(container, "name");
        let named = |c: &Value| text(c, "name") == name;
        let before = containers.iter().take(i).any(named) && !name.is_empty();
        if items(around.spec, "containers").iter().any(named) || before {
            errors.duplicate(&path.child("name"), name);
        }
        host_ports(std::slice::from_ref(container), &list, errors);
        let sidecar = text(container, "restartPolicy") == "Always";
        if sidecar {
            lifecycle(container, around, &path, errors);
            probes(container, around, &path, errors);
        } else {
            for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if has(container, key) {
                    let detail = "may not be set for init containers without restartPolicy=Always";
                    errors.forbidden(&path.child(key), detail);
                }
            }
            let policies = path.child("resizePolicy");
            for (j, policy) in items(container, "resizePolicy").iter().enumerate() {
                if text(policy, "restartPolicy") == "RestartContainer" {
                    let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                    errors.invalid(&policies.index(j).child("restartPolicy"), "RestartContainer", detail);
                }
            }
        }
    }
}

fn ephemeral_containers(around: &Surroundings<'_>, path: &Path<'_>, errors: &mut Errors) {
    let containers = items(around.spec, "ephemeralContainers");
    let list = path.child("ephemeralContainers");
    let others = || items(around.spec, "containers").iter().chain(items(around.spec, "initContainers"));
    for (i, container) in containers.iter().enumerate() {
        let path = list.index(i);
        common(container, around, &path, errors);
        padded_image(container, &path, errors);
        let name = text(container, "name");
        if others().chain(containers.iter().take(i)).any(|c| text(c, "name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
        let target = text(container, "targetContainerName");
        if !target.is_empty() && !others().any(|c| text(c, "name") == target) {
            errors.not_found(&path.child("targetContainerName"), target);
        }
        let detail = "cannot be set for an Ephemeral Container";
        for key in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy"] {
            if has(container, key) {
                errors.forbidden(&path.child(key), detail);
            }
        }
        if super::value::count(container, "resources") > 0 {
            errors.forbidden(&path.child("resources"), detail);
        }
        let mounts = path.child("volumeMounts");
        for (j, mount) in items(container, "volumeMounts").iter().enumerate() {
            for key in ["subPath", "subPathExpr"] {
                if !text(mount, key).is_empty() {
                    errors.forbidden(&mounts.index(j).child(key), detail);
                }
            }
        }
    }
}

fn common(container: &Value, around: &Surroundings<'_>, path: &Path<'_>, errors: &mut Errors) {
    let name = text(container, "name");
    if name.is_empty() {
        errors.required(&path.child("name"), "");
    } else {
        errors.invalid_each(&path.child("name"), name, names::label(name));
    }
    if text(container, "image").is_empty() {
        errors.required(&path.child("image"), "");
    }
    match text(container, "terminationMessagePolicy") {
        "File" | "FallbackToLogsOnError" => {}
        "" => errors.required(&path.child("terminationMessagePolicy"), ""),
        policy => {
            errors.not_supported(&path.child("terminationMessagePolicy"), policy, &["File", "FallbackToLogsOnError"]);
        }
    }
    ports(container, &path.child("ports"), errors);
    environment(container, path, errors);
    volumes::mounts(container, around.volumes, path, errors);
    volumes::devices(container, around.volumes, path, errors);
    match text(container, "imagePullPolicy") {
        "" => errors.required(&path.child("imagePullPolicy"), ""),
        policy if PULL_POLICIES.contains(&policy) => {}
        policy => errors.not_supported(&path.child("imagePullPolicy"), policy, &PULL_POLICIES),
    }
    let resources = get(container, "resources");
    if resources.as_object().is_some_and(|r| !r.is_empty()) {
        let claims = items(around.spec, "resourceClaims");
        container_requirements(resources, claims, &path.child("resources"), errors);
    }
    resize_policy(container, text(around.spec, "restartPolicy"), &path.child("resizePolicy"), errors);
    security::container(container, around.host_users, path, errors);
}

fn ports(container: &Value, list: &Path<'_>, errors: &mut Errors) {
    let ports = items(container, "ports");
    for (i, port) in ports.iter().enumerate() {
        let path = list.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            let broken = names::port_name(name);
            if broken.is_empty() && ports.iter().take(i).any(|p| text(p, "name") == name) {
                errors.duplicate(&path.child("name"), name);
            }
            errors.invalid_each(&path.child("name"), name, broken);
        }
        match int(port, "containerPort").unwrap_or(0) {
            0 => errors.required(&path.child("containerPort"), ""),
            number => port_number(number, &path.child("containerPort"), errors),
        }
        match int(port, "hostPort").unwrap_or(0) {
            0 => {}
            number => port_number(number, &path.child("hostPort"), errors),
        }
        protocol(port, &path, errors);
    }
}

fn port_number(number: i64, path: &Path<'_>, errors: &mut Errors) {
    for detail in names::port_number(number) {
        errors.invalid(path, number, &detail);
    }
}

/// The protocol of a port.
pub(crate) fn protocol(port: &Value, path: &Path<'_>, errors: &mut Errors) {
    match text(port, "protocol") {
        "" => errors.required(&path.child("protocol"), ""),
        protocol if PROTOCOLS.contains(&protocol) => {}
        protocol => errors.not_supported(&path.child("protocol"), protocol, &PROTOCOLS),
    }
}

/// A port by number or by name.
pub(crate) fn port_reference(port: &Value, path: &Path<'_>, errors: &mut Errors) {
    match port {
        Value::String(name) => errors.invalid_each(path, name, names::port_name(name)),
        port => port_number(port.as_i64().unwrap_or(0), path, errors),
    }
}

fn host_ports(containers: &[Value], list: &Path<'_>, errors: &mut Errors) {
    let mut taken: Vec<(&str, &str, i64)> = Vec::new();
    for (i, container) in containers.iter().enumerate() {
        let path = list.index(i);
        let ports_path = path.child("ports");
        for (j, port) in items(container, "ports").iter().enumerate() {
            let number = int(port, "hostPort").unwrap_or(0);
            if number == 0 {
                continue;
            }
            let key = (text(port, "protocol"), text(port, "hostIP"), number);
            if taken.contains(&key) {
                let shown = format!("{}/{}/{number}", key.0, key.1);
                errors.duplicate(&ports_path.index(j).child("hostPort"), shown);
            } else {
                taken.push(key);
            }
        }
    }
}

fn environment(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("env");
    for (i, variable) in items(container, "env").iter().enumerate() {
        let path = list.index(i);
        let name = text(variable, "name");
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else {
            errors.invalid_each(&path.child("name"), name, names::env_name(name));
        }
        value_source(variable, &path.child("valueFrom"), errors);
    }
    let list = path.child("envFrom");
    for (i, source) in items(container, "envFrom").iter().enumerate() {
        let path = list.index(i);
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            errors.invalid_each(&path.child("prefix"), prefix, names::env_name(prefix));
        }
        let mut sources = 0;
        for kind in ["configMapRef", "secretRef"] {
            let reference = get(source, kind);
            if reference.is_null() {
                continue;
            }
            sources += 1;
            let path = path.child(kind);
            let name = text(reference, "name");
            if name.is_empty() {
                errors.required(&path.child("name"), "");
            } else {
                errors.invalid_each(&path.child("name"), name, names::subdomain(&names::masked_prefix(name)));
            }
        }
        match sources {
            0 => errors.invalid(&list, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(&list, "", "may not have more than one field specified at a time"),
        }
    }
}

fn value_source(variable: &Value, path: &Path<'_>, errors: &mut Errors) {
    let source = get(variable, "valueFrom");
    if source.is_null() {
        return;
    }
    let mut sources = 0;
    let field = get(source, "fieldRef");
    if !field.is_null() {
        sources += 1;
        let allowed = [
            "metadata.name",
            "metadata.namespace",
            "metadata.uid",
            "spec.nodeName",
            "spec.serviceAccountName",
            "status.hostIP",
            "status.hostIPs",
            "status.podIP",
            "status.podIPs",
        ];
        field_reference(field, &allowed, &path.child("fieldRef"), errors);
    }
    let resource = get(source, "resourceFieldRef");
    if !resource.is_null() {
        sources += 1;
        resource_reference(resource, false, &path.child("resourceFieldRef"), errors);
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        let reference = get(source, kind);
        if reference.is_null() {
            continue;
        }
        sources += 1;
        let path = path.child(kind);
        let (name, key) = (text(reference, "name"), text(reference, "key"));
        errors.invalid_each(&path.child("name"), name, names::subdomain(name));
        if key.is_empty() {
            errors.required(&path.child("key"), "");
        } else {
            errors.invalid_each(&path.child("key"), key, names::config_key(key));
        }
    }
    sources += usize::from(has(source, "fileKeyRef"));
    if sources == 0 {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.invalid(path, "", detail);
    } else if !text(variable, "value").is_empty() {
        errors.invalid(path, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        errors.invalid(path, "", "may not have more than one field specified at a time");
    }
}

/// A field of the pod, by its path; `allowed` in alphabetical order.
pub(crate) fn field_reference(reference: &Value, allowed: &[&str], path: &Path<'_>, errors: &mut Errors) {
    let field = text(reference, "fieldPath");
    for key in ["apiVersion", "fieldPath"] {
        if text(reference, key).is_empty() {
            errors.required(&path.child(key), "");
            return;
        }
    }
    let subscript = field.split_once("['").and_then(|(base, rest)| Some((base, rest.strip_suffix("']")?)));
    let known = matches!(
        subscript.map_or(field, |(base, _)| base),
        "metadata.annotations"
            | "metadata.labels"
            | "metadata.name"
            | "metadata.namespace"
            | "metadata.uid"
            | "spec.nodeName"
            | "spec.restartPolicy"
            | "spec.serviceAccountName"
            | "spec.schedulerName"
            | "status.phase"
            | "status.hostIP"
            | "status.hostIPs"
            | "status.podIP"
            | "status.podIPs"
    );
    if !known || text(reference, "apiVersion") != "v1" {
        let version = text(reference, "apiVersion");
        let detail = if version == "v1" {
            format!("error converting fieldPath: field label not supported: {field}")
        } else {
            format!("error converting fieldPath: unsupported pod version: {version}")
        };
        errors.invalid(&path.child("fieldPath"), field, &detail);
        return;
    }
    match subscript {
        Some(("metadata.annotations", key)) => {
            errors.invalid_each(path, &key.to_lowercase(), names::qualified(&key.to_lowercase()));
        }
        Some(("metadata.labels", key)) => errors.invalid_each(path, key, names::qualified(key)),
        Some((base, _)) => errors.invalid(path, base, "does not support subscript"),
        None if !allowed.contains(&field) => errors.not_supported(&path.child("fieldPath"), field, allowed),
        None => {}
    }
}

/// An amount of a container's resources.
pub(crate) fn resource_reference(reference: &Value, in_volume: bool, path: &Path<'_>, errors: &mut Errors) {
    let resource = text(reference, "resource");
    let huge = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if in_volume && text(reference, "containerName").is_empty() {
        errors.required(&path.child("containerName"), "");
    } else if resource.is_empty() {
        errors.required(&path.child("resource"), "");
    } else if !COMPUTE.contains(&resource) && !huge {
        errors.not_supported(&path.child("resource"), resource, &COMPUTE);
    }
    let divisor = text(reference, "divisor");
    if divisor.is_empty() || divisor == "0" {
        return;
    }
    let sizes = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"].contains(&divisor);
    let kind = match resource {
        "limits.cpu" | "requests.cpu" => {
            if !matches!(divisor, "1m" | "1") {
                let detail = "only divisor's values 1m and 1 are supported with the cpu resource";
                errors.invalid(&path.child("divisor"), resource, detail);
            }
            return;
        }
        "limits.memory" | "requests.memory" => "the memory resource",
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => "the local ephemeral storage resource",
        _ if huge => "the hugepages resource",
        _ => return,
    };
    if !sizes {
        let detail = format!(
            "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with {kind}"
        );
        errors.invalid(&path.child("divisor"), resource, &detail);
    }
}

fn grace_period(around: &Surroundings<'_>) -> Option<i64> {
    int(around.spec, "terminationGracePeriodSeconds")
}

fn lifecycle(container: &Value, around: &Surroundings<'_>, path: &Path<'_>, errors: &mut Errors) {
    let lifecycle = get(container, "lifecycle");
    if lifecycle.is_null() {
        return;
    }
    let path = path.child("lifecycle");
    for hook in ["postStart", "preStop"] {
        if has(lifecycle, hook) {
            handler(get(lifecycle, hook), grace_period(around), &path.child(hook), errors);
        }
    }
}

fn probes(container: &Value, around: &Surroundings<'_>, path: &Path<'_>, errors: &mut Errors) {
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = get(container, kind);
        if probe.is_null() {
            continue;
        }
        let path = path.child(kind);
        handler(probe, grace_period(around), &path, errors);
        for key in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
            errors.nonnegative(&path.child(key), int(probe, key));
        }
        let grace = int(probe, "terminationGracePeriodSeconds");
        let grace_path = path.child("terminationGracePeriodSeconds");
        if let Some(grace) = grace.filter(|g| *g <= 0) {
            errors.invalid(&grace_path, grace, "must be greater than 0");
        }
        if kind == "readinessProbe" {
            if let Some(grace) = grace {
                errors.invalid(&grace_path, grace, "must not be set for readinessProbes");
            }
        } else {
            let threshold = int(probe, "successThreshold").unwrap_or(0);
            if threshold != 1 {
                errors.invalid(&path.child("successThreshold"), threshold, "must be 1");
            }
        }
    }
}

fn handler(handler: &Value, grace_period: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    let mut found = false;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let action = get(handler, kind);
        if action.is_null() {
            continue;
        }
        let path = path.child(kind);
        if found {
            errors.forbidden(&path, "may not specify more than 1 handler type");
            continue;
        }
        found = true;
        match kind {
            "exec" => {
                if items(action, "command").is_empty() {
                    errors.required(&path.child("command"), "");
                }
            }
            "httpGet" => http_get(action, &path, errors),
            "sleep" => {
                let seconds = int(action, "seconds").unwrap_or(0);
                if let Some(grace) = grace_period
                    && (seconds < 0 || seconds > grace)
                {
                    let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    errors.invalid(&path, seconds, &detail);
                }
            }
            _ => port_reference(get(action, "port"), &path.child("port"), errors),
        }
    }
    if !found {
        errors.required(path, "must specify a handler type");
    }
}

fn http_get(action: &Value, path: &Path<'_>, errors: &mut Errors) {
    if text(action, "path").is_empty() {
        errors.required(&path.child("path"), "");
    }
    port_reference(get(action, "port"), &path.child("port"), errors);
    let scheme = text(action, "scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.not_supported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]);
    }
    for header in items(action, "httpHeaders") {
        let name = text(header, "name");
        errors.invalid_each(&path.child("httpHeaders"), name, names::http_header(name));
    }
}

fn resize_policy(container: &Value, restart_policy: &str, path: &Path<'_>, errors: &mut Errors) {
    let policies = items(container, "resizePolicy");
    for (i, policy) in policies.iter().enumerate() {
        let (name, restart) = (text(policy, "resourceName"), text(policy, "restartPolicy"));
        if policies.iter().take(i).any(|p| text(p, "resourceName") == name) {
            errors.duplicate(&path.index(i), name);
        }
        match name {
            "cpu" | "memory" => {}
            "" => errors.required(path, ""),
            name => errors.not_supported(path, name, &["cpu", "memory"]),
        }
        match restart {
            "NotRequired" | "RestartContainer" => {}
            "" => errors.required(path, ""),
            restart => errors.not_supported(path, restart, &["NotRequired", "RestartContainer"]),
        }
        if restart_policy == "Never" && restart != "NotRequired" {
            errors.invalid(path, restart, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

fn restart_policy(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    let rules = items(container, "restartPolicyRules");
    let policy_path = path.child("restartPolicy");
    match opt_text(container, "restartPolicy") {
        None if rules.is_empty() => return,
        None => errors.required(&policy_path, "must specify restartPolicy when restart rules are used"),
        Some("Always" | "Never" | "OnFailure") => {}
        Some(policy) => errors.not_supported(&policy_path, policy, &["Always", "Never", "OnFailure"]),
    }
    let list = path.child("restartPolicyRules");
    if rules.len() > 20 {
        errors.too_many(&list, rules.len(), 20);
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = list.index(i);
        let action = text(rule, "action");
        if !matches!(action, "Restart" | "RestartAllContainers") {
            errors.not_supported(&path.child("action"), action, &["Restart", "RestartAllContainers"]);
        }
        let codes = get(rule, "exitCodes");
        if codes.is_null() {
            errors.required(&path.child("exitCodes"), "must be specified");
            continue;
        }
        let path = path.child("exitCodes");
        let operator = text(codes, "operator");
        if !matches!(operator, "In" | "NotIn") {
            errors.not_supported(&path.child("operator"), operator, &["In", "NotIn"]);
        }
        let values = items(codes, "values").len();
        if values > 255 {
            errors.too_many(&path.child("values"), values, 255);
        }
    }
}

fn padded_image(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    let image = text(container, "image");
    if image.trim() != image {
        errors.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
    }
}

/// What only the containers of pods, not those of templates, are checked for.
pub(crate) fn validate_for_pod(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for kind in ["containers", "initContainers"] {
        let list = path.child(kind);
        for (i, container) in items(spec, kind).iter().enumerate() {
            padded_image(container, &list.index(i), errors);
        }
    }
}

/// On the host's network a container's ports are the host's.
pub(crate) fn host_network(spec: &Value, is_pod: bool, path: &Path<'_>, errors: &mut Errors) {
    if flag(spec, "hostNetwork") != Some(true) {
        return;
    }
    let list = path.child("containers");
    for (i, container) in items(spec, "containers").iter().enumerate() {
        let path = list.index(i);
        let ports = path.child("ports");
        for (j, port) in items(container, "ports").iter().enumerate() {
            let of = |key: &str| int(port, key).unwrap_or(0);
            let (host, own) = (of("hostPort"), of("containerPort"));
            if (is_pod || host != 0) && host != own {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.invalid(&ports.index(j).child("hostPort"), host, detail);
            }
        }
    }
}

/// Files of environment variables lie in volumes of the pod.
pub(crate) fn env_files(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        let list = path.child(kind);
        for (i, container) in items(spec, kind).iter().enumerate() {
            for (j, variable) in items(container, "env").iter().enumerate() {
                let reference = at(variable, &["valueFrom", "fileKeyRef"]);
                if reference.is_null() {
                    continue;
                }
                let name = text(reference, "volumeName");
                let container_path = list.index(i);
                let env = container_path.child("env");
                let variable_path = env.index(j);
                let source = variable_path.child("valueFrom");
                let reference_path = source.child("fileKeyRef");
                let path = reference_path.child("volumeName");
                match items(spec, "volumes").iter().find(|v| text(v, "name") == name) {
                    None => errors.not_found(&path, name),
                    Some(volume) if !has(volume, "emptyDir") => {
                        errors.invalid(&path, name, "referenced volume must be of type emptyDir");
                    }
                    Some(_) => {}
                }
            }
        }
    }
}
