//! Replays recorded exchanges with a real kube-apiserver against the router, in one process and without waiting: time is
//! paused, so that watches end as soon as nothing is left to do.
//!
//! Every scenario must match in all that a client can rely on (level `must`); how many match to the letter (level `full`)
//! is printed. `scenarios.json.gz` is made by `scripts/pack_exchanges.py`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compare;
mod pattern;
mod replay;

use std::io::Read;

use augur_apiserver::{ApiServer, ApiServerOptions};
use serde_json::Value;

use compare::Level;

fn scenarios() -> Vec<Value> {
    let packed = include_bytes!("scenarios.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn run(level: Level) -> Vec<replay::Outcome> {
    let server = ApiServer::new(ApiServerOptions::default()).unwrap();
    let router = server.router();
    let only = std::env::var("AUGUR_EXCHANGES").unwrap_or_default();
    let mut outcomes = Vec::new();
    for scenario in scenarios() {
        let name = scenario["name"].as_str().unwrap();
        if only.is_empty() || only.split(',').any(|wanted| wanted == name) {
            outcomes.push(replay::scenario(&server, &router, &scenario, level).await);
        }
    }
    outcomes
}

fn report(level: Level, outcomes: &[replay::Outcome]) -> (usize, String) {
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|o| !o.problems.is_empty())
        .map(|o| format!("{}:\n{}", o.name, o.problems.join("\n")))
        .collect();
    let steps: usize = outcomes.iter().map(|o| o.steps).sum();
    let wrong: usize = outcomes.iter().map(|o| o.failed_steps).sum();
    let summary = format!(
        "{level:?}: {}/{} scenarios, {}/{steps} steps match",
        outcomes.len() - failed.len(),
        outcomes.len(),
        steps - wrong
    );
    (failed.len(), format!("{summary}\n{}", failed.join("\n")))
}

#[tokio::test(start_paused = true)]
async fn every_scenario_matches_in_what_clients_rely_on() {
    let (failed, text) = report(Level::Must, &run(Level::Must).await);
    assert_eq!(failed, 0, "{text}");
}

#[tokio::test(start_paused = true)]
async fn most_scenarios_match_to_the_letter() {
    let outcomes = run(Level::Full).await;
    let (failed, text) = report(Level::Full, &outcomes);
    println!("{text}");
    assert!(failed * 2 < outcomes.len().max(2), "{text}");
}
