"""Jobs on devices of any size: rows are those of a resident model, and say where the weights lay."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from real_job import EMBEDDED, choose_task, write_job
from safetensors.torch import load_file, save_file

from kbit.evaluation import bench
from kbit.models import open_engine
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.store.journal import read_journal
from kbit.store.parts import part_rows, read_part

INT3 = QuantSpec(data_type="int", bits=3, block_size=64)
SPECS = (CONTROL, INT3, QuantSpec(data_type="quantile", bits=4, block_size="row"))
MODEL_GB = 4e-9 * sum(tensor.numel() for tensor in load_file(EMBEDDED / "model.safetensors").values())
"""In float32."""
PASSING = {"started_at", "seconds", "quantize_seconds", "peak_memory_bytes", "placement"}
"""Columns that may differ."""


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> dict:
    """Nine cells: choices whose endings share their context, last words, and a text compared with the 16-bit run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("placements"))
        tasks = (
            choose_task("ho_hellaswag", 4),
            choose_task("ho_lambada", 6),
            choose_task("ho_perplexity", 2, divergence=True),
        )
        yield write_job(SPECS, tasks)


@pytest.fixture
def evaluate(job, tmp_path, monkeypatch):
    """Run a job in this process; returns its rows by spec and task."""
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda _: None)

    def run(device_memory_gb: float | None, job: dict = job) -> dict[tuple[str, str], dict]:
        path = tmp_path / f"{len(list(tmp_path.glob('*.jsonl')))}.jsonl"
        bench.evaluate_job({**job, "device_memory_gb": device_memory_gb, "journal": str(path)})
        return by_name(read_journal(path).rows.values())

    return run


def by_name(rows) -> dict[tuple[str, str], dict]:
    """Samples and flags as lists, which compare by their values."""
    lists = ({key: row[key] if row[key] is None else list(row[key]) for key in ("samples", "greedy")} for row in rows)
    return {(row["spec"], row["task"]): {**row, **values} for row, values in zip(rows, lists, strict=True)}


def lasting(rows: dict[tuple[str, str], dict]) -> dict[tuple[str, str], dict]:
    return {name: {key: row[key] for key in row.keys() - PASSING} for name, row in rows.items()}


def test_rows_are_the_same_wherever_the_weights_lie(evaluate, monkeypatch):
    twin = evaluate(None)
    assert {row["placement"] for row in twin.values()} == {"twin"}
    assert {row["status"] for row in twin.values()} == {"ok"}
    assert len(twin) == 9
    assert all(row["prefix_sharing"] for row in twin.values())
    found = {"host": evaluate(1.1 * MODEL_GB), "streamed": evaluate(0.0)}
    monkeypatch.setattr(open_engine, "host_memory_bytes", lambda: 0.0)
    # Without host memory, the hidden states of the streamed model lie in a file, too.
    found |= {"mapped": evaluate(1.1 * MODEL_GB), "streamed through a file": evaluate(0.0)}
    for placement, rows in found.items():
        assert {(row["placement"], row["gpus"]) for row in rows.values()} == {(placement.split()[0], 0)}
        assert lasting(rows) == lasting(twin), placement


def test_a_whole_job_on_a_device_that_is_too_small(job, evaluate, tmp_path):
    """Through the command, whose option is a variable of the environment as well."""
    part = tmp_path / "part.parquet"
    subprocess.run(
        [sys.executable, "-m", "kbit.cli", "run-shard", job["shard"], "--part", str(part), "--device", "cpu"],
        env={**os.environ, "KBIT_DEVICE_MEMORY_GB": "0"},
        check=True,
        stderr=(log := (tmp_path / "log").open("w")),
    )
    log.close()
    lines = (tmp_path / "log").read_text()
    assert "on a CPU with 0 GB to use: streamed, the weights do not fit" in lines
    assert "9 cells (9 ok): 9 evaluated" in lines
    rows = by_name(part_rows(read_part(part)))
    assert {row["placement"] for row in rows.values()} == {"streamed"}
    twin = evaluate(None)
    assert rows.keys() == twin.keys()
    for name in twin:
        assert rows[name]["samples"] == twin[name]["samples"]
        assert rows[name]["metrics"] == twin[name]["metrics"]


@pytest.fixture
def large(tmp_path, monkeypatch) -> Path:
    """A model with a weight in its last block that no absmax of 16 bits holds."""
    folder = Path(shutil.copytree(EMBEDDED, tmp_path / "large"))
    state = load_file(folder / "model.safetensors")
    name = "gpt_neox.layers.1.mlp.dense_4h_to_h.weight"
    state[name] = state[name].float()
    state[name][0, 0] = 1e6
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(("device_memory_gb", "placement"), [(0.0, "streamed"), (1.1 * MODEL_GB, "host")])
def test_a_spec_that_the_model_cannot_take(large, evaluate, device_memory_gb, placement):
    """All its cells say so, whether that shows before they are scored or in the pass; the next spec is evaluated."""
    tasks = (choose_task("ho_lambada", 3), choose_task("ho_perplexity", 1))
    job = write_job((CONTROL, INT3, CONTROL), tasks, folder=large)
    job["cells"] = list(dict.fromkeys(job["cells"]))
    rows = evaluate(device_memory_gb, job)
    assert {row["placement"] for row in rows.values()} == {placement}
    assert {spec: row["status"] for (spec, _), row in rows.items()} == {"none16": "ok", "int3-b64": "unsupported"}
    for task in ("ho_lambada", "ho_perplexity"):
        error = rows["int3-b64", task]["error"]
        assert "layers.1.mlp.dense_4h_to_h.weight: its largest weight has magnitude 1e" in error
