//! The file: one `redb` database, its tables, and how they are opened, read and written.
//!
//! Values are JSON (deflated where they are long and many), but for counters, which are written often and have a fixed shape.
//! [`Store::open`] refuses what it did not write; [`Store::write`] is one durable transaction.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{
    Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable as _, TableDefinition,
    TableError, WriteTransaction,
};
use serde::de::DeserializeOwned;

use crate::types::{DecisionFilter, DecisionId, DecisionRecord, Example, FeedbackRecord, Outcome};
use crate::usage::{journal, series};

/// Name of the file within the data directory.
pub const STORE_FILE: &str = "history.redb";
/// Version of the tables. A file of an earlier version is brought up to it when it is opened, a later one is refused.
///
/// 1: decisions, outcomes with one horizon, feedback, hourly counts. 2: decayed counts by node and workload, a second horizon,
/// series of usage. 3: how nodes, workloads and the cluster did lately, and daily peaks of pods. 4: hourly counts by hour first,
/// decisions and examples deflated, readings that are not sealed.
pub const SCHEMA_VERSION: u64 = 4;

pub(crate) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(crate) const DECISIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("decisions");
pub(crate) const OUTCOMES: TableDefinition<u64, &[u8]> = TableDefinition::new("outcomes");
/// `name NUL namespace NUL id`, so that a pod is found with or without its namespace.
pub(crate) const BY_POD: TableDefinition<&[u8], ()> = TableDefinition::new("decisions_by_pod");
/// `node NUL id`.
pub(crate) const BY_NODE: TableDefinition<&[u8], ()> = TableDefinition::new("decisions_by_node");
pub(crate) const FEEDBACK: TableDefinition<u64, &[u8]> = TableDefinition::new("feedback");
/// Decision id to feedback id.
pub(crate) const FEEDBACK_OF: TableDefinition<u64, u64> = TableDefinition::new("feedback_of_decision");
/// The hour and the node. What changes in one round stands together, as do hours that leave the window.
pub(crate) const NODE_HOURS: TableDefinition<(u32, &str), &[u8]> = TableDefinition::new("hours_of_nodes");
/// The hour and `namespace/kind/name`.
pub(crate) const WORKLOAD_HOURS: TableDefinition<(u32, &str), &[u8]> = TableDefinition::new("hours_of_workloads");
/// Usage of a node and how it did lately.
pub(crate) const USAGE: TableDefinition<&str, &[u8]> = TableDefinition::new("node_usage");
/// Decayed counts of a workload on a node: node and `namespace/kind/name`.
pub(crate) const NODE_CELLS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("node_cells");
/// Decayed counts of a workload and its revisions, and how they did lately.
pub(crate) const WORKLOAD_TALLIES: TableDefinition<&str, &[u8]> = TableDefinition::new("workload_tallies");
/// Histograms of usage of a workload.
pub(crate) const WORKLOAD_USAGE: TableDefinition<&str, &[u8]> = TableDefinition::new("workload_usage");
/// The present day's peak of a pod's memory, by `namespace/name`.
pub(crate) const POD_PEAKS: TableDefinition<&str, &[u8]> = TableDefinition::new("pod_peaks");
/// The cluster as a whole: one row, `recent`.
pub(crate) const CLUSTER: TableDefinition<&str, &[u8]> = TableDefinition::new("cluster");
/// Pods that are being followed, by uid.
pub(crate) const PODS: TableDefinition<&str, &[u8]> = TableDefinition::new("pods");
pub(crate) const DAYS: TableDefinition<u32, &[u8]> = TableDefinition::new("days");
pub(crate) const EXAMPLES: TableDefinition<u64, &[u8]> = TableDefinition::new("examples");

/// Why the store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The data directory cannot be made.
    #[error("cannot create the data directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process holds the file.
    #[error("{} is in use by another process; stop it or choose another --data-dir", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file was not written by this program, or by a later version of it.
    #[error("{} is not a history file of this version ({why}); move it away to start afresh", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file is ours and torn or damaged. [`crate::History::open`] sets such a file aside.
    #[error("{} is damaged ({why})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A damaged file cannot be set aside.
    #[error("{} is damaged and cannot be renamed: {source}", path.display())]
    SetAside {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A read or write failed.
    #[error("history: {step} failed: {why}")]
    Storage {
        /// What was being done.
        step: &'static str,
        /// What the storage says.
        why: String,
    },
    /// The thread that writes has ended.
    #[error("history is closed")]
    Closed,
    /// The thread that writes cannot be started.
    #[error("history: cannot start the writing thread: {0}")]
    Thread(std::io::Error),
}

