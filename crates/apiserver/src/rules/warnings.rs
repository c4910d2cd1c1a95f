//! Texts of `Warning` headers for objects that are valid and yet likely wrong. Entry points: one per kind.

use serde_json::Value;

use super::names;
use super::path::Path;
use super::resources::quantity;
use super::value::{at, entries, get, has, int, items, text};

const VOLUMES: [(&str, &str); 8] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

fn deprecated_label(key: &str) -> Option<&'static str> {
    Some(match key {
        "beta.kubernetes.io/arch" => "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        "beta.kubernetes.io/os" => "deprecated since v1.14; use \"kubernetes.io/os\" instead",
        "failure-domain.beta.kubernetes.io/region" => {
            "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"
        }
        "failure-domain.beta.kubernetes.io/zone" => {
            "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"
        }
        "beta.kubernetes.io/instance-type" => {
            "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"
        }
        "app.kubernetes.io/created-by" => "deprecated since v1.9",
        "scheduler.alpha.kubernetes.io/preferAvoidPods" => "deprecated since v1.22; use Taints and Tolerations instead",
        "node-role.kubernetes.io/master" => "use \"node-role.kubernetes.io/control-plane\" instead",
        _ => return None,
    })
}

/// A new pod.
pub(crate) fn pod(pod: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    if old.is_some() {
        return;
    }
    let name = text(get(pod, "metadata"), "name");
    let broken = names::label(name);
    if !broken.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is \
             recommended: [{}]",
            broken.join(" ")
        ));
    }
    pod_like(pod, &Path::ROOT, warnings);
}

fn host_name(object: &Value, warnings: &mut Vec<String>) {
    let broken = names::label(text(get(object, "metadata"), "name"));
    if !broken.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label \
             is recommended: [{}]",
            broken.join(" ")
        ));
    }
}

fn generation(object: &Value) -> i64 {
    int(get(object, "metadata"), "generation").unwrap_or(0)
}

fn template(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    if old.is_none_or(|old| generation(old) != generation(object)) {
        let spec = Path::new("spec");
        pod_like(at(object, &["spec", "template"]), &spec.child("template"), warnings);
    }
}

/// A deployment, a replica set or a job.
pub(crate) fn named_workload(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    if old.is_none() {
        host_name(object, warnings);
    }
    template(object, old, warnings);
}

/// A daemon set, whose pods' names come from their nodes.
pub(crate) fn daemon_set(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    template(object, old, warnings);
}

/// A stateful set.
pub(crate) fn stateful_set(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    template(object, old, warnings);
    let spec = get(object, "spec");
    let path = Path::new("spec");
    let list = path.child("volumeClaimTemplates");
    for (i, claim) in items(spec, "volumeClaimTemplates").iter().enumerate() {
        claim_spec(get(claim, "spec"), &list.index(i), warnings);
    }
    if int(spec, "revisionHistoryLimit").is_some_and(|limit| limit < 0) {
        warnings.push(
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
                .to_owned(),
        );
    }
}

/// A cron job.
pub(crate) fn cron_job(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    if old.is_none() {
        host_name(object, warnings);
    }
    if old.is_none_or(|old| generation(old) != generation(object)) {
        let path = Path::new("spec");
        let path = path.child("jobTemplate");
        let path = path.child("spec");
        pod_like(at(object, &["spec", "jobTemplate", "spec", "template"]), &path.child("template"), warnings);
    }
}

/// A node.
pub(crate) fn node(node: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    if !text(get(node, "spec"), "externalID").is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
}

/// A service.
pub(crate) fn service(service: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    let spec = get(service, "spec");
    let kind = text(spec, "type");
    let headless = kind == "ClusterIP" && text(spec, "clusterIP") == "None";
    let external = !items(spec, "externalIPs").is_empty();
    let mut warn = |broken: bool, text: &str| {
        if broken {
            warnings.push(text.to_owned());
        }
    };
    if headless {
        warn(!text(spec, "loadBalancerIP").is_empty(), "spec.loadBalancerIP is ignored for headless services");
        warn(external, "spec.externalIPs is ignored for headless services");
        warn(text(spec, "sessionAffinity") != "None", "spec.SessionAffinity is ignored for headless services");
    }
    warn(
        external && !headless && kind != "ExternalName",
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
    );
    warn(external && kind == "ExternalName", "spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    warn(
        kind != "ExternalName" && !text(spec, "externalName").is_empty(),
        "spec.externalName is ignored when spec.type is not \"ExternalName\"",
    );
    warn(
        text(spec, "trafficDistribution") == "PreferClose",
        "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
    );
}

