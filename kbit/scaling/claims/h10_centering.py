"""H10: subtracting the mean before quantizing does not help."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Tables
from kbit.scaling.claims.damage import gain_and_damage
from kbit.scaling.claims.views import PLAIN, SAME_MODEL, View, views_of_models

STATISTIC = "largest gain of centering, less a tenth of the distance to 16 bits"
CENTERINGS = ("centered_tensor", "centered_block")
SHARE = 0.1


def test(tables: Tables) -> Iterator[Finding]:
    """Every centering against none: the same models, data types, bits and blocks."""
    for view in views_of_models(tables):
        yield find(view)


def find(view: View) -> Finding:
    on = ("data_type", "bits", "exponent_bits", "block_size")
    gains = {
        option: gain
        for option in CENTERINGS
        if (gain := gain_and_damage(view, pl.col("options") == option, PLAIN, on)) is not None
    }
    if not gains:
        return view.missing(STATISTIC, "specs with and without centering, and the 16-bit model")
    told = ", ".join(f"{option} {gain[0]:+.4f} of {damage[0]:.4f}" for option, (gain, damage) in gains.items())
    largest = np.max([gain - SHARE * damage for gain, damage in gains.values()], axis=0)
    return view.decide(STATISTIC, largest, below=0, unit=view.unit, n=view.points.height, method=SAME_MODEL, note=told)


CLAIM = Claim(
    "H10",
    "Centering is useless",
    "In the same models and specs, subtracting the mean of the tensor or of the block removes less than a tenth "
    "of the distance to 16 bits.",
    "appendix B",
    test,
)
