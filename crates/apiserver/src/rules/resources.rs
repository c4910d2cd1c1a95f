//! Requests and limits: which names may stand in them, how they must relate, what they add up to, and the quality of service
//! class that follows. Entry points: [`container_requirements`], [`pod_requirements`], [`qos_class`].

use std::collections::BTreeMap;

use augur_notation::Quantity;
use serde_json::Value;

use super::names;
use super::path::{Errors, Path};
use super::value::{at, entries, get, has, items, text};

/// A quantity of a decoded object; zero if it cannot be read (decoding has refused such before).
pub(crate) fn quantity(value: &Value) -> Quantity {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(Quantity::ZERO)
}

fn is_whole(quantity: Quantity) -> bool {
    quantity.milli() % 1000 == 0
}

/// Resource names with their amounts.
pub(crate) type Amounts<'a> = BTreeMap<&'a str, Quantity>;

fn is_standard_container(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name)
}

fn is_standard(name: &str) -> bool {
    matches!(
        name,
        "cpu"
            | "memory"
            | "ephemeral-storage"
            | "requests.cpu"
            | "requests.memory"
            | "requests.ephemeral-storage"
            | "limits.cpu"
            | "limits.memory"
            | "limits.ephemeral-storage"
            | "storage"
            | "requests.storage"
    ) || is_counted(name)
        || is_huge_page(name)
        || name.starts_with("requests.hugepages-")
}

fn is_counted(name: &str) -> bool {
    matches!(
        name,
        "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "services.nodeports"
            | "services.loadbalancers"
    )
}

/// Whether a quota can count a resource without a domain.
pub(crate) fn is_quota_resource(name: &str) -> bool {
    is_standard(name) && name != "storage"
}

/// Whether a resource is one of huge pages of some size.
pub(crate) fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource is of a vendor and counted in whole numbers.
pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified(&format!("requests.{name}")).is_empty()
}

fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// Resources that may be given for a pod as a whole.
pub(crate) fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

/// Whether a resource is a standard one or fully qualified.
pub(crate) fn resource_name(name: &str, path: &Path<'_>, errors: &mut Errors) -> bool {
    let broken = names::qualified(name);
    if !broken.is_empty() {
        errors.invalid_each(path, name, broken);
        return false;
    }
    if !name.contains('/') && !is_standard(name) {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
        return false;
    }
    true
}

/// A resource that containers can have.
pub(crate) fn container_resource_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if is_standard_container(name) && !is_huge_page(name) {
        return;
    }
    resource_name(name, path, errors);
    if !name.contains('/') {
        if !is_standard_container(name) {
            errors.invalid(path, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.invalid(path, name, "doesn't follow extended resource name standard");
    }
}

fn pod_resource_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if resource_name(name, path, errors) && !is_pod_level(name) {
        errors.not_supported(path, name, &["cpu", "hugepages-", "memory"]);
    }
}

/// An amount: not negative, and whole where the resource is counted.
pub(crate) fn amount(name: &str, shown: &Value, value: Quantity, path: &Path<'_>, errors: &mut Errors) {
    if value.is_negative() {
        errors.invalid(path, shown.clone(), "must be greater than or equal to 0");
    }
    if (is_counted(name) || name.contains('/') && is_extended(name)) && !is_whole(value) {
        errors.invalid(path, shown.clone(), "must be an integer");
    }
}

/// An amount that must be greater than zero.
pub(crate) fn positive(shown: &Value, path: &Path<'_>, errors: &mut Errors) -> bool {
    let value = quantity(shown);
    let positive = !value.is_negative() && !value.is_zero();
    if !positive {
        errors.invalid(path, shown.clone(), "must be greater than zero");
    }
    positive
}

fn huge_page_amount(name: &str, shown: &Value, value: Quantity, path: &Path<'_>, errors: &mut Errors) {
    let page: Option<Quantity> = name.strip_prefix("hugepages-").and_then(|size| size.parse().ok());
    let divisible = page.is_some_and(|page| {
        let size = page.value();
        size > 0 && is_whole(page) && value.value() % size == 0
    });
    if !divisible {
        let text = shown.as_str().unwrap_or("");
        errors.invalid(path, shown.clone(), &format!("{text} is not positive integer multiple of {name}"));
    }
}

