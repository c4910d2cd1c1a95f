//! What the plugins say of each node for one pod spec, kept as long as the node's row does not change.

use std::sync::Arc;

use crate::object::{NodeName, PodSpec};
use crate::plugins::{self, Context, Narrowed, Normalization, Plugin, PluginId, Rejection, Scope};
use crate::profile::{Profile, ProfilePlugins};
use crate::state::{ClassId, ClusterState, NodeId, NodeView};

/// A plugin that scores this spec, with its raw scores by row.
struct Column {
    plugin: &'static dyn Plugin,
    scope: Scope,
    raw: Vec<i64>,
}

/// What plugins say of a class of nodes.
#[derive(Default, Clone)]
struct ClassVerdict {
    /// The class's serial; another one makes the verdict void.
    serial: u64,
    /// The place of the filter that rejects it among the filters.
    rejected_at: usize,
    rejection: Option<Rejection>,
    /// Raw scores, by column; only those that depend on the class alone are read.
    scores: Vec<i64>,
}

/// Verdicts on all nodes for one spec.
pub(super) struct Verdicts {
    context: Context,
    narrowed: Option<Narrowed>,
    filters: Vec<(&'static dyn Plugin, Scope)>,
    columns: Vec<Column>,
    /// Why the spec cannot be scored.
    score_error: Option<(PluginId, String)>,
    /// The row's version that the verdict is of.
    versions: Vec<u64>,
    status: Vec<Option<Rejection>>,
    classes: Vec<ClassVerdict>,
    /// The weights of which `fixed` is made.
    weights: [i64; PluginId::ALL.len()],
    /// By row, the weighted sum of the scores that need no other node to be known.
    fixed: Vec<i64>,
    images_version: u64,
    pub(super) last_used: u64,
}

impl Verdicts {
    pub(super) fn new(
        spec: &Arc<PodSpec>,
        node: Option<&NodeName>,
        state: &ClusterState,
        profile: &Profile,
    ) -> Verdicts {
        let context = Context::new(spec, node, state, &profile.plugins);
        let mut filters = Vec::new();
        let mut columns = Vec::new();
        let mut score_error = None;
        let mut narrowed = None;
        for plugin in profile.plugins.pre_filter().iter().filter_map(|id| plugins::find(*id)) {
            narrowed = narrowed.or_else(|| plugin.narrow(spec));
        }
        for plugin in profile.plugins.filter().iter().filter_map(|id| plugins::find(*id)) {
            match plugin.filter_scope(&context) {
                Scope::Skip => {}
                scope => filters.push((plugin, scope)),
            }
        }
        for plugin in plugins::ALL.into_iter().filter(|plugin| profile.weight(plugin.id()) != 0) {
            match plugin.score_scope(&context) {
                Ok(Scope::Skip) => {}
                Ok(scope) => columns.push(Column { plugin, scope, raw: Vec::new() }),
                Err(error) => score_error = score_error.or(Some((plugin.id(), error))),
            }
        }
        Verdicts {
            context,
            narrowed,
            filters,
            columns,
            score_error,
            versions: Vec::new(),
            status: Vec::new(),
            classes: Vec::new(),
            weights: profile.weights,
            fixed: Vec::new(),
            images_version: state.images().version(),
            last_used: 0,
        }
    }

    /// Whether they are those of the profile's plugins and weights.
    pub(super) fn are_of(&self, profile: &Profile) -> bool {
        let own = self.context.plugins();
        self.weights == profile.weights && (Arc::ptr_eq(own, &profile.plugins) || *own == profile.plugins)
    }

    pub(super) fn narrowed(&self) -> Option<&Narrowed> {
        self.narrowed.as_ref()
    }

    pub(super) fn score_error(&self) -> Option<&(PluginId, String)> {
        self.score_error.as_ref()
    }

    /// The rejection of a node that [`Verdicts::refresh`] has seen.
    pub(super) fn status(&self, id: NodeId) -> Option<Rejection> {
        self.status[id.index()]
    }

    /// Brings the verdicts up to date with the state, and lists the feasible nodes.
    pub(super) fn refresh(&mut self, state: &ClusterState, feasible: &mut Vec<NodeId>) {
        if self.images_version != state.images().version() {
            self.images_version = state.images().version();
            let context = Context::new(&self.context.spec, self.context.node.as_ref(), state, self.context.plugins());
            // Without images in common, before and now, the image scores are 0 as they were.
            if !context.images.is_empty() || !self.context.images.is_empty() {
                self.versions.fill(0);
                self.classes.clear();
            }
            self.context = context;
        }
        let versions = state.versions();
        if self.versions.len() < versions.len() {
            self.versions.resize(versions.len(), 0);
            self.status.resize(versions.len(), None);
            self.fixed.resize(versions.len(), 0);
            for column in &mut self.columns {
                column.raw.resize(versions.len(), 0);
            }
        }
        if self.classes.len() < state.classes().len() {
            self.classes.resize(state.classes().len(), ClassVerdict::default());
        }
        feasible.clear();
        for (index, &version) in versions.iter().enumerate() {
            if version == 0 {
                continue;
            }
            let id = NodeId::of_index(index);
            if self.versions[index] != version {
                self.judge(state, id);
                self.versions[index] = version;
            }
            if self.status[index].is_none() {
                feasible.push(id);
            }
        }
    }

