//! What the documents tell people to type is what the command line takes.

use std::path::Path;

use clap::Parser;

use crate::cli::Cli;

/// The commands `augur …` in fenced `sh` blocks, also behind `kubectl exec … --`.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut shell = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            shell = language == "sh";
        } else if shell {
            let line = line.split(" # ").next().unwrap_or_default();
            let line = line.replace("cargo run --release -- ", "augur ");
            let line = line.split_once(" -- augur ").map_or(line.clone(), |(_, rest)| format!("augur {rest}"));
            if line.trim().starts_with("augur ") {
                let words = line.split_whitespace().map(|word| word.trim_matches(['\'', '"']).to_owned());
                found.push(words.take_while(|word| !matches!(word.as_str(), "|" | "&&" | "&" | ">")).collect());
            }
        }
    }
    found
}

#[test]
fn commands_of_the_documents_are_taken() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tried = 0;
    for page in ["README.md", "docs/user-guide.md", "docs/runbook.md", "docs/security.md", "docs/troubleshooting.md"] {
        for command in commands(&std::fs::read_to_string(root.join(page)).unwrap()) {
            if let Err(error) = Cli::try_parse_from(&command) {
                panic!("{page}: {}: {error}", command.join(" "));
            }
            tried += 1;
        }
    }
    assert!(tried >= 5, "only {tried} commands found");
}

#[test]
fn commands_of_the_chart_and_compose_are_taken() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let base = std::fs::read_to_string(root.join("deploy/kustomize/base/augur.yaml")).unwrap();
    let mut lists: Vec<Vec<String>> = Vec::new();
    for line in base.lines() {
        let line = line.trim();
        if line == "- args:" {
            lists.push(vec!["augur".to_owned()]);
        } else if let (Some(argument), Some(list)) = (line.strip_prefix("- "), lists.last_mut()) {
            let ends = ["scheduler", "learner"].contains(&argument) || argument.starts_with("--");
            if ends {
                list.push(argument.to_owned());
            }
        }
    }
    assert_eq!(lists.len(), 2, "{lists:?}");
    for list in lists {
        if let Err(error) = Cli::try_parse_from(&list) {
            panic!("{}: {error}", list.join(" "));
        }
    }
}
