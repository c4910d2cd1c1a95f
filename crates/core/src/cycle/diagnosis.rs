//! Why no node is feasible, counted over nodes, and in kube-scheduler's words.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::{PodSpec, RelatedKey};
use crate::plugins::{self, ClaimsAfter, PluginId, PluginSet, Rejection};

/// What could be found out about evicting pods for the sake of one that fits nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreemptionOutlook {
    /// It would help on these nodes; the pods to be evicted are named.
    Possible(Vec<PreemptionCandidate>),
    /// It would not help; why, in kube-scheduler's words.
    Impossible(String),
    /// An extender does not have it, or could not be asked; what it says.
    Denied(String),
    /// The profile does without preemption.
    Disabled,
}

/// A node on which evicting pods would make room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreemptionCandidate {
    /// The node.
    pub node: crate::object::NodeName,
    /// Uids of the pods, the most important first.
    pub victims: Arc<[crate::object::PodUid]>,
    /// How many of them a disruption budget protects.
    pub budget_violations: usize,
    /// Whether no candidate is cheaper.
    pub best: bool,
}

/// Why no node is feasible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Nodes there are.
    pub nodes: usize,
    /// Reasons with the number of nodes that gave them, by text.
    pub reasons: BTreeMap<String, usize>,
    /// The plugins that rejected nodes: what they wait for may help the pod.
    pub plugins: PluginSet,
    /// The reason why no node was looked at, if none was.
    pub turned_away: Option<String>,
    /// Whether the profile asks for claims that could be given up (DynamicResources at `postFilter`). There is none.
    pub asks_for_claims: bool,
    /// What evicting pods would bring.
    pub preemption: PreemptionOutlook,
    /// What is to become of the pod's claims to devices.
    pub claims: ClaimsAfter,
    /// The claim that is to give its devices back, or to go.
    pub freed: Option<RelatedKey>,
}

impl Diagnosis {
    /// The text of the `FailedScheduling` event and of the `PodScheduled` condition, kube-scheduler's to the letter.
    #[must_use]
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let claims = self.asks_for_claims.then(|| self.claims.message().to_owned());
        // What kube-scheduler 1.36 makes of the plugin that would look at claims when one before it turned the pod away.
        if self.turned_away.is_some() && self.asks_for_claims && !self.plugins.contains(PluginId::DynamicResources) {
            let why = self.turned_away.as_deref().unwrap_or_default();
            return format!("0/{} nodes are available: {why}. not found", self.nodes);
        }
        let mut message = match &self.turned_away {
            Some(why) => format!("0/{} nodes are available: {why}.", self.nodes),
            None => nodes_message(self.nodes, &self.reasons),
        };
        // Each plugin that is asked when no node fits has its part, unless one helps.
        let parts: Vec<String> = match &self.preemption {
            PreemptionOutlook::Possible(_) => Vec::new(),
            PreemptionOutlook::Disabled => claims.into_iter().collect(),
            PreemptionOutlook::Impossible(why) | PreemptionOutlook::Denied(why) => {
                claims.into_iter().chain([format!("preemption: {why}")]).collect()
            }
        };
        if !parts.is_empty() {
            message.push(' ');
            message.push_str(&parts.join(", "));
        }
        message
    }
}

/// `0/N nodes are available: 1 this, 2 that.`, where each entry is sorted as text, number included.
pub(super) fn nodes_message(nodes: usize, reasons: &BTreeMap<String, usize>) -> String {
    let mut counted: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    counted.sort_unstable();
    format!("0/{nodes} nodes are available: {}.", counted.join(", "))
}

/// The reason of nodes that a pod was kept from before filters ran.
pub(super) fn narrowed_reason(by: PluginId) -> String {
    format!("node(s) didn't satisfy plugin(s) [{}]", by.name())
}

/// The texts of a rejection by a plugin, sorted.
pub(super) fn texts(spec: &PodSpec, rejection: Rejection) -> Vec<String> {
    let Some(plugin) = plugins::find(rejection.plugin) else { return Vec::new() };
    let bits = (0..u64::BITS).filter(|bit| rejection.reasons & (1 << bit) != 0);
    let mut texts: Vec<String> = bits.map(|bit| plugin.reason(spec, bit)).collect();
    texts.sort_unstable();
    texts
}
