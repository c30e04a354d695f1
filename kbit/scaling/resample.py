"""Paired bootstrap over items: every cell of a task is scored again on the same random draws of its items.

Two cells that differ only in k answer the same questions, so their difference is far less uncertain than either score;
drawing the same items for both keeps that. Draws depend on the seed and the task's identity alone.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kbit.scaling.curves import Array
from kbit.scaling.items import ItemScores, candidate_scores, read_request_table
from kbit.scaling.metrics import Metric
from kbit.store.paths import requests_path
from kbit.warehouse import SampleReader, Samples

N_RESAMPLES = 1000
BOOTSTRAP_SEED = 20221219
"""Names every random draw of the fits."""
REPRODUCED = 1e-5
"""Relative difference up to which the mean of per-item scores counts as the cell's own score (samples are float32)."""


@dataclass(frozen=True)
class Resampled:
    """A metric of the points of one family, on all items and on resampled ones."""

    values: Array
    """f64 [points, 1 + resamples]: column 0 is the score on all items; NaN where the point has none."""
    n_items: int
    notes: tuple[str, ...] = field(default=())
    is_paired: bool = True
    """Whether any task's items were drawn; otherwise each cell was drawn by its standard error."""

    @property
    def method(self) -> str:
        """How the resamples were made, as fits say it."""
        drawn = (
            f"paired bootstrap over {self.n_items} items"
            if self.is_paired
            else "cells drawn by standard error, unpaired"
        )
        return f"{drawn}, {N_RESAMPLES} resamples, seed {BOOTSTRAP_SEED}"


def task_generator(task_identity: str, purpose: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{purpose}:{task_identity}".encode()).digest()
    return np.random.default_rng([BOOTSTRAP_SEED, int.from_bytes(digest[:8], "little")])


@lru_cache(maxsize=16)  # the tasks of a study: each is asked for once for every model
def draw_counts(task_identity: str, n_items: int, n_resamples: int = N_RESAMPLES) -> NDArray[np.float32]:
    """f32 [items, resamples]: how often each item is drawn, with replacement; columns sum to n_items."""
    generator = task_generator(task_identity, "items")
    counts = generator.multinomial(n_items, np.full(n_items, 1 / n_items), size=n_resamples)
    drawn = np.ascontiguousarray(counts.T, dtype=np.float32)
    drawn.flags.writeable = False
    return drawn


def resample_scores(items: ItemScores, counts: NDArray[np.float32]) -> Array:
    """f64 [cells, 1 + resamples]: sum of item values over sum of item weights, on all items and on every draw."""
    every = np.ones((counts.shape[0], 1), dtype=np.float32)
    draws = np.hstack([every, counts])
    return (items.values @ draws).astype(np.float64) / (items.weights @ draws).astype(np.float64)


@dataclass(frozen=True)
class Group:
    """Cells of one task that answered one requests file; models with different tokenizers have different ones."""

    task: str
    metric: str
    requests: Path
    cells: pl.DataFrame
    """cell_id, model, spec, task_identity, and the metric's value, stderr, n; sorted by model and spec."""


def resample_metric(points: pl.DataFrame, cells: pl.DataFrame, metric: Metric, samples: SampleReader) -> Resampled:
    """A metric of `points` (rows of one family, in order) with its resamples: the mean over the metric's tasks.

    `cells` are the cells of those points. Without any task of the metric's kind all values are NaN.
    """
    groups = list(group_cells(cells.filter(pl.col("task_kind") == metric.task_kind), metric))
    observed = points[metric.name].fill_null(np.nan).to_numpy()
    if not groups or np.isnan(observed).all():
        return Resampled(np.full((points.height, 1 + N_RESAMPLES), np.nan), 0)
    tasks = sorted({group.task for group in groups})
    scored = {task: np.full((points.height, 1 + N_RESAMPLES), np.nan) for task in tasks}
    reasons: dict[str, dict[str, None]] = {task: {} for task in tasks}
    is_paired = False
    place = {key: index for index, key in enumerate(zip(points["model"], points["spec"], strict=True))}
    # Model by model: the tasks of a model lie in the same parts.
    for group in sorted(groups, key=lambda group: (group.cells["model"][0], group.task)):
        rows = [place[key] for key in zip(group.cells["model"], group.cells["spec"], strict=True)]
        scored[group.task][rows], reason = resample_group(group, samples)
        is_paired = is_paired or reason is None
        if reason:
            reasons[group.task][f"{group.task}: {reason}"] = None
    values = np.mean(list(scored.values()), axis=0)
    # The table's own value, to the last digit: the resamples keep the float32 samples' rounding.
    values[:, 0] = observed
    values[np.isnan(observed)] = np.nan
    n_items = sum(max(group.cells["n"].max() or 0 for group in groups if group.task == task) for task in tasks)
    return Resampled(values, n_items, tuple(note for task in tasks for note in reasons[task]), is_paired)


def group_cells(cells: pl.DataFrame, metric: Metric) -> Iterator[Group]:
    """The cells of every task and requests file that have the task's headline metric."""
    for (task,), of_task in cells.sort("task").group_by("task", maintain_order=True):
        name = metric.name if metric.task_kind == "perplexity" else of_task["task_metric"][0]
        for (requests,), rows in with_metric(of_task, name).group_by("requests", maintain_order=True):
            yield Group(task, name, requests_path(task, requests), rows)


def with_metric(cells: pl.DataFrame, name: str) -> pl.DataFrame:
    """The cells that have a metric, with its value, stderr and n."""
    columns = ("cell_id", "model", "model_id", "spec", "task", "task_identity", "requests")
    of_metric = (
        cells.select(*columns, "metrics").explode("metrics").filter(pl.col("metrics").struct.field("name") == name)
    )
    return of_metric.unnest("metrics").filter(pl.col("value").is_finite()).sort("model", "spec")


def resample_group(group: Group, samples: SampleReader) -> tuple[Array, str | None]:
    """Resample cells that share a requests file: by their items, or by their standard errors and the reason why."""
    identity, scores = group.cells["task_identity"][0], group.cells["value"].to_numpy()
    items = find_items(group.requests, group.metric, samples.read(group.cells["cell_id"].to_list()), scores)
    if isinstance(items, ItemScores):
        return resample_scores(items, draw_counts(identity, items.values.shape[1])), None
    return draw_normal(group.cells, identity), f"{items}; each cell drawn by its standard error, unpaired"


def find_items(requests: Path, metric: str, samples: Samples | None, scores: NDArray[np.float64]) -> ItemScores | str:
    """The items whose mean is the score of every cell, or why there are none."""
    if samples is None:
        return "cells without samples"
    table = read_request_table(requests)
    if table is None or len(table.doc) != samples.loglikelihoods.shape[1]:
        return f"no requests file {requests.name} of these samples"
    for items in candidate_scores(table, metric, samples):
        # Samples are float32 and a score may be a sum of thousands of them; accuracies agree exactly.
        if np.allclose(items.means, scores, rtol=REPRODUCED, atol=0):
            return items
    return f"{metric} does not follow from the samples"


def draw_normal(cells: pl.DataFrame, identity: str) -> Array:
    """f64 [cells, 1 + resamples]: each cell around its value by its standard error; NaN draws where that is unknown.

    Cells that answer the same items rise and fall together, so independent draws widen the intervals of differences.
    """
    value, stderr = (cells[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in ("value", "stderr"))
    noise = task_generator(identity, "normal").standard_normal((cells.height, N_RESAMPLES))
    return np.hstack([value[:, None], value[:, None] + stderr[:, None] * noise])
