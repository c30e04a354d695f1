"""A job over a real model and real tasks, as a study's plan would write it into the current folder."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from kbit.evaluation.requests import build_requests
from kbit.spec.cell import cell_id, spec_identity
from kbit.spec.models import ModelEntry, resolve_model
from kbit.spec.quant import QuantSpec
from kbit.spec.requests import RequestsSpec
from kbit.spec.section import load_section
from kbit.spec.tasks import Task, TasksFile, resolve_task
from kbit.store.paths import locator_path, requests_path

ROOT = Path(__file__).parents[3]
TASKS_FILE = ROOT / "config/tasks.yaml"
EMBEDDED = ROOT / "data/models/neox-32x2"


def choose_task(name: str, item_limit: int, divergence: bool = False) -> Task:
    """A task of config/tasks.yaml."""
    entries = {entry.name: entry for entry in load_section(TasksFile, TASKS_FILE).tasks}
    return replace(resolve_task(entries[name], item_limit, TASKS_FILE), divergence=divergence)


def write_job(
    specs: Iterable[QuantSpec], tasks: Sequence[Task], dtype: str = "float32", folder: Path = EMBEDDED
) -> dict[str, object]:
    """Write the shard and what it needs; returns the job of all its cells, spec by spec, but for its journal."""
    model = resolve_model(ModelEntry(name="small", family="NeoX", path=folder.name), folder.with_name("models.yaml"))
    digests = {}
    for task in tasks:
        spec = RequestsSpec(task, model)
        digests[task.name] = spec.digest
        if not requests_path(task.name, spec.digest).exists():
            build_requests(spec.to_json(), requests_path(task.name, spec.digest))
    locator_path(model.slug).parent.mkdir(parents=True, exist_ok=True)
    locator_path(model.slug).write_text(json.dumps(model.locator()))
    cells = [
        {
            "cell_id": cell_id(model.model_id, spec_identity(spec), task.identity, dtype),
            "spec": spec.model_dump(mode="json", exclude_defaults=True),
            "task": task.name,
            "task_identity": task.identity,
            "item_limit": task.item_limit,
            "requests": digests[task.name],
            "divergence": task.divergence,
        }
        for spec in specs
        for task in tasks
    ]
    head = {"shard_version": 1, "model_id": model.model_id, "model": model.slug, "slice": "all", "key": "0" * 12}
    Path("shard.json").write_text(json.dumps({**head, "dtype": dtype, "token_budget": 512, "cells": cells}))
    place = {"threads": 1, "device": "cpu", "trust_remote_code": False, "device_memory_gb": None}
    return {"shard": "shard.json", "cells": [cell["cell_id"] for cell in cells], **place}
