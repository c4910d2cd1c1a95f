#!/usr/bin/env python3
"""Writes crates/apiserver/src/schema/types.txt: names, wire types and list semantics of the Kubernetes API types.

Only facts are taken from the Go sources (never their sentences):  schema_from_go.py KUBERNETES_CHECKOUT > types.txt
The format is described in crates/apiserver/src/schema/table.rs.
"""
import os
import re
import sys

ROOT = sys.argv[1]
API = os.path.join(ROOT, "staging/src/k8s.io/api")
MACH = os.path.join(ROOT, "staging/src/k8s.io/apimachinery/pkg")

PACKAGES = {  # our id -> (directory, the Go package name that error texts show)
    "meta.v1": (os.path.join(MACH, "apis/meta/v1"), "v1"),
    "core.v1": (os.path.join(API, "core/v1"), "v1"),
    "apps.v1": (os.path.join(API, "apps/v1"), "v1"),
    "batch.v1": (os.path.join(API, "batch/v1"), "v1"),
    "policy.v1": (os.path.join(API, "policy/v1"), "v1"),
    "coordination.v1": (os.path.join(API, "coordination/v1"), "v1"),
    "scheduling.v1": (os.path.join(API, "scheduling/v1"), "v1"),
    "storage.v1": (os.path.join(API, "storage/v1"), "v1"),
    "events.v1": (os.path.join(API, "events/v1"), "v1"),
    "discovery.v1": (os.path.join(API, "discovery/v1"), "v1"),
    "rbac.v1": (os.path.join(API, "rbac/v1"), "v1"),
    "resource.v1": (os.path.join(API, "resource/v1"), "v1"),
    "authorization.v1": (os.path.join(API, "authorization/v1"), "v1"),
    "authentication.v1": (os.path.join(API, "authentication/v1"), "v1"),
    "autoscaling.v1": (os.path.join(API, "autoscaling/v1"), "v1"),
    "networking.v1": (os.path.join(API, "networking/v1"), "v1"),
    "node.v1": (os.path.join(API, "node/v1"), "v1"),
}
ROOTS = """core.v1: Pod Node Namespace Event ConfigMap Secret Service Endpoints ServiceAccount PersistentVolume
PersistentVolumeClaim ReplicationController ResourceQuota LimitRange Binding PodTemplate
apps.v1: Deployment ReplicaSet StatefulSet DaemonSet ControllerRevision
batch.v1: Job CronJob
policy.v1: PodDisruptionBudget Eviction
coordination.v1: Lease
scheduling.v1: PriorityClass
storage.v1: StorageClass CSINode CSIDriver CSIStorageCapacity VolumeAttachment VolumeAttributesClass
events.v1: Event
discovery.v1: EndpointSlice
rbac.v1: Role RoleBinding ClusterRole ClusterRoleBinding
resource.v1: ResourceClaim ResourceClaimTemplate ResourceSlice DeviceClass
authorization.v1: SelfSubjectAccessReview SubjectAccessReview LocalSubjectAccessReview SelfSubjectRulesReview
authentication.v1: TokenReview TokenRequest SelfSubjectReview
autoscaling.v1: Scale
node.v1: RuntimeClass
networking.v1: Ingress IngressClass NetworkPolicy
meta.v1: Status ListMeta DeleteOptions"""
IMPORTS = {"apiv1": "core.v1", "k8s_api_v1": "core.v1", "metav1": "meta.v1", "v1": "core.v1", "corev1": "core.v1", "core": "core.v1", "api": "core.v1"}
SPECIAL = {"meta.v1.Time": "t", "meta.v1.MicroTime": "mt", "meta.v1.Duration": "dur", "meta.v1.FieldsV1": "any",
           "resource.Quantity": "q", "intstr.IntOrString": "ios", "runtime.RawExtension": "any",
           "runtime.Object": "any"}
PRIM = {"string": "s", "bool": "b", "int32": "i32", "int64": "i64", "int": "i64", "uint8": "i32", "float64": "f64",
        "byte": "byte", "types.UID": "s:types.UID", "interface{}": "any", "uint16": "i32", "int16": "i32"}

decls = {}  # id -> ("struct", [lines]) | ("alias", go type)


def load(pkg, directory):
    for name in sorted(os.listdir(directory)):
        if not name.endswith(".go") or name.endswith("_test.go") or "generated" in name:
            continue
        lines = open(os.path.join(directory, name), encoding="utf-8").read().split("\n")
        i = 0
        comment = []
        while i < len(lines):
            line = lines[i]
            m = re.match(r"type (\w+) struct \{\s*(\})?", line)
            a = re.match(r"type (\w+) (=\s*)?([\w\[\]\.\*]+)\s*(//.*)?$", line)
            if line.startswith("//"):
                comment.append(line)
            elif m:
                body = []
                if not m.group(2):
                    i += 1
                    while not lines[i].startswith("}"):
                        body.append(lines[i].strip())
                        i += 1
                decls[f"{pkg}.{m.group(1)}"] = ("struct", body, [c for c in comment if "+" in c])
                comment = []
            elif a and a.group(3) not in ("interface", "struct"):
                decls[f"{pkg}.{a.group(1)}"] = ("alias", a.group(3))
                comment = []
            else:
                comment = []
            i += 1
        # grouped declarations: type ( X struct {...} ) do not occur in the packages above


