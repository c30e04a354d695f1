"""H3: curves of different k are nearly parallel: one base and an offset per k predict better than bivariate powers."""

from collections.abc import Iterator

import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Subject, Tables, missing
from kbit.scaling.fit_rows import BEST

STATISTIC = "error on the two largest models: offset law over bivariate power law"
MARGIN = 1.25
"""Ratios between its inverse and itself are no difference: there is no interval."""
OFFSET, POWERS = "held_out_error[offset]", "held_out_error[bivariate_power]"


def test(tables: Tables) -> Iterator[Finding]:
    """The held-out errors that the comparison of laws found, of the best specs."""
    rows = tables.fits.filter((pl.col("fit") == "comparison") & (pl.col("data_type") == BEST))
    keys = ("family", "metric", "bit_accounting")
    for key in rows.select(keys).unique().sort(keys).iter_rows():
        of_key = rows.filter(*(pl.col(name) == value for name, value in zip(keys, key, strict=True)))
        yield find(Subject(*key), of_key)


def find(subject: Subject, rows: pl.DataFrame) -> Finding:
    errors = dict(rows.select("quantity", "value").iter_rows())
    n = rows["n"].max() or 0
    if errors.get(OFFSET) is None or errors.get(POWERS) is None:
        notes = rows.filter(pl.col("status") != "ok")["note"].unique().sort().to_list()
        return missing(subject, STATISTIC, "; ".join(notes) or "held-out errors of both laws", n)
    ratio = errors[OFFSET] / errors[POWERS]
    status = "supported" if ratio < 1 / MARGIN else "refuted" if ratio > MARGIN else "undetermined"
    what = f"a clear difference: the errors are within a factor of {MARGIN:g}" if status == "undetermined" else ""
    return Finding(
        subject,
        STATISTIC,
        status,
        ratio,
        expected=f"< {1 / MARGIN:g}",
        n=n,
        method="each law fitted without the two largest sizes; root mean square of its log errors there",
        missing=what,
        note=f"log errors: offset {errors[OFFSET]:.4f}, bivariate power {errors[POWERS]:.4f}; no interval",
    )


CLAIM = Claim(
    "H3",
    "Curves of different precision are nearly parallel",
    "One piecewise-linear base with an offset per k predicts the two largest models better than a sum of powers "
    "of parameters and bits: its error is smaller by a quarter or more.",
    "section 4",
    test,
)
