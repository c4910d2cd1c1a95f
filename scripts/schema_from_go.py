#!/usr/bin/env python3
"""Writes crates/apiserver/src/schema/types.txt: names, wire types and list semantics of the Kubernetes API types.

    schema_from_go.py KUBERNETES_CHECKOUT > crates/apiserver/src/schema/types.txt

Only facts are taken from the Go sources (never their sentences): the JSON names of fields, their types, and the markers
of patch strategies, merge keys, list types and defaults, and the numbers in protobuf. The format is described in crates/apiserver/src/schema/table.rs.
"""

import pathlib
import re
import sys

# Group and version as the table calls them, and the directory below staging/src/k8s.io that declares their types.
PACKAGES = {"meta.v1": "apimachinery/pkg/apis/meta/v1"} | {
    f"{group}.v1": f"api/{group}/v1"
    for group in (
        "core apps batch policy coordination scheduling storage events discovery rbac resource authorization"
        " authentication autoscaling networking node"
    ).split()
}

# The kinds that are wanted; everything that they refer to follows.
ROOTS = {
    "core.v1": "Pod Node Namespace Event ConfigMap Secret Service Endpoints ServiceAccount PersistentVolume"
    " PersistentVolumeClaim ReplicationController ResourceQuota LimitRange Binding PodTemplate",
    "apps.v1": "Deployment ReplicaSet StatefulSet DaemonSet ControllerRevision",
    "batch.v1": "Job CronJob",
    "policy.v1": "PodDisruptionBudget Eviction",
    "coordination.v1": "Lease",
    "scheduling.v1": "PriorityClass",
    "storage.v1": "StorageClass CSINode CSIDriver CSIStorageCapacity VolumeAttachment VolumeAttributesClass",
    "events.v1": "Event",
    "discovery.v1": "EndpointSlice",
    "rbac.v1": "Role RoleBinding ClusterRole ClusterRoleBinding",
    "resource.v1": "ResourceClaim ResourceClaimTemplate ResourceSlice DeviceClass",
    "authorization.v1": "SelfSubjectAccessReview SubjectAccessReview LocalSubjectAccessReview SelfSubjectRulesReview",
    "authentication.v1": "TokenReview TokenRequest SelfSubjectReview",
    "autoscaling.v1": "Scale",
    "node.v1": "RuntimeClass",
    "networking.v1": "Ingress IngressClass NetworkPolicy",
    "meta.v1": "Status ListMeta DeleteOptions",
}

# How the sources call the packages that they import.
IMPORTS = {"metav1": "meta.v1"} | {name: "core.v1" for name in "apiv1 k8s_api_v1 v1 corev1 core api".split()}
FOREIGN = {"resource", "intstr", "runtime", "types"}

WIRES = {
    "string": "s", "bool": "b", "int32": "i32", "int64": "i64", "int": "i64", "uint8": "i32", "uint16": "i32",
    "int16": "i32", "float64": "f64", "byte": "byte", "interface{}": "any", "types.UID": "s:types.UID",
    "meta.v1.Time": "t", "meta.v1.MicroTime": "mt", "meta.v1.Duration": "dur", "meta.v1.FieldsV1": "any",
    "resource.Quantity": "q", "intstr.IntOrString": "ios", "runtime.RawExtension": "any", "runtime.Object": "any",
}  # fmt: skip

STRUCT = re.compile(r"type (\w+) struct \{\s*(\})?")
ALIAS = re.compile(r"type (\w+) (?:=\s*)?([\w\[\]\.\*]+)\s*(?://.*)?$")
FIELD = re.compile(r"(?:(\w+)\s+)?([\w\[\]\.\*]+(?:\{\})?)\s+`(.*)`")
MAP = re.compile(r"map\[([\w\.]+)\](.*)")


def declarations(package, directory):
    """Yields every declared name with the lines of its struct and the comments before it, or with the type it stands for."""
    for path in sorted(directory.glob("*.go")):
        if path.name.endswith("_test.go") or "generated" in path.name:
            continue
        lines = iter(path.read_text(encoding="utf-8").split("\n"))
        comments = []
        for line in lines:
            struct, alias = STRUCT.match(line), ALIAS.match(line)
            if line.startswith("//"):
                comments.append(line)
                continue
            if struct:
                body = []
                if not struct[2]:
                    while not (inner := next(lines)).startswith("}"):
                        body.append(inner.strip())
                yield f"{package}.{struct[1]}", (body, comments, None)
            elif alias and alias[2] not in ("interface", "struct"):
                yield f"{package}.{alias[1]}", (None, None, alias[2])
            comments = []


