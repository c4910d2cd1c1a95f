//! The README asks for exactly two set-up commands: one that runs the main job, one that runs the tests.

use std::fs;
use std::path::Path;

use crate::Violation;

/// The two commands.
pub const COMMANDS: [&str; 2] = ["cargo run --release -- up", "cargo test --workspace"];

/// First words of a line that would be a further step of setting up.
const SET_UP_WORDS: &[&str] = &[
    "cargo", "rustup", "make", "just", "pip", "npm", "apt", "apt-get", "brew", "docker", "git", "sudo", "source", "sh",
    "bash",
];

/// Runs the check over the README of the checkout at `root`.
///
/// # Errors
/// When there is no README.
pub fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let text = fs::read_to_string(root.join("README.md")).map_err(|e| format!("README.md: {e}"))?;
    Ok(check_text(&text))
}

fn check_text(text: &str) -> Vec<Violation> {
    let commands = commands(text);
    let mut found: Vec<_> = COMMANDS
        .iter()
        .filter(|wanted| !commands.iter().any(|command| command == *wanted))
        .map(|wanted| Violation::new("README.md", format!("does not show the command `{wanted}`")))
        .collect();
    for command in commands {
        // What one may try with the main job's own command line is use, not set-up.
        let use_of_main_job = command.starts_with("cargo run --release -- ");
        let first = command.split_whitespace().next().unwrap_or_default();
        if !use_of_main_job && SET_UP_WORDS.contains(&first) && !COMMANDS.contains(&command) {
            found.push(Violation::new("README.md", format!("asks for a third set-up command: `{command}`")));
        }
    }
    found
}

/// The commands in fenced blocks, without prompt and trailing comment.
fn commands(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let line = line.trim().trim_start_matches("$ ");
            let line = line.split_once(" #").map_or(line, |(command, _)| command).trim();
            if !line.is_empty() && !line.starts_with('#') {
                commands.push(line);
            }
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Augur\n```sh\ncargo run --release -- up   # the main job\n$ cargo test --workspace\n```\n";

    #[test]
    fn the_readme_has_exactly_two_set_up_commands() {
        crate::assert_none(&check(&crate::workspace_root()).unwrap());
    }

    #[test]
    fn a_missing_command_is_found() {
        crate::assert_none(&check_text(GOOD));
        assert_eq!(check_text(&GOOD.replace("--workspace", "")).len(), 2);
        assert_eq!(check_text("cargo run --release -- up\ncargo test --workspace\n").len(), 2, "prose is no command");
    }

    #[test]
    fn a_third_set_up_command_is_found_but_use_of_the_product_is_not() {
        assert_eq!(check_text(&format!("{GOOD}```\nmake install\n```\n")).len(), 1);
        crate::assert_none(&check_text(&format!(
            "{GOOD}```\ncargo run --release -- up --scenario small\nkubectl get nodes\n```\n"
        )));
    }
}
