//! List and watch of one kind, told as [`Change`]s over a bounded channel.
//!
//! [`reflect`] lists in pages, watches from there, lists again after an expiry, and pauses after errors. An object that
//! cannot be understood is skipped and counted; it never ends the stream.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::AsyncBufReadExt;
use http::Request;
use kube::Client;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::Backoff;
use crate::wire::ObjectMeta;

/// Objects of a page of a list; the size that client-go uses.
const PAGE: usize = 500;

/// How long a page of a list, or the head of a watch's answer, may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why an object is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Skipped {
    /// One of a few names, for counting.
    pub reason: &'static str,
    /// What exactly is wrong.
    pub detail: String,
}

impl Skipped {
    /// A reason with its particulars.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Skipped { reason, detail: detail.into() }
    }

    /// The same, of a place within `place`.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        Skipped { detail: format!("{place}.{}", self.detail), ..self }
    }
}

/// The reason for skipping what is no JSON of the kind.
pub const MALFORMED: &str = "malformed";

/// An object that can be read from the JSON of its kind.
pub trait Object: Sized + Send + 'static {
    /// Reads it, and tells its revision.
    ///
    /// # Errors
    /// It cannot be understood, and is to be skipped.
    fn read(json: &str) -> Result<(Self, String), Skipped>;
}

/// What reads an object from the JSON of its kind, as [`Object::read`] does.
pub trait Read<T>: Fn(&str) -> Result<(T, String), Skipped> + Send + Sync {}

impl<T, F: Fn(&str) -> Result<(T, String), Skipped> + Send + Sync> Read<T> for F {}

/// Names an object that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Namespace; empty for what has none.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
}

/// What happened to the objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// All objects there are; what is not among them is gone.
    Reset(Vec<T>),
    /// The object is new or changed.
    Applied(T),
    /// The object is gone. Its last state is missing when it could not be understood.
    Deleted(Key, Option<T>),
}

/// What went by, for health and metrics.
#[derive(Debug)]
pub struct WatchStats {
    /// Lists completed.
    pub lists: AtomicU64,
    /// Events of watches, bookmarks included.
    pub events: AtomicU64,
    /// Requests and streams that failed.
    pub errors: AtomicU64,
    /// Whether a list was completed and the watch from there has not failed since.
    pub synced: AtomicBool,
    began: Instant,
    /// Milliseconds from `began` to the latest list or event.
    last: AtomicU64,
    skipped: Mutex<BTreeMap<&'static str, u64>>,
    /// How often a list was asked for: to be waited for, and in all.
    asked: watch::Sender<(u64, u64)>,
    /// The latest of these that a list answered which began after it.
    answered: AtomicU64,
}

impl Default for WatchStats {
    fn default() -> Self {
        WatchStats {
            lists: AtomicU64::new(0),
            events: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            synced: AtomicBool::new(false),
            began: Instant::now(),
            last: AtomicU64::new(0),
            skipped: Mutex::new(BTreeMap::new()),
            asked: watch::channel((0, 0)).0,
            answered: AtomicU64::new(0),
        }
    }
}