class Table:
    """The declarations of a checkout, and what is to be written of them."""

    def __init__(self, checkout):
        staging = pathlib.Path(checkout) / "staging/src/k8s.io"
        self.declared = {}
        for package, directory in PACKAGES.items():
            self.declared |= dict(declarations(package, staging / directory))

    def write(self):
        """Prints the table."""
        todo = [f"{package}.{name}" for package, names in ROOTS.items() for name in names.split()]
        done = {}
        while todo:
            full = todo.pop(0)
            if full not in done:
                more = []
                atomic = " at" if any(is_atomic(comment) for comment in self.declared[full][1]) else ""
                done[full] = (atomic, self.fields(full, more))
                todo = more + todo
        for full, (atomic, rows) in sorted(done.items()):
            print(f"# {full} {shown(full)}{atomic}", *rows, sep="\n")

    def fields(self, full, todo, number=""):
        """The rows of a struct's fields; the structs that they refer to are added to `todo`.

        `number` is put before the numbers of the fields in protobuf: that of the struct where it is embedded, and a dot;
        None if the struct is embedded without a number, as its fields then are not in the message.
        """
        package = full.rsplit(".", 1)[0]
        rows, marks = [], []
        for line in self.declared[full][0]:
            if line.startswith("//"):
                if mark := re.match(r"//\s*\+(.*)", line):
                    marks.append(mark[1].strip())
                continue
            if field := FIELD.match(line):
                rows += self.field(package, number, *field.groups(), marks, todo)
            marks = []
        return rows

    def field(self, package, number, name, go, tags, marks, todo):
        """The row of one field, or those of the struct that it embeds."""
        own = re.search(r'protobuf:"[^,"]*,(\d+)', tags)
        number = number + own[1] if own and number is not None else None
        tag = re.search(r'json:"([^"]*)"', tags)
        json_name, *options = (tag[1] if tag else "").split(",")
        if "inline" in options or (tag and not json_name and name is None):
            return self.fields(resolve(package, go.lstrip("*")), todo, number and number + ".")
        if json_name in ("", "-"):
            return []
        required = "required" in marks or ("omitempty" not in options and "optional" not in marks)
        flags = (
            "p" * go.startswith("*") + "o" * ("omitempty" in options) + "z" * ("omitzero" in options) + "r" * required
        )
        numbered = [f"n={number}"] if number else []
        return [" ".join([json_name, self.wire(package, go, todo), flags or "-", *semantics(tags, marks), *numbered])]

    def wire(self, package, go, todo):
        """The wire type of a Go type."""
        go = go.lstrip("*")
        if go == "[]byte":
            return "bytes"
        if go.startswith("[]"):
            return "[]" + self.wire(package, go[2:], todo)
        if mapping := MAP.match(go):
            return "{}" + self.wire(package, mapping[2], todo)
        full = go if go in WIRES else resolve(package, go)
        if full in WIRES:
            return WIRES[full]
        stands_for = self.declared[full][2]
        if stands_for is None:
            todo.append(full)
            return "@" + full
        base = self.wire(full.rsplit(".", 1)[0], stands_for, todo)
        if base.startswith("@") or base in ("q", "t", "any", "dur"):
            return base
        if base.startswith("s"):
            return "s:" + shown(full)
        return f"<{shown(full)}>{base}" if base.startswith(("[]", "{}")) else base


def semantics(tags, marks):
    """How lists and maps are merged, and defaults."""
    extra = []
    for short, name in (("ps", "patchStrategy"), ("mk", "patchMergeKey")):
        if value := re.search(rf'{name}:"([^"]*)"', tags):
            extra.append(f"{short}={value[1]}")
    keys = []
    for mark in marks:
        name, _, value = mark.partition("=")
        if name == "listMapKey":
            keys.append(value)
        elif name == "listType":
            extra.append("lt=" + value)
        elif is_atomic(mark):
            extra.append("at")
        elif mark in ("structType=granular", "mapType=granular"):
            extra.append("gr")
        elif name == "default" and (value.startswith('"') or value.isdigit()):
            extra.append("d=" + value.strip('"'))
    return extra + (["lk=" + ",".join(keys)] if keys else [])


def is_atomic(mark):
    return re.search(r"(structType|mapType)=atomic", mark) is not None


def resolve(package, name):
    """The full name of a type as a package calls it."""
    alias, dot, base = name.partition(".")
    if not dot:
        return f"{package}.{name}"
    return name if alias in FOREIGN else f"{IMPORTS[alias]}.{base}"


def shown(full):
    """The name that Go's error texts show."""
    package, name = full.rsplit(".", 1)
    return f"v1.{name}" if package in PACKAGES else full


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Table(sys.argv[1]).write()
