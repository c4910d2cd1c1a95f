//! Field selectors: the labels each kind supports and how their values are read off an object.

use augur_notation::{FieldRequirement, FieldSelector};
use serde_json::Value;

use super::Facts;
use crate::resource::Resource;

/// `(label, pointer)` of what a kind supports beside name and namespace.
fn supported(resource: &Resource) -> &'static [(&'static str, &'static str)] {
    match (resource.group, resource.plural) {
        ("", "pods") => &[
            ("spec.nodeName", "/spec/nodeName"),
            ("spec.restartPolicy", "/spec/restartPolicy"),
            ("spec.schedulerName", "/spec/schedulerName"),
            ("spec.serviceAccountName", "/spec/serviceAccountName"),
            ("spec.hostNetwork", "/spec/hostNetwork"),
            ("status.phase", "/status/phase"),
            ("status.podIP", "/status/podIPs/0/ip"),
            ("status.podIPs", "/status/none"),
            ("status.nominatedNodeName", "/status/nominatedNodeName"),
            ("spec.host", "/spec/nodeName"),
        ],
        ("", "nodes") => &[("spec.unschedulable", "/spec/unschedulable")],
        ("", "namespaces") => &[("status.phase", "/status/phase")],
        ("", "secrets") => &[("type", "/type")],
        ("", "services") => &[("spec.clusterIP", "/spec/clusterIP"), ("spec.type", "/spec/type")],
        ("", "replicationcontrollers") => &[("status.replicas", "/status/replicas")],
        ("", "events") => &[
            ("involvedObject.kind", "/involvedObject/kind"),
            ("involvedObject.namespace", "/involvedObject/namespace"),
            ("involvedObject.name", "/involvedObject/name"),
            ("involvedObject.uid", "/involvedObject/uid"),
            ("involvedObject.apiVersion", "/involvedObject/apiVersion"),
            ("involvedObject.resourceVersion", "/involvedObject/resourceVersion"),
            ("involvedObject.fieldPath", "/involvedObject/fieldPath"),
            ("reason", "/reason"),
            ("reportingComponent", "/reportingComponent"),
            ("source", "/source/component"),
            ("type", "/type"),
        ],
        // Events are stored in their core shape; the labels differ, the order does not.
        ("events.k8s.io", "events") => &[
            ("regarding.kind", "/involvedObject/kind"),
            ("regarding.namespace", "/involvedObject/namespace"),
            ("regarding.name", "/involvedObject/name"),
            ("regarding.uid", "/involvedObject/uid"),
            ("regarding.apiVersion", "/involvedObject/apiVersion"),
            ("regarding.resourceVersion", "/involvedObject/resourceVersion"),
            ("regarding.fieldPath", "/involvedObject/fieldPath"),
            ("reason", "/reason"),
            ("reportingController", "/reportingComponent"),
            ("", "/source/component"),
            ("type", "/type"),
        ],
        ("batch", "jobs") => &[("status.successful", "/status/succeeded")],
        ("resource.k8s.io", "resourceslices") => {
            &[("spec.nodeName", "/spec/nodeName"), ("spec.driver", "/spec/driver")]
        }
        _ => &[],
    }
}

fn unsupported(resource: &Resource, label: &str) -> String {
    match (resource.group, resource.plural) {
        ("", "pods" | "nodes" | "namespaces" | "secrets" | "services" | "events" | "replicationcontrollers")
        | ("events.k8s.io", "events") => format!("field label not supported: {label}"),
        ("batch", "jobs") => format!("field label \"{label}\" not supported for Job"),
        ("apps", "statefulsets") => format!("field label not supported for appsv1.StatefulSet: {label}"),
        ("resource.k8s.io", "resourceslices") => {
            format!("field label not supported for {}, Kind={}: {label}", resource.api_version(), resource.kind)
        }
        _ => format!("\"{label}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""),
    }
}

/// The values of the supported fields, in the order of the kind's list.
pub(super) fn values(resource: &Resource, object: &Value) -> Box<[Box<str>]> {
    supported(resource).iter().map(|(label, pointer)| text(label, object.pointer(pointer), object)).collect()
}

fn text(label: &str, value: Option<&Value>, object: &Value) -> Box<str> {
    match (label, value) {
        (_, Some(Value::String(s))) => s.as_str().into(),
        (_, Some(Value::Bool(b))) => if *b { "true" } else { "false" }.into(),
        (_, Some(Value::Number(n))) => n.to_string().into(),
        ("spec.hostNetwork" | "spec.unschedulable", _) => "false".into(),
        ("status.replicas" | "status.successful", _) => "0".into(),
        ("source", _) => object.pointer("/reportingComponent").and_then(Value::as_str).unwrap_or_default().into(),
        _ => Box::default(),
    }
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Name,
    Namespace,
    Nth(usize),
}

/// One term of a field selector, with the field looked up.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    field: Field,
    equal: bool,
    value: String,
}

impl Condition {
    pub(super) fn holds(&self, key: &str, facts: &Facts) -> bool {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let actual = match self.field {
            Field::Name => name,
            Field::Namespace => namespace,
            Field::Nth(i) => facts.field(i),
        };
        (actual == self.value) == self.equal
    }
}

/// Looks the fields of a selector up among those that the kind supports.
pub(super) fn conditions(resource: &Resource, selector: &FieldSelector) -> Result<Vec<Condition>, String> {
    let condition = |requirement: &FieldRequirement| {
        let field = match requirement.field.as_str() {
            "metadata.name" => Field::Name,
            "metadata.namespace" if !matches!((resource.group, resource.plural), ("", "nodes" | "namespaces")) => {
                Field::Namespace
            }
            other => Field::Nth(
                supported(resource)
                    .iter()
                    .position(|(label, _)| *label == other && !label.is_empty())
                    .ok_or_else(|| unsupported(resource, other))?,
            ),
        };
        Ok(Condition { field, equal: requirement.equals, value: requirement.value.clone() })
    };
    selector.requirements().iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use crate::resource::by_qualified;
    use crate::selector::{Selector, facts};
    use serde_json::json;

    #[test]
    fn pods_are_selected_by_node_and_phase() {
        let pods = by_qualified("pods").unwrap();
        let facts = facts(pods, &json!({ "spec": { "nodeName": "n1" }, "status": { "phase": "Running" } }));
        let matches = |s: &str| Selector::parse(pods, "", s).unwrap().matches("ns/p", &facts);
        assert!(matches("spec.nodeName=n1,status.phase!=Failed,metadata.name=p,spec.hostNetwork=false"));
        assert!(!matches("spec.nodeName=") && !matches("metadata.namespace!=ns"));
    }

    #[test]
    fn errors_name_the_label() {
        let configmaps = by_qualified("configmaps").unwrap();
        assert_eq!(
            Selector::parse(configmaps, "", "data.x=1").unwrap_err().message,
            "\"data.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }
}
