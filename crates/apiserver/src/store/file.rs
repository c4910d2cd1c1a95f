//! Objects on disk: one `redb` file that a thread of its own writes in batches, each a durable transaction. Answers to writes
//! over HTTP wait until their batch is on disk, so what was answered survives the process being killed. Entry points:
//! [`File::open`], [`File::push`], [`File::flushed`].

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable as _, TableDefinition, TableError};
use serde_json::Value;
use tokio::sync::watch;

use crate::error::ApiError;

/// Name of the file within the data directory.
const FILE: &str = "objects.redb";
/// Version of the tables; a file of another version is refused.
const SCHEMA_VERSION: u64 = 1;
/// Changes that wait to be written. More make writers wait, so that a slow disk is noticed where it matters.
const QUEUE: usize = 16_384;

/// Resource and key, separated by NUL, to the object's JSON.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// A change to be written.
#[derive(Debug)]
struct Record {
    key: String,
    /// `None`: the object is gone.
    json: Option<bytes::Bytes>,
    revision: u64,
}

#[derive(Debug, Default)]
struct Queue {
    records: Vec<Record>,
    pushed: u64,
    closed: bool,
}

#[derive(Debug, Default, Clone)]
struct Progress {
    written: u64,
    failure: Option<String>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Moves when records come, go, or the file is closed.
    moved: Condvar,
    progress: watch::Sender<Progress>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the queue.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct File {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

/// What a file held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Resource (`plural.group`), key, object.
    pub(crate) objects: Vec<(String, String, Value)>,
    /// The latest revision.
    pub(crate) revision: u64,
}

impl File {
    /// Opens or creates the file in `dir`, and reads it.
    ///
    /// # Errors
    /// 500 that names the file: it cannot be created, is in use, or is damaged.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Contents), ApiError> {
        let path = dir.join(FILE);
        let failed = |why: String| ApiError::new(500, "InternalError", format!("{}: {why}", path.display()));
        std::fs::create_dir_all(dir)
            .map_err(|error| failed(format!("the data directory cannot be created: {error}")))?;
        let fresh = std::fs::metadata(&path).map_or(true, |m| m.len() == 0);
        let database = Database::builder().set_cache_size(32 << 20).create(&path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => {
                failed("in use by another process; stop it or choose another data directory".to_owned())
            }
            error => failed(damaged(&error)),
        })?;
        let contents =
            if fresh { Contents::default() } else { read(&database).map_err(|why| failed(damaged(&why)))? };
        if fresh {
            write(&database, &[]).map_err(|why| failed(format!("cannot be written: {why}")))?;
        }
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            moved: Condvar::new(),
            progress: watch::Sender::new(Progress::default()),
        });
        let writer = std::thread::Builder::new()
            .name("objects-file".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || run(&database, &shared, &path)
            })
            .map_err(|error| ApiError::new(500, "InternalError", format!("no thread for {FILE}: {error}")))?;
        Ok((File { shared, writer: Some(writer) }, contents))
    }

    /// Takes a change; waits while too many are waiting already.
    pub(crate) fn push(&self, resource: &str, key: &str, json: Option<bytes::Bytes>, revision: u64) {
        let mut queue = self.shared.lock();
        while queue.records.len() >= QUEUE && !queue.closed {
            queue = self.shared.moved.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.records.push(Record { key: format!("{resource}\0{key}"), json, revision });
        queue.pushed += 1;
        drop(queue);
        self.shared.moved.notify_all();
    }

    /// Waits until all changes that were pushed before are on disk.
    ///
    /// # Errors
    /// 500: the file cannot be written.
    pub(crate) async fn flushed(&self) -> Result<(), ApiError> {
        let wanted = self.shared.lock().pushed;
        let mut progress = self.shared.progress.subscribe();
        loop {
            let now = progress.borrow_and_update().clone();
            if let Some(why) = now.failure {
                return Err(ApiError::new(500, "InternalError", format!("the change is not on disk: {why}")));
            }
            if now.written >= wanted || progress.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.moved.notify_all();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

fn damaged(why: &impl std::fmt::Display) -> String {
    format!("not a file of objects of this version, or damaged ({why}); move it away to start afresh")
}

/// Writes what comes until the file is closed and the queue empty.
fn run(database: &Database, shared: &Shared, path: &Path) {
    loop {
        let mut queue = shared.lock();
        while queue.records.is_empty() && !queue.closed {
            queue = shared.moved.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let records = std::mem::take(&mut queue.records);
        let (pushed, closed) = (queue.pushed, queue.closed);
        drop(queue);
        shared.moved.notify_all();
        if records.is_empty() && closed {
            return;
        }
        let failure = write(database, &records).err().map(|why| format!("{}: {why}", path.display()));
        if let Some(why) = &failure {
            tracing::error!(%why, "objects are not on disk");
        }
        shared.progress.send_modify(|progress| {
            progress.written = pushed;
            // Once a batch is lost, what follows would not make the file whole again.
            progress.failure = progress.failure.take().or(failure);
        });
    }
}

fn write(database: &Database, records: &[Record]) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let transaction = database.begin_write().map_err(|e| text(&e))?;
    {
        let mut objects = transaction.open_table(OBJECTS).map_err(|e| text(&e))?;
        for record in records {
            match &record.json {
                Some(json) => objects.insert(record.key.as_str(), &json[..]).map_err(|e| text(&e))?,
                None => objects.remove(record.key.as_str()).map_err(|e| text(&e))?,
            };
        }
        let mut meta = transaction.open_table(META).map_err(|e| text(&e))?;
        meta.insert("schema_version", SCHEMA_VERSION).map_err(|e| text(&e))?;
        if let Some(newest) = records.iter().map(|r| r.revision).max() {
            let known = meta.get("revision").map_err(|e| text(&e))?.map_or(0, |v| v.value());
            meta.insert("revision", newest.max(known)).map_err(|e| text(&e))?;
        }
    }
    transaction.commit().map_err(|e| text(&e))
}

fn read(database: &Database) -> Result<Contents, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let transaction = database.begin_read().map_err(|e| text(&e))?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Err("it holds no version".to_owned()),
        Err(error) => return Err(text(&error)),
    };
    match meta.get("schema_version").map_err(|e| text(&e))?.map(|v| v.value()) {
        Some(SCHEMA_VERSION) => {}
        other => return Err(format!("version {other:?}, this program knows {SCHEMA_VERSION}")),
    }
    let revision = meta.get("revision").map_err(|e| text(&e))?.map_or(0, |v| v.value());
    let mut contents = Contents { objects: Vec::new(), revision };
    let table = transaction.open_table(OBJECTS).map_err(|e| text(&e))?;
    for row in table.iter().map_err(|e| text(&e))? {
        let (key, json) = row.map_err(|e| text(&e))?;
        let (resource, key) = key.value().split_once('\0').ok_or("a key without a resource")?;
        let object = serde_json::from_slice(json.value()).map_err(|e| format!("{key}: {e}"))?;
        contents.objects.push((resource.to_owned(), key.to_owned(), object));
    }
    Ok(contents)
}
