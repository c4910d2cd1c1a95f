//! Configurations as text: what comes of them, and how wrong ones are refused.

use std::time::Duration;

use augur_core::plugins::PluginId;
use augur_core::profile::{Profile, ScoredResource, ScoringStrategy, ShapePoint, SpreadDefaults};
use serde_json::json;

use super::*;

/// The configuration of a file with this below kind and version.
fn read(body: &str) -> Result<KubeSchedulerConfiguration, ConfigError> {
    let text = format!("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n{body}");
    KubeSchedulerConfiguration::read(&Document::parse(&text)?)
}

fn error(body: &str) -> String {
    match read(body) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The error of one profile with this plugin configuration.
fn args_error(plugin: &str, args: &str) -> String {
    error(&format!("profiles:\n- pluginConfig:\n  - name: {plugin}\n    args: {args}\n"))
}

fn core(body: &str) -> Profile {
    let configuration = read(body).expect("a legal configuration");
    configuration.profiles[0].core(&Profile::default())
}

fn names(set: &PluginSet) -> Vec<&str> {
    set.enabled.iter().map(|plugin| plugin.name.as_str()).collect()
}

#[test]
fn an_empty_file_has_the_defaults() {
    let configuration = read("").expect("legal");
    assert_eq!(configuration, KubeSchedulerConfiguration::default());
    let shown = configuration.configz();
    let own = &shown["componentconfig"];
    assert_eq!(own["apiVersion"], "kubescheduler.config.k8s.io/v1");
    assert_eq!(own["parallelism"], 16);
    assert_eq!((&own["podInitialBackoffSeconds"], &own["podMaxBackoffSeconds"]), (&json!(1), &json!(10)));
    assert_eq!(
        own["leaderElection"],
        json!({
            "leaderElect": true, "leaseDuration": "15s", "renewDeadline": "10s", "retryPeriod": "2s",
            "resourceLock": "leases", "resourceName": "augur", "resourceNamespace": "kube-system",
        })
    );
    let profile = &own["profiles"][0];
    assert_eq!(profile["schedulerName"], "default-scheduler");
    let enabled = profile["plugins"]["multiPoint"]["enabled"].as_array().expect("a list");
    let enabled: Vec<&str> = enabled.iter().filter_map(|plugin| plugin["name"].as_str()).collect();
    assert_eq!(
        enabled.join(" "),
        "SchedulingGates PrioritySort NodeUnschedulable NodeName TaintToleration NodeAffinity NodePorts NodeResourcesFit \
         VolumeRestrictions NodeVolumeLimits VolumeBinding VolumeZone PodTopologySpread InterPodAffinity \
         DynamicResources DefaultPreemption NodeResourcesBalancedAllocation ImageLocality DefaultBinder \
         NodeDeclaredFeatures Augur"
    );
    let args: Vec<String> =
        profile["pluginConfig"].as_array().expect("a list").iter().map(ToString::to_string).collect();
    assert_eq!(
        args,
        [
            r#"{"args":{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"DefaultPreemptionArgs","minCandidateNodesAbsolute":100,"minCandidateNodesPercentage":10},"name":"DefaultPreemption"}"#,
            r#"{"args":{"apiVersion":"kubescheduler.config.k8s.io/v1","bindingTimeout":"10m0s","filterTimeout":"10s","kind":"DynamicResourcesArgs"},"name":"DynamicResources"}"#,
            r#"{"args":{"apiVersion":"kubescheduler.config.k8s.io/v1","hardPodAffinityWeight":1,"ignorePreferredTermsOfExistingPods":false,"kind":"InterPodAffinityArgs"},"name":"InterPodAffinity"}"#,
            r#"{"args":{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"NodeAffinityArgs"},"name":"NodeAffinity"}"#,
            r#"{"args":{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"NodeResourcesBalancedAllocationArgs","resources":[{"name":"cpu","weight":1},{"name":"memory","weight":1}]},"name":"NodeResourcesBalancedAllocation"}"#,
            r#"{"args":{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"NodeResourcesFitArgs","scoringStrategy":{"resources":[{"name":"cpu","weight":1},{"name":"memory","weight":1}],"type":"LeastAllocated"}},"name":"NodeResourcesFit"}"#,
            r#"{"args":{"apiVersion":"kubescheduler.config.k8s.io/v1","defaultingType":"System","kind":"PodTopologySpreadArgs"},"name":"PodTopologySpread"}"#,
            r#"{"args":{"apiVersion":"kubescheduler.config.k8s.io/v1","bindTimeoutSeconds":600,"kind":"VolumeBindingArgs"},"name":"VolumeBinding"}"#,
        ]
    );
}

#[test]
fn the_defaults_are_those_of_the_core() {
    let (read, default) = (core(""), Profile::default());
    assert_eq!(
        (&read.scheduler_name, &read.enhanced, read.model_share),
        (&default.scheduler_name, &default.enhanced, default.model_share)
    );
    for plugin in PluginId::ALL {
        // Its score is 0 in kube-scheduler 1.36, as scoring by capacity is off.
        if !matches!(plugin, PluginId::VolumeBinding | PluginId::DynamicResources) {
            assert_eq!(read.weight(plugin), default.weight(plugin), "{plugin:?}");
        }
    }
    assert_eq!(read.plugins.arguments(), default.plugins.arguments());
    assert_eq!(read.plugins.post_filter(), default.plugins.post_filter());
    // Of all plugins the default order has those that filter.
    let order: Vec<PluginId> =
        default.plugins.filter().iter().copied().filter(|plugin| read.plugins.filter().contains(plugin)).collect();
    assert_eq!(order, read.plugins.filter());
}

#[test]
fn documents_of_other_kinds_are_told() {
    let parse = |text: &str| {
        KubeSchedulerConfiguration::read(&Document::parse(text).expect("YAML")).map(|_| ()).map_err(|e| e.to_string())
    };
    let told = |text: &str| parse(text).expect_err("refused");
    assert!(told("kind: KubeSchedulerConfiguration").starts_with("Object 'apiVersion' is missing"));
    assert!(told("apiVersion: kubescheduler.config.k8s.io/v1").starts_with("Object 'Kind' is missing"));
    for version in ["componentconfig/v1alpha1", "kubescheduler.config.k8s.io/v1beta3"] {
        assert!(
            told(&format!("kind: KubeSchedulerConfiguration\napiVersion: {version}"))
                .starts_with(&format!("no kind \"KubeSchedulerConfiguration\" is registered for version {version:?}"))
        );
    }
    let is = |text: &str| Document::parse(text).expect("YAML").is_kube_scheduler_configuration();
    assert!(is("profiles: []") && is("kind: X") && !is("server: {}") && !is("") && !is("# nothing\n---\n"));
}

#[test]
fn unknown_and_repeated_fields_are_named() {
    assert_eq!(error("foo: bar"), "strict decoding error: unknown field \"foo\" (the nearest known field is \"kind\")");
    assert_eq!(
        error("leaderElection:\n  leaderElec: true\nprofiles:\n- plugins:\n    filter:\n      enable: []"),
        "strict decoding error: unknown field \"leaderElection.leaderElec\" (the nearest known field is \
         \"leaderElection.leaderElect\"), unknown field \"profiles[0].plugins.filter.enable\" (the nearest known field is \
         \"profiles[0].plugins.filter.enabled\")"
    );
    assert!(
        args_error("NodeResourcesFit", "{scoringStrategy: {typ: MostAllocated}}")
            .contains("unknown field \"profiles[0].pluginConfig[0].args.scoringStrategy.typ\"")
    );
    assert!(error("healthzBindAddress: 0.0.0.0:10251").contains("unknown field \"healthzBindAddress\" (removed in v1"));
    let repeated = error("leaderElection:\n  leaderElect: true\n  leaderElect: false");
    assert!(repeated.contains("duplicate") && repeated.contains("leaderElect"), "{repeated}");
}

#[test]
fn values_of_the_wrong_type_are_told_with_their_place() {
    assert!(error("parallelism: many").starts_with("parallelism: invalid type: string \"many\", expected i32"));
    assert!(error("leaderElection: {leaseDuration: 15}").contains("leaderElection.leaseDuration: invalid type"));
    assert!(error("leaderElection: {leaseDuration: 15x}").contains("time: invalid duration \"15x\""));
    assert_eq!(error("profiles: {}"), "profiles: expected a list");
    assert!(error("profiles:\n- plugins:\n    score:\n      enabled:\n      - name: ImageLocality\n        weight: 99999999999").contains("weight"));
    assert!(
        args_error("NodeResourcesFit", "{apiVersion: kubescheduler.config.k8s.io/v1, kind: NodeAffinityArgs}")
            .contains("args for plugin NodeResourcesFit were not of type NodeResourcesFitArgs")
    );
}

#[test]
fn what_kube_scheduler_refuses_is_refused_in_its_words() {
    for (body, expected) in [
        ("parallelism: 0", "parallelism: Invalid value: 0: should be an integer value greater than zero"),
        ("percentageOfNodesToScore: 101", "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"),
        ("podInitialBackoffSeconds: 0", "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"),
        (
            "podMaxBackoffSeconds: 0",
            "podMaxBackoffSeconds: Invalid value: 0: must be greater than or equal to PodInitialBackoffSeconds",
        ),
        ("clientConnection: {burst: -1}", "clientConnection.burst: Invalid value: -1: must be non-negative"),
        (
            "leaderElection: {leaseDuration: 10s}",
            "leaderElection.leaseDuration: Invalid value: \"10s\": must be greater than `RenewDeadline`",
        ),
        (
            "leaderElection: {retryPeriod: -1s}",
            "leaderElection.retryPeriod: Invalid value: \"-1s\": must be greater than zero",
        ),
        (
            "leaderElection: {resourceLock: configmaps}",
            "leaderElection.resourceLock: Invalid value: \"configmaps\": resourceLock value must be \"leases\"",
        ),
        (
            "profiles: [{schedulerName: a}, {schedulerName: a}]",
            "profiles[1].schedulerName: Duplicate value: profiles[0].schedulerName",
        ),
        ("profiles: [{schedulerName: a}, {}]", "profiles[1].schedulerName: Required value"),
        (
            "profiles: [{schedulerName: a, percentageOfNodesToScore: -1}]",
            "profiles[0].percentageOfNodesToScore: Invalid value: -1: not in valid range [0-100]",
        ),
        (
            "profiles: [{schedulerName: a}, {schedulerName: b, plugins: {queueSort: {disabled: [{name: PrioritySort}]}}}]",
            "profiles[1].plugins.queueSort: Invalid value: {\"disabled\":[{\"name\":\"PrioritySort\"}]}: must be the same for \
             all profiles",
        ),
        (
            "profiles: [{plugins: {filter: {enabled: [{name: EBSLimits}]}}}]",
            "profiles[0].plugins.filter.enabled[0]: Invalid value: \"EBSLimits\": was invalid in version \
             \"kubescheduler.config.k8s.io/v1\" (KubeSchedulerConfiguration is version \"kubescheduler.config.k8s.io/v1\")",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeName}, {name: NodeName}]}]",
            "profiles[0].pluginConfig[1]: Duplicate value: \"NodeName\"",
        ),
        (
            "profiles: [{plugins: {filter: {enabled: [{name: NodeResourceFit}]}}}]",
            "profiles[0].plugins.filter.enabled[0]: FilterPlugin \"NodeResourceFit\" does not exist (the nearest known \
             plugin is \"NodeResourcesFit\")",
        ),
        (
            "profiles: [{plugins: {score: {enabled: [{name: NodeName}]}}}]",
            "profiles[0].plugins.score.enabled[0]: plugin \"NodeName\" does not extend ScorePlugin plugin",
        ),
        (
            "profiles: [{plugins: {filter: {enabled: [{name: NodeName}, {name: NodeName}]}}}]",
            "profiles[0].plugins.filter.enabled[1]: plugin \"NodeName\" already registered as \"FilterPlugin\"",
        ),
        (
            "profiles: [{plugins: {queueSort: {disabled: [{name: '*'}]}}}]",
            "profiles[0].plugins.queueSort: only one queue sort plugin required for profile with scheduler name \
             \"default-scheduler\", but got 0",
        ),
        (
            "profiles: [{plugins: {bind: {disabled: [{name: DefaultBinder}]}}}]",
            "profiles[0].plugins.bind: at least one bind plugin is needed for profile with scheduler name \
             \"default-scheduler\"",
        ),
        (
            "profiles: [{pluginConfig: [{name: Coscheduling, args: {}}]}]",
            "profiles[0].pluginConfig[0].name: plugin \"Coscheduling\" does not exist (the nearest known plugin is \"SchedulingGates\")",
        ),
        (
            "extenders: [{urlPrefix: 'http://x', prioritizeVerb: p}, {urlPrefix: 'http://y', bindVerb: b}, {bindVerb: b}]",
            "[extenders[0].weight: Invalid value: 0: must have a positive weight applied to it, extenders: Invalid value: \
             \"found 2 extenders implementing bind\": only one extender can implement bind]",
        ),
        (
            "extenders: [{urlPrefix: 'http://x', managedResources: [{name: cpu}]}]",
            "extenders[0].managedResources[0].name: Invalid value: \"cpu\": is an invalid extended resource name",
        ),
        (
            "extenders: [{urlPrefix: 'example.com/x', filterVerb: f, httpTimeout: -1s}]",
            "[extenders[0].urlPrefix: Invalid value: \"example.com/x\": must begin with http:// or https:// and name a \
             host, extenders[0].httpTimeout: Invalid value: \"-1s\": must not be negative]",
        ),
        (
            "extenders: [{urlPrefix: 'https://x', tlsConfig: {insecure: true, caFile: c, keyFile: k}}]",
            "[extenders[0].tlsConfig.insecure: Forbidden: there is a caFile or caData to check the server against, \
             extenders[0].tlsConfig.certFile: Required value: there is a key without its certificate]",
        ),
    ] {
        assert_eq!(error(body), expected, "{body}");
    }
}

