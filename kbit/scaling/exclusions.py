"""Which points the non-linear laws do not see. A rule that drops points can move an exponent a lot: every fit row
tells in its settings which rule held and how many points it took.
"""

from dataclasses import dataclass

import polars as pl

from kbit.scaling.metrics import Metric


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Points that are left out of a fit; nothing else is."""

    worst_share: float = 1.0
    """Losses at or beyond this share of the metric's cap, the loss of a model that knows nothing, are left out."""

    def rule(self, metric: Metric) -> pl.Expr:
        """True for the points that stay: a finite value, better than the cap."""
        column = pl.col(metric.name)
        stays = column.is_not_null() & column.is_finite()
        return stays if metric.cap is None else stays & (column < self.worst_share * metric.cap)

    def describe(self, metric: Metric, n_left_out: int) -> str:
        """The rule in words, with what it took."""
        bound = "" if metric.cap is None else f" and below {self.worst_share * metric.cap:.4g}"
        return f"points with a finite {metric.name}{bound}; left out: {n_left_out}"


EXCLUSIONS = Exclusions()
