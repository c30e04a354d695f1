"""scores: one row per (cell, metric), for cells that have scores.

`headline` marks the metric that enters means and curves. Sorted like cells, then by metric.
"""

import polars as pl

from kbit.warehouse.cells import ORDER

NAMES = ("cell_id", "model", "family", "model_id", "parameters", "tokens_seen", "spec", "data_type", "bits")
SPEC = ("exponent_bits", "block_size", "options", "bits_per_param", "body_bits", "total_bits")
TASK = ("task", "task_label", "task_kind", "chance", "status")


def build_scores(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Long form of the cells' metrics: metric, value, stderr (null if unknown), n items."""
    return (
        tables["cells"]
        .select(*NAMES, *SPEC, *TASK, "task_metric", "metrics")
        .explode("metrics")
        .filter(pl.col("metrics").is_not_null())
        .with_columns(
            pl.col("metrics").struct.field("name").alias("metric"),
            pl.col("metrics").struct.field("value"),
            pl.col("metrics").struct.field("stderr"),
            pl.col("metrics").struct.field("n"),
        )
        .with_columns((pl.col("metric") == pl.col("task_metric")).alias("headline"))
        .drop("metrics", "task_metric")
        .sort(*ORDER, "metric", nulls_last=True)
    )
