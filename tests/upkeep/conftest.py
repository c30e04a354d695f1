"""A results folder of a small real study, with rows put there as jobs would, without a model being run."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from kbit.evaluation.cell_rows import cell_row
from kbit.evaluation.provenance import provenance
from kbit.plan.plan import Plan, plan_study, write_inputs
from kbit.plan.shards import Shard
from kbit.spec.requests import REQUESTS_HEADER
from kbit.store.journal import JournalWriter, new_journal_path
from kbit.store.parts import write_part
from kbit.store.paths import journal_folder
from kbit.store.rows import Row
from kbit.store.shard_file import read_shard
from kbit.store.writers import this_host

REPOSITORY = Path(__file__).parents[2]
TASKS = ("ho_piqa", "ho_winogrande")
MODELS = {"a": "neox-32x2", "b": "opt-32x2"}
LONG_AGO = time.time() - 30 * 24 * 3600
SOURCE = {**provenance(1, "cpu"), "started_at": "2026-01-01T00:00:00.000+00:00"}


class Folder:
    """The current folder: a study in config/, its results in results/."""

    def write_study(self, name: str = "small", **changes: object) -> Path:
        """Two models, the control and int at 3 and 4 bits, two tasks, unless changed."""
        grid = {"data_types": ["int"], "bits": changes.pop("bits", [3, 4]), "block_sizes": [64]}
        study = {
            "name": name,
            "title": "A small study",
            "models": list(MODELS),
            "tasks": list(TASKS),
            "dtype": "float32",
            "grids": [grid],
        }
        path = Path("config", f"{name}.yaml")
        path.write_text(yaml.safe_dump(study | changes))
        return path

    def plan(self, name: str = "small") -> Plan:
        """Planned, its inputs written, as by a run."""
        plan = plan_study(Path("config", f"{name}.yaml"))
        write_inputs(plan)
        return plan

    def rows(self, shard: Shard, statuses: Sequence[str | None], seed: float = 0.0) -> list[Row]:
        """A row for each cell that has a status; the same seed gives the same scores."""
        cells = read_shard(shard.file)
        return [
            cell_row(cells, cell, status, SOURCE, outcome(status, number, seed))
            for number, (cell, status) in enumerate(zip(cells.cells, statuses, strict=True))
            if status is not None
        ]

    def write_journal(self, shard: Shard, rows: Sequence[Row], *, alive: bool = False, opened: str = "") -> Path:
        """A journal with these rows, then a start of the cell `opened`; of this process, or of one that died."""
        path = new_journal_path(journal_folder(shard.model.slug), f"{shard.slice_name}.{shard.key}")
        if not alive:
            path = path.with_name(path.name.replace(f"{this_host()}-{os.getpid()}", "elsewhere-77"))
        with JournalWriter(path) as journal:
            for row in rows:
                journal.start(row["cell_id"], SOURCE)
                journal.row(row)
            if opened:
                journal.start(opened, SOURCE)
        if not alive:
            os.utime(path, (LONG_AGO, LONG_AGO))
        return path

    def write_part(self, shard: Shard, rows: Sequence[Row]) -> Path:
        metadata = {"model_id": shard.model.model_id, "slice": shard.slice_name, "key": shard.key}
        write_part(rows, shard.part, metadata)
        return shard.part

    def finish(self, shard: Shard, statuses: Sequence[str] | None = None) -> None:
        """What a job leaves: journal and part; all cells ok unless told."""
        rows = self.rows(shard, statuses or ["ok"] * len(shard.cells))
        self.write_journal(shard, rows)
        self.write_part(shard, rows)


def outcome(status: str, number: int, seed: float) -> dict[str, object]:
    if status not in ("ok", "collapsed"):
        return {"error": f"{status}: disk of cell {number}"}
    samples = np.array([-1.5 - number - seed, np.nan], dtype="<f4")
    return {
        "metrics": [{"name": "acc", "value": 0.5 + number / 64, "stderr": 0.05, "n": 2}],
        "samples": samples,
        "greedy": np.array([True, False]),
        "seconds": 1.5,
        "n_items": 1,
        "error": None if status == "ok" else "logits are not finite",
    }


def here(task: dict) -> dict:
    """An entry of the list of tasks with its files where the repository has them."""
    files = [str(REPOSITORY / "config" / file) for file in task["data_files"]]
    return task | {"yaml_file": str(REPOSITORY / "config" / task["yaml_file"]), "data_files": files}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Folder:
    """A fresh folder, made the current one."""
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    models = [
        {"name": name, "family": folder.partition("-")[0], "path": str(REPOSITORY / "data/models" / folder)}
        for name, folder in MODELS.items()
    ]
    Path("config/models.yaml").write_text(yaml.safe_dump({"models": models}))
    tasks = yaml.safe_load((REPOSITORY / "config/tasks.yaml").read_text())
    tasks["tasks"] = [here(task) for task in tasks["tasks"] if task["name"] in TASKS]
    Path("config/tasks.yaml").write_text(yaml.safe_dump(tasks))
    return Folder()


@pytest.fixture
def finished(folder) -> Folder:
    """The study done: journals, parts, requests."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.write_study()
    plan = folder.plan()
    for shard in plan.shards:
        folder.finish(shard)
    for path in plan.requests:
        header = path.with_suffix(".json").read_bytes()
        table = pa.table({"doc": range(1000)}).replace_schema_metadata({REQUESTS_HEADER: header})
        pq.write_table(table, path, compression="zstd", write_page_checksum=True)
    return folder
