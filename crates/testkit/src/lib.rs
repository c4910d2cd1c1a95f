//! Builders and fixtures for tests.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde_json::Value;

/// The documents of a gzip-compressed file with one JSON document a line.
///
/// # Panics
/// The file cannot be read or is not of that form; the message names it.
#[must_use]
#[expect(clippy::panic, reason = "a broken fixture has to end the test")]
pub fn read_json_lines_gz(path: &Path) -> Vec<Value> {
    let fail = |problem: &dyn std::fmt::Display| -> ! { panic!("{}: {problem}", path.display()) };
    let file = File::open(path).unwrap_or_else(|error| fail(&error));
    BufReader::new(MultiGzDecoder::new(file))
        .lines()
        .map(|line| {
            let line = line.unwrap_or_else(|error| fail(&error));
            serde_json::from_str(&line).unwrap_or_else(|error| fail(&error))
        })
        .collect()
}