    fn judge(&mut self, state: &ClusterState, id: NodeId) {
        let node = state.view(id);
        let class = node.row().class;
        if self.classes[class.index()].serial != state.classes().serial(class) {
            self.judge_class(state, class, node);
        }
        let of_class = &self.classes[class.index()];
        let status = self.filters[..of_class.rejected_at.min(self.filters.len())]
            .iter()
            .filter(|(_, scope)| *scope == Scope::Node)
            .find_map(|(plugin, _)| plugin.filter(&self.context, node).err())
            .or(of_class.rejection);
        self.status[id.index()] = status;
        if status.is_none() {
            let mut fixed = 0;
            for (index, column) in self.columns.iter_mut().enumerate() {
                let raw = match column.scope {
                    Scope::Class => of_class.scores[index],
                    _ => column.plugin.score(&self.context, node, state),
                };
                column.raw[id.index()] = raw;
                if column.plugin.normalization() == Normalization::None {
                    fixed += self.weights[column.plugin.id().index()] * raw;
                }
            }
            self.fixed[id.index()] = fixed;
        }
    }

    fn judge_class(&mut self, state: &ClusterState, class: ClassId, node: NodeView<'_>) {
        let rejected = self.filters.iter().enumerate().find_map(|(at, (plugin, scope))| {
            let rejection = (*scope == Scope::Class).then(|| plugin.filter(&self.context, node).err())??;
            Some((at, rejection))
        });
        let scores = self.columns.iter().map(|column| match column.scope {
            Scope::Class => column.plugin.score(&self.context, node, state),
            _ => 0,
        });
        self.classes[class.index()] = ClassVerdict {
            serial: state.classes().serial(class),
            rejected_at: rejected.map_or(usize::MAX, |(at, _)| at),
            rejection: rejected.map(|(_, rejection)| rejection),
            scores: scores.collect(),
        };
    }

    /// The plugins of the profile that they are of.
    pub(super) fn plugins(&self) -> &ProfilePlugins {
        self.context.plugins()
    }

    /// Whether the pod would fit the node as given, by all filters.
    pub(super) fn fits(&self, node: NodeView<'_>) -> Result<(), Rejection> {
        self.filters.iter().try_for_each(|(plugin, _)| plugin.filter(&self.context, node))
    }

    /// How the raw scores of the candidates become weighted ones, plugin by plugin.
    pub(super) fn scales(&self, profile: &Profile, candidates: &[NodeId]) -> Vec<Scale> {
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(at, column)| (at, column, profile.weight(column.plugin.id())))
            .filter(|(_, _, weight)| *weight != 0)
            .map(|(at, column, weight)| {
                let normalizer = Self::normalizer(column, candidates);
                Scale { at, plugin: column.plugin.id(), weight, normalizer }
            })
            .collect()
    }

    /// Puts the weighted sums of all plugins into `sums`, by candidate.
    pub(super) fn sums(&self, scales: &[Scale], candidates: &[NodeId], sums: &mut Vec<i64>) {
        let same_for_all = scales.iter().map(|scale| match scale.normalizer {
            Normalizer::Constant(score) => scale.weight * score,
            _ => 0,
        });
        let constant: i64 = same_for_all.sum();
        sums.clear();
        sums.extend(candidates.iter().map(|id| constant + self.fixed[id.index()]));
        for scale in scales {
            let raw = &self.columns[scale.at].raw;
            if matches!(scale.normalizer, Normalizer::Scaled(_) | Normalizer::Reversed(_)) {
                let score = |raw| scale.weight * scale.normalizer.apply(raw);
                sums.iter_mut().zip(candidates).for_each(|(sum, id)| *sum += score(raw[id.index()]));
            }
        }
    }

    /// The weighted scores of one candidate, plugin by plugin.
    pub(super) fn parts(&self, scales: &[Scale], id: NodeId) -> Vec<(PluginId, i64)> {
        let part = |scale: &Scale| {
            let score = scale.normalizer.apply(self.columns[scale.at].raw[id.index()]);
            (scale.plugin, scale.weight * score)
        };
        scales.iter().map(part).collect()
    }

    fn normalizer(column: &Column, candidates: &[NodeId]) -> Normalizer {
        match column.plugin.normalization() {
            Normalization::None => Normalizer::Identity,
            by_largest => {
                let largest = candidates.iter().map(|id| column.raw[id.index()]).max().unwrap_or(0);
                match (by_largest, largest) {
                    (Normalization::ReversedOfLargest, 0) => Normalizer::Constant(100),
                    (Normalization::ReversedOfLargest, largest) => Normalizer::Reversed(largest),
                    (_, 0) => Normalizer::Constant(0),
                    (_, largest) => Normalizer::Scaled(largest),
                }
            }
        }
    }
}

/// How the raw scores of one plugin become weighted ones, among given candidates.
pub(super) struct Scale {
    at: usize,
    plugin: PluginId,
    /// What the plugin's 0..100 is multiplied with.
    pub(super) weight: i64,
    normalizer: Normalizer,
}

#[derive(Clone, Copy)]
enum Normalizer {
    Identity,
    Constant(i64),
    Scaled(i64),
    Reversed(i64),
}

impl Normalizer {
    fn apply(self, raw: i64) -> i64 {
        match self {
            Normalizer::Identity => raw,
            Normalizer::Constant(score) => score,
            Normalizer::Scaled(largest) => 100 * raw / largest,
            Normalizer::Reversed(largest) => 100 - 100 * raw / largest,
        }
    }
}
