//! Deployments, replica sets, daemon sets and stateful sets: defaults, preparation, validation.

use serde_json::{Map, Value, json};

use super::metadata::{self, label_selector, selector_is_empty, selector_matches};
use super::names;
use super::path::{Errors, Path};
use super::pod_defaults;
use super::pod_validation;
use super::storage;
use super::value::{
    at, default_text, default_to, entry, get, get_mut, has, int, items, items_mut, remove, same, set, take_over, text,
};

/// Defaults of a deployment.
pub(crate) fn default_deployment(object: &mut Value) {
    let spec = entry(object, "spec");
    default_to(spec, "replicas", 1);
    let strategy = entry(spec, "strategy");
    default_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = entry(strategy, "rollingUpdate");
        default_to(rolling, "maxUnavailable", "25%");
        default_to(rolling, "maxSurge", "25%");
    }
    default_to(spec, "revisionHistoryLimit", 10);
    default_to(spec, "progressDeadlineSeconds", 600);
    pod_defaults::template(entry(spec, "template"));
}

/// Defaults of a replica set.
pub(crate) fn default_replica_set(object: &mut Value) {
    let spec = entry(object, "spec");
    default_to(spec, "replicas", 1);
    pod_defaults::template(entry(spec, "template"));
}

/// Defaults of a daemon set.
pub(crate) fn default_daemon_set(object: &mut Value) {
    let spec = entry(object, "spec");
    let strategy = entry(spec, "updateStrategy");
    default_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = entry(strategy, "rollingUpdate");
        default_to(rolling, "maxUnavailable", 1);
        default_to(rolling, "maxSurge", 0);
    }
    default_to(spec, "revisionHistoryLimit", 10);
    pod_defaults::template(entry(spec, "template"));
}

/// Defaults of a stateful set.
pub(crate) fn default_stateful_set(object: &mut Value) {
    let spec = entry(object, "spec");
    default_text(spec, "podManagementPolicy", "OrderedReady");
    let strategy = entry(spec, "updateStrategy");
    if text(strategy, "type").is_empty() {
        set(strategy, "type", "RollingUpdate");
        default_to(strategy, "rollingUpdate", Map::new());
    }
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = get_mut(strategy, "rollingUpdate")
    {
        default_to(rolling, "partition", 0);
    }
    let retention = entry(spec, "persistentVolumeClaimRetentionPolicy");
    default_text(retention, "whenDeleted", "Retain");
    default_text(retention, "whenScaled", "Retain");
    default_to(spec, "replicas", 1);
    default_to(spec, "revisionHistoryLimit", 10);
    pod_defaults::template(entry(spec, "template"));
    for claim in items_mut(spec, "volumeClaimTemplates") {
        default_text(claim, "kind", "PersistentVolumeClaim");
        default_text(claim, "apiVersion", "v1");
        storage::default_claim(claim);
    }
}

/// The first generation and an empty status.
pub(crate) fn prepare_create(object: &mut Value, status: Value) {
    set(object, "status", status);
    set(entry(object, "metadata"), "generation", 1);
}

/// The annotation that keeps how often a daemon set's template changed.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(object: &Value) -> i64 {
    text(at(object, &["metadata", "annotations"]), TEMPLATE_GENERATION).parse().unwrap_or(0)
}

fn set_template_generation(object: &mut Value, generation: i64) {
    set(entry(entry(object, "metadata"), "annotations"), TEMPLATE_GENERATION, generation.to_string());
}

/// A new daemon set counts the generations of its template.
pub(crate) fn prepare_daemon_set_create(object: &mut Value, status: Value) {
    prepare_create(object, status);
    let generation = template_generation(object).max(1);
    set_template_generation(object, generation);
}

