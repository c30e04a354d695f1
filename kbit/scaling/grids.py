"""Grids: what laws over sizes and k are fitted to. One point for each model and k, the best spec of a selection."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kbit.scaling.curves import Array
from kbit.scaling.exclusions import EXCLUSIONS
from kbit.scaling.fit_rows import ALL, Subject
from kbit.scaling.metrics import Metric
from kbit.scaling.selections import CONTROL, Selection, list_selections


@dataclass(frozen=True)
class Grid:
    """The points of one family (or of all) under one selection of specs; every array has one value for each point."""

    family: str
    """`all` for those of all families together."""
    metric: Metric
    selection: Selection
    points: pl.DataFrame
    """Sorted by family, parameters, model, bits. `control` is the model's own 16-bit value."""
    n_left_out: int
    """Points of the selection that the exclusions took."""
    _columns: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)

    def column(self, name: str) -> Array:
        """f64 [points], read-only; NaN where the table has no value."""
        if name not in self._columns:
            self._columns[name] = self.points[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
            self._columns[name].flags.writeable = False
        return self._columns[name]

    @cached_property
    def value(self) -> Array:
        return self.column(self.metric.name)

    @cached_property
    def model(self) -> NDArray[np.intp]:
        """[points]: number of the size, 0 for the smallest of the first family. A size's checkpoints share it."""
        index = {size: number for number, size in enumerate(sorted(set(self._sizes)))}
        return np.array([index[size] for size in self._sizes], dtype=np.intp)

    @cached_property
    def family_number(self) -> NDArray[np.intp]:
        """[points]"""
        return self.points["family"].rank("dense").to_numpy().astype(np.intp) - 1

    @cached_property
    def n_sizes(self) -> int:
        return len(set(self._sizes))

    @cached_property
    def _sizes(self) -> list[tuple[str, int]]:
        return list(zip(self.points["family"], self.points["parameters"], strict=True))

    @cached_property
    def ks(self) -> list[int]:
        """Ascending."""
        return self.points["bits"].unique().sort().to_list()

    @property
    def settings(self) -> str:
        return EXCLUSIONS.describe(self.metric, self.n_left_out)

    def subject(self, fit: str, bit_accounting: str = "", bits: int | None = None) -> Subject:
        """What a law fitted to the grid is about."""
        chosen, metric = self.selection, self.metric
        return Subject(
            fit, self.family, metric.task_set, metric.name, bit_accounting, chosen.data_type, chosen.block_size,
            chosen.options, bits=bits,
        )  # fmt: skip

    def take(self, keep: pl.Expr) -> "Grid":
        """The grid of some of its points."""
        return Grid(self.family, self.metric, self.selection, self.points.filter(keep), self.n_left_out)


def list_grids(points: pl.DataFrame, metric: Metric, *, together: bool) -> list[Grid]:
    """One grid per family and selection, or one per selection of all families together."""
    groups = {ALL: points} if together else {family: group for (family,), group in points.group_by("family")}
    return [
        make_grid(family, metric, selection, group)
        for family, group in sorted(groups.items())
        for selection in list_selections(group)
    ]


def make_grid(family: str, metric: Metric, selection: Selection, points: pl.DataFrame) -> Grid:
    """The best points of a selection: for every model and k the spec with the best value."""
    chosen = selection.of(points)
    kept = chosen.filter(EXCLUSIONS.rule(metric) & pl.col("quantized_parameters").is_not_null())
    best = kept.sort("model", "bits", metric.name, "spec", descending=[False, False, metric.direction > 0, False])
    best = best.unique(["model", "bits"], keep="first", maintain_order=True)
    control = kept.filter(pl.col("data_type") == CONTROL).select("model", control=metric.name)
    named = best.join(control, on="model", how="left").sort("family", "parameters", "model", "bits")
    return Grid(family, metric, selection, named, chosen.height - kept.height)
