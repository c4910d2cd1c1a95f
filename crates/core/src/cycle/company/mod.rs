//! What a pod wants of other pods and they of it, with counters by topology domain: [`Company`].
//!
//! Every rule of spreading and every term of affinity becomes a [`Topic`]: a purpose, a topology key, and a count for
//! each domain. A kind of pods is matched with the rules once; from then on every pod of it that comes to a node or
//! leaves it adds to the counts of the node's domains what was found for its kind. The moves come from the state's log,
//! so that a look costs what moved since the last one. All is counted anew when the labels or taints of a node change,
//! when namespaces change, and when the log does not reach back far enough.
//!
//! Where a topic's domain is the node itself (host names), the count of a node is one of the values by which nodes are
//! grouped; see [`super::standing`].

mod domains;
mod identity;
mod trial;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domains::Column;
pub(super) use domains::Domains;
pub(super) use identity::{Identities, Identity};
pub(super) use trial::Shift;

use crate::object::{Node, PodAffinityTerm, PodSpec, SpreadConstraint, WhenUnsatisfiable};
use crate::plugins::inter_pod_affinity::{self, Neighbours, selects};
use crate::plugins::pod_topology_spread::{self as spread, Fewest};
use crate::plugins::{PluginId, Rejection};
use crate::profile::{PluginArguments, Profile, ProfilePlugins, SpreadDefaults};
use crate::state::{ClusterState, HOSTNAME, KindId, NodeId, PodKind};

/// Stands, among the values of a group, for a label that its nodes do not have.
pub(super) const WITHOUT: i64 = i64::MIN;

/// What a count is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A rule of spreading that is a must, by its place among them.
    Hard(usize),
    /// A rule of spreading that is a wish, by its place among them.
    Soft(usize),
    /// Pods that all required terms select.
    Near,
    /// Pods that a required anti-affinity term selects.
    Far,
    /// Pods whose required anti-affinity selects the pod.
    Repelling,
    /// Weights of preferences, the pod's own and those of others.
    Liking,
}

/// Where the count of a node's domain is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Under the domain that is the group's value at this place.
    Domain(usize),
    /// The domain is the node; the count is itself the group's value at this place.
    Node(usize),
}

/// Counts by domain for one purpose.
#[derive(Debug, Clone)]
struct Topic {
    purpose: Purpose,
    key: Arc<str>,
    place: Place,
    /// By domain, or by row where the domain is the node.
    counts: Vec<i64>,
    /// How many pods are counted, whatever they weigh.
    pods: i64,
    /// Of rules that are a must, by domain: whether a node of it counts.
    counted: Vec<bool>,
    /// Of rules that are a must: how many domains have so many pods.
    domains_by_count: BTreeMap<i64, usize>,
}

impl Topic {
    fn count(&self, values: &[i64]) -> Option<i64> {
        match self.place {
            Place::Domain(at) => {
                usize::try_from(values[at]).ok().map(|domain| self.counts.get(domain).copied().unwrap_or(0))
            }
            Place::Node(at) => (values[at] != WITHOUT).then_some(values[at]),
        }
    }

    fn add(&mut self, domain: usize, weight: i64, pods: i64) {
        let before = self.counts[domain];
        self.counts[domain] += weight;
        self.pods += pods;
        if matches!(self.purpose, Purpose::Hard(_)) && self.counted[domain] {
            if let Some(domains) = self.domains_by_count.get_mut(&before) {
                *domains -= 1;
                if *domains == 0 {
                    self.domains_by_count.remove(&before);
                }
            }
            *self.domains_by_count.entry(before + weight).or_default() += 1;
        }
    }

    fn fewest(&self) -> i64 {
        self.domains_by_count.first_key_value().map_or(spread::NO_DOMAIN, |(count, _)| *count)
    }

    fn domains(&self) -> usize {
        self.domains_by_count.values().sum()
    }
}

