"""A study with a known structure, built by the real writer of parts, the real tables and the real fits.

Loss is 1.1 + 9 * N^-0.25 nats per byte plus a damage that depends on k, data type and block size alone, so curves are
parallel and 4 bits win; accuracy falls linearly with loss. One cell failed, one crashed, one collapsed.
"""

import atexit
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from kbit.scaling import fit_study
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.spec.rows import COLUMNS
from kbit.store.parts import write_part
from kbit.warehouse import build_tables

PRESENTED = {
    "name": "synthetic",
    "title": "A study of known structure",
    "file": "config/synthetic.yaml",
    "settings": {
        "models_files": ["models.yaml"], "tasks_files": ["tasks.yaml"], "dtype": "float32", "token_budget": 2048,
    },
}  # fmt: skip
"""What the study says of itself, as `kbit report` hands it on."""
DAMAGE = {3: 0.22, 4: 0.03, 5: 0.012, 6: 0.005, 7: 0.002, 8: 0.001, 16: 0.0}
TYPE_FACTOR = {"none": 0.0, "int": 1.0, "float": 0.85, "dynamic": 1.15, "quantile": 0.8}
BLOCK_FACTOR = {"64": 1.0, "1024": 1.6, None: 0.0}
TASKS = {
    "ho_pair": ("zero-shot", "acc", 0.5),
    "ho_order": ("zero-shot", "acc", 0.25),
    "ho_pages": ("perplexity", "nats_per_byte", None),
}
FLAWED = {
    ("ada-1", "int3-b1024", "ho_pages"): "collapsed",
    ("bel-2", "int5-b64", "ho_pair"): "failed",
    ("bel-3", "float4e3-b64", "ho_pair"): "crashed",
}


@dataclass(frozen=True)
class SyntheticModel:
    name: str
    family: str
    quantized: int
    tokens: int

    @property
    def parameters(self) -> int:
        return self.quantized + 64_000


MODELS = [
    *(SyntheticModel(f"ada-{size}", "Ada", 30_000 * 3**size, 10_000_000) for size in range(1, 6)),
    SyntheticModel("ada-1-early", "Ada", 90_000, 1_000_000),
    *(SyntheticModel(f"bel-{size}", "Bel & Co", 40_000 * 3**size, 10_000_000) for size in range(1, 4)),
]


def specs() -> Iterator[QuantSpec]:
    yield CONTROL
    wide = product(("int", "float"), (3, 4, 5, 8), (64,))
    narrow = product(("int", "float", "quantile"), (3, 4), (1024,))
    for data_type, bits, block_size in [*wide, *narrow, ("dynamic", 3, 64), ("dynamic", 4, 64), ("quantile", 4, 64)]:
        widths = {4: (2, 3), 3: (2,)}.get(bits, (3,)) if data_type == "float" else (None,)
        for exponent_bits in widths:
            yield QuantSpec(data_type=data_type, bits=bits, exponent_bits=exponent_bits, block_size=block_size)
    for bits in (3, 4):
        yield QuantSpec(data_type="int", bits=bits, block_size=64, centered="block")


def damage(spec: QuantSpec) -> float:
    block = None if spec.data_type == "none" else str(spec.block_size)
    return DAMAGE[spec.bits] * TYPE_FACTOR[spec.data_type] * BLOCK_FACTOR[block]


def loss(model: SyntheticModel, spec: QuantSpec) -> float:
    early = 0.4 if model.tokens < 10_000_000 else 0.0
    return 1.1 + 9 * model.quantized**-0.25 + early + damage(spec)


def jitter(*names: str) -> float:
    """Within 1, from the names alone."""
    return int.from_bytes(hashlib.sha256("/".join(names).encode()).digest()[:4], "little") / 2**31 - 1


def metrics(model: SyntheticModel, spec: QuantSpec, task: str) -> list[dict[str, object]]:
    value = loss(model, spec)
    if task == "ho_pages":
        return [
            {"name": "nats_per_byte", "value": value, "stderr": 0.004, "n": 40},
            {"name": "nats_per_token", "value": 2.7 * value, "stderr": 0.01, "n": 40},
            {"name": "kl_divergence", "value": 2 * damage(spec), "stderr": 0.001, "n": 9000},
        ]
    accuracy = 0.95 - 0.3 * (value - 1.1) + 0.01 * jitter(model.name, spec.slug, task)
    return [{"name": "acc", "value": accuracy, "stderr": 0.02, "n": 300}]