/// A daemon set's template has generations of its own.
pub(crate) fn prepare_daemon_set(subresource: &str, object: &mut Value, old: &Value) {
    prepare_spec_and_status(subresource, object, old);
    if subresource == "status" {
        return;
    }
    let template = |object| at(object, &["spec", "template"]);
    let raised = i64::from(!same(template(object), template(old)));
    set_template_generation(object, template_generation(old) + raised);
}

/// A deployment changes also with its annotations.
pub(crate) fn prepare_deployment(subresource: &str, object: &mut Value, old: &Value) {
    if subresource == "status" {
        take_over(object, "spec", old);
        take_over(entry(object, "metadata"), "labels", get(old, "metadata"));
        return;
    }
    take_over(object, "status", old);
    let annotations = |value| at(value, &["metadata", "annotations"]);
    if !same(get(object, "spec"), get(old, "spec")) || !same(annotations(object), annotations(old)) {
        metadata::raise_generation(object, old);
    }
}

/// Spec or status, whichever the subresource is not, is kept; the generation follows the spec.
pub(crate) fn prepare_spec_and_status(subresource: &str, object: &mut Value, old: &Value) {
    if subresource == "status" {
        take_over(object, "spec", old);
    } else {
        take_over(object, "status", old);
        metadata::raise_if_spec_changed(object, old);
    }
}

/// What is wrong with a deployment.
pub(crate) fn validate_deployment(object: &Value, errors: &mut Errors) {
    metadata::validate(object, true, names::subdomain, errors);
    deployment_spec(get(object, "spec"), errors);
}

/// What is wrong with a change of a deployment.
pub(crate) fn validate_deployment_update(subresource: &str, object: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(object, old, errors);
    if subresource == "status" {
        let status = get(object, "status");
        let counts = [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ];
        nonnegative_counts(status, &counts, errors);
        counts_within(status, &["updatedReplicas", "readyReplicas", "availableReplicas"], "readyReplicas", errors);
        collision_count(status, get(old, "status"), errors);
        return;
    }
    deployment_spec(get(object, "spec"), errors);
    selector_immutable(object, old, errors);
}

fn selector_immutable(object: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let (new, old) = (at(object, &["spec", "selector"]), at(old, &["spec", "selector"]));
    errors.immutable(&path.child("selector"), new, old);
}

fn nonnegative_counts(status: &Value, keys: &[&str], errors: &mut Errors) {
    let path = Path::new("status");
    for key in keys {
        errors.nonnegative(&path.child(key), int(status, key));
    }
}

fn counts_within(status: &Value, keys: &[&str], ready: &str, errors: &mut Errors) {
    let path = Path::new("status");
    let of = |key: &str| int(status, key).unwrap_or(0);
    for key in keys {
        if of(key) > of("replicas") {
            errors.invalid(&path.child(key), of(key), "cannot be greater than status.replicas");
        }
    }
    if of("availableReplicas") > of("readyReplicas") {
        let detail = format!("cannot be greater than {ready}");
        errors.invalid(&path.child("availableReplicas"), of("availableReplicas"), &detail);
    }
}

fn collision_count(status: &Value, old: &Value, errors: &mut Errors) {
    if let Some(before) = int(old, "collisionCount") {
        let now = int(status, "collisionCount");
        if now.is_none_or(|now| now < before) {
            let path = Path::new("status");
            errors.invalid(&path.child("collisionCount"), now.unwrap_or(0), "cannot be decremented");
        }
    }
}

