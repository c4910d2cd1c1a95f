#!/usr/bin/env python3
"""Fails unless each pod template in the files meets the Pod Security Standard `restricted`, and the image's read-only root."""
import sys

import yaml

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def problems(spec):
    pod = spec.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield key
    for volume in spec.get("volumes", []):
        if not VOLUMES.issuperset(set(volume) - {"name"}):
            yield f"volume {volume['name']}"
    for container in spec["containers"] + spec.get("initContainers", []):
        own = {**pod, **container.get("securityContext", {})}
        name = container["name"]
        if own.get("runAsNonRoot") is not True or own.get("runAsUser", 0) < 65532:
            yield f"{name} may run as root, or under a uid below 65532"
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"{name} may gain privileges"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name} keeps capabilities"
        if own.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name} has no seccomp profile"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{name} may write to its root"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{name} takes a port of the host"
        for probe in ("livenessProbe", "readinessProbe"):
            if probe not in container:
                yield f"{name} has no {probe}"


def main():
    templates = 0
    found = []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            for document in yaml.safe_load_all(file):
                template = (document or {}).get("spec", {}).get("template")
                if template:
                    templates += 1
                    found += [f"{path}: {document['metadata']['name']}: {each}" for each in problems(template["spec"])]
    print("\n".join(found) or f"{templates} pod templates are `restricted`")
    sys.exit(bool(found) or templates == 0)


main()
