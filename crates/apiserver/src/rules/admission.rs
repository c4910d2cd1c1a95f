//! Admission as it is on by default: priority, default tolerations, limit ranges, taints of new nodes, protection of storage,
//! default storage class, runtime classes, labels of the place a pod runs in. Entry points: [`create`] and [`update`], which
//! change objects before they are validated, [`check_create`] and [`check_update`], which look at valid ones.

use augur_notation::Quantity;
use serde_json::{Map, Value, json};

use super::Context;
use super::pod_update::copy_topology_labels;
use super::resources::{Amounts, quantity, sum_of_containers};
use super::service;
use super::value::{
    at, default_to, entries, entry, flag, get, has, int, items, items_mut, object, opt_text, same, set, text,
};
use crate::error::ApiError;
use crate::resource::Resource;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
const BETA_DEFAULT_CLASS: &str = "storageclass.beta.kubernetes.io/is-default-class";

/// Changes a new object on its way in.
pub(crate) fn create(resource: &Resource, new: &mut Value, context: &Context<'_>) -> Result<(), ApiError> {
    match (resource.group, resource.plural) {
        ("", "pods") => {
            for range in context.lookup.list("limitranges", context.namespace) {
                default_resources(new, &range);
            }
            default_tolerations(new);
            priority(resource, new, context)?;
            runtime_class(resource, new, context)?;
            if !text(get(new, "spec"), "nodeName").is_empty() {
                topology_labels(new, context);
            }
            Ok(())
        }
        ("", "nodes") => {
            not_ready_taint(new);
            Ok(())
        }
        ("", "services") => service::allocate(new, &Value::Null, context),
        ("", "persistentvolumeclaims") => {
            protect(new, "kubernetes.io/pvc-protection");
            default_storage_class(new, context);
            Ok(())
        }
        ("", "persistentvolumes") => {
            protect(new, "kubernetes.io/pv-protection");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Looks at a new object that is valid.
pub(crate) fn check_create(resource: &Resource, new: &Value, context: &Context<'_>) -> Result<(), ApiError> {
    match (resource.group, resource.plural) {
        ("", "pods") => {
            limits_hold(resource, new, context)?;
            overhead_is_of_the_class(resource, new)
        }
        ("", "persistentvolumeclaims") => limits_hold(resource, new, context),
        ("scheduling.k8s.io", "priorityclasses") => only_default(resource, new, context),
        _ => Ok(()),
    }
}

/// Looks at a change that is valid.
pub(crate) fn check_update(
    resource: &Resource,
    subresource: &str,
    new: &Value,
    old: &Value,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    match (resource.group, resource.plural, subresource) {
        ("", "pods", "resize") => {
            limits_hold(resource, new, context)?;
            node_can_give(resource, new, old, context)
        }
        ("", "persistentvolumeclaims", "") => claim_may_grow(resource, new, old, context),
        ("scheduling.k8s.io", "priorityclasses", "") => only_default(resource, new, context),
        _ => Ok(()),
    }
}

/// Changes an update on its way in.
pub(crate) fn update(
    resource: &Resource,
    subresource: &str,
    new: &mut Value,
    old: &Value,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    match (resource.group, resource.plural, subresource) {
        ("", "pods", "") => {
            default_tolerations(new);
            // The scheduler knows the priority of a pod from its creation; a client that leaves it out keeps it.
            let spec = entry(new, "spec");
            for key in ["priority", "preemptionPolicy"] {
                let before = get(get(old, "spec"), key);
                if !before.is_null() {
                    default_to(spec, key, before.clone());
                }
            }
            Ok(())
        }
        ("", "services", "") => {
            service::keep_allocated(new, old);
            service::allocate(new, old, context)
        }
        ("", "persistentvolumes", "status") => {
            phase_time(new, old, context);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn topology_labels(pod: &mut Value, context: &Context<'_>) {
    let node = text(get(pod, "spec"), "nodeName").to_owned();
    if let Some(node) = context.lookup.get("nodes", "", &node) {
        copy_topology_labels(pod, &node);
    }
}

fn name_of(object: &Value) -> &str {
    text(get(object, "metadata"), "name")
}

fn default_tolerations(pod: &mut Value) {
    let spec = entry(pod, "spec");
    let tolerated = |taint: &str| {
        items(spec, "tolerations").iter().any(|toleration| {
            let key = text(toleration, "key");
            (key.is_empty() || key == taint) && matches!(text(toleration, "effect"), "" | "NoExecute")
        })
    };
    let missing: Vec<Value> = [NOT_READY, UNREACHABLE]
        .into_iter()
        .filter(|taint| !tolerated(taint))
        .map(|taint| json!({ "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }))
        .collect();
    if missing.is_empty() {
        return;
    }
    let tolerations = entry(spec, "tolerations");
    match tolerations.as_array_mut() {
        Some(list) => list.extend(missing),
        None => *tolerations = Value::Array(missing),
    }
}

fn global_default(context: &Context<'_>) -> Option<Value> {
    let classes = context.lookup.list("priorityclasses.scheduling.k8s.io", "");
    classes.into_iter().filter(|class| flag(class, "globalDefault") == Some(true)).min_by_key(|c| int(c, "value"))
}

fn priority(resource: &Resource, pod: &mut Value, context: &Context<'_>) -> Result<(), ApiError> {
    let class_name = text(get(pod, "spec"), "priorityClassName");
    let class = if class_name.is_empty() {
        global_default(context)
    } else {
        let class = context.lookup.get("priorityclasses.scheduling.k8s.io", "", class_name);
        if class.is_none() {
            let why = format!("no PriorityClass with name {class_name} was found");
            return Err(ApiError::forbidden(resource, name_of(pod), &why));
        }
        class
    };
    let (name, value, policy) = match &class {
        Some(class) => (name_of(class), int(class, "value").unwrap_or(0), opt_text(class, "preemptionPolicy")),
        None => ("", 0, Some("PreemptLowerPriority")),
    };
    let spec = get(pod, "spec");
    if let Some(given) = int(spec, "priority").filter(|given| *given != value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(ApiError::forbidden(resource, name_of(pod), &why));
    }
    if let (Some(given), Some(policy)) = (opt_text(spec, "preemptionPolicy"), policy)
        && given != policy
    {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(ApiError::forbidden(resource, name_of(pod), &why));
    }
    let spec = entry(pod, "spec");
    if !name.is_empty() {
        set(spec, "priorityClassName", name);
    }
    set(spec, "priority", value);
    if let Some(policy) = policy {
        set(spec, "preemptionPolicy", policy);
    }
    Ok(())
}

fn only_default(resource: &Resource, class: &Value, context: &Context<'_>) -> Result<(), ApiError> {
    if flag(class, "globalDefault") != Some(true) {
        return Ok(());
    }
    match global_default(context) {
        Some(other) if name_of(&other) != name_of(class) => {
            let why =
                format!("PriorityClass {} is already marked as default. Only one default can exist", name_of(&other));
            Err(ApiError::forbidden(resource, name_of(class), &why))
        }
        _ => Ok(()),
    }
}

fn not_ready_taint(node: &mut Value) {
    let taints = entry(entry(node, "spec"), "taints");
    let taint = json!({ "key": NOT_READY, "effect": "NoSchedule" });
    match taints.as_array_mut() {
        Some(list) => {
            if !list.iter().any(|t| text(t, "key") == NOT_READY && text(t, "effect") == "NoSchedule") {
                list.push(taint);
            }
        }
        None => *taints = json!([taint]),
    }
}

fn protect(object: &mut Value, finalizer: &str) {
    let finalizers = entry(entry(object, "metadata"), "finalizers");
    match finalizers.as_array_mut() {
        Some(list) if list.iter().any(|f| f == finalizer) => {}
        Some(list) => list.push(json!(finalizer)),
        None => *finalizers = json!([finalizer]),
    }
}

fn default_storage_class(claim: &mut Value, context: &Context<'_>) {
    let annotated = has(at(claim, &["metadata", "annotations"]), "volume.beta.kubernetes.io/storage-class");
    if annotated || has(get(claim, "spec"), "storageClassName") {
        return;
    }
    let is_default = |class: &Value| {
        let annotations = at(class, &["metadata", "annotations"]);
        [DEFAULT_CLASS, BETA_DEFAULT_CLASS].iter().any(|key| text(annotations, key) == "true")
    };
    let classes = context.lookup.list("storageclasses.storage.k8s.io", "");
    // The newest of several defaults counts; the name decides between those of one second.
    let newest = classes.iter().filter(|class| is_default(class)).max_by(|a, b| {
        let created = |c| text(get(c, "metadata"), "creationTimestamp");
        created(*a).cmp(created(*b)).then_with(|| name_of(b).cmp(name_of(a)))
    });
    if let Some(class) = newest {
        set(entry(claim, "spec"), "storageClassName", name_of(class));
    }
}

fn phase_time(volume: &mut Value, old: &Value, context: &Context<'_>) {
    let time = "lastPhaseTransitionTime";
    let before = get(old, "status");
    let status = entry(volume, "status");
    if text(status, "phase") == text(before, "phase") {
        if has(before, time) {
            default_to(status, time, get(before, time).clone());
        }
    } else if !has(status, time) || get(status, time) == get(before, time) {
        let seconds = context.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        set(status, time, seconds);
    }
}

fn limits_hold(resource: &Resource, object: &Value, context: &Context<'_>) -> Result<(), ApiError> {
    check_limits(resource, object, &context.lookup.list("limitranges", context.namespace))
}

/// What a runtime class adds to the pods that run in it: overhead, and the nodes that have it.
fn runtime_class(resource: &Resource, pod: &mut Value, context: &Context<'_>) -> Result<(), ApiError> {
    let spec = get(pod, "spec");
    let Some(name) = opt_text(spec, "runtimeClassName") else { return Ok(()) };
    let refused = |why: &str| Err(ApiError::forbidden(resource, name_of(pod), why));
    let Some(class) = context.lookup.get("runtimeclasses.node.k8s.io", "", name) else {
        return refused(&format!("pod rejected: RuntimeClass \"{name}\" not found"));
    };
    let fixed = at(&class, &["overhead", "podFixed"]);
    if has(&class, "overhead") && has(spec, "overhead") && !same(fixed, get(spec, "overhead")) {
        return refused("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
    }
    if !has(&class, "overhead") && has(spec, "overhead") {
        return refused("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
    }
    for (key, value) in entries(get(&class, "scheduling"), "nodeSelector") {
        let own = text(get(spec, "nodeSelector"), key);
        if !own.is_empty() && value != own {
            let value = value.as_str().unwrap_or("");
            return refused(&format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            ));
        }
    }
    let spec = entry(pod, "spec");
    if !fixed.is_null() {
        set(spec, "overhead", fixed.clone());
    }
    let selector = at(&class, &["scheduling", "nodeSelector"]).as_object().cloned().unwrap_or_default();
    if !selector.is_empty() {
        object(entry(spec, "nodeSelector")).extend(selector);
    }
    let added: Vec<Value> = items(get(&class, "scheduling"), "tolerations")
        .iter()
        .filter(|toleration| !items(spec, "tolerations").contains(toleration))
        .cloned()
        .collect();
    if !added.is_empty() {
        let tolerations = entry(spec, "tolerations");
        match tolerations.as_array_mut() {
            Some(list) => list.extend(added),
            None => *tolerations = Value::Array(added),
        }
    }
    Ok(())
}

fn overhead_is_of_the_class(resource: &Resource, pod: &Value) -> Result<(), ApiError> {
    let spec = get(pod, "spec");
    if has(spec, "overhead") && !has(spec, "runtimeClassName") {
        let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        return Err(ApiError::forbidden(resource, name_of(pod), why));
    }
    Ok(())
}

/// A bound pod may not ask for more than its node has.
fn node_can_give(resource: &Resource, pod: &Value, old: &Value, context: &Context<'_>) -> Result<(), ApiError> {
    let spec = get(pod, "spec");
    let node_name = text(spec, "nodeName");
    if node_name.is_empty() || same(spec, get(old, "spec")) {
        return Ok(());
    }
    let refused = |why: &str| ApiError::forbidden(resource, name_of(pod), why);
    let with_cause = |why: &str, cause: &str| {
        let mut error = refused(why);
        set(&mut error.details, "causes", json!([{ "reason": cause }]));
        error
    };
    let Some(node) = context.lookup.get("nodes", "", node_name) else {
        return Err(refused(&format!("node \"{node_name}\" not found")));
    };
    let os = text(at(&node, &["metadata", "labels"]), "kubernetes.io/os");
    if !matches!(os, "" | "linux") {
        let why = format!("pod resize is only supported on linux nodes, node \"{node_name}\" is \"{os}\"");
        return Err(with_cause(&why, "UnsupportedPlatform"));
    }
    let requests = pod_amounts(spec, "requests");
    let mut short: Vec<String> = Vec::new();
    for name in ["cpu", "memory"] {
        let has = quantity(at(&node, &["status", "allocatable", name]));
        if let Some(wants) = requests.get(name).filter(|wants| **wants > has) {
            let shown = |q: Quantity| if name == "cpu" { q.milli() } else { q.value() };
            short.push(format!("{name}, requested: {}, allocatable: {}", shown(*wants), shown(has)));
        }
    }
    if short.is_empty() {
        return Ok(());
    }
    let why = format!("node didn't have enough allocatable resources: {}", short.join("; "));
    Err(with_cause(&why, "NodeCapacity"))
}

/// What a pod needs or may use: its own amounts, or those of its containers.
fn pod_amounts<'a>(spec: &'a Value, which: &str) -> Amounts<'a> {
    let mut total = sum_of_containers(spec, which);
    for (name, shown) in entries(get(spec, "resources"), which) {
        if matches!(name.as_str(), "cpu" | "memory") {
            total.insert(name, quantity(shown));
        }
    }
    total
}

/// Only a bound claim of a class that allows it may grow.
fn claim_may_grow(resource: &Resource, claim: &Value, old: &Value, context: &Context<'_>) -> Result<(), ApiError> {
    let size = |claim: &Value| quantity(at(claim, &["spec", "resources", "requests", "storage"]));
    if size(claim) <= size(old) {
        return Ok(());
    }
    let refused = |why: &str| Err(ApiError::forbidden(resource, name_of(claim), why));
    if text(get(old, "status"), "phase") != "Bound" {
        return refused("Only bound persistent volume claims can be expanded");
    }
    let class = text(get(claim, "spec"), "storageClassName");
    let class = context.lookup.get("storageclasses.storage.k8s.io", "", class);
    if class.is_none_or(|class| flag(&class, "allowVolumeExpansion") != Some(true)) {
        return refused(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support \
             resize",
        );
    }
    Ok(())
}

/// Containers without requests or limits get those of the range.
fn default_resources(pod: &mut Value, range: &Value) {
    let (mut requests, mut limits) = (Map::new(), Map::new());
    for limit in items(get(range, "spec"), "limits").iter().filter(|l| text(l, "type") == "Container") {
        requests.extend(entries(limit, "defaultRequest").map(|(k, v)| (k.clone(), v.clone())));
        limits.extend(entries(limit, "default").map(|(k, v)| (k.clone(), v.clone())));
    }
    let mut notes: Vec<String> = Vec::new();
    let spec = entry(pod, "spec");
    for (list, kind) in [("containers", "container"), ("initContainers", "init container")] {
        for container in items_mut(spec, list) {
            let name = text(container, "name").to_owned();
            let resources = entry(container, "resources");
            for (member, defaults, what) in [("requests", &requests, "request"), ("limits", &limits, "limit")] {
                let missing: Vec<(String, Value)> = defaults
                    .iter()
                    .filter(|(key, _)| get(resources, member).get(key.as_str()).is_none())
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                if missing.is_empty() {
                    continue;
                }
                let names: Vec<&str> = missing.iter().map(|(key, _)| key.as_str()).collect();
                notes.push(format!("{} {what} for {kind} {name}", names.join(", ")));
                object(entry(resources, member)).extend(missing);
            }
        }
    }
    if !notes.is_empty() {
        let text = format!("LimitRanger plugin set: {}", notes.join("; "));
        set(entry(entry(pod, "metadata"), "annotations"), "kubernetes.io/limit-ranger", text);
    }
}

fn check_limits(resource: &Resource, object: &Value, ranges: &[Value]) -> Result<(), ApiError> {
    for range in ranges {
        let mut broken: Vec<String> = Vec::new();
        for limit in items(get(range, "spec"), "limits") {
            match (resource.plural, text(limit, "type")) {
                ("pods", "Container") => {
                    let spec = get(object, "spec");
                    for container in items(spec, "containers").iter().chain(items(spec, "initContainers")) {
                        let of = |which: &str| amounts(at(container, &["resources", which]));
                        constraints("Container", limit, &of("requests"), &of("limits"), &mut broken);
                    }
                }
                ("pods", "Pod") => {
                    let spec = get(object, "spec");
                    let of = |which: &str| pod_amounts(spec, which);
                    constraints("Pod", limit, &of("requests"), &of("limits"), &mut broken);
                }
                ("persistentvolumeclaims", "PersistentVolumeClaim") => {
                    let requests = amounts(at(object, &["spec", "resources", "requests"]));
                    claim_constraints(limit, &requests, &mut broken);
                }
                _ => {}
            }
        }
        let why = match broken.as_slice() {
            [] => continue,
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        return Err(ApiError::forbidden(resource, name_of(object), &why));
    }
    Ok(())
}

fn amounts(list: &Value) -> Amounts<'_> {
    list.as_object().into_iter().flatten().map(|(name, shown)| (name.as_str(), quantity(shown))).collect()
}

fn constraints(kind: &str, limit: &Value, requests: &Amounts<'_>, limits: &Amounts<'_>, broken: &mut Vec<String>) {
    for (name, shown) in entries(limit, "min") {
        let (bound, text) = (quantity(shown), shown.as_str().unwrap_or(""));
        let lead = format!("minimum {name} usage per {kind} is {text}");
        match requests.get(name.as_str()) {
            None => broken.push(format!("{lead}.  No request is specified")),
            Some(request) if *request < bound => broken.push(format!("{lead}, but request is {request}")),
            Some(_) => {
                if let Some(limit) = limits.get(name.as_str()).filter(|limit| **limit < bound) {
                    broken.push(format!("{lead}, but limit is {limit}"));
                }
            }
        }
    }
    for (name, shown) in entries(limit, "max") {
        let (bound, text) = (quantity(shown), shown.as_str().unwrap_or(""));
        let lead = format!("maximum {name} usage per {kind} is {text}");
        match limits.get(name.as_str()) {
            None => broken.push(format!("{lead}.  No limit is specified")),
            Some(limit) if *limit > bound => broken.push(format!("{lead}, but limit is {limit}")),
            Some(_) => {
                if let Some(request) = requests.get(name.as_str()).filter(|request| **request > bound) {
                    broken.push(format!("{lead}, but request is {request}"));
                }
            }
        }
    }
    for (name, shown) in entries(limit, "maxLimitRequestRatio") {
        let lead = format!("{name} max limit to request ratio per {kind} is {}", shown.as_str().unwrap_or(""));
        let request = requests.get(name.as_str()).filter(|q| !q.is_zero());
        let limit = limits.get(name.as_str()).filter(|q| !q.is_zero());
        match (request, limit) {
            (None, _) => broken.push(format!("{lead}, but no request is specified or request is 0")),
            (_, None) => broken.push(format!("{lead}, but no limit is specified or limit is 0")),
            (Some(request), Some(limit)) => {
                let ratio = limit.as_f64() / request.as_f64();
                if ratio > quantity(shown).as_f64() {
                    broken.push(format!("{lead}, but provided ratio is {ratio:.6}"));
                }
            }
        }
    }
}

fn claim_constraints(limit: &Value, requests: &Amounts<'_>, broken: &mut Vec<String>) {
    let kind = "PersistentVolumeClaim";
    for (bound, word) in [("min", "minimum"), ("max", "maximum")] {
        for (name, shown) in entries(limit, bound) {
            let lead = format!("{word} {name} usage per {kind} is {}", shown.as_str().unwrap_or(""));
            match requests.get(name.as_str()) {
                None => broken.push(format!("{lead}.  No request is specified")),
                Some(request) => {
                    let bound_value = quantity(shown);
                    let breaks = if bound == "min" { *request < bound_value } else { *request > bound_value };
                    if breaks {
                        broken.push(format!("{lead}, but request is {request}"));
                    }
                }
            }
        }
    }
}
