#!/usr/bin/env python3
"""Turns what `helm template` writes (standard input) into what Kustomize starts from (standard output), sorted, without Helm's
own labels: scripts/check_deploy.sh keeps deploy/kustomize/base/augur.yaml equal to it, and each overlay equal to the chart
with the values that the overlay stands for."""
import sys

import yaml


def plain(node):
    """Drops Helm's labels, and what only tells that a ConfigMap changed."""
    if isinstance(node, dict):
        dropped = ("helm.sh/chart", "app.kubernetes.io/managed-by", "checksum/config")
        made = {key: plain(value) for key, value in node.items() if key not in dropped}
        return {key: value for key, value in made.items() if key != "annotations" or value}
    return [plain(item) for item in node] if isinstance(node, list) else node


def main():
    objects = [plain(document) for document in yaml.safe_load_all(sys.stdin) if document]
    if "--without-namespace" in sys.argv:
        objects = [each for each in objects if each["kind"] != "Namespace"]
    objects.sort(key=lambda each: (each["kind"], each["metadata"]["name"]))
    print("# Made from the Helm chart by scripts/check_deploy.sh --write; do not edit.")
    yaml.safe_dump_all(objects, sys.stdout, sort_keys=True, width=110)


main()
