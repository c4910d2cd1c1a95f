//! Which node a series speaks of: [`NodeNames`]. Who scrapes decides how that is labelled.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::answer::{Answer, Series};

/// Labels that name the node, in the order in which they are believed.
const LABELS: [&str; 5] = ["node", "kubernetes_node", "nodename", "kubernetes_io_hostname", "hostname"];
/// The label of every target: host and port, or what relabelling put there.
const INSTANCE: &str = "instance";
/// Tells the addresses of nodes.
pub(super) const NODE_INFO: &str = "max by (node, internal_ip) (kube_node_info)";

/// Finds the node of a series.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeNames {
    label: Option<Arc<str>>,
    by_address: HashMap<IpAddr, Arc<str>>,
}

impl NodeNames {
    /// By the usual labels, or by this one.
    pub fn new(label: Option<Arc<str>>) -> Self {
        NodeNames { label, by_address: HashMap::new() }
    }

    /// The labels to keep in an aggregation, as PromQL lists them.
    pub fn by(&self) -> String {
        match &self.label {
            Some(label) => label.to_string(),
            None => format!("{}, {INSTANCE}", LABELS.join(", ")),
        }
    }

    /// Whether some of these series name an address only.
    pub fn needs_addresses(&self, answer: &Answer) -> bool {
        answer.series.iter().any(|series| self.raw(series).parse::<IpAddr>().is_ok())
    }

    /// Takes in what [`NODE_INFO`] found.
    pub fn addresses(&mut self, answer: &Answer) {
        for series in &answer.series {
            if let Ok(address) = series.label("internal_ip").parse() {
                self.by_address.insert(address, series.label("node"));
            }
        }
    }

    /// The node of a series; `None` when nothing names it.
    pub fn of(&self, series: &Series) -> Option<Arc<str>> {
        let name = self.raw(series);
        match name.parse::<IpAddr>() {
            Ok(address) => self.by_address.get(&address).cloned(),
            Err(_) => Some(name).filter(|name| !name.is_empty()),
        }
    }

    fn raw(&self, series: &Series) -> Arc<str> {
        if let Some(label) = &self.label {
            return host(&series.label(label));
        }
        let named = LABELS.iter().map(|label| series.label(label)).find(|name| !name.is_empty());
        named.unwrap_or_else(|| host(&series.label(INSTANCE)))
    }
}

/// A host without its port.
fn host(instance: &Arc<str>) -> Arc<str> {
    if let Ok(address) = instance.parse::<std::net::SocketAddr>() {
        return address.ip().to_string().into();
    }
    match instance.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.contains(':') => host.into(),
        _ => instance.clone(),
    }
}