#[test]
fn arguments_are_checked_in_its_words() {
    let at = |text: &str| text.replace('@', "profiles[0].pluginConfig[0].args");
    for (plugin, args, expected) in [
        (
            "DefaultPreemption",
            "{minCandidateNodesPercentage: 101}",
            "@.minCandidateNodesPercentage: Invalid value: 101: not in valid range [0, 100]",
        ),
        (
            "DefaultPreemption",
            "{minCandidateNodesAbsolute: -1}",
            "@.minCandidateNodesAbsolute: Invalid value: -1: not in valid range [0, inf)",
        ),
        (
            "DefaultPreemption",
            "{minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0}",
            "[@.minCandidateNodesPercentage: Invalid value: 0: cannot be zero at the same time as minCandidateNodesAbsolute, \
             @.minCandidateNodesAbsolute: Invalid value: 0: cannot be zero at the same time as minCandidateNodesPercentage]",
        ),
        (
            "InterPodAffinity",
            "{hardPodAffinityWeight: 101}",
            "@.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
        ),
        (
            "VolumeBinding",
            "{bindTimeoutSeconds: -1}",
            "@.bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should not be a negative value",
        ),
        (
            "VolumeBinding",
            "{shape: [{utilization: 0, score: 1}]}",
            "@.shape: Invalid value: [{\"score\":1,\"utilization\":0}]: unexpected field `shape`, remove it or turn on the \
             feature gate StorageCapacityScoring",
        ),
        (
            "NodeResourcesBalancedAllocation",
            "{resources: [{name: cpu, weight: 2}]}",
            "@.resources[0].weight: Invalid value: 2: must be 1",
        ),
        (
            "NodeResourcesBalancedAllocation",
            "{resources: [{name: cpu}, {name: cpu}]}",
            "@.resources[1].name: Duplicate value: \"cpu\"",
        ),
        (
            "NodeResourcesFit",
            "{scoringStrategy: {type: Best}}",
            "@.scoringStrategy.type: Unsupported value: \"Best\": supported values: \"LeastAllocated\", \"MostAllocated\", \
             \"RequestedToCapacityRatio\"",
        ),
        (
            "NodeResourcesFit",
            "{scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 101}]}}",
            "@.scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range (0, 100]",
        ),
        (
            "NodeResourcesFit",
            "{scoringStrategy: {type: RequestedToCapacityRatio}}",
            "@.scoringStrategy.requestedToCapacityRatio: Required value: must be specified when type is \
             RequestedToCapacityRatio",
        ),
        (
            "NodeResourcesFit",
            "{scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {}}}",
            "@.scoringStrategy.requestedToCapacityRatio.shape: Required value: at least one point must be specified",
        ),
        (
            "NodeResourcesFit",
            "{scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 50, score: \
             11}, {utilization: 50, score: 1}]}}}",
            "[@.scoringStrategy.requestedToCapacityRatio.shape[1].utilization: Invalid value: 50: values must be sorted in \
             increasing order, @.scoringStrategy.requestedToCapacityRatio.shape[0].score: Invalid value: 11: not in valid \
             range [0, 10]]",
        ),
        (
            "NodeResourcesFit",
            "{scoringStrategy: {type: LeastAllocated, requestedToCapacityRatio: {shape: []}}}",
            "@.scoringStrategy.requestedToCapacityRatio: Forbidden: must be nil when type is not RequestedToCapacityRatio",
        ),
        (
            "NodeResourcesFit",
            "{ignoredResourceGroups: [a/b]}",
            "@.ignoredResourceGroups[0]: Invalid value: \"a/b\": resource group name can't contain '/'",
        ),
        (
            "PodTopologySpread",
            "{defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}",
            "@.defaultingType: Invalid value: \"System\": when .defaultConstraints are not empty",
        ),
        (
            "PodTopologySpread",
            "{defaultingType: Own}",
            "@.defaultingType: Unsupported value: \"Own\": supported values: \"System\", \"List\"",
        ),
        (
            "PodTopologySpread",
            "{defaultingType: List, defaultConstraints: [{maxSkew: 0, whenUnsatisfiable: Never, labelSelector: {}}]}",
            "[@.defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf), \
             @.defaultConstraints[0].topologyKey: Required value: can not be empty, \
             @.defaultConstraints[0].whenUnsatisfiable: Unsupported value: \"Never\": supported values: \"DoNotSchedule\", \
             \"ScheduleAnyway\", @.defaultConstraints[0].labelSelector: Forbidden: constraint must not define a selector, as \
             they deduced for each pod]",
        ),
        (
            "PodTopologySpread",
            "{defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway}, \
             {maxSkew: 2, topologyKey: z, whenUnsatisfiable: ScheduleAnyway}]}",
            "@.defaultConstraints[1]: Duplicate value: \"{z, ScheduleAnyway}\"",
        ),
        (
            "DynamicResources",
            "{bindingTimeout: 10ms}",
            "@.bindingTimeout: Invalid value: \"10ms\": must be at least 1 second",
        ),
    ] {
        assert_eq!(args_error(plugin, args), at(expected), "{plugin} {args}");
    }
    let affinity = "{addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: \
                    [{key: zone, operator: Within, values: [a]}]}]}}}";
    let told = args_error("NodeAffinity", affinity);
    let place =
        at("@.addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]");
    assert!(told.starts_with(&place), "{told}");
}

