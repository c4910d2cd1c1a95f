//! Checks of the workspace that are ordinary Rust: who may depend on whom, purity of the pure crates, file sizes, crate
//! documentation, set-up commands of the README, links of the documents.
//!
//! Every check is a function from what it reads to a list of [`Violation`]s; [`check_workspace`] runs them all. The tests run
//! them over the checkout, `cargo run -p xtask -- check` prints them.

pub mod deps;
pub mod links;
pub mod readme;
pub mod source;

use std::fmt;
use std::path::{Path, PathBuf};

/// A rule of the house that the checkout breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The crate or file.
    pub place: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Violation {
    pub(crate) fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// The root of the checkout that this crate was built in.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Runs every check over the checkout at `root`.
///
/// # Errors
/// When something cannot be read at all, with what it was.
pub fn check_workspace(root: &Path) -> Result<Vec<Violation>, String> {
    let mut found = deps::check(root)?;
    found.extend(source::check(root)?);
    found.extend(readme::check(root)?);
    found.extend(links::check(root)?);
    Ok(found)
}

/// Fails with all violations listed, one per line. For tests.
#[cfg(test)]
fn assert_none(found: &[Violation]) {
    assert!(found.is_empty(), "\n{}\n", found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}
