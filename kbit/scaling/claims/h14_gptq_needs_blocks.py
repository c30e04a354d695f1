"""H14: GPTQ needs blocks too: without them 3-bit GPTQ is worse than plain 3-bit rounding with blocks of 64."""

from collections.abc import Iterator

import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Tables
from kbit.scaling.claims.views import EQUAL_BITS, PLAIN, View, mean_gap, views_at_equal_bits

STATISTIC = "mean gain of plain 3-bit specs with blocks of 64 to 128 over 3-bit GPTQ without blocks"
GPTQ = r"^gptq(-damp[^-]*)?$"
"""Options of a spec with this solver, whatever its damping, and nothing else."""
WITH_BLOCKS, WITHOUT_BLOCKS = ("64", "128"), ("row", "tensor")


def test(tables: Tables) -> Iterator[Finding]:
    """Every view; the best specs of each kind."""
    for view in views_at_equal_bits(tables):
        yield find(view)


def find(view: View) -> Finding:
    three = pl.col("bits") == 3
    plain = three & PLAIN & pl.col("block_size").is_in(WITH_BLOCKS)
    gptq = three & pl.col("options").str.contains(GPTQ) & pl.col("block_size").is_in(WITHOUT_BLOCKS)
    gain = mean_gap(view.curves(plain), view.curves(gptq))
    if gain is None:
        what = "3-bit GPTQ with one scale per row or tensor, and plain 3-bit specs with blocks, at two sizes or more"
        return view.missing(STATISTIC, what)
    n = view.points.filter(plain | gptq).height
    return view.decide(STATISTIC, gain, above=0, unit=view.unit, n=n, method=EQUAL_BITS)


CLAIM = Claim(
    "H14",
    "GPTQ needs blocks",
    "At equal bits, plain rounding to 3 bits with blocks of 64 or 128 is above 3-bit GPTQ with one scale per row "
    "or tensor.",
    "figure 5, table 1",
    test,
)
