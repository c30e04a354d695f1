"""What became of every planned cell, by model, and the cells that have no good score."""

import polars as pl

from kbit.spec.rows import STATUSES

LISTED_PROBLEMS = 200
"""Problem cells shown in the page; the table `cells` has them all."""

UNSCORED = ("unsupported", "crashed", "failed")


def completeness(models: pl.DataFrame) -> list[dict[str, object]]:
    """One record per model: planned cells, cells of each status, and the share that is done."""
    counted = models.select(
        "model",
        "family",
        "parameters",
        "seconds",
        pl.col("n_cells").alias("planned"),
        *(pl.col(f"n_{status}").alias(status) for status in STATUSES),
    )
    records = counted.to_dicts()
    for record in records:
        record["done"] = record["ok"] + record["collapsed"]
        record["unscored"] = sum(record[status] for status in UNSCORED)
    return records


def totals(records: list[dict[str, object]]) -> dict[str, int]:
    """The study's sums of `completeness`."""
    return {name: sum(record[name] for record in records) for name in ("planned", "done", "unscored", *STATUSES)}


def problem_cells(cells: pl.DataFrame) -> dict[str, object]:
    """Cells whose status is not ok: how many there are, and the first LISTED_PROBLEMS, failed and crashed first."""
    severity = pl.col("status").replace_strict(list(STATUSES), range(len(STATUSES)), return_dtype=pl.Int32)
    problems = cells.filter(pl.col("status") != "ok").sort(
        severity, "family", "parameters", "model", "spec", "task", descending=[True] + [False] * 5
    )
    listed = problems.head(LISTED_PROBLEMS).select("model", "spec", "task", "status", "error", "cell_id")
    return {"count": problems.height, "cells": listed.to_dicts()}
