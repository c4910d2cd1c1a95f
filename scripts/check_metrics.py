#!/usr/bin/env python3
"""Whether every metric that the alerts and the dashboard name exists.
    scripts/check_metrics.py SCHEDULER_URL LEARNER_URL   asks a running system for its metrics
    scripts/check_metrics.py --queries                   prints the dashboard's queries as recording rules, for promtool
"""
import json
import pathlib
import re
import sys
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Series that are there only once something has happened, with the text in the sources that registers them.
LATER = {
    "augur_model_age_seconds": '"augur_model_age_seconds"',
    "augur_prediction_accuracy": '"augur_prediction_accuracy"',
    "augur_cluster_cpu_usage_percent": '"augur_cluster_cpu_usage_percent"',
    "augur_cluster_memory_usage_percent": '"augur_cluster_memory_usage_percent"',
    "augur_kubernetes_denied_total": '"kubernetes_denied"',
    "augur_hot_node_usage_percent": '"augur_hot_node_usage_percent"',
    "augur_hot_node_predicted_peak_percent": '"augur_hot_node_predicted_peak_percent"',
    "augur_arm_bad": '"augur_arm_bad"',
    "augur_arm_placed": '"augur_arm_placed"',
    "augur_holdback_benefit_evidence": '"augur_holdback_benefit_evidence"',
    "augur_holdback_harm_evidence": '"augur_holdback_harm_evidence"',
    "augur_model_harm_evidence": '"augur_model_harm_evidence"',
    "scheduler_unschedulable_pods": '"unschedulable_pods"',
}


def dashboard():
    board = json.loads((ROOT / "deploy/grafana/augur.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [each["query"] for each in board["templating"]["list"] if each["type"] == "query"]
    return queries


def main():
    queries = dashboard()
    if sys.argv[1:] == ["--queries"]:
        rules = [each.replace("$instance", ".*") for each in queries if not each.startswith("label_values(")]
        rules = [{"record": f"dashboard:query:{number}", "expr": rule} for number, rule in enumerate(rules)]
        print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        return
    alerts = (ROOT / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8")
    text = "\n".join(queries + re.findall(r"expr: (.*)", alerts))
    wanted = set(re.findall(r"\b(?:augur|scheduler|process|leader)_[a-z_]+\b(?!\")", re.sub(r"by \([^)]*\)", "", text)))
    known = set()
    for url in sys.argv[1:]:
        with urllib.request.urlopen(url + "/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        known |= {re.split(r"[{ ]", line)[0] for line in lines if line and not line.startswith("#")}
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "crates/api/src").rglob("*.rs"))
    unknown = {each for each in wanted - known if each not in LATER or LATER[each] not in sources}
    for each in sorted(unknown):
        print(f"{each} is named by an alert or the dashboard and does not exist")
    if unknown or not wanted:
        sys.exit(1)
    later = len(wanted - known)
    print(f"{len(wanted)} metrics are named by alerts and dashboard: {len(wanted) - later} are served, {later} come later")


main()
