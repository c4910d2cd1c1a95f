#!/usr/bin/env bash
# Shows a running system (`augur up`) at work: a deployment is placed, explained, and judged.
#   scripts/demo.sh [SCHEDULER_URL] [LEARNER_URL] [KUBECONFIG]
set -euo pipefail
scheduler=${1:-http://127.0.0.1:8080}
learner=${2:-http://127.0.0.1:5000}
export KUBECONFIG=${3:-${KUBECONFIG:-./augur-data/kubeconfig}}
kubectl=${AUGUR_KUBECTL:-kubectl}
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }

say "1. The cluster"
show "$kubectl" get nodes | awk "NR <= 8"
say "2. A deployment, placed by Augur"
show "$kubectl" create deployment demo --image=demo:1 --replicas=3
show "$kubectl" rollout status deployment/demo --timeout=60s
show "$kubectl" get pods -l app=demo -o wide
pod=$("$kubectl" get pods -l app=demo -o jsonpath='{.items[0].metadata.name}')
say "3. Why that node?"
show curl -sS "$scheduler/api/v1/pods/default/$pod/explain" | cut -c1-1500
echo
say "4. Where would a bigger pod go? (binds nothing)"
show curl -sS -X POST "$learner/predict" -H 'Content-Type: application/json' -d '{"pod_name":"bigger","pod_namespace":"default",
  "pod_spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"2","memory":"4Gi"}}}]}}' | cut -c1-600
echo
say "5. How well does it do?"
show curl -sS "$learner/performance" | cut -c1-600
echo
say "6. Clean up"
show "$kubectl" delete deployment demo
echo
echo "Summary: 3 pods placed and explained, 1 dry run, nothing left behind."
