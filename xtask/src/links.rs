//! Links in Markdown files that stay within the checkout lead somewhere: the file exists, and so does the heading.
//! Start at [`check`].

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Violation;

/// Runs the check over `*.md` at `root` and below `docs`.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let mut found = Vec::new();
    for file in files(root)? {
        let text = read(&file)?;
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match path {
                "" => file.clone(),
                path => file.parent().unwrap_or(root).join(path),
            };
            if !target.exists() {
                found.push(Violation::new(&name, format!("links to {link}, which does not exist")));
            } else if !anchor.is_empty() && !anchors(&read(&target)?).contains(anchor) {
                found.push(Violation::new(&name, format!("links to {link}, where no heading is called so")));
            }
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Markdown files at the root and below `docs`.
fn files(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf(), root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))? {
            let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
            if path.is_dir() && folder != root {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Lines outside fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of `[text](target)`, code left out.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let without_code: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        for part in without_code.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// What headings are called in links: lower case, hyphens for spaces, no other punctuation, as GitHub does it.
fn anchors(text: &str) -> BTreeSet<String> {
    let heading = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    prose(text).filter(|line| line.starts_with('#')).map(heading).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_checkout_lead_somewhere() {
        crate::assert_none(&check(&crate::workspace_root()).unwrap());
    }

    #[test]
    fn every_alert_has_its_section_in_the_runbook() {
        let root = crate::workspace_root();
        let sections = anchors(&read(&root.join("docs/runbook.md")).unwrap());
        let alerts = read(&root.join("deploy/prometheus/alerts.yaml")).unwrap();
        let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        assert!(names.len() >= 7, "{names:?}");
        for name in names {
            let anchor = name.to_lowercase();
            assert!(sections.contains(&anchor), "{name} has no section");
            assert!(alerts.contains(&format!("docs/runbook.md#{anchor}")), "{name} does not name its section");
        }
    }

    #[test]
    fn broken_links_and_anchors_are_found() {
        let folder = std::env::temp_dir().join(format!("augur-links-{}", std::process::id()));
        fs::create_dir_all(folder.join("docs")).unwrap();
        fs::write(folder.join("docs/b.md"), "# Two words, and `code`\n").unwrap();
        let text = "[a](docs/b.md) [b](docs/b.md#two-words-and-code) [c](docs/c.md) [d](docs/b.md#three) `[e](f)`\n\
                    ```\n[g](h)\n```\n[i](https://example.com)\n";
        fs::write(folder.join("a.md"), text).unwrap();
        let found = check(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