pub(crate) fn storage<E: std::fmt::Display>(step: &'static str) -> impl Fn(E) -> HistoryError {
    move |e| HistoryError::Storage { step, why: e.to_string() }
}

/// Opens the database anew.
type Opener = Box<dyn Fn() -> Result<Database, HistoryError> + Send + Sync>;

/// The open file.
pub(crate) struct Store {
    /// Empty only while it is being opened anew, and when that has failed.
    db: RwLock<Option<Database>>,
    opener: Opener,
    path: PathBuf,
}

fn open_file(path: &Path, cache_bytes: usize) -> Result<Database, HistoryError> {
    let damaged = |why: String| HistoryError::Damaged { path: path.to_owned(), why };
    let open = || Database::builder().set_cache_size(cache_bytes).create(path);
    // redb panics at some kinds of damage; nothing of it is kept then.
    let opened = std::panic::catch_unwind(open).map_err(|_| damaged("its pages make no sense".to_owned()))?;
    opened.map_err(|e| match e {
        DatabaseError::DatabaseAlreadyOpen => HistoryError::InUse { path: path.to_owned() },
        e => damaged(e.to_string()),
    })
}

/// A redb file begins so; anything else was written by another program.
const MAGIC: &[u8] = b"redb";

impl Store {
    /// Opens or creates the file in `dir`, with a cache of so many bytes.
    pub fn open(dir: &Path, cache_bytes: usize) -> Result<Self, HistoryError> {
        std::fs::create_dir_all(dir).map_err(|source| HistoryError::Directory { path: dir.to_owned(), source })?;
        let path = dir.join(STORE_FILE);
        let existing = std::fs::metadata(&path).map(|m| m.len()).unwrap_or(0) > 0;
        if existing {
            let mut head = [0; MAGIC.len()];
            let read = std::fs::File::open(&path).and_then(|mut f| std::io::Read::read_exact(&mut f, &mut head));
            // A crash of the machine can leave zeros where data was to be.
            if read.is_err() || (head != *MAGIC && head != [0; MAGIC.len()]) {
                return Err(HistoryError::Foreign { path, why: "it is no redb file".to_owned() });
            }
        }
        let file = path.clone();
        Self::with(path, existing, Box::new(move || open_file(&file, cache_bytes)))
    }

    /// Opens what `opener` opens; `existing` unless it is to be filled.
    pub fn with(path: PathBuf, existing: bool, opener: Opener) -> Result<Self, HistoryError> {
        let db = RwLock::new(Some(opener()?));
        let store = Self { db, opener, path };
        let damaged = |e: HistoryError| HistoryError::Damaged { path: store.path.clone(), why: e.to_string() };
        let foreign = |why| HistoryError::Foreign { path: store.path.clone(), why };
        let version = if existing { store.meta("schema_version").map_err(damaged)? } else { None };
        match version {
            Some(SCHEMA_VERSION) => {}
            None if !existing => store.create()?,
            Some(before @ 1..SCHEMA_VERSION) => {
                for step in &crate::migrate::STEPS[before as usize - 1..] {
                    step(&store)?;
                }
            }
            Some(other) => return Err(foreign(format!("schema version {other}, this program knows {SCHEMA_VERSION}"))),
            // A crash while the file was being made.
            None if store.is_empty()? => store.create()?,
            None => return Err(foreign("it holds no schema version".to_owned())),
        }
        Ok(store)
    }

    /// Whether no table was ever made.
    fn is_empty(&self) -> Result<bool, HistoryError> {
        let tables = self.read()?.list_tables().map_err(storage("listing tables"))?.count();
        Ok(tables == 0)
    }

