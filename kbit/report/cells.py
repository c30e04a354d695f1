"""The explorer's rows: every cell in a few small columns, beside what cells share (point, run, recipe).

38,000 cells take 0.7 MB of the page this way: a cell is a reference to its point (model and quantization) and to its
run (machine and software), and its own numbers.
"""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from kbit.report.recipes import spec_recipes

ID_DIGITS = 12
"""First digits of a cell's id, which `kbit compare` takes: two of 38,000 cells share them once in 400,000 studies."""

RUN_COLUMNS = {
    "device": "device",
    "gpus": "GPUs",
    "gpu_uuids": "GPU ids",
    "driver_version": "NVIDIA driver",
    "cuda_version": "CUDA",
    "placement": "placement of the weights",
    "threads": "CPU threads",
    "token_budget": "tokens of a batch",
    "dtype": "compute dtype",
    "host": "host",
    "slurm_job_id": "Slurm job",
    "node": "Slurm's node",
    "source": "source",
    "git_commit": "commit",
    "kbit_version": "kbit",
    "torch_version": "torch",
    "transformers_version": "transformers",
    "lm_eval_version": "lm-eval",
    "package_versions": "other packages",
    "evaluation_version": "evaluation version",
    "member_versions": "versions of quantization members",
}
"""Provenance column of a row -> how the explorer names it. Cells of one job share all of them."""


class Explorer(NamedTuple):
    """What the page needs to list cells and to show one."""

    cells: pl.DataFrame
    """point, task, run (row numbers), status, value, stderr, n, seconds, started, id, error; ordered as the table."""
    runs: pl.DataFrame
    """Distinct combinations of provenance, as text; all null where no cell says."""
    tasks: pl.DataFrame
    """Of `study_tasks`."""
    recipes: list[str]
    """Of every point's spec, as lines of YAML, in the order of the points."""
    epoch: str
    """Start of the earliest cell; `started` counts seconds from it."""

    def frames(self) -> dict[str, pl.DataFrame]:
        """As tables of the page."""
        return {"cells": self.cells, "runs": self.runs, "tasks": self.tasks}


def explore_cells(frames: Mapping[str, pl.DataFrame]) -> Explorer:
    """Of the tables cells, scores and points."""
    cells, points = frames["cells"], frames["points"]
    tasks = study_tasks(cells, frames["scores"])
    recorded = [name for name in RUN_COLUMNS if name in cells.columns]
    as_text = cells.select(pl.col(recorded).cast(pl.String))
    runs = as_text.unique().sort(recorded, nulls_last=True)
    epoch = cells["started_at"].drop_nulls().min()
    headline = frames["scores"].filter("headline").select("cell_id", "value", "stderr", "n")
    numbered = (
        cells.with_columns(as_text.get_columns())
        .join(
            points.select("model", "spec").with_row_index("point"),
            on=["model", "spec"],
            how="left",
            maintain_order="left",
        )
        .join(tasks.select("task").with_row_index("task_number"), on="task", how="left", maintain_order="left")
        .join(runs.with_row_index("run"), on=recorded, how="left", maintain_order="left", nulls_equal=True)
        .join(headline, on="cell_id", how="left", maintain_order="left", validate="1:1")
    )
    listed = numbered.select(
        "point",
        "run",
        "status",
        "value",
        "n",
        "error",
        task=pl.col("task_number"),
        stderr=pl.col("stderr").round_sig_figs(3),
        seconds=pl.col("seconds").round_sig_figs(3),
        started=seconds_since(epoch),
        id=pl.col("cell_id").str.head(ID_DIGITS),
    )
    return Explorer(listed, runs, tasks, spec_recipes(cells, points), epoch or "")


def study_tasks(cells: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """task, label, kind, metric, item_limit, and whether its divergence is measured; zero-shot tasks first."""
    measured = scores.filter(pl.col("metric") == "kl_divergence")["task"].unique().to_list()
    return (
        cells.select("task", "item_limit", label="task_label", kind="task_kind", metric="task_metric")
        .unique("task", keep="first", maintain_order=True)
        .with_columns(divergence=pl.col("task").is_in(measured))
        .sort("kind", "task", descending=[True, False])
    )


def seconds_since(epoch: str | None) -> pl.Expr:
    """Whole seconds from `epoch` to the start of a cell; null where either is unknown."""
    if epoch is None:
        return pl.lit(None, pl.Int64)
    started = pl.col("started_at").str.to_datetime(time_zone="UTC", strict=False)
    return (started - pl.lit(epoch).str.to_datetime(time_zone="UTC")).dt.total_seconds()
