//! A week is told by a server of which every number is known: a fake one that can be made to fail, and the real one.

mod lies;
mod real;
mod week;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use augur_apiserver::{Identity, serve, serve_tls};
use augur_clock::Clock;
use augur_history::{History, HistoryOptions, PastState, UnixMillis};
use augur_kube::{Prometheus, PrometheusOptions};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;

use super::Backfill;
use week::DAY;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "still waiting: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A week that ended at this second, on the grid of five minutes.
const NOW: i64 = 1_767_700_800;
const BEGAN: i64 = NOW - 7 * DAY;

/// How a fake server does.
#[derive(Default)]
struct Fake {
    /// Spans that begin at or after this second of the week are not answered.
    broken_from: AtomicI64,
    /// It answers with a sign-in page instead of an error then.
    page: AtomicBool,
    /// The longest span, in points of a series, that it answers.
    most_points: AtomicI64,
    /// The token that it wants.
    token: Mutex<Option<&'static str>>,
    /// Ends of spans that it was asked about.
    asked: Mutex<Vec<i64>>,
}

impl Fake {
    fn new() -> Arc<Self> {
        let fake = Fake::default();
        fake.broken_from.store(i64::MAX, Ordering::Relaxed);
        fake.most_points.store(11_000, Ordering::Relaxed);
        Arc::new(fake)
    }

    /// Serves, with a certificate if there is one; answers with its address.
    async fn serve(self: &Arc<Self>, identity: Option<Identity>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(answer).with_state(self.clone());
        let scheme = if identity.is_some() { "https" } else { "http" };
        tokio::spawn(async move {
            match identity {
                Some(identity) => serve_tls(listener, router, &identity, std::future::pending()).await,
                None => serve(listener, router, std::future::pending()).await,
            }
        });
        // With a path, as Mimir has one.
        format!("{scheme}://127.0.0.1:{port}/prometheus/")
    }
}