#[test]
fn sets_are_merged_and_expanded_in_kube_schedulers_order() {
    let configuration = read(
        "profiles:\n- plugins:\n    multiPoint:\n      disabled: [{name: ImageLocality}, {name: NodeResourceFit}]\n      enabled: [{name: \
         NodeAffinity, weight: 7}]\n    filter:\n      enabled: [{name: InterPodAffinity}, {name: NodeResourcesFit}]\n    score:\n      \
         enabled: [{name: TaintToleration, weight: 9}]\n      disabled: [{name: NodeResourcesFit}]\n",
    )
    .expect("legal");
    let profile = &configuration.profiles[0];
    let everywhere = profile.plugins.set(ExtensionPoint::MultiPoint);
    assert_eq!(names(everywhere)[4..7], ["TaintToleration", "NodeAffinity", "NodePorts"], "it keeps its place");
    assert_eq!(everywhere.enabled[5].weight, Some(7));
    assert!(!names(everywhere).contains(&"ImageLocality"));
    let core = profile.core(&Profile::default());
    assert_eq!(
        core.plugins.filter()[..4],
        [PluginId::InterPodAffinity, PluginId::NodeResourcesFit, PluginId::NodeUnschedulable, PluginId::NodeName],
        "those that are given again come first"
    );
    let weight = |plugin| core.weight(plugin);
    assert_eq!(
        [PluginId::TaintToleration, PluginId::NodeAffinity, PluginId::NodeResourcesFit, PluginId::ImageLocality]
            .map(weight),
        [9, 7, 0, 0]
    );
    assert_eq!(
        configuration.warnings,
        [
            "profiles[0].plugins.multiPoint.disabled[1]: \"NodeResourceFit\" is no plugin and disables nothing (the nearest \
          known plugin is \"NodeResourcesFit\")"
        ]
    );
}

