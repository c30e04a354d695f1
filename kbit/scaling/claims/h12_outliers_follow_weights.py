"""H12: hidden units of widely spread weights become outliers, most where attention feeds the feed-forward layer."""

from collections.abc import Iterator

import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Subject, Tables, missing
from kbit.scaling.fit_rows import ALL

STATISTIC = "smallest gap in the order of mean rank correlations"
LARGE = 300_000_000
"""Parameters: the smallest model of the paper's table has 350 million."""
CONTROL_PAIR, MIDDLE_PAIR, STRONG_PAIR = ("ffn1", "ffn2"), ("kvq", "attention_output"), ("attention_output", "ffn1")
"""(feeder, role) of the table's rows: FFN1 / ReLU, KVQ / attention output, attention output / FFN layer 1."""


def test(tables: Tables) -> Iterator[Finding]:
    """Every family with the table `outliers`."""
    if tables.outliers is None:
        yield missing(Subject(ALL), STATISTIC, "the table outliers (rank correlations of weight std and magnitude)")
        return
    large = tables.outliers.filter(pl.col("parameters") >= LARGE)
    for family in tables.outliers["family"].unique().sort():
        yield find(family, large.filter(pl.col("family") == family))


def find(family: str, rows: pl.DataFrame) -> Finding:
    """Per model the mean over layers; each of the two gaps of the order is to be above 0 in every model."""
    if not rows.height:
        return missing(Subject(family), STATISTIC, f"a model of {LARGE:,} parameters or more")
    means = rows.group_by("model", "feeder", "role").agg(pl.col("spearman").mean())
    of_pair = [
        means.filter((pl.col("feeder") == feeder) & (pl.col("role") == role)).select(
            "model", pl.col("spearman").alias(name)
        )
        for (feeder, role), name in zip(
            (CONTROL_PAIR, MIDDLE_PAIR, STRONG_PAIR), ("control", "middle", "strong"), strict=True
        )
    ]
    models = of_pair[0].join(of_pair[1], on="model").join(of_pair[2], on="model").drop_nulls().sort("model")
    if not models.height:
        return missing(Subject(family), STATISTIC, "correlations of all three pairs of layers", rows.height)
    gaps = models.select(
        pl.min_horizontal(pl.col("strong") - pl.col("middle"), pl.col("middle") - pl.col("control").abs()).alias("gap")
    )["gap"]
    kept = int((gaps > 0).sum())
    status = "supported" if kept == models.height else "refuted" if kept == 0 else "undetermined"
    return Finding(
        Subject(family),
        STATISTIC,
        status,
        float(gaps.min()),
        unit="rank correlation",
        expected="> 0 in every model",
        n=rows.height,
        method="Spearman's rho per layer, mean over the layers of a model",
        missing="models that agree" if status == "undetermined" else "",
        note=f"the order holds in {kept} of {models.height} models; no interval",
    )


CLAIM = Claim(
    "H12",
    "Outliers follow the spread of weights",
    "In every model of 300 million parameters or more, the rank correlation of weight std and hidden-unit "
    "magnitude is larger from attention output to the feed-forward layer than from attention to its output, and "
    "there larger than behind the ReLU, the control.",
    "table 2, appendix D",
    test,
)