for pkg, (directory, _) in PACKAGES.items():
    load(pkg, directory)

emitted, out = set(), []


def resolve(pkg, name):
    if "." in name:
        alias, base = name.split(".")
        if alias in ("resource", "intstr", "runtime", "types"):
            return name
        return f"{IMPORTS[alias]}.{base}"
    return f"{pkg}.{name}"


def show(full):
    """The Go name in error texts."""
    pkg, name = full.rsplit(".", 1)
    return f"{PACKAGES[pkg][1]}.{name}" if pkg in PACKAGES else full


def wire(pkg, go, todo):
    go = go.lstrip("*")
    if go == "[]byte":
        return "bytes"
    if go.startswith("[]"):
        return "[]" + wire(pkg, go[2:], todo)
    m = re.match(r"map\[([\w\.]+)\](.*)", go)
    if m:
        return "{}" + wire(pkg, m.group(2), todo)
    if go in PRIM:
        return PRIM[go]
    full = resolve(pkg, go)
    if full in SPECIAL:
        return SPECIAL[full]
    if full in PRIM:
        return PRIM[full]
    kind = decls[full]
    if kind[0] == "alias":
        base = wire(full.rsplit(".", 1)[0], kind[1], todo)
        if base.startswith("@") or base in ("q", "t", "any", "dur"):
            return base
        if base.startswith("s"):
            return "s:" + show(full)
        if base.startswith(("[]", "{}")):
            return f"<{show(full)}>{base}"
        return base
    todo.append(full)
    return "@" + full


def fields(full, todo):
    pkg = full.rsplit(".", 1)[0]
    rows, marks = [], []
    for line in decls[full][1]:
        if line.startswith("//"):
            m = re.match(r"//\s*\+(.*)", line)
            if m:
                marks.append(m.group(1).strip())
            continue
        if not line:
            marks = []
            continue
        m = re.match(r"(?:(\w+)\s+)?([\w\[\]\.\*]+(?:\{\})?)\s+`(.*)`", line)
        if not m:
            marks = []
            continue
        _, go, tags = m.groups()
        js = re.search(r'json:"([^"]*)"', tags)
        parts = (js.group(1) if js else "").split(",")
        if "inline" in parts or (js and parts[0] == "" and m.group(1) is None):
            rows += fields(resolve(pkg, go.lstrip("*")), todo)
            marks = []
            continue
        if not parts[0] or parts[0] == "-":
            marks = []
            continue
        flags = ""
        if go.startswith("*"):
            flags += "p"
        if "omitempty" in parts:
            flags += "o"
        if "omitzero" in parts:
            flags += "z"
        if "required" in marks or ("omitempty" not in parts and "optional" not in marks):
            flags += "r"
        extra = []
        strategy = re.search(r'patchStrategy:"([^"]*)"', tags)
        key = re.search(r'patchMergeKey:"([^"]*)"', tags)
        if strategy:
            extra.append("ps=" + strategy.group(1))
        if key:
            extra.append("mk=" + key.group(1))
        keys = [x.split("=", 1)[1] for x in marks if x.startswith("listMapKey=")]
        for x in marks:
            if x.startswith("listType="):
                extra.append("lt=" + x.split("=", 1)[1])
            if x.startswith(("structType=atomic", "mapType=atomic")):
                extra.append("at")
            if x.startswith("default="):
                value = x.split("=", 1)[1]
                if value.startswith('"') or value.isdigit():
                    extra.append("d=" + value.strip('"'))
        if keys:
            extra.append("lk=" + ",".join(keys))
        rows.append(" ".join([parts[0], wire(pkg, go, todo), flags or "-", *extra]))
        marks = []
    return rows


todo = []
for line in ROOTS.replace("\n", " ").split(" "):
    if line.endswith(":"):
        current = line[:-1]
    elif line:
        todo.append(f"{current}.{line}")
ordered = []
while todo:
    full = todo.pop(0)
    if full in emitted:
        continue
    emitted.add(full)
    more = []
    atomic = " at" if any("structType=atomic" in c or "mapType=atomic" in c for c in decls[full][2]) else ""
    ordered.append((full, atomic, fields(full, more)))
    todo = more + todo
for full, atomic, rows in sorted(ordered):
    print(f"# {full} {show(full)}{atomic}")
    print("\n".join(rows))
