"""Parts of a small invented study, written by the real writer."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from kbit.spec.rows import COLUMNS
from kbit.store.parts import write_part

MODELS = {"small": 1000, "large": 8000}
TASKS = {
    "easy": ("zero-shot", "acc", 0.25),
    "hard": ("zero-shot", "acc_norm", 0.5),
    "pages": ("perplexity", "nats_per_byte", None),
}
SPECS = {"none16": ("none", 16, None, 16.0), "int4-b64": ("int", 4, "64", 4.25), "int3-b64": ("int", 3, "64", 3.25)}

FILLERS = {
    "string": "-", "int32": 1, "int64": 1, "float64": 1.0, "float32": 1.0, "list<float32>": [], "list<bool>": None,
    "metrics": [], "bool": False,
}  # fmt: skip


def make_row(model: str, spec: str, task: str, **changes: object) -> dict[str, object]:
    data_type, bits, block_size, bits_per_param = SPECS[spec]
    row: dict[str, object] = {column.name: FILLERS[column.type] for column in COLUMNS}
    row.update(cell_id=f"{model}/{spec}/{task}", model_id=f"id-{model}", spec=spec, task=task, status="ok", error=None)
    row.update(data_type=data_type, bits=bits, exponent_bits=None, block_size=block_size, bits_per_param=bits_per_param)
    row.update(
        centered="none", outlier_fraction=0.0, outlier_rule=None, rotation="none", solver="rtn", scale_format="16-bit"
    )
    row.update(body_bits=int(MODELS[model] * bits_per_param), total_bits=int(MODELS[model] * (bits_per_param + 16)))
    row.update(quantized_parameters=MODELS[model], parameters=2 * MODELS[model], metrics=metrics_of(model, bits, task))
    return {**row, **changes}


def metrics_of(model: str, bits: int, task: str) -> list[dict[str, object]]:
    """Two metrics a task, every value computable by hand."""
    score = bits / 20 + (0.05 if model == "large" else 0.0)
    if task == "pages":
        return [
            {"name": "nats_per_byte", "value": 2 - score, "stderr": 0.01, "n": 12},
            {"name": "nats_per_token", "value": 5 - score, "stderr": None, "n": 12},
        ]
    score -= 0.1 if task == "hard" else 0.0
    return [
        {"name": "acc", "value": score, "stderr": 0.03, "n": 100},
        {"name": "acc_norm", "value": score / 2, "stderr": 0.04, "n": 100},
    ]


@pytest.fixture
def rows() -> list[dict[str, object]]:
    """Two models, three specs, three tasks."""
    return [make_row(model, spec, task) for model in MODELS for spec in SPECS for task in TASKS]


@pytest.fixture
def plan(rows: list[dict[str, object]]) -> pl.DataFrame:
    """The plan of those rows, as the command line hands it over."""
    columns = []
    for row in rows:
        model, (kind, metric, chance) = row["model_id"].removeprefix("id-"), TASKS[row["task"]]
        columns.append(
            {key: row[key] for key in ("cell_id", "model_id", "spec", "task")}
            | {"model": model, "family": "tiny", "planned_parameters": 2 * MODELS[model], "tokens_seen": None}
            | {"task_kind": kind, "task_metric": metric, "task_label": row["task"].title(), "chance": chance}
        )
    return pl.DataFrame(columns, schema_overrides={"tokens_seen": pl.Int64, "chance": pl.Float64})


@pytest.fixture
def write_parts(tmp_path: Path) -> Callable[[list[dict[str, object]]], list[Path]]:
    """Write rows as one part per model."""

    def write(rows: list[dict[str, object]]) -> list[Path]:
        parts = []
        for model_id in sorted({row["model_id"] for row in rows}):
            parts.append(tmp_path / "parts" / model_id / "all.parquet")
            write_part([row for row in rows if row["model_id"] == model_id], parts[-1], {})
        return parts

    return write
