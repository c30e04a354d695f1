"""H6: small blocks help at 3 to 5 bits, not at 6 to 8."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Tables
from kbit.scaling.claims.views import EQUAL_BITS, PLAIN, View, mean_gap, views_at_equal_bits
from kbit.scaling.curves import Array

LOW_BITS, HIGH_BITS = (3, 4, 5), (6, 7, 8)
HELPS = "smallest mean gain, over 3 to 5 bits, of blocks of 64 over 1024"
HELPS_NOT = "largest mean gain at 6 to 8 bits, less a tenth of the mean gain at 3 to 5"
SMALL, LARGE = "64", "1024"
SHARE = 0.1


def test(tables: Tables) -> Iterator[Finding]:
    """Two findings per view: that small blocks help at few bits, and that they do not at many."""
    for view in views_at_equal_bits(tables):
        gains = {k: gain for k in (*LOW_BITS, *HIGH_BITS) if (gain := gain_of_blocks(view, k)) is not None}
        low = [gains[k] for k in LOW_BITS if k in gains]
        high = [gains[k] for k in HIGH_BITS if k in gains]
        told = "; ".join(f"{k} bits {gain[0]:+.4f}" for k, gain in gains.items())
        yield at_few_bits(view, low, told, [k for k in LOW_BITS if k not in gains])
        yield at_many_bits(view, low, high, told)


def gain_of_blocks(view: View, bits: int) -> Array | None:
    """Mean over data types of the gain at equal bits, f64 [resamples]; None where no data type has both blocks."""
    gains = []
    of_bits = PLAIN & (pl.col("bits") == bits)
    for data_type in view.points.filter(of_bits)["data_type"].unique().sort():
        of_type = of_bits & (pl.col("data_type") == data_type)
        gain = mean_gap(*(view.curves(of_type & (pl.col("block_size") == size)) for size in (SMALL, LARGE)))
        if gain is not None:
            gains.append(gain)
    return np.mean(gains, axis=0) if gains else None


def at_few_bits(view: View, gains: list[Array], told: str, absent: list[int]) -> Finding:
    if not gains:
        return view.missing(HELPS, f"a data type with blocks of {SMALL} and {LARGE} at 3 to 5 bits, at two sizes")
    smallest = np.min(gains, axis=0)
    n = view.points.height
    found = view.decide(HELPS, smallest, above=0, unit=view.unit, n=n, method=EQUAL_BITS, note=told)
    if absent and found.status == "supported":
        # What one k refutes is refuted; what two support may still fail at the third.
        what = f"both block sizes at {', '.join(map(str, absent))} bits"
        return replace(found, status="undetermined", missing=what)
    return found


def at_many_bits(view: View, low: list[Array], high: list[Array], told: str) -> Finding:
    if not low or not high:
        what = f"a data type with blocks of {SMALL} and {LARGE} at 3 to 5 and at 6 to 8 bits, at two sizes"
        return view.missing(HELPS_NOT, what)
    base = np.mean(low, axis=0)
    if base[0] <= 0:
        return view.missing(HELPS_NOT, "a gain at 3 to 5 bits, which it could be compared with")
    excess = np.max(high, axis=0) - SHARE * base
    n = view.points.height
    return view.decide(HELPS_NOT, excess, below=0, unit=view.unit, n=n, method=EQUAL_BITS, note=told)


CLAIM = Claim(
    "H6",
    "Small blocks help below 6 bits only",
    "At equal bits, blocks of 64 beat blocks of 1024 at 3, 4 and 5 bits each (mean over data types), and at 6 to "
    "8 bits they gain less than a tenth of that.",
    "section 5.2, figures 3, 8, 10, 11",
    test,
)
