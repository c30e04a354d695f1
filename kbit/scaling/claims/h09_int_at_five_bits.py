"""H9: at 5 bits int beats float (with the paper's three exponent bits)."""

from collections.abc import Iterator

import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Tables
from kbit.scaling.claims.views import PLAIN, SAME_MODEL, View, match, views_of_models

STATISTIC = "int minus float with three exponent bits, 5 bits"


def test(tables: Tables) -> Iterator[Finding]:
    """The same models and blocks with both."""
    for view in views_of_models(tables):
        yield find(view)


def find(view: View) -> Finding:
    of_bits = PLAIN & (pl.col("bits") == 5)
    is_float = (pl.col("data_type") == "float") & (pl.col("exponent_bits") == 3)
    pairs = match(view, of_bits & (pl.col("data_type") == "int"), of_bits & is_float, on=("block_size",))
    if pairs is None:
        return view.missing(STATISTIC, "models with int and float (E = 3) at 5 bits and one block size")
    told = f"{len(pairs.first)} pairs of {pairs.n_models} models"
    return view.decide(
        STATISTIC, pairs.difference, above=0, unit=view.unit, n=2 * len(pairs.first), method=SAME_MODEL, note=told
    )


CLAIM = Claim(
    "H9",
    "At 5 bits int is better than float",
    "In the same models and block sizes, 5-bit int is above 5-bit float with three exponent bits (E3M1).",
    "section 5.2",
    test,
)
