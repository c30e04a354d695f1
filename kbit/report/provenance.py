"""Where the numbers come from: software, machines, models, tasks. Everything is read from the rows themselves."""

import json

import polars as pl

from kbit.scaling.resample import BOOTSTRAP_SEED, N_RESAMPLES

RUN_COLUMNS = {
    "kbit_version": "kbit",
    "git_commit": "Commit",
    "torch_version": "torch",
    "transformers_version": "transformers",
    "lm_eval_version": "lm-eval",
    "evaluation_version": "Evaluation version",
    "dtype": "Compute dtype",
    "device": "Devices",
    "driver_version": "NVIDIA driver",
    "cuda_version": "CUDA",
    "host": "Hosts",
    "node": "Slurm's nodes",
    "threads": "CPU threads",
    "token_budget": "Tokens of a batch",
}
"""Provenance column of a row -> its name in the page."""

PROXY_PREFIX = "ho_"
"""Tasks of this name are built from held-out text in the format of a benchmark (data/tasks/README.md)."""


def run_facts(cells: pl.DataFrame) -> list[tuple[str, list[str]]]:
    """(name, distinct values in the study's rows) of everything a run records; what no row states is left out."""
    facts = []
    for column, label in RUN_COLUMNS.items():
        # Tables that an older release built have not every column.
        if column in cells.columns and (values := cells[column].drop_nulls().unique().sort().to_list()):
            facts.append((label, [str(value) for value in values]))
    facts.append(("Quantization members, versions", member_list(cells)))
    facts.append(
        ("Seed of the bootstrap", [f"{BOOTSTRAP_SEED} ({N_RESAMPLES} resamples); scoring draws nothing at random"])
    )
    started = cells["started_at"].drop_nulls().sort().to_list()
    if started:
        facts.append(
            ("Cells started", [started[0]] if started[0] == started[-1] else [f"{started[0]} to {started[-1]}"])
        )
    return facts


def member_list(cells: pl.DataFrame) -> list[str]:
    """`name vN` of every quantization member that any row used, from the rows' JSON (field -> version)."""
    fields = ("data_type", "scale_format", "solver", "centered", "outlier_rule", "rotation")
    used = set()
    for row in cells.select(*fields, "member_versions").drop_nulls("member_versions").unique().to_dicts():
        for field, version in json.loads(row["member_versions"]).items():
            used.add(f"{row[field]} v{version}")
    return sorted(used)


def task_facts(cells: pl.DataFrame) -> list[dict[str, object]]:
    """One record per task: label, kind, headline metric, chance level, items, and whether it is a proxy."""
    tasks = (
        cells.group_by("task")
        .agg(
            pl.col("task_label", "task_kind", "task_metric", "chance", "task_identity").first(),
            pl.col("n_items").max(),
        )
        .sort("task_kind", "task", descending=[True, False])
    )
    return [{**task, "is_proxy": task["task"].startswith(PROXY_PREFIX)} for task in tasks.to_dicts()]


def model_facts(models: pl.DataFrame) -> list[dict[str, object]]:
    """One record per model: identity, size, training tokens, scores at 16 bits."""
    return models.select(
        "model",
        "family",
        "model_id",
        "parameters",
        "quantized_parameters",
        "tokens_seen",
        "control_accuracy",
        "control_nats_per_byte",
    ).to_dicts()