fn deployment_spec(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    errors.nonnegative(&path.child("replicas"), int(spec, "replicas"));
    replicated(spec, &path, errors);
    let strategy = get(spec, "strategy");
    let strategy_path = path.child("strategy");
    let rolling = get(strategy, "rollingUpdate");
    let rolling_path = strategy_path.child("rollingUpdate");
    match text(strategy, "type") {
        "Recreate" => {
            if !rolling.is_null() {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                errors.forbidden(&rolling_path, detail);
            }
        }
        "RollingUpdate" if rolling.is_null() => {
            errors.required(&rolling_path, "this should be defaulted and never be nil");
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (get(rolling, "maxUnavailable"), get(rolling, "maxSurge"));
            int_or_percent(unavailable, &rolling_path.child("maxUnavailable"), errors);
            int_or_percent(surge, &rolling_path.child("maxSurge"), errors);
            let path = rolling_path.child("maxUnavailable");
            if amount(unavailable) == 0 && amount(surge) == 0 {
                errors.invalid(&path, unavailable.clone(), "may not be 0 when `maxSurge` is 0");
            }
            at_most_100_percent(unavailable, &path, errors);
        }
        _ => {
            let shown = json!({ "Type": get(strategy, "type"), "RollingUpdate": rolling });
            errors.not_supported(&strategy_path, shown, &["Recreate", "RollingUpdate"]);
        }
    }
    errors.nonnegative(&path.child("minReadySeconds"), int(spec, "minReadySeconds"));
    errors.nonnegative(&path.child("revisionHistoryLimit"), int(spec, "revisionHistoryLimit"));
    if let Some(deadline) = int(spec, "progressDeadlineSeconds") {
        let path = path.child("progressDeadlineSeconds");
        errors.nonnegative(&path, Some(deadline));
        if deadline <= int(spec, "minReadySeconds").unwrap_or(0) {
            errors.invalid(&path, deadline, "must be greater than minReadySeconds");
        }
    }
}

/// Selector and template of a deployment or a replica set.
fn replicated(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let selector = get(spec, "selector");
    let selector_path = path.child("selector");
    if selector.is_null() {
        errors.required(&selector_path, "");
    } else {
        label_selector(selector, &selector_path, errors);
        if selector_is_empty(selector) {
            errors.invalid(&selector_path, selector.clone(), "empty selector is invalid for deployment");
        }
    }
    let template = get(spec, "template");
    let template_path = path.child("template");
    let labels = at(template, &["metadata", "labels"]);
    match selector_matches(selector, labels) {
        None => {
            errors.invalid(&selector_path, selector.clone(), "invalid label selector");
            return;
        }
        Some(false) => no_match(labels, &template_path, errors),
        Some(true) => {}
    }
    pod_validation::template(template, &template_path, errors);
    always_restarted(template, "ReplicaSet", &template_path, errors);
}

fn no_match(labels: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.child("metadata");
    errors.invalid(&path.child("labels"), labels.clone(), "`selector` does not match template `labels`");
}

fn always_restarted(template: &Value, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let spec = get(template, "spec");
    let path = path.child("spec");
    let policy = text(spec, "restartPolicy");
    if policy != "Always" {
        errors.not_supported(&path.child("restartPolicy"), policy, &["Always"]);
    }
    if has(spec, "activeDeadlineSeconds") {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.forbidden(&path.child("activeDeadlineSeconds"), &detail);
    }
}

/// A number that is not negative, or a percentage.
pub(crate) fn int_or_percent(value: &Value, path: &Path<'_>, errors: &mut Errors) {
    match value {
        Value::String(text) => {
            if names::percent(text).is_none() {
                errors.invalid(path, text.as_str(), names::NOT_PERCENT);
            }
        }
        value => errors.nonnegative(path, value.as_i64()),
    }
}

fn amount(value: &Value) -> i64 {
    match value {
        Value::String(text) => names::percent(text).or_else(|| text.parse().ok()).unwrap_or(0),
        value => value.as_i64().unwrap_or(0),
    }
}

/// A percentage of at most 100.
pub(crate) fn at_most_100_percent(value: &Value, path: &Path<'_>, errors: &mut Errors) {
    if value.as_str().and_then(names::percent).is_some_and(|percent| percent > 100) {
        errors.invalid(path, value.clone(), "must not be greater than 100%");
    }
}

/// What is wrong with a replica set.
pub(crate) fn validate_replica_set(object: &Value, errors: &mut Errors) {
    metadata::validate(object, true, names::subdomain, errors);
    replica_set_spec(get(object, "spec"), errors);
}

