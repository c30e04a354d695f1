"""H11: keeping the 2 % of inputs that outliers come from at 16 bits helps at 3 bits, and does not at 4."""

from collections.abc import Iterator

import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Tables
from kbit.scaling.claims.views import CONTROL, EQUAL_BITS, PLAIN, View, mean_gap, views_at_equal_bits

OPTION = "p0.02"
HELPS = "mean gain of 2 % outliers at 3 bits"
HELPS_NOT = "mean gain of 2 % outliers at 4 bits"


def test(tables: Tables) -> Iterator[Finding]:
    """Two findings per view: at 3 and at 4 bits."""
    for view in views_at_equal_bits(tables):
        yield find(view, 3)
        yield find(view, 4)


def find(view: View, bits: int) -> Finding:
    """The specs with outliers against those of the same data types and blocks without."""
    statistic = HELPS if bits == 3 else HELPS_NOT
    of_bits = (pl.col("bits") == bits) & ~CONTROL
    kept = of_bits & (pl.col("options") == OPTION)
    same = pl.struct("data_type", "exponent_bits", "block_size")
    specs = view.points.filter(kept).select(same.alias("spec")).unique()["spec"]
    plain = of_bits & PLAIN & same.is_in(specs.implode())
    gain = mean_gap(view.curves(kept), view.curves(plain)) if len(specs) else None
    if gain is None:
        return view.missing(statistic, f"{bits}-bit specs with and without {OPTION}, at two sizes or more")
    side = {"above": 0} if bits == 3 else {"below": 0}
    return view.decide(
        statistic, gain, unit=view.unit, n=view.points.filter(kept | plain).height, method=EQUAL_BITS, **side
    )


CLAIM = Claim(
    "H11",
    "Proxy quantization helps at 3 bits, not at 4",
    "At equal bits, the best specs with 2 % of the input dimensions at 16 bits are above the same specs without "
    "at 3 bits, and not above at 4 bits.",
    "section 5.2, figure 4",
    test,
)
