//! A server that answers well, badly, or not at all.

use std::sync::{Arc, Mutex};

use http::Response;

use super::*;
use crate::metrics::{MetricsError, Usage};

/// What a fake server is asked: method, path and form.
type Asked = Arc<Mutex<Vec<(Method, String, String)>>>;

/// Answers with status, `Content-Encoding` and body, by what the form says.
fn server(
    asked: &Asked,
    answer: impl Fn(&Method, &str) -> (u16, &'static str, Vec<u8>) + Clone + Send + 'static,
) -> Client {
    let asked = asked.clone();
    crate::from_service(tower::service_fn(move |request: Request<Body>| {
        let (asked, answer) = (asked.clone(), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            let form = match parts.method {
                Method::GET => parts.uri.query().unwrap_or_default().to_owned(),
                _ => String::from_utf8_lossy(&body).into_owned(),
            };
            let (status, encoding, body) = answer(&parts.method, &form);
            asked.lock().unwrap().push((parts.method, parts.uri.path().to_owned(), form));
            let mut response = Response::builder().status(status);
            if !encoding.is_empty() {
                response = response.header(header::CONTENT_ENCODING, encoding);
            }
            Ok::<_, std::io::Error>(response.body(Body::from(body)).unwrap())
        }
    }))
}

fn options() -> PrometheusOptions {
    PrometheusOptions {
        url: "http://prometheus:9090".to_owned(),
        bearer_token_file: None,
        ca_file: None,
        insecure_skip_verify: false,
        tenant: Some("shop".to_owned()),
        node_label: None,
        rate_window: Duration::from_secs(120),
        timeout: Duration::from_secs(5),
    }
}

fn over(client: Client) -> Prometheus {
    Prometheus::over(client, "Prometheus at http://prometheus:9090", &options())
}

/// Ten minutes past the hour.
fn now() -> Timestamp {
    "2026-01-01T00:10:00Z".parse().unwrap()
}

const NOW: i64 = 1_767_226_200;

fn vector(items: &[(&str, i64, &str)]) -> Vec<u8> {
    let items =
        items.iter().map(|(labels, at, value)| format!(r#"{{"metric":{{{labels}}},"value":[{at},"{value}"]}}"#));
    let items = items.collect::<Vec<_>>().join(",");
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{items}]}}}}"#).into_bytes()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_question_is_a_form_and_an_answer_keeps_times_and_values_as_they_are() {
    let asked = Asked::default();
    let text = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"node":"n1"},"values":[[1767226200.5,"1.5"],[1767226230.5,"NaN"],[1767226260.5,"+Inf"],[1,"x"]]},7]},
        "warnings":["some store did not answer"],"isPartial":true}"#;
    let prometheus = over(server(&asked, move |_, _| (200, "", text.as_bytes().to_vec())));
    let (start, step) = (now(), Duration::from_secs(30));
    let answer = prometheus.query_range(r#"up{a="b & c"}"#, start, start + step, step).await.unwrap();
    let points: Vec<_> = answer.series[0].points.iter().map(|(at, value)| (*at, value.to_string())).collect();
    let ms = NOW * 1000 + 500;
    assert_eq!(points, [(ms, "1.5".into()), (ms + 30_000, "NaN".into()), (ms + 60_000, "inf".into())]);
    assert_eq!((&*answer.series[0].label("node"), answer.malformed), ("n1", 2));
    assert_eq!(answer.warnings, ["some store did not answer", "the answer is marked as partial"]);
    let asked = asked.lock().unwrap();
    let form = "query=up%7Ba%3D%22b%20%26%20c%22%7D&start=1767226200.000&end=1767226230.000&step=30.000&timeout=5.000";
    assert_eq!(*asked, [(Method::POST, "/api/v1/query_range".to_owned(), form.to_owned())]);
}

#[tokio::test]
async fn a_proxy_that_lets_only_reading_through_is_read_from() {
    let asked = Asked::default();
    let only_get = |method: &Method, _: &str| match *method {
        Method::GET => (200, "", vector(&[])),
        _ => (405, "", b"Method Not Allowed".to_vec()),
    };
    assert_eq!(over(server(&asked, only_get)).query("up").await, Ok(Answer::default()));
    assert_eq!(asked.lock().unwrap().last().unwrap().2, "query=up&timeout=5.000");
}

