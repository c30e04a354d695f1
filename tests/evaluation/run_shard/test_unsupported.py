"""A text in windows that the model cannot read: a row that says so, and the other cells are scored."""

import json
import math

import pytest
import torch
from real_job import EMBEDDED, choose_task, write_job

from kbit.evaluation import bench
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.spec.tasks import TaskEntry, resolve_task
from kbit.store.journal import read_journal

INT4 = QuantSpec(data_type="int", bits=4, block_size=64)
CONTEXT = json.loads((EMBEDDED / "config.json").read_text())["max_position_embeddings"]


def windows(name: str, window: int, folder):
    (folder / "a.txt").write_text("He went up to the house. " * 200)
    entry = TaskEntry(
        name=name,
        kind="perplexity",
        metric="perplexity",
        version="1",
        data_files=("a.txt",),
        text={"window": window},
    )
    return resolve_task(entry, 2, folder / "tasks.yaml")


def test_windows_longer_than_the_context_are_unsupported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # torch lets the number of interop threads be set once per process.
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda _: None)
    tasks = (windows("fits", CONTEXT, tmp_path), windows("long", CONTEXT + 1, tmp_path), choose_task("ho_piqa", 2))
    job = write_job((CONTROL, INT4), (tasks[1], tasks[0], tasks[2]))
    bench.evaluate_job({**job, "journal": "journal.jsonl"})
    state = read_journal(tmp_path / "journal.jsonl")
    assert not state.open_starts
    rows = {(row["spec"], row["task"]): row for row in state.rows.values()}
    assert len(rows) == 6
    for spec in ("none16", "int4-b64"):
        row = rows[spec, "long"]
        assert row["status"] == "unsupported"
        assert row["metrics"] is None
        assert row["error"] == (
            f"UnsupportedError: task 'long' scores windows of {CONTEXT + 1} tokens, the model reads at most {CONTEXT}"
        )
        assert [rows[spec, task]["status"] for task in ("fits", "ho_piqa")] == ["ok", "ok"]
        metrics = {metric["name"]: metric for metric in rows[spec, "fits"]["metrics"]}
        assert metrics["perplexity"]["n"] == 2
        assert metrics["perplexity"]["value"] == pytest.approx(math.exp(metrics["nats_per_token"]["value"]))


def test_all_cells_may_be_unsupported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda _: None)
    job = write_job((CONTROL,), (windows("long", CONTEXT + 1, tmp_path),))
    bench.evaluate_job({**job, "journal": "journal.jsonl"})
    rows = read_journal(tmp_path / "journal.jsonl").rows
    assert [row["status"] for row in rows.values()] == ["unsupported"]
