"""H2: fewer bits are better from 16 to 8 to 4; at 3 bits that reverses."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Tables
from kbit.scaling.claims.views import EQUAL_BITS, View, envelopes, views_at_equal_bits

STATISTIC = "smallest of the mean gains 16 to 8 bits, 8 to 4, and 3 to 4"
STEPS = ((8, 16), (4, 8), (4, 3))
"""(better, worse)"""
KS = (3, 4, 8, 16)


def test(tables: Tables) -> Iterator[Finding]:
    """The gains between the best specs of the four k over their common range."""
    for view in views_at_equal_bits(tables):
        yield find(view)


def find(view: View) -> Finding:
    curves = {k: view.curves(pl.col("bits") == k) for k in KS}
    if absent := [str(k) for k in KS if not curves[k]]:
        return view.missing(STATISTIC, f"points of {', '.join(absent)} bits at two sizes or more")
    heights = envelopes(*curves.values())
    if heights is None:
        return view.missing(STATISTIC, "a range of bits that all four curves share: larger or more models")
    mean = dict(zip(KS, (height.mean(axis=0) for height in heights), strict=True))
    gains = np.stack([mean[better] - mean[worse] for better, worse in STEPS])
    told = ", ".join(
        f"{worse} to {better} bits {gain[0]:+.4f}" for (better, worse), gain in zip(STEPS, gains, strict=True)
    )
    n = sum(len(curve.x) for group in curves.values() for curve in group)
    smallest = gains.min(axis=0)
    return view.decide(STATISTIC, smallest, above=0, unit=view.unit, n=n, method=EQUAL_BITS, note=f"gains: {told}")


CLAIM = Claim(
    "H2",
    "Steady gains from 16 to 8 to 4 bits, a reversal at 3",
    "At equal bits, averaged over the range that the best specs of 16, 8, 4 and 3 bits share, 8 bits are above "
    "16, 4 above 8, and 4 above 3: the smallest of the three gains is above 0.",
    "figure 1, section 5.1",
    test,
)