impl WatchStats {
    /// How long ago the API server was last heard of; `None` before the first list.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        (self.lists.load(Ordering::Relaxed) > 0)
            .then(|| self.began.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed))))
    }

    /// Asks for a list of what there is now, whatever the watch has shown; see [`WatchStats::is_fresh`].
    pub fn ask_for_list(&self) {
        self.asked.send_modify(|(waited, all)| (*waited, *all) = (*waited + 1, *all + 1));
    }

    /// Asks for a list that nobody waits for, so that whoever follows can compare what it knows with what there is.
    pub fn ask_for_check(&self) {
        self.asked.send_modify(|(_, all)| *all += 1);
    }

    /// Whether all lists that were asked for have been told. What was there when the last one was asked for is then in the
    /// channel of changes, or has been taken from it.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.answered.load(Ordering::Acquire) >= self.asked.borrow().0
    }

    /// Objects that could not be understood, by reason.
    #[must_use]
    pub fn skipped(&self) -> BTreeMap<&'static str, u64> {
        self.lock().clone()
    }

    fn skip(&self, source: &Source, skipped: &Skipped) {
        *self.lock().entry(skipped.reason).or_default() += 1;
        tracing::warn!(path = source.path, reason = skipped.reason, detail = %skipped.detail, "an object is skipped");
    }

    fn heard(&self) {
        self.last.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, u64>> {
        // Counts cannot be left half written.
        self.skipped.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Where the objects of a kind are, such as `/api/v1/pods`, and a field selector for them.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path of the collection.
    pub path: &'static str,
    /// Query parameters that narrow it, already encoded and without a leading `&`; empty for none.
    pub narrowed: String,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(borrow, default, deserialize_with = "crate::wire::null_is_default")]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    r#continue: String,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct OnlyMeta<'a> {
    #[serde(borrow, default)]
    metadata: ObjectMeta<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorStatus {
    code: u16,
    message: String,
}

/// Why a list or a watch ended.
enum End {
    /// The receiver is gone.
    Closed,
    /// The revision is too old: list again.
    Expired,
    /// A list was asked for.
    Asked,
    /// Anything else; after a pause the watch goes on where it was.
    Failed(String),
}

/// Tells the changes of a kind until the receiver is dropped.
pub async fn reflect<T: Object>(client: Client, source: Source, changes: mpsc::Sender<Change<T>>, stats: &WatchStats) {
    reflect_with(client, source, T::read, changes, stats).await;
}

/// [`reflect`] with a function that reads an object and tells its revision.
pub async fn reflect_with<T: Send + 'static>(
    client: Client,
    source: Source,
    read: impl Read<T>,
    changes: mpsc::Sender<Change<T>>,
    stats: &WatchStats,
) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
    let mut revision: Option<String> = None;
    let mut asked = stats.asked.subscribe();
    let mut served = 0;
    loop {
        // Read before anything is awaited: the list then begins after it.
        let (demand, all) = *asked.borrow_and_update();
        if all > served {
            // Also when it was asked for during a list, which may have begun too early.
            revision = None;
        }
        let end = match &mut revision {
            None => match list_at(demand, &client, &source, &read, &changes, stats).await {
                Ok(listed) => {
                    stats.lists.fetch_add(1, Ordering::Relaxed);
                    stats.synced.store(true, Ordering::Relaxed);
                    stats.heard();
                    (revision, served) = (Some(listed), all);
                    backoff.reset();
                    continue;
                }
                Err(end) => end,
            },
            Some(revision) => match follow(&client, &source, &read, revision, &changes, stats, &mut asked).await {
                Ok(()) => {
                    backoff.reset();
                    continue;
                }
                Err(end) => end,
            },
        };
        match end {
            End::Closed => return,
            End::Expired => revision = None,
            End::Asked => continue,
            End::Failed(message) => {
                stats.errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(path = source.path, %message, "list or watch failed");
            }
        }
        stats.synced.store(false, Ordering::Relaxed);
        // A receiver that went away during a pause ends it.
        tokio::select! {
            biased;
            () = tokio::time::sleep(backoff.pause()) => {}
            Ok(()) = asked.changed() => {}
            () = changes.closed() => return,
        }
    }
}

fn get(source: &Source, query: &str) -> Result<Request<Vec<u8>>, End> {
    let and = if source.narrowed.is_empty() { "" } else { "&" };
    Request::get(format!("{}?{query}{and}{}", source.path, source.narrowed))
        .header(http::header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|error| End::Failed(error.to_string()))
}

async fn within<T>(answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, End> {
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 410 => Err(End::Expired),
        Ok(Err(error)) => Err(End::Failed(error.to_string())),
        Err(_) => Err(End::Failed(format!("no answer within {ANSWER_WITHIN:?}"))),
    }
}

/// [`list`], which answers the demand of this number.
async fn list_at<T>(
    asked: u64,
    client: &Client,
    source: &Source,
    read: &impl Read<T>,
    changes: &mpsc::Sender<Change<T>>,
    stats: &WatchStats,
) -> Result<String, End> {
    let revision = list(client, source, read, changes, stats).await?;
    stats.answered.store(asked, Ordering::Release);
    Ok(revision)
}

