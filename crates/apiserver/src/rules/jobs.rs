//! Jobs and cron jobs: defaults, preparation, validation.

use serde_json::{Value, json};

use super::metadata::{self, label_selector, selector_matches};
use super::names;
use super::path::{Errors, Path};
use super::pod_defaults;
use super::pod_validation;
use super::value::{
    at, count, default_text, default_to, entry, flag, get, has, int, items, items_mut, object, opt_text, same, set,
    take_over, text,
};

const JOB_NAME: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const CONTROLLER_UID: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const MAX_PARALLELISM: i64 = 100_000;
const SOFT_COMPLETIONS: i64 = 100_000;
const HIGH_PARALLELISM: i64 = 10_000;

/// Defaults of a job.
pub(crate) fn default_job(job: &mut Value) {
    let spec = entry(job, "spec");
    if !has(spec, "completions") && !has(spec, "parallelism") {
        set(spec, "completions", 1);
    }
    default_to(spec, "parallelism", 1);
    let backoff = if has(spec, "backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
    default_to(spec, "backoffLimit", backoff);
    default_text(spec, "completionMode", "NonIndexed");
    default_to(spec, "suspend", false);
    let replacement = if has(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    default_to(spec, "podReplacementPolicy", replacement);
    default_to(spec, "manualSelector", false);
    failure_policy_defaults(spec);
    pod_defaults::template(entry(spec, "template"));
    let labels = at(job, &["spec", "template", "metadata", "labels"]);
    if !labels.is_null() && count(get(job, "metadata"), "labels") == 0 {
        let labels = labels.clone();
        set(entry(job, "metadata"), "labels", labels);
    }
}

/// Defaults of a cron job; its job template gets those of pods only.
pub(crate) fn default_cron_job(job: &mut Value) {
    let spec = entry(job, "spec");
    default_text(spec, "concurrencyPolicy", "Allow");
    default_to(spec, "suspend", false);
    default_to(spec, "successfulJobsHistoryLimit", 3);
    default_to(spec, "failedJobsHistoryLimit", 1);
    let job_spec = entry(entry(spec, "jobTemplate"), "spec");
    failure_policy_defaults(job_spec);
    pod_defaults::template(entry(job_spec, "template"));
}

fn failure_policy_defaults(spec: &mut Value) {
    if !has(spec, "podFailurePolicy") {
        return;
    }
    for rule in items_mut(entry(spec, "podFailurePolicy"), "rules") {
        for pattern in items_mut(rule, "onPodConditions") {
            default_text(pattern, "status", "True");
        }
    }
}

/// A new job: selector and labels made of its UID, unless it brings its own selector.
pub(crate) fn prepare_create(job: &mut Value) {
    let meta = get(job, "metadata");
    let (name, uid) = (text(meta, "name").to_owned(), text(meta, "uid").to_owned());
    let shared = get(meta, "labels") == at(job, &["spec", "template", "metadata", "labels"]);
    let spec = entry(job, "spec");
    if flag(spec, "manualSelector") != Some(true) {
        let labels = object(entry(entry(entry(spec, "template"), "metadata"), "labels"));
        for key in JOB_NAME {
            labels.entry(key).or_insert_with(|| json!(name));
        }
        for key in CONTROLLER_UID {
            labels.entry(key).or_insert_with(|| json!(uid));
        }
        let selector = object(entry(entry(spec, "selector"), "matchLabels"));
        selector.entry(CONTROLLER_UID[1]).or_insert_with(|| json!(uid));
        // A job that took its labels from its template has these, too.
        if shared {
            let labels = at(job, &["spec", "template", "metadata", "labels"]).clone();
            set(entry(job, "metadata"), "labels", labels);
        }
    }
    super::workloads::prepare_create(job, json!({}));
}

/// What is wrong with a job.
pub(crate) fn validate_job(job: &Value, errors: &mut Errors) {
    job_form(job, true, errors);
}

fn job_form(job: &Value, prefixed_labels: bool, errors: &mut Errors) {
    metadata::validate(job, true, names::subdomain, errors);
    generated_selector(job, prefixed_labels, errors);
    let spec = get(job, "spec");
    selected_job_spec(spec, &Path::new("spec"), errors);
    let completions = int(spec, "completions").unwrap_or(0);
    if text(spec, "completionMode") == "Indexed" && completions > 0 {
        let name = text(get(job, "metadata"), "name");
        let last = format!("{name}-{}", completions - 1);
        if !names::label(&last).is_empty() {
            let path = Path::new("metadata");
            let detail = format!("will not able to create pod with invalid DNS label: {last}");
            errors.invalid(&path.child("name"), name, &detail);
        }
    }
}

fn generated_selector(job: &Value, prefixed_labels: bool, errors: &mut Errors) {
    let spec = get(job, "spec");
    let selector = get(spec, "selector");
    if flag(spec, "manualSelector") == Some(true) || selector.is_null() {
        return;
    }
    let meta = get(job, "metadata");
    let (uid, name) = (text(meta, "uid"), text(meta, "name"));
    if uid.is_empty() {
        errors.required(&Path::new("metadata").child("uid"), "");
    }
    let labels = at(spec, &["template", "metadata", "labels"]);
    let path = Path::new("spec");
    let path = path.child("template");
    let path = path.child("metadata");
    let path = path.child("labels");
    let mut expected = serde_json::Map::new();
    let count = if prefixed_labels { 2 } else { 1 };
    for i in 0..count {
        for (key, value) in [(CONTROLLER_UID[i], uid), (JOB_NAME[i], name)] {
            match labels.get(key) {
                None => errors.required(&path.key(key), &format!("must be '{value}'")),
                Some(have) if have != value => {
                    errors.invalid(&path.key(key), labels.clone(), &format!("must be '{value}'"));
                }
                Some(_) => {}
            }
            expected.insert(key.to_owned(), json!(value));
        }
    }
    if selector_matches(selector, &Value::Object(expected)) == Some(false) {
        let path = Path::new("spec");
        errors.invalid(&path.child("selector"), selector.clone(), "`selector` not auto-generated");
    }
}

fn selected_job_spec(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    job_spec(spec, path, errors);
    let selector = get(spec, "selector");
    if selector.is_null() {
        errors.required(&path.child("selector"), "");
    } else {
        label_selector(selector, &path.child("selector"), errors);
    }
    let labels = at(spec, &["template", "metadata", "labels"]);
    if selector_matches(selector, labels) == Some(false) {
        let path = path.child("template");
        let path = path.child("metadata");
        errors.invalid(&path.child("labels"), labels.clone(), "`selector` does not match template `labels`");
    }
}

fn job_spec(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for key in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        errors.nonnegative(&path.child(key), int(spec, key));
    }
    let per_index = int(spec, "backoffLimitPerIndex");
    let max_failed = int(spec, "maxFailedIndexes");
    if max_failed.is_some() && per_index.is_none() {
        errors.required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let Some(manager) = opt_text(spec, "managedBy") {
        managed_by(manager, &path.child("managedBy"), errors);
    }
    match text(spec, "completionMode") {
        "Indexed" => indexed(spec, path, errors),
        mode => {
            if !matches!(mode, "" | "NonIndexed") {
                errors.not_supported(&path.child("completionMode"), mode, &["NonIndexed", "Indexed"]);
            } else {
                for (key, value) in [("backoffLimitPerIndex", per_index), ("maxFailedIndexes", max_failed)] {
                    if let Some(value) = value {
                        errors.invalid(&path.child(key), value, "requires indexed completion mode");
                    }
                }
            }
        }
    }
    if has(spec, "podFailurePolicy") {
        failure_policy(spec, &path.child("podFailurePolicy"), errors);
    }
    if has(spec, "successPolicy") {
        success_policy(spec, &path.child("successPolicy"), errors);
    }
    if let Some(policy) = opt_text(spec, "podReplacementPolicy") {
        let path = path.child("podReplacementPolicy");
        if has(spec, "podFailurePolicy") {
            if policy != "Failed" {
                errors.not_supported(&path, policy, &["Failed"]);
            }
        } else if !matches!(policy, "Failed" | "TerminatingOrFailed") {
            errors.not_supported(&path, policy, &["Failed", "TerminatingOrFailed"]);
        }
    }
    let template = get(spec, "template");
    let template_path = path.child("template");
    pod_validation::template(template, &template_path, errors);
    let policy = text(get(template, "spec"), "restartPolicy");
    let spec_path = template_path.child("spec");
    let path = spec_path.child("restartPolicy");
    match policy {
        "" | "Always" => errors.required(&path, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if has(spec, "podFailurePolicy") => {
            errors.invalid(&path, policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        policy => errors.not_supported(&path, policy, &["OnFailure", "Never"]),
    }
}

fn managed_by(manager: &str, path: &Path<'_>, errors: &mut Errors) {
    match manager.split_once('/') {
        _ if manager.is_empty() => errors.required(path, ""),
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            errors.invalid_each(path, host, names::subdomain(host));
        }
        _ => errors.invalid(path, manager, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
    if manager.len() > 63 {
        errors.too_long(path, 63);
    }
}

fn indexed(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let completions = int(spec, "completions");
    let max_failed = int(spec, "maxFailedIndexes");
    let parallelism = int(spec, "parallelism");
    if completions.is_none() {
        errors.required(&path.child("completions"), "when completion mode is Indexed");
    }
    if let Some(parallelism) = parallelism.filter(|p| *p > MAX_PARALLELISM) {
        let detail = format!("must be less than or equal to {MAX_PARALLELISM} when completion mode is Indexed");
        errors.invalid(&path.child("parallelism"), parallelism, &detail);
    }
    let Some(completions) = completions else { return };
    let failed_path = path.child("maxFailedIndexes");
    if let Some(max_failed) = max_failed.filter(|m| *m > completions) {
        errors.invalid(&failed_path, max_failed, "must be less than or equal to completions");
    }
    if let Some(max_failed) = max_failed.filter(|m| *m > MAX_PARALLELISM) {
        let detail = format!("must be less than or equal to {MAX_PARALLELISM}");
        errors.invalid(&failed_path, max_failed, &detail);
    }
    if completions > SOFT_COMPLETIONS && has(spec, "backoffLimitPerIndex") {
        if max_failed.is_none() {
            let detail = format!("must be specified when completions is above {SOFT_COMPLETIONS}");
            errors.required(&failed_path, &detail);
        }
        for (key, value) in [("parallelism", parallelism), ("maxFailedIndexes", max_failed)] {
            if let Some(value) = value.filter(|v| *v > HIGH_PARALLELISM) {
                let detail = format!(
                    "must be less than or equal to {HIGH_PARALLELISM} when completions are above {SOFT_COMPLETIONS} and \
                     used with backoff limit per index"
                );
                errors.invalid(&path.child(key), value, &detail);
            }
        }
    }
}

fn failure_policy(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let rules = items(get(spec, "podFailurePolicy"), "rules");
    let list = path.child("rules");
    if rules.len() > 20 {
        errors.too_many(&list, rules.len(), 20);
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = list.index(i);
        let action = text(rule, "action");
        let action_path = path.child("action");
        match action {
            "" => errors.required(&action_path, "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"),
            "FailIndex" if !has(spec, "backoffLimitPerIndex") => {
                errors.invalid(&action_path, action, "requires the backoffLimitPerIndex to be set");
            }
            "Count" | "FailIndex" | "FailJob" | "Ignore" => {}
            action => errors.not_supported(&action_path, action, &["Count", "FailIndex", "FailJob", "Ignore"]),
        }
        let codes = get(rule, "onExitCodes");
        if !codes.is_null() {
            exit_codes(codes, spec, &path.child("onExitCodes"), errors);
        }
        let patterns = items(rule, "onPodConditions");
        let patterns_path = path.child("onPodConditions");
        if patterns.len() > 20 {
            errors.too_many(&patterns_path, patterns.len(), 20);
        }
        for (j, pattern) in patterns.iter().enumerate() {
            let path = patterns_path.index(j);
            let (kind, status) = (text(pattern, "type"), text(pattern, "status"));
            errors.invalid_each(&path.child("type"), kind, names::qualified(kind));
            match status {
                "" => errors.required(&path.child("status"), "valid values: [\"False\" \"True\" \"Unknown\"]"),
                "True" | "False" | "Unknown" => {}
                status => errors.not_supported(&path.child("status"), status, &["False", "True", "Unknown"]),
            }
        }
        match (codes.is_null(), patterns.is_empty()) {
            (false, false) => {
                errors.invalid_unshown(&path, "specifying both OnExitCodes and OnPodConditions is not supported");
            }
            (true, true) => {
                errors.invalid_unshown(&path, "specifying one of OnExitCodes and OnPodConditions is required");
            }
            _ => {}
        }
    }
}

fn exit_codes(codes: &Value, spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let operator = text(codes, "operator");
    match operator {
        "" => errors.required(&path.child("operator"), "valid values: [\"In\" \"NotIn\"]"),
        "In" | "NotIn" => {}
        operator => errors.not_supported(&path.child("operator"), operator, &["In", "NotIn"]),
    }
    if let Some(name) = opt_text(codes, "containerName") {
        let pod = at(spec, &["template", "spec"]);
        let mut all = items(pod, "containers").iter().chain(items(pod, "initContainers"));
        if !all.any(|c| text(c, "name") == name) {
            let detail = "must be one of the container or initContainer names in the pod template";
            errors.invalid(&path.child("containerName"), name, detail);
        }
    }
    let values: Vec<i64> = items(codes, "values").iter().filter_map(Value::as_i64).collect();
    let list = path.child("values");
    if values.is_empty() {
        errors.invalid(&list, get(codes, "values").clone(), "at least one value is required");
    } else if values.len() > 255 {
        errors.too_many(&list, values.len(), 255);
    }
    for (i, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            errors.invalid(&list.index(i), 0, "must not be 0 for the In operator");
        }
        if values.iter().take(i).any(|v| v == value) {
            errors.duplicate(&list.index(i), *value);
        }
    }
    if !values.is_sorted() {
        errors.invalid(&list, json!(values), "must be ordered");
    }
}

fn success_policy(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let policy = get(spec, "successPolicy");
    if text(spec, "completionMode") != "Indexed" {
        errors.invalid(path, policy.clone(), "requires indexed completion mode");
        return;
    }
    let rules = items(policy, "rules");
    let list = path.child("rules");
    if rules.is_empty() {
        errors.required(&list, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > 20 {
        errors.too_many(&list, rules.len(), 20);
    }
    let completions = int(spec, "completions").unwrap_or(0);
    for (i, rule) in rules.iter().enumerate() {
        let path = list.index(i);
        let (count, indexes) = (int(rule, "succeededCount"), opt_text(rule, "succeededIndexes"));
        if count.is_none() && indexes.is_none() {
            errors.required(&path, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if let Some(indexes) = indexes {
            match count_indexes(indexes, completions) {
                Ok(indexes) => total = indexes,
                Err(why) => {
                    let detail = format!("error parsing succeededIndexes: {why}");
                    errors.invalid(&path.child("succeededIndexes"), indexes, &detail);
                }
            }
        }
        if let Some(count) = count {
            let path = path.child("succeededCount");
            errors.nonnegative(&path, Some(count));
            if count > completions {
                let detail =
                    format!("must be less than or equal to {completions} (the number of specified completions)");
                errors.invalid(&path, count, &detail);
            }
            if indexes.is_some() && count > total {
                let detail = format!(
                    "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
                );
                errors.invalid(&path, count, &detail);
            }
        }
    }
}

/// How many indexes a list such as `1,3-5` names.
fn count_indexes(indexes: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut last: Option<i64> = None;
    for interval in indexes.split(',').filter(|_| !indexes.is_empty()) {
        let limits: Vec<&str> = interval.split('-').collect();
        if limits.len() > 2 {
            return Err(format!(
                "the fragment \"{interval}\" violates the requirement that an index interval can have at most two parts \
                 separated by '-'"
            ));
        }
        let mut ends = Vec::with_capacity(2);
        for limit in limits {
            let index: i64 =
                limit.parse().map_err(|_| format!("cannot convert string to integer for index: \"{limit}\""))?;
            if index >= completions {
                return Err(format!("too large index: \"{limit}\""));
            }
            ends.push(index);
        }
        let (first, end) = (ends.first().copied().unwrap_or(0), ends.last().copied().unwrap_or(0));
        if ends.len() == 2 && first >= end {
            return Err(format!("non-increasing order, previous: {first}, current: {end}"));
        }
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// What is wrong with a change of a job.
pub(crate) fn validate_job_update(subresource: &str, job: &Value, old: &Value, errors: &mut Errors) {
    if subresource == "status" {
        metadata::validate_update(job, old, errors);
        job_status(job, old, errors);
        return;
    }
    let labels = at(old, &["spec", "template", "metadata", "labels"]);
    let prefixed = has(labels, JOB_NAME[1]) && has(labels, CONTROLLER_UID[1]);
    job_form(job, prefixed, errors);
    metadata::validate_update(job, old, errors);
    let (spec, old_spec) = (get(job, "spec"), get(old, "spec"));
    let path = Path::new("spec");
    selected_job_spec(spec, &path, errors);
    let (new, before) = (get(spec, "completions"), get(old_spec, "completions"));
    if text(spec, "completionMode") != "Indexed" {
        errors.immutable(&path.child("completions"), new, before);
    } else if new != before && !new.is_null() && new != get(spec, "parallelism") {
        let detail = "can only be modified in tandem with spec.parallelism";
        errors.invalid(&path.child("completions"), new.clone(), detail);
    }
    errors.immutable(&path.child("selector"), get(spec, "selector"), get(old_spec, "selector"));
    template_update(spec, old, &path, errors);
    for key in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        errors.immutable(&path.child(key), get(spec, key), get(old_spec, key));
    }
}

fn condition_is(job: &Value, kind: &str, status: &str) -> bool {
    items(get(job, "status"), "conditions").iter().any(|c| text(c, "type") == kind && text(c, "status") == status)
}

fn condition_is_true(job: &Value, kind: &str) -> bool {
    condition_is(job, kind, "True")
}

/// While a job is suspended and has no pods, where its pods may run and what they need can be changed.
fn template_update(spec: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let old_spec = get(old, "spec");
    let status = get(old, "status");
    let suspended = flag(old_spec, "suspend") == Some(true);
    let mutable = suspended
        && (!has(status, "startTime") || condition_is_true(old, "Suspended"))
        && int(status, "active").unwrap_or(0) == 0;
    let template = get(spec, "template");
    let mut before = get(old_spec, "template").clone();
    if !mutable {
        errors.immutable(&path.child("template"), template, &before);
        return;
    }
    let new_spec = get(template, "spec");
    let meta = entry(&mut before, "metadata");
    for key in ["annotations", "labels"] {
        take_over(meta, key, get(template, "metadata"));
    }
    let pod = entry(&mut before, "spec");
    for key in ["nodeSelector", "tolerations", "schedulingGates"] {
        take_over(pod, key, new_spec);
    }
    if has(new_spec, "affinity") || has(pod, "affinity") {
        take_over(entry(pod, "affinity"), "nodeAffinity", get(new_spec, "affinity"));
    }
    for list in ["containers", "initContainers"] {
        let new = items(new_spec, list);
        if new.len() == items(pod, list).len() {
            for (container, new) in items_mut(pod, list).zip(new) {
                if text(container, "name") == text(new, "name") {
                    take_over(container, "resources", new);
                }
            }
        }
    }
    let path = path.child("template.spec");
    errors.immutable(&path, new_spec, get(&before, "spec"));
}

fn job_status(job: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("status");
    let (status, old_status) = (get(job, "status"), get(old, "status"));
    let of = |status: &Value, key: &str| int(status, key).unwrap_or(0);
    for key in ["active", "succeeded", "failed", "ready", "terminating"] {
        errors.nonnegative(&path.child(key), int(status, key));
    }
    let is = |kind: &str| condition_is_true(job, kind);
    let was = |kind: &str| condition_is_true(old, kind);
    let changed = |kind: &str| is(kind) != was(kind);
    let differs = |key: &str| !same(get(status, key), get(old_status, key));
    let finished = is("Complete") || is("Failed");
    let newly_finished = finished != (was("Complete") || was("Failed"));
    let conditions = path.child("conditions");
    let mut conflict = |broken: bool, detail: &str| {
        if broken {
            errors.invalid_unshown(&conditions, detail);
        }
    };
    conflict(
        (changed("Complete") || changed("Failed")) && is("Complete") && is("Failed"),
        "cannot set Complete=True and Failed=true conditions",
    );
    conflict(
        (changed("Complete") || changed("FailureTarget")) && is("Complete") && is("FailureTarget"),
        "cannot set Complete=True and FailureTarget=true conditions",
    );
    let completion = get(status, "completionTime");
    if changed("Complete") || differs("completionTime") {
        let path = path.child("completionTime");
        if !completion.is_null() && !is("Complete") {
            let detail = "cannot set completionTime when there is no Complete=True condition";
            errors.invalid(&path, completion.clone(), detail);
        }
        if completion.is_null() && is("Complete") {
            errors.required(&path, "completionTime is required for Complete jobs");
        }
    }
    if let (Some(start), Some(end)) = (opt_text(status, "startTime"), completion.as_str())
        && (differs("startTime") || differs("completionTime"))
        && end < start
    {
        errors.invalid(&path.child("completionTime"), end, "must be equal to or after `startTime`");
    }
    if (changed("Failed") || differs("failedIndexes")) && is("Failed") && !is("FailureTarget") {
        let detail = "cannot set Failed=True condition without the FailureTarget=true condition";
        errors.invalid_unshown(&conditions, detail);
    }
    if (changed("Complete") || changed("SuccessCriteriaMet")) && is("Complete") && !is("SuccessCriteriaMet") {
        let detail = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
        errors.invalid_unshown(&conditions, detail);
    }
    if finished && (newly_finished || differs("active")) && of(status, "active") > 0 {
        errors.invalid(&path.child("active"), of(status, "active"), "active>0 is invalid for finished job");
    }
    if finished && (newly_finished || differs("startTime")) && !has(status, "startTime") {
        errors.required(&path.child("startTime"), "startTime is required for finished job");
    }
    let uncounted = get(status, "uncountedTerminatedPods");
    if finished && (newly_finished || differs("uncountedTerminatedPods")) {
        let left = items(uncounted, "failed").len() + items(uncounted, "succeeded").len();
        if left > 0 {
            let path = path.child("uncountedTerminatedPods");
            errors.invalid(&path, uncounted.clone(), "must be empty for finished job");
        }
    }
    if finished && (newly_finished || differs("terminating")) && of(status, "terminating") > 0 {
        let detail = "terminating>0 is invalid for finished job";
        errors.invalid(&path.child("terminating"), of(status, "terminating"), detail);
    }
    if (differs("ready") || differs("active")) && of(status, "ready") > of(status, "active") {
        errors.invalid(&path.child("ready"), of(status, "ready"), "cannot set more ready pods than active");
    }
    if is("SuccessCriteriaMet") && is("Failed") {
        errors.invalid_unshown(&conditions, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    }
    if is("SuccessCriteriaMet") && is("FailureTarget") {
        errors.invalid_unshown(&conditions, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    }
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if was(kind) && !is(kind) {
            errors.invalid_unshown(&conditions, &format!("cannot disable the terminal {kind}=True condition"));
        }
    }
    if of(status, "failed") < of(old_status, "failed") {
        errors.invalid(&path.child("failed"), of(status, "failed"), "cannot decrease the failed counter");
    }
    let spec = get(job, "spec");
    let elastic = text(spec, "completionMode") == "Indexed" && get(spec, "completions") == get(spec, "parallelism");
    if !elastic && of(status, "succeeded") < of(old_status, "succeeded") {
        errors.invalid(&path.child("succeeded"), of(status, "succeeded"), "cannot decrease the succeeded counter");
    }
    if has(status, "completionTime") && has(old_status, "completionTime") && differs("completionTime") {
        errors.invalid(&path.child("completionTime"), completion.clone(), "field is immutable");
    }
    let resuming = was("Suspended") && condition_is(job, "Suspended", "False");
    if has(old_status, "startTime") && differs("startTime") && !resuming && flag(spec, "suspend") != Some(true) {
        let detail = "field is immutable for unsuspended job once set";
        errors.invalid(&path.child("startTime"), get(status, "startTime").clone(), detail);
    }
    if was("SuccessCriteriaMet") && !is("SuccessCriteriaMet") {
        errors.invalid_unshown(&conditions, "cannot disable the SuccessCriteriaMet=True condition");
    }
}

/// What is wrong with a cron job.
pub(crate) fn validate_cron_job(job: &Value, errors: &mut Errors) {
    metadata::validate(job, true, names::subdomain, errors);
    cron_job_spec(get(job, "spec"), &Value::Null, errors);
    let name = text(get(job, "metadata"), "name");
    if name.len() > 52 {
        errors.invalid(&Path::new("metadata").child("name"), name, "must be no more than 52 characters");
    }
}

/// What is wrong with a change of a cron job.
pub(crate) fn validate_cron_job_update(subresource: &str, job: &Value, old: &Value, errors: &mut Errors) {
    if subresource == "status" {
        return;
    }
    metadata::validate_update(job, old, errors);
    cron_job_spec(get(job, "spec"), get(old, "spec"), errors);
}

fn cron_job_spec(spec: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let schedule = text(spec, "schedule");
    let schedule_path = path.child("schedule");
    if schedule.is_empty() {
        errors.required(&schedule_path, "");
    } else {
        if let Err(why) = super::cron::check(schedule) {
            errors.invalid(&schedule_path, schedule, &why);
        }
        if schedule.contains("TZ") {
            if !text(old, "schedule").contains("TZ") {
                let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
                errors.invalid(&schedule_path, schedule, detail);
            } else if has(spec, "timeZone") {
                let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
                errors.invalid(&schedule_path, schedule, detail);
            }
        }
    }
    errors.nonnegative(&path.child("startingDeadlineSeconds"), int(spec, "startingDeadlineSeconds"));
    if let Some(zone) = opt_text(spec, "timeZone").filter(|zone| opt_text(old, "timeZone") != Some(zone)) {
        time_zone(zone, &path.child("timeZone"), errors);
    }
    let policy = text(spec, "concurrencyPolicy");
    match policy {
        "" => errors.required(&path.child("concurrencyPolicy"), ""),
        "Allow" | "Forbid" | "Replace" => {}
        policy => {
            errors.not_supported(&path.child("concurrencyPolicy"), policy, &["Allow", "Forbid", "Replace"]);
        }
    }
    let template = path.child("jobTemplate");
    let template_path = template.child("spec");
    let job = at(spec, &["jobTemplate", "spec"]);
    job_spec(job, &template_path, errors);
    let selector = get(job, "selector");
    if !selector.is_null() {
        errors.invalid(&template_path.child("selector"), selector.clone(), "`selector` will be auto-generated");
    }
    if flag(job, "manualSelector") == Some(true) {
        errors.not_supported(&template_path.child("manualSelector"), true, &["nil", "false"]);
    }
    for key in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.nonnegative(&path.child(key), int(spec, key));
    }
}

fn time_zone(zone: &str, path: &Path<'_>, errors: &mut Errors) {
    if zone.is_empty() {
        errors.invalid(path, zone, "timeZone must be nil or non-empty string");
        return;
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+');
    let part = |part: &str| {
        !matches!(part, "" | "." | "..") && !part.starts_with('-') && part.len() <= 14 && part.bytes().all(plain)
    };
    if !zone.split('/').all(part) {
        errors.invalid(path, zone, &format!("unknown time zone {zone}"));
    } else if zone.eq_ignore_ascii_case("local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(path, zone, detail);
    }
}
