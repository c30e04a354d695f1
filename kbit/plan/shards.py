"""From cells to shards: the cells of one model that one job evaluates, under a key that digests them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kbit.plan.slices import slice_name
from kbit.spec.cell import Cell, shard_key
from kbit.spec.models import Model
from kbit.spec.requests import requests_digest
from kbit.store.paths import part_path, requests_path, shard_path
from kbit.store.shard_file import SHARD_VERSION


@dataclass(frozen=True, eq=False)
class Shard:
    """One job: a slice of one model's cells."""

    model: Model
    slice_name: str
    cells: tuple[Cell, ...]
    token_budget: int

    @cached_property
    def key(self) -> str:
        """Digest of the cells (`kbit.spec.cell.shard_key`)."""
        return shard_key(cell.cell_id for cell in self.cells)

    @cached_property
    def part(self) -> Path:
        return part_path(self.model.slug, self.slice_name, self.key)

    @cached_property
    def file(self) -> Path:
        return shard_path(self.model.slug, self.slice_name, self.key)

    @property
    def calibrates(self) -> bool:
        """Whether a spec of its cells is calibrated."""
        return any(cell.calibration is not None for cell in self.cells)

    @property
    def requests(self) -> list[Path]:
        """The requests files of the shard's tasks, and of what its specs are calibrated on."""
        tasks = {cell.task.name: cell.task for cell in self.cells}
        texts = {cell.calibration for cell in self.cells if cell.calibration is not None}
        return [requests_path(task.name, requests_digest(task, self.model)) for task in [*tasks.values(), *texts]]

    def to_json(self) -> dict[str, object]:
        """What the job reads: the cells themselves, never the study."""
        specs = {cell.spec: cell.spec.model_dump(mode="json", exclude_defaults=True) for cell in self.cells}
        digests = {cell.task.name: requests_digest(cell.task, self.model) for cell in self.cells}
        return {
            "shard_version": SHARD_VERSION,
            "model_id": self.model.model_id,
            "model": self.model.slug,
            "slice": self.slice_name,
            "key": self.key,
            "dtype": self.cells[0].dtype,
            "token_budget": self.token_budget,
            "cells": [
                {
                    "cell_id": cell.cell_id,
                    "spec": specs[cell.spec],
                    "task": cell.task.name,
                    "task_identity": cell.task.identity,
                    "item_limit": cell.task.item_limit,
                    "requests": digests[cell.task.name],
                    "divergence": cell.task.divergence,
                    # Absent, not null, for other specs: their shard files stay as they are.
                    **({"calibration": requests_digest(text, self.model)} if (text := cell.calibration) else {}),
                }
                for cell in self.cells
            ],
        }


def cut_shards(cells: Iterable[Cell], token_budget: int) -> tuple[Shard, ...]:
    """Group cells by model and slice; the order of a shard's cells is the order of the plan."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    # Runs of cells share model and spec: comparing those objects is much cheaper than hashing a spec per cell.
    model, spec, group = None, None, []
    for cell in cells:
        if cell.model is not model or cell.spec is not spec:
            model, spec = cell.model, cell.spec
            group = groups.setdefault((model.model_id, slice_name(model.parameters, spec)), [])
        group.append(cell)
    return tuple(Shard(group[0].model, name, tuple(group), token_budget) for (_, name), group in groups.items())