async fn answer(State(fake): State<Arc<Fake>>, headers: HeaderMap, uri: axum::http::Uri, body: String) -> Response {
    let wanted = fake.token.lock().unwrap().map(|token| format!("Bearer {token}"));
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    if wanted.is_some() && wanted.as_deref() != given {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    }
    if uri.path() != "/prometheus/api/v1/query_range" {
        return (StatusCode::NOT_FOUND, uri.path().to_owned()).into_response();
    }
    let field = |name: &str| {
        let pair = body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        decoded(pair.unwrap_or_default())
    };
    let seconds = |name: &str| field(name).parse::<f64>().unwrap() as i64;
    let (start, end, step) = (seconds("start"), seconds("end"), seconds("step"));
    fake.asked.lock().unwrap().push(end);
    if start - BEGAN >= fake.broken_from.load(Ordering::Relaxed) {
        return match fake.page.load(Ordering::Relaxed) {
            true => "<html>Sign in</html>".into_response(),
            false => (StatusCode::SERVICE_UNAVAILABLE, "starting").into_response(),
        };
    }
    if (end - start) / step >= fake.most_points.load(Ordering::Relaxed) {
        let error =
            r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples"}"#;
        return (StatusCode::UNPROCESSABLE_ENTITY, error).into_response();
    }
    week::matrix(&field("query"), (start, end, step), BEGAN).into_response()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let hex = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

fn options(url: &str) -> PrometheusOptions {
    PrometheusOptions {
        url: url.to_owned(),
        bearer_token_file: None,
        ca_file: None,
        insecure_skip_verify: false,
        tenant: None,
        node_label: None,
        rate_window: Duration::from_secs(120),
        timeout: Duration::from_secs(10),
    }
}

fn open(folder: &Path) -> History {
    History::open(&HistoryOptions::new(folder)).unwrap()
}

/// A backfill at the end of the fake's week.
fn backfill(options: &PrometheusOptions, history: &History) -> Backfill {
    Backfill {
        prometheus: Prometheus::new(options).unwrap(),
        history: history.handle(),
        clock: Clock::manual(Timestamp::from_second(NOW).unwrap()),
        window: Duration::from_secs(168 * 3600),
        step: Duration::from_secs(300),
    }
}

/// Rates as of the end of the week, once they are shown.
async fn known(history: &History) -> Arc<augur_history::Rates> {
    let handle = history.handle();
    handle.tick(UnixMillis(NOW * 1000));
    until("the week counts", || !week::is_empty(&handle.rates())).await;
    handle.rates()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_history_learns_the_week_before_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = Fake::new().serve(None).await;
    let history = open(folder.path());
    assert_eq!(history.handle().past_state(), PastState::Unknown);
    backfill(&options(&url), &history).run().await;
    week::check(&known(&history).await, &history.handle(), BEGAN);
    let progress = history.handle().past_progress().unwrap();
    assert_eq!((progress.done, progress.reached, progress.error), (true, UnixMillis(NOW * 1000), None));
    assert!(progress.rejected.is_empty(), "{:?}", progress.rejected);
    drop(history);
    // It is on disk, and nobody asks a second time.
    let history = open(folder.path());
    assert_eq!(history.handle().past_state(), PastState::Known);
    week::check(&known(&history).await, &history.handle(), BEGAN);
    backfill(&options("http://127.0.0.1:9/"), &history).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_on_the_way_leaves_nothing_half_known() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    let url = fake.serve(None).await;
    fake.broken_from.store(3 * DAY, Ordering::Relaxed);
    let history = open(folder.path());
    let task = tokio::spawn(backfill(&options(&url), &history).run());
    let handle = history.handle();
    until("it waits for the server", || handle.past_progress().is_some_and(|progress| progress.error.is_some())).await;
    let progress = handle.past_progress().unwrap();
    assert!(progress.error.as_ref().unwrap().contains("answered 503: starting"), "{progress:?}");
    assert!(progress.reached.0 >= (BEGAN + 2 * DAY) * 1000 && !progress.done, "{progress:?}");
    assert!(week::is_empty(&handle.rates()), "nothing counts before all is told");
    handle.flush();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    drop((handle, history));
    let history = open(folder.path());
    assert_eq!(history.handle().past_state(), PastState::Interrupted(UnixMillis(NOW * 1000)));
    fake.broken_from.store(i64::MAX, Ordering::Relaxed);
    // The first start was the end of the week, however late the next one is.
    let later = Clock::manual(Timestamp::from_second(NOW + 7200).unwrap());
    Backfill { clock: later, ..backfill(&options(&url), &history) }.run().await;
    week::check(&known(&history).await, &history.handle(), BEGAN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_asked_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    let url = fake.serve(None).await;
    fake.broken_from.store(5 * DAY, Ordering::Relaxed);
    fake.page.store(true, Ordering::Relaxed);
    let history = open(folder.path());
    let task = tokio::spawn(backfill(&options(&url), &history).run());
    let handle = history.handle();
    until("it waits for the server", || handle.past_progress().is_some_and(|progress| progress.error.is_some())).await;
    let progress = handle.past_progress().unwrap();
    assert!(progress.error.as_ref().unwrap().contains("<html>Sign in</html>"), "{progress:?}");
    fake.asked.lock().unwrap().clear();
    fake.broken_from.store(i64::MAX, Ordering::Relaxed);
    task.await.unwrap();
    assert!(fake.asked.lock().unwrap().iter().all(|end| end * 1000 > progress.reached.0), "nothing is asked twice");
    week::check(&known(&history).await, &history.handle(), BEGAN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_finds_it_too_much_is_asked_for_less() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    // Two hours of minutes.
    fake.most_points.store(120, Ordering::Relaxed);
    let url = fake.serve(None).await;
    let history = open(folder.path());
    backfill(&options(&url), &history).run().await;
    week::check(&known(&history).await, &history.handle(), BEGAN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_and_certificate_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    *fake.token.lock().unwrap() = Some("secret");
    let identity = Identity::self_signed(&["127.0.0.1"]).unwrap();
    let (token, ca) = (folder.path().join("token"), folder.path().join("ca.pem"));
    std::fs::write(&token, "secret\n").unwrap();
    std::fs::write(&ca, identity.certificate_pem()).unwrap();
    let url = fake.serve(Some(identity)).await;
    let range = async |options: &PrometheusOptions| {
        let prometheus = Prometheus::new(options).unwrap();
        let (at, step) = (Timestamp::from_second(BEGAN).unwrap(), Duration::from_secs(60));
        prometheus.query_range("kube_pod_info", at, at, step).await.map(|answer| answer.series.len())
    };
    let safe = PrometheusOptions { bearer_token_file: Some(token), ca_file: Some(ca), ..options(&url) };
    assert_eq!(range(&safe).await, Ok(3));
    let trusting = PrometheusOptions { ca_file: None, insecure_skip_verify: true, ..safe.clone() };
    assert_eq!(range(&trusting).await, Ok(3));
    let stranger = range(&PrometheusOptions { bearer_token_file: None, ..safe.clone() }).await.unwrap_err();
    assert!(stranger.to_string().contains("401: who are you?"), "{stranger}");
    let error = range(&PrometheusOptions { ca_file: None, ..safe }).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}
