//! Arguments of plugins: read strictly, with kube-scheduler's defaults and checks. Start at [`read`].

use std::time::Duration;

use augur_core::object::{NodeAffinity, NodeSelectorTerm, PreferredNodeTerm, SpreadConstraint, WhenUnsatisfiable};
use augur_core::preemption::Window;
use augur_core::profile::{
    AddedAffinity, BalancedResources, FitArguments, InterPodAffinityArguments, MAX_SHAPE_SCORE, PluginArguments,
    ResourceWeight, ScoredResource, ScoringStrategy, ShapePoint, SpreadDefaults,
};
use augur_notation::qualified_name_problems;
use serde_json::{Value, json};

use crate::GoDuration;
use crate::document::Object;
use crate::error::FieldErrors;
use crate::types::API_VERSION;

/// Plugins that have arguments.
pub(crate) const WITH_ARGUMENTS: [&str; 8] = [
    "DefaultPreemption",
    "DynamicResources",
    "InterPodAffinity",
    "NodeAffinity",
    "NodeResourcesBalancedAllocation",
    "NodeResourcesFit",
    "PodTopologySpread",
    "VolumeBinding",
];

/// What the arguments of a profile's plugins come to.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    pub(crate) core: PluginArguments,
    pub(crate) volume_bind_timeout: Duration,
    pub(crate) warnings: Vec<String>,
}

impl Default for Arguments {
    fn default() -> Self {
        Arguments {
            core: PluginArguments::default(),
            volume_bind_timeout: Duration::from_secs(600),
            warnings: Vec::new(),
        }
    }
}

/// Reads the arguments of one plugin of [`WITH_ARGUMENTS`] into `into`, and gives them back with their defaults. Without
/// arguments all are defaults.
pub(crate) fn read(plugin: &str, mut args: Object<'_>, into: &mut Arguments, errors: &mut FieldErrors) -> Value {
    check_type(plugin, &mut args);
    let read = match plugin {
        "DefaultPreemption" => preemption(&mut args, into, errors),
        "DynamicResources" => dynamic_resources(&mut args, into, errors),
        "InterPodAffinity" => inter_pod_affinity(&mut args, into, errors),
        "NodeAffinity" => node_affinity(&mut args, into, errors),
        "NodeResourcesBalancedAllocation" => balanced(&mut args, into, errors),
        "NodeResourcesFit" => fit(&mut args, into, errors),
        "PodTopologySpread" => spread(&mut args, into, errors),
        _ => volume_binding(&mut args, into, errors),
    };
    args.finish();
    let mut all = json!({ "kind": format!("{plugin}Args"), "apiVersion": API_VERSION });
    if let (Some(all), Value::Object(read)) = (all.as_object_mut(), read) {
        all.extend(read.into_iter().filter(|(_, value)| !value.is_null()));
    }
    all
}

fn check_type(plugin: &str, args: &mut Object<'_>) {
    let version: Option<String> = args.get("apiVersion");
    let kind: Option<String> = args.get("kind");
    let (wanted, kind) = (format!("{plugin}Args"), kind.unwrap_or_default());
    if !kind.is_empty() && kind != wanted || version.as_ref().is_some_and(|version| version != API_VERSION) {
        let given = format!("{kind} of {}", version.as_deref().unwrap_or(API_VERSION));
        let what = format!("args for plugin {plugin} were not of type {wanted} of {API_VERSION}, got {given}");
        args.problems().wrong_type(args.path(), what);
    }
}

