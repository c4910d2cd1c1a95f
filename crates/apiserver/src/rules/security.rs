//! Security contexts of pods and containers, and the rules between a pod and the host's namespaces.
//! Entry points: [`pod`] and [`container`].

use serde_json::Value;

use super::names::{self, in_range};
use super::path::{Errors, Path};
use super::value::{flag, get, has, int, items, opt_text, text};
use super::volumes::descending_path;

const MAX_ID: i64 = i32::MAX as i64;
const APPARMOR_PROFILE_LENGTH: usize = 4095;
const SYSCTL_LENGTH: usize = 253;
const SYSCTL_FORM: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

fn id(context: &Value, key: &str, path: &Path<'_>, errors: &mut Errors) {
    if let Some(id) = int(context, key) {
        for detail in in_range(id, 0, MAX_ID) {
            errors.invalid(&path.child(key), id, &detail);
        }
    }
}

fn one_of(context: &Value, key: &str, supported: &[&str], path: &Path<'_>, errors: &mut Errors) {
    if let Some(value) = opt_text(context, key).filter(|v| !supported.contains(v)) {
        errors.not_supported(&path.child(key), value, supported);
    }
}

/// The security context of a pod, with the host namespaces in the spec beside it.
pub(crate) fn pod(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let context = get(spec, "securityContext");
    let path = path.child("securityContext");
    let shared = flag(spec, "shareProcessNamespace") == Some(true) && flag(spec, "hostPID") == Some(true);
    if context.as_object().is_none_or(serde_json::Map::is_empty) && !shared {
        return;
    }
    for key in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(context, key, &path, errors);
    }
    let groups = path.child("supplementalGroups");
    for (i, group) in items(context, "supplementalGroups").iter().filter_map(Value::as_i64).enumerate() {
        for detail in in_range(group, 0, MAX_ID) {
            errors.invalid(&groups.index(i), group, &detail);
        }
    }
    if shared {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&path.child("shareProcessNamespace"), true, detail);
    }
    sysctls(context, &path.child("sysctls"), errors);
    one_of(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], &path, errors);
    seccomp(context, &path.child("seccompProfile"), errors);
    app_armor(context, &path.child("appArmorProfile"), errors);
    one_of(context, "supplementalGroupsPolicy", &["Merge", "Strict"], &path, errors);
    one_of(context, "seLinuxChangePolicy", &["MountOption", "Recursive"], &path, errors);
}

fn sysctls(context: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = items(context, "sysctls");
    for (i, sysctl) in list.iter().enumerate() {
        let item = path.index(i);
        let path = item.child("name");
        let name = text(sysctl, "name");
        let segment = |s: &str| {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            let bytes = s.as_bytes();
            let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
            plain(*first) && plain(*last) && bytes.iter().all(|b| plain(*b) || matches!(b, b'-' | b'_'))
        };
        if name.is_empty() {
            errors.required(&path, "");
        } else if name.len() > SYSCTL_LENGTH || !name.split(['.', '/']).all(segment) {
            errors.invalid(&path, name, SYSCTL_FORM);
        } else if list.iter().take(i).any(|s| text(s, "name") == name) {
            errors.duplicate(&path, name);
        }
    }
}

fn seccomp(context: &Value, path: &Path<'_>, errors: &mut Errors) {
    let profile = get(context, "seccompProfile");
    if profile.is_null() {
        return;
    }
    let kinds = ["Localhost", "RuntimeDefault", "Unconfined"];
    let kind = text(profile, "type");
    if kind.is_empty() {
        errors.required(&path.child("type"), "type is required when seccompProfile is set");
    } else if !kinds.contains(&kind) {
        errors.not_supported(&path.child("type"), kind, &kinds);
    }
    let local = opt_text(profile, "localhostProfile");
    let path = path.child("localhostProfile");
    match (kind, local) {
        ("Localhost", None) => errors.required(&path, "must be set when seccomp type is Localhost"),
        ("Localhost", Some(local)) => descending_path(local, &path, errors),
        (_, Some(_)) => errors.invalid(&path, profile.clone(), "can only be set when seccomp type is Localhost"),
        (_, None) => {}
    }
}