async fn list<T>(
    client: &Client,
    source: &Source,
    read: &impl Read<T>,
    changes: &mpsc::Sender<Change<T>>,
    stats: &WatchStats,
) -> Result<String, End> {
    let mut objects = Vec::new();
    let mut query = format!("limit={PAGE}");
    loop {
        let text = within(client.request_text(get(source, &query)?)).await?;
        let page: List<'_> = serde_json::from_str(&text).map_err(|error| End::Failed(error.to_string()))?;
        for raw in &page.items {
            match read(raw.get()) {
                Ok((object, _)) => objects.push(object),
                Err(skipped) => stats.skip(source, &skipped),
            }
        }
        if page.metadata.r#continue.is_empty() {
            if page.metadata.resource_version.is_empty() {
                return Err(End::Failed("the list carries no resourceVersion".to_owned()));
            }
            changes.send(Change::Reset(objects)).await.map_err(|_| End::Closed)?;
            return Ok(page.metadata.resource_version);
        }
        query = format!("limit={PAGE}&continue={}", encode(&page.metadata.r#continue));
    }
}

async fn follow<T>(
    client: &Client,
    source: &Source,
    read: &impl Read<T>,
    revision: &mut String,
    changes: &mpsc::Sender<Change<T>>,
    stats: &WatchStats,
    asked: &mut watch::Receiver<(u64, u64)>,
) -> Result<(), End> {
    // Under the five minutes after which servers close watches, so that the end is ours and orderly.
    let query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds=290&resourceVersion={}", encode(revision));
    let stream = within(client.request_stream(get(source, &query)?)).await?;
    stats.synced.store(true, Ordering::Relaxed);
    let mut stream = std::pin::pin!(stream);
    let began = Instant::now();
    let mut events = 0_u64;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = tokio::select! {
            biased;
            length = stream.read_until(b'\n', &mut line) => length.map_err(|error| End::Failed(error.to_string()))?,
            Ok(()) = asked.changed() => return Err(End::Asked),
            () = changes.closed() => return Err(End::Closed),
        };
        if length == 0 {
            // Asking again at once would be a busy loop against a server that closes every watch.
            return if events == 0 && began.elapsed() < Duration::from_secs(1) {
                Err(End::Failed("the watch was closed at once, without an event".to_owned()))
            } else {
                Ok(())
            };
        }
        events += 1;
        stats.events.fetch_add(1, Ordering::Relaxed);
        stats.heard();
        let text = std::str::from_utf8(&line).map_err(|error| End::Failed(error.to_string()))?;
        let (kind, object) = split(text)?;
        if kind == "ERROR" {
            let status: ErrorStatus = serde_json::from_str(object).unwrap_or_default();
            return Err(if status.code == 410 { End::Expired } else { End::Failed(status.message) });
        }
        let seen = match kind {
            "ADDED" | "MODIFIED" => match read(object) {
                Ok((object, seen)) => {
                    changes.send(Change::Applied(object)).await.map_err(|_| End::Closed)?;
                    seen
                }
                Err(skipped) => {
                    let meta = metadata(object)?;
                    stats.skip(source, &skipped);
                    meta.resource_version.to_string()
                }
            },
            "DELETED" => {
                let meta = metadata(object)?;
                let key = Key {
                    namespace: meta.namespace.to_string(),
                    name: meta.name.to_string(),
                    uid: meta.uid.to_string(),
                };
                let last = read(object).ok().map(|(object, _)| object);
                changes.send(Change::Deleted(key, last)).await.map_err(|_| End::Closed)?;
                meta.resource_version.to_string()
            }
            _ => metadata(object)?.resource_version.to_string(),
        };
        // Only after the change was handed over, so that a break does not lose it.
        if !seen.is_empty() {
            *revision = seen;
        }
    }
}