fn preemption(args: &mut Object<'_>, into: &mut Arguments, errors: &mut FieldErrors) -> Value {
    let percentage: i32 = args.get("minCandidateNodesPercentage").unwrap_or(10);
    let absolute: i32 = args.get("minCandidateNodesAbsolute").unwrap_or(100);
    let (percentage_path, absolute_path) =
        (args.place("minCandidateNodesPercentage"), args.place("minCandidateNodesAbsolute"));
    if !(0..=100).contains(&percentage) {
        errors.invalid(&percentage_path, percentage, "not in valid range [0, 100]");
    }
    if absolute < 0 {
        errors.invalid(&absolute_path, absolute, "not in valid range [0, inf)");
    }
    if percentage == 0 && absolute == 0 {
        let with = |other| format!("cannot be zero at the same time as {other}");
        errors.invalid(&percentage_path, 0, &with("minCandidateNodesAbsolute"));
        errors.invalid(&absolute_path, 0, &with("minCandidateNodesPercentage"));
    }
    into.core.preemption = Window {
        min_percentage: u32::try_from(percentage).unwrap_or(0),
        min_absolute: u32::try_from(absolute).unwrap_or(0),
    };
    json!({ "minCandidateNodesPercentage": percentage, "minCandidateNodesAbsolute": absolute })
}

fn dynamic_resources(args: &mut Object<'_>, into: &mut Arguments, errors: &mut FieldErrors) -> Value {
    const DEFAULTS: (GoDuration, GoDuration) = (GoDuration::seconds(10), GoDuration::seconds(600));
    let filter: GoDuration = args.get("filterTimeout").unwrap_or(DEFAULTS.0);
    let binding: GoDuration = args.get("bindingTimeout").unwrap_or(DEFAULTS.1);
    if filter < GoDuration(0) {
        errors.invalid_text(&args.place("filterTimeout"), &filter.to_string(), "must be zero or positive");
    }
    if binding < GoDuration::seconds(1) {
        errors.invalid_text(&args.place("bindingTimeout"), &binding.to_string(), "must be at least 1 second");
    }
    if (filter, binding) != DEFAULTS {
        let why = "filterTimeout and bindingTimeout have no effect: Augur bounds the search for devices by its steps";
        into.warnings.push(format!("{}: {why}", args.path()));
    }
    json!({ "filterTimeout": filter, "bindingTimeout": binding })
}

fn inter_pod_affinity(args: &mut Object<'_>, into: &mut Arguments, errors: &mut FieldErrors) -> Value {
    let weight: i32 = args.get("hardPodAffinityWeight").unwrap_or(1);
    let ignore: bool = args.get("ignorePreferredTermsOfExistingPods").unwrap_or(false);
    if !(0..=100).contains(&weight) {
        errors.invalid(&args.place("hardPodAffinityWeight"), weight, "not in valid range [0, 100]");
    }
    into.core.inter_pod_affinity = InterPodAffinityArguments {
        hard_pod_affinity_weight: weight.into(),
        ignore_preferred_terms_of_existing_pods: ignore,
    };
    json!({ "hardPodAffinityWeight": weight, "ignorePreferredTermsOfExistingPods": ignore })
}

/// A term, and what it says.
fn node_selector_term(term: &mut Object<'_>, errors: &mut FieldErrors) -> NodeSelectorTerm {
    let mut read = |key| -> Vec<(String, String, Vec<String>)> {
        let mut requirements = Vec::new();
        for mut requirement in term.objects(key) {
            requirements.push((
                requirement.get("key").unwrap_or_default(),
                requirement.get("operator").unwrap_or_default(),
                requirement.get("values").unwrap_or_default(),
            ));
            requirement.finish();
        }
        requirements
    };
    let (expressions, fields) = (read("matchExpressions"), read("matchFields"));
    fn parts((key, operator, values): &(String, String, Vec<String>)) -> (&str, &str, Vec<&str>) {
        (key, operator, values.iter().map(String::as_str).collect())
    }
    let read = NodeSelectorTerm::new(expressions.iter().map(parts), fields.iter().map(parts));
    if let Some(error) = read.error() {
        errors.0.push(format!("{}.{error}", term.path()));
    }
    read
}

