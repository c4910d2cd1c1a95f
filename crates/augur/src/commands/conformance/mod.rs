//! `augur conformance`: recorded answers of kube-scheduler 1.36 against the decision core.
//!
//! A case takes the way of a cluster's objects: wire types, conversion, cluster state, `decide`. [`compare`] holds what is asserted.

mod case;
mod compare;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::cli::ConformanceArgs;
use crate::output;

/// Differences shown of a case; the rest is counted.
const SHOWN: usize = 12;

/// Runs the cases and prints how they went; false when any failed.
///
/// # Errors
/// When the corpus cannot be read, or holds no case of the given name.
pub fn run(args: &ConformanceArgs) -> anyhow::Result<bool> {
    let mut all = (0, 0);
    for path in files(&args.corpus)? {
        let category = category(&path);
        if args.category.as_deref().is_some_and(|wanted| wanted != category) {
            continue;
        }
        let (mut passed, mut failed) = (0, 0);
        for case in read(&path)? {
            let id = case["id"].as_str().unwrap_or_default();
            if args.case.as_deref().is_some_and(|wanted| wanted != id) {
                continue;
            }
            let differences = differences(&case);
            if differences.is_empty() {
                passed += 1;
                continue;
            }
            failed += 1;
            output::line(&format!("{id}:"))?;
            for difference in differences.iter().take(SHOWN) {
                output::line(&format!("  {difference}"))?;
            }
            if differences.len() > SHOWN {
                output::line(&format!("  and {} more", differences.len() - SHOWN))?;
            }
        }
        if passed + failed > 0 {
            output::line(&format!("{category}: {passed} passed, {failed} failed"))?;
        }
        all = (all.0 + passed, all.1 + failed);
    }
    if all == (0, 0) {
        bail!("no such case in {}", args.corpus.display());
    }
    output::line(&format!("all: {} passed, {} failed", all.0, all.1))?;
    Ok(all.1 == 0)
}

/// What the core answers otherwise than kube-scheduler; empty when all is well.
fn differences(case: &Value) -> Vec<String> {
    match case::decide(case) {
        Ok((state, decision)) => compare::differences(&case["expected"], &decision, &state),
        Err(problem) => vec![problem],
    }
}

fn category(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).map_or("", |name| name.trim_end_matches(".jsonl.gz"))
}

/// The files of a corpus, by name: those in the folder, or in its `cases`.
fn files(corpus: &Path) -> anyhow::Result<Vec<PathBuf>> {
    for folder in [corpus.to_owned(), corpus.join("cases")] {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
            if path.to_str().is_some_and(|name| name.ends_with(".jsonl.gz")) {
                found.push(path);
            }
        }
        if !found.is_empty() {
            found.sort();
            return Ok(found);
        }
    }
    bail!("{} holds no *.jsonl.gz, nor does its folder cases", corpus.display())
}

fn read(path: &Path) -> anyhow::Result<impl Iterator<Item = Value>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let lines = BufReader::new(MultiGzDecoder::new(file)).lines().enumerate();
    let cases: anyhow::Result<Vec<Value>> = lines
        .map(|(number, line)| {
            let place = || format!("{}, line {}", path.display(), number + 1);
            serde_json::from_str(&line.with_context(place)?).with_context(place)
        })
        .collect();
    Ok(cases?.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_as_the_api_writes_them_are_answered_as_kube_scheduler_does() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/conformance");
        let mut wrong = Vec::new();
        for path in files(&corpus).unwrap() {
            let cases = read(&path).unwrap().map(|case| (case["id"].to_string(), differences(&case)));
            wrong.extend(cases.filter(|(_, differences)| !differences.is_empty()));
        }
        assert!(wrong.is_empty(), "{} cases differ, among them {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    }

    #[test]
    fn a_wrong_answer_is_told() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/conformance/taints.jsonl.gz");
        let mut case = read(&corpus).unwrap().find(|case| case["expected"]["scores"].is_object()).unwrap();
        assert_eq!(differences(&case), [""; 0]);
        case["expected"]["selected"] = serde_json::json!(["elsewhere"]);
        let scores = case["expected"]["scores"].as_object_mut().unwrap();
        scores.values_mut().next().unwrap()["plugins"]["TaintToleration"] = 1.into();
        let told = differences(&case);
        assert!(told.len() == 2 && told[0].starts_with("score of "), "{told:?}");
        assert!(told[1].starts_with("selected: expected one of elsewhere, got "), "{told:?}");
    }

    #[test]
    fn a_folder_without_cases_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = files(folder.path()).unwrap_err().to_string();
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    }
}