/// The kind of a watch event and the JSON of its object.
fn split(line: &str) -> Result<(&str, &str), End> {
    // As every server writes it: no need to look for the end of the object first. Should something follow the object,
    // `Object::read` and `metadata` find trailing characters, and nothing is misread.
    if let Some((kind, rest)) = line.strip_prefix("{\"type\":\"").and_then(|rest| rest.split_once('"'))
        && let Some(object) = rest.strip_prefix(",\"object\":").and_then(|rest| rest.trim_end().strip_suffix('}'))
    {
        return Ok((kind, object));
    }
    let line: Line<'_> = serde_json::from_str(line).map_err(|error| End::Failed(error.to_string()))?;
    Ok((line.r#type, line.object.get()))
}

/// What is needed of an object that is not read as a whole; empty for JSON that is no object of the API. What is not even
/// JSON was cut off on the way, so that the stream cannot be trusted any further.
fn metadata(object: &str) -> Result<ObjectMeta<'_>, End> {
    match serde_json::from_str::<OnlyMeta<'_>>(object) {
        Ok(only) => Ok(only.metadata),
        Err(error) if serde_json::from_str::<IgnoredAny>(object).is_ok() => {
            tracing::warn!(%error, "a watch event without readable metadata");
            Ok(ObjectMeta::default())
        }
        Err(error) => Err(End::Failed(format!("a watch event cannot be read: {error}"))),
    }
}