#[test]
fn a_profile_can_begin_from_nothing() {
    let configuration = read(
        "profiles:\n- schedulerName: tiny\n  plugins:\n    multiPoint:\n      disabled: [{name: '*'}]\n      enabled: [{name: PrioritySort}, \
         {name: SchedulingGates}, {name: DefaultBinder}, {name: NodeResourcesFit, weight: 0}]\n",
    )
    .expect("legal");
    let core = configuration.profiles[0].core(&Profile::default());
    assert_eq!(core.plugins.filter(), [PluginId::NodeResourcesFit]);
    assert_eq!(core.weight(PluginId::NodeResourcesFit), 1, "a weight of 0 is one that is not given");
    assert!(core.plugins.post_filter().is_empty());
    assert_eq!((core.enhanced.weight, core.model_share), (0.0, 0.0), "without the plugin Augur");
    let given: Vec<&str> = configuration.profiles[0].plugin_config.iter().map(|config| config.name.as_str()).collect();
    assert_eq!(given, ["NodeResourcesFit"], "only plugins that run have arguments");
}

#[test]
fn arguments_reach_the_core() {
    let profile = core(
        "profiles:\n- pluginConfig:\n  - name: NodeResourcesFit\n    args:\n      ignoredResources: [example.com/foo]\n      \
         ignoredResourceGroups: [example.org]\n      scoringStrategy:\n        type: RequestedToCapacityRatio\n        resources: \
         [{name: cpu}, {name: example.com/gpu, weight: 5}]\n        requestedToCapacityRatio: {shape: [{utilization: 0, score: \
         0}, {utilization: 100, score: 10}]}\n  - name: NodeResourcesBalancedAllocation\n    args: {resources: [{name: cpu}, \
         {name: ephemeral-storage}]}\n  - name: InterPodAffinity\n    args: {hardPodAffinityWeight: 5, \
         ignorePreferredTermsOfExistingPods: true}\n  - name: PodTopologySpread\n    args:\n      defaultingType: List\n      \
         defaultConstraints: [{maxSkew: 2, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]\n  - name: \
         NodeAffinity\n    args: {addedAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 3, preference: \
         {matchExpressions: [{key: a, operator: Exists}]}}]}}\n  - name: DefaultPreemption\n    args: \
         {minCandidateNodesPercentage: 20, minCandidateNodesAbsolute: 5}\n",
    );
    let arguments = profile.plugins.arguments();
    let shape = [ShapePoint { utilization: 0, score: 0 }, ShapePoint { utilization: 100, score: 10 }];
    assert_eq!(arguments.fit.strategy, ScoringStrategy::RequestedToCapacityRatio(shape.into()));
    let resources: Vec<(ScoredResource, i64)> =
        arguments.fit.resources.iter().map(|weighed| (weighed.resource.clone(), weighed.weight)).collect();
    assert_eq!(resources, [(ScoredResource::Cpu, 1), (ScoredResource::of("example.com/gpu"), 5)]);
    assert!(
        arguments.fit.ignored_resources.contains("example.com/foo")
            && arguments.fit.ignored_groups.contains("example.org")
    );
    assert_eq!(arguments.balanced.0, [ScoredResource::Cpu, ScoredResource::EphemeralStorage]);
    assert_eq!(arguments.inter_pod_affinity.hard_pod_affinity_weight, 5);
    assert!(arguments.inter_pod_affinity.ignore_preferred_terms_of_existing_pods);
    assert!(
        matches!(&arguments.spread_defaults, SpreadDefaults::List(rules) if rules.len() == 1 && rules[0].max_skew == 2)
    );
    assert_eq!(arguments.added_affinity.0.preferred[0].weight, 3);
    assert_eq!((arguments.preemption.min_percentage, arguments.preemption.min_absolute), (20, 5));
}

