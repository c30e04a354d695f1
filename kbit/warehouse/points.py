"""points: one row per (model, spec), what the curves and laws are made of.

* `mean_zero_shot_accuracy`: unweighted mean of the headline metrics over the study's zero-shot tasks (the paper's
  number), its standard error with the tasks independent, and the mean chance level. Null unless every zero-shot task of
  the study has a score: `n_tasks` tasks have one, `n_tasks_of_study` are needed. These are the tasks that the study has
  for the point's family: publications differ in theirs.
* `nats_per_byte`, `nats_per_token`: mean over the study's perplexity tasks, null unless each has a finite value
  (`n_perplexity_tasks` of `n_perplexity_tasks_of_study` have).
* `status`: `ok` if all the point's cells are, otherwise the worst of theirs; `n_cells` counts them.

Sorted by family, parameters, tokens_seen, model, bits, spec.
"""

import polars as pl

from kbit.spec.rows import STATUSES

POINT = ("model", "family", "model_id", "parameters", "tokens_seen", "spec", "data_type", "bits", "exponent_bits")
ORDER = ("family", "parameters", "tokens_seen", "model", "bits", "spec")
LOSSES = ("nats_per_byte", "nats_per_token")


def build_points(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Average the scores of each (model, spec) over tasks, only where the set of tasks is complete."""
    cells, scores = tables["cells"], tables["scores"]
    points = describe_points(cells).join(average_accuracy(cells, scores), on=["model", "spec"], how="left")
    for metric in LOSSES:
        points = points.join(average_loss(cells, scores, metric), on=["model", "spec"], how="left")
    counted = pl.col("n_tasks", "n_perplexity_tasks").fill_null(0)
    return (
        points.with_columns(counted)
        .join(count_tasks(cells), on="family", how="left", validate="m:1")
        .sort(ORDER, nulls_last=True)
    )


def describe_points(cells: pl.DataFrame) -> pl.DataFrame:
    """Identity, footprint and worst status of every (model, spec)."""
    footprint = ("bits_per_param", "body_bits", "total_bits", "quantized_parameters")
    fixed = [*POINT, "block_size", "options"]
    severity = {status: index for index, status in enumerate(STATUSES)}
    worst = pl.col("status").replace_strict(severity).max()
    return (
        cells.group_by("model", "spec", maintain_order=True)
        .agg(
            *(pl.col(name).first() for name in fixed if name not in ("model", "spec")),
            # A crashed cell has no footprint; its neighbours of the same spec have the same one.
            *(pl.col(name).drop_nulls().first() for name in footprint),
            worst.replace_strict(dict(enumerate(STATUSES))).alias("status"),
            pl.len().alias("n_cells"),
        )
        .select(*fixed, *footprint, "status", "n_cells")
    )


def count_tasks(cells: pl.DataFrame) -> pl.DataFrame:
    """How many tasks of each kind the study has for each family."""
    of_kind = {"zero-shot": "n_tasks_of_study", "perplexity": "n_perplexity_tasks_of_study"}
    tasks = pl.col("task")
    return cells.group_by("family").agg(
        tasks.filter(pl.col("task_kind") == kind).n_unique().alias(name) for kind, name in of_kind.items()
    )


def average_accuracy(cells: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Mean headline metric of each (model, spec) over the zero-shot tasks, null if a task lacks a score."""
    complete = pl.col("n_tasks") == pl.col("n_tasks_of_study")
    return (
        scores.join(count_tasks(cells), on="family", how="left", validate="m:1")
        .filter((pl.col("task_kind") == "zero-shot") & pl.col("headline") & pl.col("value").is_finite())
        .group_by("model", "spec", maintain_order=True)
        # Lists in task order, so that the sums run in a fixed order whatever the engine does.
        .agg(
            *(pl.col(name).sort_by("task") for name in ("value", "stderr", "chance")),
            pl.len().alias("n_tasks"),
            pl.col("n_tasks_of_study").first(),
        )
        .select(
            "model",
            "spec",
            pl.when(complete).then(pl.col("value").list.mean()).alias("mean_zero_shot_accuracy"),
            pl.when(complete & ~has_null("stderr"))
            .then(pl.col("stderr").list.eval(pl.element() ** 2).list.sum().sqrt() / pl.col("n_tasks"))
            .alias("mean_zero_shot_accuracy_stderr"),
            pl.when(complete).then(pl.col("chance").list.mean()).alias("mean_chance"),
            "n_tasks",
        )
    )


def has_null(column: str) -> pl.Expr:
    return pl.col(column).list.eval(pl.element().is_null()).list.any()


def average_loss(cells: pl.DataFrame, scores: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Mean of a loss of each (model, spec) over the perplexity tasks, null if a task lacks a finite value."""
    counted = [pl.len().alias("n_perplexity_tasks")] if metric == LOSSES[0] else []
    complete = pl.col("value").list.len() == pl.col("n_perplexity_tasks_of_study")
    of_metric = (pl.col("task_kind") == "perplexity") & (pl.col("metric") == metric)
    return (
        scores.join(count_tasks(cells), on="family", how="left", validate="m:1")
        .filter(of_metric & pl.col("value").is_finite())
        .group_by("model", "spec", maintain_order=True)
        .agg(pl.col("value").sort_by("task"), pl.col("n_perplexity_tasks_of_study").first(), *counted)
        .with_columns(pl.when(complete).then(pl.col("value").list.mean()).alias(metric))
        .drop("value", "n_perplexity_tasks_of_study")
    )
