//! What the fuzz targets try, one function each: any bytes are read or refused, never a panic, and what was read keeps its
//! promises. The same functions run with a fixed seed in `crates/kube/tests/fuzz.rs`.

use std::sync::Arc;

use augur_core::cycle::{Cycle, Detail, decide};
use augur_core::object::{Node, NodeSelectorTerm, Resources};
use augur_core::predictor::NoModel;
use augur_core::profile::Profile;
use augur_core::state::ClusterState;
use augur_core::time::Timestamp;
use augur_kube::{convert, wire};
use augur_notation::{LabelSelector, Quantity};

/// Reads an amount. What is read prints in a form that means the same, and its conversions agree with each other.
///
/// # Panics
/// If it does not.
pub fn quantity(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(read) = Quantity::parse(text) else {
        assert!(Quantity::as_stored(text).is_err() && Quantity::as_stored_resource(text).is_err(), "{text:?}");
        return;
    };
    let printed = read.to_string();
    let again = Quantity::parse(&printed).unwrap_or_else(|error| panic!("{text:?} prints as {printed:?}: {error}"));
    assert_eq!(read, again, "{text:?} prints as {printed:?}");
    let stored = Quantity::as_stored(text).ok().and_then(|stored| Quantity::parse(&stored).ok());
    assert_eq!(stored, Some(read), "{text:?}");
    assert_eq!(read.is_negative(), read.value() < 0, "rounding is away from zero: {text:?}");
    assert!(read.round_up(-3) >= read || read.is_negative(), "{text:?}");
    // Whole units are thousandths rounded away from zero, as far as both fit.
    let milli = read.milli();
    if milli > i64::MIN && milli < i64::MAX {
        assert_eq!(read.value(), milli / 1000 + (milli % 1000).signum(), "{text:?}");
    }
}

/// Reads a selector in its string form. What is read prints in a form that selects the same.
///
/// # Panics
/// If it does not.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(read) = LabelSelector::parse(text) else { return };
    let printed = read.to_string();
    let again =
        LabelSelector::parse(&printed).unwrap_or_else(|error| panic!("{text:?} prints as {printed:?}: {error}"));
    assert_eq!(read, again, "{text:?} prints as {printed:?}");
    // Each requirement on its own, in the notation of node selectors, against labels that are there and that are not.
    let operators = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Within", ""];
    for requirement in read.requirements() {
        let (key, values) = (requirement.key(), requirement.values());
        let value = values.first().map_or("1", String::as_str);
        let there = |wanted: &str| (wanted == key).then_some(value);
        let matches = [requirement.matches(there), requirement.matches(|_| None)];
        assert_eq!(matches, [requirement.matches_value(Some(value)), requirement.matches_value(None)]);
        for operator in operators {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let term = NodeSelectorTerm::new([(key, operator, values)], []);
            let labels = [(key, value)].into_iter().collect();
            let _ = term.matches("node", &labels);
        }
    }
}

/// Reads a pod as the watch tells it. What is read asks for nothing below zero, and a decision on it ends.
///
/// # Panics
/// If it does not.
pub fn pod(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(read) = serde_json::from_str::<wire::Pod<'_>>(text) else { return };
    let Ok(pod) = convert::pod(&read) else { return };
    assert!(!pod.uid.is_empty() && !pod.name.is_empty());
    for requests in [&pod.spec.requests, pod.requests()] {
        let granted = &requests.granted;
        assert!(granted.cpu.get() >= 0 && granted.memory.get() >= 0 && granted.ephemeral_storage.get() >= 0);
        assert!(granted.scalars.iter().all(|(_, amount)| *amount >= 0));
    }
    let mut state = ClusterState::new();
    let amounts = [("cpu", "4"), ("memory", "8Gi"), ("pods", "10")];
    let amounts = amounts.iter().filter_map(|(name, amount)| Some((*name, Quantity::parse(amount).ok()?)));
    state.apply_node(Node {
        name: "n1".into(),
        labels: [("kubernetes.io/hostname", "n1"), ("zone", "a")].into_iter().collect(),
        allocatable: Resources::of(amounts),
        allowed_pods: 10,
        ready: true,
        ..Node::default()
    });
    let cycle = Cycle { now: Timestamp::from_secs(1), seed: 1, detail: Detail::Full };
    let decision = decide(&state, &pod, &Profile::default(), &NoModel::default(), cycle);
    assert_eq!(decision.total_nodes, 1);
    // As if it were there: the books must hold it and let it go.
    let (pod, node) = (Arc::new(pod), "n1".into());
    state.place(pod.clone(), &node);
    assert!(state.remove(&pod.uid).is_some());
}