#[test]
fn what_augur_does_not_do_is_named() {
    for (body, expected) in [
        ("delayCacheUntilActive: true", "delayCacheUntilActive: a standby always follows the cluster"),
        (
            "profiles: [{plugins: {preFilter: {disabled: [{name: NodePorts}]}}}]",
            "profiles[0].plugins: NodePorts at filter without preFilter: its filter reads what its preFilter prepares",
        ),
        (
            "profiles: [{plugins: {preScore: {disabled: [{name: TaintToleration}]}}}]",
            "profiles[0].plugins: TaintToleration at score without preScore: its score reads what its preScore prepares",
        ),
        (
            "profiles: [{plugins: {preEnqueue: {disabled: [{name: SchedulingGates}]}}}]",
            "profiles[0].plugins.preEnqueue: SchedulingGates cannot be disabled; the API server refuses to bind a gated pod",
        ),
    ] {
        assert_eq!(error(body), format!("not supported by Augur: {expected}"), "{body}");
    }
    // Volume binding as a whole can be left out.
    assert!(read("profiles: [{plugins: {multiPoint: {disabled: [{name: VolumeBinding}]}}}]").is_ok());
}

#[test]
fn what_has_no_effect_is_told() {
    let configuration = read(
        "percentageOfNodesToScore: 50\nparallelism: 4\nenableProfiling: true\nclientConnection: {contentType: \
         application/vnd.kubernetes.protobuf, kubeconfig: /etc/k, qps: 100, burst: 200}\n",
    )
    .expect("legal");
    assert_eq!(configuration.warnings.len(), 4, "{:?}", configuration.warnings);
    let connection = &configuration.client_connection;
    assert_eq!((connection.kubeconfig.as_str(), connection.qps, connection.burst), ("/etc/k", 100.0, 200));
}

