"""H8: at 4 bits, quantile and float beat int and dynamic exponent."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Tables
from kbit.scaling.claims.views import PLAIN, SAME_MODEL, View, match, views_of_models

STATISTIC = "the worse of quantile and float minus the better of int and dynamic, 4 bits"
BETTER, WORSE = ("quantile", "float"), ("int", "dynamic")


def test(tables: Tables) -> Iterator[Finding]:
    """The same models and blocks with all four data types; float with the better of its exponent widths."""
    for view in views_of_models(tables):
        yield find(view)


def find(view: View) -> Finding:
    def of(data_type: str) -> pl.Expr:
        return PLAIN & (pl.col("bits") == 4) & (pl.col("data_type") == data_type)

    # Only models and blocks that all four have: each pair is taken from these.
    points = view.points.filter(PLAIN & (pl.col("bits") == 4) & pl.col("data_type").is_in([*BETTER, *WORSE]))
    whole = points.group_by("model", "block_size").agg(pl.col("data_type").n_unique()).filter(pl.col("data_type") == 4)
    in_whole = pl.struct("model", "block_size").is_in(
        whole.select(pl.struct("model", "block_size")).to_series().implode()
    )
    pairs = {
        (better, worse): match(view, of(better) & in_whole, of(worse) & in_whole, on=("block_size",))
        for better in BETTER
        for worse in WORSE
    }
    if any(pair is None for pair in pairs.values()):
        return view.missing(STATISTIC, "models with int, float, dynamic and quantile at 4 bits and one block size")
    differences = {names: pair.difference for names, pair in pairs.items() if pair is not None}
    told = ", ".join(f"{better} over {worse} {gain[0]:+.4f}" for (better, worse), gain in differences.items())
    smallest = np.min(list(differences.values()), axis=0)
    return view.decide(STATISTIC, smallest, above=0, unit=view.unit, n=4 * whole.height, method=SAME_MODEL, note=told)


CLAIM = Claim(
    "H8",
    "Quantile and float are the best data types at 4 bits",
    "In the same models and block sizes, at 4 bits each of quantile and float (with its better exponent width) is "
    "above each of int and dynamic exponent: the smallest of the four mean differences is above 0.",
    "section 5.2, figures 3 and 9",
    test,
)
