//! What may change of a pod: through the pod itself, its status, its ephemeral containers or its size.
//! Entry points: [`prepare`] and [`validate`].

use serde_json::{Map, Value, json};

use super::metadata;
use super::names;
use super::path::{Errors, Path};
use super::pod_defaults::merge_match_label_keys;
use super::pod_validation::metadata_and_spec;
use super::resources::qos_class;
use super::scheduling;
use super::value::{
    at, count, default_to, entries, entry, get, has, int, items, items_mut, remove, same, set, take_over, text,
};

const MIRROR: &str = "kubernetes.io/config.mirror";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// A new pod: its first generation and status.
pub(crate) fn prepare_create(pod: &mut Value) {
    let class = qos_class(get(pod, "spec"));
    let mut status = json!({ "phase": "Pending", "qosClass": class });
    if count(get(pod, "spec"), "schedulingGates") > 0 {
        set(
            &mut status,
            "conditions",
            json!([{
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": null,
                "lastTransitionTime": at(pod, &["metadata", "creationTimestamp"]),
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]),
        );
    }
    set(pod, "status", status);
    merge_match_label_keys(pod);
}

/// What an update through the given subresource keeps, and the new generation.
pub(crate) fn prepare(subresource: &str, pod: &mut Value, old: &Value) {
    match subresource {
        "status" => {
            take_over(pod, "spec", old);
            let meta = entry(pod, "metadata");
            remove(meta, "deletionTimestamp");
            take_over(meta, "ownerReferences", get(old, "metadata"));
            let status = entry(pod, "status");
            if text(status, "qosClass").is_empty() {
                take_over(status, "qosClass", get(old, "status"));
            }
            keep_observed_generations(status, get(old, "status"));
            return;
        }
        "ephemeralcontainers" => {
            let containers = get(get(pod, "spec"), "ephemeralContainers").clone();
            keep_all_but_managed_fields(pod, old);
            let spec = entry(pod, "spec");
            if containers.is_null() {
                remove(spec, "ephemeralContainers");
            } else {
                set(spec, "ephemeralContainers", containers);
            }
        }
        "resize" => keep_all_but_resources(pod, old),
        _ => take_over(pod, "status", old),
    }
    metadata::raise_if_spec_changed(pod, old);
}

fn keep_all_but_managed_fields(pod: &mut Value, old: &Value) {
    take_over(pod, "spec", old);
    take_over(pod, "status", old);
    let meta = entry(pod, "metadata");
    for key in ["deletionTimestamp", "generation", "selfLink", "labels", "annotations", "finalizers", "ownerReferences"]
    {
        take_over(meta, key, get(old, "metadata"));
    }
}

fn same_names(new: &Value, old: &Value, list: &str) -> bool {
    let (new, old) = (items(new, list), items(old, list));
    new.len() == old.len() && new.iter().zip(old).all(|(n, o)| text(n, "name") == text(o, "name"))
}

fn keep_all_but_resources(pod: &mut Value, old: &Value) {
    let old_spec = get(old, "spec");
    let lists = ["containers", "initContainers"];
    if lists.iter().any(|list| items(get(pod, "spec"), list).len() != items(old_spec, list).len()) {
        return;
    }
    let new_spec = get(pod, "spec").clone();
    keep_all_but_managed_fields(pod, old);
    let spec = entry(pod, "spec");
    take_over(spec, "resources", &new_spec);
    for list in lists {
        if !same_names(&new_spec, old_spec, list) {
            take_over(spec, list, &new_spec);
            continue;
        }
        for (container, new) in items_mut(spec, list).zip(items(&new_spec, list)) {
            take_over(container, "resources", new);
            take_over(container, "resizePolicy", new);
        }
    }
}

fn keep_observed_generations(status: &mut Value, old: &Value) {
    if int(status, "observedGeneration").unwrap_or(0) == 0 && has(old, "observedGeneration") {
        take_over(status, "observedGeneration", old);
    }
    for condition in items_mut(status, "conditions") {
        if int(condition, "observedGeneration").unwrap_or(0) == 0
            && let Some(before) = items(old, "conditions").iter().find(|c| text(c, "type") == text(condition, "type"))
            && has(before, "observedGeneration")
        {
            take_over(condition, "observedGeneration", before);
        }
    }
}

/// What is wrong with an update through the given subresource.
pub(crate) fn validate(subresource: &str, pod: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(pod, old, errors);
    match subresource {
        "status" => status(pod, old, errors),
        "ephemeralcontainers" => {
            metadata_and_spec(pod, errors);
            annotation_updates(pod, old, errors);
            ephemeral_containers(pod, old, errors);
        }
        "resize" => {
            metadata_and_spec(pod, errors);
            resize(pod, old, errors);
        }
        _ => {
            metadata_and_spec(pod, errors);
            annotation_updates(pod, old, errors);
            pod_itself(pod, old, errors);
        }
    }
}

fn annotation_updates(pod: &Value, old: &Value, errors: &mut Errors) {
    let annotations = |pod| at(pod, &["metadata", "annotations"]);
    let (new, before) = (annotations(pod), annotations(old));
    let root = Path::new("metadata");
    let path = root.child("annotations");
    for (key, value) in before.as_object().into_iter().flatten() {
        if new.get(key) == Some(value) {
            continue;
        }
        if key.starts_with(APPARMOR) {
            errors.forbidden(&path.key(key), "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            errors.forbidden(&path.key(key), "may not remove or update mirror pod annotation");
        }
    }
    for key in new.as_object().into_iter().flatten().map(|(key, _)| key) {
        if before.get(key).is_some() {
            continue;
        }
        if key.starts_with(APPARMOR) {
            errors.forbidden(&path.key(key), "may not add AppArmor annotations");
        }
        if key == MIRROR {
            errors.forbidden(&path.key(key), "may not add mirror pod annotation");
        }
    }
}

fn container_updates(new: &[Value], old: &[Value], path: &Path<'_>, errors: &mut Errors) -> bool {
    if new.len() != old.len() {
        errors.forbidden(path, "pod updates may not add or remove containers");
        return false;
    }
    for (i, container) in new.iter().enumerate() {
        let image = text(container, "image");
        let path = path.index(i);
        if image.is_empty() {
            errors.required(&path.child("image"), "");
        }
        if image.trim() != image {
            errors.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
        }
    }
    true
}

fn pod_itself(pod: &Value, old: &Value, errors: &mut Errors) {
    let (spec, old_spec) = (get(pod, "spec"), get(old, "spec"));
    let path = Path::new("spec");
    for list in ["containers", "initContainers"] {
        if !container_updates(items(spec, list), items(old_spec, list), &path.child(list), errors) {
            return;
        }
    }
    let deadline_path = path.child("activeDeadlineSeconds");
    match (int(spec, "activeDeadlineSeconds"), int(old_spec, "activeDeadlineSeconds")) {
        (Some(new), old) => {
            if let Some(detail) = names::in_range(new, 0, i64::from(i32::MAX)).first() {
                errors.invalid(&deadline_path, new, detail);
                return;
            }
            if old.is_some_and(|old| old < new) {
                errors.invalid(&deadline_path, new, "must be less than or equal to previous value");
                return;
            }
        }
        (None, Some(_)) => {
            errors.invalid(&deadline_path, Value::Null, "must not update from a positive integer to nil value");
        }
        (None, None) => {}
    }
    only_added_tolerations(spec, old_spec, &path, errors);
    only_deleted_gates(spec, old_spec, &path, errors);
    if same(spec, old_spec) {
        return;
    }
    let changed = changed_spec(spec, old_spec, &path, errors);
    if !same(&changed, old_spec) {
        errors.forbidden(
            &path,
            &format!(
                "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
                 `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
                 `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n{}",
                differences(old_spec, &changed)
            ),
        );
    }
}

/// The new spec with everything that may change put back; whatever still differs may not.
fn changed_spec(spec: &Value, old_spec: &Value, path: &Path<'_>, errors: &mut Errors) -> Value {
    let mut changed = spec.clone();
    for list in ["containers", "initContainers"] {
        for (container, old) in items_mut(&mut changed, list).zip(items(old_spec, list)) {
            take_over(container, "image", old);
        }
    }
    for key in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        take_over(&mut changed, key, old_spec);
    }
    let grace = "terminationGracePeriodSeconds";
    if int(old_spec, grace).is_some_and(|old| old < 0) && int(&changed, grace) == Some(1) {
        take_over(&mut changed, grace, old_spec);
    }
    if items(old_spec, "schedulingGates").is_empty() {
        return changed;
    }
    if !same(get(&changed, "nodeSelector"), get(old_spec, "nodeSelector")) {
        scheduling::node_selector_tightened(spec, old_spec, path, errors);
        take_over(&mut changed, "nodeSelector", old_spec);
    }
    let (new, old) = (at(spec, &["affinity", "nodeAffinity"]), at(old_spec, &["affinity", "nodeAffinity"]));
    if !same(new, old) {
        let affinity = path.child("affinity");
        scheduling::node_affinity_tightened(new, old, &affinity.child("nodeAffinity"), errors);
        let affinity = entry(&mut changed, "affinity");
        if old.is_null() {
            remove(affinity, "nodeAffinity");
        } else {
            set(affinity, "nodeAffinity", old.clone());
        }
        if count(&changed, "affinity") == 0 && !has(old_spec, "affinity") {
            remove(&mut changed, "affinity");
        }
    }
    changed
}

/// Which members of two objects differ, one a line.
fn differences(old: &Value, new: &Value) -> String {
    let mut lines = Vec::new();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect() };
    let mut names = keys(old);
    names.extend(keys(new).into_iter().filter(|key| old.get(key).is_none()));
    for key in names {
        let (before, after) = (get(old, &key), get(new, &key));
        if !same(before, after) {
            lines.push(format!("- \"{key}\": {before}\n+ \"{key}\": {after}"));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn only_added_tolerations(spec: &Value, old_spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.child("tolerations");
    let new = items(spec, "tolerations");
    let keys = ["key", "operator", "value", "effect"];
    let kept = |old: &Value| new.iter().any(|n| keys.iter().all(|key| text(n, key) == text(old, key)));
    if !items(old_spec, "tolerations").iter().all(kept) {
        errors.forbidden(&path, "existing toleration can not be modified except its tolerationSeconds");
        return;
    }
    scheduling::tolerations(new, &path, errors);
}

fn only_deleted_gates(spec: &Value, old_spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("schedulingGates");
    let old = items(old_spec, "schedulingGates");
    for (i, gate) in items(spec, "schedulingGates").iter().enumerate() {
        let name = text(gate, "name");
        if !old.iter().any(|o| text(o, "name") == name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.forbidden(&list.index(i).child("name"), &detail);
        }
    }
}

fn is_mirror(pod: &Value) -> bool {
    has(at(pod, &["metadata", "annotations"]), MIRROR)
}

fn ephemeral_containers(pod: &Value, old: &Value, errors: &mut Errors) {
    if is_mirror(old) {
        errors.0.clear();
        errors.forbidden(&Path::new(""), "static pods do not support ephemeral containers");
        return;
    }
    let new = items(get(pod, "spec"), "ephemeralContainers");
    let path = Path::new("spec");
    let path = path.child("ephemeralContainers");
    for old in items(get(old, "spec"), "ephemeralContainers") {
        let name = text(old, "name");
        match new.iter().find(|c| text(c, "name") == name) {
            None => {
                let detail = format!("existing ephemeral containers \"{name}\" may not be removed\n");
                errors.forbidden(&path, &detail);
            }
            Some(new) if !same(new, old) => {
                let detail =
                    format!("existing ephemeral containers \"{name}\" may not be changed\n{}", differences(old, new));
                errors.forbidden(&path, &detail);
            }
            Some(_) => {}
        }
    }
}

fn resize(pod: &Value, old: &Value, errors: &mut Errors) {
    if is_mirror(old) {
        errors.0.clear();
        errors.forbidden(&Path::new(""), "static pods cannot be resized");
        return;
    }
    let (spec, old_spec) = (get(pod, "spec"), get(old, "spec"));
    if text(get(old_spec, "os"), "name") == "windows" {
        errors.0.clear();
        errors.forbidden(&Path::new(""), "windows pods cannot be resized");
        return;
    }
    let path = Path::new("spec");
    let class = text(get(old, "status"), "qosClass");
    let class = if class.is_empty() { qos_class(old_spec) } else { class };
    if class != qos_class(spec) {
        let shown = text(get(pod, "status"), "qosClass");
        errors.invalid(&path, shown, "Pod QOS Class may not change as a result of resizing");
    }
    let running = items(get(old, "status"), "containerStatuses").iter().find(|s| has(get(s, "state"), "running"));
    if running.is_some_and(|status| !has(status, "resources")) {
        errors.forbidden(&path, "Pod running on node without support for resize");
    }
    if !resize_order(spec, old_spec, &path, errors) {
        return;
    }
    for list in ["initContainers", "containers"] {
        let list_path = path.child(list);
        for (i, (new, old)) in items(spec, list).iter().zip(items(old_spec, list)).enumerate() {
            let container = list_path.index(i);
            resources_kept(new, old, &container.child("resources"), errors);
        }
    }
    let mut changed = spec.clone();
    for (container, old) in items_mut(&mut changed, "containers").zip(items(old_spec, "containers")) {
        put_back_compute(container, old);
        if !same(container, old) {
            errors.forbidden(&path, "only cpu and memory resources are mutable");
        }
    }
    let list = path.child("initContainers");
    for (i, (container, old)) in
        items_mut(&mut changed, "initContainers").zip(items(old_spec, "initContainers")).enumerate()
    {
        let modified = !same(container, old);
        put_back_compute(container, old);
        if !same(container, old) {
            let detail = "only cpu and memory resources for init or sidecar containers are mutable";
            errors.forbidden(&list.index(i), detail);
        }
        if modified && text(container, "restartPolicy") != "Always" {
            for policy in items(container, "resizePolicy") {
                if text(policy, "restartPolicy") == "RestartContainer" {
                    let detail =
                        "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
                    errors.forbidden(&list.index(i), detail);
                }
            }
        }
    }
    if !errors.is_empty() {
        return;
    }
    put_back_compute(&mut changed, old_spec);
    if !same(&changed, old_spec) {
        errors.forbidden(&path, "only cpu and memory resources are mutable");
    }
}

fn resize_order(spec: &Value, old_spec: &Value, path: &Path<'_>, errors: &mut Errors) -> bool {
    let before = errors.len();
    for list in ["containers", "initContainers"] {
        let (new, old) = (items(spec, list), items(old_spec, list));
        let list_path = path.child(list);
        if new.len() != old.len() {
            errors.forbidden(&list_path, &format!("{list} may not be added or removed on resize"));
            continue;
        }
        for (i, (new, old)) in new.iter().zip(old).enumerate() {
            if text(new, "name") != text(old, "name") {
                let detail = format!("{list} may not be renamed or reordered on resize");
                errors.forbidden(&list_path.index(i).child("name"), &detail);
            }
        }
    }
    errors.len() == before
}

fn resources_kept(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    for list in ["requests", "limits"] {
        let now = at(new, &["resources", list]);
        if entries(get(old, "resources"), list).any(|(name, _)| now.get(name).is_none()) {
            errors.forbidden(&path.child(list), &format!("resource {list} cannot be removed"));
        }
    }
}

/// Puts the old amounts of cpu and memory back.
fn put_back_compute(holder: &mut Value, old: &Value) {
    if !has(holder, "resources") && !has(old, "resources") {
        return;
    }
    let resources = entry(holder, "resources");
    for list in ["limits", "requests"] {
        let before = at(old, &["resources", list]);
        let amounts = entry(resources, list);
        for name in ["cpu", "memory"] {
            match before.get(name) {
                Some(amount) => set(amounts, name, amount.clone()),
                None => remove(amounts, name),
            }
        }
        if amounts.as_object().is_none_or(Map::is_empty) {
            remove(resources, list);
        }
    }
}

fn status(pod: &Value, old: &Value, errors: &mut Errors) {
    annotation_updates(pod, old, errors);
    let (status, old_status) = (get(pod, "status"), get(old, "status"));
    let path = Path::new("status");
    let conditions = path.child("conditions");
    for (i, condition) in items(status, "conditions").iter().enumerate() {
        let path = conditions.index(i);
        if let Some(generation) = int(condition, "observedGeneration").filter(|g| *g < 0) {
            errors.invalid(&path.child("observedGeneration"), generation, "must be a non-negative integer");
        }
        let kind = text(condition, "type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            errors.invalid_each(&path.child("Type"), kind, names::qualified(kind));
        }
    }
    let (nominated, before) = (text(status, "nominatedNodeName"), text(old_status, "nominatedNodeName"));
    if nominated != before && !nominated.is_empty() {
        let path = path.child("nominatedNodeName");
        errors.invalid_each(&path, nominated, names::subdomain(nominated));
        if !text(get(old, "spec"), "nodeName").is_empty() {
            errors.forbidden(&path, "may not be set on pods that are already bound to a node");
        }
    }
    if let Some(generation) = int(status, "observedGeneration").filter(|g| *g < 0) {
        errors.invalid(&path.child("observedGeneration"), generation, "must be a non-negative integer");
    }
    let (class, before) = (text(status, "qosClass"), text(old_status, "qosClass"));
    if class != before {
        errors.invalid(&path.child("qosClass"), class, "field is immutable");
    }
    let spec = get(old, "spec");
    for (list, containers) in [
        ("containerStatuses", Some("containers")),
        ("initContainerStatuses", Some("initContainers")),
        ("ephemeralContainerStatuses", None),
    ] {
        transitions(items(status, list), items(old_status, list), containers, spec, &path.child(list), errors);
    }
    addresses(status, old_status, "podIPs", &path, errors);
    let hosts = items(status, "hostIPs");
    if let Some(first) = hosts.first()
        && text(first, "ip") != text(status, "hostIP")
    {
        let list = path.child("hostIPs");
        errors.invalid(&list.index(0).child("ip"), text(first, "ip"), "must be equal to `hostIP`");
    }
    addresses(status, old_status, "hostIPs", &path, errors);
}

/// A container that ended may run again only where its restart policy restarts it.
fn transitions(
    new: &[Value],
    old: &[Value],
    containers: Option<&str>,
    spec: &Value,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    if containers.is_some() && any_restarts_all(spec) {
        return;
    }
    for (i, old) in old.iter().enumerate() {
        let ended = at(old, &["state", "terminated"]);
        if ended.is_null() {
            continue;
        }
        let name = text(old, "name");
        let Some(now) = new.iter().find(|s| text(s, "name") == name) else { continue };
        if has(get(now, "state"), "terminated") {
            continue;
        }
        let allowed = containers.is_some_and(|list| {
            items(spec, list)
                .iter()
                .find(|c| text(c, "name") == name)
                .is_some_and(|c| restarts(c, spec, int(ended, "exitCode").unwrap_or(0)))
        });
        if !allowed {
            errors.forbidden(&path.index(i).child("state"), "may not be transitioned to non-terminated state");
        }
    }
}

fn rule_matches(rule: &Value, exit_code: i64) -> bool {
    let codes = get(rule, "exitCodes");
    let listed = items(codes, "values").iter().any(|v| v.as_i64() == Some(exit_code));
    match text(codes, "operator") {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

fn any_restarts_all(spec: &Value) -> bool {
    ["containers", "initContainers"].iter().flat_map(|list| items(spec, list)).any(|container| {
        items(container, "restartPolicyRules").iter().any(|rule| text(rule, "action") == "RestartAllContainers")
    })
}

fn restarts(container: &Value, spec: &Value, exit_code: i64) -> bool {
    if items(container, "restartPolicyRules").iter().any(|rule| rule_matches(rule, exit_code)) {
        return true;
    }
    let own = text(container, "restartPolicy");
    match if own.is_empty() { text(spec, "restartPolicy") } else { own } {
        "Always" => true,
        "OnFailure" => exit_code != 0,
        _ => false,
    }
}

fn addresses(status: &Value, old_status: &Value, key: &str, path: &Path<'_>, errors: &mut Errors) {
    let list = items(status, key);
    let path = path.child(key);
    for (i, address) in list.iter().enumerate() {
        let ip = text(address, "ip");
        if !items(old_status, key).iter().any(|a| text(a, "ip") == ip) {
            errors.invalid_each(&path.index(i), ip, names::ip(ip));
        }
    }
    let families: Vec<bool> =
        list.iter().filter_map(|a| names::parse_ip(text(a, "ip"))).map(|ip| ip.is_ipv4()).collect();
    let once = |v4: bool| families.iter().filter(|f| **f == v4).count() <= 1;
    if list.len() > 1 && !(once(true) && once(false)) {
        let shown = get(status, key).clone();
        errors.invalid(&path, shown, "may specify no more than one IP for each IP family");
    }
}

/// Admission puts the labels of the node's place on the pod that is bound to it.
pub(crate) fn copy_topology_labels(object: &mut Value, node: &Value) {
    let labels: Vec<(&str, Value)> = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"]
        .into_iter()
        .filter_map(|key| Some((key, at(node, &["metadata", "labels"]).get(key)?.clone())))
        .collect();
    if labels.is_empty() {
        return;
    }
    let meta = entry(object, "metadata");
    default_to(meta, "labels", Map::new());
    for (key, value) in labels {
        set(entry(meta, "labels"), key, value);
    }
}
