//! A scheduler's way to the API server, on which everything goes wrong that can: the fault proxy of the simulation.
//!
//! What happens to a request is drawn when it is sent, in [`Fate::draw`]; [`Link::exchange`] lets it happen.

use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use tower::ServiceExt as _;

use super::random::Random;
use super::world::World;

/// The longest that the network keeps an event or an answer back of its own accord.
const LONGEST_DELAY: u64 = 4000;

/// One incarnation of a scheduler, as the API server knows it.
pub struct Link {
    /// Who holds the lease in its name.
    pub identity: String,
    /// What it is called in the trace.
    pub name: String,
    pub world: Arc<World>,
    random: Random,
    /// Of a thousand requests, so many go wrong.
    pub faults: AtomicU64,
    /// Nothing passes any more in either direction, for ever.
    pub dead: AtomicBool,
    /// Until then nothing passes, and what was open is cut.
    partition: Mutex<Instant>,
    /// Until then watches are silent.
    stalled: Mutex<Instant>,
}

/// What kind of request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bind,
    Delete,
    Patch,
    Lease,
    Watch,
    Read,
    Other,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// It is carried out and answered.
    Answered,
    /// It does not arrive.
    Lost,
    /// It is refused unread, with this status.
    Refused(u16),
    /// It is carried out, and the answer does not arrive: the connection is cut.
    Cut,
    /// The same, and nothing comes instead.
    Silent,
    /// The same, and a proxy on the way says 500.
    Masked,
    /// Half of the answer arrives.
    Half,
}

#[derive(Debug, Clone, Copy)]
struct Fate {
    before: Duration,
    after: Duration,
    verdict: Verdict,
    /// Watches begin so many revisions earlier than asked: what was listed is told again.
    rewind: u64,
}

impl Fate {
    fn draw(random: &Random, kind: Kind, faults: u64) -> Self {
        // Bindings are what matters most.
        let wrong = random.in_thousand(if kind == Kind::Bind { 2 * faults } else { faults });
        let delay = |random: &Random| {
            let most = if random.in_thousand(faults) { LONGEST_DELAY } else { 20 };
            Duration::from_millis(1 + random.below(most))
        };
        let (before, after) = (delay(random), delay(random));
        let verdict = if wrong {
            match random.below(9) {
                0 => Verdict::Lost,
                1 => Verdict::Refused(500),
                2 => Verdict::Refused(429),
                3 if kind != Kind::Read && kind != Kind::Watch => Verdict::Refused(409),
                3 => Verdict::Refused(410),
                4 => Verdict::Cut,
                5 => Verdict::Silent,
                6 => Verdict::Masked,
                7 => Verdict::Refused(503),
                _ => Verdict::Half,
            }
        } else {
            Verdict::Answered
        };
        let rewind = if random.in_thousand(faults) { random.below(20) } else { 0 };
        Fate { before, after, verdict, rewind }
    }
}

