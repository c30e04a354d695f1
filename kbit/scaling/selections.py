"""Which specs stand for each k: one data type and block size, or the best of all."""

from dataclasses import dataclass

import polars as pl

from kbit.scaling.fit_rows import BEST

CONTROL = "none"
"""Data type of the 16-bit control, which belongs to every selection."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Specs that compete. A float may have several exponent widths at one k: the best of them stands for k."""

    data_type: str
    block_size: str
    options: str

    def of(self, points: pl.DataFrame) -> pl.DataFrame:
        """The points of the selection, the control's included."""
        if self.data_type == BEST:
            return points
        chosen = pl.all_horizontal(
            pl.col("data_type") == self.data_type,
            pl.col("block_size") == self.block_size,
            pl.col("options") == self.options,
        )
        return points.filter((pl.col("data_type") == CONTROL) | chosen)


BEST_SPECS = Selection(BEST, BEST, BEST)


def list_selections(points: pl.DataFrame) -> list[Selection]:
    """Every (data type, block size, options) among the points, and the best of all of them first."""
    groups = (
        points.filter(pl.col("data_type") != CONTROL)
        .select("data_type", "block_size", "options")
        .unique()
        .sort("data_type", "block_size", "options")
    )
    return [BEST_SPECS, *(Selection(*group) for group in groups.iter_rows())]