/// A rule of spreading.
#[derive(Debug, Clone)]
struct Rule {
    constraint: SpreadConstraint,
    /// Whether the pod itself is one of those that are spread.
    counts_itself: bool,
}

/// What a pod wants of other pods and they of it, counted.
#[derive(Debug)]
pub(super) struct Company {
    identity: Arc<Identity>,
    spec: Arc<PodSpec>,
    plugins: Arc<ProfilePlugins>,
    /// Rules that are a must.
    hard: Vec<Rule>,
    /// Rules that are a wish.
    soft: Vec<Rule>,
    likes_itself: bool,
    topics: Vec<Topic>,
    /// The keys whose domains are values of a group, and every row's domain.
    columns: Vec<(Arc<str>, Arc<Column>)>,
    /// How many values a group has.
    values: usize,
    /// What one pod of a kind adds to topics. Kinds that add nothing are not there.
    matches: HashMap<KindId, Box<[(usize, i64)]>>,
    /// Kinds up to this one were matched.
    matched: KindId,
    /// How many kinds there were when those that are gone were last forgotten.
    swept: usize,
    /// The number of the next move to follow.
    followed: u64,
    /// Whether each row has a host name.
    hosts: Arc<Vec<bool>>,
    topology: u64,
    namespaces: u64,
    hosts_are_nodes: bool,
}

impl Company {
    pub(super) fn new(identity: Arc<Identity>, spec: &Arc<PodSpec>, profile: &Profile) -> Company {
        let rule = |constraint: &SpreadConstraint| Rule {
            constraint: constraint.clone(),
            counts_itself: spread::selects(constraint, &identity.labels),
        };
        let arguments = profile.plugins.arguments();
        let rules = |when: WhenUnsatisfiable| -> Vec<Rule> {
            match &identity.alike {
                Some(alike) => spread::defaults(arguments, when, alike).iter().map(rule).collect(),
                None => spread::constraints(spec, when).map(rule).collect(),
            }
        };
        Company {
            hard: rules(WhenUnsatisfiable::DoNotSchedule),
            soft: rules(WhenUnsatisfiable::ScheduleAnyway),
            plugins: profile.plugins.clone(),
            likes_itself: false,
            spec: spec.clone(),
            identity,
            topics: Vec::new(),
            columns: Vec::new(),
            values: 0,
            matches: HashMap::new(),
            matched: KindId::default(),
            swept: 0,
            followed: 0,
            hosts: Arc::default(),
            topology: u64::MAX,
            namespaces: 0,
            hosts_are_nodes: true,
        }
    }

    /// Brings the counts up to date. True if the values of all rows have to be taken anew.
    pub(super) fn refresh(&mut self, state: &ClusterState, domains: &mut Domains) -> bool {
        let stands = self.topology == state.topology()
            && self.namespaces == state.namespaces_version()
            && self.hosts_are_nodes == state.hosts_are_nodes();
        let known_topics = self.topics.len();
        if stands {
            self.match_kinds(state);
        }
        if !stands || self.topics.len() != known_topics || !self.follow(state) {
            self.count_all(state, domains);
            return true;
        }
        if self.matches.len() > 2 * self.swept + 64 {
            self.sweep(state);
        }
        false
    }

    /// Forgets kinds that are gone: all their pods left.
    fn sweep(&mut self, state: &ClusterState) {
        self.matches.retain(|id, _| state.kinds().contains(*id));
        self.swept = self.matches.len();
    }

    /// Whether the pod has rules of its own, so that every kind of pod may count.
    fn has_rules(&self) -> bool {
        !self.hard.is_empty() || !self.soft.is_empty() || !self.spec.pod_affinities.is_empty()
    }

    /// Matches the kinds that are new.
    fn match_kinds(&mut self, state: &ClusterState) {
        let kinds = state.kinds();
        for (id, kind) in kinds.after(self.matched, !self.has_rules()) {
            let found = self.match_kind(kind, state);
            if !found.is_empty() {
                self.matches.insert(id, found);
            }
        }
        self.matched = kinds.last();
    }

