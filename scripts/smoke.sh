#!/usr/bin/env bash
# Starts the main job (`augur up`) on free ports, makes every call of the contract, and stops it: scripts/smoke.sh [BINARY]
set -euo pipefail
cd "$(dirname "$0")/.."
augur=${1:-target/release/augur}
data=$(mktemp -d)
"$augur" up --scenario small --quiet --data-dir "$data" --api-port 18001 --port 18080 --learner-port 15000 &
up=$!
trap 'kill "$up" 2>/dev/null || true; wait "$up" 2>/dev/null || true; rm -rf "$data"' EXIT
for _ in $(seq 150); do
  kill -0 "$up" || { echo "augur up ended early"; exit 1; }
  if "$augur" health --url http://127.0.0.1:18080/readyz >/dev/null 2>&1; then break; fi
  sleep 0.2
done
AUGUR_PLUGIN="$(dirname "$augur")/kubectl-augur" scripts/test_system.sh http://127.0.0.1:18080 http://127.0.0.1:15000
scripts/check_metrics.py http://127.0.0.1:18080 http://127.0.0.1:15000
if [ -n "${AUGUR_PROMTOOL:-}" ]; then
  for url in http://127.0.0.1:18080/metrics http://127.0.0.1:15000/metrics; do
    curl -sS "$url" | "$AUGUR_PROMTOOL" check metrics
    echo "promtool check metrics: $url passes"
  done
else
  echo "SKIPPED: promtool check metrics (AUGUR_PROMTOOL is not set)"
fi
if [ -n "${AUGUR_KUBECTL:-}" ]; then
  scripts/demo.sh http://127.0.0.1:18080 http://127.0.0.1:15000 "$data/kubeconfig"
fi
asked=$(date +%s%N)
kill -INT "$up"
wait "$up"
echo "stopped in $((($(date +%s%N) - asked) / 1000000)) ms"
