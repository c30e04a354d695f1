"""A shard of eight cells in a scratch folder, and a worker that does what a test tells it to.

What the real worker does is tested in test_worker.py, and through whole jobs in tests/workflow/test_interruptions.py.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from row_counts import row_counts

from kbit.evaluation.run_shard import ShardOutcome, run_shard
from kbit.spec.cell import cell_id, spec_identity
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.store.journal import JournalState, read_journals
from kbit.store.parts import read_part
from kbit.store.paths import journal_folder, locator_path, part_path, requests_path, shard_path

WORKER = Path(__file__).with_name("scripted_worker.py")


class Job:
    """One job: its shard file, its part, and a scripted worker (scripted_worker.py says what a script holds)."""

    MODEL: ClassVar = "local-0123456789abcdef"
    KEY: ClassVar = "0123456789ab"
    SPECS: ClassVar = (CONTROL, *(QuantSpec(data_type="int", bits=bits, block_size=64) for bits in (3, 4, 5)))
    NAMES: ClassVar = [f"{spec.slug}/{task}" for spec in SPECS for task in "ab"]

    def __init__(self, root: Path) -> None:
        self.file = shard_path(self.MODEL, "all", self.KEY)
        self.part = part_path(self.MODEL, "all", self.KEY)
        self.starts = root / "starts.jsonl"
        for path in self.inputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()  # the scripted worker needs nothing from them
        self.write_shard(self.shard_json())

    @property
    def inputs(self) -> list[Path]:
        return [self.file, locator_path(self.MODEL), requests_path("a", self.KEY), requests_path("b", self.KEY)]

    def run(self, **script: object) -> ShardOutcome:
        return run_shard(self.file, self.part, threads=1, device="cpu", worker_command=self.command(**script))

    def command(self, **script: object) -> tuple[str, ...]:
        return (sys.executable, str(WORKER), json.dumps({"count": str(self.starts), **script}))

    @property
    def workers(self) -> list[dict]:
        """The jobs given to workers so far."""
        return [json.loads(line) for line in self.starts.read_text().splitlines()] if self.starts.exists() else []

    @property
    def journals(self) -> JournalState:
        return read_journals(journal_folder(self.MODEL))

    @property
    def row_counts(self) -> Counter[str]:
        return row_counts(journal_folder(self.MODEL))

    def statuses(self) -> dict[str, str]:
        frame = read_part(self.part)
        names = [f"{spec}/{task}" for spec, task in zip(frame["spec"], frame["task"], strict=True)]
        return dict(zip(names, frame["status"], strict=True))

    def forget_journals(self) -> None:
        for path in journal_folder(self.MODEL).iterdir():
            path.unlink()

    def shard_json(self, specs: tuple[QuantSpec, ...] = SPECS, **changes: object) -> dict:
        cells = [
            {
                "cell_id": cell_id(self.MODEL, spec_identity(spec), f"identity-{task}", "float32"),
                "spec": spec.model_dump(mode="json", exclude_defaults=True),
                "task": task,
                "task_identity": f"identity-{task}",
                "item_limit": None,
                "requests": self.KEY,
            }
            for spec in specs
            for task in "ab"
        ]
        head = {"shard_version": 1, "model_id": self.MODEL, "model": self.MODEL, "slice": "all", "key": self.KEY}
        return {**head, "dtype": "float32", "token_budget": 64, "cells": cells, **changes}

    def write_shard(self, content: dict) -> None:
        self.file.write_text(json.dumps(content))


@pytest.fixture
def job(tmp_path, monkeypatch) -> Job:
    monkeypatch.chdir(tmp_path)
    return Job(tmp_path)
