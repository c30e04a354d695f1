"""The parts and requests files of a study, without evaluating it: invented scores under the plan's own cells and paths.

Loss falls along the sizes as a power law with floor and rises with a damage of the spec; accuracy falls with loss.
Every item has a difficulty that all cells share, so cells that differ little also answer nearly the same items.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kbit.plan.plan import Plan
from kbit.plan.shards import Shard
from kbit.spec.cell import Cell
from kbit.spec.footprint import bits_per_param
from kbit.spec.quant import QuantSpec
from kbit.spec.requests import REQUESTS_HEADER, RequestsSpec, requests_digest
from kbit.spec.rows import COLUMNS, PUBLISHED
from kbit.store.parts import write_part

CHOICES = {"lambada_openai": 1, "winogrande": 2, "hellaswag": 4, "piqa": 2, "c4": 1}
"""Requests of one item."""
DEFINITIONS = {
    "lambada_openai": {"doc_to_target": "{{' ' + text.split(' ')[-1]}}"},
    "winogrande": {"doc_to_target": "answer", "doc_to_choice": "{{[option1, option2]}}"},
    "hellaswag": {"doc_to_target": "{{label}}", "doc_to_choice": "endings"},
    "piqa": {"doc_to_target": "label", "doc_to_choice": "{{[sol1, sol2]}}"},
    "c4": {"doc_to_target": "text"},
}
"""As lm-eval words them."""
BYTES_PER_TOKEN = 4
FILLERS = {"string": "-", "int32": 1, "int64": 1, "float64": 1.0, "bool": False, "metrics": [], "list<float32>": []}


def write_study(plan: Plan) -> None:
    """Every requests file and part of the plan."""
    for path, requests in plan.requests.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_requests(path, requests)
    for shard in plan.shards:
        write_part(list(shard_rows(shard)), shard.part, {"key": shard.key})


def generator(*names: object) -> np.random.Generator:
    """Random numbers that belong to the names."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(names).encode()).digest()[:8], "little"))


@cache
def gold(task: str, n_items: int) -> NDArray[np.int64]:
    """[items]: number of the right choice."""
    return generator(task, "gold").integers(0, CHOICES[task], n_items)


@cache
def difficulty(task: str, n_items: int) -> NDArray[np.float64]:
    """[items] in [0, 1]: a cell of accuracy a answers those below a."""
    return generator(task, "difficulty").random(n_items)


@cache
def text_tokens(n_items: int) -> NDArray[np.int64]:
    """[items]: tokens of the texts of the perplexity task."""
    return generator("tokens").integers(20, 60, n_items)


def write_requests(path: Path, requests: RequestsSpec) -> None:
    """One requests file in the layout of kbit.evaluation."""
    task, n_items = requests.task.name, requests.task.item_limit
    per_item, n_tokens = CHOICES[task], text_tokens(n_items)
    documents = [json.dumps(document(task, item, n_items)) for item in range(n_items)]
    lengths = n_tokens if task == "c4" else np.full(n_items * per_item, 3)
    table = pa.table(
        {
            "doc": pa.array(np.repeat(np.arange(n_items), per_item), pa.int32()),
            "choice": pa.array(np.tile(np.arange(per_item), n_items), pa.int32()),
            "context": [[1, 2, 3]] * (n_items * per_item),
            "continuation": [[1] * length for length in lengths],
            "document": [text if choice == 0 else None for text in documents for choice in range(per_item)],
        }
    )
    kind = "loglikelihood_rolling" if task == "c4" else "loglikelihood"
    header = json.dumps({"output_type": kind, "definition": DEFINITIONS[task]})
    pq.write_table(table.replace_schema_metadata({REQUESTS_HEADER: header}), path)


def document(task: str, item: int, n_items: int) -> dict[str, object]:
    """An item with the fields that the task's items have."""
    right = int(gold(task, n_items)[item])
    return {
        "lambada_openai": lambda: {"text": f"a passage that ends in word {item}"},
        "winogrande": lambda: {"sentence": "_ was.", "option1": "he", "option2": "she", "answer": str(right + 1)},
        "hellaswag": lambda: {"query": "Then", "endings": ["he went.", "she ran.", "it fell.", "no"], "label": right},
        "piqa": lambda: {"goal": "To cool", "sol1": "use ice", "sol2": "use a fire", "label": right},
        "c4": lambda: {"text": "x" * int(BYTES_PER_TOKEN * text_tokens(n_items)[item])},
    }[task]()


