"""outliers: one row per model and linear layer: do hidden units whose weights spread widely become large?

Spearman's rank correlation, over the input dimensions of a layer, of the weight std of the hidden unit that feeds each
with its mean magnitude on a text: table 2 of Dettmers & Zettlemoyer (2023), whose pairs of `feeder` and `role` are kvq
and attention_output, attention_output and ffn1 and, as a control, ffn1 and ffn2. Ranks, as the residuals are far from
normal (their appendix D). Null where all units are alike. Sorted by family, parameters, model, block, linear.
"""

from collections.abc import Sequence

import polars as pl
from scipy.stats import spearmanr

ORDER = ("family", "parameters", "model", "block", "linear")
SCHEMA = {"spearman": pl.Float64, "p_value": pl.Float64}


def build_outliers(plan: pl.DataFrame, observed: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """plan: with the columns model, family, model_id and planned_parameters; observed: a frame of
    `kbit.store.hidden_units` for each model."""
    models = plan.select("model", "family", "model_id", parameters="planned_parameters").unique(maintain_order=True)
    rows = pl.concat(observed)
    found = [correlate(std, magnitude) for std, magnitude in rows.select("std", "magnitude").iter_rows()]
    return (
        rows.with_columns(pl.DataFrame(found, schema=SCHEMA, orient="row"))
        .join(models, on="model_id", how="inner")
        .select(
            *("model", "family", "model_id", "parameters", "task", "block", "linear"),
            pl.col("feeders").list.join("+").alias("feeder"),
            pl.col("role"),
            *("spearman", "p_value"),
            pl.col("std").list.len().cast(pl.Int64).alias("n_units"),
            pl.col("n_tokens"),
        )
        .sort(ORDER, nulls_last=True)
    )


def correlate(std: list[float], magnitude: list[float]) -> tuple[float | None, float | None]:
    """Spearman's rho and its two-sided p-value, by Student's t; None where either has one value alone."""
    if len(set(std)) < 2 or len(set(magnitude)) < 2:
        return None, None
    result = spearmanr(std, magnitude)
    return float(result.statistic), float(result.pvalue)
