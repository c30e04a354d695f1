"""models: one row per model of the study: its size, what became of its cells, and its 16-bit scores.

`n_cells` counts the planned cells, `n_ok` … `n_failed` those of each status. `is_final_checkpoint` marks the models of
which curves along the size are made: of models of one family and size, those that have seen the most tokens (training
checkpoints stay out). Sorted by family, parameters, tokens_seen, model.
"""

import polars as pl

from kbit.spec.rows import STATUSES

ORDER = ("family", "parameters", "tokens_seen", "model")
CONTROL_SPEC = "none16"


def build_models(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Count each model's cells by status and join its 16-bit control."""
    statuses = [(pl.col("status") == status).sum().alias(f"n_{status}") for status in STATUSES]
    control = (
        tables["points"]
        .filter(pl.col("spec") == CONTROL_SPEC)
        .select(
            "model", control_accuracy=pl.col("mean_zero_shot_accuracy"), control_nats_per_byte=pl.col("nats_per_byte")
        )
    )
    return (
        tables["cells"]
        .group_by("model", maintain_order=True)
        .agg(
            pl.col("family", "model_id", "parameters", "tokens_seen").first(),
            pl.col("quantized_parameters").drop_nulls().first(),
            pl.len().alias("n_cells"),
            *statuses,
            # As a list first: its sum then runs in the cells' order whatever the engine does.
            pl.col("seconds"),
        )
        .with_columns(pl.col("seconds").list.sum())
        .join(control, on="model", how="left")
        .with_columns(is_final_checkpoint())
        .sort(ORDER, nulls_last=True)
    )


def is_final_checkpoint() -> pl.Expr:
    """True for the models of a family and size that have seen the most tokens, or when that is unknown."""
    seen = pl.col("tokens_seen")
    return (seen.is_null() | (seen == seen.max().over("family", "parameters"))).alias("is_final_checkpoint")
