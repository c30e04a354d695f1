"""H1: 4 bits are best at a fixed number of bits."""

from collections.abc import Iterator

import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Subject, Tables, missing
from kbit.scaling.fit_rows import BEST

STATISTIC = "share of the common range of bits on which 4 bits are best"
LIMIT = 0.5


def test(tables: Tables) -> Iterator[Finding]:
    """What the verdicts of `fits` say, of the best spec at each k."""
    verdicts = tables.fits.filter((pl.col("fit") == "verdict") & (pl.col("data_type") == BEST))
    keys = ("family", "metric", "bit_accounting")
    for key in verdicts.select(keys).unique().sort(keys).iter_rows():
        rows = verdicts.filter(*(pl.col(name) == value for name, value in zip(keys, key, strict=True)))
        yield find(Subject(*key), {(row["quantity"], row["bits"]): row for row in rows.iter_rows(named=True)})


def find(subject: Subject, rows: dict[tuple[str, int | None], dict[str, object]]) -> Finding:
    best, share = rows["best_bits", None], rows.get(("share", 4))
    if best["status"] != "ok":
        return missing(subject, STATISTIC, best["note"], best["n"])
    if share is None:
        return missing(subject, STATISTIC, "points of 4 bits at two sizes or more", best["n"])
    low, high = share["low"], share["high"]
    status, what = "undetermined", f"precision: the interval contains {LIMIT:g}"
    if low is None:
        what = "an interval: its cells have neither samples nor standard errors"
    elif low > LIMIT or high < LIMIT:
        status, what = ("supported" if low > LIMIT else "refuted"), ""
    return Finding(
        subject,
        STATISTIC,
        status,
        share["value"],
        low,
        high,
        expected=f"> {LIMIT:g}",
        n=share["n"],
        method=share["method"],
        missing=what,
        note=f"best on the largest share: {best['value']:.0f} bits; {share['note']}".rstrip("; "),
    )


CLAIM = Claim(
    "H1",
    "4 bits are optimal",
    "At equal bits, with the best spec of each k, 4 bits are best on more than half of the range that all curves "
    "of the family share.",
    "section 5.1, figure 2",
    test,
)