fn app_armor(context: &Value, path: &Path<'_>, errors: &mut Errors) {
    let profile = get(context, "appArmorProfile");
    if profile.is_null() {
        return;
    }
    let local = opt_text(profile, "localhostProfile");
    let local_path = path.child("localhostProfile");
    let missing = "must be set when AppArmor type is Localhost";
    match text(profile, "type") {
        "Localhost" => match local {
            None => errors.required(&local_path, missing),
            Some(local) => {
                if local.trim() != local {
                    errors.invalid(&local_path, local, "must not be padded with whitespace");
                } else if local.is_empty() {
                    errors.required(&local_path, missing);
                }
                if local.len() > APPARMOR_PROFILE_LENGTH {
                    errors.too_long(&local_path, APPARMOR_PROFILE_LENGTH);
                }
            }
        },
        "RuntimeDefault" | "Unconfined" => {
            if let Some(local) = local {
                errors.invalid(&local_path, local, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => errors.required(&path.child("type"), "type is required when appArmorProfile is set"),
        kind => errors.not_supported(&path.child("type"), kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

/// Whether containers share the host's user namespace.
pub(crate) fn uses_host_users(spec: &Value) -> bool {
    flag(spec, "hostUsers").unwrap_or(true)
}

/// The security context of a container.
pub(crate) fn container(container: &Value, host_users: bool, path: &Path<'_>, errors: &mut Errors) {
    let context = get(container, "securityContext");
    if context.is_null() {
        return;
    }
    let path = path.child("securityContext");
    id(context, "runAsUser", &path, errors);
    id(context, "runAsGroup", &path, errors);
    if let Some(mount) = opt_text(context, "procMount") {
        if !matches!(mount, "Default" | "Unmasked") {
            errors.not_supported(&path.child("procMount"), mount, &["Default", "Unmasked"]);
        }
        if host_users && mount == "Unmasked" {
            errors.invalid(&path.child("procMount"), mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(context, &path.child("seccompProfile"), errors);
    if flag(context, "allowPrivilegeEscalation") == Some(false) {
        if flag(context, "privileged") == Some(true) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.invalid(&path, context.clone(), detail);
        }
        if items(get(context, "capabilities"), "add").iter().any(|c| c == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid(&path, context.clone(), detail);
        }
    }
    app_armor(context, &path.child("appArmorProfile"), errors);
}

/// What a pod with its own user namespace may not share with the host.
pub(crate) fn host_users(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    if uses_host_users(spec) {
        return;
    }
    let detail = "when `hostUsers` is false";
    if flag(spec, "hostNetwork") == Some(true) {
        errors.forbidden(&path.child("hostNetwork"), detail);
    }
    if flag(spec, "hostPID") == Some(true) {
        errors.forbidden(&path.child("HostPID"), detail);
    }
    if flag(spec, "hostIPC") == Some(true) {
        errors.forbidden(&path.child("HostIPC"), detail);
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let path = path.child(list);
        for (i, container) in items(spec, list).iter().enumerate() {
            if !items(container, "volumeDevices").is_empty() {
                errors.forbidden(&path.index(i).child("volumeDevices"), detail);
            }
        }
    }
}

/// Annotations in which pods of old carried what are fields now.
pub(crate) fn pod_annotations(annotations: &Value, spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(annotations) = annotations.as_object() else { return };
    let of = |key: &str| annotations.get(key).and_then(Value::as_str);
    if let Some(value) = of("kubernetes.io/config.mirror")
        && text(spec, "nodeName").is_empty()
    {
        let key = path.key("kubernetes.io/config.mirror");
        errors.invalid(&key, value, "must set spec.nodeName if mirror pod annotation is set");
    }
    if let Some(cost) = of("controller.kubernetes.io/pod-deletion-cost")
        && !is_deletion_cost(cost)
    {
        let key = path.key("controller.kubernetes.io/pod-deletion-cost");
        errors.invalid(&key, cost, "must be a 32bit integer");
    }
    for (key, value) in annotations {
        let seccomp = key == "seccomp.security.alpha.kubernetes.io/pod"
            || key.starts_with("container.seccomp.security.alpha.kubernetes.io/");
        if seccomp {
            let (path, value) = (path.child(key), value.as_str().unwrap_or(""));
            match value {
                "runtime/default" | "docker/default" | "unconfined" => {}
                _ => match value.strip_prefix("localhost/") {
                    Some(local) => descending_path(local, &path, errors),
                    None => errors.invalid(&path, value, "must be a valid seccomp profile"),
                },
            }
        }
    }
}

/// A 32-bit integer without plus sign or leading zeros.
fn is_deletion_cost(cost: &str) -> bool {
    if cost.is_empty() {
        return true;
    }
    cost.parse::<i32>().is_ok_and(|value| value.to_string() == cost)
}

/// Name of a runtime class.
pub(crate) fn runtime_class(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    if has(spec, "runtimeClassName") {
        let name = text(spec, "runtimeClassName");
        errors.invalid_each(&path.child("runtimeClassName"), name, names::subdomain(name));
    }
}
