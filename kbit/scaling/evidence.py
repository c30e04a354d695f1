"""What the laws are fitted to: a study's points, and their resamples, computed once per family and metric."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from kbit.scaling.curves import Array
from kbit.scaling.grids import Grid, list_grids
from kbit.scaling.metrics import METRICS, Metric
from kbit.scaling.resample import Resampled, resample_metric
from kbit.warehouse import SampleReader, read_table

Made = TypeVar("Made")

POINT_ORDER = ("parameters", "model", "bits", "spec")


@dataclass(frozen=True)
class FamilyPoints:
    """The points of one family at its final checkpoints, with one metric and its resamples."""

    family: str
    metric: Metric
    points: pl.DataFrame
    """Sorted; rows match those of `resampled.values`."""
    resampled: Resampled

    @property
    def observed(self) -> Array:
        """f64 [points]: the metric on all items, NaN where the point has none."""
        return self.resampled.values[:, 0]

    @property
    def n_models(self) -> int:
        return self.points["model"].n_unique()

    @cached_property
    def heights(self) -> Array:
        """f64 [points, 1 + resamples]: the metric, higher is better, capped; a collapsed point stands at the cap."""
        values, direction = self.resampled.values, self.metric.direction
        if self.metric.cap is None:
            return direction * values
        collapsed = (self.points["status"] == "collapsed").to_numpy() & np.isnan(values[:, 0])
        worst = direction * self.metric.cap
        return np.where(collapsed[:, None], worst, np.maximum(direction * values, worst))


@dataclass(frozen=True)
class Evidence:
    """The tables of a study as laws read them."""

    points: pl.DataFrame
    """The table points, of final checkpoints alone."""
    checkpoints: pl.DataFrame
    """The table points, earlier checkpoints too."""
    cells: pl.DataFrame
    """The table cells."""
    samples: SampleReader
    """Of the study's parts."""
    tell: Callable[[str], None]
    """Hears which family is being resampled."""
    _families: dict[tuple[str, str], FamilyPoints] = field(default_factory=dict)
    _known: dict[Hashable, object] = field(default_factory=dict)

    def families(self, metric: Metric) -> Iterator[FamilyPoints]:
        """Every family with its points, in alphabetical order."""
        for family in self.points["family"].unique().sort():
            key = (family, metric.name)
            if key not in self._families:
                self._families[key] = self._resample(family, metric)
            yield self._families[key]

    def grids(self, metric: Metric, *, checkpoints: bool = False, together: bool = False) -> list[Grid]:
        """The points of laws over sizes and k: one grid per family and selection of specs.

        With `checkpoints` earlier ones too; with `together` one grid of all families per selection.
        """
        points = self.checkpoints if checkpoints else self.points
        key = ("grids", metric.name, checkpoints, together)
        return self.once(key, lambda: list_grids(points, metric, together=together))

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What several laws use, made by the first that asks."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that the study measured on any point."""
        return [metric for metric in METRICS if self.points[metric.name].is_not_null().any()]

    def _resample(self, family: str, metric: Metric) -> FamilyPoints:
        points = self.points.filter(pl.col("family") == family).sort(POINT_ORDER)
        self.tell(f"resampling {metric.name} of {family}: {points.height:,} points")
        cells = self.cells.join(points.select("model", "spec"), on=["model", "spec"], how="semi").sort("cell_id")
        return FamilyPoints(family, metric, points, resample_metric(points, cells, metric, self.samples))


def read_evidence(tables: Path, parts: Sequence[Path], tell: Callable[[str], None]) -> Evidence:
    """Read a study's tables. Of models of one family and size only those trained longest enter (table models)."""
    final = read_table(tables, "models").filter("is_final_checkpoint").select("model")
    checkpoints = read_table(tables, "points").sort("family", *POINT_ORDER)
    points = checkpoints.join(final, on="model", how="semi", maintain_order="left")
    return Evidence(points, checkpoints, read_table(tables, "cells"), SampleReader(parts), tell)