    /// Closes the file and opens it anew, as redb wants it after an error of the disk.
    pub fn reopen(&self) -> Result<(), HistoryError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // The lock on the file goes with it.
        drop(db.take());
        *db = Some((self.opener)()?);
        Ok(())
    }

    fn create(&self) -> Result<(), HistoryError> {
        self.write("creating tables", |tx| {
            tx.open_table(META)?.insert("schema_version", SCHEMA_VERSION)?;
            tx.open_table(DECISIONS)?;
            tx.open_table(OUTCOMES)?;
            tx.open_table(BY_POD)?;
            tx.open_table(BY_NODE)?;
            tx.open_table(FEEDBACK)?;
            tx.open_table(FEEDBACK_OF)?;
            tx.open_table(NODE_HOURS)?;
            tx.open_table(WORKLOAD_HOURS)?;
            tx.open_table(USAGE)?;
            tx.open_table(PODS)?;
            tx.open_table(DAYS)?;
            tx.open_table(EXAMPLES)?;
            tx.open_table(NODE_CELLS)?;
            tx.open_table(WORKLOAD_TALLIES)?;
            tx.open_table(POD_PEAKS)?;
            tx.open_table(CLUSTER)?;
            open_usage_tables(tx)?;
            Ok(())
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file on disk.
    pub fn file_bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map(|m| m.len()).unwrap_or(0)
    }

    /// One transaction, on disk when this returns `Ok`.
    pub fn write(
        &self,
        step: &'static str,
        body: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), HistoryError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let db = db.as_ref().ok_or_else(|| storage(step)("the file could not be opened again"))?;
        let mut tx = db.begin_write().map_err(storage(step))?;
        tx.set_durability(Durability::Immediate).map_err(storage(step))?;
        // Opening after a crash must not read the whole file.
        tx.set_quick_repair(true);
        body(&tx).map_err(storage(step))?;
        tx.commit().map_err(storage(step))
    }

    pub fn read(&self) -> Result<ReadTransaction, HistoryError> {
        let step = "opening a snapshot";
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.as_ref()
            .ok_or_else(|| storage(step)("the file could not be opened again"))?
            .begin_read()
            .map_err(storage(step))
    }

    /// A number of the `meta` table.
    pub fn meta(&self, name: &str) -> Result<Option<u64>, HistoryError> {
        let tx = self.read()?;
        match tx.open_table(META) {
            Ok(table) => Ok(table.get(name).map_err(storage("reading meta"))?.map(|v| v.value())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(e) => Err(storage("reading meta")(e)),
        }
    }

    pub fn decision(&self, id: DecisionId) -> Result<Option<DecisionRecord>, HistoryError> {
        get(&self.read()?, DECISIONS, id.0)
    }

    pub fn outcome(&self, id: DecisionId) -> Result<Option<Outcome>, HistoryError> {
        get(&self.read()?, OUTCOMES, id.0)
    }

    /// The decisions that `filter` wants, newest first, with their outcomes.
    pub fn decisions(&self, filter: &DecisionFilter) -> Result<Vec<(DecisionRecord, Option<Outcome>)>, HistoryError> {
        let tx = self.read()?;
        let first = filter.since.map_or(0, |since| DecisionId::first_at(since).0);
        let mut found = Vec::new();
        // Answers whether to go on.
        let mut take = |id: u64| -> Result<bool, HistoryError> {
            if found.len() >= filter.limit {
                return Ok(false);
            }
            if let Some(record) = get::<DecisionRecord>(&tx, DECISIONS, id)?.filter(|r| filter.wants(r)) {
                found.push((record, get(&tx, OUTCOMES, id)?));
            }
            Ok(true)
        };
        let step = "listing decisions";
        let index = match (&filter.pod, &filter.node) {
            (Some(pod), _) => Some((BY_POD, pod_prefix(pod))),
            (None, Some(node)) => Some((BY_NODE, node_prefix(node))),
            (None, None) => None,
        };
        if let Some((table, prefix)) = index {
            let mut end = prefix.clone();
            end.push(0xff);
            let table = tx.open_table(table).map_err(storage(step))?;
            let range = table.range::<&[u8]>(prefix.as_slice()..end.as_slice()).map_err(storage(step))?;
            let mut ids = Vec::new();
            for entry in range {
                let entry = entry.map_err(storage(step))?;
                ids.extend(id_at_end(entry.0.value()).filter(|id| *id >= first));
            }
            // A bare pod name spans namespaces, so the order of the index is not that of time.
            ids.sort_unstable_by(|a, b| b.cmp(a));
            for id in ids {
                if !take(id)? {
                    break;
                }
            }
        } else {
            let table = tx.open_table(DECISIONS).map_err(storage(step))?;
            for entry in table.range(first..).map_err(storage(step))?.rev() {
                if !take(entry.map_err(storage(step))?.0.value())? {
                    break;
                }
            }
        }
        Ok(found)
    }

    pub fn oldest_decision(&self) -> Result<Option<DecisionId>, HistoryError> {
        let step = "reading the oldest decision";
        let table = self.read()?.open_table(DECISIONS).map_err(storage(step))?;
        Ok(table.first().map_err(storage(step))?.map(|(id, _)| DecisionId(id.value())))
    }

    pub fn feedback_of(&self, decision: DecisionId) -> Result<Option<FeedbackRecord>, HistoryError> {
        let step = "reading feedback";
        let tx = self.read()?;
        let table = tx.open_table(FEEDBACK_OF).map_err(storage(step))?;
        match table.get(decision.0).map_err(storage(step))? {
            Some(id) => get(&tx, FEEDBACK, id.value()),
            None => Ok(None),
        }
    }

    /// The latest feedback, newest first.
    pub fn recent_feedback(&self, limit: usize) -> Result<Vec<FeedbackRecord>, HistoryError> {
        let step = "listing feedback";
        let tx = self.read()?;
        let table = tx.open_table(FEEDBACK).map_err(storage(step))?;
        let mut found = Vec::new();
        for entry in table.range::<u64>(..).map_err(storage(step))?.rev().take(limit) {
            found.push(decode(entry.map_err(storage(step))?.1.value(), "feedback")?);
        }
        Ok(found)
    }

    /// The examples kept, oldest first.
    pub fn examples(&self) -> Result<Vec<Example>, HistoryError> {
        let step = "listing examples";
        let tx = self.read()?;
        let table = tx.open_table(EXAMPLES).map_err(storage(step))?;
        let mut found = Vec::new();
        for entry in table.range::<u64>(..).map_err(storage(step))? {
            found.push(decode(entry.map_err(storage(step))?.1.value(), "example")?);
        }
        Ok(found)
    }

    /// Rows of a table.
    pub fn count<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        table: TableDefinition<K, V>,
    ) -> Result<u64, HistoryError> {
        use redb::ReadableTableMetadata as _;
        let step = "counting rows";
        self.read()?.open_table(table).map_err(storage(step))?.len().map_err(storage(step))
    }
}