def damage(spec: QuantSpec) -> float:
    """Nats per byte that a spec costs: a third for every further bit, more for large blocks."""
    if spec.data_type == "none":
        return 0.0
    block = spec.block_size if isinstance(spec.block_size, int) else 4096
    kind = {"int": 1.0, "float": 0.85, "dynamic": 1.15, "quantile": 0.8}[spec.data_type]
    quirk = 1 + 0.1 * generator(spec.slug).random()
    return 0.2 * 3.0 ** (3 - spec.bits) * kind * (block / 64) ** 0.15 * quirk


def loss(cell: Cell) -> float:
    """Nats per byte."""
    noise = 0.002 * generator(cell.model.name, cell.spec.slug).standard_normal()
    return 0.5 + 14 * cell.model.parameters**-0.22 + damage(cell.spec) + noise


def answer(cell: Cell) -> dict[str, object]:
    """Metrics, samples and greedy flags of a cell that agree with each other."""
    task, n_items = cell.task.name, cell.task.item_limit
    noise = generator(cell.cell_id).standard_normal(n_items * CHOICES[task])
    if task == "c4":
        tokens = text_tokens(n_items)
        samples = (-BYTES_PER_TOKEN * tokens * loss(cell) * (1 + 0.02 * noise)).astype(np.float32)
        total = -samples.sum(dtype=np.float64)
        values = {"nats_per_byte": total / (BYTES_PER_TOKEN * tokens.sum()), "nats_per_token": total / tokens.sum()}
        return {"metrics": metrics(values, 0.01, n_items), "samples": samples, "greedy": None}
    accuracy = 0.95 - 0.3 * (loss(cell) - 0.5)
    right = difficulty(task, n_items) + 0.05 * noise[:n_items] < accuracy
    score = float(right.mean())
    stderr = float(np.sqrt(score * (1 - score) / max(n_items - 1, 1)))
    if CHOICES[task] == 1:
        return {
            "metrics": metrics({"acc": score}, stderr, n_items),
            "samples": (-2 + 0.1 * noise).astype(np.float32),
            "greedy": right,
        }
    samples = (-20 + 0.1 * noise).reshape(n_items, -1)
    samples[np.arange(n_items), gold(task, n_items)] += np.where(right, 5, -5)
    flags = np.zeros(samples.size, dtype=bool)
    return {
        "metrics": metrics({"acc": score}, stderr, n_items),
        "samples": samples.ravel().astype("f4"),
        "greedy": flags,
    }


def metrics(values: dict[str, float], stderr: float, n: int) -> list[dict[str, object]]:
    return [{"name": name, "value": float(value), "stderr": stderr, "n": n} for name, value in values.items()]


def shard_rows(shard: Shard) -> Iterator[dict[str, object]]:
    """The rows of a shard; the specs of a model stand together in the plan."""
    empty = {
        column.name: None if column.null not in ("never", PUBLISHED) else FILLERS[column.type] for column in COLUMNS
    }
    for spec, cells in groupby(shard.cells, key=lambda cell: cell.spec):
        about = {**empty, **describe_spec(shard, spec)}
        for cell in cells:
            identity = {
                "cell_id": cell.cell_id,
                "task": cell.task.name,
                "task_identity": cell.task.identity,
                "item_limit": cell.task.item_limit,
                "requests": requests_digest(cell.task, cell.model),
                "n_items": cell.task.item_limit,
                "n_tokens": 40 * cell.task.item_limit,
            }
            yield {**about, **identity, **answer(cell)}


def describe_spec(shard: Shard, spec: QuantSpec) -> dict[str, object]:
    """What rows say of a spec and of how it was run."""
    model, per_param = shard.model, float(bits_per_param(spec))
    body = int(0.9 * model.parameters)
    blocked = spec.data_type != "none"
    described = spec.model_dump(mode="json")
    columns = ("data_type", "bits", "exponent_bits", "centered", "outlier_fraction", "outlier_rule", "scale_format",
               "solver", "rotation")  # fmt: skip
    return {
        "model_id": model.model_id,
        "spec": spec.slug,
        **{name: described[name] for name in columns},
        "block_size": str(spec.block_size) if blocked else None,
        "bits_per_param": per_param,
        "body_bits": int(body * per_param),
        "total_bits": int(body * per_param) + 16 * (model.parameters - body),
        "quantized_parameters": body,
        "parameters": model.parameters,
        "dtype": shard.cells[0].dtype,
        "status": "ok",
        "seconds": 1.0,
        "quantize_seconds": 0.1,
        "peak_memory_bytes": 2**30,
        "started_at": "2026-01-02T03:04:05Z",
        "member_versions": '{"data_type":1}',
        "architecture": "gpt_neox",
        "placement": "twin",
        "gpus": 1,
        "trust_remote_code": False,
        "prefix_sharing": True,
    }
