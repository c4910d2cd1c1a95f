use augur_core::plugins::PluginId;

use super::*;

fn error(text: &str) -> String {
    match Settings::parse(text) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

const HEAD: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

#[test]
fn what_is_not_given_keeps_its_default() {
    let config = Settings::parse("scheduler:\n  scoring:\n    cpu_weight: 50\n").unwrap().config;
    assert_eq!((config.scheduler.scoring.cpu_weight, config.scheduler.scoring.memory_weight), (50, 30));
    assert_eq!(Settings::parse("").unwrap(), Settings::default());
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_in_both_places() {
    assert_eq!(
        error("metrics:\n  colection_interval: 5s\n"),
        "unknown key `metrics.colection_interval`; the nearest known key is `metrics.collection_interval`"
    );
    let told =
        error(&format!("{HEAD}profiles: [{{pluginConfig: [{{name: Augur, args: {{metrics: {{api_timout: 5s}}}}}}]}}]"));
    assert!(told.contains("unknown key `profiles[0].pluginConfig[Augur].args.metrics.api_timout`"), "{told}");
    assert!(error("server: {port: 1}\nserver: {port: 2}").contains("server"), "a key twice is refused");
}

#[test]
fn augurs_settings_are_the_arguments_of_its_plugin() {
    let settings = Settings::parse(&format!(
        "{HEAD}profiles:\n- schedulerName: a\n  pluginConfig:\n  - name: Augur\n    args:\n      metrics: {{collection_interval: 5s}}\n      \
         scheduler: {{scoring: {{cpu_weight: 77}}}}\n- schedulerName: b\n  plugins: {{score: {{disabled: [{{name: Augur}}]}}}}\n"
    ))
    .unwrap();
    assert_eq!(settings.config.metrics.collection_interval, crate::span::Span::seconds(5));
    let profiles = settings.profiles();
    assert_eq!(profiles[0].enhanced.cpu_weight, 77.0);
    assert_eq!((profiles[0].enhanced.weight, profiles[1].enhanced.weight, profiles[1].model_share), (1.0, 0.0, 0.0));
    assert_eq!(settings.scheduler_names(&[]), ["a", "b"]);
    let shown = settings.configz();
    let entries = shown["componentconfig"]["profiles"][0]["pluginConfig"].as_array().unwrap();
    let own = entries.iter().find(|entry| entry["name"] == "Augur").unwrap();
    assert_eq!(own["args"]["scheduler"]["scoring"]["cpu_weight"], 77);
}

#[test]
fn the_weights_of_risk_and_model_and_what_is_tried_reach_the_profile_and_are_bounded() {
    let text =
        "scheduler: {scoring: {risk_weight: 50, model_weight: 0.1}, exploration: {share: 0.01, max_priority: 7}}";
    let profile = Settings::parse(text).unwrap().profiles().remove(0);
    assert_eq!((profile.enhanced.risk_weight, profile.model_share), (50.0, 0.1));
    let exploration = profile.exploration;
    assert_eq!((exploration.share, exploration.points, exploration.max_priority), (0.01, 2.0, 7));
    assert_eq!(Settings::default().profiles()[0].exploration, augur_core::profile::Exploration::default());
    let told = error("scheduler: {scoring: {model_weight: 0.5}}");
    assert_eq!(told, "scheduler.scoring.model_weight: 0.5 is out of range; it must be between 0 and 0.15");
    assert!(error("model: {type: svm}").contains("model.type: \"svm\" is not known"));
}

#[test]
fn profiles_may_differ_in_scoring_only() {
    let two = |second: &str| {
        error(&format!(
            "{HEAD}profiles:\n- schedulerName: a\n  pluginConfig: [{{name: Augur, args: {{server: {{port: 1}}}}}}]\n- schedulerName: \
             b\n  pluginConfig: [{{name: Augur, args: {{server: {{port: {second}}}, scheduler: {{scoring: {{taint_weight: 1}}}}}}}}]\n"
        ))
    };
    assert_eq!(two("1"), "accepted");
    assert!(two("2").starts_with("profiles[1].pluginConfig: the arguments of Augur differ"));
}

#[test]
fn several_names_share_the_profile_of_the_file() {
    let settings = Settings::parse(&format!(
        "{HEAD}profiles:\n- schedulerName: first\n  plugins: {{score: {{enabled: [{{name: ImageLocality, weight: 9}}]}}}}\n"
    ))
    .unwrap();
    let names = ["one".to_owned(), "two".to_owned()];
    assert_eq!(settings.scheduler_names(&names), names);
    let profiles = settings.with_scheduler_names(&names).profiles();
    let seen: Vec<(&str, i64)> =
        profiles.iter().map(|profile| (&*profile.scheduler_name, profile.weight(PluginId::ImageLocality))).collect();
    assert_eq!(seen, [("one", 9), ("two", 9)]);
    assert_eq!(Settings::default().scheduler_names(&[]), ["augur"]);
}

#[test]
fn the_reference_page_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == reference(), "docs/configuration.md is stale: augur config --reference > docs/configuration.md");
}