/// Requests and limits of a container.
pub(crate) fn container_requirements(requirements: &Value, claims: &[Value], path: &Path<'_>, errors: &mut Errors) {
    requirements_of(requirements, container_resource_name, claims, path, errors);
}

/// Requests and limits of a pod as a whole.
pub(crate) fn pod_requirements(requirements: &Value, claims: &[Value], path: &Path<'_>, errors: &mut Errors) {
    requirements_of(requirements, pod_resource_name, claims, path, errors);
}

fn requirements_of(
    requirements: &Value,
    name_check: fn(&str, &Path<'_>, &mut Errors),
    claims: &[Value],
    path: &Path<'_>,
    errors: &mut Errors,
) {
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    let (mut compute, mut huge) = (false, false);
    for (name, shown) in entries(requirements, "limits") {
        let path = limits_path.key(name);
        name_check(name, &path, errors);
        let value = quantity(shown);
        amount(name, shown, value, &path, errors);
        if is_huge_page(name) {
            huge = true;
            huge_page_amount(name, shown, value, &path, errors);
        }
        compute |= matches!(name.as_str(), "cpu" | "memory");
    }
    for (name, shown) in entries(requirements, "requests") {
        let path = requests_path.key(name);
        name_check(name, &path, errors);
        let value = quantity(shown);
        amount(name, shown, value, &path, errors);
        let limit = at(requirements, &["limits", name]);
        if !limit.is_null() {
            if shown != limit {
                let limit_value = quantity(limit);
                let limit = limit.as_str().unwrap_or("");
                if value != limit_value && !may_overcommit(name) {
                    let detail = format!("must be equal to {name} limit of {limit}");
                    errors.invalid(&requests_path, shown.clone(), &detail);
                } else if value > limit_value {
                    let detail = format!("must be less than or equal to {name} limit of {limit}");
                    errors.invalid(&requests_path, shown.clone(), &detail);
                }
            }
        } else if !may_overcommit(name) {
            errors.required(&limits_path, "Limit must be set for non overcommitable resources");
        }
        if is_huge_page(name) {
            huge = true;
            huge_page_amount(name, shown, value, &path, errors);
        }
        compute |= matches!(name.as_str(), "cpu" | "memory");
    }
    if huge && !compute {
        errors.forbidden(path, "HugePages require cpu or memory");
    }
    claim_names(requirements, claims, &path.child("claims"), errors);
}

fn claim_names(requirements: &Value, pod_claims: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (i, claim) in items(requirements, "claims").iter().enumerate() {
        let path = path.index(i);
        let (name, request) = (text(claim, "name"), text(claim, "request"));
        if name.is_empty() {
            errors.required(&path, "");
            continue;
        }
        if !request.is_empty() {
            errors.invalid_each(&path.child("request"), request, names::label(request));
        }
        if seen.iter().any(|(n, r)| *n == name && (r.is_empty() || request.is_empty() || *r == request)) {
            let whole = seen.contains(&(name, ""));
            let shown = if request.is_empty() || whole { name.to_owned() } else { format!("{name}/{request}") };
            errors.duplicate(&path, shown);
        }
        seen.push((name, request));
        let mut known: Vec<&str> = pod_claims.iter().map(|c| text(c, "name")).collect();
        if !known.contains(&name) {
            errors.not_found(&path, name);
            known.sort_unstable();
            let list = if known.is_empty() { " which is empty".to_owned() } else { format!(": {}", known.join(", ")) };
            errors.detail(&format!("must be one of the names in pod.spec.resourceClaims{list}"));
        }
    }
}

fn add<'a>(total: &mut Amounts<'a>, list: &'a Value) {
    for (name, shown) in list.as_object().into_iter().flatten() {
        let value = quantity(shown);
        total.entry(name).and_modify(|sum| *sum = sum.plus(value)).or_insert(value);
    }
}

fn raise<'a>(total: &mut Amounts<'a>, other: Amounts<'a>) {
    for (name, value) in other {
        match total.get_mut(name) {
            Some(have) if *have >= value => {}
            _ => {
                total.insert(name, value);
            }
        }
    }
}

