//! Completion in shells and the manual page, made from the command line's own description.

use std::path::Path;

use anyhow::Context;
use clap::{Command, CommandFactory};

use crate::cli::{Cli, Shell};

/// What kubectl runs for completion of `kubectl augur …`, from a program of the name `kubectl_complete-augur` on the path.
const KUBECTL: &str = "#!/bin/sh\n# Completion of `kubectl augur`: put this on the path as kubectl_complete-augur, executable.\n\
    exec kubectl-augur __complete \"$@\"\n";
/// Directives at the end, as kubectl's own completion knows them.
const FILES_TOO: &str = ":0";
const NO_FILES: &str = ":4";

/// The script of a shell.
pub fn script(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Powershell => clap_complete::Shell::PowerShell,
        Shell::Elvish => clap_complete::Shell::Elvish,
        Shell::Kubectl => return KUBECTL.to_owned(),
    };
    let mut text = Vec::new();
    // The name of the program, not that of `kubectl augur`, is what a shell completes.
    let mut command = Cli::command().bin_name("kubectl-augur");
    clap_complete::generate(shell, &mut command, "kubectl-augur", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The manual page of `kubectl augur` itself.
///
/// # Errors
/// When it cannot be written, which memory always can.
pub fn page() -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    Ok(page)
}

/// Writes the pages of all commands into a folder.
///
/// # Errors
/// When the folder cannot be written.
pub fn pages(folder: &Path) -> anyhow::Result<()> {
    let write = || clap_mangen::generate_to(Cli::command(), folder);
    write().with_context(|| format!("cannot write pages into {}", folder.display()))
}

/// What can stand in place of the last word, a line each with what it is, and the directive last.
pub fn candidates(words: &[String]) -> String {
    let mut root = Cli::command();
    root.build();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut command = &root;
    let mut value_of = None;
    for word in before {
        value_of = takes_value(command, word);
        if let Some(sub) = command.find_subcommand(word) {
            command = sub;
        }
    }
    let mut lines = Vec::new();
    let mut directive = NO_FILES;
    let mut offer = |text: String, help: Option<String>| {
        if text.starts_with(last) {
            lines.push(help.map_or_else(|| text.clone(), |help| format!("{text}\t{help}")));
        }
    };
    match value_of {
        Some(arg) => {
            let values = arg.get_possible_values();
            if values.is_empty() && matches!(arg.get_id().as_str(), "filename" | "kubeconfig" | "token_file" | "dir") {
                directive = FILES_TOO;
            }
            values
                .iter()
                .for_each(|value| offer(value.get_name().to_owned(), value.get_help().map(ToString::to_string)));
        }
        None if last.starts_with('-') => {
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                if let Some(long) = arg.get_long() {
                    offer(format!("--{long}"), arg.get_help().map(first_sentence));
                }
            }
        }
        None => {
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                offer(sub.get_name().to_owned(), sub.get_about().map(first_sentence));
            }
            for arg in command.get_positionals() {
                arg.get_possible_values().iter().for_each(|value| offer(value.get_name().to_owned(), None));
            }
        }
    }
    lines.push(directive.to_owned());
    lines.join("\n") + "\n"
}

/// The flag of this word, if what follows is its value.
fn takes_value<'a>(command: &'a Command, word: &str) -> Option<&'a clap::Arg> {
    let named = |arg: &&clap::Arg| {
        arg.get_long().is_some_and(|long| word.strip_prefix("--") == Some(long))
            || arg.get_short().is_some_and(|short| word == format!("-{short}"))
    };
    command.get_arguments().find(named).filter(|arg| arg.get_action().takes_values())
}

fn first_sentence(text: &clap::builder::StyledStr) -> String {
    let text = text.to_string();
    text.split_once(". ").map_or(text.as_str(), |(first, _)| first).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        candidates(&words).lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn kubectl_is_told_commands_flags_and_values() {
        let commands = complete(&[""]);
        assert!(
            commands.contains(&"explain".to_owned()) && !commands.contains(&"__complete".to_owned()),
            "{commands:?}"
        );
        assert_eq!(complete(&["n"]), ["nodes", ":4"]);
        assert_eq!(complete(&["shadow", ""]), ["report", "help", ":4"]);
        assert_eq!(complete(&["nodes", "-o", ""]), ["json", "yaml", "wide", ":4"]);
        assert_eq!(complete(&["nodes", "--sort-by", "s"]), ["stability", ":4"]);
        assert_eq!(complete(&["what-if", "--rep"]), ["--replicas", ":4"]);
        assert_eq!(complete(&["what-if", "-f", ""]), [":0"]);
        assert!(complete(&["completion", ""]).contains(&"zsh".to_owned()));
    }

    #[test]
    fn each_shell_has_a_script_and_each_command_a_page() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Powershell, Shell::Elvish, Shell::Kubectl] {
            let script = script(shell);
            assert!(script.contains("kubectl-augur"), "{shell:?}");
        }
        let page = String::from_utf8(page().unwrap()).unwrap();
        assert!(page.contains(".TH kubectl-augur 1") && page.contains("AUGUR_URL"), "{page}");
        let folder = std::env::temp_dir().join(format!("kubectl-augur-pages-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        pages(&folder).unwrap();
        for page in ["kubectl-augur.1", "kubectl-augur-what-if.1", "kubectl-augur-shadow-report.1"] {
            assert!(folder.join(page).exists(), "{page}");
        }
        assert!(!folder.join("kubectl-augur-__complete.1").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
