"""How fast a study's cells were scored, one row per kind of machine and shape of model, for the plans to come.

Taken from the table `cells`: seconds, n_tokens and quantize_seconds of every cell that was scored. Rows that do not say
how they were run (from before row version 2) are left out.
"""

from collections.abc import Sequence
from itertools import combinations
from statistics import median

import polars as pl

from kbit.spec.flop import token_flop
from kbit.store.throughput import ENOUGH_CELLS, KEY, Throughput

LEAST_TASKS = 3
LEAST_RANGE = 2.0
"""Tasks, and the largest over the smallest of them, from which a fixed time per cell can be told apart."""
SCORED = (
    pl.col("status").is_in(["ok", "collapsed"])
    & pl.all_horizontal(pl.col("placement", "architecture", "gpus", "n_tokens", "seconds").is_not_null())
    & (pl.col("seconds") > 0)
    & (pl.col("n_tokens") > 0)
)


def measure_throughput(cells: pl.DataFrame) -> list[Throughput]:
    """The rows of a study, in the order of their keys."""
    scored = with_flop(cells.filter(SCORED)).sort(*KEY, "cell_id")
    return [
        measure(dict(zip(KEY, key, strict=True)), group) for key, group in scored.group_by(KEY, maintain_order=True)
    ]


def with_flop(cells: pl.DataFrame) -> pl.DataFrame:
    """Adds `flop`: operations of a cell's forward passes."""
    names = ("parameters", "quantized_parameters", "task_kind", "n_tokens")
    flop = [float(token_flop(*shape) * tokens) for *shape, tokens in cells.select(names).iter_rows()]
    return cells.with_columns(pl.Series("flop", flop, dtype=pl.Float64))


def measure(key: dict[str, object], cells: pl.DataFrame) -> Throughput:
    """One row, of the scored cells of one key."""
    cells = newest_release(cells)
    cell_seconds, flop_per_second = fit_speed(task_medians(cells))
    return Throughput(
        **key,
        model_ids=tuple(cells["model_id"].unique().sort().to_list()),
        cells=cells.height,
        tokens=int(cells["n_tokens"].sum()),
        tokens_per_second=float((cells["n_tokens"] / cells["seconds"]).median()),
        flop_per_second=flop_per_second,
        cell_seconds=cell_seconds,
        quantize_seconds=quantize_seconds(cells),
        measured_at=cells["started_at"].max(),
    )


def newest_release(cells: pl.DataFrame) -> pl.DataFrame:
    """The cells that the latest version of this software to score any of them scored; all, if those are few."""
    latest = cells.filter(pl.col("kbit_version") == cells.sort("started_at")["kbit_version"][-1])
    return latest if latest.height >= ENOUGH_CELLS else cells


def task_medians(cells: pl.DataFrame) -> list[tuple[float, float]]:
    """(flop, median seconds) of every task and number of tokens: a slow start or a busy node moves a few cells only."""
    tasks = cells.group_by("task", "flop").agg(pl.col("seconds").median()).sort("task", "flop")
    return list(tasks.select("flop", "seconds").iter_rows())


def fit_speed(tasks: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Seconds per cell and operations per second, of seconds = a + flop / rate, by the median of pairwise slopes.

    Theil (1950) and Sen (1968). a is 0 where the tasks do not tell it apart, or would make it negative.
    """
    sizes = [flop for flop, _ in tasks]
    through_origin = 0.0, sum(sizes) / sum(seconds for _, seconds in tasks)
    if len(tasks) < LEAST_TASKS or max(sizes) < LEAST_RANGE * min(sizes):
        return through_origin
    slope = median(
        (late - soon) / (more - less) for (less, soon), (more, late) in combinations(tasks, 2) if more != less
    )
    if slope <= 0:
        return through_origin
    fixed = median(seconds - slope * flop for flop, seconds in tasks)
    return (fixed, 1 / slope) if fixed > 0 else through_origin


def quantize_seconds(cells: pl.DataFrame) -> float | None:
    """Median over models and specs, per quantized parameter; every spec of a model counts once."""
    specs = (
        cells.filter((pl.col("data_type") != "none") & (pl.col("quantized_parameters") > 0))
        .group_by("model_id", "spec")
        .agg((pl.col("quantize_seconds") / pl.col("quantized_parameters")).median().alias("seconds"))
    )
    return specs["seconds"].median()
