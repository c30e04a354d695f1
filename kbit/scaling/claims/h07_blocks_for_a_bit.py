"""H7: for Pythia at 4 bits, blocks of 64 instead of 1024 (a quarter of a bit) are worth almost a fifth bit."""

from collections.abc import Iterator

import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Tables
from kbit.scaling.claims.names import paper_family
from kbit.scaling.claims.views import PLAIN, SAME_MODEL, View, match, views_of_models

STATISTIC = "gain of blocks of 64 over 1024 at 4 bits, less half the gain of a fifth bit"
SHARE = 0.5


def test(tables: Tables) -> Iterator[Finding]:
    """Pythia and other models of its architecture."""
    for view in views_of_models(tables):
        if paper_family(view.family.family) == "Pythia":
            yield find(view)


def find(view: View) -> Finding:
    def of(bits: int, block_size: str) -> pl.Expr:
        return PLAIN & (pl.col("bits") == bits) & (pl.col("block_size") == block_size)

    blocks, bit = (match(view, better, of(4, "1024"), on=("data_type",)) for better in (of(4, "64"), of(5, "1024")))
    if blocks is None or bit is None:
        return view.missing(STATISTIC, "a data type at 4 bits with blocks of 64 and 1024, and at 5 bits with 1024")
    by_bit = bit.difference
    if by_bit[0] <= 0:
        return view.missing(STATISTIC, "a gain from the fifth bit, which the other could be compared with")
    excess = blocks.difference - SHARE * by_bit
    told = f"blocks {blocks.difference[0]:+.4f}, fifth bit {by_bit[0]:+.4f}, {blocks.n_models} models"
    return view.decide(STATISTIC, excess, above=0, unit=view.unit, n=len(blocks.first), method=SAME_MODEL, note=told)


CLAIM = Claim(
    "H7",
    "For Pythia small blocks are worth almost a bit",
    "In the same models, going from blocks of 1024 to 64 at 4 bits (0.23 bits more) gives more than half of what "
    "a fifth bit gives.",
    "section 5.2, figure 3",
    test,
)