#[test]
fn several_profiles_and_the_queue() {
    let configuration = read(
        "podInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 60\nprofiles:\n- schedulerName: default-scheduler\n- schedulerName: \
         packing\n  pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated}}}, {name: Augur, args: \
         {scheduler: {}}}]\n",
    )
    .expect("legal");
    let queue = configuration.queue();
    assert_eq!((queue.initial_backoff, queue.max_backoff), (Duration::from_secs(2), Duration::from_secs(60)));
    let strategy = |name: &str| {
        let profile = configuration.profile_for(name).expect("there is a first one").core(&Profile::default());
        assert_eq!(&*profile.scheduler_name, name);
        profile.plugins.arguments().fit.strategy.clone()
    };
    assert_eq!(strategy("packing"), ScoringStrategy::MostAllocated);
    assert_eq!(strategy("default-scheduler"), ScoringStrategy::LeastAllocated);
    assert_eq!(strategy("other"), ScoringStrategy::LeastAllocated, "another name gets the first profile");
    assert_eq!(configuration.profiles[1].augur, json!({ "scheduler": {} }));
}

#[test]
fn extenders_are_read_with_defaults_and_asked_in_order() {
    let mut configuration = read(
        "extenders:\n- {urlPrefix: 'http://a', filterVerb: f, ignorable: true}\n- urlPrefix: 'https://b/x'\n  filterVerb: \
         filter\n  prioritizeVerb: prioritize\n  preemptVerb: preempt\n  bindVerb: bind\n  weight: 3\n  enableHTTPS: true\n  \
         httpTimeout: 300ms\n  nodeCacheCapable: true\n  tlsConfig: {serverName: s, caData: Y2E=, certFile: c, keyData: \
         a2V5}\n  managedResources: [{name: example.com/gpu, ignoredByScheduler: true}, {name: example.com/nic}]\n\
         profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {ignoredResources: [example.com/old]}}]}]\n",
    )
    .expect("legal");
    let order: Vec<_> = configuration.extenders_in_order().iter().map(|(at, e)| (*at, e.url_prefix.as_str())).collect();
    assert_eq!(order, [(1, "https://b/x"), (0, "http://a")]);
    let [a, b] = configuration.extenders.as_slice() else { panic!("there are two") };
    assert_eq!((a.timeout(), b.timeout()), (Duration::from_secs(5), Duration::from_millis(300)));
    assert!(b.enable_https && b.node_cache_capable && !b.ignorable && !a.node_cache_capable);
    let tls = b.tls_config.as_ref().expect("it is given");
    assert_eq!((tls.server_name.as_str(), tls.ca_data.as_str(), tls.key_data.as_str()), ("s", "Y2E=", "a2V5"));
    let shown = configuration.configz().to_string();
    assert!(shown.contains(r#""urlPrefix":"https://b/x""#) && !shown.contains("a2V5"), "{shown}");
    let fit =
        |configuration: &KubeSchedulerConfiguration| configuration.profiles[0].arguments.fit.ignored_resources.clone();
    assert_eq!(fit(&configuration), ["example.com/old".into()].into());
    configuration.leave_resources_to_extenders();
    assert_eq!(
        fit(&configuration),
        ["example.com/gpu".into()].into(),
        "as with kube-scheduler, in place of the others"
    );
}

#[test]
fn wrong_fields_of_extenders_are_named() {
    for (body, expected) in [
        (
            "extenders: [{urlPrefix: 'http://x', filterverb: f}]",
            "strict decoding error: unknown field \"extenders[0].filterverb\" (the nearest known field is \
             \"extenders[0].filterVerb\")",
        ),
        (
            "extenders: [{urlPrefix: 'http://x', weight: high}]",
            "extenders[0].weight: invalid type: string \"high\", expected i64",
        ),
    ] {
        assert_eq!(error(body), expected, "{body}");
    }
}