/// Percent-encodes what a query value may not hold as it is.
fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use http::Response;
    use kube::client::Body;

    use super::*;

    /// An object of which only the name matters; `bad` is not understood.
    #[derive(Debug, PartialEq, Eq)]
    struct Named(String);

    impl Object for Named {
        fn read(json: &str) -> Result<(Self, String), Skipped> {
            let object: OnlyMeta<'_> =
                serde_json::from_str(json).map_err(|error| Skipped::new(MALFORMED, error.to_string()))?;
            let name = object.metadata.name.to_string();
            if name == "bad" {
                return Err(Skipped::new("bad name", name));
            }
            Ok((Named(name), object.metadata.resource_version.to_string()))
        }
    }

    fn named(name: &str) -> Named {
        Named(name.to_owned())
    }

    /// A client whose requests are answered by `answers` in turn, and the paths it asked for.
    fn scripted(answers: &[&str]) -> (Client, Arc<Mutex<Vec<String>>>) {
        let answers: Arc<Mutex<VecDeque<String>>> =
            Arc::new(Mutex::new(answers.iter().map(|a| (*a).to_owned()).collect()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            log.lock().unwrap().push(request.uri().to_string());
            let answer = answers.lock().unwrap().pop_front();
            async move {
                match answer {
                    Some(answer) => Ok::<_, std::io::Error>(Response::new(Body::from(answer.into_bytes()))),
                    None => std::future::pending().await,
                }
            }
        });
        (crate::from_service(service), asked)
    }

    #[tokio::test]
    async fn an_expired_watch_lists_again_and_a_bad_object_is_skipped() {
        let (client, asked) = scripted(&[
            r#"{"metadata":{"resourceVersion":"5","continue":"a b"},"items":[{"metadata":{"name":"one"}}]}"#,
            r#"{"metadata":{"resourceVersion":"5"},"items":[{"metadata":7},{"metadata":{"name":"two"}}]}"#,
            concat!(
                r#"{"type":"ADDED","object":{"metadata":{"name":"three","resourceVersion":"6"}}}"#,
                "\n",
                r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#,
                "\n",
                r#"{"type":"ERROR","object":{"code":410,"reason":"Expired"}}"#,
                "\n"
            ),
            r#"{"metadata":{"resourceVersion":"12"},"items":[]}"#,
        ]);
        let (running, mut changes, stats) = start(client);
        assert_eq!(changes.recv().await, Some(Change::Reset(vec![named("one"), named("two")])));
        assert_eq!(changes.recv().await, Some(Change::Applied(named("three"))));
        assert_eq!(changes.recv().await, Some(Change::Reset(vec![])));
        // The bad list item; a bookmark is no object and must not count.
        assert_eq!(stats.skipped(), BTreeMap::from([(MALFORMED, 1)]));
        assert_eq!(stats.lists.load(Ordering::Relaxed), 2);
        let asked = asked.lock().unwrap().clone();
        assert_eq!(asked[1], "/api/v1/pods?limit=500&continue=a%20b");
        assert!(asked[2].ends_with("resourceVersion=5"), "{}", asked[2]);
        running.abort();
    }

    #[tokio::test]
    async fn a_list_that_was_asked_for_during_another_is_made_after_it() {
        let (begun, go) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
        let (said, wait) = (begun.clone(), go.clone());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            log.lock().unwrap().push(request.uri().to_string());
            let (number, said, wait) = (log.lock().unwrap().len(), said.clone(), wait.clone());
            async move {
                match number {
                    1 => {
                        said.notify_one();
                        wait.notified().await;
                    }
                    2 => {}
                    _ => std::future::pending().await,
                }
                let list = br#"{"metadata":{"resourceVersion":"5"},"items":[]}"#;
                Ok::<_, std::io::Error>(Response::new(Body::from(list.to_vec())))
            }
        });
        let (running, mut changes, stats) = start(crate::from_service(service));
        begun.notified().await;
        stats.ask_for_list();
        go.notify_one();
        assert_eq!(changes.recv().await, Some(Change::Reset(vec![])));
        assert_eq!(changes.recv().await, Some(Change::Reset(vec![])), "the first had begun too early");
        while !stats.is_fresh() {
            tokio::task::yield_now().await;
        }
        running.abort();
    }

    fn start(client: Client) -> (tokio::task::JoinHandle<()>, mpsc::Receiver<Change<Named>>, Arc<WatchStats>) {
        let stats = Arc::new(WatchStats::default());
        let (sender, changes) = mpsc::channel(8);
        let source = Source { path: "/api/v1/pods", narrowed: String::new() };
        let shared = stats.clone();
        let running = tokio::spawn(async move { reflect::<Named>(client, source, sender, &shared).await });
        (running, changes, stats)
    }

    #[tokio::test]
    async fn a_cut_off_watch_goes_on_after_the_last_whole_event() {
        let (client, asked) = scripted(&[
            r#"{"metadata":{"resourceVersion":"5"},"items":[]}"#,
            concat!(
                r#"{"type":"ADDED","object":{"metadata":{"name":"one","resourceVersion":"6"}}}"#,
                "\n",
                r#"{"type":"ADDED","object":{"metadata":{"name":"tw"#,
            ),
            r#"{"type":"ADDED","object":{"metadata":{"name":"two","resourceVersion":"7"}}}"#,
        ]);
        let (running, mut changes, stats) = start(client);
        assert_eq!(changes.recv().await, Some(Change::Reset(vec![])));
        assert_eq!(changes.recv().await, Some(Change::Applied(named("one"))));
        assert_eq!(changes.recv().await, Some(Change::Applied(named("two"))));
        assert_eq!(stats.errors.load(Ordering::Relaxed), 1);
        assert!(stats.skipped().is_empty(), "a torn line is no bad object");
        assert!(asked.lock().unwrap()[2].ends_with("resourceVersion=6"));
        running.abort();
    }

    #[tokio::test]
    async fn objects_that_are_not_understood_neither_stop_the_watch_nor_hide_a_deletion() {
        let (client, asked) = scripted(&[
            r#"{"metadata":{"resourceVersion":"5"},"items":[]}"#,
            concat!(
                r#"{"type":"ADDED","object":{"metadata":{"name":"bad","resourceVersion":"6"}}}"#,
                "\n",
                r#"{"type":"ADDED","object":{"metadata":7}}"#,
                "\n",
                r#"{"type":"DELETED","object":{"metadata":{"name":"bad","namespace":"shop","uid":"u","resourceVersion":"8"}}}"#,
                "\n",
                // Other spacing and order than servers use.
                r#" {"object": {"metadata":{"name":"one","resourceVersion":"9"}}, "type": "ADDED"} "#,
            ),
        ]);
        let (running, mut changes, stats) = start(client);
        assert_eq!(changes.recv().await, Some(Change::Reset(vec![])));
        let key = Key { namespace: "shop".into(), name: "bad".into(), uid: "u".into() };
        assert_eq!(changes.recv().await, Some(Change::Deleted(key, None)));
        assert_eq!(changes.recv().await, Some(Change::Applied(named("one"))));
        assert_eq!(stats.skipped(), BTreeMap::from([("bad name", 1), (MALFORMED, 1)]));
        while asked.lock().unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
        assert!(asked.lock().unwrap()[2].ends_with("resourceVersion=9"));
        running.abort();
    }
}
