//! Where all nodes stand for one pod spec, kept from decision to decision: [`Standing`].
//!
//! Every row is in a *group*: rows that are alike in all that is not the row's own affair, namely in the rejection by
//! filters that look at one node, in the topology domains that rules of spreading and affinity ask for, and in the raw
//! scores that are normalised over all candidates. What the rules say, and what a raw score is worth among the
//! candidates of this decision, is worked out once a group. A row itself has only the weighted sum of the scores that
//! need no other node to be known, and each group keeps its rows in an [`Order`] by that sum. So a decision costs the
//! rows that changed since the last one (the state's log names them), and the groups; what did not change is not
//! looked at, also when the largest raw score, or the domain with the fewest pods, is another one now.

use std::collections::HashMap;
use std::sync::Arc;

use super::company::{Company, Domains, Identity};
use super::diagnosis::texts;
use super::judgement::Judged;
use super::order::{OUT, Order, Rows, nth};
use super::preempt::DryRuns;
use crate::object::{NodeName, PodSpec};
use crate::plugins::{self, Context, Narrowed, Normalization, Plugin, PluginId, Rejection, Scope};
use crate::profile::{Profile, ProfilePlugins};
use crate::state::{ClassId, ClusterState, NodeId, NodeView};

/// Stands for the group of a row that is in none.
const NO_GROUP: u32 = u32::MAX;

/// A plugin that scores this spec.
struct Column {
    plugin: &'static dyn Plugin,
    scope: Scope,
    weight: i64,
    /// The place of its raw score among the values of a group, if it is normalised over all candidates.
    value: Option<usize>,
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

/// What rows of a group have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct GroupKey {
    /// By filters that look at one node.
    rejection: Option<Rejection>,
    /// The values that the company asks for, then normalised raw scores by column. None if the rejection is by a filter
    /// that runs before those of company.
    values: Option<Vec<i64>>,
}

#[derive(Default)]
struct Group {
    key: GroupKey,
    /// Rows with the group's key. In order if there are values.
    rows: usize,
    order: Order,
}

/// What this decision makes of a group.
#[derive(Debug, Clone, Copy, Default)]
struct Verdict {
    rejection: Option<Rejection>,
    /// Rows on which the pod fits.
    feasible: usize,
    /// What is added to the sums of its rows.
    more: i64,
}

/// How the raw scores of one plugin become weighted ones.
#[derive(Debug, Clone, Copy)]
enum Normalizer {
    Identity,
    Constant(i64),
    Scaled(i64),
    Reversed(i64),
}

impl Normalizer {
    fn of(by: Normalization, largest: i64) -> Normalizer {
        match (by, largest) {
            (Normalization::None, _) => Normalizer::Identity,
            (Normalization::ReversedOfLargest, 0) => Normalizer::Constant(100),
            (Normalization::ReversedOfLargest, largest) => Normalizer::Reversed(largest),
            (Normalization::OfLargest, 0) => Normalizer::Constant(0),
            (Normalization::OfLargest, largest) => Normalizer::Scaled(largest),
        }
    }

    fn apply(self, raw: i64) -> i64 {
        match self {
            Normalizer::Identity => raw,
            Normalizer::Constant(score) => score,
            Normalizer::Scaled(largest) => 100 * raw / largest,
            Normalizer::Reversed(largest) => 100 - 100 * raw / largest,
        }
    }
}

/// The best row and the best of the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) best: NodeId,
    pub(super) second: Option<NodeId>,
    /// Rows as good as the best, itself included.
    pub(super) equals: usize,
}

