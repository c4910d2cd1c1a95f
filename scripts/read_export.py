#!/usr/bin/env python3
"""Reads what `augur history export` wrote, with pandas and with DuckDB, and compares what they say.

Needs the packages pandas, pyarrow and duckdb. Usage: read_export.py FOLDER
"""

import pathlib
import sys

import duckdb
import pandas


def main() -> int:
    folder = pathlib.Path(sys.argv[1])
    tables = sorted(path.name for path in folder.iterdir() if path.is_dir())
    for table in tables:
        frame = pandas.read_parquet(folder / table)
        time = "sampled_at" if table == "series" else "decided_at"
        exported = duckdb.sql(
            f"select * from read_parquet('{folder / table}/*/*.parquet', hive_partitioning=true)"
        )
        count, first, last = duckdb.sql(f"select count(*), min({time}), max({time}) from exported").fetchall()[0]
        assert count == len(frame), (table, count, len(frame))
        assert set(exported.columns) == set(frame.columns), (table, exported.columns, list(frame.columns))
        assert str(frame[time].dt.tz) == "UTC", frame[time].dtype
        print(f"{table}: {count} rows of {len(frame.columns)} columns, {first} to {last}")
        if table == "series":
            mean = duckdb.sql("select avg(cpu_cores) from exported").fetchall()[0][0]
            assert abs(mean - frame["cpu_cores"].mean()) < 1e-9, mean
            nodes = frame[frame["pod"].isna()]["node"].nunique()
            print(f"  {frame['pod'].nunique()} pods, {nodes} nodes, {mean:.4f} cores on average")
        else:
            labels = frame["outcome_label"].fillna("none").value_counts().to_dict()
            print(f"  outcomes: {labels}")
    return 0 if tables else 1


if __name__ == "__main__":
    sys.exit(main())
