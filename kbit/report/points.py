"""The rows that charts draw: the study's points under the page's names, each with its distance from 16 bits.

| column | meaning |
|---|---|
| accuracy, accuracy_stderr | mean zero-shot accuracy over n_tasks tasks, and its standard error |
| loss | nats per byte of held-out text: log-perplexity in a unit that families share |
| accuracy_change, loss_change | minus that of the same model's 16-bit control; null without one |
| codebook | the data type, float with its exponent bits E |
| exponent_rule | which rule of the paper a float follows; `one E` where the study has no choice at that k |
| plain | nothing but data type, bits, exponent bits and block size differs from the defaults |
| final | not an earlier training checkpoint |
| has_checkpoints | the study has models of the same family and size that have seen fewer or more tokens |
"""

import polars as pl

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
    "accuracy", "accuracy_stderr", "accuracy_change", "n_tasks", "loss", "loss_change", "status",
)  # fmt: skip


def page_points(points: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """The tables `points` and `models` as the page's rows, in the order of `points`."""
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
    return (
        renamed.join(control, on="model", how="left", maintain_order="left", validate="m:1")
        .join(
            models.select("model", final="is_final_checkpoint"),
            on="model",
            how="left",
            maintain_order="left",
            validate="m:1",
        )
        .join(rules, on=["data_type", "bits", "exponent_bits"], how="left", maintain_order="left", nulls_equal=True)
        .with_columns(
            (pl.col("accuracy") - pl.col("control_accuracy")).alias("accuracy_change"),
            (pl.col("loss") - pl.col("control_loss")).alias("loss_change"),
            codebook().alias("codebook"),
            (pl.col("options") == "").alias("plain"),
            (pl.col("tokens_seen").n_unique().over("family", "parameters") > 1).alias("has_checkpoints"),
        )
        .select(COLUMNS)
    )


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
