//! Which plugins run at each extension point, with which weights: what kube-scheduler makes of a profile's sets when it
//! builds its framework.

use std::collections::BTreeMap;

use augur_core::plugins::{PluginId, PluginSet as CoreSet};

use crate::plugins::ExtensionPoint::{self, MultiPoint};
use crate::plugins::Plugins;
use crate::registry::{self, AUGUR};

/// The plugins that run, by name and in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Running {
    points: BTreeMap<ExtensionPoint, Vec<&'static str>>,
    weights: BTreeMap<&'static str, i64>,
}

impl Running {
    /// Those of an extension point.
    pub(crate) fn at(&self, point: ExtensionPoint) -> &[&'static str] {
        self.points.get(&point).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_at(&self, point: ExtensionPoint, plugin: &str) -> bool {
        self.at(point).contains(&plugin)
    }

    /// The same as the decision core knows them, in order.
    pub(crate) fn ids(&self, point: ExtensionPoint) -> Vec<PluginId> {
        self.at(point).iter().filter_map(|name| registry::find(name)?.id).collect()
    }

    pub(crate) fn set(&self, point: ExtensionPoint) -> CoreSet {
        CoreSet::of(&self.ids(point))
    }

    /// What a plugin's score is multiplied with; 0 for one that does not score.
    pub(crate) fn weight(&self, plugin: &str) -> i64 {
        if self.is_at(ExtensionPoint::Score, plugin) { self.weights.get(plugin).copied().unwrap_or(0) } else { 0 }
    }

    /// Expands the sets of the profile at `path`.
    ///
    /// # Errors
    /// What kube-scheduler refuses when it builds its framework, in its words.
    pub(crate) fn of(plugins: &Plugins, path: &str, scheduler_name: &str) -> Result<Running, Vec<String>> {
        let mut errors = Vec::new();
        let mut running = Running::default();
        for point in ExtensionPoint::ALL.into_iter().filter(|point| *point != MultiPoint) {
            match expand(plugins, point) {
                Ok(names) => {
                    running.points.insert(point, names);
                }
                Err(error) => errors.push(format!("{path}.{error}")),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        // A weight that is given for scoring counts before that of all points.
        let given = plugins.set(ExtensionPoint::Score).enabled.iter().chain(&plugins.set(MultiPoint).enabled);
        for entry in given {
            let Some(plugin) = registry::find(&entry.name).filter(|p| p.points.contains(&ExtensionPoint::Score)) else {
                continue;
            };
            let weight = match entry.weight {
                None | Some(0) => 1,
                Some(weight) => i64::from(weight),
            };
            running.weights.entry(plugin.name).or_insert(weight);
        }
        let sorts = running.at(ExtensionPoint::QueueSort).len();
        if sorts != 1 {
            errors.push(format!(
                "{path}.plugins.queueSort: only one queue sort plugin required for profile with scheduler name \
                 {scheduler_name:?}, but got {sorts}"
            ));
        }
        if running.at(ExtensionPoint::Bind).is_empty() {
            errors.push(format!(
                "{path}.plugins.bind: at least one bind plugin is needed for profile with scheduler name \
                 {scheduler_name:?}"
            ));
        }
        if errors.is_empty() { Ok(running) } else { Err(errors) }
    }

    /// What of it Augur cannot do: plugins without the part that they need, which makes kube-scheduler fail every pod,
    /// and plugins that decide without carrying out what they decided.
    pub(crate) fn unsupported(&self, path: &str) -> Vec<String> {
        use ExtensionPoint::{Filter, PreBind, PreEnqueue, PreFilter, PreScore, Reserve, Score};
        let mut problems = Vec::new();
        let mut needs = |plugin: &str, point: ExtensionPoint, needed: ExtensionPoint, why: &str| {
            if self.is_at(point, plugin) && !self.is_at(needed, plugin) {
                problems.push(format!(
                    "{path}.plugins: {plugin} at {} without {}: {why}",
                    point.field(),
                    needed.field()
                ));
            }
        };
        for plugin in [
            "NodePorts",
            "NodeResourcesFit",
            "VolumeRestrictions",
            "VolumeBinding",
            "PodTopologySpread",
            "InterPodAffinity",
            "DynamicResources",
            "NodeDeclaredFeatures",
        ] {
            needs(plugin, Filter, PreFilter, "its filter reads what its preFilter prepares");
        }
        for plugin in ["TaintToleration", "PodTopologySpread", "InterPodAffinity"] {
            needs(plugin, Score, PreScore, "its score reads what its preScore prepares");
        }
        for plugin in ["VolumeBinding", "DynamicResources"] {
            needs(plugin, Filter, Reserve, "what it decides would not be carried out");
            needs(plugin, Filter, PreBind, "what it decides would not be carried out");
            needs(plugin, PreBind, Filter, "there would be nothing to carry out");
        }
        if !self.is_at(PreEnqueue, "SchedulingGates") {
            problems.push(format!(
                "{path}.plugins.preEnqueue: SchedulingGates cannot be disabled; the API server refuses to bind a gated pod"
            ));
        }
        problems
    }
}

/// The plugins of one extension point: first those of `multiPoint` that are given again here, in the order in which they
/// are; then the others of `multiPoint` that have a say here; then what is given here alone.
fn expand(plugins: &Plugins, point: ExtensionPoint) -> Result<Vec<&'static str>, String> {
    let set = plugins.set(point);
    let exists = |index: usize, name: &str, at: ExtensionPoint| {
        registry::find(name).ok_or_else(|| {
            let place = format!("plugins.{}.enabled[{index}]", at.field());
            format!("{place}: {} {name:?} does not exist{}", point.interface(), registry::hint(name))
        })
    };
    let mut own: Vec<&'static str> = Vec::new();
    for (index, entry) in set.enabled.iter().enumerate() {
        let place = format!("plugins.{}.enabled[{index}]", point.field());
        let plugin = exists(index, &entry.name, point)?;
        if !plugin.points.contains(&point) {
            return Err(format!("{place}: plugin {:?} does not extend {} plugin", entry.name, point.interface()));
        }
        if own.contains(&plugin.name) {
            return Err(format!("{place}: plugin {:?} already registered as {:?}", entry.name, point.interface()));
        }
        own.push(plugin.name);
    }
    let mut everywhere: Vec<&'static str> = Vec::new();
    let mut again: Vec<&'static str> = Vec::new();
    for (index, entry) in plugins.set(MultiPoint).enabled.iter().enumerate() {
        let plugin = exists(index, &entry.name, MultiPoint)?;
        if set.disables_all() || !plugin.points.contains(&point) || set.disabled.iter().any(|d| d.name == plugin.name) {
            continue;
        }
        if own.contains(&plugin.name) {
            again.push(plugin.name);
        } else if everywhere.contains(&plugin.name) {
            let place = format!("plugins.multiPoint.enabled[{index}]");
            return Err(format!("{place}: plugin {:?} already registered as {:?}", entry.name, point.interface()));
        } else {
            everywhere.push(plugin.name);
        }
    }
    let (first, last): (Vec<&str>, Vec<&str>) = own.into_iter().partition(|name| again.contains(name));
    Ok(first.into_iter().chain(everywhere).chain(last).collect())
}

/// Names among disabled plugins that are none: kube-scheduler takes them, and they mean nothing.
pub(crate) fn meaningless(plugins: &Plugins, path: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    for point in ExtensionPoint::ALL {
        for (index, entry) in plugins.set(point).disabled.iter().enumerate() {
            if entry.name != "*" && registry::find(&entry.name).is_none() {
                let hint = registry::hint(&entry.name);
                let place = format!("{path}.plugins.{}.disabled[{index}]", point.field());
                warnings.push(format!("{place}: {:?} is no plugin and disables nothing{hint}", entry.name));
            }
        }
    }
    warnings
}

/// Whether a name is Augur's own.
pub(crate) fn is_augur(name: &str) -> bool {
    name == AUGUR
}
