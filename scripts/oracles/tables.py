"""Compares `augur evaluate` with calibrated forests of scikit-learn on tables of different kinds: few and many rows, rare labels,
drift, groups, texts, missing values. Prints one line for each; in one run, some minutes on two cores:

    cargo build --release && python3 scripts/oracles/tables.py target/release/augur [--traces shared/traces] [--only NAME]

Tables come from scikit-learn (those in the package and made ones) and, with --traces, from public traces. The forest has 300 trees
and is calibrated by five-fold CalibratedClassifierCV; of leaf sizes 1, 5, 20 and of Platt and isotonic the best by five-fold log-loss
on the train rows is taken. Texts become their codes for scikit-learn.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from environment import ROOT, run_inside

PACKAGES = ["numpy", "pandas", "scikit-learn==1.9.1"]


def tables(traces):
    """Each a name and a frame with columns `split` and `label`."""
    import numpy as np
    import pandas as pd
    from sklearn import datasets

    def frame(x, y, share=0.7, seed=0, shuffled=True):
        table = pd.DataFrame(np.asarray(x), columns=[f"x{i}" for i in range(np.shape(x)[1])])
        table["label"] = np.asarray(y).astype(int)
        if shuffled:
            table = table.sample(frac=1, random_state=seed).reset_index(drop=True)
        table["split"] = np.where(np.arange(len(table)) < share * len(table), "train", "test")
        return table

    cancer, wine, digits, diabetes = (f(return_X_y=True) for f in (
        datasets.load_breast_cancer, datasets.load_wine, datasets.load_digits, datasets.load_diabetes))
    yield "breast_cancer", frame(*cancer)
    yield "wine_class_1", frame(wine[0], wine[1] == 1)
    yield "digits_8", frame(digits[0], digits[1] == 8)
    yield "digits_odd", frame(digits[0], digits[1] % 2)
    yield "diabetes_high", frame(diabetes[0], diabetes[1] > 150)

    def made(name, n, **how):
        return name, frame(*datasets.make_classification(n, random_state=7, **how))

    yield made("made_easy", 4_000, n_features=20, n_informative=8, class_sep=1.5)
    yield made("made_noisy", 6_000, n_features=30, n_informative=6, flip_y=0.25)
    yield made("made_rare", 20_000, n_features=20, n_informative=6, weights=[0.98], flip_y=0.01)
    yield made("made_small", 300, n_features=10, n_informative=5, flip_y=0.1)
    yield made("made_wide", 1_500, n_features=150, n_informative=10, flip_y=0.05)
    x, y = datasets.make_hastie_10_2(5_000, random_state=7)
    yield "hastie", frame(x, y == 1)
    rng = np.random.default_rng(7)
    # A mixed table: texts, missing values, labels drawn from a known logistic function, the rate rising with time.
    n = 12_000
    city, age, load = rng.integers(0, 12, n), rng.normal(40, 12, n), rng.gamma(2, 1, n)
    logit = -2.2 + 0.25 * (city % 5) + 0.03 * (age - 40) + 0.5 * np.maximum(load - 2, 0) + 0.8 * np.arange(n) / n
    mixed = pd.DataFrame({"city": [f"city-{c}" for c in city], "age": age, "load": load, "noise": rng.normal(size=n)})
    mixed["label"] = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    mixed.loc[rng.random(n) < 0.2, "age"] = np.nan
    mixed["split"] = np.where(np.arange(n) < 0.7 * n, "train", "test")
    yield "mixed_drifting", mixed
    # Users with a rate of their own that features do not tell; none of the test users is among those to train on.
    users = rng.integers(0, 80, n)
    own = rng.normal(0, 1, 80)[users]
    z = rng.normal(size=(n, 6))
    grouped = pd.DataFrame(z, columns=[f"z{i}" for i in range(6)])
    grouped["label"] = (rng.random(n) < 1 / (1 + np.exp(-(z[:, 0] + z[:, 1] * z[:, 2] + own - 1)))).astype(int)
    grouped["user"] = users
    grouped["split"] = np.where(users < 56, "train", "test")
    yield "new_users", grouped
    if not traces:
        return
    jobs = pd.read_csv(traces / "tabular/mit_jobs.csv.gz")
    yield "mit_jobs", jobs
    every = jobs.drop(columns="split")
    for name, part in [("mit_odd_users", jobs[jobs.group % 2 == 1]), ("mit_even_users", jobs[jobs.group % 2 == 0])]:
        yield name, part
    early = every.iloc[: int(0.55 * len(every))].copy()
    early["split"] = np.where(np.arange(len(early)) < 0.35 * len(every), "train", "test")
    yield "mit_early", early
    pods = pd.read_csv(traces / "openb/openb_pod_list_default.csv.gz").sort_values("creation_time").reset_index(drop=True)
    waited = pods.creation_time.diff().fillna(0)
    pods["label"] = (pods.pod_phase == "Failed").astype(int)
    pods["since_last"], pods["hour"] = waited, pods.creation_time // 3600 % 24
    pods["split"] = np.where(np.arange(len(pods)) < 0.7 * len(pods), "train", "test")
    yield "openb_failed", pods.drop(columns=["name", "pod_phase", "deletion_time", "scheduled_time", "creation_time"])
    failures = pd.read_csv(traces / "lanl/lanl_1996_2005.csv.gz", low_memory=False)
    started = pd.to_datetime(failures["Prob Started"], errors="coerce")
    failures = failures[started.notna()].assign(started=started).sort_values("started").reset_index(drop=True)
    columns = ["System", "machine type", "nodes", "procstot", "procsinnode", "nodenum", "mem", "cputype", "purpose"]
    lanl = failures[columns].copy()
    lanl["hour"], lanl["weekday"] = failures.started.dt.hour, failures.started.dt.weekday
    lanl["label"] = (failures["Down Time"] > 180).astype(int)
    lanl["split"] = np.where(np.arange(len(lanl)) < 0.7 * len(lanl), "train", "test")
    yield "lanl_long", lanl.iloc[-12_000:]


def ece(y, p):
    import numpy as np
    bins = np.minimum((p * 15).astype(int), 14)
    return sum(abs((p[bins == b] - y[bins == b]).sum()) for b in range(15)) / len(y)


def oracle(table, group):
    """Metrics of scikit-learn's best calibrated forest."""
    import numpy as np
    import pandas as pd
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
    from sklearn.model_selection import cross_val_predict

    x = table.drop(columns=["label", "split"] + ([group] if group else []))
    for column in x.columns:
        if not pd.api.types.is_numeric_dtype(x[column]):
            x[column] = pd.factorize(x[column])[0]
    train, y = (table.split == "train").to_numpy(), table.label.to_numpy()
    best = None
    for leaf in (1, 5, 20):
        for method in ("sigmoid", "isotonic"):
            model = CalibratedClassifierCV(RandomForestClassifier(300, min_samples_leaf=leaf, n_jobs=2, random_state=1), method=method)
            inside = cross_val_predict(model, x[train], y[train], cv=3, method="predict_proba")[:, 1] if train.sum() < 3_000 else None
            if inside is None:
                half = np.flatnonzero(train)
                cut = int(len(half) * 0.75)
                model.fit(x.iloc[half[:cut]], y[half[:cut]])
                loss = log_loss(y[half[cut:]], model.predict_proba(x.iloc[half[cut:]])[:, 1])
            else:
                loss = log_loss(y[train], inside)
            if best is None or loss < best[0]:
                best = (loss, model, f"leaf {leaf}, {method}")
    p = best[1].fit(x[train], y[train]).predict_proba(x[~train])[:, 1]
    t = y[~train]
    return {"auc": roc_auc_score(t, p), "average_precision": average_precision_score(t, p), "brier": brier_score_loss(t, p),
            "log_loss": log_loss(t, p), "ece": ece(t, p), "model": best[2]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("augur", type=pathlib.Path)
    parser.add_argument("--traces", type=pathlib.Path)
    parser.add_argument("--only")
    parser.add_argument("--inside", action="store_true")
    parser.add_argument("--no-oracle", action="store_true")
    arguments = parser.parse_args()
    if not arguments.inside:
        return run_inside(__file__, "oracles-tables", PACKAGES, sys.argv[1:])
    keys = ["auc", "average_precision", "brier", "log_loss", "ece"]
    print("| table | rows | positive | " + " | ".join(keys) + " | seconds | model |")
    print("|---" * (len(keys) + 5) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for name, table in tables(arguments.traces):
            if arguments.only and arguments.only not in name:
                continue
            group = next((g for g in ("group", "user") if g in table), None)
            path = pathlib.Path(folder) / f"{name}.csv"
            table.to_csv(path, index=False)
            command = [arguments.augur, "evaluate", "--table", path, "--label", "label", "--split", "split", "--format", "json"]
            found = json.loads(subprocess.run(command + (["--group", group] if group else []), check=True, capture_output=True).stdout)
            row = [f"{found[k]:.4f}" for k in keys]
            sizes = f"{found['n_train']} + {found['n_test']} | {found['test_rate']:.3f}"
            print(f"| {name} | {sizes} | " + " | ".join(row) + f" | {found['train_seconds']:.1f} | {found['model']}, {found['calibration']} |", flush=True)
            if not arguments.no_oracle:
                other = oracle(table, group)
                print("| - scikit-learn | | | " + " | ".join(f"{other[k]:.4f}" for k in keys) + f" | | {other['model']} |", flush=True)


if __name__ == "__main__":
    main()
