//! History as Parquet files, for pandas, DuckDB or Spark: [`HistoryHandle::export`]. The columns and their units are described in
//! `docs/export.md`.
//!
//! One file for each table and day, `decisions/day=2026-11-24/part-0.parquet`. Each is read from one snapshot and written row group by
//! row group, so that memory holds one row group, however long the past is; of series also the names.

mod columns;
mod decisions;
mod series;

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::handle::HistoryHandle;
use crate::store::HistoryError;
use crate::types::{DAY_MS, UnixMillis};

/// A table that can be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportTable {
    /// Usage of containers and nodes: a row for each point.
    Series,
    /// Decisions with their outcomes.
    Decisions,
    /// Labelled examples with the outcomes of their decisions.
    Examples,
}

impl ExportTable {
    /// All tables.
    pub const ALL: [Self; 3] = [Self::Series, Self::Decisions, Self::Examples];

    /// Its name, which is also its folder's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::Decisions => "decisions",
            Self::Examples => "examples",
        }
    }
}

/// What to export.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// The tables.
    pub tables: Vec<ExportTable>,
    /// Nothing older than this. Days that it cuts are exported from it on.
    pub since: UnixMillis,
    /// Names of the features of decisions and examples, in the order of the feature schema.
    pub features: Vec<String>,
}

/// Where files go.
pub trait ExportTarget {
    /// A folder for a file that is being written.
    fn scratch(&self) -> PathBuf;

    /// Takes a file that is written to the end to its place: `path` is relative, with slashes. What was there is replaced.
    ///
    /// # Errors
    /// When it cannot be moved there.
    fn put(&mut self, path: &str, file: &Path) -> std::io::Result<()>;
}

/// A folder on this machine.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Uses this folder, which is made when it does not exist.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(path: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl ExportTarget for Folder {
    fn scratch(&self) -> PathBuf {
        // So that putting a file to its place is a change of name.
        self.0.clone()
    }

    fn put(&mut self, path: &str, file: &Path) -> std::io::Result<()> {
        let place = self.0.join(path);
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::rename(file, place)
    }
}

/// A file that was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedFile {
    /// Its path below the target.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Why something cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// History cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A file cannot be written, or not be brought to its place.
    #[error("{path} cannot be written: {source}")]
    Write {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file cannot be written as Parquet.
    #[error("{path} cannot be written: {source}")]
    Parquet {
        /// The file.
        path: String,
        /// What the library says.
        source: parquet::errors::ParquetError,
    },
}

/// The day of a moment, as `2026-11-24`. The calendar is Gregorian (Hinnant, "chrono-compatible low-level date algorithms").
fn date(day: u32) -> String {
    let z = i64::from(day) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let y = yoe + era * 400 + i64::from(m <= 2);
    format!("{y:04}-{m:02}-{d:02}")
}

/// A part of one day.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: UnixMillis,
    until: UnixMillis,
}

impl HistoryHandle {
    /// Writes tables as Parquet files, day by day; `each` hears of every file that is in its place. Days without rows have no file.
    /// Blocks for long. History may go on meanwhile: each file shows one moment.
    ///
    /// # Errors
    /// When history cannot be read, or a file cannot be written.
    pub fn export(
        &self,
        options: &ExportOptions,
        target: &mut dyn ExportTarget,
        mut each: impl FnMut(&ExportedFile),
    ) -> Result<(), ExportError> {
        self.flush();
        for table in &options.tables {
            let first = match table {
                ExportTable::Series => series::first(&self.store.read()?)?,
                ExportTable::Decisions => decisions::first_decision(&self.store.read()?)?,
                ExportTable::Examples => decisions::first_example(&self.store.read()?)?,
            };
            let Some(first) = first else { continue };
            let last = match table {
                ExportTable::Series => series::last(&self.store.read()?)?,
                ExportTable::Decisions => decisions::last_decision(&self.store.read()?)?,
                ExportTable::Examples => decisions::last_example(&self.store.read()?)?,
            };
            let last = last.unwrap_or(first).day();
            for day in first.max(options.since).day()..=last {
                let from = UnixMillis(i64::from(day) * DAY_MS).max(options.since);
                let span = Span { from, until: UnixMillis((i64::from(day) + 1) * DAY_MS) };
                let path = format!("{}/day={}/part-0.parquet", table.name(), date(day));
                if let Some(file) = self.export_day(*table, span, &path, options, target)? {
                    each(&file);
                }
            }
        }
        Ok(())
    }

    fn export_day(
        &self,
        table: ExportTable,
        span: Span,
        path: &str,
        options: &ExportOptions,
        target: &mut dyn ExportTarget,
    ) -> Result<Option<ExportedFile>, ExportError> {
        let scratch = target.scratch().join(format!(".augur-export-{}.parquet", std::process::id()));
        let write = |source| ExportError::Write { path: path.to_owned(), source };
        let result = (|| {
            let file = File::create(&scratch).map_err(write)?;
            let tx = self.store.read()?;
            let rows = match table {
                ExportTable::Series => series::write(&tx, span, file, path)?,
                ExportTable::Decisions => decisions::write_decisions(&tx, span, file, path, &options.features)?,
                ExportTable::Examples => decisions::write_examples(&tx, span, file, path, &options.features)?,
            };
            if rows == 0 {
                return Ok(None);
            }
            let bytes = std::fs::metadata(&scratch).map_err(write)?.len();
            target.put(path, &scratch).map_err(write)?;
            Ok(Some(ExportedFile { path: path.to_owned(), rows, bytes }))
        })();
        // It is at its place, or it is not wanted.
        let _ = std::fs::remove_file(&scratch);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        assert_eq!((date(0), date(59)), ("1970-01-01".to_owned(), "1970-03-01".to_owned()));
        assert_eq!(date(UnixMillis(1_767_700_800_000).day()), "2026-01-06");
        assert_eq!((date(11_016), date(19_782)), ("2000-02-29".to_owned(), "2024-02-29".to_owned()));
    }
}