/// Makes the tables of usage that are not there yet.
pub(crate) fn open_usage_tables(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(WORKLOAD_USAGE)?;
    tx.open_table(series::RAW)?;
    tx.open_table(series::COARSE)?;
    tx.open_table(series::SERIES)?;
    tx.open_table(series::SERIES_OPEN)?;
    tx.open_table(series::SERIES_ENDED)?;
    tx.open_table(journal::ROUNDS)?;
    tx.open_table(journal::ENDED)?;
    Ok(())
}

pub(crate) fn get<T: DeserializeOwned>(
    tx: &ReadTransaction,
    table: TableDefinition<u64, &[u8]>,
    key: u64,
) -> Result<Option<T>, HistoryError> {
    let step = "reading a record";
    let table = tx.open_table(table).map_err(storage(step))?;
    match table.get(key).map_err(storage(step))? {
        Some(value) => decode(value.value(), "record").map(Some),
        None => Ok(None),
    }
}

/// Values that are deflated begin so, which no JSON does.
const DEFLATED: u8 = 1;
/// More than any record is long; what claims more is damaged.
const MAX_RECORD: u64 = 16 << 20;

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, HistoryError> {
    let decoded = match bytes.split_first() {
        Some((&DEFLATED, rest)) => {
            let mut json = Vec::with_capacity(4 * rest.len());
            match flate2::read::DeflateDecoder::new(rest).take(MAX_RECORD).read_to_end(&mut json) {
                Ok(_) => serde_json::from_slice(&json).map_err(|e| e.to_string()),
                Err(e) => Err(e.to_string()),
            }
        }
        _ => serde_json::from_slice(bytes).map_err(|e| e.to_string()),
    };
    decoded.map_err(|e| HistoryError::Storage { step: "reading a record", why: format!("a {what} is damaged: {e}") })
}

/// A long record: JSON, deflated to a half or a third, so that several share a page of the file.
pub(crate) fn deflate<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, redb::Error> {
    let mut encoder = flate2::write::DeflateEncoder::new(vec![DEFLATED], flate2::Compression::fast());
    serde_json::to_writer(&mut encoder, value).map_err(|e| redb::Error::Io(std::io::Error::other(e)))?;
    encoder.finish().map_err(redb::Error::Io)
}

pub(crate) fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(value).map_err(|e| redb::Error::Io(std::io::Error::other(e)))
}

/// `name` or `namespace/name` as the beginning of a key of [`BY_POD`].
fn pod_prefix(pod: &str) -> Vec<u8> {
    match pod.split_once('/') {
        Some((namespace, name)) => [name.as_bytes(), &[0], namespace.as_bytes(), &[0]].concat(),
        None => [pod.as_bytes(), &[0]].concat(),
    }
}

fn node_prefix(node: &str) -> Vec<u8> {
    [node.as_bytes(), &[0]].concat()
}

pub(crate) fn pod_key(record: &DecisionRecord) -> Vec<u8> {
    let pod = &record.pod;
    [pod.name.as_bytes(), &[0], pod.namespace.as_bytes(), &[0], &record.id.0.to_be_bytes()].concat()
}

pub(crate) fn node_key(node: &str, id: DecisionId) -> Vec<u8> {
    [node.as_bytes(), &[0], &id.0.to_be_bytes()].concat()
}

fn id_at_end(key: &[u8]) -> Option<u64> {
    let id = key.last_chunk::<8>()?;
    Some(u64::from_be_bytes(*id))
}
