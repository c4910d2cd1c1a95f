//! What the source text must keep to: file sizes, crate documentation, nothing unfinished, no clock or I/O in pure crates.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Violation;

/// A file beyond this many lines has more than one subject.
pub const MAX_LINES: usize = 900;

/// Paths of the standard library through which time or the world enters.
const IMPURE_STD: &[&str] =
    &["std::time", "Instant::now", "SystemTime", "std::fs", "std::net", "std::env::", "std::process"];

/// Runs the checks of this module over the checkout at `root`.
///
/// # Errors
/// When a file cannot be read.
pub fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let mut found = Vec::new();
    for folder in ["crates", "xtask"] {
        let mut files = Vec::new();
        rust_files(&root.join(folder), &mut files)?;
        for path in files {
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let place = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            found.extend(check_file(&place, &text));
        }
    }
    Ok(found)
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let listing = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for entry in listing {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        if path.is_dir() {
            if !path.ends_with("target") {
                rust_files(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// `place` is the path below the root, with slashes.
fn check_file(place: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        found.push(Violation::new(place, format!("has {lines} lines; split it by subject (at most {MAX_LINES})")));
    }
    if is_crate_root(place) && !text.lines().any(|line| line.starts_with("//!")) {
        found.push(Violation::new(place, "is a crate root without `//!`: say its purpose and where to start reading"));
    }
    let pure = ["crates/core/src/", "crates/forest/src/"].iter().any(|folder| place.starts_with(folder));
    for (number, line) in code_lines(text) {
        // Written in two parts so that this file does not find itself.
        for unfinished in [concat!("todo", "!("), concat!("unimplemented", "!(")] {
            if line.contains(unfinished) {
                found.push(Violation::new(place, format!("line {number}: `{unfinished}…)` is not an implementation")));
            }
        }
        if pure {
            // `std::time::Duration` is a length, not a clock.
            let line = line.replace("std::time::Duration", "");
            if let Some(impure) = IMPURE_STD.iter().find(|impure| line.contains(**impure)) {
                found.push(Violation::new(
                    place,
                    format!("line {number}: `{impure}` in a pure crate; pass it in as an argument"),
                ));
            }
        }
    }
    found
}

fn is_crate_root(place: &str) -> bool {
    let parts: Vec<&str> = place.split('/').collect();
    match parts.as_slice() {
        [.., "src", "lib.rs" | "main.rs"] | [.., "benches" | "examples", _] => true,
        // A file straight below a crate's `tests` is a test binary of its own.
        ["crates", _, "tests", _] | ["xtask", "tests", _] => true,
        _ => false,
    }
}

/// The lines that are code, numbered from 1; whole-line comments are left out.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_keeps_the_rules() {
        crate::assert_none(&check(&crate::workspace_root()).unwrap());
    }

    fn problems(place: &str, text: &str) -> usize {
        check_file(place, text).len()
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(problems("crates/core/src/state.rs", &"\n".repeat(MAX_LINES)), 0);
        assert_eq!(problems("crates/core/src/state.rs", &"\n".repeat(MAX_LINES + 1)), 1);
    }

    #[test]
    fn a_crate_root_says_what_it_is_for() {
        assert_eq!(problems("crates/core/src/lib.rs", "fn f() {}"), 1);
        assert_eq!(problems("crates/augur/tests/system.rs", "fn f() {}"), 1);
        assert_eq!(problems("crates/core/src/lib.rs", "//! The core.\n"), 0);
        assert_eq!(problems("crates/core/src/state.rs", "fn f() {}"), 0);
    }

    #[test]
    fn unfinished_code_is_found_but_not_in_comments() {
        let todo = concat!("todo", "!()");
        assert_eq!(problems("crates/api/src/a.rs", &format!("fn f() {{ {todo} }}")), 1);
        assert_eq!(problems("crates/api/src/a.rs", &format!("// no {todo} here")), 0);
    }

    #[test]
    fn a_clock_in_a_pure_crate_is_found() {
        assert_eq!(problems("crates/core/src/a.rs", "use std::time::Instant;"), 1);
        assert_eq!(problems("crates/forest/src/a.rs", "let t = SystemTime::now();"), 1);
        assert_eq!(problems("crates/forest/src/a.rs", "let f = std::fs::read(p);"), 1);
        assert_eq!(problems("crates/core/src/a.rs", "use std::time::Duration;"), 0);
        assert_eq!(problems("crates/api/src/a.rs", "use std::time::Instant;"), 0);
        // Tests and benchmarks of a pure crate may read fixtures and take times.
        assert_eq!(problems("crates/core/tests/a.rs", "//! T.\nuse std::time::Instant;"), 0);
    }
}
