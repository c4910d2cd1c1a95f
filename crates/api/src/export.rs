//! `GET /api/v1/export`: history as Parquet from a service that runs, file by file, as `augur history export` asks for it.
//!
//! A file goes out while it is written, so that neither memory nor disk holds more than a group of its rows; whoever writes it is a
//! thread for things that block, reading a snapshot.

use std::io::{Error, Write};
use std::sync::Arc;
use std::time::Duration;

use augur_history::UnixMillis;
use augur_history::export::{ExportError, ExportOptions, ExportPart, ExportTable};
use augur_learn::FEATURE_NAMES;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use jiff::{civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use crate::error::{ApiError, ErrorBody};
use crate::scheduler::since;
use crate::service::{Service, Shared, json, query};

/// Bytes that go out together.
const CHUNK: usize = 64 << 10;
/// Chunks that may wait for a slow client; then writing waits.
const WAITING: usize = 8;
/// A client that takes nothing for so long is given up, because its snapshot keeps old pages of the file from being used anew.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to export.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    /// Nothing older than this: a time or a span before now; everything when left out.
    since: Option<String>,
}

/// Files of an export.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExportList {
    /// Each may turn out to have no rows.
    files: Vec<ExportItem>,
}

/// A file of an export.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExportItem {
    /// `series`, `decisions` or `examples`.
    table: &'static str,
    /// Its day (UTC), as `2026-11-24`.
    day: String,
    /// Where it belongs below a folder.
    path: String,
}

fn options(service: &Service, uri: &Uri) -> Result<ExportOptions, ApiError> {
    let q: ExportQuery = query(uri)?;
    let from = q.since.map(|text| since(&text, service.clock.now())).transpose()?;
    Ok(ExportOptions {
        tables: ExportTable::ALL.to_vec(),
        since: from.unwrap_or(UnixMillis(0)),
        features: FEATURE_NAMES.map(str::to_owned).to_vec(),
    })
}

/// The files that an export has now, a table and a day each. Needs the token, as it tells all that is remembered.
#[utoipa::path(get, path = "/api/v1/export", tag = "cluster", params(ExportQuery),
    responses((status = 200, body = ExportList), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn list(State(service): Shared, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    service.authorize(&headers, &uri).await?;
    let options = options(&service, &uri)?;
    let parts = service.history(move |history| history.export_parts(&options)).await?;
    let item = |part: &ExportPart| ExportItem { table: part.table.name(), day: part.date(), path: part.path() };
    json(&ExportList { files: parts.iter().map(item).collect() }, 64 + 128 * parts.len())
}

/// One of them as Parquet. One at a time is written; whoever asks meanwhile gets 429. Needs the token.
#[utoipa::path(get, path = "/api/v1/export/{table}/{day}", tag = "cluster", params(ExportQuery,
    ("table" = String, Path, description = "`series`, `decisions` or `examples`"),
    ("day" = String, Path, description = "A day (UTC), as 2026-11-24")),
    responses((status = 200, description = "A Parquet file", content_type = "application/vnd.apache.parquet"),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 429, body = ErrorBody)))]
pub(crate) async fn file(
    State(service): Shared,
    Path((table, day)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    service.authorize(&headers, &uri).await?;
    let options = options(&service, &uri)?;
    let unknown = |what: String| ApiError::new(StatusCode::NOT_FOUND, "no_such_file", what);
    let table = ExportTable::of_name(&table)
        .ok_or_else(|| unknown(format!("there is no table {table}: it is series, decisions or examples")))?;
    let date: Date = day.parse().map_err(|_| unknown(format!("{day} is no day as 2026-11-24 is")))?;
    let seconds = date.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp().as_second());
    let day = seconds.and_then(|seconds| u32::try_from(seconds / 86_400).ok());
    let day = day.ok_or_else(|| unknown(format!("{date} is before 1970")))?;
    let busy = "another export is being written; ask again when it is done";
    let permit = Arc::clone(&service.exports)
        .try_acquire_owned()
        .map_err(|_| ApiError::new(StatusCode::TOO_MANY_REQUESTS, "export_running", busy))?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let (part, history, runtime) = (ExportPart { table, day }, service.history.clone(), Handle::current());
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut out = Chunks { sender, waiting: BytesMut::new(), runtime };
        let written = history
            .export_part(part, &options, &mut out)
            .and_then(|_| out.flush().map_err(|source| ExportError::Write { path: part.path(), source }));
        if let Err(error) = written {
            // The answer has begun; that it breaks off is all that can be told.
            let _gone = out.send(Err(Error::other(error.to_string())));
        }
    });
    let chunks =
        futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    Ok(([(header::CONTENT_TYPE, "application/vnd.apache.parquet")], Body::from_stream(chunks)).into_response())
}

/// Bytes on their way to a client.
struct Chunks {
    sender: mpsc::Sender<Result<Bytes, Error>>,
    waiting: BytesMut,
    runtime: Handle,
}

impl Chunks {
    fn send(&self, chunk: Result<Bytes, Error>) -> Result<(), Error> {
        let sent = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.sender.send(chunk)).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::other("the client has gone")),
            Err(_) => Err(Error::other("the client takes nothing any more")),
        }
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Error> {
        match self.waiting.split().freeze() {
            nothing if nothing.is_empty() => Ok(()),
            chunk => self.send(Ok(chunk)),
        }
    }
}