#[tokio::test]
async fn what_is_no_answer_is_told_by_what_it_is() {
    let good = vector(&[("", NOW, "1")]);
    let error = |kind: &str, text: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"{text}"}}"#);
    let table: [(&str, u16, &'static str, Vec<u8>, &str); 14] = [
        ("plain", 200, "", good.clone(), "1 series"),
        ("packed", 200, "gzip", gzip(&good), "1 series"),
        ("packed and not said", 200, "", gzip(&good), "1 series"),
        ("said to be packed and is not", 200, "gzip", good.clone(), "1 series"),
        ("torn", 200, "gzip", gzip(&good)[..20].to_vec(), "cannot be unpacked"),
        ("another packing", 200, "br", good, "content encoding br"),
        ("a page", 200, "", b"<html><body>Sign in</body></html>".to_vec(), "<html><body>Sign in</body></html>"),
        (
            "a page with an error",
            502,
            "",
            b"<html>Bad Gateway</html>".to_vec(),
            "answered 502: <html>Bad Gateway</html>",
        ),
        ("an error that claims success", 200, "", error("execution", "boom").into_bytes(), "(execution): boom"),
        ("an error", 422, "", error("execution", "too many samples").into_bytes(), "too many samples"),
        ("nothing", 200, "", Vec::new(), "something else than its API does"),
        ("no data", 200, "", br#"{"status":"success"}"#.to_vec(), "no data"),
        (
            "a number",
            200,
            "",
            br#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#.to_vec(),
            "`scalar`",
        ),
        ("half an answer", 200, "", vector(&[("", NOW, "1")])[..60].to_vec(), "something else than its API does"),
    ];
    for (name, status, encoding, body, expected) in table {
        let asked = Asked::default();
        let prometheus = over(server(&asked, move |_, _| (status, encoding, body.clone())));
        let told = match prometheus.query("up").await {
            Ok(answer) => format!("{} series", answer.series.len()),
            Err(error) => {
                assert_eq!(error.is_too_much(), expected == "too many samples", "{name}: {error}");
                error.to_string()
            }
        };
        assert!(told.contains(expected), "{name}: {told}");
    }
}

#[tokio::test]
async fn an_answer_without_end_and_silence_are_cut_off() {
    let huge = || vec![b' '; LIMIT + 1];
    let prometheus = over(server(&Asked::default(), move |_, _| (200, "", huge())));
    assert_eq!(prometheus.query("up").await, Err(PrometheusError::TooLarge(LIMIT)));
    // A few kilobytes that unpack to more than anybody asked for.
    let bomb = gzip(&huge());
    let prometheus = over(server(&Asked::default(), move |_, _| (200, "gzip", bomb.clone())));
    assert_eq!(prometheus.query("up").await, Err(PrometheusError::TooLarge(LIMIT)));
    let silent = crate::from_service(tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, std::io::Error>>()
    }));
    let timeout = Duration::from_millis(1);
    let prometheus = Prometheus::over(silent, "silence", &PrometheusOptions { timeout, ..options() });
    assert_eq!(prometheus.query("up").await, Err(PrometheusError::Slow(timeout)));
    let refused = crate::from_service(tower::service_fn(|_: Request<Body>| async {
        Err::<Response<Body>, _>(std::io::Error::other("connection refused"))
    }));
    let told = over(refused).query("up").await.unwrap_err().to_string();
    assert!(told.contains("connection refused"), "{told}");
}