fn replica_set_spec(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    errors.nonnegative(&path.child("replicas"), int(spec, "replicas"));
    errors.nonnegative(&path.child("minReadySeconds"), int(spec, "minReadySeconds"));
    replicated(spec, &path, errors);
}

/// What is wrong with a change of a replica set.
pub(crate) fn validate_replica_set_update(subresource: &str, object: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(object, old, errors);
    if subresource == "status" {
        let status = get(object, "status");
        let counts = [
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "observedGeneration",
            "terminatingReplicas",
        ];
        nonnegative_counts(status, &counts, errors);
        let within = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
        counts_within(status, &within, "readyReplicas", errors);
        return;
    }
    replica_set_spec(get(object, "spec"), errors);
    selector_immutable(object, old, errors);
}

/// What is wrong with a daemon set.
pub(crate) fn validate_daemon_set(object: &Value, errors: &mut Errors) {
    metadata::validate(object, true, names::subdomain, errors);
    daemon_set_spec(get(object, "spec"), errors);
}

fn daemon_set_spec(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let selector = get(spec, "selector");
    let selector_path = path.child("selector");
    label_selector(selector, &selector_path, errors);
    let template = get(spec, "template");
    let template_path = path.child("template");
    let labels = at(template, &["metadata", "labels"]);
    if selector_matches(selector, labels) == Some(false) {
        no_match(labels, &template_path, errors);
    }
    if !selector.is_null() && selector_is_empty(selector) {
        errors.invalid(&selector_path, selector.clone(), "empty selector is invalid for daemonset");
    }
    pod_validation::template(template, &template_path, errors);
    always_restarted(template, "DaemonSet", &template_path, errors);
    errors.nonnegative(&path.child("minReadySeconds"), int(spec, "minReadySeconds"));
    let strategy = get(spec, "updateStrategy");
    let strategy_path = path.child("updateStrategy");
    let rolling = get(strategy, "rollingUpdate");
    let rolling_path = strategy_path.child("rollingUpdate");
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" if rolling.is_null() => errors.required(&rolling_path, ""),
        "RollingUpdate" => {
            let keys = ["maxUnavailable", "maxSurge"];
            for key in keys {
                int_or_percent(get(rolling, key), &rolling_path.child(key), errors);
            }
            for key in keys {
                at_most_100_percent(get(rolling, key), &rolling_path.child(key), errors);
            }
            match keys.map(|key| amount(get(rolling, key)) != 0) {
                [true, true] => {
                    let detail = "may not be set when maxUnavailable is non-zero";
                    errors.invalid(&rolling_path.child("maxSurge"), get(rolling, "maxSurge").clone(), detail);
                }
                [false, false] => {
                    errors.required(&rolling_path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0");
                }
                _ => {}
            }
        }
        _ => {
            let shown = json!({ "Type": get(strategy, "type"), "RollingUpdate": rolling });
            errors.not_supported(&strategy_path, shown, &["RollingUpdate", "OnDelete"]);
        }
    }
    errors.nonnegative(&path.child("revisionHistoryLimit"), int(spec, "revisionHistoryLimit"));
}

