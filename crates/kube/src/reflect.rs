//! List and watch of one kind, told as [`Change`]s over a bounded channel.
//!
//! [`reflect`] lists in pages, watches from there, lists again after an expiry, and pauses after errors. An object that
//! cannot be understood is skipped and counted; it never ends the stream.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::AsyncBufReadExt;
use http::Request;
use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::Backoff;

/// Objects of a page of a list; the size that client-go uses.
const PAGE: usize = 500;

/// What every object carries that list and watch need.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// The object's revision.
    pub resource_version: String,
}

/// A lean type that holds the fields of a kind that matter here.
pub trait Object: DeserializeOwned + Send + 'static {}
impl<T: DeserializeOwned + Send + 'static> Object for T {}

/// What happened to the objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// All objects there are; what is not among them is gone.
    Reset(Vec<T>),
    /// The object is new or changed.
    Applied(T),
    /// The object is gone; its last state.
    Deleted(T),
}

/// What went by, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Lists completed.
    pub lists: AtomicU64,
    /// Objects that could not be understood.
    pub skipped: AtomicU64,
    /// Requests and streams that failed.
    pub errors: AtomicU64,
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
    metadata: ListMeta,
    #[serde(borrow, default)]
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
    r#type: String,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct OnlyMeta {
    #[serde(default)]
    metadata: Meta,
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
    /// Anything else; after a pause the watch goes on where it was.
    Failed(String),
}

/// Tells the changes of a kind until the receiver is dropped.
pub async fn reflect<T: Object>(client: Client, source: Source, changes: mpsc::Sender<Change<T>>, counters: &Counters) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
    let mut revision: Option<String> = None;
    loop {
        let end = match &mut revision {
            None => match list(&client, &source, &changes, counters).await {
                Ok(listed) => {
                    counters.lists.fetch_add(1, Ordering::Relaxed);
                    revision = Some(listed);
                    backoff.reset();
                    continue;
                }
                Err(end) => end,
            },
            Some(revision) => match watch(&client, &source, revision, &changes, counters).await {
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
            End::Failed(message) => {
                counters.errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(path = source.path, %message, "list or watch failed");
            }
        }
        // A receiver that went away during a pause ends it.
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
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

fn failed(error: &kube::Error) -> End {
    match error {
        kube::Error::Api(status) if status.code == 410 => End::Expired,
        other => End::Failed(other.to_string()),
    }
}

fn parse<T: Object>(raw: &RawValue, source: &Source, counters: &Counters) -> Option<T> {
    match serde_json::from_str(raw.get()) {
        Ok(object) => Some(object),
        Err(error) => {
            counters.skipped.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(path = source.path, %error, "an object is skipped");
            None
        }
    }
}

async fn list<T: Object>(
    client: &Client,
    source: &Source,
    changes: &mpsc::Sender<Change<T>>,
    counters: &Counters,
) -> Result<String, End> {
    let mut objects = Vec::new();
    let mut query = format!("limit={PAGE}");
    loop {
        let text = client.request_text(get(source, &query)?).await.map_err(|error| failed(&error))?;
        let page: List<'_> = serde_json::from_str(&text).map_err(|error| End::Failed(error.to_string()))?;
        objects.extend(page.items.iter().filter_map(|raw| parse::<T>(raw, source, counters)));
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

async fn watch<T: Object>(
    client: &Client,
    source: &Source,
    revision: &mut String,
    changes: &mpsc::Sender<Change<T>>,
    counters: &Counters,
) -> Result<(), End> {
    // Under the five minutes after which servers close watches, so that the end is ours and orderly.
    let query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds=290&resourceVersion={}", encode(revision));
    let stream = client.request_stream(get(source, &query)?).await.map_err(|error| failed(&error))?;
    let mut stream = std::pin::pin!(stream);
    let began = Instant::now();
    let mut events = 0_u64;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = tokio::select! {
            read = stream.read_until(b'\n', &mut line) => read.map_err(|error| End::Failed(error.to_string()))?,
            () = changes.closed() => return Err(End::Closed),
        };
        if read == 0 {
            // Asking again at once would be a busy loop against a server that closes every watch.
            return if events == 0 && began.elapsed() < Duration::from_secs(1) {
                Err(End::Failed("the watch was closed at once, without an event".to_owned()))
            } else {
                Ok(())
            };
        }
        events += 1;
        let event: Line<'_> = serde_json::from_slice(&line).map_err(|error| End::Failed(error.to_string()))?;
        if event.r#type == "ERROR" {
            let status: ErrorStatus = serde_json::from_str(event.object.get()).unwrap_or_default();
            return Err(if status.code == 410 { End::Expired } else { End::Failed(status.message) });
        }
        let change = match event.r#type.as_str() {
            "ADDED" | "MODIFIED" => parse(event.object, source, counters).map(Change::Applied),
            "DELETED" => parse(event.object, source, counters).map(Change::Deleted),
            _ => None,
        };
        if let Some(change) = change {
            changes.send(change).await.map_err(|_| End::Closed)?;
        }
        // Only after the change was handed over, so that a break does not lose it.
        if let Ok(OnlyMeta { metadata }) = serde_json::from_str::<OnlyMeta>(event.object.get())
            && !metadata.resource_version.is_empty()
        {
            *revision = metadata.resource_version;
        }
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

    #[derive(Debug, Deserialize, PartialEq, Eq)]
    struct Named {
        metadata: Name,
    }
    #[derive(Debug, Deserialize, PartialEq, Eq)]
    struct Name {
        name: String,
    }

    fn named(name: &str) -> Named {
        Named { metadata: Name { name: name.to_owned() } }
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
        let counters = Arc::new(Counters::default());
        let (sender, mut changes) = mpsc::channel(8);
        let source = Source { path: "/api/v1/pods", narrowed: String::new() };
        let running = tokio::spawn({
            let counters = counters.clone();
            async move { reflect::<Named>(client, source, sender, &counters).await }
        });
        assert_eq!(changes.recv().await, Some(Change::Reset(vec![named("one"), named("two")])));
        assert_eq!(changes.recv().await, Some(Change::Applied(named("three"))));
        assert_eq!(changes.recv().await, Some(Change::Reset(vec![])));
        // The bad list item; a bookmark is no object and must not count.
        assert_eq!(counters.skipped.load(Ordering::Relaxed), 1);
        assert_eq!(counters.lists.load(Ordering::Relaxed), 2);
        let asked = asked.lock().unwrap().clone();
        assert_eq!(asked[1], "/api/v1/pods?limit=500&continue=a%20b");
        assert!(asked[2].ends_with("resourceVersion=5"), "{}", asked[2]);
        running.abort();
    }
}
