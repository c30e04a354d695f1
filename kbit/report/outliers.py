"""Whether hidden units with widely spread weights become large: the table `outliers`, by family and pair of layers."""

from pathlib import Path

import polars as pl

from kbit.warehouse import read_table

TABLE = "outliers"
SIGNIFICANT = 0.05


def outlier_groups(tables: Path) -> list[dict[str, object]]:
    """One record per family, feeding layer and fed layer; none where the study did not ask for the measurement.

    `median`, `low`, `high`: Spearman's rho over models and layers, and its quartiles; `positive`: share of the layers
    with rho > 0 and p < SIGNIFICANT. Layers of one model are alike, so that shares carry no interval.
    """
    if not (tables / f"{TABLE}.parquet").is_file():
        return []
    known = read_table(tables, TABLE).filter(pl.col("spearman").is_not_null())
    rho = pl.col("spearman")
    return (
        known.group_by("family", "feeder", "role")
        .agg(
            models=pl.col("model").n_unique(),
            layers=pl.len(),
            median=rho.median(),
            low=rho.quantile(0.25, "linear"),
            high=rho.quantile(0.75, "linear"),
            positive=((rho > 0) & (pl.col("p_value") < SIGNIFICANT)).mean(),
        )
        .sort("family", "feeder", "role")
        .to_dicts()
    )
