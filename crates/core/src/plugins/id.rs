//! The names of the plugins, and sets of them.

/// A plugin of kube-scheduler's default profile, in the order in which filters run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is the plugin of that name")]
pub enum PluginId {
    SchedulingGates,
    PrioritySort,
    NodeUnschedulable,
    NodeName,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    VolumeRestrictions,
    NodeVolumeLimits,
    VolumeBinding,
    VolumeZone,
    PodTopologySpread,
    InterPodAffinity,
    DynamicResources,
    NodeDeclaredFeatures,
    DefaultPreemption,
    NodeResourcesBalancedAllocation,
    ImageLocality,
    DefaultBinder,
    /// Stands for all extenders: kube-scheduler gives it no name of its own in configuration.
    Extender,
}

impl PluginId {
    /// All plugins, in order.
    pub const ALL: [PluginId; 21] = [
        PluginId::SchedulingGates,
        PluginId::PrioritySort,
        PluginId::NodeUnschedulable,
        PluginId::NodeName,
        PluginId::TaintToleration,
        PluginId::NodeAffinity,
        PluginId::NodePorts,
        PluginId::NodeResourcesFit,
        PluginId::VolumeRestrictions,
        PluginId::NodeVolumeLimits,
        PluginId::VolumeBinding,
        PluginId::VolumeZone,
        PluginId::PodTopologySpread,
        PluginId::InterPodAffinity,
        PluginId::DynamicResources,
        PluginId::NodeDeclaredFeatures,
        PluginId::DefaultPreemption,
        PluginId::NodeResourcesBalancedAllocation,
        PluginId::ImageLocality,
        PluginId::DefaultBinder,
        PluginId::Extender,
    ];

    /// The name that configuration, events and metrics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PluginId::SchedulingGates => "SchedulingGates",
            PluginId::PrioritySort => "PrioritySort",
            PluginId::NodeUnschedulable => "NodeUnschedulable",
            PluginId::NodeName => "NodeName",
            PluginId::TaintToleration => "TaintToleration",
            PluginId::NodeAffinity => "NodeAffinity",
            PluginId::NodePorts => "NodePorts",
            PluginId::NodeResourcesFit => "NodeResourcesFit",
            PluginId::VolumeRestrictions => "VolumeRestrictions",
            PluginId::NodeVolumeLimits => "NodeVolumeLimits",
            PluginId::VolumeBinding => "VolumeBinding",
            PluginId::VolumeZone => "VolumeZone",
            PluginId::PodTopologySpread => "PodTopologySpread",
            PluginId::InterPodAffinity => "InterPodAffinity",
            PluginId::DynamicResources => "DynamicResources",
            PluginId::NodeDeclaredFeatures => "NodeDeclaredFeatures",
            PluginId::DefaultPreemption => "DefaultPreemption",
            PluginId::NodeResourcesBalancedAllocation => "NodeResourcesBalancedAllocation",
            PluginId::ImageLocality => "ImageLocality",
            PluginId::DefaultBinder => "DefaultBinder",
            PluginId::Extender => "Extender",
        }
    }

    /// Its place in [`PluginId::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A set of plugins, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PluginSet(u32);

impl PluginSet {
    /// No plugin.
    pub const EMPTY: PluginSet = PluginSet(0);
    /// How many plugins a set can tell apart.
    pub const CAPACITY: usize = u32::BITS as usize;

    /// The set of the given plugins.
    #[must_use]
    pub const fn of(plugins: &[PluginId]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < plugins.len() {
            bits |= 1 << plugins[i] as u8;
            i += 1;
        }
        PluginSet(bits)
    }

    /// Adds a plugin.
    pub const fn insert(&mut self, plugin: PluginId) {
        self.0 |= 1 << plugin as u8;
    }

    /// Whether the plugin is in the set.
    #[must_use]
    pub const fn contains(self, plugin: PluginId) -> bool {
        self.0 & (1 << plugin as u8) != 0
    }

    /// Whether no plugin is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Plugins in either set.
    #[must_use]
    pub const fn union(self, other: PluginSet) -> Self {
        PluginSet(self.0 | other.0)
    }

    /// Plugins in both sets.
    #[must_use]
    pub const fn intersection(self, other: PluginSet) -> Self {
        PluginSet(self.0 & other.0)
    }

    /// The plugins, in filter order.
    pub fn iter(self) -> impl Iterator<Item = PluginId> {
        PluginId::ALL.into_iter().filter(move |plugin| self.contains(*plugin))
    }
}