impl Link {
    pub fn new(world: &Arc<World>, name: &str, identity: &str, random: Random, faults: u64) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Link {
            identity: identity.to_owned(),
            name: name.to_owned(),
            world: world.clone(),
            random,
            faults: AtomicU64::new(faults),
            dead: AtomicBool::new(false),
            partition: Mutex::new(now),
            stalled: Mutex::new(now),
        })
    }

    pub fn client(self: &Arc<Self>) -> kube::Client {
        let link = self.clone();
        augur_kube::from_service(tower::service_fn(move |request: Request<kube::client::Body>| {
            let link = link.clone();
            async move { link.exchange(request).await }
        }))
    }

    pub fn partition(&self, span: Duration) {
        *self.partition.lock().unwrap() = Instant::now() + span;
    }

    pub fn stall(&self, span: Duration) {
        *self.stalled.lock().unwrap() = Instant::now() + span;
    }

    /// Nothing goes wrong from now on.
    pub fn calm(&self) {
        self.faults.store(0, Ordering::SeqCst);
        *self.partition.lock().unwrap() = Instant::now();
        *self.stalled.lock().unwrap() = Instant::now();
    }

    /// Passes when the way is free; an error if it was cut meanwhile.
    async fn pass(&self) -> Result<(), Error> {
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let mut cut = false;
        loop {
            let until = *self.partition.lock().unwrap();
            if until <= Instant::now() {
                return if cut { Err(reset()) } else { Ok(()) };
            }
            cut = true;
            // In small steps, because it may be ended early.
            sleep_until(until.min(Instant::now() + Duration::from_millis(250))).await;
        }
    }

    async fn unstalled(&self) {
        loop {
            let until = *self.stalled.lock().unwrap();
            if until <= Instant::now() {
                return;
            }
            sleep_until(until.min(Instant::now() + Duration::from_millis(250))).await;
        }
    }

    async fn exchange(self: Arc<Self>, request: Request<kube::client::Body>) -> Result<Response<Body>, Error> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await.map_err(Error::other)?.to_bytes();
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
        let kind = match head.method {
            Method::POST if path.ends_with("/binding") => Kind::Bind,
            _ if path.contains("/leases") => Kind::Lease,
            Method::DELETE => Kind::Delete,
            Method::PATCH => Kind::Patch,
            Method::GET if query.contains("watch=true") => Kind::Watch,
            Method::GET => Kind::Read,
            _ => Kind::Other,
        };
        let fate = Fate::draw(&self.random, kind, self.faults.load(Ordering::SeqCst));
        let what = format!("{} {} {path}?{query}", self.name, head.method);
        let nominates = kind == Kind::Patch && body.windows(13).any(|window| window == b"nominatedNode");
        let told = if nominates { String::from_utf8_lossy(&body) } else { "".into() };
        self.world.trace(&format!("{what}: {fate:?} {told}"));
        if kind == Kind::Watch && fate.rewind > 0 {
            head.uri = rewound(&path, &query, fate.rewind).parse().map_err(Error::other)?;
        }
        sleep(fate.before).await;
        self.pass().await?;
        match fate.verdict {
            Verdict::Lost => return Err(reset()),
            Verdict::Refused(code) => return Ok(refusal(code)),
            _ => {}
        }
        if matches!(kind, Kind::Bind | Kind::Delete | Kind::Patch) {
            self.world.check_holder(&self.identity, &what);
        }
        if kind == Kind::Delete {
            self.world.check_eviction(&path);
        }
        let request = Request::from_parts(head, Body::from(body.clone()));
        let Ok(answer) = self.world.router.clone().oneshot(request).await;
        self.world.trace(&format!("{what}: {}", answer.status()));
        if kind == Kind::Bind && answer.status().is_success() {
            self.world.note_binding(&self.name, &path, &body);
        }
        sleep(fate.after).await;
        self.pass().await?;
        match fate.verdict {
            Verdict::Cut => return Err(reset()),
            Verdict::Silent => {
                std::future::pending::<()>().await;
            }
            Verdict::Masked => return Ok(refusal(500)),
            _ => {}
        }
        let (head, body) = answer.into_parts();
        if kind == Kind::Watch {
            return Ok(Response::from_parts(head, Body::from_stream(self.watch(body))));
        }
        let body = body.collect().await.map_err(Error::other)?.to_bytes();
        let body = match fate.verdict {
            Verdict::Half => torn(&body),
            _ if fate.after > Duration::from_secs(1) => slow(&body),
            _ => return Ok(Response::from_parts(head, Body::from(body))),
        };
        Ok(Response::from_parts(head, Body::from_stream(body)))
    }

    /// The events of a watch, late, twice, cut off, or ended by an expiry.
    fn watch(self: Arc<Self>, body: Body) -> impl futures::Stream<Item = Result<Bytes, Error>> + Send + 'static {
        let random = self.random.fork();
        let state = (self, random, body.into_data_stream(), Vec::<Result<Bytes, Error>>::new());
        stream::unfold(state, |(link, random, mut body, mut ready)| async move {
            loop {
                if let Some(frame) = ready.pop() {
                    let more = if frame.is_err() { body_end() } else { body };
                    return Some((frame, (link, random, more, ready)));
                }
                let event = body.next().await?.map_err(Error::other);
                let faults = link.faults.load(Ordering::SeqCst);
                let most = if random.in_thousand(faults) { LONGEST_DELAY } else { 10 };
                sleep(Duration::from_millis(1 + random.below(most))).await;
                link.unstalled().await;
                if let Err(cut) = link.pass().await {
                    ready.push(Err(cut));
                    continue;
                }
                let Ok(event) = event else {
                    ready.push(event);
                    continue;
                };
                // The next to be sent is the last.
                if random.in_thousand(faults / 4) {
                    match random.below(3) {
                        0 => {
                            ready.push(Err(reset()));
                            ready.push(Ok(event.slice(..event.len() / 2)));
                        }
                        1 => {
                            let gone = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#;
                            ready.push(Err(reset()));
                            ready.push(Ok(format!("{gone}\n").into()));
                        }
                        _ => ready.extend([Ok(event.clone()), Ok(event)]),
                    }
                } else {
                    ready.push(Ok(event));
                }
            }
        })
    }
}

fn body_end() -> axum::body::BodyDataStream {
    Body::empty().into_data_stream()
}

/// The watch from some revisions earlier.
fn rewound(path: &str, query: &str, by: u64) -> String {
    let earlier = |pair: &str| match pair.strip_prefix("resourceVersion=").and_then(|at| at.parse::<u64>().ok()) {
        Some(at) => format!("resourceVersion={}", at.saturating_sub(by).max(1)),
        None => pair.to_owned(),
    };
    let query: Vec<String> = query.split('&').map(earlier).collect();
    format!("{path}?{}", query.join("&"))
}

fn torn(body: &Bytes) -> BoxStream<'static, Result<Bytes, Error>> {
    let half = body.slice(..body.len() / 2);
    stream::iter([Ok(half), Err(reset())]).boxed()
}

/// A body that comes in pieces.
fn slow(body: &Bytes) -> BoxStream<'static, Result<Bytes, Error>> {
    let size = (body.len() / 4).max(1);
    let pieces: Vec<Bytes> = body.chunks(size).map(Bytes::copy_from_slice).collect();
    stream::iter(pieces)
        .then(|piece| async move {
            sleep(Duration::from_secs(1)).await;
            Ok(piece)
        })
        .boxed()
}

fn reset() -> Error {
    Error::new(ErrorKind::ConnectionReset, "the connection was cut")
}

fn refusal(code: u16) -> Response<Body> {
    let message = "Operation cannot be fulfilled: the object has been modified; please apply your changes";
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": "Simulated", "message": message });
    let mut response = Response::new(Body::from(status.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    if code == 429 {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
