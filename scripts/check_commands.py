#!/usr/bin/env python3
"""Checks the kubectl and helm lines that the documents tell people to type: scripts/check_commands.py KUBECTL HELM

Lines are those of fenced `sh` blocks. A `helm install` or `helm upgrade` is rendered with the chart it names; of the others the
command and each flag have to be in the program's own help. The lines of `docker` are run by scripts/test_compose.sh."""

import pathlib
import shlex
import subprocess
import sys

PAGES = ["README.md", *sorted(str(page) for page in pathlib.Path("docs").glob("*.md"))]
# Ends of a simple command in a line.
ENDS = {"|", "||", "&&", "&", ";", ">", "<"}
# Words that stand for the user's own.
PLACEHOLDERS = {"NS": "augur", "NODE": "node-1", "POD": "pod-1"}


def lines(text):
    shell = False
    joined = ""
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            shell = line.strip() == "```sh"
        elif shell:
            joined += line.strip().removesuffix("\\") + " "
            if not line.rstrip().endswith("\\"):
                yield joined.strip()
                joined = ""


def commands(line):
    """The simple commands of a line that are of one of the two programs."""
    words, command = shlex.split(line, comments=True), []
    for word in [*words, ";"]:
        if word in ENDS:
            if command and command[0] in ("kubectl", "helm"):
                yield command
            command = []
        else:
            command.append(PLACEHOLDERS.get(word, word))


def output(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def wrong(programs, command):
    """What is wrong with a command; None if nothing is."""
    program, words = programs[command[0]], command[1:]
    if command[0] == "helm" and words[0] in ("install", "upgrade"):
        code, text = output([program, "template", *[word for word in words[1:] if word not in ("--create-namespace", "--install")]])
        return text if code else None
    if "--" in words:
        words = words[: words.index("--")]
    _, general = output([program, "options"] if command[0] == "kubectl" else [program, "--help"])
    known = {"-n"}
    subcommand = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("-n", "--namespace", "--context", "--kubeconfig", "-f"):
            rest[:1] = []
        elif not word.startswith("-"):
            code, _ = output([program, *subcommand, word, "--help"])
            if code or len(subcommand) == 3:
                break
            subcommand.append(word)
    if not subcommand:
        return "no such command"
    texts = [general]
    for depth in range(1, len(subcommand) + 1):
        code, text = output([program, *subcommand[:depth], "--help"])
        if code:
            return text
        texts.append(text)
    help_text = "\n".join(texts)
    for word in words:
        flag = word.split("=")[0]
        if flag.startswith("-") and flag not in known and flag not in help_text:
            return f"{' '.join(subcommand)} has no {flag}"
    return None


def main():
    programs = {"kubectl": sys.argv[1], "helm": sys.argv[2]}
    tried, bad = 0, 0
    for page in PAGES:
        for line in lines(pathlib.Path(page).read_text(encoding="utf-8")):
            for command in commands(line):
                if command[:2] == ["kubectl", "augur"]:
                    continue  # The plugin's own tests take these.
                tried += 1
                if error := wrong(programs, command):
                    bad += 1
                    print(f"{page}: {shlex.join(command)}: {error.strip()}")
    print(f"{tried} commands of the documents tried, {bad} of them wrong")
    # A page that lost its blocks would otherwise pass for one in order.
    return 1 if bad or tried < 10 else 0


if __name__ == "__main__":
    sys.exit(main())
