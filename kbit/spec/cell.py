"""The cell: one model, one quantization spec, one task; one score, one row. And its identity."""

from collections.abc import Iterable
from dataclasses import dataclass

from kbit.spec.digest import digest_json, digest_text
from kbit.spec.models import Model
from kbit.spec.quant import QuantSpec
from kbit.spec.tasks import Task

EVALUATION_VERSION = 1
"""Raised only when a score may move by more than 1e-4 nats."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One experiment of the study."""

    cell_id: str
    """Digest of everything that can change the score and nothing else, 32 hex digits."""
    model: Model
    spec: QuantSpec
    task: Task
    dtype: str
    calibration: Task | None = None
    """What the layers are given while the spec is solved for; of calibrated specs."""


def cell_id(model_id: str, spec_identity: str, task_identity: str, dtype: str) -> str:
    """Model weights, stored bytes and member versions, task with data and limit, compute dtype, evaluation version."""
    return digest_cell(model_id, spec_identity, task_identity, dtype, EVALUATION_VERSION)


def digest_cell(model_id: str, spec_identity: str, task_identity: str, dtype: str, evaluation_version: int) -> str:
    """The same of a cell that was evaluated by another version."""
    return digest_text("\n".join([model_id, spec_identity, task_identity, dtype, str(evaluation_version)]))[:32]


def shard_key(cell_ids: Iterable[str]) -> str:
    """Digest of the cells of a shard, 12 hex digits: the same cells make the same key on any machine."""
    return digest_json(sorted(cell_ids))[:12]


def spec_identity(spec: QuantSpec) -> str:
    return digest_json(spec.identity())