/// What a pod's containers need together: the sum of the containers and sidecars, or the most that an init container needs
/// next to the sidecars started before it. `which` is `requests` or `limits`.
pub(crate) fn sum_of_containers<'a>(spec: &'a Value, which: &str) -> Amounts<'a> {
    let mut total = Amounts::new();
    for container in items(spec, "containers") {
        add(&mut total, at(container, &["resources", which]));
    }
    let mut sidecars = Amounts::new();
    let mut starting = Amounts::new();
    for container in items(spec, "initContainers") {
        let list = at(container, &["resources", which]);
        let mut now = sidecars.clone();
        add(&mut now, list);
        if text(container, "restartPolicy") == "Always" {
            add(&mut total, list);
            sidecars = now.clone();
        }
        raise(&mut starting, now);
    }
    raise(&mut total, starting);
    total
}

/// How the containers' amounts must relate to the pod's own.
pub(crate) fn pod_level_consistency(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let own = get(spec, "resources");
    let requests_path = path.child("requests");
    for (name, sum) in sum_of_containers(spec, "requests") {
        let shown = at(own, &["requests", name]);
        if !shown.is_null() && sum > quantity(shown) {
            let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
            errors.invalid(&requests_path.key(name), shown.clone(), &detail);
        }
    }
    let limits_path = path.child("limits");
    for (name, sum) in sum_of_containers(spec, "limits") {
        let shown = at(own, &["limits", name]);
        if is_huge_page(name) && !shown.is_null() && sum > quantity(shown) {
            let detail = format!("must be greater than or equal to aggregate container limits of {sum}");
            errors.invalid(&limits_path.key(name), shown.clone(), &detail);
        }
    }
    let containers = path.child("containers");
    for (i, container) in items(spec, "containers").iter().enumerate() {
        for (name, shown) in entries(get(container, "resources"), "limits") {
            let limit = at(own, &["limits", name]);
            if !limit.is_null() && quantity(shown) > quantity(limit) {
                let detail = format!("must be less than or equal to pod limits of {}", limit.as_str().unwrap_or(""));
                let container = containers.index(i);
                errors.invalid(&container.key(name).child("limits"), shown.clone(), &detail);
            }
        }
    }
}

fn positive_compute(list: &Value) -> (Option<Quantity>, Option<Quantity>) {
    let of = |name: &str| {
        let shown = get(list, name);
        if shown.is_null() { None } else { Some(quantity(shown)).filter(|q| !q.is_zero() && !q.is_negative()) }
    };
    (of("cpu"), of("memory"))
}

/// `Guaranteed` if every container has limits of cpu and memory equal to its requests, `BestEffort` if none has any of them,
/// `Burstable` otherwise; a pod's own amounts stand for those of its containers.
pub(crate) fn qos_class(spec: &Value) -> &'static str {
    let own = get(spec, "resources");
    if has(own, "requests") || has(own, "limits") {
        let (cpu, memory) = positive_compute(get(own, "requests"));
        let (cpu_limit, memory_limit) = positive_compute(get(own, "limits"));
        return match (cpu_limit, memory_limit) {
            (None, None) if cpu.is_none() && memory.is_none() => "BestEffort",
            (Some(c), Some(m)) if cpu.is_none_or(|q| q == c) && memory.is_none_or(|q| q == m) => "Guaranteed",
            _ => "Burstable",
        };
    }
    let (mut guaranteed, mut any) = (true, false);
    let mut sums: [Option<Quantity>; 4] = [None, None, None, None];
    for container in items(spec, "initContainers").iter().chain(items(spec, "containers")) {
        let resources = get(container, "resources");
        let (cpu, memory) = positive_compute(get(resources, "requests"));
        let (cpu_limit, memory_limit) = positive_compute(get(resources, "limits"));
        guaranteed &= cpu_limit.is_some() && memory_limit.is_some();
        for (sum, value) in sums.iter_mut().zip([cpu, memory, cpu_limit, memory_limit]) {
            if let Some(value) = value {
                any = true;
                *sum = Some(match sum.take() {
                    Some(have) => have.plus(value),
                    None => value,
                });
            }
        }
    }
    let [cpu, memory, cpu_limit, memory_limit] = sums;
    if !any {
        "BestEffort"
    } else if guaranteed && cpu.is_none_or(|q| Some(q) == cpu_limit) && memory.is_none_or(|q| Some(q) == memory_limit) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}