/// A claim.
pub(crate) fn claim(claim: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    let annotation = "volume.beta.kubernetes.io/storage-class";
    if has(at(claim, &["metadata", "annotations"]), annotation) {
        warnings.push(format!(
            "metadata.annotations[{annotation}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
        ));
    }
    claim_spec(get(claim, "spec"), &Path::new("spec"), warnings);
}

fn claim_spec(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let path = path.child("resources");
    for list in ["requests", "limits"] {
        fractional(at(spec, &["resources", list]), "storage", &path.child(list), warnings);
    }
}

/// A volume.
pub(crate) fn volume(volume: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    let spec = get(volume, "spec");
    if text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
        warnings.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
    for (kind, message) in VOLUMES.iter().filter(|(kind, _)| has(spec, kind)) {
        warnings.push(format!("spec.{kind}: {message}"));
    }
}

fn fractional(list: &Value, name: &str, path: &Path<'_>, warnings: &mut Vec<String>) {
    if let Some(shown) = list.get(name).and_then(Value::as_str)
        && shown.contains(['m', 'u', 'n', '.'])
        && quantity(get(list, name)).milli() % 1000 != 0
    {
        let path = path.key(name);
        warnings.push(format!("{path}: fractional byte value \"{shown}\" is invalid, must be an integer"));
    }
}

/// A pod, or the template of one.
fn pod_like(holder: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let spec = get(holder, "spec");
    let spec_path = path.child("spec");
    placement(spec, &spec_path, warnings);
    let annotations = at(holder, &["metadata", "annotations"]);
    if !annotations.is_null() {
        let meta = path.child("metadata");
        let path = meta.child("annotations");
        for (key, message) in ANNOTATIONS.iter().filter(|(key, _)| has(annotations, key)) {
            warnings.push(format!("{}: {message}", path.key(key)));
        }
    }
    let list = spec_path.child("volumes");
    for (i, volume) in items(spec, "volumes").iter().enumerate() {
        for (kind, message) in VOLUMES.iter().filter(|(kind, _)| has(volume, kind)) {
            warnings.push(format!("{}: {message}", list.index(i).child(kind)));
        }
        if has(volume, "storageos") {
            let volume = list.index(i);
            let path = volume.child("storageOS");
            warnings.push(format!("{path}: deprecated in v1.22, non-functional in v1.25+"));
        }
    }
    duplicates(spec, &spec_path, warnings);
    for name in ["memory", "ephemeral-storage"] {
        fractional(get(spec, "overhead"), name, &spec_path.child("overhead"), warnings);
    }
    containers(spec, &spec_path, warnings);
    ports(spec, &spec_path, warnings);
    if int(spec, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        let path = spec_path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    null_selectors(spec, &spec_path, warnings);
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";

fn placement(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    for (key, _) in entries(spec, "nodeSelector") {
        if let Some(message) = deprecated_label(key) {
            warnings.push(format!("{}: {message}", path.child("nodeSelector").key(key)));
        }
    }
    let affinity = at(spec, &["affinity", "nodeAffinity"]);
    if !affinity.is_null() {
        let path = path.child("affinity");
        let path = path.child("nodeAffinity");
        let required = path.child(REQUIRED);
        let terms = required.child("nodeSelectorTerms");
        for (i, term) in items(get(affinity, REQUIRED), "nodeSelectorTerms").iter().enumerate() {
            node_term(term, false, &terms.index(i), warnings);
        }
        let preferred = path.child(PREFERRED);
        for (i, term) in items(affinity, PREFERRED).iter().enumerate() {
            let path = preferred.index(i);
            node_term(get(term, "preference"), true, &path.child("preference"), warnings);
        }
    }
    let list = path.child("topologySpreadConstraints");
    for (i, constraint) in items(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = list.index(i);
        let key = text(constraint, "topologyKey");
        if let Some(message) = deprecated_label(key) {
            warnings.push(format!("{}: {key} is {message}", path.child("topologyKey")));
        }
        if !has(constraint, "labelSelector") {
            warnings.push(format!("{}: {NULL_SELECTOR}", path.child("labelSelector")));
        }
    }
}

fn node_term(term: &Value, check_values: bool, path: &Path<'_>, warnings: &mut Vec<String>) {
    let list = path.child("matchExpressions");
    for (i, expression) in items(term, "matchExpressions").iter().enumerate() {
        let path = list.index(i);
        let key = text(expression, "key");
        if let Some(message) = deprecated_label(key) {
            warnings.push(format!("{}: {key} is {message}", path.child("key")));
        }
        if check_values {
            let values = path.child("values");
            for (i, value) in items(expression, "values").iter().filter_map(Value::as_str).enumerate() {
                for message in names::label_value(value) {
                    warnings.push(format!("{}: {value} is invalid, {message}", values.index(i)));
                }
            }
        }
    }
}

fn duplicates(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    for (list, key) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let all = items(spec, list);
        let list_path = path.child(list);
        for (i, item) in all.iter().enumerate() {
            let value = text(item, key);
            if all.iter().take(i).any(|other| text(other, key) == value) {
                warnings.push(format!("{}: duplicate {key} \"{value}\"", list_path.index(i).child(key)));
            }
        }
    }
    let list = path.child("imagePullSecrets");
    for (i, secret) in items(spec, "imagePullSecrets").iter().enumerate() {
        if text(secret, "name").is_empty() {
            warnings.push(format!("{}: invalid empty name \"\"", list.index(i).child("name")));
        }
    }
}

fn containers(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        let list = path.child(kind);
        for (i, container) in items(spec, kind).iter().enumerate() {
            let path = list.index(i);
            let resources = path.child("resources");
            for name in ["memory", "ephemeral-storage"] {
                for which in ["limits", "requests"] {
                    let amounts = at(container, &["resources", which]);
                    fractional(amounts, name, &resources.child(which), warnings);
                }
            }
            let env = path.child("env");
            let variables = items(container, "env");
            for (i, variable) in variables.iter().enumerate() {
                let name = text(variable, "name");
                if !variables.iter().take(i).any(|v| text(v, "name") == name) {
                    continue;
                }
                let reference = format!("$({name})");
                let value = text(variable, "value");
                if has(variable, "valueFrom") || value == reference || !value.contains(&reference) {
                    warnings.push(format!(
                        "{}: hides previous definition of \"{name}\", which may be dropped when using apply",
                        env.index(i)
                    ));
                }
            }
        }
    }
}

