"""Makes the fixtures of crates/forest/tests/import.rs: small models of LightGBM and XGBoost, and what these libraries predict.

    python3 -m venv venv && venv/bin/pip install lightgbm==4.7.0 xgboost==3.2.0 numpy
    venv/bin/python scripts/oracles/import_fixtures.py crates/forest/tests/fixtures
"""

import pathlib
import sys

import lightgbm
import numpy
import xgboost

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
random = numpy.random.default_rng(7)
ROWS, SHOWN = 600, 60
x = numpy.column_stack([
    random.normal(size=ROWS),
    random.integers(0, 4, ROWS),
    random.exponential(3.0, ROWS),
    random.uniform(-1, 1, ROWS),
]).astype(numpy.float32)
x[random.uniform(size=ROWS) < 0.2, 0] = numpy.nan
signal = numpy.nan_to_num(x[:, 0], nan=1.2) + (x[:, 1] == 2) * 1.5 - 0.2 * x[:, 2] + random.normal(scale=0.7, size=ROWS)
y = (signal > 0).astype(int)
names = ["a", "b", "c", "d"]
common = {"num_leaves": 8, "min_data_in_leaf": 10, "verbose": -1, "seed": 1, "num_threads": 1, "deterministic": True}
predictions = {}


def lgb(name, labels, **parameters):
    data = lightgbm.Dataset(x, labels, feature_name=names)
    model = lightgbm.train({**common, **parameters}, data, 8)
    text = model.model_to_string()
    # What follows the trees (importance, parameters) is of no use and changes with versions.
    (folder / f"{name}.txt").write_text(text[: text.index("end of trees")] + "end of trees\n")
    predictions[name] = model.predict(x)


def xgb(name, labels, rounds=8, **parameters):
    data = xgboost.DMatrix(x, labels, feature_names=names)
    model = xgboost.train({"max_depth": 3, "seed": 1, "nthread": 1, **parameters}, data, rounds)
    model.save_model(folder / f"{name}.json")
    predictions[name] = model.predict(data)


lgb("lightgbm_binary", y, objective="binary")
lgb("lightgbm_forest", y, objective="binary", boosting="rf", bagging_freq=1, bagging_fraction=0.6, feature_fraction=0.7)
lgb("lightgbm_regression", signal, objective="regression")
xgb("xgboost_binary", y, objective="binary:logistic")
xgb("xgboost_forest", y, 1, objective="binary:logistic", num_parallel_tree=8, subsample=0.6, colsample_bynode=0.5,
    learning_rate=1)
xgb("xgboost_regression", signal, objective="reg:squarederror")

# Rows at and beside thresholds would show a comparison that is off by one; column b takes four values, each of them a neighbour.
header = names + list(predictions)
with open(folder / "predictions.csv", "w", encoding="utf-8") as out:
    out.write(",".join(header) + "\n")
    for row in range(SHOWN):
        cells = ["" if numpy.isnan(v) else repr(float(v)) for v in x[row]]
        cells += [f"{p[row]:.9g}" for p in predictions.values()]
        out.write(",".join(cells) + "\n")