/// What is wrong with a change of a daemon set.
pub(crate) fn validate_daemon_set_update(subresource: &str, object: &Value, old: &Value, errors: &mut Errors) {
    metadata::validate_update(object, old, errors);
    if subresource == "status" {
        let status = get(object, "status");
        let counts = [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        nonnegative_counts(status, &counts, errors);
        collision_count(status, get(old, "status"), errors);
        return;
    }
    selector_immutable(object, old, errors);
    daemon_set_spec(get(object, "spec"), errors);
}

/// What is wrong with a stateful set.
pub(crate) fn validate_stateful_set(object: &Value, errors: &mut Errors) {
    metadata::validate(object, true, names::label, errors);
    stateful_set_spec(get(object, "spec"), true, errors);
}

fn stateful_set_spec(spec: &Value, is_new: bool, errors: &mut Errors) {
    let path = Path::new("spec");
    match text(spec, "podManagementPolicy") {
        "OrderedReady" | "Parallel" => {}
        "" => errors.required(&path.child("podManagementPolicy"), ""),
        policy => {
            errors.invalid(&path.child("podManagementPolicy"), policy, "must be 'OrderedReady' or 'Parallel'");
        }
    }
    stateful_set_strategy(get(spec, "updateStrategy"), &path.child("updateStrategy"), errors);
    let retention = get(spec, "persistentVolumeClaimRetentionPolicy");
    if !retention.is_null() {
        let path = path.child("persistentVolumeClaimRetentionPolicy");
        for key in ["whenDeleted", "whenScaled"] {
            let policy = text(retention, key);
            if !matches!(policy, "Retain" | "Delete") {
                errors.not_supported(&path.child(key), policy, &["Retain", "Delete"]);
            }
        }
    }
    let claims = items(spec, "volumeClaimTemplates");
    if is_new {
        let list = path.child("volumeClaimTemplates");
        for (i, claim) in claims.iter().enumerate() {
            storage::claim_spec(get(claim, "spec"), &list.index(i).child("spec"), errors);
        }
    }
    errors.nonnegative(&path.child("replicas"), int(spec, "replicas"));
    errors.nonnegative(&path.child("minReadySeconds"), int(spec, "minReadySeconds"));
    errors.nonnegative(&path.child("ordinals.start"), int(get(spec, "ordinals"), "start"));
    let service = text(spec, "serviceName");
    if is_new && !service.is_empty() {
        errors.invalid_each(&path.child("serviceName"), service, names::label(service));
    }
    let selector = get(spec, "selector");
    let selector_path = path.child("selector");
    if selector.is_null() {
        errors.required(&selector_path, "");
    } else {
        label_selector(selector, &selector_path, errors);
        if selector_is_empty(selector) {
            errors.invalid(&selector_path, selector.clone(), "empty selector is invalid for statefulset");
        }
    }
    let template = stateful_template(get(spec, "template"), claims);
    let template_path = path.child("template");
    let labels = at(&template, &["metadata", "labels"]);
    match selector_matches(selector, labels) {
        None => errors.invalid(&selector_path, selector.clone(), ""),
        Some(matches) => {
            if !matches {
                no_match(labels, &template_path, errors);
            }
            pod_validation::template(&template, &template_path, errors);
        }
    }
    always_restarted(&template, "StatefulSet", &template_path, errors);
}

fn stateful_set_strategy(strategy: &Value, path: &Path<'_>, errors: &mut Errors) {
    let rolling = get(strategy, "rollingUpdate");
    let rolling_path = path.child("rollingUpdate");
    match text(strategy, "type") {
        "" => errors.required(path, ""),
        "OnDelete" => {
            if !rolling.is_null() {
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                errors.invalid(&rolling_path, rolling.clone(), detail);
            }
        }
        "RollingUpdate" => {
            errors.nonnegative(&rolling_path.child("partition"), int(rolling, "partition"));
            let unavailable = get(rolling, "maxUnavailable");
            if !unavailable.is_null() {
                let path = rolling_path.child("maxUnavailable");
                int_or_percent(unavailable, &path, errors);
                if amount(unavailable) == 0 {
                    errors.invalid(&path, unavailable.clone(), "cannot be 0");
                }
                at_most_100_percent(unavailable, &path, errors);
            }
        }
        _ => {
            let shown = json!({ "Type": get(strategy, "type"), "RollingUpdate": rolling });
            errors.invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
}

/// The template with the volumes of its claims, as the pods made of it will have them.
fn stateful_template(template: &Value, claims: &[Value]) -> Value {
    let mut template = template.clone();
    let spec = entry(&mut template, "spec");
    remove(spec, "subdomain");
    remove(spec, "hostname");
    if !claims.is_empty() {
        let claim_name = |claim: &Value| text(get(claim, "metadata"), "name").to_owned();
        let mut volumes: Vec<Value> = claims
            .iter()
            .map(claim_name)
            .map(|name| json!({ "name": name, "persistentVolumeClaim": { "claimName": name } }))
            .collect();
        let own = items(spec, "volumes").iter().filter(|v| !claims.iter().any(|c| claim_name(c) == text(v, "name")));
        volumes.extend(own.cloned());
        set(spec, "volumes", volumes);
    }
    template
}

/// What is wrong with a change of a stateful set.
pub(crate) fn validate_stateful_set_update(subresource: &str, object: &Value, old: &Value, errors: &mut Errors) {
    if subresource == "status" {
        let status = get(object, "status");
        let counts = [
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ];
        nonnegative_counts(status, &counts, errors);
        let within = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        counts_within(status, &within, "status.readyReplicas", errors);
        metadata::validate_update(object, old, errors);
        collision_count(status, get(old, "status"), errors);
        return;
    }
    metadata::validate_update(object, old, errors);
    stateful_set_spec(get(object, "spec"), false, errors);
    let mut changed = get(object, "spec").clone();
    let old_spec = get(old, "spec");
    for key in [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    ] {
        take_over(&mut changed, key, old_spec);
    }
    if !same(&changed, old_spec) {
        errors.forbidden(
            &Path::new("spec"),
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
             'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
    }
}

/// Defaults of a replication controller's template, and selector and labels from it.
pub(crate) fn default_replication_controller(object: &mut Value) {
    let labels = at(object, &["spec", "template", "metadata", "labels"]).clone();
    let spec = entry(object, "spec");
    default_to(spec, "replicas", 1);
    if !labels.is_null() {
        if super::value::count(spec, "selector") == 0 {
            set(spec, "selector", labels.clone());
        }
        let meta = entry(object, "metadata");
        if super::value::count(meta, "labels") == 0 {
            set(meta, "labels", labels);
        }
    }
    let spec = entry(object, "spec");
    if has(spec, "template") {
        pod_defaults::template(entry(spec, "template"));
    }
}

/// What is wrong with a replication controller.
pub(crate) fn validate_replication_controller(object: &Value, errors: &mut Errors) {
    metadata::validate(object, true, names::subdomain, errors);
    replication_controller_spec(get(object, "spec"), errors);
}

fn replication_controller_spec(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    errors.nonnegative(&path.child("minReadySeconds"), int(spec, "minReadySeconds"));
    if super::value::count(spec, "selector") == 0 {
        errors.required(&path.child("selector"), "");
    }
    errors.nonnegative(&path.child("replicas"), int(spec, "replicas"));
    let template = get(spec, "template");
    let path = path.child("template");
    if template.is_null() {
        errors.required(&path, "");
        return;
    }
    let labels = at(template, &["metadata", "labels"]);
    let mut wanted = get(spec, "selector").as_object().into_iter().flatten();
    if !wanted.all(|(key, value)| get(labels, key) == value) {
        no_match(labels, &path, errors);
    }
    pod_validation::template(template, &path, errors);
    always_restarted(template, "ReplicationController", &path, errors);
}

/// What is wrong with a change of a replication controller or of its status.
pub(crate) fn validate_replication_controller_update(
    subresource: &str,
    object: &Value,
    old: &Value,
    errors: &mut Errors,
) {
    metadata::validate_update(object, old, errors);
    if subresource == "status" {
        let status = get(object, "status");
        let counts = ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
        nonnegative_counts(status, &counts, errors);
        counts_within(status, &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"], "readyReplicas", errors);
    } else {
        replication_controller_spec(get(object, "spec"), errors);
    }
}
