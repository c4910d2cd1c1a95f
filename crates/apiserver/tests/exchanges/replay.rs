//! Runs the steps of a scenario: requests, watches that stay open, control steps.

use std::collections::HashMap;

use augur_apiserver::ApiServer;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::compare::{Comparison, Level};
use crate::pattern::Binder;

/// How a scenario went.
pub struct Outcome {
    pub name: String,
    pub steps: usize,
    pub failed_steps: usize,
    pub problems: Vec<String>,
}

struct Answer {
    status: u64,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn encode(text: &str, keep: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b) || keep.as_bytes().contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn request(binder: &Binder, recorded: &Value) -> Request<Body> {
    let mut uri = encode(&binder.fill(recorded["path"].as_str().unwrap()), "/:");
    let query: Vec<String> = recorded["query"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{}={}", encode(key, ""), encode(&binder.fill(value.as_str().unwrap()), "")))
        .collect();
    if !query.is_empty() {
        uri = format!("{uri}?{}", query.join("&"));
    }
    let mut builder =
        Request::builder().method(recorded["method"].as_str().unwrap()).uri(uri).header("User-Agent", "recorder/1.0");
    for (name, value) in recorded["headers"].as_object().into_iter().flatten() {
        builder = builder.header(name, value.as_str().unwrap());
    }
    let body = match (recorded.get("rawBody"), recorded.get("body")) {
        (Some(raw), _) => binder.fill(raw.as_str().unwrap()),
        (None, Some(body)) => binder.fill_value(body).to_string(),
        (None, None) => String::new(),
    };
    builder.body(Body::from(body)).unwrap()
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: u64::from(parts.status.as_u16()), headers: parts.headers, body }
}

fn events(raw: &[u8]) -> Vec<Value> {
    serde_json::Deserializer::from_slice(raw).into_iter::<Value>().map(Result::unwrap).collect()
}

fn is_end_bookmark(event: &Value) -> bool {
    event["type"] == "BOOKMARK" && event["object"]["metadata"]["annotations"].get("k8s.io/initial-events-end").is_some()
}

fn normal_stream(events: &[Value], unordered: bool) -> Vec<Value> {
    let mut events: Vec<Value> =
        events.iter().filter(|e| e["type"] != "BOOKMARK" || is_end_bookmark(e)).cloned().collect();
    if unordered {
        let initial = events.iter().take_while(|e| e["type"] == "ADDED").count();
        events[..initial].sort_by_key(|e| {
            let text = |member: &str| e["object"]["metadata"][member].as_str().unwrap_or_default().to_owned();
            (text("namespace"), text("name"))
        });
    }
    events
}

fn headers(answer: &Answer, name: &str) -> Vec<String> {
    answer.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect()
}

fn pointers(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|p| p.as_str().unwrap().to_owned()).collect()
}

