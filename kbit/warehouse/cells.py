"""cells: one row per planned cell, whatever became of it.

The plan's columns (names of the model, family and task, the task's kind, headline metric and chance level), then the
row's own columns without samples and greedy. `options` names what of the spec is not at its default, as in its slug;
`parameters` is the count of the loaded model, or the plan's where every cell crashed. Sorted by family, parameters,
tokens_seen, model, bits, spec, task.
"""

import polars as pl

from kbit.spec import members
from kbit.spec.rows import COLUMNS

PLAN_COLUMNS = (
    "cell_id",
    "model",
    "family",
    "model_id",
    "planned_parameters",
    "tokens_seen",
    "spec",
    "task",
    "task_kind",
    "task_metric",
    "task_label",
    "chance",
)

ORDER = ("family", "parameters", "tokens_seen", "model", "bits", "spec", "task")
ROW_COLUMNS = tuple(column.name for column in COLUMNS if column.name not in ("samples", "greedy"))


def build_cells(plan: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Join the plan's names to the rows. Both hold the same cells, once."""
    own = [name for name in ROW_COLUMNS if name not in PLAN_COLUMNS]
    return (
        plan.select(PLAN_COLUMNS)
        .join(rows.select("cell_id", *own), on="cell_id", how="inner", validate="1:1")
        .with_columns(
            # One size per model, also where some of its cells crashed.
            pl.coalesce(pl.col("parameters").max().over("model_id"), pl.col("planned_parameters").cast(pl.Int64)).alias(
                "parameters"
            ),
            options_of_spec().alias("options"),
        )
        .drop("planned_parameters")
        .sort(ORDER, nulls_last=True)
    )


STANDARDS = [name for name, member in members.DATA_TYPES.items() if member.own_scale_format]
"""Data types that come with their scale format."""
CALIBRATED = [name for name in members.SOLVERS if members.is_calibrated(name)]


def options_of_spec() -> pl.Expr:
    """What of a spec is not at its default, joined by `-` as in its slug; empty for most. See QuantSpec.options."""
    chosen = pl.when(~pl.col("data_type").is_in(STANDARDS)).then(pl.col("scale_format"))
    fraction = pl.col("outlier_fraction").map_elements(lambda p: f"p{p:g}", return_dtype=pl.String)
    rule = pl.when(pl.col("outlier_rule") != members.DEFAULT_OUTLIER_RULE).then("_" + pl.col("outlier_rule"))
    parts = [
        pl.when(pl.col("centered") != members.DEFAULT_CENTERING).then("centered_" + pl.col("centered")),
        pl.when(pl.col("outlier_fraction") > 0).then(fraction + rule.otherwise(pl.lit(""))),
    ]
    for choice, default in (
        (chosen, members.DEFAULT_SCALE_FORMAT),
        (pl.col("solver"), members.DEFAULT_SOLVER),
        (pl.col("rotation"), members.DEFAULT_ROTATION),
    ):
        parts.append(pl.when(choice != default).then(choice))
    is_calibrated = pl.col("solver").is_in(CALIBRATED)
    damping = pl.col("damping").map_elements(lambda share: f"damp{share:g}", return_dtype=pl.String)
    parts.append(pl.when(is_calibrated & (pl.col("damping") != members.DEFAULT_DAMPING)).then(damping))
    parts.append(pl.when(is_calibrated & pl.col("act_order")).then(pl.lit("actorder")))
    return pl.concat_str(parts, separator="-", ignore_nulls=True)
