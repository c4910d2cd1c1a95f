//! `augur history export`: series, decisions and examples as Parquet, to a folder or an object store.

#[cfg(feature = "object-store")]
mod bucket;

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use augur_history::HistoryHandle;
use augur_history::UnixMillis;
use augur_history::export::{self, ExportOptions, ExportTable, ExportTarget, ExportedFile, Folder};
use augur_kubectl::Server;
use augur_learn::FEATURE_NAMES;
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use serde::Deserialize;

use crate::output;

/// Arguments of `augur history export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A folder, or where the program was built with them an object store: `s3://BUCKET/PATH`, `gs://BUCKET/PATH`,
    /// `az://CONTAINER/PATH`; keys and regions come from the environment.
    #[arg(long, value_name = "FOLDER|URL")]
    pub to: String,
    /// The tables.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [What::Series, What::Decisions, What::Examples])]
    pub what: Vec<What>,
    /// Nothing older: `24h` back from now, or since a date or time (`2026-11-24`, `2026-11-24T06:00:00Z`).
    #[arg(long, value_parser = since)]
    pub since: Option<Timestamp>,
}

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Usage of containers and nodes.
    Series,
    /// Decisions with their outcomes.
    Decisions,
    /// Labelled examples.
    Examples,
}

impl What {
    fn table(self) -> ExportTable {
        match self {
            What::Series => ExportTable::Series,
            What::Decisions => ExportTable::Decisions,
            What::Examples => ExportTable::Examples,
        }
    }
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(back) = text.parse::<SignedDuration>() {
        return Timestamp::now().checked_sub(back).map_err(|error| error.to_string());
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let date: civil::Date = text.parse().map_err(|_| "it is no duration, date or time (24h, 2026-11-24)".to_owned())?;
    date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(|error| error.to_string())
}

/// Exports what is asked for.
///
/// # Errors
/// History cannot be read, or the target not be written to.
pub fn run(h: &HistoryHandle, args: &ExportArgs) -> anyhow::Result<()> {
    let mut target = target(&args.to)?;
    let options = ExportOptions {
        tables: args.what.iter().map(|what| what.table()).collect(),
        since: UnixMillis(args.since.map_or(0, Timestamp::as_millisecond)),
        features: FEATURE_NAMES.map(str::to_owned).to_vec(),
    };
    let mut told = Told::default();
    h.export(&options, target.as_mut(), |file| told.of(file))?;
    told.end(&args.to)
}

/// Exports what a scheduler that runs remembers.
///
/// # Errors
/// It does not answer or wants a token, its answer breaks off, or the target cannot be written to.
pub async fn ask(server: &Server, args: &ExportArgs) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct List {
        files: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        table: String,
        day: String,
    }
    let mut target = target(&args.to)?;
    let since = args.since.map(|since| format!("?since={since}")).unwrap_or_default();
    let list: List = serde_json::from_value(server.get(&format!("/api/v1/export{since}")).await?)?;
    let mut told = Told::default();
    for Item { table, day } in list.files {
        // What is put below a folder is named here and not there.
        let (Some(table), Ok(day)) = (ExportTable::of_name(&table), day.parse::<civil::Date>()) else { continue };
        if !args.what.iter().any(|what| what.table() == table) {
            continue;
        }
        let asked = format!("/api/v1/export/{}/{day}{since}", table.name());
        let path = format!("{}/day={day}/part-0.parquet", table.name());
        let scratch = target.scratch().join(format!(".augur-download-{}.parquet", std::process::id()));
        let result = async {
            let mut file =
                File::create(&scratch).with_context(|| format!("{} cannot be written", scratch.display()))?;
            let bytes = server.download(&asked, &mut file).await?;
            let rows = export::rows(&File::open(&scratch)?, &path)?;
            if rows > 0 {
                target.put(&path, &scratch).with_context(|| format!("{path} cannot be written"))?;
                told.of(&ExportedFile { path, rows, bytes });
            }
            anyhow::Ok(())
        };
        let result = result.await;
        // It is at its place, or it is not wanted.
        let _ = std::fs::remove_file(&scratch);
        result?;
    }
    told.end(&args.to)
}

/// What was told of the files so far.
#[derive(Default)]
struct Told {
    files: u64,
    rows: u64,
    failed: Option<std::io::Error>,
}

impl Told {
    fn of(&mut self, file: &ExportedFile) {
        (self.files, self.rows) = (self.files + 1, self.rows + file.rows);
        let line = format!("{:<48} {:>12} rows {:>10.1} MiB", file.path, file.rows, file.bytes as f64 / 1_048_576.0);
        if self.failed.is_none() {
            self.failed = output::line(&line).err();
        }
    }

    fn end(self, to: &str) -> anyhow::Result<()> {
        self.failed.map_or(Ok(()), Err)?;
        Ok(output::line(&format!("{} files, {} rows in {to}", self.files, self.rows))?)
    }
}

fn target(to: &str) -> anyhow::Result<Box<dyn ExportTarget>> {
    if !to.contains("://") {
        let folder = Folder::new(Path::new(to)).map_err(|error| anyhow::anyhow!("{to} cannot be written: {error}"))?;
        return Ok(Box::new(folder));
    }
    #[cfg(feature = "object-store")]
    return Ok(Box::new(bucket::Bucket::open(to)?));
    #[cfg(not(feature = "object-store"))]
    anyhow::bail!(
        "{to}: this program was built without object stores; build it with --features object-store, or name a folder"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_begins_at_a_date_a_time_or_so_long_ago() {
        assert_eq!(since("2026-11-24").unwrap().to_string(), "2026-11-24T00:00:00Z");
        assert_eq!(since("2026-11-24T06:00:00Z").unwrap().to_string(), "2026-11-24T06:00:00Z");
        let day = Timestamp::now().as_second() - since("24h").unwrap().as_second();
        assert!((86_399..=86_401).contains(&day));
        assert!(since("yesterday").is_err());
    }
}