/// Where all nodes stand for one spec, under one profile and for pods of one identity.
pub(super) struct Standing {
    context: Context,
    weights: [i64; PluginId::ALL.len()],
    pub(super) company: Option<Company>,
    narrowed: Option<Narrowed>,
    /// In the profile's order.
    filters: Vec<(&'static dyn Plugin, Scope)>,
    columns: Vec<Column>,
    /// Why the spec cannot be scored.
    score_error: Option<(PluginId, String)>,
    /// The number of the next change of a row to follow.
    followed: u64,
    members: u64,
    images: u64,
    /// Of what extended resources stand for.
    device_classes: u64,
    hashes: Arc<Vec<u64>>,
    classes: Vec<ClassVerdict>,
    group_of: Vec<u32>,
    /// By row, the weighted sum of the scores that need no other node to be known; [`OUT`] for a row on which the pod
    /// does not fit for the moment.
    sums: Vec<i64>,
    groups: Vec<Group>,
    by_key: HashMap<GroupKey, u32>,
    free: Vec<u32>,
    /// By group, of this decision.
    verdicts: Vec<Verdict>,
    normalizers: Vec<Normalizer>,
    /// What is added to the sums of rows, by group.
    more: Vec<(usize, i64)>,
    /// Scores by the rules of company: by plugin and group.
    rules: Vec<(PluginId, Vec<i64>)>,
    /// Rows that this decision rejects besides, by row, with their sums.
    overrides: Vec<(NodeId, Rejection, i64)>,
    /// Reasons of this decision that are no plugin's own; see [`Standing::note_reason`].
    said: Vec<Arc<str>>,
    /// The place of each among them.
    said_at: HashMap<Arc<str>, u64>,
    /// Whether all rows are judged anew, so that they are put in order at once.
    anew: bool,
    /// The key of the row that is judged.
    scratch: GroupKey,
    pub(super) dry_runs: DryRuns,
    pub(super) last_used: u64,
}

impl Standing {
    pub(super) fn new(
        spec: &Arc<PodSpec>,
        node: Option<&NodeName>,
        identity: Option<Arc<Identity>>,
        profile: &Profile,
        state: &ClusterState,
    ) -> Standing {
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
                Ok(scope) => {
                    let weight = profile.weight(plugin.id());
                    columns.push(Column { plugin, scope, weight, value: None });
                }
                Err(error) => score_error = score_error.or(Some((plugin.id(), error))),
            }
        }
        let normalised =
            |column: &&mut Column| column.weight != 0 && column.plugin.normalization() != Normalization::None;
        for (value, column) in columns.iter_mut().filter(normalised).enumerate() {
            column.value = Some(value);
        }
        Standing {
            company: identity.map(|identity| Company::new(identity, spec, profile)),
            context,
            weights: profile.weights,
            narrowed,
            filters,
            columns,
            score_error,
            followed: u64::MAX,
            members: 0,
            images: state.images().version(),
            device_classes: state.related().devices().classes_version(),
            hashes: Arc::default(),
            classes: Vec::new(),
            group_of: Vec::new(),
            sums: Vec::new(),
            groups: Vec::new(),
            by_key: HashMap::new(),
            free: Vec::new(),
            verdicts: Vec::new(),
            normalizers: Vec::new(),
            more: Vec::new(),
            rules: Vec::new(),
            overrides: Vec::new(),
            said: Vec::new(),
            said_at: HashMap::new(),
            anew: false,
            scratch: GroupKey::default(),
            dry_runs: DryRuns::default(),
            last_used: 0,
        }
    }

    /// Whether it is of the profile's plugins and weights.
    pub(super) fn is_of(&self, profile: &Profile) -> bool {
        let own = self.context.plugins();
        self.weights == profile.weights && (Arc::ptr_eq(own, &profile.plugins) || *own == profile.plugins)
    }

    /// The plugins of the profile that it is of.
    pub(super) fn plugins(&self) -> &ProfilePlugins {
        self.context.plugins()
    }

    pub(super) fn narrowed(&self) -> Option<&Narrowed> {
        self.narrowed.as_ref()
    }

    pub(super) fn score_error(&self) -> Option<&(PluginId, String)> {
        self.score_error.as_ref()
    }

    /// Brings everything up to date with the state, but for what [`Standing::judge_groups`] works out.
    pub(super) fn refresh(&mut self, state: &ClusterState, domains: &mut Domains) {
        let mut all = self.company.as_mut().is_some_and(|company| company.refresh(state, domains));
        if self.images != state.images().version() {
            self.images = state.images().version();
            let context = Context::new(&self.context.spec, self.context.node.as_ref(), state, self.context.plugins());
            if context.images != self.context.images {
                self.context = context;
                self.classes.clear();
                all = true;
            }
        }
        let classes = state.related().devices().classes_version();
        if self.device_classes != classes {
            self.device_classes = classes;
            let context = Context::new(&self.context.spec, self.context.node.as_ref(), state, self.context.plugins());
            if context.provided != self.context.provided {
                self.context = context;
                all = true;
            }
        }
        let before = self.hashes.clone();
        if self.members != state.members() {
            self.members = state.members();
            self.hashes = domains.hashes(state);
            self.group_of.resize(state.row_count(), NO_GROUP);
            self.sums.resize(state.row_count(), OUT);
        }
        if self.classes.len() < state.classes().len() {
            self.classes.resize(state.classes().len(), ClassVerdict::default());
        }
        let followed = std::mem::replace(&mut self.followed, state.touched().next());
        let changes = if all { None } else { state.touched().since(followed) };
        match changes {
            Some(changes) => {
                for id in domains.each_once(changes, state.row_count()) {
                    self.judge(state, *id, &before);
                }
            }
            None => {
                self.groups.clear();
                self.by_key.clear();
                self.free.clear();
                self.group_of.fill(NO_GROUP);
                self.anew = true;
                match self.narrowed.as_ref().map(|narrowed| narrowed.names.clone()) {
                    Some(names) => {
                        names.iter().filter_map(|name| state.find(name)).for_each(|id| self.judge(state, id, &before));
                    }
                    // In the order of memory; the order by hash follows.
                    None => state.ids().for_each(|id| self.judge(state, id, &before)),
                }
                self.put_in_order(&domains.by_hash(state));
                self.anew = false;
            }
        }
    }

    /// Makes the orders of all groups, given all rows by hash.
    fn put_in_order(&mut self, by_hash: &[NodeId]) {
        let mut members: Vec<Vec<NodeId>> = self.groups.iter().map(|group| Vec::with_capacity(group.rows)).collect();
        for id in by_hash {
            if let Some(rows) = members.get_mut(self.group_of[id.index()] as usize) {
                rows.push(*id);
            }
        }
        let ordered = self.groups.iter_mut().zip(&members).filter(|(group, _)| group.key.values.is_some());
        ordered.for_each(|(group, rows)| group.order = Order::of(rows, &self.hashes));
    }

    /// Judges one row, and puts it into its group.
    fn judge(&mut self, state: &ClusterState, id: NodeId, hashes: &[u64]) {
        let row = id.index();
        if state.versions()[row] == 0 || self.leaves_out(state, id) {
            self.move_to(id, NO_GROUP, hashes);
            return;
        }
        let node = state.view(id);
        let class = node.row().class;
        if self.classes[class.index()].serial != state.classes().serial(class) {
            self.judge_class(state, class, node);
        }
        let of_class = &self.classes[class.index()];
        let mut key = std::mem::take(&mut self.scratch);
        let mut values = key.values.take().unwrap_or_default();
        key.rejection = self.filters[..of_class.rejected_at.min(self.filters.len())]
            .iter()
            .filter(|(_, scope)| *scope == Scope::Node)
            .find_map(|(plugin, _)| plugin.filter(&self.context, node).err())
            .or(of_class.rejection);
        let mut sum = OUT;
        if !self.is_final(key.rejection) {
            values.clear();
            if let Some(company) = &self.company {
                company.values(id, &mut values);
            }
            sum = 0;
            for (index, column) in self.columns.iter().enumerate() {
                let raw = match column.scope {
                    Scope::Class => of_class.scores[index],
                    _ => column.plugin.score(&self.context, node, state),
                };
                match column.value {
                    Some(_) => values.push(raw),
                    None => sum += column.weight * raw,
                }
            }
            key.values = Some(values);
        }
        let before = self.group_of[row];
        let stays = self.groups.get(before as usize).is_some_and(|group| group.key == key);
        let group = if stays { before } else { self.group(&key) };
        self.scratch = key;
        if before != group {
            self.move_to(id, group, hashes);
        } else if self.sums[row] == sum {
            return;
        }
        self.sums[row] = sum;
        if sum != OUT && !self.anew {
            self.groups[group as usize].order.change(self.hashes[row]);
        }
    }

    /// Whether no rule of company could come before the rejection.
    fn is_final(&self, rejection: Option<Rejection>) -> bool {
        let first = self.company.as_ref().map_or(usize::MAX, Company::first_place);
        rejection.is_some_and(|rejection| self.plugins().place(rejection.plugin) < first)
    }

    fn leaves_out(&self, state: &ClusterState, id: NodeId) -> bool {
        let is_out = |narrowed: &Narrowed| narrowed.names.binary_search(state.view(id).name()).is_err();
        self.narrowed.as_ref().is_some_and(is_out)
    }

    /// The group of rows with this key.
    fn group(&mut self, key: &GroupKey) -> u32 {
        if let Some(&group) = self.by_key.get(key) {
            return group;
        }
        let group = self.free.pop().unwrap_or_else(|| {
            self.groups.push(Group::default());
            (self.groups.len() - 1) as u32
        });
        self.groups[group as usize] = Group { key: key.clone(), ..Group::default() };
        self.by_key.insert(key.clone(), group);
        group
    }

    /// Moves a row from its group to another one. `hashes` are those of the names when it came.
    fn move_to(&mut self, id: NodeId, to: u32, hashes: &[u64]) {
        let row = id.index();
        let from = std::mem::replace(&mut self.group_of[row], to);
        if from == to {
            return;
        }
        if from != NO_GROUP {
            let group = &mut self.groups[from as usize];
            group.rows -= 1;
            if group.key.values.is_some() {
                group.order.remove(id, hashes[row]);
            }
            if group.rows == 0 {
                self.by_key.remove(&group.key);
                self.free.push(from);
            }
        }
        if to != NO_GROUP {
            let group = &mut self.groups[to as usize];
            group.rows += 1;
            if group.key.values.is_some() && !self.anew {
                group.order.insert(id, &self.hashes);
            }
        }
    }

    fn judge_class(&mut self, state: &ClusterState, class: ClassId, node: NodeView<'_>) {
        let by_class = |(plugin, scope): &(&'static dyn Plugin, Scope)| {
            (*scope == Scope::Class).then(|| plugin.filter(&self.context, node).err()).flatten()
        };
        let rejected = self.filters.iter().enumerate().find_map(|(at, filter)| Some((at, by_class(filter)?)));
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

    /// Works out what the rules of company say of each group.
    pub(super) fn judge_groups(&mut self) {
        self.verdicts.clear();
        let company = self.company.as_ref();
        self.verdicts.extend(self.groups.iter().map(|group| {
            let own = group.key.rejection;
            let rejection = match (company, &group.key.values) {
                _ if group.rows == 0 => None,
                (Some(company), Some(values)) => company.check(&values[..company.value_count()], own),
                _ => own,
            };
            Verdict { rejection, feasible: if rejection.is_none() { group.rows } else { 0 }, more: 0 }
        }));
    }

    /// Rejects a row for this decision, until [`Standing::restore`].
    pub(super) fn reject(&mut self, id: NodeId, rejection: Rejection) {
        let group = self.group_of[id.index()];
        if group == NO_GROUP {
            return;
        }
        match self.overrides.binary_search_by_key(&id, |(id, ..)| *id) {
            Ok(at) => self.overrides[at].1 = rejection,
            Err(at) => {
                let sum = std::mem::replace(&mut self.sums[id.index()], OUT);
                self.overrides.insert(at, (id, rejection, sum));
                if sum != OUT {
                    self.groups[group as usize].order.change(self.hashes[id.index()]);
                    let verdict = &mut self.verdicts[group as usize];
                    verdict.feasible -= usize::from(verdict.rejection.is_none());
                }
            }
        }
    }

    /// Notes a reason that extenders gave, for this decision: what has to be put for the reasons of a rejection by them.
    pub(super) fn note_reason(&mut self, reason: Option<Arc<str>>) -> u64 {
        let Some(reason) = reason else { return 0 };
        *self.said_at.entry(reason).or_insert_with_key(|reason| {
            self.said.push(reason.clone());
            self.said.len() as u64
        })
    }

    /// The texts of a rejection, sorted.
    pub(super) fn texts(&self, rejection: Rejection) -> Vec<String> {
        if rejection.plugin != PluginId::Extender {
            return texts(&self.context.spec, rejection);
        }
        let said = usize::try_from(rejection.reasons).ok().and_then(|at| self.said.get(at.checked_sub(1)?));
        said.map(ToString::to_string).into_iter().collect()
    }

    /// Undoes what [`Standing::reject`] and [`Standing::note_reason`] did.
    pub(super) fn restore(&mut self) {
        self.said.clear();
        self.said_at.clear();
        for (id, _, sum) in self.overrides.drain(..) {
            self.sums[id.index()] = sum;
            if sum != OUT {
                self.groups[self.group_of[id.index()] as usize].order.change(self.hashes[id.index()]);
            }
        }
    }

    /// How many rows the pod fits.
    pub(super) fn feasible(&self) -> usize {
        self.verdicts.iter().map(|verdict| verdict.feasible).sum()
    }

    /// Why the pod does not fit the row, and for a row that it was kept from by name, that nothing is known.
    pub(super) fn status(&self, id: NodeId) -> Judged {
        if let Ok(at) = self.overrides.binary_search_by_key(&id, |(id, ..)| *id) {
            return Judged::Rejected(self.overrides[at].1);
        }
        match self.group_of.get(id.index()) {
            None | Some(&NO_GROUP) => Judged::LeftOut,
            Some(group) => match self.verdicts[*group as usize].rejection {
                Some(rejection) => Judged::Rejected(rejection),
                None => Judged::Feasible,
            },
        }
    }

    /// Whether the pod fits the row.
    pub(super) fn fits(&self, id: NodeId) -> bool {
        self.status(id) == Judged::Feasible
    }

    /// Rejections with the number of rows.
    pub(super) fn rejections(&self) -> impl Iterator<Item = (Rejection, usize)> + '_ {
        let overridden = |id: &NodeId| {
            let group = self.group_of[id.index()] as usize;
            self.verdicts.get(group).and_then(|verdict| verdict.rejection)
        };
        let groups = self.groups.iter().zip(&self.verdicts);
        // A row that is rejected besides is not counted for its group.
        let mut besides: HashMap<u32, usize> = HashMap::new();
        for (id, ..) in self.overrides.iter().filter(|(id, ..)| overridden(id).is_some()) {
            *besides.entry(self.group_of[id.index()]).or_default() += 1;
        }
        let of_groups = groups.enumerate().filter_map(move |(at, (group, verdict))| {
            Some((verdict.rejection?, group.rows - besides.get(&(at as u32)).copied().unwrap_or(0)))
        });
        of_groups.chain(self.overrides.iter().map(|(_, rejection, _)| (*rejection, 1))).filter(|(_, rows)| *rows > 0)
    }

    /// How many rows are in groups.
    pub(super) fn judged(&self) -> usize {
        self.groups.iter().map(|group| group.rows).sum()
    }

    /// Groups with feasible rows, with their values.
    fn feasible_groups(&self) -> impl Iterator<Item = (usize, &Group, &[i64])> + Clone {
        let groups = self.groups.iter().zip(&self.verdicts).enumerate();
        groups.filter(|(_, (_, verdict))| verdict.feasible > 0).map(|(at, (group, _))| {
            let values = group.key.values.as_deref().unwrap_or_default();
            (at, group, values)
        })
    }

    /// Works out what raw scores are worth among the feasible rows.
    pub(super) fn score_groups(&mut self) {
        let mut rules = std::mem::take(&mut self.rules);
        rules.clear();
        let asked = self.company.as_ref().map_or(0, Company::value_count);
        if let Some(company) = &self.company {
            let groups =
                self.feasible_groups().map(|(at, _, values)| (at, &values[..asked], self.verdicts[at].feasible));
            company.scores(|plugin| self.weights[plugin.index()], groups, &mut rules, self.groups.len());
        }
        self.normalizers.clear();
        for column in &self.columns {
            let raw = |value: usize| self.feasible_groups().map(move |(_, _, values)| values[asked + value]);
            let largest = column.value.and_then(|value| raw(value).max()).unwrap_or(0);
            let by = if column.value.is_some() { column.plugin.normalization() } else { Normalization::None };
            self.normalizers.push(Normalizer::of(by, largest));
        }
        let mut more = std::mem::take(&mut self.more);
        more.clear();
        more.extend(self.feasible_groups().map(|(at, _, values)| {
            let columns = self.columns.iter().zip(&self.normalizers);
            let normalised = columns.filter_map(|(column, normalizer)| {
                Some(column.weight * normalizer.apply(values[asked + column.value?]))
            });
            let by_rules = rules.iter().map(|(plugin, scores)| self.weights[plugin.index()] * scores[at]);
            (at, normalised.chain(by_rules).sum::<i64>())
        }));
        more.iter().for_each(|(at, more)| self.verdicts[*at].more = *more);
        (self.more, self.rules) = (more, rules);
    }

    /// No scores: with one feasible row there is nothing to compare.
    pub(super) fn score_nothing(&mut self) {
        self.normalizers.clear();
        self.rules.clear();
    }

    /// The weighted sum of all plugins for a feasible row; 0 when nothing was scored.
    pub(super) fn total(&self, id: NodeId) -> i64 {
        if self.normalizers.is_empty() && self.rules.is_empty() {
            return 0;
        }
        self.sums[id.index()] + self.verdicts[self.group_of[id.index()] as usize].more
    }

    /// The range of the weighted sum.
    pub(super) fn range(&self) -> i64 {
        if self.normalizers.is_empty() && self.rules.is_empty() {
            return 0;
        }
        let columns = self.columns.iter().map(|column| column.weight);
        let rules = self.rules.iter().map(|(plugin, _)| self.weights[plugin.index()]);
        100 * columns.chain(rules).sum::<i64>()
    }

    /// The weighted scores of a feasible row, plugin by plugin.
    pub(super) fn parts(&self, state: &ClusterState, id: NodeId) -> Vec<(PluginId, i64)> {
        let node = state.view(id);
        let group = self.group_of[id.index()] as usize;
        let columns = self.columns.iter().zip(&self.normalizers);
        let mut parts: Vec<(PluginId, i64)> = columns
            .map(|(column, normalizer)| {
                let raw = column.plugin.score(&self.context, node, state);
                (column.plugin.id(), column.weight * normalizer.apply(raw))
            })
            .collect();
        parts.extend(self.rules.iter().map(|(plugin, scores)| (*plugin, self.weights[plugin.index()] * scores[group])));
        parts.sort_by_key(|(plugin, _)| *plugin);
        parts
    }

    /// Chooses the highest total. Among equals the one that `draw`, given how many there are, names by its place among
    /// their name hashes.
    pub(super) fn choose(&mut self, draw: impl Fn(usize) -> usize) -> Option<Choice> {
        let (total, equals) = self.highest();
        if total == OUT {
            return None;
        }
        let drawn = draw(equals);
        let best = self.nth_of(total, drawn)?;
        let second = if equals > 1 {
            // Among equals they are drawn together.
            self.nth_of(total, (drawn + 1) % equals)
        } else {
            let (group, row) = (self.group_of[best.index()] as usize, best.index());
            let sum = std::mem::replace(&mut self.sums[row], OUT);
            self.groups[group].order.change(self.hashes[row]);
            let (next, _) = self.highest();
            let second = if next == OUT { None } else { self.nth_of(next, 0) };
            self.sums[row] = sum;
            self.groups[group].order.change(self.hashes[row]);
            second
        };
        Some(Choice { best, second, equals })
    }

    /// The highest total, and how many rows have it.
    fn highest(&mut self) -> (i64, usize) {
        let mut highest = (OUT, 0);
        for (group, verdict) in self.groups.iter_mut().zip(&self.verdicts) {
            if verdict.feasible == 0 {
                continue;
            }
            group.order.settle(&self.sums);
            let best = group.order.best();
            if best.total == OUT {
                continue;
            }
            let total = best.total + verdict.more;
            match total.cmp(&highest.0) {
                std::cmp::Ordering::Greater => highest = (total, best.rows),
                std::cmp::Ordering::Equal => highest.1 += best.rows,
                std::cmp::Ordering::Less => {}
            }
        }
        highest
    }

    /// Of the rows with this total, the highest one, the n-th by name hash.
    fn nth_of(&self, total: i64, n: usize) -> Option<NodeId> {
        let groups = self.groups.iter().zip(&self.verdicts);
        let with_total = groups.filter(|(group, verdict)| {
            let best = group.order.best().total;
            verdict.feasible > 0 && best != OUT && best + verdict.more == total
        });
        let orders: Vec<&Order> = with_total.map(|(group, _)| &group.order).collect();
        nth(&orders, n, Rows { totals: &self.sums, hashes: &self.hashes })
    }

    /// The first rejection of the node as given, by the filters that look at one node.
    pub(super) fn filter(&self, node: NodeView<'_>) -> Option<Rejection> {
        self.filters.iter().find_map(|(plugin, _)| plugin.filter(&self.context, node).err())
    }

    /// The hash of every row's name.
    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }
}
