"""Compares Augur's forest with scikit-learn, LightGBM, XGBoost and YDF on the same data, and writes the table of
docs/design/0008-forest.md anew. Everything in one run, some minutes on two cores:

    cargo build --release && python3 scripts/oracles/forest.py target/release/augur [--table jobs.csv.gz]

The libraries are installed from PyPI into a virtual environment beside the target folder. Training is measured once (the slow
ones) or three times, prediction as the least of seven runs, on one thread unless said otherwise, on arrays in memory.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from environment import ROOT, run_inside

PACKAGES = ["numpy", "pandas", "scikit-learn==1.9.1", "lightgbm==4.7.0", "xgboost==3.2.0", "ydf==0.16.1"]
PAGE = ROOT / "docs/design/0008-forest.md"
START, END = "<!-- oracles -->", "<!-- /oracles -->"


def least(runs, action):
    """The least time of some runs, and what the last of them gave."""
    best, result = float("inf"), None
    for _ in range(runs):
        began = time.perf_counter()
        result = action()
        best = min(best, time.perf_counter() - began)
    return best, result


def engines(x, y, names, seed):
    """(name, train on some threads, runs) and a predictor from what was trained: probabilities of rows, on one thread."""
    import lightgbm
    import pandas
    import xgboost
    import ydf
    from sklearn.ensemble import RandomForestClassifier

    def sklearn(threads):
        model = RandomForestClassifier(100, max_depth=10, min_samples_leaf=5, n_jobs=threads, random_state=seed).fit(x, y)
        model.n_jobs = 1
        return lambda rows: model.predict_proba(rows)[:, 1]

    def lgb(parameters, rounds):
        def train(threads):
            data = lightgbm.Dataset(x, y, free_raw_data=False)
            common = {"objective": "binary", "verbose": -1, "seed": seed, "min_data_in_leaf": 5}
            model = lightgbm.train({**common, "num_threads": threads, **parameters}, data, rounds)
            return lambda rows: model.predict(rows, num_threads=1)
        return train

    def xgb(threads):
        model = xgboost.XGBRFClassifier(n_estimators=100, max_depth=10, tree_method="hist", subsample=0.632,
                                        colsample_bynode=4 / len(names), learning_rate=1.0, reg_lambda=0.0, n_jobs=threads,
                                        random_state=seed).fit(x, y)
        model.set_params(n_jobs=1)
        return lambda rows: model.predict_proba(rows)[:, 1]

    def yggdrasil(threads):
        frame = pandas.DataFrame(x, columns=names).assign(label=y)
        learner = ydf.RandomForestLearner(label="label", num_trees=100, max_depth=10, min_examples=5, winner_take_all=False,
                                          compute_oob_performances=False, num_threads=threads, random_seed=seed)
        model = learner.train(frame, verbose=0)
        return lambda rows: model.predict({name: rows[:, i] for i, name in enumerate(names)})

    forest = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.632, "feature_fraction_bynode": 4 / len(names),
              "num_leaves": 1024, "max_depth": 10}
    return [
        ("scikit-learn 1.9.1, random forest", sklearn, 1),
        ("LightGBM 4.7.0, rf", lgb(forest, 100), 2),
        ("XGBoost 3.2.0, random forest, hist", xgb, 2),
        ("YDF 0.16.1, random forest", yggdrasil, 1),
        ("LightGBM 4.7.0, 100 boosted trees of 63 leaves", lgb({"num_leaves": 63}, 100), 2),
    ]


def speed(augur):
    import numpy
    import pandas
    from sklearn.metrics import brier_score_loss, roc_auc_score

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/synthetic.csv"
        subprocess.run([augur, "bench", "forest", "--write-table", path], check=True)
        table = pandas.read_csv(path, dtype={"split": str})
    names = [c for c in table.columns if c not in ("split", "label", "truth")]
    train, test = table[table.split == "train"], table[table.split == "test"]
    x, y = train[names].to_numpy(numpy.float32), train.label.to_numpy(int)
    judged, truth = test[names].to_numpy(numpy.float32), test.label.to_numpy(int)
    few = numpy.ascontiguousarray(judged[:5000])
    rows = []
    for name, make, runs in engines(x, y, names, 1):
        one, predict = least(runs, lambda make=make: make(1))
        two, _ = least(runs, lambda make=make: make(2))
        took, _ = least(7, lambda predict=predict: predict(few))
        p = predict(judged)
        rows.append((name, one, two, took / 5000 * 1e9, roc_auc_score(truth, p), brier_score_loss(truth, p)))
        print(rows[-1], flush=True)
    out = subprocess.run([augur, "bench", "forest"], check=True, capture_output=True, text=True).stdout
    ours = json.loads(out.strip().splitlines()[-1])
    print(ours, flush=True)
    binning = ours["binning_seconds"]
    rows.insert(0, ("**Augur**, random forest (binning included in training; AVX2)", ours["train_seconds_1_thread"] + binning,
                    ours["train_seconds_2_threads"] + binning, ours["predict_ns_per_row"], ours["auc"], ours["brier"]))
    lines = [
        "| 200,000 × 13 synthetic rows, 100 trees, depth 10 | train s, 1 thread | 2 threads | ns a row, 1 thread | AUC | Brier |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {n} | {a:.2f} | {b:.2f} | {p:,.0f} | {auc:.4f} | {brier:.4f} |" for n, a, b, p, auc, brier in rows]
    shown = ["predict_ns_per_row_portable", "shap_microseconds", "shap_additivity_error", "leaf_refresh_microseconds_per_row",
             "rescore_1_percent_of_5000_microseconds", "boost_seconds_200_rounds", "auc_boosted", "auc_of_the_truth"]
    figures = "; ".join(f"{key.replace('_', ' ')} {ours[key]:.4g}" for key in shown)
    return lines + ["", f"Augur besides: {figures}."]


def table_of(augur, path):
    import numpy
    import pandas
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    data = pandas.read_csv(path)
    features = [c for c in data.columns if c not in ("split", "label", "group")]
    train, test = data[data.split == "train"], data[data.split == "test"]

    def row(name, p):
        y = test.label.to_numpy()
        bins = numpy.minimum((p * 15).astype(int), 14)
        ece = sum(abs(p[bins == b].sum() - y[bins == b].sum()) for b in range(15)) / len(y)
        figures = (roc_auc_score(y, p), average_precision_score(y, p), brier_score_loss(y, p), ece)
        return f"| {name} | " + " | ".join(f"{v:.4f}" for v in figures) + " |"

    command = [augur, "evaluate", "--table", path, "--label", "label", "--group", "group", "--split", "split", "--format", "json"]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    lines = ["", f"`augur evaluate` on the test rows of {pathlib.Path(path).name}:", "",
             "| | AUC | AP | Brier | ECE |", "|---|---|---|---|---|"]
    keys = ("auc", "average_precision", "brier", "ece")
    lines.append("| **Augur** | " + " | ".join(f"{ours[key]:.4f}" for key in keys) + " |")
    for name, model in [
        ("scikit-learn forest, 100 × 10, leaf 5", RandomForestClassifier(100, max_depth=10, min_samples_leaf=5, random_state=1)),
        ("scikit-learn HistGradientBoosting", HistGradientBoostingClassifier(random_state=1)),
    ]:
        model.fit(train[features], train.label)
        lines.append(row(name, model.predict_proba(test[features])[:, 1]))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("augur")
    parser.add_argument("--table")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.inside:
        run_inside(__file__, "oracles", PACKAGES, sys.argv[1:])
        return
    lines = speed(arguments.augur)
    if arguments.table:
        lines += table_of(arguments.augur, arguments.table)
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(START)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{START}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
    print("\n".join(lines))


main()
