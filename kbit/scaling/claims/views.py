"""What the tests of claims measure: gaps between curves at equal bits, and differences between specs of one model.

Heights are the metric with higher better, whatever its direction; arrays run over resamples, column 0 being all items.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from kbit.scaling.claims.claim import Finding, Subject, Tables, missing
from kbit.scaling.curves import Array, Curve, common_range, grid_over, make_curve
from kbit.scaling.evidence import FamilyPoints
from kbit.scaling.fit_rows import LEVEL
from kbit.scaling.frontier import highest
from kbit.scaling.metrics import BIT_ACCOUNTINGS

PLAIN = pl.col("options") == ""
"""Specs of data type, bits and block size alone."""
CONTROL = pl.col("data_type") == "none"
EQUAL_BITS = "linear interpolation in log2 bits"
SAME_MODEL = "mean difference between specs of one model"
UNITS = {"nats_per_byte": "nats per byte", "mean_zero_shot_accuracy": "accuracy"}


@dataclass(frozen=True)
class View:
    """One family under one metric, its curves under one count of bits."""

    family: FamilyPoints
    bit_accounting: str = ""

    @property
    def subject(self) -> Subject:
        return Subject(self.family.family, self.family.metric.name, self.bit_accounting)

    @property
    def unit(self) -> str:
        return UNITS.get(self.family.metric.name, "")

    @cached_property
    def points(self) -> pl.DataFrame:
        """The points that have the metric, with their row among the family's heights."""
        return self.family.points.with_row_index("row").filter(~np.isnan(self.family.heights[:, 0]))

    def heights(self, points: pl.DataFrame) -> Array:
        """f64 [points, resamples] of rows of `points`."""
        return self.family.heights[points["row"].to_numpy()]

    def curves(self, where: pl.Expr) -> list[Curve]:
        """One curve per spec that `where` takes and that two sizes or more have."""
        curves = []
        for (bits, spec), group in self.points.filter(where).group_by("bits", "spec", maintain_order=True):
            known = group.filter(pl.col(self.bit_accounting).is_not_null())
            log2_bits = np.log2(known[self.bit_accounting].to_numpy().astype(float))
            if len(np.unique(log2_bits)) >= 2:
                sizes = known["parameters"].to_numpy().astype(float)
                curves.append(make_curve(bits, spec, log2_bits, self.heights(known), sizes))
        return curves

    def decide(self, statistic: str, resamples: Array, **details: object) -> Finding:
        """The finding that `decide` makes, of this family; what its resamples are drawn from is noted."""
        notes = [str(details.pop("note", "")), *self.family.resampled.notes]
        method = "; ".join(filter(None, [str(details.pop("method", "")), self.family.resampled.method]))
        return decide(self.subject, statistic, resamples, method=method, note="; ".join(filter(None, notes)), **details)

    def missing(self, statistic: str, what: str) -> Finding:
        return missing(self.subject, statistic, what, self.points.height)


def views_at_equal_bits(tables: Tables) -> Iterator[View]:
    """Every family, metric and count of bits."""
    for metric in tables.evidence.metrics:
        for family in tables.evidence.families(metric):
            for bit_accounting in BIT_ACCOUNTINGS:
                yield View(family, bit_accounting)


def views_of_models(tables: Tables) -> Iterator[View]:
    """Every family and metric, where models are compared with themselves."""
    for metric in tables.evidence.metrics:
        for family in tables.evidence.families(metric):
            yield View(family)


def envelopes(*groups: Sequence[Curve]) -> list[Array] | None:
    """For each group of curves the highest of them, f64 [grid, resamples], over the range that all curves share.

    None if a group is empty or they share no range.
    """
    if not all(groups):
        return None
    low, high = common_range([curve for group in groups for curve in group])
    if low >= high:
        return None
    grid, heights = grid_over(low, high), []
    for group in groups:
        height = np.empty((len(grid), group[0].y.shape[1]))
        highest(group, grid, height)
        heights.append(height)
    return heights


def mean_gap(first: Sequence[Curve], second: Sequence[Curve]) -> Array | None:
    """f64 [resamples]: how much higher the first curves are than the second, on average over their common range."""
    heights = envelopes(first, second)
    return None if heights is None else (heights[0] - heights[1]).mean(axis=0)


@dataclass(frozen=True)
class Pairs:
    """Two kinds of specs of the same models."""

    first: Array
    second: Array
    """f64 [pairs, resamples]: the heights of each; of several specs of a kind the best."""
    n_models: int

    @property
    def difference(self) -> Array:
        """f64 [resamples]: first minus second, mean over the pairs."""
        return (self.first - self.second).mean(axis=0)


def match(view: View, first: pl.Expr, second: pl.Expr, on: Sequence[str]) -> Pairs | None:
    """Points that `first` and `second` take, paired where the columns `on` are equal (and the model); None if none."""
    keys = ["model", *on]
    sides = [
        view.points.filter(side).group_by(keys, maintain_order=True).agg(pl.col("row")) for side in (first, second)
    ]
    pairs = (
        sides[0].join(sides[1], on=keys, how="inner", suffix="_second", nulls_equal=True).sort(keys, nulls_last=True)
    )
    if not pairs.height:
        return None
    best = [
        np.stack([view.family.heights[rows].max(axis=0) for rows in pairs[name].to_list()])
        for name in ("row", "row_second")
    ]
    return Pairs(best[0], best[1], pairs["model"].n_unique())


def decide(
    subject: Subject,
    statistic: str,
    resamples: Array,
    *,
    above: float | None = None,
    below: float | None = None,
    unit: str = "",
    n: int = 0,
    method: str = "",
    note: str = "",
) -> Finding:
    """Supported if the whole interval lies above `above` (or below `below`), refuted if on the other side of it.

    resamples f64 [1 + resamples]: the value, then its resamples; NaN among these means that there is no interval.
    """
    limit = above if above is not None else below
    if limit is None:
        raise ValueError("a claim is decided by a limit: above or below")
    value, low, high = float(resamples[0]), *interval(resamples)
    expected = f"> {limit:g}" if above is not None else f"< {limit:g}"
    found = Finding(subject, statistic, "undetermined", value, low, high, unit, expected, n, method, "", note)
    if low is None or high is None:
        return replace_status(found, "undetermined", "an interval: its cells have neither samples nor standard errors")
    if low <= limit <= high:
        return replace_status(found, "undetermined", f"precision: the interval contains {limit:g}")
    return replace_status(found, "supported" if (low > limit) == (above is not None) else "refuted", "")


def replace_status(finding: Finding, status: str, what: str) -> Finding:
    return replace(finding, status=status, missing=what)


def interval(resamples: Array) -> tuple[float | None, float | None]:
    """The central interval of the resamples, without the value itself, which is first; None where one is unknown."""
    if len(resamples) < 3 or not np.isfinite(resamples).all():
        return None, None
    n, tail = len(resamples) - 1, (1 - LEVEL) / 2
    # The smallest value that at least this share of them do not exceed; rounded: 0.025 is a little more in floats.
    ranks = [math.ceil(round(share * n, 6)) - 1 for share in (tail, 1 - tail)]
    low, high = np.partition(resamples[1:], ranks)[ranks]
    return float(low), float(high)
