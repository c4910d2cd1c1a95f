#!/usr/bin/env bash
# Makes every call of the HTTP contract against a running system and prints what came back: one line a call, a summary last.
#   scripts/test_system.sh [SCHEDULER_URL] [LEARNER_URL]
# AUGUR_TOKEN is sent as a bearer token where it is set.
set -uo pipefail
scheduler=${1:-http://127.0.0.1:8080}
learner=${2:-http://127.0.0.1:5000}
passed=0
failed=0
body=$(mktemp)
trap 'rm -f "$body"' EXIT

# call NAME EXPECTED-STATUSES URL [FIELDS] [curl arguments…]: the status must be one of those, the body must have the fields.
call() {
  local name=$1 expected=$2 url=$3 fields=${4:-}
  shift $(($# < 4 ? $# : 4))
  local status missing=""
  status=$(curl -sS -m 10 -o "$body" -w '%{http_code}' ${AUGUR_TOKEN:+-H "Authorization: Bearer $AUGUR_TOKEN"} "$@" "$url" 2>>"$body") || status=${status:-000}
  for field in $fields; do grep -q "\"$field\"" "$body" || missing="$missing $field"; done
  if [[ ",$expected," == *",$status,"* && -z $missing ]]; then
    passed=$((passed + 1))
    printf '  ok    %-34s %s  %s\n' "$name" "$status" "$(head -c 90 "$body" | tr -s '\n ' ' ')"
  else
    failed=$((failed + 1))
    printf '  FAIL  %-34s %s (wanted %s)%s  %s\n' "$name" "$status" "$expected" "${missing:+ lacks:$missing}" \
      "$(head -c 200 "$body" | tr -s '\n ' ' ')"
  fi
}
post() { call "$1" "$2" "$3" "$4" -X POST -H 'Content-Type: application/json' -d "$5"; }
pod='{"pod_name":"probe","pod_namespace":"default","pod_spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"250m","memory":"256Mi"}}}]}}'
prediction="predicted_node confidence reason algorithm fallback_reason model_id decision_id runner_up ai_features node_predictions"

echo "Scheduler at $scheduler"
call "GET /health" 200 "$scheduler/health" "status service version checks"
call "GET /livez" 200 "$scheduler/livez"
call "GET /readyz" 200,503 "$scheduler/readyz"
call "GET /metrics" 200 "$scheduler/metrics"
call "GET /api/v1/metrics" 200 "$scheduler/api/v1/metrics" "nodes cluster total_nodes ready_nodes avg_cpu_usage health_score"
call "GET /api/v1/nodes" 200 "$scheduler/api/v1/nodes"
node=$(curl -sS -m 10 "$scheduler/api/v1/metrics" | grep -o '"name":"[^"]*"' | head -1 | cut -d'"' -f4)
call "GET /api/v1/nodes/$node" 200 "$scheduler/api/v1/nodes/$node"
call "GET /api/v1/nodes/no-such-node" 404 "$scheduler/api/v1/nodes/no-such-node" "error code"
post "POST /api/v1/predict" 200 "$scheduler/api/v1/predict" "prediction $prediction" "$pod"
post "POST /api/v1/predict (malformed)" 400 "$scheduler/api/v1/predict" "error code" '{"pod_name":'
call "GET /api/v1/model/status" 200 "$scheduler/api/v1/model/status"
post "POST /api/v1/model/train" 202,503 "$scheduler/api/v1/model/train" "" '{}'
call "GET /api/v1/decisions" 200 "$scheduler/api/v1/decisions?limit=3"
call "GET /api/v1/usage" 200 "$scheduler/api/v1/usage?since=1h&points=8" "since until series"
post "POST /api/v1/what-if" 200 "$scheduler/api/v1/what-if" "total_pods placed pending pods nodes drained" \
  '{"workloads":[{"namespace":"default","kind":"Deployment","name":"probe","replicas":3,"template":{"spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"50m"}}}]}}}]}'
post "POST /api/v1/what-if (unknown node)" 404 "$scheduler/api/v1/what-if" "error code" '{"drain":["no-such-node"]}'
call "GET …/outlook (unknown pod)" 404 "$scheduler/api/v1/pods/default/no-such-pod/outlook" "error code"
call "GET /api/v1/workloads" 200 "$scheduler/api/v1/workloads"
call "GET /api/v1/events" 200 "$scheduler/api/v1/events" "" --max-time 1 -o /dev/null
call "GET /openapi.json" 200 "$scheduler/openapi.json" "openapi paths"
call "GET /docs" 200 "$scheduler/docs"

echo "Learner at $learner"
call "GET /health" 200 "$learner/health" "status timestamp go_backend scheduler version"
post "POST /predict" 200 "$learner/predict" "$prediction pod_requirements cluster_state features" "$pod"
predicted=$(grep -o '"predicted_node":"[^"]*"' "$body" | head -1 | cut -d'"' -f4)
decision=$(grep -o '"decision_id":"[^"]*"' "$body" | head -1 | cut -d'"' -f4)
post "POST /predict (no pod_spec)" 400,422 "$learner/predict" "error code" '{"pod_name":"probe"}'
post "POST /feedback" 200 "$learner/feedback" "success feedback_id total_feedback" \
  "{\"prediction_result\":{\"predicted_node\":\"$predicted\",\"confidence\":0.5,\"algorithm\":\"enhanced_scoring\",\"decision_id\":\"$decision\"},\"actual_node\":\"$predicted\",\"success\":true,\"pod_status\":\"Running\"}"
post "POST /feedback (no actual_node)" 400,422 "$learner/feedback" "error code" '{"prediction_result":{},"success":true}'
call "GET /feedback/recent" 200 "$learner/feedback/recent?limit=5"
call "GET /performance" 200 "$learner/performance" "total_predictions successful_predictions accuracy feedback_count daily_metrics"
call "GET /metrics" 200 "$learner/metrics"
call "GET /metrics (JSON)" 200 "$learner/metrics" "nodes cluster" -H 'Accept: application/json'
call "GET /model/info" 200 "$learner/model/info"
call "GET /model/snapshot" 200,404,503 "$learner/model/snapshot"
call "GET /models" 200 "$learner/models"
post "POST /models/rollback" 200,404,409,503 "$learner/models/rollback" "" '{}'
post "POST /train" 202,503 "$learner/train" "" '{}'
post "POST /online/update" 200,202,503 "$learner/online/update" "" '{}'
call "GET /jobs/none" 404 "$learner/jobs/none" "error code"
call "GET /data/summary" 200 "$learner/data/summary"
post "POST /data/features" 200 "$learner/data/features" "pod_cpu_request cluster_avg_memory" "$pod"
call "GET /openapi.json" 200 "$learner/openapi.json" "openapi paths"
call "GET /docs" 200 "$learner/docs"

plugin=${AUGUR_PLUGIN:-$(command -v kubectl-augur || true)}
if [ -n "$plugin" ]; then
  echo "kubectl augur ($plugin)"
  pod=$(curl -sS -m 10 "$scheduler/api/v1/decisions?limit=1" | grep -o '"pod_n[a-z]*":"[^"]*"' | cut -d'"' -f4 | tac | paste -sd/ -)
  for command in "nodes" "nodes -o wide" "decisions -A --limit 3" "history -A" "explain $pod" "what-if --drain $node" \
    "shadow report" "model status -o yaml"; do
    # Words are meant to be split.
    # shellcheck disable=SC2086
    if "$plugin" $command --server-url "$scheduler" >"$body" 2>&1; then
      passed=$((passed + 1))
      printf '  ok    %-34s %s\n' "$command" "$(head -c 90 "$body" | tr -s '\n ' ' ')"
    else
      failed=$((failed + 1))
      printf '  FAIL  %-34s %s\n' "$command" "$(head -c 200 "$body" | tr -s '\n ' ' ')"
    fi
  done
else
  echo "skipped: kubectl augur (no kubectl-augur on the path; AUGUR_PLUGIN names one)"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