fn node_affinity(args: &mut Object<'_>, into: &mut Arguments, errors: &mut FieldErrors) -> Value {
    let written = args.raw("addedAffinity").cloned();
    let Some(mut affinity) = args.object("addedAffinity") else { return json!({}) };
    let mut added = NodeAffinity::default();
    if let Some(mut required) = affinity.object("requiredDuringSchedulingIgnoredDuringExecution") {
        let mut terms = Vec::new();
        for mut term in required.objects("nodeSelectorTerms") {
            terms.push(node_selector_term(&mut term, errors));
            term.finish();
        }
        required.finish();
        added.required = Some(terms);
    }
    for mut preferred in affinity.objects("preferredDuringSchedulingIgnoredDuringExecution") {
        let weight = preferred.get("weight").unwrap_or(0);
        if let Some(mut preference) = preferred.object("preference") {
            let term = node_selector_term(&mut preference, errors);
            preference.finish();
            added.preferred.push(PreferredNodeTerm { weight, term });
        }
        preferred.finish();
    }
    affinity.finish();
    into.core.added_affinity = AddedAffinity(added);
    json!({ "addedAffinity": written })
}

/// Resources with weights; cpu and memory by default. A weight that is not given or 0 is 1.
fn resources(args: &mut Object<'_>) -> Vec<(String, String, i64)> {
    let mut resources = Vec::new();
    for mut resource in args.objects("resources") {
        let name: String = resource.get("name").unwrap_or_default();
        let weight = resource.get("weight").filter(|weight| *weight != 0).unwrap_or(1);
        resources.push((resource.path().to_owned(), name, weight));
        resource.finish();
    }
    if resources.is_empty() {
        let default = ["cpu", "memory"].into_iter().enumerate();
        let place = args.place("resources");
        resources.extend(default.map(|(index, name)| (format!("{place}[{index}]"), name.to_owned(), 1)));
    }
    resources
}

fn written(resources: &[(String, String, i64)]) -> Value {
    resources.iter().map(|(_, name, weight)| json!({ "name": name, "weight": weight })).collect()
}

fn balanced(args: &mut Object<'_>, into: &mut Arguments, errors: &mut FieldErrors) -> Value {
    let resources = resources(args);
    for (index, (place, name, weight)) in resources.iter().enumerate() {
        if resources[..index].iter().any(|(_, earlier, _)| earlier == name) {
            errors.duplicate(&format!("{place}.name"), &format!("{name:?}"));
        }
        if *weight != 1 {
            errors.invalid(&format!("{place}.weight"), weight, "must be 1");
        }
    }
    into.core.balanced = BalancedResources(resources.iter().map(|(_, name, _)| ScoredResource::of(name)).collect());
    json!({ "resources": written(&resources) })
}

/// What kube-scheduler asks of names of labels.
fn check_label_name(place: &str, name: &str, errors: &mut FieldErrors) {
    for problem in qualified_name_problems(name) {
        errors.invalid_text(place, name, &problem);
    }
}

fn shape(args: &mut Object<'_>, errors: &mut FieldErrors) -> (Vec<ShapePoint>, Value) {
    let mut points: Vec<ShapePoint> = Vec::new();
    let path = args.place("shape");
    let mut out_of_order = false;
    let mut late = FieldErrors::default();
    for mut point in args.objects("shape") {
        let utilization: i32 = point.get("utilization").unwrap_or(0);
        let score: i32 = point.get("score").unwrap_or(0);
        let (at_utilization, at_score) = (point.place("utilization"), point.place("score"));
        if !out_of_order && points.last().is_some_and(|before| before.utilization >= i64::from(utilization)) {
            errors.invalid(&at_utilization, utilization, "values must be sorted in increasing order");
            out_of_order = true;
        }
        if !(0..=100).contains(&utilization) {
            late.invalid(&at_utilization, utilization, "not in valid range [0, 100]");
        }
        if !(0..=MAX_SHAPE_SCORE).contains(&i64::from(score)) {
            late.invalid(&at_score, score, &format!("not in valid range [0, {MAX_SHAPE_SCORE}]"));
        }
        points.push(ShapePoint { utilization: utilization.into(), score: score.into() });
        point.finish();
    }
    errors.0.extend(late.0);
    if points.is_empty() {
        errors.required(&path, "at least one point must be specified");
    }
    let point = |point: &ShapePoint| json!({ "utilization": point.utilization, "score": point.score });
    let written = points.iter().map(point).collect();
    (points, written)
}