/// Answers the queries for usage by what they contain.
fn cadvisor(
    table: Vec<(&'static str, Vec<u8>)>,
) -> impl Fn(&Method, &str) -> (u16, &'static str, Vec<u8>) + Clone + Send + 'static {
    move |_, form| {
        let answer = table.iter().find(|(part, _)| form.contains(part)).map_or_else(|| vector(&[]), |(_, a)| a.clone());
        (200, "", answer)
    }
}

const NODE_CPU: &str = "container_cpu_usage_seconds_total%7Bid";
const NODE_MEMORY: &str = "container_memory_working_set_bytes%7Bid";
const CPU: &str = "container_cpu_usage_seconds_total%7Bcontainer";
const MEMORY: &str = "container_memory_working_set_bytes%7Bcontainer";

#[tokio::test]
async fn readings_are_those_that_the_metrics_api_would_give() {
    let table = vec![
        (
            NODE_CPU,
            vector(&[
                (r#""node":"a""#, NOW, "1.5"),
                (r#""instance":"b.example.com:10250""#, NOW, "2"),
                (r#""instance":"10.0.0.3:10250""#, NOW, "3"),
                (r#""kubernetes_io_hostname":"d","instance":"x:1""#, NOW, "4"),
                (r#""node":"only-cpu""#, NOW, "1"),
            ]),
        ),
        (
            NODE_MEMORY,
            vector(&[
                (r#""node":"a""#, NOW, "1e9"),
                (r#""instance":"b.example.com:10250""#, NOW, "2e9"),
                (r#""instance":"10.0.0.3:10250""#, NOW, "3e9"),
                (r#""kubernetes_io_hostname":"d","instance":"x:1""#, NOW, "4e9"),
            ]),
        ),
        ("kube_node_info", vector(&[(r#""node":"c","internal_ip":"10.0.0.3""#, NOW, "1")])),
        (
            CPU,
            vector(&[
                (r#""namespace":"shop","pod":"web","container":"b""#, NOW, "0.25"),
                (r#""namespace":"shop","pod":"web","container":"a""#, NOW, "0.5"),
                (r#""namespace":"shop","pod":"web","container":"a""#, NOW, "0.125"),
                (r#""namespace":"shop","pod":"web","container":"new""#, NOW, "0.5"),
            ]),
        ),
        (
            MEMORY,
            vector(&[
                (r#""namespace":"shop","pod":"web","container":"a""#, NOW, "1048576"),
                (r#""namespace":"shop","pod":"web","container":"b""#, NOW, "2097152"),
                (r#""namespace":"shop","pod":"db","container":"starts""#, NOW, "1"),
            ]),
        ),
    ];
    let collected = over(server(&Asked::default(), cadvisor(table))).collect(now()).await;
    let mut nodes: Vec<_> =
        collected.nodes.unwrap().into_iter().map(|(name, usage)| (name.to_string(), usage)).collect();
    nodes.sort_by(|a, b| a.0.cmp(&b.0));
    let usage = |cpu, memory| Usage { cpu, memory, at: now() };
    let expected = [("a", 1.5, 1e9), ("b.example.com", 2.0, 2e9), ("c", 3.0, 3e9), ("d", 4.0, 4e9)];
    assert_eq!(nodes, expected.map(|(name, cpu, memory)| (name.to_owned(), usage(cpu, memory))));
    let pods = collected.pods.unwrap();
    assert_eq!(pods.len(), 1, "{pods:?}");
    let containers = [("a".into(), usage(0.5, 1_048_576.0)), ("b".into(), usage(0.25, 2_097_152.0))];
    assert_eq!((&*pods[0].namespace, &*pods[0].name, &pods[0].containers[..]), ("shop", "web", &containers[..]));
    assert!(collected.rejected.is_empty() && collected.warnings.is_empty(), "{:?}", collected.rejected);
    assert_eq!(&*collected.source, "Prometheus at http://prometheus:9090");
}

#[tokio::test]
async fn where_cadvisors_root_is_not_scraped_the_node_exporter_is_asked() {
    let table = vec![
        ("node_cpu_seconds_total", vector(&[(r#""instance":"a:9100""#, NOW, "1.5")])),
        ("node_memory_MemTotal_bytes", vector(&[(r#""instance":"a:9100""#, NOW, "1e9")])),
    ];
    let collected = over(server(&Asked::default(), cadvisor(table))).collect(now()).await;
    assert_eq!(collected.nodes.unwrap()["a"], Usage { cpu: 1.5, memory: 1e9, at: now() });
}

#[tokio::test]
async fn a_lie_is_left_out_and_counted() {
    let lies = [
        (r#""node":"nan""#, NOW, "NaN"),
        (r#""node":"inf""#, NOW, "+Inf"),
        (r#""node":"negative""#, NOW, "-1"),
        (r#""node":"absurd""#, NOW, "1e9"),
        (r#""node":"future""#, NOW + 3600, "1"),
        (r#""node":"stale""#, NOW - 3600, "1"),
        (r#""job":"unnamed""#, NOW, "1"),
        (r#""node":"good""#, NOW, "1"),
    ];
    let memory = lies.map(|(labels, _, _)| (labels, NOW, "1"));
    let table = vec![(NODE_CPU, vector(&lies)), (NODE_MEMORY, vector(&memory))];
    let collected = over(server(&Asked::default(), cadvisor(table))).collect(now()).await;
    assert_eq!(collected.nodes.unwrap().keys().map(|name| &**name).collect::<Vec<_>>(), ["good"]);
    let expected = [("absurd", 2), ("future", 1), ("negative", 1), ("not_an_amount", 1), ("stale", 1), ("unnamed", 2)];
    assert_eq!(collected.rejected, expected.into());
}

#[tokio::test]
async fn half_a_server_gives_half_the_answers() {
    let broken = |_: &Method, form: &str| match form.contains(CPU) {
        true => (503, "", b"no".to_vec()),
        false => (200, "", vector(&[(r#""node":"a""#, NOW, "1")])),
    };
    let collected = over(server(&Asked::default(), broken)).collect(now()).await;
    assert_eq!(collected.nodes.unwrap().len(), 1);
    let error = PrometheusError::Status { code: 503, message: "no".to_owned() };
    assert_eq!(collected.pods, Err(MetricsError::Prometheus(error)));
}

#[test]
fn settings_that_cannot_be_used_are_refused_by_name() {
    let refused = |change: fn(&mut PrometheusOptions)| {
        let mut options = options();
        change(&mut options);
        Prometheus::new(&options).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(refused(|o| o.url = "prometheus:9090".into()).contains("must begin with http:// or https://"));
    assert!(refused(|o| o.url = "http://user:pass@prometheus".into()).contains("bearer_token_file"));
    assert!(refused(|o| o.bearer_token_file = Some("/no/such/token".into())).contains("cannot read /no/such/token"));
    assert!(refused(|o| o.ca_file = Some("/no/such/ca".into())).contains("cannot read /no/such/ca"));
}

#[tokio::test]
async fn the_past_is_told_step_by_step_and_what_lies_outside_is_not() {
    let matrix = |items: &[(&str, &[(i64, &str)])]| {
        let items = items.iter().map(|(labels, points)| {
            let points = points.iter().map(|(at, value)| format!(r#"[{},"{value}"]"#, NOW + at));
            format!(r#"{{"metric":{{{labels}}},"values":[{}]}}"#, points.collect::<Vec<_>>().join(","))
        });
        let items = items.collect::<Vec<_>>().join(",");
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{items}]}}}}"#).into_bytes()
    };
    let pod = r#""namespace":"shop","pod":"web-5d8f9-x","uid":"u1""#;
    let info = format!(r#"{pod},"node":"n1","created_by_kind":"ReplicaSet","created_by_name":"web-5d8f9""#);
    let set = r#""namespace":"shop","replicaset":"web-5d8f9","owner_kind":"Deployment","owner_name":"web""#;
    let container = format!(r#"{pod},"container":"a""#);
    let reason = format!(r#"{container},"reason":"OOMKilled""#);
    let table = vec![
        ("kube_pod_info", matrix(&[(&info, &[(0, "1"), (300, "1"), (-300, "1"), (9000, "1")])])),
        ("kube_replicaset_owner", matrix(&[(set, &[(0, "1")])])),
        ("restarts_total", matrix(&[(&container, &[(0, "1"), (60, "1"), (120, "2"), (180, "NaN")])])),
        ("last_terminated_reason", matrix(&[(&reason, &[(120, "1"), (180, "1")])])),
        ("count%28kube_pod_status_ready", matrix(&[("", &[(0, "1"), (60, "1")])])),
        ("kube_pod_status_ready", matrix(&[(pod, &[(60, "0")])])),
        ("kube_node_status_condition", matrix(&[(r#""node":"n1""#, &[(0, "1"), (60, "0")])])),
        (
            "kube_node_status_allocatable",
            matrix(&[
                (r#""node":"n1","resource":"cpu""#, &[(0, "4")]),
                (r#""node":"n1","resource":"memory""#, &[(0, "8e9")]),
            ]),
        ),
        (NODE_CPU, matrix(&[(r#""node":"n1""#, &[(0, "1"), (300, "-1")])])),
        (NODE_MEMORY, matrix(&[(r#""node":"n1""#, &[(0, "1e9"), (300, "1e9")])])),
    ];
    let asked = Asked::default();
    let prometheus = over(server(&asked, cadvisor(table)));
    let until = now() + Duration::from_secs(600);
    let steps = (Duration::from_secs(300), Duration::from_secs(60));
    let hours = prometheus.past((now(), until), steps).await.unwrap();
    let at = |seconds: i64| (NOW + seconds) * 1000;
    let pod = &hours.pods[0];
    assert_eq!((&*pod.kind, &*pod.owner, &*pod.revision, &*pod.node), ("Deployment", "web", "5d8f9", "n1"));
    assert_eq!(hours.present, [(at(0), vec![0]), (at(300), vec![0])].into());
    let restarts = |seconds, count| PastPodEvent {
        at: at(seconds),
        pod: 0,
        news: PastPodNews::Restarts { container: "a".into(), count },
    };
    let reason = PastPodNews::LastEnd { container: "a".into(), reason: "OOMKilled".into() };
    let oom = PastPodEvent { at: at(120), pod: 0, news: reason };
    assert_eq!(hours.events, [restarts(0, 1), oom, restarts(120, 2)], "the reason comes before the restart");
    assert_eq!(hours.unready, [(at(0), vec![]), (at(60), vec![0])].into());
    assert_eq!(hours.nodes[&at(60)], [("n1".into(), false)]);
    assert_eq!(hours.allocatable["n1"], (4.0, 8e9));
    assert_eq!(hours.usage.keys().copied().collect::<Vec<_>>(), [at(0)]);
    assert_eq!(hours.rejected, [("negative", 1), ("not_an_amount", 1), ("outside", 2)].into());
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|(_, path, _)| path == "/api/v1/query_range"), "{asked:?}");
    let ends =
        asked.iter().filter(|(_, _, form)| form.contains("end=1767226740.000") || form.contains("end=1767226500.000"));
    assert_eq!(ends.count(), asked.len(), "the end of the span belongs to the next one");
}
