"""Invented studies, written by the real writers: parts, tables, requests files."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kbit.scaling import fit_study
from kbit.spec.quant import QuantSpec
from kbit.spec.rows import COLUMNS
from kbit.store.parts import write_part
from kbit.store.paths import requests_path
from kbit.warehouse import build_tables

FILLERS = {
    "string": "-", "int32": 1, "int64": 1, "float64": 1.0, "float32": 1.0, "list<float32>": [], "list<bool>": None,
    "metrics": [], "bool": False,
}  # fmt: skip


@dataclass
class Score:
    """What one cell measured."""

    family: str
    model: str
    parameters: int
    spec: QuantSpec
    task: str
    value: float | None
    stderr: float | None = None
    samples: list[float] | None = None
    n_items: int = 100
    kind: str = "zero-shot"
    metric: str = "acc"
    status: str = "ok"
    body_parameters: int | None = None
    """Quantized parameters; all of them if None."""
    tokens_seen: int | None = None
    requests: str = "aaaaaaaaaaaa"

    @property
    def cell_id(self) -> str:
        return f"{self.model}/{self.spec.slug}/{self.task}"

    @property
    def bits_per_param(self) -> float:
        is_blocked = isinstance(self.spec.block_size, int)
        return float(self.spec.bits + (16 / self.spec.block_size if is_blocked else 0))

    def to_plan(self) -> dict[str, object]:
        chance = 0.5 if self.kind == "zero-shot" else None
        return {
            "cell_id": self.cell_id, "model": self.model, "family": self.family, "model_id": f"id-{self.model}",
            "planned_parameters": self.parameters, "tokens_seen": self.tokens_seen, "spec": self.spec.slug,
            "task": self.task, "task_kind": self.kind, "task_metric": self.metric, "task_label": self.task,
            "chance": chance,
        }  # fmt: skip

    def to_row(self) -> dict[str, object]:
        spec, body = self.spec, self.body_parameters or self.parameters
        body_bits = round(body * self.bits_per_param)
        metrics = [{"name": self.metric, "value": self.value, "stderr": self.stderr, "n": self.n_items}]
        return {column.name: FILLERS[column.type] for column in COLUMNS} | {
            "cell_id": self.cell_id, "model_id": f"id-{self.model}", "spec": spec.slug, "data_type": spec.data_type,
            "bits": spec.bits, "exponent_bits": spec.exponent_bits, "centered": spec.centered,
            "rotation": spec.rotation,
            "block_size": None if spec.data_type == "none" else str(spec.block_size),
            "outlier_fraction": spec.outlier_fraction,
            "outlier_rule": spec.outlier_rule if spec.outlier_fraction else None,
            "scale_format": spec.scale_format, "solver": spec.solver, "task": self.task,
            "task_identity": f"identity of {self.task}", "requests": self.requests, "status": self.status,
            "error": None,
            "metrics": metrics if self.value is not None else None, "samples": self.samples,
            "bits_per_param": self.bits_per_param, "body_bits": body_bits,
            "total_bits": body_bits + 16 * (self.parameters - body), "quantized_parameters": body,
            "parameters": self.parameters,
        }  # fmt: skip


@dataclass
class InventedStudy:
    """A folder with the parts, tables and fits of some scores."""

    folder: Path
    scores: list[Score] = field(default_factory=list)

    @property
    def tables(self) -> Path:
        return self.folder / "tables"

    @property
    def fits(self) -> Path:
        return self.folder / "fits.parquet"

    @property
    def parts(self) -> list[Path]:
        return [self.folder / "parts" / f"{model}.parquet" for model in sorted({score.model for score in self.scores})]

    def build(self) -> "InventedStudy":
        """Write the parts and build the tables."""
        for part in self.parts:
            write_part([score.to_row() for score in self.scores if score.model == part.stem], part, {})
        overrides = {"tokens_seen": pl.Int64, "chance": pl.Float64}
        plan = pl.DataFrame(
            [score.to_plan() for score in self.scores], schema_overrides=overrides, infer_schema_length=None
        )
        build_tables(plan, self.parts, self.tables)
        return self

    def fit(self) -> pl.DataFrame:
        """Build the tables, fit every law and read the fits."""
        self.build()
        fit_study(self.tables, self.parts, self.fits)
        return pl.read_parquet(self.fits)


@pytest.fixture
def study(tmp_path, monkeypatch) -> Callable[[Iterable[Score]], InventedStudy]:
    """`study(scores)`, in a folder of its own, which is also the working directory (requests files lie under it)."""
    monkeypatch.chdir(tmp_path)
    return lambda scores: InventedStudy(tmp_path, list(scores))


@pytest.fixture
def score() -> type[Score]:
    return Score


@pytest.fixture
def write_requests() -> Callable[..., None]:
    """Write a requests file in the layout of kbit.evaluation, one token per request."""

    def write(task: str, documents: list[dict], n_choices: list[int], definition: dict, rolling: bool = False) -> None:
        doc = [index for index, n in enumerate(n_choices) for _ in range(n)]
        choice = [number for n in n_choices for number in range(n)]
        first = [json.dumps(documents[item]) if number == 0 else None for item, number in zip(doc, choice, strict=True)]
        header = {"output_type": "loglikelihood_rolling" if rolling else "loglikelihood", "definition": definition}
        tokens = [[1, 2, 3]] * len(doc)
        table = pa.table(
            {"doc": pa.array(doc, pa.int32()), "choice": pa.array(choice, pa.int32()), "context": tokens,
             "continuation": tokens, "document": first}
        )  # fmt: skip
        path = requests_path(task, "aaaaaaaaaaaa")
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.replace_schema_metadata({b"kbit_requests": json.dumps(header)}), path)

    return write
