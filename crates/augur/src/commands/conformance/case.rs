//! From a case's objects to a decision.

use std::sync::Arc;

use augur_core::cycle::{self, Cycle, Decision, Detail};
use augur_core::object::{Labels, Node, Pod, RelatedKind};
use augur_core::predictor::NoModel;
use augur_core::profile::Profile;
use augur_core::state::ClusterState;
use augur_core::time::Timestamp;
use augur_kube::{convert, wire};
use serde_json::Value;

/// The objects of the list, if the case has it.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Decides the pod of the case in the cluster of the case.
///
/// # Errors
/// An object that the conversion does not take; why.
pub fn decide(case: &Value) -> Result<(ClusterState, Decision), String> {
    let mut state = ClusterState::new();
    for value in list(&case["nodes"]) {
        state.apply_node(node(value)?);
    }
    for namespace in list(&case["namespaces"]) {
        let metadata = &namespace["metadata"];
        let labels: Labels = metadata["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
            .collect();
        state.apply_namespace(metadata["name"].as_str().unwrap_or_default().into(), labels);
    }
    for value in list(&case["pods"]) {
        let pod = pod(value)?;
        if let (Some(node), false) = (pod.node.clone(), pod.phase.is_over()) {
            state.place(Arc::new(pod), &node);
        }
    }
    // `nominatedPods` stay outside. A decision counts those of the queue, as kube-scheduler does; but the recording nominated pods
    // that were not in its queue, which 1.36 then takes for pods that ask for nothing.
    for value in list(&case["pdbs"]) {
        let json = value.to_string();
        let wire: wire::PodDisruptionBudget<'_> =
            serde_json::from_str(&json).map_err(|error| format!("a budget: {error}"))?;
        let budget = convert::budget(&wire).map_err(|skipped| format!("budget {}: {skipped}", wire.metadata.name))?;
        state.apply_budget(budget);
    }
    for kind in RelatedKind::ALL {
        // The corpus writes it in camel case, and claims and volumes short.
        let name = match kind {
            RelatedKind::PersistentVolumeClaim => "pvcs",
            RelatedKind::PersistentVolume => "pvs",
            kind => kind.plural(),
        };
        let listed = case.as_object().into_iter().flatten().find(|(key, _)| key.eq_ignore_ascii_case(name));
        for value in listed.map_or(&[][..], |(_, objects)| list(objects)) {
            let (object, _) = convert::related(kind, &value.to_string())
                .map_err(|skipped| format!("one of {}: {skipped}", kind.plural()))?;
            state.apply_related(object);
        }
        state.set_listed(kind);
    }
    let pod = pod(&case["pod"])?;
    let cycle = Cycle { now: Timestamp::EPOCH, seed: case["seed"].as_u64().unwrap_or(0), detail: Detail::Full };
    let decision = cycle::decide(&state, &pod, &Profile::default(), &NoModel::default(), cycle);
    Ok((state, decision))
}

fn node(value: &Value) -> Result<Node, String> {
    let json = value.to_string();
    let wire: wire::Node<'_> = serde_json::from_str(&json).map_err(|error| format!("a node: {error}"))?;
    convert::node(&wire).map_err(|skipped| format!("node {}: {skipped}", wire.metadata.name))
}

fn pod(value: &Value) -> Result<Pod, String> {
    let json = value.to_string();
    let wire: wire::Pod<'_> = serde_json::from_str(&json).map_err(|error| format!("a pod: {error}"))?;
    convert::pod(&wire).map_err(|skipped| format!("pod {}: {skipped}", wire.metadata.name))
}
