"""What a report drew, kept beside it, so that the next one can say what changed.

    reports/<study>/drawn/       cells.parquet, verdicts.parquet: what the page of today shows
    reports/<study>/previous/    the same of the last report that showed something else

They change places only when a report shows other cells or verdicts than the one before: a report made anew from the
same tables keeps its bytes.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from kbit.scaling.fit_rows import BEST
from kbit.warehouse.build import write_table

DRAWN, PREVIOUS = "drawn", "previous"
VERDICT_KEY = ("family", "metric", "bit_accounting")


@dataclass(frozen=True)
class Snapshot:
    """The cells and verdicts of a report."""

    cells: pl.DataFrame
    """model, spec, task, cell_id, status, metric, value, stderr, started_at: sorted, one row per cell."""
    verdicts: pl.DataFrame
    """family, metric, bit_accounting, best_bits, low, high, status: sorted, one row per headline verdict."""

    @property
    def date(self) -> str:
        """Start of its newest cell, UTC; empty where no cell says."""
        return self.cells["started_at"].max() or ""

    def equals(self, other: "Snapshot") -> bool:
        return self.cells.equals(other.cells) and self.verdicts.equals(other.verdicts)


def take_snapshot(frames: Mapping[str, pl.DataFrame], fits: pl.DataFrame) -> Snapshot:
    """Of the tables cells and scores, and the fits."""
    headline = frames["scores"].filter("headline").select("cell_id", "value", "stderr")
    cells = (
        frames["cells"]
        .select("model", "spec", "task", "cell_id", "status", "started_at", metric="task_metric")
        .join(headline, on="cell_id", how="left", validate="1:1")
        .sort("model", "spec", "task")
    )
    best = (pl.col("fit") == "verdict") & (pl.col("data_type") == BEST) & (pl.col("quantity") == "best_bits")
    verdicts = fits.filter(best).select(*VERDICT_KEY, "low", "high", "status", best_bits="value").sort(VERDICT_KEY)
    return Snapshot(cells, verdicts)


def read_snapshot(folder: Path) -> Snapshot | None:
    """The snapshot in a folder; None where there is none, or one of another release."""
    try:
        cells, verdicts = (pl.read_parquet(folder / f"{name}.parquet") for name in ("cells", "verdicts"))
    except FileNotFoundError:
        return None
    known = {"model", "spec", "task", "cell_id", "status", "metric", "value", "stderr", "started_at"}
    return Snapshot(cells, verdicts) if set(cells.columns) == known else None


def read_before(folder: Path, now: Snapshot) -> Snapshot | None:
    """What the report in `folder` showed before it showed `now`, or shows while that is not drawn yet, if any."""
    drawn = read_snapshot(folder / DRAWN)
    return read_snapshot(folder / PREVIOUS) if drawn is None or drawn.equals(now) else drawn


def rotate(folder: Path, now: Snapshot) -> Snapshot | None:
    """Keep `now` as what the report in `folder` draws; returns what the report before it drew, if there was one."""
    drawn = read_snapshot(folder / DRAWN)
    if drawn is None or not drawn.equals(now):
        if drawn is not None:
            shutil.rmtree(folder / PREVIOUS, ignore_errors=True)
            (folder / DRAWN).rename(folder / PREVIOUS)
        for name in ("cells", "verdicts"):
            write_table(getattr(now, name), folder / DRAWN / f"{name}.parquet")
    return read_snapshot(folder / PREVIOUS)