fn ports(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let mut seen: Vec<(&Value, String)> = Vec::new();
    let mut named: Vec<String> = Vec::new();
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        let list = path.child(kind);
        for (i, container) in items(spec, kind).iter().enumerate() {
            let container_path = list.index(i);
            let ports = container_path.child("ports");
            for (j, port) in items(container, "ports").iter().enumerate() {
                let here = ports.index(j).to_string();
                let of = |port: &Value| (int(port, "containerPort"), text(port, "protocol").to_owned());
                let host = |port: &Value| (text(port, "hostIP").to_owned(), int(port, "hostPort").unwrap_or(0));
                for (other, there) in seen.iter().filter(|(other, _)| of(other) == of(port)) {
                    let ((ip, number), (other_ip, other_number)) = (host(port), host(other));
                    if ip == other_ip && number == other_number {
                        warnings.push(format!("{here}: duplicate port definition with {there}"));
                    } else if number == 0 || other_number == 0 {
                        warnings.push(format!("{here}: overlapping port definition with {there}"));
                    } else if number == other_number && ip.is_empty() != other_ip.is_empty() {
                        warnings.push(format!("{here}: dangerously ambiguous port definition with {there}"));
                    }
                }
                let name = text(port, "name");
                if !name.is_empty()
                    && let Some((_, there)) = seen.iter().find(|(other, _)| text(other, "name") == name)
                {
                    named.push(format!(
                        "{here}: duplicate port name \"{name}\" with {there}, services and probes that select ports by \
                         name will use {there}"
                    ));
                }
                seen.push((port, here));
            }
        }
    }
    warnings.extend(named);
}

fn null_selectors(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let affinity = get(spec, "affinity");
    if affinity.is_null() {
        return;
    }
    let path = path.child("affinity");
    for kind in ["podAffinity", "podAntiAffinity"] {
        let terms = get(affinity, kind);
        let path = path.child(kind);
        let required = path.child(REQUIRED);
        for (i, term) in items(terms, REQUIRED).iter().enumerate() {
            if !has(term, "labelSelector") {
                warnings.push(format!("{}: {NULL_SELECTOR}", required.index(i).child("labelSelector")));
            }
        }
        let preferred = path.child(PREFERRED);
        for (i, term) in items(terms, PREFERRED).iter().enumerate() {
            if !has(get(term, "podAffinityTerm"), "labelSelector") {
                let item = preferred.index(i);
                let term = item.child("podAffinityTerm");
                warnings.push(format!("{}: {NULL_SELECTOR}", term.child("labelSelector")));
            }
        }
    }
}
