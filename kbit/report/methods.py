"""The rows of the ranked methods: what the law `equal_bits` found, in the page's names."""

import polars as pl

from kbit.report.verdict import FIT_METRICS

ENOUGH = 5
"""Specs of one k and family below which there is nothing to rank that other figures do not show better."""
KEYS = ["metric", "accounting", "family", "bits", "spec"]

METHOD_SCHEMA = pl.Schema(
    {
        "metric": pl.String, "accounting": pl.String, "family": pl.String, "bits": pl.Int32, "spec": pl.String,
        "data_type": pl.String, "option": pl.String, "bits_per_param": pl.Float64, "difference": pl.Float64,
        "items_low": pl.Float64, "items_high": pl.Float64, "models_low": pl.Float64, "models_high": pl.Float64,
    }
)  # fmt: skip


def method_rows(fits: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    """One row per (metric, accounting, family, spec) of `METHOD_SCHEMA`; none for a family with fewer than ENOUGH.

    points: the page's, which know options by name and bits per parameter: those of the family's largest model.
    """
    page_metric = {name: metric for metric, name in FIT_METRICS.items()}
    found = fits.filter(pl.col("fit") == "equal_bits").select(
        pl.col("metric").replace(page_metric),
        pl.col("bit_accounting").alias("accounting"),
        "family", "bits", "spec", "data_type", "quantity", "value", "low", "high",
    )  # fmt: skip
    over_items = found.filter(pl.col("quantity") == "difference")
    over_models = found.filter(pl.col("quantity") == "difference_over_models")
    facts = (
        points.sort("parameters")
        .group_by("family", "spec", maintain_order=True)
        .agg(pl.col("option").first(), pl.col("bits_per_param").last())
    )
    return (
        over_items.rename({"value": "difference", "low": "items_low", "high": "items_high"})
        .join(over_models.select(*KEYS, models_low="low", models_high="high"), on=KEYS, how="left")
        .join(facts, on=["family", "spec"], how="left")
        .filter((pl.len().over("metric", "accounting", "family", "bits") >= ENOUGH).any().over("family"))
        .select(METHOD_SCHEMA.names())
        .cast(METHOD_SCHEMA)
        .sort(KEYS)
    )