fn fit(args: &mut Object<'_>, into: &mut Arguments, errors: &mut FieldErrors) -> Value {
    const STRATEGIES: [&str; 3] = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];
    let ignored: Vec<String> = args.get("ignoredResources").unwrap_or_default();
    let groups: Vec<String> = args.get("ignoredResourceGroups").unwrap_or_default();
    for (index, name) in ignored.iter().enumerate() {
        check_label_name(&format!("{}[{index}]", args.place("ignoredResources")), name, errors);
    }
    for (index, group) in groups.iter().enumerate() {
        let place = format!("{}[{index}]", args.place("ignoredResourceGroups"));
        if group.contains('/') {
            errors.invalid_text(&place, group, "resource group name can't contain '/'");
        }
        check_label_name(&place, group, errors);
    }
    let mut fit = FitArguments {
        ignored_resources: ignored.iter().map(|name| name.as_str().into()).collect(),
        ignored_groups: groups.iter().map(|name| name.as_str().into()).collect(),
        ..FitArguments::default()
    };
    let mut strategy = json!({ "type": "LeastAllocated", "resources": written(&default_resources()) });
    if let Some(mut given) = args.object("scoringStrategy") {
        let name: String = given.get("type").unwrap_or_default();
        let type_place = given.place("type");
        if !STRATEGIES.contains(&name.as_str()) {
            errors.unsupported(&type_place, &name, &STRATEGIES);
        }
        let resources = resources(&mut given);
        for (place, resource, weight) in &resources {
            if !(1..=100).contains(weight) {
                let detail = format!("resource weight of {resource} not in valid range (0, 100]");
                errors.invalid(&format!("{place}.weight"), weight, &detail);
            }
        }
        let weighed = |(_, name, weight): &(String, String, i64)| ResourceWeight {
            resource: ScoredResource::of(name),
            weight: *weight,
        };
        fit.resources = resources.iter().map(weighed).collect();
        strategy = json!({ "type": name, "resources": written(&resources) });
        let ratio_place = given.place("requestedToCapacityRatio");
        let ratio = given.object("requestedToCapacityRatio");
        match (name.as_str(), ratio) {
            ("RequestedToCapacityRatio", Some(mut ratio)) => {
                let (points, written) = shape(&mut ratio, errors);
                ratio.finish();
                fit.strategy = ScoringStrategy::RequestedToCapacityRatio(points);
                strategy["requestedToCapacityRatio"] = json!({ "shape": written });
            }
            ("RequestedToCapacityRatio", None) => {
                errors.required(&ratio_place, "must be specified when type is RequestedToCapacityRatio");
            }
            (_, Some(_)) => {
                errors.forbidden(&ratio_place, "must be nil when type is not RequestedToCapacityRatio");
            }
            ("MostAllocated", None) => fit.strategy = ScoringStrategy::MostAllocated,
            (_, None) => {}
        }
        given.finish();
    }
    into.core.fit = fit;
    let list = |names: Vec<String>| if names.is_empty() { Value::Null } else { json!(names) };
    json!({
        "ignoredResources": list(ignored),
        "ignoredResourceGroups": list(groups),
        "scoringStrategy": strategy,
    })
}

fn default_resources() -> Vec<(String, String, i64)> {
    ["cpu", "memory"].map(|name| (String::new(), name.to_owned(), 1)).into()
}

