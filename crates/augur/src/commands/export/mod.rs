//! `augur history export`: series, decisions and examples as Parquet, to a folder or an object store.

#[cfg(feature = "object-store")]
mod bucket;

use std::path::Path;

use augur_history::HistoryHandle;
use augur_history::UnixMillis;
use augur_history::export::{ExportOptions, ExportTable, ExportTarget, Folder};
use augur_learn::FEATURE_NAMES;
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

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
    let to = &args.to;
    let mut target = target(to)?;
    let tables = args.what.iter().map(|what| match what {
        What::Series => ExportTable::Series,
        What::Decisions => ExportTable::Decisions,
        What::Examples => ExportTable::Examples,
    });
    let options = ExportOptions {
        tables: tables.collect(),
        since: UnixMillis(args.since.map_or(0, Timestamp::as_millisecond)),
        features: FEATURE_NAMES.map(str::to_owned).to_vec(),
    };
    let mut printed = Ok(());
    let (mut files, mut rows) = (0, 0);
    h.export(&options, target.as_mut(), |file| {
        (files, rows) = (files + 1, rows + file.rows);
        let line = format!("{:<48} {:>12} rows {:>10.1} MiB", file.path, file.rows, file.bytes as f64 / 1_048_576.0);
        if printed.is_ok() {
            printed = output::line(&line);
        }
    })?;
    printed?;
    Ok(output::line(&format!("{files} files, {rows} rows in {to}"))?)
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