FILLERS = {
    "string": "-",
    "int32": 1,
    "int64": 1,
    "float64": 1.0,
    "list<float32>": [],
    "list<bool>": None,
    "bool": False,
    "metrics": [],
}


def make_row(model: SyntheticModel, spec: QuantSpec, task: str) -> dict[str, object]:
    control = spec.data_type == "none"
    per_param = 16.0 if control else spec.bits + (32 if spec.centered == "block" else 16) / spec.block_size
    body = int(model.quantized * per_param)
    row: dict[str, object] = {column.name: FILLERS[column.type] for column in COLUMNS}
    row.update(
        cell_id=hashlib.sha256(f"{model.name}/{spec.slug}/{task}".encode()).hexdigest()[:32],
        model_id=f"local-{model.name}",
    )
    row.update(spec=spec.slug, data_type=spec.data_type, bits=spec.bits, exponent_bits=spec.exponent_bits, task=task)
    row.update(
        block_size=None if control else str(spec.block_size),
        centered=spec.centered,
        outlier_fraction=0.0,
        outlier_rule=None,
        rotation="none",
    )
    row.update(
        scale_format=None if control else "16-bit", solver=None if control else "rtn", item_limit=300, dtype="float32"
    )
    row.update(body_bits=body, total_bits=body + 16 * 64_000, bits_per_param=per_param)
    row.update(quantized_parameters=model.quantized, parameters=model.parameters, n_items=300, n_tokens=9000)
    row.update(
        metrics=metrics(model, spec, task), samples=[], status="ok", error=None, started_at="2026-01-02T03:04:05Z"
    )
    row.update(member_versions='{"data_type":1}' if control else '{"data_type":1,"scale_format":1,"solver":1}')
    row.update(kbit_version="0.1.0", torch_version="2.13.0", device="cpu", host="node-1", git_commit="0123abcd")
    return {**row, **flaw(model, spec, task)}


def flaw(model: SyntheticModel, spec: QuantSpec, task: str) -> dict[str, object]:
    status = FLAWED.get((model.name, spec.slug, task))
    if status is None:
        return {}
    changes: dict[str, object] = {"status": status, "error": f"<{status}> & told so"}
    if status == "collapsed":
        return {**changes, "metrics": [{"name": "nats_per_byte", "value": float("inf"), "stderr": None, "n": 40}]}
    return {**changes, "metrics": None, "samples": None, "n_items": None, "n_tokens": None}


def plan_frame() -> pl.DataFrame:
    rows = []
    for model, spec, (task, (kind, metric, chance)) in product(MODELS, specs(), TASKS.items()):
        cell = make_row(model, spec, task)
        rows.append(
            {"cell_id": cell["cell_id"], "model": model.name, "family": model.family, "model_id": cell["model_id"]}
            | {"planned_parameters": model.parameters, "tokens_seen": model.tokens, "spec": spec.slug, "task": task}
            | {"task_kind": kind, "task_metric": metric, "task_label": task.removeprefix("ho_"), "chance": chance}
        )
    return pl.DataFrame(rows, schema_overrides={"chance": pl.Float64})


@cache
def built_study() -> tuple[Path, Path]:
    """(tables, fits), built once per process; the folder goes when the process ends."""
    folder = TemporaryDirectory(prefix="kbit-synthetic-")
    atexit.register(folder.cleanup)
    return build_study(Path(folder.name))


def build_study(folder: Path) -> tuple[Path, Path]:
    """(tables, fits) of the study in `folder`."""
    parts = []
    for model in MODELS:
        parts.append(folder / "parts" / f"{model.name}.parquet")
        write_part([make_row(model, spec, task) for spec, task in product(specs(), TASKS)], parts[-1], {})
    tables, fits = folder / "tables", folder / "fits.parquet"
    build_tables(plan_frame(), parts, tables)
    fit_study(tables, parts, fits)
    return tables, fits