fn spread(args: &mut Object<'_>, into: &mut Arguments, errors: &mut FieldErrors) -> Value {
    let given = args.raw("defaultConstraints").cloned();
    let defaulting: String =
        args.get("defaultingType").filter(|text: &String| !text.is_empty()).unwrap_or("System".into());
    let place = args.place("defaultingType");
    let rules = args.objects("defaultConstraints");
    match defaulting.as_str() {
        "System" if !rules.is_empty() => {
            errors.invalid_text(&place, &defaulting, "when .defaultConstraints are not empty");
        }
        "System" | "List" => {}
        _ => errors.unsupported(&place, &defaulting, &["System", "List"]),
    }
    let mut read: Vec<SpreadConstraint> = Vec::new();
    for mut rule in rules {
        let constraint = spread_rule(&mut rule, into, errors);
        let repeats = |earlier: &SpreadConstraint| {
            earlier.topology_key == constraint.topology_key
                && earlier.when_unsatisfiable == constraint.when_unsatisfiable
        };
        if read.iter().any(repeats) {
            let when: String = rule.get("whenUnsatisfiable").unwrap_or_default();
            errors.duplicate(rule.path(), &format!("\"{{{}, {when}}}\"", constraint.topology_key));
        }
        read.push(constraint);
        rule.finish();
    }
    if defaulting == "List" {
        into.core.spread_defaults = SpreadDefaults::List(read);
    }
    json!({ "defaultConstraints": given, "defaultingType": defaulting })
}

fn spread_rule(rule: &mut Object<'_>, into: &mut Arguments, errors: &mut FieldErrors) -> SpreadConstraint {
    let max_skew: i32 = rule.get("maxSkew").unwrap_or(0);
    let topology_key: String = rule.get("topologyKey").unwrap_or_default();
    let when: String = rule.get("whenUnsatisfiable").unwrap_or_default();
    if max_skew <= 0 {
        errors.invalid(&rule.place("maxSkew"), max_skew, "not in valid range (0, inf)");
    }
    match topology_key.as_str() {
        "" => errors.required(&rule.place("topologyKey"), "can not be empty"),
        key => check_label_name(&rule.place("topologyKey"), key, errors),
    }
    match when.as_str() {
        "" => errors.required(&rule.place("whenUnsatisfiable"), "can not be empty"),
        "DoNotSchedule" | "ScheduleAnyway" => {}
        other => {
            errors.unsupported(&rule.place("whenUnsatisfiable"), other, &["DoNotSchedule", "ScheduleAnyway"]);
        }
    }
    if rule.raw("labelSelector").is_some() {
        let why = "constraint must not define a selector, as they deduced for each pod";
        errors.forbidden(&rule.place("labelSelector"), why);
    }
    let policy = |given: Option<String>, default: bool| given.map_or(default, |policy| policy == "Honor");
    // Which labels a pod shares with its like follows from services and controllers.
    let keys: Vec<String> = rule.get("matchLabelKeys").unwrap_or_default();
    if !keys.is_empty() {
        into.warnings.push(format!("{} has no effect", rule.place("matchLabelKeys")));
    }
    SpreadConstraint {
        topology_key: topology_key.as_str().into(),
        max_skew,
        when_unsatisfiable: match when.as_str() {
            "DoNotSchedule" => WhenUnsatisfiable::DoNotSchedule,
            _ => WhenUnsatisfiable::ScheduleAnyway,
        },
        selector: None,
        min_domains: rule.get("minDomains"),
        honor_node_affinity: policy(rule.get("nodeAffinityPolicy"), true),
        honor_taints: policy(rule.get("nodeTaintsPolicy"), false),
    }
}

fn volume_binding(args: &mut Object<'_>, into: &mut Arguments, errors: &mut FieldErrors) -> Value {
    let seconds: i64 = args.get("bindTimeoutSeconds").unwrap_or(600);
    if seconds < 0 {
        let why = "invalid BindTimeoutSeconds, should not be a negative value";
        errors.invalid(&args.place("bindTimeoutSeconds"), seconds, why);
    }
    if let Some(shape) = args.raw("shape") {
        let why = "unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring";
        errors.invalid(&args.place("shape"), shape, why);
    }
    into.volume_bind_timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    json!({ "bindTimeoutSeconds": seconds })
}