    /// What a pod of the kind adds to which topics.
    fn match_kind(&mut self, kind: &PodKind, state: &ClusterState) -> Box<[(usize, i64)]> {
        let namespace = &*self.identity.namespace;
        let counted = |(_, rule): &(usize, &Rule)| spread::is_counted(&rule.constraint, namespace, kind);
        // The topics of rules come first, in the order of the rules.
        let rules = self.hard.iter().chain(&self.soft).enumerate().filter(counted);
        let mut found: Vec<(usize, i64)> = rules.map(|(at, _)| (at, 1)).collect();
        let terms: Vec<(Purpose, Arc<str>, i64)> =
            self.terms(kind, state).into_iter().map(|(purpose, key, weight)| (purpose, key.clone(), weight)).collect();
        found.extend(terms.into_iter().map(|(purpose, key, weight)| (self.topic(purpose, &key), weight)));
        found.into()
    }

    /// What terms of affinity, the pod's own and those of the kind, make of a pod of the kind: for what it counts in
    /// domains of which key, and with what weight.
    fn terms<'k>(&'k self, kind: &'k PodKind, state: &ClusterState) -> Vec<(Purpose, &'k Arc<str>, i64)> {
        let mut found = Vec::new();
        let mut count = |purpose: Purpose, term: &'k PodAffinityTerm, weight: i64| {
            found.push((purpose, &term.topology_key, weight));
        };
        let (own, other) = (&self.spec.pod_affinities, (&*kind.namespace, &kind.labels));
        let selects = |term: &PodAffinityTerm| selects(term, &self.identity.namespace, other, state);
        if own.required.iter().all(selects) {
            own.required.iter().for_each(|term| count(Purpose::Near, term, 1));
        }
        own.required_anti.iter().filter(|term| selects(term)).for_each(|term| count(Purpose::Far, term, 1));
        for (preferred, sign) in [(&own.preferred, 1), (&own.preferred_anti, -1)] {
            for liked in preferred.iter().filter(|liked| selects(&liked.term)) {
                count(Purpose::Liking, &liked.term, sign * i64::from(liked.weight));
            }
        }
        let Some(theirs) = kind.choosy.as_ref().map(|spec| &spec.pod_affinities) else { return found };
        let this = (&*self.identity.namespace, &self.identity.labels);
        let selects = |term: &PodAffinityTerm| self::selects(term, &kind.namespace, this, state);
        theirs.required_anti.iter().filter(|term| selects(term)).for_each(|term| count(Purpose::Repelling, term, 1));
        let hard_weight = self.arguments().inter_pod_affinity.hard_pod_affinity_weight;
        let counted = if hard_weight > 0 { theirs.required.as_slice() } else { &[] };
        let required = counted.iter().map(|term| (term, hard_weight));
        let liked = theirs.preferred.iter().map(|liked| (&liked.term, i64::from(liked.weight)));
        let disliked = theirs.preferred_anti.iter().map(|liked| (&liked.term, -i64::from(liked.weight)));
        for (term, weight) in required.chain(liked).chain(disliked).filter(|(term, _)| selects(term)) {
            count(Purpose::Liking, term, weight);
        }
        found
    }

    /// The topic of the purpose and key, which is made if it is not there.
    fn topic(&mut self, purpose: Purpose, key: &Arc<str>) -> usize {
        let known = self.topics.iter().position(|topic| topic.purpose == purpose && topic.key == *key);
        known.unwrap_or_else(|| {
            self.topics.push(Topic {
                purpose,
                key: key.clone(),
                place: Place::Node(0),
                counts: Vec::new(),
                pods: 0,
                counted: Vec::new(),
                domains_by_count: BTreeMap::new(),
            });
            self.topics.len() - 1
        })
    }

    /// Follows the moves since the last look; false if they are not all known any more.
    fn follow(&mut self, state: &ClusterState) -> bool {
        let followed = std::mem::replace(&mut self.followed, state.moves().next());
        if self.matches.is_empty() {
            return true;
        }
        let Some(moves) = state.moves().since(followed) else { return false };
        for (kind, id, by) in moves {
            let Some(found) = self.matches.get(kind) else { continue };
            let node = &state.row(*id).node;
            for (at, weight) in found {
                if let Some(domain) = self.domain(*at, *id, node) {
                    self.topics[*at].add(domain, by * weight, *by);
                }
            }
        }
        true
    }

    /// The domain of the row for which a pod on it counts in the topic, if it counts.
    fn domain(&self, topic: usize, id: NodeId, node: &Node) -> Option<usize> {
        let topic = &self.topics[topic];
        let domain = match topic.place {
            Place::Domain(at) => self.columns[at].1.of(id.index())?,
            Place::Node(_) => Some(id.index()).filter(|row| self.has_host(*row))?,
        };
        let counts = match (topic.purpose, topic.place) {
            (Purpose::Hard(at), _) => {
                self.has_all_keys(0..self.hard.len(), id.index())
                    && spread::counts(&self.hard[at].constraint, &self.spec, node)
            }
            (Purpose::Soft(at), Place::Domain(_)) => {
                (self.is_by_system()
                    || self.has_all_keys(self.hard.len()..self.hard.len() + self.soft.len(), id.index()))
                    && spread::counts(&self.soft[at].constraint, &self.spec, node)
            }
            _ => true,
        };
        counts.then_some(domain)
    }

    fn arguments(&self) -> &PluginArguments {
        self.plugins.arguments()
    }

    /// Whether a node without a label is only not judged by the rule that asks for it: so it is by the system's defaults.
    fn is_by_system(&self) -> bool {
        self.identity.alike.is_some() && self.arguments().spread_defaults == SpreadDefaults::System
    }

    fn has_host(&self, row: usize) -> bool {
        self.hosts.get(row).copied().unwrap_or(false)
    }

    /// Whether the row has the labels of all these topics.
    fn has_all_keys(&self, topics: std::ops::Range<usize>, row: usize) -> bool {
        self.topics[topics].iter().all(|topic| match topic.place {
            Place::Domain(at) => self.columns[at].1.of(row).is_some(),
            Place::Node(_) => self.has_host(row),
        })
    }

    fn count_all(&mut self, state: &ClusterState, domains: &mut Domains) {
        if self.namespaces != state.namespaces_version() {
            self.matches.clear();
            self.matched = KindId::default();
        }
        self.topology = state.topology();
        self.namespaces = state.namespaces_version();
        self.hosts_are_nodes = state.hosts_are_nodes();
        if self.topics.is_empty() {
            for at in 0..self.hard.len() {
                self.topic(Purpose::Hard(at), &self.hard[at].constraint.topology_key.clone());
            }
            for at in 0..self.soft.len() {
                self.topic(Purpose::Soft(at), &self.soft[at].constraint.topology_key.clone());
            }
            let spec = self.spec.clone();
            let own = &spec.pod_affinities;
            own.required.iter().for_each(|term| _ = self.topic(Purpose::Near, &term.topology_key));
            own.required_anti.iter().for_each(|term| _ = self.topic(Purpose::Far, &term.topology_key));
            // Pods like this one will have a say on those that follow: what they add has its topics from the beginning.
            let like = PodKind {
                namespace: self.identity.namespace.clone(),
                labels: self.identity.labels.clone(),
                terminating: false,
                choosy: Some(spec.clone()),
            };
            self.match_kind(&like, state);
        }
        let this = (&*self.identity.namespace, &self.identity.labels);
        let mut required = self.spec.pod_affinities.required.iter();
        self.likes_itself = required.all(|term| selects(term, &self.identity.namespace, this, state));
        self.sweep(state);
        self.match_kinds(state);
        self.lay_out(state, domains);
        self.followed = state.moves().next();
        let mut places = Vec::new();
        for id in state.ids() {
            let row = state.row(id);
            places.clear();
            places.extend((0..self.topics.len()).map(|topic| self.domain(topic, id, &row.node)));
            for (topic, domain) in self.topics.iter_mut().zip(&places) {
                if let (Purpose::Hard(_), Some(domain)) = (topic.purpose, domain)
                    && !std::mem::replace(&mut topic.counted[*domain], true)
                {
                    *topic.domains_by_count.entry(topic.counts[*domain]).or_default() += 1;
                }
            }
            for (kind, pods) in &row.kinds {
                for (at, weight) in self.matches.get(kind).into_iter().flatten() {
                    if let Some(domain) = places[*at] {
                        let pods = i64::from(*pods);
                        self.topics[*at].add(domain, pods * weight, pods);
                    }
                }
            }
        }
    }

    /// Says where the count of each topic is found, and makes room for counts.
    fn lay_out(&mut self, state: &ClusterState, domains: &mut Domains) {
        self.columns.clear();
        self.hosts = domains.hosts(state);
        let on_nodes = |topic: &Topic| {
            // Wishes to be spread over hosts go by what is on the node itself, whatever its label says.
            *topic.key == *HOSTNAME && (state.hosts_are_nodes() || matches!(topic.purpose, Purpose::Soft(_)))
        };
        for topic in &mut self.topics {
            if on_nodes(topic) {
                continue;
            }
            let known = self.columns.iter().position(|(key, _)| *key == topic.key);
            let at = known.unwrap_or_else(|| {
                self.columns.push((topic.key.clone(), domains.column(state, &topic.key)));
                self.columns.len() - 1
            });
            topic.place = Place::Domain(at);
        }
        let mut values = self.columns.len();
        for topic in &mut self.topics {
            let size = if on_nodes(topic) {
                topic.place = Place::Node(values);
                values += 1;
                state.row_count()
            } else if let Place::Domain(at) = topic.place {
                self.columns[at].1.len()
            } else {
                0
            };
            topic.counts = vec![0; size];
            topic.pods = 0;
            topic.counted = if matches!(topic.purpose, Purpose::Hard(_)) { vec![false; size] } else { Vec::new() };
            topic.domains_by_count.clear();
        }
        self.values = values;
    }

    /// Adds the values by which a row is judged.
    pub(super) fn values(&self, id: NodeId, values: &mut Vec<i64>) {
        let row = id.index();
        values.extend(self.columns.iter().map(|(_, column)| column.of(row).map_or(WITHOUT, |domain| domain as i64)));
        if values.len() == self.values {
            return;
        }
        let has_host = self.has_host(row);
        for topic in self.topics.iter().filter(|topic| matches!(topic.place, Place::Node(_))) {
            let count = topic.counts.get(row).copied().unwrap_or(0);
            values.push(match topic.purpose {
                _ if !has_host => WITHOUT,
                // Only whether there is one matters, which keeps the number of groups small.
                Purpose::Near | Purpose::Far | Purpose::Repelling => count.signum(),
                _ => count,
            });
        }
    }

    /// How many values a row has.
    pub(super) fn value_count(&self) -> usize {
        self.values
    }

    /// The places of spreading and of affinity among the filters of the profile.
    fn places(&self) -> [usize; 2] {
        [PluginId::PodTopologySpread, PluginId::InterPodAffinity].map(|plugin| self.plugins.place(plugin))
    }

    /// The place of the first filter of company.
    pub(super) fn first_place(&self) -> usize {
        let [spread, affinity] = self.places();
        spread.min(affinity)
    }

    /// The first rejection of nodes of these values, unless another filter rejects them before.
    pub(super) fn check(&self, values: &[i64], other: Option<Rejection>) -> Option<Rejection> {
        let count = |at: usize| self.topics[at].count(values);
        self.first(
            other,
            || self.check_spread(count, |at| self.topics[at].fewest()),
            || self.check_affinity(count, |at| self.topics[at].pods, false),
        )
    }

    /// The first rejection by the order of filters: another filter's, that of spreading, that of affinity.
    fn first(
        &self,
        other: Option<Rejection>,
        spread: impl Fn() -> Result<(), Rejection>,
        affinity: impl Fn() -> Result<(), Rejection>,
    ) -> Option<Rejection> {
        let place = |rejection: Option<Rejection>| {
            rejection.map_or(usize::MAX, |rejection| self.plugins.place(rejection.plugin))
        };
        let [of_spread, of_affinity] = self.places();
        let mut first = other;
        if of_spread < place(first) {
            first = spread().err().or(first);
        }
        if of_affinity < place(first) {
            first = affinity().err().or(first);
        }
        first
    }

    /// By topics, the count of the node's domain, and for rules the smallest count of any domain.
    fn check_spread(
        &self,
        count: impl Fn(usize) -> Option<i64>,
        fewest: impl Fn(usize) -> i64,
    ) -> Result<(), Rejection> {
        for (at, rule) in self.hard.iter().enumerate() {
            let here = count(at).ok_or_else(spread::without_domain)?;
            spread::check_skew(&rule.constraint, rule.counts_itself, here, fewest(at), self.topics[at].domains())?;
        }
        Ok(())
    }

    /// By topics, the count of the node's domain and the number of pods anywhere.
    fn check_affinity(
        &self,
        count: impl Fn(usize) -> Option<i64>,
        pods: impl Fn(usize) -> i64,
        repelled: bool,
    ) -> Result<(), Rejection> {
        let of = |purpose| (0..self.topics.len()).filter(move |at| self.topics[*at].purpose == purpose);
        let some = |at: usize| count(at).is_some_and(|count| count > 0);
        Neighbours {
            without_domain: of(Purpose::Near).any(|at| count(at).is_none()),
            all_near: of(Purpose::Near).all(some),
            is_first: self.likes_itself && of(Purpose::Near).all(|at| pods(at) == 0),
            any_far: of(Purpose::Far).any(some),
            repelled: repelled || of(Purpose::Repelling).any(some),
        }
        .check()
    }

    /// Scores of groups of nodes, given their values and how many nodes of each the pod fits: by plugin and group, of
    /// plugins that have a weight.
    pub(super) fn scores<'g>(
        &self,
        weight: impl Fn(PluginId) -> i64,
        groups: impl Iterator<Item = (usize, &'g [i64], usize)> + Clone,
        scores: &mut Vec<(PluginId, Vec<i64>)>,
        count: usize,
    ) {
        scores.clear();
        if weight(PluginId::PodTopologySpread) != 0 && !self.soft.is_empty() {
            let raw = self.spread_scores(groups.clone());
            let judged = || raw.iter().filter_map(|(_, raw)| *raw);
            let (least, most) = (judged().min().unwrap_or(0), judged().max().unwrap_or(0));
            let mut of_groups = vec![0; count];
            for (group, raw) in raw {
                of_groups[group] = raw.map_or(0, |raw| spread::normalize(raw, least, most));
            }
            scores.push((PluginId::PodTopologySpread, of_groups));
        }
        let liking = || self.topics.iter().filter(|topic| topic.purpose == Purpose::Liking);
        let own = &self.spec.pod_affinities;
        let ignored = self.arguments().inter_pod_affinity.ignore_preferred_terms_of_existing_pods
            && own.preferred.is_empty()
            && own.preferred_anti.is_empty();
        if weight(PluginId::InterPodAffinity) != 0 && !ignored && liking().any(|topic| topic.pods != 0) {
            let raw = |values: &[i64]| -> i64 { liking().filter_map(|topic| topic.count(values)).sum() };
            let raw: Vec<(usize, i64)> = groups.map(|(group, values, _)| (group, raw(values))).collect();
            let all = || raw.iter().map(|(_, raw)| *raw);
            let (least, most) = (all().min().unwrap_or(0), all().max().unwrap_or(0));
            let mut of_groups = vec![0; count];
            for (group, raw) in raw {
                of_groups[group] = inter_pod_affinity::normalize(raw, least, most);
            }
            scores.push((PluginId::InterPodAffinity, of_groups));
        }
    }

    /// Raw scores of groups by the rules that are a wish; none for a group that is not judged by them.
    fn spread_scores<'g>(
        &self,
        groups: impl Iterator<Item = (usize, &'g [i64], usize)> + Clone,
    ) -> Vec<(usize, Option<i64>)> {
        let topics = &self.topics[self.hard.len()..self.hard.len() + self.soft.len()];
        let value = |topic: &Topic, values: &[i64]| match topic.place {
            Place::Domain(at) | Place::Node(at) => values[at],
        };
        let by_system = self.is_by_system();
        let is_scored = |values: &[i64]| by_system || topics.iter().all(|topic| value(topic, values) != WITHOUT);
        let scored = groups.clone().filter(|(_, values, _)| is_scored(values));
        let sizes: Vec<usize> = topics
            .iter()
            .map(|topic| match topic.place {
                Place::Node(_) => scored.clone().map(|(_, _, nodes)| nodes).sum(),
                Place::Domain(at) => {
                    // kube-scheduler takes nodes without the label for a domain with an empty name.
                    let column = &self.columns[at].1;
                    let named =
                        |domain: i64| usize::try_from(domain).is_ok_and(|domain| !column.value(domain).is_empty());
                    let of = |values: &[i64]| if named(values[at]) { values[at] } else { WITHOUT };
                    let mut domains: Vec<i64> = scored.clone().map(|(_, values, _)| of(values)).collect();
                    domains.sort_unstable();
                    domains.dedup();
                    domains.len()
                }
            })
            .collect();
        let score = |values: &[i64]| {
            let rules = self.soft.iter().zip(topics).zip(&sizes);
            let parts = rules
                .filter_map(|((rule, topic), size)| Some(spread::score(&rule.constraint, topic.count(values)?, *size)));
            parts.fold(0.0, |sum, part| sum + part).round() as i64
        };
        groups.map(|(group, values, _)| (group, is_scored(values).then(|| score(values)))).collect()
    }

    /// Whether any pod could change on which nodes the pod fits, by rules and terms.
    pub(super) fn filters(&self) -> bool {
        let wishes = |topic: &Topic| matches!(topic.purpose, Purpose::Soft(_) | Purpose::Liking);
        !self.topics.iter().all(wishes)
    }

    /// The two emptiest domains of each rule that is a must, from which trials start. Among equals the first by name
    /// counts, or by the hash of the node's name where the domain is the node.
    pub(super) fn fewest(&self, hashes: &[u64]) -> Vec<Fewest> {
        let of = |topic: &Topic| {
            let name = |domain: usize| match topic.place {
                Place::Domain(at) => (self.columns[at].1.value(domain), 0),
                Place::Node(_) => ("", hashes.get(domain).copied().unwrap_or(0)),
            };
            let mut least: Vec<(i64, (&str, u64), usize)> = Vec::new();
            for domain in (0..topic.counts.len()).filter(|domain| topic.counted[*domain]) {
                least.push((topic.counts[domain], name(domain), domain));
                least.sort_unstable();
                least.truncate(2);
            }
            Fewest::of(least.into_iter().map(|(count, _, domain)| (domain as u32, count)))
        };
        self.topics.iter().take(self.hard.len()).map(of).collect()
    }
}
