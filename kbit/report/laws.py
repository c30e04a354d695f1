"""What the power laws among the fits give for every point: a line to draw, and residuals."""

import polars as pl
from polars import selectors

from kbit.scaling.metrics import BIT_ACCOUNTINGS

POWER_LAW = "power_law"
PARAMETERS = ("E", "A", "alpha")
"""loss = E + A * bits^-alpha (kbit/scaling/laws/power_law.py)."""


def add_power_laws(points: pl.DataFrame, fits: pl.DataFrame) -> pl.DataFrame:
    """The points with `fitted_…` (nats per byte) and `residual_…` (per cent) for both counts of bits.

    Null where the spec has no law, and for earlier checkpoints, which no law was fitted to.
    """
    for accounting in BIT_ACCOUNTINGS:
        laws = power_laws(fits, accounting)
        joined = points.join(laws, on=["family", "spec"], how="left", maintain_order="left", validate="m:1")
        predicted = pl.col("law_E") + pl.col("law_A") * pl.col(accounting).cast(pl.Float64) ** -pl.col("law_alpha")
        fitted = pl.when(pl.col("final")).then(predicted).alias(f"fitted_{accounting}")
        residual = (100 * (pl.col("loss") / pl.col(f"fitted_{accounting}") - 1)).alias(f"residual_{accounting}")
        points = joined.with_columns(fitted).with_columns(residual).drop(selectors.starts_with("law_"))
    return points


def power_laws(fits: pl.DataFrame, accounting: str) -> pl.DataFrame:
    """(family, spec) -> law_E, law_A, law_alpha of the power law over this count of bits."""
    rows = fits.filter(
        (pl.col("fit") == POWER_LAW) & (pl.col("bit_accounting") == accounting) & pl.col("spec").is_not_null()
    )
    laws = rows.select("family", "spec").unique().sort("family", "spec")
    for name in PARAMETERS:
        values = rows.filter((pl.col("quantity") == name) & pl.col("value").is_not_null())
        column = values.select("family", "spec", pl.col("value").alias(f"law_{name}"))
        laws = laws.join(column, on=["family", "spec"], how="left", validate="1:1")
    return laws
