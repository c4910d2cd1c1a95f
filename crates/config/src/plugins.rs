//! Sets of plugins by extension point, and how a profile's sets are merged with the default ones.

use std::collections::{BTreeSet, HashMap};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::registry::REGISTRY;

/// Where plugins have a say. The order is the one in which kube-scheduler fills them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the extension point of that name")]
pub enum ExtensionPoint {
    PreFilter,
    Filter,
    PostFilter,
    Reserve,
    PreScore,
    Score,
    PreBind,
    Bind,
    PostBind,
    Permit,
    PreEnqueue,
    QueueSort,
    PlacementGenerate,
    PlacementScore,
    /// All at which a plugin has a say.
    MultiPoint,
}

impl ExtensionPoint {
    /// All, in order.
    pub const ALL: [ExtensionPoint; 15] = [
        ExtensionPoint::PreFilter,
        ExtensionPoint::Filter,
        ExtensionPoint::PostFilter,
        ExtensionPoint::Reserve,
        ExtensionPoint::PreScore,
        ExtensionPoint::Score,
        ExtensionPoint::PreBind,
        ExtensionPoint::Bind,
        ExtensionPoint::PostBind,
        ExtensionPoint::Permit,
        ExtensionPoint::PreEnqueue,
        ExtensionPoint::QueueSort,
        ExtensionPoint::PlacementGenerate,
        ExtensionPoint::PlacementScore,
        ExtensionPoint::MultiPoint,
    ];

    /// The field of a profile's `plugins`.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            ExtensionPoint::PreFilter => "preFilter",
            ExtensionPoint::Filter => "filter",
            ExtensionPoint::PostFilter => "postFilter",
            ExtensionPoint::Reserve => "reserve",
            ExtensionPoint::PreScore => "preScore",
            ExtensionPoint::Score => "score",
            ExtensionPoint::PreBind => "preBind",
            ExtensionPoint::Bind => "bind",
            ExtensionPoint::PostBind => "postBind",
            ExtensionPoint::Permit => "permit",
            ExtensionPoint::PreEnqueue => "preEnqueue",
            ExtensionPoint::QueueSort => "queueSort",
            ExtensionPoint::PlacementGenerate => "placementGenerate",
            ExtensionPoint::PlacementScore => "placementScore",
            ExtensionPoint::MultiPoint => "multiPoint",
        }
    }

    /// kube-scheduler's name of the interface that a plugin has to have.
    pub(crate) fn interface(self) -> String {
        let mut name = self.field().to_owned();
        name[..1].make_ascii_uppercase();
        name + "Plugin"
    }
}

/// A plugin in a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginEntry {
    /// Its name; `*` for all, among disabled ones.
    pub name: String,
    /// What its score is multiplied with; 1 if it is not given or 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}

/// The plugins of an extension point.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PluginSet {
    /// Those that run, in order, besides those of the default set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub enabled: Vec<PluginEntry>,
    /// Those of the default set that do not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disabled: Vec<PluginEntry>,
}

impl PluginSet {
    fn disables(&self, name: &str) -> bool {
        self.disabled.iter().any(|plugin| plugin.name == name)
    }

    /// Whether the default plugins are disabled as a whole.
    pub(crate) fn disables_all(&self) -> bool {
        self.disables("*")
    }

    /// This set over the default one. Default plugins keep their order; one that is given again takes its place with
    /// the given weight.
    fn over(&self, default: &PluginSet) -> PluginSet {
        let disabled = self.disabled.iter().chain(&default.disabled);
        let disabled: Vec<PluginEntry> =
            disabled.map(|plugin| PluginEntry { name: plugin.name.clone(), weight: None }).collect();
        let off: BTreeSet<&str> = disabled.iter().map(|plugin| plugin.name.as_str()).collect();
        // Of several with one name, the last.
        let given: HashMap<&str, usize> =
            self.enabled.iter().enumerate().map(|(index, plugin)| (plugin.name.as_str(), index)).collect();
        let mut replacing = BTreeSet::new();
        let mut enabled = Vec::new();
        if !off.contains("*") {
            for plugin in default.enabled.iter().filter(|plugin| !off.contains(plugin.name.as_str())) {
                match given.get(plugin.name.as_str()) {
                    Some(&index) => {
                        replacing.insert(index);
                        enabled.push(self.enabled[index].clone());
                    }
                    None => enabled.push(plugin.clone()),
                }
            }
        }
        let others = self.enabled.iter().enumerate().filter(|(index, _)| !replacing.contains(index));
        enabled.extend(others.map(|(_, plugin)| plugin.clone()));
        PluginSet { enabled, disabled }
    }
}

/// The plugins of all extension points.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plugins([PluginSet; ExtensionPoint::ALL.len()]);

impl Plugins {
    /// kube-scheduler's default set, and Augur last.
    #[must_use]
    pub fn default_set() -> Plugins {
        let mut plugins = Plugins::default();
        let entry =
            |plugin: &crate::registry::Registered| PluginEntry { name: plugin.name.to_owned(), weight: plugin.weight };
        plugins.set_mut(ExtensionPoint::MultiPoint).enabled = REGISTRY.iter().map(entry).collect();
        plugins
    }

    /// The set of an extension point.
    #[must_use]
    pub fn set(&self, point: ExtensionPoint) -> &PluginSet {
        &self.0[point as usize]
    }

    pub(crate) fn set_mut(&mut self, point: ExtensionPoint) -> &mut PluginSet {
        &mut self.0[point as usize]
    }

    /// These sets over the default ones.
    pub(crate) fn over_default(&self) -> Plugins {
        let default = Plugins::default_set();
        let mut merged = Plugins::default();
        for point in ExtensionPoint::ALL {
            *merged.set_mut(point) = self.set(point).over(default.set(point));
        }
        merged
    }

    /// The names of all plugins that are enabled anywhere.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.0.iter().flat_map(|set| &set.enabled).map(|plugin| plugin.name.as_str()).collect()
    }
}

impl Serialize for Plugins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(ExtensionPoint::ALL.len()))?;
        for point in ExtensionPoint::ALL {
            map.serialize_entry(point.field(), self.set(point))?;
        }
        map.end()
    }
}
