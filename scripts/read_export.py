#!/usr/bin/env python3
"""Reads what `augur history export` wrote, with pandas and with DuckDB, and compares what they say.

Needs the packages pandas, pyarrow and duckdb. Usage: read_export.py FOLDER [--spark]
With --spark also with Spark, which needs the package pyspark and Java 17.
"""

import pathlib
import sys

import duckdb
import pandas


def with_spark(folder: pathlib.Path, tables: list[str]) -> None:
    from pyspark.sql import SparkSession, functions

    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    for table in tables:
        frame = spark.read.parquet(str(folder / table))
        wanted = pandas.read_parquet(folder / table)
        assert frame.count() == len(wanted), (table, frame.count(), len(wanted))
        assert set(frame.columns) == set(wanted.columns), (table, frame.columns)
        if table == "series":
            mean = frame.agg(functions.avg("cpu_cores")).collect()[0][0]
            assert abs(mean - wanted["cpu_cores"].mean()) < 1e-9, mean
        else:
            labels = {row["outcome_label"]: row["count"] for row in frame.groupBy("outcome_label").count().collect()}
            assert labels.get("good", 0) == (wanted["outcome_label"] == "good").sum(), labels
        print(f"{table}: Spark says the same")
    spark.stop()


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
    if "--spark" in sys.argv[2:]:
        with_spark(folder, tables)
    return 0 if tables else 1


if __name__ == "__main__":
    sys.exit(main())
