#!/usr/bin/env python3
"""Whether a bill of materials is valid and whole: scripts/check_sbom.py SBOM.json

It has to follow CycloneDX's own schema (Python package cyclonedx-python-lib, extra json-validation), and name exactly the packages
that `cargo tree` names for the program."""
import json
import pathlib
import subprocess
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    sbom = json.loads(text)
    version = SchemaVersion["V" + sbom["specVersion"].replace(".", "_")]
    wrong = JsonStrictValidator(version).validate_str(text)
    if wrong:
        sys.exit(f"{sys.argv[1]} is no CycloneDX {sbom['specVersion']}: {wrong}")
    named = {(each["name"], each["version"]) for each in sbom["components"] if each["type"] == "library"}
    tree = ["cargo", "tree", "--locked", "--package", "augur", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]
    lines = subprocess.run(tree, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    wanted = {(name, version.removeprefix("v")) for name, version in (line.split()[:2] for line in lines if line)}
    if named != wanted:
        sys.exit(f"missing: {sorted(wanted - named)}, too many: {sorted(named - wanted)}")
    anonymous = [each["name"] for each in sbom["components"] if each["type"] == "library" and not each.get("purl")]
    if anonymous:
        sys.exit(f"without a package URL: {anonymous}")
    program = sbom["metadata"]["component"]
    print(f"CycloneDX {sbom['specVersion']}, valid: {len(named)} packages of {program['name']} {program['version']}")


main()
