//! History as Parquet files, for pandas, DuckDB or Spark: [`HistoryHandle::export`]. The columns and their units are described in
//! `docs/export.md`.
//!
//! One file for each table and day, `decisions/day=2026-11-24/part-0.parquet`. Each is read from one snapshot and written row group by
//! row group, so that memory holds one row group, however long the past is; of series also the names.

mod columns;
mod decisions;
mod series;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader as _, SerializedFileReader};

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

    /// The table of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// One file of an export: what a table knows of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportPart {
    /// The table.
    pub table: ExportTable,
    /// Days since 1970 (UTC).
    pub day: u32,
}

impl ExportPart {
    /// Where it goes below the target.
    pub fn path(self) -> String {
        format!("{}/day={}/part-0.parquet", self.table.name(), self.date())
    }

    /// Its day, as `2026-11-24`.
    pub fn date(self) -> String {
        date(self.day)
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
        for part in self.export_parts(options)? {
            let file = put(target, &part.path(), |file| self.export_part(part, options, file))?;
            file.iter().for_each(&mut each);
        }
        Ok(())
    }

    /// The files that an export has, some of which may turn out to be without rows. Blocks for the disk.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn export_parts(&self, options: &ExportOptions) -> Result<Vec<ExportPart>, HistoryError> {
        self.flush();
        let tx = self.store.read()?;
        let mut parts = Vec::new();
        for &table in &options.tables {
            let (first, last) = match table {
                ExportTable::Series => (series::first(&tx)?, series::last(&tx)?),
                ExportTable::Decisions => (decisions::first_decision(&tx)?, decisions::last_decision(&tx)?),
                ExportTable::Examples => (decisions::first_example(&tx)?, decisions::last_example(&tx)?),
            };
            let Some((first, last)) = first.zip(last) else { continue };
            let days = first.max(options.since).day()..=last.day();
            parts.extend(days.map(|day| ExportPart { table, day }));
        }
        Ok(parts)
    }

    /// Writes one file, from one snapshot; answers with its rows. Blocks for long, and for whoever takes the bytes.
    ///
    /// # Errors
    /// When history cannot be read, or the bytes are not taken.
    pub fn export_part<W: Write + Send>(
        &self,
        part: ExportPart,
        options: &ExportOptions,
        out: W,
    ) -> Result<u64, ExportError> {
        let from = UnixMillis(i64::from(part.day) * DAY_MS).max(options.since);
        let span = Span { from, until: UnixMillis((i64::from(part.day) + 1) * DAY_MS) };
        let (tx, path) = (self.store.read()?, part.path());
        match part.table {
            ExportTable::Series => series::write(&tx, span, out, &path),
            ExportTable::Decisions => decisions::write_decisions(&tx, span, out, &path, &options.features),
            ExportTable::Examples => decisions::write_examples(&tx, span, out, &path, &options.features),
        }
    }
}

/// Writes a file and brings it to its place, unless it has no rows; `write` answers how many it has.
fn put(
    target: &mut dyn ExportTarget,
    path: &str,
    write: impl FnOnce(&mut File) -> Result<u64, ExportError>,
) -> Result<Option<ExportedFile>, ExportError> {
    let scratch = target.scratch().join(format!(".augur-export-{}.parquet", std::process::id()));
    let failed = |source| ExportError::Write { path: path.to_owned(), source };
    let result = (|| {
        let mut file = File::create(&scratch).map_err(failed)?;
        let rows = write(&mut file)?;
        if rows == 0 {
            return Ok(None);
        }
        let bytes = file.metadata().map_err(failed)?.len();
        drop(file);
        target.put(path, &scratch).map_err(failed)?;
        Ok(Some(ExportedFile { path: path.to_owned(), rows, bytes }))
    })();
    // It is at its place, or it is not wanted.
    let _ = std::fs::remove_file(&scratch);
    result
}

/// The rows of a file that came from elsewhere, as its end says; a file that breaks off has no such end.
///
/// # Errors
/// When it is no whole file.
pub fn rows(file: &File, path: &str) -> Result<u64, ExportError> {
    let parquet = |source| ExportError::Parquet { path: path.to_owned(), source };
    let file = file.try_clone().map_err(|source| ExportError::Write { path: path.to_owned(), source })?;
    let reader = SerializedFileReader::new(file).map_err(parquet)?;
    Ok(reader.metadata().file_metadata().num_rows().unsigned_abs())
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