/// The differences, and the body for later steps.
fn check(step: &Value, answer: &Answer, binder: &mut Binder, level: Level) -> (Vec<String>, Value) {
    let expected = &step["response"];
    let setup = step["setup"] == true;
    let body = serde_json::from_slice::<Value>(&answer.body).ok();
    let mut problems = Vec::new();
    if expected["status"].as_u64() != Some(answer.status) {
        let shown = String::from_utf8_lossy(&answer.body).chars().take(300).collect::<String>();
        let problem = format!("status: expected {}, got {}: {shown}", expected["status"], answer.status);
        return (vec![problem], body.unwrap_or(Value::Null));
    }
    if !setup {
        let actual = headers(answer, "content-type").concat();
        let wanted = expected["contentType"].as_str().unwrap_or_default();
        let essence = |t: &str| t.split(';').next().unwrap_or_default().to_owned();
        let same = if level == Level::Must { essence(&actual) == essence(wanted) } else { actual == wanted };
        if !same {
            problems.push(format!("contentType: expected {wanted}, got {actual}"));
        }
        for name in ["Warning", "Retry-After", "Allow", "Location"] {
            let wanted = pointers(&expected["headers"][name]);
            let actual = headers(answer, name);
            let same = wanted.len() == actual.len()
                && (level == Level::Must
                    || wanted.iter().zip(&actual).all(|(w, a)| binder.matches(w, &Value::String(a.clone()))));
            if !same {
                problems.push(format!("header {name}: expected {wanted:?}, got {actual:?}"));
            }
        }
    }
    let must = step.get("must").map_or_else(|| vec![String::new()], pointers);
    if let Some(text) = expected["text"].as_str() {
        let actual = String::from_utf8_lossy(&answer.body).into_owned();
        let compared = level != Level::Must || must == [""];
        if compared && !binder.matches(text, &Value::String(actual.clone())) {
            problems.push(format!("text: expected {text:?}, got {actual:?}"));
        }
        return (problems, body.unwrap_or(Value::Null));
    }
    let subset = step["match"] == "subset";
    let all = level == Level::Full && !setup && !subset || must == [""];
    let mut loose = pointers(&step["loose"]);
    if level == Level::Full && step["compare"] == "loose" {
        loose.extend(["/message".to_owned(), "/details/causes/*/message".to_owned()]);
    }
    let mut comparison =
        Comparison { binder, must: (!all).then_some(must), loose, subset, level, problems: Vec::new() };
    let mut kept = body.clone().unwrap_or(Value::Null);
    if let Some(stream) = expected["stream"].as_array() {
        let actual = events(&answer.body);
        let unordered = step["unorderedInitial"] == true;
        let (wanted, found) = (normal_stream(stream, unordered), normal_stream(&actual, unordered));
        if wanted.len() == found.len() {
            comparison.compare(&Value::Array(wanted), &Value::Array(found), "");
        } else {
            let types = |events: &[Value]| {
                events.iter().map(|e| format!("{} {}", e["type"], e["object"]["metadata"]["name"])).collect::<Vec<_>>()
            };
            comparison.problems.push(format!("stream: expected {:?}, got {:?}", types(&wanted), types(&found)));
        }
        kept = Value::Array(actual);
    } else if let Some(expected) = expected.get("body") {
        match &body {
            Some(body) => comparison.compare(expected, body, ""),
            None => comparison.problems.push("the body is not JSON".to_owned()),
        }
    }
    problems.append(&mut comparison.problems);
    (problems, kept)
}

/// Whether the order of resourceVersions follows the numbers of their placeholders.
fn check_versions(binder: &Binder) -> Vec<String> {
    let mut versions: Vec<(u64, u64)> = binder
        .bound
        .iter()
        .filter_map(|(key, value)| {
            let number = key.strip_prefix("<rv:")?.strip_suffix('>')?.parse().ok()?;
            Some((number, value.parse().ok()?))
        })
        .collect();
    versions.sort_unstable();
    versions
        .windows(2)
        .filter(|pair| pair[0].1 >= pair[1].1)
        .map(|pair| format!("<rv:{}>={} is not below <rv:{}>={}", pair[0].0, pair[0].1, pair[1].0, pair[1].1))
        .collect()
}

/// Replays one scenario.
pub async fn scenario(server: &ApiServer, router: &Router, scenario: &Value, level: Level) -> Outcome {
    let mut binder = Binder::default();
    let mut watches: HashMap<String, JoinHandle<Answer>> = HashMap::new();
    let mut outcome = Outcome {
        name: scenario["name"].as_str().unwrap().to_owned(),
        steps: 0,
        failed_steps: 0,
        problems: Vec::new(),
    };
    for (i, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        if let Some(control) = step["control"].as_str() {
            if control == "forget-history" {
                server.forget_history();
            }
            binder.answers.push(Value::Null);
            continue;
        }
        outcome.steps += 1;
        if let Some(name) = step["watchOpen"].as_str() {
            let request = request(&binder, &step["request"]);
            let response = router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let watch = tokio::spawn(async move {
                let body = body.collect().await.unwrap().to_bytes().to_vec();
                Answer { status: u64::from(parts.status.as_u16()), headers: parts.headers, body }
            });
            watches.insert(name.to_owned(), watch);
            binder.answers.push(Value::Null);
            continue;
        }
        let answer = match step["watchRead"].as_str() {
            Some(name) => watches.remove(name).unwrap().await.unwrap(),
            None => send(router, request(&binder, &step["request"])).await,
        };
        let (problems, body) = check(step, &answer, &mut binder, level);
        binder.answers.push(body);
        if !problems.is_empty() {
            outcome.failed_steps += 1;
            let request = &step["request"];
            outcome.problems.push(format!("  step {i} {} {}", request["method"], request["path"]));
            outcome.problems.extend(problems.iter().take(12).map(|p| format!("    {p}")));
        }
    }
    outcome.problems.extend(check_versions(&binder));
    outcome
}
