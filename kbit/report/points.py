"""The rows that charts draw: the study's points under the page's names, each with its distance from 16 bits.

| column | meaning |
|---|---|
| accuracy, accuracy_stderr | mean zero-shot accuracy over n_tasks tasks, and its standard error |
| loss, loss_stderr | nats per byte of held-out text: log-perplexity in a unit that families share |
| accuracy_change, loss_change | minus that of the same model's 16-bit control; null without one |
| codebook | the data type, float with its exponent bits E |
| exponent_rule | which rule of the paper a float follows; `one E` where the study has no choice at that k |
| exponent_choice | the study has floats of the same k, block size and options with several exponent bits |
| option | what of the spec is not at its default, `none` for a spec without options |
| option_choice | the study has the same k, data type, exponent bits and block size with and without options |
| kl_divergence, log_kl | nats per token between the predictions of the 16-bit model and the quantized one; its log10 |
| fitted_…, residual_… | what the power law of the spec gives at these bits; how far the loss is above it, per cent |
| plain | nothing but data type, bits, exponent bits and block size differs from the defaults |
| final | not an earlier training checkpoint |
| has_checkpoints | the study has models of the same family and size that have seen fewer or more tokens |
"""

from collections.abc import Mapping

import polars as pl

from kbit.report.laws import add_power_laws

CONTROL = "none"
"""Data type of the 16-bit control."""

HALF = "half of k, rounded up"
MAIN_TEXT = "2 at 3 bits, 3 above"
"""The two rules of the paper, its appendix and its main text, which contradict each other (design §5)."""
ANY_RULE = "one E"
OTHER_RULE = "other"

COLUMNS = (
    "family", "model", "spec", "data_type", "codebook", "bits", "exponent_bits", "exponent_rule", "block_size",
    "options", "plain", "final", "has_checkpoints", "parameters", "tokens_seen",
    "bits_per_param", "body_bits", "total_bits",
    "accuracy", "accuracy_stderr", "accuracy_change", "n_tasks", "loss", "loss_stderr", "loss_change", "status",
    "exponent_choice", "option", "option_choice", "kl_divergence", "log_kl",
    "fitted_total_bits", "fitted_body_bits", "residual_total_bits", "residual_body_bits",
)  # fmt: skip


NO_OPTION = "none"


def page_points(frames: Mapping[str, pl.DataFrame], fits: pl.DataFrame) -> pl.DataFrame:
    """The tables `points`, `models` and `scores`, and the fits, as the page's rows, in the order of `points`."""
    points, models = frames["points"], frames["models"]
    renamed = points.rename(
        {
            "mean_zero_shot_accuracy": "accuracy",
            "mean_zero_shot_accuracy_stderr": "accuracy_stderr",
            "nats_per_byte": "loss",
        }
    )
    control = renamed.filter(pl.col("data_type") == CONTROL).select(
        "model", control_accuracy="accuracy", control_loss="loss"
    )
    rules = exponent_rules(points)
    measured = perplexity_scores(frames["scores"])
    joined = (
        renamed.join(measured, on=["model", "spec"], how="left", maintain_order="left", validate="1:1")
        .join(control, on="model", how="left", maintain_order="left", validate="m:1")
        .join(
            models.select("model", final="is_final_checkpoint"),
            on="model",
            how="left",
            maintain_order="left",
            validate="m:1",
        )
        .join(rules, on=["data_type", "bits", "exponent_bits"], how="left", maintain_order="left", nulls_equal=True)
        .with_columns(
            *choices(),
            (pl.col("accuracy") - pl.col("control_accuracy")).alias("accuracy_change"),
            (pl.col("loss") - pl.col("control_loss")).alias("loss_change"),
            codebook().alias("codebook"),
            (pl.col("options") == "").alias("plain"),
            (pl.col("tokens_seen").n_unique().over("family", "parameters") > 1).alias("has_checkpoints"),
        )
    )
    return add_power_laws(joined, fits).select(COLUMNS)


def choices() -> list[pl.Expr]:
    """Where the study has a choice of exponent bits, or of options, at otherwise equal specs."""
    same_spec = ("data_type", "bits", "block_size")
    several = pl.col("exponent_bits").n_unique().over(*same_spec, "options") > 1
    with_and_without = pl.col("options").n_unique().over("family", *same_spec, "exponent_bits") > 1
    return [
        (several & pl.col("exponent_bits").is_not_null()).alias("exponent_choice"),
        pl.when(pl.col("options") == "").then(pl.lit(NO_OPTION)).otherwise(pl.col("options")).alias("option"),
        (with_and_without & (pl.col("data_type") != CONTROL)).alias("option_choice"),
    ]


def perplexity_scores(scores: pl.DataFrame) -> pl.DataFrame:
    """(model, spec) -> loss_stderr, kl_divergence, log_kl; null unless every perplexity task of the study has one.

    Means over the study's perplexity tasks; the standard error takes the tasks to be independent, as for accuracies.
    """
    of_kind = scores.filter(pl.col("task_kind") == "perplexity")
    n_tasks = of_kind["task"].n_unique()

    def mean_of(metric: str) -> pl.DataFrame:
        rows = of_kind.filter((pl.col("metric") == metric) & pl.col("value").is_finite())
        return (
            rows.group_by("model", "spec", maintain_order=True)
            # Lists in task order, so that the sums run in a fixed order whatever the engine does.
            .agg(pl.col("value", "stderr").sort_by("task"))
            .filter(pl.col("value").list.len() == n_tasks)
        )

    complete = ~pl.col("stderr").list.eval(pl.element().is_null()).list.any()
    error = pl.col("stderr").list.eval(pl.element() ** 2).list.sum().sqrt() / n_tasks
    divergence = pl.col("value").list.mean()
    losses = mean_of("nats_per_byte").select("model", "spec", loss_stderr=pl.when(complete).then(error))
    distances = mean_of("kl_divergence").select("model", "spec", kl_divergence=divergence)
    positive = pl.when(pl.col("kl_divergence") > 0).then(pl.col("kl_divergence").log10())
    return losses.join(distances, on=["model", "spec"], how="full", coalesce=True).with_columns(log_kl=positive)


def codebook() -> pl.Expr:
    """The data type as figures name it: float with its exponent bits, such as `float E2`."""
    name = pl.format("{} E{}", "data_type", "exponent_bits")
    return pl.when(pl.col("exponent_bits").is_null()).then(pl.col("data_type")).otherwise(name)


def exponent_rules(points: pl.DataFrame) -> pl.DataFrame:
    """(data_type, bits, exponent_bits) -> exponent_rule, so that a curve over k has one E at every k."""
    kinds = (
        points.select("data_type", "bits", "exponent_bits")
        .unique()
        .sort("data_type", "bits", "exponent_bits", nulls_last=True)
    )
    choices = pl.len().over("data_type", "bits")
    half = pl.col("exponent_bits") == (pl.col("bits") + 1) // 2
    main_text = pl.col("exponent_bits") == pl.when(pl.col("bits") <= 3).then(2).otherwise(3)
    return kinds.with_columns(
        # Where both rules name the same E, or there is no other, the point belongs to the curves of both.
        pl.when((choices == 1) | (half & main_text))
        .then(pl.lit(ANY_RULE))
        .when(half)
        .then(pl.lit(HALF))
        .when(main_text)
        .then(pl.lit(MAIN_TEXT))
        .otherwise(pl.lit(OTHER_RULE))
        .alias("exponent_rule")
    )
